"""How a request reaches the exchange: its address, its signature, its connection.

Rules this module keeps:

1. Nothing here or in httpcore sends a request twice. httpcore repeats only the opening
   of a connection (switched off) and the choice of one from its pool (before the first
   byte). Every request has a fresh connection: a kept one may be
   closing at the server, which would leave a derive unclear for nothing.
2. What is signed is exactly the path and the bytes that are sent.
3. A request as a whole has an end, also where a server drips its bytes.
4. No redirects (the credentials would go along), no cookies, no ``.netrc``, no
   compressed replies (their size is unknown).

Told to ``net.calls`` is what was asked and the status of its reply. httpcore logs
addresses and the headers of replies, never the headers of requests. Its loggers are
therefore left alone; a test holds that.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import httpcore

from reconciler.errors import ExchangeRefusedError, UsageError
from reconciler.exchange.address import checked_base
from reconciler.exchange.clock import Seconds
from reconciler.model import Credentials, Secret, iso
from reconciler.net import (
    USER_AGENT,
    CertificateError,
    caught,
    note_call,
    open_pool,
    route_to,
)
from reconciler.values import value

# Connect, send, receive. A server that drips bytes resets the timeout of each read, not
# the end that this gives the whole request.
_WHOLE_REQUEST_TIMEOUTS = 3
_ID_CHARACTERS_MAX = 1024

_HEADERS = (
    ("User-Agent", USER_AGENT),
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)
_SENDING = "http11.send_request_headers.started"
_CONNECTED = ("connect_tcp.complete", "start_tls.complete")

_HEADER_TEXT = re.compile(r"[\x21-\x7e]{1,16384}")

_NEVER_CONNECTED = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
LOST = (
    *_NEVER_CONNECTED,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
)
"""What ``Wire.sent`` raises where there is no answer, or no whole one."""


class Answer(NamedTuple):
    """The head of a reply, and its body as it comes.

    Names of headers are in small letters; of one that stands twice both texts count.
    """

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]


@value
class Failure:
    """A request without an answer.

    ``may_have_left``: the exchange may have received it, or a part of it.
    """

    why: str
    may_have_left: bool


class _Watch:
    """One request on its connection, as httpcore's ``trace`` extension shows it.

    ``cut`` ends the request from another thread. httpcore documents the extension, but
    not its events as stable: nothing else shows a connection before its reply's head is
    there, and a dripped head must end too. With other names the gap would be kept at
    the turn only, and the timeouts of each read and write would hold; tests would fail.
    """

    def __init__(self, hold: Callable[[], None], monotonic: Seconds) -> None:
        self._hold = hold
        self._monotonic = monotonic
        self._stream: Any = None
        self._is_cut = False
        self.sent_at_s = monotonic()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of an event; httpcore calls this on the request's thread.

        The CONNECT for a proxy passes by too, and is not the request.
        """
        if event == _SENDING and info["request"].method != b"CONNECT":
            self._hold()
            self.sent_at_s = self._monotonic()
        elif event.endswith(_CONNECTED):
            self._stream = info["return_value"]
            if self._is_cut:
                self._stream.close()
                raise httpcore.ConnectTimeout("connected too late; nothing was sent")

    def cut(self) -> None:
        """End whatever the request's thread waits for.

        Closing the socket would not wake the thread, and TLS's own shutdown is not made
        for another thread.
        """
        self._is_cut = True
        if self._stream is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)


