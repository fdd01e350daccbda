"""Step 7: a token goes.

The ledger says so first, then the secret goes by its version number, then the token.

    step                        then
    --------------------------  ------------------------------------------------------
    does a path that nobody     that is deleted, and a later list decides once more
    owns hold its secret?       (``emptying``)
    ledger: retiring or         there is no way back, save for an interrupted one
    current becomes revoking
    was it interrupted, and     it retires instead (``spare``)
    does the list show a use?
    does the secret hold it?    soft-delete that version by number, read again
    DELETE                      200: answered; 400 or 404 (unknown, or revoked already),
                                and a list lacks it: answered; no clear answer: a list
                                decides; else refused: it stays revoking
    ledger: asked               an answer is remembered, because it proves nothing yet:
                                it is asked for again an hour later at the earliest
    a later, whole list lacks   ledger: closed (``run.closing``, with the last write of
    the id                      the run)

Whoever reads Vault finds a working secret or none, never one that we have revoked.

A list may be partial, so a token that it lacks may live. What is done about it:

    its secret in Vault         then
    --------------------------  ------------------------------------------------------
    signs                       nothing: the list lags
    is refused (401), and the   it is gone, and goes the same way as above, which
    list lacks it once more     closes it
    can't be asked now          nothing in this run
    did not sign while the      as where it is lost: its refusal tells nothing of the
    list had it, or is not      token
    the version that signed
    is lost                     nobody can prove that it is gone: no DELETE. The ledger
                                remembers that (``missing``), the plan holds it, and a
                                person who knows says so (``forget``)
"""

from __future__ import annotations

import dataclasses

