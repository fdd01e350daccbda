"""Standard output, files and colour: what every command needs of the shell, and nothing slow."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import click

from reconciler.errors import ReconcilerError
from reconciler.escape import safe

MAX_FILE_CHARS = 64 * 1024 * 1024


def colour_wanted(*, terminal: bool) -> bool:
    """NO_COLOR wins, FORCE_COLOR comes next, then whether a person is looking."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return terminal


def print_result(text: str) -> None:
    """A result, on standard output. OSError where that is closed."""
    click.echo(text, nl=not text.endswith("\n"), color=True)
    sys.stdout.flush()


def write_whole(name: str, text: str) -> None:
    """A file with all of the text or, on a full disk, the file as it was. OSError.

    A link is followed, and what is no regular file (a pipe, a device) is written into,
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
    """Take away what an earlier run wrote there, so that it can't pass for what this one writes, should it not come to that."""
    path = Path(name).resolve()
    if path.is_file():
        path.unlink()


def refuse_unwritable(name: str) -> None:
    """OSError where ``write_whole`` would fail already now; changes nothing."""
    path = Path(name).resolve()
    if path.exists():
        if not os.access(path, os.W_OK) or path.is_dir():
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)
    elif not path.parent.is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    if (path.is_file() or not path.exists()) and not os.access(path.parent, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)


def read_text(name: str) -> str:
    """A text file, within a bound. OSError; ReconcilerError where it is no text."""
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123  # a path as the user gave it
            return file.read(MAX_FILE_CHARS)
    except UnicodeDecodeError:
        raise ReconcilerError(f"{name} is not a text file") from None


def complain(text: str) -> None:
    """Text that is fit to print, on standard error, if it is still there."""
    try:
        click.echo(text, err=True)
    except OSError:
        return


def complain_of(sentence: str) -> None:
    """One line of the same, made fit to print: it may name an id, a label, a path or an argument that others chose."""
    complain(safe(sentence))
