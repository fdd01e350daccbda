"""The bodies of the exchange's replies, read into values.

    the list                                     then
    -------------------------------------------  ---------------------------------------
    is none, or is too long                      it can't be read at all
    has an entry that can't be read              the entry is named; all others are read
    has an id twice                              neither entry can be read

Rules this module keeps:

1. A document is read whole or not at all, save the list, of which an entry may be
   somebody else's. Unknown keys and scopes are no fault.
2. What is told of an entry that can't be read is its place, its id, and what is wrong;
   never a value that is not text.
"""

from __future__ import annotations

import collections
import functools
import json
from typing import Any

from reconciler.exchange.wire import is_header_text, key_of
from reconciler.model import (
    Capabilities,
    Derived,
    LiveToken,
    Secret,
    TokenList,
    Unreadable,
    instant_ms,
    scope_set,
)
from reconciler.net import caught

MAX_TOKENS = 100_000

_PROFILES = range(2**63)


def document_of(body: bytes | None) -> Any:
    """Return the JSON document of a body, or None where there is none.

    ``null`` is None too, as it is none of the expected documents.
    """
    document = caught(lambda: json.loads(body or b""), ValueError, RecursionError)
    return None if isinstance(document, Exception) else document


def capabilities_of(document: Any) -> Capabilities | None:
    """Return the capabilities in a document, or None where it holds none."""
    match document:
        case {
            "partnerProfileId": int(profile_id),
            "tokenManagementEnabled": bool(enabled),
            "allowedScopes": list(allowed),
        }:
            scopes = _scopes(allowed)
            if scopes is not None and not isinstance(profile_id, bool) and profile_id in _PROFILES:
                return Capabilities(
                    profile_id=profile_id, management_enabled=enabled, allowed_scopes=scopes
                )
    return None


def derived_of(document: Any) -> Derived | None:
    """Return the new token in a document, or None where it can't be read.

    ``apiKey`` repeats ``tokenId``. Where the two differ, nobody knows which one signs.
    """
    match document:
        case {
            "tokenId": str(token_id),
            "secret": str(secret),
            "createdAt": str(created_at),
            "scopes": list(granted),
            "profile": {"id": int(profile_id), **profile},
        } if (
            is_header_text(token_id)
            and document.get("apiKey") in (None, token_id)
            and key_of(secret)
        ):
            created_at_ms, scopes, account = (
                _instant_ms(created_at),
                _scopes(granted),
                profile.get("account") or "",
            )
            if (
                created_at_ms is None
                or scopes is None
                or not isinstance(account, str)
                or isinstance(profile_id, bool)
            ):
                return None
            return Derived(
                token_id=token_id,
                secret=Secret(secret),
                scopes=scopes,
                created_at_ms=created_at_ms,
                profile_id=profile_id,
                account=_printable(account),
            )
    return None


def profile_of(document: Any) -> int | None:
    """Return the id in a profile's document, or None where it holds none."""
    match document:
        case {"id": int(profile_id)} if not isinstance(profile_id, bool):
            return profile_id if profile_id in _PROFILES else None
    return None


def listing_of(document: Any) -> TokenList | None:
    """Return the list, with the entries that can't be read; None where it is none."""
    if not isinstance(document, list) or len(document) > MAX_TOKENS:
        return None
    ids = [_text_of(entry, "tokenId") for entry in document]
    times = collections.Counter(ids)
    tokens, unreadable = [], []
    for position, (entry, token_id) in enumerate(zip(document, ids, strict=True), start=1):
        found = _live_token(entry)
        if isinstance(found, LiveToken) and times[token_id] > 1:
            found = "its id stands there twice"
        if isinstance(found, LiveToken):
            tokens.append(found)
            continue
        label = _text_of(entry, "label")
        unreadable.append(
            Unreadable(
                position=position,
                token_id=token_id if token_id and _printable(token_id) == token_id else None,
                label=None if label is None else _printable(label),
                why=found,
            )
        )
    return TokenList(tokens=tuple(tokens), unreadable=tuple(unreadable))


def _text_of(entry: Any, key: str) -> str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, str) and value else None


def _live_token(entry: Any) -> LiveToken | str:
    """Return an entry of the list, or why it can't be read.

    Missing scopes make it unreadable: taken for none, they would look like a change.
    """
    if not isinstance(entry, dict):
        return "it is no object"
    token_id, label = entry.get("tokenId"), entry.get("label")
    created_at, used_at = entry.get("createdAt"), entry.get("lastUsedAt")
    if not isinstance(token_id, str) or not token_id or _printable(token_id) != token_id:
        return "its tokenId is no text"
    if not isinstance(label, str | None):
        return "its label is no text"
    granted = entry.get("scopes")
    scopes = _scopes(granted) if isinstance(granted, list) else None
    if scopes is None:
        return "its scopes are no list of names"
    created_at_ms = _instant_ms(created_at) if isinstance(created_at, str) else None
    if created_at_ms is None:
        return "its createdAt is no instant"
    used_at_ms = _instant_ms(used_at) if isinstance(used_at, str) else None
    if used_at is not None and used_at_ms is None:
        return "its lastUsedAt is no instant"
    return LiveToken(
        token_id=token_id,
        label=None if label is None else _printable(label),
        scopes=scopes,
        created_at_ms=created_at_ms,
        last_used_at_ms=used_at_ms,
    )


def _scopes(names: list[Any]) -> tuple[str, ...] | None:
    return _scope_set(tuple(names)) if all(isinstance(name, str) for name in names) else None


@functools.lru_cache(maxsize=256)
def _scope_set(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return scopes in order: thousands of tokens have the same few."""
    return scope_set(map(_printable, names))


def _printable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which no output can hold."""
    if text.isascii():  # most texts are, and a profile's list has tens of thousands
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _instant_ms(text: str) -> int | None:
    instant = caught(lambda: instant_ms(text), ValueError, OverflowError)
    return instant if isinstance(instant, int) else None
