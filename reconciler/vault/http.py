"""How a call reaches Vault and how its failure is put into words; the store in ``vault`` knows what to call.

Rules this module keeps:

1. A failure becomes one sentence in one of three classes, by whether the call was
   *certainly* not done. It never drags along an exception of the libraries (those hold
   headers and bodies), not even as its context; nor a word of a reply's body.
2. A status counts only with Vault's own JSON around it: a 404 page of some proxy must
   not read as "never written".
3. Only reads are repeated, a few times and with bounded pauses.
4. Redirects are not followed (the token would go along), and the libraries look at no
   variable, ``.netrc`` or token file.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    InvalidHeader,
    LocationValueError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from reconciler.errors import (
    VaultCasMismatchError,
    VaultError,
    VaultRefusedError,
    VaultUnclearError,
)
from reconciler.vault.settings import VaultSettings

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

Request = Callable[[], requests.Response]

_RETRY_AFTER_MAX_S = 2.0
_RETRY_BACKOFF_S = 0.2  # pauses of 0, 0.4 and 0.8 s
_RETRIED_METHODS = frozenset({"GET", "LIST"})
_RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_CAUSES_MAX = 8
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset(
    {412, 429}
)  # a node that has not caught up with X-Vault-Index: 412 by Vault, 429 by OpenBao
_FORBIDDEN = frozenset({401, 403})
_REFUSALS = frozenset(
    {400, 401, 403, 404, 405, 415}
)  # with Vault's JSON around them: certainly not done
_GATEWAY = frozenset({502, 504})
# None of these has a status of its own; the texts are the same in Vault and OpenBao,
# and compared in lower case.
_CAS_MISMATCH = "check-and-set parameter did not match"
_MOUNT_MISSING = "no handler for route"
_NAMESPACE_MISSING = "namespace not found"
# "upgrading …", or on a standby "waiting for the primary to upgrade …"
_UPGRADING = "from non-versioned to versioned data"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as far as it matters to whoever explains its failure."""

    needs: str  # the capability that a policy must grant, quoted
    path: str  # … on this API path
    changes: bool = False
    login: bool = False
    claims: str = ""  # of a login: what the identity token says of itself


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; ``body`` is None unless it is a JSON object, ``date`` is the server's own time."""

    status: int
    body: dict[str, Any] | None
    date: str | None

    @property
    def errors(self) -> str | None:
        """Vault's errors as one text to look for known phrases in; None if this is no refusal of Vault's."""
        errors = self.body.get("errors") if self.body is not None else None
        return "\n".join(map(str, errors)).lower() if isinstance(errors, list) else None

    @property
    def data(self) -> dict[str, Any] | None:
        """The object ``data`` in Vault's envelope."""
        data = self.body.get("data") if self.body is not None else None
        return data if isinstance(data, dict) else None

    @property
    def says_absent(self) -> bool:
        """A 404 with an empty list of errors:

        Vault's way to say that there is nothing at a path.
        """
        return self.status == HTTPStatus.NOT_FOUND and self.errors == ""


class _Session(requests.Session):
    """A session whose reads see its own writes on a cluster.

    A standby of OpenBao (and a performance standby of Vault Enterprise) answers from
    what it has got so far. Told the index of our last write, it forwards what it can't
    answer yet to the leader: without, most reads through a standby right after a write
    are stale, and most writes with the right check-and-set number are refused.
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
    """urllib3's retry with an end to how long a server may make us pause, whatever its ``Retry-After`` says."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            pause_s = super().get_retry_after(response)
        except InvalidHeader:
            return None
        return None if pause_s is None else min(pause_s, _RETRY_AFTER_MAX_S)


def newer_index(held: str | None, seen: str) -> str:
    """The newer of two indexes, as replies of several threads overtake each other; the one just seen, if they don't compare."""
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
    """Cluster and count of an index of OpenBao's, base64 of ``{"cluster": "…", "value":

    "52"}`` (2.7); None for any other.
    """
    try:
        decoded = json.loads(base64.b64decode(index or ""))
        return str(decoded["cluster"]), int(decoded["value"])
    except (ValueError, KeyError, TypeError):
        return None


