"""When a secret that nobody can read any more still asks for a second look."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from reconciler.model import SecretVersion, VersionState
from reconciler.plan import Evidence
from reconciler.protocol.effects import (
    ConfirmedNow,
    Effect,
    ReadSecret,
    Recorded,
    WriteLedger,
    drive,
)
from reconciler.protocol.emptying import empty_first
from reconciler.state.ledger import Entry
from reconciler.state.parted import below, root_of
from tests.support.values import NOW_MS, current, ledger, live

BOT = Entry(path="bot", current=current("bot-1", "bot"))
LOOKED = Evidence(live=live("bot-1", "bot"), at_ms=NOW_MS, again_ms=0)
COPY = below(root_of("old", "p"), "bot")


@pytest.mark.parametrize(
    ("again", "evidence"),
    [
        pytest.param(False, LOOKED, id="nobody could read it since the list"),
        pytest.param(True, dataclasses.replace(LOOKED, readable=True), id="its path held it then"),
        pytest.param(
            True,
            dataclasses.replace(LOOKED, copies=(COPY,)),
            id="a copy of before a move may have lain there by then",
        ),
        pytest.param(
            False,
            dataclasses.replace(LOOKED, readable=True, copies=(COPY,), again_ms=None),
            id="no use decides about it",
        ),
    ],
)
def test_a_person_deletes_it_right_after_the_list(evidence: Evidence, *, again: bool) -> None:
    """A consumer may have read it before that, and its use is still to come."""
    writes = 0

    def perform(effect: Effect[Any]) -> object:
        nonlocal writes
        match effect:
            case ReadSecret():
                return SecretVersion(version=2, state=VersionState.DELETED)
            case WriteLedger(transition=step):
                writes += 1
                step(ledger({"bot": BOT}))
                return Recorded(ledger=ledger({"bot": BOT}))
            case _:
                assert isinstance(effect, ConfirmedNow)
                return NOW_MS

    found = drive(empty_first("bot", BOT, "bot-1", "bot", evidence), perform)
    assert (found is not None and found.looks_again) == again
    assert writes == (2 if again else 0)
