"""The production driver: performs effects on the real exchange and the real Vault.

Rules this module keeps:

1. An adapter's error becomes a reply here and nowhere else: refused or unclear, with
   its sentence.
2. Steps may run in several threads; the ledger has one writer, and its steps run one at
   a time.
3. A list that lacks the token that signed it is no list. The token that signs is never
   revoked.
4. A stop that a person asked for lets no new POST out; what is in flight is finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets as randomness
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from reconciler.errors import (
    ExchangeError,
    ExchangeRefusedError,
    VaultCasMismatchError,
    VaultError,
    VaultRefusedError,
)
from reconciler.exchange import TokenClient
from reconciler.exchange import Turn as DeriveTurn
from reconciler.model import SECOND_MS, Credentials, Derived, Secret, SecretVersion, VersionState
from reconciler.protocol import (
    AwaitTurn,
    DeleteVersion,
    Derive,
    Done,
    Effect,
    LeaseLost,
    LedgerWriter,
    Listing,
    ListTokens,
    Mismatch,
    NewId,
    NotRecorded,
    NoTurn,
    Now,
    PutLedger,
    PutSecret,
    ReadLedger,
    ReadSecret,
    Recorded,
    Refused,
    Revoke,
    Sleep,
    Step,
    StopDeriving,
    Turn,
    Unclear,
    UseSigner,
    VerifyToken,
    WriteLedger,
    Written,
    drive,
)
from reconciler.state import LEDGER_NAME, Ledger, LedgerError, from_text, to_text, unchanged
from reconciler.vault import SecretStore

T = TypeVar("T")

RENEW_AFTER_MS = 20 * SECOND_MS
LEDGER_FIELD = "ledger"

Failure = Refused | Unclear


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a run may act with:

    ``identity`` gives the token that derives, ``signer`` stands in for the manager's
    secret.
    """

    identity: Callable[[], Secret | None] = lambda: None
    signer: Credentials | None = None


