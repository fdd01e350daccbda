"""The planner: each row of its truth table over whole values, the selections, the
digest, and laws over arbitrary worlds.

Rules this module keeps:

1. A table row says first what is to come out, then the world that it comes from.
2. A fleet of a table has the label ``bot`` and the manager; the manager is in sync, so
   that its row is always the last one.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    USE_MARGIN_MS,
    LiveToken,
    SecretMeta,
    TokenSpec,
    iso,
)
from reconciler.plan import reasons, tasks
from reconciler.plan.change import Change, NotTouched, Plan, Selection, Side, row_key
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.predecessors import RETIRING
from reconciler.plan.vocabulary import (
    CATEGORIES,
    NEEDS_DECISION,
    SENTENCES,
    Action,
    Category,
    Reason,
)
from reconciler.state.ledger import Abandoned, Entry, Holder, IntentKind, Ledger
from reconciler.state.snapshot import Content, Kind, Observed, classify
from reconciler.state.times import spread_ms
from tests.support.values import (
    FILES,
    MANAGER,
    NOW_MS,
    TRADING,
    current,
    current_id,
    deleted,
    holder,
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

T = TypeVar("T")

BOT = spec("bot")
HAD = Entry(path="bot", current=current("bot-1", "bot"), overlap_ms=HOUR_MS)
HERE = live("bot-1", "bot")
WIDE = ("account_creation", "trading")
OTHER = ("account_creation",)

WAS = Side(path="bot", token_id="bot-1", scopes=TRADING, version=1)
WANTED = Side(path="bot", scopes=TRADING, version=1, overlap_ms=DAY_MS)
KEEP_MANAGER = Change(label=MANAGER, action=Action.KEEP, reason=Reason.IN_SYNC)
KEEP_BOT = Change(label="bot", action=Action.KEEP, reason=Reason.IN_SYNC)


DEFAULT = Policy()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """All about ``bot``, and what differs around it; secrets that are not given are at
    their recorded version.
    """

    spec: TokenSpec | None = None
    entry: Entry | None = None
    tokens: tuple[LiveToken, ...] = ()
    secrets: Mapping[str, SecretMeta] = dataclasses.field(default_factory=dict)
    contents: Mapping[str, Content] = dataclasses.field(default_factory=dict)
    policy: Policy = DEFAULT
    others: Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    known_files: tuple[str, ...] = FILES
    holder: Holder | None = None
    run: str | None = None

    def plan(self) -> Plan:
        """The plan of this world."""
        boss = spec(MANAGER, rotate_after_ms=None)
        entries = {
            MANAGER: Entry(path=MANAGER, current=current(current_id(MANAGER), MANAGER)),
            **self.others,
        }
        if self.entry is not None:
            entries["bot"] = self.entry
        seen = observed(
            ledger(entries, files=self.known_files, holder=self.holder),
            live(current_id(MANAGER), MANAGER, unused_for_ms=0),
            *self.tokens,
            secrets=self.secrets,
            contents=self.contents,
            signer_id=current_id(MANAGER),
        )
        specs = (boss,) if self.spec is None else (boss, self.spec)
        return plan(manifest(*specs), seen, now_ms=NOW_MS, policy=self.policy, run=self.run)


def row(
    action: Action,
    reason: Reason,
    note: str = "",
    *,
    before: Side | None = None,
    after: Side | None = None,
) -> tuple[Change, ...]:
    """One row of ``bot``, as a tuple to add to others."""
    return (
        Change(label="bot", action=action, reason=reason, before=before, after=after, note=note),
    )


def gone(token_id: str, *, path: str = "bot", scopes: tuple[str, ...] = TRADING) -> Side:
    """What stands before a row of a predecessor."""
    return Side(path=path, token_id=token_id, scopes=scopes)


def check(expected: tuple[Change, ...], case: Case) -> None:
    """The whole tuple of changes, in order."""
    assert case.plan().changes == (*expected, KEEP_MANAGER)


REPLACE_BOT = Policy(replace=frozenset({"bot"}))
OLD = retiring("bot-0", "bot")
DRAINING = dataclasses.replace(HAD, retiring=(OLD,))
DERIVE_BOT = row(Action.DERIVE, Reason.ABSENT, after=dataclasses.replace(WANTED, version=0))


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param(DERIVE_BOT, Case(spec=BOT), id="nothing is there"),
        pytest.param(
            row(
                Action.DERIVE,
                Reason.ABSENT,
                after=Side(path="prod/bot", scopes=WIDE, version=3, overlap_ms=DAY_MS),
            ),
            Case(spec=spec("bot", path="prod/bot", scopes=WIDE), secrets={"prod/bot": deleted(3)}),
            id="the path was used once and is deleted",
        ),
        pytest.param(
            row(
                Action.DERIVE,
                Reason.ABSENT,
                after=dataclasses.replace(WANTED, version=0, protect=True),
            ),
            Case(spec=spec("bot", protect=True)),
            id="nothing is there, and it is to be protected",
        ),
        pytest.param(
            row(Action.HOLD, Reason.OCCUPIED, "secret/p/bot"),
            Case(spec=BOT, secrets={"bot": living(2)}),
            id="the path is occupied",
        ),
        pytest.param(
            row(Action.DERIVE, Reason.ABSENT, after=dataclasses.replace(WANTED, version=2)),
            Case(spec=BOT, secrets={"bot": living(2)}, policy=REPLACE_BOT),
            id="the path is occupied, to be replaced",
        ),
        pytest.param(
            row(Action.HOLD, Reason.OCCUPIED, "secret/p/bot"),
            Case(spec=BOT, secrets={"bot": living(2)}, policy=Policy(replace=frozenset({"desk"}))),
            id="another label is to be replaced",
        ),
        pytest.param(
            row(Action.HOLD, Reason.OCCUPIED, "secret/p/bot"),
            Case(spec=BOT, secrets={"bot": living(2)}, contents={"bot": Content(token_id="alien")}),
            id="the path is occupied, and its content was read",
        ),
        pytest.param(
            row(Action.RECOVER, Reason.PLACEHOLDER_LEFT, before=Side(path="bot")),
            Case(spec=BOT, secrets={"bot": living(2)}, contents={"bot": Content(placeholder=True)}),
            id="a fence's placeholder is left at the path",
        ),
        pytest.param(
            row(Action.HOLD, Reason.TWIN, "t1"),
            Case(spec=BOT, tokens=(live("t1", "bot"),)),
            id="a twin lives",
        ),
        pytest.param(
            row(Action.HOLD, Reason.TWIN, "t1, t2"),
            Case(spec=BOT, tokens=(live("t2", "bot"), live("t1", "bot"))),
            id="two twins live",
        ),
        pytest.param(
            DERIVE_BOT,
            Case(spec=BOT, tokens=(live("t1", "bot"),), policy=REPLACE_BOT),
            id="a twin lives, to be replaced",
        ),
        pytest.param(
            row(Action.HOLD, Reason.OCCUPIED, "secret/p/bot"),
            Case(spec=BOT, tokens=(live("t1", "bot"),), secrets={"bot": living()}),
            id="a twin lives and the path is occupied",
        ),
        pytest.param(
            DERIVE_BOT,
            Case(spec=BOT, tokens=(live("t1", None), live("t2", "Bot"), live("t3", "bot "))),
            id="tokens without the very label are nobody's twins",
        ),
        pytest.param(
            DERIVE_BOT,
            Case(spec=BOT, entry=Entry(path="old/bot", protect=True)),
            id="only its protection is remembered",
        ),
        pytest.param(
            row(
                Action.RECORD,
                Reason.PROTECT_OFF,
                before=Side(path="bot", protect=True),
                after=Side(path="bot", protect=False),
            )
            + DERIVE_BOT,
            Case(spec=spec("bot", protect=False), entry=Entry(path="bot", protect=True)),
            id="only its protection is remembered, and lifted",
        ),
        pytest.param(
            DERIVE_BOT + row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0")),
            Case(
                spec=BOT, entry=Entry(path="bot", retiring=(OLD,)), tokens=(live("bot-0", "bot"),)
            ),
            id="only a predecessor of its former life is left",
        ),
        pytest.param(
            row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0"))
            + row(Action.HOLD, Reason.OCCUPIED, "secret/p/bot"),
            Case(
                spec=BOT,
                entry=Entry(path="bot", retiring=(OLD,)),
                tokens=(live("bot-0", "bot"),),
                secrets={"bot": living()},
                contents={"bot": Content(token_id="alien")},
            ),
            id="only a predecessor of its former life is left, and the path is occupied",
        ),
        pytest.param(
            row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0"))
            + row(Action.HOLD, Reason.TWIN, "t1"),
            Case(
                spec=BOT,
                entry=Entry(path="bot", retiring=(OLD,)),
                tokens=(live("bot-0", "bot"), live("t1", "bot")),
            ),
            id="only a predecessor of its former life is left, and a twin lives",
        ),
    ],
)
def test_a_label_without_a_token(expected: tuple[Change, ...], case: Case) -> None:
    """It is derived, unless something is in the way that only a person can judge."""
    check(expected, case)


DESK_OLD = retiring("d0", "desk", path="prod/x")
DESK_NOW = current("d1", "desk")


@pytest.mark.parametrize(
    ("over", "other"),
    [
        pytest.param(
            "takes the path over from desk",
            Entry(path="prod/x", current=DESK_NOW),
            id="of its current token",
        ),
        pytest.param(
            "desk had it",
            Entry(path="prod/x", retiring=(retiring("d1", "desk"),)),
            id="of a predecessor without successor",
        ),
        pytest.param(
            "desk had it",
            Entry(
                path="desk",
                current=dataclasses.replace(DESK_NOW, token_id="d2"),
                retiring=(retiring("d1", "desk", path="prod/x"),),
            ),
            id="of a predecessor at the old path",
        ),
        pytest.param(
            "desk had it",
            Entry(path="desk", current=DESK_NOW, revoking=(revoking("d1", "desk", path="prod/x"),)),
            id="of a token on its way out from the old path",
        ),
        pytest.param(
            "desk had it",
            Entry(
                path="prod/x",
                current=dataclasses.replace(DESK_NOW, displaced=True),
                retiring=(DESK_OLD,),
            ),
            id="of a token that was displaced before",
        ),
        pytest.param(None, Entry(path="desk", intent=intent("prod/x")), id="of an open intent"),
        pytest.param(
            None,
            Entry(path="prod/x", current=DESK_NOW, intent=intent("desk")),
            id="of a token whose label has an open intent",
        ),
        pytest.param(
            "", Entry(path="prod/x", protect=True), id="not: only a protection is remembered"
        ),
        pytest.param("", Entry(path="desk", current=DESK_NOW), id="not: another path"),
    ],
)
@pytest.mark.parametrize("policy", [Policy(), REPLACE_BOT], ids=["", "--replace"])
@pytest.mark.parametrize("entry", [None, HAD], ids=["derive", "rotate"])
def test_a_path_belongs_to_the_label_that_the_ledger_names(
    *, over: str | None, other: Entry, policy: Policy, entry: Entry | None
) -> None:
    """What lies there of a label that left is written over, and the row says whose it
    was. While that label has a write open, this one waits, even with --replace.
    """
    held = over not in {None, ""}
    case = Case(
        spec=spec("bot", path="prod/x"),
        entry=entry,
        tokens=() if entry is None else (HERE,),
        others={"desk": other},
        secrets={"prod/x": living()} if held else {},
        contents={"prod/x": Content(token_id="d1")} if held else {},
        policy=policy,
    )
    (found,) = [c for c in case.plan().changes if c.label == "bot"]
    free = (Action.DERIVE, Reason.ABSENT) if entry is None else (Action.ROTATE, Reason.PATH_CHANGED)
    if over is None:
        assert (found.action, found.reason) == (Action.HOLD, Reason.WAITS_FOR)
        assert found.note == "secret/p/prod/x is that of desk"
        return
    assert (found.action, found.reason) == free
    assert found.note.endswith(over)
    assert ("desk" in found.note) == held


def rotate(
    reason: Reason, note: str = "", *, before: Side = WAS, after: Side = WANTED
) -> tuple[Change, ...]:
    """A rotation of ``bot``."""
    return row(Action.ROTATE, reason, note, before=before, after=after)


MONTH_OLD = dataclasses.replace(
    HERE, created_at_ms=NOW_MS - 30 * DAY_MS + spread_ms("bot", 30 * DAY_MS)
)
"""Due to the millisecond."""

DUE_NOTE = f"since {iso(NOW_MS)}"
ELSEWHERE = spec("bot", path="prod/bot")
TO_ELSEWHERE = Side(path="prod/bot", scopes=TRADING, version=0, overlap_ms=DAY_MS)
ASKED = Policy(requested=frozenset({"bot"}))
LEAKED = dataclasses.replace(ASKED, compromised=True)


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param((KEEP_BOT,), Case(spec=BOT, entry=HAD, tokens=(HERE,)), id="all is well"),
        pytest.param(
            (KEEP_BOT,),
            Case(spec=BOT, entry=HAD, tokens=(HERE, live("t1", "bot"))),
            id="a twin beside it",
        ),
        pytest.param(
            (KEEP_BOT,),
            Case(spec=BOT, entry=HAD, tokens=(HERE,), policy=REPLACE_BOT),
            id="--replace of what is ours",
        ),
        pytest.param(
            rotate(
                Reason.SCOPES_WIDENED,
                "+account_creation",
                after=dataclasses.replace(WANTED, scopes=WIDE),
            ),
            Case(spec=spec("bot", scopes=WIDE), entry=HAD, tokens=(HERE,)),
            id="scopes widened",
        ),
        pytest.param(
            rotate(
                Reason.SCOPES_NARROWED,
                "-account_creation",
                before=dataclasses.replace(WAS, scopes=WIDE),
            ),
            Case(spec=BOT, entry=HAD, tokens=(live("bot-1", "bot", scopes=WIDE),)),
            id="scopes narrowed",
        ),
        pytest.param(
            rotate(
                Reason.SCOPES_CHANGED,
                "+account_creation -trading",
                after=dataclasses.replace(WANTED, scopes=OTHER),
            ),
            Case(spec=spec("bot", scopes=OTHER), entry=HAD, tokens=(HERE,)),
            id="scopes changed",
        ),
        pytest.param(
            rotate(Reason.PATH_CHANGED, "bot -> prod/bot", after=TO_ELSEWHERE),
            Case(spec=ELSEWHERE, entry=HAD, tokens=(HERE,)),
            id="path changed",
        ),
        pytest.param(
            rotate(
                Reason.PATH_CHANGED,
                "bot -> prod/bot",
                after=dataclasses.replace(TO_ELSEWHERE, version=4),
            ),
            Case(spec=ELSEWHERE, entry=HAD, tokens=(HERE,), secrets={"prod/bot": deleted(4)}),
            id="path changed, to one that was used once",
        ),
        pytest.param(
            rotate(
                Reason.SCOPES_WIDENED,
                "+account_creation",
                after=dataclasses.replace(TO_ELSEWHERE, scopes=WIDE),
            ),
            Case(spec=spec("bot", path="prod/bot", scopes=WIDE), entry=HAD, tokens=(HERE,)),
            id="scopes and path changed: one rotation does both",
        ),
        pytest.param(
            row(Action.HOLD, Reason.OCCUPIED, "secret/p/prod/bot", before=WAS),
            Case(spec=ELSEWHERE, entry=HAD, tokens=(HERE,), secrets={"prod/bot": living()}),
            id="path changed, to an occupied one",
        ),
        pytest.param(
            row(
                Action.HOLD,
                Reason.OCCUPIED,
                "secret/p/prod/bot",
                before=dataclasses.replace(WAS, scopes=()),
            ),
            Case(spec=ELSEWHERE, entry=HAD, secrets={"prod/bot": living()}, policy=LEAKED),
            id="an occupied path stops a rotation whatever the reason",
        ),
        pytest.param(
            rotate(
                Reason.PATH_CHANGED,
                "bot -> prod/bot",
                after=dataclasses.replace(TO_ELSEWHERE, version=1),
            ),
            Case(
                spec=ELSEWHERE,
                entry=HAD,
                tokens=(HERE,),
                secrets={"prod/bot": living()},
                policy=REPLACE_BOT,
            ),
            id="path changed, to an occupied one that is to be replaced",
        ),
        pytest.param(
            rotate(
                Reason.PATH_CHANGED,
                "bot -> prod/bot",
                after=dataclasses.replace(TO_ELSEWHERE, version=1),
            )
            + row(
                Action.HOLD,
                Reason.STILL_USED,
                f"last used {iso(NOW_MS)}",
                before=gone("bot-0", path="prod/bot"),
            ),
            Case(
                spec=ELSEWHERE,
                entry=dataclasses.replace(
                    HAD, retiring=(retiring("bot-0", "bot", path="prod/bot"),)
                ),
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=0)),
                secrets={"prod/bot": living()},
                contents={"prod/bot": Content(token_id="bot-0")},
            ),
            id="path changed back, to where the predecessor's secret still lies",
        ),
        pytest.param(
            row(
                Action.HOLD,
                Reason.STILL_USED,
                f"last used {iso(NOW_MS)}",
                before=gone("bot-0", path="prod/bot"),
            )
            + row(Action.HOLD, Reason.OCCUPIED, "secret/p/prod/bot", before=WAS),
            Case(
                spec=ELSEWHERE,
                entry=dataclasses.replace(
                    HAD, retiring=(retiring("bot-0", "bot", path="prod/bot"),)
                ),
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=0)),
                secrets={"prod/bot": living()},
                contents={"prod/bot": Content(token_id="alien")},
            ),
            id="path changed back, to where somebody has written since",
        ),
        pytest.param(
            rotate(
                Reason.PATH_CHANGED,
                "bot -> prod/bot",
                after=dataclasses.replace(TO_ELSEWHERE, version=1),
            ),
            Case(
                spec=ELSEWHERE,
                entry=HAD,
                tokens=(HERE,),
                secrets={"prod/bot": living()},
                contents={"prod/bot": Content(placeholder=True)},
            ),
            id="path changed, to one that holds a fence's placeholder",
        ),
        pytest.param(
            rotate(Reason.DUE, DUE_NOTE),
            Case(spec=BOT, entry=HAD, tokens=(MONTH_OLD,)),
            id="due to the millisecond",
        ),
        pytest.param(
            (KEEP_BOT,),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(dataclasses.replace(MONTH_OLD, created_at_ms=MONTH_OLD.created_at_ms + 1),),
            ),
            id="not due by a millisecond",
        ),
        pytest.param(
            (KEEP_BOT,),
            Case(spec=spec("bot", rotate_after_ms=None), entry=HAD, tokens=(MONTH_OLD,)),
            id="rotate_after: never",
        ),
        pytest.param(
            rotate(Reason.DUE, DUE_NOTE),
            Case(
                spec=BOT,
                entry=dataclasses.replace(HAD, current=current("bot-1", "bot", age_ms=1)),
                tokens=(MONTH_OLD,),
            ),
            id="the exchange's createdAt tells the age, not the ledger's",
        ),
        pytest.param(
            rotate(Reason.REVOKED_ELSEWHERE, before=dataclasses.replace(WAS, scopes=())),
            Case(spec=BOT, entry=HAD),
            id="revoked elsewhere",
        ),
        pytest.param(
            row(
                Action.HOLD,
                Reason.LEDGER_RESTORED,
                "newer",
                before=dataclasses.replace(WAS, scopes=()),
            ),
            Case(spec=BOT, entry=HAD, tokens=(live("newer", "bot", age_ms=HOUR_MS),)),
            id="gone, and an unknown newer one lives",
        ),
        pytest.param(
            rotate(Reason.REVOKED_ELSEWHERE, before=dataclasses.replace(WAS, scopes=())),
            Case(spec=BOT, entry=HAD, tokens=(live("other", "bot", scopes=OTHER, age_ms=1),)),
            id="gone, and an unknown newer one has other scopes",
        ),
        pytest.param(
            rotate(Reason.REVOKED_ELSEWHERE, before=dataclasses.replace(WAS, scopes=())),
            Case(spec=BOT, entry=HAD, tokens=(live("older", "bot", age_ms=9 * DAY_MS),)),
            id="gone, and an unknown older one lives",
        ),
        pytest.param(
            rotate(Reason.REVOKED_ELSEWHERE, before=dataclasses.replace(WAS, scopes=())),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(live("newer", "bot", age_ms=HOUR_MS),),
                policy=Policy(ledger_restored=True),
            ),
            id="gone, an unknown newer one lives, and a person said so",
        ),
        pytest.param(
            rotate(
                Reason.REVOKED_ELSEWHERE,
                before=dataclasses.replace(WAS, scopes=()),
                after=TO_ELSEWHERE,
            ),
            Case(spec=ELSEWHERE, entry=HAD, policy=ASKED),
            id="revoked elsewhere, and path changed, and requested",
        ),
        pytest.param(
            rotate(Reason.REQUESTED),
            Case(spec=BOT, entry=HAD, tokens=(HERE,), policy=ASKED),
            id="requested",
        ),
        pytest.param(
            rotate(Reason.REQUESTED),
            Case(spec=BOT, entry=HAD, tokens=(MONTH_OLD,), policy=ASKED),
            id="requested, due",
        ),
        pytest.param(
            rotate(
                Reason.SCOPES_WIDENED,
                "+account_creation",
                after=dataclasses.replace(WANTED, scopes=WIDE),
            ),
            Case(spec=spec("bot", scopes=WIDE), entry=HAD, tokens=(HERE,), policy=ASKED),
            id="requested, and scopes widened",
        ),
        pytest.param(
            rotate(Reason.COMPROMISED),
            Case(spec=BOT, entry=HAD, tokens=(HERE,), policy=LEAKED),
            id="compromised",
        ),
        pytest.param(
            rotate(Reason.COMPROMISED, after=dataclasses.replace(WANTED, scopes=WIDE)),
            Case(spec=spec("bot", scopes=WIDE), entry=HAD, tokens=(HERE,), policy=LEAKED),
            id="compromised, and scopes widened",
        ),
        pytest.param(
            (KEEP_BOT,),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                policy=dataclasses.replace(LEAKED, requested=frozenset({"desk"})),
            ),
            id="another one is compromised",
        ),
    ],
)
def test_a_label_with_a_token(expected: tuple[Change, ...], case: Case) -> None:
    """It is kept, or rotated for the first reason that holds."""
    check(expected, case)


GONE_SECRET: Mapping[str, SecretMeta] = {"bot": deleted(1)}
NEWER: Mapping[str, SecretMeta] = {"bot": living(3)}
OVER_ANOTHER = "from version 1; version 3 holds something else, which is written over"
SEEN_AT_3 = Side(path="bot", version=3)
OVER_IT = "holds something else, which is written over"
LOST = rotate(
    Reason.SECRET_LOST, f"version 3 {OVER_IT}", after=dataclasses.replace(WANTED, version=3)
)
WILL_END = dataclasses.replace(living(1), ends_at_ms=NOW_MS + DAY_MS)
SHORT_LIVED = dataclasses.replace(WILL_END, life_ms=DAY_MS)
OVER_NOW = dataclasses.replace(WANTED, version_created_at_ms=NOW_MS)
DATED = dataclasses.replace(
    HAD, current=dataclasses.replace(current("bot-1", "bot"), version_created_at_ms=NOW_MS - DAY_MS)
)


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param(
            rotate(Reason.SECRET_LOST),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets=GONE_SECRET,
                contents={"bot": Content()},
            ),
            id="deleted, and no version is left",
        ),
        pytest.param(
            rotate(Reason.SECRET_LOST, after=dataclasses.replace(WANTED, version=0)),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets={"bot": SecretMeta(latest=0, state=deleted().state)},
            ),
            id="destroyed with its metadata",
        ),
        pytest.param(
            rotate(Reason.SECRET_LOST),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(MONTH_OLD,),
                secrets=GONE_SECRET,
                contents={"bot": Content()},
            ),
            id="lost, and due",
        ),
        pytest.param(
            rotate(Reason.REQUESTED),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets=GONE_SECRET,
                contents={"bot": Content()},
                policy=ASKED,
            ),
            id="lost, and requested",
        ),
        pytest.param(
            LOST,
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets=NEWER,
                contents={"bot": Content(token_id="alien")},
            ),
            id="overwritten, and no version is left",
        ),
        pytest.param(
            row(
                Action.REWRITE,
                Reason.FIELDS,
                "+A=token_id -B=secret",
                before=dataclasses.replace(WAS, fields=("B=secret",)),
                after=Side(path="bot", version=1, fields=("A=token_id",)),
            ),
            Case(
                spec=dataclasses.replace(BOT, fields=("A=token_id",)),
                entry=dataclasses.replace(HAD, fields=("B=secret",)),
                tokens=(HERE,),
            ),
            id="other names than the manifest wants",
        ),
        pytest.param(
            rotate(Reason.DUE, DUE_NOTE, after=dataclasses.replace(WANTED, fields=("A=token_id",))),
            Case(
                spec=dataclasses.replace(BOT, fields=("A=token_id",)),
                entry=HAD,
                tokens=(MONTH_OLD,),
            ),
            id="other names, and due",
        ),
        pytest.param(
            row(Action.RESTORE, Reason.SECRET_MOVED, OVER_ANOTHER, before=WAS, after=SEEN_AT_3),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets=NEWER,
                contents={"bot": Content(token_id="alien", holder_version=1)},
            ),
            id="overwritten, and an older version has it",
        ),
        pytest.param(
            row(
                Action.RESTORE,
                Reason.SECRET_MOVED,
                "from version 1",
                before=WAS,
                after=Side(path="bot", version=2),
            ),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(MONTH_OLD,),
                secrets={"bot": deleted(2)},
                contents={"bot": Content(holder_version=1)},
            ),
            id="deleted, and an older version has it; due can wait",
        ),
        pytest.param(
            rotate(Reason.SECRET_LOST, f"version 1 {OVER_IT}", after=OVER_NOW),
            Case(
                spec=BOT,
                entry=DATED,
                tokens=(HERE,),
                secrets={"bot": dataclasses.replace(living(1), created_at_ms=NOW_MS)},
                contents={"bot": Content()},
            ),
            id="the same number again, at another time",
        ),
        pytest.param(
            rotate(Reason.REQUESTED, f"version 1 {OVER_IT}", after=OVER_NOW),
            Case(
                spec=BOT,
                entry=DATED,
                tokens=(HERE,),
                secrets={"bot": dataclasses.replace(living(1), created_at_ms=NOW_MS)},
                contents={"bot": Content()},
                policy=ASKED,
            ),
            id="the same, and a rotation was asked for: it says what it writes over",
        ),
        pytest.param(
            row(
                Action.HOLD,
                Reason.ENDS_BY_ITSELF,
                "version 1 ends by itself on 2026-11-23T08:30:00.000Z",
                before=WAS,
            ),
            Case(spec=BOT, entry=HAD, tokens=(MONTH_OLD,), secrets={"bot": SHORT_LIVED}),
            id="it ends by itself, and so would what is written now; due can wait",
        ),
        pytest.param(
            row(
                Action.RESTORE,
                Reason.WILL_END,
                "version 1 ends by itself on 2026-11-23T08:30:00.000Z",
                before=WAS,
                after=Side(path="bot", version=1),
            ),
            Case(spec=BOT, entry=HAD, tokens=(MONTH_OLD,), secrets={"bot": WILL_END}),
            id="it ends by itself, and what is written now would stay",
        ),
        pytest.param(
            row(Action.RECORD, Reason.VERSION_MOVED, "version 1 -> 3", before=WAS, after=SEEN_AT_3),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets=NEWER,
                contents={"bot": Content(token_id="bot-1")},
            ),
            id="written again by somebody",
        ),
        pytest.param(
            row(Action.HOLD, Reason.UNREAD, before=WAS),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(MONTH_OLD,),
                secrets=NEWER,
                contents={"bot": Content(readable=False)},
            ),
            id="not readable",
        ),
        pytest.param(
            row(Action.RECOVER, Reason.PLACEHOLDER_LEFT, before=Side(path="bot")),
            Case(spec=BOT, entry=HAD, tokens=(HERE,), contents={"bot": Content(placeholder=True)}),
            id="a fence's placeholder lies there, at the very version that is recorded",
        ),
        pytest.param(
            row(Action.RECOVER, Reason.PLACEHOLDER_LEFT, before=Side(path="bot")),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                secrets=NEWER,
                contents={"bot": Content(placeholder=True, holder_version=1)},
            ),
            id="a fence's placeholder lies there",
        ),
        pytest.param(
            row(Action.HOLD, Reason.ROLLED_BACK, before=gone("bot-0"))
            + row(Action.HOLD, Reason.ROLLED_BACK, "bot-0", before=WAS),
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=0)),
                secrets=NEWER,
                contents={"bot": Content(token_id="bot-0", holder_version=1)},
            ),
            id="a person wrote the predecessor again",
        ),
        pytest.param(
            row(Action.RESTORE, Reason.SECRET_MOVED, OVER_ANOTHER, before=WAS, after=SEEN_AT_3)
            + row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0")),
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(HERE, live("bot-0", "bot")),
                secrets=NEWER,
                contents={"bot": Content(token_id="alien", holder_version=1)},
            ),
            id="overwritten with something else than its predecessor",
        ),
        pytest.param(
            rotate(
                Reason.COMPROMISED,
                "revokes bot-0 as well",
                after=dataclasses.replace(WANTED, version=3),
            ),
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=0)),
                secrets=NEWER,
                contents={"bot": Content(token_id="bot-0", holder_version=1)},
                policy=LEAKED,
            ),
            id="a person wrote the predecessor again, and the current token is compromised",
        ),
    ],
)
def test_a_secret_that_is_not_at_the_recorded_version(
    expected: tuple[Change, ...], case: Case
) -> None:
    """Its content decides: put the ledger right, ask a person, write it again, or
    rotate.
    """
    check(expected, case)


BY_ID = Policy(compromised=True, selection=Selection(token_ids=frozenset({"bot-0"})))
LEAKED_OLD = row(Action.REVOKE, Reason.COMPROMISED, before=gone("bot-0"))
USED_OLD = live("bot-0", "bot", unused_for_ms=0)


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param(
            LEAKED_OLD,
            Case(spec=BOT, entry=DRAINING, tokens=(HERE, USED_OLD), policy=BY_ID),
            id="within its overlap, and in use",
        ),
        pytest.param(
            LEAKED_OLD,
            Case(
                spec=dataclasses.replace(BOT, scopes=("trading", "withdrawal")),
                entry=dataclasses.replace(DRAINING, retiring=(OLD, retiring("bot-00", "bot"))),
                tokens=(MONTH_OLD, USED_OLD, live("bot-00", "bot", unused_for_ms=2 * DAY_MS)),
                policy=BY_ID,
            ),
            id="whatever else there is to do about the label",
        ),
        pytest.param(
            LEAKED_OLD,
            Case(
                entry=Entry(path="bot", retiring=(OLD,)),
                tokens=(USED_OLD,),
                policy=BY_ID,
            ),
            id="of a label that is gone",
        ),
        pytest.param(
            row(Action.HOLD, Reason.ROLLED_BACK, before=gone("bot-0")),
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(HERE, USED_OLD),
                secrets=NEWER,
                contents={"bot": Content(token_id="bot-0", holder_version=1)},
                policy=BY_ID,
            ),
            id="a person wrote it again",
        ),
        pytest.param(
            row(
                Action.REVOKE,
                Reason.SUPERSEDED,
                "already gone",
                before=dataclasses.replace(gone("bot-0"), scopes=()),
            ),
            Case(spec=BOT, entry=DRAINING, tokens=(HERE,), policy=BY_ID),
            id="not listed",
        ),
        pytest.param(
            (),
            Case(
                spec=BOT,
                entry=HAD,
                tokens=(HERE,),
                policy=dataclasses.replace(
                    BY_ID, selection=Selection(token_ids=frozenset({"bot-1"}))
                ),
            ),
            id="a current token is none",
        ),
    ],
)
def test_a_predecessor_that_is_compromised(expected: tuple[Change, ...], case: Case) -> None:
    """A person named its id: it goes at once, alone, unless consumers read it."""
    assert case.plan().changes == expected


NOT_DESIRED = row(Action.RETIRE, Reason.NOT_DESIRED, before=WAS, after=WAS)
AT_ONCE = row(Action.REVOKE, Reason.NOT_DESIRED, before=WAS)
LEFT = row(Action.REVOKE, Reason.LEFT, before=WAS)
USED_NOW = live("bot-1", "bot", unused_for_ms=HOUR_MS - 1)
LONG_GONE = dataclasses.replace(
    HAD, current=dataclasses.replace(current("bot-1", "bot"), left_ms=NOW_MS - DAY_MS)
)
"""A label of which a run has recorded, a day ago, that it left the manifest."""

NO_OVERLAP = dataclasses.replace(HAD, overlap_ms=0)
IN_USE = row(Action.HOLD, Reason.IN_USE, f"last used {iso(NOW_MS - HOUR_MS + 1)}", before=WAS)
GUARDED = dataclasses.replace(HAD, protect=True)
TWO_FILES = ("b.yaml", *FILES)
FORGET_B = (
    Change(
        label="",
        action=Action.RECORD,
        reason=Reason.FILES,
        before=Side(path="", files=tuple(sorted(TWO_FILES))),
        after=Side(path="", files=FILES),
        note="-b.yaml",
    ),
)


B_MISSING = (Change(label="", action=Action.HOLD, reason=Reason.FILE_MISSING, note="b.yaml"),)


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param(NOT_DESIRED, Case(entry=HAD, tokens=(HERE,)), id="its line has left"),
        pytest.param(
            row(Action.REVOKE, Reason.NOT_DESIRED, before=dataclasses.replace(WAS, scopes=())),
            Case(entry=HAD),
            id="its line has left, and so has the token",
        ),
        pytest.param(
            NOT_DESIRED, Case(entry=HAD, tokens=(USED_NOW,)), id="in use: that is no matter yet"
        ),
        pytest.param(
            row(
                Action.HOLD,
                Reason.LEAVING,
                f"until {iso(NOW_MS + 1)}",
                before=WAS,
            ),
            Case(
                entry=dataclasses.replace(LONG_GONE, overlap_ms=DAY_MS + 1),
                tokens=(HERE,),
            ),
            id="within its overlap",
        ),
        pytest.param(LEFT, Case(entry=LONG_GONE, tokens=(HERE,)), id="its overlap is over"),
        pytest.param(
            row(Action.REVOKE, Reason.LEFT, before=dataclasses.replace(WAS, scopes=())),
            Case(entry=LONG_GONE),
            id="its overlap is over, and the token has gone",
        ),
        pytest.param(IN_USE, Case(entry=LONG_GONE, tokens=(USED_NOW,)), id="in use"),
        pytest.param(
            LEFT,
            Case(entry=LONG_GONE, tokens=(USED_NOW,), policy=Policy(revoke_in_use=True)),
            id="--revoke-in-use",
        ),
        pytest.param(
            LEFT,
            Case(entry=LONG_GONE, tokens=(live("bot-1", "bot", unused_for_ms=HOUR_MS),)),
            id="last used an hour ago",
        ),
        pytest.param(
            LEFT,
            Case(
                entry=dataclasses.replace(
                    LONG_GONE,
                    current=dataclasses.replace(
                        current("bot-1", "bot", verified_age_ms=HOUR_MS - 1 - USE_MARGIN_MS),
                        left_ms=NOW_MS - DAY_MS,
                    ),
                ),
                tokens=(USED_NOW,),
            ),
            id="only our verify used it",
        ),
        pytest.param(AT_ONCE, Case(entry=NO_OVERLAP, tokens=(HERE,)), id="it has no overlap"),
        pytest.param(
            IN_USE, Case(entry=NO_OVERLAP, tokens=(USED_NOW,)), id="no overlap, but in use"
        ),
        pytest.param(
            AT_ONCE,
            Case(entry=HAD, tokens=(HERE,), policy=Policy(revoke_now=frozenset({"bot"}))),
            id="--revoke-now",
        ),
        pytest.param(
            row(Action.HOLD, Reason.PROTECTED, before=WAS),
            Case(entry=GUARDED, tokens=(HERE,)),
            id="protected",
        ),
        pytest.param(
            row(Action.HOLD, Reason.PROTECTED, before=WAS),
            Case(entry=GUARDED, tokens=(USED_NOW,), policy=Policy(revoke_in_use=True)),
            id="protected, in use, --revoke-in-use",
        ),
        pytest.param(
            B_MISSING + row(Action.HOLD, Reason.FILE_MISSING, "b.yaml", before=WAS),
            Case(entry=GUARDED, tokens=(USED_NOW,), known_files=TWO_FILES),
            id="a file is missing, protected, in use",
        ),
        pytest.param(
            rotate(Reason.DUE, DUE_NOTE) + B_MISSING,
            Case(spec=BOT, entry=HAD, tokens=(MONTH_OLD,), known_files=TWO_FILES),
            id="a file is missing, but the label is desired",
        ),
        pytest.param(
            FORGET_B + NOT_DESIRED,
            Case(
                entry=HAD,
                tokens=(HERE,),
                known_files=TWO_FILES,
                policy=Policy(allow_missing_files=True),
            ),
            id="--allow-missing-files",
        ),
        pytest.param(
            (), Case(entry=Entry(path="bot", protect=True)), id="nothing is left but the protection"
        ),
        pytest.param(
            row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0")),
            Case(
                entry=Entry(path="bot", retiring=(OLD,)),
                tokens=(live("bot-0", "bot", unused_for_ms=2 * DAY_MS),),
            ),
            id="only a predecessor is left",
        ),
        pytest.param(
            row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0")) + LEFT,
            Case(
                entry=dataclasses.replace(LONG_GONE, retiring=(OLD,)),
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=DAY_MS)),
            ),
            id="its predecessor goes too, whoever has the successor",
        ),
        pytest.param(
            NOT_DESIRED + row(Action.HOLD, Reason.SUCCESSOR_UNUSED, before=gone("bot-0")),
            Case(entry=DRAINING, tokens=(HERE, live("bot-0", "bot", unused_for_ms=DAY_MS))),
            id="its predecessor stays for as long as it does",
        ),
        pytest.param(
            NOT_DESIRED
            + row(Action.HOLD, Reason.STILL_USED, f"last used {iso(NOW_MS)}", before=gone("bot-0")),
            Case(entry=DRAINING, tokens=(HERE, live("bot-0", "bot", unused_for_ms=0))),
            id="its predecessor is still used",
        ),
        pytest.param(
            row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0")),
            Case(
                entry=Entry(path="bot", retiring=(OLD,)),
                tokens=(live("bot-0", "bot"),),
                secrets=NEWER,
                contents={"bot": Content(token_id="bot-0")},
            ),
            id="only a predecessor is left, and a person wrote it again: that saves nothing",
        ),
        pytest.param(
            NOT_DESIRED,
            Case(
                entry=HAD,
                tokens=(HERE,),
                secrets=GONE_SECRET,
                contents={"bot": Content(token_id="alien")},
                policy=LEAKED,
            ),
            id="whatever became of its secret",
        ),
        pytest.param(
            (), Case(tokens=(live("t1", "bot"),)), id="a token of a label that nobody ever wanted"
        ),
    ],
)
def test_a_label_that_is_not_desired(expected: tuple[Change, ...], case: Case) -> None:
    """It retires and is revoked later, unless it is protected, in use, or perhaps in a
    file that is missing.
    """
    check(expected, case)


@pytest.mark.parametrize("label", [MANAGER, "bot"])
@pytest.mark.parametrize("revoke_in_use", [False, True])
def test_the_token_that_signs_is_not_revoked(*, label: str, revoke_in_use: bool) -> None:
    """Whoever's it is: without it nothing could be listed or revoked any more."""
    policy = Policy(allow_missing_manager=True, revoke_in_use=revoke_in_use)
    specs = [spec(MANAGER), BOT]
    seen = dataclasses.replace(settled(specs), signer_id=current_id(label))
    found = plan(
        manifest(*(s for s in specs if s.label != label)), seen, now_ms=NOW_MS, policy=policy
    )
    before = Side(path=label, token_id=current_id(label), scopes=TRADING, version=1)
    assert found.changes[0] == Change(
        label=label, action=Action.HOLD, reason=Reason.SIGNS, before=before
    )


