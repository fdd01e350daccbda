"""Claims about the text and the Markdown of a plan: whole outputs, and what hostile
text can't do to them.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.cli.posts import _plan_outputs
from reconciler.errors import Exit
from reconciler.escape import safe, short
from reconciler.plan.alarms import Alarm, alarms_of
from reconciler.plan.change import Change, NotTouched, Plan, Selection, Side
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import (
    ACTIONS,
    NEEDS_DECISION,
    SENTENCES,
    Action,
    Category,
    Reason,
)
from reconciler.protocol.outcome import Outcome, applied, failed, held, not_tried
from reconciler.protocol.report import Report, Row
from reconciler.render.markdown import code, plan_blocks, plan_markdown
from reconciler.render.text import STALE_LINES, plan_text, report_last_line, row_line, stale_text
from reconciler.render.words import (
    FEW,
    FOREIGN_NAMED,
    cells,
    grouped,
    selection_line,
    summary_line,
    why,
)
from reconciler.state.snapshot import Kind
from tests.support.hostile import assert_harmless, hostile, text_without_surrogates
from tests.support.values import API_URL, NOW_MS, ledger, live, manifest, observed, spec
from tests.support.worlds import Scene, scenes

if TYPE_CHECKING:
    from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

ID = "3f2c0000-aaaa-bbbb-cccc-000000009a1b"


def side(
    path: str,
    token_id: str | None = None,
    *scopes: str,
    version: int | None = None,
    protect: bool | None = None,
) -> Side:
    """One side of a change."""
    return Side(path=path, token_id=token_id, scopes=scopes, version=version, protect=protect)


def change(label: str, action: Action, reason: Reason, **other: Any) -> Change:
    """A row."""
    return Change(label=label, action=action, reason=reason, **other)


def a_plan(*changes: Change, not_touched: tuple[NotTouched, ...] = (), **other: Any) -> Plan:
    """A plan of these rows."""
    values: dict[str, Any] = {"profile_id": 42, "selection": Selection(), **other}
    return Plan(
        as_of_ms=NOW_MS,
        api_url=API_URL,
        ledger_id="ledger-1",
        changes=changes,
        not_touched=not_touched,
        **values,
    )


RECOVER = change(
    "stuck",
    Action.RECOVER,
    Reason.INTENT_OPEN,
    before=side("stuck", ID, "trading", version=4),
    note="rotate of 2026-11-22T07:30:00.000Z",
)
FILES = change("", Action.RECORD, Reason.FILES, note="+b.yaml -a.yaml")
UNPROTECT = change(
    "old",
    Action.RECORD,
    Reason.PROTECT_OFF,
    before=side("old", protect=True),
    after=side("old", protect=False),
)
RESTORE = change(
    "lost",
    Action.RESTORE,
    Reason.SECRET_MOVED,
    before=side("lost", "id-3", "trading", version=1),
    after=side("lost", version=2),
    note="from version 1",
)
DERIVE = change(
    "new-bot",
    Action.DERIVE,
    Reason.ABSENT,
    after=side("prod/new", None, "account_creation", "trading", version=0),
)
DUE = change(
    "aged",
    Action.ROTATE,
    Reason.DUE,
    before=side("aged", "id-4", "trading", version=1),
    after=side("aged", None, "trading", version=1),
    note="since 2026-11-19T08:30:00.000Z",
)
WIDEN = change(
    "production-bot",
    Action.ROTATE,
    Reason.SCOPES_WIDENED,
    before=side("production-bot", ID, "trading", version=1),
    after=side("production-bot", None, "trading", "withdrawal", version=1),
    note="+withdrawal",
)
MOVE = change(
    "moved",
    Action.ROTATE,
    Reason.PATH_CHANGED,
    before=side("a", "id-5", "trading", version=1),
    after=side("b", None, "trading", version=0),
    note="a -> b",
)
NARROW_AND_MOVE = change(
    "both",
    Action.ROTATE,
    Reason.SCOPES_NARROWED,
    before=side("a", "id-6", "trading", "withdrawal", version=1),
    after=side("b", None, "trading", version=0),
    note="-withdrawal",
)
VANISHED = change(
    "vanished",
    Action.ROTATE,
    Reason.REVOKED_ELSEWHERE,
    before=side("vanished", "id-7", version=1),
    after=side("vanished", None, "trading", version=1),
)
COMPROMISED = change(
    "leaked",
    Action.ROTATE,
    Reason.COMPROMISED,
    before=side("leaked", "id-8", "trading", version=1),
    after=side("leaked", None, "trading", "withdrawal", version=1),
)
STOCK = change("aged", Action.STOCK, Reason.RESERVE_SHORT, note="number 1 of 1")
TAKEN = dataclasses.replace(COMPROMISED, action=Action.PROMOTE, note="from the reserve")
REVOKE = change(
    "gone", Action.REVOKE, Reason.NOT_DESIRED, before=side("gone", "id-9", "trading", version=1)
)
SUPERSEDED = change(
    "drained", Action.REVOKE, Reason.SUPERSEDED, before=side("drained", "id-10", "trading")
)
WAITS = change(
    "drain",
    Action.HOLD,
    Reason.STILL_USED,
    before=side("drain", "id-11", "trading"),
    note="last used 2026-11-22T08:26:00.000Z",
)
DECIDE = change("twinned", Action.HOLD, Reason.TWIN, note=ID)
KEEPS = tuple(change(label, Action.KEEP, Reason.IN_SYNC) for label in "abcde")

PROBABLY = NotTouched(token_id=ID, label="twinned", kind=Kind.TWIN, probably_ours=True)
TWIN = NotTouched(token_id="opaque/id+of=a-twin", label="aged", kind=Kind.TWIN)
FOREIGN = tuple(
    NotTouched(token_id=f"id-f{n}", label=f"other-{n}", kind=Kind.FOREIGN)
    for n in range(FOREIGN_NAMED + 1)
)
NAMELESS = NotTouched(token_id="id-none", label=None, kind=Kind.FOREIGN)

EVERYTHING = a_plan(
    RECOVER,
    FILES,
    UNPROTECT,
    RESTORE,
    DERIVE,
    DUE,
    MOVE,
    WIDEN,
    REVOKE,
    SUPERSEDED,
    WAITS,
    DECIDE,
    *KEEPS,
    not_touched=(TWIN, PROBABLY, NAMELESS, *FOREIGN),
    foreign_unnamed=2,
)


# --- hostile text ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("production-bot", "production-bot"),
        ("é 日本 👍", "é 日本 👍"),
        ("back\\slash", "back\\slash"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc\x00\x7f\x85\x9b", "a\\x0ab\\x0d\\x09c\\x00\\x7f\\x85\\x9b"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("a\u200bb\ufeffc\u00ad\u3164\u2800\ufe0f", "a\\u200bb\\ufeffc\\xad\\u3164\\u2800\\ufe0f"),
        ("a\u00a0b\u2028c\u3000", "a\\xa0b\\u2028c\\u3000"),
        ("\U000e0001\U000e0101\ud800", "\\U000e0001\\U000e0101\\ud800"),
        ("##[error]x", "#\\x23[error]x"),
        ("x ##vso[task.setvariable]", "x #\\x23vso[task.setvariable]"),
        ("####", "#\\x23#\\x23"),
        ("::error::x", ":\\x3aerror::x"),
        ("x ::stop-commands::y", "x :\\x3astop-commands::y"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_safe_shows_what_would_not_be_seen(text: str, expected: str) -> None:
    """Escapes are visible, everything else stays as it is."""
    assert expected == safe(text)


@QUICK
@given(hostile(most=12))
def test_safe_text_is_one_printable_line_without_commands(text: str) -> None:
    """Whatever comes in; and doing it twice changes nothing more."""
    shown = safe(text)
    assert shown.isprintable()
    assert "##" not in shown
    assert not any(word.startswith("::") for word in shown.split(" "))
    assert shown == safe(shown)
    shown.encode()


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", 3), ("é", 1), ("e\u0301", 1), ("日本", 4), ("👍", 2), ("", 0)]
)
def test_cells_counts_columns(text: str, expected: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert expected == cells(text)


@pytest.mark.parametrize(
    ("token_id", "expected"),
    [
        (ID, "3f2c…9a1b"),
        ("id-1", "id-1"),
        ("123456789012", "123456789012"),
        ("\n" * 13, "\\x0a…\\x0a"),
    ],
)
def test_short_shows_both_ends_of_an_id(token_id: str, expected: str) -> None:
    """Short ids stay whole; a hostile id is escaped before it is shortened."""
    assert expected == short(token_id)


# --- counts, selection, alarms ---


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            a_plan(
                *(dataclasses.replace(DERIVE, label=label) for label in "ab"),
                DUE,
                REVOKE,
                WAITS,
                *KEEPS,
                not_touched=(TWIN, NAMELESS),
                foreign_unnamed=1,
            ),
            "2 to derive, 1 to rotate, 1 to revoke, 1 held, 5 kept, 3 not touched",
        ),
        (a_plan(RECOVER, FILES, RESTORE), "1 to recover, 1 to record, 1 to restore"),
        (a_plan(*KEEPS), "nothing to do, 5 kept"),
        (
            a_plan(DECIDE, *KEEPS, foreign_unnamed=4),
            "waiting for a decision, 1 held, 5 kept, 4 not touched",
        ),
        (a_plan(WAITS, *KEEPS), "nothing to do, 1 held, 5 kept"),
        (a_plan(STOCK, *KEEPS), "nothing to do but stock the reserve, 1 to stock, 5 kept"),
        (a_plan(DECIDE, DUE), "1 to rotate, 1 held"),
        (a_plan(), "nothing to do"),
    ],
)
def test_summary_line(made: Plan, expected: str) -> None:
    """Counts in the order of the actions; zeros are left out; decisions are held."""
    assert expected == summary_line(made)


@pytest.mark.parametrize(
    ("action", "reason"),
    [*((Action.HOLD, reason) for reason in Reason), *((action, Reason.DUE) for action in Action)],
    ids=lambda word: word.value,
)
def test_everybody_agrees_on_whether_there_is_something_to_do(
    action: Action, reason: Reason
) -> None:
    """A change, a decision that is waited for, or a hold of a label without a working
    token: last line, page, output and exit code of a plan all ask ``reached``. A
    reserve that is short waits for a person's visit.
    """
    row = dataclasses.replace(DECIDE, action=action, reason=reason)
    made = a_plan(row, *KEEPS)
    waits = action is Action.HOLD and reason in {*NEEDS_DECISION, Reason.HOLD_BROKEN}
    idle = {Action.HOLD, Action.KEEP, Action.STOCK}
    assert made.reached is (not waits and action in idle)
    assert summary_line(made).startswith("nothing to do") is made.reached
    assert ("nothing to do" in plan_markdown(made)) is made.reached
    assert ("nothing to do" in plan_text(made)) is made.reached
    assert dict(_plan_outputs(made))["changes"] is not made.reached


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ""),
        (
            Selection(
                targets=frozenset({"b", "a"}), excluded=frozenset({"\n"}), only=Category.CLEANUP
            ),
            "--target a --target b --exclude \\x0a --only cleanup",
        ),
    ],
)
def test_selection_line(selection: Selection, expected: str) -> None:
    """As the flags that make it."""
    assert expected == selection_line(selection)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (a_plan(RECOVER, FILES, RESTORE, DERIVE, DUE, WAITS, DECIDE, *KEEPS), ()),
        (a_plan(REVOKE), (Alarm(sentence="revokes 1 token for good", about=(("gone", "id-9"),)),)),
        (
            a_plan(SUPERSEDED),
            (Alarm(sentence="revokes 1 superseded token for good", about=(("drained", "id-10"),)),),
        ),
        (
            a_plan(WIDEN),
            (Alarm(sentence="widens scopes", about=(("production-bot", "+withdrawal"),)),),
        ),
        (a_plan(UNPROTECT), (Alarm(sentence="takes the protection away", about=(("old", ""),)),)),
        (
            a_plan(MOVE, NARROW_AND_MOVE),
            (
                Alarm(
                    sentence="takes scopes away: consumers that need them will fail",
                    about=(("both", "-withdrawal"),),
                ),
                Alarm(
                    sentence="moves the secret: consumers must read another path",
                    about=(("moved", "path a -> b"), ("both", "path a -> b")),
                ),
            ),
        ),
        (
            a_plan(VANISHED),
            (
                Alarm(
                    sentence="grants scopes, and what the old token had is not known",
                    about=(("vanished", "+trading"),),
                ),
            ),
        ),
        (
            a_plan(COMPROMISED),
            (
                Alarm(
                    sentence="revokes the predecessor at once, without overlap",
                    about=(("leaked", "id-8"),),
                ),
                Alarm(sentence="widens scopes", about=(("leaked", "+withdrawal"),)),
            ),
        ),
    ],
)
def test_alarms_are_read_off_the_two_sides_of_a_change(
    made: Plan, expected: tuple[Alarm, ...]
) -> None:
    """A row may do more than its reason says: a compromised token's successor may have
    more scopes, a narrowed another path.
    """
    assert expected == alarms_of(made)


def test_every_action_and_reason_can_be_shown() -> None:
    """Each action has its words; no sentence could break a line, a table or Markdown's
    HTML.
    """
    assert set(Action) == ACTIONS.keys()
    for reason, sentence in SENTENCES.items():
        assert safe(sentence) == sentence, reason
        assert not set(sentence) & set("|<>*_[]@\\") - {"_"}, reason
        made = a_plan(*(change("x", action, reason) for action in Action))
        assert sentence in plan_text(made)
        assert sentence in plan_markdown(made)


def test_sixty_that_drain_hide_no_decision_and_no_failure() -> None:
    """Rows that wait alike take one line, in a plan and at the end of a run; what needs
    a person stands by itself, and first.
    """
    drains = [change(f"bot-{n:02}", Action.HOLD, Reason.OVERLAP) for n in range(60)]
    twin, unread = DECIDE, change("unread", Action.HOLD, Reason.UNREAD)
    lines = plan_text(a_plan(*drains, twin, unread)).splitlines()
    ten = ", ".join(f"bot-{n:02}" for n in range(10))
    sentence = SENTENCES[Reason.OVERLAP]
    assert [line for line in lines if "bot-" in line] == [
        f"  . 60 labels: {ten} and 50 more  {sentence}"
    ]
    alone, groups = grouped([*drains, twin, unread])
    assert (alone, len(groups)) == ((twin, unread), 1)
    assert grouped(drains[:3]) == (tuple(drains[:3]), ())


# --- text ---

TEXT = """\
plan for https://api.example, profile 42