class Driver:
    """Performs effects.

    ``prefix`` is below the store's mount; while ``signer`` is None, only
    ``VerifyToken`` can list.
    """

    def __init__(
        self, *, exchange: TokenClient, store: SecretStore, prefix: str, keys: Keys
    ) -> None:
        self.exchange = exchange
        self.store = store
        self.prefix = prefix
        self.identity = keys.identity
        self.signer = keys.signer
        self.signer_pinned = keys.signer is not None
        self.signer_follows = False  # the pinned pair is the manager's own, and goes with it
        self.writer: LedgerWriter | None = None
        self.stopping = threading.Event()
        self._ledger_lock = threading.RLock()
        self._last_write = time.monotonic()
        self._no_more_derives: str | None = None
        self._turns = threading.local()
        self._table: dict[type[Effect[Any]], Callable[[Any], object]] = {
            Now: lambda _: self.exchange.clock().now_ms(),
            NewId: lambda _: randomness.token_hex(16),
            Sleep: self._sleep,
            ListTokens: self._list,
            VerifyToken: self._verify,
            AwaitTurn: self._await_turn,
            Derive: self._derive,
            StopDeriving: self._stop_deriving,
            Revoke: self._revoke,
            UseSigner: self._use_signer,
            ReadSecret: self._read_secret,
            PutSecret: self._put_secret,
            DeleteVersion: self._delete_version,
            ReadLedger: self._read_ledger,
            PutLedger: self._put_ledger,
            WriteLedger: self._write_ledger,
        }

    def run(self, step: Step[T]) -> T:
        """One step of the protocol, to its end."""
        try:
            return drive(step, self.perform)
        finally:
            self._release_turn()

    def perform(self, effect: Effect[Any]) -> object:
        """One effect; the reply is of the effect's type."""
        return self._table[type(effect)](effect)

    @contextlib.contextmanager
    def lease_renewed(self) -> Iterator[None]:
        """Renew the lease beside the work while nothing else writes the ledger.

        A lost lease shows at the next write.
        """
        done = threading.Event()

        def renew() -> None:
            while not done.wait(RENEW_AFTER_MS / SECOND_MS / 4):
                if time.monotonic() - self._last_write > RENEW_AFTER_MS / SECOND_MS:
                    self.perform(WriteLedger(transition=unchanged))

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def release(self) -> None:
        """Give the lease back, whatever became of the work.

        Where that fails, it expires.
        """
        with self._ledger_lock:
            writer, self.writer = self.writer, None
            if writer is not None:
                drive(writer.release(), self.perform)

    # --- the exchange ---

    def _sleep(self, effect: Sleep) -> None:
        time.sleep(effect.ms / SECOND_MS)

    def _list(self, _: ListTokens) -> Listing | Failure:
        signer = self.signer
        if signer is None:
            return Refused(sentence="there is no token to sign with: run `reconciler bootstrap`")
        return self._listing(signer)

    def _verify(self, effect: VerifyToken) -> Listing | Failure:
        return self.verify_token(effect.credentials)

    def verify_token(self, credentials: Credentials) -> Listing | Failure:
        """List with the given token.

        Whether it is in its own list is for the caller to judge.
        """
        return self._listing(credentials, partial_is_listing=True)

    def _listing(
        self, signer: Credentials, *, partial_is_listing: bool = False
    ) -> Listing | Failure:
        try:
            listing = Listing(tokens=self.exchange.signed_by(signer).list_tokens())
        except ExchangeError as error:
            return _failure(error)
        if listing.find(signer.token_id) is None and not partial_is_listing:
            return Unclear(
                sentence="the exchange's list lacks the token that signed it: it is not believed"
            )
        return listing

    def _await_turn(self, _: AwaitTurn) -> Turn | NoTurn:
        identity = self.identity()
        if identity is None:
            return NoTurn(
                sentence="no identity token, so nothing can be derived: set LIMITLESS_IDENTITY_TOKEN"
            )
        if (closed := self._closed()) is not None:
            return closed
        self._release_turn()
        try:
            self._turns.turn = self.exchange.wait_turn_to_derive(identity)
        except ExchangeError as error:
            return NoTurn(sentence=str(error))
        closed = self._closed()
        if closed is not None:
            self._release_turn()
            return closed
        return Turn()

    def _closed(self) -> NoTurn | None:
        if self.stopping.is_set():
            return NoTurn(sentence="stopped by a signal")
        if self._no_more_derives is not None:
            return NoTurn(sentence=self._no_more_derives)
        return None

    def _release_turn(self) -> None:
        turn: DeriveTurn | None = getattr(self._turns, "turn", None)
        if turn is not None:
            turn.release()
            self._turns.turn = None

    def _derive(self, effect: Derive) -> Derived | Failure:
        turn: DeriveTurn | None = getattr(self._turns, "turn", None)
        identity = self.identity()
        if identity is None or turn is None:
            return Refused(sentence="a derive without an identity token or a turn")
        if self._no_more_derives is not None:
            return Refused(sentence=self._no_more_derives)
        try:
            return self.exchange.derive_token(
                identity, label=effect.label, scopes=effect.scopes, turn=turn
            )
        except ExchangeError as error:
            return _failure(error)
        finally:
            self._release_turn()

    def _stop_deriving(self, effect: StopDeriving) -> None:
        self._no_more_derives = self._no_more_derives or effect.sentence

    def _revoke(self, effect: Revoke) -> Done | Failure:
        signer = self.signer
        if signer is None:
            return Refused(
                sentence="there is no token to sign the revocation with: run `reconciler bootstrap`"
            )
        if signer.token_id == effect.token_id:
            return Refused(sentence="it is the token that signs, which never revokes itself")
        try:
            self.exchange.signed_by(signer).revoke_token(effect.token_id)
        except ExchangeError as error:
            return _failure(error)
        return Done()

    def _use_signer(self, effect: UseSigner) -> None:
        if not self.signer_pinned or self.signer_follows:
            self.signer = effect.credentials

    # --- Vault ---

    def path(self, name: str) -> str:
        """A path below the prefix as the store wants it: below the mount."""
        return f"{self.prefix}/{name}"

    def _read_secret(self, effect: ReadSecret) -> SecretVersion | Failure:
        try:
            return self.store.read(self.path(effect.path), version=effect.version)
        except VaultError as error:
            return _failure(error)

    def _put_secret(self, effect: PutSecret) -> Written | Mismatch | Failure:
        return self._put(effect.path, dict(effect.fields), effect.secret, effect.cas)

    def _put(
        self, name: str, fields: dict[str, str], secret: Secret | None, cas: int
    ) -> Written | Mismatch | Failure:
        try:
            return Written(
                version=self.store.write(self.path(name), fields, secret=secret, cas=cas)
            )
        except VaultCasMismatchError:
            return Mismatch()
        except VaultError as error:
            return _failure(error)

    def _delete_version(self, effect: DeleteVersion) -> Done | Failure:
        try:
            self.store.delete_version(self.path(effect.path), effect.version)
        except VaultError as error:
            return _failure(error)
        return Done()

    def _read_ledger(self, _: ReadLedger) -> tuple[Ledger | None, int] | Failure:
        try:
            return self.read_ledger()
        except VaultError as error:
            return _failure(error)
        except LedgerError as error:
            return Unclear(sentence=str(error))

    def read_ledger(self) -> tuple[Ledger | None, int]:
        """The ledger, or None, and the number of its latest version.

        VaultError, LedgerError.
        """
        content = self.store.read(self.path(LEDGER_NAME))
        if content.state is not VersionState.LIVING:
            return None, content.version
        return from_text(content.field(LEDGER_FIELD) or ""), content.version

    def _put_ledger(self, effect: PutLedger) -> Written | Mismatch | Failure:
        reply = self._put(LEDGER_NAME, {LEDGER_FIELD: to_text(effect.ledger)}, None, effect.cas)
        if isinstance(reply, Written):
            self._last_write = time.monotonic()
        return reply

    def _write_ledger(self, effect: WriteLedger) -> Recorded | LeaseLost | NotRecorded:
        with self._ledger_lock:
            if self.writer is None:
                return NotRecorded(sentence="this run does not hold the lease", final=True)
            return drive(self.writer.write(effect.transition), self.perform)


def _failure(error: ExchangeError | VaultError) -> Failure:
    status = error.status if isinstance(error, ExchangeError) else None
    if isinstance(error, (ExchangeRefusedError, VaultRefusedError)):
        return Refused(sentence=str(error), status=status)
    return Unclear(sentence=str(error))