@pytest.mark.parametrize(
    ("expected", "known", "desired"),
    [
        ("", FILES, FILES),
        ("+a.yaml +c.yaml", FILES, ("a.yaml", "c.yaml", *FILES)),
        ("+tokens.yaml", (), FILES),
        (None, TWO_FILES, FILES),
        (None, TWO_FILES, ("a.yaml",)),
    ],
)
def test_the_files_are_remembered(
    expected: str | None, known: tuple[str, ...], desired: tuple[str, ...]
) -> None:
    """New names are recorded; one that is missing is named, by the first plan."""
    seen = observed(ledger({}, files=known))
    found = plan(manifest(files=desired), seen, now_ms=NOW_MS).changes
    row_ = Change(
        label="",
        action=Action.RECORD,
        reason=Reason.FILES,
        before=Side(path="", files=known),
        after=Side(path="", files=tuple(sorted(desired))),
        note=expected or "",
    )
    missing = ", ".join(sorted(set(known) - set(desired)))
    held = Change(label="", action=Action.HOLD, reason=Reason.FILE_MISSING, note=missing)
    assert ((held,) if missing else (row_,) if expected else ()) == found


@pytest.mark.parametrize(
    ("expected", "wanted", "remembered"),
    [
        (None, None, False),
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (Reason.PROTECT_ON, True, False),
        (Reason.PROTECT_OFF, False, True),
    ],
)
def test_protection(*, expected: Reason | None, wanted: bool | None, remembered: bool) -> None:
    """Silence changes nothing; a word that differs from what is remembered is a row of
    its own.
    """
    case = Case(
        spec=spec("bot", protect=wanted),
        entry=dataclasses.replace(HAD, protect=remembered),
        tokens=(HERE,),
    )
    sides = Side(path="bot", protect=remembered), Side(path="bot", protect=not remembered)
    said = () if expected is None else row(Action.RECORD, expected, before=sides[0], after=sides[1])
    check((*said, KEEP_BOT), case)


