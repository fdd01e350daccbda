"""Claims about the secret store: against a real OpenBao, and against servers that are
anything but Vault.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import os
import re
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.openbao import OpenBaoServer, free_port
from reconciler.errors import (
    VaultCasMismatchError,
    VaultError,
    VaultRefusedError,
    VaultUnclearError,
)
from reconciler.model import NEVER_WRITTEN, Secret, SecretMeta, SecretVersion, VersionState
from reconciler.vault.contents import stored_bytes
from reconciler.vault.http import newer_index
from reconciler.vault.logins.approle import AppRole
from reconciler.vault.logins.jwt import Jwt
from reconciler.vault.settings import VaultSettings
from reconciler.vault.store import SecretStore
from tests.support.http_stub import HttpStub, drop, http, say
from tests.support.openbao import jwt_public_key, new_mount, new_token, operator, signed_jwt
from tests.support.suspending import suspend

ABSENT, LIVING, DELETED = VersionState.ABSENT, VersionState.LIVING, VersionState.DELETED
CANARY = "canary-4711"


def settings_of(server: OpenBaoServer, token: str | None = None, **changes: Any) -> VaultSettings:
    """Settings that lead to a server: as root, or with another token."""
    secret = Secret(token) if token is not None else server.root_token
    return VaultSettings(address=server.address, **{"token": secret, **changes})


def connect(settings: VaultSettings, mount: str, **options: Any) -> SecretStore:
    """A store that does not repeat its reads, so that failures are quick."""
    return SecretStore.connect(settings, mount=mount, **{"read_retries": 0, **options})


def failure_of(action: Callable[[], object]) -> VaultError:
    """The error that an action raises, after the claim that holds for all of them: it
    carries nothing along.
    """
    with pytest.raises(VaultError) as caught:
        action()
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    text = "".join(traceback.format_exception(error))
    assert CANARY not in text
    sentence = str(error)
    assert "\n" not in sentence
    assert ": " in sentence, "what happened: what to do"
    return error


def said(error: VaultError) -> tuple[type[VaultError], str]:
    """An error as a value."""
    return type(error), str(error)


@pytest.fixture
def store(openbao: OpenBaoServer, vault_mount: str) -> Iterator[SecretStore]:
    """A store on a mount of its own, as root."""
    with connect(settings_of(openbao), vault_mount) as store:
        yield store


@pytest.fixture
def root(openbao: OpenBaoServer) -> Iterator[Any]:
    """An hvac client as root, to do what the store can't."""
    with operator(openbao) as client:
        yield client


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between repeats, in seconds, noted instead of made."""
    noted: list[float] = []
    monkeypatch.setattr("reconciler.vault.http.time.sleep", noted.append)
    return noted


def plain_fields(version: SecretVersion) -> dict[str, str]:
    """A version's fields, those revealed that hold the secret under another name."""
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in version.fields or ()
    }


def shown(version: SecretVersion) -> tuple[int, VersionState, dict[str, str] | None, str | None]:
    """A version as a value, its secret revealed: two Secrets never compare equal."""
    fields = plain_fields(version) if version.fields is not None else None
    return (
        version.version,
        version.state,
        fields,
        version.secret.reveal() if version.secret is not None else None,
    )


def timeless(meta: SecretMeta) -> SecretMeta:
    """Metadata without the times that Vault chose."""
    return dataclasses.replace(meta, created_at_ms=None, ends_at_ms=None)


# Writing with check-and-set


@pytest.mark.parametrize(
    ("versions", "deleted", "cas", "expected"),
    [
        pytest.param(0, 0, 0, 1, id="0 on a new path"),
        pytest.param(0, 0, 1, None, id="1 on a new path"),
        pytest.param(1, 0, 1, 2, id="the latest"),
        pytest.param(1, 0, 0, None, id="0 on a written path"),
        pytest.param(3, 0, 2, None, id="stale"),
        pytest.param(3, 0, 4, None, id="of the future"),
        pytest.param(2, 2, 2, 3, id="the latest, deleted"),
        pytest.param(2, 2, 0, None, id="0 where the latest is deleted"),
        pytest.param(2, 1, 2, 3, id="the latest, where an older one is deleted"),
    ],
)
def test_check_and_set(
    store: SecretStore, versions: int, deleted: int, cas: int, expected: int | None
) -> None:
    """A write is done exactly if its number is that of the latest version; the new
    version is one more.
    """
    for number in range(versions):
        store.write("p", {"n": str(number)}, cas=number)
    if deleted:
        store.delete_version("p", deleted)
    before = store.read("p")
    if expected is not None:
        assert store.write("p", {"n": "new"}, cas=cas).latest == expected
        assert shown(store.read("p")) == (expected, LIVING, {"n": "new"}, None)
    else:
        assert (
            type(failure_of(lambda: store.write("p", {"n": "new"}, cas=cas)))
            is VaultCasMismatchError
        )
        assert shown(store.read("p")) == shown(before)


def test_one_of_sixteen_threads_wins(store: SecretStore) -> None:
    """Sixteen threads write a new path at once through one store, over and over: one
    each time, the others get a mismatch.
    """

    def attempt(path: str, thread: int) -> str | None:
        try:
            store.write(path, {"thread": str(thread)}, cas=0)
        except VaultCasMismatchError:
            return None
        return str(thread)

    with ThreadPoolExecutor(16) as threads:
        for round_ in range(10):
            path = f"race/{round_}"
            winners = [
                winner
                for winner in threads.map(
                    lambda thread, path=path: attempt(path, thread), range(16)
                )
                if winner
            ]
            assert [store.read(path).field("thread")] == winners


@pytest.mark.parametrize("cas", [-1, True])
def test_cas_is_a_number(store: SecretStore, cas: int) -> None:
    """Vault would take -1, and True for 1: a caller's mistake is stopped here."""
    with pytest.raises(ValueError, match="cas is the number"):
        store.write("p", {}, cas=cas)
    assert store.read_meta("p") == NEVER_WRITTEN


def test_secret_is_no_plain_field(store: SecretStore) -> None:
    """The field named secret is written from a Secret only, so that no caller handles
    it as text.
    """
    with pytest.raises(ValueError, match="travels as a Secret"):
        store.write("p", {"secret": CANARY}, cas=0)


def test_secret_goes_through_unseen(store: SecretStore) -> None:
    """A secret comes back as it was written, wrapped, and not among the fields."""
    store.write("p", {"token_id": "t1"}, secret=Secret(CANARY), cas=0)
    version = store.read("p")
    assert shown(version) == (1, LIVING, {"token_id": "t1"}, CANARY)
    assert CANARY not in repr(version)


# Reading


def test_states_of_a_version(store: SecretStore, root: Any, vault_mount: str) -> None:
    """Every fate of a version has its value, for the latest and by number; a trimmed
    one is absent, like one that never was.
    """
    kv = root.secrets.kv.v2
    root.adapter.post(f"/v1/{vault_mount}/metadata/p", json={"max_versions": 4})
    for number in range(5):
        store.write("p", {"n": str(number + 1)}, cas=number)
    store.delete_version("p", 3)
    kv.destroy_secret_versions("p", [4], mount_point=vault_mount)
    assert [shown(store.read("p", version=number)) for number in range(1, 7)] == [
        (1, ABSENT, None, None),
        (2, LIVING, {"n": "2"}, None),
        (3, DELETED, None, None),
        (4, DELETED, None, None),
        (5, LIVING, {"n": "5"}, None),
        (6, ABSENT, None, None),
    ]
    meta = store.read_meta("p")
    assert timeless(meta) == SecretMeta(latest=5, state=LIVING, oldest=2, kept=4)


