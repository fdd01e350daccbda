"""Everything that goes wrong around the program: manifests, Vault, the ledger, the
identity, the exchange, the disk.

Each time: one clear line on standard error (what, where, what to do), the right exit
code, never a traceback (the fleet checks that of every output), nothing half done, and
the next run on a good day heals it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hvac
import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.model import Secret
from reconciler.run.driver import DERIVE_LANES
from reconciler.sandbox import (
    ErrorShape,
    Fault,
    FaultKind,
    Garbage,
    Operation,
    Sandbox,
    SandboxConfig,
)
from tests.support.fleet import ROOT, Fleet, judged
from tests.support.http_stub import HttpStub, http, say
from tests.support.openbao import new_mount, operator

BOT = {"label": "bot", "path": "prod/bot"}
WIDE = {**BOT, "scopes": ["trading", "withdrawal"]}
AN_HOUR_MS = 3_600_000


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


# --- manifests ---

HEAD = "version: 1\nmanager: m\nvault: {mount: secret, prefix: p}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGE_BOMB = (
    HEAD
    + "tokens:\n"
    + "".join(
        f"  - &t{i} {{<<: [{', '.join([f'*t{i - 1}'] * (i > 0))}], label: l{i}}}\n"
        for i in range(50)
    )
)

MANIFESTS: dict[str, bytes] = {
    "broken YAML": b"version: 1\n  tokens: [\n",
    "tabs": b"version: 1\ntokens:\n\t- label: a\n",
    "binary": bytes(range(256)),
    "UTF-16": "version: 1\n".encode("utf-16"),
    "NUL": b"version: 1\x00\n",
    "empty": b"",
    "only a comment": b"# nothing\n",
    "50 MB": b"# " + b"x" * 50_000_000 + b"\n" + HEAD.encode(),
    "alias bomb": HEAD.encode() + BOMB.encode(),
    "merge bomb": MERGE_BOMB.encode(),
    "deep": HEAD.encode() + b"tokens: " + b"[" * 50_000,
    "deep indent": b"".join(b" " * i + b"a:\n" for i in range(2_000)),
    "duplicate keys": HEAD.encode() + b"version: 1\ntokens: [{label: m}]\n",
    "duplicate labels": HEAD.encode() + b"tokens: [{label: m}, {label: m}]\n",
    "wrong types": HEAD.encode() + b"tokens: {m: trading}\n",
    "a list": b"- version: 1\n",
    "a scalar": b"42\n",
    "two documents": HEAD.encode() + b"tokens: [{label: m}]\n---\nversion: 1\n",
    "a Python object": HEAD.encode() + b'tokens: !!python/object/apply:os.system ["touch owned"]\n',
    "unknown key": HEAD.encode() + b"tokens: [{label: m, scope: [trading]}]\n",
    "unknown version": b"version: 2\n",
    "no manager": HEAD.encode() + b"tokens: [{label: a}]\n",
    "Norway": HEAD.encode() + b"tokens: [{label: no}, {label: m, protect: off}]\n",
    "a huge number": HEAD.encode() + b"profile_id: " + b"9" * 5000 + b"\ntokens: [{label: m}]\n",
    "climbing path": HEAD.encode() + b"tokens: [{label: m, path: ../../sys/policy}]\n",
    "the ledger's path": HEAD.encode() + b"tokens: [{label: m, path: _ledger}]\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_bad_manifest(fleet: Fleet, name: str) -> None:
    """Every problem with file, line and column, then the verdict; exit 1; nobody is
    asked anything; quickly.
    """
    (fleet.folder / "tokens.yaml").write_bytes(MANIFESTS[name])
    started_s = time.monotonic()
    for command in (("validate",), ("apply", "--yes")):
        done = fleet.attempt(*command)
        assert "the manifest has" in done.refusal(1)
        *problems, _ = done.err.splitlines()
        assert problems
        assert all(re.match(r"tokens\.yaml:\d+:\d+: ", line) for line in problems), problems
        assert all(len(line) < 400 for line in problems), "a line is for a person"
        assert done.out == ""
    assert time.monotonic() - started_s < 20
    assert fleet.sandbox.state.calls == ()
    assert not (fleet.folder / "owned").exists()


@pytest.mark.parametrize("name", ["missing.yaml", "folder", "x" * 5000, "dangling", "loop"])
def test_a_manifest_that_cannot_be_read(fleet: Fleet, name: str) -> None:
    """No file, a folder without any, a name that can't be, links to nowhere: named with
    what is wrong.
    """
    (fleet.folder / "folder").mkdir()
    (fleet.folder / "dangling").symlink_to("nowhere")
    (fleet.folder / "loop").symlink_to("loop")
    done = fleet.attempt("validate", name)
    assert "the manifest has" in done.refusal(1)
    assert len(done.err.splitlines()) > 1


def test_a_manifest_without_permission(fleet: Fleet) -> None:
    """Unreadable for this user: said so."""
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    fleet.write()
    (fleet.folder / "tokens.yaml").chmod(0)
    assert "manifest" in fleet.refused(1, "validate")


@pytest.mark.parametrize(
    "environ",
    [{"RECONCILER_VAULT_PREFIX": "elsewhere/tokens"}, {"RECONCILER_ALLOWED_SCOPES": "trading"}],
    ids=lambda environ: str(*environ),
)
def test_a_manifest_that_the_pipeline_forbids(fleet: Fleet, environ: dict[str, str | None]) -> None:
    """Pins of the environment beat the manifest, before anybody is asked anything."""
    fleet.write(WIDE)
    for command in (("validate",), ("plan",), ("apply", "--yes"), ("bootstrap",)):
        done = fleet.attempt(*command, environ=environ)
        assert "the manifest has 1 error" in done.refusal(1)
        assert str(*environ) in done.err
    assert fleet.sandbox.state.calls == ()


# --- Vault ---


def test_no_vault(fleet: Fleet) -> None:
    """Nobody listens at VAULT_ADDR."""
    fleet.begin(BOT)
    fleet.write(WIDE)
    address = f"http://127.0.0.1:{free_port()}"
    with fleet.untouched():
        for command in (("plan",), ("apply", "--yes"), ("bootstrap",), ("status",), ("verify",)):
            said = fleet.refused(1, *command, environ={"VAULT_ADDR": address})
            assert address in said
            assert "VAULT_ADDR" in said


def test_a_wrong_vault_token(fleet: Fleet) -> None:
    """Vault refuses it: said as that, without the token."""
    fleet.begin(BOT)
    with fleet.untouched():
        for command in (("plan",), ("apply", "--yes"), ("bootstrap",)):
            said = fleet.refused(1, *command, environ={"VAULT_TOKEN": "s.wrong-token-of-nobody"})
            assert "token" in said
            assert "wrong-token-of-nobody" not in said


def test_mounts_that_will_not_do(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """KV version 1, a missing mount, another engine: refused before anything is written
    or derived.
    """
    with operator(openbao) as client:
        first = new_mount_of(client, "kv", {"version": "1"})
        transit = new_mount_of(client, "transit", None)
    for mount, said in (
        (first, "version 2"),
        ("no-such-mount", "no-such-mount"),
        (transit, "version 2"),
    ):
        fleet.mount = mount
        fleet.write(BOT)
        for command in (("bootstrap",), ("plan",), ("apply", "--yes")):
            assert said in fleet.refused(1, *command)
    assert fleet.sandbox.state.mutating_calls == 0
    with operator(openbao) as client, pytest.raises(hvac.exceptions.InvalidPath):
        client.secrets.kv.v1.list_secrets("", mount_point=first)


def new_mount_of(client: Any, kind: str, options: dict[str, str] | None) -> str:
    """A mount of any engine."""
    name = f"{kind}-{os.urandom(4).hex()}"
    client.sys.enable_secrets_engine(kind, path=name, options=options)
    return name


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            http(200, body=b"<html>login</html>", headers={"Content-Type": "text/html"}),
            "is not Vault",
        ),
        (http(307, headers={"Location": "https://vault.example.com/"}), "redirects"),
        (http(503, {"errors": ["Vault is sealed"]}), "sealed"),
        (http(500, {"errors": ["internal error"]}), "inside"),
        (http(200, body=b'{"data": {"da'), "is not Vault"),
        (b"", "broke"),
    ],
    ids=["a login page", "a redirect", "sealed", "broken inside", "half a reply", "hangs up"],
)
def test_something_else_than_vault(fleet: Fleet, reply: bytes, said: str) -> None:
    """Whatever answers at VAULT_ADDR: one sentence, no derive."""
    fleet.write(BOT)
    with HttpStub(otherwise=say(reply)) as stub:
        for command in (("bootstrap",), ("apply", "--yes")):
            assert said in fleet.refused(1, *command, environ={"VAULT_ADDR": stub.url})
    assert fleet.sandbox.state.mutating_calls == 0


def test_vault_is_sealed_in_the_middle(tmp_path: Path) -> None:
    """Sealed after the derive: the new token is revoked or recorded, exit 5; unsealed,
    the next run makes it whole.
    """
    with (
        OpenBaoServer() as server,
        Sandbox(config=SandboxConfig(limits=False)) as sandbox,
        operator(server) as client,
    ):
        fleet = Fleet(tmp_path, sandbox, server, new_mount(client))
        fleet.begin()
        fleet.write(BOT)
        sandbox.faults.add(Fault(kind=FaultKind.DELAY, operation=Operation.DERIVE, delay_ms=600))

        def seal_during_the_derive() -> None:
            while sandbox.state.count(Operation.DERIVE) == derives:
                time.sleep(0.01)
            client.sys.seal()

        derives = sandbox.state.count(Operation.DERIVE)
        sealing = threading.Thread(target=seal_during_the_derive, daemon=True)
        sealing.start()
        done = fleet.attempt("apply", "--yes")
        sealing.join()
        assert "sealed" in done.refusal(5)
        for command in (("plan",), ("apply", "--yes"), ("bootstrap",)):
            assert "unseal it" in fleet.refused(1, *command)
        assert server._home is not None
        log = (server._home / "server.log").read_text()
        key = re.search(r"Unseal Key: (\S+)", log)
        assert key is not None
        client.sys.submit_unseal_key(key[1])
        fleet.later(minutes=2)
        fleet.must("apply", "--yes")
        fleet.assert_whole()
        fleet.assert_quiet()
        assert len(fleet.live("bot")) == 1
        fleet.assert_no_leak()


def by_hand(fleet: Fleet) -> None:
    """Another content as the latest version."""
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", {"oops": "by hand"}, cas=1)


def deleted(fleet: Fleet) -> None:
    """The latest version soft-deleted."""
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/prod/bot", 1)


def destroyed(fleet: Fleet) -> None:
    """The latest version destroyed."""
    with fleet.operator() as client:
        client.secrets.kv.v2.destroy_secret_versions(
            f"{fleet.prefix}/prod/bot", [1], mount_point=fleet.mount
        )


def forgotten(fleet: Fleet) -> None:
    """All versions and the metadata deleted, which resets the counter."""
    with fleet.operator() as client:
        client.secrets.kv.v2.delete_metadata_and_all_versions(
            f"{fleet.prefix}/prod/bot", mount_point=fleet.mount
        )


def written_again(fleet: Fleet) -> None:
    """The same content as a new version."""
    content = fleet.secret("prod/bot")
    with fleet.store() as store:
        store.write(
            f"{fleet.prefix}/prod/bot", dict(content.fields or ()), secret=content.secret, cas=1
        )


@pytest.mark.parametrize(
    ("harm", "same_token"),
    [
        (by_hand, True),
        (deleted, False),
        (written_again, True),
        (destroyed, False),
        (forgotten, False),
    ],
)
def test_a_secret_harmed_by_hand(
    fleet: Fleet, harm: Callable[[Fleet], None], *, same_token: bool
) -> None:
    """Restored from the version that holds the current token, or rotated if there is
    none.
    """
    fleet.begin(BOT)
    token_id = fleet.live("bot")[0].token_id
    harm(fleet)
    fleet.must("apply", "--yes")
    assert (fleet.secret("prod/bot").field("token_id") == token_id) is same_token
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize("emptied", [False, True], ids=["latest", "under an empty one"])
def test_another_secret_beside_the_right_id(fleet: Fleet, *, emptied: bool) -> None:
    """Edited by hand, it signs no more: the recorded version is restored, be the edited
    one still the latest or not.
    """
    fleet.begin(BOT)
    path = f"{fleet.prefix}/prod/bot"
    with fleet.store() as store:
        good = store.read(path)
        fields = dict(good.fields or ())
        store.write(
            path,
            fields,
            secret=Secret("bm90IHRoZSBzZWNyZXQgb2YgdGhpcyB0b2tlbg=="),
            cas=good.version,
        )
        if emptied:
            store.write(path, {}, cas=good.version + 1)
    assert "restored bot" in fleet.must("apply", "--yes").out
    fleet.use("prod/bot")
    fleet.assert_quiet()
    fleet.assert_whole()


def test_a_harmed_manager_locks_nobody_out(fleet: Fleet) -> None:
    """The manager's secret deleted by hand: its older version signs, and it is
    restored; destroyed: bootstrap heals it.
    """
    fleet.begin(BOT)
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/reconciler", 1)
    fleet.write(BOT, {"label": "new"})
    said = fleet.attempt("apply", "--yes")
    if said.code:
        assert "bootstrap" in said.refusal(4)
        fleet.must("bootstrap")
        fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize("first", [("bootstrap",), ("plan",), ("apply", "--yes")])
def test_an_older_secret_signs_where_the_newest_one_left_is_wrong(
    fleet: Fleet, first: tuple[str, ...]
) -> None:
    """The manager's secret was edited by hand and restored, and the restored version is
    deleted: of what is left, the newest does not sign, and an older one does. The same
    of a bot. Nobody is needed.
    """
    fleet.begin(BOT)
    for name in ("reconciler", "prod/bot"):
        with fleet.store() as store:
            good = store.read(f"{fleet.prefix}/{name}")
            wrong = Secret("bm90IHRoZSBzZWNyZXQgb2YgdGhpcyB0b2tlbg==")
            fields = dict(good.fields or ())
            store.write(f"{fleet.prefix}/{name}", fields, secret=wrong, cas=good.version)
    fleet.must("apply", "--yes")
    ids = [fleet.use(name) for name in ("reconciler", "prod/bot")]
    for name in ("reconciler", "prod/bot"):
        with fleet.store() as store:
            store.delete_version(f"{fleet.prefix}/{name}", fleet.secret(name).version)
    alone = {"LIMITLESS_IDENTITY_TOKEN": None}
    fleet.must(*first, environ=alone)
    done = fleet.must("apply", "--yes", environ=alone)
    assert [fleet.use(name) for name in ("reconciler", "prod/bot")] == ids, done
    assert fleet.live("bot")[0].token_id == ids[1]
    fleet.assert_whole()
    fleet.assert_quiet()


# --- the ledger ---

EVERY_COMMAND: tuple[tuple[str, ...], ...] = (
    ("plan",),
    ("apply", "--yes"),
    ("bootstrap",),
    ("status",),
    ("verify",),
    ("rotate", "--target", "bot", "--yes"),
    ("rollback", "--target", "bot", "--yes"),
    ("observe", "--out", "o.json"),
)


def test_a_deleted_ledger(fleet: Fleet) -> None:
    """Every command gives the command that brings it back, and nothing else; that
    command heals it.
    """
    fleet.begin(BOT)
    with fleet.store() as store:
        version = store.read_meta(f"{fleet.prefix}/_ledger").latest
        store.delete_version(f"{fleet.prefix}/_ledger", version)
    with fleet.untouched():
        for command in EVERY_COMMAND:
            said = fleet.refused(1, *command)
            assert (
                f"`vault kv undelete -versions={version} -mount={fleet.mount} "
                f"{fleet.prefix}/_ledger`"
            ) in said
    with fleet.operator() as client:
        client.secrets.kv.v2.undelete_secret_versions(
            f"{fleet.prefix}/_ledger", [version], mount_point=fleet.mount
        )
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_destroyed_ledger(fleet: Fleet) -> None:
    """Without any trace of it, but with secrets below the prefix: nothing is done, by
    bootstrap least of all.
    """
    fleet.begin(BOT)
    with fleet.operator() as client:
        client.secrets.kv.v2.delete_metadata_and_all_versions(
            f"{fleet.prefix}/_ledger", mount_point=fleet.mount
        )
    with fleet.untouched():
        for command in EVERY_COMMAND:
            said = fleet.refused(1, *command)
            assert "ledger" in said
            assert "undelete" in said
            assert fleet.mount in said


GARBAGE_LEDGERS: tuple[dict[str, str], ...] = (
    {"ledger": "garbage"},
    {"ledger": ""},
    {"ledger": "{}"},
    {"ledger": "[]"},
    {"ledger": "null"},
    {"ledger": "[" * 100_000},
    {"ledger": '{"schema": 99}'},
    {"ledger": '{"schema": 1, "tokens": {"bot": null}}'},
    {"other": "field"},
    {},
)


def test_a_ledger_edited_to_garbage(fleet: Fleet) -> None:
    """Every command says that the ledger is broken and nothing is changed; an older
    version of it, written again, heals it.
    """
    fleet.begin(BOT)
    good = fleet.secret("_ledger")
    for number, content in enumerate(GARBAGE_LEDGERS):
        with fleet.store() as store:
            store.write(f"{fleet.prefix}/_ledger", content, cas=good.version + number)
        with fleet.untouched():
            for command in EVERY_COMMAND[: 8 if number == 0 else 3]:
                assert "ledger" in fleet.refused(1, *command), content
    with fleet.store() as store:
        store.write(
            f"{fleet.prefix}/_ledger",
            dict(good.fields or ()),
            cas=good.version + len(GARBAGE_LEDGERS),
        )
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize(
    "edit",
    [
        lambda plain: plain["tokens"]["bot"]["current"].update(token_id="somebody-elses"),
        lambda plain: plain["tokens"]["bot"]["current"].update(version=99),
        lambda plain: plain["tokens"]["bot"].update(path="elsewhere"),
        lambda plain: plain.update(profile_id=43),
        lambda plain: plain.update(api_url="https://api.limitless.exchange"),
        lambda plain: plain["tokens"].pop("bot"),
        lambda plain: plain["tokens"].pop("reconciler"),
    ],
    ids=["token id", "version", "path", "profile", "url", "without bot", "without manager"],
)
def test_a_ledger_edited_by_hand(fleet: Fleet, edit: Callable[[dict[str, object]], object]) -> None:
    """Well-formed, but untrue: no token is revoked that the secrets still hold, and
    every secret goes on signing.
    """
    fleet.begin(BOT, {"label": "other"})
    latest = fleet.secret("_ledger")
    plain = json.loads(latest.field("ledger") or "")
    edit(plain)
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/_ledger", {"ledger": json.dumps(plain)}, cas=latest.version)
    for command in (("plan",), ("apply", "--yes"), ("bootstrap",), ("apply", "--yes")):
        done = fleet.attempt(*command)
        assert done.code in {0, 1, 4}, done
    for path in ("prod/bot", "other", "reconciler"):
        fleet.use(path)


# --- the identity ---


def test_an_identity_of_another_profile(fleet: Fleet) -> None:
    """Refused before any write, naming both profiles."""
    fleet.begin()
    fleet.write(BOT)
    other = fleet.sandbox.state.issue_identity(profile_id=43)
    with fleet.untouched():
        said = fleet.refused(1, "apply", "--yes", environ={"LIMITLESS_IDENTITY_TOKEN": other})
    assert "43" in said
    assert "42" in said
    fleet.write(BOT, profile_id=44)
    with fleet.untouched():
        assert "44" in fleet.refused(1, "apply", "--yes")
        assert "44" in fleet.refused(1, "plan")


def test_bootstrap_for_another_profile(fleet: Fleet) -> None:
    """The manifest's profile is checked before anything is derived."""
    fleet.write(BOT, profile_id=43)
    with fleet.untouched():
        assert "43" in fleet.refused(1, "bootstrap")


