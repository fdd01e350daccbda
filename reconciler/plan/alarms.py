"""What a reader of a plan must not miss, and whether an apply of it needs a reviewer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from reconciler.escape import counted, safe, short
from reconciler.plan.planner import Change, Plan
from reconciler.plan.reasons import Action, Reason
from reconciler.plan.review import SHORT_OVERLAP_MS

POWERFUL = frozenset({"withdrawal", "delegated_signing"})
"""Scopes that nobody gets without a second look: they move funds, or sign for others."""


def scopes_before(change: Change) -> tuple[str, ...] | None:
    """What the token may do now; None where nobody knows, because it is not listed, and () where there is none yet."""
    if change.before is None or change.before.token_id is None:
        return ()
    return change.before.scopes or None


def gained_scopes(change: Change) -> tuple[str, ...]:
    """Scopes that the new token has and the old one lacks; all of them, where it is not known what the old one has."""
    after = change.after.scopes if change.after is not None else ()
    return tuple(sorted(set(after) - set(scopes_before(change) or ())))


def moves(change: Change) -> bool:
    """Whether consumers will find the secret at another path."""
    before, after = change.before, change.after
    return change.derives and before is not None and after is not None and before.path != after.path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that nobody may overlook; ``about`` are labels as they are in the plan, each with a detail fit to print."""

    sentence: str
    about: tuple[tuple[str, str], ...]


def _about(changes: Iterable[Change]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (c.label, short(c.before.token_id) if c.before is not None and c.before.token_id else "")
        for c in changes
    )


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
    return (
        gained_scopes(change)
        if change.action is Action.DERIVE and set(gained_scopes(change)) & POWERFUL
        else ()
    )


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


def alarms_of(plan: Plan) -> tuple[Alarm, ...]:
    """Revocations, grants, lost protections, moved secrets and missing overlaps, each kind at most once.

    Where there are none (``is_loud`` of no row), a plan may be applied without a
    further look at it.
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
        Alarm(
            sentence=f"revokes {counted(len(superseded), 'superseded token')} for good",
            about=_about(superseded),
        ),
        Alarm(sentence="widens scopes", about=tuple((c.label, scope_note(c)) for c in widened)),
        Alarm(
            sentence="grants scopes, and what the old token had is not known",
            about=tuple((c.label, scope_note(c)) for c in unknown),
        ),
        Alarm(
            sentence="takes the protection away", about=tuple((c.label, "") for c in unprotected)
        ),
        Alarm(
            sentence="moves the secret: consumers must read another path",
            about=tuple((c.label, path_note(c)) for c in moved),
        ),
        Alarm(
            sentence="leaves consumers next to no time to change over: a short overlap",
            about=_about(hurried),
        ),
        Alarm(
            sentence="grants a new token more than trading",
            about=tuple((c.label, scope_note(c)) for c in granted),
        ),
    )
    return tuple(alarm for alarm in found if alarm.about)


def plus_minus(gained: Iterable[str], lost: Iterable[str]) -> str:
    """``+gained -lost``."""
    return " ".join([*(f"+{safe(g)}" for g in gained), *(f"-{safe(x)}" for x in lost)])


def scope_note(change: Change) -> str:
    """``+gained -lost`` of a change that derives, or nothing."""
    if not change.derives or change.after is None:
        return ""
    lost = set(scopes_before(change) or ()) - set(change.after.scopes)
    return plus_minus(gained_scopes(change), sorted(lost))


def path_note(change: Change) -> str:
    """Where the secret will lie, if that is new."""
    if moves(change) and change.before is not None and change.after is not None:
        return f"path {safe(change.before.path)} -> {safe(change.after.path)}"
    if change.action is Action.DERIVE and change.after is not None:
        return f"path {safe(change.after.path)}"
    return ""
