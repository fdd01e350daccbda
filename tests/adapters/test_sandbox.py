"""The sandbox, law by law and from outside over real HTTP; signatures come from an
implementation of this file.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import dataclasses
import datetime as dt
import hashlib
import http.client
import json
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import reconciler.sandbox
from reconciler.errors import ReconcilerError
from reconciler.sandbox import (
    ErrorShape,
    Fault,
    FaultKind,
    Garbage,
    IdStyle,
    Operation,
    RetryAfter,
    Sandbox,
    SandboxConfig,
    laws,
)
from reconciler.sandbox.command import run_sandbox
from reconciler.sandbox.faults import FaultBook, Stage
from reconciler.sandbox.laws import Pace, RefusedError, Request, Route, iso
from reconciler.sandbox.records import Caller, Subject
from reconciler.sandbox.state import SandboxState

BASE = "/auth/api-tokens"
UNPACED = SandboxConfig(limits=False)
NOON_MS = 1_774_267_200_000


def hmac_signature(key: bytes, timestamp: str, method: str, target: str, body: str) -> str:
    """The documented signature, written for this test alone:

    HMAC-SHA256 from its definition in RFC 2104.
    """
    block = (
        key.ljust(64, b"\0") if len(key) <= 64 else hashlib.sha256(key).digest().ljust(64, b"\0")
    )
    message = f"{timestamp}\n{method}\n{target}\n{body}".encode()
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return base64.b64encode(
        hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()
    ).decode()


def stamp(offset_s: float = 0.0) -> str:
    """The timestamp header for now, or for another moment near it."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=offset_s)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signed(
    token_id: str, secret: str, method: str, target: str, *, offset_s: float = 0.0
) -> dict[str, str]:
    """The three headers for a request without a body."""
    timestamp = stamp(offset_s)
    mac = hmac_signature(base64.b64decode(secret), timestamp, method, target, "")
    return {"lmts-api-key": token_id, "lmts-timestamp": timestamp, "lmts-signature": mac}


@dataclasses.dataclass(frozen=True)
class Got:
    """A reply as the outside saw it."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.raw)


class Peer:
    """A client of the sandbox that owes nothing to ours: the standard library, one
    connection per call.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.port = int(sandbox.url.rpartition(":")[2])

    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        timeout_s: float = 10,
    ) -> Got:
        """One request."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        ) as connection:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            return take(connection)

    def identity(
        self,
        method: str,
        target: str,
        data: object = None,
        *,
        token: str | None = None,
        timeout_s: float = 10,
    ) -> Got:
        """One request with the identity token."""
        headers = {"identity": f"Bearer {token or self.sandbox.identity_token}"}
        if data is None:
            return self.call(method, target, headers, timeout_s=timeout_s)
        return self.call(
            method,
            target,
            headers | {"Content-Type": "application/json"},
            json.dumps(data),
            timeout_s,
        )

    def derive(self, label: str | None = "bot", *, timeout_s: float = 10, **more: object) -> Got:
        """One derive."""
        return self.identity(
            "POST", f"{BASE}/derive", {"label": label, **more}, timeout_s=timeout_s
        )

    def by_token(self, token: Any, method: str, target: str) -> Got:
        """One signed request; the token is a reply to a derive."""
        return self.call(method, target, signed(token["tokenId"], token["secret"], method, target))

    def list(self, token: Any) -> Got:
        """One list."""
        return self.by_token(token, "GET", BASE)

    def revoke(self, token: Any, token_id: str) -> Got:
        """One revocation, signed by ``token``."""
        return self.by_token(token, "DELETE", f"{BASE}/{quote(token_id, safe='')}")

    def control(
        self, method: str, name: str, data: object = None, *, token: str | None = None
    ) -> Got:
        """One request of the control plane."""
        headers = {"Authorization": f"Bearer {token or self.sandbox.control_token}"}
        return self.call(
            method, f"/_sandbox/{name}", headers, None if data is None else json.dumps(data)
        )


def take(connection: http.client.HTTPConnection) -> Got:
    """The reply that is due on a connection."""
    reply = connection.getresponse()
    return Got(
        reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    )


@contextlib.contextmanager
def opened(config: SandboxConfig = UNPACED, **more: Any) -> Iterator[Peer]:
    """A running sandbox and a client for it."""
    with Sandbox(config=config, **more) as sandbox:
        yield Peer(sandbox)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A sandbox without limits."""
    with opened() as one:
        yield one


@pytest.fixture
def manager(peer: Peer) -> Any:
    """A token to sign with."""
    return peer.derive("manager").json


class Lab:
    """A state with a clock that stands still and randomness that repeats."""

    def __init__(self, **settings: Any) -> None:
        self.now_ms = NOON_MS
        self.state = SandboxState(
            clock=lambda: self.now_ms,
            entropy=random.Random(7).randbytes,  # noqa: S311  # it has to repeat
            config=SandboxConfig(**settings),
        )
        self.signer = self.state.derive_by_hand("signer")

    def list(self) -> Any:
        """The rows that the list shows to the signer."""
        caller = caller_of(self.signer.token_id)
        return self.state.perform(
            Route(operation=Operation.LIST), caller, Request(method="GET", target=BASE)
        ).body

    def listed(self) -> set[str]:
        """The ids of those rows."""
        return {row["tokenId"] for row in self.list()}


def caller_of(token_id: str) -> Caller:
    """Somebody who signed with this token of the usual profile."""
    return Caller(key=f"token:{token_id}", profile_id=42, token_id=token_id)


# --- the laws


@pytest.mark.parametrize(
    ("expected", "key", "method"),
    [
        ("mgMUpOd7FH4sOSti2MF30YKF9yDq+67VjFksPa5I5eE=", b"super-secret-key", "PATCH"),
        (
            "oMeoGw/k9lOlgmdkx4Upqmm99pJ2pHBYkt1CRO5d6bk=",
            b"01234567890123456789012345678901",
            "POST",
        ),
    ],
)
def test_both_documented_vectors_hold_for_the_sandbox_and_for_the_tests_own_signer(
    expected: str, key: bytes, method: str
) -> None:
    """The signature is the documented one, in two implementations of their own."""
    timestamp, target, body = "2026-03-23T12:34:56.789Z", "/orders?market=btc", '{"foo":"bar"}'
    request = Request(method=method, target=target, body=body.encode())
    assert hmac_signature(key, timestamp, method, target, body) == expected
    assert laws.signature(base64.b64encode(key).decode(), timestamp, request) == expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", f"{BASE}/capabilities", Route(operation=Operation.CAPABILITIES)),
        ("GET", f"{BASE}/capabilities?x=1", Route(operation=Operation.CAPABILITIES)),
        ("POST", f"{BASE}/derive", Route(operation=Operation.DERIVE)),
        ("GET", BASE, Route(operation=Operation.LIST)),
        ("DELETE", f"{BASE}/abc", Route(operation=Operation.REVOKE, token_id="abc")),
        (
            "DELETE",
            f"{BASE}/a%2Fb%2Bc%3D%3D",
            Route(operation=Operation.REVOKE, token_id="a/b+c=="),
        ),
        ("DELETE", f"{BASE}/a+b=", Route(operation=Operation.REVOKE, token_id="a+b=")),
        (
            "DELETE",
            f"{BASE}/capabilities",
            Route(operation=Operation.REVOKE, token_id="capabilities"),
        ),
        ("DELETE", f"{BASE}/a/b", 404),
        ("DELETE", f"{BASE}/", 404),
        ("DELETE", BASE, 404),
        ("DELETE", f"{BASE}/a%2", 400),
        ("DELETE", f"{BASE}/%ff", 400),
        ("GET", f"{BASE}/", 404),
        ("GET", f"{BASE}/abc", 404),
        ("GET", f"{BASE}x", 404),
        ("GET", "/", 404),
        ("GET", "/capabilities", 404),
        ("DELETE", "/abc", 404),
        ("POST", BASE, 404),
        ("PUT", f"{BASE}/abc", 404),
        ("PATCH", f"{BASE}/abc", 404),
        ("POST", f"{BASE}/capabilities", 404),
    ],
)
def test_a_request_line_asks_for_one_of_four_operations_or_for_nothing(
    method: str, target: str, expected: Route | int
) -> None:
    """The table of endpoints is exact, and the id is one percent-decoded segment."""
    assert outcome(lambda: laws.route(method, target)) == expected


