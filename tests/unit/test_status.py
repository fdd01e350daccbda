"""Claims about the state of each label, and about the table that shows it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    LiveToken,
    Manifest,
    SecretMeta,
    VersionState,
)
from reconciler.plan.change import NotTouched, Selection
from reconciler.plan.guards import Policy
from reconciler.plan.needs import PROBABLY_OURS, Need, NeedKind
from reconciler.plan.recent import Past
from reconciler.plan.states import STATES, State
from reconciler.plan.status import (
    Lease,
    OpenIntent,
    Predecessor,
    Status,
    TokenStatus,
    status_of,
)
from reconciler.plan.vocabulary import Action, Reason
from reconciler.render.status import span, status_text, when
from reconciler.render.words import cells
from reconciler.state.ledger import Abandoned, IntentKind, Ledger, Revoking
from reconciler.state.snapshot import Content, Kind, Observed
from reconciler.state.times import spread_ms
from tests.support.hostile import assert_harmless, text_without_surrogates
from tests.support.showcase import a_fleet as a_large_fleet
from tests.support.values import (
    API_URL,
    NOW_MS,
    PLACE,
    entry,
    intent,
    ledger,
    live,
    living,
    lost,
    manifest,
    observed,
    retiring,
    spec,
)
from tests.support.values import holder as lease_holder
from tests.support.worlds import Scene, scenes

QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

MOVED = SecretMeta(latest=2, state=VersionState.LIVING)
GONE = SecretMeta(latest=1, state=VersionState.DELETED)


DUE_MS = 30 * DAY_MS - spread_ms("bot", 30 * DAY_MS)
"""The age at which the label ``bot`` is due."""


def well(*, age_ms: int = DAY_MS, used_ago_ms: int | None = None) -> tuple[Ledger, LiveToken]:
    """A label ``bot`` whose token lives and whose secret is in place."""
    return ledger({"bot": entry("id-1", "bot", age_ms=age_ms)}), live(
        "id-1", "bot", age_ms=age_ms, unused_for_ms=used_ago_ms
    )


def gone_for_a_day(
    *, overlap_ms: int = HOUR_MS, used_ago_ms: int | None = None
) -> tuple[Ledger, LiveToken]:
    """A label ``bot`` that left the manifest a day ago, as a run has recorded."""
    memory, token = well(age_ms=3 * DAY_MS, used_ago_ms=used_ago_ms)
    known = memory.tokens["bot"]
    assert known.current is not None
    left = dataclasses.replace(
        known,
        current=dataclasses.replace(known.current, left_ms=NOW_MS - DAY_MS),
        overlap_ms=overlap_ms,
    )
    return dataclasses.replace(memory, tokens={"bot": left}), token


def draining(*, overlap_ms: int = DAY_MS, used_ago_ms: int | None = None) -> Observed:
    """A label with a predecessor that was superseded two days ago."""
    old = retiring("id-0", "bot", overlap_ms=overlap_ms)
    memory = ledger({"bot": dataclasses.replace(entry("id-1", "bot"), retiring=(old,))})
    return observed(
        memory,
        live("id-1", "bot"),
        live("id-0", "bot", age_ms=40 * DAY_MS, unused_for_ms=used_ago_ms),
    )


def interrupted(*, lease: bool) -> Observed:
    """A label with an open intent, and the run that opened it alive or over."""
    memory = ledger(
        {
            "bot": dataclasses.replace(
                entry("id-1", "bot"),
                intent=intent("bot", kind=IntentKind.ROTATE),
            )
        },
        holder=lease_holder() if lease else None,
    )
    return observed(memory, live("id-1", "bot"))


def protected() -> Observed:
    """A protected label."""
    memory, token = well()
    return observed(ledger({"bot": dataclasses.replace(memory.tokens["bot"], protect=True)}), token)


BOT, NOBODY = manifest(spec("bot")), manifest()


@pytest.mark.parametrize(
    ("state", "reason", "desired", "seen"),
    [
        pytest.param(State.OK, Reason.IN_SYNC, BOT, observed(*well()), id="well"),
        pytest.param(State.DRAINING, Reason.SUPERSEDED, BOT, draining(), id="predecessor unused"),
        pytest.param(
            State.DRAINING, Reason.OVERLAP, BOT, draining(overlap_ms=3 * DAY_MS), id="overlap"
        ),
        pytest.param(
            State.DRAINING, Reason.STILL_USED, BOT, draining(used_ago_ms=HOUR_MS), id="still used"
        ),
        pytest.param(State.DUE, Reason.DUE, BOT, observed(*well(age_ms=DUE_MS)), id="due"),
        pytest.param(
            State.DUE, Reason.DUE, BOT, observed(*well(age_ms=DUE_MS + DAY_MS)), id="due for a day"
        ),
        pytest.param(
            State.OVERDUE,
            Reason.DUE,
            BOT,
            observed(*well(age_ms=DUE_MS + 2 * DAY_MS)),
            id="due for two days",
        ),
        pytest.param(
            State.DRIFTED,
            Reason.SCOPES_WIDENED,
            manifest(spec("bot", scopes=("trading", "withdrawal"))),
            observed(*well()),
        ),
        pytest.param(
            State.DRIFTED,
            Reason.SCOPES_CHANGED,
            manifest(spec("bot", scopes=("withdrawal",))),
            observed(*well()),
        ),
        pytest.param(
            State.DRIFTED, Reason.PATH_CHANGED, manifest(spec("bot", path="x")), observed(*well())
        ),
        pytest.param(
            State.DRIFTED, Reason.PROTECT_ON, manifest(spec("bot", protect=True)), observed(*well())
        ),
        pytest.param(
            State.DRIFTED,
            Reason.VERSION_MOVED,
            BOT,
            observed(*well(), secrets={"bot": MOVED}, contents={"bot": Content(token_id="id-1")}),
        ),
        pytest.param(
            State.BROKEN,
            Reason.SECRET_LOST,
            BOT,
            observed(*well(), secrets={"bot": GONE}),
            id="secret lost",
        ),
        pytest.param(
            State.BROKEN,
            Reason.SECRET_MOVED,
            BOT,
            observed(*well(), secrets={"bot": MOVED}, contents={"bot": Content(holder_version=1)}),
        ),
        pytest.param(State.BROKEN, Reason.REVOKED_ELSEWHERE, BOT, observed(well()[0]), id="gone"),
        pytest.param(State.ABSENT, Reason.ABSENT, BOT, observed(ledger()), id="absent"),
        pytest.param(
            State.INTERRUPTED, Reason.INTENT_OPEN, BOT, interrupted(lease=False), id="interrupted"
        ),
        pytest.param(
            State.IN_PROGRESS, Reason.IN_PROGRESS, BOT, interrupted(lease=True), id="in progress"
        ),
        pytest.param(
            State.WAITING, Reason.TWIN, BOT, observed(ledger(), live("id-5", "bot")), id="twin"
        ),
        pytest.param(
            State.WAITING,
            Reason.OCCUPIED,
            BOT,
            observed(ledger(), secrets={"bot": living()}),
            id="occupied",
        ),
        pytest.param(
            State.HELD,
            Reason.UNREAD,
            BOT,
            observed(*well(), secrets={"bot": MOVED}, contents={"bot": Content(readable=False)}),
        ),
        pytest.param(State.HELD, Reason.PROTECTED, NOBODY, protected(), id="protected"),
        pytest.param(
            State.HELD,
            Reason.IN_USE,
            NOBODY,
            observed(*gone_for_a_day(used_ago_ms=MINUTE_MS)),
            id="left, and in use",
        ),
        pytest.param(
            State.NOT_DESIRED,
            Reason.LEFT,
            NOBODY,
            observed(*gone_for_a_day()),
            id="left, and unused",
        ),
        pytest.param(
            State.NOT_DESIRED,
            Reason.LEAVING,
            NOBODY,
            observed(*gone_for_a_day(overlap_ms=2 * DAY_MS)),
            id="left, within its overlap",
        ),
        pytest.param(
            State.DRIFTED, Reason.RETURNED, BOT, observed(*gone_for_a_day()), id="it had left"
        ),
        pytest.param(
            State.HELD, Reason.SIGNS, NOBODY, observed(*well(), signer_id="id-1"), id="signs"
        ),
        pytest.param(
            State.HELD,
            Reason.FILE_MISSING,
            manifest(files=("other.yaml",)),
            observed(*well()),
            id="file missing",
        ),
        pytest.param(
            State.NOT_DESIRED, Reason.NOT_DESIRED, NOBODY, observed(*well()), id="not desired"
        ),
        pytest.param(
            State.NOT_DESIRED,
            Reason.NOT_DESIRED,
            NOBODY,
            observed(
                ledger(
                    {
                        "bot": dataclasses.replace(
                            entry("id-1", "bot"), current=None, retiring=(retiring("id-0", "bot"),)
                        )
                    }
                ),
                live("id-0", "bot"),
            ),
            id="only a predecessor is left",
        ),
    ],
)
def test_state_of_a_label(state: State, reason: Reason, desired: Manifest, seen: Observed) -> None:
    """The planner's row, in one word."""
    (token,) = status_of(desired, seen).tokens
    assert (state, reason) == (token.state, token.reason)


