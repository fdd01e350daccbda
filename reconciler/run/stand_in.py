"""The manager's token is gone, and a successor of it is kept ready: that signs instead.

    the manager's pair      a reserve of the manager       then
    ----------------------  -----------------------------  ---------------------------
    signs                   (any)                          it is the run's signer
    is the environment's    (any)                          what it gets is the answer
    has no answer           (any)                          the same
    is refused (401), and   (any)                          that is the run's signer, and
    another version of its                                 an apply restores it
    secret signs
    is refused (401)        none that signs                a person is needed
    is refused (401)        signs, and its list still has  a person is needed: the
                            the manager's token            token lives, its secret is
                                                           a wrong one
    is refused (401)        signs, and its list lacks the  it is the run's signer, and
                            manager's token                an apply promotes it

That both were asked at the same time rules out a clock: it would fail the reserve, too.

Our uses of it are not recorded ahead, because a look holds no lease. In place of that a
reserve is not judged by its uses while it signs the run's lists (``plan.ready``), and
is never revoked then. Where a run ends before the promotion, the next one finds the
same, and signs with it again. One that ends without a promotion records that the uses
so far were ours (``closing``).
"""

from __future__ import annotations

from reconciler.model import Credentials, Secret, SecretVersion
from reconciler.protocol import (
    Listing,
    ReadSecret,
    Refused,
    Step,
    Unclear,
    VerifyToken,
    other_holder,
)
from reconciler.run.effects import ReadSigner, Say
from reconciler.run.listing import believed_list
from reconciler.state import Entry, Reserve, credentials_of


def list_or_stand_in(
    signer: Credentials, manager: Entry | None
) -> Step[tuple[Credentials, Listing]]:
    """Return the list that the run's signer signs, and who that is from now on.

    PersonNeededError, ExchangeError.
    """
    reply = yield from VerifyToken(credentials=signer)
    refused = isinstance(reply, Refused) and reply.is_of_signature
    pinned = (yield from ReadSigner()).pinned
    if refused and not pinned and manager is not None and manager.current is not None:
        other = yield from by_another_version(signer, manager)
        if other is not None:
            return other
        for kept in sorted(manager.reserve, key=lambda kept: (kept.created_at_ms, kept.token_id)):
            found = yield from _signed_by(kept)
            if found is not None and found[1].find(manager.current.token_id) is None:
                said = (
                    f"the manager's token {manager.current.token_id} is gone; {kept.token_id} of "
                    "its reserve signs, and an apply makes it the manager's"
                )
                yield from Say(sentence=f"warning: {said}", once=said)
                return found
    listing = yield from believed_list(reply)
    return signer, listing


def by_another_version(
    refused: Credentials, manager: Entry
) -> Step[tuple[Credentials, Listing] | None]:
    """Return what another version of the manager's secret signs.

    None where no other one holds its token beside another secret, and signs.
    """
    tried: tuple[Secret, ...] = (refused.secret,)
    while True:
        content = yield from other_holder(manager.path, refused.token_id, tried)
        pair = credentials_of(content) if isinstance(content, SecretVersion) else None
        if pair is None:
            return None
        listing = yield from VerifyToken(credentials=pair)
        if isinstance(listing, Listing) and listing.find(pair.token_id) is not None:
            return pair, listing
        tried = (*tried, pair.secret)


def _signed_by(kept: Reserve) -> Step[tuple[Credentials, Listing] | None]:
    """Return what a reserve signs; None where it can't, or is not what was written."""
    content = yield from ReadSecret(path=kept.path, version=kept.version_id.number)
    if isinstance(content, (Refused, Unclear)) or not content.version_id.is_same(kept.version_id):
        return None
    pair = credentials_of(content)
    if pair is None or pair.token_id != kept.token_id:
        return None
    listing = yield from VerifyToken(credentials=pair)
    if not isinstance(listing, Listing) or listing.find(kept.token_id) is None:
        return None
    return pair, listing
