"""What the exchange answered: documents read into values, and what became of a call.

Rules this module keeps:

1. What became of a call is read from its status, never from a text. A refusal means
   certainly not done; whatever proves neither success nor refusal is unclear.
2. A document is read whole or not at all; unknown keys and scopes are no fault.
3. An error is built from values: it has one sentence, and nothing of the reply.
"""

from __future__ import annotations

import dataclasses
import json
import re
from http import HTTPStatus
from typing import Any

from reconciler.errors import (
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnauthorizedError,
    ExchangeUnclearError,
    ExchangeUnreachableError,
)
from reconciler.exchange.clock import http_date
from reconciler.exchange.wire import Failure, is_header_text, key_of
from reconciler.model import (
    SECOND_MS,
    Capabilities,
    Credentials,
    Derived,
    LiveToken,
    Secret,
    instant_ms,
    scope_set,
)
from reconciler.net import caught

SKEW_WARN_MS = 5 * SECOND_MS
"""A difference of clocks that a person is told of; the exchange accepts 30 s."""

MAX_TOKENS = 10_000
RETRY_AFTER_MAX_S = 60.0
CHECK_URL = "is LIMITLESS_API_URL right, or is a proxy in between?"

_PROFILES = range(2**63)
_SECONDS = re.compile(r"[0-9]{1,9}")

