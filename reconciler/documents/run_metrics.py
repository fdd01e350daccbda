"""A run as metrics, by ``apply --metrics`` and ``rotate --metrics``.

    metric                         labels    value
    -----------------------------  --------  -------------------------------------------
    run_timestamp_seconds                    when the last run ended
    run_success_timestamp_seconds            when the last run ended that exited with 0
    run_exit_code                            of the last run
    run_duration_seconds                     of the last run
    run_changes                    outcome   changes of the last run that ended so
    run_api_calls                  peer      calls of the last run to such a server
    run_api_throttled              peer      calls that were answered with 429
    run_api_errors                 peer      calls with 5xx, or without an answer

Each also has the labels ``manifest`` and ``command``. Instants are by this machine's
clock, which is the one that an alert compares them with.

Rules this module keeps:

1. None of these names is one of the status, so that files of both may lie side by side.
2. The file remembers: a run replaces what it says of its own manifest and command, and
   leaves the rest as it was. A run that failed leaves the last success.
3. Of the former file only lines that this module could have written are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from reconciler.documents.prometheus import (
    PREFIX,
    Metric,
    Sample,
    count,
    labels_text,
    seconds,
)
from reconciler.errors import Exit
from reconciler.protocol import Ending, Report
from reconciler.state import word_of
from reconciler.values import value

PEERS = ("exchange", "vault")
TOO_MANY = 429
SERVER_ERROR = 500

ENDED = Metric("run_timestamp_seconds", "When the last run ended.")
SUCCEEDED = Metric(
    "run_success_timestamp_seconds", "When the last run ended that did all it had to."
)
CODE = Metric("run_exit_code", "What the last run exited with.")
DURATION = Metric("run_duration_seconds", "How long the last run took.")
CHANGES = Metric("run_changes", "Changes of the last run, by how they ended.")
CALLS = Metric("run_api_calls", "Calls of the last run, by the kind of server.")
THROTTLED = Metric("run_api_throttled", "Calls of the last run that were answered with 429.")
ERRORS = Metric("run_api_errors", "Calls of the last run with a 5xx, or without an answer.")
METRICS = (ENDED, SUCCEEDED, CODE, DURATION, CHANGES, CALLS, THROTTLED, ERRORS)

_LINE = re.compile(
    rf'{PREFIX}(?P<name>[a-z_]+)\{{(?P<labels>manifest="(?:[^"\\]|\\.)*",'
    r'command="[a-z]+"(?:,[a-z]+="[a-z_]+")?)\} (?P<value>-?[0-9]+(?:\.[0-9]+)?)'
)
_BY_NAME = {metric.name: metric for metric in METRICS}


@value
class RunMeasured:
    """A run that ended at ``ended_at_ms``, by this machine's clock.

    ``report`` is None where it ended before it had one. ``calls`` are counted by the
    kind of server and the status of the reply, None where there was no reply.
    """

    place: str
    command: str
    exit_code: int
    ended_at_ms: int
    duration_ms: int
    report: Report | None
    calls: Mapping[tuple[str, int | None], int]


def metrics_of_run(run: RunMeasured, former: str) -> list[tuple[Metric, list[Sample]]]:
    """Return all metrics with their samples; ``former`` is the file's text before."""
    own = labels_text(manifest=run.place, command=run.command)
    found: dict[Metric, list[Sample]] = {metric: [] for metric in METRICS}
    for metric, sample in _remembered(former):
        ours = sample.labels == own or sample.labels.startswith(f"{own},")
        if not ours or (metric is SUCCEEDED and run.exit_code != Exit.DONE):
            found[metric].append(sample)
    for metric, sample in _measured(run, own):
        found[metric].append(sample)
    return [(metric, sorted(samples)) for metric, samples in found.items()]


def _remembered(former: str) -> Iterator[tuple[Metric, Sample]]:
    for line in former.splitlines():
        known = _LINE.fullmatch(line)
        if known is not None and known["name"] in _BY_NAME:
            yield _BY_NAME[known["name"]], Sample(known["labels"], known["value"])


def _measured(run: RunMeasured, own: str) -> Iterator[tuple[Metric, Sample]]:
    yield ENDED, Sample(own, seconds(run.ended_at_ms))
    if run.exit_code == Exit.DONE:
        yield SUCCEEDED, Sample(own, seconds(run.ended_at_ms))
    yield CODE, Sample(own, count(run.exit_code))
    yield DURATION, Sample(own, seconds(run.duration_ms))
    ends = run.report.counts() if run.report is not None else dict.fromkeys(Ending, 0)
    for ending, number in ends.items():
        yield CHANGES, Sample(f'{own},outcome="{word_of(ending)}"', count(number))
    for peer in PEERS:
        answers = [(status, n) for (whom, status), n in run.calls.items() if whom == peer]
        labels = f'{own},peer="{peer}"'
        yield CALLS, Sample(labels, _total(n for _, n in answers))
        yield THROTTLED, Sample(labels, _total(n for s, n in answers if s == TOO_MANY))
        failed = (n for s, n in answers if s is None or s >= SERVER_ERROR)
        yield ERRORS, Sample(labels, _total(failed))


def _total(numbers: Iterable[int]) -> str:
    return count(sum(numbers))
