"""Prometheus' text format, version 0.0.4, for node_exporter's textfile collector.

    # HELP reconciler_labels How many labels stand so.
    # TYPE reconciler_labels gauge
    reconciler_labels{manifest="secret/limitless/tokens",state="ok"} 8

Rules this module keeps:

1. Everything is a gauge, and no sample has a time of its own: the collector refuses a
   file in which one has.
2. Each sample names its manifest, so that files of several manifests lie side by side.
3. A metric without a sample is left out.

The format is written here and not by a library, because the usual one loads an HTTP
server first. ``promtool check metrics`` and that library's parser judge it in tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from reconciler.escape import safe
from reconciler.model import SECOND_MS

PREFIX = "reconciler_"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metric(NamedTuple):
    """A metric: its name without the prefix, and what it measures."""

    name: str
    help: str


class Sample(NamedTuple):
    """One value of a metric; ``labels`` is what ``labels_text`` returns."""

    labels: str
    value: str


def labels_text(**labels: str) -> str:
    """Return labels in the order in which they are given, fit to print.

    A backslash is told as two, so that two texts are never told alike: a reader of the
    file refuses the whole of it where a sample is there twice.
    """
    told = {name: safe(text.replace("\\", "\\\\")) for name, text in labels.items()}
    return ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in told.items())


def count(number: int) -> str:
    """Return a number as a value."""
    return str(number)


def seconds(length_ms: int) -> str:
    """Return milliseconds as a value in seconds; for instants too."""
    whole, rest = divmod(length_ms, SECOND_MS)
    return str(whole) if not rest else str(Decimal(length_ms) / SECOND_MS)


def metrics_text(found: Iterable[tuple[Metric, Sequence[Sample]]]) -> str:
    """Return the file: each metric once, with all its samples."""
    lines = []
    for metric, samples in found:
        if not samples:
            continue
        name = f"{PREFIX}{metric.name}"
        lines.append(f"# HELP {name} {metric.help}")
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{{{sample.labels}}} {sample.value}" for sample in samples]
    return "".join(f"{line}\n" for line in lines)
