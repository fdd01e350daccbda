"""The sandbox as a server:

HTTP/1.1 on loopback in front of the laws, with faults on demand.

Rules this module keeps:

1. The order of a call: route (404), edge faults, authentication (401), limits (429),
   faults of the work, the work.
2. The place in the limit is given back and the call is noted as ended before the first
   byte of the reply leaves, so that a client that acts on a reply never meets the
   traces of its own call.
3. Nothing that came in or goes out is printed: request lines, headers and bodies may
   hold secrets.
4. Every wait ends when the sandbox stops; connections, request sizes and idle times are
   bounded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import secrets
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
from types import TracebackType
from typing import Any, Self, assert_never

from reconciler.sandbox import answers, control, laws, store
from reconciler.sandbox.answers import Answer
from reconciler.sandbox.faults import Fault, FaultBook, FaultKind
from reconciler.sandbox.laws import (
    Operation,
    Pace,
    RefusedError,
    Request,
    RetryAfter,
    Route,
    SandboxConfig,
)
from reconciler.sandbox.state import Caller, Reply, SandboxState, Twist

BODY_BYTES_MAX = 64 * 1024
TARGET_CHARACTERS_MAX = 8 * 1024
CONNECTIONS_MAX = 256
IDLE_S = 60.0
STOP_S = 5.0
_POLL_S = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CLIENTS_FAULT: dict[int, int] = {
    HTTPStatus.NOT_IMPLEMENTED: HTTPStatus.NOT_FOUND,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: HTTPStatus.BAD_REQUEST,
}
_DEFAULT_CONFIG = SandboxConfig()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one call.

    Without an ``answer`` the connection ends (by a reset, if ``reset``); then ``later``
    runs.
    """

    answer: Answer | None
    reset: bool = False
    later: Callable[[], None] | None = None
    fault: FaultKind | None = None
    changed: bool = False


