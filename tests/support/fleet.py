"""A fleet in miniature for end-to-end tests: a manifest, the sandbox, a mount of a real
OpenBao, and the program as a process.

Everything that any process prints is kept; at the end it is searched for every secret
that was ever made.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hvac
import jsonschema
import pytest
import yaml

from reconciler import load_schema
from reconciler.cli import entry
from reconciler.demo.openbao import OpenBaoServer
from reconciler.exchange import calls as exchange
from reconciler.exchange import pacing
from reconciler.exchange.client import TokenClient
from reconciler.model import Secret, SecretVersion, VersionState
from reconciler.run import driver
from reconciler.sandbox import Sandbox, SandboxConfig, Token
from reconciler.state.ledger import Holder, Ledger
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.secret import credentials_of
from reconciler.vault import http as vault_http
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore

TIMEOUT_S = 90
LONGEST_PAUSE_MS = 20
ROOT = Path(__file__).parent.parent.parent
KILL_SERVER = ROOT / "tests" / "support" / "kill_server.py"

Spec = Mapping[str, object]
Environ = Mapping[str, str | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line of its standard output."""
        return self.out.rstrip("\n").rpartition("\n")[2]

    def refusal(self, code: int) -> str:
        """The sentence of a command that must have failed with this code: the last line
        of standard error, and no other.
        """
        assert self.code == code, self
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert errors == lines[-1:], self
        return errors[0].removeprefix("error: ")


def pause_between_processes() -> None:
    """Wait as long as the exchange asks for between two calls of one credential.

    Its limits hold across processes, and a process starts in less than that. The pace
    of a run is its own; what another one has just called, it can't know.
    """
    time.sleep(2 * SandboxConfig().min_gap_ms / 1000)


