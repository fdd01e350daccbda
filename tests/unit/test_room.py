"""How many tokens may live, as far as that was seen, and what is stocked then."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.documents import plan_document
from reconciler.errors import Exit
from reconciler.model import DAY_MS, HOUR_MS, TokenSpec
from reconciler.plan import SENTENCES, Plan, Policy, alarms_of, plan, status_of
from reconciler.plan.check import check_of
from reconciler.plan.vocabulary import Action, Reason
from reconciler.render import capped_words
from reconciler.state import Cap, NoRoomError, note_ended, tidy_cap, with_room
from reconciler.state.cap import CAP_KEPT_MS, lowest, with_cap
from reconciler.state.facts import unchanged
from reconciler.state.kept import Reserve
from reconciler.state.ledger import Closed, Intent, IntentKind, Ledger, Revoking
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.releasing import release_labels
from tests.support.values import MANAGER, NOW_MS, live, living, manifest, settled, spec

SEEN = Cap(lived=5, at_ms=NOW_MS - DAY_MS)
BOT, CAT = (dataclasses.replace(spec(n, rotate_after_ms=None), reserve=1) for n in ("bot", "cat"))
BOSS = spec(MANAGER, rotate_after_ms=None)
STOCK = (Action.STOCK, Reason.RESERVE_SHORT)
CAPPED = (Action.HOLD, Reason.RESERVE_CAPPED)
KEEP = (Action.KEEP, Reason.IN_SYNC)


# --- what is remembered ---


def test_the_lowest_of_each_day_for_thirty_days() -> None:
    """And of two that are as low the later one."""
    low = Cap(lived=4, at_ms=NOW_MS + HOUR_MS)
    late = Cap(lived=4, at_ms=NOW_MS + 2 * HOUR_MS)
    found = with_cap(with_cap(with_cap((SEEN,), Cap(lived=9, at_ms=NOW_MS)), low), late)
    assert found == (SEEN, late)
    assert with_cap(found, Cap(lived=7, at_ms=late.at_ms + 1)) == found
    assert lowest(found, NOW_MS) == late
    assert lowest(found, late.at_ms + CAP_KEPT_MS - 1) == late
    assert lowest(found, late.at_ms + CAP_KEPT_MS) is None
    much_later = Cap(lived=50, at_ms=late.at_ms + CAP_KEPT_MS)
    assert with_cap(found, much_later) == (much_later,)


def test_it_stays_small() -> None:
    """A derive each hour, for a year, leaves no more than 31 rows."""
    found: tuple[Cap, ...] = ()
    for hour in range(24 * 365):
        found = with_cap(found, Cap(lived=hour % 7, at_ms=NOW_MS + hour * HOUR_MS))
    assert len(found) == 31


KNOWN = settled([BOSS, BOT, CAT])
TAKEN = dataclasses.replace(KNOWN.ledger, cap=(SEEN,))


def test_it_stands_in_the_ledgers_text() -> None:
    """Both ways; an older ledger has none, and its text stays as it is."""
    assert from_text(to_text(TAKEN)) == TAKEN
    assert '"cap":[{"at":"' in to_text(TAKEN)
    assert "cap" not in to_text(KNOWN.ledger)
    assert from_text(to_text(KNOWN.ledger)).cap == ()
    assert tidy_cap(now_ms=NOW_MS)(TAKEN) == TAKEN
    assert tidy_cap(now_ms=SEEN.until_ms)(TAKEN) == KNOWN.ledger


def with_entry(**changes: object) -> Ledger:
    """The ledger with other rows of ``bot``."""
    entry = dataclasses.replace(KNOWN.ledger.tokens["bot"], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(KNOWN.ledger, tokens={**KNOWN.ledger.tokens, "bot": entry})


GOING = with_entry(revoking=(Revoking(token_id="x", live_label="bot", reason="rotated"),))
ENDED = dataclasses.replace(
    KNOWN.ledger, closed=(Closed(label="bot", token_id="x", outcome="superseded", at_ms=NOW_MS),)
)
THEIRS = dataclasses.replace(
    KNOWN.ledger, closed=(Closed(label="bot", token_id="x", outcome="released", at_ms=NOW_MS),)
)


@pytest.mark.parametrize(
    ("before", "remembered"),
    [
        pytest.param(KNOWN.ledger, True, id="somebody else's"),
        pytest.param(release_labels(["bot"], at_ms=NOW_MS)(KNOWN.ledger), True, id="released"),
        pytest.param(THEIRS, True, id="it left our hands"),
        pytest.param(GOING, False, id="we revoke it"),
        pytest.param(ENDED, False, id="we have revoked it"),
    ],
)
def test_an_end_that_nothing_explains(before: Ledger, *, remembered: bool) -> None:
    """Only such a one tells how many may live."""
    found = note_ended(("x",), SEEN)(before)
    assert found.cap == ((SEEN,) if remembered else ())


def stocking(path: str, token_id: str | None) -> Intent:
    """An open stocking of another label."""
    return Intent(
        kind=IntentKind.STOCK,
        operation_id="op",
        run="r",
        since_ms=NOW_MS,
        before=(),
        cas=0,
        path=path,
        scopes=("trading",),
        token_id=token_id,
    )


@pytest.mark.parametrize(
    ("coming", "lived", "room"),
    [
        pytest.param(None, 3, True, id="one place stays free"),
        pytest.param(None, 4, False, id="it would be as many"),
        pytest.param(stocking("_reserve/op", None), 3, False, id="another is on its way"),
        pytest.param(stocking("_reserve/op", "new"), 3, False, id="it is not listed yet"),
        pytest.param(stocking("_reserve/op", "t1"), 3, True, id="it is listed"),
    ],
)
def test_room_for_one_more(coming: Intent | None, lived: int, *, room: bool) -> None:
    """A stocking is begun only where one place stays free for a rotation."""
    before = dataclasses.replace(with_entry(intent=coming), cap=(SEEN,))
    step = with_room(unchanged, "cat", ["t1"], lived, NOW_MS)
    if room:
        assert step(before) == before
        return
    with pytest.raises(NoRoomError, match="5 tokens lived when a derive had ended another"):
        step(before)
    assert with_room(unchanged, "cat", ["t1"], lived, SEEN.until_ms)(before) == before


# --- what is planned ---


def rows_of(
    lived: int | None, *specs: TokenSpec, more: int = 0, policy: Policy | None = None
) -> Plan:
    """A plan for a manager and these labels, beside so many tokens of others."""
    seen = settled([BOSS, *(dataclasses.replace(s, reserve=0) for s in specs)])
    others = tuple(live(f"other{n}", "theirs") for n in range(more))
    memory = () if lived is None else (dataclasses.replace(SEEN, lived=lived),)
    known = dataclasses.replace(seen.ledger, cap=memory)
    seen = dataclasses.replace(seen, live=(*seen.live, *others), ledger=known, doubt_ms=0)
    return plan(manifest(BOSS, *specs), seen, now_ms=NOW_MS, policy=policy)


def told(found: Plan) -> list[tuple[str, Action, Reason]]:
    """The rows about what is to be stocked."""
    about = {Reason.RESERVE_SHORT, Reason.RESERVE_CAPPED}
    return [(c.label, c.action, c.reason) for c in found.changes if c.reason in about]


@pytest.mark.parametrize(
    ("lived", "more", "expected"),
    [
        pytest.param(None, 9, [STOCK, STOCK], id="nothing was seen"),
        pytest.param(6, 0, [STOCK, STOCK], id="room for both"),
        pytest.param(5, 0, [STOCK, CAPPED], id="room for one, the first of the plan"),
        pytest.param(4, 0, [CAPPED, CAPPED], id="room for none"),
        pytest.param(6, 1, [STOCK, CAPPED], id="others' tokens count"),
        pytest.param(3, 5, [CAPPED, CAPPED], id="more than that live"),
    ],
)
def test_as_many_as_there_is_room_for(
    lived: int | None, more: int, expected: list[tuple[Action, Reason]]
) -> None:
    """The rest is held, with what was seen and what to do; nobody's decision is due."""
    found = rows_of(lived, BOT, CAT, more=more)
    by_label = {label: (action, reason) for label, action, reason in told(found)}
    assert [by_label["bot"], by_label["cat"]] == expected
    assert found.reached
    held = [c for c in found.changes if c.reason is Reason.RESERVE_CAPPED]
    assert all(
        c.note == f"number 1 of 1; {lived} tokens lived when a derive had ended another, at "
        "2026-11-21T08:30:00.000Z; it is tried again from 2026-12-21T08:30:00.000Z"
        for c in held
    )
    assert found.asks_to_restock is bool(held)