def outcome(act: Any) -> Any:
    """What ``act`` returns, or the status of its refusal."""
    try:
        return act()
    except RefusedError as refusal:
        return refusal.status


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-03-23T12:00:00.000Z", "taken"),
        ("2026-03-23T12:00:30.000Z", "taken"),
        ("2026-03-23T11:59:30.000Z", "taken"),
        ("2026-03-23T12:00:30.001Z", 401),
        ("2026-03-23T11:59:29.999Z", 401),
        ("2026-03-23T12:00:00Z", "taken"),
        ("2026-03-23T12:00:00.000000Z", "taken"),
        ("2026-03-23T12:00:00.123456+00:00", "taken"),
        ("2026-03-23T12:00:00.123456789+00:00", "taken"),
        ("2026-03-23T12:00:00+00:00", "taken"),
        ("2026-03-23T12:00:00.000-00:00", "taken"),
        ("2026-03-23T14:00:00+02:00", "taken"),
        ("2026-03-23T06:30:00.5-05:30", "taken"),
        ("2026-03-23T14:00:30.001+02:00", 401),
        ("2026-03-23T12:00:00+02:00", 401),
        ("20260323T120000Z", "taken"),
        ("2026-03-23T12:00Z", "taken"),
        ("2026-03-23t12:00:00z", "taken"),
        ("2026-03-23T12:00:00.000", 401),
        ("2026-03-23T12:00:00", 401),
        ("2026-03-23", 401),
        ("2026-03-23 12:00:00.000Z", 401),
        ("2026-03-23T12:00:00+24:00", 401),
        ("0001-01-01T00:00:00+14:00", 401),
        ("9999-12-31T23:59:59-14:00", 401),
        ("2026-03-32T12:00:00.000Z", 401),
        ("٢٠٢٦-03-23T12:00:00.000Z", 401),
        (str(NOON_MS), 401),
        (str(NOON_MS // 1000), 401),
        ("", 401),
    ],
)
def test_a_timestamp_has_a_zone_and_thirty_seconds(timestamp: str, expected: object) -> None:
    """Any date and time of ISO-8601 with a zone, at most 30 s away from the server's
    clock, either way; no Unix time.
    """
    headers = (("lmts-api-key", "id"), ("lmts-timestamp", timestamp), ("lmts-signature", "mac"))
    request = Request(method="GET", target=BASE, headers=headers)
    result = outcome(lambda: laws.signed(request, NOON_MS))
    assert result == (
        laws.Signed(token_id="id", timestamp=timestamp, signature="mac")
        if expected == "taken"
        else expected
    )


JSON_TYPE = "application/json"


@pytest.mark.parametrize(
    ("expected", "body", "content_type"),
    [
        ((None, ("trading",)), "{}", JSON_TYPE),
        ((None, ("trading",)), "{}", "Application/JSON; charset=utf-8"),
        (("bot", ("trading",)), '{"label":"bot"}', JSON_TYPE),
        (("", ("trading",)), '{"label":""}', JSON_TYPE),
        (("x" * 128, ("trading",)), json.dumps({"label": "x" * 128}), JSON_TYPE),
        (400, json.dumps({"label": "x" * 129}), JSON_TYPE),
        (("\U0001f600" * 64, ("trading",)), json.dumps({"label": "\U0001f600" * 64}), JSON_TYPE),
        (400, json.dumps({"label": "\U0001f600" * 64 + "x"}), JSON_TYPE),
        (("\ud800", ("trading",)), '{"label":"\\ud800"}', JSON_TYPE),
        (400, '{"label":null}', JSON_TYPE),
        (400, '{"label":7}', JSON_TYPE),
        ((None, ("withdrawal",)), '{"scopes":["withdrawal"]}', JSON_TYPE),
        ((None, ("new_one", "trading")), '{"scopes":["new_one","trading","new_one"]}', JSON_TYPE),
        (
            (None, ("delegated_signing", "trading")),
            '{"scopes":["delegated_signing","trading"]}',
            JSON_TYPE,
        ),
        (400, '{"scopes":["delegated_signing"]}', JSON_TYPE),
        (400, '{"scopes":["tradng"]}', JSON_TYPE),
        (400, '{"scopes":[]}', JSON_TYPE),
        (400, '{"scopes":null}', JSON_TYPE),
        (400, '{"scopes":"trading"}', JSON_TYPE),
        (400, '{"scopes":[7]}', JSON_TYPE),
        (400, '{"scopes":[["trading"]]}', JSON_TYPE),
        (403, '{"scopes":["trading","account_creation"]}', JSON_TYPE),
        (400, '{"name":"bot"}', JSON_TYPE),
        (400, "[]", JSON_TYPE),
        (400, "", JSON_TYPE),
        (400, "{", JSON_TYPE),
        (400, "[" * 60_000, JSON_TYPE),
        (400, "{}", "text/plain"),
        (400, "{}", None),
    ],
)
def test_what_a_derive_may_ask_for(expected: object, body: str, content_type: str | None) -> None:
    """Label and scopes as documented: 400 for what can't be, 403 for a known scope that
    is not allowed.
    """
    config = SandboxConfig(allowed_scopes=("trading", "withdrawal", "delegated_signing", "new_one"))
    headers = () if content_type is None else (("content-type", content_type),)
    request = Request(method="POST", target=f"{BASE}/derive", headers=headers, body=body.encode())
    assert outcome(lambda: laws.read_derive(request, config)) == expected


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ([("a", 0, 10), ("a", 300, 10), ("a", 600, 10)], "yyy"),
        ([("a", 0, 10), ("a", 299, 10), ("a", 300, 10)], "yny"),
        ([("a", 0, 10), ("a", 299, 10), ("a", 598, 10), ("a", 599, 10)], "ynyn"),
        ([("a", 0, 10), ("b", 1, 10), ("a", 2, 10), ("b", 301, 10)], "yyny"),
        (
            [("a", 0, 9_000), ("a", 300, 9_000), ("a", 600, 1), ("b", 600, 1), ("a", 9_301, 1)],
            "yynyy",
        ),
        ([("a", 0, 500), ("a", 300, 9_000), ("a", 600, 9_000), ("a", 900, 1)], "yyyn"),
    ],
)
def test_the_limit_of_two_at_once_and_three_hundred_milliseconds(
    arrivals: list[tuple[str, int, int]], expected: str
) -> None:
    """Per credential, arrivals (credential, at, how long it takes) are admitted or
    refused; a refused one starts no gap.
    """
    pace, config, said = Pace(), SandboxConfig(), ""
    with contextlib.ExitStack() as everything:
        running: list[tuple[int, contextlib.ExitStack]] = []
        for key, at_ms, takes_ms in arrivals:
            for end_ms, stack in running:
                if end_ms <= at_ms:
                    stack.close()
            stack = everything.enter_context(contextlib.ExitStack())
            answer = outcome(
                lambda key=key, at=at_ms, held=stack: held.enter_context(
                    pace.admitted(key, at, config)
                )
            )
            said += "n" if answer == 429 else "y"
            running.append((at_ms + takes_ms, stack))
    assert said == expected


