"""Whose use it was: a signature of the program's own never passes for a consumer's, and
what a token was used for before it was recorded is a consumer's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation
from reconciler.state.ledger import Entry, Intent, IntentKind
from reconciler.state.ledger_text import to_text
from tests.e2e.test_story import held
from tests.support.fleet import Fleet, KillServer

BOT = {"label": "bot", "path": "prod/bot"}
UNREAD = "no consumer has used the successor yet"
VERIFY_EFFECTS_MOST = 40


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """Kills the program at a given effect."""
    server = KillServer()
    yield server
    server.stop()


def alive(fleet: Fleet, token_id: str) -> bool:
    """Whether the token of ``bot`` lives."""
    return token_id in {token.token_id for token in fleet.live("bot")}


def superseded(fleet: Fleet) -> str:
    """``bot`` was rotated, its overlap is over, and nobody has read the successor: the
    id of the predecessor, which a consumer used a while ago.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=5)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(hours=3)
    return old


def unrecorded(fleet: Fleet) -> None:
    """A run died between ``bot``'s commit and its record, and left the ledger so."""
    ledger, content, latest = fleet.ledger(), fleet.secret("prod/bot"), fleet.secret("_ledger")
    (token,) = fleet.live("bot")
    operation_id = content.field("operation_id")
    assert operation_id is not None
    intent = Intent(
        kind=IntentKind.DERIVE,
        operation_id=operation_id,
        run="gone",
        since_ms=token.created_at_ms - 500,
        before=(),
        cas=0,
        path="prod/bot",
        scopes=("trading",),
        token_id=token.token_id,
    )
    tokens = {**ledger.tokens, "bot": Entry(path="prod/bot", intent=intent)}
    with fleet.store() as store:
        text = to_text(dataclasses.replace(ledger, tokens=tokens))
        store.write(f"{fleet.prefix}/_ledger", {"ledger": text}, cas=latest.version)


def test_what_recovery_records_was_read_by_somebody(fleet: Fleet) -> None:
    """A consumer used the secret before a later run recorded it. Without an overlap the
    token is not revoked by the run that rotates it, nor by time.
    """
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    unrecorded(fleet)
    fleet.later(minutes=1)
    assert "finished" in fleet.must("apply", "--yes").out
    fleet.must("rotate", "--target", "bot", "--yes")
    assert alive(fleet, old)
    fleet.later(hours=50)
    assert UNREAD in held(fleet.must("apply", "--yes"))[0]
    assert alive(fleet, old)
    fleet.use("prod/bot")
    fleet.later(minutes=1)
    fleet.must("apply", "--yes")
    assert not alive(fleet, old)


def test_a_missing_token_that_is_asked_itself(fleet: Fleet) -> None:
    """The list lacks the successor, so it is asked by its own signature: that is no
    consumer's, and the predecessor stays.
    """
    old = superseded(fleet)
    new = fleet.secret("prod/bot").field("token_id")
    assert new is not None
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.PARTIAL_LIST, operation=Operation.LIST, leaves_out=(new,), count=None)
    )
    assert "still signs" in fleet.attempt("apply", "--yes").out
    fleet.sandbox.faults.clear()
    for _ in range(2):
        fleet.later(hours=3)
        assert UNREAD in held(fleet.must("apply", "--yes"))[0]
        assert alive(fleet, old)


def test_verify_is_killed_anywhere(fleet: Fleet, kill_server: KillServer) -> None:
    """It signs with the successor, and dies after any effect of its own: the use was
    recorded ahead.
    """
    old = superseded(fleet)
    for at in range(1, VERIFY_EFFECTS_MOST):
        killed = kill_server.killed(fleet, at, "verify")
        fleet.later(minutes=3)
        assert UNREAD in held(fleet.must("apply", "--yes"))[0], at
        assert alive(fleet, old), at
        if not killed:
            return
    pytest.fail("it never came to its end")
