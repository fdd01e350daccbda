"""One run of the program, as a machine that stops before every effect and can be copied
there.

    look         observe and plan, as observe.observe and apply.look do       error, or nothing to do: ended
    take         LedgerWriter.take, as apply._take without waiting            another run holds the lease: ended
    look again   under the lease                                              error: release
    repairs      one after the other; then look again, as often as there are any
    act          a lane for each label: its revokes, then its derive; one ledger
    last         the manager's own derive
    release      always

Rules this module keeps:

1. What is pure in production is called, not copied: the planner, guards, ``step_of``,
   the verdict, the writer of the ledger. What is copied is only the order of ``Apply``,
   ``observe`` and ``bootstrap``, because those perform effects themselves.
2. A lane stops at shared effects only: those that other runs can see, or that depend on
   them.
3. Between two effects a run is a value: ``clone`` copies it, and ``key`` tells whether
   two will go on alike.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

from reconciler.errors import (
    ExchangeUnclearError,
    Exit,
    LeaseHeldError,
    PersonNeededError,
    ReconcilerError,
    VaultError,
)
from reconciler.model import (
    USE_MARGIN_MS,
    Credentials,
    Manifest,
    SecretMeta,
    SecretVersion,
    TokenSpec,
    VersionState,
    iso,
)
from reconciler.plan.planner import Change, Policy, owned_paths, plan, row_key
from reconciler.protocol.changes import ends_at_once, facts_of, step_of
from reconciler.protocol.derive import Task, derive_token
from reconciler.protocol.effects import (
    Effect,
    LeaseLost,
    Listing,
    NotRecorded,
    Now,
    ReadLedger,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    Unclear,
    UseSigner,
    VerifyToken,
    WriteLedger,
    value,
)
from reconciler.protocol.lease import LedgerWriter
from reconciler.protocol.outcome import Ending, Outcome, applied, failed, not_tried
from reconciler.protocol.outcome import Run as RunFacts
from reconciler.protocol.recover import Recovery, finish_all_revoking, recover_intent
from reconciler.protocol.report import Row
from reconciler.protocol.rewrite import Place, Rewrite, rewrite_secret, rollback
from reconciler.run.apply import (
    REPAIRS,
    ROUNDS,
    TAKE_TRIES,
    Apply,
    Prospect,
    Session,
    _in_progress,
    guard_sentences,
    in_lanes,
    refuse_distrusted,
    refuse_undone,
    refuse_unknown_labels,
)
from reconciler.run.bootstrap import _classify
from reconciler.run.maintain import adoptable
from reconciler.run.observe import (
    LOOKS,
    LedgerMissingError,
    _paths,
    _suspects,
    differs,
    is_unrecorded,
)
from reconciler.state.ledger import Current, Intent, IntentKind, Ledger, lease_held_by
from reconciler.state.secret import TOKEN_ID, credentials_of, is_placeholder
from reconciler.state.snapshot import Content, Observed
from reconciler.state.transitions import set_profile
from tests.proofs.simulation.fibers import Fiber
from tests.proofs.simulation.models import ledger_key, secret_of

API_URL = "https://exchange.test"
PROFILE_ID = 42
UNAUTHORIZED = 401


@value
class ReadMeta(Effect[SecretMeta | Unclear]):
    """Vault's metadata of a path; production reads it outside the protocol."""

    path: str


@value
class ReadDesk(Effect[Ledger]):
    """The ledger as this run's writer knows it: no call to the outside."""


class Command(enum.Enum):
    """What was started."""

    APPLY = "apply"
    BOOTSTRAP = "bootstrap"
    ROLLBACK = "rollback"
    ADOPT = "adopt"


@value
class Wish:
    """How a run is started.

    ``subject`` is the label of a rollback or adopt, ``token_id`` what is adopted.
    """

    name: str
    manifest: Manifest
    policy: Policy = dataclasses.field(default_factory=Policy)
    command: Command = Command.APPLY
    identity: bool = True
    subject: str = ""
    token_id: str = ""

    def spec(self, label: str) -> TokenSpec | None:
        """The wanted token of a label."""
        return next((spec for spec in self.manifest.tokens if spec.label == label), None)


