"""What a reviewer is told beyond the rows: the cause of each, and what the manifest
changes behind them.
"""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model import DAY_MS, HOUR_MS, Manifest, TokenSpec
from reconciler.plan.change import Selection, row_key
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.review import Cause, NoBase, Review, review_of
from reconciler.plan.vocabulary import Action, Category, Reason
from reconciler.state.snapshot import Observed
from tests.support.values import NOW_MS, entry, ledger, live, manifest, observed, spec
from tests.support.worlds import Scene, scenes

CONFIG = Policy(selection=Selection(only=Category.CONFIG))


def seen(*labels: str, old: str = "") -> Observed:
    """Each label has its token; that of ``old`` is 40 days old."""
    entries = {
        label: entry(f"id-{label}", label, age_ms=(40 if label == old else 1) * DAY_MS)
        for label in labels
    }
    return observed(
        ledger(entries),
        *(
            live(f"id-{label}", label, age_ms=(40 if label == old else 1) * DAY_MS)
            for label in labels
        ),
    )


def reviewed(
    head: Manifest, base: Manifest | NoBase, state: Observed, policy: Policy | None = None
) -> tuple[Review, dict[str, Cause | None]]:
    """The review, and by label the cause of each row of the plan that is no keep."""
    policy = policy or Policy()
    chosen = plan(head, state, now_ms=NOW_MS, policy=policy)
    found = review_of(chosen, head=head, base=base, observed=state, policy=policy)
    return found, {c.label: found.cause(c) for c in chosen.changes if c.action is not Action.KEEP}


def test_each_row_has_its_cause() -> None:
    """A new label is the pull request's, one that vanished is drift, an old one is due:
    whatever order they come in.
    """
    state = seen("manager", "aged", "gone", old="aged")
    state = dataclasses.replace(state, live=tuple(t for t in state.live if t.label != "gone"))
    base = manifest(spec("manager"), spec("aged"), spec("gone"), manager="manager")
    head = dataclasses.replace(base, tokens=(*base.tokens, spec("new")))
    _, causes = reviewed(head, base, state)
    assert causes == {"new": Cause.PULL_REQUEST, "gone": Cause.DRIFT, "aged": Cause.ROTATION_DUE}


def test_a_due_rotation_that_the_pull_request_changes_is_its_own() -> None:
    """What the row does is not what the base branch would do."""
    base = manifest(spec("manager"), spec("aged"), manager="manager")
    head = dataclasses.replace(
        base, tokens=(spec("manager"), spec("aged", scopes=("trading", "withdrawal")))
    )
    _, causes = reviewed(head, base, seen("manager", "aged", old="aged"))
    assert causes == {"aged": Cause.PULL_REQUEST}


@pytest.mark.parametrize(
    ("base", "expected"),
    [(NoBase.NOT_GIVEN, None), (NoBase.UNREADABLE, None), (NoBase.ABSENT, Cause.PULL_REQUEST)],
)
def test_without_a_base_branch(base: NoBase, expected: Cause | None) -> None:
    """The first pull request causes all its rows; where the base can't be read, nothing
    is claimed.
    """
    found, causes = reviewed(
        manifest(spec("manager"), spec("new"), manager="manager"), base, seen("manager")
    )
    assert causes == {"new": expected}
    assert found.base_unreadable is (base is NoBase.UNREADABLE)


def test_what_other_jobs_do_and_what_goes_away() -> None:
    """Beside a plan of configuration stand due rotations, and what the base branch
    would do and this one won't.
    """
    base = manifest(spec("manager"), spec("aged"), spec("never-made"), manager="manager")
    head = dataclasses.replace(base, tokens=(spec("manager"), spec("aged")))
    found, causes = reviewed(head, base, seen("manager", "aged", old="aged"), CONFIG)
    assert causes == {}
    assert [(c.label, c.reason) for c in found.elsewhere] == [("aged", Reason.DUE)]
    assert [(c.label, c.action) for c in found.undone] == [("never-made", Action.DERIVE)]


def hurried(token: TokenSpec) -> TokenSpec:
    """The same with no overlap."""
    return dataclasses.replace(token, overlap_ms=0)


BASE = (spec("manager"), spec("a"), spec("b"))


