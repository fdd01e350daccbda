"""What the ledger remembers of that with which it has parted: tokens, and places.

A path is relative: it lies below the mount and the prefix of the run. After a move
there are paths at the place that was left. Such a path is *absolute*:
``/MOUNT//PREFIX/PATH``. Two slashes end the mount, which may have single ones in its
name; no other path begins with a slash.
"""

from __future__ import annotations

from reconciler.values import value

RELEASED_MOST = 5_000
"""So many released tokens are remembered at most; the oldest go first."""


@value
class Released:
    """A token that was ours and lives on as somebody else's; see ``releasing``.

    Nobody here revokes it, and it is never taken for one whose secret was lost.
    """

    label: str
    token_id: str
    at_ms: int


@value
class Left:
    """A copy of a token's secret at a place that was left; ``path`` is absolute.

    It stays readable until its token goes: then that version is deleted first.
    """

    token_id: str
    path: str


@value
class Emptied:
    """A token whose secret is deleted before the token goes; see ``emptying``.

    ``at_ms`` is when a run had seen that it is not readable any more, None while that
    is only announced.
    """

    token_id: str
    at_ms: int | None = None


def root_of(mount: str, prefix: str) -> str:
    """Return the absolute path below which all paths of a place lie."""
    return f"/{mount}//{prefix}"


def below(root: str, path: str) -> str:
    """Return a path, relative to a place, as an absolute one."""
    return path if is_absolute(path) else f"{root}/{path}"


def is_absolute(path: str) -> bool:
    """Return whether a path names its mount and prefix itself."""
    return path.startswith("/")


def parts_of(path: str) -> tuple[str, str]:
    """Return the mount of an absolute path, and what comes after it."""
    mount, _, rest = path.removeprefix("/").partition("//")
    return mount, rest


def as_written(path: str) -> str:
    """Return an absolute path as people write it: ``MOUNT/PREFIX/PATH``."""
    return "/".join(parts_of(path))
