"""How many tokens lived when a derive had ended another one.

The exchange documents no most. Were there one, a derive beyond it might end the oldest
token of the profile without a word, whoever holds it. Only a list shows that: it lacks
a token that the list before the derive had, and whose end nothing explains.

    a list after a derive                           then
    ----------------------------------------------  -----------------------------------
    lacks what the list before it had, and so does  how many it shows is remembered
    a second one, if that is answered
    lacks only what we revoke or have revoked, or   nothing is remembered
    what the ledger knows the end of
    lacks only somebody else's, and older ones      nothing is remembered: neighbour
    stay                                            manifests revoke as well

    the tokens that live                            a successor for the reserve
    ----------------------------------------------  -----------------------------------
    would be as many as remembered, with it         is not derived
    stay fewer                                      is derived

The place that stays free is for a rotation, which has to derive beside what lives. The
lowest number of those seen counts. Each is kept for 30 days, one for each day, and
written with the record of the derive. A person who revoked a token just then looks the
same: that costs a reserve, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model import DAY_MS
from reconciler.values import value

CAP_KEPT_MS = 30 * DAY_MS
"""After so long it is tried again."""


@value
class Cap:
    """So many tokens lived at ``at_ms``, when a derive had ended another one."""

    lived: int
    at_ms: int

    @property
    def until_ms(self) -> int:
        """Until when it counts."""
        return self.at_ms + CAP_KEPT_MS


def still_counting(known: Iterable[Cap], now_ms: int) -> tuple[Cap, ...]:
    """Return those that are not over, oldest first."""
    return tuple(sorted((c for c in known if now_ms < c.until_ms), key=lambda c: c.at_ms))


def with_cap(known: Iterable[Cap], found: Cap) -> tuple[Cap, ...]:
    """Return what is known with one more: the lowest of each day, the last of those."""
    days: dict[int, Cap] = {}
    for one in (*still_counting(known, found.at_ms), found):
        old = days.setdefault(one.at_ms // DAY_MS, one)
        if one.lived <= old.lived:
            days[one.at_ms // DAY_MS] = one
    return still_counting(days.values(), found.at_ms)


def lowest(known: Iterable[Cap], now_ms: int) -> Cap | None:
    """Return the one that counts, None where there is none: the last of the lowest."""
    return min(still_counting(known, now_ms), key=lambda cap: (cap.lived, -cap.at_ms), default=None)
