"""What the ledger does with labels that are released, and what a plan makes of them."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.errors import ReconcilerError, UsageError
from reconciler.model import DAY_MS, Manifest
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import Action, Reason
from reconciler.run.release import ReleasedToken, find_release
from reconciler.run.session import Session
from reconciler.state.entries import Transition
from reconciler.state.farewells import Retirement
from reconciler.state.ledger import (
    Closed,
    Entry,
    IntentKind,
    Ledger,
    LedgerError,
)
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.lost import lost_in, still_remembered
from reconciler.state.parted import RELEASED_MOST, Released
from reconciler.state.releasing import release_labels
from reconciler.state.snapshot import Kind, Observed, classify
from reconciler.state.transitions import name_intent, open_intent, record_current
from tests.support.values import (
    API_URL,
    MANAGER,
    NOW_MS,
    PLACE,
    current,
    entry,
    intent,
    ledger,
    live,
    lost,
    manifest,
    observed,
    retiring,
    revoking,
    settled,
    spec,
)

ROW = Released(label="bot", token_id="t2", at_ms=NOW_MS)
OLDER = dataclasses.replace(ROW, token_id="t1")
BOT = dataclasses.replace(entry("t2", "bot", path="prod/bot"), retiring=(retiring("t1", "bot"),))
GOING = revoking("t0", "bot")


def released(*rows: Released, tokens: dict[str, Entry] | None = None) -> Ledger:
    """A ledger that remembers these."""
    return dataclasses.replace(ledger(tokens), released=rows)


@pytest.mark.parametrize(
    ("expected", "before"),
    [
        pytest.param(released(ROW, OLDER), ledger({"bot": BOT}), id="current and predecessor"),
        pytest.param(
            released(ROW, OLDER),
            ledger({"bot": dataclasses.replace(BOT, protect=True)}),
            id="the protection goes as well",
        ),
        pytest.param(
            released(ROW, OLDER, tokens={"bot": Entry(path="prod/bot", revoking=(GOING,))}),
            ledger({"bot": dataclasses.replace(BOT, revoking=(GOING,))}),
            id="what is revoking stays",
        ),
        pytest.param(
            released(OLDER, ROW, tokens={"cat": entry("c1", "cat")}),
            released(
                OLDER,
                dataclasses.replace(ROW, at_ms=NOW_MS - DAY_MS),
                tokens={"bot": entry("t2", "bot"), "cat": entry("c1", "cat")},
            ),
            id="once more, beside another label",
        ),
    ],
)
def test_what_a_release_leaves(expected: Ledger, before: Ledger) -> None:
    """The entry goes, and the ids are remembered; the text holds all of it."""
    after = release_labels(["bot"], at_ms=NOW_MS)(before)
    assert expected == after
    assert from_text(to_text(after)) == after


def test_the_oldest_released_tokens_are_forgotten() -> None:
    """The memory has a bound."""
    many = tuple(Released(label="x", token_id=f"x{n}", at_ms=0) for n in range(RELEASED_MOST))
    after = release_labels(["bot"], at_ms=NOW_MS)(released(*many, tokens={"bot": BOT}))
    assert after.released == (*many[2:], ROW, OLDER)


OPEN = dataclasses.replace(BOT, intent=intent("prod/bot"))
NEW = current("t2", "bot")
RETIREMENT = Retirement(at_ms=NOW_MS, overlap_ms=0, reason="rotated")


@pytest.mark.parametrize(
    ("before", "step"),
    [
        pytest.param(
            ledger({"bot": OPEN}), release_labels(["bot"], at_ms=NOW_MS), id="an open intent"
        ),
        pytest.param(ledger(), release_labels(["bot"], at_ms=NOW_MS), id="an unknown label"),
        pytest.param(
            released(ROW, tokens={"bot": Entry(path="b", intent=intent("b"))}),
            name_intent("bot", "op-1", "t2"),
            id="an old reply that names a released token",
        ),
    ],
)
def test_what_the_ledger_refuses(before: Ledger, step: Transition) -> None:
    """Nothing is half done."""
    with pytest.raises(LedgerError):
        step(before)


def test_an_adopted_token_is_ours_again() -> None:
    """It leaves the memory with the record that makes it current."""
    adopts = dataclasses.replace(intent("bot", kind=IntentKind.ADOPT), token_id="t2")
    begun = open_intent("bot", adopts, protect=None)(released(ROW, OLDER))
    assert begun.released_ids() == {"t1", "t2"}
    assert record_current("bot", "op-1", NEW, RETIREMENT)(begun).released_ids() == {"t1"}


def test_what_was_revoked_before_is_not_revoked_again() -> None:
    """A token that the exchange kept, and that was adopted and released since."""
    ended = Closed(label="bot", token_id="t2", outcome="superseded", at_ms=NOW_MS - DAY_MS)
    known = dataclasses.replace(released(ROW), closed=(ended,))
    assert known.revoked_ids() == {}
    assert dataclasses.replace(known, released=()).revoked_ids() == {"t2": ended}


LIVE = live("t2", "bot", age_ms=2 * DAY_MS), live("t1", "bot", age_ms=2 * DAY_MS)
FLEET = settled([spec(MANAGER)])


def seen(*rows: Released, abandoned: bool = False) -> Observed:
    """The manager is in place, and two tokens of a label without an entry live."""
    known = dataclasses.replace(
        FLEET.ledger, released=rows, abandoned=(lost("bot"),) if abandoned else ()
    )
    return dataclasses.replace(FLEET, ledger=known, live=(*FLEET.live, *LIVE))


def wanted() -> Manifest:
    """The label is still in the manifest."""
    return manifest(spec(MANAGER), spec("bot"))


def test_released_tokens_are_foreign_and_not_lost() -> None:
    """Whatever their label, and whatever was abandoned."""
    labels = frozenset({MANAGER, "bot"})
    kinds = classify(seen(ROW, OLDER, abandoned=True), labels)
    assert (kinds["t2"], kinds["t1"]) == (Kind.FOREIGN, Kind.FOREIGN)
    assert classify(seen(ROW), labels)["t1"] is Kind.TWIN
    known = seen(ROW, OLDER, abandoned=True).ledger
    assert [lost_in(known)(token) for token in LIVE] == [None, None]
    assert unseen(known) == {True}
    unknown = dataclasses.replace(known, released=())
    assert None not in [lost_in(unknown)(token) for token in LIVE]
    assert unseen(unknown) == {False}


def unseen(known: Ledger) -> set[bool]:
    """Whether no list shows what abandoned attempts may have made, eight days later."""
    now_ms = NOW_MS + 8 * DAY_MS
    rows = still_remembered(known.abandoned, known, LIVE, now_ms=now_ms)
    return {row.unseen_since_ms is not None for row in rows}


def test_a_released_label_may_be_derived_again() -> None:
    """Where its path is free; its tokens are no twins."""
    rows = plan(wanted(), seen(ROW, OLDER), now_ms=NOW_MS).changes
    found = [(row.action, row.reason) for row in rows if row.label == "bot"]
    assert found == [(Action.DERIVE, Reason.ABSENT)]
    (twins,) = (row for row in plan(wanted(), seen(), now_ms=NOW_MS).changes if row.label == "bot")
    assert twins.reason is Reason.TWIN


# --- what the command makes of it ---


def session(desired: Manifest) -> Session:
    """A run with this manifest."""
    return Session(manifest=desired, policy=Policy(), api_url=API_URL, run="r", who="w")


def fleet(bot: Entry, *tokens: str, abandoned: bool = False) -> Observed:
    """The manager and the bot, with these live tokens of the bot's."""
    entries = {**FLEET.ledger.tokens, "bot": bot}
    rows = (lost("bot"),) if abandoned else ()
    known = dataclasses.replace(ledger(entries, abandoned=rows), closed=())
    listed = [live(token_id, "bot", age_ms=2 * DAY_MS) for token_id in tokens]
    return observed(known, *FLEET.live, *listed, signer_id=FLEET.signer_id)


