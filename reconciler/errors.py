"""The errors that reach the user. Each class carries the exit code.

Beside them stand the problems of a manifest, which say where they are.

Errors of the exchange and of Vault also say whether the call was certainly not done
("refused") or may have been done ("unclear").

Rules this module keeps:

1. An error carries one sentence for a person: what happened and what to do. It holds no
   response body and no secret.
2. An adapter translates the failures of its library into these classes, once, at its
   edge: no exception of httpx or hvac leaves the adapter.
3. A failed call that changes something is refused or unclear, never both: recovery
   depends on the difference.
"""

from __future__ import annotations

import enum
from types import TracebackType
from typing import Literal

from reconciler.values import value


class Exit(enum.IntEnum):
    """The exit codes of the command line, which callers may rely on."""

    DONE = 0
    ERROR = 1
    CHANGES_PENDING = 2
    STALE = 3
    PERSON_NEEDED = 4
    PARTIAL = 5
    LEASE_HELD = 6
    USAGE = 64


class ReconcilerError(Exception):
    """One sentence for a person.

    ``exit_code`` is what the process ends with while nothing was changed yet.
    """

    exit_code: Exit = Exit.ERROR


class UsageError(ReconcilerError):
    """The command line or the environment asks for something impossible."""

    exit_code = Exit.USAGE


class PlanStaleError(ReconcilerError):
    """The approved plan differs from what would be done now."""

    exit_code = Exit.STALE


class PersonNeededError(ReconcilerError):
    """Only a person can go on: identity token, signer or decision is missing."""

    exit_code = Exit.PERSON_NEEDED


class IdentitySourceError(PersonNeededError):
    """A source of the identity token was named, and gives none: it has failed."""


class PartialError(ReconcilerError):
    """Something was written before the failure."""

    exit_code = Exit.PARTIAL


class Unforeseen:
    """A context that turns an exception which nobody expected into a PartialError.

    For work that may have written something. The sentence names the exception's type
    and place, never the values there: they may be secrets.
    """

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, ReconcilerError):
            raise PartialError(
                f"{internal_error(error)}; what was begun is recorded, the next run recovers it"
            ) from None


def internal_error(error: Exception) -> str:
    """Return a sentence with an exception's type and where it was raised."""
    import traceback  # noqa: PLC0415  # hardly ever needed, and slower to load than --help

    place = "an unknown place"
    for frame in traceback.extract_tb(error.__traceback__, limit=-1):
        place = f"{frame.name}, line {frame.lineno} of {frame.filename}"
    return f"internal error: {type(error).__name__} in {place}: please report it"


class LeaseHeldError(ReconcilerError):
    """Another run holds the lease."""

    exit_code = Exit.LEASE_HELD


class ExchangeError(ReconcilerError):
    """A call to the exchange did not succeed.

    ``status`` is the HTTP status of the answer, or None where there was none.
    """

    def __init__(self, sentence: str, *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class ExchangeRefusedError(ExchangeError):
    """Certainly not done: the request never left, or got 400, 403, 404, 422 or 429."""


class ExchangeUnauthorizedError(ExchangeRefusedError):
    """401: the credential or the clock was refused."""


class ExchangeBusyError(ExchangeRefusedError):
    """429, or not sent because of one: the exchange asks to wait.

    ``wait_s`` is for how many seconds, None where it names no time.
    """

    def __init__(
        self, sentence: str, *, status: int | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(sentence, status=status)
        self.wait_s = wait_s


class ExchangeUnreachableError(ExchangeRefusedError):
    """The connection was never opened, so nothing was done."""


class ExchangeUnclearError(ExchangeError):
    """Anything else, so it may have been done.

    A timeout, a reset, 408, 409, 425, 5xx, a reply that can't be read.
    """


class VaultError(ReconcilerError):
    """A call to Vault did not succeed.

    ``cause`` is the sentence without ``doubt``, which says what may have been changed
    all the same. ``again_after_ms``: the same call may succeed after so long, as Vault
    is busy or out of reach; 0 where it does not say how long, None for what will not
    pass by itself.
    """

    def __init__(self, cause: str, *, doubt: str = "", again_after_ms: int | None = None) -> None:
        super().__init__(cause + doubt)
        self.cause = cause
        self.again_after_ms = again_after_ms


class VaultRefusedError(VaultError):
    """Certainly not done: no permission, a bad request, or no connection was opened."""


class VaultCasMismatchError(VaultRefusedError):
    """A write with check-and-set met another version than the one it was made for."""


class VaultUnclearError(VaultError):
    """Anything else (timeout, reset, 429, 5xx, no JSON): a write may have been done."""


@value
class Mark:
    """Where in a manifest something stands; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return ``tokens.yaml:12:7``, escaped where the file's name does not print."""
        file = self.file if self.file.isprintable() else repr(self.file)[1:-1]
        return f"{file}:{self.line}:{self.column}"


@value
class Problem:
    """One thing wrong (``error``) or doubtful (``warning``) in a manifest.

    As text it is one line that editors and CI can jump to.
    """

    mark: Mark
    message: str
    severity: Literal["error", "warning"]

    def __str__(self) -> str:
        """Return ``tokens.yaml:12:7: error: MESSAGE``."""
        return f"{self.mark}: {self.severity}: {self.message}"
