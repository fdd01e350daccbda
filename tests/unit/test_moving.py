"""What the ledger says of a move, and what becomes of its entries."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.errors import ReconcilerError
from reconciler.model import VersionId
from reconciler.run.reads import MovedError, refuse_moved
from reconciler.state.history import LedgerVersion, events_of
from reconciler.state.ledger import (
    Closed,
    IntentKind,
    Ledger,
    LedgerError,
    Retirement,
)
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.manifests import state_of, superseded_at_ms
from reconciler.state.moving import NOT_CARRIED, arrived, arriving, seal
from reconciler.state.parted import Left, as_written, below, is_absolute, parts_of, root_of
from reconciler.state.releasing import release_labels
from reconciler.state.transitions import close_revoking, record_current, start_revoking
from tests.support.values import (
    NOW_MS,
    current,
    entry,
    holder,
    intent,
    ledger,
    manifest,
    retiring,
    revoking,
    spec,
)

OLD, NEW = root_of("secret", "old/tokens"), root_of("team/kv", "new")
BOT = dataclasses.replace(
    entry("t3", "bot", version=7, path="prod/bot"),
    retiring=(retiring("t2", "bot"), retiring("t1", "bot", path="before")),
    revoking=(revoking("t0", "bot"),),
)
ARRIVING = arriving(ledger({"bot": BOT}), "secret/old/tokens")
THERE = VersionId(1, NOW_MS)


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (("secret", "old/tokens/prod/bot", "secret/old/tokens/prod/bot"), below(OLD, "prod/bot")),
        (("team/kv", "new/a", "team/kv/new/a"), below(NEW, "a")),
        (("team/kv", "new/a", "team/kv/new/a"), below(OLD, below(NEW, "a"))),
    ],
)
def test_absolute_paths(expected: tuple[str, str, str], path: str) -> None:
    """Two slashes end the mount; what is absolute stays so; people see one slash."""
    assert is_absolute(path)
    assert (*parts_of(path), as_written(path)) == expected
    assert not is_absolute("prod/bot")


def moved(known: Ledger, **versions: VersionId) -> Ledger:
    """The ledger as it is valid at the new place."""
    return arrived(known, OLD, NEW, versions)


def test_what_becomes_of_an_entry() -> None:
    """The current token is at the version of its copy; what is on its way out lies
    where it lay; the copy that is left is remembered.
    """
    known = dataclasses.replace(ledger({"bot": BOT}, holder=holder()), moved_to="team/kv/new")
    after = moved(known, bot=THERE)
    now = after.tokens["bot"]
    assert now.current is not None
    assert (now.path, now.current.version_id) == ("prod/bot", THERE)
    assert [row.path for row in now.retiring] == [below(OLD, "prod/bot"), below(OLD, "before")]
    assert [row.path for row in now.revoking] == [below(OLD, "prod/bot")]
    assert after.left == (Left(token_id="t3", path=below(OLD, "prod/bot")),)
    assert (after.holder, after.moved_to, after.arriving_from) == (None, None, None)
    assert (after.ledger_id, after.known_ids()) == (known.ledger_id, known.known_ids())
    assert from_text(to_text(after)) == after


def test_a_secret_that_was_lost_is_not_carried() -> None:
    """Its label has no version at the new place, and nothing was left."""
    after = moved(ledger({"bot": BOT, "cat": entry("c1", "cat")}), cat=THERE)
    found = after.tokens["bot"].current
    assert found is not None
    assert found.version_id == NOT_CARRIED
    assert [row.token_id for row in after.left] == ["c1"]


def test_the_way_back() -> None:
    """What an earlier move left at the place is that label's own again; what it left
    elsewhere, or under another path, is remembered further.
    """
    third = Left(token_id="t3", path=below(root_of("kv", "third"), "prod/bot"))
    other = Left(token_id="t3", path=below(NEW, "another"))
    own = Left(token_id="t3", path=below(NEW, "prod/bot"))
    gone = dataclasses.replace(other, token_id="long gone")
    known = dataclasses.replace(ledger({"bot": BOT}), left=(third, other, own, gone))
    assert set(moved(known, bot=THERE).left) == {
        third,
        other,
        Left(token_id="t3", path=below(OLD, "prod/bot")),
    }


def test_what_was_left_goes_first() -> None:
    """An id that is revoking takes the places of its copies along, and forgets them
    once it is gone; one that is released leaves them as they are.
    """
    known = moved(ledger({"bot": BOT}), bot=THERE)
    going = start_revoking("bot", "t3", reason="not desired")(known)
    row = next(r for r in going.tokens["bot"].revoking if r.token_id == "t3")
    assert row.copies == (below(OLD, "prod/bot"),)
    assert going.left == known.left
    assert close_revoking("bot", "t3", outcome="x", at_ms=NOW_MS)(going).left == ()
    quiet = moved(ledger({"bot": dataclasses.replace(BOT, revoking=())}), bot=THERE)
    assert release_labels(["bot"], at_ms=NOW_MS)(quiet).left == ()


def test_a_compromised_predecessor_takes_its_copies_along() -> None:
    """It is revoking as soon as its successor is recorded."""
    begun = dataclasses.replace(BOT, intent=intent("prod/bot", kind=IntentKind.ROTATE))
    known = dataclasses.replace(
        ledger({"bot": begun}), left=(Left(token_id="t3", path=below(OLD, "prod/bot")),)
    )
    now = Retirement(at_ms=NOW_MS, overlap_ms=0, reason="compromised", revoke_now=True)
    after = record_current("bot", "op-1", current("t4", "bot"), now)(known)
    rows = {row.token_id: row.copies for row in after.tokens["bot"].revoking}
    assert rows == {"t0": (), "t3": (below(OLD, "prod/bot"),)}


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(
            ledger({"bot": dataclasses.replace(BOT, intent=intent("b"))}), id="an open intent"
        ),
        pytest.param(dataclasses.replace(ledger(), moved_to="kv/elsewhere"), id="moved elsewhere"),
    ],
)
def test_what_is_not_sealed(before: Ledger) -> None:
    """One that has something begun, or has moved elsewhere."""
    with pytest.raises(LedgerError):
        seal("team/kv/new")(before)


def test_a_seal_may_be_repeated() -> None:
    """A move that goes on proves its lease by the same write."""
    sealed = seal("team/kv/new")(ledger({"bot": BOT}))
    assert sealed.moved_to == "team/kv/new"
    assert seal("team/kv/new")(sealed) == sealed


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("have moved from here to team/kv/new", seal("team/kv/new")(ledger())),
        ("move --from secret/old/tokens` again", ARRIVING),
    ],
)
def test_no_run_believes_such_a_ledger(told: str, known: Ledger) -> None:
    """The sentence names the other place."""
    assert from_text(to_text(known)) == known
    with pytest.raises(MovedError, match=told) as raised:
        refuse_moved(known)
    assert isinstance(raised.value, ReconcilerError)
    refuse_moved(ledger())
    refuse_moved(None)


def test_an_older_manifest_is_told_by_its_tokens() -> None:
    """Its digest named another place; what it said of tokens is still compared."""
    first, second = manifest(spec("a")), manifest(spec("a"), spec("b"))
    rows = tuple(
        dataclasses.replace(row, digest=f"{number}")
        for number, row in enumerate((state_of(first, 1), state_of(second, 2)))
    )
    known = moved(dataclasses.replace(ledger(), manifests=rows))
    assert superseded_at_ms(known, second) is None
    assert superseded_at_ms(known, first) == 2
    assert [row.digest for row in known.manifests] == ["", ""]


def test_the_history_begins_with_the_move() -> None:
    """Not with every token recorded anew; what the audit trail remembers is told."""
    ended = Closed(label="bot", token_id="t9", outcome="superseded", at_ms=NOW_MS - 1)
    valid = dataclasses.replace(ledger({"bot": BOT}), closed=(ended,))
    found = events_of(
        [
            LedgerVersion(number=1, at_ms=NOW_MS, ledger=arriving(valid, "secret/old/tokens")),
            LedgerVersion(number=2, at_ms=NOW_MS, ledger=valid),
        ]
    )
    assert [(event.what, event.token_id, event.why) for event in found] == [
        ("revoked", "t9", "superseded"),
        ("moved", None, "from secret/old/tokens"),
    ]


def test_an_arriving_ledger_has_no_entries() -> None:
    """Nothing is known at the new place until everything is there."""
    said = arriving(ledger({"bot": BOT}, holder=holder()), "secret/old/tokens")
    assert (said.tokens, said.holder, said.ledger_id) == ({}, None, ledger().ledger_id)
