"""``status`` of 1,000 labels from a snapshot, as page and metrics, against JSON."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from reconciler.documents import dump, snapshot_document
from tests.bench.processes import program, several
from tests.bench.table import Row
from tests.support.showcase import a_scene

TOKENS = 1_000
PAGE_S, PAGE_MIB, TIMES = 0.6, 60, 1.3
FORMATS = ("html", "prometheus")


def measure() -> list[Row]:
    """Three figures for each format."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {"PATH": os.environ["PATH"], "HOME": name}
        desired, seen = a_scene(TOKENS)
        (folder / "o.json").write_text(dump(snapshot_document(seen, desired)), encoding="utf-8")
        shown = ("status", "--observed", "o.json", "--format")
        json = several(program(*shown, "json"), cwd=folder, environ=environ)
        for form in FORMATS:
            cost = several(program(*shown, form), cwd=folder, environ=environ)
            what = f"status --format {form}, {TOKENS:,} tokens"
            rows += [
                Row(what, cost.wall_s, PAGE_S, "s", "", cost.spread),
                Row(
                    f"{what}, beside json",
                    cost.wall_s,
                    TIMES * json.wall_s,
                    "s",
                    f"json: {json.wall_s:.2f} s",
                    "",
                    json.wall_s,
                ),
                Row(f"{what}, memory", cost.peak_mib, PAGE_MIB, "MiB", ""),
            ]
    return rows
