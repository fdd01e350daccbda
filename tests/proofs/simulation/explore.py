"""Exhaustive search of small worlds: every choice at every point, each state once.

Rules this module keeps:

1. A state is judged when it is reached, and again as if every process had died there:
   one undisturbed run must put all right, and the next must find nothing to do.
2. A violation comes with its choices, which ``retell`` plays again with a transcript.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from unittest import mock

from reconciler.errors import Exit
from reconciler.model import HOUR_MS, SECOND_MS
from reconciler.plan.vocabulary import Reason
from reconciler.protocol import lease
from reconciler.state.ledger import Ledger
from tests.proofs.simulation.evidence import Violation
from tests.proofs.simulation.invariants import (
    check_paid,
    check_rest,
    open_revocations,
    owed_tokens,
)
from tests.proofs.simulation.runs import Command, Run, Wish
from tests.proofs.simulation.tally import Tally
from tests.proofs.simulation.world import OK, Choice, World

LEASE_OVER_MS = 61 * SECOND_MS
STEPS_MOST = 2_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A world to explore: how it begins, and what a fresh process wishes for once all
    others are dead.

    After it, another with the same wish must find nothing to do. ``mends`` are what a
    person starts before it; the last of them must succeed.
    """

    name: str
    begin: Callable[[], World]
    fresh: Wish
    mends: tuple[Wish, ...] = ()


@dataclasses.dataclass(slots=True)
class Found:
    """What a search came to.

    ``violations`` holds the shortest course of choices that was seen to each violation.
    """

    tally: Tally = dataclasses.field(default_factory=Tally)
    exhausted: bool = True
    violations: dict[str, tuple[Choice, ...]] = dataclasses.field(default_factory=dict)

    def add(self, violation: Violation, trail: tuple[Choice, ...]) -> None:
        """Keep the shortest course to each violation."""
        known = self.violations.get(str(violation))
        if known is None or len(trail) < len(known):
            self.violations[str(violation)] = trail


def explore(scenario: Scenario, *, seconds: float | None = None, first: bool = False) -> Found:
    """Every state that can be reached; with ``first`` up to the first violation."""
    with sizes_unchecked():
        return _explore(scenario, seconds, first=first)


def sizes_unchecked() -> AbstractContextManager[object]:
    """How large the ledger's text is decides nothing here, and costs more than all the
    rest.
    """
    return mock.patch.object(lease, "text_bytes", _no_bytes)


def _no_bytes(_: Ledger) -> int:
    return 0


def _explore(scenario: Scenario, seconds: float | None, *, first: bool) -> Found:
    found = Found()
    tally = found.tally
    ends_s = None if seconds is None else time.monotonic() + seconds
    start = scenario.begin()
    seen = {start.key()}
    rested: set[int] = set()
    stack: list[tuple[World, tuple[Choice, ...]]] = [(start, ())]
    while stack:
        world, trail = stack.pop()
        tally.states += 1
        if (ends_s is not None and time.monotonic() > ends_s) or (first and found.violations):
            found.exhausted = False
            break
        outside = world.outside_key()
        if outside not in rested:
            rested.add(outside)
            tally.rests += 1
            try:
                rest(world, scenario)
            except Violation as violation:
                found.add(violation, trail)
        for choice in reversed(world.choices()):
            child = world.clone()
            tally.count(choice)
            try:
                child.take(choice)
            except Violation as violation:
                found.add(violation, (*trail, choice))
                continue
            key = child.key()
            if key not in seen:
                seen.add(key)
                stack.append((child, (*trail, choice)))
    tally.worlds += found.exhausted
    return found


# --- all processes are dead ---


def rest(world: World, scenario: Scenario, tell: Callable[[str], None] | None = None) -> None:
    """Violation unless a fresh process puts the world right, whether what is on its way
    lands before, after or never.
    """
    lifeless = world.clone()
    lifeless.tell = tell
    lifeless.runs, lifeless.waiting = {}, {}
    lifeless.faults = lifeless.ticks = 0
    lifeless.acts = ()
    lifeless.now_ms += LEASE_OVER_MS
    if lifeless.flights:
        landed = lifeless.clone()
        land_all(landed)
        put_right(landed, scenario)
    put_right(lifeless, scenario)


def land_all(world: World) -> None:
    """What is on its way arrives, in the order in which it was sent."""
    while world.flights:
        world.take(("land", "0"))


