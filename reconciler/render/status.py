"""The state of every label as a table for a terminal.

    LABEL           STATE     AGE/MAX  DUE     LAST USED
    production-bot  draining  3h/30d   in 29d  5m ago
      old 3f2c…02be  superseded 3h ago, last used 4m ago; hold: a consumer still uses
      the predecessor

Rules this module keeps:

1. ``COLUMNS`` are the table. A terminal that is too narrow loses columns, the last of
   ``_DROPPED`` last, and then the middle of long labels. No row wraps, and a line says
   which columns are not shown. ``wide`` adds ``WIDE_COLUMNS`` and drops none.
2. What is wrong with a label stands below it, in words. A label that is well takes one
   line.
3. More than ``FLAT_MOST`` labels are grouped by what they need, the most urgent first;
   those that are well take one line together, unless each is asked for (``wide``).
4. What needs a person stands last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from reconciler.escape import counted, safe, short
from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from reconciler.plan import (
    POWERFUL,
    SENTENCES,
    Need,
    NeedKind,
    Predecessor,
    Reason,
    State,
    Status,
    TokenStatus,
    Unattended,
)
from reconciler.render.groups import Group, grouped_tokens
from reconciler.render.text import LEAST_LABEL_CELLS, Paint, label_cells, line, padded, painter
from reconciler.render.words import FEW, capped_words, cells, said, some, subject, twin_sentence

_GAP = "  "

_TOLD_ELSEWHERE = frozenset({State.OK, State.DRAINING, State.WAITING})
"""States that need no line of their own.

The predecessors have one, or the label stands with what needs a person.
"""

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
    """Return a length of time in its largest whole unit: ``41d``, ``3h``, ``12s``."""
    for unit_ms, letter in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m")):
        if abs(length_ms) >= unit_ms:
            return f"{abs(length_ms) // unit_ms}{letter}"
    return f"{abs(length_ms) // SECOND_MS}s"


def when(at_ms: int | None, now_ms: int) -> str:
    """Return an instant as seen from now: ``in 45d``, ``7d ago``, or ``-`` for None."""
    if at_ms is None:
        return "-"
    return f"in {span(at_ms - now_ms)}" if at_ms > now_ms else _ago(at_ms, now_ms)


def _ago(at_ms: int, now_ms: int) -> str:
    """Return an instant that is over; one ahead of the clock was just now."""
    return f"{span(max(0, now_ms - at_ms))} ago"


def status_text(
    status: Status, *, width: int | None = None, colour: bool = False, wide: bool = False
) -> str:
    """Return the whole state; ``width`` is in columns, None if nothing limits it.

    ``wide`` shows every label and column, whatever the width.
    """
    paint = painter(colour=colour)
    profile = "" if status.profile_id is None else f", profile {status.profile_id}"
    place = f"{safe(status.place)}, ledger version {status.ledger_version}"
    lines = [f"{safe(status.api_url)}{profile}, {place}", ""]
    if status.tokens:
        lines += [*_table(status, width, paint, wide=wide), ""]
    lines += [*_surroundings(status, width), *_needs(status.needs, width, paint)]
    states = ", ".join(f"{number} {state.value}" for state, number in status.counts().items())
    total = counted(len(status.tokens), "label")
    return "\n".join([*lines, paint(f"{total}: {states}" if states else total, bold=True)]) + "\n"


# --- the table ---


def age_words(token: TokenStatus) -> str:
    """Return the age of the current token, and the age that it may reach."""
    if token.age_ms is None:
        return "-"
    age = span(token.age_ms)
    most = "never" if token.rotate_after_ms is None else span(token.rotate_after_ms)
    return f"{age}/{most}" if token.desired else age


def _due(token: TokenStatus, now_ms: int) -> int | None:
    """Return when it is due, or, if that is ahead, when it may start."""
    if token.due_at_ms is None or token.due_at_ms <= now_ms:
        return token.due_at_ms
    return token.opens_at_ms or max(token.due_at_ms, token.hold_until_ms or 0)


def _used(token: TokenStatus, now_ms: int) -> str:
    """Return the last use; our own verify is one as well, but no consumer's."""
    if token.last_used_at_ms is None:
        return "-"
    return _ago(token.last_used_at_ms, now_ms) if token.used_since_verify else "only by us"


def secret_words(token: TokenStatus) -> str:
    """Return the recorded version, and what Vault has instead."""
    if token.version is None:
        return "-"
    if token.in_place:
        return f"v{token.version}"
    if token.latest_version == token.version:
        return f"v{token.version} GONE"
    return f"v{token.version}, is v{token.latest_version}"


