"""What went wrong with a call to Vault, in a sentence and a class.

Rules this module keeps:

1. A failure becomes one sentence in one of three classes, by whether the call was
   *certainly* not done. It holds no word of a reply's body, and no exception of the
   libraries, not even as its context.
2. A status counts only with Vault's own JSON around it: a 404 page of some proxy must
   not read as "never written".
"""

from __future__ import annotations

import ssl
from http import HTTPStatus

import httpcore

from reconciler.errors import (
    VaultCasMismatchError,
    VaultError,
    VaultRefusedError,
    VaultUnclearError,
)
from reconciler.net import CertificateError
from reconciler.values import value
from reconciler.vault.family import as_called
from reconciler.vault.http import Call, EndlessReplyError, Reply, Request, causes_of
from reconciler.vault.waiting import when_again

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# a node that has not caught up with X-Vault-Index: 412 by Vault, 429 by OpenBao
_BUSY = frozenset({412, 429})
_FORBIDDEN = frozenset({401, 403})
# with Vault's JSON around them: certainly not done
_REFUSALS = frozenset({400, 401, 403, 404, 405, 415})
_GATEWAY = frozenset({502, 504})
# None of these has a status of its own; the texts are the same in Vault and OpenBao,
# and compared in lower case.
_QUOTA = "quota exceeded"
_TEMPLATE = "forbidden"
METADATA_CAS = "metadata check-and-set parameter"
_CAS_MISMATCH = "check-and-set parameter did not match"
_MOUNT_MISSING = "no handler for route"
_NAMESPACE_MISSING = "namespace not found"
# "upgrading …", or on a standby "waiting for the primary to upgrade …"
_UPGRADING = "from non-versioned to versioned data"


