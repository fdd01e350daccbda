"""Directly before a secret is written, its version is compared: number and time."""

from __future__ import annotations

import dataclasses
from typing import Any

from reconciler.model import SecretVersion, VersionId, VersionState
from reconciler.plan import NewToken
from reconciler.protocol import Listing, Outcome, Place, Run, Step, derive_token, restore
from reconciler.protocol.effects import (
    Desk,
    LocalNow,
    Now,
    PutSecret,
    ReadDesk,
    ReadSecret,
    VerifyToken,
    WriteLedger,
)
from tests.proofs.simulation.models import secret_of
from tests.support.values import API_URL, NOW_MS, PROFILE_ID, entry, ledger, live, spec

RUN = Run(run="run-1", api_url=API_URL, profile_id=PROFILE_ID)
SEEN = VersionId(1, NOW_MS)
ANEW = "bot changed since the plan (written anew): run again"


def ended(step: Step[Outcome], replies: dict[type, Any]) -> Outcome:
    """The end of a step that may neither write a secret nor the ledger."""
    reply = None
    try:
        while True:
            effect = step.send(reply)
            assert not isinstance(effect, (PutSecret, WriteLedger)), effect
            reply = replies[type(effect)]
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def version(*, age_ms: int) -> SecretVersion:
    """Version 1 of the bot's secret, written so long ago."""
    return SecretVersion(
        version=1,
        state=VersionState.LIVING,
        fields=(("token_id", "bot-1"),),
        secret=secret_of("bot-1"),
        created_at_ms=NOW_MS - age_ms,
    )


def test_a_derive_writes_over_no_other_version_of_the_same_number() -> None:
    """Nothing is begun: no intent, no POST."""
    task = NewToken(spec=spec("bot"), seen=SEEN, entry=entry("bot-1", "bot"))
    replies = {LocalNow: NOW_MS, ReadSecret: version(age_ms=1)}
    assert ended(derive_token(RUN, task), replies).sentence == ANEW


def test_a_restore_writes_over_no_other_version_of_the_same_number() -> None:
    """It signs, looks again, and stops."""
    known = entry("bot-1", "bot")
    place = Place(label="bot", path="bot", source=1, seen=SEEN)
    token = live("bot-1", "bot")
    replies = {
        ReadSecret: version(age_ms=1),
        VerifyToken: Listing(tokens=(token,)),
        Now: NOW_MS,
        ReadDesk: Desk(ledger=ledger({"bot": known}), lost=False),
    }
    assert ended(restore(RUN, place, known, token), replies).sentence == ANEW


def test_without_a_time_the_number_alone_counts() -> None:
    """A ledger of schema 1, or a Vault that does not tell."""
    assert VersionId(1).is_same(SEEN)
    assert SEEN.is_same(VersionId(1))
    assert not SEEN.is_same(VersionId(2))
    assert not SEEN.is_same(dataclasses.replace(SEEN, created_at_ms=NOW_MS - 1))
