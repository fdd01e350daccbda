"""Runs the program again and again as a process of its own that is killed with SIGKILL
after a given effect.

Each line of standard input is a JSON object: ``at`` (the number of the effect, from 1),
``arguments``, ``environ``, ``folder``, ``output`` (a file for both streams). Each line
of standard output is the process's exit status, negative for a signal.

The processes are forked from one that has everything imported, which a hundred of them
would spend most of their time on. The lease of a killed run is as good as expired at
once, so that the next run need not wait a minute for it. They don't keep the exchange's
pace either: they are for fleets whose exchange has no limits.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from typing import Any, NoReturn

from reconciler.cli import apply as writing
from reconciler.cli import entry
from reconciler.protocol import lease
from reconciler.protocol.effects import (
    DeleteVersion,
    Derive,
    Effect,
    ListTokens,
    PutLedger,
    PutSecret,
    ReadLedger,
    ReadSecret,
    Revoke,
    VerifyToken,
)
from reconciler.run.driver import Driver
from tests.support.fleet import unpaced

SHARED = (
    Derive,
    Revoke,
    PutSecret,
    PutLedger,
    DeleteVersion,
    ReadSecret,
    ReadLedger,
    VerifyToken,
    ListTokens,
)
"""What reaches a peer; the rest has parts, or reaches nobody."""
PRELOADED = (writing,)


def run(order: dict[str, Any]) -> NoReturn:
    """The program, in the forked process."""
    counter = itertools.count(1)
    perform = Driver.perform
    lease.LEASE_MS = -60_000

    wrote = False

    def counted(driver: Driver, effect: Effect[Any]) -> object:
        nonlocal wrote
        reply = perform(driver, effect)
        wrote = wrote or isinstance(effect, PutLedger)
        if wrote and isinstance(effect, SHARED) and next(counter) == order["at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    Driver.perform = counted  # type: ignore[method-assign, assignment]
    os.environ.clear()
    os.environ.update(order["environ"])
    os.chdir(order["folder"])
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    with unpaced():  # and standard input is empty: not the next order
        code = entry.run(order["arguments"])
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    """One process at a time."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


main()