@pytest.mark.parametrize("how", ["deleted", "destroyed", "expired"])
def test_latest_that_is_gone(store: SecretStore, root: Any, vault_mount: str, how: str) -> None:
    """Of a path whose latest version is gone, reads and metadata both give its number:
    the next write needs it.
    """
    kv = root.secrets.kv.v2
    store.write("p", {"n": "1"}, cas=0)
    if how == "expired":
        root.adapter.post(f"/v1/{vault_mount}/metadata/p", json={"delete_version_after": "1s"})
    store.write("p", {"n": "2"}, cas=1)
    if how == "deleted":
        store.delete_version("p", 2)
    elif how == "destroyed":
        kv.destroy_secret_versions("p", [2], mount_point=vault_mount)
    else:
        time.sleep(1.1)  # Vault counts this in whole seconds
    assert shown(store.read("p")) == (2, DELETED, None, None)
    assert shown(store.read("p", version=2)) == (2, DELETED, None, None)
    meta = store.read_meta("p")
    life_ms = 1_000 if how == "expired" else None
    gone = how == "destroyed"
    wanted = SecretMeta(latest=2, state=DELETED, oldest=1, life_ms=life_ms, destroyed=gone)
    assert timeless(meta) == wanted
    ended = (meta.created_at_ms or 0) + 1_000 if how == "expired" else None
    assert meta.ends_at_ms == store.read("p").ends_at_ms == ended
    assert store.write("p", {"n": "3"}, cas=2).latest == 3


def test_version_that_will_expire_is_living(
    store: SecretStore, root: Any, vault_mount: str
) -> None:
    """Where versions expire, a deletion time in the future does not make a version
    deleted: it is told as its end, by the write's reply, the metadata and a read alike.
    """
    root.adapter.post(f"/v1/{vault_mount}/metadata/p", json={"delete_version_after": "1h"})
    written = store.write("p", {"n": "1"}, cas=0)
    meta, read = store.read_meta("p"), store.read("p")
    assert timeless(meta) == SecretMeta(latest=1, state=LIVING, oldest=1, life_ms=3_600_000)
    assert written.version_id == meta.version_id == read.version_id
    assert written.created_at_ms is not None
    assert {written.ends_at_ms, meta.ends_at_ms, read.ends_at_ms} == {
        written.created_at_ms + 3_600_000
    }


def test_the_mounts_setting_ends_versions_too(
    store: SecretStore, root: Any, vault_mount: str
) -> None:
    """A path's own 0s does not help against it, and only what is written shows it."""
    root.adapter.post(f"/v1/{vault_mount}/config", json={"delete_version_after": "2h"})
    root.adapter.post(f"/v1/{vault_mount}/metadata/p", json={"delete_version_after": "0s"})
    assert store.read_meta("p") == NEVER_WRITTEN
    written = store.write("p", {"n": "1"}, cas=0)
    assert (written.ends_at_ms or 0) - (written.created_at_ms or 0) == 7_200_000
    assert store.read_meta("p").life_ms is None


def test_a_number_comes_round_again(store: SecretStore, root: Any, vault_mount: str) -> None:
    """After its metadata were deleted, a path counts from 1 anew: the time tells the
    two versions apart.
    """
    first = store.write("p", {"n": "1"}, cas=0)
    root.secrets.kv.v2.delete_metadata_and_all_versions("p", mount_point=vault_mount)
    second = store.write("p", {"n": "2"}, cas=0)
    assert first.latest == second.latest == 1
    assert not first.version_id.is_same(second.version_id)
    assert store.read("p").version_id == store.read_meta("p").version_id == second.version_id


def test_versions_kept_are_told_where_they_show(
    store: SecretStore, root: Any, vault_mount: str
) -> None:
    """A path's own number does; the mount's shows once a version was trimmed away."""
    root.adapter.post(f"/v1/{vault_mount}/metadata/own", json={"max_versions": 7})
    assert store.read_meta("own").kept == 7
    root.adapter.post(f"/v1/{vault_mount}/config", json={"max_versions": 2})
    kept = []
    for number in range(3):
        store.write("p", {}, cas=number)
        kept.append(store.read_meta("p").kept)
    assert kept == [None, None, 2]


def test_never_written(store: SecretStore, root: Any, vault_mount: str) -> None:
    """Nothing at a path is a value, number 0; so is metadata without a version."""
    root.adapter.post(f"/v1/{vault_mount}/metadata/q", json={"custom_metadata": {"owner": "me"}})
    for path in ("p", "q"):
        assert store.read_meta(path) == NEVER_WRITTEN
        assert shown(store.read(path)) == (0, ABSENT, None, None)
        assert store.write(path, {}, cas=0).latest == 1


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, ({}, None)),
        (None, ({}, None)),
        (
            {"n": 5, "b": True, "z": None, "f": 1.5},
            ({"n": "5", "b": "true", "z": "null", "f": "1.5"}, None),
        ),
        ({"o": {"b": [1, "x"], "a": {}}}, ({"o": '{"a": {}, "b": [1, "x"]}'}, None)),
        ({"secret": 4711}, ({}, "4711")),
        ({"secret": {"key": CANARY}}, ({}, f'{{"key": "{CANARY}"}}')),
        ({"e": "", "u": "é\u2028\n<&>"}, ({"e": "", "u": "é\u2028\n<&>"}, None)),
    ],
)
def test_any_content_is_read_as_text(
    store: SecretStore,
    root: Any,
    vault_mount: str,
    stored: Any,
    expected: tuple[dict[str, str], str | None],
) -> None:
    """What a person put there by hand is text to us, whatever it is, and a secret is
    wrapped whatever it is.
    """
    root.secrets.kv.v2.create_or_update_secret("p", stored, cas=0, mount_point=vault_mount)
    version = store.read("p")
    assert shown(version) == (1, LIVING, *expected)
    assert version.fields == tuple(sorted(expected[0].items()))
    assert CANARY not in repr(version)


@pytest.mark.parametrize("version", [0, -1, True])
def test_version_is_a_number(store: SecretStore, version: int) -> None:
    """Vault would take 0 and -1 for the latest, which a caller with a number never
    means.
    """
    for action in (store.delete_version, lambda path, number: store.read(path, version=number)):
        with pytest.raises(ValueError, match="at least 1"):
            action("p", version)


def test_delete_takes_exactly_one_version(store: SecretStore) -> None:
    """A delete spares every version but the one named; of what is gone or never was, it
    is no error.
    """
    for number in range(3):
        store.write("p", {}, cas=number)
    for version in (2, 2, 9):
        store.delete_version("p", version)
    store.delete_version("never/written", 1)
    assert [store.read("p", version=number).state for number in (1, 2, 3)] == [
        LIVING,
        DELETED,
        LIVING,
    ]


def test_list_paths(store: SecretStore, root: Any, vault_mount: str) -> None:
    """All leaves below a prefix, deleted ones too, in one order; a limit cuts, and an
    odd folder stands for its content.
    """
    for path in (
        "pre/b",
        "pre/a",
        "pre/a/x",
        "pre/a-b",
        "pre/a/y/z",
        "pre/_ledger",
        "prefix",
        "other",
    ):
        store.write(path, {}, cas=0)
    store.delete_version("pre/b", 1)
    for odd in ("pre/o dd/inside", "pre/.dot"):
        root.secrets.kv.v2.create_or_update_secret(odd, {}, cas=0, mount_point=vault_mount)
    expected = (
        "pre/.dot",
        "pre/_ledger",
        "pre/a",
        "pre/a-b",
        "pre/a/x",
        "pre/a/y/z",
        "pre/b",
        "pre/o dd/",
    )
    assert store.list_paths("pre", limit=100) == expected
    assert tuple(sorted(expected)) == expected
    assert store.list_paths("pre", limit=3) == expected[:3]
    assert store.list_paths("nothing", limit=3) == ()