_RETRIED = frozenset(
    {
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_REFUSED = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_REDIRECTS = frozenset(range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST))
_MAINTENANCE = frozenset({HTTPStatus.TOO_EARLY, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One of the four operations, as far as its outcome is judged by it.

    A redirect refuses a read: nothing was done, and nothing could be. For derive and
    revoke it is unclear, like everything else that the documentation does not name.
    """

    what: str  # after "to"
    invalid: str  # what a 400 means
    success: frozenset[int]
    refused: frozenset[int]
    doubt: str = ": try again later"  # what to reckon with where the outcome is unclear
    reads_body: bool = True


_OK = frozenset({HTTPStatus.OK})  # a 206 would be a part of the list
CAPABILITIES = Operation(
    what="read the capabilities",
    invalid="the profile isn't known",
    success=_OK,
    refused=_REFUSED | _REDIRECTS,
)
DERIVE = Operation(
    what="derive a token",
    invalid="the scopes or the label aren't valid, or the profile isn't known",
    success=frozenset({HTTPStatus.CREATED, HTTPStatus.OK}),
    refused=_REFUSED,
    doubt="; the token may exist all the same, so look at the list before another one",
)
LIST = Operation(
    what="list the tokens",
    invalid="the request isn't valid",
    success=_OK,
    refused=_REFUSED | _REDIRECTS,
)
REVOKE = Operation(
    what="revoke a token",
    invalid="the token is unknown or already revoked",
    success=frozenset(range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)),
    refused=_REFUSED,
    doubt="; it may be revoked all the same, so look at the list",
    reads_body=False,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. ``body`` is None where it was not to be read, or is too large."""

    status: int
    body: bytes | None = dataclasses.field(repr=False)
    is_html: bool
    retry_after_s: float | None
    signed_ahead_ms: float


# --- documents ---


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


def listing_of(document: Any) -> tuple[LiveToken, ...] | None:
    """Return the list, if every entry can be read and no id comes twice; else None."""
    if not isinstance(document, list) or len(document) > MAX_TOKENS:
        return None
    tokens = [token for token in map(_live_token, document) if token is not None]
    if len(tokens) != len(document) or len({token.token_id for token in tokens}) != len(tokens):
        return None
    return tuple(tokens)


def _live_token(entry: Any) -> LiveToken | None:
    """Return an entry of the list, or None where it can't be read.

    Missing scopes make it unreadable: taken for none, they would look like a change.
    """
    match entry:
        case {"tokenId": str(token_id), "createdAt": str(created_at), "scopes": list(granted)} if (
            token_id
        ):
            label, used_at = entry.get("label"), entry.get("lastUsedAt")
            created_at_ms, scopes = _instant_ms(created_at), _scopes(granted)
            used_at_ms = _instant_ms(used_at) if isinstance(used_at, str) else None
            if created_at_ms is None or scopes is None or not isinstance(label, str | None):
                return None
            if (used_at is not None and used_at_ms is None) or _printable(token_id) != token_id:
                return None
            return LiveToken(
                token_id=token_id,
                label=None if label is None else _printable(label),
                scopes=scopes,
                created_at_ms=created_at_ms,
                last_used_at_ms=used_at_ms,
            )
    return None


def _scopes(names: list[Any]) -> tuple[str, ...] | None:
    return (
        scope_set(map(_printable, names)) if all(isinstance(name, str) for name in names) else None
    )


def _printable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which no output can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _instant_ms(text: str) -> int | None:
    instant = caught(lambda: instant_ms(text), ValueError, OverflowError)
    return instant if isinstance(instant, int) else None


# --- another attempt ---


def retry_after_of(text: str | None, *, now_ms: int) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, or None where it asks nothing.

    A date counts by the exchange's clock.
    """
    seconds = (text or "").strip()
    if _SECONDS.fullmatch(seconds):
        return float(seconds)
    moment = http_date(text)
    return None if moment is None else max(0.0, moment.timestamp() - now_ms / SECOND_MS)


def pause_of(outcome: Reply | Failure, backoff_s: float) -> float | None:
    """Return the seconds to wait before another attempt.

    None where another attempt makes no sense, or the exchange asks for more than a
    minute.
    """
    if isinstance(outcome, Failure):
        return backoff_s
    if outcome.status not in _RETRIED:
        return None
    pause_s = max(backoff_s, outcome.retry_after_s or 0.0)
    return pause_s if pause_s <= RETRY_AFTER_MAX_S else None


# --- what became of a call ---


def error_of(
    operation: Operation,
    outcome: Reply | Failure,
    signer: Credentials | Secret,
    *,
    offset_ms: int,
) -> ExchangeError:
    """Return the error that says what became of a call that did not succeed.

    ``offset_ms`` is how far the exchange's clock is ahead of this machine's.
    """
    if isinstance(outcome, Failure):
        if outcome.may_have_left:
            return ExchangeUnclearError(
                f"asked to {operation.what}, {outcome.why}{operation.doubt}"
            )
        return ExchangeUnreachableError(f"{outcome.why}; nothing was sent")
    status = outcome.status
    page = f"; it answered with an HTML page: {CHECK_URL}" if outcome.is_html else ""
    if status not in operation.refused:
        why = "is in maintenance" if status in _MAINTENANCE else "gave no clear answer"
        return ExchangeUnclearError(
            f"asked to {operation.what}, the exchange {why} (status "
            f"{status}){operation.doubt}{page}",
            status=status,
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return ExchangeUnauthorizedError(_unauthorized(signer, offset_ms) + page, status=status)
    return ExchangeRefusedError(
        f"the exchange refuses to {operation.what}: {_refusal(operation, status)}{page}",
        status=status,
    )


def _refusal(operation: Operation, status: int) -> str:
    match status:
        case HTTPStatus.FORBIDDEN:
            why = (
                "token management is switched off for the profile, a scope isn't allowed, "
                "or its edge blocks this client"
            )
        case HTTPStatus.NOT_FOUND:
            why = "there is no such address, check LIMITLESS_API_URL"
        case HTTPStatus.TOO_MANY_REQUESTS:
            why = "too many requests with this credential, wait a minute and try again"
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            why = operation.invalid
        case _:
            why = "it points to another address, check LIMITLESS_API_URL"
    return f"{why} (status {status})"


def _unauthorized(signer: Credentials | Secret, offset_ms: int) -> str:
    if isinstance(signer, Secret):
        return "the exchange refused the identity token: it may have expired, get a new one"
    sentence = (
        f"the exchange refused the signature of token {signer.token_id}: "
        "it may be revoked, or the secret is another's"
    )
    if abs(offset_ms) < SKEW_WARN_MS:
        return sentence
    side = "behind" if offset_ms > 0 else "ahead of"
    return (
        f"{sentence}; this machine's clock is {abs(offset_ms) // SECOND_MS} s {side} "
        "the exchange's, set it right"
    )
