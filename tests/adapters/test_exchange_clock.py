"""The exchange's clock, row by row of its table, and against an exchange whose replies
are dated as a test says: wrong once, now and then, or for good.

An exchange accepts a signature within 30 s of its own clock. Machines are set wrong,
set right in the middle, and stand still.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from reconciler.errors import ExchangeUnauthorizedError
from reconciler.exchange import TokenClient
from reconciler.exchange.clock import OTHER_TIMES, ExchangeClock, steady_seconds
from reconciler.model import Credentials, Secret, instant_ms
from tests.support.http_stub import HttpStub, http, say

NOON_S = 1_774_267_200.0
HOUR_S = 3_600.0
NEAR_MS = 2_000
PAIR = Credentials(token_id="id-1", secret=Secret("c3VwZXItc2VjcmV0LWtleQ=="))


@dataclasses.dataclass
class World:
    """An exchange at its true time, and a machine whose wall clock is off.

    ``wall_s`` is by how much. ``dates`` says by how much each reply's Date is wrong
    (None: it has none).
    """

    wall_s: float = 0.0
    dates: Iterator[float | None] = dataclasses.field(default_factory=lambda: itertools.repeat(0.0))
    window_s: float = 30.0
    steady_s: float = 5_000.0
    true_s: float = NOON_S
    requests: int = 0

    def passes(self, seconds: float) -> None:
        """Time goes on for everybody."""
        self.steady_s += seconds
        self.true_s += seconds

    def stands_still(self, seconds: float) -> None:
        """Only the machine's steady clock does not count this time; its wall clock is
        set right at the end.
        """
        self.true_s += seconds

    def clock(self) -> ExchangeClock:
        """A clock on this machine that has not heard of the exchange."""
        return ExchangeClock(lambda: self.true_s + self.wall_s, lambda: self.steady_s)

    def reply(self, clock: ExchangeClock, *, trip_s: float = 0.1) -> bool:
        """One signed request and its reply: whether its signature was accepted."""
        refused_ms: list[float] = []
        signed_ms: float | None = clock.ahead_to_sign()
        while signed_ms is not None and len(refused_ms) <= OTHER_TIMES:
            if self._accepts(clock, signed_ms, trip_s):
                clock.accepted(signed_ms, refused_ms=refused_ms)
                return True
            refused_ms.append(signed_ms)
            signed_ms = clock.ahead_instead(refused_ms)
        return False

    def _accepts(self, clock: ExchangeClock, signed_ms: float, trip_s: float) -> bool:
        self.dated(clock, trip_s=trip_s)
        stamp_s = clock.at_ms(signed_ms) / 1000
        return abs(stamp_s - self.true_s) <= self.window_s

    def dated(self, clock: ExchangeClock, *, trip_s: float = 0.1) -> None:
        """One reply to a request that nobody signed."""
        self.requests += 1
        sent_at_s = self.steady_s
        self.passes(trip_s / 2)
        wrong_s = next(self.dates)
        date = None if wrong_s is None else formatdate(self.true_s + wrong_s, usegmt=True)
        self.passes(trip_s / 2)
        clock.observe(date, sent_at_s=sent_at_s)

    def settled(self, clock: ExchangeClock) -> None:
        """Reads until the clock is no longer in doubt, as the client does."""
        self.reply(clock)
        for _ in range(3):
            if clock.is_in_doubt:
                self.reply(clock)

    def error_ms(self, clock: ExchangeClock) -> float:
        """How wrong the clock is."""
        return clock.now_ms() - self.true_s * 1000


def dates(*first: float | None, then: float | None = 0.0) -> Iterator[float | None]:
    """These errors of Date, then that one for good."""
    return itertools.chain(first, itertools.repeat(then))


# --- a wall clock ---


@pytest.mark.parametrize("step_s", [-HOUR_S, -45, 20, 45, HOUR_S, 86_400 * 400])
def test_a_wall_clock_that_steps_changes_nothing(step_s: float) -> None:
    """Between two replies, and over further ones."""
    world = World()
    clock = world.clock()
    for _ in range(2):
        world.settled(clock)
    world.wall_s += step_s
    assert world.error_ms(clock) == pytest.approx(0, abs=1)
    world.passes(40)
    assert world.error_ms(clock) == pytest.approx(0, abs=1)
    assert clock.offset_ms == pytest.approx(-step_s * 1000, abs=1)
    for _ in range(3):
        world.settled(clock)
        assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert world.requests == 5


def test_a_wall_clock_that_steps_before_the_first_reply() -> None:
    """Nothing is held yet: the machine's time is what there is."""
    world = World(wall_s=-HOUR_S)
    clock = world.clock()
    world.wall_s = 0
    assert world.error_ms(clock) == pytest.approx(0, abs=1)


