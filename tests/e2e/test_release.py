"""Labels are released, and everything is: on real servers, and killed after every
effect.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import NewFleet
from tests.support.fleet import Fleet, KillServer, judged

BOT = {"label": "bot", "path": "prod/bot"}
CAT = {"label": "cat"}
RELEASE = ("release", "--label", "bot", "--yes")
EVERYTHING = ("release", "--all", "--yes")
FEWEST_EFFECTS, MOST_EFFECTS = 2, 20


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all."""
    server = KillServer()
    yield server
    server.stop()


def rotated(fleet: Fleet) -> tuple[str, str]:
    """A bot with a predecessor within its overlap: both ids, the current one first."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT, CAT)
    old = fleet.use("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    return fleet.use("prod/bot"), old


def secrets_in(fleet: Fleet) -> dict[str, int]:
    """The latest version of each secret: all but the ledger's."""
    found = fleet.versions()
    del found[f"{fleet.prefix}/_ledger"]
    return found


def test_a_released_label_lives_on(fleet: Fleet) -> None:
    """Nothing is written at the exchange or over the secret; the tokens are foreign,
    now and after a day; the label is derived again where a person says so.
    """
    new, old = rotated(fleet)
    secrets, calls = secrets_in(fleet), fleet.sandbox.state.mutating_calls
    fleet.write(CAT)
    done = fleet.run(*RELEASE)
    assert done.code == 0, done
    assert done.out.splitlines() == [
        f"released bot ({new}): its secret stays at {fleet.mount}/{fleet.prefix}/prod/bot",
        f"released bot ({old}): a predecessor",
        "released labels 1, tokens 2",
    ]
    assert secrets == secrets_in(fleet)
    assert fleet.sandbox.state.mutating_calls == calls
    fleet.assert_quiet()
    fleet.later(hours=26)
    fleet.assert_quiet()
    fleet.assert_whole()
    told = fleet.must("plan").out
    assert "twin" not in told
    assert "ours" not in told
    assert {new, old} <= {token.token_id for token in fleet.live("bot")}
    assert fleet.use("prod/bot") == new

    fleet.write(BOT, CAT)
    assert "holds a secret that is not ours" in fleet.attempt("apply", "--yes").out
    fleet.must("apply", "--yes", "--replace", "bot")
    assert fleet.use("prod/bot") not in {new, old}
    fleet.assert_quiet()
    assert {new, old} <= {token.token_id for token in fleet.live("bot")}


def test_a_line_that_stays_is_named(fleet: Fleet) -> None:
    """The command says so, and says it once; again it has nothing to do."""
    fleet.begin(BOT, CAT)
    done = fleet.must(*RELEASE)
    assert "still in the manifest: bot; take the line out" in done.err
    with fleet.untouched():
        assert fleet.must(*RELEASE).last_line == "released labels 0, tokens 0"


def test_the_history_and_a_snapshot_have_it(fleet: Fleet) -> None:
    """When, what, and by which run; a snapshot makes the same plan."""
    fleet.begin(BOT)
    (bot,) = fleet.live("bot")
    fleet.must(*RELEASE)
    document = judged("history", fleet.must("history", "--format", "json").out)
    (event,) = (e for e in document["events"] if e["what"] == "released")
    assert (event["label"], event["token_id"]) == ("bot", bot.token_id)
    assert event["run"] is not None
    fleet.must("observe", "--out", "snapshot.json")
    judged("snapshot", (fleet.folder / "snapshot.json").read_text())
    shown = fleet.attempt("plan", "--observed", "snapshot.json").out
    assert "holds a secret that is not ours" in shown
    assert bot.token_id not in shown


