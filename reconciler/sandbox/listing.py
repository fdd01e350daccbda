"""The rows of the list: which tokens are shown, in which order, with which last use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from reconciler.sandbox.laws import SandboxConfig, iso
from reconciler.sandbox.records import Token


def rows(tokens: Iterable[Token], config: SandboxConfig, now_ms: int) -> list[dict[str, object]]:
    """Return the rows of these tokens as JSON values.

    The documentation names no order, so the order follows a hash and not the age.
    """
    listed = [token for token in tokens if _is_listed(token, config, now_ms)]
    listed.sort(key=lambda token: hashlib.sha256(token.token_id.encode()).digest())
    return [
        {
            "tokenId": token.token_id,
            "label": token.label,
            "scopes": list(token.scopes),
            "createdAt": iso(token.created_at_ms),
            "lastUsedAt": _last_used(token, config.last_used_grain_ms),
        }
        for token in listed
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


def _last_used(token: Token, grain_ms: int | None) -> str | None:
    if token.last_used_at_ms is None or grain_ms is None:
        return None
    return iso(token.last_used_at_ms // grain_ms * grain_ms)