@pytest.mark.parametrize("opaque", [False, True])
def test_an_identity_that_the_exchange_refuses(fleet: Fleet, *, opaque: bool) -> None:
    """Expired where its text does not tell, or made up: a person is needed (exit 4),
    before any write.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.state.configure(identity_opaque=opaque)
    identity = fleet.sandbox.state.issue_identity(lifetime_ms=0) if opaque else "made.up.token"
    with fleet.untouched():
        said = fleet.refused(4, "apply", "--yes", environ={"LIMITLESS_IDENTITY_TOKEN": identity})
        assert "identity" in said
        assert "get a new one" in said


def test_an_identity_that_expired_before_the_write(fleet: Fleet) -> None:
    """A JWT tells its own end: exit 4, and the exchange is not even asked about it."""
    fleet.begin()
    fleet.write(BOT)
    identity = fleet.sandbox.state.issue_identity(lifetime_ms=-60_000)
    asked = fleet.sandbox.state.count(Operation.CAPABILITIES)
    with fleet.untouched():
        assert "expired" in fleet.refused(
            4, "apply", "--yes", environ={"LIMITLESS_IDENTITY_TOKEN": identity}
        )
    assert fleet.sandbox.state.count(Operation.CAPABILITIES) == asked


def test_identities_from_everywhere(fleet: Fleet) -> None:
    """A file, standard input, or a command give it; none of them is needed where
    nothing is derived.
    """
    fleet.begin()
    token = fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    (fleet.folder / "identity").write_text(token + "\n")
    bare: dict[str, str | None] = {"LIMITLESS_IDENTITY_TOKEN": None}
    for number, (option, text) in enumerate(
        (
            (("--identity-file", "identity"), ""),
            (("--identity-file", "-"), token + "\n"),
            (("--identity-command", "cat identity"), ""),
        )
    ):
        fleet.write({"label": f"bot-{number}"}, *({"label": f"bot-{n}"} for n in range(number)))
        fleet.must("apply", "--yes", *option, text=text, environ=bare)
    fleet.must("apply", "--yes", environ=bare)
    fleet.assert_whole()
    (fleet.folder / "identity").unlink()


def test_token_management_switched_off(fleet: Fleet) -> None:
    """Said as that, by bootstrap and apply, and nothing is changed."""
    fleet.sandbox.state.configure(management_enabled=False)
    fleet.write(BOT)
    with fleet.untouched():
        assert "token management is switched off" in fleet.refused(1, "bootstrap")
    fleet.sandbox.state.configure(management_enabled=True)
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.state.configure(management_enabled=False)
    with fleet.untouched():
        assert "token management is switched off" in fleet.refused(1, "apply", "--yes")


def test_a_scope_that_is_not_allowed(fleet: Fleet) -> None:
    """Known before anything is derived. Its row fails and says what is allowed; the
    others are done. Where there are no others, nothing is done.
    """
    fleet.begin()
    fleet.sandbox.state.configure(allowed_scopes=("trading",))
    fleet.write(WIDE)
    with fleet.untouched():
        said = fleet.refused(1, "apply", "--yes")
        assert "withdrawal" in said
        assert "allowed: trading" in said
        assert "not checked" in fleet.must("plan").out
    fleet.write({"label": "fine"}, WIDE)
    fleet.must("plan", "--out", "plan.json")
    done = fleet.attempt("apply", "--plan", "plan.json")
    assert done.code == 5
    assert done.last_line == "applied 1, failed 1, held 0, not tried 0"
    assert "does not allow" in done.out
    assert "(allowed: trading)" in done.out
    assert fleet.live("bot") == []
    assert len(fleet.live("fine")) == 1


def test_a_scope_that_is_no_longer_allowed(fleet: Fleet) -> None:
    """What is due keeps its token; the other labels rotate, and what has left is
    revoked.
    """
    fleet.begin(WIDE, {"label": "fine"}, {"label": "left"})
    old = fleet.live("bot")[0].token_id
    fleet.sandbox.state.configure(allowed_scopes=("trading",))
    fleet.later(days=31)
    fleet.write(WIDE, {"label": "fine"})
    done = fleet.attempt("apply", "--yes")
    assert done.code == 5
    assert done.last_line == "applied 3, failed 1, held 0, not tried 0"
    assert [t.token_id for t in fleet.live("bot")] == [old]
    assert fleet.live("left") == []
    fleet.assert_whole()


# --- the exchange: reading ---


def test_no_exchange(fleet: Fleet) -> None:
    """Nobody listens: what it reads it can't have, and nothing is done."""
    fleet.begin(BOT)
    fleet.write(WIDE)
    versions = fleet.versions()
    url = fleet.sandbox.url
    fleet.sandbox.stop()
    for command in (("plan",), ("apply", "--yes"), ("status",), ("bootstrap",)):
        said = fleet.refused(1, *command)
        assert url in said
        assert "LIMITLESS_API_URL" in said
    assert fleet.versions() == versions


