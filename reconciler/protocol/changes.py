"""From a change of the plan to the protocol's step that makes it. Pure translation.

Rules that this module keeps:

1. The kind of a change's task chooses the step; neither its reason nor its label does.
2. A task is complete: nothing is looked up again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from reconciler.model import Manifest
from reconciler.plan import (
    Action,
    Change,
    FinishRevoking,
    NewToken,
    Promote,
    RecordFiles,
    RecordInPlace,
    RecordProtection,
    RecordReturned,
    RecordVersion,
    RecoverIntent,
    RemoveLeftover,
    RemovePlaceholder,
    RenameLabel,
    RestoreSecret,
    RetireCurrent,
    RevokeAgain,
    RevokeCurrent,
    RevokeReserve,
    RevokeRetiring,
    RewriteSecret,
)
from reconciler.protocol.derive import derive_token
from reconciler.protocol.effects import ConfirmedNow, Recorded, Step, WriteLedger
from reconciler.protocol.found import Recovery
from reconciler.protocol.outcome import Outcome, Run, applied, not_tried, unrecorded
from reconciler.protocol.promote import promote, remove_leftover
from reconciler.protocol.recover import recover_intent
from reconciler.protocol.repair import fix_version, remove_placeholder
from reconciler.protocol.reserve import record_placed, revoke_reserve
from reconciler.protocol.revoke import (
    finish_revoking,
    revoke_again,
    revoke_current,
    revoke_retiring,
)
from reconciler.protocol.rewrite import Place, restore
from reconciler.state import (
    IntentKind,
    Observed,
    Transition,
    note_left,
    note_returned,
    rename_entry,
    set_files,
    set_protect,
)


def facts_of(run: str, manifest: Manifest, observed: Observed) -> Run:
    """Return what every step of the run with this id needs to know."""
    profile_id = observed.ledger.profile_id or manifest.profile_id
    return Run(run=run, api_url=observed.api_url, profile_id=profile_id)


def ends_at_once(change: Change) -> bool:
    """Return whether the change may end a current token without an overlap."""
    task = change.task
    if isinstance(task, NewToken) and task.stocks:
        return False
    if isinstance(task, (NewToken, Promote)):
        return task.compromised or task.spec.overlap_ms == 0
    return change.action is Action.REVOKE


def standing_of(
    manifest: Manifest, observed: Observed, leaving: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the ids of listed tokens that no change of this run means to revoke.

    ``leaving`` are the labels whose current tokens the run may revoke. A derive after
    which one of the others is no longer listed is a surprise.
    """
    tokens, listed = observed.ledger.tokens, observed.live_by_id()
    entries = (tokens.get(spec.label) for spec in manifest.tokens if spec.label not in leaving)
    currents = (entry.current for entry in entries if entry is not None)
    return frozenset(c.token_id for c in currents if c is not None and c.token_id in listed)


def step_of(  # noqa: C901, PLR0912  # one match, with a case for each kind of task
    change: Change, run: Run, standing: frozenset[str] = frozenset()
) -> Step[Outcome]:
    """Return the step that makes a change; ``standing`` is that of ``standing_of``.

    ValueError for a row without a task: one that does not act, or that was read from a
    document.
    """
    label, task = change.label, change.task
    match task:
        case NewToken():
            return derive_token(run, replace(task, standing=standing | task.listed_predecessor))
        case Promote():
            return promote(run, task)
        case RestoreSecret():
            return restore(run, _place(label, task, task.source), task.entry, task.live)
        case RewriteSecret():
            place = _place(label, task, task.seen.number)
            return restore(run, place, task.entry, task.live, IntentKind.REWRITE)
        case RevokeCurrent(entry=entry, evidence=evidence):
            return revoke_current(label, entry, evidence, reason="not desired")
        case RevokeRetiring(entry=entry, retiring=retiring, evidence=evidence, outcome=outcome):
            return revoke_retiring(label, entry, retiring, evidence, reason=outcome)
        case RevokeReserve():
            return revoke_reserve(label, task)
        case RecordInPlace():
            return record_placed(run, label, task)
        case RenameLabel(was=was):
            return _record(rename_entry(label, was), f"renamed, was {was}")
        case RecordFiles(files=files):
            return _record(set_files(files), "the manifest's files are remembered")
        case RecordProtection(protect=protect):
            sentence = "protected" if protect else "no longer protected"
            return _record(set_protect(label, protect=protect), sentence)
        case RecordVersion():
            return fix_version(label, task)
        case RecordReturned():
            return _record(note_returned(label), "it stays")
        case RetireCurrent():
            return _retire(label)
        case RecoverIntent():
            return recover_intent(_recovery(label, task), task.ledger)
        case FinishRevoking(path=path, revoking=revoking, listed=listed):
            return finish_revoking(label, path, revoking, listed=listed)
        case RevokeAgain(token_id=token_id, live_label=live_label):
            return revoke_again(label, token_id, live_label)
        case RemovePlaceholder(path=path):
            return remove_placeholder(path)
        case RemoveLeftover(entry=entry, path=path, token_id=token_id):
            return remove_leftover(entry, path, token_id)
        case None:
            raise ValueError(f"{change.action.value} {label}: this row has no task")
        case _:
            assert_never(task)


def _recovery(label: str, task: RecoverIntent) -> Recovery:
    return Recovery(
        label=label,
        overlap_ms=task.overlap_ms,
        is_manager=task.is_manager,
        uses_proven=task.uses_proven,
        doubt_ms=task.doubt_ms,
    )


def _place(label: str, task: RestoreSecret | RewriteSecret, source: int) -> Place:
    return Place(label=label, path=task.path, source=source, seen=task.seen, further=task.further)


def _retire(label: str) -> Step[Outcome]:
    at_ms = yield from ConfirmedNow()
    if not isinstance(at_ms, int):
        return not_tried(at_ms.sentence)
    return (yield from _record(note_left(label, at_ms=at_ms), "its overlap begins"))


def _record(transition: Transition, sentence: str) -> Step[Outcome]:
    reply = yield from WriteLedger(transition=transition)
    return applied(sentence) if isinstance(reply, Recorded) else unrecorded(reply)
