"""The worth of shown uses: thirteen kinds of exchange, and what is believed of them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from reconciler.state.ledger import Uses, UseSample
from reconciler.state.uses import (
    Look,
    doubt_of,
    learnt,
    look_of,
    merged,
    one_more_helps,
    together,
)
from tests.support.values import NOW_MS, live

DERIVED_MS = NOW_MS - NOW_MS % DAY_MS

Shown = Callable[[list[int], int], int | None]
"""What a list at an instant shows of these uses, the oldest first."""


def exact(uses: list[int], now_ms: int) -> int | None:
    """Show the last use before this list."""
    return next((use for use in reversed(uses) if use < now_ms), None)


def late(by_ms: int) -> Shown:
    """Show uses so much later."""
    return lambda uses, now_ms: next((u for u in reversed(uses) if u <= now_ms - by_ms), None)


def coarse(grain_ms: int) -> Shown:
    """Cut uses down to a grain."""

    def shown(uses: list[int], now_ms: int) -> int | None:
        found = exact(uses, now_ms)
        return None if found is None else found - found % grain_ms

    return shown


def debounced(every_ms: int) -> Shown:
    """Write a use only if the one that was written before is so old."""

    def shown(uses: list[int], now_ms: int) -> int | None:
        written: int | None = None
        for use in uses:
            if use < now_ms and (written is None or use - written >= every_ms):
                written = use
        return written

    return shown


def never(_uses: list[int], _now_ms: int) -> int | None:
    """Show nothing."""
    return None


KINDS: dict[str, tuple[Shown, int | None]] = {
    "exact": (exact, 0),
    "a second": (coarse(SECOND_MS), SECOND_MS),
    "a minute": (coarse(MINUTE_MS), MINUTE_MS),
    "an hour": (coarse(HOUR_MS), HOUR_MS),
    "a day": (coarse(DAY_MS), DAY_MS),
    "late by a second": (late(SECOND_MS), SECOND_MS),
    "late by a minute": (late(MINUTE_MS), MINUTE_MS),
    "late by an hour": (late(HOUR_MS), HOUR_MS),
    "once a minute": (debounced(MINUTE_MS), MINUTE_MS),
    "once an hour": (debounced(HOUR_MS), HOUR_MS),
    "once a day": (debounced(DAY_MS), DAY_MS),
    "late and coarse": (late(MINUTE_MS + SECOND_MS), MINUTE_MS),
    "never": (never, None),
}


def lived(shown: Shown, seed: int) -> list[int | None]:
    """Return the doubt after each run of a month of runs, at most three lists each."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    uses: list[int] = [DERIVED_MS]
    known, found, now_ms = Uses(), [], DERIVED_MS
    for _ in range(rng.randrange(3, 40)):
        now_ms += rng.choice((DAY_MS, DAY_MS, HOUR_MS, 7 * MINUTE_MS)) + rng.randrange(20_000)
        before: Look | None = None
        for _ in range(rng.randrange(2, 4)):
            look = Look(
                signer_id="it",
                at_ms=now_ms,
                created_at_ms=DERIVED_MS,
                used_at_ms=shown(uses, now_ms),
            )
            known, before = learnt(known, look, before), look
            uses.append(now_ms)
            now_ms += rng.choice((1_100, 1_100, 2_000, 40_000))
        found.append(doubt_of(known))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(60))
def test_the_doubt_is_never_below_the_truth(kind: str, seed: int) -> None:
    """Whatever the exchange does with uses, the doubt covers it, or is unknown.

    The clock is known to a second, and so is the doubt.
    """
    shown, truth_ms = KINDS[kind]
    for doubt_ms in lived(shown, seed):
        if truth_ms is None:
            assert doubt_ms is None
        else:
            assert doubt_ms is None or doubt_ms >= truth_ms - 1_500