def test_a_list_that_a_policy_cuts_is_read_to_its_end(
    store: SecretStore, root: Any, openbao: OpenBaoServer, vault_mount: str
) -> None:
    """Its ``pagination_limit`` cuts each reply without a word."""
    names = tuple(f"pre/{name}" for name in "abcde")
    for name in names:
        store.write(name, {}, cas=0)
    rule = f'path "{vault_mount}/metadata/*" {{ capabilities = ["list"]\npagination_limit = 2 }}'
    policy = f"pages-{free_port()}"
    root.sys.create_or_update_policy(policy, rule)
    token = root.auth.token.create(policies=[policy], ttl="10m")["auth"]["client_token"]
    with connect(settings_of(openbao, token), vault_mount) as reader:
        assert reader.list_paths("pre", limit=9) == names


def test_list_is_sorted_whatever_the_server_does() -> None:
    """The order is ours, not the server's, and a tree without end is not followed
    without end.
    """
    unsorted = [
        answers(200, {"data": {"keys": ["b", "a-", "a/", "a"]}}),
        answers(404, {"errors": []}),
    ]
    with Stub(unsorted) as stub, stub.connect() as store:
        assert store.list_paths("p", limit=9) == ("p/a", "p/a-", "p/b")
    endless = [answers(200, {"data": {"keys": ["a/"]}})]
    with Stub(endless) as stub, stub.connect() as store:
        error = failure_of(lambda: store.list_paths("p", limit=9))
        assert (type(error), len(stub.asked)) == (VaultUnclearError, 64), "two pages a folder"


# The mount


def test_mount_of_version_2_is_fine(store: SecretStore) -> None:
    """The mount that everything else here uses passes."""
    store.check_mount()


@pytest.mark.parametrize("options", [{"version": "1"}, {}], ids=["version 1", "no version"])
def test_version_1_is_refused(openbao: OpenBaoServer, root: Any, options: dict[str, str]) -> None:
    """A KV of version 1 is refused beforehand; and where a policy hides that, its reply
    to a write tells.
    """
    mount = f"old-{free_port()}"
    root.sys.enable_secrets_engine("kv", path=mount, options=options)
    with connect(settings_of(openbao), mount) as store:
        assert "not a KV engine of version 2" in str(failure_of(store.check_mount))
        error = failure_of(lambda: store.write("p", {"a": "b"}, secret=Secret(CANARY), cas=0))
    sentence = f"as {mount} is no KV engine of version 2: use another"
    assert said(error) == (VaultUnclearError, f"{mount}/data/p was written unchecked, {sentence}")


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ("nothing-here", "nothing is mounted for nothing-here:"),
        ("secret/inside", "secret/inside is not a mount but a path inside one"),
        ("cubbyhole", "the mount cubbyhole is not a KV engine of version 2"),
    ],
)
def test_wrong_mount_is_a_sentence(openbao: OpenBaoServer, mount: str, sentence: str) -> None:
    """A mount that is missing, is none, or is of another kind is refused."""
    with connect(settings_of(openbao), mount) as store:
        error = failure_of(store.check_mount)
    assert type(error) is VaultRefusedError
    assert str(error).startswith(sentence)


def test_hidden_mount_is_no_error(openbao: OpenBaoServer, root: Any, vault_mount: str) -> None:
    """A token that may not see the mount's version can't judge it, and goes on."""
    with connect(
        settings_of(openbao, new_token(root, {"elsewhere/*": ["read"]})), vault_mount
    ) as store:
        store.check_mount()


@pytest.mark.parametrize(
    "action",
    [
        lambda store: store.write("p", {}, cas=0),
        lambda store: store.read("p"),
        lambda store: store.read_meta("p"),
        lambda store: store.delete_version("p", 1),
        lambda store: store.list_paths("p", limit=1),
    ],
    ids=["write", "read", "read_meta", "delete_version", "list_paths"],
)
def test_missing_mount_is_never_absence(
    openbao: OpenBaoServer, action: Callable[[SecretStore], object]
) -> None:
    """That nothing is mounted is an error for every call: it must not read as "never
    written".
    """
    with connect(settings_of(openbao), "nothing-here") as store:
        error = failure_of(lambda: action(store))
    assert type(error) is VaultRefusedError
    assert str(error).startswith("nothing is mounted for nothing-here/")


# Rights

# The policy that the documentation gives, by the first segment below the mount.
POLICY = {"data": ["create", "read", "update"], "metadata": ["read", "list"], "delete": ["update"]}


@pytest.fixture
def limited(
    openbao: OpenBaoServer, root: Any, vault_mount: str
) -> Iterator[Callable[[str, str], SecretStore]]:
    """Makes stores whose token has that policy below ``pre/``, less one capability."""
    stores: list[SecretStore] = []

    def make(kind: str, capability: str) -> SecretStore:
        rules = {
            f"{vault_mount}/{name}/pre/*": [
                granted for granted in grants if (name, granted) != (kind, capability)
            ]
            for name, grants in POLICY.items()
        }
        token = new_token(root, {path: grants for path, grants in rules.items() if grants})
        stores.append(connect(settings_of(openbao, token), vault_mount))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.mark.parametrize(
    ("lacking", "action", "needed"),
    [
        (
            "data:create",
            lambda store: store.write("pre/new", {}, cas=0),
            '"create" and "update" on {}/data/pre/new',
        ),
        (
            "data:update",
            lambda store: store.write("pre/old", {}, cas=1),
            '"update" on {}/data/pre/old',
        ),
        (
            "data:update",
            lambda store: store.write("pre/old", {}, cas=0),
            '"create" and "update" on {}/data/pre/old',
        ),
        ("data:read", lambda store: store.read("pre/old"), '"read" on {}/data/pre/old'),
        ("data:read", lambda store: store.read("pre/new"), '"read" on {}/data/pre/new'),
        (
            "metadata:read",
            lambda store: store.read_meta("pre/old"),
            '"read" on {}/metadata/pre/old',
        ),
        (
            "metadata:list",
            lambda store: store.list_paths("pre", limit=1),
            '"list" on {}/metadata/pre/',
        ),
        (
            "delete:update",
            lambda store: store.delete_version("pre/old", 1),
            '"update" on {}/delete/pre/old',
        ),
    ],
)
def test_missing_capability_is_named(
    store: SecretStore,
    limited: Callable[[str, str], SecretStore],
    lacking: str,
    action: Callable[[SecretStore], object],
    needed: str,
) -> None:
    """With one capability less than the documented policy, exactly its calls fail, and
    the error names it.
    """
    store.write("pre/old", {}, cas=0)
    kind, _, capability = lacking.partition(":")
    error = failure_of(lambda: action(limited(kind, capability)))
    sentence = f"the Vault token may not do this: its policy needs {needed.format(store.mount)}"
    assert said(error) == (VaultRefusedError, sentence)


def test_documented_policy_suffices(limited: Callable[[str, str], SecretStore]) -> None:
    """With the documented policy every method works, the preflight included."""
    store = limited("", "")
    store.check_mount()
    assert store.read("pre/p").state is ABSENT
    assert store.write("pre/p", {}, cas=0).latest == 1
    assert store.write("pre/p", {}, cas=1).latest == 2
    store.delete_version("pre/p", 1)
    assert store.read_meta("pre/p").latest == 2
    assert store.list_paths("pre", limit=9) == ("pre/p",)


