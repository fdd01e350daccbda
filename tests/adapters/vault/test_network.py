"""What lies between us and Vault:

TLS with a private authority and client certificates, namespaces, limits of rate.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hvac
import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.errors import VaultUnclearError
from reconciler.model import Secret
from reconciler.vault import SecretStore
from reconciler.vault import http as vault_http
from reconciler.vault.settings import VaultSettings
from tests.adapters.vault.conftest import in_the_middle, moved
from tests.adapters.vault.servers import Node, initialised, static_seal
from tests.support.fleet import Environ, Fleet
from tests.support.http_stub import Answer, HttpStub, drip, http
from tests.support.openbao import new_mount, new_token, operator

BOT = {"label": "bot", "path": "prod/bot"}


# --- TLS ---


class Strict(NamedTuple):
    """A server that talks to nobody without a client certificate of its authority."""

    address: str
    root_token: str
    mount: str
    folder: Path

    def environ(self, **instead: str | None) -> dict[str, str | None]:
        """The variables with which it can be talked to; ``instead`` names other files
        of the folder, or None.
        """
        files = {
            "VAULT_CACERT": "ca.pem",
            "VAULT_CLIENT_CERT": "client.pem",
            "VAULT_CLIENT_KEY": "client.key",
            **instead,
        }
        return {
            name: str(self.folder / file) if file is not None else None
            for name, file in files.items()
        }


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, openbao: OpenBaoServer) -> Iterator[Strict]:
    """Such a server.

    The shared one plays the authority that issues the certificates, and another
    authority.
    """
    folder = tmp_path_factory.mktemp("tls")
    with operator(openbao) as client:
        write_certificates(client, folder, "")
        write_certificates(client, folder, "other-")
    (folder / "junk").write_text("no certificate", encoding="utf-8")
    trust = ssl.create_default_context(cafile=folder / "ca.pem")
    trust.load_cert_chain(folder / "client.pem", folder / "client.key")

    def config(_: Path, port: int) -> str:
        return static_seal(folder) + (
            f'storage "inmem" {{}}\nlistener "tcp" {{\n  address = "127.0.0.1:{port}"\n'
            f'  cluster_address = "127.0.0.1:{port + 1}"\n  tls_cert_file = '
            f'"{folder / "server.pem"}"\n'
            f'  tls_key_file = "{folder / "server.key"}"\n  tls_client_ca_file = '
            f'"{folder / "ca.pem"}"\n'
            "  tls_require_and_verify_client_cert = "
            f'true\n}}\napi_addr = "https://127.0.0.1:{port}"\n'
        )

    node = Node(folder / "node", config, trust=trust)
    files: dict[str, Any] = {
        "verify": str(folder / "ca.pem"),
        "cert": (str(folder / "client.pem"), str(folder / "client.key")),
    }
    node.start()
    try:
        root_token = initialised(node, **files)
        client = hvac.Client(url=node.address, token=root_token, timeout=30, **files)
        mount = new_mount(client)
        client.adapter.close()
        yield Strict(node.address, root_token, mount, folder)
    finally:
        node.kill()


def write_certificates(client: Any, folder: Path, prefix: str) -> None:
    """The certificate of a new authority, and one each for a server on loopback and for
    a client.
    """
    mount = f"pki-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("pki", path=mount)
    root = client.write_data(
        f"{mount}/root/generate/internal", data={"common_name": "authority", "key_type": "ec"}
    )
    (folder / f"{prefix}ca.pem").write_text(root["data"]["certificate"], encoding="ascii")
    client.write_data(
        f"{mount}/roles/any", data={"allow_any_name": True, "key_type": "ec", "max_ttl": "1h"}
    )
    for name in ("server", "client"):
        asked = {"common_name": "localhost", "ip_sans": "127.0.0.1", "ttl": "30m"}
        issued = client.write_data(f"{mount}/issue/any", data=asked)["data"]
        (folder / f"{prefix}{name}.pem").write_text(issued["certificate"], encoding="ascii")
        (folder / f"{prefix}{name}.key").write_text(issued["private_key"], encoding="ascii")


@pytest.fixture
def strict_fleet(fleet: Fleet, strict: Strict) -> Fleet:
    """A fleet whose secrets lie on that server."""
    files = {name: text for name, text in strict.environ().items() if text is not None}
    return moved(fleet, strict.address, strict.root_token, strict.mount, **files)


def test_a_private_authority_and_a_client_certificate(strict_fleet: Fleet) -> None:
    """With the three files named, everything works; nothing is said about them."""
    strict_fleet.begin(BOT)
    strict_fleet.assert_whole()
    strict_fleet.assert_quiet()
    assert strict_fleet.ok("status").err == ""


def test_skipping_verification_is_said_each_time(strict_fleet: Fleet, strict: Strict) -> None:
    """Without an authority, but told not to mind: it works, and warns once a run."""
    strict_fleet.begin(BOT)
    done = strict_fleet.ok(
        "status", environ={**strict.environ(VAULT_CACERT=None), "VAULT_SKIP_VERIFY": "true"}
    )
    assert done.err == (
        "warning: VAULT_SKIP_VERIFY is set: whoever answers gets the Vault token; name the private "
        "CA in VAULT_CACERT instead\n"
    )


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"VAULT_CACERT": None},
            "the certificate at {} can't be trusted: check VAULT_ADDR, and name a private CA in",
        ),
        (
            {"VAULT_CACERT": "other-ca.pem"},
            "the certificate at {} can't be trusted: check VAULT_ADDR, and name a private CA",
        ),
        (
            {"VAULT_CACERT": "missing"},
            "VAULT_CACERT names a file of certificates that can't be read: check it",
        ),
        (
            {"VAULT_CACERT": "junk"},
            "VAULT_CACERT names a file without a certificate: name one that holds the authority's",
        ),
        (
            {"VAULT_CLIENT_CERT": None, "VAULT_CLIENT_KEY": None},
            "TLS with {} failed: check VAULT_ADDR, VAULT_CACERT, VAULT_CLI",
        ),
        (
            {"VAULT_CLIENT_CERT": "other-client.pem", "VAULT_CLIENT_KEY": "other-client.key"},
            "TLS with {} failed: check VAULT_",
        ),
        (
            {"VAULT_CLIENT_KEY": "other-client.key"},
            "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY hold no certificate with its key: name two",
        ),
        (
            {"VAULT_CLIENT_CERT": "missing"},
            "VAULT_CLIENT_CERT names a file of certificates that can't be read: check it",
        ),
    ],
    ids=str,
)
def test_a_wrong_file(
    strict_fleet: Fleet, strict: Strict, files: dict[str, str | None], sentence: str
) -> None:
    """Each is one sentence, exit 1, before anything is done."""
    strict_fleet.write(BOT)
    said = strict_fleet.refused(1, "bootstrap", environ=strict.environ(**files))
    assert said.startswith(sentence.format(strict.address)), said
    assert strict_fleet.sandbox.state.live() == ()


# --- namespaces ---


class Namespace(NamedTuple):
    """A namespace with a mount in it."""

    name: str
    mount: str
    client: Any


@pytest.fixture
def namespace(openbao: OpenBaoServer) -> Iterator[Namespace]:
    """A namespace inside a namespace."""
    outer, inner = f"team-{secrets.token_hex(4)}", "prod"
    with operator(openbao) as client:
        client.write_data(f"sys/namespaces/{outer}", data={})
    with operator(openbao, namespace=outer) as client:
        client.write_data(f"sys/namespaces/{inner}", data={})
    with operator(openbao, namespace=f"{outer}/{inner}") as client:
        yield Namespace(f"{outer}/{inner}", new_mount(client), client)


def test_a_fleet_in_a_namespace(fleet: Fleet, openbao: OpenBaoServer, namespace: Namespace) -> None:
    """With VAULT_NAMESPACE everything is there, the login and its mount too; nothing of
    it is outside.
    """
    moved(
        fleet,
        openbao.address,
        openbao.root_token.reveal(),
        namespace.mount,
        VAULT_NAMESPACE=namespace.name,
    )
    client = namespace.client
    client.sys.create_or_update_policy(
        "apply", f'path "{namespace.mount}/*" {{ capabilities = ["create", "read", "update"] }}'
    )
    client.sys.enable_auth_method("approle")
    client.write_data("auth/approle/role/deploy", data={"token_policies": ["apply"]})
    wrapped = client.write_data("auth/approle/role/deploy/secret-id", wrap_ttl="60s")
    environ = {
        "RECONCILER_VAULT_AUTH": "approle",
        "VAULT_ROLE_ID": client.read("auth/approle/role/deploy/role-id")["data"]["role_id"],
        "VAULT_SECRET_ID_WRAPPED": wrapped["wrap_info"]["token"],
        "VAULT_NAMESPACE": f"/{namespace.name}/",
    }
    fleet.begin()
    fleet.write(BOT)
    fleet.must("apply", "--yes", environ=environ)
    fleet.assert_whole()
    fleet.assert_quiet()
    outside: Environ = {"VAULT_NAMESPACE": None}
    assert fleet.refused(1, "plan", environ=outside).startswith(
        f"nothing is mounted for {namespace.mount}: "
    )
    login = {**environ, **outside, "VAULT_SECRET_ID_WRAPPED": None, "VAULT_SECRET_ID": "any"}
    assert "check RECONCILER_VAULT_AUTH_MOUNT, VAULT_NAMESPACE" in fleet.refused(
        1, "plan", environ=login
    )


def test_a_namespace_that_is_not_there(
    fleet: Fleet, openbao: OpenBaoServer, namespace: Namespace
) -> None:
    """Named wrongly, or missing a right inside it: the sentence names the namespace."""
    moved(
        fleet,
        openbao.address,
        openbao.root_token.reveal(),
        namespace.mount,
        VAULT_NAMESPACE=namespace.name,
    )
    fleet.begin(BOT)
    wrong = {"VAULT_NAMESPACE": "nobody"}
    assert (
        fleet.refused(1, "plan", environ=wrong)
        == "Vault has no namespace nobody: check VAULT_NAMESPACE"
    )
    weak = new_token(namespace.client, {f"{namespace.mount}/metadata/*": ["read"]})
    said = fleet.refused(1, "plan", environ={"VAULT_TOKEN": weak})
    assert said.endswith(
        f'"read" on {namespace.mount}/data/{fleet.prefix}/_ledger in namespace {namespace.name}'
    )


# --- limits of rate ---


@contextmanager
def limited(openbao: OpenBaoServer, mount: str, rate: int, interval: str) -> Iterator[None]:
    """So many requests to a mount in that time, and no more."""
    quota = f"sys/quotas/rate-limit/{mount}"
    with operator(openbao) as client:
        client.write_data(quota, data={"rate": rate, "interval": interval, "path": f"{mount}/"})
        try:
            yield
        finally:
            client.delete(quota)


def test_reads_wait_for_their_turn(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """Where Vault lets fewer requests through than a look at everything makes at once,
    it takes longer, and that is all.
    """
    fleet.begin(*({"label": f"bot-{number}"} for number in range(6)))
    with limited(openbao, fleet.mount, 6, "1s"):
        assert fleet.ok("status").err == ""


def test_writes_that_are_turned_away(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """A limit in the middle of an apply ends it with a sentence; nothing is lost, and
    the next run makes everything whole.
    """
    fleet.begin()
    fleet.write(*({"label": f"bot-{number}"} for number in range(6)))
    with ExitStack() as stack:
        limit = limited(openbao, fleet.mount, 1, "60s")
        stack.enter_context(in_the_middle(fleet, 3, lambda: stack.enter_context(limit)))
        done = fleet.attempt("apply", "--yes")
    assert done.code == 5, done
    assert "a rate limit quota of Vault's is used up (429): try again later" in done.out + done.err
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_limit_that_is_always_reached(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """Where nothing gets through at all, reading gives up soon, with the same sentence,
    before anything was done. Where Vault is set to say how long, so are we.
    """
    fleet.begin(BOT)
    quotas = "/v1/sys/quotas/config"
    with limited(openbao, fleet.mount, 1, "300s"), operator(openbao) as client:
        fleet.attempt("status")
        said = fleet.refused(1, "apply", "--yes")
        client.adapter.post(quotas, json={"enable_rate_limit_response_headers": True})
        try:
            timed = fleet.refused(1, "apply", "--yes")
        finally:
            client.adapter.post(quotas, json={"enable_rate_limit_response_headers": False})
    assert said == "a rate limit quota of Vault's is used up (429): try again later"
    assert timed == "a rate limit quota of Vault's is used up (429): try again in 5 minutes"


# --- what answers for Vault ---


def endless(status: int) -> Answer:
    """A reply whose body never ends, as long as somebody takes it."""

    def answer(connection: socket.socket, closing: threading.Event) -> bytes:
        connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: text/html\r\n\r\n".encode())
        while not closing.is_set():
            connection.sendall(b"<p>" * 10_000)
        return b""

    return answer


@pytest.mark.parametrize(
    "answer",
    [endless(200), endless(503), drip(http(200, body=b" " * 9999), every_s=0.01)],
    ids=["endless", "endless and busy", "drips"],
)
def test_a_reply_without_an_end(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """A proxy that answers for Vault gets one sentence, in bounded time and memory,
    also for a read that is sent again.
    """
    monkeypatch.setattr(vault_http, "REPLY_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(vault_http, "REPLY_TIME_MAX_S", 1.0)
    with HttpStub(otherwise=answer) as proxy:
        settings = VaultSettings(address=proxy.url, token=Secret("token"))
        with SecretStore.connect(settings, mount="secret", read_retries=1) as store:
            for work in (lambda: store.read("p"), lambda: store.write("p", {}, cas=0)):
                with pytest.raises(VaultUnclearError) as caught:
                    work()
                assert str(caught.value).startswith(
                    f"what answers at {proxy.url} goes on without an end, which Vault never does: "
                    "check VAULT_ADDR and proxies"
                )
