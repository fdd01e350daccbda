"""Ledger and secrets move to another place: on real servers, killed after every effect,
beside another mover, and under a consumer that reads the old path.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from reconciler.exchange.client import TokenClient
from reconciler.model import VersionState
from reconciler.state.secret import credentials_of
from tests.e2e.conftest import NewFleet
from tests.support.fleet import Fleet, KillServer, judged, unpaced

BOT = {"label": "bot", "path": "prod/bot"}
CAT = {"label": "cat"}
FEWEST_EFFECTS, MOST_EFFECTS = 8, 60


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all."""
    server = KillServer()
    yield server
    server.stop()


def begun(fleet: Fleet) -> str:
    """A bot with a predecessor within its overlap, and a cat; the old prefix."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT, CAT)
    fleet.use("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.use("prod/bot")
    return fleet.prefix


def to_new_prefix(fleet: Fleet, *tokens: dict[str, object]) -> tuple[str, ...]:
    """The manifest names another prefix from now on; the command that goes there."""
    old = fleet.prefix
    fleet.prefix = f"{old}-new"
    fleet.write(*(tokens or (BOT, CAT)))
    return ("move", "--from", f"{fleet.mount}/{old}", "--yes")


def at_old(fleet: Fleet, old: str, *tokens: dict[str, object]) -> None:
    """The manifest names the old prefix again."""
    fleet.prefix = old
    fleet.write(*(tokens or (BOT, CAT)))


def test_everything_moves(fleet: Fleet) -> None:
    """No token changes; the old secrets are as they were; an apply has nothing to do;
    every command at the old place says where everything is.
    """
    old = begun(fleet)
    before = {token.token_id for token in fleet.sandbox.state.live()}
    bot = fleet.use("prod/bot")
    command = to_new_prefix(fleet)
    assert "`reconciler move --from MOUNT/PREFIX`" in fleet.refused(4, "plan")
    done = fleet.run(*command)
    assert done.code == 0, done
    stays = f"what lies at {fleet.mount}/{old} stays readable until its tokens are gone"
    last = f"moved 3 labels to {fleet.mount}/{fleet.prefix}; {stays}"
    assert done.out.splitlines() == ["moved bot", "moved cat", "moved reconciler", last]
    fleet.assert_quiet()
    fleet.assert_whole()
    assert fleet.use("prod/bot") == bot
    assert before == {token.token_id for token in fleet.sandbox.state.live()}
    with fleet.untouched():
        assert "already: nothing to do" in fleet.must(*command).out
    document = judged("history", fleet.must("history", "--format", "json").out)
    assert [(e["what"], e["why"]) for e in document["events"]] == [
        ("moved", f"from {fleet.mount}/{old}")
    ]
    fleet.must("observe", "--out", "snapshot.json")
    judged("snapshot", (fleet.folder / "snapshot.json").read_text())
    fleet.must("plan", "--observed", "snapshot.json")
    rows = judged("plan", fleet.must("plan", "--format", "json").out)["changes"]
    paths = {row["before"]["path"] for row in rows if row["reason"] == "overlap"}
    assert paths == {f"/{fleet.mount}//{old}/prod/bot"}

    new = fleet.prefix
    at_old(fleet, old)
    assert fleet.use("prod/bot") == bot
    with fleet.untouched():
        for arguments in (
            ("plan",),
            ("apply", "--yes"),
            ("rotate", "--all", "--yes"),
            ("rollback", "--target", "bot", "--yes"),
            ("bootstrap",),
            ("status",),
            ("history",),
            ("verify",),
            ("release", "--all", "--yes"),
            ("forget", "--token-id", bot, "--yes"),
            ("adopt", "--label", "bot", "--token-id", bot),
            ("observe", "--out", "other.json"),
        ):
            sentence = fleet.refused(1, *arguments, text="c2VjcmV0")
            assert f"have moved from here to {fleet.mount}/{new}" in sentence, arguments
        assert f"{fleet.mount}/{new}" in fleet.attempt("doctor").out


def test_what_was_left_goes_with_its_token(fleet: Fleet) -> None:
    """The old place stays readable until then, and is empty before a token goes: the
    predecessor's when its overlap is over, the current one's after a rotation.
    """
    old = begun(fleet)
    bot = fleet.use("prod/bot")
    fleet.must(*to_new_prefix(fleet))
    new = fleet.prefix
    fleet.must("rotate", "--target", "bot", "--yes")
    at_old(fleet, old)
    assert fleet.use("prod/bot") == bot
    at_old(fleet, new)
    fleet.later(hours=3)
    fleet.use("prod/bot")
    fleet.must("apply", "--yes")
    assert [token.token_id for token in fleet.live("bot")] == [fleet.use("prod/bot")]
    at_old(fleet, old)
    assert fleet.secret("prod/bot").state is VersionState.DELETED
    assert fleet.use("cat")
    at_old(fleet, new)
    fleet.assert_quiet()
    fleet.assert_whole()
    fleet.must("rotate", "--target", "cat", "--compromised", "--yes")
    fleet.must("rotate", "--target", "reconciler", "--compromised", "--yes")
    assert fleet.ledger().left == ()
    at_old(fleet, old)
    for path in ("cat", "reconciler"):
        assert fleet.secret(path).state is VersionState.DELETED
    at_old(fleet, new)
    fleet.assert_quiet()
    fleet.assert_whole()


def test_to_another_mount_and_back(fleet: Fleet) -> None:
    """A mount is a place like a prefix; the way back goes over what was left there."""
    old, mount = begun(fleet), fleet.mount
    bot = fleet.use("prod/bot")
    with fleet.operator() as client:
        other = f"{mount}-other/deep"
        client.sys.enable_secrets_engine("kv", path=other, options={"version": "2"})
        try:
            fleet.mount = other
            fleet.write(BOT, CAT)
            fleet.must("move", "--from", f"{mount}/{old}", "--yes")
            fleet.assert_quiet()
            fleet.assert_whole()
            fleet.must("rotate", "--target", "cat", "--yes")
            cat = fleet.use("cat")
            fleet.mount = mount
            fleet.write(BOT, CAT)
            fleet.must("move", "--from", f"{other}/{old}", "--yes")
            assert (fleet.use("prod/bot"), fleet.use("cat")) == (bot, cat)
            fleet.assert_quiet()
            fleet.assert_whole()
            fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
            fleet.assert_whole()
            fleet.mount = other
            assert fleet.secret("prod/bot").state is VersionState.DELETED
            assert fleet.use("cat")
            fleet.mount = mount
        finally:
            client.sys.disable_secrets_engine(other)


def test_killed_after_every_effect(new_fleet: NewFleet, kill_server: KillServer) -> None:
    """One place is valid at most, wherever it was cut off; the same command goes on."""
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            old = begun(fleet)
            bot = fleet.use("prod/bot")
            live = {token.token_id for token in fleet.sandbox.state.live()}
            command = to_new_prefix(fleet)
            new = fleet.prefix
            killed = kill_server.killed(fleet, at, *command)
            here = fleet.attempt("apply", "--yes").code
            at_old(fleet, old)
            there = fleet.attempt("apply", "--yes").code
            assert (here, there) != (0, 0), at
            assert fleet.use("prod/bot") == bot, at
            at_old(fleet, new)
            fleet.must(*command)
            fleet.assert_quiet()
            fleet.assert_whole()
            assert fleet.use("prod/bot") == bot, at
            assert live == {token.token_id for token in fleet.sandbox.state.live()}, at
        if not killed:
            assert at > FEWEST_EFFECTS
            return
    pytest.fail("the move never came to its end")


def test_what_was_begun_at_the_old_place_is_finished_there(
    new_fleet: NewFleet, kill_server: KillServer
) -> None:
    """A rotation that was killed: the move says so, with the way to finish it."""
    with new_fleet() as fleet:
        fleet.begin(BOT, CAT)
        old = fleet.prefix
        for at in range(1, MOST_EFFECTS):
            assert kill_server.killed(fleet, at, "rotate", "--target", "bot", "--yes")
            if fleet.ledger().tokens["bot"].intent is not None:
                break
        command = to_new_prefix(fleet)
        new = fleet.prefix
        with fleet.untouched():
            said = fleet.refused(1, *command)
        assert f"put the manifest's mount and prefix back to {fleet.mount}/{old}" in said
        at_old(fleet, old)
        fleet.must("apply", "--yes")
        at_old(fleet, new)
        fleet.must(*command)
        fleet.assert_quiet()
        fleet.assert_whole()


def test_two_movers(fleet: Fleet) -> None:
    """One moves; the other is told so, or finds it done."""
    begun(fleet)
    command = to_new_prefix(fleet)
    processes = [fleet.start(*command) for _ in range(2)]
    codes = sorted(fleet.finish(process).code for process in processes)
    assert codes[0] == 0
    assert codes[1] in {0, 6}
    assert fleet.must(*command).out
    fleet.assert_quiet()
    fleet.assert_whole()


def test_what_is_refused(fleet: Fleet) -> None:
    """Each before a write, with a sentence."""
    old = begun(fleet)
    command = to_new_prefix(fleet)
    new, mount = fleet.prefix, fleet.mount
    with fleet.untouched():
        assert "give --yes" in fleet.refused(64, *command[:-1])
        assert "there is no ledger at" in fleet.refused(
            1, "move", "--from", f"{mount}/nowhere/tokens", "--yes"
        )
        assert "names" in fleet.refused(64, "move", "--from", f"{mount}/{new}", "--yes")
        assert "within each other" in fleet.refused(
            64, "move", "--from", f"{mount}/{new}/deeper", "--yes"
        )
        assert "write MOUNT/PREFIX" in fleet.refused(64, "move", "--from", "../etc", "--yes")
    with fleet.store() as store:
        store.write(f"{new}/prod/bot", {"note": "of others"}, cas=0)
    with fleet.untouched():
        said = fleet.refused(1, *command)
        assert f"{mount}/{new}/prod/bot holds a secret that is not ours" in said
    at_old(fleet, old)
    fleet.must("plan")
    with fleet.store() as store:
        store.write(f"{old}/cat", {"note": "by hand"}, cas=1)
    fleet.prefix = f"{old}-third"
    fleet.write(BOT, CAT)
    with fleet.untouched():
        assert "the secret of cat is not where the ledger has it" in fleet.refused(1, *command)


def test_another_ledger_is_there(new_fleet: NewFleet) -> None:
    """Two fleets never become one."""
    with new_fleet() as one, new_fleet() as other:
        one.begin(BOT)
        other.begin(BOT)
        here = other.prefix
        one.prefix, old = here, one.prefix
        one.write(BOT)
        with other.untouched():
            said = one.refused(1, "move", "--from", f"{one.mount}/{old}", "--yes")
        assert "another" in said or "belongs to" in said


def test_a_consumer_notices_nothing(fleet: Fleet) -> None:
    """It reads its old path again and again, and signs with what it finds: while all
    moves, while the label is rotated at the new place, and until it has switched.
    """
    old = begun(fleet)
    stopped, failures, signed = threading.Event(), [], 0
    environ_url = fleet.sandbox.url

    def consume() -> None:
        nonlocal signed
        with fleet.store() as store, TokenClient(environ_url) as exchange:
            while not stopped.wait(0.05):
                pair = credentials_of(store.read(f"{old}/prod/bot"))
                try:
                    assert pair is not None
                    exchange.signed_by(pair).list_tokens()
                    signed += 1
                except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                    failures.append(repr(error))

    with unpaced():
        consumer = threading.Thread(target=consume)
        consumer.start()
        try:
            assert fleet.run(*to_new_prefix(fleet)).code == 0
            assert fleet.run("rotate", "--target", "bot", "--yes").code == 0
            assert fleet.run("apply", "--yes").code == 0
        finally:
            stopped.set()
            consumer.join()
    assert failures == []
    assert signed > 10
