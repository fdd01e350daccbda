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

The variables are those of Vault's own CLI where it has one, or of OpenBao's
(``family``).
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.model import Secret
from reconciler.net import Route, Trust, caught, is_loopback, proxy_in, proxy_of, system_trust
from reconciler.values import value
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
from reconciler.vault.family import Family
from reconciler.vault.login import Login
from reconciler.vault.logins import LOGINS

# As Go's time.ParseDuration; a bare number is seconds.
_LENGTH = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{0,9})?)(?P<unit>ns|us|µs|ms|s|m|h)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIMEOUT_MAX_S = 60.0  # a lease lasts a minute
_RETRIES_MAX = 10
_SERVER_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,253}")


@value
class VaultSettings:
    """Where Vault is, how TLS is checked, and a token or how to log in for one.

    A client's certificate is given with its key: as two files, or else as two texts.
    ``address`` has a scheme, no trailing slash and no ``/v1``. ``proxy`` may carry a
    password, hence a Secret. Where ``timeout_s`` or ``max_retries`` is None, the store
    decides. ``from_bao`` are the variables, without their prefix, of OpenBao's family;
    ``address_from`` is the one that names the address.
    """

    address: str
    namespace: str | None = None
    ca_cert: str | None = None
    ca_cert_bytes: str | None = None
    ca_path: str | None = None
    ssl_cert_file: str | None = None
    ssl_cert_dir: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    client_cert_bytes: str | None = None
    client_key_bytes: Secret | None = None
    tls_server_name: str | None = None
    skip_verify: bool = False
    proxy: Secret | None = None
    timeout_s: float | None = None
    max_retries: int | None = None
    token: Secret | None = None
    login: Login | None = None
    from_bao: tuple[str, ...] = ()
    address_from: str = "VAULT_ADDR"
    warnings: tuple[str, ...] = ()

    def limits(
        self, timeouts_s: tuple[float, float], retries: int
    ) -> tuple[tuple[float, float], int]:
        """Return the seconds to connect and to wait, and the repeats of a read.

        What is given counts where the environment says nothing.
        """
        both_s = timeouts_s if self.timeout_s is None else (self.timeout_s, self.timeout_s)
        return both_s, retries if self.max_retries is None else self.max_retries

    def trust(self) -> Trust:
        """Return whose certificates are believed, and which one is shown."""

        def called(name: str) -> str:
            return f"{'BAO' if name in self.from_bao else 'VAULT'}_{name}"

        def named(name: str, value: str | None) -> tuple[str, str] | None:
            return None if value is None else (called(name), value)

        key = self.client_key_bytes

        return dataclasses.replace(
            system_trust(
                {
                    "SSL_CERT_FILE": self.ssl_cert_file or "",
                    "SSL_CERT_DIR": self.ssl_cert_dir or "",
                }
            ),
            file=named("CACERT", self.ca_cert),
            text=named("CACERT_BYTES", self.ca_cert_bytes),
            folder=named("CAPATH", self.ca_path),
            client_cert=named("CLIENT_CERT", self.client_cert),
            client_key=named("CLIENT_KEY", self.client_key),
            client_cert_text=named("CLIENT_CERT_BYTES", self.client_cert_bytes),
            client_key_text=None if key is None else (called("CLIENT_KEY_BYTES"), key),
            verify=not self.skip_verify,
        )

    def route(self) -> Route:
        """Return the way to Vault."""
        return Route(proxy=self.proxy, trust=self.trust(), server_name=self.tls_server_name)

    @property
    def token_from(self) -> str:
        """Where the token comes from; nothing where an agent or a proxy adds one."""
        if self.login is not None:
            return f"auth/{self.login.mount}"
        return "VAULT_TOKEN" if self.token is not None else ""


def settings_from_environment(
    environ: Environ, read_file: ReadFile = read_text_file
) -> VaultSettings:
    """Return the settings that the environment describes.

    docs/install.md lists the variables. ``read_file`` reads the file with the token.
    UsageError for whatever can't be meant.
    """
    family = Family(environ)
    settings = caught(lambda: _settings(family, read_file), UsageError)
    if isinstance(settings, UsageError):
        raise UsageError(family.said(str(settings)))
    said = tuple(family.said(warning) for warning in settings.warnings)
    return dataclasses.replace(settings, warnings=(*said, *family.warnings()))


