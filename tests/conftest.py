"""Fixtures that every test may ask for."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from reconciler.demo.openbao import OpenBaoServer
from tests.support.openbao import new_mount, operator

pytest_plugins = ("tests.proofs.simulation.summary",)

# How long an example takes is nothing that a test here holds: a machine that others use
# as well makes any example slow, and a test must not fail for that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that the tests start.

    A shell without job control starts what it sends to the background with the signal
    ignored, every child inherits that, and Python then never answers it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBaoServer]:
    """A real OpenBao, one for each worker of pytest-xdist; share it through
    ``vault_mount``, and don't seal or suspend it.
    """
    with OpenBaoServer() as server:
        yield server


@pytest.fixture
def vault_mount(openbao: OpenBaoServer) -> str:
    """A KV version 2 mount that no other test knows."""
    with operator(openbao) as client:
        return new_mount(client)


@pytest.fixture
def vault_env(openbao: OpenBaoServer) -> dict[str, str]:
    """The variables that lead to the shared OpenBao, as root."""
    return {"VAULT_ADDR": openbao.address, "VAULT_TOKEN": openbao.root_token.reveal()}
