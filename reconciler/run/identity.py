"""What the identity may derive: asked before the first write, when a refusal is cheap.

the exchange, asked about the identity       then
-------------------------------------------  ---------------------------------------
it is missing, expired, or another profile's nothing is derived (exit 4 or 1)
it may not derive a row's scopes             that row fails; the others are done
it may derive the scopes of no row, and      nothing is done (exit 1)
nothing else is to be done
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.errors import PersonNeededError, ReconcilerError
from reconciler.model import Capabilities
from reconciler.plan import Change
from reconciler.protocol import Step
from reconciler.run.effects import CheckIdentity
from reconciler.run.session import Session
from reconciler.state import Observed

FEW = 5
"""So many labels stand in one sentence."""


def ask_identity(
    session: Session, changes: Sequence[Change], observed: Observed, *, digest: str | None
) -> Step[Capabilities | ReconcilerError | None]:
    """Return what the identity may do, or why it can't derive what the changes need.

    None where nothing is to be derived. ``digest`` is that of the plan that is applied.
    """
    derives = sum(1 for change in changes if change.derives)
    if not derives:
        return None
    profile_id = observed.ledger.profile_id or session.manifest.profile_id
    return (yield from CheckIdentity(derives=derives, profile_id=profile_id, digest=digest))


def without_reserve(
    session: Session, changes: Sequence[Change], found: ReconcilerError
) -> ReconcilerError:
    """Return why a person is needed; of labels asked for, that nothing is kept ready.

    Whoever is on duty asks for just these, and has no identity.
    """
    asked = session.policy.requested
    labels = sorted({c.label for c in changes if c.derives and not c.stocks} & asked)
    if not labels or not isinstance(found, PersonNeededError):
        return found
    names = ", ".join(labels[:FEW]) + (" …" if len(labels) > FEW else "")
    return PersonNeededError(f"the reserve has nothing that is ready for {names}, and {found}")


def unallowed(found: Capabilities, scopes: Sequence[str]) -> str | None:
    """Return in one sentence which scopes are not allowed; None where all are."""
    refused = sorted(frozenset(scopes) - frozenset(found.allowed_scopes))
    if not refused:
        return None
    allowed = ", ".join(sorted(found.allowed_scopes)) or "nothing"
    return (
        f"the exchange does not allow {', '.join(refused)} to this profile "
        f"(allowed: {allowed}): ask for it, or take it out of the manifest"
    )


def unallowed_rows(found: Capabilities | None, changes: Sequence[Change]) -> dict[Change, str]:
    """Return the changes that would derive what is not allowed, each with why."""
    rows = {}
    for change in changes if found is not None else ():
        scopes = change.after.scopes if change.derives and change.after is not None else ()
        sentence = unallowed(found, scopes) if found is not None else None
        if sentence is not None:
            rows[change] = sentence
    return rows


def refuse_unallowed(found: Capabilities | None, changes: Sequence[Change]) -> None:
    """Raise ReconcilerError where no change is allowed."""
    rows = unallowed_rows(found, changes)
    if rows and len(rows) == len(changes):
        raise ReconcilerError("; ".join(sorted(set(rows.values()))))