def test_what_is_derived_comes_first() -> None:
    """A rotation takes its place before any stocking, and is made in any case.

    Where another token may end for it, the plan says so, and asks no reviewer for it.
    """
    asked = Policy(requested=frozenset({"cat"}))
    found = rows_of(6, BOT, dataclasses.replace(CAT, reserve=0), policy=asked)
    assert told(found) == [("bot", *STOCK)]
    assert alarms_of(found) == ()
    assert told(rows_of(5, BOT, CAT, policy=asked)) == [("bot", *CAPPED), ("cat", *CAPPED)]
    crowded = rows_of(3, BOT, dataclasses.replace(CAT, reserve=0), policy=asked)
    (alarm,) = alarms_of(crowded)
    assert alarm.sentence.startswith("may end another token: as many live as when a derive had")
    assert alarm.about == (("cat", ""),)
    (row,) = [c for c in plan_document(crowded)["changes"] if c["action"] == "rotate"]
    assert row["may_end"] is True


def test_one_that_is_too_old_stays_where_its_replacement_is_held() -> None:
    """It would go behind that."""
    aged = dataclasses.replace(BOT, reserve_age_ms=DAY_MS)
    kept = Reserve(
        token_id="a",
        live_label="bot",
        operation_id="op-a",
        created_at_ms=NOW_MS - 10 * DAY_MS,
        scopes=("trading",),
        verified_at_ms=NOW_MS - 10 * DAY_MS,
        fresh=True,
    )
    known = dataclasses.replace(with_entry(reserve=(kept,)), cap=(SEEN,))
    tokens = (*KNOWN.live, live("a", "bot", age_ms=10 * DAY_MS))
    documents = {**KNOWN.secrets, kept.path: living()}
    seen = dataclasses.replace(KNOWN, ledger=known, live=tokens, secrets=documents, doubt_ms=0)
    found = plan(manifest(BOSS, aged, CAT), seen, now_ms=NOW_MS)
    assert [(c.action, c.reason) for c in found.changes if c.label == "bot"] == [
        CAPPED,
        (Action.HOLD, Reason.RESERVE_AGED),
        KEEP,
    ]


