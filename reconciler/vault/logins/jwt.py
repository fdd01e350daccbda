"""Logging in by an identity token of a job: GitHub's, GitLab's, or one in a file."""

from __future__ import annotations

import time
from http import HTTPStatus

from reconciler.errors import UsageError
from reconciler.net import is_private
from reconciler.values import value
from reconciler.vault.environment import (
    Environ,
    credential_of,
    is_header_safe,
    url_of,
    value_of,
)
from reconciler.vault.http import Call, Request, VaultClient
from reconciler.vault.login import Login, Mask
from reconciler.vault.logins.identity_token import (
    GitHubOidc,
    JwtSource,
    claims_of,
    file_from,
    identity_token,
    shown_claims,
)
from reconciler.vault.logins.methods import by_jwt
from reconciler.vault.logins.refusals import explained


@value
class Jwt(Login):
    """An identity token for a role; a jwt mount may have a default role."""

    jwt: JwtSource
    role: str | None = None

    def request(self, client: VaultClient, mask: Mask) -> tuple[Call, Request]:
        """Return the call with a fresh identity token, and how to send it."""
        jwt = identity_token(self.jwt, mask=mask)
        claims = shown_claims(jwt)
        says = claims_of(jwt)

        def explain(errors: str) -> str | None:
            return explained(errors, mount=self.mount, claims=says, shown=claims, now_s=time.time())

        refusals: dict[int, str] = {HTTPStatus.BAD_REQUEST: unbound(self.mount, claims)}
        call = self.call(refusals, claims=claims, explain=explain)
        return call, lambda: by_jwt(client, self.mount, role=self.role or "", jwt=jwt.reveal())


def unbound(mount: str, claims: str) -> str:
    """Return what a 400 means: the token lacks what its role is bound to."""
    return (
        f"Vault refuses the login at auth/{mount}: check RECONCILER_VAULT_ROLE, and that the "
        f"identity token has what that role is bound to and has not expired ({claims})"
    )


def from_environment(environ: Environ, mount: str, address: str) -> Jwt:
    """Return the login. UsageError where there is no identity token.

    The most explicit source wins: a file, else a variable, else GitHub Actions, which
    is asked for a token with Vault's address as its audience unless told otherwise.
    """
    jwt = (
        file_from(environ)
        or credential_of(environ, "VAULT_ID_TOKEN")
        or _github_from(environ, address)
    )
    if jwt is not None:
        return Jwt(mount=mount, role=value_of(environ, "RECONCILER_VAULT_ROLE"), jwt=jwt)
    if value_of(environ, "GITHUB_ACTIONS") == "true":
        raise UsageError(
            "GitHub offers this job no identity token: give it the permission `id-token: write`; "
            "if it has that, the run is of a pull request from a fork or from Dependabot, "
            "and these never get one"
        )
    raise UsageError(
        "RECONCILER_VAULT_AUTH=jwt needs an identity token: set VAULT_JWT_FILE or VAULT_ID_TOKEN"
    )


def _github_from(environ: Environ, address: str) -> GitHubOidc | None:
    url = value_of(environ, "ACTIONS_ID_TOKEN_REQUEST_URL")
    request_token = credential_of(environ, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url is None or request_token is None:
        return None
    if not _is_private(url):
        raise UsageError(
            "ACTIONS_ID_TOKEN_REQUEST_URL is no https address: leave it as the runner sets it"
        )
    audience = value_of(environ, "RECONCILER_VAULT_AUDIENCE") or address
    return GitHubOidc(url=url, request_token=request_token, audience=audience)


def _is_private(url: str) -> bool:
    parts = url_of(url)
    if parts is None or parts.hostname is None or parts.username is not None:
        return False
    return is_header_safe(url) and is_private(parts.scheme, parts.hostname)
