"""What bounds a reply and a series of attempts.

Rules this module keeps:

1. It knows no HTTP library: a client hands over chunks of bytes, and the outcomes of
   its own requests.
2. A body and a series of attempts have an end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


def caught(work: Callable[[], T], *kinds: type[E]) -> T | E:
    """Return what the work returns, or the exception of these kinds that it raises.

    Whoever raises an error of ours for the exception does so outside every ``except``.
    The error therefore has no context: an exception of httpx holds the request with its
    headers, and one of json holds the body.
    """
    try:
        return work()
    except kinds as error:
        return error


def bounded(chunks: Iterable[bytes], limit: int, *, end_s: float = math.inf) -> bytes | None:
    """Return the joined chunks, or None for more than ``limit`` bytes.

    ``end_s`` is an instant of ``time.monotonic``; a chunk that comes later also means
    None. Errors of the iterator pass through.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit or time.monotonic() > end_s:
            return None
    return bytes(body)


def repeated(
    attempt: Callable[[], T],
    pause_s: Callable[[T, float], float | None],
    *,
    backoff_s: Iterable[float],
    sleep: Callable[[float], None],
) -> T:
    """Return the outcome of the last attempt of a call that may be repeated.

    ``pause_s`` gets an outcome and the next of ``backoff_s``; it returns how long to
    wait before another attempt, or None where the outcome stands. There is one attempt
    more than there are entries in ``backoff_s``.
    """
    outcome = attempt()
    for least_s in backoff_s:
        wait_s = pause_s(outcome, least_s)
        if wait_s is None:
            break
        sleep(wait_s)
        outcome = attempt()
    return outcome
