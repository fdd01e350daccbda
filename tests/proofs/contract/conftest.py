"""Both sides of the contract, each new and empty."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore
from tests.proofs.contract.peers import SANDBOX, Adapters, Models, Teller
from tests.support.fleet import unpaced
from tests.support.openbao import new_mount, operator

NewTeller = Callable[[], contextlib.AbstractContextManager[Teller]]


@pytest.fixture(scope="module")
def new_real(openbao: OpenBaoServer) -> Iterator[NewTeller]:
    """Makes real sides: each with a sandbox and a prefix of its own, all on one
    mount.
    """
    environ = {"VAULT_ADDR": openbao.address, "VAULT_TOKEN": openbao.root_token.reveal()}
    with unpaced(), operator(openbao) as client:
        mount = new_mount(client)
        with SecretStore.connect(settings_from_environment(environ), mount=mount) as store:

            @contextlib.contextmanager
            def make() -> Iterator[Teller]:
                with Sandbox(config=SANDBOX) as sandbox:
                    adapters = Adapters(
                        sandbox, store, client, mount=mount, prefix=secrets.token_hex(8)
                    )
                    with contextlib.closing(adapters):
                        yield Teller(adapters)

            yield make


@pytest.fixture(params=["model", "real"])
def side(request: pytest.FixtureRequest) -> Iterator[Teller]:
    """One side or the other."""
    if request.param == "model":
        yield Teller(Models())
        return
    new_real: NewTeller = request.getfixturevalue("new_real")
    with new_real() as teller:
        yield teller
