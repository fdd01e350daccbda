"""Claims about reading Vault's settings from the environment: tables of environments
and what they mean.
"""

from __future__ import annotations

import dataclasses
import traceback
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import UsageError
from reconciler.model import Secret
from reconciler.vault.environment import is_header_safe, is_safe_path, read_text_file
from reconciler.vault.login import Login
from reconciler.vault.settings import VaultSettings, settings_from_environment

CANARY = "canary-4711"
ADDR = "https://vault.example.com:8200"
TOKEN_ENV = {"VAULT_ADDR": ADDR, "VAULT_TOKEN": CANARY}
GITHUB_URL = "https://vstoken.example.com/x?api-version=2.0"
GITHUB_ENV = {
    "GITHUB_ACTIONS": "true",
    "ACTIONS_ID_TOKEN_REQUEST_URL": GITHUB_URL,
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": CANARY,
}
THREE_REASONS = (
    "GitHub offers this job no identity token: give it the permission `id-token: write`; if it has "
    "that, the run is of a pull "
    "request from a fork or from Dependabot, and these never get one"
)


def no_files(path: Path) -> str:
    """A machine without any file."""
    raise FileNotFoundError(path)


def plain(settings: VaultSettings) -> dict[str, object]:
    """The fields that are set, secrets revealed: two Secrets never compare equal."""
    found: dict[str, object] = fields(settings)
    if settings.address_from == "VAULT_ADDR":
        del found["address_from"]
    return found


