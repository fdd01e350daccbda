"""The steps of the ledger: pure functions from a ledger to the next one.

Each function below makes a ``Transition``; the run's single writer applies it.

Rules this module keeps:

1. A transition reads neither Vault nor a clock nor randomness: times are arguments.
2. A transition checks what it relies on and refuses with a LedgerError. Only our own
   check-and-set writes move the document, so a refusal means a defect or an edit by
   hand.
3. An id is in at most one place of a label: current, retiring, revoking or reserve
   (``stocking``). Out of revoking leads ``close_revoking``, and ``spare_revoking`` for
   an interrupted one.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model import VersionId
from reconciler.state.entries import (
    displaced,
    entry_of,
    fenced,
    readable_again,
    require,
    transition,
    with_entry,
    without_copies,
)
from reconciler.state.farewells import Discarded, Retirement
from reconciler.state.granted import forget_granted
from reconciler.state.ledger import (
    Abandoned,
    Closed,
    Current,
    Entry,
    Intent,
    IntentKind,
    Ledger,
    LedgerError,
    Retiring,
    Revoking,
)
from reconciler.state.releasing import taken_back

CLOSED_KEPT = 200
"""The audit trail has at most so many rows; the oldest go first."""

ABANDONED_MOST = 200
"""So many abandoned intents are remembered at most; the oldest go first."""


# --- an intent: begun, named, and ended without a commit ---


@transition
def open_intent(ledger: Ledger, label: str, intent: Intent, *, protect: bool | None) -> Ledger:
    """Begin a write of a secret: step 1.

    The protection of a new label is remembered from here on; a known label keeps its
    own, because a change of it is a row of its own in the plan.
    """
    entry = ledger.tokens.get(label, Entry(path=intent.path, protect=bool(protect)))
    require(entry.intent is None, f"{label} has an open intent already")
    leaves = entry.current is not None and entry.current.left_ms is not None
    require(not leaves, f"{label} is recorded as not in the manifest")
    intents = (e.intent for e in ledger.tokens.values() if e.intent is not None)
    require(all(i.path != intent.path for i in intents), f"{intent.path} has an open intent")
    return with_entry(ledger, label, replace(entry, intent=intent))


@transition
def renew_intent(
    ledger: Ledger, label: str, operation_id: str, *, since_ms: int, before: tuple[str, ...]
) -> Ledger:
    """Record that an intent's POST is sent again, because it was certainly not done."""
    entry, intent = _own(ledger, label, operation_id)
    require(intent.token_id is None, f"the intent of {label} has a token already")
    renewed = replace(intent, since_ms=since_ms, before=before)
    return with_entry(ledger, label, replace(entry, intent=renewed))


@transition
def name_intent(ledger: Ledger, label: str, operation_id: str, token_id: str) -> Ledger:
    """Record the id of the derived token, before anybody uses it: step 3.

    An id that was known before, or ended, is refused: the reply is an old one.
    """
    entry, intent = _own(ledger, label, operation_id)
    _refuse_known(ledger, token_id, intent)
    require(all(r.token_id != token_id for r in ledger.closed), f"{token_id} is known already")
    return with_entry(ledger, label, replace(entry, intent=replace(intent, token_id=token_id)))


@transition
def close_intent(  # noqa: PLR0913  # the caller gives one less: the ledger comes later
    ledger: Ledger,
    label: str,
    operation_id: str,
    *,
    outcome: str,
    at_ms: int,
    version: VersionId | None = None,
) -> Ledger:
    """Forget a write that was certainly not done and left no token.

    ``version`` is that of a fence that wrote the current content again.
    """
    _, intent = _own(ledger, label, operation_id)
    ledger = fenced(ledger, intent.path, version)
    ledger = with_entry(ledger, label, replace(entry_of(ledger, label), intent=None))
    return _log(ledger, _closed(label, None, outcome, at_ms))


@transition
def abandon_intent(
    ledger: Ledger, label: str, operation_id: str, *, at_ms: int, version: VersionId | None = None
) -> Ledger:
    """Close an intent whose derive may still land, as a token that nobody can name.

    The attempt is remembered, so that such a token can be explained.
    """
    _, intent = _own(ledger, label, operation_id)
    close = close_intent(label, operation_id, outcome="abandoned", at_ms=at_ms, version=version)
    return _remember(close(ledger), label, intent, at_ms)