def test_the_list_is_in_no_order_of_age_but_always_in_the_same() -> None:
    """A client that takes the last row for the youngest is wrong here."""
    lab = Lab()
    made = [lab.signer.token_id]
    for number in range(9):
        lab.now_ms += 1000
        made.append(lab.state.derive_by_hand(f"bot-{number}").token_id)
    rows = [row["tokenId"] for row in lab.list()]
    assert sorted(rows) == sorted(made)
    assert rows not in (made, made[::-1])
    assert rows == [row["tokenId"] for row in lab.list()]


@pytest.mark.parametrize(
    ("style", "expected"),
    [(IdStyle.PLAIN, set()), (IdStyle.MIXED, set("/+")), (IdStyle.UNSAFE, set("/+="))],
)
def test_token_ids_hold_what_has_to_be_encoded(style: IdStyle, expected: set[str]) -> None:
    """By style no id, some or all of them hold characters that a path segment can't
    carry as they are.
    """
    state = Lab(id_style=style).state
    ids = [state.derive_by_hand("bot").token_id for _ in range(60)]
    assert {
        character
        for token_id in ids
        for character in token_id
        if not character.isalnum() and character != "-"
    } >= expected
    unsafe = sum(quote(token_id, safe="") != token_id for token_id in ids)
    assert (unsafe == 0, unsafe == 60) == {
        IdStyle.PLAIN: (True, False), IdStyle.MIXED: (False, False), IdStyle.UNSAFE: (False, True)
    }[style]  # fmt: skip


def test_a_secret_is_thirty_two_bytes_in_base64_and_stands_in_no_repr() -> None:
    """What is shown once is not shown by accident."""
    lab = Lab()
    secret = lab.signer.secret
    assert len(base64.b64decode(secret, validate=True)) == 32
    assert secret not in repr(lab.signer)
    assert secret in lab.state.all_secrets()


def test_the_list_lags_as_configured() -> None:
    """A derived token shows up, and a revoked one vanishes, so much later; its
    signature counts or dies at once.
    """
    lab = Lab(listed_after_ms=500, unlisted_after_ms=2_000)
    lab.now_ms += 500
    token = lab.state.derive_by_hand("bot")
    seen = [token.token_id in lab.listed()]
    for step_ms in (499, 1):
        lab.now_ms += step_ms
        seen.append(token.token_id in lab.listed())
    lab.state.revoke_by_hand(token.token_id)
    for step_ms in (0, 1_999, 1):
        lab.now_ms += step_ms
        seen.append(token.token_id in lab.listed())
    assert seen == [False, False, True, True, True, False]
    assert not lab.state.token(token.token_id).live


@pytest.mark.parametrize(
    ("grain_ms", "expected"),
    [
        (1, "2026-03-23T12:00:59.123Z"),
        (1000, "2026-03-23T12:00:59.000Z"),
        (60_000, "2026-03-23T12:00:00.000Z"),
        (None, None),
    ],
)
def test_last_used_has_the_configured_grain(grain_ms: int | None, expected: str | None) -> None:
    """Exact, to the second, to the minute, or never told."""
    lab = Lab(last_used_grain_ms=grain_ms)
    token = lab.state.derive_by_hand("bot")
    assert {row["lastUsedAt"] for row in lab.list()} == {None}
    lab.state.touch(token.token_id, NOON_MS + 59_123)
    assert {row["tokenId"]: row["lastUsedAt"] for row in lab.list()}[token.token_id] == expected


def test_the_settings_that_cant_be_are_refused() -> None:
    """A sandbox never starts with nonsense, and good settings stay."""
    for wrong in ({"min_gap_ms": -1}, {"max_in_flight": 0}, {"last_used_grain_ms": 0}):
        with pytest.raises(ValueError, match=r"at least|or more"):
            SandboxConfig(**wrong)  # type: ignore[arg-type]
    state = Lab().state
    with pytest.raises(ValueError, match="or more"):
        state.configure(listed_after_ms=-1)
    assert state.config == SandboxConfig()


@pytest.mark.parametrize(
    "wrong",
    [
        {"skip": -1},
        {"count": 0},
        {"delay_ms": -1},
        {"delay_ms": 600_001},
        {"status": 200},
        {"status": 600},
        {"scopes": ("trading",)},
        {"kind": FaultKind.TRIM_SCOPES},
    ],
)
def test_a_fault_that_cant_be_is_refused(wrong: dict[str, Any]) -> None:
    """The numbers of a fault have bounds, and scopes go with trimming."""
    with pytest.raises(ValueError, match=r"is|are|go"):
        Fault(**{"kind": FaultKind.DELAY, **wrong})


@pytest.mark.parametrize(
    ("faults", "subjects", "expected"),
    [
        ([Fault(kind=FaultKind.DELAY)], "dd", "1-"),
        ([Fault(kind=FaultKind.DELAY, skip=1, count=2)], "dddd", "-11-"),
        ([Fault(kind=FaultKind.DELAY, count=None)], "ddd", "111"),
        ([Fault(kind=FaultKind.DELAY, operation=Operation.LIST)], "dld", "-1-"),
        ([Fault(kind=FaultKind.DELAY, label="bot")], "lrd", "--1"),
        ([Fault(kind=FaultKind.DELAY, token_id="t1")], "dlr", "--1"),
        ([Fault(kind=FaultKind.DELAY), Fault(kind=FaultKind.GARBAGE, skip=1)], "ddd", "12-"),
        ([Fault(kind=FaultKind.DELAY), Fault(kind=FaultKind.GARBAGE)], "ddd", "12-"),
        (
            [
                Fault(kind=FaultKind.DELAY, operation=Operation.REVOKE),
                Fault(kind=FaultKind.GARBAGE),
            ],
            "drl",
            "21-",
        ),
    ],
)
def test_which_call_a_fault_hits(faults: list[Fault], subjects: str, expected: str) -> None:
    """By operation, label, id and number; the first due fault hits, each call uses up
    one.
    """
    known = {
        "d": Subject(operation=Operation.DERIVE, label="bot"),
        "l": Subject(operation=Operation.LIST, label="manager", token_id="t0"),
        "r": Subject(operation=Operation.REVOKE, label="old", token_id="t1"),
    }
    book = FaultBook()
    book.add(*faults)
    hits = [book.take(known[subject], Stage.WORK) for subject in subjects]
    assert "".join("-" if hit is None else str(faults.index(hit) + 1) for hit in hits) == expected
    assert book.pending == tuple(fault for fault in faults if fault.count is None)


# --- the four operations over HTTP


