"""Labels that leave the manifest: what counts them, and which run believes it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reconciler.model import VersionState
from reconciler.state.ledger_text import to_text
from tests.e2e.test_story import held
from tests.support.fleet import Fleet, judged

BOTS = tuple({"label": f"bot-{number}"} for number in range(6))
BOT = {"label": "bot", "path": "prod/bot"}


def test_six_leave_and_three_are_in_use(fleet: Fleet) -> None:
    """The guard counts what is held as well: else three went now, and the others an
    hour later, with no run that saw more than three.
    """
    fleet.begin(*BOTS)
    fleet.later(minutes=5)
    for bot in BOTS[:3]:
        fleet.use(bot["label"])
    fleet.write()
    with fleet.untouched():
        assert "6 tokens would be revoked" in fleet.refused(1, "apply", "--yes")
        assert "apply will refuse:" in fleet.must("plan").out
    done = fleet.must("apply", "--yes", "--max-revocations", "6")
    assert done.last_line == "applied 3, failed 0, held 3, not tried 0"
    fleet.later(minutes=61)
    fleet.must("apply", "--yes")
    fleet.assert_quiet()


def rotated(fleet: Fleet) -> str:
    """A label with a quiet predecessor whose successor nobody uses; its id."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=1)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(hours=3)
    return old


@pytest.mark.parametrize(
    "selection",
    [("--only", "cleanup"), ("--only", "rotation"), ("--exclude", "bot")],
    ids=" ".join,
)
def test_a_removal_that_nobody_applied(fleet: Fleet, selection: tuple[str, ...]) -> None:
    """The line has left the file, but the run leaves its row to others: the predecessor
    still needs a successor that is used.
    """
    old = rotated(fleet)
    fleet.write()
    with fleet.untouched():
        fleet.must("apply", "--yes", *selection)
    assert fleet.sandbox.state.token(old).live
    fleet.must("apply", "--yes", "--revoke-now", "bot")
    assert fleet.live("bot") == []
    fleet.assert_quiet()


def test_a_saved_plan_of_a_clean_up(fleet: Fleet) -> None:
    """What was approved for a clean-up does not become a removal when it is applied."""
    old = rotated(fleet)
    fleet.write()
    fleet.must("plan", "--only", "cleanup", "--out", "plan.json")
    saved = json.loads((fleet.folder / "plan.json").read_text())
    assert [c["reason"] for c in saved["changes"] if c["label"] == "bot"] == ["successor_unused"]
    with fleet.untouched():
        fleet.must("apply", "--plan", "plan.json")
    assert fleet.sandbox.state.token(old).live


def test_a_removal_that_does_not_come_about(fleet: Fleet) -> None:
    """The current token is held when it is looked at once more: then its predecessor
    stays as well.
    """
    old = rotated(fleet)
    ledger, latest = fleet.ledger(), fleet.secret("_ledger")
    entry = ledger.tokens["bot"]
    assert entry.current is not None
    renamed = dataclasses.replace(entry.current, live_label="called otherwise")
    tokens = {**ledger.tokens, "bot": dataclasses.replace(entry, current=renamed)}
    with fleet.store() as store:
        text = to_text(dataclasses.replace(ledger, tokens=tokens))
        store.write(f"{fleet.prefix}/_ledger", {"ledger": text}, cas=latest.version)
    fleet.write()
    done = fleet.must("apply", "--yes", "--revoke-now", "bot")
    assert done.last_line == "applied 0, failed 0, held 2, not tried 0"
    assert "so this one stays for now" in done.out
    assert fleet.sandbox.state.token(old).live
    assert len(fleet.live("bot")) == 2


# --- a label retires where it lies ---


