"""What a reply of Vault's KV version 2 says of a secret.

A stored value is read as text whatever it is: people edit secrets by hand.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from reconciler.model import (
    NEVER_WRITTEN,
    SECOND_MS,
    Secret,
    SecretMeta,
    SecretVersion,
    VersionState,
    instant_ms,
)
from reconciler.vault.http import Reply

SECRET_FIELD = "secret"  # noqa: S105  # the name of the field that travels as a Secret
_DIGITS_MAX = 19  # of a version: Vault counts in 63 bits


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def meta_of(reply: Reply) -> SecretMeta | None:
    """Return the metadata in a reply, or None where it holds none."""
    data = reply.data if reply.status == HTTPStatus.OK else None
    if (
        data is None
        or not isinstance(data.get("versions"), dict)
        or not _is_number(data.get("current_version"))
    ):
        return None
    latest, versions = int(data["current_version"]), data["versions"]
    if latest == 0:  # metadata was written, a secret never
        return NEVER_WRITTEN
    entry = versions.get(str(latest))
    if not isinstance(entry, dict) or not all(
        number.isdecimal() and len(number) <= _DIGITS_MAX for number in versions
    ):
        return None
    gone = _is_gone(entry, reply.date)
    if gone is None:
        return None
    # `oldest_version` is 0 until a version was trimmed away, so count them.
    oldest = min(map(int, versions))
    return SecretMeta(
        latest=latest, state=VersionState.DELETED if gone else VersionState.LIVING, oldest=oldest
    )


def _is_gone(entry: Mapping[str, Any], date: str | None) -> bool | None:
    """Return whether a version is deleted or destroyed; None if nothing tells.

    Where versions expire (``delete_version_after``), a living one has a deletion time
    in the future. The server's clock counts. Its ``Date`` is cut to seconds, so one
    more is added: a deletion of just now would otherwise look like the future.
    """
    if entry.get("destroyed") is True:
        return True
    deletion_time = entry.get("deletion_time")
    if deletion_time == "":
        return False
    try:
        now_ms = round(email.utils.parsedate_to_datetime(str(date)).timestamp() * SECOND_MS)
        return instant_ms(str(deletion_time)) < now_ms + SECOND_MS
    except (ValueError, OverflowError):  # OverflowError: a Date with a year of a dozen digits
        return None


def version_of(reply: Reply) -> SecretVersion | None:
    """Return the version in a reply, or None where it holds none.

    A 200 holds a readable one, a 404 one that is gone.
    """
    if reply.data is None or reply.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        return None
    metadata, content = reply.data.get("metadata"), reply.data.get("data")
    if not isinstance(metadata, dict) or not _is_number(metadata.get("version")):
        return None
    number = int(metadata["version"])
    if reply.status == HTTPStatus.NOT_FOUND:
        return SecretVersion(version=number, state=VersionState.DELETED)
    if content is None:  # Vault stores `null` as happily as `{}`
        content = {}
    if not isinstance(content, dict):
        return None
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in content.items()
    }
    secret = texts.pop(SECRET_FIELD, None)
    return SecretVersion(
        version=number,
        state=VersionState.LIVING,
        fields=tuple(sorted(texts.items())),
        secret=Secret(secret) if secret is not None else None,
    )


def stored_bytes(content: Mapping[str, str]) -> int:
    """Return the bytes of a content as Vault itself writes it in JSON.

    Go writes ``<``, ``>``, ``&`` and the line separators as six bytes each.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass")) + sum(
        5 * text.count(character) for character in "<>&\u2028\u2029"
    )