def test_another_exchange(fleet: Fleet) -> None:
    """The ledger belongs to one exchange: another one hears nothing of us."""
    fleet.begin(BOT)
    fleet.write(WIDE)
    with Sandbox(config=SandboxConfig(limits=False)) as other, fleet.untouched():
        environ: dict[str, str | None] = {
            "LIMITLESS_API_URL": other.url,
            "LIMITLESS_IDENTITY_TOKEN": other.identity_token,
        }
        token_id = other.state.derive_by_hand("bot").token_id
        for command in (
            ("plan",),
            ("status",),
            ("verify",),
            ("apply", "--yes"),
            ("bootstrap",),
            ("adopt", "--label", "bot", "--token-id", token_id),
            ("rollback", "--target", "bot", "--yes"),
        ):
            said = fleet.refused(1, *command, text="a2V5", environ=environ)
            assert said.startswith(f"the ledger belongs to {fleet.sandbox.url}, "), command
        assert other.state.calls == (), "not even a signature was sent there"


@pytest.mark.parametrize("shift_ms", [20_000, -20_000, 300_000, -300_000])
def test_a_wrong_clock(fleet: Fleet, shift_ms: int) -> None:
    """Our clock differs by seconds or minutes: requests are signed with the exchange's
    time, and a warning says so.
    """
    fleet.write(BOT)
    fleet.sandbox.state.shift_clock(shift_ms)
    fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = fleet.sandbox.state.issue_identity()
    fleet.must("bootstrap")
    done = fleet.must("apply", "--yes")
    assert "clock" in done.err
    assert f"{abs(shift_ms) // 1000} s" in done.err or f"{abs(shift_ms) // 1000 - 1} s" in done.err
    assert "clock" in fleet.must("plan").err
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_clock_that_jumps_in_the_middle(fleet: Fleet) -> None:
    """The exchange's clock is set while a token is derived; the lease seems over,
    nobody took it: the run ends well.
    """
    fleet.begin()
    fleet.write(BOT, {"label": "other"})
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.DELAY, operation=Operation.DERIVE, delay_ms=300, count=2)
    )
    jump = threading.Timer(0.15, fleet.later, kwargs={"minutes": 3})
    jump.start()
    assert fleet.must("apply", "--yes").last_line == "applied 2, failed 0, held 0, not tried 0"
    jump.join()
    fleet.assert_whole()
    fleet.assert_quiet()