@transition
def drop_intent(
    ledger: Ledger,
    label: str,
    operation_id: str,
    gone: Discarded,
    *,
    version: VersionId | None = None,
) -> Ledger:
    """Revoke the intent's token, because the commit is disproved.

    It is one write, so that no crash leaves the token unrecorded. If the intent did not
    name a token, the dropped one was inferred, and the intent's own may still land:
    then the attempt is remembered as well.
    """
    _, intent = _own(ledger, label, operation_id)
    _refuse_known(ledger, gone.token_id, intent)
    if intent.token_id is None:
        rest = replace(intent, before=(*intent.before, gone.token_id))
        ledger = _remember(ledger, label, rest, gone.at_ms)
    ledger = fenced(ledger, intent.path, version)
    entry = entry_of(ledger, label)
    row = Revoking(
        token_id=gone.token_id,
        live_label=label,
        reason=gone.reason,
        path=_elsewhere(entry, intent.path),
    )
    return with_entry(ledger, label, replace(entry, intent=None, revoking=(*entry.revoking, row)))


@transition
def retire_intent(  # the caller gives one less: the ledger comes later
    ledger: Ledger,
    label: str,
    operation_id: str,
    perhaps: Retiring,
    *,
    version: VersionId | None = None,
) -> Ledger:
    """Let the intent's token live on through an overlap.

    Its version is gone, but it may have been committed and read before. Nothing is
    known of its users, so it goes as any predecessor does: by evidence.
    ``perhaps.path`` is set here. ``version`` is as in ``close_intent``.
    """
    _, intent = _own(ledger, label, operation_id)
    _refuse_known(ledger, perhaps.token_id, intent)
    ledger = fenced(ledger, intent.path, version)
    entry = entry_of(ledger, label)
    row = replace(perhaps, path=_elsewhere(entry, intent.path))
    return with_entry(ledger, label, replace(entry, intent=None, retiring=(*entry.retiring, row)))


# --- the commit ---


@transition
def record_current(
    ledger: Ledger, label: str, operation_id: str, current: Current, retirement: Retirement
) -> Ledger:
    """Record a known commit: step 6.

    The new token is current, its predecessor retires or is revoked, the intent is
    closed. A label that had the path before is displaced.
    """
    entry, intent = _own(ledger, label, operation_id)
    entry = readable_again(entry, current.token_id)
    ledger = forget_granted(ledger, intent.scopes) if intent.kind.derives else ledger
    ledger = taken_back(ledger, current.token_id)
    owner = ledger.known_ids().get(current.token_id, label)
    require(owner == label, f"{current.token_id} is {owner}'s and would be {label}'s")
    require(
        all(r.token_id != current.token_id for r in entry.revoking),
        f"{current.token_id} is revoking and would be current",
    )
    old, rows, revoking = entry.current, [], entry.revoking
    rewritten = old is not None and old.token_id == current.token_id
    overlap_ms = entry.overlap_ms if rewritten else retirement.overlap_ms
    current = _with_age(current, entry, intent, retirement.at_ms)
    retiring = tuple(r for r in entry.retiring if r.token_id != current.token_id)
    if old is not None and old.token_id != current.token_id:
        if retirement.already_gone:
            rows.append(_closed(label, old.token_id, "revoked elsewhere", retirement.at_ms))
        elif retirement.revoke_now:
            revoking = (*revoking, _revoked(old, retirement.reason))
        else:
            retiring = (*retiring, _retired(old, retirement))
    if retirement.revoke_all:
        revoking = (*revoking, *(_revoked(r, retirement.reason) for r in retiring))
        retiring = ()
    if intent.path != entry.path:  # what is on its way out lies where it lay
        retiring = tuple(replace(r, path=r.path or entry.path) for r in retiring)
        revoking = tuple(replace(r, path=r.path or entry.path) for r in revoking)
    entry = replace(
        entry,
        retiring=retiring,
        revoking=revoking,
        overlap_ms=overlap_ms,
        fields=intent.fields,
        others=intent.others,
    )
    ledger = displaced(ledger, label, intent.path)
    return _log(
        with_entry(ledger, label, replace(entry, path=intent.path, current=current, intent=None)),
        *rows,
    )


@transition
def record_found(
    ledger: Ledger, label: str, operation_id: str, current: Current, retirement: Retirement
) -> Ledger:
    """Record a commit that a later run has found.

    If a derive's intent did not name its token, this one was inferred, and the intent's
    own may still land: then the attempt is remembered.
    """
    _, intent = _own(ledger, label, operation_id)
    ledger = record_current(label, operation_id, current, retirement)(ledger)
    if not intent.kind.derives or intent.token_id is not None:
        return ledger
    rest = replace(intent, before=(*intent.before, current.token_id))
    return _remember(ledger, label, rest, retirement.at_ms)