@pytest.mark.parametrize(
    ("expected", "wanted", "placeholder_at"),
    [
        (Reason.PLACEHOLDER_LEFT, "prod/bot", "prod/bot"),
        (Reason.ABSENT, "prod/bot", "bot"),
        (Reason.PLACEHOLDER_LEFT, "bot", "bot"),
        (Reason.PLACEHOLDER_LEFT, None, "bot"),
        (Reason.SUPERSEDED, None, "prod/bot"),
    ],
)
def test_a_placeholder_is_looked_for_where_the_next_secret_goes(
    expected: Reason, wanted: str | None, placeholder_at: str
) -> None:
    """A label without a current token: at the wanted path, or at the recorded one where
    it is not desired any more.
    """
    case = Case(
        spec=None if wanted is None else spec("bot", path=wanted),
        entry=Entry(path="bot", retiring=(OLD,)),
        secrets={placeholder_at: living()},
        contents={placeholder_at: Content(placeholder=True)},
    )
    assert expected is case.plan().changes[0].reason


@pytest.mark.parametrize("at", ["bot", "cat"])
def test_a_placeholder_of_another_labels_open_write_is_left_to_it(at: str) -> None:
    """It tells what became of that write; deleted, it would look like a commit."""
    case = Case(
        entry=Entry(path="bot", retiring=(OLD,)),
        others={"cat": Entry(path="cat", intent=intent(at))},
        secrets={"bot": living()},
        contents={"bot": Content(placeholder=True)},
    )
    found = [c.reason for c in case.plan().changes if c.label == "bot"]
    assert (Reason.PLACEHOLDER_LEFT in found) == (at == "cat")


