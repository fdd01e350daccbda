"""The exchange's list as a run asks for it: signed, of the right exchange and profile.

    what is wrong                              then
    -----------------------------------------  ---------------------------------------
    the ledger is another exchange's           nothing is signed or sent
    the signature is refused                   a person is needed
    an entry that may be ours can't be read    an error that names it
    a foreign one can't be read                it is counted, and told once
    the signing token is another profile's     an error; where the exchange does not
                                               tell profiles, nothing is checked

A profile is asked for only where it isn't known already: of a pair that the environment
or a person gave, and where the ledger has none. The ledger's own tokens were derived
for its profile.
"""

from __future__ import annotations

from reconciler.errors import (
    ExchangeRefusedError,
    ExchangeUnclearError,
    PersonNeededError,
    ReconcilerError,
)
from reconciler.model import Credentials, Manifest, TokenList
from reconciler.protocol import Listing, Refused, Step, Unclear, VerifyToken
from reconciler.run.effects import ReadProfile, ReadSigner, Say
from reconciler.state import Ledger, unreadable_of_ours, wrong_exchange

BOOTSTRAP = "run `reconciler bootstrap` with an identity token"


def refuse_wrong_exchange(ledger: Ledger, api_url: str) -> None:
    """Raise ReconcilerError where the ledger is another exchange's: nothing is sent."""
    sentence = wrong_exchange(ledger, api_url)
    if sentence is not None:
        raise ReconcilerError(sentence)


def list_signed_by(signer: Credentials) -> Step[Listing | None]:
    """Return the list that a token signs; None where its signature is refused.

    ExchangeError where there is no list for another reason.
    """
    reply = yield from VerifyToken(credentials=signer)
    if isinstance(reply, Listing):
        return reply
    if isinstance(reply, Unclear):
        raise ExchangeUnclearError(reply.sentence)
    if reply.is_of_signature:
        return None
    raise ExchangeRefusedError(reply.sentence)


def believed_list(reply: Listing | Refused | Unclear) -> Step[Listing]:
    """Return the list that the run's signer got. PersonNeededError, ExchangeError."""
    if isinstance(reply, Listing):
        return reply
    if isinstance(reply, Unclear):
        raise ExchangeUnclearError(reply.sentence)
    if not reply.is_of_signature:
        raise ExchangeRefusedError(reply.sentence, status=reply.status)
    if (yield from ReadSigner()).pinned:
        raise PersonNeededError(
            f"{reply.sentence}; LIMITLESS_TOKEN_ID and _SECRET sign: unset them, "
            "or set a pair that works"
        )
    raise PersonNeededError(
        f"{reply.sentence}; if the clock is right, the manager's token is gone: {BOOTSTRAP}"
    )


def judge_unreadable(manifest: Manifest, ledger: Ledger, listed: Listing) -> Step[int]:
    """Return how many entries can't be read, each told once; all are others'.

    ExchangeUnclearError for one that may be ours.
    """
    found = TokenList(tokens=listed.tokens, unreadable=listed.unreadable)
    labels = [spec.label for spec in manifest.tokens]
    ours = unreadable_of_ours(ledger, found, labels=labels)
    if ours is not None:
        raise ExchangeUnclearError(f"{ours}, and it may be ours: ask the exchange what it means")
    for entry in listed.unreadable:
        sentence = f"warning: {entry}; it isn't ours, so it is left out"
        yield from Say(sentence=sentence, once=sentence)
    return len(listed.unreadable)


def check_signers_profile(manifest: Manifest, ledger: Ledger, signer: Credentials) -> Step[None]:
    """Raise ReconcilerError where the run's signer is another profile's."""
    pinned = (yield from ReadSigner()).pinned
    if pinned or ledger.profile_id is None:
        whose = "LIMITLESS_TOKEN_ID" if pinned else f"the manager's token {signer.token_id}"
        yield from check_profile(manifest, ledger, signer, whose=whose)


def check_profile(
    manifest: Manifest, ledger: Ledger, pair: Credentials, *, whose: str
) -> Step[None]:
    """Raise ReconcilerError where a pair is of another profile than it should be."""
    wanted = (("the manifest", manifest.profile_id), ("the ledger", ledger.profile_id))
    if all(profile_id is None for _, profile_id in wanted):
        return
    found = yield from ReadProfile(credentials=pair)
    if found is None:
        return
    for what, profile_id in wanted:
        if profile_id is not None and profile_id != found:
            raise ReconcilerError(
                f"{whose} belongs to profile {found}, {what} to profile {profile_id}: "
                "use a token of the right profile"
            )
