"""Is what lies in Vault a token's working secret? It signs once before it is recorded.

    the list that it signs     the signer's own list  then
    -------------------------  ---------------------  --------------------------------
    has the token              (not asked for)        it works
    lacks the token            (not asked for)        partial: not now
    401                        has the token          the secret is a wrong one
    401                        lacks the token        the token is gone
    401                        refused or unclear     a clock or an edge: not now
    refused otherwise          (not asked for)        an edge, or nobody: not now
    unclear                    (not asked for)        not now

While nobody can sign (a bootstrap), a 401 is believed as it is.
"""

from __future__ import annotations

from reconciler.model import Credentials, LiveToken
from reconciler.protocol.effects import (
    LeaseLost,
    Listing,
    ListTokens,
    NotRecorded,
    Now,
    Recorded,
    Refused,
    Step,
    Unclear,
    VerifyToken,
    WriteLedger,
)
from reconciler.protocol.lease import LEASE_MS
from reconciler.protocol.outcome import Outcome, applied, not_tried, unrecorded
from reconciler.protocol.own_use import SIGN_BEFORE_MS, sign_stored
from reconciler.state import Moved, set_unsigned, unchanged
from reconciler.values import value

SIGN_WITHIN_MS = LEASE_MS - SIGN_BEFORE_MS
"""How long after the lease was renewed a token may be signed with."""


@value
class Works:
    """It signed. ``live`` is the token in that list, ``listed`` is all of it."""

    live: LiveToken
    listed: tuple[LiveToken, ...]


@value
class Wrong:
    """The token lives, and this is not its secret."""


@value
class Gone:
    """The exchange does not have the token."""


Proof = Works | Wrong | Gone


def prove_stored(label: str, credentials: Credentials) -> Step[Proof | Outcome]:
    """Prove the stored secret of a token that the ledger knows."""
    reply = yield from sign_stored(label, credentials)
    if isinstance(reply, (LeaseLost, NotRecorded)):
        return unrecorded(reply, credentials.token_id)
    return (yield from _judged(reply, credentials.token_id, has_signer=True))


def prove_new(credentials: Credentials, *, has_signer: bool) -> Step[Proof | Outcome]:
    """Prove what a derive wrote; uses until it is recorded count as ours.

    Another run may have recorded it since this one last held the lease: then a use by
    this one would pass for a consumer's. So the lease is renewed right before.
    """
    renewed_ms = yield from Now()
    renewed = yield from WriteLedger(transition=unchanged)
    if not isinstance(renewed, Recorded):
        return unrecorded(renewed, credentials.token_id)
    reply = yield from VerifyToken(credentials=credentials, until_ms=renewed_ms + SIGN_WITHIN_MS)
    return (yield from _judged(reply, credentials.token_id, has_signer=has_signer))


def _judged(reply: object, token_id: str, *, has_signer: bool) -> Step[Proof | Outcome]:
    why = reply.sentence if isinstance(reply, (Refused, Unclear)) else ""
    if isinstance(reply, Listing):
        live = reply.find(token_id)
        if live is not None:
            return Works(live=live, listed=reply.tokens)
        why = "the list that it signed lacks it"
    elif isinstance(reply, Refused) and reply.is_of_signature:
        if not has_signer:
            return Wrong()
        listing = yield from ListTokens()
        if isinstance(listing, Listing):
            return Gone() if listing.find(token_id) is None else Wrong()
        why = listing.sentence
    return not_tried(f"whether the stored secret of {token_id} works is not known ({why})")


def why_unproven(what: str, reply: Refused | Unclear) -> str:
    """Tell whether a secret does not sign, or whether that is not known."""
    if isinstance(reply, Refused) and reply.is_of_signature:
        return f"{what} does not sign: {reply.sentence}"
    return f"whether {what} signs is not known: {reply.sentence}"


def record_unsigned(
    label: str, token_id: str, proof: Wrong | Gone, moved: Moved | None = None
) -> Step[Outcome]:
    """Record that a current token's stored secret did not sign: it will be replaced.

    ``moved`` is where that secret lies, if not where the ledger says.
    """
    if isinstance(proof, Gone):
        return not_tried(f"the exchange does not list {token_id} any more: run again")
    reply = yield from WriteLedger(transition=set_unsigned(label, token_id, moved))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    return applied("what Vault holds of it does not sign, so it is to be replaced", token_id)
