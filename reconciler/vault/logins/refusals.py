"""What Vault says of an identity token that it refuses, as sentences of our own.

The errors are known phrases, the same in Vault and OpenBao. No word of them is
repeated: a claim is named only where the token has it, or where it is a usual one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

USUAL_CLAIMS = frozenset(
    {
        *("iss", "sub", "aud", "exp", "nbf", "iat", "email", "groups"),
        *("repository", "repository_id", "repository_owner", "repository_owner_id"),
        *("ref", "ref_type", "ref_protected", "environment", "environment_protected"),
        *("event_name", "workflow", "workflow_ref", "job_workflow_ref", "run_id"),
        *("project_id", "project_path", "namespace_id", "namespace_path"),
        *("pipeline_source", "user_login", "actor"),
    }
)
_PHRASES = {
    "could not be found": "there is no such role: check RECONCILER_VAULT_ROLE",
    "missing role": "the mount has no default role: set RECONCILER_VAULT_ROLE",
    "invalid audience": "the identity token is for another audience than the role's "
    "bound_audiences: check RECONCILER_VAULT_AUDIENCE, or where the token is asked for",
    "invalid issuer": "the identity token is of another issuer than the mount's bound_issuer",
    "not yet valid": "the identity token is not valid yet: check the clocks",
    "verifying token signature": "no key that the mount trusts has signed the identity token",
}
_EXPIRED = "token is expired"
_NAMED = re.compile(r"[\"']([^\"']{1,100})[\"']")


def explained(
    errors: str, *, mount: str, claims: Mapping[str, Any] | None, shown: str, now_s: float
) -> str | None:
    """Return what a refusal means, or None for one that is not known.

    ``errors`` are Vault's in small letters, ``claims`` the token's, ``shown`` those of
    them that may be shown.
    """
    reason = _reason(errors, claims or {}, now_s)
    return (
        None if reason is None else f"Vault refuses the login at auth/{mount}: {reason} ({shown})"
    )


def _reason(errors: str, claims: Mapping[str, Any], now_s: float) -> str | None:
    for phrase, reason in _PHRASES.items():
        if phrase in errors:
            return reason
    if _EXPIRED in errors:
        end_s = claims.get("exp")
        ago_s = now_s - end_s if isinstance(end_s, int | float) else 0
        ago = f" {min(ago_s, 1e9):.0f} s ago" if ago_s >= 1 else ""
        return f"the identity token expired{ago}: get a new one"
    name = _claim(errors, claims)
    claim = "a claim of it" if name is None else f"its claim {name}"
    if "error converting claim" in errors:
        return f"{claim} is not of the type that the role's claim_mappings take, which is text"
    if "does not match any associated bound claim" in errors:
        return f"{claim} is not what the role's bound_claims ask for"
    if "not found in token" in errors or ("claim" in errors and "is missing" in errors):
        lacking = "a claim" if name is None else f"the claim {name}"
        return f"the identity token lacks {lacking}, which the role asks for"
    return None


def _claim(errors: str, claims: Mapping[str, Any]) -> str | None:
    names = {name.lower(): name for name in (*USUAL_CLAIMS, *claims)}
    found = _NAMED.search(errors)
    return names.get(found[1]) if found is not None else None
