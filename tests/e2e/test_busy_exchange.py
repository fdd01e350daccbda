"""An exchange that is busy, far away, or lists what can't be read."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation
from tests.support.exchange_path import ExchangePath, busy_reply
from tests.support.fleet import Fleet, pause_between_processes
from tests.support.loopback import LoopbackServer, Reply, Request, passed_on

BOT = {"label": "bot"}
BUSY = Fault(kind=FaultKind.RATE_LIMIT, operation=Operation.DERIVE)
LATER = r"run again after \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"

Rewrite = Callable[[Any], Any]
"""What becomes of a document on its way to us."""


@contextmanager
def rewritten(fleet: Fleet, path: str, change: Rewrite) -> Iterator[None]:
    """The fleet's exchange at the same address as before, but a document differs."""
    behind = fleet.sandbox.url

    def answer(request: Request) -> Reply:
        reply = passed_on(request, behind)
        if request.target != path or reply.body is None:
            return reply
        document = change(json.loads(reply.body))
        if isinstance(document, Reply):
            return document
        return Reply(status=reply.status, body=json.dumps(document).encode())

    with LoopbackServer(answer) as server:
        fleet.environ["LIMITLESS_API_URL"] = server.url
        yield


# --- 429 ---


@pytest.mark.parametrize("retry_after_s", [None, 1])
def test_a_busy_derive_is_sent_again(fleet: Fleet, retry_after_s: int | None) -> None:
    """A 429 costs time and no token: the same run derives all, each once."""
    fleet.begin()
    fleet.write(BOT, {"label": "two"})
    fleet.sandbox.faults.add(dataclasses.replace(BUSY, count=3, retry_after_s=retry_after_s))
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert [len(fleet.live(label)) for label in ("bot", "two")] == [1, 1]
    assert fleet.sandbox.state.count(Operation.DERIVE) == 1 + 2 + 3
    fleet.assert_quiet()


def test_a_pause_of_an_hour_ends_the_deriving(fleet: Fleet) -> None:
    """What was derived is finished, nothing more is sent, and the report says when to
    come back; the next run does the rest.
    """
    fleet.begin()
    fleet.write(BOT, {"label": "two"}, {"label": "three"})
    fleet.sandbox.faults.add(dataclasses.replace(BUSY, skip=1, retry_after_s=3600))
    done = fleet.attempt("apply", "--yes")
    assert done.code == 5
    assert done.last_line.startswith("applied 1, failed "), done
    assert len(re.findall(LATER, done.out)) >= 2
    assert fleet.sandbox.state.count(Operation.DERIVE) == 1 + 2
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_before_the_first_write_a_pause_of_an_hour_is_an_error(fleet: Fleet) -> None:
    """Capabilities or list: exit 1 with the time, and nothing was written."""
    fleet.begin()
    fleet.write(BOT)
    for operation in (Operation.CAPABILITIES, Operation.LIST):
        with fleet.untouched():
            fleet.sandbox.faults.add(
                dataclasses.replace(BUSY, operation=operation, retry_after_s=3600)
            )
            assert re.search(LATER, fleet.refused(1, "apply", "--yes"))


def test_an_edge_that_is_busy_blames_no_credential(fleet: Fleet) -> None:
    """A page of the edge that asks for a century: one sentence, at once."""
    edge: list[Reply | None] = [None]
    path = ExchangePath(fleet.sandbox.url, edge=lambda _: edge[0])
    with path.serving() as url:
        fleet.environ["LIMITLESS_API_URL"] = url
        fleet.begin(BOT)
        edge[0] = busy_reply(retry_after="3155760000", page=True)
        asked = len(path.arrivals)
        for command in (("plan",), ("apply", "--yes"), ("verify",)):
            said = fleet.refused(1, *command)
            assert "too many requests from this machine or network" in said
            assert "ask the exchange before you run again" in said
            assert "credential" not in said
        assert len(path.arrivals) - asked == 3


def test_busy_while_another_run_is_at_work(fleet: Fleet) -> None:
    """That run is what uses the manager's pace up: a look names it, and exits 6."""
    fleet.begin(BOT)
    busy = dataclasses.replace(BUSY, operation=Operation.LIST, retry_after_s=3600, count=None)
    fleet.sandbox.faults.add(busy)
    assert "is at work" not in fleet.refused(1, "plan")
    fleet.lend_lease(60)
    for command in (("plan",), ("status", "--check"), ("apply", "--yes")):
        said = fleet.refused(6, *command)
        assert re.search(LATER, said)
        assert "run another (elsewhere:1) is at work, and asks with the same token" in said


# --- jitter ---


