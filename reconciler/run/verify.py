"""Verify: sign one request with every stored secret.

Signing is a use. Where a predecessor waits for proof that somebody else uses the
successor, the lease is held meanwhile, and the ledger is told that this use was ours.
"""

from __future__ import annotations

from functools import partial

from reconciler.errors import PartialError
from reconciler.model import USE_MARGIN_MS
from reconciler.protocol import (
    Listing,
    Now,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    Unclear,
    VerifyToken,
    WriteLedger,
    value,
)
from reconciler.run.effects import ReadDesk, Stage, Then, Together
from reconciler.run.lease import holding_lease
from reconciler.run.session import Session, look_only
from reconciler.state import Observed, credentials_of, set_verified

VERIFY_LANES = 8


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
    begin = session, observed.ledger, observed.ledger_version, _verify_and_record
    return Then(stage=holding_lease, arguments=(*begin, session))


def _verify_and_record(session: Session) -> Stage[tuple[Verified, ...]]:
    observed = yield from look_only(session)
    found = yield from _verify_all(session, observed)
    live = observed.live_by_id()
    at_ms = (yield from Now()) + USE_MARGIN_MS
    for one in found:
        entry = (yield from ReadDesk()).ledger.tokens.get(one.label)
        if entry is None or not entry.retiring or entry.current is None:
            continue
        if entry.current.token_id != one.token_id:
            continue
        token = live.get(entry.current.token_id)
        if token is not None and (token.last_used_at_ms or 0) > entry.current.verified_at_ms:
            continue  # somebody used it before us: that stays true
        step = set_verified(one.label, entry.current.token_id, at_ms)
        if not isinstance((yield from WriteLedger(transition=step)), Recorded):
            raise PartialError(
                "the ledger could not be told that these uses were ours: run it again"
            )
    return found


def _verify_all(session: Session, observed: Observed) -> Step[tuple[Verified, ...]]:
    labels = sorted(spec.label for spec in session.manifest.tokens)
    steps = tuple(partial(_verify, observed, label) for label in labels)
    return (yield from Together(steps=steps, width=VERIFY_LANES))


def _verify(observed: Observed, label: str) -> Step[Verified]:
    entry = observed.ledger.tokens.get(label)
    if entry is None or entry.current is None:
        return Verified(label=label, token_id=None, works=False, sentence="no token yet")
    wanted = entry.current.token_id
    sentence = yield from _why_broken(entry.path, wanted)
    return Verified(label=label, token_id=wanted, works=not sentence, sentence=sentence)


def _why_broken(path: str, token_id: str) -> Step[str]:
    """Return why the path does not hold the token's working secret, or nothing."""
    content = yield from ReadSecret(path=path)
    if isinstance(content, (Refused, Unclear)):
        return content.sentence
    credentials = credentials_of(content)
    if credentials is None:
        return f"{path} holds no secret"
    if credentials.token_id != token_id:
        return f"{path} holds {credentials.token_id} instead of {token_id}"
    reply = yield from VerifyToken(credentials=credentials)
    if not isinstance(reply, Listing):
        return reply.sentence
    return "" if reply.find(token_id) else "the list that it signed does not have it"
