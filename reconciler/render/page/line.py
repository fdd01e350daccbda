"""A label's line: its tokens over 45 days back and 90 ahead, as a drawing.

A day is one unit wide. What lies beyond either end is cut off
there. Screen readers pass over it: the row says the same in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model import DAY_MS
from reconciler.plan import Predecessor, ReserveStatus, TokenStatus

BACK_DAYS = 45
AHEAD_DAYS = 90
_END = float(BACK_DAYS + AHEAD_DAYS)
_TICK = 0.9
_THIN = 0.7
"""The least width of a bar: an hour is too short to be seen."""

_SWATCH = (
    '<svg viewBox="0 0 22 10" aria-hidden="true"><rect class="{}" width="22" height="10"/></svg>'
)
_WORDS = (
    ("bar", "in use"),
    ("plan", "until it is due"),
    ("gone", "old token in its overlap"),
    ("over", "late: due, or its overlap over"),
    ("kept", "ready in the reserve"),
)
_ITEMS = "".join(f"<li>{_SWATCH.format(tone)}{words}</li>" for tone, words in _WORDS)
_DRAWN = '<svg viewBox="0 0 22 10" aria-hidden="true"><path class="{}" d="{}"/></svg>'
_USE_MARK = _DRAWN.format("use", "M6 1h10l-5 8z")
_NOW_MARK = _DRAWN.format("now", "M11 0v10")
KEY = f'<ul class="key">{_ITEMS}<li>{_USE_MARK}used last</li><li>{_NOW_MARK}now</li></ul>'
"""What the colours of a line mean."""


def line_of(token: TokenStatus, now_ms: int) -> str:
    """Return the drawing of a label's tokens."""
    parts = [
        *_current(token, now_ms),
        *(part for old in token.predecessors for part in _old(old, now_ms)),
        *(part for kept in token.reserve for part in _kept(kept, now_ms)),
        f'<path class="now" d="M{BACK_DAYS} 0v32"/>',
        *_use(token.last_used_at_ms, now_ms),
    ]
    return (
        f'<svg viewBox="0 0 {_END:.0f} 32" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _x(at_ms: int, now_ms: int) -> float:
    return min(max((at_ms - now_ms) / DAY_MS + BACK_DAYS, 0.0), _END)


def _bar(tone: str, begin: float, end: float, top: int, height: int) -> str:
    width = max(end - begin, _THIN)
    begin = min(begin, _END - width)
    return f'<rect class="{tone}" x="{begin:.1f}" y="{top}" width="{width:.1f}" height="{height}"/>'


def _current(token: TokenStatus, now_ms: int) -> Iterator[str]:
    """Yield the current token: until now, and until it is due, or since it was."""
    if token.created_at_ms is None or not token.live:
        return
    begin = _x(token.created_at_ms, now_ms)
    due = _END if token.due_at_ms is None else _x(token.due_at_ms, now_ms)
    if not token.desired:  # it will not be rotated, but go
        due = BACK_DAYS
    yield _bar("bar", begin, min(due, BACK_DAYS), 6, 9)
    if due > BACK_DAYS:
        yield _bar("plan", BACK_DAYS, due, 6, 9)
    if due < BACK_DAYS:
        yield _bar("over", due, BACK_DAYS, 6, 9)
    if token.due_at_ms is not None and 0 < due < _END:
        yield f'<path class="due" d="M{due:.1f} 4v13"/>'


def _old(old: Predecessor, now_ms: int) -> Iterator[str]:
    """Yield an old token: until its overlap ends, or until now where it lives on."""
    if not old.live:
        return
    begin = _x(old.created_at_ms or old.superseded_at_ms, now_ms)
    end = _x(old.not_before_ms, now_ms)
    yield _bar("gone", begin, end, 18, 6)
    if end < BACK_DAYS:
        yield _bar("over", end, BACK_DAYS, 18, 6)


def _kept(kept: ReserveStatus, now_ms: int) -> Iterator[str]:
    """Yield a successor that is ready: until it is too old to be used."""
    if kept.live and kept.ready:
        end = _END if kept.expires_at_ms is None else _x(kept.expires_at_ms, now_ms)
        yield _bar("kept", _x(kept.created_at_ms, now_ms), end, 27, 4)


def _use(used_at_ms: int | None, now_ms: int) -> Iterator[str]:
    if used_at_ms is not None:
        x = _x(used_at_ms, now_ms)
        yield f'<path class="use" d="M{x - _TICK:.1f} 0h{2 * _TICK:.1f}l-{_TICK:.1f} 5z"/>'
