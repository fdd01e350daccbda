"""How long a reserve lasts, and what the plan makes of one."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import DAY_MS, NEVER_WRITTEN, LiveToken, SecretMeta, TokenSpec
from reconciler.plan.change import Selection
from reconciler.plan.guards import Policy
from reconciler.plan.lasts import lasts_until_ms
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import Action, Category, Reason
from reconciler.state.kept import RESERVE_FOLDER, Reserve
from reconciler.state.ledger import Current, Entry, Granted
from tests.support.values import (
    MANAGER,
    NOW_MS,
    deleted,
    entry,
    ledger,
    live,
    living,
    manifest,
    observed,
    spec,
)

BORN_MS = NOW_MS - 10 * DAY_MS
CURRENT = Current(
    token_id="id-1",
    live_label="bot",
    created_at_ms=BORN_MS,
    version=1,
    verified_at_ms=BORN_MS,
)


def kept(token_id: str, *, days: int = 10, **changes: object) -> Reserve:
    """A reserve that was made so many days ago."""
    made = Reserve(
        token_id=token_id,
        live_label="bot",
        operation_id=f"op-{token_id}",
        created_at_ms=NOW_MS - days * DAY_MS,
        scopes=("trading",),
        verified_at_ms=NOW_MS - days * DAY_MS,
        fresh=True,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


MONTHLY = dataclasses.replace(spec("bot"), rotate_after_ms=30 * DAY_MS, reserve=3)


@pytest.mark.parametrize(
    ("wanted", "reserve", "days"),
    [
        (MONTHLY, (), 20),
        (MONTHLY, (kept("a"),), 50),
        (MONTHLY, (kept("a"), kept("b"), kept("c")), 110),
        (dataclasses.replace(MONTHLY, reserve_age_ms=55 * DAY_MS), (kept("a"), kept("b")), 50),
        (dataclasses.replace(MONTHLY, reserve_age_ms=25 * DAY_MS), (kept("a"),), 20),
        (dataclasses.replace(MONTHLY, rotate_after_ms=None), (), None),
    ],
    ids=["none", "one", "three", "the second too old by then", "too old at once", "never due"],
)
def test_how_long_it_lasts(
    wanted: TokenSpec, reserve: tuple[Reserve, ...], days: int | None
) -> None:
    """Each reserve serves one lifetime, from the day on which the one before is due.

    A label's share of the spread, which comes earlier, is the same each time.
    """
    found = lasts_until_ms(wanted, CURRENT, BORN_MS, reserve, now_ms=NOW_MS)
    expected = None if days is None else NOW_MS + days * DAY_MS
    early_ms = 30 * DAY_MS // 10 * (len(reserve) + 1)
    assert found == expected or (
        found is not None and expected is not None and expected - early_ms <= found <= expected
    )


def test_a_label_without_a_token_needs_a_person_now() -> None:
    """There is nothing to be rotated yet."""
    assert lasts_until_ms(MONTHLY, None, 0, (), now_ms=NOW_MS) == NOW_MS


SETTLED = {"bot": living(), f"{RESERVE_FOLDER}/op-a": living()}
YEARLY = dataclasses.replace(MONTHLY, rotate_after_ms=365 * DAY_MS, reserve=1)
DUE = dataclasses.replace(MONTHLY, rotate_after_ms=5 * DAY_MS, reserve=1)
UNFIT = (Action.REVOKE, Reason.RESERVE_UNFIT)
KEEP = (Action.KEEP, Reason.IN_SYNC)
SHORT = (Action.STOCK, Reason.RESERVE_SHORT)
ENDS = (Action.STOCK, Reason.RESERVE_ENDS)


def rows(
    wanted: TokenSpec | None,
    reserve: tuple[Reserve, ...],
    *,
    policy: Policy | None = None,
    tokens: tuple[LiveToken, ...] | None = None,
    secrets: dict[str, SecretMeta] | None = None,
) -> list[tuple[Action, Reason]]:
    """What the plan says of ``bot``, ten days old, with this reserve."""
    known = Entry(path="bot", current=CURRENT, reserve=reserve, overlap_ms=DAY_MS)
    boss = spec(MANAGER, rotate_after_ms=None)
    listed = tokens if tokens is not None else tuple(live(r.token_id, "bot") for r in reserve)
    seen = observed(
        ledger({MANAGER: entry("id-0", MANAGER), "bot": known}),
        live("id-1", "bot", age_ms=10 * DAY_MS),
        live("id-0", MANAGER),
        *listed,
        secrets={MANAGER: living(), **SETTLED, **(secrets or {})},
        signer_id="id-0",
        doubt_ms=0,
    )
    specs = (boss,) if wanted is None else (boss, wanted)
    found = plan(manifest(*specs), seen, now_ms=NOW_MS, policy=policy)
    return [(c.action, c.reason) for c in found.changes if c.label == "bot"]


@pytest.mark.parametrize(
    ("wanted", "reserve", "expected"),
    [
        (YEARLY, (kept("a"),), [KEEP]),
        (YEARLY, (), [SHORT, KEEP]),
        (MONTHLY, (), [ENDS, ENDS, ENDS, KEEP]),
        (DUE, (kept("a"),), [(Action.PROMOTE, Reason.DUE), ENDS]),
        (DUE, (), [(Action.ROTATE, Reason.DUE), ENDS]),
        (
            dataclasses.replace(YEARLY, reserve=0),
            (kept("a"),),
            [(Action.REVOKE, Reason.RESERVE_SURPLUS), KEEP],
        ),
        (
            dataclasses.replace(YEARLY, reserve_age_ms=10 * DAY_MS),
            (kept("a"),),
            [(Action.REVOKE, Reason.RESERVE_AGED), SHORT, KEEP],
        ),
        (
            dataclasses.replace(DUE, reserve_age_ms=10 * DAY_MS),
            (kept("a"),),
            [(Action.ROTATE, Reason.DUE), (Action.REVOKE, Reason.RESERVE_AGED), ENDS],
        ),
        (
            YEARLY,
            (kept("a", scopes=("withdrawal",)),),
            [(Action.REVOKE, Reason.RESERVE_UNFIT), SHORT, KEEP],
        ),
        (
            YEARLY,
            (kept("a", asked_label="robot"),),
            [(Action.REVOKE, Reason.RESERVE_UNFIT), SHORT, KEEP],
        ),
        (
            YEARLY,
            (kept("a", lost=True),),
            [(Action.REVOKE, Reason.RESERVE_LOST), SHORT, KEEP],
        ),
        (
            dataclasses.replace(YEARLY, reserve=0),
            (kept("a", fresh=False, verified_at_ms=NOW_MS),),
            [(Action.HOLD, Reason.OVERLAP), KEEP],
        ),
        (
            dataclasses.replace(YEARLY, scopes=("withdrawal",)),
            (kept("a"),),
            [
                (Action.ROTATE, Reason.SCOPES_CHANGED),
                (Action.REVOKE, Reason.RESERVE_UNFIT),
                SHORT,
            ],
        ),
        (None, (kept("a"),), [(Action.RETIRE, Reason.NOT_DESIRED), UNFIT]),
    ],
    ids=[
        "ready",
        "short",
        "short, and it ends soon",
        "due: it is taken, and short then",
        "due: none there",
        "none wanted",
        "too old: replaced first",
        "due, and too old",
        "other scopes",
        "a former label",
        "its document is lost",
        "somebody may have read it a moment ago",
        "scopes change",
        "the label left",
    ],
)
def test_what_becomes_of_a_reserve(
    wanted: TokenSpec | None,
    reserve: tuple[Reserve, ...],
    expected: list[tuple[Action, Reason]],
) -> None:
    """The truth table of ``plan.stocked``, row by row."""
    assert rows(wanted, reserve) == expected


@pytest.mark.parametrize(
    ("used_ago_ms", "expected"),
    [
        (None, [KEEP]),
        (10 * DAY_MS, [KEEP]),
        (DAY_MS, [SHORT, (Action.HOLD, Reason.RESERVE_USED), KEEP]),
    ],
    ids=["never", "by our proof", "by somebody"],
)
def test_somebody_uses_it(used_ago_ms: int | None, expected: list[tuple[Action, Reason]]) -> None:
    """A use that can't be ours holds it: it is neither taken nor revoked."""
    token = live("a", "bot", age_ms=10 * DAY_MS, unused_for_ms=used_ago_ms)
    assert rows(YEARLY, (kept("a"),), tokens=(token,)) == expected


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        (living(), [KEEP]),
        (deleted(), [KEEP]),
        (living(2), [(Action.REVOKE, Reason.RESERVE_LOST), SHORT, KEEP]),
        (NEVER_WRITTEN, [(Action.REVOKE, Reason.RESERVE_LOST), SHORT, KEEP]),
    ],
    ids=["as written", "deleted, which comes back", "another version", "gone"],
)
def test_its_document(meta: SecretMeta, expected: list[tuple[Action, Reason]]) -> None:
    """It is taken only while its document is as we wrote it."""
    assert rows(YEARLY, (kept("a"),), secrets={f"{RESERVE_FOLDER}/op-a": meta}) == expected