def test_a_jump_is_noticed_until_the_next_reply() -> None:
    """Either way, by more than half a minute: then a reply is wanted before the clock
    counts as confirmed.
    """
    for step_s, expected in ((29, False), (-29, False), (31, True), (-31, True)):
        world = World()
        clock = world.clock()
        assert not clock.did_jump
        for _ in range(2):
            world.settled(clock)
        world.wall_s += step_s
        assert (clock.did_jump, clock.is_confirmed) == (expected, not expected)
        world.settled(clock)
        assert (clock.did_jump, clock.is_confirmed) == (False, True)


def test_a_machine_that_stood_still_unnoticed() -> None:
    """No clock of its own counted the hour: the next reply shows it, and a signature
    proves it.
    """
    world = World()
    clock = world.clock()
    for _ in range(2):
        world.settled(clock)
    world.stands_still(HOUR_S)
    assert clock.did_jump
    assert not clock.is_confirmed
    assert world.reply(clock)
    assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed


def test_the_steady_clock_is_the_systems() -> None:
    """It counts the time that the machine slept, where the system can tell."""
    before_s = steady_seconds()
    expected_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before_s <= expected_s <= steady_seconds()


# --- a Date that is wrong ---


@pytest.mark.parametrize("wrong_s", [-86_400 * 300, -HOUR_S, -40, 40, 120, HOUR_S, 86_400 * 300])
@pytest.mark.parametrize("place", range(4))
def test_one_wrong_date_is_not_believed(wrong_s: float, place: int) -> None:
    """Wherever it comes in a course of replies, the time stays right, after at most one
    more reply.
    """
    world = World(dates=dates(*[0.0] * place, wrong_s))
    clock = world.clock()
    for _ in range(4):
        world.settled(clock)
        assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed
    assert world.requests == 5 if place < 2 else 4


@pytest.mark.parametrize("wrong_s", [-25, 10, 25])
def test_one_date_that_is_wrong_by_seconds(wrong_s: float) -> None:
    """Once the time is measured, even a small contradiction needs another reply."""
    world = World(dates=dates(0.0, 0.0, wrong_s))
    clock = world.clock()
    for _ in range(4):
        world.settled(clock)
        assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
        assert clock.is_confirmed == (world.requests > 1)
    assert world.requests == 4


def test_the_first_date_is_wrong_by_seconds() -> None:
    """Nothing tells it from a machine that is set wrong, until two replies agree on
    another time; until then it is not confirmed.
    """
    world = World(dates=dates(25.0))
    clock = world.clock()
    world.settled(clock)
    assert world.error_ms(clock) == pytest.approx(25_000, abs=500)
    assert not clock.is_confirmed
    world.settled(clock)
    assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed


@pytest.mark.parametrize("wrong_s", [-HOUR_S, -120, 120, HOUR_S])
def test_a_date_that_is_wrong_for_good(wrong_s: float) -> None:
    """Signatures prove it wrong: one is refused, and then no more, whatever comes."""
    world = World(dates=dates(then=wrong_s))
    clock = world.clock()
    world.settled(clock)
    assert world.error_ms(clock) == pytest.approx(0, abs=1)
    assert (world.requests, clock.is_confirmed) == (4, True)
    for _ in range(5):
        assert world.reply(clock)
        world.passes(100)
    assert world.error_ms(clock) == pytest.approx(0, abs=1)
    assert (world.requests, clock.is_confirmed) == (9, True)


@pytest.mark.parametrize("wrong_s", [-HOUR_S, -120, 120, HOUR_S])
def test_a_date_for_good_that_came_before_any_signature(wrong_s: float) -> None:
    """Two replies that nobody signed agree, so it is believed; the first signature
    takes it back.
    """
    world = World(dates=dates(then=wrong_s))
    clock = world.clock()
    world.dated(clock)
    assert clock.is_in_doubt
    world.dated(clock)
    assert clock.is_confirmed
    assert world.error_ms(clock) == pytest.approx(wrong_s * 1000, abs=NEAR_MS)
    assert world.reply(clock)
    assert world.error_ms(clock) == pytest.approx(0, abs=1)
    for _ in range(3):
        assert world.reply(clock)
    assert clock.is_confirmed
    assert world.error_ms(clock) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("wrong_s", [-29.0, 29.0, -30.4, 30.4])
