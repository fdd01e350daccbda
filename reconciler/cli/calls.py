"""The calls of a command: told where the log is at level debug, counted for metrics.

Light: the standard library's logging is loaded only where somebody listens.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from reconciler.cli import log
from reconciler.cli.console import complain, tell
from reconciler.escape import safe

if TYPE_CHECKING:
    from reconciler.net import NetCall

Counts = collections.Counter[tuple[str, int | None]]
"""Calls by the kind of server and the status of the reply; None if there was none."""


@contextlib.contextmanager
def calls_told() -> Iterator[None]:
    """Tell of each call that is made meanwhile, if the log is at level debug."""
    if not log.current.debug:
        yield
        return
    with _listening(_tell):
        yield


@contextlib.contextmanager
def calls_counted() -> Iterator[Counts]:
    """Count the calls that are made meanwhile."""
    counts: Counts = collections.Counter()

    def count(call: NetCall) -> None:
        counts[call.peer, call.status] += 1

    with _listening(count):
        yield counts


def _tell(call: NetCall) -> None:
    if not log.current.json:
        complain(f"debug: {safe(str(call))}")
        return
    tell(
        "api_call",
        "debug",
        peer=call.peer,
        method=call.method,
        path=safe(call.path),
        status=call.status,
        duration_ms=call.duration_ms,
    )


@contextlib.contextmanager
def _listening(hear: Callable[[NetCall], None]) -> Iterator[None]:
    import logging  # noqa: PLC0415  # ``--help`` needs none of it

    from reconciler.net import CALLS  # noqa: PLC0415  # the same

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Hand the call on; the handler's lock lets one thread in at a time."""
            call: NetCall | None = getattr(record, "call", None)
            if call is not None:
                hear(call)

    listener, level = Listener(logging.DEBUG), CALLS.level
    CALLS.addHandler(listener)
    CALLS.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        CALLS.removeHandler(listener)
        CALLS.setLevel(level)
