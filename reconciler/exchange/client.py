"""The client of the exchange's token API: read the capabilities, derive, list, revoke.

The only module that speaks to it.

It mirrors the ``ApiTokenService`` of the official SDKs and is usable by itself; paths,
headers, limits and the shapes of replies come from the exchange's documentation, its
OpenAPI description and the official SDKs.

Rules this module keeps:

1. A derive is sent at most once: nothing here, in httpx or in httpcore repeats it.
   httpcore repeats only opening a connection (switched off) and taking one from its
   pool (before the first byte); every request has a fresh connection, so none can hit a
   kept one that the server is just closing, which would leave a derive unclear for
   nothing.
2. What became of a call is read from its status, never from a text. A refusal means
   certainly not done; whatever proves neither success nor refusal is unclear.
3. Errors are built from values and raised outside every ``except``: an exception of
   httpx holds the request with its headers, one of json holds the body, and neither may
   hang on ours as its context.
4. Everything is bounded: attempts, pauses, the time of a request, the size of a reply,
   the number of tokens, requests in flight, credentials remembered.
5. No redirects (the credentials would go along), no cookies, no ``.netrc``, no
   compressed replies (their size is unknown).
6. Sign anew for every attempt, with the exchange's time, and sign exactly the path and
   the bytes that are sent.

All of it is safe to use from several threads at once, ``close`` excepted. httpx and
httpcore log addresses and the headers of replies at DEBUG, never those of requests, so
their loggers are left alone; a test holds that.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import hashlib
import hmac
import ipaddress
import json
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from reconciler import __version__
from reconciler.errors import (
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnauthorizedError,
    ExchangeUnclearError,
    ExchangeUnreachableError,
    UsageError,
)
from reconciler.exchange.clock import ExchangeClock, Seconds, http_date
from reconciler.exchange.pacing import Pacer, Sleep, Turn
from reconciler.model import (
    SECOND_MS,
    Capabilities,
    Credentials,
    Derived,
    LiveToken,
    Secret,
    instant_ms,
    iso,
    scope_set,
)

DEFAULT_API_URL = "https://api.limitless.exchange"

SCOPE_TRADING = "trading"
SCOPE_ACCOUNT_CREATION = "account_creation"
SCOPE_DELEGATED_SIGNING = "delegated_signing"
SCOPE_WITHDRAWAL = "withdrawal"
SCOPES = (SCOPE_TRADING, SCOPE_ACCOUNT_CREATION, SCOPE_DELEGATED_SIGNING, SCOPE_WITHDRAWAL)
"""The scopes documented today. The set is not closed: the exchange may have new ones."""

SKEW_WARN_MS = 5 * SECOND_MS  # the exchange accepts 30 s

MAX_REPLY_BYTES = 16 * 1024 * 1024
MAX_TOKENS = 10_000
RETRY_AFTER_MAX_S = 60.0
RETRY_TOTAL_S = 90.0
BACKOFF_S = (0.5, 1.0)  # before the second and the third attempt of a read or a revoke

_TOKENS_PATH = "/auth/api-tokens"
_WHOLE_REQUEST_TIMEOUTS = (
    3  # connect, send, receive: a server that drips bytes resets the timeout of each read, not this
)
_CONNECTIONS_MAX = 100
_ID_CHARACTERS_MAX = 1024
_PORTS = range(1, 65536)
_PROFILES = range(2**63)

_SENDING = "http11.send_request_headers.started"
_CONNECTED = ("connect_tcp.complete", "start_tls.complete")

_HEADER_TEXT = re.compile(r"[\x21-\x7e]{1,16384}")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
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
class _Operation:
    """One of the four operations, as far as its outcome is judged by it.

    A redirect refuses a read: nothing was done, and nothing could be. For derive and
    revoke it is unclear like everything else that the documentation does not name.
    """

    what: str  # after "to"
    invalid: str  # what a 400 means
    success: frozenset[int]
    refused: frozenset[int]
    doubt: str = ": try again later"  # what to reckon with where the outcome is unclear
    reads_body: bool = True


_OK = frozenset({HTTPStatus.OK})  # a 206 would be a part of the list
_CAPABILITIES = _Operation(
    what="read the capabilities",
    invalid="the profile isn't known",
    success=_OK,
    refused=_REFUSED | _REDIRECTS,
)
_DERIVE = _Operation(
    what="derive a token",
    invalid="the scopes or the label aren't valid, or the profile isn't known",
    success=frozenset({HTTPStatus.CREATED, HTTPStatus.OK}),
    refused=_REFUSED,
    doubt="; the token may exist all the same, so look at the list before another one",
)
_LIST = _Operation(
    what="list the tokens",
    invalid="the request isn't valid",
    success=_OK,
    refused=_REFUSED | _REDIRECTS,
)
_REVOKE = _Operation(
    what="revoke a token",
    invalid="the token is unknown or already revoked",
    success=frozenset(range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)),
    refused=_REFUSED,
    doubt="; it may be revoked all the same, so look at the list",
    reads_body=False,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request before it is signed.

    ``signer`` is the HMAC pair, or the identity token.
    """

    operation: _Operation
    method: str
    path: str
    signer: Credentials | Secret
    body: bytes | None = None

    @property
    def credential(self) -> str:
        """What the exchange counts requests by; of an identity only a hash is kept."""
        if isinstance(self.signer, Credentials):
            return f"token {self.signer.token_id}"
        return _identity_credential(self.signer)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """An answer. ``body`` is None where it was not to be read, or is too large."""

    status: int
    body: bytes | None = dataclasses.field(repr=False)
    is_html: bool
    retry_after_s: float | None
    signed_offset_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """No answer.

    ``may_have_left``: the request, or a part of it, may have reached the exchange.
    """

    why: str
    may_have_left: bool


