"""The environment means what it means to OpenBao's own command line: each row is given
to the real ``bao`` and to us, and both get there, or neither does.

The server has two certificates of an authority of its own: one for its address, and one
for the name ``vault.internal``, which nobody can resolve. At a third port it asks every
client for a certificate of the same authority.
"""

from __future__ import annotations

import re
import secrets
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import hvac
import pytest

from reconciler.demo.openbao import OpenBaoServer, _binary, free_port
from reconciler.errors import ReconcilerError
from reconciler.vault import SecretStore, settings_from_environment
from reconciler.vault.family import UNUSED, USED
from tests.adapters.vault.servers import Node, initialised, static_seal
from tests.support.fleet import Fleet
from tests.support.http_stub import HttpStub, http, say
from tests.support.openbao import new_mount, operator

NAME = "vault.internal"


class Private(NamedTuple):
    """A server that nobody trusts who was not told to; ``{…}`` in a row's values is
    filled in from ``words``.
    """

    token: str
    mount: str
    words: Mapping[str, str]

    def environ(self, row: Mapping[str, str], home: Path) -> dict[str, str]:
        """The whole environment of a row."""
        filled = {name: text.format(**self.words) for name, text in row.items()}
        return {"HOME": str(home), "VAULT_ADDR": self.words["address"]} | filled


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory, openbao: OpenBaoServer) -> Iterator[Private]:
    """Such a server; the shared one plays the authority, and another authority."""
    folder = tmp_path_factory.mktemp("private")
    with operator(openbao) as client:
        for prefix in ("", "other-"):
            write_certificates(client, folder, prefix)
    for name, prefix in (("right", ""), ("wrong", "other-")):
        deep = folder / name / "deep"
        deep.mkdir(parents=True)
        (deep / "any.txt").write_bytes(b"# ours\n" + (folder / f"{prefix}ca.pem").read_bytes())
        (folder / name / "notes.md").write_text("no certificate", encoding="utf-8")
    (folder / "flat").mkdir()
    (folder / "flat" / "unhashed.crt").write_bytes((folder / "ca.pem").read_bytes())
    (folder / "empty").mkdir()
    (folder / "junk").write_text("no certificate", encoding="utf-8")
    named, mutual = free_port(), free_port()
    asking = (
        "  tls_require_and_verify_client_cert = true\n"
        f'  tls_client_ca_file = "{folder / "ca.pem"}"\n'
    )

    def listener(port: int, certificate: str, more: str = "") -> str:
        return (
            f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n'
            f'  cluster_address = "127.0.0.1:{free_port()}"\n'
            f'  tls_cert_file = "{folder / certificate}.pem"\n'
            f'  tls_key_file = "{folder / certificate}.key"\n{more}}}\n'
        )

    def config(_: Path, port: int) -> str:
        head = f'storage "inmem" {{}}\napi_addr = "https://127.0.0.1:{port}"\n'
        listeners = [
            listener(port, "address"),
            listener(named, "name"),
            listener(mutual, "address", asking),
        ]
        return "".join([static_seal(folder), head, *listeners])

    trust = ssl.create_default_context(cafile=folder / "ca.pem")
    node = Node(folder / "node", config, trust=trust)
    node.start()
    try:
        token = initialised(node, verify=str(folder / "ca.pem"))
        client = hvac.Client(
            url=node.address, token=token, timeout=30, verify=str(folder / "ca.pem")
        )
        mount = new_mount(client)
        client.adapter.close()
        (folder / "token").write_text(f"{token}\n", encoding="ascii")
        words = {
            "address": node.address,
            "named": f"https://127.0.0.1:{named}",
            "mutual": f"https://127.0.0.1:{mutual}",
            "nobody": f"https://127.0.0.1:{free_port()}",
            "folder": str(folder),
            "ca": (folder / "ca.pem").read_text(encoding="ascii"),
            "other": (folder / "other-ca.pem").read_text(encoding="ascii"),
            "cert": (folder / "address.pem").read_text(encoding="ascii"),
            "key": (folder / "address.key").read_text(encoding="ascii"),
            "other_cert": (folder / "other-address.pem").read_text(encoding="ascii"),
            "other_key": (folder / "other-address.key").read_text(encoding="ascii"),
            "token": token,
        }
        yield Private(token, mount, words)
    finally:
        node.kill()


