"""Three servers and an election: what is written through a standby is seen, and a
leader that goes away costs nothing.

A standby of OpenBao answers from what it has got so far: asked plainly, it was stale
for 49 of 50 reads right after a write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore
from tests.adapters.vault.conftest import in_the_middle, moved
from tests.adapters.vault.servers import Cluster, cluster
from tests.support.fleet import Fleet
from tests.support.openbao import await_mount, new_mount

BOTS = [{"label": f"bot-{number}"} for number in range(6)]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster, shared by these tests: each leaves it whole."""
    with cluster(tmp_path_factory.mktemp("cluster")) as one:
        yield one


@pytest.fixture
def mount(three: Cluster) -> str:
    """A mount that all three know."""
    client = three.client(three.leader())
    try:
        name = new_mount(client)
    finally:
        client.adapter.close()
    for node in three.nodes:
        client = three.client(node)
        await_mount(client, name)
        client.adapter.close()
    return name


def test_a_standby_shows_what_was_written_through_it(three: Cluster, mount: str) -> None:
    """Fifty writes by check-and-set, each read back at once, all through a standby:
    none is refused, none is stale.
    """
    environ = {"VAULT_ADDR": three.standby().address, "VAULT_TOKEN": three.root_token}
    with SecretStore.connect(
        settings_from_environment(environ), mount=mount, read_retries=0
    ) as store:
        for number in range(50):
            assert store.write("p", {"n": str(number)}, cas=number).latest == number + 1
            found = store.read("p")
            assert (found.version, found.field("n")) == (number + 1, str(number))
            assert store.read_meta("p").latest == number + 1


def test_runs_right_after_each_other_through_a_standby(
    three: Cluster, mount: str, fleet: Fleet
) -> None:
    """A run that begins before the standby has heard of the last one sees all that it
    did, and does nothing twice.

    It looks again a moment later before it believes that nothing is there, or that the
    lease is held.
    """
    moved(fleet, three.standby().address, three.root_token, mount)
    fleet.write({"label": "bot"})
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    for _ in range(5):
        fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
        assert len(fleet.live("bot")) == 1
        calls = fleet.sandbox.state.mutating_calls
        fleet.must("apply", "--yes")
        assert fleet.sandbox.state.mutating_calls == calls
    fleet.environ["VAULT_ADDR"] = three.leader().address
    fleet.assert_whole()
    fleet.assert_quiet()


def kill_leader(three: Cluster) -> None:
    """Without a warning."""
    three.leader().kill()


def step_down(three: Cluster) -> None:
    """Ask it to let another one lead."""
    client = three.client(three.leader())
    try:
        client.adapter.put("/v1/sys/step-down")
    finally:
        client.adapter.close()


@pytest.mark.parametrize(("lose", "through"), [(kill_leader, "standby"), (step_down, "leader")])
def test_the_leader_goes_in_the_middle_of_an_apply(
    three: Cluster, mount: str, fleet: Fleet, lose: Callable[[Cluster], None], through: str
) -> None:
    """Whatever became of that run, the next one makes everything whole, and the one
    after it does nothing.
    """
    node = three.standby() if through == "standby" else three.leader()
    moved(fleet, node.address, three.root_token, mount)
    fleet.begin()
    fleet.write(*BOTS)
    with in_the_middle(fleet, 3, lambda: lose(three)):
        done = fleet.run("apply", "--yes")
    assert done.code in {0, 5}, done
    assert done.last_line.startswith("applied "), done
    three.restore()
    fleet.environ["VAULT_ADDR"] = three.leader().address
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()
