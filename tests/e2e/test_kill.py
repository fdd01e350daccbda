"""``kill -9`` after every effect of every kind of change, and one more run: nothing is
lost, and a further run does nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from reconciler.errors import Exit
from reconciler.model import Secret
from reconciler.sandbox import Fault, FaultKind, Operation
from tests.e2e.conftest import NewFleet
from tests.support.fleet import Fleet, KillServer, texts_of

BOT = {"label": "bot", "path": "prod/bot"}
FEWEST_EFFECTS, MOST_EFFECTS = 5, 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
    """How to come to the point where ``command`` makes the change."""

    name: str
    prepare: Callable[[Fleet], None]
    command: tuple[str, ...] = ("apply", "--yes")


def quick(fleet: Fleet, *arguments: str) -> None:
    """A step of a preparation."""
    assert fleet.quick(*arguments) == 0


def nothing(fleet: Fleet) -> None:
    """An empty account."""
    fleet.write()


def wanted(fleet: Fleet) -> None:
    """A manager, and a label that is to be derived."""
    fleet.write(BOT)
    quick(fleet, "bootstrap")


def applied(fleet: Fleet) -> None:
    """A manager and a bot, both in place."""
    wanted(fleet)
    quick(fleet, "apply", "--yes")


def widened(fleet: Fleet) -> None:
    """The bot is to be rotated."""
    applied(fleet)
    fleet.write({**BOT, "scopes": ["trading", "withdrawal"]})


def moved(fleet: Fleet) -> None:
    """The bot is to be rotated into another path."""
    applied(fleet)
    fleet.write({**BOT, "path": "prod/other"})


def removed(fleet: Fleet) -> None:
    """The bot is to be revoked."""
    applied(fleet)
    fleet.write()


def superseded(fleet: Fleet) -> None:
    """The bot's predecessor is to be revoked, and its secret at the old path to go."""
    applied(fleet)
    fleet.sandbox.state.shift_clock(5_000)
    fleet.use("prod/bot")
    fleet.write({**BOT, "path": "prod/other"})
    quick(fleet, "apply", "--yes")
    fleet.sandbox.state.shift_clock(10_000)
    fleet.use("prod/other")


def overwritten(fleet: Fleet) -> None:
    """The bot's secret is to be restored."""
    applied(fleet)
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", {"oops": "by hand"}, cas=1)


def rotated(fleet: Fleet) -> None:
    """The bot can be rolled back."""
    fleet.defaults = {"overlap": "1h"}
    applied(fleet)
    quick(fleet, "rotate", "--target", "bot", "--yes")


def gone(fleet: Fleet) -> None:
    """The bot, which has an overlap, is to retire."""
    fleet.defaults = {"overlap": "1h"}
    removed(fleet)


def back(fleet: Fleet) -> None:
    """The bot retires, and is in the manifest again, at another path."""
    gone(fleet)
    quick(fleet, "apply", "--yes")
    fleet.write({**BOT, "path": "prod/other"})


def left(fleet: Fleet) -> None:
    """The bot left three hours ago."""
    gone(fleet)
    quick(fleet, "apply", "--yes")
    fleet.sandbox.state.shift_clock(3 * 3_600_000)


def followed(fleet: Fleet) -> None:
    """Another label is to have the path of the bot, which leaves without an overlap."""
    applied(fleet)
    fleet.write({"label": "cat", "path": BOT["path"]})


def renamed(fleet: Fleet) -> None:
    """The bot gets another label, and with it another token."""
    applied(fleet)
    fleet.write({"label": "robot", "was": "bot", "path": "prod/bot"})


def named(fleet: Fleet) -> None:
    """The bot's secret is to be written again, with a further name for its id."""
    applied(fleet)
    fleet.write({**BOT, "fields": {"BOT_ID": "token_id"}})


def interrupted(fleet: Fleet) -> None:
    """The answer to the bot's derive was lost, and the next run recovers."""
    wanted(fleet)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    assert fleet.quick("apply", "--yes") == Exit.PARTIAL
    fleet.sandbox.state.shift_clock(120_000)


def short(fleet: Fleet) -> None:
    """A successor of the bot is to be stocked."""
    applied(fleet)
    fleet.write({**BOT, "reserve": 1})


def ready(fleet: Fleet) -> None:
    """The bot has a successor ready, which is to be its last one."""
    fleet.defaults = {"overlap": "1h"}
    fleet.write({**BOT, "reserve": 1})
    quick(fleet, "bootstrap")
    quick(fleet, "apply", "--yes")
    fleet.write(BOT)


def ready_but_deleted(fleet: Fleet) -> None:
    """The same, and its document was deleted by hand: a promotion brings it back."""
    ready(fleet)
    (kept,) = fleet.ledger().tokens["bot"].reserve
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/{kept.path}", 1)