def test_a_due_rotation_without_budget_is_due_all_the_same() -> None:
    """Whether this run would rotate it does not change how it stands."""
    (token,) = status_of(
        BOT, observed(*well(age_ms=DUE_MS + DAY_MS)), policy=Policy(max_rotations=0)
    ).tokens
    assert (token.state, token.reason) == (State.DUE, Reason.BUDGET)


def test_a_selection_hides_nothing() -> None:
    """The whole fleet is told, whatever --target says."""
    narrow = Policy(selection=Selection(targets=frozenset({"other"})))
    assert status_of(BOT, observed(*well()), policy=narrow) == status_of(BOT, observed(*well()))


def test_every_reason_has_a_state_and_every_state_a_reason() -> None:
    """A reason that is added to the planner has to be placed here."""
    assert set(Reason) == STATES.keys()
    assert set(State) == {*STATES.values(), State.OVERDUE}


def test_all_that_is_known_of_a_label() -> None:
    """One label with everything: age, due, use, predecessor with what holds it, open
    revocation.
    """
    old = retiring("id-0", "bot", superseded_age_ms=HOUR_MS)
    memory = ledger(
        {
            "bot": dataclasses.replace(
                entry("id-1", "bot", path="prod/bot"),
                protect=True,
                retiring=(old,),
                revoking=(Revoking(token_id="id-z", live_label="bot", reason="rotated"),),
                intent=intent("prod/bot", kind=IntentKind.ROTATE, token_id="id-2", age_ms=HOUR_MS),
            )
        },
        holder=lease_holder(),
    )
    seen = observed(
        memory,
        live("id-1", "bot", unused_for_ms=HOUR_MS),
        live("id-0", "bot", age_ms=40 * DAY_MS, unused_for_ms=MINUTE_MS),
        signer_id="id-1",
        foreign_unnamed=3,
    )
    found = status_of(
        manifest(
            spec(
                "bot",
                scopes=("trading", "withdrawal"),
                path="prod/bot",
                rotate_after_ms=90 * DAY_MS,
            ),
            manager="bot",
        ),
        seen,
    )
    assert found == Status(
        as_of_ms=NOW_MS,
        api_url=API_URL,
        place=PLACE,
        ledger_id="ledger-1",
        ledger_version=7,
        profile_id=42,
        tokens=(
            TokenStatus(
                label="bot",
                state=State.IN_PROGRESS,
                reason=Reason.IN_PROGRESS,
                note="run run-9 on build-7:123",
                desired=True,
                manager=True,
                protect=True,
                path="prod/bot",
                token_id="id-1",
                live=True,
                scopes=("trading",),
                wanted_scopes=("trading", "withdrawal"),
                created_at_ms=NOW_MS - DAY_MS,
                age_ms=DAY_MS,
                rotate_after_ms=90 * DAY_MS,
                due_at_ms=NOW_MS + 89 * DAY_MS - spread_ms("bot", 90 * DAY_MS),
                unattended_until_ms=NOW_MS + 89 * DAY_MS - spread_ms("bot", 90 * DAY_MS),
                last_used_at_ms=NOW_MS - HOUR_MS,
                verified_at_ms=NOW_MS - DAY_MS,
                used_since_verify=True,
                version=1,
                latest_version=1,
                in_place=True,
                predecessors=(
                    Predecessor(
                        token_id="id-0",
                        live=True,
                        scopes=("trading",),
                        created_at_ms=NOW_MS - 40 * DAY_MS,
                        superseded_at_ms=NOW_MS - HOUR_MS,
                        not_before_ms=NOW_MS + 23 * HOUR_MS,
                        last_used_at_ms=NOW_MS - MINUTE_MS,
                        action=Action.HOLD,
                        reason=Reason.IN_PROGRESS,
                        note="run run-9 on build-7:123",
                    ),
                ),
                revoking=("id-z",),
                intent=OpenIntent(
                    kind=IntentKind.ROTATE, since_ms=NOW_MS - HOUR_MS, run="run-1", token_id="id-2"
                ),
            ),
        ),
        needs=(),
        twins=(),
        foreign=3,
        doubt_ms=0,
        lease=Lease(run="run-9", who="build-7:123", expires_at_ms=NOW_MS + MINUTE_MS),
        abandoned=(),
        recent=(
            Past(
                at_ms=NOW_MS - HOUR_MS,
                label="bot",
                what="superseded",
                token_id="id-0",
                why="rotated",
            ),
            Past(at_ms=NOW_MS - DAY_MS, label="bot", what="in use", token_id="id-1"),
        ),
    )
    assert found.tokens[0].scopes_differ


