"""The story of a change as a partner lives it on GitHub, played with the workflow files
of this repository.

Every run is the real program in real shells, against a real OpenBao that checks the
jobs' identity tokens; GitHub's side is played by laws (``tests/support/github.py``).
After each test all that people could read is searched for secrets
(``World.assert_clean``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus

import pytest

from reconciler import sandbox
from tests.delivery.played.runner import Played
from tests.delivery.played.world import REPO, REVIEWED, World
from tests.support.fleet import Spec
from tests.support.github import Fault, rate_limited
from tests.support.github_state import ACTIONS_BOT, DEPENDABOT

BOT: Spec = {"label": "bot", "path": "prod/bot", "overlap": "1h"}
WIDER: Spec = {**BOT, "scopes": ["trading", "delegated_signing"]}
NEW: Spec = {"label": "new", "overlap": "1h"}
PLANNED = {"validate": "success", "plan": "success", "gate": "success"}
EXIT_STALE, EXIT_PERSON, EXIT_PARTIAL = "3", "4", "5"


def exit_code(played: Played, job: str = "apply") -> str:
    """Return the program's exit code, by the step's output."""
    return next(
        step.outputs["exit-code"]
        for step in played.job(job).steps.values()
        if step.outputs.get("exit-code")
    )


def planned(played: Played) -> Mapping[str, str]:
    """Return the outputs of a run's plan."""
    return next(
        step.outputs for step in played.job("plan").steps.values() if step.outputs.get("digest")
    )


def notices(played: Played, job: str) -> list[str]:
    """Return what a job says at the top of its run."""
    return [one.message for one in played.job(job).log.annotations if one.level == "notice"]


def test_a_new_token_goes_from_a_pull_request_to_vault(world: World) -> None:
    """A pull request has one comment, which is edited; after the merge the reviewed
    plan is applied without asking anybody, and the next plan knows of it.
    """
    world.begin(BOT)
    assert world.drift().result == "success"
    assert len(world.snapshots()) == 1
    event = world.hosted.open_pull({"tokens.yaml": world.manifest(BOT, {**NEW, "overlap": "2h"})})
    number = event.payload["number"]
    forged = world.github.state.add_comment(
        REPO, number, login="mallory", body=forged_comment("sha256:0", "0")
    )
    for people in range(101):
        world.github.state.add_comment(
            REPO, number, login="octocat", body=f"comment {people}, so that ours is on page 2"
        )
    played = world.plan(event)
    assert played.results() == PLANNED, played.log
    (comment,) = world.comments(number)
    first = world.marked(comment)
    assert (first["place"], first["truncated"]) == (
        f"{world.fleet.mount}/{world.fleet.prefix}",
        False,
    )
    assert first["head"] == world.hosted.entry.pulls[number].head_sha
    assert "| derive | `new` |" in comment.body
    assert comment.body.splitlines()[0].endswith("-->")

    world.github.state.add_comment(REPO, number, login=ACTIONS_BOT, body="of another workflow")
    files: dict[str, str | None] = {
        "tokens.yaml": world.manifest(BOT, NEW, {"label": "second", "overlap": "1h"})
    }
    assert world.plan(world.hosted.push_to_pull(number, files)).results() == PLANNED
    assert [one.id for one in world.comments(number)][:-1] == [comment.id], (
        "edited, not posted again"
    )
    assert (forged.former, len(comment.former)) == ([], 1), "a marker is ours by its author"
    facts = world.marked(comment)
    assert facts["head"] == world.hosted.entry.pulls[number].head_sha
    assert facts["digest"] != first["digest"]

    world.hand_over()
    played = world.merged(number)
    assert played.result == "success", played.log
    assert world.asked == [], "nothing in it is hard to take back"
    plan = planned(played)
    assert (plan["reviewed"], plan["digest"], plan["derives"]) == ("true", facts["digest"], "2")
    assert world.fleet.live("second"), played.log
    assert exit_code(played) == "0"
    assert world.waiting_identity() is None, "used once, and destroyed"
    assert len(world.snapshots()) == 2
    world.fleet.assert_whole()
    world.fleet.assert_quiet()

    _, again = world.propose(BOT, NEW, {"label": "second", "overlap": "1h"}, branch="nothing")
    assert again.results() == PLANNED
    assert planned(again)["changes"] == "false", "it plans from what the merge has published"


