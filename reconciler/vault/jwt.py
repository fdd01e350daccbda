"""The identity token for a login to Vault by jwt or kubernetes: given, read from a file, or asked of GitHub Actions.

Rules this module keeps:

1. A token is read or asked for at each login, as it lasts minutes, and is masked before
   anything else is done with it.
2. GitHub is asked over https (or on loopback), follows us no redirect, and is asked
   again a few times at most: asking changes nothing. Its reply is bounded in size and
   time.
3. Nothing here verifies a token: Vault does. Of its claims only those are shown that a
   role is bound to, never the token.
4. Errors are raised outside every ``except``: an exception of httpx holds the request
   with its headers.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import assert_never

import httpx

from reconciler.errors import UsageError, VaultError, VaultRefusedError
from reconciler.model import Secret
from reconciler.vault.settings import (
    GitHubOidc,
    JwtFile,
    JwtSource,
    ReadFile,
    checked_token,
    read_text_file,
)

Mask = Callable[[str], None]
"""Told of each secret that a login brings, before it is used, so that it can be hidden in a log."""

SHOWN_CLAIMS = (
    "iss",
    "sub",
    "aud",
    "repository_id",
    "project_id",
    "ref",
    "environment",
    "event_name",
    "job_workflow_ref",
)
"""What roles are bound to, of GitHub's claims and GitLab's; personal data that a token may hold as well is not among them."""

TIMEOUT_S = 10.0
REPLY_BYTES_MAX = 64 * 1024
PAUSES_S = (1.0, 2.0, 4.0)  # before the second attempt and each further one
_CLAIM_CHARS_MAX = 200
_JWT_PARTS = 3


def no_mask(_secret: str) -> None:
    """Where there is no log of others to hide anything in."""


def identity_token(
    source: JwtSource,
    *,
    mask: Mask = no_mask,
    read_file: ReadFile = read_text_file,
    sleep: Callable[[float], None] = time.sleep,
) -> Secret:
    """The token from its source.

    UsageError for a file without one, VaultError where GitHub gives none.
    """
    match source:
        case Secret():
            token = source
        case JwtFile():
            token = _from_file(source, read_file)
        case GitHubOidc():
            token = _from_github(source, sleep)
        case _:
            assert_never(source)
    mask(token.reveal())
    return token


def shown_claims(token: Secret) -> str:
    """What a token says of itself, unverified, as far as a role may be bound to it: for whoever looks for the difference."""
    parts = token.reveal().split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, IndexError, RecursionError):
        claims = None
    if len(parts) != _JWT_PARTS or not isinstance(claims, dict):
        return "it is no JWT"
    shown = [f"{name}={_shown(claims[name])}" for name in SHOWN_CLAIMS if name in claims]
    return f"it says {', '.join(shown)}" if shown else "it says none of what a role may be bound to"


def _shown(claim: object) -> str:
    text = json.dumps(claim, sort_keys=True)  # ASCII, without control characters
    return text if len(text) <= _CLAIM_CHARS_MAX else f"{text[:_CLAIM_CHARS_MAX]}…"


def _from_file(file: JwtFile, read_file: ReadFile) -> Secret:
    try:
        text = read_file(file.path)
    except (OSError, ValueError):
        text = ""
    token = checked_token(text, file.source)
    if token is None:
        raise UsageError(
            f"{file.source}, {str(file.path)!r}, is empty or can't be read: check the path and its permissions"
        )
    return token


def _from_github(source: GitHubOidc, sleep: Callable[[float], None]) -> Secret:
    """One token of GitHub's, with our audience; its address keeps the ``api-version`` that it comes with."""
    try:
        url = httpx.URL(source.url).copy_merge_params(
            {"audience": source.audience}
        )  # `params=` would drop what is there
        is_address = bool(url.host)  # asking for the host is what decodes it
    except (httpx.InvalidURL, ValueError):
        is_address = False
    if not is_address:
        raise UsageError(
            "ACTIONS_ID_TOKEN_REQUEST_URL is no address of a server: leave it as the runner sets it"
        )
    headers = {
        "Authorization": f"Bearer {source.request_token.reveal()}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    is_loopback = (
        url.scheme == "http"
    )  # the settings allow http there only, and a proxy would be handed the token
    with _client(trust_env=not is_loopback) as client:
        request = client.build_request("GET", url, headers=headers)
        status, body = _asked(client, request)
        for pause_s in PAUSES_S:
            if not _is_passing(status):
                break
            sleep(pause_s)
            status, body = _asked(client, request)
    token = _token_in(body) if status == HTTPStatus.OK else None
    if token is None:
        raise _github_failure(status)
    return token


def _client(*, trust_env: bool) -> httpx.Client:
    try:
        return httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=trust_env)
    except (OSError, ValueError, ImportError, httpx.InvalidURL):
        pass
    raise UsageError(
        "GitHub can't be asked for an identity token: check HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE"
    )


def _is_passing(status: int | None) -> bool:
    """Whether to ask once more: no answer, or one that may be another in a moment."""
    return (
        status is None
        or status == HTTPStatus.TOO_MANY_REQUESTS
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _asked(client: httpx.Client, request: httpx.Request) -> tuple[int | None, bytes]:
    """Status and body of one answer; no status where there was none, or one without an end."""
    deadline_s = time.monotonic() + TIMEOUT_S
    body = bytearray()
    try:
        reply = client.send(request, stream=True)
        try:
            for part in reply.iter_raw():
                body += part
                if len(body) > REPLY_BYTES_MAX or time.monotonic() > deadline_s:
                    return None, b""
        finally:
            reply.close()
    except httpx.TransportError:
        return None, b""
    return reply.status_code, bytes(body)


def _token_in(body: bytes) -> Secret | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    value = document.get("value") if isinstance(document, dict) else None
    return checked_token(value, "GitHub's identity token") if isinstance(value, str) else None


def _github_failure(status: int | None) -> VaultError:
    if status is None:
        return VaultRefusedError(
            "GitHub's service for identity tokens does not answer: check the network, and run the job again"
        )
    if _is_passing(status):
        return VaultRefusedError(
            f"GitHub gives no identity token at the moment ({status}): run the job again"
        )
    if status >= HTTPStatus.BAD_REQUEST:
        return VaultRefusedError(
            f"GitHub refuses this job an identity token ({status}): give it the permission `id-token: write`, and log in while "
            "the job runs"
        )
    return VaultRefusedError(
        f"what answers for GitHub's identity tokens (HTTP {status}) gives none: check ACTIONS_ID_TOKEN_REQUEST_URL and proxies"
    )
