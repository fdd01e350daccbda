"""The person's short-lived identity token: where it comes from, what it may do, and its hand-over."""

from reconciler.identity.check import IdentityCheck
from reconciler.identity.handoff import place_of, push, refuse_within, take
from reconciler.identity.source import NOTHING_TO_HAND_OVER, Identity, Source

__all__ = [
    "NOTHING_TO_HAND_OVER",
    "Identity",
    "IdentityCheck",
    "Source",
    "place_of",
    "push",
    "refuse_within",
    "take",
]