def put_right(world: World, scenario: Scenario) -> None:
    """Undisturbed runs; then what is on its way lands; then one that finds nothing to
    do.
    """
    wish = scenario.fresh
    for number, mend in enumerate(scenario.mends):
        mended = undisturbed(world, dataclasses.replace(mend, name=f"mend{number}"))
        world.now_ms += SECOND_MS
        if mend is scenario.mends[-1] and mended.exit is not Exit.DONE:
            raise Violation("rest", f"a move ends with {mended.exit!r}: {mended.sentence}")
    if world.vault.ledger_deleted:
        nothing_without_a_ledger(world, wish)
    manager = wish.manifest.manager
    lost = manager_is_lost(world, manager)
    owed = owed_tokens(world, unseen=manager if lost else None)
    if lost:
        undisturbed(world, dataclasses.replace(wish, name="rescue", command=Command.BOOTSTRAP))
        world.now_ms += SECOND_MS
    run = undisturbed(world, dataclasses.replace(wish, name="fresh"))
    world.now_ms += SECOND_MS
    check_rest(world, run)
    check_paid(world, owed)
    while _waited(run):
        run = undisturbed(world, dataclasses.replace(wish, name=f"{run.name}, on"))
        check_rest(world, run)
    if world.flights:
        land_all(world)
        run = undisturbed(world, dataclasses.replace(wish, name="after"))
        check_rest(world, run)
    before = world.mutations
    run = undisturbed(world, dataclasses.replace(wish, name="idle"))
    if world.mutations != before:
        raise Violation("2", "the run after a successful run writes again")
    check_rest(world, run)
    confirm_revocations(world, wish)


def _waited(run: Run) -> bool:
    """Whether something waited, in this run, until a path had gone to another label."""
    rows = run.plan.changes if run.plan is not None else ()
    acted = any(c.acts for c in rows)
    return acted and any(c.reason is Reason.WAITS_FOR for c in rows)


def confirm_revocations(world: World, wish: Wish) -> None:
    """An hour later, what the exchange only seemed to revoke is revoked.

    That holds for what the ledger has as revoking, and, where a list told an untruth as
    well, for what it has as revoked.
    """
    gone = _recorded_as_gone(world)
    if not open_revocations(world) and not gone:
        return
    world.now_ms += HOUR_MS + SECOND_MS
    run = undisturbed(world, dataclasses.replace(wish, name="later"))
    if run.exit not in {Exit.DONE, Exit.PERSON_NEEDED} or open_revocations(world):
        raise Violation("rest", f"{sorted(open_revocations(world))} are revoking for ever")
    if gone & world.exchange.live.keys():
        raise Violation("3", f"{sorted(gone)} were recorded as revoked, and live on")


def _recorded_as_gone(world: World) -> frozenset[str]:
    """Tokens that live although the ledger has them as revoked."""
    ledger = world.vault.ledger()
    if ledger is None or world.audit.rewound:
        return frozenset()
    return frozenset(ledger.revoked_ids()) & world.exchange.live.keys()


def nothing_without_a_ledger(world: World, wish: Wish) -> None:
    """While the ledger's latest version is deleted, a run says so and does nothing;
    then a person brings it back.
    """
    before = world.mutations
    run = undisturbed(world, dataclasses.replace(wish, name="lost"))
    if run.exit is not Exit.ERROR or world.mutations != before:
        raise Violation(
            "rest",
            (
                f"a run without a ledger ends with {run.exit!r} after {world.mutations - before} "
                "writes"
            ),
        )
    world.take(("person", "undeletes the ledger", ""))


def manager_is_lost(world: World, manager: str) -> bool:
    """Whether nobody can sign, so that a person has to bootstrap."""
    ledger = world.vault.ledger()
    entry = ledger.tokens.get(manager) if ledger is not None else None
    if entry is None or entry.current is None or entry.current.token_id not in world.exchange.live:
        return True
    signers = {
        entry.current.token_id,
        *([entry.intent.token_id] if entry.intent is not None else []),
    }
    return not any(
        v.token_id in signers and v.has_secret and not v.deleted
        for v in world.vault.history(entry.path).versions
    )


def undisturbed(world: World, wish: Wish) -> Run:
    """A run with nobody beside it and no fault."""
    run = world.start(wish)
    for _ in range(STEPS_MOST):
        if run.ended:
            del world.runs[wish.name]
            return run
        world.take(("run", wish.name, str(run.ready()[0]), OK))
    raise Violation("rest", "an undisturbed run does not end")


def retell(
    scenario: Scenario, trail: Iterable[Choice], tell: Callable[[str], None] | None = None
) -> Violation | None:
    """Play the choices again, up to the violation; what is not possible any more is
    left out.
    """
    world = scenario.begin()
    world.tell = tell
    try:
        for choice in trail:
            if choice in world.choices():
                world.take(choice)
        world.say("-- all processes die here --")
        rest(world, scenario, tell)
    except Violation as violation:
        world.say(f"VIOLATION {violation}")
        return violation
    return None
