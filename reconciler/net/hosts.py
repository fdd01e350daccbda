"""Where a secret may go: over https, or over http to this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: ``localhost`` or a loopback address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False


def is_private(scheme: str, host: str) -> bool:
    """Return whether only the host reads what is sent: https, or http on loopback."""
    return scheme == "https" or (scheme == "http" and is_loopback(host))