def _settings(family: Family, read_file: ReadFile) -> VaultSettings:
    environ = family.environ
    address_from, named = _named_address(family)
    address, warnings = _address(address_from, named)
    skip_verify = switch_of(environ, "VAULT_SKIP_VERIFY")
    if skip_verify:
        warning = (
            "VAULT_SKIP_VERIFY is set: whoever answers gets the Vault token; "
            "name the private CA in VAULT_CACERT instead"
        )
        warnings = (*warnings, warning)
    files, texts = _client_certificate(environ)
    timeout_s, max_retries, bounded = _limits(environ)
    proxy, told = _proxy(environ, address)
    token, login = _token_or_login(environ, address, read_file)
    return VaultSettings(
        address=address,
        namespace=path_of(environ, "VAULT_NAMESPACE"),
        ca_cert=value_of(environ, "VAULT_CACERT"),
        ca_cert_bytes=value_of(environ, "VAULT_CACERT_BYTES"),
        ca_path=value_of(environ, "VAULT_CAPATH"),
        ssl_cert_file=value_of(environ, "SSL_CERT_FILE"),
        ssl_cert_dir=value_of(environ, "SSL_CERT_DIR"),
        client_cert=files[0] if files else None,
        client_key=files[1] if files else None,
        client_cert_bytes=texts[0] if texts else None,
        client_key_bytes=Secret(texts[1]) if texts else None,
        tls_server_name=_server_name(environ),
        skip_verify=skip_verify,
        proxy=proxy,
        timeout_s=timeout_s,
        max_retries=max_retries,
        token=token,
        login=login,
        from_bao=family.from_bao,
        address_from=family.said(address_from),
        warnings=(*warnings, *bounded, *told),
    )


