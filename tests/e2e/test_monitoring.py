"""What pagers and cron get: the check, metrics, and who is told of a run."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from reconciler.cli import notify
from reconciler.sandbox import Fault, FaultKind, Operation
from tests.e2e.test_log import events_in
from tests.e2e.test_status import bare
from tests.support.fleet import Done, Fleet, judged
from tests.unit.test_metrics import samples_of

WELL = "all is well: 2 labels, none broken or overdue, and nobody is needed\n"
NOBODY: dict[str, str | None] = {"LIMITLESS_IDENTITY_TOKEN": None}


def checked(fleet: Fleet, *arguments: str, **environ: str | None) -> tuple[int, str]:
    """The exit code and the one line of a check, live and from a snapshot: the same."""
    fleet.must("observe", "--out", "observed.json")
    live = fleet.attempt("status", "--check", *arguments, environ=environ)
    blind: dict[str, str | None] = {**bare(fleet), **environ}
    shown = fleet.attempt(
        "status", "--check", "--observed", "observed.json", *arguments, environ=blind
    )
    assert (live.err, shown.err) == ("", "")
    assert (shown.code, shown.out) == (live.code, live.out)
    assert live.out.count("\n") == 1
    return live.code, live.out


def test_the_check_tells_who_is_needed(fleet: Fleet) -> None:
    """Fine, a new label, a secret that was written over, labels that are overdue."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "2d"}
    token = fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    fleet.begin({"label": "bot"})
    assert checked(fleet) == (0, WELL)
    fleet.write({"label": "bot"}, {"label": "new"})
    code, line = checked(fleet, **NOBODY)
    assert (code, line) == (
        4,
        "a person is needed: new: to derive, an apply needs an identity token\n",
    )
    assert checked(fleet, "--target", "bot", **NOBODY)[0] == 0
    assert checked(fleet, LIMITLESS_IDENTITY_TOKEN=token)[0] == 0
    fleet.write({"label": "bot"})
    with fleet.operator() as client:
        client.secrets.kv.v2.create_or_update_secret(
            path=f"{fleet.prefix}/bot", secret={"note": "mine"}, mount_point=fleet.mount
        )
    code, line = checked(fleet)
    assert (code, line.partition(":")[0]) == (1, "bot is broken")
    fleet.must("apply", "--yes")
    fleet.later(days=4)
    late = fleet.attempt("status", "--check")
    assert (late.code, late.out) == (1, "2 labels are overdue: bot, reconciler\n")
    alone = fleet.attempt("status", "--check", environ=NOBODY)
    assert alone.code == 4
    assert alone.out.endswith("; 2 labels are overdue: bot, reconciler\n")


def test_the_check_beside_a_document(fleet: Fleet) -> None:
    """The document goes to standard output, the line to standard error."""
    fleet.begin({"label": "bot"})
    done: Done = fleet.attempt("status", "--check", "--format", "json")
    assert (done.code, done.err) == (0, WELL)
    assert judged("status", done.out)["summary"] == {"ok": 2}


def test_a_check_that_can_not_look_fails(fleet: Fleet) -> None:
    """It is no green light."""
    fleet.begin({"label": "bot"})
    fleet.refused(1, "status", "--check", environ={"VAULT_ADDR": "http://127.0.0.1:9"})


# --- metrics ---


def own(fleet: Fleet, command: str) -> str:
    """The labels of a run's metrics."""
    return f'manifest="{fleet.mount}/{fleet.prefix}",command="{command}"'


def measured(fleet: Fleet, command: str = "apply") -> dict[str, str]:
    """What the file says of a command, by names without the prefix and own labels."""
    found = samples_of((fleet.folder / "run.prom").read_text())
    ours = {k.replace(own(fleet, command), "R"): v for k, v in found.items()}
    return {k.removeprefix("reconciler_run_"): v for k, v in ours.items() if "{R" in k}


def test_a_run_is_measured(fleet: Fleet) -> None:
    """Its end, its changes and its calls, as many as the exchange counted."""
    fleet.begin({"label": "bot"})
    fleet.write({"label": "bot"}, {"label": "new"})
    before = len(fleet.sandbox.state.calls)
    begun_s = time.time()
    fleet.must("apply", "--yes", "--metrics", "run.prom")
    found = measured(fleet)
    assert begun_s <= float(found["timestamp_seconds{R}"]) <= time.time()
    assert found["success_timestamp_seconds{R}"] == found["timestamp_seconds{R}"]
    assert (found["exit_code{R}"], found['changes{R,outcome="applied"}']) == ("0", "1")
    calls = len(fleet.sandbox.state.calls) - before
    assert int(found['api_calls{R,peer="exchange"}']) == calls
    assert int(found['api_calls{R,peer="vault"}']) > 3
    assert found['api_errors{R,peer="vault"}'] == "0"


