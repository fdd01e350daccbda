"""Signing with the secret of a managed token, outside of its own derive.

Signing is a use, and the exchange shows only the last one. So that our use is never
taken for a consumer's, whatever happens after it, the ledger knows of it beforehand.

    the label                        then
    -------------------------------  -------------------------------------------------
    is not waited for (``awaited``)  sign: no decision rests on this token's uses
    is waited for                    ledger: uses until a bound may be ours, and the
                                     token is not fresh any more, because it is asked
                                     where no list shows its uses so far; sign, but no
                                     later than half a minute before the bound
    (any), and it is in the reserve  the same, but it stays fresh: a use by anybody else
                                     would be shown
    the ledger can't be written      do not sign

The manager is excepted: its only consumer is this program.
"""

from __future__ import annotations

from reconciler.model import MINUTE_MS, SECOND_MS, Credentials
from reconciler.protocol.effects import (
    LeaseLost,
    Listing,
    NotRecorded,
    Now,
    ReadDesk,
    Recorded,
    Refused,
    Step,
    Unclear,
    VerifyToken,
    WriteLedger,
)
from reconciler.state import awaited, expect_own_use

OWN_USE_MS = 2 * MINUTE_MS
"""How far ahead a use of our own is recorded."""

SIGN_BEFORE_MS = 30 * SECOND_MS
"""No signature is made later than this before the bound: a request may hang so long."""

TOO_LATE = "too much time passed before it could be asked: run again"


def sign_stored(
    label: str, credentials: Credentials
) -> Step[Listing | Refused | Unclear | LeaseLost | NotRecorded]:
    """List, signed by a managed token; the use to come is recorded where it matters."""
    ledger = (yield from ReadDesk()).ledger
    in_reserve = any(kept.token_id == credentials.token_id for kept in ledger.tokens[label].reserve)
    if label not in awaited(ledger) and not in_reserve:
        return (yield from VerifyToken(credentials=credentials))
    until_ms = (yield from Now()) + OWN_USE_MS
    transition = expect_own_use(label, credentials.token_id, until_ms)
    reply = yield from WriteLedger(transition=transition)
    if not isinstance(reply, Recorded):
        return reply
    return (yield from VerifyToken(credentials=credentials, until_ms=until_ms - SIGN_BEFORE_MS))