def fields(value: Any) -> Any:
    """A dataclass as a dictionary all the way down; a login has its kind as well."""
    if dataclasses.is_dataclass(value):
        pairs = {
            field.name: fields(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        kind = {"kind": type(value).__name__} if isinstance(value, Login) else {}
        return kind | {
            name: found for name, found in pairs.items() if found not in (None, "", (), False)
        }
    return value.reveal() if isinstance(value, Secret) else value


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            TOKEN_ENV,
            {"address": ADDR, "token": CANARY},
            id="token",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "approle",
                "VAULT_ROLE_ID": "some-role",
                "VAULT_SECRET_ID": f" {CANARY}\n",
                "VAULT_TOKEN": "must not be used",
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "AppRole",
                    "mount": "approle",
                    "role_id": "some-role",
                    "secret_id": CANARY,
                },
            },
            id="approle, never the token",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "jwt",
                "RECONCILER_VAULT_AUTH_MOUNT": "/ci/jwt/",
                "RECONCILER_VAULT_ROLE": "deploy",
                "RECONCILER_VAULT_AUDIENCE": "for GitHub only",
                "VAULT_ID_TOKEN": f"{CANARY}\n",
                **GITHUB_ENV,
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "Jwt",
                    "mount": "ci/jwt",
                    "role": "deploy",
                    "jwt": CANARY,
                },
            },
            id="jwt from a variable, which goes before GitHub's",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "jwt",
                "VAULT_JWT_FILE": "/run/jwt",
                "VAULT_ID_TOKEN": "other",
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "Jwt",
                    "mount": "jwt",
                    "jwt": {
                        "path": Path("/run/jwt"),
                        "source": "the file that VAULT_JWT_FILE names",
                    },
                },
            },
            id="jwt from a file, which goes before the variable and is not read yet",
        ),
        pytest.param(
            {**TOKEN_ENV, "RECONCILER_VAULT_AUTH": "none", "VAULT_SECRET_ID": CANARY},
            {"address": ADDR},
            id="none: an agent adds the token, and ours are not looked at",
        ),
        pytest.param(
            {"VAULT_ADDR": f"{ADDR}/", "RECONCILER_VAULT_AUTH": "jwt", **GITHUB_ENV},
            {
                "address": ADDR,
                "login": {
                    "kind": "Jwt",
                    "mount": "jwt",
                    "jwt": {"url": GITHUB_URL, "request_token": CANARY, "audience": ADDR},
                },
            },
            id="jwt from GitHub, for this Vault",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "jwt",
                "RECONCILER_VAULT_AUDIENCE": "a & b",
                **GITHUB_ENV,
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "Jwt",
                    "mount": "jwt",
                    "jwt": {"url": GITHUB_URL, "request_token": CANARY, "audience": "a & b"},
                },
            },
            id="jwt from GitHub, for another audience",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "VAULT_TOKEN": "must not be used",
                "RECONCILER_VAULT_AUTH": "kubernetes",
                "RECONCILER_VAULT_ROLE": "deploy",
                "VAULT_ID_TOKEN": "is GitLab's",
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "Kubernetes",
                    "mount": "kubernetes",
                    "role": "deploy",
                    "jwt": {
                        "path": Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
                        "source": "the token of the service account",
                    },
                },
            },
            id="kubernetes, the pod's own token",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "kubernetes",
                "RECONCILER_VAULT_AUTH_MOUNT": "clusters/eu",
                "RECONCILER_VAULT_ROLE": "deploy",
                "VAULT_JWT_FILE": "/run/jwt",
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "Kubernetes",
                    "mount": "clusters/eu",
                    "role": "deploy",
                    "jwt": {
                        "path": Path("/run/jwt"),
                        "source": "the file that VAULT_JWT_FILE names",
                    },
                },
            },
            id="kubernetes, a projected token",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "approle",
                "VAULT_ROLE_ID": "some-role",
                "VAULT_SECRET_ID_WRAPPED": CANARY,
            },
            {
                "address": ADDR,
                "login": {
                    "kind": "AppRole",
                    "mount": "approle",
                    "role_id": "some-role",
                    "wrapped": CANARY,
                },
            },
            id="approle, wrapped",
        ),
        pytest.param(
            {
                **TOKEN_ENV,
                "VAULT_NAMESPACE": "admin/team/",
                "VAULT_CACERT": "/etc/ca.pem",
                "VAULT_CLIENT_CERT": "/etc/c.pem",
                "VAULT_CLIENT_KEY": "/etc/k.pem",
            },
            {
                "address": ADDR,
                "token": CANARY,
                "namespace": "admin/team",
                "ca_cert": "/etc/ca.pem",
                "client_cert": "/etc/c.pem",
                "client_key": "/etc/k.pem",
            },
            id="namespace and TLS",
        ),
        pytest.param(
            {
                "VAULT_ADDR": f" {ADDR}/ ",
                "VAULT_TOKEN": f"{CANARY}\n",
                "VAULT_NAMESPACE": "",
                "VAULT_CACERT": " ",
            },
            {"address": ADDR, "token": CANARY},
            id="stripped, and empty is not set",
        ),
    ],
)
def test_environment_means_settings(environ: dict[str, str], expected: dict[str, object]) -> None:
    """Each variable of the contract ends in its field, and nothing else does."""
    assert plain(settings_from_environment(environ, no_files)) == expected


def test_secrets_are_wrapped() -> None:
    """Settings can be printed: no credential shows."""
    environ = {**TOKEN_ENV, "HTTPS_PROXY": f"http://me:{CANARY}@proxy:3128"}
    assert CANARY not in repr(settings_from_environment(environ, no_files))


