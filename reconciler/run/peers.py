"""The two peers of a run: performs the effects that call the exchange or Vault.

Rules this module keeps:

1. An adapter's error becomes a reply (``translated``): refused or unclear, with its
   sentence.
2. If the token that signed a list is missing from it, the list is incomplete and the
   reply unclear. The token that signs is never revoked.
3. After a person asked for a stop no new POST goes out; what is in flight is finished.
4. An entry of a list that can't be read is left out, and told, where it is surely not
   ours; one that may be ours makes the reply unclear.
5. A derive waits for a time that no reply contradicts: its token is looked for by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.errors import (
    ExchangeBusyError,
    ExchangeError,
    ExchangeUnclearError,
    ReconcilerError,
    VaultCasMismatchError,
    VaultUnclearError,
)
from reconciler.exchange import PAUSE_MAX_S, Shared, TokenClient
from reconciler.exchange import Turn as DeriveTurn
from reconciler.model import (
    Capabilities,
    Credentials,
    Derived,
    Secret,
    SecretMeta,
    SecretVersion,
    VersionState,
)
from reconciler.protocol import (
    RECENT_MS,
    TOO_LATE,
    AwaitTurn,
    Busy,
    ConfirmedNow,
    DeleteVersion,
    Derive,
    Done,
    Effect,
    Listing,
    ListTokens,
    LocalNow,
    Mismatch,
    NoTurn,
    Now,
    PutLedger,
    PutSecret,
    ReadLedger,
    ReadSecret,
    Refused,
    Revoke,
    StopDeriving,
    Turn,
    Unclear,
    Undelete,
    UseSigner,
    VerifyToken,
    Written,
)
from reconciler.run.effects import (
    CheckIdentity,
    Clock,
    FollowManager,
    ListPaths,
    ListPlaces,
    ReadClock,
    ReadMeta,
    ReadMetas,
    ReadMountLife,
    ReadPair,
    ReadProfile,
    ReadSigner,
    Signer,
)
from reconciler.run.keys import Keys
from reconciler.run.translated import translated
from reconciler.state import (
    LEDGER_FIELD,
    LEDGER_NAME,
    Ledger,
    from_text,
    is_absolute,
    parts_of,
    to_text,
    unreadable_of_ours,
)
from reconciler.vault import Elsewhere, SecretStore

TURN_AHEAD_S = 0.15  # in which the list before a derive is asked
CONFIRM_TRIES = 3
RUN_S, CHANGE_S = 15, 1
"""What a run takes at most on a good day, and each of its changes."""
RUN_USES, CHANGE_USES = 20, 12
"""The calls of Vault that a run makes, one for each label, and those of a change."""
UNSURE = "what time it is at the exchange is unsure, its replies don't agree: run again later"

UNREADABLE = "ask the exchange what it means"


class Peers:
    """The exchange and Vault. ``prefix`` is below the store's mount.

    While there is no signer, only ``VerifyToken`` can list. Once ``stopping`` is set,
    nothing more is derived.
    """

    def __init__(
        self,
        *,
        exchange: TokenClient,
        store: SecretStore,
        prefix: str,
        keys: Keys,
        stopping: threading.Event,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._elsewhere = elsewhere = Elsewhere(store)
        self._prefix = prefix
        self._keys = keys
        self._stopping = stopping
        self._signer = keys.signer
        self._follows_manager = False  # the pinned pair is the manager's own
        self._no_more_derives: str | None = None
        self._shared: Shared[object] = Shared(
            Unclear(sentence="the list was not asked for"),
            keeps=_is_whole,
            steady_ms=exchange.clock().steady_ms,
        )
        self._ledger: Ledger | None = None  # as it was read or written last
        self._turns = threading.local()
        table: dict[type[Effect[Any]], Callable[[Any], object]] = {
            Now: lambda _: self._exchange.clock().now_ms(),
            LocalNow: lambda _: self._exchange.clock().wall_ms(),
            ConfirmedNow: self._confirmed_now,
            ReadClock: self._read_clock,
            ListTokens: self._list,
            VerifyToken: self._verify,
            AwaitTurn: self._await_turn,
            Derive: self._derive,
            StopDeriving: self._stop_deriving,
            Revoke: self._revoke,
            UseSigner: self._use_signer,
            ReadSigner: self._read_signer,
            FollowManager: self._follow_manager,
            CheckIdentity: self._check_identity,
            ReadSecret: self._read_secret,
            PutSecret: self._put_secret,
            DeleteVersion: self._delete_version,
            Undelete: self._undelete,
            ReadProfile: lambda e: self._exchange.signed_by(e.credentials).get_profile_id(),
            ReadMeta: self._read_meta,
            ReadMetas: lambda effect: self._store.scan_metas(self._prefix, effect.paths),
            ReadMountLife: lambda _: self._store.mount_life_ms(),
            ListPaths: self._list_paths,
            ReadPair: lambda effect: elsewhere.read(
                effect.place, effect.token_id_field, effect.secret_field
            ),
            ListPlaces: lambda effect: elsewhere.places(effect.folder, limit=effect.limit),
            ReadLedger: self._read_ledger,
            PutLedger: self._put_ledger,
        }
        self.table = {kind: translated(perform) for kind, perform in table.items()}

    # --- the exchange ---

    def _list(self, effect: ListTokens) -> object:
        signer = self._signer
        if signer is None:
            return Refused(sentence="there is no token to sign with: run `reconciler bootstrap`")
        call = translated(lambda leaving: self._listing(signer, leaving=leaving))
        return self._shared.ask(signer.token_id, call, RECENT_MS if effect.recent else 0)

    def _verify(self, effect: VerifyToken) -> object:
        """List with the given token; the caller judges whether the list holds it."""
        pair, until_ms = effect.credentials, effect.until_ms

        def listing(leave: Callable[[], None]) -> object:
            def leaving() -> None:
                if until_ms is not None and self._exchange.clock().now_ms() > until_ms:
                    raise ExchangeUnclearError(TOO_LATE)
                leave()

            return self._listing(pair, partial_is_listing=True, leaving=leaving)

        return self._shared.made(pair.token_id, listing)

    def _listing(
        self,
        signer: Credentials,
        *,
        partial_is_listing: bool = False,
        leaving: Callable[[], None] = lambda: None,
    ) -> Listing | Unclear | Refused:
        found = self._exchange.signed_by(signer).list_entries(leaving=leaving)
        if self._ledger is not None:
            ours = unreadable_of_ours(self._ledger, found)
            if ours is not None:
                return Unclear(sentence=f"{ours}, and it may be ours: {UNREADABLE}")
        listing = Listing(tokens=found.tokens, unreadable=found.unreadable)
        if listing.find(signer.token_id) is None and not partial_is_listing:
            return Unclear(
                sentence="the exchange's list lacks the token that signed it: it is not believed"
            )
        return listing

    def _await_turn(self, _: AwaitTurn) -> Turn | NoTurn:
        identity = self._keys.identity()
        if identity is None:
            return NoTurn(
                sentence="no identity token, so nothing can be derived: "
                "set LIMITLESS_IDENTITY_TOKEN"
            )
        if (closed := self._closed()) is not None:
            return closed
        self.release_turn()
        clock = self._exchange.clock()
        try:
            if clock.is_in_doubt or clock.did_jump:
                self._exchange.get_capabilities(identity)  # its reply tells the time
            if clock.is_in_doubt:
                return NoTurn(sentence=UNSURE)
            self._turns.turn = self._exchange.wait_turn_to_derive(
                identity, ahead_s=TURN_AHEAD_S, stopped=self._stopping.is_set
            )
        except ExchangeError as error:
            return self._closed() or NoTurn(sentence=str(error))
        if (closed := self._closed()) is not None:
            self.release_turn()
            return closed
        return Turn()

    def _closed(self) -> NoTurn | None:
        if self._stopping.is_set():
            return NoTurn(sentence="stopped by a signal")
        if self._no_more_derives is not None:
            return NoTurn(sentence=self._no_more_derives)
        return None

    def release_turn(self) -> None:
        """Give back the turn to derive that this thread holds, if it holds one."""
        turn: DeriveTurn | None = getattr(self._turns, "turn", None)
        if turn is not None:
            turn.release()
            self._turns.turn = None

    def _derive(self, effect: Derive) -> Derived | Refused | Busy:
        turn: DeriveTurn | None = getattr(self._turns, "turn", None)
        identity = self._keys.identity()
        if identity is None or turn is None:
            return Refused(sentence="a derive without an identity token or a turn")
        if self._no_more_derives is not None:
            return Refused(sentence=self._no_more_derives)
        try:
            with self._shared.change():
                return self._exchange.derive_token(
                    identity, label=effect.label, scopes=effect.scopes, turn=turn
                )
        except ExchangeBusyError as error:
            later = error.wait_s is not None and error.wait_s > PAUSE_MAX_S
            return Busy(sentence=str(error), later=later)
        finally:
            self.release_turn()

    def _stop_deriving(self, effect: StopDeriving) -> None:
        self._no_more_derives = self._no_more_derives or effect.sentence

    def _revoke(self, effect: Revoke) -> Done | Refused:
        signer = self._signer
        if signer is None:
            return Refused(
                sentence="there is no token to sign the revocation with: run `reconciler bootstrap`"
            )
        if signer.token_id == effect.token_id:
            return Refused(sentence="it is the token that signs, which never revokes itself")
        with self._shared.change():
            self._exchange.signed_by(signer).revoke_token(effect.token_id)
        return Done()

    def _use_signer(self, effect: UseSigner) -> None:
        if self._keys.signer is None or self._follows_manager:
            self._signer = effect.credentials

    def _read_signer(self, _: ReadSigner) -> Signer:
        return Signer(credentials=self._signer, pinned=self._keys.signer is not None)

    def _follow_manager(self, _: FollowManager) -> None:
        self._follows_manager = True

    def _read_clock(self, _: ReadClock) -> Clock:
        clock = self._exchange.clock()
        return Clock(
            now_ms=clock.now_ms(),
            ahead_ms=clock.offset_ms,
            steady_ms=clock.steady_ms(),
            confirmed=clock.is_confirmed,
        )

    def _confirmed_now(self, _: ConfirmedNow) -> int | Unclear:
        """Ask for lists, whose replies tell the time, until the clock is confirmed."""
        clock = self._exchange.clock()
        for _try in range(CONFIRM_TRIES):
            if clock.is_confirmed or self._signer is None:
                break
            self._exchange.signed_by(self._signer).list_entries()
        if clock.is_confirmed:
            return clock.now_ms()
        return Unclear(sentence=UNSURE)

    def _check_identity(self, effect: CheckIdentity) -> Capabilities | ReconcilerError:
        try:
            return self._keys.check_identity(effect.derives, effect.profile_id, effect.digest)
        except ReconcilerError as error:
            return error

    # --- Vault ---

    def prepare(self, *, changes: int, labels: int) -> None:
        """Make sure that Vault's token lasts for so many changes of so many labels.

        VaultError where it will not.
        """
        self._store.prepare(
            seconds=RUN_S + changes * CHANGE_S, uses=RUN_USES + labels + changes * CHANGE_USES
        )

    def _find(self, path: str) -> tuple[SecretStore, str]:
        """Return the store of a path's mount, and the path below the mount."""
        if not is_absolute(path):
            return self._store, f"{self._prefix}/{path}"
        mount, rest = parts_of(path)
        return self._elsewhere.mounted(mount), rest

    def _read_meta(self, effect: ReadMeta) -> SecretMeta:
        store, path = self._find(effect.path)
        return store.read_meta(path)

    def _list_paths(self, effect: ListPaths) -> tuple[str, ...]:
        folder = "/".join(filter(None, (self._prefix, effect.folder)))
        found = self._store.list_paths(folder, limit=effect.limit)
        return tuple(path.removeprefix(f"{self._prefix}/") for path in found)

    def _read_secret(self, effect: ReadSecret) -> SecretVersion:
        store, path = self._find(effect.path)
        return store.read(path, version=effect.version)

    def _put_secret(self, effect: PutSecret) -> Written | Mismatch | Unclear:
        return self._put(effect.path, dict(effect.fields), effect.secret, effect.cas)

    def _put(
        self, name: str, fields: Mapping[str, str | Secret], secret: Secret | None, cas: int
    ) -> Written | Mismatch | Unclear:
        store, path = self._find(name)
        try:
            made = store.write(path, fields, secret=secret, cas=cas)
        except VaultCasMismatchError:  # only a write can say so: to a read it is a refusal
            return Mismatch()
        except VaultUnclearError as error:  # whether it was done is settled by reading
            return Unclear(sentence=error.cause, again_after_ms=error.again_after_ms)
        return Written(
            version=made.latest, created_at_ms=made.created_at_ms, ends_at_ms=made.ends_at_ms
        )

    def _delete_version(self, effect: DeleteVersion) -> Done | Refused:
        store, path = self._find(effect.path)
        store.delete_version(path, effect.version)
        return Done()

    def _undelete(self, effect: Undelete) -> Done | Refused:
        store, path = self._find(effect.path)
        store.undelete_version(path, effect.version)
        return Done()

    def _read_ledger(self, _: ReadLedger) -> tuple[Ledger | None, int]:
        content = self._read_secret(ReadSecret(path=LEDGER_NAME))
        if content.state is not VersionState.LIVING:
            return None, content.version
        if self._ledger is None:  # what wrote it may just have sent with our credentials
            self._exchange.leave_gap(content.created_at_ms or 0)
        self._ledger = from_text(content.field(LEDGER_FIELD) or "")
        return self._ledger, content.version

    def _put_ledger(self, effect: PutLedger) -> Written | Mismatch | Unclear:
        self._ledger = effect.ledger
        return self._put(LEDGER_NAME, {LEDGER_FIELD: to_text(effect.ledger)}, None, effect.cas)


def _is_whole(signer_id: object, reply: object) -> bool:
    """Return whether a reply is a list that has the token which signed it."""
    return isinstance(reply, Listing) and reply.find(str(signer_id)) is not None
