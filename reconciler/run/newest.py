"""Whether a run's manifest may be applied, and the memory of those that were.

The memory is in the ledger (``reconciler.state.manifests``). It costs no write of its
own: it goes along with the writes that a run makes anyway.

    run                                    judged by the memory   remembered
    -------------------------------------  ---------------------  --------------------
    apply, rotate                          yes                    yes
    apply --allow-older-manifest           no                     yes
    apply --plan                           no, somebody approved  yes
                                           just this
    apply --only rotation, --only cleanup  no                     no
    adopt                                  no                     unless it is older:
                                                                  so an older checkout
                                                                  does not revoke what
                                                                  was adopted since
    rollback, bootstrap                    no                     no
    one that has nothing to do             no                     no
"""

from __future__ import annotations

import dataclasses

from reconciler.errors import ReconcilerError
from reconciler.plan import violations
from reconciler.protocol import Approved, NoteLedger, Step
from reconciler.run.session import Session
from reconciler.state import Observed, remember_state, state_of, superseded_at_ms


class OlderManifestError(ReconcilerError):
    """The manifest is an older one, and no other guard says no."""


def refuse_guarded(session: Session, observed: Observed, approved: Approved | None) -> None:
    """Raise ReconcilerError where a guard stops the plan.

    A saved plan was approved, so that it goes back was approved as well.
    """
    manifest, policy = session.manifest, session.policy
    back = dataclasses.replace(policy, allow_older_manifest=True)
    saved = approved is not None and approved.as_of_ms is not None
    sentences = violations(manifest, observed, back if saved else policy)
    if not sentences:
        return
    if not violations(manifest, observed, back):
        raise OlderManifestError("; ".join(sentences))
    raise ReconcilerError("; ".join(sentences))


def note_manifest(session: Session, observed: Observed) -> Step[None]:
    """Remember the manifest with the run's next write of the ledger."""
    if not session.policy.applies_manifest:
        return
    yield from _note(session, observed)


def note_adopted(session: Session, observed: Observed) -> Step[None]:
    """Remember the manifest that a token is adopted for, unless it is an older one."""
    if superseded_at_ms(observed.ledger, session.manifest) is None:
        yield from _note(session, observed)


def _note(session: Session, observed: Observed) -> Step[None]:
    applied = state_of(session.manifest, observed.now_ms)
    yield from NoteLedger(transition=lambda ledger: remember_state(ledger, applied))
