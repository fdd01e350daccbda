"""Faults on demand: what a network, an edge and a busy exchange do to a call.

Rules this module keeps:

1. A fault says *what* happens. Which calls it hits follows from its match (operation,
   label, token id), ``skip`` and ``count``. Nothing is random, so a test that saw a
   fault once sees it again.
2. A fault hits at its stage. At the edge: any arrival before authentication and limits;
   the work is left undone. At the work: only calls that were authenticated and
   admitted. At the reply: any reply of the API, whatever else was done to the call.
3. Each call uses up at most one fault of each stage: the first one added that is due.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from http import HTTPStatus

from reconciler.sandbox.answers import ErrorShape, Garbage
from reconciler.sandbox.config import SHIFT_MAX_MS
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
    NOTHING_DONE = "nothing_done"  # a success, no work: an edge's page, or another shape
    PARTIAL_LIST = "partial_list"  # a list leaves some tokens out
    WRONG_DATE = "wrong_date"  # the reply's Date is another time


class Stage(enum.Enum):
    """Where a fault hits."""

    EDGE = "edge"
    WORK = "work"
    REPLY = "reply"


_STAGES = {
    FaultKind.CLOSE_BEFORE: Stage.EDGE,
    FaultKind.ERROR_BEFORE: Stage.EDGE,
    FaultKind.MESSAGE_LIST: Stage.EDGE,
    FaultKind.RATE_LIMIT: Stage.EDGE,
    FaultKind.MAINTENANCE: Stage.EDGE,
    FaultKind.NOTHING_DONE: Stage.EDGE,
    FaultKind.WRONG_DATE: Stage.REPLY,
}
_DEFAULT_STATUS = {
    FaultKind.MESSAGE_LIST: HTTPStatus.BAD_REQUEST,
    FaultKind.RATE_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    FaultKind.MAINTENANCE: HTTPStatus.SERVICE_UNAVAILABLE,
    FaultKind.NOTHING_DONE: HTTPStatus.OK,
}
_BELONGING = {
    FaultKind.TRIM_SCOPES: ("scopes",),
    FaultKind.PARTIAL_LIST: ("leaves_out", "leaves_out_last"),
    FaultKind.WRONG_DATE: ("date_shift_ms",),
}
_DEFAULT_SHAPE = {
    FaultKind.MESSAGE_LIST: ErrorShape.LIST,
    FaultKind.NOTHING_DONE: ErrorShape.HTML,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    ``operation``, ``label`` and ``token_id`` are matched against ``records.Subject``;
    None matches any. The fault lets ``skip`` matching calls pass, then hits ``count``
    of them (None: all until cleared). ``delay_ms`` is waited before anything else is
    done, with any kind but ``wrong_date``. ``status`` is 400 to 599, by default as the
    kind has it (500; 400, 429, 503); with ``nothing_done`` 200 to 299. ``shape`` is by
    default ``message``, with ``nothing_done`` an HTML page. ``retry_after_s`` goes with
    any error, as seconds or as a date. ``scopes`` are those that ``trim_scopes``
    grants. ``leaves_out`` (ids) and ``leaves_out_last`` (rows) go with
    ``partial_list``, ``date_shift_ms`` with ``wrong_date``.
    """

    kind: FaultKind
    operation: Operation | None = None
    label: str | None = None
    token_id: str | None = None
    skip: int = 0
    count: int | None = 1
    delay_ms: int = 0
    status: int | None = None
    shape: ErrorShape | None = None
    retry_after_s: int | None = None
    retry_after_as_date: bool = False
    garbage: Garbage = Garbage.TRUNCATED
    scopes: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()
    leaves_out_last: int = 0
    date_shift_ms: int = 0

    def __post_init__(self) -> None:
        """Check the values; ValueError where they contradict each other."""
        if self.skip < 0 or (self.count is not None and self.count < 1):
            raise ValueError("skip is 0 or more, count 1 or more, or null for always")
        if not 0 <= self.delay_ms <= DELAY_MAX_MS:
            raise ValueError(f"delay_ms is between 0 and {DELAY_MAX_MS}")
        first = 200 if self.kind is FaultKind.NOTHING_DONE else 400
        last = first + (99 if self.kind is FaultKind.NOTHING_DONE else 199)
        if self.status is not None and not first <= self.status <= last:
            raise ValueError(f"status is between {first} and {last}")
        for kind, names in _BELONGING.items():
            if (self.kind is kind) != any(getattr(self, name) for name in names):
                raise ValueError(f"{' and '.join(names)} go with {kind.value}, and only with it")
        if self.leaves_out_last < 0 or abs(self.date_shift_ms) > SHIFT_MAX_MS:
            raise ValueError("leaves_out_last is 0 or more, date_shift_ms at most a year")

    @property
    def stage(self) -> Stage:
        """Where the fault hits."""
        return _STAGES.get(self.kind, Stage.WORK)

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
        default = _DEFAULT_SHAPE.get(self.kind, ErrorShape.MESSAGE)
        return default if self.shape is None or self.kind is FaultKind.MESSAGE_LIST else self.shape

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

    def take(self, subject: Subject, stage: Stage) -> Fault | None:
        """Return the fault that hits this call at this stage, or None."""
        with self._lock:
            matching = [
                entry
                for entry in self._entries
                if entry.fault.stage is stage and entry.fault.matches(subject)
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