class Wire:
    """The connections to one exchange.

    The base URL is https, or http on loopback. ``base_url`` has no slash at its end;
    ``origin`` is for sentences. UsageError for a URL or an environment (proxies,
    authorities) that can't be used.
    """

    def __init__(self, base_url: str, *, timeout_s: float, monotonic: Seconds) -> None:
        self._base = checked_base(base_url)
        self.origin = f"{self._base.scheme}://{self._base.netloc}"
        self.base_url = self._base.url
        self._timeout_s = timeout_s
        self._timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
        route = route_to(self.base_url)
        pool = caught(lambda: open_pool(self.origin, route, keep_alive=False), CertificateError)
        if isinstance(pool, CertificateError):
            raise UsageError(str(pool))
        self._pool = pool
        self._monotonic = monotonic

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @contextlib.contextmanager
    def sent(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        hold: Callable[[], None],
    ) -> Iterator[tuple[Answer, float]]:
        """Send once, and give the reply's head and the monotonic instant of sending.

        ``hold`` is called right before the first byte. One of ``LOST``, which
        ``failure`` explains, here and while the body is read.
        """
        watch = _Watch(hold, self._monotonic)
        base = self._base
        url = httpcore.URL(
            scheme=base.scheme, host=base.host, port=base.port, target=base.prefix + path
        )
        watchdog = threading.Timer(_WHOLE_REQUEST_TIMEOUTS * self._timeout_s, watch.cut)
        watchdog.daemon = True
        watchdog.start()
        began_s, status = time.monotonic(), None
        try:
            with self._pool.stream(
                method,
                url,
                headers=[("Host", base.netloc), *_HEADERS, *headers.items()],
                content=body,
                extensions={"trace": watch.trace, "timeout": self._timeouts},
            ) as response:
                named = _named(response.headers)
                status = response.status
                note_call("exchange", method, path, status, began_s)
                yield Answer(response.status, named, response.iter_stream()), watch.sent_at_s
        except LOST:
            if status is None:
                note_call("exchange", method, path, None, began_s)
            raise
        finally:
            watchdog.cancel()

    def failure(self, error: BaseException) -> Failure:
        """Return what a person needs to know of a failed connection.

        The classes of httpcore tell before from after, their causes tell why.
        """
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)
        may_have_left = not isinstance(error, _NEVER_CONNECTED)
        at = self.origin
        if isinstance(error, httpcore.ProxyError):
            why = f"the proxy refuses to connect to {at}: check HTTPS_PROXY and NO_PROXY"
        elif isinstance(error, httpcore.TimeoutException):
            why = f"{at} doesn't answer within {self._timeout_s:g} s"
        elif may_have_left:
            why = f"the connection to {at} broke off before the answer was complete"
        elif any(isinstance(cause, ssl.SSLError) for cause in causes):
            why = (
                f"no TLS connection to {at}: if your network has its own authority, "
                "name it in SSL_CERT_FILE"
            )
        elif any(isinstance(cause, socket.gaierror) for cause in causes):
            why = f"the name of {at} can't be resolved: check LIMITLESS_API_URL and the network"
        else:
            why = f"{at} can't be reached: check LIMITLESS_API_URL, the network and the proxy"
        return Failure(why=why, may_have_left=may_have_left)


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    named: dict[str, str] = {}
    for raw_name, raw_text in headers:
        name, text = raw_name.decode("latin-1").lower(), raw_text.decode("latin-1")
        named[name] = f"{named[name]}, {text}" if name in named else text
    return named


def sign(secret: Secret, *, timestamp: str, method: str, path: str, body: str) -> str:
    """Return the HMAC signature of a request, as the official SDKs make it.

    It is base64 of HMAC-SHA256 over timestamp, method, path with query, and body,
    joined by newlines; the key is the base64-decoded secret. ExchangeRefusedError for a
    secret that is not base64.
    """
    key = key_of(secret.reveal())
    if key is None:
        raise ExchangeRefusedError(
            "the signing token's secret isn't base64, so it can't be one of the exchange's: store "
            "it anew"
        )
    message = f"{timestamp}\n{method.upper()}\n{path}\n{body}".encode()
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode("ascii")


def key_of(secret: str) -> bytes | None:
    """Return the key in a secret, or None unless it is base64 of at least a byte."""
    key = caught(
        lambda: base64.b64decode(secret.encode("ascii"), validate=True),
        UnicodeEncodeError,
        binascii.Error,
    )
    return key or None if isinstance(key, bytes) else None


def headers_of(
    method: str, path: str, body: bytes | None, signer: Credentials | Secret, *, now_ms: int
) -> dict[str, str]:
    """Return the headers that authenticate a request, and Content-Type for a body.

    An identity token goes alone; the signature of an HMAC pair covers what is sent.
    """
    content = {} if body is None else {"Content-Type": "application/json"}
    if isinstance(signer, Secret):
        return {"identity": f"Bearer {signer.reveal()}", **content}
    timestamp, text = iso(now_ms), (body or b"").decode()
    return {
        "lmts-api-key": signer.token_id,
        "lmts-timestamp": timestamp,
        "lmts-signature": sign(
            signer.secret, timestamp=timestamp, method=method, path=path, body=text
        ),
        **content,
    }


def is_header_text(text: str) -> bool:
    """Return whether a text may stand in a header: printable ASCII without spaces."""
    return _HEADER_TEXT.fullmatch(text) is not None


def checked_identity(identity_token: Secret | str) -> Secret:
    """Return the identity token as a value that doesn't print.

    ExchangeRefusedError for a text that can't be one: httpcore would put a header that
    it refuses into its own error.
    """
    identity = identity_token if isinstance(identity_token, Secret) else Secret(identity_token)
    if not is_header_text(identity.reveal()):
        raise ExchangeRefusedError(
            "the identity token is empty, too long, or has spaces or characters outside of ASCII: "
            "give the token alone"
        )
    return identity


def credential_of(signer: Credentials | Secret) -> str:
    """Return what the exchange counts requests by; of an identity only a hash."""
    if isinstance(signer, Credentials):
        return f"token {signer.token_id}"
    return f"identity {hashlib.sha256(signer.reveal().encode('ascii')).hexdigest()}"


def segment_of(token_id: str) -> str:
    """Return a token id as one segment of a path.

    ExchangeRefusedError for an id that intermediaries would resolve, or that no request
    can hold.
    """
    if token_id not in {"", ".", ".."} and len(token_id) <= _ID_CHARACTERS_MAX:
        with contextlib.suppress(UnicodeEncodeError):
            return quote(token_id, safe="")
    raise ExchangeRefusedError(
        "that can't be a token id: it is empty, made of dots, too long, or not text; nothing was "
        "sent"
    )
