"""What a reader of a plan must not miss, and whether an apply of it needs a reviewer.

Rule that this module keeps: what is granted, moved or ended is computed from the two
sides of a change, never taken from its reason. A row has one reason, but may do more
than one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.escape import counted, safe, short
from reconciler.model import MINUTE_MS
from reconciler.plan.change import Change, Plan
from reconciler.plan.vocabulary import Action, Reason
from reconciler.values import value

WRITES = frozenset({Action.RESTORE, Action.REWRITE, Action.ROTATE, Action.PROMOTE})
"""The actions that write a label's secret anew."""

_ROTATES = frozenset({Action.ROTATE, Action.PROMOTE})

POWERFUL = frozenset({"withdrawal", "delegated_signing"})
"""Scopes that move funds, or sign for others: granting them needs a second look."""

LIFTS_PROOF = "--revoke-unproven"
UNPROVEN = f"revokes although a use might not be shown ({LIFTS_PROOF})"

MAY_END = (
    "may end another token: as many live as when a derive had ended one. "
    "Revoke tokens that nobody needs first"
)
"""No reviewer is asked for it: what is due can't wait, and nobody can know."""

SHORT_OVERLAP_MS = 10 * MINUTE_MS
"""A shorter overlap is next to none.

Whoever reads a secret now and then will not have read the new one by its end.
"""


@value
class Alarm:
    """Something that nobody may overlook.

    ``about`` has labels, as they are in the plan or the manifest, each with a detail.
    Details of a plan's own alarms are fit to print; those of a review are not escaped.
    """

    sentence: str
    about: tuple[tuple[str, str], ...]


# --- what a change does, by its two sides ---


def scopes_before(change: Change) -> tuple[str, ...] | None:
    """Return what the token may do now: () where there is no token yet.

    None where nobody knows, because the exchange does not list the token.
    """
    if change.before is None or change.before.token_id is None:
        return ()
    return change.before.scopes or None


def gained_scopes(change: Change) -> tuple[str, ...]:
    """Return the scopes that the new token has and the old one lacks.

    All scopes of the new one, where nobody knows what the old one has.
    """
    after = change.after.scopes if change.after is not None else ()
    return tuple(sorted(set(after) - set(scopes_before(change) or ())))


def lost_scopes(change: Change) -> tuple[str, ...]:
    """Return the scopes that the old token has and the new one lacks."""
    if not change.replaces or change.after is None:
        return ()
    return tuple(sorted(set(scopes_before(change) or ()) - set(change.after.scopes)))


def plus_minus(gained: Iterable[str], lost: Iterable[str]) -> str:
    """Return ``+gained -lost``, fit to print."""
    return " ".join([*(f"+{safe(g)}" for g in gained), *(f"-{safe(x)}" for x in lost)])


def scope_note(change: Change) -> str:
    """Return ``+gained -lost`` of a change that derives, and nothing of any other."""
    if not change.replaces or change.after is None:
        return ""
    return plus_minus(gained_scopes(change), lost_scopes(change))


def path_note(change: Change) -> str:
    """Return where the secret will lie, if that is new."""
    before, after = change.before, change.after
    if after is None or not change.replaces:
        return ""
    if before is not None and before.path != after.path:
        return f"path {safe(before.path)} -> {safe(after.path)}"
    return f"path {safe(after.path)}" if change.action is Action.DERIVE else ""


def _token(change: Change) -> str:
    token_id = change.before.token_id if change.before is not None else None
    return short(token_id) if token_id else ""


# --- one function per alarm: the detail to tell, or None where there is no alarm ---


def leaves(change: Change) -> str | None:
    """A token is revoked for another reason than that it has a successor."""
    revokes = change.action is Action.REVOKE and change.reason is not Reason.SUPERSEDED
    return _token(change) if revokes else None


def retires(change: Change) -> str | None:
    """A token goes once nobody uses it, because its label left the manifest."""
    return _token(change) if change.action is Action.RETIRE else None


def without_overlap(change: Change) -> str | None:
    """The predecessor gets no overlap."""
    compromised = change.reason is Reason.COMPROMISED and change.replaces
    return _token(change) if compromised else None


def is_superseded(change: Change) -> str | None:
    """A predecessor is revoked."""
    revokes = change.action is Action.REVOKE and change.reason is Reason.SUPERSEDED
    return _token(change) if revokes else None


