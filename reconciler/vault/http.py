"""How a call reaches Vault, and what comes back.

Rules this module keeps:

1. Only reads are repeated, a few times and with bounded pauses.
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
from reconciler.net import caught
from reconciler.vault.waiting import retry_after_ms

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

    from reconciler.vault.settings import VaultSettings

Request = Callable[[], requests.Response]

_RETRY_AFTER_MAX_S = 10.0
_RETRY_BACKOFF_S = 0.2  # pauses of 0, 0.4 and 0.8 s
_RETRIED_METHODS = frozenset({"GET", "LIST"})
_RETRIED_STATUSES = frozenset({412, 429, 500, 502, 503, 504})
_CAUSES_MAX = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as far as its failure is explained by it.

    A policy must grant ``needs`` (quoted) on ``path``. Of a login: ``refusals`` says
    what a status means, ``claims`` what the identity token says of itself.
    """

    needs: str
    path: str
    changes: bool = False
    refusals: Mapping[int, str] | None = None
    claims: str = ""


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
        return super().increment(*args, **kwargs)


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
    session.verify = False if settings.skip_verify else settings.ca_cert or True
    if settings.skip_verify:
        # Said once, as a warning of the settings. This is process-wide; only this
        # adapter uses urllib3.
        urllib3.disable_warnings(InsecureRequestWarning)
    if settings.client_cert is not None and settings.client_key is not None:
        session.cert = (settings.client_cert, settings.client_key)
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
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=threads, max_retries=retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def perform(request: Request) -> Reply | BaseException:
    """Return what came back, or the innermost exception where nothing did."""
    response = caught(request, OSError, HTTPError)  # all of requests' are OSError
    if not isinstance(response, requests.Response):
        return _innermost(response)
    body = caught(lambda: json.loads(response.content or b"null"), ValueError, RecursionError)
    return Reply(
        status=response.status_code,
        body=body if isinstance(body, dict) else None,
        date=response.headers.get("Date"),
        retry_after_ms=retry_after_ms(
            response.headers.get("Retry-After"), response.headers.get("Date")
        ),
    )


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
