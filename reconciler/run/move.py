"""Move: ledger and secrets go to another place, the one that the manifest names by now.

The run's own place is the old one; paths of the new one are absolute.

    stage     what happens                                    it ends where
    --------  ----------------------------------------------  --------------------------
    move      look at both ledgers, and whether all can go    it has moved already; it
              and has room; ask a person                      can't be moved
    begin     take the lease of the old ledger                another run holds it (6)
    announce  look again; the new ledger says that a move     there is another ledger;
              is arriving                                     it changed meanwhile
    seal      look at each path of the new place; the old     a path is occupied
              ledger says ``moved_to``
    carry     each current secret, and each reserve's, is     somebody else writes there
              written at the new place, where it is not       (5)
              there yet; then the new ledger is valid

    old ledger        new ledger                       then the move
    ----------------  -------------------------------  ---------------------------------
    valid             none, or one that has moved to   announces, seals, carries,
                      the old place before             arrives
    valid             arriving from here               seals, carries, arrives
    moved here        arriving from here               carries, arrives
    moved here        valid, and the same              is done
    moved here        deleted, or none                 is refused: it was valid perhaps
    moved elsewhere   any                              is refused, with that place
    valid             valid, and the same              is refused: one was put back
    any               another's, or of another move    is refused

Rules this module keeps:

1. The old ledger is sealed before the new one is valid (``reconciler.state.moving``).
2. What could stop the move is looked at before the seal. After it, the same command
   goes on, whoever runs it; the lease of the old ledger lets one do so at a time.
3. Every write is check-and-set, and means the same when it is repeated. Nothing at the
   old place is written but its ledger, and nothing is deleted there.
4. A secret that is not ours is never written over: ours has the operation id of its
   source, or lies where an earlier move has left it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial

from reconciler.errors import PartialError, ReconcilerError, UsageError, VaultError
from reconciler.model import SecretMeta, SecretVersion, VersionId, VersionState
from reconciler.protocol import ReadDesk, Step, UseSigner, VerifyToken
from reconciler.run.carry import (
    Source,
    Target,
    carry,
    look_at,
    put_until_there,
    source_of,
    source_of_reserve,
)
from reconciler.run.effects import Ask, ReadHalt, ReadSigner, Stage, Then, Together
from reconciler.run.lease import record, take_lease, under_lease
from reconciler.run.listing import refuse_wrong_exchange
from reconciler.run.observe import manager_signer
from reconciler.run.reads import READERS, read_any_ledger, read_secret, refuse_moved
from reconciler.run.release import unfinished
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.state import (
    LEDGER_FIELD,
    LEDGER_NAME,
    MAX_ENTRY_BYTES,
    NOT_CARRIED,
    Ledger,
    arrived,
    arriving,
    below,
    from_text,
    ledger_end,
    root_of,
    seal,
    text_bytes,
    to_text,
)
from reconciler.values import value

GOES_ON = "`reconciler move` again goes on"


@value
class MoveReport:
    """Which labels' secrets are at the new place, and which were lost on the way.

    ``reserves`` and ``lost_reserves`` are tokens that are kept ready, each with its
    label. ``did``: this run has moved them; else they had moved before.
    """

    moved: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    reserves: tuple[tuple[str, str], ...] = ()
    lost_reserves: tuple[tuple[str, str], ...] = ()
    did: bool = False


@value
class Origin:
    """Where ledger and secrets lie that are to be moved."""

    mount: str
    prefix: str

    @property
    def place(self) -> str:
        """The place as people write it: ``MOUNT/PREFIX``."""
        return f"{self.mount}/{self.prefix}"

    @property
    def root(self) -> str:
        """The same as the beginning of absolute paths."""
        return root_of(self.mount, self.prefix)

    def session(self, session: Session) -> Session:
        """Return the session as if the manifest still named this place."""
        manifest = dataclasses.replace(session.manifest, mount=self.mount, prefix=self.prefix)
        return dataclasses.replace(session, manifest=manifest)


@value
class _Survey:
    """Both ledgers: ``there`` is the new place's document, ``new`` what it says."""

    old: Ledger
    version: int
    there: SecretVersion
    new: Ledger | None

    @property
    def done(self) -> bool:
        """Whether the new ledger is valid."""
        return self.new is not None and not self.new.arriving_from and not self.new.moved_to


@value
class _Cargo:
    """A secret of a label that is to be carried, and what lies where it goes."""

    label: str
    source: Source
    target: Target


