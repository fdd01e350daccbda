"""What a run is about, and its look: a snapshot to be believed, and the plan of it."""

from __future__ import annotations

import dataclasses

from reconciler.errors import ExchangeRefusedError, LeaseHeldError, ReconcilerError, UsageError
from reconciler.escape import counted
from reconciler.model import SECOND_MS, Manifest, TokenSpec, iso
from reconciler.plan import (
    ALL,
    LEAST_ID,
    Plan,
    Policy,
    begun_with,
    meant,
    plan,
    rests_on_uses,
    unfinished_rotations,
)
from reconciler.protocol import Approved, Listing, Run, Sleep, Step, VerifyToken
from reconciler.run.effects import ReadClock, ReadSigner, Say
from reconciler.run.observe import take_snapshot, with_look
from reconciler.run.reads import read_ledger
from reconciler.state import (
    Entry,
    Observed,
    distrust,
    few_versions,
    lease_held_by,
    ledger_ends,
    one_more_helps,
    reserve_of,
)
from reconciler.values import value

HTTP_BUSY = 429

LISTS_APART_MS = 1_100
"""Between two lists that are to show two different uses: uses may be cut to seconds."""

SKEW_WARN_MS = 5 * SECOND_MS
"""The exchange refuses a signature whose time is 30 s off."""


@value
class Session:
    """A run of a command.

    ``run`` is its id, ``who`` names the process for other runs (``host:pid``),
    ``wait_s`` is how long it waits for another run's lease, ``api_url`` the exchange's
    address.
    """

    manifest: Manifest
    policy: Policy
    api_url: str
    run: str
    who: str
    wait_s: int = 0

    def spec(self, label: str) -> TokenSpec:
        """Return a label's desired token; UsageError where the manifest lacks it."""
        for spec in self.manifest.tokens:
            if spec.label == label:
                return spec
        raise UsageError(f"{label!r} is not a label of the manifest")

    def facts(self, profile_id: int | None) -> Run:
        """Return what every change of the run is told."""
        return Run(run=self.run, api_url=self.api_url, profile_id=profile_id)


@value
class Outlook:
    """A snapshot, and what is to be done about it."""

    observed: Observed
    plan: Plan


def look(
    session: Session,
    approved: Approved | None = None,
    *,
    before: Observed | None = None,
    seen: Observed | None = None,
) -> Step[Outlook]:
    """Observe, and plan as of the approved plan. ReconcilerError without trust.

    ``before`` is the run's snapshot before, if it has one; ``seen`` is one of right
    now.
    """
    observed = seen if seen is not None else (yield from look_only(session, before))
    as_of_ms = approved.as_of_ms if approved is not None else None
    agreed = approved.rows if approved is not None else None
    chosen = plan(
        session.manifest,
        observed,
        now_ms=observed.now_ms if as_of_ms is None else as_of_ms,
        policy=dataclasses.replace(session.policy, agreed=agreed),
        run=session.run,
    )
    return Outlook(observed=observed, plan=chosen)


def look_only(session: Session, before: Observed | None = None) -> Step[Observed]:
    """Return a snapshot that can be believed. ReconcilerError where there is none.

    It holds a second list where a decision rests on how promptly uses are shown, and
    that could be known better. LeaseHeldError where the exchange is too busy while
    another run writes, which signs with the same token and uses its pace up.
    """
    wait_s = session.wait_s if before is None else 0
    try:
        observed = yield from take_snapshot(
            session.manifest, session.api_url, before, wait_s=wait_s
        )
    except ExchangeRefusedError as error:
        if error.status == HTTP_BUSY:
            yield from _refuse_beside(session, error)
        raise
    refuse_distrusted(observed, session.manifest, session.policy)
    yield from _warn_of_skew()
    for sentence in few_versions(observed):
        yield from Say(sentence=f"warning: {sentence}", once=sentence)
    if not session.policy.requested:
        yield from _warn_of_unfinished(session, observed)
    if not one_more_helps(observed.uses) or not rests_on_uses(
        session.manifest, observed, session.policy, run=session.run
    ):
        return observed
    return (yield from list_again(observed))


def _refuse_beside(session: Session, error: ReconcilerError) -> Step[None]:
    """Raise LeaseHeldError where another run holds the lease."""
    ledger, _ = yield from read_ledger()
    clock = yield from ReadClock()
    holder = None if ledger is None else lease_held_by(ledger, clock.now_ms, not_run=session.run)
    if holder is not None:
        raise LeaseHeldError(
            f"{error}; run {holder.run} ({holder.who}) is at work, and asks with the same token: "
            "run again when it is done"
        ) from error


def list_again(observed: Observed) -> Step[Observed]:
    """Return the snapshot with the uses that a list of a moment later shows.

    Where that list can't be had, or lacks a token of the first, the snapshot stays as
    it was.
    """
    yield from Sleep(ms=LISTS_APART_MS)
    clock = yield from ReadClock()
    signer = (yield from ReadSigner()).credentials
    if signer is None or signer.token_id != observed.signer_id:
        return observed
    listed = yield from VerifyToken(credentials=signer)
    if not isinstance(listed, Listing):
        return observed
    found = {token.token_id: token for token in listed.tokens}
    if not observed.live_by_id().keys() <= found.keys():
        return observed
    live = tuple(found[token.token_id] for token in observed.live)
    again = dataclasses.replace(observed, now_ms=clock.now_ms, live=live)
    return with_look(again, observed.look)