class Sandbox:
    """A stand-in of the exchange's token API at ``url``, listening from the start and answering from ``start`` on.

    As a context manager it starts and stops. ``state`` and ``faults`` may be read and
    changed from any thread. ``clock`` gives milliseconds since the epoch,
    ``entropy(n)`` n random bytes. OSError if the port is taken; ValueError if
    ``state_file`` is not a state file.
    """

    def __init__(  # noqa: PLR0913  # keyword-only settings with defaults
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        config: SandboxConfig = _DEFAULT_CONFIG,
        state_file: Path | None = None,
        clock: Callable[[], int] = _wall_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._state_file = state_file
        saved = store.load(state_file) if state_file is not None else None
        self.state = SandboxState(
            clock=clock, entropy=entropy, config=config, saved=saved, on_change=self._save
        )
        self.faults = FaultBook()
        self.identity_token = self.state.issue_identity()
        self.control_token = secrets.token_urlsafe(24)
        self._control = control.Control(
            token=self.control_token, state=self.state, faults=self.faults
        )
        self._pace = Pace()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._server = _Server((host, port), self)
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def start(self) -> None:
        """Answer in the background until ``stop``."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="sandbox", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, end all connections and waits; may be repeated.

        RuntimeError if a handler had failed.
        """
        self._stopping.set()
        if self._thread is not None:
            with contextlib.suppress(
                OSError
            ):  # wakes the loop at once where the system allows it, else it wakes by itself
                self._server.socket.shutdown(socket.SHUT_RDWR)
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.end_connections()
        if self._server.failures:
            raise RuntimeError(f"the sandbox failed to answer: {', '.join(self._server.failures)}")

    def request_stop(self) -> None:
        """Let ``wait_for_stop`` return; callable from a signal handler."""
        self._stopping.set()

    def wait_for_stop(self) -> None:
        """Return once ``request_stop`` or ``stop`` was called."""
        self._stopping.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self, delay_ms: int) -> bool:
        """Wait; False if the sandbox stopped meanwhile."""
        return (
            not self._stopping.wait(delay_ms / 1000)
            if delay_ms > 0
            else not self._stopping.is_set()
        )

    def decide(self, request: Request, *, arrived_ms: int) -> Verdict:
        """What becomes of a request; ``arrived_ms`` is monotonic."""
        if request.target.startswith(control.PREFIX):
            return Verdict(answer=self._control.answer(request))
        try:
            route = laws.route(request.method, request.target)
        except RefusedError as refusal:
            return Verdict(answer=self._refusal(refusal))
        number = self.state.begin_call(route, request)
        verdict = self._call(route, request, number, arrived_ms)
        self.state.end_call(
            number,
            status=None if verdict.answer is None else verdict.answer.status,
            fault=None if verdict.fault is None else verdict.fault.value,
            changed=verdict.changed,
        )
        return verdict

    # --- one call of the API

    def _call(self, route: Route, request: Request, number: int, arrived_ms: int) -> Verdict:
        subject = self.state.subject(route, request)
        edge = self.faults.take(subject, edge=True)
        if edge is not None:
            return self._at_edge(edge)
        try:
            if route.operation is Operation.REVOKE:
                laws.check_bare(request)
            caller = self.state.authenticate(route.operation, request)
            with self._pace.admitted(caller.key, arrived_ms, self.state.config):
                fault = self.faults.take(subject, edge=False)
                if fault is None:
                    reply = self.state.perform(route, caller, request)
                    return Verdict(
                        answer=answers.json_answer(reply.status, reply.body), changed=reply.changed
                    )
                if fault.kind is FaultKind.LATE:
                    later = functools.partial(
                        self._late, fault.delay_ms, route, caller, request, number
                    )
                    return Verdict(answer=None, reset=True, fault=fault.kind, later=later)
                if not self.wait(fault.delay_ms):
                    return Verdict(answer=None, fault=fault.kind)
                return self._after_work(fault, self._perform(fault, route, caller, request))
        except RefusedError as refusal:
            return Verdict(answer=self._refusal(refusal))

    def _perform(self, fault: Fault, route: Route, caller: Caller, request: Request) -> Reply:
        """Do the work under a fault; a refusal is a reply like any other, and can be lost like any other."""
        twist = Twist(grant=fault.scopes or None, ends_older=fault.kind is FaultKind.ENDS_OLDER)
        try:
            return self.state.perform(route, caller, request, twist=twist)
        except RefusedError as refusal:
            return Reply(status=refusal.status, body={"message": refusal.message})

    def _after_work(self, fault: Fault, reply: Reply) -> Verdict:
        if fault.kind is FaultKind.LOST_REPLY:
            return Verdict(answer=None, reset=True, fault=fault.kind, changed=reply.changed)
        if fault.kind is FaultKind.ERROR_AFTER:
            answer = self._error_of(fault)
        elif fault.kind is FaultKind.GARBAGE:
            answer = answers.spoiled(reply.status, reply.body, fault.garbage)
        else:  # it waited, or the work itself came out differently
            answer = answers.json_answer(reply.status, reply.body)
        return Verdict(answer=answer, fault=fault.kind, changed=reply.changed)

    def _late(
        self, delay_ms: int, route: Route, caller: Caller, request: Request, number: int
    ) -> None:
        """The work of a call whose client has long gone: authenticated at its arrival, done now."""
        if not self.wait(delay_ms):
            return
        try:
            reply = self.state.perform(route, caller, request)
        except RefusedError:
            return  # nobody is left to be told
        self.state.end_call(number, status=None, fault=FaultKind.LATE.value, changed=reply.changed)

    def _at_edge(self, fault: Fault) -> Verdict:
        if not self.wait(fault.delay_ms) or fault.kind is FaultKind.CLOSE_BEFORE:
            return Verdict(answer=None, fault=fault.kind)
        return Verdict(answer=self._error_of(fault), fault=fault.kind)

    # --- errors

    def _error_of(self, fault: Fault) -> Answer:
        answer = answers.error_answer(
            fault.error_status, "The sandbox was asked to fail", shape=fault.error_shape
        )
        if fault.retry_after_s is None:
            return answer
        form = RetryAfter.DATE if fault.retry_after_as_date else RetryAfter.SECONDS
        return dataclasses.replace(answer, headers=self._retry_after(form, fault.retry_after_s))

    def _refusal(self, refusal: RefusedError) -> Answer:
        answer = answers.error_answer(refusal.status, refusal.message)
        if refusal.wait_ms is None:
            return answer
        return dataclasses.replace(
            answer,
            headers=self._retry_after(self.state.config.retry_after, -(-refusal.wait_ms // 1000)),
        )

    def _retry_after(self, form: RetryAfter, wait_s: int) -> tuple[tuple[str, str], ...]:
        match form:
            case RetryAfter.NONE:
                return ()
            case RetryAfter.SECONDS:
                return (("Retry-After", str(wait_s)),)
            case RetryAfter.DATE:
                return (("Retry-After", http_date(self.state.now_ms() + wait_s * 1000)),)
            case _:
                assert_never(form)

    def _save(self) -> None:
        if self._state_file is not None:
            store.save(self._state_file, self.state.dump())


def http_date(at_ms: int) -> str:
    """``Mon, 23 Mar 2026 12:34:56 GMT``."""
    return formatdate(at_ms // 1000, usegmt=True)


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that stopping ends them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.failures: list[str] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the parent's look-up of the host's name, which may ask a name server."""
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
        """A client that went away is no failure; anything else is remembered, by type and place only."""
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
    server: _Server

    def _serve(self) -> None:
        arrived_ms = time.monotonic_ns() // 1_000_000
        try:
            request = self._read()
        except (
            RefusedError
        ) as refusal:  # the rest of what was sent is unknown, so the connection can't go on
            self._send(answers.error_answer(refusal.status, refusal.message), close=True)
            return
        verdict = self.server.sandbox.decide(request, arrived_ms=arrived_ms)
        if verdict.answer is not None:
            self._send(verdict.answer, close=verdict.answer.missing > 0)
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

    def _send(self, answer: Answer, *, close: bool) -> None:
        """Head and body in one write: two would wait for each other on a slow acknowledgement."""
        self.close_connection = self.close_connection or close
        fields = [
            ("Server", "reconciler-sandbox"),
            ("Date", http_date(self.server.sandbox.state.now_ms())),
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
        """What the parent can't parse (400, 414, 431) or does not know, said as the exchange says errors.

        Its 501 is a method without a route, its 505 an unknown version of HTTP: neither
        is a failure of this side.
        """
        status = _CLIENTS_FAULT.get(code, code)
        self._send(answers.error_answer(status, "Request can't be understood"), close=True)

    def log_message(self, *_args: object) -> None:
        """Print nothing: rule 3."""
