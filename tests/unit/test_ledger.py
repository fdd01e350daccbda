"""The ledger: each transition over whole values, the text it is stored as, and what no
sequence of transitions can break.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, VersionId
from reconciler.state.emptying import emptied_of, note_emptied, note_emptying
from reconciler.state.entries import Transition
from reconciler.state.facts import (
    Moved,
    expect_own_use,
    set_files,
    set_profile,
    set_protect,
    set_version,
    unchanged,
)
from reconciler.state.farewells import Discarded, Retirement
from reconciler.state.leaving import note_left, note_returned
from reconciler.state.ledger import (
    Abandoned,
    Closed,
    Current,
    Entry,
    Holder,
    Intent,
    IntentKind,
    Ledger,
    LedgerError,
    Retiring,
    Revoking,
)
from reconciler.state.ledger_text import from_text, text_bytes, to_text
from reconciler.state.lost import Lost, interrupted, lost_in
from reconciler.state.parted import Emptied
from reconciler.state.times import lease_held_by
from reconciler.state.transitions import (
    ABANDONED_MOST,
    CLOSED_KEPT,
    abandon_intent,
    close_intent,
    close_revoking,
    drop_intent,
    name_intent,
    open_intent,
    record_current,
    record_found,
    retire_intent,
    start_revoking,
)
from tests.support.values import (
    API_URL,
    LEDGER_ID,
    NOW_MS,
    PROFILE_ID,
    current,
    holder,
    intent,
    ledger,
    live,
    retiring,
    revoking,
)
from tests.support.worlds import ledgers

OP = "op-1"
NOW = current("bot-1", "bot")
NEXT = current("bot-2", "bot", version=2, age_ms=0)
OLD = retiring("bot-0", "bot")
GONE = revoking("bot-9", "bot")
HAD = Entry(path="bot", current=NOW)
OPEN = intent("bot", kind=IntentKind.ROTATE, cas=1)
DRAINING = dataclasses.replace(HAD, retiring=(OLD,))
BEGUN = dataclasses.replace(HAD, intent=OPEN)
GIVEN_UP = Abandoned(
    label="bot",
    since_ms=OPEN.since_ms,
    closed_at_ms=NOW_MS,
    before=OPEN.before,
    scopes=OPEN.scopes,
)
NAMED = dataclasses.replace(BEGUN, intent=dataclasses.replace(OPEN, token_id="bot-2"))
MOVING_INTENT = intent("prod/bot", kind=IntentKind.ROTATE)
MOVING = dataclasses.replace(HAD, intent=MOVING_INTENT)
PERHAPS = retiring("bot-2", "bot")
DROPPED = Discarded(token_id="bot-2", reason="interrupted", at_ms=NOW_MS)
FAREWELL = Retirement(at_ms=NOW_MS, overlap_ms=2 * HOUR_MS, reason="rotated")
RETIRED = Retiring(
    token_id="bot-1",
    live_label="bot",
    superseded_at_ms=NOW_MS,
    not_before_ms=NOW_MS + 2 * HOUR_MS,
    reason="rotated",
    verified_at_ms=NOW.verified_at_ms,
    fresh=True,
)


def closed(outcome: str, token_id: str | None = None) -> Closed:
    """A row of the audit trail, of now."""
    return Closed(label="bot", token_id=token_id, outcome=outcome, at_ms=NOW_MS)


def with_entry(entry: Entry | None, *rows: Closed) -> Ledger:
    """A ledger of one label, or none, and an audit trail."""
    known = ledger({} if entry is None else {"bot": entry})
    return dataclasses.replace(known, closed=rows)


@pytest.mark.parametrize(
    ("expected", "before", "step"),
    [
        pytest.param(
            with_entry(Entry(path="bot", intent=OPEN)),
            with_entry(None),
            open_intent("bot", OPEN, protect=None),
            id="open: a new label",
        ),
        pytest.param(
            with_entry(Entry(path="bot", intent=OPEN, protect=True)),
            with_entry(None),
            open_intent("bot", OPEN, protect=True),
            id="open: a new label, protected from here on",
        ),
        pytest.param(
            with_entry(dataclasses.replace(BEGUN, protect=True)),
            with_entry(dataclasses.replace(HAD, protect=True)),
            open_intent("bot", OPEN, protect=None),
            id="open: silence keeps the protection",
        ),
        pytest.param(
            with_entry(dataclasses.replace(BEGUN, protect=True)),
            with_entry(dataclasses.replace(HAD, protect=True)),
            open_intent("bot", OPEN, protect=False),
            id="open: a word does not lift it on the side, that has a row of its own",
        ),
        pytest.param(
            with_entry(MOVING),
            with_entry(HAD),
            open_intent("bot", intent("prod/bot", kind=IntentKind.ROTATE), protect=None),
            id="open: elsewhere, the path stays until the commit",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(BEGUN, intent=dataclasses.replace(OPEN, token_id="bot-2"))
            ),
            with_entry(BEGUN),
            name_intent("bot", OP, "bot-2"),
            id="name",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(HAD, retiring=(OLD, dataclasses.replace(PERHAPS, path=None)))
            ),
            with_entry(dataclasses.replace(NAMED, retiring=(OLD,))),
            retire_intent("bot", OP, PERHAPS),
            id="retire: the version that it may have been in is gone",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(HAD, retiring=(dataclasses.replace(PERHAPS, path="prod/bot"),))
            ),
            with_entry(
                dataclasses.replace(
                    MOVING, intent=dataclasses.replace(MOVING_INTENT, token_id="bot-2")
                )
            ),
            retire_intent("bot", OP, PERHAPS),
            id="retire: what was to lie elsewhere is looked for there",
        ),
        pytest.param(
            with_entry(HAD, closed("refused")),
            with_entry(BEGUN),
            close_intent("bot", OP, outcome="refused", at_ms=NOW_MS),
            id="close",
        ),
        pytest.param(
            with_entry(None, closed("refused")),
            with_entry(Entry(path="bot", intent=OPEN)),
            close_intent("bot", OP, outcome="refused", at_ms=NOW_MS),
            id="close: nothing else is known of the label",
        ),
        pytest.param(
            with_entry(Entry(path="bot", protect=True), closed("refused")),
            with_entry(Entry(path="bot", intent=OPEN, protect=True)),
            close_intent("bot", OP, outcome="refused", at_ms=NOW_MS),
            id="close: nothing but the protection",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(HAD, current=dataclasses.replace(NOW, version=5)),
                closed("undone"),
            ),
            with_entry(BEGUN),
            close_intent("bot", OP, outcome="undone", at_ms=NOW_MS, version=VersionId(5)),
            id="close: a fence wrote the content again",
        ),
        pytest.param(
            with_entry(HAD, closed("undone")),
            with_entry(MOVING),
            close_intent("bot", OP, outcome="undone", at_ms=NOW_MS, version=VersionId(5)),
            id="close: a fence at another path moves nothing",
        ),
        pytest.param(
            dataclasses.replace(
                with_entry(HAD, closed("abandoned")),
                abandoned=(GIVEN_UP,),
            ),
            with_entry(BEGUN),
            abandon_intent("bot", OP, at_ms=NOW_MS),
            id="abandon",
        ),
        pytest.param(
            dataclasses.replace(
                with_entry(
                    dataclasses.replace(HAD, current=dataclasses.replace(NOW, version=5)),
                    closed("abandoned"),
                ),
                abandoned=(GIVEN_UP,),
            ),
            with_entry(BEGUN),
            abandon_intent("bot", OP, at_ms=NOW_MS, version=VersionId(5)),
            id="abandon: a fence wrote the content again",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(
                    HAD,
                    revoking=(
                        GONE,
                        Revoking(token_id="bot-2", live_label="bot", reason="interrupted"),
                    ),
                )
            ),
            with_entry(dataclasses.replace(NAMED, revoking=(GONE,))),
            drop_intent("bot", OP, DROPPED),
            id="drop",
        ),
        pytest.param(
            with_entry(
                Entry(
                    path="bot",
                    current=dataclasses.replace(NOW, version=5),
                    revoking=(Revoking(token_id="bot-2", live_label="bot", reason="interrupted"),),
                )
            ),
            with_entry(NAMED),
            drop_intent("bot", OP, DROPPED, version=VersionId(5)),
            id="drop: a fence wrote the content again",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(
                    HAD,
                    revoking=(
                        Revoking(
                            token_id="bot-2",
                            live_label="bot",
                            reason="interrupted",
                            path="prod/bot",
                        ),
                    ),
                )
            ),
            with_entry(
                dataclasses.replace(
                    MOVING,
                    intent=intent("prod/bot", kind=IntentKind.ROTATE, token_id="bot-2"),
                )
            ),
            drop_intent("bot", OP, DROPPED, version=VersionId(5)),
            id="drop: its secret was to lie elsewhere",
        ),
        pytest.param(
            dataclasses.replace(
                with_entry(
                    dataclasses.replace(
                        HAD,
                        revoking=(
                            Revoking(token_id="bot-2", live_label="bot", reason="interrupted"),
                        ),
                    )
                ),
                abandoned=(dataclasses.replace(GIVEN_UP, before=(*OPEN.before, DROPPED.token_id)),),
            ),
            with_entry(BEGUN),
            drop_intent("bot", OP, DROPPED),
            id="drop: it was inferred, so its own may still land",
        ),
        pytest.param(
            with_entry(Entry(overlap_ms=FAREWELL.overlap_ms, path="bot", current=NEXT)),
            with_entry(Entry(path="bot", intent=OPEN)),
            record_current("bot", OP, NEXT, FAREWELL),
            id="record: the first token",
        ),
        pytest.param(
            dataclasses.replace(
                with_entry(Entry(overlap_ms=FAREWELL.overlap_ms, path="bot", current=NEXT)),
                abandoned=(
                    Abandoned(
                        label="bot",
                        since_ms=OPEN.since_ms,
                        closed_at_ms=NOW_MS,
                        before=(*OPEN.before, NEXT.token_id),
                        scopes=OPEN.scopes,
                    ),
                ),
            ),
            with_entry(Entry(path="bot", intent=OPEN)),
            record_found("bot", OP, NEXT, FAREWELL),
            id="found: it was inferred, so its own may still land",
        ),
        pytest.param(
            with_entry(
                Entry(
                    overlap_ms=FAREWELL.overlap_ms,
                    path="bot",
                    current=NEXT,
                    retiring=(OLD, RETIRED),
                    protect=True,
                )
            ),
            with_entry(dataclasses.replace(BEGUN, retiring=(OLD,), protect=True)),
            record_current("bot", OP, NEXT, FAREWELL),
            id="record: the predecessor retires",
        ),
        pytest.param(
            with_entry(
                Entry(
                    overlap_ms=FAREWELL.overlap_ms,
                    path="bot",
                    current=NEXT,
                    retiring=(OLD,),
                    revoking=(
                        GONE,
                        Revoking(token_id="bot-1", live_label="bot", reason="compromised"),
                    ),
                )
            ),
            with_entry(dataclasses.replace(BEGUN, retiring=(OLD,), revoking=(GONE,))),
            record_current(
                "bot",
                OP,
                NEXT,
                dataclasses.replace(FAREWELL, reason="compromised", revoke_now=True),
            ),
            id="record: the predecessor is compromised",
        ),
        pytest.param(
            with_entry(
                Entry(
                    overlap_ms=FAREWELL.overlap_ms,
                    path="bot",
                    current=NEXT,
                    revoking=(
                        GONE,
                        Revoking(token_id="bot-1", live_label="bot", reason="compromised"),
                        Revoking(token_id="bot-0", live_label="an old name", reason="compromised"),
                        Revoking(
                            token_id="bot-x", live_label="bot", reason="compromised", path="older"
                        ),
                    ),
                )
            ),
            with_entry(
                dataclasses.replace(
                    BEGUN,
                    retiring=(
                        dataclasses.replace(OLD, live_label="an old name"),
                        retiring("bot-x", "bot", path="older"),
                    ),
                    revoking=(GONE,),
                )
            ),
            record_current(
                "bot",
                OP,
                NEXT,
                dataclasses.replace(
                    FAREWELL, reason="compromised", revoke_now=True, revoke_all=True
                ),
            ),
            id="record: all predecessors are compromised",
        ),
        pytest.param(
            with_entry(
                Entry(overlap_ms=FAREWELL.overlap_ms, path="bot", current=NEXT),
                closed("revoked elsewhere", "bot-1"),
            ),
            with_entry(BEGUN),
            record_current("bot", OP, NEXT, dataclasses.replace(FAREWELL, already_gone=True)),
            id="record: the predecessor is gone",
        ),
        pytest.param(
            with_entry(
                Entry(
                    overlap_ms=FAREWELL.overlap_ms,
                    path="prod/bot",
                    current=NEXT,
                    retiring=(
                        dataclasses.replace(OLD, path="bot"),
                        retiring("bot-x", "bot", path="older"),
                        dataclasses.replace(RETIRED, path="bot"),
                    ),
                )
            ),
            with_entry(
                dataclasses.replace(MOVING, retiring=(OLD, retiring("bot-x", "bot", path="older")))
            ),
            record_current("bot", OP, NEXT, FAREWELL),
            id="record: elsewhere, predecessors remember where they lie",
        ),
        pytest.param(
            with_entry(
                Entry(
                    overlap_ms=FAREWELL.overlap_ms,
                    path="prod/bot",
                    current=NEXT,
                    revoking=(
                        Revoking(
                            token_id="bot-1", live_label="bot", reason="compromised", path="bot"
                        ),
                    ),
                )
            ),
            with_entry(MOVING),
            record_current(
                "bot",
                OP,
                NEXT,
                dataclasses.replace(FAREWELL, reason="compromised", revoke_now=True),
            ),
            id="record: elsewhere, and the predecessor is compromised",
        ),
        pytest.param(
            with_entry(dataclasses.replace(HAD, current=dataclasses.replace(NOW, version=4))),
            with_entry(BEGUN),
            record_current("bot", OP, dataclasses.replace(NOW, version=4), FAREWELL),
            id="record: a restore has no predecessor",
        ),
        pytest.param(
            with_entry(
                Entry(
                    overlap_ms=FAREWELL.overlap_ms,
                    path="bot",
                    current=current("bot-0", "bot", version=4),
                    retiring=(RETIRED,),
                )
            ),
            with_entry(dataclasses.replace(BEGUN, retiring=(OLD,))),
            record_current("bot", OP, current("bot-0", "bot", version=4), FAREWELL),
            id="record: a rollback makes the successor retire",
        ),
        pytest.param(
            with_entry(
                Entry(
                    path="bot",
                    revoking=(Revoking(token_id="bot-1", live_label="bot", reason="not desired"),),
                )
            ),
            with_entry(HAD),
            start_revoking("bot", "bot-1", reason="not desired"),
            id="revoke: the current token",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(
                    HAD,
                    revoking=(
                        GONE,
                        Revoking(
                            token_id="bot-0", live_label="bot", reason="superseded", path="old/bot"
                        ),
                    ),
                )
            ),
            with_entry(
                dataclasses.replace(
                    HAD, retiring=(dataclasses.replace(OLD, path="old/bot"),), revoking=(GONE,)
                )
            ),
            start_revoking("bot", "bot-0", reason="superseded"),
            id="revoke: a predecessor",
        ),
        pytest.param(
            with_entry(
                Entry(
                    path="bot",
                    retiring=(OLD,),
                    revoking=(Revoking(token_id="bot-1", live_label="bot", reason="not desired"),),
                )
            ),
            with_entry(dataclasses.replace(HAD, retiring=(OLD,))),
            start_revoking("bot", "bot-1", reason="not desired"),
            id="revoke: the current token, predecessors stay",
        ),
        pytest.param(
            with_entry(
                Entry(
                    path="bot",
                    revoking=(Revoking(token_id="bot-0", live_label="bot", reason="superseded"),),
                )
            ),
            with_entry(Entry(path="bot", retiring=(OLD,))),
            start_revoking("bot", "bot-0", reason="superseded"),
            id="revoke: a predecessor of nothing",
        ),
        pytest.param(
            with_entry(HAD, closed("superseded", "bot-9")),
            with_entry(dataclasses.replace(HAD, revoking=(GONE,))),
            close_revoking("bot", "bot-9", outcome="superseded", at_ms=NOW_MS),
            id="revoked",
        ),
        pytest.param(
            with_entry(None, closed("not desired", "bot-9")),
            with_entry(Entry(path="bot", revoking=(GONE,))),
            close_revoking("bot", "bot-9", outcome="not desired", at_ms=NOW_MS),
            id="revoked: the last thing that was known of the label",
        ),
        pytest.param(
            with_entry(dataclasses.replace(HAD, current=dataclasses.replace(NOW, version=7))),
            with_entry(HAD),
            set_version("bot", Moved(version=VersionId(7))),
            id="put right",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(
                    HAD, current=dataclasses.replace(NOW, own_use_until_ms=NOW_MS, fresh=False)
                )
            ),
            with_entry(HAD),
            expect_own_use("bot", "bot-1", NOW_MS),
            id="own use: of the current token",
        ),
        pytest.param(
            with_entry(
                dataclasses.replace(
                    HAD,
                    retiring=(dataclasses.replace(OLD, own_use_until_ms=NOW_MS, fresh=False),),
                )
            ),
            with_entry(dataclasses.replace(HAD, retiring=(OLD,))),
            expect_own_use("bot", "bot-0", NOW_MS),
            id="own use: of a predecessor",
        ),
        pytest.param(
            with_entry(dataclasses.replace(HAD, protect=True)),
            with_entry(HAD),
            set_protect("bot", protect=True),
            id="protect",
        ),
        pytest.param(
            with_entry(None),
            with_entry(Entry(path="bot", protect=True)),
            set_protect("bot", protect=False),
            id="unprotect the last trace",
        ),
        pytest.param(
            with_entry(Entry(path="bot", retiring=(OLD,))),
            with_entry(Entry(path="bot", retiring=(OLD,), protect=True)),
            set_protect("bot", protect=False),
            id="unprotect what only predecessors are left of",
        ),
        pytest.param(
            dataclasses.replace(with_entry(HAD), files=("a.yaml", "b.yaml")),
            with_entry(HAD),
            set_files(("b.yaml", "a.yaml")),
            id="files",
        ),
        pytest.param(
            with_entry(HAD),
            dataclasses.replace(with_entry(HAD), profile_id=None),
            set_profile(PROFILE_ID),
            id="profile",
        ),
        pytest.param(with_entry(HAD), with_entry(HAD), set_profile(PROFILE_ID), id="profile again"),
        pytest.param(
            with_entry(BEGUN, closed("x")),
            with_entry(BEGUN, closed("x")),
            unchanged,
            id="the lease only",
        ),
    ],
)
def test_a_transition(expected: Ledger, before: Ledger, step: Transition) -> None:
    """The whole ledger after it; the one before is as it was."""
    text = to_text(before)
    assert step(before) == expected
    assert to_text(before) == text


EDITED = "was it edited by hand"


@pytest.mark.parametrize(
    ("expected", "before", "step"),
    [
        pytest.param(
            "has an open intent already",
            with_entry(BEGUN),
            open_intent("bot", OPEN, protect=None),
            id="open twice",
        ),
        pytest.param(
            "does not know bot", with_entry(None), name_intent("bot", OP, "t"), id="name: no label"
        ),
        pytest.param(
            "not this run's", with_entry(HAD), name_intent("bot", OP, "t"), id="name: no intent"
        ),
        pytest.param(
            "not this run's",
            with_entry(BEGUN),
            name_intent("bot", "other", "t"),
            id="name: another's",
        ),
        pytest.param(
            "bot-0 is known already",
            with_entry(dataclasses.replace(BEGUN, retiring=(OLD,))),
            name_intent("bot", OP, "bot-0"),
            id="name: an id that the ledger knows is no new token's",
        ),
        pytest.param(
            "bot-9 is known already",
            dataclasses.replace(
                with_entry(BEGUN),
                closed=(Closed(label="ant", token_id="bot-9", outcome="rotated", at_ms=NOW_MS),),
            ),
            name_intent("bot", OP, "bot-9"),
            id="name: it has ended once",
        ),
        pytest.param(
            "twin is known already",
            with_entry(
                dataclasses.replace(BEGUN, intent=dataclasses.replace(OPEN, before=("twin",)))
            ),
            name_intent("bot", OP, "twin"),
            id="name: nor is one that lived before",
        ),
        pytest.param(
            "bot-2 is known already",
            ledger({"bot": BEGUN, "desk": dataclasses.replace(NAMED, path="desk")}),
            name_intent("bot", OP, "bot-2"),
            id="name: nor is one that another open intent names",
        ),
        pytest.param(
            "bot-0 is known already",
            with_entry(dataclasses.replace(BEGUN, retiring=(OLD,))),
            drop_intent("bot", OP, dataclasses.replace(DROPPED, token_id="bot-0")),
            id="drop: an id that the ledger knows",
        ),
        pytest.param(
            "bot-0 is known already",
            with_entry(dataclasses.replace(BEGUN, retiring=(OLD,))),
            retire_intent("bot", OP, OLD),
            id="retire: an id that the ledger knows",
        ),
        pytest.param(
            "not this run's",
            with_entry(NAMED),
            retire_intent("bot", "x", PERHAPS),
            id="retire: another's",
        ),
        pytest.param(
            "desk-1 is desk's and would be bot's",
            ledger(
                {
                    "bot": BEGUN,
                    "desk": Entry(
                        overlap_ms=FAREWELL.overlap_ms,
                        path="desk",
                        current=current("desk-1", "desk"),
                    ),
                }
            ),
            record_current("bot", OP, current("desk-1", "bot"), FAREWELL),
            id="record: another label's",
        ),
        pytest.param(
            "not this run's",
            with_entry(BEGUN),
            close_intent("bot", "x", outcome="", at_ms=0),
            id="close: another's",
        ),
        pytest.param(
            "not this run's",
            with_entry(BEGUN),
            abandon_intent("bot", "x", at_ms=0),
            id="abandon: another's",
        ),
        pytest.param(
            "not this run's",
            with_entry(NAMED),
            drop_intent("bot", "x", DROPPED),
            id="drop: another's",
        ),
        pytest.param(
            "not this run's",
            with_entry(HAD),
            record_current("bot", OP, NEXT, FAREWELL),
            id="record: no intent",
        ),
        pytest.param(
            "bot-9 is revoking and would be current",
            with_entry(dataclasses.replace(BEGUN, revoking=(GONE,))),
            record_current("bot", OP, current("bot-9", "bot"), FAREWELL),
            id="record: nothing leads out of revoking",
        ),
        pytest.param(
            "neither current nor retiring",
            with_entry(HAD),
            start_revoking("bot", "alien", reason=""),
            id="revoke: unknown",
        ),
        pytest.param(
            "neither current nor retiring",
            with_entry(dataclasses.replace(HAD, revoking=(GONE,))),
            start_revoking("bot", "bot-9", reason=""),
            id="revoke: twice",
        ),
        pytest.param(
            "does not know desk",
            with_entry(HAD),
            start_revoking("desk", "bot-1", reason=""),
            id="revoke: another's",
        ),
        pytest.param(
            "bot-1 is not revoking",
            with_entry(HAD),
            close_revoking("bot", "bot-1", outcome="", at_ms=0),
            id="closed: not begun",
        ),
        pytest.param(
            "has no current token",
            with_entry(Entry(path="bot", retiring=(OLD,))),
            set_version("bot", Moved(version=VersionId(1))),
            id="put right: nothing",
        ),
        pytest.param(
            "does not know bot",
            with_entry(None),
            set_protect("bot", protect=True),
            id="protect: nothing",
        ),
        pytest.param("another profile", with_entry(HAD), set_profile(7), id="profile: another"),
    ],
)
def test_a_transition_that_contradicts_the_ledger_is_refused(
    expected: str, before: Ledger, step: Transition
) -> None:
    """With a LedgerError in one sentence."""
    with pytest.raises(LedgerError, match=expected) as caught:
        step(before)
    assert "\n" not in str(caught.value)


CAT_AT_BOTS = {"cat": Entry(path="cat", current=current("cat-1", "cat"), intent=intent("bot"))}


def shared(bot: Entry, cat: Entry) -> Ledger:
    """A ledger of two labels."""
    return ledger({"bot": bot, "cat": cat})


def test_a_label_that_is_recorded_at_a_path_displaces_the_one_before() -> None:
    """That one keeps its token, which lies nowhere; a second record changes nothing."""
    before = shared(HAD, CAT_AT_BOTS["cat"])
    new = current("cat-2", "cat", version=2, age_ms=0)
    after = record_current("cat", OP, new, FAREWELL)(before)
    assert after.tokens["bot"] == dataclasses.replace(
        HAD, current=dataclasses.replace(NOW, displaced=True)
    )
    assert after.tokens["cat"].path == "bot"
    assert after.tokens["cat"].retiring[0].path == "cat"
    assert after.tokens["cat"].is_at("bot")
    assert not after.tokens["bot"].is_at("bot")
    assert from_text(to_text(after)) == after


@pytest.mark.parametrize(
    "close",
    [
        pytest.param(
            close_intent("cat", OP, outcome="x", at_ms=NOW_MS, version=VersionId(2, 5)), id="close"
        ),
        pytest.param(
            abandon_intent("cat", OP, at_ms=NOW_MS, version=VersionId(2, 5)), id="abandon"
        ),
        pytest.param(drop_intent("cat", OP, DROPPED, version=VersionId(2, 5)), id="drop"),
        pytest.param(retire_intent("cat", OP, PERHAPS, version=VersionId(2, 5)), id="retire"),
    ],
)
def test_a_fence_gives_another_labels_secret_a_version(close: Transition) -> None:
    """It wrote that label's content again, so that is where its secret lies now."""
    after = close(shared(HAD, CAT_AT_BOTS["cat"]))
    moved = dataclasses.replace(NOW, version=2, version_created_at_ms=5)
    assert after.tokens["bot"] == dataclasses.replace(HAD, current=moved)
    assert after.tokens["cat"].current == CAT_AT_BOTS["cat"].current
    gone = dataclasses.replace(NOW, displaced=True)
    alone = shared(dataclasses.replace(HAD, current=gone), CAT_AT_BOTS["cat"])
    assert close(alone).tokens["bot"].current == gone


