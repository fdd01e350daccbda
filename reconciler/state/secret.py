"""What lies at the path of a secret: the fields that consumers read (contract)."""

from __future__ import annotations

from reconciler.model import (
    Credentials,
    Derived,
    SecretVersion,
    VersionState,
    iso,
)
from reconciler.state.ledger import Entry

OPERATION_ID = "operation_id"
TOKEN_ID = "token_id"  # noqa: S105  # the name of a field


OUR_FIELDS = frozenset(
    {TOKEN_ID, "secret", "label", "scopes", "created_at", "profile_id", "account", "api_url"}
    | {OPERATION_ID}
)


def is_placeholder(content: SecretVersion) -> bool:
    """Whether it is a living version without fields: the trace of a fence."""
    return content.state is VersionState.LIVING and not content.fields and content.secret is None


Fields = tuple[tuple[str, str], ...]
"""Names and texts of fields, without the secret."""


def others_of(content: SecretVersion, entry: Entry) -> Fields:
    """Return what others wrote beside our fields, where the secret is the label's own.

    Every write keeps it. A value that was no text comes back as its JSON text.
    """
    own = {old.token_id for old in entry.retiring}
    own |= {entry.current.token_id} if entry.current is not None else set()
    if content.state is not VersionState.LIVING or content.field(TOKEN_ID) not in own:
        return ()
    return tuple((name, text) for name, text in content.fields or () if name not in OUR_FIELDS)


def kept_beside(others: Fields) -> str:
    """Say which fields of others a write kept."""
    return f", kept beside it: {', '.join(name for name, _ in others)}" if others else ""


def secret_fields(
    label: str, derived: Derived, *, api_url: str, operation_id: str, others: Fields = ()
) -> Fields:
    """Return what consumers read beside the secret itself.

    All values are strings (contract). ``others`` are fields of others, to be kept.
    """
    return (
        *others,
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
