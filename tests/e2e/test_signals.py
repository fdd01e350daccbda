"""Signals and the terminal:

Ctrl-C lets the step in flight finish, twice stops at once, and the next run makes it
whole.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation
from tests.support.fleet import ROOT, TIMEOUT_S, Fleet

LABELS = tuple(f"bot-{number}" for number in range(6))
ON_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, sys.argv[1:])"
)


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.01)


def delay(fleet: Fleet, operation: Operation, delay_ms: int, count: int | None = None) -> None:
    """Make the exchange slow."""
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.DELAY, operation=operation, delay_ms=delay_ms, count=count)
    )


def derives(fleet: Fleet) -> int:
    """How many derives arrived."""
    return fleet.sandbox.state.count(Operation.DERIVE)


def test_a_signal_after_the_last_step_was_begun_changes_nothing(fleet: Fleet) -> None:
    """Everything was done all the same: exit 0."""
    fleet.begin()
    fleet.write({"label": "bot"})
    delay(fleet, Operation.DERIVE, 200)
    before = derives(fleet)
    with fleet.running("apply", "--yes") as process:
        until(lambda: derives(fleet) > before)
        process.send_signal(signal.SIGINT)
        done = fleet.finish(process)
    fleet.sandbox.faults.clear()
    assert (done.code, done.last_line) == (0, "applied 1, failed 0, held 0, not tried 0"), done
    assert "run again" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_finishes_the_step_in_flight(fleet: Fleet, number: signal.Signals) -> None:
    """Exit 5; what was begun is done, the rest not tried; the lease is given back; one
    more apply completes, and is quiet.
    """
    fleet.begin()
    fleet.write(*({"label": label} for label in LABELS))
    delay(fleet, Operation.DERIVE, 200)
    before = derives(fleet)
    with fleet.running("apply", "--yes") as process:
        until(lambda: derives(fleet) > before)
        process.send_signal(number)
        begun = derives(fleet) - before
        done = fleet.finish(process)
    fleet.sandbox.faults.clear()
    assert derives(fleet) - before <= begun + 1, (
        "no new derive was begun, save one that was on its way"
    )
    assert "run again" in done.refusal(5)
    assert "stopped by a signal" in done.out
    assert "finishing the step in flight" in done.err
    stored = sum(len(fleet.live(label)) for label in LABELS)
    assert 1 <= stored < len(LABELS)
    assert done.last_line == f"applied {stored}, failed 0, held 0, not tried {len(LABELS) - stored}"
    ledger = fleet.ledger()
    assert ledger.holder is None
    assert all(entry.intent is None for entry in ledger.tokens.values())
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()
    assert derives(fleet) == before + len(LABELS), "nothing was derived twice"


AMID_A_LINE = """
import threading
from reconciler.cli.console import complain
from reconciler.cli.progress import defer_signals

class Driver:
    stopping = threading.Event()

with defer_signals(Driver()):
    print("ready", flush=True)
    complain("x" * 1_000_000)
    print(Driver.stopping.is_set())
"""


def test_a_signal_amid_a_line_that_is_being_written() -> None:
    """The handler has something to say on the very stream that a line goes to: Python
    refuses a write within a write.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", AMID_A_LINE],
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)  # nobody reads the line, so it is stuck in the middle
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "True\n"), err[-2000:]
    assert "finishing the step in flight" in err
    assert err.count("x") == 1_000_000


