"""The list that a derive may go by in place of a new one, against the sandbox."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from reconciler.exchange import TokenClient
from reconciler.model import Credentials, Secret
from reconciler.protocol import Derive, Effect, Listing, ListTokens, UseSigner, VerifyToken
from reconciler.protocol.effects import RECENT_MS, AwaitTurn
from reconciler.run.keys import Keys
from reconciler.run.peers import Peers
from reconciler.sandbox import Operation, Sandbox, SandboxConfig
from reconciler.vault import SecretStore
from tests.adapters.test_exchange import Time


class Run:
    """A run's calls of the exchange, on a clock that only waits move.

    Two tokens live, ``boss`` and ``bot``; ``boss`` signs.
    """

    def __init__(self, sandbox: Sandbox, client: TokenClient, moment: Time) -> None:
        self.moment = moment
        self._state = sandbox.state
        self.pairs = {name: self._made(name) for name in ("boss", "bot")}
        identity = Secret(sandbox.identity_token)
        self._table = Peers(
            exchange=client,
            store=cast("SecretStore", None),  # no effect of these tests asks Vault
            prefix="tokens",
            keys=Keys(identity=lambda: identity),
            stopping=threading.Event(),
        ).table
        self.perform(UseSigner(credentials=self.pairs["boss"]))

    def _made(self, label: str) -> Credentials:
        token = self._state.derive_by_hand(label)
        return Credentials(token_id=token.token_id, secret=Secret(token.secret))

    def perform(self, effect: Effect[Any]) -> object:
        """The reply."""
        return self._table[type(effect)](effect)

    def lists(self, effect: ListTokens | VerifyToken) -> int:
        """How many lists the exchange was asked for to answer an effect."""
        before = self._state.count(Operation.LIST)
        assert isinstance(self.perform(effect), Listing)
        return self._state.count(Operation.LIST) - before


@pytest.fixture
def run() -> Iterator[Run]:
    """A run that has listed nothing yet."""
    moment = Time()
    with (
        Sandbox(
            config=SandboxConfig(limits=False), clock=lambda: round(moment.wall() * 1000)
        ) as sandbox,
        TokenClient(
            sandbox.url, wall=moment.wall, monotonic=moment.monotonic, sleep=moment.sleep
        ) as client,
    ):
        yield Run(sandbox, client, moment)


RECENT, NEW = ListTokens(recent=True), ListTokens()


def test_a_look_is_recent_for_a_while(run: Run) -> None:
    """The list of a look will do for a fifth of a second, and no longer."""
    look = VerifyToken(credentials=run.pairs["boss"])
    assert [run.lists(look), run.lists(RECENT), run.lists(NEW)] == [1, 0, 1]
    run.moment.now_s += (RECENT_MS - 1) / 1000
    assert run.lists(RECENT) == 0
    run.moment.now_s += 0.002
    assert run.lists(RECENT) == 1


def test_another_tokens_list_is_not_the_signers(run: Run) -> None:
    """What ``bot`` signed is proof of its secret, and no list of the run's signer."""
    assert run.lists(VerifyToken(credentials=run.pairs["bot"])) == 1
    assert run.lists(RECENT) == 1


def test_a_derive_makes_every_list_old(run: Run) -> None:
    """The list after a token's first use is a new one."""
    run.lists(NEW)
    run.perform(AwaitTurn())
    run.perform(Derive(label="two", scopes=("trading",)))
    assert run.lists(RECENT) == 1
