"""A server on loopback that gives each request to one function: the frame of the
stand-ins of GitHub's hosts.

Rules this module keeps:

1. A request is read whole before it is judged; several may be under way at once.
2. Nothing is printed.
3. Every wait ends when the server stops.
"""

from __future__ import annotations

import dataclasses
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request:

    ``path`` without its query, still quoted; names of ``headers`` in lower case.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def bearer(self) -> str | None:
        """What stands behind ``Bearer`` or ``token`` in the Authorization header."""
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


class LoopbackServer:
    """Answers with ``handle`` at ``url`` as long as the ``with`` block lasts;
    ``closing`` is set when it ends.
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
            """Whatever the method."""
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                return
            address = urllib.parse.urlsplit(self.path)
            request = Request(
                method=self.command,
                path=address.path,
                query=dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True)),
                headers={name.lower(): text for name, text in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            reply = handle(request)
            if reply is not None:
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            content = reply.body if reply.body is not None else json.dumps(reply.document).encode()
            headers = {
                "Content-Type": "application/json; charset=utf-8",
                "Content-Length": str(len(content)),
                "Connection": "close",
                **reply.headers,
            }
            self.send_response_only(reply.status, responses.get(reply.status, "Unknown"))
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Rule 2."""

    return Handler