@pytest.mark.parametrize("uses", [0, 1], ids=["unknown", "used up"])
def test_dead_token_is_told_from_a_weak_one(
    openbao: OpenBaoServer, root: Any, vault_mount: str, uses: int
) -> None:
    """A token that Vault does not know (any more) gets another sentence than one whose
    policy is too narrow.
    """
    token = new_token(root, {f"{vault_mount}/*": ["read"]}, num_uses=uses) if uses else CANARY
    with connect(settings_of(openbao, token), vault_mount) as store:
        for _ in range(uses):
            store.read("p")
        error = failure_of(lambda: store.read("p"))
    needed = f'"read" on {vault_mount}/data/p'
    sentence = (
        "the Vault token is wrong, has expired, is used up or was revoked: get a new one "
        f"(if it is known to be good, its policy needs {needed})"
    )
    assert said(error) == (VaultRefusedError, sentence)


# Namespaces


def test_namespace(openbao: OpenBaoServer, root: Any) -> None:
    """Calls go to the namespace of the settings; one that is missing is a sentence;
    rights are named with it.
    """
    name = f"ns-{free_port()}"
    root.adapter.post(f"/v1/sys/namespaces/{name}", json={})
    with operator(openbao, namespace=name) as inside:
        mount = new_mount(inside)
        weak = new_token(inside, {"elsewhere": ["read"]})
    with connect(settings_of(openbao, namespace=name), mount) as store:
        store.check_mount()
        assert store.write("p", {"a": "b"}, cas=0).latest == 1
    with connect(settings_of(openbao, weak, namespace=name), mount) as store:
        assert str(failure_of(lambda: store.read("p"))).endswith(
            f'needs "read" on {mount}/data/p in namespace {name}'
        )
    with connect(settings_of(openbao, namespace="missing"), mount) as store:
        for action in (
            store.check_mount,
            lambda: store.read("p"),
            lambda: store.write("p", {}, cas=0),
        ):
            assert said(failure_of(action)) == (
                VaultRefusedError,
                "Vault has no namespace missing: check VAULT_NAMESPACE",
            )


# Logging in


@pytest.fixture(scope="module")
def login_server(openbao: OpenBaoServer) -> Iterator[Any]:
    """An operator's client on the shared server, with AppRole and JWT logins set up for
    a role named ``deploy``.
    """
    with operator(openbao) as client:
        client.sys.create_or_update_policy(
            "deploy", 'path "secret/*" { capabilities = ["create", "read", "update"] }'
        )
        client.sys.enable_auth_method("approle", path="ci/approle")
        client.auth.approle.create_or_update_approle(
            "deploy", token_policies=["deploy"], mount_point="ci/approle"
        )
        client.auth.approle.create_or_update_approle(
            "batch", token_policies=["deploy"], token_type="batch", mount_point="ci/approle"
        )
        client.sys.enable_auth_method("jwt", path="jwt")
        client.auth.jwt.configure(
            jwt_validation_pubkeys=[jwt_public_key()],
            bound_issuer="https://issuer.example",
            path="jwt",
        )
        client.auth.jwt.create_role(
            name="deploy",
            role_type="jwt",
            user_claim="sub",
            allowed_redirect_uris=[],
            bound_audiences=["https://vault.example"],
            token_policies=["deploy"],
            path="jwt",
        )
        yield client


def approle_settings(openbao: OpenBaoServer, client: Any, role: str) -> VaultSettings:
    """Settings for a login with a fresh secret id."""
    approle = client.auth.approle
    return VaultSettings(
        address=openbao.address,
        login=AppRole(
            mount="ci/approle",
            role_id=approle.read_role_id(role, mount_point="ci/approle")["data"]["role_id"],
            secret_id=Secret(
                approle.generate_secret_id(role, mount_point="ci/approle")["data"]["secret_id"]
            ),
        ),
    )


def jwt_settings(openbao: OpenBaoServer, role: str = "deploy", **claims: object) -> VaultSettings:
    """Settings for a login with a fresh identity token."""
    now_s = int(time.time())
    every: dict[str, object] = {
        "iss": "https://issuer.example",
        "aud": "https://vault.example",
        "sub": "repo:acme",
        "jti": CANARY,
        "iat": now_s,
        "exp": now_s + 300,
    }
    return VaultSettings(
        address=openbao.address,
        login=Jwt(mount="jwt", role=role, jwt=Secret(signed_jwt({**every, **claims}))),
    )


@pytest.mark.parametrize("method", ["approle", "jwt"])
def test_login_works_and_ends(
    openbao: OpenBaoServer, login_server: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login gives a token with the role's rights, which closing revokes; a
    VAULT_TOKEN in the environment plays no part.
    """
    monkeypatch.setenv("VAULT_TOKEN", CANARY)
    settings = (
        approle_settings(openbao, login_server, "deploy")
        if method == "approle"
        else jwt_settings(openbao)
    )
    with connect(settings, "secret") as store:
        token = store._client.token
        assert store.write(f"login/{method}", {}, cas=0).latest == 1
        assert login_server.auth.token.lookup(token)["data"]["policies"] == ["default", "deploy"]
    store.close()
    with connect(settings_of(openbao, token), "secret") as after:
        said_then = str(failure_of(lambda: after.read("login")))
        assert "is used up or was revoked" in said_then


def test_batch_token_is_let_go(openbao: OpenBaoServer, login_server: Any) -> None:
    """A batch token can't be revoked: closing a store that has one is no error."""
    with connect(approle_settings(openbao, login_server, "batch"), "secret") as store:
        assert store.read("login/nothing").state is ABSENT


def test_given_token_is_not_revoked(openbao: OpenBaoServer, root: Any) -> None:
    """A token that was given to us is somebody else's: closing leaves it alone."""
    token = new_token(root, {"secret/*": ["read"]})
    for _ in range(2):
        with connect(settings_of(openbao, token), "secret") as store:
            assert store.read("nothing").state is ABSENT


def test_close_never_fails(openbao: OpenBaoServer, login_server: Any) -> None:
    """Closing is quiet even where the server is gone by then."""
    with OpenBaoServer() as server:
        with operator(server) as client:
            client.sys.enable_auth_method("approle", path="ci/approle")
            client.auth.approle.create_or_update_approle("deploy", mount_point="ci/approle")
            settings = approle_settings(server, client, "deploy")
        store = connect(settings, "secret")
    store.close()
    store.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"secret_id": Secret(CANARY)},
            "check VAULT_ROLE_ID, and whether VAULT_SECRET_ID is used up or expired",
        ),
        (
            {"role_id": "unknown"},
            "check VAULT_ROLE_ID, and whether VAULT_SECRET_ID is used up or expired",
        ),
        (
            {"mount": "nowhere"},
            "check RECONCILER_VAULT_AUTH_MOUNT, VAULT_NAMESPACE, the role's token_bound_cidrs",
        ),
        ({"namespace": "missing"}, "Vault has no namespace missing: check VAULT_NAMESPACE"),
    ],
)
def test_refused_approle_login(
    openbao: OpenBaoServer, login_server: Any, change: dict[str, Any], sentence: str
) -> None:
    """A login that Vault refuses is one sentence that names what to check."""
    given = approle_settings(openbao, login_server, "deploy")
    assert given.login is not None
    of_login = {name: value for name, value in change.items() if name != "namespace"}
    settings = dataclasses.replace(
        given,
        namespace=change.get("namespace"),
        login=dataclasses.replace(given.login, **of_login),
    )
    error = failure_of(lambda: connect(settings, "secret"))
    assert type(error) is VaultRefusedError
    assert str(error).endswith(sentence)


