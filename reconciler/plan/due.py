"""The last reasons of a label that is well: its age, and what its secret carries.

``reasons`` has their place among the others.
"""

from __future__ import annotations

from reconciler.model import iso
from reconciler.plan.facts import Finding, Listed
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import due_at_ms


def fields_differ(facts: Listed) -> Finding | None:
    """The secret carries other further names than the manifest wants.

    The ledger remembers what was written, so nothing is read.
    """
    wanted, carried = frozenset(facts.spec.fields), frozenset(facts.entry.fields)
    if wanted == carried:
        return None
    signs = [*(f"+{text}" for text in sorted(wanted - carried))]
    signs += [f"-{text}" for text in sorted(carried - wanted)]
    return Finding(Action.REWRITE, Reason.FIELDS, " ".join(signs))


PREDECESSORS_MAX = 3
"""Where so many predecessors live, age alone is no reason to make another one.

Each waits for evidence that does not come: more of them would pile up until the
exchange has a limit of its own.
"""


def due(facts: Listed) -> Finding | None:
    """The token is in use for so long that ``rotate_after`` says so (``due_at_ms``).

    The age of an adopted one counts from its adoption, and not within its grace.
    """
    at_ms = due_at_ms(facts.current, facts.live.created_at_ms, facts.spec)
    if at_ms is None or facts.setting.now_ms < at_ms:
        return None
    if len(facts.entry.retiring) >= PREDECESSORS_MAX:
        held = Finding(Action.HOLD, Reason.PILED_UP, f"since {iso(at_ms)}")
        return fields_differ(facts) or held
    return Finding(Action.ROTATE, Reason.DUE, f"since {iso(at_ms)}")
