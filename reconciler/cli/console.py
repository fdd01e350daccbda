"""What commands need of the shell: standard output, files and colour. Light."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import click

from reconciler.errors import ReconcilerError
from reconciler.escape import safe

MAX_FILE_CHARS = 64 * 1024 * 1024

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


def write_whole(name: str, text: str) -> None:
    """Write a file with all of the text, or leave it as it was. OSError.

    A link is followed. What is no regular file (a pipe, a device) is written into,
    never replaced.
    """
    path = Path(name).resolve()
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None


def clear(name: str) -> None:
    """Delete an old report before the run starts.

    Otherwise a crash could leave it behind as if it were this run's.
    """
    path = Path(name).resolve()
    if path.is_file():
        path.unlink()


def refuse_unwritable(name: str) -> None:
    """Raise OSError if ``write_whole`` would fail already now; change nothing."""
    path = Path(name).resolve()
    if path.exists():
        if not os.access(path, os.W_OK) or path.is_dir():
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)
    elif not path.parent.is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    if (path.is_file() or not path.exists()) and not os.access(path.parent, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)


def read_text(name: str) -> str:
    """Return a text file, up to ``MAX_FILE_CHARS``.

    OSError if it can't be read, ReconcilerError if it is no text.
    """
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123  # a path as the user gave it
            return file.read(MAX_FILE_CHARS)
    except UnicodeDecodeError:
        raise ReconcilerError(f"{name} is not a text file") from None


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