NO_ISSUER = "the identity token is of another issuer than the mount's bound_issuer"
ANOTHER_AUDIENCE = (
    "the identity token is for another audience than the role's bound_audiences: "
    "check RECONCILER_VAULT_AUDIENCE, or where the token is asked for"
)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://other.example"}, ANOTHER_AUDIENCE),
        ({"iss": "https://other.example"}, NO_ISSUER),
        ({"exp": int(time.time()) - 1000}, "the identity token expired 1... s ago: get a new one"),
        ({"sub": None}, "the identity token lacks the claim sub, which the role asks for"),
        ({"role": "unknown"}, "there is no such role: check RECONCILER_VAULT_ROLE"),
    ],
    ids=["audience", "issuer", "expired", "no subject", "role"],
)
def test_refused_jwt_login(
    openbao: OpenBaoServer, login_server: Any, claims: dict[str, Any], reason: str
) -> None:
    """An identity token that does not fit its role is one sentence that says why, with
    what the token says of itself, and no word of it.
    """
    settings = jwt_settings(openbao, **claims)
    error = failure_of(lambda: connect(settings, "secret"))
    told = {
        "iss": "https://issuer.example",
        "sub": "repo:acme",
        "aud": "https://vault.example",
        **claims,
    }
    shown = ", ".join(f"{name}={json.dumps(told[name])}" for name in ("iss", "sub", "aud"))
    sentence = re.escape(f"Vault refuses the login at auth/jwt: {reason} (it says {shown})")
    assert type(error) is VaultRefusedError
    assert re.fullmatch(sentence.replace(re.escape("1..."), "1[0-9]{3}"), str(error))
    assert isinstance(settings.login, Jwt)
    assert isinstance(settings.login.jwt, Secret)
    assert not any(part in str(error) for part in settings.login.jwt.reveal().split("."))


# A Vault that is not well


def test_sealed_vault() -> None:
    """A sealed Vault is said to be sealed, for reads and writes alike."""
    with OpenBaoServer() as server, connect(settings_of(server), "secret") as store:
        with operator(server) as client:
            client.sys.seal()
        sealed = "Vault is sealed: unseal it, then run again"
        assert said(failure_of(lambda: store.read("p"))) == (VaultUnclearError, sealed)
        assert said(failure_of(lambda: store.write("p", {}, cas=0))) == (
            VaultUnclearError,
            f"{sealed} (secret/data/p may have been changed all the same)",
        )


def test_suspended_vault() -> None:
    """A timeout of a write is unclear, and rightly: woken up, the server applies it or
    not.

    One of a read changes nothing.
    """
    with (
        OpenBaoServer() as server,
        connect(settings_of(server), "secret", timeouts_s=(3.0, 0.2)) as store,
    ):
        store.read("p")
        with suspended(server):
            slow_write = failure_of(
                lambda: store.write("p", {"a": "b"}, secret=Secret(CANARY), cas=0)
            )
            slow_read = failure_of(lambda: store.read_meta("p"))
        sentence = "Vault did not answer within 0.2 s: try again"
        assert said(slow_write) == (
            VaultUnclearError,
            f"{sentence} (secret/data/p may have been changed all the same)",
        )
        assert said(slow_read) == (VaultUnclearError, sentence)
        assert shown(store.read("p")) in [(0, ABSENT, None, None), (1, LIVING, {"a": "b"}, CANARY)]


@pytest.mark.parametrize("hang_up", [True, False], ids=["hangs up", "says nothing"])
def test_lost_reply_to_a_write_that_was_done(
    openbao: OpenBaoServer, vault_mount: str, *, hang_up: bool
) -> None:
    """A write whose reply gets lost is unclear, was done, and its repeat finds a
    mismatch: only a read settles it.
    """
    with reply_swallower(openbao, hang_up=hang_up) as address:
        settings = VaultSettings(address=address, token=openbao.root_token)
        with connect(settings, vault_mount, timeouts_s=(3.0, 0.3)) as store:
            error = failure_of(lambda: store.write("p", {"a": "b"}, secret=Secret(CANARY), cas=0))
    assert type(error) is VaultUnclearError
    assert str(error).endswith(f"({vault_mount}/data/p may have been changed all the same)")
    with connect(settings_of(openbao), vault_mount) as store:
        assert shown(store.read("p")) == (1, LIVING, {"a": "b"}, CANARY)
        assert (
            type(failure_of(lambda: store.write("p", {"a": "b"}, cas=0))) is VaultCasMismatchError
        )


@contextmanager
def reply_swallower(server: OpenBaoServer, *, hang_up: bool) -> Iterator[str]:
    """The address of something between us and a server that passes one request on, and
    keeps its reply to itself.
    """
    done = threading.Event()

    def swallow() -> None:
        listener.settimeout(5)
        client, _ = listener.accept()
        with (
            client,
            socket.create_connection(
                ("127.0.0.1", int(server.address.rpartition(":")[2]))
            ) as upstream,
        ):
            request = b""
            while not request.endswith(b"}"):  # the bodies here are JSON
                request += client.recv(65_536)
            upstream.sendall(request)
            upstream.recv(1)  # the reply begins: it is done
            if not hang_up:
                done.wait(timeout=5)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        swallowing = threads.submit(swallow)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
        swallowing.result(timeout=5)


@contextmanager
def suspended(server: OpenBaoServer) -> Iterator[None]:
    """The server takes connections, and answers nothing."""
    suspend(server.pid)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_dead_vault(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody listens on, and a name that is none, are refusals at once:
    nothing was sent, nothing is repeated.
    """

    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    nobody = f"http://127.0.0.1:{free_port()}"
    for address in (nobody, "http://vault.invalid:8200"):
        with connect(
            VaultSettings(address=address, token=Secret(CANARY)), "secret", read_retries=3
        ) as store:
            for action in (
                lambda: store.read("p"),
                lambda: store.write("p", {}, cas=0),
                store.check_mount,
            ):
                assert said(failure_of(action)) == (
                    VaultRefusedError,
                    f"nobody answers at {address}: check VAULT_ADDR, and that Vault is running",
                )
        monkeypatch.setattr(
            socket, "getaddrinfo", no_such_name
        )  # a resolver that is not there may take its time
    assert pauses == []


# TLS


@pytest.fixture(scope="module")
def tls_server() -> Iterator[OpenBaoServer]:
    """An OpenBao behind TLS with a private CA."""
    with OpenBaoServer(tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that are no good: the CA of some other server, one of junk, one that is not
    there.
    """
    folder = tmp_path_factory.mktemp("certificates")
    with OpenBaoServer(tls=True) as server:
        assert server.ca_cert is not None
        (folder / "other").write_bytes(server.ca_cert.read_bytes())
    (folder / "junk").write_text(CANARY, encoding="utf-8")
    return {name: str(folder / name) for name in ("other", "junk", "missing")}


def tls_settings(server: OpenBaoServer, **changes: Any) -> VaultSettings:
    """Settings that trust the server's CA."""
    return settings_of(server, **{"ca_cert": str(server.ca_cert), **changes})


def test_private_ca_is_trusted(tls_server: OpenBaoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its CA named, the server is trusted, whatever the libraries' own variables
    say.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    with connect(tls_settings(tls_server), "secret") as store:
        assert store.write("tls", {}, cas=0).latest == 1


def test_unverified_tls_works_without_noise(tls_server: OpenBaoServer) -> None:
    """VAULT_SKIP_VERIFY means it; the library's warning for every call is not repeated
    (settings warned once).
    """
    with connect(tls_settings(tls_server, ca_cert=None, skip_verify=True), "secret") as store:
        assert store.read("nothing").state is ABSENT


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        (
            {"ca_cert": None},
            VaultRefusedError,
            "the certificate at {address} can't be trusted: check VAULT_ADDR, and name",
        ),
        (
            {"ca_cert": "other"},
            VaultRefusedError,
            "the certificate at {address} can't be trusted: check VAULT_ADDR, and name",
        ),
        (
            {"ca_cert": "missing"},
            VaultRefusedError,
            "VAULT_CACERT names a file of certificates that can't be read: check it",
        ),
        (
            {"ca_cert": "junk"},
            VaultRefusedError,
            "VAULT_CACERT names a file without a certificate",
        ),
        (
            {"client_cert": "missing", "client_key": "missing"},
            VaultRefusedError,
            "VAULT_CLIENT_CERT names a file of certificates that can't be read",
        ),
        (
            {"client_cert": "junk", "client_key": "junk"},
            VaultRefusedError,
            "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY hold no certificate with its key",
        ),
    ],
    ids=[
        "no CA",
        "another CA",
        "missing CA file",
        "CA file of junk",
        "missing client file",
        "client file of junk",
    ],
)
def test_wrong_tls_files(
    tls_server: OpenBaoServer,
    wrong_files: dict[str, str],
    changes: dict[str, Any],
    kind: type[VaultError],
    sentence: str,
) -> None:
    """Each wrong file of certificates has its sentence, and none is ever ignored."""
    settings = tls_settings(
        tls_server, **{field: wrong_files.get(name, name) for field, name in changes.items()}
    )
    with connect(settings, "secret") as store:
        error = failure_of(lambda: store.read("p"))
    assert type(error) is kind
    assert str(error).startswith(sentence.format(address=tls_server.address))


