"""What is posted for reviewers: comments, summaries of jobs, rolling issues.

Rules this module keeps:

1. The first line is a marker by which the tool finds its own text again: an HTML
   comment with a JSON object in it. Nothing that others chose can end that comment
   early.
2. A text keeps within a size in bytes of UTF-8, however large the fleet is (see
   ``markdown.fitted``). What was left out is counted, and the text says where the whole
   plan is.
3. Only the age of a snapshot depends on the time, in whole units: a run that finds
   nothing new posts nothing new.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from reconciler.escape import safe, short
from reconciler.model import iso
from reconciler.plan import CATEGORIES, Category, Plan, Review
from reconciler.protocol import Report, Row
from reconciler.render.markdown import MORE, Block, Rank, code, fitted, plan_blocks
from reconciler.render.status import span
from reconciler.render.text import report_last_line
from reconciler.render.words import grouped, subject, why
from reconciler.values import value

COMMENT_BYTES = 60_000
"""GitHub refuses a comment of more than 65,536 characters."""

SUMMARY_BYTES = 1_000_000
"""GitHub cuts off a step's summary at 1 MiB."""

OLDER_COMMIT = "this commit is not known to be the newest of its branch"

_NOTE_BYTES = 512
_MARKER = re.compile(r"<!-- reconciler:(?P<kind>[a-z]+) (?P<json>\{[^\n]*\}) -->")


@value
class PlanSource:
    """Where a plan comes from.

    ``taken_at_ms`` is the snapshot's instant, None if exchange and Vault were read.
    ``newest`` says whether the commit is its branch's latest, None if nobody asked.
    """

    manifest: str
    head: str
    run_url: str
    version: str
    taken_at_ms: int | None
    now_ms: int
    newest: bool | None = None


def marker(kind: str, facts: dict[str, Any]) -> str:
    """Return the first line of a text of ours.

    The facts may hold any text, so what would end the HTML comment or command a CI
    runner is written as JSON escapes.
    """
    text = json.dumps({"schema": 1, **facts}, sort_keys=True, ensure_ascii=True)
    text = text.replace("--", "-\\u002d").replace(">", "\\u003e").replace("##", "#\\u0023")
    return f"<!-- reconciler:{kind} {text} -->"


def read_marker(kind: str, body: str) -> dict[str, Any] | None:
    """Return what the marker of a text says, or None if it has none of this kind."""
    found = _MARKER.match(body)
    if found is None or found["kind"] != kind:
        return None
    try:
        facts = json.loads(found["json"])
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("schema") == 1 else None


def plan_comment(plan: Plan, source: PlanSource, *, guards: Sequence[str], review: Review) -> str:
    """Return the comment of a pull request, with its marker."""
    body, left_out = _body(
        plan, source, guards=guards, review=review, most_bytes=COMMENT_BYTES - _NOTE_BYTES
    )
    facts = {
        "manifest": source.manifest,
        "digest": plan.digest(),
        "head": source.head,
        "truncated": bool(left_out),
    }
    return f"{marker('plan', facts)}\n{body}\n"


def plan_summary(
    plan: Plan, source: PlanSource, *, guards: Sequence[str], review: Review | None
) -> str:
    """Return the plan for the summary of a job."""
    return _body(plan, source, guards=guards, review=review, most_bytes=SUMMARY_BYTES)[0] + "\n"


def drift_issue(plan: Plan, source: PlanSource) -> str:
    """Return the rolling issue of a plan with something to do.

    It has what differs, what is due, and what to do about it.
    """
    rotations = [
        c for c in (*plan.acting, *plan.decisions) if CATEGORIES[c.reason] is Category.ROTATION
    ]
    due, short = (
        [c for c in rotations if c.derives and not c.stocks],
        [c for c in rotations if c.stocks],
    )
    other = [
        c for c in (*plan.acting, *plan.decisions) if CATEGORIES[c.reason] is not Category.ROTATION
    ]
    advice = []
    if other:
        advice.append(
            f"- {len(other)} to put right: run the apply workflow, or change the manifest."
        )
    if due:
        advice.append(
            f"- {len(due)} rotations due: hand over an identity token, "
            "then run the rotate workflow."
        )
    if short:
        advice.append(
            f"- {len(short)} short in the reserve: hand over an identity token, then run the "
            "rotate workflow; one visit stocks them all."
        )
    # each run has its own; what is due does not change by that
    steady = dataclasses.replace(source, head="", run_url="")
    blocks = [Block(head="\n".join(advice)), *_blocks(plan, steady, guards=(), review=None)]
    body, _ = fitted(blocks, COMMENT_BYTES - _NOTE_BYTES)
    return f"{marker('drift', {'manifest': source.manifest})}\n{body}\n"


