"""A label is renamed while its consumer works, on real servers."""

from __future__ import annotations

import threading
import time
from typing import Self

from reconciler.exchange import TokenClient
from reconciler.state import credentials_of
from tests.support.fleet import Fleet, judged, unpaced


class Consumer:
    """Reads a path every 50 ms, and signs with what it finds there."""

    def __init__(self, fleet: Fleet, path: str) -> None:
        self._fleet, self._path = fleet, path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.used: list[str] = []
        self.failures: list[str] = []

    def _work(self) -> None:
        with self._fleet.store() as store, TokenClient(self._fleet.sandbox.url) as exchange:
            while not self._over.wait(0.05):
                found = credentials_of(store.read(f"{self._fleet.prefix}/{self._path}"))
                if found is None:
                    self.failures.append("an empty path")
                    continue
                try:
                    exchange.signed_by(found).list_tokens()
                except Exception as error:  # noqa: BLE001  # told by the test
                    self.failures.append(str(error))
                self.used.append(found.token_id)

    def await_use(self, token_id: str) -> None:
        """Return once the consumer has signed with a token."""
        until = time.monotonic() + 10
        while token_id not in self.used:
            assert time.monotonic() < until, token_id
            time.sleep(0.05)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_rename_without_an_outage(fleet: Fleet) -> None:
    """Entry and secret stay; a rotation gives the exchange the new label; then the
    predecessor goes, and no request failed.
    """
    fleet.defaults = {"overlap": "1s"}
    fleet.begin({"label": "bot", "path": "prod/bot"})
    old = fleet.use("prod/bot")
    with unpaced(), Consumer(fleet, "prod/bot") as consumer:
        consumer.await_use(old)
        fleet.write({"label": "robot", "path": "prod/bot", "was": "bot"})
        assert "renamed" in fleet.must("plan").out
        fleet.must("apply", "--yes")
        (new,) = fleet.live("robot")
        assert fleet.ledger().tokens["robot"].retiring[0].token_id == old
        events = judged("history", fleet.must("history", "--format", "json").out)["events"]
        told = [(e["what"], e["why"]) for e in events if e["label"] == "robot"]
        assert told == [("renamed", "was bot"), ("rotated", f"in place of {old}, rotated")]
        assert "bot" not in fleet.ledger().tokens
        consumer.await_use(new.token_id)
    assert consumer.failures == []
    assert {old, new.token_id} == set(consumer.used)
    fleet.later(hours=3)
    fleet.use("prod/bot")
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(old).live
    fleet.assert_whole()
    fleet.assert_quiet()
    _rename_the_manager(fleet)


def _rename_the_manager(fleet: Fleet) -> None:
    """The manager signs its own rename with the secret of its former label."""
    manifest = fleet.folder / "tokens.yaml"
    text = manifest.read_text(encoding="utf-8")
    text = text.replace("manager: reconciler", "manager: keeper")
    text = text.replace("label: reconciler", "label: keeper\n  was: reconciler\n  path: reconciler")
    manifest.write_text(text, encoding="utf-8")
    fleet.must("apply", "--yes")
    (keeper,) = fleet.live("keeper")
    assert fleet.use("reconciler") == keeper.token_id
    assert "reconciler" not in fleet.ledger().tokens