@value
class Desk:
    """A LedgerWriter between two writes."""

    ledger: Ledger
    version: int
    wrote: bool = False
    dead: LeaseLost | NotRecorded | None = None

    def key(self) -> object:
        """What a later write depends on."""
        return ledger_key(self.ledger), self.version, self.dead

    def writer(self, name: str) -> LedgerWriter:
        """The writer itself."""
        writer = LedgerWriter(run=name, who=name, ledger=self.ledger, version=self.version)
        writer.wrote, writer._dead = self.wrote, self.dead
        return writer


def writing(
    desk: Desk, name: str, how: Callable[[LedgerWriter], Step[Any]]
) -> Step[tuple[Any, Desk]]:
    """One write of the ledger, and the desk after it."""
    writer = desk.writer(name)
    reply = yield from how(writer)
    return reply, Desk(
        ledger=writer.ledger, version=writer.version, wrote=writer.wrote, dead=writer._dead
    )


class Stage(enum.Enum):
    """Where a run is."""

    LOOK = "look"
    TAKE = "take"
    REREAD = "reread"
    LOOK_HELD = "look again"
    REPAIR = "repair"
    ACT = "act"
    LAST = "last"
    RELEASE = "release"
    ENDED = "ended"


class Lane:
    """One change on its way, and ``then`` those that follow it.

    ``inner`` is its write of the ledger, while it has the writer; ``past`` is all it
    was told.
    """

    __slots__ = ("change", "fiber", "ids", "inner", "past", "then")

    def __init__(self, change: Change | None, fiber: Fiber, then: tuple[Change, ...] = ()) -> None:
        self.change = change
        self.fiber = fiber
        self.then = then
        self.inner: Fiber | None = None
        self.ids = 0
        self.past = 0

    def clone(self) -> Lane:
        """An independent copy."""
        twin = Lane.__new__(Lane)
        twin.change, twin.ids, twin.past, twin.then = self.change, self.ids, self.past, self.then
        twin.fiber = self.fiber.clone()
        twin.inner = self.inner.clone() if self.inner is not None else None
        return twin


