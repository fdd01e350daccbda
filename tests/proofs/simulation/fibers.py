"""Generators that can be copied: a fiber remembers what made it and every reply, and is
made again where it was copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.protocol.effects import Effect, Step


class Fiber:
    """A step on its way.

    While it has not ``ended``, ``effect`` is what it asks for; afterwards ``result`` is
    its end.

    ``make`` must make an equal step each time. A ReconcilerError that the step raises
    is its result.
    """

    __slots__ = ("_make", "_replies", "_step", "effect", "ended", "result")

    def __init__(self, make: Callable[[], Step[Any]]) -> None:
        self._make = make
        self._replies: tuple[object, ...] = ()
        self._step: Step[Any] | None = make()
        self.effect: Effect[Any] | None = None
        self.ended = False
        self.result: Any = None
        self._advance(self._step, None)

    def clone(self) -> Fiber:
        """An independent copy; it is made again when it is sent its next reply."""
        twin = object.__new__(Fiber)
        twin._make = self._make
        twin._replies = self._replies
        twin._step = None
        twin.effect = self.effect
        twin.ended = self.ended
        twin.result = self.result
        return twin

    def send(self, reply: object) -> None:
        """Answer ``effect``."""
        assert not self.ended
        step = self._step
        if step is None:
            step = self._step = self._make()
            step.send(None)
            for earlier in self._replies:
                step.send(earlier)
        self._replies = (*self._replies, reply)
        self._advance(step, reply)

    def _advance(self, step: Step[Any], reply: object) -> None:
        try:
            self.effect = step.send(reply)
        except StopIteration as end:
            self.effect, self.ended, self.result = None, True, end.value
        except ReconcilerError as error:
            self.effect, self.ended, self.result = None, True, error