def _reserve(token: TokenStatus, _: int) -> str:
    """Return how many successors are ready, of how many."""
    ready = sum(kept.ready for kept in token.reserve)
    return f"{ready}/{token.reserve_wanted}" if token.reserve or token.reserve_wanted else "-"


def _scopes(token: TokenStatus, _: int) -> str:
    """Return what the token may do; what it is to do where none lives."""
    scopes = token.scopes or token.wanted_scopes or ()
    return " ".join(safe(one) + ("!" if one in POWERFUL else "") for one in scopes) or "-"


Column = tuple[str, Callable[[TokenStatus, int], str]]
"""A name, and the cell of a label at an instant, fit to print."""

COLUMNS: tuple[Column, ...] = (
    ("LABEL", lambda token, _: subject(token.label)),
    ("STATE", lambda token, _: token.state.value),
    ("AGE/MAX", lambda token, _: age_words(token)),
    ("DUE", lambda token, now_ms: when(_due(token, now_ms), now_ms)),
    ("RESERVE", _reserve),
    ("LAST USED", _used),
    ("SECRET", lambda token, _: secret_words(token)),
    ("PROTECTED", lambda token, _: "yes" if token.protect else "-"),
    ("TOKEN", lambda token, _: "-" if token.token_id is None else short(token.token_id)),
)
"""The first two are the label and its state."""

WIDE_COLUMNS: tuple[Column, ...] = (
    ("SCOPES", _scopes),
    ("OWNER", lambda token, _: safe(token.owner) or "-"),
    ("PATH", lambda token, _: safe(token.path)),
)
_POWERFUL_KEY = "! moves funds, or signs for others"

_DROPPED = ("TOKEN", "PROTECTED", "SECRET", "RESERVE", "LAST USED", "AGE/MAX", "DUE")


FLAT_MOST = 12
"""So many labels are a plain table, sorted by label."""


def _table(status: Status, width: int | None, paint: Paint, *, wide: bool) -> list[str]:
    columns = _columns(status, wide=wide)
    groups = _groups(status, wide=wide)
    shown = {
        token.label: [cell(token, status.as_of_ms) for _, cell in columns]
        for _, tokens in groups
        for token in tokens
    }
    names = [name for name, _ in columns]
    widths = _widths(names, list(shown.values()), None if wide else width, wide=wide)
    lines = [paint(_row(names, widths), bold=True)]
    for title, tokens in groups:
        lines += [paint(title, bold=True)] if title else []
        for token in tokens:
            label, *others = shown[token.label]
            colour = functools.partial(paint, fg=_COLOURS[token.state])
            lines.append(_row([_middle_cut(label, widths[0]), *others], widths, state=colour))
            lines += _below(token, status.as_of_ms, width)
    summed = len(status.tokens) - len(shown)
    lines += [_well(status, summed, width)] if summed else []
    hidden = [name for at, name in enumerate(names) if at not in widths]
    if hidden:
        lines.append(line("not shown for lack of room:", ", ".join(hidden), width, gap=" "))
    if wide and any("!" in row[names.index("SCOPES")] for row in shown.values()):
        lines.append(_POWERFUL_KEY)
    return lines


def _columns(status: Status, *, wide: bool) -> tuple[Column, ...]:
    """Return the columns; that of the reserve where a label has one, or is to."""
    reserves = any(token.reserve or token.reserve_wanted for token in status.tokens)
    shown = tuple(one for one in COLUMNS if reserves or one[0] != "RESERVE")
    return shown + (WIDE_COLUMNS if wide else ())


def _groups(status: Status, *, wide: bool) -> list[tuple[str, Sequence[TokenStatus]]]:
    """Return the labels that have a row, by group; few are one without a title."""
    if len(status.tokens) <= FLAT_MOST:
        return [("", status.tokens)]
    return [
        (f"{group.title}: {len(tokens)}", tokens)
        for group, tokens in grouped_tokens(status.tokens)
        if wide or not _is_summed(group, tokens)
    ]


def _is_summed(group: Group, tokens: Sequence[TokenStatus]) -> bool:
    return group.states == (State.OK,) and len(tokens) > FEW


def _well(status: Status, number: int, width: int | None) -> str:
    """Return one line for all labels that are well."""
    due = [(t.due_at_ms, t.label) for t in status.tokens if t.state is State.OK and t.due_at_ms]
    parts = []
    if due:
        at_ms, label = min(due)
        parts.append(f"the next is due {when(at_ms, status.as_of_ms)} ({subject(label)})")
    return line(f"well: {number}", "; ".join([*parts, "--wide shows each"]), width)


