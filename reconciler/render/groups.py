"""The labels of a fleet, grouped by what they need: for the page and for the table.

    labels ...               states
    -----------------------  -----------------------------------------------------------
    for a person to decide   waiting for a person
    broken or overdue        broken, overdue
    for the next apply       absent, drifted, due, interrupted, not desired
    under way, or waiting    in progress, held, draining
    well                     ok

The most urgent come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from reconciler.plan import FOR_AN_APPLY, State, TokenStatus


class Group(NamedTuple):
    """Labels that need the same.

    ``tone`` is a word for how urgent it is, ``title`` says it to people, after
    the number of labels.
    """

    tone: str
    title: str
    states: tuple[State, ...]


GROUPS = (
    Group("person", "for a person to decide", (State.WAITING,)),
    Group("bad", "broken or overdue", (State.BROKEN, State.OVERDUE)),
    Group("warn", "for the next apply", FOR_AN_APPLY),
    Group("busy", "under way, or waiting", (State.IN_PROGRESS, State.HELD, State.DRAINING)),
    Group("ok", "well", (State.OK,)),
)
"""The most urgent first; each state is in one of them."""

TONES = {state: group.tone for group in GROUPS for state in group.states}


def grouped_tokens(tokens: Iterable[TokenStatus]) -> list[tuple[Group, list[TokenStatus]]]:
    """Return each group that has labels, with them, in their order."""
    found: dict[str, list[TokenStatus]] = {group.tone: [] for group in GROUPS}
    for token in tokens:
        found[TONES[token.state]].append(token)
    return [(group, found[group.tone]) for group in GROUPS if found[group.tone]]
