"""Fifty rotations from the reserve, without an identity, beside the same by derive.

Both are of a fleet of their own, with the exchange's limits on, by this build: an older
one derives no faster.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox
from tests.bench.processes import Cost, median, once, program
from tests.bench.table import Row

LABELS, RUNS, TIMES = 50, 3, 0.4
ROTATE = ("rotate", "--target", "bot-*", "--yes")


def measure() -> list[Row]:
    """One figure: promotions, in pairs with rotations by derive."""
    with tempfile.TemporaryDirectory() as name, OpenBaoServer() as bao:
        pairs = [
            (rotated(Path(name) / f"derive-{run}", bao), promoted(Path(name) / f"{run}", bao))
            for run in range(RUNS)
        ]
    derives_s = statistics.median(derive.wall_s for derive, _ in pairs)
    cost = median([promotion for _, promotion in pairs])
    row = Row(
        what=f"{LABELS} rotations from the reserve, limits on",
        measured=cost.wall_s,
        limit=TIMES * derives_s,
        unit="s",
        yardstick=f"the same by derive: {derives_s:.1f} s",
        spread=cost.spread,
        against=derives_s,
    )
    return [row]


def promoted(folder: Path, bao: OpenBaoServer) -> Cost:
    """One run without an identity that promotes all."""
    with Sandbox() as sandbox:
        environ = _begun(folder, bao, sandbox, reserve=1)
        del environ["LIMITLESS_IDENTITY_TOKEN"]
        return once(program(*ROTATE), cwd=folder, environ=environ)


def rotated(folder: Path, bao: OpenBaoServer) -> Cost:
    """One run with an identity that derives all."""
    with Sandbox() as sandbox:
        environ = _begun(folder, bao, sandbox)
        return once(program(*ROTATE), cwd=folder, environ=environ)


def _begun(folder: Path, bao: OpenBaoServer, sandbox: Sandbox, **more: int) -> dict[str, str]:
    """A fleet in place, and the environment to run with."""
    folder.mkdir()
    bots = [{"label": f"bot-{number}", **more} for number in range(LABELS)]
    document = {
        "version": 1,
        "manager": "reconciler",
        "vault": {"mount": "secret", "prefix": folder.name},
        "tokens": [{"label": "reconciler"}, *bots],
    }
    (folder / "tokens.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "LIMITLESS_API_URL": sandbox.url,
        "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
        "VAULT_ADDR": bao.address,
        "VAULT_TOKEN": bao.root_token.reveal(),
    }
    once(program("bootstrap"), cwd=folder, environ=environ)
    once(program("apply", "--yes"), cwd=folder, environ=environ)
    return environ
