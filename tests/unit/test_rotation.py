"""Which rotation a command goes on with, and which of its labels are left."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.errors import Exit
from reconciler.plan.check import check_of
from reconciler.plan.guards import Policy
from reconciler.plan.needs import Need, NeedKind
from reconciler.plan.rotations import STILL_LIVE, rotation_need, unfinished_rotations
from reconciler.plan.status import status_of
from reconciler.state.ledger import Ledger, Rotation
from reconciler.state.rotation import (
    GOES_ON_MS,
    ROTATIONS_KEPT,
    begin_rotation,
    carry_rotation,
    end_rotation,
    left_of,
    unfinished,
)
from tests.support.values import NOW_MS, entry, holder, ledger, manifest, settled, spec

LABELS = frozenset({"a", "b"})
ASKED = ("*",), True
BEGUN = Rotation(
    targets=("*",),
    compromised=True,
    run="run-9",
    since_ms=NOW_MS,
    newest_created_at_ms=NOW_MS - 5,
)


def of(*created_at_ms: int, rotation: Rotation | None = BEGUN, dead: str = "") -> Ledger:
    """A ledger whose labels have tokens that were made then."""
    entries = {}
    for label, at_ms in zip("ab", created_at_ms, strict=False):
        known = entry(f"t-{label}", label)
        assert known.current is not None
        current = dataclasses.replace(known.current, created_at_ms=at_ms)
        entries[label] = dataclasses.replace(known, current=current)
    held = holder(dead) if dead else None
    return dataclasses.replace(
        ledger(entries, holder=held), rotations=(rotation,) if rotation is not None else ()
    )


OLD, NEW = NOW_MS - 5, NOW_MS - 4


@pytest.mark.parametrize(
    ("expected", "known"),
    [
        pytest.param(None, of(OLD, OLD, rotation=None), id="none"),
        pytest.param(LABELS, of(OLD, OLD), id="nothing is done"),
        pytest.param(LABELS, of(OLD), id="one has no token"),
        pytest.param({"b"}, of(NEW, OLD), id="one is done"),
        pytest.param(None, of(NEW, NEW), id="others did the rest"),
        pytest.param(None, of(NEW, NEW, dead="run-8"), id="a later run died"),
        pytest.param(frozenset(), of(NEW, NEW, dead="run-9"), id="its run died at its end"),
    ],
)
def test_what_is_left(expected: frozenset[str] | None, known: Ledger) -> None:
    """A token that is newer than all that lived then is done; all done is over, but for
    a run that died before it could say so.
    """
    found = unfinished(known, ASKED, LABELS, NOW_MS + GOES_ON_MS - 1)
    assert expected == (left_of(known, found, LABELS) if found is not None else None)
    assert unfinished(known, ASKED, LABELS, NOW_MS + GOES_ON_MS) is None
    assert unfinished(known, (("*",), False), LABELS, NOW_MS) is None
    assert unfinished(known, (("a", "b"), True), LABELS, NOW_MS) is None


def test_what_is_asked_for() -> None:
    """The words that named the labels, else the labels, in any order of theirs."""
    policy = Policy(requested=LABELS, compromised=True)
    assert policy.asked_for == (("a", "b"), True)
    assert dataclasses.replace(policy, named=("*",)).asked_for == ASKED


@pytest.mark.parametrize(
    ("expected", "known", "run"),
    [
        pytest.param(("a", "b"), of(OLD, OLD), "run-1", id="nothing is done"),
        pytest.param(("b",), of(NEW, OLD), "run-1", id="one is left"),
        pytest.param(None, of(NEW, NEW), "run-1", id="none is left"),
        pytest.param(None, of(OLD, OLD, dead="run-9"), "run-1", id="its run is at work"),
        pytest.param(("a", "b"), of(OLD, OLD, dead="run-8"), "run-1", id="another run is at work"),
        pytest.param(
            ("a", "b"), of(OLD, OLD, dead="run-1"), "run-1", id="the asking run is at work"
        ),
    ],
)
def test_nobody_overlooks_one_that_is_not_done(
    expected: tuple[str, ...] | None, known: Ledger, run: str
) -> None:
    """While its run has the lease it is on its way; six hours later it is forgotten."""
    desired = manifest(spec("a"), spec("b"))
    seen = dataclasses.replace(settled([spec("a"), spec("b")]), ledger=known, now_ms=NOW_MS)
    found = unfinished_rotations(desired, seen, run)
    assert found == (() if expected is None else ((BEGUN, expected),))
    late = dataclasses.replace(seen, now_ms=NOW_MS + GOES_ON_MS)
    assert unfinished_rotations(desired, late, run) == ()


@pytest.mark.parametrize(
    ("expected", "known"),
    [
        pytest.param(("a", "b"), of(OLD, OLD), id="nothing is done"),
        pytest.param(("b",), of(NEW, OLD), id="one is left"),
        pytest.param(None, of(NEW, NEW), id="none is left"),
        pytest.param(None, of(OLD, OLD, dead="run-9"), id="its run is at work"),
        pytest.param(
            None,
            of(OLD, OLD, rotation=dataclasses.replace(BEGUN, compromised=False)),
            id="no token of it was called compromised",
        ),
    ],
)
def test_a_compromised_token_that_lives_on_needs_a_person(
    expected: tuple[str, ...] | None, known: Ledger
) -> None:
    """What was called compromised is not well until it is gone, and status says so."""
    desired = manifest(spec("a"), spec("b"))
    seen = dataclasses.replace(settled([spec("a"), spec("b")]), ledger=known, now_ms=NOW_MS)
    need = Need(kind=NeedKind.DECISION, labels=expected or (), sentence=STILL_LIVE)
    assert rotation_need(desired, seen) == (() if expected is None else (need,))
    found = check_of([status_of(desired, seen)])
    assert (STILL_LIVE in found.sentence) == (expected is not None)
    if expected is not None:
        assert found.exit_code is Exit.PERSON_NEEDED


def test_it_is_begun_carried_on_and_ended() -> None:
    """Each once; old ones are forgotten, and there are never many."""
    begun = begin_rotation(BEGUN)(of(OLD, OLD, rotation=None))
    assert begun.rotations == (BEGUN,)
    assert begin_rotation(BEGUN)(begun).rotations == (BEGUN,)
    carried = carry_rotation(BEGUN, "run-10")(begun)
    assert carried.rotations == (dataclasses.replace(BEGUN, run="run-10"),)
    ended = end_rotation(BEGUN)(carried)
    assert ended.rotations == ()
    assert carry_rotation(BEGUN, "run-11")(ended).rotations == (), "it stays over"
    many = begun
    for number in range(ROTATIONS_KEPT + 1):
        other = dataclasses.replace(BEGUN, targets=(str(number),))
        many = begin_rotation(other)(many)
    assert len(many.rotations) == ROTATIONS_KEPT
    late = dataclasses.replace(BEGUN, since_ms=NOW_MS + GOES_ON_MS)
    assert begin_rotation(late)(many).rotations == (late,)
