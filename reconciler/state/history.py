"""What was done when, read off the ledger's versions: each differs from the one before.

    the newer version                              what happened
    ---------------------------------------------  -------------------------------------
    has another current token, or another          derived, rotated, restored, rolled
    version of its secret                          back, adopted: the kind of the intent
                                                   that was open; recorded without one
    has an entry with the tokens of a label that   renamed, was that label
    it has no longer
    has a token more in a label's reserve          stocked
    has a new row in its audit trail               revoked, or closed with its outcome
    has a new abandoned attempt                    abandoned
    has a label that left the manifest, or is      left, returned
    in it again
    has a new released token                       released
    is the first valid one after a move            moved
    has another protection of a label              protected, not protected
    has other files                                files

The oldest version that Vault still has tells what its audit trail remembers, without
the run. Pure.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

from reconciler.state.ledger import REVOKED, Closed, Entry, IntentKind, Ledger
from reconciler.state.parted import Released
from reconciler.values import value

What = Literal[
    "derived",
    "rotated",
    "restored",
    "rolled back",
    "adopted",
    "rewritten",
    "stocked",
    "rotated from the reserve",
    "recorded",
    "renamed",
    "left",
    "returned",
    "revoked",
    "closed",
    "abandoned",
    "released",
    "moved",
    "protected",
    "not protected",
    "files",
]
"""What can have happened: the words of the schema of a history."""

DONE: dict[IntentKind, What] = {
    IntentKind.DERIVE: "derived",
    IntentKind.ROTATE: "rotated",
    IntentKind.RESTORE: "restored",
    IntentKind.ROLLBACK: "rolled back",
    IntentKind.ADOPT: "adopted",
    IntentKind.REWRITE: "rewritten",
    IntentKind.STOCK: "stocked",
    IntentKind.PROMOTE: "rotated from the reserve",
}


@value
class LedgerVersion:
    """One version of the ledger, and when Vault wrote it."""

    number: int
    at_ms: int
    ledger: Ledger


@value
class Event:
    """Something that was done about a label, or about the manifest (without a label).

    ``version`` is the ledger's that tells it, ``run`` None where no version does.
    ``why`` is empty where none was recorded.
    """

    at_ms: int
    version: int
    run: str | None
    label: str
    what: What
    token_id: str | None = None
    why: str = ""


def events_of(versions: Sequence[LedgerVersion]) -> tuple[Event, ...]:
    """Return the events of versions in the order of their numbers, oldest first."""
    if not versions:
        return ()
    events = _remembered(versions[0])
    for older, newer in itertools.pairwise(versions):
        events += _between(older.ledger, newer)
    return tuple(sorted(events, key=lambda e: (e.version, e.at_ms, e.label, e.what)))


def _remembered(version: LedgerVersion) -> list[Event]:
    """Return what a version tells without the one before it."""
    ledger = version.ledger
    closed = [_closed(version, row, run=None) for row in ledger.closed]
    return [*closed, *(_released(version, row, run=None) for row in ledger.released)]


def _between(before: Ledger, version: LedgerVersion) -> Iterable[Event]:
    after = version.ledger
    holder = after.holder or before.holder
    run = holder.run if holder is not None else None
    event = functools.partial(Event, at_ms=version.at_ms, version=version.number, run=run)
    if before.arriving_from is not None and after.arriving_from is None:
        yield event(label="", what="moved", why=f"from {before.arriving_from}")
        yield from _remembered(version)
        return
    former = _renamed(before, after)
    for label in sorted(after.tokens):
        was = before.tokens.get(former.get(label, label), Entry(path=""))
        entry = after.tokens[label]
        if label in former:
            yield event(label=label, what="renamed", why=f"was {former[label]}")
        what = _of_current(was, entry)
        if what and entry.current is not None:
            token_id = entry.current.token_id
            yield event(label=label, what=what, token_id=token_id, why=_why(was, entry))
        yield from (event(label=label, what=told) for told in _of_leaving(was, entry))
        stocked = {kept.token_id for kept in entry.reserve} - _ids(was)
        yield from (event(label=label, what="stocked", token_id=one) for one in sorted(stocked))
        if was.protect != entry.protect:
            protects: What = "protected" if entry.protect else "not protected"
            yield event(label=label, what=protects)
    known = set(before.closed)
    yield from (_closed(version, row, run=run) for row in after.closed if row not in known)
    gone = set(before.released)
    yield from (_released(version, row, run=run) for row in after.released if row not in gone)
    begun = {(attempt.label, attempt.since_ms) for attempt in before.abandoned}
    for attempt in after.abandoned:
        if (attempt.label, attempt.since_ms) not in begun:
            yield event(label=attempt.label, what="abandoned")
    if set(before.files) != set(after.files):
        yield event(label="", what="files", why=", ".join(after.files))


def _renamed(before: Ledger, after: Ledger) -> dict[str, str]:
    """Return the former label of each label that has another one's entry now.

    An entry that moves takes its tokens along, or, where it has none, its protection.
    """
    gone = sorted(before.tokens.keys() - after.tokens.keys())
    found = {}
    for label in sorted(after.tokens.keys() - before.tokens.keys()):
        entry = after.tokens[label]
        ids = _ids(entry)
        for was in gone:
            if ids & _ids(before.tokens[was]) or entry == before.tokens[was]:
                found[label] = was
    return found


def _ids(entry: Entry) -> set[str]:
    ids = {row.token_id for row in entry.retiring} | {row.token_id for row in entry.revoking}
    ids |= {kept.token_id for kept in entry.reserve}
    return ids | ({entry.current.token_id} if entry.current is not None else set())


def _of_current(was: Entry, entry: Entry) -> What | None:
    if entry.current is None:
        return None
    old = was.current
    same = old is not None and old.token_id == entry.current.token_id
    if same and old is not None and old.version == entry.current.version:
        return None
    if was.intent is not None and entry.intent is None:
        return DONE[was.intent.kind]
    return "recorded"


def _of_leaving(was: Entry, entry: Entry) -> Iterable[What]:
    old, current = was.current, entry.current
    if old is None or current is None or (old.left_ms is None) == (current.left_ms is None):
        return ()
    return ("returned",) if current.left_ms is None else ("left",)


def _why(was: Entry, entry: Entry) -> str:
    """Return what was recorded of the predecessor, if one gave way."""
    old = was.current
    if old is None or entry.current is None or old.token_id == entry.current.token_id:
        return ""
    reasons = {row.token_id: row.reason for row in entry.retiring}
    reasons |= {row.token_id: row.reason for row in entry.revoking}
    reason = reasons.get(old.token_id)
    return f"in place of {old.token_id}" + (f", {reason}" if reason else "")


def _closed(version: LedgerVersion, row: Closed, *, run: str | None) -> Event:
    ours = row.token_id is not None and row.outcome in REVOKED
    return Event(
        at_ms=row.at_ms,
        version=version.number,
        run=run,
        label=row.label,
        what="revoked" if ours else "closed",
        token_id=row.token_id,
        why=row.outcome,
    )


def _released(version: LedgerVersion, row: Released, *, run: str | None) -> Event:
    return Event(
        at_ms=row.at_ms,
        version=version.number,
        run=run,
        label=row.label,
        what="released",
        token_id=row.token_id,
    )
