"""Both peers as an operator sees them: the sandbox as a process of its own, and Vault
over plain HTTP, past all disturbance.

Instants come in real milliseconds (this machine's clock, which Vault shares), whatever
the sandbox's clock was put to.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import hashlib
import hmac
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.model import instant_ms
from reconciler.state.ledger import Ledger
from reconciler.state.ledger_text import from_text
from tests.proofs.soak.network import Line, Traffic
from tests.support.fleet import ROOT
from tests.support.openbao import DurableOpenBao, new_mount

_START_S = 60.0
_CALL_S = 10.0
_MIN_GAP_MS = (
    100  # of 300: on a busy machine two requests arrive closer together than they were sent
)
_IDENTITY_S = 10 * 365 * 24 * 3600
_VERSIONS_KEPT = 3_000
_LIST_TRIES = 30
_LIST_GAP_S = 0.4
HTTP_OK = 200
HTTP_NO_CONTENT = 204
HTTP_NOT_FOUND = 404
HTTP_TOO_MANY = 429


class UnavailableError(Exception):
    """The peer is killed, sealed or suspended just now."""


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


class _Kept(threading.local):
    """A thread's connections by port, while it keeps any."""

    by_port: dict[int, http.client.HTTPConnection] | None = None


_KEPT = _Kept()


@contextlib.contextmanager
def kept_connections() -> Iterator[None]:
    """This thread's reads share a connection per peer: thousands of new ones a minute
    would use up the machine's ports.
    """
    kept: dict[int, http.client.HTTPConnection] = {}
    _KEPT.by_port = kept
    try:
        yield
    finally:
        _KEPT.by_port = None
        for connection in kept.values():
            connection.close()


def call(
    port: int, method: str, target: str, headers: Mapping[str, str], body: Any = None
) -> tuple[int, Any]:
    """One request: status and JSON. UnavailableError where there is no answer.

    Only what changes nothing goes over a connection that was used before: the server
    may have been restarted since.
    """
    kept = _KEPT.by_port if method in {"GET", "LIST"} else None
    used = kept.pop(port, None) if kept is not None else None
    connection = used or http.client.HTTPConnection("127.0.0.1", port, timeout=_CALL_S)
    try:
        connection.request(
            method, target, body=None if body is None else json.dumps(body), headers=dict(headers)
        )
        reply = connection.getresponse()
        content = reply.read()
        answer = json.loads(content) if content else None
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        if used is None:
            raise UnavailableError from None
        return call(port, method, target, headers, body)
    if kept is None:
        connection.close()
    else:
        kept[port] = connection
    return reply.status, answer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """From an instant on, the sandbox's clock was ahead by so much."""

    since_ms: int
    ahead_ms: int