def widens(change: Change) -> str | None:
    """The new token may do more than the old one."""
    return scope_note(change) if _gains(change) and not lost_scopes(change) else None


def narrows(change: Change) -> str | None:
    """The new token may do less than the old one: consumers of that will fail."""
    lost = lost_scopes(change) and not gained_scopes(change)
    return scope_note(change) if lost else None


def exchanges(change: Change) -> str | None:
    """The new token may do other things than the old one."""
    return scope_note(change) if _gains(change) and lost_scopes(change) else None


def _gains(change: Change) -> bool:
    gains = change.action in _ROTATES and bool(gained_scopes(change))
    return gains and scopes_before(change) is not None


def perhaps_widens(change: Change) -> str | None:
    """The new token may do more than the old one, whose scopes nobody knows."""
    gains = change.action in _ROTATES and gained_scopes(change)
    return scope_note(change) if gains and scopes_before(change) is None else None


def unprotects(change: Change) -> str | None:
    """The label loses its protection."""
    return "" if change.after is not None and change.after.protect is False else None


def moves(change: Change) -> str | None:
    """Consumers will find the secret at another path."""
    before, after = change.before, change.after
    apart = before is not None and after is not None and before.path != after.path
    return path_note(change) if change.replaces and apart else None


def loses_names(change: Change) -> str | None:
    """The secret no longer carries a name that it carried, or carries another value."""
    before, after = change.before, change.after
    if before is None or after is None or change.action not in WRITES:
        return None
    lost = sorted(set(before.fields) - set(after.fields))
    return " ".join(f"-{text}" for text in lost) or None


def loses_others(change: Change) -> str | None:
    """What somebody wrote beside our fields goes."""
    return ", ".join(safe(name) for name in change.lost_fields) or None


def hurries(change: Change) -> str | None:
    """The manifest gives consumers next to no time to read the new secret."""
    after = change.after
    if change.action not in _ROTATES or change.reason is Reason.COMPROMISED or after is None:
        return None
    hasty = after.overlap_ms is not None and after.overlap_ms < SHORT_OVERLAP_MS
    return _token(change) or None if hasty else None


def grants(change: Change) -> str | None:
    """A first token reaches beyond trading for oneself."""
    powerful = change.action is Action.DERIVE and POWERFUL & set(gained_scopes(change))
    return scope_note(change) if powerful else None


ALARMS: tuple[tuple[str, Callable[[Change], str | None]], ...] = (
    ("revokes {tokens} for good", leaves),
    ("retires {tokens}: revoked after the overlap, once nobody uses it", retires),
    ("revokes the predecessor at once, without overlap", without_overlap),
    ("revokes {superseded} for good", is_superseded),
    ("widens scopes", widens),
    ("takes scopes away: consumers that need them will fail", narrows),
    ("gives some scopes and takes others away", exchanges),
    ("grants scopes, and what the old token had is not known", perhaps_widens),
    ("takes the protection away", unprotects),
    ("moves the secret: consumers must read another path", moves),
    ("takes names out of the secret: consumers that read them find nothing", loses_names),
    ("takes away what others wrote beside our fields", loses_others),
    ("leaves consumers next to no time to change over: a short overlap", hurries),
    ("grants a new token more than trading", grants),
)
"""What each alarm says, and the function that finds the changes it is about."""


def is_loud(change: Change) -> bool:
    """Return whether an apply of the row needs a reviewer: if it has an alarm."""
    return change.acts and any(about(change) is not None for _, about in ALARMS)


def alarms_of(plan: Plan) -> tuple[Alarm, ...]:
    """Return the alarms of a plan, each kind at most once; none if no row is loud."""
    found = []
    for sentence, about in ALARMS:
        rows = [(c.label, said) for c in plan.acting if (said := about(c)) is not None]
        if rows:
            said_of_all = sentence.format(
                tokens=counted(len(rows), "token"),
                superseded=counted(len(rows), "superseded token"),
            )
            found.append(Alarm(sentence=said_of_all, about=tuple(rows)))
    unproven = [(c.label, _token(c)) for c in plan.acting if c.action is Action.REVOKE]
    crowded = tuple((c.label, "") for c in plan.acting if c.may_end)
    if crowded:
        found.append(Alarm(sentence=MAY_END, about=crowded))
    if unproven and LIFTS_PROOF in plan.flags:
        found.append(Alarm(sentence=UNPROVEN, about=tuple(unproven)))
    return tuple(found)