1 to recover:
  * stuck  3f2c…9a1b  an earlier run was interrupted: finish or undo it (rotate of 2026-11-22T07:30:00.000Z)

2 to record:
  = (manifest)  remember the manifest's files: +b.yaml -a.yaml
  = old         NO LONGER protected

1 to restore:
  < lost  id-3  the secret was overwritten or deleted: write it again (from version 1)

1 to derive:
  + new-bot  no token yet; scopes +account_creation +trading; path prod/new

3 to rotate:
  ~ aged            id-4  due by its age: since 2026-11-19T08:30:00.000Z
  ~ moved           id-5  path changed: a -> b
  ! production-bot  3f2c…9a1b  scopes widened: +withdrawal

2 to revoke:
  - gone     id-9  not in the manifest any more
  - drained  id-10  superseded, and nobody uses it any more

2 held:
  . drain    id-11  a consumer still uses the predecessor: last used 2026-11-22T08:26:00.000Z
  ? twinned  a token with this label lives that we did not derive: adopt it, or --replace the label (3f2c0000-aaaa-bbbb-cccc-000000009a1b)

5 kept: a, b, c, d, e

11 not touched:
  twin     aged  opaque/id+of=a-twin  has a label of ours, but is not in the ledger: adopt it, or leave it be
  twin     twinned  3f2c0000-aaaa-bbbb-cccc-000000009a1b  probably ours, of an interrupted derive, and its secret is lost: revoke it at the exchange if nobody knows it, or `reconciler forget --token-id ID`
  foreign  (no label)  id-none
  foreign  other-0  id-f0
  foreign  other-1  id-f1
  foreign  other-2  id-f2
  foreign  other-3  id-f3
  foreign  4 more

