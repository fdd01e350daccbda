"""The snapshot: what each live token is to us, which one an interrupted derive left,
and when a list is not believed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from reconciler.model import DAY_MS, MINUTE_MS, NEVER_WRITTEN, SECOND_MS, LiveToken, Manifest
from reconciler.state.ledger import Abandoned, Entry, Granted, Intent, IntentKind, Ledger
from reconciler.state.lost import (
    ABANDONED_KEPT_MS,
    CLOCK_MARGIN_MS,
    CLOCK_WRONG_MS,
    DERIVE_DEADLINE_MS,
    Lost,
    alike,
    interrupted,
    lost_in,
    still_remembered,
)
from reconciler.state.snapshot import Content, Kind, Observed, classify, distrust
from tests.support.values import (
    API_URL,
    MANAGER,
    NOW_MS,
    PROFILE_ID,
    current,
    current_id,
    intent,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    revoking,
    settled,
    spec,
)
from tests.support.worlds import World, worlds


def wish(*labels: str) -> Manifest:
    """A manifest that wants these labels."""
    return manifest(*(spec(label) for label in labels))


SINCE_AGE_MS = 10 * MINUTE_MS
OPEN = dataclasses.replace(intent("bot"), before=("old",), listed=True)
BORN = live("new", "bot", age_ms=SINCE_AGE_MS)
LAST_BIRTH_MS = SINCE_AGE_MS - DERIVE_DEADLINE_MS
"""The age of the youngest token that the intent can have made."""


@pytest.mark.parametrize(
    ("expected", "tokens"),
    [
        pytest.param(None, (), id="none lives"),
        pytest.param("new", (BORN,), id="the only one it can be"),
        pytest.param(
            "new",
            (live("old", "bot", age_ms=SINCE_AGE_MS), BORN),
            id="beside one that was there before",
        ),
        pytest.param(
            "new",
            (BORN, live("t", "desk", age_ms=SINCE_AGE_MS), live("u", None, age_ms=SINCE_AGE_MS)),
            id="other labels",
        ),
        pytest.param(
            "new",
            (BORN, live("known", "bot", age_ms=SINCE_AGE_MS)),
            id="beside one that the ledger knows",
        ),
        pytest.param(None, (BORN, live("t", "bot", age_ms=SINCE_AGE_MS)), id="two that it can be"),
        pytest.param(
            None, (live("new", "bot", age_ms=SINCE_AGE_MS, unused_for_ms=0),), id="used by somebody"
        ),
        pytest.param(None, (live("new", "Bot", age_ms=SINCE_AGE_MS),), id="another label"),
        pytest.param(
            "new",
            (live("new", "bot", age_ms=SINCE_AGE_MS + CLOCK_MARGIN_MS),),
            id="two seconds before the intent",
        ),
        pytest.param(
            None,
            (live("new", "bot", age_ms=SINCE_AGE_MS + CLOCK_MARGIN_MS + 1),),
            id="earlier than that",
        ),
        pytest.param("new", (live("new", "bot", age_ms=LAST_BIRTH_MS),), id="at the deadline"),
        pytest.param(None, (live("new", "bot", age_ms=LAST_BIRTH_MS - 1),), id="later than that"),
        pytest.param(
            None,
            (BORN, live("u", "bot", age_ms=SINCE_AGE_MS, unused_for_ms=0)),
            id="beside one in use, which may be its own where the ledger was put back",
        ),
        pytest.param(
            None,
            (BORN, live("t", "bot", age_ms=LAST_BIRTH_MS - 1)),
            id="beside one that may have landed late",
        ),
    ],
)
def test_what_an_interrupted_derive_left(
    expected: str | None, tokens: tuple[LiveToken, ...]
) -> None:
    """The only token of the label that is new since the intent, unused, and born while
    its derive could land; else none.
    """
    known = ledger(
        {
            "bot": Entry(path="bot", intent=OPEN),
            "desk": Entry(path="desk", retiring=(retiring("known", "bot"),)),
        }
    )
    assert left(OPEN, known, tokens) == expected
    assert left(OPEN, known, tokens[::-1]) == expected


def left(
    begun: Intent, known: Ledger, tokens: Sequence[LiveToken], *, doubt_ms: int | None = SECOND_MS
) -> str | None:
    """Return what the intent of the label bot left."""
    return interrupted("bot", begun, known, tokens, now_ms=NOW_MS, doubt_ms=doubt_ms)


BEGUN = ledger({"bot": Entry(path="bot", intent=OPEN)})


@pytest.mark.parametrize(
    ("expected", "doubt_ms"),
    [("new", 0), ("new", SINCE_AGE_MS), (None, SINCE_AGE_MS + 1), (None, None)],
)
def test_nothing_is_inferred_while_a_use_may_be_shown_later(
    expected: str | None, doubt_ms: int | None
) -> None:
    """A token must be older than the doubt, and without one nothing is proven."""
    assert left(OPEN, BEGUN, [BORN], doubt_ms=doubt_ms) == expected


def test_nothing_is_inferred_without_a_list_before_the_derive() -> None:
    """Then any token of that minute could be a person's."""
    assert left(dataclasses.replace(OPEN, listed=False), BEGUN, [BORN]) is None


