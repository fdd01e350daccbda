"""What a pipeline asks of the program: saved plans with their flags, causes by the base
branch, forms, outputs, summaries.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.plan import Policy
from reconciler.protocol.effects import Derive, Effect
from reconciler.run.driver import Driver
from tests.support.fleet import Fleet, judged

BOT = {"label": "bot"}
LEAVING = tuple({"label": f"bot-{n}"} for n in range(Policy().max_revocations + 1))


def saved(fleet: Fleet, *arguments: str) -> Path:
    """A plan as a file."""
    file = fleet.folder / "plan.json"
    fleet.must("plan", "--out", str(file), *arguments)
    return file


def edited(file: Path, **flags: object) -> str:
    """The same plan with other flags, written by hand."""
    document = judged("plan", file.read_text(encoding="utf-8"))
    document["flags"].update(flags)
    other = file.with_name("edited.json")
    other.write_text(json.dumps(document), encoding="utf-8")
    return str(other)


def test_a_saved_plan_has_its_flags(fleet: Fleet) -> None:
    """What lifted a guard for the plan lifts it for its apply; other flags than those
    make it stale.
    """
    fleet.begin(*LEAVING)
    fleet.write()
    fleet.later(hours=2)
    guarded = saved(fleet)
    assert "more than --max-revocations 3" in fleet.refused(1, "apply", "--plan", str(guarded))
    with fleet.untouched():
        assert "edited by hand" in fleet.refused(
            3, "apply", "--plan", edited(guarded, max_revocations=9)
        )
        assert "is stale" in fleet.refused(
            3, "apply", "--plan", str(guarded), "--max-revocations", "9"
        )
    lifted = saved(fleet, "--max-revocations", "9")
    assert "made with --max-revocations 9" in fleet.outputs[-2]
    done = fleet.must("apply", "--plan", str(lifted))
    assert done.last_line == "applied 4, failed 0, held 0, not tried 0"


def told_of(outputs: Path) -> str:
    """The outputs of a step, after the name of what is managed."""
    first, _, rest = outputs.read_text(encoding="utf-8").partition("\n")
    assert first.startswith("fleet=kv-"), first
    return rest


def test_a_stale_plan_is_told_apart(fleet: Fleet) -> None:
    """Exit 3, and both plans' rows side by side: on standard error, and in the job's
    summary.
    """
    fleet.begin(BOT)
    fleet.write(BOT, {"label": "new"})
    file = saved(fleet)
    fleet.write(BOT, {"label": "other"})
    summary, outputs = fleet.folder / "summary.md", fleet.folder / "outputs"
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_OUTPUT": str(outputs),
    }
    with fleet.untouched():
        done = fleet.attempt("apply", "--plan", str(file), environ=environ)
    assert done.code == 3
    for text in (done.err, summary.read_text(encoding="utf-8")):
        assert "- derive new: no token yet" in text
        assert "+ derive other: no token yet" in text
        assert "the approved plan is stale" in text
    assert told_of(outputs) == "exit-code=3\n"


def test_an_apply_in_a_job_leaves_summary_outputs_and_masks(fleet: Fleet) -> None:
    """Counts as outputs, the rows as a summary; the identity token is masked first of
    all.
    """
    fleet.begin()
    fleet.write(BOT)
    summary, outputs = fleet.folder / "summary.md", fleet.folder / "outputs"
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_OUTPUT": str(outputs),
    }
    done = fleet.must("apply", "--yes", environ=environ)
    assert told_of(outputs) == "applied=1\nfailed=0\nheld=0\nnot-tried=0\nexit-code=0\n"
    assert "### reconciler apply: applied 1, failed 0, held 0, not tried 0" in summary.read_text(
        encoding="utf-8"
    )
    assert "| derive | `bot` | applied: " in summary.read_text(encoding="utf-8")
    mask, *rest = done.err.splitlines()
    assert mask == f"::add-mask::{fleet.environ['LIMITLESS_IDENTITY_TOKEN']}"
    assert rest == []
    fleet.outputs.remove(done.err)  # the one line that is meant for the runner alone


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_what_ends_a_command_early_is_in_the_summary(fleet: Fleet, command: str) -> None:
    """A job's page says why, not only its log."""
    fleet.write(BOT)
    summary = fleet.folder / "summary.md"
    arguments = ["--yes"] if command == "apply" else []
    done = fleet.attempt(
        command, *arguments, environ={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    )
    assert done.code == 4
    told = summary.read_text(encoding="utf-8")
    assert told.startswith(f"### reconciler {command}: refused\n\n``there is no ledger at ")
    assert "where the mount or the prefix has changed, `reconciler move" in told


def test_causes_by_the_base_branch(fleet: Fleet) -> None:
    """From a snapshot, with no credential at all: each row says whether this change,
    drift or a due rotation caused it.
    """
    fleet.begin(BOT, {"label": "gone"})
    (gone,) = fleet.live("gone")
    fleet.sandbox.state.revoke_by_hand(gone.token_id)
    snapshot, base = fleet.folder / "snapshot.json", fleet.folder / "base"
    fleet.must("observe", "--out", str(snapshot))
    base.mkdir()
    (base / "tokens.yaml").write_bytes((fleet.folder / "tokens.yaml").read_bytes())
    fleet.write(BOT, {"label": "gone"}, {"label": "new"})
    bare = dict.fromkeys(
        ("LIMITLESS_IDENTITY_TOKEN", "LIMITLESS_API_URL", "VAULT_ADDR", "VAULT_TOKEN")
    )
    arguments = ("plan", "--observed", str(snapshot), "--format", "markdown")

    def text(base: str) -> str:
        done = fleet.attempt(*arguments, "--base", base, environ=bare)
        assert done.code == 0
        return done.out + done.err

    whole = text(str(base / "tokens.yaml"))
    assert re.search(r"\| derive \| `new` \|.*\| this pull request \|", whole)
    assert re.search(r"\| rotate \| `gone` \|.*\| drift \|", whole.replace("**", ""))
    assert re.search(r"\| derive \| `new` \|.*\| this pull request \|", text("nowhere.yaml"))
    (base / "tokens.yaml").write_text("tokens: [", encoding="utf-8")
    broken = text(str(base / "tokens.yaml"))
    assert "the base branch's manifest is not valid" in broken
    assert "caused by" not in broken


def test_the_forms_for_gitlab(fleet: Fleet) -> None:
    """Its plan widget's three numbers, and its code-quality report, which is there for
    a valid manifest too.
    """
    fleet.write({**BOT, "overlap": "26h"})
    assert json.loads(fleet.must("validate", "--format", "gitlab").out) == []
    assert fleet.must("validate", "--format", "github").out.splitlines() == [
        "tokens.yaml: 2 tokens, valid"
    ]
    fleet.begin(BOT)
    (told,) = json.loads(fleet.must("validate", "--format", "gitlab").out)
    assert told["description"].startswith("the overlap of 'bot' is less than 24h")
    fleet.write({"label": "new"})
    fleet.later(hours=2)
    assert json.loads(fleet.must("plan", "--format", "gitlab").out) == {
        "create": 1,
        "update": 0,
        "delete": 1,
    }
    fleet.write({"label": "bot", "scopes": ["tradng"]})
    done = fleet.attempt("validate", "--format", "gitlab")
    (problem,) = json.loads(done.out)
    assert (done.code, problem["location"]["path"]) == (1, "tokens.yaml")


def test_annotations_for_github(fleet: Fleet) -> None:
    """The place and the hint, as a workflow command; the same line for people on
    standard error.
    """
    fleet.write({"label": "bot", "scopes": ["tradng"]})
    done = fleet.attempt("validate", "--format", "github")
    assert done.code == 1
    line = next(
        n
        for n, text in enumerate((fleet.folder / "tokens.yaml").read_text().splitlines(), 1)
        if "tradng" in text
    )
    expected = (
        f"::error file=tokens.yaml,line={line},col=5,title=reconciler::scope 'tradng' - did "
        "you mean 'trading'?"
    )
    assert re.sub(r"col=\d+", "col=5", done.out) == f"{expected}\n"
    assert f"tokens.yaml:{line}:" in done.err


def test_an_earlier_report_does_not_pass_for_this_ones(fleet: Fleet) -> None:
    """A run that is refused leaves no report, rather than another run's."""
    fleet.begin()
    fleet.write(BOT)
    report = fleet.folder / "report.json"
    fleet.must("apply", "--yes", "--report", str(report))
    fleet.write(BOT, {"label": "more"})
    fleet.refused(
        4, "apply", "--yes", "--report", str(report), environ={"LIMITLESS_IDENTITY_TOKEN": None}
    )
    assert not report.exists()


def test_a_report_is_in_the_plans_order(fleet: Fleet) -> None:
    """Whichever change ended first."""
    labels = [f"bot-{n}" for n in range(8)]
    fleet.begin()
    fleet.write(*({"label": label} for label in labels))
    report = fleet.folder / "report.json"
    fleet.must("apply", "--yes", "--report", str(report))
    document: Any = judged("report", report.read_text(encoding="utf-8"))
    assert [row["label"] for row in document["rows"]] == labels


def test_what_nobody_foresaw_ends_in_a_report(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of our own in the middle of an apply: exit 5, a report, the last line;
    and the next run puts all right.
    """
    fleet.begin()
    fleet.write(BOT, {"label": "second"})
    report = fleet.folder / "report.json"
    perform = Driver.perform
    derives: list[str] = []

    def faulty(self: Driver, effect: Effect[Any]) -> Any:
        if isinstance(effect, Derive):
            derives.append(effect.label)
            if len(derives) > 1:
                raise ZeroDivisionError
        return perform(self, effect)

    with monkeypatch.context() as patched:
        patched.setattr(Driver, "perform", faulty)
        with pytest.raises(
            AssertionError
        ):  # the fleet takes every word of an internal error for a fault
            fleet.attempt("apply", "--yes", "--report", str(report))
    done = fleet.ends[-1]
    assert "internal error: ZeroDivisionError in faulty" in done.err
    assert done.code == 5
    assert done.last_line.startswith("applied 1, ")
    assert judged("report", report.read_text(encoding="utf-8"))["exit_code"] == 5
    fleet.outputs.clear()
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_quiet()
    fleet.assert_whole()


def test_a_link_to_the_base_hides_nothing(fleet: Fleet) -> None:
    """A pull request that makes its manifest a link to the base branch's would show no
    difference for ever.
    """
    fleet.begin(BOT)
    snapshot, base = fleet.folder / "snapshot.json", fleet.folder / "base"
    fleet.must("observe", "--out", str(snapshot))
    base.mkdir()
    (fleet.folder / "tokens.yaml").rename(base / "tokens.yaml")
    (fleet.folder / "tokens.yaml").symlink_to(base / "tokens.yaml")
    sentence = fleet.refused(1, "plan", "--observed", str(snapshot), "--base", "base/tokens.yaml")
    assert (
        sentence
        == "the manifest is, or links to, the base branch's: the two have to be different files"
    )