@pytest.mark.parametrize(
    ("used_since_verify", "used_ago_ms", "signer_id"),
    [(False, None, None), (False, DAY_MS, None), (True, DAY_MS - 1, None), (True, None, "id-1")],
)
def test_who_has_used_the_current_token(
    used_since_verify: bool,  # noqa: FBT001  # a column of a table
    used_ago_ms: int | None,
    signer_id: str | None,
) -> None:
    """Uses up to our own verify prove nothing; the manager is used by us alone, so our
    signing with it is the proof.
    """
    memory, _ = well()
    seen = observed(memory, live("id-1", "bot", unused_for_ms=used_ago_ms), signer_id=signer_id)
    (token,) = status_of(manifest(spec("bot"), manager="bot"), seen).tokens
    assert used_since_verify is token.used_since_verify


def test_the_age_counts_from_when_the_token_came_into_use() -> None:
    """A token that was taken from the reserve a day ago is a day old, however long it
    was kept ready before.
    """
    memory, token = well(age_ms=32 * DAY_MS)
    known = memory.tokens["bot"]
    assert known.current is not None
    taken = dataclasses.replace(known.current, in_use_since_ms=NOW_MS - DAY_MS)
    memory = dataclasses.replace(memory, tokens={"bot": dataclasses.replace(known, current=taken)})
    (found,) = status_of(BOT, observed(memory, token)).tokens
    assert (found.age_ms, found.created_at_ms) == (DAY_MS, NOW_MS - 32 * DAY_MS)
    assert found.due_at_ms == NOW_MS - DAY_MS + DUE_MS


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [
        (DAY_MS, "no rotation by age needs a person until 2026-"),
        (DUE_MS + HOUR_MS, "a rotation needs a person now: bot has no successor ready"),
    ],
)
def test_until_when_no_person_is_needed_is_a_plain_sentence(age_ms: int, said: str) -> None:
    """A day that is over is told as now."""
    wanted = manifest(dataclasses.replace(spec("bot"), reserve=1))
    text = status_text(status_of(wanted, observed(*well(age_ms=age_ms))))
    assert said in text
    assert "bot has no successor ready" in text
    narrow = status_text(status_of(wanted, observed(*well(age_ms=age_ms))), width=60).splitlines()
    (below,) = (line for line in narrow if "bot has no successor ready" in line)
    assert max(len(line) for line in narrow[narrow.index(below) - 1 :]) <= 60


