"""A busy Vault: how long is waited, and that the same write goes out again before
anything else is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from reconciler.protocol.again import BOUND_MS, PAUSES_MS, Patience, until_answered
from reconciler.protocol.effects import (
    ConfirmedNow,
    Effect,
    Mismatch,
    NewId,
    Now,
    PutLedger,
    PutSecret,
    ReadLedger,
    Recorded,
    Refused,
    Sleep,
    Unclear,
    Written,
    drive,
)
from reconciler.protocol.lease import LedgerWriter
from reconciler.state import unchanged
from reconciler.vault.waiting import retry_after_ms, when_again
from tests.support.values import NOW_MS, ledger

PUT = PutSecret(path="bot", fields=(("label", "bot"),), secret=None, cas=1)
BUSY = Unclear(sentence="busy", again_after_ms=0)
NOW = "Sun, 29 Nov 2026 00:00:00 GMT"


@dataclasses.dataclass
class Peer:
    """Gives its replies to writes in order, and counts what it is asked."""

    replies: Iterator[object]
    asked: list[Effect[object]] = dataclasses.field(default_factory=list)

    def __call__(self, effect: Effect[object]) -> object:
        """One effect."""
        self.asked.append(effect)
        return None if isinstance(effect, Sleep) else next(self.replies)

    @property
    def waited_ms(self) -> list[int]:
        """The pauses."""
        return [effect.ms for effect in self.asked if isinstance(effect, Sleep)]


@pytest.mark.parametrize(
    "answer", [Written(version=2), Mismatch(), Refused(sentence="no"), Unclear(sentence="?")]
)
def test_the_same_write_until_it_is_answered(answer: object) -> None:
    """What is no busy reply is the answer; before it, the same write was sent only."""
    peer = Peer(iter([BUSY, Refused(sentence="nobody there", again_after_ms=0), answer]))
    assert drive(until_answered(PUT), peer) == answer
    assert [effect for effect in peer.asked if not isinstance(effect, Sleep)] == [PUT] * 3
    assert peer.waited_ms == list(PAUSES_MS[:2])


@pytest.mark.parametrize(
    ("asked_ms", "pauses"),
    [
        (0, list(PAUSES_MS)),
        (1000, [1000, 1000, 1000, 2000, 4000, 8000]),
        (20_000, [20_000, 20_000, 20_000]),
        (59_000, [59_000, PAUSES_MS[1]]),
        (365 * 24 * 3_600_000, list(PAUSES_MS)),
    ],
)
def test_patience_has_an_end(asked_ms: int, pauses: list[int]) -> None:
    """What Vault asks for is waited within the bound; else a few short pauses."""
    busy = Unclear(sentence="busy", again_after_ms=asked_ms)
    peer = Peer(iter([busy] * 20))
    assert drive(until_answered(PUT), peer) == busy
    assert peer.waited_ms == pauses
    assert sum(pauses) <= BOUND_MS


def test_nothing_is_waited_for_without_a_busy_reply() -> None:
    """Neither a success nor a refusal that is meant."""
    assert Patience().pause_ms(Written(version=1)) is None
    assert Patience().pause_ms(Refused(sentence="no")) is None


@pytest.mark.parametrize("landed", [False, True])
def test_the_ledger_waits_before_it_looks(landed: bool) -> None:  # noqa: FBT001
    """What a busy reply asks for is waited, then the write is settled by reading back,
    and sent again where it was not done.
    """
    before, written = ledger(), []
    refused = Refused(sentence="nobody there", again_after_ms=0)
    busy = Unclear(sentence="busy", again_after_ms=2000) if landed else refused
    replies = {NewId: "w", Now: NOW_MS, ConfirmedNow: NOW_MS}
    asked: list[Effect[object]] = []

    def perform(effect: Effect[object]) -> object:
        asked.append(effect)
        if isinstance(effect, PutLedger):
            written.append(effect.ledger)
            return busy if len(written) == 1 else Written(version=2)
        if isinstance(effect, ReadLedger):
            return (written[-1], 2) if landed else (before, 1)
        return replies.get(type(effect))

    writer = LedgerWriter(run="r", who="test", ledger=before, version=1)
    assert isinstance(drive(writer.write(unchanged), perform), Recorded)
    kinds = [type(effect) for effect in asked if not isinstance(effect, (NewId, Now, ConfirmedNow))]
    assert kinds == [PutLedger, Sleep, ReadLedger, *([] if landed else [PutLedger])]


@pytest.mark.parametrize(
    ("text", "asked_ms", "said"),
    [
        (None, None, "in a few seconds"),
        ("0", 0, "in a few seconds"),
        ("1", 1000, "in 1 second"),
        (" 59 ", 59_000, "in 59 seconds"),
        ("600", 600_000, "in 10 minutes"),
        ("-5", None, "in a few seconds"),
        ("1.5", None, "in a few seconds"),
        ("soon", None, "in a few seconds"),
        ("٣", None, "in a few seconds"),
        ("3155760000", 31_536_000_000, "in some days, as it says"),
        ("9" * 4000, 31_536_000_000, "in some days, as it says"),
        ("Sun, 29 Nov 2026 00:00:30 GMT", 30_000, "in 30 seconds"),
        ("Sat, 28 Nov 2026 00:00:00 GMT", None, "in a few seconds"),
        ("Thu, 01 Jan 2126 00:00:00 GMT", 31_536_000_000, "in some days, as it says"),
        ("Thu, 01 Jan 999999999999 00:00:00 GMT", None, "in a few seconds"),
    ],
)
def test_retry_after_is_bounded(text: str | None, asked_ms: int | None, said: str) -> None:
    """Seconds or a date; a century is a year, what is past or no time is nothing."""
    assert retry_after_ms(text, NOW) == asked_ms
    assert when_again(asked_ms) == said


def test_a_date_without_the_servers_own_says_nothing() -> None:
    """Our clock is not the server's."""
    assert retry_after_ms("Sun, 29 Nov 2026 00:00:30 GMT", None) is None
