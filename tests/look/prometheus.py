"""A real Prometheus that scrapes a node_exporter, which reads files of metrics.

They come from Debian's or Ubuntu's packages (``monitoring/fetch.sh``). Each listens on
loopback only, on a port that was free, and ends with its test.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

BIN = Path(__file__).with_name("monitoring") / "bin"
PATIENCE_S = 60


def tool(name: str) -> str:
    """The path of a program of Prometheus. Without it the test is skipped; on GitHub's
    runners, which have apt, it fails.
    """
    if not (BIN / "ready").exists():
        missing = f"{name} is missing at {BIN}: `make look` fetches it, if apt can"
        if os.environ.get("GITHUB_ACTIONS") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return str(BIN / name)


def promtool(*arguments: str | Path, text: str = "") -> str:
    """What promtool says, which must find nothing wrong."""
    done = subprocess.run(
        [tool("promtool"), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def asked(url: str) -> Any:
    """The JSON of a reply, of a refusal too; None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310  # our own server
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.load(error)
    except OSError:
        return None


def wait_for(what: Callable[[], Any]) -> Any:
    """The first answer that is something."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError("nothing came")


@contextlib.contextmanager
def serving(argv: list[str], log: Path) -> Iterator[None]:
    """A server that ends with the test."""
    with log.open("w") as out, subprocess.Popen(argv, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def prometheus(folder: Path, textfiles: Path, rules: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes a node_exporter that reads the files."""
    node, port = free_port(), free_port()
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{node}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    exporter = [
        tool("node_exporter"),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={textfiles}",
        f"--web.listen-address=127.0.0.1:{node}",
    ]
    server = [
        tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with serving(exporter, folder / "exporter.log"), serving(server, folder / "prometheus.log"):
        yield f"http://127.0.0.1:{port}"


def query(address: str, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers; an expression that it does not understand fails."""
    asks = urllib.parse.urlencode({"query": expression})
    reply = asked(f"{address}/api/v1/query?{asks}")
    assert reply is None or reply["status"] == "success", (expression, reply)
    found: list[dict[str, Any]] = reply["data"]["result"] if reply is not None else []
    return found
