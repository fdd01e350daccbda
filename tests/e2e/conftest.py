"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox, SandboxConfig
from tests.support.fleet import Fleet, KillServer

NewFleet = Callable[..., contextlib.AbstractContextManager[Fleet]]
"""Makes a fleet; what is named is how its exchange differs from the kindest one."""


@pytest.fixture
def new_fleet(tmp_path: Path, openbao: OpenBaoServer, vault_mount: str) -> NewFleet:
    """Makes fleets without the exchange's limits; at the end of each nothing secret may
    have been printed or written.
    """

    @contextlib.contextmanager
    def make(**exchange: Any) -> Iterator[Fleet]:
        name = secrets.token_hex(4)
        folder = tmp_path / name
        folder.mkdir()
        with Sandbox(config=SandboxConfig(**{"limits": False, **exchange})) as sandbox:
            one = Fleet(folder, sandbox, openbao, vault_mount, prefix=f"{name}/tokens")
            yield one
            one.assert_no_leak()

    return make


@pytest.fixture
def fleet(new_fleet: NewFleet) -> Iterator[Fleet]:
    """One such fleet."""
    with new_fleet() as one:
        yield one


@pytest.fixture(scope="module")
def kill_server() -> Iterator[KillServer]:
    """One for all stories."""
    server = KillServer()
    yield server
    server.stop()