class Run:
    """One process."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.stage = Stage.LOOK
        self.lanes: tuple[Lane | None, ...] = ()
        self.desk: Desk | None = None
        self.signer: Credentials | None = None
        self.closed: str | None = None
        self.down: frozenset[str] = frozenset()
        self.stages = 0
        self.rows: tuple[Row, ...] = ()
        self.prospect: Prospect | None = None
        self.stopped: str | None = None
        self.person: str | None = None
        self.tried: frozenset[str] = frozenset()
        self.rounds = 0
        self.takes = 0
        self.queue: tuple[Change, ...] = ()
        self.leaving: frozenset[str] = frozenset()
        self.exit: Exit | None = None
        self.sentence = ""
        self.base: object = wish.name
        if wish.command is Command.BOOTSTRAP:
            self._single(Stage.LOOK, lambda: read_for_bootstrap(wish))
        else:
            self._single(Stage.LOOK, lambda: look(wish))

    def clone(self) -> Run:
        """An independent copy."""
        twin = object.__new__(Run)
        twin.__dict__.update(self.__dict__)
        twin.lanes = tuple(lane.clone() if lane is not None else None for lane in self.lanes)
        return twin

    @property
    def name(self) -> str:
        """The run's id."""
        return self.wish.name

    @property
    def ended(self) -> bool:
        """Whether the process is over."""
        return self.stage is Stage.ENDED

    def key(self) -> object:
        """Equal for two copies that will go on alike."""
        if self.ended:
            return self.name, self.exit
        lanes = tuple(
            (lane.past, lane.inner is not None) if lane is not None else None for lane in self.lanes
        )
        desk = self.desk.key() if self.desk is not None else None
        return (
            self.base,
            lanes,
            desk,
            self._done(),
            self.down,
            self.signer and self.signer.token_id,
            self.closed,
        )

    def _done(self) -> object:
        rows = frozenset(
            (row.change.label, row.change.action, row.outcome.status) for row in self.rows
        )
        return rows, self.stopped, self.person, self.tried, self.rounds, self.takes, len(self.queue)

    def new_id(self, lane_number: int) -> str:
        """An id that no other run, stage or lane has, whatever their order."""
        lane = self.lanes[lane_number]
        assert lane is not None
        lane.ids += 1
        return f"{self.name}.{self.stages}.{lane_number}.{lane.ids}"

    # --- lanes ---

    def effect(self, lane_number: int) -> Effect[Any] | None:
        """The shared effect that a lane waits to have performed; None where it waits
        for the writer, or is over.
        """
        lane = self.lanes[lane_number]
        if lane is None:
            return None
        return lane.inner.effect if lane.inner is not None else lane.fiber.effect

    def ready(self) -> list[int]:
        """The lanes that can go on."""
        busy = any(lane is not None and lane.inner is not None for lane in self.lanes)
        return [
            number
            for number, lane in enumerate(self.lanes)
            if lane is not None
            and not (busy and lane.inner is None and isinstance(lane.fiber.effect, WriteLedger))
        ]

    def enter_writer(self, lane_number: int) -> None:
        """Give the lane the writer: it wants to write the ledger, and nobody else does."""
        lane = self.lanes[lane_number]
        assert lane is not None
        assert lane.inner is None
        effect = lane.fiber.effect
        assert isinstance(effect, WriteLedger)
        desk, name, transition = self.desk, self.name, effect.transition
        if desk is None:
            self.reply(
                lane_number, NotRecorded(sentence="this run does not hold the lease", final=True), 0
            )
            return
        lane.inner = Fiber(lambda: writing(desk, name, lambda writer: writer.write(transition)))
        if lane.inner.ended:
            self._inner_ended(lane_number, lane)

    def reply(self, lane_number: int, reply: object, mark: object) -> None:
        """Answer the lane's effect; ``mark`` stands for the reply in the run's key."""
        lane = self.lanes[lane_number]
        assert lane is not None
        lane.past = hash((lane.past, mark))
        if lane.inner is not None:
            lane.inner.send(reply)
            if lane.inner.ended:
                self._inner_ended(lane_number, lane)
            return
        lane.fiber.send(reply)
        if lane.fiber.ended:
            self._lane_ended(lane_number, lane)

    def _inner_ended(self, lane_number: int, lane: Lane) -> None:
        assert lane.inner is not None
        reply, self.desk = lane.inner.result
        lane.inner = None
        lane.past = hash((lane.past, type(reply)))
        lane.fiber.send(reply)
        if lane.fiber.ended:
            self._lane_ended(lane_number, lane)

    def _lane_ended(self, lane_number: int, lane: Lane) -> None:
        if lane.change is not None:
            self._end(lane.change, lane.fiber.result)
        lanes = list(self.lanes)
        lanes[lane_number] = self._follower(lane)
        self.lanes = tuple(lanes)
        if lane.change is not None:
            if all(other is None for other in self.lanes):
                self._next_change()
        else:
            self._stage_ended(lane.fiber.result)

    def _follower(self, lane: Lane) -> Lane | None:
        """The lane with its next change, if there is one that is begun."""
        follower = self._lane(lane.then)
        if follower is not None:
            follower.ids, follower.past = lane.ids, hash((lane.past, len(lane.then)))
        return follower

    # --- stages ---

    def _single(self, stage: Stage, make: Callable[[], Step[Any]]) -> None:
        self._start(stage, [Lane(None, Fiber(make))])

    def _start(self, stage: Stage, lanes: Iterable[Lane]) -> None:
        self.stage = stage
        self.stages += 1
        self.base = hash(
            (self.base, self.stages, stage, *(lane.past for lane in self.lanes if lane is not None))
        )
        self.lanes = tuple(lanes)
        for number, lane in enumerate(self.lanes):
            if lane is not None and lane.fiber.ended:
                self._lane_ended(number, lane)

    def _stage_ended(self, result: Any) -> None:
        stage = self.stage
        if stage is Stage.LOOK:
            self._looked(result)
        elif stage in {Stage.TAKE, Stage.REREAD}:
            self._taken(result)
        elif stage is Stage.LOOK_HELD:
            self._looked_again(result)
        elif stage is Stage.RELEASE:
            _, self.desk = result
            self._finish()
        else:
            self._commanded(result)

    def _looked(self, result: Any) -> None:
        if isinstance(result, ReconcilerError):
            self._over(result.exit_code, str(result))
            return
        if self.wish.command is Command.BOOTSTRAP:
            if isinstance(result, Outcome):
                self._over(Exit.DONE, result.sentence)
            else:
                self._take(*result)
            return
        prospect, self.signer = result
        self.prospect = prospect
        self._rebase()
        if self.wish.command is Command.APPLY:
            if not prospect.plan.acting and not _in_progress(prospect.plan):
                self._finish()
                return
            error = self._refusal(prospect)
            if error is not None:
                self._over(error.exit_code, str(error))
                return
        self._take(prospect.observed.ledger, prospect.observed.ledger_version)

    def _rebase(self) -> None:
        """After a look nothing counts but what was seen and what was done."""
        assert self.prospect is not None
        observed = self.prospect.observed
        self.base = hash(
            (
                self.name,
                ledger_key(observed.ledger),
                observed.ledger_version,
                frozenset(observed.live),
                frozenset(observed.secrets.items()),
                frozenset(observed.contents.items()),
                observed.now_ms,
            )
        )

    def _refusal(self, prospect: Prospect) -> ReconcilerError | None:
        sentences = guard_sentences(
            self.wish.manifest, prospect.observed, self.wish.policy, run=self.name
        )
        if sentences:
            return ReconcilerError("; ".join(sentences))
        if any(c.derives for c in prospect.plan.acting) and not self.wish.identity:
            return PersonNeededError("an identity token is needed")
        return None

    def _take(self, ledger: Ledger, version: int) -> None:
        desk, name = Desk(ledger=ledger, version=version), self.name
        self._single(Stage.TAKE, lambda: writing(desk, name, lambda writer: writer.take()))

    def _taken(self, result: Any) -> None:
        if self.stage is Stage.REREAD:
            if isinstance(result, ReconcilerError):
                self._over(result.exit_code, str(result))
            else:
                self._take(*result)
            return
        reply, desk = result
        if isinstance(reply, Recorded):
            self.desk = desk
            if self.wish.command is Command.BOOTSTRAP:
                wish = self.wish
                self._single(Stage.ACT, lambda: bootstrap(wish))
            else:
                self._look_again()
        elif isinstance(reply, NotRecorded):
            self._over(Exit.ERROR, reply.sentence)
        else:
            self.takes += 1
            name, takes = self.name, self.takes
            self._single(Stage.REREAD, lambda: reread(name, takes))

    def _look_again(self) -> None:
        wish = self.wish
        self._single(Stage.LOOK_HELD, lambda: look(wish))

    def _looked_again(self, result: Any) -> None:
        if not isinstance(result, ReconcilerError):
            self.prospect, self.signer = result
            self._rebase()
            if self.wish.command is not Command.APPLY:
                wish, observed = self.wish, self.prospect.observed
                make = {Command.ROLLBACK: roll_back, Command.ADOPT: adopt}[wish.command]
                self._single(Stage.ACT, lambda: make(wish, observed))
                return
            holder = self.prospect.observed.ledger.holder
            if holder is None or holder.run != self.name:
                result = LeaseHeldError("another run took the lease over")
            else:
                result = self._refusal(self.prospect)
        if isinstance(result, ReconcilerError):
            if self.rows:
                self.stopped = str(result)
            else:
                self.exit, self.sentence = result.exit_code, str(result)
            self._release()
            return
        self._repair()

    def _repair(self) -> None:
        assert self.prospect is not None
        repairs = tuple(
            c
            for c in self.prospect.plan.acting
            if c.action in REPAIRS and row_key(c) not in self.tried
        )
        if not repairs or self.stopped is not None or self.rounds == ROUNDS:
            self._act()
            return
        self.rounds += 1
        self.queue = repairs
        self.stage = Stage.REPAIR
        self._next_change()

    def _act(self) -> None:
        assert self.prospect is not None
        manager, policy = self.wish.manifest.manager, self.wish.policy
        changes = [c for c in self.prospect.plan.acting if c.action not in REPAIRS]
        self.leaving = frozenset(c.label for c in changes if ends_at_once(c, policy))
        self.queue = tuple(c for c in changes if c.derives and c.label == manager)
        ended_by_rotation = policy.requested if policy.compromised else frozenset()
        together = [
            c
            for c in changes
            if c not in self.queue and (c.derives or c.label not in ended_by_rotation)
        ]
        self.stage = Stage.ACT
        begun = [lane for lane in map(self._lane, in_lanes(together)) if lane is not None]
        if begun:
            self._start(Stage.ACT, begun)
        else:
            self._next_change()

    def _lane(self, changes: tuple[Change, ...]) -> Lane | None:
        """A lane that begins with the first change that can be begun."""
        for number, change in enumerate(changes):
            make = self._make(change)
            if make is not None:
                return Lane(change, Fiber(make), changes[number + 1 :])
        return None

    def _next_change(self) -> None:
        """The queue's next, or the next stage."""
        while self.queue:
            change, self.queue = self.queue[0], self.queue[1:]
            if self.stage is Stage.REPAIR:
                self.tried |= {row_key(change)}
            make = self._make(change)
            if make is not None:
                self._start(
                    Stage.REPAIR if self.stage is Stage.REPAIR else Stage.LAST,
                    [Lane(change, Fiber(make))],
                )
                return
        if self.stage is Stage.REPAIR:
            if self.stopped is not None:
                self._act()
            else:
                self._look_again()
        else:
            self._release()

    def _make(self, change: Change) -> Callable[[], Step[Outcome]] | None:
        """As Apply._do: None where the change ends before it began."""
        if self.stopped is not None:
            self._end(change, not_tried(self.stopped))
            return None
        if change.derives and not self.wish.identity:
            self.person = "an identity token is needed to derive"
            self._end(change, not_tried(self.person))
            return None
        assert self.prospect is not None
        wish, observed, leaving = self.wish, self.prospect.observed, self.leaving
        return lambda: step_of(
            change,
            observed,
            manifest=wish.manifest,
            policy=wish.policy,
            run=run_facts(wish, observed),
            leaving=leaving,
        )

    def _session(self) -> Session:
        """What the pure parts of apply look at."""
        wish, driver = self.wish, SimpleNamespace(stopping=threading.Event())
        return cast(
            "Session",
            SimpleNamespace(
                manifest=wish.manifest, run=wish.name, policy=wish.policy, driver=driver
            ),
        )

    def _end(self, change: Change, outcome: Outcome | ReconcilerError) -> None:
        assert not isinstance(outcome, ReconcilerError), f"a step raised: {outcome}"
        if outcome.stop:
            self.stopped = outcome.sentence
        self.rows = (*self.rows, Row(change=change, outcome=outcome))

    def _commanded(self, outcome: Outcome | ReconcilerError) -> None:
        """Rollback, adopt and bootstrap end with an error unless they were applied."""
        assert self.desk is not None
        try:
            if isinstance(outcome, ReconcilerError):
                raise outcome
            refuse_undone(outcome, self.desk.writer(self.name))
            self.exit, self.sentence = Exit.DONE, outcome.sentence
        except ReconcilerError as error:
            self.exit, self.sentence = error.exit_code, str(error)
        self._release()

    def _release(self) -> None:
        desk, name = self.desk, self.name
        if desk is None:
            self._finish()
        else:
            self._single(
                Stage.RELEASE, lambda: writing(desk, name, lambda writer: writer.release())
            )

    def _finish(self) -> None:
        if self.exit is not None:
            self._over(self.exit, self.sentence)
            return
        assert self.prospect is not None
        judge = Apply(self._session())
        judge.rows = list(self.rows)
        judge._stopped, judge._person = self.stopped, self.person
        judge._writer = self.desk.writer(self.name) if self.desk is not None else None
        self._over(*judge._verdict(self.prospect))

    def _over(self, code: Exit, sentence: str) -> None:
        self.stage, self.exit, self.sentence = Stage.ENDED, code, sentence
        self.lanes = ()


