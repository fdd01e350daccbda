"""What GitHub takes of one step, with a manifest of 1,000 labels, each of them as long
and as odd as a label can be.

    of a step            GitHub's limit
    -------------------  ----------------------------------------------
    summary              1 MiB; all of it is dropped where it is larger
    annotations          10 of a kind; the others are dropped
    message of one       4,096 characters; the rest is cut off

Source: docs.github.com, "Workflow commands"; ``ExecutionContext.cs`` and
``FileCommandManager.cs`` of actions/runner.
"""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import pytest

from reconciler.cli import ci
from reconciler.errors import Exit, Mark, Problem
from reconciler.model import MAX_LABELS
from reconciler.protocol.outcome import applied
from reconciler.protocol.report import Report, Row
from reconciler.render.annotations import MESSAGE_CHARS, command, workflow_commands
from reconciler.render.comment import (
    COMMENT_BYTES,
    SUMMARY_BYTES,
    drift_issue,
    plan_comment,
    plan_summary,
    report_summary,
)
from tests.unit.test_comment import SOURCE, fleet, planned

MIB = 1024 * 1024
LABELS = tuple(f"{n:04}" + "|\u202e`\u200b" * 31 for n in range(MAX_LABELS))


def test_texts_of_a_plan_keep_within_their_sizes() -> None:
    """A thousand rows that derive, and a thousand that retire."""
    for made, seen in (planned(fleet(), *LABELS), planned(fleet(*LABELS))):
        assert len(made.acting) == MAX_LABELS
        summary = plan_summary(made, SOURCE, guards=("stop",), review=seen)
        assert len(summary.encode()) <= SUMMARY_BYTES < MIB
        comment = plan_comment(made, SOURCE, guards=("stop",), review=seen)
        assert len(comment.encode()) <= COMMENT_BYTES
        assert "rows are shown" in comment, "some do not fit, and that is said"
        assert len(drift_issue(made, SOURCE).encode()) <= COMMENT_BYTES


def test_the_report_keeps_within_its_size() -> None:
    """A thousand changes, each with a long sentence, and as many holds."""
    made, _ = planned(fleet(), *LABELS)
    rows = tuple(Row(change=change, outcome=applied("x" * 2000)) for change in made.acting)
    held = tuple(dataclasses.replace(change, note="y" * 2000) for change in made.acting)
    report = Report(
        run="r",
        started_at_ms=0,
        ended_at_ms=0,
        digest="",
        rows=rows,
        holds=held,
        not_touched=(),
        exit_code=Exit.DONE,
        sentence="z" * 5000,
    )
    text = report_summary(report)
    assert len(text.encode()) <= SUMMARY_BYTES
    assert "applied 1000, failed 0" in text.splitlines()[0]


def test_all_summaries_of_a_step_keep_within_a_mebibyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step may write several, and other programs may have written before: whole lines
    are kept, and it is said that there was more.
    """
    file = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    file.write_text("of another program\n", encoding="utf-8")
    lines = "".join(f"line {n} ü\n" for n in range(40_000))
    for _ in range(4):
        ci.write_summary(lines)
    text = file.read_text(encoding="utf-8")
    assert MIB - 200 < len(text.encode()) <= MIB
    assert text.startswith("of another program\nline 0 ü\n")
    assert "line 39999 ü\nline 0 ü\n" in text
    assert text.count("The rest is too long for GitHub: see the log.") == 1
    assert {line.partition(" ")[0] for line in text.splitlines()} == {"of", "line", "(The", ""}


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_annotations_of_a_thousand_mistakes(severity: str) -> None:
    """Ten, each within the length of a message, and the tenth counts the rest."""
    problems = [
        Problem(
            mark=Mark(file="tokens.yaml", line=number, column=1),
            message=f"{label} " * 50 + "- write that",
            severity="error" if severity == "error" else "warning",
        )
        for number, label in enumerate(LABELS, 1)
    ]
    lines = workflow_commands(problems)
    assert collections.Counter(line.split(" ")[0] for line in lines) == {f"::{severity}": 10}
    messages = [line.rpartition("::")[2] for line in lines]
    assert all(len(message) <= MESSAGE_CHARS for message in messages)
    assert all(message.endswith("- write that") for message in messages[:-1]), "the advice stays"
    assert messages[-1] == "and 991 more: see the log"


def test_a_message_of_just_that_length_is_whole() -> None:
    """One character more, and its middle goes."""
    whole = "a" * MESSAGE_CHARS
    assert command("notice", whole) == f"::notice::{whole}"
    cut = command("notice", f"{whole}b").removeprefix("::notice::")
    assert (len(cut) <= MESSAGE_CHARS, cut[0], cut[-1]) == (True, "a", "b")
    assert " […] " in cut
