"""The reserve in the commands beside apply."""

from __future__ import annotations

from tests.e2e.test_reserve import ALONE, current, report, reserve, stocked
from tests.support.fleet import Fleet

__all__ = ["stocked"]  # the fixture


def test_one_reserve_is_revoked_by_its_id(stocked: Fleet) -> None:
    """Without an identity, at once, and nothing else; the next visit stocks anew."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fleet.later(minutes=5)
    fleet.use(kept.path)  # whoever leaked it uses it
    by_id = ("rotate", "--token-id", kept.token_id[:6], "--yes")
    with fleet.untouched():
        said = fleet.refused(64, *by_id, environ=ALONE)
        assert said == (
            f"{kept.token_id} is in the reserve of bot, and no consumer has it: with "
            "--compromised it is revoked now, and nothing else is; "
            "`reconciler rotate --target bot` takes the oldest that is ready"
        )
        shown = fleet.must("status", "--token-id", kept.token_id[:6]).out
    assert "bot" in shown
    done, said_so = report(fleet, *by_id, "--compromised", environ=ALONE)
    assert done.code == 0, done
    assert [(row["action"], row["reason"]) for row in said_so["rows"]] == [
        ("revoke", "compromised")
    ]
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert (reserve(fleet), current(fleet)) == ((), old)
    fleet.must("apply", "--yes")
    assert len(reserve(fleet)) == 1
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_reserve_of_a_label_that_left_is_revoked_by_its_id(stocked: Fleet) -> None:
    """Whatever else its label waits for."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fleet.write()
    fleet.must("rotate", "--token-id", kept.token_id, "--compromised", "--yes", environ=ALONE)
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert current(fleet) == old
