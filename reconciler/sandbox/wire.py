"""HTTP/1.1 on loopback: connections, requests and replies as bytes.

Rules this module keeps:

1. Nothing that came in or goes out is printed: request lines, headers and bodies may
   hold secrets.
2. Connections, request sizes and idle times are bounded.
"""

from __future__ import annotations

import dataclasses
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reconciler.sandbox import answers
from reconciler.sandbox.answers import Answer
from reconciler.sandbox.faults import FaultKind
from reconciler.sandbox.laws import RefusedError, Request

BODY_BYTES_MAX = 64 * 1024
TARGET_CHARACTERS_MAX = 8 * 1024
CONNECTIONS_MAX = 256
IDLE_S = 60.0
STOP_S = 5.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CLIENTS_FAULT: dict[int, int] = {
    HTTPStatus.NOT_IMPLEMENTED: HTTPStatus.NOT_FOUND,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: HTTPStatus.BAD_REQUEST,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one call.

    Without an ``answer`` the connection ends (by a reset, if ``reset``). ``later`` runs
    after that. The reply's ``Date`` is wrong by ``date_shift_ms``.
    """

    answer: Answer | None
    reset: bool = False
    later: Callable[[], None] | None = None
    fault: FaultKind | None = None
    changed: bool = False
    date_shift_ms: int = 0


def http_date(at_ms: int) -> str:
    """Return ``Mon, 23 Mar 2026 12:34:56 GMT``."""
    return formatdate(at_ms // 1000, usegmt=True)


class Server(ThreadingHTTPServer):
    """Knows its open connections, so that stopping ends them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        *,
        decide: Callable[[Request, int], Verdict],
        now_ms: Callable[[], int],
    ) -> None:
        self.decide = decide
        self.now_ms = now_ms
        self.failures: list[str] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may ask a name server."""
        socketserver.TCPServer.server_bind(self)

    def verify_request(self, *_: Any) -> bool:
        """Refuse connections beyond the most we serve at once."""
        with self._changed:
            return len(self._open) < CONNECTIONS_MAX

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection before its thread runs."""
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Forget the connection when its thread ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open.discard(request)
                self._changed.notify_all()

    def end_connections(self) -> None:
        """Close what is open and wait, a bounded while, for the threads to see it."""
        with self._changed:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # its thread closed it already
            self._changed.wait_for(lambda: not self._open, timeout=STOP_S)

    def handle_error(self, *_: Any) -> None:
        """Remember a failure by type and place only; a client may leave at any time."""
        error, trace = sys.exc_info()[1], sys.exc_info()[2]
        if isinstance(error, OSError):
            return
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = (
            f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
            if trace is not None
            else "?"
        )
        self.failures.append(f"{type(error).__name__} at {place}")


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        arrived_ms = time.monotonic_ns() // 1_000_000
        try:
            request = self._read()
        except (
            RefusedError
        ) as refusal:  # the rest of what was sent is unknown, so the connection can't go on
            self._send(answers.error_answer(refusal.status, refusal.message), close=True)
            return
        verdict = self.server.decide(request, arrived_ms)
        if verdict.answer is not None:
            self._send(
                verdict.answer,
                close=verdict.answer.missing > 0,
                date_shift_ms=verdict.date_shift_ms,
            )
        else:
            self._drop(reset=verdict.reset)
        if verdict.later is not None:
            verdict.later()

    # http.server looks for these names
    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_OPTIONS = _serve  # noqa: N815

    def _read(self) -> Request:
        target = self.requestline.split()[1]
        if len(target) > TARGET_CHARACTERS_MAX or not target.isascii():
            raise RefusedError(
                HTTPStatus.REQUEST_URI_TOO_LONG, "Request target too long, or not ASCII"
            )
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        request = Request(method=self.command, target=target, headers=headers)
        if request.header("transfer-encoding") is not None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Send Content-Length, not Transfer-Encoding")
        length = request.header("content-length") or "0"
        if not (length.isascii() and length.isdigit()):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
        if len(length) > len(str(BODY_BYTES_MAX)) or int(length) > BODY_BYTES_MAX:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request body too large")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionResetError
        return dataclasses.replace(request, body=body)

    def _send(self, answer: Answer, *, close: bool, date_shift_ms: int = 0) -> None:
        """Write head and body at once: two writes might wait for an acknowledgement."""
        self.close_connection = self.close_connection or close
        fields = [
            ("Server", "reconciler-sandbox"),
            ("Date", http_date(self.server.now_ms() + date_shift_ms)),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body) + answer.missing)),
            *answer.headers,
        ]
        if self.close_connection:
            fields.append(("Connection", "close"))
        head = (
            f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in fields)
            + "\r\n"
        )
        self.wfile.write(head.encode("latin-1") + answer.body)

    def _drop(self, *, reset: bool) -> None:
        """End the connection without a reply, at once."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.rfile.close()
        self.connection.close()

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """Say what the parent can't parse or does not know as the exchange says errors.

        The parent's 400, 414 and 431 stay. Its 501 is a method without a route, its 505
        an unknown version of HTTP: neither is a failure of this side.
        """
        status = _CLIENTS_FAULT.get(code, code)
        self._send(answers.error_answer(status, "Request can't be understood"), close=True)

    def log_message(self, *_args: object) -> None:
        """Print nothing: rule 3."""
