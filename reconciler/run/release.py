"""Release: stop managing labels, or all of them, without a revocation.

    stage    what happens                                      it ends where
    -------  ------------------------------------------------  -------------------------
    release  look, say what would be released, ask a person    it is refused; all of it
                                                               is released already
    begin    take the lease                                    another run holds it (6)
    write    look again, find the same, one write of the       it changed meanwhile
             ledger for all labels and ids

What becomes of a label's tokens stands in ``reconciler.state.releasing``. What is left
over is treated so:

    there is                                   then
    -----------------------------------------  -----------------------------------------
    an open intent, a revocation whose DELETE  refused: an apply finishes or undoes it
    the exchange has not answered, a fence's
    empty document
    a revocation that waits for a list         ``--label``: it stays recorded, and is
                                               named; ``--all``: refused, because nobody
                                               would look at it again
    an abandoned attempt of the label          it stays remembered; live tokens that may
                                               come from it are named
    the manager, alone                         refused: it signs for all others
    a label that is still in the manifest      released, and said: the next plan asks
                                               about it

Rules this module keeps:

1. Neither the exchange nor a secret is written to. The document of a reserve stays,
   and is named with its place: nobody else knows it afterwards.
2. One write of the ledger releases everything, so no crash leaves a part of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.errors import ReconcilerError, UsageError
from reconciler.plan import Action, plan
from reconciler.run.effects import Ask, Stage, Then
from reconciler.run.lease import holding_lease, record
from reconciler.run.reads import read_ledger
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.state import Ledger, Observed, held_ids, lost_in, release_labels
from reconciler.values import value


@value
class ReleasedToken:
    """A token that lives on as somebody else's.

    ``place`` is where its secret lies, None for a predecessor. ``reserve``: it was kept
    ready, in a document of its own.
    """

    label: str
    token_id: str
    place: str | None
    reserve: bool = False


@value
class ReleaseReport:
    """What was released, or would be; ``notes`` say what is left to a person."""

    labels: tuple[str, ...] = ()
    tokens: tuple[ReleasedToken, ...] = ()
    notes: tuple[str, ...] = ()


def stop_managing(
    session: Session, wanted: tuple[str, ...], *, everything: bool, ask: bool
) -> Stage[ReleaseReport]:
    """Release these labels, or everything; with ``ask`` a person has to agree first.

    UsageError for a label that the ledger never knew. ReconcilerError before a write,
    PartialError after it.
    """
    if everything:
        ledger, _ = yield from read_ledger()
        if ledger is not None and not ledger.tokens:
            return ReleaseReport()  # and nobody is left who could sign a list
    observed = yield from look_only(session)
    refuse_ending(observed)
    found = find_release(session, observed, wanted, everything=everything)
    if not found.labels:
        return found
    if ask and not (yield from Ask(about=_question(found))):
        raise ReconcilerError("not agreed to: nothing was done")
    begin = session, observed.ledger, observed.ledger_version, _look_again
    return Then(stage=holding_lease, arguments=(*begin, session, wanted, everything, found))


def _look_again(
    session: Session,
    wanted: tuple[str, ...],
    everything: bool,  # noqa: FBT001  # an argument of a stage
    found: ReleaseReport,
) -> Stage[ReleaseReport]:
    observed = yield from look_only(session)
    again = find_release(session, observed, wanted, everything=everything)
    if again.tokens != found.tokens:
        raise ReconcilerError(f"{', '.join(found.labels)} changed meanwhile: look again")
    yield from record(release_labels(again.labels, at_ms=observed.now_ms))
    return again


def find_release(
    session: Session, observed: Observed, wanted: tuple[str, ...], *, everything: bool
) -> ReleaseReport:
    """Return what a release would do. UsageError, ReconcilerError where it can't be."""
    ledger = observed.ledger
    labels = tuple(sorted(ledger.tokens)) if everything else _known(ledger, wanted)
    if not everything:
        _refuse_manager(session, observed, labels)
    _refuse_unfinished(session, observed, labels)
    tokens = [token for label in labels for token in _tokens(ledger, label, session.manifest.place)]
    notes = tuple(_notes(session, observed, labels, everything=everything))
    return ReleaseReport(labels=labels, tokens=tuple(tokens), notes=notes)