OPEN = dataclasses.replace(intent("bot", kind=IntentKind.ROTATE, cas=1), listed=True)
BEGUN = dataclasses.replace(HAD, intent=OPEN, protect=True, retiring=(OLD,))
OPEN_NOTE = f"rotate of {iso(OPEN.since_ms)}"
ORPHAN = live("bot-2", "bot", age_ms=10 * MINUTE_MS)


def recover(
    token_id: str | None, *, path: str = "bot", note: str = OPEN_NOTE
) -> tuple[Change, ...]:
    """The row of the open intent."""
    return row(
        Action.RECOVER,
        Reason.INTENT_OPEN,
        note,
        before=Side(path=path, token_id=token_id, scopes=TRADING, version=1),
    )


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param(
            recover(None), Case(spec=BOT, entry=BEGUN, tokens=(HERE,)), id="no token of it is known"
        ),
        pytest.param(
            recover("bot-2"),
            Case(spec=BOT, entry=BEGUN, tokens=(HERE, ORPHAN)),
            id="the interrupted token lives",
        ),
        pytest.param(
            recover("bot-9"),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    BEGUN, intent=intent("bot", kind=IntentKind.ROTATE, cas=1, token_id="bot-9")
                ),
            ),
            id="its token is named",
        ),
        pytest.param(
            recover(None, path="prod/bot"),
            Case(
                spec=ELSEWHERE,
                entry=dataclasses.replace(
                    BEGUN, intent=intent("prod/bot", kind=IntentKind.ROTATE, cas=1)
                ),
                secrets={"prod/bot": living(2)},
                contents={"prod/bot": Content(placeholder=True)},
            ),
            id="at another path",
        ),
        pytest.param(
            recover(None, note=f"restore of {iso(OPEN.since_ms)}"),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    BEGUN, intent=intent("bot", kind=IntentKind.RESTORE, cas=1)
                ),
                tokens=(HERE, ORPHAN),
            ),
            id="a restore derives nothing, so no token is its own",
        ),
        pytest.param(
            recover("bot-2") + B_MISSING,
            Case(entry=BEGUN, tokens=(HERE, ORPHAN), known_files=TWO_FILES),
            id="not desired any more",
        ),
        pytest.param(
            recover("bot-2"),
            Case(spec=spec("bot", protect=False), entry=BEGUN, tokens=(ORPHAN,), policy=LEAKED),
            id="first of all, whatever else is to be done",
        ),
        pytest.param(
            recover("bot-2"),
            Case(spec=BOT, entry=BEGUN, tokens=(ORPHAN,), holder=holder("run-1", expires_in_ms=0)),
            id="its run's lease is over",
        ),
        pytest.param(
            recover("bot-2"),
            Case(spec=BOT, entry=BEGUN, tokens=(ORPHAN,), holder=holder("run-2"), run="run-2"),
            id="the lease is the asking run's",
        ),
        pytest.param(
            row(Action.HOLD, Reason.IN_PROGRESS, "run run-1 on build-7:123", before=WAS),
            Case(
                spec=spec("bot", protect=False),
                entry=BEGUN,
                tokens=(HERE, ORPHAN),
                holder=holder("run-1"),
            ),
            id="its run's lease lives",
        ),
        pytest.param(
            row(Action.HOLD, Reason.IN_PROGRESS, "run run-1 on build-7:123", before=WAS),
            Case(entry=BEGUN, tokens=(HERE,), holder=holder("run-1", expires_in_ms=1), run="run-2"),
            id="its run's lease lives, not desired",
        ),
        pytest.param(
            row(Action.RECOVER, Reason.REVOKING_LEFT, before=Side(path="bot", token_id="bot-0")),
            Case(
                spec=ELSEWHERE,
                entry=dataclasses.replace(HAD, revoking=(revoking("bot-0", "bot"),)),
                tokens=(HERE,),
            ),
            id="a revocation is left",
        ),
        pytest.param(
            (
                *row(Action.RECOVER, Reason.REVOKING_LEFT, before=Side(path="old", token_id="a")),
                *row(Action.RECOVER, Reason.REVOKING_LEFT, before=Side(path="bot", token_id="b")),
            ),
            Case(
                entry=dataclasses.replace(
                    DRAINING, revoking=(revoking("b", "bot"), revoking("a", "bot", path="old"))
                ),
                tokens=(HERE,),
            ),
            id="revocations are left, a row for each id, and nothing else is done before",
        ),
        pytest.param(
            (
                *row(
                    Action.RECOVER, Reason.REVOKING_LEFT, before=Side(path="bot", token_id="bot-0")
                ),
                *recover("bot-2"),
            ),
            Case(
                spec=BOT,
                entry=dataclasses.replace(BEGUN, revoking=(revoking("bot-0", "bot"),)),
                tokens=(ORPHAN,),
            ),
            id="an intent and a revocation are left: both are named",
        ),
        pytest.param(
            rotate(Reason.DUE, DUE_NOTE),
            Case(spec=BOT, entry=HAD, tokens=(MONTH_OLD,), holder=holder("run-1")),
            id="a lease without an intent says nothing about a label that is due",
        ),
        pytest.param(
            (KEEP_BOT,),
            Case(spec=BOT, entry=HAD, tokens=(HERE,), holder=holder("run-1")),
            id="a lease alone stops nobody",
        ),
    ],
)
def test_what_an_earlier_run_left(expected: tuple[Change, ...], case: Case) -> None:
    """It is finished or undone before anything else is decided about the label; while
    its run may live, it is left alone.
    """
    check(expected, case)


