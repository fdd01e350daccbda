"""A client of httpx, as the environment has it: the one place where one is made.

Rules this module keeps:

1. httpx looks at no variable, no ``.netrc`` and no file by itself: what of the
   environment counts is chosen here, and before anything is sent.
2. No redirects (a credential would go along), no cookies.
3. httpx is loaded when a client is made: a command that asks nobody goes without.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.errors import UsageError
from reconciler.net.authorities import CertificateError, context_for, system_trust
from reconciler.net.bounds import caught
from reconciler.net.proxies import proxy_of

if TYPE_CHECKING:
    import ssl

    import httpx

_CONNECTIONS_MAX = 100


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

    Plain http needs no authorities, which take long to load: its context knows none, so
    it trusts nobody.
    """
    # a command that asks nobody goes without all three
    import ssl  # noqa: PLC0415
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415

    import httpx  # noqa: PLC0415

    proxy = proxy_of(environ, url)
    context: ssl.SSLContext | CertificateError = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if url.startswith("https:"):
        context = caught(lambda: context_for(system_trust(environ)), CertificateError)
    if isinstance(context, CertificateError):
        raise UsageError(str(context))
    limits = httpx.Limits(
        max_connections=_CONNECTIONS_MAX,
        max_keepalive_connections=_CONNECTIONS_MAX if keep_alive else 0,
    )
    return httpx.Client(
        verify=context,
        proxy=_through(proxy.reveal(), context) if proxy is not None else None,
        trust_env=False,
        http2=False,
        timeout=httpx.Timeout(timeout_s),
        follow_redirects=False,
        limits=limits,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        headers={
            "User-Agent": f"reconciler/{__version__}",
            **({} if keep_alive else {"Connection": "close"}),
            **(headers or {}),
        },
    )


def _through(proxy: str, context: ssl.SSLContext) -> httpx.Proxy:
    """Return a proxy; one that is reached over https is believed as its host is."""
    import httpx  # noqa: PLC0415  # as above

    is_https = proxy.lower().startswith("https:")
    return httpx.Proxy(proxy, ssl_context=context if is_https else None)
