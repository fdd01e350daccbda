"""The story as a user lives it: bootstrap, plan, apply, rotate, move, remove, roll
back, adopt, and all that holds a change.

Time passes on the exchange's clock (``fleet.later``); a consumer is ``fleet.use``,
which reads the secret and signs with it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from reconciler.model import VersionState
from reconciler.sandbox import Fault, FaultKind, Operation
from tests.support.fleet import Done, Fleet, judged, pause_between_processes, plain

BOT = {"label": "bot", "path": "prod/bot"}
NOTHING_DONE = "applied 0, failed 0, held 0, not tried 0"
SECRET_FIELDS = {
    "token_id",
    "label",
    "scopes",
    "created_at",
    "profile_id",
    "account",
    "api_url",
    "operation_id",
}


def changes(document: Any) -> dict[str, str]:
    """The action of each label in a plan's document."""
    return {row["label"]: row["action"] for row in document["changes"]}


def planned(fleet: Fleet, *arguments: str) -> dict[str, str]:
    """The action of each label, by ``plan``."""
    return changes(judged("plan", fleet.must("plan", "--format", "json", *arguments).out))


def held(done: Done) -> list[str]:
    """The lines of an apply about what it held."""
    return [line for line in done.out.splitlines() if line.startswith("held ")]


# --- from nothing to quiet ---


def test_from_nothing_to_quiet(fleet: Fleet) -> None:
    """Nothing but an identity and Vault, then bootstrap, plan, apply; whatever is
    repeated writes nothing.
    """
    fleet.write(BOT, {"label": "trader", "scopes": ["trading", "delegated_signing"]})
    with fleet.untouched():
        assert "bootstrap" in fleet.refused(4, "plan")
        assert "bootstrap" in fleet.refused(4, "apply", "--yes")
    assert fleet.must("bootstrap").out.startswith("reconciler: derived (")
    with fleet.untouched():
        assert "nothing to do" in fleet.must("bootstrap").out
        assert fleet.attempt("plan", "--detailed-exitcode").code == 2
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 2, failed 0, held 0, not tried 0"
    with fleet.untouched():
        fleet.must("plan", "--detailed-exitcode")
        assert fleet.must("apply", "--yes").last_line == NOTHING_DONE
        assert fleet.must("apply").last_line == NOTHING_DONE, "nothing to do is nothing to ask"
        assert fleet.must("verify").out.splitlines() == [
            "ok     bot",
            "ok     reconciler",
            "ok     trader",
        ]
    fleet.assert_whole()
    fleet.assert_quiet()


def test_what_lies_in_vault(fleet: Fleet) -> None:
    """A secret has the fields of the contract, all text; the ledger is one text without
    any secret.
    """
    fleet.begin({**BOT, "scopes": ["trading", "account_creation"]})
    secret, token = fleet.secret("prod/bot"), fleet.live("bot")[0]
    fields = dict(secret.fields or ())
    assert fields.keys() == SECRET_FIELDS
    assert secret.secret is not None
    assert secret.secret.reveal() == token.secret
    assert fields | {"operation_id": "", "created_at": ""} == {
        "token_id": token.token_id,
        "label": "bot",
        "scopes": "account_creation trading",
        "created_at": "",
        "profile_id": "42",
        "account": fleet.sandbox.state.config.account,
        "api_url": fleet.sandbox.url,
        "operation_id": "",
    }
    ledger = fleet.secret("_ledger")
    assert [name for name, _ in ledger.fields or ()] == ["ledger"]
    text = ledger.field("ledger") or ""
    assert not any(secret in text for secret in fleet.secrets())
    assert {"schema", "ledger_id", "profile_id", "api_url", "files", "tokens"} <= json.loads(
        text
    ).keys()


def test_an_account_that_is_in_use(fleet: Fleet) -> None:
    """Bootstrap beside tokens that people made, one of them with the manager's label:
    none of them is touched.
    """
    people = [
        fleet.sandbox.state.derive_by_hand(label).token_id for label in ("reconciler", "somebody's")
    ]
    fleet.begin(BOT)
    fleet.assert_quiet()
    assert all(fleet.sandbox.state.token(token_id).live for token_id in people)
    assert people[0] in fleet.must("plan").out
    assert fleet.must("verify").out.count("ok     ") == 2


def test_one_exchange_in_two_spellings(fleet: Fleet) -> None:
    """A slash at the end of the address, of Vault's or the exchange's, is no other
    address.
    """
    fleet.begin(BOT)
    slashes: dict[str, str | None] = {
        name: f"{fleet.environ[name]}/" for name in ("LIMITLESS_API_URL", "VAULT_ADDR")
    }
    with fleet.untouched():
        fleet.must("apply", "--yes", environ=slashes)


# --- plans, saved and applied ---


def test_a_plan_in_every_form(fleet: Fleet) -> None:
    """Text, JSON, Markdown and the saved file tell of the same digest; making them
    writes nothing.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    with fleet.untouched():
        text = fleet.must("plan").out
        as_json = judged("plan", fleet.must("plan", "--format", "json").out)
        markdown = fleet.must("plan", "--format", "markdown", "--out", "plan.json").out
    saved = judged("plan", (fleet.folder / "plan.json").read_text())
    short = as_json["digest"][:19]
    assert saved["digest"] == as_json["digest"]
    assert short in text
    assert short in markdown
    assert "1 to derive" in text
    assert "bot" in markdown
    assert changes(as_json) == {"bot": "derive", "reconciler": "keep"}


def test_what_was_approved_is_what_is_applied(fleet: Fleet) -> None:
    """A saved plan is applied without a question, and the report tells its digest; a
    second time it is stale.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    fleet.must("plan", "--out", "plan.json")
    digest = judged("plan", (fleet.folder / "plan.json").read_text())["digest"]
    fleet.later(days=6, hours=23)
    fleet.must("apply", "--plan", "plan.json", "--report", "report.json")
    report = judged("report", (fleet.folder / "report.json").read_text())
    assert (report["digest"], report["exit_code"], report["sentence"]) == (digest, 0, "")
    assert report["summary"] == {"applied": 1, "failed": 0, "held": 0, "not_tried": 0}
    assert [row["label"] for row in report["rows"]] == ["bot"]
    fleet.assert_whole()
    with fleet.untouched():
        assert "stale" in fleet.refused(3, "apply", "--plan", "plan.json")


