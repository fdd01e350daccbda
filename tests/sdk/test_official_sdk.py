"""The sandbox is faithful to the exchange and not to our client: the exchange's own SDK works against it.

The SDK lives in an environment of its own (``requirements.txt``, locked by hash), because it brings forty packages.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox import IdStyle, Sandbox, SandboxConfig
from reconciler.sandbox.laws import iso
from reconciler.sandbox.state import Token

HERE = Path(__file__).parent
SDK_PYTHON = Path(os.environ.get("RECONCILER_SDK_PYTHON", HERE.parent.parent / ".venv-sdk" / "bin" / "python"))
CONFIG = SandboxConfig(allowed_scopes=("trading", "account_creation", "delegated_signing"), id_style=IdStyle.PLAIN)


def drive(sandbox: Sandbox, awkward: Token, padded: Token) -> dict[str, Any]:
    """What the SDK saw; see drive.py."""
    if not SDK_PYTHON.exists():
        pytest.fail(f"the environment of the official SDK is missing at {SDK_PYTHON}: run `make test`, which makes it")
    given = {
        "identity_token": sandbox.identity_token,
        "expired_identity_token": sandbox.state.issue_identity(lifetime_ms=0),
        "awkward_id": awkward.token_id,
        "padded_id": padded.token_id,
    }
    argv: list[str | Path] = [SDK_PYTHON, "-I", HERE / "drive.py", sandbox.url]
    done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False, env={})
    assert (done.returncode, done.stderr) == (0, "")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def derived(token: Token) -> dict[str, Any]:
    """The reply to a derive as the SDK reads it."""
    return {
        "apiKey": token.token_id,
        "tokenId": token.token_id,
        "secret": hashlib.sha256(token.secret.encode()).hexdigest(),
        "createdAt": iso(token.created_at_ms),
        "scopes": list(token.scopes),
        "profile": {"id": CONFIG.profile_id, "account": CONFIG.account},
    }


def row(token: Token, last_used: str | None) -> dict[str, Any]:
    """A row of the list as the SDK reads it."""
    return {
        "tokenId": token.token_id,
        "label": token.label,
        "scopes": list(token.scopes),
        "createdAt": iso(token.created_at_ms),
        "lastUsedAt": last_used,
    }


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in an order that the exchange does not promise."""
    return sorted(rows, key=lambda one: str(one["tokenId"]))


def test_the_official_sdk_works_against_the_sandbox() -> None:
    """Capabilities, derive, list and revoke succeed, refusals raise the SDK's own errors, under the exchange's real limits.

    An id with ``=`` is refused for a fault of the SDK: it signs ``%3D`` while its transport sends ``=``.
    """
    with Sandbox(config=CONFIG) as sandbox:
        awkward = sandbox.state.derive_by_hand("awkward", token_id="a/b+c")
        padded = sandbox.state.derive_by_hand("padded", token_id="a/b+c==")
        seen = drive(sandbox, awkward, padded)
        manager, bot = (token for token in sandbox.state.tokens() if token.label in {"sdk-manager", "sdk-bot"})
    last_used = {one["tokenId"]: one["lastUsedAt"] for one in seen["listed after"]}[manager.token_id]
    assert (manager.scopes, bot.scopes) == (("trading",), ("trading", "delegated_signing"))
    assert iso(manager.created_at_ms) < last_used < iso(manager.last_used_at_ms or 0)
    assert seen == {
        "capabilities": {"partnerProfileId": 42, "tokenManagementEnabled": True, "allowedScopes": list(CONFIG.allowed_scopes)},
        "derived": [derived(manager), derived(bot)],
        "unsigned list": ["AuthenticationError", 401],
        "expired identity": ["AuthenticationError", 401],
        "scope not allowed": ["AuthenticationError", 403],
        "invalid scope": ["ValidationError", 400],
        "listed": seen["listed"],
        "revoked": ["Token revoked successfully", "Token revoked successfully"],
        "listed after": seen["listed after"],
        "three at once": ["RateLimitError"],
        "revoked again": ["ValidationError", 400],
        "padded id": ["AuthenticationError", 401],
        "wrong secret": ["AuthenticationError", 401],
    }
    assert by_id(seen["listed"]) == by_id([row(token, None) for token in (manager, bot, awkward, padded)])
    assert by_id(seen["listed after"]) == by_id([row(manager, last_used), row(padded, None)])
    assert {token.token_id for token in sandbox.state.live()} == {manager.token_id, padded.token_id}