# --- what production does outside the protocol, as steps ---


def look(wish: Wish) -> Step[tuple[Prospect, Credentials]]:
    """observe.observe and apply.look."""
    for _ in range(LOOKS):
        observed, signer = yield from observe_once(wish)
        _, version = yield from read_ledger()
        if version == observed.ledger_version:
            break
    else:
        raise VaultError("the ledger is being written all the time by another run: try again later")
    refuse_distrusted(observed, wish.manifest, wish.policy)
    refuse_unknown_labels(wish.manifest, observed, wish.policy)
    chosen = plan(
        wish.manifest, observed, now_ms=observed.now_ms, policy=wish.policy, run=wish.name
    )
    return Prospect(observed=observed, plan=chosen), signer


def read_ledger() -> Step[tuple[Ledger | None, int]]:
    """A read that production answers with a VaultError where it fails."""
    found = yield from ReadLedger()
    if isinstance(found, (Refused, Unclear)):
        raise VaultError(found.sentence)
    return found


def refuse_lost(version: int) -> None:
    """observe.refuse_lost_ledger, where the ledger's latest version was deleted."""
    if version > 0:
        raise LedgerMissingError("the latest version of the ledger was deleted")


def observe_once(wish: Wish) -> Step[tuple[Observed, Credentials]]:
    """observe._observe."""
    ledger, version = yield from read_ledger()
    if ledger is None:
        refuse_lost(version)
        raise PersonNeededError("there is no ledger yet: bootstrap")
    signer = yield from manager_signer(wish.manifest, ledger)
    if signer is None:
        raise PersonNeededError("there is no token to sign with: bootstrap")
    now_ms = yield from Now()
    listing = yield from VerifyToken(credentials=signer)
    if isinstance(listing, Refused) and listing.status == UNAUTHORIZED:
        raise PersonNeededError("the manager's token is gone: bootstrap")
    if not isinstance(listing, Listing):
        raise ExchangeUnclearError(listing.sentence)
    metas: dict[str, SecretMeta] = {}
    for name in _paths(wish.manifest, ledger):
        meta = yield from ReadMeta(path=name)
        if isinstance(meta, Unclear):
            raise VaultError(meta.sentence)
        metas[name] = meta
    contents: dict[str, Content] = {}
    for name, meta, current in _suspects(ledger, metas):
        contents[name] = yield from look_closer(name, meta, current)
    observed = Observed(
        now_ms=now_ms,
        api_url=API_URL,
        place=wish.manifest.place,
        ledger=ledger,
        ledger_version=version,
        live=listing.tokens,
        signer_id=signer.token_id,
        secrets=metas,
        contents=contents,
    )
    return observed, signer