def test_a_status_names_it() -> None:
    """Only where something is held back."""
    seen = dataclasses.replace(KNOWN, ledger=TAKEN, doubt_ms=0)
    wanted = manifest(BOSS, BOT, CAT)
    found = status_of(wanted, seen).capped
    assert found is not None
    assert (found.lived, found.live, found.labels) == (5, 3, ("cat",))
    assert capped_words(found) == (
        "cat: nothing is stocked. 3 tokens live, and 5 lived when a derive had ended another, at "
        "2026-11-21T08:30:00.000Z. Revoke tokens that nobody needs, or lower `reserve`; it is "
        "tried again from 2026-12-21T08:30:00.000Z"
    )
    assert status_of(manifest(BOSS, BOT), KNOWN).capped is None
    assert "lower `reserve`" in SENTENCES[Reason.RESERVE_CAPPED]


@pytest.mark.parametrize("identity", [False, True])
def test_the_check_asks_for_a_capped_reserve_three_weeks_ahead(*, identity: bool) -> None:
    """As for one that could be stocked; but here no identity token helps."""
    soon = dataclasses.replace(CAT, rotate_after_ms=21 * DAY_MS)
    seen = dataclasses.replace(KNOWN, ledger=TAKEN, doubt_ms=0)
    for wanted, code in ((soon, Exit.PERSON_NEEDED), (CAT, Exit.DONE)):
        status = status_of(manifest(BOSS, BOT, wanted), seen)
        assert status.capped is not None
        found = check_of([status], identity=identity or wanted is CAT)
        assert found.exit_code is code, found
        assert ("cat: a successor is missing" in found.sentence) == (wanted is soon)
