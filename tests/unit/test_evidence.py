"""Uses as evidence: what is revoked, and what is held, by the worth of shown uses."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, LiveToken, TokenSpec
from reconciler.plan import Action, Policy, Reason, alarms_of, plan, rests_on_uses
from reconciler.state import Current, Entry, Retiring
from reconciler.state.parted import Emptied
from tests.support.values import (
    MANAGER,
    NOW_MS,
    current,
    current_id,
    ledger,
    live,
    manifest,
    observed,
    retiring,
    spec,
)

Row = tuple[Action, Reason]

REVOKE: Row = (Action.REVOKE, Reason.SUPERSEDED)
UNPROVEN: Row = (Action.HOLD, Reason.UNPROVEN)
STILL_USED: Row = (Action.HOLD, Reason.STILL_USED)
UNUSED: Row = (Action.HOLD, Reason.SUCCESSOR_UNUSED)

NOW = current("bot-1", "bot", age_ms=2 * DAY_MS)
OLD = retiring("bot-0", "bot", superseded_age_ms=2 * DAY_MS, overlap_ms=DAY_MS)
LIFTED = Policy(revoke_unproven=True)
AT_ONCE = Policy(revoke_now=frozenset({"bot"}))
LEFT: Row = (Action.REVOKE, Reason.LEFT)
LEAVING: Row = (Action.HOLD, Reason.LEAVING)
NOW_ROW: Row = (Action.REVOKE, Reason.NOT_DESIRED)


def left(ago_ms: int) -> Current:
    """Return the current token of a label that left the manifest so long ago."""
    return dataclasses.replace(NOW, left_ms=NOW_MS - ago_ms)


def row_of(
    entry: Entry,
    *tokens: LiveToken,
    doubt_ms: int | None = 0,
    policy: Policy | None = None,
    wanted: bool = True,
    about: str = "bot-0",
) -> Row:
    """Return what the plan says about one token of ``bot``."""
    boss = Entry(path=MANAGER, current=current(current_id(MANAGER), MANAGER))
    seen = observed(
        ledger({MANAGER: boss, "bot": entry}),
        live(current_id(MANAGER), MANAGER, unused_for_ms=0),
        *tokens,
        signer_id=current_id(MANAGER),
        doubt_ms=doubt_ms,
    )
    specs = (spec(MANAGER), spec("bot")) if wanted else (spec(MANAGER),)
    found = plan(manifest(*specs), seen, now_ms=NOW_MS, policy=policy or Policy())
    (row,) = (c for c in found.changes if c.before is not None and c.before.token_id == about)
    return row.action, row.reason


def used(token_id: str, ago_ms: int | None) -> LiveToken:
    """Return a live token of ``bot`` that is shown as used so long ago, or never."""
    return live(token_id, "bot", age_ms=30 * DAY_MS, unused_for_ms=ago_ms)


@pytest.mark.parametrize(
    ("expected", "doubt_ms", "policy", "old_ago_ms", "new_ago_ms"),
    [
        pytest.param(REVOKE, 0, Policy(), 3 * DAY_MS, 0, id="exact: quiet, successor used"),
        pytest.param(REVOKE, DAY_MS, Policy(), 2 * DAY_MS, 0, id="a day late: quiet for longer"),
        pytest.param(STILL_USED, DAY_MS, Policy(), 2 * DAY_MS - 1, 0, id="a day late: not yet"),
        pytest.param(UNPROVEN, DAY_MS + 1, Policy(), 9 * DAY_MS, 0, id="later than the overlap"),
        pytest.param(UNPROVEN, None, Policy(), 9 * DAY_MS, 0, id="nothing is known"),
        pytest.param(UNPROVEN, None, Policy(), None, None, id="nothing is ever shown"),
        pytest.param(REVOKE, None, LIFTED, None, None, id="lifted: what is shown is believed"),
        pytest.param(STILL_USED, None, LIFTED, HOUR_MS, 0, id="lifted: a shown use is a use"),
        pytest.param(UNUSED, None, LIFTED, 2 * DAY_MS, None, id="lifted: no successor is used"),
        pytest.param(UNUSED, HOUR_MS, Policy(), 9 * DAY_MS, 47 * HOUR_MS, id="perhaps our use"),
        pytest.param(REVOKE, HOUR_MS, Policy(), 9 * DAY_MS, 47 * HOUR_MS - 1, id="not our use"),
    ],
)
def test_a_predecessor(
    expected: Row, doubt_ms: int | None, policy: Policy, old_ago_ms: int, new_ago_ms: int | None
) -> None:
    """It goes only if the doubt leaves no room for a consumer that still uses it."""
    entry = Entry(path="bot", current=NOW, retiring=(OLD,))
    tokens = used("bot-0", old_ago_ms), used("bot-1", new_ago_ms)
    assert row_of(entry, *tokens, doubt_ms=doubt_ms, policy=policy) == expected


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(("late_ms", "held"), [(1, True), (0, False)])
def test_a_use_at_the_end_of_the_overlap_is_waited_for(
    *, fresh: bool, late_ms: int, held: bool
) -> None:
    """Whoever read the secret last may use it up to the end, and the list is late."""
    old = retiring("bot-0", "bot", superseded_age_ms=2 * DAY_MS - late_ms, overlap_ms=DAY_MS)
    entry = Entry(path="bot", current=NOW, retiring=(dataclasses.replace(old, fresh=fresh),))
    found = row_of(entry, used("bot-0", None), used("bot-1", 0), doubt_ms=DAY_MS)
    assert found == ((Action.HOLD, Reason.OVERLAP) if held else REVOKE)


@pytest.mark.parametrize(
    ("expected", "old"),
    [
        pytest.param(REVOKE, OLD, id="derived by us, and never shown as used"),
        pytest.param(UNUSED, dataclasses.replace(OLD, fresh=False), id="adopted or rolled back to"),
        pytest.param(
            UNUSED,
            dataclasses.replace(OLD, fresh=False, verified_at_ms=NOW_MS),
            id="its last use is ours, and it was somebody's before",
        ),
    ],
)
@pytest.mark.parametrize("ago_ms", [None, 30 * DAY_MS])
def test_only_a_fresh_token_goes_without_a_used_successor(
    expected: Row, old: Retiring, ago_ms: int | None
) -> None:
    """That the last shown use is ours says nothing about the uses before it."""
    entry = Entry(path="bot", current=NOW, retiring=(old,))
    assert row_of(entry, used("bot-0", ago_ms), used("bot-1", None)) == expected


@pytest.mark.parametrize(
    ("expected", "now"),
    [
        (REVOKE, NOW),
        (UNUSED, dataclasses.replace(NOW, own_use_until_ms=NOW_MS)),
        (UNUSED, dataclasses.replace(NOW, verified_at_ms=NOW_MS)),
    ],
    ids=["a consumer's", "perhaps ours: it was announced", "perhaps ours: it is recorded"],
)
def test_our_own_use_of_the_successor_is_no_consumers(expected: Row, now: Current) -> None:
    """A use that we announced counts for nothing, whether or not we came to make it."""
    entry = Entry(path="bot", current=now, retiring=(OLD,))
    tokens = used("bot-0", 9 * DAY_MS), used("bot-1", MINUTE_MS)
    assert row_of(entry, *tokens) == expected


@pytest.mark.parametrize(
    ("expected", "doubt_ms", "ago_ms", "policy"),
    [
        (Reason.LEFT, 0, 25 * HOUR_MS, Policy()),
        (Reason.IN_USE, 0, 23 * HOUR_MS, Policy()),
        (Reason.IN_USE, 2 * HOUR_MS, 25 * HOUR_MS, Policy()),
        (Reason.LEFT, 2 * HOUR_MS, 25 * HOUR_MS, Policy(revoke_in_use=True)),
        (Reason.UNPROVEN, None, 25 * HOUR_MS, Policy(revoke_in_use=True)),
        (Reason.UNPROVEN, 25 * HOUR_MS, None, Policy()),
        (Reason.LEFT, 25 * HOUR_MS, None, LIFTED),
        (Reason.IN_USE, None, HOUR_MS, LIFTED),
    ],
)
def test_a_label_that_left(
    expected: Reason, doubt_ms: int | None, ago_ms: int | None, policy: Policy
) -> None:
    """Its token lives while a consumer may hold it; each flag lifts one doubt."""
    entry = Entry(path="bot", current=left(3 * DAY_MS), overlap_ms=DAY_MS)
    found = row_of(
        entry,
        used("bot-1", ago_ms),
        doubt_ms=doubt_ms,
        policy=policy,
        wanted=False,
        about="bot-1",
    )
    assert found[1] is expected


@pytest.mark.parametrize(
    ("expected", "ago_ms", "doubt_ms", "policy"),
    [
        ((Action.RETIRE, Reason.NOT_DESIRED), None, 0, Policy()),
        ((Action.HOLD, Reason.LEAVING), DAY_MS - 1, 0, Policy()),
        ((Action.HOLD, Reason.LEAVING), DAY_MS + HOUR_MS - 1, HOUR_MS, Policy()),
        ((Action.HOLD, Reason.LEAVING), DAY_MS - 1, 0, Policy(revoke_in_use=True)),
        ((Action.REVOKE, Reason.LEFT), DAY_MS, 0, Policy()),
        ((Action.REVOKE, Reason.NOT_DESIRED), None, 0, AT_ONCE),
        ((Action.REVOKE, Reason.NOT_DESIRED), 1, 0, AT_ONCE),
        ((Action.HOLD, Reason.UNPROVEN), None, None, AT_ONCE),
    ],
    ids=[
        "nobody has recorded it",
        "within its overlap",
        "within the doubt after it",
        "no flag but its own shortens the overlap",
        "its overlap is over",
        "--revoke-now",
        "--revoke-now, and it was recorded",
        "--revoke-now, and uses prove nothing",
    ],
)
def test_an_overlap_begins_when_a_label_leaves(
    expected: Row, ago_ms: int | None, doubt_ms: int | None, policy: Policy
) -> None:
    """Its consumers have as long as those of a predecessor."""
    current_ = NOW if ago_ms is None else left(ago_ms)
    entry = Entry(path="bot", current=current_, overlap_ms=DAY_MS)
    token = used("bot-1", 3 * DAY_MS)
    found = row_of(entry, token, doubt_ms=doubt_ms, policy=policy, wanted=False, about="bot-1")
    assert found == expected


@pytest.mark.parametrize(
    ("expected", "at_ms", "doubt_ms", "policy"),
    [
        pytest.param(LEFT, None, HOUR_MS, Policy(), id="announced only: begun anew"),
        pytest.param(LEAVING, MINUTE_MS, HOUR_MS, Policy(), id="a use may not be shown yet"),
        pytest.param(LEFT, HOUR_MS, HOUR_MS, Policy(), id="it would be shown"),
        pytest.param(LEFT, 0, SECOND_MS, Policy(), id="soon: the run waits itself"),
        pytest.param(NOW_ROW, 0, HOUR_MS, AT_ONCE, id="at once: nothing is waited for"),
        pytest.param(
            LEFT, 0, HOUR_MS, Policy(revoke_in_use=True), id="lifted: uses decide nothing"
        ),
    ],
)
def test_a_use_of_before_a_secret_was_deleted_is_waited_for(
    expected: Row, at_ms: int | None, doubt_ms: int, policy: Policy
) -> None:
    """A list of later than the deletion, by as much as uses may be late, decides."""
    row = Emptied(token_id="bot-1", at_ms=None if at_ms is None else NOW_MS - at_ms)
    entry = Entry(path="bot", current=left(9 * DAY_MS), overlap_ms=DAY_MS, emptied=(row,))
    token = used("bot-1", 3 * DAY_MS)
    found = row_of(entry, token, doubt_ms=doubt_ms, policy=policy, wanted=False, about="bot-1")
    assert found == expected


def test_a_predecessors_path_is_waited_for_as_well() -> None:
    """That of one that lies where its label was before."""
    row = Emptied(token_id="bot-0", at_ms=NOW_MS - MINUTE_MS)
    old = dataclasses.replace(OLD, path="former")
    entry = Entry(path="bot", current=NOW, retiring=(old,), emptied=(row,))
    tokens = used("bot-0", 9 * DAY_MS), used("bot-1", 0)
    assert row_of(entry, *tokens, doubt_ms=HOUR_MS) == (Action.HOLD, Reason.OVERLAP)
    assert row_of(entry, *tokens, doubt_ms=SECOND_MS) == REVOKE


def test_a_version_that_may_be_deleted_is_written_anew() -> None:
    """The label returned, and a run that stood still may delete what lies there."""
    entry = Entry(path="bot", current=NOW, emptied=(Emptied(token_id="bot-1"),))
    row = row_of(entry, used("bot-1", 0), about="bot-1")
    assert row == (Action.RESTORE, Reason.RETURNED)


def test_at_once_is_not_under_a_consumer() -> None:
    """--revoke-now spares the overlap; a use within the hour has a flag of its own."""
    entry = Entry(path="bot", current=left(MINUTE_MS), overlap_ms=DAY_MS)

    def found(policy: Policy) -> Row:
        return row_of(entry, used("bot-1", 0), policy=policy, wanted=False, about="bot-1")

    assert found(AT_ONCE) == (Action.HOLD, Reason.IN_USE)
    both = dataclasses.replace(AT_ONCE, revoke_in_use=True)
    assert found(both) == (Action.REVOKE, Reason.NOT_DESIRED)
    protected = dataclasses.replace(entry, protect=True)
    row = row_of(protected, used("bot-1", 0), policy=both, wanted=False, about="bot-1")
    assert row == (Action.HOLD, Reason.PROTECTED)


def test_a_label_that_returns_stays() -> None:
    """Before anything else is done about it, however long it was away."""
    entry = Entry(path="elsewhere", current=left(30 * DAY_MS), overlap_ms=DAY_MS)
    found = row_of(entry, used("bot-1", None), about="bot-1")
    assert found == (Action.RECORD, Reason.RETURNED)


def test_an_adopted_label_that_leaves_is_in_use() -> None:
    """Its last shown use is our proof; the uses before that one were somebody's."""
    adopted = dataclasses.replace(left(2 * DAY_MS), fresh=False, verified_at_ms=NOW_MS - MINUTE_MS)
    entry = Entry(path="bot", current=adopted, overlap_ms=HOUR_MS)
    token = used("bot-1", 2 * MINUTE_MS)
    assert row_of(entry, token, wanted=False, about="bot-1") == (Action.HOLD, Reason.IN_USE)


