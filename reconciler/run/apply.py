"""One run: look, decide, take the lease, look again, act, record, give the lease back.

    look without the lease    nothing to do                 exit 0, and not one write
                              an approved plan differs      exit 3
                              a guard says no               exit 1
                              a derive without an identity  exit 4
    take the lease            another run holds it          wait, or exit 6
    look again                an approved plan differs      exit 3
    repairs                   recover, record, restore; then look and plan afresh, as often as there are any
    derives beside revokes    several labels at once, one thing at a time about each of them: its revokes come before its
                              derive; the ledger has one writer, the exchange its limits
    the manager               last: its predecessor is revoked by its successor
    release                   always

Rules this module keeps:

1. A change that fails stops no other, unless the lease is lost or the ledger can't be
   written.
2. What was approved is all that is done: a row that is new since then is reported as
   not tried.
3. Actions and values steer; reasons are only told.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from reconciler.errors import (
    Exit,
    LeaseHeldError,
    PartialError,
    PersonNeededError,
    PlanStaleError,
    ReconcilerError,
    Unforeseen,
    UsageError,
    VaultError,
    VaultRefusedError,
)
from reconciler.exchange import SKEW_WARN_MS
from reconciler.model import DAY_MS, SECOND_MS, Manifest, iso
from reconciler.plan import (
    Action,
    Change,
    Plan,
    Policy,
    Reason,
    Selection,
    order,
    plan,
    row_key,
    violations,
)
from reconciler.protocol import (
    Approved,
    Ending,
    LeaseLost,
    LedgerWriter,
    NotRecorded,
    Outcome,
    Recorded,
    Report,
    Row,
    approve,
    ends_at_once,
    facts_of,
    not_tried,
    step_of,
)
from reconciler.run.driver import Driver
from reconciler.run.observe import STANDBY_LAG_S, observe
from reconciler.state import Ledger, Observed, distrust, lease_held_by

ROUNDS = 4
DERIVE_LANES = 4
REVOKE_LANES = 2
AS_OF_MAX_AGE_MS = 7 * DAY_MS
AS_OF_GRAIN_MS = 2 * SECOND_MS
TAKE_TRIES = 3

LEASE_LOST = "another run took the lease over"

REPAIRS = frozenset({Action.RECOVER, Action.RECORD, Action.RESTORE})


class Events:
    """What the shell is told while a run goes on. Called from several threads."""

    def started(self, changes: Sequence[Change]) -> None:
        """The changes that are about to be made, once or after repairs again."""

    def ended(self, row: Row) -> None:
        """A change came to its end."""

    def said(self, sentence: str) -> None:
        """Something worth a line."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A run's surroundings.

    ``check_identity`` (derives, scopes, profile id) raises PersonNeededError where the
    identity can't do that. ``signals`` holds signals back while the lease is held: the
    first one sets the driver's ``stopping``. ``told`` is what was said once.
    """

    manifest: Manifest
    driver: Driver
    run: str
    who: str
    wait_s: int
    policy: Policy
    check_identity: Callable[[int, frozenset[str], int | None], int]
    events: Events
    signals: Callable[[Driver], contextlib.AbstractContextManager[None]]
    told: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """A snapshot, and what is to be done about it."""

    observed: Observed
    plan: Plan


def look(session: Session, *, as_of_ms: int | None = None) -> Prospect:
    """Observe and plan. ReconcilerError where the snapshot can't be trusted."""
    observed = trusted(session)
    now_ms = observed.now_ms if as_of_ms is None else as_of_ms
    chosen = plan(session.manifest, observed, now_ms=now_ms, policy=session.policy, run=session.run)
    return Prospect(observed=observed, plan=chosen)


def trusted(session: Session) -> Observed:
    """A snapshot that can be believed; ReconcilerError where it can't be."""
    observed = observe(session.driver, session.manifest)
    refuse_distrusted(observed, session.manifest, session.policy)
    refuse_unknown_labels(session.manifest, observed, session.policy)
    _warn_of_skew(session)
    return observed


def _warn_of_skew(session: Session) -> None:
    offset_ms = session.driver.exchange.clock().offset_ms
    if abs(offset_ms) < SKEW_WARN_MS or "skew" in session.told:
        return
    session.told.add("skew")
    side = "behind" if offset_ms > 0 else "ahead of"
    session.events.said(
        f"warning: this machine's clock is {abs(offset_ms) // SECOND_MS} s {side} the exchange's: set it right"
    )


def refuse_distrusted(observed: Observed, manifest: Manifest, policy: Policy) -> None:
    """ReconcilerError where the snapshot can't be believed."""
    sentence = distrust(observed, manifest, max_missing=policy.max_missing)
    if sentence is not None:
        raise ReconcilerError(sentence)


