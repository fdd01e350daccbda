"""A stretch of network in front of a real Vault that is slow and at times busy.

Rules this module keeps:

1. A busy answer is given to the first ``times`` requests that fit, each of a path of
   its own if ``each``; all else is passed on whole.
2. Jitter delays a request before it is passed on, by what the dice say.
3. Nothing is printed or kept but counts and the paths that were met.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
import threading
import time
from collections.abc import Iterator

from tests.support.loopback import LoopbackServer, Reply, Request, passed_on

CHANGING = ("POST", "PUT", "DELETE")
HTML = {"Content-Type": "text/html"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Busy:
    """One kind of busy answer.

    ``status`` None breaks the connection. ``applied``: Vault did it all the same.
    """

    status: int | None = 429
    retry_after: str | None = None
    errors: tuple[str, ...] | None = ()
    applied: bool = False

    def reply(self) -> Reply | None:
        """What is answered, or None for a broken connection."""
        if self.status is None:
            return None
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        if self.errors is None:
            page = b"<html>come back later</html>"
            return Reply(status=self.status, body=page, headers={**headers, **HTML})
        return Reply(status=self.status, document={"errors": self.errors}, headers=headers)


@dataclasses.dataclass(kw_only=True)
class BusyVault:
    """Stands in front of ``address``, and is busy for some of what changes something.

    They are those whose path fits ``path``. ``met`` has their paths, in order.
    """

    address: str
    busy: Busy = dataclasses.field(default_factory=Busy)
    path: str = "/data/"
    times: int = 1
    each: bool = False
    jitter_ms: float = 0.0
    met: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._dice = random.Random(1)  # noqa: S311  # jitter

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Yield the address to use instead."""
        with LoopbackServer(self._answer) as server:
            yield server.url

    def _answer(self, request: Request) -> Reply | None:
        with self._lock:
            delay_ms = self._dice.uniform(0, self.jitter_ms)
            fits = request.method in CHANGING and re.search(self.path, request.path)
            before = self.met.count(request.path) if self.each else len(self.met)
            hit = bool(fits) and before < self.times
            if hit:
                self.met.append(request.path)
        time.sleep(delay_ms / 1000)
        if not hit or self.busy.applied:
            passed = passed_on(request, self.address)
        return self.busy.reply() if hit else passed