@pytest.mark.parametrize(
    ("tokens", "manager", "expected"),
    [
        pytest.param(BASE, "manager", {}, id="nothing"),
        pytest.param(
            (spec("manager"), spec("a", path="b"), spec("b", path="a")),
            "manager",
            {
                "points at the path of another label's secret": (
                    ("a", "b belongs to b"),
                    ("b", "a belongs to a"),
                )
            },
            id="labels swapped",
        ),
        pytest.param(
            (spec("manager"), spec("renamed", path="a"), spec("b")),
            "manager",
            {"points at the path of another label's secret": (("renamed", "a belongs to a"),)},
            id="renamed at the same path",
        ),
        pytest.param(
            (spec("manager"), hurried(spec("a")), spec("b")),
            "manager",
            {"shortens the overlap: consumers get less time to change over": (("a", "1d -> 0s"),)},
            id="no overlap",
        ),
        pytest.param(
            (
                spec("manager"),
                spec("a", rotate_after_ms=None),
                spec("b"),
                spec("new", rotate_after_ms=None),
            ),
            "manager",
            {"is rotated less often": (("a", "30d -> none"),)},
            id="never rotated",
        ),
        pytest.param(
            (
                spec("manager"),
                spec("a", rotate_after_ms=521 * DAY_MS),
                dataclasses.replace(spec("b"), overlap_ms=HOUR_MS),
            ),
            "manager",
            {
                "shortens the overlap: consumers get less time to change over": (
                    ("b", "1d -> 1h"),
                ),
                "is rotated less often": (("a", "30d -> 521d"),),
            },
            id="shorter and rarer",
        ),
        pytest.param(
            BASE,
            "a",
            {"changes the manager, whose token signs list and revoke": (("a", "was manager"),)},
            id="manager",
        ),
    ],
)
def test_findings(
    tokens: tuple[TokenSpec, ...], manager: str, expected: dict[str, tuple[tuple[str, str], ...]]
) -> None:
    """What no row tells is told by itself, with the labels."""
    base = manifest(*BASE, manager="manager")
    head = manifest(*tokens, manager=manager)
    found, _ = reviewed(head, base, seen("manager", "a", "b"))
    assert {f.sentence: f.about for f in found.findings} == expected


SHORTENED = "shortens the overlap: consumers get less time to change over"
FROM_THE_START = "has a short overlap from the start"


@pytest.mark.parametrize(
    ("expected", "base", "label"),
    [
        pytest.param({}, NoBase.NOT_GIVEN, "a", id="without a base, a known label"),
        pytest.param({}, NoBase.UNREADABLE, "a", id="with a base that is not valid"),
        pytest.param({FROM_THE_START: (("new", "0s"),)}, NoBase.NOT_GIVEN, "new", id="a new label"),
        pytest.param(
            {FROM_THE_START: (("new", "0s"),)},
            manifest(*BASE, manager="manager"),
            "new",
            id="a new label of a pull request",
        ),
        pytest.param(
            {SHORTENED: (("a", "1d -> 0s"),)},
            manifest(*BASE, manager="manager"),
            "a",
            id="a shorter one in a pull request",
        ),
    ],
)
def test_a_short_overlap_is_told_once(
    expected: dict[str, object], base: Manifest | NoBase, label: str
) -> None:
    """Where it is new or changed; a warning in every run would be looked past."""
    head = manifest(*BASE[:1], *BASE[2:], hurried(spec(label)), manager="manager")
    found, _ = reviewed(head, base, seen("manager", "a", "b"))
    assert {f.sentence: f.about for f in found.findings} == expected


@settings(max_examples=60, derandomize=True)
@given(scenes(), scenes(), st.sampled_from([None, *Category]))
def test_every_row_has_exactly_one_cause(scene: Scene, other: Scene, only: Category | None) -> None:
    """Whatever the state: with a base each acting or held row has a cause, the pull
    request's iff the base has it not.
    """
    policy = Policy(selection=Selection(only=only))
    chosen = plan(scene.desired, scene.observed, now_ms=NOW_MS, policy=policy)
    found = review_of(
        chosen, head=scene.desired, base=other.desired, observed=scene.observed, policy=policy
    )
    before = {row_key(c) for c in plan(other.desired, scene.observed, now_ms=NOW_MS).changes}
    for change in chosen.changes:
        if change.action is not Action.KEEP:
            assert (found.cause(change) is Cause.PULL_REQUEST) is (row_key(change) not in before)
    same = review_of(
        chosen, head=scene.desired, base=scene.desired, observed=scene.observed, policy=policy
    )
    assert Cause.PULL_REQUEST not in same.causes.values()
    assert same.undone == ()


@pytest.mark.parametrize(
    ("profile_id", "expected"), [(42, []), (None, ["42 -> none"]), (43, ["42 -> 43"])]
)
def test_the_pin_of_the_profile(profile_id: int | None, expected: list[str]) -> None:
    """Taking it out takes a guard away."""
    base = manifest(*BASE, manager="manager")
    found, _ = reviewed(
        dataclasses.replace(base, profile_id=profile_id), base, seen("manager", "a", "b")
    )
    assert [detail for f in found.findings for _, detail in f.about] == expected
