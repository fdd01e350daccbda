"""The files of a manifest: which they are, what they hold, how the ledger names them.

Rules this module keeps:

1. The result depends on the content of the files. It is the same for every order and
   every spelling in which they were named.
2. Only regular files are read, so reading waits neither for a pipe nor for a device.
3. A link leads out of no folder: not from the working folder for a relative name, else
   not from the folder that the name is in. The name may come from a pull request, and
   the text of any file of the machine would stand in its errors.
4. All files of a manifest together have one bound in bytes and one in values.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from reconciler.manifest.problems import SEVERAL, Problems, beginning, error
from reconciler.manifest.strict_yaml import Node, UnreadableError, compose
from reconciler.model import MAX_LABELS

MAX_BYTES = 10 * 1024 * 1024
"""1,000 tokens whose keys are all as long as the schema lets them be have 9 MiB."""

MAX_FILES = MAX_LABELS  # one for each label


def list_files(paths: Sequence[Path], problems: Problems) -> list[Path]:
    """Return the files that make up the manifest, sorted.

    A folder stands for the ``*.yaml`` and ``*.yml`` directly in it. A folder that can't
    be read or holds none of these is a problem.
    """
    files: list[Path] = []
    for path in paths:
        if not _is_folder(path):
            files.append(path)
            continue
        try:
            entries = [entry for entry in path.iterdir() if _is_manifest_name(entry.name)]
        except OSError as failure:
            problems.add(
                error(
                    beginning(str(path)),
                    f"the folder can't be read ({failure.strerror}) - check its permissions",
                )
            )
            continue
        if not entries:
            problems.add(
                error(beginning(str(path)), "no *.yaml file in this folder - check the path")
            )
        files.extend(entries)
    if len(files) > MAX_FILES:
        problems.add(
            error(
                beginning(str(paths[0])),
                f"{len(files)} files, and at most {MAX_FILES} make a manifest - check the path",
            )
        )
    return sorted(files)[:MAX_FILES]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, for example: reading the file tells why
        return False


def _is_manifest_name(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and not name.startswith(".")


def read_files(files: Sequence[Path], problems: Problems) -> list[Node]:
    """Return the documents of those files that can be read, in the order of the files.

    A file that can't be read, and one that is there by two names, is a problem.
    """
    roots: list[Node] = []
    seen: dict[tuple[int, int], str] = {}
    counter = itertools.count(1)
    left = MAX_BYTES
    for path in files:
        file = str(path)
        try:
            data, identity = _read(path, left)
            if identity in seen:
                problems.add(
                    error(
                        beginning(file),
                        f"the same file as {beginning(seen[identity])} - name it once",
                    )
                )
                continue
            seen[identity] = file
            left -= len(data)
            roots.append(compose(file, data, problems, counter))
        except UnreadableError as failure:
            problems.add(error(failure.mark, str(failure)))
    return roots


def _read(path: Path, most: int) -> tuple[bytes, tuple[int, int]]:
    """Return the bytes of a regular file, and its device and inode.

    UnreadableError where there is no such file, it is another kind of file, it has more
    than ``most`` bytes, or the system refuses.
    """
    mark = beginning(str(path))
    try:
        # opening a pipe without a writer must not wait
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UnreadableError(
            mark, "there is no such file - check the path, or write one with `reconciler init`"
        ) from None
    except (OSError, ValueError) as failure:  # ValueError: a NUL in the path
        raise UnreadableError(mark, _why_unreadable(failure)) from None
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            what = "not a regular file - a manifest is a file, or a folder with *.yaml files in it"
            raise UnreadableError(mark, what)
        if _leads_out(path):
            what = "a link that leads out of its folder - put the file itself there"
            raise UnreadableError(mark, what)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = b"" if info.st_size > most else stream.read(most + 1)
    except OSError as failure:
        raise UnreadableError(mark, _why_unreadable(failure)) from None
    finally:
        os.close(handle)
    if max(info.st_size, len(data)) > most:  # it may have grown, or keep its size to itself
        raise UnreadableError(
            mark,
            f"larger than {MAX_BYTES // 1024**2} MiB, the most that is read of all files"
            f" - {SEVERAL}, or check the path",
        )
    return data, (info.st_dev, info.st_ino)


def _leads_out(path: Path) -> bool:
    """Return whether the file lies elsewhere than its name says (rule 3)."""
    is_below = not path.is_absolute() and not os.path.normpath(path).startswith(os.pardir)
    folder = os.path.realpath(Path() if is_below else path.parent)
    return not Path(os.path.realpath(path)).is_relative_to(folder)


def _why_unreadable(failure: OSError | ValueError) -> str:
    if isinstance(failure, PermissionError):
        return "it may not be read - check its permissions"
    reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else failure
    return f"it can't be read ({reason}) - check the path"


def ledger_names(files: Sequence[Path], problems: Problems) -> tuple[str, ...]:
    """Return the files relative to the folder that holds them all, with slashes.

    The names are the same wherever the program is run. A name that does not print is a
    problem, because people read the ledger.
    """
    # normpath, not resolve: a mounted ConfigMap's files are links into a folder that
    # changes its name with every update.
    paths = [Path("/" + os.path.normpath(path.absolute()).lstrip("/")) for path in files]
    base = os.path.commonpath([path.parent for path in paths])
    names = [path.relative_to(base).as_posix() for path in paths]
    for name, file in zip(names, files, strict=True):
        if not name.isprintable():
            problems.add(
                error(
                    beginning(str(file)),
                    "the file's name holds characters that do not print - rename it",
                )
            )
    return tuple(sorted(names))
