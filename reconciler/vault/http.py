"""How a call reaches Vault, and what comes back.

Rules this module keeps:

1. Only reads are repeated, a few times and with bounded pauses. A reply has an end, in
   bytes and in time.
2. Redirects are not followed (the token would go along), and no variable, ``.netrc``
   or token file is looked at.
3. A failure is a value here: no error of ours is raised in the context of an exception
   of the libraries, which holds headers and bodies.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import httpcore

from reconciler.model import SECOND_MS
from reconciler.net import USER_AGENT, bounded, caught, note_call, open_pool
from reconciler.values import value
from reconciler.vault.waiting import retry_after_ms

if TYPE_CHECKING:
    from reconciler.vault.settings import VaultSettings

_RETRY_AFTER_MAX_S = 10.0
_RETRY_BACKOFF_S = 0.2  # pauses of 0, 0.4 and 0.8 s
_BACKOFF_MAX_S = 120.0
_REPEATED_STATUSES = frozenset({412, 429, 500, 502, 503, 504})
_LOST = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
_NEVER_THERE = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
)
_CAUSES_MAX = 8
REPLY_BYTES_MAX = 32 * 1024 * 1024
REPLY_TIME_MAX_S = 60.0
Headers = dict[bytes | str, bytes | str]

_HEADERS: Headers = {
    "User-Agent": USER_AGENT,
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "X-Vault-Request": "true",
}
_AS_THEY_ARE = "/%!$&'()*+,;=:@"
"""Of a path: an escape stays one."""


class EndlessReplyError(OSError):
    """A reply that is larger, or takes longer, than any of Vault's."""


def _unexplained(_errors: str) -> str | None:
    return None


@value
class Call:
    """One call, as far as its failure is explained by it.

    A policy must grant ``needs`` (quoted) on ``path``. Of a login: ``refusals`` says
    what a status means, ``claims`` what the identity token says of itself. ``explain``
    makes a sentence of errors of Vault's that are known, and None of all others.
    """

    needs: str
    path: str
    changes: bool = False
    refusals: Mapping[int, str] | None = None
    claims: str = ""
    explain: Callable[[str], str | None] = _unexplained


@value
class Reply:
    """What came back.

    ``body`` is None unless it is a JSON object; ``date`` is the server's own time, and
    ``retry_after_ms`` how long it asks to wait.
    """

    status: int
    body: dict[str, Any] | None
    date: str | None
    retry_after_ms: int | None = None

    @property
    def errors(self) -> str | None:
        """Vault's errors as one text of small letters, to look for known phrases.

        None where the reply is no refusal of Vault's.
        """
        errors = self.body.get("errors") if self.body is not None else None
        return "\n".join(map(str, errors)).lower() if isinstance(errors, list) else None

    @property
    def data(self) -> dict[str, Any] | None:
        """The object ``data`` in Vault's envelope."""
        data = self.body.get("data") if self.body is not None else None
        return data if isinstance(data, dict) else None

    @property
    def says_absent(self) -> bool:
        """Whether there is nothing at the path: a 404 with an empty list of errors."""
        return self.status == HTTPStatus.NOT_FOUND and self.errors == ""


Answer = Reply | BaseException
"""What came back, or the exception where nothing did."""

Request = Callable[[], Answer]


