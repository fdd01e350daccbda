"""The sandbox where it is as unkind as the documentation allows: uses that are late,
coarse, rare or never shown, a wrong Date, a DELETE that does nothing, a cap, changed
labels, more scopes, partial lists; and the two calls besides the four.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from reconciler.sandbox import Fault, FaultKind, Operation, SandboxConfig
from tests.adapters.test_sandbox import NOON_MS, UNPACED, Got, Lab, Peer, opened, signed

SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
BASE = "/auth/api-tokens"


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A sandbox without limits."""
    with opened() as one:
        yield one


def shown(lab: Lab, token_id: str) -> str | None:
    """The last use that the list shows of a token."""
    (row,) = (row for row in lab.list() if row["tokenId"] == token_id)
    used_at: str | None = row["lastUsedAt"]
    return used_at


def shown_after(lab: Lab, *events: tuple[int, str]) -> list[str | None]:
    """What a list shows at each ``list`` of the events; instants are seconds from noon.

    The answer holds the time of day without its hour.
    """
    token = lab.state.derive_by_hand("bot")
    told: list[str | None] = []
    for at_s, what in events:
        lab.now_ms = NOON_MS + at_s * SECOND_MS
        if what == "use":
            lab.state.touch(token.token_id)
        else:
            used_at = shown(lab, token.token_id)
            told.append(used_at and used_at[14:19])
    return told


def test_uses_are_shown_late() -> None:
    """Each use waits its minute, and until then the one before it is shown."""
    lab = Lab(last_used_after_ms=MINUTE_MS)
    events = [(0, "use"), (1, "list"), (30, "use"), (59, "list"), (60, "list"), (90, "list")]
    assert shown_after(lab, *events) == [None, None, "00:00", "00:30"]


def test_uses_that_are_written_rarely() -> None:
    """Within the hour after a written use, another one is not written."""
    lab = Lab(last_used_every_ms=HOUR_MS)
    events = [(0, "use"), (1, "list"), (3_599, "use"), (3_599, "list"), (3_600, "use")]
    assert shown_after(lab, *events, (3_600, "list")) == ["00:00", "00:00", "00:00"]
    token = lab.state.tokens()[-1]
    assert token.written_uses_ms == (NOON_MS, NOON_MS + HOUR_MS)
    assert token.last_used_at_ms == NOON_MS + HOUR_MS


def test_the_true_use_is_known_to_whoever_looks_on() -> None:
    """Only the list is coarse: a test can see what really happened."""
    lab = Lab(last_used_every_ms=HOUR_MS, last_used_after_ms=MINUTE_MS)
    shown_after(lab, (0, "use"), (10, "use"))
    assert lab.state.tokens()[-1].last_used_at_ms == NOON_MS + 10 * SECOND_MS


def test_late_coarse_and_rare_together() -> None:
    """A use is written or not, then it waits, then it is rounded."""
    lab = Lab(last_used_every_ms=90_000, last_used_after_ms=MINUTE_MS, last_used_grain_ms=MINUTE_MS)
    events = [(30, "use"), (100, "use"), (125, "use"), (89, "list"), (90, "list"), (186, "list")]
    assert shown_after(lab, *events) == [None, "00:00", "02:00"]


@pytest.mark.parametrize(
    ("settings", "sent", "kept"),
    [
        ({}, " Bot\u0065\u0301 ", " Bot\u0065\u0301 "),
        ({"label_forms": ("trim",)}, " Bot ", "Bot"),
        ({"label_forms": ("lower",)}, "Bot", "bot"),
        ({"label_forms": ("nfc",)}, "e\u0301", "\u00e9"),
        ({"label_forms": ("trim", "lower", "nfc"), "label_cut": 2}, " E\u0301AB", "\u00e9a"),
        ({"label_cut": 3}, "market-maker", "mar"),
    ],
)
def test_labels_are_changed_before_they_are_kept(
    settings: dict[str, Any], sent: str, kept: str
) -> None:
    """Trimmed, in lower case, composed, cut: whatever the settings name."""
    assert Lab(**settings).state.derive_by_hand(sent).label == kept


def test_a_cap_ends_the_oldest_token() -> None:
    """Beyond it each derive costs the oldest token of the same profile its life."""
    with opened(SandboxConfig(limits=False, tokens_max=2)) as peer:
        made = [peer.derive(name).json for name in ("one", "two", "three", "four")]
        statuses = [peer.list(token).status for token in made]
        assert statuses == [401, 401, 200, 200]
        assert {row["label"] for row in peer.list(made[3]).json} == {"three", "four"}


def test_one_scope_more_is_granted() -> None:
    """The reply and the list show it beside what was asked for."""
    with opened(SandboxConfig(limits=False, extra_scope="admin")) as peer:
        token = peer.derive("bot", scopes=["trading"]).json
        assert token["scopes"] == ["trading", "admin"]
        assert [row["scopes"] for row in peer.list(token).json] == [["trading", "admin"]]