def test_an_empty_list(fleet: Fleet) -> None:
    """A list without any token, not even the one that signed, is not believed: nothing
    is done on it.
    """
    fleet.begin(BOT)
    fleet.write({"label": "new"})
    fleet.sandbox.state.configure(listed_after_ms=AN_HOUR_MS)
    with fleet.untouched():
        assert "not believed" in fleet.refused(1, "apply", "--yes")
        assert "not believed" in fleet.refused(1, "apply", "--yes", "--max-missing", "100")


def test_a_list_without_our_own_token(fleet: Fleet) -> None:
    """A list that lacks the token which signed it is partial: nothing is done on it."""
    fleet.sandbox.state.shift_clock(-2 * AN_HOUR_MS)
    fleet.sandbox.state.derive_by_hand("somebody's")
    fleet.sandbox.state.shift_clock(0)
    fleet.begin(BOT)
    fleet.write({"label": "new"})
    fleet.sandbox.state.configure(listed_after_ms=AN_HOUR_MS)
    with fleet.untouched():
        for command in (("apply", "--yes"), ("apply", "--yes", "--max-missing", "100"), ("plan",)):
            assert "partial" in fleet.refused(1, *command)


def test_a_list_that_lags(fleet: Fleet) -> None:
    """A current token that is not listed yet, but signs, is not replaced: nothing is
    derived and no version written.
    """
    fleet.write(BOT)
    fleet.sandbox.state.shift_clock(-2 * AN_HOUR_MS)
    fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = fleet.sandbox.state.issue_identity(
        lifetime_ms=10 * AN_HOUR_MS
    )
    fleet.must("bootstrap")
    fleet.sandbox.state.shift_clock(0)
    fleet.must("apply", "--yes")
    fleet.sandbox.state.configure(listed_after_ms=AN_HOUR_MS)
    calls, version = (
        fleet.sandbox.state.mutating_calls,
        fleet.versions()[f"{fleet.prefix}/prod/bot"],
    )
    done = fleet.attempt("apply", "--yes")
    assert "lags" in done.out + done.err
    assert (fleet.sandbox.state.mutating_calls, fleet.versions()[f"{fleet.prefix}/prod/bot"]) == (
        calls,
        version,
    )
    fleet.sandbox.state.configure(listed_after_ms=0)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_too_many_missing(fleet: Fleet) -> None:
    """One token revoked elsewhere is rotated; two stop everything, until --max-missing
    says that it is meant.
    """
    fleet.begin(BOT, {"label": "other"})
    fleet.sandbox.state.revoke_by_hand(fleet.live("bot")[0].token_id)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    for label in ("bot", "other"):
        fleet.sandbox.state.revoke_by_hand(fleet.live(label)[0].token_id)
    with fleet.untouched():
        assert "--max-missing" in fleet.refused(1, "apply", "--yes")
    fleet.must("apply", "--yes", "--max-missing", "2")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_revoked_manager(fleet: Fleet) -> None:
    """The manager's own token revoked elsewhere: exit 4 with bootstrap as the way, and
    bootstrap heals it.
    """
    fleet.begin(BOT)
    fleet.sandbox.state.revoke_by_hand(fleet.live("reconciler")[0].token_id)
    with fleet.untouched():
        assert "reconciler bootstrap" in fleet.refused(4, "apply", "--yes")
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


