"""What ``status --check`` judges: is all well, is something broken, who is needed.

    what is found                                                   exit
    --------------------------------------------------------------  ------------------
    a decision, or a token that a person has to look at             4
    a rotation of what is compromised that stopped half way         4
    a derive that is to be made, or a reserve that ends within      4
    three weeks, and no identity token for it
    such a reserve that is not stocked, as another token may end    4
    a label that is broken or overdue                               1
    a snapshot that nobody has renewed for days                     1
    anything else: waiting, draining, due, drifted, in progress     0

Both 4 and 1: 4, because what a person has to do goes first; the sentence tells both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.errors import Exit
from reconciler.escape import counted
from reconciler.model import DAY_MS
from reconciler.plan.needs import NeedKind
from reconciler.plan.states import FOR_AN_APPLY, State
from reconciler.plan.status import Status
from reconciler.plan.vocabulary import SENTENCES
from reconciler.values import value

OLD_MS = 3 * DAY_MS
"""A snapshot older than this proves nothing: the job that takes it may be dead."""

SHOWN_MAX = 3
"""How many labels are named for one thing; the rest is counted."""

WRONG = (State.BROKEN, State.OVERDUE)


@value
class Check:
    """The verdict: what the process exits with, and one line that says why.

    The line may hold labels as others chose them.
    """

    exit_code: Exit
    sentence: str


def check_of(
    statuses: Sequence[Status], *, identity: bool = False, now_ms: int | None = None
) -> Check:
    """Judge how everything stands.

    ``identity`` is whether an apply would have an identity token. ``now_ms`` is this
    machine's clock, by which the age of snapshots is judged; None where everything was
    looked at just now.
    """
    kinds = [kind for kind in NeedKind if not (identity and kind is NeedKind.IDENTITY)]
    needed, wrong = [], []
    for status in statuses:
        place = f"{status.place}: " if len(statuses) > 1 else ""
        needed += [place + text for text in _needed(status, kinds)]
        wrong += [place + text for text in _wrong(status, now_ms)]
    if needed:
        told = "a person is needed: " + "; ".join([*needed, *wrong])
        return Check(exit_code=Exit.PERSON_NEEDED, sentence=told)
    if wrong:
        return Check(exit_code=Exit.ERROR, sentence="; ".join(wrong))
    return Check(exit_code=Exit.DONE, sentence=_nothing_wrong(statuses))


def _nothing_wrong(statuses: Sequence[Status]) -> str:
    """Return what is said at exit 0: an apply may still have something to change."""
    tokens = [token for status in statuses for token in status.tokens]
    labels = counted(len(tokens), "label")
    changed = [token.label for token in tokens if token.state in FOR_AN_APPLY]
    if not changed:
        return f"all is well: {labels}, none broken or overdue, and nobody is needed"
    told = f"{labels}, none broken or overdue, and nobody is needed"
    return f"{told}; {len(changed)} to be changed by an apply: {_some(changed)}"


def _needed(status: Status, kinds: Sequence[NeedKind]) -> Iterator[str]:
    for need in status.needs:
        if need.kind in kinds:
            about = [*need.labels, *need.token_ids]
            yield f"{_some(about)}: {need.sentence}" if about else need.sentence


def _wrong(status: Status, now_ms: int | None) -> Iterator[str]:
    for state in WRONG:
        found = [token for token in status.tokens if token.state is state]
        if len(found) == 1:
            yield f"{found[0].label} is {state.value}: {SENTENCES[found[0].reason]}"
        elif found:
            named = _some(token.label for token in found)
            yield f"{counted(len(found), 'label')} are {state.value}: {named}"
    if now_ms is not None and now_ms - status.as_of_ms > OLD_MS:
        yield f"what is known is {(now_ms - status.as_of_ms) // DAY_MS} days old"


def _some(names: Iterable[str]) -> str:
    found = list(names)
    more = len(found) - SHOWN_MAX
    return ", ".join(found[:SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
