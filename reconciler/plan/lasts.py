"""Until when a label's rotations need no person: how long its reserve lasts.

    the label                               lasts until
    --------------------------------------  -------------------------------------------
    is never due                            for ever
    has no reserve that is ready            it is due
    has some                                the rotation after those that they serve,
                                            each in use for a whole lifetime; one that
                                            is too old by then serves none

A person is asked ``RESTOCK_MS`` ahead. Windows and holds are left out: with them a
rotation comes later, so the reserve lasts as long at least.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from reconciler.model import DAY_MS, TokenSpec
from reconciler.state import Current, Reserve, due_at_ms
from reconciler.values import value

RESTOCK_MS = 21 * DAY_MS
"""A person is asked to restock so long before the reserve ends."""


@value
class Unattended:
    """The first label whose rotation needs a person, when, and how many it has left."""

    at_ms: int
    label: str
    left: int


def lasts_until_ms(
    spec: TokenSpec,
    current: Current | None,
    created_at_ms: int,
    ready: Iterable[Reserve],
    *,
    now_ms: int,
) -> int | None:
    """Return when a label's rotation needs a person for the first time; None for never.

    ``created_at_ms`` is the current token's, ``ready`` are its reserves, the oldest
    first.
    """
    if spec.rotate_after_ms is None:
        return None
    if current is None:
        return now_ms
    at_ms = due_at_ms(current, created_at_ms, spec)
    for kept in ready:
        if at_ms is None:
            break
        at_ms = max(at_ms, now_ms)
        if at_ms - kept.created_at_ms >= spec.reserve_age_ms:
            continue
        young = dataclasses.replace(current, in_use_since_ms=at_ms, grace_until_ms=None)
        at_ms = due_at_ms(young, at_ms, spec)
    return at_ms


def first_of(found: Iterable[Unattended]) -> Unattended | None:
    """Return which of them comes first."""
    return min(found, key=lambda one: (one.at_ms, one.label), default=None)