LEFT_BEHIND = Case(
    entry=dataclasses.replace(DRAINING, overlap_ms=0),
    tokens=(HERE, live("bot-0", "bot", unused_for_ms=2 * DAY_MS)),
)
"""The label leaves the manifest without an overlap; its predecessor is quiet, its
successor unused."""

STAYS = row(Action.HOLD, Reason.SUCCESSOR_UNUSED, before=gone("bot-0"))


@pytest.mark.parametrize(
    ("expected", "selection"),
    [
        pytest.param(True, Selection(), id="everything"),
        pytest.param(False, Selection(only=Category.CLEANUP), id="only cleanup"),
        pytest.param(False, Selection(only=Category.ROTATION), id="only rotation"),
        pytest.param(False, Selection(excluded=frozenset({"bot"})), id="all but this label"),
        pytest.param(False, Selection(targets=frozenset({MANAGER})), id="another label"),
        pytest.param(True, Selection(targets=frozenset({"bot"})), id="this label"),
    ],
)
def test_a_removal_is_believed_by_the_run_that_makes_it(
    *, expected: bool, selection: Selection
) -> None:
    """A predecessor goes without a used successor only beside its label's own row. A
    run that leaves that row to others judges as if the label stayed.
    """
    case = dataclasses.replace(LEFT_BEHIND, policy=Policy(selection=selection))
    found = [c for c in case.plan().changes if c.reason is Reason.SUPERSEDED]
    assert bool(found) is expected
    if selection.only is Category.CLEANUP:
        assert case.plan().changes == STAYS


def test_a_removal_that_was_not_approved_is_not_believed() -> None:
    """With an approved plan a label leaves only where its own row stands in that."""
    case = LEFT_BEHIND
    whole = case.plan()
    own = next(c for c in whole.changes if c.reason is Reason.NOT_DESIRED)
    rest = frozenset(row_key(c) for c in whole.acting) - {row_key(own)}
    all_of_it = dataclasses.replace(case, policy=Policy(agreed=rest | {row_key(own)}))
    assert all_of_it.plan().changes == whole.changes
    check(AT_ONCE + STAYS, dataclasses.replace(case, policy=Policy(agreed=rest)))


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param({}, id="elsewhere"),
        pytest.param({"bot": Content(token_id="bot-0")}, id="given to consumers"),
    ],
)
def test_a_wanted_label_without_a_token_has_not_left(contents: dict[str, Content]) -> None:
    """Its predecessors have no successor yet, so nothing proves that anybody has it."""
    case = Case(
        spec=BOT,
        entry=Entry(path="bot", retiring=(OLD,)),
        tokens=(live("bot-0", "bot", unused_for_ms=2 * DAY_MS),),
        secrets=NEWER if contents else {},
        contents=contents,
    )
    found = [
        c for c in case.plan().changes if c.before is not None and c.before.token_id == "bot-0"
    ]
    assert found == list(STAYS)


QUIET = live("bot-0", "bot", unused_for_ms=DAY_MS)
UNUSED = live("bot-0", "bot")
PICKED_UP = live("bot-1", "bot", unused_for_ms=0)
SUPERSEDED = (*row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0")), KEEP_BOT)


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        pytest.param(
            SUPERSEDED,
            Case(spec=BOT, entry=DRAINING, tokens=(PICKED_UP, QUIET)),
            id="quiet, and the successor is used",
        ),
        pytest.param(
            SUPERSEDED, Case(spec=BOT, entry=DRAINING, tokens=(HERE, UNUSED)), id="never used"
        ),
        pytest.param(
            SUPERSEDED,
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD, retiring=(dataclasses.replace(OLD, verified_at_ms=NOW_MS + USE_MARGIN_MS),)
                ),
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=0)),
            ),
            id="never used but by our verify",
        ),
        pytest.param(
            (
                *row(
                    Action.HOLD, Reason.STILL_USED, f"last used {iso(NOW_MS)}", before=gone("bot-0")
                ),
                KEEP_BOT,
            ),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD, retiring=(dataclasses.replace(OLD, verified_at_ms=NOW_MS - 1),)
                ),
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=0)),
            ),
            id="used right after our verify",
        ),
        pytest.param(
            (
                *row(Action.HOLD, Reason.OVERLAP, f"until {iso(NOW_MS + 1)}", before=gone("bot-0")),
                KEEP_BOT,
            ),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD, retiring=(dataclasses.replace(OLD, not_before_ms=NOW_MS + 1),)
                ),
                tokens=(HERE, UNUSED),
            ),
            id="the overlap is not over by a millisecond",
        ),
        pytest.param(
            SUPERSEDED,
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD, retiring=(dataclasses.replace(OLD, not_before_ms=NOW_MS),)
                ),
                tokens=(HERE, UNUSED),
            ),
            id="the overlap is just over",
        ),
        pytest.param(
            (
                *row(
                    Action.HOLD,
                    Reason.STILL_USED,
                    f"last used {iso(NOW_MS - DAY_MS + 1)}",
                    before=gone("bot-0"),
                ),
                KEEP_BOT,
            ),
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(PICKED_UP, live("bot-0", "bot", unused_for_ms=DAY_MS - 1)),
            ),
            id="used within a time as long as the overlap, though the successor is used too",
        ),
        pytest.param(
            (*row(Action.HOLD, Reason.SUCCESSOR_UNUSED, before=gone("bot-0")), KEEP_BOT),
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(HERE, live("bot-0", "bot", unused_for_ms=29 * DAY_MS)),
            ),
            id="quiet for long, but nobody has used the successor",
        ),
        pytest.param(
            (*row(Action.HOLD, Reason.SUCCESSOR_UNUSED, before=gone("bot-0")), KEEP_BOT),
            Case(
                spec=BOT, entry=DRAINING, tokens=(live("bot-1", "bot", unused_for_ms=DAY_MS), QUIET)
            ),
            id="only our verify has used the successor",
        ),
        pytest.param(
            SUPERSEDED,
            Case(
                spec=BOT,
                entry=DRAINING,
                tokens=(live("bot-1", "bot", unused_for_ms=DAY_MS - 1), QUIET),
            ),
            id="the successor was used a millisecond after our verify",
        ),
        pytest.param(
            (
                *row(
                    Action.HOLD,
                    Reason.STILL_USED,
                    f"last used {iso(NOW_MS + 1)}",
                    before=gone("bot-0"),
                ),
                KEEP_BOT,
            ),
            Case(
                spec=BOT,
                entry=dataclasses.replace(HAD, retiring=(retiring("bot-0", "bot", overlap_ms=0),)),
                tokens=(PICKED_UP, live("bot-0", "bot", unused_for_ms=-1)),
            ),
            id="used after the time of a saved plan",
        ),
        pytest.param(
            SUPERSEDED,
            Case(
                spec=BOT,
                entry=dataclasses.replace(HAD, retiring=(retiring("bot-0", "bot", overlap_ms=0),)),
                tokens=(PICKED_UP, live("bot-0", "bot", unused_for_ms=0)),
            ),
            id="without overlap there is nothing to wait for",
        ),
        pytest.param(
            (
                *row(
                    Action.REVOKE,
                    Reason.SUPERSEDED,
                    "already gone",
                    before=gone("bot-0", scopes=()),
                ),
                KEEP_BOT,
            ),
            Case(spec=BOT, entry=DRAINING, tokens=(HERE,)),
            id="vanished",
        ),
        pytest.param(
            (
                *row(
                    Action.HOLD,
                    Reason.OVERLAP,
                    f"until {iso(NOW_MS + HOUR_MS)}",
                    before=gone("bot-0", scopes=()),
                ),
                KEEP_BOT,
            ),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD, retiring=(dataclasses.replace(OLD, not_before_ms=NOW_MS + HOUR_MS),)
                ),
                tokens=(HERE,),
            ),
            id="vanished within its overlap",
        ),
        pytest.param(
            rotate(Reason.REVOKED_ELSEWHERE, before=dataclasses.replace(WAS, scopes=()))
            + row(Action.HOLD, Reason.SUCCESSOR_UNUSED, before=gone("bot-0")),
            Case(spec=BOT, entry=DRAINING, tokens=(QUIET,)),
            id="the successor vanished",
        ),
        pytest.param(
            (
                *row(Action.REVOKE, Reason.SUPERSEDED, before=gone("bot-0", path="old/bot")),
                KEEP_BOT,
            ),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD, retiring=(retiring("bot-0", "bot", path="old/bot"),)
                ),
                tokens=(HERE, UNUSED),
                secrets={"old/bot": living()},
            ),
            id="its secret lies at another path",
        ),
        pytest.param(
            row(Action.REVOKE, Reason.SUPERSEDED, before=gone("a"))
            + row(Action.HOLD, Reason.OVERLAP, f"until {iso(NOW_MS + 1)}", before=gone("b"))
            + row(Action.HOLD, Reason.SUCCESSOR_UNUSED, before=gone("c"))
            + (KEEP_BOT,),
            Case(
                spec=BOT,
                entry=dataclasses.replace(
                    HAD,
                    retiring=(
                        retiring("c", "bot"),
                        dataclasses.replace(retiring("b", "bot"), not_before_ms=NOW_MS + 1),
                        retiring("a", "bot"),
                    ),
                ),
                tokens=(
                    HERE,
                    live("a", "bot"),
                    live("b", "bot"),
                    live("c", "bot", unused_for_ms=2 * DAY_MS),
                ),
            ),
            id="each predecessor is judged by itself",
        ),
    ],
)
def test_a_predecessor(expected: tuple[Change, ...], case: Case) -> None:
    """It is revoked only when its overlap is over, nobody uses it, and the consumer
    proves to have the successor.
    """
    check(expected, case)


@pytest.mark.parametrize(
    ("expected", "signer_id"),
    [
        (Reason.SUPERSEDED, current_id(MANAGER)),
        (Reason.SUPERSEDED, None),
        (Reason.SUPERSEDED, "pinned"),
        (Reason.SIGNS, "boss-0"),
    ],
)
def test_the_tool_is_the_managers_consumer(expected: Reason, signer_id: str | None) -> None:
    """Nobody else has to pick the successor up, whoever signs; but the predecessor does
    not revoke itself.
    """
    boss = Entry(
        path=MANAGER,
        current=current(current_id(MANAGER), MANAGER),
        retiring=(retiring("boss-0", MANAGER),),
    )
    tokens = (
        live(current_id(MANAGER), MANAGER, unused_for_ms=DAY_MS),
        live("boss-0", MANAGER, unused_for_ms=2 * DAY_MS),
        live("pinned", "theirs", unused_for_ms=0),
    )
    seen = observed(ledger({MANAGER: boss}), *tokens, signer_id=signer_id)
    found = plan(manifest(spec(MANAGER)), seen, now_ms=NOW_MS)
    assert [expected] == [
        c.reason for c in found.changes if c.before is not None and c.before.token_id == "boss-0"
    ]