def test_what_needs_a_person() -> None:
    """Decisions, then needs of an identity token, then tokens probably ours."""
    memory = ledger(
        {"old": entry("id-1", "old", age_ms=28 * DAY_MS), "rolled": entry("id-2", "rolled")},
        abandoned=(lost("twinned"),),
    )
    rolled = dataclasses.replace(memory.tokens["rolled"], retiring=(retiring("id-3", "rolled"),))
    memory = dataclasses.replace(memory, tokens={**memory.tokens, "rolled": rolled})
    seen = observed(
        memory,
        live("id-1", "old", age_ms=28 * DAY_MS),
        live("id-2", "rolled"),
        live("id-3", "rolled"),
        live("id-9", "twinned", age_ms=2 * DAY_MS),
        live("id-8", "elsewhere"),
        secrets={"old": living(), "rolled": MOVED},
        contents={"rolled": Content(token_id="id-3", holder_version=1)},
    )
    found = status_of(manifest(spec("old"), spec("new"), spec("twinned"), spec("rolled")), seen)
    assert found.needs == (
        Need(
            kind=NeedKind.DECISION,
            labels=("rolled",),
            sentence="the secret holds a predecessor: `reconciler rollback` makes that official (id-3)",
        ),
        Need(
            kind=NeedKind.DECISION,
            labels=("twinned",),
            sentence=(
                "a token with this label lives that we did not derive: adopt it, or --replace the "
                "label (id-9)"
            ),
        ),
        Need(
            kind=NeedKind.IDENTITY,
            labels=("new", "old"),
            sentence="to derive, an apply needs an identity token",
        ),
        Need(kind=NeedKind.TWIN, labels=("twinned",), sentence=PROBABLY_OURS, token_ids=("id-9",)),
    )
    assert found.twins == (
        NotTouched(token_id="id-9", label="twinned", kind=Kind.TWIN, probably_ours=True),
    )
    assert found.foreign == 1
    assert found.abandoned == (
        Abandoned(
            label="twinned",
            since_ms=NOW_MS - 2 * DAY_MS,
            closed_at_ms=NOW_MS - 2 * DAY_MS + HOUR_MS,
        ),
    )
    assert list(found.counts().items()) == [(State.DUE, 1), (State.ABSENT, 1), (State.WAITING, 2)]


