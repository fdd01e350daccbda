"""``apply`` of 50 derives with the exchange's limits on, against the schedule that
these limits allow: without jitter on the path, and with up to 50 and 100 ms of it. With
jitter every run has to end with 0; so many are made as are asked for.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox
from tests.bench.processes import RUNS, Cost, median, once, program
from tests.bench.table import Row
from tests.support.exchange_path import ExchangePath

DERIVES, GAP_S, TIMES = 50, 0.3, 1.06
JITTERS_MS, JITTER_TIMES, JITTER_RUNS, SIDE_BY_SIDE = (50, 100), 1.35, 4, 4

NEVER = Cost(wall_s=float("inf"), peak_mib=0.0, cpu_s=0.0)


def measure(jitter_runs: int = JITTER_RUNS) -> list[Row]:
    """A figure without jitter, and one for each jitter: all of its runs must pass."""
    schedule_s = DERIVES * GAP_S
    what, rows = f"apply of {DERIVES} derives, limits on", []

    def row(what: str, costs: list[Cost], times: float, *, missed: int = 0) -> Row:
        cost = median(costs) if costs else NEVER
        return Row(
            what=what,
            measured=NEVER.wall_s if missed else cost.wall_s,
            limit=times * schedule_s,
            unit="s",
            yardstick=f"the schedule: {schedule_s:.1f} s",
            spread=cost.spread,
            against=schedule_s,
        )

    with tempfile.TemporaryDirectory() as name, OpenBaoServer() as bao:
        folder = Path(name)
        rows.append(
            row(what, [applied(folder / f"plain-{run}", bao) for run in range(RUNS)], TIMES)
        )
        for jitter_ms in JITTERS_MS:

            def run(seed: int, ms: int = jitter_ms) -> Cost | None:
                try:
                    return applied(folder / f"jitter-{ms}-{seed}", bao, jitter_ms=ms, seed=seed)
                except AssertionError as error:
                    print(error, file=sys.stderr)
                    return None

            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                costs = [cost for cost in pool.map(run, range(jitter_runs)) if cost is not None]
            told = f"{what}, {jitter_ms} ms of jitter, {len(costs)} of {jitter_runs}"
            rows.append(row(told, costs, JITTER_TIMES, missed=jitter_runs - len(costs)))
    return rows


def applied(folder: Path, bao: OpenBaoServer, *, jitter_ms: float = 0, seed: int = 0) -> Cost:
    """One apply of all derives, which must end with 0."""
    folder.mkdir()
    with Sandbox() as sandbox, _path(sandbox, jitter_ms, seed) as url:
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "LIMITLESS_API_URL": url,
            "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
            "VAULT_ADDR": bao.address,
            "VAULT_TOKEN": bao.root_token.reveal(),
        }
        _write(folder)
        once(program("bootstrap"), cwd=folder, environ=environ)
        return once(program("apply", "--yes"), cwd=folder, environ=environ)


@contextlib.contextmanager
def _path(sandbox: Sandbox, jitter_ms: float, seed: int) -> Iterator[str]:
    """The address of the exchange; without jitter nothing stands before it."""
    if not jitter_ms:
        yield sandbox.url
        return
    with ExchangePath(sandbox.url, jitter_ms=jitter_ms, seed=seed).serving() as url:
        yield url


def _write(folder: Path) -> None:
    document = {
        "version": 1,
        "manager": "reconciler",
        "vault": {"mount": "secret", "prefix": folder.name},
        "tokens": [{"label": "reconciler"}, *({"label": f"bot-{n}"} for n in range(DERIVES))],
    }
    (folder / "tokens.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
