"""Paths that go from label to label while their consumers work, on real servers."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping

import pytest

from reconciler.model import VersionState
from tests.e2e.test_names import Consumer
from tests.e2e.test_story import held
from tests.support.fleet import Fleet, KillServer, unpaced

EFFECTS_FEWEST, EFFECTS_MOST = 15, 60


def placed(paths: Mapping[str, str]) -> list[dict[str, object]]:
    """Lines of the manifest: each label with its path."""
    return [{"label": label, "path": path} for label, path in paths.items()]


@contextlib.contextmanager
def consumers(fleet: Fleet, *paths: str) -> Iterator[dict[str, Consumer]]:
    """One at each path, from before the change until after it; none of them fails."""
    with unpaced(), contextlib.ExitStack() as stack:
        found = {path: stack.enter_context(Consumer(fleet, path)) for path in paths}
        for path in paths:
            found[path].await_use(token_at(fleet, path))
        yield found
        for path in paths:
            found[path].await_use(token_at(fleet, path))
    assert [failure for one in found.values() for failure in one.failures] == []


def token_at(fleet: Fleet, path: str) -> str:
    """The id of the token whose secret lies at a path."""
    found = fleet.secret(path).field("token_id")
    assert found is not None
    return found


def labels_at(fleet: Fleet, *paths: str) -> dict[str, str | None]:
    """Whose token lies at each path, as the exchange calls it."""
    return {path: fleet.sandbox.state.token(token_at(fleet, path)).label for path in paths}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            {"ant": "a", "bee": "b"},
            {"ant": "b", "bee": "a"},
            id="a swap",
        ),
        pytest.param(
            {"ant": "a", "bee": "b", "cat": "c"},
            {"ant": "b", "bee": "c", "cat": "d"},
            id="a chain",
        ),
        pytest.param(
            {"ant": "a", "bee": "b", "cat": "c"},
            {"ant": "b", "bee": "c", "cat": "a"},
            id="a cycle",
        ),
        pytest.param(
            {"ant": "a"},
            {"bee": "a"},
            id="a successor at the path of a label that leaves",
        ),
        pytest.param(
            {"ant": "a", "bee": "b"},
            {"bee": "a", "cat": "b"},
            id="a newcomer behind one that takes a path over",
        ),
    ],
)
def test_paths_go_from_label_to_label(
    fleet: Fleet, before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """In one apply. Each path holds a working secret all the while: the one before,
    then the one that the manifest wants. What nobody uses any more goes later.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(*placed(before))
    old = {path: token_at(fleet, path) for path in before.values()}
    with consumers(fleet, *before.values()):
        fleet.write(*placed(after))
        fleet.must("apply", "--yes")
        fleet.assert_whole()
        fleet.assert_quiet()
        wanted = {path: label for label, path in after.items()}
        assert labels_at(fleet, *wanted) == wanted
        assert all(fleet.sandbox.state.token(token_id).live for token_id in old.values())
    fleet.later(hours=3)
    for path in after.values():
        fleet.use(path)
    with consumers(fleet, *after.values()):
        fleet.must("apply", "--yes")
        gone = [token_id for token_id in old.values() if fleet.sandbox.state.token(token_id).live]
        assert gone == []
        fleet.assert_whole()
        fleet.assert_quiet()


