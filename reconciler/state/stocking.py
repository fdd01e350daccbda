"""The steps of the ledger about reserves, beside those in ``transitions``.

    what happens                       the step
    ---------------------------------  -----------------------------------------------
    a stocking is committed            ``record_stocked``: the row is added
    a promotion begins                 ``open_promotion``: the intent, and the use to
                                       come, in one write
    it is committed                    ``record_promoted``: the row goes, and the place
                                       of its document is noted (``Left``)
    it is disproved                    ``close_promotion``: the row stays; it is fresh
                                       no more, where the version was taken away
    the reserve does not sign          ``drop_reserve``: the intent is closed, and the
                                       row is revoking, in one write
    its document is deleted            ``forget_left``
    a document of another token of     ``note_leftover``
    ours is found beside it
    a person wrote it to the label's   ``record_in_place``: it is current, and fresh
    path                               no more
    the same, and it does not sign     ``note_wrong_copy``
    a person adopts it                 ``open_adoption``, which is also the end of its
                                       freshness; ``record_promoted``
    it is to go                        ``give_up_reserve``

The rules are those of ``transitions``.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model import VersionId
from reconciler.state.entries import (
    Transition,
    entry_of,
    require,
    transition,
    with_entry,
)
from reconciler.state.facts import expect_own_use
from reconciler.state.farewells import Retirement
from reconciler.state.granted import forget_granted
from reconciler.state.kept import Reserve, is_reserve_path
from reconciler.state.ledger import Current, Entry, Intent, IntentKind, Ledger, Revoking
from reconciler.state.parted import Left
from reconciler.state.transitions import close_intent, open_intent, record_current, record_found


def reserve_of(entry: Entry, token_id: str | None) -> Reserve | None:
    """Return the reserve with this id, if the label has it."""
    return next((kept for kept in entry.reserve if kept.token_id == token_id), None)


def _known(entry: Entry, token_id: str) -> Reserve:
    kept = reserve_of(entry, token_id)
    require(kept is not None, f"{token_id} is not in the reserve")
    assert kept is not None  # noqa: S101  # required above
    return kept


@transition
def record_stocked(ledger: Ledger, label: str, operation_id: str, kept: Reserve) -> Ledger:
    """Record a committed stocking: the token is in the reserve, its intent closed."""
    entry = entry_of(ledger, label)
    intent = entry.intent
    mine = intent is not None and intent.operation_id == operation_id
    require(mine, "the open intent is not this run's")
    assert intent is not None  # noqa: S101  # required above
    require(intent.kind is IntentKind.STOCK, f"the intent of {label} stocks nothing")
    require(kept.token_id not in ledger.known_ids(), f"{kept.token_id} is known already")
    ledger = forget_granted(ledger, intent.scopes)
    return with_entry(ledger, label, replace(entry, intent=None, reserve=(*entry.reserve, kept)))


def open_promotion(
    label: str, intent: Intent, *, protect: bool | None, until_ms: int
) -> Transition:
    """Begin a promotion; uses of its reserve until an instant may be our own."""

    def opened(ledger: Ledger) -> Ledger:
        entry = ledger.tokens.get(label, Entry(path=intent.path))
        _known(entry, intent.token_id or "")
        ledger = open_intent(label, intent, protect=protect)(ledger)
        return expect_own_use(label, intent.token_id or "", until_ms)(ledger)

    return opened


@transition
def open_adoption(ledger: Ledger, label: str, intent: Intent, *, protect: bool | None) -> Ledger:
    """Begin to adopt a token of the reserve: somebody has its secret from now on."""
    kept = _known(ledger.tokens.get(label, Entry(path=intent.path)), intent.token_id or "")
    ledger = open_intent(label, intent, protect=protect)(ledger)
    entry = entry_of(ledger, label)
    theirs = replace(kept, fresh=False, written=tuple(sorted({*kept.written, intent.path})))
    rows = tuple(theirs if row == kept else row for row in entry.reserve)
    return with_entry(ledger, label, replace(entry, reserve=rows))


def close_promotion(  # noqa: PLR0913  # the last four by name
    label: str,
    intent: Intent,
    *,
    at_ms: int,
    version: VersionId | None = None,
    taken: bool = False,
    lost: bool = False,
) -> Transition:
    """Close a promotion that was not committed; nothing is revoked.

    ``taken``: a version with the reserve may have been there and was taken away, so
    somebody may have read it. ``lost``: its document does not hold it any more.
    ``version`` is as in ``close_intent``.
    """

    def closed(ledger: Ledger) -> Ledger:
        ledger = close_intent(
            label,
            intent.operation_id,
            outcome=NOT_COMMITTED,
            at_ms=at_ms,
            version=version,
        )(ledger)
        entry = entry_of(ledger, label)
        return with_entry(ledger, label, _tried(entry, intent, taken=taken, lost=lost))

    return closed


def _tried(entry: Entry, intent: Intent, *, taken: bool, lost: bool) -> Entry:
    def after(kept: Reserve) -> Reserve:
        if kept.token_id != intent.token_id:
            return kept
        kept = replace(kept, lost=kept.lost or lost)
        if not taken:
            return kept
        written = tuple(sorted({*kept.written, intent.path}))
        return replace(kept, fresh=False, written=written)

    return replace(entry, reserve=tuple(after(kept) for kept in entry.reserve))


NOT_COMMITTED = "promote not committed"

DID_NOT_SIGN = "did not sign"
"""Why a reserve goes whose secret the exchange refused."""


def drop_reserve(label: str, intent: Intent, *, at_ms: int) -> Transition:
    """Close a promotion whose reserve does not sign, and let that one go: one write.

    Refused while another one goes for the same reason: two of them tell of a clock, or
    of an edge, rather than of two wrong secrets.
    """

    def dropped(ledger: Ledger) -> Ledger:
        rows = (row for entry in ledger.tokens.values() for row in entry.revoking)
        require(all(row.reason != DID_NOT_SIGN for row in rows), "another one goes already")
        ledger = close_intent(label, intent.operation_id, outcome=NOT_COMMITTED, at_ms=at_ms)(
            ledger
        )
        entry = entry_of(ledger, label)
        kept = _known(entry, intent.token_id or "")
        return with_entry(ledger, label, _revoked(entry, kept, DID_NOT_SIGN))

    return dropped


@transition
def give_up_reserve(ledger: Ledger, label: str, token_id: str, *, reason: str) -> Ledger:
    """Begin to revoke a reserve. There is no way back from here."""
    entry = entry_of(ledger, label)
    at_work = entry.intent is not None and entry.intent.token_id == token_id
    require(not at_work, f"the open intent of {label} names {token_id}")
    return with_entry(ledger, label, _revoked(entry, _known(entry, token_id), reason))


def _revoked(entry: Entry, kept: Reserve, reason: str) -> Entry:
    row = Revoking(
        token_id=kept.token_id,
        live_label=kept.live_label,
        reason=reason,
        path=kept.path,
        copies=kept.written,
    )
    rest = tuple(other for other in entry.reserve if other.token_id != kept.token_id)
    return replace(entry, reserve=rest, revoking=(*entry.revoking, row))


def record_promoted(
    label: str, intent: Intent, current: Current, retirement: Retirement, *, later: bool = False
) -> Transition:
    """Record a committed promotion: the reserve is current, its predecessor retires.

    ``later``: another run than the promotion's own has found it. The same for one that
    a person adopted.
    """
    record = record_found if later else record_current

    def recorded(ledger: Ledger) -> Ledger:
        kept = _known(entry_of(ledger, label), current.token_id)
        recorded = record(label, intent.operation_id, current, retirement)(ledger)
        return _without(recorded, label, kept)

    return recorded


@transition
def record_in_place(
    ledger: Ledger, label: str, intent: Intent, current: Current, retirement: Retirement
) -> Ledger:
    """Record a reserve whose secret a person wrote to the label's path: it signed."""
    ledger = open_intent(label, intent, protect=None)(ledger)
    return record_promoted(label, intent, current, retirement)(ledger)