def test_an_entry_without_an_overlap_has_a_day() -> None:
    """A ledger of the first schema does not tell the overlap of a label that left."""
    entry = Entry(path="bot", current=left(3 * DAY_MS))
    token = used("bot-1", 25 * HOUR_MS)
    assert row_of(entry, token, wanted=False, about="bot-1") == (Action.HOLD, Reason.IN_USE)


def test_the_managers_predecessor_needs_no_proof() -> None:
    """Its only consumer is this program, whose uses it knows."""
    boss = Entry(
        path=MANAGER,
        current=current(current_id(MANAGER), MANAGER),
        retiring=(retiring("boss-0", MANAGER),),
    )
    seen = observed(
        ledger({MANAGER: boss}),
        live(current_id(MANAGER), MANAGER, unused_for_ms=0),
        live("boss-0", MANAGER, unused_for_ms=2 * DAY_MS),
        signer_id=current_id(MANAGER),
        doubt_ms=None,
    )
    found = plan(manifest(spec(MANAGER)), seen, now_ms=NOW_MS)
    assert [c.reason for c in found.acting] == [Reason.SUPERSEDED]


@pytest.mark.parametrize(
    ("expected", "entry", "wanted"),
    [
        (False, Entry(path="bot", current=NOW), spec("bot")),
        (True, Entry(path="bot", current=NOW, retiring=(OLD,)), spec("bot")),
        (
            False,
            Entry(
                path="bot",
                current=NOW,
                retiring=(dataclasses.replace(OLD, not_before_ms=NOW_MS + 1),),
            ),
            spec("bot"),
        ),
        (False, Entry(path="bot", current=NOW, overlap_ms=5 * DAY_MS), None),
        (False, Entry(path="bot", current=left(2 * DAY_MS), overlap_ms=5 * DAY_MS), None),
        (True, Entry(path="bot", current=left(6 * DAY_MS), overlap_ms=5 * DAY_MS), None),
        (
            True,
            Entry(path="bot", current=NOW),
            dataclasses.replace(spec("bot", scopes=("a",)), overlap_ms=0),
        ),
    ],
    ids=[
        "in sync",
        "a predecessor",
        "within its overlap",
        "it leaves",
        "it left, within its overlap",
        "it left before that",
        "without overlap",
    ],
)
def test_one_more_list_is_asked_only_where_uses_decide(
    *, expected: bool, entry: Entry, wanted: TokenSpec | None
) -> None:
    """A quiet run makes no more calls than before."""
    boss = Entry(path=MANAGER, current=current(current_id(MANAGER), MANAGER))
    seen = observed(
        ledger({MANAGER: boss, "bot": entry}),
        live(current_id(MANAGER), MANAGER, unused_for_ms=0),
        used("bot-1", 3 * DAY_MS),
        used("bot-0", 9 * DAY_MS),
        signer_id=current_id(MANAGER),
        doubt_ms=None,
    )
    specs = [spec(MANAGER)] if wanted is None else [spec(MANAGER), wanted]
    assert rests_on_uses(manifest(*specs), seen, Policy()) == expected


