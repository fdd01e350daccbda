"""The whole program among people and peers who mean harm: its environment, its
arguments, what it reads, what it is answered.

Whatever comes in, it ends with an exit code of the contract, and says why in one
sentence that harms nobody who reads it.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.commands import cli
from tests.proofs.hostile.lying import Exchanged, lying
from tests.proofs.hostile.strategies import (
    ALL_OF_THEM,
    FEW_VALUES,
    NASTY_TEXTS,
    Place,
    assert_lawful,
    edited,
    ran,
)
from tests.support.fleet import ROOT, Done, Fleet

BOT = {"label": "bot", "path": "prod/bot"}
TEXT = ALL_OF_THEM.replace("\x00", "")
GARBAGE = ("\udcff", TEXT, "../../up", "9" * 400, "a,b,,c,\x1b[31m")

VARIABLES = (
    *("LIMITLESS_API_URL", "LIMITLESS_TOKEN_ID", "LIMITLESS_TOKEN_SECRET"),
    *(
        "VAULT_ADDR",
        "VAULT_TOKEN",
        "VAULT_NAMESPACE",
        "VAULT_CACERT",
        "VAULT_CLIENT_CERT",
        "VAULT_CLIENT_KEY",
    ),
    *("VAULT_CLIENT_CERT_BYTES", "VAULT_CLIENT_KEY_BYTES"),
    *("VAULT_CAPATH", "VAULT_CACERT_BYTES", "VAULT_TLS_SERVER_NAME", "VAULT_PROXY_ADDR"),
    *("VAULT_CLIENT_TIMEOUT", "VAULT_MAX_RETRIES", "VAULT_AGENT_ADDR", "VAULT_TOKEN_PATH"),
    *("BAO_ADDR", "BAO_TOKEN", "BAO_CACERT", "BAO_NAMESPACE", "SSL_CERT_DIR", "ALL_PROXY"),
    *(
        "VAULT_SKIP_VERIFY",
        "RECONCILER_VAULT_AUTH",
        "RECONCILER_VAULT_ROLE",
        "RECONCILER_VAULT_AUTH_MOUNT",
    ),
    *("RECONCILER_VAULT_AUDIENCE", "RECONCILER_VAULT_PREFIX", "RECONCILER_ALLOWED_SCOPES"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "COLUMNS", "NO_COLOR", "HOME"),
)
URLS = (
    *(
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://user:pw@127.0.0.1:1",
    ),
    *(
        "ftp://x",
        "unix:///x",
        "http://127.0.0.1:1/\x1b[31m",
        "//127.0.0.1",
        "http://127.0.0.1:1/../..",
        "http://\u202ex",
    ),
    *(
        "https://xn--a.example:1",
        "http://127.0.0.1:1/##[error]x",
        "http://127.0.0.1:1/v1/?a=b#c",
        "http://0x7f.1:1",
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest in it."""
    path = tmp_path_factory.mktemp("hostile")
    (path / "tokens.yaml").write_text(
        "version: 1\nmanager: a\nvault: {mount: secret, prefix: p}\ntokens: [{label: a}]\n"
    )
    return path


ADDRESSES = frozenset({"VAULT_ADDR", "BAO_ADDR", "VAULT_AGENT_ADDR", "LIMITLESS_API_URL"})
SECRET = frozenset(
    {
        *("VAULT_TOKEN", "BAO_TOKEN", "LIMITLESS_TOKEN_SECRET"),
        *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "VAULT_PROXY_ADDR"),
    }
)
NOWHERE = {
    "HOME": "/nonexistent",
    "PATH": os.defpath,
    "VAULT_ADDR": "http://127.0.0.1:1",
    "VAULT_TOKEN": "t",
}


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_with_garbage(folder: Path, name: str) -> None:
    """Whatever a variable holds: one sentence, and nothing of a value that may be a
    secret.
    """
    values = (*GARBAGE, *(URLS if name in ADDRESSES else ()))
    for value in values:
        done = ran(folder, {**NOWHERE, name: value}, "plan")
        assert_lawful(done)
        assert done.code in {1, 4, 64}, (value, done)
        if name in SECRET and value not in NOWHERE["VAULT_ADDR"]:
            assert value not in done.err


LOGINS: dict[str, tuple[str, ...]] = {
    "approle": ("VAULT_ROLE_ID", "VAULT_SECRET_ID"),
    "jwt": ("VAULT_ID_TOKEN", "VAULT_JWT_FILE", "RECONCILER_VAULT_ROLE"),
}


