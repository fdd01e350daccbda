"""``apply --metrics FILE``: what became of a run, for node_exporter's collector.

Rules this module keeps:

1. Every end of a run is written, a refusal and an error too. Where no manifest can be
   read, so that nobody knows whose run it was, the file stays as it was.
2. What can't be written is a warning. It never changes the run's result.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from reconciler.cli.calls import calls_counted
from reconciler.cli.console import complain_of
from reconciler.cli.files import refuse_unwritable, write_whole
from reconciler.documents import RunMeasured, metrics_of_run, metrics_text
from reconciler.errors import Exit, ReconcilerError
from reconciler.model import SECOND_MS
from reconciler.protocol import Report

FORMER_CHARS = 1024 * 1024


class Measure:
    """What is learnt of a run on its way; ``place`` is mount and prefix."""

    def __init__(self) -> None:
        self.place: str | None = None
        self.report: Report | None = None


@contextlib.contextmanager
def run_measured(file: str | None, command: str, place: Callable[[], str]) -> Iterator[Measure]:
    """Measure a run, and write its metrics to the file when it ends, if there is one.

    ``place`` finds the manifest's mount and prefix where the run ended before it was
    known; it may raise ReconcilerError. OSError if the file can't be written already
    now.
    """
    measure = Measure()
    if file is None:
        yield measure
        return
    refuse_unwritable(file)
    began_s = time.monotonic()
    code: int = Exit.ERROR
    with calls_counted() as counts:
        try:
            yield measure
            code = Exit.DONE
        except click.exceptions.Exit as error:
            code = error.exit_code
            raise
        except ReconcilerError as error:
            code = error.exit_code
            raise
        finally:
            with contextlib.suppress(ReconcilerError, OSError):
                measure.place = measure.place or place()
            if measure.place is not None:
                run = RunMeasured(
                    place=measure.place,
                    command=command,
                    exit_code=code,
                    ended_at_ms=int(time.time() * SECOND_MS),
                    duration_ms=int((time.monotonic() - began_s) * SECOND_MS),
                    report=measure.report,
                    calls=counts,
                )
                _write(file, run)


def _write(file: str, run: RunMeasured) -> None:
    try:
        write_whole(file, metrics_text(metrics_of_run(run, _former(file))), public=True)
    except OSError as error:
        complain_of(f"warning: the metrics could not be written: {error.strerror}: {file}")


def _former(file: str) -> str:
    """Return what the file holds by now; nothing where it can't be read."""
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as found:
            return found.read(FORMER_CHARS)
    except OSError:
        return ""