def other_scopes(fleet: Fleet) -> None:
    """The manifest changed."""
    fleet.write({**BOT, "scopes": ["trading", "withdrawal"]})


def other_label(fleet: Fleet) -> None:
    """The manifest has one more token."""
    fleet.write(BOT, {"label": "another"})


def other_prefix(fleet: Fleet) -> None:
    """Another ledger."""
    fleet.prefix += "/elsewhere"
    fleet.write(BOT)
    fleet.must("bootstrap")


def somebody_was_faster(fleet: Fleet) -> None:
    """The path was written, and deleted again."""
    with fleet.store() as store:
        version = store.write(f"{fleet.prefix}/prod/bot", {"by": "hand"}, cas=0).latest
        store.delete_version(f"{fleet.prefix}/prod/bot", version)


@pytest.mark.parametrize("meddle", [other_scopes, other_label, other_prefix, somebody_was_faster])
def test_a_stale_plan_changes_nothing(fleet: Fleet, meddle: Callable[[Fleet], None]) -> None:
    """Exit 3, what differs line by line, and neither a write nor a call that changes
    anything.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    fleet.must("plan", "--out", "plan.json")
    meddle(fleet)
    with fleet.untouched():
        done = fleet.attempt("apply", "--plan", "plan.json")
    assert "stale" in done.refusal(3)
    told = [line for line in done.err.splitlines() if line.startswith(("+ ", "- "))]
    assert told, "the difference is told"


def test_a_plan_of_another_profile_is_stale(fleet: Fleet) -> None:
    """The digest binds the profile: a ledger that was edited to another one does not
    fit.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    fleet.must("plan", "--out", "plan.json")
    document = plain((fleet.folder / "plan.json").read_text())
    (fleet.folder / "plan.json").write_text(json.dumps({**document, "profile_id": 43}))
    with fleet.untouched():
        fleet.refused(3, "apply", "--plan", "plan.json")
    fleet.write(BOT, profile_id=43)
    with fleet.untouched():
        assert "profile" in fleet.refused(1, "apply", "--yes")


def another_row(document: Any) -> None:
    """More scopes than were approved."""
    next(row for row in document["changes"] if row["label"] == "bot")["after"]["scopes"] = [
        "trading",
        "withdrawal",
    ]


def another_digest(document: Any) -> None:
    """A digest of something else."""
    document["digest"] = "sha256:" + "0" * 64


def another_selection(document: Any) -> None:
    """A smaller selection than was approved."""
    document["selection"]["targets"] = ["bot"]


def another_key(document: Any) -> None:
    """A key that no plan has."""
    document["surprise"] = True


def test_a_tampered_plan_is_stale(fleet: Fleet) -> None:
    """A saved plan that was edited is not believed: exit 3, nothing done."""
    fleet.write(BOT)
    fleet.must("bootstrap")
    fleet.must("plan", "--out", "plan.json")
    text = (fleet.folder / "plan.json").read_text()
    with fleet.untouched():
        for tamper in (another_row, another_digest, another_selection, another_key):
            document = plain(text)
            tamper(document)
            (fleet.folder / "plan.json").write_text(json.dumps(document))
            assert "plan" in fleet.refused(3, "apply", "--plan", "plan.json"), tamper


NO_PLANS = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe\x00",
    b"version: 1\n",
    b"[" * 100_000,
    b'{"document": 1e999}',
)


def test_what_is_no_plan_is_refused(fleet: Fleet) -> None:
    """Any other file: one sentence that names it as no plan, exit 1, nothing done."""
    fleet.write(BOT)
    fleet.must("bootstrap")
    with fleet.untouched():
        for content in NO_PLANS:
            (fleet.folder / "plan.json").write_bytes(content)
            assert "plan" in fleet.refused(1, "apply", "--plan", "plan.json"), content[:20]
        fleet.must("observe", "--out", "plan.json")
        assert "plan" in fleet.refused(1, "apply", "--plan", "plan.json"), "a snapshot"
        assert "missing.json" in fleet.refused(1, "apply", "--plan", "missing.json")


