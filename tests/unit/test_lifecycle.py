"""The table of a token's life is what the ledger's transitions do.

The page on the architecture draws it; ``test_docs`` holds the drawing to the table.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import ParamSpec

from reconciler.model import VersionId
from reconciler.state import (
    INTERRUPTED,
    Closed,
    Discarded,
    Entry,
    IntentKind,
    Ledger,
    LedgerError,
    Moved,
    Released,
    Reserve,
    Retirement,
    Transition,
    abandon_intent,
    close_intent,
    close_promotion,
    close_revoking,
    drop_intent,
    drop_reserve,
    expect_own_use,
    forget_left,
    forget_missing,
    give_up_reserve,
    mark_missing,
    name_intent,
    note_asked,
    note_emptied,
    note_emptying,
    note_left,
    note_returned,
    note_wrong_copy,
    open_intent,
    open_promotion,
    record_current,
    record_in_place,
    record_promoted,
    record_stocked,
    release_labels,
    reopen_revoking,
    retire_intent,
    set_files,
    set_profile,
    set_protect,
    set_version,
    spare_revoking,
    start_revoking,
    tidy_abandoned,
    unchanged,
)
from reconciler.state.lifecycle import MOVES, Move, Stage
from tests.support.values import (
    NOW_MS,
    PROFILE_ID,
    current,
    intent,
    ledger,
    retiring,
    revoking,
)

P = ParamSpec("P")
NEW = "bot-2"
"""What an open intent makes, be it named yet or not; a rollback makes nothing."""


MISSING_NOW = dataclasses.replace(current("bot-1", "bot"), missing_since_ms=NOW_MS)
LEFT_NOW = dataclasses.replace(MISSING_NOW, left_ms=NOW_MS)
INTERRUPTED_BEFORE = dataclasses.replace(revoking("bot-9", "bot"), reason=INTERRUPTED)
MISSING_BEFORE = dataclasses.replace(retiring("bot-0", "bot"), missing_since_ms=NOW_MS)


def kept(token_id: str) -> Reserve:
    """Return a token that is kept ready, and was missing from a list."""
    return Reserve(
        token_id=token_id,
        live_label="bot",
        operation_id=f"op-of-{token_id}",
        created_at_ms=NOW_MS,
        scopes=("trading",),
        verified_at_ms=NOW_MS,
        missing_since_ms=NOW_MS,
    )


READY = kept("bot-6")
PROMOTES = intent("bot", kind=IntentKind.PROMOTE, cas=1, token_id="bot-6")
STOCKS = intent("_reserve/op-1", kind=IntentKind.STOCK)

RELEASED = Released(label="bot", token_id="bot-7", at_ms=NOW_MS)


def stage_of(known: Ledger, token_id: str) -> Stage:
    """Return where the ledger has a token of the label bot."""
    if token_id in known.released_ids():
        return Stage.RELEASED
    entry = known.tokens.get("bot", Entry(path="bot"))
    if entry.current is not None and entry.current.token_id == token_id:
        return Stage.CURRENT if entry.current.left_ms is None else Stage.LEAVING
    if any(one.token_id == token_id for one in entry.retiring):
        return Stage.RETIRING
    if any(one.token_id == token_id for one in entry.revoking):
        return Stage.REVOKING
    if any(one.token_id == token_id for one in entry.reserve):
        return Stage.RESERVE
    if entry.intent is not None and (entry.intent.token_id or NEW) == token_id:
        return Stage.INTENT
    ends = {row.token_id or NEW for row in known.closed}
    return Stage.CLOSED if token_id in ends else Stage.ABSENT


def ledgers() -> Iterator[Ledger]:
    """Yield each combination of current token, intent, predecessor and revocation."""
    begun = intent("bot", kind=IntentKind.ROTATE, cas=1)
    for now, open_, old, gone in itertools.product(
        (None, current("bot-1", "bot"), MISSING_NOW, LEFT_NOW),
        (
            None,
            begun,
            dataclasses.replace(begun, token_id=NEW),
            intent("bot", kind=IntentKind.ROLLBACK, cas=1),
        ),
        ((), (retiring("bot-0", "bot"),), (MISSING_BEFORE,)),
        ((), (revoking("bot-9", "bot"),), (INTERRUPTED_BEFORE,)),
    ):
        if now is LEFT_NOW and open_ is not None:
            continue  # one that leaves has no open intent, and none is opened
        entry = Entry(path="bot", current=now, intent=open_, retiring=old, revoking=gone)
        ended = Closed(label="bot", token_id="bot-8", outcome="superseded", at_ms=NOW_MS)
        known = ledger({} if entry.idle else {"bot": entry})
        yield dataclasses.replace(known, closed=(ended,))
    for now, open_, old in itertools.product(
        (None, current("bot-1", "bot")),
        (None, PROMOTES, STOCKS, dataclasses.replace(STOCKS, token_id=NEW)),
        ((), (retiring("bot-0", "bot"),)),
    ):
        yield ledger(
            {"bot": Entry(path="bot", current=now, intent=open_, retiring=old, reserve=(READY,))}
        )
    again = intent("bot", kind=IntentKind.ADOPT)
    adopts = Entry(path="bot", intent=dataclasses.replace(again, token_id="bot-7"))
    yield dataclasses.replace(ledger({"bot": adopts}), released=(RELEASED,))


def begun(known: Ledger) -> IntentKind | None:
    """Return what the open intent is for."""
    entry = known.tokens.get("bot")
    return entry.intent.kind if entry is not None and entry.intent is not None else None


def rolls_back(known: Ledger) -> bool:
    """Tell whether the open intent is a rollback's."""
    return begun(known) is IntentKind.ROLLBACK


