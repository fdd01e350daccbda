"""The proxy that the environment names for a URL: one reading for all peers.

    variable                    what it means
    --------------------------  ------------------------------------------------------
    HTTPS_PROXY, HTTP_PROXY     the proxy for https and for http; capital letters win
    ALL_PROXY                   where that is not set; not for Vault, whose own command
                                line doesn't read it
    NO_PROXY                    who is reached directly, an entry each:
      *                         everybody
      10.0.0.0/8, fd00::/8      the addresses of a network, of both families
      10.1.2.3, fd00::1         an address; an IPv6 address may stand in brackets
      10.1.2.3:443, [fd00::1]:443, example.com:443
                                the same, for one port
      example.com               the name and all below it
      .example.com, *.example.com
                                all below it

Rules this module keeps:

1. It reads NO_PROXY as Go does, where commas separate entries, and as curl does, where
   blanks do as well, brackets may stand without a port, and a dot may end a name.
2. An entry that means nothing is passed over. A name is never resolved.
3. This machine is never reached through a proxy: it would get what is sent in plain
   text.
4. A proxy counts only where it is used: what NO_PROXY exempts can't fail by it.
5. No message repeats a value: a password may be in it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import urllib.parse
from collections.abc import Mapping

from reconciler.errors import UsageError
from reconciler.model import Secret
from reconciler.net.hosts import is_loopback

_PORTS = {"http": 80, "https": 443}
_SEPARATOR = re.compile(r"[,\s]+")
_NETWORK = re.compile(r"[0-9a-f.:]+/[0-9]{1,3}")
_BRACKETED = re.compile(r"\[(?P<host>[0-9a-f.:]+)\](:(?P<port>.*))?")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_of(environ: Mapping[str, str], url: str, *, all_proxy: bool = True) -> Secret | None:
    """Return the address of the proxy for a URL, or None to reach its host directly.

    It is a Secret, as it may hold a password. UsageError for a proxy that can't be one.
    """
    parts = urllib.parse.urlsplit(url)
    host, scheme = _plain(parts.hostname or ""), parts.scheme.lower()
    names = (f"{scheme}_proxy", "all_proxy") if all_proxy else (f"{scheme}_proxy",)
    variable = next((name for name in names if _either(environ, name)), None)
    if variable is None or is_loopback(host):
        return None
    port = parts.port or _PORTS.get(scheme, 0)
    entries = _SEPARATOR.split(_either(environ, "no_proxy").lower())
    if any(_names(entry, host, port) for entry in entries):
        return None
    return proxy_in(_either(environ, variable), variable.upper())


def proxy_in(text: str, variable: str) -> Secret:
    """Return the proxy that a variable names: over http where no scheme says otherwise.

    UsageError, which names the variable, for what is no proxy of HTTP.
    """
    proxy = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(proxy)
        is_one = parts.scheme.lower() in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of brackets
        is_one = False
    if is_one and _PRINTABLE.fullmatch(proxy):
        return Secret(proxy)
    raise UsageError(
        f"{variable} is no address of an HTTP proxy: "
        "set it to something like http://proxy.example.com:3128"
    )


def _either(environ: Mapping[str, str], name: str) -> str:
    """Return a variable in capital letters or, where that is not set, in small ones."""
    return environ.get(name.upper(), "").strip() or environ.get(name, "").strip()


def _names(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY means a host at a port."""
    if entry == "*":
        return True
    address = _address(host)
    if _NETWORK.fullmatch(entry):
        return address is not None and _holds(entry, address)
    name, wanted_port = _split(entry)
    if wanted_port not in {"", str(port)}:
        return False
    meant = _address(name)
    if meant is not None or address is not None:
        return meant == address
    below = name.removeprefix("*") if name.startswith("*.") else name
    is_whole = not below.startswith(".")
    below = _plain(below.removeprefix("."))
    return bool(below) and ((is_whole and host == below) or host.endswith(f".{below}"))


def _split(entry: str) -> tuple[str, str]:
    """Return the host and the port of an entry; no port is an empty text."""
    bracketed = _BRACKETED.fullmatch(entry)
    if bracketed is not None:
        return bracketed["host"], bracketed["port"] or ""
    if entry.count(":") > 1:  # an IPv6 address
        return entry, ""
    name, _, port = entry.partition(":")
    return name, port


def _holds(network: str, address: Address) -> bool:
    """Return whether a network holds an address; one that is none holds nothing."""
    with contextlib.suppress(ValueError):
        return address in ipaddress.ip_network(network, strict=False)
    return False


def _address(host: str) -> Address | None:
    """Return the address that a host is; IPv4 written as IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _plain(name: str) -> str:
    """Return a name as it is compared: as DNS has it, without a dot at its end."""
    name = name.lower().rstrip(".")
    if not name.isascii():
        with contextlib.suppress(UnicodeError):
            return name.encode("idna").decode("ascii")
    return name