ATTENTION
  revokes 1 token for good: gone (id-9)
  revokes 1 superseded token for good: drained (id-10)
  widens scopes: production-bot (+withdrawal)
  takes the protection away: old
  moves the secret: consumers must read another path: moved (path a -> b)
apply will refuse: too many revocations
warning: unknown scope 'x'
not checked: whether the exchange allows these scopes; apply checks it before it writes anything
1 to recover, 2 to record, 1 to restore, 1 to derive, 3 to rotate, 2 to revoke, 2 held, 5 kept, 11 not touched
"""

NARROW_TEXT = """\
plan for https://api.example
limited to --target gone

1 to rotate:
  ! production-bot  3f2c…9a1b
      scopes widened: +withdrawal

1 to revoke:
  - gone  id-9
      not in the manifest any more

1 held:
  ? twinned
      a token with this label lives that
      we did not derive: adopt it, or
      --replace the label
      (3f2c0000-aaaa-bbbb-cccc-000000009a1b)

11 kept

2 not touched:
  foreign  2, not named here

ATTENTION
  revokes 1 token for good: gone (id-9)
  widens scopes:
      production-bot (+withdrawal)
apply will refuse:
      a guard that says no to the whole
      plan
not checked: whether the exchange allows these scopes; apply checks it before it writes anything
1 to rotate, 1 to revoke, 1 held, 11 kept, 2 not touched
"""

NOTHING_TEXT = """\
plan for https://api.example, profile 42

