"""Step 7: a token goes.

The ledger says so first, then the secret goes by its version number, then the token.

    step                        then
    --------------------------  ------------------------------------------------------
    ledger: retiring or         it is the point of no return
    current becomes revoking
    does the secret hold it?    soft-delete that version by number, read again
    DELETE                      200: gone; 400: gone, if the list agrees; anything
                                else: the id stays revoking
    ledger: closed

Whoever reads Vault finds a working secret or none, never one that we have revoked.

A list may be partial: a token that it lacks is asked itself, with its own secret from
Vault, before it goes. One whose secret is gone as well can't be asked.
"""

from __future__ import annotations

from reconciler.model import MINUTE_MS, SECOND_MS, USE_MARGIN_MS, Credentials, VersionState
from reconciler.plan import Evidence
from reconciler.protocol.effects import (
    ConfirmedNow,
    DeleteVersion,
    Done,
    LeaseLost,
    Listing,
    ListTokens,
    NotRecorded,
    Now,
    ReadSecret,
    Recorded,
    Refused,
    Revoke,
    Step,
    Unclear,
    WriteLedger,
)
from reconciler.protocol.outcome import (
    Ending,
    Outcome,
    applied,
    failed,
    held,
    not_tried,
    unrecorded,
)
from reconciler.protocol.own_use import sign_stored
from reconciler.state import TOKEN_ID, Entry, Retiring, Revoking, close_revoking, start_revoking

EMPTY_TRIES = 5
HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401

EVIDENCE_MS = 5 * MINUTE_MS
"""A revocation is begun within this time of the list that it was decided on.

Later it is not begun: the run was paused.
"""

EVIDENCE_SLACK_MS = 5 * SECOND_MS
"""Nor is it begun so long before that list, which was then judged by a wrong time."""


def _too_old(evidence: Evidence) -> Step[Outcome | None]:
    now_ms = yield from ConfirmedNow()
    if not isinstance(now_ms, int):
        return not_tried(now_ms.sentence)
    if now_ms < evidence.at_ms - EVIDENCE_SLACK_MS:
        return not_tried("the exchange's clock was corrected since the list was read: run again")
    if now_ms - evidence.at_ms <= EVIDENCE_MS:
        return None
    return not_tried("too much time passed since the list was read: run again")


def revoke_current(label: str, entry: Entry, evidence: Evidence, *, reason: str) -> Step[Outcome]:
    """Revoke the current token of a label that is not desired."""
    current, live = entry.current, evidence.live
    if current is None:
        return held("it has no current token any more")
    late = yield from _too_old(evidence)
    if late is not None:
        return late
    if live is None:
        asked = yield from confirm_gone(label, entry, current.token_id)
        if isinstance(asked, Outcome):
            return asked
    if live is not None and live.label != current.live_label:
        return held(
            f"the exchange calls {current.token_id} {live.label!r}, "
            f"the ledger {current.live_label!r}: not revoked"
        )
    return (yield from _start(label, current.token_id, reason))


def revoke_retiring(
    label: str, entry: Entry, retiring: Retiring, evidence: Evidence, *, reason: str
) -> Step[Outcome]:
    """The overlap is over, and the evidence says that nobody holds it.

    The secret is read once more.
    """
    token_id, live = retiring.token_id, evidence.live
    late = yield from _too_old(evidence)
    if late is not None:
        return late
    if live is not None and live.label != retiring.live_label:
        return held(
            f"the exchange calls {token_id} {live.label!r}, "
            f"the ledger {retiring.live_label!r}: not revoked"
        )
    content = yield from ReadSecret(path=entry.path)
    if isinstance(content, (Refused, Unclear)):
        return failed(content.sentence, token_id)
    if content.field(TOKEN_ID) == token_id and entry.current is not None:
        return held(
            "the secret holds it again: `reconciler rollback` makes that official", token_id
        )
    if live is None:
        asked = yield from confirm_gone(label, entry, token_id, path=retiring.path)
        if isinstance(asked, Outcome):
            return asked
    return (yield from _start(label, token_id, reason))


def own_use(token_id: str) -> Step[int]:
    """Return the last use that the list shows right after our verify.

    Nobody else had the secret until now, so that use is ours.

    Where the list does not show it yet, uses until shortly after now are taken for
    ours.
    """
    now_ms = yield from Now()
    listing = yield from ListTokens()
    shown = listing.find(token_id) if isinstance(listing, Listing) else None
    if shown is not None and shown.last_used_at_ms is not None:
        return shown.last_used_at_ms
    return now_ms + USE_MARGIN_MS