def test_a_date_for_good_at_the_brink_of_the_window(wrong_s: float) -> None:
    """Half a minute off no signature can tell for sure: every one is accepted in the
    end.
    """
    world = World(dates=dates(then=wrong_s))
    clock = world.clock()
    for _ in range(6):
        assert world.reply(clock)
        world.passes(7)


def test_one_of_two_edges_is_wrong() -> None:
    """Every other reply is an hour ahead: the time stays right."""
    world = World(dates=itertools.cycle((0.0, HOUR_S)))
    clock = world.clock()
    for _ in range(8):
        world.settled(clock)
        assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed


def test_no_date_at_all() -> None:
    """What the exchange accepted is all there is: two signatures confirm the time."""
    world = World(dates=dates(then=None))
    clock = world.clock()
    confirmed = []
    for _ in range(3):
        world.settled(clock)
        confirmed.append(clock.is_confirmed)
    assert confirmed == [False, True, True]
    assert world.requests == 3


# --- a machine that is set wrong ---


@pytest.mark.parametrize("wall_s", [-86_400 * 300, -HOUR_S, -31, 31, HOUR_S, 86_400 * 300])
def test_a_machine_that_is_set_wrong(wall_s: float) -> None:
    """The first signature is refused, the second is made with the exchange's time; it
    costs no more than that.
    """
    world = World(wall_s=wall_s)
    clock = world.clock()
    assert world.reply(clock)
    assert world.requests == 2
    assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed
    assert clock.offset_ms == pytest.approx(-wall_s * 1000, abs=1_000)
    assert world.reply(clock)
    assert world.requests == 3


@pytest.mark.parametrize("wall_s", [-25, -2, 0, 2, 25])
def test_a_machine_that_is_right_or_nearly(wall_s: float) -> None:
    """Nothing is asked twice, and two replies confirm it."""
    world = World(wall_s=wall_s)
    clock = world.clock()
    confirmed = []
    for _ in range(3):
        world.settled(clock)
        confirmed.append(clock.is_confirmed)
        assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert (world.requests, confirmed) == (3, [False, True, True])


def test_a_machine_that_is_set_wrong_where_nobody_signs() -> None:
    """Two replies that agree are wanted: one is not believed."""
    world = World(wall_s=-HOUR_S)
    clock = world.clock()
    world.dated(clock)
    assert (clock.is_in_doubt, clock.is_confirmed) == (True, False)
    assert world.error_ms(clock) == pytest.approx(-HOUR_S * 1000, abs=1)
    world.dated(clock)
    assert (clock.is_in_doubt, clock.is_confirmed) == (False, True)
    assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)


def test_the_exchange_sets_its_clock() -> None:
    """By three minutes, in the middle of a run: the next signature is refused once."""
    world = World()
    clock = world.clock()
    for _ in range(2):
        world.settled(clock)
    world.true_s += 180
    world.wall_s -= 180
    assert world.reply(clock)
    assert world.requests == 4
    assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed


def test_an_exchange_that_takes_any_timestamp_is_believed_by_its_dates() -> None:
    """A window that is not kept proves nothing: two Dates agree, and a signature by
    them is accepted.
    """
    world = World(wall_s=-HOUR_S, window_s=1e9)
    clock = world.clock()
    world.settled(clock)
    assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS)
    assert clock.is_confirmed


def test_whatever_happens_a_confirmed_clock_is_right() -> None:
    """In courses at random: wrong Dates one at a time, a wall clock that is set, and a
    machine that stands still.
    """
    for seed in range(300):
        chance = random.Random(seed)  # noqa: S311  # it has to repeat
        errors = [
            chance.choice((-HOUR_S, -120.0, 90.0, HOUR_S)) if number % 3 == 1 else 0.0
            for number in range(400)
        ]
        world = World(wall_s=chance.choice((0.0, 0.0, -HOUR_S, 20.0, 400.0)), dates=iter(errors))
        clock = world.clock()
        for _ in range(20):
            what = chance.randrange(6)
            if what == 0:
                world.wall_s = chance.choice((0.0, HOUR_S, -HOUR_S))
            elif what == 1:
                world.stands_still(1_000)
            world.passes(chance.choice((0, 1, 400)))
            if what == 1 or chance.random() < 0.7:
                world.settled(clock)
            if clock.is_confirmed:
                assert world.error_ms(clock) == pytest.approx(0, abs=NEAR_MS), seed


# --- the client ---


