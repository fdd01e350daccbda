"""What commands need of the shell: standard streams, colour and width. Light."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import click

from reconciler.cli import log
from reconciler.escape import safe

LOG_COLUMNS = 120


class Footer(Protocol):
    """What a terminal shows below the lines. Neither method fails."""

    def show(self) -> None:
        """Draw it where the cursor is."""

    def hide(self) -> None:
        """Remove it, and leave the cursor where it began."""


_footers: list[Footer] = []
_lock = threading.RLock()  # a signal's handler may print amid another line


@contextlib.contextmanager
def footed(footer: Footer) -> Iterator[None]:
    """Let lines be printed above a footer, which is removed at the end."""
    _footers.append(footer)
    try:
        yield
    finally:
        remove_footers()


def remove_footers() -> None:
    """Remove what is shown below the lines."""
    while _footers:
        _footers.pop().hide()


@contextlib.contextmanager
def _above_footers() -> Iterator[None]:
    with _lock:
        for footer in _footers:
            footer.hide()
        try:
            yield
        finally:
            for footer in _footers:
                footer.show()


def colour_wanted(*, terminal: bool) -> bool:
    """Return whether to use colour.

    NO_COLOR wins, then FORCE_COLOR, then whether it is a terminal.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return terminal


def columns() -> int:
    """Return how many columns to fill: the terminal's, or enough for a log."""
    import shutil  # noqa: PLC0415  # slow for --version

    return shutil.get_terminal_size((LOG_COLUMNS, 24)).columns


def print_result(text: str) -> None:
    """Print a result on standard output. OSError if that is closed."""
    with _above_footers():
        click.echo(text, nl=not text.endswith("\n"), color=True)
        sys.stdout.flush()


def complain(text: str, level: str | None = None) -> None:
    """Print text that is fit to print on standard error, if that is still open.

    In a log of JSON its level is the one that is given, or that its first word says.
    """
    print_raw(log.current.message(text, level) if log.current.json else text)


def print_raw(text: str) -> None:
    """Print text on standard error as it is, whatever the format of the log.

    For what a CI runner reads, which knows no other format.
    """
    with _above_footers(), contextlib.suppress(OSError):
        click.echo(text, err=True)


def complain_amid(text: str) -> None:
    """Print text on standard error from a signal's handler, if that is still open.

    It may cut in on a write to the same stream, and Python refuses a write within a
    write with RuntimeError. So this one goes past the stream.
    """
    shown = log.current.message(text) if log.current.json else text
    with _above_footers(), contextlib.suppress(AttributeError, OSError, ValueError):
        os.write(sys.stderr.fileno(), f"{shown}\n".encode())


def tell(event: str, level: str = "info", **fields: Any) -> None:
    """Log an event that people are told otherwise, or not at all (``log``)."""
    if log.current.json:
        print_raw(log.current.line(event, level, **fields))


def complain_of(sentence: str, level: str | None = None) -> None:
    """Print one line on standard error, made fit to print.

    It may hold an id, a label, a path or an argument that others chose.
    """
    complain(safe(sentence), level)


def heard_of(who: str) -> Callable[[str], None] | None:
    """Return who is told what another program writes to standard error.

    None where it may write to ours, which it may not where each line there is an event.
    """
    return (lambda line: complain_of(f"{who} says: {line}")) if log.current.json else None