class Fleet:
    """``folder`` holds tokens.yaml; ``environ`` is all that a process sees."""

    def __init__(
        self,
        folder: Path,
        sandbox: Sandbox,
        openbao: OpenBaoServer,
        mount: str,
        prefix: str = "limitless/tokens",
    ) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.mount = mount
        self.prefix = prefix
        self.outputs: list[str] = []
        self.ends: list[Done] = []
        self._shift_ms = 0
        self.environ = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "PYTHONWARNINGS": "error",
            "COLUMNS": "120",
            "LIMITLESS_API_URL": sandbox.url,
            "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
            "VAULT_ADDR": openbao.address,
            "VAULT_TOKEN": openbao.root_token.reveal(),
        }
        self._root_token = self.environ["VAULT_TOKEN"]
        self.tokens: list[dict[str, object]] = [{"label": "reconciler"}]
        self.defaults: dict[str, object] = {"overlap": "0s"}

    # --- the manifest ---

    def write(self, *tokens: Spec, **head: object) -> None:
        """tokens.yaml with the manager and these tokens."""
        self.tokens = [{"label": "reconciler"}, *(dict(t) for t in tokens)]
        document = {
            "version": 1,
            "manager": "reconciler",
            "vault": {"mount": self.mount, "prefix": self.prefix},
            "defaults": self.defaults,
            "tokens": self.tokens,
            **head,
        }
        (self.folder / "tokens.yaml").write_text(
            yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
        )

    def begin(self, *tokens: Spec) -> None:
        """The manager and these tokens, all in place."""
        self.write(*tokens)
        self.must("bootstrap")
        self.must("apply", "--yes")

    # --- processes ---

    def start(self, *arguments: str, environ: Environ | None = None) -> subprocess.Popen[str]:
        """The program as a process of its own; a variable given as None is taken
        away.
        """
        merged = {
            name: text
            for name, text in {**self.environ, **(environ or {})}.items()
            if text is not None
        }
        command = [sys.executable, "-m", "reconciler"]
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env={"PYTHONPATH": str(ROOT), **merged},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextlib.contextmanager
    def running(
        self, *arguments: str, environ: Environ | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """The program as a process that does not outlive the test, whatever becomes of
        it.
        """
        process = self.start(*arguments, environ=environ)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def finish(self, process: subprocess.Popen[str], text: str = "") -> Done:
        """Wait for it, and keep what it printed."""
        try:
            out, err = process.communicate(text, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return self._kept(Done(code=process.returncode, out=out, err=err))

    def run(self, *arguments: str, text: str = "", environ: Environ | None = None) -> Done:
        """Run a command to its end."""
        return self.finish(self.start(*arguments, environ=environ), text)

    def ok(self, *arguments: str, environ: Environ | None = None) -> Done:
        """Run a command that must succeed."""
        done = self.run(*arguments, environ=environ)
        assert done.code == 0, (arguments, done)
        return done

    def quick(self, *arguments: str) -> int:
        """The exit code of the same command within this process."""
        return self.attempt(*arguments).code

    def attempt(self, *arguments: str, text: str = "", environ: Environ | None = None) -> Done:
        """The same command within this process, without the pauses that the exchange's
        limits ask for: for many runs.
        """
        out, err = io.StringIO(), io.StringIO()
        merged = {
            name: value
            for name, value in {**self.environ, **(environ or {})}.items()
            if value is not None
        }
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with (
                unpaced(text),
                in_environment(merged, self.folder),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = entry.run(list(arguments))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._kept(Done(code=code, out=out.getvalue(), err=err.getvalue()))

    def must(self, *arguments: str, text: str = "", environ: Environ | None = None) -> Done:
        """A command within this process that must succeed."""
        done = self.attempt(*arguments, text=text, environ=environ)
        assert done.code == 0, (arguments, done)
        return done

    def refused(
        self, code: int, *arguments: str, text: str = "", environ: Environ | None = None
    ) -> str:
        """A command within this process that must fail with this code, and say why on
        one line: the sentence.
        """
        return self.attempt(*arguments, text=text, environ=environ).refusal(code)

    def _kept(self, done: Done) -> Done:
        """What was printed is searched for secrets at the end, and for anything that no
        user should see at once.
        """
        self.outputs += [done.out, done.err]
        self.ends.append(done)
        for unseemly in ("Traceback", "internal error", "Exception ignored", "\x1b"):
            assert unseemly not in done.out + done.err, done
        return done

    # --- time ---

    def later(self, **span: float) -> None:
        """Let the exchange's clock go on (``hours=2``), and get a new identity token,
        as an hour later one would have to.
        """
        self._shift_ms += round(dt.timedelta(**span) / dt.timedelta(milliseconds=1))
        self.sandbox.state.shift_clock(self._shift_ms)
        self.environ["LIMITLESS_IDENTITY_TOKEN"] = self.sandbox.state.issue_identity()

    def lend_lease(self, seconds: float) -> None:
        """Another run takes the lease for so long."""
        latest = self.secret("_ledger")
        expires_at_ms = self.sandbox.state.now_ms() + round(seconds * 1000)
        holder = Holder(run="another", write="w", who="elsewhere:1", expires_at_ms=expires_at_ms)
        text = to_text(dataclasses.replace(self.ledger(), holder=holder))
        with self.store() as store:
            store.write(f"{self.prefix}/_ledger", {"ledger": text}, cas=latest.version)

    # --- looking ---

    @contextlib.contextmanager
    def operator(self) -> Iterator[Any]:
        """An hvac client with the root token, for what only a person does."""
        client = hvac.Client(url=self.environ["VAULT_ADDR"], token=self._root_token, timeout=10)
        try:
            yield client
        finally:
            client.adapter.close()

    def store(self) -> SecretStore:
        """The mount, as root."""
        as_root = {**self.environ, "VAULT_TOKEN": self._root_token}
        return SecretStore.connect(settings_from_environment(as_root), mount=self.mount)

    def secret(self, path: str, version: int | None = None) -> SecretVersion:
        """A version of a secret."""
        with self.store() as store:
            return store.read(f"{self.prefix}/{path}", version=version)

    def ledger(self) -> Ledger:
        """The ledger as it is in Vault."""
        text = self.secret("_ledger").field("ledger")
        assert text is not None
        return from_text(text)

    def versions(self) -> dict[str, int]:
        """The latest version of everything below the prefix: it shows every write."""
        with self.store() as store:
            return {
                path: store.read_meta(path).latest
                for path in store.list_paths(self.prefix, limit=1000)
            }

    def live(self, label: str) -> list[Token]:
        """The live tokens of a label, oldest first."""
        return sorted(
            (t for t in self.sandbox.state.live() if t.label == label),
            key=lambda t: t.created_at_ms,
        )

    def use(self, path: str) -> str:
        """A consumer: read the secret, sign a request with it. The id it used."""
        credentials = credentials_of(self.secret(path))
        assert credentials is not None, path
        with unpaced(), TokenClient(self.sandbox.url) as exchange:
            exchange.signed_by(credentials).list_tokens()
        return credentials.token_id

    # --- laws ---

    def assert_whole(self, *, stocked: bool = True) -> None:
        """Invariant 1: each desired label has a live current token with its scopes,
        whose secret in Vault signs.

        And 3 to 5: no live token of ours is unknown, nothing is left half done, no
        secret is a token that is gone. Unless ``stocked``, reserves may be short: no
        run with an identity came since.
        """
        ledger = self.ledger()
        live = {token.token_id: token for token in self.sandbox.state.live()}
        for spec in self.tokens:
            label = str(spec["label"])
            entry = ledger.tokens[label]
            assert entry.intent is None, label
            assert entry.revoking == (), label
            assert entry.current is not None, label
            token = live[entry.current.token_id]
            assert set(token.scopes) == set(spec.get("scopes", ["trading"])), label  # type: ignore[call-overload]
            assert self.use(entry.path) == token.token_id
        known = ledger.known_ids()
        unknown = [
            t.token_id
            for t in live.values()
            if t.token_id not in known and t.label in ledger.tokens
        ]
        assert unknown == [], "live tokens of ours that nobody knows"
        for label, entry in ledger.tokens.items():
            content = self.secret(entry.path)
            if content.state is VersionState.LIVING:
                assert content.field("token_id") in live, (
                    f"{label}: the secret is a token that is gone"
                )
        self._assert_reserves(ledger, stocked=stocked)

    def _assert_reserves(self, ledger: Ledger, *, stocked: bool) -> None:
        """As many are ready as the manifest wants, and no document is left over."""
        rows = {label: entry.reserve for label, entry in ledger.tokens.items()}
        for spec in self.tokens:
            label, wanted = str(spec["label"]), spec.get("reserve", self.defaults.get("reserve", 0))
            ready = len(rows[label])
            right = ready == wanted or (ready < wanted and not stocked)  # type: ignore[operator]
            assert right, f"{label}: {rows[label]} instead of {wanted}"
        kept = {one.path: one.token_id for several in rows.values() for one in several}
        for path, token_id in kept.items():
            found, token = self.secret(path, 1), self.sandbox.state.token(token_id)
            assert token.live, f"{token_id} is in the reserve, and is gone"
            assert found.secret is not None, f"the document of {token_id} can't be read"
            assert found.secret.same_as(Secret(token.secret)), f"{path} holds another secret"
        named = {*kept, *(row.path for row in ledger.left)}
        with self.store() as store:
            paths = store.list_paths(self.prefix, limit=1000)
        for path in paths:
            left = path.startswith("_reserve/") and path not in named
            state = self.secret(path).state if left else None
            assert state is not VersionState.LIVING, f"{path} is left over"

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Nothing within writes to Vault below the prefix, or calls anything of the
        exchange that could change something.
        """
        before, calls = self.versions(), self.sandbox.state.mutating_calls
        yield
        assert (self.versions(), self.sandbox.state.mutating_calls) == (before, calls)

    def assert_quiet(self) -> None:
        """Invariant 2: one more run writes nothing and calls nothing that changes
        anything.
        """
        with self.untouched():
            assert self.quick("apply", "--yes") == 0

    def secrets(self) -> Iterator[str]:
        """Every secret that was ever made or given, in the forms in which it could
        leak.
        """
        vault = {self._root_token, self.environ["VAULT_TOKEN"]}
        for secret in {
            *self.sandbox.state.all_secrets(),
            *self.sandbox.state.all_signatures(),
            *vault,
        }:
            yield secret
            yield urllib.parse.quote(secret, safe="")
            yield base64.b64encode(secret.encode()).decode()
            yield base64.urlsafe_b64encode(secret.encode()).decode()

    def assert_no_leak(self, files: Sequence[Path] = ()) -> None:
        """Invariant 8: none of them in any output, or in any file that was written."""
        texts = [*self.outputs, *(f.read_text(errors="replace") for f in files)]
        texts += [f.read_text(errors="replace") for f in self.folder.rglob("*") if f.is_file()]
        everything = "\n".join(texts)
        leaked = sum(1 for secret in self.secrets() if secret in everything)
        assert leaked == 0, f"{leaked} secrets in what was printed or written"


class KillServer:
    """Kills the program at a given effect, many times over; see ``kill_server.py``.

    The exchange of such a fleet has no limits: the program keeps no pace there.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(KILL_SERVER)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def killed(self, fleet: Fleet, at: int, *arguments: str) -> bool:
        """Run a command that is killed with SIGKILL after its effect number ``at``
        (from 1); False if it has fewer.
        """
        assert not fleet.sandbox.state.config.limits, "such a program keeps no pace"
        output = fleet.folder / "killed.log"
        order = {
            "at": at,
            "arguments": arguments,
            "environ": fleet.environ,
            "folder": str(fleet.folder),
            "output": str(output),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        fleet.outputs.append(output.read_text())
        return code < 0

    def stop(self) -> None:
        """End the server."""
        self._process.communicate(timeout=TIMEOUT_S)


@contextlib.contextmanager
def unpaced(text: str = "") -> Iterator[None]:
    """Our own client without pauses: only for a sandbox without limits.

    ``text`` is what lies on standard input.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_GAP_S", "SLACK_MAX_S", "SECOND_S"):
            patch.setattr(pacing, name, 0.0)
        for name in ("BUSY_PAUSES_S", "BUSY_SLACKS_S"):
            patch.setattr(pacing, name, (0.01,))
        patch.setattr(exchange, "BACKOFF_S", (0.01, 0.02))
        patch.setattr(exchange, "BUSY_BACKOFF_S", (0.03, 0.04, 0.05))
        patch.setattr(vault_http, "_RETRY_BACKOFF_S", 0.01)
        patch.setattr(
            driver.Driver,
            "_sleep",
            lambda _driver, effect: time.sleep(min(effect.ms, LONGEST_PAUSE_MS) / 1000),
        )
        patch.setattr(sys, "stdin", io.StringIO(text))
        yield


@contextlib.contextmanager
def in_environment(environ: Mapping[str, str], folder: Path) -> Iterator[None]:
    """This process with the given environment, and nothing else of its own, in the
    given folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        for name, text in environ.items():
            patch.setenv(name, text)
        patch.chdir(folder)
        yield


def plain(text: str) -> Any:
    """JSON that a process printed."""
    return json.loads(text)


def judged(name: str, text: str) -> Any:
    """A JSON document that ``schemas/<name>.schema.json`` allows."""
    document = plain(text)
    jsonschema.Draft202012Validator(load_schema(name)).validate(document)
    return document


def texts_of(version: SecretVersion) -> dict[str, str]:
    """A version's fields as texts, without the field ``secret`` itself."""
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in version.fields or ()
    }