def test_one_open_intent_at_a_path() -> None:
    """Two writes of one path could not be told apart."""
    before = shared(BEGUN, Entry(path="cat", current=current("cat-1", "cat")))
    with pytest.raises(LedgerError, match="bot has an open intent"):
        open_intent("cat", dataclasses.replace(OPEN, operation_id="op-2"), protect=None)(before)


def test_a_label_leaves_and_returns() -> None:
    """The first time counts; while it is away, no write of its secret is begun."""
    away = note_left("bot", at_ms=5)(with_entry(HAD))
    assert away == with_entry(dataclasses.replace(HAD, current=dataclasses.replace(NOW, left_ms=5)))
    assert note_left("bot", at_ms=7)(away) == away
    assert note_returned("bot")(away) == with_entry(HAD)
    assert from_text(to_text(away)) == away
    with pytest.raises(LedgerError, match="not in the manifest"):
        open_intent("bot", OPEN, protect=None)(away)
    with pytest.raises(LedgerError, match="open intent"):
        note_left("bot", at_ms=5)(with_entry(BEGUN))


def test_a_path_is_emptied_before_its_token_goes() -> None:
    """It is announced, then dated; the note ends with the token, or with a version that
    was written or found since.
    """
    begun = note_emptying("bot", NOW.token_id)(with_entry(HAD))
    assert begun.tokens["bot"].emptied == (Emptied(token_id=NOW.token_id),)
    dated = note_emptied("bot", NOW.token_id, at_ms=5)(begun)
    assert emptied_of(dated.tokens["bot"], NOW.token_id) == Emptied(token_id=NOW.token_id, at_ms=5)
    assert from_text(to_text(dated)) == dated
    assert note_emptying("bot", NOW.token_id)(dated) == begun
    gone = start_revoking("bot", NOW.token_id, reason="not desired")(dated)
    assert gone.tokens["bot"].emptied == ()
    moved = set_version("bot", Moved(version=VersionId(9)))(dated)
    assert moved.tokens["bot"].emptied == ()
    with pytest.raises(LedgerError, match="neither current nor retiring"):
        note_emptying("bot", "unknown")(with_entry(HAD))


