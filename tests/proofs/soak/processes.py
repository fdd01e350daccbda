"""The program as a process that can be killed, suspended and asked to stop from any
thread.

Two ways to start it: ``python -m reconciler`` as users do (``Plain``), or forked from
one that is imported already and without pauses (``Forks``), for many rounds in little
time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.support.fleet import ROOT

_POLL_S = 0.005
_END_S = 10.0
_IMPATIENT_S = 0.4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command, its surroundings, and the file for both its streams.

    ``impatient``: it gives a peer less time than a suspended one takes, so that what it
    asked for may be done late.
    """

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path
    output: Path
    impatient: bool


class Handle(Protocol):
    """What both ways have in common; ``poll`` is the exit code, None while it runs,
    negative for a signal.
    """

    def poll(self) -> int | None:
        """Whether it has ended."""

    def send_signal(self, sig: int, /) -> None:
        """Nothing happens where it has ended."""


class Way(Protocol):
    """How the program is started."""

    def start(self, order: Order) -> Handle:
        """The program as a process of its own."""


class Plain:
    """As users do, and as patient."""

    def start(self, order: Order) -> Handle:
        """See ``Way``."""
        with order.output.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "reconciler", *order.arguments],
                cwd=order.folder,
                env={"PYTHONPATH": str(ROOT), **order.environ},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class Forks:
    """A context manager: ``fork_server.py`` behind two pipes, one order at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.communicate(timeout=_END_S)

    def start(self, order: Order) -> Handle:
        """See ``Way``."""
        plain = {
            "arguments": order.arguments,
            "environ": order.environ,
            "folder": str(order.folder),
            "output": str(order.output),
            "patience_s": _IMPATIENT_S if order.impatient else None,
        }
        with self._lock:
            return _Forked(self, self._ask({"start": plain})["pid"])

    def _ask(self, order: Mapping[str, object]) -> dict[str, int]:
        server = self._server
        assert server is not None
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        answer: dict[str, int] = json.loads(server.stdout.readline())
        return answer

    def poll(self, pid: int) -> int | None:
        """See ``Handle``."""
        with self._lock:
            return self._ask({"poll": pid})["code"]


class _Forked:
    """One process of ``Forks``."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks = forks
        self._pid = pid
        self._lock = threading.Lock()
        self._code: int | None = None

    def poll(self) -> int | None:
        """See ``Handle``."""
        with self._lock:
            if self._code is None:
                self._code = self._forks.poll(self._pid)
            return self._code

    def send_signal(self, sig: int, /) -> None:
        """Its id is its own for as long as nobody has waited for it, which only
        ``poll`` does, under the same lock.
        """
        with self._lock:
            if self._code is None:
                os.kill(self._pid, sig)


@dataclasses.dataclass(slots=True)
class Run:
    """One process of the program: what it was asked, and what was done to it."""

    name: str
    arguments: tuple[str, ...]
    handle: Handle
    output: Path
    asleep: bool = False
    signals: list[signal.Signals] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and remember that."""
        self.signals.append(number)
        self.handle.send_signal(number)

    def sleep(self) -> None:
        """Suspend it until ``wake``."""
        with self.lock:
            self.asleep = True
            self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self.asleep = False
        self.signal(signal.SIGCONT)

    def nap(self, seconds: float) -> None:
        """Suspend it for a moment."""
        self.signal(signal.SIGSTOP)
        time.sleep(seconds)
        with self.lock:
            if not self.asleep:
                self.signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int | None:
        """The exit code once it has ended; None where it did not within that time, or
        sleeps.
        """
        deadline_s = time.monotonic() + seconds
        while (code := self.handle.poll()) is None and time.monotonic() < deadline_s:
            if self.asleep:
                return None
            time.sleep(_POLL_S)
        return code

    def end(self) -> None:
        """Whatever becomes of the round, no process stays behind."""
        with contextlib.suppress(OSError):
            self.handle.send_signal(signal.SIGKILL)
        deadline_s = time.monotonic() + _END_S
        while self.handle.poll() is None and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)

    def text(self) -> str:
        """What it printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")
