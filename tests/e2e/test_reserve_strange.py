"""What a person does to the documents of the reserve: a sentence each, and nothing is
promoted that did not sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.model import MINUTE_MS, VersionState
from reconciler.state import Intent
from tests.e2e.conftest import NewFleet
from tests.e2e.test_doctor import found
from tests.e2e.test_reserve import ALONE, BOT, current, reserve, stocked
from tests.support.fleet import Fleet, KillServer

__all__ = ["stocked"]  # the fixture

MOST_EFFECTS = 40


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all."""
    server = KillServer()
    yield server
    server.stop()


def put(fleet: Fleet, path: str, fields: dict[str, Any], *, anew: bool = False) -> None:
    """Somebody writes a document; ``anew``: after its metadata were deleted."""
    at: dict[str, Any] = {"path": f"{fleet.prefix}/{path}", "mount_point": fleet.mount}
    with fleet.operator() as client:
        if anew:
            client.secrets.kv.v2.delete_metadata_and_all_versions(**at)
        client.secrets.kv.v2.create_or_update_secret(secret=fields, **at)


def fields_of(fleet: Fleet, path: str) -> dict[str, Any]:
    """What lies at a path, as a person reads it."""
    with fleet.operator() as client:
        read = client.secrets.kv.v2.read_secret_version(
            f"{fleet.prefix}/{path}", mount_point=fleet.mount, raise_on_deleted_version=True
        )
    return dict(read["data"]["data"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"secret": "d3Jvbmc="}, id="a wrong key"),
        pytest.param({"secret": None}, id="half written"),
        pytest.param({"token_id": "somebody-elses"}, id="another token"),
        pytest.param({}, id="the same once more"),
    ],
)
@pytest.mark.parametrize("beside", [True, False], ids=["a version more", "written anew"])
def test_a_document_that_a_person_wrote(
    stocked: Fleet, change: dict[str, Any], *, beside: bool
) -> None:
    """It is not what was recorded, so it is never promoted: a due rotation waits for a
    person, who stocks and rotates; the old reserve is revoked.
    """
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fields = {**fields_of(fleet, kept.path), **change}
    fields = {name: text for name, text in fields.items() if text is not None}
    put(fleet, kept.path, fields, anew=not beside)
    fleet.later(days=31)
    done = fleet.attempt("apply", "--yes", "--target", "bot", environ=ALONE)
    assert done.code == 4, done
    assert "in the reserve, and can't be used: its secret is lost, or it is gone" in done.out
    assert current(fleet) == old
    assert fleet.use("prod/bot") == old
    fleet.must("apply", "--yes")
    assert current(fleet) not in {old, kept.token_id}
    fleet.must("apply", "--yes")
    assert kept.token_id not in {row.token_id for row in reserve(fleet)}
    fleet.assert_whole()


def test_a_reserve_whose_key_is_refused(stocked: Fleet) -> None:
    """What lies there is what was written, and the exchange refuses it: it goes, the
    label keeps its token, and the row says why.
    """
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    object.__setattr__(fleet.sandbox.state.token(kept.token_id), "secret", "b3RoZXI=")
    done = fleet.attempt("rotate", "--target", "bot", "--yes", environ=ALONE)
    assert done.code == 5, done
    assert "failed: promote bot: the reserve does not sign" in done.out
    assert (current(fleet), fleet.use("prod/bot"), reserve(fleet)) == (old, old, ())
    assert not fleet.sandbox.state.token(kept.token_id).live
    fleet.must("rotate", "--target", "bot", "--yes")
    assert current(fleet) not in {old, kept.token_id}
    fleet.assert_whole()


@pytest.mark.parametrize("right", [True, False], ids=["its secret", "a wrong key"])
def test_a_reserve_under_the_path_of_its_label(stocked: Fleet, *, right: bool) -> None:
    """A person copied it there: consumers have it, so it is recorded, if it signs. With
    a wrong key it is not, and the row says so.
    """
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fields = fields_of(fleet, kept.path)
    put(fleet, "prod/bot", fields if right else {**fields, "secret": "d3Jvbmc="})
    done = fleet.attempt("apply", "--yes", "--target", "bot", environ=ALONE)
    if right:
        assert current(fleet) == kept.token_id == fleet.use("prod/bot")
        return
    assert "does not sign" in done.out, done
    assert current(fleet) == old
    assert [row.token_id for row in reserve(fleet)] == [kept.token_id]
    assert fleet.sandbox.state.token(kept.token_id).live


