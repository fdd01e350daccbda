"""The identity token for a login by jwt or kubernetes: given, in a file, or of GitHub.

Rules this module keeps:

1. A token is read or asked for at each login, as it lasts minutes. It is masked before
   anything else is done with it.
2. GitHub is asked over https (or on loopback), no redirect is followed, and it is asked
   a few times at most: asking changes nothing. Its reply is bounded in size and time.
3. Nothing here verifies a token: Vault does. Only those of its claims are shown that a
   role may be bound to, never the token.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from reconciler.errors import UsageError, VaultError, VaultRefusedError
from reconciler.model import Secret
from reconciler.net import bounded, caught, open_client, repeated
from reconciler.values import value
from reconciler.vault.environment import (
    Environ,
    ReadFile,
    checked_token,
    read_text_file,
    value_of,
)
from reconciler.vault.login import Mask, no_mask

if TYPE_CHECKING:
    import httpx

SHOWN_CLAIMS = (
    "iss",
    "sub",
    "aud",
    "repository",
    "repository_id",
    "repository_owner_id",
    "project_id",
    "project_path",
    "namespace_path",
    "ref",
    "ref_type",
    "ref_protected",
    "environment",
    "environment_protected",
    "event_name",
    "job_workflow_ref",
)
"""What roles are bound to, of GitHub's claims and GitLab's; no personal data."""

TIMEOUT_S = 10.0
REPLY_BYTES_MAX = 64 * 1024
PAUSES_S = (1.0, 2.0, 4.0)  # before the second attempt and each further one
_CLAIM_CHARS_MAX = 200
_JWT_PARTS = 3


@value
class JwtFile:
    """A file that holds an identity token; ``source`` is what messages call it.

    It is read at each login, because a cluster renews it.
    """

    path: Path
    source: str


@value
class GitHubOidc:
    """Where a job of GitHub Actions asks for an identity token, with what, for whom.

    The job has it through the permission ``id-token: write``.
    """

    url: str
    request_token: Secret
    audience: str


JwtSource = Secret | JwtFile | GitHubOidc
"""Where an identity token comes from; a Secret is the token itself."""


def file_from(environ: Environ) -> JwtFile | None:
    """Return the file that ``VAULT_JWT_FILE`` names."""
    file = value_of(environ, "VAULT_JWT_FILE")
    source = "the file that VAULT_JWT_FILE names"
    return None if file is None else JwtFile(path=Path(file), source=source)


def identity_token(
    source: JwtSource,
    *,
    mask: Mask = no_mask,
    read_file: ReadFile = read_text_file,
    sleep: Callable[[float], None] = time.sleep,
) -> Secret:
    """Return the token from its source.

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


def claims_of(token: Secret) -> dict[str, Any] | None:
    """Return what a JWT says of itself, unverified, or None where it is no JWT."""
    parts = token.reveal().split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def shown_claims(token: Secret) -> str:
    """Return what a token says of itself, unverified, for whoever looks for a mismatch.

    Only the claims that a role may be bound to are in it.
    """
    claims = claims_of(token)
    if claims is None:
        return "it is no JWT"
    shown = [f"{name}={_shown(claims[name])}" for name in SHOWN_CLAIMS if name in claims]
    return f"it says {', '.join(shown)}" if shown else "it says none of what a role may be bound to"


def _shown(claim: object) -> str:
    text = json.dumps(claim, sort_keys=True)  # ASCII, without control characters
    return text if len(text) <= _CLAIM_CHARS_MAX else f"{text[:_CLAIM_CHARS_MAX]}…"


def _from_file(file: JwtFile, read_file: ReadFile) -> Secret:
    text = caught(lambda: read_file(file.path), OSError, ValueError)
    token = checked_token(text if isinstance(text, str) else "", file.source)
    if token is None:
        raise UsageError(
            f"{file.source}, {str(file.path)!r}, is empty or can't be read: "
            "check the path and its permissions"
        )
    return token


def _from_github(source: GitHubOidc, sleep: Callable[[float], None]) -> Secret:
    """Return a token for our audience; the address keeps the query that it has."""
    import httpx  # noqa: PLC0415  # only this login needs it

    url = caught(lambda: _address(source), httpx.InvalidURL, ValueError)
    if not isinstance(url, httpx.URL) or not url.host:
        raise UsageError(
            "ACTIONS_ID_TOKEN_REQUEST_URL is no address of a server: leave it as the runner sets it"
        )
    headers = {
        "Authorization": f"Bearer {source.request_token.reveal()}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    client = caught(lambda: open_client(str(url), timeout_s=TIMEOUT_S), UsageError)
    if isinstance(client, UsageError):
        raise UsageError(f"GitHub can't be asked for an identity token: {client}")
    with client:
        request = client.build_request("GET", url, headers=headers)
        status, body = repeated(
            lambda: _asked(client, request),
            lambda answer, pause_s: pause_s if _is_passing(answer[0]) else None,
            backoff_s=PAUSES_S,
            sleep=sleep,
        )
    token = _token_in(body) if status == HTTPStatus.OK else None
    if token is None:
        raise _github_failure(status)
    return token


def _address(source: GitHubOidc) -> httpx.URL:
    import httpx  # noqa: PLC0415  # as above

    # `params=` of a request would drop what is there
    url = httpx.URL(source.url).copy_merge_params({"audience": source.audience})
    _ = url.host  # asking for the host is what decodes it
    return url


def _is_passing(status: int | None) -> bool:
    """Return whether to ask again: no answer, or one that may soon be another."""
    return (
        status is None
        or status == HTTPStatus.TOO_MANY_REQUESTS
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _asked(client: httpx.Client, request: httpx.Request) -> tuple[int | None, bytes]:
    """Return status and body of one answer; no status for none, or an endless one."""
    import httpx  # noqa: PLC0415  # as above

    end_s = time.monotonic() + TIMEOUT_S
    try:
        reply = client.send(request, stream=True)
        try:
            body = bounded(reply.iter_raw(), REPLY_BYTES_MAX, end_s=end_s)
        finally:
            reply.close()
    except httpx.TransportError:
        body = None
    return (None, b"") if body is None else (reply.status_code, body)


def _token_in(body: bytes) -> Secret | None:
    document = caught(lambda: json.loads(body), ValueError, RecursionError)
    value = document.get("value") if isinstance(document, dict) else None
    return checked_token(value, "GitHub's identity token") if isinstance(value, str) else None


def _github_failure(status: int | None) -> VaultError:
    if status is None:
        return VaultRefusedError(
            "GitHub's service for identity tokens does not answer: "
            "check the network, and run the job again"
        )
    if _is_passing(status):
        return VaultRefusedError(
            f"GitHub gives no identity token at the moment ({status}): run the job again"
        )
    if status >= HTTPStatus.BAD_REQUEST:
        return VaultRefusedError(
            f"GitHub refuses this job an identity token ({status}): "
            "give it the permission `id-token: write`, and log in while the job runs"
        )
    return VaultRefusedError(
        f"what answers for GitHub's identity tokens (HTTP {status}) gives none: "
        "check ACTIONS_ID_TOKEN_REQUEST_URL and proxies"
    )
