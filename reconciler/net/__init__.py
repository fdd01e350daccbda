"""What lies between us and a peer, whoever the peer is.

    what                                                module
    --------------------------------------------------  -----------
    where a secret may go                               hosts
    what bounds a reply and a series of attempts        bounds
    the proxy that the environment names for a URL      proxies
    the authorities whose certificates are believed     authorities
    a client of httpx, made of the last two             clients

The exchange, GitHub's identity token and GitHub's API are reached by a client of
``clients``. Vault has a session of its own (``vault.http``), with the same proxies and
authorities.
"""

from reconciler.net.authorities import CertificateError, Trust, context_for, system_trust
from reconciler.net.bounds import bounded, caught, repeated
from reconciler.net.clients import open_client
from reconciler.net.hosts import is_loopback, is_private
from reconciler.net.proxies import proxy_in, proxy_of

__all__ = [
    "CertificateError",
    "Trust",
    "bounded",
    "caught",
    "context_for",
    "is_loopback",
    "is_private",
    "open_client",
    "proxy_in",
    "proxy_of",
    "repeated",
    "system_trust",
]