def test_an_interrupted_token_has_the_scopes_that_were_asked_for() -> None:
    """Or those that the exchange is known to grant instead."""
    more = dataclasses.replace(BORN, scopes=("trading", "withdrawal"))
    assert left(OPEN, BEGUN, [more]) is None
    instead = Granted(asked=OPEN.scopes, granted=more.scopes, at_ms=NOW_MS)
    assert left(OPEN, dataclasses.replace(BEGUN, granted=(instead,)), [more]) == "new"


@pytest.mark.parametrize("place", ["current", "retiring", "revoking"])
def test_a_recorded_token_is_no_interrupted_one(place: str) -> None:
    """Whatever the label's ledger entry calls it."""
    entry = Entry(path="bot", intent=OPEN)
    entry = {
        "current": dataclasses.replace(entry, current=current("new", "bot")),
        "retiring": dataclasses.replace(entry, retiring=(retiring("new", "bot"),)),
        "revoking": dataclasses.replace(entry, revoking=(revoking("new", "bot"),)),
    }[place]
    assert left(OPEN, ledger({"bot": entry}), [BORN]) is None


def test_a_token_that_another_intent_names_is_that_ones() -> None:
    """An old reply may have given one label's new token to another: it is not to be
    found twice.
    """
    other = Entry(
        path="desk", intent=dataclasses.replace(OPEN, operation_id="op-2", token_id="new")
    )
    both = ledger({"bot": Entry(path="bot", intent=OPEN), "desk": other})
    assert left(OPEN, both, [BORN]) is None


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        ("named", IntentKind.DERIVE),
        ("named", IntentKind.ROTATE),
        (None, IntentKind.RESTORE),
        (None, IntentKind.ROLLBACK),
        (None, IntentKind.ADOPT),
    ],
)
def test_a_named_token_is_the_one_if_the_intent_derives(
    expected: str | None, kind: IntentKind
) -> None:
    """Listed or not.

    A restore, rollback or adopt names a token that was there before: nothing of it was
    interrupted.
    """
    named = dataclasses.replace(OPEN, kind=kind, token_id="named")
    known = ledger({"bot": Entry(path="bot", intent=named)})
    assert left(named, known, [BORN]) == expected
    assert left(named, known, []) == expected


def entry_with(open_intent: Intent | None = None) -> Entry:
    """One id of each place in the ledger."""
    return Entry(
        path="bot",
        current=current("current", "bot"),
        intent=open_intent,
        retiring=(retiring("retiring", "bot"),),
        revoking=(revoking("revoking", "bot"),),
    )


