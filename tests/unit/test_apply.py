"""What of ``apply`` is pure: what may go on side by side."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.plan.change import Change, Side
from reconciler.plan.tasks import Evidence, RevokeCurrent, RevokeRetiring
from reconciler.plan.vocabulary import Action, Reason
from reconciler.run.lanes import derives, in_lanes, without_ground
from reconciler.state import Entry
from tests.support.values import current, retiring


def revoke(label: str, token_id: str) -> Change:
    """A predecessor's row."""
    return Change(
        label=label,
        action=Action.REVOKE,
        reason=Reason.SUPERSEDED,
        before=Side(path=label, token_id=token_id),
    )


def rotate(label: str) -> Change:
    """The label's own row."""
    return Change(label=label, action=Action.ROTATE, reason=Reason.DUE)


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        pytest.param((), (), id="nothing"),
        pytest.param(
            ((rotate("ant"),), (rotate("bee"),)),
            (rotate("ant"), rotate("bee")),
            id="derives of two labels",
        ),
        pytest.param(
            ((revoke("bee", "b"),), (rotate("ant"),)),
            (rotate("ant"), revoke("bee", "b")),
            id="of two labels",
        ),
        pytest.param(
            ((revoke("ant", "a"), revoke("ant", "b"), rotate("ant")),),
            (rotate("ant"), revoke("ant", "a"), revoke("ant", "b")),
            id="one label: its revokes come first, one after the other",
        ),
    ],
)
def test_one_thing_at_a_time_about_a_label(
    expected: tuple[tuple[Change, ...], ...], changes: tuple[Change, ...]
) -> None:
    """A fence beside a revocation could give consumers a token on its way out."""
    assert in_lanes(changes) == expected


def test_a_lane_that_ends_with_a_revocation_derives_all_the_same() -> None:
    """It takes its place among the few that derive side by side."""
    assert derives((rotate("ant"), revoke("bee", "b")))
    assert not derives((revoke("bee", "b"),))


UNSEEN = Evidence(live=None, at_ms=0)
ANT = Entry(path="ant", current=current("a1", "ant"), retiring=(retiring("a0", "ant"),))
TAKES = dataclasses.replace(rotate("bee"), after=Side(path="ant"))
LEAVES = Change(
    label="ant",
    action=Action.REVOKE,
    reason=Reason.LEFT,
    before=Side(path="ant", token_id="a1"),
    task=RevokeCurrent(entry=ANT, evidence=UNSEEN, after_taker="bee"),
)
FOLLOWS = dataclasses.replace(
    revoke("ant", "a0"),
    task=RevokeRetiring(entry=ANT, retiring=ANT.retiring[0], evidence=UNSEEN, after_current=True),
)


@pytest.mark.parametrize(
    ("expected", "changes", "undone"),
    [
        pytest.param((), (TAKES, LEAVES, FOLLOWS), (), id="all are made"),
        pytest.param(
            (LEAVES, FOLLOWS), (TAKES, LEAVES, FOLLOWS), (TAKES,), id="what is first is not"
        ),
        pytest.param((FOLLOWS,), (TAKES, LEAVES, FOLLOWS), (LEAVES,), id="what is second is not"),
        pytest.param((LEAVES, FOLLOWS), (LEAVES, FOLLOWS), (), id="nobody agreed to the first"),
        pytest.param((FOLLOWS,), (FOLLOWS, revoke("ant", "x")), (), id="nor to the second"),
        pytest.param((), (revoke("ant", "a0"),), (), id="it rests on nothing"),
    ],
)
def test_what_rests_on_a_change_that_is_not_made(
    expected: tuple[Change, ...], changes: tuple[Change, ...], undone: tuple[Change, ...]
) -> None:
    """It is not made either, however long the chain: else a path were empty, or a
    predecessor gone whose label stays.
    """
    assert tuple(without_ground(changes, undone)) == expected