# --- the table ---


@pytest.mark.parametrize(
    ("length_ms", "expected"),
    [
        (0, "0s"),
        (59 * SECOND_MS, "59s"),
        (MINUTE_MS, "1m"),
        (HOUR_MS - 1, "59m"),
        (HOUR_MS, "1h"),
        (41 * DAY_MS, "41d"),
    ],
)
def test_a_length_is_told_in_its_largest_whole_unit(length_ms: int, expected: str) -> None:
    """Rounded down: nothing looks older than it is."""
    assert expected == span(length_ms)


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (None, "-"),
        (NOW_MS, "0s ago"),
        (NOW_MS - 7 * DAY_MS, "7d ago"),
        (NOW_MS + 45 * DAY_MS, "in 45d"),
    ],
)
def test_an_instant_is_told_as_seen_from_now(at_ms: int | None, expected: str) -> None:
    """Before or after now."""
    assert expected == when(at_ms, NOW_MS)


@pytest.mark.parametrize("ahead_ms", [0, 1, SECOND_MS - 1, SECOND_MS, 5 * SECOND_MS])
def test_a_use_is_never_in_the_future(ahead_ms: int) -> None:
    """A use in the same second, or a little ahead of the clock, is one of now."""
    old = retiring("id-0", "bot")
    memory = ledger({"bot": dataclasses.replace(entry("id-1", "bot"), retiring=(old,))})
    seen = observed(
        memory,
        live("id-1", "bot", unused_for_ms=-ahead_ms),
        live("id-0", "bot", unused_for_ms=-ahead_ms),
    )
    lines = status_text(status_of(BOT, seen)).splitlines()
    assert re.split(r" {2,}", lines[3])[4] == "0s ago"
    assert lines[4].startswith("  old id-0  superseded 2d ago, last used 0s ago")