from reconciler.model import (
    MINUTE_MS,
    SECOND_MS,
    USE_MARGIN_MS,
    Credentials,
    LiveToken,
    Secret,
    VersionId,
)
from reconciler.plan import Evidence
from reconciler.protocol.again import until_answered
from reconciler.protocol.effects import (
    ConfirmedNow,
    DeleteVersion,
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
from reconciler.protocol.emptying import empty_first
from reconciler.protocol.older import SECRETS_TRIED, newest_holder
from reconciler.protocol.outcome import (
    Outcome,
    applied,
    failed,
    held,
    not_tried,
    unrecorded,
)
from reconciler.protocol.own_use import sign_stored
from reconciler.protocol.spare import spare_used
from reconciler.state import (
    INTERRUPTED,
    TOKEN_ID,
    Current,
    Entry,
    Retiring,
    Revoking,
    alike,
    mark_missing,
    note_asked,
    reopen_revoking,
    start_revoking,
)

EMPTY_TRIES = 5
UNKNOWN_ID = frozenset({400, 404})
"""What a DELETE of an id that does not exist may be answered with: 400 by the exchange,
404 by what lies in between, or by a later exchange."""

EVIDENCE_MS = 5 * MINUTE_MS
"""A revocation is begun within this time of the list that it was decided on.

Later it is not begun: the run was paused.
"""


EVIDENCE_SLACK_MS = 5 * SECOND_MS
"""Nor is it begun so long before that list, which was then judged by a wrong time."""


SPARED_WITHIN_MS = 30 * SECOND_MS
"""An interrupted token goes within this time of the list that showed no use of it.

Later another run may have seen one, and have spared it.
"""


def too_old(evidence: Evidence) -> Step[Outcome | None]:
    """Return why nothing is begun on this evidence any more, or not yet."""
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
    late = yield from too_old(evidence)
    if late is not None:
        return late
    if live is None:
        unproven = yield from why_not_gone(label, entry, current.token_id)
        if unproven is not None:
            return unproven
    if live is not None and not is_called(live, current.live_label):
        return held(
            f"the exchange calls {current.token_id} {live.label!r}, "
            f"the ledger {current.live_label!r}: not revoked"
        )
    waits = yield from empty_first(label, entry, current.token_id, entry.path, evidence)
    if waits is not None:
        return waits
    return (yield from _start(label, current.token_id, reason))


def revoke_retiring(
    label: str, entry: Entry, retiring: Retiring, evidence: Evidence, *, reason: str
) -> Step[Outcome]:
    """The overlap is over, and the evidence says that nobody holds it.

    The secret is read once more.
    """
    token_id, live = retiring.token_id, evidence.live
    late = yield from too_old(evidence)
    if late is not None:
        return late
    if live is not None and not is_called(live, retiring.live_label):
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
        unproven = yield from why_not_gone(label, entry, token_id, path=retiring.path)
        if unproven is not None:
            return unproven
    path = retiring.path or entry.path
    seen = content if path == entry.path else None
    waits = yield from empty_first(label, entry, token_id, path, evidence, seen=seen)
    if waits is not None:
        return waits
    return (yield from _start(label, token_id, reason))


def is_called(live: LiveToken, recorded: str) -> bool:
    """Return whether the exchange still calls a token as recorded, or much like it."""
    return live.label == recorded or alike(recorded, live.label)


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


def why_not_gone(
    label: str, entry: Entry, token_id: str, *, path: str | None = None
) -> Step[Outcome | None]:
    """Return why a token that the list lacks is not revoked; None if it is gone."""
    asked = yield from confirm_gone(label, entry, token_id, path=path)
    if isinstance(asked, Outcome):
        return asked
    if not asked:
        now_ms = yield from Now()
        reply = yield from WriteLedger(transition=mark_missing(label, token_id, at_ms=now_ms))
        if not isinstance(reply, Recorded):
            return unrecorded(reply, token_id)
        return held(
            "the exchange does not list it, and its secret is lost, so nobody can ask "
            f"whether it is gone; if you know, say so: `reconciler forget --token-id {token_id}`",
            token_id,
        )
    listing = yield from ListTokens()
    if not isinstance(listing, Listing):
        return not_tried(f"whether {token_id} is gone could not be found out: {listing.sentence}")
    if listing.find(token_id) is not None:
        return not_tried(f"{token_id} is listed again: run again")
    return None


def confirm_gone(
    label: str, entry: Entry, token_id: str, *, path: str | None = None
) -> Step[Outcome | bool]:
    """Return whether a token that is missing from the list is proven gone.

    An outcome where it works, or can't be asked now. False where its secret is lost as
    well, so that nobody can ask it; so it is where the stored secret is known to be a
    wrong one, or may be: of a current token the recorded version has to be among those
    that are asked, because that one signed once. A 403 proves nothing: an address may
    be blocked. A version may have a wrong secret beside the id, so older ones are asked
    as well.
    """
    if _is_unsigned(entry, token_id):
        return False
    witness = _proven_version(entry, token_id)
    tried: tuple[Secret, ...] = ()
    version: int | None = None
    while len(tried) < SECRETS_TRIED:
        content = yield from newest_holder(path or entry.path, token_id, version)
        if isinstance(content, (Refused, Unclear)):
            return not_tried(content.sentence)
        if content is None or content.secret is None:
            break
        if witness is not None and content.version_id.is_same(witness):
            witness = None
        if not any(content.secret.same_as(secret) for secret in tried):
            tried = (*tried, content.secret)
            credentials = Credentials(token_id=token_id, secret=content.secret)
            unsure = yield from _ask(label, credentials)
            if unsure is not None:
                return unsure
        if content.version <= 1:
            break
        version = content.version - 1
    return bool(tried) and witness is None


def _proven_version(entry: Entry, token_id: str) -> VersionId | None:
    """Return the version whose secret signed once, where the ledger knows it."""
    current = entry.current
    return current.version_id if current is not None and current.token_id == token_id else None


def _ask(label: str, credentials: Credentials) -> Step[Outcome | None]:
    """Return why a token is not believed gone; None where its signature gets a 401."""
    reply = yield from sign_stored(label, credentials)
    if isinstance(reply, (LeaseLost, NotRecorded)):
        return unrecorded(reply)
    if isinstance(reply, Listing):
        return not_tried(
            f"{credentials.token_id} is missing from the list but still signs: "
            "the list lags or is partial, run again later"
        )
    if not isinstance(reply, Refused) or not reply.is_of_signature:
        return not_tried(
            f"whether {credentials.token_id} still works could not be found out: {reply.sentence}"
        )
    return None


def _is_unsigned(entry: Entry, token_id: str) -> bool:
    rows: tuple[Current | Retiring | None, ...] = (entry.current, *entry.retiring)
    return any(row.unsigned for row in rows if row is not None and row.token_id == token_id)


def _start(label: str, token_id: str, reason: str) -> Step[Outcome]:
    reply = yield from WriteLedger(transition=start_revoking(label, token_id, reason=reason))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    entry = reply.ledger.tokens[label]
    revoking = next(r for r in entry.revoking if r.token_id == token_id)
    return (yield from finish_revoking(label, entry.path, revoking))


def finish_revoking(
    label: str, path: str, revoking: Revoking, *, listed: bool = True
) -> Step[Outcome]:
    """From a recorded ``revoking`` to the exchange's answer; may be repeated.

    One that was answered before, and that the list lacks (``listed``), is not asked
    for again: only a later list has to confirm it.
    """
    token_id = revoking.token_id
    if revoking.asked_at_ms is not None and not listed:
        return dataclasses.replace(applied("revoked", token_id), asked=(token_id,))
    looked_ms = yield from Now()
    if revoking.reason == INTERRUPTED:
        spared = yield from spare_used(label, revoking)
        if spared is not None:
            return spared
    for place in sorted({path, revoking.path or path, *revoking.copies}):
        emptied = yield from _empty(place, token_id)
        if emptied is not None:
            return emptied
    if revoking.reason == INTERRUPTED and (yield from Now()) > looked_ms + SPARED_WITHIN_MS:
        return failed("not revoked yet: too much time passed since the list: run again", token_id)
    reply = yield from Revoke(token_id=token_id)
    done = dataclasses.replace(applied("revoked", token_id), asked=(token_id,))
    if isinstance(reply, Refused) and reply.status in UNKNOWN_ID:
        # It may be a refusal all the same; nothing is revoked that a list still shows.
        listing = yield from ListTokens()
        if not isinstance(listing, Listing) or listing.find(token_id) is not None:
            return failed(f"not revoked yet: {reply.sentence}", token_id)
    elif isinstance(reply, (Refused, Unclear)):
        undone = failed(f"not revoked yet: {reply.sentence}", token_id)
        unclear = isinstance(reply, Unclear)
        return dataclasses.replace(undone, unclear=(token_id,)) if unclear else undone
    now_ms = yield from Now()
    noted = yield from WriteLedger(transition=note_asked(label, token_id, at_ms=now_ms))
    return done if isinstance(noted, Recorded) else unrecorded(noted, token_id)


def finish_superseded(label: str, entry: Entry, reason: str) -> Step[tuple[Outcome, ...]]:
    """Revoke what this record has put on its way out; other ids are in other hands."""
    found: tuple[Outcome, ...] = ()
    for revoking in entry.revoking:
        if revoking.reason == reason and revoking.asked_at_ms is None:
            ended = yield from finish_revoking(label, entry.path, revoking)
            found = (*found, ended)
            if ended.stop:
                break
    return found


def revoke_again(label: str, token_id: str, live_label: str) -> Step[Outcome]:
    """Revoke an id again that the ledger has as revoked, and that lives."""
    reply = yield from WriteLedger(transition=reopen_revoking(label, token_id, live_label))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    entry = reply.ledger.tokens[label]
    revoking = next(r for r in entry.revoking if r.token_id == token_id)
    return (yield from finish_revoking(label, entry.path, revoking))


def _empty(path: str, token_id: str) -> Step[Outcome | None]:
    """Delete by number the version that still holds the id, until none does."""
    for _ in range(EMPTY_TRIES):
        content = yield from ReadSecret(path=path)
        if isinstance(content, (Refused, Unclear)):
            return failed(f"not revoked yet: {content.sentence}", token_id)
        if content.field(TOKEN_ID) != token_id:
            return None
        reply = yield from until_answered(DeleteVersion(path=path, version=content.version))
        if isinstance(reply, Refused):
            return failed(f"not revoked yet: {reply.sentence}", token_id)
    return failed(f"not revoked yet: {path} still holds it after deleting its version", token_id)
