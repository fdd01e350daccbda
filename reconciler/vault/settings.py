"""Which Vault to talk to and how to log in: the environment, read once.

Rules this module keeps:

1. Everything is judged before anything is sent, and nothing here talks to anybody. Only
   ``~/.vault-token`` is read; ``os.environ`` is an argument. What lasts only minutes
   (the token of a job, of a pod) is named by its source, which is asked at each login.
2. No message repeats a value that could be a credential.
3. Only the credentials of the chosen way to log in are looked at: nobody is surprised
   by ``~/.vault-token``.
4. Advice is data (``VaultSettings.warnings``): the command line decides where it is
   printed.

The variables are those of Vault's own CLI where it has one.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import urllib.parse
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.model import Secret
from reconciler.net import caught, is_loopback
from reconciler.vault.environment import (
    Environ,
    ReadFile,
    checked_token,
    credential_of,
    is_header_safe,
    path_of,
    read_text_file,
    switch_of,
    url_of,
    value_of,
)
from reconciler.vault.login import Login
from reconciler.vault.logins import LOGINS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """Where Vault is, how TLS is checked, and a token or how to log in for one.

    ``address`` has a scheme, no trailing slash and no ``/v1``. ``proxy`` may carry a
    password, hence a Secret.
    """

    address: str
    namespace: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    skip_verify: bool = False
    proxy: Secret | None = None
    token: Secret | None = None
    login: Login | None = None
    warnings: tuple[str, ...] = ()


def settings_from_environment(
    environ: Environ, read_file: ReadFile = read_text_file
) -> VaultSettings:
    """Return the settings that the environment describes.

    docs/install.md lists the variables. ``read_file`` reads ``~/.vault-token``.
    UsageError for whatever can't be meant.
    """
    address, warnings = _address(value_of(environ, "VAULT_ADDR"))
    skip_verify = switch_of(environ, "VAULT_SKIP_VERIFY")
    if skip_verify:
        warning = (
            "VAULT_SKIP_VERIFY is set: whoever answers gets the Vault token; "
            "name the private CA in VAULT_CACERT instead"
        )
        warnings = (*warnings, warning)
    client_cert = value_of(environ, "VAULT_CLIENT_CERT")
    client_key = value_of(environ, "VAULT_CLIENT_KEY")
    if (client_cert is None) != (client_key is None):
        raise UsageError(
            "only one of VAULT_CLIENT_CERT and VAULT_CLIENT_KEY is set: set both, or neither"
        )
    namespace, proxy = path_of(environ, "VAULT_NAMESPACE"), _proxy(environ, address)
    token, login = _token_or_login(environ, address, read_file)
    return VaultSettings(
        address=address,
        namespace=namespace,
        ca_cert=value_of(environ, "VAULT_CACERT"),
        client_cert=client_cert,
        client_key=client_key,
        skip_verify=skip_verify,
        proxy=proxy,
        token=token,
        login=login,
        warnings=warnings,
    )


def _token_or_login(
    environ: Environ, address: str, read_file: ReadFile
) -> tuple[Secret | None, Login | None]:
    method = value_of(environ, "RECONCILER_VAULT_AUTH") or "token"
    if method != "token" and method not in LOGINS:
        *others, last = ("token", *LOGINS)
        raise UsageError(
            f"RECONCILER_VAULT_AUTH names no known way to log in: use {', '.join(others)} or {last}"
        )
    mount = path_of(environ, "RECONCILER_VAULT_AUTH_MOUNT") or method
    if method == "token":
        return _token(environ, read_file), None
    return None, LOGINS[method](environ, mount, address)


def _token(environ: Environ, read_file: ReadFile) -> Secret:
    """Return VAULT_TOKEN, else what is in ``~/.vault-token``, as Vault's CLI does."""
    token = credential_of(environ, "VAULT_TOKEN")
    home = environ.get("HOME")
    if token is None and home:
        text = caught(lambda: read_file(Path(home, ".vault-token")), OSError, ValueError)
        if not isinstance(text, str | FileNotFoundError):
            raise UsageError(
                "~/.vault-token can't be read: "
                "set VAULT_TOKEN, or log in again with the vault command"
            )
        token = checked_token(text, "~/.vault-token") if isinstance(text, str) else None
    if token is None:
        raise UsageError(
            "there is no Vault token: set VAULT_TOKEN, "
            "or choose another login with RECONCILER_VAULT_AUTH"
        )
    return token


def _address(text: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the address as it is used, and what to say about how it was written.

    What has one sensible meaning is repaired, and that is said; the rest is refused.
    """
    if text is None:
        raise UsageError(
            "VAULT_ADDR is not set: set it to Vault's address, like https://vault.example.com:8200"
        )
    warnings: list[str] = []
    if "://" not in text:
        text = f"https://{text}"
        warnings.append(f"VAULT_ADDR has no scheme: taken as {text}")
    parts = _parts(text)
    path = parts.path.rstrip("/")
    if path == "/v1" or path.endswith("/v1"):
        path = path.removesuffix("/v1").rstrip("/")
        warnings.append("VAULT_ADDR ends in /v1, which is added to every call anyway: leave it out")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        warnings.append(
            "VAULT_ADDR is plain http: anyone on the way can read the Vault token and every "
            "secret; use https"
        )
    return f"{parts.scheme}://{parts.netloc}{path}", tuple(warnings)


def _parts(address: str) -> urllib.parse.SplitResult:
    """Return the parts of an address that can be meant.

    The error does not repeat the address: a password may be in it.
    """
    parts = url_of(address)
    if parts is not None and parts.scheme not in {"", "http", "https"}:
        problem = "has a scheme that is neither https nor http"
    elif parts is not None and (parts.username is not None or parts.password is not None):
        problem = "holds a user name or a password, which Vault has no use for"
    elif (
        parts is None
        or parts.hostname is None
        or not is_header_safe(address)
        or {"?", "#"} & set(address)
    ):
        problem = "is not the address of a server"
    else:
        return parts
    raise UsageError(
        f"VAULT_ADDR {problem}: set it to something like https://vault.example.com:8200"
    )


def _proxy(environ: Environ, address: str) -> Secret | None:
    """Return the proxy to go through: never for loopback.

    It is chosen as Go's net/http does for Vault's own CLI, here and once. requests
    would ask the environment again for every call, at a fifth of the call's time, and
    would look for credentials in ``~/.netrc`` on the way.
    """
    parts = urllib.parse.urlsplit(address)
    host = parts.hostname or ""
    name = f"{parts.scheme}_proxy"
    proxy = value_of(environ, name.upper()) or value_of(environ, name)
    bypass = value_of(environ, "NO_PROXY") or value_of(environ, "no_proxy") or ""
    if (
        proxy is None
        or is_loopback(host)
        or any(_names(entry.strip().lower(), host, parts.port) for entry in bypass.split(","))
    ):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not is_header_safe(proxy) or not proxy.lower().startswith(("http://", "https://")):
        raise UsageError(
            f"{name.upper()} is no address of an HTTP proxy: "
            "set it to something like http://proxy.example.com:3128"
        )
    return Secret(proxy)


def _names(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of NO_PROXY means a host.

    An entry is ``*``, a name and all below it (a port may follow), an address, or a
    network.
    """
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        name, _, entry_port = entry.partition(":")
        name = name.removeprefix("*").removeprefix(".")
        is_below = host == name or host.endswith(f".{name}")
        return bool(name) and entry_port in {"", str(port)} and is_below
