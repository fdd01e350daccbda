"""What a login to Vault is, and the life of the token that it brings.

The ways to log in are in ``logins``, one module each.

Rules this module keeps:

1. The token lives as long as the store that asked for it: it is got at the start,
   replaced at its end, and revoked after use.
2. A login is sent once. Each secret that it brings is masked before it is used.
"""

from __future__ import annotations

import abc
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Self

from reconciler.errors import ReconcilerError, VaultRefusedError
from reconciler.vault.environment import is_header_safe
from reconciler.vault.failures import Explainer
from reconciler.vault.http import Call, Request, perform

_CLOCK_MARGIN_S = 1.0  # the server counts a token's life on its own clock


Mask = Callable[[str], None]
"""Told of each secret that a login brings, before it is used, to hide it in a log."""


def no_mask(_secret: str) -> None:
    """Hide nothing: there is no log of others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Login(abc.ABC):
    """One way to get a token of Vault; ``mount`` is its path below ``auth/``."""

    mount: str

    def prepared(self, _client: Any, _explainer: Explainer, _mask: Mask) -> Self:
        """Return the login as it can be used again and again.

        Called once, before the first ``request``. VaultError where anybody refuses.
        """
        return self

    @abc.abstractmethod
    def request(self, client: Any, mask: Mask) -> tuple[Call, Request]:
        """Return the call and how to send it, with fresh credentials.

        UsageError for a file without an identity token, VaultError for a service that
        gives none.
        """

    def call(self, refusals: Mapping[int, str], *, claims: str = "") -> Call:
        """Return the call of the login; ``refusals`` says what each status means."""
        path = f"auth/{self.mount}/login"
        return Call(needs='"update"', path=path, refusals=refusals, claims=claims)


class LoginToken:
    """The token of one client. ``mask`` is told of each secret.

    Without a login the client's token was given to us: it is neither replaced nor
    revoked.
    """

    def __init__(
        self,
        client: Any,
        explainer: Explainer,
        login: Login | None,
        *,
        mask: Mask,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._explainer = explainer
        self._given = login
        self._login: Login | None = None
        self._mask = mask
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._owns_token = False
        self._ends_s = math.inf

    def log_in(self) -> None:
        """Get the client a token, if that takes a login.

        UsageError for a file without an identity token; VaultError where anybody
        refuses.
        """
        if self._given is None:
            return
        if self._login is None:
            self._login = self._given.prepared(self._client, self._explainer, self._mask)
        call, request = self._login.request(self._client, self._mask)
        asked_at_s = self._monotonic()
        reply = self._explainer.ask(call, request)
        body = reply.body if reply.status == HTTPStatus.OK else None
        auth = (body or {}).get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(token, str) or not is_header_safe(token):
            raise self._explainer.bad_reply(call, reply, token_works=None)
        self._mask(token)
        self._client.token = token
        self._owns_token = True
        life_s = auth.get("lease_duration")
        if not isinstance(life_s, int) or life_s <= 0:
            life_s = math.inf
        self._ends_s = asked_at_s + life_s - _CLOCK_MARGIN_S

    def renewed(self, refused: str) -> bool:
        """Return whether there is a new token in place of one that Vault refused.

        Then the call may be repeated. Only a token of our own that has come to its end
        is replaced: any other refusal is meant. VaultRefusedError where the new login
        fails. Threads that find the same end wait for the one login.
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
            "the Vault token came to its end, and another login failed: "
            f"give the role a longer token_ttl ({failure})"
        )

    def log_out(self) -> None:
        """Revoke the token if we logged in for it. Never fails; may be repeated.

        A batch token can't be revoked, and a policy may forbid it: such a token ends by
        itself soon, which is no news.
        """
        if self._owns_token:
            self._owns_token = False
            perform(self._client.auth.token.revoke_self)