5 kept: a, b, c, d, e

nothing to do, 5 kept
"""


def short_digest_line(made: Plan) -> str:
    """The last line of a plan."""
    return f"digest {made.digest()[:19]}…\n"


def test_what_a_twin_is_is_told_once() -> None:
    """The held row says it, and what to do; an old fleet has a twin for each label."""
    wanted = manifest(spec("bot"))
    text = plan_text(plan(wanted, observed(ledger({}), live("id-9", "bot")), now_ms=NOW_MS))
    assert "a token with this label lives that we did not derive" in text
    assert "  twin     bot  id-9\n" in text


def test_plan_text_is_whole() -> None:
    """Groups with headings, one line per change, what may hurt last, then counts and
    digest.
    """
    text = plan_text(EVERYTHING, guards=("too many revocations",), warnings=("unknown scope 'x'",))
    assert TEXT + short_digest_line(EVERYTHING) == text


def test_plan_text_goes_on_below_where_the_terminal_is_narrow() -> None:
    """Nothing is cut; many keeps are counted only; foreign tokens of a snapshot are
    counted only.
    """
    made = a_plan(
        WIDEN,
        REVOKE,
        DECIDE,
        *(change(f"k{n}", Action.KEEP, Reason.IN_SYNC) for n in range(FEW + 1)),
        foreign_unnamed=2,
        profile_id=None,
        selection=Selection(targets=frozenset({"gone"})),
    )
    assert NARROW_TEXT + short_digest_line(made) == plan_text(
        made, guards=("a guard that says no to the whole plan",), width=40
    )


def test_plan_text_with_nothing_to_do() -> None:
    """A plan without changes is short."""
    made = a_plan(*KEEPS)
    assert NOTHING_TEXT + short_digest_line(made) == plan_text(made, width=80)


def test_many_alarms_are_counted_after_the_first_few() -> None:
    """The rows above name all of them."""
    made = a_plan(*(dataclasses.replace(REVOKE, label=f"r{n:02}") for n in range(FEW + 2)))
    text = plan_text(made)
    assert "revokes 12 tokens for good: r00 (id-9), r01 (id-9)" in text
    assert "r09 (id-9) and 2 more\n" in text
    assert all(f"  - r{n:02}  id-9" in text for n in range(FEW + 2))


@pytest.mark.parametrize("width", [None, 100, 40])
def test_colour_adds_escapes_and_nothing_else(width: int | None) -> None:
    """Revocations and widened scopes are red; without colour there is no escape."""
    plain = plan_text(EVERYTHING, guards=("no",), warnings=("odd",), width=width)
    coloured = plan_text(EVERYTHING, guards=("no",), warnings=("odd",), width=width, colour=True)
    assert "\x1b" not in plain
    assert plain == ESCAPES.sub("", coloured)
    red = [ESCAPES.sub("", text) for text in coloured.split("\n") if "\x1b[31m" in text]
    assert [text.split()[1] for text in red if text.startswith(("  !", "  -"))] == [
        "production-bot",
        "gone",
        "drained",
    ]


@QUICK
@given(scenes(text_without_surrogates()), hostile(), st.sampled_from([None, 30, 80]), st.booleans())
def test_hostile_text_stays_harmless_in_a_terminal_and_a_log(
    scene: Scene,
    sentence: str,
    width: int | None,
    colour: bool,  # noqa: FBT001  # drawn by hypothesis
) -> None:
    """No escape but ours, no line end but ours, no command for a CI runner, and nothing
    that can't be encoded.
    """
    made = plan(scene.desired, scene.observed, now_ms=NOW_MS)
    text = ESCAPES.sub(
        "", plan_text(made, guards=(sentence,), warnings=(sentence,), width=width, colour=colour)
    )
    assert_harmless(text)


# --- what became of it ---


@pytest.mark.parametrize(
    ("made", "outcome", "expected"),
    [
        (
            WIDEN,
            applied("rotated", ID),
            "rotated production-bot (scopes widened: +withdrawal): new token 3f2c…9a1b",
        ),
        (
            COMPROMISED,
            applied("rotated", "id-20"),
            "rotated leaked (compromised: no overlap; scopes +withdrawal): new token id-20",
        ),
        (
            dataclasses.replace(COMPROMISED, after=side("x", None, "delegated_signing")),
            applied("rotated", "id-20"),
            "rotated leaked (compromised: no overlap; scopes +delegated_signing -trading; path leaked -> x): new token id-20",
        ),
        (
            DERIVE,
            applied("derived", "id-20"),
            "derived new-bot (no token yet; scopes +account_creation +trading; path prod/new): new token id-20",
        ),
        (
            DERIVE,
            applied("late", "id-20"),
            "derived new-bot (no token yet; scopes +account_creation +trading; path prod/new): new token id-20; late",
        ),
        (
            TAKEN,
            dataclasses.replace(applied("rotated", ID), revoked=("id-9",)),
            "rotated leaked (compromised: no overlap (from the reserve); scopes +withdrawal): new token 3f2c…9a1b; revoked id-9",
        ),
        (
            REVOKE,
            applied("revoked", "id-9"),
            "revoked gone (not in the manifest any more): token id-9",
        ),
        (REVOKE, applied("revoked"), "revoked gone (not in the manifest any more)"),
        (
            RECOVER,
            applied("undone: nothing was written"),
            "recovered stuck: undone: nothing was written",
        ),
        (UNPROTECT, applied("no longer protected"), "recorded old: no longer protected"),
        (
            FILES,
            applied("the manifest's files are remembered"),
            "recorded (manifest): the manifest's files are remembered",
        ),
        (RESTORE, applied("written again"), "restored lost: written again"),
        (RESTORE, applied("restored"), f"restored lost ({why(RESTORE)})"),
        (DUE, failed("the exchange said 403"), "failed: rotate aged: the exchange said 403"),
        (DUE, held("it changed: run again"), "held: rotate aged: it changed: run again"),
        (DUE, not_tried("stopped by a signal"), "not tried: rotate aged: stopped by a signal"),
    ],
)
def test_row_line(made: Change, outcome: Outcome, expected: str) -> None:
    """One plain line for each finished change."""
    assert expected == row_line(Row(change=made, outcome=outcome))


@QUICK
@given(
    hostile(), hostile(), st.sampled_from(list(Action)), st.sampled_from([applied, failed, held])
)
def test_row_line_is_one_harmless_line(label: str, text: str, action: Action, end: Any) -> None:
    """Whatever the label, the note, the id and the sentence hold."""
    made = change(
        label,
        action,
        Reason.DUE,
        note=text,
        before=side(text, text, text),
        after=side(text, None, text),
    )
    line = row_line(Row(change=made, outcome=end(text, text)))
    assert_harmless(line)
    assert "\n" not in line


def a_report(*outcomes: Outcome, holds: tuple[Change, ...] = ()) -> Report:
    """A report of changes that ended so."""
    return Report(
        run="r",
        started_at_ms=NOW_MS,
        ended_at_ms=NOW_MS,
        digest="",
        rows=tuple(Row(change=DUE, outcome=outcome) for outcome in outcomes),
        holds=holds,
        not_touched=(),
        exit_code=Exit.DONE,
        sentence="",
    )


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (a_report(), "applied 0, failed 0, held 0, not tried 0"),
        (
            a_report(
                applied(""),
                applied(""),
                applied(""),
                failed(""),
                failed(""),
                held(""),
                not_tried(""),
                holds=(WAITS, DECIDE),
            ),
            "applied 3, failed 2, held 3, not tried 1",
        ),
    ],
)
def test_report_last_line(report: Report, expected: str) -> None:
    """The contract's words; what waits by the plan is held as well."""
    assert expected == report_last_line(report)


