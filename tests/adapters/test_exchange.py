"""reconciler.exchange against a real server on loopback: what goes over the wire, and
what each outcome means.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from itertools import pairwise
from typing import Any, Self

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler import __version__
from reconciler.errors import (
    ExchangeBusyError,
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnauthorizedError,
    ExchangeUnclearError,
    ExchangeUnreachableError,
    UsageError,
)
from reconciler.exchange import bodies, replies
from reconciler.exchange import calls as exchange
from reconciler.exchange.client import TokenClient
from reconciler.exchange.clock import ExchangeClock, http_date
from reconciler.exchange.wire import sign
from reconciler.model import Capabilities, Credentials, LiveToken, Secret, instant_ms
from tests.support.http_stub import Answer, HttpStub, Seen, drip, drop, hang, http, reset, say

START_S = 1_774_269_296.789  # 2026-03-23T12:34:56.789Z
GAP_S = 0.301

IDENTITY = "eyJhbGciOiJFUzI1NiJ9.canary-identity.c2ln"
KEY_TEXT = "Y2FuYXJ5LXNlY3JldC1rZXk="  # canary-secret-key
PAIR = Credentials(token_id="id-1", secret=Secret(KEY_TEXT))

TOKEN = {
    "tokenId": "a/b+c=",
    "label": "bot",
    "scopes": ["trading"],
    "createdAt": "2026-03-01T00:00:00.000Z",
    "lastUsedAt": None,
}
LIVE = LiveToken(
    token_id="a/b+c=",
    label="bot",
    scopes=("trading",),
    created_at_ms=instant_ms("2026-03-01T00:00:00.000Z"),
)
DERIVED = {
    "apiKey": "new-1",
    "tokenId": "new-1",
    "secret": KEY_TEXT,
    "createdAt": "2026-03-23T12:34:56.789Z",
    "scopes": ["trading", "account_creation"],
    "profile": {"id": 42, "account": "0xabc"},
}
CAPABILITIES = {
    "partnerProfileId": 42,
    "tokenManagementEnabled": True,
    "allowedScopes": ["trading", "new_scope"],
}

EMPTY_LIST = say(http(200, []))
REVOKED = say(http(200, {"message": "ok"}))


class Time:
    """A clock that stands still but for sleeping; ``slept`` is what was asked of it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds since whenever."""
        return self.now_s

    def wall(self) -> float:
        """Seconds since the epoch; START_S at first."""
        return START_S - 1000.0 + self.now_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.slept.append(round(seconds, 3))
        self.now_s += seconds


def client_of(
    stub: HttpStub, frozen: Time | None = None, *, timeout_s: float = 5.0, prefix: str = ""
) -> TokenClient:
    """A client of the stub, signing with PAIR, on a frozen clock."""
    moment = frozen if frozen is not None else Time()
    return TokenClient(
        stub.url + prefix,
        credentials=PAIR,
        timeout_s=timeout_s,
        wall=moment.wall,
        monotonic=moment.monotonic,
        sleep=moment.sleep,
    )


def expected_signature(seen: Seen, *, path: str) -> str:
    """The signature by the documentation, made independently of the module."""
    message = "\n".join([seen.headers["lmts-timestamp"], seen.method, path, seen.body.decode()])
    return base64.b64encode(
        hmac.new(b"canary-secret-key", message.encode(), hashlib.sha256).digest()
    ).decode()


def chain_of(error: BaseException) -> str:
    """All that an exception and whatever hangs on it would print."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None:
        parts += [repr(current), str(current), repr(current.args), repr(vars(current))]
        current = current.__cause__ or current.__context__
    return "\n".join(parts)


def failure_of(call: Callable[[], object]) -> ExchangeError | None:
    """The error that a call ends in, if any."""
    try:
        call()
    except ExchangeError as error:
        return error
    return None


def outcome_of(call: Callable[[], object]) -> type[ExchangeError] | None:
    """The class of the error that a call ends in, or None."""
    error = failure_of(call)
    return None if error is None else type(error)


def hangs_on(error: BaseException | None) -> BaseException | None:
    """What an error drags along: nothing may, for exceptions of the libraries hold
    headers and bodies.
    """
    return None if error is None else error.__cause__ or error.__context__


# --- signing and the wire ---


@pytest.mark.parametrize(
    ("key", "method", "signature"),
    [
        (
            base64.b64encode(b"super-secret-key").decode(),
            "PATCH",
            "mgMUpOd7FH4sOSti2MF30YKF9yDq+67VjFksPa5I5eE=",
        ),
        (
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "POST",
            "oMeoGw/k9lOlgmdkx4Upqmm99pJ2pHBYkt1CRO5d6bk=",
        ),
        (
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "post",
            "oMeoGw/k9lOlgmdkx4Upqmm99pJ2pHBYkt1CRO5d6bk=",
        ),
    ],
)
def test_published_vectors(key: str, method: str, signature: str) -> None:
    """The signature is the one of the published vectors."""
    stamp = "2026-03-23T12:34:56.789Z"
    assert signature == sign(
        Secret(key), timestamp=stamp, method=method, path="/orders?market=btc", body='{"foo":"bar"}'
    )


@pytest.mark.parametrize("key", ["", "not base64!", "YQ", "Y2Fu\n", "Y2Fu-_==", "ключ"])
def test_secret_that_is_no_key(key: str) -> None:
    """A secret that is not base64 is refused before anything is sent, and is not in the
    message.
    """
    with (
        HttpStub() as stub,
        client_of(stub).signed_by(Credentials(token_id="x", secret=Secret(key))) as client,
    ):
        with pytest.raises(ExchangeRefusedError, match="isn't base64") as caught:
            client.list_tokens()
        assert stub.seen == []
    assert key == "" or key not in chain_of(caught.value)


def test_list_on_the_wire() -> None:
    """A list call carries exactly these headers, its signature covers the path, and the
    entry is read whole.
    """
    with HttpStub(say(http(200, [TOKEN]))) as stub, client_of(stub) as client:
        assert client.list_tokens() == (LIVE,)
        (seen,) = stub.seen
    assert (seen.method, seen.target, seen.body) == ("GET", "/auth/api-tokens", b"")
    assert seen.headers == {
        "host": f"127.0.0.1:{stub.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": f"reconciler/{__version__}",
        "lmts-api-key": "id-1",
        "lmts-timestamp": "2026-03-23T12:34:56.789Z",
        "lmts-signature": expected_signature(seen, path="/auth/api-tokens"),
    }