def test_wrong_scheme(openbao: OpenBaoServer, tls_server: OpenBaoServer) -> None:
    """Plain http to an https port, and the other way round, point at VAULT_ADDR."""
    plain = tls_server.address.replace("https://", "http://")
    with connect(VaultSettings(address=plain, token=Secret(CANARY)), "secret") as store:
        assert said(failure_of(lambda: store.read("p"))) == (
            VaultUnclearError,
            f"what answers at {plain} (HTTP 400) is not Vault: check VAULT_ADDR and proxies",
        )
    secure = openbao.address.replace("http://", "https://")
    with connect(VaultSettings(address=secure, token=Secret(CANARY)), "secret") as store:
        assert str(failure_of(lambda: store.read("p"))).startswith(
            f"TLS with {secure} failed: check VAULT_ADDR"
        )


# What is not Vault


class Stub(HttpStub):
    """Answers with what it is told, the last answer over and over, and remembers what
    it was asked; an answer of status 0 hangs up.
    """

    def __init__(self, answers: list[tuple[int, dict[str, str], bytes]]) -> None:
        *script, last = (
            say(http(status, body=body, headers=headers)) if status else drop()
            for status, headers, body in answers
        )
        super().__init__(*script, otherwise=last)

    @property
    def asked(self) -> list[tuple[str, str, dict[str, str]]]:
        """Method, target and headers (in lower case) of each request."""
        return [(seen.method, seen.target, seen.headers) for seen in self.seen]

    def connect(self, **options: Any) -> SecretStore:
        """A store that takes this for Vault."""
        return connect(VaultSettings(address=self.url, token=Secret(CANARY)), "secret", **options)


def answers(status: int, body: object = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (
        status,
        {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        },
        content,
    )


HTML = f"<html>{CANARY}</html>".encode()
NOT_VAULT = "what answers at {address} (HTTP {status}) is not Vault: check VAULT_ADDR and proxies"


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (answers(200, HTML), VaultUnclearError, NOT_VAULT),
        (answers(200, b""), VaultUnclearError, NOT_VAULT),
        (answers(204, b""), VaultUnclearError, NOT_VAULT),
        (answers(200, [CANARY]), VaultUnclearError, NOT_VAULT),
        (answers(200, b"[" * 100_000), VaultUnclearError, NOT_VAULT),
        (answers(200, {"data": CANARY}), VaultUnclearError, NOT_VAULT),
        (answers(200, {"data": {"version": CANARY}}), VaultUnclearError, NOT_VAULT),
        (answers(200, {"data": {"version": 9}}), VaultUnclearError, NOT_VAULT),
        (answers(404, HTML), VaultUnclearError, NOT_VAULT),
        (answers(404, {"error": CANARY}), VaultUnclearError, NOT_VAULT),
        (answers(404, {"errors": CANARY}), VaultUnclearError, NOT_VAULT),
        (answers(403, HTML), VaultUnclearError, NOT_VAULT),
        (answers(400, HTML), VaultUnclearError, NOT_VAULT),
        (answers(408, {"errors": [CANARY]}), VaultUnclearError, NOT_VAULT),
        (answers(418, {"errors": [{"a": CANARY}]}), VaultUnclearError, NOT_VAULT),
        (
            answers(400, {"errors": [CANARY, 5]}),
            VaultRefusedError,
            "Vault refuses {path} as a request that it does not",
        ),
        (
            answers(405, {"errors": []}),
            VaultRefusedError,
            "Vault refuses {path} as a request that it does not",
        ),
        (
            answers(
                400,
                {
                    "errors": [
                        "Waiting for the primary to upgrade from non-versioned to versioned data."
                    ]
                },
            ),
            VaultRefusedError,
            "the engine behind {path}",
        ),
        (
            answers(413, HTML),
            VaultRefusedError,
            "what was sent to {path} is larger than Vault takes: split",
        ),
        (
            answers(412, {"errors": []}),
            VaultUnclearError,
            "Vault is too busy, or this node is behind its leader ({status})",
        ),
        (
            answers(429, {"errors": []}, Retry_After="1"),
            VaultUnclearError,
            "Vault is too busy, or this node is behind",
        ),
        (
            answers(500, {"errors": ["local node not active but active cluster node not found"]}),
            VaultUnclearError,
            "Vault has no leader",
        ),
        (
            answers(500, {"errors": [CANARY]}),
            VaultUnclearError,
            "Vault failed inside (500): its log says why",
        ),
        (answers(502, HTML), VaultUnclearError, "a proxy can't reach Vault behind it (502)"),
        (
            answers(503, {"errors": ["Vault is sealed"]}),
            VaultUnclearError,
            "Vault is sealed: unseal it",
        ),
        (answers(503, HTML), VaultUnclearError, "Vault failed inside (503)"),
        (
            answers(
                503,
                {"errors": ["API access to this namespace has been locked by an administrator"]},
            ),
            VaultUnclearError,
            "an admin",
        ),
        (
            answers(307, b"", Location="http://127.0.0.1:1/"),
            VaultRefusedError,
            "Vault redirects us (307), where its token must",
        ),
        (
            answers(301, b"", Location="http://127.0.0.1:1/"),
            VaultRefusedError,
            "Vault redirects us (301), where its token must",
        ),
        (
            answers(200, b"short", Content_Length="99"),
            VaultUnclearError,
            "the connection to {address} broke: try again",
        ),
        ((0, {}, b""), VaultUnclearError, "the connection to {address} broke: try again"),
    ],
)
def test_strange_answers(
    answer: tuple[int, dict[str, str], bytes], kind: type[VaultError], sentence: str
) -> None:
    """Whatever comes back becomes one sentence of the right class for every call, sent
    once, without a word of the body.

    In particular nothing of this is ever taken for "never written" or "written".
    """
    calls: dict[str, Callable[[SecretStore], object]] = {
        "secret/data/p": lambda store: store.read("p"),
        "secret/metadata/p": lambda store: store.read_meta("p"),
        "secret/metadata/p/": lambda store: store.list_paths("p", limit=1),
        "secret/data/w": lambda store: store.write("w", {"a": "b"}, secret=Secret(CANARY), cas=0),
    }
    for path, action in calls.items():
        if (path, answer[0]) == (
            "secret/data/w",
            204,
        ):  # means KV version 1, which has its own test
            continue
        with Stub([answer]) as stub, stub.connect() as store:
            error = failure_of(lambda: action(store))  # noqa: B023  # called at once
        expected = sentence.format(address=stub.url, status=answer[0], path=path)
        assert type(error) is kind
        assert str(error).startswith(expected)
        assert ("may have been changed" in str(error)) == (
            path == "secret/data/w" and kind is VaultUnclearError
        )
        assert [f"/v1/{path}".rstrip("/")] == [asked[1].rstrip("/") for asked in stub.asked]


