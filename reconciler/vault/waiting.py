"""How long Vault asks to wait, as it says it and as it is told.

``Retry-After`` comes from whoever answers, so it is bounded: a century is a year here,
and what lies in the past or means nothing asks for nothing.
"""

from __future__ import annotations

import email.utils

from reconciler.model import HOUR_MS, MINUTE_MS, SECOND_MS

_DIGITS_MAX = 12
_YEAR_MS = 365 * 24 * HOUR_MS
_UNITS = (("second", SECOND_MS), ("minute", MINUTE_MS), ("hour", HOUR_MS))
_MOST_OF_A_UNIT = 100


def retry_after_ms(text: str | None, date: str | None) -> int | None:
    """Return what ``Retry-After`` asks for: seconds, or an instant of the server's.

    None for what means nothing, is negative, or lies in the past.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:_DIGITS_MAX]) * SECOND_MS, _YEAR_MS)
    end_ms, now_ms = _instant_ms(text), _instant_ms(date or "")
    if end_ms is None or now_ms is None or end_ms <= now_ms:
        return None
    return min(end_ms - now_ms, _YEAR_MS)


def _instant_ms(text: str) -> int | None:
    try:
        return round(email.utils.parsedate_to_datetime(text).timestamp() * SECOND_MS)
    except (ValueError, OverflowError):  # OverflowError: a year of a dozen digits
        return None


def when_again(after_ms: int | None) -> str:
    """Return when to come back, in words."""
    if not after_ms:
        return "in a few seconds"
    for name, unit_ms in _UNITS:
        count = -(-after_ms // unit_ms)
        if count <= _MOST_OF_A_UNIT:
            return f"in {count} {name}{'' if count == 1 else 's'}"
    return "in some days, as it says"
