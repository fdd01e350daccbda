"""Claims about reading the metadata of many paths in one call: with a real OpenBao, and
with whatever else may answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.model import Secret
from reconciler.vault.scan import PAGES_MAX, WORTH_A_PAGE
from reconciler.vault.settings import VaultSettings
from reconciler.vault.store import SecretStore
from tests.support.http_stub import Answer, HttpStub, drop, http, say
from tests.support.openbao import new_mount, new_token, operator

PREFIX = "team/tokens"
CANARY = "canary-4711"
NAMES = tuple(f"bot-{number:02d}" for number in range(2 * WORTH_A_PAGE))
DATE = {"Date": "Sun, 29 Nov 2026 08:00:00 GMT"}
LIVING = {"created_time": "2026-11-28T08:00:00Z", "deletion_time": "", "destroyed": False}


def settings(address: str, token: str = CANARY) -> VaultSettings:
    """Settings that lead to a server."""
    return VaultSettings(address=address, token=Secret(token))


# --- the real server ---


def test_one_call_tells_what_single_reads_tell(openbao: OpenBaoServer) -> None:
    """Of living, deleted, many and no versions, of folders and of odd names; paths that
    nobody asked for are not in it.
    """
    with operator(openbao) as client:
        mount = new_mount(client)
        with SecretStore.connect(
            settings(openbao.address, openbao.root_token.reveal()), mount=mount
        ) as store:
            for name in ("a", "a/b", "a/b/c", "x@y+z:1", "_ledger", "two", "gone", "foreign"):
                store.write(f"{PREFIX}/{name}", {"by": "us"}, cas=0)
            store.write(f"{PREFIX}/two", {"by": "us"}, cas=1)
            store.delete_version(f"{PREFIX}/gone", 1)
            store.expire(f"{PREFIX}/short", after_s=900)
            names = ("a", "a/b", "a/b/c", "x@y+z:1", "_ledger", "two", "gone", "short")
            assert store.scan_metas(PREFIX, names) == {
                name: store.read_meta(f"{PREFIX}/{name}") for name in names
            }
            assert store.scan_metas(PREFIX, ("never",)) == {}
            assert store.scan_metas("elsewhere", ("a",)) == {}


@pytest.mark.parametrize("capabilities", [None, ["list"], ["scan"]])
def test_a_policy_decides_and_is_asked_once(
    openbao: OpenBaoServer, capabilities: list[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the capability nothing is found, that is said once, and single reads go
    on working.
    """
    with operator(openbao) as client:
        mount = new_mount(client)
        rules = {f"{mount}/metadata/*": ["read"], f"{mount}/data/*": ["create", "update"]}
        if capabilities is not None:
            rules[f"{mount}/detailed-metadata/{PREFIX}/*"] = capabilities
        token = new_token(client, rules)
        with (
            caplog.at_level(logging.DEBUG, logger="reconciler.vault.scan"),
            SecretStore.connect(settings(openbao.address, token), mount=mount) as store,
        ):
            store.write(f"{PREFIX}/a", {"by": "us"}, cas=0)
            single = store.read_meta(f"{PREFIX}/a")
            expected = {"a": single} if capabilities == ["scan"] else {}
            assert [store.scan_metas(PREFIX, ("a",)) for _ in range(2)] == [expected] * 2
    why = f"each path is read singly: on OpenBao {mount}/detailed-metadata/{PREFIX}/* with scan"
    said = [record.getMessage() for record in caplog.records]
    assert said == ([] if expected else [f"{why} saves that"])


# --- whatever else may answer ---


def page(names: tuple[str, ...], *, entry: Any = None) -> bytes:
    """A page that shows these names."""
    one = {"current_version": 1, "versions": {"1": LIVING}} if entry is None else entry
    info = {"keys": list(names), "key_info": dict.fromkeys(names, one)}
    return http(200, {"data": info}, headers=DATE)


@contextmanager
def asked(*script: Answer, otherwise: Answer) -> Iterator[tuple[SecretStore, HttpStub]]:
    """A store on a server that answers by a script."""
    with (
        HttpStub(*script, otherwise=otherwise) as stub,
        SecretStore.connect(settings(stub.url), mount="kv", read_retries=0) as store,
    ):
        yield store, stub


def test_pages_follow_each_other() -> None:
    """Where a server cuts, the next page begins after the last name of this one."""
    cut = 10
    pages = [NAMES[:cut], NAMES[cut : 2 * cut]]
    with asked(*(say(page(one)) for one in pages), otherwise=drop()) as (store, stub):
        found = store.scan_metas(PREFIX, NAMES)
    assert set(found) == {*pages[0], *pages[1]}
    where = f"/v1/kv/detailed-metadata/{PREFIX}?scan=true"
    assert [seen.target for seen in stub.seen] == [where, f"{where}&after={NAMES[cut - 1]}"]


def test_a_page_that_repeats_is_the_last() -> None:
    """OpenBao 2.7 answers with the same page, whatever it is asked to begin after."""
    with asked(otherwise=say(page(NAMES[:3]))) as (store, stub):
        assert set(store.scan_metas(PREFIX, NAMES)) == set(NAMES[:3])
    assert len(stub.seen) == 2


def test_pages_have_an_end() -> None:
    """A server that has another page for ever is asked for a few."""
    endless = [say(page((f"foreign-{number}",))) for number in range(2 * PAGES_MAX)]
    with asked(*endless, otherwise=drop()) as (store, stub):
        assert store.scan_metas(PREFIX, NAMES) == {}
    assert len(stub.seen) == PAGES_MAX


def test_only_what_was_asked_for_is_kept() -> None:
    """Of 100,000 names."""
    crowd = tuple(f"foreign-{number}" for number in range(100_000))
    with asked(otherwise=say(page((*crowd, "bot-00")))) as (store, stub):
        assert set(store.scan_metas(PREFIX, ("bot-00", "bot-01"))) == {"bot-00"}
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        http(404, {"errors": ["unsupported path"]}),
        http(405, {"errors": ["unsupported operation"]}),
        http(403, {"errors": ["permission denied"]}),
        http(400, {"errors": ["Forbidden"]}),
        http(501, body=b"<html>"),
        http(503, {"errors": ["Vault is sealed"]}),
        http(200, body=page(NAMES)[-2000:]),
        http(200, {"data": {"keys": list(NAMES)}}),
        http(200, {"data": {"keys": 3, "key_info": [*NAMES]}}),
        page(NAMES, entry="text"),
        page(NAMES, entry={"current_version": 1, "versions": {}}),
        page(NAMES, entry={"current_version": -1, "versions": {"1": LIVING}}),
        page(NAMES, entry={"current_version": 1, "versions": {"1": {"deletion_time": 3}}}),
        b"",
        page(NAMES)[:-100],
    ],
    ids=range(15),
)
def test_nothing_else_is_believed(answer: bytes) -> None:
    """Another status, half a document, names without metadata, metadata that says
    nothing, no answer: nothing is found, nothing fails.
    """
    with asked(otherwise=say(answer)) as (store, stub):
        assert store.scan_metas(PREFIX, NAMES) == {}
    assert len(stub.seen) <= 2
