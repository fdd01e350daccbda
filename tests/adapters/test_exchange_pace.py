"""The pace of the exchange's client: jitter on the path, 429, and what they ask for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest

from reconciler.errors import ExchangeBusyError, ExchangeError, ExchangeRefusedError
from reconciler.exchange import TokenClient
from reconciler.exchange.pacing import ALL_IN_FLIGHT, Host, Lane
from reconciler.model import Credentials, Secret
from reconciler.sandbox import Sandbox
from tests.adapters.test_exchange import (
    DERIVED,
    EMPTY_LIST,
    GAP_S,
    IDENTITY,
    PAIR,
    START_S,
    Time,
    client_of,
)
from tests.support.exchange_path import ExchangePath
from tests.support.http_stub import HttpStub, http, say

DERIVES = say(http(201, DERIVED))
PAGE = {"Content-Type": "text/html"}
OTHER = Credentials(token_id="id-2", secret=PAIR.secret)


def refusal_of(call: Callable[[], object]) -> ExchangeBusyError:
    """The 429, or its echo, that a call ends in."""
    with pytest.raises(ExchangeBusyError) as caught:
        call()
    return caught.value


# --- what a 429 asks for ---


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("3600", "with this credential (status 429): run again after 2026-03-23T13:34:56Z"),
        ("3155760000", "it asks for more than a day, so ask the exchange before you run again"),
        ("9" * 18, "it asks for more than a day"),
        (formatdate(START_S + 7200, usegmt=True), "run again after 2026-03-23T14:34:5"),
        ("Sat, 01 Jan 2126 00:00:00 GMT", "it asks for more than a day"),
        ("60.5", "run again after 2026-03-23T12:35:57Z"),
    ],
)
def test_asked_to_wait_too_long(header: str, sentence: str) -> None:
    """A list gives up at once and says when to come back. Until then this credential
    sends nothing, and another one does.
    """
    moment = Time()
    busy = say(http(429, headers={"Retry-After": header}))
    with HttpStub(busy, otherwise=EMPTY_LIST) as stub, client_of(stub, moment) as client:
        assert sentence in str(refusal_of(client.list_tokens))
        again = refusal_of(client.list_tokens)
        assert str(again).startswith("the exchange asked to wait: ")
        assert str(again).endswith("; nothing was sent")
        assert again.status is None
        assert client.signed_by(OTHER).list_tokens() == ()
        assert (len(stub.seen), moment.slept) == (2, [])


@pytest.mark.parametrize("header", ["-3600", formatdate(START_S - 9000, usegmt=True), "soon", ""])
def test_a_pause_that_asks_nothing(header: str) -> None:
    """A negative, past or senseless pause counts as none: the client's own grow."""
    moment = Time()
    busy = [say(http(429, headers={"Retry-After": header}))] * 3
    with HttpStub(*busy, EMPTY_LIST) as stub, client_of(stub, moment) as client:
        assert client.list_tokens() == ()
    assert moment.now_s - 1000.0 == pytest.approx(0.5 + 1.0 + 2.0, abs=0.01)


def test_an_identity_that_has_to_wait() -> None:
    """After a long pause was asked for no turn to derive is granted, and none that was
    granted before is used.
    """
    moment = Time()
    busy = say(http(429, headers={"Retry-After": "900"}))
    with HttpStub(busy, otherwise=DERIVES) as stub, client_of(stub, moment) as client:
        early = client.wait_turn_to_derive(IDENTITY)
        assert refusal_of(lambda: client.derive_token(IDENTITY)).wait_s == 900
        for call in (
            lambda: client.wait_turn_to_derive(IDENTITY),
            lambda: client.derive_token(IDENTITY, turn=early),
        ):
            assert "run again after 2026-03-23T12:49:5" in str(refusal_of(call))
        early.release()
        assert len(stub.seen) == 1
        moment.now_s += 850
        client.derive_token(IDENTITY)
        assert len(stub.seen) == 2
        assert moment.now_s - 1000.0 == pytest.approx(900, abs=1)


def test_a_derive_may_be_sent_again_after_its_pause() -> None:
    """The turn after a 429 comes when its pause is over, and the pauses grow."""
    moment = Time()
    script = [say(http(429)), say(http(429)), say(http(429, headers={"Retry-After": "7"})), DERIVES]
    with HttpStub(*script, clock=moment.monotonic) as stub, client_of(stub, moment) as client:
        for _ in range(3):
            turn = client.wait_turn_to_derive(IDENTITY)
            refusal_of(lambda turn=turn: client.derive_token(IDENTITY, turn=turn))  # type: ignore[misc]
        client.derive_token(IDENTITY, turn=client.wait_turn_to_derive(IDENTITY))
        assert [seen.at_s - 1000.0 for seen in stub.seen] == pytest.approx([0, 0.5, 1.5, 8.5])


