"""Each call to a server, told to whoever listens to the logger ``CALLS``.

A call is told when the head of its reply is there, or when it is clear that there is
none. What is told holds no secret: neither headers nor bodies nor queries.
"""

from __future__ import annotations

import logging
import time

from reconciler.model import SECOND_MS
from reconciler.values import value

CALLS = logging.getLogger(__name__)


@value
class NetCall:
    """One call.

    ``peer`` is the kind of server. ``status`` is the reply's, None where there was no
    reply. ``duration_ms`` is how long the head of the reply took.
    """

    peer: str
    method: str
    path: str
    status: int | None
    duration_ms: int

    def __str__(self) -> str:
        """Return it as a line for people."""
        end = "no answer" if self.status is None else str(self.status)
        return f"{self.peer}: {self.method} {self.path}: {end} ({self.duration_ms} ms)"


def note_call(peer: str, method: str, path: str, status: int | None, began_s: float) -> None:
    """Tell of a call that began then, by ``time.monotonic``."""
    if CALLS.isEnabledFor(logging.DEBUG):
        took_ms = int((time.monotonic() - began_s) * SECOND_MS)
        call = NetCall(peer=peer, method=method, path=path, status=status, duration_ms=took_ms)
        CALLS.debug("%s", call, extra={"call": call})
