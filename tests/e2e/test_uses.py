"""Consumers' uses as evidence, against an exchange that shows them as it likes.

Each case was revoked under its consumer once: a predecessor that was in use, a label
that left, a token that somebody had before it was ours.
"""

from __future__ import annotations

import pytest

from tests.e2e.test_story import held
from tests.support.fleet import Fleet

BOT = {"label": "bot", "path": "prod/bot"}

UNKIND: dict[str, dict[str, object]] = {
    "never shown": {"last_used_grain_ms": None},
    "cut to a day": {"last_used_grain_ms": 86_400_000},
    "written once an hour": {"last_used_every_ms": 3_600_000},
    "two hours late": {"last_used_after_ms": 7_200_000},
}


@pytest.mark.parametrize("law", UNKIND)
def test_a_predecessor_in_use_is_held_where_uses_are_not_shown(fleet: Fleet, law: str) -> None:
    """Its overlap is shorter than what the exchange hides.

    The consumer of the old token signs right before each run; no list shows it.
    """
    fleet.sandbox.state.configure(**UNKIND[law])
    fleet.defaults = {"overlap": "30m"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.use("prod/bot")
    for _ in range(3):
        fleet.later(minutes=31)
        fleet.sandbox.state.touch(old)
        done = fleet.must("apply", "--yes")
        assert done.last_line == "applied 0, failed 0, held 1, not tried 0"
        assert "--revoke-unproven" in held(done)[0]
        assert old in {token.token_id for token in fleet.live("bot")}
    status = fleet.must("status")
    assert "bot" in status.out


def test_the_flag_believes_what_is_shown_and_says_so(fleet: Fleet) -> None:
    """A person who has checked the consumers lifts the hold for one label."""
    fleet.sandbox.state.configure(last_used_grain_ms=None)
    fleet.defaults = {"overlap": "30m"}
    fleet.begin(BOT)
    old = fleet.secret("prod/bot").field("token_id")
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(minutes=31)
    plan = fleet.must("plan", "--revoke-unproven", "--target", "bot")
    assert "ATTENTION" in plan.out
    assert "--revoke-unproven" in plan.out
    fleet.must("apply", "--yes", "--revoke-unproven", "--target", "bot")
    assert old not in {token.token_id for token in fleet.live("bot")}


@pytest.mark.parametrize("law", UNKIND)
def test_a_label_that_leaves_is_not_revoked_in_use(fleet: Fleet, law: str) -> None:
    """A use of a moment ago need not be shown."""
    fleet.sandbox.state.configure(**UNKIND[law])
    fleet.defaults = {"overlap": "30m"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(hours=3)
    fleet.sandbox.state.touch(old)
    fleet.write()
    done = fleet.attempt("apply", "--yes")
    assert old in {token.token_id for token in fleet.live("bot")}, done


def test_an_exact_exchange_is_proven_in_the_first_run_that_needs_it(fleet: Fleet) -> None:
    """One more list, a second later, and the predecessor goes; then all is quiet."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    fleet.use("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(hours=2)
    fleet.use("prod/bot")
    fleet.later(seconds=10)
    assert fleet.must("apply", "--yes").last_line == "applied 1, failed 0, held 0, not tried 0"
    fleet.assert_quiet()


def test_an_adopted_token_is_somebodys(fleet: Fleet) -> None:
    """Silence beyond the overlap proves nothing while nobody reads the successor.

    A weekly consumer used the hand-made token before it was adopted and rotated.
    """
    fleet.defaults = {"overlap": "6h"}
    fleet.begin()
    fleet.write(BOT)
    token = fleet.sandbox.state.derive_by_hand("bot")
    fleet.sandbox.state.touch(token.token_id)
    fleet.later(seconds=2)
    fleet.must("adopt", "--label", "bot", "--token-id", token.token_id, text=token.secret)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(hours=7)
    done = fleet.must("apply", "--yes")
    assert "no consumer has used the successor yet" in held(done)[0]
    assert token.token_id in {live.token_id for live in fleet.live("bot")}


def test_an_adopted_label_that_leaves_is_in_use(fleet: Fleet) -> None:
    """Our own signature hid the consumer's use of two seconds before."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin()
    fleet.write(BOT)
    token = fleet.sandbox.state.derive_by_hand("bot")
    fleet.sandbox.state.touch(token.token_id)
    fleet.later(seconds=2)
    fleet.must("adopt", "--label", "bot", "--token-id", token.token_id, text=token.secret)
    fleet.write()
    done = fleet.must("apply", "--yes", "--revoke-now", "bot")
    assert "used within its overlap" in held(done)[0]
    assert token.token_id in {live.token_id for live in fleet.live("bot")}


def test_a_token_that_was_rolled_back_to_is_somebodys(fleet: Fleet) -> None:
    """It was used before the rollback; nobody has used its successor since."""
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(BOT)
    first = fleet.use("prod/bot")
    fleet.later(minutes=5)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(minutes=5)
    fleet.must("rollback", "--target", "bot", "--yes")
    fleet.later(minutes=5)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(hours=50)
    done = fleet.must("apply", "--yes")
    assert first in {token.token_id for token in fleet.live("bot")}, done
    assert any("no consumer has used the successor yet" in line for line in held(done))
