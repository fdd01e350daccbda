"""A label that has another name now (``was`` in the manifest): what becomes of it."""

from __future__ import annotations

from reconciler.plan.change import Change, Side
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Finding, Listed
from reconciler.plan.tasks import RenameLabel
from reconciler.plan.vocabulary import Action, Reason


def name_row(context: PlanContext, label: str) -> Change:
    """Make the row of a label whose former one has an entry in the ledger.

    An open write is finished under the label that it was begun for. Two entries can't
    become one.
    """
    was, known = context.renames[label], context.observed.ledger.tokens
    entry = known[was]
    if entry.intent is not None or label in known:
        reason = Reason.NAME_TAKEN if label in known else Reason.NAME_WAITS
        return Change(label=label, action=Action.HOLD, reason=reason, note=f"was {was}")
    token_id = entry.current.token_id if entry.current is not None else None
    return Change(
        label=label,
        action=Action.RENAME,
        reason=Reason.NAME_CHANGED,
        before=Side(path=entry.path, token_id=token_id),
        after=Side(path=entry.path, token_id=token_id),
        note=f"was {was}",
        task=RenameLabel(was=was),
    )


def renamed(facts: Listed) -> Finding | None:
    """The token was asked for by a former label.

    What lists show is no matter: an exchange may spell a label otherwise than we do.
    """
    asked = facts.current.asked_label
    if asked is None or asked == facts.label:
        return None
    return Finding(Action.ROTATE, Reason.RENAMED, f"was {asked}")