def test_two_signals_stop_at_once(fleet: Fleet) -> None:
    """The second one ends the process in the middle of a derive; the next run revokes
    what was lost, and completes.
    """
    fleet.begin()
    fleet.write(*({"label": label} for label in LABELS[:2]))
    delay(fleet, Operation.DERIVE, 1_500)
    before = derives(fleet)
    with fleet.running("apply", "--yes") as process:
        until(lambda: derives(fleet) > before)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        done = fleet.finish(process)
    assert done.code == 5
    assert "the next run recovers" in done.err.splitlines()[-1]
    assert all(fleet.live(label) == [] for label in LABELS), "it did not wait for the derive"
    fleet.sandbox.faults.clear()
    until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()
    assert [len(fleet.live(label)) for label in LABELS[:2]] == [1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_before_anything_was_written(fleet: Fleet, number: signal.Signals) -> None:
    """While it still looks: exit 1, nothing was changed, and it says so."""
    fleet.begin()
    fleet.write({"label": "bot"})
    delay(fleet, Operation.LIST, 1_000)
    lists = fleet.sandbox.state.count(Operation.LIST)
    with fleet.untouched(), fleet.running("apply", "--yes") as process:
        until(lambda: fleet.sandbox.state.count(Operation.LIST) > lists)
        process.send_signal(number)
        done = fleet.finish(process)
    assert (done.code, done.err.strip()) == (1, "interrupted: nothing was changed")


def test_a_signal_while_waiting_for_the_lease(fleet: Fleet) -> None:
    """It gives up waiting: exit 6, nothing was done."""
    fleet.begin()
    fleet.write({"label": "bot"})
    fleet.lend_lease(3_600)
    lists = fleet.sandbox.state.count(Operation.LIST)
    with fleet.untouched(), fleet.running("apply", "--yes", "--wait", "600") as process:
        until(lambda: fleet.sandbox.state.count(Operation.LIST) > lists)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert "nothing was done" in fleet.finish(process).refusal(6)


def at_the_prompt(fleet: Fleet, keys: bytes, *arguments: str) -> tuple[int, str]:
    """The program on a terminal of its own; ``keys`` are pressed at the question.

    Its exit code and all that was shown.
    """
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", ON_A_TERMINAL, sys.executable, "-m", "reconciler", *arguments]
    environ = {**fleet.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(
        program,
        cwd=fleet.folder,
        env=environ,
        start_new_session=True,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        watchdog = threading.Timer(TIMEOUT_S, process.kill)
        watchdog.start()
        shown = b""
        while part := read(ours):
            shown += part
            if keys and b"[y/N]: " in shown:
                time.sleep(
                    0.2
                )  # so that the question is waiting when the key comes, as a person is
                os.write(ours, keys)
                keys = b""
        code = process.wait()
        watchdog.cancel()
    os.close(ours)
    text = shown.decode()
    fleet.outputs.append(text)
    assert not keys, text
    assert "Traceback" not in text
    return code, text


def read(terminal: int) -> bytes:
    """What is shown next, nothing when the program has gone."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


@pytest.mark.parametrize(
    "keys", [b"\x03", b"\x04", b"n\n", b"\n"], ids=["Ctrl-C", "Ctrl-D", "no", "Enter"]
)
def test_not_agreeing_changes_nothing(fleet: Fleet, keys: bytes) -> None:
    """Whatever is not a yes at the question: exit 1, nothing changed."""
    fleet.begin()
    fleet.write({"label": "bot"})
    with fleet.untouched():
        code, shown = at_the_prompt(fleet, keys, "apply")
    assert code == 1, shown
    assert "1 to derive" in shown
    assert "nothing was" in shown


def test_agreeing_applies_what_was_shown(fleet: Fleet) -> None:
    """A yes applies, with colours and a bar on the terminal, and the same last line."""
    fleet.begin()
    fleet.write({"label": "bot"}, {"label": "[red]other", "path": "other"})
    code, shown = at_the_prompt(fleet, b"y\n", "apply")
    assert code == 0, shown
    assert "applied 2, failed 0, held 0, not tried 0" in shown
    assert "derived [red]other" in shown
    fleet.assert_whole()
    fleet.assert_quiet()


def test_agreeing_to_what_has_changed_meanwhile(fleet: Fleet) -> None:
    """Between the question and the yes somebody made a twin: what was agreed to is not
    what would be done, so nothing is.
    """
    fleet.begin()
    fleet.write({"label": "bot"}, {"label": "other"})
    delay(fleet, Operation.LIST, 700)
    lists = fleet.sandbox.state.count(Operation.LIST)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", "apply"],
        cwd=fleet.folder,
        env={**fleet.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(theirs)
        until(lambda: fleet.sandbox.state.count(Operation.LIST) > lists)
        until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
        fleet.sandbox.faults.clear()
        fleet.sandbox.state.derive_by_hand("bot")
        time.sleep(0.5)
        os.write(ours, b"y\n")
        done = fleet.finish(process)
    os.close(ours)
    assert (done.code, "the approved plan is stale" in done.err) == (3, True), done
    assert fleet.live("other") == []
