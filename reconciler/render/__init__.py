"""What every rendering of a plan shares: the words, and the one way in which text chosen by others is shown.

Rules this package keeps:

1. Pure: values in, text out. Nothing here knows a terminal, a file or the clock.
2. Text that others chose (labels, notes, ids, paths, addresses) goes through ``safe`` before it is laid out.
3. What is granted, moved or ended is computed from the two sides of a change, never taken from its reason: a row has one
   reason, but may do more than one thing.
4. The same plan gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable, Sequence

from reconciler.escape import safe as safe  # whoever renders finds it here
from reconciler.observed import Kind
from reconciler.plan import Change, NotTouched, Plan, Selection
from reconciler.reasons import SENTENCES, Action, Reason
from reconciler.review import SHORT_OVERLAP_MS
from reconciler.status import PROBABLY_OURS

WORDS: dict[Action, str] = {
    Action.RECOVER: "to recover",
    Action.RECORD: "to record",
    Action.RESTORE: "to restore",
    Action.DERIVE: "to derive",
    Action.ROTATE: "to rotate",
    Action.REVOKE: "to revoke",
    Action.HOLD: "held",
    Action.KEEP: "kept",
}
"""How a summary counts each action, and how its group is headed."""

NOT_CHECKED = "not checked: whether the exchange allows these scopes; apply checks it before it writes anything"

FEW = 10
"""So many names stand in one line; the rest is counted."""

FOREIGN_NAMED = 5

POWERFUL = frozenset({"withdrawal", "delegated_signing"})
"""Scopes that nobody gets without a second look: they move funds, or sign for others."""

_SHORT_ID = 12
_ID_END = 4


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1 for c in text)


def short(token_id: str) -> str:
    """An id as it is read at a glance: both ends, because opaque ids may share a beginning."""
    text = safe(token_id)
    return text if len(text) <= _SHORT_ID else f"{text[:_ID_END]}…{text[-_ID_END:]}"


def subject(label: str) -> str:
    """The label, or what a row without one is about."""
    return safe(label) if label else "(manifest)"


def some(names: Sequence[str]) -> str:
    """The first few names and how many more there are. The names are fit to print already."""
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """``1 token``, ``2 tokens``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def why(change: Change) -> str:
    """Why the row is what it is, in a sentence with its note."""
    return said(change.reason, change.note)


def said(reason: Reason, note: str) -> str:
    """The sentence of a reason, with what varies."""
    sentence = SENTENCES[reason]
    if not note:
        return sentence
    return f"{sentence} ({safe(note)})" if ":" in sentence else f"{sentence}: {safe(note)}"


# --- what a change does, by its two sides ---


def plus_minus(gained: Iterable[str], lost: Iterable[str]) -> str:
    """``+gained -lost``."""
    return " ".join([*(f"+{safe(g)}" for g in gained), *(f"-{safe(x)}" for x in lost)])


def scopes_before(change: Change) -> tuple[str, ...] | None:
    """What the token may do now; None where nobody knows, because it is not listed, and () where there is none yet."""
    if change.before is None or change.before.token_id is None:
        return ()
    return change.before.scopes or None


def gained_scopes(change: Change) -> tuple[str, ...]:
    """Scopes that the new token has and the old one lacks; all of them, where it is not known what the old one has."""
    after = change.after.scopes if change.after is not None else ()
    return tuple(sorted(set(after) - set(scopes_before(change) or ())))


def scope_note(change: Change) -> str:
    """``+gained -lost`` of a change that derives, or nothing."""
    if not change.derives or change.after is None:
        return ""
    lost = set(scopes_before(change) or ()) - set(change.after.scopes)
    return plus_minus(gained_scopes(change), sorted(lost))


def moves(change: Change) -> bool:
    """Whether consumers will find the secret at another path."""
    before, after = change.before, change.after
    return change.derives and before is not None and after is not None and before.path != after.path


def path_note(change: Change) -> str:
    """Where the secret will lie, if that is new."""
    if moves(change) and change.before is not None and change.after is not None:
        return f"path {safe(change.before.path)} -> {safe(change.after.path)}"
    if change.action is Action.DERIVE and change.after is not None:
        return f"path {safe(change.after.path)}"
    return ""