def confirm_gone(
    label: str, entry: Entry, token_id: str, *, path: str | None = None
) -> Step[Outcome | bool]:
    """Return whether a token that is missing from the list is proven gone.

    An outcome where it works, or can't be asked now. False where its secret is lost as
    well, so that nobody can ask it. A 403 proves nothing: an address may be blocked.
    """
    holder = yield from _holder(path or entry.path, token_id)
    if isinstance(holder, (Refused, Unclear)):
        return not_tried(holder.sentence)
    if holder is None:
        return False
    reply = yield from sign_stored(label, entry, holder)
    if isinstance(reply, (LeaseLost, NotRecorded)):
        return unrecorded(reply)
    if isinstance(reply, Listing):
        return not_tried(
            f"{token_id} is missing from the list but still signs: "
            "the list lags or is partial, run again later"
        )
    if isinstance(reply, Refused) and reply.status == HTTP_UNAUTHORIZED:
        return True
    return not_tried(f"whether {token_id} still works could not be found out: {reply.sentence}")


def _holder(path: str, token_id: str) -> Step[Credentials | Refused | Unclear | None]:
    """The pair, from the newest readable version that holds it."""
    content = yield from ReadSecret(path=path)
    while not isinstance(content, (Refused, Unclear)):
        if content.field(TOKEN_ID) == token_id and content.secret is not None:
            return Credentials(token_id=token_id, secret=content.secret)
        if content.state is VersionState.ABSENT or content.version <= 1:
            return None
        content = yield from ReadSecret(path=path, version=content.version - 1)
    return content


def _start(label: str, token_id: str, reason: str) -> Step[Outcome]:
    reply = yield from WriteLedger(transition=start_revoking(label, token_id, reason=reason))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    entry = reply.ledger.tokens[label]
    revoking = next(r for r in entry.revoking if r.token_id == token_id)
    return (yield from finish_revoking(label, entry.path, revoking))


def finish_revoking(label: str, path: str, revoking: Revoking) -> Step[Outcome]:
    """From a recorded ``revoking`` to ``closed``; may be repeated after any crash."""
    token_id = revoking.token_id
    for place in sorted({path, revoking.path or path}):
        emptied = yield from _empty(place, token_id)
        if emptied is not None:
            return emptied
    reply = yield from Revoke(token_id=token_id)
    if isinstance(reply, Refused) and reply.status == HTTP_BAD_REQUEST:
        reply = yield from _already_gone(token_id, reply)
    if not isinstance(reply, Done):
        return failed(f"not revoked yet: {reply.sentence}", token_id)
    now_ms = yield from Now()
    closed = yield from WriteLedger(
        transition=close_revoking(label, token_id, outcome=revoking.reason, at_ms=now_ms)
    )
    if not isinstance(closed, Recorded):
        return unrecorded(closed, token_id)
    return applied("revoked", token_id)


def finish_superseded(label: str, entry: Entry, reason: str) -> Step[Outcome | None]:
    """Revoke what this record has put on its way out; other ids are in other hands.

    None where all of it is gone.
    """
    for revoking in entry.revoking:
        if revoking.reason == reason:
            ended = yield from finish_revoking(label, entry.path, revoking)
            if ended.status is not Ending.APPLIED:
                return ended
    return None


def _empty(path: str, token_id: str) -> Step[Outcome | None]:
    """Delete by number the version that still holds the id, until none does."""
    for _ in range(EMPTY_TRIES):
        content = yield from ReadSecret(path=path)
        if isinstance(content, (Refused, Unclear)):
            return failed(f"not revoked yet: {content.sentence}", token_id)
        if content.field(TOKEN_ID) != token_id:
            return None
        reply = yield from DeleteVersion(path=path, version=content.version)
        if isinstance(reply, Refused):
            return failed(f"not revoked yet: {reply.sentence}", token_id)
    return failed(f"not revoked yet: {path} still holds it after deleting its version", token_id)


def _already_gone(token_id: str, refusal: Refused) -> Step[Done | Refused]:
    """Ask the list about an id that the exchange answered with 400.

    The exchange does so for an id that it never knew or has revoked already.
    """
    listing = yield from ListTokens()
    if isinstance(listing, Listing) and listing.tokens and listing.find(token_id) is None:
        return Done()
    return refusal
