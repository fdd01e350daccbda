"""Verify: sign one request with every stored secret.

Signing is a use, and the exchange shows only the last one. Where a predecessor waits
for proof that somebody else uses the token at its path, the lease is held, and the
ledger is told before the signature that uses until a bound may be ours
(``protocol.own_use``); once all have signed, that they were ours until then. A
consumer's use that is shown already stays proof: nothing is recorded over it.

Of a reserve no use by anybody else may be shown, so the same is recorded for each, and

    the reserve                                then
    -----------------------------------------  ---------------------------------------
    was used by somebody                       is not signed with: a use of ours would
                                               hide theirs
    is being promoted by a run that stopped    is not signed with: an apply ends that
    has a document that is not as we wrote it  can't be signed with
    none of that                               signs
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from reconciler.model import USE_MARGIN_MS, Credentials, VersionState, iso
from reconciler.protocol import (
    OWN_USE_MS,
    SIGN_BEFORE_MS,
    Listing,
    NoteLedger,
    Now,
    ReadSecret,
    Refused,
    Step,
    Unclear,
    VerifyToken,
)
from reconciler.run.effects import Say, Stage, Then, Together
from reconciler.run.lease import holding_lease, record
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.run.strays import find_strays
from reconciler.state import (
    Entry,
    Ledger,
    Observed,
    Reserve,
    awaited,
    credentials_of,
    expect_own_use,
    note_leftover,
    only_ours,
    settle_own_uses,
)
from reconciler.values import value

VERIFY_LANES = 8
PACE_MS = 200
"""For each secret: the client sends ten requests a second, and the exchange may ask for
a pause.
"""


@value
class Verified:
    """Whether a stored secret works: a label's, or one in its ``reserve``.

    ``sentence`` says why not.
    """

    label: str
    token_id: str | None
    works: bool
    sentence: str = ""
    reserve: bool = False


def verify_secrets(session: Session, *, reserve: bool = False) -> Stage[tuple[Verified, ...]]:
    """Sign one request with every desired label's stored secret; sorted by label.

    With ``reserve`` also with those that are kept ready.
    """
    observed = yield from look_only(session)
    ledger = observed.ledger
    if not _currents(ledger, awaited(ledger)) and not reserve:
        return (yield from _verify_all(session, observed))
    refuse_ending(observed)
    begin = session, observed.ledger, observed.ledger_version, _record_and_verify
    return Then(stage=holding_lease, arguments=(*begin, session, reserve))


def _record_and_verify(
    session: Session,
    reserve: bool,  # noqa: FBT001  # an argument of a stage
) -> Stage[tuple[Verified, ...]]:
    observed = yield from look_only(session)
    tokens = observed.ledger.tokens
    waited_for = awaited(observed.ledger)
    labels = [name for name in waited_for if not _is_proven(observed, tokens[name])]
    kept = _kept(session, observed.ledger) if reserve else ()
    refused = {row.token_id: why for _, row in kept if (why := _why_unsigned(observed, row))}
    ours = _currents(observed.ledger, labels)
    ours += tuple((label, row.token_id) for label, row in kept if row.token_id not in refused)
    signatures = len(session.manifest.tokens) + len(kept)
    until_ms = (yield from Now()) + OWN_USE_MS + signatures * PACE_MS
    if ours:
        yield from record(partial(_expect_own_uses, ours, until_ms))
    bound_ms = until_ms if ours else None
    found = yield from _verify_all(session, observed, bound_ms)
    if reserve:
        yield from _note_strays(observed)
    if kept:
        signing = tuple(
            partial(_verify_kept, label, row, refused.get(row.token_id, ""), bound_ms)
            for label, row in kept
        )
        found += yield from Together(steps=signing, width=VERIFY_LANES)
    ended_ms = (yield from Now()) + USE_MARGIN_MS
    yield from NoteLedger(transition=settle_own_uses(until_ms, min(ended_ms, until_ms)))
    return tuple(sorted(found, key=lambda row: (row.label, row.reserve)))


def _note_strays(observed: Observed) -> Step[None]:
    """Name the documents that are no reserve's; an apply deletes those of ours."""
    for stray in (yield from find_strays(observed.ledger)):
        sentence = f"warning: {stray.sentence(observed.place)}"
        yield from Say(sentence=sentence, once=sentence)
        if stray.token_id is not None and stray.owner is not None:
            yield from NoteLedger(transition=note_leftover(stray.token_id, stray.path))


def _kept(session: Session, ledger: Ledger) -> tuple[tuple[str, Reserve], ...]:
    """Return the reserves of the desired labels, each with its label; sorted."""
    labels = sorted(spec.label for spec in session.manifest.tokens)
    entries = ((label, ledger.tokens.get(label)) for label in labels)
    return tuple((label, row) for label, e in entries if e is not None for row in e.reserve)