def test_a_reverted_pull_request_is_started_again(world: World) -> None:
    """The revert is the newest commit, and passes as any other. The run of what it took
    back, started again, shows the very plan that was reviewed then: a reviewer is
    asked all the same, and the identity token that waits stays where it is.
    """
    world.begin(BOT)
    world.publish()
    number, _ = world.propose(BOT, NEW)
    merged = world.hosted.merge_pull(number)
    world.hand_over()
    played = world.apply(merged)
    assert (played.result, world.asked) == ("success", []), played.log
    reviewed = planned(played)

    world.fleet.later(hours=30)
    world.publish()
    number, _ = world.propose(BOT, branch="revert")
    played = world.merged(number)
    assert played.result == "success", played.log
    assert planned(played)["reviewed"] == "true", "a revert is reviewed like any other change"
    assert [environment for environment, _ in world.asked] == [REVIEWED], "a token is to go"
    left = world.fleet.ledger().tokens["new"].current
    assert left is not None
    assert left.left_ms is not None

    world.hand_over()
    world.asked.clear()
    world.approve = lambda: False
    with world.fleet.untouched():
        played = world.apply(merged)
    assert reviewed["reviewed"] == "true"
    assert planned(played)["reviewed"] == "false"
    assert [environment for environment, _ in world.asked] == [REVIEWED]
    assert "not known to be the newest of its branch" in played.job("plan").summary
    assert world.waiting_identity() is not None
    assert world.fleet.ledger().tokens["new"].current == left


def test_the_failed_job_of_an_earlier_run_is_started_again(world: World) -> None:
    """Its plan was reviewed, but its commit need not be the newest of the branch any
    more: without a job that looks, it applies nothing.
    """
    world.begin(BOT)
    world.publish()
    number, _ = world.propose(BOT, NEW)
    merged = world.hosted.merge_pull(number)
    played = world.apply(merged)
    assert planned(played)["reviewed"] == "true"
    assert played.job("apply").result == "failure", "no identity waits"

    world.hand_over()
    with world.fleet.untouched():
        again = world.stage.play("tokens-apply.yml", merged, again=played)
    assert again.job("apply").result == "failure", again.log
    assert "Re-run all jobs" in again.job("apply").log.text
    assert world.waiting_identity() is not None
    assert world.apply(merged).result == "success"


def test_what_widens_waits_for_a_person(world: World) -> None:
    """Nothing is written before a reviewer says yes and an identity was handed over;
    one issue tells of it until it is done.
    """
    world.begin(BOT)
    world.publish()
    number, _ = world.propose(WIDER)
    assert "widen" in world.comments(number)[0].body
    world.approve = lambda: False
    with world.fleet.untouched():
        played = world.merged(number)
    assert played.result == "failure"
    assert planned(played)["reviewed"] == "true"
    assert [environment for environment, _ in world.asked] == [REVIEWED]
    assert played.job("apply").result == "skipped"
    (issue,) = world.issues()
    assert (issue.state, issue.login, issue.labels) == ("open", ACTIONS_BOT, ("reconciler",))
    assert f"/actions/runs/{played.run.id}" in issue.body

    world.approve = lambda: True
    with world.fleet.untouched():
        played = world.apply(world.hosted.dispatched())
    assert exit_code(played) == EXIT_PERSON, played.log
    assert "reconciler identity push" in played.job("apply").summary
    assert world.issues() == [issue]
    assert f"/actions/runs/{played.run.id}" in issue.body, "one issue, kept up to date"

    world.hand_over()
    played = world.apply(world.hosted.dispatched())
    assert played.result == "success", played.log
    assert issue.state == "closed"
    assert world.fleet.live("bot")[-1].scopes == ("delegated_signing", "trading")
    world.fleet.assert_whole()


def test_a_stale_plan_is_not_applied(world: World) -> None:
    """While the reviewer thinks, the state changes: exit 3, not one write, and the
    difference can be read; then plan again.
    """
    world.begin(BOT)
    world.publish()
    number, _ = world.propose(WIDER)
    before: dict[str, int] = {}

    def think() -> bool:
        world.fleet.must("rotate", "--target", "bot", "--yes")
        before.update(world.fleet.versions())
        return True

    world.approve = think
    world.hand_over()
    world.fleet.write(BOT)
    played = world.merged(number)
    assert exit_code(played) == EXIT_STALE, played.log
    assert world.fleet.versions() == before, "nothing was written"
    assert "bot" in played.job("apply").summary
    assert "stale" in played.job("apply").log.text
    assert [issue.state for issue in world.issues()] == ["open"]
    assert world.waiting_identity() is not None, "what was refused has used nothing up"
    world.approve = lambda: True
    assert world.apply(world.hosted.dispatched()).result == "success"
    world.fleet.tokens = [{"label": "reconciler"}, dict(WIDER)]
    world.fleet.assert_whole()


