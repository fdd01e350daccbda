"""A peer that passes everything on to the real one and then puts words in its mouth.

Headers of a request may be echoed back in the reply, as proxies that explain themselves
do; a body may be replaced or edited.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.loopback import on_loopback

_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One request and the real peer's answer to it; ``document`` is its body as JSON,
    or None.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    document: Any

    def echo(self) -> str:
        """All that was asked and answered in one text, credentials included."""
        return f"{self.method} {self.path} {self.headers} {self.body.decode(errors='replace')} {json.dumps(self.document)}"


Lie = Callable[[Exchanged], tuple[int, bytes] | None]
"""What is answered instead: a status and a body; None for the truth."""


@contextlib.contextmanager
def lying(address: str, lie: Lie) -> Iterator[str]:
    """The address to use instead of ``address``, which is plain HTTP on loopback."""

    class Handler(BaseHTTPRequestHandler):
        """One request, passed on, and its answer, perhaps another."""

        def handle_one_request(self) -> None:
            """Whatever the method."""
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
            try:
                connection.request(
                    self.command, self.path, body=body or None, headers=dict(self.headers.items())
                )
                reply = connection.getresponse()
                content = reply.read()
            finally:
                connection.close()
            told = lie(
                Exchanged(
                    method=self.command,
                    path=self.path,
                    headers=dict(self.headers.items()),
                    body=body,
                    status=reply.status,
                    document=_parsed(content),
                )
            )
            status, content = (reply.status, content) if told is None else told
            self.send_response_only(status)
            for name, value in reply.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with on_loopback(Handler) as url:
        yield url


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
