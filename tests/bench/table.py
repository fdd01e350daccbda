"""How a benchmark says what it measured: a plain table, each figure beside its limit
and where that comes from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

HEAD = ("what", "measured", "limit", "unit", "within", "yardstick")
RIGHT = frozenset({"measured", "limit"})


class Row(NamedTuple):
    """One figure, the smaller the better; ``yardstick`` says what its limit stands for."""

    what: str
    measured: float
    limit: float
    unit: str
    yardstick: str

    @property
    def within(self) -> bool:
        """Whether the limit holds."""
        return self.measured <= self.limit


def print_table(rows: Iterable[Row], *, file: TextIO | None = None) -> None:
    """The rows as plain text in columns, to stdout unless another stream is given."""
    table = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    for line in (table[0], ["-" * width for width in widths], *table[1:]):
        print(_line(line, widths), file=file or sys.stdout)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        f"{row.measured:,.3f}",
        f"{row.limit:,.3f}",
        row.unit,
        "yes" if row.within else "NO",
        row.yardstick,
    )


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    columns = zip(HEAD, texts, widths, strict=True)
    return "  ".join(
        text.rjust(width) if name in RIGHT else text.ljust(width) for name, text, width in columns
    ).rstrip()
