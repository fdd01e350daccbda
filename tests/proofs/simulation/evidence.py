"""The laws of evidence: when a token may go because nobody seems to need it.

All that is judged here is what the consumers truly did. What the lists showed of it is
the program's affair, as far as the exchange's law (``shown``) shows it at all.

    law          a token that goes as superseded, or because its label left the file
    -----------  -----------------------------------------------------------------------
    exact,       no consumer used it within its overlap before the run's look
    coarse,
    debounced
    late MS      no consumer used it within its overlap before the instant that the look
                 can show: MS before it
    never        it is the manager's, or the run was told --revoke-unproven

    exact,       its secret can be read nowhere, and the run's last list is of after
    coarse,      that was so; what that list shows is known to the run, too
    debounced

    either       its overlap is over, by a clock that is right: it begins when the
                 successor can be read, or when the ledger says that the label left
    superseded   if a list can ever have shown a consumer's use of it, and its label
                 stays: somebody other than us uses the successor

A use within a minute of the derive does not count: where uses are shown so promptly, it
is taken for our own proof. A use as old as a second does not count, nor one that is a
second short of the overlap: a run knows the exchange's clock to a second. A consumer
slower than the overlap is cut off lawfully, once somebody else uses the successor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.model import HOUR_MS, SECOND_MS
from reconciler.plan.setting import DEFAULT_OVERLAP_MS, PROMPT_MS
from reconciler.protocol.spare import OWN_PROOF_MS
from tests.proofs.simulation.models import PERSON
from tests.proofs.simulation.runs import Run
from tests.proofs.simulation.shown import NEVER, Law

if TYPE_CHECKING:
    from reconciler.state.ledger import Current, Ledger
    from tests.proofs.simulation.world import World

OVERLAP_SLACK_MS = 10 * SECOND_MS
"""By how much an overlap may be short: its start and its end are read from clocks that
are a second wrong, and the start is read before it is recorded."""

CLOCK_GRAIN_MS = SECOND_MS
"""A run knows the exchange's clock to this, so neither does it know the order of what
is closer together."""


BY_EVIDENCE = frozenset({"superseded", "not desired"})
"""Reasons of a revocation that rests on what is known of uses."""


# it is what the search is for, not an error of the program
class Violation(AssertionError):  # noqa: N818
    """An invariant does not hold. ``law`` is its number or name."""

    def __init__(self, law: str, sentence: str) -> None:
        super().__init__(f"{law}: {sentence}")
        self.law = law


def check_evidence(world: World, token_id: str, by: str, *, not_desired: bool) -> None:
    """Violation unless the token may go, at the moment at which its DELETE arrives."""
    run = world.runs.get(by)
    if run is None or run.seen is None or world.audit.lagged:
        return
    label, quiet_ms = _judged_as(run, token_id, not_desired=not_desired)
    policy, manager = run.wish.policy, run.wish.manifest.manager
    if label is None or (not_desired and policy.revoke_in_use):
        return
    law = world.exchange.law
    if law.kind == NEVER and label != manager and not policy.revoke_unproven:
        raise Violation("7", f"{by} revokes {token_id}, and nothing ever shows a use")
    born_ms = world.exchange.live[token_id].created_at_ms
    used = [u for u in world.audit.used.get(token_id, ()) if u - born_ms > PROMPT_MS]
    ago_ms = _within(used, run.seen_ms - law.hidden_ms, quiet_ms)
    if ago_ms is not None:
        raise Violation("7", f"{by} revokes {token_id}, which its consumer used {ago_ms} ms before")
    _check_overlap(world, run, token_id, _overlap_ms(run, token_id, quiet_ms))
    if not not_desired and label != manager and not policy.revoke_unproven:
        _check_successor(world, run, label, token_id)


USED, DELETED = "used", "deleted"
"""What may happen to a token, or to its secret, before a run asks for the next list."""


def check_second_look(world: World, ledger: Ledger, run: Run | None) -> None:
    """Violation where a token is recorded as revoking whose consumers read on.

    That is where a run goes by evidence. The secret of a token at a path that nobody
    owns is deleted before, and a list of after that shows no use.
    """
    if run is None or run.seen is None or world.audit.lagged or world.audit.meddled:
        return
    known = run.seen.ledger
    for label, entry in ledger.tokens.items():
        before = known.tokens.get(label)
        going = {r.token_id for r in before.revoking} if before is not None else set()
        for row in entry.revoking:
            if row.token_id not in going | world.audit.revoking.keys():
                _check_second_look(world, run, row.token_id, row.reason)


def _check_second_look(world: World, run: Run, token_id: str, reason: str) -> None:
    assert run.seen is not None
    policy, not_desired = run.wish.policy, reason == "not desired"
    label, quiet_ms = _judged_as(run, token_id, not_desired=not_desired)
    listed = any(token.token_id == token_id for token in run.seen.live)
    if reason not in BY_EVIDENCE or not listed or label in {None, run.wish.manifest.manager}:
        return
    if (not_desired and policy.revoke_in_use) or token_id not in world.exchange.live:
        return
    contents = [world.vault.content(path) for path in world.vault.secrets]
    if any(content is not None and content.token_id == token_id for content in contents):
        raise Violation("7", f"{run.name} ends {token_id}, whose secret can still be read")
    if (DELETED, token_id) in run.missed:
        raise Violation("7", f"{run.name} ends {token_id} without a list of after its secret")
    born_ms = world.exchange.live[token_id].created_at_ms
    used = [u for u in world.audit.used.get(token_id, ()) if u - born_ms > PROMPT_MS]
    recent = used and run.listed_ms - used[-1] < quiet_ms - CLOCK_GRAIN_MS
    if recent and world.exchange.law == Law() and (USED, token_id) not in run.missed:
        raise Violation("7", f"{run.name} ends {token_id}, which its last list shows as used")


def _judged_as(run: Run, token_id: str, *, not_desired: bool) -> tuple[str | None, int]:
    """The label that the run's look had for the token, and its overlap there."""
    assert run.seen is not None
    for label, entry in run.seen.ledger.tokens.items():
        if not_desired and entry.current is not None and entry.current.token_id == token_id:
            kept_ms = DEFAULT_OVERLAP_MS if entry.overlap_ms is None else entry.overlap_ms
            return label, HOUR_MS if label in run.wish.policy.revoke_now else max(HOUR_MS, kept_ms)
        for retiring in entry.retiring:
            if retiring.token_id == token_id:
                return label, retiring.not_before_ms - retiring.superseded_at_ms
    return None, 0


