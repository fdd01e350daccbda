"""The sandbox is faithful to the exchange and not to our client: the exchange's own
TypeScript SDK works against it.

Another reading of the same documentation than the Python SDK's: it signs and encodes in
its own way. The SDK lives in an environment of its own (``package-lock.json``, locked
by hash). Node is not needed for anything else, so where it is missing, these tests are
skipped, except on GitHub's runners, which have it.
"""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox, SandboxConfig
from tests.adapters.sdk.expected import (
    ENCODED_IDS,
    RAW_IDS,
    assert_revocations,
    assert_the_four_operations_work,
)
from tests.e2e.test_sdk_story import fields_of
from tests.support.fleet import Fleet
from tests.support.node import node_with

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def node() -> str:
    """Return the path of Node, with the SDK installed beside the scripts."""
    return node_with(HERE)


def told(node: str, script: str, given: object) -> Any:
    """What a script that uses the SDK tells on stdout, given this on stdin."""
    done = subprocess.run(
        [node, HERE / script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_official_typescript_sdk_works_against_the_sandbox(node: str) -> None:
    """Capabilities, derive, list and revoke succeed, refusals raise the SDK's own
    errors, under the exchange's real limits.

    Without credentials it refuses by itself to list. It opens connections to loopback
    only.
    """
    assert_the_four_operations_work(
        functools.partial(told, node, "drive.mjs"),
        **{"list without credentials": ["Error", None], "hosts": ["127.0.0.1"]},
    )


def test_which_ids_the_typescript_sdk_can_revoke(node: str) -> None:
    """All that arrive: what it signs is what it sends, ``=`` and the like included."""
    assert_revocations(
        functools.partial(told, node, "revoke_with.mjs"), works=(*ENCODED_IDS, *RAW_IDS)
    )


def test_the_typescript_sdk_signs_with_what_lies_in_vault(
    node: str, tmp_path: Path, openbao: OpenBaoServer, vault_mount: str
) -> None:
    """After bootstrap, apply and a rotation, each secret signs, given only what a
    consumer reads.
    """
    with Sandbox(config=SandboxConfig(limits=False)) as sandbox:
        fleet = Fleet(tmp_path, sandbox, openbao, vault_mount)
        fleet.begin(
            {"label": "bot", "path": "prod/bot"}, {"label": "treasury", "scopes": ["withdrawal"]}
        )
        fleet.must("rotate", "--target", "treasury", "--compromised", "--yes")
        paths = ("reconciler", "prod/bot", "treasury")
        everything = sorted(token.token_id for token in sandbox.state.live())
        assert len(everything) == len(paths)
        assert told(node, "list_with.mjs", [fields_of(fleet, path) for path in paths]) == [
            everything
        ] * len(paths)
