"""``--log-format json``: one line an event on standard error, for every command.

The commands run against the sandbox and a real OpenBao; what they print to standard
output is the same as without it.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import jsonschema
import pytest

from reconciler import load_schema
from tests.e2e.conftest import NewFleet
from tests.support.fleet import Done, Fleet
from tests.support.pages import COMMANDS

SCHEMA = load_schema("log")
COMMON = set(SCHEMA["required"])
SERVES = {"sandbox", "demo"}
"""Commands that serve until a signal comes, or take a minute."""


def events_in(err: str) -> list[dict[str, Any]]:
    """The events of standard error. Each line is one, as its schema says, and has no
    key that the schema does not explain.
    """
    found = []
    for line in err.splitlines():
        event = json.loads(line)
        jsonschema.validate(event, SCHEMA)
        assert line.isascii()
        assert set(event) - COMMON == set(SCHEMA["$defs"][event["event"]]["properties"]), event
        found.append(event)
    return found


def logged(fleet: Fleet, *arguments: str, **more: Any) -> tuple[Done, list[dict[str, Any]]]:
    """A command whose log is JSON, and its events; the options stand before it."""
    done = fleet.attempt("--log-format", "json", *arguments, **more)
    return done, events_in(done.err)


def names(events: list[dict[str, Any]]) -> list[str]:
    """The names of events, but for sentences and calls."""
    return [e["event"] for e in events if e["event"] not in {"message", "api_call"}]


def test_every_command_logs_events_alone(fleet: Fleet) -> None:
    """Whether it succeeds or fails, and with the options after it as well."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin({"label": "bot"}, {"label": "old"})
    fleet.must("plan", "--out", "plan.json")
    token_id = fleet.live("bot")[0].token_id
    walk: dict[str, tuple[str, ...]] = {
        "validate": (),
        "doctor": (),
        "plan": (),
        "apply": ("--yes",),
        "status": (),
        "show": ("plan.json",),
        "history": (),
        "observe": ("--out", "snapshot.json"),
        "init": ("--out", "first.yaml"),
        "bootstrap": (),
        "rotate": ("--target", "bot", "--yes"),
        "rollback": ("--target", "bot", "--yes"),
        "verify": (),
        "release": ("--label", "old", "--yes"),
        "adopt": ("--label", "no", "--token-id", "no"),
        "forget": ("--token-id", token_id, "--yes"),
        "move": ("--from", "elsewhere/tokens", "--yes"),
        "identity push": (f"{fleet.mount}/handed/over", "--ttl", "600"),
        "github snapshot": ("--out", "fetched.json"),
        "github failure": ("--name", "tests"),
    }
    assert walk.keys() | SERVES == COMMANDS.keys()
    for command, arguments in walk.items():
        words = (*command.split(), *arguments)
        before, events = logged(fleet, *words)
        assert names(events)[0] == "command_started", command
        assert names(events)[-1] == "command_ended", command
        assert events[-1]["exit_code"] == before.code, command
        assert {event["command"] for event in events} == {command}
        after = fleet.attempt(*words, "--log-format=json", "--log-level", "debug")
        assert names(events_in(after.err)), command


def test_an_apply_tells_its_changes_and_its_run(fleet: Fleet) -> None:
    """One event for each change, with the id that report and ledger have; results stay
    on standard output.
    """
    fleet.begin({"label": "bot"})
    fleet.write({"label": "bot"}, {"label": "new"})
    done, events = logged(fleet, "apply", "--yes", "--report", "report.json")
    report = json.loads((fleet.folder / "report.json").read_text())
    assert names(events) == [
        "command_started",
        "changes_started",
        "change_ended",
        "run_ended",
        "command_ended",
    ]
    ended = next(e for e in events if e["event"] == "change_ended")
    assert (
        ended.items()
        >= {
            "run": report["run"],
            "command": "apply",
            "label": "new",
            "action": "derive",
            "reason": "absent",
            "status": "applied",
            "token_id": fleet.live("new")[0].token_id,
        }.items()
    )
    assert done.out.splitlines()[-1] == "applied 1, failed 0, held 0, not tried 0"


def test_calls_are_told_where_that_is_asked_for(fleet: Fleet) -> None:
    """As events and as lines for people; their number is that of the calls."""
    fleet.begin({"label": "bot"})
    _, quiet = logged(fleet, "plan")
    assert [e for e in quiet if e["event"] == "api_call"] == []
    before = len(fleet.sandbox.state.calls)
    _, events = logged(fleet, "--log-level", "debug", "plan")
    calls = [e for e in events if e["event"] == "api_call"]
    assert {e["level"] for e in calls} == {"debug"}
    asked = [(e["method"], e["status"]) for e in calls if e["peer"] == "exchange"]
    assert asked == [("GET", 200)] * (len(fleet.sandbox.state.calls) - before)
    assert any(e["peer"] == "vault" and e["path"].endswith("/_ledger") for e in calls)
    spoken = fleet.attempt("plan", "--log-level", "debug").err
    assert "debug: exchange: GET /auth/api-tokens: 200 (" in spoken


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (64, ("plan", "--no-such-option")),
        (64, ("--no-such-option", "plan")),
        (64, ("no-such-command",)),
        (64, ()),
        (64, ("rotate",)),
        (1, ("validate", "no-such-file.yaml")),
        (4, ("apply", "--yes", "--identity-command", "sh -c 'echo say; echo no >&2; exit 1'")),
    ],
    ids=str,
)
def test_mistakes_are_events(new_fleet: NewFleet, code: int, arguments: tuple[str, ...]) -> None:
    """Also those of the command line itself, and what another program says."""
    with new_fleet() as fleet:
        fleet.begin()
        fleet.write({"label": "bot"})
        done, events = logged(fleet, *arguments, environ={"LIMITLESS_IDENTITY_TOKEN": None})
        assert (done.code, events[-1]["exit_code"]) == (code, code)
        errors = [e["message"] for e in events if e["event"] == "message" and e["level"] == "error"]
        assert errors, events
        if "--identity-command" in arguments:
            assert "the identity command says: no" in [e.get("message") for e in events]


def test_a_process_that_a_signal_ends(fleet: Fleet) -> None:
    """As a process of its own, which serves until then."""
    with fleet.running("--log-format", "json", "sandbox") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)
        done = fleet.finish(process)
    assert done.code == 0
    assert names(events_in(done.err)) == ["command_started", "command_ended"]