@pytest.mark.parametrize(
    ("expected", "token"),
    [
        (Kind.CURRENT, live("current", "bot")),
        (Kind.CURRENT, live("current", "renamed")),
        (Kind.RETIRING, live("retiring", "bot")),
        (Kind.REVOKING, live("revoking", "bot")),
        (Kind.INTERRUPTED, BORN),
        (Kind.TWIN, live("t", "bot")),
        (Kind.TWIN, live("t", "desk")),
        (Kind.TWIN, live("t", "left")),
        (Kind.TWIN, live("t", "lost")),
        (Kind.FOREIGN, live("t", "theirs")),
        (Kind.FOREIGN, live("t", None)),
        (Kind.FOREIGN, live("t", "")),
        (Kind.FOREIGN, live("t", "Bot")),
    ],
)
def test_each_live_token_is_one_of_six_kinds(expected: Kind, token: LiveToken) -> None:
    """By recorded id first, by proven interruption next; a label that is desired or
    remembered makes a twin, nothing more.
    """
    entries = {"bot": entry_with(OPEN), "left": Entry(path="left", protect=True)}
    known = ledger(entries, abandoned=(Abandoned(label="lost", since_ms=0, closed_at_ms=0),))
    seen = dataclasses.replace(observed(known, token), doubt_ms=SECOND_MS)
    kinds = classify(seen, frozenset({"bot", "desk"}))
    assert kinds[token.token_id] is expected


def test_a_named_token_that_is_recorded_is_what_the_record_says() -> None:
    """A crash after the commit was recorded elsewhere makes no interrupted token of a
    current one.
    """
    known = ledger({"bot": entry_with(dataclasses.replace(OPEN, token_id="current"))})
    kinds = classify(observed(known, live("current", "bot")), frozenset())
    assert kinds["current"] is Kind.CURRENT


@settings(max_examples=200, derandomize=True)
@given(worlds(sound=False))
def test_classify_is_total(world: World) -> None:
    """Each live token has one kind, whatever the ledger says, and nothing else has
    one.
    """
    kinds = classify(world.seen, frozenset(s.label for s in world.desired.tokens))
    assert kinds.keys() == {token.token_id for token in world.seen.live}


SINCE_MS = NOW_MS - DAY_MS


ROW = Abandoned(
    label="bot", since_ms=SINCE_MS, closed_at_ms=SINCE_MS, before=("old",), scopes=("trading",)
)
OLD_MS = ABANDONED_KEPT_MS + 1
OLD_ONE = live("t", "bot", age_ms=OLD_MS)
A_DAY_AGO_MS = NOW_MS - DAY_MS
AT_ONCE = live("t", "bot", age_ms=DAY_MS)
LATER = live("t", "bot", age_ms=DAY_MS - DERIVE_DEADLINE_MS - 1)


