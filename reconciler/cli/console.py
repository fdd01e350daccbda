"""What commands need of the shell: standard output, colour and width. Light."""

from __future__ import annotations

import os
import sys

import click

from reconciler.escape import safe

LOG_COLUMNS = 120


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
    click.echo(text, nl=not text.endswith("\n"), color=True)
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print text that is fit to print on standard error, if that is still open."""
    try:
        click.echo(text, err=True)
    except OSError:
        return


def complain_of(sentence: str) -> None:
    """Print one line on standard error, made fit to print.

    It may hold an id, a label, a path or an argument that others chose.
    """
    complain(safe(sentence))