def test_a_contradiction_tells_where_to_look() -> None:
    """It means an edit by hand or a defect; either way the latest versions tell."""
    with pytest.raises(LedgerError, match=r"was it edited by hand\? Look at its latest versions$"):
        set_profile(7)(with_entry(HAD))


def test_the_audit_trail_keeps_the_last_two_hundred() -> None:
    """The oldest row goes."""
    rows = tuple(
        Closed(label="bot", token_id=str(n), outcome="x", at_ms=n) for n in range(CLOSED_KEPT)
    )
    found = close_intent("bot", OP, outcome="refused", at_ms=NOW_MS)(with_entry(BEGUN, *rows))
    assert CLOSED_KEPT == 200
    assert (*rows[1:], closed("refused")) == found.closed


def test_so_many_abandoned_intents_are_kept() -> None:
    """The oldest go first."""
    old = tuple(Abandoned(label="desk", since_ms=n, closed_at_ms=n) for n in range(ABANDONED_MOST))
    before = dataclasses.replace(with_entry(BEGUN), abandoned=old)
    after = abandon_intent("bot", OP, at_ms=NOW_MS)(before).abandoned
    assert after == (*old[1:], GIVEN_UP)


@pytest.mark.parametrize(
    ("expected", "lease", "run"),
    [
        (False, None, None),
        (True, holder("run-1", expires_in_ms=1), None),
        (True, holder("run-1", expires_in_ms=1), "run-2"),
        (False, holder("run-1", expires_in_ms=1), "run-1"),
        (False, holder("run-1", expires_in_ms=0), "run-2"),
        (False, holder("run-1", expires_in_ms=-1), None),
    ],
)
def test_a_lease_lives_until_it_expires(
    *, expected: bool, lease: Holder | None, run: str | None
) -> None:
    """And holds up everybody but its own run."""
    assert lease_held_by(ledger({}, holder=lease), NOW_MS, not_run=run) == (
        lease if expected else None
    )


