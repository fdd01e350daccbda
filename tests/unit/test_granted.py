"""Scopes that the exchange granted instead of those that were asked for."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import LiveToken
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state.granted import forget_granted, granted_otherwise, remember_granted
from reconciler.state.ledger import Granted, Ledger
from reconciler.state.ledger_text import from_text, to_text
from tests.support.values import (
    LEDGER_ID,
    MANAGER,
    NOW_MS,
    TRADING,
    current_id,
    live,
    manifest,
    settled,
    spec,
)

WIDE = ("account_creation", "trading")
ROW = Granted(asked=TRADING, granted=WIDE, at_ms=NOW_MS)
EMPTY = Ledger(ledger_id=LEDGER_ID, api_url="https://api.example")
KNOWN = remember_granted(EMPTY, ROW)


def test_the_last_answer_counts() -> None:
    """One row for each set of scopes, in whatever order they are named."""
    later = Granted(asked=("trading", "withdrawal"), granted=TRADING, at_ms=NOW_MS)
    again = dataclasses.replace(later, asked=("withdrawal", "trading"), at_ms=NOW_MS + 1)
    both = remember_granted(remember_granted(KNOWN, later), again)
    assert both.granted == (ROW, again)
    assert forget_granted(both, ("trading", "withdrawal")).granted == (ROW,)
    assert forget_granted(EMPTY, TRADING) is EMPTY


def test_it_stays_small() -> None:
    """A manifest that changes for years leaves no more than twenty rows."""
    found = EMPTY
    for number in range(50):
        asked = ("trading", f"s{number}")
        found = remember_granted(found, Granted(asked=asked, granted=TRADING, at_ms=NOW_MS))
    assert len(found.granted) == 20
    assert from_text(to_text(found)) == found


@pytest.mark.parametrize(
    ("expected", "token"),
    [
        pytest.param(False, live("t", "bot", age_ms=-1), id="made since, with just these"),
        pytest.param(True, live("t", "bot", age_ms=0), id="made at the same instant"),
        pytest.param(True, live("t", "bot"), id="made before"),
        pytest.param(True, live("t", "bot", scopes=WIDE, age_ms=-1), id="made since, with more"),
        pytest.param(False, live("t", "alien", age_ms=-1), id="anybody's token proves it"),
    ],
)
def test_a_live_token_refutes_it(*, expected: bool, token: LiveToken) -> None:
    """What the exchange grants by now is seen on what it has made since."""
    assert bool(granted_otherwise(KNOWN, [token])) is expected


BOT = spec("bot", rotate_after_ms=1)
SEEN = settled([spec(MANAGER, rotate_after_ms=None), BOT])
WIDER = dataclasses.replace(
    SEEN,
    live=tuple(
        dataclasses.replace(t, scopes=WIDE) if t.token_id == current_id("bot") else t
        for t in SEEN.live
    ),
)
"""The exchange shows one scope more for a token that was right before."""


@pytest.mark.parametrize(
    ("expected", "seen", "policy"),
    [
        pytest.param(Reason.SCOPES_GRANTED, SEEN, Policy(), id="due"),
        pytest.param(Reason.DUE, SEEN, Policy(retry_scopes=True), id="due, and may try"),
        pytest.param(Reason.SCOPES_GRANTED, WIDER, Policy(), id="shown with one scope more"),
        pytest.param(
            Reason.SCOPES_GRANTED,
            SEEN,
            Policy(requested=frozenset({"bot"}), compromised=True),
            id="compromised: a new token would be no better",
        ),
    ],
)
def test_nothing_is_derived_in_vain(expected: Reason, seen: object, policy: Policy) -> None:
    """What would derive is held, whatever for; what derives nothing goes on."""
    assert isinstance(seen, type(SEEN))
    known = dataclasses.replace(seen, ledger=dataclasses.replace(seen.ledger, granted=(ROW,)))
    desired = manifest(spec(MANAGER, rotate_after_ms=None), BOT)
    found = plan(desired, known, now_ms=NOW_MS, policy=policy)
    (row,) = (c for c in found.changes if c.label == "bot")
    assert row.reason is expected
    assert row.needs_decision is (expected is Reason.SCOPES_GRANTED)
    left = plan(manifest(spec(MANAGER, rotate_after_ms=None)), known, now_ms=NOW_MS)
    assert [c.action for c in left.changes if c.label == "bot"] == [Action.RETIRE]
    other = dataclasses.replace(BOT, scopes=WIDE)
    wider = plan(manifest(spec(MANAGER, rotate_after_ms=None), other), known, now_ms=NOW_MS)
    (row,) = (c for c in wider.changes if c.label == "bot")
    assert row.action is Action.ROTATE
