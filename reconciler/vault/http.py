"""How a call reaches Vault, and what comes back.

Rules this module keeps:

1. Only reads are repeated, a few times and with bounded pauses. A reply has an end, in
   bytes and in time.
2. Redirects are not followed (the token would go along), and the libraries look at no
   variable, ``.netrc`` or token file.
3. A failure is a value here: no error of ours is raised in the context of an exception
   of the libraries, which holds headers and bodies.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    MaxRetryError,
    ResponseError,
)

from reconciler.model import SECOND_MS
from reconciler.net import bounded, caught, context_for
from reconciler.vault.waiting import retry_after_ms

if TYPE_CHECKING:
    import ssl

    from urllib3.response import BaseHTTPResponse

    from reconciler.vault.settings import VaultSettings

Request = Callable[[], requests.Response]

_RETRY_AFTER_MAX_S = 10.0
_RETRY_BACKOFF_S = 0.2  # pauses of 0, 0.4 and 0.8 s
_RETRIED_METHODS = frozenset({"GET", "LIST"})
_RETRIED_STATUSES = frozenset({412, 429, 500, 502, 503, 504})
_CAUSES_MAX = 8
REPLY_BYTES_MAX = 32 * 1024 * 1024
REPLY_TIME_MAX_S = 60.0
_CHUNK_BYTES = 64 * 1024


class EndlessReplyError(OSError):
    """A reply that is larger, or takes longer, than any of Vault's."""


def _unexplained(_errors: str) -> str | None:
    return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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


class _Session(requests.Session):
    """A session whose reads see its own writes on a cluster.

    A standby of OpenBao (and a performance standby of Vault Enterprise) answers from
    what it has got so far. Told the index of our last write, it forwards to the leader
    what it can't answer yet. Without the index, most reads through a standby right
    after a write are stale, and most writes with the right check-and-set number are
    refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self._index: str | None = None
        self._lock = threading.Lock()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        index = self._index
        if index is not None:
            request.headers["X-Vault-Index"] = index
            request.headers["X-Vault-Inconsistent"] = "forward-active-node"
        response = super().send(request, **kwargs)
        seen = response.headers.get("X-Vault-Index")
        if (
            seen is not None
            and seen != self._index
            and response.status_code < HTTPStatus.MULTIPLE_CHOICES
        ):
            with self._lock:
                self._index = newer_index(self._index, seen)
        return response


class _ReadRetry(urllib3.Retry):
    """urllib3's retry, as long as ``Retry-After`` asks for no more than a moment.

    A server that asks for more is not asked again: its reply stands, and says so.
    """

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        headers = response.headers
        pause_ms = retry_after_ms(headers.get("Retry-After"), headers.get("Date"))
        return None if pause_ms is None else pause_ms / SECOND_MS

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        response = kwargs.get("response")
        asked_s = self.get_retry_after(response) if response is not None else None
        if asked_s is not None and asked_s > _RETRY_AFTER_MAX_S:
            raise MaxRetryError(kwargs["_pool"], "", ResponseError(ResponseError.GENERIC_ERROR))
        again = super().increment(*args, **kwargs)
        if response is not None:
            response.close()  # urllib3 would read the rest of it, however long that is
        return again


class _Adapter(HTTPAdapter):
    """The connections, with TLS as the settings say.

    The context is made when a connection is wanted for the first time: CertificateError
    for a variable that names nothing usable. requests would name authorities of its own
    to each connection.
    """

    def __init__(self, settings: VaultSettings, *, threads: int, retry: urllib3.Retry) -> None:
        self._settings = settings
        self._threads = threads
        self._context: ssl.SSLContext | None = None
        self._context_lock = threading.Lock()
        super().__init__(pool_connections=1, pool_maxsize=threads, max_retries=retry)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        with self._context_lock:
            if self._context is None and self._settings.address.startswith("https:"):
                self._context = context_for(self._settings.trust())
                self.init_poolmanager(1, self._threads, **self._tls())
        return super().get_connection_with_tls_context(*args, **kwargs)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        tls = self._tls()
        if self._context is not None:
            tls |= {"proxy_ssl_context": self._context}
        return super().proxy_manager_for(proxy, **options, **tls)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Add nothing to the context."""

    def _tls(self) -> dict[str, Any]:
        name = self._settings.tls_server_name
        named = {"server_hostname": name} if name is not None else {}
        return {"ssl_context": self._context, **named} if self._context is not None else {}


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


def open_session(settings: VaultSettings, *, threads: int, read_retries: int) -> requests.Session:
    """Return a session that sends as the settings say, and repeats reads only.

    It keeps a connection per thread. A connection that can't be opened is not tried
    again: urllib3 counts that for all methods alike, and a write is sent once.
    """
    session = _Session()
    session.trust_env = False
    session.stream = True  # ``perform`` reads to a bound
    session.verify = not settings.skip_verify
    if settings.skip_verify:
        # Said once, as a warning of the settings. This is process-wide; only this
        # adapter uses urllib3.
        urllib3.disable_warnings(InsecureRequestWarning)
    if settings.proxy is not None:
        proxy = settings.proxy.reveal()
        session.proxies = {"http": proxy, "https": proxy}
    retry = _ReadRetry(
        total=read_retries,
        connect=0,
        read=min(read_retries, 1),  # a read that timed out has cost its whole time already
        status=read_retries,
        other=0,
        redirect=0,
        allowed_methods=_RETRIED_METHODS,
        status_forcelist=_RETRIED_STATUSES,
        backoff_factor=_RETRY_BACKOFF_S,
        raise_on_status=False,
    )
    adapter = _Adapter(settings, threads=threads, retry=retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def perform(request: Request) -> Reply | BaseException:
    """Return what came back, or the innermost exception where nothing did."""
    answer = caught(lambda: _whole(request()), OSError, HTTPError)  # requests' are OSError
    if isinstance(answer, BaseException):
        return _innermost(answer)
    response, content = answer
    body = caught(lambda: json.loads(content or b"null"), ValueError, RecursionError)
    return Reply(
        status=response.status_code,
        body=body if isinstance(body, dict) else None,
        date=response.headers.get("Date"),
        retry_after_ms=retry_after_ms(
            response.headers.get("Retry-After"), response.headers.get("Date")
        ),
    )


def _whole(response: requests.Response) -> tuple[requests.Response, bytes]:
    """Return a reply and its body, which is read to the bound."""
    end_s = time.monotonic() + REPLY_TIME_MAX_S
    # what is there already, at most: a whole chunk may take any time
    chunks = iter(lambda: response.raw.read1(_CHUNK_BYTES, decode_content=True) or b"", b"")
    content = bounded(chunks, REPLY_BYTES_MAX, end_s=end_s)
    if content is None:
        response.close()
        raise EndlessReplyError
    return response, content


def _innermost(error: BaseException) -> BaseException:
    """Return the exception that says what happened.

    What requests raises wraps an exception of urllib3, which may wrap one of ssl.
    """
    for _ in range(_CAUSES_MAX):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = error.args[0] if error.args else None
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error
