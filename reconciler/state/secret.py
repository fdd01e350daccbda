"""What lies at the path of a secret: the fields that consumers read (contract).

Others may write fields of their own beside ours. What becomes of those:

    what we do                              their fields
    --------------------------------------  ------------------------------------------
    rotate, rollback, write the secret      written again with ours
    again with other further names
    restore                                 those of the version that is written again,
                                            and those beside our secret in the latest
    rotate into another path                those at the old path are taken along
    give a value a further name that they   ours takes the place of theirs
    have
    revoke a token and delete its secret    they go with it
    rotate into a path where a predecessor  those there are kept, but for whatever
    of the label lies                       copies the predecessor's id or secret
    write over what is not the label's own  the row says so (``written_over``)

A plan names them. The ledger remembers the names for the version that it knows
(``Entry.others``), so a plan of thousand labels reads no secret for them; at any other
version the content was looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model import (
    Credentials,
    Derived,
    Secret,
    SecretVersion,
    VersionState,
    iso,
)
from reconciler.state.ledger import Entry

OPERATION_ID = "operation_id"
TOKEN_ID = "token_id"  # noqa: S105  # the name of a field


SECRET = "secret"  # noqa: S105  # the same

OUR_FIELDS = frozenset(
    {TOKEN_ID, SECRET, "label", "scopes", "created_at", "profile_id", "account", "api_url"}
    | {OPERATION_ID}
)


def is_placeholder(content: SecretVersion) -> bool:
    """Whether it is a living version without fields: the trace of a fence."""
    return content.state is VersionState.LIVING and not content.fields and content.secret is None


Fields = tuple[tuple[str, str | Secret], ...]
"""Names of fields and their values, without the field ``secret`` itself."""


OTHERS_NAMED = 8
OTHERS_NAME_LENGTH = 40
OTHERS_LENGTH = 120
"""So many names of others' fields are remembered for a label, with so many
characters at most in one, and in all of them.

With that the ledger of the largest fleet still fits into one entry of Vault.
"""


def others_of(content: SecretVersion, entry: Entry) -> Fields:
    """Return what others wrote beside our fields, where the secret is the label's own.

    Every write keeps it. A value that was no text comes back as its JSON text. Further
    names that we wrote are ours. Which those were is remembered for the current secret
    only: beside another one, whatever copies its token's id or secret is left out. It
    would outlive that token beside the new secret.
    """
    token_id = content.field(TOKEN_ID)
    if content.state is not VersionState.LIVING or token_id not in own_ids(entry):
        return ()
    if entry.current is None or entry.current.token_id != token_id:
        older = own_fields(content, entry)
        return tuple((name, value) for name, value in older if name not in OUR_FIELDS)
    ours = OUR_FIELDS | names_of(entry.fields)
    return tuple((name, value) for name, value in content.fields or () if name not in ours)


def own_ids(entry: Entry) -> frozenset[str]:
    """Return the ids whose secret at a label's path is the label's own."""
    current = () if entry.current is None else (entry.current.token_id,)
    older = (row.token_id for row in entry.retiring)
    return frozenset((*current, *older, *(kept.token_id for kept in entry.reserve)))


def named_others(fields: Fields, further: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of those fields that are not ours, sorted, as they are told.

    At the end of a long name ``…`` stands for the rest of it; as the last name, for all
    those that find no place.
    """
    names = sorted({name for name, _ in fields} - OUR_FIELDS - names_of(further))
    told: list[str] = []
    for name in names:
        shown = name if len(name) <= OTHERS_NAME_LENGTH else name[: OTHERS_NAME_LENGTH - 1] + "…"
        if len(told) == OTHERS_NAMED or sum(map(len, told)) + len(shown) > OTHERS_LENGTH:
            return (*told, "…")
        told.append(shown)
    return tuple(told)


def kept_beside(names: Iterable[str]) -> str:
    """Say which fields of others a write kept."""
    told = ", ".join(names)
    return f", kept beside it: {told}" if told else ""


def names_of(further: Iterable[str]) -> frozenset[str]:
    """Return the names of further fields, each of which is ``NAME=source``."""
    return frozenset(text.partition("=")[0] for text in further)


def with_further(fields: Fields, secret: Secret, further: Iterable[str]) -> Fields:
    """Return the fields, and each further name with the value of its source.

    A name that was there has its source's value now.
    """
    found = dict(fields)
    for text in further:
        name, _, source = text.partition("=")
        found[name] = secret if source == SECRET else found.get(source, "")
    return tuple(found.items())


def carried(content: SecretVersion, further: Iterable[str]) -> tuple[str, ...]:
    """Return those of the further names that a version carries with the right value."""
    found = dict(content.fields or ())

    def is_right(text: str) -> bool:
        name, _, source = text.partition("=")
        value = found.get(name)
        if isinstance(value, Secret):  # only what is the same as the secret is read as one
            return source == SECRET
        return value is not None and value == found.get(source)

    return tuple(text for text in further if is_right(text))


def own_fields(content: SecretVersion, entry: Entry) -> Fields:
    """Return what a version holds, to be written again with further names of its own.

    Left out are the operation id, and each other name of ours: those that the entry
    remembers, and in an older version whatever copies its token's id or secret.
    """
    ours = names_of(entry.fields)
    token_id = content.field(TOKEN_ID)
    return tuple(
        (name, value)
        for name, value in content.fields or ()
        if name in OUR_FIELDS - {OPERATION_ID}
        or not (name in OUR_FIELDS | ours or isinstance(value, Secret) or value == token_id)
    )


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
