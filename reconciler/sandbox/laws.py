"""The laws of the exchange's token API: what it accepts, and how it refuses the rest.

Rules this module keeps:

1. The laws are written from the exchange's documentation. Nothing of
   ``reconciler.exchange`` is imported, the signature included, so the two can disagree
   and a test can see it.
2. Pure: no HTTP, no clock, no randomness; instants come in as milliseconds since the
   Unix epoch, UTC.
3. What the documentation leaves open is decided here once and marked *assumption*.
4. No refusal repeats what was sent: a header or a body may hold a secret.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from reconciler.sandbox.config import DOCUMENTED_SCOPES, SandboxConfig

BASE_PATH = "/auth/api-tokens"
WINDOW_MS = 30_000
LABEL_UNITS_MAX = 128
DEFAULT_SCOPES = ("trading",)

KEY_HEADER = "lmts-api-key"
TIMESTAMP_HEADER = "lmts-timestamp"
SIGNATURE_HEADER = "lmts-signature"
IDENTITY_HEADER = "identity"

_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Operation(enum.StrEnum):
    """The operations: the four on tokens by the documentation's own words, and two."""

    CAPABILITIES = "capabilities"
    DERIVE = "derive"
    LIST = "list"
    REVOKE = "revoke"
    PROFILE = "profile"
    MAINTENANCE = "maintenance"


BY_IDENTITY = frozenset({Operation.CAPABILITIES, Operation.DERIVE})
MUTATING = frozenset({Operation.DERIVE, Operation.REVOKE})
_FIXED_ROUTES = {
    ("GET", f"{BASE_PATH}/capabilities"): Operation.CAPABILITIES,
    ("POST", f"{BASE_PATH}/derive"): Operation.DERIVE,
    ("GET", BASE_PATH): Operation.LIST,
    ("GET", "/profiles/me"): Operation.PROFILE,
    ("GET", "/maintenance/status"): Operation.MAINTENANCE,
}


