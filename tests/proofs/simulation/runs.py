"""A run of the program: a machine that stops before every effect and can be copied
there.

It performs production's own stages (``reconciler.run``), and adds copying:

    the run is                 it stops at                     a copy repeats
    -------------------------  ------------------------------  -------------------------
    in a stage                 the stage's next effect         the stage, from its start
    in ``Lanes``               each lane's next effect         stage and lanes
    at ``Then``                nothing: the next stage begins  nothing

Rules this module keeps:

1. Production decides, nothing is retold here: the order of a run, its reads, its lanes
   and its verdict are the stages'.
2. A lane stops at shared effects only: those that other runs can see, or that depend on
   them.
3. Between two effects a run is a value: ``clone`` copies it, and ``key`` tells whether
   two will go on alike.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from reconciler.errors import Exit, PersonNeededError, ReconcilerError
from reconciler.model import (
    SCOPES,
    Capabilities,
    Credentials,
    Manifest,
    StoredPair,
    ToAdopt,
    TokenSpec,
)
from reconciler.plan import Plan, Policy
from reconciler.protocol import (
    Desk,
    Effect,
    LeaseLost,
    LedgerWriter,
    Listing,
    NoteLedger,
    NotRecorded,
    ReadDesk,
    Recorded,
    Report,
    Row,
    Step,
    StopDeriving,
    UseSigner,
    WriteLedger,
)
from reconciler.run import (
    Adoption,
    AdoptReport,
    Origin,
    Session,
    adopt_list,
    adopt_token,
    apply_manifest,
    bootstrap_manager,
    move_here,
    roll_back,
    rotate_labels,
    stop_managing,
    verify_secrets,
)
from reconciler.run.effects import (
    CheckIdentity,
    Clock,
    Ended,
    Halt,
    HaltRun,
    Lanes,
    Pause,
    ReadClock,
    ReadHalt,
    ReadPair,
    ReadProfile,
    ReadSigner,
    ReleaseLease,
    Signer,
    TakeLease,
    Then,
    Together,
)
from reconciler.run.progress import Progress
from reconciler.state import Ledger, Observed, Transition
from reconciler.values import value
from tests.proofs.simulation.fibers import Fiber
from tests.proofs.simulation.models import WRONG, ledger_key, secret_of

API_URL = "https://exchange.test"
PROFILE_ID = 42
CAPABLE = Capabilities(profile_id=PROFILE_ID, management_enabled=True, allowed_scopes=SCOPES)
UNAUTHORIZED = 401

WRITING = (WriteLedger, TakeLease, ReleaseLease)
"""What goes through the run's single writer of the ledger, one lane at a time."""


class Command(enum.Enum):
    """What was started."""

    APPLY = "apply"
    BOOTSTRAP = "bootstrap"
    ROLLBACK = "rollback"
    ADOPT = "adopt"
    ADOPT_MANY = "adopt many"
    VERIFY = "verify"
    RELEASE = "release"
    MOVE = "move"


