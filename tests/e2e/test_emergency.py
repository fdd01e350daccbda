"""An emergency: everything is rotated at once, and what goes wrong meanwhile."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation, state
from tests.support.fleet import TIMEOUT_S, Fleet, KillServer, judged, texts_of

BOTS = tuple({"label": f"bots/{number}"} for number in range(9))
ALL = ("rotate", "--all", "--yes")
COMPROMISED = (*ALL, "--compromised")
IN_FLIGHT = 2
"""So many derives may be on their way at once."""


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.01)


def derives(fleet: Fleet) -> int:
    """How many tokens were made."""
    calls = fleet.sandbox.state.calls
    return sum(call.operation is Operation.DERIVE and call.status == 201 for call in calls)


def currents(fleet: Fleet) -> dict[str, str]:
    """The current token of each label."""
    found = fleet.ledger().tokens.items()
    return {label: entry.current.token_id for label, entry in found if entry.current is not None}


def done_of(fleet: Fleet, before: dict[str, str]) -> dict[str, str]:
    """Those that are another one now."""
    return {label: now for label, now in currents(fleet).items() if now != before[label]}


def assert_all_new(fleet: Fleet, before: dict[str, str], *, gone: bool) -> None:
    """Everything has a new token, and the rotation is over; the old tokens are gone,
    where they had no overlap.
    """
    fleet.assert_whole()
    assert len(done_of(fleet, before)) == len(before) == len(fleet.tokens)
    live = {token.token_id for token in fleet.sandbox.state.live()}
    assert not gone or live == set(currents(fleet).values())
    asked = ("*",), gone
    assert asked not in {(r.targets, r.compromised) for r in fleet.ledger().rotations}, "over"


@pytest.mark.parametrize("command", [ALL, COMPROMISED], ids=["all", "compromised"])
def test_an_emergency_that_is_killed_half_way_goes_on(
    fleet: Fleet, command: tuple[str, ...]
) -> None:
    """At the exchange's pace, on real processes: the same command rotates the rest.

    What was finished keeps its token; only what was on its way is derived once more.
    """
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(*BOTS)
    fleet.sandbox.state.configure(limits=True)
    before, asked = currents(fleet), derives(fleet)
    with fleet.running(*command) as process:
        until(lambda: len(done_of(fleet, before)) >= len(BOTS) // 2)
        process.kill()
        fleet.finish(process)
    finished = done_of(fleet, before)
    assert len(finished) < len(before), "it was killed too late"
    until(lambda: all(call.ended for call in fleet.sandbox.state.calls))
    fleet.later(minutes=2)
    done = fleet.ok(*command)
    left = len(before) - len(finished)
    assert f"{left} of {len(before)} labels are left, the others have new tokens" in done.err
    assert finished.items() <= currents(fleet).items(), "what was finished was rotated again"
    assert derives(fleet) - asked <= len(before) + IN_FLIGHT
    assert_all_new(fleet, before, gone="--compromised" in command)
    fleet.sandbox.state.configure(limits=False)
    fleet.assert_quiet()


def test_the_next_emergency_rotates_everything(fleet: Fleet) -> None:
    """A rotation that came to its end is over: the same command begins another one. So
    it does after six hours, with --anew, and where other commands have done the rest.
    """
    fleet.begin(*BOTS[:3])
    for command in (ALL, ALL, COMPROMISED):
        assert_begins_anew(fleet, *command)
    for meanwhile in ("an hour later", "seven hours later", "--anew", "another command"):
        refuse_one(fleet)
        before = currents(fleet)
        assert fleet.attempt(*ALL).code == 5
        assert len(done_of(fleet, before)) == len(before) - 1
        if meanwhile == "an hour later":
            fleet.later(hours=1)
            assert "1 of 4 labels are left" in fleet.must(*ALL).err
            assert_all_new(fleet, before, gone=False)
        elif meanwhile == "another command":
            assert "goes on" not in fleet.must("rotate", "--target", "bots/1", "--yes").err
            assert_begins_anew(fleet, *ALL)
        elif meanwhile == "--anew":
            assert_begins_anew(fleet, *ALL, "--anew")
        else:
            fleet.later(hours=7)
            assert_begins_anew(fleet, *ALL)


def test_a_rotation_of_other_labels_or_without_overlap_is_another_one(fleet: Fleet) -> None:
    """It rotates all that it names; the first one is gone on with all the same."""
    fleet.begin(*BOTS[:3])
    refuse_one(fleet)
    assert fleet.attempt(*ALL).code == 5
    for other in (("rotate", "--target", "bots/0", "--yes"), ("rotate", "--target", "*", "--yes")):
        before = currents(fleet)
        told = fleet.must(*other).err
        assert ("goes on" in told) == ("*" in other), "--all by another name is the same"
        assert len(done_of(fleet, before)) == 1
    refuse_one(fleet)
    assert fleet.attempt(*ALL).code == 5
    assert_begins_anew(fleet, *COMPROMISED)


def assert_begins_anew(fleet: Fleet, *command: str) -> None:
    """The command rotates every label of the manifest, and is over."""
    before = currents(fleet)
    assert "goes on" not in fleet.must(*command).err
    assert_all_new(fleet, before, gone="--compromised" in command)


def refuse_one(fleet: Fleet) -> None:
    """The exchange refuses one derive of a bot."""
    refusal = Fault(
        kind=FaultKind.ERROR_BEFORE, operation=Operation.DERIVE, label="bots/1", status=403
    )
    fleet.sandbox.faults.add(refusal)


@pytest.mark.parametrize("interruption", ["refusal", "pause", "signal"])
def test_an_emergency_that_stops_half_way_goes_on(fleet: Fleet, interruption: str) -> None:
    """A refusal, a pause of an hour that the exchange asks for, or Ctrl-C: the same
    command does whatever is left, and nothing else.
    """
    fleet.begin(*BOTS)
    before, asked = currents(fleet), derives(fleet)
    if interruption == "refusal":
        refuse_one(fleet)
        assert fleet.attempt(*COMPROMISED).code == 5
    elif interruption == "pause":
        busy = Fault(
            kind=FaultKind.RATE_LIMIT, operation=Operation.DERIVE, skip=4, retry_after_s=3600
        )
        fleet.sandbox.faults.add(busy)
        assert fleet.attempt(*COMPROMISED).code == 5
    else:
        slow = Fault(kind=FaultKind.DELAY, operation=Operation.DERIVE, delay_ms=200, count=None)
        fleet.sandbox.faults.add(slow)
        with fleet.running(*COMPROMISED) as process:
            until(lambda: derives(fleet) >= asked + 3)
            process.send_signal(signal.SIGINT)
            assert fleet.finish(process).code == 5
        fleet.sandbox.faults.clear()
    finished = done_of(fleet, before)
    assert 0 < len(finished) < len(before)
    told = f"(--compromised, --all) is not done: {len(before) - len(finished)} label"
    for command in (("plan",), ("status",)):
        assert told in fleet.must(*command).err
    checked = fleet.attempt("status", "--check")
    assert checked.code == 4, "what was called compromised lives on"
    assert "said to be compromised, and not rotated yet" in checked.out
    sent = derives(fleet)
    done = fleet.must(*COMPROMISED)
    left = len(before) - len(finished)
    assert "goes on with the rotation that began at 20" in done.err
    assert derives(fleet) - sent == left
    assert finished.items() <= currents(fleet).items()
    assert_all_new(fleet, before, gone=True)
    fleet.assert_quiet()


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all effects."""
    server = KillServer()
    yield server
    server.stop()


