"""TODO."""

from __future__ import annotations

import dataclasses
from typing import Literal

from reconciler.model import Mark

MAX_PROBLEMS = 1_000  # nobody reads more at once


MAX_ERRORS = 10 * MAX_PROBLEMS  # nothing is examined further for problems after so many


_MAX_SHOWN = 60  # characters of foreign text in a message


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong (or, as a warning, doubtful) in a manifest; as text, one line that editors and CI can jump to."""

    mark: Mark
    message: str
    severity: Literal["error", "warning"]

    def __str__(self) -> str:
        return f"{shown(self.mark)}: {self.severity}: {self.message}"


class Problems:
    """Collects problems; past ``MAX_PROBLEMS`` it keeps the errors that stand first, and counts the rest."""

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._dropped = 0
        self.errors = 0

    def error(self, mark: Mark, message: str) -> None:
        """The manifest is refused."""
        self.errors += 1
        self._add(Problem(mark=mark, message=message, severity="error"))

    def warn(self, mark: Mark, message: str) -> None:
        """The manifest is accepted all the same."""
        self._add(Problem(mark=mark, message=message, severity="warning"))

    def in_order(self) -> tuple[Problem, ...]:
        """Sorted by file, line and column; the last one says how many are not shown."""
        self._prune()
        kept = sorted(self._kept, key=_position)
        if self._dropped:
            kept.append(
                dataclasses.replace(
                    kept[-1], message=f"and {self._dropped} more problems - correct these first"
                )
            )
        return tuple(kept)

    def _add(self, problem: Problem) -> None:
        self._kept.append(problem)
        if len(self._kept) > 4 * MAX_PROBLEMS:
            self._prune()

    def _prune(self) -> None:
        self._kept.sort(
            key=lambda problem: (problem.severity, _position(problem))
        )  # "error" sorts before "warning"
        self._dropped += len(self._kept[MAX_PROBLEMS:])
        del self._kept[MAX_PROBLEMS:]


def _position(problem: Problem) -> tuple[str, int, int, str]:
    return problem.mark.file, problem.mark.line, problem.mark.column, problem.message


def shown(mark: Mark) -> str:
    """``tokens.yaml:12:7``."""
    file = mark.file if mark.file.isprintable() else repr(mark.file)[1:-1]
    return f"{file}:{mark.line}:{mark.column}"


def quoted(text: str) -> str:
    """Text of the manifest inside a message: in quotes, escaped where it would not print, and not too long."""
    return repr(cut(text))


def cut(text: str) -> str:
    """Text that is known to print, but perhaps not short."""
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
