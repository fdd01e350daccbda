"""The sandbox: the laws behind a server on loopback, with faults on demand.

Rules this module keeps:

1. The order of a call: route (404), edge faults, maintenance (503), authentication
   (401), limits (429), faults of the work, the work, faults of the reply.
2. The place in the limit is given back and the call is noted as ended before the first
   byte of the reply leaves. A client that acts on a reply therefore never meets the
   traces of its own call.
3. Every wait ends when the sandbox stops.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import secrets
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

from reconciler.sandbox import answers, control, laws, store
from reconciler.sandbox.answers import Answer
from reconciler.sandbox.config import RetryAfter, SandboxConfig
from reconciler.sandbox.faults import Fault, FaultBook, FaultKind, Stage
from reconciler.sandbox.laws import Operation, Pace, RefusedError, Request, Route
from reconciler.sandbox.records import Caller, Subject, Twist, Worked
from reconciler.sandbox.state import SandboxState
from reconciler.sandbox.wire import Server, Verdict, http_date

_POLL_S = 0.05
_FAILED = "The sandbox was asked to fail"
_SENTENCES = {FaultKind.NOTHING_DONE: "Welcome"}
_DEFAULT_CONFIG = SandboxConfig()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Sandbox:
    """A stand-in of the exchange's token API at ``url``.

    It listens from the beginning and answers from ``start`` on; as a context manager it
    starts and stops. ``state`` and ``faults`` may be read and changed from any thread.
    ``clock`` gives milliseconds since the epoch,
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
        self._server = Server((host, port), decide=self.decide, now_ms=self.state.now_ms)
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
        """Wait; return False if the sandbox stopped meanwhile."""
        return (
            not self._stopping.wait(delay_ms / 1000)
            if delay_ms > 0
            else not self._stopping.is_set()
        )

    def decide(self, request: Request, arrived_ms: int) -> Verdict:
        """Return what becomes of a request; ``arrived_ms`` is monotonic."""
        if request.target.startswith(control.PREFIX):
            return Verdict(answer=self._control.answer(request))
        try:
            route = laws.route(request.method, request.target)
        except RefusedError as refusal:
            return Verdict(answer=self._refusal(refusal))
        number = self.state.begin_call(route, request)
        subject = self.state.subject(route, request)
        verdict = self._dated(subject, self._call(route, subject, request, number, arrived_ms))
        self.state.end_call(
            number,
            status=None if verdict.answer is None else verdict.answer.status,
            fault=None if verdict.fault is None else verdict.fault.value,
            changed=verdict.changed,
        )
        return verdict

    # --- one call of the API

    def _dated(self, subject: Subject, verdict: Verdict) -> Verdict:
        """Return the verdict with the ``Date`` that its reply shows."""
        wrong = self.faults.take(subject, Stage.REPLY) if verdict.answer is not None else None
        shift_ms = self.state.config.date_shift_ms if wrong is None else wrong.date_shift_ms
        fault = verdict.fault or (None if wrong is None else wrong.kind)
        return dataclasses.replace(verdict, date_shift_ms=shift_ms, fault=fault)

    def _call(
        self, route: Route, subject: Subject, request: Request, number: int, arrived_ms: int
    ) -> Verdict:
        edge = self.faults.take(subject, Stage.EDGE)
        if edge is not None:
            return self._at_edge(edge)
        if route.operation is Operation.MAINTENANCE:
            return self._worked(self.state.maintenance())
        if self.state.config.maintenance:
            return Verdict(
                answer=answers.error_answer(HTTPStatus.SERVICE_UNAVAILABLE, "Maintenance")
            )
        try:
            if route.operation is Operation.REVOKE:
                laws.check_bare(request)
            caller = self.state.authenticate(route.operation, request)
            with self._pace.admitted(caller.key, arrived_ms, self.state.config):
                fault = self.faults.take(subject, Stage.WORK)
                if fault is None:
                    return self._worked(self.state.perform(route, caller, request))
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

    def _perform(self, fault: Fault, route: Route, caller: Caller, request: Request) -> Worked:
        """Do the work under a fault; a refusal can be lost like any other reply."""
        twist = Twist(
            grant=fault.scopes or None,
            ends_older=fault.kind is FaultKind.ENDS_OLDER,
            leaves_out=fault.leaves_out,
            leaves_out_last=fault.leaves_out_last,
        )
        try:
            return self.state.perform(route, caller, request, twist=twist)
        except RefusedError as refusal:
            return Worked(status=refusal.status, body={"message": refusal.message})

    def _worked(self, reply: Worked) -> Verdict:
        answer = answers.json_answer(reply.status, reply.body)
        return Verdict(answer=answer, changed=reply.changed)

    def _after_work(self, fault: Fault, reply: Worked) -> Verdict:
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
        """Do the work of a call now that was authenticated when it arrived."""
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
            fault.error_status, _SENTENCES.get(fault.kind, _FAILED), shape=fault.error_shape
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
