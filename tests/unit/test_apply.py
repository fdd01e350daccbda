"""What of ``apply`` is pure: what may go on side by side."""

from __future__ import annotations

import pytest

from reconciler.plan.change import Change, Side
from reconciler.plan.vocabulary import Action, Reason
from reconciler.run.lanes import derives, in_lanes


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
