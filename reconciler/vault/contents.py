"""What a reply of Vault's KV version 2 says of a secret.

A stored value is read as text whatever it is: people edit secrets by hand.
"""

from __future__ import annotations

import dataclasses
import email.utils
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from reconciler.model import (
    HOUR_MS,
    MINUTE_MS,
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
_COUNT_MAX = 2**53 - 1  # what JSON can surely carry
_LENGTH = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(h|ms|m|us|µs|ns|s)")
_UNITS_MS = {
    "h": HOUR_MS,
    "m": MINUTE_MS,
    "s": SECOND_MS,
    "ms": 1,
    "us": 1e-3,
    "µs": 1e-3,
    "ns": 1e-6,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class _Times(NamedTuple):
    """When a version was written, whether it is gone, and when it ends by itself."""

    created_at_ms: int | None
    gone: bool
    ends_at_ms: int | None


def meta_of(reply: Reply) -> SecretMeta | None:
    """Return the metadata in a reply, or None where it holds none."""
    return meta_in(reply.data if reply.status == HTTPStatus.OK else None, reply.date)


def meta_in(data: object, date: str | None) -> SecretMeta | None:
    """Return a path's metadata, or None for what is none.

    ``date`` is the server's own time, as the reply says it.
    """
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("versions"), dict)
        or not _is_number(data.get("current_version"))
    ):
        return None
    latest, versions = int(data["current_version"]), data["versions"]
    life_ms = length_ms(data.get("delete_version_after"))
    if latest == 0:  # metadata was written, a secret never
        return dataclasses.replace(NEVER_WRITTEN, life_ms=life_ms, kept=_kept(data, oldest=0))
    entry = versions.get(str(latest))
    if not isinstance(entry, dict) or not all(
        number.isdecimal() and len(number) <= _DIGITS_MAX for number in versions
    ):
        return None
    times = _times_of(entry, date)
    if times is None:
        return None
    # `oldest_version` is 0 until a version was trimmed away, so count them.
    oldest = min(map(int, versions))
    return SecretMeta(
        latest=latest,
        state=VersionState.DELETED if times.gone else VersionState.LIVING,
        oldest=oldest,
        created_at_ms=times.created_at_ms,
        ends_at_ms=times.ends_at_ms,
        life_ms=life_ms,
        kept=_kept(data, oldest=oldest),
        destroyed=entry.get("destroyed") is True,
    )


def _kept(data: Mapping[str, Any], *, oldest: int) -> int | None:
    """Return how many versions of a path Vault keeps, as far as its metadata show it.

    The path's own setting says so. Without one the mount's counts, which shows once a
    version was trimmed away: what is left is what is kept.
    """
    own = data.get("max_versions")
    if _is_number(own) and own:
        return min(int(own), _COUNT_MAX)
    return len(data["versions"]) if oldest > 1 else None


def _times_of(entry: Mapping[str, Any], date: str | None) -> _Times | None:
    """Return the times of a version; None if nothing tells whether it is gone.

    Where versions end by themselves (``delete_version_after``), a living one has a
    deletion time in the future. The server's clock counts. Its ``Date`` is cut to
    seconds, so one more is added: a deletion of just now would otherwise look like the
    future. Vault reckons such an end from the version's creation, to the nanosecond; by
    that one in the past is told from a deletion by hand.
    """
    created, end = str(entry.get("created_time")), str(entry.get("deletion_time"))
    created_at_ms = _instant_or_none(created)
    if end == "" or entry.get("destroyed") is True:
        return _Times(created_at_ms, entry.get("destroyed") is True, None)
    ends_at_ms = _instant_or_none(end)
    try:
        now_ms = round(email.utils.parsedate_to_datetime(str(date)).timestamp() * SECOND_MS)
    except (ValueError, OverflowError):  # OverflowError: a Date with a year of a dozen digits
        return None
    if ends_at_ms is None:
        return None
    gone = ends_at_ms < now_ms + SECOND_MS
    by_itself = not gone or _fraction(created) == _fraction(end)
    return _Times(created_at_ms, gone, ends_at_ms if by_itself else None)


def _instant_or_none(text: str) -> int | None:
    try:
        return instant_ms(text)
    except (ValueError, OverflowError):
        return None


def _fraction(text: str) -> str:
    """Return the digits after the second; Go writes none that end in zero."""
    return text.rstrip("Z").partition(".")[2]


def length_ms(text: object) -> int | None:
    """Return a length as Go writes it (``720h0m0s``); None for 0, and for none."""
    parts = _LENGTH.findall(text) if isinstance(text, str) else []
    ms = round(sum(float(number) * _UNITS_MS[unit] for number, unit in parts))
    return min(ms, _COUNT_MAX) or None


def version_of(reply: Reply) -> SecretVersion | None:
    """Return the version in a reply, or None where it holds none.

    A 200 holds a readable one, a 404 one that is gone.
    """
    if reply.data is None or reply.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        return None
    metadata, content = reply.data.get("metadata"), reply.data.get("data")
    if not isinstance(metadata, dict) or not _is_number(metadata.get("version")):
        return None
    number, times = int(metadata["version"]), _times_of(metadata, reply.date)
    created_at_ms = times.created_at_ms if times is not None else None
    ends_at_ms = times.ends_at_ms if times is not None else None
    if reply.status == HTTPStatus.NOT_FOUND:
        return SecretVersion(
            version=number,
            state=VersionState.DELETED,
            created_at_ms=created_at_ms,
            ends_at_ms=ends_at_ms,
        )
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
        fields=tuple(
            (name, Secret(text) if text == secret else text) for name, text in sorted(texts.items())
        ),
        secret=Secret(secret) if secret is not None else None,
        created_at_ms=created_at_ms,
        ends_at_ms=ends_at_ms,
    )


def written_of(reply: Reply) -> SecretMeta:
    """Return what the reply to a successful write says of the version that it made."""
    data = reply.data or {}
    times = _times_of(data, reply.date)
    return SecretMeta(
        latest=int(data["version"]),
        state=VersionState.LIVING,
        created_at_ms=times.created_at_ms if times is not None else None,
        ends_at_ms=times.ends_at_ms if times is not None else None,
    )


def stored_bytes(content: Mapping[str, str]) -> int:
    """Return the bytes of a content as Vault itself writes it in JSON.

    Go writes ``<``, ``>``, ``&`` and the line separators as six bytes each.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass")) + sum(
        5 * text.count(character) for character in "<>&\u2028\u2029"
    )
