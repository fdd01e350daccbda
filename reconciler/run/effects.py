"""What a run asks beyond the protocol: reads, lanes, the lease, the shell.

A run is a chain of stages. A stage is a step (a generator of effects) that ends in a
result, or in ``Then``: the next stage, named by a function and its arguments. Nothing
but these arguments goes from one stage to the next. So a run can be copied between two
effects by repeating one stage, and two runs that reach equal stages go on alike.

    effect                   performed in production by      its reply
    -----------------------  ------------------------------  ---------------------------
    Together                 a pool of threads               the steps' results
    Lanes                    two pools of threads            the lanes' rows
    TakeLease, ReleaseLease  the ledger's single writer      what became of the write
    Say, Started, Ended, Ask the command line                nothing, or yes and no
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from reconciler.errors import ReconcilerError
from reconciler.model import Capabilities, Credentials, SecretMeta, StoredPair
from reconciler.plan import Change, Plan
from reconciler.protocol import (
    Effect,
    LeaseLost,
    NotRecorded,
    Recorded,
    Refused,
    Row,
    Step,
    Unclear,
)
from reconciler.state import Ledger, Transition, unchanged
from reconciler.values import value

T = TypeVar("T")


@value
class Then(Generic[T]):
    """The next stage of a run that ends in a ``T``."""

    stage: Callable[..., Step[Any]]
    arguments: tuple[Any, ...]

    def step(self) -> Step[T | Then[T]]:
        """Make the stage's step: ``stage(*arguments)``."""
        return self.stage(*self.arguments)


Stage = Step[T | Then[T]]
"""A stage of a run that ends in a ``T``."""


# --- replies ---


@value
class Clock:
    """The exchange's time, how far ahead it is, and a clock that never steps.

    All in milliseconds. ``ahead_ms`` is measured against this machine's clock.
    ``confirmed``: two replies of the exchange agree on it.
    """

    now_ms: int
    ahead_ms: int
    steady_ms: int
    confirmed: bool = True


@value
class Signer:
    """The token that signs list and revoke. ``pinned``: the environment names it."""

    credentials: Credentials | None
    pinned: bool


@value
class Halt:
    """Why nothing new is begun: a change that ended the run, or a person's signal."""

    sentence: str | None
    signalled: bool

    @property
    def why(self) -> str | None:
        """The sentence for what is not tried, or None while the run goes on."""
        if self.sentence is not None:
            return self.sentence
        return "stopped by a signal" if self.signalled else None


# --- reads ---


@value
class Together(Effect[tuple[T, ...]], Generic[T]):
    """Perform steps that only read, at most ``width`` at once; results in order."""

    steps: tuple[Callable[[], Step[T]], ...]
    width: int


@value
class ReadClock(Effect[Clock]):
    """The clocks as they are measured now."""


@value
class ReadProfile(Effect[int | None]):
    """The profile that a pair belongs to; None where the exchange does not say."""

    credentials: Credentials


@value
class ReadMeta(Effect[SecretMeta | Refused | Unclear]):
    """Vault's metadata of a path below the prefix."""

    path: str


@value
class ReadMetas(Effect[Mapping[str, SecretMeta]]):
    """Vault's metadata of those paths that one call brings, of which it may miss any.

    None at all where Vault has no such call, or does not allow it.
    """

    paths: tuple[str, ...]


@value
class ReadMountLife(Effect[int | None | Refused | Unclear]):
    """How long the mount lets a version live; None without an end, or if hidden."""


@value
class ListPaths(Effect[tuple[str, ...] | Refused | Unclear]):
    """The paths below the prefix, sorted; of more than ``limit`` the first.

    With a ``folder`` only those in it.
    """

    limit: int
    folder: str = ""


@value
class ReadPair(Effect[StoredPair | Refused | Unclear]):
    """A token's id and secret from a place in Vault that is not ours."""

    place: str
    token_id_field: str
    secret_field: str


@value
class ListPlaces(Effect[tuple[str, ...] | Refused | Unclear]):
    """The places at and below a folder of Vault that is not ours: the first, sorted."""

    folder: str
    limit: int


@value
class ReadSigner(Effect[Signer]):
    """Who signs list and revoke now."""


@value
class FollowManager(Effect[None]):
    """The pinned signer is the manager's own token, so it follows the rotation."""


@value
class CheckIdentity(Effect[Capabilities | ReconcilerError]):
    """What the identity may do, if it can derive so many tokens for this profile.

    ``digest`` is that of the plan that they are for, None where there is no plan.
    """

    derives: int
    profile_id: int | None
    digest: str | None = None


# --- the lease ---


@value
class TakeLease(Effect[Recorded | LeaseLost | NotRecorded]):
    """Become the writer of the ledger read at ``version``, if the lease is free.

    From here on signals are held back, and the lease is renewed beside the work.
    VaultError where Vault's token will not last for so many ``changes``.
    """

    run: str
    who: str
    ledger: Ledger
    version: int
    changes: int = 1


@value
class ReleaseLease(Effect[None]):
    """Give the lease back, with a last step of the ledger in the same write.

    Where that fails, the lease expires, and what the step says is left to the next run.
    """

    transition: Transition = unchanged


# --- the work ---


@value
class Lane:
    """Changes that are made one after the other, beside other lanes."""

    derives: bool
    make: Callable[[], Step[tuple[Row, ...]]]


@value
class Lanes(Effect[tuple[tuple[Row, ...], ...]]):
    """Perform lanes side by side; their rows in order."""

    lanes: tuple[Lane, ...]


@value
class ReadHalt(Effect[Halt]):
    """Whether something new may be begun."""


@value
class HaltRun(Effect[None]):
    """Let no lane begin anything new."""

    sentence: str


@value
class Pause(Effect[bool]):
    """Wait. True at once where a person asks the run to stop."""

    ms: int


# --- the shell ---


@value
class Say(Effect[None]):
    """A line for the person at the shell. ``once``: a key that is said once a run."""

    sentence: str
    once: str = ""


@value
class Started(Effect[None]):
    """These changes are about to be made."""

    changes: tuple[Change, ...]


@value
class Ended(Effect[None]):
    """A change came to its end."""

    row: Row


@value
class Ask(Effect[bool]):
    """Whether a person agrees to a plan, or to what a sentence says."""

    about: Plan | str