BAD_LISTS = (
    *(Fault(kind=FaultKind.GARBAGE, garbage=garbage, count=None) for garbage in Garbage),
    *(
        Fault(kind=FaultKind.ERROR_BEFORE, status=status, count=None)
        for status in (400, 403, 404, 500, 502, 504)
    ),
    Fault(kind=FaultKind.ERROR_BEFORE, status=403, shape=ErrorShape.HTML, count=None),
    Fault(kind=FaultKind.MAINTENANCE, count=None),
    Fault(kind=FaultKind.RATE_LIMIT, count=None),
    Fault(kind=FaultKind.RATE_LIMIT, retry_after_s=3600, count=None),
    Fault(kind=FaultKind.CLOSE_BEFORE, count=None),
    Fault(kind=FaultKind.LOST_REPLY, count=None),
)


def test_a_list_that_is_none(fleet: Fleet) -> None:
    """Whatever comes instead of the list: one sentence, exit 1, nothing done."""
    fleet.begin(BOT)
    fleet.write({"label": "new"})
    with fleet.untouched():
        for fault in BAD_LISTS:
            fleet.sandbox.faults.clear()
            fleet.sandbox.faults.add(dataclasses.replace(fault, operation=Operation.LIST))
            for command in (("plan",), ("apply", "--yes")):
                said = fleet.refused(1, *command)
                assert "exchange" in said or fleet.sandbox.url in said, fault


def test_an_exchange_with_hiccups(fleet: Fleet) -> None:
    """A read that fails once or twice is repeated, and nobody hears of it."""
    fleet.begin(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.MAINTENANCE, operation=Operation.LIST, count=2))
    with fleet.untouched():
        assert fleet.must("apply", "--yes").err == ""


# --- the exchange: deriving ---

