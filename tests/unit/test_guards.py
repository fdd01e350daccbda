"""Guards: what stops an apply before its first write, and what lifts each."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler import load_schema
from reconciler.model import Manifest
from reconciler.plan.change import Selection
from reconciler.plan.guards import GUARDS, Policy, violations
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import Action, Category, Reason
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
OLDER = (
    "this manifest is an older one: what it says was applied, and superseded on {}: take the "
    "newest, or go back by --allow-older-manifest or a saved plan"
)
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

WANTED = "--revoke-now bot4: the manifest has it: remove its line first"


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
            (TOO_MANY.format(6, 3), EMPTY, NO_MANAGER),
            manifest(),
            SEEN,
            Policy(),
            id="all have left",
        ),
        pytest.param(
            (TOO_MANY.format(6, 3), NO_MANAGER),
            manifest(),
            SEEN,
            Policy(allow_empty=True),
            id="--allow-empty lifts one guard only",
        ),
        pytest.param(
            (TOO_MANY.format(6, 3), EMPTY),
            manifest(),
            SEEN,
            Policy(allow_missing_manager=True),
            id="--allow-missing-manager lifts one guard only",
        ),
        pytest.param(
            (EMPTY, NO_MANAGER),
            manifest(),
            SEEN,
            Policy(max_revocations=6),
            id="--max-revocations lifts one guard only",
        ),
        pytest.param(
            (),
            manifest(),
            SEEN,
            Policy(max_revocations=6, allow_empty=True, allow_missing_manager=True),
            id="all have left, and may",
        ),
    ],
)
def test_a_guard_is_lifted_by_its_own_flag(
    expected: tuple[str, ...], desired: Manifest, seen: Observed, policy: Policy
) -> None:
    """Each guard says what it found and which flag lifts it; no flag lifts two."""
    assert violations(desired, seen, policy) == expected


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
    assert violations(left(0), seen, Policy()) == ()


def test_a_selection_hides_nothing_from_a_guard() -> None:
    """The plan of a --target shows one row; guards are asked about the whole fleet."""
    policy = Policy(selection=Selection(targets=frozenset({"bot4"})))
    shown = plan(left(4), SEEN, now_ms=NOW_MS, policy=policy)
    assert [c.label for c in shown.changes] == ["bot4"]
    assert violations(left(4), SEEN, policy) == (TOO_MANY.format(4, 3),)


def using(*labels: str) -> Observed:
    """The fleet, with the tokens of these labels in use this minute."""
    ids = {current_id(label) for label in labels}
    tokens = (
        dataclasses.replace(t, last_used_at_ms=NOW_MS) if t.token_id in ids else t
        for t in SEEN.live
    )
    return dataclasses.replace(SEEN, live=tuple(tokens))


@pytest.mark.parametrize(
    ("expected", "seen", "policy"),
    [
        pytest.param(5, using("bot0", "bot1", "bot2"), Policy(), id="three are in use"),
        pytest.param(5, using(*LABELS), Policy(), id="all are in use"),
        pytest.param(5, using(*LABELS), Policy(revoke_in_use=True), id="in use, and may go"),
        pytest.param(
            5,
            dataclasses.replace(SEEN, signer_id=current_id("bot0")),
            Policy(),
            id="one of them signs",
        ),
        pytest.param(
            5,
            using("bot0", "bot1"),
            Policy(selection=Selection(only=Category.CLEANUP)),
            id="the selection leaves them to another run",
        ),
        pytest.param(None, protecting("bot0", "bot1"), Policy(), id="a protected one stays"),
        pytest.param(
            None,
            dataclasses.replace(
                SEEN, ledger=dataclasses.replace(SEEN.ledger, files=("a.yaml", "b.yaml"))
            ),
            Policy(),
            id="a file is missing, so nothing has left",
        ),
        pytest.param(
            5,
            dataclasses.replace(
                SEEN, ledger=dataclasses.replace(SEEN.ledger, files=("a.yaml", "b.yaml"))
            ),
            Policy(allow_missing_files=True),
            id="a file is gone for good",
        ),
    ],
)
def test_a_label_that_left_counts_whatever_becomes_of_it_now(
    expected: int | None, seen: Observed, policy: Policy
) -> None:
    """What is held today goes in an hour, and then nobody would count it with those
    that went before.
    """
    said = violations(left(5), seen, policy)
    assert said == (() if expected is None else (TOO_MANY.format(expected, 3),))


def test_one_that_was_counted_when_it_left_is_not_counted_again() -> None:
    """Five left last week, three at a time; one more may leave now."""
    gone = {
        label: dataclasses.replace(entry, current=dataclasses.replace(entry.current, left_ms=1))
        for label, entry in SEEN.ledger.tokens.items()
        if label != "bot0" and entry.current is not None
    }
    known = {**SEEN.ledger.tokens, **gone}
    seen = dataclasses.replace(SEEN, ledger=dataclasses.replace(SEEN.ledger, tokens=known))
    assert violations(left(5), seen, Policy(max_revocations=1)) == ()
    assert violations(left(5), seen, Policy(max_revocations=0)) == (TOO_MANY.format(1, 0),)


@pytest.mark.parametrize(
    ("expected", "label"),
    [
        pytest.param((), "bot0", id="one that left"),
        pytest.param((WANTED,), "bot4", id="one that the manifest has"),
        pytest.param(
            ("--revoke-now typo: the ledger knows no such label",),
            "typo",
            id="one that nobody knows",
        ),
    ],
)
def test_only_a_label_that_left_is_revoked_at_once(expected: tuple[str, ...], label: str) -> None:
    """A slip of the pen stops the apply: it would change nothing else."""
    assert violations(left(1), SEEN, Policy(revoke_now=frozenset({label}))) == expected


def test_each_guard_has_a_flag_of_its_own() -> None:
    """There is no flag that lifts them all: each check names its own guard's flag, in
    one sentence, and none that is another's.
    """
    checked = [guard.flag for guard in GUARDS if guard.check is not None]
    named = [
        word
        for said in (TOO_MANY, EMPTY, NO_MANAGER, OLDER, WANTED)
        for word in said.split()
        if word.startswith("--")
    ]
    assert len({guard.flag for guard in GUARDS}) == len(GUARDS)
    assert named == checked


GIVEN = Policy(
    max_revocations=5,
    allow_empty=True,
    revoke_in_use=True,
    revoke_unproven=True,
    revoke_now=frozenset({"d"}),
    replace=frozenset({"b", "a"}),
    requested=frozenset({"c"}),
    compromised=True,
)


def test_flags_are_those_of_the_command_line() -> None:
    """Only guards that differ from their defaults, in the order of the table."""
    assert Policy().flags() == ()
    assert GIVEN.flags() == (
        *("--max-revocations 5", "--allow-empty", "--revoke-in-use", "--revoke-unproven"),
        *("--revoke-now d", "--replace a", "--replace b"),
    )


def test_flags_come_back_from_json() -> None:
    """What a saved plan says of its guards makes the same policy again, and each guard
    stands in the schema.
    """
    plain = GIVEN.flags_plain()
    schema = load_schema("plan")["properties"]["flags"]
    again = Policy(requested=GIVEN.requested, compromised=True).with_given(plain)
    assert again == GIVEN
    assert list(plain) == [guard.name for guard in GUARDS] == schema["required"]
    assert plain.keys() == schema["properties"].keys()


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        pytest.param(GIVEN, {}, id="nothing more"),
        pytest.param(
            GIVEN,
            {"max_revocations": None, "allow_empty": False, "replace": ()},
            id="unset options",
        ),
        pytest.param(
            dataclasses.replace(GIVEN, max_revocations=0), {"max_revocations": 0}, id="a limit"
        ),
        pytest.param(
            dataclasses.replace(GIVEN, allow_missing_files=True),
            {"allow_missing_files": True},
            id="a guard lifted",
        ),
        pytest.param(
            dataclasses.replace(GIVEN, replace=frozenset({"a", "b", "d"})),
            {"replace": ("d",)},
            id="a label more",
        ),
    ],
)
def test_what_is_given_comes_on_top(expected: Policy, given: dict[str, object]) -> None:
    """A limit takes the place of the one before; what lifts a guard is added, never
    taken away.
    """
    assert GIVEN.with_given(given) == expected


def test_a_token_that_is_gone_already_counts_as_one_that_leaves() -> None:
    """The guard is about the manifest: a mass removal is one, whatever else happened to
    the tokens.
    """
    gone = {current_id(label) for label in LABELS}
    seen = dataclasses.replace(SEEN, live=tuple(t for t in SEEN.live if t.token_id not in gone))
    assert violations(left(5), seen, Policy()) == (TOO_MANY.format(5, 3),)


def test_an_entry_without_a_current_token_leaves_nothing() -> None:
    """Only a protection that is remembered is no token to revoke."""
    entries = {
        MANAGER: SEEN.ledger.tokens[MANAGER],
        **{f"old{n}": Entry(path=f"old{n}", protect=True) for n in range(9)},
    }
    seen = dataclasses.replace(
        SEEN, ledger=dataclasses.replace(SEEN.ledger, tokens=entries), live=SEEN.live[:1]
    )
    assert violations(manifest(BOSS), seen, Policy()) == ()
