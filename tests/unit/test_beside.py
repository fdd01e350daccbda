"""What others wrote beside our fields: which names are told, what a row of the plan
says of them, and what the ledger remembers.
"""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.documents import dump, load_plan, load_snapshot, plan_document, snapshot_document
from reconciler.model import DAY_MS, Secret, SecretVersion, TokenSpec, VersionId, VersionState
from reconciler.plan import Action, Change, Plan, Policy, Reason, alarms_of, is_loud, plan
from reconciler.render import plan_markdown, plan_text
from reconciler.state import (
    Content,
    Entry,
    Moved,
    Observed,
    Retirement,
    named_others,
    others_of,
    record_current,
    set_unsigned,
    set_version,
    start_revoking,
)
from reconciler.state.secret import OTHERS_LENGTH, OTHERS_NAME_LENGTH, OTHERS_NAMED, Fields
from tests.support.values import (
    MANAGER,
    NOW_MS,
    current,
    current_id,
    deleted,
    intent,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    spec,
)

BESIDE = ("note", "owner")
HAD = Entry(path="bot", current=current("bot-1", "bot"), overlap_ms=0, others=BESIDE)
ROTATE_BOT = Policy(requested=frozenset({"bot"}))
NAMED = ("NOTE=token_id",)


def named(further: tuple[str, ...]) -> TokenSpec:
    """``bot`` with these further names."""
    return dataclasses.replace(spec("bot"), fields=further)


def seen(entry: Entry, **differs: object) -> Observed:
    """A snapshot with the manager, and with ``bot`` as the ledger has it."""
    boss = Entry(path=MANAGER, current=current(current_id(MANAGER), MANAGER))
    tokens = [
        live(current_id(MANAGER), MANAGER, unused_for_ms=0),
        live("bot-1", "bot", unused_for_ms=30 * DAY_MS),
    ]
    tokens += [live(old.token_id, "bot", unused_for_ms=30 * DAY_MS) for old in entry.retiring]
    known = ledger({MANAGER: boss, "bot": entry})
    return observed(known, *tokens, signer_id=current_id(MANAGER), **differs)  # type: ignore[arg-type]


def planned(wanted: TokenSpec | None, known: Observed, policy: Policy) -> Plan:
    """The plan of ``bot`` alone."""
    specs = (spec(MANAGER, rotate_after_ms=None), *((wanted,) if wanted is not None else ()))
    return plan(manifest(*specs), known, now_ms=NOW_MS, policy=policy)


def row_of(made: Plan) -> Change:
    """The one row that acts."""
    [row] = made.acting
    return row


@pytest.mark.parametrize(
    ("expected", "wanted", "known", "policy"),
    [
        pytest.param(
            (Action.ROTATE, BESIDE, ()),
            spec("bot"),
            seen(HAD),
            ROTATE_BOT,
            id="rotate: by the ledger, without a read",
        ),
        pytest.param(
            (Action.RECORD, ("new",), ()),
            spec("bot"),
            seen(
                HAD,
                secrets={"bot": living(2)},
                contents={"bot": Content(token_id="bot-1", others=("new",))},
            ),
            Policy(),
            id="somebody wrote again: by the content",
        ),
        pytest.param(
            (Action.ROTATE, ("new",), ()),
            spec("bot"),
            seen(
                HAD,
                secrets={"bot": living(2)},
                contents={"bot": Content(token_id="bot-1", others=("new",))},
            ),
            ROTATE_BOT,
            id="rotate over what somebody wrote again",
        ),
        pytest.param(
            (Action.ROTATE, BESIDE, ()),
            spec("bot"),
            seen(HAD, secrets={"bot": living(2)}, contents={"bot": Content(readable=False)}),
            ROTATE_BOT,
            id="rotate what could not be read: as the ledger knows it",
        ),
        pytest.param(
            (Action.ROTATE, (), ()),
            spec("bot"),
            seen(
                HAD,
                secrets={"bot": living(2)},
                contents={"bot": Content(token_id="alien", holder_version=1, others=BESIDE)},
            ),
            ROTATE_BOT,
            id="rotate over foreign content: nothing of it is kept",
        ),
        pytest.param(
            (Action.RESTORE, BESIDE, ()),
            spec("bot"),
            seen(
                HAD,
                secrets={"bot": deleted(2)},
                contents={"bot": Content(holder_version=1, others=BESIDE)},
            ),
            Policy(),
            id="restore: those of the version that is written again",
        ),
        pytest.param(
            (Action.ROTATE, (), ()),
            spec("bot"),
            seen(HAD, secrets={"bot": deleted(2)}, contents={"bot": Content()}),
            Policy(),
            id="the secret is lost, and all that lay beside it",
        ),
        pytest.param(
            (Action.REWRITE, BESIDE, ()),
            named(NAMED),
            seen(HAD),
            Policy(),
            id="rewrite with another further name",
        ),
        pytest.param(
            (Action.REWRITE, ("owner",), ("note",)),
            named(("note=token_id",)),
            seen(HAD),
            Policy(),
            id="a further name takes the place of theirs",
        ),
        pytest.param(
            (Action.ROTATE, ("owner",), ("note",)),
            named(("note=token_id",)),
            seen(HAD),
            ROTATE_BOT,
            id="the same, while the token is rotated",
        ),
        pytest.param(
            (Action.ROTATE, ("note", "older", "owner"), ()),
            spec("bot", path="prod/bot"),
            seen(
                dataclasses.replace(HAD, retiring=(retiring("bot-0", "bot", path="prod/bot"),)),
                secrets={"prod/bot": living(3)},
                contents={"prod/bot": Content(token_id="bot-0", others=("older",))},
            ),
            Policy(),
            id="another path: taken along, to those that lie there",
        ),
        pytest.param(
            (Action.REVOKE, (), BESIDE),
            None,
            seen(HAD),
            Policy(revoke_in_use=True),
            id="the label left: they go with the secret",
        ),
    ],
)
def test_a_row_names_what_others_wrote(
    expected: tuple[Action, tuple[str, ...], tuple[str, ...]],
    wanted: TokenSpec | None,
    known: Observed,
    policy: Policy,
) -> None:
    """What the change keeps, and what it takes away, in the row of the token."""
    rows = planned(wanted, known, policy).acting
    [row] = [c for c in rows if c.before is not None and c.before.token_id == "bot-1"]
    assert (row.action, row.kept_fields, row.lost_fields) == expected


