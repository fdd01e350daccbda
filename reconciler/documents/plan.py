"""The plan as JSON: saved by ``plan --out``, read back by ``apply --plan``.

A saved plan is believed because of its digest: it is recomputed from what was read, and
compared with the one that the document states.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reconciler.documents.json import fault, head, other_format, parsed
from reconciler.errors import PlanStaleError
from reconciler.model import instant_ms
from reconciler.plan import (
    CATEGORIES,
    FORMAT_VERSION,
    SENTENCES,
    Action,
    Change,
    NotTouched,
    Plan,
    Policy,
    Selection,
)
from reconciler.state import from_plain, instant_plain, to_plain
from reconciler.values import value


@value
class SavedPlan:
    """A plan as it was saved, and the policy that it was made with.

    ``digest`` is recomputed from ``plan``. It covers the changes that act and the
    flags; holds, keeps, notes, ``guards`` and ``warnings`` are not covered.
    """

    digest: str
    as_of_ms: int
    plan: Plan
    policy: Policy
    guards: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_document(
    plan: Plan,
    *,
    policy: Policy | None = None,
    guards: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the plan for machines, and for a later ``apply --plan``.

    ``policy`` is what it was made with; ``guards`` and ``warnings`` are sentences.
    """
    return {
        **head("plan", FORMAT_VERSION),
        "digest": plan.digest(),
        **instant_plain("as_of", plan.as_of_ms),
        "api_url": plan.api_url,
        "ledger_id": plan.ledger_id,
        "profile_id": plan.profile_id,
        "selection": to_plain(plan.selection),
        "flags": (policy or Policy()).flags_plain(),
        "capabilities": "not checked",
        "summary": _summary(plan),
        "changes": [change_plain(c) for c in plan.changes],
        "not_touched": to_plain(plan.not_touched),
        "foreign_unnamed": plan.foreign_unnamed,
        "guards": list(guards),
        "warnings": list(warnings),
    }


def plan_widget(plan: Plan) -> str:
    """Return the JSON for GitLab's plan widget (``artifacts:reports:terraform``).

    It counts what is created, updated and deleted.
    """
    counts = plan.counts()
    created_or_deleted = {Action.DERIVE, Action.REVOKE}
    widget = {
        "create": counts.get(Action.DERIVE, 0),
        "update": sum(c.acts and c.action not in created_or_deleted for c in plan.changes),
        "delete": counts.get(Action.REVOKE, 0),
    }
    return json.dumps(widget, sort_keys=True) + "\n"


def _summary(plan: Plan) -> dict[str, int]:
    counts = plan.counts()
    return {
        **{action.value: counts.get(action, 0) for action in Action},
        "not_touched": len(plan.not_touched) + plan.foreign_unnamed,
    }


def change_plain(change: Change) -> dict[str, Any]:
    """Return one row of a plan or a report as JSON."""
    return {
        "needs_identity": change.derives,
        **to_plain(change, unix=True),
        "category": CATEGORIES[change.reason].value,
        "sentence": SENTENCES[change.reason],
    }


def load_plan(text: str) -> SavedPlan:
    """Return the plan that ``plan_document`` wrote.

    ReconcilerError if the text is no plan of ours. PlanStaleError if the plan has
    another format, does not fit its schema, or has another digest than it states.
    """
    document = parsed(text, "plan", "save it with `reconciler plan --out`")
    other = other_format(document, FORMAT_VERSION)
    if other is not None:
        raise PlanStaleError(
            f"the plan was saved in format {other}, this program knows format {FORMAT_VERSION}: "
            "plan again with the version that applies"
        )
    found = fault(document, "plan")
    if found is not None:
        raise PlanStaleError(
            f"the plan was edited by hand or made by another version ({found}): plan again"
        )
    try:
        plan, policy = _read(document)
        digest = plan.digest()
    except ValueError:  # an instant that the calendar does not know
        raise PlanStaleError(
            "the plan was edited by hand (a value in it can't be): plan again"
        ) from None
    if digest != document["digest"]:
        raise PlanStaleError(
            "the plan was edited by hand (its digest is not that of its content): plan again"
        )
    return SavedPlan(
        digest=digest,
        as_of_ms=plan.as_of_ms,
        plan=plan,
        policy=policy,
        guards=tuple(document["guards"]),
        warnings=tuple(document["warnings"]),
    )


def _read(document: dict[str, Any]) -> tuple[Plan, Policy]:
    selection = from_plain(Selection, document["selection"])
    policy = Policy(selection=selection).with_given(document["flags"])
    plan = Plan(
        as_of_ms=instant_ms(document["as_of"]),
        api_url=document["api_url"],
        ledger_id=document["ledger_id"],
        profile_id=document["profile_id"],
        selection=selection,
        changes=tuple(from_plain(Change, row) for row in document["changes"]),
        not_touched=tuple(from_plain(NotTouched, row) for row in document["not_touched"]),
        foreign_unnamed=document["foreign_unnamed"],
        flags=policy.flags(),
    )
    return plan, policy
