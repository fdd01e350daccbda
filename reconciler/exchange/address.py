"""The exchange's address, as a person gives it and as it is used.

It is one text for each exchange: the ledger remembers it, and another one is another
exchange. So it has a canonical form: small letters, no port that the scheme has anyway,
no slash at the end.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from reconciler.errors import UsageError
from reconciler.net import is_private

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class Base(NamedTuple):
    """The parts of a base URL: ``port`` is None where it is the scheme's own."""

    scheme: str
    host: str
    port: int | None
    prefix: str

    @property
    def url(self) -> str:
        """The canonical form."""
        return f"{self.scheme}://{self.netloc}{self.prefix}"

    @property
    def netloc(self) -> str:
        """What the header ``Host`` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def checked_base(base_url: str) -> Base:
    """Return the parts of the base URL.

    The given text stands in no message: it may hold a password. UsageError for one
    that is neither https nor http on loopback, or that holds more than a host, a port
    and a path.
    """
    try:
        parts = urlsplit(base_url)
        scheme, host, port = parts.scheme, _host_of(base_url, parts.hostname or ""), parts.port
    except ValueError:  # brackets, a port, an international name
        scheme, host, port = "", "", None
    if scheme not in _DEFAULT_PORTS or not host or not base_url.isprintable() or " " in base_url:
        raise UsageError(
            "the exchange's URL (LIMITLESS_API_URL) must look like https://api.limitless.exchange"
        )
    if not is_private(scheme, host):
        raise UsageError(
            "the exchange's URL (LIMITLESS_API_URL) must be https://: http:// is for loopback only"
        )
    prefix = parts.path.rstrip("/")
    dots = {".", ".."} & set(prefix.split("/"))
    if set("@?#") & set(base_url) or dots or not _PATH_PREFIX.fullmatch(prefix):
        raise UsageError(
            "the exchange's URL (LIMITLESS_API_URL) must not hold a user name, query, fragment or "
            "odd path"
        )
    return Base(scheme, host, None if port == _DEFAULT_PORTS[scheme] else port, prefix)


def canonical_url(base_url: str) -> str:
    """Return the one text for this exchange. UsageError as for ``checked_base``."""
    return checked_base(base_url).url


def _host_of(base_url: str, host: str) -> str:
    """Return a host as DNS has it, or nothing for a text that is none.

    ValueError for an address that is none.
    """
    if ":" in host or "[" in base_url or _FOUR_NUMBERS.fullmatch(host):
        ipaddress.ip_address(host)
        return host
    if not host.isascii() or "xn--" in host:
        host = _international(base_url)
    return host if _HOST_NAME.fullmatch(host) else ""


def _international(base_url: str) -> str:
    """Return the host of a URL with an international name, as DNS has it.

    ValueError for a name that is none.
    """
    import httpx  # noqa: PLC0415  # it knows the names of all alphabets; few need it

    try:
        url = httpx.URL(base_url)
        _ = url.host  # asking for it is what decodes such a name
    except httpx.InvalidURL:
        raise ValueError from None
    return url.raw_host.decode("ascii")
