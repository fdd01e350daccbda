"""OpenBao servers with a configuration of their own: a cluster of three, and one that
asks for client certificates.

A static seal opens them by themselves, so that a server that joins or was killed needs
nobody.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac

from reconciler.demo.openbao import free_port
from tests.support.openbao import health, started

READY_S = 60.0
_POLL_S = 0.02


class Node:
    """One server; ``config`` makes its configuration out of its folder and its port
    (the next port is for the cluster).
    """

    def __init__(
        self,
        folder: Path,
        config: Callable[[Path, int], str],
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"{'http' if trust is None else 'https'}://127.0.0.1:{self.port}"
        self._trust = trust
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "server.hcl").write_text(config(folder, self.port), encoding="utf-8")

    def start(self) -> None:
        """Start it; it answers soon."""
        self._process = started(self.folder)

    @property
    def running(self) -> bool:
        """Whether it was started and not killed."""
        return self._process is not None

    def kill(self) -> None:
        """SIGKILL, and wait for its end; may be repeated."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def health(self) -> int | None:
        """Return what ``sys/health`` says; see ``tests.support.openbao.health``."""
        return health(self.port, self._trust)


def wait_until(reached: Callable[[], bool], what: str) -> None:
    """Look again and again, for a minute at most."""
    deadline_s = time.monotonic() + READY_S
    while not reached():
        assert time.monotonic() < deadline_s, f"not within {READY_S:g} s: {what}"
        time.sleep(_POLL_S)


def initialised(node: Node, **options: Any) -> str:
    """Initialise a new server; its root token, once it is active."""
    wait_until(lambda: node.health() == 501, "the server answers")
    client = hvac.Client(url=node.address, timeout=30, **options)
    reply = client.adapter.put("/v1/sys/init", json={"recovery_shares": 1, "recovery_threshold": 1})
    client.adapter.close()
    wait_until(lambda: node.health() == 200, "the server is active")
    token: str = reply["root_token"]
    return token


def static_seal(folder: Path) -> str:
    """The part of a configuration that opens the server with a key from a file."""
    key = folder / "unseal.key"
    if not key.exists():
        key.write_bytes(secrets.token_bytes(32))
    return f'seal "static" {{ current_key_id = "one"  current_key = "file://{key}" }}\n'


class Cluster:
    """Three servers that elect a leader among them."""

    def __init__(self, nodes: Sequence[Node], root_token: str) -> None:
        self.nodes = nodes
        self.root_token = root_token

    def client(self, node: Node) -> Any:
        """An hvac client as root, which echoes no index and may be stale."""
        return hvac.Client(url=node.address, token=self.root_token, timeout=30)

    def leader(self) -> Node:
        """The active one; waits for an election."""
        return self._one_that_says(200, "there is a leader")

    def standby(self) -> Node:
        """One of the others."""
        self.leader()
        return self._one_that_says(429, "there is a standby")

    def _one_that_says(self, health: int, what: str) -> Node:
        found: list[Node] = []

        def look() -> bool:
            found.extend(node for node in self.nodes if not found and node.health() == health)
            return bool(found)

        wait_until(look, what)
        return found[0]

    def restore(self) -> None:
        """Start again what was killed, and wait until there are a leader and two
        standbys.
        """
        for node in self.nodes:
            if not node.running:
                node.start()
        wait_until(
            lambda: sorted(node.health() or 0 for node in self.nodes) == [200, 429, 429],
            "the cluster is whole",
        )

    def voters(self) -> int:
        """How many take part in elections."""
        client = self.client(self.leader())
        try:
            servers = client.adapter.get("/v1/sys/storage/raft/configuration")["data"]["config"][
                "servers"
            ]
        finally:
            client.adapter.close()
        return sum(1 for server in servers if server["voter"])


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Three servers with their data on disk; all three vote."""
    seal = static_seal(folder)

    def config(of: Path, port: int) -> str:
        return seal + (
            f'storage "raft" {{ path = "{of}"  node_id = "{of.name}"  performance_multiplier = 1\n'
            '  autopilot_reconcile_interval = "200ms"  autopilot_update_interval = "200ms" }\n'
            'listener "tcp" '
            f'{{ address = "127.0.0.1:{port}"  cluster_address = "127.0.0.1:{port + 1}"  '
            "tls_disable = true }\n"
            f'api_addr = "http://127.0.0.1:{port}"\ncluster_addr = "https://127.0.0.1:{port + 1}"\n'
        )

    nodes = [Node(folder / f"node{number}", config) for number in range(3)]
    try:
        for node in nodes:
            node.start()
        one = Cluster(nodes, initialised(nodes[0]))
        client = one.client(nodes[0])
        client.adapter.post(
            "/v1/sys/storage/raft/autopilot/configuration", json={"server_stabilization_time": "1s"}
        )
        client.adapter.close()
        for node in nodes[1:]:
            join(node, nodes[0])
        wait_until(lambda: one.voters() == len(nodes), "all three vote")
        yield one
    finally:
        for node in nodes:
            node.kill()


def join(node: Node, leader: Node) -> None:
    """Make a new server part of a cluster."""
    wait_until(lambda: node.health() is not None, "the server answers")
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    try:
        body = json.dumps({"leader_api_addr": leader.address, "retry": True})
        connection.request("POST", "/v1/sys/storage/raft/join", body=body)
        assert connection.getresponse().status == 200
    finally:
        connection.close()