class RefusedError(Exception):
    """An answer of 4xx: status, the exchange's sentence, and for a 429 the wait."""

    def __init__(self, status: int, message: str, *, wait_ms: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.wait_ms = wait_ms


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as received.

    ``target`` is the raw path with query, header names are lower case, order is kept.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    body: bytes = dataclasses.field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None; a repeated one is joined by commas."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The operation of a request; ``token_id`` is the decoded segment of a revoke."""

    operation: Operation
    token_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The three HMAC headers, known to be there and in form."""

    token_id: str
    timestamp: str
    signature: str = dataclasses.field(repr=False)


def iso(at_ms: int) -> str:
    """Return ``2026-03-23T12:34:56.789Z``."""
    moment = _EPOCH + dt.timedelta(milliseconds=at_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def route(method: str, target: str) -> Route:
    """Return the operation of a request line.

    RefusedError: 404 where it is none, 400 where the id is not a well-formed segment.
    """
    path = target.partition("?")[0]
    fixed = _FIXED_ROUTES.get((method, path))
    if fixed is not None:
        return Route(operation=fixed)
    folder, _, segment = path.rpartition("/")
    if method == "DELETE" and folder == BASE_PATH and segment:
        return Route(operation=Operation.REVOKE, token_id=_decode_segment(segment))
    raise RefusedError(HTTPStatus.NOT_FOUND, "Cannot find this path")


def _decode_segment(segment: str) -> str:
    if _BROKEN_PERCENT.search(segment):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Malformed token id")
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Malformed token id") from None


def bearer(request: Request) -> str:
    """Return the identity token of a request that has to carry it alone.

    RefusedError (401) otherwise.
    """
    if any(
        request.header(name) is not None
        for name in (KEY_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    ):
        raise RefusedError(
            HTTPStatus.UNAUTHORIZED, "Identity token required, without HMAC headers beside it"
        )
    scheme, space, token = (request.header(IDENTITY_HEADER) or "").partition(" ")
    if scheme != "Bearer" or not space or not token:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "Identity token required")
    return token


def signed(request: Request, now_ms: int) -> Signed:
    """Return the HMAC headers of a request that has to carry them alone.

    RefusedError (401) otherwise, and where the timestamp is over 30 s from ``now_ms``.

    Assumption: the documentation gives list and revoke "any" authentication, but shows
    HMAC only; an identity is refused.
    """
    if request.header(IDENTITY_HEADER) is not None:
        raise RefusedError(
            HTTPStatus.UNAUTHORIZED, "Identity token on this endpoint is undocumented: refused"
        )
    token_id = request.header(KEY_HEADER)
    timestamp = request.header(TIMESTAMP_HEADER)
    mac = request.header(SIGNATURE_HEADER)
    if not token_id or not timestamp or not mac:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "HMAC headers required")
    if abs(_timestamp_ms(timestamp) - now_ms) > WINDOW_MS:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "Timestamp outside of the 30 second window")
    return Signed(token_id=token_id, timestamp=timestamp, signature=mac)


def _timestamp_ms(text: str) -> int:
    """Return the instant of any ISO-8601 date and time that has a zone.

    The SDKs send milliseconds and ``Z``. The documentation's own Python sample sends
    ``isoformat()``: microseconds and ``+00:00``, and no fraction where it is zero.
    """
    zoned = text.upper() if text.isascii() else ""
    try:
        moment = dt.datetime.fromisoformat(zoned)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None or "T" not in zoned:
        raise RefusedError(
            HTTPStatus.UNAUTHORIZED, "Timestamp must be ISO-8601, a date and a time with a zone"
        )
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)


def signature(secret: str, timestamp: str, request: Request) -> str:
    """Return standard base64 of HMAC-SHA256, keyed with the decoded secret.

    The message is four lines: timestamp, method, raw path with query, body.
    """
    message = f"{timestamp}\n{request.method}\n{request.target}\n".encode() + request.body
    return base64.b64encode(hmac.digest(base64.b64decode(secret), message, hashlib.sha256)).decode(
        "ascii"
    )


def check_signature(secret: str, headers: Signed, request: Request) -> None:
    """Check the signature; RefusedError (401) unless the secret signed this request."""
    expected = signature(secret, headers.timestamp, request)
    if not hmac.compare_digest(expected.encode(), headers.signature.encode()):
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid signature")


def check_bare(request: Request) -> None:
    """Check a DELETE; RefusedError (400) where it has a body or a content type."""
    if request.body:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "DELETE takes no body")
    if request.header("content-type") is not None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "DELETE takes no Content-Type")


def check_management(config: SandboxConfig) -> None:
    """Check the profile; RefusedError (403) while token management is off."""
    if not config.management_enabled:
        raise RefusedError(HTTPStatus.FORBIDDEN, "Token management is not enabled for this partner")


def read_derive(request: Request, config: SandboxConfig) -> tuple[str | None, tuple[str, ...]]:
    """Return label and scopes that a derive asks for.

    RefusedError: 400 for what can't be, 403 for a scope that is not allowed.

    Assumptions: an unknown key is refused; a repeated scope counts once; the label is
    measured in UTF-16 units, as the exchange's JavaScript would.
    """
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Content-Type must be application/json")
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Body is not JSON") from None
    if not isinstance(data, dict) or not data.keys() <= {"label", "scopes"}:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Body must be an object of label and scopes")
    label = _check_label(data["label"]) if "label" in data else None
    scopes = _check_scopes(data["scopes"], config) if "scopes" in data else DEFAULT_SCOPES
    if not set(scopes) <= set(config.allowed_scopes):
        raise RefusedError(
            HTTPStatus.FORBIDDEN, "A requested scope is not allowed for this partner"
        )
    return label, scopes


def _check_label(label: object) -> str:
    if not isinstance(label, str):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "label must be a string")
    if len(label.encode("utf-16-le", "surrogatepass")) // 2 > LABEL_UNITS_MAX:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "label must be shorter than or equal to 128 characters"
        )
    return label


def _check_scopes(scopes: object, config: SandboxConfig) -> tuple[str, ...]:
    if not isinstance(scopes, list) or not scopes:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "scopes must be a list that is not empty")
    known = {*DOCUMENTED_SCOPES, *config.allowed_scopes}
    if not all(isinstance(scope, str) and scope in known for scope in scopes):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Invalid scopes")
    if "delegated_signing" in scopes and "trading" not in scopes:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "delegated_signing requires trading")
    return tuple(dict.fromkeys(scopes))


class Pace:
    """The limit of the exchange: 2 requests at once and 300 ms between two starts.

    It holds for each credential. Assumptions: the identity's bucket, which is not
    documented, is that of one more credential; a refused call starts no new gap.
    Instants here are monotonic, so that a shifted wall clock changes no gap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._started_ms: dict[str, int] = {}

    @contextmanager
    def admitted(self, key: str, at_ms: int, config: SandboxConfig) -> Iterator[None]:
        """Hold a place for the credential ``key``.

        RefusedError (429) where there is none, or too soon.
        """
        self._admit(key, at_ms, config)
        try:
            yield
        finally:
            with self._lock:
                self._running[key] -= 1

    def _admit(self, key: str, at_ms: int, config: SandboxConfig) -> None:
        with self._lock:
            running = self._running.get(key, 0)
            wait_ms = (
                self._started_ms.get(key, at_ms - config.min_gap_ms) + config.min_gap_ms - at_ms
            )
            if config.limits and running >= config.max_in_flight:
                raise RefusedError(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    "Too many requests at once",
                    wait_ms=config.min_gap_ms,
                )
            if config.limits and wait_ms > 0:
                raise RefusedError(
                    HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", wait_ms=wait_ms
                )
            self._running[key] = running + 1
            self._started_ms[key] = at_ms