@pytest.mark.parametrize("prefix", ["/v1", "/api/limitless/", "/"])
def test_prefix_is_sent_but_not_signed(prefix: str) -> None:
    """A path prefix of the base URL is on the wire and not in the signed message, as
    with the official SDKs.
    """
    with HttpStub(EMPTY_LIST) as stub, client_of(stub, prefix=prefix) as client:
        client.list_tokens()
        (seen,) = stub.seen
    assert seen.target == prefix.rstrip("/") + "/auth/api-tokens"
    assert seen.headers["lmts-signature"] == expected_signature(seen, path="/auth/api-tokens")


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        ({}, b"{}"),
        ({"label": None, "scopes": None}, b"{}"),
        ({"label": "", "scopes": []}, b"{}"),
        ({"label": "bot"}, b'{"label":"bot"}'),
        ({"scopes": ("trading",)}, b'{"scopes":["trading"]}'),
        (
            {"label": 'a"\u00e9', "scopes": iter(["trading", "b"])},
            b'{"label":"a\\"\\u00e9","scopes":["b","trading"]}',
        ),
    ],
)
def test_derive_on_the_wire(asked: dict[str, Any], body: bytes) -> None:
    """A derive carries the identity and nothing of HMAC, and leaves out what was not
    asked for.
    """
    with HttpStub(say(http(201, DERIVED))) as stub, client_of(stub) as client:
        derived = client.derive_token(Secret(IDENTITY), **asked)
        (seen,) = stub.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/auth/api-tokens/derive", body)
    assert {
        name: value
        for name, value in seen.headers.items()
        if name not in {"host", "user-agent", "accept"}
    } == {
        "accept-encoding": "identity",
        "connection": "close",
        "identity": f"Bearer {IDENTITY}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    assert (derived.token_id, derived.secret.reveal(), derived.scopes) == (
        "new-1",
        KEY_TEXT,
        ("account_creation", "trading"),
    )
    assert (derived.created_at_ms, derived.profile_id, derived.account) == (
        round(START_S * 1000),
        42,
        "0xabc",
    )


def test_capabilities_on_the_wire() -> None:
    """Capabilities are asked for with the identity alone; unknown scopes are kept."""
    with HttpStub(say(http(200, CAPABILITIES))) as stub, client_of(stub) as client:
        got = client.get_capabilities(IDENTITY)
        (seen,) = stub.seen
    assert got == Capabilities(
        profile_id=42, management_enabled=True, allowed_scopes=("new_scope", "trading")
    )
    assert (seen.method, seen.target) == ("GET", "/auth/api-tokens/capabilities")
    assert seen.headers["identity"] == f"Bearer {IDENTITY}"
    assert not [name for name in seen.headers if name.startswith(("lmts", "content"))]


UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


@pytest.mark.parametrize(
    "token_id",
    [
        "plain",
        "a/b",
        "a+b",
        "a=b",
        "100%",
        "%2F",
        "%2e%2e",
        "a?b",
        "a#b",
        "a b",
        "../up",
        "a/../b",
        "...",
        "~x_-.",
        "é",
        "\n",
        "a\\b",
    ],
)
def test_revoke_on_the_wire(token_id: str) -> None:
    """Any id is one percent-encoded segment, the same on the wire and in the signature,
    with no body and no Content-Type.
    """
    with HttpStub(REVOKED) as stub, client_of(stub) as client:
        client.revoke_token(token_id)
        (seen,) = stub.seen
    path = "/auth/api-tokens/" + "".join(
        chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in token_id.encode()
    )
    assert (seen.method, seen.target, seen.body) == ("DELETE", path, b"")
    assert seen.headers["lmts-signature"] == expected_signature(seen, path=path)
    assert not [name for name in seen.headers if name.startswith(("content", "transfer"))]


@pytest.mark.parametrize("token_id", ["", ".", "..", "x" * 1025, "\ud800"])
def test_ids_that_are_none(token_id: str) -> None:
    """An id that intermediaries would resolve away, or that can't be sent, is refused
    before any request.
    """
    with HttpStub() as stub, client_of(stub) as client:
        with pytest.raises(ExchangeRefusedError, match="can't be a token id"):
            client.revoke_token(token_id)
        assert stub.seen == []


@pytest.mark.parametrize(
    "identity",
    ["", "canary token", "canary\n", "canary\r\nX: y", "canary-é", "canary\0", "c" * 16385],
)
def test_identity_that_is_none(identity: str) -> None:
    """A text that can't stand in a header is refused before a request, and is not in
    the message.
    """
    with HttpStub() as stub, client_of(stub) as client:
        for ask in (client.get_capabilities, client.derive_token, client.wait_turn_to_derive):
            with pytest.raises(
                ExchangeRefusedError, match="identity token is empty, too long"
            ) as caught:
                ask(identity)
            assert "canary" not in chain_of(caught.value)
        assert stub.seen == []


def test_signing_needs_a_signer() -> None:
    """List and revoke without credentials, or with an id that can't stand in a header,
    end before a request.
    """
    with HttpStub() as stub, TokenClient(stub.url) as client:
        for act in (client.list_tokens, lambda: client.revoke_token("x")):
            with pytest.raises(UsageError, match="give the client HMAC credentials"):
                act()
        with pytest.raises(ExchangeRefusedError, match="signing token's id can't be one"):
            client.signed_by(Credentials(token_id="a b", secret=PAIR.secret)).list_tokens()
        assert stub.seen == []


# --- the base URL and the environment ---


