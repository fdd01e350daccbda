"""Snapshots that a command is given as files."""

from __future__ import annotations

import time

from reconciler.cli.ci import notice
from reconciler.cli.files import read_text
from reconciler.documents import Snapshot, load_snapshot
from reconciler.manifest import parse_window
from reconciler.model import DAY_MS, MINUTE_MS, SECOND_MS
from reconciler.state import Observed

FUTURE_MS = 5 * MINUTE_MS
OLD_MS = 3 * DAY_MS


def read_snapshot(name: str) -> Snapshot:
    """Return the snapshot in a file. OSError, or ReconcilerError if it is none."""
    snapshot = load_snapshot(read_text(name), parse_window)
    _judge_age(snapshot.observed)
    return snapshot


def _judge_age(observed: Observed) -> None:
    """Warn of a snapshot that is old, or dated in the future.

    Nothing is applied from a snapshot, but it may mislead a reader.
    """
    age_ms = int(time.time() * SECOND_MS) - observed.now_ms
    if age_ms < -FUTURE_MS:
        notice("the snapshot is dated in the future: is this machine's clock right?")
    if age_ms > OLD_MS:
        notice(
            f"the snapshot is {age_ms // DAY_MS} days old: does the job that takes it still run?"
        )
