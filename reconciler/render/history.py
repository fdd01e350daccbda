"""The history as lines of text, oldest first.

2026-11-22T08:30:00.000Z  v7    run 1f2e3d4c  bot  rotated  3f2c…9a1b: in place of id-0
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.escape import counted, safe, short
from reconciler.model import iso
from reconciler.render.words import subject
from reconciler.state import Event


def history_text(events: Sequence[Event], *, oldest: int, passed_over: int) -> str:
    """Return a line for each event, and where the memory begins."""
    lines = [_line(event) for event in events]
    gaps = f"; {counted(passed_over, 'later version')} could not be read" if passed_over else ""
    lines.append(
        f"{counted(len(events), 'event')}; Vault has the ledger from version {oldest} on{gaps}"
    )
    return "\n".join(lines) + "\n"


def _line(event: Event) -> str:
    run = f"run {safe(event.run)}" if event.run is not None else "before"
    token = f"  {short(event.token_id)}" if event.token_id is not None else ""
    why = f": {safe(event.why)}" if event.why else ""
    head = f"{iso(event.at_ms)}  v{event.version}  {run}  {subject(event.label)}"
    return f"{head}  {event.what}{token}{why}"
