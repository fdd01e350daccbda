"""How a token's time ends: what a step of the ledger is told of it."""

from __future__ import annotations

from reconciler.values import value


@value
class Discarded:
    """A new token that is not kept, and why."""

    token_id: str
    reason: str
    at_ms: int


@value
class Retirement:
    """How to treat the old token when the new one is recorded.

    By default it retires and lives on for ``overlap_ms``. With ``revoke_now`` it is
    revoked at once; with ``revoke_all``, older tokens that are still retiring are
    revoked too. With ``already_gone`` the exchange does not have it, so it is only
    logged.
    """

    at_ms: int
    overlap_ms: int
    reason: str
    revoke_now: bool = False
    revoke_all: bool = False
    already_gone: bool = False