@pytest.mark.parametrize(
    "url",
    [
        "https://api.limitless.exchange",
        "https://api.limitless.exchange./v1/",
        "https://exchange:8443",
        "https://[::1]:8443",
        "https://10.0.0.1",
        "http://localhost:1",
        "http://LOCALHOST",
        "http://127.0.0.1:8080/prefix",
        "http://127.9.9.9",
        "http://[::1]:80",
    ],
)
def test_base_urls(url: str) -> None:
    """TLS anywhere, http on loopback; the canonical form can be asked for."""
    with TokenClient(url) as client:
        assert client.base_url == url.lower().removesuffix("/").removesuffix(":80")


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        ("https://xn--bcher-kva.example", "https://B\u00fccher.example/"),
        ("https://xn--bcher-kva.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://host/V1", "HTTPS://HOST:443/V1/"),
        ("http://localhost", "http://localhost:80/"),
        ("https://[::1]:80", "https://[::1]:80"),
    ],
)
def test_one_text_for_each_exchange(expected: str, url: str) -> None:
    """However it is written: the ledger compares it."""
    with TokenClient(url) as client:
        assert client.base_url == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.limitless.exchange",
        "ftp://localhost",
        "https://",
        "https:///path",
        "https://a..b",
        "https://xn--a",
        "https://.a",
        f"https://{'a' * 64}.b",
        "https://a:99999",
        "https://a:b",
        "https://a b",
        "https://a\n",
        "http://api.limitless.exchange",
        "http://10.0.0.1",
        "http://localhost.evil",
        "http://0.0.0.0",
        "http://2130706433",
        "http://[::2]",
        "https://user:canary@host",
        "https://canary@host",
        "https://@host",
        "https://host?canary",
        "https://host/?",
        "https://host#canary",
        "https://host/a%20b",
        "https://host//a",
        "https://host/a/../b",
        "https://host/.",
        "https://[v1.a]",
        "https://[host]",
        "https://999.0.0.1",
        "https://host:+80",
        "https://host:\u0663",
        " https://host",
        "https://\u0000",
    ],
)
def test_base_urls_refused(url: str) -> None:
    """Everything else is a usage error that does not repeat the URL: a password may be
    in it.
    """
    with pytest.raises(UsageError, match="LIMITLESS_API_URL") as caught:
        TokenClient(url)
    assert "canary" not in chain_of(caught.value)


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_timeouts_refused(timeout_s: float) -> None:
    """A timeout that bounds nothing is refused."""
    with pytest.raises(UsageError, match="timeout"):
        TokenClient(timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "gopher://canary:1"),
        ("HTTPS_PROXY", "http://canary:port"),
        ("SSL_CERT_FILE", "/none/canary"),
    ],
)
def test_environment_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A proxy or certificate file that can't be used is a usage error that names the
    variables, not their values.
    """
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=name) as caught:
        TokenClient("https://exchange.invalid")
    assert "canary" not in str(caught.value)


def test_loopback_ignores_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback address never goes through a proxy, which would see the credentials in
    the clear.
    """
    with HttpStub() as proxy, HttpStub(EMPTY_LIST) as stub:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        with client_of(stub) as client:
            assert client.list_tokens() == ()
        assert proxy.seen == []


def test_https_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS is tunnelled through the environment's proxy; a refusal there means that
    nothing was sent, and it saw no header.
    """
    with HttpStub(say(http(403))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)
        with (
            TokenClient("https://exchange.invalid") as client,
            pytest.raises(ExchangeUnreachableError, match="HTTPS_PROXY"),
        ):
            client.derive_token(IDENTITY)
        (seen,) = proxy.seen
        (lane,) = client._calls._lanes.values()
    assert (seen.method, seen.target) == ("CONNECT", "exchange.invalid:443")
    assert lane._last is None, "a CONNECT is not the request, whose gap starts later"
    assert "identity" not in seen.headers


# --- what a derive's outcome means ---

REFUSED = {400, 401, 403, 404, 422, 429}


def test_every_status_of_a_derive() -> None:
    """Of all statuses, 200 and 201 are a success, six are refusals, all others unclear;
    each is asked once.
    """
    expected: dict[int, type[ExchangeError] | None] = dict.fromkeys(
        range(200, 600), ExchangeUnclearError
    )
    expected |= (
        dict.fromkeys(REFUSED, ExchangeRefusedError)
        | {401: ExchangeUnauthorizedError, 429: ExchangeBusyError}
        | dict.fromkeys((200, 201))
    )
    script = [
        say(http(status, DERIVED, headers={"Location": "https://elsewhere.invalid"}))
        for status in expected
    ]
    with HttpStub(*script) as stub, client_of(stub, Time()) as client:
        errors = {status: failure_of(lambda: client.derive_token(IDENTITY)) for status in expected}
        assert len(stub.seen) == len(expected)
    assert {
        status: None if error is None else type(error) for status, error in errors.items()
    } == expected
    assert {error.status for error in errors.values() if error is not None} == set(expected) - {
        200,
        201,
    }
    assert {hangs_on(error) for error in errors.values()} == {None}


SLOW_S = 0.15
PART = http(201, DERIVED)[:-5]


@pytest.mark.parametrize(
    "answer",
    [
        hang(),
        hang(b"HTTP/1.1 201 X\r\n"),
        hang(PART),
        reset(),
        reset(PART),
        drop(),
        say(PART),
        say(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"),
        say(b"SSH-2.0-OpenSSH\r\n\r\n"),
        say(http(307, headers={"Location": "http://[broken"})),
        say(b"HTTP/1.1 201 X\r\n" + b"X: " + b"y" * 200_000),
        drip(http(201, DERIVED), every_s=SLOW_S / 3),
        drip(http(201, DERIVED, headers={"X": "y" * 1000})[:40] + b"y" * 1000, every_s=SLOW_S / 3),
    ],
    ids=[
        "silence",
        "silence after the status",
        "silence in the body",
        "reset",
        "reset in the body",
        "dropped",
        "truncated",
        "truncated chunks",
        "not HTTP",
        "redirect to nowhere",
        "endless header",
        "dripped",
        "dripped head",
    ],
)
def test_derive_whose_reply_is_lost(answer: Answer) -> None:
    """Once the request was sent, no trouble with the reply reads as a refusal; nothing
    is sent again, and it ends in time.
    """
    started_s = time.monotonic()
    with (
        HttpStub(answer, otherwise=say(http(201, DERIVED))) as stub,
        client_of(stub, timeout_s=SLOW_S) as client,
    ):
        with pytest.raises(
            ExchangeUnclearError, match="the token may exist all the same"
        ) as caught:
            client.derive_token(IDENTITY)
        assert time.monotonic() - started_s < 3 * SLOW_S + 0.5
        assert len(stub.seen) == 1
    assert hangs_on(caught.value) is None


def test_derive_that_never_left() -> None:
    """Where no connection was opened, it is certain that nothing was done."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with HttpStub() as plain:
        for url in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{plain.port}"):
            client = TokenClient(url, timeout_s=0.2)
            with (
                client,
                pytest.raises(ExchangeUnreachableError, match="nothing was sent") as caught,
            ):
                client.derive_token(IDENTITY)
            assert hangs_on(caught.value) is None