def leaving(fleet: Fleet) -> str:
    """A label with an overlap of an hour has left the manifest; its token's id."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT, {"label": "other"})
    token_id = fleet.use("prod/bot")
    fleet.later(minutes=5)
    fleet.write({"label": "other"})
    return token_id


def test_a_label_that_leaves_retires(fleet: Fleet) -> None:
    """Its token works on through the overlap, and its secret stays readable. It goes
    once nobody has used it for that long, in whatever run comes then.
    """
    token_id = leaving(fleet)
    with fleet.untouched():
        said = fleet.must("plan").out
        assert "retires 1 token: revoked after the overlap" in said
        assert fleet.attempt("plan", "--detailed-exitcode").code == 2
    fleet.must("apply", "--yes")
    fleet.assert_quiet()
    assert fleet.use("prod/bot") == token_id
    fleet.later(minutes=50)
    fleet.use("prod/bot")
    fleet.later(minutes=15)
    with fleet.untouched():
        done = fleet.must("apply", "--yes")
        assert "used within its overlap" in held(done)[0]
        assert fleet.attempt("plan", "--detailed-exitcode").code == 0
    fleet.later(minutes=61)
    done = fleet.must("apply", "--yes", "--only", "cleanup")
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    assert fleet.live("bot") == []
    assert fleet.secret("prod/bot").state is VersionState.DELETED
    fleet.assert_quiet()


def test_a_label_that_returns_stays(fleet: Fleet) -> None:
    """A revert of the pull request costs a write of the ledger, and no token."""
    token_id = leaving(fleet)
    fleet.must("apply", "--yes")
    version = fleet.secret("prod/bot").version
    fleet.later(hours=3)
    fleet.write(BOT, {"label": "other"})
    done = fleet.must("apply", "--yes", "--allow-older-manifest")
    assert "it stays" in done.out
    assert [token.token_id for token in fleet.live("bot")] == [token_id]
    assert fleet.secret("prod/bot").version == version
    fleet.assert_whole()
    fleet.assert_quiet()
    told = fleet.must("history", "--label", "bot", "--format", "json").out
    words = [event["what"] for event in judged("history", told)["events"]]
    assert words.count("left") == words.count("returned") == 1


def test_a_label_that_returns_elsewhere_rotates(fleet: Fleet) -> None:
    """It is reinstated first, and then moved with the overlap of any move."""
    token_id = leaving(fleet)
    fleet.must("apply", "--yes")
    fleet.write({**BOT, "path": "prod/new"}, {"label": "other"})
    fleet.must("apply", "--yes")
    assert fleet.use("prod/bot") == token_id
    assert fleet.use("prod/new") != token_id
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_label_is_ended_at_once(fleet: Fleet) -> None:
    """The flag names one label and spares only its overlap; a misspelt one stops."""
    leaving(fleet)
    fleet.must("apply", "--yes")
    with fleet.untouched():
        assert "remove its line" in fleet.refused(1, "apply", "--yes", "--revoke-now", "other")
        assert "no such label" in fleet.refused(1, "apply", "--yes", "--revoke-now", "bott")
        assert "--revoke-in-use" in held(fleet.must("apply", "--yes", "--revoke-now", "bot"))[0]
    fleet.must("apply", "--yes", "--revoke-now", "bot", "--revoke-in-use")
    assert fleet.live("bot") == []
    fleet.assert_quiet()


def test_a_saved_plan_that_ends_a_label_at_once(fleet: Fleet) -> None:
    """The flag is the plan's: its apply needs no flag, and an apply of another does."""
    leaving(fleet)
    fleet.must("plan", "--revoke-now", "bot", "--revoke-in-use", "--out", "plan.json")
    fleet.must("apply", "--plan", "plan.json")
    assert fleet.live("bot") == []
    fleet.assert_quiet()


def test_a_rollback_waits_until_a_label_that_returned_is_recorded(fleet: Fleet) -> None:
    """The ledger has it as gone; the next apply records that it stays."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.write()
    fleet.must("apply", "--yes")
    fleet.write(BOT)
    with fleet.untouched():
        assert "run `reconciler apply` first" in fleet.refused(
            1, "rollback", "--target", "bot", "--yes"
        )
    fleet.must("apply", "--yes", "--allow-older-manifest")
    fleet.must("rollback", "--target", "bot", "--yes")
    fleet.assert_whole()
