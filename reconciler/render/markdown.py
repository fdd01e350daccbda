"""A plan as Markdown, for the comment of a pull request or the summary of a job.

Rules this module keeps:

1. Text of others stands in code spans only, after ``safe``: there it is no markup, HTML, mention, link or reference.
2. A span's fence is longer than any run of backticks in it. A pipe would end a table's cell even there, and ``<!--`` would look
   like the marker by which a comment is found again, so both become visible escapes.
3. What may hurt stands first. Nothing here depends on the time, so an unchanged plan makes an unchanged comment.
4. A plan is a list of blocks, and a block may lose rows but never its head: whoever has to keep within a size drops whole rows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from reconciler.observed import Kind
from reconciler.plan import Change, Plan
from reconciler.reasons import SENTENCES, Action
from reconciler.render import (
    NOT_CHECKED,
    Alarm,
    alarms,
    counted,
    extras,
    foreign_shown,
    gained_scopes,
    not_touched_count,
    place_line,
    safe,
    selection_line,
    short,
    subject,
    summary_line,
    twin_sentence,
)

_BACKTICKS = re.compile("`+")
_ESCAPES = (("|", "\\x7c"), ("<!--", "<\\x21--"), ("-->", "--\\x3e"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of Markdown: ``head`` and ``tail`` frame it, ``rows`` are whole lines that could be left out one by one."""

    head: str
    rows: tuple[str, ...] = ()
    tail: str = ""

    def text(self) -> str:
        """The block as it is written."""
        return "\n".join(part for part in (self.head, *self.rows, self.tail) if part)


def code(text: str) -> str:
    """Any text as a code span that can't be left from within, in a table or anywhere else."""
    shown = safe(text)
    for mark, escape in _ESCAPES:
        shown = shown.replace(mark, escape)
    runs = {len(run) for run in _BACKTICKS.findall(shown)}
    fence = "`" * (max(runs, default=0) + 1)
    edge = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{edge}{shown}{edge}{fence}"


def plan_markdown(plan: Plan, *, guards: Sequence[str] = (), warnings: Sequence[str] = ()) -> str:
    """The whole plan: title, what may hurt, changes, holds, and folded away what stays as it is; then the digest."""
    return "\n\n".join(block.text() for block in plan_blocks(plan, guards=guards, warnings=warnings)) + "\n"


def plan_blocks(plan: Plan, *, guards: Sequence[str] = (), warnings: Sequence[str] = ()) -> tuple[Block, ...]:
    """The parts of the comment, in order. None is empty."""
    blocks: Iterable[Block | None] = (
        _title(plan),
        _alarms(alarms(plan)),
        _quoted("CAUTION", "apply will refuse", guards),
        _quoted("NOTE", "warning", warnings),
        _changes(plan.acting),
        _holds([c for c in plan.changes if c.action is Action.HOLD]),
        _kept([c for c in plan.changes if c.action is Action.KEEP]),
        _not_touched(plan),
        _footer(plan),
    )
    return tuple(block for block in blocks if block is not None)


def _title(plan: Plan) -> Block:
    limits = selection_line(plan.selection)
    limited = f", limited to {code(limits)}" if limits else ""
    return Block(head=f"### reconciler plan: {summary_line(plan)}\n\nfor {code(place_line(plan))}{limited}")


def _alarms(found: Sequence[Alarm]) -> Block | None:
    if not found:
        return None
    rows = [f"> - **{alarm.sentence}**: {', '.join(_named(label, detail) for label, detail in alarm.about)}" for alarm in found]
    return Block(head="> [!WARNING]", rows=tuple(rows))


def _named(label: str, detail: str) -> str:
    return f"{code(subject(label))} ({code(detail)})" if detail else code(subject(label))


def _quoted(kind: str, what: str, sentences: Sequence[str]) -> Block | None:
    if not sentences:
        return None
    return Block(head=f"> [!{kind}]", rows=tuple(f"> - {what}: {code(said)}" for said in sentences))


def _changes(changes: Sequence[Change]) -> Block | None:
    if not changes:
        return None
    rows = [
        f"| {_action(c)} | {code(subject(c.label))} | {_token(c)} | {'<br>'.join([_why(c), *(code(e) for e in extras(c))])} |"
        for c in changes
    ]
    return Block(head="| change | label | token | why |\n|---|---|---|---|", rows=tuple(rows))


def _action(change: Change) -> str:
    """Revocations and widened scopes stand out among the rows as well."""
    loud = change.action is Action.REVOKE or (change.action is Action.ROTATE and bool(gained_scopes(change)))
    return f"**{change.action.value}**" if loud else change.action.value


def _token(change: Change) -> str:
    token_id = change.before.token_id if change.before is not None else None
    return code(short(token_id)) if token_id else ""


def _why(change: Change) -> str:
    sentence = SENTENCES[change.reason]
    return f"{sentence}: {code(change.note)}" if change.note else sentence


def _holds(holds: Sequence[Change]) -> Block | None:
    if not holds:
        return None
    rows = [
        f"| {'**a person decides**' if c.needs_decision else 'waits'} | {code(subject(c.label))} | {_token(c)} | {_why(c)} |"
        for c in holds
    ]
    return Block(head="| held | label | token | why |\n|---|---|---|---|", rows=tuple(rows))


def _folded(summary: str, rows: Iterable[str]) -> Block:
    return Block(head=f"<details><summary>{summary}</summary>\n", rows=tuple(rows), tail="\n</details>")


def _kept(keeps: Sequence[Change]) -> Block | None:
    return _folded(f"{len(keeps)} kept", (f"- {code(subject(c.label))}" for c in keeps)) if keeps else None


def _not_touched(plan: Plan) -> Block | None:
    if not not_touched_count(plan):
        return None
    twins = [row for row in plan.not_touched if row.kind is Kind.TWIN]
    named, more = foreign_shown(plan)
    rows = [f"- twin {code(row.label or '')} {code(row.token_id)}: {twin_sentence(row)}" for row in twins]
    rows += [f"- foreign {code(row.label or '(no label)')} {code(short(row.token_id))}" for row in named]
    if more:
        rows.append(f"- {counted(more, 'more foreign token' if named else 'foreign token')}, not named here")
    return _folded(f"{not_touched_count(plan)} not touched", rows)


def _footer(plan: Plan) -> Block:
    note = f"{NOT_CHECKED}\n\n" if any(c.derives for c in plan.changes) else ""
    return Block(head=f"{note}digest {code(plan.digest())}")
