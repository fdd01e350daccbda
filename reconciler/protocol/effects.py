"""What the protocol asks of the outside, and what it is told.

Rules this module keeps:

1. An effect is a value that names one call; a reply is a value that says what became of
   it. No adapter's type stands here.
2. A protocol step is a generator that yields effects and is sent replies. The
   production driver performs them on the real adapters; the tests' drivers perform them
   on models and may crash, delay, lose or repeat at each of them.
3. ``Refused`` and ``Busy`` mean certainly not done; ``Unclear`` means it may have been
   done, or may still be. Nothing in between exists.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from reconciler.model import (
    Credentials,
    Derived,
    LiveToken,
    Secret,
    SecretVersion,
    Unreadable,
    VersionId,
)
from reconciler.state import Fields, Ledger, Transition
from reconciler.values import value

R = TypeVar("R")
T = TypeVar("T")


class Effect(Generic[R]):
    """One call asked of the outside; ``R`` is the type of its reply.

    ``reply = yield from ReadSecret(path=path)`` asks and has the reply's type.
    """

    __slots__ = ()

    def __iter__(self) -> Step[R]:
        """Yield the effect itself and return what is sent back."""
        reply: R = yield self
        return reply


Step = Generator[Effect[Any], Any, T]
"""A piece of the protocol that ends in a ``T``."""


def drive(step: Step[T], perform: Callable[[Effect[Any]], object]) -> T:
    """Run a step to its end on whoever performs effects.

    An error that performing raises is raised in the step, where the effect was asked
    for, so a step can still give back what it holds.
    """
    try:
        effect = step.send(None)
        while True:
            try:
                reply = perform(effect)
            except Exception as error:  # noqa: BLE001  # the step goes on with it, or raises it
                effect = step.throw(error)
            else:
                effect = step.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


# --- replies ---


HTTP_UNAUTHORIZED = 401
RECENT_MS = 200


@value
class Refused:
    """Certainly not done. ``again_after_ms`` as in ``Unclear``.

    ``status`` is the exchange's, None where the request never left.
    """

    sentence: str
    status: int | None = None
    again_after_ms: int | None = None

    @property
    def is_of_signature(self) -> bool:
        """Whether it is about who signed: token, secret or clock.

        Any other refusal tells nothing of a secret: an edge that blocks this address
        answers 403, and to a request that never left nobody answered.
        """
        return self.status == HTTP_UNAUTHORIZED


@value
class Busy:
    """Certainly not done, and to be asked again with a turn taken anew.

    ``later``: not within this run; the sentence says when.
    """

    sentence: str
    later: bool = False


@value
class Unclear:
    """It may have been done, or may still be.

    ``again_after_ms``: the peer is busy or out of reach for a moment, so the same call
    may succeed after so long; 0 where nobody says how long (``protocol.again``).
    """

    sentence: str
    again_after_ms: int | None = None


@value
class Done:
    """Done."""


@value
class Listing:
    """All live tokens, whole, save entries of others that can't be read."""

    tokens: tuple[LiveToken, ...]
    unreadable: tuple[Unreadable, ...] = ()

    def find(self, token_id: str) -> LiveToken | None:
        """The token of that id, if it lives."""
        return next((token for token in self.tokens if token.token_id == token_id), None)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the tokens that live, of entries that can't be read as well."""
        unread = (e.token_id for e in self.unreadable if e.token_id is not None)
        return frozenset((*(token.token_id for token in self.tokens), *unread))

    @property
    def lived(self) -> int:
        """How many tokens live on the profile."""
        return len(self.tokens) + len(self.unreadable)


@value
class Written:
    """The version that a check-and-set write made: always the given one plus one.

    ``created_at_ms`` and ``ends_at_ms`` are Vault's, as in ``SecretMeta``.
    """

    version: int
    created_at_ms: int | None = None
    ends_at_ms: int | None = None

    @property
    def version_id(self) -> VersionId:
        """Which version it is."""
        return VersionId(self.version, self.created_at_ms)


@value
class Mismatch:
    """The path is at another version than the check-and-set write was made for."""


@value
class Recorded:
    """The ledger as it is now; ``ends_at_ms`` is when this version ends by itself."""

    ledger: Ledger
    ends_at_ms: int | None = None


@value
class LeaseLost:
    """Another run wrote the ledger: this one stops."""

    sentence: str = "another run took the lease over"


