"""Which manifest is the newest: an old checkout makes nothing as it was."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.state.ledger_text import to_text
from tests.support import github as stand_in
from tests.support.fleet import Fleet

BOT = {"label": "bot"}
MORE = {"label": "more"}
WIDE = {"label": "bot", "scopes": ["trading", "account_creation"]}


def test_an_old_checkout(fleet: Fleet) -> None:
    """It would revoke what was added since: refused before the first write, by apply
    and by rotate; the plan shows it; a flag of its own goes back.
    """
    fleet.begin(BOT)
    fleet.write(BOT, MORE)
    fleet.must("apply", "--yes")
    fleet.write(BOT)
    with fleet.untouched():
        for command in (("apply",), ("apply", "--only", "config"), ("rotate", "--target", "bot")):
            said = fleet.refused(1, *command, "--yes")
            assert said.startswith("this manifest is an older one: what it says was applied")
            assert "--allow-older-manifest" in said
        shown = fleet.must("plan").out
        assert "apply will refuse:" in shown
    assert len(fleet.live("more")) == 1
    fleet.must("apply", "--yes", "--allow-older-manifest")
    assert fleet.live("more") == []
    fleet.assert_quiet()
    fleet.write(BOT, MORE)
    assert "older one" in fleet.refused(1, "apply", "--yes")


def test_what_was_adopted_since(fleet: Fleet) -> None:
    """An older checkout does not revoke it, though no apply followed the adoption; to
    adopt from an older checkout makes that one no newer.
    """
    fleet.begin(BOT)
    old, late = (fleet.sandbox.state.derive_by_hand(label) for label in ("more", "late"))
    fleet.write(BOT, MORE)
    fleet.must("adopt", "--label", "more", "--token-id", old.token_id, text=old.secret)
    fleet.write(BOT)
    with fleet.untouched():
        assert "older one" in fleet.refused(1, "apply", "--yes", "--revoke-in-use")
    held = (BOT, MORE, {"label": "late"})
    fleet.write(*held)
    fleet.attempt("rotate", "--target", "bot", "--yes")
    fleet.write(*held, {"label": "last"})
    fleet.attempt("apply", "--yes")
    fleet.write(*held)
    fleet.must("adopt", "--label", "late", "--token-id", late.token_id, text=late.secret)
    with fleet.untouched():
        assert "older one" in fleet.refused(1, "apply", "--yes", "--revoke-in-use")


def test_scopes_are_not_widened_back(fleet: Fleet) -> None:
    """The manifest before the narrowing is an older one."""
    fleet.begin(WIDE)
    fleet.write(BOT)
    fleet.must("apply", "--yes")
    fleet.write(WIDE)
    with fleet.untouched():
        assert "older one" in fleet.refused(1, "apply", "--yes")
        fleet.must("apply", "--yes", "--only", "cleanup")


def test_an_approved_plan_may_go_back(fleet: Fleet) -> None:
    """Somebody has seen what it takes away, and that it is an older state."""
    fleet.begin(BOT)
    fleet.write(BOT, MORE)
    fleet.must("apply", "--yes")
    fleet.write(BOT)
    fleet.must("plan", "--out", "plan.json")
    fleet.must("apply", "--plan", "plan.json")
    assert fleet.live("more") == []
    fleet.assert_quiet()
    fleet.must("apply", "--yes")


def test_a_change_that_needs_no_token(fleet: Fleet) -> None:
    """A quiet run remembers nothing, and nothing is stuck by that: neither the change
    nor what was before it is refused, until something newer was applied.
    """
    fleet.begin(BOT)
    longer = {**BOT, "overlap": "3h", "description": "told otherwise"}
    fleet.write(longer)
    fleet.assert_quiet()
    fleet.write(BOT)
    fleet.assert_quiet()
    fleet.write(longer)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.write(BOT)
    assert "older one" in fleet.refused(1, "rotate", "--target", "bot", "--yes")
    fleet.write(longer, MORE)
    fleet.must("apply", "--yes")
    fleet.write({**longer, "overlap": "4h"})
    assert "older one" in fleet.refused(1, "apply", "--yes")
    fleet.write({**longer, "description": "told otherwise again"}, MORE)
    fleet.must("apply", "--yes")


def test_a_ledger_without_a_memory(fleet: Fleet) -> None:
    """One of an earlier version knows no manifest: all are taken for new, once."""
    fleet.begin(BOT)
    latest = fleet.secret("_ledger")
    with fleet.store() as store:
        text = to_text(dataclasses.replace(fleet.ledger(), manifests=()))
        store.write(f"{fleet.prefix}/_ledger", {"ledger": text}, cas=latest.version)
    fleet.assert_quiet()
    fleet.write(BOT, MORE)
    fleet.must("apply", "--yes")
    assert len(fleet.ledger().manifests) == 1


REPOSITORY, FIRST, NEWEST = "partner/tokens", "a" * 40, "b" * 40


@pytest.mark.parametrize("sha", [FIRST, NEWEST], ids=["an older commit", "the newest commit"])
def test_a_revert_in_github_actions(fleet: Fleet, sha: str) -> None:
    """The newest commit of the branch is the newest manifest, whatever it goes back to:
    a revert passes. A run of an older commit that is started again does not.
    """
    fleet.begin(BOT)
    fleet.write(BOT, MORE)
    fleet.must("apply", "--yes")
    fleet.write(BOT)
    with stand_in.GitHub() as host:
        host.state.add_repository(REPOSITORY).history += [FIRST, NEWEST]
        token = host.issue_token(REPOSITORY, login="bot", permissions={"contents": "read"})
        job = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": host.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": token,
            "GITHUB_SHA": sha,
        }
        if sha == NEWEST:
            fleet.must("apply", "--yes", environ=job)
            assert fleet.live("more") == []
        else:
            with fleet.untouched():
                assert "older one" in fleet.refused(1, "apply", "--yes", environ=job)


@pytest.mark.parametrize("again", [(), ("--max-revocations", "9")], ids=["", "with another flag"])
def test_no_other_flag_goes_back(fleet: Fleet, again: tuple[str, ...]) -> None:
    """Each guard has a flag of its own."""
    fleet.begin(BOT)
    fleet.write(BOT, MORE)
    fleet.must("apply", "--yes")
    fleet.write(BOT)
    assert "older one" in fleet.refused(1, "apply", "--yes", *again)
