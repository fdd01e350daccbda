"""Which Vault to talk to and how to log in: the environment, read once and judged before anything is sent.

Rules this module keeps:

1. Pure but for the files that the environment names; nothing here talks to Vault, and ``os.environ`` is an argument.
2. A token is stripped and must be printable ASCII without whitespace before it may become a header: the HTTP libraries put a
   header value that they refuse into the text of their exception.
3. No message repeats a value that could be a credential; addresses, names of variables and names of files it may repeat.
4. Credentials of a method that was not asked for are not even looked at, so nobody is surprised by ``~/.vault-token``.
5. Advice is data (``VaultSettings.warnings``): the command line decides where it is printed.

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

AuthMethod = Literal["token", "approle", "jwt"]
ReadFile = Callable[[Path], str]

_METHODS: Mapping[str, AuthMethod] = {"token": "token", "approle": "approle", "jwt": "jwt"}

# hvac and requests resolve dot segments and decode %2F before they send: `..` in a path leaves its mount.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]*"
_SAFE_PATH = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_PATH_CHARS_MAX = 1024
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_FILE_BYTES_MAX = 64 * 1024  # a JWT of GitHub's is 2 KiB, the largest of a Kubernetes cluster a few
# As Go's strconv.ParseBool, with which Vault's own CLI reads its switches.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """Where Vault is, how TLS is checked, how to log in.

    ``address`` has a scheme, no trailing slash and no ``/v1``. ``auth_mount`` is the path below ``auth/``. Which of the
    credentials are set follows from ``auth``: ``token``; ``role_id`` and ``secret_id``; ``jwt`` (with ``role``, which may be
    None where the mount has a default role). ``audience`` is what an identity token is to be asked for, by the methods that
    ask for one. ``proxy`` may carry a password, hence a Secret.
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
    audience: str | None = None
    token: Secret | None = None
    role_id: str | None = None
    secret_id: Secret | None = None
    jwt: Secret | None = None
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


def settings_from_environment(environ: Mapping[str, str], read_file: ReadFile = read_text_file) -> VaultSettings:
    """The settings that the environment describes; the contract is the table of variables in README.

    ``read_file`` reads ``~/.vault-token`` and the file that ``VAULT_JWT_FILE`` names. UsageError for whatever can't be meant.
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
        raise UsageError("only one of VAULT_CLIENT_CERT and VAULT_CLIENT_KEY is set: set both, or neither")
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


def _with_login(settings: VaultSettings, environ: Mapping[str, str], read_file: ReadFile) -> VaultSettings:
    method = _auth_method(_value(environ, "RECONCILER_VAULT_AUTH") or "token")
    settings = dataclasses.replace(
        settings,
        auth=method,
        auth_mount=_path(environ, "RECONCILER_VAULT_AUTH_MOUNT") or method,
        role=_value(environ, "RECONCILER_VAULT_ROLE"),
        audience=_value(environ, "RECONCILER_VAULT_AUDIENCE"),
    )
    match method:
        case "token":
            return dataclasses.replace(settings, token=_token(environ, read_file))
        case "approle":
            role_id = _credential(environ, "VAULT_ROLE_ID")
            secret_id = _credential(environ, "VAULT_SECRET_ID")
            if role_id is None or secret_id is None:
                raise UsageError("RECONCILER_VAULT_AUTH=approle needs VAULT_ROLE_ID and VAULT_SECRET_ID: set both")
            return dataclasses.replace(settings, role_id=role_id.reveal(), secret_id=secret_id)
        case "jwt":
            return dataclasses.replace(settings, jwt=_jwt(environ, read_file))
    assert_never(method)


def _auth_method(name: str) -> AuthMethod:
    method = _METHODS.get(name)
    if method is not None:
        return method
    if name == "kubernetes":
        raise UsageError("RECONCILER_VAULT_AUTH=kubernetes is not supported yet: use token, approle or jwt")
    raise UsageError("RECONCILER_VAULT_AUTH names no way to log in that there is: use token, approle or jwt")


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
            raise UsageError("~/.vault-token can't be read: set VAULT_TOKEN, or log in again with the vault command")
        token = _checked(text, "~/.vault-token")
    if token is None:
        raise UsageError("there is no Vault token: set VAULT_TOKEN, or choose another login with RECONCILER_VAULT_AUTH")
    return token


def _jwt(environ: Mapping[str, str], read_file: ReadFile) -> Secret:
    file = _value(environ, "VAULT_JWT_FILE")
    if file is None:
        jwt = _credential(environ, "VAULT_ID_TOKEN")
        if jwt is None and "ACTIONS_ID_TOKEN_REQUEST_URL" in environ:
            raise UsageError("GitHub's own identity token can't be fetched yet: put it into VAULT_ID_TOKEN or VAULT_JWT_FILE")
        if jwt is None:
            raise UsageError("RECONCILER_VAULT_AUTH=jwt needs an identity token: set VAULT_JWT_FILE or VAULT_ID_TOKEN")
        return jwt
    try:
        text = read_file(Path(file))
    except (OSError, ValueError):
        text = None
    jwt = _checked(text, "the file that VAULT_JWT_FILE names") if text is not None else None
    if jwt is None:
        raise UsageError(f"VAULT_JWT_FILE names {file!r}, which is empty or can't be read: check the path and its permissions")
    return jwt


def _address(text: str | None) -> tuple[str, tuple[str, ...]]:
    """The address as it is used, and what is to be said about how it was written.

    Only what has one sensible meaning is repaired, and said; the rest is refused.
    """
    if text is None:
        raise UsageError("VAULT_ADDR is not set: set it to Vault's address, like https://vault.example.com:8200")
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
        warnings.append("VAULT_ADDR is plain http: anyone on the way can read the Vault token and every secret; use https")
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
    raise UsageError(f"VAULT_ADDR {problem}: set it to something like https://vault.example.com:8200")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proxy(environ: Mapping[str, str], address: str) -> Secret | None:
    """The proxy to go through, chosen as Go's net/http does for Vault's own CLI: never for loopback.

    It is decided here, once, because requests would ask the environment again for every call, at a fifth of its time, and
    would look for credentials in ``~/.netrc`` on the way.
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
    """Whether an entry of NO_PROXY means a host: ``*``, a name and all below it (a port may follow), an address, a network."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        name, _, entry_port = entry.partition(":")
        name = name.removeprefix("*").removeprefix(".")
        return bool(name) and entry_port in {"", str(port)} and (host == name or host.endswith(f".{name}"))


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
        raise UsageError(f"{name} is not a path of plain segments (letters, digits and _.@:+- joined by /): correct it")
    return text or None


def _credential(environ: Mapping[str, str], name: str) -> Secret | None:
    return _checked(environ.get(name, ""), name)


def _checked(text: str, source: str) -> Secret | None:
    text = text.strip()
    if not text:
        return None
    if not is_header_safe(text):
        raise UsageError(f"{source} holds whitespace, control or non-ASCII characters, which no token does: copy it again")
    return Secret(text)