ASKED = dataclasses.replace(GOING, asked_at_ms=NOW_MS)
LET_GO = (
    ReleasedToken(label="bot", token_id="t2", place=f"{PLACE}/prod/bot"),
    ReleasedToken(label="bot", token_id="t1", place=None),
)
ALL = (*LET_GO, ReleasedToken(label=MANAGER, token_id="reconciler-now", place=f"{PLACE}/{MANAGER}"))


@pytest.mark.parametrize("everything", [False, True])
def test_what_is_released_together(everything: bool) -> None:  # noqa: FBT001
    """The current token and its predecessors; everything includes the manager."""
    desired = manifest(spec(MANAGER))
    found = find_release(
        session(desired),
        fleet(BOT, "t1", "t2"),
        () if everything else ("bot", "bot"),
        everything=everything,
    )
    assert found.tokens == (ALL if everything else LET_GO)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("told", "bot", "lines"),
    [
        pytest.param("still in the manifest: bot", BOT, ("bot",), id="in the manifest"),
        pytest.param(
            "still to be confirmed as revoked by a later apply: t0 of bot",
            dataclasses.replace(BOT, revoking=(ASKED,)),
            (),
            id="a revocation that waits for a list",
        ),
        pytest.param("tx (bot)", BOT, (), id="a token that may be lost"),
    ],
)
def test_what_is_left_to_a_person(told: str, bot: Entry, lines: tuple[str, ...]) -> None:
    """Each is said in a sentence."""
    desired = manifest(spec(MANAGER), *(spec(label) for label in lines))
    looked = fleet(bot, "t0", "t1", "t2", "tx", abandoned=told.startswith("tx"))
    (note,) = find_release(session(desired), looked, ("bot",), everything=False).notes
    assert told in note


@pytest.mark.parametrize(
    ("told", "bot", "labels"),
    [
        pytest.param("apply` first", OPEN, ("bot",), id="an open intent"),
        pytest.param(
            "apply` first",
            dataclasses.replace(BOT, revoking=(GOING,)),
            ("bot",),
            id="a revocation that nobody answered",
        ),
        pytest.param("is the manager", BOT, (MANAGER, "bot"), id="the manager"),
        pytest.param(
            "no list proves yet",
            dataclasses.replace(BOT, revoking=(ASKED,)),
            (),
            id="everything, and a revocation waits",
        ),
    ],
)
def test_what_is_refused(told: str, bot: Entry, labels: tuple[str, ...]) -> None:
    """With what to do first."""
    looked = fleet(bot, "t0", "t1", "t2")
    with pytest.raises(ReconcilerError, match=told):
        find_release(session(manifest(spec(MANAGER))), looked, labels, everything=not labels)


def test_labels_that_have_no_entry() -> None:
    """One that was released already is done; an unknown one is a typo."""
    asks = session(manifest(spec(MANAGER)))
    assert find_release(asks, seen(ROW), ("bot",), everything=False).labels == ()
    with pytest.raises(UsageError, match="'bto'"):
        find_release(asks, seen(ROW), ("bto",), everything=False)