class Exchange:
    """The sandbox's process, behind a line that stands while it restarts.

    A context manager.

    ``unkind`` are options of the sandbox that the documentation allows.

    Its clock only ever goes forward: nobody can reach a restarted sandbox before its
    clock is put on again.
    """

    def __init__(
        self, folder: Path, traffic: Traffic, *, limits: bool, unkind: tuple[str, ...] = ()
    ) -> None:
        self.line = Line("exchange", traffic, None)
        self.ready = threading.Event()
        self.identity_token = ""
        self.shifts = [Shift(since_ms=0, ahead_ms=0)]
        self._folder = folder
        self._options = (*([] if limits else ["--no-limits"]), *unkind)
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._control = ""
        self._port = 0
        self._mutating_before = 0
        self._derives: list[int] = []

    def __enter__(self) -> Self:
        self.line.__enter__()
        self._start()
        self.identity_token = self._asked("POST", "identity")["identity_token"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.line.__exit__(kind, error, trace)
        with self._lock:
            self._end()

    # --- the process ---

    def _start(self) -> None:
        arguments = [
            "sandbox",
            "--state-file",
            str(self._folder / "exchange.json"),
            "--identity-lifetime",
            str(_IDENTITY_S),
        ]
        self._process = process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "reconciler",
                *arguments,
                *self._options,
            ],
            env={"PYTHONPATH": str(ROOT), "HOME": str(self._folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        self._control = first["control"]
        self._port = int(first["url"].rpartition(":")[2])
        self._asked("POST", "clock", {"shift_ms": self.shifts[-1].ahead_ms})
        self._asked("POST", "config", {"min_gap_ms": _MIN_GAP_MS})
        self.line.upstream = self._port
        self.ready.set()

    def _end(self) -> None:
        process, self._process = self._process, None
        self.ready.clear()
        self.line.upstream = None
        if process is not None:
            process.kill()
            process.communicate()

    def restart(self) -> None:
        """Killed with SIGKILL, whatever it is doing, and started again with what it had
        written to its file.
        """
        with self._lock:
            self._keep_calls()
            self._end()
            self._start()

    def _keep_calls(self) -> None:
        """A killed sandbox forgets its calls; those that it had not told of count as
        never made.
        """
        with contextlib.suppress(UnavailableError):
            calls = self._asked("GET", "calls")
            self._mutating_before += calls["mutating"]
            self._derives += self._posts(calls)

    def suspend(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: what waited is done now."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is not None:
                self._process.send_signal(number)

    # --- the control plane ---

    def _asked(self, method: str, name: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._control}"}
        status, reply = call(self._port, method, f"/_sandbox/{name}", headers, body)
        assert status < 300, (name, status, reply)
        return reply

    def ask(self, method: str, name: str, body: Any = None) -> Any:
        """A request of the control plane (see ``reconciler.sandbox.control``).

        UnavailableError while it restarts.
        """
        if not self.ready.is_set():
            raise UnavailableError
        return self._asked(method, name, body)

    def pass_time(self, span_ms: int) -> None:
        """The exchange's clock goes on, as it would while nothing happens."""
        with self._lock:
            ahead_ms = self.shifts[-1].ahead_ms + span_ms
            self._asked("POST", "clock", {"shift_ms": ahead_ms})
            self.shifts.append(Shift(since_ms=now_ms(), ahead_ms=ahead_ms))

    def clock_ms(self) -> int:
        """The exchange's time."""
        return now_ms() + self.shifts[-1].ahead_ms

    def real_ms(self, at_ms: int) -> int:
        """When an instant of the exchange's clock really was: the clock jumps forward
        only, so it is unambiguous.
        """
        for shift in reversed(self.shifts):
            if at_ms - shift.ahead_ms >= shift.since_ms:
                return at_ms - shift.ahead_ms
        raise AssertionError("an instant before the beginning")

    def tokens(self) -> dict[str, dict[str, Any]]:
        """Every token that ever was, by id, without secrets."""
        return {token["token_id"]: token for token in self.ask("GET", "tokens")}

    def mutating_calls(self) -> int:
        """How many POSTs and DELETEs arrived, as far as it remembers."""
        return self._mutating_before + int(self.ask("GET", "calls")["mutating"])

    def derives_ms(self) -> list[int]:
        """The real instants at which POSTs of a derive arrived, sorted."""
        return sorted([*self._derives, *self._posts(self.ask("GET", "calls"))])

    def _posts(self, calls: Mapping[str, Any]) -> list[int]:
        return [
            self.real_ms(one["at_ms"]) for one in calls["calls"] if one["operation"] == "derive"
        ]

    def secrets(self) -> frozenset[str]:
        """Every secret that was ever made, for searches."""
        saved = json.loads((self._folder / "exchange.json").read_text(encoding="utf-8"))
        return frozenset([*(token["secret"] for token in saved["tokens"]), *saved["identities"]])

    def list_as(self, token_id: str, secret: str) -> int:
        """The status of a list call that a consumer signs: a use of the token."""
        if not self.ready.is_set():
            raise UnavailableError
        at = dt.datetime.fromtimestamp(self.clock_ms() / 1000, dt.UTC)
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = f"{stamp}\nGET\n/auth/api-tokens\n"
        digest = hmac.new(base64.b64decode(secret), message.encode(), hashlib.sha256).digest()
        headers = {
            "lmts-api-key": token_id,
            "lmts-timestamp": stamp,
            "lmts-signature": base64.b64encode(digest).decode(),
        }
        return call(self._port, "GET", "/auth/api-tokens", headers)[0]

    def list_patiently(self, token_id: str, secret: str) -> int:
        """The same, again while the token's limit does not allow it: others work with
        it, too.
        """
        for _ in range(_LIST_TRIES):
            status = self.list_as(token_id, secret)
            if status != HTTP_TOO_MANY:
                break
            time.sleep(_LIST_GAP_S)
        return status


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The latest version of a secret:

    ``fields`` is None where it was deleted or never written.
    """

    version: int
    fields: Mapping[str, str] | None

    @property
    def token_id(self) -> str | None:
        """The id that consumers find, None where there is none."""
        return None if self.fields is None else self.fields.get("token_id")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VersionLife:
    """When a version was the content of its path: from ``since_ms`` until it was
    deleted or overwritten (None: it still is).
    """

    version: int
    since_ms: int
    until_ms: int | None


class Vault:
    """What lies below a prefix, read with the root token.

    UnavailableError while the server is away.
    """

    def __init__(self, server: DurableOpenBao, prefix: str) -> None:
        self.server = server
        self.prefix = prefix
        with server.operator() as client:
            self.mount = new_mount(client)
            client.secrets.kv.v2.configure(max_versions=_VERSIONS_KEPT, mount_point=self.mount)

    def _ask(self, method: str, kind: str, name: str, query: str = "", body: Any = None) -> Any:
        path = urllib.parse.quote(f"/v1/{self.mount}/{kind}/{self.prefix}/{name}") + query
        status, reply = call(
            self.server.port, method, path, {"X-Vault-Token": self.server.root_token}, body
        )
        if status not in {HTTP_OK, HTTP_NO_CONTENT, HTTP_NOT_FOUND}:
            raise UnavailableError
        return reply

    def read(self, name: str, version: int = 0) -> Content:
        """A version of a secret, 0: the latest."""
        reply = self._ask("GET", "data", name, f"?version={version}")
        data = (reply or {}).get("data")
        if not data:
            return Content(version=0, fields=None)
        return Content(version=data["metadata"]["version"], fields=data["data"])

    def lives(self, name: str) -> tuple[VersionLife, ...]:
        """The versions of a secret, oldest first."""
        reply = self._ask("GET", "metadata", name)
        data = (reply or {}).get("data")
        if not data:
            return ()
        rows = sorted((int(number), row) for number, row in data["versions"].items())
        ends: list[int | None] = [*(instant_ms(row["created_time"]) for _, row in rows[1:]), None]
        found = []
        for (number, row), overwritten_ms in zip(rows, ends, strict=True):
            deleted_ms = instant_ms(row["deletion_time"]) if row["deletion_time"] else None
            known = [end for end in (overwritten_ms, deleted_ms) if end is not None]
            found.append(
                VersionLife(
                    version=number,
                    since_ms=instant_ms(row["created_time"]),
                    until_ms=min(known) if known else None,
                )
            )
        return tuple(found)

    def paths(self, below: str = "") -> Iterator[str]:
        """Every path below the prefix that was ever written, the ledger's included."""
        reply = self._ask("LIST", "metadata", below)
        for key in ((reply or {}).get("data") or {"keys": []})["keys"]:
            if key.endswith("/"):
                yield from self.paths(below + key)
            else:
                yield below + key

    def latest(self) -> dict[str, tuple[int, bool]]:
        """The latest version of everything, and whether it is deleted: it shows every
        write and every deletion.
        """
        found = {}
        for name in self.paths():
            last = self.lives(name)[-1]
            found[name] = (last.version, last.until_ms is not None)
        return found

    def ledger(self, version: int = 0) -> Ledger | None:
        """A version of the ledger, 0: the latest."""
        content = self.read("_ledger", version)
        return None if content.fields is None else from_text(content.fields["ledger"])

    def overwrite(self, name: str, version: int) -> None:
        """A person writes nonsense over a secret."""
        self._ask(
            "POST", "data", name, body={"data": {"oops": "by hand"}, "options": {"cas": version}}
        )

    def delete(self, name: str, version: int) -> None:
        """A person deletes a version."""
        self._ask("POST", "delete", name, body={"versions": [version]})