def a_fleet() -> Status:
    """A fleet with most states."""
    tokens = {
        "a-label-that-goes-on-for-longer-than-most-do": entry(
            "id-1", "a-label-that-goes-on-for-longer-than-most-do"
        ),
        "drain": dataclasses.replace(
            entry("3f2c9a1b-0000", "drain"), retiring=(retiring("id-0", "drain"),)
        ),
        "lost": entry("id-3", "lost", version=4),
        "old": dataclasses.replace(entry("id-4", "old", age_ms=33 * DAY_MS), protect=True),
        "stuck": dataclasses.replace(
            entry("id-5", "stuck"),
            intent=intent("stuck", kind=IntentKind.ROTATE, token_id="id-6", age_ms=HOUR_MS),
            revoking=(Revoking(token_id="id-7", live_label="stuck", reason="rotated"),),
        ),
    }
    seen = observed(
        ledger(tokens, holder=lease_holder(expires_in_ms=-1), abandoned=(lost("twinned"),)),
        live(
            "id-1",
            "a-label-that-goes-on-for-longer-than-most-do",
            age_ms=DAY_MS,
            unused_for_ms=DAY_MS,
        ),
        live("3f2c9a1b-0000", "drain", unused_for_ms=5 * MINUTE_MS),
        live("id-0", "drain", age_ms=40 * DAY_MS, unused_for_ms=4 * MINUTE_MS),
        live("id-3", "lost"),
        live("id-4", "old", age_ms=33 * DAY_MS, unused_for_ms=HOUR_MS),
        live("id-5", "stuck"),
        live("id-8", "twinned", age_ms=30 * DAY_MS),
        live("id-9", "old"),
        secrets={"lost": living()},
        foreign_unnamed=2,
    )
    specs = [spec(label) for label in tokens if label != "lost"]
    return status_of(manifest(*specs, spec("lost", rotate_after_ms=None), spec("twinned")), seen)


WIDE = """\
https://api.example, profile 42, secret/p, ledger version 7

LABEL                             STATE                 AGE/MAX   DUE     LAST USED   SECRET     PROTECTED  TOKEN
a-label-that-goe…er-than-most-do  ok                    1d/30d    in 26d  only by us  v1         -          id-1
drain                             draining              1d/30d    in 28d  5m ago      v1         -          3f2c…0000
  old id-0  superseded 2d ago, last used 4m ago; hold: a consumer still uses the predecessor
lost                              broken                1d/never  -       -           v4, is v1  -          id-3
  why  the secret is lost
old                               overdue               33d/30d   5d ago  1h ago      v1         yes        id-4
  why  due by its age: since 2026-11-16T23:13:48.030Z
stuck                             interrupted           1d/30d    in 27d  -           v1         -          id-5
  why  an earlier run was interrupted: finish or undo it (rotate of 2026-11-22T07:30:00.000Z)
  rotate begun 1h ago by run run-1, token id-6
  revoking id-7
twinned                           waiting for a person  -         -       -           -          -          -

abandoned twinned  a derive begun 2d ago was given up 1d ago: if a token of it shows up, revoke it or `reconciler forget --token-id ID`
twin old id-9  has a label of ours, but is not in the ledger: adopt it, or leave it be
2 foreign tokens, not touched
NEEDS A PERSON
  twinned  a token with this label lives that we did not derive: adopt it, or --replace the label (id-8)
  lost, old  to derive, an apply needs an identity token
6 labels: 1 ok, 1 draining, 1 overdue, 1 broken, 1 interrupted, 1 waiting for a person
"""