def test_a_person_who_stops_a_wait() -> None:
    """A wait for a turn ends within a moment once nobody wants it."""
    moment = Time()
    busy = say(http(429, headers={"Retry-After": "60"}))
    with HttpStub(busy) as stub, client_of(stub, moment) as client:
        refusal_of(lambda: client.derive_token(IDENTITY))
        with pytest.raises(ExchangeRefusedError, match="stopped while it waited"):
            client.wait_turn_to_derive(IDENTITY, stopped=lambda: moment.now_s > 1003)
    assert moment.now_s < 1004


# --- whom a 429 is for ---


def test_a_page_is_for_everybody() -> None:
    """A 429 with a page delays all credentials, and its sentence blames none."""
    moment = Time()
    page = say(http(429, body=b"<html>canary", headers={**PAGE, "Retry-After": "20"}))
    with HttpStub(page, otherwise=EMPTY_LIST) as stub, client_of(stub, moment) as client:
        found = refusal_of(lambda: client.derive_token(IDENTITY))
        assert "too many requests from this machine or network" in str(found)
        assert "credential" not in str(found)
        client.list_tokens()
        assert moment.now_s - 1000.0 == pytest.approx(20)


def test_two_credentials_are_everybody() -> None:
    """A 429 for a second credential is the host's, and delays a third one."""
    moment = Time()
    busy = say(http(429, headers={"Retry-After": "30"}))
    with HttpStub(busy, busy, otherwise=EMPTY_LIST) as stub, client_of(stub, moment) as client:
        alone = refusal_of(lambda: client.derive_token(IDENTITY))
        both = refusal_of(lambda: client.derive_token("another"))
        assert "with this credential" in str(alone)
        assert "from this machine or network" in str(both)
        client.list_tokens()
        assert moment.now_s - 1000.0 == pytest.approx(30)


def test_maintenance_for_long_closes_the_host() -> None:
    """A 503 that asks for an hour is said with its end, and nothing more is sent."""
    moment = Time()
    down = say(http(503, headers={"Retry-After": "3600"}))
    with HttpStub(otherwise=down) as stub, client_of(stub, moment) as client:
        with pytest.raises(ExchangeError, match=r"maintenance \(status 503\): run again after "):
            client.list_tokens()
        with pytest.raises(ExchangeBusyError, match="nothing was sent"):
            client.derive_token(IDENTITY)
        assert (len(stub.seen), moment.slept) == (1, [])


# --- the pace of all ---


def test_ten_starts_in_any_second() -> None:
    """However many credentials there are: three at once, ten in a second."""
    moment = Time()
    with (
        HttpStub(otherwise=EMPTY_LIST, clock=moment.monotonic) as stub,
        client_of(stub, moment) as client,
    ):
        for number in range(40):
            pair = Credentials(token_id=f"id-{number}", secret=PAIR.secret)
            client.signed_by(pair).list_tokens()
        at_s = [seen.at_s for seen in stub.seen]
    for start_s in at_s:
        assert sum(start_s <= one < start_s + 0.999 for one in at_s) <= 10
        assert sum(start_s <= one < start_s + 0.099 for one in at_s) <= 3
    assert at_s[-1] - at_s[0] < 3.9


