"""The versions of a path that hold a token's id, beside whatever secret.

A person may have written another secret beside the right id. So one that does not sign
is not the last word while an older version holds another one.
"""

from __future__ import annotations

from reconciler.model import Secret, SecretVersion, VersionState
from reconciler.protocol.effects import ReadSecret, Refused, Step, Unclear
from reconciler.state import TOKEN_ID

SECRETS_TRIED = 3
"""So many different secrets beside an id are tried; people rarely write more."""


def newest_holder(
    path: str, token_id: str, version: int | None = None
) -> Step[SecretVersion | Refused | Unclear | None]:
    """Return the newest readable version up to ``version`` that holds the pair."""
    content = yield from ReadSecret(path=path, version=version)
    while not isinstance(content, (Refused, Unclear)):
        if content.field(TOKEN_ID) == token_id and content.secret is not None:
            return content
        if content.state is VersionState.ABSENT or content.version <= 1:
            return None
        content = yield from ReadSecret(path=path, version=content.version - 1)
    return content


def other_holder(
    path: str, token_id: str, tried: tuple[Secret, ...]
) -> Step[SecretVersion | Refused | Unclear | None]:
    """Return the newest version that holds the id beside a secret not yet tried.

    None where there is none, and once enough were tried.
    """
    if len(tried) >= SECRETS_TRIED:
        return None
    content = yield from newest_holder(path, token_id)
    while isinstance(content, SecretVersion):
        secret = content.secret
        if secret is not None and not any(secret.same_as(one) for one in tried):
            return content
        if content.version <= 1:
            return None
        content = yield from newest_holder(path, token_id, content.version - 1)
    return content
