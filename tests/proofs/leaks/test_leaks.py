"""No secret anywhere: what is printed, logged and written, what peers and children are
told, what a defect or a kill leaves.

Every test of the end-to-end folder searches what it printed and wrote as well
(``Fleet.assert_no_leak``). These search for all forms of a secret, and look where
nobody else does.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Fault, FaultKind, Garbage, Operation
from tests.proofs.hostile.lying import Exchanged
from tests.proofs.leaks.rig import FAILURES, Rig, Speech, files_below, honest, rigged
from tests.proofs.leaks.search import forms, found
from tests.support.fleet import ROOT, TIMEOUT_S, Fleet
from tests.support.openbao import jwt_public_key, new_mount, new_token, operator, signed_jwt

BOT = {"label": "bot", "path": "prod/bot"}
OTHER = {"label": "other"}

LOUD = """
import logging
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s %(args)s")
logging.captureWarnings(True)
"""

SPY = """
import json, os, pathlib
seen = {"environ": dict(os.environ), "commands": {}}
for place in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        seen["commands"][place.name] = (place / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        pass
pathlib.Path("seen.json").write_text(json.dumps(seen))
print(pathlib.Path("identity").read_text())
"""

# A defect at the worst moment, under everything that shows local variables of a
# traceback.
DEFECT = """
import faulthandler, sys, threading, traceback
faulthandler.enable()
def shown(kind, error, trace):
    told = traceback.TracebackException(kind, error, trace, capture_locals=True)
    print(*told.format(), sep="", file=sys.stderr)
sys.excepthook = shown
threading.excepthook = lambda told: sys.excepthook(told.exc_type, told.exc_value, told.exc_traceback)
import reconciler.cli
import reconciler.run.peers
def defective(self, effect):
    secret = effect.secret.reveal() if effect.secret is not None else ""
    fields = dict(effect.fields, secret=secret)
    raise RuntimeError(f"a defect with {fields}")
reconciler.run.peers.Peers._put_secret = defective
"""  # noqa: E501  # a program as it is written to a file

# What a process opens for writing, told by the interpreter itself; the name of the
# record is in the environment.
WATCH = """
import os, sys
record = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
def hook(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        os.write(record, f"{os.fspath(arguments[0])}\\n".encode())
    elif event in {"os.rename", "os.link", "os.symlink", "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.copyfile"}:
        os.write(record, f"{event}: {arguments[0]} {arguments[-1]}\\n".encode())
sys.addaudithook(hook)
"""  # noqa: E501  # a program as it is written to a file

VAULT_FAILURES = [(exchange, vault) for exchange, vault in FAILURES.values() if vault is not honest]

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("plan", "--out", "plan.json"),
    ("plan", "--format", "json"),
    ("plan", "--format", "markdown"),
    ("status",),
    ("status", "--format", "json"),
    ("status", "--format", "html"),
    ("status", "--format", "ics"),
    ("status", "--format", "prometheus", "--out", "status.prom"),
    ("status", "--log-format", "json", "--log-level", "debug"),
    ("observe", "--out", "observed.json"),
    ("verify",),
    ("apply", "--yes", "--report", "report.json"),
    ("rotate", "--target", "bot", "--yes", "--report", "rotated.json", "--log-format=json"),
    ("apply", "--yes", "--metrics", "run.prom", "--notify-command", "sh -c 'env >&2; cat >&2'"),
    ("rollback", "--target", "bot", "--yes"),
    ("bootstrap",),
    ("validate",),
)
"""Every command that can print, but adopt, which has a test of its own."""


@pytest.fixture
def rig(fleet: Fleet, openbao: OpenBaoServer) -> Iterator[Rig]:
    """A fleet with one retiring predecessor, between peers that are honest so far."""
    with rigged(fleet, openbao) as one:
        fleet.defaults = {"overlap": "1h"}
        fleet.begin(BOT)
        fleet.must("rotate", "--target", "bot", "--yes")
        yield one


def test_no_command_prints_or_writes_a_secret(rig: Rig) -> None:
    """Each command in its success, with every log at DEBUG, on a terminal so narrow
    that all lines are broken.
    """
    rig.fleet.environ["COLUMNS"] = "40"
    for arguments in COMMANDS:
        assert rig.attempt(*arguments).code == 0, arguments
    assert rig.attempt("plan", "--observed", "observed.json").code == 0
    assert rig.attempt("apply", "--plan", "plan.json").code in {0, 3}
    for said in (r"exchange: (GET|POST) /auth/\S+: 20[01]", r"vault: POST \S+/data/\S+: 200"):
        assert re.search(said, rig.logs.getvalue())
    assert "httpcore" in rig.logs.getvalue()


@pytest.mark.parametrize("failure", FAILURES)
def test_no_command_repeats_what_a_peer_echoes(rig: Rig, failure: str) -> None:
    """A peer, or a proxy before it, that answers with all that it was sent: its words
    are never passed on.
    """
    rig.fleet.write(BOT, OTHER)
    rig.exchange, rig.vault = FAILURES[failure]
    for arguments in COMMANDS[:-1]:
        assert rig.attempt(*arguments).code in {1, 4, 5, 6}, arguments
    assert rig.leaks() == []


def after_the_derive(rig: Rig, speech: Speech) -> Speech:
    """The peer is honest until the next derive is answered."""
    begin = len(rig.asked["exchange"])

    def is_derive(seen: Exchanged) -> bool:
        return seen.path.endswith("/derive") and seen.status < 300

    def late(seen: Exchanged) -> tuple[int, bytes] | None:
        derived = any(is_derive(earlier) for earlier in rig.asked["exchange"][begin:])
        return speech(seen) if derived and not is_derive(seen) else None

    return late


@pytest.mark.parametrize("failure", FAILURES)
def test_an_echo_between_derive_and_commit(rig: Rig, failure: str) -> None:
    """The new secret is in memory only when a peer begins to tell everything back; the
    run after that sets it right.
    """
    rig.fleet.write(BOT, OTHER)
    exchange, vault = FAILURES[failure]
    rig.exchange, rig.vault = after_the_derive(rig, exchange), after_the_derive(rig, vault)
    assert rig.attempt("apply", "--yes", "--report", "report.json").code == 5
    rig.exchange, rig.vault = honest, honest
    rig.fleet.later(minutes=3)
    assert rig.attempt("apply", "--yes").code in {0, 5}
    assert rig.attempt("status").code == 0


def test_adopt_with_the_right_and_with_a_wrong_secret(rig: Rig) -> None:
    """What was typed on standard input appears nowhere, right, wrong, refused, or no
    secret at all.
    """
    token = rig.fleet.sandbox.state.derive_by_hand("other")
    rig.fleet.write(BOT, OTHER)
    wrong = base64.b64encode(b"a wrong secret of 32 bytes, long").decode()
    odd = "not base64 but a secret all the same"
    rig.given |= {"a wrong secret": wrong, "an odd secret": odd}
    adopt = ("adopt", "--label", "other", "--token-id", token.token_id)
    for text, codes in ((odd, {64}), (wrong, {1}), (f"{token.secret}\n{wrong}", {64})):
        assert rig.attempt(*adopt, text=text).code in codes
    for exchange, vault in FAILURES.values():
        rig.exchange, rig.vault = exchange, vault
        assert rig.attempt(*adopt, text=token.secret).code in {1, 4, 5, 6}
    rig.exchange, rig.vault = honest, honest
    assert rig.attempt(*adopt, text=token.secret).code == 0


def test_adopt_lists_with_right_and_wrong_secrets(rig: Rig) -> None:
    """What lies elsewhere in Vault appears nowhere, whatever the peers answer; nor does
    what somebody wrote in the wrong column of the list.
    """
    fleet = rig.fleet
    token = fleet.sandbox.state.derive_by_hand("other")
    fleet.write(BOT, OTHER)
    wrong = base64.b64encode(b"a wrong secret of 32 bytes, long").decode()
    odd = "not base64 but a secret all the same"
    rig.given |= {"a wrong secret": wrong, "an odd secret": odd}
    fields = {"token_id": token.token_id, "KEY": token.secret, "WRONG": wrong, "ODD": odd}
    place = f"by-hand-{fleet.prefix.partition('/')[0]}/other"
    with fleet.store() as store:
        store.write(place, fields, cas=0)
    row = {"label": "other", "vault": f"{fleet.mount}/{place}"}
    adopt = ("adopt", "--from", "-", "--yes")
    for field in ("WRONG", "ODD", "MISSING", token.secret, odd):
        text = json.dumps([{**row, "secret_field": field}])
        assert rig.attempt(*adopt, text=text).code == 1
    for misplaced in ("label", "vault", "token_id_field", token.secret):
        text = json.dumps([{**row, misplaced: token.secret if misplaced != "vault" else odd}])
        assert rig.attempt(*adopt, text=text).code == 1
    good = json.dumps([{**row, "secret_field": "KEY"}])
    for exchange, vault in FAILURES.values():
        rig.exchange, rig.vault = exchange, vault
        assert rig.attempt(*adopt, text=good).code in {1, 4, 5, 6}
    rig.exchange, rig.vault = honest, honest
    assert rig.attempt(*adopt, text=good).code == 0


BAD_IDENTITIES = (
    "an-identity-that-the-exchange-refuses",
    "an identity with spaces in it",
    "an-identität-in-umlauts",
)


def test_identities_from_everywhere_that_are_not_accepted(rig: Rig) -> None:
    """A file, a command's output, a variable, standard input: with an identity that is
    old, of no shape, or refused.
    """
    rig.fleet.write(BOT, OTHER)
    (rig.fleet.folder / "identity").write_text("")
    for number, bad in enumerate(BAD_IDENTITIES):
        rig.given[f"identity {number}"] = bad
        secret = rig.fleet.folder.parent / f"identity-{number}"
        secret.write_text(bad)
        rig.fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = bad
        for more in (
            (),
            ("--identity-file", str(secret)),
            ("--identity-file", "-"),
            ("--identity-command", f"cat {secret}"),
        ):
            assert rig.attempt("apply", "--yes", *more, text=bad).code == 4


def test_a_signer_from_the_environment(rig: Rig) -> None:
    """LIMITLESS_TOKEN_SECRET, right and wrong, with honest peers and with echoes."""
    signer = rig.fleet.sandbox.state.derive_by_hand("ci")
    wrong = base64.b64encode(b"another secret of thirty-two byte").decode()
    rig.given["a wrong signer"] = wrong
    for secret, codes in (
        (signer.secret, {0}),
        (wrong, {4}),
        ("no base64 at all, but a secret", {1, 64}),
    ):
        rig.fleet.environ |= {
            "LIMITLESS_TOKEN_ID": signer.token_id,
            "LIMITLESS_TOKEN_SECRET": secret,
        }
        assert rig.attempt("plan").code in codes
        rig.exchange = FAILURES["the exchange refuses the credential"][0]
        assert rig.attempt("plan").code in {1, 4, 64}
        rig.exchange = honest


def test_an_identity_that_is_handed_over(rig: Rig) -> None:
    """`identity push` and the run that takes the token out of Vault, with honest peers
    and with echoes on either side.
    """
    rig.fleet.write(BOT, OTHER)
    identity = rig.fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    place = f"{rig.fleet.mount}/handed-over/identity"
    for _, vault in VAULT_FAILURES:
        rig.vault = vault
        assert rig.attempt("identity", "push", place).code in {1, 4, 5}
    rig.vault = honest
    assert rig.attempt("identity", "push", place).code == 0
    del rig.fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    for exchange, vault in (*FAILURES.values(), (honest, honest)):
        rig.exchange, rig.vault = exchange, vault
        assert rig.attempt("apply", "--yes", "--identity-vault", place).code in {0, 1, 4, 5}
    rig.fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = identity


def approle(client: Any, mount: str) -> tuple[dict[str, str], str, str]:
    """Variables beside it, a secret id, and one that is refused."""
    client.sys.enable_auth_method("approle", path=mount)
    client.auth.approle.create_or_update_approle(
        "ci", token_policies=[everything(client)], mount_point=mount
    )
    role_id = client.auth.approle.read_role_id("ci", mount_point=mount)["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id("ci", mount_point=mount)["data"]["secret_id"]
    return {"VAULT_ROLE_ID": role_id}, secret_id, "a-secret-id-that-was-revoked"


def jwt(client: Any, mount: str) -> tuple[dict[str, str], str, str]:
    """Variables beside it, a JWT, and one whose signature is wrong."""
    client.sys.enable_auth_method("jwt", path=mount)
    client.auth.jwt.configure(jwt_validation_pubkeys=[jwt_public_key()], path=mount)
    role = {
        "role_type": "jwt",
        "bound_audiences": ["us"],
        "user_claim": "sub",
        "token_policies": [everything(client)],
    }
    client.adapter.post(f"/v1/auth/{mount}/role/ci", json=role)
    token = signed_jwt(
        {"sub": "ci", "aud": "us", "exp": int(time.time()) + 600, "iat": int(time.time())}
    )
    return {"RECONCILER_VAULT_ROLE": "ci"}, token, token[:-20] + "A" * 20


def everything(client: Any) -> str:
    """A policy that allows all of it."""
    client.sys.create_or_update_policy(
        "everything", 'path "*" { capabilities = ["create", "read", "update", "list"] }'
    )
    return "everything"


LOGINS: dict[str, Callable[[Any, str], tuple[dict[str, str], str, str]]] = {
    "approle": approle,
    "jwt": jwt,
}


@pytest.mark.parametrize("method", LOGINS)
def test_logins(rig: Rig, openbao: OpenBaoServer, method: str) -> None:
    """Secret id, JWT and the token that they bring: nowhere, whether the login
    succeeds, is refused, or is echoed.
    """
    mount = f"{method}-{rig.fleet.mount}"
    with operator(openbao) as client:
        environ, good, bad = LOGINS[method](client, mount)
    name = "VAULT_SECRET_ID" if method == "approle" else "VAULT_ID_TOKEN"
    rig.given |= {"the good credential": good, "the bad credential": bad}
    del rig.fleet.environ["VAULT_TOKEN"]
    rig.fleet.environ |= {
        "RECONCILER_VAULT_AUTH": method,
        "RECONCILER_VAULT_AUTH_MOUNT": mount,
        **environ,
    }
    try:
        for credential, speech, code in (
            (good, honest, 0),
            (bad, honest, 1),
            *((good, vault, 1) for _, vault in VAULT_FAILURES),
        ):
            rig.fleet.environ[name] = credential
            rig.vault = speech
            done = rig.attempt("plan")
            assert done.code == code, done
    finally:
        rig.fleet.environ["VAULT_TOKEN"] = openbao.root_token.reveal()
    for seen in rig.asked["vault"]:
        auth = seen.document.get("auth") if isinstance(seen.document, dict) else None
        if isinstance(auth, dict):
            rig.given["a token of a login"] = auth["client_token"]
    assert "a token of a login" in rig.given


def test_each_peer_is_told_its_own_secrets_only(rig: Rig) -> None:
    """Nothing secret in an address, no HMAC secret on its way to the exchange, no Vault
    token there, no identity in Vault.
    """
    for arguments in COMMANDS:
        rig.attempt(*arguments)
    secrets = rig.secrets()
    state = rig.fleet.sandbox.state
    identities = {"identity": rig.fleet.environ["LIMITLESS_IDENTITY_TOKEN"]}
    keys = {f"the secret of {token.token_id}": token.secret for token in state.live()}
    vault_token = {"Vault's token": rig.given["Vault's root token"]}
    exchange, vault = rig.asked["exchange"], rig.asked["vault"]
    assert exchange
    assert vault
    assert found(secrets, [seen.path for seen in (*exchange, *vault)]) == []
    assert (
        found({**keys, **vault_token}, [f"{seen.headers} {seen.body!r}" for seen in exchange]) == []
    )
    assert found(identities, [f"{seen.headers} {seen.body!r}" for seen in vault]) == []
    for seen in exchange:
        elsewhere = {
            name: text
            for name, text in seen.headers.items()
            if name.lower() not in {"identity", "lmts-signature"}
        }
        assert found(secrets, [str(elsewhere), repr(seen.body)]) == []
    for seen in vault:
        elsewhere = {name: text for name, text in seen.headers.items() if name != "x-vault-token"}
        assert found(secrets, [str(elsewhere)]) == []
        if "/data/" not in seen.path:
            assert found(secrets, [repr(seen.body)]) == []


def test_the_audit_log_of_vault(
    tmp_path: Path, new_fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real audit device hashes all values that are text; paths, names of fields,
    numbers and flags stand there in clear.
    """
    log, config = tmp_path / "audit.log", tmp_path / "audit.hcl"
    config.write_text(f'audit "file" "file" {{\n  options {{ file_path = "{log}" }}\n}}\n')
    begin = subprocess.Popen

    def with_config(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return begin([*arguments, f"-config={config}"], **options)

    with new_fleet() as fleet, monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", with_config)
        with OpenBaoServer() as server:
            patch.undo()
            with operator(server) as client:
                fleet.mount = new_mount(client)
                token = new_token(
                    client, {f"{fleet.mount}/*": ["create", "read", "update", "list"]}
                )
            fleet.environ |= {"VAULT_ADDR": server.address, "VAULT_TOKEN": token}
            fleet._root_token = server.root_token.reveal()
            fleet.begin(BOT)
            fleet.must("rotate", "--target", "bot", "--yes", "--compromised")
            fleet.must("verify")
            secrets = {str(number): text for number, text in enumerate(fleet.secrets())}
            assert len(log.read_text()) > 10_000
            assert found({**secrets, "token": token}, [log.read_text()]) == []


def test_debug_logging_in_development_mode(fleet: Fleet) -> None:
    """With every logger at DEBUG and Python's own development mode, through good and
    bad replies, nothing secret is shown.
    """
    (fleet.folder / "sitecustomize.py").write_text(LOUD)
    environ: dict[str, str | None] = {
        "PYTHONPATH": f"{fleet.folder}{os.pathsep}{ROOT}",
        "PYTHONDEVMODE": "1",
    }
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.GARBAGE, operation=Operation.DERIVE, garbage=Garbage.TYPES)
    )
    done = fleet.run("apply", "--yes", environ=environ)
    assert done.code == 5, done
    assert "httpcore" in done.err, "the logs are on"
    assert re.search(r"POST \S+/data/\S+: 200", done.err)
    assert fleet.run("apply", "--yes", environ=environ).code == 0
    fleet.assert_whole()
    fleet.assert_no_leak()


def test_a_defect_with_the_secret_in_its_hands(fleet: Fleet) -> None:
    """A defect of ours right before the commit, where whoever runs us shows local
    variables of every traceback: one line.
    """
    fleet.begin()
    fleet.write(BOT)
    (fleet.folder / "sitecustomize.py").write_text(DEFECT)
    process = fleet.start(
        "apply", "--yes", environ={"PYTHONPATH": f"{fleet.folder}{os.pathsep}{ROOT}"}
    )
    out, err = process.communicate("", timeout=TIMEOUT_S)
    (fleet.folder / "sitecustomize.py").unlink()
    assert process.returncode in {1, 5}, (out, err)
    assert "internal error: RuntimeError in defective, line " in err.splitlines()[-1]
    assert "a defect with" not in out + err
    fleet.outputs += [out, err]
    assert len(fleet.live("bot")) == 1
    assert (
        found({str(number): text for number, text in enumerate(fleet.secrets())}, [out, err]) == []
    )
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_the_only_files_that_are_written_are_those_that_were_asked_for(fleet: Fleet) -> None:
    """The interpreter itself tells what is opened for writing: the files asked for,
    each by way of one file beside it.
    """
    record = fleet.folder.parent / f"{fleet.folder.name}.record"
    temporary = fleet.folder / "tmp"
    temporary.mkdir()
    fleet.begin()
    fleet.write(BOT)
    (fleet.folder / "sitecustomize.py").write_text(WATCH)
    environ: dict[str, str | None] = {
        "PYTHONPATH": f"{fleet.folder}{os.pathsep}{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RECORD": str(record),
        "TMPDIR": str(temporary),
    }
    asked = ("plan.json", "report.json", "observed.json")
    fleet.ok("plan", "--out", asked[0], environ=environ)
    fleet.ok("apply", "--plan", asked[0], "--report", asked[1], environ=environ)
    fleet.ok("observe", "--out", asked[2], environ=environ)
    lines = set(record.read_text().splitlines()) - {"/dev/null"}
    unasked = [
        line for line in lines if not any(f"{fleet.folder}/{name}" in line for name in asked)
    ]
    assert unasked == []
    assert len(lines) == 2 * len(asked), lines
    assert files_below(fleet.folder) == {"tokens.yaml", "sitecustomize.py", *asked}


GIVEN: dict[str, str | None] = {
    "VAULT_SECRET_ID": "a-secret-id",
    "VAULT_SECRET_ID_WRAPPED": "a-wrapped-one",
    "VAULT_ID_TOKEN": "an-id-token",
    "VAULT_CLIENT_KEY_BYTES": "a-clients-key",
    "BAO_CLIENT_KEY_BYTES": "another-clients-key",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a-request-token",
    "GITHUB_TOKEN": "a-github-token",
}
"""Secrets of ours that no identity command has any business with."""


@pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="only Linux shows processes there"
)
def test_nothing_in_the_process_list(fleet: Fleet) -> None:
    """While an apply runs, no command line holds a secret, and its child, the identity
    command, inherits none.
    """
    fleet.begin()
    fleet.write(BOT)
    identity = fleet.environ.pop("LIMITLESS_IDENTITY_TOKEN")
    signer = fleet.sandbox.state.derive_by_hand("ci")
    (fleet.folder / "identity").write_text(identity)
    (fleet.folder / "spy.py").write_text(SPY)
    done = fleet.run(
        "apply",
        "--yes",
        "--identity-command",
        f"{sys.executable} spy.py",
        environ={
            "LIMITLESS_TOKEN_ID": signer.token_id,
            "LIMITLESS_TOKEN_SECRET": signer.secret,
            "LIMITLESS_IDENTITY_TOKEN": "an.old.one",
            "VAULT_CLIENT_CERT_BYTES": "a certificate, which is public",
            **GIVEN,
        },
    )
    assert done.code == 0, done
    fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = identity
    seen = json.loads((fleet.folder / "seen.json").read_text())
    (fleet.folder / "identity").unlink()
    assert any(
        "reconciler" in command and "apply" in command for command in seen["commands"].values()
    )
    everything = "\n".join([*seen["commands"].values(), *seen["environ"].values()])
    assert not any(secret in everything for secret in fleet.secrets())
    for text in filter(None, ("an.old.one", *GIVEN.values())):
        assert text not in everything
    fleet.assert_whole()


