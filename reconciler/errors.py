"""Every failure that a person is told about, sorted by whose turn it is.

Rules this module keeps:

1. An error carries one sentence for a person: what happened and what to do. Never a
   response body, never a secret.
2. Adapters translate the failures of their library here, once, at their edge; nothing
   of httpx, requests or hvac crosses it.
3. A failed *mutating* call is either ``refused`` (it was certainly not done) or
   ``unclear`` (it may have been done, or may still be); the two are never mixed up,
   because recovery depends on the difference.
"""

from __future__ import annotations

import enum
from types import TracebackType


class Exit(enum.IntEnum):
    """Exit codes of the command line (design: contract)."""

    DONE = 0
    ERROR = 1
    CHANGES_PENDING = 2
    STALE = 3
    PERSON_NEEDED = 4
    PARTIAL = 5
    LEASE_HELD = 6
    USAGE = 64


class ReconcilerError(Exception):
    """One sentence for a person; ``exit_code`` is what the process ends with when nothing was changed yet."""

    exit_code: Exit = Exit.ERROR


class UsageError(ReconcilerError):
    """The command line or the environment asks for something that can't be."""

    exit_code = Exit.USAGE


class PlanStaleError(ReconcilerError):
    """The approved plan is not what would be done now."""

    exit_code = Exit.STALE


class PersonNeededError(ReconcilerError):
    """Only a person can go on: an identity token, a signer or a decision is missing."""

    exit_code = Exit.PERSON_NEEDED


class PartialError(ReconcilerError):
    """Something was written before it failed."""

    exit_code = Exit.PARTIAL


class Unforeseen:
    """A context that turns an exception which nobody foresaw into a PartialError: something may have been written by then.

    Its sentence names the type and the place, and never the values there: they may be
    secrets.
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
    """What it is and where it was raised (without importing traceback, which takes longer than --help)."""
    trace, place = error.__traceback__, "an unknown place"
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno} of {trace.tb_frame.f_code.co_filename}"
        trace = trace.tb_next
    return f"internal error: {type(error).__name__} in {place}: please report it"


class LeaseHeldError(ReconcilerError):
    """Another run holds the lease."""

    exit_code = Exit.LEASE_HELD


class ExchangeError(ReconcilerError):
    """A call to the exchange did not succeed; ``status`` is the HTTP status, or None where there was no answer."""

    def __init__(self, sentence: str, *, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class ExchangeRefusedError(ExchangeError):
    """Certainly not done: answered with 400, 403, 404, 422 or 429, or the request never left."""


class ExchangeUnauthorizedError(ExchangeRefusedError):
    """401: the credential or the clock was refused."""


class ExchangeUnreachableError(ExchangeRefusedError):
    """The connection was never opened, so nothing was done."""


class ExchangeUnclearError(ExchangeError):
    """Anything else (timeout, reset, 408, 409, 425, 5xx, unreadable reply): it may have been done."""


class VaultError(ReconcilerError):
    """A call to Vault did not succeed."""


class VaultRefusedError(VaultError):
    """Certainly not done: no permission, a bad request, or the connection was never opened."""


class VaultCasMismatchError(VaultRefusedError):
    """A write with check-and-set found another version than the one it was made for."""


class VaultUnclearError(VaultError):
    """Anything else (timeout, reset, 429, 5xx, not JSON): a write may have been applied."""
