"""Which Vault to talk to and how to log in: the environment, read once and judged before anything is sent.

Rules this module keeps:

1. Pure but for ``~/.vault-token``; nothing here talks to anybody, and ``os.environ`` is
   an argument. What lasts only minutes (the token of a job, of a pod) is named by its
   source, which ``vault_jwt`` asks at each login.
2. A token is stripped and must be printable ASCII without whitespace before it may
   become a header: the HTTP libraries put a header value that they refuse into the text
   of their exception.
3. No message repeats a value that could be a credential; addresses, names of variables
   and names of files it may repeat.
4. Credentials of a method that was not asked for are not even looked at, so nobody is
   surprised by ``~/.vault-token``.
5. Advice is data (``VaultSettings.warnings``): the command line decides where it is
   printed.

The variables are those of Vault's own CLI where it has one.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, assert_never

from reconciler.errors import UsageError
from reconciler.model import Secret

AuthMethod = Literal["token", "approle", "jwt", "kubernetes"]
ReadFile = Callable[[Path], str]

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where every pod finds the token of its service account, unless told not to; the cluster renews the file."""

_METHODS: Mapping[str, AuthMethod] = {
    "token": "token",
    "approle": "approle",
    "jwt": "jwt",
    "kubernetes": "kubernetes",
}

# hvac and requests resolve dot segments and decode %2F before they send: `..` in a path
# leaves its mount.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]*"
_SAFE_PATH = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_PATH_CHARS_MAX = 1024
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_FILE_BYTES_MAX = 64 * 1024  # a JWT of GitHub's is 2 KiB, the largest of a Kubernetes cluster a few
# As Go's strconv.ParseBool, with which Vault's own CLI reads its switches.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JwtFile:
    """A file that holds an identity token, read at each login because a cluster renews it; ``source`` is what to call it."""

    path: Path
    source: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GitHubOidc:
    """Where a job of GitHub Actions with the permission ``id-token: write`` asks for an identity token, with what, for whom."""

    url: str
    request_token: Secret
    audience: str


JwtSource = Secret | JwtFile | GitHubOidc
"""Where an identity token comes from; a Secret is the token itself."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """Where Vault is, how TLS is checked, how to log in.

    ``address`` has a scheme, no trailing slash and no ``/v1``. ``auth_mount`` is the
    path below ``auth/``. Which of the credentials are set follows from ``auth``:
    ``token``; ``role_id`` with ``secret_id`` or ``wrapped_secret_id``; ``jwt`` (with
    ``role``, which may be None where a jwt mount has a default role). ``proxy`` may
    carry a password, hence a Secret.
    """

    address: str
    namespace: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    skip_verify: bool = False
    proxy: Secret | None = None
    auth: AuthMethod = "token"
    auth_mount: str = ""
    role: str | None = None
    token: Secret | None = None
    role_id: str | None = None
    secret_id: Secret | None = None
    wrapped_secret_id: Secret | None = None
    jwt: JwtSource | None = None
    warnings: tuple[str, ...] = ()


def is_safe_path(path: str) -> bool:
    """Whether a mount or a path may go into a URL: plain segments joined by single slashes, none starting with a dot."""
    return len(path) <= _PATH_CHARS_MAX and _SAFE_PATH.fullmatch(path) is not None


def is_header_safe(text: str) -> bool:
    """Whether a token may become a header: printable ASCII, no whitespace."""
    return _HEADER_SAFE.fullmatch(text) is not None


def read_text_file(path: Path) -> str:
    """The text of a small file; OSError where it can't be read, ValueError where it is too large or not UTF-8."""
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES_MAX + 1)
    if len(content) > _FILE_BYTES_MAX:
        raise ValueError("too large")
    return content.decode("utf-8")


def settings_from_environment(
    environ: Mapping[str, str], read_file: ReadFile = read_text_file
) -> VaultSettings:
    """Return the settings that the environment describes (the table in docs/install.md).

    ``read_file`` reads ``~/.vault-token``. UsageError for whatever can't be meant.
    """
    address, warnings = _address(_value(environ, "VAULT_ADDR"))
    skip_verify = _switch(environ, "VAULT_SKIP_VERIFY")
    if skip_verify:
        warnings += (
            "VAULT_SKIP_VERIFY is set: whoever answers gets the Vault token; name the private CA in VAULT_CACERT instead",
        )
    client_cert = _value(environ, "VAULT_CLIENT_CERT")
    client_key = _value(environ, "VAULT_CLIENT_KEY")
    if (client_cert is None) != (client_key is None):
        raise UsageError(
            "only one of VAULT_CLIENT_CERT and VAULT_CLIENT_KEY is set: set both, or neither"
        )
    settings = VaultSettings(
        address=address,
        namespace=_path(environ, "VAULT_NAMESPACE"),
        ca_cert=_value(environ, "VAULT_CACERT"),
        client_cert=client_cert,
        client_key=client_key,
        skip_verify=skip_verify,
        proxy=_proxy(environ, address),
        warnings=warnings,
    )
    return _with_login(settings, environ, read_file)


