"""What the soak has found, each as the shortest way to see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.model import LiveToken
from reconciler.plan.guards import Policy
from reconciler.plan.predecessors import RetiringFacts, still_used
from reconciler.plan.setting import Setting
from reconciler.plan.vocabulary import Reason
from reconciler.sandbox import Sandbox, SandboxConfig
from reconciler.state.ledger import Entry, Retiring
from tests.support.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path, openbao: OpenBaoServer, vault_mount: str) -> Iterator[Fleet]:
    """A fleet without overlaps, at a sandbox without limits."""
    with Sandbox(config=SandboxConfig(limits=False)) as sandbox:
        yield Fleet(tmp_path, sandbox, openbao, vault_mount)


@pytest.mark.parametrize(
    "manager",
    [{"scopes": ["trading", "withdrawal"]}, {"path": "elsewhere"}, {}],
    ids=["scopes", "path", "requested"],
)
def test_a_manager_without_overlap_leaves_no_predecessor(
    fleet: Fleet, manager: dict[str, object]
) -> None:
    """Its only consumer is the program: the run that rotates it also ends the old one,
    and the next run is quiet.
    """
    fleet.begin({"label": "bot"})
    fleet.later(minutes=5)  # so that its uses can't be taken for our verify any more
    old = fleet.use("reconciler")
    fleet.tokens[0].update(manager)
    file = fleet.folder / "tokens.yaml"
    file.write_text(
        yaml.safe_dump(
            {**yaml.safe_load(file.read_text()), "tokens": fleet.tokens}, sort_keys=False
        )
    )
    fleet.must(*(("apply", "--yes") if manager else ("rotate", "--target", "reconciler", "--yes")))
    assert not fleet.sandbox.state.token(old).live
    assert fleet.ledger().tokens["reconciler"].retiring == ()
    fleet.assert_whole()
    fleet.assert_quiet()


NOW_MS = 1_000_000_000


@pytest.mark.parametrize(
    ("manager", "overlap_ms", "used_ms", "held"),
    [
        (True, 0, NOW_MS + 900, False),
        (True, 0, NOW_MS - 900, False),
        (False, 0, NOW_MS + 900, True),
        (False, 0, NOW_MS - 900, False),
        (True, 60_000, NOW_MS - 900, True),
        (True, 60_000, NOW_MS - 60_000, False),
    ],
)
def test_the_managers_own_list_is_no_consumer(
    *, manager: bool, overlap_ms: int, used_ms: int, held: bool
) -> None:
    """A recovered rotation of the manager without overlap ends in the same run, however
    its clock and the exchange's differ.
    """
    token = LiveToken(
        token_id="old", label="it", scopes=("trading",), created_at_ms=0, last_used_at_ms=used_ms
    )
    superseded_ms = NOW_MS - overlap_ms
    retiring = Retiring(
        token_id="old",
        live_label="it",
        superseded_at_ms=superseded_ms,
        not_before_ms=superseded_ms + overlap_ms,
        reason="rotated",
    )
    setting = Setting(
        now_ms=NOW_MS,
        policy=Policy(),
        signer_id=None,
        other_run=None,
        files_missing=(),
        doubt_ms=0,
    )
    facts = RetiringFacts(
        setting=setting,
        entry=Entry(path="it", retiring=(retiring,)),
        retiring=retiring,
        live=token,
        content=None,
        successor=None,
        successor_live=None,
        manager=manager,
        leaving=False,
    )
    found = still_used(facts)
    assert (found is not None) == held
    assert found is None or found.reason is Reason.STILL_USED