@pytest.mark.parametrize(
    ("expected", "content"),
    [
        (("late",), Content(token_id="bot-0", others=("late", "note"))),
        ((), Content(token_id="alien", others=("late",))),
        ((), None),
    ],
)
def test_what_goes_with_a_former_path_is_named(
    expected: tuple[str, ...], content: Content | None
) -> None:
    """What somebody wrote there after the move, if it is to be deleted at all."""
    old = retiring("bot-0", "bot", path="old")
    known = seen(
        dataclasses.replace(HAD, retiring=(old,)),
        secrets={"old": living(4)},
        contents={"old": content} if content is not None else {},
    )
    row = row_of(planned(spec("bot"), known, Policy(revoke_unproven=True)))
    assert (row.action, row.reason, row.lost_fields) == (
        Action.REVOKE,
        Reason.SUPERSEDED,
        expected,
    )


def test_a_row_that_waits_names_nothing() -> None:
    """A rotation beyond the budget keeps nothing now."""
    aged = dataclasses.replace(HAD, current=current("bot-1", "bot", age_ms=60 * DAY_MS))
    wanted = spec("bot", rotate_after_ms=30 * DAY_MS)
    born = live("bot-1", "bot", age_ms=60 * DAY_MS, unused_for_ms=0)
    known = dataclasses.replace(seen(aged), live=(*seen(aged).live[:1], born))
    for allowed, named in ((1, BESIDE), (0, ())):
        rows = planned(wanted, known, Policy(max_rotations=allowed)).changes
        [row] = [c for c in rows if c.label == "bot"]
        assert row.kept_fields == named, row


# --- what the row looks like ---

HOSTILE = "no`te|<b>"


def test_the_names_are_in_every_form_of_a_plan() -> None:
    """Text, Markdown and JSON; a name that is taken away is an alarm, and needs a
    reviewer. The digest has none of them.
    """
    made = planned(named(("note=token_id",)), seen(HAD), Policy())
    row = row_of(made)
    assert is_loud(row)
    assert [(a.sentence, a.about) for a in alarms_of(made)] == [
        ("takes away what others wrote beside our fields", (("bot", "note"),))
    ]
    for text in (plan_text(made), plan_markdown(made)):
        assert "takes away fields of others: note" in text
        assert "keeps fields of others: owner" in text
    document = plan_document(made)
    [plain] = [c for c in document["changes"] if c["label"] == "bot"]
    assert (plain["kept_fields"], plain["lost_fields"]) == (["owner"], ["note"])
    assert load_plan(dump(document)).plan.acting == made.acting
    unnamed = seen(dataclasses.replace(HAD, others=()))
    assert planned(named(("note=token_id",)), unnamed, Policy()).digest() == (made.digest())