@pytest.mark.parametrize(
    ("expected", "token"),
    [
        pytest.param(Lost.PROBABLY, AT_ONCE, id="made just then"),
        pytest.param(
            Lost.PROBABLY, live("t", "bot", age_ms=DAY_MS + CLOCK_MARGIN_MS), id="clocks differ"
        ),
        pytest.param(
            Lost.PERHAPS,
            live("t", "bot", age_ms=DAY_MS + CLOCK_MARGIN_MS + 1),
            id="by a clock that is wrong for good",
        ),
        pytest.param(None, live("t", "bot", age_ms=DAY_MS + CLOCK_WRONG_MS + 1), id="older"),
        pytest.param(
            Lost.PROBABLY, live("t", "bot", age_ms=DAY_MS - DERIVE_DEADLINE_MS), id="the last one"
        ),
        pytest.param(
            Lost.PERHAPS, live("t", "bot", age_ms=DAY_MS - DERIVE_DEADLINE_MS - 1), id="later"
        ),
        pytest.param(None, live("t", "bot", age_ms=DAY_MS, unused_for_ms=0), id="used"),
        pytest.param(None, live("old", "bot", age_ms=DAY_MS), id="listed before"),
        pytest.param(
            Lost.PERHAPS,
            dataclasses.replace(AT_ONCE, scopes=("trading", "withdrawal")),
            id="more scopes",
        ),
        pytest.param(
            Lost.PERHAPS, dataclasses.replace(AT_ONCE, scopes=("withdrawal",)), id="other scopes"
        ),
        pytest.param(
            None, dataclasses.replace(LATER, scopes=("withdrawal",)), id="other scopes, later"
        ),
        pytest.param(
            Lost.PROBABLY,
            dataclasses.replace(AT_ONCE, last_used_at_ms=AT_ONCE.created_at_ms),
            id="its making counts as a use",
        ),
        pytest.param(Lost.PROBABLY, live("t", " BOT", age_ms=DAY_MS), id="a label like it"),
        pytest.param(None, live("t", "desk", age_ms=DAY_MS), id="another label"),
        pytest.param(Lost.PERHAPS, live("t", None, age_ms=DAY_MS), id="no label"),
        pytest.param(None, dataclasses.replace(LATER, label=None), id="no label, later"),
        pytest.param(Lost.PERHAPS, live("t", "B", age_ms=DAY_MS), id="a label cut short"),
        pytest.param(None, dataclasses.replace(LATER, label="b"), id="cut short, later"),
        pytest.param(
            None,
            dataclasses.replace(AT_ONCE, label="b", scopes=("trading", "withdrawal")),
            id="cut short, with other scopes",
        ),
    ],
)
def test_what_an_abandoned_intent_may_have_made(expected: Lost | None, token: LiveToken) -> None:
    """By label, scopes, time and use; and not what was there before it."""
    assert lost_in(ledger({}, abandoned=(ROW,)))(token) is expected


def test_a_row_of_schema_1_fits_any_scopes() -> None:
    """It remembers neither scopes nor ids."""
    row = Abandoned(label="bot", since_ms=SINCE_MS, closed_at_ms=NOW_MS)
    other = dataclasses.replace(AT_ONCE, scopes=("withdrawal",))
    assert lost_in(ledger({}, abandoned=(row,)))(other) is Lost.PROBABLY


def test_an_open_intent_names_what_it_may_have_made() -> None:
    """While nothing is inferred, a person is told."""
    assert lost_in(BEGUN)(BORN) is Lost.PROBABLY


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Bot", "bot"),
        (" bot ", "bot"),
        ("Stra\u00dfe", "strasse"),
        ("cafe\u0301", "caf\u00e9"),
        ("a label of many characters", "a label of many c"),
    ],
)
def test_labels_that_are_alike(sent: str, shown: str) -> None:
    """Trimmed, lower-cased, composed or cut."""
    assert alike(sent, shown)


@pytest.mark.parametrize(
    ("sent", "shown"), [("bot-30", "bot"), ("bot", "bot-30"), ("bot", None), ("bot", "b o t")]
)
def test_labels_that_are_not_alike(sent: str, shown: str | None) -> None:
    """A short beginning is another label."""
    assert not alike(sent, shown)


