"""``apply`` of 50 derives with the exchange's limits on, against the schedule that
these limits allow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox
from tests.bench.processes import RUNS, median, once, program
from tests.bench.table import Row

DERIVES, GAP_S, TIMES = 50, 0.3, 1.1


def measure() -> list[Row]:
    """One figure: the identity asks for its capabilities, then derives, each call 300
    ms after the one before.
    """
    schedule_s = DERIVES * GAP_S
    with tempfile.TemporaryDirectory() as name, OpenBaoServer() as bao:
        costs = []
        for run in range(RUNS):
            with Sandbox() as sandbox:
                folder = Path(name) / str(run)
                folder.mkdir()
                environ = {
                    "PATH": "/usr/bin:/bin",
                    "HOME": name,
                    "LIMITLESS_API_URL": sandbox.url,
                    "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
                    "VAULT_ADDR": bao.address,
                    "VAULT_TOKEN": bao.root_token.reveal(),
                }
                _write(folder, run)
                once(program("bootstrap"), cwd=folder, environ=environ)
                costs.append(once(program("apply", "--yes"), cwd=folder, environ=environ))
    wall_s = median(costs).wall_s
    return [
        Row(
            f"apply of {DERIVES} derives, limits on",
            wall_s,
            TIMES * schedule_s,
            "s",
            f"the schedule: {schedule_s:.1f} s",
        )
    ]


def _write(folder: Path, run: int) -> None:
    document = {
        "version": 1,
        "manager": "reconciler",
        "vault": {"mount": "secret", "prefix": f"run-{run}"},
        "tokens": [{"label": "reconciler"}, *({"label": f"bot-{n}"} for n in range(DERIVES))],
    }
    (folder / "tokens.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
