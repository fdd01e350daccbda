"""Several manifests of one profile, in place at once, and the laws that hold between
them: what is measured and tested of scale stands on this.

    what                    how
    ----------------------  ----------------------------------------------------------
    the fleet at the start  written straight into sandbox and Vault: by the program it
                            would take the identity's pace, 300 ms for each token
    what is done to it      by the program, in processes of its own
    whose a token is        its label begins with the manifest's name; other people's
                            tokens begin with none

Rules this module keeps:

1. The laws look at exchange and Vault alone, and believe no report of a run.
2. What a process printed is kept, so that it can be searched for secrets.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.exchange.client import TokenClient
from reconciler.model import Secret
from reconciler.sandbox import Sandbox
from reconciler.sandbox.laws import Operation, route
from reconciler.state.kept import Reserve
from reconciler.state.ledger import Current, Entry, Ledger
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.secret import credentials_of
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore
from tests.support.fleet import Done, unpaced

T = TypeVar("T")

MANAGER, BOT, READY, NEW = "manager", "bot", "ready", "new"
"""What the labels of a manifest are called behind its name."""

OTHERS = 3
"""Tokens of the profile that are in no manifest."""

TIMEOUT_S = 600
GIVES_WAY = 10
THREADS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """So many manifests of so many labels each, the manager among them.

    ``ready`` of a manifest's labels have a successor in the reserve.
    """

    manifests: int
    labels: int
    ready: int

    def names(self) -> tuple[str, ...]:
        """Return the names of the manifests."""
        return tuple(f"m{number:02}" for number in range(self.manifests))

    def labels_of(self, name: str) -> tuple[str, ...]:
        """Return a manifest's labels: the manager, those with a reserve, the others."""
        ready = [f"{name}-{READY}-{number:03}" for number in range(self.ready)]
        bots = [f"{name}-{BOT}-{number:03}" for number in range(self.labels - self.ready - 1)]
        return (f"{name}-{MANAGER}", *ready, *bots)