# --- two plans ---


def widened(version: int) -> Change:
    """The same rotation, seen at another version of the secret."""
    before = side("bot", "id-1", "trading", version=version)
    after = side("bot", None, "trading", "withdrawal", version=version)
    return change(
        "bot", Action.ROTATE, Reason.SCOPES_WIDENED, before=before, after=after, note="+withdrawal"
    )


@pytest.mark.parametrize(
    ("approved", "now", "expected"),
    [
        (a_plan(DUE, WAITS, *KEEPS), a_plan(DUE, DECIDE), []),
        (
            a_plan(DUE, widened(1)),
            a_plan(REVOKE, widened(2), DUE),
            [
                "- rotate bot: scopes widened [bot, version 1, token id-1, +trading -> bot, version 1, +trading +withdrawal]",
                "+ revoke gone: not in the manifest any more [gone, version 1, token id-9, +trading]",
                "+ rotate bot: scopes widened [bot, version 2, token id-1, +trading -> bot, version 2, +trading +withdrawal]",
            ],
        ),
        (
            a_plan(UNPROTECT, selection=Selection(targets=frozenset({"a"}))),
            a_plan(FILES, profile_id=43),
            [
                "- exchange https://api.example, profile 42",
                "- limited to --target a",
                "- record old: NO LONGER protected [old, protected -> old, not protected]",
                "+ exchange https://api.example, profile 43",
                "+ limited to nothing",
                "+ record (manifest): remember the manifest's files",
            ],
        ),
        (
            None,
            a_plan(FILES),
            [
                "+ exchange https://api.example, profile 42",
                "+ ledger ledger-1",
                "+ limited to nothing",
                "+ made with no flags",
                "+ record (manifest): remember the manifest's files",
            ],
        ),
    ],
)
def test_stale_text_tells_what_only_one_of_the_plans_does(
    approved: Plan | None, now: Plan, expected: list[str]
) -> None:
    """Rows differ by all that an approval is bound to: ids, versions, scopes, paths;
    notes, holds and keeps don't count.
    """
    assert expected == stale_text(approved, now).splitlines()