# --- the plan as a whole ---


def fleet(*specs: TokenSpec, age_ms: Mapping[str, int] | None = None) -> Observed:
    """All in sync but for the ages, in milliseconds."""
    seen = settled(specs)
    ages = age_ms or {}
    tokens = tuple(
        dataclasses.replace(t, created_at_ms=NOW_MS - ages.get(t.label or "", DAY_MS))
        for t in seen.live
    )
    entries = {
        label: dataclasses.replace(
            e, current=current(current_id(label), label, age_ms=ages.get(label, DAY_MS))
        )
        for label, e in seen.ledger.tokens.items()
    }
    return dataclasses.replace(
        seen, live=tokens, ledger=dataclasses.replace(seen.ledger, tokens=entries)
    )


AGES = {
    "a": 31 * DAY_MS,
    "b": 33 * DAY_MS,
    "c": 32 * DAY_MS,
    "d": 33 * DAY_MS,
    MANAGER: 40 * DAY_MS,
    "young": 0,
}
FLEET = tuple(spec(label) for label in AGES)


@pytest.mark.parametrize(
    ("expected", "policy"),
    [
        ([MANAGER, "b", "d", "c", "a"], Policy()),
        ([MANAGER, "b", "d", "c", "a"], Policy(max_rotations=5)),
        ([MANAGER, "b", "d"], Policy(max_rotations=3)),
        ([MANAGER], Policy(max_rotations=1)),
        ([], Policy(max_rotations=0)),
        (["c", "a"], Policy(max_rotations=2, selection=Selection(targets=frozenset({"a", "c"})))),
        (["b", "d"], Policy(max_rotations=2, selection=Selection(excluded=frozenset({MANAGER})))),
        ([MANAGER, "a", "b"], Policy(max_rotations=2, requested=frozenset({"a"}))),
    ],
)
def test_the_budget_goes_to_the_oldest(expected: list[str], policy: Policy) -> None:
    """At most --max-rotations due tokens, oldest first, then by label; requested ones
    do not count; the rest is held.
    """
    found = plan(manifest(*FLEET), fleet(*FLEET, age_ms=AGES), now_ms=NOW_MS, policy=policy)
    assert set(expected) == {c.label for c in found.changes if c.action is Action.ROTATE}
    shown = {c.label for c in found.changes}
    assert shown - set(expected) - {"young"} == {
        c.label for c in found.changes if c.reason is Reason.BUDGET
    }
    assert all(c.action is Action.HOLD for c in found.changes if c.reason is Reason.BUDGET)


def test_repairs_come_first_and_the_manager_last_among_its_like() -> None:
    """The order of the actions, then the manager last, then labels, then ids."""
    specs = (
        spec(MANAGER),
        *(spec(label) for label in ("a", "m", "z", "zz", "recover", "record", "restore", "held")),
    )
    seen = fleet(*specs, age_ms={"z": 90 * DAY_MS, MANAGER: 90 * DAY_MS, "a": 90 * DAY_MS})
    entries = dict(seen.ledger.tokens)
    del entries["m"], entries["zz"]
    entries["recover"] = dataclasses.replace(
        entries["recover"], revoking=(revoking("r0", "recover"),)
    )
    entries["left"] = Entry(path="left", current=current("left-1", "left"))
    entries[MANAGER] = dataclasses.replace(
        entries[MANAGER], retiring=(retiring("boss-0", MANAGER),)
    )
    secrets = {
        "record": living(2),
        "restore": living(2),
        "held": living(2),
        "m": deleted(),
        "zz": deleted(),
    }
    contents = {
        "record": Content(token_id=current_id("record")),
        "restore": Content(holder_version=1),
        "held": Content(readable=False),
    }
    tokens = tuple(t for t in seen.live if t.label not in {"m", "zz"})
    seen = dataclasses.replace(
        seen,
        ledger=dataclasses.replace(seen.ledger, tokens=entries, files=()),
        secrets={**seen.secrets, **secrets},
        contents=contents,
        live=tokens,
    )
    found = plan(manifest(*specs), seen, now_ms=NOW_MS)
    assert [(c.action, c.label) for c in found.changes] == [
        (Action.RECOVER, "recover"),
        (Action.RECORD, ""),
        (Action.RECORD, "record"),
        (Action.RESTORE, "restore"),
        (Action.DERIVE, "m"),
        (Action.DERIVE, "zz"),
        (Action.ROTATE, "a"),
        (Action.ROTATE, "z"),
        (Action.ROTATE, MANAGER),
        (Action.REVOKE, "left"),
        (Action.REVOKE, MANAGER),
        (Action.HOLD, "held"),
    ]
    assert found.counts() == {
        Action.RECOVER: 1,
        Action.RECORD: 2,
        Action.RESTORE: 1,
        Action.DERIVE: 2,
        Action.ROTATE: 3,
        Action.REVOKE: 2,
        Action.HOLD: 1,
    }


MIXED_SPECS = (spec(MANAGER), spec("due"), spec("lost"), spec("new"), spec("stuck"))


def mixed() -> Observed:
    """One row of each category, and one to recover."""
    seen = fleet(*(s for s in MIXED_SPECS if s.label != "new"), age_ms={"due": 90 * DAY_MS})
    entries = dict(seen.ledger.tokens)
    entries["due"] = dataclasses.replace(entries["due"], retiring=(retiring("due-0", "due"),))
    entries["stuck"] = dataclasses.replace(entries["stuck"], intent=intent("stuck"))
    known = dataclasses.replace(seen.ledger, tokens=entries)
    return dataclasses.replace(
        seen,
        ledger=known,
        secrets={**seen.secrets, "lost": deleted(2)},
        contents={"lost": Content(holder_version=1)},
    )


STUCK = ("stuck", Reason.INTENT_OPEN)
DUE = ("due", Reason.DUE)
DUE_0 = ("due", Reason.SUPERSEDED)
RESTORED = ("lost", Reason.SECRET_MOVED)
NEW = ("new", Reason.ABSENT)
BOSS = (MANAGER, Reason.IN_SYNC)


@pytest.mark.parametrize(
    ("expected", "selection"),
    [
        ([STUCK, RESTORED, NEW, DUE, DUE_0, BOSS], Selection()),
        ([STUCK, NEW], Selection(targets=frozenset({"new"}))),
        ([STUCK, RESTORED, NEW], Selection(targets=frozenset({"new", "lost", "unknown"}))),
        ([STUCK, RESTORED, NEW, BOSS], Selection(excluded=frozenset({"due", "stuck"}))),
        ([STUCK], Selection(targets=frozenset({"due"}), excluded=frozenset({"due"}))),
        ([STUCK, NEW, BOSS], Selection(only=Category.CONFIG)),
        ([STUCK, DUE], Selection(only=Category.ROTATION)),
        ([STUCK, RESTORED, DUE_0], Selection(only=Category.CLEANUP)),
        ([STUCK, DUE_0], Selection(only=Category.CLEANUP, targets=frozenset({"due"}))),
    ],
)
def test_a_selection_limits_what_is_done_but_not_recovery(
    expected: list[tuple[str, Reason]], selection: Selection
) -> None:
    """--target, --exclude and --only admit rows; what an earlier run left is recovered
    in any case.
    """
    found = plan(manifest(*MIXED_SPECS), mixed(), now_ms=NOW_MS, policy=Policy(selection=selection))
    assert expected == [(c.label, c.reason) for c in found.changes]
    assert selection == found.selection


