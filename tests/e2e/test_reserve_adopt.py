"""Adopting a token of the reserve: the way out where somebody uses one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.model import VersionState
from tests.e2e.conftest import NewFleet
from tests.e2e.test_reserve import BOT, current, reserve, stocked
from tests.support.fleet import Fleet, KillServer

__all__ = ["stocked"]  # the fixture

FEWEST_EFFECTS, MOST_EFFECTS = 8, 60


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all."""
    server = KillServer()
    yield server
    server.stop()


def adopt(token_id: str, label: str = "bot") -> tuple[str, ...]:
    """The command about a token."""
    return ("adopt", "--label", label, "--token-id", token_id)


@pytest.mark.parametrize("given", [True, False], ids=["secret given", "an empty line"])
def test_a_reserve_that_somebody_uses_is_adopted(stocked: Fleet, *, given: bool) -> None:
    """It becomes the label's current token, its predecessor retires and goes by
    evidence, its document is deleted; nothing is held any more.
    """
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fleet.later(minutes=5)
    fleet.use(kept.path)
    fleet.later(minutes=5)
    assert "somebody uses a token of the reserve" in fleet.must("plan").out
    secret = fleet.sandbox.state.token(kept.token_id).secret if given else "\n"
    fleet.must(*adopt(kept.token_id), text=secret)
    assert (current(fleet), reserve(fleet)) == (kept.token_id, ())
    assert fleet.use("prod/bot") == kept.token_id
    entry = fleet.ledger().tokens["bot"]
    assert [row.token_id for row in entry.retiring] == [old]
    assert entry.current is not None
    assert not entry.current.fresh
    assert [row.token_id for row in fleet.ledger().left] == [kept.token_id]
    fleet.must("apply", "--yes")
    assert fleet.secret(kept.path, 1).state is VersionState.DELETED
    assert len(reserve(fleet)) == 1
    fleet.later(hours=2)
    fleet.use("prod/bot")
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(old).live
    fleet.assert_whole()
    fleet.assert_quiet()


def test_what_is_not_adopted(stocked: Fleet) -> None:
    """Under another label, by a list, with a wrong secret, without its document, or as
    anything in the reserve: one sentence each, and nothing changes.
    """
    fleet = stocked
    (kept,) = reserve(fleet)
    fleet.write({**BOT, "reserve": 1}, {"label": "other"})
    with fleet.operator() as client:
        client.secrets.kv.v2.create_or_update_secret(
            "elsewhere/bot",
            {"secret": fleet.sandbox.state.token(kept.token_id).secret},
            mount_point=fleet.mount,
        )
    (fleet.folder / "list.yaml").write_text(
        f"- {{label: bot, token_id: {kept.token_id}, vault: {fleet.mount}/elsewhere/bot}}\n"
    )
    with fleet.untouched():
        said = fleet.refused(1, *adopt(kept.token_id, "other"), text="\n")
        assert said == f"{kept.token_id} is managed already, as a token of bot"
        done = fleet.attempt("adopt", "--from", "list.yaml", "--yes")
        assert done.code == 1, done
        assert f"{kept.token_id} is in the reserve of bot: adopt it alone" in done.out
        twin = fleet.sandbox.state.derive_by_hand("bot")
        said = fleet.refused(1, *adopt(twin.token_id), text=twin.secret)
        assert said.startswith("bot has a token already")
        fleet.sandbox.state.revoke_by_hand(twin.token_id)
    fleet.refused(1, *adopt(kept.token_id), text="d3Jvbmc=")
    assert reserve(fleet)[0].token_id == kept.token_id
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/{kept.path}", 1)
    said = fleet.refused(1, *adopt(kept.token_id), text="\n")
    assert said == (
        f"the document of {kept.token_id} does not hold its secret any more: "
        "give it on standard input"
    )
    fleet.must("apply", "--yes", "--target", "other")
    hand = fleet.sandbox.state.derive_by_hand("hand")
    fleet.write({**BOT, "reserve": 1}, {"label": "other"}, {"label": "hand", "reserve": 1})
    fleet.must(*adopt(hand.token_id, "hand"), text=hand.secret)
    assert (current(fleet, "hand"), reserve(fleet, "hand")) == (hand.token_id, ())


def test_killed_after_every_effect(new_fleet: NewFleet, kill_server: KillServer) -> None:
    """Cut off anywhere, the next apply and the same command end it: one token is
    current, no document is left, and none is in two places.
    """
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            fleet.defaults = {"overlap": "1h"}
            fleet.begin({**BOT, "reserve": 1})
            fleet.use("prod/bot")
            (kept,), old = reserve(fleet), current(fleet)
            killed = kill_server.killed(fleet, at, *adopt(kept.token_id))
            fleet.attempt("apply", "--yes")
            assert fleet.use("prod/bot") == current(fleet) in {kept.token_id, old}, at
            if current(fleet) == old:
                fleet.must(*adopt(kept.token_id), text="\n")
            fleet.must("apply", "--yes")
            assert current(fleet) == kept.token_id, at
            assert fleet.ledger().left == (), at
            assert fleet.secret(kept.path, 1).state is VersionState.DELETED, at
            assert fleet.sandbox.state.token(old).live, at
            fleet.assert_whole()
            fleet.assert_quiet()
        if not killed:
            assert at > FEWEST_EFFECTS
            return
    pytest.fail("the adoption never came to its end")