class Manifests:
    """One profile's manifests, each with a folder, a prefix, a ledger and a lease."""

    def __init__(
        self, folder: Path, sandbox: Sandbox, openbao: OpenBaoServer, mount: str, size: Size
    ) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.mount = mount
        self.size = size
        self.names = size.names()
        self.ends: list[Done] = []
        self._labels = {name: size.labels_of(name) for name in self.names}
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LIMITLESS_API_URL": sandbox.url,
            "VAULT_ADDR": openbao.address,
            "VAULT_TOKEN": openbao.root_token.reveal(),
        }
        self._others = frozenset(
            sandbox.state.derive_by_hand(f"of-a-person-{number}").token_id
            for number in range(OTHERS)
        )
        with self._store() as store:
            for name in self.names:
                self._furnish(name, store)

    def add(self, name: str, count: int) -> None:
        """Give a manifest's file so many new labels, whose tokens are to be derived."""
        new = (f"{name}-{NEW}-{number:03}" for number in range(count))
        self._labels[name] = (*self._labels[name], *new)
        self._write(name)

    # --- processes ---

    def run(self, name: str, *arguments: str, identity: bool = False) -> Done:
        """Run a command for one manifest to its end; without an identity by default.

        It gives way to the sandbox, which stands for another machine: beside many
        processes the exchange would answer too late.
        """
        environ = dict(self._environ)
        if identity:
            environ["LIMITLESS_IDENTITY_TOKEN"] = self.sandbox.identity_token
        with subprocess.Popen(
            [sys.executable, "-m", "reconciler", *arguments],
            cwd=self.folder / name,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.setpriority(os.PRIO_PROCESS, process.pid, GIVES_WAY)
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
            except BaseException:
                process.kill()
                raise
        done = Done(code=process.returncode, out=out, err=err)
        self.ends.append(done)
        return done

    def must(self, name: str, *arguments: str, identity: bool = False) -> Done:
        """Run a command for one manifest, which must end with 0."""
        done = self.run(name, *arguments, identity=identity)
        assert done.code == 0, (name, arguments, done)
        return done

    def side_by_side(
        self, processes: int, names: Sequence[str], work: Callable[[str], T]
    ) -> list[T]:
        """Do the work of each manifest, so many at once."""
        with ThreadPoolExecutor(processes) as pool:
            return list(pool.map(work, names))

    # --- what is there ---

    def ledgers(self) -> dict[str, Ledger]:
        """Return each manifest's ledger as it is in Vault."""
        with self._store() as store:
            return {name: self._ledger(name, store) for name in self.names}

    def refused(self) -> int:
        """Return how many calls the exchange has answered with 429."""
        return sum(call.status == 429 for call in self.sandbox.state.calls)

    # --- laws ---

    def assert_nothing_is_lost(self) -> None:
        """Each label's path holds the secret of its current token, and that signs; each
        reserve's document holds the reserve's; nothing is left half done.
        """
        with self._store() as store:

            def check(name: str) -> None:
                ledger = self._ledger(name, store)
                assert ledger.tokens.keys() == set(self._labels[name]), name
                for label, entry in ledger.tokens.items():
                    assert entry.intent is None, label
                    assert entry.revoking == (), label
                    assert entry.current is not None, label
                    self._assert_signs(store, f"{name}/{entry.path}", entry.current.token_id)
                    for kept in entry.reserve:
                        self._assert_signs(store, f"{name}/{kept.path}", kept.token_id)

            before = self.sandbox.state.config
            self.sandbox.state.configure(limits=False)
            try:
                with unpaced():
                    self.side_by_side(THREADS, self.names, check)
            finally:
                self.sandbox.state.configure(limits=before.limits)

    def assert_the_list_is_explained(self) -> None:
        """What lives at the exchange is what the ledgers know, each token one of them,
        and what was other people's from the beginning.
        """
        known: list[str] = []
        for ledger in self.ledgers().values():
            known += ledger.known_ids()
        live = {token.token_id for token in self.sandbox.state.live()}
        assert len(known) == len(set(known)), "two ledgers know one token"
        assert live == set(known) | self._others

    def assert_no_interference(self) -> None:
        """Whatever made or revoked a token was signed for the manifest whose it is, and
        no plan called a neighbour's token its own.
        """
        owners = {t.token_id: self._owner(t.label) for t in self.sandbox.state.tokens()}
        for call in self.sandbox.state.calls:
            if call.operation is Operation.REVOKE:
                revoked = route(call.method, call.path).token_id
                assert owners[revoked] == owners[call.credential], "a neighbour's token"
        for done in self.ends:
            assert "twin" not in done.out + done.err, done

    def assert_no_leak(self) -> None:
        """No process printed a secret, an identity token or a signature."""
        state = self.sandbox.state
        printed = "\n".join(done.out + done.err for done in self.ends)
        for secret in state.all_secrets() | state.all_signatures():
            assert secret not in printed

    # --- below: how it is done ---

    def _store(self) -> SecretStore:
        return SecretStore.connect(settings_from_environment(self._environ), mount=self.mount)

    def _ledger(self, name: str, store: SecretStore) -> Ledger:
        text = store.read(f"{name}/_ledger").field("ledger")
        assert text is not None, name
        return from_text(text)

    def _owner(self, label: str | None) -> str | None:
        name = (label or "").partition("-")[0]
        return name if name in self.names else None

    def _assert_signs(self, store: SecretStore, path: str, token_id: str) -> None:
        credentials = credentials_of(store.read(path))
        assert credentials is not None, path
        assert credentials.token_id == token_id, path
        with TokenClient(self.sandbox.url, credentials=credentials) as exchange:
            assert exchange.get_profile_id() == self.sandbox.state.config.profile_id, path

    def _furnish(self, name: str, store: SecretStore) -> None:
        """Put a manifest's file, tokens, secrets and ledger in place."""
        labels, ready = self._labels[name], self._ready(name)
        with ThreadPoolExecutor(THREADS) as pool:
            entries = dict(
                zip(
                    labels,
                    pool.map(
                        lambda label: self._entry(name, store, label, is_ready=label in ready),
                        labels,
                    ),
                    strict=True,
                )
            )
        ledger = Ledger(
            ledger_id=f"ledger-{name}",
            profile_id=self.sandbox.state.config.profile_id,
            api_url=self.sandbox.url,
            files=("tokens.yaml",),
            tokens=entries,
        )
        store.write(f"{name}/_ledger", {"ledger": to_text(ledger)}, cas=0)
        (self.folder / name).mkdir()
        self._write(name)

    def _ready(self, name: str) -> frozenset[str]:
        return frozenset(self.size.labels_of(name)[1 : 1 + self.size.ready])

    def _write(self, name: str) -> None:
        wanted = self._ready(name)
        document = {
            "version": 1,
            "profile_id": self.sandbox.state.config.profile_id,
            "manager": f"{name}-{MANAGER}",
            "vault": {"mount": self.mount, "prefix": name},
            "defaults": {"rotate_after": "30d", "overlap": "26h"},
            "tokens": [
                {"label": label, **({"reserve": 1} if label in wanted else {})}
                for label in self._labels[name]
            ],
        }
        text = yaml.safe_dump(document, sort_keys=False)
        (self.folder / name / "tokens.yaml").write_text(text, encoding="utf-8")

    def _entry(self, name: str, store: SecretStore, label: str, *, is_ready: bool) -> Entry:
        token_id, created_at_ms, version_ms = self._derived(name, store, label, label)
        current = Current(
            token_id=token_id,
            live_label=label,
            created_at_ms=created_at_ms,
            version=1,
            version_created_at_ms=version_ms,
            verified_at_ms=created_at_ms,
        )
        if not is_ready:
            return Entry(path=label, current=current)
        operation_id = f"stocked-{label}"
        path = f"_reserve/{operation_id}"
        token_id, created_at_ms, version_ms = self._derived(name, store, label, path)
        kept = Reserve(
            token_id=token_id,
            live_label=label,
            operation_id=operation_id,
            created_at_ms=created_at_ms,
            scopes=("trading",),
            verified_at_ms=created_at_ms,
            version_created_at_ms=version_ms,
            fresh=True,
        )
        return Entry(path=label, current=current, reserve=(kept,))

    def _derived(
        self, name: str, store: SecretStore, label: str, path: str
    ) -> tuple[str, int, int | None]:
        token = self.sandbox.state.derive_by_hand(label)
        fields = {
            "token_id": token.token_id,
            "label": label,
            "scopes": "trading",
            "profile_id": str(token.profile_id),
            "api_url": self.sandbox.url,
            "operation_id": f"made-{token.token_id}",
        }
        made = store.write(f"{name}/{path}", fields, secret=Secret(token.secret), cas=0)
        return token.token_id, token.created_at_ms, made.created_at_ms
