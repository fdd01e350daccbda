"""A label that is renamed: its rows in a plan, and the ledger's one write."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import DAY_MS, TokenSpec
from reconciler.plan import Action, Change, Policy, Reason, plan, violations
from reconciler.plan.review import FINDINGS
from reconciler.state import Entry, Ledger, LedgerError, Observed, Revoking, rename_entry
from tests.support.values import (
    MANAGER,
    NOW_MS,
    current,
    entry,
    intent,
    ledger,
    live,
    lost,
    manifest,
    observed,
    retiring,
    spec,
)

DESIRED_MANAGER = spec(MANAGER)
ROBOT = dataclasses.replace(spec("robot", path="bot"), was="bot")
HAD = Entry(
    path="bot",
    protect=True,
    current=current("bot-1", "bot"),
    retiring=(retiring("bot-0", "bot"),),
    overlap_ms=DAY_MS,
)
MOVED = dataclasses.replace(
    HAD,
    current=dataclasses.replace(current("bot-1", "bot"), asked_label="bot"),
    retiring=(dataclasses.replace(retiring("bot-0", "bot"), asked_label="bot"),),
)


def seen(entries: dict[str, Entry]) -> Observed:
    """What a run observes: the manager, and these entries with their tokens."""
    known = ledger({MANAGER: entry("m-1", MANAGER), **entries})
    return observed(
        known, live("m-1", MANAGER), live("bot-1", "bot"), live("bot-0", "bot"), signer_id="m-1"
    )


def rows(entries: dict[str, Entry], robot: TokenSpec = ROBOT) -> list[Change]:
    """The plan's rows, but for the manager's."""
    found = plan(manifest(DESIRED_MANAGER, robot), seen(entries), now_ms=NOW_MS)
    return [change for change in found.changes if change.label != MANAGER]


def told(changes: list[Change]) -> list[tuple[str, Action, Reason, str]]:
    """What rows say."""
    return [(c.label, c.action, c.reason, c.note) for c in changes]


def test_the_entry_moves_whole() -> None:
    """Tokens, path and protection move; attempts keep the label that they asked for."""
    before = ledger({"bot": HAD}, abandoned=(lost("bot"),))
    after = rename_entry("robot", "bot")(before)
    assert after == dataclasses.replace(before, tokens={"robot": MOVED})
    back = rename_entry("bot", "robot")(after)
    assert back.tokens["bot"].current == MOVED.current


@pytest.mark.parametrize(
    "known",
    [
        ledger({"bot": HAD, "robot": Entry(path="r", protect=True)}),
        ledger({"bot": dataclasses.replace(HAD, intent=intent("bot"))}),
        ledger({}),
    ],
    ids=["the new label has an entry", "an intent is open", "nothing is known"],
)
def test_a_rename_that_is_refused(known: Ledger) -> None:
    """Nothing is merged, and a write that was begun keeps its label."""
    with pytest.raises(LedgerError):
        rename_entry("robot", "bot")(known)


def test_the_rename_is_planned_first() -> None:
    """It is the only row of both labels: the former one does not count as left."""
    (change,) = rows({"bot": HAD})
    assert told([change]) == [("robot", Action.RENAME, Reason.NAME_CHANGED, "was bot")]
    policy = Policy(max_revocations=0)
    unprotected = {"bot": dataclasses.replace(HAD, protect=False)}
    assert violations(manifest(DESIRED_MANAGER, ROBOT), seen(unprotected), policy) == ()


def test_then_the_token_is_rotated() -> None:
    """By what we asked for, whatever the exchange makes of labels."""
    own = rows({"robot": MOVED})[0]
    assert told([own]) == [("robot", Action.ROTATE, Reason.RENAMED, "was bot")]
    spelt = dataclasses.replace(HAD, current=current("bot-1", "Robot"))
    assert Reason.RENAMED not in {change.reason for change in rows({"robot": spelt})}


def test_a_rename_that_waits_or_can_not_be() -> None:
    """An open write is finished first; two entries can't become one."""
    begun = told(rows({"bot": dataclasses.replace(HAD, intent=intent("bot"))}))
    assert [(label, action, reason) for label, action, reason, _ in begun] == [
        ("bot", Action.RECOVER, Reason.INTENT_OPEN),
        ("robot", Action.HOLD, Reason.NAME_WAITS),
    ]
    both = rows({"bot": HAD, "robot": Entry(path="r", protect=True)})
    assert told(both) == [("robot", Action.HOLD, Reason.NAME_TAKEN, "was bot")]
    assert both[0].needs_decision


def test_what_was_begun_is_finished_all_the_same() -> None:
    """While a person has two entries to decide about: open writes and revocations."""
    gone = Revoking(token_id="bot-9", live_label="bot", reason="compromised")
    begun = {
        "bot": dataclasses.replace(HAD, revoking=(gone,), retiring=()),
        "robot": Entry(path="r", intent=intent("r")),
    }
    found = [(label, action, reason) for label, action, reason, _ in told(rows(begun))]
    assert sorted(found, key=repr) == [
        ("bot", Action.RECOVER, Reason.REVOKING_LEFT),
        ("robot", Action.HOLD, Reason.NAME_TAKEN),
        ("robot", Action.RECOVER, Reason.INTENT_OPEN),
    ]


def test_a_former_label_that_nobody_knows() -> None:
    """It does nothing, and ATTENTION says so, as it does after every rename."""
    head = manifest(DESIRED_MANAGER, ROBOT)
    alarms = [found for finding in FINDINGS if (found := finding(head, head, seen({})))]
    assert [alarm.about for alarm in alarms] == [(("robot", "was bot"),)]
    assert [c.action for c in rows({})] == [Action.DERIVE]
