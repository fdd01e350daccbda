r"""A plan, and what became of it, as lines of text for a terminal or a log.

    plan for https://api.limitless.exchange, profile 42

    1 to rotate:
      ! production-bot  3f2c…9a1b  scopes widened: +withdrawal

    5 kept: a, b, c, d, e

    ATTENTION
      widens scopes: production-bot (+withdrawal)
    1 to rotate, 5 kept
    digest sha256:0123456789ab…

Rules this module keeps:

1. Each change is one line: what, about whom, why. A line that is too long for the width
   goes on below, indented; nothing is cut off.
2. What may hurt stands last, where somebody at a terminal looks: alarms, guards,
   warnings, counts, digest.
3. Without colour there is no escape sequence; with colour, only those that click makes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence

import click

from reconciler.escape import counted, safe, short
from reconciler.plan import (
    ACTIONS,
    SENTENCES,
    Action,
    Alarm,
    Change,
    Plan,
    Reason,
    Side,
    alarms_of,
    gained_scopes,
    plus_minus,
    row_key,
)
from reconciler.protocol import Ending, Report, Row
from reconciler.render.words import (
    FEW,
    NOT_CHECKED,
    cells,
    extras,
    flags_line,
    foreign_shown,
    grouped,
    is_named,
    not_touched_count,
    place_line,
    planned_extras,
    selection_line,
    short_digest,
    some,
    subject,
    summary_line,
    twin_sentence,
    why,
)

MOST_LABEL_CELLS = 32
LEAST_LABEL_CELLS = 8
STALE_LINES = 50

_INDENT = "      "
_LEAST_WIDTH = 30

Paint = Callable[..., str]
"""``click.style``, or a function that leaves the text as it is."""


def painter(*, colour: bool) -> Paint:
    """Return what gives a text its colour."""
    return click.style if colour else _plain


def _plain(text: str, **_: object) -> str:
    return text


def padded(text: str, width: int) -> str:
    """Return the text with spaces up to that many columns."""
    return text + " " * max(0, width - cells(text))


def label_cells(width: int | None) -> int:
    """Return how many columns labels may take.

    One long label must not push everything else aside.
    """
    return (
        MOST_LABEL_CELLS
        if width is None
        else max(LEAST_LABEL_CELLS, min(MOST_LABEL_CELLS, width // 3))
    )


def line(head: str, said: str, width: int | None, gap: str = "  ") -> str:
    """Return ``head`` and what is said of it.

    Both are on one line if the width allows; otherwise the second stands below,
    indented. Lines break at spaces only, so that nobody else chooses the start of a
    line (see ``safe``).
    """
    if width is None or cells(head) + len(gap) + cells(said) <= width:
        return f"{head}{gap}{said}"
    below = textwrap.wrap(
        said,
        width=max(width, _LEAST_WIDTH),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([head.rstrip(), *below])


# --- a plan ---


def plan_text(
    plan: Plan,
    *,
    guards: Sequence[str] = (),
    warnings: Sequence[str] = (),
    width: int | None = None,
    colour: bool = False,
) -> str:
    """Return the whole plan, ending in its counts and its digest.

    ``guards`` and ``warnings`` are sentences; ``width`` is in columns, None if nothing
    limits it.
    """
    paint = painter(colour=colour)
    lines = [f"plan for {place_line(plan)}"]
    limits = selection_line(plan.selection)
    if limits:
        lines.append(f"limited to {limits}")
    if plan.flags:
        lines.append(f"made with {flags_line(plan)}")
    lines.append("")
    for action in Action:
        rows = [c for c in plan.changes if c.action is action]
        if rows:
            lines += [*_group(action, rows, width, paint), ""]
    if not_touched_count(plan):
        lines += [*_not_touched(plan, width, paint), ""]
    lines += [paint(alarm, fg="red", bold=True) for alarm in _alarms(plan, width)]
    lines += [
        paint(line("apply will refuse:", safe(said), width, gap=" "), fg="red", bold=True)
        for said in guards
    ]
    lines += [paint(line("warning:", safe(said), width, gap=" "), fg="yellow") for said in warnings]
    if any(c.derives for c in plan.changes):
        lines.append(NOT_CHECKED)
    lines += [paint(summary_line(plan), bold=True), f"digest {short_digest(plan.digest())}"]
    return "\n".join(lines) + "\n"


def _group(action: Action, rows: Sequence[Change], width: int | None, paint: Paint) -> list[str]:
    heading = f"{len(rows)} {ACTIONS[action].counted}"
    if action is Action.KEEP:
        names = ", ".join(subject(c.label) for c in rows)
        return [
            paint(
                heading if len(rows) > FEW else line(f"{heading}:", names, width, gap=" "), dim=True
            )
        ]
    column = min(label_cells(width), max(cells(subject(c.label)) for c in rows))
    alone, groups = grouped(rows)
    mark = ACTIONS[action].mark
    return [
        paint(f"{heading}:", bold=True),
        *(_row(c, column, width, paint) for c in alone),
        *(
            paint(line(f"  {mark} {names}", sentence, width), fg=ACTIONS[action].colour)
            for names, sentence in groups
        ),
    ]


def _row(change: Change, column: int, width: int | None, paint: Paint) -> str:
    widened = change.action is Action.ROTATE and bool(gained_scopes(change))
    mark = "!" if widened else "?" if change.needs_decision else ACTIONS[change.action].mark
    token_id = change.before.token_id if change.before is not None else None
    parts = [padded(subject(change.label), column), *([short(token_id)] if token_id else [])]
    text = line(
        f"  {mark} " + "  ".join(parts), "; ".join([why(change), *planned_extras(change)]), width
    )
    alarming = widened or change.action is Action.REVOKE
    return paint(text, fg="red" if alarming else ACTIONS[change.action].colour, bold=alarming)


def _not_touched(plan: Plan, width: int | None, paint: Paint) -> list[str]:
    lines = [paint(f"{not_touched_count(plan)} not touched:", bold=True)]
    held = {change.label for change in plan.changes if change.reason is Reason.TWIN}
    for row in plan.not_touched:
        if is_named(row):
            head = f"  {row.kind.value:<7}  {subject(row.label or '')}  {safe(row.token_id)}"
            said = row.label in held and not (row.probably_ours or row.perhaps_ours)
            told = head if said else line(head, twin_sentence(row), width)
            lines.append(paint(told, fg="yellow"))
    named, more = foreign_shown(plan)
    lines += [
        f"  foreign  {safe(row.label) if row.label else '(no label)'}  {short(row.token_id)}"
        for row in named
    ]
    if more:
        lines.append(f"  foreign  {more} more" if named else f"  foreign  {more}, not named here")
    return lines


def _alarms(plan: Plan, width: int | None) -> list[str]:
    found = alarms_of(plan)
    return [
        *(["ATTENTION"] if found else []),
        *(line(f"  {a.sentence}:", _names(a), width, gap=" ") for a in found),
    ]


def _names(alarm: Alarm) -> str:
    return some(
        [
            f"{subject(label)} ({detail})" if detail else subject(label)
            for label, detail in alarm.about
        ]
    )


# --- what became of it ---


def row_line(row: Row) -> str:
    """Return one finished change as a line.

    For example ``rotated bot (scopes widened: +withdrawal): new token 3f2c…9a1b``.
    """
    change, outcome = row.change, row.outcome
    name = subject(change.label)
    if outcome.status is not Ending.APPLIED:
        return f"{outcome.status.value}: {change.action.value} {name}: {safe(outcome.sentence)}"
    verb = ACTIONS[change.action].done
    brings_new = change.derives or change.replaces
    if not brings_new and change.action is not Action.REVOKE:
        ids = [token_id for token_id in outcome.revoked if token_id not in outcome.sentence]
        told = [] if outcome.sentence == verb else [safe(outcome.sentence)]
        told = [" ".join([*told, *([safe(", ".join(ids))] if ids else [])])]
        return f"{verb} {name}" + (f": {told[0]}" if told[0] else f" ({why(change)})")
    token = (
        [f"{'new token' if brings_new else 'token'} {short(outcome.token_id)}"]
        if outcome.token_id
        else []
    )
    said = [safe(outcome.sentence)] if outcome.sentence != verb else []
    gone = [safe(token_id) for token_id in outcome.revoked if token_id != outcome.token_id]
    said += [f"revoked {', '.join(gone)}"] if gone else []
    ending = "; ".join([*token, *said])
    return f"{verb} {name} ({'; '.join([why(change), *extras(change)])})" + (
        f": {ending}" if ending else ""
    )


def report_last_line(report: Report) -> str:
    """Return the last line of every apply (contract).

    Holds of the plan count as held, like those of the run itself.
    """
    return ", ".join(f"{status.value} {number}" for status, number in report.counts().items())


def held_lines(report: Report) -> list[str]:
    """Return what waits, decisions first; many that wait for the same take one line."""
    alone, groups = grouped(sorted(report.holds, key=lambda c: not c.needs_decision))
    return [
        *(f"held {subject(c.label)} ({why(c)})" for c in alone),
        *(f"held {names} ({sentence})" for names, sentence in groups),
    ]


# --- two plans ---


def stale_text(approved: Plan | None, now: Plan) -> str:
    """Return how an approved plan differs from what would be done now.

    A line with ``- `` is only in the approved plan, one with ``+ `` only in the new
    one. Without the approved plan, because only its digest is known, all new rows are
    shown.
    """
    before = _told(approved) if approved is not None else {}
    after = _told(now)
    lines = [
        *(f"- {said}" for key, said in before.items() if key not in after),
        *(f"+ {said}" for key, said in after.items() if key not in before),
    ]
    more = len(lines) - STALE_LINES
    if more > 0:
        lines = [*lines[:STALE_LINES], f"and {counted(more, 'more line')}"]
    return "\n".join(lines)


def _told(plan: Plan) -> dict[str, str]:
    """Return each thing that the digest covers, by what identifies it."""
    heads = (
        f"exchange {place_line(plan)}",
        f"ledger {safe(plan.ledger_id)}",
        f"limited to {selection_line(plan.selection) or 'nothing'}",
        f"made with {flags_line(plan) or 'no flags'}",
    )
    return {
        **{f"head {head}": head for head in heads},
        **{row_key(c): _whole(c) for c in plan.acting},
    }


def _whole(change: Change) -> str:
    """Return a row with all that its approval is bound to."""
    sides = [_side(side) for side in (change.before, change.after) if side is not None]
    what = f"{change.action.value} {subject(change.label)}: {SENTENCES[change.reason]}"
    return f"{what} [{' -> '.join(sides)}]" if sides else what


def _side(side: Side) -> str:
    parts: Iterable[str | None] = (
        safe(side.path),
        f"version {side.version}" if side.version is not None else None,
        f"token {safe(side.token_id)}" if side.token_id is not None else None,
        plus_minus(side.scopes, ()) or None,
        {True: "protected", False: "not protected", None: None}[side.protect],
    )
    return ", ".join(part for part in parts if part is not None)