def test_a_hostile_name_stays_text() -> None:
    """It stands in a code span, and no line of a terminal begins with it."""
    made = planned(
        spec("bot"), seen(dataclasses.replace(HAD, others=(HOSTILE, "a\nb"))), ROTATE_BOT
    )
    assert "\nb" not in plan_text(made)
    assert "``keeps fields of others: a\\x0ab, no`te\\x7c<b>``" in plan_markdown(made)


# --- what is remembered, and what is published ---


def version(number: int, fields: Fields) -> SecretVersion:
    """A living version of the secret of ``bot-1``."""
    return SecretVersion(
        version=number, state=VersionState.LIVING, fields=(("token_id", "bot-1"), *fields)
    )


def test_others_are_those_beside_our_own_secret() -> None:
    """Not our names, nor the further ones that we wrote; nothing of foreign content."""
    named = dataclasses.replace(HAD, fields=NAMED)
    found = version(1, (("NOTE", "bot-1"), ("label", "bot"), ("owner", "desk")))
    assert others_of(found, named) == (("owner", "desk"),)
    assert named_others((("label", "x"), ("b", "1"), ("a", "2"), ("c", "3")), ("c=secret",)) == (
        "a",
        "b",
    )
    alien = dataclasses.replace(found, fields=(("token_id", "x"), ("owner", "desk")))
    assert others_of(alien, named) == ()


def test_copies_of_a_predecessors_secret_are_not_kept() -> None:
    """Which further names its version had is not known any more."""
    entry = dataclasses.replace(HAD, retiring=(retiring("bot-0", "bot", path="elsewhere"),))
    secret = Secret("s3cret")
    fields = (("token_id", "bot-0"), ("ID", "bot-0"), ("KEY", secret), ("owner", "desk"))
    old = SecretVersion(version=2, state=VersionState.LIVING, fields=fields, secret=secret)
    assert others_of(old, entry) == (("owner", "desk"),)


@pytest.mark.parametrize(
    "names",
    [
        [f"n{number:02}" for number in range(OTHERS_NAMED + 1)],
        [f"{number}" * OTHERS_NAME_LENGTH for number in range(OTHERS_NAMED)],
        [f"{number}" * 10_000 for number in range(9)],
    ],
)
def test_only_so_many_names_are_remembered(names: list[str]) -> None:
    """Whoever can write a path can't fill the ledger with names."""
    told = named_others(tuple((name, "") for name in names))
    assert told[-1] == "…"
    assert len(told) <= OTHERS_NAMED + 1
    assert sum(map(len, told)) <= OTHERS_LENGTH + 1
    exactly = names[:OTHERS_NAMED] if len(names[0]) < OTHERS_LENGTH // OTHERS_NAMED else names[:3]
    if len(names[0]) <= OTHERS_NAME_LENGTH:
        assert named_others(tuple((name, "") for name in exactly)) == tuple(exactly)


def test_the_ledger_follows_the_secret() -> None:
    """A commit has what its intent named, a version that moved what was found there; a
    token that goes takes the names with it.
    """
    begun = dataclasses.replace(intent("bot", token_id="bot-2"), others=("kept",))
    open_one = ledger({"bot": dataclasses.replace(HAD, intent=begun)})
    kept = Retirement(at_ms=NOW_MS, overlap_ms=DAY_MS, reason="rotated")
    after = record_current("bot", "op-1", current("bot-2", "bot", version=2), kept)(open_one)
    assert after.tokens["bot"].others == ("kept",)
    moved = Moved(version=VersionId(2), others=("found",))
    for step in (set_version("bot", moved), set_unsigned("bot", "bot-1", moved)):
        assert step(ledger({"bot": HAD})).tokens["bot"].others == ("found",)
    gone = start_revoking("bot", "bot-1", reason="not desired")(ledger({"bot": HAD}))
    assert gone.tokens["bot"].others == ()


def test_a_snapshot_has_the_names_beside_our_secrets_only() -> None:
    """What stands beside a foreign secret is nobody's business in a pull request."""
    contents = {
        "bot": Content(token_id="bot-1", others=("ours",)),
        "lost": Content(holder_version=1, others=("restored",)),
        "x": Content(token_id="theirs", others=("their own",)),
        "y": Content(others=("no token",)),
    }
    text = dump(snapshot_document(seen(HAD, contents=contents), manifest(spec("bot"))))
    assert "their own" not in text
    assert "no token" not in text
    read = load_snapshot(text).observed
    assert {path: found.others for path, found in read.contents.items()} == {
        "bot": ("ours",),
        "lost": ("restored",),
        "x": (),
        "y": (),
    }
    assert read.ledger.tokens["bot"].others == BESIDE