def refuse_unknown_labels(manifest: Manifest, observed: Observed, policy: Policy) -> None:
    """UsageError for a selected label that neither the manifest nor the ledger has ever known: a typo would select nothing."""
    known = {spec.label for spec in manifest.tokens} | observed.ledger.tokens.keys()
    known |= {row.label for row in observed.ledger.closed}
    for label in sorted(policy.selection.targets | policy.selection.excluded):
        if label not in known:
            raise UsageError(f"{label!r}: neither the manifest nor the ledger has this label")


def guard_sentences(
    manifest: Manifest, observed: Observed, policy: Policy, *, run: str | None = None
) -> tuple[str, ...]:
    """What the guards say of the whole fleet, whatever is selected."""
    whole = dataclasses.replace(policy, selection=Selection())
    return violations(
        manifest, plan(manifest, observed, now_ms=observed.now_ms, policy=whole, run=run), policy
    )


class Apply:
    """One run of apply; ``confirm`` is shown the plan and says whether a person agrees (None: agreed beforehand)."""

    def __init__(
        self,
        session: Session,
        *,
        approved: Approved | None = None,
        confirm: Callable[[Plan], bool] | None = None,
    ) -> None:
        self.session = session
        self.driver = session.driver
        self.approved = approved
        self.confirm = confirm
        self.rows: list[Row] = []
        self._rows_lock = threading.Lock()
        self._stopped: str | None = None
        self._writer: LedgerWriter | None = None
        self._person: str | None = None
        self._leaving: frozenset[str] = frozenset()

    def run(self) -> Report:
        """The whole run. Raises ReconcilerError only while nothing was written."""
        session = self.session
        prospect = self._prospect()
        started_ms = prospect.observed.now_ms
        if not prospect.plan.acting and not _in_progress(prospect.plan):
            return self._report(prospect, started_ms)
        self._refuse(prospect)
        if self.confirm is not None and prospect.plan.acting:
            if not self.confirm(prospect.plan):
                raise ReconcilerError("not agreed to: nothing was done")
            self.approved = self.approved or approve(prospect.plan)
        with holding_lease(
            session, prospect.observed.ledger, prospect.observed.ledger_version
        ) as self._writer:
            try:
                with Unforeseen():
                    prospect = self._prospect()
                    self._refuse(prospect)
                    prospect = self._repair(prospect)
                    self._act(prospect)
            except ReconcilerError as error:
                if not self.rows:
                    raise
                self._stopped = str(error)
        return self._report(prospect, started_ms)

    # --- deciding ---

    def _prospect(self) -> Prospect:
        approved = self.approved
        prospect = look(self.session, as_of_ms=approved.as_of_ms if approved is not None else None)
        self._refuse_lost(prospect)
        if approved is not None:
            if approved.as_of_ms is not None:
                refuse_as_of(approved.as_of_ms, prospect.observed.now_ms)
            if prospect.plan.digest() != approved.digest:
                raise StalePlanError(approved, prospect.plan)
        unread = [c.label for c in prospect.plan.changes if c.reason is Reason.UNREAD]
        if unread:
            raise VaultRefusedError(
                f"the role of an apply needs read on the secrets of {', '.join(unread)}: see docs/install.md"
            )
        return prospect

    def _refuse_lost(self, prospect: Prospect) -> None:
        """LeaseHeldError where the lease is another run's by now: what is in its hands is not ours to judge."""
        holder = prospect.observed.ledger.holder
        if self._writer is not None and (holder is None or holder.run != self.session.run):
            raise LeaseHeldError(LEASE_LOST)

    def _refuse(self, prospect: Prospect) -> None:
        """Guards and the identity: whatever would stop the run half way stops it here."""
        session, observed = self.session, prospect.observed
        sentences = guard_sentences(session.manifest, observed, session.policy, run=session.run)
        if sentences:
            raise ReconcilerError("; ".join(sentences))
        self._refuse_identity([c for c in prospect.plan.acting if c.derives], observed)

    def _refuse_identity(self, derives: list[Change], observed: Observed) -> None:
        if derives:
            scopes = frozenset(
                scope for c in derives for scope in (c.after.scopes if c.after is not None else ())
            )
            profile_id = observed.ledger.profile_id or self.session.manifest.profile_id
            self.session.check_identity(len(derives), scopes, profile_id)

    # --- acting ---

    def _repair(self, prospect: Prospect) -> Prospect:
        """Recover, record, restore; and plan afresh, until nothing more of that kind can be done."""
        tried: set[str] = set()
        for _ in range(ROUNDS):
            repairs = [
                c
                for c in self._allowed(prospect)
                if c.action in REPAIRS and row_key(c) not in tried
            ]
            if not repairs or self._halted() is not None:
                break
            self.session.events.started(repairs)
            for change in repairs:
                tried.add(row_key(change))
                self._do(change, prospect)
            if self._halted() is not None:
                break
            prospect = look(
                self.session, as_of_ms=self.approved.as_of_ms if self.approved is not None else None
            )
            self._refuse_lost(prospect)
            sentences = guard_sentences(
                self.session.manifest, prospect.observed, self.session.policy, run=self.session.run
            )
            if sentences:
                raise ReconcilerError("; ".join(sentences))
        return prospect

    def _allowed(self, prospect: Prospect) -> list[Change]:
        """The acting rows that were agreed to."""
        if self.approved is None:
            return list(prospect.plan.acting)
        return [c for c in prospect.plan.acting if row_key(c) in self.approved.rows]

    def _act(self, prospect: Prospect) -> None:
        """Derives beside revokes, the manager last."""
        allowed = [c for c in self._allowed(prospect) if c.action not in REPAIRS]
        agreed = {row_key(c) for c in allowed}
        for change in prospect.plan.acting:
            if row_key(change) not in agreed and change.action not in REPAIRS:
                self._end(change, not_tried("it is new since the plan was approved: plan again"))
        if not allowed:
            return
        allowed = self._with_identity(allowed, prospect.observed)
        self._leaving = frozenset(c.label for c in allowed if ends_at_once(c, self.session.policy))
        self.session.events.started(allowed)
        manager, policy = self.session.manifest.manager, self.session.policy
        last = [c for c in allowed if c.derives and c.label == manager]
        derives = [c for c in allowed if c.derives and c.label != manager]
        ended_by_rotation = policy.requested if policy.compromised else frozenset()
        revokes = [c for c in allowed if not c.derives and c.label not in ended_by_rotation]
        with (
            ThreadPoolExecutor(DERIVE_LANES, thread_name_prefix="derive") as derive_lanes,
            ThreadPoolExecutor(REVOKE_LANES, thread_name_prefix="revoke") as revoke_lanes,
        ):
            futures: list[Future[None]] = []
            for lane in in_lanes([*derives, *revokes]):
                pool = derive_lanes if lane[-1].derives else revoke_lanes
                futures.append(pool.submit(self._do_all, lane, prospect))
            for future in futures:
                future.result()
        for change in last:
            self._do(change, prospect)

    def _with_identity(self, allowed: list[Change], observed: Observed) -> list[Change]:
        """What can be done with the identity that there is: repairs may have led to derives that nobody asked it about."""
        derives = [c for c in allowed if c.derives]
        try:
            self._refuse_identity(derives, observed)
        except ReconcilerError as error:
            if isinstance(error, PersonNeededError):
                self._person = str(error)
            for change in derives:
                self._end(change, not_tried(str(error)))
            return [c for c in allowed if not c.derives]
        return allowed

    def _halted(self) -> str | None:
        if self._stopped is not None:
            return self._stopped
        return "stopped by a signal" if self.driver.stopping.is_set() else None

    def _do_all(self, changes: Sequence[Change], prospect: Prospect) -> None:
        for change in changes:
            self._do(change, prospect)

    def _do(self, change: Change, prospect: Prospect) -> None:
        halted = self._halted()
        if halted is not None:
            self._end(change, not_tried(halted))
            return
        session, observed = self.session, prospect.observed
        step = step_of(
            change,
            observed,
            manifest=session.manifest,
            policy=session.policy,
            run=facts_of(session.run, session.manifest, observed),
            leaving=self._leaving,
        )
        outcome = self.driver.run(step)
        if outcome.stop:
            self._stopped = outcome.sentence
        self._end(change, outcome)

    def _end(self, change: Change, outcome: Outcome) -> None:
        row = Row(change=change, outcome=outcome)
        with self._rows_lock:
            self.rows.append(row)
            self.session.events.ended(row)

    # --- reporting ---

    def _report(self, prospect: Prospect, started_ms: int) -> Report:
        exit_code, sentence = self._verdict(prospect)
        return Report(
            run=self.session.run,
            started_at_ms=started_ms,
            ended_at_ms=self.driver.exchange.clock().now_ms(),
            digest=self.approved.digest if self.approved is not None else prospect.plan.digest(),
            rows=tuple(
                sorted(self.rows, key=lambda row: order(row.change, self.session.manifest.manager))
            ),
            holds=tuple(c for c in prospect.plan.changes if c.action is Action.HOLD),
            not_touched=prospect.plan.not_touched,
            exit_code=exit_code,
            sentence=sentence,
        )

    def _verdict(self, prospect: Prospect) -> tuple[Exit, str]:
        """The first exit code that fits, in the order of the contract: 6, 4, 5, 0."""
        if self._writer is not None and self._writer.lost:
            return Exit.LEASE_HELD, self._stopped or LEASE_LOST
        if self._person is not None:
            return Exit.PERSON_NEEDED, self._person
        decisions = prospect.plan.decisions
        if decisions:
            labels = ", ".join(sorted({c.label for c in decisions}))
            return Exit.PERSON_NEEDED, f"waiting for your decision: {labels} (see the plan's holds)"
        requested = self.session.policy.requested
        unfinished = [
            r
            for r in self.rows
            if r.outcome.status in {Ending.FAILED, Ending.NOT_TRIED}
            or (r.outcome.status is Ending.HELD and r.change.label in requested)
        ]
        if unfinished or self._stopped is not None:
            return (
                Exit.PARTIAL,
                self._stopped
                or "some changes are not done: run again, it goes on where this run stopped",
            )
        if self.driver.stopping.is_set():
            return Exit.PARTIAL, "stopped by a signal: run again"
        return Exit.DONE, ""


