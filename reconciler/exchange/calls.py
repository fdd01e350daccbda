"""How a call is made: in turn, signed, and again where that may help.

    what comes back             a read or a revoke          a derive
    --------------------------  --------------------------  ------------------------
    done, or a refusal          it stands                   it stands
    425, 502, 503, 504, or a    again, twice                it stands: it may be done
    broken connection
    429                         again, up to five times,    it stands; whoever asked
                                after ``Retry-After`` or a  may ask again, with a
                                growing pause               turn taken anew
    429 or 503 that asks for    it stands, and nothing      the same
    more than a minute          more is sent until then
    401, and another time may   again, signed by that time  it stands
    be the exchange's

A 429 means not done, which is why it is the one answer after which a derive may be sent
again. That is HTTP's meaning, and nobody saw the exchange answer a derive so: were it
wrong, the extra token would show in the list, which is asked before the next POST.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from reconciler.errors import ExchangeBusyError
from reconciler.exchange import replies
from reconciler.exchange.clock import OTHER_TIMES, ExchangeClock, Seconds
from reconciler.exchange.pacing import PAUSE_MAX_S, ClosedError, Host, Lane, Sleep, Trip, Turn
from reconciler.exchange.replies import Closed, Operation, Outcome, Reply
from reconciler.exchange.wire import LOST, Answer, Wire, credential_of, headers_of
from reconciler.model import Credentials, Secret
from reconciler.net import bounded, repeated
from reconciler.values import value

MAX_REPLY_BYTES = 32 * 1024 * 1024
"""A list of 50,000 tokens whose labels are as long as they may be takes 20 MiB."""

RETRY_TOTAL_S = 90.0
BACKOFF_S = (0.5, 1.0)  # before the second and the third attempt of a read or a revoke
BUSY_BACKOFF_S = (2.0, 4.0, 8.0)  # before the attempts after that, of a 429 only
SETTLE_TRIES = 3  # how often a read is asked again while the time is in doubt


@value
class Call:
    """One request before it is signed, by an HMAC pair or with the identity token."""

    operation: Operation
    method: str
    path: str
    signer: Credentials | Secret
    body: bytes | None = None
    leaving: Callable[[], None] = lambda: None  # called right before a first byte


class Calls:
    """Makes calls to one exchange; all clients of a ``signed_by`` family share it."""

    def __init__(
        self,
        wire: Wire,
        clock: ExchangeClock,
        *,
        monotonic: Seconds,
        sleep: Sleep,
    ) -> None:
        self.wire = wire
        self.clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._host = Host(monotonic, sleep)
        self._lanes: dict[str, Lane] = {}

    def leave_gap(self, ago_s: float) -> None:
        """Let first requests leave a gap to what another process may have sent."""
        self._host.leave_gap(ago_s)

    def lane(self, signer: Credentials | Secret) -> Lane:
        """Return the lane of a credential, which all clients of the family share."""
        new = Lane(self._host, self._monotonic, self._sleep)
        return self._lanes.setdefault(credential_of(signer), new)

    def perform(self, call: Call) -> Reply:
        """Send a read or a revoke, again where that may help.

        Of several answers to a read the last counts.
        """
        reply = self._succeeded(call, self._repeated(call))
        for _ in range(SETTLE_TRIES):
            if not (call.operation.reads_body and self.clock.is_in_doubt):
                break
            again = self._attempt_in_time(call)
            if not _is_success(call, again):
                break
            reply = self._succeeded(call, again)
        return reply

    def send_once(self, call: Call, turn: Turn | None = None) -> Reply:
        """Send a call once, with the turn that was granted for it, if there is one."""
        return self._succeeded(call, self._attempt(call, turn))

    def busy(self, closed: ClosedError) -> ExchangeBusyError:
        """Return the error of a call that was not sent because of a pause."""
        return replies.closed_error(Closed(rest_s=closed.rest_s), now_ms=self.clock.now_ms())

    def _repeated(self, call: Call) -> Outcome:
        give_up_at_s = self._monotonic() + RETRY_TOTAL_S

        def pause_s(outcome: Outcome, backoff_s: float) -> float | None:
            if backoff_s in BUSY_BACKOFF_S and not replies.is_busy(outcome):
                return None
            wait_s = replies.pause_of(outcome, backoff_s)
            in_time = wait_s is not None and self._monotonic() + wait_s <= give_up_at_s
            return wait_s if in_time else None

        return repeated(
            lambda: self._attempt_in_time(call),
            pause_s,
            backoff_s=(*BACKOFF_S, *BUSY_BACKOFF_S),
            sleep=self._sleep,
        )

    def _succeeded(self, call: Call, outcome: Outcome) -> Reply:
        if isinstance(outcome, Reply) and _is_success(call, outcome):
            return outcome
        raise replies.error_of(
            call.operation,
            outcome,
            call.signer,
            offset_ms=self.clock.offset_ms,
            now_ms=self.clock.now_ms(),
        )

    def _attempt_in_time(self, call: Call) -> Outcome:
        """Attempt once, and again where another time may be the exchange's."""
        outcome = self._attempt(call)
        if not isinstance(call.signer, Credentials):
            return outcome
        refused_ms: list[float] = []
        for _ in range(OTHER_TIMES):
            if not (isinstance(outcome, Reply) and outcome.status == HTTPStatus.UNAUTHORIZED):
                break
            refused_ms.append(outcome.signed_ahead_ms)
            other_ms = self.clock.ahead_instead(refused_ms)
            if other_ms is None:
                break
            outcome = self._attempt(call, ahead_ms=other_ms)
        if isinstance(outcome, Reply) and _is_signed_list(call, outcome):
            self.clock.accepted(outcome.signed_ahead_ms, refused_ms=refused_ms)
        return outcome

    def _attempt(
        self, call: Call, reserved: Turn | None = None, *, ahead_ms: float | None = None
    ) -> Outcome:
        """Send once, in turn, signed so far ahead of the steady clock (or as held)."""
        lane = self.lane(call.signer)
        try:
            with lane.begin(reserved), lane.host.place(soon=reserved is not None):
                return self._sent(call, lane, ahead_ms)
        except ClosedError as closed:
            return Closed(rest_s=closed.rest_s)
        except LOST as error:
            return self.wire.failure(error)

    def _sent(self, call: Call, lane: Lane, ahead_ms: float | None) -> Reply:
        clock = self.clock
        signed_ms = clock.ahead_to_sign() if ahead_ms is None else ahead_ms
        headers = headers_of(
            call.method, call.path, call.body, call.signer, now_ms=clock.at_ms(signed_ms)
        )
        trips: list[Trip] = []

        def hold() -> None:
            trips.append(lane.hold())
            call.leaving()

        try:
            with self.wire.sent(
                call.method,
                call.path,
                body=call.body,
                headers=headers,
                hold=hold,
            ) as (answer, sent_at_s):
                _end(lane, trips)
                clock.observe(answer.headers.get("date"), sent_at_s=sent_at_s)
                return self._read(call, lane, answer, signed_ms)
        finally:
            _end(lane, trips)

    def _read(self, call: Call, lane: Lane, answer: Answer, signed_ms: float) -> Reply:
        operation, status = call.operation, answer.status
        retry_after_s = replies.retry_after_of(
            answer.headers.get("retry-after"), now_ms=self.clock.now_ms()
        )
        is_html = "html" in answer.headers.get("content-type", "").lower()
        for_all = self._paced(call, lane, status, retry_after_s, is_html=is_html)
        is_read = operation.reads_body and status in operation.success
        return Reply(
            status=status,
            # as it came: of a compressed body nobody knows the size
            body=bounded(answer.body, MAX_REPLY_BYTES) if is_read else None,
            is_html=is_html,
            retry_after_s=retry_after_s,
            signed_ahead_ms=signed_ms,
            for_all=for_all,
        )

    def _paced(
        self, call: Call, lane: Lane, status: int, asked_s: float | None, *, is_html: bool
    ) -> bool:
        """Let the pace follow an answer; return whether it is a 429 for everybody."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            lane.told_busy(asked_s)
            return lane.host.told_busy(credential_of(call.signer), asked_s, by_edge=is_html)
        lane.told_other()
        if asked_s is not None and status == HTTPStatus.SERVICE_UNAVAILABLE:
            lane.host.pause(asked_s)
        elif asked_s is not None:
            lane.pause(min(asked_s, PAUSE_MAX_S))
        return False


def _end(lane: Lane, trips: list[Trip]) -> None:
    for trip in trips:
        lane.ended(trip)


def _is_success(call: Call, outcome: Outcome) -> bool:
    return isinstance(outcome, Reply) and outcome.status in call.operation.success


def _is_signed_list(call: Call, reply: Reply) -> bool:
    """Tell whether a reply proves its signature; an edge's page does not."""
    return _is_success(call, reply) and call.operation.reads_body and not reply.is_html
