"""Forks the program from a process that has everything imported; see
``processes.Forks``.

Each line of standard input is a JSON object, each line of standard output the answer:

    {"start": {"arguments": …, "environ": …, "folder": …, "output": …,
               "patience_s": …}}                                          {"pid": …}
    {"poll": pid}                                                        {"code": …}

The code is null while the process runs, and negative for a signal.

The forked program does not pause between requests, and gives a peer ``patience_s``
(null: what it gives by itself): the same steps in a tenth of the time. What it does is
otherwise the command line's own; the sandbox must not enforce the exchange's limits. A
process is waited for only when it is asked about, so that its id stays its own until
then.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, NoReturn

from reconciler.cli import apply as writing
from reconciler.cli import entry
from reconciler.exchange.client import TokenClient
from reconciler.vault.store import SecretStore
from tests.support.fleet import unpaced

PRELOADED = (writing,)
HELD_UP = (signal.SIGINT, signal.SIGTERM)


def run(order: dict[str, Any]) -> NoReturn:
    """The program, in the forked process."""
    os.environ.clear()
    os.environ.update(order["environ"])
    os.chdir(order["folder"])
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    patience_s = order["patience_s"]
    if patience_s is not None:
        SecretStore.connect.__func__.__kwdefaults__["timeouts_s"] = (patience_s, patience_s)  # type: ignore[attr-defined]
        TokenClient.__init__.__kwdefaults__["timeout_s"] = patience_s  # type: ignore[index]
    sys.argv = ["reconciler", *order["arguments"]]
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_UP)
        with unpaced():
            entry.main()
    except (
        KeyboardInterrupt
    ):  # between here and the program's own handling, where a real one is still being imported
        os._exit(1)
    os._exit(70)


def poll(pid: int) -> int | None:
    """The exit code of a process that has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def main() -> None:
    """Answer until standard input ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_UP)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            pid = os.fork()
            if pid == 0:
                run(order["start"])
            print(json.dumps({"pid": pid}), flush=True)
        else:
            print(json.dumps({"code": poll(order["poll"])}), flush=True)


main()