def test_the_ledger_knows_whose_an_id_is() -> None:
    """Current, retiring and revoking ones; an intent's is not known before it is
    recorded.
    """
    entry = dataclasses.replace(NAMED, retiring=(OLD,), revoking=(GONE,))
    found = ledger(
        {"bot": entry, "desk": Entry(path="desk", current=current("desk-1", "desk"))}
    ).known_ids()
    assert found == {"bot-1": "bot", "bot-0": "bot", "bot-9": "bot", "desk-1": "desk"}


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        (True, IntentKind.DERIVE),
        (True, IntentKind.ROTATE),
        (False, IntentKind.RESTORE),
        (False, IntentKind.ROLLBACK),
        (False, IntentKind.ADOPT),
    ],
)
def test_which_kinds_of_intent_derive(*, expected: bool, kind: IntentKind) -> None:
    """Only those may have left a token that nobody knows."""
    assert kind.derives == expected


# --- the text ---

WHOLE = Ledger(
    ledger_id=LEDGER_ID,
    api_url=API_URL,
    profile_id=PROFILE_ID,
    files=("tokens.yaml",),
    holder=Holder(run="run-2", write="w-7", who="host:7", expires_at_ms=NOW_MS + MINUTE_MS),
    tokens={
        "production-bot": Entry(
            path="prod/bot",
            protect=True,
            current=Current(
                token_id="t1",
                live_label="production-bot",
                created_at_ms=NOW_MS,
                version=7,
                verified_at_ms=NOW_MS + 1,
            ),
            intent=Intent(
                kind=IntentKind.ROTATE,
                operation_id="op-1",
                run="run-1",
                since_ms=NOW_MS,
                before=("t1", "t0"),
                cas=7,
                path="prod/new",
                scopes=("trading",),
            ),
            retiring=(
                Retiring(
                    token_id="t0",
                    live_label="an old name",
                    superseded_at_ms=NOW_MS,
                    not_before_ms=NOW_MS + HOUR_MS,
                    reason="rotated",
                    verified_at_ms=NOW_MS,
                ),
            ),
            revoking=(
                Revoking(
                    token_id="t9", live_label="production-bot", reason="compromised", path="old/bot"
                ),
            ),
        )
    },
    abandoned=(Abandoned(label="desk", since_ms=NOW_MS, closed_at_ms=NOW_MS + 1),),
    closed=(Closed(label="desk", token_id=None, outcome="refused", at_ms=NOW_MS),),
)

