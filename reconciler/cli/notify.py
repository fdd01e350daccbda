"""``apply --notify-command 'ARGV'``: a program that is told what a run did.

Rules this module keeps:

1. The program is an argument vector. It runs without a shell, within a bound, and
   without our own secrets in its environment.
2. Whatever becomes of it, the run's result stays as it is: a failure is a warning.
3. Nothing that it leaves behind is waited for.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess

from reconciler.cli.console import complain_of, heard_of
from reconciler.errors import UsageError
from reconciler.identity import without_secrets

TIMEOUT_S = 30.0
HEARD_CHARS = 10_000


def argv_of(command: str) -> list[str]:
    """Return the program and its arguments. UsageError where there is none."""
    try:
        argv = shlex.split(command)
    except ValueError:
        argv = []
    if not argv:
        raise UsageError(
            "--notify-command needs a program and its arguments, quoted as for a shell"
        )
    return argv


def notify(argv: list[str], report: str) -> None:
    """Run the program with the report on its standard input.

    What it prints goes to our standard error, or into the log where that is JSON.
    """
    heard = heard_of("the notify command")
    name = argv[0]
    try:
        process = subprocess.Popen(
            argv,
            env=without_secrets(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if heard is None else subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError):
        complain_of(f"warning: the notify command {name} can't be run")
        return
    try:
        _, said = process.communicate(report.encode(), timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        complain_of(f"warning: the notify command {name} took longer than {TIMEOUT_S:g} s")
        return
    for line in (said or b"").decode(errors="replace")[:HEARD_CHARS].splitlines():
        if heard is not None:
            heard(line)
    if process.returncode != 0:
        complain_of(
            f"warning: the notify command {name} failed with exit code {process.returncode}"
        )