def _overlap_ms(run: Run, token_id: str, quiet_ms: int) -> int:
    """How long the run's look had the token live on for.

    Not at all where the label that left has no overlap or is to go at once, or where
    the exchange lacked the token.
    """
    assert run.seen is not None
    for label, entry in run.seen.ledger.tokens.items():
        if entry.current is None or entry.current.token_id != token_id:
            continue
        listed = any(token.token_id == token_id for token in run.seen.live)
        at_once = label in run.wish.policy.revoke_now or not listed
        kept_ms = DEFAULT_OVERLAP_MS if entry.overlap_ms is None else entry.overlap_ms
        return 0 if at_once else kept_ms
    return quiet_ms


def _within(used: Iterable[int], until_ms: int, quiet_ms: int) -> int | None:
    """How long before an instant it was last used, where that is within the time."""
    found = [until_ms - used_ms for used_ms in used]
    return next(
        (ago for ago in found if CLOCK_GRAIN_MS < ago < quiet_ms - CLOCK_GRAIN_MS),
        None,
    )


def _check_overlap(world: World, run: Run, token_id: str, quiet_ms: int) -> None:
    """However wrong the run's clock is, and was: the overlap is over."""
    begun_ms = world.audit.retired_ms.get(token_id)
    if begun_ms is None and quiet_ms and not world.audit.rewound:
        raise Violation("7", f"{run.name} revokes {token_id}, whose overlap never began")
    lived_ms = world.now_ms - (begun_ms or 0)
    if lived_ms < quiet_ms - OVERLAP_SLACK_MS and not world.audit.rewound:
        raise Violation("7", f"{run.name} revokes {token_id} after {lived_ms} ms of its overlap")


def _check_successor(world: World, run: Run, label: str, token_id: str) -> None:
    """A token that somebody is known to have used goes once its successor is used."""
    assert run.seen is not None
    told_ms = first_told(world, token_id, PROMPT_MS)
    known_ms = run.seen_ms - world.exchange.law.hidden_ms - CLOCK_GRAIN_MS
    if told_ms is None or told_ms > known_ms or run.wish.spec(label) is None:
        return
    current = successor_of(run.seen.ledger, label, token_id)
    if current is not None and world.audit.rewound and _shown_late(world, current.token_id):
        return  # the ledger has forgotten that the use was the program's own
    if current is None or current.token_id not in world.audit.used:
        raise Violation("7", f"{run.name} revokes {token_id}, and nobody uses its successor")


def successor_of(ledger: Ledger, label: str, token_id: str) -> Current | None:
    """What consumers of the token's path find by now: another label's, or its own's."""
    entry = ledger.tokens[label]
    path = next((r.path or entry.path for r in entry.retiring if r.token_id == token_id), "")
    there = (e.current for e in ledger.tokens.values() if e.is_at(path))
    return next(there, entry.current)


def _shown_late(world: World, token_id: str) -> bool:
    """Whether a list shows a use that was not the proof of its derive."""
    token = world.exchange.live.get(token_id)
    used_ms = token.last_used_at_ms if token is not None else None
    return token is not None and (used_ms or 0) > token.created_at_ms + OWN_PROOF_MS


def first_told(world: World, token_id: str, proof_ms: int) -> int | None:
    """When a list could first tell that a consumer has a live token, if it ever could.

    A use within ``proof_ms`` of our derive is taken for our own proof; a token that a
    person made has none.
    """
    told = world.audit.told.get(token_id, ())
    if world.exchange.made_by[token_id] == PERSON:
        return next(iter(told), None)
    proven_ms = world.exchange.live[token_id].created_at_ms + proof_ms
    return next((used_ms for used_ms in told if used_ms > proven_ms), None)
