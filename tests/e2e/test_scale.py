"""Several manifests of one profile, by several processes at once, with the exchange's
limits on: nothing is lost, and none touches what is a neighbour's.

``make scale`` measures the same at its size.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox
from reconciler.sandbox.laws import Operation
from tests.support.manifests import READY, Manifests, Size

SIZE = Size(manifests=4, labels=10, ready=3)
PROCESSES = 3
AROUND = 3
"""A run's own lists: before the lease, with it, and at most one more at its end."""


@pytest.fixture
def manifests(tmp_path: Path, openbao: OpenBaoServer, vault_mount: str) -> Iterator[Manifests]:
    """Four manifests in place, and at the end the laws between them."""
    with Sandbox() as sandbox:
        made = Manifests(tmp_path, sandbox, openbao, vault_mount, SIZE)
        yield made
        made.assert_the_list_is_explained()
        made.assert_no_interference()
        made.assert_no_leak()
        made.assert_nothing_is_lost()


def answered(manifests: Manifests, since: int) -> collections.Counter[Operation]:
    """How many calls the exchange has done since so many, by what they asked for."""
    calls = manifests.sandbox.state.calls[since:]
    return collections.Counter(call.operation for call in calls if call.status in {200, 201})


def test_side_by_side(manifests: Manifests) -> None:
    """Quiet plans ask for one list each. Rotations from the reserve need no identity,
    and each successor signs one list. Derives go one manifest after the other. In an
    emergency two manifests revoke at once, each its own, while a third one derives.
    """
    names, state = manifests.names, manifests.sandbox.state

    def rotate(name: str, *how: str) -> None:
        manifests.must(name, "rotate", "--target", f"{name}-{READY}-*", "--yes", *how)

    manifests.side_by_side(
        PROCESSES, names, lambda name: manifests.must(name, "plan", "--detailed-exitcode")
    )
    assert answered(manifests, 0) == {Operation.LIST: len(names)}

    since = len(state.calls)
    manifests.side_by_side(PROCESSES, names, rotate)
    done = answered(manifests, since)
    assert done.keys() == {Operation.LIST}
    assert done[Operation.LIST] <= len(names) * (SIZE.ready + AROUND)

    since = len(state.calls)
    for name in names[:2]:
        manifests.must(name, "apply", "--yes", identity=True)
    assert answered(manifests, since)[Operation.DERIVE] == 2 * SIZE.ready

    def emergency_or_restock(name: str) -> None:
        if name in names[:2]:
            rotate(name, "--compromised")
        else:
            manifests.must(name, "apply", "--yes", identity=True)

    since = len(state.calls)
    manifests.side_by_side(PROCESSES, names[:3], emergency_or_restock)
    done = answered(manifests, since)
    # the tokens that were current, and their predecessors
    assert (done[Operation.DERIVE], done[Operation.REVOKE]) == (SIZE.ready, 2 * 2 * SIZE.ready)