@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method, names in LOGINS.items() for name in names]
)
def test_a_login_with_garbage(folder: Path, method: str, name: str) -> None:
    """The same for the variables of a login; credentials are not quoted."""
    good = {"VAULT_ROLE_ID": "role-id", "VAULT_SECRET_ID": "secret-id", "VAULT_ID_TOKEN": "a.b.c"}
    for value in GARBAGE:
        done = ran(
            folder, {**NOWHERE, **good, "RECONCILER_VAULT_AUTH": method, name: value}, "plan"
        )
        assert_lawful(done)
        assert done.code in {1, 4, 64}, (value, done)
        if name in good:
            assert value not in done.err


@pytest.mark.parametrize(
    "text", ["", " ", TEXT, "\n::error::x", "x" * 5_000, "\udcff", "-", "--", "--yes"]
)
def test_an_argument_that_means_harm(folder: Path, text: str) -> None:
    """Options, labels, ids, names of files and commands: quoted where they are wrong,
    so quoted harmlessly.
    """
    for arguments in (
        ("validate", text),
        ("plan", "--observed", text),
        ("plan", "--target", text, "--exclude", text),
        ("plan", "--format", text),
        ("plan", "--max-rotations", text),
        ("apply", "--plan", text),
        ("apply", "--yes", "--report", text),
        ("apply", "--yes", "--metrics", text),
        ("apply", "--yes", "--notify-command", text),
        ("status", "--out", text),
        ("status", "--log-format", text),
        ("apply", "--yes", "--identity-file", text),
        ("apply", "--yes", "--identity-command", text),
        ("rotate", "--target", text, "--yes"),
        ("adopt", "--label", text, "--token-id", text),
        ("observe", "--out", text),
        (text, "tokens.yaml"),
        (f"--{text}",),
    ):
        done = ran(folder, NOWHERE, *arguments, text="c2VjcmV0")
        assert done.code == 0 or not done.out
        if done.code:
            assert_lawful(done)


def test_every_command_is_tried() -> None:
    """A command that is new in the program is new in these tests."""
    tried = {
        "validate",
        "plan",
        "apply",
        "rotate",
        "rollback",
        "bootstrap",
        "status",
        "verify",
        "adopt",
        "observe",
    }
    assert set(cli.commands) >= tried


@pytest.mark.parametrize(
    "environ",
    [{}, {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}],
    ids=["UTF-8", "C"],
)
def test_a_process_of_its_own_with_bytes_that_are_no_text(
    folder: Path, environ: Mapping[str, str]
) -> None:
    """What the system passes on as bytes is not always text."""
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "plan", b"\xff\x1b[31m.yaml", b"--target", b"\xfe"],
        cwd=folder,
        env={
            **NOWHERE,
            **environ,
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "\udcff",
        },  # which becomes the byte 0xff
        capture_output=True,
        check=False,
    )
    assert_lawful(Done(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode()))
    assert done.returncode == 1


FILES: dict[str, bytes] = {
    "nothing": b"",
    "bytes": bytes(range(256)),
    "a text": b"plan",
    "a mark": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "another document": b'{"document": "reconciler report"}',
    "a kind that means harm": json.dumps({"document": ALL_OF_THEM}).encode(),
    "of a format to come": b'{"document": "reconciler plan", "format_version": 99}',
    "a huge number": b'{"document": "reconciler plan", "format_version": ' + b"9" * 9_999 + b"}",
    "half a surrogate pair": b'{"document": "reconciler snapshot", "x": "\\ud800"}',
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in FILES.items()])
def test_a_file_that_is_no_document_of_ours(folder: Path, data: bytes) -> None:
    """As a saved plan, as a snapshot, as an identity."""
    (folder / "x.json").write_bytes(data)
    for arguments in (
        ("plan", "--observed", "x.json"),
        ("apply", "--plan", "x.json"),
        ("apply", "--plan", "x.json", "--yes"),
    ):
        done = ran(folder, NOWHERE, *arguments)
        assert_lawful(done)
        assert done.code in {1, 3}
    assert_lawful(ran(folder, NOWHERE, "apply", "--yes", "--identity-file", "x.json"))


# --- an exchange that lies ---

EVERY_LOOK = (
    *(("plan",), ("plan", "--format", "json"), ("plan", "--format", "markdown")),
    *(("status",), ("status", "--format", "json"), ("status", "--format", "html")),
    ("status", "--format", "prometheus"),
    *(("verify",), ("observe", "--out", "o.json")),
)


class Liar:
    """What a lying exchange does:

    ``change`` gets the document of each successful reply to ``operation``, and gives
    another.
    """

    def __init__(self) -> None:
        self.operation = ""
        self.change: Callable[[Any], Any] = lambda document: document

    def answer(self, seen: Exchanged) -> tuple[int, bytes] | None:
        """The lie for what was asked, if it is what this is about."""
        which = {"GET": "list", "POST": "derive", "DELETE": "revoke"}[seen.method]
        which = "capabilities" if seen.path.endswith("capabilities") else which
        if which != self.operation or seen.status >= 300:
            return None
        return seen.status, json.dumps(self.change(seen.document)).encode()


