"""One list for all who asked before it was sent, or needs none that is newer.

Each derive asks for two lists that the run's signer signs: one before its POST, one
after its token's first use. Lists of one signer leave 300 ms apart, so while one waits
for its turn others are asked for. What each of them needs is a list that was asked for
after a moment of its own: the one that has not left yet is such a list.

A run's first derive comes right after a look, whose list is a moment old. Who says how
old a list may be gets that one again, if nothing was changed since it left.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Asked(Generic[T]):
    """A list that is on its way to be asked, and its reply."""

    def __init__(self, key: object) -> None:
        self.key = key
        self.over = threading.Event()
        self.reply: T | None = None


class _Left(NamedTuple):
    """When a call left, and how many changes had begun or ended by then."""

    at_ms: int
    changes: int


class _Made(NamedTuple, Generic[T]):
    """A call that was answered."""

    key: object
    left: _Left
    reply: T


class Shared(Generic[T]):
    """Calls that several threads make as one, where they ask for it in time.

    ``lost`` is the reply for those who joined a call that raised. ``keeps`` says of a
    key and its reply whether that may be given again (``within_ms``).
    """

    def __init__(
        self,
        lost: T,
        *,
        keeps: Callable[[object, T], bool] = lambda *_: True,
        steady_ms: Callable[[], int],
    ) -> None:
        self._lost = lost
        self._keeps = keeps
        self._steady_ms = steady_ms
        self._lock = threading.Lock()
        self._waiting: _Asked[T] | None = None
        self._changes = self._changing = 0
        self._made: _Made[T] | None = None

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Send a change in this block: calls that left before its end are old then."""
        with self._lock:
            self._changes += 1
            self._changing += 1
        try:
            yield
        finally:
            with self._lock:
                self._changes += 1
                self._changing -= 1

    def made(self, key: object, call: Callable[[Callable[[], None]], T]) -> T:
        """Make a call of this key alone, and return its reply.

        ``call`` tells when it leaves, at each attempt.
        """
        left: list[_Left] = []

        def leave() -> None:
            left.append(_Left(self._steady_ms(), self._changes))

        reply = call(leave)
        if left and self._keeps(key, reply):
            with self._lock:
                # of several attempts an earlier one's reply may have stood
                self._made = _Made(key, left[0], reply)
        return reply

    def ask(self, key: object, call: Callable[[Callable[[], None]], T], within_ms: int = 0) -> T:
        """Return what a call of this key replies that leaves after now.

        ``call`` makes one, and tells when it leaves. With ``within_ms`` the key's last
        reply will do, where its call left so lately and nothing was changed since.
        """
        if within_ms and (made := self._recent(key, within_ms)) is not None:
            return made.reply
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
            mine.reply = self.made(key, lambda leave: call(lambda: self._leaves(mine, leave)))
            return mine.reply
        finally:
            self._left(mine)
            mine.over.set()

    def _recent(self, key: object, within_ms: int) -> _Made[T] | None:
        with self._lock:
            made, changes, changing = self._made, self._changes, self._changing
        if made is None or made.key != key or changing or made.left.changes != changes:
            return None
        return made if self._steady_ms() - made.left.at_ms <= within_ms else None

    def _leaves(self, asked: _Asked[T], leave: Callable[[], None]) -> None:
        self._left(asked)
        leave()

    def _left(self, asked: _Asked[T]) -> None:
        with self._lock:
            if self._waiting is asked:
                self._waiting = None