AGED = dataclasses.replace(YEARLY, reserve_age_ms=10 * DAY_MS)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, [(Action.REVOKE, Reason.RESERVE_AGED), SHORT, KEEP]),
        (Category.CLEANUP, [(Action.HOLD, Reason.RESERVE_AGED)]),
        (Category.ROTATION, [SHORT]),
    ],
)
def test_one_that_is_too_old_goes_where_it_is_replaced(
    only: Category | None, expected: list[tuple[Action, Reason]]
) -> None:
    """A run that stocks nothing leaves it, however old."""
    policy = Policy(selection=Selection(only=only))
    assert rows(AGED, (kept("a"),), policy=policy) == expected


def test_one_that_waits_for_the_budget_is_still_there() -> None:
    """Nothing is stocked in place of what is not taken in this run."""
    assert rows(DUE, (kept("a"),), policy=Policy(max_rotations=0)) == [(Action.HOLD, Reason.BUDGET)]


def test_scopes_that_were_granted_otherwise() -> None:
    """What is short is held and named, not forgotten; and what is too old stays."""
    asked = Granted(asked=("trading",), granted=("withdrawal",), at_ms=NOW_MS)
    known = Entry(path="bot", current=CURRENT, reserve=(kept("a"),), overlap_ms=DAY_MS)
    memory = dataclasses.replace(ledger({"bot": known}), granted=(asked,))
    bot = live("id-1", "bot", age_ms=10 * DAY_MS)
    seen = observed(memory, bot, live("a", "bot", age_ms=10 * DAY_MS), secrets=SETTLED)
    found = plan(manifest(AGED), seen, now_ms=NOW_MS)
    assert [(c.action, c.reason) for c in found.changes] == [
        (Action.HOLD, Reason.RESERVE_SHORT),
        (Action.HOLD, Reason.RESERVE_AGED),
        KEEP,
    ]
    assert found.reached


