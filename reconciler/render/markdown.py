"""A plan as Markdown, for the comment of a pull request or the summary of a job.

Rules this module keeps:

1. Text of others stands in code spans only, after ``safe``: there it is plain text, not
   markup, HTML, a mention, a link or a reference.
2. The fence of a span is longer than any run of backticks in it. A pipe would end the
   cell of a table even there, and ``<!--`` would look like the marker by which a
   comment is found again, so both become visible escapes.
3. What may hurt stands first. Nothing depends on the time, so an unchanged plan makes
   an unchanged comment.
4. A plan is a list of blocks. A block may lose rows but always keeps its head.
   ``fitted`` drops whole rows to keep within a size, the least important first. Rows
   that revoke, grant, move or unprotect are dropped last, and only if they alone are
   too much.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterable, Sequence

from reconciler.escape import counted, safe, short
from reconciler.plan import (
    SENTENCES,
    Action,
    Alarm,
    Change,
    Plan,
    Review,
    alarms_of,
    gained_scopes,
    is_loud,
)
from reconciler.render.words import (
    NOT_CHECKED,
    flags_line,
    foreign_shown,
    is_named,
    not_touched_count,
    place_line,
    planned_extras,
    selection_line,
    subject,
    summary_line,
    twin_sentence,
)
from reconciler.values import value

_BETWEEN = "\n\n"
_COUNT_BYTES = 16

NAMED_AT_THE_TOP = 20
OPEN_ROWS = 20
"""At most so many rows stand open in a table; more are folded."""

_BACKTICKS = re.compile("`+")
_ESCAPES = (("|", "\\x7c"), ("<!--", "<\\x21--"), ("-->", "--\\x3e"))


MORE = "{n} more"


class Rank(enum.IntEnum):
    """How important the rows of a block are: the highest number is dropped first."""

    HEAD = 0
    LOUD = 1
    DECIDE = 2
    CHANGE = 3
    ELSEWHERE = 4
    WAIT = 5
    KEPT = 6


@value
class Block:
    """A piece of Markdown.

    ``head`` and ``tail`` frame it; ``rows`` are whole lines that can be left out one by
    one. ``more`` is the row that stands for those left out, with ``{n}`` for their
    number.
    """

    head: str
    rows: tuple[str, ...] = ()
    tail: str = ""
    rank: Rank = Rank.HEAD
    more: str = MORE

    def text(self, shown: int | None = None) -> str:
        """Return the block as it is written, with its first ``shown`` rows or all."""
        rows = self.rows if shown is None else self.rows[:shown]
        left = len(self.rows) - len(rows)
        told = (self.more.format(n=left),) if left else ()
        return "\n".join(part for part in (self.head, *rows, *told, self.tail) if part)


def fitted(blocks: Sequence[Block], most_bytes: int) -> tuple[str, int]:
    """Return the blocks within a size, and how many rows had to be left out.

    The size is in bytes of UTF-8.
    """
    shown = {at: len(block.rows) for at, block in enumerate(blocks)}
    sizes = {at: len(block.text().encode()) + len(_BETWEEN) for at, block in enumerate(blocks)}
    for at in sorted(shown, key=lambda at: (-blocks[at].rank, -at)):
        over = sum(sizes.values()) - most_bytes
        if over <= 0:
            break
        shown[at] = _rows_within(blocks[at], sizes[at] - over)
        sizes[at] = len(blocks[at].text(shown[at]).encode()) + len(_BETWEEN)
    text = _BETWEEN.join(block.text(shown[at]) for at, block in enumerate(blocks))
    return text, sum(len(block.rows) - shown[at] for at, block in enumerate(blocks))


def _rows_within(block: Block, most_bytes: int) -> int:
    left = most_bytes - len(block.text(0).encode()) - len(_BETWEEN) - _COUNT_BYTES
    fit = 0
    for row in block.rows:
        left -= len(row.encode()) + 1
        if left < 0:
            break
        fit += 1
    return fit


def code(text: str) -> str:
    """Return any text as a code span.

    Nothing in the text can end the span, in a table or anywhere else.
    """
    shown = safe(text)
    for mark, escape in _ESCAPES:
        shown = shown.replace(mark, escape)
    runs = {len(run) for run in _BACKTICKS.findall(shown)}
    fence = "`" * (max(runs, default=0) + 1)
    edge = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{edge}{shown}{edge}{fence}"


def plan_markdown(
    plan: Plan,
    *,
    guards: Sequence[str] = (),
    warnings: Sequence[str] = (),
    review: Review | None = None,
) -> str:
    """Return the whole plan as Markdown.

    It has a title, what may hurt, changes, holds, what stays as it is (folded), and the
    digest.
    """
    blocks = plan_blocks(plan, guards=guards, warnings=warnings, review=review)
    return _BETWEEN.join(block.text() for block in blocks) + "\n"


def plan_blocks(
    plan: Plan,
    *,
    guards: Sequence[str] = (),
    warnings: Sequence[str] = (),
    review: Review | None = None,
) -> tuple[Block, ...]:
    """Return the parts of the plan, in order; none is empty.

    With a review, each row says what caused it.
    """
    loud = [c for c in plan.acting if is_loud(c)]
    holds = [c for c in plan.changes if c.action is Action.HOLD]
    blocks: Iterable[Block | None] = (
        _title(plan),
        _alarms([*(review.findings if review is not None else ()), *alarms_of(plan)]),
        _quoted("CAUTION", "apply will refuse", guards),
        _quoted("NOTE", "warning", warnings),
        _changes(loud, review, Rank.LOUD),
        _quiet_changes([c for c in plan.acting if not is_loud(c)], review),
        _holds([c for c in holds if c.needs_decision], review, Rank.DECIDE),
        _holds([c for c in holds if not c.needs_decision], review, Rank.WAIT),
        *_beside(review),
        _kept([c for c in plan.changes if c.action is Action.KEEP]),
        _not_touched(plan),
        _footer(plan),
    )
    return tuple(block for block in blocks if block is not None)


def _title(plan: Plan) -> Block:
    limits = selection_line(plan.selection)
    limited = f", limited to {code(limits)}" if limits else ""
    limited += f", made with {code(flags_line(plan))}" if plan.flags else ""
    return Block(
        head=f"### reconciler plan: {summary_line(plan)}\n\nfor {code(place_line(plan))}{limited}"
    )


def _alarms(found: Sequence[Alarm]) -> Block | None:
    if not found:
        return None
    rows = [f"> - **{alarm.sentence}**: {_some_named(alarm.about)}" for alarm in found]
    return Block(head="> [!WARNING]", rows=tuple(rows))


def _some_named(about: Sequence[tuple[str, str]]) -> str:
    """Return the first of them by name; each has a row of its own below."""
    more = len(about) - NAMED_AT_THE_TOP
    named = ", ".join(_named(label, detail) for label, detail in about[:NAMED_AT_THE_TOP])
    return f"{named} and {more} more, all in the table below" if more > 0 else named


def _named(label: str, detail: str) -> str:
    return f"{code(subject(label))} ({code(detail)})" if detail else code(subject(label))


def _quoted(kind: str, what: str, sentences: Sequence[str]) -> Block | None:
    if not sentences:
        return None
    return Block(head=f"> [!{kind}]", rows=tuple(f"> - {what}: {code(said)}" for said in sentences))


def _table(
    first: str, rows: Sequence[tuple[Change, str, str]], review: Review | None, rank: Rank
) -> Block | None:
    """Return a table of changes, each with its first and its last cell."""
    if not rows:
        return None
    causes = review is not None and bool(review.causes)
    lines = [
        f"| {cell} | {code(subject(c.label))} | {_token(c)} | {why} |{_cause(c, review)}"
        for c, cell, why in rows
    ]
    heading = f"| {first} | label | token | why |" + (" caused by |" if causes else "")
    head = f"{heading}\n|---|---|---|---|" + ("---|" if causes else "")
    more = f"| {MORE} | | | |" + (" |" if causes else "")
    return Block(head=head, rows=tuple(lines), rank=rank, more=more)


def _changes(changes: Sequence[Change], review: Review | None, rank: Rank) -> Block | None:
    rows = [
        (c, _action(c), "<br>".join([_why(c), *(code(extra) for extra in planned_extras(c))]))
        for c in changes
    ]
    return _table("change", rows, review, rank)


def _quiet_changes(changes: Sequence[Change], review: Review | None) -> Block | None:
    """Return the other changes, folded if they are many."""
    table = _changes(changes, review, Rank.CHANGE)
    if table is None or len(changes) <= OPEN_ROWS:
        return table
    head = f"<details><summary>{counted(len(changes), 'more change')}</summary>\n\n{table.head}"
    return dataclasses.replace(table, head=head, tail="\n</details>")


def _cause(change: Change, review: Review | None) -> str:
    if review is None or not review.causes:
        return ""
    cause = review.cause(change)
    return f" {cause.value if cause is not None else ''} |"


def _beside(review: Review | None) -> Iterable[Block]:
    """Yield rows beside the plan: those that other jobs make, and those now gone."""
    if review is None:
        return
    for rows, what in (
        (review.elsewhere, "planned apart, and not part of this plan"),
        (review.undone, "no longer planned"),
    ):
        if rows:
            lines = [
                f"- {c.action.value} {code(subject(c.label))}: {_why(c)}{_apart(c, review)}"
                for c in rows
            ]
            summary = f"{len(rows)} {what}"
            yield dataclasses.replace(_folded(summary, lines), rank=Rank.ELSEWHERE)


def _apart(change: Change, review: Review) -> str:
    cause = review.cause(change)
    return f" ({cause.value})" if cause is not None else ""


def _action(change: Change) -> str:
    """Return the action; what ends a token, and widened scopes, stand out."""
    loud = change.action in {Action.RETIRE, Action.REVOKE} or (
        change.action is Action.ROTATE and bool(gained_scopes(change))
    )
    return f"**{change.action.value}**" if loud else change.action.value


def _token(change: Change) -> str:
    token_id = change.before.token_id if change.before is not None else None
    return code(short(token_id)) if token_id else ""


def _why(change: Change) -> str:
    sentence = SENTENCES[change.reason]
    return f"{sentence}: {code(change.note)}" if change.note else sentence


def _holds(holds: Sequence[Change], review: Review | None, rank: Rank) -> Block | None:
    rows = [(c, "**a person decides**" if c.needs_decision else "waits", _why(c)) for c in holds]
    return _table("held", rows, review, rank)


def _folded(summary: str, rows: Iterable[str]) -> Block:
    head = f"<details><summary>{summary}</summary>\n"
    return Block(head=head, rows=tuple(rows), tail="\n</details>", rank=Rank.KEPT, more=f"- {MORE}")


def _kept(keeps: Sequence[Change]) -> Block | None:
    return (
        _folded(f"{len(keeps)} kept", (f"- {code(subject(c.label))}" for c in keeps))
        if keeps
        else None
    )


def _not_touched(plan: Plan) -> Block | None:
    if not not_touched_count(plan):
        return None
    twins = [row for row in plan.not_touched if is_named(row)]
    named, more = foreign_shown(plan)
    rows = [
        f"- {row.kind.value} {code(row.label or '')} {code(row.token_id)}: {twin_sentence(row)}"
        for row in twins
    ]
    rows += [
        f"- foreign {code(row.label or '(no label)')} {code(short(row.token_id))}" for row in named
    ]
    if more:
        rows.append(
            f"- {counted(more, 'more foreign token' if named else 'foreign token')}, not named here"
        )
    return _folded(f"{not_touched_count(plan)} not touched", rows)


def _footer(plan: Plan) -> Block:
    note = f"{NOT_CHECKED}\n\n" if any(c.derives for c in plan.changes) else ""
    return Block(head=f"{note}digest {code(plan.digest())}")