def test_a_list_leaves_out_given_tokens_and_its_last_rows() -> None:
    """For good as a setting, or once as a fault."""
    lab = Lab()
    for number in range(4):
        lab.state.derive_by_hand(f"bot-{number}")
    whole = [row["tokenId"] for row in lab.list()]
    lab.state.configure(list_without=(whole[0],), list_without_last=2)
    assert [row["tokenId"] for row in lab.list()] == whole[1:3]
    lab.state.configure(list_without=(), list_without_last=9)
    assert lab.list() == []


def test_a_partial_list_as_a_fault_hits_once(peer: Peer) -> None:
    """The next list is partial, the one after it whole."""
    manager, bot = peer.derive("manager").json, peer.derive("bot").json
    peer.sandbox.faults.add(
        Fault(kind=FaultKind.PARTIAL_LIST, operation=Operation.LIST, leaves_out=(bot["tokenId"],)),
        Fault(kind=FaultKind.PARTIAL_LIST, operation=Operation.LIST, leaves_out_last=1),
    )
    lists = [{row["tokenId"] for row in peer.list(manager).json} for _ in range(3)]
    assert lists[0] == {manager["tokenId"]}
    assert len(lists[1]) == 1
    assert lists[2] == {manager["tokenId"], bot["tokenId"]}


@pytest.mark.parametrize(
    ("shape", "status", "expected"),
    [
        (None, None, (200, "text/html; charset=utf-8")),
        ("message", 202, (202, "application/json; charset=utf-8")),
        ("empty", 204, (204, "text/plain; charset=utf-8")),
    ],
)
def test_a_delete_is_answered_and_does_nothing(
    peer: Peer, shape: str | None, status: int | None, expected: tuple[int, str]
) -> None:
    """An edge's page, or any other success: the token lives on."""
    manager, bot = peer.derive("manager").json, peer.derive("bot").json
    fault = {"kind": "nothing_done", "operation": "revoke", "shape": shape, "status": status}
    assert peer.control("POST", "faults", fault).status == 200
    reply = peer.revoke(manager, bot["tokenId"])
    assert (reply.status, reply.headers["content-type"]) == expected
    assert peer.list(bot).status == 200
    assert peer.revoke(manager, bot["tokenId"]).status == 200
    assert peer.list(bot).status == 401


def off_s(reply: Got) -> int:
    """How far the Date of a reply is from this machine's time, in whole seconds."""
    return round(parsedate_to_datetime(reply.headers["date"]).timestamp() - time.time())


def near(seconds: int) -> Any:
    """The number, give or take the second that Date is cut to."""
    return pytest.approx(seconds, abs=2)


def test_the_date_is_wrong_in_the_next_replies_only(peer: Peer) -> None:
    """A count, and then it is right again; the signature's window never moves."""
    manager = peer.derive("manager").json
    fault = {"kind": "wrong_date", "date_shift_ms": HOUR_MS, "count": 2, "operation": "list"}
    assert peer.control("POST", "faults", fault).status == 200
    assert off_s(peer.identity("GET", f"{BASE}/capabilities")) == near(0)
    replies = [peer.list(manager) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    assert [off_s(reply) for reply in replies] == [near(3_600), near(3_600), near(0)]
    assert [call.fault for call in peer.sandbox.state.calls][-3:] == [
        "wrong_date",
        "wrong_date",
        None,
    ]


def test_the_date_is_wrong_beside_another_fault_and_a_refusal(peer: Peer) -> None:
    """It is a matter of the reply: whatever else was done to the call."""
    peer.sandbox.faults.add(
        Fault(kind=FaultKind.WRONG_DATE, date_shift_ms=-HOUR_MS, count=None),
        Fault(kind=FaultKind.MAINTENANCE),
    )
    first, second = peer.call("GET", BASE), peer.call("GET", BASE)
    assert (first.status, off_s(first)) == (503, near(-3_600))
    assert (second.status, off_s(second)) == (401, near(-3_600))


def test_the_date_is_wrong_for_good() -> None:
    """In every reply, while signatures, ages and uses follow the true clock."""
    with opened(SandboxConfig(limits=False, date_shift_ms=2 * MINUTE_MS)) as peer:
        manager = peer.derive("manager").json
        reply = peer.list(manager)
        assert (reply.status, off_s(reply)) == (200, near(120))
        late = peer.call(
            "GET",
            BASE,
            signed(manager["tokenId"], manager["secret"], "GET", BASE, offset_s=120.0),
        )
        assert late.status == 401


def test_the_profile_is_told_to_whoever_signs(peer: Peer) -> None:
    """401 without credentials, or with an identity; a use like any other."""
    manager = peer.derive("manager").json
    reply = peer.by_token(manager, "GET", "/profiles/me")
    assert reply.status == 200
    assert reply.json == {
        "id": 42,
        "account": SandboxConfig().account,
        "tradeWalletOption": "eoa",
        "rank": {"feeRateBps": 300},
    }
    assert peer.call("GET", "/profiles/me").status == 401
    assert peer.identity("GET", "/profiles/me").status == 401
    assert peer.list(manager).json[0]["lastUsedAt"] is not None
    peer.sandbox.state.configure(management_enabled=False)
    assert peer.by_token(manager, "GET", "/profiles/me").status == 200


def test_maintenance_is_told_to_everybody(peer: Peer) -> None:
    """While there is some, all else is a 503."""
    manager = peer.derive("manager").json
    reply = peer.call("GET", "/maintenance/status")
    assert (reply.status, reply.json) == (200, {"active": False, "scheduled": False})
    assert peer.control("POST", "config", {"maintenance": True}).status == 200
    assert peer.call("GET", "/maintenance/status").json["active"] is True
    assert [peer.list(manager).status, peer.derive("bot").status] == [503, 503]
    assert peer.control("POST", "config", {"maintenance": False}).status == 200
    assert peer.list(manager).status == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "wrong_date"},
        {"kind": "wrong_date", "date_shift_ms": 10**15},
        {"kind": "partial_list"},
        {"kind": "partial_list", "leaves_out_last": -1},
        {"kind": "delay", "date_shift_ms": 1},
        {"kind": "delay", "leaves_out_last": 1},
        {"kind": "nothing_done", "status": 500},
        {"kind": "error_after", "status": 200},
    ],
)
def test_a_fault_that_can_not_be_is_refused(peer: Peer, fault: dict[str, object]) -> None:
    """A setting goes with its kind, and within its bounds."""
    assert peer.control("POST", "faults", fault).status == 400
    assert peer.control("GET", "faults").json == []