def _with_login(
    settings: VaultSettings, environ: Mapping[str, str], read_file: ReadFile
) -> VaultSettings:
    method = _auth_method(_value(environ, "RECONCILER_VAULT_AUTH") or "token")
    settings = dataclasses.replace(
        settings,
        auth=method,
        auth_mount=_path(environ, "RECONCILER_VAULT_AUTH_MOUNT") or method,
        role=_value(environ, "RECONCILER_VAULT_ROLE"),
    )
    match method:
        case "token":
            return dataclasses.replace(settings, token=_token(environ, read_file))
        case "approle":
            return _with_approle(settings, environ)
        case "jwt":
            return dataclasses.replace(settings, jwt=_jwt(environ, settings.address))
        case "kubernetes":
            if settings.role is None:
                raise UsageError(
                    "RECONCILER_VAULT_AUTH=kubernetes needs a role: set RECONCILER_VAULT_ROLE"
                )
            file = JwtFile(path=SERVICE_ACCOUNT_TOKEN, source="the token of the service account")
            return dataclasses.replace(settings, jwt=_jwt_file(environ) or file)
    assert_never(method)


def _with_approle(settings: VaultSettings, environ: Mapping[str, str]) -> VaultSettings:
    role_id = _credential(environ, "VAULT_ROLE_ID")
    secret_id = _credential(environ, "VAULT_SECRET_ID")
    wrapped = _credential(environ, "VAULT_SECRET_ID_WRAPPED")
    if secret_id is not None and wrapped is not None:
        raise UsageError(
            "VAULT_SECRET_ID and VAULT_SECRET_ID_WRAPPED are both set: set the one that was handed to you"
        )
    if role_id is None or (secret_id is None and wrapped is None):
        raise UsageError(
            "RECONCILER_VAULT_AUTH=approle needs VAULT_ROLE_ID and VAULT_SECRET_ID (or VAULT_SECRET_ID_WRAPPED): set both"
        )
    return dataclasses.replace(
        settings, role_id=role_id.reveal(), secret_id=secret_id, wrapped_secret_id=wrapped
    )


def _auth_method(name: str) -> AuthMethod:
    method = _METHODS.get(name)
    if method is not None:
        return method
    raise UsageError(
        "RECONCILER_VAULT_AUTH names no way to log in that there is: use token, approle, jwt or kubernetes"
    )


def _token(environ: Mapping[str, str], read_file: ReadFile) -> Secret:
    """VAULT_TOKEN, else ``~/.vault-token``, as Vault's own CLI does."""
    token = _credential(environ, "VAULT_TOKEN")
    home = environ.get("HOME")
    if token is None and home:
        try:
            text = read_file(Path(home, ".vault-token"))
        except FileNotFoundError:
            text = ""
        except (OSError, ValueError):
            text = None
        if text is None:
            raise UsageError(
                "~/.vault-token can't be read: set VAULT_TOKEN, or log in again with the vault command"
            )
        token = checked_token(text, "~/.vault-token")
    if token is None:
        raise UsageError(
            "there is no Vault token: set VAULT_TOKEN, or choose another login with RECONCILER_VAULT_AUTH"
        )
    return token


