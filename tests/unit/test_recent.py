"""Claims about what one version of the ledger remembers."""

from __future__ import annotations

import dataclasses

from reconciler.model import DAY_MS, HOUR_MS
from reconciler.plan.recent import RECENT_MOST, Past, recent_of
from reconciler.state.ledger import Applied, Closed, Ledger
from reconciler.state.parted import Released
from tests.support.values import NOW_MS, entry, ledger, lost, retiring


def whole() -> Ledger:
    """A ledger with one row of each kind."""
    bot = dataclasses.replace(
        entry("id-1", "bot", age_ms=HOUR_MS),
        retiring=(retiring("id-0", "bot", superseded_age_ms=HOUR_MS),),
    )
    used = entry("id-2", "taken", age_ms=90 * DAY_MS)
    assert used.current is not None
    taken = dataclasses.replace(used.current, in_use_since_ms=NOW_MS - 5 * DAY_MS)
    return dataclasses.replace(
        ledger({"bot": bot, "taken": dataclasses.replace(used, current=taken)}),
        abandoned=(lost("bot"),),
        closed=(
            Closed(label="bot", token_id="id-9", outcome="superseded", at_ms=NOW_MS - 3 * DAY_MS),
            Closed(label="bot", token_id="id-8", outcome="missing", at_ms=NOW_MS - 4 * DAY_MS),
        ),
        released=(Released(label="desk", token_id="id-7", at_ms=NOW_MS - 6 * DAY_MS),),
        manifests=(Applied(digest="d", at_ms=NOW_MS - 2 * HOUR_MS),),
    )


def test_each_kind_is_told_the_newest_first() -> None:
    """A token that was adopted is in use since then, whatever its age."""
    assert recent_of(whole()) == (
        Past(
            at_ms=NOW_MS - HOUR_MS, label="bot", what="superseded", token_id="id-0", why="rotated"
        ),
        Past(at_ms=NOW_MS - HOUR_MS, label="bot", what="in use", token_id="id-1"),
        Past(at_ms=NOW_MS - 2 * HOUR_MS, label="", what="applied"),
        Past(at_ms=NOW_MS - 47 * HOUR_MS, label="bot", what="abandoned"),
        Past(
            at_ms=NOW_MS - 3 * DAY_MS,
            label="bot",
            what="revoked",
            token_id="id-9",
            why="superseded",
        ),
        Past(at_ms=NOW_MS - 4 * DAY_MS, label="bot", what="closed", token_id="id-8", why="missing"),
        Past(at_ms=NOW_MS - 5 * DAY_MS, label="taken", what="in use", token_id="id-2"),
        Past(at_ms=NOW_MS - 6 * DAY_MS, label="desk", what="released", token_id="id-7"),
    )


def test_only_so_many_are_told() -> None:
    """The newest of a large fleet."""
    entries = {f"bot-{n}": entry(f"id-{n}", f"bot-{n}", age_ms=n * HOUR_MS) for n in range(100)}
    found = recent_of(ledger(entries))
    assert len(found) == RECENT_MOST
    assert [past.label for past in found[:2]] == ["bot-0", "bot-1"]