def test_connected_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that opens only after the whole request's time is not used:
    certainly nothing was done.
    """
    connect = socket.create_connection

    def slowly(*args: Any, **kwargs: Any) -> socket.socket:
        time.sleep(0.2)
        return connect(*args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", slowly)
    with HttpStub(say(http(201, DERIVED))) as stub, client_of(stub, timeout_s=0.03) as client:
        error = failure_of(lambda: client.derive_token(IDENTITY))
    assert isinstance(error, ExchangeUnreachableError)
    assert stub.seen == []


@pytest.mark.parametrize("status", sorted(REFUSED))
def test_refusal_stands_whatever_follows(status: int) -> None:
    """A refusing status counts as soon as it is there: a body that never comes, or an
    HTML page, changes nothing.
    """
    answers = [
        hang(http(status, length=100)),
        reset(http(status, length=100)),
        say(http(status, body=b"<html>")),
    ]
    with HttpStub(*answers) as stub, client_of(stub, timeout_s=1) as client:
        started_s = time.monotonic()
        for _ in answers:
            with pytest.raises(ExchangeRefusedError):
                client.derive_token(IDENTITY)
        assert time.monotonic() - started_s < 0.9


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """The document without these keys."""
    return {key: value for key, value in document.items() if key not in names}


@pytest.mark.parametrize(
    "document",
    [
        DERIVED | {"unknown": 1},
        without(DERIVED, "apiKey"),
        DERIVED | {"apiKey": None},
        DERIVED | {"profile": {"id": 42}},
        DERIVED | {"profile": {"id": 42, "account": None, "unknown": []}},
        DERIVED | {"createdAt": "2026-03-23T14:34:56+02:00"},
        DERIVED | {"scopes": ["brand_new"]},
    ],
)
def test_derived_leniently(document: dict[str, Any]) -> None:
    """What is not needed may be missing, unknown or new."""
    with HttpStub(say(http(201, document))) as stub, client_of(stub) as client:
        assert client.derive_token(IDENTITY).token_id == "new-1"


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        [DERIVED],
        *[
            without(DERIVED, name)
            for name in ("tokenId", "secret", "createdAt", "scopes", "profile")
        ],
        *[
            DERIVED | {name: None}
            for name in ("tokenId", "secret", "createdAt", "scopes", "profile")
        ],
        DERIVED | {"apiKey": "other"},
        DERIVED | {"apiKey": ["new-1"]},
        DERIVED | {"tokenId": "", "apiKey": ""},
        DERIVED | {"tokenId": "new 1", "apiKey": "new 1"},
        DERIVED | {"tokenId": 1, "apiKey": 1},
        DERIVED | {"secret": ""},
        DERIVED | {"secret": "canary!"},
        DERIVED | {"createdAt": "yesterday"},
        DERIVED | {"scopes": "trading"},
        DERIVED | {"scopes": [1]},
        DERIVED | {"profile": {}},
        DERIVED | {"profile": {"id": "42"}},
        DERIVED | {"profile": {"id": True}},
        DERIVED | {"profile": {"id": 42, "account": 1}},
    ],
)
def test_derived_unreadably(document: Any) -> None:
    """A success that can't be read whole is unclear, and nothing of it is in the
    message.
    """
    with HttpStub(say(http(201, document))) as stub, client_of(stub) as client:
        with pytest.raises(ExchangeUnclearError, match="can't be read") as caught:
            client.derive_token(IDENTITY)
        assert "anary" not in chain_of(caught.value)


GARBLED = [
    b"",
    b"{",
    b"\xff\xfe\xff",
    b"<!doctype html><p>canary",
    b"[" * 200_000,
    b'"\\ud800"',
    b"[" + b"9" * 5000 + b"]",
]


@pytest.mark.parametrize("body", GARBLED, ids=range(len(GARBLED)))
def test_replies_that_are_no_json(body: bytes) -> None:
    """A success whose body is not the expected JSON is unclear for every call that
    reads one.
    """
    with HttpStub(otherwise=say(http(200, body=body))) as stub, client_of(stub) as client:
        for ask in (
            client.list_tokens,
            lambda: client.get_capabilities(IDENTITY),
            lambda: client.derive_token(IDENTITY),
        ):
            with pytest.raises(ExchangeUnclearError, match="can't be read") as caught:
                ask()
            assert hangs_on(caught.value) is None
        assert len(stub.seen) == 3


def test_a_profile_with_fifty_thousand_tokens() -> None:
    """As many as several large manifests have on one profile, with labels of 128
    characters: the list is read whole.
    """
    many = [
        TOKEN | {"tokenId": f"{number:043}", "label": f"{number:08}" + "x" * 120}
        for number in range(50_000)
    ]
    with HttpStub(say(http(200, many))) as stub, client_of(stub) as client:
        listed = client.list_tokens()
    assert len(listed) == 50_000
    assert listed[-1].label == "00049999" + "x" * 120


def test_replies_beyond_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that is too large, compressed unasked, or lists too many tokens, is not
    read.
    """
    monkeypatch.setattr(exchange, "MAX_REPLY_BYTES", 1000)
    monkeypatch.setattr(bodies, "MAX_TOKENS", 3)
    packed = http(200, body=gzip.compress(b"[]"), headers={"Content-Encoding": "gzip"})
    many = [TOKEN | {"tokenId": str(number)} for number in range(4)]
    with (
        HttpStub(
            say(http(200, body=b"[" + b" " * 999 + b"]")), say(packed), say(http(200, many))
        ) as stub,
        client_of(stub) as client,
    ):
        for _ in range(3):
            with pytest.raises(ExchangeUnclearError, match="token list can't be read"):
                client.list_tokens()
    just_fits = [say(http(200, body=b"[" + b" " * 998 + b"]")), say(http(200, many[:3]))]
    with HttpStub(*just_fits) as stub, client_of(stub) as client:
        assert [len(client.list_tokens()) for _ in just_fits] == [0, 3]


# --- the list ---


def test_list_leniently() -> None:
    """Null and missing labels and uses, offsets, unknown fields and scopes are read;
    order is kept; scopes are a set.
    """
    entries = [
        {"tokenId": "2", "createdAt": "2026-03-01T02:00:00+02:00", "scopes": [], "extra": {"a": 1}},
        TOKEN
        | {"label": None, "scopes": ["x", "trading", "x"], "lastUsedAt": "2026-03-01T00:00:01Z"},
        TOKEN | {"tokenId": "1", "label": "b\ud800t"},
    ]
    at_ms = instant_ms("2026-03-01T00:00:00Z")
    with HttpStub(say(http(200, entries))) as stub, client_of(stub) as client:
        assert client.list_tokens() == (
            LiveToken(token_id="2", label=None, scopes=(), created_at_ms=at_ms),
            LiveToken(
                token_id="a/b+c=",
                label=None,
                scopes=("trading", "x"),
                created_at_ms=at_ms,
                last_used_at_ms=at_ms + 1000,
            ),
            LiveToken(token_id="1", label="b\ufffdt", scopes=("trading",), created_at_ms=at_ms),
        )


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"data": [TOKEN]},
        "[]",
        [TOKEN, None],
        [TOKEN, []],
        [TOKEN, TOKEN],
        [TOKEN, without(TOKEN, "tokenId")],
        [TOKEN, without(TOKEN, "createdAt") | {"tokenId": "2"}],
        [TOKEN, without(TOKEN, "scopes") | {"tokenId": "2"}],
        [TOKEN | {"tokenId": ""}],
        [TOKEN | {"tokenId": 7}],
        [TOKEN | {"tokenId": "\ud800"}],
        [TOKEN | {"createdAt": "x"}],
        [TOKEN | {"createdAt": 1}],
        [TOKEN | {"scopes": None}],
        [TOKEN | {"scopes": [None]}],
        [TOKEN | {"label": 1}],
        [TOKEN | {"lastUsedAt": "x"}],
        [TOKEN | {"lastUsedAt": 1}],
    ],
)
def test_list_unreadably(document: Any) -> None:
    """A list with anything in it that can't be read is no list: a part of it is never
    returned.
    """
    with (
        HttpStub(say(http(200, document))) as stub,
        client_of(stub) as client,
        pytest.raises(ExchangeUnclearError, match=r"list( \(\S+\))? can't be read"),
    ):
        client.list_tokens()