def test_stale_text_has_an_end() -> None:
    """Two plans without anything in common are told as far as a person reads."""
    one = a_plan(*(dataclasses.replace(REVOKE, label=f"a{n}") for n in range(40)))
    other = a_plan(*(dataclasses.replace(REVOKE, label=f"b{n}") for n in range(40)))
    lines = stale_text(one, other).split("\n")
    assert len(lines) == STALE_LINES + 1
    assert lines[-1] == "and 30 more lines"


@QUICK
@given(scenes(text_without_surrogates()), scenes(text_without_surrogates()))
def test_stale_text_is_harmless_and_empty_only_for_equal_plans(one: Scene, other: Scene) -> None:
    """Two plans are told apart exactly where their digests are."""
    plans = [plan(scene.desired, scene.observed, now_ms=NOW_MS) for scene in (one, other)]
    text = stale_text(plans[0], plans[1])
    assert_harmless(text)
    assert (text == "") is (plans[0].digest() == plans[1].digest())


# --- Markdown ---

MARKDOWN = """\
### reconciler plan: 1 to recover, 2 to record, 1 to restore, 1 to derive, 3 to rotate, 2 to revoke, 2 held, 5 kept, 11 not touched

for `https://api.example, profile 42`

> [!WARNING]
> - **revokes 1 token for good**: `gone` (`id-9`)
> - **revokes 1 superseded token for good**: `drained` (`id-10`)
> - **widens scopes**: `production-bot` (`+withdrawal`)
> - **takes the protection away**: `old`
> - **moves the secret: consumers must read another path**: `moved` (`path a -> b`)

> [!CAUTION]
> - apply will refuse: `too many revocations`

> [!NOTE]
> - warning: `unknown scope 'x'`

| change | label | token | why |
|---|---|---|---|
| record | `old` |  | NO LONGER protected |
| rotate | `moved` | `id-5` | path changed: `a -> b` |
| **rotate** | `production-bot` | `3f2c…9a1b` | scopes widened: `+withdrawal` |
| **revoke** | `gone` | `id-9` | not in the manifest any more |
| **revoke** | `drained` | `id-10` | superseded, and nobody uses it any more |

| change | label | token | why |
|---|---|---|---|
| recover | `stuck` | `3f2c…9a1b` | an earlier run was interrupted: finish or undo it: `rotate of 2026-11-22T07:30:00.000Z` |
| record | `(manifest)` |  | remember the manifest's files: `+b.yaml -a.yaml` |
| restore | `lost` | `id-3` | the secret was overwritten or deleted: write it again: `from version 1` |
| derive | `new-bot` |  | no token yet<br>`scopes +account_creation +trading`<br>`path prod/new` |
| rotate | `aged` | `id-4` | due by its age: `since 2026-11-19T08:30:00.000Z` |

| held | label | token | why |
|---|---|---|---|
| **a person decides** | `twinned` |  | a token with this label lives that we did not derive: adopt it, or --replace the label: `3f2c0000-aaaa-bbbb-cccc-000000009a1b` |

| held | label | token | why |
|---|---|---|---|
| waits | `drain` | `id-11` | a consumer still uses the predecessor: `last used 2026-11-22T08:26:00.000Z` |

<details><summary>5 kept</summary>

- `a`
- `b`
- `c`
- `d`
- `e`

</details>

<details><summary>11 not touched</summary>

- twin `aged` `opaque/id+of=a-twin`: has a label of ours, but is not in the ledger: adopt it, or leave it be
- twin `twinned` `3f2c0000-aaaa-bbbb-cccc-000000009a1b`: probably ours, of an interrupted derive, and its secret is lost: revoke it at the exchange if nobody knows it, or `reconciler forget --token-id ID`
- foreign `(no label)` `id-none`
- foreign `other-0` `id-f0`
- foreign `other-1` `id-f1`
- foreign `other-2` `id-f2`
- foreign `other-3` `id-f3`
- 4 more foreign tokens, not named here

</details>

not checked: whether the exchange allows these scopes; apply checks it before it writes anything

"""


