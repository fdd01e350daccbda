"""The example workflows of a repository that holds only tokens.yaml, played: they do
what the table beside them says.
"""

from __future__ import annotations

from tests.delivery.played.world import REVIEWED, World
from tests.support.fleet import Spec

BOT: Spec = {"label": "bot", "path": "prod/bot", "overlap": "1h"}
NEW: Spec = {"label": "new", "overlap": "1h"}
FILE = "tokens.yml"


def test_by_reusable_workflow(world: World) -> None:
    """The called workflows do all that they do themselves, from another repository's
    commit: snapshot, comment, apply of the reviewed plan.
    """
    world.begin(BOT, example="by-reusable-workflow.yml")
    played = world.stage.play(FILE, world.hosted.scheduled("23 5 * * *"))
    assert played.results() == {
        "plan": "skipped",
        "apply": "skipped",
        "drift/drift": "success",
        "drift/report": "success",
        "drift": "success",
        "rotate": "skipped",
    }, played.log
    event = world.hosted.open_pull({"tokens.yaml": world.manifest(BOT, NEW)})
    played = world.stage.play(FILE, event)
    assert played.jobs["plan/gate"].result == "success", played.log
    (comment,) = world.comments(event.payload["number"])
    assert "`new`" in comment.body
    world.hand_over()
    played = world.stage.play(FILE, world.hosted.merge_pull(event.payload["number"]))
    assert (played.result, world.asked) == ("success", []), played.log
    assert played.jobs["apply/change/plan"].outputs["environment"] == "tokens-apply"
    played = world.stage.play(FILE, world.hosted.scheduled("47 * * * *"))
    assert played.jobs["rotate/change/unattended"].result == "success", played.log
    world.fleet.assert_whole()
    assert len(world.snapshots()) == 2


def test_by_action(world: World) -> None:
    """Pull requests are validated; what was merged waits for a person, then it is
    applied.
    """
    world.begin(BOT, example="by-action.yml")
    event = world.hosted.open_pull({"tokens.yaml": world.manifest(BOT, NEW)})
    played = world.stage.play(FILE, event)
    assert played.jobs["validate"].result == "success", played.log
    world.hand_over()
    played = world.stage.play(FILE, world.hosted.merge_pull(event.payload["number"]))
    assert played.result == "success", played.log
    assert world.asked == [(REVIEWED, "approve")]
    assert "`new`" in played.jobs["plan"].summary
    world.fleet.assert_whole()


def test_one_workflow_does_not_close_the_issue_of_another(world: World) -> None:
    """Called from one workflow, a comparison that succeeds leaves the issue of an apply
    that failed open.
    """
    world.begin(BOT, example="by-reusable-workflow.yml")
    played = world.stage.play(FILE, world.hosted.push({"tokens.yaml": world.manifest(BOT, NEW)}))
    assert played.jobs["apply/change/apply"].result == "failure", (
        "nobody handed an identity token over"
    )
    (issue,) = world.issues()
    assert issue.state == "open"
    world.stage.play(FILE, world.hosted.scheduled("47 * * * *"))
    assert issue.state == "open"
