"""Adopt many: a list of live tokens, each with the place where its secret lies today.

    stage    what happens                                  it ends where
    -------  --------------------------------------------  -----------------------------
    propose  only for a folder of Vault: read each place,  none has a token of a label
             keep those whose id lives under a label
    prove    look; read each secret, and let it sign once  one row is refused (nothing
                                                           is written); a dry run; all
                                                           are ours already
    begin    ask a person, take the lease                  another run holds it (6)
    recover  finish or undo rows that a killed run began   -
    write    look again; one row after the other           the lease is lost
    report   what became of each row                       always

A row is

    the ledger says                            then it is
    -----------------------------------------  -----------------------------------------
    the label's current token has the id       adopted, already
    an open adoption of the id, by a run that  proven, then finished or undone, then
    is over                                    adopted
    it is in the label's reserve               refused: it is adopted alone, because
                                               its use has to be recorded before it
                                               signs
    another token, or another open intent      refused
    nothing                                    proven, then adopted

Rules this module keeps:

1. Every secret is proven by a signature before anything is written for any of them.
2. One lease for all; each row has its own intent, so a killed run goes on.
3. A row that fails after the first write stops no other one.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from functools import partial

from reconciler.errors import Exit, ReconcilerError
from reconciler.model import Credentials, LiveToken, StoredPair, ToAdopt
from reconciler.protocol import (
    Ending,
    Listing,
    ReadDesk,
    Recovery,
    Step,
    VerifyToken,
    recover_intent,
    why_unproven,
)
from reconciler.run.adopt import GRACE_MS, Proven, adoptable, kept_in, write_adopted
from reconciler.run.effects import Ask, ListPlaces, ReadHalt, ReadPair, Say, Stage, Then, Together
from reconciler.run.lease import LEASE_LOST, take_lease, under_lease
from reconciler.run.newest import note_adopted
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.state import Intent, IntentKind, Ledger, Observed, doubt_of
from reconciler.values import value

LANES = 8
PLACES_MOST = 5_000
UNFINISHED = "some rows are not adopted: run again, it goes on where this run stopped"


class Verdict(enum.Enum):
    """What became of a row. ``PROVEN``: it would be adopted."""

    ADOPTED = "adopted"
    PROVEN = "proven"
    REFUSED = "refused"
    NOT_TRIED = "not tried"


@value
class AdoptRow:
    """A row of the list and what became of it; ``sentence`` says why, or how."""

    asked: ToAdopt
    verdict: Verdict
    token_id: str | None = None
    sentence: str = ""


@value
class AdoptReport:
    """All rows, in the order of the list. ``sentence`` says what is left to do."""

    rows: tuple[AdoptRow, ...]
    exit_code: Exit = Exit.DONE
    sentence: str = ""

    def count(self, *verdicts: Verdict) -> int:
        """Return how many rows have one of these verdicts."""
        return sum(1 for row in self.rows if row.verdict in verdicts)


@value
class Adoption:
    """How rows are adopted.

    ``other_label``: a token may have another label at the exchange. ``dry_run``: it
    ends once all are proven. ``ask``: a person has to agree first. For ``grace_ms``
    age is no reason to rotate them.
    """

    session: Session
    other_label: bool = False
    dry_run: bool = False
    ask: bool = True
    grace_ms: int = GRACE_MS


@value
class _Proof:
    """A row with the pair that signed, if it is still to be adopted."""

    row: AdoptRow
    pair: Credentials | None = None


def adopt_folder(
    adoption: Adoption, folder: str, token_id_field: str, secret_field: str
) -> Stage[AdoptReport]:
    """Adopt the tokens whose ids lie at and below a folder of Vault.

    ReconcilerError where there is none; else as ``adopt_list``.
    """
    observed = yield from look_only(adoption.session)
    places = yield from ListPlaces(folder=folder, limit=PLACES_MOST + 1)
    if not isinstance(places, tuple):
        raise ReconcilerError(places.sentence)
    if len(places) > PLACES_MOST:
        raise ReconcilerError(f"more than {PLACES_MOST:,} secrets lie below {folder}: name a part")
    ours = f"{adoption.session.manifest.place}/"
    asked = [
        ToAdopt(label="", place=p, token_id_field=token_id_field, secret_field=secret_field)
        for p in places
        if not f"{p}/".startswith(ours)
    ]
    steps = tuple(partial(_read, row) for row in asked)
    pairs = yield from Together(steps=steps, width=LANES)
    rows = yield from _matched(
        adoption.session, observed, folder, list(zip(asked, pairs, strict=True))
    )
    return Then(stage=adopt_list, arguments=(adoption, rows))


def _matched(
    session: Session,
    observed: Observed,
    folder: str,
    found: list[tuple[ToAdopt, StoredPair | str]],
) -> Step[tuple[ToAdopt, ...]]:
    """Return a row for each label whose live token has its id at a place, by label."""
    labels, known = {spec.label for spec in session.manifest.tokens}, observed.ledger.known_ids()
    live = observed.live_by_id()
    rows: dict[str, ToAdopt] = {}
    for asked, pair in found:
        if isinstance(pair, str):
            yield from Say(sentence=f"note: {asked.place} is passed over: {pair}")
            continue
        token = live.get(pair.token_id or "")
        if token is None:
            continue
        label = known.get(token.token_id, token.label or "")
        if label not in labels:
            said = f"holds {token.token_id}, whose label {label!r} the manifest does not have"
            yield from Say(sentence=f"note: {asked.place} {said}")
        elif label in rows:
            said = f"is passed over: {rows[label].place} has a token of {label} as well"
            yield from Say(sentence=f"note: {asked.place} {said}")
        else:
            rows[label] = dataclasses.replace(asked, label=label)
    recorded = {label for label, entry in observed.ledger.tokens.items() if entry.current}
    missing = sorted(labels - rows.keys() - recorded)
    if missing:
        yield from Say(
            sentence=f"note: no place below {folder} has a token of {', '.join(missing)}"
        )
    if not rows:
        raise ReconcilerError(
            f"no secret below {folder} has the id of a live token of the manifest: check the "
            "folder, and the names of the fields"
        )
    return tuple(rows[label] for label in sorted(rows))


def adopt_list(adoption: Adoption, asked: tuple[ToAdopt, ...]) -> Stage[AdoptReport]:
    """Adopt the tokens of a list, or none of them where one can't be proven.

    Raises UsageError, PersonNeededError, ReconcilerError before a write.
    """
    session = adoption.session
    observed = yield from look_only(session)
    refuse_ending(observed)
    steps = tuple(partial(_proof, adoption, observed, row) for row in asked)
    proofs = _each_once((yield from Together(steps=steps, width=LANES)))
    todo = [proof for proof in proofs if proof.pair is not None]
    if any(proof.row.verdict is Verdict.REFUSED for proof in proofs):
        rows = (_untried(p.row) if p.pair is not None else p.row for p in proofs)
        sentence = "nothing was written: correct the rows that are refused, and run again"
        return AdoptReport(rows=tuple(rows), exit_code=Exit.ERROR, sentence=sentence)
    if adoption.dry_run or not todo:
        return AdoptReport(rows=tuple(proof.row for proof in proofs))
    labels = ", ".join(proof.row.asked.label for proof in todo)
    if adoption.ask and not (yield from Ask(about=f"adopt {len(todo)}: {labels}")):
        raise ReconcilerError("not agreed to: nothing was done")
    yield from take_lease(session, observed.ledger, observed.ledger_version, changes=len(todo))
    return Then(stage=under_lease, arguments=(_recover, adoption, proofs))


def _untried(row: AdoptRow) -> AdoptRow:
    return dataclasses.replace(row, verdict=Verdict.NOT_TRIED)


# --- proofs ---


def _read(asked: ToAdopt) -> Step[StoredPair | str]:
    """Return what lies at a row's place, or why it can't be read."""
    found = yield from ReadPair(
        place=asked.place, token_id_field=asked.token_id_field, secret_field=asked.secret_field
    )
    return found if isinstance(found, StoredPair) else found.sentence


def _proof(adoption: Adoption, observed: Observed, asked: ToAdopt) -> Step[_Proof]:
    """Return the row with its pair, proven by a signature; or why it is refused."""
    if f"{asked.place}/".startswith(f"{adoption.session.manifest.place}/"):
        return _refused(asked, f"{asked.place} lies among our own secrets: name another place")
    found = yield from _read(asked)
    if isinstance(found, str):
        return _refused(asked, found)
    token_id = asked.token_id or found.token_id
    if token_id is None:
        return _refused(asked, f"{asked.place} has no field of the name given for the id")
    if _is_ours(observed.ledger, asked.label, token_id):
        row = AdoptRow(
            asked=asked, verdict=Verdict.ADOPTED, token_id=token_id, sentence="ours already"
        )
        return _Proof(row=row)
    if found.secret is None:
        return _refused(asked, f"{asked.place} has no field of the name given for the secret")
    try:
        _live(adoption, observed, asked, token_id)
    except ReconcilerError as error:
        return _refused(asked, str(error), token_id)
    pair = Credentials(token_id=token_id, secret=found.secret)
    listing = yield from VerifyToken(credentials=pair)
    if not isinstance(listing, Listing):
        return _refused(asked, why_unproven(f"the secret at {asked.place}", listing))
    if listing.find(token_id) is None:
        return _refused(asked, "the list that the token signed does not have it", token_id)
    return _Proof(row=AdoptRow(asked=asked, verdict=Verdict.PROVEN, token_id=token_id), pair=pair)


def _refused(asked: ToAdopt, sentence: str, token_id: str | None = None) -> _Proof:
    row = AdoptRow(asked=asked, verdict=Verdict.REFUSED, token_id=token_id, sentence=sentence)
    return _Proof(row=row)


def _is_ours(ledger: Ledger, label: str, token_id: str) -> bool:
    entry = ledger.tokens.get(label)
    current = entry.current if entry is not None else None
    return current is not None and current.token_id == token_id


def _begun(ledger: Ledger, label: str, token_id: str | None) -> Intent | None:
    """Return the open adoption of this token by a run that is over, if there is one."""
    entry = ledger.tokens.get(label)
    intent = entry.intent if entry is not None else None
    if intent is None or intent.kind is not IntentKind.ADOPT or intent.token_id != token_id:
        return None
    return intent


def _live(
    adoption: Adoption, observed: Observed, asked: ToAdopt, token_id: str
) -> LiveToken | None:
    """Return the live token of a row; None where a killed run began it.

    ReconcilerError where it can't be adopted.
    """
    if _begun(observed.ledger, asked.label, token_id) is not None:
        return None
    spec = adoption.session.spec(asked.label)
    if kept_in(observed.ledger, asked.label, token_id) is not None:
        raise ReconcilerError(
            f"{token_id} is in the reserve of {asked.label}: adopt it alone, "
            f"`reconciler adopt --label {asked.label} --token-id {token_id}`"
        )
    return adoptable(adoption.session, observed, spec, token_id, other_label=adoption.other_label)


def _each_once(proofs: tuple[_Proof, ...]) -> tuple[_Proof, ...]:
    """Refuse rows that turned out to be the same token."""
    times = collections.Counter(p.row.token_id for p in proofs if p.row.token_id is not None)
    return tuple(
        _refused(
            p.row.asked, f"{p.row.token_id} is the token of another row as well", p.row.token_id
        )
        if p.row.token_id is not None and times[p.row.token_id] > 1
        else p
        for p in proofs
    )


# --- under the lease ---


def _recover(adoption: Adoption, proofs: tuple[_Proof, ...]) -> Stage[AdoptReport]:
    """Finish or undo the rows that a killed run began."""
    for proof in proofs:
        ledger, asked = (yield from ReadDesk()).ledger, proof.row.asked
        if proof.pair is None or _begun(ledger, asked.label, proof.row.token_id) is None:
            continue
        spec = adoption.session.spec(asked.label)
        task = Recovery(
            label=spec.label, overlap_ms=spec.overlap_ms, doubt_ms=doubt_of(ledger.uses)
        )
        yield from recover_intent(task, ledger)
    return Then(stage=_look_again, arguments=(adoption, proofs))


def _look_again(adoption: Adoption, proofs: tuple[_Proof, ...]) -> Stage[AdoptReport]:
    observed = yield from look_only(adoption.session)
    yield from note_adopted(adoption.session, observed)
    return Then(stage=_write, arguments=(adoption, observed, proofs, ()))


def _write(
    adoption: Adoption, observed: Observed, proofs: tuple[_Proof, ...], done: tuple[AdoptRow, ...]
) -> Stage[AdoptReport]:
    """Adopt the first of the proofs that are left."""
    if not proofs:
        return (yield from _report(done))
    first, rest = proofs[0], proofs[1:]
    row = first.row
    if first.pair is not None:
        why = (yield from ReadHalt()).why
        if (yield from ReadDesk()).lost:
            why = LEASE_LOST
        if why is not None:
            row = dataclasses.replace(row, verdict=Verdict.NOT_TRIED, sentence=why)
        else:
            row = yield from _adopted(adoption, observed, row, first.pair)
    return Then(stage=_write, arguments=(adoption, observed, rest, (*done, row)))


def _adopted(
    adoption: Adoption, observed: Observed, row: AdoptRow, pair: Credentials
) -> Step[AdoptRow]:
    if _is_ours(observed.ledger, row.asked.label, pair.token_id):
        return dataclasses.replace(row, verdict=Verdict.ADOPTED, sentence="begun by an earlier run")
    try:
        live = _live(adoption, observed, row.asked, pair.token_id)
    except ReconcilerError as error:
        return dataclasses.replace(row, verdict=Verdict.REFUSED, sentence=str(error))
    if live is None:
        said = "an earlier run began it, and it can't be finished yet: run again"
        return dataclasses.replace(row, verdict=Verdict.REFUSED, sentence=said)
    spec = adoption.session.spec(row.asked.label)
    proven = Proven(spec=spec, credentials=pair, live=live, grace_ms=adoption.grace_ms)
    outcome = yield from write_adopted(adoption.session, observed, proven)
    if outcome.status is Ending.APPLIED:
        return dataclasses.replace(row, verdict=Verdict.ADOPTED)
    return dataclasses.replace(row, verdict=Verdict.REFUSED, sentence=outcome.sentence)


def _report(rows: tuple[AdoptRow, ...]) -> Step[AdoptReport]:
    if all(row.verdict is Verdict.ADOPTED for row in rows):
        return AdoptReport(rows=rows)
    if (yield from ReadDesk()).lost:
        return AdoptReport(rows=rows, exit_code=Exit.LEASE_HELD, sentence=LEASE_LOST)
    return AdoptReport(rows=rows, exit_code=Exit.PARTIAL, sentence=UNFINISHED)