class _Wire:
    """One request on its connection, as httpcore's ``trace`` extension shows it; ``cut`` ends it from another thread.

    httpcore does not promise the names of these events. Without them the gap is kept at
    the turn only, and the timeouts of each read and write still hold; tests would
    notice.
    """

    def __init__(self, hold: Callable[[], None], monotonic: Seconds) -> None:
        self._hold = hold
        self._monotonic = monotonic
        self._stream: Any = None
        self._is_cut = False
        self.sent_at_s = monotonic()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpcore on the request's thread; a proxy's CONNECT passes by too, and is not the request."""
        if event == _SENDING and info["request"].method != b"CONNECT":
            self._hold()
            self.sent_at_s = self._monotonic()
        elif event.endswith(_CONNECTED):
            self._stream = info["return_value"]
            if self._is_cut:
                self._stream.close()
                raise httpx.ConnectTimeout("connected too late; nothing was sent")

    def cut(self) -> None:
        """End whatever the request's thread waits for.

        Closing would not wake it, and TLS's own shutdown isn't for threads.
        """
        self._is_cut = True
        if self._stream is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the clients of one ``signed_by`` family have in common.

    ``origin`` is for sentences.
    """

    base_url: str
    origin: str
    timeout_s: float
    pool: httpx.Client
    pacer: Pacer
    clock: ExchangeClock
    monotonic: Seconds
    sleep: Sleep