@pytest.mark.parametrize(
    ("since_ms", "expected", "age_ms", "tokens"),
    [
        pytest.param(None, (None,), ABANDONED_KEPT_MS, (), id="of this week"),
        pytest.param(None, (NOW_MS,), OLD_MS, (), id="old, and nothing shows it any more"),
        pytest.param(A_DAY_AGO_MS, (A_DAY_AGO_MS,), OLD_MS, (), id="unseen for a day"),
        pytest.param(A_DAY_AGO_MS - 1, (), OLD_MS, (), id="unseen for longer"),
        pytest.param(None, (None,), OLD_MS, (OLD_ONE,), id="old, and its token lives"),
        pytest.param(A_DAY_AGO_MS - 1, (None,), OLD_MS, (OLD_ONE,), id="seen again"),
        pytest.param(
            A_DAY_AGO_MS - 1, (), OLD_MS, (live("t", "desk", age_ms=OLD_MS),), id="another label"
        ),
    ],
)
def test_an_abandoned_intent_is_kept(
    since_ms: int | None,
    expected: tuple[int | None, ...],
    age_ms: int,
    tokens: tuple[LiveToken, ...],
) -> None:
    """For seven days, then while a token lives that it may have made, and a day longer,
    because a list may lack that one.
    """
    at_ms = NOW_MS - age_ms
    row = dataclasses.replace(ROW, since_ms=at_ms, closed_at_ms=at_ms, unseen_since_ms=since_ms)
    kept = still_remembered((row,), ledger({}, abandoned=(row,)), tokens, now_ms=NOW_MS)
    assert kept == tuple(dataclasses.replace(row, unseen_since_ms=one) for one in expected)


# --- trust ---


def absent(number: int) -> Observed:
    """A fleet of seven and the manager, of which so many current tokens are not
    listed.
    """
    labels = [f"bot{n}" for n in range(7)]
    seen = settled([spec(MANAGER), *(spec(label) for label in labels)])
    gone = {current_id(label) for label in labels[:number]}
    return dataclasses.replace(seen, live=tuple(t for t in seen.live if t.token_id not in gone))


def with_ledger(seen: Observed, known: Ledger) -> Observed:
    """The same snapshot with another ledger."""
    return dataclasses.replace(seen, ledger=known)


WELL = absent(0)


@pytest.mark.parametrize(
    ("expected", "seen", "profile_id", "max_missing"),
    [
        pytest.param(None, WELL, PROFILE_ID, 1, id="all is well"),
        pytest.param(None, WELL, None, 0, id="the manifest names no profile"),
        pytest.param(
            None,
            with_ledger(WELL, dataclasses.replace(WELL.ledger, profile_id=None)),
            7,
            0,
            id="nor does the ledger",
        ),
        pytest.param(
            None,
            dataclasses.replace(WELL, signer_id=None),
            PROFILE_ID,
            1,
            id="nobody knows who signed",
        ),
        pytest.param(None, absent(1), PROFILE_ID, 1, id="one missing"),
        pytest.param(None, absent(3), PROFILE_ID, 3, id="as many missing as allowed"),
        pytest.param(
            f"the ledger belongs to {API_URL}, and this run would ask https://other.example: "
            "set LIMITLESS_API_URL to the first, or use another vault prefix for this exchange",
            dataclasses.replace(WELL, api_url="https://other.example"),
            PROFILE_ID,
            1,
            id="another exchange",
        ),
        pytest.param(
            "the ledger belongs to profile 42, the manifest to profile 7: one of them is wrong",
            WELL,
            7,
            1,
            id="another profile",
        ),
        pytest.param(
            (
                "the exchange lists no token at all, not even the one that signed: the list "
                "is not believed, try again later"
            ),
            dataclasses.replace(WELL, live=()),
            PROFILE_ID,
            99,
            id="an empty list",
        ),
        pytest.param(
            None,
            dataclasses.replace(observed(ledger({})), foreign_unnamed=1),
            PROFILE_ID,
            0,
            id="a published snapshot that names no token, because none is ours",
        ),
        pytest.param(
            "5 current tokens are missing from the exchange's list (bot0, bot1, bot2, "
            "bot3, bot4), more than --max-missing 4: "
            "if they really were revoked elsewhere, raise it; otherwise the list is partial",
            absent(5),
            PROFILE_ID,
            4,
            id="as many missing as fit on a line",
        ),
        pytest.param(
            "the token that signed the list (reconciler-now) is not in it: the list is "
            "partial or of another profile, "
            "nothing is done on it; try again later",
            dataclasses.replace(WELL, live=tuple(t for t in WELL.live if t.label != MANAGER)),
            PROFILE_ID,
            99,
            id="the signer is missing",
        ),
        pytest.param(
            "2 current tokens are missing from the exchange's list (bot0, bot1), more "
            "than --max-missing 1: "
            "if they really were revoked elsewhere, raise it; otherwise the list is partial",
            absent(2),
            PROFILE_ID,
            1,
            id="two missing",
        ),
        pytest.param(
            "7 current tokens are missing from the exchange's list (bot0, bot1, bot2, "
            "bot3, bot4 …), "
            "more than --max-missing 6: if they really were revoked elsewhere, raise it; "
            "otherwise the list is partial",
            absent(7),
            PROFILE_ID,
            6,
            id="more missing than fit on a line",
        ),
        pytest.param(
            "1 current tokens are missing from the exchange's list (bot0), more than "
            "--max-missing 0: "
            "if they really were revoked elsewhere, raise it; otherwise the list is partial",
            absent(1),
            PROFILE_ID,
            0,
            id="none allowed",
        ),
    ],
)
def test_a_snapshot_that_may_be_partial_is_not_believed(
    expected: str | None, seen: Observed, profile_id: int | None, max_missing: int
) -> None:
    """One sentence that says why and what to do, or nothing."""
    desired = dataclasses.replace(wish(*seen.ledger.tokens), profile_id=profile_id)
    assert distrust(seen, desired, max_missing=max_missing) == expected


