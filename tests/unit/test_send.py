"""A derive that is answered with 429: what is asked anew, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.model import SecretVersion, VersionState
from reconciler.plan import NewToken
from reconciler.protocol import Ending, Outcome, Recorded, Run, Turn, WriteLedger, drive
from reconciler.protocol.effects import (
    AwaitTurn,
    Busy,
    Derive,
    Effect,
    Listing,
    ListTokens,
    NewId,
    NoTurn,
    Now,
    ReadSecret,
    StopDeriving,
    Unclear,
)
from reconciler.protocol.send import BUSY_TRIES, send_derive
from reconciler.state import Entry, Ledger
from tests.support.values import API_URL, NOW_MS, PROFILE_ID, ledger, live, spec

RUN = Run(run="run-1", api_url=API_URL, profile_id=PROFILE_ID)
BUSY = Busy(sentence="too many requests")
BOSS = live("boss-1", "reconciler")
ALONE = Listing(tokens=(BOSS,))


class Peers:
    """Answers each effect; ``posts`` are the replies to derives, in order.

    ``lists`` are what is listed before each POST, the last one for ever. ``seen`` has
    what was asked, and the ledger's intent as it was at each POST.
    """

    def __init__(self, *posts: object, lists: tuple[object, ...] = (ALONE,)) -> None:
        self.posts = list(posts)
        self.lists = list(lists)
        self.turns: list[object] = []
        self.ledger: Ledger = ledger({})
        self.now_ms, self.tick_ms = NOW_MS, 10
        self.seen: list[str] = []
        self.since_ms: list[int] = []
        self.before: list[tuple[str, ...]] = []
        self.recent: list[bool] = []

    def perform(self, effect: Effect[Any]) -> object:
        """The reply."""
        self.now_ms += self.tick_ms
        table: dict[type[Effect[Any]], Callable[[Any], object]] = {
            ReadSecret: lambda _: NOTHING,
            NewId: lambda _: "operation",
            Now: lambda _: self.now_ms,
            AwaitTurn: lambda _: self.turns.pop(0) if self.turns else Turn(),
            ListTokens: self._list,
            WriteLedger: self._write,
            Derive: self._derive,
            StopDeriving: lambda _: None,
        }
        if not isinstance(effect, Now | NewId | ReadSecret):
            self.seen.append(type(effect).__name__)
        return table[type(effect)](effect)

    def _list(self, effect: ListTokens) -> object:
        self.recent.append(effect.recent)
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]

    def _write(self, effect: WriteLedger) -> Recorded:
        self.ledger = effect.transition(self.ledger)
        return Recorded(ledger=self.ledger)

    def _derive(self, _: Derive) -> object:
        intent = self.ledger.tokens["bot"].intent
        assert intent is not None
        self.since_ms.append(intent.since_ms)
        self.before.append(intent.before)
        return self.posts.pop(0) if len(self.posts) > 1 else self.posts[0]


NOTHING = SecretVersion(version=0, state=VersionState.ABSENT)


def end_of(peers: Peers) -> Outcome:
    """What becomes of a derive of ``bot`` that leads to no token."""
    task = NewToken(spec=spec("bot"), seen=NOTHING.version_id, entry=Entry(path="bot"))
    end = drive(send_derive(RUN, task), peers.perform)
    assert isinstance(end, Outcome)
    return end


LOST = Unclear(sentence="no reply")


def test_sent_again_as_if_for_the_first_time() -> None:
    """Each POST has a turn, a list and a written intent of its own, right before it."""
    twin = live("twin", "bot", age_ms=1_000_000)
    lists = (ALONE, ALONE, Listing(tokens=(BOSS, twin)))
    peers = Peers(BUSY, BUSY, LOST, lists=lists)
    end_of(peers)
    assert peers.seen == [*["AwaitTurn", "ListTokens", "WriteLedger", "Derive"] * 3, "StopDeriving"]
    assert len(set(peers.since_ms)) == 3, "the deadline of a POST counts from its own intent"
    assert peers.before == [(), (), ("twin",)]
    assert peers.recent == [True, False, False], "what a 429 may have made shows in a new list only"


def test_each_post_has_an_instant_of_its_own() -> None:
    """The exchange's time is told to a second, so it may seem to stand still or to
    step back: the ledger tells one POST's intent from the next one's all the same.
    """
    peers = Peers(BUSY, BUSY, BUSY, LOST)
    peers.tick_ms = -100
    end_of(peers)
    assert peers.since_ms == sorted(set(peers.since_ms))
    assert len(peers.since_ms) == 4


def test_a_429_that_may_be_wrong_is_named() -> None:
    """A token that shows up meanwhile may be the POST's: it is named, and not touched;
    nothing more is derived.
    """
    landed = live("landed", "bot", age_ms=-50)
    peers = Peers(BUSY, lists=(ALONE, Listing(tokens=(BOSS, landed))))
    outcome = end_of(peers)
    assert (outcome.status, "landed" in outcome.sentence) == (Ending.FAILED, True)
    assert [row.label for row in peers.ledger.abandoned] == ["bot"]
    assert peers.seen[-2:] == ["StopDeriving", "WriteLedger"]
    assert "bot" not in peers.ledger.tokens


def test_a_persons_token_of_another_label_changes_nothing() -> None:
    """Only what can be the POST's own stops it."""
    other = live("other", "another", age_ms=-50)
    peers = Peers(BUSY, LOST, lists=(ALONE, Listing(tokens=(BOSS, other))))
    end_of(peers)
    assert peers.seen.count("Derive") == 2


def test_asked_to_come_later() -> None:
    """The intent is closed, and the run derives no more."""
    peers = Peers(Busy(sentence="run again after noon", later=True))
    outcome = end_of(peers)
    assert (outcome.status, outcome.sentence) == (Ending.FAILED, "run again after noon")
    assert peers.seen[-3:] == ["Derive", "StopDeriving", "WriteLedger"]
    assert "bot" not in peers.ledger.tokens


def test_given_up_in_the_end() -> None:
    """Eight POSTs are enough."""
    peers = Peers(BUSY)
    assert end_of(peers).sentence == BUSY.sentence
    assert peers.seen.count("Derive") == BUSY_TRIES
    assert "bot" not in peers.ledger.tokens


def test_stopped_while_it_waits() -> None:
    """Without another turn, or without a list, the intent is closed."""
    for peers in (
        Peers(BUSY, lists=(ALONE, LOST)),
        Peers(BUSY),
    ):
        if len(peers.lists) == 1:
            peers.turns = [Turn(), NoTurn(sentence="stopped by a signal")]
        outcome = end_of(peers)
        assert outcome.status is Ending.NOT_TRIED
        assert peers.seen.count("Derive") == 1
        assert "bot" not in peers.ledger.tokens
