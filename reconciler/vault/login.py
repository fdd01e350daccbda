"""What a login to Vault is. The ways to log in are in ``logins``, one module each."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Self

from reconciler.values import value
from reconciler.vault.failures import Explainer
from reconciler.vault.http import Call, Request, VaultClient

Mask = Callable[[str], None]
"""Told of each secret that a login brings, before it is used, to hide it in a log."""


def no_mask(_secret: str) -> None:
    """Hide nothing: there is no log of others."""


@value
class Login(abc.ABC):
    """One way to get a token of Vault; ``mount`` is its path below ``auth/``."""

    mount: str

    def prepared(self, _client: VaultClient, _explainer: Explainer, _mask: Mask) -> Self:
        """Return the login as it can be used again and again.

        Called once, before the first ``request``. VaultError where anybody refuses.
        """
        return self

    @abc.abstractmethod
    def request(self, client: VaultClient, mask: Mask) -> tuple[Call, Request]:
        """Return the call and how to send it, with fresh credentials.

        UsageError for a file without an identity token, VaultError for a service that
        gives none.
        """

    def call(
        self,
        refusals: Mapping[int, str],
        *,
        claims: str = "",
        explain: Callable[[str], str | None] = lambda _: None,
    ) -> Call:
        """Return the call of the login; ``refusals`` says what each status means.

        ``explain`` knows better what some errors of Vault's mean.
        """
        path = f"auth/{self.mount}/login"
        return Call(needs='"update"', path=path, refusals=refusals, claims=claims, explain=explain)
