"""Reserves go along when everything moves to another place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.model import VersionState
from reconciler.state import below, root_of
from tests.e2e.conftest import NewFleet
from tests.e2e.test_move import at_old, to_new_prefix
from tests.e2e.test_reserve import ALONE, current, reserve
from tests.support.fleet import Fleet, KillServer, judged

BOT = {"label": "bot", "path": "prod/bot", "reserve": 1}
FEWEST_EFFECTS, MOST_EFFECTS = 8, 60


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all."""
    server = KillServer()
    yield server
    server.stop()


def begun(fleet: Fleet) -> str:
    """A bot with a successor that is ready; the old prefix."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "30d"}
    fleet.begin(BOT)
    fleet.use("prod/bot")
    return fleet.prefix


def test_a_reserve_moves_and_is_promoted_there(fleet: Fleet) -> None:
    """Its document is the first version of the new path; the old copy stays, and goes
    with its token. Nothing is left to do after the move.
    """
    old = begun(fleet)
    (kept,) = reserve(fleet)
    done = fleet.must(*to_new_prefix(fleet, BOT))
    assert done.out.splitlines()[:3] == [
        "moved bot",
        "moved reconciler",
        f"moved bot, reserve {kept.token_id}",
    ]
    fleet.assert_quiet()
    fleet.assert_whole()
    (moved,) = reserve(fleet)
    content = fleet.secret(moved.path)
    assert (content.version_id, content.field("token_id")) == (moved.version_id, kept.token_id)
    assert (moved.fresh, moved.lost, moved.token_id) == (True, False, kept.token_id)
    copy = below(root_of(fleet.mount, old), kept.path)
    assert (kept.token_id, copy) in {(row.token_id, row.path) for row in fleet.ledger().left}
    fleet.must("observe", "--out", "snapshot.json")
    text = (fleet.folder / "snapshot.json").read_text()
    judged("snapshot", text)
    assert kept.operation_id not in text
    fleet.later(days=31)
    fleet.must("apply", "--yes", "--target", "bot", environ=ALONE)
    assert current(fleet) == kept.token_id == fleet.use("prod/bot")
    assert fleet.secret(moved.path, 1).state is VersionState.DELETED
    new = fleet.prefix
    at_old(fleet, old, BOT)
    assert fleet.secret(kept.path).state is VersionState.LIVING
    at_old(fleet, new, BOT)
    fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(kept.token_id).live
    at_old(fleet, old, BOT)
    assert fleet.secret(kept.path).state is VersionState.DELETED
    at_old(fleet, new, BOT)
    fleet.assert_whole()


def test_a_reserve_that_is_revoked_leaves_no_copy(fleet: Fleet) -> None:
    """One that the manifest does not want any more: its documents at both places are
    deleted before its token goes.
    """
    old = begun(fleet)
    (kept,) = reserve(fleet)
    unwanted = {**BOT, "reserve": 0}
    fleet.must(*to_new_prefix(fleet, unwanted))
    fleet.must("apply", "--yes", environ=ALONE)
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert fleet.secret(kept.path).state is VersionState.DELETED
    new = fleet.prefix
    at_old(fleet, old, unwanted)
    assert fleet.secret(kept.path).state is VersionState.DELETED
    at_old(fleet, new, unwanted)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_there_and_back(fleet: Fleet) -> None:
    """The document that was left at the first place is the one there again."""
    old = begun(fleet)
    (kept,) = reserve(fleet)
    fleet.must(*to_new_prefix(fleet, BOT))
    (between,), new = reserve(fleet), fleet.prefix
    at_old(fleet, old, BOT)
    fleet.must("move", "--from", f"{fleet.mount}/{new}", "--yes")
    assert reserve(fleet) == (kept,)
    assert between.version_created_at_ms != kept.version_created_at_ms
    fleet.assert_quiet()
    fleet.assert_whole()
    fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
    assert current(fleet) == kept.token_id


def test_a_document_that_was_deleted_is_brought_back(fleet: Fleet) -> None:
    """Before it is carried: a reserve is never lost to a soft delete."""
    old = begun(fleet)
    (kept,) = reserve(fleet)
    with fleet.store() as store:
        store.delete_version(f"{old}/{kept.path}", 1)
    fleet.must(*to_new_prefix(fleet, BOT))
    fleet.assert_quiet()
    fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
    assert current(fleet) == kept.token_id


def test_what_can_not_be_carried_is_said_and_replaced(fleet: Fleet) -> None:
    """A document that is gone for good: the move says so, and the next visit stocks
    another. What is not ours at the new path is refused before anything moves.
    """
    old = begun(fleet)
    (kept,) = reserve(fleet)
    with fleet.store() as store:
        store.write(f"{old}-new/{kept.path}", {"note": "of others"}, cas=0)
    command = to_new_prefix(fleet, BOT)
    with fleet.untouched():
        assert "holds a secret that is not ours" in fleet.refused(1, *command)
    with fleet.operator() as client:
        kv = client.secrets.kv.v2
        for prefix in (old, fleet.prefix):
            kv.destroy_secret_versions(f"{prefix}/{kept.path}", [1], mount_point=fleet.mount)
    done = fleet.must(*command)
    assert f"note: the reserve {kept.token_id} of bot could not be brought along" in done.err
    fleet.must("apply", "--yes")
    (other,) = reserve(fleet)
    assert other.token_id != kept.token_id
    assert not fleet.sandbox.state.token(kept.token_id).live
    fleet.assert_whole()
    fleet.assert_quiet()


def test_an_open_leftover_is_finished_first(fleet: Fleet) -> None:
    """The document of a promoted reserve that is still there: the old place first."""
    old = begun(fleet)
    (kept,) = reserve(fleet)
    with fleet.operator() as client:
        name = f"{fleet.mount}-stuck"
        place = f"{fleet.mount}/{{}}/{old}/*"
        rules = {
            "data": ["create", "read", "update"],
            "metadata": ["read", "list"],
            "undelete": ["update"],
        }
        client.sys.create_or_update_policy(
            name,
            "\n".join(
                f'path "{place.format(kind)}" {{ capabilities = {list(verbs)} }}'.replace("'", '"')
                for kind, verbs in rules.items()
            ),
        )
        token = client.auth.token.create(policies=[name], ttl="10m")["auth"]["client_token"]
    stuck = {**ALONE, "VAULT_TOKEN": token}
    assert fleet.attempt("rotate", "--target", "bot", "--yes", environ=stuck).code == 5
    assert current(fleet) == kept.token_id
    assert [row.path for row in fleet.ledger().left] == [kept.path]
    command = to_new_prefix(fleet, BOT)
    with fleet.untouched():
        assert "something was begun for bot and is not finished" in fleet.refused(1, *command)
    new = fleet.prefix
    at_old(fleet, old, BOT)
    fleet.must("apply", "--yes")
    at_old(fleet, new, BOT)
    fleet.must(*command)
    fleet.assert_quiet()
    fleet.assert_whole()


def test_killed_after_every_effect(new_fleet: NewFleet, kill_server: KillServer) -> None:
    """The same command goes on: one reserve, whole, fresh, and promoted there."""
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            old = begun(fleet)
            (kept,) = reserve(fleet)
            live = {token.token_id for token in fleet.sandbox.state.live()}
            command = to_new_prefix(fleet, BOT)
            new = fleet.prefix
            killed = kill_server.killed(fleet, at, *command)
            here = fleet.attempt("apply", "--yes").code
            at_old(fleet, old, BOT)
            there = fleet.attempt("apply", "--yes").code
            assert (here, there) != (0, 0), at
            at_old(fleet, new, BOT)
            fleet.must(*command)
            fleet.assert_quiet()
            fleet.assert_whole()
            (moved,) = reserve(fleet)
            assert (moved.token_id, moved.fresh, moved.lost) == (kept.token_id, True, False), at
            assert live == {token.token_id for token in fleet.sandbox.state.live()}, at
            fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
            assert current(fleet) == kept.token_id, at
        if not killed:
            assert at > FEWEST_EFFECTS
            return
    pytest.fail("the move never came to its end")