def forged_comment(digest: str, head: str) -> str:
    """Return a comment that anybody can write."""
    facts = {
        "schema": 1,
        "manifest": "tokens.yaml",
        "digest": digest,
        "head": head,
        "truncated": False,
    }
    return f"<!-- reconciler:plan {json.dumps(facts)} -->\n"


STRANGERS = [
    {"fork": "mallory/tokens", "login": "mallory", "branch": "main"},
    {"login": DEPENDABOT},
]


@pytest.mark.parametrize("how", STRANGERS, ids=["fork", "dependabot"])
def test_a_stranger_gets_a_plan_and_nothing_else(world: World, how: dict[str, str]) -> None:
    """With a token that only reads, the plan stands in the summary and a notice says
    so; nothing is written or issued.
    """
    world.begin(BOT)
    world.publish()
    for event, branch in (
        ("pull_request", "main"),
        ("workflow_dispatch", "evil"),
        ("push", "evil"),
    ):
        run = world.github.state.add_run(REPO, event=event, head_branch=branch, head_sha="a" * 40)
        world.github.state.add_artifact(REPO, run, world.artifact, {"snapshot.json": b"poison"})
    number, played = world.propose(BOT, NEW, **how)
    assert played.results() == PLANNED, played.log
    assert "`new`" in played.job("plan").summary
    assert any("pull-requests: write" in sentence for sentence in notices(played, "plan")), (
        played.log
    )
    assert world.comments(number) == []
    assert world.github.writes(granted=True) == []
    assert len(world.github.writes()) == 1, "the one that was refused"
    assert world.issuer.issued == []
    assert world.github.downloads[0].status == HTTPStatus.OK
    assert "authorization" not in world.github.downloads[0].headers


def test_a_plan_that_nobody_reviewed(world: World) -> None:
    """A fork's pull request has no comment of ours; one that its author forged, of the
    right plan, does not pass for it.
    """
    world.begin(BOT)
    world.publish()
    number, played = world.propose(BOT, NEW, **STRANGERS[0])
    digest = planned(played)["digest"]
    forged = forged_comment(digest, world.hosted.entry.pulls[number].head_sha)
    world.github.state.add_comment(REPO, number, login="mallory", body=forged)
    world.approve = lambda: False
    with world.fleet.untouched():
        played = world.merged(number)
    found = planned(played)
    assert (found["digest"], found["reviewed"]) == (digest, "false")
    assert [environment for environment, _ in world.asked] == [REVIEWED]


def test_drift_has_one_issue(world: World) -> None:
    """The issue is opened when something differs, closed when nothing does, and opened
    again later.
    """
    world.begin(BOT)
    assert world.drift().result == "success"
    assert world.issues() == []
    world.fleet.sandbox.state.revoke_by_hand(world.fleet.live("bot")[0].token_id)
    assert world.drift().result == "success"
    (issue,) = world.issues()
    assert (issue.state, issue.login, issue.labels) == ("open", ACTIONS_BOT, ("reconciler",))
    assert "`bot`" in issue.body
    assert world.marked(issue)["place"] == f"{world.fleet.mount}/{world.fleet.prefix}"

    world.fleet.must("apply", "--yes")
    assert world.drift().result == "success"
    assert (world.issues(), issue.state) == ([issue], "closed")
    world.fleet.sandbox.state.revoke_by_hand(world.fleet.live("bot")[0].token_id)
    world.drift()
    assert (world.issues(), issue.state) == ([issue], "open")
    assert len(world.snapshots()) == 4


