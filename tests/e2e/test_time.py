"""What is decided by time, where time can't be trusted: a reply whose Date is wrong, a
Date that is wrong for good, a wall clock that is set in the middle, a machine whose
clock is off.

Real processes. ``Machine`` gives one a wall clock of its own, beside the exchange's.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from pathlib import Path

import pytest

from reconciler.model import instant_ms
from reconciler.sandbox import Fault, FaultKind, Operation
from tests.support.fleet import ROOT, Done, Fleet

BOT = {"label": "bot", "path": "prod/bot"}
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS

CLOCK = '''"""A wall clock of its own for one process."""
import os
import time

_real = time.time
_ahead_s = float(os.environ["MACHINE_AHEAD_S"])
_step_s = float(os.environ["MACHINE_STEP_S"])
_stepped = os.environ["MACHINE_STEPPED"]


def _machine():
    return _real() + _ahead_s + (_step_s if os.path.exists(_stepped) else 0.0)


time.time = _machine
'''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine whose wall clock is ``ahead_ms`` ahead of this one's.

    It is set by ``step_ms`` so long after the exchange got the request number
    ``after``, counted from 1, of the operation ``at``.
    """

    fleet: Fleet
    ahead_ms: int = 0
    step_ms: int = 0
    at: Operation = Operation.LIST
    after: int = 0
    wait_s: float = 0.0

    def run(self, *arguments: str) -> Done:
        """One process on it."""
        folder = self.fleet.folder / "machine"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(CLOCK, encoding="utf-8")
        stepped = folder / "stepped"
        stepped.unlink(missing_ok=True)
        environ: dict[str, str | None] = {
            "PYTHONPATH": f"{folder}:{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MACHINE_AHEAD_S": str(self.ahead_ms / SECOND_MS),
            "MACHINE_STEP_S": str(self.step_ms / SECOND_MS),
            "MACHINE_STEPPED": str(stepped),
        }
        state = self.fleet.sandbox.state
        before = state.count(self.at)
        with self.fleet.running(*arguments, environ=environ) as process:
            while self.after and process.poll() is None:
                if state.count(self.at) - before >= self.after:
                    time.sleep(self.wait_s)
                    stepped.touch()
                    break
                time.sleep(0.005)
            done = self.fleet.finish(process)
        assert stepped.exists() == (self.after > 0), "the clock was set in the middle"
        return done


def wrong_date(shift_ms: int, *, skip: int = 0, count: int | None = 1) -> Fault:
    """A Date that is wrong, in one of the next replies."""
    return Fault(kind=FaultKind.WRONG_DATE, date_shift_ms=shift_ms, skip=skip, count=count)


