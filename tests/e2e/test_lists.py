"""What a list proves, and what an answer does not, on real processes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation
from reconciler.sandbox.answers import ErrorShape
from tests.e2e.conftest import NewFleet
from tests.support.fleet import Fleet

BOT = {"label": "bot", "path": "prod/bot"}
ROTATE = ("rotate", "--target", "bot", "--yes", "--report", "report.json")
SHAM = Fault(kind=FaultKind.NOTHING_DONE, operation=Operation.REVOKE)


def report(fleet: Fleet) -> dict[str, list[dict[str, object]]]:
    """What the last run with a report said."""
    document: dict[str, list[dict[str, object]]] = json.loads(
        (fleet.folder / "report.json").read_text()
    )
    return document


def ids(fleet: Fleet, label: str = "bot") -> list[str]:
    """The live ids of a label, oldest first."""
    return [token.token_id for token in fleet.live(label)]


# --- a revocation is closed by a list ---


def test_a_page_is_no_revocation(fleet: Fleet) -> None:
    """An edge answers the DELETE of a stolen token with a page and 200.

    The run says so, once; the token stays revoking and is no twin; an hour later it is
    asked again, and gone.
    """
    fleet.begin(BOT)
    (stolen,) = ids(fleet)
    fleet.sandbox.faults.add(SHAM)
    done = fleet.attempt(*ROTATE, "--compromised")
    assert done.code == 5, done
    assert done.last_line == "applied 0, failed 1, held 0, not tried 0"
    (row,) = report(fleet)["rows"]
    assert (row["status"], row["revoked"]) == ("failed", [])
    assert stolen in str(row["outcome"])
    assert stolen in ids(fleet)

    again = fleet.must("apply", "--yes")
    assert "still lists it" in again.out, again
    assert "twin" not in fleet.must("plan").out
    fleet.assert_quiet()
    assert stolen in ids(fleet)

    fleet.later(minutes=61)
    fleet.must("apply", "--yes")
    assert stolen not in ids(fleet)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_documented_answer_is_no_revocation_either(fleet: Fleet) -> None:
    """The same with the documented answer, and it holds nothing of the label up."""
    fleet.begin(BOT)
    (stolen,) = ids(fleet)
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.NOTHING_DONE, operation=Operation.REVOKE, shape=ErrorShape.MESSAGE)
    )
    assert fleet.attempt(*ROTATE, "--compromised").code == 5
    fleet.must(*ROTATE)
    assert [row["status"] for row in report(fleet)["rows"]] == ["applied"]
    assert stolen in ids(fleet)
    fleet.later(minutes=61)
    fleet.must("apply", "--yes")
    assert stolen not in ids(fleet)
    fleet.assert_whole()


def test_an_id_that_is_not_found_is_settled_by_the_list(fleet: Fleet) -> None:
    """Each DELETE is answered with 404: by an edge while the token lives, and then by
    whoever knows no such id. The list tells the two apart.
    """
    fleet.begin(BOT)
    fleet.write()
    edge = Fault(kind=FaultKind.ERROR_BEFORE, operation=Operation.REVOKE, status=404, count=None)
    fleet.sandbox.faults.add(edge)
    assert "not revoked yet" in fleet.attempt("apply", "--yes").out
    assert len(ids(fleet)) == 1
    fleet.sandbox.faults.clear()
    fleet.sandbox.faults.add(dataclasses.replace(edge, kind=FaultKind.ERROR_AFTER))
    fleet.must("apply", "--yes")
    assert ids(fleet) == []
    fleet.assert_quiet()


def test_a_lost_answer_is_settled_by_the_list(fleet: Fleet) -> None:
    """The DELETE was done and its answers were lost: the list proves it in this run."""
    fleet.begin(BOT)
    fleet.write()
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.LOST_REPLY, operation=Operation.REVOKE, count=None)
    )
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_compromised_rotation_names_what_it_revoked(fleet: Fleet) -> None:
    """Every id, in text and report, and no word of one that lives on."""
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(BOT)
    fleet.must(*ROTATE)
    old = ids(fleet)
    plan = fleet.attempt("rotate", "--target", "bot", "--compromised", "--report", "report.json")
    assert plan.code == 64, "nobody to ask"
    done = fleet.must(*ROTATE, "--compromised")
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    assert all(token_id in done.out for token_id in old), done
    assert "lives on" not in done.out
    document = report(fleet)
    assert document["holds"] == []
    (row,) = document["rows"]
    assert sorted(row["revoked"]) == sorted(old)  # type: ignore[call-overload]
    assert not set(old) & set(ids(fleet))
    fleet.assert_quiet()


def test_a_revoked_token_that_lives_again(fleet: Fleet) -> None:
    """A list that lacks it let the ledger close it, and it was never revoked.

    Within the hour the list may lag; later it is revoked once more, and it is never
    called a twin.
    """
    fleet.begin(BOT)
    (stolen,) = ids(fleet)
    fleet.sandbox.faults.add(SHAM)
    fleet.sandbox.faults.add(
        Fault(
            kind=FaultKind.PARTIAL_LIST,
            operation=Operation.LIST,
            leaves_out=(stolen,),
            skip=3,
            count=None,
        )
    )
    fleet.attempt(*ROTATE, "--compromised")
    fleet.sandbox.faults.clear()
    assert fleet.ledger().tokens["bot"].revoking == ()
    assert stolen in ids(fleet)
    with fleet.untouched():
        assert "twin" not in fleet.must("apply", "--yes").out + fleet.must("plan").out
    fleet.later(minutes=61)
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    assert stolen in done.out
    assert stolen not in ids(fleet)
    fleet.assert_whole()
    fleet.assert_quiet()


# --- what can't be asked is not proven gone ---


def test_a_partial_list_and_a_lost_secret(fleet: Fleet) -> None:
    """The list lacks a predecessor, whose secret was destroyed: its consumer goes on.

    It is held with a reason of its own, without a write after the first time; once it
    is listed again, it goes by evidence as any other.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=1)
    fleet.must(*ROTATE)
    with fleet.operator() as client:
        client.secrets.kv.v2.destroy_secret_versions(
            path=f"{fleet.prefix}/prod/bot", versions=[1], mount_point=fleet.mount
        )
    fleet.later(hours=2)
    partial = Fault(
        kind=FaultKind.PARTIAL_LIST, operation=Operation.LIST, leaves_out=(old,), count=None
    )
    fleet.sandbox.faults.add(partial)
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 0, failed 0, held 1, not tried 0", done
    assert "forget" in done.out
    assert old in ids(fleet)
    fleet.assert_quiet()
    assert "nobody can ask" in fleet.must("plan").out
    fleet.sandbox.faults.clear()
    assert "nobody can ask" not in fleet.must("plan").out