def test_other_tokens_of_the_profile_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, the ledger is gone through as often: a profile's list has
    the tokens of all its manifests.
    """
    counted: list[Ledger] = []
    known_ids = Ledger.known_ids

    def counting(self: Ledger) -> dict[str, str]:
        counted.append(self)
        return known_ids(self)

    monkeypatch.setattr(Ledger, "known_ids", counting)
    wanted, times = manifest(spec(MANAGER), spec("bot")), []
    for others in (1, 100):
        counted.clear()
        foreign = [live(f"f{n}", f"other-{n}", age_ms=DAY_MS) for n in range(others)]
        world = settled(wanted.tokens)
        seen = dataclasses.replace(world, live=(*world.live, *foreign))
        found = plan(wanted, seen, now_ms=NOW_MS)
        assert len(found.not_touched) == others
        times.append(len(counted))
    assert times[0] == times[1]


def test_what_is_not_ours_is_listed_and_not_touched() -> None:
    """Twins first, then by label and id; near an abandoned intent a twin is probably
    ours; foreign tokens never are.
    """
    since_ms = NOW_MS - HOUR_MS
    known = ledger(
        {
            MANAGER: settled([spec(MANAGER)]).ledger.tokens[MANAGER],
            "left": Entry(path="left", protect=True),
        },
        abandoned=(
            Abandoned(label=MANAGER, since_ms=since_ms, closed_at_ms=NOW_MS),
            Abandoned(label="lost", since_ms=since_ms, closed_at_ms=NOW_MS),
        ),
    )
    tokens = (
        live("f3", "theirs", age_ms=0),
        live("f2", None, age_ms=0),
        live("f1", None, age_ms=0),
        live(current_id(MANAGER), MANAGER),
        live("t3", MANAGER, age_ms=HOUR_MS + 32 * SECOND_MS + 1),
        live("t2", MANAGER, age_ms=HOUR_MS + 2 * SECOND_MS),
        live("t1", "left", age_ms=0),
        live("t0", "lost", age_ms=0),
    )
    found = plan(manifest(spec(MANAGER)), observed(known, *tokens), now_ms=NOW_MS)
    assert found.changes == (KEEP_MANAGER,)
    assert (
        NotTouched(token_id="t1", label="left", kind=Kind.TWIN),
        NotTouched(token_id="t0", label="lost", kind=Kind.TWIN, perhaps_ours=True),
        NotTouched(token_id="t2", label=MANAGER, kind=Kind.TWIN, probably_ours=True),
        NotTouched(token_id="t3", label=MANAGER, kind=Kind.TWIN),
        NotTouched(token_id="f1", label=None, kind=Kind.FOREIGN),
        NotTouched(token_id="f2", label=None, kind=Kind.FOREIGN),
        NotTouched(token_id="f3", label="theirs", kind=Kind.FOREIGN),
    ) == found.not_touched


def test_equal_plans_are_one_value() -> None:
    """They hash alike, so that a plan, or a row of it, can be a key."""
    assert len({DIGESTED.plan(), DIGESTED.plan()}) == 1
    assert len({*DIGESTED.plan().changes, *DIGESTED.plan().changes}) == 2


def test_a_plan_says_what_it_is_about() -> None:
    """Its head is the observed world's; holds for a person, and changes that need an
    identity, can be told apart.
    """
    seen = dataclasses.replace(mixed(), foreign_unnamed=7)
    found = plan(
        manifest(*MIXED_SPECS, spec("twin")),
        dataclasses.replace(seen, live=(*seen.live, live("t", "twin"))),
        now_ms=5,
    )
    head = (found.as_of_ms, found.api_url, found.ledger_id, found.profile_id, found.foreign_unnamed)
    assert head == (5, seen.api_url, seen.ledger.ledger_id, seen.ledger.profile_id, 7)
    assert [c.label for c in found.decisions] == ["twin"]
    assert [c.label for c in found.acting if c.derives] == ["new"]
    assert found.acting == tuple(
        c for c in found.changes if c.action not in {Action.HOLD, Action.KEEP}
    )


MOVES_ON = Selection(targets=frozenset({"bot"}))


@pytest.mark.parametrize(
    ("expected", "paths", "protected", "policy"),
    [
        pytest.param(Reason.PATH_TAKEN, {"desk": "x", "bot": "x"}, False, DEFAULT, id="it stays"),
        pytest.param(
            Reason.PATH_TAKEN, {"bot": "x"}, True, DEFAULT, id="it left, but is protected"
        ),
        pytest.param(
            Reason.WAITS_FOR,
            {"bot": "x"},
            False,
            Policy(selection=MOVES_ON),
            id="it left, and its row is left to another run",
        ),
        pytest.param(
            Reason.WAITS_FOR,
            {"desk": "y", "bot": "x"},
            False,
            Policy(selection=MOVES_ON),
            id="it moves in another run",
        ),
    ],
)
def test_a_path_that_another_label_keeps(
    *, expected: Reason, paths: dict[str, str], protected: bool, policy: Policy
) -> None:
    """It is told apart from foreign content, and whether the other one will leave."""
    found = passed_on(paths, protected=protected, policy=policy)["bot"][0]
    assert (Action.HOLD, expected, "secret/p/x is that of desk") == (
        found.action,
        found.reason,
        found.note,
    )
    assert "--replace" not in SENTENCES[expected]


def passed_on(
    paths: dict[str, str],
    *,
    protected: bool = False,
    policy: Policy = DEFAULT,
    unused_for_ms: int | None = None,
) -> dict[str, list[Change]]:
    """The rows by label, where desk has x, third has z, and both may go.

    ``unused_for_ms`` is how long ago somebody used desk's predecessor.
    """
    old = retiring("d0", "desk")
    entries = {
        "desk": Entry(path="x", current=DESK_NOW, retiring=(old,), overlap_ms=0, protect=protected),
        "third": Entry(path="z", current=dataclasses.replace(DESK_NOW, token_id="t3")),
    }
    known = settled([spec(MANAGER)])
    tokens = {**known.ledger.tokens, **entries}
    used = live("d0", "desk", unused_for_ms=unused_for_ms)
    living_tokens = (used, live("d1", "desk"), live("t3", "desk"))
    seen = dataclasses.replace(
        known,
        ledger=dataclasses.replace(known.ledger, tokens=tokens),
        live=(*known.live, *living_tokens),
        secrets={**known.secrets, "x": living(), "z": living()},
    )
    specs = [spec(MANAGER), *(spec(label, path=path) for label, path in paths.items())]
    rows: dict[str, list[Change]] = {}
    for change in plan(manifest(*specs), seen, now_ms=NOW_MS, policy=policy).changes:
        rows.setdefault(change.label, []).append(change)
    return rows


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param({"desk": "y", "bot": "x"}, id="it moves"),
        pytest.param({"desk": "z", "third": "y", "bot": "x"}, id="a chain"),
        pytest.param({"desk": "z", "third": "x"}, id="a swap"),
        pytest.param(
            {"desk": "z", "third": "x", "bot": "y"}, id="a swap, and a newcomer beside it"
        ),
    ],
)
def test_paths_are_passed_on(paths: dict[str, str]) -> None:
    """Each label rotates into what the manifest says, and waits for nobody; nor does
    what is revoked, and lies there no more.
    """
    rows = passed_on(paths)
    for label in paths.keys() - {"bot"}:
        own = [c for c in rows[label] if c.after is not None]
        assert [(c.action, c.reason) for c in own] == [(Action.ROTATE, Reason.PATH_CHANGED)]
    (gone,) = [c for c in rows["desk"] if c.after is None]
    assert (gone.action, gone.reason) == (Action.REVOKE, Reason.SUPERSEDED)
    assert isinstance(gone.task, tasks.RevokeRetiring)
    assert gone.task.after_taker is None


def test_a_label_that_goes_at_once_is_not_removed_before_its_path_goes_over() -> None:
    """Without an overlap its row says revoke. While another label takes its path over
    in the same run, the path would be empty in between.
    """
    rows = passed_on({"third": "z"})["desk"]
    assert [c.action for c in rows] == [Action.REVOKE, Action.REVOKE]
    assert takers_of(rows) == {"d0": None, "d1": None}
    rows = passed_on({"third": "z", "bot": "x"})["desk"]
    assert [c.action for c in rows] == [Action.REVOKE, Action.REVOKE]
    assert takers_of(rows) == {"d0": None, "d1": "bot"}
    left_out = Policy(selection=Selection(excluded=frozenset({"bot"})))
    rows = passed_on({"third": "z", "bot": "x"}, policy=left_out)["desk"]
    gone, waits = sorted(rows, key=lambda c: c.action is Action.HOLD)
    assert takers_of([gone]) == {"d0": None}
    assert (waits.reason, waits.note) == (Reason.WAITS_FOR, "secret/p/x goes over to bot first")
    now = dataclasses.replace(left_out, revoke_now=frozenset({"desk"}))
    rows = passed_on({"third": "z", "bot": "x"}, policy=now)["desk"]
    assert [c.action for c in rows] == [Action.REVOKE, Action.REVOKE]


def test_a_predecessor_stays_while_its_label_waits() -> None:
    """Nobody uses its successor, so it may go because the label goes, and only then."""
    used, paths = 3 * DAY_MS, {"third": "z", "bot": "x"}
    rows = {c.before.token_id: c for c in passed_on(paths, unused_for_ms=used)["desk"] if c.before}
    assert isinstance(rows["d0"].task, tasks.RevokeRetiring)
    assert rows["d0"].task.after_current
    (own,) = [c for c in passed_on(paths)["desk"] if c.before and c.before.token_id == "d0"]
    assert isinstance(own.task, tasks.RevokeRetiring)
    assert not own.task.after_current  # never used: it goes whatever becomes of the label
    left_out = Policy(selection=Selection(excluded=frozenset({"bot"})))
    found = passed_on(paths, policy=left_out, unused_for_ms=used)["desk"]
    assert {(c.action, c.reason) for c in found} == {
        (Action.HOLD, Reason.WAITS_FOR),
        (Action.HOLD, Reason.SUCCESSOR_UNUSED),
    }


def takers_of(rows: Iterable[Change]) -> dict[str | None, str | None]:
    """The label that each of these revocations comes after, by token."""
    found = {}
    for row in rows:
        assert isinstance(row.task, (tasks.RevokeCurrent, tasks.RevokeRetiring))
        assert row.before is not None
        found[row.before.token_id] = row.task.after_taker
    return found


def test_a_displaced_token_is_replaced_where_the_manifest_wants_it() -> None:
    """It lies nowhere, so nothing is restored."""
    was = dataclasses.replace(current("bot-1", "bot"), displaced=True)
    entry = dataclasses.replace(HAD, current=was)
    case = Case(
        spec=BOT,
        entry=entry,
        tokens=(HERE,),
        secrets=NEWER,
        contents={"bot": Content(token_id="alien")},
    )
    (found,) = [c for c in case.plan().changes if c.label == "bot"]
    assert (found.action, found.reason) == (Action.HOLD, Reason.OCCUPIED)
    free = dataclasses.replace(case, secrets=GONE_SECRET, contents={})
    (found,) = [c for c in free.plan().changes if c.label == "bot"]
    assert (found.action, found.reason) == (Action.ROTATE, Reason.SECRET_LOST)


# --- reasons ---


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_can_be_told_and_chosen(reason: Reason) -> None:
    """It has a sentence on one line and a category."""
    assert SENTENCES[reason].strip() == SENTENCES[reason] != ""
    assert "\n" not in SENTENCES[reason]
    assert CATEGORIES[reason] in Category


def test_the_sentences_are_distinct() -> None:
    """Two reasons never read the same."""
    assert len(set(SENTENCES.values())) == len(Reason) == len(SENTENCES) == len(CATEGORIES)


def test_only_holds_of_desired_labels_need_a_decision() -> None:
    """Each hold that only a person resolves is one that the planner makes for a desired
    label.
    """
    assert (
        frozenset(
            {
                Reason.TWIN,
                Reason.OCCUPIED,
                Reason.NAME_TAKEN,
                Reason.PATH_TAKEN,
                Reason.ROLLED_BACK,
                Reason.ENDS_BY_ITSELF,
                Reason.LEDGER_RESTORED,
                Reason.SCOPES_GRANTED,
                Reason.RESERVE_USED,
            }
        )
        == NEEDS_DECISION
    )
    assert not Change(label="bot", action=Action.DERIVE, reason=Reason.TWIN).needs_decision
    assert not Change(label="bot", action=Action.HOLD, reason=Reason.OVERLAP).needs_decision


def test_each_flag_that_a_sentence_names_is_spelt_alike() -> None:
    """A sentence that tells a way out names one of the contract's flags."""
    flags = {
        "--allow-missing-files",
        "--revoke-in-use",
        "--revoke-unproven",
        "--ledger-restored",
        "--retry-scopes",
        "--replace",
        "--max-rotations",
        "--token-id",
        "--compromised",
    }
    assert flags == {flag for said in SENTENCES.values() for flag in re.findall(r"--[a-z-]+", said)}


# --- the digest ---

DIGESTED = Case(
    spec=spec("bot", path="prod/bot", scopes=WIDE),
    entry=HAD,
    tokens=(HERE,),
    secrets={"prod/bot": deleted(4)},
)


def digests(change: Callable[[Plan], Plan]) -> tuple[str, str]:
    """The digest of a plan before and after."""
    before = DIGESTED.plan()
    return before.digest(), change(before).digest()


def side(found: Plan, **fields: object) -> Plan:
    """The plan with another ``after`` in its first row."""
    first, *rest = found.changes
    assert first.after is not None
    changed = dataclasses.replace(first, after=dataclasses.replace(first.after, **fields))  # type: ignore[arg-type]  # a table names them
    return dataclasses.replace(found, changes=(changed, *rest))


def first_row(found: Plan, **fields: object) -> Plan:
    """The plan with another first row."""
    first, *rest = found.changes
    return dataclasses.replace(found, changes=(dataclasses.replace(first, **fields), *rest))  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: first_row(p, label="bot2"), id="label"),
        pytest.param(lambda p: first_row(p, action=Action.DERIVE), id="action"),
        pytest.param(lambda p: first_row(p, reason=Reason.DUE), id="reason"),
        pytest.param(lambda p: first_row(p, before=None), id="token id"),
        pytest.param(lambda p: side(p, scopes=TRADING), id="scopes"),
        pytest.param(lambda p: side(p, path="bot2"), id="path"),
        pytest.param(lambda p: side(p, version=5), id="version"),
        pytest.param(lambda p: side(p, protect=True), id="protection"),
        pytest.param(lambda p: side(p, overlap_ms=0), id="overlap"),
        pytest.param(lambda p: side(p, files=("a.yaml",)), id="files"),
        pytest.param(lambda p: dataclasses.replace(p, changes=p.changes[1:]), id="a row less"),
        pytest.param(
            lambda p: dataclasses.replace(p, changes=(*p.changes, p.changes[0])), id="a row more"
        ),
        pytest.param(
            lambda p: dataclasses.replace(p, selection=Selection(targets=frozenset({"bot"}))),
            id="--target",
        ),
        pytest.param(
            lambda p: dataclasses.replace(p, selection=Selection(excluded=frozenset({"bot"}))),
            id="--exclude",
        ),
        pytest.param(
            lambda p: dataclasses.replace(p, selection=Selection(only=Category.CONFIG)), id="--only"
        ),
        pytest.param(lambda p: dataclasses.replace(p, profile_id=43), id="profile"),
        pytest.param(lambda p: dataclasses.replace(p, profile_id=None), id="no profile"),
        pytest.param(
            lambda p: dataclasses.replace(p, api_url="https://other.example"), id="API URL"
        ),
        pytest.param(lambda p: dataclasses.replace(p, ledger_id="other"), id="ledger id"),
    ],
)
def test_the_digest_covers_what_would_be_done(change: Callable[[Plan], Plan]) -> None:
    """Whatever a person agrees to, and what it is done to, is in it."""
    before, after = digests(change)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", after)
    assert before != after


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: dataclasses.replace(p, as_of_ms=1), id="clock"),
        pytest.param(lambda p: first_row(p, note="other"), id="note"),
        pytest.param(lambda p: dataclasses.replace(p, changes=p.changes[:1]), id="a keep less"),
        pytest.param(
            lambda p: dataclasses.replace(
                p, changes=(*p.changes, *row(Action.HOLD, Reason.IN_USE, before=WAS))
            ),
            id="a hold more",
        ),
        pytest.param(
            lambda p: dataclasses.replace(
                p, not_touched=(NotTouched(token_id="t", label="bot", kind=Kind.TWIN),)
            ),
            id="a twin",
        ),
        pytest.param(lambda p: dataclasses.replace(p, foreign_unnamed=3), id="foreign tokens"),
    ],
)
def test_the_digest_leaves_out_what_is_not_done(change: Callable[[Plan], Plan]) -> None:
    """Holds, keeps, notes and times change nothing that was agreed to."""
    before, after = digests(change)
    assert before == after


