"""Logging a client in to Vault and out again, by the method that the settings name.

Rules this module keeps:

1. The token of a login lives as long as the store that asked for it: it is revoked at
   the end, replaced when it has expired.
2. A login is sent once. Each secret that it brings is masked before it is used.
3. A wrapping token is looked up before it is unwrapped: one that was made elsewhere, or
   used already, is somebody's trick.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from reconciler.errors import ReconcilerError, VaultRefusedError
from reconciler.model import Secret
from reconciler.vault.http import Call, Explainer, Request, ask, perform
from reconciler.vault.jwt import Mask, identity_token, shown_claims
from reconciler.vault.settings import is_header_safe

_CLOCK_MARGIN_S = 1.0  # the server counts a token's life on its own clock


class Login:
    """The login of one client.

    ``explainer`` has the settings; ``mask`` is told of each secret.
    """

    def __init__(
        self,
        client: Any,
        explainer: Explainer,
        *,
        mask: Mask,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._explainer = explainer
        self._settings = explainer.settings
        self._mask = mask
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._owns_token = False
        self._ends_s = math.inf
        self._secret_id = explainer.settings.secret_id

    def log_in(self) -> None:
        """Get the client a token.

        UsageError for a file without an identity token; VaultError where anybody
        refuses.
        """
        call, request = self._request()
        asked_at_s = self._monotonic()
        reply = ask(self._explainer, call, request)
        auth = (
            reply.body.get("auth")
            if reply.status == HTTPStatus.OK and reply.body is not None
            else None
        )
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(token, str) or not is_header_safe(token):
            raise self._explainer.bad_reply(call, reply, token_works=None)
        self._mask(token)
        self._client.token = token
        self._owns_token = True
        life_s = auth.get("lease_duration")
        self._ends_s = (
            asked_at_s + life_s - _CLOCK_MARGIN_S
            if isinstance(life_s, int) and life_s > 0
            else math.inf
        )

    def renewed(self, refused: str) -> bool:
        """Whether there is a new token in place of this one, which Vault refused: then the call may be repeated.

        Only for a token of our own that has come to its end; any other refusal is
        meant. VaultRefusedError where the new login fails. Threads that find the same
        end wait for the one login.
        """
        with self._lock:
            if not self._owns_token or self._client.token != refused:
                return self._owns_token
            if self._monotonic() < self._ends_s:
                return False
            try:
                self.log_in()
            except ReconcilerError as error:
                failure = str(error)
            else:
                return True
        raise VaultRefusedError(
            f"the Vault token came to its end, and another login failed: give the role a longer token_ttl ({failure})"
        )

    def log_out(self) -> None:
        """Revoke the token if we logged in for it. Never fails; may be repeated.

        A batch token can't be revoked, and a policy may forbid it: such a token ends by
        itself soon, which is no news.
        """
        if self._owns_token:
            self._owns_token = False
            perform(self._client.auth.token.revoke_self)

    def _request(self) -> tuple[Call, Request]:
        settings, auth = self._settings, self._client.auth
        mount, role = settings.auth_mount, settings.role or ""
        path = f"auth/{mount}/login"
        if settings.auth == "approle":
            role_id, secret_id = settings.role_id, self._unwrapped()
            return Call(needs='"update"', path=path, login=True), lambda: auth.approle.login(
                role_id, secret_id.reveal(), use_token=False, mount_point=mount
            )
        if settings.jwt is None:
            raise ValueError(f"the settings hold no credentials for {settings.auth}")
        jwt = identity_token(settings.jwt, mask=self._mask)
        call = Call(needs='"update"', path=path, login=True, claims=shown_claims(jwt))
        if settings.auth == "kubernetes":
            return call, lambda: auth.kubernetes.login(
                role, jwt.reveal(), use_token=False, mount_point=mount
            )
        return call, lambda: auth.jwt.jwt_login(role, jwt.reveal(), use_token=False, path=mount)

    def _unwrapped(self) -> Secret:
        """The secret id, out of its wrapping where it came in one; that is done once, and the id is kept for another login."""
        if self._secret_id is None:
            wrapping = self._settings.wrapped_secret_id
            if wrapping is None:
                raise ValueError("the settings hold no credentials for approle")
            self._check_wrapping(wrapping)
            self._secret_id = self._unwrap(wrapping)
        return self._secret_id

    def _check_wrapping(self, wrapping: Secret) -> None:
        """Whoever steals a wrapping token and wraps an id of his own leaves another trace of where it was made."""
        call = Call(needs='"update"', path="sys/wrapping/lookup")
        reply = ask(
            self._explainer,
            call,
            lambda: self._client.adapter.post(
                f"/v1/{call.path}", json={"token": wrapping.reveal()}
            ),
        )
        if reply.status == HTTPStatus.BAD_REQUEST and reply.errors is not None:
            raise _spent()
        if reply.status != HTTPStatus.OK or reply.data is None:
            raise self._explainer.bad_reply(call, reply, token_works=None)
        roles = f"auth/{self._settings.auth_mount}/role/"
        path = str(reply.data.get("creation_path")).removeprefix(f"{self._settings.namespace}/")
        if not (path.startswith(roles) and path.endswith("/secret-id")):
            raise VaultRefusedError(
                f"VAULT_SECRET_ID_WRAPPED was not made at {roles}…/secret-id: check RECONCILER_VAULT_AUTH_MOUNT, and if that "
                "is right, find out who handed it to you"
            )

    def _unwrap(self, wrapping: Secret) -> Secret:
        call = Call(needs='"update"', path="sys/wrapping/unwrap")
        self._client.token = wrapping.reveal()  # it is itself the permission
        try:
            reply = ask(self._explainer, call, self._client.sys.unwrap)
        finally:
            self._client.token = ""
        secret_id = (
            reply.data.get("secret_id")
            if reply.status == HTTPStatus.OK and reply.data is not None
            else None
        )
        if isinstance(secret_id, str) and is_header_safe(secret_id):
            self._mask(secret_id)
            return Secret(secret_id)
        if reply.status == HTTPStatus.BAD_REQUEST and reply.errors is not None:
            raise _spent()
        raise self._explainer.bad_reply(call, reply, token_works=None)


def _spent() -> VaultRefusedError:
    return VaultRefusedError(
        "VAULT_SECRET_ID_WRAPPED has expired or was unwrapped already: have a new one made, and unless it was you who "
        "unwrapped it, have the secret id destroyed, because somebody else has it"
    )