def test_a_reserve_under_the_path_of_another_label(fleet: Fleet) -> None:
    """A person copied it there: it may be what consumers read, so it stays, although
    the manifest does not want it any more, until that path has its own secret again.
    """
    fleet.defaults = {"overlap": "1h"}
    other = {"label": "second", "path": "prod/second"}
    fleet.begin({**BOT, "reserve": 1}, other)
    (kept,), theirs = reserve(fleet), current(fleet, "second")
    put(fleet, "prod/second", fields_of(fleet, kept.path))
    fleet.write({**BOT, "reserve": 0}, other)
    assert f"its secret lies at {fleet.mount}/{fleet.prefix}/prod/second" in fleet.must("plan").out
    fleet.attempt("apply", "--yes", "--target", "bot", environ=ALONE)
    assert fleet.secret("prod/second").field("token_id") == kept.token_id
    assert fleet.sandbox.state.token(kept.token_id).live, "what a path holds is never revoked"
    fleet.attempt("apply", "--yes")
    assert fleet.use("prod/second") == theirs
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(kept.token_id).live
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize("again", [True, False], ids=["goes on", "once"])
def test_a_use_that_may_be_ours_does_not_end_a_reserve(new_fleet: NewFleet, *, again: bool) -> None:
    """Uses are shown so coarsely that this one may be our own: nobody calls the reserve
    used. It goes by evidence all the same, as one that somebody may have.
    """
    grain_ms = 10 * MINUTE_MS
    with new_fleet(last_used_grain_ms=grain_ms) as fleet:
        fleet.later(milliseconds=grain_ms + MINUTE_MS - fleet.sandbox.state.now_ms() % grain_ms)
        fleet.defaults = {"overlap": "1h"}
        fleet.begin({**BOT, "reserve": 1})
        (kept,) = reserve(fleet)
        fleet.later(minutes=11)
        fleet.sandbox.state.touch(kept.token_id)
        fleet.must("plan")  # its list is a use that the next one shows
        fleet.write({**BOT, "reserve": 0})
        done = fleet.must("apply", "--yes")
        assert fleet.sandbox.state.token(kept.token_id).live, "somebody used it a moment ago"
        assert done.last_line == "applied 0, failed 0, held 1, not tried 0"
        fleet.assert_quiet()
        fleet.later(minutes=50)
        if again:
            fleet.sandbox.state.touch(kept.token_id)
        fleet.later(minutes=40)
        done = fleet.attempt("apply", "--yes")
        assert fleet.sandbox.state.token(kept.token_id).live is again, done
        assert ("somebody uses a token of the reserve" in done.out) is again


def test_documents_of_no_reserve_are_named(stocked: Fleet) -> None:
    """By doctor and by verify: one of a person's, and a copy of a token of ours, which
    the next apply deletes. Those of reserves that were promoted are none.
    """
    fleet = stocked
    (kept,) = reserve(fleet)
    fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
    fleet.must("apply", "--yes")
    fields = fields_of(fleet, "prod/bot")
    assert "reserve.strays" not in found(fleet, 0)
    put(fleet, "_reserve/of-a-person", {"note": "hello"})
    put(fleet, "_reserve/a-copy", fields)
    place = f"{fleet.mount}/{fleet.prefix}/_reserve"
    fleet.must("plan")
    said = fleet.must("doctor").out
    theirs = f"{place}/of-a-person holds no token, and is no reserve"
    ours = f"{place}/a-copy is a copy of {kept.token_id} of bot, and no reserve"
    assert theirs in said
    assert ours in said
    verified = fleet.must("verify", "--reserve").err
    assert theirs in verified
    assert ours in verified
    fleet.must("apply", "--yes", environ=ALONE)
    assert fleet.secret("_reserve/a-copy", 1).state is VersionState.DELETED
    assert fleet.secret("_reserve/of-a-person").state is VersionState.LIVING
    assert fleet.use("prod/bot") == kept.token_id
    assert ours not in fleet.must("verify", "--reserve").err
    fleet.assert_quiet()


def test_the_manifest_can_not_name_a_reserves_path(fleet: Fleet) -> None:
    """No label's path is below `_reserve/`."""
    fleet.write({**BOT, "path": "_reserve/bot"})
    assert "_reserve" in fleet.attempt("validate").err
    assert fleet.ends[-1].code == 1


