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
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.loopback import on_loopback

CHANGING = frozenset({"POST", "PUT", "DELETE"})
_HOP = frozenset({"connection", "transfer-encoding", "keep-alive"})


class Mishap(enum.Enum):
    """What becomes of the chosen request."""

    LOST_REPLY = "lost reply"  # done, and the connection is closed without an answer
    LOST_REQUEST = "lost request"  # not done, and the same
    ERROR_AFTER = "error after"  # done, and answered with a gateway's error
    ERROR_BEFORE = "error before"  # not done, and the same
    REFUSED = "refused"  # not done, and answered as Vault does where a policy says no


class VaultProxy:
    """Stands in front of ``address``; the ``at``-th changing request meets the mishap,
    all later ones too if ``lasting``.
    """

    def __init__(self, address: str, mishap: Mishap, at: int, *, lasting: bool = False) -> None:
        self._host = address.removeprefix("http://")
        self._mishap = mishap
        self._at = at
        self._lasting = lasting
        self._lock = threading.Lock()
        self.changes = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """The address to use instead."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """One request, passed on or not."""

            def handle_one_request(self) -> None:
                """Whatever the method."""
                self.raw_requestline = self.rfile.readline(65_537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self.close_connection = True
                proxy.pass_on(self)

            def log_message(self, *_: Any) -> None:
                """Rule 2."""

        with on_loopback(Handler) as url:
            yield url

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        """One request to Vault and its answer back, unless it is the chosen one."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        mishap = self._mishap_of(handler.command)
        if mishap is Mishap.LOST_REQUEST:
            return
        if mishap in {Mishap.ERROR_BEFORE, Mishap.REFUSED}:
            _answer(handler, mishap)
            return
        connection = http.client.HTTPConnection(self._host, timeout=10)
        try:
            connection.request(
                handler.command, handler.path, body=body, headers=dict(handler.headers.items())
            )
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if mishap is Mishap.LOST_REPLY:
            return
        if mishap is Mishap.ERROR_AFTER:
            _answer(handler, mishap)
            return
        handler.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in _HOP:
                handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)

    def _mishap_of(self, method: str) -> Mishap | None:
        if method not in CHANGING:
            return None
        with self._lock:
            self.changes += 1
            hit = self.changes == self._at or (self._lasting and self.changes > self._at)
        return self._mishap if hit else None


def _answer(handler: BaseHTTPRequestHandler, mishap: Mishap) -> None:
    content = (
        b'{"errors": ["permission denied"]}'
        if mishap is Mishap.REFUSED
        else b"<html>bad gateway</html>"
    )
    handler.send_response_only(403 if mishap is Mishap.REFUSED else 502)
    handler.send_header(
        "Content-Type", "application/json" if mishap is Mishap.REFUSED else "text/html"
    )
    handler.send_header("Content-Length", str(len(content)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(content)
