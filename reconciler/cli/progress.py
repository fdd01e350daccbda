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
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click

from reconciler.cli import log
from reconciler.cli.asked import Options
from reconciler.cli.console import (
    colour_wanted,
    columns,
    complain,
    complain_amid,
    footed,
    print_result,
    remove_footers,
    tell,
)
from reconciler.cli.session import Runner, StderrEvents, open_session
from reconciler.errors import Exit, UsageError
from reconciler.escape import safe
from reconciler.plan import Change, Plan
from reconciler.protocol import Ending, Row
from reconciler.render import plan_text, row_line
from reconciler.run import Driver
from reconciler.state import word_of

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_BAR_COLUMNS_MAX = 40
_COLUMNS_BESIDE = 40
"""What the bar's label, count and time may take."""

_REST_CLEARED = "\x1b[K"


class LineProgress(StderrEvents):
    """One plain line per change on standard output, for logs.

    Each is printed at once, so that a log tells how far a killed run came.
    """

    def started(self, changes: Sequence[Change]) -> None:
        """Log how many changes are about to be made."""
        tell("changes_started", changes=len(changes))

    def ended(self, row: Row) -> None:
        """Print the line of a change that came to its end."""
        self.line(row_line(row))
        outcome = row.outcome
        tell(
            "change_ended",
            "error" if outcome.status is Ending.FAILED else "info",
            label=safe(row.change.label),
            action=row.change.action.value,
            reason=row.change.reason.value,
            status=word_of(outcome.status),
            token_id=outcome.token_id,
            revoked=list(outcome.revoked),
            message=safe(outcome.sentence),
        )

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


AT_ONCE_S = 0.1
"""What took less than this never began."""


class TimedProgress(LineProgress):
    """The same lines for a pipeline's log, which says what took how long.

    Behind each stands how long the changes have been running, as some run side by side.
    ``clock`` counts seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun_s = clock()
        self._changes_s: float | None = None

    def started(self, changes: Sequence[Change]) -> None:
        """Note when the first changes begin."""
        super().started(changes)
        if self._changes_s is None:
            self._changes_s = self._clock()

    def ended(self, row: Row) -> None:
        """Print the line of a change with its time."""
        since_s = self._begun_s if self._changes_s is None else self._changes_s
        self.line(f"{row_line(row)}  [{self._clock() - since_s:.1f} s]")

    def sum_up(self) -> None:
        """Print on standard error how long all of it took.

        Nothing where it was refused at once.
        """
        now_s = self._clock()
        if self._changes_s is None and now_s - self._begun_s < AT_ONCE_S:
            return
        parts = ""
        if self._changes_s is not None:
            before_s, changes_s = self._changes_s - self._begun_s, now_s - self._changes_s
            parts = f": {before_s:.1f} s before the changes, {changes_s:.1f} s for them"
        complain(f"took {now_s - self._begun_s:.1f} s{parts}")


class BarProgress(LineProgress):
    """The same lines above a progress bar, while it is a footer (``footed``)."""

    def __init__(self) -> None:
        self._bar: ProgressBar[int] | None = None

    def started(self, changes: Sequence[Change]) -> None:
        """Draw a bar for these changes, in place of an earlier one."""
        super().started(changes)
        width = max(0, min(_BAR_COLUMNS_MAX, columns() - _COLUMNS_BESIDE))
        # hidden: click would draw it in one place, and leave it there
        self._bar = click.progressbar(
            length=len(changes), label="applying", show_pos=True, width=width, hidden=True
        )
        self.show()

    def ended(self, row: Row) -> None:
        """Print the line above the bar, and move the bar."""
        super().ended(row)
        if self._bar is not None:
            self._bar.update(1)
            self.show()

    def show(self) -> None:
        """Draw the bar, if there is one."""
        if self._bar is not None:
            self._draw(self._bar.format_progress_line())

    def hide(self) -> None:
        """Remove the bar, if there is one."""
        if self._bar is not None:
            self._draw("")

    def _draw(self, text: str) -> None:
        """Put a text in place of the line that the cursor is in (rule 1).

        A signal's handler may come here amid a write, which raises RuntimeError.
        """
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            sys.stdout.write(f"\r{text}{_REST_CLEARED}")
            sys.stdout.flush()


@contextlib.contextmanager
def open_for_writing(options: Options, *, at: str | None = None) -> Iterator[Runner]:
    """Yield a session that shows its progress, and with the lease defers signals.

    ``at`` is as in ``open_session``.
    """
    with (
        _progress() as events,
        open_session(options, events=events, signals=defer_signals, at=at) as runner,
    ):
        yield runner


@contextlib.contextmanager
def _progress() -> Iterator[LineProgress]:
    """Yield lines, with a bar where a person is looking."""
    if os.environ.get("CI"):
        timed = TimedProgress()
        try:
            yield timed
        finally:
            timed.sum_up()
        return
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        yield LineProgress()
        return
    bar = BarProgress()
    with footed(bar):
        yield bar


def confirm(question: str) -> bool:
    """Ask on a terminal. UsageError if there is none: nobody could answer."""
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on: give --yes if it is meant")
    if log.current.json:
        tell("question", message=question)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}
    return click.confirm(question, default=False, err=True)


@contextlib.contextmanager
def defer_signals(driver: Driver) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP only ask the run to stop after the step in flight.

    A second signal ends the process at once. Signals stay deferred until the process
    ends, because what was done is still to be told.
    """

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        if driver.stopping.is_set():
            remove_footers()
            complain_amid("stopped at once: the next run recovers")
            os._exit(Exit.PARTIAL)
        driver.stopping.set()
        complain_amid("finishing the step in flight, then stopping; once more stops at once")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    yield