def test_the_life_of_a_token_as_documented(peer: Peer) -> None:
    """Capabilities, derive, list, revoke: status, keys and values are exactly the
    documented ones.
    """
    scopes = ["trading", "account_creation", "delegated_signing", "withdrawal"]
    expected = {"partnerProfileId": 42, "tokenManagementEnabled": True, "allowedScopes": scopes}
    capabilities = peer.identity("GET", f"{BASE}/capabilities")
    assert (capabilities.status, capabilities.json) == (200, expected)

    first = peer.derive("manager")
    token = first.json
    assert first.status == 201
    assert token == {
        "apiKey": token["tokenId"],
        "tokenId": token["tokenId"],
        "secret": token["secret"],
        "createdAt": token["createdAt"],
        "scopes": ["trading"],
        "profile": {"id": 42, "account": SandboxConfig().account},
    }
    assert abs(
        dt.datetime.fromisoformat(token["createdAt"]) - dt.datetime.now(dt.UTC)
    ) < dt.timedelta(seconds=5)
    assert token["createdAt"].endswith("Z")
    assert len(token["createdAt"]) == len("2026-03-23T12:34:56.789Z")

    row = {"tokenId": token["tokenId"], "scopes": ["trading"], "createdAt": token["createdAt"]}
    assert peer.list(token).json == [{**row, "label": "manager", "lastUsedAt": None}]

    other = peer.identity("POST", f"{BASE}/derive", {"scopes": ["withdrawal"]}).json
    rows = {row["tokenId"]: row for row in peer.list(token).json}
    assert (rows[other["tokenId"]]["label"], rows[other["tokenId"]]["scopes"]) == (
        None,
        ["withdrawal"],
    )

    revoked = peer.revoke(token, other["tokenId"])
    assert (revoked.status, list(revoked.json)) == (200, ["message"])
    assert [row["tokenId"] for row in peer.list(token).json] == [token["tokenId"]]
    assert peer.list(other).status == 401
    assert [live.token_id for live in peer.sandbox.state.live()] == [token["tokenId"]]


def test_a_requests_own_use_is_not_in_its_own_reply(peer: Peer, manager: Any) -> None:
    """``lastUsedAt`` shows the use before, never the one that asks."""
    shown = []
    for shift_ms in (0, 5_000, 10_000):
        peer.sandbox.state.shift_clock(shift_ms)
        shown.append(peer.list(manager).json[0]["lastUsedAt"])
    assert shown[0] is None
    assert (
        shown[1] < shown[2] < iso(peer.sandbox.state.token(manager["tokenId"]).last_used_at_ms or 0)
    )


@pytest.mark.parametrize("token_id", ["plain-id", "a/b+c==", "100%", "a b?c#d", "ключ", ".."])
def test_any_id_can_be_revoked_if_it_is_encoded_and_signed_so(
    peer: Peer, manager: Any, token_id: str
) -> None:
    """The path that counts is the encoded one: signed decoded, it is refused; sent and
    signed encoded, it is done.
    """
    peer.sandbox.state.derive_by_hand("bot", token_id=token_id)
    target = f"{BASE}/{quote(token_id, safe='')}"
    if target != f"{BASE}/{token_id}":
        headers = signed(manager["tokenId"], manager["secret"], "DELETE", f"{BASE}/{token_id}")
        assert peer.call("DELETE", target, headers).status == 401
    assert peer.revoke(manager, token_id).status == 200
    assert not peer.sandbox.state.token(token_id).live


def test_unknown_revoked_and_foreign_ids_are_400_and_not_404(peer: Peer, manager: Any) -> None:
    """As documented for unknown and already revoked; another profile's token is as good
    as unknown.
    """
    identity = peer.sandbox.state.issue_identity(profile_id=7)
    other = peer.identity("POST", f"{BASE}/derive", {}, token=identity).json
    gone = peer.derive().json["tokenId"]
    assert peer.revoke(manager, gone).status == 200
    assert [peer.revoke(manager, one).status for one in (gone, "never-was", other["tokenId"])] == [
        400,
        400,
        400,
    ]
    assert [row["tokenId"] for row in peer.list(other).json] == [other["tokenId"]]
    assert other["profile"]["id"] == 7


def test_a_token_can_revoke_itself(peer: Peer, manager: Any) -> None:
    """Nothing in the documentation forbids it, so a client has to take care itself."""
    assert peer.revoke(manager, manager["tokenId"]).status == 200
    assert peer.list(manager).status == 401


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("{}", {}),
        (None, {"Content-Type": "application/json"}),
        ("", {"Content-Type": "text/plain"}),
        ("x", {}),
    ],
)
def test_a_delete_with_a_body_or_a_content_type_is_refused(
    peer: Peer, manager: Any, body: str | None, headers: dict[str, str]
) -> None:
    """The trap of clients that send JSON headers with everything."""
    target = f"{BASE}/{quote(manager['tokenId'], safe='')}"
    timestamp = stamp()
    mac = hmac_signature(
        base64.b64decode(manager["secret"]), timestamp, "DELETE", target, body or ""
    )
    auth = {"lmts-api-key": manager["tokenId"], "lmts-timestamp": timestamp, "lmts-signature": mac}
    assert peer.call("DELETE", target, {**auth, **headers}, body).status == 400
    assert peer.sandbox.state.token(manager["tokenId"]).live


@pytest.mark.parametrize("operation", ["capabilities", "derive"])
@pytest.mark.parametrize(
    "case",
    [
        "nothing",
        "hmac",
        "hmac beside",
        "a timestamp beside",
        "no scheme",
        "other scheme",
        "unknown",
        "expired",
        "empty",
    ],
)
def test_what_identity_calls_refuse(peer: Peer, manager: Any, operation: str, case: str) -> None:
    """Capabilities and derive take a living identity token and nothing else: 401, and
    nothing is derived.
    """
    method, target = {
        "capabilities": ("GET", f"{BASE}/capabilities"),
        "derive": ("POST", f"{BASE}/derive"),
    }[operation]
    identity = peer.sandbox.identity_token
    mac = signed(manager["tokenId"], manager["secret"], method, target)
    headers = {
        "nothing": {},
        "hmac": mac,
        "hmac beside": {"identity": f"Bearer {identity}", **mac},
        "a timestamp beside": {"identity": f"Bearer {identity}", "lmts-timestamp": stamp()},
        "no scheme": {"identity": identity},
        "other scheme": {"identity": f"Basic {identity}"},
        "unknown": {"identity": f"Bearer {identity}x"},
        "expired": {"identity": f"Bearer {peer.sandbox.state.issue_identity(lifetime_ms=0)}"},
        "empty": {"identity": "Bearer "},
    }[case]
    body = "{}" if operation == "derive" else None
    got = peer.call(method, target, {**headers, "Content-Type": "application/json"}, body)
    assert (got.status, list(got.json)) == (401, ["message"])
    assert len(peer.sandbox.state.tokens()) == 1


@pytest.mark.parametrize("operation", ["list", "revoke"])
@pytest.mark.parametrize(
    "case",
    [
        "nothing",
        "identity",
        "identity beside",
        "no timestamp",
        "other secret",
        "other id",
        "late",
        "early",
        "query",
        "revoked",
    ],
)
def test_what_signed_calls_refuse(peer: Peer, manager: Any, operation: str, case: str) -> None:
    """List and revoke take one right signature of a living token, fresh, over the path
    as sent: 401, and nothing is revoked.
    """
    gone = peer.derive().json
    assert peer.revoke(manager, gone["tokenId"]).status == 200
    path = f"{BASE}/{quote(manager['tokenId'], safe='')}"
    method, target = {"list": ("GET", BASE), "revoke": ("DELETE", path)}[operation]
    right = signed(manager["tokenId"], manager["secret"], method, target)
    identity = {"identity": f"Bearer {peer.sandbox.identity_token}"}
    headers = {
        "nothing": {},
        "identity": identity,
        "identity beside": {**right, **identity},
        "no timestamp": {name: value for name, value in right.items() if name != "lmts-timestamp"},
        "other secret": signed(manager["tokenId"], gone["secret"], method, target),
        "other id": {**right, "lmts-api-key": "never-was"},
        "late": signed(manager["tokenId"], manager["secret"], method, target, offset_s=-31),
        "early": signed(manager["tokenId"], manager["secret"], method, target, offset_s=31),
        "query": signed(manager["tokenId"], manager["secret"], method, f"{target}?x=1"),
        "revoked": signed(gone["tokenId"], gone["secret"], method, target),
    }[case]
    got = peer.call(method, target, headers)
    assert (got.status, list(got.json)) == (401, ["message"])
    assert peer.sandbox.state.token(manager["tokenId"]).live
    assert peer.call(method, target, right).status == 200


