"""The state of every label as a table for a terminal.

    LABEL           STATE     AGE/MAX  DUE     LAST USED
    production-bot  draining  3h/30d   in 29d  5m ago
      old 3f2c…02be  superseded 3h ago, last used 4m ago: a consumer still uses the predecessor

Rules this module keeps:

1. A terminal that is too narrow loses columns, in the order of ``_DROPPED``, and then
   the middle of long labels; no row wraps.
2. What is wrong with a label stands below it, in words; a label that is well takes one
   line.
3. What needs a person stands last.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.escape import counted, safe, short
from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from reconciler.plan import SENTENCES, Need, NeedKind, Predecessor, State, Status, TokenStatus
from reconciler.render.text import LEAST_LABEL_CELLS, Paint, label_cells, line, padded, painter
from reconciler.render.words import cells, said, some, subject, twin_sentence

_LABEL, _STATE, _AGE, _DUE, _USED = "LABEL", "STATE", "AGE/MAX", "DUE", "LAST USED"
_SECRET, _PROTECTED, _TOKEN = "SECRET", "PROTECTED", "TOKEN"
_DROPPED = (_TOKEN, _PROTECTED, _SECRET, _USED, _AGE, _DUE)
_GAP = "  "

_TOLD_ELSEWHERE = frozenset({State.OK, State.DRAINING, State.WAITING})
"""States of labels that need no line of their own: their predecessors have one, or they stand with what needs a person."""

_COLOURS: dict[State, str] = {
    State.OK: "green",
    State.DRAINING: "cyan",
    State.DUE: "yellow",
    State.OVERDUE: "red",
    State.DRIFTED: "yellow",
    State.BROKEN: "red",
    State.ABSENT: "yellow",
    State.INTERRUPTED: "yellow",
    State.IN_PROGRESS: "cyan",
    State.WAITING: "magenta",
    State.HELD: "cyan",
    State.NOT_DESIRED: "yellow",
}


def span(length_ms: int) -> str:
    """A length of time in its largest whole unit: ``41d``, ``3h``, ``5m``, ``12s``."""
    for unit_ms, letter in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m")):
        if abs(length_ms) >= unit_ms:
            return f"{abs(length_ms) // unit_ms}{letter}"
    return f"{abs(length_ms) // SECOND_MS}s"


def when(at_ms: int | None, now_ms: int) -> str:
    """An instant as seen from now: ``in 45d``, ``7d ago``, or ``-`` if there is none."""
    if at_ms is None:
        return "-"
    return f"in {span(at_ms - now_ms)}" if at_ms > now_ms else f"{span(now_ms - at_ms)} ago"


def status_text(status: Status, *, width: int | None = None, colour: bool = False) -> str:
    """The whole state; ``width`` is in columns, None where nothing limits it."""
    paint = painter(colour=colour)
    profile = "" if status.profile_id is None else f", profile {status.profile_id}"
    lines = [f"{safe(status.api_url)}{profile}, ledger version {status.ledger_version}", ""]
    if status.tokens:
        lines += [*_table(status, width, paint), ""]
    lines += [*_surroundings(status, width), *_needs(status.needs, width, paint)]
    states = ", ".join(f"{number} {state.value}" for state, number in status.counts().items())
    total = counted(len(status.tokens), "label")
    return "\n".join([*lines, paint(f"{total}: {states}" if states else total, bold=True)]) + "\n"


# --- the table ---


def _table(status: Status, width: int | None, paint: Paint) -> list[str]:
    rows = [_cells(token, status.as_of_ms) for token in status.tokens]
    columns = _widths(rows, width)
    names = columns.keys()
    lines = [paint(_GAP.join(padded(name, columns[name]) for name in names).rstrip(), bold=True)]
    for token, row in zip(status.tokens, rows, strict=True):
        cut = {**row, _LABEL: _middle_cut(row[_LABEL], columns[_LABEL])}
        ends = {name: padded(cut[name], columns[name]) for name in names}
        last = next(reversed(ends))
        ends[last] = ends[last].rstrip()
        ends[_STATE] = paint(ends[_STATE], fg=_COLOURS[token.state])
        lines.append(_GAP.join(ends.values()))
        lines += _below(token, status.as_of_ms, width)
    return lines


def _cells(token: TokenStatus, now_ms: int) -> dict[str, str]:
    most = "never" if token.rotate_after_ms is None else span(token.rotate_after_ms)
    age = "-" if token.age_ms is None else span(token.age_ms)
    return {
        _LABEL: subject(token.label),
        _STATE: token.state.value,
        _AGE: f"{age}/{most}" if token.desired else age,
        _DUE: when(token.due_at_ms, now_ms),
        _USED: _used(token, now_ms),
        _SECRET: _secret(token),
        _PROTECTED: "yes" if token.protect else "-",
        _TOKEN: short(token.token_id) if token.token_id is not None else "-",
    }


def _used(token: TokenStatus, now_ms: int) -> str:
    """Our own verify is a use as well, but no consumer's."""
    if token.last_used_at_ms is not None and not token.used_since_verify:
        return "only by us"
    return when(token.last_used_at_ms, now_ms)