def test_a_removed_label_whose_secret_is_lost(fleet: Fleet) -> None:
    """The same for the token of a label that left the manifest."""
    fleet.begin(BOT)
    (old,) = ids(fleet)
    with fleet.operator() as client:
        client.secrets.kv.v2.destroy_secret_versions(
            path=f"{fleet.prefix}/prod/bot", versions=[1], mount_point=fleet.mount
        )
    fleet.write()
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.PARTIAL_LIST, operation=Operation.LIST, leaves_out=(old,), count=None)
    )
    fleet.must("apply", "--yes")
    assert old in ids(fleet)
    fleet.assert_quiet()


# --- who made what is listed ---


def interrupt(fleet: Fleet) -> None:
    """A derive of the label bot is done, and its answer is lost."""
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    assert fleet.attempt("apply", "--yes").code == 5


def test_an_interrupted_token_is_revoked(fleet: Fleet) -> None:
    """The only one that it can be, once uses are proven to be shown."""
    interrupt(fleet)
    (lost,) = ids(fleet)
    done = fleet.must("apply", "--yes")
    assert f"the interrupted token {lost}" in done.out
    assert lost not in ids(fleet)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_persons_token_of_other_scopes_is_not_the_interrupted_one(fleet: Fleet) -> None:
    """Of the same label and minute; the derive itself made nothing."""
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.CLOSE_BEFORE, operation=Operation.DERIVE))
    assert fleet.attempt("apply", "--yes").code == 5
    mine = fleet.sandbox.state.derive_by_hand(label="bot", scopes=("withdrawal",))
    fleet.later(minutes=2)
    done = fleet.attempt("apply", "--yes")
    assert done.code == 4, "it is a twin, which a person decides about"
    assert mine.token_id in ids(fleet)
    assert "probably ours" not in done.err


