"""Which desired state is the newest one that was applied."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import DAY_MS, HOUR_MS, Manifest
from reconciler.plan.change import Selection
from reconciler.plan.guards import Policy, violations
from reconciler.plan.vocabulary import Category
from reconciler.state.ledger import Ledger
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.manifests import remember_state, state_of, superseded_at_ms
from tests.support.values import LEDGER_ID, MANAGER, NOW_MS, manifest, settled, spec

BOSS, BOT, CAT = spec(MANAGER), spec("bot"), spec("cat")
WIDE = spec("bot", scopes=("account_creation", "trading"))
LONGER = dataclasses.replace(BOT, overlap_ms=2 * DAY_MS)
EMPTY = Ledger(ledger_id=LEDGER_ID, api_url="https://api.example")

ONE, TWO, THREE = manifest(BOSS, BOT), manifest(BOSS, BOT, CAT), manifest(BOSS, WIDE, CAT)
QUIET = manifest(BOSS, LONGER)


def after(*applied: Manifest) -> Ledger:
    """The ledger after these were applied, an hour apart."""
    found = EMPTY
    for number, desired in enumerate(applied):
        found = remember_state(found, state_of(desired, NOW_MS + number * HOUR_MS))
    return found


@pytest.mark.parametrize(
    ("expected", "applied", "desired"),
    [
        pytest.param(None, (), ONE, id="nothing was ever applied"),
        pytest.param(None, (ONE,), ONE, id="the last one"),
        pytest.param(None, (ONE,), TWO, id="a new one"),
        pytest.param(1, (ONE, TWO), ONE, id="the one before"),
        pytest.param(1, (ONE, TWO, THREE), ONE, id="an old one: since the one after it"),
        pytest.param(2, (ONE, TWO, THREE), TWO, id="the one before the last"),
        pytest.param(None, (ONE, TWO, ONE), ONE, id="applied again, it is the newest"),
        pytest.param(2, (ONE, TWO, ONE), TWO, id="and what it took the place of is not"),
        pytest.param(None, (ONE,), QUIET, id="a longer overlap is new"),
        pytest.param(None, (ONE, QUIET), QUIET, id="a longer overlap that was applied"),
        pytest.param(1, (ONE, QUIET), ONE, id="before the longer overlap"),
        pytest.param(
            1, (ONE, TWO), QUIET, id="never applied, as it needed no change, and superseded"
        ),
    ],
)
def test_what_is_older(
    expected: int | None, applied: tuple[Manifest, ...], desired: Manifest
) -> None:
    """An older desired state is told with the time of what took its place."""
    since_ms = superseded_at_ms(after(*applied), desired)
    assert since_ms == (None if expected is None else NOW_MS + expected * HOUR_MS)


def test_what_says_nothing_else_is_the_same() -> None:
    """Descriptions, the order of labels and scopes, and names of files don't count."""
    told = dataclasses.replace(BOT, description="market maker")
    turned = dataclasses.replace(WIDE, scopes=tuple(reversed(WIDE.scopes)))
    same = state_of(ONE, 0)
    assert state_of(manifest(told, BOSS, files=("a.yaml", "b.yaml")), 0) == same
    assert state_of(manifest(BOSS, turned, CAT), 0) == state_of(THREE, 0)
    for other in (
        manifest(BOSS, dataclasses.replace(BOT, protect=True)),
        manifest(BOSS, spec("bot", path="prod/bot")),
        manifest(BOSS, BOT, manager="bot"),
        TWO,
    ):
        assert state_of(other, 0).tokens != same.tokens
        assert state_of(other, 0).digest != same.digest
    assert state_of(QUIET, 0).tokens == same.tokens
    assert state_of(QUIET, 0).digest != same.digest
    assert state_of(manifest(BOSS, BOT, profile_id=7), 0).digest != same.digest


def test_fifty_are_remembered() -> None:
    """The oldest go, so the ledger stays small; the same one again is not written."""
    found = after(*(manifest(BOSS, spec(f"bot-{number}")) for number in range(60)))
    assert len(found.manifests) == 50
    assert from_text(to_text(found)) == found
    newest = manifest(BOSS, spec("bot-59"))
    assert remember_state(found, state_of(newest, NOW_MS + DAY_MS)) is found
    assert len(to_text(found)) < 12_000


@pytest.mark.parametrize(
    ("expected", "policy"),
    [
        pytest.param(True, Policy(), id="everything"),
        pytest.param(True, Policy(selection=Selection(only=Category.CONFIG)), id="only config"),
        pytest.param(True, Policy(selection=Selection(targets=frozenset({"bot"}))), id="one label"),
        pytest.param(False, Policy(allow_older_manifest=True), id="it may"),
        pytest.param(
            False, Policy(selection=Selection(only=Category.ROTATION)), id="only rotation"
        ),
        pytest.param(False, Policy(selection=Selection(only=Category.CLEANUP)), id="only cleanup"),
    ],
)
def test_the_guard(*, expected: bool, policy: Policy) -> None:
    """It stops what would make an older manifest so, and nothing else."""
    seen = settled([BOSS, BOT, CAT])
    seen = dataclasses.replace(
        seen, ledger=dataclasses.replace(seen.ledger, manifests=after(ONE, TWO).manifests)
    )
    said = violations(ONE, seen, policy)
    assert violations(TWO, seen, policy) == ()
    refused = (
        "this manifest is an older one: what it says was applied, and superseded on "
        "2026-11-22T09:30:00.000Z: take the newest, or go back by --allow-older-manifest or a "
        "saved plan"
    )
    assert said == ((refused,) if expected else ())