def report_summary(report: Report) -> str:
    """Return what an apply did, for the summary of its job."""
    head = (
        "### reconciler apply: "
        + report_last_line(report)
        + (f"\n\n{code(report.sentence)}" if report.sentence else "")
    )
    table = "| change | label | end | token |\n|---|---|---|---|"
    rows = [_ended(row) for row in report.rows]
    alone, groups = grouped(sorted(report.holds, key=lambda c: not c.needs_decision))
    held = [f"- held {code(subject(c.label))}: {code(why(c))}" for c in alone]
    held += [f"- held {code(names)}: {code(sentence)}" for names, sentence in groups]
    blocks = [Block(head=head)]
    blocks += (
        [Block(head=table, rows=tuple(rows), rank=Rank.LOUD, more=f"| {MORE} | | | |")]
        if rows
        else []
    )
    blocks += (
        [Block(head=held[0], rows=tuple(held[1:]), rank=Rank.WAIT, more=f"- {MORE}")]
        if held
        else []
    )
    return fitted(blocks, SUMMARY_BYTES)[0] + "\n"


def _ended(row: Row) -> str:
    outcome = row.outcome
    token = code(short(outcome.token_id)) if outcome.token_id else ""
    return (
        f"| {row.change.action.value} | {code(subject(row.change.label))} "
        f"| {outcome.status.value}: {code(outcome.sentence)} | {token} |"
    )


def refusal_summary(command_name: str, sentence: str) -> str:
    """Return why a command did nothing, for the summary of its job."""
    return f"### reconciler {command_name}: refused\n\n{code(sentence)}\n"


_BACK = (
    "What it says may have been changed since, or taken back: approve it only if that state is "
    "wanted again."
)


def failure_issue(workflow: str, run_url: str) -> str:
    """Return the rolling issue of a workflow that failed."""
    return (
        f"{marker('failure', {'workflow': workflow})}\n"
        f"The workflow {code(workflow)} failed: "
        f"[its latest failed run]({run_url}) has the error and what to do.\n\n"
        "This issue closes itself with the next run that succeeds.\n"
    )


def _body(
    plan: Plan, source: PlanSource, *, guards: Sequence[str], review: Review | None, most_bytes: int
) -> tuple[str, int]:
    blocks = _blocks(plan, source, guards=guards, review=review)
    text, left_out = fitted(blocks, most_bytes)
    if not left_out:
        return text, 0
    shown = sum(len(block.rows) for block in blocks) - left_out
    note = (
        f"> [!IMPORTANT]\n> {shown} of {shown + left_out} rows are shown. "
        f"The whole plan is in the artifact `tokens-plan` of [this run]({source.run_url})."
    )
    return fitted([blocks[0], Block(head=note), *blocks[1:]], most_bytes)


def _blocks(
    plan: Plan, source: PlanSource, *, guards: Sequence[str], review: Review | None
) -> list[Block]:
    blocks = list(plan_blocks(plan, guards=guards, review=review))
    sentences = []
    if source.taken_at_ms is not None:
        age = span(max(0, source.now_ms - source.taken_at_ms))
        sentences.append(
            "Planned without any credential, "
            f"from the snapshot of {iso(source.taken_at_ms)}, {age} old."
        )
    if review is not None and review.base_unreadable:
        sentences.append(
            "The base branch's manifest could not be read, so the causes of the rows are not known."
        )
    if sentences:
        blocks.insert(1, Block(head=" ".join(sentences)))
    if source.newest is False:
        blocks.insert(1, Block(head=f"> [!CAUTION]\n> **{OLDER_COMMIT.capitalize()}.** {_BACK}"))
    head = f"commit {code(source.head[:12])}, " if source.head else ""
    run = f"[run]({source.run_url}), " if source.run_url else ""
    blocks.append(
        Block(head=f"<sub>{head}{run}reconciler {safe(source.version)}</sub>", rank=Rank.HEAD)
    )
    return blocks