def _warn_of_unfinished(session: Session, observed: Observed) -> Step[None]:
    for rotation, left in unfinished_rotations(session.manifest, observed, session.run):
        what = "--all" if rotation.targets == (ALL,) else f"of {', '.join(rotation.targets)}"
        what = f"--compromised, {what}" if rotation.compromised else what
        sentence = (
            f"the rotation that began at {iso(rotation.since_ms)} ({what}) is not done: "
            f"{counted(len(left), 'label')} left; the same command goes on with it"
        )
        yield from Say(sentence=f"warning: {sentence}", once=sentence)


def _warn_of_skew() -> Step[None]:
    clock = yield from ReadClock()
    if abs(clock.ahead_ms) >= SKEW_WARN_MS:
        side = "behind" if clock.ahead_ms > 0 else "ahead of"
        yield from Say(
            sentence=f"warning: this machine's clock is {abs(clock.ahead_ms) // SECOND_MS} s "
            f"{side} the exchange's: set it right",
            once="skew",
        )


def refuse_distrusted(observed: Observed, manifest: Manifest, policy: Policy) -> None:
    """Raise ReconcilerError where the snapshot can't be believed for this manifest.

    UsageError for a selected label that neither manifest nor ledger ever knew: it is a
    typo, and would select nothing.
    """
    sentence = distrust(observed, manifest, max_missing=policy.max_missing)
    if sentence is not None:
        raise ReconcilerError(sentence)
    known = {spec.label for spec in manifest.tokens} | observed.ledger.tokens.keys()
    known |= {row.label for row in observed.ledger.closed}
    for label in sorted(policy.selection.targets | policy.selection.excluded):
        if not meant(label, known):
            raise UsageError(f"{label!r}: neither the manifest nor the ledger has this label")


def requesting(session: Session, observed: Observed, wanted: str) -> Session:
    """Return the session that is about one token, by its id or the beginning of it.

    the token is                   the session
    -----------------------------  ---------------------------------------------
    current                        rotates its label, and no other
    that of a label that left      UsageError: ``apply --revoke-now`` is for it
    retiring, and compromised      revokes it, and nothing else
    of a label to be renamed       UsageError: the rename comes first
    retiring                       UsageError
    in the reserve, compromised    revokes it, and nothing else
    in the reserve                 UsageError: rotating its label takes one
    revoking                       UsageError
    that of an open intent         UsageError: an apply ends that first
    not known, or one of several   UsageError
    """
    owners = observed.ledger.known_ids()
    found = begun_with(wanted, owners) if len(wanted) >= LEAST_ID else ()
    if len(wanted) < LEAST_ID:
        raise UsageError(f"--token-id {wanted!r}: give at least {LEAST_ID} characters of the id")
    if not found:
        raise UsageError(f"--token-id {wanted!r}: no token that the ledger knows begins so")
    if len(found) > 1:
        raise UsageError(f"--token-id {wanted!r} fits {', '.join(found)}: give more of the id")
    token_id, label = found[0], owners[found[0]]
    entry, policy = observed.ledger.tokens[label], session.policy
    if entry.current is not None and entry.current.token_id == token_id:
        if label not in {spec.label for spec in session.manifest.tokens}:
            raise UsageError(
                f"{token_id} is the token of {label}, which is not in the manifest: "
                f"`reconciler apply --revoke-now {label}` revokes it at once"
            )
        chosen = frozenset({session.spec(label).label})
        selection = dataclasses.replace(policy.selection, targets=chosen)
        policy = dataclasses.replace(
            policy, selection=selection, requested=chosen, named=tuple(chosen)
        )
    else:
        _refuse_kept(session, label, entry, token_id)
        only = dataclasses.replace(
            policy.selection, targets=frozenset({label}), token_ids=frozenset({token_id})
        )
        policy = dataclasses.replace(policy, selection=only)
    return dataclasses.replace(session, policy=policy)


def _refuse_kept(session: Session, label: str, entry: Entry, token_id: str) -> None:
    """Raise UsageError where a token that is not current is not to go by its id."""
    if any(spec.was == label != spec.label for spec in session.manifest.tokens):
        raise UsageError(f"the manifest renames {label}, whose token it is: apply that first")
    if any(row.token_id == token_id for row in entry.revoking):
        raise UsageError(f"{token_id} of {label} is being revoked already: apply finishes that")
    if entry.intent is not None and entry.intent.token_id == token_id:
        raise UsageError(
            f"a rotation of {label} to {token_id} was begun and is not finished: "
            "`reconciler apply --only cleanup` finishes or undoes it; name it again then"
        )
    if not session.policy.compromised and reserve_of(entry, token_id) is not None:
        raise UsageError(
            f"{token_id} is in the reserve of {label}, and no consumer has it: with --compromised "
            f"it is revoked now, and nothing else is; `reconciler rotate --target {label}` takes "
            "the oldest that is ready"
        )
    if not session.policy.compromised:
        raise UsageError(
            f"{token_id} is an older token of {label}, not its current one: "
            "with --compromised it is revoked now, and nothing else is"
        )


def refuse_ending(observed: Observed) -> None:
    """Raise ReconcilerError where the ledger does not last: nothing is written."""
    ends = ledger_ends(observed)
    if ends is not None:
        raise ReconcilerError(ends)