def look_closer(path: str, meta: SecretMeta, current: Current | None) -> Step[Content]:
    """observe._look."""
    latest = yield from read(path, None)
    if latest.version != meta.latest:
        raise VaultError(f"{path} is being written by somebody else right now: run again")
    found = latest.field(TOKEN_ID)
    if current is None:
        return Content(token_id=found, placeholder=is_placeholder(latest))
    if found == current.token_id:
        recorded = (
            latest
            if current.version >= latest.version
            else (yield from read(path, current.version))
        )
        if not differs(recorded, latest):
            return Content(token_id=found)
        found = None
    holder = yield from holder_version(
        path, latest.version, current.token_id, recorded=current.version
    )
    return Content(token_id=found, holder_version=holder, placeholder=is_placeholder(latest))


def read(path: str, version: int | None) -> Step[SecretVersion]:
    """A read that production's store answers with a VaultError where it fails."""
    content = yield from ReadSecret(path=path, version=version)
    if isinstance(content, (Refused, Unclear)):
        raise VaultError(content.sentence)
    return content


def holder_version(
    path: str, latest: int, token_id: str, *, recorded: int | None = None
) -> Step[int | None]:
    """observe.holder_version."""
    first = [recorded] if recorded is not None and 0 < recorded <= latest else []
    for version in itertools.chain(first, range(latest, 0, -1)):
        content = yield from read(path, version)
        if content.state is VersionState.ABSENT and version != recorded:
            return None
        if content.field(TOKEN_ID) == token_id:
            return version
    return None


