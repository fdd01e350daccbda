"""Logging in by a role id and a secret id, which may come wrapped.

A wrapping token is looked up before it is unwrapped: one that was made elsewhere, or
used already, is somebody's trick.
"""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import Self

from reconciler.errors import UsageError, VaultRefusedError
from reconciler.model import Secret
from reconciler.values import value
from reconciler.vault.environment import Environ, credential_of, is_header_safe
from reconciler.vault.failures import Explainer
from reconciler.vault.http import Call, Request, VaultClient
from reconciler.vault.login import Login, Mask
from reconciler.vault.logins.methods import by_approle


@value
class AppRole(Login):
    """A role id, with a secret id or the wrapping token that holds one."""

    role_id: str
    secret_id: Secret | None = None
    wrapped: Secret | None = None

    def prepared(self, client: VaultClient, explainer: Explainer, mask: Mask) -> Self:
        """Return the login with its secret id, which can be unwrapped once only."""
        if self.wrapped is None:
            return self
        self._check_wrapping(client, explainer, self.wrapped)
        secret_id = _unwrapped(client, explainer, self.wrapped)
        mask(secret_id.reveal())
        return dataclasses.replace(self, secret_id=secret_id, wrapped=None)

    def request(self, client: VaultClient, _mask: Mask) -> tuple[Call, Request]:
        """Return the call, and how to send it."""
        if self.secret_id is None:
            raise ValueError("the secret id is wrapped still")
        secret_id = self.secret_id
        call = self.call(
            {
                HTTPStatus.BAD_REQUEST: f"Vault refuses the login at auth/{self.mount}: check "
                "VAULT_ROLE_ID, and whether VAULT_SECRET_ID is used up or expired"
            }
        )
        return call, lambda: by_approle(
            client, self.mount, role_id=self.role_id, secret_id=secret_id.reveal()
        )

    def _check_wrapping(self, client: VaultClient, explainer: Explainer, wrapping: Secret) -> None:
        """Refuse a wrapping token that was made elsewhere.

        Whoever steals one and wraps a secret id of their own leaves another trace.
        """
        call = Call(needs='"update"', path="sys/wrapping/lookup")
        reply = explainer.ask(
            call,
            lambda: client.post(call.path, {"token": wrapping.reveal()}),
        )
        if reply.status == HTTPStatus.BAD_REQUEST and reply.errors is not None:
            raise _spent()
        if reply.status != HTTPStatus.OK or reply.data is None:
            raise explainer.bad_reply(call, reply, token_works=None)
        roles = f"auth/{self.mount}/role/"
        path = str(reply.data.get("creation_path")).removeprefix(f"{explainer.namespace}/")
        if not (path.startswith(roles) and path.endswith("/secret-id")):
            raise VaultRefusedError(
                f"VAULT_SECRET_ID_WRAPPED was not made at {roles}…/secret-id: "
                "check RECONCILER_VAULT_AUTH_MOUNT, "
                "and if that is right, find out who handed it to you"
            )


def from_environment(environ: Environ, mount: str, _address: str) -> AppRole:
    """Return the login. UsageError where an id is missing."""
    role_id = credential_of(environ, "VAULT_ROLE_ID")
    secret_id = credential_of(environ, "VAULT_SECRET_ID")
    wrapped = credential_of(environ, "VAULT_SECRET_ID_WRAPPED")
    if secret_id is not None and wrapped is not None:
        raise UsageError(
            "VAULT_SECRET_ID and VAULT_SECRET_ID_WRAPPED are both set: "
            "set the one that was handed to you"
        )
    if role_id is None or (secret_id is None and wrapped is None):
        raise UsageError(
            "RECONCILER_VAULT_AUTH=approle needs VAULT_ROLE_ID and VAULT_SECRET_ID "
            "(or VAULT_SECRET_ID_WRAPPED): set both"
        )
    return AppRole(mount=mount, role_id=role_id.reveal(), secret_id=secret_id, wrapped=wrapped)


def _unwrapped(client: VaultClient, explainer: Explainer, wrapping: Secret) -> Secret:
    call = Call(needs='"update"', path="sys/wrapping/unwrap")
    client.token = wrapping.reveal()  # it is itself the permission
    try:
        reply = explainer.ask(call, lambda: client.post(call.path, {}))
    finally:
        client.token = ""
    data = reply.data if reply.status == HTTPStatus.OK else None
    secret_id = (data or {}).get("secret_id")
    if isinstance(secret_id, str) and is_header_safe(secret_id):
        return Secret(secret_id)
    if reply.status == HTTPStatus.BAD_REQUEST and reply.errors is not None:
        raise _spent()
    raise explainer.bad_reply(call, reply, token_works=None)


def _spent() -> VaultRefusedError:
    return VaultRefusedError(
        "VAULT_SECRET_ID_WRAPPED has expired or was unwrapped already: have a new one made, and "
        "unless it was you who unwrapped it, have the secret id destroyed, "
        "because somebody else has it"
    )
