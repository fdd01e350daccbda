"""Problems of a manifest: how they are made, collected and told.

Rules this module keeps:

1. All problems are told at once, sorted by file, line and column.
2. The number of problems is bounded twice: ``MAX_PROBLEMS`` are kept and told, and
   after ``MAX_ERRORS`` errors nothing is examined further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from reconciler.errors import Mark, Problem, ReconcilerError

MAX_PROBLEMS = 1_000  # nobody reads more at once
MAX_ERRORS = 10 * MAX_PROBLEMS

SEVERAL = "write several manifests, each with a prefix of its own"
"""What to do about a manifest that is too large."""

_MAX_SHOWN = 60  # characters of the manifest's text in a message


class ManifestError(ReconcilerError):
    """The manifest is refused.

    ``problems`` are all problems, warnings too, sorted by file, line and column.
    ``what`` names another document that is read by the same rules.
    """

    def __init__(
        self, problems: tuple[Problem, ...], errors: int, *, what: str = "the manifest"
    ) -> None:
        counted = "1 error - correct it" if errors == 1 else f"{errors} errors - correct them"
        super().__init__(f"{what} has {counted} and run again")
        self.problems = problems


class Problems:
    """Collects problems.

    Past ``MAX_PROBLEMS`` it keeps the errors that stand first, and counts the rest.
    """

    def __init__(self) -> None:
        self._kept: list[Problem] = []
        self._dropped = 0
        self.errors = 0

    @property
    def full(self) -> bool:
        """Whether nothing needs to be examined further."""
        return self.errors >= MAX_ERRORS

    def add(self, problem: Problem) -> None:
        """Take one problem; an error means that the manifest is refused."""
        self.errors += problem.severity == "error"
        self._kept.append(problem)
        if len(self._kept) > 4 * MAX_PROBLEMS:
            self._prune()

    def extend(self, found: Iterable[Problem]) -> None:
        """Take problems as they are found, until there are too many."""
        for problem in found:
            self.add(problem)
            if self.full:
                return

    def in_order(self) -> tuple[Problem, ...]:
        """Return what is kept in order; the last one says how many are not shown."""
        self._prune()
        kept = sorted(self._kept, key=_position)
        if self._dropped:
            more = f"and {self._dropped} more problems - correct these first"
            kept.append(dataclasses.replace(kept[-1], message=more))
        return tuple(kept)

    def _prune(self) -> None:
        # "error" sorts before "warning"
        self._kept.sort(key=lambda problem: (problem.severity, _position(problem)))
        self._dropped += len(self._kept[MAX_PROBLEMS:])
        del self._kept[MAX_PROBLEMS:]


def _position(problem: Problem) -> tuple[str, int, int, str]:
    return problem.mark.file, problem.mark.line, problem.mark.column, problem.message


def error(mark: Mark, message: str) -> Problem:
    """Return a problem for which the manifest is refused."""
    return Problem(mark=mark, message=message, severity="error")


def warning(mark: Mark, message: str) -> Problem:
    """Return a problem that leaves the manifest accepted."""
    return Problem(mark=mark, message=message, severity="warning")


def beginning(file: str) -> Mark:
    """Return the place of a problem that concerns a whole file or folder."""
    return Mark(file=file, line=1, column=1)


def quoted(text: str) -> str:
    """Return text of the manifest for a message: quoted, escaped and cut."""
    return repr(cut(text))


def cut(text: str) -> str:
    """Return text that is known to print, cut where it is long."""
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
