"""From a change of the plan to the protocol's step that makes it. Pure translation.

    action            step
    ----------------  ------------------------------------------------------------------
    recover           ``recover_intent``, ``finish_revoking`` or ``remove_placeholder``
    record            one write of the ledger, or ``fix_version``
    restore           ``restore``
    derive, rotate    ``derive_token``
    revoke            ``revoke_retiring`` or ``revoke_current``

Rule that this module keeps: the action and the observed values choose the step, the
reason never does.
"""

from __future__ import annotations

from reconciler.errors import ReconcilerError
from reconciler.model import DAY_MS, Manifest, TokenSpec
from reconciler.plan import Action, Change, Policy
from reconciler.protocol.derive import Task, derive_token
from reconciler.protocol.effects import Recorded, Step, WriteLedger
from reconciler.protocol.outcome import Outcome, Run, applied, held, unrecorded
from reconciler.protocol.recover import Recovery, fix_version, recover_intent, remove_placeholder
from reconciler.protocol.revoke import Evidence, finish_revoking, revoke_current, revoke_retiring
from reconciler.protocol.rewrite import Place, restore
from reconciler.state import Ledger, Observed, set_files, set_protect

DEFAULT_OVERLAP_MS = DAY_MS


def facts_of(run: str, manifest: Manifest, observed: Observed) -> Run:
    """Return what every step of the run with this id needs to know."""
    profile_id = observed.ledger.profile_id or manifest.profile_id
    return Run(run=run, api_url=observed.api_url, profile_id=profile_id)


def ends_at_once(change: Change, policy: Policy) -> bool:
    """Return whether applying the change may revoke the label's current token without an overlap."""
    compromised = policy.compromised and change.label in policy.requested
    return (
        change.action is Action.REVOKE
        or compromised
        or (change.after is not None and change.after.overlap_ms == 0)
    )


def step_of(  # noqa: PLR0913  # until a change carries its own task
    change: Change,
    observed: Observed,
    *,
    manifest: Manifest,
    policy: Policy,
    run: Run,
    leaving: frozenset[str] = frozenset(),
) -> Step[Outcome]:
    """Return the step that makes a change, with everything that was observed for it.

    ``leaving`` are the labels whose current tokens this run may end itself.
    """
    if change.action is Action.RECOVER:
        return _recover_step(change, observed, manifest)
    if change.action is Action.RECORD:
        return _record_step(change, observed, manifest)
    if change.action is Action.RESTORE:
        return _restore_step(change, observed, run)
    if change.action is Action.REVOKE:
        return _revoke_step(change, observed)
    return derive_token(run, _derive_task(change, observed, manifest, policy, leaving))


def _spec(manifest: Manifest, label: str) -> TokenSpec | None:
    return next((spec for spec in manifest.tokens if spec.label == label), None)


def _recover_step(change: Change, observed: Observed, manifest: Manifest) -> Step[Outcome]:
    spec, entry = _spec(manifest, change.label), observed.ledger.tokens.get(change.label)
    token_id = change.before.token_id if change.before is not None else None
    revoking = (
        next((r for r in entry.revoking if r.token_id == token_id), None)
        if entry is not None
        else None
    )
    if entry is not None and revoking is not None:
        return finish_revoking(change.label, entry.path, revoking)
    if entry is None or entry.intent is None:
        return (
            remove_placeholder(change.before.path)
            if change.before is not None
            else _held("there is nothing to recover")
        )
    task = Recovery(
        label=change.label,
        overlap_ms=spec.overlap_ms if spec is not None else DEFAULT_OVERLAP_MS,
        is_manager=change.label == manifest.manager,
    )
    return recover_intent(task, observed.ledger)


def _record_step(change: Change, observed: Observed, manifest: Manifest) -> Step[Outcome]:
    if not change.label:
        return _record_only(
            WriteLedger(transition=set_files(manifest.files)),
            "the manifest's files are remembered",
        )
    if change.after is not None and change.after.protect is not None:
        step = set_protect(change.label, protect=change.after.protect)
        return _record_only(
            WriteLedger(transition=step),
            "protected" if change.after.protect else "no longer protected",
        )
    entry = observed.ledger.tokens[change.label]
    if entry.current is None:
        return _held("it has no current token any more")
    return fix_version(change.label, entry.path, entry.current, observed.meta(entry.path).latest)


def _record_only(effect: WriteLedger, sentence: str) -> Step[Outcome]:
    reply = yield from effect
    return applied(sentence) if isinstance(reply, Recorded) else unrecorded(reply)


def _held(sentence: str) -> Step[Outcome]:
    yield from ()
    return held(sentence)


def _restore_step(change: Change, observed: Observed, run: Run) -> Step[Outcome]:
    entry = observed.ledger.tokens[change.label]
    content = observed.contents.get(entry.path)
    live = observed.live_by_id().get(entry.current.token_id) if entry.current is not None else None
    if entry.current is None or live is None or content is None or content.holder_version is None:
        return _held("it changed since the plan: run again")
    place = Place(
        label=change.label,
        path=entry.path,
        source=content.holder_version,
        cas=observed.meta(entry.path).latest,
    )
    return restore(run, place, entry.current, live)


def _revoke_step(change: Change, observed: Observed) -> Step[Outcome]:
    entry = observed.ledger.tokens[change.label]
    token_id = change.before.token_id if change.before is not None else None
    evidence = Evidence(live=observed.live_by_id().get(token_id or ""), at_ms=observed.now_ms)
    retiring = next((r for r in entry.retiring if r.token_id == token_id), None)
    if retiring is not None:
        return revoke_retiring(change.label, entry, retiring, evidence, reason="superseded")
    return revoke_current(change.label, entry, evidence, reason="not desired")


def _derive_task(
    change: Change,
    observed: Observed,
    manifest: Manifest,
    policy: Policy,
    leaving: frozenset[str],
) -> Task:
    """Everything that the protocol needs to derive a label's token."""
    spec = _spec(manifest, change.label)
    if spec is None or change.after is None or change.after.version is None:
        raise ReconcilerError(f"{change.label} is not in the manifest")
    entry = observed.ledger.tokens.get(change.label)
    current = entry.current if entry is not None else None
    live = observed.live_by_id()
    return Task(
        spec=spec,
        cas=change.after.version,
        before=tuple(
            sorted(token.token_id for token in observed.live if token.label == change.label)
        ),
        standing=_standing(observed.ledger, manifest, frozenset(live), leaving - {change.label}),
        listed=frozenset(live),
        predecessor=current,
        predecessor_path=entry.path if entry is not None else None,
        compromised=policy.compromised and change.label in policy.requested,
        believed_gone=current is not None and current.token_id not in live,
        is_manager=change.label == manifest.manager,
    )


def _standing(
    ledger: Ledger, manifest: Manifest, live: frozenset[str], leaving: frozenset[str]
) -> frozenset[str]:
    """Tokens that nobody means to revoke in this run: a derive that ends one of them is a surprise."""
    desired = {spec.label for spec in manifest.tokens} - leaving
    return frozenset(
        entry.current.token_id
        for label, entry in ledger.tokens.items()
        if label in desired and entry.current is not None and entry.current.token_id in live
    )