@pytest.mark.parametrize(
    ("address", "expected", "warning"),
    [
        (ADDR, ADDR, None),
        ("http://127.0.0.1:8200", "http://127.0.0.1:8200", None),
        ("http://[::1]:8200", "http://[::1]:8200", None),
        ("http://localhost:8200", "http://localhost:8200", None),
        ("https://example.com/vault/", "https://example.com/vault", None),
        ("HTTPS://example.com", "https://example.com", None),
        (
            "vault.example.com:8200",
            ADDR,
            "VAULT_ADDR has no scheme: taken as https://vault.example.com:8200",
        ),
        (f"{ADDR}/v1", ADDR, "VAULT_ADDR ends in /v1"),
        (f"{ADDR}/v1/", ADDR, "VAULT_ADDR ends in /v1"),
        (f"{ADDR}/sub/v1", f"{ADDR}/sub", "VAULT_ADDR ends in /v1"),
        (f"{ADDR}/notv1", f"{ADDR}/notv1", None),
        (
            "http://vault.example.com:8200",
            "http://vault.example.com:8200",
            "VAULT_ADDR is plain http",
        ),
        ("http://10.1.2.3", "http://10.1.2.3", "VAULT_ADDR is plain http"),
    ],
)
def test_address_is_repaired_and_said(address: str, expected: str, warning: str | None) -> None:
    """What has one sensible meaning is repaired with a warning; a good address has
    none.
    """
    settings = settings_from_environment({**TOKEN_ENV, "VAULT_ADDR": address}, no_files)
    assert settings.address == expected
    assert [text[: len(warning or "")] for text in settings.warnings] == (
        [warning] if warning else []
    )


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param({}, "VAULT_ADDR is not set", id="no address"),
        pytest.param({"VAULT_ADDR": "  "}, "VAULT_ADDR is not set", id="blank address"),
        pytest.param(
            {"VAULT_ADDR": f"https://me:{CANARY}@host"},
            "a user name or a password",
            id="password in the address",
        ),
        pytest.param(
            {"VAULT_ADDR": f"{CANARY}@host"},
            "a user name or a password",
            id="user without a scheme",
        ),
        pytest.param(
            {"VAULT_ADDR": "unix:///run/vault.sock"}, "neither https nor http", id="unix socket"
        ),
        pytest.param({"VAULT_ADDR": "https://"}, "is not the address of a server", id="no host"),
        pytest.param(
            {"VAULT_ADDR": "https://host:port"},
            "is not the address of a server",
            id="port is no number",
        ),
        pytest.param(
            {"VAULT_ADDR": "https://[::1"}, "is not the address of a server", id="half a bracket"
        ),
        pytest.param(
            {"VAULT_ADDR": "https://ho st"}, "is not the address of a server", id="space inside"
        ),
        pytest.param(
            {"VAULT_ADDR": f"https://host?token={CANARY}"},
            "is not the address of a server",
            id="query",
        ),
        pytest.param(
            {"VAULT_ADDR": "https://host#x"}, "is not the address of a server", id="fragment"
        ),
        pytest.param(
            {"VAULT_ADDR": ADDR}, "there is no Vault token: set VAULT_TOKEN", id="no token"
        ),
        pytest.param(
            {"VAULT_ADDR": ADDR, "HOME": "/home/me"},
            "there is no Vault token: set VAULT_TOKEN",
            id="no token file",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_TOKEN": f"{CANARY}\nx"},
            "VAULT_TOKEN holds whitespace",
            id="two lines",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_TOKEN": f"{CANARY} x"},
            "VAULT_TOKEN holds whitespace",
            id="space inside a token",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_TOKEN": f"{CANARY}\x7f"},
            "VAULT_TOKEN holds whitespace",
            id="control character",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_TOKEN": f"{CANARY}é"},
            "VAULT_TOKEN holds whitespace",
            id="not ASCII",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_SKIP_VERIFY": "yes"},
            "VAULT_SKIP_VERIFY is neither true nor false",
            id="not a bool",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_CLIENT_CERT": "c"},
            "only one of VAULT_CLIENT_CERT and",
            id="certificate without key",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_CLIENT_KEY": "k"},
            "only one of VAULT_CLIENT_CERT and",
            id="key without certificate",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_NAMESPACE": "a/../b"},
            "VAULT_NAMESPACE is not a path",
            id="namespace with dots",
        ),
        pytest.param(
            {**TOKEN_ENV, "VAULT_NAMESPACE": "a\nb"},
            "VAULT_NAMESPACE is not a path",
            id="namespace of two lines",
        ),
        pytest.param(
            {**TOKEN_ENV, "RECONCILER_VAULT_AUTH": "kubernetes"},
            "set RECONCILER_VAULT_ROLE",
            id="kubernetes without a role",
        ),
        pytest.param(
            {**TOKEN_ENV, "RECONCILER_VAULT_AUTH": CANARY},
            "use token, approle, jwt, kubernetes or none",
            id="unknown method",
        ),
        pytest.param(
            {"VAULT_ADDR": ADDR, "RECONCILER_VAULT_AUTH": "approle", "VAULT_ROLE_ID": "r"},
            "set both",
            id="no secret id",
        ),
        pytest.param(
            {"VAULT_ADDR": ADDR, "RECONCILER_VAULT_AUTH": "approle", "VAULT_SECRET_ID": CANARY},
            "set both",
            id="no role id",
        ),
        pytest.param(
            {
                "VAULT_ADDR": ADDR,
                "RECONCILER_VAULT_AUTH": "approle",
                "VAULT_ROLE_ID": "r",
                "VAULT_SECRET_ID": CANARY,
                "VAULT_SECRET_ID_WRAPPED": CANARY,
            },
            "set the one that was handed to you",
            id="both secret ids",
        ),
        pytest.param(
            {**TOKEN_ENV, "RECONCILER_VAULT_AUTH": "jwt"},
            "set VAULT_JWT_FILE or VAULT_ID_TOKEN",
            id="no identity token",
        ),
        pytest.param(
            {**TOKEN_ENV, "RECONCILER_VAULT_AUTH": "jwt", "GITHUB_ACTIONS": "true"},
            THREE_REASONS,
            id="GitHub without its pair",
        ),
        pytest.param(
            {
                **TOKEN_ENV,
                "RECONCILER_VAULT_AUTH": "jwt",
                **GITHUB_ENV,
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": " ",
            },
            THREE_REASONS,
            id="half of GitHub's pair",
        ),
        *(
            pytest.param(
                {
                    **TOKEN_ENV,
                    "RECONCILER_VAULT_AUTH": "jwt",
                    **GITHUB_ENV,
                    "ACTIONS_ID_TOKEN_REQUEST_URL": url,
                },
                "ACTIONS_ID_TOKEN_REQUEST_URL is no https address",
                id=f"GitHub at {url}",
            )
            for url in (
                "http://example.com/",
                f"https://me:{CANARY}@example.com/",
                "file:///etc",
                "https://[::1",
                "x",
            )
        ),
        pytest.param(
            {**TOKEN_ENV, "RECONCILER_VAULT_AUTH": "jwt", "RECONCILER_VAULT_AUTH_MOUNT": "../sys"},
            "RECONCILER_VAULT_AUTH_MOUNT is not a path",
            id="mount that leaves its place",
        ),
        *(
            pytest.param({**TOKEN_ENV, name: text}, f"{name} {sentence}", id=f"{name}={text}")
            for name, text, sentence in (
                ("BAO_ADDR", f"https://me:{CANARY}@a", "holds a user name or a password"),
                ("VAULT_AGENT_ADDR", "ftp://a", "has a scheme that is neither"),
                ("BAO_TOKEN", f"a {CANARY}", "holds whitespace"),
                ("BAO_NAMESPACE", "..", "is not a path of plain segments"),
                ("BAO_SKIP_VERIFY", "perhaps", "is neither true nor false"),
                ("VAULT_TLS_SERVER_NAME", "a b", "is no name of a server"),
                ("VAULT_PROXY_ADDR", f"socks5://me:{CANARY}@p", "is no address of an HTTP proxy"),
                ("BAO_HTTP_PROXY", "http://", "is no address of an HTTP proxy"),
                ("BAO_CLIENT_TIMEOUT", "-5", "is no length of time"),
                ("VAULT_CLIENT_TIMEOUT", "5 parsecs", "is no length of time"),
                ("VAULT_CLIENT_TIMEOUT", "1s2", "is no length of time"),
                ("VAULT_MAX_RETRIES", "1.5", "is no number of attempts"),
                ("BAO_MAX_RETRIES", "-1", "is no number of attempts"),
            )
        ),
        pytest.param(
            {**TOKEN_ENV, "HTTPS_PROXY": f"socks5://me:{CANARY}@p"},
            "HTTPS_PROXY is no address",
            id="SOCKS proxy",
        ),
    ],
)
def test_bad_environment_is_a_sentence(environ: dict[str, str], sentence: str) -> None:
    """What can't be meant is refused with a sentence that repeats no credential, and
    drags no other exception along.
    """
    with pytest.raises(UsageError) as caught:
        settings_from_environment(environ, no_files)
    assert sentence in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    ("variables", "expected", "warning"),
    [
        ({"BAO_ADDR": ADDR}, {}, None),
        (
            {"BAO_ADDR": "https://b"},
            {"address": "https://b", "from_bao": ("ADDR",), "address_from": "BAO_ADDR"},
            "VAULT_ADDR is",
        ),
        ({"BAO_TOKEN": "b"}, {"token": "b"}, "VAULT_TOKEN is set and not used: BAO_TOKEN counts"),
        ({"VAULT_AGENT_ADDR": "https://b"}, {"address": "https://b"}, "VAULT_ADDR is set and not"),
        ({"VAULT_PROXY_ADDR": "p"}, {"proxy": "http://p"}, None),
        (
            {"VAULT_PROXY_ADDR": "p", "BAO_HTTP_PROXY": "q"},
            {"proxy": "http://p"},
            "BAO_HTTP_PROXY is set and not used: VAULT_PROXY_ADDR counts",
        ),
        (
            {"VAULT_PROXY_ADDR": "http://p", "VAULT_ADDR": "http://127.0.0.1:1"},
            {"proxy": "http://p"},
            "VAULT_PROXY_ADDR is set, and VAULT_ADDR is plain http",
        ),
        ({"VAULT_CLIENT_TIMEOUT": "30"}, {"timeout_s": 30.0}, None),
        ({"VAULT_CLIENT_TIMEOUT": "0.5m1s"}, {"timeout_s": 31.0}, None),
        ({"VAULT_CLIENT_TIMEOUT": "0"}, {}, None),
        ({"BAO_CLIENT_TIMEOUT": "2h"}, {"timeout_s": 60.0}, "BAO_CLIENT_TIMEOUT is longer than"),
        ({"VAULT_MAX_RETRIES": "2"}, {"max_retries": 2}, None),
        ({"VAULT_MAX_RETRIES": "9" * 5000}, {"max_retries": 10}, "VAULT_MAX_RETRIES is more than"),
        ({"VAULT_MFA": "x"}, {}, "VAULT_MFA is set and not used: it means"),
        ({"BAO_FORMAT": "json"}, {}, "BAO_FORMAT is set and not used: it means"),
        ({"VAULT_DISABLE_REDIRECTS": "1"}, {}, None),
        ({"VAULT_DISABLE_REDIRECTS": "0"}, {}, "VAULT_DISABLE_REDIRECTS is set and not used"),
        ({"VAULT_PORT": "tcp://10.0.0.1:8200", "VAULT_SERVICE_HOST": "10.0.0.1"}, {}, None),
    ],
    ids=str,
)
def test_variables_of_the_command_lines(
    variables: dict[str, str], expected: dict[str, object], warning: str | None
) -> None:
    """OpenBao's win, and what is set and not used is named once; a value that is the
    same, and what a container engine sets, is no news.
    """
    settings = settings_from_environment({**TOKEN_ENV, **variables}, no_files)
    assert plain(settings) | expected == plain(settings)
    assert len(settings.warnings) == (warning is not None)
    assert "".join(settings.warnings).startswith(warning or "")


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_skip_verify_warns(text: str) -> None:
    """Everything that Go's ParseBool takes for true skips verification, and that is
    always said.
    """
    settings = settings_from_environment({**TOKEN_ENV, "VAULT_SKIP_VERIFY": text}, no_files)
    assert (settings.skip_verify, len(settings.warnings)) == (True, 1)
    assert settings.warnings[0].startswith("VAULT_SKIP_VERIFY is set")


