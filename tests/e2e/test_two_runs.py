"""Two runs at once: one applies, the other waits or gives up; one that was paused and
wakes up can do no harm any more.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation
from tests.e2e.conftest import NewFleet
from tests.support.fleet import TIMEOUT_S, Fleet
from tests.support.suspending import suspend

LABELS = tuple(f"bot-{number}" for number in range(4))
BOT = {"label": "bot", "path": "prod/bot"}


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.01)


def slow_derives(fleet: Fleet) -> int:
    """Every derive takes a moment, so that the two runs meet.

    How many there were before.
    """
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.DELAY, operation=Operation.DERIVE, delay_ms=700, count=None)
    )
    return fleet.sandbox.state.count(Operation.DERIVE)


def test_two_applies(fleet: Fleet) -> None:
    """With --wait exactly one of them derives, each token once; the other finds nothing
    left to do.
    """
    fleet.begin()
    fleet.write(*({"label": label} for label in LABELS))
    before = slow_derives(fleet)
    with (
        fleet.running("apply", "--yes", "--wait", "60") as one,
        fleet.running("apply", "--yes", "--wait", "60") as other,
    ):
        done = [fleet.finish(process) for process in (one, other)]
    assert [run.code for run in done] == [0, 0]
    assert fleet.sandbox.state.count(Operation.DERIVE) == before + len(LABELS)
    assert sorted(run.last_line for run in done) == [
        "applied 0, failed 0, held 0, not tried 0",
        "applied 4, failed 0, held 0, not tried 0",
    ]
    fleet.sandbox.faults.clear()
    fleet.assert_whole()
    fleet.assert_quiet()


def test_an_apply_gives_up_while_another_one_goes_on(fleet: Fleet) -> None:
    """Without --wait it exits 6, and has done nothing."""
    fleet.begin()
    fleet.write(*({"label": label} for label in LABELS))
    before = slow_derives(fleet)
    with fleet.running("apply", "--yes") as one:
        until(lambda: fleet.sandbox.state.count(Operation.DERIVE) > before)
        suspend(one.pid)
        until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
        derives = fleet.sandbox.state.count(Operation.DERIVE)
        other = fleet.attempt("apply", "--yes")
        assert fleet.sandbox.state.count(Operation.DERIVE) == derives
        one.send_signal(signal.SIGCONT)
        done = fleet.finish(one)
    assert (other.code, done.code) == (6, 0), (other, done)
    assert fleet.sandbox.state.count(Operation.DERIVE) == before + len(LABELS)
    fleet.sandbox.faults.clear()
    fleet.assert_whole()
    fleet.assert_quiet()


def test_two_bootstraps(fleet: Fleet) -> None:
    """On an empty prefix at the same time: one manager is made, whoever makes it."""
    fleet.write()
    before = slow_derives(fleet)
    with fleet.running("bootstrap") as one, fleet.running("bootstrap") as other:
        codes = sorted(fleet.finish(process).code for process in (one, other))
    assert codes in ([0, 6], [0, 0])
    assert fleet.sandbox.state.count(Operation.DERIVE) == before + 1
    fleet.sandbox.faults.clear()
    fleet.must("bootstrap")
    fleet.assert_whole()
    fleet.assert_quiet()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pause:
    """Where the run sleeps: the call during which it is stopped, and what the other run
    is asked to do meanwhile.
    """

    name: str
    operation: Operation
    label: str | None
    rotates: bool


PAUSES = (
    Pause(name="while it derives", operation=Operation.DERIVE, label="bot", rotates=False),
    Pause(name="while it rotates", operation=Operation.DERIVE, label="bot", rotates=True),
    Pause(name="before it stores", operation=Operation.LIST, label="bot", rotates=False),
    Pause(name="before it stores a successor", operation=Operation.LIST, label="bot", rotates=True),
)


@pytest.mark.parametrize("pause", PAUSES, ids=lambda pause: pause.name)
def test_a_run_that_slept_too_long(fleet: Fleet, pause: Pause) -> None:
    """It was stopped (a laptop's lid), its lease ran out, another run took over; awake,
    it exits 6 and has changed nothing.
    """
    fleet.begin(*([BOT] if pause.rotates else []))
    fleet.write({**BOT, "scopes": ["trading", "withdrawal"]})
    fault = Fault(kind=FaultKind.DELAY, operation=pause.operation, label=pause.label, delay_ms=400)
    fleet.sandbox.faults.add(fault)
    seen = fleet.sandbox.state.count(pause.operation)
    with fleet.running("apply", "--yes") as process:
        calls = fleet.sandbox.state
        until(
            lambda: (
                calls.count(pause.operation) > seen
                and any(not call.ended for call in calls.calls)
                and not_pending(fleet)
            )
        )
        suspend(process.pid)
        until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
        fleet.later(minutes=2)
        fleet.must("apply", "--yes")
        versions, ours = fleet.versions(), fleet.use("prod/bot")
        process.send_signal(signal.SIGCONT)
        done = fleet.finish(process)
    assert done.code == 6, done
    assert (fleet.versions(), fleet.use("prod/bot")) == (versions, ours)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_run_that_slept_with_a_token_that_nobody_knows(fleet: Fleet) -> None:
    """The other run can't tell it from a person's of the same label and scopes, and
    touches neither; awake, the run revokes its own.
    """
    scopes = ("trading", "withdrawal")
    fleet.begin(BOT)
    fleet.write({**BOT, "scopes": list(scopes)})
    fleet.sandbox.faults.add(Fault(kind=FaultKind.DELAY, operation=Operation.DERIVE, delay_ms=400))
    with fleet.running("apply", "--yes") as process:
        until(lambda: not_pending(fleet))
        suspend(process.pid)
        until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
        theirs = fleet.live("bot")[-1].token_id
        person = fleet.sandbox.state.derive_by_hand("bot", scopes).token_id
        fleet.later(minutes=2)
        fleet.must("apply", "--yes")
        ours = fleet.use("prod/bot")
        assert fleet.sandbox.state.token(theirs).live, "it could have been the person's"
        process.send_signal(signal.SIGCONT)
        done = fleet.finish(process)
    assert done.code == 6, done
    assert [token.token_id for token in fleet.live("bot")] in ([ours, person], [person, ours])
    assert fleet.use("prod/bot") == ours
    fleet.assert_quiet()


def not_pending(fleet: Fleet) -> bool:
    """Whether the delay has begun."""
    return fleet.sandbox.faults.pending == ()


def test_a_run_that_slept_before_its_lease(fleet: Fleet) -> None:
    """Stopped while it looks, without a lease yet: awake, it finds that another run did
    it all, and does nothing.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.DELAY, operation=Operation.LIST, delay_ms=400))
    with fleet.running("apply", "--yes") as process:
        until(lambda: not_pending(fleet))
        suspend(process.pid)
        until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
        fleet.must("apply", "--yes")
        calls, ours = fleet.sandbox.state.mutating_calls, fleet.use("prod/bot")
        process.send_signal(signal.SIGCONT)
        done = fleet.finish(process)
    assert done.code == 0, done
    assert (fleet.sandbox.state.mutating_calls, fleet.use("prod/bot")) == (calls, ours)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_two_ledgers_at_one_exchange(new_fleet: NewFleet) -> None:
    """Two prefixes with the same labels see each other's tokens as twins, and never
    touch them.
    """
    with new_fleet() as fleet:
        fleet.begin(BOT)
        first = fleet.prefix
        fleet.prefix = f"{first}/second"
        fleet.write(BOT)
        fleet.must("bootstrap")
        with fleet.untouched():
            assert fleet.attempt("apply", "--yes").code == 4
        fleet.must("apply", "--yes", "--replace", "bot")
        fleet.must("rotate", "--target", "bot", "--target", "reconciler", "--compromised", "--yes")
        theirs = fleet.live("bot")
        fleet.assert_quiet()
        fleet.prefix = first
        fleet.write(BOT)
        fleet.assert_quiet()
        fleet.must("rotate", "--target", "bot", "--target", "reconciler", "--compromised", "--yes")
        fleet.write()
        fleet.must("apply", "--yes")
        assert [token.token_id for token in fleet.live("bot")] == [theirs[-1].token_id]
