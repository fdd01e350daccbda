"""``apply --notify-command 'ARGV'``: a program that is told what a run did.

Rules this module keeps:

1. The program is an argument vector. It runs without a shell, within a bound, and
   without our own secrets in its environment.
2. Whatever becomes of it, the run's result stays as it is: a failure is a warning.
3. Nothing that it leaves behind is waited for, even if that holds its standard error
   open. Of what it says no more than ``HEARD_CHARS`` are kept.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading

from reconciler.cli.console import complain_of, heard_of
from reconciler.errors import UsageError
from reconciler.identity import without_secrets

TIMEOUT_S = 30.0
HEARD_CHARS = 10_000
CHUNK_BYTES = 65_536
LAST_WORDS_S = 1.0
"""How long its last words may take to arrive once it has ended."""


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
    if heard is None:
        _run(argv, report, None)
        return
    said = bytearray()
    reads, writes = os.pipe()
    listener = threading.Thread(target=_listen, args=(reads, said), daemon=True)
    listener.start()
    try:
        _run(argv, report, writes)
    finally:
        os.close(writes)
    listener.join(LAST_WORDS_S)
    for line in bytes(said).decode(errors="replace")[:HEARD_CHARS].splitlines():
        heard(line)


def _listen(reads: int, said: bytearray) -> None:
    """Keep the first of what is written, and read on: nobody waits for a full pipe."""
    with open(reads, "rb", buffering=0) as stream:
        while part := stream.read(CHUNK_BYTES):
            said += part[: max(0, HEARD_CHARS - len(said))]


def _run(argv: list[str], report: str, stderr: int | None) -> None:
    """Run the program to its end, or to the bound; a failure is a warning."""
    name = argv[0]
    try:
        process = subprocess.Popen(
            argv,
            env=without_secrets(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    except (OSError, ValueError):
        complain_of(f"warning: the notify command {name} can't be run")
        return
    try:
        process.communicate(report.encode(), timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        complain_of(f"warning: the notify command {name} took longer than {TIMEOUT_S:g} s")
        return
    if process.returncode != 0:
        complain_of(
            f"warning: the notify command {name} failed with exit code {process.returncode}"
        )