@value
class Explainer:
    """Turns what went wrong into the error to raise.

    It knows what the server is called, the limits of time, whether a proxy is on the
    way, and where the token is from: VAULT_TOKEN, ``auth/…`` of a login, or nothing
    where an agent or a proxy adds it. ``from_bao`` and ``address_from`` are those of
    the settings: a sentence names the variables that were used.
    """

    address: str
    namespace: str | None
    connect_timeout_s: float
    read_timeout_s: float
    token_from: str = "VAULT_TOKEN"  # noqa: S105  # the name of a variable
    through_proxy: bool = False
    from_bao: tuple[str, ...] = ()
    address_from: str = "VAULT_ADDR"

    def ask(self, call: Call, request: Request) -> Reply:
        """Return what came back.

        VaultRefusedError or VaultUnclearError where nothing did.
        """
        reply = request()
        if isinstance(reply, Reply):
            return reply
        raise self.no_reply(call, reply)

    def no_reply(self, call: Call, error: BaseException) -> VaultError:
        """Return the error for a call without an answer.

        It is a refusal only where nothing was sent.
        """
        return self._as_called(self._no_reply(call, error))

    def _no_reply(self, call: Call, error: BaseException) -> VaultError:
        address = self.address
        match _telling(error):
            case ssl.SSLCertVerificationError():
                return VaultRefusedError(
                    f"the certificate at {address} can't be trusted: "
                    "check VAULT_ADDR, and name a private CA in VAULT_CACERT"
                )
            case ssl.SSLError():
                return _unclear(
                    call,
                    f"TLS with {address} failed: check VAULT_ADDR, VAULT_CACERT, "
                    "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY",
                )
            case httpcore.ProxyError() | httpcore.ConnectError() | httpcore.ConnectTimeout():
                return self._no_connection(error)
            case httpcore.TimeoutException():
                return _unclear(
                    call,
                    f"Vault did not answer within {self.read_timeout_s:g} s: try again",
                    again_after_ms=0,
                )
            case httpcore.UnsupportedProtocol() | ValueError():
                return VaultRefusedError(f"no request can be made to {address}: check VAULT_ADDR")
            case CertificateError():
                return VaultRefusedError(str(error))
            case EndlessReplyError():
                return _unclear(
                    call,
                    f"what answers at {address} goes on without an end, which Vault never does: "
                    "check VAULT_ADDR and proxies",
                )
            case _:
                return _unclear(
                    call, f"the connection to {address} broke: try again", again_after_ms=0
                )

    def _no_connection(self, error: BaseException) -> VaultRefusedError:
        """Return the error for a call that was never sent."""
        if self.through_proxy:
            return VaultRefusedError(
                "the proxy on the way to Vault does not let us through: "
                "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
            )
        if isinstance(error, httpcore.ConnectTimeout):
            return VaultRefusedError(
                f"no connection to {self.address} within {self.connect_timeout_s:g} s: "
                "check VAULT_ADDR and the network between",
                again_after_ms=0,
            )
        return VaultRefusedError(
            f"nobody answers at {self.address}: check VAULT_ADDR, and that Vault is running",
            again_after_ms=0,
        )

    def bad_reply(self, call: Call, reply: Reply, *, token_works: bool | None) -> VaultError:
        """Return the error for an answer that is not what was asked for.

        ``token_works``: after a 403, whether the token could still look itself up; None
        where that is not known.
        """
        return self._as_called(self._bad_reply(call, reply, token_works=token_works))

    def _as_called(self, error: VaultError) -> VaultError:
        said = as_called(error.cause.replace("VAULT_ADDR", self.address_from), self.from_bao)
        doubt = str(error).removeprefix(error.cause)
        return type(error)(said, doubt=doubt, again_after_ms=error.again_after_ms)

    def _bad_reply(self, call: Call, reply: Reply, *, token_works: bool | None) -> VaultError:
        status, errors = reply.status, reply.errors
        if status in _REDIRECTS:
            return VaultRefusedError(
                f"Vault redirects us ({status}), where its token must not go along: "
                "wait if it is choosing a leader, else point VAULT_ADDR at the active node"
            )
        if status in _BUSY:
            return _unclear(
                call,
                _busy(status, errors or "", reply.retry_after_ms),
                again_after_ms=reply.retry_after_ms or 0,
            )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            sentence, passes = _server_failure(status, errors or "")
            again_after_ms = reply.retry_after_ms or 0 if passes else None
            return _unclear(call, sentence, again_after_ms=again_after_ms)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return VaultRefusedError(
                f"what was sent to {call.path} is larger than Vault takes: split the manifest"
            )
        if errors is None or status not in _REFUSALS:
            return _unclear(
                call,
                f"what answers at {self.address} (HTTP {status}) is not Vault: "
                "check VAULT_ADDR and proxies",
            )
        return self._refused(call, status, errors, token_works=token_works)

    def _refused(
        self, call: Call, status: int, errors: str, *, token_works: bool | None
    ) -> VaultError:
        """Return the error for a refusal in Vault's own words."""
        if _NAMESPACE_MISSING in errors and (call.refusals is not None or status not in _FORBIDDEN):
            return VaultRefusedError(
                f"Vault has no namespace {self.namespace or 'root'}: check VAULT_NAMESPACE"
            )
        if call.refusals is not None:
            said = call.explain(errors) or call.refusals.get(status) or _no_login(call)
            return VaultRefusedError(said)
        if errors == _TEMPLATE:  # 400 of OpenBao's, 403 where it looks at no policy itself
            return VaultRefusedError(
                "Vault refuses whatever this token asks: one of its policies has an identity "
                "template whose value holds /, * or +; change that policy, or what the login maps"
            )
        if status in _FORBIDDEN:
            return VaultRefusedError(self._forbidden(call, token_works=token_works))
        if status == HTTPStatus.BAD_REQUEST and _CAS_MISMATCH in errors:
            return VaultCasMismatchError(
                f"{call.path} has another version than expected: "
                "somebody wrote it meanwhile, run again"
            )
        return VaultRefusedError(_bad_request(call, errors))

    def _forbidden(self, call: Call, *, token_works: bool | None) -> str:
        """Return what a 403 means.

        An expired token and one that may not do this get the same answer. Only a lookup
        of the token by itself tells the two apart.
        """
        namespace = f" in namespace {self.namespace}" if self.namespace is not None else ""
        needed = f"{call.needs} on {call.path}{namespace}"
        if token_works is None:
            return f"Vault refuses the token: it needs {needed}, and must not have expired"
        if token_works:
            return f"the Vault token may not do this: its policy needs {needed}"
        good = f"(if it is known to be good, its policy needs {needed})"
        if not self.token_from:
            return (
                "Vault refuses the token that the agent or proxy at VAULT_ADDR adds, if it adds "
                f"one: check its auto-auth, or set RECONCILER_VAULT_AUTH {good}"
            )
        if self.token_from.startswith("auth/"):
            return (
                f"Vault refuses the token of our own login at {self.token_from}, before its end: "
                "check the role's token_bound_cidrs and token_num_uses, "
                f"and whether somebody revoked it {good}"
            )
        ends = "is wrong, has expired, is used up or was revoked"
        return f"the Vault token {ends}: get a new one {good}"


