"""Two manifests of one repository, each for its own exchange, played with the example
that is shipped for them: what is said of one never hides what is to be said of the
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox, SandboxConfig
from tests.delivery.played.hosting import Event
from tests.delivery.played.runner import WORKFLOWS, Played
from tests.delivery.played.world import World
from tests.support.fleet import Fleet, Spec
from tests.support.github_state import Issue

BOT: Spec = {"label": "bot", "overlap": "1h"}
NEW: Spec = {"label": "new", "overlap": "1h"}
FILE = "tokens.yml"
FIRST, SECOND = "production/tokens.yaml", "staging/tokens.yaml"
DAILY, HOURLY = "23 5 * * *", "47 * * * *"


@pytest.fixture
def other(
    world: World, tmp_path: Path, openbao: OpenBaoServer, vault_mount: str
) -> Iterator[Fleet]:
    """Yield a second fleet: another exchange, another prefix, the same Vault."""
    folder = tmp_path / "second"
    folder.mkdir()
    with Sandbox(config=SandboxConfig(limits=False)) as sandbox:
        fleet = Fleet(folder, sandbox, openbao, vault_mount, "limitless/staging")
        world.admit(fleet)
        yield fleet
        fleet.assert_no_leak()


def begin(world: World, other: Fleet) -> None:
    """Begin with a bot in each, and the example as the repository's workflow."""
    text = world.example("several-manifests.yml")
    for fleet, row in ((world.fleet, "production"), (other, "staging")):
        fleet.begin(BOT)
        text = text.replace(f"secret/limitless/{row}", f"{fleet.mount}/{fleet.prefix}")
    text = text.replace("https://api.limitless.exchange", world.fleet.sandbox.url)
    text = text.replace("https://staging.limitless.example", other.sandbox.url)
    files = {f"{WORKFLOWS}/{FILE}": text, **manifests(world, other)}
    world.hosted.commit(files)


def manifests(world: World, other: Fleet) -> dict[str, str | None]:
    """Return both manifests as they are in the fleets' folders."""
    pair = ((FIRST, world.fleet), (SECOND, other))
    return {name: (fleet.folder / "tokens.yaml").read_text("utf-8") for name, fleet in pair}


def play(world: World, event: Event) -> Played:
    """Play the workflow of the repository."""
    return world.stage.play(FILE, event)


def states(world: World) -> dict[str, str]:
    """Return the state of each issue by its title."""
    return {issue.title: issue.state for issue in world.issues()}


def titled(world: World, beginning: str, fleet: Fleet) -> Issue:
    """Return the issue that begins so and is about a fleet."""
    place = f"({fleet.mount}/{fleet.prefix} at {fleet.sandbox.url.partition('://')[2]})"
    (found,) = (one for one in world.issues() if one.title == f"{beginning} {place}")
    return found


def test_two_manifests_of_one_repository(world: World, other: Fleet) -> None:
    """Drift of one is not closed by the other's clean run; a pull request has a comment
    for each, made from a snapshot of its own; the apply of one that fails is reported
    although the other succeeds.
    """
    begin(world, other)
    world.fleet.sandbox.state.revoke_by_hand(world.fleet.live("bot")[0].token_id)
    played = play(world, world.hosted.scheduled(DAILY))
    assert played.result == "success", played.log
    drift = titled(world, "Tokens: drift, or rotations due", world.fleet)
    assert (drift.state, len(world.issues())) == ("open", 1)
    assert len({one.name for one in world.snapshots()}) == 2

    world.fleet.write(BOT, NEW)
    other.write(BOT, {"label": "another", "overlap": "1h"})
    event = world.hosted.open_pull(manifests(world, other))
    played = play(world, event)
    assert played.result == "success", played.log
    number = event.payload["number"]
    bodies = [one.body for one in world.comments(number)]
    assert [("`new`" in body, "`another`" in body) for body in bodies] == [
        (True, False),
        (False, True),
    ], bodies
    names = [one.name for one in world.hosted.entry.artifacts.values()]
    for kind in ("tokens-snapshot-", "tokens-plan-"):
        assert len({name for name in names if name.startswith(kind)}) == len((FIRST, SECOND))

    # The identity token is for the plan of the second alone.
    digest = world.marked(world.comments(number)[1])["digest"]
    other.must(
        *("identity", "push", world.identity_path, "--for", digest),
        environ=world.token_of("identity-push"),
    )
    played = play(world, world.hosted.merge_pull(number))
    ends = {f"apply[{row}]": played.jobs[f"apply[{row}]/change/apply"] for row in (0, 1)}
    assert [end.result for end in ends.values()] == ["failure", "success"], played.log
    assert len({end.group for end in ends.values()}) == 2, "each writes in its own turn"
    failed = titled(world, "Workflow failed: tokens-apply", world.fleet)
    assert (failed.state, drift.state, len(world.issues())) == ("open", "open", 2)
    assert other.live("another"), played.log

    play(world, world.hosted.scheduled(DAILY))
    play(world, world.hosted.scheduled(HOURLY))
    assert (failed.state, drift.state, len(world.issues())) == ("open", "open", 2)
    other.assert_whole()


def test_a_manifest_of_another_row_is_refused(world: World, other: Fleet) -> None:
    """A pull request can't make one manifest pass for the other: the row says which
    prefix it is for, and no comment of the other is touched.
    """
    begin(world, other)
    play(world, world.hosted.scheduled(DAILY))
    swapped = {FIRST: manifests(world, other)[SECOND]}
    event = world.hosted.open_pull(swapped)
    played = play(world, event)
    assert played.jobs["plan[0]/validate"].result == "failure"
    assert "RECONCILER_VAULT_PREFIX allows only" in played.log
    assert played.jobs["plan[1]/gate"].result == "success"
    (comment,) = world.comments(event.payload["number"])
    assert world.marked(comment)["place"] == f"{other.mount}/{other.prefix}"
