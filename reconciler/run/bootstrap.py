"""Bootstrap: the manager's token, derived before anybody can list. It may be repeated.

    ledger   the manager's secret          then
    -------  ----------------------------  -------------------------------------------------------------------------------
    none     secrets below the prefix      stop: a ledger is lost
    none     -                             write the ledger, derive
    there    signs                         nothing to do, and not one write
    there    refused, the clock is right   derive anew; the old id is closed, or retires if the list still has it
    there    gone                          the same
    there    an open intent                settle and fence it; without a named token it is abandoned, because nobody can list

Rule: a derive without a signer is the same protocol as any other; what it can't look up
it leaves to the next run, recorded.
"""

from __future__ import annotations

import secrets as randomness

from reconciler.errors import ExchangeUnauthorizedError, PersonNeededError, ReconcilerError
from reconciler.model import Credentials, TokenSpec, VersionState
from reconciler.plan import owned_paths
from reconciler.protocol import (
    LedgerWriter,
    Listing,
    ListTokens,
    Outcome,
    Recorded,
    Recovery,
    Run,
    Step,
    Task,
    WriteLedger,
    applied,
    derive_token,
    failed,
    finish_all_revoking,
    recover_intent,
    unrecorded,
)
from reconciler.run.apply import Session, holding_lease, refuse_undone
from reconciler.run.observe import manager_signer, refuse_lost_ledger
from reconciler.state import (
    Entry,
    Intent,
    Ledger,
    interrupted,
    is_placeholder,
    revoke_interrupted,
    set_profile,
)


def bootstrap_manager(session: Session) -> Outcome:
    """Make sure that there is a ledger and a manager token that signs.

    Raises PersonNeededError (no identity, the path is occupied), LeaseHeldError,
    PartialError after a write, and ReconcilerError before one.
    """
    driver, manifest = session.driver, session.manifest
    spec = _manager_spec(session)
    ledger, version = driver.read_ledger()
    if ledger is None:
        refuse_lost_ledger(driver, manifest, version)
    elif ledger.api_url != driver.exchange.base_url:
        raise ReconcilerError(
            f"the ledger belongs to {ledger.api_url}, not to {driver.exchange.base_url}"
        )
    signer = manager_signer(driver, manifest, ledger) if ledger is not None else None
    if signer is not None and _signs(session, signer):
        return applied("the manager's token signs: nothing to do", signer.token_id)
    known = ledger.profile_id if ledger is not None else None
    profile_id = session.check_identity(1, frozenset(spec.scopes), known)
    fresh = Ledger(
        ledger_id=randomness.token_hex(16), api_url=driver.exchange.base_url, files=manifest.files
    )
    refuse_occupied(session, ledger or fresh, spec)
    with holding_lease(session, ledger or fresh, version) as writer:
        refuse_undone(driver.run(_record_profile(profile_id)), writer)
        return _bootstrap(session, spec, writer, profile_id)


def _bootstrap(session: Session, spec: TokenSpec, writer: LedgerWriter, profile_id: int) -> Outcome:
    """The part under the lease: finish or undo what was begun, derive, classify what was left."""
    driver = session.driver
    entry = writer.ledger.tokens.get(spec.label)
    begun = entry.intent if entry is not None else None
    if begun is not None:
        task = Recovery(
            label=spec.label,
            overlap_ms=spec.overlap_ms,
            is_manager=True,
            has_signer=driver.signer is not None,
        )
        recovered = driver.run(recover_intent(task, writer.ledger))
        after = writer.ledger.tokens.get(spec.label)
        if after is not None and after.intent is not None:
            refuse_undone(recovered, writer)
    found = manager_signer(driver, session.manifest, writer.ledger)
    if found is not None and _signs(session, found):
        driver.signer = driver.signer or found
        outcome = applied("the interrupted bootstrap is finished", found.token_id)
    else:
        refuse_occupied(session, writer.ledger, spec)
        outcome = driver.run(
            derive_token(_run(session, profile_id), _task(session, spec, writer.ledger))
        )
        refuse_undone(outcome, writer)
    if begun is not None and begun.token_id is None:
        refuse_undone(driver.run(_classify(spec.label, begun, writer)), writer)
    left = writer.ledger.tokens.get(spec.label)
    if left is not None and left.revoking:
        refuse_undone(driver.run(finish_all_revoking(spec.label, left)), writer)
    return outcome


def _manager_spec(session: Session) -> TokenSpec:
    for spec in session.manifest.tokens:
        if spec.label == session.manifest.manager:
            return spec
    raise ReconcilerError(
        f"the manager {session.manifest.manager} is not among the manifest's tokens"
    )


def _signs(session: Session, signer: Credentials) -> bool:
    """Whether the exchange takes the pair.

    Raises ExchangeError where that can't be known.
    """
    try:
        listed = session.driver.exchange.signed_by(signer).list_tokens()
    except ExchangeUnauthorizedError:
        return False
    return any(token.token_id == signer.token_id for token in listed)


def refuse_occupied(session: Session, ledger: Ledger, spec: TokenSpec) -> None:
    """PersonNeededError where the manager's path belongs to another label, or holds a secret that is not the manager's."""
    driver, entry = session.driver, ledger.tokens.get(spec.label)
    where = f"{session.manifest.mount}/{driver.path(spec.path)}"
    owners = {label for path, label in owned_paths(ledger.tokens) if path == spec.path} - {
        spec.label
    }
    if owners:
        raise PersonNeededError(f"{where} belongs to {min(owners)}: give the manager another path")
    if entry is not None and entry.path == spec.path and not entry.idle:
        return
    content = driver.store.read(driver.path(spec.path))
    if content.state is VersionState.LIVING and not is_placeholder(content):
        raise PersonNeededError(
            f"{where} holds a secret that is not ours: move it, or give the manager another path"
        )


def _record_profile(profile_id: int) -> Step[Outcome]:
    reply = yield from WriteLedger(transition=set_profile(profile_id))
    return applied("") if isinstance(reply, Recorded) else unrecorded(reply)


def _classify(label: str, begun: Intent, writer: LedgerWriter) -> Step[Outcome]:
    """Now that somebody can list: the token that an interrupted bootstrap left, if there can be only one, is revoked."""
    listing = yield from ListTokens()
    if not isinstance(listing, Listing):
        return failed(listing.sentence)
    found = interrupted(label, begun, writer.ledger, listing.tokens)
    if found is None or found in writer.ledger.known_ids():
        return applied("")
    reply = yield from WriteLedger(transition=revoke_interrupted(label, found))
    return applied("") if isinstance(reply, Recorded) else unrecorded(reply)


def _run(session: Session, profile_id: int) -> Run:
    return Run(run=session.run, api_url=session.driver.exchange.base_url, profile_id=profile_id)


def _task(session: Session, spec: TokenSpec, ledger: Ledger) -> Task:
    driver = session.driver
    entry: Entry = ledger.tokens.get(spec.label) or Entry(path=spec.path)
    return Task(
        spec=spec,
        cas=driver.store.read_meta(driver.path(spec.path)).latest,
        before=(),
        standing=frozenset(),
        predecessor=entry.current,
        predecessor_path=entry.path,
        believed_gone=entry.current is not None,
        is_manager=True,
    )