def test_a_plan_has_its_time(fleet: Fleet) -> None:
    """A plan that is older than seven days, or from the future, is refused with
    exit 3.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    fleet.must("plan", "--out", "plan.json")
    document = plain((fleet.folder / "plan.json").read_text())
    (fleet.folder / "future.json").write_text(
        json.dumps({**document, "as_of": "2099-01-01T00:00:00.000Z"})
    )
    fleet.later(days=7, seconds=30)
    with fleet.untouched():
        assert "older than seven days" in fleet.refused(3, "apply", "--plan", "plan.json")
        assert "future" in fleet.refused(3, "apply", "--plan", "future.json")


def test_a_saved_plan_excludes_a_selection(fleet: Fleet) -> None:
    """The selection is part of what was approved, and can't be given beside it; saved
    with one, it is applied with it.
    """
    fleet.write(BOT, {"label": "other"})
    fleet.must("bootstrap")
    fleet.must("plan", "--target", "bot", "--out", "plan.json")
    with fleet.untouched():
        fleet.refused(64, "apply", "--plan", "plan.json", "--target", "bot")
    assert (
        fleet.must("apply", "--plan", "plan.json").last_line
        == "applied 1, failed 0, held 0, not tried 0"
    )
    assert fleet.live("other") == []


# --- rotation ---


def test_a_rotation_from_request_to_revocation(fleet: Fleet) -> None:
    """The predecessor lives through its overlap, while it is used, and until somebody
    uses the successor; then it goes.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=10)
    fleet.must("rotate", "--target", "bot", "--yes")
    new = str(fleet.secret("prod/bot").field("token_id"))
    assert [token.token_id for token in fleet.live("bot")] == [old, new]
    fleet.later(seconds=10)
    fleet.assert_whole()  # uses the successor, as a consumer
    for reason in ("lives on through its overlap", "still uses the predecessor"):
        with fleet.untouched():
            done = fleet.must("apply", "--yes")
        assert done.last_line == "applied 0, failed 0, held 1, not tried 0"
        assert len(held(done)) == 1
        assert reason in held(done)[0]
        fleet.later(minutes=61)
        fleet.sandbox.state.touch(old)
    fleet.later(minutes=59)
    with fleet.untouched():
        assert "still uses" in held(fleet.must("apply", "--yes"))[0]
    fleet.later(minutes=2)
    assert fleet.must("apply", "--yes").last_line == "applied 1, failed 0, held 0, not tried 0"
    assert [token.token_id for token in fleet.live("bot")] == [new]
    fleet.assert_quiet()


def test_a_predecessor_waits_for_its_successor(fleet: Fleet) -> None:
    """Time alone revokes nothing: as long as nobody but our own verify used the
    successor, the predecessor is held.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=10)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.later(days=9)
    assert "ok     bot" in fleet.must("verify").out
    with fleet.untouched():
        assert "no consumer has used the successor yet" in held(fleet.must("apply", "--yes"))[0]
    fleet.later(seconds=10)
    new = fleet.use("prod/bot")
    fleet.must("apply", "--yes")
    assert [token.token_id for token in fleet.live("bot")] == [new] != [old]
    fleet.assert_quiet()


def test_compromised_means_now(fleet: Fleet) -> None:
    """``rotate --compromised`` revokes the predecessor at once, though it is used and
    has an overlap.
    """
    fleet.defaults = {"overlap": "24h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    done = fleet.must(
        "rotate", "--target", "bot", "--compromised", "--yes", "--report", "report.json"
    )
    assert done.last_line == "applied 1, failed 0, held 0, not tried 0"
    judged("report", (fleet.folder / "report.json").read_text())
    assert old not in {token.token_id for token in fleet.live("bot")}
    fleet.assert_whole()
    fleet.assert_quiet()


def test_rotate_wants_labels_of_the_manifest(fleet: Fleet) -> None:
    """A typo rotates nothing."""
    fleet.begin(BOT)
    with fleet.untouched():
        assert "bott" in fleet.refused(64, "rotate", "--target", "bott", "--yes")
        fleet.refused(64, "rotate", "--yes")


def test_what_is_rotated_is_named_by_a_glob_an_id_or_all(fleet: Fleet) -> None:
    """The label of an id as a log shows it, those that a glob matches, or all; status
    shows the same part.
    """
    fleet.begin(BOT, {"label": "bots/a"}, {"label": "bots/b"}, {"label": "web"})
    fleet.defaults = {"overlap": "24h"}
    fleet.write(BOT, {"label": "bots/a"}, {"label": "bots/b"}, {"label": "web"})
    token_id = fleet.live("web")[0].token_id
    begun = token_id[:6]

    def rotated(*arguments: str) -> list[str]:
        done = fleet.must("rotate", *arguments, "--yes")
        return [line.split()[1] for line in done.out.splitlines() if line.startswith("rotated")]

    assert sorted(rotated("--target", "bots/*")) == ["bots/a", "bots/b"]
    text = fleet.must("status", "--target", "bots/*").out
    assert ("bots/a" in text, "bots/b" in text, "web" in text) == (True, True, False)
    assert "\nweb " in fleet.must("status", "--token-id", begun).out
    assert rotated("--token-id", begun) == ["web"]
    with fleet.untouched():
        assert "older token of web" in fleet.refused(64, "rotate", "--token-id", begun, "--yes")
        assert "at least 4" in fleet.refused(64, "rotate", "--token-id", "abc", "--yes")
        fleet.refused(64, "rotate", "--token-id", "none-such", "--yes")
        fleet.refused(64, "status", "--target", "x*")
        fleet.refused(64, "plan", "--target", "x*")
    assert len(rotated("--all")) == len(fleet.tokens)
    fleet.assert_whole()


def test_a_due_rotation_has_a_budget(fleet: Fleet) -> None:
    """At most --max-rotations due ones a run, the oldest first; the rest is held, which
    is no failure.
    """
    labels = [f"bot-{number}" for number in range(3)]
    fleet.begin(*({"label": label, "rotate_after": "2h"} for label in labels))
    before = {label: fleet.live(label)[0].token_id for label in labels}
    fleet.later(hours=3)
    done = fleet.must("apply", "--yes", "--max-rotations", "2")
    assert done.last_line == "applied 2, failed 0, held 1, not tried 0"
    assert sum(str(fleet.secret(label).field("token_id")) == before[label] for label in labels) == 1
    fleet.must("apply", "--yes")
    fleet.assert_whole()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scopes:
    """Scopes before and after, and what the plan says of it."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    said: str
    alarm: str