def manager_signer(manifest: Manifest, ledger: Ledger) -> Step[Credentials | None]:
    """observe.manager_signer."""
    entry = ledger.tokens.get(manifest.manager)
    if entry is None or entry.current is None:
        return None
    latest = yield from read(entry.path, None)
    found = credentials_of(latest)
    if (
        found is not None
        and found.token_id == entry.current.token_id
        and latest.version == entry.current.version
    ):
        return found
    version = yield from holder_version(
        entry.path, latest.version, entry.current.token_id, recorded=entry.current.version
    )
    if version is None:
        return found if found is not None and is_unrecorded(entry, found.token_id) else None
    return credentials_of((yield from read(entry.path, version)))


def reread(name: str, takes: int) -> Step[tuple[Ledger, int]]:
    """apply._take after it lost, without waiting."""
    ledger, version = yield from read_ledger()
    if ledger is None:
        raise VaultError("the ledger vanished while the lease was being taken: run again")
    now_ms = yield from Now()
    if lease_held_by(ledger, now_ms, not_run=name) is not None or takes > TAKE_TRIES:
        raise LeaseHeldError("another run holds the lease")
    return ledger, version


def roll_back(wish: Wish, observed: Observed) -> Step[Outcome]:
    """maintain.find_comeback and maintain.roll_back, under the lease."""
    label, spec = wish.subject, wish.spec(wish.subject)
    entry = observed.ledger.tokens.get(label)
    if spec is None or entry is None or entry.current is None or entry.intent is not None:
        raise ReconcilerError("there is nothing to roll back")
    living = observed.live_by_id()
    for retiring in sorted(entry.retiring, key=lambda r: r.superseded_at_ms, reverse=True):
        live = living.get(retiring.token_id)
        if live is None or retiring.path is not None:
            continue
        latest = observed.meta(entry.path).latest
        source = yield from holder_version(entry.path, latest, retiring.token_id)
        if source is not None:
            place = Place(label=label, path=entry.path, source=source, cas=latest)
            return (
                yield from rollback(
                    run_facts(wish, observed), place, live, overlap_ms=spec.overlap_ms
                )
            )
    raise ReconcilerError("there is no way back")


