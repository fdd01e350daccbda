"""A place to play: the sandbox and a real OpenBao server, left running until Ctrl-C.

``make play`` runs it. The environment that a command needs is printed as ``export``
lines for a shell; each line is quoted, so that ``eval`` may read it.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TextIO

from reconciler.demo.openbao import OpenBaoServer
from reconciler.model import DAY_MS
from reconciler.sandbox import Sandbox, SandboxConfig

_HINT = """\
# The sandbox and OpenBao run until Ctrl-C and keep everything in memory only.
# In another terminal: give the lines above to the shell, then `.venv/bin/reconciler bootstrap`.
# To move the exchange's clock 27 hours ahead, and for an identity token of that time:
#   curl -H "Authorization: Bearer $SANDBOX_CONTROL" \\
#     -d '{"shift_ms": 97200000}' $LIMITLESS_API_URL/_sandbox/clock
#   curl -H "Authorization: Bearer $SANDBOX_CONTROL" \\
#     -d '{}' $LIMITLESS_API_URL/_sandbox/identity"""


def play(stdout: TextIO, stderr: TextIO, wait: Callable[[], object]) -> None:
    """Start both servers, print the environment, and stop them when ``wait`` returns.

    The identity token lasts a day. Raise ReconcilerError where a server can't start.
    """
    config = SandboxConfig(identity_lifetime_ms=DAY_MS)
    with Sandbox(config=config) as sandbox, OpenBaoServer() as bao:
        environ = {
            "LIMITLESS_API_URL": sandbox.url,
            "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
            "VAULT_ADDR": bao.address,
            "VAULT_TOKEN": bao.root_token.reveal(),
            "SANDBOX_CONTROL": sandbox.control_token,
        }
        for name, value in environ.items():
            print(f"export {name}={shlex.quote(value)}", file=stdout, flush=True)
        print(_HINT, file=stderr, flush=True)
        wait()


def main() -> None:
    """Play until SIGINT or SIGTERM."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    play(sys.stdout, sys.stderr, ended.wait)


if __name__ == "__main__":
    main()