class TokenClient:
    """The exchange's token API, at a base URL that is https, or http on loopback (UsageError otherwise).

    ``timeout_s`` bounds connecting, each write and each read; a request as a whole ends
    after three times that (resolving the name excepted, which the system bounds).
    Proxies and certificates are taken from the environment as usual (``HTTPS_PROXY``,
    ``NO_PROXY``, ``SSL_CERT_FILE``), so that it works in a company's network; a
    loopback address never goes through a proxy, which would be handed the credentials
    in the clear.

    Reads and revokes are repeated, up to three attempts, after 425, 429, 502, 503, 504
    and broken connections; ``Retry-After`` up to a minute is honoured, and delays
    everything that the same credential does next. All calls raise ExchangeRefusedError
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
        monotonic: Seconds = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        if not 0 < timeout_s < math.inf:
            raise UsageError(
                "the timeout of the exchange's client must be a positive number of seconds"
            )
        url, is_loopback = _checked_base(base_url)
        self._credentials = credentials
        self._shared = _Shared(
            base_url=str(url).rstrip("/"),
            origin=f"{url.scheme}://{url.netloc.decode('ascii')}",
            timeout_s=timeout_s,
            pool=_pool(url, timeout_s=timeout_s, trust_proxies=not is_loopback),
            pacer=Pacer(monotonic, sleep),
            clock=ExchangeClock(wall, monotonic),
            monotonic=monotonic,
            sleep=sleep,
        )

    def signed_by(self, credentials: Credentials) -> TokenClient:
        """The same client (pool, limits, measured clock) with another signer.

        Closing it closes nothing: this one does.
        """
        return _Sibling(credentials, self._shared)

    @property
    def base_url(self) -> str:
        """Where the exchange is, in its canonical form: without a slash at the end."""
        return self._shared.base_url

    def clock(self) -> ExchangeClock:
        """The exchange's clock as measured so far."""
        return self._shared.clock

    def close(self) -> None:
        """Close what is open; no call may follow."""
        self._shared.pool.close()

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
        """What the exchange lets this profile do."""
        call = _Call(
            operation=_CAPABILITIES,
            method="GET",
            path=f"{_TOKENS_PATH}/capabilities",
            signer=_checked_identity(identity_token),
        )
        reply = self._perform(call)
        capabilities = _capabilities(_json(reply.body))
        if capabilities is None:
            raise ExchangeUnclearError(
                f"the exchange's capabilities can't be read: {_CHECK_URL}", status=reply.status
            )
        return capabilities

    def wait_turn_to_derive(self, identity_token: Secret | str) -> Turn:
        """Block until the identity's next request may start, and reserve that start for a ``derive_token``.

        So a caller can write down its intent between the two and still post at once.
        Raises ExchangeRefusedError for a text that can't be an identity token.
        """
        return self._shared.pacer.wait(_identity_credential(_checked_identity(identity_token)))

    def derive_token(
        self,
        identity_token: Secret | str,
        *,
        label: str | None = None,
        scopes: Iterable[str] | None = None,
        turn: Turn | None = None,
    ) -> Derived:
        """Make a token; the only moment at which its secret is to be had.

        Sent once, never repeated.

        Without scopes (None or empty) the exchange gives ``trading``. Refused: 400,
        401, 403, 404, 422, 429, or no connection. Unclear: everything else, a success
        that can't be read or has a secret that is not base64 included.
        """
        asked: dict[str, Any] = {}
        if label:
            asked["label"] = label
        if wanted := scope_set(scopes or ()):
            asked["scopes"] = list(wanted)
        call = _Call(
            operation=_DERIVE,
            method="POST",
            path=f"{_TOKENS_PATH}/derive",
            signer=_checked_identity(identity_token),
            body=json.dumps(asked, separators=(",", ":")).encode("ascii"),
        )
        outcome = self._attempt(call, turn)
        if isinstance(outcome, _Failure) or outcome.status not in _DERIVE.success:
            raise _error(call, outcome, self._shared)
        derived = _derived(_json(outcome.body))
        if derived is None:
            raise ExchangeUnclearError(
                f"the exchange's answer to a derive can't be read{_DERIVE.doubt}",
                status=outcome.status,
            )
        return derived

    def list_tokens(self) -> tuple[LiveToken, ...]:
        """All live tokens of the profile, in the exchange's order.

        Whole or not at all; an empty list is returned as such.
        """
        call = _Call(operation=_LIST, method="GET", path=_TOKENS_PATH, signer=self._signer())
        reply = self._perform(call)
        tokens = _listing(_json(reply.body))
        if tokens is None:
            raise ExchangeUnclearError(
                f"the exchange's token list can't be read: {_CHECK_URL}", status=reply.status
            )
        return tokens

    def revoke_token(self, token_id: str) -> None:
        """End a token, at once and for good.

        A refusal with ``status`` 400 means unknown or already revoked (also when an
        earlier attempt of this very call did it, and its reply was lost): the caller
        looks at the list.
        """
        signer = self._signer()
        self._perform(
            _Call(
                operation=_REVOKE,
                method="DELETE",
                path=f"{_TOKENS_PATH}/{_checked_segment(token_id)}",
                signer=signer,
            )
        )

    def _signer(self) -> Credentials:
        if self._credentials is None:
            raise UsageError(
                "list and revoke are signed with a token: give the client HMAC credentials"
            )
        if not _HEADER_TEXT.fullmatch(self._credentials.token_id):
            raise ExchangeRefusedError(
                "the signing token's id can't be one: it has spaces or characters outside of ASCII"
            )
        return self._credentials

    def _perform(self, call: _Call) -> _Reply:
        """Send a read or a revoke, again where that may help."""
        give_up_at_s = self._shared.monotonic() + RETRY_TOTAL_S
        for backoff_s in BACKOFF_S:
            outcome = self._attempt_in_time(call)
            pause_s = _pause_s(outcome, backoff_s)
            if pause_s is None or self._shared.monotonic() + pause_s > give_up_at_s:
                break
            self._shared.sleep(pause_s)
        else:
            outcome = self._attempt_in_time(call)
        if isinstance(outcome, _Failure) or outcome.status not in call.operation.success:
            raise _error(call, outcome, self._shared)
        return outcome

    def _attempt_in_time(self, call: _Call) -> _Reply | _Failure:
        """One attempt, and another one if the first was refused for a skew that its own reply revealed (a 401 did nothing)."""
        outcome = self._attempt(call)
        if (
            isinstance(outcome, _Reply)
            and isinstance(call.signer, Credentials)
            and outcome.status == HTTPStatus.UNAUTHORIZED
            and abs(self._shared.clock.offset_ms - outcome.signed_offset_ms) >= SKEW_WARN_MS
        ):
            return self._attempt(call)
        return outcome

    def _attempt(self, call: _Call, reserved: Turn | None = None) -> _Reply | _Failure:
        """Send once, in turn."""
        pacer = self._shared.pacer
        is_reserved = reserved is not None and pacer.begin(reserved, call.credential)
        turn = reserved if reserved is not None and is_reserved else pacer.wait(call.credential)
        turn.begun = True
        try:
            return self._send(call, turn)
        finally:
            turn.release()

    def _send(self, call: _Call, turn: Turn) -> _Reply | _Failure:
        shared = self._shared
        offset_ms = shared.clock.offset_ms
        wire = _Wire(lambda: shared.pacer.hold(turn), shared.monotonic)
        request = shared.pool.build_request(
            call.method,
            shared.base_url + call.path,
            content=call.body,
            headers=_headers(call, now_ms=shared.clock.now_ms()),
            extensions={"trace": wire.trace},
        )
        watchdog = threading.Timer(_WHOLE_REQUEST_TIMEOUTS * shared.timeout_s, wire.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            with contextlib.closing(
                shared.pool.send(request, stream=True, auth=None, follow_redirects=False)
            ) as response:
                shared.clock.observe(response.headers.get("date"), sent_at_s=wire.sent_at_s)
                retry_after_s = _retry_after_s(
                    response.headers.get("retry-after"), now_ms=shared.clock.now_ms()
                )
                if retry_after_s is not None:
                    shared.pacer.postpone(turn, min(retry_after_s, RETRY_AFTER_MAX_S))
                wanted = (
                    call.operation.reads_body and response.status_code in call.operation.success
                )
                return _Reply(
                    status=response.status_code,
                    body=_body(response) if wanted else None,
                    is_html="html" in response.headers.get("content-type", "").lower(),
                    retry_after_s=retry_after_s,
                    signed_offset_ms=offset_ms,
                )
        except httpx.RequestError as error:
            return _failure(error, shared)
        finally:
            watchdog.cancel()


class _Sibling(TokenClient):
    """What ``signed_by`` gives."""

    def __init__(self, credentials: Credentials, shared: _Shared) -> None:
        self._credentials = credentials
        self._shared = shared

    def close(self) -> None:
        """Nothing: the pool is the first client's."""


def sign(secret: Secret, *, timestamp: str, method: str, path: str, body: str) -> str:
    """The HMAC signature of a request, as the official SDKs make it: base64 of HMAC-SHA256.

    The message is timestamp, method, path with query, and body, joined by newlines; the
    key is the base64-decoded secret. ExchangeRefusedError if the secret is not base64.
    """
    key = _key(secret.reveal())
    if key is None:
        raise ExchangeRefusedError(
            "the signing token's secret isn't base64, so it can't be one of the exchange's: store it anew"
        )
    message = f"{timestamp}\n{method.upper()}\n{path}\n{body}".encode()
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode("ascii")


# --- what goes out ---


def _checked_base(base_url: str) -> tuple[httpx.URL, bool]:
    """The base URL, and whether it is on loopback.

    The given text stands in no message: it may hold a password.
    """
    try:
        url = httpx.URL(base_url)
        _ = url.host  # asking for it is what decodes an international name
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    host = url.raw_host.decode("ascii")
    try:
        is_address, is_loopback = True, ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_address, is_loopback = False, host == "localhost"
    if (
        url.scheme not in {"http", "https"}
        or not (is_address or _HOST_NAME.fullmatch(host))
        or (url.port or 1) not in _PORTS
    ):
        raise UsageError(
            "the exchange's URL (LIMITLESS_API_URL) must look like https://api.limitless.exchange"
        )
    if url.scheme == "http" and not is_loopback:
        raise UsageError(
            "the exchange's URL (LIMITLESS_API_URL) must be https://: http:// is for loopback only"
        )
    path = url.raw_path.decode("ascii").rstrip("/")
    if set("@?#") & set(base_url) or not _PATH_PREFIX.fullmatch(path):
        raise UsageError(
            "the exchange's URL (LIMITLESS_API_URL) must hold no user name, query, fragment or odd path"
        )
    return url, is_loopback


def _pool(url: httpx.URL, *, timeout_s: float, trust_proxies: bool) -> httpx.Client:
    """The connections. httpx's own transport stays in place: it finds the proxies, and repeats nothing unless told to.

    Plain http needs no authorities, which take long to load; its context knows none, so
    it could trust nobody.
    """
    try:
        return httpx.Client(
            verify=httpx.create_ssl_context()
            if url.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=trust_proxies,
            http2=False,
            timeout=httpx.Timeout(timeout_s),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=_CONNECTIONS_MAX, max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={
                "User-Agent": f"reconciler/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
        )
    except (OSError, ValueError, ImportError, httpx.InvalidURL):
        pass
    raise UsageError(
        "no connection can be set up: check HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
    )


def _headers(call: _Call, *, now_ms: int) -> dict[str, str]:
    """The headers that authenticate: an identity goes alone, a signature covers what is sent.

    A Content-Type needs a body.
    """
    content = {} if call.body is None else {"Content-Type": "application/json"}
    if isinstance(call.signer, Secret):
        return {"identity": f"Bearer {call.signer.reveal()}", **content}
    timestamp = iso(now_ms)
    body = (call.body or b"").decode()
    return {
        "lmts-api-key": call.signer.token_id,
        "lmts-timestamp": timestamp,
        "lmts-signature": sign(
            call.signer.secret, timestamp=timestamp, method=call.method, path=call.path, body=body
        ),
        **content,
    }


def _checked_identity(identity_token: Secret | str) -> Secret:
    """The identity token as a value that doesn't print.

    Checked here, for httpx puts a header that can't be into its error.
    """
    identity = identity_token if isinstance(identity_token, Secret) else Secret(identity_token)
    if not _HEADER_TEXT.fullmatch(identity.reveal()):
        raise ExchangeRefusedError(
            "the identity token is empty, too long, or has spaces or characters outside of ASCII: give the token alone"
        )
    return identity


def _identity_credential(identity: Secret) -> str:
    return f"identity {hashlib.sha256(identity.reveal().encode('ascii')).hexdigest()}"


def _checked_segment(token_id: str) -> str:
    """A token id as one segment of a path; those that intermediaries would resolve are no ids."""
    if token_id not in {"", ".", ".."} and len(token_id) <= _ID_CHARACTERS_MAX:
        with contextlib.suppress(UnicodeEncodeError):
            return quote(token_id, safe="")
    raise ExchangeRefusedError(
        "that can't be a token id: it is empty, made of dots, too long, or not text; nothing was sent"
    )


# --- what comes back ---


_CHECK_URL = "is LIMITLESS_API_URL right, or is a proxy in between?"


def _body(response: httpx.Response) -> bytes | None:
    """The whole body as it came (nothing is decompressed: its size would be unknown), or None if it is too large."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        size += len(part)
        if size > MAX_REPLY_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _json(body: bytes | None) -> Any:
    """The document, or None where there is none (``null`` is none of the expected ones either)."""
    if body is None:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _capabilities(document: Any) -> Capabilities | None:
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


def _derived(document: Any) -> Derived | None:
    """``apiKey`` repeats ``tokenId``; where the two differ it isn't known which one would sign."""
    match document:
        case {
            "tokenId": str(token_id),
            "secret": str(secret),
            "createdAt": str(created_at),
            "scopes": list(granted),
            "profile": {"id": int(profile_id), **profile},
        } if (
            _HEADER_TEXT.fullmatch(token_id)
            and document.get("apiKey") in (None, token_id)
            and _key(secret)
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


def _listing(document: Any) -> tuple[LiveToken, ...] | None:
    """The list, if every entry can be read and no id comes twice."""
    if not isinstance(document, list) or len(document) > MAX_TOKENS:
        return None
    tokens = [token for token in map(_live_token, document) if token is not None]
    if len(tokens) != len(document) or len({token.token_id for token in tokens}) != len(tokens):
        return None
    return tuple(tokens)


def _live_token(entry: Any) -> LiveToken | None:
    """An entry of the list.

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
    """The text without the halves of surrogate pairs, which JSON can hold and no output can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _instant_ms(text: str) -> int | None:
    try:
        return instant_ms(text)
    except (ValueError, OverflowError):
        return None


def _key(secret: str) -> bytes | None:
    """The key that a secret stands for; None unless it is base64 of at least one byte."""
    try:
        return base64.b64decode(secret.encode("ascii"), validate=True) or None
    except (UnicodeEncodeError, binascii.Error):
        return None


def _retry_after_s(text: str | None, *, now_ms: int) -> float | None:
    """``Retry-After``: seconds, or a date by the exchange's clock; None where it is missing or makes no sense."""
    if text is not None and _SECONDS.fullmatch(text.strip()):
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(0.0, moment.timestamp() - now_ms / SECOND_MS)


# --- what became of it ---


def _pause_s(outcome: _Reply | _Failure, backoff_s: float) -> float | None:
    """How long to wait before another attempt; None if that makes no sense, or the exchange asks for more than a minute."""
    if isinstance(outcome, _Failure):
        return backoff_s
    if outcome.status not in _RETRIED:
        return None
    pause_s = max(backoff_s, outcome.retry_after_s or 0.0)
    return pause_s if pause_s <= RETRY_AFTER_MAX_S else None


def _failure(error: httpx.RequestError, shared: _Shared) -> _Failure:
    """What a person needs to know of a failed connection. httpx's classes tell before from after, the causes tell why."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    may_have_left = not isinstance(
        error,
        httpx.ConnectError
        | httpx.ConnectTimeout
        | httpx.PoolTimeout
        | httpx.ProxyError
        | httpx.UnsupportedProtocol,
    )
    if isinstance(error, httpx.ProxyError):
        why = f"the proxy refuses to connect to {shared.origin}: check HTTPS_PROXY and NO_PROXY"
    elif isinstance(error, httpx.TimeoutException):
        why = f"{shared.origin} doesn't answer within {shared.timeout_s:g} s"
    elif may_have_left:
        why = f"the connection to {shared.origin} broke off before the answer was complete"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        why = f"no TLS connection to {shared.origin}: if your network has its own authority, name it in SSL_CERT_FILE"
    elif any(isinstance(cause, socket.gaierror) for cause in causes):
        why = f"the name of {shared.origin} can't be resolved: check LIMITLESS_API_URL and the network"
    else:
        why = (
            f"{shared.origin} can't be reached: check LIMITLESS_API_URL, the network and the proxy"
        )
    return _Failure(why=why, may_have_left=may_have_left)


def _error(call: _Call, outcome: _Reply | _Failure, shared: _Shared) -> ExchangeError:
    """The error that says what became of a call that did not succeed."""
    operation = call.operation
    if isinstance(outcome, _Failure):
        if outcome.may_have_left:
            return ExchangeUnclearError(
                f"asked to {operation.what}, {outcome.why}{operation.doubt}"
            )
        return ExchangeUnreachableError(f"{outcome.why}; nothing was sent")
    status = outcome.status
    page = f"; it answered with an HTML page: {_CHECK_URL}" if outcome.is_html else ""
    if status not in operation.refused:
        why = "is in maintenance" if status in _MAINTENANCE else "gave no clear answer"
        sentence = f"asked to {operation.what}, the exchange {why} (status {status}){operation.doubt}{page}"
        return ExchangeUnclearError(sentence, status=status)
    if status == HTTPStatus.UNAUTHORIZED:
        return ExchangeUnauthorizedError(
            _unauthorized(call, shared.clock.offset_ms) + page, status=status
        )
    return ExchangeRefusedError(
        f"the exchange refuses to {operation.what}: {_refusal(operation, status)}{page}",
        status=status,
    )


def _refusal(operation: _Operation, status: int) -> str:
    match status:
        case HTTPStatus.FORBIDDEN:
            why = "token management is switched off for the profile, a scope isn't allowed, or its edge blocks this client"
        case HTTPStatus.NOT_FOUND:
            why = "there is no such address, check LIMITLESS_API_URL"
        case HTTPStatus.TOO_MANY_REQUESTS:
            why = "too many requests with this credential, wait a minute and try again"
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            why = operation.invalid
        case _:
            why = "it points to another address, check LIMITLESS_API_URL"
    return f"{why} (status {status})"


def _unauthorized(call: _Call, offset_ms: int) -> str:
    if isinstance(call.signer, Secret):
        return "the exchange refused the identity token: it may have expired, get a new one"
    sentence = f"the exchange refused the signature of token {call.signer.token_id}: it may be revoked, or the secret is another's"
    if abs(offset_ms) < SKEW_WARN_MS:
        return sentence
    side = "behind" if offset_ms > 0 else "ahead of"
    return f"{sentence}; this machine's clock is {abs(offset_ms) // SECOND_MS} s {side} the exchange's, set it right"
