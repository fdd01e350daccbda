"""The person's short-lived identity token: its source, its rights, its hand-over."""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.identity.check import IdentityCheck
    from reconciler.identity.handoff import hand_over, place_of, plan_served, refuse_within, take
    from reconciler.identity.source import (
        NOTHING_TO_HAND_OVER,
        IdentityToken,
        TokenSource,
        without_secrets,
    )

__all__ = [
    "NOTHING_TO_HAND_OVER",
    "IdentityCheck",
    "IdentityToken",
    "TokenSource",
    "hand_over",
    "place_of",
    "plan_served",
    "refuse_within",
    "take",
    "without_secrets",
]

__getattr__ = on_demand(
    __name__,
    {
        "check": ("IdentityCheck",),
        "handoff": ("hand_over", "place_of", "plan_served", "refuse_within", "take"),
        "source": ("NOTHING_TO_HAND_OVER", "IdentityToken", "TokenSource", "without_secrets"),
    },
)
