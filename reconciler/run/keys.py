"""What a run may act with."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model import SCOPES, Capabilities, Credentials, Secret
from reconciler.values import value

ANYTHING = Capabilities(profile_id=0, management_enabled=True, allowed_scopes=SCOPES)
"""What an identity may do that nobody asks about."""


@value
class Keys:
    """What a run may act with.

    ``identity`` gives the token that derives; ``check_identity`` (derives,
    profile id, digest of the plan) returns what it may do, or raises ReconcilerError
    where it can't derive that; ``signer`` stands in for the manager's secret.
    """

    identity: Callable[[], Secret | None] = lambda: None
    check_identity: Callable[[int, int | None, str | None], Capabilities] = lambda *_: ANYTHING
    signer: Credentials | None = None
