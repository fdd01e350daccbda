"""Reads of Vault that raise where they fail.

Rules this module keeps:

1. Reads that wait on Vault run side by side, within a bound.
2. One call may bring the metadata of many paths. What it does not show is read singly
   before it is believed to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from reconciler.errors import ReconcilerError, VaultError
from reconciler.model import SecretMeta, SecretVersion
from reconciler.protocol import ReadLedger, ReadSecret, Refused, Step, Unclear
from reconciler.run.effects import (
    ListPaths,
    ReadClock,
    ReadMeta,
    ReadMetas,
    ReadMountLife,
    Together,
)
from reconciler.state import Ledger

R = TypeVar("R")

READERS = 8
"""More wait for each other only: a reply takes longer to read than to come."""

SCAN_FROM = 8
"""So many paths are worth one more call, which may be refused."""


class MovedError(ReconcilerError):
    """The ledger is at another place, or still on its way here."""


def read_ledger() -> Step[tuple[Ledger | None, int]]:
    """Return the ledger, or None, and the number of its latest version.

    VaultError; MovedError for a ledger that a move has left, or not yet reached.
    """
    ledger, version = yield from read_any_ledger()
    refuse_moved(ledger)
    return ledger, version


def read_any_ledger() -> Step[tuple[Ledger | None, int]]:
    """Return the ledger as ``read_ledger``, valid or not. VaultError."""
    return _known((yield from ReadLedger()))


def refuse_moved(ledger: Ledger | None) -> None:
    """Raise MovedError for a ledger that is not valid, or not yet."""
    if ledger is not None and ledger.moved_to is not None:
        raise MovedError(
            f"ledger and secrets have moved from here to {ledger.moved_to}: put the manifest's "
            "mount and prefix there (`reconciler move` there finishes a move that was cut off)"
        )
    if ledger is not None and ledger.arriving_from is not None:
        raise MovedError(
            f"a move from {ledger.arriving_from} to here is not finished: run "
            f"`reconciler move --from {ledger.arriving_from}` again, it goes on"
        )


def read_meta(path: str) -> Step[SecretMeta]:
    """Return Vault's metadata of a path. VaultError."""
    return _known((yield from ReadMeta(path=path)))


def read_metas(paths: Sequence[str]) -> Step[dict[str, SecretMeta]]:
    """Return Vault's metadata of each path, in few calls where it can. VaultError."""
    shown: Mapping[str, SecretMeta] = {}
    if len(paths) >= SCAN_FROM:
        shown = yield from ReadMetas(paths=tuple(paths))
    rest = [path for path in paths if path not in shown]
    steps = tuple(partial(read_meta, path) for path in rest)
    found = yield from Together(steps=steps, width=READERS)
    metas = {**shown, **dict(zip(rest, found, strict=True))}
    return {path: metas[path] for path in paths}


def with_former(ledger: Ledger, metas: Mapping[str, SecretMeta]) -> Step[Mapping[str, SecretMeta]]:
    """Return the metadata with those of predecessors' former paths.

    From the end of an overlap on, what lies there may be deleted. By the list that was
    asked meanwhile the exchange's time is known.
    """
    former = {r.path: r for e in ledger.tokens.values() for r in e.retiring if r.path is not None}
    if not former.keys() - metas.keys():
        return metas
    now_ms = (yield from ReadClock()).now_ms
    due = [path for path, retiring in former.items() if retiring.not_before_ms <= now_ms]
    more = yield from read_metas([path for path in sorted(due) if path not in metas])
    return {**metas, **more}


def read_mount_life() -> Step[int | None]:
    """Return how long the mount lets a version live; None for ever. VaultError."""
    return _known((yield from ReadMountLife()))


def read_secret(path: str, version: int | None = None) -> Step[SecretVersion]:
    """Return a version of a secret, or the latest. VaultError."""
    return _known((yield from ReadSecret(path=path, version=version)))


def list_paths(*, limit: int, folder: str = "") -> Step[tuple[str, ...]]:
    """Return the paths below the prefix, or in a folder there. VaultError.

    At most ``limit``.
    """
    return _known((yield from ListPaths(limit=limit, folder=folder)))


def _known(reply: R | Refused | Unclear) -> R:
    if isinstance(reply, (Refused, Unclear)):
        raise VaultError(reply.sentence)
    return reply