def in_overlap(fleet: Fleet, *, minutes: int) -> tuple[str, Machine]:
    """A rotation with an overlap of two hours, so long ago; the predecessor's id, and a
    machine that is right.

    Its consumer changed over at once, so that time alone keeps the predecessor. A label
    is new, so that the run to come looks twice.
    """
    fleet.defaults = {"overlap": "2h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(minutes=1)
    fleet.use("prod/bot")
    fleet.later(minutes=minutes)
    fleet.write(BOT, {"label": "other"})
    return old, Machine(fleet=fleet, ahead_ms=(minutes + 1) * MINUTE_MS)


def lives(fleet: Fleet, token_id: str) -> bool:
    """Whether the exchange still takes its signature."""
    return fleet.sandbox.state.token(token_id).live


def goes_when_it_is_time(fleet: Fleet, old: str) -> None:
    """Two more hours, on days without faults, and the predecessor is gone."""
    fleet.sandbox.faults.clear()
    fleet.later(hours=2, minutes=5)
    for _ in range(2):
        fleet.must("apply", "--yes")
    assert not lives(fleet, old)
    fleet.assert_whole()
    fleet.assert_quiet()


# --- one wrong Date ---


@pytest.mark.parametrize("at", range(4))
def test_one_wrong_date_ends_no_overlap_early(fleet: Fleet, at: int) -> None:
    """An hour ahead, in whichever reply of the run: the predecessor has an hour left,
    and keeps it.
    """
    old, machine = in_overlap(fleet, minutes=70)
    fleet.sandbox.faults.add(wrong_date(HOUR_MS, skip=at))
    done = machine.run("apply", "--yes")
    assert (done.code, lives(fleet, old)) == (0, True), done
    goes_when_it_is_time(fleet, old)


@pytest.mark.parametrize("at", [0, 1])
def test_two_wrong_dates_in_a_row_end_no_overlap_early(fleet: Fleet, at: int) -> None:
    """They agree, but no signature by them is accepted."""
    old, machine = in_overlap(fleet, minutes=70)
    fleet.sandbox.faults.add(wrong_date(HOUR_MS, skip=at, count=2))
    done = machine.run("apply", "--yes")
    assert (done.code, lives(fleet, old)) == (0, True), done


@pytest.mark.parametrize(
    ("at", "shift_ms"),
    [
        *((at, HOUR_MS) for at in range(5)),
        (2, -HOUR_MS),
        (3, -HOUR_MS),
        (1, -25 * SECOND_MS),
        (3, 25 * SECOND_MS),
    ],
)
def test_one_wrong_date_hides_no_lost_token(fleet: Fleet, at: int, shift_ms: int) -> None:
    """A derive whose reply is lost, after a reply with a wrong Date: the next run looks
    for its token at the right time, and ends it.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(
        wrong_date(shift_ms, skip=at), Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE)
    )
    assert Machine(fleet=fleet).run("apply", "--yes").code == 5
    (lost,) = fleet.live("bot")
    fleet.sandbox.faults.clear()
    done = Machine(fleet=fleet).run("apply", "--yes")
    assert (done.code, lives(fleet, lost.token_id)) == (0, False), done
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_wrong_date_in_the_run_that_recovers(fleet: Fleet) -> None:
    """The run that looks for a lost token is shown another hour at each reply, one
    after the other: it waits, or finds it; it never lets it live unnamed.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    assert Machine(fleet=fleet).run("apply", "--yes").code == 5
    (lost,) = fleet.live("bot")
    for at in range(4):
        fleet.sandbox.faults.clear()
        fleet.sandbox.faults.add(wrong_date(HOUR_MS, skip=at))
        Machine(fleet=fleet).run("apply", "--yes")
    assert not lives(fleet, lost.token_id)
    fleet.sandbox.faults.clear()
    fleet.assert_whole()
    fleet.assert_quiet()


# --- Dates that never agree ---


def test_nothing_is_revoked_by_time_while_no_two_dates_agree(fleet: Fleet) -> None:
    """A predecessor that may go stays, as what time it is can't be told; it goes in the
    next run on a good day.
    """
    old, machine = in_overlap(fleet, minutes=200)
    hours = itertools.cycle((1, -2, 3, -4, 5, -6, 7, -8, 9))
    fleet.sandbox.faults.add(*(wrong_date(next(hours) * HOUR_MS) for _ in range(200)))
    done = machine.run("apply", "--yes")
    assert done.code == 5, done
    assert "don't agree" in done.out + done.err
    assert lives(fleet, old)
    fleet.sandbox.faults.clear()
    assert machine.run("apply", "--yes").code == 0
    assert not lives(fleet, old)
    fleet.assert_whole()


# --- a Date that is wrong for good ---


@pytest.mark.parametrize("shift_ms", [-2 * MINUTE_MS, 2 * MINUTE_MS, HOUR_MS])
def test_a_date_that_is_wrong_for_good(fleet: Fleet, shift_ms: int) -> None:
    """Everything works, nobody is told to bootstrap, and no overlap ends early."""
    fleet.defaults = {"overlap": "2h"}
    fleet.sandbox.state.configure(date_shift_ms=shift_ms)
    fleet.write(BOT)
    machine = Machine(fleet=fleet)
    for command in ("bootstrap", "apply --yes", "plan", "verify", "status", "bootstrap"):
        done = machine.run(*command.split())
        assert done.code == 0, done
        assert "reconciler bootstrap" not in done.out + done.err, done
    old = fleet.use("prod/bot")
    assert machine.run("rotate", "--target", "bot", "--yes").code == 0
    fleet.sandbox.state.touch(fleet.live("bot")[-1].token_id)
    fleet.later(minutes=119 - abs(shift_ms) // MINUTE_MS)
    later = Machine(fleet=fleet, ahead_ms=(119 - abs(shift_ms) // MINUTE_MS) * MINUTE_MS)
    done = later.run("apply", "--yes")
    assert (done.code, lives(fleet, old)) == (0, True), done
    with fleet.untouched():
        assert later.run("apply", "--yes").code == 0
    fleet.sandbox.state.configure(date_shift_ms=0)
    fleet.assert_whole()


@pytest.mark.parametrize("shift_ms", [-2 * MINUTE_MS, 2 * MINUTE_MS])
def test_a_token_is_lost_while_every_date_is_wrong(fleet: Fleet, shift_ms: int) -> None:
    """It is looked for at the exchange's own time, and found."""
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.state.configure(date_shift_ms=shift_ms)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    assert Machine(fleet=fleet).run("apply", "--yes").code == 5
    (lost,) = fleet.live("bot")
    assert Machine(fleet=fleet).run("apply", "--yes").code == 0
    assert not lives(fleet, lost.token_id)
    fleet.assert_whole()


# --- a wall clock that is set ---


@pytest.mark.parametrize("after", [1, 2])
def test_a_wall_clock_that_is_set_ends_no_overlap_early(fleet: Fleet, after: int) -> None:
    """An hour ahead, at either look of the run: the predecessor has an hour left, and
    keeps it.
    """
    old, machine = in_overlap(fleet, minutes=70)
    machine = dataclasses.replace(machine, step_ms=HOUR_MS, after=after)
    done = machine.run("apply", "--yes")
    assert (done.code, lives(fleet, old)) == (0, True), done


def test_a_wall_clock_that_is_set_hides_no_lost_token(fleet: Fleet) -> None:
    """Set shortly before a derive whose reply is lost: the next run looks for the token
    at the right time.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    machine = Machine(fleet=fleet, step_ms=-HOUR_MS, after=2, wait_s=0.02)
    assert machine.run("apply", "--yes").code == 5
    (lost,) = fleet.live("bot")
    assert Machine(fleet=fleet).run("apply", "--yes").code == 0
    assert not lives(fleet, lost.token_id)
    fleet.assert_whole()


@pytest.mark.parametrize("after", [1, 2])
def test_a_wall_clock_that_is_set_holds_nothing_up(fleet: Fleet, after: int) -> None:
    """What may go goes: the step changes nothing."""
    old, machine = in_overlap(fleet, minutes=200)
    machine = dataclasses.replace(machine, step_ms=HOUR_MS, after=after)
    done = machine.run("apply", "--yes")
    assert (done.code, lives(fleet, old)) == (0, False), done
    fleet.assert_whole()


# --- a machine whose clock is off ---


@pytest.mark.parametrize("ahead_ms", [-48 * HOUR_MS, -2 * HOUR_MS, 2 * HOUR_MS, 48 * HOUR_MS])
def test_bootstrap_on_a_machine_whose_clock_is_off(fleet: Fleet, ahead_ms: int) -> None:
    """An identity token of an hour looks expired there, or is not valid for days: the
    exchange is asked.
    """
    fleet.write(BOT)
    machine = Machine(fleet=fleet, ahead_ms=ahead_ms)
    for command in ("bootstrap", "apply --yes"):
        done = machine.run(*command.split())
        assert done.code == 0, done
    fleet.assert_whole()


@pytest.mark.parametrize("ahead_ms", [-2 * HOUR_MS, 0, 2 * HOUR_MS])
def test_an_identity_token_that_really_expired(fleet: Fleet, ahead_ms: int) -> None:
    """It is refused with exit 4 and nothing is written, whatever the machine's clock
    says; a machine that is right says since when.
    """
    fleet.write(BOT)
    expired = fleet.sandbox.state.issue_identity(lifetime_ms=-10 * SECOND_MS)
    fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = expired
    with fleet.untouched():
        sentence = Machine(fleet=fleet, ahead_ms=ahead_ms).run("bootstrap").refusal(4)
    assert "get a new one" in sentence
    assert ("expired 1" in sentence) == (ahead_ms == 0)


def test_a_quiet_run_asks_for_one_list(fleet: Fleet) -> None:
    """A faithful exchange is asked no more than is needed."""
    fleet.begin(BOT)
    state = fleet.sandbox.state
    before = len(state.calls)
    assert Machine(fleet=fleet).run("apply", "--yes").code == 0
    assert [call.operation for call in state.calls[before:]] == [Operation.LIST]


def test_a_plan_is_of_the_exchanges_time(fleet: Fleet, tmp_path: Path) -> None:
    """Its ``as_of`` is neither that of a machine that is off, nor of one wrong Date."""
    fleet.begin(BOT)
    fleet.write({**BOT, "scopes": ["trading", "withdrawal"]})
    out = tmp_path / "plan.json"
    fleet.sandbox.faults.add(wrong_date(3 * HOUR_MS))
    machine = Machine(fleet=fleet, ahead_ms=-2 * HOUR_MS)
    assert machine.run("plan", "--out", str(out)).code == 0
    as_of_ms = instant_ms(json.loads(out.read_text(encoding="utf-8"))["as_of"])
    assert abs(as_of_ms - fleet.sandbox.state.now_ms()) < MINUTE_MS
    assert machine.run("apply", "--plan", str(out), "--yes").code == 0
    fleet.assert_whole()
