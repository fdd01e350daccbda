"""What becomes of the fields that others wrote beside ours, as a row tells it.

``state.secret`` has the table of what each write does with them. Here is what is known
of them before it:

    the secret at the label's path       their names are known from
    -----------------------------------  ---------------------------------------------
    is at the recorded version           the ledger
    was looked at, and is the label's    its content
    own, or is to be restored
    holds something else                 nothing is kept of it, which the row says
    is another label's, which leaves     the ledger; nothing is kept of it
    could not be read                    the ledger, of the version that it knows

Names are for people: neither a task nor the digest has them.
"""

from __future__ import annotations

from typing import NamedTuple

from reconciler.plan.facts import Facts, Wanted
from reconciler.plan.vocabulary import Action
from reconciler.state import Content, Entry, Retiring, names_of, own_ids


class Beside(NamedTuple):
    """Names of others' fields: those that the change keeps, and those that it takes."""

    kept: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


NOTHING = Beside()

_KEEP = frozenset({Action.RECORD, Action.RESTORE, Action.REWRITE, Action.DERIVE, Action.ROTATE}) | {
    Action.PROMOTE
}


def beside(facts: Facts, action: Action) -> Beside:
    """Return what becomes of them by a label's own row."""
    if action is Action.REVOKE:
        return Beside(lost=_known(facts.entry, facts.content))
    if action not in _KEEP or not isinstance(facts, Wanted):
        return NOTHING
    names = set(_known(facts.entry, facts.content, restored=action is Action.RESTORE))
    if facts.spec.path != facts.path:
        names |= set(
            _known(Entry(path=facts.spec.path, retiring=facts.entry.retiring), facts.target_content)
        )
    if action is Action.RECORD:
        return Beside(kept=tuple(sorted(names)))
    taken = names & names_of(facts.spec.fields)
    lost = (taken | _of_owner(facts)) - (names - taken)
    return Beside(kept=tuple(sorted(names - taken)), lost=tuple(sorted(lost)))


def _of_owner(facts: Wanted) -> set[str]:
    """Return the names beside the secret of a label that leaves its path to this one.

    One that moves takes them along.
    """
    owner = facts.owner
    if facts.holder is None or owner is None or owner.spec is not None:
        return set()
    return set(owner.entry.others) if owner.entry.is_at(facts.spec.path) else set()


def beside_former(retiring: Retiring, entry: Entry, content: Content | None) -> Beside:
    """Return what goes with the secret at a predecessor's former path.

    What was taken along, and is beside the label's secret now, is not lost.
    """
    if retiring.path is None or content is None or content.token_id != retiring.token_id:
        return NOTHING
    return Beside(lost=tuple(sorted(set(content.others) - set(entry.others))))


def _known(entry: Entry, content: Content | None, *, restored: bool = False) -> tuple[str, ...]:
    if entry.current is not None and (content is None or not content.readable):
        return entry.others
    if content is None or not (restored or content.token_id in own_ids(entry)):
        return ()
    return tuple(name for name in content.others if name not in names_of(entry.fields))