@transition
def note_wrong_copy(ledger: Ledger, label: str, token_id: str, *, version: int) -> Ledger:
    """Remember that a version of the label's path does not hold a reserve's secret.

    Whoever wrote that has read the document, so the reserve is fresh no more.
    """
    entry = entry_of(ledger, label)
    wrong = replace(_known(entry, token_id), wrong_at=version, fresh=False)
    rows = tuple(wrong if kept.token_id == token_id else kept for kept in entry.reserve)
    return with_entry(ledger, label, replace(entry, reserve=rows))


def _without(ledger: Ledger, label: str, kept: Reserve) -> Ledger:
    """Return the ledger without a promoted reserve's row; its document is noted."""
    entry = entry_of(ledger, label)
    rest = tuple(other for other in entry.reserve if other.token_id != kept.token_id)
    left = Left(token_id=kept.token_id, path=kept.path)
    ledger = replace(ledger, left=(*ledger.left, left))
    return with_entry(ledger, label, replace(entry, reserve=rest))


@transition
def note_leftover(ledger: Ledger, token_id: str, path: str) -> Ledger:
    """Remember a document among the reserves that holds a token of ours elsewhere."""
    known = token_id in ledger.known_ids()
    kept = any(row.path == path for entry in ledger.tokens.values() for row in entry.reserve)
    if not known or kept or any(row.path == path for row in ledger.left):
        return ledger
    return replace(ledger, left=(*ledger.left, Left(token_id=token_id, path=path)))


@transition
def forget_left(ledger: Ledger, path: str) -> Ledger:
    """Forget the place of a promoted reserve's document, which is deleted."""
    return replace(ledger, left=tuple(row for row in ledger.left if row.path != path))


def leftovers(ledger: Ledger) -> tuple[tuple[str, Left], ...]:
    """Return the documents of promoted reserves that are still there, with labels."""
    owners = ledger.known_ids()
    return tuple(
        (owners[row.token_id], row)
        for row in ledger.left
        if is_reserve_path(row.path) and row.token_id in owners
    )