def _currents(ledger: Ledger, labels: Iterable[str]) -> tuple[tuple[str, str], ...]:
    entries = ((label, ledger.tokens[label].current) for label in sorted(labels))
    return tuple((label, current.token_id) for label, current in entries if current is not None)


def _why_unsigned(observed: Observed, kept: Reserve) -> str:
    """Return why a reserve is not signed with; nothing where it is."""
    intents = (entry.intent for entry in observed.ledger.tokens.values())
    if any(intent is not None and intent.token_id == kept.token_id for intent in intents):
        return "a rotation to it was begun and is not finished: run `reconciler apply`"
    live = observed.live_by_id().get(kept.token_id)
    used_at_ms = live.last_used_at_ms if live is not None else None
    ours_until_ms = kept.ours_until_ms + (observed.doubt_ms or 0)
    if kept.token_id == observed.signer_id or only_ours(used_at_ms, ours_until_ms):
        return ""
    return f"somebody used it at {iso(used_at_ms or 0)}, and nobody should"


def _is_proven(observed: Observed, entry: Entry) -> bool:
    """Return whether a consumer's use of the current token is shown, or none exists."""
    current = entry.current
    if current is None:
        return True
    live = observed.live_by_id().get(current.token_id)
    used_at_ms = live.last_used_at_ms if live is not None else None
    if used_at_ms is None or observed.doubt_ms is None:
        return False
    return used_at_ms > current.ours_until_ms + observed.doubt_ms


def _expect_own_uses(ours: tuple[tuple[str, str], ...], until_ms: int, ledger: Ledger) -> Ledger:
    """Record that uses of these tokens, each with its label, may be ours until then."""
    for label, token_id in ours:
        ledger = expect_own_use(label, token_id, until_ms)(ledger)
    return ledger


def _verify_all(
    session: Session, observed: Observed, until_ms: int | None = None
) -> Step[tuple[Verified, ...]]:
    labels = sorted(spec.label for spec in session.manifest.tokens)
    steps = tuple(partial(_verify, observed, label, until_ms) for label in labels)
    return (yield from Together(steps=steps, width=VERIFY_LANES))


def _verify(observed: Observed, label: str, until_ms: int | None) -> Step[Verified]:
    entry = observed.ledger.tokens.get(label)
    if entry is None or entry.current is None:
        return Verified(label=label, token_id=None, works=False, sentence="no token yet")
    wanted = entry.current.token_id
    sentence = yield from _why_broken(observed.place, entry.path, wanted, until_ms)
    return Verified(label=label, token_id=wanted, works=not sentence, sentence=sentence)


def _why_broken(place: str, path: str, token_id: str, until_ms: int | None) -> Step[str]:
    """Return why a path below ``place`` does not hold the token's working secret.

    Nothing where it does.

    Nothing is signed half a minute before ``until_ms`` or later.
    """
    content = yield from ReadSecret(path=path)
    if isinstance(content, (Refused, Unclear)):
        return content.sentence
    credentials = credentials_of(content)
    if credentials is None:
        return f"{place}/{path} holds no secret"
    if credentials.token_id != token_id:
        return f"{place}/{path} holds {credentials.token_id} instead of {token_id}"
    return (yield from _why_refused(credentials, until_ms))


def _verify_kept(label: str, kept: Reserve, why: str, until_ms: int | None) -> Step[Verified]:
    """Sign with a reserve, unless ``why`` it is not signed with was found already."""
    if not why:
        why = yield from _why_kept_broken(kept, until_ms)
    return Verified(label=label, token_id=kept.token_id, works=not why, sentence=why, reserve=True)


def _why_kept_broken(kept: Reserve, until_ms: int | None) -> Step[str]:
    content = yield from ReadSecret(path=kept.path, version=kept.version_id.number)
    if isinstance(content, (Refused, Unclear)):
        return content.sentence
    if content.state is VersionState.DELETED:
        return "its document was deleted; a rotation brings it back"
    credentials = credentials_of(content)
    if credentials is None or not content.version_id.is_same(kept.version_id):
        return "its document does not hold what was written there"
    if credentials.token_id != kept.token_id:
        return f"its document holds {credentials.token_id}"
    return (yield from _why_refused(credentials, until_ms))


def _why_refused(credentials: Credentials, until_ms: int | None) -> Step[str]:
    last_ms = None if until_ms is None else until_ms - SIGN_BEFORE_MS
    reply = yield from VerifyToken(credentials=credentials, until_ms=last_ms)
    if not isinstance(reply, Listing):
        return reply.sentence
    has_it = reply.find(credentials.token_id) is not None
    return "" if has_it else "the list that it signed does not have it"
