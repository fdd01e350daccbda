"""A label is released: its reserves go with it, and their documents stay."""

from __future__ import annotations

from reconciler.model import VersionState
from tests.e2e.test_reserve import ALONE, BOT, reserve
from tests.support.fleet import Fleet


def begun(fleet: Fleet) -> tuple[str, str, str]:
    """A bot with a predecessor and a reserve: current, predecessor, reserve."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin({**BOT, "reserve": 1})
    old = fleet.use("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.must("apply", "--yes")
    (kept,) = reserve(fleet)
    return fleet.use("prod/bot"), old, kept.token_id


def test_reserves_are_released_with_their_label(fleet: Fleet) -> None:
    """Each is somebody else's from then on: it lives, it is no twin, nothing touches
    it. The output says where its document is, which no command would say later.
    """
    current, old, kept = begun(fleet)
    (row,) = reserve(fleet)
    place = f"{fleet.mount}/{fleet.prefix}"
    fleet.write()
    done = fleet.must("release", "--label", "bot", "--yes", environ=ALONE)
    assert done.out.splitlines() == [
        f"released bot ({current}): its secret stays at {place}/prod/bot",
        f"released bot ({old}): a predecessor",
        f"released bot ({kept}): kept ready, its secret stays at {place}/{row.path}",
        "released labels 1, tokens 3",
    ]
    assert {token.token_id for token in fleet.live("bot")} == {current, old, kept}
    assert fleet.secret(row.path).state is VersionState.LIVING
    assert "bot" not in fleet.ledger().tokens
    assert kept in fleet.ledger().released_ids()
    fleet.assert_quiet()
    assert kept not in fleet.must("status").out
    fleet.later(days=40)
    fleet.must("apply", "--yes", "--only", "cleanup")
    assert fleet.sandbox.state.token(kept).live


def test_everything_is_released(fleet: Fleet) -> None:
    """The reserves of all labels, the manager's included."""
    fleet.defaults = {"reserve": 1}
    fleet.begin(BOT)
    kept = [row.token_id for label in ("bot", "reconciler") for row in reserve(fleet, label)]
    assert len(kept) == 2
    done = fleet.must("release", "--all", "--yes", environ=ALONE)
    assert done.last_line == "released labels 2, tokens 4"
    assert done.out.count("kept ready, its secret stays at") == 2
    assert fleet.ledger().tokens == {}
    assert fleet.ledger().released_ids() >= set(kept)
    with fleet.untouched():
        fleet.must("release", "--all", "--yes")


def test_a_label_that_comes_back_has_no_reserve_of_before(fleet: Fleet) -> None:
    """It begins anew, at a path of its own; the released reserve stays somebody's."""
    _, _, kept = begun(fleet)
    fleet.write()
    fleet.must("release", "--label", "bot", "--yes")
    fleet.write({"label": "bot", "path": "prod/other", "reserve": 1})
    fleet.must("apply", "--yes")
    (row,) = reserve(fleet)
    assert row.token_id != kept
    assert fleet.sandbox.state.token(kept).live
    fleet.assert_quiet()