def test_nothing_in_what_a_killed_run_leaves(fleet: Fleet) -> None:
    """Killed while it has the new secret in its hands and nowhere else, it leaves no
    file but tokens.yaml.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(
        Fault(kind=FaultKind.DELAY, operation=Operation.LIST, label="bot", delay_ms=60_000)
    )
    with fleet.running("apply", "--yes") as process:
        deadline_s = time.monotonic() + TIMEOUT_S
        while fleet.sandbox.faults.pending and time.monotonic() < deadline_s:
            time.sleep(0.01)
        process.kill()
        fleet.finish(process)
    assert len(fleet.live("bot")) == 1, "it was killed with a token in its hands"
    assert [path.name for path in fleet.folder.iterdir()] == ["tokens.yaml"]
    fleet.assert_no_leak()
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


SECRET = "c2VjcmV0+/c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0cw=="


@pytest.mark.parametrize(
    ("name", "form"),
    list(forms(SECRET)),
    ids=lambda value: value.replace(" ", "-") if " " in value else "",
)
def test_a_leak_would_be_found_in_every_form(name: str, form: str) -> None:
    """The search itself works: within other text, and with a line broken in its middle;
    and finds nothing in what is none.
    """
    cut = len(form) // 3
    for text in (f"x{form}y", f"{form[:cut]}\n      {form[cut:]}"):
        assert any(name in leak for leak in found({"it": SECRET}, ["before", text])), name
    assert found({"it": SECRET}, [form[1:-1][: len(form) // 4]]) == []
    for before in range(3):
        message = base64.b64encode(b"x" * before + SECRET.encode() + b"yz").decode()
        assert found({"it": SECRET}, [message]) != []


def test_a_leak_would_be_found(fleet: Fleet) -> None:
    """So does that of every other end-to-end test: in what was printed, and in
    files.
    """
    fleet.begin(BOT)
    secret = fleet.live("bot")[0].secret
    for text in (secret, f"x{secret}y"):
        fleet.outputs.append(text)
        with pytest.raises(AssertionError, match="secrets in what was printed"):
            fleet.assert_no_leak()
        fleet.outputs.pop()
    file = fleet.folder / "left.txt"
    file.write_text(dataclasses.replace(fleet.live("bot")[0], label=None).secret)
    with pytest.raises(AssertionError, match="secrets in what was printed"):
        fleet.assert_no_leak()
    file.unlink()