def _with_age(current: Current, entry: Entry, intent: Intent, at_ms: int) -> Current:
    """Return the token with what is known of it: since when it is in use, its name.

    An adopted one is old and somebody's; one that is written again keeps its time; one
    from the reserve is in use from now on.
    """
    if intent.kind is IntentKind.PROMOTE:
        return replace(current, in_use_since_ms=at_ms)
    if intent.kind is IntentKind.ADOPT:
        grace_until_ms = at_ms + (intent.grace_ms or 0)
        return replace(current, in_use_since_ms=at_ms, grace_until_ms=grace_until_ms)
    known = (entry.current, *entry.retiring)
    was = next((t for t in known if t is not None and t.token_id == current.token_id), None)
    if was is None:
        return current
    return replace(
        current,
        in_use_since_ms=was.in_use_since_ms,
        grace_until_ms=was.grace_until_ms,
        asked_label=was.asked_label,
    )


def _revoked(old: Current | Retiring, reason: str) -> Revoking:
    path = old.path if isinstance(old, Retiring) else None
    return Revoking(token_id=old.token_id, live_label=old.live_label, reason=reason, path=path)


def _retired(old: Current, retirement: Retirement) -> Retiring:
    return Retiring(
        token_id=old.token_id,
        live_label=old.live_label,
        superseded_at_ms=retirement.at_ms,
        not_before_ms=retirement.at_ms + retirement.overlap_ms,
        reason=retirement.reason,
        verified_at_ms=old.verified_at_ms,
        own_use_until_ms=old.own_use_until_ms,
        fresh=old.fresh,
        unsigned=old.unsigned,
        in_use_since_ms=old.in_use_since_ms,
        grace_until_ms=old.grace_until_ms,
        asked_label=old.asked_label,
    )


# --- the end of an id ---


@transition
def start_revoking(ledger: Ledger, label: str, token_id: str, *, reason: str) -> Ledger:
    """Begin to revoke the current token of a label, or a retiring one.

    There is no way back from here.
    """
    entry = entry_of(ledger, label)
    if entry.current is not None and entry.current.token_id == token_id:
        gone = _revoked(entry.current, reason)
        revoking = (*entry.revoking, gone)
        return with_entry(ledger, label, replace(entry, current=None, revoking=revoking, others=()))
    old = next((r for r in entry.retiring if r.token_id == token_id), None)
    if old is None:
        raise LedgerError(f"{token_id} is neither current nor retiring")
    left = tuple(r for r in entry.retiring if r.token_id != token_id)
    gone = _revoked(old, reason)
    return with_entry(
        ledger, label, replace(entry, retiring=left, revoking=(*entry.revoking, gone))
    )


@transition
def close_revoking(
    ledger: Ledger, label: str, token_id: str, *, outcome: str, at_ms: int
) -> Ledger:
    """Log that the id is gone from the exchange."""
    entry = entry_of(ledger, label)
    left = tuple(r for r in entry.revoking if r.token_id != token_id)
    require(len(left) == len(entry.revoking) - 1, f"{token_id} is not revoking")
    ledger = without_copies(with_entry(ledger, label, replace(entry, revoking=left)), [token_id])
    return _log(ledger, _closed(label, token_id, outcome, at_ms))


# --- helpers ---


def _own(ledger: Ledger, label: str, operation_id: str) -> tuple[Entry, Intent]:
    """Return the label's entry and its open intent, which is this run's."""
    entry = entry_of(ledger, label)
    intent = entry.intent
    if intent is None or intent.operation_id != operation_id:
        raise LedgerError("the open intent is not this run's")
    return entry, intent


def _refuse_known(ledger: Ledger, token_id: str, own: Intent | None = None) -> None:
    """Raise LedgerError if the id was ours, was listed before, or is an intent's."""
    others = (e.intent for e in ledger.tokens.values() if e.intent not in {None, own})
    if (
        token_id in ledger.known_ids()
        or token_id in ledger.released_ids()
        or (own is not None and token_id in own.before)
        or any(intent is not None and intent.token_id == token_id for intent in others)
    ):
        raise LedgerError(f"{token_id} is known already")


def _elsewhere(entry: Entry, path: str) -> str | None:
    return None if path == entry.path else path


def _closed(label: str, token_id: str | None, outcome: str, at_ms: int) -> Closed:
    return Closed(label=label, token_id=token_id, outcome=outcome, at_ms=at_ms)


def _log(ledger: Ledger, *rows: Closed) -> Ledger:
    return replace(ledger, closed=(*ledger.closed, *rows)[-CLOSED_KEPT:])


def _remember(ledger: Ledger, label: str, intent: Intent, at_ms: int) -> Ledger:
    row = Abandoned(
        label=label,
        since_ms=intent.since_ms,
        closed_at_ms=at_ms,
        before=intent.before,
        scopes=intent.scopes,
    )
    return replace(ledger, abandoned=(*ledger.abandoned, row)[-ABANDONED_MOST:])
