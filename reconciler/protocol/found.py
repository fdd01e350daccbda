"""What an earlier run committed: believed once it signs, then recorded.

    the committed intent was for  what is recorded
    ----------------------------  -----------------------------------------------------
    a derive, a rotation, a       the token is current; where it does not sign, it is
    promotion, or a rewrite       recorded as such, and the next plan replaces it
    a stocking                    the token is in the reserve, and not fresh; where it
                                  does not sign, it retires, and its document stays
                                  until it goes

``recover`` says when.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import USE_MARGIN_MS, LiveToken, SecretVersion, instant_ms
from reconciler.protocol.commit import TakenAway
from reconciler.protocol.effects import (
    Now,
    Recorded,
    Step,
    UseSigner,
    WriteLedger,
    time_of_record,
)
from reconciler.protocol.outcome import Ending, Outcome, applied, unrecorded, with_revocations
from reconciler.protocol.prove import Gone, Proof, Works, prove_new, prove_stored
from reconciler.protocol.revoke import finish_superseded
from reconciler.protocol.undo import retire_unsigned
from reconciler.state import (
    TOKEN_ID,
    Current,
    Entry,
    Intent,
    IntentKind,
    Ledger,
    Reserve,
    Retirement,
    credentials_of,
    may_be_of,
    record_found,
    record_promoted,
    record_stocked,
    reserve_of,
)
from reconciler.values import value


@value
class Recovery:
    """The label to recover.

    ``overlap_ms`` is its predecessor's, should the commit turn out to be there.
    ``uses_proven``: the exchange shows uses promptly, so one that is not shown was not.
    A use may be shown late by ``doubt_ms``; None while that is not proven.
    """

    label: str
    overlap_ms: int
    is_manager: bool = False
    has_signer: bool = True
    uses_proven: bool = False
    doubt_ms: int | None = None


@value
class Found:
    """What a committed intent wrote: its version, and the token if the list has it.

    ``unsigned``: what is stored did not sign, be the token in the list or not
    (``gone``).
    """

    content: SecretVersion
    token_id: str
    live: LiveToken | None = None
    unsigned: bool = False
    gone: bool = False


def found_commit(
    task: Recovery, intent: Intent, content: SecretVersion, ledger: Ledger
) -> Step[Found | TakenAway | Outcome]:
    """Return what was committed; whoever can write the path can forge an operation id.

    So it is believed only if it is the token that the intent names, or can only be the
    intent's, and it signs once. What is forged tells nothing about the intent's own.
    """
    credentials = credentials_of(content)
    token_id = content.field(TOKEN_ID)
    if token_id is None or intent.token_id not in {None, token_id}:
        return TakenAway()
    found = Found(content=content, token_id=token_id)
    if credentials is None:
        lost = dataclasses.replace(found, unsigned=True)
        return lost if intent.token_id is not None else TakenAway()
    if intent.kind.derives:
        proof = yield from prove_new(credentials, has_signer=task.has_signer)
    else:
        proof = yield from prove_stored(task.label, credentials)
    if isinstance(proof, Outcome):
        return dataclasses.replace(proof, status=Ending.FAILED)
    if intent.token_id is None and not _is_only_one(task.label, intent, ledger, proof):
        return TakenAway()
    if isinstance(proof, Works):
        return dataclasses.replace(found, live=proof.live)
    return dataclasses.replace(found, unsigned=True, gone=isinstance(proof, Gone))


def _is_only_one(label: str, intent: Intent, ledger: Ledger, proof: Proof) -> bool:
    """Whether what signed can only be the token of an intent that names none."""
    if not isinstance(proof, Works):
        return False
    fitting = [token for token in proof.listed if may_be_of(label, intent, ledger, token)]
    return fitting == [proof.live]


def record_commit(task: Recovery, intent: Intent, found: Found, ledger: Ledger) -> Step[Outcome]:
    """Do step 6 for what was committed; what does not sign is recorded as such."""
    label, token_id, content, live = task.label, found.token_id, found.content, found.live
    entry = ledger.tokens[label]
    if intent.kind is IntentKind.STOCK:
        return (yield from _record_found_stock(task, intent, found))
    now_ms = yield from time_of_record()
    current = Current(
        token_id=token_id,
        live_label=_live_label(label, token_id, entry, live),
        created_at_ms=live.created_at_ms if live is not None else _created_ms(content, intent),
        version=content.version,
        version_created_at_ms=content.created_at_ms,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        unsigned=found.unsigned,
    )
    reason = "rolled back" if intent.kind is IntentKind.ROLLBACK else "rotated"
    retirement = Retirement(
        at_ms=now_ms,
        overlap_ms=task.overlap_ms,
        reason="compromised" if intent.compromised else reason,
        revoke_now=intent.compromised,
        revoke_all=intent.compromised,
    )
    record = record_found(label, intent.operation_id, current, retirement)
    if intent.kind is IntentKind.PROMOTE or reserve_of(entry, token_id) is not None:
        record = record_promoted(label, intent, current, retirement, later=True)
    reply = yield from WriteLedger(transition=record)
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    credentials = credentials_of(content)
    if task.is_manager and credentials is not None and live is not None:
        yield from UseSigner(credentials=credentials)
    ended = yield from finish_superseded(label, reply.ledger.tokens[label], retirement.reason)
    done = applied(
        f"finished: the interrupted {intent.kind.value} was written and is recorded now", token_id
    )
    return with_revocations(done, ended)


def _record_found_stock(task: Recovery, intent: Intent, found: Found) -> Step[Outcome]:
    """Record what was stocked; it is not fresh, as another run has made it."""
    if found.unsigned or found.live is None:
        return (
            yield from retire_unsigned(
                task.label,
                intent,
                found.token_id,
                overlap_ms=task.overlap_ms,
                listed=not found.gone,
            )
        )
    now_ms = yield from Now()
    row = Reserve(
        token_id=found.token_id,
        live_label=found.live.label or task.label,
        operation_id=intent.operation_id,
        created_at_ms=found.live.created_at_ms,
        scopes=intent.scopes,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        version_created_at_ms=found.content.created_at_ms,
    )
    reply = yield from WriteLedger(transition=record_stocked(task.label, intent.operation_id, row))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, row.token_id)
    return applied("finished: the interrupted stock was written and is recorded now", row.token_id)


def _live_label(label: str, token_id: str, entry: Entry, live: LiveToken | None) -> str:
    if live is not None and live.label is not None:
        return live.label
    if entry.current is not None and entry.current.token_id == token_id:
        return entry.current.live_label
    return next((r.live_label for r in entry.retiring if r.token_id == token_id), label)


def _created_ms(content: SecretVersion, intent: Intent) -> int:
    try:
        return instant_ms(content.field("created_at") or "")
    except ValueError:
        return intent.since_ms