def named(
    make: Callable[P, Transition], *args: P.args, **kwargs: P.kwargs
) -> tuple[str, Transition]:
    """Return a transition with the name of the function that makes it."""
    return make.__name__, make(*args, **kwargs)


def records(known: Ledger) -> Iterator[tuple[str, Transition]]:
    """Yield what records a new current token; what was stocked has its own step."""
    made = [one.token_id for one in known.tokens["bot"].retiring] if rolls_back(known) else [NEW]
    made = sorted(known.released_ids()) or made
    promotes = begun(known) is IntentKind.PROMOTE
    for recorded, now, every, elsewhere in itertools.product(made, *3 * ((False, True),)):
        retirement = Retirement(
            at_ms=NOW_MS,
            overlap_ms=0,
            reason="rotated",
            revoke_now=now,
            revoke_all=every,
            already_gone=elsewhere,
        )
        if begun(known) not in {IntentKind.PROMOTE, IntentKind.STOCK}:
            yield named(record_current, "bot", "op-1", current(recorded, "bot"), retirement)
        if promotes:
            yield named(record_promoted, "bot", PROMOTES, current("bot-6", "bot"), retirement)
    placed = Retirement(at_ms=NOW_MS, overlap_ms=0, reason="rotated")
    yield named(record_in_place, "bot", PROMOTES, current("bot-6", "bot"), placed)


def transitions(known: Ledger) -> Iterator[tuple[str, Transition]]:
    """Yield every transition by name, with whatever this ledger could be asked for."""
    yield named(open_intent, "bot", intent("bot"), protect=None)
    yield named(note_left, "bot", at_ms=NOW_MS)
    yield named(note_returned, "bot")
    yield named(name_intent, "bot", "op-1", NEW)
    yield named(close_intent, "bot", "op-1", outcome="refused", at_ms=NOW_MS)
    yield named(abandon_intent, "bot", "op-1", at_ms=NOW_MS)
    yield named(record_stocked, "bot", "op-1", kept(NEW))
    if begun(known) is IntentKind.PROMOTE:
        yield named(close_promotion, "bot", PROMOTES, at_ms=NOW_MS, taken=True, lost=True)
        yield named(drop_reserve, "bot", PROMOTES, at_ms=NOW_MS)
    else:  # a promotion's intent names a token that lived before
        gone = Discarded(token_id=NEW, reason="lost", at_ms=NOW_MS)
        yield named(drop_intent, "bot", "op-1", gone)
        yield named(retire_intent, "bot", "op-1", retiring(NEW, "bot"))
    yield from records(known)
    yield named(open_promotion, "bot", PROMOTES, protect=None, until_ms=NOW_MS)
    yield named(give_up_reserve, "bot", "bot-6", reason="not desired")
    yield named(note_wrong_copy, "bot", "bot-6", version=2)
    yield named(forget_left, "_reserve/op-of-bot-6")
    for token_id in ("bot-0", "bot-1", NEW, "bot-6", "bot-9"):
        yield named(start_revoking, "bot", token_id, reason="superseded")
        yield named(close_revoking, "bot", token_id, outcome="revoked", at_ms=NOW_MS)
        yield named(expect_own_use, "bot", token_id, NOW_MS)
        yield named(note_asked, "bot", token_id, at_ms=NOW_MS)
        yield named(note_emptying, "bot", token_id)
        yield named(note_emptied, "bot", token_id, at_ms=NOW_MS)
        yield named(mark_missing, "bot", token_id, at_ms=NOW_MS)
        yield named(forget_missing, "bot", token_id, at_ms=NOW_MS)
    yield named(reopen_revoking, "bot", "bot-8", "bot")
    yield named(
        spare_revoking,
        "bot",
        "bot-9",
        at_ms=NOW_MS,
        overlap_ms=0,
        ours_until_ms=NOW_MS,
    )
    yield named(tidy_abandoned, (), now_ms=NOW_MS)
    yield named(set_version, "bot", Moved(version=VersionId(2)))
    yield named(release_labels, ["bot"], at_ms=NOW_MS)
    yield named(set_protect, "bot", protect=True)
    yield named(set_files, ["tokens.yaml"])
    yield named(set_profile, PROFILE_ID)
    yield "unchanged", unchanged


def moves() -> Iterator[Move]:
    """Yield what each transition does to each token, where the ledger lets it."""
    for before in ledgers():
        makes = not rolls_back(before) and not before.released
        makes = makes and begun(before) is not IntentKind.PROMOTE
        ids = {"bot-0", "bot-1", "bot-6", "bot-7", "bot-8", "bot-9", *([NEW] if makes else [])}
        for name, transition in transitions(before):
            try:
                after = transition(before)
            except LedgerError:
                continue
            for token_id in ids:
                move = Move(stage_of(before, token_id), name, stage_of(after, token_id))
                if move.before is not move.after:
                    yield move


def test_the_table_is_what_the_ledger_does() -> None:
    """Each move in it is made by its transition in some ledger, and no transition makes
    another one.
    """
    assert set(moves()) == set(MOVES)
    assert len(MOVES) == len(set(MOVES))


def test_revoking_is_the_point_of_no_return() -> None:
    """No way leads out of it but to the end, save for an interrupted token in use; and
    out of the end only one leads back.
    """
    assert [move for move in MOVES if move.before is Stage.REVOKING] == [
        Move(Stage.REVOKING, "close_revoking", Stage.CLOSED),
        Move(Stage.REVOKING, "spare_revoking", Stage.RETIRING),
    ]
    again = [move for move in MOVES if move.before is Stage.CLOSED]
    assert again == [Move(Stage.CLOSED, "reopen_revoking", Stage.REVOKING)]