@pytest.mark.parametrize(
    "case",
    [
        Scopes(
            before=("trading",),
            after=("trading", "withdrawal"),
            said="scopes widened: +withdrawal",
            alarm="widens scopes",
        ),
        Scopes(
            before=("trading", "withdrawal"),
            after=("trading",),
            said="scopes narrowed: -withdrawal",
            alarm="takes scopes away: consumers that need them will fail",
        ),
        Scopes(
            before=("trading",),
            after=("withdrawal",),
            said="scopes changed: +withdrawal -trading",
            alarm="gives some scopes and takes others away",
        ),
    ],
    ids=lambda case: case.said,
)
def test_other_scopes_are_another_token(fleet: Fleet, case: Scopes) -> None:
    """Tokens are immutable: other scopes rotate, with the overlap."""
    fleet.defaults = {"overlap": "1h"}
    fleet.begin({**BOT, "scopes": list(case.before)})
    old = fleet.use("prod/bot")
    fleet.write({**BOT, "scopes": list(case.after)})
    text = fleet.must("plan").out
    assert case.said in text
    attention = text.partition("\nATTENTION\n")[2]
    assert f"  {case.alarm}: {BOT['label']} ({case.said.partition(': ')[2]})" in attention
    fleet.must("apply", "--yes")
    assert fleet.sandbox.state.token(old).live
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_path_moves_with_its_token(fleet: Fleet) -> None:
    """Another path rotates into it; the old path keeps its working secret until its
    token goes, and is empty then.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=1)
    fleet.write({**BOT, "path": "prod/other"})
    assert "path prod/bot -> prod/other" in fleet.must("plan").out.replace(
        "path changed: ", "path "
    )
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.use("prod/bot") == old
    fleet.assert_quiet()
    fleet.later(hours=2)
    fleet.use("prod/other")
    fleet.must("apply", "--yes")
    assert fleet.secret("prod/bot").state is VersionState.DELETED
    assert not fleet.sandbox.state.token(old).live
    fleet.assert_whole()
    fleet.assert_quiet()


# --- removal ---


def test_what_leaves_the_file_is_revoked(fleet: Fleet) -> None:
    """The token goes, its secret with it; the label may come back as a new token at the
    same path.
    """
    fleet.begin(BOT)
    old = fleet.live("bot")[0].token_id
    fleet.write()
    assert "revokes 1 token for good" in fleet.must("plan").out
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(old).live
    assert fleet.secret("prod/bot").state is VersionState.DELETED
    fleet.assert_whole()
    fleet.assert_quiet()
    fleet.write(BOT)
    fleet.must("apply", "--yes", "--allow-older-manifest")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_more_than_three_removals_are_a_mistake(fleet: Fleet) -> None:
    """A guard stops the whole apply before its first write; its own flag lifts it; a
    plan shows it.
    """
    fleet.begin(*({"label": f"bot-{number}"} for number in range(4)))
    fleet.write()
    with fleet.untouched():
        assert "--max-revocations" in fleet.refused(1, "apply", "--yes")
        assert "--max-revocations" in fleet.refused(1, "apply", "--yes", "--target", "bot-1"), (
            "guards look at the whole fleet"
        )
        assert "apply will refuse" in fleet.must("plan").out
    assert (
        fleet.must("apply", "--yes", "--max-revocations", "4").last_line
        == "applied 4, failed 0, held 0, not tried 0"
    )
    fleet.assert_quiet()


def test_an_empty_list_and_no_manager_are_mistakes(fleet: Fleet) -> None:
    """``tokens: []`` needs --allow-empty, and then --allow-missing-manager; the token
    that signs stays all the same.
    """
    fleet.begin(BOT)
    document = yaml.safe_load((fleet.folder / "tokens.yaml").read_text())
    (fleet.folder / "tokens.yaml").write_text(yaml.safe_dump({**document, "tokens": []}))
    with fleet.untouched():
        assert "--allow-empty" in fleet.refused(1, "apply", "--yes")
        assert "--allow-missing-manager" in fleet.refused(1, "apply", "--yes", "--allow-empty")
    fleet.must("apply", "--yes", "--allow-empty", "--allow-missing-manager")
    assert [token.label for token in fleet.sandbox.state.live()] == ["reconciler"]
    with fleet.untouched():
        fleet.must("apply", "--yes", "--allow-empty", "--allow-missing-manager")


def test_what_is_used_is_not_revoked(fleet: Fleet) -> None:
    """A label that left the file, and was used within the hour, is held;
    --revoke-in-use, or an hour, lifts that.
    """
    fleet.begin(BOT, {"label": "other"})
    fleet.later(minutes=5)
    for path in ("prod/bot", "other"):
        fleet.use(path)
    fleet.write({"label": "other"})
    with fleet.untouched():
        done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 0, failed 0, held 1, not tried 0"
    assert "--revoke-in-use" in held(done)[0]
    fleet.must("apply", "--yes", "--revoke-in-use")
    assert fleet.live("bot") == []
    fleet.write()
    fleet.later(minutes=61)
    fleet.must("apply", "--yes")
    assert fleet.live("other") == []
    fleet.assert_quiet()


def test_protection_outlives_its_line(fleet: Fleet) -> None:
    """A protected label that left the file is held; only ``protect: false``, applied as
    a row of its own, ends that.
    """
    fleet.begin({**BOT, "protect": True})
    fleet.write()
    with fleet.untouched():
        assert "protect: false" in held(fleet.must("apply", "--yes"))[0]
    fleet.write(BOT)
    fleet.assert_quiet()
    fleet.write()
    with fleet.untouched():
        assert "protect: false" in held(fleet.must("apply", "--yes"))[0]
    fleet.write({**BOT, "protect": False})
    assert "NO LONGER protected" in fleet.must("plan").out
    assert fleet.must("apply", "--yes").last_line == "applied 1, failed 0, held 0, not tried 0"
    fleet.write()
    fleet.must("apply", "--yes")
    assert fleet.live("bot") == []


def test_what_is_not_ours_is_never_touched(fleet: Fleet) -> None:
    """Foreign tokens and twins survive everything that a user can ask for, and are
    named.
    """
    fleet.begin(BOT, {"label": "other"})
    strangers = [
        fleet.sandbox.state.derive_by_hand(label).token_id
        for label in ("somebody's", "bot", "other", "reconciler", None)
    ]
    assert "5 not touched" in fleet.must("plan").out
    fleet.assert_quiet()
    fleet.must("rotate", "--target", "bot", "--target", "reconciler", "--compromised", "--yes")
    assert fleet.must("plan").out.count("twin ") == 3
    fleet.write(BOT)
    fleet.must("apply", "--yes")
    assert all(fleet.sandbox.state.token(token_id).live for token_id in strangers)


# --- the way back, and the way in ---


def test_rollback_while_the_predecessor_lives(fleet: Fleet) -> None:
    """The predecessor is current again and the successor retires, with the overlap;
    afterwards there is a way forth as well.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.use("prod/bot")
    fleet.later(minutes=1)
    with fleet.untouched():
        assert "predecessor" in fleet.refused(1, "rollback", "--target", "bot", "--yes")
    fleet.must("rotate", "--target", "bot", "--yes")
    new = fleet.use("prod/bot")
    fleet.must("rollback", "--target", "bot", "--yes")
    assert fleet.use("prod/bot") == old
    fleet.assert_whole()
    fleet.assert_quiet()
    fleet.must("rollback", "--target", "bot", "--yes")
    assert fleet.use("prod/bot") == new
    fleet.assert_whole()
    fleet.later(hours=2)
    fleet.use("prod/bot")
    fleet.must("apply", "--yes")
    assert [token.token_id for token in fleet.live("bot")] == [new]
    with fleet.untouched():
        fleet.refused(1, "rollback", "--target", "bot", "--yes")
        fleet.refused(64, "rollback", "--target", "nobody", "--yes")


