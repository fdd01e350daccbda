"""What lies at a secret's path: the fields that consumers read (contract), and how to tell our documents apart."""

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
    """A living version without fields: the trace of a fence."""
    return content.state is VersionState.LIVING and not content.fields and content.secret is None


def secret_fields(
    label: str, derived: Derived, *, api_url: str, operation_id: str
) -> tuple[tuple[str, str], ...]:
    """What consumers read beside the secret itself (contract: all values are strings)."""
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
    """The pair that a secret holds, if it holds one."""
    token_id = content.field(TOKEN_ID)
    if token_id is None or content.secret is None:
        return None
    return Credentials(token_id=token_id, secret=content.secret)