def _secret(token: TokenStatus) -> str:
    """The recorded version, and what Vault has instead."""
    if token.version is None:
        return "-"
    if token.in_place:
        return f"v{token.version}"
    return (
        f"v{token.version} GONE"
        if token.latest_version == token.version
        else f"v{token.version}, is v{token.latest_version}"
    )


def _widths(rows: Sequence[dict[str, str]], width: int | None) -> dict[str, int]:
    """The columns that fit, each as wide as its widest cell; labels give way before a column is lost, down to a third."""
    widths = {name: max(cells(name), *(cells(row[name]) for row in rows)) for name in rows[0]}
    widths[_LABEL] = min(widths[_LABEL], label_cells(width))
    if width is None:
        return widths
    for name in _DROPPED:
        if _total(widths) <= width:
            return widths
        del widths[name]
    widths[_LABEL] = max(
        LEAST_LABEL_CELLS, min(widths[_LABEL], widths[_LABEL] + width - _total(widths))
    )
    return widths


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _middle_cut(text: str, width: int) -> str:
    """The text, or both its ends around an ellipsis: labels differ at their ends more often than in the middle."""
    if cells(text) <= width:
        return text
    head, tail = text, text
    while cells(head) > (width - 1) - (width - 1) // 2:
        head = head[:-1]
    while cells(tail) > (width - 1) // 2:
        tail = tail[1:]
    return f"{head}…{tail}"


# --- in words ---


def _below(token: TokenStatus, now_ms: int, width: int | None) -> list[str]:
    lines = []
    if token.state not in _TOLD_ELSEWHERE:
        lines.append(line("  why", said(token.reason, token.note), width))
    if token.intent is not None:
        head = f"  {token.intent.kind.value} begun {when(token.intent.since_ms, now_ms)} by run {safe(token.intent.run)}"
        lines.append(
            f"{head}, token {short(token.intent.token_id)}" if token.intent.token_id else head
        )
    lines += [f"  revoking {short(token_id)}" for token_id in token.revoking]
    return [*lines, *(_old(old, now_ms, width) for old in token.predecessors)]


def _old(old: Predecessor, now_ms: int, width: int | None) -> str:
    used = (
        "never used"
        if old.last_used_at_ms is None
        else f"last used {when(old.last_used_at_ms, now_ms)}"
    )
    parts = [
        f"superseded {when(old.superseded_at_ms, now_ms)}",
        used if old.live else "gone from the exchange",
    ]
    if old.not_before_ms > now_ms:
        parts.append(f"overlap ends {when(old.not_before_ms, now_ms)}")
    return line(
        f"  old {short(old.token_id)}",
        f"{', '.join(parts)}; {old.action.value}: {SENTENCES[old.reason]}",
        width,
    )


def _surroundings(status: Status, width: int | None) -> list[str]:
    lines = []
    if status.lease is not None:
        left = span(status.lease.expires_at_ms - status.as_of_ms)
        lines.append(
            f"run {safe(status.lease.run)} on {safe(status.lease.who)} is at work; its lease ends in {left}"
        )
    for row in status.abandoned:
        began, ended = when(row.since_ms, status.as_of_ms), when(row.closed_at_ms, status.as_of_ms)
        said = f"a derive begun {began} was given up {ended}; a token of it may still show up"
        lines.append(line(f"abandoned {subject(row.label)}", said, width))
    told = {
        label
        for need in status.needs
        if need.kind is not NeedKind.IDENTITY
        for label in need.labels
    }
    lines += [
        line(f"twin {subject(row.label or '')} {safe(row.token_id)}", twin_sentence(row), width)
        for row in status.twins
        if row.label not in told
    ]
    if status.foreign:
        lines.append(f"{counted(status.foreign, 'foreign token')}, not touched")
    return lines


def _needs(needs: Sequence[Need], width: int | None, paint: Paint) -> list[str]:
    if not needs:
        return []
    lines = [paint("NEEDS A PERSON", fg="magenta", bold=True)]
    for need in needs:
        names = some([subject(label) for label in need.labels])
        ids = " ".join(safe(token_id) for token_id in need.token_ids)
        head = f"  {names} {ids}" if ids else f"  {names}"
        lines.append(line(head, safe(need.sentence), width))
    return lines