def test_a_rollback_by_hand_waits_for_a_word(fleet: Fleet) -> None:
    """A person wrote the predecessor's secret again: apply asks (exit 4) and touches
    nothing; ``rollback`` is the answer.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    old = fleet.secret("prod/bot")
    fleet.must("rotate", "--target", "bot", "--yes")
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", dict(old.fields or ()), secret=old.secret, cas=2)
    fleet.later(days=2)
    with fleet.untouched():
        done = fleet.attempt("apply", "--yes")
    assert done.code == 4, done
    assert "rollback" in done.out
    fleet.must("rollback", "--target", "bot", "--yes")
    fleet.assert_whole()
    assert fleet.use("prod/bot") == old.field("token_id")
    fleet.assert_quiet()


def test_adopting_a_token(fleet: Fleet) -> None:
    """A twin holds its label (exit 4) until it is adopted with its secret from standard
    input; then all is quiet.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    token = fleet.sandbox.state.derive_by_hand("bot")
    with fleet.untouched():
        done = fleet.attempt("apply", "--yes")
    assert done.code == 4, done
    assert token.token_id in done.out
    assert "adopt" in done.out
    fleet.must("adopt", "--label", "bot", "--token-id", token.token_id, text=token.secret + "\n")
    assert fleet.use("prod/bot") == token.token_id
    fleet.assert_whole()
    fleet.assert_quiet()
    fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
    assert not fleet.sandbox.state.token(token.token_id).live


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """An adoption that must not be: its label and id (None: the hand-made token's), the
    secret, and how it is refused.
    """

    name: str
    code: int
    said: str
    label: str = "bot"
    token_id: str | None = None
    secret: str | None = None
    made_as: str = "bot"


@pytest.mark.parametrize(
    "case",
    [
        Refusal(
            name="unknown id",
            code=1,
            said="does not list",
            token_id="6f6f6f6f-0000-0000-0000-000000000000",
        ),
        Refusal(name="other label", code=1, said="--other-label", made_as="bott"),
        Refusal(name="wrong secret", code=1, said="refused the signature", secret="AAAA"),
        Refusal(name="secret is no base64", code=64, said="base64", secret="?!"),
        Refusal(name="no secret", code=64, said="standard input", secret=""),
        Refusal(name="two words", code=64, said="standard input", secret="AAAA BBBB"),
        Refusal(
            name="not in the manifest",
            code=64,
            said="not a label",
            label="nobody",
            made_as="nobody",
        ),
        Refusal(
            name="has a token", code=1, said="has a token already", label="other", made_as="other"
        ),
        Refusal(name="occupied", code=4, said="occupied", label="squatted", made_as="squatted"),
    ],
    ids=lambda case: case.name,
)
def test_adoptions_that_are_refused(fleet: Fleet, case: Refusal) -> None:
    """Each with its sentence and nothing changed."""
    fleet.write({"label": "other"})
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.write({"label": "other"}, BOT, {"label": "squatted"})
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/squatted", {"not": "ours"}, cas=0)
    token = fleet.sandbox.state.derive_by_hand(case.made_as)
    secret = token.secret if case.secret is None else case.secret
    with fleet.untouched():
        said = fleet.refused(
            case.code,
            "adopt",
            "--label",
            case.label,
            "--token-id",
            case.token_id or token.token_id,
            text=secret,
        )
    assert case.said in said


def test_adopting_what_is_managed_or_named_otherwise(fleet: Fleet) -> None:
    """A managed token can't be adopted under another label; one of another name can,
    with --other-label.
    """
    fleet.begin({"label": "other"})
    fleet.write({"label": "other"}, BOT)
    managed = fleet.live("other")[0]
    with fleet.untouched():
        said = fleet.refused(
            1, "adopt", "--label", "bot", "--token-id", managed.token_id, text=managed.secret
        )
    assert "managed already" in said
    token = fleet.sandbox.state.derive_by_hand("the old bot")
    fleet.must(
        "adopt", "--label", "bot", "--token-id", token.token_id, "--other-label", text=token.secret
    )
    assert fleet.use("prod/bot") == token.token_id
    fleet.assert_quiet()
    fleet.later(hours=2)
    fleet.write({"label": "other"})
    assert "is an older one" in fleet.refused(1, "apply", "--yes")
    fleet.must("apply", "--yes", "--allow-older-manifest")
    assert not fleet.sandbox.state.token(token.token_id).live