def test_what_goes_wrong_is_measured_too(fleet: Fleet) -> None:
    """A 429, a missing identity, another run's lease, Vault that is away: each is the
    last outcome, and the last success stays.
    """
    fleet.begin({"label": "bot"})
    fleet.must("apply", "--yes", "--metrics", "run.prom")
    success = measured(fleet)["success_timestamp_seconds{R}"]
    fleet.write({"label": "bot"}, {"label": "new"})
    ways: tuple[tuple[int, dict[str, str | None]], ...] = (
        (4, {"LIMITLESS_IDENTITY_TOKEN": None}),
        (1, {"VAULT_ADDR": "http://127.0.0.1:9"}),
    )
    for code, environ in ways:
        done = fleet.attempt("apply", "--yes", "--metrics", "run.prom", environ=environ)
        found = measured(fleet)
        assert (done.code, found["exit_code{R}"]) == (code, str(code))
        assert found["success_timestamp_seconds{R}"] == success
    fleet.sandbox.faults.add(Fault(operation=Operation.LIST, kind=FaultKind.RATE_LIMIT))
    fleet.must("rotate", "--target", "bot", "--yes", "--metrics", "run.prom")
    assert measured(fleet, "rotate")['api_throttled{R,peer="exchange"}'] == "1"
    assert measured(fleet)["exit_code{R}"] == "1", "of another command"
    fleet.lend_lease(60)
    assert fleet.attempt("apply", "--yes", "--metrics", "run.prom").code == 6
    assert measured(fleet)["exit_code{R}"] == "6"
    (fleet.folder / "tokens.yaml").write_text("version: 7\n")
    kept = (fleet.folder / "run.prom").read_text()
    fleet.refused(1, "apply", "--yes", "--metrics", "run.prom")
    assert (fleet.folder / "run.prom").read_text() == kept, "nobody knows whose run it was"


def test_the_file_of_metrics_is_whole_and_readable(fleet: Fleet) -> None:
    """Whatever the umask: the collector is another user. It is replaced, not written
    into; what can't be written is refused before anything is done.
    """
    fleet.begin({"label": "bot"})
    before = os.umask(0o077)
    try:
        fleet.must("apply", "--yes", "--metrics", "run.prom")
        first = (fleet.folder / "run.prom").stat()
        fleet.must("apply", "--yes", "--metrics", "run.prom")
        fleet.must("status", "--format", "prometheus", "--out", "status.prom")
    finally:
        os.umask(before)
    second = (fleet.folder / "run.prom").stat()
    assert second.st_ino != first.st_ino
    assert {stat.S_IMODE(f.stat().st_mode) for f in fleet.folder.glob("*.prom")} == {0o644}
    assert not [*fleet.folder.glob("*.tmp")]
    fleet.write({"label": "bot"}, {"label": "new"})
    with fleet.untouched():
        fleet.refused(1, "apply", "--yes", "--metrics", "no/such/folder.prom")


def test_the_metrics_of_a_status(fleet: Fleet) -> None:
    """The same from a snapshot, but for its time and ages."""
    fleet.begin({"label": "bot"})
    fleet.must("observe", "--out", "observed.json")
    live = samples_of(fleet.must("status", "--format", "prometheus").out)
    args = ("status", "--observed", "observed.json", "--format", "prometheus")
    shown = samples_of(fleet.must(*args, environ=bare(fleet)).out)
    assert live.keys() == shown.keys()
    place = f'manifest="{fleet.mount}/{fleet.prefix}"'
    assert shown[f'reconciler_labels{{{place},state="ok"}}'] == "2"
    assert shown[f'reconciler_token_state{{{place},label="bot",state="ok"}}'] == "1"


# --- who is told ---

TELLER = """\
import json, os, sys, time
mode, out = sys.argv[1:]
text = sys.stdin.read()
with open(out, "w") as file:
    json.dump({"report": json.loads(text), "environ": dict(os.environ)}, file)
if mode == "slow":
    time.sleep(60)
print("on standard output")
print("on standard error", file=sys.stderr)
sys.exit(3 if mode == "fails" else 0)
"""


@pytest.fixture
def teller(fleet: Fleet) -> str:
    """A command line that takes a report and keeps it, with the environment."""
    program = fleet.folder / "teller.py"
    program.write_text(TELLER)
    return f"{sys.executable} '{program}'"


def told(fleet: Fleet) -> dict[str, object]:
    """What it kept."""
    found: dict[str, object] = json.loads((fleet.folder / "told.json").read_text())
    (fleet.folder / "told.json").unlink()
    return found


