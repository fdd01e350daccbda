"""What vanished while a token was derived, and what that tells of how many may live."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model import DAY_MS, NEVER_WRITTEN, Credentials, Secret, Unreadable
from reconciler.plan.tasks import NewToken
from reconciler.protocol.effects import Listing, Now, StopDeriving, VerifyToken
from reconciler.protocol.ended import find_ended
from reconciler.state.ledger import Entry
from tests.support.values import MANAGER, NOW_MS, current_id, live, settled, spec

KNOWN = settled([spec(MANAGER), spec("bot")])
OLDEST = live("oldest", "theirs", age_ms=300 * DAY_MS)
YOUNGER = live("younger", "theirs", age_ms=DAY_MS)
BEFORE = (*KNOWN.live, OLDEST, YOUNGER)
NEW = live("new", "cat", age_ms=0)
OURS = current_id("bot")
TASK = NewToken(spec=spec("cat"), entry=Entry(path="cat"), seen=NEVER_WRITTEN.version_id)


def telling(
    *vanished: str, again: tuple[str, ...] = (), unread: tuple[str, ...] = ()
) -> set[str] | None:
    """What the derive tells by, where these vanished; the second list has ``again``.

    Both have entries of ``unread`` that can't be read.
    """
    entries = tuple(Unreadable(position=9, token_id=i, label=None, why="odd") for i in unread)

    def shown(but: frozenset[str]) -> Listing:
        tokens = tuple(t for t in (*BEFORE, NEW) if t.token_id not in but)
        return Listing(tokens=tokens, unreadable=entries)

    gone = frozenset(vanished)
    signer = Credentials(token_id="new", secret=Secret("x"))
    step = find_ended(TASK, Listing(tokens=BEFORE), shown(gone), signer, KNOWN.ledger)
    reply: Any = None
    while True:
        try:
            effect = step.send(reply)
        except StopIteration as end:
            return None if end.value is None else set(end.value.telling)
        match effect:
            case VerifyToken():
                reply = shown(gone - frozenset(again))
            case Now():
                reply = NOW_MS
            case _:
                assert isinstance(effect, StopDeriving)
                reply = None


@pytest.mark.parametrize(
    ("expected", "vanished"),
    [
        pytest.param(None, (), id="nothing"),
        pytest.param({OURS}, (OURS,), id="ours"),
        pytest.param({"oldest"}, ("oldest",), id="the profile's oldest, somebody else's"),
        pytest.param(set(), ("younger",), id="somebody else's, and an older one stays"),
        pytest.param({OURS}, ("younger", OURS), id="ours, beside a neighbour's"),
    ],
)
def test_what_tells(expected: set[str] | None, vanished: tuple[str, ...]) -> None:
    """A neighbour's revocation tells nothing: else it would cap our reserve."""
    assert telling(*vanished) == expected


def test_a_second_list_decides() -> None:
    """One that is listed again did not end."""
    assert telling("oldest", again=("oldest",)) is None


def test_an_entry_that_cannot_be_read_lives() -> None:
    """What is odd about somebody else's token ends neither it nor our stocking."""
    assert telling("oldest", unread=("oldest",)) is None
