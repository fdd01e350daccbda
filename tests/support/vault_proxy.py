"""A stretch of network in front of a real Vault that fails one chosen request: before
Vault sees it, or after it was done.

Rules this module keeps:

1. Only what changes something is counted (POST, PUT, DELETE), from 1, in order of
   arrival.
2. What passes is passed on whole, headers and bodies as they are; nothing is printed or
   kept.
"""

from __future__ import annotations

import contextlib
import enum
import threading
from collections.abc import Iterator

from tests.support.loopback import LoopbackServer, Reply, Request, passed_on

CHANGING = frozenset({"POST", "PUT", "DELETE"})


class Mishap(enum.Enum):
    """What becomes of the chosen request."""

    LOST_REPLY = "lost reply"  # done, and the connection is closed without an answer
    LOST_REQUEST = "lost request"  # not done, and the same
    ERROR_AFTER = "error after"  # done, and answered with a gateway's error
    ERROR_BEFORE = "error before"  # not done, and the same
    REFUSED = "refused"  # not done, and answered as Vault does where a policy says no


_ANSWERS = {
    Mishap.REFUSED: Reply(status=403, document={"errors": ["permission denied"]}),
    **dict.fromkeys(
        (Mishap.ERROR_BEFORE, Mishap.ERROR_AFTER),
        Reply(status=502, body=b"<html>bad gateway</html>", headers={"Content-Type": "text/html"}),
    ),
}
_NOT_DONE = frozenset({Mishap.LOST_REQUEST, Mishap.ERROR_BEFORE, Mishap.REFUSED})


class VaultProxy:
    """Stands in front of ``address``; the ``at``-th changing request meets the mishap.

    If ``lasting``, all later ones meet it too.
    """

    def __init__(self, address: str, mishap: Mishap, at: int, *, lasting: bool = False) -> None:
        self._address = address
        self._mishap = mishap
        self._at = at
        self._lasting = lasting
        self._lock = threading.Lock()
        self.changes = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Yield the address to use instead."""
        with LoopbackServer(self._answer) as server:
            yield server.url

    def _answer(self, request: Request) -> Reply | None:
        if not self._hits(request.method):
            return passed_on(request, self._address)
        if self._mishap not in _NOT_DONE:
            passed_on(request, self._address)
        return _ANSWERS.get(self._mishap)

    def _hits(self, method: str) -> bool:
        if method not in CHANGING:
            return False
        with self._lock:
            self.changes += 1
            return self.changes == self._at or (self._lasting and self.changes > self._at)