@pytest.fixture
def liar(fleet: Fleet) -> Iterator[Liar]:
    """The fleet's exchange from now on."""
    one = Liar()
    with lying(fleet.sandbox.url, one.answer) as url:
        fleet.environ["LIMITLESS_API_URL"] = url
        yield one
        fleet.environ["LIMITLESS_API_URL"] = fleet.sandbox.url


def lawful(fleet: Fleet, *arguments: str, text: str = "") -> Done:
    """A run that keeps the laws."""
    done = fleet.attempt(*arguments, text=text)
    assert_lawful(done)
    return done


def test_hostile_tokens_in_the_list(fleet: Fleet) -> None:
    """Anybody of the profile may have labelled a token so: it is shown harmlessly, and
    is nobody's to touch.
    """
    fleet.begin(BOT)
    for number, text in enumerate(NASTY_TEXTS):
        fleet.sandbox.state.derive_by_hand(text, token_id=f"{number}{text[:900]}")
    before = {token.token_id for token in fleet.sandbox.state.live()}
    with fleet.untouched():
        for arguments in (*EVERY_LOOK, ("apply", "--yes")):
            assert lawful(fleet, *arguments).code == 0
        for token_id in before:
            assert lawful(
                fleet, "adopt", "--label", "bot", "--token-id", token_id, text="c2VjcmV0"
            ).code in {1, 64}
    fleet.write(BOT, {"label": "##[error]x", "path": "x"})
    fleet.sandbox.state.derive_by_hand("##[error]x", token_id="\x1b[31m##[error]y")
    for arguments in (*EVERY_LOOK, ("apply", "--yes")):
        lawful(fleet, *arguments)
    assert before <= {token.token_id for token in fleet.sandbox.state.live()}


def with_entry(key: str, value: Any, listed: list[dict[str, Any]]) -> Any:
    """The list with another value in the entry of ``bot``."""
    return [{**token, key: value} if token["label"] == "bot" else token for token in listed]


def with_key(key: str, value: Any, document: dict[str, Any]) -> Any:
    """The document with another value of a key."""
    return {**document, key: value}


def with_place(place: Place, value: Any, document: Any) -> Any:
    """The document with another value at a place, or as a whole."""
    return edited(document, place, value) if place else value


@pytest.mark.parametrize("key", ["tokenId", "label", "scopes", "createdAt", "lastUsedAt"])
def test_a_list_with_anything_in_it(fleet: Fleet, liar: Liar, key: str) -> None:
    """One entry is not as it should be: all can still be shown, or the list is not
    believed; nothing is done.
    """
    fleet.begin(BOT)
    liar.operation = "list"
    with fleet.untouched():
        for number, value in enumerate(FEW_VALUES):
            liar.change = functools.partial(with_entry, key, value)
            assert lawful(fleet, *EVERY_LOOK[number % 5]).code in {0, 1}


@pytest.mark.parametrize("key", ["partnerProfileId", "tokenManagementEnabled", "allowedScopes"])
def test_capabilities_with_anything_in_them(fleet: Fleet, liar: Liar, key: str) -> None:
    """Before anything is written, and not even a profile is taken down that could not
    be read again.
    """
    fleet.write(BOT)
    liar.operation = "capabilities"
    for value in (*FEW_VALUES, ["trading", ALL_OF_THEM], [ALL_OF_THEM]):
        liar.change = functools.partial(with_key, key, value)
        done = lawful(fleet, "bootstrap")
        assert done.code in {0, 1, 4}, value
        if done.code == 0:
            assert lawful(fleet, "plan").code == 0
            break


DERIVE_PLACES: tuple[Place, ...] = (
    *((), ("apiKey",), ("tokenId",), ("secret",), ("createdAt",), ("scopes",), ("scopes", 0)),
    *(("profile",), ("profile", "id"), ("profile", "account")),
)


@pytest.mark.parametrize(
    "place", DERIVE_PLACES, ids=lambda place: ".".join(map(str, place)) or "whole"
)
def test_a_derive_with_anything_in_its_reply(fleet: Fleet, liar: Liar, place: Place) -> None:
    """The run may fail; the next ones set it right, and no live token of ours stays
    unknown.
    """
    fleet.begin()
    for number, value in enumerate((10**30, ALL_OF_THEM)):
        label = f"bot-{number}"
        fleet.write({"label": label})
        liar.operation = "derive"
        liar.change = functools.partial(with_place, place, value)
        assert lawful(fleet, "apply", "--yes", "--report", "r.json").code in {0, 5}
        lawful(fleet, "status", "--format", "json")
        liar.operation = ""
        fleet.later(minutes=3)
        lawful(fleet, "apply", "--yes", "--revoke-in-use")
    fleet.write()
    fleet.must("apply", "--yes", "--revoke-in-use")
    fleet.assert_whole()


