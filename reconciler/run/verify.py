"""Verify: sign one request with every stored secret.

Signing is a use, and the exchange shows only the last one. Where a predecessor waits
for proof that somebody else uses the successor, the lease is held, and the ledger is
told before the signature that uses until a bound may be ours (``protocol.own_use``);
once all have signed, that they were ours until then. A consumer's use that is shown
already stays proof: nothing is recorded over it.
"""

from __future__ import annotations

from functools import partial

from reconciler.model import USE_MARGIN_MS
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
from reconciler.run.effects import Stage, Then, Together
from reconciler.run.lease import holding_lease, record
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.state import (
    Entry,
    Ledger,
    Observed,
    credentials_of,
    expect_own_use,
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
    """Whether a label's stored secret works; ``sentence`` says why not."""

    label: str
    token_id: str | None
    works: bool
    sentence: str = ""


def verify_secrets(session: Session) -> Stage[tuple[Verified, ...]]:
    """Sign one request with every desired label's stored secret; sorted by label."""
    observed = yield from look_only(session)
    entries = observed.ledger.tokens.values()
    if not any(entry.retiring and entry.current is not None for entry in entries):
        return (yield from _verify_all(session, observed))
    refuse_ending(observed)
    begin = session, observed.ledger, observed.ledger_version, _record_and_verify
    return Then(stage=holding_lease, arguments=(*begin, session))


def _record_and_verify(session: Session) -> Stage[tuple[Verified, ...]]:
    observed = yield from look_only(session)
    entries = observed.ledger.tokens.items()
    waiting = {label: e for label, e in entries if e.retiring and not _is_proven(observed, e)}
    until_ms = (yield from Now()) + OWN_USE_MS + len(session.manifest.tokens) * PACE_MS
    if waiting:
        yield from record(partial(_expect_own_uses, tuple(waiting.items()), until_ms))
    found = yield from _verify_all(session, observed, until_ms if waiting else None)
    ended_ms = (yield from Now()) + USE_MARGIN_MS
    yield from NoteLedger(transition=settle_own_uses(until_ms, min(ended_ms, until_ms)))
    return found


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


def _expect_own_uses(
    waiting: tuple[tuple[str, Entry], ...], until_ms: int, ledger: Ledger
) -> Ledger:
    """Record that uses of these labels' tokens may be ours until then."""
    for label, entry in waiting:
        if entry.current is not None:
            ledger = expect_own_use(label, entry.current.token_id, until_ms)(ledger)
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
    last_ms = None if until_ms is None else until_ms - SIGN_BEFORE_MS
    reply = yield from VerifyToken(credentials=credentials, until_ms=last_ms)
    if not isinstance(reply, Listing):
        return reply.sentence
    return "" if reply.find(token_id) else "the list that it signed does not have it"
