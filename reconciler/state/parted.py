"""What the ledger remembers of that with which it has parted."""

from __future__ import annotations

from reconciler.values import value

RELEASED_MOST = 5_000
"""So many released tokens are remembered at most; the oldest go first."""


@value
class Released:
    """A token that was ours and lives on as somebody else's; see ``releasing``.

    Nobody here revokes it, and it is never taken for one whose secret was lost.
    """

    label: str
    token_id: str
    at_ms: int