def test_deleting_needs_vaults_own_word() -> None:
    """A delete counts as done with Vault's 204 only."""
    for answer in (
        answers(200, HTML),
        answers(404, {"errors": []}),
        answers(307, b"", Location="/"),
    ):
        with Stub([answer]) as stub, stub.connect() as store:
            failure_of(lambda: store.delete_version("p", 1))


def test_login_that_is_not_vaults() -> None:
    """A captive portal, an empty login and a token that is none are no login."""
    settings = VaultSettings(address="", login=Jwt(mount="jwt", jwt=Secret(CANARY)))
    for body in (
        HTML,
        {"auth": None},
        {"auth": {"client_token": ""}},
        {"auth": {"client_token": f"{CANARY}\r\nX: y"}},
    ):
        with Stub([answers(200, body)]) as stub:
            address = stub.url
            # called at once
            error = failure_of(lambda: connect(_with_address(settings, address), "secret"))  # noqa: B023
        assert said(error) == (VaultUnclearError, NOT_VAULT.format(address=address, status=200))


def _with_address(settings: VaultSettings, address: str) -> VaultSettings:
    return dataclasses.replace(settings, address=address)


def test_redirect_is_not_followed() -> None:
    """A redirect leads nowhere: the host that it names never sees the token."""
    with Stub([answers(404, {"errors": []})]) as elsewhere:
        with (
            Stub([answers(307, b"", Location=f"{elsewhere.url}/v1/secret/data/p")]) as stub,
            stub.connect() as store,
        ):
            for action in (
                lambda: store.read("p"),
                lambda: store.write("p", {}, cas=0),
                store.check_mount,
            ):
                assert type(failure_of(action)) is VaultRefusedError
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "../p",
        "a/../../sys/seal",
        "a//b",
        "/a",
        "a/",
        ".a",
        "a b",
        "a%2e",
        "a\n",
        "a?b",
        "a" * 1025,
    ],
)
def test_unsafe_path_is_never_sent(path: str) -> None:
    """Every method refuses an unsafe path, and connecting an unsafe mount, before
    anything leaves.
    """
    with Stub([answers(200, {})]) as stub, stub.connect() as store:
        for action in (
            lambda: store.read(path),
            lambda: store.read(path, version=1),
            lambda: store.read_meta(path),
            lambda: store.write(path, {}, cas=0),
            lambda: store.delete_version(path, 1),
            lambda: store.list_paths(path, limit=1),
            lambda: connect(VaultSettings(address=stub.url, token=Secret(CANARY)), path),
        ):
            error = failure_of(action)
            assert type(error) is VaultRefusedError
            assert "is not made of plain segments" in str(error)
        assert stub.asked == []


def test_large_entry_is_never_sent() -> None:
    """What raft would refuse with a misleading 500 is refused beforehand; a little less
    goes out.
    """
    with Stub([answers(200, {"data": {"version": 1}})]) as stub, stub.connect() as store:
        error = failure_of(lambda: store.write("p", {"ledger": "x" * 1024 * 1024}, cas=0))
        sentence = "is larger than 1 MiB, more than Vault takes: split the manifest"
        assert said(error) == (VaultRefusedError, f"what belongs at secret/data/p {sentence}")
        assert stub.asked == []
        assert store.write("p", {"ledger": "x" * (1024 * 1024 - 5000)}, cas=0).latest == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", 1),
        ('"', 2),
        ("\n", 2),
        ("<", 6),
        (">", 6),
        ("&", 6),
        ("é", 2),
        ("\u2028", 8),
        ("😀", 4),
        ("\ud800", 3),
    ],
)
def teststored_bytes(text: str, expected: int) -> None:
    """The length is that of Go's JSON, never less (measured: 6 for <, >, &, the line
    separators; UTF-8 for the rest).
    """
    assert stored_bytes({"a": text}) == len('{"a":""}') + expected


# Repeating


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reads_are_repeated(status: int) -> None:
    """A read that finds a busy or failing server is repeated without a word."""
    with (
        Stub([answers(status, {"errors": []}), answers(404, {"errors": []})]) as stub,
        stub.connect(read_retries=1) as store,
    ):
        assert store.read_meta("p") == NEVER_WRITTEN
        assert [asked[0] for asked in stub.asked] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("asked_for", "expected"),
    [
        (None, [0.4, 0.8]),
        ("0", [0.4, 0.8]),
        ("1", [1, 1, 1]),
        ("10", [10, 10, 10]),
        ("11", []),
        ("86400", []),
        ("3155760000", []),
        ("-1", [0.4, 0.8]),
        ("Thu, 01 Jan 1970 00:00:00 GMT", [0.4, 0.8]),
        ("tomorrow", [0.4, 0.8]),
    ],
)
def test_repeats_are_bounded(
    pauses: list[float], asked_for: str | None, expected: list[float]
) -> None:
    """A server that stays busy is asked four times; it may ask for pauses. One that
    asks for more than ten seconds is not asked again: its answer stands.
    """
    headers = {"Retry-After": asked_for} if asked_for is not None else {}
    with (
        Stub([answers(503, {"errors": []}, **headers)]) as stub,
        stub.connect(read_retries=3) as store,
    ):
        failure_of(lambda: store.list_paths("p", limit=1))
        times = 1 if asked_for is not None and not expected else 4
        assert [asked[0] for asked in stub.asked] == ["LIST"] * times
    assert pauses == expected


@pytest.mark.parametrize(
    "answer",
    [answers(503, {"errors": []}, Retry_After="0"), answers(429, {"errors": []}), (0, {}, b"")],
)
def test_nothing_else_is_repeated(answer: tuple[int, dict[str, str], bytes]) -> None:
    """A write, a delete and a login are sent once, whatever happens."""
    login = VaultSettings(address="", login=Jwt(mount="jwt", jwt=Secret(CANARY)))
    with Stub([answer]) as stub, stub.connect(read_retries=3) as store:
        for action in (
            lambda: store.write("p", {}, cas=0),
            lambda: store.delete_version("p", 1),
            lambda: connect(_with_address(login, stub.url), "secret", read_retries=3),
        ):
            stub.seen.clear()
            assert type(failure_of(action)) is VaultUnclearError
            assert [asked[0] for asked in stub.asked] == ["POST"]


# What goes along with a call


def test_own_writes_are_seen_on_a_cluster() -> None:
    """The newest index that the server gave is sent back with every call; one in a
    failure is not taken up.
    """
    replies = [
        answers(404, {"errors": []}, X_Vault_Index=index_of(70)),
        answers(200, {"data": {"version": 1}}, X_Vault_Index=index_of(51)),
        answers(200, {"data": {"version": 2}}, X_Vault_Index=index_of(52)),
        answers(200, {"data": {"keys": []}}, X_Vault_Index=index_of(50)),
        answers(404, {"errors": []}),
    ]
    with Stub(replies) as stub, stub.connect() as store:
        store.read_meta("p")
        store.write("p", {}, cas=0)
        store.write("p", {}, cas=1)
        store.list_paths("p", limit=1)
        store.read("p")
    sent = [
        (headers.get("x-vault-index"), headers.get("x-vault-inconsistent"))
        for _, _, headers in stub.asked
    ]
    assert sent == [
        (None, None),
        (None, None),
        (index_of(51), "forward-active-node"),
        (index_of(52), "forward-active-node"),
        (index_of(52), "forward-active-node"),
    ]