def test_four_in_flight() -> None:
    """Eight threads with eight credentials: never more than four at once."""
    with (
        HttpStub(otherwise=say(http(200, []), after_s=0.15)) as stub,
        TokenClient(stub.url, credentials=PAIR) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        pairs = [Credentials(token_id=f"id-{n}", secret=PAIR.secret) for n in range(8)]
        list(pool.map(lambda pair: client.signed_by(pair).list_tokens(), pairs))
        assert stub.most_in_flight <= ALL_IN_FLIGHT


# --- jitter ---


@pytest.mark.parametrize("both_ways", [False, True])
def test_jitter_on_the_path(*, both_ways: bool) -> None:
    """Requests of one credential arrive no sooner than the limit allows, though each
    takes up to 80 ms longer than another.
    """
    with Sandbox() as sandbox:
        token = sandbox.state.derive_by_hand("bot")
        pair = Credentials(token_id=token.token_id, secret=Secret(token.secret))
        path = ExchangePath(sandbox.url, jitter_ms=80, both_ways=both_ways, seed=7)
        with path.serving() as url, TokenClient(url, credentials=pair) as client:
            for _ in range(6):
                client.list_tokens()
        statuses = Counter(call.status for call in sandbox.state.calls)
    assert statuses == {200: 6}


def lane_on(moment: Time) -> Lane:
    """A credential's lane on a frozen clock."""
    return Lane(Host(moment.monotonic, moment.sleep), moment.monotonic, moment.sleep)


def test_the_slack_is_what_the_path_varies() -> None:
    """A slow answer holds the next request back, as far as trips differ."""
    moment = Time()
    lane = lane_on(moment)
    for _ in range(8):
        lane.ended(lane.hold())
        moment.now_s += 1
    trip = lane.hold()
    moment.now_s += 0.05
    lane.ended(trip)
    before_s = moment.now_s
    lane.hold()
    assert moment.now_s - before_s == pytest.approx(GAP_S)


def test_the_first_request_leaves_a_gap_after_another_process() -> None:
    """What that one sent right before is not known; each credential waits."""
    moment = Time()
    host = Host(moment.monotonic, moment.sleep)
    host.leave_gap(0.0)
    moment.now_s += 0.1
    Lane(host, moment.monotonic, moment.sleep).hold()
    assert moment.now_s - 1000.0 == pytest.approx(GAP_S)
    Lane(host, moment.monotonic, moment.sleep).hold()
    assert moment.now_s - 1000.0 == pytest.approx(GAP_S)


def test_two_commands_in_a_row_meet_no_429() -> None:
    """A process lists at once when another one has ended that listed."""
    with Sandbox() as sandbox:
        token = sandbox.state.derive_by_hand("bot")
        pair = Credentials(token_id=token.token_id, secret=Secret(token.secret))
        for _ in range(2):
            with TokenClient(sandbox.url, credentials=pair) as client:
                client.leave_gap(round(time.time() * 1000))
                client.list_tokens()
        assert Counter(call.status for call in sandbox.state.calls) == {200: 2}


def test_a_turn_to_derive_comes_ahead_and_its_post_does_not() -> None:
    """Turns come early by as much as was asked for, and no turn earlier than that; what
    is sent with them keeps the gap.
    """
    moment = Time()
    lane = lane_on(moment)
    turns_s, posts_s = [], []
    for _ in range(4):
        turn = lane.wait(ahead_s=0.15)
        assert turn is not None
        turns_s.append(moment.now_s - 1000.0)
        moment.now_s += 0.05
        lane.ended(lane.hold())
        posts_s.append(moment.now_s - 1000.0)
        turn.release()
    first_s = posts_s[0]
    assert posts_s == pytest.approx([first_s + n * GAP_S for n in range(4)])
    assert turns_s[1:] == pytest.approx([post_s - 0.15 for post_s in posts_s[1:]])


def test_two_turns_ahead_leave_a_gap_apart() -> None:
    """The second of two turns that wait for their POSTs comes a gap after the first."""
    moment = Time()
    lane = lane_on(moment)
    lane.ended(lane.hold())
    turns_s = []
    for _ in range(2):
        assert lane.wait(ahead_s=0.15) is not None
        turns_s.append(moment.now_s - 1000.0)
    assert turns_s == pytest.approx([GAP_S - 0.15, 2 * GAP_S - 0.15])


def test_few_trips_tell_nothing() -> None:
    """Of a few trips all may have been slow by chance: nothing is taken off."""
    moment = Time()
    host = Host(moment.monotonic, moment.sleep)
    for _ in range(11):
        host.took(0.06)
        assert host.every_trip_s() == 0
    host.took(0.06)
    assert host.every_trip_s() == pytest.approx(0.06)


def test_an_answer_that_is_out_holds_nobody_for_long() -> None:
    """Without an answer the next request leaves a gap and 120 ms later."""
    moment = Time()
    lane = lane_on(moment)
    lane.hold()
    lane.hold()
    assert moment.now_s - 1000.0 == pytest.approx(GAP_S + 0.12, abs=0.006)


def test_a_429_adds_slack_for_a_minute() -> None:
    """50 ms, then 100, then 200, and none of it a minute after the last one."""
    moment = Time()
    lane = lane_on(moment)
    lane.ended(lane.hold())
    slacks = []
    for _ in range(4):
        lane.told_busy(None)
        lane.told_other()
        lane.ended(lane.hold())
        before_s = moment.now_s
        lane.ended(lane.hold())
        slacks.append(round(moment.now_s - before_s - GAP_S, 3))
    assert slacks == [0.05, 0.1, 0.2, 0.2]
    moment.now_s += 61
    lane.ended(lane.hold())
    before_s = moment.now_s
    lane.hold()
    assert moment.now_s - before_s == pytest.approx(GAP_S)


def test_the_pace_is_shared_between_threads() -> None:
    """Lists of one credential from four threads keep their gap at the exchange."""
    with Sandbox() as sandbox:
        token = sandbox.state.derive_by_hand("bot")
        pair = Credentials(token_id=token.token_id, secret=Secret(token.secret))
        barrier = threading.Barrier(4)

        def ask() -> None:
            barrier.wait()
            client.list_tokens()

        with TokenClient(sandbox.url, credentials=pair) as client:
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert Counter(call.status for call in sandbox.state.calls) == {200: 4}