@pytest.mark.parametrize("leaves", [False, True], ids=["a predecessor", "the label left"])
def test_an_old_token_under_the_path_of_another_label(fleet: Fleet, *, leaves: bool) -> None:
    """The same of a token that nobody uses any more: a path may be read at any time."""
    fleet.defaults = {"overlap": "1h"}
    other = {"label": "second", "path": "prod/second"}
    fleet.begin(BOT, other)
    old, theirs = fleet.use("prod/bot"), current(fleet, "second")
    fields = fields_of(fleet, "prod/bot")
    if leaves:
        fleet.write(other)
        fleet.must("apply", "--yes")
    else:
        fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(hours=3)
    put(fleet, "prod/second", fields)
    if not leaves:
        fleet.use("prod/bot")
    done = fleet.must("apply", "--yes", "--exclude", "second", environ=ALONE)
    assert f"its secret lies at {fleet.mount}/{fleet.prefix}/prod/second" in done.out
    assert fleet.sandbox.state.token(old).live, "what a path holds is never revoked"
    fleet.must("apply", "--yes")
    assert fleet.use("prod/second") == theirs
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(old).live
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_reserve_under_the_path_of_a_label_that_left(stocked: Fleet) -> None:
    """It can't be adopted any more, so the row says what a person can do."""
    fleet = stocked
    (kept,) = reserve(fleet)
    put(fleet, "prod/bot", fields_of(fleet, kept.path))
    fleet.write()
    done = fleet.attempt("apply", "--yes")
    assert done.code == 4, done
    assert "delete it there, or `reconciler release` the label" in done.out
    urgent = fleet.attempt("rotate", "--token-id", kept.token_id, "--compromised", "--yes")
    assert urgent.code == 5, urgent
    assert "prod/bot holds it, delete it there" in urgent.out
    with fleet.operator() as client:
        at = f"{fleet.prefix}/prod/bot"
        client.secrets.kv.v2.delete_latest_version_of_secret(at, mount_point=fleet.mount)
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(kept.token_id).live


@pytest.fixture
def unrecorded(new_fleet: NewFleet, kill_server: KillServer) -> Iterator[tuple[Fleet, Intent]]:
    """A fleet whose run was killed between the document of a stock and its record."""
    for at in range(10, MOST_EFFECTS):
        with new_fleet() as fleet:
            fleet.defaults = {"overlap": "1h"}
            fleet.begin(BOT)
            fleet.use("prod/bot")
            fleet.write({**BOT, "reserve": 1})
            assert kill_server.killed(fleet, at, "apply", "--yes"), "it came to its end"
            intent = fleet.ledger().tokens["bot"].intent
            if intent is not None and fleet.secret(intent.path).state is VersionState.LIVING:
                yield fleet, intent
                return
    pytest.fail("no run was killed there")


def test_stocked_not_recorded_and_revoked_elsewhere(unrecorded: tuple[Fleet, Intent]) -> None:
    """The next run says what is true of it, and stocks another one. The document is the
    only thing that can be asked whether the token is gone, so it goes with that.
    """
    fleet, intent = unrecorded
    assert intent.token_id is not None
    fleet.sandbox.state.revoke_by_hand(intent.token_id)
    done = fleet.must("apply", "--yes")
    what = f"the exchange does not list {intent.token_id}, and refuses what its document holds"
    assert what in done.out
    assert "taken away" not in done.out
    assert len(reserve(fleet)) == 1
    assert "no reserve" not in fleet.must("verify", "--reserve").err
    fleet.assert_quiet()
    fleet.later(hours=2)
    fleet.must("apply", "--yes")
    assert fleet.secret(intent.path, 1).state is VersionState.DELETED
    assert fleet.ledger().tokens["bot"].retiring == ()
    fleet.assert_whole()
    fleet.assert_quiet()


def test_stocked_not_recorded_and_its_secret_is_a_wrong_one(
    unrecorded: tuple[Fleet, Intent],
) -> None:
    """It lives, so somebody may have the right secret: it retires. Where a list lacks
    it later, a refusal of the wrong secret tells nothing: it is left to a person.
    """
    fleet, intent = unrecorded
    assert intent.token_id is not None
    token = fleet.sandbox.state.token(intent.token_id)
    object.__setattr__(token, "secret", "b3RoZXI=")
    done = fleet.must("apply", "--yes")
    assert f"the document of {intent.token_id} does not hold its secret: it retires" in done.out
    (row,) = fleet.ledger().tokens["bot"].retiring
    assert row.unsigned
    fleet.later(hours=2)
    fleet.sandbox.state.configure(list_without=(intent.token_id,))
    held = fleet.must("apply", "--yes")
    assert f"reconciler forget --token-id {intent.token_id}" in held.out
    assert token.live