NARROW = """\
https://api.example, profile 42, secret/p, ledger version 7

LABEL             STATE                 DUE
a-label-…most-do  ok                    in 26d
drain             draining              in 28d
  old id-0
      superseded 2d ago, last used 4m ago; hold: a
      consumer still uses the predecessor
lost              broken                -
  why  the secret is lost
old               overdue               5d ago
  why
      due by its age: since
      2026-11-16T23:13:48.030Z
stuck             interrupted           in 27d
  why
      an earlier run was interrupted: finish or
      undo it (rotate of 2026-11-22T07:30:00.000Z)
  rotate begun 1h ago by run run-1, token id-6
  revoking id-7
twinned           waiting for a person  -
not shown for lack of room:
      AGE/MAX, LAST USED, SECRET, PROTECTED, TOKEN

abandoned twinned
      a derive begun 2d ago was given up 1d ago:
      if a token of it shows up, revoke it or
      `reconciler forget --token-id ID`
twin old id-9
      has a label of ours, but is not in the
      ledger: adopt it, or leave it be
2 foreign tokens, not touched
NEEDS A PERSON
  twinned
      a token with this label lives that we did
      not derive: adopt it, or --replace the label
      (id-8)
  lost, old
      to derive, an apply needs an identity token
6 labels: 1 ok, 1 draining, 1 overdue, 1 broken, 1 interrupted, 1 waiting for a person
"""


@pytest.mark.parametrize(("width", "expected"), [(None, WIDE), (140, WIDE), (50, NARROW)])
def test_the_table_is_whole_where_there_is_room_and_loses_columns_where_there_is_none(
    width: int | None, expected: str
) -> None:
    """Below a label stands what is wrong with it; what needs a person stands last."""
    assert expected == status_text(a_fleet(), width=width)


def test_many_labels_are_grouped_by_what_they_need() -> None:
    """The most urgent first; those that are well take one line, unless they are asked
    for one by one.
    """
    lines = status_text(a_large_fleet(60), width=100).splitlines()
    titles = [text for text in lines if re.fullmatch(r"[a-z, ]+: \d+(  .*)?", text)]
    summed = titles.pop()
    assert titles == [
        "for a person to decide: 1",
        "broken or overdue: 2",
        "for the next apply: 1",
        "under way, or waiting: 6",
    ]
    found = re.fullmatch(r"well: 50  the next is due in \d+d \((\S+)\); --wide shows each", summed)
    assert found is not None
    assert found[1] not in {text.split("  ")[0] for text in lines}
    everything = status_text(a_large_fleet(60), width=100, wide=True).splitlines()
    assert "well: 50" in everything
    told = {text.split("  ")[0] for text in everything}
    assert {token.label for token in a_large_fleet(60).tokens} <= told


def test_a_wide_table_has_scopes_and_path_and_loses_nothing() -> None:
    """Whatever the width; a powerful scope has a mark, and the mark its words."""
    lines = status_text(a_large_fleet(8), width=60, wide=True).splitlines()
    assert lines[2].split()[-4:] == ["TOKEN", "SCOPES", "OWNER", "PATH"]
    assert any(
        re.search(
            r"account_creation delegated_signing! trading  trading desk  prod/production-bot$", text
        )
        for text in lines
    )
    assert "! moves funds, or signs for others" in lines
    assert not any("lack of room" in text for text in lines)


@pytest.mark.parametrize(
    ("predecessor", "expected"),
    [
        (
            draining(),
            (
                "  old id-0  superseded 2d ago, never used; revoke: superseded, and nobody uses it "
                "any more"
            ),
        ),
        (
            draining(overlap_ms=3 * DAY_MS),
            (
                "  old id-0  superseded 2d ago, never used, overlap ends in 1d; hold: the "
                "predecessor lives on through its overlap"
            ),
        ),
        (
            observed(draining().ledger, live("id-1", "bot")),
            (
                "  old id-0  superseded 2d ago, gone from the exchange; revoke: superseded, and "
                "nobody uses it any more"
            ),
        ),
    ],
)
def test_a_predecessor_is_told_with_what_holds_it(predecessor: Observed, expected: str) -> None:
    """Since when, how much it is used, and what the next apply does about it."""
    assert expected in status_text(status_of(BOT, predecessor)).splitlines()


