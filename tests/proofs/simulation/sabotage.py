"""Broken variants of the protocol, each with a fault that a careless change would
bring.

The search must find every one.

Each replaces a function of the program where it is used, or changes what leaves a run
on its way to the world.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

from reconciler.model import (
    Credentials,
    Derived,
    LiveToken,
    Manifest,
    Secret,
    SecretVersion,
    StoredPair,
    ToAdopt,
    VersionId,
    VersionState,
)
from reconciler.plan import further, leaving, places, planner, predecessors, reasons, sides
from reconciler.plan.change import Change
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Finding, Owner, Wanted
from reconciler.plan.guards import Policy
from reconciler.plan.predecessors import RETIRING, RetiringFacts, overlap
from reconciler.plan.tasks import Evidence, NewToken, Promote, RevokeReserve
from reconciler.plan.vocabulary import Action, Reason
from reconciler.protocol import (
    changes,
    commit,
    derive,
    emptying,
    ended,
    found,
    own_use,
    promote,
    recover,
    revoke,
    rewrite,
    send,
    spare,
    undo,
    unpromoted,
)
from reconciler.protocol.commit import Committed, NotCommitted, TakenAway, Verdict
from reconciler.protocol.effects import (
    DeleteVersion,
    Derive,
    Effect,
    Listing,
    ListTokens,
    Mismatch,
    Now,
    PutLedger,
    PutSecret,
    ReadSecret,
    Recorded,
    Refused,
    Revoke,
    Step,
    Unclear,
    Undelete,
    WriteLedger,
)
from reconciler.protocol.outcome import Outcome, applied, failed, unrecorded
from reconciler.run import (
    adopt_many,
    closing,
    move,
    newest,
    observe,
    release,
    restock,
    second_look,
    verify,
)
from reconciler.run import apply as apply_module
from reconciler.run import session as session_module
from reconciler.state import (
    Cap,
    Observed,
    credentials_of,
    lost,
    moving,
    note_asked,
    own_fields,
    rename_entry,
    stocking,
)
from reconciler.state import transitions as transitions_module
from reconciler.state.entries import Transition
from reconciler.state.facts import Moved, set_version, unchanged
from reconciler.state.farewells import Retirement
from reconciler.state.kept import Reserve
from reconciler.state.ledger import (
    Current,
    Entry,
    Intent,
    Ledger,
    Retiring,
    Uses,
)
from reconciler.state.parted import is_absolute
from reconciler.state.releasing import release_labels
from reconciler.state.secret import OPERATION_ID, Fields
from reconciler.state.transitions import open_intent, record_current, start_revoking
from tests.proofs.simulation import world as world_module
from tests.proofs.simulation.explore import Found, Scenario, explore
from tests.proofs.simulation.models import PLACE
from tests.proofs.simulation.runs import Run
from tests.proofs.simulation.scenarios import Act, Budget, small_world
from tests.proofs.simulation.world import World

QUIET = Budget()
FAULT = Budget(faults=1)
MISLED = Budget(faults=2)
"""Twice, because a run looks twice before it acts."""

OVERTAKEN = Budget(ticks=1, runs=2, coarse=True)

OVERTAKEN_LATE = dataclasses.replace(OVERTAKEN, faults=1)

Patch = Callable[[], contextlib.AbstractContextManager[object]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A broken variant, and the least world in which it shows: its name in
    ``scenarios``, and what may go wrong there.
    """

    name: str
    patch: Patch
    world: str
    budget: Budget = QUIET
    act: Act | None = None

    def scenario(self) -> Scenario:
        """The world itself, which is lawful when nothing is broken.

        It is made now, before anything is.
        """
        whole = small_world(self.world, self.budget, self.act)
        return dataclasses.replace(whole, begin=whole.begin().clone)

    def hunt(self, *, seconds: float | None = None) -> Found:
        """Search until it is caught."""
        scenario = self.scenario()
        with self.patch():
            return explore(scenario, first=True, seconds=seconds)


