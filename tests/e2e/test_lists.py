"""What a list proves, and what an answer does not, on real processes."""

from __future__ import annotations

import json

from reconciler.sandbox import Fault, FaultKind, Operation
from reconciler.sandbox.answers import ErrorShape
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
