"""What the ledger's instants say: when a token is due, and whether a lease lives."""

from __future__ import annotations

from reconciler.state.ledger import Current, Holder, Ledger, Retiring


def due_at_ms(token: Current | Retiring, created_at_ms: int, rotate_after_ms: int) -> int:
    """Return when a token is due to be rotated because of its age."""
    since_ms = created_at_ms if token.in_use_since_ms is None else token.in_use_since_ms
    return max(since_ms + rotate_after_ms, token.grace_until_ms or 0)


def lease_held_by(ledger: Ledger, now_ms: int, *, not_run: str | None = None) -> Holder | None:
    """Return the holder of a living lease, or None; ``not_run`` does not count."""
    holder = ledger.holder
    if holder is None or holder.expires_at_ms <= now_ms or holder.run == not_run:
        return None
    return holder
