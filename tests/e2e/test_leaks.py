"""No secret anywhere: debug logs, development mode, command lines, environments of children, files that are left.

Every other test of this folder searches what it printed and wrote as well (``Fleet.assert_no_leak``).
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest

from reconciler.sandbox import Fault, FaultKind, Garbage, Operation
from tests.support.fleet import ROOT, TIMEOUT_S, Fleet

BOT = {"label": "bot", "path": "prod/bot"}

LOUD = """
import logging
logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s %(args)s")
logging.captureWarnings(True)
"""

SPY = """
import json, os, pathlib
seen = {"environ": dict(os.environ), "commands": {}}
for place in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        seen["commands"][place.name] = (place / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        pass
pathlib.Path("seen.json").write_text(json.dumps(seen))
print(pathlib.Path("identity").read_text())
"""


def test_debug_logging_in_development_mode(fleet: Fleet) -> None:
    """With every logger at DEBUG and Python's own development mode, through good and bad replies, nothing secret is shown."""
    (fleet.folder / "sitecustomize.py").write_text(LOUD)
    environ: dict[str, str | None] = {"PYTHONPATH": f"{fleet.folder}{os.pathsep}{ROOT}", "PYTHONDEVMODE": "1"}
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.GARBAGE, operation=Operation.DERIVE, garbage=Garbage.TYPES))
    done = fleet.run("apply", "--yes", environ=environ)
    assert done.code == 5, done
    assert "httpcore" in done.err, "the logs are on"
    assert "urllib3" in done.err
    assert fleet.run("apply", "--yes", environ=environ).code == 0
    fleet.assert_whole()
    fleet.assert_no_leak()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="only Linux shows processes there")
def test_nothing_in_the_process_list(fleet: Fleet) -> None:
    """While an apply runs, no command line holds a secret, and its child, the identity command, inherits none."""
    fleet.begin()
    fleet.write(BOT)
    identity = fleet.environ.pop("LIMITLESS_IDENTITY_TOKEN")
    signer = fleet.sandbox.state.derive_by_hand("ci")
    (fleet.folder / "identity").write_text(identity)
    (fleet.folder / "spy.py").write_text(SPY)
    done = fleet.run(
        "apply",
        "--yes",
        "--identity-command",
        f"{sys.executable} spy.py",
        environ={
            "LIMITLESS_TOKEN_ID": signer.token_id,
            "LIMITLESS_TOKEN_SECRET": signer.secret,
            "LIMITLESS_IDENTITY_TOKEN": "an.old.one",
            "VAULT_SECRET_ID": "a-secret-id",
            "VAULT_ID_TOKEN": "an-id-token",
        },
    )
    assert done.code == 0, done
    fleet.environ["LIMITLESS_IDENTITY_TOKEN"] = identity
    seen = json.loads((fleet.folder / "seen.json").read_text())
    (fleet.folder / "identity").unlink()
    assert any("reconciler" in command and "apply" in command for command in seen["commands"].values())
    everything = "\n".join([*seen["commands"].values(), *seen["environ"].values()])
    assert not any(secret in everything for secret in fleet.secrets())
    for text in ("an.old.one", "a-secret-id", "an-id-token"):
        assert text not in everything
    fleet.assert_whole()


def test_nothing_in_what_a_killed_run_leaves(fleet: Fleet) -> None:
    """Killed while it has the new secret in its hands and nowhere else, it leaves no file but tokens.yaml."""
    fleet.begin()
    fleet.write(BOT)
    fleet.sandbox.faults.add(Fault(kind=FaultKind.DELAY, operation=Operation.LIST, label="bot", delay_ms=60_000))
    with fleet.running("apply", "--yes") as process:
        deadline_s = time.monotonic() + TIMEOUT_S
        while fleet.sandbox.faults.pending and time.monotonic() < deadline_s:
            time.sleep(0.01)
        process.kill()
        fleet.finish(process)
    assert len(fleet.live("bot")) == 1, "it was killed with a token in its hands"
    assert [path.name for path in fleet.folder.iterdir()] == ["tokens.yaml"]
    fleet.assert_no_leak()
    fleet.later(minutes=2)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_leak_would_be_found(fleet: Fleet) -> None:
    """The search itself works: a secret that is printed or written is found, in every form."""
    fleet.begin(BOT)
    secret = fleet.live("bot")[0].secret
    for text in (secret, f"x{secret}y"):
        fleet.outputs.append(text)
        with pytest.raises(AssertionError, match="secrets in what was printed"):
            fleet.assert_no_leak()
        fleet.outputs.pop()
    file = fleet.folder / "left.txt"
    file.write_text(dataclasses.replace(fleet.live("bot")[0], label=None).secret)
    with pytest.raises(AssertionError, match="secrets in what was printed"):
        fleet.assert_no_leak()
    file.unlink()
