"""How long a user waits before anything happens:

``--version``, ``--help``, and ``validate`` of a large manifest.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.bench.processes import program, several
from tests.bench.table import Row

START_S = 0.06
VALIDATE_S, VALIDATE_MIB = 0.5, 60
OCTODNS_S = "octoDNS 1.22: 2.36 s for 10,000"
TOKENS = 1_000


def measure() -> list[Row]:
    """Four figures."""
    environ = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for option in ("--version", "--help"):
            cost = several(program(option), cwd=folder, environ=environ, runs=15)
            rows.append(Row(f"reconciler {option}", cost.wall_s, START_S, "s", "", cost.spread))
        (folder / "tokens.yaml").write_text(large_manifest(TOKENS), encoding="utf-8")
        cost = several(program("validate"), cwd=folder, environ=environ)
        what = f"validate, {TOKENS:,} tokens"
        rows.append(Row(what, cost.wall_s, VALIDATE_S, "s", OCTODNS_S, cost.spread))
        rows.append(
            Row(f"validate, {TOKENS:,} tokens, memory", cost.peak_mib, VALIDATE_MIB, "MiB", "")
        )
    return rows


def large_manifest(count: int) -> str:
    """A manifest of the usual shape."""
    head = (
        "version: 1\nmanager: bot-0\nvault:\n  mount: secret\n  prefix: limitless/tokens\ntokens:\n"
    )
    return head + "".join(
        f"  - label: bot-{n}\n    description: market maker {n}\n"
        f"    scopes: [trading, account_creation]\n    overlap: 2h\n    path: prod/bot-{n}\n"
        for n in range(count)
    )