# --- Vault, edited by people ---

HARM: tuple[Callable[[dict[str, Any]], object], ...] = (
    lambda plain: plain["tokens"]["bot"].update(path="../../up"),
    lambda plain: plain["tokens"]["bot"].update(path=TEXT),
    lambda plain: plain["tokens"]["bot"]["current"].update(token_id=TEXT),
    lambda plain: plain["tokens"]["bot"]["current"].update(version=-1),
    lambda plain: plain["tokens"]["bot"]["current"].update(created_at="9999-12-31T23:59:59.999Z"),
    lambda plain: plain["tokens"].update({TEXT: plain["tokens"]["bot"]}),
    lambda plain: plain.update(api_url=TEXT),
    lambda plain: plain.update(files=[TEXT]),
    lambda plain: plain.update(files="tokens.yaml"),
    lambda plain: plain.update(profile_id=-1),
    lambda plain: plain.update(
        abandoned=[{"label": TEXT, "since": plain["as_of"], "closed_at": plain["as_of"]}]
    ),
    lambda plain: plain["tokens"]["bot"].update(
        intent={
            "kind": "rotate",
            "operation_id": TEXT,
            "run": TEXT,
            "since": "2026-11-22T08:30:00.000Z",
            "before": [],
            "cas": -5,
            "scopes": ["trading"],
            "compromised": False,
            "token_id": TEXT,
        }
    ),
    lambda plain: plain["tokens"]["bot"].update(
        revoking=[
            {"token_id": TEXT, "live_label": TEXT, "reason": TEXT},
            {"token_id": "", "live_label": "", "reason": ""},
        ]
    ),
    lambda plain: plain["tokens"]["bot"].update(retiring={}),
    lambda plain: plain.update(
        holder={"run": TEXT, "write": "w", "who": TEXT, "expires_at": "2999-01-01T00:00:00Z"}
    ),
)


def test_a_ledger_that_means_harm(fleet: Fleet) -> None:
    """Edited by whoever may write there: every command says so, or goes on; the secrets
    that were in place go on signing.
    """
    fleet.begin(BOT)
    good = json.loads(fleet.secret("_ledger").field("ledger") or "")
    for number, harm in enumerate(HARM):
        plain = {**copy.deepcopy(good), "as_of": "2026-11-22T08:30:00.000Z"}
        harm(plain)
        with fleet.store() as store:
            latest = fleet.secret("_ledger").version
            store.write(f"{fleet.prefix}/_ledger", {"ledger": json.dumps(plain)}, cas=latest)
        for arguments in (EVERY_LOOK[number % len(EVERY_LOOK)], ("apply", "--yes")):
            lawful(fleet, *arguments)
    fleet.use("reconciler")


CONTENTS: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"token_id": None},
    {"token_id": 7, "secret": 7},
    {"token_id": [TEXT], "secret": {TEXT: TEXT}},
    {"token_id": TEXT, "secret": "c2VjcmV0"},
    {"token_id": "same", "secret": "not base64 \x1b[31m"},
    {"token_id": "same", "secret": ""},
    {"token_id": "same", "secret": "x" * 100_000},
    {TEXT: TEXT, "operation_id": 1.5},
)


def test_secrets_that_mean_harm(fleet: Fleet) -> None:
    """The same for the secrets, the manager's among them: verify names those that do
    not work, apply restores them.
    """
    fleet.begin(BOT)
    for path, label in (("prod/bot", "bot"), ("reconciler", "reconciler")):
        for number, content in enumerate(CONTENTS):
            token_id = fleet.ledger().tokens[label].current.token_id  # type: ignore[union-attr]
            data = (
                {k: token_id if v == "same" else v for k, v in content.items()}
                if content is not None
                else None
            )
            with fleet.operator() as client:
                full = f"/v1/{fleet.mount}/data/{fleet.prefix}/{path}"
                client.adapter.post(full, json={"data": data})
            lawful(fleet, *EVERY_LOOK[number % len(EVERY_LOOK)])
            lawful(fleet, "apply", "--yes")
    lawful(fleet, "bootstrap")
    fleet.must("apply", "--yes", "--max-missing", "5")
    fleet.must(
        "rotate", "--target", "bot", "--compromised", "--yes"
    )  # a wrong secret under the right id is what verify finds
    fleet.must("verify")
    fleet.assert_whole()