def test_the_query_is_part_of_what_is_signed(peer: Peer, manager: Any) -> None:
    """Path and query are signed as sent."""
    assert peer.by_token(manager, "GET", f"{BASE}?a=%2F&b").status == 200


def test_management_switched_off_is_403_everywhere_but_in_the_capabilities(
    peer: Peer, manager: Any
) -> None:
    """Derive, list and revoke are refused; the capabilities say why."""
    peer.sandbox.state.configure(management_enabled=False)
    assert peer.identity("GET", f"{BASE}/capabilities").json["tokenManagementEnabled"] is False
    statuses = [
        peer.derive().status,
        peer.list(manager).status,
        peer.revoke(manager, manager["tokenId"]).status,
    ]
    assert statuses == [403, 403, 403]


def test_a_scope_that_is_not_allowed_is_403_and_derives_nothing(peer: Peer) -> None:
    """403 for a documented scope without approval, 400 for a word that is none."""
    peer.sandbox.state.configure(allowed_scopes=("trading",))
    assert peer.derive(scopes=["trading", "withdrawal"]).status == 403
    assert peer.derive(scopes=["withdrawl"]).status == 400
    assert peer.sandbox.state.tokens() == ()


def test_an_identity_token_is_a_jwt_with_a_real_expiry_or_opaque() -> None:
    """The expiry in it is the moment at which the exchange begins to refuse it."""
    lab = Lab(identity_lifetime_ms=90_500)
    text = lab.state.issue_identity()
    payload = text.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (len(text.split(".")), claims["exp"]) == (3, NOON_MS // 1000 + 90)
    request = Request(
        method="GET", target=f"{BASE}/capabilities", headers=(("identity", f"Bearer {text}"),)
    )
    outcomes = []
    for now_ms in (NOON_MS, NOON_MS + 89_999, NOON_MS + 90_000):
        lab.now_ms = now_ms
        outcomes.append(
            outcome(lambda: lab.state.authenticate(Operation.CAPABILITIES, request).key)
        )
    assert outcomes == ["identity:42", "identity:42", 401]
    lab.state.configure(identity_opaque=True)
    assert "." not in lab.state.issue_identity()


def test_the_exchanges_clock_can_be_wrong(peer: Peer, manager: Any) -> None:
    """A shifted clock shows in Date and createdAt, and the window is around it."""
    peer.sandbox.state.shift_clock(-3_600_000)
    got = peer.derive()
    an_hour_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    for moment in (
        parsedate_to_datetime(got.headers["date"]),
        dt.datetime.fromisoformat(got.json["createdAt"]),
    ):
        assert abs(moment - an_hour_ago) < dt.timedelta(seconds=5)
    assert peer.list(manager).status == 401
    headers = signed(manager["tokenId"], manager["secret"], "GET", BASE, offset_s=-3_600)
    assert peer.call("GET", BASE, headers).status == 200


def test_a_new_tokens_signature_can_take_a_while_to_count(peer: Peer) -> None:
    """Activation lag: derived and listed, but refused at first."""
    peer.sandbox.state.configure(active_after_ms=300)
    token = peer.derive().json
    assert peer.list(token).status == 401
    wait_until(lambda: peer.list(token).status == 200)


# --- limits over HTTP


def test_calls_of_one_credential_in_quick_succession_are_429_and_of_another_are_not() -> None:
    """300 ms between two starts, per token, the identity being one more credential."""
    with opened(SandboxConfig(min_gap_ms=2_000)) as peer:
        one, two = (
            peer.sandbox.state.derive_by_hand("one"),
            peer.sandbox.state.derive_by_hand("two"),
        )
        calls = [one, two, one, two]
        statuses = [
            peer.list({"tokenId": token.token_id, "secret": token.secret}).status for token in calls
        ]
        statuses += [peer.identity("GET", f"{BASE}/capabilities").status for _ in range(2)]
        assert statuses == [200, 200, 429, 429, 200, 429]


@pytest.mark.parametrize("form", list(RetryAfter))
def test_a_429_may_say_when_to_come_back(form: RetryAfter) -> None:
    """In whole seconds rounded up, as a date, or not at all; and the first to come
    after the gap is let in.
    """
    with opened(SandboxConfig(min_gap_ms=400, retry_after=form)) as peer:
        assert peer.derive().status == 201
        got = peer.derive()
        assert (got.status, list(got.json)) == (429, ["message"])
        value = got.headers.get("retry-after")
        if form is RetryAfter.DATE:
            assert value is not None
            assert (
                0
                <= (
                    parsedate_to_datetime(value) - parsedate_to_datetime(got.headers["date"])
                ).total_seconds()
                <= 2
            )
        else:
            assert value == {RetryAfter.NONE: None, RetryAfter.SECONDS: "1"}[form]
        time.sleep(0.41)
        assert peer.derive().status == 201
        assert len(peer.sandbox.state.live()) == 2


def test_a_third_call_at_once_is_429_and_a_place_is_free_again_with_the_reply() -> None:
    """Two at once per credential; a reply that was seen is a place that is free."""
    with opened(SandboxConfig(min_gap_ms=0)) as peer, ThreadPoolExecutor(4) as pool:
        peer.sandbox.faults.add(Fault(kind=FaultKind.DELAY, delay_ms=600, count=2))
        slow = [pool.submit(peer.derive), pool.submit(peer.derive)]
        wait_until(lambda: not peer.sandbox.faults.pending)
        token = peer.sandbox.state.derive_by_hand("other")
        assert peer.derive().status == 429
        assert peer.list({"tokenId": token.token_id, "secret": token.secret}).status == 200
        assert [call.result().status for call in slow] == [201, 201]
        assert [peer.derive().status for _ in range(20)] == [201] * 20


def wait_until(true: Any, timeout_s: float = 5.0) -> None:
    """Poll until ``true()``; fail after a while."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


# --- faults, each seen from outside


def lost(act: Any) -> type[BaseException] | None:
    """How a call failed that got no whole reply."""
    try:
        act()
    except (OSError, http.client.HTTPException) as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("fault", "status", "live"),
    [
        (Fault(kind=FaultKind.ERROR_BEFORE), 500, 0),
        (Fault(kind=FaultKind.ERROR_BEFORE, status=408), 408, 0),
        (Fault(kind=FaultKind.ERROR_AFTER), 500, 1),
        (Fault(kind=FaultKind.ERROR_AFTER, status=502), 502, 1),
        (Fault(kind=FaultKind.ERROR_AFTER, status=599), 599, 1),
        (Fault(kind=FaultKind.RATE_LIMIT), 429, 0),
        (Fault(kind=FaultKind.MAINTENANCE), 503, 0),
        (Fault(kind=FaultKind.MAINTENANCE, status=425), 425, 0),
        (Fault(kind=FaultKind.MESSAGE_LIST), 400, 0),
        (Fault(kind=FaultKind.DELAY), 201, 1),
        (Fault(kind=FaultKind.CLOSE_BEFORE), None, 0),
        (Fault(kind=FaultKind.LOST_REPLY), None, 1),
    ],
)
def test_a_fault_decides_whether_the_work_is_done_and_what_is_said(
    peer: Peer, fault: Fault, status: int | None, live: int
) -> None:
    """Before the work nothing is derived, after it the token exists; the next call is
    well again, and the log tells it all.
    """
    peer.sandbox.faults.add(fault)
    if status is None:
        assert lost(peer.derive) is not None
    else:
        assert peer.derive().status == status
    (call,) = peer.sandbox.state.calls
    assert (call.status, call.fault, call.changed, call.ended) == (
        status,
        fault.kind.value,
        live == 1,
        True,
    )
    assert len(peer.sandbox.state.live()) == live
    assert peer.derive().status == 201
    assert peer.sandbox.state.mutating_calls == 2


def test_a_lost_reply_is_a_reset_and_a_closed_connection_is_not(peer: Peer, manager: Any) -> None:
    """The two ways in which a connection dies look different to a client; both are
    there.

    A lost revocation is done.
    """
    victim = peer.derive().json["tokenId"]
    peer.sandbox.faults.add(
        Fault(kind=FaultKind.LOST_REPLY, operation=Operation.REVOKE),
        Fault(kind=FaultKind.CLOSE_BEFORE, operation=Operation.LIST),
    )
    assert lost(lambda: peer.revoke(manager, victim)) is ConnectionResetError
    assert lost(lambda: peer.list(manager)) is http.client.RemoteDisconnected
    assert not peer.sandbox.state.token(victim).live


def test_a_late_call_lands_after_its_client_was_cut_off(peer: Peer) -> None:
    """The reply is lost now and the token appears a while later, with that later moment
    as its createdAt.
    """
    peer.sandbox.faults.add(Fault(kind=FaultKind.LATE, delay_ms=300))
    started_ms = peer.sandbox.state.now_ms()
    assert lost(peer.derive) is ConnectionResetError
    assert peer.sandbox.state.live() == ()
    wait_until(peer.sandbox.state.live)
    (token,) = peer.sandbox.state.live()
    assert token.created_at_ms >= started_ms + 300
    wait_until(lambda: peer.sandbox.state.calls[0].changed)


def test_a_delayed_call_is_done_though_its_client_gave_up(peer: Peer) -> None:
    """A time-out at the client says nothing about the work."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.DELAY, delay_ms=400))
    assert lost(lambda: peer.derive(timeout_s=0.1)) is TimeoutError
    assert (peer.sandbox.state.live(), peer.sandbox.state.calls[0].ended) == ((), False)
    wait_until(peer.sandbox.state.live)


def test_an_error_can_take_its_time(peer: Peer) -> None:
    """``delay_ms`` goes with any kind of fault, those at the edge included."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.MAINTENANCE, delay_ms=150))
    started = time.monotonic()
    assert peer.derive().status == 503
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize(
    ("shape", "content_type", "body"),
    [
        (ErrorShape.MESSAGE, "application/json", '{"message":"The sandbox was asked to fail"}'),
        (
            ErrorShape.LIST,
            "application/json",
            '{"statusCode":500,"message":["The sandbox was asked to fail","a second sentence"]}',
        ),
        (ErrorShape.ERROR, "application/json", '{"error":"The sandbox was asked to fail"}'),
        (ErrorShape.MSG, "application/json", '{"msg":"The sandbox was asked to fail"}'),
        (ErrorShape.TEXT, "text/plain", "The sandbox was asked to fail"),
        (ErrorShape.HTML, "text/html", None),
        (ErrorShape.EMPTY, "text/plain", ""),
    ],
)
def test_errors_come_in_every_shape_seen_in_the_wild(
    peer: Peer, shape: ErrorShape, content_type: str, body: str | None
) -> None:
    """Documented or not: a client has to branch on the status alone."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.ERROR_BEFORE, shape=shape))
    got = peer.derive()
    assert (got.status, got.headers["content-type"].partition(";")[0]) == (500, content_type)
    assert got.raw.decode() == body if body is not None else got.raw.startswith(b"<!DOCTYPE html>")


def test_a_validation_error_can_be_a_list_of_messages(peer: Peer) -> None:
    """The fault of that name answers 400 with a list."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.MESSAGE_LIST))
    got = peer.derive()
    assert (got.status, type(got.json["message"])) == (400, list)


@pytest.mark.parametrize("as_date", [False, True])
# a table of two
def test_an_asked_for_429_carries_the_asked_for_retry_after(peer: Peer, as_date: bool) -> None:  # noqa: FBT001
    """Seconds or a date, by the exchange's own clock."""
    peer.sandbox.faults.add(
        Fault(kind=FaultKind.RATE_LIMIT, retry_after_s=7, retry_after_as_date=as_date)
    )
    got = peer.derive()
    value = got.headers["retry-after"]
    if as_date:
        value = str(
            round(
                (
                    parsedate_to_datetime(value) - parsedate_to_datetime(got.headers["date"])
                ).total_seconds()
            )
        )
    assert (got.status, value) == (429, "7")


@pytest.mark.parametrize("garbage", list(Garbage))
def test_a_reply_that_cant_be_read_comes_after_the_work(peer: Peer, garbage: Garbage) -> None:
    """201, the token exists, and the body is useless."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.GARBAGE, garbage=garbage))
    if garbage is Garbage.SHORT:
        assert lost(peer.derive) is http.client.IncompleteRead
    else:
        got = peer.derive()
        assert got.status == 201
        if garbage is Garbage.TYPES:
            assert got.json["tokenId"] == [peer.sandbox.state.live()[0].token_id]
        else:
            with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
                assert got.json
    assert len(peer.sandbox.state.live()) == 1


def test_a_list_of_other_types_is_an_object(peer: Peer, manager: Any) -> None:
    """The bare array may turn into an envelope."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.GARBAGE, garbage=Garbage.TYPES))
    assert list(peer.list(manager).json) == ["data"]


def test_granted_scopes_may_differ_from_those_asked_for(peer: Peer, manager: Any) -> None:
    """The reply and the list agree on what was granted."""
    peer.sandbox.faults.add(Fault(kind=FaultKind.TRIM_SCOPES, scopes=("trading",)))
    got = peer.derive(scopes=["trading", "withdrawal"])
    rows = {row["tokenId"]: row["scopes"] for row in peer.list(manager).json}
    assert (got.status, got.json["scopes"], rows[got.json["tokenId"]]) == (
        201,
        ["trading"],
        ["trading"],
    )


def test_a_derive_may_end_the_older_tokens_of_its_label(peer: Peer, manager: Any) -> None:
    """What an unofficial note claims can be had; else nothing older ends."""
    first, second = peer.derive().json, peer.derive().json
    peer.sandbox.faults.add(Fault(kind=FaultKind.ENDS_OLDER))
    third = peer.derive().json
    listed = {row["tokenId"] for row in peer.list(manager).json}
    assert listed == {manager["tokenId"], third["tokenId"]}
    assert {first["tokenId"], second["tokenId"]}.isdisjoint(listed)


def test_a_refused_call_uses_up_no_fault_of_the_work(peer: Peer) -> None:
    """Those wait for a call that is authenticated and admitted; a refusal of the work
    itself can be lost like any reply.
    """
    peer.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY))
    assert peer.identity("POST", f"{BASE}/derive", {}, token="nobody").status == 401
    waiting = [len(peer.sandbox.faults.pending)]
    assert lost(lambda: peer.derive(scopes=[])) is ConnectionResetError
    waiting.append(len(peer.sandbox.faults.pending))
    assert waiting == [1, 0]
    assert not peer.sandbox.state.live()