class VaultClient:
    """The connections to one Vault.

    ``token`` goes along with every call, if there is one. A connection is opened when
    it is wanted for the first time. ``timeouts_s`` are the seconds to open one and to
    wait for a reply. A read that found a busy or failing server is repeated up to
    ``read_retries`` times, one that got no answer once (it has cost its whole time
    already), and one that reached nobody not at all; nothing else is repeated.

    The reads see the own writes on a cluster. A standby of OpenBao (and a performance
    standby of Vault Enterprise) answers from what it has got so far. Told the index of
    our last write, it forwards to the leader what it can't answer yet. Without the
    index, most reads through a standby right after a write are stale, and most writes
    with the right check-and-set number are refused.
    """

    def __init__(
        self, settings: VaultSettings, *, timeouts_s: tuple[float, float], read_retries: int
    ) -> None:
        self.token = settings.token.reveal() if settings.token is not None else ""
        self._settings = settings
        connect_s, each_s = timeouts_s
        self._timeouts = {"connect": connect_s, "pool": each_s, "read": each_s, "write": each_s}
        at = urlsplit(settings.address)
        self._host, self._prefix = at.netloc, at.path
        self._origin = (at.scheme.encode(), (at.hostname or "").encode(), at.port)
        self._read_retries = read_retries
        self._pool: httpcore.ConnectionPool | None = None
        self._index: str | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; a later call opens others."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
            self._pool = None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Read what is at a path below ``/v1/``."""
        return self._read("GET", path, query)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """List what is below a path."""
        return self._read("LIST", path, query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a document, once."""
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        return self._sent("POST", path, None, content)

    def _read(self, method: str, path: str, query: Mapping[str, str] | None) -> Answer:
        unanswered = 0
        for tried in range(1, self._read_retries + 1):
            answer = self._sent(method, path, query, None, is_last=False)
            if isinstance(answer, Reply):
                pause_s = _pause_s(answer, tried)
            else:
                unanswered += 1
                pause_s = _backoff_s(tried) if unanswered == 1 and _may_pass(answer) else None
            if pause_s is None:
                return answer
            if pause_s:
                time.sleep(pause_s)
        return self._sent(method, path, query, None)

    def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        content: bytes | None,
        *,
        is_last: bool = True,
    ) -> Answer:
        """Send once. Of a reply that leads to another attempt no body is read."""
        return caught(
            lambda: self._reply(method, path, query, content, is_last=is_last),
            *(*_LOST, OSError, ValueError),
        )

    def _reply(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        content: bytes | None,
        *,
        is_last: bool,
    ) -> Reply:
        began_s, status = time.monotonic(), None
        try:
            with self._opened().stream(
                method,
                self._url_of(path, query),
                headers=self._headers(content),
                content=b"" if content is None and method == "POST" else content,
                extensions={"timeout": self._timeouts},
            ) as response:
                headers, status = _named(response.headers), response.status
                note_call("vault", method, path, status, began_s)
                self._seen(status, headers.get("x-vault-index"))
                date, after = headers.get("date"), headers.get("retry-after")
                reply = Reply(
                    status=status,
                    body=None,
                    date=date,
                    retry_after_ms=retry_after_ms(after, date),
                )
                if not is_last and _pause_s(reply, 1) is not None:
                    return reply
                end_s = time.monotonic() + REPLY_TIME_MAX_S
                text = bounded(response.iter_stream(), REPLY_BYTES_MAX, end_s=end_s)
        except (*_LOST, OSError):
            if status is None:
                note_call("vault", method, path, None, began_s)
            raise
        if text is None:
            raise EndlessReplyError
        body = caught(lambda: json.loads(text or b"null"), ValueError, RecursionError)
        return dataclasses.replace(reply, body=body if isinstance(body, dict) else None)

    def _opened(self) -> httpcore.ConnectionPool:
        with self._lock:
            if self._pool is None:
                self._pool = open_pool(self._settings.address, self._settings.route())
            return self._pool

    def _url_of(self, path: str, query: Mapping[str, str] | None) -> httpcore.URL:
        target = f"{self._prefix}/v1/{quote(path, safe=_AS_THEY_ARE)}"
        if query:
            target += f"?{urlencode(query)}"
        scheme, host, port = self._origin
        return httpcore.URL(scheme=scheme, host=host, port=port, target=target)

    def _headers(self, content: bytes | None) -> Headers:
        headers: Headers = {**_HEADERS, "Host": self._host}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["X-Vault-Token"] = self.token
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        index = self._index
        if index is not None:
            headers["X-Vault-Index"] = index
            headers["X-Vault-Inconsistent"] = "forward-active-node"
        return headers

    def _seen(self, status: int, index: str | None) -> None:
        if index is not None and index != self._index and status < HTTPStatus.MULTIPLE_CHOICES:
            with self._lock:
                self._index = newer_index(self._index, index)


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in headers}


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an exception and what led to it: httpcore wraps what it met."""
    causes = [error]
    while len(causes) < _CAUSES_MAX:
        cause = causes[-1].__cause__ or causes[-1].__context__
        if cause is None:
            break
        causes.append(cause)
    return causes


def _pause_s(reply: Reply, tried: int) -> float | None:
    """Return how long to wait before another attempt; None for a reply that stands.

    One that asks for more than a moment stands: it says how long itself.
    """
    if reply.status not in _REPEATED_STATUSES:
        return None
    if reply.retry_after_ms is None or reply.retry_after_ms == 0:
        return _backoff_s(tried)
    asked_s = reply.retry_after_ms / SECOND_MS
    return asked_s if asked_s <= _RETRY_AFTER_MAX_S else None


def _backoff_s(tried: int) -> float:
    return 0.0 if tried == 1 else min(_RETRY_BACKOFF_S * 2 ** (tried - 1), _BACKOFF_MAX_S)


def _may_pass(error: BaseException) -> bool:
    """Return whether a read that got no answer may get one the next time.

    Not where nobody was reached, or where TLS fails.
    """
    is_lost = isinstance(error, _LOST) and not isinstance(error, _NEVER_THERE)
    return is_lost and not any(isinstance(cause, ssl.SSLError) for cause in causes_of(error))


def newer_index(held: str | None, seen: str) -> str:
    """Return the newer of two indexes: replies of several threads overtake each other.

    Where the two don't compare, it is the one that was just seen.
    """
    before, after = _decoded_index(held), _decoded_index(seen)
    if (
        held is not None
        and before is not None
        and after is not None
        and before[0] == after[0]
        and before[1] > after[1]
    ):
        return held
    return seen


def _decoded_index(index: str | None) -> tuple[str, int] | None:
    """Return cluster and count of an index of OpenBao's; None for any other.

    Since OpenBao 2.7 it is base64 of ``{"cluster": "…", "value": "52"}``.
    """
    try:
        decoded = json.loads(base64.b64decode(index or ""))
        return str(decoded["cluster"]), int(decoded["value"])
    except (ValueError, KeyError, TypeError):
        return None