def _tokens(ledger: Ledger, label: str, place: str) -> Iterable[ReleasedToken]:
    """Yield what a label lets go: its current token, predecessors, and the reserve."""
    entry = ledger.tokens[label]
    current = None if entry.current is None else entry.current.token_id
    kept = {row.token_id: f"{place}/{row.path}" for row in entry.reserve}
    places = {**kept} if current is None else {**kept, current: f"{place}/{entry.path}"}
    for token_id in held_ids(entry):
        yield ReleasedToken(
            label=label, token_id=token_id, place=places.get(token_id), reserve=token_id in kept
        )


def _known(ledger: Ledger, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels that are still to be released. UsageError for others."""
    released = {row.label for row in ledger.released}
    for label in wanted:
        if label not in ledger.tokens and label not in released:
            raise UsageError(f"{label!r}: the ledger has no such label: nothing is to be released")
    return tuple(sorted({label for label in wanted if label in ledger.tokens}))


def _refuse_manager(session: Session, observed: Observed, labels: tuple[str, ...]) -> None:
    """Raise ReconcilerError for the label whose token signs list and revoke."""
    for label in labels:
        current = observed.ledger.tokens[label].current
        signs = current is not None and current.token_id == observed.signer_id
        if signs or label == session.manifest.manager:
            raise ReconcilerError(
                f"{label} is the manager, which signs for all other labels: name another "
                "manager in the manifest first, or release everything with --all"
            )


def unfinished(session: Session, observed: Observed, labels: Iterable[str]) -> list[str]:
    """Return those of the labels for which a run has left something to finish."""
    rows = plan(
        session.manifest,
        observed,
        now_ms=observed.now_ms,
        policy=session.policy,
        run=session.run,
    ).changes
    entries = observed.ledger.tokens
    begun = {row.label for row in rows if row.action is Action.RECOVER}
    begun |= {label for label, entry in entries.items() if entry.intent is not None}
    return sorted(begun.intersection(labels))


def _refuse_unfinished(session: Session, observed: Observed, labels: Iterable[str]) -> None:
    begun = unfinished(session, observed, labels)
    if begun:
        raise ReconcilerError(
            f"something was begun for {', '.join(begun)} and is not finished: run "
            "`reconciler apply` first, which finishes or undoes it, and release then"
        )


def _notes(
    session: Session, observed: Observed, labels: tuple[str, ...], *, everything: bool
) -> Iterable[str]:
    ledger = observed.ledger
    going = {label: ledger.tokens[label].revoking for label in labels}
    waits = [f"{row.token_id} of {label}" for label, rows in going.items() for row in rows]
    if waits and everything:
        raise ReconcilerError(
            f"the exchange has agreed to revoke {', '.join(waits)}, and no list proves yet that "
            "it is gone: run `reconciler apply` again within an hour or later, and release then"
        )
    if waits:
        yield f"still to be confirmed as revoked by a later apply: {', '.join(waits)}"
    lost_of = lost_in(ledger)
    lost = [
        f"{token.token_id} ({token.label})"
        for token in observed.live
        if lost_of(token) is not None and (everything or token.label in labels)
    ]
    if lost:
        yield (
            "not released, because it may come from a derive whose answer was lost: "
            f"{', '.join(lost)}; revoke it at the exchange, or `reconciler forget` it"
        )
    left = [spec.label for spec in session.manifest.tokens if spec.label in labels]
    if left and not everything:
        yield (
            f"still in the manifest: {', '.join(left)}; take the line out, else the next plan "
            "asks about it, and derives a new token where its path is free"
        )


def _question(found: ReleaseReport) -> str:
    ids = ", ".join(f"{token.token_id} ({token.label})" for token in found.tokens)
    said = f"release {', '.join(found.labels)}, whose tokens live on: {ids}"
    return "; ".join([said, *found.notes])