def test_the_digest_is_that_of_the_documented_text() -> None:
    """Worked by hand: anybody can compute it."""
    found = Case(spec=BOT).plan()
    text = (
        '{"api_url":"https://api.example","changes":[{"action":"derive","after":{"files":[],"overlap_ms":86400000,'
        '"path":"bot","protect":null,'
        '"scopes":["trading"],"token_id":null,"version":0},"before":null,"label":"bot","reason":"absent"}],"flags":[],"format_version":2,'
        '"ledger_id":"ledger-1","profile_id":42,"selection":{"excluded":[],"only":null,"targets":[]}}'
    )
    assert found.digest() == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_a_row_is_identified_by_what_the_digest_covers() -> None:
    """Two acting rows of any plan differ in it, notes do not count."""
    first = DIGESTED.plan().changes[0]
    assert row_key(first) == row_key(dataclasses.replace(first, note="other"))
    assert row_key(first) != row_key(dataclasses.replace(first, label="other"))


# --- laws ---

TASKS: Mapping[Action, set[type | None]] = {
    Action.RECOVER: {tasks.RecoverIntent, tasks.FinishRevoking, tasks.RemovePlaceholder},
    Action.RECORD: {
        tasks.RecordFiles,
        tasks.RecordProtection,
        tasks.RecordReturned,
        tasks.RecordVersion,
    },
    Action.RESTORE: {tasks.RestoreSecret},
    Action.DERIVE: {tasks.NewToken},
    Action.ROTATE: {tasks.NewToken},
    Action.RETIRE: {tasks.RetireCurrent},
    Action.REVOKE: {tasks.RevokeCurrent, tasks.RevokeRetiring},
    Action.HOLD: {None},
    Action.KEEP: {None},
}

LAWS = settings(max_examples=200, derandomize=True)


def planned(world: World, *, now_ms: int = NOW_MS) -> Plan:
    """The plan of a generated world."""
    return plan(world.desired, world.seen, now_ms=now_ms, policy=world.policy, run=world.run)


def shuffled(world: World, chance: random.Random) -> World:
    """The same world, told in another order."""

    def mixed_up(entries: Mapping[str, T]) -> dict[str, T]:
        return {key: entries[key] for key in chance.sample(sorted(entries), len(entries))}

    def entry(known: Entry) -> Entry:
        return dataclasses.replace(
            known,
            retiring=tuple(chance.sample(known.retiring, len(known.retiring))),
            revoking=tuple(chance.sample(known.revoking, len(known.revoking))),
        )

    seen = world.seen
    known = dataclasses.replace(
        seen.ledger,
        tokens={label: entry(e) for label, e in mixed_up(seen.ledger.tokens).items()},
        abandoned=tuple(chance.sample(seen.ledger.abandoned, len(seen.ledger.abandoned))),
        files=tuple(chance.sample(seen.ledger.files, len(seen.ledger.files))),
    )
    seen = dataclasses.replace(
        seen,
        ledger=known,
        live=tuple(chance.sample(seen.live, len(seen.live))),
        secrets=mixed_up(seen.secrets),
        contents=mixed_up(seen.contents),
    )
    tokens = tuple(chance.sample(world.desired.tokens, len(world.desired.tokens)))
    return dataclasses.replace(
        world, seen=seen, desired=dataclasses.replace(world.desired, tokens=tokens)
    )


@LAWS
@given(worlds(), st.randoms(use_true_random=True))
def test_order_does_not_matter(world: World, chance: random.Random) -> None:
    """The same state in another order gives the same plan, and so the same digest."""
    expected, found = planned(world), planned(shuffled(world, chance))
    assert expected == found
    assert expected.digest() == found.digest()


@LAWS
@given(worlds(sound=False))
def test_each_row_that_acts_carries_the_task_of_its_action(world: World) -> None:
    """Rows that hold or keep carry none, and a task is about what its row shows."""
    for change in planned(world).changes:
        kind = type(change.task) if change.task is not None else None
        assert kind in TASKS[change.action]


@LAWS
@given(worlds(sound=False))
def test_the_planner_never_raises(world: World) -> None:
    """What is odd, even a ledger that was edited by hand, becomes a row or none; the
    digest can always be had.
    """
    found = planned(world)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found.digest())
    assert found.counts() == collections.Counter(c.action for c in found.changes)


@LAWS
@given(worlds())
def test_only_recorded_ids_are_ever_revoked(world: World) -> None:
    """A revocation names the current token of a label that has left, or a predecessor;
    never a twin's or a foreign one's.
    """
    known = world.seen.ledger
    kinds = classify(world.seen, frozenset(s.label for s in world.desired.tokens))
    desired = {s.label for s in world.desired.tokens}
    for change in planned(world).acting:
        token_id = change.before.token_id if change.before is not None else None
        if change.action is Action.REVOKE:
            entry = known.tokens[change.label]
            left = (
                {entry.current.token_id}
                if entry.current is not None and change.label not in desired
                else set()
            )
            assert token_id in {r.token_id for r in entry.retiring} | left
            assert kinds.get(token_id or "") in {None, Kind.CURRENT, Kind.RETIRING}
            assert token_id != world.seen.signer_id
        if change.action is Action.RECOVER and token_id is not None:
            assert kinds.get(token_id) in {None, Kind.CURRENT, Kind.REVOKING, Kind.INTERRUPTED}


@LAWS
@given(worlds())
def test_each_live_token_is_in_one_place(world: World) -> None:
    """Listed as not touched are the twins and foreign tokens, no row is about one of
    them, and no id has two acting rows.
    """
    found = planned(world)
    kinds = classify(world.seen, frozenset(s.label for s in world.desired.tokens))
    assert kinds.keys() == {t.token_id for t in world.seen.live}
    others = {token_id for token_id, kind in kinds.items() if kind in {Kind.TWIN, Kind.FOREIGN}}
    assert others == {r.token_id for r in found.not_touched}
    ids = [
        c.before.token_id
        for c in found.acting
        if c.before is not None and c.before.token_id is not None
    ]
    assert not others & set(ids)
    assert len(ids) == len(set(ids))
    assert len(found.acting) == len({row_key(c) for c in found.acting})


@LAWS
@given(worlds())
def test_what_is_derived_is_what_the_manifest_says(world: World) -> None:
    """At most one token for each desired label, with its scopes, into its path, at the
    version that was seen; within budget.
    """
    found = planned(world)
    specs = {s.label: s for s in world.desired.tokens}
    derived = [c for c in found.acting if c.derives]
    assert len({c.label for c in derived}) == len(derived)
    for change in derived:
        wanted = specs[change.label]
        target = world.seen.meta(wanted.path)
        protect = wanted.protect if change.label not in world.seen.ledger.tokens else None
        expected = Side(
            path=wanted.path,
            scopes=wanted.scopes,
            version=target.latest,
            version_created_at_ms=target.created_at_ms,
            protect=protect,
            overlap_ms=wanted.overlap_ms,
        )
        assert expected == change.after
    assert sum(c.reason is Reason.DUE for c in found.acting) <= world.policy.max_rotations


@LAWS
@given(worlds())
def test_a_protected_label_is_never_revoked_for_leaving(world: World) -> None:
    """Neither is one that may stand in a missing file."""
    leaving = [c.label for c in planned(world).acting if c.reason is Reason.NOT_DESIRED]
    missing = set(world.seen.ledger.files) - set(world.desired.files)
    assert not [label for label in leaving if world.seen.ledger.tokens[label].protect]
    assert not leaving or not missing or world.policy.allow_missing_files


@LAWS
@given(worlds())
def test_cleanup_needs_no_identity(world: World) -> None:
    """--only cleanup derives nothing."""
    policy = dataclasses.replace(world.policy, selection=Selection(only=Category.CLEANUP))
    assert not [c for c in planned(dataclasses.replace(world, policy=policy)).acting if c.derives]


@LAWS
@given(worlds())
def test_a_selection_adds_nothing(world: World) -> None:
    """What is planned within a selection is planned without one too, but for the
    budget, which is then shared with more.
    """
    whole = dataclasses.replace(
        world, policy=dataclasses.replace(world.policy, selection=Selection())
    )
    everything = {c for c in planned(whole).changes if c.reason not in {Reason.DUE, Reason.BUDGET}}
    assert {
        c for c in planned(world).changes if c.reason not in {Reason.DUE, Reason.BUDGET}
    } <= everything


@LAWS
@given(worlds(), st.sampled_from((-HOUR_MS, -1, 1, HOUR_MS, DAY_MS)))
def test_the_digest_is_of_the_decisions_not_of_the_clock(world: World, later_ms: int) -> None:
    """At another time the digest is the same exactly where the same is done."""
    now, later = planned(world), planned(world, now_ms=NOW_MS + later_ms)
    same = [row_key(c) for c in now.acting] == [row_key(c) for c in later.acting]
    assert same == (now.digest() == later.digest())


def renamed_runs(known: Ledger) -> Ledger:
    """The same ledger, written by runs of other names."""
    entries = {
        label: e
        if e.intent is None
        else dataclasses.replace(e, intent=dataclasses.replace(e.intent, run="x", operation_id="x"))
        for label, e in known.tokens.items()
    }
    lease = known.holder and dataclasses.replace(
        known.holder, run=f"x-{known.holder.run}", write="x", who="x"
    )
    return dataclasses.replace(known, tokens=entries, holder=lease)


@LAWS
@given(worlds())
def test_run_ids_are_not_in_the_digest(world: World) -> None:
    """Who ran before, and what it called its operations, is nothing that anybody agrees
    to.
    """
    other = dataclasses.replace(
        world,
        seen=dataclasses.replace(world.seen, ledger=renamed_runs(world.seen.ledger)),
        run=f"x-{world.run}",
    )
    assert planned(world).digest() == planned(other).digest()


@LAWS
@given(worlds(), st.integers(1, 59_999))
def test_times_of_use_are_not_in_the_digest(world: World, more_ms: int) -> None:
    """A use that decides nothing leaves the digest as it is."""
    tokens = tuple(
        t
        if t.last_used_at_ms is None
        else dataclasses.replace(t, last_used_at_ms=t.last_used_at_ms + more_ms)
        for t in world.seen.live
    )
    now, other = (
        planned(world),
        planned(dataclasses.replace(world, seen=dataclasses.replace(world.seen, live=tokens))),
    )
    same = [row_key(c) for c in now.acting] == [row_key(c) for c in other.acting]
    assert same == (now.digest() == other.digest())


@pytest.mark.parametrize(
    ("last", "reasons"),
    [
        ("nothing_left", reasons.LEFTOVER),
        ("not_desired", reasons.UNWANTED),
        ("absent", reasons.MISSING),
        ("revoked_elsewhere", reasons.UNLISTED),
        ("in_sync", reasons.LISTED),
        ("successor_unused", RETIRING),
    ],
)
def test_the_last_reason_always_answers(
    last: str, reasons: tuple[Callable[[object], object], ...]
) -> None:
    """Each table of contents ends in one that has no condition, and names each function
    once.
    """
    assert len(set(reasons)) == len(reasons)
    assert reasons[-1].__name__ == last
    assert reasons[-1](None) is not None
