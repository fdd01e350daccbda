"""When a rotation may start: windows and holds, over whole plans and statuses."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterable

import pytest

from reconciler.manifest.windows import parse_window
from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    LiveToken,
    SecretMeta,
    TokenSpec,
    Window,
    instant_ms,
    iso,
)
from reconciler.plan import still_open
from reconciler.plan.change import Change, Plan, Selection
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.states import State
from reconciler.plan.status import TokenStatus, status_of
from reconciler.plan.vocabulary import Action, Category, Reason
from reconciler.state import due_at_ms, spread_ms, state_of
from reconciler.state.kept import Reserve
from reconciler.state.ledger import Entry
from reconciler.state.snapshot import Content, Observed
from tests.support.values import (
    MANAGER,
    NOW_MS,
    current,
    deleted,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    spec,
)

OPEN = (parse_window("Sun 08:00-09:00 UTC"),)
"""Open at ``NOW_MS``, which is Sunday, 22 November 2026, 08:30."""

SHUT = (parse_window("Mon-Thu 09:00-15:00 Europe/Berlin"),)
OPENS = "opens 2026-11-23T08:00:00.000Z"
UNTIL_MS = instant_ms("2027-01-15T00:00:00Z")
DUE_AGE_MS = 30 * DAY_MS - spread_ms("bot", 30 * DAY_MS)
BOT = spec("bot")
ASKED = Policy(requested=frozenset({"bot"}))
LEAKED = dataclasses.replace(ASKED, compromised=True)
WIDE = ("account_creation", "trading")


def held(wanted: TokenSpec, *, owner: str = "") -> TokenSpec:
    """The same with a hold."""
    return dataclasses.replace(wanted, hold_until_ms=UNTIL_MS, hold_reason="audit", owner=owner)


def world(
    *specs: TokenSpec,
    ages: dict[str, int] | None = None,
    tokens: Iterable[LiveToken] | None = None,
    secrets: dict[str, SecretMeta] | None = None,
    contents: dict[str, Content] | None = None,
    entries: dict[str, Entry] | None = None,
) -> Observed:
    """A snapshot in which each label is as wanted, but for its age."""
    aged = {s.label: (ages or {}).get(s.label, DAY_MS) for s in specs}
    known = {
        s.label: Entry(
            path=s.label,
            current=current(f"{s.label}-1", s.label, age_ms=aged[s.label]),
            overlap_ms=HOUR_MS,
        )
        for s in specs
    } | (entries or {})
    listed = [live(f"{label}-1", label, age_ms=age_ms) for label, age_ms in aged.items()]
    return observed(
        ledger(known),
        live("m-1", MANAGER),
        *(listed if tokens is None else tokens),
        secrets=secrets,
        contents=contents,
    )


def planned(
    seen: Observed, *specs: TokenSpec, policy: Policy | None = None, now_ms: int = NOW_MS
) -> Plan:
    """The plan of these specs; nobody misses the manager."""
    return plan(manifest(*specs), seen, now_ms=now_ms, policy=policy)


def row_of(found: Plan, label: str = "bot") -> Change:
    """The one row of a label."""
    (row,) = (c for c in found.changes if c.label == label)
    return row


def told(change: Change) -> tuple[Action, Reason, str]:
    """What a row says."""
    return change.action, change.reason, change.note


DUE = (Action.ROTATE, Reason.DUE, f"since {iso(NOW_MS)}")
HELD = (Action.HOLD, Reason.HOLD_UNTIL)
BROKEN = (Action.HOLD, Reason.HOLD_BROKEN)
AUDIT = "until 2027-01-15, audit; what waits: "
BOT_1 = current("bot-1", "bot")
UNSIGNED = Entry(path="bot", current=dataclasses.replace(BOT_1, unsigned=True))
DISPLACED = Entry(path="bot", current=dataclasses.replace(BOT_1, displaced=True))
"""What is stored of it did not sign; another label has its path."""


@pytest.mark.parametrize(
    ("expected", "wanted", "policy"),
    [
        pytest.param(DUE, BOT, Policy(), id="no window"),
        pytest.param(DUE, dataclasses.replace(BOT, windows=OPEN), Policy(), id="open"),
        pytest.param(
            (Action.HOLD, Reason.WINDOW, OPENS),
            dataclasses.replace(BOT, windows=SHUT),
            Policy(),
            id="shut: when it opens",
        ),
        pytest.param(
            DUE, dataclasses.replace(BOT, windows=SHUT + OPEN), Policy(), id="one of two is open"
        ),
        pytest.param(
            (Action.ROTATE, Reason.REQUESTED, ""),
            dataclasses.replace(BOT, windows=SHUT),
            ASKED,
            id="shut, and a person asks for it",
        ),
        pytest.param(
            (Action.ROTATE, Reason.COMPROMISED, ""),
            dataclasses.replace(BOT, windows=SHUT),
            LEAKED,
            id="shut, and compromised",
        ),
        pytest.param(
            (Action.ROTATE, Reason.SCOPES_WIDENED, "+account_creation"),
            dataclasses.replace(BOT, windows=SHUT, scopes=WIDE),
            Policy(),
            id="shut, and other scopes",
        ),
        pytest.param(
            (Action.REWRITE, Reason.FIELDS, "+A=token_id"),
            dataclasses.replace(BOT, windows=SHUT, fields=("A=token_id",)),
            Policy(),
            id="shut, and other names",
        ),
        pytest.param((*HELD, AUDIT + "due by its age"), held(BOT), Policy(), id="held"),
        pytest.param(
            (*HELD, "until 2027-01-15, audit, ask trading desk; what waits: due by its age"),
            held(BOT, owner="trading desk"),
            Policy(),
            id="held: whom to ask",
        ),
        pytest.param(
            (*HELD, AUDIT + "due by its age"),
            held(dataclasses.replace(BOT, windows=SHUT)),
            Policy(),
            id="held, and shut",
        ),
        pytest.param((*HELD, AUDIT + "requested"), held(BOT), ASKED, id="held, and asked for"),
        pytest.param(
            (Action.ROTATE, Reason.COMPROMISED, ""), held(BOT), LEAKED, id="held, and compromised"
        ),
        pytest.param(
            (*HELD, AUDIT + "scopes widened"),
            held(dataclasses.replace(BOT, scopes=WIDE)),
            Policy(),
            id="held, and other scopes",
        ),
        pytest.param(
            (*HELD, AUDIT + "path changed"),
            held(dataclasses.replace(BOT, path="elsewhere")),
            Policy(),
            id="held, and another path",
        ),
        pytest.param(
            (Action.REWRITE, Reason.FIELDS, "+A=token_id"),
            held(dataclasses.replace(BOT, fields=("A=token_id",))),
            Policy(),
            id="held, and other names",
        ),
    ],
)
def test_a_token_that_is_due(
    expected: tuple[Action, Reason, str], wanted: TokenSpec, policy: Policy
) -> None:
    """Due to the millisecond; what is in the way, and what is not held by it."""
    seen = world(BOT, ages={"bot": DUE_AGE_MS})
    assert told(row_of(planned(seen, wanted, policy=policy))) == expected


@pytest.mark.parametrize(
    ("expected", "seen", "wanted"),
    [
        pytest.param(
            (*BROKEN, AUDIT + "its token is gone from the exchange"),
            world(BOT, tokens=()),
            held(BOT),
            id="its token is gone",
        ),
        pytest.param(
            (*BROKEN, AUDIT + "the secret is lost"),
            world(BOT, secrets={"bot": deleted()}, contents={"bot": Content()}),
            held(BOT),
            id="its secret is lost",
        ),
        pytest.param(
            (Action.RESTORE, Reason.SECRET_MOVED, "from version 1"),
            world(BOT, secrets={"bot": deleted(2)}, contents={"bot": Content(holder_version=1)}),
            held(BOT),
            id="its secret was deleted, and an older version has it: a repair",
        ),
        pytest.param(
            (Action.RECORD, Reason.VERSION_MOVED, "version 1 -> 2"),
            world(BOT, secrets={"bot": living(2)}, contents={"bot": Content(token_id="bot-1")}),
            held(BOT),
            id="its secret was written again: the ledger is put right",
        ),
        pytest.param(
            (*BROKEN, AUDIT + "the secret is lost"),
            world(BOT, entries={"bot": UNSIGNED}),
            held(BOT),
            id="its secret does not sign",
        ),
        pytest.param(
            (Action.RESTORE, Reason.SECRET_MOVED, "from version 1"),
            world(BOT, secrets={"bot": deleted(2)}, contents={"bot": Content(holder_version=1)}),
            held(dataclasses.replace(BOT, scopes=WIDE)),
            id="its secret was deleted, and scopes differ: a repair",
        ),
        pytest.param(
            (Action.RECORD, Reason.VERSION_MOVED, "version 1 -> 2"),
            world(BOT, secrets={"bot": living(2)}, contents={"bot": Content(token_id="bot-1")}),
            held(dataclasses.replace(BOT, path="elsewhere")),
            id="its secret was written again, and the path differs: the ledger is put right",
        ),
        pytest.param(
            (*BROKEN, AUDIT + "path changed"),
            world(
                BOT,
                secrets={"bot": living(2)},
                contents={"bot": Content(token_id="x", holder_version=1)},
                entries={"bot": DISPLACED},
            ),
            held(dataclasses.replace(BOT, path="elsewhere")),
            id="another label's secret was written over its own: that stays",
        ),
        pytest.param((Action.DERIVE, Reason.ABSENT, ""), world(), held(BOT), id="its first token"),
        pytest.param((Action.KEEP, Reason.IN_SYNC, ""), world(BOT), held(BOT), id="all is well"),
    ],
)
def test_what_a_hold_holds(
    expected: tuple[Action, Reason, str], seen: Observed, wanted: TokenSpec
) -> None:
    """Rotations, whatever their reason; no repair and no first token."""
    assert told(row_of(planned(seen, wanted))) == expected


def test_a_compromised_token_that_is_gone_is_not_held() -> None:
    """An emergency waits for no date, whatever became of the token."""
    found = planned(world(BOT, tokens=()), held(BOT), policy=LEAKED)
    assert told(row_of(found)) == (Action.ROTATE, Reason.REVOKED_ELSEWHERE, "")


def test_revocations_are_never_held() -> None:
    """A predecessor that nobody uses goes in the night, and during a hold."""
    old = retiring("bot-0", "bot")
    known = {"bot": Entry(path="bot", current=current("bot-1", "bot"), retiring=(old,))}
    seen = world(
        BOT, entries=known, tokens=(live("bot-1", "bot"), live("bot-0", "bot", age_ms=90 * DAY_MS))
    )
    wanted = held(dataclasses.replace(BOT, windows=SHUT))
    rows = [(c.action, c.reason) for c in planned(seen, wanted).changes]
    assert rows == [(Action.REVOKE, Reason.SUPERSEDED), (Action.KEEP, Reason.IN_SYNC)]


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [(UNTIL_MS - 1, Reason.HOLD_UNTIL), (UNTIL_MS, Reason.DUE)],
)
def test_a_hold_is_over_by_itself(now_ms: int, expected: Reason) -> None:
    """At 00:00 UTC of its day, to the millisecond."""
    seen = dataclasses.replace(world(BOT, ages={"bot": 60 * DAY_MS}), now_ms=now_ms)
    assert row_of(planned(seen, held(BOT), now_ms=now_ms)).reason is expected
    (token,) = status_of(manifest(held(BOT)), seen).tokens
    still = expected is Reason.HOLD_UNTIL
    assert (token.hold_until_ms, token.hold_reason) == (
        (UNTIL_MS, "audit") if still else (None, "")
    )


def test_the_budget_counts_what_may_start() -> None:
    """Three are due and two may be rotated: one whose window is shut takes no turn."""
    labels = ("a", "b", "c")
    specs = [spec(label) for label in labels]
    seen = world(*specs, ages=dict.fromkeys(labels, 60 * DAY_MS))
    wanted = [dataclasses.replace(specs[0], windows=SHUT), *specs[1:]]
    found = planned(seen, *wanted, policy=Policy(max_rotations=2))
    assert {c.label: c.reason for c in found.changes} == {
        "a": Reason.WINDOW,
        "b": Reason.DUE,
        "c": Reason.DUE,
    }


def test_both_are_part_of_the_rotation() -> None:
    """``--only rotation`` shows what waits; ``--only cleanup`` has nothing of it."""
    seen = world(BOT, ages={"bot": DUE_AGE_MS})
    for wanted in (dataclasses.replace(BOT, windows=SHUT), held(BOT)):
        for only, rows in ((Category.ROTATION, 1), (Category.CLEANUP, 0)):
            policy = Policy(selection=Selection(only=only))
            assert len(planned(seen, wanted, policy=policy).changes) == rows


def test_what_waits_is_not_in_the_digest() -> None:
    """An approval is of what is done: the same whether a label waits or is well."""
    shut = dataclasses.replace(BOT, windows=SHUT)
    due = planned(world(BOT, ages={"bot": DUE_AGE_MS}), shut)
    assert due.reached
    assert due.digest() == planned(world(BOT), shut).digest()
    assert due.digest() != planned(world(BOT, ages={"bot": DUE_AGE_MS}), BOT).digest()


def test_an_approved_rotation_whose_window_is_shut_by_now() -> None:
    """It is held when the plan is applied; what is not due by age goes on."""
    other = dataclasses.replace(spec("other", scopes=WIDE), windows=OPEN)
    wanted = (dataclasses.replace(BOT, windows=OPEN), other)
    seen = world(BOT, spec("other"), ages={"bot": DUE_AGE_MS})
    approved = planned(seen, *wanted)
    assert still_open(approved, manifest(*wanted), NOW_MS + 29 * MINUTE_MS) == approved
    later = still_open(approved, manifest(*wanted), NOW_MS + 30 * MINUTE_MS)
    assert told(row_of(later)) == (Action.HOLD, Reason.WINDOW, "opens 2026-11-29T08:00:00.000Z")
    assert row_of(later).task is None
    assert row_of(later, "other") == row_of(approved, "other")


def with_reserve(age_ms: int) -> tuple[Observed, Reserve]:
    """The label at this age, with one successor ready."""
    kept = Reserve(
        token_id="bot-2",
        operation_id="op-2",
        live_label="bot",
        created_at_ms=NOW_MS - DAY_MS,
        verified_at_ms=NOW_MS - DAY_MS,
        scopes=BOT.scopes,
        fresh=True,
    )
    known = Entry(path="bot", current=current("bot-1", "bot", age_ms=age_ms), reserve=(kept,))
    seen = world(
        BOT,
        entries={"bot": known},
        tokens=(live("bot-1", "bot", age_ms=age_ms), live("bot-2", "bot")),
        secrets={"_reserve/op-2": living(1)},
    )
    return seen, kept


@pytest.mark.parametrize("wanted", [dataclasses.replace(BOT, windows=SHUT), held(BOT)])
def test_a_rotation_from_the_reserve_waits_as_well(wanted: TokenSpec) -> None:
    """What is ready stays ready, and another one is stocked beside it."""
    seen, _ = with_reserve(DUE_AGE_MS)
    wanted = dataclasses.replace(wanted, reserve=2)
    first, *_ = planned(seen, dataclasses.replace(BOT, reserve=1)).changes
    assert first.action is Action.PROMOTE
    stock, waits = planned(seen, wanted).changes
    assert (stock.action, stock.note) == (Action.STOCK, "number 2 of 2")
    assert waits.action is Action.HOLD
    compromised = planned(seen, wanted, policy=LEAKED).changes
    assert (Action.PROMOTE, Reason.COMPROMISED) in {(c.action, c.reason) for c in compromised}


def test_nothing_is_stocked_in_place_of_a_reserve_that_was_not_taken() -> None:
    """The saved plan would rotate from the reserve, and stock another one."""
    seen, _ = with_reserve(DUE_AGE_MS)
    wanted = dataclasses.replace(BOT, reserve=1, windows=OPEN)
    approved = planned(seen, wanted)
    assert {c.action for c in approved.changes} == {Action.PROMOTE, Action.STOCK}
    later = still_open(approved, manifest(wanted), NOW_MS + HOUR_MS)
    assert later.acting == ()


def test_a_held_label_keeps_its_path() -> None:
    """Another one that is to have the path waits: the held one's consumers would find
    a token of another label, and their own nowhere.
    """
    moves = dataclasses.replace(BOT, path="elsewhere")
    taker = spec("taker", path="bot")
    seen = world(BOT)
    assert row_of(planned(seen, moves, taker), "taker").action is Action.DERIVE
    found = planned(seen, held(moves), taker)
    assert told(row_of(found, "taker")) == (
        *(Action.HOLD, Reason.WAITS_FOR, "secret/p/bot is that of bot"),
    )


OVER = (Action.RESTORE, Reason.SECRET_MOVED, "from version 1")


@pytest.mark.parametrize(
    ("expected", "owner", "waits"),
    [
        pytest.param(OVER, held(spec("owner", path="away")), Reason.WAITS_FOR, id="owner is held"),
        pytest.param(OVER, spec("owner"), Reason.PATH_TAKEN, id="owner stays: a person decides"),
    ],
)
def test_what_waits_for_a_path_has_its_secret_put_right(
    expected: tuple[Action, Reason, str], owner: TokenSpec, waits: Reason
) -> None:
    """Its consumers read the old path meanwhile. What can't be put right hides no
    wait, and at a path that another label is to have nothing is mended.
    """
    moves = spec("bot", path="owner")
    seen = world(BOT, spec("owner"))
    assert row_of(planned(seen, moves, owner)).reason is waits
    gone, older = {"bot": deleted(2)}, {"bot": Content(holder_version=1)}
    lost = world(BOT, spec("owner"), secrets=gone, contents=older)
    assert told(row_of(planned(lost, moves, owner))) == expected
    unread = dataclasses.replace(lost, contents={"bot": Content(readable=False)})
    assert row_of(planned(unread, moves, owner)).reason is waits
    taker = spec("taker", path="bot")
    assert row_of(planned(lost, moves, owner, taker)).reason is waits, "it is written over"


# --- due dates ---


def test_the_spread_by_its_definition() -> None:
    """The first 8 bytes of SHA-256 of the label, as a part of 2^64, of a tenth."""
    label, lifetime_ms = "production-bot é", 90 * DAY_MS
    share = int(hashlib.sha256(label.encode()).hexdigest()[:16], 16) / 2**64
    assert abs(spread_ms(label, lifetime_ms) - share * lifetime_ms / 10) <= 1
    assert spread_ms("bot", 30 * DAY_MS) == 159_423_562  # a change would rotate fleets at once


def test_the_spread_fills_the_calendar() -> None:
    """1,000 labels that were derived in one hour: each tenth of the three days before
    30 days has about a hundred, and no hour has more than 30.
    """
    early = [spread_ms(f"bot-{number}", 30 * DAY_MS) for number in range(1_000)]
    assert all(0 <= early_ms < 3 * DAY_MS for early_ms in early)
    tenths = collections.Counter(early_ms * 10 // (3 * DAY_MS) for early_ms in early)
    assert set(tenths) == set(range(10))
    assert all(70 <= number <= 130 for number in tenths.values())
    assert max(collections.Counter(early_ms // HOUR_MS for early_ms in early).values()) <= 30


@pytest.mark.parametrize(
    ("rotate_before_ms", "in_use_days", "grace_days", "due_in_ms"),
    [
        (0, None, None, 29 * DAY_MS - spread_ms("bot", 30 * DAY_MS)),
        (2 * DAY_MS, None, None, 27 * DAY_MS - spread_ms("bot", 30 * DAY_MS)),
        (2 * DAY_MS, -10, None, 18 * DAY_MS - spread_ms("bot", 30 * DAY_MS)),
        (2 * DAY_MS, -28, 14, 14 * DAY_MS),
    ],
)
def test_when_a_token_is_due(
    rotate_before_ms: int, in_use_days: int | None, grace_days: int | None, due_in_ms: int
) -> None:
    """``rotate_before`` and the spread come early; the grace of an adoption is kept."""
    token = dataclasses.replace(
        current("bot-1", "bot"),
        in_use_since_ms=None if in_use_days is None else NOW_MS + in_use_days * DAY_MS,
        grace_until_ms=None if grace_days is None else NOW_MS + grace_days * DAY_MS,
    )
    wanted = dataclasses.replace(BOT, rotate_before_ms=rotate_before_ms)
    assert due_at_ms(token, token.created_at_ms, wanted) == NOW_MS + due_in_ms
    never = dataclasses.replace(wanted, rotate_after_ms=None)
    assert due_at_ms(token, token.created_at_ms, never) is None


# --- status ---


def status_at(wanted: TokenSpec, age_ms: int) -> TokenStatus:
    """How the label stands."""
    (token,) = status_of(manifest(wanted), world(BOT, ages={"bot": age_ms})).tokens
    return token


@pytest.mark.parametrize(
    ("late_ms", "windows", "expected"),
    [
        (0, (), State.DUE),
        (DAY_MS, (), State.DUE),
        (DAY_MS + 1, (), State.OVERDUE),
        # it is due since Thursday 15:30 in Berlin, and the next window is on Monday
        (3 * DAY_MS - 6 * HOUR_MS, SHUT, State.DUE),
        # since Wednesday evening, so Thursday's window is over
        (4 * DAY_MS - 9 * HOUR_MS, SHUT, State.OVERDUE),
        # since Saturday 20:30: today's is open, and not over
        (12 * HOUR_MS, OPEN, State.DUE),
        (2 * DAY_MS, OPEN, State.DUE),
        (8 * DAY_MS, OPEN, State.OVERDUE),
    ],
)
def test_overdue(late_ms: int, windows: tuple[Window, ...], expected: State) -> None:
    """A day after it is due, and after a whole window."""
    wanted = dataclasses.replace(BOT, windows=windows)
    assert status_at(wanted, DUE_AGE_MS + late_ms).state is expected


def test_a_hold_that_just_ended_makes_nothing_overdue() -> None:
    """The day begins when the rotation could start."""
    ended = dataclasses.replace(held(BOT), hold_until_ms=NOW_MS - HOUR_MS)
    assert status_at(ended, 60 * DAY_MS).state is State.DUE
    ended = dataclasses.replace(held(BOT), hold_until_ms=NOW_MS - DAY_MS - 1)
    assert status_at(ended, 60 * DAY_MS).state is State.OVERDUE


@pytest.mark.parametrize(
    ("age_ms", "wanted", "opens_at"),
    [
        (DUE_AGE_MS, BOT, None),
        (DUE_AGE_MS, dataclasses.replace(BOT, windows=OPEN), iso(NOW_MS)),
        (DUE_AGE_MS, dataclasses.replace(BOT, windows=SHUT), "2026-11-23T08:00:00.000Z"),
        # due on Thursday the 26th at 20:30 UTC: on Monday
        (
            DUE_AGE_MS - 108 * HOUR_MS,
            dataclasses.replace(BOT, windows=SHUT),
            "2026-11-30T08:00:00.000Z",
        ),
        # the hold ends on a Friday
        (DUE_AGE_MS, held(dataclasses.replace(BOT, windows=SHUT)), "2027-01-18T08:00:00.000Z"),
        (
            DUE_AGE_MS,
            dataclasses.replace(BOT, windows=SHUT, rotate_after_ms=None),
            None,
        ),
    ],
)
def test_when_it_may_start(age_ms: int, wanted: TokenSpec, opens_at: str | None) -> None:
    """The day that results of due date, hold and window."""
    opens_ms = status_at(wanted, age_ms).opens_at_ms
    assert (None if opens_ms is None else iso(opens_ms)) == opens_at


def test_what_a_status_tells_of_when() -> None:
    """Windows as written, the hold, and whom to ask."""
    wanted = held(dataclasses.replace(BOT, windows=SHUT), owner="trading desk")
    token = status_at(wanted, DUE_AGE_MS)
    assert (token.window, token.owner) == (("Mon-Thu 09:00-15:00 Europe/Berlin",), "trading desk")
    assert (token.hold_until_ms, token.hold_reason) == (UNTIL_MS, "audit")
    assert (token.state, token.reason) == (State.HELD, Reason.HOLD_UNTIL)


# --- what is remembered of a manifest ---


def test_what_the_ledger_remembers_of_a_manifest() -> None:
    """What says when is part of it, what is for people is not; and a manifest without
    these keys, or a reserve, is the same as before they were there.
    """

    def digest(wanted: TokenSpec) -> str:
        return state_of(manifest(wanted), 0).digest

    assert digest(BOT) == "29d869ee0849281851dc05a7b39d84ca"
    different = [
        dataclasses.replace(BOT, windows=SHUT),
        dataclasses.replace(BOT, windows=OPEN),
        dataclasses.replace(BOT, rotate_before_ms=1),
        held(BOT),
    ]
    assert len({digest(one) for one in (BOT, *different)}) == len(different) + 1
    assert digest(dataclasses.replace(BOT, owner="trading desk")) == digest(BOT)
    again = dataclasses.replace(BOT, windows=(parse_window.__wrapped__(SHUT[0].text),))
    assert digest(again) == digest(different[0])
