"""A thread that acts as all consumers at once: it reads every secret, again and again,
and works with what it read.

Rules this module keeps:

1. A violation is only what holds at one instant: the same version was the content
   before and after its token was seen revoked, and it was not a person who revoked it.
2. What it saw is kept: which token every version held, even if the version is deleted
   later.
3. The manager's secret has no consumer but the program.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.proofs.soak.manifest import MANAGER
from tests.proofs.soak.peers import Content, Exchange, UnavailableError, Vault, kept_connections

_PAUSE_S = 0.02
_USES_EACH_LOOK = 2


class Watcher:
    """Watches from ``with`` on.

    ``held`` maps path and version to the token id seen there; ``looks`` counts its
    rounds.
    """

    def __init__(self, exchange: Exchange, vault: Vault, seed: str) -> None:
        self.violations: list[str] = []
        self.failures: list[str] = []
        self.held: dict[tuple[str, int], str] = {}
        self.by_person: set[str] = set()
        self.works = True
        self.looks = 0
        self._exchange = exchange
        self._vault = vault
        self._random = random.Random(f"{seed}/watcher")  # noqa: S311  # a schedule, no secret
        self._busy = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Nothing is used within; it goes on reading."""
        with self._busy:
            before, self.works = self.works, False
        try:
            yield
        finally:
            self.works = before

    def _watch(self) -> None:
        try:
            with kept_connections():
                while not self._done.wait(_PAUSE_S):
                    with self._busy, contextlib.suppress(UnavailableError):
                        self._look()
        except BaseException as error:
            self.failures.append(f"the watcher failed: {type(error).__name__}: {error}")
            raise

    def _look(self) -> None:
        """Read everything, then ask the exchange what lives, then judge."""
        seen: dict[str, Content] = {}
        for path in self._vault.paths():
            if not path.startswith("_"):
                content = self._vault.read(path)
                if content.token_id is not None:
                    seen[path] = content
                    self.held[path, content.version] = content.token_id
        tokens = self._exchange.tokens()
        for path, content in seen.items():
            token = tokens.get(content.token_id or "")
            if (
                token is not None
                and token["revoked_at_ms"] is not None
                and content.token_id not in self.by_person
            ):
                self._judge(path, content)
        self.looks += 1
        consumed = sorted(
            path
            for path, content in seen.items()
            if tokens.get(content.token_id or "", {}).get("label") != MANAGER
        )
        if self.works and consumed:
            for path in self._random.choices(consumed, k=_USES_EACH_LOOK):
                self._use(seen[path])

    def _judge(self, path: str, content: Content) -> None:
        again = self._vault.read(path)
        if again.fields is not None and again.version == content.version:
            self.violations.append(
                f"consumers of {path} were given {content.token_id} (version "
                f"{content.version}), which was revoked"
            )

    def _use(self, content: Content) -> None:
        assert content.fields is not None
        secret = content.fields.get("secret")
        if content.token_id is not None and secret is not None:
            self._exchange.list_as(content.token_id, secret)