def _jwt(environ: Mapping[str, str], address: str) -> JwtSource:
    """A file, else a variable, else what GitHub Actions offers: the most explicit wins."""
    jwt = _jwt_file(environ) or _credential(environ, "VAULT_ID_TOKEN")
    if jwt is not None:
        return jwt
    url = _value(environ, "ACTIONS_ID_TOKEN_REQUEST_URL")
    request_token = _credential(environ, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url is not None and request_token is not None:
        if not _is_private(url):
            raise UsageError(
                "ACTIONS_ID_TOKEN_REQUEST_URL is no https address: leave it as the runner sets it"
            )
        audience = _value(environ, "RECONCILER_VAULT_AUDIENCE") or address
        return GitHubOidc(url=url, request_token=request_token, audience=audience)
    if _value(environ, "GITHUB_ACTIONS") == "true":
        raise UsageError(
            "GitHub offers this job no identity token: give it the permission `id-token: write`; if it has that, the run is of "
            "a pull request from a fork or from Dependabot, and these never get one"
        )
    raise UsageError(
        "RECONCILER_VAULT_AUTH=jwt needs an identity token: set VAULT_JWT_FILE or VAULT_ID_TOKEN"
    )


def _jwt_file(environ: Mapping[str, str]) -> JwtFile | None:
    file = _value(environ, "VAULT_JWT_FILE")
    return (
        JwtFile(path=Path(file), source="the file that VAULT_JWT_FILE names")
        if file is not None
        else None
    )


def _is_private(url: str) -> bool:
    """Whether what is sent to a URL is seen by its host only: https, or this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port  # asking for the port is what checks it
    except ValueError:
        return False
    if host is None or parts.username is not None or not is_header_safe(url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _address(text: str | None) -> tuple[str, tuple[str, ...]]:
    """The address as it is used, and what is to be said about how it was written.

    Only what has one sensible meaning is repaired, and said; the rest is refused.
    """
    if text is None:
        raise UsageError(
            "VAULT_ADDR is not set: set it to Vault's address, like https://vault.example.com:8200"
        )
    warnings: list[str] = []
    if "://" not in text:
        text = f"https://{text}"
        warnings.append(f"VAULT_ADDR has no scheme: taken as {text}")
    parts, host = _split(text)
    path = parts.path.rstrip("/")
    if path == "/v1" or path.endswith("/v1"):
        path = path.removesuffix("/v1").rstrip("/")
        warnings.append("VAULT_ADDR ends in /v1, which is added to every call anyway: leave it out")
    if parts.scheme == "http" and not _is_loopback(host):
        warnings.append(
            "VAULT_ADDR is plain http: anyone on the way can read the Vault token and every secret; use https"
        )
    return f"{parts.scheme}://{parts.netloc}{path}", tuple(warnings)


def _split(address: str) -> tuple[urllib.parse.SplitResult, str]:
    """The parts of an address that can be meant, and its host; what it holds is not repeated, as it may be a password."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, _ = parts.hostname, parts.port  # asking for the port is what checks it
    except ValueError:
        parts, host = urllib.parse.SplitResult("", "", "", "", ""), None
    if parts.scheme and parts.scheme not in {"http", "https"}:
        problem = "has a scheme that is neither https nor http"
    elif parts.username is not None or parts.password is not None:
        problem = "holds a user name or a password, which Vault has no use for"
    elif host is None or not is_header_safe(address) or "?" in address or "#" in address:
        problem = "is not the address of a server"
    else:
        return parts, host
    raise UsageError(
        f"VAULT_ADDR {problem}: set it to something like https://vault.example.com:8200"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proxy(environ: Mapping[str, str], address: str) -> Secret | None:
    """The proxy to go through, chosen as Go's net/http does for Vault's own CLI: never for loopback.

    It is decided here, once, because requests would ask the environment again for every
    call, at a fifth of its time, and would look for credentials in ``~/.netrc`` on the
    way.
    """
    parts = urllib.parse.urlsplit(address)
    host = parts.hostname or ""
    name = f"{parts.scheme}_proxy"
    proxy = _value(environ, name.upper()) or _value(environ, name)
    bypass = _value(environ, "NO_PROXY") or _value(environ, "no_proxy") or ""
    if (
        proxy is None
        or _is_loopback(host)
        or any(_names(entry.strip().lower(), host, parts.port) for entry in bypass.split(","))
    ):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not is_header_safe(proxy) or not proxy.lower().startswith(("http://", "https://")):
        raise UsageError(
            f"{name.upper()} is no address of an HTTP proxy: set it to something like http://proxy.example.com:3128"
        )
    return Secret(proxy)


def _names(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY means a host:

    ``*``, a name and all below it (a port may follow), an address, a network.
    """
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        name, _, entry_port = entry.partition(":")
        name = name.removeprefix("*").removeprefix(".")
        return (
            bool(name)
            and entry_port in {"", str(port)}
            and (host == name or host.endswith(f".{name}"))
        )


def _value(environ: Mapping[str, str], name: str) -> str | None:
    """A variable, stripped; set to nothing counts as not set, as in Vault's own CLI."""
    return environ.get(name, "").strip() or None


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "").strip()
    if text not in _TRUE | _FALSE:
        raise UsageError(f"{name} is neither true nor false: set it to 1 or 0")
    return text in _TRUE


def _path(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name, "").strip().strip("/")
    if text and not is_safe_path(text):
        raise UsageError(
            f"{name} is not a path of plain segments (letters, digits and _.@:+- joined by /): correct it"
        )
    return text or None


def _credential(environ: Mapping[str, str], name: str) -> Secret | None:
    return checked_token(environ.get(name, ""), name)


def checked_token(text: str, source: str) -> Secret | None:
    """A token as it may become a header, None if there is none; UsageError, which names the source, for what can't be one."""
    text = text.strip()
    if not text:
        return None
    if not is_header_safe(text):
        raise UsageError(
            f"{source} holds whitespace, control or non-ASCII characters, which no token does: copy it again"
        )
    return Secret(text)
