"""How far an apply has come, and the report that it ends with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from reconciler.errors import Exit
from reconciler.plan import Action, Change, Reason, order, row_key, still_open
from reconciler.protocol import Approved, Ending, Now, ReadDesk, Report, Row, Step
from reconciler.run.effects import ReadHalt
from reconciler.run.lease import LEASE_LOST
from reconciler.run.session import Outlook, Session
from reconciler.values import value

UNFINISHED = "some changes are not done: run again, it goes on where this run stopped"


@value
class Progress:
    """How far a run has come. ``outlook`` is its latest look.

    ``tried`` are the repairs that were tried, by row; ``person`` says what only a
    person can give, ``stopped`` why the run ended early. ``shown`` are the ids that a
    list of this run had.
    """

    session: Session
    approved: Approved | None
    outlook: Outlook
    started_at_ms: int
    holds_lease: bool = False
    rows: tuple[Row, ...] = ()
    tried: frozenset[str] = frozenset()
    rounds: int = 0
    person: str | None = None
    stopped: str | None = None
    shown: frozenset[str] = frozenset()

    @property
    def listed(self) -> frozenset[str]:
        """The ids that the latest look listed."""
        return frozenset(token.token_id for token in self.outlook.observed.live)

    @property
    def asked(self) -> frozenset[str]:
        """The ids whose DELETE this run sent, and about which a list has to decide."""
        outcomes = [row.outcome for row in self.rows]
        return frozenset(i for one in outcomes for i in (*one.asked, *one.unclear))

    @property
    def vanished(self) -> frozenset[str]:
        """The ids that lists lack since a derive of this run, whoever ended them."""
        return frozenset(i for row in self.rows for i in row.outcome.vanished)

    def looked(self, outlook: Outlook) -> Progress:
        """Return the progress with another look."""
        outlook = in_time(self.session, self.approved, outlook)
        seen = dataclasses.replace(self, outlook=outlook)
        return dataclasses.replace(seen, shown=self.shown | seen.listed)

    @property
    def allowed(self) -> tuple[Change, ...]:
        """The acting rows that were agreed to."""
        acting = self.outlook.plan.acting
        if self.approved is None:
            return acting
        return tuple(c for c in acting if row_key(c) in self.approved.rows)

    def ended(self, rows: Sequence[Row]) -> Progress:
        """Return the progress with more rows."""
        return dataclasses.replace(self, rows=(*self.rows, *rows))


def in_time(session: Session, approved: Approved | None, outlook: Outlook) -> Outlook:
    """Return the outlook without what a saved plan has, and a window holds by now."""
    if approved is None or approved.as_of_ms is None:
        return outlook
    left = still_open(outlook.plan, session.manifest, outlook.observed.now_ms)
    return dataclasses.replace(outlook, plan=left)


def report_of(progress: Progress) -> Step[Report]:
    """Return what the run did, and the exit code that fits."""
    exit_code, sentence = yield from _verdict(progress)
    chosen, manager = progress.outlook.plan, progress.session.manifest.manager
    ended_at_ms = yield from Now()
    revoked = {token_id for row in progress.rows for token_id in row.outcome.revoked}
    return Report(
        run=progress.session.run,
        started_at_ms=progress.started_at_ms,
        ended_at_ms=ended_at_ms,
        digest=progress.approved.digest if progress.approved is not None else chosen.digest(),
        rows=tuple(sorted(progress.rows, key=lambda row: order(row.change, manager))),
        holds=tuple(
            c
            for c in chosen.changes
            if c.action is Action.HOLD and (c.before is None or c.before.token_id not in revoked)
        ),
        not_touched=chosen.not_touched,
        exit_code=exit_code,
        sentence=sentence,
    )


def _verdict(progress: Progress) -> Step[tuple[Exit, str]]:
    """Return the first exit code that fits; the contract's order is 6, 4, 5, 0."""
    halt = yield from ReadHalt()
    stopped = progress.stopped or halt.sentence
    if progress.holds_lease and (yield from ReadDesk()).lost:
        return Exit.LEASE_HELD, stopped or LEASE_LOST
    if progress.person is not None:
        return Exit.PERSON_NEEDED, progress.person
    decisions = progress.outlook.plan.decisions
    if decisions:
        labels = ", ".join(sorted({c.label for c in decisions}))
        return Exit.PERSON_NEEDED, f"waiting for your decision: {labels} (see the plan's holds)"
    broken = sorted({c.label for c in progress.outlook.plan.broken})
    if broken:
        return Exit.PERSON_NEEDED, (
            f"no working token, and the manifest holds it: {', '.join(broken)} (take its "
            "hold_until out, or `reconciler rotate --compromised`)"
        )
    waiting = _held_by_manifest(progress)
    if waiting:
        return Exit.PERSON_NEEDED, (
            f"not rotated, because the manifest holds it: {', '.join(waiting)} (take its "
            "hold_until out, or --compromised)"
        )
    if stopped is not None or any(_is_unfinished(progress, row) for row in progress.rows):
        return Exit.PARTIAL, stopped or UNFINISHED
    if halt.signalled and _may_lack(progress):
        return Exit.PARTIAL, "stopped by a signal: run again"
    return Exit.DONE, "the signal came when everything was done" if halt.signalled else ""


def _held_by_manifest(progress: Progress) -> list[str]:
    """Return the labels that a person asked to rotate, and that another one holds."""
    requested = progress.session.policy.requested
    held = (c.label for c in progress.outlook.plan.changes if c.reason is Reason.HOLD_UNTIL)
    return sorted(label for label in held if label in requested)


def _may_lack(progress: Progress) -> bool:
    """Return whether a signal may have kept something from being done.

    After repairs a run plans afresh; what would have been found then is not known.
    """
    done = progress.tried | {row_key(row.change) for row in progress.rows}
    acting = progress.outlook.plan.acting
    return any(row_key(c) in progress.tried for c in acting) or any(
        row_key(c) not in done for c in acting
    )


def _is_unfinished(progress: Progress, row: Row) -> bool:
    status, requested = row.outcome.status, progress.session.policy.requested
    asked_for = row.change.label in requested and not row.change.stocks
    return status in {Ending.FAILED, Ending.NOT_TRIED} or (status is Ending.HELD and asked_for)