def test_a_plan_without_proof_says_so() -> None:
    """The flag stands in ATTENTION beside the tokens that it is about."""
    boss = Entry(path=MANAGER, current=current(current_id(MANAGER), MANAGER))
    entry = Entry(path="bot", current=NOW, retiring=(OLD,))
    seen = observed(
        ledger({MANAGER: boss, "bot": entry}),
        live(current_id(MANAGER), MANAGER, unused_for_ms=0),
        used("bot-1", SECOND_MS),
        used("bot-0", None),
        signer_id=current_id(MANAGER),
        doubt_ms=None,
    )
    for policy, said in ((LIFTED, True), (Policy(), False)):
        found = plan(manifest(spec(MANAGER), spec("bot")), seen, now_ms=NOW_MS, policy=policy)
        sentences = [alarm.sentence for alarm in alarms_of(found)]
        assert any("--revoke-unproven" in one for one in sentences) == said


@pytest.mark.parametrize(("predecessors", "expected"), [(2, Reason.DUE), (3, Reason.PILED_UP)])
def test_predecessors_do_not_pile_up(predecessors: int, expected: Reason) -> None:
    """A rotation by age waits while three of them wait for evidence."""
    old = tuple(retiring(f"old-{n}", "bot", fresh=False) for n in range(predecessors))
    entry = Entry(path="bot", current=current("bot-1", "bot", age_ms=31 * DAY_MS), retiring=old)
    token = live("bot-1", "bot", age_ms=31 * DAY_MS, unused_for_ms=None)
    assert row_of(entry, token, about="bot-1")[1] is expected