@pytest.mark.parametrize("landed", [True, False], ids=["beside the lost one", "alone"])
def test_a_persons_token_called_like_the_manager(fleet: Fleet, *, landed: bool) -> None:
    """A bootstrap has no list of the time before: whatever unused token of its label
    and minute lives, none is taken for the one that was lost.
    """
    fleet.write()
    kind = FaultKind.LOST_REPLY if landed else FaultKind.CLOSE_BEFORE
    fleet.sandbox.faults.add(Fault(kind=kind, operation=Operation.DERIVE))
    assert fleet.attempt("bootstrap").code == 5
    mine = fleet.sandbox.state.derive_by_hand(label="reconciler")
    before = set(ids(fleet, "reconciler"))
    fleet.later(minutes=2)
    for command in (("bootstrap",), ("apply", "--yes"), ("apply", "--yes")):
        fleet.attempt(*command)
        fleet.later(hours=2)
    assert before < set(ids(fleet, "reconciler")), "nothing was revoked, and one was derived"
    assert f"{mine.token_id} (reconciler): probably ours" in fleet.attempt("apply", "--yes").err
    fleet.assert_quiet()


@pytest.mark.parametrize("seconds", [0, 20, 200])
def test_another_teams_token_of_the_same_label_and_scopes(fleet: Fleet, seconds: int) -> None:
    """Made after a derive whose answer was lost, and never used: while both live none
    is revoked, because either may be ours; both are named, or it is a twin.
    """
    interrupt(fleet)
    (lost,) = ids(fleet)
    fleet.later(seconds=seconds)
    theirs = fleet.sandbox.state.derive_by_hand(label="bot").token_id
    fleet.later(minutes=10)
    done = fleet.attempt("apply", "--yes")
    assert {lost, theirs} <= set(ids(fleet)), done
    assert f"{lost} (bot): probably ours" in done.err
    assert theirs in fleet.must("plan").out


def test_nothing_is_inferred_where_uses_are_not_shown(new_fleet: NewFleet) -> None:
    """The token is named instead, and goes on being named until a person forgets it."""
    with new_fleet(last_used_grain_ms=None) as fleet:
        interrupt(fleet)
        (lost,) = ids(fleet)
        done = fleet.attempt("apply", "--yes")
        assert done.code == 4
        assert lost in ids(fleet)
        assert f"{lost} (bot): probably ours" in done.err
        fleet.later(days=9)
        assert "probably ours" in fleet.must("plan").out
        assert "probably ours" in fleet.must("status").out

        assert fleet.attempt("forget", "--token-id", lost).code == 64, "nobody to ask"
        fleet.must("forget", "--token-id", lost[:6], "--yes")
        assert fleet.ledger().abandoned == ()
        assert "probably ours" not in fleet.must("plan").out + fleet.must("status").out
        assert lost in ids(fleet)
        with fleet.untouched():
            assert "already" in fleet.must("forget", "--token-id", lost, "--yes").out
            assert "nothing is remembered" in fleet.refused(
                1, "forget", "--token-id", "none", "--yes"
            )


def test_one_partial_list_forgets_no_lost_token(new_fleet: NewFleet) -> None:
    """Nine days after a derive without an answer, a run that writes gets a list without
    the lost token: it is named again as soon as it is listed again. Once it is gone for
    more than a day, nothing is remembered any more.
    """
    with new_fleet(last_used_grain_ms=None) as fleet:
        interrupt(fleet)
        (lost,) = ids(fleet)
        fleet.attempt("apply", "--yes")
        fleet.later(days=9)
        fleet.sandbox.state.configure(list_without=(lost,))
        fleet.must("rotate", "--target", "reconciler", "--yes")
        fleet.sandbox.state.configure(list_without=())
        assert "probably ours" in fleet.must("plan").out
        fleet.later(days=2)
        fleet.must("rotate", "--target", "reconciler", "--yes")
        assert "probably ours" in fleet.must("plan").out
        fleet.sandbox.state.revoke_by_hand(lost)
        for _ in range(2):
            fleet.must("rotate", "--target", "reconciler", "--yes")
            fleet.later(days=2)
        assert fleet.ledger().abandoned == ()