def test_a_fault_can_be_meant_for_one_token(peer: Peer, manager: Any) -> None:
    """By the label asked for, by the label that signs a list, or by the id to be
    revoked.
    """
    one, two = peer.derive("one").json, peer.derive("two").json
    peer.sandbox.faults.add(
        Fault(kind=FaultKind.ERROR_BEFORE, operation=Operation.DERIVE, label="three"),
        Fault(kind=FaultKind.ERROR_BEFORE, operation=Operation.LIST, label="one"),
        Fault(kind=FaultKind.ERROR_BEFORE, operation=Operation.REVOKE, token_id=two["tokenId"]),
    )
    assert [peer.derive("four").status, peer.derive("three").status] == [201, 500]
    assert [peer.list(manager).status, peer.list(one).status] == [200, 500]
    assert [
        peer.revoke(manager, one["tokenId"]).status,
        peer.revoke(manager, two["tokenId"]).status,
    ] == [200, 500]


# --- the log, the control plane, the process


def test_the_log_of_calls_tells_everything_but_secrets(peer: Peer, manager: Any) -> None:
    """Method, path, status, credential; no secret, identity token or signature, even
    where one was sent as the wrong thing.
    """
    peer.list(manager)
    peer.list({"tokenId": manager["secret"], "secret": manager["secret"]})
    peer.call("GET", "/elsewhere")
    state = peer.sandbox.state
    told = [
        (call.method, call.path, call.operation, call.credential, call.status)
        for call in state.calls
    ]
    assert told == [
        ("POST", f"{BASE}/derive", Operation.DERIVE, "identity", 201),
        ("GET", BASE, Operation.LIST, manager["tokenId"], 200),
        ("GET", BASE, Operation.LIST, "unknown", 401),
    ]
    hidden = state.all_secrets() | state.all_signatures()
    assert len(hidden) == 3
    assert not [text for text in hidden if text in repr(state.calls)]
    assert (state.mutating_calls, state.count(Operation.LIST)) == (1, 2)


