"""What ``lastUsedAt`` is worth at this exchange: how late and how coarse it may be.

The exchange documents neither. Some services write such a field at most once an hour,
round it to a day, show it a minute late, or never write it. One use is certainly ours:
each list is signed, so its signer was used. What lists show of that use is the measure.

    measured                     how
    ---------------------------  -----------------------------------------------------
    lag: how late a use may be   at a list that follows another list of the same run by
                                 the same signer: the time of the list minus the
                                 signer's use that it shows; the creation counts where
                                 it shows none. The largest one counts. A use of the
                                 future shows that our clock is behind: by so much
                                 what we know of our own uses is wrong as well.
    gap: how coarse uses may be  the distance between two different uses ever shown for
                                 one signer. The smallest one counts: no rounding and
                                 no "at most once in a while" can be larger.

    known                        the doubt
    ---------------------------  -----------------------------------------------------
    lag and gap                  the larger of both, in milliseconds
    lag or gap is missing        None: nothing is proven

A lag of more than ten seconds that shows the use of the list before says nothing
beyond the time between the two lists, so it is passed over. Samples are kept for 30
days, one for each day, and written with a write of the ledger that happens anyway.

A field that is kept apart on several nodes, each with a rule of its own, can look exact
to one signer. The default overlap is two hours longer than a session may last for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.model import DAY_MS, SECOND_MS, LiveToken
from reconciler.state.ledger import ShownUse, Uses, UseSample
from reconciler.values import value

KEPT_MS = 30 * DAY_MS

CLOCK_GRAIN_MS = 2 * SECOND_MS
"""The exchange's clock is known from headers of whole seconds."""

TELLING_MS = 10 * SECOND_MS
"""Lists further apart than this tell nothing by showing the use of the first one."""


@value
class Look:
    """What one list showed of the token that signed it.

    ``at_ms`` is the exchange's clock right before the list. ``used_at_ms`` is None
    where the list shows no use.
    """

    signer_id: str
    at_ms: int
    created_at_ms: int
    used_at_ms: int | None


def look_of(signer_id: str | None, live: Iterable[LiveToken], *, at_ms: int) -> Look | None:
    """Return what a list showed of its signer; None where the list lacks it."""
    token = next((token for token in live if token.token_id == signer_id), None)
    if token is None:
        return None
    return Look(
        signer_id=token.token_id,
        at_ms=at_ms,
        created_at_ms=token.created_at_ms,
        used_at_ms=token.last_used_at_ms,
    )


def learnt(uses: Uses, look: Look, before: Look | None) -> Uses:
    """Return what is known with one more look; ``before`` is the run's look before."""
    found = UseSample(
        day_ms=look.at_ms - look.at_ms % DAY_MS,
        lag_ms=_lag_ms(look, before),
        gap_ms=_gap_ms(look, uses.shown),
    )
    shown = uses.shown
    if look.used_at_ms is not None:
        shown = ShownUse(token_id=look.signer_id, at_ms=look.used_at_ms)
    samples = merged(uses.samples, (found,))
    kept = tuple(s for s in samples if look.at_ms - s.day_ms <= KEPT_MS + DAY_MS)
    return Uses(samples=kept, shown=shown)


def _lag_ms(look: Look, before: Look | None) -> int | None:
    if before is None or before.signer_id != look.signer_id:
        return None
    shown_ms = look.created_at_ms if look.used_at_ms is None else look.used_at_ms
    shows_the_last = look.used_at_ms is not None and shown_ms >= before.at_ms - SECOND_MS
    if shows_the_last and look.at_ms - before.at_ms > TELLING_MS:
        return None
    lag_ms = look.at_ms - shown_ms
    return -lag_ms if lag_ms < -CLOCK_GRAIN_MS else max(0, lag_ms)


def _gap_ms(look: Look, shown: ShownUse | None) -> int | None:
    if shown is None or look.used_at_ms is None or shown.token_id != look.signer_id:
        return None
    return abs(look.used_at_ms - shown.at_ms) or None


def merged(*many: Iterable[UseSample]) -> tuple[UseSample, ...]:
    """Return one sample for each day: its largest lag and its smallest gap, by day."""
    days: dict[int, UseSample] = {}
    for sample in (sample for samples in many for sample in samples):
        old = days.get(sample.day_ms, UseSample(day_ms=sample.day_ms))
        days[sample.day_ms] = UseSample(
            day_ms=sample.day_ms,
            lag_ms=_known(max, old.lag_ms, sample.lag_ms),
            gap_ms=_known(min, old.gap_ms, sample.gap_ms),
        )
    known = (s for s in days.values() if s.lag_ms is not None or s.gap_ms is not None)
    return tuple(sorted(known, key=lambda s: s.day_ms))


def _known(which: Callable[[list[int]], int], *values: int | None) -> int | None:
    found = [value for value in values if value is not None]
    return which(found) if found else None


def together(recorded: Uses, of_this_run: Uses) -> Uses:
    """Return what the ledger and this run know, after another run may have written."""
    shown = of_this_run.shown or recorded.shown
    return Uses(samples=merged(recorded.samples, of_this_run.samples), shown=shown)


def lag_and_gap(uses: Uses) -> tuple[int | None, int | None]:
    """Return the largest lag and the smallest gap of the samples, in milliseconds."""
    return (
        _known(max, *(s.lag_ms for s in uses.samples)),
        _known(min, *(s.gap_ms for s in uses.samples)),
    )


def doubt_of(uses: Uses) -> int | None:
    """Return by how many milliseconds a shown use may be late; None if unproven."""
    lag_ms, gap_ms = lag_and_gap(uses)
    return None if lag_ms is None or gap_ms is None else max(lag_ms, gap_ms)


def one_more_helps(uses: Uses) -> bool:
    """Return whether another list could make the doubt known, or smaller."""
    lag_ms, gap_ms = lag_and_gap(uses)
    return lag_ms is None or gap_ms is None or gap_ms > lag_ms