@value
class Wish:
    """How a run is started.

    ``subject`` is the label of a rollback, adopt or release (none there: everything),
    ``token_id`` what is adopted. ``rows`` are a list to adopt: labels and places
    (``pair_at``). ``older``: another manifest was applied since this one. ``origin`` is
    the place that a move comes from.
    """

    name: str
    manifest: Manifest
    policy: Policy = dataclasses.field(default_factory=Policy)
    command: Command = Command.APPLY
    identity: bool = True
    subject: str = ""
    token_id: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    older: bool = False
    origin: str = ""

    @property
    def place(self) -> str:
        """Where in Vault the run works."""
        return self.origin or self.manifest.place

    def spec(self, label: str) -> TokenSpec | None:
        """The wanted token of a label."""
        return next((spec for spec in self.manifest.tokens if spec.label == label), None)

    def stage(self) -> Step[Any]:
        """The command's first stage."""
        session = Session(
            manifest=self.manifest,
            policy=self.policy,
            api_url=API_URL,
            run=self.name,
            who=self.name,
        )
        if self.command is Command.BOOTSTRAP:
            return bootstrap_manager(session)
        if self.command is Command.ROLLBACK:
            return roll_back(session, self.subject, ask=False)
        if self.command is Command.VERIFY:
            return verify_secrets(session)
        if self.command is Command.ADOPT_MANY:
            asked = tuple(ToAdopt(label=label, place=place) for label, place in self.rows)
            return adopt_list(Adoption(session=session, ask=False), asked)
        if self.command is Command.ADOPT:
            pair = Credentials(token_id=self.token_id, secret=secret_of(self.token_id))
            return adopt_token(session, self.subject, pair.token_id, pair.secret, other_label=False)
        if self.command is Command.RELEASE:
            labels = (self.subject,) if self.subject else ()
            return stop_managing(session, labels, everything=not labels, ask=False)
        if self.command is Command.MOVE:
            mount, _, prefix = self.origin.partition("/")
            return move_here(session, Origin(mount=mount, prefix=prefix), ask=False)
        return rotate_labels(session) if self.policy.requested else apply_manifest(session)


THEIRS, SPOILED = "theirs", "spoiled"
"""Folders of Vault that are not ours: each has every token's pair, in ``spoiled`` with
a secret that does not sign.
"""


def pair_at(place: str) -> StoredPair:
    """What lies at a place that is not ours."""
    folder, _, token_id = place.partition("/")
    return StoredPair(token_id=token_id, secret=WRONG if folder == SPOILED else secret_of(token_id))


@value
class Written:
    """A LedgerWriter between two writes."""

    ledger: Ledger
    version: int
    dead: LeaseLost | NotRecorded | None = None
    noted: tuple[Transition, ...] = ()

    def key(self) -> object:
        """What a later write depends on."""
        return ledger_key(self.ledger), self.version, self.dead, len(self.noted)

    def write(
        self, name: str, how: Callable[[LedgerWriter], Step[Any]]
    ) -> Step[tuple[Any, Written]]:
        """One write of the ledger, and the writer after it."""
        writer = LedgerWriter(run=name, who=name, ledger=self.ledger, version=self.version)
        writer._dead, writer.noted = self.dead, self.noted
        reply = yield from how(writer)
        after = Written(
            ledger=writer.ledger, version=writer.version, dead=writer._dead, noted=writer.noted
        )
        return reply, after


class Lane:
    """A step on its way. ``inner`` is its write of the ledger, while it has the writer;
    ``past`` is all it was told.
    """

    __slots__ = ("fiber", "ids", "inner", "past")

    def __init__(self, make: Callable[[], Step[Any]]) -> None:
        self.fiber = Fiber(lambda: one_by_one(make()))
        self.inner: Fiber | None = None
        self.ids = 0
        self.past = 0

    def clone(self) -> Lane:
        """An independent copy."""
        twin = Lane.__new__(Lane)
        twin.ids, twin.past = self.ids, self.past
        twin.fiber = self.fiber.clone()
        twin.inner = self.inner.clone() if self.inner is not None else None
        return twin