def _row(row: Sequence[str], widths: dict[int, int], state: Paint = str) -> str:
    """Return the cells side by side; the last one shown is not filled up."""
    last = max(widths)
    ends = {at: row[at] if at == last else padded(row[at], widths[at]) for at in widths}
    ends[1] = state(ends[1])
    return _GAP.join(ends.values())


def _widths(
    names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, *, wide: bool
) -> dict[int, int]:
    """Return the columns that fit, each as wide as its widest cell.

    Labels give way before a column is lost, down to a third of the width.
    """
    widths = {at: max(cells(row[at]) for row in (names, *rows)) for at in range(len(names))}
    if not wide:
        widths[0] = min(widths[0], label_cells(width))
    if width is None:
        return widths
    for name in _DROPPED:
        if _total(widths) <= width:
            return widths
        if name in names:
            del widths[names.index(name)]
    widths[0] = max(LEAST_LABEL_CELLS, min(widths[0], widths[0] + width - _total(widths)))
    return widths


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _middle_cut(text: str, width: int) -> str:
    """Return the text, or both its ends around an ellipsis.

    Labels differ at their ends more often than in the middle.
    """
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
    if token.hold_until_ms is not None and token.reason is not Reason.HOLD_UNTIL:
        lines.append(line("  hold", _hold(token), width))
    if token.state not in _TOLD_ELSEWHERE:
        lines.append(line("  why", said(token.reason, token.note), width))
    if token.intent is not None:
        head = (
            f"  {token.intent.kind.value} begun {_ago(token.intent.since_ms, now_ms)} "
            f"by run {safe(token.intent.run)}"
        )
        lines.append(
            f"{head}, token {short(token.intent.token_id)}" if token.intent.token_id else head
        )
    lines += [f"  revoking {short(token_id)}" for token_id in token.revoking]
    lines += [
        line(f"  reserve {short(kept.token_id)}", said(kept.reason, kept.note), width)
        for kept in token.reserve
        if kept.reason is not None and kept.reason is not token.reason
    ]
    return [*lines, *(_old(old, now_ms, width) for old in token.predecessors)]


def _hold(token: TokenStatus) -> str:
    """Tell of a hold that keeps nothing back yet."""
    asked = f", ask {safe(token.owner)}" if token.owner else ""
    day = iso(token.hold_until_ms or 0)[: len("2027-01-15")]
    return f"not rotated until {day}, {safe(token.hold_reason)}{asked}"


def _old(old: Predecessor, now_ms: int, width: int | None) -> str:
    used = (
        "never used"
        if old.last_used_at_ms is None
        else f"last used {_ago(old.last_used_at_ms, now_ms)}"
    )
    parts = [
        f"superseded {_ago(old.superseded_at_ms, now_ms)}",
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
            f"run {safe(status.lease.run)} on {safe(status.lease.who)} is at work; "
            f"its lease ends in {left}"
        )
    for row in status.abandoned:
        began, ended = (_ago(at_ms, status.as_of_ms) for at_ms in (row.since_ms, row.closed_at_ms))
        said = (
            f"a derive begun {began} was given up {ended}: if a token of it shows up, "
            "revoke it or `reconciler forget --token-id ID`"
        )
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
    if status.unattended is not None:
        lines.append(_unattended(status.unattended, status.as_of_ms, width))
    if status.capped is not None:
        lines.append(line("reserve", capped_words(status.capped), width))
    if status.foreign:
        lines.append(f"{counted(status.foreign, 'foreign token')}, not touched")
    return lines


def _unattended(found: Unattended, now_ms: int, width: int | None) -> str:
    left = counted(found.left, "successor") if found.left else "no successor"
    ready = f"{subject(found.label)} has {left} ready"
    told = "a rotation needs a person now:"
    if found.at_ms > now_ms:
        told = f"no rotation by age needs a person until {iso(found.at_ms)[:10]}:"
    return line(told, ready, width, gap=" ")


def _needs(needs: Sequence[Need], width: int | None, paint: Paint) -> list[str]:
    if not needs:
        return []
    lines = [paint("NEEDS A PERSON", fg="magenta", bold=True)]
    for need in needs:
        names = some([subject(label) for label in need.labels]) if need.labels else "the ledger"
        ids = " ".join(safe(token_id) for token_id in need.token_ids)
        head = f"  {names} {ids}" if ids else f"  {names}"
        lines.append(line(head, safe(need.sentence), width))
    return lines