class StalePlanError(PlanStaleError):
    """The approved plan is not what would be done now; both are here to be compared."""

    def __init__(self, approved: Approved, now: Plan) -> None:
        super().__init__(
            "the approved plan is stale: what would be done now differs; plan again and have it approved"
        )
        self.approved = approved
        self.now = now


def refuse_as_of(as_of_ms: int, now_ms: int) -> None:
    """PlanStaleError unless the saved plan's time lies within the last seven days."""
    if as_of_ms > now_ms + AS_OF_GRAIN_MS:
        raise PlanStaleError(f"the saved plan is from the future ({iso(as_of_ms)}): plan again")
    if now_ms - as_of_ms > AS_OF_MAX_AGE_MS:
        raise PlanStaleError(
            f"the saved plan is older than seven days ({iso(as_of_ms)}): plan again"
        )


def _in_progress(chosen: Plan) -> bool:
    return any(c.reason is Reason.IN_PROGRESS for c in chosen.changes)


def in_lanes(changes: Sequence[Change]) -> tuple[tuple[Change, ...], ...]:
    """What may go on side by side: one thing at a time about a label, its revokes before its derive.

    A fence of the derive writes a secret's content again; were it that of a token which
    is being revoked beside it, consumers would be given a revoked token.
    """
    lanes: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda c: c.derives):
        lanes.setdefault(change.label, []).append(change)
    return tuple(tuple(lane) for lane in lanes.values())