EFFECTS_MOST = 90


def test_killed_after_any_effect_the_same_command_goes_on(
    fleet: Fleet, kill_server: KillServer
) -> None:
    """Whichever effect was the last: afterwards each label was rotated, next to no
    token was made in vain, and the next emergency begins anew.

    Every second effect: each run keeps the exchange's pace, and takes seconds.
    """
    fleet.begin(BOTS[0])
    for at in range(1, EFFECTS_MOST, 2):
        before, asked = currents(fleet), derives(fleet)
        killed = kill_server.killed(fleet, at, *COMPROMISED)
        if not killed:
            assert at > 3 * len(before), "hardly any effect"
            return
        finished = done_of(fleet, before)
        if fleet.ledger().holder is None:
            assert_all_new(fleet, before, gone=True)
            continue
        done = fleet.must(*COMPROMISED)
        assert finished.items() <= currents(fleet).items(), (at, done)
        assert derives(fleet) - asked <= len(before) + IN_FLIGHT, (at, done)
        assert_all_new(fleet, before, gone=True)
    pytest.fail("it never came to its end")


# --- one token, by its id ---


def older(fleet: Fleet, times: int = 2) -> list[str]:
    """The predecessors of bots/0 after so many rotations, oldest first."""
    for _ in range(times):
        fleet.must("rotate", "--target", "bots/0", "--yes")
    return [row.token_id for row in fleet.ledger().tokens["bots/0"].retiring]


