"""What a plan loads: it is run often, and half of its time would be imports."""

from __future__ import annotations

import subprocess
import sys

from tests.support.fleet import ROOT, TIMEOUT_S, Fleet

PROGRAM = """
import sys
from reconciler.cli import entry
code = entry.run(sys.argv[1:])
print(code, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"httpx", "hvac", "jsonschema", "pygments", "requests", "rich", "urllib3"}


def test_a_plan_with_a_token_loads_one_http_stack(fleet: Fleet) -> None:
    """It is httpcore, for both peers. What hvac brings is for logins, httpx for GitHub,
    schemas are for documents that are read.
    """
    fleet.begin({"label": "bot"})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "plan"],
        cwd=fleet.folder,
        env={**fleet.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert (code, done.stderr) == ("0", "")
    assert {"reconciler", "httpcore", "yaml"} <= set(loaded)
    assert HEAVY & set(loaded) == set()


def test_the_list_of_commands_loads_no_plan() -> None:
    """Help and version need click, and what the commands are called."""
    program = PROGRAM.replace('name.partition(".")[0]', 'name.removeprefix("reconciler.")')
    for asked in ("--version", "--help"):
        done = subprocess.run(
            [sys.executable, "-c", program, asked],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        code, *loaded = done.stdout.splitlines()[-1].split()
        assert code == "0"
        assert {"plan", "state", "run", "exchange", "vault"} & set(loaded) == set()