def test_a_token_of_a_later_day_in_use_is_not_ours(new_fleet: NewFleet) -> None:
    """Six days after a derive was given up, a person makes one with its label."""
    with new_fleet(last_used_grain_ms=None) as fleet:
        interrupt(fleet)
        (lost,) = ids(fleet)
        fleet.attempt("apply", "--yes")
        assert "probably ours" in fleet.must("plan").out
        fleet.sandbox.state.revoke_by_hand(lost)
        fleet.sandbox.state.configure(last_used_grain_ms=1)
        fleet.later(days=6)
        mine = fleet.sandbox.state.derive_by_hand(label="bot", scopes=("trading",))
        assert "perhaps ours" in fleet.must("plan").out
        fleet.sandbox.state.touch(mine.token_id)
        plan = fleet.must("plan").out
        assert "probably ours" not in plan
        assert "perhaps ours" not in plan


def test_a_lost_token_whose_label_was_changed_is_named(new_fleet: NewFleet) -> None:
    """An exchange that lowers labels: the derive works, and its loss is named."""
    spec = {"label": "Desk Bot", "path": "prod/bot"}
    with new_fleet(label_forms=("trim", "lower", "nfc")) as fleet:
        fleet.begin(spec)
        assert fleet.ledger().tokens["Desk Bot"].current is not None
        fleet.assert_quiet()
        fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
        assert fleet.attempt("rotate", "--target", "Desk Bot", "--yes").code == 5
        lost = ids(fleet, "desk bot")[-1]
        fleet.later(minutes=1)
        done = fleet.must("apply", "--yes")
        assert f"{lost} (desk bot): probably ours" in done.err
        assert "probably ours" in fleet.must("plan").out
        fleet.must("rotate", "--target", "Desk Bot", "--yes")
        fleet.must("forget", "--token-id", lost, "--yes")
        assert "probably ours" not in fleet.must("plan").out
        fleet.write()
        fleet.must("apply", "--yes", "--revoke-in-use", "--revoke-unproven")


def test_a_lost_token_whose_label_was_cut_short_is_named(new_fleet: NewFleet) -> None:
    """By an exchange that keeps twelve characters: too few to tell it by them alone."""
    spec = {"label": "market-maker-eu", "path": "prod/bot"}
    with new_fleet(label_cut=12) as fleet:
        fleet.begin()
        fleet.write(spec)
        fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
        assert fleet.attempt("apply", "--yes").code == 5
        (lost,) = ids(fleet, "market-maker")
        fleet.later(minutes=1)
        done = fleet.attempt("apply", "--yes")
        assert f"{lost} (market-maker): perhaps ours" in done.err
        assert ids(fleet, "market-maker") == [lost], "what is called otherwise is not kept"
        assert "perhaps ours" in fleet.must("plan").out
        assert "perhaps ours" in fleet.must("status").out
        fleet.must("forget", "--token-id", lost, "--yes")
        assert "perhaps ours" not in fleet.must("plan").out
        assert lost in ids(fleet, "market-maker")


@pytest.mark.parametrize(
    ("scopes", "used", "said"),
    [((), False, "perhaps ours"), (("trading",), True, "probably ours")],
    ids=["fewer scopes", "its making counts as a use"],
)
def test_a_lost_token_that_is_otherwise_is_named(
    fleet: Fleet, scopes: tuple[str, ...], said: str, *, used: bool
) -> None:
    """The answer to a derive is lost, and the token is not what was asked for, or the
    exchange shows it as used when it was made.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.CLOSE_BEFORE, operation=Operation.DERIVE))
    assert fleet.attempt("apply", "--yes").code == 5
    lost = fleet.sandbox.state.derive_by_hand(label="bot", scopes=scopes)
    if used:
        fleet.sandbox.state.touch(lost.token_id, lost.created_at_ms)
    fleet.later(minutes=2)
    assert f"{lost.token_id} (bot): {said}" in fleet.attempt("apply", "--yes").err
    assert lost.token_id in ids(fleet), "nobody knows it, so nobody revokes it"


def test_a_missing_token_is_forgotten(fleet: Fleet) -> None:
    """A person knows that it is gone, and nothing is asked any more."""
    fleet.begin(BOT)
    (old,) = ids(fleet)
    with fleet.operator() as client:
        client.secrets.kv.v2.destroy_secret_versions(
            path=f"{fleet.prefix}/prod/bot", versions=[1], mount_point=fleet.mount
        )
    fleet.write()
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.PARTIAL_LIST, operation=Operation.LIST, leaves_out=(old,), count=None)
    )
    fleet.must("apply", "--yes")
    fleet.must("forget", "--token-id", old, "--yes")
    assert "bot" not in fleet.ledger().tokens
    fleet.assert_quiet()