STORIES = (
    Story(name="bootstrap", prepare=nothing, command=("bootstrap",)),
    Story(name="derive", prepare=wanted),
    Story(name="rotate", prepare=widened),
    Story(name="move", prepare=moved),
    Story(name="revoke", prepare=removed),
    Story(name="retire", prepare=superseded),
    Story(name="leave", prepare=gone),
    Story(name="return elsewhere", prepare=back),
    Story(name="revoke what left", prepare=left),
    Story(name="take a path over", prepare=followed),
    Story(name="restore", prepare=overwritten),
    Story(name="rename", prepare=renamed),
    Story(name="rewrite", prepare=named),
    Story(name="recover", prepare=interrupted),
    Story(name="roll back", prepare=rotated, command=("rollback", "--target", "bot", "--yes")),
    Story(name="stock", prepare=short),
    Story(
        name="promote",
        prepare=ready_but_deleted,
        command=("rotate", "--target", "bot", "--compromised", "--yes"),
    ),
    Story(name="give a reserve up", prepare=ready),
    Story(
        name="compromised",
        prepare=applied,
        command=("rotate", "--target", "bot", "--compromised", "--yes"),
    ),
    Story(
        name="manager",
        prepare=applied,
        command=("rotate", "--target", "reconciler", "--compromised", "--yes"),
    ),
)


def forget_named(fleet: Fleet, told: str) -> None:
    """A person deals with what a killed bootstrap left.

    No list was asked before its derive, so nothing is inferred: it is named.
    """
    known = fleet.ledger().known_ids()
    for token in fleet.live("reconciler"):
        if token.token_id not in known:
            assert f"{token.token_id} (reconciler): probably ours" in told
            fleet.must("forget", "--token-id", token.token_id, "--yes")
            fleet.sandbox.state.revoke_by_hand(token.token_id)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_killed_after_every_effect(
    new_fleet: NewFleet, kill_server: KillServer, story: Story
) -> None:
    """The invariants hold after one more run, whichever effect was the last."""
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            story.prepare(fleet)
            killed = kill_server.killed(fleet, at, *story.command)
            if story.name == "bootstrap":
                assert fleet.quick("bootstrap") == 0, at
            done = fleet.attempt("apply", "--yes")
            assert done.code == 0, at
            if story.name == "bootstrap":
                forget_named(fleet, done.err)
            fleet.assert_whole()
            fleet.assert_quiet()
        if not killed:
            assert at > FEWEST_EFFECTS, "the story has hardly any effect"
            return
    pytest.fail("the story never came to its end")


def test_an_adoption_killed_after_every_effect_goes_on(
    fleet: Fleet, kill_server: KillServer
) -> None:
    """The same command finishes or undoes what was begun, and adopts the rest."""
    labels = [f"bot-{number}" for number in range(MOST_EFFECTS)]
    fleet.write({"label": "first"}, *({"label": label} for label in labels))
    fleet.must("bootstrap")
    (fleet.folder / "adopt.yaml").touch()
    adopt = ("adopt", "--from", "adopt.yaml", "--yes")
    for at, label in enumerate(labels, start=1):
        token = fleet.sandbox.state.derive_by_hand(label)
        place = f"by-hand/{fleet.prefix}/{label}"
        with fleet.store() as store:
            store.write(place, {"token_id": token.token_id}, secret=Secret(token.secret), cas=0)
        row = f"- label: {label}\n  vault: {fleet.mount}/{place}\n"
        (fleet.folder / "adopt.yaml").write_text(row)
        killed = kill_server.killed(fleet, at, *adopt)
        done = fleet.must(*adopt)
        assert done.last_line == "adopted 1, refused 0, not tried 0", at
        assert fleet.ledger().tokens[label].intent is None, at
        assert fleet.use(label) == token.token_id, at
        if not killed:
            assert at > FEWEST_EFFECTS, "an adoption has hardly any effect"
            return
    pytest.fail("the adoption never came to its end")


# --- what others wrote beside our fields ---


def noted(fleet: Fleet) -> None:
    """Somebody wrote a note beside the bot's secret, and the ledger knows it."""
    applied(fleet)
    found = fleet.secret("prod/bot")
    with fleet.store() as store:
        fields = {**texts_of(found), "note": "stays"}
        store.write(f"{fleet.prefix}/prod/bot", fields, secret=found.secret, cas=1)
    quick(fleet, "apply", "--yes")


def noted_and_moved(fleet: Fleet) -> None:
    """The same, and the secret is to lie elsewhere."""
    noted(fleet)
    fleet.write({**BOT, "path": "prod/other"})


@pytest.mark.parametrize(
    ("prepare", "command", "path"),
    [
        pytest.param(noted, ("rotate", "--target", "bot", "--yes"), "prod/bot", id="rotate"),
        pytest.param(noted_and_moved, ("apply", "--yes"), "prod/other", id="move"),
    ],
)
def test_fields_of_others_survive_a_crash_at_any_step(
    new_fleet: NewFleet,
    kill_server: KillServer,
    prepare: Callable[[Fleet], None],
    command: tuple[str, ...],
    path: str,
) -> None:
    """Recovered, or undone and done again: the note is beside the secret, and the
    ledger knows its name.
    """
    for at in range(1, MOST_EFFECTS):
        with new_fleet() as fleet:
            fleet.defaults = {"overlap": "1h"}
            prepare(fleet)
            killed = kill_server.killed(fleet, at, *command)
            fleet.must("apply", "--yes")
            assert fleet.secret(path).field("note") == "stays", at
            assert fleet.ledger().tokens["bot"].others == ("note",), at
            fleet.assert_quiet()
        if not killed:
            assert at > FEWEST_EFFECTS, "the story has hardly any effect"
            return
    pytest.fail("the story never came to its end")