def _new_root(session: Session) -> str:
    return root_of(session.manifest.mount, session.manifest.prefix)


def move_here(session: Session, origin: Origin, *, ask: bool) -> Stage[MoveReport]:
    """Move everything from ``origin``, where the run's store is, to what is named now.

    With ``ask`` a person has to agree first. UsageError, ReconcilerError before a
    write, PartialError after it.
    """
    _refuse_nested(session, origin)
    survey = yield from _survey(session, origin)
    if survey.done:
        return MoveReport()
    if survey.old.moved_to is None:
        yield from _refuse_unmovable(session, origin)
    else:
        yield from _find_signer(origin.session(session), survey.old)
    about = (
        f"move the ledger and {len(survey.old.tokens)} labels from {origin.place} to "
        f"{session.manifest.place}"
    )
    if ask and not (yield from Ask(about=about)):
        raise ReconcilerError("not agreed to: nothing was done")
    yield from take_lease(
        origin.session(session),
        survey.old,
        survey.version,
        changes=len(survey.old.tokens),
        read=read_any_ledger,
    )
    return Then(stage=under_lease, arguments=(_announce, session, origin))


def _refuse_nested(session: Session, origin: Origin) -> None:
    here = session.manifest.place
    if here == origin.place:
        raise UsageError(f"the manifest names {here} already: say there where everything is to go")
    if f"{here}/".startswith(f"{origin.place}/") or f"{origin.place}/".startswith(f"{here}/"):
        raise UsageError(f"{here} and {origin.place} lie within each other: choose another prefix")


# --- what there is ---


def _survey(session: Session, origin: Origin) -> Step[_Survey]:
    """Look at both ledgers. ReconcilerError where they can't be moved so."""
    here = session.manifest.place
    old, version = yield from read_any_ledger()
    if old is None:
        raise ReconcilerError(f"there is no ledger at {origin.place}: nothing is to be moved")
    refuse_wrong_exchange(old, session.api_url)
    if old.arriving_from is not None or old.moved_to not in {None, here}:
        refuse_moved(old)
    there = yield from read_secret(below(_new_root(session), LEDGER_NAME))
    new = None
    if there.state is VersionState.LIVING:
        new = from_text(there.field(LEDGER_FIELD) or "")
    survey = _Survey(old=old, version=version, there=there, new=new)
    if new is None:
        _refuse_lost(survey, here)
    elif new.ledger_id != old.ledger_id:
        raise ReconcilerError(f"there is another ledger at {here}: choose another mount or prefix")
    elif not survey.done and origin.place not in {new.arriving_from, new.moved_to}:
        refuse_moved(new)
    elif survey.done and old.moved_to is None:
        raise ReconcilerError(
            f"{here} and {origin.place} both have this ledger, so one was put back by hand: "
            "delete the one that is older, and run again"
        )
    return survey


def _refuse_lost(survey: _Survey, here: str) -> None:
    """Raise ReconcilerError where a ledger at the new place was there and is gone."""
    if survey.there.state is VersionState.DELETED:
        raise ReconcilerError(
            f"the latest version of the ledger at {here} was deleted: bring it back with "
            f"`vault kv undelete -versions={survey.there.version}`, and run again"
        )
    if survey.old.moved_to is not None:
        raise ReconcilerError(
            f"everything has moved to {here}, and there is no ledger: restore it from Vault's "
            "backup, and run again"
        )


def _refuse_unmovable(session: Session, origin: Origin) -> Step[None]:
    """Raise ReconcilerError unless all that is recorded can be moved, and has room."""
    former = origin.session(session)
    observed = yield from look_only(former)
    refuse_ending(observed)
    entries = observed.ledger.tokens
    back = f"put the manifest's mount and prefix back to {origin.place} and run `reconciler apply`"
    begun = unfinished(former, observed, tuple(entries))
    if begun:
        raise ReconcilerError(
            f"something was begun for {', '.join(begun)} and is not finished: {back}, which "
            "finishes or undoes it; move then"
        )
    astray = [
        label
        for label, entry in entries.items()
        if entry.current is not None and not entry.current.is_in_place(observed.meta(entry.path))
    ]
    if astray:
        raise ReconcilerError(
            f"the secret of {', '.join(sorted(astray))} is not where the ledger has it: {back}, "
            "which puts it right; move then"
        )
    root = _new_root(session)
    at = VersionId(10**6, 10**13)
    versions, kept = dict.fromkeys(entries, at), dict.fromkeys(observed.ledger.known_ids(), at)
    if text_bytes(arrived(observed.ledger, origin.root, root, versions, kept)) > MAX_ENTRY_BYTES:
        raise ReconcilerError(
            "the ledger would outgrow what one Vault entry holds: let predecessors retire first"
        )
    yield from _targets(observed.ledger, root)


