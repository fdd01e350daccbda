"""One list for all who asked before it was sent.

Each derive asks for two lists that the run's signer signs: one before its POST, one
after its token's first use. Lists of one signer leave 300 ms apart, so while one waits
for its turn others are asked for. What each of them needs is a list that was asked for
after a moment of its own: the one that has not left yet is such a list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Asked(Generic[T]):
    """A list that is on its way to be asked, and its reply."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.over = threading.Event()
        self.reply: T | None = None


class Shared(Generic[T]):
    """Calls that several threads make as one, where they ask for it in time.

    ``lost`` is the reply for those who joined a call that raised.
    """

    def __init__(self, lost: T) -> None:
        self._lost = lost
        self._lock = threading.Lock()
        self._waiting: _Asked[T] | None = None

    def ask(self, key: object, call: Callable[[Callable[[], None]], T]) -> T:
        """Return what a call of this key replies that leaves after now.

        ``call`` makes one, and tells when it leaves.
        """
        with self._lock:
            joined = self._waiting
            if joined is not None and joined.key != key:
                joined = None
            if joined is None:
                mine = self._waiting = _Asked(key)
        if joined is not None:
            joined.over.wait()
            return self._lost if joined.reply is None else joined.reply
        try:
            mine.reply = call(lambda: self._left(mine))
            return mine.reply
        finally:
            self._left(mine)
            mine.over.set()

    def _left(self, asked: _Asked[T]) -> None:
        with self._lock:
            if self._waiting is asked:
                self._waiting = None
