"""Every row of the table of exit codes (design: contract), and what a usage error
is.
"""

from __future__ import annotations

import base64
import json

import pytest

from reconciler.sandbox import ErrorShape, Fault, FaultKind, Operation
from tests.support.fleet import Done, Fleet, judged

BOT = {"label": "bot", "path": "prod/bot"}
OTHER = {"label": "other"}


def jwt(expires_at_ms: int) -> str:
    """A token in the shape of a JWT that ends then."""
    claims = (
        base64.urlsafe_b64encode(json.dumps({"exp": expires_at_ms // 1000}).encode())
        .decode()
        .rstrip("=")
    )
    return f"e30.{claims}.c2ln"


def reported(fleet: Fleet, *arguments: str) -> Done:
    """An apply whose report says the same exit code as the process, and is what its
    schema allows.
    """
    done = fleet.attempt("apply", "--yes", "--report", "report.json", *arguments)
    assert judged("report", (fleet.folder / "report.json").read_text())["exit_code"] == done.code
    return done


def test_0_done_nothing_to_do_or_waiting(fleet: Fleet) -> None:
    """Done is 0, nothing to do is 0, and so are holds that wait for time, a consumer,
    or the budget.
    """
    fleet.defaults = {"overlap": "1h", "rotate_after": "2h"}
    fleet.begin(BOT, OTHER)
    assert reported(fleet).code == 0
    fleet.later(hours=3)
    assert reported(fleet, "--max-rotations", "1").code == 0
    waiting = reported(fleet, "--max-rotations", "0")
    assert (waiting.code, waiting.last_line.split(", ")[0]) == (0, "applied 0")
    assert "--max-rotations" in waiting.out
    assert "overlap" in waiting.out
    assert fleet.attempt("plan").code == 0


def test_1_error_and_nothing_changed(fleet: Fleet) -> None:
    """An invalid manifest, a guard, and a verify that fails."""
    fleet.begin(BOT)
    (fleet.folder / "bad.yaml").write_text("version: 2\n")
    fleet.sandbox.state.revoke_by_hand(fleet.live("bot")[0].token_id)
    with fleet.untouched():
        for command in ("validate", "plan", "apply", "status", "verify", "bootstrap"):
            assert "error" in fleet.refused(1, command, "bad.yaml")
        fleet.refused(1, "verify")
        fleet.refused(1, "plan", "--max-missing", "0")
        document = (fleet.folder / "tokens.yaml").read_text()
        (fleet.folder / "tokens.yaml").write_text(
            document[: document.index("tokens:")] + "tokens: []\n"
        )
        fleet.refused(1, "apply", "--yes")


def test_2_changes_pending(fleet: Fleet) -> None:
    """``plan --detailed-exitcode`` alone says 2, and only for changes and decisions:
    neither holds that wait for their time nor errors are.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    fleet.write(BOT, OTHER)
    with fleet.untouched():
        assert fleet.attempt("plan").code == 0
        assert fleet.attempt("plan", "--detailed-exitcode").code == 2
        assert fleet.attempt("plan", "--detailed-exitcode", "--format", "json").code == 2
        assert fleet.attempt("plan", "--detailed-exitcode", "--target", "bot").code == 0
        assert fleet.attempt("plan", "--detailed-exitcode", "missing.yaml").code == 1
        assert fleet.attempt("plan", "--detailed-exitcode", "--no-such-option").code == 64
    fleet.must("apply", "--yes")
    fleet.must("rotate", "--target", "bot", "--yes")
    assert fleet.attempt("plan", "--detailed-exitcode").code == 0, "a hold is no change"


def test_3_stale(fleet: Fleet) -> None:
    """The approved plan is stale; that comes before a missing identity token."""
    fleet.write(BOT)
    fleet.must("bootstrap")
    fleet.must("plan", "--out", "plan.json")
    fleet.write(BOT, OTHER)
    with fleet.untouched():
        fleet.refused(3, "apply", "--plan", "plan.json")
        fleet.refused(3, "apply", "--plan", "plan.json", environ={"LIMITLESS_IDENTITY_TOKEN": None})


def test_4_no_identity_that_can_derive(fleet: Fleet) -> None:
    """Missing, expired, or too short-lived for what is planned: known before any write,
    with what to do.
    """
    fleet.begin()
    fleet.write(*({"label": f"bot-{number}"} for number in range(5)))
    now_ms = fleet.sandbox.state.now_ms()
    with fleet.untouched():
        for token, said in (
            (None, "LIMITLESS_IDENTITY_TOKEN"),
            (jwt(now_ms - 5_000), "expired"),
            (jwt(now_ms + 33_000), "expires in"),
        ):
            assert said in fleet.refused(
                4, "apply", "--yes", environ={"LIMITLESS_IDENTITY_TOKEN": token}
            )
        fleet.refused(
            4,
            "rotate",
            "--target",
            "reconciler",
            "--yes",
            environ={"LIMITLESS_IDENTITY_TOKEN": None},
        )
        fleet.refused(4, "apply", "--yes", "--identity-file", "missing")
        fleet.refused(4, "apply", "--yes", "--identity-command", "false")
        fleet.refused(4, "apply", "--yes", "--identity-command", "/no/such/program --now")


def test_4_no_signer(fleet: Fleet) -> None:
    """Before bootstrap every command but bootstrap says so; bootstrap itself needs an
    identity token.
    """
    fleet.write(BOT)
    commands = (
        ("plan",),
        ("apply", "--yes"),
        ("status",),
        ("verify",),
        ("observe", "--out", "o.json"),
        ("rotate", "--target", "bot", "--yes"),
        ("rollback", "--target", "bot", "--yes"),
        ("adopt", "--label", "bot", "--token-id", "x"),
    )
    with fleet.untouched():
        for command in commands:
            assert "reconciler bootstrap" in fleet.refused(4, *command, text="c2VjcmV0")
        fleet.refused(4, "bootstrap", environ={"LIMITLESS_IDENTITY_TOKEN": None})
    assert not (fleet.folder / "o.json").exists()


def test_4_a_decision(fleet: Fleet) -> None:
    """A desired label waits for a person: 4, also when everything else was applied."""
    fleet.write(BOT, OTHER)
    fleet.must("bootstrap")
    fleet.sandbox.state.derive_by_hand("bot")
    done = reported(fleet)
    assert (done.code, done.last_line) == (4, "applied 1, failed 0, held 1, not tried 0")
    assert "bot" in done.refusal(4)
    with fleet.untouched():
        assert reported(fleet).code == 4
        outputs = fleet.folder / "outputs"
        told = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(outputs)}
        plan = fleet.attempt("plan", "--detailed-exitcode", environ=told)
        assert plan.code == 2, "the desired state is not reached"
        assert "waiting for a decision, 1 held, 2 kept" in plan.out
        assert "changes=true" in outputs.read_text()
    assert reported(fleet, "--target", "other").code == 0, "what is not selected waits for nobody"


def test_5_partly_applied(fleet: Fleet) -> None:
    """One derive is refused, the others are done; the report says which; the next run
    goes on.
    """
    fleet.write(BOT, OTHER)
    fleet.must("bootstrap")
    refusal = Fault(
        kind=FaultKind.ERROR_BEFORE,
        operation=Operation.DERIVE,
        label="bot",
        status=403,
        shape=ErrorShape.HTML,
    )
    fleet.sandbox.faults.add(refusal)
    done = reported(fleet)
    assert (done.code, done.last_line) == (5, "applied 1, failed 1, held 0, not tried 0")
    assert "run again" in done.refusal(5)
    report = judged("report", (fleet.folder / "report.json").read_text())
    assert {row["label"]: row["status"] for row in report["rows"]} == {
        "bot": "failed",
        "other": "applied",
    }
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_6_another_run_holds_the_lease(fleet: Fleet) -> None:
    """Every command that writes says who has it and for how long it may last; looking
    and doing nothing need no lease.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.write({**BOT, "scopes": ["withdrawal"]})
    fleet.lend_lease(60)
    token = fleet.sandbox.state.derive_by_hand("other")
    with fleet.untouched():
        for command in (
            ("apply", "--yes"),
            ("rotate", "--target", "bot", "--yes"),
            ("rollback", "--target", "bot", "--yes"),
            ("verify",),
        ):
            said = fleet.refused(6, *command)
            assert "another (elsewhere:1)" in said
            assert "--wait" in said
        fleet.must("plan")
        fleet.must("status")
        fleet.write(BOT)
        fleet.must("apply", "--yes")
        fleet.write(BOT, OTHER)
        adopt = ("adopt", "--label", "other", "--token-id", token.token_id)
        assert "lease" in fleet.refused(6, *adopt, text=token.secret)
    fleet.later(seconds=61)
    fleet.must(*adopt, text=token.secret)


def test_6_waiting_for_the_lease(fleet: Fleet) -> None:
    """With --wait it goes on as soon as the lease is over, and gives up when its time
    is.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.lend_lease(60)
    with fleet.untouched():
        fleet.refused(6, "apply", "--yes", "--wait", "1")
    fleet.lend_lease(0.3)
    fleet.must("apply", "--yes", "--wait", "30")
    fleet.assert_whole()


USAGE: tuple[tuple[str, ...], ...] = (
    (),
    ("no-such-command",),
    ("--no-such-option",),
    ("plan", "--no-such-option"),
    ("plan", "--format", "yaml"),
    ("plan", "--only", "everything"),
    ("plan", "--out"),
    ("plan", "--target"),
    ("plan", "--max-revocations", "-1"),
    ("plan", "--max-rotations", "many"),
    ("apply", "--yes", "--wait", "-1"),
    ("apply", "--yes", "--wait", "nan"),
    ("apply", "--yes", "--wait", "inf"),
    ("apply", "--yes", "--identity-file", "a", "--identity-command", "b"),
    ("apply", "--yes", "--identity-command", ""),
    ("apply", "--yes", "--identity-command", "'"),
    ("rotate", "--yes"),
    ("rollback", "--yes"),
    ("adopt",),
    ("adopt", "--label", "bot"),
    ("adopt", "--token-id", "x"),
    ("observe",),
    ("sandbox", "--port", "70000"),
    ("sandbox", "--identity-lifetime", "0"),
    ("apply",),
    ("rotate", "--target", "reconciler"),
)


def test_64_whatever_is_asked_wrongly(fleet: Fleet) -> None:
    """Wrong options are 64 and never 2; so is asking without a terminal to ask on."""
    fleet.begin()
    fleet.write(BOT)
    with fleet.untouched():
        found = {arguments: fleet.attempt(*arguments).code for arguments in USAGE}
        assert found == dict.fromkeys(USAGE, 64)


ENVIRONMENTS: tuple[dict[str, str | None], ...] = (
    {"VAULT_ADDR": None},
    {"VAULT_ADDR": "ftp://vault.example.com"},
    {"VAULT_ADDR": "not an address"},
    {"VAULT_TOKEN": None},
    {"VAULT_TOKEN": "two words"},
    {"VAULT_CLIENT_CERT": "cert.pem"},
    {"VAULT_SKIP_VERIFY": "perhaps"},
    {"VAULT_NAMESPACE": "../up"},
    {"RECONCILER_VAULT_AUTH": "magic"},
    {"RECONCILER_VAULT_AUTH": "approle"},
    {"RECONCILER_VAULT_AUTH": "jwt"},
    {"LIMITLESS_TOKEN_ID": "an-id"},
    {"LIMITLESS_TOKEN_SECRET": "bm8gaWQ="},
    {"LIMITLESS_TOKEN_ID": "an id", "LIMITLESS_TOKEN_SECRET": "bm8gaWQ="},
    {"LIMITLESS_API_URL": "http://api.limitless.exchange"},
    {"LIMITLESS_API_URL": "api.limitless.exchange"},
    {"LIMITLESS_API_URL": "https://user:pass@api.limitless.exchange"},
)


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=" ".join)
def test_64_whatever_is_set_wrongly(fleet: Fleet, environ: dict[str, str | None]) -> None:
    """A variable that can't be meant is named in one sentence; its value, which may be
    a secret, is not told.
    """
    fleet.begin()
    fleet.write(BOT)
    with fleet.untouched():
        for command in (("plan",), ("apply", "--yes"), ("bootstrap",), ("status",)):
            said = fleet.refused(64, *command, environ=environ)
            assert any(name in said for name in environ), said
            assert "pass@" not in said


def test_64_a_signer_that_is_a_consumers(fleet: Fleet) -> None:
    """The pinned signer may not be another managed token: its use would look like its
    consumer's.
    """
    fleet.begin(BOT)
    token = fleet.live("bot")[0]
    pinned: dict[str, str | None] = {
        "LIMITLESS_TOKEN_ID": token.token_id,
        "LIMITLESS_TOKEN_SECRET": token.secret,
    }
    with fleet.untouched():
        assert "bot" in fleet.refused(64, "apply", "--yes", environ=pinned)
    stranger = fleet.sandbox.state.derive_by_hand("ci")
    fleet.write(BOT, OTHER)
    fleet.must(
        "apply",
        "--yes",
        environ={
            "LIMITLESS_TOKEN_ID": stranger.token_id,
            "LIMITLESS_TOKEN_SECRET": stranger.secret,
        },
    )
    fleet.assert_whole()