REFUSED_DERIVES = (
    Fault(kind=FaultKind.MESSAGE_LIST),
    *(Fault(kind=FaultKind.ERROR_BEFORE, status=status) for status in (400, 401, 403, 404, 422)),
)
UNCLEAR_DERIVES = (
    Fault(kind=FaultKind.LOST_REPLY),
    Fault(kind=FaultKind.ERROR_AFTER),
    *(Fault(kind=FaultKind.ERROR_AFTER, status=status) for status in (408, 409, 425)),
    Fault(kind=FaultKind.ERROR_BEFORE, status=502),
    Fault(kind=FaultKind.MAINTENANCE),
    Fault(kind=FaultKind.CLOSE_BEFORE),
    *(Fault(kind=FaultKind.GARBAGE, garbage=garbage) for garbage in Garbage),
)


def fault_id(fault: Fault) -> str:
    """Short, for the test's name."""
    return (
        f"{fault.kind.value} "
        f"{fault.garbage.value if fault.kind is FaultKind.GARBAGE else fault.error_status}"
    )


@pytest.mark.parametrize(
    ("fault", "rotates"),
    [
        *((fault, False) for fault in (*REFUSED_DERIVES, *UNCLEAR_DERIVES)),
        *((f, True) for f in UNCLEAR_DERIVES[:2]),
    ],
    ids=lambda value: (
        fault_id(value) if isinstance(value, Fault) else ("rotate" if value else "derive")
    ),
)
def test_a_derive_that_goes_wrong(fleet: Fleet, fault: Fault, *, rotates: bool) -> None:
    """Exit 5, nothing lost; the next run revokes what was interrupted and derives anew;
    the one after does nothing.
    """
    fleet.defaults = {"overlap": "3h"}
    fleet.begin(*([BOT] if rotates else []))
    before = {token.token_id for token in fleet.live("bot")}
    fleet.write(WIDE if rotates else BOT)
    derives = fleet.sandbox.state.count(Operation.DERIVE)
    fleet.sandbox.faults.add(dataclasses.replace(fault, operation=Operation.DERIVE, label="bot"))
    done = fleet.attempt("apply", "--yes")
    assert done.refusal(5)
    assert done.last_line == "applied 0, failed 1, held 0, not tried 0"
    assert fleet.sandbox.state.count(Operation.DERIVE) == derives + 1, "a derive is never repeated"
    assert before <= {token.token_id for token in fleet.live("bot")}, "the predecessor lives"
    for path in ["prod/bot"] if rotates else []:
        fleet.use(path)
    fleet.later(hours=1)
    done = fleet.must("apply", "--yes")
    lost = (
        {t.token_id for t in fleet.sandbox.state.tokens() if t.label == "bot"}
        - before
        - {fleet.use("prod/bot")}
    )
    assert all(token_id in done.out for token_id in lost), "a lost token is named in the report"
    assert not any(fleet.sandbox.state.token(token_id).live for token_id in lost)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_derive_that_lands_late(fleet: Fleet) -> None:
    """A token that appears after its intent was given up is never touched, but named
    until a person decides.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LATE, operation=Operation.DERIVE, delay_ms=1_500))
    fleet.attempt("apply", "--yes").refusal(5)
    fleet.must("apply", "--yes")
    deadline_s = time.monotonic() + 30
    while len(fleet.live("bot")) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    ours = fleet.use("prod/bot")
    (late,) = (token.token_id for token in fleet.live("bot") if token.token_id != ours)
    with fleet.untouched():
        done = fleet.must("apply", "--yes")
    assert "probably ours" in done.err
    assert late in done.err
    assert "probably ours" in fleet.must("plan").out
    assert fleet.sandbox.state.token(late).live


def test_trimmed_scopes(fleet: Fleet) -> None:
    """The exchange grants less than was asked for: the token is revoked, nothing is
    stored, exit 5.
    """
    fleet.begin(BOT)
    fleet.write(WIDE)
    fault = Fault(
        kind=FaultKind.TRIM_SCOPES, operation=Operation.DERIVE, label="bot", scopes=("trading",)
    )
    fleet.sandbox.faults.add(fault)
    version = fleet.versions()[f"{fleet.prefix}/prod/bot"]
    done = fleet.attempt("apply", "--yes")
    assert done.refusal(5)
    assert "granted trading instead of" in done.out
    assert fleet.versions()[f"{fleet.prefix}/prod/bot"] == version
    assert len(fleet.live("bot")) == 1
    with fleet.untouched():
        said = fleet.refused(4, "apply", "--yes")
    assert said == "waiting for your decision: bot (see the plan's holds)"
    fleet.must("apply", "--yes", "--retry-scopes")
    assert fleet.ledger().granted == ()
    fleet.assert_whole()
    fleet.assert_quiet()


def granting(fleet: Fleet, *scopes: str) -> None:
    """From now on the exchange grants these scopes, whatever is asked for."""
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.TRIM_SCOPES, operation=Operation.DERIVE, count=None, scopes=scopes)
    )


def test_one_scope_more_costs_one_token(fleet: Fleet) -> None:
    """The first mismatch ends deriving for this run and for the next ones: nothing is
    derived in vain again, while all else goes on.
    """
    bots = [{"label": f"bot-{number}"} for number in range(5)]
    fleet.begin(*bots, {"label": "left"})
    granting(fleet, "account_creation", "trading")
    fleet.later(days=31)
    fleet.write(*bots)
    before = len(fleet.sandbox.state.tokens())
    done = fleet.attempt("apply", "--yes")
    assert done.code == 5
    assert "the exchange granted account_creation trading instead of trading" in done.out
    assert len(fleet.sandbox.state.tokens()) - before <= 2, "one may be on its way beside it"
    assert fleet.live("left") == []
    assert [len(fleet.live(str(bot["label"]))) for bot in bots] == [1] * 5
    before = len(fleet.sandbox.state.tokens())
    for _ in range(3):
        done = fleet.attempt("apply", "--yes")
        assert done.code == 4
        assert done.last_line == "applied 0, failed 0, held 6, not tried 0"
        assert "asked trading, granted account_creation trading" in done.out
    assert "--retry-scopes" in fleet.must("plan").out
    assert len(fleet.sandbox.state.tokens()) == before
    fleet.must("status")


def late(fleet: Fleet, name: str) -> None:
    """New tokens work, or are listed, ten minutes late."""
    fleet.later(hours=1)
    fleet.sandbox.state.configure(**{name: 600_000})


def unwelcome(fleet: Fleet) -> None:
    """An edge refuses the lists of all tokens but the manager's."""
    for number in range(6):
        fleet.sandbox.faults.add(
            Fault(
                kind=FaultKind.ERROR_BEFORE,
                operation=Operation.LIST,
                label=f"bot-{number}",
                status=403,
                count=None,
            )
        )