def extras(change: Change) -> tuple[str, ...]:
    """What a row does beyond what its reason says: scopes, and the path."""
    scopes, path = scope_note(change), path_note(change)
    return (
        *((f"scopes {scopes}",) if scopes and scopes != safe(change.note) else ()),
        *((path,) if path and change.reason is not Reason.PATH_CHANGED else ()),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that nobody may overlook; ``about`` are labels as they are in the plan, each with a detail fit to print."""

    sentence: str
    about: tuple[tuple[str, str], ...]


def _about(changes: Iterable[Change]) -> tuple[tuple[str, str], ...]:
    return tuple((c.label, short(c.before.token_id) if c.before is not None and c.before.token_id else "") for c in changes)


def is_loud(change: Change) -> bool:
    """Whether a row revokes, grants, moves a secret, takes a protection away, or leaves consumers no time."""
    unprotects = change.after is not None and change.after.protect is False
    return change.acts and (
        change.action is Action.REVOKE
        or bool(grants(change))
        or change.reason is Reason.COMPROMISED
        or unprotects
        or moves(change)
        or hurries(change)
        or (change.action is Action.ROTATE and bool(gained_scopes(change)))
    )


def grants(change: Change) -> tuple[str, ...]:
    """The scopes of a first token that reach beyond trading for oneself."""
    return gained_scopes(change) if change.action is Action.DERIVE and set(gained_scopes(change)) & POWERFUL else ()


def hurries(change: Change) -> bool:
    """Whether consumers lose the old token next to at once when the new one is in Vault, by the manifest's wish."""
    after = change.after
    return (
        change.action is Action.ROTATE
        and after is not None
        and after.overlap_ms is not None
        and after.overlap_ms < SHORT_OVERLAP_MS
        and change.before is not None
        and change.before.token_id is not None
    )


def alarms(plan: Plan) -> tuple[Alarm, ...]:
    """Revocations, grants, lost protections, moved secrets and missing overlaps, each kind at most once.

    Where there are none (``is_loud`` of no row), a plan may be applied without a further look at it.
    """
    acting = plan.acting
    leaving = [c for c in acting if c.action is Action.REVOKE and c.reason is not Reason.SUPERSEDED]
    superseded = [c for c in acting if c.action is Action.REVOKE and c.reason is Reason.SUPERSEDED]
    at_once = [c for c in acting if c.reason is Reason.COMPROMISED]
    rotations = [c for c in acting if c.action is Action.ROTATE and gained_scopes(c)]
    widened = [c for c in rotations if scopes_before(c) is not None]
    unknown = [c for c in rotations if scopes_before(c) is None]
    unprotected = [c for c in acting if c.after is not None and c.after.protect is False]
    moved = [c for c in acting if moves(c)]
    granted = [c for c in acting if grants(c)]
    hurried = [c for c in acting if hurries(c) and c.reason is not Reason.COMPROMISED]
    found = (
        Alarm(sentence=f"revokes {counted(len(leaving), 'token')} for good", about=_about(leaving)),
        Alarm(sentence="revokes the predecessor at once, without overlap", about=_about(at_once)),
        Alarm(sentence=f"revokes {counted(len(superseded), 'superseded token')} for good", about=_about(superseded)),
        Alarm(sentence="widens scopes", about=tuple((c.label, scope_note(c)) for c in widened)),
        Alarm(
            sentence="grants scopes, and what the old token had is not known",
            about=tuple((c.label, scope_note(c)) for c in unknown),
        ),
        Alarm(sentence="takes the protection away", about=tuple((c.label, "") for c in unprotected)),
        Alarm(
            sentence="moves the secret: consumers must read another path", about=tuple((c.label, path_note(c)) for c in moved)
        ),
        Alarm(sentence="leaves consumers next to no time to change over: a short overlap", about=_about(hurried)),
        Alarm(sentence="grants a new token more than trading", about=tuple((c.label, scope_note(c)) for c in granted)),
    )
    return tuple(alarm for alarm in found if alarm.about)


# --- sentences of a whole plan ---


def not_touched_count(plan: Plan) -> int:
    """Tokens that are not ours to change, named or not."""
    return len(plan.not_touched) + plan.foreign_unnamed


def summary_line(plan: Plan) -> str:
    """``2 to derive, 1 held, 5 kept, 3 not touched``; zeros are left out."""
    parts = [f"{number} {WORDS[action]}" for action, number in plan.counts().items()]
    if not plan.acting:
        parts.insert(0, "nothing to do")
    untouched = not_touched_count(plan)
    return ", ".join([*parts, *([f"{untouched} not touched"] if untouched else [])])


def short_digest(digest: str) -> str:
    """``sha256:`` and the first 12 hexadecimal digits."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:12]}…"


def place_line(plan: Plan) -> str:
    """Whose tokens these are."""
    profile = "" if plan.profile_id is None else f", profile {plan.profile_id}"
    return f"{safe(plan.api_url)}{profile}"


def flags_line(plan: Plan) -> str:
    """The guards that were lifted, as flags; empty if none was."""
    return " ".join(safe(flag) for flag in plan.flags)


def selection_line(selection: Selection) -> str:
    """What the plan is limited to, as flags; empty if it is not."""
    return " ".join(
        [
            *(f"--target {safe(label)}" for label in sorted(selection.targets)),
            *(f"--exclude {safe(label)}" for label in sorted(selection.excluded)),
            *([f"--only {selection.only.value}"] if selection.only is not None else []),
        ]
    )


def twin_sentence(row: NotTouched) -> str:
    """What a twin is, and what a person can do about it."""
    if row.probably_ours:
        return PROBABLY_OURS
    return "has a label of ours, but we did not derive it: adopt it, or leave it be"


def foreign_shown(plan: Plan) -> tuple[tuple[NotTouched, ...], int]:
    """The foreign tokens that are named, and how many more there are."""
    foreign = [row for row in plan.not_touched if row.kind is Kind.FOREIGN]
    return tuple(foreign[:FOREIGN_NAMED]), max(0, len(foreign) - FOREIGN_NAMED) + plan.foreign_unnamed
