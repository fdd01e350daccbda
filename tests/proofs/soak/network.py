"""Stretches of network that can be cut:

TCP between the program and its peers, and the script of what happens when.

Rules this module keeps:

1. Every piece of data that arrives, in either direction, is an event with a number,
   from 1, over all lines of a ``Traffic``. What the script says of a number is done
   before the data is passed on: a process can be killed between request and reply.
2. Data is passed on whole or not at all. Of a request only the method is looked at: the
   first one that changes something begins a count of its own, because what goes wrong
   while a run only looks is the lesser half.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PIECE_BYTES = 65_536
_CHANGING = (b"POST ", b"PUT ", b"DELETE ")
_HEADS = (*_CHANGING, b"GET ", b"LIST ", b"PATCH ")
_TURNED_AWAY = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
    b"Retry-After: 1\r\nConnection: close\r\nContent-Length: 57\r\n\r\n"
    b'{"errors": ["request path: rate limit quota exceeded"]}\r\n'
)


class Direction(enum.Enum):
    """Where a piece of data goes."""

    REQUEST = "request"
    REPLY = "reply"


class Fate(enum.Enum):
    """What becomes of it."""

    PASSED = "passed on"
    LOST = "lost, and the connection reset"


Act = Callable[[str, Direction], Fate]
"""Told which line the event is on; it may take its time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """The n-th event of all, or since the first request that changes something (that
    one included).
    """

    number: int
    since_change: bool


class Traffic:
    """Counts the events of all lines, and does what the script says at a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._script: dict[Moment, Act] = {}
        self._count = 0
        self._since_change = 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many events there were since the script was set: of all, and since the
        first change.
        """
        with self._lock:
            return self._count, self._since_change

    def play(self, script: Mapping[Moment, Act]) -> None:
        """Begin to count anew, with this script."""
        with self._lock:
            self._script, self._count, self._since_change = dict(script), 0, 0

    def happen(self, line: str, direction: Direction, piece: bytes) -> Fate:
        """One more event; its fate.

        Where two things are to happen at once, the first of them decides that.
        """
        with self._lock:
            self._count += 1
            if self._since_change or (
                direction is Direction.REQUEST and piece.startswith(_CHANGING)
            ):
                self._since_change += 1
            moments = (
                Moment(self._count, since_change=False),
                Moment(self._since_change, since_change=True),
            )
            acts = [
                act for moment in moments if (act := self._script.pop(moment, None)) is not None
            ]
        fates = [act(line, direction) for act in acts]
        return fates[0] if fates else Fate.PASSED


class Line:
    """A TCP proxy on loopback in front of ``upstream`` (a port; None: nobody is there).

    A context manager. ``jitter_s``: each piece is late by anything up to that.
    """

    def __init__(self, name: str, traffic: Traffic, upstream: int | None) -> None:
        self.name = name
        self.upstream = upstream
        self.jitter_s = 0.0
        self._busy_until_s = 0.0
        self._traffic = traffic
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, name=f"line to {name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            left = tuple(self._open)
        for end in left:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def turn_away(self, seconds: float) -> None:
        """Answer requests as a quota does, for so long; none of them is passed on."""
        self._busy_until_s = time.monotonic() + seconds

    def calm(self) -> None:
        """Be quick and willing again."""
        self.jitter_s = self._busy_until_s = 0.0

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(near,), name=f"call of {self.name}", daemon=True
            ).start()

    def _serve(self, near: socket.socket) -> None:
        """One connection, until either end closes it or an event cuts it."""
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = self._connected()
        if far is None:
            _reset(near)
            return
        with self._lock:
            self._open |= {near, far}
        replies = threading.Thread(
            target=self._pump, args=(far, near, Direction.REPLY), daemon=True
        )
        replies.start()
        self._pump(near, far, Direction.REQUEST)
        replies.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _connected(self) -> socket.socket | None:
        if self.upstream is None:
            return None
        try:
            far = socket.create_connection(("127.0.0.1", self.upstream), timeout=5)
        except OSError:
            return None
        far.settimeout(None)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return far

    def _pump(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        """One direction. What ends it ends the other one as well."""
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                if self._traffic.happen(self.name, direction, piece) is Fate.LOST:
                    near = source if direction is Direction.REQUEST else sink
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    break
                is_request = direction is Direction.REQUEST and piece.startswith(_HEADS)
                if is_request and time.monotonic() < self._busy_until_s:
                    source.sendall(_TURNED_AWAY)
                    break
                if self.jitter_s:
                    time.sleep(random.uniform(0.0, self.jitter_s))  # noqa: S311  # no secret
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.close()


def cut(_line: str, _direction: Direction) -> Fate:
    """The piece is lost: a request that was not done, or a reply whose work was."""
    return Fate.LOST


def delay(seconds: float) -> Act:
    """The piece is late."""

    def act(_line: str, _direction: Direction) -> Fate:
        time.sleep(seconds)
        return Fate.PASSED

    return act
