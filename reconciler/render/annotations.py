"""Problems of a manifest as pipelines show them:

GitHub's workflow commands, GitLab's code-quality report.

    part of a command    escaped, as the runner undoes it
    -------------------  ------------------------------------------
    the message          ``%`` %25, CR %0D, LF %0A
    a property           the same, and ``:`` %3A, ``,`` %2C

Rules this module keeps:

1. What others chose goes through ``safe`` first, so that it is one visible line;
   escaping for the runner comes after.
2. GitHub shows ten annotations of a kind for a step: nine are written, and one that
   counts the rest.
3. A fingerprint is made of the place and the sentence, so that GitLab recognises a
   problem from run to run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence

from reconciler.escape import safe
from reconciler.model import Mark

MOST = 10

_SEVERITIES = {"error": "major", "warning": "minor"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One problem: where, how bad (``error`` or ``warning``), and what."""

    mark: Mark
    severity: str
    message: str


def command(name: str, message: str, **properties: str) -> str:
    """One workflow command: ``::name key=value,…::message``."""
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {told}::{_data(message)}" if told else f"::{name}::{_data(message)}"


def _data(text: str) -> str:
    return safe(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def workflow_commands(remarks: Sequence[Remark]) -> tuple[str, ...]:
    """A command for each problem, errors first, as many as GitHub shows."""
    lines: list[str] = []
    for severity in ("error", "warning"):
        of_kind = [r for r in remarks if r.severity == severity]
        shown = of_kind if len(of_kind) <= MOST else of_kind[: MOST - 1]
        for r in shown:
            place = {"file": r.mark.file, "line": str(r.mark.line), "col": str(r.mark.column)}
            lines.append(command(severity, r.message, **place, title="reconciler"))
        if len(of_kind) > len(shown):
            lines.append(
                command(
                    severity,
                    f"and {len(of_kind) - len(shown)} more: see the log",
                    title="reconciler",
                )
            )
    return tuple(lines)


def code_quality(remarks: Iterable[Remark]) -> str:
    """GitLab's report: a JSON array, pure ASCII."""
    rows = []
    for r in remarks:
        text = f"{r.mark.file}\0{r.mark.line}\0{r.message}"
        rows.append(
            {
                "type": "issue",
                "check_name": "reconciler",
                "description": safe(r.message),
                "fingerprint": hashlib.sha256(text.encode(errors="replace")).hexdigest(),
                "severity": _SEVERITIES.get(r.severity, "minor"),
                "location": {"path": safe(r.mark.file), "lines": {"begin": r.mark.line}},
            }
        )
    return json.dumps(rows, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