def test_a_predecessor_that_leaked_is_revoked_by_its_id(fleet: Fleet) -> None:
    """That id and nothing else: no other predecessor, no rotation, without an identity
    token; history tells why. By the id of a current token its label is rotated.
    """
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(*BOTS[:2])
    first, second = older(fleet)
    fleet.use("bots/0")
    before, asked = currents(fleet), derives(fleet)
    alone = ("--compromised", "--yes", "--report", "report.json")
    nobody = {"LIMITLESS_IDENTITY_TOKEN": None}
    with fleet.untouched():
        said = fleet.run("rotate", "--token-id", first, "--yes").refusal(64)
        assert f"{first} is an older token of bots/0" in said
        assert "with --compromised" in said
    done = fleet.ok("rotate", "--token-id", first[:6], *alone, environ=nobody)
    assert f"revoked bots/0 (compromised: no overlap): token {first[:4]}" in done.out
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    (row,) = judged("report", (fleet.folder / "report.json").read_text())["rows"]
    assert (row["action"], row["reason"], row["revoked"]) == ("revoke", "compromised", [first])
    assert (currents(fleet), derives(fleet)) == (before, asked)
    live = {token.token_id for token in fleet.sandbox.state.live()}
    assert live == {second, *before.values()}
    history = fleet.must("history", "--label", "bots/0", "--format", "json").out
    events = judged("history", history)["events"]
    assert [e["why"] for e in events if (e["what"], e["token_id"]) == ("revoked", first)] == [
        "compromised"
    ]
    with fleet.untouched():
        said = fleet.refused(64, "rotate", "--token-id", first, *alone)
        assert "no token that the ledger knows" in said
    fleet.must("rotate", "--token-id", before["bots/0"], *alone)
    (left,) = (token.token_id for token in fleet.live("bots/1"))
    document = (fleet.folder / "tokens.yaml").read_text()
    fleet.write(BOTS[0])
    with fleet.untouched():
        said = fleet.refused(64, "rotate", "--token-id", left, *alone)
        assert f"{left} is the token of bots/1, which is not in the manifest" in said
        assert "--revoke-now bots/1" in said
    fleet.write(*BOTS[:2])
    assert document == (fleet.folder / "tokens.yaml").read_text()
    assert {before["bots/0"], second}.isdisjoint(t.token_id for t in fleet.live("bots/0"))
    fleet.assert_whole()
    fleet.assert_quiet()


def test_an_id_that_begins_several_names_them(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 64 with what it fits; four characters are needed at least."""
    numbers = itertools.count()
    monkeypatch.setattr(state, "new_token_id", lambda *_: f"alike-{next(numbers):06}")
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(*BOTS[:1])
    older(fleet)
    known = sorted(fleet.ledger().known_ids())
    assert len(known) == 4
    with fleet.untouched():
        for command in (("rotate", "--yes"), ("status",)):
            said = fleet.run(*command, "--token-id", "alik").refusal(64)
            assert f"fits {', '.join(known)}: give more of the id" in said
            assert "at least 4 characters" in fleet.refused(64, *command, "--token-id", "ali")
    fleet.must("rotate", "--token-id", known[1], "--compromised", "--yes")


def test_a_predecessor_that_is_read_again_is_not_revoked(fleet: Fleet) -> None:
    """A person wrote its secret again, so consumers hold it: that is told, with 4. One
    that is on its way out already is not asked for twice.
    """
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(*BOTS[:1])
    (first,) = older(fleet, times=1)
    alone = ("rotate", "--token-id", first, "--compromised", "--yes")
    write_again(fleet, 1)
    assert "bots/0" in fleet.refused(4, *alone)
    assert first in {token.token_id for token in fleet.live("bots/0")}
    write_again(fleet, 2)
    sham = Fault(kind=FaultKind.NOTHING_DONE, operation=Operation.REVOKE, count=1)
    fleet.sandbox.faults.add(sham)
    assert fleet.attempt(*alone).code == 5
    assert "is being revoked already" in fleet.refused(64, *alone)
    fleet.later(minutes=61)
    fleet.must("apply", "--yes")
    assert first not in {token.token_id for token in fleet.live("bots/0")}


def write_again(fleet: Fleet, version: int) -> None:
    """A person writes an older version of the secret of bots/0 as the latest."""
    content = fleet.secret("bots/0", version)
    assert content.secret is not None
    again = {**texts_of(content), "secret": content.secret.reveal()}
    with fleet.operator() as vault:
        vault.secrets.kv.v2.create_or_update_secret(
            f"{fleet.prefix}/bots/0", again, mount_point=fleet.mount
        )
