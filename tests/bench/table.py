"""How a benchmark says what it measured: a plain table, each figure beside its limit
and where that comes from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

HEAD = ("what", "measured", "spread", "ratio", "limit", "unit", "within", "yardstick")
RIGHT = frozenset({"measured", "limit", "base", "this", "ratio"})
"""The columns of figures, which stand to the right."""


class Row(NamedTuple):
    """One figure, the smaller the better; ``yardstick`` says where its limit is
    from.

    ``spread`` has the least and the most of the runs. ``against`` is the figure that
    the limit is a multiple of, where there is one.
    """

    what: str
    measured: float
    limit: float
    unit: str
    yardstick: str
    spread: str = ""
    against: float | None = None

    @property
    def ratio(self) -> str:
        """The figure as a multiple of what it is held against."""
        return "" if self.against is None else f"{self.measured / self.against:.3f}"

    @property
    def within(self) -> bool:
        """Whether the limit holds."""
        return self.measured <= self.limit


def print_table(rows: Iterable[Row], *, file: TextIO | None = None) -> None:
    """Print the rows, to standard output unless another stream is given."""
    print_columns(HEAD, [_cells(row) for row in rows], file=file)


def print_columns(
    head: Sequence[str], lines: Iterable[Sequence[str]], *, file: TextIO | None = None
) -> None:
    """Print a heading and lines of as many cells, in columns."""
    table = [head, *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    for line in (head, ["-" * width for width in widths], *table[1:]):
        cells = (
            text.rjust(width) if name in RIGHT else text.ljust(width)
            for name, text, width in zip(head, line, widths, strict=True)
        )
        print("  ".join(cells).rstrip(), file=file or sys.stdout)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        f"{row.measured:,.3f}",
        row.spread,
        row.ratio,
        f"{row.limit:,.3f}",
        row.unit,
        "yes" if row.within else "NO",
        row.yardstick,
    )