def adopt(wish: Wish, observed: Observed) -> Step[Outcome]:
    """maintain.adopt, under the lease."""
    spec = wish.spec(wish.subject)
    if spec is None:
        raise ReconcilerError("not a label of the manifest")
    session = cast(
        "Session", SimpleNamespace(manifest=wish.manifest, driver=SimpleNamespace(path=str))
    )
    live = adoptable(session, observed, spec, wish.token_id, other_label=False)
    now_ms = yield from Now()
    task = Rewrite(
        kind=IntentKind.ADOPT,
        label=spec.label,
        path=spec.path,
        cas=observed.meta(spec.path).latest,
        live=live,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        fields=(
            (TOKEN_ID, live.token_id),
            ("label", spec.label),
            ("created_at", iso(live.created_at_ms)),
        ),
        secret=secret_of(live.token_id),
        overlap_ms=spec.overlap_ms,
        protect=spec.protect,
    )
    return (yield from rewrite_secret(run_facts(wish, observed), task))


def run_facts(wish: Wish, observed: Observed) -> RunFacts:
    """What every step of the run is told."""
    return facts_of(wish.name, wish.manifest, observed)


# --- bootstrap ---


def read_for_bootstrap(wish: Wish) -> Step[Outcome | tuple[Ledger, int]]:
    """bootstrap.bootstrap up to the lease: an outcome where there is nothing to do."""
    ledger, version = yield from read_ledger()
    if ledger is not None:
        signer = yield from manager_signer(wish.manifest, ledger)
        if signer is not None and (yield from signs(signer)):
            return applied("the manager's token signs: nothing to do")
    else:
        refuse_lost(version)
    ledger = ledger or Ledger(ledger_id="ledger", api_url=API_URL, files=wish.manifest.files)
    yield from refuse_occupied(wish, ledger)
    return ledger, version