class Moment:
    """The steady clock of a client, and its wall clock ``wall_s`` beside the truth."""

    def __init__(self, wall_s: float = 0.0) -> None:
        self.steady_s = 5_000.0
        self.wall_s = wall_s

    def steady(self) -> float:
        """Seconds since whenever."""
        return self.steady_s

    def true(self) -> float:
        """The exchange's own time."""
        return NOON_S - 5_000.0 + self.steady_s

    def wall(self) -> float:
        """What the machine takes for the time."""
        return self.true() + self.wall_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.steady_s += seconds


class Exchange:
    """Answers lists that are signed within 30 s of the truth, with a Date as wrong as
    ``errors`` says.
    """

    def __init__(
        self, moment: Moment, errors: Iterator[float | None], *, secret_is_right: bool
    ) -> None:
        self._moment = moment
        self._errors = errors
        self._secret_is_right = secret_is_right
        self.stub: HttpStub | None = None

    def __call__(self, _connection: object, _closing: object) -> bytes:
        """The reply to the last request."""
        assert self.stub is not None
        stamp_s = instant_ms(self.stub.seen[-1].headers["lmts-timestamp"]) / 1000
        true_s, wrong_s = self._moment.true(), next(self._errors)
        headers = {} if wrong_s is None else {"Date": formatdate(true_s + wrong_s, usegmt=True)}
        if self._secret_is_right and abs(stamp_s - true_s) <= 30:
            return http(200, [], headers=headers)
        return http(401, headers=headers)


def asked(
    moment: Moment,
    errors: Iterator[float | None],
    act: Callable[[TokenClient], object],
    *,
    secret_is_right: bool = True,
) -> int:
    """How many requests an act of a client makes at such an exchange."""
    answer = Exchange(moment, errors, secret_is_right=secret_is_right)
    with HttpStub(otherwise=answer) as stub:
        answer.stub = stub
        with TokenClient(
            stub.url,
            credentials=PAIR,
            wall=moment.wall,
            monotonic=moment.steady,
            sleep=moment.sleep,
        ) as client:
            act(client)
        return len(stub.seen)


@pytest.mark.parametrize(
    ("wall_s", "errors", "expected"),
    [
        (0.0, (), 1),
        (20.0, (), 1),
        (-HOUR_S, (), 2),
        (0.0, (HOUR_S,), 2),
        (0.0, (HOUR_S, HOUR_S), 4),
        (0.0, (None,), 1),
        (-HOUR_S, (0.0, HOUR_S), 2),
        (-HOUR_S, (HOUR_S,), 3),
    ],
)
def test_a_list_is_asked_again_while_its_date_is_in_doubt(
    wall_s: float, errors: tuple[float | None, ...], expected: int
) -> None:
    """A faithful exchange is asked once, or twice by a machine that is set wrong."""

    def act(client: TokenClient) -> None:
        client.list_tokens()
        assert client.clock().now_ms() / 1000 == pytest.approx(moment.true(), abs=2)

    moment = Moment(wall_s)
    assert asked(moment, dates(*errors), act) == expected


def test_a_date_two_minutes_off_for_good_never_makes_a_list_fail() -> None:
    """Four requests to find out, then one for each list."""

    def act(client: TokenClient) -> None:
        for _ in range(6):
            client.list_tokens()
            moment.steady_s += 100
        assert client.clock().offset_ms == 0

    moment = Moment()
    assert asked(moment, dates(then=120.0), act) == 9


def test_a_wrong_secret_is_refused_after_at_most_one_more_attempt() -> None:
    """Whatever the Dates say, and however often."""

    def act(client: TokenClient) -> None:
        for _ in range(3):
            with pytest.raises(ExchangeUnauthorizedError):
                client.list_tokens()

    for errors, most in (((), 3), ((HOUR_S,), 6)):
        assert asked(Moment(), dates(*errors), act, secret_is_right=False) <= most
    assert asked(Moment(), dates(then=120.0), act, secret_is_right=False) <= 6


def test_a_derive_is_never_sent_twice_for_its_date() -> None:
    """Not after a 401, and not while the time is in doubt."""
    wrong = {"Date": formatdate(NOON_S + HOUR_S, usegmt=True)}
    moment = Moment()
    with (
        HttpStub(otherwise=say(http(401, headers=wrong))) as stub,
        TokenClient(
            stub.url, wall=moment.wall, monotonic=moment.steady, sleep=moment.sleep
        ) as client,
    ):
        with pytest.raises(ExchangeUnauthorizedError):
            client.derive_token("identity", label="bot")
        assert client.clock().is_in_doubt
        with pytest.raises(ExchangeUnauthorizedError):
            client.derive_token("identity", label="bot")
        assert len(stub.seen) == 2
