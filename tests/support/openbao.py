"""Setting up a real OpenBao for tests, through hvac as an operator would: mounts,
policies, limited tokens, logins.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import secrets
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hvac

from reconciler.demo.openbao import OpenBaoServer, _binary, free_port

_MOUNT_READY_S = 5.0
_SERVER_READY_S = 60.0
_POLL_S = 0.01
_INITIALISED = frozenset({200, 503})
_UNINITIALISED = 501

# An RSA key of 2048 bits, made for these tests only: with Python's own numbers, signing
# a JWT needs no library.
_MODULUS = int(
    "cdb5f2122b27e59da1066808f6bc50cd4c557b846b31eb67532595bd84af3e70dd374b7b4adb8919b2ef67cabcb2c6f09c6ce39b33898a"
    "60a6d6ef35c7a393c3d9395aa6b31dc029d933b6cb556335fb4fb4a1d6b393176666d67b4f7d7fdc25d4a4ae950d77607b72e401399245"
    "cb3b8b7b89840755fdcdcd424b236f4e6d05735d12f1b952a2393b617967337dad75b241d18fcd16f2a729523167c5c3344a258cee9219"
    "1a7d760c4b7e7a6104d7ebf2bcf938a65268c5fb0b496877e24713d5d1bc9965ebb142150762b466cdcd7b72821df852afeb6c1da6247d"
    "aa43351d795faca5a3125fc600f8f7a001eee66030a00913e59faad6b9732db87e0c41d7",
    16,
)
_PRIVATE_EXPONENT = int(
    "8f16f328aad6e30eca661267bf23d970c9f036d832ada94eae0a2ed12d4258ef591be568004cc509189669b41ef34713dc9096f740da23"
    "647cfe75010bba94f1090b598080873e96882743621cd06df43f1fd3e897461c6376952acbc2eda022107a9ceb16a59079f9139b112e2b"
    "58e58a6ddc31f7ddb0e0942e7b904d1458702504add33fde90ba16d207e51940a10b465d64174da17a83d48958481210bbb63c2bed7684"
    "39ce9d1465c5016e7fa8c00f93bf60f63205e5a5c5c1d40d3ea834afea29b60f33b9e7c8b81104990e211b8cefcf7a2f2d4d9784887eed"
    "02b97fb7b1106c6bd791bc7a6e581bf17e2e359fc6ba0baa1445ce07bed62b51d8c1ca1",
    16,
)
_DER_BEFORE_MODULUS = bytes.fromhex(
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100"
)
_DER_AFTER_MODULUS = bytes.fromhex("0203010001")  # the exponent 65537
_DER_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


@contextmanager
def operator(server: OpenBaoServer, *, namespace: str | None = None) -> Iterator[Any]:
    """An hvac client with the root token."""
    verify = str(server.ca_cert) if server.ca_cert is not None else True
    client = hvac.Client(
        url=server.address,
        token=server.root_token.reveal(),
        namespace=namespace,
        verify=verify,
        timeout=10,
    )
    try:
        yield client
    finally:
        client.adapter.close()


def new_mount(client: Any, *, options: dict[str, str] | None = None) -> str:
    """A fresh KV mount under a name of its own, version 2 unless ``options`` say
    otherwise.
    """
    mount = f"kv-{secrets.token_hex(6)}"
    client.sys.enable_secrets_engine(
        "kv", path=mount, options={"version": "2"} if options is None else options
    )
    await_mount(client, mount)
    return mount


def await_mount(client: Any, mount: str) -> None:
    """Until a new mount can be used; the standbys of a cluster take longer."""
    deadline_s = time.monotonic() + _MOUNT_READY_S
    while time.monotonic() < deadline_s:
        try:
            client.secrets.kv.v2.read_secret_metadata("nothing", mount_point=mount)
        except hvac.exceptions.InvalidPath as error:
            if not error.errors:
                return
        except (
            hvac.exceptions.InvalidRequest
        ):  # for a moment it says that it is being upgraded to version 2
            pass
        time.sleep(0.01)
    raise AssertionError(f"the mount {mount} is not ready after {_MOUNT_READY_S} s")


def new_token(client: Any, rules: dict[str, list[str]], **options: Any) -> str:
    """A token whose policy grants exactly these capabilities, by path."""
    policy = f"policy-{secrets.token_hex(6)}"
    text = "\n".join(
        f'path "{path}" {{ capabilities = {capabilities} }}' for path, capabilities in rules.items()
    )
    client.sys.create_or_update_policy(policy, text.replace("'", '"'))
    reply: dict[str, Any] = client.auth.token.create(policies=[policy], ttl="10m", **options)
    token: str = reply["auth"]["client_token"]
    return token


def started(folder: Path) -> subprocess.Popen[bytes]:
    """Start the OpenBao whose ``server.hcl`` lies in the folder; it answers soon.

    It sees nothing of this process's environment, and its log lies in the folder too.
    """
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            [str(_binary()), "server", f"-config={folder / 'server.hcl'}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.defpath},
            start_new_session=True,
        )


def health(port: int, trust: ssl.SSLContext | None = None) -> int | None:
    """Return what ``sys/health`` says, None without an answer.

    200 is active, 429 a standby, 501 not initialised, 503 sealed.
    """
    connection = (
        http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        if trust is None
        else http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=trust)
    )
    try:
        connection.request("GET", "/v1/sys/health")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class DurableOpenBao:
    """An OpenBao with its data on disk and one unseal key: it can be killed, sealed or
    suspended, and comes back as it was.

    A context manager; everything it writes lies in ``folder``. ``address`` stays the
    same across restarts. The methods may be called from any thread, one at a time takes
    effect.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.root_token = ""
        self._unseal_key = ""
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Started, initialised and unsealed."""
        data = self.folder / "data"
        data.mkdir()
        (self.folder / "server.hcl").write_text(
            f'storage "pebbledb" {{ path = "{data}" }}\n'
            f'listener "tcp" {{ address = "127.0.0.1:{self.port}"  cluster_address = '
            f'"127.0.0.1:{self.port + 1}"'
            "  tls_disable = true }\n"
            f'api_addr = "{self.address}"\n',
            encoding="utf-8",
        )
        try:
            self.restart()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                process.kill()
                process.wait()

    def restart(self) -> None:
        """Start it where it does not run, and unseal it; the first time, initialise
        it.
        """
        with self._lock:
            self.kill()
            self._process = started(self.folder)
            if self._wait_for({*_INITIALISED, _UNINITIALISED}) == _UNINITIALISED:
                client = hvac.Client(url=self.address, timeout=10)
                reply: dict[str, Any] = client.sys.initialize(secret_shares=1, secret_threshold=1)
                client.adapter.close()
                self._unseal_key, self.root_token = reply["keys"][0], reply["root_token"]
            self.unseal()

    def seal(self) -> None:
        """Seal it: it answers 503 until ``unseal``."""
        with self._lock, self.operator() as client:
            client.sys.seal()

    def unseal(self) -> None:
        """Unseal it, and wait until it is active."""
        with self._lock, self.operator() as client:
            client.sys.submit_unseal_key(self._unseal_key)
            self._wait_for({200})

    def suspend(self) -> None:
        """SIGSTOP: what is sent to it waits."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: what waited is done now, whether anybody still waits for the answer
        or not.
        """
        self._signal(signal.SIGCONT)

    @contextmanager
    def operator(self) -> Iterator[Any]:
        """An hvac client with the root token."""
        client = hvac.Client(url=self.address, token=self.root_token, timeout=10)
        try:
            yield client
        finally:
            client.adapter.close()

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is not None:
                self._process.send_signal(number)

    def _wait_for(self, statuses: set[int]) -> int:
        deadline_s = time.monotonic() + _SERVER_READY_S
        while time.monotonic() < deadline_s:
            status = health(self.port) or 0
            if status in statuses:
                return status
            assert self._process is not None
            assert self._process.poll() is None, "the server ended: see server.log"
            time.sleep(_POLL_S)
        raise AssertionError(f"the server is not ready after {_SERVER_READY_S} s")


def jwt_public_key() -> str:
    """The PEM of the key with which ``signed_jwt`` signs."""
    der = _DER_BEFORE_MODULUS + _MODULUS.to_bytes(256, "big") + _DER_AFTER_MODULUS
    return (
        f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"
    )


def signed_jwt(claims: dict[str, object]) -> str:
    """A JWT (RS256:

    RSASSA-PKCS1-v1_5 with SHA-256, RFC 8017 section 8.2) of these claims.
    """
    head = ".".join(
        _base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims)
    )
    digest = _DER_SHA256 + hashlib.sha256(head.encode()).digest()
    padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest)) + b"\x00" + digest
    signature = pow(int.from_bytes(padded, "big"), _PRIVATE_EXPONENT, _MODULUS).to_bytes(256, "big")
    return f"{head}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
