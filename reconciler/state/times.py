"""What the ledger's instants say: when a token is due, and whether a lease lives.

    due = max(in use since + rotate_after - rotate_before - spread, end of the grace)

The spread is the label's share of a tenth of ``rotate_after``. So a fleet that was
derived in one hour is not due in one hour, and a label is due at the same age each
time. All that shows or judges a due date asks ``due_at_ms``.
"""

from __future__ import annotations

import hashlib

from reconciler.model import TokenSpec, spread_most_ms
from reconciler.state.ledger import Current, Holder, Ledger, Retiring

_SHARE_BYTES = 8


def spread_ms(label: str, rotate_after_ms: int) -> int:
    """Return by how much a label is due earlier: less than a tenth of its lifetime.

    The first 8 bytes of the SHA-256 of its UTF-8 are its share of 2^64.
    """
    share = int.from_bytes(hashlib.sha256(label.encode()).digest()[:_SHARE_BYTES], "big")
    return share * spread_most_ms(rotate_after_ms) >> 8 * _SHARE_BYTES


def due_at_ms(token: Current | Retiring, created_at_ms: int, spec: TokenSpec) -> int | None:
    """Return when a token is due to be rotated because of its age, None for never.

    A window, or a hold, may let the rotation start later.
    """
    after_ms = spec.rotate_after_ms
    if after_ms is None:
        return None
    since_ms = created_at_ms if token.in_use_since_ms is None else token.in_use_since_ms
    early_ms = spec.rotate_before_ms + spread_ms(spec.label, after_ms)
    return max(since_ms + after_ms - early_ms, token.grace_until_ms or 0)


def lease_held_by(ledger: Ledger, now_ms: int, *, not_run: str | None = None) -> Holder | None:
    """Return the holder of a living lease, or None; ``not_run`` does not count."""
    holder = ledger.holder
    if holder is None or holder.expires_at_ms <= now_ms or holder.run == not_run:
        return None
    return holder