@pytest.mark.parametrize(
    "make_so",
    [partial(late, name="active_after_ms"), partial(late, name="listed_after_ms"), unwelcome],
    ids=["work late", "listed late", "refused by an edge"],
)
def test_no_fleet_is_derived_in_vain(fleet: Fleet, make_so: Callable[[Fleet], None]) -> None:
    """Where no new token can be verified, a run derives one in each of its lanes at
    most, and revokes it, however many labels wait.
    """
    fleet.begin()
    fleet.write(*({"label": f"bot-{number}"} for number in range(6)))
    make_so(fleet)
    before = fleet.sandbox.state.count(Operation.DERIVE)
    done = fleet.attempt("apply", "--yes")
    assert done.code == 5
    assert "not tried" in done.out
    assert 1 <= fleet.sandbox.state.count(Operation.DERIVE) - before <= DERIVE_LANES
    assert len(fleet.sandbox.state.live()) == 1
    fleet.sandbox.faults.clear()
    fleet.sandbox.state.configure(active_after_ms=0, listed_after_ms=0)
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_the_granted_scopes_in_the_manifest(fleet: Fleet) -> None:
    """What the exchange grants can be what is asked for: then all is well."""
    fleet.begin()
    granting(fleet, "account_creation", "trading")
    fleet.write({"label": "bot"})
    assert fleet.attempt("apply", "--yes").code == 5
    assert fleet.attempt("apply", "--yes").code == 4
    fleet.write({"label": "bot", "scopes": ["account_creation", "trading"]})
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_live_token_that_shows_otherwise(fleet: Fleet) -> None:
    """A token of just these scopes that was made since proves that they are granted by
    now.
    """
    fleet.begin()
    granting(fleet, "account_creation", "trading")
    fleet.write({"label": "bot"})
    assert fleet.attempt("apply", "--yes").code == 5
    fleet.later(minutes=1)
    assert fleet.attempt("apply", "--yes").code == 4
    fleet.sandbox.faults.clear()
    fleet.sandbox.state.derive_by_hand("a person's", ("trading",))
    fleet.must("apply", "--yes")
    assert fleet.ledger().granted == ()
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_derive_that_ends_its_predecessor(fleet: Fleet) -> None:
    """The new one is stored all the same, for it may be the only one that works; it is
    said, and nothing more is derived.
    """
    fleet.defaults = {"overlap": "1h"}
    labels = [f"bot-{number}" for number in range(8)]
    fleet.begin(*({"label": label} for label in labels))
    fleet.write(*({"label": label, "scopes": ["withdrawal"]} for label in labels))
    before = fleet.sandbox.state.count(Operation.DERIVE)
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.ENDS_OLDER, operation=Operation.DERIVE, count=None)
    )
    done = fleet.attempt("apply", "--yes")
    fleet.sandbox.faults.clear()
    assert done.code == 5, done
    assert "vanished" in done.out
    assert fleet.sandbox.state.count(Operation.DERIVE) - before < len(labels), (
        "it did not end them all"
    )
    for label in labels:
        fleet.use(label)
    fleet.must("apply", "--yes", "--max-missing", "8")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_cap_that_ends_another_labels_token(fleet: Fleet) -> None:
    """The exchange ends the oldest token, the manager's: the run is not done, and says
    which token it was. A person bootstraps, and all is well.
    """
    fleet.begin(BOT)
    (manager,) = fleet.live("reconciler")
    fleet.write(BOT, {"label": "other"})
    fleet.sandbox.state.configure(tokens_max=2)
    done = fleet.attempt("apply", "--yes")
    assert done.code == 5, done
    assert f"{manager.token_id} vanished meanwhile" in done.out
    fleet.sandbox.state.configure(tokens_max=None)
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize("fault", UNCLEAR_DERIVES[:2], ids=fault_id)
def test_a_bootstrap_that_goes_wrong(fleet: Fleet, fault: Fault) -> None:
    """Nobody can list yet: repeated, it derives anew.

    No list was asked before the lost token's derive, so it could be a person's: it is
    named, until a person has revoked it and says so.
    """
    fleet.write(BOT)
    fleet.sandbox.faults.add(dataclasses.replace(fault, operation=Operation.DERIVE))
    fleet.refused(5, "bootstrap")
    fleet.must("bootstrap")
    lost, _ = (token.token_id for token in fleet.live("reconciler"))
    assert f"{lost} (reconciler): probably ours" in fleet.must("apply", "--yes").err
    fleet.must("forget", "--token-id", lost, "--yes")
    fleet.sandbox.state.revoke_by_hand(lost)
    fleet.assert_whole()
    fleet.assert_quiet()
    assert len(fleet.live("reconciler")) == 1


# --- the exchange: revoking ---


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.LOST_REPLY, count=None),
        Fault(kind=FaultKind.ERROR_AFTER, count=None),
        Fault(kind=FaultKind.GARBAGE, count=None),
        Fault(kind=FaultKind.ERROR_BEFORE, count=None),
        Fault(kind=FaultKind.ERROR_BEFORE, status=403, count=None),
        Fault(kind=FaultKind.MESSAGE_LIST, count=None),
        Fault(kind=FaultKind.RATE_LIMIT, count=None),
        Fault(kind=FaultKind.MAINTENANCE, count=None),
        Fault(kind=FaultKind.CLOSE_BEFORE, count=None),
    ],
    ids=fault_id,
)
def test_a_revocation_that_goes_wrong(fleet: Fleet, fault: Fault) -> None:
    """Done or not, it ends well: exit 0 if the list proves it, else 5, and the next run
    finishes it.
    """
    fleet.begin(BOT)
    token = fleet.live("bot")[0]
    fleet.write()
    fleet.sandbox.faults.add(dataclasses.replace(fault, operation=Operation.REVOKE))
    done = fleet.attempt("apply", "--yes")
    assert done.code in {0, 5}, done
    assert (done.code == 0) <= (not fleet.sandbox.state.token(token.token_id).live)
    fleet.sandbox.faults.clear()
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(token.token_id).live
    fleet.assert_whole()
    fleet.assert_quiet()


# --- disks, pipes, terminals ---