# --- looking ---


def test_verify_finds_what_is_broken(fleet: Fleet) -> None:
    """A stored secret that does not sign is named, exit 1; apply restores it, and all
    is well.
    """
    fleet.begin(BOT, {"label": "other"})
    good = fleet.secret("prod/bot")
    with fleet.store() as store:
        fields = dict(good.fields or ())
        store.write(
            f"{fleet.prefix}/prod/bot",
            {**fields, "token_id": "a stranger's", "secret_was": "here"},
            cas=1,
        )
    with fleet.untouched():
        done = fleet.attempt("verify")
    assert "1 of 3" in done.refusal(1)
    assert [line[:10] for line in done.out.splitlines()] == [
        "FAILED bot",
        "ok     oth",
        "ok     rec",
    ]
    fleet.must("apply", "--yes")
    assert fleet.must("verify").out.count("ok     ") == 3
    fleet.assert_whole()
    fleet.assert_quiet()


def test_status_in_both_forms(fleet: Fleet) -> None:
    """Every label with its state, in text and as a document that its schema allows;
    looking changes nothing.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT, {"label": "draining"}, {"label": "young", "rotate_after": "2h"})
    fleet.must("rotate", "--target", "draining", "--yes")
    fleet.later(hours=3)
    fleet.write(
        BOT,
        {"label": "draining"},
        {"label": "young", "rotate_after": "2h"},
        {"label": "absent"},
        {"label": "twin"},
    )
    fleet.sandbox.state.derive_by_hand("twin")
    with fleet.untouched():
        text = fleet.must("status").out
        document = judged("status", fleet.must("status", "--format", "json").out)
    states = {row["label"]: row["state"] for row in document["tokens"]}
    assert states == {
        "absent": "absent",
        "bot": "ok",
        "draining": "draining",
        "reconciler": "ok",
        "twin": "waiting_for_a_person",
        "young": "due",
    }
    assert "NEEDS A PERSON" in text
    assert all(label in text for label in states)


def test_a_plan_without_any_credential(fleet: Fleet) -> None:
    """``observe`` gives a snapshot without secrets, names of strangers or addresses; a
    plan from it needs nothing but it.
    """
    fleet.begin(BOT)
    fleet.sandbox.state.derive_by_hand("a stranger's name")
    fleet.write({**BOT, "scopes": ["trading", "withdrawal"]}, {"label": "new"})
    with fleet.untouched():
        fleet.must("observe", "--out", "observed.json")
    snapshot = (fleet.folder / "observed.json").read_text()
    judged("snapshot", snapshot)
    assert "a stranger's name" not in snapshot
    nothing: dict[str, str | None] = dict.fromkeys(fleet.environ)
    bare = plain(
        fleet.must("plan", "--observed", "observed.json", "--format", "json", environ=nothing).out
    )
    full = plain(fleet.must("plan", "--format", "json").out)
    assert bare["digest"] == full["digest"]
    assert changes(bare) == {"bot": "rotate", "new": "derive", "reconciler": "keep"}
    fleet.must("plan", "--observed", "observed.json", "--out", "plan.json", environ=nothing)
    fleet.must("apply", "--plan", "plan.json")
    fleet.assert_whole()


# --- the exchange as it is ---


def test_limits_and_lags_of_the_exchange(fleet: Fleet) -> None:
    """At the exchange's real pace, and with lists and activations that come late,
    nothing is refused and nothing is lost.
    """
    labels = [f"bot-{number}" for number in range(2)]
    fleet.write(*({"label": label} for label in labels))
    fleet.sandbox.state.configure(
        limits=True, listed_after_ms=400, active_after_ms=400, unlisted_after_ms=400
    )
    fleet.ok("bootstrap")
    pause_between_processes()
    assert fleet.ok("apply", "--yes").last_line == "applied 2, failed 0, held 0, not tried 0"
    pause_between_processes()
    fleet.ok("rotate", "--target", "bot-0", "--target", "reconciler", "--compromised", "--yes")
    fleet.sandbox.state.configure(
        limits=False, listed_after_ms=0, active_after_ms=0, unlisted_after_ms=0
    )
    assert {call.status for call in fleet.sandbox.state.calls if call.status in {400, 429}} == set()
    fleet.assert_whole()
    fleet.assert_quiet()


# --- selections ---


@pytest.mark.parametrize(
    ("selection", "acting"),
    [
        (
            (),
            {
                "absent": "derive",
                "due": "rotate",
                "gone": "revoke",
                "lost": "restore",
                "wide": "rotate",
            },
        ),
        (("--target", "wide"), {"wide": "rotate"}),
        (("--target", "wide", "--target", "gone"), {"gone": "revoke", "wide": "rotate"}),
        (
            ("--exclude", "wide", "--exclude", "due"),
            {"absent": "derive", "gone": "revoke", "lost": "restore"},
        ),
        (("--only", "rotation"), {"due": "rotate"}),
        (("--only", "cleanup"), {"lost": "restore"}),
        (("--only", "config"), {"absent": "derive", "gone": "revoke", "wide": "rotate"}),
        (
            ("--only", "config", "--exclude", "gone", "--target", "due", "--target", "wide"),
            {"wide": "rotate"},
        ),
    ],
)
def test_selections(fleet: Fleet, selection: tuple[str, ...], acting: dict[str, str]) -> None:
    """--target, --exclude and --only limit plan and apply to the same rows; cleanup
    needs no identity token.
    """
    due, wide = {"label": "due", "rotate_after": "2h"}, {"label": "wide"}
    fleet.begin(due, wide, {"label": "gone"}, {"label": "lost"})
    fleet.later(hours=3)
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/lost", {"by": "hand"}, cas=1)
    fleet.write(due, {**wide, "scopes": ["withdrawal"]}, {"label": "lost"}, {"label": "absent"})
    rows = planned(fleet, *selection)
    assert {
        label: action for label, action in rows.items() if action not in {"keep", "hold"}
    } == acting
    without = {"LIMITLESS_IDENTITY_TOKEN": None} if "cleanup" in selection else {}
    done = fleet.must("apply", "--yes", *selection, environ=without)
    assert done.last_line.startswith(f"applied {len(acting)}, failed 0, ")
    with fleet.untouched():
        fleet.must("apply", "--yes", *selection)


def test_a_selection_of_nobody_is_a_typo(fleet: Fleet) -> None:
    """A label that neither the manifest nor the ledger has is a usage error, in plan
    and apply.
    """
    fleet.begin(BOT)
    with fleet.untouched():
        for command in (("plan",), ("apply", "--yes")):
            for option in ("--target", "--exclude", "--replace"):
                assert "bott" in fleet.refused(64, *command, option, "bott")
            assert "bot" in fleet.refused(64, *command, "--target", "bot", "--exclude", "bot")


# --- several files ---


def test_a_manifest_of_several_files(fleet: Fleet) -> None:
    """Two files are one manifest; while one of them is missing nothing counts as
    removed, unless --allow-missing-files.
    """
    fleet.write()
    folder = fleet.folder / "fleet"
    folder.mkdir()
    (fleet.folder / "tokens.yaml").rename(folder / "head.yaml")
    (folder / "bots.yaml").write_text("version: 1\ntokens:\n  - label: bot\n    path: prod/bot\n")
    fleet.must("bootstrap", "fleet")
    fleet.must("apply", "fleet", "--yes")
    assert len(fleet.live("bot")) == 1
    with fleet.untouched():
        fleet.must("apply", "fleet/bots.yaml", "fleet/head.yaml", "--yes")
    (folder / "bots.yaml").unlink()
    with fleet.untouched():
        done = fleet.must("apply", "fleet", "--yes")
    assert "--allow-missing-files" in held(done)[0]
    fleet.must("apply", "fleet", "--yes", "--allow-missing-files")
    assert fleet.live("bot") == []
    with fleet.untouched():
        fleet.must("apply", "fleet", "--yes")


# --- the years ---


def test_months_go_by(fleet: Fleet) -> None:
    """Every ten days a run, consumers that read their secret now and then: everything
    is rotated, nothing ever piles up.
    """
    fleet.defaults = {"rotate_after": "30d", "overlap": "2d"}
    fleet.begin(
        BOT, {"label": "lazy"}, {"label": "unused"}, {"label": "never", "rotate_after": "never"}
    )
    first = {token.token_id for token in fleet.sandbox.state.live()}
    for tens in range(10):
        fleet.later(
            days=10, minutes=1
        )  # our picture of the exchange's clock is right to the second: never at the brink
        fleet.use("prod/bot")
        if tens % 3 == 0:
            fleet.use("lazy")
        fleet.must("apply", "--yes")
        fleet.assert_quiet()
        assert len(fleet.sandbox.state.live()) <= 5 + 4
    fleet.later(days=5)
    for path in ("prod/bot", "lazy", "unused", "never"):
        fleet.use(path)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    left = first & {token.token_id for token in fleet.sandbox.state.live()}
    assert {fleet.sandbox.state.token(token_id).label for token_id in left} == {"never"}


def test_another_manager(fleet: Fleet) -> None:
    """The manifest names another manager: bootstrap makes it, and then it revokes the
    old one.
    """
    fleet.begin(BOT)
    text = (fleet.folder / "tokens.yaml").read_text().replace("reconciler", "operator")
    (fleet.folder / "tokens.yaml").write_text(text)
    fleet.tokens[0]["label"] = "operator"
    with fleet.untouched():
        assert "reconciler bootstrap" in fleet.refused(4, "apply", "--yes")
    fleet.must("bootstrap")
    fleet.must("apply", "--yes", "--revoke-in-use")
    assert sorted(str(token.label) for token in fleet.sandbox.state.live()) == ["bot", "operator"]
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_manager_that_moves_and_rotates(fleet: Fleet) -> None:
    """The manager's own path and scopes change like any other's; it signs all the
    while, and its successor revokes it.
    """
    fleet.begin(BOT)
    document = yaml.safe_load((fleet.folder / "tokens.yaml").read_text())
    document["tokens"][0] |= {"path": "ops/manager", "scopes": ["trading", "account_creation"]}
    fleet.tokens[0] |= document["tokens"][0]
    (fleet.folder / "tokens.yaml").write_text(yaml.safe_dump(document))
    fleet.must("apply", "--yes")
    fleet.must("apply", "--yes")
    assert len(fleet.live("reconciler")) == 1
    assert fleet.secret("reconciler").state is VersionState.DELETED
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_label_that_is_renamed(fleet: Fleet) -> None:
    """Another label at the same path: the old token goes first, then the new one is
    derived into the path.
    """
    fleet.begin(BOT)
    fleet.write({**BOT, "label": "renamed"})
    done = fleet.attempt("apply", "--yes")
    assert done.code in {0, 4}, done
    fleet.must("apply", "--yes")
    assert fleet.live("bot") == []
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_label_that_leaves_while_its_predecessor_lives(fleet: Fleet) -> None:
    """Both tokens go, each when nobody uses it any more, and nothing of the label is
    left.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    fleet.use("prod/bot")
    fleet.later(minutes=1)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.write()
    for _ in range(3):
        fleet.later(hours=2)
        fleet.must("apply", "--yes")
    assert fleet.live("bot") == []
    assert fleet.ledger().tokens.keys() == {"reconciler"}
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize(
    "after",
    [
        {},
        {**BOT, "path": "elsewhere"},
        {**BOT, "scopes": ["withdrawal"]},
        {**BOT, "label": "renamed"},
    ],
    ids=["removed", "moved", "other scopes", "renamed"],
)
def test_a_manifest_that_changes_after_a_crash(fleet: Fleet, after: dict[str, object]) -> None:
    """A rotation was interrupted, and then the line was changed: what was begun is
    undone first, then the new wish is done.
    """
    fleet.begin(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    fleet.attempt("rotate", "--target", "bot", "--yes").refusal(5)
    fleet.write(*([after] if after else []))
    for _ in range(3):
        done = fleet.attempt("apply", "--yes", "--revoke-in-use")
        assert done.code in {0, 4}, done
    fleet.assert_whole()
    fleet.assert_quiet()
    assert len(fleet.sandbox.state.live()) == (2 if after else 1)


def test_a_mount_that_keeps_one_version(fleet: Fleet) -> None:
    """Without history and with ``cas_required`` all goes on; there is no way back, and
    that is said.
    """
    fleet.defaults = {"overlap": "1h"}
    with fleet.operator() as client:
        client.secrets.kv.v2.configure(max_versions=1, cas_required=True, mount_point=fleet.mount)
    fleet.begin(BOT)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.assert_whole()
    with fleet.untouched():
        assert "no way back" in fleet.refused(1, "rollback", "--target", "bot", "--yes")
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    fleet.attempt("rotate", "--target", "bot", "--yes").refusal(5)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    with fleet.store() as store:
        version = store.read_meta(f"{fleet.prefix}/prod/bot").latest
        store.write(f"{fleet.prefix}/prod/bot", {"by": "hand"}, cas=version)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


# --- flags that are advised ---


def test_advice_can_be_followed(fleet: Fleet) -> None:
    """A sentence that names a flag is worth something only if the same command takes
    it, or works without.
    """
    labels = [f"bot-{number}" for number in range(6)]
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(*({"label": label} for label in labels))
    fleet.must("rotate", "--target", "bot-0", "--yes")
    fleet.write({"label": "bot-0"}, {"label": "bot-1"})
    followed(fleet, "rotate", "--target", "bot-1", "--compromised", "--yes")
    for label in ("bot-4", "bot-5"):
        fleet.sandbox.state.revoke_by_hand(fleet.live(label)[0].token_id)
    for command in (("status",), ("verify",), ("observe", "--out", "o.json"), ("plan",)):
        followed(fleet, *command)
    followed(fleet, "rotate", "--target", "bot-1", "--compromised", "--yes")
    followed(fleet, "rollback", "--target", "bot-0", "--yes")


def followed(fleet: Fleet, *command: str) -> None:
    """Run a command; where it fails and names a flag, run it with that flag, until it
    succeeds.
    """
    flags: list[str] = []
    for _ in range(4):
        done = fleet.attempt(*command, *flags)
        advised = re.findall(r"--[a-z-]+", done.err)
        if done.code in {0, 1} and not advised:
            return
        assert done.code != 64, (command, flags, done.err)
        flags += [advised[0], *(["100"] if advised[0].startswith("--max") else [])]
    raise AssertionError((command, flags, done))


def test_a_plan_with_flags_is_applied_with_them(fleet: Fleet) -> None:
    """A plan that was saved with flags is applied, or the refusal says which flags it
    lacks:

    "plan again" would never help.
    """
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.state.derive_by_hand("bot")
    fleet.must("plan", "--replace", "bot", "--out", "plan.json")
    done = fleet.attempt("apply", "--plan", "plan.json")
    if done.code:
        assert "--replace" in done.refusal(3)
        fleet.must("apply", "--plan", "plan.json", "--replace", "bot")
    fleet.use("prod/bot")
    fleet.write({**BOT, "rotate_after": "2h"}, {"label": "other", "rotate_after": "2h"})
    fleet.must("apply", "--yes")
    fleet.later(hours=3)
    fleet.must("plan", "--max-rotations", "1", "--out", "plan.json")
    done = fleet.attempt("apply", "--plan", "plan.json")
    if done.code:
        assert "--max-rotations" in done.refusal(3)
        done = fleet.must("apply", "--plan", "plan.json", "--max-rotations", "1")
    assert done.last_line.startswith("applied 1, failed 0, ")


# --- decisions ---


def test_replacing_a_twin(fleet: Fleet) -> None:
    """--replace derives beside the twin, which lives on, untouched and named."""
    fleet.write(BOT)
    fleet.must("bootstrap")
    twin = fleet.sandbox.state.derive_by_hand("bot")
    with fleet.untouched():
        assert fleet.attempt("apply", "--yes").code == 4
    fleet.must("apply", "--yes", "--replace", "bot")
    assert fleet.sandbox.state.token(twin.token_id).live
    assert fleet.use("prod/bot") != twin.token_id
    fleet.assert_quiet()


def test_replacing_what_occupies_a_path(fleet: Fleet) -> None:
    """A secret at a path that the ledger does not own is never overwritten, unless
    --replace names the label.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", {"somebody": "else"}, cas=0)
    with fleet.untouched():
        done = fleet.attempt("apply", "--yes")
    assert done.code == 4, done
    assert "prod/bot" in done.out
    assert fleet.secret("prod/bot").field("somebody") == "else"
    fleet.must("apply", "--yes", "--replace", "bot")
    fleet.assert_whole()
    assert fleet.secret("prod/bot", version=1).field("somebody") == "else", "the history keeps it"
    fleet.assert_quiet()
