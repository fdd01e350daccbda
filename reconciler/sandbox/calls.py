"""The log of calls: what arrived, in order, and how each call ended."""

from __future__ import annotations

import dataclasses
import threading

from reconciler.sandbox.laws import Operation, Request, Route
from reconciler.sandbox.records import Call

CALLS_MAX = 50_000
_PATH_CHARACTERS_MAX = 512


class CallLog:
    """Keeps the last 50,000 calls and counts all; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._counts = dict.fromkeys(Operation, 0)

    def begin(self, route: Route, request: Request, *, at_ms: int, credential: str) -> int:
        """Note an arrival; return its number, which counts from 1."""
        with self._lock:
            number = sum(self._counts.values()) + 1
            self._counts[route.operation] += 1
            self._calls[number] = Call(
                number=number,
                at_ms=at_ms,
                method=request.method,
                path=request.target.partition("?")[0][:_PATH_CHARACTERS_MAX],
                operation=route.operation,
                credential=credential,
            )
            if len(self._calls) > CALLS_MAX:
                del self._calls[next(iter(self._calls))]
            return number

    def end(self, number: int, *, status: int | None, fault: str | None, changed: bool) -> None:
        """Note how a call ended; ``status`` None is an end without a reply."""
        with self._lock:
            call = self._calls.get(number)
            if call is not None:
                self._calls[number] = dataclasses.replace(
                    call, status=status, ended=True, fault=fault, changed=changed
                )

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that are kept, in order of arrival."""
        with self._lock:
            return tuple(self._calls.values())

    def count(self, *operations: Operation) -> int:
        """Return how many calls asked for one of these operations."""
        with self._lock:
            return sum(self._counts[operation] for operation in operations)