def _client_certificate(
    environ: Environ,
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Return the files of our own certificate and its key, else both as texts.

    Where both files are named, the texts don't count. UsageError for half of a pair.
    """

    def pair(*names: str) -> tuple[str, str] | None:
        cert, key = (value_of(environ, name) for name in names)
        if cert is not None and key is not None:
            return cert, key
        if cert is key:
            return None
        raise UsageError(f"only one of {' and '.join(names)} is set: set both, or neither")

    files = pair("VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY")
    if files is not None:
        return files, None
    return None, pair("VAULT_CLIENT_CERT_BYTES", "VAULT_CLIENT_KEY_BYTES")


def _limits(environ: Environ) -> tuple[float | None, int | None, tuple[str, ...]]:
    """Return how long a request may take, how often a read is repeated, what to say.

    Both have an end here: the program holds a lease while it waits.
    """
    warnings: list[str] = []
    timeout_s = _length_s(value_of(environ, "VAULT_CLIENT_TIMEOUT") or "0") or None
    if timeout_s is not None and timeout_s > _TIMEOUT_MAX_S:
        timeout_s = _TIMEOUT_MAX_S
        warnings.append(
            f"VAULT_CLIENT_TIMEOUT is longer than this program waits: taken as {timeout_s:g} s"
        )
    text = value_of(environ, "VAULT_MAX_RETRIES")
    if text is None:
        return timeout_s, None, tuple(warnings)
    if not (text.isascii() and text.isdigit()):
        raise UsageError("VAULT_MAX_RETRIES is no number of attempts: set it to something like 3")
    is_large = len(text) > len(str(_RETRIES_MAX)) or int(text) > _RETRIES_MAX
    if is_large:
        warnings.append(
            f"VAULT_MAX_RETRIES is more than this program tries: taken as {_RETRIES_MAX}"
        )
    return timeout_s, _RETRIES_MAX if is_large else int(text), tuple(warnings)


def _length_s(text: str) -> float:
    """Return a length of time as Vault's own CLI reads it, in seconds."""
    text = f"{text}s" if text.isascii() and text.isdigit() else text
    found = list(_LENGTH.finditer(text))
    if not found or "".join(part[0] for part in found) != text:
        raise UsageError(
            "VAULT_CLIENT_TIMEOUT is no length of time: set it to something like 30s or 2m"
        )
    return sum(float(part["number"]) * _UNITS_S[part["unit"]] for part in found)


def _server_name(environ: Environ) -> str | None:
    """Return the name that the certificate is for, where the address has another."""
    name = value_of(environ, "VAULT_TLS_SERVER_NAME")
    if name is not None and not _SERVER_NAME.fullmatch(name):
        raise UsageError(
            "VAULT_TLS_SERVER_NAME is no name of a server: "
            "set it to the one in Vault's certificate, like vault.example.com"
        )
    return name


def _proxy(environ: Environ, address: str) -> tuple[Secret | None, tuple[str, ...]]:
    """Return the proxy to go through, and what to say of it.

    Vault's own variable counts for every address, as in Vault's own CLI: for this
    machine too, and whatever NO_PROXY says.
    """
    for name in ("VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY"):
        text = value_of(environ, name)
        if text is None:
            continue
        proxy = proxy_in(text, name)
        host = urllib.parse.urlsplit(proxy.reveal()).hostname or ""
        if address.startswith("https:") or is_loopback(host):
            return proxy, ()
        warning = (
            f"{name} is set, and VAULT_ADDR is plain http: the proxy, and anyone on the way to "
            "it, can read the Vault token and every secret; use https"
        )
        return proxy, (warning,)
    return proxy_of(environ, address, all_proxy=False), ()


def _token_or_login(
    environ: Environ, address: str, read_file: ReadFile
) -> tuple[Secret | None, Login | None]:
    method = value_of(environ, "RECONCILER_VAULT_AUTH") or "token"
    if method not in {"token", "none", *LOGINS}:
        *others, last = ("token", *LOGINS, "none")
        raise UsageError(
            f"RECONCILER_VAULT_AUTH names no known way to log in: use {', '.join(others)} or {last}"
        )
    mount = path_of(environ, "RECONCILER_VAULT_AUTH_MOUNT") or method
    if method == "none":  # an agent or a proxy adds the token
        return None, None
    if method == "token":
        return _token(environ, read_file), None
    return None, LOGINS[method](environ, mount, address)


def _token(environ: Environ, read_file: ReadFile) -> Secret:
    """Return VAULT_TOKEN, else what is in a file, as Vault's CLI does.

    The file is ``~/.vault-token`` unless ``VAULT_TOKEN_PATH`` names one, as OpenBao has
    it.
    """
    token = credential_of(environ, "VAULT_TOKEN")
    home, named = environ.get("HOME"), value_of(environ, "VAULT_TOKEN_PATH")
    if token is None and (home or named):
        path = Path(named) if named else Path(home or "", ".vault-token")
        source = "the file that VAULT_TOKEN_PATH names" if named else "~/.vault-token"
        text = caught(lambda: read_file(path), OSError, ValueError)
        if not isinstance(text, str | FileNotFoundError):
            raise UsageError(
                f"{source} can't be read: set VAULT_TOKEN, or log in again with the vault command"
            )
        token = checked_token(text, source) if isinstance(text, str) else None
    if token is None:
        raise UsageError(
            "there is no Vault token: set VAULT_TOKEN, "
            "or choose another login with RECONCILER_VAULT_AUTH (none, where an agent adds it)"
        )
    return token


def _named_address(family: Family) -> tuple[str, str | None]:
    """Return the variable with the address, as Vault's own CLI chooses it, and it."""
    if family.value("AGENT_ADDR") is not None:
        return "VAULT_AGENT_ADDR", family.value("AGENT_ADDR")
    if family.hides("ADDR"):
        raise UsageError(
            "BAO_ADDR is set to nothing, which hides what is set beside it: unset it, "
            "or set it to Vault's address"
        )
    return "VAULT_ADDR", family.value("ADDR")


def _address(name: str, text: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the address as it is used, and what to say about how it was written.

    What has one sensible meaning is repaired, and that is said; the rest is refused.
    """
    if text is None:
        raise UsageError(
            f"{name} is not set: set it to Vault's address, like https://vault.example.com:8200"
        )
    warnings: list[str] = []
    if "://" not in text:
        text = f"https://{text}"
        warnings.append(f"{name} has no scheme: taken as {text}")
    parts = _parts(name, text)
    path = parts.path.rstrip("/")
    if path == "/v1" or path.endswith("/v1"):
        path = path.removesuffix("/v1").rstrip("/")
        warnings.append(f"{name} ends in /v1, which is added to every call anyway: leave it out")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        warnings.append(
            f"{name} is plain http: anyone on the way can read the Vault token and every "
            "secret; use https"
        )
    return f"{parts.scheme}://{parts.netloc}{path}", tuple(warnings)


def _parts(name: str, address: str) -> urllib.parse.SplitResult:
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
    raise UsageError(f"{name} {problem}: set it to something like https://vault.example.com:8200")
