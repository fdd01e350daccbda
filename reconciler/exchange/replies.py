"""What the exchange answered: what became of a call, and whether to make it again.

Rules this module keeps:

1. What became of a call is read from its status, never from a text. A refusal means
   certainly not done; whatever proves neither success nor refusal is unclear.
2. An error is built from values: it has one sentence, and nothing of the reply.
"""

from __future__ import annotations

import dataclasses
import math
import re
from http import HTTPStatus

from reconciler.errors import (
    ExchangeBusyError,
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnauthorizedError,
    ExchangeUnclearError,
    ExchangeUnreachableError,
)
from reconciler.exchange.clock import http_date
from reconciler.exchange.pacing import PAUSE_MAX_S
from reconciler.exchange.wire import Failure
from reconciler.model import (
    SECOND_MS,
    Credentials,
    Secret,
    iso,
)
from reconciler.values import value

SKEW_WARN_MS = 5 * SECOND_MS
"""A difference of clocks that a person is told of; the exchange accepts 30 s."""

TRY_LATER = ": try again later"
CHECK_URL = "is LIMITLESS_API_URL right, or is a proxy in between?"

_SECONDS = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")
_LATER_S = 24 * 3600.0  # beyond it no date is named

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


@value
class Operation:
    """One of the four operations, as far as its outcome is judged by it.

    A redirect refuses a read: nothing was done, and nothing could be. For derive and
    revoke it is unclear, like everything else that the documentation does not name.
    """

    what: str  # after "to"
    invalid: str  # what a 400 means
    success: frozenset[int]
    refused: frozenset[int]
    doubt: str = TRY_LATER  # what to reckon with where the outcome is unclear
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
PROFILE = Operation(
    what="tell the profile",
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


@value
class Reply:
    """An answer. ``body`` is None where it was not to be read, or is too large."""

    status: int
    body: bytes | None = dataclasses.field(repr=False)
    is_html: bool
    retry_after_s: float | None
    signed_ahead_ms: float
    for_all: bool = False  # a 429 that is not about the credential


@value
class Closed:
    """Nothing was sent: of a pause that was asked for, ``rest_s`` seconds are left."""

    rest_s: float


Outcome = Reply | Closed | Failure
"""What became of one attempt."""


# --- another attempt ---


def retry_after_of(text: str | None, *, now_ms: int) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, or None where it asks nothing.

    A date counts by the exchange's clock; one in the past asks for no time at all.
    """
    seconds = (text or "").strip()
    if _SECONDS.fullmatch(seconds):
        return float(seconds)
    moment = http_date(seconds, any_year=True)
    return None if moment is None else max(0.0, moment.timestamp() - now_ms / SECOND_MS)


def is_busy(outcome: Outcome) -> bool:
    """Return whether an attempt was answered by a 429."""
    return isinstance(outcome, Reply) and outcome.status == HTTPStatus.TOO_MANY_REQUESTS


def pause_of(outcome: Outcome, backoff_s: float) -> float | None:
    """Return the seconds to wait before another attempt.

    None where another attempt makes no sense, or the exchange asks for more than a
    minute.
    """
    if isinstance(outcome, Closed):
        return None
    if isinstance(outcome, Failure):
        return backoff_s
    if outcome.status not in _RETRIED:
        return None
    pause_s = max(backoff_s, outcome.retry_after_s or 0.0)
    return pause_s if pause_s <= PAUSE_MAX_S else None


# --- what became of a call ---


def error_of(
    operation: Operation,
    outcome: Outcome,
    signer: Credentials | Secret,
    *,
    offset_ms: int,
    now_ms: int,
) -> ExchangeError:
    """Return the error that says what became of a call that did not succeed.

    ``offset_ms`` is how far the exchange's clock is ahead of this machine's, ``now_ms``
    what it shows.
    """
    if isinstance(outcome, Closed):
        return closed_error(outcome, now_ms=now_ms)
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
            f"{status}){_doubt(operation, outcome, now_ms)}{page}",
            status=status,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _busy_error(operation, outcome, now_ms=now_ms)
    if status == HTTPStatus.UNAUTHORIZED:
        return ExchangeUnauthorizedError(_unauthorized(signer, offset_ms) + page, status=status)
    return ExchangeRefusedError(
        f"the exchange refuses to {operation.what}: {_refusal(operation, status)}{page}",
        status=status,
    )


def closed_error(closed: Closed, *, now_ms: int) -> ExchangeBusyError:
    """Return the error of a call that was not sent, because of an earlier answer."""
    return ExchangeBusyError(
        f"the exchange asked to wait: {_until(closed.rest_s, now_ms)}; nothing was sent",
        wait_s=closed.rest_s,
    )


def _busy_error(operation: Operation, reply: Reply, *, now_ms: int) -> ExchangeBusyError:
    """Return the error of a 429, which blames the credential only where it is meant."""
    who = "from this machine or network" if reply.for_all else "with this credential"
    page = ", by a page of its edge" if reply.is_html else ""
    asked_s = reply.retry_after_s
    then = "wait a minute and try again" if asked_s is None else _until(asked_s, now_ms)
    return ExchangeBusyError(
        f"the exchange refuses to {operation.what}: too many requests {who} "
        f"(status {reply.status}{page}): {then}",
        status=reply.status,
        wait_s=asked_s,
    )


def _doubt(operation: Operation, reply: Reply, now_ms: int) -> str:
    """Return what to reckon with, and when to come back where the exchange says so."""
    asked_s = reply.retry_after_s
    if asked_s is None or asked_s <= PAUSE_MAX_S or reply.status not in _MAINTENANCE:
        return operation.doubt
    doubt = "" if operation.doubt == TRY_LATER else operation.doubt
    return f"{doubt}{';' if doubt else ':'} {_until(asked_s, now_ms)}"


def _until(rest_s: float, now_ms: int) -> str:
    if rest_s > _LATER_S:
        return "it asks for more than a day, so ask the exchange before you run again"
    at_ms = now_ms + math.ceil(rest_s) * SECOND_MS
    return f"run again after {iso(at_ms - at_ms % SECOND_MS).replace('.000Z', 'Z')}"


def _refusal(operation: Operation, status: int) -> str:
    match status:
        case HTTPStatus.FORBIDDEN:
            why = (
                "token management is switched off for the profile, a scope isn't allowed, "
                "or its edge blocks this client"
            )
        case HTTPStatus.NOT_FOUND:
            why = "there is no such address, check LIMITLESS_API_URL"
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
