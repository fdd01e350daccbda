"""A child process that stands still."""

from __future__ import annotations

import os
import signal


def suspend(pid: int) -> None:
    """Stop a child process, and return once it stands still.

    The signal is only sent by ``kill``: a thread of the process may do one thing more.
    """
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
