"""The bodies of successful replies, as JSON values.

Rule this module keeps: pure.
"""

from __future__ import annotations

from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.laws import iso
from reconciler.sandbox.records import Token


def capabilities(profile_id: int, config: SandboxConfig) -> dict[str, object]:
    """Return what a profile may do."""
    return {
        "partnerProfileId": profile_id,
        "tokenManagementEnabled": config.management_enabled,
        "allowedScopes": list(config.allowed_scopes),
    }


def derived(token: Token, config: SandboxConfig) -> dict[str, object]:
    """Return a new token with its secret; the label does not come back."""
    return {
        "apiKey": token.token_id,
        "tokenId": token.token_id,
        "secret": token.secret,
        "createdAt": iso(token.created_at_ms),
        "scopes": list(token.scopes),
        "profile": {"id": token.profile_id, "account": config.account},
    }


def profile(profile_id: int, config: SandboxConfig) -> dict[str, object]:
    """Return the profile, as far as clients are known to read it."""
    return {
        "id": profile_id,
        "account": config.account,
        "tradeWalletOption": "eoa",
        "rank": {"feeRateBps": 300},
    }


def maintenance(config: SandboxConfig) -> dict[str, object]:
    """Return whether there is maintenance. Assumption: both are true or false."""
    return {"active": config.maintenance, "scheduled": False}
