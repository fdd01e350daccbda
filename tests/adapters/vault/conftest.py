"""Fixtures of the tests against a real Vault in all its shapes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tests.adapters.vault.doors import doors
from tests.e2e.conftest import fleet, new_fleet
from tests.support.fleet import Fleet

__all__ = ["doors", "fleet", "in_the_middle", "moved", "new_fleet"]


def moved(fleet: Fleet, address: str, root_token: str, mount: str, **more: str) -> Fleet:
    """The same fleet with its secrets in another Vault, before anything is in the first
    one.
    """
    fleet.environ |= {"VAULT_ADDR": address, "VAULT_TOKEN": root_token, **more}
    fleet._root_token = root_token
    fleet.mount = mount
    return fleet


@contextlib.contextmanager
def in_the_middle(fleet: Fleet, tokens: int, happens: Callable[[], None]) -> Iterator[None]:
    """As soon as so many tokens live, before the exchange answers the derive that made
    the last of them, something happens.
    """
    state = fleet.sandbox.state
    on_change, todo = state._on_change, [happens]

    def changed() -> None:
        on_change()
        if todo and len(state.live()) == tokens:
            todo.pop()()

    state._on_change = changed
    try:
        yield
    finally:
        state._on_change = on_change
    assert todo == [], "it came to it"
