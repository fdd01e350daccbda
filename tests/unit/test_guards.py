"""Guards: what stops an apply before its first write, and what lifts each."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import Manifest
from reconciler.plan.guards import GUARDS, violations
from reconciler.plan.planner import Policy, Selection, plan
from reconciler.plan.reasons import Action, Reason
from reconciler.state.ledger import Entry
from reconciler.state.snapshot import Observed
from tests.support.values import (
    MANAGER,
    NOW_MS,
    current_id,
    live,
    manifest,
    retiring,
    settled,
    spec,
)

BOSS = spec(MANAGER, rotate_after_ms=None)
LABELS = tuple(f"bot{n}" for n in range(5))
SEEN = settled([BOSS, *(spec(label) for label in LABELS)])

TOO_MANY = (
    "{} tokens would be revoked because they left the manifest, more than --max-revocations {}: "
    "raise it if that is meant"
)
EMPTY = "the manifest's list of tokens is empty: --allow-empty if that is meant"
NO_MANAGER = (
    "the manager reconciler is not among the tokens: --allow-missing-manager if that is meant"
)


def left(number: int) -> Manifest:
    """The manifest after so many labels have left it."""
    return manifest(BOSS, *(spec(label) for label in LABELS[number:]))


def protecting(*labels: str) -> Observed:
    """The fleet, with these labels protected."""
    entries = {
        label: dataclasses.replace(entry, protect=label in labels or entry.protect)
        for label, entry in SEEN.ledger.tokens.items()
    }
    return dataclasses.replace(SEEN, ledger=dataclasses.replace(SEEN.ledger, tokens=entries))


@pytest.mark.parametrize(
    ("expected", "desired", "seen", "policy"),
    [
        pytest.param((), left(0), SEEN, Policy(), id="nothing leaves"),
        pytest.param((), left(3), SEEN, Policy(), id="three leave"),
        pytest.param((TOO_MANY.format(4, 3),), left(4), SEEN, Policy(), id="four leave"),
        pytest.param((), left(4), SEEN, Policy(max_revocations=4), id="four leave, and may"),
        pytest.param(
            (TOO_MANY.format(1, 0),), left(1), SEEN, Policy(max_revocations=0), id="none may leave"
        ),
        pytest.param((), left(4), protecting("bot3"), Policy(), id="what is held does not count"),
        pytest.param(
            (NO_MANAGER,),
            manifest(*(spec(label) for label in LABELS)),
            SEEN,
            Policy(),
            id="the manager has left",
        ),
        pytest.param(
            (),
            manifest(*(spec(label) for label in LABELS)),
            SEEN,
            Policy(allow_missing_manager=True),
            id="the manager has left, and may",
        ),
        pytest.param(
            (TOO_MANY.format(5, 3), EMPTY, NO_MANAGER),
            manifest(),
            SEEN,
            Policy(),
            id="all have left",
        ),
        pytest.param(
            (TOO_MANY.format(5, 3), NO_MANAGER),
            manifest(),
            SEEN,
            Policy(allow_empty=True),
            id="--allow-empty lifts one guard only",
        ),
        pytest.param(
            (TOO_MANY.format(5, 3), EMPTY),
            manifest(),
            SEEN,
            Policy(allow_missing_manager=True),
            id="--allow-missing-manager lifts one guard only",
        ),
        pytest.param(
            (EMPTY, NO_MANAGER),
            manifest(),
            SEEN,
            Policy(max_revocations=5),
            id="--max-revocations lifts one guard only",
        ),
        pytest.param(
            (),
            manifest(),
            SEEN,
            Policy(max_revocations=5, allow_empty=True, allow_missing_manager=True),
            id="all have left, and may",
        ),
    ],
)
def test_a_guard_is_lifted_by_its_own_flag(
    expected: tuple[str, ...], desired: Manifest, seen: Observed, policy: Policy
) -> None:
    """Each guard says what it found and which flag lifts it; no flag lifts two."""
    fleet = plan(desired, seen, now_ms=NOW_MS, policy=policy)
    assert violations(desired, fleet, policy) == expected


def test_superseded_and_recovered_tokens_are_not_counted() -> None:
    """Revocations that the tool's own rotations lead to are no sign of a mistake in the
    manifest.
    """
    entries = {
        label: dataclasses.replace(
            e, retiring=tuple(retiring(f"{label}-{n}", label) for n in range(3))
        )
        for label, e in SEEN.ledger.tokens.items()
    }
    tokens = (*SEEN.live, *(live(f"{label}-{n}", label) for label in entries for n in range(3)))
    seen = dataclasses.replace(
        SEEN, live=tokens, ledger=dataclasses.replace(SEEN.ledger, tokens=entries)
    )
    fleet = plan(left(0), seen, now_ms=NOW_MS)
    assert (
        sum(c.action is Action.REVOKE and c.reason is Reason.SUPERSEDED for c in fleet.changes)
        == 18
    )
    assert violations(left(0), fleet, Policy()) == ()


def test_a_selection_hides_nothing_from_a_guard_that_is_given_the_fleet() -> None:
    """The plan of a --target shows one row; the plan of the fleet, which guards are
    asked about, shows them all.
    """
    policy = Policy(selection=Selection(targets=frozenset({"bot4"})))
    whole = dataclasses.replace(policy, selection=Selection())
    desired = left(4)
    shown, fleet = (plan(desired, SEEN, now_ms=NOW_MS, policy=p) for p in (policy, whole))
    assert [c.label for c in shown.changes] == ["bot4"]
    assert violations(desired, fleet, policy) == (TOO_MANY.format(4, 3),)


def test_each_guard_has_a_flag_of_its_own() -> None:
    """There is no flag that lifts them all: as many flags as guards, each in one
    sentence.
    """
    flags = [
        word
        for said in (TOO_MANY, EMPTY, NO_MANAGER)
        for word in said.split()
        if word.startswith("--")
    ]
    assert len(set(flags)) == len(flags) == len(GUARDS)


def test_a_token_that_is_gone_already_counts_as_one_that_leaves() -> None:
    """The guard is about the manifest: a mass removal is one, whatever else happened to
    the tokens.
    """
    gone = {current_id(label) for label in LABELS}
    seen = dataclasses.replace(SEEN, live=tuple(t for t in SEEN.live if t.token_id not in gone))
    fleet = plan(left(5), seen, now_ms=NOW_MS)
    assert violations(left(5), fleet, Policy()) == (TOO_MANY.format(5, 3),)


def test_an_entry_without_a_current_token_leaves_nothing() -> None:
    """Only a protection that is remembered is no token to revoke."""
    entries = {
        MANAGER: SEEN.ledger.tokens[MANAGER],
        **{f"old{n}": Entry(path=f"old{n}", protect=True) for n in range(9)},
    }
    seen = dataclasses.replace(
        SEEN, ledger=dataclasses.replace(SEEN.ledger, tokens=entries), live=SEEN.live[:1]
    )
    assert violations(manifest(BOSS), plan(manifest(BOSS), seen, now_ms=NOW_MS), Policy()) == ()
