"""``kill_at.py N ARGUMENTS…``: the program, killed with SIGKILL right after its N-th effect on exchange or Vault.

The lease of the killed run is as good as expired at once, so that the next run need not wait a minute for it.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

from reconciler import cli
from reconciler.driver import Driver
from reconciler.effects import Effect, NewId, Now, Sleep, StopDeriving, UseSigner, WriteLedger
from reconciler.protocol import lease

INNER = (
    Now,
    NewId,
    Sleep,
    StopDeriving,
    UseSigner,
    WriteLedger,
)  # nothing of these reaches anybody (WriteLedger is made of others)


def main() -> None:
    """Count and kill."""
    last = int(sys.argv[1])
    counter = itertools.count(1)
    perform = Driver.perform
    lease.LEASE_MS = -60_000

    def counted(driver: Driver, effect: Effect[Any]) -> object:
        reply = perform(driver, effect)
        if not isinstance(effect, INNER) and next(counter) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    Driver.perform = counted  # type: ignore[method-assign, assignment]
    sys.exit(cli.run(sys.argv[2:]))


main()
