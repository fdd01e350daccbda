"""Problems of a manifest as pipelines show them.

GitHub reads workflow commands from the log, GitLab a code-quality report.

    part of a command    escaped, as the runner undoes it
    -------------------  ------------------------------------------
    the message          ``%`` %25, CR %0D, LF %0A
    a property           the same, and ``:`` %3A, ``,`` %2C

Rules this module keeps:

1. What others chose goes through ``safe`` first, so that it is one visible line.
   Escaping for the runner comes after.
2. GitHub shows ten annotations of a severity for a step. Where there are more, nine are
   written, and one that counts the rest.
3. GitHub cuts a message off behind 4,096 characters, which may be where the advice
   stands. So a longer one is cut here, in its middle.
4. A fingerprint is made of the place and the sentence, so that GitLab recognises a
   problem from run to run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from reconciler.errors import Problem
from reconciler.escape import safe

MOST = 10
MESSAGE_CHARS = 4096
_LEFT_OUT = " […] "

_SEVERITIES = {"error": "major", "warning": "minor"}


def command(name: str, message: str, **properties: str) -> str:
    """Return one workflow command: ``::name key=value,…::message``."""
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {told}::{_data(message)}" if told else f"::{name}::{_data(message)}"


def _data(text: str) -> str:
    return _cut(safe(text)).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _cut(text: str) -> str:
    """Return a text within GitHub's length: its beginning and its end."""
    if len(text) <= MESSAGE_CHARS:
        return text
    half = (MESSAGE_CHARS - len(_LEFT_OUT)) // 2
    return text[:half] + _LEFT_OUT + text[-half:]


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def workflow_commands(problems: Sequence[Problem]) -> tuple[str, ...]:
    """Return a command for each problem, errors first, as many as GitHub shows."""
    lines: list[str] = []
    for severity in ("error", "warning"):
        alike = [problem for problem in problems if problem.severity == severity]
        shown = alike if len(alike) <= MOST else alike[: MOST - 1]
        for problem in shown:
            at = problem.mark
            place = {"file": at.file, "line": str(at.line), "col": str(at.column)}
            lines.append(command(severity, problem.message, **place, title="reconciler"))
        if len(alike) > len(shown):
            more = f"and {len(alike) - len(shown)} more: see the log"
            lines.append(command(severity, more, title="reconciler"))
    return tuple(lines)


def code_quality(problems: Iterable[Problem]) -> str:
    """Return GitLab's report: a JSON array, pure ASCII."""
    rows = []
    for problem in problems:
        at = problem.mark
        text = f"{at.file}\0{at.line}\0{problem.message}"
        rows.append(
            {
                "type": "issue",
                "check_name": "reconciler",
                "description": safe(problem.message),
                "fingerprint": hashlib.sha256(text.encode(errors="replace")).hexdigest(),
                "severity": _SEVERITIES[problem.severity],
                "location": {"path": safe(at.file), "lines": {"begin": at.line}},
            }
        )
    return json.dumps(rows, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