def write_certificates(client: hvac.Client, folder: Path, prefix: str) -> None:
    """A new authority, and two certificates of it."""
    mount = f"pki-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("pki", path=mount)
    root = client.write_data(
        f"{mount}/root/generate/internal", data={"common_name": "authority", "key_type": "ec"}
    )
    (folder / f"{prefix}ca.pem").write_text(root["data"]["certificate"], encoding="ascii")
    client.write_data(
        f"{mount}/roles/any", data={"allow_any_name": True, "key_type": "ec", "max_ttl": "1h"}
    )
    for name, asked in (
        ("address", {"common_name": "localhost", "ip_sans": "127.0.0.1"}),
        ("name", {"common_name": NAME}),
    ):
        issued = client.write_data(f"{mount}/issue/any", data={**asked, "ttl": "30m"})["data"]
        (folder / f"{prefix}{name}.pem").write_text(issued["certificate"], encoding="ascii")
        (folder / f"{prefix}{name}.key").write_text(issued["private_key"], encoding="ascii")


def bao_gets_there(environ: Mapping[str, str]) -> bool:
    """Whether the real command line does."""
    done = subprocess.run(
        [str(_binary()), "token", "lookup"],
        env=dict(environ),
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0


def we_get_there(environ: Mapping[str, str], mount: str) -> str:
    """Nothing where we do, else the sentence."""
    try:
        settings = settings_from_environment(environ)
        with SecretStore.connect(settings, mount=mount, read_retries=0) as store:
            store.check_mount()
    except ReconcilerError as error:
        return str(error)
    return ""


CA = {"VAULT_CACERT": "{folder}/ca.pem"}
MUTUAL = {**CA, "VAULT_ADDR": "{mutual}"}
FILES = {
    "VAULT_CLIENT_CERT": "{folder}/address.pem",
    "VAULT_CLIENT_KEY": "{folder}/address.key",
}
OTHER_FILES = {name: text.replace("/address", "/other-address") for name, text in FILES.items()}
TEXTS = {"VAULT_CLIENT_CERT_BYTES": "{cert}", "VAULT_CLIENT_KEY_BYTES": "{key}"}
NO_PAIR = "VAULT_CLIENT_CERT_BYTES and VAULT_CLIENT_KEY_BYTES hold no certificate with its key"
TOKEN = {"VAULT_TOKEN": "{token}"}
UNTRUSTED = "the certificate at {address} can't be trusted: check VAULT_ADDR, and name a private"

ROWS: list[tuple[dict[str, str], str]] = [
    ({}, UNTRUSTED),
    (CA, ""),
    ({"VAULT_CACERT": "{folder}/other-ca.pem"}, UNTRUSTED),
    ({"VAULT_CACERT": "{folder}/address.pem"}, ""),
    ({"VAULT_CACERT": "{folder}/junk"}, "VAULT_CACERT names a file without a certificate"),
    ({"VAULT_CACERT": "{folder}/none"}, "VAULT_CACERT names a file of certificates that can't"),
    ({"VAULT_CACERT": "{folder}/right"}, "VAULT_CACERT names a folder: name a file, or the"),
    ({"VAULT_CAPATH": "{folder}/right"}, ""),
    ({"VAULT_CAPATH": "{folder}/wrong"}, UNTRUSTED),
    ({"VAULT_CAPATH": "{folder}/empty"}, "VAULT_CAPATH names no folder with a certificate in it"),
    ({"VAULT_CACERT_BYTES": "{ca}"}, ""),
    ({"VAULT_CACERT_BYTES": "no PEM"}, "VAULT_CACERT_BYTES holds no certificate: set it to"),
    ({**CA, "VAULT_CACERT_BYTES": "no PEM"}, "VAULT_CACERT_BYTES holds no certificate"),
    ({"VAULT_CACERT": "{folder}/other-ca.pem", "VAULT_CAPATH": "{folder}/right"}, ""),
    ({"SSL_CERT_FILE": "{folder}/ca.pem"}, ""),
    ({"SSL_CERT_FILE": "{folder}/other-ca.pem"}, UNTRUSTED),
    ({"SSL_CERT_DIR": "{folder}/flat"}, ""),
    ({"SSL_CERT_DIR": "{folder}/none:{folder}/flat"}, ""),
    ({"SSL_CERT_DIR": "{folder}/flat", "SSL_CERT_FILE": "{folder}/other-ca.pem"}, ""),
    ({**CA, "VAULT_ADDR": "{named}"}, "the certificate at {named} can't be trusted"),
    ({**CA, "VAULT_ADDR": "{named}", "VAULT_TLS_SERVER_NAME": NAME}, ""),
    ({**CA, "VAULT_TLS_SERVER_NAME": NAME}, UNTRUSTED),
    ({**CA, "BAO_ADDR": "{address}", "VAULT_ADDR": "{nobody}"}, ""),
    ({**CA, "BAO_ADDR": "{nobody}"}, "nobody answers at {nobody}: check BAO_ADDR"),
    ({**CA, "VAULT_AGENT_ADDR": "{nobody}"}, "nobody answers at {nobody}: check VAULT_AGENT_ADDR"),
    ({"BAO_ADDR": "{address}"}, UNTRUSTED.replace("VAULT_ADDR", "BAO_ADDR")),
    ({**CA, "BAO_ADDR": ""}, "BAO_ADDR is set to nothing, which hides what is set beside it"),
    (
        {**CA, "BAO_CACERT": "{folder}/other-ca.pem"},
        UNTRUSTED.replace("VAULT_CACERT", "BAO_CACERT"),
    ),
    ({**CA, "BAO_CACERT": ""}, UNTRUSTED),
    ({"BAO_CAPATH": "{folder}/right", "VAULT_CAPATH": "{folder}/wrong"}, ""),
    ({"BAO_SKIP_VERIFY": "1"}, ""),
    ({"VAULT_SKIP_VERIFY": "1", "BAO_SKIP_VERIFY": "0"}, UNTRUSTED),
    ({**CA, "VAULT_AGENT_ADDR": "{address}", "VAULT_ADDR": "{nobody}"}, ""),
    ({**CA, "VAULT_CLIENT_TIMEOUT": "30", "VAULT_MAX_RETRIES": "0"}, ""),
    ({**CA, "BAO_CLIENT_TIMEOUT": "1m0.5s", "BAO_MAX_RETRIES": "3"}, ""),
    ({**CA, "VAULT_CLIENT_TIMEOUT": "soon"}, "VAULT_CLIENT_TIMEOUT is no length of time"),
    ({**CA, "VAULT_MAX_RETRIES": "-1"}, "VAULT_MAX_RETRIES is no number of attempts"),
    ({**CA, "VAULT_TOKEN": "", "BAO_TOKEN": "{token}"}, ""),
    ({**CA, "BAO_TOKEN": "", "BAO_TOKEN_PATH": "{folder}/token"}, ""),
    ({**CA, "VAULT_TOKEN": "", "VAULT_TOKEN_PATH": "{folder}/token"}, ""),
    ({**CA, "BAO_TOKEN": ""}, "there is no Vault token: set BAO_TOKEN"),
    ({**CA, "VAULT_PROXY_ADDR": "{nobody}"}, "the proxy on the way to Vault does not let us"),
    (MUTUAL, "TLS with {mutual} failed"),
    ({**MUTUAL, **FILES}, ""),
    ({**MUTUAL, **OTHER_FILES}, "TLS with {mutual} failed"),
    ({**MUTUAL, "VAULT_CLIENT_CERT": FILES["VAULT_CLIENT_CERT"]}, "only one of VAULT_CLIENT_CERT"),
    ({**MUTUAL, **TEXTS}, ""),
    (
        {**MUTUAL, "BAO_CLIENT_CERT_BYTES": "{cert}\n{ca}", "BAO_CLIENT_KEY_BYTES": "{key}"},
        "",
    ),
    ({**MUTUAL, **FILES, **TEXTS, "VAULT_CLIENT_CERT_BYTES": "junk"}, ""),
    ({**MUTUAL, **FILES, "VAULT_CLIENT_KEY_BYTES": "{other_key}"}, ""),
    ({**MUTUAL, **OTHER_FILES, **TEXTS}, "TLS with {mutual} failed"),
    (
        {**MUTUAL, **TEXTS, "VAULT_CLIENT_CERT": FILES["VAULT_CLIENT_CERT"]},
        "only one of VAULT_CLIENT_CERT and VAULT_CLIENT_KEY is set",
    ),
    (
        {**MUTUAL, "VAULT_CLIENT_CERT_BYTES": "{cert}"},
        "only one of VAULT_CLIENT_CERT_BYTES and VAULT_CLIENT_KEY_BYTES is set",
    ),
    ({**MUTUAL, **TEXTS, "VAULT_CLIENT_KEY_BYTES": "{other_key}"}, NO_PAIR),
    (
        {**MUTUAL, **TEXTS, "BAO_CLIENT_KEY_BYTES": "junk"},
        NO_PAIR.replace("VAULT_CLIENT_KEY", "BAO_CLIENT_KEY"),
    ),
    (
        {**MUTUAL, **TEXTS, "BAO_CLIENT_CERT_BYTES": "", "BAO_CLIENT_KEY_BYTES": ""},
        "TLS with {mutual} failed",
    ),
]


@pytest.mark.parametrize(("row", "sentence"), ROWS, ids=[str(row) for row, _ in ROWS])
def test_beside_the_real_command_line(
    private: Private, tmp_path: Path, row: dict[str, str], sentence: str
) -> None:
    """Both get there, or neither does; and where we don't, the sentence says why."""
    environ = private.environ({**TOKEN, **row}, tmp_path)
    said = we_get_there(environ, private.mount)
    assert said.startswith(sentence.format(**private.words)), said
    assert (said == "") == (sentence == "")
    assert bao_gets_there(environ) == (sentence == "")


def test_named_alone_is_believed_alone(private: Private, tmp_path: Path) -> None:
    """Where Vault's variables name an authority, the system's are not believed for
    Vault, as Vault's command line has it; OpenBao's believes both.
    """
    row = {
        **TOKEN,
        "VAULT_CACERT": "{folder}/other-ca.pem",
        "SSL_CERT_FILE": "{folder}/ca.pem",
    }
    environ = private.environ(row, tmp_path)
    assert "can't be trusted" in we_get_there(environ, private.mount)
    assert bao_gets_there(environ)


ELSEWHERE = f"https://{NAME}:8200"
PROXIED: list[tuple[bool, dict[str, str]]] = [
    (True, {"HTTPS_PROXY": "{proxy}"}),
    (True, {"https_proxy": "{proxy}", "NO_PROXY": "other.internal,[::1],fd00::/8,10.0.0.0/8,["}),
    (True, {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "internal:443,.vault.internal,*.vault.internal"}),
    (False, {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "::1/128, internal:8200"}),
    (False, {"HTTPS_PROXY": "{proxy}", "no_proxy": ".internal"}),
    (False, {"HTTP_PROXY": "{proxy}", "ALL_PROXY": "{proxy}"}),
    (True, {"VAULT_PROXY_ADDR": "{proxy}", "NO_PROXY": "*"}),
    (True, {"BAO_PROXY_ADDR": "{proxy}", "VAULT_PROXY_ADDR": "{nobody}"}),
    (True, {"VAULT_PROXY_ADDR": "{proxy}", "VAULT_ADDR": "{address}"}),
    (False, {"HTTPS_PROXY": "{proxy}", "VAULT_ADDR": "{nobody}"}),
    (False, {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "fd00::/8", "VAULT_ADDR": "https://[fd00::1]"}),
    (True, {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "fe80::/8", "VAULT_ADDR": "https://[fd00::1]"}),
    (True, {"HTTPS_PROXY": "{proxy}", "NO_PROXY": "10.0.0.0/16", "VAULT_ADDR": "https://10.1.2.3"}),
]


@pytest.mark.parametrize(("expected", "row"), PROXIED, ids=str)
def test_the_proxy_beside_the_real_command_line(
    private: Private, tmp_path: Path, *, expected: bool, row: dict[str, str]
) -> None:
    """Both go through the proxy, or neither does: what counts is what the proxy saw."""
    for gets_there in (bao_gets_there, lambda environ: not we_get_there(environ, private.mount)):
        with HttpStub(otherwise=say(http(403))) as proxy:
            words = {**private.words, "proxy": proxy.url}
            environ = private._replace(words=words).environ(
                {**TOKEN, **CA, "VAULT_ADDR": ELSEWHERE, "VAULT_CLIENT_TIMEOUT": "2", **row},
                tmp_path,
            )
            assert not gets_there(environ)
            assert bool(proxy.seen) == expected
            assert {seen.method for seen in proxy.seen} <= {"CONNECT"}


def test_a_fleet_by_the_other_variables(fleet: Fleet, private: Private) -> None:
    """The whole program, with what is set and not used named once a run."""
    folder = private.words["folder"]
    fleet.environ |= {
        "BAO_ADDR": private.words["named"],
        "VAULT_ADDR": private.words["nobody"],
        "VAULT_TOKEN": private.token,
        "VAULT_CAPATH": f"{folder}/right",
        "VAULT_TLS_SERVER_NAME": NAME,
    }
    fleet._root_token, fleet.mount = private.token, private.mount
    fleet.write({"label": "bot", "path": "prod/bot"})
    shadowed = "warning: VAULT_ADDR is set and not used: BAO_ADDR counts in its place\n"
    assert shadowed in fleet.ok("bootstrap").err
    several = {"VAULT_SRV_LOOKUP": "1", "BAO_RATE_LIMIT": "5", "VAULT_WRAP_TTL": "5m"}
    assert fleet.ok("status", environ=several).err == shadowed + (
        "warning: BAO_RATE_LIMIT, VAULT_SRV_LOOKUP, VAULT_WRAP_TTL are set and not used: they mean "
        "something to Vault's own command line only\n"
    )


# --- each variable of the family ---

_OF_SERVERS = """
ADVERTISE_ADDR AGENT_CONFIG_PATH AGENT_DISABLE_IDLE_CONNECTIONS AGENT_DISABLE_KEEP_ALIVES
ALLOW_PENDING_REMOVAL_MOUNTS API_ADDR BACKEND_PLUGIN CLUSTER_ADDR
CLUSTER_TLS_SESSION_LOG_LEVEL DATABASE_PLUGIN DEV_LISTEN_ADDRESS DEV_ROOT_TOKEN_ID
DEV_TEMP_DIR DISABLE_KV_GAUGE DISABLE_LOCAL_AUTH_MOUNT_ENTITIES DISABLE_PUBLIC_ACME
DISABLE_USER_LOCKOUT ENABLE_FILE_PERMISSIONS_CHECK GRPC_LOGGING GRPC_MAX_STREAMS
INMEM_LOG_ALL_OPS INTERACTIVE_DEMO_SERVER K8S_AUTH_ROLE_NAME K8S_NAMESPACE K8S_POD_NAME
K8S_SERVICE_ACCOUNT_TOKEN K8S_SERVICE_ACCOUNT_TOKEN_PATH K8S_SERVICE_MOUNT_PATH
KMIP_CA_CERT KMIP_CLIENT_CERT KMIP_CLIENT_KEY KMIP_ENCRYPT_ALG KMIP_ENDPOINT
KMIP_SEAL_KEY_ID KMIP_SERVER_NAME KMIP_TIMEOUT KMIP_TLS12_CIPHERS KMIP_WRAPPER_KEY_ID
KMS_PLUGIN LEASE_REVOCATION_WORKERS LOG_FORMAT LOG_LEVEL MIGRATE_CONFIG_PATH
PG_CONNECTION_URL PLUGIN_AUTOMTLS_ENABLED PLUGIN_METADATA_MODE PLUGIN_MLOCK_ENABLED
PLUGIN_MULTIPLEXING_OPT_OUT POSTUNSEAL_FUNC_CONCURRENCY POSTUNSEAL_FUNC_CURRENCY
PPROF_FILE_PATH PPROF_WRITE_TO_FILE PROXY_CONFIG_PATH PROXY_DISABLE_IDLE_CONNECTIONS
PROXY_DISABLE_KEEP_ALIVES RAFT_AUTOPILOT_DISABLE RAFT_DISABLE_MAP_POPULATE
RAFT_FREELIST_SYNC RAFT_FREELIST_TYPE RAFT_INITIAL_MMAP_SIZE RAFT_NODE_ID RAFT_PATH
RAFT_RETRY_JOIN_AS_NON_VOTER REDIRECT_ADDR RENEW_TOKEN ROLLBACK_WORKERS SEAL_TYPE
SKIP_LOGGING_LEASE_EXPIRATIONS STACKTRACE_FILE_PATH STACKTRACE_WRITE_TO_FILE
STATIC_SEAL_CURRENT_KEY STATIC_SEAL_CURRENT_KEY_ID STATIC_SEAL_PREVIOUS_KEY
STATIC_SEAL_PREVIOUS_KEY_ID TEST_LOG_DIR TEST_VERIFY_ONLY_DUMP_CONFIG
TRANSIT_SEAL_ADDR TRANSIT_SEAL_DISABLE_RENEWAL TRANSIT_SEAL_KEY_NAME
TRANSIT_SEAL_MOUNT_PATH TRANSIT_SEAL_TOKEN UI UNWRAP_TOKEN VERSION
"""
OF_SERVERS = frozenset(_OF_SERVERS.split())
"""What the same binary reads as a server, an agent, a proxy, a seal or a plugin."""

FOUND = re.compile(rb"(?:BAO|VAULT)_[A-Z0-9_]{2,}")
SPLIT = re.compile(r"(?=BAO_|VAULT_|TRANSIT_WRAPPER_)")
PREFIXES = ("BAO_", "VAULT_")
OFTEN_BEHIND = 4
"""A binary of Go has its texts in a row: so many letters of the next one may follow."""


def test_each_variable_that_the_binary_knows_is_judged() -> None:
    """It means the same here, is named as not used, or is none of a command line. A
    name that a newer version reads is seen here first.
    """
    judged = USED | UNUSED | OF_SERVERS | {"DISABLE_REDIRECTS"}
    content = _binary().read_bytes()
    texts = {part for found in FOUND.findall(content) for part in SPLIT.split(found.decode())}
    names = {text.partition("_")[2] for text in texts if text.startswith(PREFIXES)}
    assert len(names) > len(USED | UNUSED)
    assert sorted(name for name in names if not is_judged(name, judged)) == []
    read = {name for name in USED | UNUSED if any(text.startswith(name) for text in names)}
    assert read >= USED | UNUSED, "what no version reads would be named for nothing"


def is_judged(text: str, judged: frozenset[str]) -> bool:
    """Whether it is one of these names, perhaps with the begin of the next text."""
    behind = (text.removeprefix(name) for name in judged if text.startswith(name))
    return any(len(rest) <= OFTEN_BEHIND and "_" not in rest for rest in behind)


def test_texts_that_files_stand_in_for_are_named(private: Private, tmp_path: Path) -> None:
    """Once, and without a word of what they hold."""
    row = {**TOKEN, **MUTUAL, **FILES, **TEXTS, "VAULT_SSH_EXECUTABLE": "ssh"}
    told = settings_from_environment(private.environ(row, tmp_path)).warnings
    assert told == (
        "VAULT_CLIENT_CERT_BYTES is set and not used: VAULT_CLIENT_CERT counts in its place",
        "VAULT_CLIENT_KEY_BYTES is set and not used: VAULT_CLIENT_KEY counts in its place",
        (
            "VAULT_SSH_EXECUTABLE is set and not used: it means something to Vault's own "
            "command line only"
        ),
    )


def test_a_fleet_with_a_certificate_of_its_own(fleet: Fleet, private: Private) -> None:
    """The whole program, as the job of a pipeline has it: certificate and key are
    texts, and nothing of the key is printed or written.
    """
    fleet.environ |= {
        "VAULT_ADDR": private.words["mutual"],
        "VAULT_TOKEN": private.token,
        "VAULT_CACERT_BYTES": private.words["ca"],
        "BAO_CLIENT_CERT_BYTES": private.words["cert"],
        "BAO_CLIENT_KEY_BYTES": private.words["key"],
    }
    fleet._root_token, fleet.mount = private.token, private.mount
    fleet.write({"label": "bot", "path": "prod/bot"})
    fleet.ok("bootstrap")
    fleet.ok("apply", "--yes")
    secret = private.words["key"].splitlines()[1]
    assert all(secret not in text for text in fleet.outputs)
    files = [path for path in fleet.folder.rglob("*") if path.is_file()]
    assert all(secret.encode() not in path.read_bytes() for path in files)


def test_a_text_that_is_too_long_is_refused(private: Private, tmp_path: Path) -> None:
    """In a sentence that holds nothing of it, and without waiting for anybody."""
    row = {**TOKEN, **MUTUAL, **TEXTS, "VAULT_CLIENT_CERT_BYTES": "{cert}" + "x" * 100_000}
    said = we_get_there(private.environ(row, tmp_path), private.mount)
    assert said.startswith(NO_PAIR)
    assert "xxx" not in said