def test_an_adopted_token_is_released_and_adopted_again(fleet: Fleet) -> None:
    """A way back: under another path, as the released secret stays where it is."""
    fleet.begin(BOT)
    (bot,) = fleet.live("bot")
    fleet.must(*RELEASE)
    fleet.write({**BOT, "path": "prod/again"})
    fleet.must("adopt", "--label", "bot", "--token-id", bot.token_id, text=bot.secret)
    assert fleet.ledger().released == ()
    fleet.assert_quiet()
    fleet.assert_whole()


def test_everything_is_released(fleet: Fleet) -> None:
    """The uninstall: every token lives on, the manager's too; nothing is managed."""
    rotated(fleet)
    before = {token.token_id for token in fleet.sandbox.state.live()}
    secrets = secrets_in(fleet)
    done = fleet.must(*EVERYTHING)
    assert done.last_line == "released labels 3, tokens 4"
    assert before == {token.token_id for token in fleet.sandbox.state.live()}
    assert secrets == secrets_in(fleet)
    with fleet.untouched():
        assert fleet.must(*EVERYTHING).last_line == "released labels 0, tokens 0"
        assert "the manager reconciler was released" in fleet.refused(4, "plan")
        assert "holds a secret that is not ours" in fleet.refused(4, "bootstrap")
    (manager,) = fleet.live("reconciler")
    signs = {"LIMITLESS_TOKEN_ID": manager.token_id, "LIMITLESS_TOKEN_SECRET": manager.secret}
    assert "twin" not in fleet.attempt("plan", environ=signs).out


def test_what_is_refused(fleet: Fleet) -> None:
    """The manager alone, an unknown label, nobody to ask, another run, two ways."""
    fleet.begin(BOT)
    with fleet.untouched():
        assert "name another manager" in fleet.refused(
            1, "release", "--label", "reconciler", "--yes"
        )
        assert "'bto'" in fleet.refused(64, "release", "--label", "bto", "--yes")
        assert "give --yes" in fleet.refused(64, "release", "--label", "bot")
        assert "--label LABEL, or --all" in fleet.refused(64, "release", "--yes")
        fleet.refused(64, "release", "--all", "--label", "bot", "--yes")
    fleet.lend_lease(60)
    with fleet.untouched():
        assert "holds the lease" in fleet.refused(6, *RELEASE)


def test_a_write_that_was_begun_is_finished_first(
    new_fleet: NewFleet, kill_server: KillServer
) -> None:
    """Wherever a rotation was killed: a release says so, or finds it finished. After an
    apply it releases all that is left.
    """
    refusals = 0
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            fleet.begin(BOT)
            killed = kill_server.killed(fleet, at, "rotate", "--target", "bot", "--yes")
            done = fleet.attempt(*RELEASE)
            if done.code == 1:
                refusals += 1
                assert "`reconciler apply` first" in done.refusal(1)
                fleet.must("apply", "--yes")
                fleet.must(*RELEASE)
            assert {token.token_id for token in fleet.live("bot")} == fleet.ledger().released_ids()
            fleet.write()
            fleet.assert_quiet()
        if not killed:
            assert refusals > FEWEST_EFFECTS
            return
    pytest.fail("the rotation never came to its end")


@pytest.mark.parametrize("command", [RELEASE, EVERYTHING], ids=["a label", "everything"])
def test_killed_after_every_effect(
    new_fleet: NewFleet, kill_server: KillServer, command: tuple[str, ...]
) -> None:
    """The same command goes on, and no token is revoked or unknown."""
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            rotated(fleet)
            live = {token.token_id for token in fleet.sandbox.state.live()}
            killed = kill_server.killed(fleet, at, *command)
            fleet.must(*command)
            assert live == {token.token_id for token in fleet.sandbox.state.live()}, at
            ledger = fleet.ledger()
            assert live == ledger.released_ids() | ledger.known_ids().keys(), at
            assert "bot" not in ledger.tokens, at
            assert (command == RELEASE) == bool(ledger.tokens), at
        if not killed:
            assert at > FEWEST_EFFECTS
            return
    pytest.fail("the release never came to its end")