@value
class NotRecorded:
    """The ledger could not be written; ``sentence`` says why.

    ``final``: nor will any later write of this run be. ``contradicted``: what is in the
    ledger already says otherwise.
    """

    sentence: str
    final: bool = False
    contradicted: bool = False


@value
class NoRoom(NotRecorded):
    """Not written: as many tokens would live as when a derive had ended another one."""


@value
class Turn:
    """The next POST may go out now."""


@value
class NoTurn:
    """This run derives no more."""

    sentence: str


# --- effects ---


@value
class Now(Effect[int]):
    """The exchange's clock, in milliseconds."""


@value
class LocalNow(Effect[int]):
    """This machine's own clock, in milliseconds: a witness beside the exchange's."""


@value
class ConfirmedNow(Effect[int | Refused | Unclear]):
    """The exchange's clock, on which two of its replies agree; else it is asked again.

    A revocation by time, and a recovery, rest on it: one wrong ``Date`` decides nothing
    that can't be undone.
    """


def time_of_record() -> Step[int]:
    """Return the instant that an overlap is counted from, confirmed where it can be.

    A commit has to be recorded, whatever the clock.
    """
    confirmed = yield from ConfirmedNow()
    return confirmed if isinstance(confirmed, int) else (yield from Now())


@value
class NewId(Effect[str]):
    """A fresh random id."""


@value
class Sleep(Effect[None]):
    """Wait."""

    ms: int


@value
class ListTokens(Effect[Listing | Refused | Unclear]):
    """List all live tokens, signed by the run's signer.

    ``recent``: the signer's last list will do as well, if it left less than
    ``RECENT_MS`` ago and the run has sent no derive and no revocation since.
    """

    recent: bool = False


@value
class VerifyToken(Effect[Listing | Refused | Unclear]):
    """List all live tokens, signed by the given token: proof that its secret works.

    No request leaves later than ``until_ms`` by the exchange's clock, be it the first
    attempt or another one: then the reply is unclear.
    """

    credentials: Credentials
    until_ms: int | None = None


@value
class AwaitTurn(Effect[Turn | NoTurn]):
    """Wait until the identity's limits let the next POST out, after a 429 too.

    So an intent is written directly before its POST.
    """


@value
class Derive(Effect[Derived | Refused | Busy | Unclear]):
    """One POST. Only a busy exchange is asked again, by the protocol."""

    label: str
    scopes: tuple[str, ...]


@value
class StopDeriving(Effect[None]):
    """No more derives in this run."""

    sentence: str


@value
class Revoke(Effect[Done | Refused | Unclear]):
    """DELETE one id, signed by the run's signer, which is never that id."""

    token_id: str


@value
class UseSigner(Effect[None]):
    """From now on list and revoke are signed by this token."""

    credentials: Credentials


@value
class ReadSecret(Effect[SecretVersion | Refused | Unclear]):
    """Read a version of a secret, or the latest."""

    path: str
    version: int | None = None


@value
class PutSecret(Effect[Written | Mismatch | Refused | Unclear]):
    """Write a secret with check-and-set; without fields it is a fence's document."""

    path: str
    fields: Fields
    secret: Secret | None
    cas: int


@value
class DeleteVersion(Effect[Done | Refused | Unclear]):
    """Soft-delete one version by its number."""

    path: str
    version: int


@value
class Undelete(Effect[Done | Refused | Unclear]):
    """Bring one soft-deleted version back, by its number."""

    path: str
    version: int


@value
class ReadLedger(Effect[tuple[Ledger | None, int] | Refused | Unclear]):
    """The ledger (None where there is none) and the number of its latest version."""


@value
class PutLedger(Effect[Written | Mismatch | Refused | Unclear]):
    """Write the whole ledger with check-and-set."""

    ledger: Ledger
    cas: int


@value
class NoteLedger(Effect[None]):
    """Let a transition ride on the run's next write of the ledger, its last at most."""

    transition: Transition


@value
class WriteLedger(Effect[Recorded | LeaseLost | NotRecorded]):
    """Apply a transition through the run's single writer (protocol.lease)."""

    transition: Transition


@value
class Desk:
    """The ledger as this run's writer knows it. ``lost``: another run wrote it."""

    ledger: Ledger
    lost: bool


@value
class ReadDesk(Effect[Desk]):
    """What the run's writer knows. It calls nobody."""
