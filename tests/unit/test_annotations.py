"""Annotations: what GitHub's runner and GitLab read out of them is what was meant,
whatever the manifest holds.
"""

from __future__ import annotations

import json
import re
from typing import Literal

import pytest
from hypothesis import given, settings

from reconciler.errors import Mark, Problem
from reconciler.escape import safe
from reconciler.render.annotations import MOST, code_quality, command, workflow_commands
from tests.support.hostile import assert_harmless, hostile

COMMAND = re.compile(r"::(?P<name>[a-z]+)(?: (?P<properties>[^:]*))?::(?P<message>.*)", re.DOTALL)


def unescaped(text: str, *, prop: bool = False) -> str:
    """What the runner makes of it: the reverse of its documented table, percent signs
    last.
    """
    for escape, char in ((("%3A", ":"), ("%2C", ",")) if prop else ()) + (
        ("%0D", "\r"),
        ("%0A", "\n"),
        ("%25", "%"),
    ):
        text = text.replace(escape, char)
    return text


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """A line as the runner takes it apart."""
    found = COMMAND.fullmatch(line)
    assert found is not None, line
    pairs = (pair.split("=", 1) for pair in (found["properties"] or "").split(",") if pair)
    return (
        found["name"],
        {key: unescaped(text, prop=True) for key, text in pairs},
        unescaped(found["message"]),
    )


def problem(
    file: str = "tokens.yaml",
    message: str = "wrong",
    severity: Literal["error", "warning"] = "error",
    line: int = 3,
) -> Problem:
    """Return a problem."""
    return Problem(mark=Mark(file=file, line=line, column=5), message=message, severity=severity)


@settings(max_examples=200, derandomize=True)
@given(hostile(), hostile())
def test_a_command_comes_back_as_it_was_meant(message: str, value: str) -> None:
    """One line; the runner's own unescaping gives the visible text, for the message and
    for a property.
    """
    line = command("error", message, file=value)
    assert "\n" not in line
    assert parsed(line) == ("error", {"file": safe(value)}, safe(message))


@pytest.mark.parametrize(
    ("errors", "warnings", "shown"),
    [
        (0, 0, (0, 0)),
        (1, 2, (1, 2)),
        (MOST, MOST, (MOST, MOST)),
        (MOST + 1, 0, (MOST, 0)),
        (500, 500, (MOST, MOST)),
    ],
)
def test_as_many_as_github_shows(errors: int, warnings: int, shown: tuple[int, int]) -> None:
    """Ten of a kind for a step: the tenth counts the rest, so that nobody takes ten for
    all.
    """
    problems = [
        *(problem(line=n + 1) for n in range(errors)),
        *(problem(severity="warning") for _ in range(warnings)),
    ]
    lines = [parsed(line) for line in workflow_commands(problems)]
    assert (
        sum(name == "error" for name, _, _ in lines),
        sum(name == "warning" for name, _, _ in lines),
    ) == shown
    told = [message for name, _, message in lines if name == "error" and message != "wrong"]
    assert told == ([f"and {errors - MOST + 1} more: see the log"] if errors > MOST else [])
    if errors:
        assert lines[0] == (
            "error",
            {"file": "tokens.yaml", "line": "1", "col": "5", "title": "reconciler"},
            "wrong",
        )


@settings(max_examples=100, derandomize=True)
@given(hostile(), hostile())
def test_the_code_quality_report_is_json_for_gitlab(file: str, message: str) -> None:
    """Every key that GitLab needs; two problems of one place differ; the same problem
    keeps its fingerprint.
    """
    text = code_quality(
        [problem(file, message), problem(file, message + "!"), problem(file, message)]
    )
    assert_harmless(text)
    first, other, again = json.loads(text)
    assert first == {
        "type": "issue",
        "check_name": "reconciler",
        "description": safe(message),
        "fingerprint": first["fingerprint"],
        "severity": "major",
        "location": {"path": safe(file), "lines": {"begin": 3}},
    }
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]
