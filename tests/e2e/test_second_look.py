"""A consumer that reads a secret at the last moment keeps the token that it read."""

from __future__ import annotations

import pytest

from reconciler.model import VersionState
from reconciler.protocol import DeleteVersion, Effect
from reconciler.run.driver import Driver
from reconciler.state import LEDGER_NAME
from tests.e2e.conftest import NewFleet
from tests.e2e.test_kill import MOST_EFFECTS
from tests.e2e.test_story import held
from tests.support.fleet import Fleet, KillServer

BOT = {"label": "bot", "path": "prod/bot"}
MOVED = {"label": "bot", "path": "prod/new"}


def gone(fleet: Fleet) -> str:
    """A label has left, and its overlap is over: its token is to go."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    token_id = fleet.use("prod/bot")
    fleet.write()
    fleet.must("apply", "--yes")
    fleet.later(hours=3)
    return token_id


def moved(fleet: Fleet) -> str:
    """A label has another path, its consumers read there, and the old one is left."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    token_id = fleet.use("prod/bot")
    fleet.write(MOVED)
    fleet.must("apply", "--yes")
    fleet.later(hours=3)
    fleet.use("prod/new")
    fleet.later(minutes=1)
    return token_id


def read_at_the_last_moment(fleet: Fleet, patch: pytest.MonkeyPatch) -> list[str]:
    """From now on a consumer reads a secret right before a run deletes it, and signs
    with it once; the tokens that it used.
    """
    perform = Driver.perform
    used: list[str] = []

    def watched(driver: Driver, effect: Effect[object]) -> object:
        if isinstance(effect, DeleteVersion) and effect.path != LEDGER_NAME and not used:
            used.append(fleet.use(effect.path))
        return perform(driver, effect)

    patch.setattr(Driver, "perform", watched)
    return used


@pytest.mark.parametrize("begin", [gone, moved])
def test_a_consumer_that_reads_late_keeps_its_token(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, begin: object
) -> None:
    """The list of before its use says that nobody uses it; the one of after does not.

    What it read is deleted by then. The token goes once it has been quiet again.
    """
    assert callable(begin)
    token_id = begin(fleet)
    used = read_at_the_last_moment(fleet, monkeypatch)
    done = fleet.must("apply", "--yes")
    assert used == [token_id]
    assert "while its secret was deleted" in done.out
    assert token_id in {token.token_id for token in fleet.live("bot")}
    assert fleet.secret("prod/bot").state is VersionState.DELETED
    with fleet.untouched():
        assert "last used" in held(fleet.must("apply", "--yes"))[0]
    fleet.later(hours=2)
    fleet.must("apply", "--yes")
    assert token_id not in {token.token_id for token in fleet.live("bot")}
    fleet.assert_quiet()


def test_one_run_is_enough_where_nobody_reads(fleet: Fleet) -> None:
    """Both looks are of one run, which asks for one list more and says what it did."""
    token_id = gone(fleet)
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    assert token_id not in {token.token_id for token in fleet.live("bot")}
    fleet.assert_quiet()


def test_a_label_that_returns_to_an_emptied_path(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token lives on for the consumer that has it, and its path holds one again."""
    token_id = gone(fleet)
    with monkeypatch.context() as patch:
        read_at_the_last_moment(fleet, patch)
        fleet.must("apply", "--yes")
    fleet.write(BOT)
    fleet.must("apply", "--yes", "--allow-older-manifest")
    assert fleet.use("prod/bot") != token_id
    assert token_id in {token.token_id for token in fleet.live("bot")}
    fleet.assert_whole()
    fleet.assert_quiet()


def test_killed_between_both_looks(new_fleet: NewFleet, kill_server: KillServer) -> None:
    """Whichever effect was the last: a label that returns has a working secret, which
    no deletion that was announced takes away. A consumer that read it keeps its token.
    """
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            token_id = gone(fleet)
            killed = kill_server.killed(fleet, at, "apply", "--yes")
            entry = fleet.ledger().tokens.get("bot")
            announced = entry is not None and bool(entry.emptied)
            lives = token_id in {token.token_id for token in fleet.live("bot")}
            readable = fleet.secret("prod/bot")
            fleet.write(BOT)
            fleet.must("apply", "--yes", "--allow-older-manifest")
            fleet.assert_whole()
            if lives and announced and readable.state is VersionState.LIVING:
                assert fleet.use("prod/bot") == token_id, at
                assert fleet.secret("prod/bot").version > readable.version, at
            fleet.assert_quiet()
            if not killed:
                return
    pytest.fail("it has more effects than are tried")