def test_a_rotation_that_is_due(world: World) -> None:
    """The issue says what to do; a person does it; the clock then revokes the
    predecessor without any person.
    """
    world.begin({**BOT, "rotate_after": "2h"}, {"label": "quiet", "overlap": "1h"})
    old = world.fleet.use("prod/bot")
    world.fleet.later(hours=3)
    played = world.drift()
    (issue,) = world.issues()
    assert "1 rotations due" in issue.body, issue.body
    assert "identity" in issue.body
    assert played.job("drift").steps["1"].outputs["rotations"] == "1"
    with world.fleet.untouched():
        assert (
            world.stage.play("tokens-rotate.yml", world.hosted.scheduled("43 * * * *")).result
            == "success"
        )

    world.hand_over()
    played = world.stage.play("tokens-rotate.yml", world.hosted.dispatched())
    assert played.result == "success", played.log
    assert [environment for environment, _ in world.asked] == [REVIEWED]
    world.fleet.assert_whole()
    assert world.fleet.use("prod/bot") != old
    world.fleet.later(hours=1, minutes=30)
    world.fleet.use("prod/bot")
    played = world.stage.play("tokens-rotate.yml", world.hosted.scheduled("43 * * * *"))
    assert played.result == "success", played.log
    assert [token.token_id for token in world.fleet.live("bot")] == [world.fleet.use("prod/bot")]


def test_a_failing_apply_has_an_issue(world: World) -> None:
    """A derive without an answer fails the run, and an issue leads to it; the clock
    undoes what was begun, then the apply works.
    """
    world.begin(BOT)
    world.publish()
    number, _ = world.propose(BOT, NEW)
    world.hand_over()
    world.fleet.sandbox.faults.add(
        sandbox.Fault(kind=sandbox.FaultKind.LOST_REPLY, operation=sandbox.Operation.DERIVE)
    )
    played = world.merged(number)
    assert (played.job("apply").result, exit_code(played)) == ("failure", EXIT_PARTIAL), played.log
    assert played.job("publish").result == "success"
    assert len(world.snapshots()) == 2
    (issue,) = world.issues()
    assert f"/actions/runs/{played.run.id}" in issue.body
    assert "failed 1" in played.job("apply").summary

    world.fleet.later(minutes=2)
    played = world.stage.play("tokens-rotate.yml", world.hosted.scheduled("43 * * * *"))
    assert played.result == "success", played.log
    assert (world.fleet.live("new"), issue.state) == ([], "open")
    world.hand_over()
    played = world.apply(world.hosted.dispatched())
    assert played.result == "success", played.log
    assert (world.issues(), issue.state) == ([issue], "closed")
    world.fleet.assert_whole()
    assert len(world.fleet.live("new")) == 1


def test_an_invalid_manifest(world: World) -> None:
    """An invalid manifest has annotations at its lines, ten at most; the gate is red,
    and nothing was planned.
    """
    world.begin(BOT)
    tokens = [
        {"label": f"bot-{number}", "scopes": ["tradng"], "overlap": "soon"} for number in range(12)
    ]
    number, played = world.propose(BOT, *tokens)
    assert played.results() == {"validate": "failure", "plan": "skipped", "gate": "failure"}
    errors = [
        one
        for one in played.job("validate").log.annotations
        if one.level == "error" and one.properties
    ]
    assert 9 <= len(errors) <= 10
    lines = world.manifest().splitlines()
    for one in errors[:9]:
        assert one.properties["file"] == "tokens.yaml"
        assert any(
            word in lines[int(one.properties["line"]) - 1]
            for word in ("soon", "tradng", "overlap", "scopes")
        )
    assert world.comments(number) == []


def test_before_the_first_snapshot_and_in_the_queue(world: World) -> None:
    """Without a snapshot there is no plan, which is said and fails nothing; a merge
    queue validates and plans nothing.
    """
    world.begin(BOT)
    number, played = world.propose(BOT, NEW)
    assert played.results() == PLANNED
    assert any("tokens-drift" in sentence for sentence in notices(played, "plan"))
    assert "There is no plan" in played.job("plan").summary
    assert world.comments(number) == []
    assert world.plan(world.hosted.queued(number)).results() == {**PLANNED, "plan": "skipped"}


HOSTILE = [
    "##[error]take cover",
    "::error::take cover",
    "`` ``` <!-- @acme/admins -->",
    "a](https://evil.example) ![x](y) | b",
    "<img src=x onerror=alert(1)>",
    "%0A::add-mask::a",
]


def outside_code(markdown: str) -> str:
    """Return a text without its code spans, whose ends are runs of backticks of equal
    length (CommonMark 6.1).
    """
    return re.sub(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)", "", markdown)


