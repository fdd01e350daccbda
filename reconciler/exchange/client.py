"""The client of the exchange's token API: read the capabilities, derive, list, revoke.

The only room that speaks to the exchange, and usable by itself. It mirrors the
``ApiTokenService`` of the official SDKs; paths, headers, limits and the shapes of
replies come from the exchange's documentation, its OpenAPI description and those SDKs.

Rules this module keeps:

1. A derive is sent at most once; reads and revokes are repeated a few times.
2. Every attempt is signed anew, with the exchange's time. After a 401, which did
   nothing, another time is tried where there is one (``clock`` has the table). A read
   is asked again while its replies leave the time in doubt.
3. Errors are built from values and raised outside every ``except``: an exception of
   httpx holds the request with its headers, one of json holds the body, and neither may
   hang on ours as its context.
4. Everything is bounded: attempts, pauses, the time of a request, the size of a reply,
   the number of tokens, requests in flight.

All methods may be used from several threads at once, ``close`` excepted.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from reconciler.errors import ExchangeRefusedError, ExchangeUnclearError, UsageError
from reconciler.exchange import replies
from reconciler.exchange.clock import OTHER_TIMES, ExchangeClock, Seconds, steady_seconds
from reconciler.exchange.pacing import Lane, Sleep, Turn
from reconciler.exchange.replies import CHECK_URL, Operation, Reply
from reconciler.exchange.wire import (
    Failure,
    Wire,
    checked_identity,
    credential_of,
    headers_of,
    is_header_text,
    segment_of,
)
from reconciler.model import Capabilities, Credentials, Derived, LiveToken, Secret, scope_set
from reconciler.net import bounded, repeated

DEFAULT_API_URL = "https://api.limitless.exchange"

MAX_REPLY_BYTES = 16 * 1024 * 1024
RETRY_TOTAL_S = 90.0
BACKOFF_S = (0.5, 1.0)  # before the second and the third attempt of a read or a revoke
SETTLE_TRIES = 3  # how often a read is asked again while the time is in doubt

_TOKENS_PATH = "/auth/api-tokens"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request before it is signed, by an HMAC pair or with the identity token."""

    operation: Operation
    method: str
    path: str
    signer: Credentials | Secret
    body: bytes | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the clients of one ``signed_by`` family have in common."""

    wire: Wire
    clock: ExchangeClock
    monotonic: Seconds
    sleep: Sleep
    lanes: dict[str, Lane] = dataclasses.field(default_factory=dict)

    def lane(self, signer: Credentials | Secret) -> Lane:
        """Return the lane of a credential, which all clients of the family share."""
        return self.lanes.setdefault(credential_of(signer), Lane(self.monotonic, self.sleep))


class TokenClient:
    """The exchange's token API, at a base URL that is https, or http on loopback.

    ``timeout_s`` bounds connecting, each write and each read. A request as a whole ends
    after three times that; the resolving of the name is bounded by the system.

    Proxies and certificates come from the environment as usual (``HTTPS_PROXY``,
    ``NO_PROXY``, ``SSL_CERT_FILE``), so that the client works in a company's network. A
    loopback address never goes through a proxy, which would get the credentials in the
    clear.

    Reads and revokes are repeated, up to three attempts, after 425, 429, 502, 503, 504
    and broken connections. ``Retry-After`` up to a minute is honoured, and delays
    everything that the same credential does next.

    UsageError for settings that can't be used. All calls raise ExchangeRefusedError
    (certainly not done; ExchangeUnauthorizedError for a 401, ExchangeUnreachableError
    where no connection was opened) or ExchangeUnclearError.
    """

    def __init__(  # noqa: PLR0913  # keyword-only settings with defaults
        self,
        base_url: str = DEFAULT_API_URL,
        *,
        credentials: Credentials | None = None,
        timeout_s: float = 10.0,
        wall: Seconds = time.time,
        monotonic: Seconds = steady_seconds,
        sleep: Sleep = time.sleep,
    ) -> None:
        if not 0 < timeout_s < math.inf:
            raise UsageError(
                "the timeout of the exchange's client must be a positive number of seconds"
            )
        self._credentials = credentials
        self._shared = _Shared(
            wire=Wire(base_url, timeout_s=timeout_s, monotonic=monotonic),
            clock=ExchangeClock(wall, monotonic),
            monotonic=monotonic,
            sleep=sleep,
        )

    def signed_by(self, credentials: Credentials) -> TokenClient:
        """Return this client (connections, limits, measured clock) with another signer.

        Closing the new client closes nothing: closing this one does.
        """
        return _Sibling(credentials, self._shared)

    @property
    def base_url(self) -> str:
        """The exchange's address in its canonical form: without a slash at the end."""
        return self._shared.wire.base_url

    def clock(self) -> ExchangeClock:
        """Return the exchange's clock as measured so far."""
        return self._shared.clock

    def close(self) -> None:
        """Close all connections; no call may follow."""
        self._shared.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get_capabilities(self, identity_token: Secret | str) -> Capabilities:
        """Return what the exchange lets this profile do."""
        reply = self._perform(
            _Call(
                operation=replies.CAPABILITIES,
                method="GET",
                path=f"{_TOKENS_PATH}/capabilities",
                signer=checked_identity(identity_token),
            )
        )
        capabilities = replies.capabilities_of(replies.document_of(reply.body))
        if capabilities is None:
            raise ExchangeUnclearError(
                f"the exchange's capabilities can't be read: {CHECK_URL}", status=reply.status
            )
        return capabilities

    def wait_turn_to_derive(self, identity_token: Secret | str) -> Turn:
        """Block until the identity's next request may start, and return its turn.

        The turn is for one ``derive_token``: a caller can write down its intent between
        the two, and still post at once. The turn must be used or released; until then
        it occupies one of the identity's two places. ExchangeRefusedError for a text
        that can't be an identity token.
        """
        return self._shared.lane(checked_identity(identity_token)).wait()

    def derive_token(
        self,
        identity_token: Secret | str,
        *,
        label: str | None = None,
        scopes: Iterable[str] | None = None,
        turn: Turn | None = None,
    ) -> Derived:
        """Make a token, and return it with its secret, which is shown only now.

        Sent once, never repeated. Without scopes (None or empty) the exchange gives
        ``trading``. Refused: 400, 401, 403, 404, 422, 429, or no connection. Unclear:
        everything else, including a success that can't be read or has a secret that is
        not base64.
        """
        asked: dict[str, Any] = {}
        if label:
            asked["label"] = label
        if wanted := scope_set(scopes or ()):
            asked["scopes"] = list(wanted)
        call = _Call(
            operation=replies.DERIVE,
            method="POST",
            path=f"{_TOKENS_PATH}/derive",
            signer=checked_identity(identity_token),
            body=json.dumps(asked, separators=(",", ":")).encode("ascii"),
        )
        reply = self._succeeded(call, self._attempt(call, turn))
        derived = replies.derived_of(replies.document_of(reply.body))
        if derived is None:
            raise ExchangeUnclearError(
                f"the exchange's answer to a derive can't be read{call.operation.doubt}",
                status=reply.status,
            )
        return derived

    def list_tokens(self) -> tuple[LiveToken, ...]:
        """Return all live tokens of the profile, in the exchange's order.

        The list is whole or an error; it may be empty.
        """
        call = _Call(operation=replies.LIST, method="GET", path=_TOKENS_PATH, signer=self._signer())
        reply = self._perform(call)
        tokens = replies.listing_of(replies.document_of(reply.body))
        if tokens is None:
            raise ExchangeUnclearError(
                f"the exchange's token list can't be read: {CHECK_URL}", status=reply.status
            )
        return tokens

    def revoke_token(self, token_id: str) -> None:
        """End a token, at once and for good.

        A refusal with ``status`` 400 means unknown or already revoked. An earlier
        attempt of this very call may have done it, and its reply was lost: the caller
        looks at the list.
        """
        signer = self._signer()
        self._perform(
            _Call(
                operation=replies.REVOKE,
                method="DELETE",
                path=f"{_TOKENS_PATH}/{segment_of(token_id)}",
                signer=signer,
            )
        )

    def _signer(self) -> Credentials:
        if self._credentials is None:
            raise UsageError(
                "list and revoke are signed with a token: give the client HMAC credentials"
            )
        if not is_header_text(self._credentials.token_id):
            raise ExchangeRefusedError(
                "the signing token's id can't be one: it has spaces or characters outside of ASCII"
            )
        return self._credentials

    def _perform(self, call: _Call) -> Reply:
        """Send a read or a revoke, again where that may help.

        Of several answers to a read the last counts.
        """
        reply = self._succeeded(call, self._repeated(call))
        for _ in range(SETTLE_TRIES):
            if not (call.operation.reads_body and self._shared.clock.is_in_doubt):
                break
            again = self._attempt_in_time(call)
            if not _is_success(call, again):
                break
            reply = self._succeeded(call, again)
        return reply

    def _repeated(self, call: _Call) -> Reply | Failure:
        give_up_at_s = self._shared.monotonic() + RETRY_TOTAL_S

        def pause_s(outcome: Reply | Failure, backoff_s: float) -> float | None:
            wait_s = replies.pause_of(outcome, backoff_s)
            in_time = wait_s is not None and self._shared.monotonic() + wait_s <= give_up_at_s
            return wait_s if in_time else None

        return repeated(
            lambda: self._attempt_in_time(call),
            pause_s,
            backoff_s=BACKOFF_S,
            sleep=self._shared.sleep,
        )

    def _succeeded(self, call: _Call, outcome: Reply | Failure) -> Reply:
        if isinstance(outcome, Reply) and _is_success(call, outcome):
            return outcome
        offset_ms = self._shared.clock.offset_ms
        raise replies.error_of(call.operation, outcome, call.signer, offset_ms=offset_ms)

    def _attempt_in_time(self, call: _Call) -> Reply | Failure:
        """Attempt once, and again where another time may be the exchange's."""
        clock = self._shared.clock
        outcome = self._attempt(call)
        if not isinstance(call.signer, Credentials):
            return outcome
        refused_ms: list[float] = []
        for _ in range(OTHER_TIMES):
            if not (isinstance(outcome, Reply) and outcome.status == HTTPStatus.UNAUTHORIZED):
                break
            refused_ms.append(outcome.signed_ahead_ms)
            other_ms = clock.ahead_instead(refused_ms)
            if other_ms is None:
                break
            outcome = self._attempt(call, ahead_ms=other_ms)
        if isinstance(outcome, Reply) and _is_signed_list(call, outcome):
            clock.accepted(outcome.signed_ahead_ms, refused_ms=refused_ms)
        return outcome

    def _attempt(
        self, call: _Call, reserved: Turn | None = None, *, ahead_ms: float | None = None
    ) -> Reply | Failure:
        """Send once, in turn, signed so far ahead of the steady clock (or as held)."""
        lane = self._shared.lane(call.signer)
        with lane.begin(reserved):
            try:
                return self._sent(call, lane, ahead_ms)
            except httpx.RequestError as error:
                return self._shared.wire.failure(error)

    def _sent(self, call: _Call, lane: Lane, ahead_ms: float | None) -> Reply:
        clock, operation = self._shared.clock, call.operation
        signed_ms = clock.ahead_to_sign() if ahead_ms is None else ahead_ms
        headers = headers_of(
            call.method, call.path, call.body, call.signer, now_ms=clock.at_ms(signed_ms)
        )
        with self._shared.wire.sent(
            call.method, call.path, body=call.body, headers=headers, hold=lane.hold
        ) as (response, sent_at_s):
            clock.observe(response.headers.get("date"), sent_at_s=sent_at_s)
            retry_after_s = replies.retry_after_of(
                response.headers.get("retry-after"), now_ms=clock.now_ms()
            )
            if retry_after_s is not None:
                lane.postpone(min(retry_after_s, replies.RETRY_AFTER_MAX_S))
            is_read = operation.reads_body and response.status_code in operation.success
            return Reply(
                status=response.status_code,
                # as it came: of a compressed body nobody knows the size
                body=bounded(response.iter_raw(), MAX_REPLY_BYTES) if is_read else None,
                is_html="html" in response.headers.get("content-type", "").lower(),
                retry_after_s=retry_after_s,
                signed_ahead_ms=signed_ms,
            )


def _is_success(call: _Call, outcome: Reply | Failure) -> bool:
    return isinstance(outcome, Reply) and outcome.status in call.operation.success


def _is_signed_list(call: _Call, reply: Reply) -> bool:
    """Tell whether a reply proves its signature; an edge's page does not."""
    return _is_success(call, reply) and call.operation.reads_body and not reply.is_html


class _Sibling(TokenClient):
    """A client that ``signed_by`` gives."""

    def __init__(self, credentials: Credentials, shared: _Shared) -> None:
        self._credentials = credentials
        self._shared = shared

    def close(self) -> None:
        """Close nothing: the connections are the first client's."""
