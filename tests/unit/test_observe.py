"""What of ``observe`` is pure: whose the token is that the manager's secret holds."""

from __future__ import annotations

import pytest

from reconciler.run.observe import unrecorded_token
from reconciler.state.ledger import Entry, IntentKind
from tests.support.values import current, intent

NOW = current("now", "manager")
BEGUN = intent("manager", kind=IntentKind.ROTATE, cas=1, token_id="next")
ELSEWHERE = intent("elsewhere", kind=IntentKind.ROTATE, token_id="next")


@pytest.mark.parametrize(
    ("expected", "token_id", "entry"),
    [
        pytest.param(
            True,
            "next",
            Entry(path="manager", current=NOW, intent=BEGUN),
            id="committed, the record is missing",
        ),
        pytest.param(
            False,
            "now",
            Entry(path="manager", current=NOW, intent=BEGUN),
            id="the predecessor is recorded",
        ),
        pytest.param(False, "next", Entry(path="manager", current=NOW), id="nobody knows it"),
        pytest.param(
            False,
            "next",
            Entry(path="manager", current=NOW, intent=ELSEWHERE),
            id="it belongs to another path",
        ),
    ],
)
def test_a_committed_manager_signs_before_it_is_recorded(
    *, expected: bool, token_id: str, entry: Entry
) -> None:
    """A rotation that died right after its commit locks nobody out, even where Vault
    keeps one version only.
    """
    assert (unrecorded_token(entry) == token_id) == expected