class Run:
    """One process. Where nobody asks for its key, it is not ``keyed``.

    ``wrong_ms`` is how far wrong it is about the exchange's time, by one reply's Date,
    until that is ``confirmed``, once for all; ``wrong_when_seen_ms`` is how far it was
    when it looked; ``listed_ms`` is when it last asked for a list, ``replied_ms``
    when it last got a reply, to an effect of the kind ``last``. ``recent`` is its last
    list since it sent a derive or a revocation: who signed it, when, and what it has.
    ``missed`` is what
    happened to tokens since it last got a whole list: they were used, or their secrets
    deleted. ``ending`` are paths that it was shown to let their versions end by
    themselves.
    """

    def __init__(self, wish: Wish, *, keyed: bool = True) -> None:
        self.wish = wish
        self.keyed = keyed
        self.main = Lane(wish.stage)
        self.lanes: tuple[Lane | None, ...] = (self.main,)
        self.results: tuple[Any, ...] = ()
        self.desk: Written | None = None
        self.holds_lease = False
        self.looks_first = True
        self.signer: Credentials | None = None
        self.closed: str | None = None
        self.halted: str | None = None
        self.down: frozenset[str] = frozenset()
        self.stages = 0
        self.rows: tuple[Row, ...] = ()
        self.seen: Observed | None = None
        self.wrong_ms = self.wrong_when_seen_ms = self.date_ahead_ms = 0
        self.listed_ms = self.replied_ms = 0
        self.recent: tuple[str, int, Listing] | None = None
        self.last: type[Effect[Any]] | None = None
        self.ending: frozenset[str] = frozenset()
        self.missed: frozenset[tuple[str, str]] = frozenset()
        self.confirmed = False
        self.plan: Plan | None = None
        self.exit: Exit | None = None
        self.sentence = ""
        self.base: object = wish.name
        self._main_moved()

    def clone(self) -> Run:
        """An independent copy."""
        twin = object.__new__(Run)
        twin.__dict__.update(self.__dict__)
        twin.main = self.main.clone()
        twin.lanes = tuple(
            twin.main if lane is self.main else lane.clone() if lane is not None else None
            for lane in self.lanes
        )
        return twin

    @property
    def name(self) -> str:
        """The run's id."""
        return self.wish.name

    @property
    def ended(self) -> bool:
        """Whether the process is over."""
        return self.exit is not None

    def key(self) -> object:
        """Equal for two copies that will go on alike."""
        if self.ended:
            return self.name, self.exit
        lanes = tuple(
            (lane.past, lane.inner is not None) if lane is not None else None for lane in self.lanes
        )
        desk = self.desk.key() if self.desk is not None else None
        signer = self.signer and self.signer.token_id
        kept = (
            self.wrong_ms,
            self.looks_first,
            self.holds_lease,
            self.down,
            signer,
            self.closed,
            self.halted,
            self.missed,
            key_of(self.recent),
        )
        return self.base, lanes, desk, key_of(self.rows), kept

    def new_id(self, lane_number: int) -> str:
        """An id that no other run, stage or lane has, whatever their order."""
        lane = self.lanes[lane_number]
        assert lane is not None
        lane.ids += 1
        return f"{self.name}.{self.stages}.{lane_number}.{lane.ids}"

    # --- lanes ---

    def effect(self, lane_number: int) -> Effect[Any] | None:
        """The effect that a lane waits to have performed; None where it waits for the
        writer, or is over.
        """
        lane = self.lanes[lane_number]
        if lane is None:
            return None
        return lane.inner.effect if lane.inner is not None else lane.fiber.effect

    def ready(self) -> list[int]:
        """The lanes that can go on."""
        if len(self.lanes) == 1:
            return [0]
        busy = any(lane is not None and lane.inner is not None for lane in self.lanes)
        return [
            number
            for number, lane in enumerate(self.lanes)
            if lane is not None
            and not (busy and lane.inner is None and isinstance(lane.fiber.effect, WRITING))
        ]

    def enter_writer(self, lane_number: int) -> None:
        """Give the lane the writer, which nobody else has now."""
        lane = self.lanes[lane_number]
        assert lane is not None
        assert lane.inner is None
        effect, name, desk = lane.fiber.effect, self.name, self.desk
        if isinstance(effect, TakeLease):
            self.looks_first = False
            found = Written(ledger=effect.ledger, version=effect.version)
            lane.inner = Fiber(lambda: found.write(name, lambda writer: writer.take()))
        elif desk is None or not self.holds_lease:
            reply = None
            if isinstance(effect, WriteLedger):
                reply = NotRecorded(sentence="this run does not hold the lease", final=True)
            self.reply(lane_number, reply, 0)
            return
        elif isinstance(effect, WriteLedger):
            transition = effect.transition
            lane.inner = Fiber(lambda: desk.write(name, lambda writer: writer.write(transition)))
        else:
            assert isinstance(effect, ReleaseLease)
            last = effect.transition
            lane.inner = Fiber(lambda: desk.write(name, lambda writer: writer.release(last)))
        if lane.inner.ended:
            self._inner_ended(lane_number, lane)

    def reply(self, lane_number: int, reply: object, mark: object) -> None:
        """Answer the lane's effect; ``mark`` stands for the reply in the run's key."""
        lane = self.lanes[lane_number]
        assert lane is not None
        if self.keyed:
            lane.past = hash((lane.past, mark))
        if lane.inner is not None:
            lane.inner.send(reply)
            if lane.inner.ended:
                self._inner_ended(lane_number, lane)
            return
        self._send(lane_number, lane, reply)

    def _inner_ended(self, lane_number: int, lane: Lane) -> None:
        assert lane.inner is not None
        reply, desk = lane.inner.result
        effect = lane.fiber.effect
        if isinstance(effect, TakeLease):
            self.holds_lease = isinstance(reply, Recorded)
        if not isinstance(effect, TakeLease) or self.holds_lease:
            self.desk = desk
        if isinstance(effect, ReleaseLease):
            self.holds_lease, reply = False, None
        lane.inner = None
        if self.keyed:
            lane.past = hash((lane.past, type(reply)))
        self._send(lane_number, lane, reply)

    def _send(self, lane_number: int, lane: Lane, reply: object) -> None:
        lane.fiber.send(reply)
        if lane is self.main:
            self._main_moved()
        elif lane.fiber.ended:
            self._lane_ended(lane_number, lane)

    def _lane_ended(self, lane_number: int, lane: Lane) -> None:
        result = lane.fiber.result
        assert not isinstance(result, ReconcilerError), f"a lane raised: {result}"
        lanes, results = list(self.lanes), list(self.results)
        lanes[lane_number], results[lane_number] = None, result
        self.lanes, self.results = tuple(lanes), tuple(results)
        if all(other is None for other in lanes):
            self._join()

    def _join(self) -> None:
        """All lanes are over: the stage goes on with their rows."""
        self.lanes = (self.main,)
        self._send(0, self.main, self.results)

    # --- stages ---

    def _main_moved(self) -> None:
        """Begin what the stage leads to, if it stands at lanes or at its end."""
        fiber = self.main.fiber
        if fiber.ended:
            self._stage_ended(fiber.result)
        elif isinstance(fiber.effect, Lanes):
            self.stages += 1
            lanes = fiber.effect.lanes
            self.lanes = tuple(Lane(lane.make) for lane in lanes)
            self.results = (None,) * len(lanes)
            if not lanes:
                self._join()
            for number, lane in enumerate(self.lanes):
                if lane is not None and lane is not self.main and lane.fiber.ended:
                    self._lane_ended(number, lane)

    def _stage_ended(self, result: object) -> None:
        if isinstance(result, Then):
            self._begin(result)
        elif isinstance(result, ReconcilerError):
            self._over(result.exit_code, str(result))
        elif isinstance(result, (Report, AdoptReport)):
            self._over(result.exit_code, result.sentence)
        else:
            self._over(Exit.DONE, str(getattr(result, "sentence", "")))

    def _begin(self, stage: Then[Any]) -> None:
        self.stages += 1
        for argument in stage.arguments:
            if isinstance(argument, Progress):
                self._saw(argument.outlook.observed)
                self.plan = argument.outlook.plan
            elif isinstance(argument, Observed):
                self._saw(argument)
        if self.keyed:
            self.base = hash((self.name, stage.stage.__qualname__, key_of(stage.arguments)))
        self.main = Lane(stage.step)
        self.lanes = (self.main,)
        self._main_moved()

    def _saw(self, observed: Observed) -> None:
        if observed is not self.seen:
            self.seen, self.wrong_when_seen_ms = observed, self.wrong_ms

    @property
    def seen_ms(self) -> int:
        """When its last look was, by a clock that is right."""
        assert self.seen is not None
        return self.seen.now_ms - self.wrong_when_seen_ms - self.date_ahead_ms

    def _over(self, code: Exit, sentence: str) -> None:
        assert "internal error" not in sentence, sentence
        self.exit, self.sentence, self.lanes = code, sentence, ()

    # --- effects that nobody else can see ---

    def local(self, effect: Effect[Any], now_ms: int) -> tuple[object, object]:
        """The reply, and what stands for it in the run's key."""
        if isinstance(effect, ReadClock):
            return Clock(now_ms=now_ms, ahead_ms=0, steady_ms=now_ms), now_ms
        if isinstance(effect, ReadDesk):
            desk = self.desk
            assert desk is not None
            lost = isinstance(desk.dead, LeaseLost)
            mark = (ledger_key(desk.ledger), lost) if self.keyed else 0
            return Desk(ledger=desk.ledger, lost=lost), mark
        if isinstance(effect, ReadSigner):
            signer = self.signer
            return Signer(credentials=signer, pinned=False), signer and signer.token_id
        if isinstance(effect, ReadPair):
            return pair_at(effect.place), effect.place
        if isinstance(effect, ReadProfile):
            return PROFILE_ID, 0
        if isinstance(effect, ReadHalt):
            return Halt(sentence=self.halted, signalled=False), self.halted
        if isinstance(effect, CheckIdentity):
            refused = PersonNeededError("an identity token is needed to derive")
            return (CAPABLE if self.wish.identity else refused), 0
        self._note(effect)
        # A person has had enough of waiting.
        return (True if isinstance(effect, Pause) else None), 0

    def _note(self, effect: Effect[Any]) -> None:
        if isinstance(effect, HaltRun):
            self.halted = effect.sentence
        elif isinstance(effect, StopDeriving):
            self.closed = self.closed or effect.sentence
        elif isinstance(effect, NoteLedger):
            if self.desk is not None and self.holds_lease:
                noted = (*self.desk.noted, effect.transition)
                self.desk = dataclasses.replace(self.desk, noted=noted)
        elif isinstance(effect, UseSigner):
            self.signer = effect.credentials
        elif isinstance(effect, Ended):
            outcome = effect.row.outcome
            assert "internal error" not in outcome.sentence, outcome.sentence
            self.rows = (*self.rows, effect.row)


