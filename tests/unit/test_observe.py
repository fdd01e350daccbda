"""What of ``observe`` is pure: whose the token is that the manager's secret holds, and
how often it looks where another run writes the ledger.
"""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.errors import LeaseHeldError
from reconciler.model import SecretMeta, VersionState
from reconciler.protocol import Sleep, Step
from reconciler.run import observe
from reconciler.run.observe import LOOKS, LOOKS_APART_MS, take_snapshot, unrecorded_token
from reconciler.state import Observed
from reconciler.state.ledger import Entry, IntentKind
from tests.support.values import API_URL, MANAGER, current, intent, ledger, manifest, observed, spec

NOW = current("now", "manager")
BEGUN = intent("manager", kind=IntentKind.ROTATE, cas=1, token_id="next")
ELSEWHERE = intent("elsewhere", kind=IntentKind.ROTATE, token_id="next")


@pytest.mark.parametrize(
    ("expected", "token_id", "entry"),
    [
        pytest.param(
            True,
            "next",
            Entry(path="manager", current=NOW, intent=BEGUN),
            id="committed, the record is missing",
        ),
        pytest.param(
            False,
            "now",
            Entry(path="manager", current=NOW, intent=BEGUN),
            id="the predecessor is recorded",
        ),
        pytest.param(False, "next", Entry(path="manager", current=NOW), id="nobody knows it"),
        pytest.param(
            False,
            "next",
            Entry(path="manager", current=NOW, intent=ELSEWHERE),
            id="it belongs to another path",
        ),
    ],
)
def test_a_committed_manager_signs_before_it_is_recorded(
    *, expected: bool, token_id: str, entry: Entry
) -> None:
    """A rotation that died right after its commit locks nobody out, even where Vault
    keeps one version only.
    """
    assert (unrecorded_token(entry) == token_id) == expected


def paused_ms(written: int, *, wait_s: int = 0) -> list[int]:
    """How long it pauses before each further look, where the ledger is written during
    the first ones. What else a look asks is left out.
    """
    pauses: list[int] = []
    looks = 0
    step: Step[Observed] = take_snapshot(manifest(spec(MANAGER)), API_URL, wait_s=wait_s)
    reply = None
    while True:
        try:
            effect = step.send(reply)
        except StopIteration:
            return pauses
        if isinstance(effect, Sleep):
            pauses.append(effect.ms)
            reply = None
        else:
            looks += 1
            version = 2 if looks <= written else 1
            reply = SecretMeta(latest=version, state=VersionState.LIVING)


@pytest.fixture
def _only_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object) -> Step[Observed]:
        yield from ()
        return dataclasses.replace(observed(ledger()), ledger_version=1)

    monkeypatch.setattr(observe, "_snapshot", seen)


@pytest.mark.usefixtures("_only_the_ledger")
def test_it_looks_again_where_another_run_writes() -> None:
    """A moment apart, so that the list's turn has come when it begins; then as long as
    it may wait.
    """
    assert paused_ms(0) == []
    assert paused_ms(LOOKS - 1) == [LOOKS_APART_MS] * (LOOKS - 1)
    assert paused_ms(LOOKS + 1, wait_s=60) == [LOOKS_APART_MS] * (LOOKS - 1) + [1_000] * 2
    with pytest.raises(LeaseHeldError):
        paused_ms(LOOKS)
    with pytest.raises(LeaseHeldError):
        paused_ms(LOOKS + 2, wait_s=2)
