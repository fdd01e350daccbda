"""The rows of the list: which tokens are shown, in which order, with which last use.

A use passes three stages before a row shows it: it is written down or, shortly after
another one, not; it waits; it is rounded.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.laws import iso
from reconciler.sandbox.records import STRAIGHT, Token, Twist

WRITTEN_USES_MAX = 256


def used(token: Token, at_ms: int, config: SandboxConfig) -> Token:
    """Return a token after a use, which is written down unless another one just was."""
    written = token.written_uses_ms
    if not written or not 0 <= at_ms - written[-1] < config.last_used_every_ms:
        written = (*written, at_ms)[-WRITTEN_USES_MAX:]
    return dataclasses.replace(token, last_used_at_ms=at_ms, written_uses_ms=written)


def rows(
    tokens: Iterable[Token], config: SandboxConfig, now_ms: int, twist: Twist = STRAIGHT
) -> list[dict[str, object]]:
    """Return the rows of these tokens as JSON values.

    The documentation names no order, so the order follows a hash and not the age.
    """
    missing = {*config.list_without, *twist.leaves_out}
    listed = [
        token
        for token in tokens
        if _is_listed(token, config, now_ms) and token.token_id not in missing
    ]
    listed.sort(key=lambda token: hashlib.sha256(token.token_id.encode()).digest())
    shown = max(0, len(listed) - max(config.list_without_last, twist.leaves_out_last))
    return [
        {
            "tokenId": token.token_id,
            "label": token.label,
            "scopes": list(token.scopes),
            "createdAt": iso(token.created_at_ms),
            "lastUsedAt": _last_used(token, config, now_ms),
        }
        for token in listed[:shown]
    ]


def lags(since_ms: int, lag_ms: int, now_ms: int) -> bool:
    """Return whether an event has not taken effect yet.

    Without a lag it has, even where the clock was put back since.
    """
    return lag_ms > 0 and now_ms < since_ms + lag_ms


def _is_listed(token: Token, config: SandboxConfig, now_ms: int) -> bool:
    if lags(token.created_at_ms, config.listed_after_ms, now_ms):
        return False
    revoked_at_ms = token.revoked_at_ms
    return revoked_at_ms is None or lags(revoked_at_ms, config.unlisted_after_ms, now_ms)


def _last_used(token: Token, config: SandboxConfig, now_ms: int) -> str | None:
    grain_ms = config.last_used_grain_ms
    written = reversed(token.written_uses_ms)
    late_ms = config.last_used_after_ms
    shown_ms = next((at_ms for at_ms in written if not lags(at_ms, late_ms, now_ms)), None)
    if shown_ms is None or grain_ms is None:
        return None
    return iso(shown_ms // grain_ms * grain_ms)
