"""Bootstrap: the manager's token, derived before anybody can list. It may be repeated.

    ledger  the manager's secret          then
    ------  ----------------------------  ----------------------------------------------
    none    secrets below the prefix      stop: a ledger is lost
    none    -                             write the ledger, derive
    there   signs, or another version of  nothing to do, and not one write
            it does
    there   refused, the clock is right   derive anew; the old id is closed, or retires
                                          if the list still has it
    there   gone                          the same
    there   an open intent                settle and fence it; without a named token it
                                          is abandoned, because nobody can list

Rule this module keeps: a derive without a signer is the same protocol as any other;
what it can't look up it leaves to the next run, recorded. A token that was derived
without a list before it is never inferred: it is named "probably ours".
"""

from __future__ import annotations

import dataclasses

from reconciler.errors import PersonNeededError, ReconcilerError
from reconciler.model import Credentials, TokenSpec, VersionState
from reconciler.plan import NewToken, owned_paths
from reconciler.protocol import (
    NewId,
    Outcome,
    ReadDesk,
    Recovery,
    Step,
    UseSigner,
    applied,
    derive_token,
    finish_all_revoking,
    recover_intent,
)
from reconciler.run.effects import CheckIdentity, ReadSigner, Stage, Then
from reconciler.run.identity import unallowed
from reconciler.run.lease import holding_lease, record, refuse_undone
from reconciler.run.listing import list_signed_by, refuse_wrong_exchange
from reconciler.run.observe import manager_entry, manager_signer, refuse_lost_ledger
from reconciler.run.reads import read_ledger, read_meta, read_mount_life, read_secret
from reconciler.run.session import Session
from reconciler.run.stand_in import by_another_version
from reconciler.state import (
    LEDGER_NAME,
    Entry,
    Ledger,
    doubt_of,
    is_placeholder,
    ledger_end,
    set_profile,
)


def bootstrap_manager(session: Session) -> Stage[Outcome]:
    """Make sure that there is a ledger and a manager token that signs.

    Raises PersonNeededError (no identity, the path is occupied), LeaseHeldError,
    PartialError after a write, and ReconcilerError before one.
    """
    manifest, spec = session.manifest, _manager_spec(session)
    found, version = yield from read_ledger()
    if found is None:
        yield from refuse_lost_ledger(manifest, version)
        ledger_id = yield from NewId()
        ledger = Ledger(ledger_id=ledger_id, api_url=session.api_url, files=manifest.files)
    else:
        ledger = found
    refuse_wrong_exchange(ledger, session.api_url)
    yield from _refuse_ending(session)
    signer = yield from manager_signer(manifest, ledger)
    if signer is not None and (yield from _signing(session, ledger, signer)) is not None:
        return applied("the manager's token signs: nothing to do", signer.token_id)
    reply = yield from CheckIdentity(derives=1, profile_id=ledger.profile_id)
    if isinstance(reply, ReconcilerError):
        raise reply
    refused = unallowed(reply, spec.scopes)
    if refused is not None:
        raise ReconcilerError(refused)
    yield from refuse_occupied(session, ledger, spec)
    begin = session, ledger, version, _recover
    return Then(stage=holding_lease, arguments=(*begin, session, reply.profile_id))


def _refuse_ending(session: Session) -> Step[None]:
    """Raise ReconcilerError if the ledger does not last, or would not."""
    meta = yield from read_meta(LEDGER_NAME)
    life_ms = yield from read_mount_life()
    if meta.life_ms is None:
        meta = dataclasses.replace(meta, life_ms=life_ms)
    ends = ledger_end(session.manifest.place, meta)
    if ends is not None:
        raise ReconcilerError(ends)


