"""The age of an adopted token counts from its adoption, and not within its grace."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.model import DAY_MS, HOUR_MS
from reconciler.state import (
    Current,
    Entry,
    IntentKind,
    Ledger,
    Retirement,
    due_at_ms,
    from_text,
    open_intent,
    record_current,
    spread_ms,
    to_text,
)
from tests.support.values import NOW_MS, current, intent, ledger, spec

OLD = current("old", "bot", age_ms=400 * DAY_MS, fresh=False)


@pytest.mark.parametrize(
    ("in_use_days", "grace_days", "rotate_after_days", "due_in_days"),
    [
        pytest.param(None, None, 30, -370, id="derived by us: since it was made"),
        pytest.param(0, 0, 30, 30, id="adopted today: since today"),
        pytest.param(0, 14, 30, 30, id="the grace is shorter than rotate_after"),
        pytest.param(0, 14, 7, 14, id="the grace is longer"),
        pytest.param(-20, -6, 30, 10, id="the grace is over"),
    ],
)
def test_when_a_token_is_due(
    in_use_days: int | None, grace_days: int | None, rotate_after_days: int, due_in_days: int
) -> None:
    """The later of two instants."""

    def instant(days: int | None) -> int | None:
        return None if days is None else NOW_MS + days * DAY_MS

    token = dataclasses.replace(
        OLD, in_use_since_ms=instant(in_use_days), grace_until_ms=instant(grace_days)
    )
    bot = spec("bot", rotate_after_ms=rotate_after_days * DAY_MS)
    found = due_at_ms(token, OLD.created_at_ms, bot)
    early_ms = spread_ms("bot", rotate_after_days * DAY_MS)
    in_grace = grace_days is not None and grace_days == due_in_days
    assert found == NOW_MS + due_in_days * DAY_MS - (0 if in_grace else early_ms)


def recorded(known: Ledger, kind: IntentKind, token: Current, *, at_ms: int) -> Ledger:
    """The ledger after a write of this kind."""
    begun = dataclasses.replace(
        intent("bot", kind=kind, token_id=token.token_id),
        grace_ms=14 * DAY_MS if kind is IntentKind.ADOPT else None,
    )
    opened = from_text(to_text(open_intent("bot", begun, protect=None)(known)))
    retirement = Retirement(at_ms=at_ms, overlap_ms=DAY_MS, reason="rotated")
    done = record_current("bot", begun.operation_id, token, retirement)(opened)
    return from_text(to_text(done))


def in_use(known: Ledger) -> tuple[str, int | None, int | None]:
    """The current token, and since when its age counts."""
    token = known.tokens["bot"].current
    assert token is not None
    return token.token_id, token.in_use_since_ms, token.grace_until_ms


def test_what_writes_a_token_again_keeps_its_age() -> None:
    """An adoption starts it; a restore and a rollback keep it, a rotation has its own.

    Whoever finishes an interrupted adoption records the same: the intent has the grace.
    """
    empty = ledger({"bot": Entry(path="bot")})
    adopted = recorded(empty, IntentKind.ADOPT, OLD, at_ms=NOW_MS)
    since = "old", NOW_MS, NOW_MS + 14 * DAY_MS
    assert in_use(adopted) == since
    again = dataclasses.replace(OLD, version=2)
    restored = recorded(adopted, IntentKind.RESTORE, again, at_ms=NOW_MS + HOUR_MS)
    assert in_use(restored) == since
    new = current("new", "bot")
    rotated = recorded(restored, IntentKind.ROTATE, new, at_ms=NOW_MS + HOUR_MS)
    assert in_use(rotated) == ("new", None, None)
    back = recorded(rotated, IntentKind.ROLLBACK, again, at_ms=NOW_MS + HOUR_MS)
    assert in_use(back) == since