def refuse_occupied(wish: Wish, ledger: Ledger) -> Step[None]:
    """bootstrap.refuse_occupied."""
    spec = manager_spec(wish)
    entry = ledger.tokens.get(spec.label)
    if {label for path, label in owned_paths(ledger.tokens) if path == spec.path} - {spec.label}:
        raise PersonNeededError("the manager's path belongs to another label")
    if entry is not None and entry.path == spec.path and not entry.idle:
        return
    content = yield from read(spec.path, None)
    if content.state is VersionState.LIVING and not is_placeholder(content):
        raise PersonNeededError("the manager's path holds a secret that is not ours")


def manager_spec(wish: Wish) -> TokenSpec:
    """The manager as it is wanted."""
    spec = wish.spec(wish.manifest.manager)
    assert spec is not None
    return spec


def signs(signer: Credentials) -> Step[bool]:
    """bootstrap._signs."""
    reply = yield from VerifyToken(credentials=signer)
    if isinstance(reply, Refused) and reply.status == UNAUTHORIZED:
        return False
    if not isinstance(reply, Listing):
        raise ExchangeUnclearError(reply.sentence)
    return reply.find(signer.token_id) is not None


def bootstrap(wish: Wish) -> Step[Outcome]:
    """bootstrap.bootstrap under the lease."""
    spec = manager_spec(wish)
    reply = yield from WriteLedger(transition=set_profile(PROFILE_ID))
    if not isinstance(reply, Recorded):
        return failed(reply.sentence)
    begun = intent_of(reply.ledger, spec.label)
    if begun is not None:
        task = Recovery(
            label=spec.label, overlap_ms=spec.overlap_ms, is_manager=True, has_signer=False
        )
        recovered = yield from recover_intent(task, reply.ledger)
        if intent_of((yield from ReadDesk()), spec.label) is not None:
            return recovered
    ledger = yield from ReadDesk()
    found = yield from manager_signer(wish.manifest, ledger)
    if found is not None and (yield from signs(found)):
        yield from UseSigner(credentials=found)
        outcome = applied("the interrupted bootstrap is finished")
    else:
        yield from refuse_occupied(wish, ledger)
        outcome = yield from bootstrap_derive(wish, spec, ledger)
        if outcome.status is not Ending.APPLIED:
            return outcome
    if begun is not None and begun.token_id is None:
        writer = cast("LedgerWriter", SimpleNamespace(ledger=(yield from ReadDesk())))
        classified = yield from _classify(spec.label, begun, writer)
        if classified.status is not Ending.APPLIED:
            return classified
    left = (yield from ReadDesk()).tokens.get(spec.label)
    if left is not None and left.revoking:
        ended = yield from finish_all_revoking(spec.label, left)
        if ended.status is not Ending.APPLIED:
            return ended
    return outcome


def intent_of(ledger: Ledger, label: str) -> Intent | None:
    """The open intent of a label."""
    entry = ledger.tokens.get(label)
    return entry.intent if entry is not None else None


def bootstrap_derive(wish: Wish, spec: TokenSpec, ledger: Ledger) -> Step[Outcome]:
    """bootstrap._task and its derive."""
    meta = yield from ReadMeta(path=spec.path)
    if isinstance(meta, Unclear):
        raise VaultError(meta.sentence)
    entry = ledger.tokens.get(spec.label)
    current = entry.current if entry is not None else None
    task = Task(
        spec=spec,
        cas=meta.latest,
        before=(),
        standing=frozenset(),
        predecessor=current,
        predecessor_path=entry.path if entry is not None else spec.path,
        believed_gone=current is not None,
        is_manager=True,
    )
    return (
        yield from derive_token(
            RunFacts(run=wish.name, api_url=API_URL, profile_id=PROFILE_ID), task
        )
    )