def open_session(settings: VaultSettings, *, threads: int, read_retries: int) -> requests.Session:
    """A session that sends as the settings say, keeps a connection per thread, and repeats reads only.

    A connection that can't be opened is not tried again: urllib3 counts that for all
    methods alike, and a write is sent once.
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
    """What came back, or the innermost exception if nothing did: as a value, so that no error is raised in its context."""
    try:
        response = request()
    except (OSError, HTTPError) as error:  # all of requests' are OSError
        return _innermost(error)
    try:
        body = json.loads(response.content) if response.content else None
    except (ValueError, RecursionError):
        body = None
    return Reply(
        status=response.status_code,
        body=body if isinstance(body, dict) else None,
        date=response.headers.get("Date"),
    )


def ask(explainer: Explainer, call: Call, request: Request) -> Reply:
    """What came back. VaultRefusedError or VaultUnclearError where nothing did."""
    reply = perform(request)
    if isinstance(reply, Reply):
        return reply
    raise explainer.no_reply(call, reply)


def _innermost(error: BaseException) -> BaseException:
    """What requests raises wraps an exception of urllib3, and that one of ssl: the last says what happened."""
    for _ in range(_CAUSES_MAX):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = error.args[0] if error.args else None
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Turns what went wrong into the error to raise; knows what to call the server and its time limits."""

    settings: VaultSettings
    connect_timeout_s: float
    read_timeout_s: float

    def no_reply(self, call: Call, error: BaseException) -> VaultError:
        """The error for a call that got no answer; refused only where nothing was sent."""
        address = self.settings.address
        match error:
            case ProxyError() if _stopped_at_proxy(error):
                return VaultRefusedError(
                    "the proxy on the way to Vault does not let us through: check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
                )
            case NewConnectionError():
                return VaultRefusedError(
                    f"nobody answers at {address}: check VAULT_ADDR, and that Vault is running"
                )
            case ConnectTimeoutError():
                return VaultRefusedError(
                    f"no connection to {address} within {self.connect_timeout_s:g} s: check VAULT_ADDR and the network between"
                )
            case ssl.SSLCertVerificationError():
                return VaultRefusedError(
                    f"the certificate at {address} can't be trusted: check VAULT_ADDR, and name a private CA in VAULT_CACERT"
                )
            case ssl.SSLError():
                return _unclear(
                    call,
                    f"TLS with {address} failed: check VAULT_ADDR, VAULT_CACERT, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY",
                )
            case ReadTimeoutError():
                return _unclear(
                    call, f"Vault did not answer within {self.read_timeout_s:g} s: try again"
                )
            case LocationValueError() | requests.exceptions.InvalidURL():
                return VaultRefusedError(f"no request can be made to {address}: check VAULT_ADDR")
            case OSError() if _is_about_a_file(error):
                return VaultRefusedError(
                    "a file of certificates can't be read: check VAULT_CACERT, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"
                )
            case _:
                return _unclear(call, f"the connection to {address} broke: try again")

    def bad_reply(self, call: Call, reply: Reply, *, token_works: bool | None) -> VaultError:
        """The error for an answer that is not what was asked for.

        ``token_works``: after a 403, whether the token could still look itself up; None
        where that is not known.
        """
        status, errors = reply.status, reply.errors
        if status in _REDIRECTS:
            return VaultRefusedError(
                f"Vault redirects us ({status}), where its token must not go along: wait if it is choosing a leader, else "
                "point VAULT_ADDR at the active node"
            )
        if status in _BUSY:
            return _unclear(
                call,
                f"Vault is too busy, or this node is behind its leader ({status}): try again in a few seconds",
            )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _unclear(call, _server_failure(status, errors or ""))
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return VaultRefusedError(
                f"what was sent to {call.path} is larger than Vault takes: split the manifest"
            )
        if errors is None or status not in _REFUSALS:
            return _unclear(
                call,
                f"what answers at {self.settings.address} (HTTP {status}) is not Vault: check VAULT_ADDR and proxies",
            )
        if call.login:
            return VaultRefusedError(self._login_refusal(call, status, errors))
        if status in _FORBIDDEN:
            return VaultRefusedError(self._forbidden(call, token_works=token_works))
        if status == HTTPStatus.BAD_REQUEST and _CAS_MISMATCH in errors:
            return VaultCasMismatchError(
                f"{call.path} has another version than expected: somebody wrote it meanwhile, run again"
            )
        return VaultRefusedError(self._bad_request(call, errors))

    def _forbidden(self, call: Call, *, token_works: bool | None) -> str:
        """An expired token and one that may not do this get the same answer; only a lookup of itself tells them apart."""
        namespace = (
            f" in namespace {self.settings.namespace}"
            if self.settings.namespace is not None
            else ""
        )
        needed = f"{call.needs} on {call.path}{namespace}"
        if token_works is None:
            return f"Vault refuses the token: it needs {needed}, and must not have expired"
        if token_works:
            return f"the Vault token may not do this: its policy needs {needed}"
        return f"the Vault token has expired or was revoked: get a new one (if it is known to be good, its policy needs {needed})"

    def _login_refusal(self, call: Call, status: int, errors: str) -> str:
        mount = call.path.removesuffix("/login")
        if _NAMESPACE_MISSING in errors:
            return self._no_namespace()
        if (
            self.settings.auth == "kubernetes" and status == HTTPStatus.FORBIDDEN
        ):  # also where there is no such mount
            return (
                f"Vault refuses the login at {mount}: check RECONCILER_VAULT_AUTH_MOUNT, that RECONCILER_VAULT_ROLE is bound "
                f"to the identity token's service account, namespace and audience ({call.claims}), and that Vault reaches the "
                "cluster's TokenReview"
            )
        if status != HTTPStatus.BAD_REQUEST:  # 403 to those without a token, 404 to the others
            bound = f", and what the role is bound to ({call.claims})" if call.claims else ""
            return f"Vault offers no login at {mount}, or not now: check RECONCILER_VAULT_AUTH_MOUNT and VAULT_NAMESPACE{bound}"
        if self.settings.auth == "approle":
            return f"Vault refuses the login at {mount}: check VAULT_ROLE_ID, and whether VAULT_SECRET_ID is used up or expired"
        return (
            f"Vault refuses the login at {mount}: check RECONCILER_VAULT_ROLE, and that the identity token has what that role "
            f"is bound to and has not expired ({call.claims})"
        )

    def _bad_request(self, call: Call, errors: str) -> str:
        if _NAMESPACE_MISSING in errors:
            return self._no_namespace()
        if _MOUNT_MISSING in errors:
            return f"nothing is mounted for {call.path}: mount a KV engine of version 2 there, or correct the manifest"
        if _UPGRADING in errors:
            return f"the engine behind {call.path} is still being upgraded to KV version 2: try again in a minute"
        return f"Vault refuses {call.path} as a request that it does not understand: update Vault, or report this"

    def _no_namespace(self) -> str:
        return f"Vault has no namespace {self.settings.namespace or 'root'}: check VAULT_NAMESPACE"


