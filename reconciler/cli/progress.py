"""What a person sees of a run that writes: lines, a progress bar, questions, signals.

Rules this module keeps:

1. A line that can't be written (a closed pipe) stops no change.
2. The first signal lets the step in flight finish; the second ends the process at once,
   and the next run recovers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click

from reconciler.cli.console import colour_wanted, columns, complain, print_result
from reconciler.cli.session import Options, Runner, StderrEvents, open_session
from reconciler.errors import Exit, UsageError
from reconciler.escape import safe
from reconciler.plan import Change, Plan
from reconciler.protocol import Row
from reconciler.render import plan_text, row_line
from reconciler.run import Driver

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class LineProgress(StderrEvents):
    """One plain line per change on standard output, for logs.

    Each is printed at once, so that a log tells how far a killed run came.
    """

    def ended(self, row: Row) -> None:
        """Print the line of a change that came to its end."""
        self.line(row_line(row))

    def asked(self, about: Plan | str) -> bool:
        """Show what would be done, and ask. UsageError without a terminal."""
        if isinstance(about, str):
            return confirm(f"{safe(about)}. Go on?")
        if not sys.stdin.isatty():
            raise UsageError("there is no terminal to ask on: give --yes, or a reviewed --plan")
        colour = colour_wanted(terminal=sys.stderr.isatty())
        complain(plan_text(about, width=columns(), colour=colour))
        return confirm("Apply this plan?")

    def line(self, text: str) -> None:
        """Print one line, if anybody still reads (rule 1)."""
        with contextlib.suppress(OSError, ValueError):
            print_result(text)


class BarProgress(LineProgress):
    """The same lines above a progress bar."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def started(self, changes: Sequence[Change]) -> None:
        """Draw a bar for these changes, in place of an earlier one."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self.close()
        columns = (TextColumn("applying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, transient=True)
        self._task = self._progress.add_task("applying", total=len(changes))
        self._progress.start()

    def ended(self, row: Row) -> None:
        """Print the line above the bar, and move the bar."""
        super().ended(row)
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task)

    def line(self, text: str) -> None:
        """Print through rich while it draws, as plain text: a label is no markup."""
        if self._progress is None:
            super().line(text)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


@contextlib.contextmanager
def open_for_writing(options: Options) -> Iterator[Runner]:
    """Yield a session that shows its progress, and with the lease defers signals."""
    with (
        _progress() as events,
        open_session(options, events=events, signals=defer_signals) as runner,
    ):
        yield runner


@contextlib.contextmanager
def _progress() -> Iterator[LineProgress]:
    """Yield lines, with a bar where a person is looking."""
    if not sys.stdout.isatty() or os.environ.get("CI"):
        yield LineProgress()
        return
    bar = BarProgress()
    try:
        yield bar
    finally:
        bar.close()


def confirm(question: str) -> bool:
    """Ask on a terminal. UsageError if there is none: nobody could answer."""
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on: give --yes if it is meant")
    return click.confirm(question, default=False, err=True)


@contextlib.contextmanager
def defer_signals(driver: Driver) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP only ask the run to stop after the step in flight.

    A second signal ends the process at once. Signals stay deferred until the process
    ends, because what was done is still to be told.
    """

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        if driver.stopping.is_set():
            complain("stopped at once: the next run recovers")
            os._exit(Exit.PARTIAL)
        driver.stopping.set()
        complain("finishing the step in flight, then stopping; once more stops at once")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    yield