@pytest.mark.parametrize("text", ["", "0", "f", "F", "FALSE", "false", "False"])
def test_verification_is_the_default(text: str) -> None:
    """Everything that ParseBool takes for false, or nothing at all, verifies."""
    settings = settings_from_environment({**TOKEN_ENV, "VAULT_SKIP_VERIFY": text}, no_files)
    assert (settings.skip_verify, settings.warnings) == (False, ())


def test_token_file_is_the_fallback(tmp_path: Path) -> None:
    """Without VAULT_TOKEN, the file that Vault's own CLI leaves in the home is used,
    stripped; with it, it is not.
    """
    (tmp_path / ".vault-token").write_text(f"{CANARY}\n", encoding="utf-8")
    environ = {"VAULT_ADDR": ADDR, "HOME": str(tmp_path)}
    assert plain(settings_from_environment(environ))["token"] == CANARY
    assert plain(settings_from_environment({**environ, "VAULT_TOKEN": "other"}))["token"] == "other"


@pytest.mark.parametrize("method", ["approle", "jwt", "kubernetes"])
def test_token_file_is_for_token_auth_only(tmp_path: Path, method: str) -> None:
    """A method that lacks its own credentials fails, token file or not: it never falls
    back to somebody's token.
    """
    (tmp_path / ".vault-token").write_text(CANARY, encoding="utf-8")
    with pytest.raises(UsageError):
        settings_from_environment(
            {"VAULT_ADDR": ADDR, "HOME": str(tmp_path), "RECONCILER_VAULT_AUTH": method}
        )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (CANARY.encode() + b"\nsecond line", "~/.vault-token holds whitespace"),
        (CANARY.encode() + b"\xff", "~/.vault-token can't be read"),
        (CANARY.encode() * 10_000, "~/.vault-token can't be read"),
        (b" \n", "there is no Vault token"),
    ],
    ids=["two lines", "not UTF-8", "far too large", "blank"],
)
def test_bad_token_file_is_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    """A token file that holds no token is refused without a word of its content."""
    (tmp_path / ".vault-token").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        settings_from_environment({"VAULT_ADDR": ADDR, "HOME": str(tmp_path)})
    assert sentence in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("address", "variables", "expected"),
    [
        (ADDR, {}, None),
        (ADDR, {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        (ADDR, {"https_proxy": "p:3128"}, "http://p:3128"),
        (ADDR, {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://vault.test", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128"),
        ("http://vault.test", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("http://127.0.0.1:8200", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://localhost:8200", {"HTTP_PROXY": "http://p:3128"}, None),
        ("https://[::1]:8200", {"HTTPS_PROXY": "http://p:3128"}, None),
        (ADDR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        (ADDR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "a.test, .example.com"}, None),
        (ADDR, {"HTTPS_PROXY": "http://p", "no_proxy": "vault.EXAMPLE.com"}, None),
        (ADDR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "*.example.com"}, None),
        (ADDR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com:8200"}, None),
        (ADDR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com:443"}, "http://p"),
        (ADDR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "ample.com,10.0.0.0/8,"}, "http://p"),
        ("https://10.1.2.3:8200", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        (
            "https://11.1.2.3:8200",
            {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,11.1.2.4"},
            "http://p",
        ),
    ],
)
def test_proxy_is_chosen_as_by_vaults_own_cli(
    address: str, variables: dict[str, str], expected: str | None
) -> None:
    """The scheme of the address chooses the variable; loopback, NO_PROXY's names,
    addresses and networks go direct.
    """
    settings = settings_from_environment(
        {**TOKEN_ENV, **variables, "VAULT_ADDR": address}, no_files
    )
    assert plain(settings).get("proxy") == expected


@pytest.mark.parametrize(
    "path", ["a", "limitless/tokens/_ledger", "A-Za-z0-9_.@:+-", "a..b", "a" * 1024]
)
def test_safe_path(path: str) -> None:
    """Plain segments joined by single slashes may go into a URL."""
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "a/../b",
        "a/.b",
        "/a",
        "a/",
        "a//b",
        "a b",
        "a%2Fb",
        "a?b",
        "a#b",
        "a\n",
        "ä",
        "a\0",
        "a" * 1025,
    ],
)
def test_unsafe_path(path: str) -> None:
    """What a client might resolve, decode, collapse or cut off may not."""
    assert not is_safe_path(path)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "a\0", "é"])
def test_not_header_safe(text: str) -> None:
    """Only printable ASCII without whitespace becomes a header."""
    assert not is_header_safe(text)


def test_small_files_only(tmp_path: Path) -> None:
    """A file of exactly 64 KiB is read, one byte more is refused."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 65_536)
    assert len(read_text_file(file)) == 65_536
    file.write_bytes(b"x" * 65_537)
    with pytest.raises(ValueError, match="too large"):
        read_text_file(file)
