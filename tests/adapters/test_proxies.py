"""All four peers read the proxy environment alike: what counts is what a proxy saw."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.errors import ReconcilerError
from reconciler.exchange import TokenClient
from reconciler.github import GitHub, job_from
from reconciler.model import Secret
from reconciler.vault import SecretStore, settings_from_environment
from reconciler.vault.logins.identity_token import GitHubOidc, identity_token
from tests.support.http_stub import HttpStub, http, say


def ask_vault(origin: str, proxies: dict[str, str]) -> None:
    """A read."""
    environ = {"VAULT_ADDR": origin, "VAULT_TOKEN": "token", "VAULT_CLIENT_TIMEOUT": "1", **proxies}
    with SecretStore.connect(
        settings_from_environment(environ), mount="secret", read_retries=0
    ) as store:
        store.read("p")


def ask_the_exchange(origin: str, _: dict[str, str]) -> None:
    """A derive, which is sent once."""
    with TokenClient(origin, timeout_s=1, sleep=lambda _: None) as client:
        client.get_capabilities("identity")


def ask_for_an_identity_token(origin: str, _: dict[str, str]) -> None:
    """Of GitHub's service."""
    source = GitHubOidc(url=f"{origin}/", request_token=Secret("token"), audience="a")
    identity_token(source, sleep=lambda _: None)


def ask_github(origin: str, _: dict[str, str]) -> None:
    """For a comment."""
    variables = {"GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "t", "GITHUB_API_URL": origin}
    with GitHub(job_from(variables), sleep=lambda _: None) as github:
        github.comments(1)


PEERS = (ask_vault, ask_the_exchange, ask_for_an_identity_token, ask_github)
NAMED, V6 = "https://peer.invalid", "https://[fd00::1]:8443"


@pytest.fixture(autouse=True)
def nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of ``V6`` refuses at once: some networks lose what is sent there."""
    real = socket.create_connection

    def connect(address: tuple[str, int], *rest: Any, **options: Any) -> socket.socket:
        if address[0] == "fd00::1":
            raise ConnectionRefusedError
        return real(address, *rest, **options)

    monkeypatch.setattr(socket, "create_connection", connect)


@pytest.mark.parametrize("ask", PEERS, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize(
    ("through", "origin", "entries"),
    [
        (True, NAMED, ""),
        (True, NAMED, "fd00::/8,[::1],::1/128,10.0.0.0/8,[,other.invalid,invalid:8443"),
        (False, NAMED, "fd00::/8, .invalid"),
        (False, NAMED, "invalid:443"),
        (True, V6, "fe80::/10,[::1]:8443,[fd00::1]:443,["),
        (False, V6, "10.0.0.0/8 fd00::/8"),
        (False, V6, "[fd00::1]:8443"),
    ],
)
def test_all_peers_read_no_proxy_alike(  # pytest's parameters
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[str, dict[str, str]], None],
    *,
    through: bool,
    origin: str,
    entries: str,
) -> None:
    """All go through the proxy, or none does, and no client is impossible."""
    for name in ("https_proxy", "ALL_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    began_s = time.monotonic()
    with HttpStub(otherwise=say(http(403))) as proxy:
        proxies = {"HTTPS_PROXY": proxy.url, "NO_PROXY": entries}
        for name, text in proxies.items():
            monkeypatch.setenv(name, text)
        with pytest.raises(ReconcilerError) as caught:
            ask(origin, proxies)
        assert bool(proxy.seen) == through, str(caught.value)
        assert {seen.method for seen in proxy.seen} <= {"CONNECT"}
    assert time.monotonic() - began_s < 30