def test_a_program_is_told_of_the_run(fleet: Fleet, teller: str) -> None:
    """The report, as the file has it, and without a secret in the environment; what it
    prints is no result.
    """
    fleet.begin()
    fleet.write({"label": "bot"})
    ways = ("--notify-command", f"{teller} well told.json", "--report", "report.json")
    done = fleet.ok("apply", "--yes", *ways)
    found = told(fleet)
    assert found["report"] == json.loads((fleet.folder / "report.json").read_text())
    judged("report", json.dumps(found["report"]))
    secrets = {fleet.environ[name] for name in ("VAULT_TOKEN", "LIMITLESS_IDENTITY_TOKEN")}
    assert not [text for text in secrets if text in json.dumps(found["environ"])]
    assert (done.err, done.last_line) == (
        "on standard error\n",
        "applied 1, failed 0, held 0, not tried 0",
    )
    rotated = fleet.ok("rotate", "--target", "bot", "--yes", *ways)
    assert told(fleet)["report"] == json.loads((fleet.folder / "report.json").read_text())
    assert rotated.code == 0


@pytest.mark.parametrize(
    ("mode", "warning"),
    [
        ("fails", "failed with exit code 3"),
        ("slow", "took longer than 0.5 s"),
        ("missing", "can't be run"),
    ],
)
def test_its_failure_changes_nothing(
    fleet: Fleet, teller: str, mode: str, warning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning; the run's result and its last line stay."""
    monkeypatch.setattr(notify, "TIMEOUT_S", 0.5)
    fleet.begin()
    fleet.write({"label": "bot"})
    command = "/no/such/program" if mode == "missing" else f"{teller} {mode} told.json"
    begun_s = time.monotonic()
    done = fleet.must("apply", "--yes", "--notify-command", command)
    assert time.monotonic() - begun_s < 20
    assert "warning: the notify command" in done.err
    assert warning in done.err
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"


def test_what_it_leaves_behind_is_not_waited_for(fleet: Fleet) -> None:
    """Where its words become events, too, of which only the first are kept."""
    fleet.begin()
    say = "echo first >&2; head -c 1000000 /dev/zero | tr \\\\0 x >&2"
    command = f"sh -c '{say}; sleep 15 & exit 0'"
    begun_s = time.monotonic()
    done = fleet.must("--log-format", "json", "apply", "--yes", "--notify-command", command)
    assert time.monotonic() - begun_s < 10
    said = [e["message"] for e in events_in(done.err) if "says" in str(e.get("message"))]
    assert said[0] == "the notify command says: first"
    assert len(said) == 2
    assert 9000 < len(said[1]) < 11_000


def test_a_command_that_is_none_is_refused_before_anything_is_done(fleet: Fleet) -> None:
    """A usage error, as with the identity command."""
    fleet.begin()
    fleet.write({"label": "bot"})
    with fleet.untouched():
        for command in ("'", "", " "):
            assert fleet.attempt("apply", "--yes", "--notify-command", command).code == 64


def test_it_is_told_of_a_run_that_failed(fleet: Fleet, teller: str) -> None:
    """With the exit code that the process has."""
    fleet.begin()
    fleet.write({"label": "bot"})
    fleet.sandbox.faults.add(Fault(operation=Operation.DERIVE, kind=FaultKind.LOST_REPLY))
    done = fleet.attempt("apply", "--yes", "--notify-command", f"{teller} well told.json")
    report = told(fleet)["report"]
    assert isinstance(report, dict)
    assert (done.code, report["exit_code"]) == (5, 5)


def test_an_identity_command_runs_without_our_secrets_too(fleet: Fleet, tmp_path: Path) -> None:
    """It gets the environment but for them, and what it says becomes an event."""
    fleet.begin()
    fleet.write({"label": "bot"})
    token = fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    (tmp_path / "identity").write_text(token)
    says = f"env > seen.txt; cat {tmp_path}/identity >&2; echo >&2; echo bye >&2"
    command = f"sh -c '{says}; echo Bearer $(cat {tmp_path}/identity)'"
    done = fleet.must(
        *("--log-format", "json", "apply", "--yes", "--identity-command", command),
        environ={**NOBODY, "GITHUB_TOKEN": "ghs_made_up"},
    )
    said = [event.get("message", "") for event in events_in(done.err)]
    assert [text for text in said if "identity command" in text] == [
        "the identity command says: bye"
    ], "the line with the token is left out"
    seen = (fleet.folder / "seen.txt").read_text()
    assert "VAULT_ADDR=" in seen
    assert not [t for t in ("ghs_made_up", fleet.environ["VAULT_TOKEN"], token) if t in seen]