def _replaced(owners: object, name: str, replacement: object) -> Patch:
    """``name`` replaced wherever it is used."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for owner in owners if isinstance(owners, tuple) else (owners,):
                stack.enter_context(mock.patch.object(owner, name, replacement))
            yield

    return patch


# --- the commit point ---

_fence, _resolve = commit._fence, commit.resolve_commit


def _fence_in_name_only(
    path: str, latest: SecretVersion, leaving: frozenset[str], kept: str | None
) -> Step[Verdict]:
    yield from ()
    return NotCommitted(version=latest.version)


def _believe_the_reply(  # noqa: PLR0913  # as the original
    path: str,
    cas: int,
    operation_id: str,
    *,
    leaving: frozenset[str],
    kept: str | None = None,
    seen_at_ms: int | None = None,
) -> Step[Verdict]:
    yield from ()
    return NotCommitted(version=cas)


def _fence_and_delete_at_once(
    path: str, latest: SecretVersion, leaving: frozenset[str], kept: str | None
) -> Step[NotCommitted | Mismatch | Refused | Unclear]:
    verdict = yield from _fence(path, latest, leaving, kept)
    if isinstance(verdict, NotCommitted) and verdict.empty is not None:
        yield from DeleteVersion(path=path, version=verdict.empty)
    return verdict


def _judge_by_the_latest(  # noqa: PLR0913  # as the original
    path: str,
    cas: int,
    operation_id: str,
    *,
    leaving: frozenset[str],
    kept: str | None = None,
    seen_at_ms: int | None = None,
) -> Step[Verdict]:
    latest = yield from ReadSecret(path=path)
    if isinstance(latest, SecretVersion) and latest.field(OPERATION_ID) == operation_id:
        return Committed(content=latest)
    if isinstance(latest, SecretVersion) and latest.version > cas:
        return NotCommitted(version=latest.version)
    return (
        yield from _resolve(
            path, cas, operation_id, leaving=leaving, kept=kept, seen_at_ms=seen_at_ms
        )
    )


def _take_the_missing_for_unwritten(  # noqa: PLR0913  # as the original
    path: str,
    cas: int,
    operation_id: str,
    *,
    leaving: frozenset[str],
    kept: str | None = None,
    seen_at_ms: int | None = None,
) -> Step[Verdict]:
    verdict = yield from _resolve(
        path, cas, operation_id, leaving=leaving, kept=kept, seen_at_ms=seen_at_ms
    )
    return NotCommitted(version=cas) if isinstance(verdict, TakenAway) else verdict


def _only_record(
    label: str, intent: Intent, verdict: NotCommitted, transition: Transition
) -> Step[Any]:
    """Record the verdict and delete the placeholder, but forget the path in between."""
    reply = yield from WriteLedger(transition=transition)
    if isinstance(reply, Recorded) and verdict.empty is not None:
        yield from DeleteVersion(path=intent.path, version=verdict.empty)
    return reply


def _revoke_at_once(
    outcome: Outcome, intent: Intent, derived: Derived, standing: frozenset[str]
) -> Step[Outcome]:
    yield from Revoke(token_id=derived.token_id)
    return outcome


_send = World._send


def _send_or_replay(world: World, run: Run, effect: Effect[Any], outcome: str) -> object:
    """Answer A's derive with B's reply, where B has derived meanwhile."""
    again = (
        isinstance(effect, Derive) and run.name == "A" and "B" in world.exchange.made_by.values()
    )
    return _send(world, run, effect, world_module.REPLAY if again else outcome)


@contextlib.contextmanager
def _believe_an_old_reply() -> Iterator[None]:
    with (
        mock.patch.object(derive, "revoke_unrecorded", _revoke_at_once),
        mock.patch.object(World, "_send", _send_or_replay),
    ):
        yield


def _nothing_is_leaving(ledger: Ledger) -> frozenset[str]:
    return frozenset()


def _commit_on_what_is_there(world: World, effect: Effect[Any]) -> Effect[Any]:
    if isinstance(effect, PutSecret):
        return dataclasses.replace(effect, cas=world.vault.history(effect.path).latest)
    return effect


# --- the ledger ---


def _ledger_unchecked(world: World, effect: Effect[Any]) -> Effect[Any]:
    if isinstance(effect, PutLedger):
        return dataclasses.replace(effect, cas=world.vault.ledger_version)
    return effect


def _unnamed(label: str, operation_id: str, token_id: str) -> Transition:
    return lambda ledger: ledger


def _known_is_new(ledger: Ledger, token_id: str, own: Intent | None = None) -> None:
    pass


@contextlib.contextmanager
def _take_an_old_reply_for_new() -> Iterator[None]:
    with (
        mock.patch.object(transitions_module, "_refuse_known", _known_is_new),
        mock.patch.object(derive, "_lived_before", return_value=False),
    ):
        yield


def _no_intent(label: str, intent: Intent, *, protect: bool | None) -> Transition:
    return lambda ledger: ledger


def _only_the_version(
    label: str, operation_id: str, current: Current, retirement: Retirement
) -> Transition:
    return set_version(label, Moved(version=current.version_id))


@contextlib.contextmanager
def _rewrite_without_intent() -> Iterator[None]:
    with (
        mock.patch.object(rewrite, "open_intent", _no_intent),
        mock.patch.object(rewrite, "record_current", _only_the_version),
    ):
        yield


# --- order ---


_start, _verify = revoke._start, derive._verify


def _revoke_before_the_ledger(label: str, token_id: str, reason: str) -> Step[Outcome]:
    gone = yield from Revoke(token_id=token_id)
    if isinstance(gone, (Refused, Unclear)):
        return failed(gone.sentence)
    return (yield from _start(label, token_id, reason))


def _end_the_predecessor_early(task: NewToken, derived: Derived) -> Step[Any]:
    checked = yield from _verify(task, derived)
    if task.predecessor is not None:
        yield from Revoke(token_id=task.predecessor.token_id)
    return checked


def _revoke_without_the_lease(label: str, token_id: str, reason: str) -> Step[Outcome]:
    reply = yield from WriteLedger(transition=start_revoking(label, token_id, reason=reason))
    if not isinstance(reply, Recorded):
        yield from Revoke(token_id=token_id)
        return unrecorded(reply, token_id)
    revoking = next(r for r in reply.ledger.tokens[label].revoking if r.token_id == token_id)
    return (yield from revoke.finish_revoking(label, reply.ledger.tokens[label].path, revoking))


def _oldest_of_the_label(world: World, effect: Effect[Any]) -> Effect[Any]:
    live = world.exchange.live.values()
    if isinstance(effect, Revoke) and effect.token_id in world.exchange.live:
        label = world.exchange.live[effect.token_id].label
        return Revoke(
            token_id=min(
                (t for t in live if t.label == label), key=lambda t: t.created_at_ms
            ).token_id
        )
    return effect


def _overlap_without_doubt(facts: RetiringFacts) -> Finding | None:
    if facts.setting.now_ms >= facts.retiring.not_before_ms:
        return None
    return Finding(Action.HOLD, Reason.OVERLAP)


def _by_time_alone(facts: RetiringFacts) -> Finding | None:
    return Finding(Action.REVOKE, Reason.SUPERSEDED)


def _at_once(uses: Uses) -> int:
    return 0


def _unused_but_by_us(token: Current | Retiring, live: LiveToken | None) -> bool:
    used_ms = live.last_used_at_ms if live is not None else None
    return used_ms is None or used_ms <= token.ours_until_ms


# --- paths that go from label to label ---


def _in_any_order(rows: Iterable[Change], takers: object, context: object) -> Iterable[Change]:
    return rows


def _by_label_alone(changes: Sequence[Change]) -> tuple[tuple[Change, ...], ...]:
    lanes: dict[str, list[Change]] = {}
    for change in changes:
        lanes.setdefault(change.label, []).append(change)
    return tuple(tuple(lane) for lane in lanes.values())


def _nobody_keeps_it(facts: Wanted, owner: Owner) -> None:
    return None


# --- time, and which manifest is the newest ---


def _believe_one_reply(world: World, run: Run) -> None:
    run.confirmed = True


def _no_guard_minds(desired: Manifest, observed: Observed, policy: Policy) -> tuple[str, ...]:
    return ()


# --- Vault's memory ---


def _nobody_used_it(live: LiveToken) -> None:
    return None


def _whatever_scopes(scopes: Iterable[str], token: LiveToken, ledger: Ledger) -> bool:
    return True


_LASTING = tuple(reason for reason in reasons.LISTED if reason is not reasons.ends_by_itself)


def _whatever_has_our_id(verdict: Verdict, secret: Secret) -> Verdict:
    return verdict


def _may_be_any(label: str, intent: Intent, ledger: Ledger, proof: object) -> bool:
    return True


@contextlib.contextmanager
def _take_the_forged_and_forget() -> Iterator[None]:
    with (
        mock.patch.object(found, "_is_only_one", _may_be_any),
        mock.patch.object(found, "record_found", record_current),
    ):
        yield


def _copied_is_proven(ledger: Ledger, path: str, verdict: NotCommitted) -> VersionId | None:
    for entry in ledger.tokens.values():
        current = entry.current if entry.is_at(path) else None
        if current is not None and verdict.rewritten == current.token_id:
            return VersionId(verdict.version, verdict.created_at_ms)
    return None


def _each_for_itself(changes: Sequence[Change]) -> tuple[tuple[Change, ...], ...]:
    return tuple((change,) for change in changes)


# --- belief ---


def _verify_nothing(task: NewToken, derived: Derived) -> Step[Any]:
    listing = yield from ListTokens()
    return listing if isinstance(listing, Listing) else Refused(sentence="no list")


def _the_missing_is_gone(
    label: str, entry: Entry, token_id: str, *, path: str | None = None
) -> Step[Outcome | None]:
    yield from ()
    return None


def _the_missing_retires(
    label: str, entry: Entry, token_id: str, *, path: str | None = None
) -> Step[Outcome | bool]:
    yield from ()
    return False


def _missing_twice_is_gone(
    label: str, entry: Entry, token_id: str, *, path: str | None = None
) -> Step[Outcome | None]:
    asked = yield from revoke.confirm_gone(label, entry, token_id, path=path)
    return asked if isinstance(asked, Outcome) else None


def _proven_unasked(
    _adoption: adopt_many.Adoption, _observed: Observed, asked: ToAdopt
) -> Step[adopt_many._Proof]:
    found = yield from adopt_many._read(asked)
    assert isinstance(found, StoredPair)
    assert found.token_id is not None
    assert found.secret is not None
    pair = Credentials(token_id=found.token_id, secret=found.secret)
    row = adopt_many.AdoptRow(
        asked=asked, verdict=adopt_many.Verdict.PROVEN, token_id=found.token_id
    )
    return adopt_many._Proof(row=row, pair=pair)


def _move_without_retiring(label: str, was: str) -> Transition:
    def moved(ledger: Ledger) -> Ledger:
        after = rename_entry(label, was)(ledger)
        entry = dataclasses.replace(after.tokens[label], retiring=())
        return dataclasses.replace(after, tokens={**after.tokens, label: entry})

    return moved


def _whatever_secret(_entry: Entry, _token_id: str) -> bool:
    return False


def _expect_nothing(_waiting: object, _until_ms: int, ledger: Ledger) -> Ledger:
    return ledger


def _trust(*_: object) -> None:
    pass


def _answered_is_gone(
    waiting: frozenset[str],
    asked: frozenset[str],
    *,
    must: frozenset[str],
    others: frozenset[str],
) -> Step[frozenset[str]]:
    yield from ()
    return waiting


@contextlib.contextmanager
def _believe_an_empty_list() -> Iterator[None]:
    with (
        mock.patch.object(session_module, "refuse_distrusted", _trust),
        mock.patch.object(revoke, "why_not_gone", _the_missing_is_gone),
        mock.patch.object(send, "confirm_gone", _the_missing_retires),
    ):
        yield


# --- what is left of the secret ---


def _leave_the_secret(path: str, token_id: str) -> Step[Outcome | None]:
    yield from ()
    return None


def _keep_nothing(*_: object) -> None:
    return None


def _nothing_to_empty(*_: object, **__: object) -> Step[Outcome | None]:
    yield from ()
    return None


def _note_nothing(*_: object, **__: object) -> Transition:
    return unchanged


def _by_any_list(ledger: Ledger, change: Change, _: object, *, at_ms: int) -> Change | Outcome:
    """The second list is asked, and what it shows is passed over."""
    task = second_look._task(change)
    evidence = dataclasses.replace(task.evidence, at_ms=at_ms)
    entry = ledger.tokens.get(change.label, task.entry)
    return dataclasses.replace(change, task=second_look._with(task, entry, evidence))


def _delete_whatever_is_latest(path: str, token_id: str) -> Step[Outcome | None]:
    content = yield from ReadSecret(path=path)
    if isinstance(content, SecretVersion):
        yield from DeleteVersion(path=path, version=content.version)
    return None


def _whatever_is_planned(context: PlanContext, change: Change) -> bool:
    return True


@contextlib.contextmanager
def _believe_a_removal() -> Iterator[None]:
    with (
        mock.patch.object(PlanContext, "is_to_be_done", _whatever_is_planned),
        mock.patch.object(restock, "without_ground", _all_have_ground),
    ):
        yield


def _all_have_ground(_changes: object, _undone: object) -> dict[Change, Outcome]:
    return {}


def _of_what_lies_there_now(**given: Any) -> Evidence:
    return Evidence(**{**given, "readable": False})


# --- repetition ---


def _ask_twice(effect: Derive) -> Step[Any]:
    reply = yield effect
    if isinstance(reply, Unclear):
        reply = yield effect
    return reply


# --- other names ---


def _move_and_forget(label: str, was: str) -> Transition:
    """Move an entry, and not what was asked for."""

    def step(ledger: Ledger) -> Ledger:
        entry = ledger.tokens[was]
        rest = {name: known for name, known in ledger.tokens.items() if name != was}
        return dataclasses.replace(ledger, tokens={**rest, label: entry})

    return step


def _not_renewed(*_: object, **__: object) -> Transition:
    return unchanged


def _no_further_names(fields: Fields, secret: Secret, further: Iterable[str]) -> Fields:
    return fields


def _names_forgotten(label: str, intent: Intent, *, protect: bool | None) -> Transition:
    return open_intent(label, dataclasses.replace(intent, fields=()), protect=protect)


# --- release ---


def _release_all_the_same(labels: Iterable[str], *, at_ms: int) -> Transition:
    """Release labels, whatever is open for them."""

    def step(ledger: Ledger) -> Ledger:
        entries = {
            label: dataclasses.replace(entry, intent=None) if label in labels else entry
            for label, entry in ledger.tokens.items()
        }
        ledger = dataclasses.replace(ledger, tokens=entries)
        known = [label for label in labels if label in entries]
        return release_labels(known, at_ms=at_ms)(ledger)

    return step


@contextlib.contextmanager
def _release_what_is_begun() -> Iterator[None]:
    with (
        mock.patch.object(release, "_refuse_unfinished", _trust),
        mock.patch.object(release, "release_labels", _release_all_the_same),
    ):
        yield


# --- move ---

_arrived = moving.arrived


def _forget_what_is_left(
    ledger: Ledger, old_root: str, new_root: str, *versions: Mapping[str, VersionId]
) -> Ledger:
    return dataclasses.replace(_arrived(ledger, old_root, new_root, *versions), left=())


def _leave_it_valid(place: str) -> Transition:
    return unchanged


def _write_over_what_is_there(world: World, effect: Effect[Any]) -> Effect[Any]:
    if not isinstance(effect, PutSecret) or not is_absolute(effect.path):
        return effect
    latest = world.vault.history(world.vault.key_at(PLACE, effect.path)).latest
    return dataclasses.replace(effect, cas=latest)


# --- the reserve ---

_record_promoted_step, _undo_promotion = promote._record, unpromoted.undo_promotion


def _delete_before_the_record(
    task: Promote, intent: Intent, proven: Any, version: VersionId
) -> Step[Outcome]:
    yield from DeleteVersion(path=task.kept.path, version=1)
    return (yield from _record_promoted_step(task, intent, proven, version))


def _undo_and_revoke(
    label: str, intent: Intent, verdict: NotCommitted | TakenAway
) -> Step[Outcome | None]:
    """Undo a promotion as a derive is undone: what it was for goes."""
    closed = yield from _undo_promotion(label, intent, verdict)
    token_id = intent.token_id or ""
    if closed is not None:
        return closed
    going = stocking.give_up_reserve(label, token_id, reason="not committed")
    reply = yield from WriteLedger(transition=going)
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    entry = reply.ledger.tokens[label]
    row = next(r for r in entry.revoking if r.token_id == token_id)
    return (yield from revoke.finish_revoking(label, entry.path, row))


_tried = stocking._tried


def _still_fresh(entry: Entry, intent: Intent, *, taken: bool, lost: bool) -> Entry:
    return _tried(entry, intent, taken=False, lost=lost)


def _promote_unasked(task: Promote, intent: Intent, until_ms: int) -> Step[Any]:
    content = yield from ReadSecret(path=task.kept.path, version=1)
    listing = yield from ListTokens()
    assert isinstance(content, SecretVersion)
    pair = credentials_of(content)
    live = listing.find(task.kept.token_id) if isinstance(listing, Listing) else None
    if pair is None or live is None or not isinstance(listing, Listing):
        return failed("not there")
    fields = own_fields(content, Entry(path=task.kept.path))
    return promote._Proven(credentials=pair, fields=fields, listed=listing, live=live, at_ms=0)


def _those_that_drain(ledger: Ledger) -> frozenset[str]:
    return frozenset(label for label, entry in ledger.tokens.items() if entry.retiring)


def _announce_no_use(
    label: str, intent: Intent, *, protect: bool | None, until_ms: int
) -> Transition:
    return open_intent(label, intent, protect=protect)


def _record_beside_its_row(
    label: str, intent: Intent, current: Current, retirement: Retirement, *, later: bool = False
) -> Transition:
    """Record the current token first: the row of the reserve is for another write."""
    return record_current(label, intent.operation_id, current, retirement)


def _revoke_whatever_lies_there(label: str, task: RevokeReserve) -> Step[Outcome]:
    token_id = task.kept.token_id
    going = stocking.give_up_reserve(label, token_id, reason=task.outcome)
    reply = yield from WriteLedger(transition=going)
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    yield from DeleteVersion(path=task.kept.path, version=1)
    yield from Revoke(token_id=token_id)
    now_ms = yield from Now()
    yield from WriteLedger(transition=note_asked(label, token_id, at_ms=now_ms))
    return dataclasses.replace(applied("revoked", token_id), asked=(token_id,))


def _forget_what_ended(token_ids: Iterable[str], found: Cap) -> Transition:
    del token_ids, found
    return unchanged


def _no_room_needed(
    step: Transition, label: str, listed: Iterable[str], lived: int, now_ms: int
) -> Transition:
    del label, listed, lived, now_ms
    return step


def _bring_back_whatever_was_deleted(kept: Reserve) -> Step[Any]:
    content = yield from ReadSecret(path=kept.path, version=1)
    if isinstance(content, SecretVersion) and content.state is VersionState.DELETED:
        yield from Undelete(path=kept.path, version=1)
        content = yield from ReadSecret(path=kept.path, version=1)
    assert isinstance(content, SecretVersion)
    return content if content.state is VersionState.LIVING else None


def _fence_where_it_is_wanted_now(  # noqa: PLR0913  # as the original
    path: str,
    cas: int,
    operation_id: str,
    *,
    leaving: frozenset[str],
    kept: str | None = None,
    seen_at_ms: int | None = None,
) -> Step[Verdict]:
    del path, kept
    return (
        yield from _resolve("elsewhere", cas, operation_id, leaving=leaving, seen_at_ms=seen_at_ms)
    )


_SETTLERS = (derive, recover, rewrite)

_AFTER_OVERLAP = tuple(reason for reason in RETIRING if reason is not overlap)

SABOTAGES: tuple[Sabotage, ...] = (
    Sabotage(
        name="a promotion undone without a fence",
        patch=_replaced(commit, "_fence", _fence_in_name_only),
        world="promote",
        budget=FAULT,
    ),
    Sabotage(
        name="a reserve's document deleted before the record",
        patch=_replaced(promote, "_record", _delete_before_the_record),
        world="promote",
    ),
    Sabotage(
        name="an undone promotion that revokes its reserve",
        patch=_replaced((promote, recover), "undo_promotion", _undo_and_revoke),
        world="promote",
        act=("deletes the intent's version of", "bot"),
    ),
    Sabotage(
        name="a reserve that stays fresh, though its version was taken away",
        patch=_replaced(stocking, "_tried", _still_fresh),
        world="promote, want none",
        budget=Budget(runs=2, coarse=True),
        act=("deletes the intent's version of", "bot"),
    ),
    Sabotage(
        name="a reserve promoted that did not sign",
        patch=_replaced(promote, "_prove", _promote_unasked),
        world="promote",
    ),
    Sabotage(
        name="a reserve's use that is not recorded ahead",
        patch=_replaced(promote, "open_promotion", _announce_no_use),
        world="promote",
    ),
    Sabotage(
        name="a promotion recorded in two writes",
        patch=_replaced(promote, "record_promoted", _record_beside_its_row),
        world="promote",
    ),
    Sabotage(
        name="a reserve revoked that a person put at its label's path",
        patch=_replaced(changes, "revoke_reserve", _revoke_whatever_lies_there),
        world="give up a surplus",
        act=("copies a reserve of", "bot"),
    ),
    Sabotage(
        name="a document brought back by a run that lost its lease",
        patch=_replaced(promote, "read_reserve", _bring_back_whatever_was_deleted),
        world="promote, want none",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="uses of a reserve that are never shown taken for none",
        patch=_replaced(observe, "doubt_of", _at_once),
        world="give up where uses are hidden",
    ),
    Sabotage(
        name="a promotion fenced at the path that is wanted by now",
        patch=_replaced(recover, "resolve_commit", _fence_where_it_is_wanted_now),
        world="promote, move",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a stocking that forgets how many tokens may live",
        patch=_replaced(ended, "note_ended", _forget_what_ended),
        world="stock where it is crowded",
    ),
    Sabotage(
        name="a stocking that takes the last place",
        patch=_replaced(send, "with_room", _no_room_needed),
        world="rotate and stock where it is crowded",
    ),
    Sabotage(
        name="a release beside an open intent",
        patch=_release_what_is_begun,
        world="release, rotate",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="an old reply that makes a released token ours again",
        patch=_take_an_old_reply_for_new,
        world="derive anew",
        budget=FAULT,
    ),
    Sabotage(
        name="a move that forgets what it leaves",
        patch=_replaced(move, "arrived", _forget_what_is_left),
        world="move place, compromised",
        budget=Budget(runs=2, coarse=True),
    ),
    Sabotage(
        name="a secret carried over whatever lies there by then",
        patch=_replaced(world_module, "as_sent", _write_over_what_is_there),
        world="a mover wakes up",
    ),
    Sabotage(
        name="a ledger that is valid at both places",
        patch=_replaced(move, "seal", _leave_it_valid),
        world="move place, rotate",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a rewrite without the names that it is for",
        patch=_replaced(rewrite, "with_further", _no_further_names),
        world="rewrite",
    ),
    Sabotage(
        name="names that a write carries, and its record forgets",
        patch=_replaced(rewrite, "open_intent", _names_forgotten),
        world="rewrite",
    ),
    Sabotage(
        name="a rename that forgets what the exchange was asked for",
        patch=_replaced(changes, "rename_entry", _move_and_forget),
        world="rename",
    ),
    Sabotage(name="no intent", patch=_replaced(send, "open_intent", _no_intent), world="derive"),
    Sabotage(
        name="no fence",
        patch=_replaced(commit, "_fence", _fence_in_name_only),
        world="rotate",
        budget=FAULT,
    ),
    Sabotage(
        name="a fence that writes a revoking id again",
        patch=_replaced(_SETTLERS, "leaving", _nothing_is_leaving),
        world="take over what goes",
        budget=Budget(faults=2),
    ),
    Sabotage(
        name="a fence's empty document deleted before the verdict is recorded",
        patch=_replaced(commit, "_fence", _fence_and_delete_at_once),
        world="derive",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a fence's empty document where a working secret could be read",
        patch=_replaced((derive, recover, rewrite), "kept_at", _keep_nothing),
        world="restore",
        act=("deletes the latest", "bot"),
    ),
    Sabotage(
        name="a path forgotten while a fence's empty document stands there",
        patch=_replaced((recover, undo), "record_undone", _only_record),
        world="move, remove",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="an unclear commit answered by DELETE",
        patch=_replaced(derive, "resolve_commit", _believe_the_reply),
        world="rotate",
        budget=FAULT,
    ),
    Sabotage(
        name="a commit judged by the latest version",
        patch=_replaced(_SETTLERS, "resolve_commit", _judge_by_the_latest),
        world="rotate",
        act=("overwrites", "bot"),
    ),
    Sabotage(
        name="a version that was taken away taken for unwritten",
        patch=_replaced(_SETTLERS, "resolve_commit", _take_the_missing_for_unwritten),
        world="rotate",
        act=("deletes the intent's version of", "bot"),
    ),
    Sabotage(
        name="a version that was trimmed taken for unwritten",
        patch=_replaced(_SETTLERS, "resolve_commit", _take_the_missing_for_unwritten),
        world="rotate",
        budget=Budget(kept=1),
        act=("overwrites", "bot"),
    ),
    Sabotage(
        name="a commit with the check-and-set number of its own moment",
        patch=_replaced(world_module, "as_sent", _commit_on_what_is_there),
        world="rotate",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a ledger written without check-and-set",
        patch=_replaced(world_module, "as_sent", _ledger_unchecked),
        world="rotate",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a token used before it is named",
        patch=_replaced(derive, "name_intent", _unnamed),
        world="derive",
    ),
    Sabotage(
        name="an old reply taken for a new token",
        patch=_take_an_old_reply_for_new,
        world="rotate",
        budget=FAULT,
    ),
    Sabotage(
        name="an old reply's token revoked by a run that lost its lease",
        patch=_believe_an_old_reply,
        world="derive",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a restore without an intent",
        patch=_rewrite_without_intent,
        world="restore, remove",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a DELETE before the ledger says revoking",
        patch=_replaced(revoke, "_start", _revoke_before_the_ledger),
        world="remove at once",
    ),
    Sabotage(
        name="a DELETE by a run that lost its lease",
        patch=_replaced(revoke, "_start", _revoke_without_the_lease),
        world="remove what left, return",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="the predecessor revoked before the commit",
        patch=_replaced(derive, "_verify", _end_the_predecessor_early),
        world="rotate",
    ),
    Sabotage(
        name="the oldest token revoked instead of the recorded one",
        patch=_replaced(world_module, "as_sent", _oldest_of_the_label),
        world="rotate",
        budget=FAULT,
    ),
    Sabotage(
        name="a predecessor revoked by time alone",
        patch=_replaced(further, "RETIRING", (overlap, _by_time_alone)),
        world="hold",
    ),
    Sabotage(
        name="a predecessor revoked as if uses were never shown late",
        patch=_replaced(observe, "doubt_of", _at_once),
        world="hold late uses",
    ),
    Sabotage(
        name="a predecessor revoked as if every use were shown",
        patch=_replaced(observe, "doubt_of", _at_once),
        world="hold seldom uses",
    ),
    Sabotage(
        name="a removal as if every use were shown",
        patch=_replaced(observe, "doubt_of", _at_once),
        world="remove seldom uses",
    ),
    Sabotage(
        name="a label that left revoked without its overlap",
        patch=_replaced(
            reasons,
            "UNWANTED",
            tuple(r for r in reasons.UNWANTED if r not in {leaving.retires, leaving.leaving}),
        ),
        world="remove",
    ),
    Sabotage(
        name="a label that left revoked by time alone",
        patch=_replaced(
            reasons, "UNWANTED", tuple(r for r in reasons.UNWANTED if r is not leaving.in_use)
        ),
        world="hold what left",
    ),
    Sabotage(
        name="a label that returned left to retire",
        patch=_replaced(
            reasons, "LISTED", tuple(r for r in reasons.LISTED if r is not leaving.returned)
        ),
        world="return",
    ),
    Sabotage(
        name="a label that goes revoked before its path goes over",
        patch=_replaced(planner, "behind", _in_any_order),
        world="take over at once",
    ),
    Sabotage(
        name="two labels at a time at one path",
        patch=_replaced(apply_module, "in_lanes", _by_label_alone),
        world="take over at once",
    ),
    Sabotage(
        name="the manager's path taken over before it moved",
        patch=_replaced(places, "_kept", _nobody_keeps_it),
        world="take the manager's path",
    ),
    Sabotage(
        name="uses that are never shown taken for none",
        patch=_replaced(observe, "doubt_of", _at_once),
        world="hold hidden uses",
    ),
    Sabotage(
        name="an overlap that ends before a use at its end would be shown",
        patch=_replaced(further, "RETIRING", (_overlap_without_doubt, *_AFTER_OVERLAP)),
        world="hold fresh uses",
    ),
    Sabotage(
        name="an adopted token taken for one that only we have used",
        patch=_replaced(predecessors, "never_used", _unused_but_by_us),
        world="hold adopted",
    ),
    Sabotage(
        name="an overlap that is over by one wrong Date",
        patch=_replaced(World, "_confirm", _believe_one_reply),
        world="hold by a wrong clock",
    ),
    Sabotage(
        name="an older manifest taken for the newest",
        patch=_replaced(newest, "violations", _no_guard_minds),
        world="an older manifest",
    ),
    Sabotage(
        name="an interrupted token revoked, whoever used it since",
        patch=_replaced((recover, spare), "used_until", _nobody_used_it),
        world="recover after a backup",
    ),
    Sabotage(
        name="an interrupted token told by its label alone",
        patch=_replaced(lost, "_fits", _whatever_scopes),
        world="rotate",
        budget=FAULT,
        act=("derives with more", "bot"),
    ),
    Sabotage(
        name="a place where versions end taken for one that lasts",
        patch=_replaced(reasons, "LISTED", _LASTING),
        world="rotate where versions end",
    ),
    Sabotage(
        name="a forged version taken for the own commit",
        patch=_replaced(derive, "believed", _whatever_has_our_id),
        world="rotate",
        act=("forges the intent's version of", "bot"),
    ),
    Sabotage(
        name="a forged version taken for the commit, and the derive's own forgotten",
        patch=_take_the_forged_and_forget,
        world="rotate",
        act=("forges the intent's version of", "bot"),
    ),
    Sabotage(
        name="a fence's copy recorded as proven, whatever it copied",
        patch=_replaced((recover, undo), "fenced_version", _copied_is_proven),
        world="compromised",
        act=("spoils", "bot"),
    ),
    Sabotage(
        name="a removal believed that nobody applied",
        patch=_believe_a_removal,
        world="remove by others at once",
    ),
    Sabotage(
        name="a path emptied by the label that takes it over, and no second look",
        patch=_replaced((further, sides), "Evidence", _of_what_lies_there_now),
        world="take over after a move",
        act=("reads and uses", "bot"),
    ),
    Sabotage(
        name="two things at a time about a label",
        patch=_replaced(apply_module, "in_lanes", _each_for_itself),
        world="move back",
        budget=FAULT,
    ),
    Sabotage(
        name="verify skipped",
        patch=_replaced(derive, "_verify", _verify_nothing),
        world="derive",
        budget=FAULT,
    ),
    Sabotage(
        name="an empty list believed", patch=_believe_an_empty_list, world="hold", budget=MISLED
    ),
    Sabotage(
        name="a partial list believed",
        patch=_replaced(revoke, "why_not_gone", _the_missing_is_gone),
        world="hold",
        budget=MISLED,
    ),
    Sabotage(
        name="what can't be asked taken for gone",
        patch=_replaced(revoke, "why_not_gone", _missing_twice_is_gone),
        world="hold without a secret",
        budget=MISLED,
    ),
    Sabotage(
        name="a refusal of an edge taken for a wrong secret",
        patch=_replaced(Refused, "is_of_signature", True),  # it is a property
        world="restore",
        budget=FAULT,
    ),
    Sabotage(
        name="a wrong secret's refusal taken for a proof",
        patch=_replaced(revoke, "_is_unsigned", _whatever_secret),
        world="hold with a wrong secret",
        budget=Budget(faults=3),
    ),
    Sabotage(
        name="a row of a list adopted without its proof",
        patch=_replaced(adopt_many, "_proof", _proven_unasked),
        world="adopt many with one wrong",
    ),
    Sabotage(
        name="a rename that leaves behind what retires",
        patch=_replaced(changes, "rename_entry", _move_without_retiring),
        world="hold and rename",
    ),
    Sabotage(
        name="a verify whose uses are not recorded ahead",
        patch=_replaced(verify, "_expect_own_uses", _expect_nothing),
        world="verify",
    ),
    Sabotage(
        name="a use of ours by a label that has another one's path, not recorded ahead",
        patch=_replaced((verify, own_use), "awaited", _those_that_drain),
        world="verify what took a path over",
    ),
    Sabotage(
        name="an answer taken for a revocation",
        patch=_replaced(closing, "_lacking", _answered_is_gone),
        world="compromised",
        budget=FAULT,
    ),
    Sabotage(
        name="a token revoked that the secret holds",
        patch=_replaced(revoke, "_empty", _leave_the_secret),
        world="restore, remove",
        budget=Budget(runs=2, coarse=True),
    ),
    Sabotage(
        name="a token that goes by one look, while its secret can be read",
        patch=_replaced(revoke, "empty_first", _nothing_to_empty),
        world="remove what left",
    ),
    Sabotage(
        name="a second look that passes over what it is shown",
        patch=_replaced(second_look, "_by_list", _by_any_list),
        world="remove what left",
        act=("reads and uses", "bot"),
    ),
    Sabotage(
        name="a deletion that is not announced",
        patch=_replaced(emptying, "note_emptying", _note_nothing),
        world="remove what left, return",
        budget=OVERTAKEN_LATE,
    ),
    Sabotage(
        name="the latest version deleted, whatever it holds",
        patch=_replaced(revoke, "_empty", _delete_whatever_is_latest),
        world="retire",
    ),
    Sabotage(
        name="a busy derive sent again with its old intent",
        patch=_replaced(send, "renew_intent", _not_renewed),
        world="derive",
        budget=FAULT,
    ),
    Sabotage(
        name="a derive sent again",
        patch=_replaced(Derive, "__iter__", _ask_twice),
        world="derive",
        budget=FAULT,
    ),
)


def sabotage_named(name: str) -> Sabotage:
    """One of them."""
    return next(sabotage for sabotage in SABOTAGES if sabotage.name == name)
