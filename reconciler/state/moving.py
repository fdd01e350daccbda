"""Ledger and secrets move to another place, which the manifest names by now.

    the old ledger     the new ledger       then
    -----------------  -------------------  -----------------------------------------
    is valid           -                    nothing is begun
    is valid           says that a move is  nobody else can move something there; the
                       arriving             old place goes on as before
    says ``moved_to``  says so              no command but the move goes on, at
                                            neither place
    says ``moved_to``  is valid             the move is done

So there is never more than one valid ledger. What becomes of the entries:

    an id of the old ledger  in the new one
    -----------------------  -------------------------------------------------------
    current                  at the version of its copy in the new place; the copy at
                             the old place is remembered (``Left``)
    in the reserve           the same, and its document has the first version there;
                             one that was not carried is lost, and goes by evidence
    retiring, revoking       its secret lies at the old place, under an absolute path

An id that starts to be revoked takes the places of its copies along
(``Revoking.copies``), so that none of them holds it when it goes.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import replace

from reconciler.model import VersionId
from reconciler.state.entries import at_version, require, transition
from reconciler.state.kept import Reserve
from reconciler.state.ledger import Entry, Ledger
from reconciler.state.parted import Left, below

NOT_CARRIED = VersionId(0)
"""For a secret that was lost at the old place: no version of the new one has it."""


NONE: Mapping[str, VersionId] = types.MappingProxyType({})

OF_ANOTHER_PLACE = ""
"""The digest of a desired state that named another place: no manifest has it.

What it said of the tokens has a digest of its own, which goes on to tell older ones.
"""


@transition
def seal(ledger: Ledger, place: str) -> Ledger:
    """Say that everything has moved to a place (``MOUNT/PREFIX``)."""
    begun = [label for label, entry in ledger.tokens.items() if entry.intent is not None]
    require(not begun, f"{', '.join(begun)} has an open intent")
    require(ledger.moved_to in {None, place}, f"it has moved to {ledger.moved_to}")
    return replace(ledger, moved_to=place)


def arriving(ledger: Ledger, origin: str) -> Ledger:
    """Return what the new place says while a move from ``MOUNT/PREFIX`` arrives."""
    return Ledger(
        ledger_id=ledger.ledger_id,
        api_url=ledger.api_url,
        profile_id=ledger.profile_id,
        files=ledger.files,
        arriving_from=origin,
    )


def arrived(
    ledger: Ledger,
    old_root: str,
    new_root: str,
    versions: Mapping[str, VersionId],
    reserves: Mapping[str, VersionId] = NONE,
) -> Ledger:
    """Return the old ledger as it is valid at the new place.

    ``versions`` tells at which version of the new place each label's current secret
    lies, and ``reserves`` that of each token in a reserve, by its id; they lack those
    that could not be carried. The roots are absolute.
    """
    entries = {
        label: _arrived(entry, old_root, versions.get(label), reserves)
        for label, entry in ledger.tokens.items()
    }
    left = {*ledger.left}
    for label, entry in ledger.tokens.items():
        if label in versions and entry.current is not None:
            path = below(old_root, entry.path)
            left.add(Left(token_id=entry.current.token_id, path=path))
        left |= {Left(token_id=k.token_id, path=below(old_root, k.path)) for k in entry.reserve}
    known = ledger.known_ids()
    own = {below(new_root, entry.path) for entry in entries.values()}
    own |= {below(new_root, kept.path) for e in entries.values() for kept in e.reserve}
    rows = [row for row in left if row.token_id in known and row.path not in own]
    return replace(
        ledger,
        holder=None,
        moved_to=None,
        tokens=entries,
        left=tuple(sorted(rows, key=lambda row: (row.token_id, row.path))),
        manifests=tuple(replace(row, digest=OF_ANOTHER_PLACE) for row in ledger.manifests),
    )


def _arrived(
    entry: Entry, old_root: str, version: VersionId | None, reserves: Mapping[str, VersionId]
) -> Entry:
    current = entry.current
    if current is not None:
        current = at_version(current, version or NOT_CARRIED)
    return replace(
        entry,
        current=current,
        retiring=tuple(
            replace(row, path=below(old_root, row.path or entry.path)) for row in entry.retiring
        ),
        revoking=tuple(
            replace(
                row,
                path=below(old_root, row.path or entry.path),
                copies=tuple(below(old_root, path) for path in row.copies),
            )
            for row in entry.revoking
        ),
        reserve=tuple(
            _arrived_reserve(kept, old_root, reserves.get(kept.token_id)) for kept in entry.reserve
        ),
    )


def _arrived_reserve(kept: Reserve, old_root: str, version: VersionId | None) -> Reserve:
    return replace(
        kept,
        version_created_at_ms=version.created_at_ms if version else kept.version_created_at_ms,
        lost=kept.lost or version is None,
        written=tuple(below(old_root, path) for path in kept.written),
    )