def test_jitter_on_the_path(fleet: Fleet) -> None:
    """With limits on and up to 60 ms of jitter, both ways, an apply meets no 429."""
    path = ExchangePath(fleet.sandbox.url, jitter_ms=60, both_ways=True, seed=3)
    with path.serving() as url:
        fleet.environ["LIMITLESS_API_URL"] = url
        fleet.write(BOT, {"label": "two"})
        fleet.must("bootstrap")
        pause_between_processes()
        fleet.sandbox.state.configure(limits=True)
        fleet.ok("apply", "--yes")
    fleet.sandbox.state.configure(limits=False)
    assert 429 not in {call.status for call in fleet.sandbox.state.calls}
    fleet.environ["LIMITLESS_API_URL"] = fleet.sandbox.url
    fleet.assert_whole()


# --- entries that can't be read ---


def spoiled(label: str, fields: Mapping[str, object]) -> Rewrite:
    """The list with the fields of a label's entry changed."""

    def change(rows: Any) -> Any:
        if not isinstance(rows, list):
            return rows
        return [{**row, **fields} if row["label"] == label else row for row in rows]

    return change


@pytest.mark.parametrize(
    "fields", [{"scopes": None}, {"createdAt": None}, {"label": 7}, {"tokenId": None}]
)
def test_somebody_elses_entry_stops_no_emergency(fleet: Fleet, fields: dict[str, object]) -> None:
    """It is counted, told with its place, and left alone; ours are rotated."""
    theirs = fleet.sandbox.state.derive_by_hand("theirs")
    with rewritten(fleet, "/auth/api-tokens", spoiled("theirs", fields)):
        fleet.begin(BOT)
        old = fleet.live("bot")[0].token_id
        done = fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
        (warning,) = [line for line in done.err.splitlines() if line.startswith("warning: entry ")]
        assert "of the exchange's list" in warning
        assert "it isn't ours" in warning
        assert "LIMITLESS_API_URL" not in done.err
        assert json.loads(fleet.must("plan", "--format", "json").out)["foreign_unnamed"] == 1
    assert not fleet.sandbox.state.token(old).live
    assert fleet.sandbox.state.token(theirs.token_id).live


@pytest.mark.parametrize("label", ["bot", "new"])
def test_an_entry_of_ours_is_an_error(fleet: Fleet, label: str) -> None:
    """A current token's, or a twin's of a label that is wanted: it is named."""
    change: list[Rewrite] = []

    def changed(rows: Any) -> Any:
        return change[0](rows) if change else rows

    with rewritten(fleet, "/auth/api-tokens", changed):
        fleet.begin(BOT)
        if label == "new":
            fleet.sandbox.state.derive_by_hand(label)
            fleet.write(BOT, {"label": "new"})
        token_id = fleet.live(label)[0].token_id
        change.append(spoiled(label, {"scopes": None}))
        with fleet.untouched():
            said = fleet.refused(1, "rotate", "--target", "bot", "--compromised", "--yes")
    assert f"({token_id}) can't be read: its scopes are no list of names" in said
    assert "LIMITLESS_API_URL" not in said


# --- the profile ---


def test_a_pair_of_another_profile(fleet: Fleet) -> None:
    """A pair from the environment is asked for its profile, and so is one to adopt;
    where the exchange does not say, nothing is checked.
    """
    profile: list[Any] = [{"id": 42}]
    with rewritten(fleet, "/profiles/me", lambda _: profile[0]):
        fleet.begin(BOT)
        mine = fleet.sandbox.state.derive_by_hand("mine")
        pair = {"LIMITLESS_TOKEN_ID": mine.token_id, "LIMITLESS_TOKEN_SECRET": mine.secret}
        commands: tuple[tuple[str, ...], ...] = (("plan",), ("status",), ("apply", "--yes"))
        for command in commands:
            fleet.must(*command, environ=pair)
        hand = fleet.sandbox.state.derive_by_hand("hand")
        fleet.write(BOT, {"label": "hand"})
        adopt = ("adopt", "--label", "hand", "--token-id", hand.token_id)
        profile[0] = {"id": 7}
        with fleet.untouched():
            for command in commands:
                said = fleet.refused(1, *command, environ=pair)
                assert said.startswith(
                    "LIMITLESS_TOKEN_ID belongs to profile 7, the ledger to profile 42"
                )
            said = fleet.refused(1, *adopt, text=hand.secret)
            assert said.startswith(f"the token {hand.token_id} belongs to profile 7, ")
        odd: tuple[Any, ...] = (Reply(status=404, document={}), {"id": "7"}, [], {"id": True})
        for profile[0] in odd:
            fleet.must("plan", environ=pair)
        fleet.must(*adopt, text=hand.secret)


def test_the_ledgers_own_signer_is_not_asked(fleet: Fleet) -> None:
    """Its profile is known, so a plan and a quiet apply make no call more."""
    fleet.begin(BOT)
    fleet.must("plan")
    fleet.assert_quiet()
    assert fleet.sandbox.state.count(Operation.PROFILE) == 0
