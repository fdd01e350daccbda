"""The client of the exchange's token API: read the capabilities, derive, list, revoke.

The only room that speaks to the exchange, and usable by itself. It mirrors the
``ApiTokenService`` of the official SDKs; paths, headers, limits and the shapes of
replies come from the exchange's documentation, its OpenAPI description and those SDKs.

Rules this module keeps:

1. A derive is sent once for each call of ``derive_token``; reads and revokes are
   repeated a few times (``calls`` has the table). A 429 is the one answer after which a
   caller may derive again: HTTP says that it was not done.
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

import json
import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from reconciler.errors import (
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnclearError,
    UsageError,
)
from reconciler.exchange import bodies, replies
from reconciler.exchange.calls import Call, Calls
from reconciler.exchange.clock import ExchangeClock, Seconds, steady_seconds
from reconciler.exchange.pacing import ClosedError, Sleep, Turn
from reconciler.exchange.replies import CHECK_URL
from reconciler.exchange.wire import Wire, checked_identity, is_header_text, segment_of
from reconciler.model import (
    SECOND_MS,
    Capabilities,
    Credentials,
    Derived,
    LiveToken,
    Secret,
    TokenList,
    scope_set,
)
from reconciler.net import caught

DEFAULT_API_URL = "https://api.limitless.exchange"

_TOKENS_PATH = "/auth/api-tokens"


class TokenClient:
    """The exchange's token API, at a base URL that is https, or http on loopback.

    ``timeout_s`` bounds connecting, each write and each read. A request as a whole ends
    after three times that; the resolving of the name is bounded by the system.

    Proxies and certificates come from the environment as usual (``HTTPS_PROXY``,
    ``NO_PROXY``, ``SSL_CERT_FILE``), so that the client works in a company's network. A
    loopback address never goes through a proxy, which would get the credentials in the
    clear.

    Reads and revokes are repeated: up to three attempts after 425, 502, 503, 504 and
    broken connections, up to six after a 429. ``Retry-After`` up to a minute is
    honoured, and delays everything that the same credential does next; one that comes
    with a page, or to two credentials, delays all. Asked to wait longer, calls are
    refused unsent until then. All clients of a family share one pace: 4 requests in
    flight and 10 starts a second.

    UsageError for settings that can't be used. All calls raise ExchangeRefusedError
    (certainly not done; ExchangeUnauthorizedError for a 401, ExchangeBusyError for a
    429, ExchangeUnreachableError where no connection was opened) or
    ExchangeUnclearError.
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
        self._calls = Calls(
            Wire(base_url, timeout_s=timeout_s, monotonic=monotonic),
            ExchangeClock(wall, monotonic),
            monotonic=monotonic,
            sleep=sleep,
        )

    def leave_gap(self, since_ms: int) -> None:
        """Take note that another process may have sent with our credentials until then.

        Each credential's first request leaves 300 ms after that at the earliest.
        ``since_ms`` is by the clock of this machine; in its future it counts as now.
        """
        ago_ms = self._calls.clock.wall_ms() - since_ms
        self._calls.leave_gap(max(0, ago_ms) / SECOND_MS)

    def signed_by(self, credentials: Credentials) -> TokenClient:
        """Return this client (connections, limits, measured clock) with another signer.

        Closing the new client closes nothing: closing this one does.
        """
        return _Sibling(credentials, self._calls)

    @property
    def base_url(self) -> str:
        """The exchange's address in its canonical form: without a slash at the end."""
        return self._calls.wire.base_url

    def clock(self) -> ExchangeClock:
        """Return the exchange's clock as measured so far."""
        return self._calls.clock

    def close(self) -> None:
        """Close all connections; no call may follow."""
        self._calls.wire.close()

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
        reply = self._calls.perform(
            Call(
                operation=replies.CAPABILITIES,
                method="GET",
                path=f"{_TOKENS_PATH}/capabilities",
                signer=checked_identity(identity_token),
            )
        )
        capabilities = bodies.capabilities_of(bodies.document_of(reply.body))
        if capabilities is None:
            raise ExchangeUnclearError(
                f"the exchange's capabilities can't be read: {CHECK_URL}", status=reply.status
            )
        return capabilities

    def wait_turn_to_derive(
        self,
        identity_token: Secret | str,
        *,
        ahead_s: float = 0.0,
        stopped: Callable[[], bool] | None = None,
    ) -> Turn:
        """Block until the identity's next request may start, and return its turn.

        The turn is for one ``derive_token``: a caller can write down its intent between
        the two, and still post at once. It comes ``ahead_s`` early for what else is to
        be done before; the POST waits for the rest of that. The turn must be used or
        released; until then it occupies one of the identity's two places.
        ExchangeBusyError where the exchange asked to wait longer than a minute;
        ExchangeRefusedError for a text that can't be an identity token, and once
        ``stopped`` says that nobody waits.
        """
        lane = self._calls.lane(checked_identity(identity_token))
        try:
            turn = lane.wait(stopped, ahead_s=ahead_s)
        except ClosedError as error:
            closed = error
        else:
            if turn is not None:
                return turn
            raise ExchangeRefusedError("stopped while it waited for its turn; nothing was sent")
        raise self._calls.busy(closed)

    def derive_token(
        self,
        identity_token: Secret | str,
        *,
        label: str | None = None,
        scopes: Iterable[str] | None = None,
        turn: Turn | None = None,
    ) -> Derived:
        """Make a token, and return it with its secret, which is shown only now.

        Sent once. Without scopes (None or empty) the exchange gives
        ``trading``. Refused: 400, 401, 403, 404, 422, 429, or no connection. After a
        429 (ExchangeBusyError) it may be called again with another turn. Unclear:
        everything else, including a success that can't be read or has a secret that is
        not base64.
        """
        asked: dict[str, Any] = {}
        if label:
            asked["label"] = label
        if wanted := scope_set(scopes or ()):
            asked["scopes"] = list(wanted)
        call = Call(
            operation=replies.DERIVE,
            method="POST",
            path=f"{_TOKENS_PATH}/derive",
            signer=checked_identity(identity_token),
            body=json.dumps(asked, separators=(",", ":")).encode("ascii"),
        )
        reply = self._calls.send_once(call, turn)
        derived = bodies.derived_of(bodies.document_of(reply.body))
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
        found = self.list_entries()
        if found.unreadable:
            raise ExchangeUnclearError(str(found.unreadable[0]))
        return found.tokens

    def list_entries(self, *, leaving: Callable[[], None] = lambda: None) -> TokenList:
        """Return the list with the entries that can't be read beside those that can.

        ``leaving`` is called right before the request's first byte, at each attempt.
        """
        call = Call(
            operation=replies.LIST,
            method="GET",
            path=_TOKENS_PATH,
            signer=self._signer(),
            leaving=leaving,
        )
        reply = self._calls.perform(call)
        found = bodies.listing_of(bodies.document_of(reply.body))
        if found is None:
            raise ExchangeUnclearError(
                f"the exchange's token list can't be read: {CHECK_URL}", status=reply.status
            )
        return found

    def get_profile_id(self) -> int | None:
        """Return the id of the profile that the signing token belongs to.

        None where the exchange does not say: it may have no such address, and is asked
        only once.
        """
        call = Call(
            operation=replies.PROFILE, method="GET", path="/profiles/me", signer=self._signer()
        )
        reply = caught(lambda: self._calls.send_once(call), ExchangeError)
        if isinstance(reply, ExchangeError):
            return None
        return bodies.profile_of(bodies.document_of(reply.body))

    def revoke_token(self, token_id: str) -> None:
        """End a token, at once and for good.

        A refusal with ``status`` 400 means unknown or already revoked. An earlier
        attempt of this very call may have done it, and its reply was lost: the caller
        looks at the list.
        """
        signer = self._signer()
        self._calls.perform(
            Call(
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


class _Sibling(TokenClient):
    """A client that ``signed_by`` gives."""

    def __init__(self, credentials: Credentials, calls: Calls) -> None:
        self._credentials = credentials
        self._calls = calls

    def close(self) -> None:
        """Close nothing: the connections are the first client's."""
