"""Fixtures of the played workflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox, SandboxConfig
from tests.delivery.played.expressions import PACKAGE
from tests.delivery.played.world import World, serving_program
from tests.support.fleet import Fleet
from tests.support.github import GitHub
from tests.support.github_oidc import Issuer
from tests.support.node import node_with


@pytest.fixture(scope="session")
def node() -> str:
    """Return the path of Node, where GitHub's evaluator of expressions is installed."""
    return node_with(PACKAGE)


@pytest.fixture(scope="session")
def program() -> Iterator[Path]:
    """Yield the program, ready to be run many times."""
    with serving_program() as file:
        yield file


@pytest.fixture
def world(
    tmp_path: Path, openbao: OpenBaoServer, vault_mount: str, program: Path, node: str
) -> Iterator[World]:
    """Yield a partner's repository and all that it talks to; at the end nothing secret
    may be readable anywhere.
    """
    folder = tmp_path / "person"
    folder.mkdir()
    with (
        Sandbox(config=SandboxConfig(limits=False)) as sandbox,
        GitHub() as github,
        Issuer() as issuer,
    ):
        fleet = Fleet(folder, sandbox, openbao, vault_mount)
        one = World(
            fleet=fleet,
            openbao=openbao,
            github=github,
            issuer=issuer,
            folder=tmp_path,
            program=program,
        )
        yield one
        one.assert_clean()
        fleet.assert_no_leak()