def test_an_entry_that_cannot_be_read_is_named() -> None:
    """It is told beside the entries that can: its place, its id, and what is wrong."""
    nameless = without(TOKEN, "tokenId") | {"label": "bot\ud800"}
    wrong = TOKEN | {"tokenId": "x", "scopes": None, "label": 7}
    twice = TOKEN | {"tokenId": "2"}
    document = [TOKEN, nameless, wrong, "canary", twice, twice]
    with HttpStub(say(http(200, document))) as stub, client_of(stub) as client:
        found = client.list_entries()
    assert found.tokens == (LIVE,)
    assert [str(entry) for entry in found.unreadable] == [
        "entry 2 of the exchange's list can't be read: its tokenId is no text",
        "entry 3 of the exchange's list (x) can't be read: its label is no text",
        "entry 4 of the exchange's list can't be read: it is no object",
        "entry 5 of the exchange's list (2) can't be read: its id stands there twice",
        "entry 6 of the exchange's list (2) can't be read: its id stands there twice",
    ]
    assert [entry.label for entry in found.unreadable] == ["bot\ufffd", None, None, "bot", "bot"]


@pytest.mark.parametrize("status", [201, 204, 206])
def test_list_of_another_success(status: int) -> None:
    """Only a 200 is the list; a 206 says itself that it is a part."""
    with (
        HttpStub(say(http(status, [TOKEN]))) as stub,
        client_of(stub) as client,
        pytest.raises(ExchangeUnclearError),
    ):
        client.list_tokens()


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        *[CAPABILITIES | {name: "1"} for name in CAPABILITIES],
        CAPABILITIES | {"partnerProfileId": True},
    ],
)
def test_capabilities_unreadably(document: Any) -> None:
    """Capabilities that can't be read whole are unclear."""
    with (
        HttpStub(say(http(200, document))) as stub,
        client_of(stub) as client,
        pytest.raises(ExchangeUnclearError, match="can't be read"),
    ):
        client.get_capabilities(IDENTITY)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*TOKEN, *DERIVED, *CAPABILITIES, "id", "account"]), inner, max_size=8
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60, database=None)
@given(document=ANY_JSON, text=st.text(max_size=40))
@example(document=None, text="0\x1f")
def test_no_reply_breaks_the_reader(document: Any, text: str) -> None:
    """Whatever JSON or header comes, the readers read it or say that they can't; they
    never raise.
    """
    for read in (
        bodies.listing_of,
        bodies.derived_of,
        bodies.capabilities_of,
        bodies.profile_of,
    ):
        read(document)
    assert (
        replies.retry_after_of(text, now_ms=0) is None or http_date(text) or text.strip().isdigit()
    )


# --- revoke and repetition ---


@pytest.mark.parametrize(
    "answer",
    [
        REVOKED,
        say(http(204, body=b"")),
        say(http(200, body=b"<p>")),
        hang(http(200, length=9)),
        say(PART),
    ],
)
def test_revoked(answer: Answer) -> None:
    """Any success revokes, whatever the body says or whether it comes."""
    with HttpStub(answer) as stub, client_of(stub, timeout_s=1) as client:
        client.revoke_token("x")
        assert len(stub.seen) == 1


def calls_of(client: TokenClient) -> tuple[Callable[[], object], ...]:
    """The three calls that may be repeated."""
    return (
        client.list_tokens,
        lambda: client.revoke_token("x"),
        lambda: client.get_capabilities(IDENTITY),
    )


def test_every_status_of_a_revoke_and_a_list() -> None:
    """Statuses of maintenance are tried three times, of congestion six, all others
    once; refusals and doubt are told apart.
    """
    times_of = dict.fromkeys((425, 502, 503, 504), 3) | {429: 6}
    got: dict[tuple[str, int], tuple[object, int]] = {}
    script = [
        say(http(status)) for status in range(300, 600) for _ in range(times_of.get(status, 1))
    ]
    with HttpStub(*script, *script) as stub, client_of(stub) as client:
        for name, call in (
            ("list", client.list_tokens),
            ("revoke", lambda: client.revoke_token("x")),
        ):
            for status in range(300, 600):
                before = len(stub.seen)
                got[name, status] = (outcome_of(call), len(stub.seen) - before)
    for (name, status), (outcome, times) in got.items():
        refused = status in REFUSED or (name == "list" and status < 400)
        expected = ExchangeRefusedError if refused else ExchangeUnclearError
        named = {401: ExchangeUnauthorizedError, 429: ExchangeBusyError}
        assert outcome == named.get(status, expected), (name, status)
        assert times == times_of.get(status, 1), (name, status)


@pytest.mark.parametrize(
    "trouble",
    [say(http(503)), say(http(429)), reset(), drop(), say(http(200, [], length=50)), hang()],
)
def test_repeated_until_it_works(trouble: Answer) -> None:
    """A read or a revoke that failed for the moment is sent again, each time signed
    anew, after growing pauses.
    """
    moment = Time()
    good = say(http(200, [CAPABILITIES]))
    with HttpStub(trouble, trouble, good) as stub, client_of(stub, moment, timeout_s=0.1) as client:
        started_s = moment.now_s
        assert outcome_of(client.list_tokens) is ExchangeUnclearError, (
            "the third answer was read, and is no list"
        )
        assert len(stub.seen) == 3
        assert moment.now_s - started_s == pytest.approx(1.5)
        assert [seen.headers["lmts-timestamp"][-10:] for seen in stub.seen] == [
            "34:56.789Z"[-10:],
            "34:57.289Z",
            "34:58.289Z",
        ]


@pytest.mark.parametrize(
    ("trouble", "expected", "times"),
    [
        (say(http(503)), ExchangeUnclearError, 3),
        (say(http(429)), ExchangeBusyError, 6),
        (drop(), ExchangeUnclearError, 3),
    ],
)
def test_repeated_within_bounds(trouble: Answer, expected: type[ExchangeError], times: int) -> None:
    """After three attempts, six where it is busy, the last outcome counts."""
    with HttpStub(otherwise=trouble) as stub, client_of(stub) as client:
        for number, call in enumerate(calls_of(client), start=1):
            assert outcome_of(call) is expected
            assert len(stub.seen) == times * number