def test_plan_markdown_is_whole() -> None:
    """What may hurt first, a table of changes, one of holds, the rest folded, and the
    whole digest.
    """
    text = plan_markdown(
        EVERYTHING, guards=("too many revocations",), warnings=("unknown scope 'x'",)
    )
    assert f"{MARKDOWN}digest `{EVERYTHING.digest()}`\n" == text


def test_plan_markdown_with_nothing_to_do() -> None:
    """No empty tables, no empty warnings."""
    made = a_plan(selection=Selection(only=Category.CONFIG), profile_id=None, foreign_unnamed=1)
    assert plan_markdown(made) == (
        "### reconciler plan: nothing to do, 1 not touched\n\n"
        "for `https://api.example`, limited to `--only config`\n\n"
        "<details><summary>1 not touched</summary>\n\n- 1 foreign token, not named here\n\n</details>\n\n"
        f"digest `{made.digest()}`\n"
    )


def test_a_comment_can_lose_rows_without_losing_its_frame() -> None:
    """Each block is whole lines, so that a size limit may leave rows out: head and tail
    stay, and rows are one line each.
    """
    blocks = plan_blocks(EVERYTHING)
    assert "\n\n".join(block.text() for block in blocks) + "\n" == plan_markdown(EVERYTHING)
    for block in blocks:
        assert all("\n" not in row for row in block.rows)
        cut = dataclasses.replace(block, rows=()).text()
        assert cut.count("<details>") == cut.count("</details>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bot", "`bot`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("``a`", "``` ``a` ```"),
        ("", "`  `"),
        (" x", "`  x `"),
        ("a|b\\|c", "`a\\x7cb\\\\x7cc`"),
        ("<!-- x -->", "`<\\x21-- x --\\x3e`"),
        ("<b>@user #1</b>", "`<b>@user #1</b>`"),
        ("a\nb", "`a\\x0ab`"),
    ],
)
def test_code_is_a_span_that_nothing_leaves(text: str, expected: str) -> None:
    """The fence is longer than any run of backticks within; a pipe and a comment's
    marks are escaped visibly.
    """
    assert expected == code(text)


PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
OURS = re.compile(r"<details><summary>[0-9]+ (kept|not touched)</summary>\n|</details>\n?|<br>")


def inline(tokens: list[Token]) -> list[Token]:
    """All inline tokens of a document."""
    return [child for token in tokens for child in token.children or ()]


def shown(text: str) -> str:
    """Text as it must come out of a code span."""
    for mark, escape in (("|", "\\x7c"), ("<!--", "<\\x21--"), ("-->", "--\\x3e")):
        text = text.replace(mark, escape)
    return text


@QUICK
@given(scenes(text_without_surrogates()), hostile())
def test_hostile_text_is_nothing_but_code_in_markdown(scene: Scene, sentence: str) -> None:
    """Parsed: the only HTML is ours, there is no link and no image, each row has four
    cells, labels are whole code spans.
    """
    made = plan(scene.desired, scene.observed, now_ms=NOW_MS)
    text = plan_markdown(made, guards=(sentence,), warnings=(sentence,))
    assert_harmless(text)
    assert "<!--" not in text
    tokens = PARSER.parse(text)
    assert {token.type for token in tokens} <= {
        *(
            "heading_open",
            "heading_close",
            "inline",
            "paragraph_open",
            "paragraph_close",
            "html_block",
        ),
        *(
            "blockquote_open",
            "blockquote_close",
            "bullet_list_open",
            "bullet_list_close",
            "list_item_open",
            "list_item_close",
        ),
        *("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close"),
        *("tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close"),
    }
    assert all(OURS.fullmatch(token.content) for token in tokens if token.type == "html_block")
    parts = inline(tokens)
    assert {part.type for part in parts} <= {
        "text",
        "code_inline",
        "strong_open",
        "strong_close",
        "html_inline",
        "softbreak",
    }
    assert all(OURS.fullmatch(part.content) for part in parts if part.type == "html_inline")
    acting = [c for c in made.changes if c.action is not Action.KEEP]
    cells_seen = sum(token.type == "td_open" for token in tokens)
    assert cells_seen == 4 * len(acting)
    spans = {part.content for part in parts if part.type == "code_inline"}
    for each in made.changes:
        assert shown(safe(each.label)) in spans or shown(safe(each.label)).strip(" ") in {
            span.strip(" ") for span in spans
        }
    words = "".join(part.content for part in parts if part.type == "text")
    assert "@" not in words
    assert "http" not in words


# --- the same bytes, whatever loads ---

PROGRAM = """
import dataclasses
from tests.unit.test_render import EVERYTHING, Selection, plan_text, plan_markdown, stale_text
from reconciler.documents import dump, plan_document
made = dataclasses.replace(EVERYTHING, selection=Selection(targets=frozenset("abcdef"), excluded=frozenset("uvwxyz")))
print(plan_text(made, width=70), plan_markdown(made), dump(plan_document(made)), stale_text(None, made))
"""

LEAN = """
import sys
import reconciler.documents, reconciler.plan, reconciler.render
heavy = {"httpx", "hvac", "requests", "jsonschema", "rich", "yaml"} & sys.modules.keys()
assert not heavy, heavy
"""


def run(program: str, seed: str = "0") -> bytes:
    """A program in a fresh interpreter."""
    environ = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, env=environ, cwd=ROOT
    ).stdout


def test_the_same_plan_gives_the_same_bytes() -> None:
    """Two processes with other hash seeds print the same."""
    assert run(PROGRAM, "1") == run(PROGRAM, "2")


def test_rendering_loads_no_adapter() -> None:
    """A plan from a snapshot is rendered without the HTTP libraries, which cost more
    time than all the rest.
    """
    run(LEAN)
