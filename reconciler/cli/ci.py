"""What a pipeline gets beside the result.

    what            where it goes                      when
    --------------  ---------------------------------  ---------------------------------
    mask            standard error, ``::add-mask::``   under GITHUB_ACTIONS=true
    notice          standard error, ``::notice::``     the same; elsewhere a plain line
    outputs         the file GITHUB_OUTPUT             where it is set
    summary         the file GITHUB_STEP_SUMMARY       where it is set

What GitHub's API gets is in ``posts``.

Rules this module keeps:

1. Nothing here fails a plan or an apply: what can't be posted or written becomes a
   notice.
2. Commands of the runner are the only lines on standard error that are no events where
   the log is JSON: the runner reads nothing else.
3. A step output is one line of our own words and numbers. Nothing that others chose
   goes into one.
4. Masked is what came from elsewhere and may be printed by other programs of the job.
   Secrets of derived tokens are never printed, not even to be masked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.cli.console import complain_of, print_raw
from reconciler.errors import ReconcilerError
from reconciler.values import value

SHORTEST_MASK = 6

SUMMARY_BYTES = 1024 * 1024
"""GitHub drops the whole summary of a step that is larger."""

_REST = "\n\n(The rest is too long for GitHub: see the log.)\n"


@value
class Posts:
    """What a plan leaves at GitHub, and whether it asks there for its review."""

    comment: bool = False
    issue: bool = False
    reviewed: bool = False


def in_actions(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is a job of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def mask(value: str) -> None:
    """Have the runner hide a value in the log, whoever prints it.

    Short values are left alone: hiding them would hide words.
    """
    if in_actions():
        for line in value.splitlines():
            if len(line) >= SHORTEST_MASK:
                print_raw(f"::add-mask::{line.replace('%', '%25')}")


def notice(sentence: str) -> None:
    """Print something to know that fails nothing."""
    if in_actions():
        from reconciler.render import command

        print_raw(command("notice", sentence, title="reconciler"))
    else:
        complain_of(f"note: {sentence}")


def write_outputs(values: Mapping[str, str | int | bool]) -> None:
    """Write outputs of the step."""
    lines = (
        f"{name}={str(value).lower() if isinstance(value, bool) else value}\n"
        for name, value in values.items()
    )
    _append("GITHUB_OUTPUT", "".join(lines), "the step's outputs")


def write_summary(text: str) -> None:
    """Append to the step's summary whole lines, as many as GitHub takes.

    Another program of the step may have written to it already.
    """
    path = Path(os.environ.get("GITHUB_STEP_SUMMARY", ""))
    try:
        left = SUMMARY_BYTES - (path.stat().st_size if path.is_file() else 0)
    except (OSError, ValueError):
        left = SUMMARY_BYTES
    _append("GITHUB_STEP_SUMMARY", _within(text, left), "the job's summary")


def _within(text: str, most_bytes: int) -> str:
    """Return a text of at most so many bytes, cut at the end of a line."""
    if len(text.encode(errors="replace")) <= most_bytes:
        return text
    kept = text.encode(errors="replace")[: max(0, most_bytes - len(_REST))]
    lines, _, _ = kept.decode(errors="ignore").rpartition("\n")
    return f"{lines}{_REST}" if lines else ""


def _append(variable: str, text: str, what: str) -> None:
    name = os.environ.get(variable)
    if not name:
        return
    try:
        # a path as the runner gave it
        with open(name, "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds what is no text"
        notice(f"{what} can't be written: {why}")


@contextlib.contextmanager
def summarise_refusal(command_name: str) -> Iterator[None]:
    """Write what ends a command early into the job's summary and outputs as well."""
    try:
        yield
    except ReconcilerError as error:
        if in_actions():
            from reconciler.render import refusal_summary

            write_summary(refusal_summary(command_name, str(error)))
            write_outputs({"exit-code": int(error.exit_code)})
        raise
