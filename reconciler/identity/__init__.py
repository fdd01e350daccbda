"""The person's short-lived identity token: its source, its rights, its hand-over."""

from reconciler.identity.check import IdentityCheck
from reconciler.identity.handoff import hand_over, place_of, plan_served, refuse_within, take
from reconciler.identity.source import NOTHING_TO_HAND_OVER, IdentityToken, TokenSource

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
]