DOCUMENT: dict[str, Any] = {
    "schema": 2,
    "ledger_id": "ledger-1",
    "profile_id": 42,
    "api_url": "https://api.example",
    "files": ["tokens.yaml"],
    "holder": {
        "run": "run-2",
        "write": "w-7",
        "who": "host:7",
        "expires_at": "2026-11-22T08:31:00.000Z",
    },
    "tokens": {
        "production-bot": {
            "path": "prod/bot",
            "protect": True,
            "current": {
                "token_id": "t1",
                "live_label": "production-bot",
                "created_at": "2026-11-22T08:30:00.000Z",
                "version": 7,
                "verified_at": "2026-11-22T08:30:00.001Z",
            },
            "intent": {
                "kind": "rotate",
                "operation_id": "op-1",
                "run": "run-1",
                "since": "2026-11-22T08:30:00.000Z",
                "before": ["t1", "t0"],
                "cas": 7,
                "path": "prod/new",
                "scopes": ["trading"],
                "compromised": False,
                "token_id": None,
            },
            "retiring": [
                {
                    "token_id": "t0",
                    "live_label": "an old name",
                    "superseded_at": "2026-11-22T08:30:00.000Z",
                    "not_before": "2026-11-22T09:30:00.000Z",
                    "reason": "rotated",
                    "verified_at": "2026-11-22T08:30:00.000Z",
                }
            ],
            "revoking": [
                {
                    "token_id": "t9",
                    "live_label": "production-bot",
                    "reason": "compromised",
                    "path": "old/bot",
                }
            ],
        }
    },
    "abandoned": [
        {
            "label": "desk",
            "since": "2026-11-22T08:30:00.000Z",
            "closed_at": "2026-11-22T08:30:00.001Z",
        }
    ],
    "closed": [
        {"label": "desk", "token_id": None, "outcome": "refused", "at": "2026-11-22T08:30:00.000Z"}
    ],
}
"""The contract's shape with each of its keys, and the additions that the module
documents."""


