"""What lies between us and a peer, whoever the peer is.

    what                                                module
    --------------------------------------------------  -----------
    where a secret may go                               hosts
    what bounds a reply and a series of attempts        bounds
    the proxy that the environment names for a URL      proxies
    the authorities whose certificates are believed     authorities
    a client of httpx or httpcore, made of these two    clients
    each call, told to whoever listens                  calls

Every peer is reached by a client of ``clients``: Vault, the exchange, GitHub's identity
token and GitHub's API.
"""

from reconciler.net.authorities import CertificateError, Trust, context_for, system_trust
from reconciler.net.bounds import bounded, caught, repeated
from reconciler.net.calls import CALLS, NetCall, note_call
from reconciler.net.clients import USER_AGENT, Route, open_client, open_pool, route_to
from reconciler.net.hosts import is_loopback, is_private
from reconciler.net.proxies import proxy_in, proxy_of

__all__ = [
    "CALLS",
    "USER_AGENT",
    "CertificateError",
    "NetCall",
    "Route",
    "Trust",
    "bounded",
    "caught",
    "context_for",
    "is_loopback",
    "is_private",
    "note_call",
    "open_client",
    "open_pool",
    "proxy_in",
    "proxy_of",
    "repeated",
    "route_to",
    "system_trust",
]