def one_by_one(step: Step[Any]) -> Step[Any]:
    """The step with its reads side by side performed one after the other.

    What one of them raises is raised in the step, as production's driver does.
    """
    try:
        effect = step.send(None)
        while True:
            if isinstance(effect, Together):
                try:
                    reply: Any = yield from _each(effect)
                except ReconcilerError as error:
                    effect = step.throw(error)
                    continue
            else:
                reply = yield effect
            effect = step.send(reply)
    except StopIteration as end:
        return end.value


def _each(effect: Together[Any]) -> Step[tuple[Any, ...]]:
    results: tuple[Any, ...] = ()
    for make in effect.steps:
        results = (*results, (yield from one_by_one(make())))
    return results


def key_of(what: Any) -> object:
    """Equal for two values that a stage can't tell apart, and hashable."""
    if isinstance(what, Observed):
        return (
            ledger_key(what.ledger),
            what.ledger_version,
            frozenset(what.live),
            frozenset(what.secrets.items()),
            frozenset(what.contents.items()),
            what.now_ms,
        )
    if isinstance(what, Progress):
        kept = what.tried, what.rounds, what.person, what.stopped, what.holds_lease, what.shown
        return key_of(what.outlook.observed), key_of(what.rows), kept
    if isinstance(what, Row):
        outcome = what.outcome
        waits = outcome.asked, outcome.unclear
        return what.change.label, what.change.action, outcome.status, waits
    if isinstance(what, Ledger):
        return ledger_key(what)
    if isinstance(what, Credentials):
        return what.token_id
    if isinstance(what, Session):
        return what.run
    if isinstance(what, Adoption):
        return what.session.run
    if isinstance(what, (tuple, list)):
        rows = [key_of(one) for one in what]
        return frozenset(rows) if what and isinstance(what[0], Row) else tuple(rows)
    if callable(what):
        return what.__qualname__
    return what
