"""A client of httpx or a pool of httpcore, as the environment has it.

This is the one place where either is made. httpcore, which lies below httpx, is for
Vault and the exchange: without httpx's models a call costs half as much, and a plan
loads a third less.

Rules this module keeps:

1. httpx looks at no variable, no ``.netrc`` and no file by itself: what of the
   environment counts is chosen here or in a ``Route``, and before anything is sent.
2. No redirects (a credential would go along), no cookies.
3. httpx and httpcore are loaded when they are used: a command that asks nobody goes
   without.
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

    import httpcore
    import httpx

USER_AGENT = f"reconciler/{__version__}"
_CONNECTIONS_MAX = 100
_IDLE_MAX_S = 5.0  # a kept connection; the default of httpx


@value
class Route:
    """The way to a host: through which proxy, and whose certificate it shows.

    ``server_name`` is what the certificate is for, where that is not the host.
    """

    proxy: Secret | None
    trust: Trust
    server_name: str | None = None


def route_to(url: str, environ: Mapping[str, str] = os.environ) -> Route:
    """Return the way to the host of a URL that the environment names.

    UsageError for a proxy that can't be one.
    """
    return Route(proxy=proxy_of(environ, url), trust=system_trust(environ))


def open_client(
    url: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> httpx.Client:
    """Return a client for the host of a URL, and for no other.

    ``timeout_s`` bounds connecting, each write and each read. UsageError, which names
    the variable, for a proxy or an authority that can't be used.
    """
    # a command that asks nobody goes without both
    from http.cookiejar import CookieJar  # noqa: PLC0415

    import httpx  # noqa: PLC0415

    class NoCookies(CookieJar):
        def extract_cookies(self, *_: Any) -> None:
            """Take none, and look for none: that would cost a tenth of a request."""

    route = route_to(url, environ)
    context = caught(lambda: _context(url, route), CertificateError)
    if isinstance(context, CertificateError):
        raise UsageError(str(context))
    limits = httpx.Limits(
        max_connections=_CONNECTIONS_MAX,
        max_keepalive_connections=_CONNECTIONS_MAX,
    )
    return httpx.Client(
        verify=context,
        proxy=_through(route.proxy.reveal(), route.trust) if route.proxy is not None else None,
        trust_env=False,
        http2=False,
        timeout=httpx.Timeout(timeout_s),
        follow_redirects=False,
        limits=limits,
        cookies=NoCookies(),
        headers={"User-Agent": USER_AGENT, **(headers or {})},
    )


def open_pool(url: str, route: Route, *, keep_alive: bool = True) -> httpcore.ConnectionPool:
    """Return connections to the host of a URL, by a route that was chosen.

    Whoever asks through them names the headers and the timeouts of each call. Without
    ``keep_alive`` every request has a fresh connection. CertificateError for a variable
    that names nothing usable.
    """
    import httpcore  # noqa: PLC0415  # as above

    limits: dict[str, Any] = {
        "ssl_context": _context(url, route),
        "max_connections": _CONNECTIONS_MAX,
        "max_keepalive_connections": _CONNECTIONS_MAX if keep_alive else 0,
        "keepalive_expiry": _IDLE_MAX_S,
    }
    if route.proxy is None:
        return httpcore.ConnectionPool(**limits)
    proxy = _through(route.proxy.reveal(), route.trust)
    return httpcore.HTTPProxy(
        proxy_url=httpcore.URL(
            scheme=proxy.url.raw_scheme,
            host=proxy.url.raw_host,
            port=proxy.url.port,
            target=proxy.url.raw_path,
        ),
        proxy_auth=proxy.raw_auth,
        proxy_ssl_context=proxy.ssl_context,
        **limits,
    )


def _context(url: str, route: Route) -> ssl.SSLContext:
    """Return the context for a URL.

    Plain http needs no authorities, which take long to load: its context knows none, so
    it trusts nobody.
    """
    import ssl  # noqa: PLC0415  # as above

    if url.lower().startswith("https:"):
        return context_for(route.trust, server_name=route.server_name)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _through(proxy: str, trust: Trust) -> httpx.Proxy:
    """Return a proxy; one that is reached over https is believed as its host is."""
    import httpx  # noqa: PLC0415  # as above

    is_https = proxy.lower().startswith("https:")
    return httpx.Proxy(proxy, ssl_context=context_for(trust) if is_https else None)