def test_the_sandbox_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Requests, refusals, faults and clients that go away leave no line on either
    stream.
    """
    with opened() as peer:
        peer.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY))
        assert lost(peer.derive) is not None
        assert peer.derive().status == 201
        assert peer.call("BREW", "/").status == 404
        with socket.create_connection(("127.0.0.1", peer.port)) as connection:
            connection.sendall(
                b"POST /auth/api-tokens/derive HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"
            )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"PUT /auth/api-tokens HTTP/1.1\r\n\r\n", b"404"),
        (b"BREW / HTTP/1.1\r\n\r\n", b"404"),
        (b"HEAD /auth/api-tokens HTTP/1.1\r\n\r\n", b"404"),
        (b"GET http://x/auth/api-tokens HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /auth/api-tokens/derive HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /auth/api-tokens/derive HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n", b"400"),
        (b"POST /auth/api-tokens/derive HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", b"413"),
        (
            b"POST /auth/api-tokens/derive HTTP/1.1\r\nContent-Length: "
            + b"9" * 5000
            + b"\r\n\r\n",
            b"413",
        ),
        (
            b"POST /auth/api-tokens/derive HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/3.0\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"DELETE /auth/api-tokens/%zz HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /auth/api-tokens HTTP/1.1\r\nidentity: \xff\r\n\r\n", b"401"),
        (
            (
                b"GET /auth/api-tokens HTTP/1.1\r\nlmts-api-key: \xff\r\nlmts-timestamp: "
                b"a\r\nlmts-signature: b\r\n\r\n"
            ),
            b"401",
        ),
    ],
)
def test_what_no_client_should_send_is_answered_and_does_no_harm(
    peer: Peer, sent: bytes, expected: bytes
) -> None:
    """Bounded in size, refused with a status, and the next connection is served."""
    with socket.create_connection(("127.0.0.1", peer.port), timeout=5) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        assert connection.recv(4096).split(b" ")[1] == expected
    assert peer.derive().status == 201


def test_a_connection_serves_many_requests(peer: Peer) -> None:
    """HTTP/1.1 with keep-alive: refusals do not cost the connection."""
    headers = {
        "identity": f"Bearer {peer.sandbox.identity_token}",
        "Content-Type": "application/json",
    }
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", peer.port, timeout=5)
    ) as connection:
        statuses, ports = [], set()
        for body in ("{}", "{", "{}"):
            connection.request("POST", f"{BASE}/derive", body, headers)
            statuses.append(take(connection).status)
            ports.add(connection.sock.getsockname())
    assert (statuses, len(ports)) == ([201, 400, 201], 1)


def test_many_at_once_get_a_token_each() -> None:
    """Threads share one state without losing a token or a call."""
    with opened() as peer, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: peer.derive(f"bot-{number}").json, range(40)))
        assert len({reply["tokenId"] for reply in replies}) == 40
        assert len({reply["secret"] for reply in replies}) == 40
        assert len(peer.sandbox.state.live()) == peer.sandbox.state.mutating_calls == 40
        assert [call.number for call in peer.sandbox.state.calls] == list(range(1, 41))


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.LATE, FaultKind.MAINTENANCE])
def test_stopping_ends_every_wait_and_connection(kind: FaultKind) -> None:
    """An idle connection and a call held back for minutes do not hold up the end; the
    work held back is not done.
    """
    sandbox = Sandbox(config=UNPACED)
    sandbox.start()
    peer = Peer(sandbox)
    sandbox.faults.add(Fault(kind=kind, delay_ms=600_000))
    with (
        socket.create_connection(("127.0.0.1", peer.port), timeout=5) as idle,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(lambda: lost(peer.derive))
        wait_until(lambda: not sandbox.faults.pending)
        started = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - started < 2
        assert slow.result(timeout=5) is not None
        assert idle.recv(1) == b""
    assert sandbox.state.live() == ()
    sandbox.stop()
    assert lost(peer.derive) is ConnectionRefusedError


def test_a_sandbox_that_never_started_stops_too() -> None:
    """The port is listened on from the start and given back in any case."""
    sandbox = Sandbox()
    sandbox.stop()
    assert lost(Peer(sandbox).derive) is ConnectionRefusedError


def test_it_listens_on_loopback_only() -> None:
    """Nobody else on the network can derive."""
    with opened() as peer:
        assert peer.sandbox.url == f"http://127.0.0.1:{peer.port}"


def test_a_defect_of_the_sandbox_is_told_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a handler is neither printed nor swallowed: stop raises, naming
    type and place only.
    """
    sandbox = Sandbox(config=UNPACED)
    sandbox.start()
    unlucky: dict[str, str] = {}
    monkeypatch.setattr(sandbox.state, "perform", lambda *_, **__: unlucky["a secret"])
    assert lost(Peer(sandbox).derive) is not None
    with pytest.raises(RuntimeError, match=r"failed to answer: KeyError at test_sandbox\.py:\d+$"):
        sandbox.stop()


