"""What both official SDKs have to see of the sandbox: the same exchange, whichever of
them looks.

An SDK is a callable here: it is given JSON, runs a script of its own language, and
returns the JSON that the script tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.sandbox import IdStyle, Sandbox, SandboxConfig, Token
from reconciler.sandbox.laws import iso

Script = Callable[[Mapping[str, Any]], Any]

ENCODED_IDS = ("a/b+c", "100%", "%2F", "a b?c#d", "ключ", '{}|^`"<>\\[]', "~-_.x")
"""Ids that hold what a path can't: whoever sends them encodes all of it."""

RAW_IDS = ("a/b+c==", "a!b'(c)*d", "x;y:z@w,$&")
"""Ids that hold what RFC 3986 lets stand in a segment as it is: clients encode it, or
don't."""

DOT_IDS = (".", "..")
"""Ids that are resolved away as steps of a path before anything is sent."""

_CONFIG = SandboxConfig(
    allowed_scopes=("trading", "account_creation", "delegated_signing"), id_style=IdStyle.PLAIN
)
_REVOKED = "Token revoked successfully"


def assert_the_four_operations_work(drive: Script, **seen_by_this_sdk_only: object) -> None:
    """Capabilities, derive, list and revoke, and the SDK's own errors for refusals,
    under the exchange's real limits.

    ``drive`` is the script drive.py or drive.mjs. AssertionError if it saw or did
    anything else than it had to.
    """
    with Sandbox(config=_CONFIG) as sandbox:
        awkward = sandbox.state.derive_by_hand("awkward", token_id="a/b+c")
        seen = drive(
            {
                "url": sandbox.url,
                "identity_token": sandbox.identity_token,
                "expired_identity_token": sandbox.state.issue_identity(lifetime_ms=0),
                "awkward_id": awkward.token_id,
            }
        )
        manager, bot = (
            token for token in sandbox.state.tokens() if token.label in {"sdk-manager", "sdk-bot"}
        )
    last_used = {one["tokenId"]: one["lastUsedAt"] for one in seen["listed after"]}[
        manager.token_id
    ]
    assert (manager.scopes, bot.scopes) == (("trading",), ("trading", "delegated_signing"))
    assert iso(manager.created_at_ms) < last_used < iso(manager.last_used_at_ms or 0)
    seen["listed"].sort(key=lambda one: one["tokenId"])
    listed = sorted((manager, bot, awkward), key=lambda token: token.token_id)
    assert seen == {
        "capabilities": {
            "partnerProfileId": _CONFIG.profile_id,
            "tokenManagementEnabled": True,
            "allowedScopes": list(_CONFIG.allowed_scopes),
        },
        "derived": [_derived(manager), _derived(bot)],
        "unsigned list": ["AuthenticationError", 401],
        "expired identity": ["AuthenticationError", 401],
        "scope not allowed": ["AuthenticationError", 403],
        "invalid scope": ["ValidationError", 400],
        "listed": [_row(token, None) for token in listed],
        "revoked": [_REVOKED, _REVOKED],
        "listed after": [_row(manager, last_used)],
        "a crowd": ["RateLimitError"],
        "revoked again": ["ValidationError", 400],
        "wrong secret": ["AuthenticationError", 401],
        **seen_by_this_sdk_only,
    }
    assert [token.token_id for token in sandbox.state.live()] == [manager.token_id]


def assert_revocations(
    revoke: Script, *, works: tuple[str, ...], unauthorized: tuple[str, ...] = ()
) -> None:
    """Of tokens with awkward ids, exactly these can be revoked, and these are answered
    with a 401.

    Requests for ``DOT_IDS`` go elsewhere, where there is nothing: 404. ``revoke`` is
    the script revoke_with.py or .mjs.
    """
    with Sandbox(config=SandboxConfig(limits=False)) as sandbox:
        signer = sandbox.state.derive_by_hand("signer")
        ids = (*works, *unauthorized, *DOT_IDS)
        for token_id in ids:
            sandbox.state.derive_by_hand("awkward", token_id=token_id)
        outcomes = revoke(
            {"url": sandbox.url, "token_id": signer.token_id, "secret": signer.secret, "ids": ids}
        )
    expected = [
        (works, ["no error", None]),
        (unauthorized, ["AuthenticationError", 401]),
        (DOT_IDS, ["APIError", 404]),
    ]
    assert outcomes == {token_id: outcome for group, outcome in expected for token_id in group}
    assert {token.token_id for token in sandbox.state.live()} == {
        signer.token_id,
        *unauthorized,
        *DOT_IDS,
    }


def _derived(token: Token) -> dict[str, Any]:
    """The reply to a derive as a script tells it, the secret hashed."""
    return {
        "apiKey": token.token_id,
        "tokenId": token.token_id,
        "secret": hashlib.sha256(token.secret.encode()).hexdigest(),
        "createdAt": iso(token.created_at_ms),
        "scopes": list(token.scopes),
        "profile": {"id": _CONFIG.profile_id, "account": _CONFIG.account},
    }


def _row(token: Token, last_used: str | None) -> dict[str, Any]:
    """A row of the list as a script tells it."""
    return {
        "tokenId": token.token_id,
        "label": token.label,
        "scopes": list(token.scopes),
        "createdAt": iso(token.created_at_ms),
        "lastUsedAt": last_used,
    }
