"""The reserve: a person's visit stocks it, runs without an identity promote from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.model import VersionState
from reconciler.state import Reserve
from tests.support.fleet import Done, Environ, Fleet

BOT = {"label": "bot", "path": "prod/bot"}
ALONE: Environ = {"LIMITLESS_IDENTITY_TOKEN": None}
"""A run without an identity."""


def reserve(fleet: Fleet, label: str = "bot") -> tuple[Reserve, ...]:
    """What the ledger has in a label's reserve."""
    return fleet.ledger().tokens[label].reserve


def current(fleet: Fleet, label: str = "bot") -> str:
    """The id of a label's current token."""
    found = fleet.ledger().tokens[label].current
    assert found is not None
    return found.token_id


@pytest.fixture
def stocked(fleet: Fleet) -> Fleet:
    """A fleet whose bot has one successor ready, and whose exchange shows uses."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "30d"}
    fleet.begin({**BOT, "reserve": 1})
    fleet.use("prod/bot")
    return fleet


def test_stocked_in_the_run_that_derives(stocked: Fleet) -> None:
    """One apply derives the token and its successor; the second run is quiet."""
    fleet = stocked
    (kept,) = reserve(fleet)
    assert [t.token_id for t in fleet.live("bot")] == [current(fleet), kept.token_id]
    content = fleet.secret(kept.path)
    assert content.field("token_id") == kept.token_id
    assert content.field("label") == "bot"
    assert kept.path == f"_reserve/{content.field('operation_id')}"
    assert kept.fresh
    fleet.assert_whole()
    fleet.assert_quiet()
    with fleet.untouched():
        assert fleet.must("plan", "--detailed-exitcode").code == 0


def test_an_identity_that_is_of_no_use_is_told_of(stocked: Fleet, tmp_path: Path) -> None:
    """What is short waits. Without an identity the run exits with 0; a source that was
    named and that fails makes it 4, as for a row that needs an identity.
    """
    fleet = stocked
    fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
    (short,) = fleet.must("apply", "--yes", environ=ALONE).out.splitlines()[:1]
    assert short.endswith("number 1 of 1; an identity token is needed to derive)")
    nowhere = str(tmp_path / "nowhere")
    (tmp_path / "empty").write_text("\n")
    empty = str(tmp_path / "empty")
    for source, said in (
        (("--identity-file", nowhere), f"the identity file {nowhere} can't be read as text"),
        (("--identity-file", empty), f"the identity token from {empty} is empty"),
        (("--identity-command", "false"), "the identity command false failed with exit code 1"),
        (("--identity-command", nowhere), f"the identity command {nowhere} can't be run"),
    ):
        with fleet.untouched():
            failed = fleet.attempt("apply", "--yes", *source, environ=ALONE)
        assert failed.code == 4, failed
        assert f"number 1 of 1; {said})" in failed.out
        assert failed.err.splitlines()[-1] == f"error: {said}"
    fleet.write({**BOT, "reserve": 1, "protect": True})
    beside = fleet.attempt("apply", "--yes", "--identity-command", "false", environ=ALONE)
    assert beside.code == 4, beside
    assert beside.last_line == "applied 1, failed 0, held 2, not tried 0"
    assert fleet.ledger().tokens["bot"].protect


def test_promoted_without_an_identity(stocked: Fleet) -> None:
    """A due rotation takes the reserve; what is short is held, and named."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fleet.later(days=31)
    plan = fleet.must("plan", environ=ALONE)
    assert "rotate from the reserve" in plan.out
    done = fleet.must("apply", "--yes", "--only", "rotation", "--target", "bot", environ=ALONE)
    assert current(fleet) == kept.token_id
    assert fleet.secret("prod/bot").field("token_id") == kept.token_id
    assert reserve(fleet) == ()
    assert fleet.secret(kept.path, 1).state is VersionState.DELETED
    assert [r.token_id for r in fleet.ledger().tokens["bot"].retiring] == [old]
    assert fleet.ledger().left == ()
    assert "held 1" in done.last_line
    assert re.search(r"rotated bot \(due by its age: .*, from the reserve\): new token ", done.out)
    assert fleet.use("prod/bot") == kept.token_id
    with fleet.untouched():
        fleet.must("apply", "--yes", "--only", "rotation", "--target", "bot", environ=ALONE)
    fleet.must("apply", "--yes", "--target", "bot")
    assert len(reserve(fleet)) == 1
    fleet.must("apply", "--yes")
    fleet.later(hours=1)
    fleet.use("prod/bot")
    fleet.later(hours=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def report(
    fleet: Fleet, *arguments: str, environ: Environ | None = None
) -> tuple[Done, dict[str, Any]]:
    """How a command ended, and the report that it wrote."""
    done = fleet.attempt(*arguments, "--report", "report.json", environ=environ)
    return done, json.loads((fleet.folder / "report.json").read_text())


def test_an_emergency_without_a_person(stocked: Fleet) -> None:
    """Whoever is on duty needs no identity: the reserve takes over at once."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    arguments = ("rotate", "--compromised", "--target", "bot", "--yes")
    done, said = report(fleet, *arguments, environ=ALONE)
    assert done.code == 0, done
    assert current(fleet) == kept.token_id
    assert not fleet.sandbox.state.token(old).live
    assert [row["revoked"] for row in said["rows"] if row["action"] == "promote"] == [[old]]
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_an_emergency_that_is_cut_off_goes_on(fleet: Fleet) -> None:
    """A label that has its reserve by now is done; the same command does the others."""
    fleet.defaults = {"overlap": "1h", "reserve": 1}
    fleet.begin(BOT, {"label": "second"})
    (kept,) = reserve(fleet, "second")
    done = fleet.attempt("rotate", "--target", "bot", "--compromised", "--yes", environ=ALONE)
    assert done.code == 0, done
    again = fleet.attempt("rotate", "--all", "--compromised", "--yes", environ=ALONE)
    assert again.code == 4, again  # bot has no reserve any more
    assert current(fleet, "second") == kept.token_id
    goes_on = fleet.attempt("rotate", "--all", "--compromised", "--yes")
    assert "1 of 3 labels are left" in goes_on.err, goes_on
    assert current(fleet, "second") == kept.token_id
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_the_reserve_is_distrusted(stocked: Fleet) -> None:
    """Vault itself may be what leaked: the reserve goes too, and a person derives."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    arguments = ("rotate", "--compromised", "--distrust-reserve", "--target", "bot", "--yes")
    assert fleet.attempt(*arguments, environ=ALONE).code == 4
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert current(fleet) == old
    fleet.must(*arguments)
    assert not fleet.sandbox.state.token(old).live
    fleet.must("apply", "--yes")
    assert len(reserve(fleet)) == 1
    fleet.assert_whole()
    fleet.assert_quiet()


def test_an_emergency_without_a_reserve(fleet: Fleet) -> None:
    """The sentence says what is missing, and for which label."""
    fleet.begin(BOT)
    arguments = ("rotate", "--compromised", "--target", "bot", "--yes")
    with fleet.untouched():
        said = fleet.refused(4, *arguments, environ=ALONE)
    assert said.startswith("the reserve has nothing that is ready for bot, and an identity token")


def test_without_a_reserve_a_person_is_needed(fleet: Fleet) -> None:
    """What needs none is done first, and the exit says that a person is needed."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "30d"}
    fleet.begin({**BOT, "reserve": 1}, {"label": "second"})
    fleet.use("prod/bot")
    fleet.later(days=31)
    (kept,) = reserve(fleet)
    done = fleet.attempt("apply", "--yes", environ=ALONE)
    assert done.code == 4, done
    assert current(fleet) == kept.token_id
    assert "not tried: rotate second" in done.out


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"scopes": ["account_creation"]}, "not what the manifest wants"),
        ({"reserve": 0}, "one more than the manifest wants"),
        (None, "not what the manifest wants"),
    ],
    ids=["other scopes", "none wanted", "the label left"],
)
def test_what_no_longer_fits_goes(stocked: Fleet, change: dict[str, Any] | None, what: str) -> None:
    """A reserve that the manifest does not want any more is revoked by evidence."""
    fleet = stocked
    (kept,) = reserve(fleet)
    wanted = [] if change is None else [{**BOT, "reserve": 1, **change}]
    fleet.write(*wanted)
    assert what in fleet.must("plan").out
    fleet.must("apply", "--yes")
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert fleet.secret(kept.path, 1).state is VersionState.DELETED
    fleet.assert_quiet()


def test_one_that_is_too_old(stocked: Fleet) -> None:
    """It is never promoted, and goes only in the run that replaces it."""
    fleet = stocked
    (kept,) = reserve(fleet)
    fleet.defaults["reserve_age"] = "20d"
    fleet.defaults["rotate_after"] = "never"
    fleet.write({**BOT, "reserve": 1})
    fleet.later(days=21)
    with fleet.untouched():
        fleet.must("apply", "--yes", environ=ALONE)
    assert reserve(fleet) == (kept,)
    fleet.must("apply", "--yes")
    (other,) = reserve(fleet)
    assert other.token_id != kept.token_id
    assert not fleet.sandbox.state.token(kept.token_id).live
    fleet.assert_whole()
    fleet.assert_quiet()


def test_somebody_uses_a_reserve(stocked: Fleet) -> None:
    """It is neither promoted nor revoked: a person looks who reads there."""
    fleet = stocked
    (kept,) = reserve(fleet)
    fleet.later(minutes=5)
    fleet.use(kept.path)
    fleet.later(days=31)
    fleet.write({**BOT, "reserve": 0})
    done = fleet.attempt("apply", "--yes")
    assert done.code == 4, done
    assert "somebody uses a token of the reserve" in done.out
    assert current(fleet) != kept.token_id
    assert fleet.sandbox.state.token(kept.token_id).live


def test_stocked_up_to_where_the_exchange_ended_a_token(fleet: Fleet) -> None:
    """Where the exchange ends its oldest token for a stocking, the run names that one.

    The next runs stock nothing, say why, and are quiet; all else goes on. Once there is
    room, or 30 days later, the reserve is stocked.
    """
    theirs = fleet.sandbox.state.derive_by_hand("theirs").token_id
    fleet.begin(BOT, {"label": "second"})
    fleet.sandbox.state.configure(tokens_max=4)
    fleet.defaults = {"reserve": 1, "rotate_after": "never"}
    fleet.write(BOT, {"label": "second"})
    met = fleet.must("apply", "--yes")
    assert f"stocked, but {theirs} vanished meanwhile" in met.out
    assert "4 tokens live, and 4 tokens lived when a derive had ended another, at 2" in met.out
    assert met.last_line == "applied 1, failed 0, held 2, not tried 0"
    assert not fleet.sandbox.state.token(theirs).live
    (cap,) = fleet.ledger().cap
    assert cap.lived == 4
    assert len(reserve(fleet)) + len(reserve(fleet, "second")) == 1

    said = (
        "and the exchange may end another token for it: revoke tokens that nobody needs, or lower"
    )
    with fleet.untouched():
        plan = fleet.must("plan", "--detailed-exitcode")
        assert said in " ".join(plan.out.split())
        again, told = report(fleet, "apply", "--yes")
        assert again.code == 0, again
        assert [row["reason"] for row in told["holds"]] == ["reserve_capped"] * 2
        assert fleet.must("status", "--check").code == 0
        status = json.loads(fleet.must("status", "--format", "json").out)
        assert (status["capped"]["lived"], status["capped"]["live"]) == (4, 4)
        assert status["capped"]["labels"] == ["reconciler", "second"]
        words = " ".join(fleet.must("status").out.split())
        assert "reconciler, second: nothing is stocked. 4 tokens live, and 4 lived when" in words
        assert "reserve.capped" in fleet.attempt("doctor").out
    fleet.assert_quiet()

    fleet.must("rotate", "--target", "bot", "--yes")
    assert fleet.ledger().tokens["bot"].current is not None
    fleet.sandbox.state.configure(tokens_max=None)
    fleet.later(days=29)
    fleet.must("apply", "--yes")
    assert reserve(fleet, "second") == ()
    fleet.later(days=2)
    fleet.must("apply", "--yes")
    assert len(reserve(fleet, "second")) == len(reserve(fleet)) == 1
    assert fleet.ledger().cap == ()
    fleet.assert_quiet()
