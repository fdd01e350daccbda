"""A server on loopback that gives each request to one function: the frame of all
stand-ins that need no more than HTTP.

Rules this module keeps:

1. A request is read whole before it is judged; several may be under way at once.
2. Nothing is printed.
3. Every wait ends when the server stops.

What needs the bytes on the wire, or a connection that misbehaves, is in
``http_stub.py``.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_POLL_S = 0.02
_IDLE_S = 30.0
_PEER_S = 10.0
_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; ``target`` is path and query as sent, headers have lower-case
    names.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without its query, still quoted."""
        return urllib.parse.urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query; of a name that stands twice, the last value."""
        query = urllib.parse.urlsplit(self.target).query
        return dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def bearer(self) -> str | None:
        """Return what follows ``Bearer`` or ``token`` in the Authorization header."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() in {"bearer", "token"} else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply: JSON unless ``body`` is given."""

    status: int
    document: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


Handle = Callable[[Request], Reply | None]
"""What answers; None closes the connection without a word."""


def passed_on(request: Request, address: str) -> Reply:
    """Return the answer of the peer at ``address``, which is plain HTTP on loopback."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=_PEER_S)
    try:
        connection.request(
            request.method,
            request.target,
            body=request.body or None,
            headers=dict(request.headers),
        )
        reply = connection.getresponse()
        headers = {name: text for name, text in reply.getheaders() if name.lower() not in _HOP}
        return Reply(status=reply.status, body=reply.read(), headers=headers)
    finally:
        connection.close()


class LoopbackServer:
    """Answers with ``handle`` at ``url`` as long as the ``with`` block lasts.

    ``closing`` is set when the block ends.
    """

    def __init__(self, handle: Handle) -> None:
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(handle))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(handle: Handle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection, one request."""

        timeout = _IDLE_S

        def handle_one_request(self) -> None:
            """Answer, whatever the method."""
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                return
            request = Request(
                method=self.command,
                target=self.path,
                headers={name.lower(): text for name, text in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            reply = handle(request)
            if reply is not None:
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            content = reply.body if reply.body is not None else json.dumps(reply.document).encode()
            headers = {
                "content-type": "application/json; charset=utf-8",
                "content-length": str(len(content)),
                "connection": "close",
                **{name.lower(): text for name, text in reply.headers.items()},
            }
            self.send_response_only(reply.status, responses.get(reply.status, "Unknown"))
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Print nothing: rule 2."""

    return Handler
