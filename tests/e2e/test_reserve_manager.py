"""The manager's token is gone, and a successor is ready: no bootstrap, no identity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import NewFleet
from tests.e2e.test_reserve import ALONE, BOT, current, reserve
from tests.support.fleet import Fleet, KillServer

FEWEST_EFFECTS, MOST_EFFECTS = 5, 60
BOOTSTRAP = "the manager's token is gone: run `reconciler bootstrap` with an identity token"


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all."""
    server = KillServer()
    yield server
    server.stop()


def begun(fleet: Fleet, **defaults: object) -> tuple[str, str]:
    """A fleet whose manager has a successor: the manager's token, and that one."""
    fleet.defaults = {"overlap": "1h", "reserve": 1, **defaults}
    fleet.begin({**BOT, "reserve": 0})
    fleet.use("prod/bot")
    (kept,) = reserve(fleet, "reconciler")
    return current(fleet, "reconciler"), kept.token_id


def test_the_reserve_signs_and_is_promoted(fleet: Fleet) -> None:
    """Every command works and says who signs; apply makes it the manager's."""
    old, kept = begun(fleet)
    fleet.sandbox.state.revoke_by_hand(old)
    with fleet.untouched():
        for command in (("plan",), ("status",), ("doctor",)):
            done = fleet.must(*command, environ=ALONE)
            assert f"{kept} of its reserve signs" in done.err
        assert "from the reserve" in fleet.must("plan", environ=ALONE).out
    fleet.must("apply", "--yes", environ=ALONE)
    assert current(fleet, "reconciler") == kept
    assert reserve(fleet, "reconciler") == ()
    fleet.assert_whole(stocked=False)
    assert "of its reserve signs" not in fleet.must("plan", environ=ALONE).err
    fleet.must("apply", "--yes")
    assert len(reserve(fleet, "reconciler")) == 1
    fleet.assert_whole()
    fleet.assert_quiet()


def test_where_no_reserve_signs_a_person_is_needed(fleet: Fleet) -> None:
    """Both are gone, or the manager's token lives, or the pair is the environment's:
    as without a reserve, and nothing is written.
    """
    old, kept = begun(fleet)
    pair = {"LIMITLESS_TOKEN_ID": old, "LIMITLESS_TOKEN_SECRET": "b3RoZXI="}
    with fleet.untouched():
        said = fleet.refused(4, "apply", "--yes", environ={**ALONE, **pair})
        assert "LIMITLESS_TOKEN_ID and _SECRET sign" in said
    right = fleet.sandbox.state.token(old).secret
    object.__setattr__(fleet.sandbox.state.token(old), "secret", "b3RoZXI=")
    with fleet.untouched():
        assert BOOTSTRAP in fleet.refused(4, "apply", "--yes", environ=ALONE)
    object.__setattr__(fleet.sandbox.state.token(old), "secret", right)
    fleet.sandbox.state.revoke_by_hand(old)
    fleet.sandbox.state.revoke_by_hand(kept)
    with fleet.untouched():
        assert BOOTSTRAP in fleet.refused(4, "apply", "--yes", environ=ALONE)
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_one_that_can_not_be_promoted_signs_and_stays(fleet: Fleet) -> None:
    """Too old to be promoted, and never revoked while it signs. A person derives, and
    what was used by us alone goes by evidence.
    """
    old, kept = begun(fleet, reserve_age="20d", rotate_after="never")
    fleet.sandbox.state.revoke_by_hand(old)
    fleet.later(days=21)
    assert fleet.attempt("apply", "--yes", environ=ALONE).code == 4
    by_id = ("rotate", "--token-id", kept, "--compromised", "--yes")
    done = fleet.attempt(*by_id, environ=ALONE)
    assert "it is the token that signs" in done.out, done
    assert fleet.sandbox.state.token(kept).live
    fleet.must("apply", "--yes")
    assert current(fleet, "reconciler") not in {old, kept}
    fleet.later(hours=3)
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(kept).live
    fleet.assert_whole()
    fleet.assert_quiet()


def test_killed_after_every_effect(new_fleet: NewFleet, kill_server: KillServer) -> None:
    """The next run without an identity ends it: the reserve is the manager's."""
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            old, kept = begun(fleet)
            fleet.sandbox.state.revoke_by_hand(old)
            del fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
            killed = kill_server.killed(fleet, at, "apply", "--yes")
            fleet.must("apply", "--yes")
            assert current(fleet, "reconciler") == kept, at
            assert fleet.sandbox.state.token(kept).live
            fleet.assert_whole(stocked=False)
            fleet.assert_quiet()
        if not killed:
            assert at > FEWEST_EFFECTS
            return
    pytest.fail("the promotion never came to its end")