@pytest.mark.parametrize(
    "settings",
    [
        {"tokens_max": 0},
        {"label_forms": ["upper"]},
        {"label_cut": 0},
        {"extra_scope": ""},
        {"list_without_last": -1},
        {"last_used_after_ms": -1},
        {"last_used_every_ms": -1},
        {"date_shift_ms": 10**15},
    ],
)
def test_a_setting_that_can_not_be_is_refused(peer: Peer, settings: dict[str, object]) -> None:
    """And nothing changes."""
    assert peer.control("POST", "config", settings).status == 400
    assert peer.sandbox.state.config == UNPACED


def told_by(*options: str) -> dict[str, Any]:
    """The settings and faults of a real process that was started with these options."""
    argv = [sys.executable, "-m", "reconciler", "sandbox", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        try:
            peer = Peer.__new__(Peer)
            peer.port = int(first["url"].rpartition(":")[2])
            config = peer.control("GET", "config", token=first["control"]).json
            return {**config, "faults": peer.control("GET", "faults", token=first["control"]).json}
        finally:
            process.terminate()


def test_every_option_reaches_the_process() -> None:
    """As the settings that the control plane tells."""
    options = (
        "--used-after 60 --used-grain hour --used-every 3600 --tokens-max 5 --label-cut 20 "
        "--label-forms trim,lower --extra-scope admin --list-without a/b --list-without c "
        "--list-without-last 2 --date-off -120 --maintenance"
    )
    fault = '{"kind": "nothing_done", "operation": "revoke", "count": null}'
    told = told_by(*options.split(), "--fault", fault)
    (waiting,) = told.pop("faults")
    assert (waiting["kind"], waiting["operation"], waiting["count"]) == (
        "nothing_done",
        "revoke",
        None,
    )
    expected = {
        "last_used_after_ms": MINUTE_MS,
        "last_used_grain_ms": HOUR_MS,
        "last_used_every_ms": HOUR_MS,
        "tokens_max": 5,
        "label_forms": ["trim", "lower"],
        "label_cut": 20,
        "extra_scope": "admin",
        "list_without": ["a/b", "c"],
        "list_without_last": 2,
        "date_shift_ms": -2 * MINUTE_MS,
        "maintenance": True,
    }
    assert {name: told[name] for name in expected} == expected


@pytest.mark.parametrize(
    "options",
    [
        ("--fault", "{"),
        ("--fault", '{"kind": "none"}'),
        ("--fault", '{"kind": "wrong_date"}'),
        ("--label-forms", "upper"),
        ("--date-off", str(10**12)),
    ],
)
def test_an_option_that_can_not_be_is_a_usage_error(options: tuple[str, ...]) -> None:
    """Exit 64 with one sentence, and no server."""
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "sandbox", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("error: the sandbox can't")
    assert done.stderr.count("\n") == 1
