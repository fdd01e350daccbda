"""Faults on demand: what a network, an edge and a busy exchange do to a call.

Rules this module keeps:

1. A fault says *what* happens. Which calls it hits follows from its match (operation,
   label, token id), ``skip`` and ``count``. Nothing is random, so a test that saw a
   fault once sees it again.
2. ``EDGE`` faults hit any arrival before authentication and limits; the work is left
   undone. All others hit only calls that were authenticated and admitted.
3. Each call uses up at most one fault of either sort: the first one added that is due.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from http import HTTPStatus

from reconciler.sandbox.answers import ErrorShape, Garbage
from reconciler.sandbox.laws import Operation
from reconciler.sandbox.records import Subject

DELAY_MAX_MS = 600_000
FAULTS_MAX = 1_000


class FaultKind(enum.StrEnum):
    """What happens; "work" is the derive, the revocation, or the reading."""

    CLOSE_BEFORE = "close_before"  # the connection is closed, no work
    ERROR_BEFORE = "error_before"  # an error status, no work
    MESSAGE_LIST = "message_list"  # the same with the message as a list
    RATE_LIMIT = "rate_limit"  # 429, no work
    MAINTENANCE = "maintenance"  # 503 or 425, no work
    DELAY = "delay"  # wait, then work and reply
    LOST_REPLY = "lost_reply"  # work, then the connection is reset
    ERROR_AFTER = "error_after"  # work, then an error status
    LATE = "late"  # the connection is reset, then wait, then work
    GARBAGE = "garbage"  # work, then a reply that can't be read
    TRIM_SCOPES = "trim_scopes"  # a derive grants other scopes than asked
    ENDS_OLDER = "ends_older"  # a derive also revokes the older tokens of its label


EDGE = frozenset(
    {
        FaultKind.CLOSE_BEFORE,
        FaultKind.ERROR_BEFORE,
        FaultKind.MESSAGE_LIST,
        FaultKind.RATE_LIMIT,
        FaultKind.MAINTENANCE,
    }
)
_DEFAULT_STATUS = {
    FaultKind.MESSAGE_LIST: HTTPStatus.BAD_REQUEST,
    FaultKind.RATE_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    FaultKind.MAINTENANCE: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    ``operation``, ``label`` and ``token_id`` are matched against ``records.Subject``;
    None matches any. The fault lets ``skip`` matching calls pass, then hits ``count``
    of them (None: all until cleared). ``delay_ms`` is waited before anything else is
    done, with any kind. ``status`` is 400 to 599, by default as the kind has it (500;
    400, 429, 503). ``retry_after_s`` goes with any error, as seconds or as a date.
    ``scopes`` are those that ``trim_scopes`` grants.
    """

    kind: FaultKind
    operation: Operation | None = None
    label: str | None = None
    token_id: str | None = None
    skip: int = 0
    count: int | None = 1
    delay_ms: int = 0
    status: int | None = None
    shape: ErrorShape = ErrorShape.MESSAGE
    retry_after_s: int | None = None
    retry_after_as_date: bool = False
    garbage: Garbage = Garbage.TRUNCATED
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values; ValueError where they contradict each other."""
        if self.skip < 0 or (self.count is not None and self.count < 1):
            raise ValueError("skip is 0 or more, count 1 or more, or null for always")
        if not 0 <= self.delay_ms <= DELAY_MAX_MS:
            raise ValueError(f"delay_ms is between 0 and {DELAY_MAX_MS}")
        # the end of 5xx
        if self.status is not None and not HTTPStatus.BAD_REQUEST <= self.status < 600:  # noqa: PLR2004
            raise ValueError("status is between 400 and 599")
        if (self.kind is FaultKind.TRIM_SCOPES) != bool(self.scopes):
            raise ValueError("scopes go with trim_scopes, and only with it")

    @property
    def error_status(self) -> int:
        """The status of the error that this fault answers with."""
        return (
            self.status
            if self.status is not None
            else _DEFAULT_STATUS.get(self.kind, HTTPStatus.INTERNAL_SERVER_ERROR)
        )

    @property
    def error_shape(self) -> ErrorShape:
        """The shape of the error that this fault answers with."""
        return ErrorShape.LIST if self.kind is FaultKind.MESSAGE_LIST else self.shape

    def matches(self, subject: Subject) -> bool:
        """Return whether a call of this subject is meant."""
        return (
            self.operation in {None, subject.operation}
            and self.label in {None, subject.label}
            and self.token_id in {None, subject.token_id}
        )


@dataclasses.dataclass(slots=True)
class _Entry:
    fault: Fault
    seen: int = 0
    hits: int = 0

    def due(self) -> bool:
        return self.seen > self.fault.skip and (
            self.fault.count is None or self.hits < self.fault.count
        )


class FaultBook:
    """The faults that wait for their calls; safe to change while calls arrive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []

    def add(self, *faults: Fault) -> None:
        """Let these faults wait, in this order. ValueError beyond 1,000 faults."""
        with self._lock:
            if len(self._entries) + len(faults) > FAULTS_MAX:
                raise ValueError("too many faults: clear them first")
            self._entries.extend(_Entry(fault) for fault in faults)

    def clear(self) -> None:
        """Forget all faults that wait."""
        with self._lock:
            self._entries.clear()

    @property
    def pending(self) -> tuple[Fault, ...]:
        """The faults that will hit again, in order; one without a count stays."""
        with self._lock:
            return tuple(entry.fault for entry in self._entries)

    def take(self, subject: Subject, *, edge: bool) -> Fault | None:
        """Return the fault that hits this call at the edge, or at its work; or None."""
        with self._lock:
            matching = [
                entry
                for entry in self._entries
                if (entry.fault.kind in EDGE) == edge and entry.fault.matches(subject)
            ]
            for entry in matching:
                entry.seen += 1
            hit = next((entry for entry in matching if entry.due()), None)
            if hit is None:
                return None
            hit.hits += 1
            if hit.hits == hit.fault.count:
                self._entries.remove(hit)
            return hit.fault