def test_who_still_holds_what_lay_at_a_path(fleet: Fleet) -> None:
    """After a swap the token that lay at a path goes once somebody uses what lies there
    now, whichever label's that is.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(*placed({"ant": "a", "bee": "b"}))
    first = {path: fleet.use(path) for path in ("a", "b")}
    fleet.later(minutes=5)
    fleet.write(*placed({"ant": "b", "bee": "a"}))
    fleet.must("apply", "--yes")
    fleet.later(hours=3)
    fleet.use("b")
    done = fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(first["b"]).live
    assert fleet.sandbox.state.token(first["a"]).live
    assert any("no consumer has used the successor yet" in line for line in held(done))
    fleet.use("a")
    fleet.must("apply", "--yes")
    assert not fleet.sandbox.state.token(first["a"]).live
    fleet.assert_quiet()


def test_a_swap_killed_after_every_effect(fleet: Fleet, kill_server: KillServer) -> None:
    """Wherever the run ends, the next one goes on, and no path was empty."""
    ways = {"ant": "a", "bee": "b"}, {"ant": "b", "bee": "a"}
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(*placed(ways[0]))
    with consumers(fleet, "a", "b"):
        for at in range(1, EFFECTS_MOST):
            way = ways[at % 2]
            fleet.write(*placed(way))
            killed = kill_server.killed(fleet, at, "apply", "--yes", "--allow-older-manifest")
            assert fleet.quick("apply", "--yes", "--allow-older-manifest") == 0
            assert labels_at(fleet, "a", "b") == {path: label for label, path in way.items()}
            if not killed:
                break
        assert EFFECTS_FEWEST < at < EFFECTS_MOST - 1
        fleet.assert_whole()
        fleet.assert_quiet()


def test_a_label_that_leaves_without_an_overlap_goes_behind_its_successor(fleet: Fleet) -> None:
    """Its token is revoked in the same apply, once the path has another secret."""
    fleet.defaults = {"overlap": "0s"}
    fleet.begin(*placed({"ant": "a"}))
    old = token_at(fleet, "a")
    fleet.later(hours=2)
    fleet.write(*placed({"bee": "a"}))
    done = fleet.must("apply", "--yes")
    assert done.last_line == "applied 2, failed 0, held 0, not tried 0"
    assert not fleet.sandbox.state.token(old).live
    assert fleet.secret("a").state is VersionState.LIVING
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_part_of_a_swap_waits(fleet: Fleet) -> None:
    """A run that is limited to one of two labels takes nothing from the other."""
    fleet.begin(*placed({"ant": "a", "bee": "b"}))
    fleet.write(*placed({"ant": "b", "bee": "a"}))
    with fleet.untouched():
        done = fleet.must("apply", "--yes", "--target", "ant")
    assert any("is that of bee" in line for line in held(done))
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_the_secret_of_a_label_that_waits_for_a_path_is_put_right(fleet: Fleet) -> None:
    """A person writes over it at the path that its consumers read meanwhile."""
    fleet.begin(*placed({"ant": "a", "bee": "b"}))
    theirs = token_at(fleet, "b")
    until = f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=10):%Y-%m-%d}"
    hold = {"hold_until": until, "hold_reason": "freeze"}
    fleet.write({"label": "ant", "path": "c", **hold}, {"label": "bee", "path": "a"})
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/b", {"note": "by hand"}, cas=fleet.secret("b").version)
    assert "restored bee" in fleet.must("apply", "--yes").out
    assert token_at(fleet, "b") == theirs
    with fleet.untouched():
        assert any("is that of ant" in line for line in held(fleet.must("apply", "--yes")))


def test_a_path_of_a_protected_label_is_not_taken(fleet: Fleet) -> None:
    """It left the manifest, and stays; a person decides, which exits with 4."""
    fleet.begin({"label": "ant", "path": "a", "protect": True})
    fleet.write(*placed({"bee": "a"}))
    with fleet.untouched():
        done = fleet.attempt("apply", "--yes", "--replace", "bee")
    assert done.code == 4
    assert "is that of ant" in done.out + done.err


def test_the_path_of_the_manager(fleet: Fleet) -> None:
    """The manager moves first: its secret signs every list."""
    fleet.begin(*placed({"ant": "a"}))
    moved = placed({"reconciler": "ops/manager", "ant": "reconciler"})
    fleet.write(tokens=moved)
    fleet.tokens = moved
    done = fleet.must("apply", "--yes")
    assert any("is that of reconciler" in line for line in held(done))
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def beside(fleet: Fleet, path: str) -> str | None:
    """What somebody wrote beside the secret at a path."""
    return fleet.secret(path).field("region")


def write_beside(fleet: Fleet, path: str, value: str) -> None:
    """Somebody writes a field of theirs beside the secret at a path."""
    found = fleet.secret(path)
    assert found.secret is not None
    with fleet.store() as store:
        fields = {**dict(found.fields or ()), "region": value}
        store.write(f"{fleet.prefix}/{path}", fields, secret=found.secret, cas=found.version)


def test_what_others_wrote_goes_along(fleet: Fleet) -> None:
    """In a swap each label takes its own along. What stands beside the secret of a
    label that leaves goes with it, and the plan says so.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(*placed({"ant": "a", "bee": "b"}))
    write_beside(fleet, "a", "of ant")
    write_beside(fleet, "b", "of bee")
    fleet.must("apply", "--yes")
    fleet.write(*placed({"ant": "b", "bee": "a"}))
    assert "ATTENTION" in fleet.must("plan").out
    fleet.must("apply", "--yes")
    assert (beside(fleet, "a"), beside(fleet, "b")) == ("of bee", "of ant")
    fleet.write(*placed({"ant": "b", "cat": "a"}))
    plan = json.loads(fleet.must("plan", "--format", "json").out)
    (row,) = [c for c in plan["changes"] if c["label"] == "cat"]
    assert row["lost_fields"] == ["region"]
    fleet.must("apply", "--yes")
    assert beside(fleet, "a") is None
    fleet.assert_whole()
    fleet.assert_quiet()


def test_no_old_secret_stays_where_a_label_comes_back(fleet: Fleet) -> None:
    """A further name goes out of the manifest while the label is at another path: back
    at the first one, that name does not keep the predecessor's secret.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin({"label": "ant", "path": "a", "fields": {"KEY": "secret"}})
    write_beside(fleet, "a", "of ant")
    fleet.must("apply", "--yes")
    for path in ("b", "a"):
        fleet.write({"label": "ant", "path": path})
        fleet.must("apply", "--yes", "--allow-older-manifest")
    assert beside(fleet, "a") == "of ant"
    assert "KEY" not in {name for name, _ in fleet.secret("a").fields or ()}
    fleet.assert_quiet()
