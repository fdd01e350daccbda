"""What lies at the path of a secret: the fields that consumers read (contract)."""

from __future__ import annotations

from reconciler.model import (
    Credentials,
    Derived,
    SecretVersion,
    VersionState,
    iso,
)

OPERATION_ID = "operation_id"
TOKEN_ID = "token_id"  # noqa: S105  # the name of a field


def is_placeholder(content: SecretVersion) -> bool:
    """Whether it is a living version without fields: the trace of a fence."""
    return content.state is VersionState.LIVING and not content.fields and content.secret is None


def secret_fields(
    label: str, derived: Derived, *, api_url: str, operation_id: str
) -> tuple[tuple[str, str], ...]:
    """Return what consumers read beside the secret itself.

    All values are strings (contract).
    """
    return (
        ("token_id", derived.token_id),
        ("label", label),
        ("scopes", " ".join(derived.scopes)),
        ("created_at", iso(derived.created_at_ms)),
        ("profile_id", str(derived.profile_id)),
        ("account", derived.account),
        ("api_url", api_url),
        (OPERATION_ID, operation_id),
    )


def credentials_of(content: SecretVersion) -> Credentials | None:
    """Return the token id and secret that a version holds, or None."""
    token_id = content.field(TOKEN_ID)
    if token_id is None or content.secret is None:
        return None
    return Credentials(token_id=token_id, secret=content.secret)