def test_the_control_plane_does_what_the_state_does(peer: Peer, manager: Any) -> None:
    """Faults, calls, tokens, a person's derive and revoke, a use, the clock, settings,
    identities: all from another process.
    """
    fault = {"kind": "lost_reply", "operation": "derive", "label": "bot", "count": None}
    assert peer.control("POST", "faults", fault).json == peer.control("GET", "faults").json
    expected = Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE, label="bot", count=None)
    assert list(peer.sandbox.faults.pending) == [expected]
    assert (
        peer.control(
            "POST", "faults", [{"kind": "trim_scopes", "scopes": ["trading"]}, {"kind": "delay"}]
        ).status
        == 200
    )
    assert len(peer.sandbox.faults.pending) == 3
    assert peer.control("DELETE", "faults").json == []

    made = peer.control(
        "POST", "derive", {"label": "by hand", "scopes": ["withdrawal"], "token_id": "a/b"}
    )
    assert (made.status, made.json["token_id"]) == (201, "a/b")
    assert peer.list({"tokenId": "a/b", "secret": made.json["secret"]}).status == 200
    peer.control("POST", "use", {"token_id": "a/b", "at_ms": NOON_MS})
    tokens = peer.control("GET", "tokens")
    assert made.json["secret"] not in tokens.raw.decode()
    assert [(row["label"], row["last_used_at_ms"]) for row in tokens.json] == [
        ("manager", None),
        ("by hand", NOON_MS),
    ]
    assert peer.control("POST", "revoke", {"token_id": "a/b"}).json[1]["revoked_at_ms"] is not None
    assert peer.control("POST", "revoke", {"token_id": "a/b"}).status == 400

    calls = peer.control("GET", "calls").json
    assert (calls["mutating"], calls["counts"]) == (
        1,
        {"capabilities": 0, "derive": 1, "list": 1, "revoke": 0, "profile": 0, "maintenance": 0},
    )
    assert [call["status"] for call in calls["calls"]] == [201, 200]

    shifted = peer.control("POST", "clock", {"shift_ms": 60_000}).json["now_ms"]
    assert 55_000 < shifted - time.time() * 1000 < 65_000
    settings = peer.control(
        "POST",
        "config",
        {"allowed_scopes": ["trading"], "id_style": "plain", "last_used_grain_ms": None},
    )
    assert settings.json == peer.control("GET", "config").json
    assert peer.sandbox.state.config == dataclasses.replace(
        UNPACED, allowed_scopes=("trading",), id_style=IdStyle.PLAIN, last_used_grain_ms=None
    )
    identity = peer.control("POST", "identity", {"lifetime_ms": -1}).json["identity_token"]
    assert peer.identity("GET", f"{BASE}/capabilities", token=identity).status == 401


@pytest.mark.parametrize(
    ("method", "name", "data"),
    [
        ("POST", "faults", {"kind": "earthquake"}),
        ("POST", "faults", {"kind": ["delay"]}),
        ("POST", "faults", {"skip": 1}),
        ("POST", "faults", {"kind": "delay", "skip": True}),
        ("POST", "faults", {"kind": "delay", "delay_ms": "1"}),
        ("POST", "faults", {"kind": "delay", "colour": "red"}),
        ("POST", "faults", {"kind": "trim_scopes"}),
        ("POST", "faults", {"kind": "trim_scopes", "scopes": [1]}),
        ("POST", "faults", [{"kind": "delay"}] * 1001),
        ("POST", "faults", "delay"),
        ("POST", "config", {"min_gap_ms": -1}),
        ("POST", "config", []),
        ("POST", "use", {"token_id": "never-was"}),
        ("POST", "revoke", {}),
        ("POST", "clock", {"shift_ms": 1.5}),
        ("POST", "derive", {"label": 1}),
    ],
)
def test_the_control_plane_refuses_what_it_does_not_understand(
    peer: Peer, method: str, name: str, data: object
) -> None:
    """400 with a sentence, and nothing changes."""
    got = peer.control(method, name, data)
    assert (got.status, list(got.json)) == (400, ["message"])
    assert (
        peer.sandbox.faults.pending,
        peer.sandbox.state.config,
        peer.sandbox.state.tokens(),
    ) == ((), UNPACED, ())


def test_the_control_plane_is_for_who_holds_its_token(peer: Peer) -> None:
    """Without it 401, the identity token being no substitute; with it an unknown name
    is 404.
    """
    wrong = peer.sandbox.identity_token
    assert [
        peer.control("GET", "tokens", token=wrong).status,
        peer.call("GET", "/_sandbox/tokens").status,
    ] == [401, 401]
    assert [peer.control("GET", "weather").status, peer.control("PUT", "faults").status] == [
        404,
        404,
    ]
    assert peer.sandbox.state.calls == ()


def test_a_killed_sandbox_comes_back_with_its_tokens(tmp_path: Path) -> None:
    """The state file holds tokens, uses and identities, and only its owner reads it."""
    path = tmp_path / "state.json"
    with opened(state_file=path) as peer:
        token, gone = peer.derive("one").json, peer.derive("two").json
        assert peer.revoke(token, gone["tokenId"]).status == 200
        identity, before = peer.sandbox.identity_token, peer.sandbox.state.tokens()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with opened(state_file=path) as peer:
        assert peer.sandbox.state.tokens() == before
        assert [peer.list(token).status, peer.list(gone).status] == [200, 401]
        assert peer.identity("GET", f"{BASE}/capabilities", token=identity).status == 200
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format":2,"tokens":[],"identities":{}}', '{"format":1,"tokens":[{}]}'],
)
def test_a_file_that_is_no_state_file_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    """One sentence, and the file is as it was."""
    path = tmp_path / "state.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ReconcilerError, match="state file can't be read"):
        run_sandbox(UNPACED, stdout=sys.stdout, state_file=path)
    assert path.read_text(encoding="utf-8") == content


COMMAND = (
    "import sys; from reconciler.sandbox import SandboxConfig, run_sandbox; "
    "run_sandbox(SandboxConfig(limits=False), stdout=sys.stdout)"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_is_and_stops_cleanly_on_a_signal(number: signal.Signals) -> None:
    """The first line is the contract; after the signal: exit 0, nothing more on stdout,
    nothing on stderr.
    """
    argv = [sys.executable, "-W", "error", "-X", "dev", "-c", COMMAND]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert list(first) == ["url", "identity_token", "control"]
        port = int(first["url"].removeprefix("http://127.0.0.1:"))
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        ) as connection:
            connection.request(
                "GET",
                f"{BASE}/capabilities",
                headers={"identity": f"Bearer {first['identity_token']}"},
            )
            assert take(connection).status == 200
            connection.request(
                "GET", "/_sandbox/calls", headers={"Authorization": f"Bearer {first['control']}"}
            )
            assert take(connection).json["counts"]["capabilities"] == 1
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_one_sentence() -> None:
    """The command ends with what to do, and puts no handler of signals in place."""
    before = signal.getsignal(signal.SIGTERM)
    with (
        opened() as peer,
        pytest.raises(ReconcilerError, match=rf"can't open port {peer.port} .*: choose"),
    ):
        run_sandbox(UNPACED, stdout=sys.stdout, port=peer.port)
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_owes_nothing_to_our_client_nor_to_any_package() -> None:
    """Its modules import the standard library, each other, and (the command only) the
    errors for a person.
    """
    folder = Path(reconciler.sandbox.__file__).parent
    for path in sorted(folder.glob("*.py")):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
        own = {"reconciler.errors"} if path.name == "command.py" else set()
        strangers = {
            name
            for name in names - own
            if name.partition(".")[0] not in sys.stdlib_module_names
            and not name.startswith("reconciler.sandbox")
        }
        assert strangers == set(), path.name


def test_no_thread_is_left_behind() -> None:
    """After the end of a sandbox its threads are gone."""
    with opened() as peer:
        assert peer.derive().status == 201
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "sandbox"])
