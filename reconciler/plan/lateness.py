"""How a status tells when a label may be rotated, and whether that is late."""

from __future__ import annotations

from typing import Any

from reconciler.model import DAY_MS, LiveToken, TokenSpec
from reconciler.plan.windows import opens_at_ms, whole_window_over
from reconciler.state import Current, due_at_ms

OVERDUE_MS = DAY_MS
"""Due for longer than this is overdue: a nightly run had its chance.

Where there is a window, a whole one is over by then as well.
"""


def is_overdue(due_ms: int | None, spec: TokenSpec, now_ms: int) -> bool:
    """Return whether a rotation had a day and a whole window since it could start."""
    if due_ms is None:
        return False
    could_ms = max(due_ms, spec.hold_until_ms or 0)
    if now_ms - could_ms <= OVERDUE_MS:
        return False
    return not spec.windows or whole_window_over(spec.windows, could_ms, now_ms)


def times_of(
    spec: TokenSpec, current: Current | None, live: LiveToken | None, now_ms: int
) -> dict[str, Any]:
    """Return the fields of a ``TokenStatus`` that say when it is due, and may start.

    A hold that is over is told no more.
    """
    due_ms = None
    if current is not None:
        created_at_ms = live.created_at_ms if live is not None else current.created_at_ms
        due_ms = due_at_ms(current, created_at_ms, spec)
    held_ms = spec.hold_until_ms
    is_held = held_ms is not None and held_ms > now_ms
    opens_ms = None
    if spec.windows and due_ms is not None:
        opens_ms = opens_at_ms(spec.windows, max(due_ms, held_ms or 0, now_ms))
    return {
        "due_at_ms": due_ms,
        "window": tuple(window.text for window in spec.windows),
        "opens_at_ms": opens_ms,
        "hold_until_ms": held_ms if is_held else None,
        "hold_reason": spec.hold_reason if is_held else "",
        "owner": spec.owner,
    }