def test_hostile_names(world: World) -> None:
    """Names that a stranger chose break neither log nor comment nor outputs; after the
    merge neither, nor the drift issue.
    """
    world.begin(BOT)
    world.publish()
    tokens = [
        {"label": label, "path": f"hostile/{number}", "overlap": "26h"}
        for number, label in enumerate(HOSTILE)
    ]
    number, played = world.propose(BOT, *tokens)
    assert played.results() == PLANNED, played.log
    (comment,) = world.comments(number)
    for text in (comment.body, played.job("plan").summary):
        visible = text.split("-->\n", 1)[-1]
        assert "hostile/5" in visible
        assert not [
            sign
            for sign in ("<!--", "<img", "@acme", "https://evil")
            if sign in outside_code(visible)
        ], text
    told = [one.message for job in played.jobs.values() for one in job.log.annotations]
    assert all(one.startswith("the overlap of 'bot' is less than 24h") for one in told), played.log
    played = world.merged(number)
    assert exit_code(played) == EXIT_PERSON
    assert all(
        "take cover" not in one.message
        for job in played.jobs.values()
        for one in job.log.annotations
    )
    world.drift()
    assert any("hostile/0" in issue.body for issue in world.issues())


def test_github_on_a_bad_day(world: World) -> None:
    """Limits, outages and lost replies never change how a plan or an apply ends; reads
    are tried again, writes never.
    """
    world.begin(BOT)
    world.publish()
    world.github.fail(
        Fault(reply=rate_limited(status=429), path=".*/actions/artifacts", method="GET"),
        Fault(path=".*/actions/runs/.*", method="GET"),
        Fault(done=True, path=".*/comments", method="POST"),
    )
    number, played = world.propose(BOT, NEW)
    assert played.results() == PLANNED, played.log
    assert len(world.comments(number)) == 1, "posted, though the reply was lost"
    assert len(notices(played, "plan")) == 1
    assert world.plan(world.hosted.pull_event(number, "reopened")).results() == PLANNED
    assert len(world.comments(number)) == 1
    world.github.fail(Fault(reply=rate_limited(retry_after_s=None), path=".*/commits/.*", times=9))
    world.approve = lambda: False
    played = world.merged(number)
    assert played.job("plan").result == "success", played.log
    assert [environment for environment, _ in world.asked] == [REVIEWED], (
        "what can't be compared is for a person"
    )


EVIL = """
name: evil
on: [pull_request, push]
permissions: {}
jobs:
  steal:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    ENVIRONMENT
    permissions: {contents: read, id-token: write}
    env:
      VAULT_ADDR: ${{ vars.VAULT_ADDR }}
      RECONCILER_VAULT_AUTH: jwt
      RECONCILER_VAULT_AUTH_MOUNT: ${{ vars.RECONCILER_VAULT_AUTH_MOUNT }}
      RECONCILER_VAULT_ROLE: ROLE
      LIMITLESS_API_URL: ${{ vars.LIMITLESS_API_URL }}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with: {persist-credentials: false}
      - uses: $/.github/actions/reconciler
        with: {command: observe, arguments: --out=stolen.json}
"""


def test_an_edited_workflow_gets_no_login(world: World) -> None:
    """A pull request of somebody who may open branches may ask for identity tokens, and
    Vault's roles and environments give it nothing.
    """
    world.begin(BOT)

    def tried(role: str, environment: str = "") -> Played:
        text = EVIL.replace(
            "ENVIRONMENT", f"environment: {environment}" if environment else ""
        ).replace("ROLE", role)
        event = world.hosted.open_pull(
            {".github/workflows/evil.yml": text}, branch=f"evil-{role}-{environment or 'none'}"
        )
        return world.stage.play("evil.yml", event)

    for role in ("tokens-plan", "tokens-apply"):
        played = tried(role)
        assert played.result == "failure"
        assert "refuse" in played.log, played.log
        assert '"pull_request"' in played.log, "it says which claims it had"
    assert len(world.issuer.issued) == 2
    assert "not allowed to deploy" in tried("tokens-plan", "tokens-plan").job("steal").why
    text = EVIL.replace("ENVIRONMENT", "").replace("ROLE", "tokens-plan")
    played = world.stage.play("evil.yml", world.hosted.push({".github/workflows/evil.yml": text}))
    assert played.result == "failure", "not even on main, without the environment"
