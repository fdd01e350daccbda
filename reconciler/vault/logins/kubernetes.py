"""Logging in by the token of a pod's service account."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.values import value
from reconciler.vault.environment import Environ, value_of
from reconciler.vault.http import Call, Request, VaultClient
from reconciler.vault.login import Login, Mask
from reconciler.vault.logins.identity_token import (
    JwtFile,
    JwtSource,
    file_from,
    identity_token,
    shown_claims,
)
from reconciler.vault.logins.jwt import unbound
from reconciler.vault.logins.methods import by_kubernetes

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a pod finds its token unless told otherwise; the cluster renews the file."""


@value
class Kubernetes(Login):
    """A service account's token for a role, which is bound to the account."""

    jwt: JwtSource
    role: str

    def request(self, client: VaultClient, mask: Mask) -> tuple[Call, Request]:
        """Return the call with the token that is there now, and how to send it."""
        jwt = identity_token(self.jwt, mask=mask)
        claims = shown_claims(jwt)
        refusals: dict[int, str] = {
            HTTPStatus.BAD_REQUEST: unbound(self.mount, claims),
            # also where nothing is mounted
            HTTPStatus.FORBIDDEN: f"Vault refuses the login at auth/{self.mount}: check "
            "RECONCILER_VAULT_AUTH_MOUNT, that RECONCILER_VAULT_ROLE is bound to the identity "
            f"token's service account, namespace and audience ({claims}), "
            "and that Vault reaches the cluster's TokenReview",
        }
        return self.call(refusals, claims=claims), lambda: by_kubernetes(
            client, self.mount, role=self.role, jwt=jwt.reveal()
        )


def from_environment(environ: Environ, mount: str, _address: str) -> Kubernetes:
    """Return the login. UsageError where the role is missing."""
    role = value_of(environ, "RECONCILER_VAULT_ROLE")
    if role is None:
        raise UsageError("RECONCILER_VAULT_AUTH=kubernetes needs a role: set RECONCILER_VAULT_ROLE")
    file = JwtFile(path=SERVICE_ACCOUNT_TOKEN, source="the token of the service account")
    return Kubernetes(mount=mount, role=role, jwt=file_from(environ) or file)