@pytest.mark.parametrize("seed", range(20))
def test_an_exact_exchange_is_known_after_its_first_three_lists(seed: int) -> None:
    """Bootstrap's list, and two that are a moment apart."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    known, before, uses = Uses(), None, [DERIVED_MS]
    for at_ms in (DERIVED_MS + HOUR_MS, DERIVED_MS + HOUR_MS + 1_100):
        look = Look(
            signer_id="it",
            at_ms=at_ms,
            created_at_ms=DERIVED_MS,
            used_at_ms=exact(uses, at_ms),
        )
        known, before = learnt(known, look, before), look
        uses.append(at_ms)
    assert doubt_of(known) == HOUR_MS  # one gap is known, and it is an hour
    assert one_more_helps(known)
    at_ms = uses[-1] + 1_100 + rng.randrange(100)
    look = Look(
        signer_id="it", at_ms=at_ms, created_at_ms=DERIVED_MS, used_at_ms=exact(uses, at_ms)
    )
    known = learnt(known, look, before)
    doubt_ms = doubt_of(known)
    assert doubt_ms is not None
    assert doubt_ms <= 1_200
    assert not one_more_helps(known)


def test_another_signer_tells_nothing_about_the_first() -> None:
    """Neither a lag nor a gap spans two tokens."""
    first = Look(signer_id="a", at_ms=NOW_MS, created_at_ms=0, used_at_ms=NOW_MS - 1)
    other = dataclasses.replace(first, signer_id="b", used_at_ms=NOW_MS)
    known = learnt(learnt(Uses(), first, None), other, first)
    assert known.samples == ()
    assert known.shown is not None
    assert known.shown.token_id == "b"


def test_samples_are_kept_for_thirty_days() -> None:
    """An exchange that became exact is believed a month later."""
    old = UseSample(day_ms=DERIVED_MS - 32 * DAY_MS, lag_ms=DAY_MS, gap_ms=SECOND_MS)
    young = UseSample(day_ms=DERIVED_MS - 30 * DAY_MS, lag_ms=HOUR_MS, gap_ms=SECOND_MS)
    look = Look(signer_id="it", at_ms=NOW_MS, created_at_ms=0, used_at_ms=None)
    assert learnt(Uses(samples=(old, young)), look, None).samples == (young,)


def test_a_day_has_one_sample() -> None:
    """Its largest lag and its smallest gap, whichever run saw them."""
    day = DERIVED_MS
    of_ledger = Uses(samples=(UseSample(day_ms=day, lag_ms=5, gap_ms=None),))
    of_run = Uses(samples=(UseSample(day_ms=day, lag_ms=7, gap_ms=3), UseSample(day_ms=0)))
    assert together(of_ledger, of_run).samples == (UseSample(day_ms=day, lag_ms=7, gap_ms=3),)
    assert merged() == ()


def test_a_list_without_its_signer_is_no_look() -> None:
    """A signer that the snapshot does not name proves nothing."""
    assert look_of(None, [live("a", "it")], at_ms=NOW_MS) is None
    assert look_of("b", [live("a", "it")], at_ms=NOW_MS) is None


def test_a_use_of_the_future_shows_that_our_clock_is_behind() -> None:
    """So what we know of our own uses is wrong by as much; a second is its grain."""
    first = Look(signer_id="a", at_ms=NOW_MS, created_at_ms=0, used_at_ms=None)
    ahead = dataclasses.replace(first, used_at_ms=NOW_MS + 25 * SECOND_MS)
    (sample,) = learnt(Uses(), ahead, first).samples
    assert sample.lag_ms == 25 * SECOND_MS
    grain = dataclasses.replace(first, used_at_ms=NOW_MS + SECOND_MS)
    (sample,) = learnt(Uses(), grain, first).samples
    assert sample.lag_ms == 0


def test_a_late_list_that_shows_the_one_before_is_passed_over() -> None:
    """It says only that the use was shown within the time between the two."""
    first = Look(signer_id="a", at_ms=NOW_MS, created_at_ms=0, used_at_ms=None)
    later = dataclasses.replace(first, at_ms=NOW_MS + 5 * MINUTE_MS, used_at_ms=NOW_MS)
    assert learnt(Uses(), later, first).samples == ()
    soon = dataclasses.replace(first, at_ms=NOW_MS + 5 * SECOND_MS, used_at_ms=NOW_MS)
    (sample,) = learnt(Uses(), soon, first).samples
    assert sample.lag_ms == 5 * SECOND_MS
