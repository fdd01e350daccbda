"""What the identity may do: asked before the first write, when a refusal is cheap.

the exchange's time     the identity token
----------------------  ----------------------------------------------------------
measured by a reply     expired, or too soon for all derives: refused, unasked
not measured yet        the exchange is asked: its 401 refuses it; what it answers
otherwise is good now, whatever this machine's clock says
"""

from __future__ import annotations

import math

from reconciler.errors import ExchangeUnauthorizedError, PersonNeededError, ReconcilerError
from reconciler.exchange import TokenClient
from reconciler.identity.source import (
    DERIVE_MS,
    MARGIN_MS,
    MISSING,
    IdentityToken,
    expires_at_ms,
)
from reconciler.model import SECOND_MS, Capabilities, Secret


class IdentityCheck:
    """Checks that the identity can derive what is planned.

    Capabilities are read once a run.
    """

    def __init__(
        self, exchange: TokenClient, identity: IdentityToken, *, profile_id: int | None
    ) -> None:
        self._exchange = exchange
        self._identity = identity
        self._wanted_profile = profile_id
        self._capabilities: Capabilities | None = None

    def __call__(self, derives: int, profile_id: int | None, digest: str | None) -> Capabilities:
        """Return what the identity may do.

        ``derives`` is how many derives are planned, ``profile_id`` the ledger's,
        ``digest`` the plan's. PersonNeededError without a usable identity;
        ReconcilerError where the exchange lets it derive nothing for this profile.
        """
        identity = self._identity.token(digest)
        if identity is None:
            raise PersonNeededError(MISSING)
        if self._exchange.clock().is_measured:
            self._refuse_old(identity, derives)
        if self._capabilities is None:
            self._capabilities = self._ask(identity)
        if self._left_ms(identity) > 0:
            self._refuse_old(identity, derives)
        self._refuse(self._capabilities, profile_id)
        return self._capabilities

    def _left_ms(self, identity: Secret) -> float:
        end_ms = expires_at_ms(identity)
        return math.inf if end_ms is None else end_ms - self._exchange.clock().now_ms()

    def _refuse_old(self, identity: Secret, derives: int) -> None:
        left_ms, needed_ms = self._left_ms(identity), derives * DERIVE_MS + MARGIN_MS
        if left_ms <= 0:
            raise PersonNeededError(
                f"the identity token expired {-left_ms // SECOND_MS:.0f} s ago: get a new one"
            )
        if left_ms < needed_ms:
            raise PersonNeededError(
                f"the identity token expires in {left_ms // SECOND_MS:.0f} s, "
                f"and {derives} derives need {needed_ms // SECOND_MS} s: get a new one"
            )

    def _ask(self, identity: Secret) -> Capabilities:
        """Return what the exchange answers, which proves that the token is good now."""
        try:
            return self._exchange.get_capabilities(identity)
        except ExchangeUnauthorizedError as error:
            sentence = str(error)
        if self._exchange.clock().is_measured and self._left_ms(identity) <= 0:
            self._refuse_old(identity, 1)
        raise PersonNeededError(sentence)

    def _refuse(self, found: Capabilities, profile_id: int | None) -> None:
        for wanted, whose in ((self._wanted_profile, "the manifest"), (profile_id, "the ledger")):
            if wanted is not None and found.profile_id != wanted:
                raise ReconcilerError(
                    f"the identity belongs to profile {found.profile_id}, "
                    f"{whose} to profile {wanted}: use the right identity"
                )
        if not found.management_enabled:
            raise ReconcilerError(
                "token management is switched off for this profile: "
                "ask the exchange to switch it on"
            )