def _targets(ledger: Ledger, root: str) -> Step[tuple[_Cargo, ...]]:
    """Look where each secret is to go. ReconcilerError where others' things lie."""
    sources: list[tuple[str, Source]] = []
    for label, entry in sorted(ledger.tokens.items()):
        current = source_of(entry)
        sources += [(label, current)] if current is not None else []
        sources += [(label, source_of_reserve(kept)) for kept in entry.reserve]
    steps = tuple(partial(look_at, ledger, source, root) for _, source in sources)
    targets = yield from Together(steps=steps, width=READERS)
    return tuple(
        _Cargo(label=label, source=source, target=target)
        for (label, source), target in zip(sources, targets, strict=True)
    )


def _find_signer(session: Session, ledger: Ledger) -> Step[None]:
    """Ask the exchange for the time, if anybody can: the lease goes by it."""
    if (yield from ReadSigner()).pinned:
        return
    signer = yield from manager_signer(session.manifest, ledger)
    if signer is not None:
        yield from UseSigner(credentials=signer)
        yield from VerifyToken(credentials=signer)


# --- under the lease of the old ledger ---


def _announce(session: Session, origin: Origin) -> Stage[MoveReport]:
    """Say at the new place that everything is arriving."""
    survey = yield from _survey(session, origin)
    if survey.done:
        return MoveReport()
    if survey.old.moved_to is None:
        yield from _refuse_unmovable(session, origin)
    made = survey.there
    if survey.new is None or survey.new.arriving_from is None:
        announced = arriving(survey.old, origin.place)
        made = yield from _write_ledger(session, announced, cas=survey.there.version)
    meta = SecretMeta(latest=made.version, state=made.state, ends_at_ms=made.ends_at_ms)
    ends = ledger_end(session.manifest.place, meta)
    if ends is not None:
        raise PartialError(f"{ends}, and run again")
    return Then(stage=_seal, arguments=(session, origin, made.version))


def _write_ledger(session: Session, ledger: Ledger, *, cas: int) -> Step[SecretVersion]:
    path = below(_new_root(session), LEDGER_NAME)
    return (yield from put_until_there(path, ((LEDGER_FIELD, to_text(ledger)),), None, cas=cas))


def _seal(session: Session, origin: Origin, announced: int) -> Stage[MoveReport]:
    """Look at each path of the new place; then say at the old one that all has moved.

    That write proves that nobody has gone on with the move since the look.
    ``announced`` is the version of the new ledger.
    """
    ledger = (yield from ReadDesk()).ledger
    found = yield from _targets(ledger, _new_root(session))
    yield from record(seal(session.manifest.place))
    return Then(stage=_carry, arguments=(session, origin, announced, found))


def _carry(
    session: Session, origin: Origin, announced: int, cargo: tuple[_Cargo, ...]
) -> Stage[MoveReport]:
    """Write each secret at the new place; the last write makes that place valid."""
    ledger, root = (yield from ReadDesk()).ledger, _new_root(session)
    carried: list[_Cargo] = []
    versions: dict[str, VersionId] = {}
    reserves: dict[str, VersionId] = {}
    try:
        for one in cargo:
            if (yield from ReadHalt()).signalled:
                raise PartialError(f"stopped by a signal: {GOES_ON}")
            version = yield from carry(one.source, root, one.target)
            if version == NOT_CARRIED:
                continue
            carried.append(one)
            if one.source.once:
                reserves[one.source.token_id] = version
            else:
                versions[one.label] = version
        valid = arrived(ledger, origin.root, root, versions, reserves)
        yield from _write_ledger(session, valid, cas=announced)
    except VaultError as error:
        raise PartialError(f"{error}: {GOES_ON}") from None
    lost = [one for one in cargo if one not in carried]
    return MoveReport(
        moved=tuple(one.label for one in carried if not one.source.once),
        lost=tuple(one.label for one in lost if not one.source.once),
        reserves=_reserves_in(carried),
        lost_reserves=_reserves_in(lost),
        did=True,
    )


def _reserves_in(cargo: Iterable[_Cargo]) -> tuple[tuple[str, str], ...]:
    return tuple((one.label, one.source.token_id) for one in cargo if one.source.once)