# --- the lease ---


@contextlib.contextmanager
def holding_lease(session: Session, ledger: Ledger, version: int) -> Iterator[LedgerWriter]:
    """Hold the lease for the work within:

    LeaseHeldError where another run has it for longer than ``wait_s``.
    """
    driver = session.driver
    with session.signals(driver):
        driver.writer = writer = _take(session, ledger, version)
        try:
            with driver.lease_renewed():
                yield writer
        finally:
            driver.release()


def refuse_undone(outcome: Outcome, writer: LedgerWriter) -> None:
    """Nothing, for a change that was applied; otherwise the error that fits what was written by then."""
    if outcome.status is Ending.APPLIED:
        return
    if writer.lost:
        raise LeaseHeldError(outcome.sentence)
    if outcome.status is Ending.FAILED:
        raise PartialError(outcome.sentence)
    raise ReconcilerError(outcome.sentence)


def _take(session: Session, ledger: Ledger, version: int) -> LedgerWriter:
    deadline_s = time.monotonic() + max(session.wait_s, STANDBY_LAG_S)
    tries = 0
    told: set[str] = set()
    while True:
        writer = LedgerWriter(run=session.run, who=session.who, ledger=ledger, version=version)
        reply = session.driver.run(writer.take())
        if isinstance(reply, Recorded):
            return writer
        if isinstance(reply, NotRecorded):
            raise VaultError(f"the lease could not be taken: {reply.sentence}")
        found, version = session.driver.read_ledger()
        if found is None:
            raise VaultError("the ledger vanished while the lease was being taken: run again")
        ledger = found
        holder = lease_held_by(
            ledger, session.driver.exchange.clock().now_ms(), not_run=session.run
        )
        if holder is None and (tries := tries + 1) <= TAKE_TRIES:
            continue
        if holder is not None and holder.run not in told:
            told.add(holder.run)
            if session.wait_s:
                session.events.said(
                    f"waiting for run {holder.run} ({holder.who}), which holds the lease"
                )
        _wait(session, deadline_s, reply)


def _wait(session: Session, deadline_s: float, reply: LeaseLost) -> None:
    if time.monotonic() >= deadline_s:
        raise LeaseHeldError(
            f"{reply.sentence}: wait for it with --wait SECONDS, or run again later (a lease lasts a minute)"
        )
    if session.driver.stopping.wait(min(1.0, max(0.0, deadline_s - time.monotonic()))):
        raise LeaseHeldError("stopped while waiting for the lease: nothing was done")