def test_unreachable_is_tried_again() -> None:
    """A list whose connection can't be opened is tried three times and is then certain
    not to have been done.
    """
    moment = Time()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    client = TokenClient(url, credentials=PAIR, monotonic=moment.monotonic, sleep=moment.sleep)
    with client:
        assert outcome_of(client.list_tokens) is ExchangeUnreachableError
    assert moment.now_s == pytest.approx(1001.5)


def http_date_in(seconds: float) -> str:
    """An HTTP date that many seconds after the clock's start."""
    return formatdate(START_S + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("header", "pauses_s"),
    [
        ("7", 7),
        ("0", 0.5),
        ("60", 60),
        (http_date_in(10.3), 10.211),
        ("garbage", 0.5),
        ("-5", 0.5),
        (http_date_in(-100), 0.5),
    ],
)
def test_retry_after(header: str, pauses_s: float) -> None:
    """``Retry-After`` in seconds or as a date lengthens the pause; nonsense doesn't."""
    moment = Time()
    with (
        HttpStub(say(http(429, headers={"Retry-After": header})), EMPTY_LIST) as stub,
        client_of(stub, moment) as client,
    ):
        assert client.list_tokens() == ()
    assert moment.now_s - 1000.0 == pytest.approx(pauses_s, abs=0.01)


def test_retry_after_too_long() -> None:
    """Asked to wait longer than a minute, a read gives up at once instead of coming
    back too early.
    """
    moment = Time()
    with (
        HttpStub(otherwise=say(http(503, headers={"Retry-After": "61"}))) as stub,
        client_of(stub, moment) as client,
    ):
        assert outcome_of(client.list_tokens) is ExchangeUnclearError
        assert (len(stub.seen), moment.slept) == (1, [])


def test_retries_are_bounded_in_total() -> None:
    """Two pauses of a minute each would pass the bound over all attempts, so the second
    is not made.
    """
    moment = Time()
    with (
        HttpStub(otherwise=say(http(503, headers={"Retry-After": "60"}))) as stub,
        client_of(stub, moment) as client,
    ):
        assert outcome_of(client.list_tokens) is ExchangeUnclearError
        assert (len(stub.seen), moment.now_s) == (2, 1060.0)


@pytest.mark.parametrize("status", [201, 403, 500])
def test_retry_after_delays_the_next_derive(status: int) -> None:
    """A derive is never repeated, but the identity's next call waits as asked, a minute
    at most; other credentials don't.
    """
    moment = Time()
    script = [
        say(http(status, DERIVED, headers={"Retry-After": "900"})),
        EMPTY_LIST,
        say(http(201, DERIVED)),
    ]
    with HttpStub(*script, clock=moment.monotonic) as stub, client_of(stub, moment) as client:
        outcome_of(lambda: client.derive_token(IDENTITY))
        client.list_tokens()
        client.derive_token(IDENTITY)
        assert [seen.at_s for seen in stub.seen] == [1000.0, 1000.0, 1060.0]


# --- sentences ---


@pytest.mark.parametrize(
    ("status", "call", "sentence"),
    [
        (401, 2, "refused the identity token: it may have expired, get a new one"),
        (
            401,
            0,
            "refused the signature of token id-1: it may be revoked, or the secret is another's$",
        ),
        (
            403,
            0,
            (
                "token management is switched off for the profile, a scope isn't allowed, or its "
                "edge blocks this client"
            ),
        ),
        (404, 0, "no such address, check LIMITLESS_API_URL"),
        (429, 0, "wait a minute and try again"),
        (400, 1, "unknown or already revoked"),
        (302, 0, "points to another address, check LIMITLESS_API_URL"),
        (503, 0, r"is in maintenance \(status 503\): try again later"),
        (
            425,
            1,
            r"in maintenance \(status 425\); it may be revoked all the same, so look at the list",
        ),
        (500, 1, r"gave no clear answer \(status 500\); it may be revoked all the same"),
    ],
)
def test_sentences(status: int, call: int, sentence: str) -> None:
    """Each refusal says what happened and what to do, chosen by the status alone."""
    answer = say(http(status, {"message": "canary: the token is revoked, rate limit, maintenance"}))
    with HttpStub(otherwise=answer) as stub, client_of(stub) as client:
        with pytest.raises(ExchangeError, match=sentence) as caught:
            calls_of(client)[call]()
        assert "canary" not in chain_of(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 500, 502])
def test_html_pages(status: int) -> None:
    """A page instead of JSON points to the address and to what stands in between, and
    is not repeated.
    """
    answer = say(
        http(status, body=b"<html>canary", headers={"Content-Type": "text/html; charset=utf-8"})
    )
    with HttpStub(otherwise=answer) as stub, client_of(stub) as client:
        with pytest.raises(
            ExchangeError,
            match=r"HTML page: is LIMITLESS_API_URL right, or is a proxy in between\?",
        ) as caught:
            client.list_tokens()
        assert "canary" not in chain_of(caught.value)


def test_redirects_and_cookies_are_not_followed() -> None:
    """A redirect takes no credentials elsewhere, and no cookie comes back with another
    credential.
    """
    with HttpStub() as elsewhere:
        headers = {"Location": f"{elsewhere.url}/x", "Set-Cookie": "canary=1; Path=/"}
        with HttpStub(otherwise=say(http(308, headers=headers))) as stub, client_of(stub) as client:
            for call in calls_of(client):
                outcome_of(call)
            outcome_of(lambda: client.derive_token(IDENTITY))
            assert [seen.headers.get("cookie") for seen in stub.seen] == [None] * 4
        assert elsewhere.seen == []


