"""What ``reads`` makes of a call that may miss any path: the rest is read singly."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import VaultError
from reconciler.model import NEVER_WRITTEN, SecretMeta, VersionState
from reconciler.protocol import Effect, Unclear, drive
from reconciler.run.effects import ReadMeta, ReadMetas, Together
from reconciler.run.reads import SCAN_FROM, read_metas

PATHS = [f"bot-{number}" for number in range(SCAN_FROM)]
META = SecretMeta(latest=3, state=VersionState.LIVING, oldest=1)


class World:
    """A Vault that shows some of its paths in one call."""

    def __init__(self, shown: list[str], *, answers: bool = True) -> None:
        self.shown = shown
        self.answers = answers
        self.asked: list[str] = []

    def perform(self, effect: Effect[Any]) -> object:
        """Reply to an effect."""
        if isinstance(effect, Together):
            return tuple(drive(make(), self.perform) for make in effect.steps)
        if isinstance(effect, ReadMetas):
            self.asked.append("scan")
            return dict.fromkeys(self.shown, META)
        assert isinstance(effect, ReadMeta)
        self.asked.append(effect.path)
        return NEVER_WRITTEN if self.answers else Unclear(sentence="Vault is sealed: unseal it")


@pytest.mark.parametrize("shown", [[], PATHS[:1], PATHS[1:], PATHS])
def test_what_one_call_does_not_show_is_read_singly(shown: list[str]) -> None:
    """And only that; the paths come in the order that they were asked for in."""
    world = World(shown)
    metas = drive(read_metas(PATHS), world.perform)
    assert list(metas.items()) == [
        (path, META if path in shown else NEVER_WRITTEN) for path in PATHS
    ]
    assert world.asked == ["scan", *(path for path in PATHS if path not in shown)]


def test_few_paths_are_read_singly() -> None:
    """A call that may be refused would not pay."""
    world = World(PATHS)
    drive(read_metas(PATHS[:-1]), world.perform)
    assert world.asked == PATHS[:-1]


def test_what_is_not_known_is_an_error() -> None:
    """A path that neither way tells of is not taken for one that was never written."""
    with pytest.raises(VaultError, match="sealed"):
        drive(read_metas(PATHS), World(PATHS[1:], answers=False).perform)
