"""Files that a command reads or writes by the name that a person gave."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from reconciler.errors import ReconcilerError

MAX_FILE_CHARS = 64 * 1024 * 1024
PUBLIC = 0o644


def write_whole(name: str, text: str, *, public: bool = False) -> None:
    """Write a file with all of the text, or leave it as it was. OSError.

    A link is followed. What is no regular file (a pipe, a device) is written into,
    never replaced. With ``public`` everybody on the machine may read it, whatever the
    umask: whoever collects metrics is another user.
    """
    path = Path(name).resolve()
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                if public:
                    os.fchmod(file.fileno(), PUBLIC)
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
