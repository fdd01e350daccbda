"""A client of httpx, as the environment has it: the one place where one is made.

Rules this module keeps:

1. httpx looks at no variable, no ``.netrc`` and no file by itself: what of the
   environment counts is chosen here or in a ``Route``, and before anything is sent.
2. No redirects (a credential would go along), no cookies.
3. httpx is loaded when a client is made: a command that asks nobody goes without.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.errors import UsageError
from reconciler.model import Secret
from reconciler.net.authorities import CertificateError, Trust, context_for, system_trust
from reconciler.net.bounds import caught
from reconciler.net.proxies import proxy_of
from reconciler.values import value

if TYPE_CHECKING:
    import ssl

    import httpx

_CONNECTIONS_MAX = 100


@value
class Route:
    """The way to a host: through which proxy, and whose certificate it shows.

    ``server_name`` is what the certificate is for, where that is not the host.
    """

    proxy: Secret | None
    trust: Trust
    server_name: str | None = None


def open_client(
    url: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    keep_alive: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> httpx.Client:
    """Return a client for the host of a URL, and for no other.

    ``timeout_s`` bounds connecting, each write and each read. Without ``keep_alive``
    every request has a fresh connection. UsageError, which names the variable, for a
    proxy or an authority that can't be used.
    """
    route = Route(proxy=proxy_of(environ, url), trust=system_trust(environ))
    client = caught(
        lambda: client_for(
            url, route, timeouts_s=(timeout_s, timeout_s), headers=headers, keep_alive=keep_alive
        ),
        CertificateError,
    )
    if isinstance(client, CertificateError):
        raise UsageError(str(client))
    return client


def client_for(
    url: str,
    route: Route,
    *,
    timeouts_s: tuple[float, float],
    headers: Mapping[str, str] | None = None,
    keep_alive: bool = True,
) -> httpx.Client:
    """Return a client for the host of a URL, by a route that was chosen.

    ``timeouts_s`` bound connecting, and each write and each read. CertificateError for
    a variable that names nothing usable.
    """
    # a command that asks nobody goes without both
    from http.cookiejar import CookieJar  # noqa: PLC0415

    import httpx  # noqa: PLC0415

    class NoCookies(CookieJar):
        def extract_cookies(self, *_: Any) -> None:
            """Take none, and look for none: that would cost a tenth of a request."""

    connect_s, each_s = timeouts_s
    limits = httpx.Limits(
        max_connections=_CONNECTIONS_MAX,
        max_keepalive_connections=_CONNECTIONS_MAX if keep_alive else 0,
    )
    return httpx.Client(
        verify=_context(url, route.trust, route.server_name),
        proxy=_through(route.proxy.reveal(), route.trust) if route.proxy is not None else None,
        trust_env=False,
        http2=False,
        timeout=httpx.Timeout(each_s, connect=connect_s),
        follow_redirects=False,
        limits=limits,
        cookies=NoCookies(),
        headers={
            "User-Agent": f"reconciler/{__version__}",
            **({} if keep_alive else {"Connection": "close"}),
            **(headers or {}),
        },
    )


def _context(url: str, trust: Trust, server_name: str | None) -> ssl.SSLContext:
    """Return the context for a URL.

    Plain http needs no authorities, which take long to load: its context knows none, so
    it trusts nobody.
    """
    import ssl  # noqa: PLC0415  # as above

    if url.lower().startswith("https:"):
        return context_for(trust, server_name=server_name)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _through(proxy: str, trust: Trust) -> httpx.Proxy:
    """Return a proxy; one that is reached over https is believed as its host is."""
    import httpx  # noqa: PLC0415  # as above

    is_https = proxy.lower().startswith("https:")
    return httpx.Proxy(proxy, ssl_context=context_for(trust) if is_https else None)