def canonical(document: dict[str, Any]) -> str:
    """The one text of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_the_document_has_the_shape_of_the_contract() -> None:
    """Key by key, both ways."""
    assert json.loads(to_text(WHOLE)) == DOCUMENT
    assert from_text(json.dumps(DOCUMENT, indent=2)) == WHOLE


def test_an_empty_ledger_has_all_keys() -> None:
    """What is not there is null or empty, never left out."""
    expected = (
        '{"abandoned":[],"api_url":"u","closed":[],"files":[],"holder":null,"ledger_id":"x","profile_id":null,'
        '"schema":2,"tokens":{}}'
    )
    assert to_text(Ledger(ledger_id="x", api_url="u")) == expected


@settings(max_examples=300, derandomize=True)
@given(ledgers())
@example(WHOLE)
def test_a_ledger_survives_being_written_down(known: Ledger) -> None:
    """Any ledger is read back as it was, from canonical text: the same ledger gives the
    same bytes, whatever its order.
    """
    text = to_text(known)
    assert from_text(text) == known
    assert to_text(from_text(text)) == text == canonical(json.loads(text))
    backwards = dataclasses.replace(known, tokens=dict(reversed(list(known.tokens.items()))))
    assert to_text(backwards) == text


@settings(max_examples=50, derandomize=True)
@given(ledgers())
def test_the_size_is_that_of_the_request(known: Ledger) -> None:
    """The text is one JSON string in the body: escapes count."""
    assert text_bytes(known) == len(json.dumps(to_text(known), ensure_ascii=False).encode("utf-8"))


def test_a_label_of_any_script_is_stored_as_it_is() -> None:
    """UTF-8, not escapes: they would be three times as long."""
    known = ledger({"Zürich 7 \u65e5": dataclasses.replace(HAD, path="z")})
    assert "Zürich 7 \u65e5" in to_text(known)
    assert from_text(to_text(known)) == known


@pytest.mark.parametrize("more", [{}, {"hint": "x"}])
def test_a_key_that_a_later_program_of_this_schema_adds_is_left_alone(more: dict[str, str]) -> None:
    """At the top and in a row."""
    assert (
        from_text(canonical({**DOCUMENT, **more, "holder": {**DOCUMENT["holder"], **more}}))
        == WHOLE
    )


def test_the_documented_additions_may_be_missing() -> None:
    """A document with the contract's keys alone is read: an intent is at the label's
    path, a predecessor was never verified.
    """
    entry = DOCUMENT["tokens"]["production-bot"]
    bare_intent = {key: value for key, value in entry["intent"].items() if key != "path"}
    bare_retiring = [
        {key: value for key, value in row.items() if key != "verified_at"}
        for row in entry["retiring"]
    ]
    bare = {**entry, "intent": bare_intent, "retiring": bare_retiring}
    found = from_text(canonical({**DOCUMENT, "tokens": {"production-bot": bare}})).tokens[
        "production-bot"
    ]
    assert found.intent is not None
    assert (found.intent.path, found.retiring[0].verified_at_ms) == ("prod/bot", 0)


UNREADABLE = (
    "the ledger in Vault can't be read (edited by hand or cut off?): write its last good "
    "version again with `vault kv rollback`"
)


def edited(*keys: str | int, value: Any = None, drop: bool = False) -> str:
    """The document with another value at a place, or without it."""
    document: Any = json.loads(canonical(DOCUMENT))
    place = document
    for key in keys[:-1]:
        place = place[key]
    if drop:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return canonical(document)


BOT = ("tokens", "production-bot")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param('"text"', id="a text"),
        pytest.param("7", id="a number"),
        pytest.param("{}", id="no key"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param(f'{{"schema": {"9" * 5000}}}', id="a number of 5000 digits"),
        pytest.param(edited("schema", drop=True), id="no schema"),
        pytest.param(edited("schema", value="1"), id="the schema as text"),
        pytest.param(edited("schema", value=True), id="the schema as a flag"),
        pytest.param(edited("schema", value=1.0), id="the schema with a fraction"),
        pytest.param(edited("ledger_id", value=7), id="the id as a number"),
        pytest.param(edited("profile_id", value="42"), id="the profile as text"),
        pytest.param(edited("files", value=[7]), id="a file that is a number"),
        pytest.param(edited("files", value=7), id="files that are a number"),
        pytest.param(edited("holder", value="run-1"), id="a holder that is a text"),
        pytest.param(edited("holder", "expires_at", value=7), id="an instant that is a number"),
        pytest.param(edited("holder", "expires_at", value="soon"), id="an instant that is none"),
        pytest.param(edited("tokens", value=[]), id="tokens that are a list"),
        pytest.param(edited(*BOT, value=None), id="an entry that is null"),
        pytest.param(edited(*BOT, "path", value=None), id="a path that is null"),
        pytest.param(edited(*BOT, "protect", value=1), id="a protection that is a number"),
        pytest.param(edited(*BOT, "current", value=[]), id="a current token that is a list"),
        pytest.param(edited(*BOT, "current", "version", value="7"), id="a version that is a text"),
        pytest.param(edited(*BOT, "current", "version", value=7.5), id="a version with a fraction"),
        pytest.param(edited(*BOT, "intent", value=["kind"]), id="an intent that is a list"),
        pytest.param(
            edited(*BOT, "intent", "kind", value="create"),
            id="an intent of a kind that nobody knows",
        ),
        pytest.param(edited(*BOT, "intent", "before", value="t1"), id="ids that are a text"),
        pytest.param(edited(*BOT, "intent", "before", value=[None]), id="an id that is null"),
        pytest.param(
            edited(*BOT, "intent", "compromised", value="false"), id="a flag that is a text"
        ),
        pytest.param(edited(*BOT, "retiring", value=None), id="retiring that is null"),
        pytest.param(edited(*BOT, "retiring", value=["t0"]), id="a predecessor that is a text"),
        pytest.param(edited(*BOT, "revoking", value=7), id="revoking that is a number"),
        pytest.param(
            edited(*BOT, "revoking", 0, "token_id", drop=True), id="a token without an id"
        ),
        pytest.param(edited("closed", value=None), id="closed that is null"),
        pytest.param(edited("closed", 0, "token_id", value=7), id="a closed id that is a number"),
        pytest.param(
            edited("abandoned", 0, "since", value=None), id="an abandoned intent of no time"
        ),
        pytest.param(edited("schema", value=0), id="a schema that never was"),
        pytest.param(edited("files", value="tokens.yaml"), id="files that are a text"),
        pytest.param(edited(*BOT, "retiring", value={}), id="retiring that is a mapping"),
        pytest.param(edited(*BOT, "revoking", value=""), id="revoking that is an empty text"),
        pytest.param(edited(*BOT, "current", "version", value=-1), id="a version below zero"),
        pytest.param(
            edited(*BOT, "intent", "cas", value=2**63), id="a version that Vault can't count to"
        ),
        pytest.param(edited("ledger_id", value="\ud800"), id="half a surrogate pair"),
        pytest.param(
            edited("holder", "expires_at", value="0001-01-01T00:00:00+14:00"),
            id="an instant before the calendar",
        ),
        pytest.param(
            canonical(DOCUMENT).replace('"files":', '"files":[],"files":', 1), id="a key twice"
        ),
    ],
)
def test_what_is_no_ledger_is_refused(text: str) -> None:
    """In one sentence that names the way back; nothing of the text, nor of what
    stumbled over it, is in the error.
    """
    with pytest.raises(LedgerError) as caught:
        from_text(text)
    assert str(caught.value) == UNREADABLE
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "keys",
    [
        *[(key,) for key in DOCUMENT],
        *[(*BOT, key) for key in DOCUMENT["tokens"]["production-bot"]],
        *[(*BOT, "current", key) for key in DOCUMENT["tokens"]["production-bot"]["current"]],
        *[
            (*BOT, "intent", key)
            for key in DOCUMENT["tokens"]["production-bot"]["intent"]
            if key not in {"path", "compromised", "token_id"}
        ],
        *[
            (*BOT, "retiring", 0, key)
            for key in DOCUMENT["tokens"]["production-bot"]["retiring"][0]
            if key != "verified_at"
        ],
    ],
    ids=lambda keys: ".".join(map(str, keys)),
)
def test_a_key_of_the_contract_is_missed(keys: tuple[str | int, ...]) -> None:
    """A document without it is not guessed at."""
    with pytest.raises(LedgerError, match="can't be read"):
        from_text(edited(*keys, drop=True))


@pytest.mark.parametrize("schema", [3, 99])
def test_a_newer_ledger_is_left_to_a_newer_program(schema: int) -> None:
    """Whatever else is in it."""
    with pytest.raises(LedgerError) as caught:
        from_text(canonical({"schema": schema, "everything": "else"}))
    assert (
        str(caught.value)
        == f"the ledger has schema {schema}, this program knows up to 2: update reconciler"
    )


def test_a_ledger_of_the_first_schema_is_carried_over() -> None:
    """Nothing in it counts as fresh, and the next write says the schema of today."""
    old = from_text(canonical({**DOCUMENT, "schema": 1}))
    assert old == WHOLE
    assert old.tokens["production-bot"].current is not None
    assert not old.tokens["production-bot"].current.fresh
    assert json.loads(to_text(old)) == DOCUMENT


def test_a_real_ledger_of_the_first_schema_is_carried_over() -> None:
    """The last program of that schema wrote it, with a predecessor within its overlap,
    an abandoned attempt, and a derive whose answer was lost.
    """
    text = (Path(__file__).parent.parent / "support" / "ledger_of_schema_1.json").read_text()
    old = from_text(text)
    carried = json.loads(to_text(old))
    assert carried == {**json.loads(text), "schema": 2}
    bot, lost = old.tokens["bot"], old.tokens["lost"]
    assert [row.token_id for row in bot.retiring] == ["jIkqu334/ls6iYr+am5+pnSQ"]
    assert not any(row.fresh for row in bot.retiring), "it needs a used successor"
    intent = lost.intent
    assert intent is not None
    made = live("new", "lost")
    made = dataclasses.replace(made, created_at_ms=intent.since_ms + 1, last_used_at_ms=None)
    now_ms = intent.since_ms + DAY_MS
    assert interrupted("lost", intent, old, (made,), now_ms=now_ms, doubt_ms=0) is None
    assert lost_in(old)(made) is Lost.PROBABLY, "nothing is inferred, and it is named"


def test_no_part_of_a_ledger_is_a_ledger() -> None:
    """Cut off anywhere, it is refused."""
    text = to_text(WHOLE)
    for end in range(len(text)):
        with pytest.raises(LedgerError, match="can't be read"):
            from_text(text[:end])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where something stands in a document."""
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [here, *(place for key, child in children for place in places(child, (*here, key)))]