def _server_failure(status: int, errors: str) -> str:
    if "is sealed" in errors:
        return "Vault is sealed: unseal it, then run again"
    if "locked by an administrator" in errors:
        return "an administrator has locked this Vault namespace: have it unlocked, then run again"
    if "node not" in errors:  # "local node not active but active cluster node not found"
        return "Vault has no leader at the moment: try again in a few seconds"
    if status in _GATEWAY:
        return f"a proxy can't reach Vault behind it ({status}): try again, or check that Vault is running"
    return f"Vault failed inside ({status}): its log says why; try again"


def _stopped_at_proxy(error: ProxyError) -> bool:
    """Whether nothing went past the proxy: urllib3 also says "unable to connect" of one that hangs up on a request it took."""
    cause = error.original_error
    return isinstance(cause, ConnectTimeoutError) or (
        type(cause) is OSError and cause.errno is None
    )  # no tunnel


def _is_about_a_file(error: OSError) -> bool:
    """A missing file of certificates is a bare OSError of requests, an unreadable one a PermissionError."""
    return isinstance(error, PermissionError | IsADirectoryError) or (
        type(error) is OSError and error.errno is None
    )


def _unclear(call: Call, sentence: str) -> VaultUnclearError:
    return VaultUnclearError(
        f"{sentence} ({call.path} may have been changed all the same)" if call.changes else sentence
    )