def test_the_oldest_is_taken() -> None:
    """Of two that are ready."""
    two = dataclasses.replace(DUE, reserve=2)
    known = Entry(path="bot", current=CURRENT, reserve=(kept("b", days=3), kept("a")))
    seen = observed(
        ledger({"bot": known}),
        live("id-1", "bot", age_ms=10 * DAY_MS),
        live("a", "bot"),
        live("b", "bot"),
        secrets={**SETTLED, f"{RESERVE_FOLDER}/op-b": living()},
    )
    found = plan(manifest(two), seen, now_ms=NOW_MS)
    promoted = next(c for c in found.changes if c.action is Action.PROMOTE)
    assert promoted.after is not None
    assert promoted.after.token_id == "a"


def test_what_a_person_asks_for() -> None:
    """Compromised takes a reserve, and distrusts it where that is said."""
    asked = Policy(requested=frozenset({"bot"}), compromised=True)
    assert rows(YEARLY, (kept("a"),), policy=asked)[0] == (Action.PROMOTE, Reason.COMPROMISED)
    distrusted = dataclasses.replace(asked, distrust_reserve=True)
    assert rows(YEARLY, (kept("a"),), policy=distrusted)[:2] == [
        (Action.ROTATE, Reason.COMPROMISED),
        (Action.REVOKE, Reason.COMPROMISED),
    ]
