"""What lies between us and a peer: which proxy a URL is reached through, and whose
certificates are believed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import UsageError
from reconciler.net import (
    CertificateError,
    Trust,
    context_for,
    open_client,
    proxy_in,
    proxy_of,
    system_trust,
)

NAME = "https://api.example.com"
V4 = "https://10.1.2.3"
V6 = "https://[fd00::1]:8200"
PROXY = "http://proxy.test:3128"


def through(url: str, **variables: str) -> str | None:
    """The proxy for a URL, in plain text."""
    proxy = proxy_of({"HTTPS_PROXY": PROXY, **variables}, url)
    return proxy.reveal() if proxy is not None else None


@pytest.mark.parametrize(
    ("url", "entries"),
    [
        (url, entries)
        for url, every in {
            NAME: (
                "*",
                "a.test,*",
                "api.example.com",
                "API.Example.COM.",
                "example.com",
                "com",
                ".example.com",
                "*.example.com",
                "example.com:443",
                ".example.com:443",
                "api.example.com:",
                "a.test b.test\texample.com",
                " , example.com ,",
                "fd00::/8,[::1],nonsense[,:1,example.com",
            ),
            f"{NAME}:8443": ("example.com:8443", "example.com"),
            "https://api.example.com.": ("example.com",),
            "https://xn--9ca.example.com": ("é.example.com", ".É.example.com,xn--9ca.example.com"),
            V4: (
                "10.0.0.0/8",
                "10.1.2.3",
                "10.1.2.3:443",
                "10.255.255.255/8",
                "0.0.0.0/0",
                "10.1.2.3/32",
                "::ffff:10.1.2.3",
                "fd00::/8 10.0.0.0/8",
            ),
            V6: (
                "fd00::/8",
                "fd00::1",
                "FD00:0:0::1",
                "[fd00::1]",
                "[fd00::1]:8200",
                "::/0",
                "fd00::1/128",
                "10.0.0.0/8, fd00::/8",
            ),
            "https://127.0.0.1:1": ("",),
            "https://[::1]": ("",),
            "https://localhost:8200": ("",),
        }.items()
        for entries in every
    ],
)
def test_no_proxy_is_reached_directly(url: str, entries: str) -> None:
    """Each entry that means the host, alone or among others; this machine always."""
    assert through(url, NO_PROXY=entries) is None
    assert through(url, no_proxy=entries) is None


@pytest.mark.parametrize(
    ("url", "entries"),
    [
        (url, entries)
        for url, every in {
            NAME: (
                "",
                "ample.com",
                "pi.example.com",
                "x.api.example.com",
                ".api.example.com",
                "*.api.example.com",
                "*example.com",
                "example.com:8443",
                "example.com:x",
                "10.0.0.0/8",
                "0.0.0.0/0,::/0",
                "[::1]",
                "::1/128",
                "fd00::/8",
                "[",
                "]",
                "[]",
                "[::1",
                ":",
                ":443",
                ".",
                "..",
                "*.",
                "https://api.example.com",
                "10.0.0.0/999",
                "999.0.0.0/8",
                "fd00::/200",
                "/8",
                "\udcff",
                "%",
                "a" * 5000,
            ),
            V4: ("10.0.0.0/16,10.1.2.4", "11.0.0.0/8", "10.1.2.3:80", "1.2.3", ".1.2.3", "::/0"),
            V6: ("fe80::/10", "fd00::2", "[fd00::1]:443", "0.0.0.0/0", "fd00", "::1", "[fd00::]/8"),
            "https://[fd00::1]": ("[fd00::1]:8200",),
        }.items()
        for entries in every
    ],
)
def test_no_proxy_means_somebody_else(url: str, entries: str) -> None:
    """What means another host, or nothing at all, is passed over, and fails nobody."""
    assert through(url, NO_PROXY=entries) == PROXY


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": " p:1 "}, "http://p:1"),
        ({"https_proxy": "p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "a", "https_proxy": "b"}, "http://a"),
        ({"HTTPS_PROXY": "", "https_proxy": "b"}, "http://b"),
        ({"HTTP_PROXY": "http://p"}, None),
        ({"ALL_PROXY": "http://p"}, "http://p"),
        ({"all_proxy": "http://p", "HTTPS_PROXY": "https://q"}, "https://q"),
        ({"ALL_PROXY": "socks5://p", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "gopher://p", "NO_PROXY": "*"}, None),
        ({"NO_PROXY": "x", "no_proxy": "example.com", "HTTPS_PROXY": "p"}, "http://p"),
    ],
)
def test_the_variable_that_counts(variables: dict[str, str], expected: str | None) -> None:
    """Capital letters before small ones, the scheme's own before ALL_PROXY; a proxy
    that isn't used can't fail.
    """
    proxy = proxy_of(variables, NAME)
    assert (proxy.reveal() if proxy is not None else None) == expected
    if "ALL_PROXY" in variables:
        assert proxy_of(variables, NAME, all_proxy=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "socks5://canary",
        "gopher://canary",
        "http://canary:port",
        "http://[canary",
        "http://",
        "a b",
    ],
)
def test_what_is_no_proxy(text: str) -> None:
    """A sentence that names the variable, and repeats nothing of its value."""
    with pytest.raises(UsageError, match="HTTPS_PROXY is no address of an HTTP proxy") as caught:
        proxy_of({"https_proxy": text}, NAME)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(UsageError, match="X is no address"):
        proxy_in(text, "X")


@pytest.mark.parametrize("entry", ["fd00::/8", "::1/128", "[::1]", "[::1]:443", "[", "\udcff", "*"])
def test_no_entry_makes_a_client_impossible(entry: str) -> None:
    """With and without a proxy."""
    for variables in ({}, {"HTTPS_PROXY": PROXY}, {"ALL_PROXY": PROXY}):
        environ = {"NO_PROXY": entry, "no_proxy": entry, **variables}
        open_client(NAME, timeout_s=1, environ=environ).close()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_systems_variables_must_name_something(variable: str, tmp_path: Path) -> None:
    """A file or a folder that is not there, or holds no certificate, is named."""
    empty = tmp_path / "empty"
    empty.touch()
    for value in (str(empty if variable == "SSL_CERT_FILE" else tmp_path), "/no/canary"):
        with pytest.raises(UsageError, match=f"^{variable} names") as caught:
            open_client(NAME, timeout_s=1, environ={variable: value})
        assert "canary" not in str(caught.value)


def test_plain_http_needs_no_authorities() -> None:
    """What it doesn't need can't fail it."""
    open_client("http://127.0.0.1:1", timeout_s=1, environ={"SSL_CERT_FILE": "/none"}).close()


def test_nothing_named_is_the_public_authorities() -> None:
    """And what is named takes their place."""
    assert len(context_for(system_trust({})).get_ca_certs()) > 50
    with pytest.raises(CertificateError, match=r"^A holds no certificate"):
        context_for(Trust(text=("A", "-----BEGIN CERTIFICATE-----\nAAAA\n")))
    with pytest.raises(CertificateError, match=r"^B names no folder with a certificate"):
        context_for(Trust(folder=("B", "/no/such/folder")))
    with pytest.raises(CertificateError, match=r"^C names a folder: name a file"):
        context_for(Trust(file=("C", "/")))
