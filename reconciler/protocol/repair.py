"""Small repairs: a version that moved, and a placeholder that was left."""

from __future__ import annotations

from reconciler.plan import RecordVersion
from reconciler.protocol.commit import delete_placeholder
from reconciler.protocol.effects import ReadSecret, Recorded, Refused, Step, Unclear, WriteLedger
from reconciler.protocol.outcome import Outcome, applied, failed, not_tried, unrecorded
from reconciler.protocol.prove import Proof, Works, Wrong, prove_stored, record_unsigned
from reconciler.state import (
    TOKEN_ID,
    Moved,
    carried,
    credentials_of,
    is_placeholder,
    named_others,
    others_of,
    set_version,
)


def remove_placeholder(path: str) -> Step[Outcome]:
    """Delete, by its number, an empty document that is a path's latest version."""
    latest = yield from ReadSecret(path=path)
    if isinstance(latest, (Refused, Unclear)):
        return failed(latest.sentence)
    if not is_placeholder(latest):
        return not_tried(f"{path} changed since the plan: run again")
    left = yield from delete_placeholder(path, latest.version)
    return applied("deleted an empty placeholder") if left is None else failed(left.sentence)


def fix_version(label: str, task: RecordVersion) -> Step[Outcome]:
    """Record the version that holds the current token, once it signed.

    It is the version that was looked at: another one may have another secret beside the
    same id. One that does not sign is recorded as such, so that the token is replaced.
    """
    latest = yield from ReadSecret(path=task.path)
    if isinstance(latest, (Refused, Unclear)):
        return failed(latest.sentence)
    current, found = task.entry.current, latest.field(TOKEN_ID)
    if current is None or found != current.token_id or not latest.version_id.is_same(task.version):
        return not_tried(f"{task.path} changed since the plan: run again")
    moved = Moved(
        version=latest.version_id,
        fields=carried(latest, task.entry.fields),
        others=named_others(others_of(latest, task.entry)),
    )
    credentials = credentials_of(latest)
    proof: Proof | Outcome = Wrong()
    if credentials is not None:
        proof = yield from prove_stored(label, credentials)
    if isinstance(proof, Outcome):
        return proof
    if not isinstance(proof, Works):
        return (yield from record_unsigned(label, found, proof, moved))
    reply = yield from WriteLedger(transition=set_version(label, moved))
    return applied("ledger put right") if isinstance(reply, Recorded) else unrecorded(reply)