def test_nothing_secret_is_logged_or_raised(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With every logger at DEBUG, neither identity, secret nor signature is in a log,
    an output or an error.
    """
    caplog.set_level(logging.DEBUG)
    answers = [
        say(http(200, DERIVED)),
        say(http(200, [])),
        say(http(401)),
        say(b"junk\r\n\r\n"),
        reset(),
        hang(),
        say(PART),
        drop(),
    ]
    printed: list[str] = []
    signatures: set[str] = set()
    for answer in answers:
        with HttpStub(otherwise=answer) as stub, client_of(stub, timeout_s=0.1) as client:
            calls: list[Callable[[], object]] = [
                *calls_of(client),
                partial(client.derive_token, Secret(IDENTITY)),
            ]
            for call in calls:
                try:
                    printed.append(repr(call()))
                except ExchangeError as error:
                    printed.append(chain_of(error))
            signatures |= {
                seen.headers["lmts-signature"]
                for seen in stub.seen
                if "lmts-signature" in seen.headers
            }
    assert "send_request_headers.started" in caplog.text, "the libraries did log"
    assert len(signatures) > 5
    text = caplog.text + "\n".join(printed) + "".join(capfd.readouterr())
    assert [
        canary for canary in (IDENTITY, KEY_TEXT, "canary", *signatures) if canary in text
    ] == []


# --- the exchange's clock ---


@pytest.mark.parametrize(
    ("ahead_s", "offset_ms"),
    [
        (0, 0),
        (0.7, 0),
        (-0.7, 0),
        (-1.2, -1289),
        (2, 1711),
        (30, 29711),
    ],
)
def test_measured_skew(ahead_s: float, offset_ms: int) -> None:
    """The offset is the Date, half a second added for its grain, minus the local time;
    within the grain it is 0.
    """
    moment = Time()
    with (
        HttpStub(say(http(200, [], headers={"Date": http_date_in(ahead_s)}))) as stub,
        client_of(stub, moment) as client,
    ):
        assert (client.clock().offset_ms, client.clock().now_ms()) == (0, round(START_S * 1000))
        client.list_tokens()
        assert client.clock().offset_ms == offset_ms
        assert client.clock().now_ms() == round(START_S * 1000) + offset_ms


@pytest.mark.parametrize(
    "date",
    [
        "",
        "garbage",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun, 22 Nov 9999 00:00:00 GMT",
        "99",
        "Mon, 99 Nov 2026 00:00:00 GMT",
    ],
)
def test_dates_that_are_no_measurement(date: str) -> None:
    """A Date that can't be, or is missing, measures nothing and breaks nothing."""
    with HttpStub(say(http(200, [], headers={"Date": date}))) as stub, client_of(stub) as client:
        client.list_tokens()
        assert client.clock().offset_ms == 0


def observed(moment: Time, clock: ExchangeClock, *, ahead_s: float, trip_s: float) -> int:
    """The offset after one more reply: the server wrote its Date in the middle of the
    trip.
    """
    sent_at_s = moment.now_s
    moment.now_s += trip_s / 2
    date = formatdate(moment.wall() + ahead_s, usegmt=True)
    moment.now_s += trip_s / 2
    clock.observe(date, sent_at_s=sent_at_s)
    return clock.offset_ms


def test_best_recent_measurement_counts() -> None:
    """A shorter round trip replaces a longer one, not the reverse; age ends its
    reign.
    """
    moment = Time()
    clock = ExchangeClock(moment.wall, moment.monotonic)
    first = observed(moment, clock, ahead_s=20, trip_s=2)
    better = observed(moment, clock, ahead_s=20.4, trip_s=0.1)
    assert first != better
    assert better == observed(moment, clock, ahead_s=20.9, trip_s=2), (
        "the slower reply is less exact"
    )
    moment.now_s += 301
    assert observed(moment, clock, ahead_s=21, trip_s=3) == pytest.approx(21_000, abs=500), (
        "the old one is stale"
    )


def test_slow_replies_are_no_skew() -> None:
    """A Date from the end of a long round trip differs by half of it from the middle,
    which is nothing measured.
    """
    moment = Time()
    clock = ExchangeClock(moment.wall, moment.monotonic)
    clock.observe(formatdate(moment.wall(), usegmt=True), sent_at_s=moment.now_s - 20)
    assert clock.offset_ms == 0


def test_opening_a_connection_is_no_part_of_the_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The round trip is measured from the request's first byte: a slow connection does
    not blur the measured skew.
    """
    moment = Time()
    connect = socket.create_connection

    def slowly(*args: Any, **kwargs: Any) -> socket.socket:
        moment.now_s += 20
        return connect(*args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", slowly)
    answer = say(http(200, [], headers={"Date": http_date_in(20 + 7)}))
    with HttpStub(answer) as stub, client_of(stub, moment) as client:
        client.list_tokens()
        assert client.clock().offset_ms == pytest.approx(7000, abs=500)


def test_signed_anew_after_an_unknown_skew() -> None:
    """A first 401 whose Date shows a skew of 5 s or more is answered by one more
    attempt, signed with the exchange's time.
    """
    ahead = {"Date": http_date_in(100)}
    for call, good in (
        (TokenClient.list_tokens, http(200, [], headers=ahead)),
        (lambda client: client.revoke_token("x"), http(200)),
    ):
        with HttpStub(say(http(401, headers=ahead)), say(good)) as stub, client_of(stub) as client:
            call(client)
            stamps = [instant_ms(seen.headers["lmts-timestamp"]) for seen in stub.seen]
            assert stamps[1] - stamps[0] == pytest.approx(100_000, abs=1000)
            assert stub.seen[1].headers["lmts-signature"] != stub.seen[0].headers["lmts-signature"]


@pytest.mark.parametrize(("ahead_s", "times"), [(0, 1), (4, 1), (-4, 1), (7, 2), (-7, 2)])
def test_refused_in_spite_of_the_time(ahead_s: float, times: int) -> None:
    """Without a skew, or with the other time refused as well, a 401 stands after at
    most one more attempt, and is told.

    The other time is the exchange's first, and the machine's own once that is known.
    """
    with (
        HttpStub(otherwise=say(http(401, headers={"Date": http_date_in(ahead_s)}))) as stub,
        client_of(stub) as client,
    ):
        for number in (0, 1):
            with pytest.raises(ExchangeUnauthorizedError) as caught:
                client.list_tokens()
            assert len(stub.seen) == times * (number + 1)
        assert ("this machine's clock is" in str(caught.value)) == (times > 1)
        assert (" behind the" in str(caught.value)) == (ahead_s > 5)


# --- pacing ---


def test_gap_between_starts() -> None:
    """One credential's requests start 301 ms apart, whichever call they are; an
    identity's are another credential's.
    """
    moment = Time()
    with HttpStub(otherwise=say(http(200, []))) as stub, client_of(stub, moment) as client:
        stub_times = []
        for call in (client.list_tokens, lambda: client.revoke_token("x"), client.list_tokens):
            call()
            stub_times.append(moment.now_s)
        outcome_of(lambda: client.get_capabilities(IDENTITY))
        client.signed_by(Credentials(token_id="id-2", secret=PAIR.secret)).list_tokens()
        assert [moment.now_s - 1000.0, *stub_times] == pytest.approx(
            [2 * GAP_S, 1000.0, 1000.0 + GAP_S, 1000.0 + 2 * GAP_S]
        )
        outcome_of(lambda: client.derive_token(IDENTITY))
        assert moment.now_s - 1000.0 == pytest.approx(3 * GAP_S)
        client.signed_by(PAIR).list_tokens()
        assert moment.now_s - 1000.0 == pytest.approx(3 * GAP_S), (
            "the same credential through another client shares its pace"
        )


def test_gap_holds_where_the_connection_was_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap is kept between the requests' first bytes, however differently long their
    connections took to open.
    """
    moment = Time()
    connect = socket.create_connection
    delays = iter([0.25, 0.0, 0.25, 0.0])

    def slowly(*args: Any, **kwargs: Any) -> socket.socket:
        moment.now_s += next(delays)
        return connect(*args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", slowly)
    with (
        HttpStub(otherwise=EMPTY_LIST, clock=moment.monotonic) as stub,
        client_of(stub, moment) as client,
    ):
        for _ in range(4):
            client.list_tokens()
        at_s = [seen.at_s for seen in stub.seen]
    assert min(later - earlier for earlier, later in pairwise(at_s)) == pytest.approx(GAP_S)


class Crowd:
    """Threads that are joined at the end; a failure in one fails the test."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []

    def start(self, work: Callable[[], object]) -> None:
        """Do this on a thread of its own."""

        def run() -> None:
            try:
                work()
            except (ExchangeError, AssertionError) as error:
                self.failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(timeout=10)
        assert self.failures == []
        assert not [thread for thread in self._threads if thread.is_alive()]


def test_paced_in_real_time() -> None:
    """Four threads on one credential: never more than two in flight, never less than
    300 ms between; another isn't held up.
    """
    slow = say(http(200, []), after_s=0.75)
    with HttpStub(otherwise=slow) as busy, TokenClient(busy.url, credentials=PAIR) as client:
        other = client.signed_by(Credentials(token_id="id-2", secret=PAIR.secret))
        started_s = time.monotonic()
        with Crowd() as crowd:
            for _ in range(4):
                crowd.start(client.list_tokens)
            crowd.start(other.list_tokens)
        ended_s = time.monotonic() - started_s
        at_s = [seen.at_s for seen in busy.seen if seen.headers["lmts-api-key"] == "id-1"]
        (other_at_s,) = [seen.at_s for seen in busy.seen if seen.headers["lmts-api-key"] == "id-2"]
    gaps_s = [later - earlier for earlier, later in pairwise(at_s)]
    assert busy.most_in_flight == 3, "two of the one and one of the other"
    assert min(gaps_s) >= 0.29, gaps_s
    assert other_at_s - started_s < 0.25
    assert at_s[2] - at_s[0] >= 0.74, "the third waits for an answer"
    assert ended_s < 2.6


def test_first_come_first_served() -> None:
    """Waiting threads get their turns in the order in which they came."""
    with (
        HttpStub(otherwise=REVOKED) as stub,
        TokenClient(stub.url, credentials=PAIR) as client,
        Crowd() as crowd,
    ):
        for name in "abcd":
            crowd.start(partial(client.revoke_token, name))
            time.sleep(0.03)
    assert [seen.target[-1] for seen in stub.seen] == list("abcd")


def test_interrupted_wait_blocks_nobody() -> None:
    """A thread that is interrupted while it waits for its turn leaves the line."""

    class Interrupted(Time):
        def sleep(self, seconds: float) -> None:
            if not self.slept:
                self.slept.append(seconds)
                raise KeyboardInterrupt
            super().sleep(seconds)

    with HttpStub(otherwise=EMPTY_LIST) as stub, client_of(stub, Interrupted()) as client:
        client.list_tokens()
        with pytest.raises(KeyboardInterrupt):
            client.list_tokens()
        assert client.list_tokens() == ()


# --- reserved turns ---


@pytest.fixture
def paced() -> Iterator[tuple[Time, HttpStub, TokenClient]]:
    """A frozen clock, an exchange that grants every derive, and a client."""
    moment = Time()
    with (
        HttpStub(otherwise=say(http(201, DERIVED)), clock=moment.monotonic) as stub,
        client_of(stub, moment) as client,
    ):
        yield moment, stub, client


Paced = tuple[Time, HttpStub, TokenClient]


def test_reserved_turn_is_used(paced: Paced) -> None:
    """Reserving waits; the derive after it doesn't, and whoever comes next keeps the
    gap to it.
    """
    moment, stub, client = paced
    client.derive_token(IDENTITY)
    with client.wait_turn_to_derive(IDENTITY) as turn:
        assert moment.now_s == pytest.approx(1000 + GAP_S)
        client.derive_token(IDENTITY, turn=turn)
        assert moment.now_s == pytest.approx(1000 + GAP_S)
    client.derive_token(IDENTITY)
    assert [seen.at_s for seen in stub.seen] == pytest.approx(
        [1000, 1000 + GAP_S, 1000 + 2 * GAP_S]
    )


def test_gap_counts_from_the_reserved_post(paced: Paced) -> None:
    """A derive that comes late after its turn (the intent took long to write) still
    keeps the next one at a distance.
    """
    moment, stub, client = paced
    turn = client.wait_turn_to_derive(IDENTITY)
    moment.now_s += 5
    client.derive_token(IDENTITY, turn=turn)
    client.derive_token(IDENTITY)
    assert [seen.at_s for seen in stub.seen] == pytest.approx([1005, 1005 + GAP_S])


def test_turns_serve_once(paced: Paced) -> None:
    """A turn that was used, released or is another identity's is no turn: the derive
    waits for one.
    """
    moment, stub, client = paced
    used = client.wait_turn_to_derive(IDENTITY)
    client.derive_token(IDENTITY, turn=used)
    released = client.wait_turn_to_derive(IDENTITY)
    released.release()
    released.release()
    foreign = client.wait_turn_to_derive("another")
    for turn in (used, released, foreign):
        before_s = moment.now_s
        client.derive_token(IDENTITY, turn=turn)
        assert moment.now_s == pytest.approx(before_s + GAP_S)
    assert len(stub.seen) == 4


def test_released_turn_lets_the_next_go(paced: Paced) -> None:
    """Leaving the block without a derive, also by an error, gives the place back at
    once.
    """
    moment, stub, client = paced
    with client.wait_turn_to_derive(IDENTITY):
        with pytest.raises(ExchangeRefusedError), client.wait_turn_to_derive(IDENTITY):
            raise ExchangeRefusedError("the intent could not be written")
        client.derive_token(IDENTITY)
    assert len(stub.seen) == 1
    assert moment.now_s == pytest.approx(1000 + 2 * GAP_S)


def test_siblings_share_and_do_not_close() -> None:
    """A client made by ``signed_by`` shares the measured clock, and closing it leaves
    the first one open.
    """
    with (
        HttpStub(otherwise=say(http(200, [], headers={"Date": http_date_in(20)}))) as stub,
        client_of(stub) as client,
    ):
        with client.signed_by(Credentials(token_id="id-2", secret=PAIR.secret)) as sibling:
            sibling.list_tokens()
            assert sibling.clock() is client.clock()
        assert client.list_tokens() == ()
        stamps = [instant_ms(seen.headers["lmts-timestamp"]) for seen in stub.seen]
    assert stamps[1] - stamps[0] == pytest.approx(20_000, abs=1000)
    assert [seen.headers["lmts-api-key"] for seen in stub.seen] == ["id-2", "id-1"]