def _recover(session: Session, profile_id: int) -> Stage[Outcome]:
    """Finish or undo what an earlier bootstrap began."""
    spec = _manager_spec(session)
    yield from record(set_profile(profile_id))
    ledger = (yield from ReadDesk()).ledger
    entry = ledger.tokens.get(spec.label)
    begun = entry.intent if entry is not None else None
    if begun is not None:
        task = Recovery(
            label=spec.label,
            overlap_ms=spec.overlap_ms,
            is_manager=True,
            has_signer=(yield from ReadSigner()).credentials is not None,
            doubt_ms=doubt_of(ledger.uses),
        )
        recovered = yield from recover_intent(task, ledger)
        after = (yield from ReadDesk()).ledger.tokens.get(spec.label)
        if after is not None and after.intent is not None:
            yield from refuse_undone(recovered)
    return Then(stage=_derive, arguments=(session, spec, profile_id))


def _derive(session: Session, spec: TokenSpec, profile_id: int) -> Stage[Outcome]:
    ledger = (yield from ReadDesk()).ledger
    found = yield from manager_signer(session.manifest, ledger)
    if found is not None:
        found = yield from _signing(session, ledger, found)
    if found is not None:
        if (yield from ReadSigner()).credentials is None:
            yield from UseSigner(credentials=found)
        outcome = applied("the interrupted bootstrap is finished", found.token_id)
    else:
        yield from refuse_occupied(session, ledger, spec)
        task = yield from _task(spec, ledger)
        outcome = yield from derive_token(session.facts(profile_id), task)
        yield from refuse_undone(outcome)
    return Then(stage=_classify, arguments=(spec.label, outcome))


def _classify(label: str, outcome: Outcome) -> Stage[Outcome]:
    """Now that somebody can sign: revoke what is recorded."""
    left = (yield from ReadDesk()).ledger.tokens.get(label)
    if left is not None and left.revoking:
        ended = yield from finish_all_revoking(label, left)
        yield from refuse_undone(ended)
    return outcome


def _manager_spec(session: Session) -> TokenSpec:
    manager = session.manifest.manager
    for spec in session.manifest.tokens:
        if spec.label == manager:
            return spec
    raise ReconcilerError(f"the manager {manager} is not among the manifest's tokens")


def _signing(session: Session, ledger: Ledger, signer: Credentials) -> Step[Credentials | None]:
    """Return the pair that the exchange takes; ExchangeError if nobody can know.

    It is the given one, or what another version holds beside the same id.
    """
    listing = yield from list_signed_by(signer)
    if listing is not None:
        return signer if listing.find(signer.token_id) is not None else None
    entry = manager_entry(session.manifest, ledger)
    other = (yield from by_another_version(signer, entry)) if entry is not None else None
    return other[0] if other is not None else None


def refuse_occupied(session: Session, ledger: Ledger, spec: TokenSpec) -> Step[None]:
    """Raise PersonNeededError if the manager's path is no place for its secret.

    It is another label's, it holds what is not ours, or what is written there ends.
    """
    entry, where = ledger.tokens.get(spec.label), f"{session.manifest.place}/{spec.path}"
    owners = {label for path, label in owned_paths(ledger.tokens) if path == spec.path}
    owners -= {spec.label}
    if owners:
        raise PersonNeededError(f"{where} belongs to {min(owners)}: give the manager another path")
    meta = yield from read_meta(spec.path)
    if meta.life_ms is not None:
        raise PersonNeededError(
            f"what is written at {where} ends by itself ({meta.life_text()}): set its "
            "delete_version_after to 0s, or give the manager another path"
        )
    if entry is not None and entry.path == spec.path and not entry.idle:
        return
    if entry is not None and entry.intent is not None and entry.intent.path == spec.path:
        return  # what lies there may be that write's own: recovery finds out
    content = yield from read_secret(spec.path)
    if content.state is VersionState.LIVING and not is_placeholder(content):
        raise PersonNeededError(
            f"{where} holds a secret that is not ours: move it, or give the manager another path"
        )


def _task(spec: TokenSpec, ledger: Ledger) -> Step[NewToken]:
    entry: Entry = ledger.tokens.get(spec.label) or Entry(path=spec.path)
    meta = yield from read_meta(spec.path)
    return NewToken(
        spec=spec,
        seen=meta.version_id,
        can_list=(yield from ReadSigner()).credentials is not None,
        entry=entry,
        believed_gone=entry.current is not None,
        is_manager=True,
    )
