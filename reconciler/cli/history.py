"""``history``: what was done when, by which run and why."""

from __future__ import annotations

import time

from reconciler.cli.asked import Options
from reconciler.cli.console import print_result
from reconciler.cli.session import open_for_reading
from reconciler.documents import dump, history_document
from reconciler.errors import UsageError
from reconciler.manifest import parse_duration_ms
from reconciler.model import SECOND_MS, instant_ms
from reconciler.plan import meant
from reconciler.render import history_text
from reconciler.run import read_history
from reconciler.values import value


@value
class HistoryOptions(Options):
    """What ``history`` is given; ``since`` is a duration or an ISO date."""

    form: str
    label: str | None
    since: str | None


def history(options: HistoryOptions) -> None:
    """Print the events. UsageError for a label of which nothing is remembered."""
    since_ms = since_of(options.since, int(time.time() * SECOND_MS))
    with open_for_reading(options) as runner:
        found = runner.run(read_history(runner.session))
    events = found.events
    if options.label is not None:
        labels = meant(options.label, {event.label for event in events if event.label})
        if not labels:
            raise UsageError(f"--label {options.label!r}: the ledger remembers nothing of it")
        events = tuple(event for event in events if event.label in labels)
    events = tuple(event for event in events if event.at_ms >= since_ms)
    if options.form == "json":
        document = history_document(
            events,
            place=found.place,
            oldest=found.oldest,
            newest=found.newest,
            passed_over=found.passed_over,
        )
        print_result(dump(document))
    else:
        print_result(history_text(events, oldest=found.oldest, passed_over=found.passed_over))


def since_of(text: str | None, now_ms: int) -> int:
    """Return the instant that ``--since`` means. UsageError for what is none."""
    if text is None:
        return 0
    try:
        length_ms = parse_duration_ms(text)
    except ValueError:
        length_ms = None
    if length_ms is not None:
        return now_ms - length_ms
    try:
        return instant_ms(text)
    except ValueError:
        raise UsageError(
            f"--since {text!r}: write a duration such as 30d, or a date such as 2026-11-22"
        ) from None