def _no_login(call: Call) -> str:
    """Return what another refusal of a login means.

    Where nothing is mounted, it is a 403 to those without a token, a 404 to the others.
    """
    bound = f", and what it is bound to ({call.claims})" if call.claims else ""
    return (
        f"Vault offers no login at {call.path.removesuffix('/login')}, or not now: "
        "check RECONCILER_VAULT_AUTH_MOUNT, VAULT_NAMESPACE, "
        f"the role's token_bound_cidrs{bound}"
    )


def _bad_request(call: Call, errors: str) -> str:
    if _MOUNT_MISSING in errors:
        return (
            f"nothing is mounted for {call.path.removesuffix('/config')}: "
            "mount a KV engine of version 2 there, or name another mount"
        )
    if METADATA_CAS in errors:
        return (
            f"the metadata at {call.path} were changed meanwhile, or are not read by this token, "
            "and the mount has metadata_cas_required: run again"
        )
    if _UPGRADING in errors:
        return (
            f"the engine behind {call.path} is still being upgraded to KV version 2: "
            "try again in a minute"
        )
    return (
        f"Vault refuses {call.path} as a request that it does not understand: "
        "update Vault, or report this"
    )


def _busy(status: int, errors: str, after_ms: int | None) -> str:
    if _QUOTA in errors:  # without `Retry-After` unless the operator turned that on
        when = when_again(after_ms) if after_ms else "later"
        return f"a rate limit quota of Vault's is used up ({status}): try again {when}"
    when = when_again(after_ms)
    return f"Vault is too busy, or this node is behind its leader ({status}): try again {when}"


def _server_failure(status: int, errors: str) -> tuple[str, bool]:
    """Return what a server's own failure means, and whether it may pass by itself."""
    if "is sealed" in errors:  # also for the seconds of a restart that unseals itself
        return "Vault is sealed: unseal it, then run again", True
    if "locked by an administrator" in errors:
        said = "an administrator has locked this Vault namespace: have it unlocked, then run again"
        return said, False
    if "node not" in errors:  # "local node not active but active cluster node not found"
        return "Vault has no leader at the moment: try again in a few seconds", True
    if status in _GATEWAY:
        said = (
            f"a proxy can't reach Vault behind it ({status}): "
            "try again, or check that Vault is running"
        )
        return said, True
    said = f"Vault failed inside ({status}): its log says why; try again"
    return said, status == HTTPStatus.SERVICE_UNAVAILABLE


def _telling(error: BaseException) -> BaseException:
    """Return the exception that says what happened.

    httpcore tells how far a call came, what TLS says lies below. A connection that
    breaks while TLS begins is no connection that was refused.
    """
    for cause in causes_of(error):
        if isinstance(cause, ssl.SSLError) or (
            isinstance(cause, ConnectionResetError | BrokenPipeError)
            and isinstance(error, httpcore.ConnectError)
        ):
            return cause
    return error


def _unclear(call: Call, sentence: str, *, again_after_ms: int | None = None) -> VaultUnclearError:
    doubt = f" ({call.path} may have been changed all the same)" if call.changes else ""
    return VaultUnclearError(sentence, doubt=doubt, again_after_ms=again_after_ms)
