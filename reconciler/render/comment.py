"""What is posted for reviewers: comments, summaries of jobs, rolling issues.

Rules this module keeps:

1. The first line is a marker by which the tool finds its own text again. It names the
   fleet that the text is about.
2. A text keeps within a size in bytes of UTF-8, however large the fleet is (see
   ``markdown.fitted``). What was left out is counted, and the text says where the whole
   plan is.
3. Only the age of a snapshot depends on the time, in whole units: a run that finds
   nothing new posts nothing new.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from reconciler.escape import safe, short
from reconciler.model import iso
from reconciler.plan import CATEGORIES, Category, Plan, Reason, Review
from reconciler.protocol import Report, Row
from reconciler.render.markdown import MORE, Block, Rank, code, fitted, plan_blocks
from reconciler.render.marker import marker
from reconciler.render.status import span
from reconciler.render.text import report_last_line
from reconciler.render.words import grouped, subject, why
from reconciler.state import Fleet
from reconciler.values import value

COMMENT_BYTES = 60_000
"""GitHub refuses a comment of more than 65,536 characters."""

SUMMARY_BYTES = 1_000_000
"""GitHub drops all of a step's summary where it is larger than 1 MiB."""

OLDER_COMMIT = "this commit is not known to be the newest of its branch"

_NOTE_BYTES = 512


@value
class PlanSource:
    """Where a plan comes from.

    ``manifest`` are the files as they were named, ``fleet`` is what they describe.
    ``taken_at_ms`` is the snapshot's instant, None if exchange and Vault were read.
    ``newest`` says whether the commit is its branch's latest, None if nobody asked.
    """

    manifest: str
    fleet: Fleet
    head: str
    run_url: str
    version: str
    taken_at_ms: int | None
    now_ms: int
    newest: bool | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What a marker says of it."""
        return {
            "exchange": self.fleet.api_url,
            "place": self.fleet.place,
            "manifest": self.manifest,
        }


def plan_comment(plan: Plan, source: PlanSource, *, guards: Sequence[str], review: Review) -> str:
    """Return the comment of a pull request, with its marker."""
    body, left_out = _body(
        plan, source, guards=guards, review=review, most_bytes=COMMENT_BYTES - _NOTE_BYTES
    )
    facts = {
        **source.facts,
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
    if plan.broken:
        advice.append(
            f"- {len(plan.broken)} without a working token, held by the manifest: take "
            "`hold_until` out, or `reconciler rotate --compromised`."
        )
    capped = [c for c in plan.changes if c.reason is Reason.RESERVE_CAPPED]
    if capped:
        advice.append(
            f"- {len(capped)} not stocked, as the exchange may end another token for it: revoke "
            "tokens that nobody needs, or lower `reserve` (see the holds)."
        )
    # each run has its own; what is due does not change by that
    steady = dataclasses.replace(source, head="", run_url="")
    blocks = [Block(head="\n".join(advice)), *_blocks(plan, steady, guards=(), review=None)]
    body, _ = fitted(blocks, COMMENT_BYTES - _NOTE_BYTES)
    return f"{marker('drift', dict(source.facts))}\n{body}\n"


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


def failure_issue(workflow: str, run_url: str, *, facts: dict[str, str], about: str) -> str:
    """Return the rolling issue of a workflow that failed.

    ``facts`` are those of its marker, ``about`` is what the workflow looks after.
    """
    return (
        f"{marker('failure', dict(facts))}\n"
        f"The workflow {code(workflow)} failed for {code(about)}: "
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
        f"The whole plan is in the artifact `tokens-plan-{source.fleet.name}` of "
        f"[this run]({source.run_url})."
    )
    return fitted([blocks[0], Block(head=note), *blocks[1:]], most_bytes)


def _blocks(
    plan: Plan, source: PlanSource, *, guards: Sequence[str], review: Review | None
) -> list[Block]:
    blocks = list(plan_blocks(plan, guards=guards, review=review))
    sentences = [f"Kept in Vault at {code(source.fleet.place)}."]
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
    blocks.insert(1, Block(head=" ".join(sentences)))
    if source.newest is False:
        blocks.insert(1, Block(head=f"> [!CAUTION]\n> **{OLDER_COMMIT.capitalize()}.** {_BACK}"))
    head = f"commit {code(source.head[:12])}, " if source.head else ""
    run = f"[run]({source.run_url}), " if source.run_url else ""
    blocks.append(
        Block(head=f"<sub>{head}{run}reconciler {safe(source.version)}</sub>", rank=Rank.HEAD)
    )
    return blocks
