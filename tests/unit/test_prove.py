"""What a refusal tells of a stored secret, and when an interrupted token may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model import Credentials, Secret, SecretVersion, VersionState
from reconciler.protocol import (
    Done,
    Effect,
    Ending,
    Listing,
    ListTokens,
    Now,
    Outcome,
    ReadSecret,
    Recorded,
    Refused,
    Revoke,
    Unclear,
    VerifyToken,
    WriteLedger,
    drive,
    finish_revoking,
)
from reconciler.protocol.prove import Gone, Works, Wrong, prove_new
from reconciler.protocol.revoke import SPARED_WITHIN_MS
from reconciler.state import INTERRUPTED, Entry, Revoking
from tests.support.values import NOW_MS, ledger, live

TOKEN = live("t-1", "bot")
BOSS = live("boss-1", "reconciler")
PAIR = Credentials(token_id="t-1", secret=Secret("c2VjcmV0"))
WITH, WITHOUT = Listing(tokens=(BOSS, TOKEN)), Listing(tokens=(BOSS,))
UNAUTHORIZED = Refused(sentence="unauthorized", status=401)
LOST = Unclear(sentence="no reply")


class Peers:
    """Answers each effect; ``lists`` are what the signer lists, in order."""

    def __init__(self, own: object = WITH, *lists: object, step_ms: int = 10) -> None:
        self.own, self.lists = own, list(lists)
        self.ledger = ledger({"bot": Entry(path="bot", revoking=(GOING,))})
        self.now_ms, self.step_ms = NOW_MS, step_ms
        self.revoked: list[str] = []

    def perform(self, effect: Effect[Any]) -> object:
        """The reply."""
        self.now_ms += self.step_ms
        table: dict[type[Effect[Any]], Callable[[Any], object]] = {
            Now: lambda _: self.now_ms,
            WriteLedger: self._write,
            VerifyToken: lambda _: self.own,
            ListTokens: lambda _: self.lists.pop(0),
            ReadSecret: lambda _: SecretVersion(version=0, state=VersionState.ABSENT),
            Revoke: self._revoke,
        }
        return table[type(effect)](effect)

    def _write(self, effect: WriteLedger) -> Recorded:
        self.ledger = effect.transition(self.ledger)
        return Recorded(ledger=self.ledger)

    def _revoke(self, effect: Revoke) -> Done:
        self.revoked.append(effect.token_id)
        return Done()


GOING = Revoking(token_id="t-1", live_label="bot", reason=INTERRUPTED)


@pytest.mark.parametrize(
    ("own", "lists", "expected"),
    [
        pytest.param(WITH, (), Works, id="it signs"),
        pytest.param(WITHOUT, (), None, id="its own list lacks it"),
        pytest.param(UNAUTHORIZED, (WITH,), Wrong, id="401, and it lives"),
        pytest.param(UNAUTHORIZED, (WITHOUT,), Gone, id="401, and it is not listed"),
        pytest.param(UNAUTHORIZED, (UNAUTHORIZED,), None, id="401 for the signer as well"),
        pytest.param(UNAUTHORIZED, (LOST,), None, id="401, and no list"),
        pytest.param(LOST, (), None, id="no answer"),
        *(
            pytest.param(Refused(sentence="no", status=status), (), None, id=f"{status}")
            for status in (None, 400, 403, 404, 422, 429)
        ),
    ],
)
def test_what_a_reply_proves(own: object, lists: tuple[object, ...], expected: type | None) -> None:
    """By the table of ``prove``; None where nothing is proven."""
    proof = drive(prove_new(PAIR, has_signer=True), Peers(own, *lists).perform)
    assert isinstance(proof, Outcome if expected is None else expected)
    if isinstance(proof, Outcome):
        assert proof.status is Ending.NOT_TRIED


@pytest.mark.parametrize(
    ("own", "expected"), [(UNAUTHORIZED, Wrong), (Refused(sentence="no", status=403), Outcome)]
)
def test_while_nobody_else_can_sign(own: object, expected: type) -> None:
    """A bootstrap believes a 401, and nothing else."""
    assert isinstance(drive(prove_new(PAIR, has_signer=False), Peers(own).perform), expected)


@pytest.mark.parametrize(
    ("step_ms", "expected"), [(10, ["t-1"]), (SPARED_WITHIN_MS + 1, [])], ids=["at once", "late"]
)
def test_an_interrupted_token_goes_soon_after_the_list(step_ms: int, expected: list[str]) -> None:
    """Not by a run that stood still since: another one may have seen a use."""
    peers = Peers(WITH, WITH, step_ms=step_ms)
    drive(finish_revoking("bot", "bot", GOING), peers.perform)
    assert peers.revoked == expected
