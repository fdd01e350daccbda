"""The schedule, played: it rotates from the reserve, and where a person is needed it
leaves the asking to the daily comparison.
"""

from __future__ import annotations

from tests.delivery.played.runner import Played
from tests.delivery.played.world import World
from tests.support.fleet import Spec

READY: Spec = {"label": "ready", "overlap": "1h", "rotate_after": "3h", "reserve": 1}
BARE: Spec = {"label": "bare", "overlap": "1h", "rotate_after": "3h"}
HOURLY = "43 */6 * * *"


def hourly(world: World) -> Played:
    """Play the schedule."""
    return world.stage.play("tokens-rotate.yml", world.hosted.scheduled(HOURLY))


def test_what_is_due_is_rotated_by_the_clock(world: World) -> None:
    """A successor is ready for one of two labels: that one is rotated, by a job without
    an identity token. The other waits; the run is green, since the comparison asks.
    """
    world.begin(READY, BARE)
    before = {label: world.fleet.use(label) for label in ("ready", "bare")}
    world.fleet.later(hours=4)
    played = hourly(world)
    assert played.result == "success", played.log
    assert world.fleet.use("ready") != before["ready"], played.log
    assert world.fleet.use("bare") == before["bare"]
    assert (world.asked, world.waiting_identity(), world.issues()) == ([], None, [])
    assert played.job("unattended").steps["rotate"].outputs["exit-code"] == "4"
    world.drift()
    (issue,) = world.issues()
    assert "`bare`" in issue.body


def test_a_person_comes_to_stock(world: World) -> None:
    """Nothing is due, and the reserve is short: the workflow that is started by hand
    stocks it, with the identity token that was handed over.
    """
    world.begin(READY)
    world.fleet.later(hours=4)
    assert hourly(world).result == "success"
    assert world.fleet.ledger().tokens["ready"].reserve == ()
    world.hand_over()
    played = world.stage.play("tokens-rotate.yml", world.hosted.dispatched())
    assert played.result == "success", played.log
    assert len(world.asked) == 1
    (kept,) = world.fleet.ledger().tokens["ready"].reserve
    assert world.fleet.sandbox.state.token(kept.token_id).live


def test_a_rotation_that_fails_is_red(world: World) -> None:
    """Anything but the need of a person fails the run, and has an issue."""
    world.begin(READY)
    world.fleet.later(hours=4)
    with world.fleet.store() as store:
        ledger = f"{world.fleet.prefix}/_ledger"
        store.delete_version(ledger, store.read_meta(ledger).latest)
    played = hourly(world)
    assert played.job("unattended").result == "failure", played.log
    (issue,) = world.issues()
    assert issue.state == "open"
