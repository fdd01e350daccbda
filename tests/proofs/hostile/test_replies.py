"""Peers that lie: replies of the exchange and of Vault with anything at any place,
through the real clients.

A reply is either what was asked for or an error of the right kind, in one sentence that
says nothing of the reply.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler.errors import (
    ExchangeError,
    ExchangeUnclearError,
    ReconcilerError,
    VaultError,
    VaultUnclearError,
)
from reconciler.exchange.bodies import MAX_TOKENS
from reconciler.exchange.client import TokenClient
from reconciler.model import (
    Capabilities,
    Credentials,
    Derived,
    LiveToken,
    Secret,
    SecretMeta,
    SecretVersion,
    iso,
)
from reconciler.state.secret import credentials_of
from reconciler.vault.settings import VaultSettings
from reconciler.vault.store import SecretStore
from tests.proofs.hostile.strategies import ALL_OF_THEM, FEW_VALUES, Place, edits, places
from tests.support.fleet import unpaced
from tests.support.hostile import assert_harmless
from tests.support.http_stub import HttpStub, http, say

KEY = Credentials(token_id="id-1", secret=Secret("c2VjcmV0LWtleQ=="))
IDENTITY = Secret("an.identity.token")

LISTED = [
    {
        "tokenId": "id-1",
        "label": "bot",
        "scopes": ["trading"],
        "createdAt": "2026-11-22T08:30:00.000Z",
        "lastUsedAt": None,
    },
    {
        "tokenId": "id/2+=",
        "label": None,
        "scopes": ["trading", "withdrawal"],
        "createdAt": "2026-11-22T08:30:00.000Z",
        "lastUsedAt": "2026-11-22T08:30:00.000Z",
    },
]
DERIVED = {
    "apiKey": "id-3",
    "tokenId": "id-3",
    "secret": "bmV3LXNlY3JldA==",
    "createdAt": "2026-11-22T08:30:00.000Z",
    "scopes": ["trading"],
    "profile": {"id": 42, "account": "0xabc"},
}
ALLOWED = {"partnerProfileId": 42, "tokenManagementEnabled": True, "allowedScopes": ["trading"]}
NOTHING_GIVEN_AWAY = (
    "bmV3LXNlY3JldA==",
    "c2VjcmV0LWtleQ==",
    "an.identity.token",
    "taken over",
    "0xabc",
)

Ask = Callable[[TokenClient], object]
ASKED: dict[str, tuple[Any, Ask]] = {
    "list": (LISTED, lambda client: client.signed_by(KEY).list_tokens()),
    "derive": (DERIVED, lambda client: client.derive_token(IDENTITY, label="bot")),
    "capabilities": (ALLOWED, lambda client: client.get_capabilities(IDENTITY)),
}


@contextlib.contextmanager
def client_of(*replies: bytes) -> Iterator[TokenClient]:
    """A client of an exchange that gives these replies, one after the other."""
    with (
        HttpStub(*(say(reply) for reply in replies)) as stub,
        unpaced(),
        TokenClient(stub.url) as client,
    ):
        yield client


def assert_told(error: ReconcilerError) -> None:
    """One sentence that a person can read anywhere, without a word of what came."""
    assert_harmless(str(error))
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    assert not any(text in str(error) for text in NOTHING_GIVEN_AWAY)
    assert error.__cause__ is None
    assert error.__context__ is None


def assert_storable(found: object) -> None:
    """What was read can be written down as any other value of its kind, and is of the
    types that it says.
    """
    match found:
        case tuple():
            assert len({token.token_id for token in found}) == len(found)
            for token in found:
                assert_storable(token)
        case LiveToken():
            assert token_texts_encode(found.token_id, found.label or "", *found.scopes)
            iso(found.created_at_ms)
        case Derived():
            assert token_texts_encode(found.token_id, found.account, *found.scopes)
            assert found.token_id.isprintable()
            assert len(iso(found.created_at_ms)) == len("2026-11-22T08:30:00.000Z")
        case Capabilities():
            assert 0 <= found.profile_id < 2**63
            assert token_texts_encode(*found.allowed_scopes)
        case _:
            raise AssertionError(found)


def token_texts_encode(*texts: str) -> bool:
    """Whether all of them can be sent and stored."""
    return bool("".join(texts).encode() or True)


@pytest.mark.parametrize(
    ("asked", "place"),
    [(name, place) for name, (document, _) in ASKED.items() for place in [(), *places(document)]],
)
def test_anything_at_any_place_of_a_reply_of_the_exchange(asked: str, place: Place) -> None:
    """It is a value of its kind, or the outcome is unclear: a reply that can't be read
    proves nothing.
    """
    document, ask = ASKED[asked]
    edited = list(edits(document, place, FEW_VALUES)) if place else list(FEW_VALUES)
    with client_of(*(http(200, e) for e in edited)) as client:
        for _ in edited:
            try:
                found = ask(client)
            except ExchangeUnclearError as error:
                assert_told(error)
                continue
            assert_storable(found)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe\x00",
    "cut off": json.dumps(LISTED).encode()[:-7],
    "twice": json.dumps(LISTED).encode() * 2,
    "HTML": b"<html><script>alert(1)</script>" + ALL_OF_THEM.encode(),
    "very deep": b"[" * 200_000 + b"]" * 200_000,
    "a huge number": b"9" * 100_000,
    "a million entries": b"[" + b"1," * 1_000_000 + b"1]",
    "too many tokens": json.dumps(
        [{**LISTED[0], "tokenId": f"id-{n}"} for n in range(MAX_TOKENS + 1)]
    ).encode(),
    "the same id twice": json.dumps([LISTED[0], LISTED[0]]).encode(),
    "no number": b"NaN",
    "a text of a megabyte": json.dumps("x" * 1_000_000).encode(),
    "an error in a success": b'{"message": "::error::taken over", "statusCode": 500}',
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BODIES.items()])
@pytest.mark.parametrize("asked", ASKED)
def test_a_body_that_is_no_reply(asked: str, body: bytes) -> None:
    """Unclear, whatever it is."""
    with client_of(http(200, body=body)) as client, pytest.raises(ExchangeUnclearError) as caught:
        ASKED[asked][1](client)
    assert_told(caught.value)


@pytest.mark.parametrize(
    "status",
    [
        100,
        199,
        204,
        206,
        226,
        299,
        300,
        302,
        308,
        400,
        401,
        402,
        403,
        404,
        418,
        422,
        451,
        500,
        599,
        999,
    ],
)
@pytest.mark.parametrize("asked", ASKED)
def test_a_status_with_a_body_that_means_harm(asked: str, status: int) -> None:
    """An error of ours, built from the status alone."""
    reply = http(
        status, {"message": ALL_OF_THEM, "error": [ALL_OF_THEM], "secret": "bmV3LXNlY3JldA=="}
    )
    with client_of(*[reply] * 4) as client, pytest.raises(ExchangeError) as caught:
        ASKED[asked][1](client)
    assert_told(caught.value)


HEADERS: dict[str, dict[str, str]] = {
    "dates": {"Date": "Sun, 99 Foo 99999999999999 99:99:99 +9999999"},
    "a date of long ago": {"Date": "Mon, 01 Jan 0001 00:00:00 GMT"},
    "no pause": {"Retry-After": "-1"},
    "an endless pause": {"Retry-After": "9" * 400},
    "a pause that is text": {"Retry-After": "\u00b2"},
    "encoded": {"Content-Encoding": "gzip"},
    "a cookie": {"Set-Cookie": "a=b; Path=/"},
    "a place to go": {"Location": "http://127.0.0.1:1/"},
    "a type": {"Content-Type": "text/html; charset=no-such-charset"},
}


@pytest.mark.parametrize(
    "headers", [pytest.param(headers, id=name) for name, headers in HEADERS.items()]
)
@pytest.mark.parametrize("status", [200, 429, 503])
def test_headers_that_make_no_sense(headers: dict[str, str], status: int) -> None:
    """They are passed over: a good reply stays one, a bad one is an error."""
    with client_of(*[http(status, LISTED, headers=headers)] * 4) as client:
        try:
            assert len(ASKED["list"][1](client)) == 2  # type: ignore[arg-type]
        except ExchangeError as error:
            assert_told(error)
            return
        assert status == 200


# --- Vault ---

META = {
    "cas_required": False,
    "created_time": "2026-11-22T08:30:00.000Z",
    "current_version": 2,
    "oldest_version": 0,
    "versions": {
        "1": {
            "created_time": "2026-11-22T08:30:00.000Z",
            "deletion_time": "2026-11-22T08:30:00.000Z",
            "destroyed": True,
        },
        "2": {"created_time": "2026-11-22T08:30:00.000Z", "deletion_time": "", "destroyed": False},
    },
}
FIELDS = {
    "token_id": "id-1",
    "secret": "bmV3LXNlY3JldA==",
    "label": "bot",
    "scopes": "trading",
    "operation_id": "op",
}
VERSION = {"data": FIELDS, "metadata": {"version": 2, "deletion_time": "", "destroyed": False}}
MOUNT = {"path": "secret/", "type": "kv", "options": {"version": "2"}}

Look = Callable[[SecretStore], object]
WRITTEN = {
    "version": 3,
    "created_time": "2026-11-22T08:30:00.123456789Z",
    "deletion_time": "2026-11-23T08:30:00.123456789Z",
    "destroyed": False,
}
LOOKED: dict[str, tuple[Any, Look]] = {
    "read": ({"data": VERSION}, lambda store: store.read("a/b")),
    "read a version": ({"data": VERSION}, lambda store: store.read("a/b", version=2)),
    "metadata": ({"data": META}, lambda store: store.read_meta("a/b")),
    "list": (
        {"data": {"keys": ["bot", "prod/", "_ledger"]}},
        lambda store: store.list_paths("a", limit=20),
    ),
    "write": ({"data": WRITTEN}, lambda store: store.write("a/b", {"x": "y"}, cas=2)),
    "mount": ({"data": MOUNT}, lambda store: store.check_mount()),
}


@contextlib.contextmanager
def store_of(reply: Callable[[], bytes]) -> Iterator[SecretStore]:
    """A store of a Vault that gives this reply to everything, without a retry."""
    with HttpStub(otherwise=lambda _connection, _closing: reply()) as stub, unpaced():
        settings = VaultSettings(address=stub.url, token=Secret("s.token"))
        with SecretStore.connect(settings, mount="secret", read_retries=0) as store:
            yield store


@pytest.mark.parametrize(
    ("looked", "place"), [(name, place) for name, (d, _) in LOOKED.items() for place in places(d)]
)
def test_anything_at_any_place_of_a_reply_of_vault(looked: str, place: Place) -> None:
    """It is a value of its kind, or an error of ours; a secret that somebody edited is
    still a secret.
    """
    document, look = LOOKED[looked]
    replies: list[bytes] = []
    with store_of(lambda: replies[-1]) as store:
        for edited in edits(document, place, FEW_VALUES):
            replies.append(http(200, edited, headers={"Date": "Sun, 22 Nov 2026 08:30:00 GMT"}))
            try:
                assert_readable(look(store))
            except VaultError as error:
                assert_told(error)


def assert_readable(found: object) -> None:
    """A value as the store promises it, from which credentials can be made or not, but
    never an exception.
    """
    match found:
        case SecretVersion():
            assert found.field("secret") is None
            assert all(isinstance(text, str) for pair in found.fields or () for text in pair)
            assert credentials_of(found) is None or found.secret is not None
        case SecretMeta():
            assert found.oldest >= 0
            assert found.latest >= 0
        case tuple():
            assert all(isinstance(path, str) for path in found)
        case _:
            assert found is None


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BODIES.items()])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_body_that_vault_never_sends(status: int, body: bytes) -> None:
    """An error of ours: something else answers there."""
    with store_of(lambda: http(status, body=body)) as store:
        for _, look in LOOKED.values():
            with pytest.raises(VaultError) as caught:
                look(store)
            assert_told(caught.value)


@pytest.mark.parametrize("number", ["", "-1", "1.5", "\u00b2", "x", "9" * 20, "9" * 5_000])
def test_a_version_of_vault_that_is_no_number(number: str) -> None:
    """The keys of a mapping are text: what can't be counted is an error."""
    document = {"data": {**META, "versions": {**META["versions"], number: META["versions"]["1"]}}}  # type: ignore[dict-item,index]
    with store_of(lambda: http(200, document)) as store, pytest.raises(VaultUnclearError) as caught:
        store.read_meta("a/b")
    assert_told(caught.value)


DATES = (None, "", "yesterday", "Mon, 01 Jan 99999999999999 00:00:00 GMT")


@pytest.mark.parametrize("date", DATES)
def test_a_date_of_vault_that_is_none(date: str | None) -> None:
    """Whether a version has expired is then not known, which is an error, not a
    guess.
    """
    entry = {**META["versions"]["2"], "deletion_time": "2999-01-01T00:00:00Z"}  # type: ignore[index]
    document = {"data": {**META, "versions": {"2": entry}}}
    headers = {} if date is None else {"Date": date}
    with (
        store_of(lambda: http(200, document, headers=headers)) as store,
        pytest.raises(VaultUnclearError) as caught,
    ):
        store.read_meta("a/b")
    assert_told(caught.value)