def test_each_predecessor_has_its_own_verdict() -> None:
    """One may be held by a consumer while another goes."""
    old = (retiring("id-a", "bot"), retiring("id-b", "bot"))
    memory = ledger({"bot": dataclasses.replace(entry("id-1", "bot"), retiring=old)})
    seen = observed(
        memory,
        live("id-1", "bot"),
        live("id-a", "bot"),
        live("id-b", "bot", unused_for_ms=MINUTE_MS),
    )
    (token,) = status_of(BOT, seen).tokens
    assert [(p.token_id, p.action, p.reason) for p in token.predecessors] == [
        ("id-a", Action.REVOKE, Reason.SUPERSEDED),
        ("id-b", Action.HOLD, Reason.STILL_USED),
    ]


@pytest.mark.parametrize("taken", [False, True], ids=["moves over", "its new name is taken"])
def test_the_predecessor_of_a_label_that_is_renamed(*, taken: bool) -> None:
    """It is told with the row of the new name: its own label has no row meanwhile."""
    seen = draining()
    if taken:
        known = dataclasses.replace(entry("id-2", "desk"), path="desk")
        memory = dataclasses.replace(seen.ledger, tokens={**seen.ledger.tokens, "desk": known})
        seen = dataclasses.replace(seen, ledger=memory, live=(*seen.live, live("id-2", "desk")))
    wanted = manifest(dataclasses.replace(spec("desk"), was="bot"))
    (former,) = (t for t in status_of(wanted, seen).tokens if t.label == "bot")
    (old,) = former.predecessors
    assert old.live
    assert old.reason is (Reason.NAME_TAKEN if taken else Reason.NAME_CHANGED)


def test_a_run_at_work_is_told() -> None:
    """Whose lease it is, and how long it lasts unless it is renewed."""
    lines = status_text(status_of(BOT, interrupted(lease=True))).splitlines()
    assert "run run-9 on build-7:123 is at work; its lease ends in 1m" in lines


@QUICK
@given(scenes(text_without_surrogates()), st.integers(min_value=31, max_value=140))
def test_no_row_of_the_table_is_wider_than_the_terminal(scene: Scene, width: int) -> None:
    """Columns are dropped and labels cut until the rows fit; label and state stay."""
    found = status_of(scene.desired, scene.observed)
    lines = status_text(found, width=width).splitlines()
    if not found.tokens:
        return
    head = next(i for i, text in enumerate(lines) if text.startswith("LABEL"))
    rows = [text for text in lines[head : lines.index("", head)] if not text.startswith("  ")]
    assert all(cells(text) <= width for text in rows)
    assert len(rows) >= 1
    assert lines[head].split()[:2] == ["LABEL", "STATE"]


@QUICK
@given(scenes(text_without_surrogates()), st.integers(min_value=31, max_value=140))
def test_the_table_shows_hostile_labels_as_harmless_text(scene: Scene, width: int) -> None:
    """No control character, and no line that a CI runner takes for a command."""
    assert_harmless(status_text(status_of(scene.desired, scene.observed), width=width))


def test_colour_adds_escapes_and_nothing_else() -> None:
    """Without them, the coloured text is the plain one."""
    plain = status_text(a_fleet(), width=80)
    coloured = status_text(a_fleet(), width=80, colour=True)
    assert "\x1b" not in plain
    assert plain == re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert coloured != plain


def test_an_empty_fleet_is_told_in_one_line() -> None:
    """No table without labels."""
    assert (
        status_text(status_of(NOBODY, observed(ledger())))
        == "https://api.example, profile 42, secret/p, ledger version 7\n\n0 labels\n"
    )
