"""How a call reaches Vault, and what comes back.

Rules this module keeps:

1. Only reads are repeated, a few times and with bounded pauses. A reply has an end, in
   bytes and in time.
2. Redirects are not followed (the token would go along), and httpx looks at no
   variable, ``.netrc`` or token file.
3. A failure is a value here: no error of ours is raised in the context of an exception
   of the libraries, which holds headers and bodies.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from reconciler.model import SECOND_MS
from reconciler.net import bounded, caught, client_for
from reconciler.values import value
from reconciler.vault.waiting import retry_after_ms

if TYPE_CHECKING:
    from reconciler.vault.settings import VaultSettings

_RETRY_AFTER_MAX_S = 10.0
_RETRY_BACKOFF_S = 0.2  # pauses of 0, 0.4 and 0.8 s
_BACKOFF_MAX_S = 120.0
_REPEATED_STATUSES = frozenset({412, 429, 500, 502, 503, 504})
_NEVER_THERE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CAUSES_MAX = 8
REPLY_BYTES_MAX = 32 * 1024 * 1024
REPLY_TIME_MAX_S = 60.0
_HEADERS = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}


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
        self._timeouts_s = timeouts_s
        self._read_retries = read_retries
        self._http: httpx.Client | None = None
        self._index: str | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; a later call opens others."""
        with self._lock:
            if self._http is not None:
                self._http.close()
            self._http = None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Read what is at a path below ``/v1/``."""
        return self._read("GET", path, query)

    def list(self, path: str) -> Answer:
        """List what is below a path."""
        return self._read("LIST", path, None)

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
            *(httpx.HTTPError, httpx.InvalidURL, OSError, ValueError),
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
        http = self._opened()
        request = http.build_request(
            method,
            f"{self._settings.address}/v1/{path}",
            params=query,
            content=content,
            headers=self._headers(content),
        )
        with contextlib.closing(http.send(request, stream=True)) as response:
            self._seen(response)
            headers = response.headers
            reply = Reply(
                status=response.status_code,
                body=None,
                date=headers.get("Date"),
                retry_after_ms=retry_after_ms(headers.get("Retry-After"), headers.get("Date")),
            )
            if not is_last and _pause_s(reply, 1) is not None:
                return reply
            end_s = time.monotonic() + REPLY_TIME_MAX_S
            text = bounded(response.iter_raw(), REPLY_BYTES_MAX, end_s=end_s)
        if text is None:
            raise EndlessReplyError
        body = caught(lambda: json.loads(text or b"null"), ValueError, RecursionError)
        return dataclasses.replace(reply, body=body if isinstance(body, dict) else None)

    def _opened(self) -> httpx.Client:
        with self._lock:
            if self._http is None:
                settings = self._settings
                self._http = client_for(
                    settings.address,
                    settings.route(),
                    timeouts_s=self._timeouts_s,
                    headers=_HEADERS,
                )
            return self._http

    def _headers(self, content: bytes | None) -> dict[str, str]:
        headers = {} if content is None else {"Content-Type": "application/json"}
        if self.token:
            headers["X-Vault-Token"] = self.token
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        index = self._index
        if index is not None:
            headers["X-Vault-Index"] = index
            headers["X-Vault-Inconsistent"] = "forward-active-node"
        return headers

    def _seen(self, response: httpx.Response) -> None:
        seen = response.headers.get("X-Vault-Index")
        if (
            seen is not None
            and seen != self._index
            and response.status_code < HTTPStatus.MULTIPLE_CHOICES
        ):
            with self._lock:
                self._index = newer_index(self._index, seen)


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an exception and what led to it: httpx wraps what httpcore made of it."""
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
    is_lost = isinstance(error, httpx.TransportError) and not isinstance(error, _NEVER_THERE)
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
