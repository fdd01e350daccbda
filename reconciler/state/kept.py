"""A successor that is kept ready: the ledger's row of a reserve.

Its secret lies in a document of its own, ``_reserve/<operation_id>``, which has one
version. Names that begin with ``_`` are no label's path, so no consumer reads there.
``stocking`` has the steps of the ledger about it.
"""

from __future__ import annotations

import dataclasses
import re

from reconciler.model import VersionId
from reconciler.state.codec import LEFT_OUT
from reconciler.values import value

RESERVE_FOLDER = "_reserve"
"""The folder below the prefix in which all reserves lie."""


def reserve_path(operation_id: str) -> str:
    """Return where the secret of the reserve lies that an operation made."""
    return f"{RESERVE_FOLDER}/{operation_id}"


def is_reserve_path(path: str) -> bool:
    """Return whether a path is that of a reserve's document."""
    return path.startswith(f"{RESERVE_FOLDER}/")


def as_told(sentence: str) -> str:
    """Return a sentence in which each reserve's document is ``_reserve/*``.

    Its name is an operation id, and those are told to nobody: with one somebody who may
    write a path could forge a commit.
    """
    return _DOCUMENT.sub(f"{RESERVE_FOLDER}/*", sentence)


def told_path(path: str) -> str:
    """Return a path as plans show it: of a reserve's document only the folder."""
    head, found, _ = f"/{path}".rpartition(f"/{RESERVE_FOLDER}/")
    return f"{head}/{RESERVE_FOLDER}".removeprefix("/") if found else path


_DOCUMENT = re.compile(rf"\b{RESERVE_FOLDER}/[0-9A-Za-z._-]*[0-9A-Za-z_-]")


@value
class Reserve:
    """A live token that nobody uses yet: it becomes its label's current one.

    ``operation_id`` is the stocking's and names its document. ``scopes`` are those that
    were asked for, and granted. ``version_created_at_ms`` is the time of the document's
    version 1. ``verified_at_ms``, ``own_use_until_ms``, ``fresh``, ``asked_label`` and
    ``missing_since_ms`` are as in ``Current``. ``lost``: a promotion did not find the
    secret in the document. ``written`` are the paths to which a
    promotion that was not recorded may have written it. ``wrong_at`` is the version of
    the label's path that has its id beside a secret that did not sign.
    """

    token_id: str
    live_label: str
    operation_id: str
    created_at_ms: int
    scopes: tuple[str, ...]
    verified_at_ms: int
    version_created_at_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    own_use_until_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    fresh: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    lost: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    missing_since_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    asked_label: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    written: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    wrong_at: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)

    @property
    def path(self) -> str:
        """Where its secret lies."""
        return reserve_path(self.operation_id)

    @property
    def version_id(self) -> VersionId:
        """Which version of its document holds it: always the first."""
        return VersionId(1, self.version_created_at_ms)

    @property
    def ours_until_ms(self) -> int:
        """A use up to this instant may be our own."""
        return max(self.verified_at_ms, self.own_use_until_ms or 0)