def shell(fleet: Fleet, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``script`` by bash, where ``"$@"`` is the program with these arguments."""
    argv = [
        "bash",
        "-o",
        "pipefail",
        "-c",
        script,
        "bash",
        sys.executable,
        "-m",
        "reconciler",
        *arguments,
    ]
    environ = {**fleet.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=fleet.folder, env=environ, capture_output=True, text=True, check=False, timeout=90
    )
    fleet.outputs += [done.stdout, done.stderr]
    for unseemly in ("Traceback", "internal error", "Exception ignored"):
        assert unseemly not in done.stdout + done.stderr, done
    return done


def limited(fleet: Fleet, *arguments: str) -> tuple[int, str]:
    """A command that may write no byte into any file: its exit code and the last line
    of its standard error.
    """
    process = fleet.start(*arguments)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    done = fleet.finish(process)
    return done.code, done.err.splitlines()[-1] if done.err else ""


def test_a_full_disk(fleet: Fleet) -> None:
    """A plan that can't be written: exit 1 and the file as it was; a report: exit 5,
    and the work is done.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    (fleet.folder / "plan.json").write_text("as it was")
    with fleet.untouched():
        assert limited(fleet, "plan", "--out", "plan.json") == (
            1,
            "error: File too large: plan.json",
        )
    assert (fleet.folder / "plan.json").read_text() == "as it was"
    code, said = limited(fleet, "apply", "--yes", "--report", "report.json")
    assert code == 5
    assert "report.json" in said
    fleet.assert_whole()
    assert sorted(path.name for path in fleet.folder.iterdir() if "tmp" in path.name) == []


@pytest.mark.parametrize("target", ["missing/report.json", "folder"])
def test_a_target_that_cannot_be_written(fleet: Fleet, target: str) -> None:
    """Known before anything is done, and named."""
    fleet.write(BOT)
    fleet.must("bootstrap")
    (fleet.folder / "folder").mkdir()
    with fleet.untouched():
        for command in (("apply", "--yes", "--report"), ("plan", "--out"), ("observe", "--out")):
            assert target in fleet.refused(1, *command, target)
    assert sorted(path.name for path in fleet.folder.iterdir()) == ["folder", "tokens.yaml"]


def test_an_empty_file_name(fleet: Fleet) -> None:
    """``--plan "$PLAN"`` with an unset variable must not mean "no plan was asked for",
    which would apply everything.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    with fleet.untouched():
        for command in (
            ("apply", "--yes", "--plan", ""),
            ("apply", "--yes", "--report", ""),
            ("plan", "--out", ""),
            ("plan", "--observed", ""),
            ("observe", "--out", ""),
            ("validate", ""),
        ):
            assert fleet.attempt(*command).code in {1, 64}, command


def test_a_target_that_is_no_file(fleet: Fleet) -> None:
    """A pipe is written into and stays a pipe; a link is followed and stays a link."""
    fleet.write(BOT)
    fleet.must("bootstrap")
    pipe, link, behind = (fleet.folder / name for name in ("pipe", "link", "behind"))
    os.mkfifo(pipe)
    link.symlink_to("behind")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    fleet.must("plan", "--out", "pipe")
    reader.join(timeout=10)
    assert pipe.is_fifo()
    judged("plan", received[0])
    pipe.unlink()
    fleet.must("plan", "--out", "link")
    assert link.is_symlink()
    judged("plan", behind.read_text())


def test_a_report_of_a_run_that_was_refused(fleet: Fleet) -> None:
    """Whatever the exit code, the report's file is a report or is not there: never an
    empty one.
    """
    fleet.begin(BOT)
    fleet.write(WIDE)
    fleet.lend_lease(60)
    report = fleet.folder / "report.json"
    fleet.refused(6, "apply", "--yes", "--report", "report.json")
    if report.exists():
        assert judged("report", report.read_text())["exit_code"] == 6
    fleet.later(minutes=2)
    fleet.must("apply", "--yes", "--report", "report.json")
    assert judged("report", report.read_text())["exit_code"] == 0


@pytest.mark.parametrize("redirect", ['"$@" >&-', '"$@" >/dev/full', '"$@" | head -0'])
def test_a_plan_that_nobody_reads(fleet: Fleet, redirect: str) -> None:
    """Standard output that is closed, full or cut off: exit 1, and at most one line
    about it.
    """
    fleet.begin(BOT)
    done = shell(fleet, redirect, "plan")
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) <= 1, done


@pytest.mark.parametrize("redirect", ['"$@" >&- 2>&-', '"$@" >/dev/full', '"$@" | head -0'])
def test_an_apply_that_nobody_watches(fleet: Fleet, redirect: str) -> None:
    """An apply does all its work, whoever listens, and its exit code says so."""
    fleet.begin()
    fleet.write(BOT, {"label": "other"})
    done = shell(fleet, redirect, "apply", "--yes")
    assert done.returncode == 0, done
    fleet.assert_whole()
    fleet.assert_quiet()


def test_no_standard_input(fleet: Fleet) -> None:
    """Standard input closed: who would have to answer or to give a secret can't, and
    that is said.
    """
    fleet.begin()
    fleet.write(BOT)
    token = fleet.sandbox.state.derive_by_hand("bot")
    with fleet.untouched():
        for code, arguments in (
            (64, ("apply", "--replace", "bot")),
            (64, ("adopt", "--label", "bot", "--token-id", token.token_id)),
            (4, ("apply", "--yes", "--replace", "bot", "--identity-file", "-")),
        ):
            done = shell(fleet, '"$@" <&-', *arguments)
            assert (done.returncode, done.stderr[:7]) == (code, "error: "), done


@pytest.mark.parametrize(
    "environ",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
    ids=str,
)
def test_a_terminal_that_knows_no_unicode(fleet: Fleet, environ: dict[str, str | None]) -> None:
    """Signs that can't be printed there are replaced; nothing fails for them."""
    fleet.write({"label": "Straße \N{ROCKET}", "path": "strasse"})
    fleet.must("bootstrap")
    for command in (("plan",), ("apply", "--yes")):
        done = fleet.run(*command, environ=environ)
        assert done.code == 0, done
    fleet.assert_whole()


def test_labels_that_bite(fleet: Fleet) -> None:
    """Labels that look like options, markup, commands of a CI runner, or formulas go
    through the whole story as text.
    """
    labels = (
        "--yes",
        "[red]x[/red]",
        "##[error]x",
        "::error::x",
        "=1+1",
        "a|b`c`",
        "../../etc",
        "%s %d {x}",
        "x" * 128,
    )
    fleet.begin(*({"label": label, "path": f"p{number}"} for number, label in enumerate(labels)))
    fleet.assert_whole()
    for arguments in (
        ("plan",),
        ("plan", "--format", "markdown"),
        ("plan", "--format", "json"),
        ("status",),
        ("verify",),
    ):
        out = fleet.must(*arguments).out
        assert not re.search(r"^\s*::error", out, re.MULTILINE)
        assert "##[" not in out
    fleet.must("rotate", "--target=--yes", "--compromised", "--yes")
    fleet.write()
    fleet.must("apply", "--yes", "--max-revocations", "10", "--revoke-in-use")
    assert {token.label for token in fleet.sandbox.state.live()} == {"reconciler"}
