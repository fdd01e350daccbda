"""The status as metrics, by ``status --format prometheus``.

    metric                                   labels          value
    ---------------------------------------  --------------  --------------------------
    status_timestamp_seconds                                 when all this was looked at
    check_exit_code                                          as of ``status --check``
    labels                                   state           labels that stand so
    drift                                    cause           labels that differ so
    needs_person                             kind            things that wait for one
    foreign_tokens, twin_tokens                              live tokens not ours
    lost_tokens                                              twins, probably of ours
    abandoned_derives                                        derives without an outcome
    lease_held                                               1 while a run is at work
    use_doubt_proven                                         1 if a bound is proven
    use_doubt_seconds                                        how late a use may be shown
    unattended_timestamp_seconds                             when a rotation needs a
                                                             person, by the reserve
    reserve_capped                                           labels not stocked, as a
                                                             derive ended another token
    token_state                              label, state    1
    token_age_seconds                        label           of the current token
    token_oldest_age_seconds                 label           predecessors included
    token_due_timestamp_seconds              label           when its rotation is due
    token_opens_timestamp_seconds            label           when its window opens for
                                                             the rotation that is due
    token_hold_until_timestamp_seconds       label           when its hold ends
    token_last_used_timestamp_seconds        label           by somebody but us
    token_reserve, token_reserve_wanted      label           successors that are ready
    token_unattended_timestamp_seconds       label           when a rotation needs a
                                                             person, by the reserve
    predecessors                             label           that live
    predecessors_used                        label           that somebody still uses
    predecessor_last_used_timestamp_seconds  label           the latest of theirs
    overlap_end_timestamp_seconds            label           the latest of theirs

Each also has the label ``manifest``, which is mount and prefix.

Rules this module keeps:

1. A set of labels has a bound: names from the manifest or the ledger, and words of the
   program. No token id is one, because it changes with every rotation.
2. Where a label is one of few words, each of them is there, with 0 too: a sample that
   comes and goes is missed by an alert on its change.
3. Sorted as the status is.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

from reconciler.documents.prometheus import Metric, Sample, count, labels_text, seconds
from reconciler.plan import STATES, Check, NeedKind, Reason, State, Status, TokenStatus
from reconciler.state import word_of

_DRIFT = (State.DRIFTED, State.BROKEN, State.ABSENT)
_CAUSES = tuple(reason for reason in Reason if STATES[reason] in _DRIFT)

Found = dict[Metric, list[Sample]]

OF_STATUS: tuple[tuple[Metric, Callable[[Status], str | None]], ...] = (
    (
        Metric("status_timestamp_seconds", "When this was looked at, by the exchange's clock."),
        lambda s: seconds(s.as_of_ms),
    ),
    (
        Metric("foreign_tokens", "Live tokens whose label is not ours."),
        lambda s: count(s.foreign),
    ),
    (
        Metric("twin_tokens", "Live tokens with a label of ours that we did not derive."),
        lambda s: count(len(s.twins)),
    ),
    (
        Metric("lost_tokens", "Twins that are probably ours, of an interrupted derive."),
        lambda s: count(sum(row.probably_ours for row in s.twins)),
    ),
    (
        Metric("abandoned_derives", "Derives that were given up without a known outcome."),
        lambda s: count(len(s.abandoned)),
    ),
    (
        Metric("lease_held", "Whether a run is at work."),
        lambda s: count(int(s.lease is not None)),
    ),
    (
        Metric("use_doubt_proven", "Whether it is proven how late a use may be shown."),
        lambda s: count(int(s.doubt_ms is not None)),
    ),
    (
        Metric("use_doubt_seconds", "By how much a use that the exchange shows may be late."),
        lambda s: None if s.doubt_ms is None else seconds(s.doubt_ms),
    ),
    (
        Metric(
            "unattended_timestamp_seconds",
            "Until when no rotation by age needs a person, where a reserve is wanted.",
        ),
        lambda s: None if s.unattended is None else seconds(s.unattended.at_ms),
    ),
    (
        Metric(
            "reserve_capped",
            "Labels that are not stocked, because a derive was seen to end another token.",
        ),
        lambda s: count(0 if s.capped is None else len(s.capped.labels)),
    ),
)
"""One value for each manifest; None leaves it out."""


def _oldest_age(token: TokenStatus, now_ms: int) -> str | None:
    made = [old.created_at_ms for old in token.predecessors if old.created_at_ms is not None]
    made += [token.created_at_ms] if token.created_at_ms is not None else []
    return seconds(now_ms - min(made)) if made else None


def _latest(instants: Iterable[int | None]) -> str | None:
    found = [at_ms for at_ms in instants if at_ms is not None]
    return seconds(max(found)) if found else None


OF_TOKEN: tuple[tuple[Metric, Callable[[TokenStatus, int], str | None]], ...] = (
    (
        Metric("token_age_seconds", "For how long a label's current token has been in use."),
        lambda t, _: None if t.age_ms is None else seconds(t.age_ms),
    ),
    (
        Metric("token_oldest_age_seconds", "The age of a label's oldest token that we know."),
        _oldest_age,
    ),
    (
        Metric("token_due_timestamp_seconds", "When the rotation of a label is due."),
        lambda t, _: _latest([t.due_at_ms]),
    ),
    (
        Metric(
            "token_opens_timestamp_seconds",
            "When a window of a label is open for the first time once its rotation is due.",
        ),
        lambda t, _: _latest([t.opens_at_ms]),
    ),
    (
        Metric("token_hold_until_timestamp_seconds", "When the hold of a label's rotation ends."),
        lambda t, _: _latest([t.hold_until_ms]),
    ),
    (
        Metric(
            "token_last_used_timestamp_seconds",
            "When somebody else than us was shown to use a label's current token last.",
        ),
        lambda t, _: _latest([t.last_used_at_ms]) if t.used_since_verify else None,
    ),
)
"""One value for each label; None leaves it out."""

OF_PREDECESSORS: tuple[tuple[Metric, Callable[[TokenStatus, int], str | None]], ...] = (
    (
        Metric("predecessors", "Predecessors of a label that live."),
        lambda t, _: count(sum(old.live for old in t.predecessors)),
    ),
    (
        Metric("predecessors_used", "Predecessors of a label that are held because they are used."),
        lambda t, _: count(sum(old.reason is Reason.STILL_USED for old in t.predecessors)),
    ),
    (
        Metric(
            "predecessor_last_used_timestamp_seconds",
            "When a predecessor of a label was shown to be used last.",
        ),
        lambda t, _: _latest(old.last_used_at_ms for old in t.predecessors),
    ),
    (
        Metric(
            "overlap_end_timestamp_seconds",
            "When the overlap of a label's newest predecessor ends, from when on evidence counts.",
        ),
        lambda t, _: _latest(old.not_before_ms for old in t.predecessors),
    ),
)
"""The same, of labels that have a predecessor."""

OF_RESERVE: tuple[tuple[Metric, Callable[[TokenStatus, int], str | None]], ...] = (
    (
        Metric("token_reserve", "Successors of a label that a rotation may take."),
        lambda t, _: count(sum(kept.ready for kept in t.reserve)),
    ),
    (
        Metric("token_reserve_wanted", "How many successors the manifest wants in reserve."),
        lambda t, _: count(t.reserve_wanted),
    ),
    (
        Metric(
            "token_unattended_timestamp_seconds",
            "Until when no rotation of a label by age needs a person.",
        ),
        lambda t, _: _latest([t.unattended_until_ms]),
    ),
)
"""The same, of labels that have a reserve, or are to have one."""

CHECK = Metric(
    "check_exit_code",
    "What status --check exits with: 0 well, 1 broken or overdue, 4 a person is needed.",
)
LABELS = Metric("labels", "Labels by how they stand.")
DRIFT = Metric("drift", "Labels that differ from the manifest, by cause.")
NEEDS = Metric("needs_person", "Things that only a person can do, by kind.")
STATE = Metric("token_state", "How a label stands: always 1.")


def metrics_of_status(
    statuses: Sequence[Status], check: Callable[[Sequence[Status]], Check]
) -> list[tuple[Metric, list[Sample]]]:
    """Return all metrics with their samples; ``check`` judges a status."""
    found: Found = collections.defaultdict(list)
    for status in statuses:
        manifest = labels_text(manifest=status.place)
        for metric, measure in OF_STATUS:
            _add(found, metric, manifest, measure(status))
        _add(found, CHECK, manifest, count(check([status]).exit_code))
        _add_counts(found, status, manifest)
        for token in status.tokens:
            label = f"{manifest},{labels_text(label=token.label)}"
            found[STATE].append(Sample(f'{label},state="{word_of(token.state)}"', "1"))
            for metric, measured in OF_TOKEN:
                _add(found, metric, label, measured(token, status.as_of_ms))
            for metric, measured in OF_PREDECESSORS if token.predecessors else ():
                _add(found, metric, label, measured(token, status.as_of_ms))
            for metric, measured in OF_RESERVE if token.reserve or token.reserve_wanted else ():
                _add(found, metric, label, measured(token, status.as_of_ms))
    return list(found.items())


def _add(found: Found, metric: Metric, labels: str, value: str | None) -> None:
    if value is not None:
        found[metric].append(Sample(labels, value))


def _add_counts(found: Found, status: Status, manifest: str) -> None:
    """Add what is counted by a word of ours, each word (rule 2)."""
    states = collections.Counter(token.state for token in status.tokens)
    reasons = collections.Counter(t.reason for t in status.tokens if t.state in _DRIFT)
    needs = collections.Counter(need.kind for need in status.needs)
    for state in State:
        found[LABELS].append(Sample(f'{manifest},state="{word_of(state)}"', count(states[state])))
    for cause in _CAUSES:
        found[DRIFT].append(Sample(f'{manifest},cause="{cause.value}"', count(reasons[cause])))
    for kind in NeedKind:
        found[NEEDS].append(Sample(f'{manifest},kind="{kind.value}"', count(needs[kind])))