@settings(max_examples=500, derandomize=True)
@given(st.sampled_from(places(DOCUMENT)[1:]), JSON)
def test_an_edit_gives_a_ledger_or_an_error_never_a_traceback(
    keys: tuple[str | int, ...], value: Any
) -> None:
    """Anything at any place of the document; what is still a ledger can be written
    again and reads the same.
    """
    try:
        known = from_text(edited(*keys, value=value))
    except LedgerError:
        return
    assert from_text(to_text(known)) == known


@given(st.text())
def test_any_text_gives_an_error_never_a_traceback(text: str) -> None:
    """Whatever somebody wrote there."""
    with pytest.raises(LedgerError):
        from_text(text)


# --- no sequence of transitions breaks it ---


class Life(RuleBasedStateMachine):
    """Two labels, driven through every transition in any order, each with the ids and
    operations that a run would have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known = ledger({})
        self.fresh = 0
        self.went: list[str] = []
        self.held: set[str] = set()

    def step(self, transition: Transition) -> None:
        """Apply it; ``revoking`` may be left by ``close_revoking`` only."""
        before = revoking_ids(self.known)
        self.known = transition(self.known)
        assert before - revoking_ids(self.known) <= set(self.went)
        self.held |= self.known.known_ids().keys()

    def new_id(self) -> str:
        """An id that was never there."""
        self.fresh += 1
        return f"t{self.fresh}"

    def pick(self, data: st.DataObject, wanted: Callable[[Entry], bool]) -> str | None:
        """One of the labels whose entry is as wanted, or None."""
        labels = sorted(label for label, entry in self.known.tokens.items() if wanted(entry))
        return data.draw(st.sampled_from(labels)) if labels else None

    @rule(
        data=st.data(),
        label=st.sampled_from(("bot", "desk")),
        kind=st.sampled_from((IntentKind.DERIVE, IntentKind.ROTATE)),
    )
    def open(self, data: st.DataObject, label: str, kind: IntentKind) -> None:
        """Step 1."""
        if self.known.tokens.get(label, Entry(path="")).intent is None:
            path = data.draw(st.sampled_from((label, f"new/{label}")))
            protect = data.draw(st.sampled_from((None, True, False)))
            self.step(open_intent(label, intent(path, kind=kind), protect=protect))

    @rule(data=st.data())
    def name(self, data: st.DataObject) -> None:
        """Step 3."""
        label = self.pick(data, lambda e: e.intent is not None and e.intent.token_id is None)
        if label is not None:
            self.step(name_intent(label, OP, self.new_id()))

    @rule(data=st.data(), retirement=st.sampled_from(("retire", "revoke", "revoke all", "gone")))
    def record(self, data: st.DataObject, retirement: str) -> None:
        """Step 6: a new token, a restore, or a rollback."""
        label = self.pick(data, lambda e: e.intent is not None)
        if label is None:
            return
        entry = self.known.tokens[label]
        ids = [r.token_id for r in entry.retiring] + (
            [entry.current.token_id] if entry.current is not None else []
        )
        token_id = data.draw(st.sampled_from((*ids, None))) or self.new_id()
        if (
            retirement == "gone"
            and entry.current is not None
            and entry.current.token_id != token_id
        ):
            self.went.append(entry.current.token_id)
        goodbye = dataclasses.replace(
            FAREWELL,
            revoke_now=retirement in {"revoke", "revoke all"},
            revoke_all=retirement == "revoke all",
            already_gone=retirement == "gone",
        )
        self.step(record_current(label, OP, current(token_id, label), goodbye))
        assert self.known.tokens[label].current == current(token_id, label)

    @rule(
        data=st.data(),
        how=st.sampled_from(("close", "abandon", "drop")),
        version=st.none() | st.integers(1, 9).map(VersionId),
    )
    def undo(self, data: st.DataObject, how: str, version: VersionId | None) -> None:
        """The end of an intent that was not committed."""
        label = self.pick(data, lambda e: e.intent is not None)
        if label is None:
            return
        self.step(
            {
                "close": close_intent(label, OP, outcome="x", at_ms=NOW_MS, version=version),
                "abandon": abandon_intent(label, OP, at_ms=NOW_MS, version=version),
                "drop": drop_intent(
                    label,
                    OP,
                    Discarded(token_id=self.new_id(), reason="x", at_ms=NOW_MS),
                    version=version,
                ),
            }[how]
        )

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        """The point of no return."""
        label = self.pick(data, lambda e: e.current is not None or bool(e.retiring))
        if label is not None:
            entry = self.known.tokens[label]
            ids = [r.token_id for r in entry.retiring] + (
                [entry.current.token_id] if entry.current is not None else []
            )
            self.step(start_revoking(label, data.draw(st.sampled_from(ids)), reason="x"))

    @rule(data=st.data())
    @precondition(lambda self: bool(revoking_ids(self.known)))
    def finish(self, data: st.DataObject) -> None:
        """The end of an id."""
        label = self.pick(data, lambda e: bool(e.revoking))
        assert label is not None
        token_id = data.draw(
            st.sampled_from([r.token_id for r in self.known.tokens[label].revoking])
        )
        self.went.append(token_id)
        self.step(close_revoking(label, token_id, outcome="x", at_ms=NOW_MS))

    @rule(data=st.data(), protect=st.booleans())
    def protect(self, data: st.DataObject, *, protect: bool) -> None:
        """A word in the manifest."""
        label = self.pick(data, lambda _: True)
        if label is not None:
            self.step(set_protect(label, protect=protect))

    @invariant()
    def an_id_is_in_one_place(self) -> None:
        """Current, retiring or revoking, of one label, until it went; and what went
        does not come back.
        """
        ids = collections.Counter(
            token_id
            for entry in self.known.tokens.values()
            for token_id in (
                *([entry.current.token_id] if entry.current is not None else []),
                *(r.token_id for r in entry.retiring),
                *(r.token_id for r in entry.revoking),
            )
        )
        assert [token_id for token_id, times in ids.items() if times > 1] == []
        assert ids.keys() == self.held - set(self.went)

    @invariant()
    def it_can_be_written_down(self) -> None:
        """And read back as it is."""
        assert from_text(to_text(self.known)) == self.known

    @invariant()
    def nothing_is_remembered_for_nothing(self) -> None:
        """A label without tokens, intent and protection is gone."""
        assert [
            label for label, entry in self.known.tokens.items() if entry.idle and not entry.protect
        ] == []


def revoking_ids(known: Ledger) -> set[str]:
    """All ids past the point of no return."""
    return {r.token_id for entry in known.tokens.values() for r in entry.revoking}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, derandomize=True)
