"""Labels that leave the manifest: what counts them, and which run believes it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reconciler.state.ledger_text import to_text
from tests.support.fleet import Fleet

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
    fleet.must("apply", "--yes")
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
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 0, failed 0, held 2, not tried 0"
    assert "so this one stays for now" in done.out
    assert fleet.sandbox.state.token(old).live
    assert len(fleet.live("bot")) == 2