def index_of(count: int, cluster: str = "c1") -> str:
    """An index as OpenBao 2.7 gives it."""
    return base64.b64encode(json.dumps({"cluster": cluster, "value": str(count)}).encode()).decode()


@pytest.mark.parametrize(
    ("held", "seen", "expected"),
    [
        (None, index_of(1), index_of(1)),
        (index_of(9), index_of(10), index_of(10)),
        (index_of(10), index_of(9), index_of(10)),
        (index_of(10), index_of(9, "c2"), index_of(9, "c2")),
        ("opaque1", "opaque2", "opaque2"),
        (index_of(10), "opaque", "opaque"),
        ("opaque", index_of(1), index_of(1)),
        (index_of(1), base64.b64encode(b"[1]").decode(), base64.b64encode(b"[1]").decode()),
    ],
)
def test_newer_index(held: str | None, seen: str, expected: str) -> None:
    """Two indexes of one cluster are compared by count, as numbers; of what can't be
    compared, the last wins.
    """
    assert newer_index(held, seen) == expected


def test_environment_plays_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries look at nothing by themselves: no token, no proxy, no login of a
    .netrc.
    """
    (tmp_path / ".vault-token").write_text(CANARY, encoding="utf-8")
    (tmp_path / ".netrc").write_text(f"default login me password {CANARY}\n", encoding="utf-8")
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "VAULT_ADDR"):
        monkeypatch.setenv(name, nobody)
    for name in ("HOME", "VAULT_TOKEN", "VAULT_NAMESPACE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    settings = VaultSettings(address="", login=Jwt(mount="jwt", jwt=Secret("jwt")))
    replies = [
        answers(200, {"auth": {"client_token": "s.new", "accessor": "ours"}}),
        answers(404, {"errors": []}),
        answers(200, {"data": {"accessor": "ours"}}),
        answers(204, b""),
    ]
    with Stub(replies) as stub, connect(_with_address(settings, stub.url), "secret") as store:
        store.read("p")
        store.close()
    seen = [(path, headers.get("x-vault-token")) for _, path, headers in stub.asked]
    assert seen == [
        ("/v1/auth/jwt/login", None),
        ("/v1/secret/data/p", "s.new"),
        ("/v1/auth/token/lookup-self", "s.new"),
        ("/v1/auth/token/revoke-self", "s.new"),
    ]
    assert {name for _, _, headers in stub.asked for name in headers} & {
        "Authorization",
        "x-vault-namespace",
    } == set()


def test_proxy_is_used() -> None:
    """With a proxy in the settings calls go through it; a proxy that is dead is said to
    be the proxy.
    """
    with Stub([answers(404, {"errors": []})]) as proxy:
        settings = VaultSettings(
            address="http://vault.invalid:8200", token=Secret(CANARY), proxy=Secret(proxy.url)
        )
        with connect(settings, "secret") as store:
            assert store.read_meta("p") == NEVER_WRITTEN
        assert [asked[1] for asked in proxy.asked] == [
            "http://vault.invalid:8200/v1/secret/metadata/p"
        ]
    for address in ("http://vault.invalid:8200", "https://vault.invalid:8200"):
        with connect(
            VaultSettings(address=address, token=Secret(CANARY), proxy=Secret(proxy.url)),
            "secret",
        ) as store:
            error = failure_of(lambda: store.write("p", {}, cas=0))
        assert type(error) is VaultRefusedError
        assert str(error).startswith("the proxy on the way to Vault does not let us through")


def test_proxy_that_hangs_up_is_unclear() -> None:
    """A proxy that breaks off after it took the request may have passed it on."""
    with Stub([(0, {}, b"")]) as proxy:
        settings = VaultSettings(
            address="http://vault.invalid:8200", token=Secret(CANARY), proxy=Secret(proxy.url)
        )
        with connect(settings, "secret") as store:
            error = failure_of(lambda: store.write("p", {}, cas=0))
        assert [asked[0] for asked in proxy.asked] == ["POST"]
    assert type(error) is VaultUnclearError


def test_proxy_that_gives_no_tunnel() -> None:
    """A proxy that says no to an https address has passed nothing on: a refusal, and
    one that points at the proxy.
    """
    with Stub([answers(403, HTML)]) as proxy:
        settings = VaultSettings(
            address="https://vault.invalid:8200", token=Secret(CANARY), proxy=Secret(proxy.url)
        )
        with connect(settings, "secret") as store:
            error = failure_of(lambda: store.write("p", {}, cas=0))
        assert [asked[:2] for asked in proxy.asked] == [("CONNECT", "vault.invalid:8200")]
    assert type(error) is VaultRefusedError
    assert str(error).startswith("the proxy on the way to Vault does not let us through")


def test_address_that_is_no_address() -> None:
    """A host name that no resolver could take is refused before anything is sent."""
    with connect(VaultSettings(address="http://a..b", token=Secret(CANARY)), "secret") as store:
        assert said(failure_of(lambda: store.write("p", {}, cas=0))) == (
            VaultRefusedError,
            "no request can be made to http://a..b: check VAULT_ADDR",
        )


def test_firewall_that_drops() -> None:
    """A connection that does not open in time is a refusal even for a write: nothing
    was sent.
    """
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = f"127.0.0.1:{full.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # from then on the kernel drops whoever knocks
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", full.getsockname()[1]))
        time.sleep(0.05)
        settings = VaultSettings(address=f"http://{address}", token=Secret(CANARY))
        with connect(settings, "secret", timeouts_s=(0.2, 0.2)) as store:
            error = failure_of(lambda: store.write("p", {}, cas=0))
        for filler in fillers:
            filler.close()
    assert said(error) == (
        VaultRefusedError,
        f"no connection to http://{address} within 0.2 s: check VAULT_ADDR and the network between",
    )


def test_date_decides_what_has_expired() -> None:
    """A deletion time is compared with the server's clock, not ours; without a clock
    the answer is none.
    """
    meta = {
        "current_version": 1,
        "versions": {"1": {"deletion_time": "2030-01-01T00:00:00.5Z", "destroyed": False}},
    }
    cases = [
        ("Mon, 31 Dec 2029 23:59:59 GMT", LIVING),
        ("Tue, 01 Jan 2030 00:00:00 GMT", DELETED),
        (None, None),
    ]
    for date, state in cases:
        headers = {"Date": date} if date is not None else {}
        with Stub([answers(200, {"data": meta}, **headers)]) as stub, stub.connect() as store:
            if state is not None:
                told = store.read_meta("p")
                assert timeless(told) == SecretMeta(latest=1, state=state, oldest=1)
            else:
                assert type(failure_of(lambda: store.read_meta("p"))) is VaultUnclearError


def test_logs_hold_no_secret(store: SecretStore, caplog: pytest.LogCaptureFixture) -> None:
    """Even with all logs on, the libraries write neither token nor secret."""
    with caplog.at_level(logging.DEBUG):
        store.write("p", {"a": "b"}, secret=Secret(CANARY), cas=0)
        store.read("p")
    assert "/data/p" in caplog.text, "the libraries logged nothing: this test proves nothing"
    assert CANARY not in caplog.text
    assert store._client.token not in caplog.text
