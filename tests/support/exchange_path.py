"""The path to an exchange, with the jitter and the edge that a real one has.

A request is delayed by a random time up to ``jitter_ms``, each by another; with
``both_ways`` its reply is, too. ``edge`` may answer in the exchange's place.

Rules this module keeps:

1. The delays come from a seed: a run can be repeated.
2. What passes is passed on whole, and one connection serves one request; nothing is
   printed or kept.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from tests.support.loopback import LoopbackServer, Reply, Request, passed_on

PAGE = b"<html><body>slow down</body></html>"

Edge = Callable[[Request], Reply | None]
"""What stands before the exchange: its own answer, or None to let a request pass."""


def busy_reply(*, retry_after: str | None = None, page: bool = False) -> Reply:
    """A 429: as the exchange's own, or as a page of its edge."""
    headers: Mapping[str, str] = {} if retry_after is None else {"Retry-After": retry_after}
    if page:
        return Reply(status=429, body=PAGE, headers={**headers, "Content-Type": "text/html"})
    return Reply(status=429, document={"message": "Too many requests"}, headers=headers)


class ExchangePath:
    """Stands in front of ``address``.

    ``arrivals`` are the monotonic seconds and the requests, as they came in.
    """

    def __init__(
        self,
        address: str,
        *,
        jitter_ms: float = 0.0,
        both_ways: bool = False,
        seed: int = 1,
        edge: Edge = lambda _: None,
    ) -> None:
        self._address = address
        self._jitter_s = jitter_ms / 1000
        self._both_ways = both_ways
        self._dice = random.Random(seed)  # noqa: S311  # delays, not keys
        self._lock = threading.Lock()
        self._edge = edge
        self.arrivals: list[tuple[float, Request]] = []

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Yield the address to use instead."""
        with LoopbackServer(self._answer) as server:
            yield server.url

    def _answer(self, request: Request) -> Reply | None:
        with self._lock:
            self.arrivals.append((time.monotonic(), request))
        reply = self._edge(request)
        if reply is not None:
            return reply
        self._delay()
        reply = passed_on(request, self._address)
        if self._both_ways:
            self._delay()
        return reply

    def _delay(self) -> None:
        if self._jitter_s:
            with self._lock:
                delay_s = self._dice.uniform(0.0, self._jitter_s)
            time.sleep(delay_s)