def test_only_current_tokens_count_as_missing() -> None:
    """What is retiring, revoking or begun may be gone without suspicion."""
    entries = {
        "bot": Entry(
            path="bot",
            retiring=(retiring("a", "bot"), retiring("b", "bot")),
            revoking=(revoking("c", "bot"),),
        ),
        "desk": Entry(path="desk", intent=dataclasses.replace(OPEN, token_id="d")),
    }
    seen = observed(ledger(entries), live("theirs", None))
    assert distrust(seen, wish(*entries), max_missing=0) is None


def test_a_label_that_is_not_desired_is_not_missed() -> None:
    """A protected label that has left the file, and whose token is gone, stands in
    nobody's way.
    """
    seen = observed(
        ledger({"left": Entry(path="left", protect=True, current=current("left-now", "left"))}),
        live("theirs", None),
    )
    assert distrust(seen, wish(), max_missing=0) is None


def test_a_snapshot_of_another_place_is_not_believed() -> None:
    """A manifest that moves everything can't be planned from what lies elsewhere: all
    would look absent.
    """
    moved = dataclasses.replace(wish("bot"), prefix="limitless/other")
    expected = (
        "the snapshot is of secret/p, and the manifest's secrets lie at secret/limitless/other: "
        "take it again with this manifest, or put mount and prefix back"
    )
    assert expected == distrust(observed(ledger({}), live("theirs", None)), moved, max_missing=0)


# --- questions ---


def test_a_snapshot_answers_by_path_and_by_id() -> None:
    """A path without metadata was never written; ids find their token."""
    seen = observed(
        ledger({"bot": Entry(path="p/bot", current=current("bot-1", "bot", version=4))}),
        live("bot-1", "bot"),
    )
    assert seen.meta("p/bot") == living(4)
    assert seen.meta("bot") is NEVER_WRITTEN
    assert seen.live_by_id() == {"bot-1": live("bot-1", "bot")}


def test_content_is_readable_and_no_placeholder_unless_it_is_said() -> None:
    """Nothing is read into a snapshot that says nothing."""
    content = Content()
    assert (content.token_id, content.holder_version, content.placeholder, content.readable) == (
        None,
        None,
        False,
        True,
    )


def test_the_limits_of_a_birth() -> None:
    """A derive is sent within 10 s and takes 30; clocks are known to 2."""
    assert (42 * SECOND_MS, 2 * SECOND_MS) == (DERIVE_DEADLINE_MS, CLOCK_MARGIN_MS)
