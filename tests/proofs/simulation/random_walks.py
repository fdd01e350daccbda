"""Random schedules over larger worlds: several labels, changing wishes, people,
consumers, faults, pauses of any length.

Rules this module keeps:

1. A walk is a list of choices. A choice that is not possible where it stands is
   skipped, so that any part of a walk is a walk.
2. A walk that ends in a violation is shrunk by leaving choices out, as long as the same
   law is broken.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import random
from collections.abc import Callable, Iterable

from reconciler.errors import Exit
from reconciler.model import DAY_MS, HOUR_MS, SECOND_MS, TokenSpec
from reconciler.plan.guards import Policy
from reconciler.protocol.effects import Derive, PutSecret, Undelete
from tests.proofs.simulation.evidence import Violation
from tests.proofs.simulation.explore import (
    LEASE_OVER_MS,
    confirm_revocations,
    land_all,
    manager_is_lost,
    nothing_without_a_ledger,
    sizes_unchecked,
    undisturbed,
)
from tests.proofs.simulation.invariants import (
    check_known,
    check_left,
    check_paid,
    owed_tokens,
)
from tests.proofs.simulation.models import PERSON, PLACE, is_valid
from tests.proofs.simulation.reserves import check_documents, check_ready, is_document, kept_rows
from tests.proofs.simulation.runs import SPOILED, THEIRS, Command, Run, Wish
from tests.proofs.simulation.scenarios import CLEAN_UP, MANAGER, NEW_PLACE, bare, spec, wish
from tests.proofs.simulation.shown import LAWS, Law
from tests.proofs.simulation.tally import Tally
from tests.proofs.simulation.world import (
    IN_RESERVES,
    IN_SECRETS,
    IN_WALKS,
    MUTATING,
    OK,
    PASTS_KEPT,
    STRANGERS,
    Choice,
)

LABELS = ("ant", "bee", "cat")
NEARLY = ("Ant", "BEE")
"""Labels that somebody else's tokens have, and that an exchange may write as ours."""

PATHS = (*LABELS, "dog")
SCOPES = (("trading",), ("account_creation", "trading"))
PAUSES_MS = (
    SECOND_MS,
    LEASE_OVER_MS,
    HOUR_MS + SECOND_MS,
    DAY_MS - HOUR_MS,
    2 * DAY_MS,
    31 * DAY_MS,
)
SKEWS_MS = (0, 900, -900)
"""How far a run is wrong about the exchange's clock, which it knows from a header of
whole seconds."""

FOR_GOOD_MS = (0, 0, 25 * SECOND_MS, -25 * SECOND_MS)
"""How far every Date of a walk is wrong: by more than half a minute no signature that
goes by it is accepted, and the machine's own clock counts."""

WRONG_MS = (-HOUR_MS, HOUR_MS, 26 * HOUR_MS)
"""How far one reply's Date may be wrong."""

FURTHER = ((), ("ID=token_id",), ("ID=token_id", "KEY=secret"), ("KEY=secret",))
SECOND_NAMES = {"ant": "emu", "bee": "fly", "cat": "gnu"}
OTHER_NAMES = SECOND_NAMES | {second: first for first, second in SECOND_NAMES.items()}
"""What each label is renamed to, and back."""

RESERVES = (1, 2, 1, 0)
OVERLAPS_MS = (0, HOUR_MS, 26 * HOUR_MS, 3 * DAY_MS)

EDITS = ("remove", "add", "scopes", "move", "swap", "overlap", "fields", "rename", "reserve")
BY_HAND = tuple(sorted(IN_SECRETS))
BY_HAND_IN_RESERVES = tuple(sorted(IN_RESERVES))
_WEIGHTS = {
    "run": 60.0,
    "begin": 2.5,
    "land": 2.0,
    "pass": 2.0,
    "read": 2.0,
    "use": 3.0,
    "manifest": 1.2,
    "person": 0.5,
    "lag": 0.1,
    "catch up": 0.4,
    "trim": 0.05,
    "restore": 0.02,
    "wrong": 0.15,
}
KINDS, CUMULATED = tuple(_WEIGHTS), tuple(itertools.accumulate(_WEIGHTS.values()))
VERSIONS_KEPT = ("1", "2", "4", "10")

FAULTY_CHANGE, FAULTY_READ = 0.06, 0.004
RESTLESS = 0.04
"""How often another run goes on: seldom, so that a pause is long enough for a whole
run."""

IN_THE_LEDGER = 0.05
"""How often a person's act is one in the ledger: after a rollback less can be told of
what is lawful."""

STILL_THERE = 0.3
"""How often it is a consumer that has not switched since everything has moved."""

OVERTAKES = 0.5
"""How often a run begins when the lease of the one before has just expired."""

WALK_STEPS = 500
FAULTS_MOST = 1_000_000
SETTLING_RUNS = 4
LAWFUL = 0.5
"""How often uses are shown at once and exactly."""

SELDOM = 0.1
"""How often a row of a list to adopt has a secret that does not sign."""

OFTEN = {
    Command.APPLY: 10,
    Command.ROLLBACK: 2,
    Command.ADOPT: 1,
    Command.ADOPT_MANY: 1,
    Command.BOOTSTRAP: 1,
    Command.VERIFY: 1,
    Command.RELEASE: 0.4,
    Command.MOVE: 0.4,
}
"""How often each command is begun."""

APPLIES = {
    "": 6,
    "alone": 2,
    "compromised": 2,
    "compromised alone": 1,
    "distrust": 0.5,
    "cleanup": 1,
    "replace": 0.5,
}
"""How often an apply is told what more; ``alone`` is one without an identity."""

LENIENT = Policy(
    max_missing=100,
    max_revocations=100,
    max_rotations=100,
    retry_scopes=True,
    allow_older_manifest=True,
)
"""Scopes that were once granted otherwise are asked for again: nothing else would be
derived for the rest of a walk.
"""


class Walk:
    """A world and what is wished for in it right now.

    ``focus`` is the run that goes on while the others pause; ``running`` are those that
    have not ended, save some that just have. ``former`` is the place that the manifest
    named before it named ``here``.
    """

    def __init__(self, tell: Callable[[str], None] | None = None, law: Law | None = None) -> None:
        self.world = bare()
        self.world.exchange.law = law or Law()
        self.world.audit.doubtful = self.world.exchange.law != Law()
        self.world.faults, self.world.keyed = FAULTS_MOST, False
        self.world.tell = tell
        self.focus = ""
        self.running: list[Run] = []
        self.former = ""
        self.specs: dict[str, TokenSpec] = {label: spec(label) for label in LABELS}
        undisturbed(self.world, self.wish("boot", Command.BOOTSTRAP))
        undisturbed(self.world, self.wish("first", Command.APPLY))
        self.world.disturbed = True

    def clone(self) -> Walk:
        """Return an independent copy of a walk in which nothing runs."""
        assert not self.running
        twin = object.__new__(Walk)
        twin.world, twin.focus, twin.running = self.world.clone(), self.focus, []
        twin.specs, twin.former = dict(self.specs), self.former
        return twin

    def wish(self, name: str, command: Command, *, subject: str = "", more: str = "") -> Wish:
        """What a process that starts now is started with."""
        policy = LENIENT
        if command is Command.APPLY and subject in self.specs:
            chosen = frozenset({subject})
            if more == "replace":
                policy = dataclasses.replace(policy, replace=chosen)
            else:
                policy = dataclasses.replace(
                    policy,
                    requested=chosen,
                    compromised=more.startswith(("compromised", "distrust")),
                    distrust_reserve=more == "distrust",
                )
        elif command is Command.APPLY and more.startswith("compromised"):
            policy = dataclasses.replace(policy, revoke_now=frozenset({subject} - {""}))
        if command is Command.APPLY and more == "cleanup":
            policy = dataclasses.replace(policy, selection=CLEAN_UP.selection)
        token_id = more if command is Command.ADOPT else ""
        rows: tuple[tuple[str, str], ...] = ()
        if command is Command.ADOPT_MANY:
            rows = tuple(zip(subject.split(), more.split(), strict=True))
        specs = list(self.specs.values())
        if self.former:  # a move does not carry reserves yet
            specs = [dataclasses.replace(one, reserve=0) for one in specs]
        plain = wish(name, *specs)
        prefix = self.world.vault.here.partition("/")[2]
        return dataclasses.replace(
            plain,
            manifest=dataclasses.replace(plain.manifest, prefix=prefix),
            policy=policy,
            command=command,
            subject=subject,
            token_id=token_id,
            rows=rows,
            origin=self.former if command is Command.MOVE else "",
            identity=not more.endswith("alone"),
        )

    # --- choosing ---

    def choose(self, dice: random.Random, number: int) -> Choice | None:
        """A choice that is possible now, or None."""
        kind = KINDS[bisect.bisect(CUMULATED, dice.random() * CUMULATED[-1])]
        world = self.world
        if kind == "run":
            return self._choose_run(dice)
        if kind == "begin":
            return self._choose_begin(dice, number)
        if kind == "land":
            return ("land", str(dice.randrange(len(world.flights)))) if world.flights else None
        if kind == "pass":
            return ("pass", str(dice.choices(PAUSES_MS, (8, 4, 3, 1.5, 1, 0.5))[0]))
        if kind in {"lag", "catch up"}:
            return (kind,)
        if kind == "wrong":
            return ("wrong", self.focus, str(dice.choice(WRONG_MS)))
        if kind == "trim":
            return ("trim", dice.choice(VERSIONS_KEPT))
        if kind in {"read", "use"}:
            path = dice.choice(PATHS)
            at_former = self.former and dice.random() < STILL_THERE
            return (kind, world.vault.key_at(self.former, path) if at_former else path)
        if kind == "manifest":
            label = dice.choice(LABELS)
            return ("manifest", label, dice.choice(EDITS), str(dice.randrange(4)))
        return self._choose_person(dice, restores=kind != "person")

    def _choose_run(self, dice: random.Random) -> Choice | None:
        living = self.world.runs
        self.running = [r for r in self.running if not r.ended and living.get(r.name) is r]
        if not self.running:
            return None
        run = self.world.runs.get(self.focus)
        if run is None or run.ended or dice.random() < RESTLESS:
            run = dice.choice(self.running)
            self.focus = run.name
        lane = dice.choice(run.ready())
        effect = run.effect(lane)
        outcome = OK
        faulty = FAULTY_CHANGE if isinstance(effect, MUTATING) else FAULTY_READ
        if effect is not None and type(effect) in IN_WALKS and dice.random() < faulty:
            outcome = dice.choice(IN_WALKS[type(effect)])
        return ("run", run.name, str(lane), outcome)

    def _choose_begin(self, dice: random.Random, number: int) -> Choice:
        often = OFTEN if is_valid(self.world.vault.ledger()) else {**OFTEN, Command.MOVE: 10}
        (command,) = dice.choices(tuple(often), tuple(often.values()))
        name, subject, more = f"r{number}", self._now_called(dice.choice(LABELS)), ""
        if command is Command.APPLY:
            subject = dice.choice((subject, MANAGER)) if dice.random() < 0.4 else ""
            (more,) = dice.choices(tuple(APPLIES), tuple(APPLIES.values()))
        elif command is Command.ADOPT:
            more = dice.choice(self._persons() or ["p1"])
        elif command is Command.ADOPT_MANY:
            subject, more = self._choose_rows(dice)
        elif command is Command.MOVE:
            subject = self._place_to_go_to()
        self.focus = name
        return (
            "begin",
            name,
            command.value,
            subject,
            more,
            str(LEASE_OVER_MS if dice.random() < OVERTAKES else 0),
        )

    def _persons(self, label: str | None = None) -> list[str]:
        """The live tokens that a person made, of one label or of any."""
        exchange = self.world.exchange
        return [
            token_id
            for token_id, token in exchange.live.items()
            if exchange.made_by[token_id] == PERSON and label in {None, token.label}
        ]

    def _choose_rows(self, dice: random.Random) -> tuple[str, str]:
        """The labels and places of a list to adopt, of which most can be adopted."""
        rows: dict[str, str] = {}
        labels = sorted(self.specs) or LABELS
        for label in dice.sample(labels, dice.randint(1, len(labels))):
            token_id = dice.choice(self._persons(label) or self._persons() or ["p1"])
            rows[label] = f"{SPOILED if dice.random() < SELDOM else THEIRS}/{token_id}"
        return " ".join(rows), " ".join(rows.values())

    def _now_called(self, label: str) -> str:
        """A label as the manifest calls it now, if it is there."""
        second = SECOND_NAMES[label]
        return second if second in self.specs else label

    def _place_to_go_to(self) -> str:
        """Another place; or the one that the manifest names, if nothing came there."""
        vault = self.world.vault
        if self.former and not is_valid(vault.ledger()):
            return vault.here
        return next(place for place in (PLACE, NEW_PLACE) if place != vault.here)

    def _choose_person(self, dice: random.Random, *, restores: bool) -> Choice:
        if restores and not self.former:  # else the manifest has to be of that time as well
            return ("person", "restores Vault", str(dice.randint(1, PASTS_KEPT)))
        if self.world.vault.ledger_deleted:
            return ("person", "undeletes the ledger", "")
        if dice.random() < IN_THE_LEDGER:
            back = str(dice.choice((1, 2, 4, 8)))
            return dice.choice(
                (("person", "deletes the ledger", ""), ("person", "rolls the ledger back", back))
            )
        what = dice.choice((*BY_HAND, *BY_HAND_IN_RESERVES, "revokes", *STRANGERS))
        if what in IN_RESERVES:
            return ("person", what, self._now_called(dice.choice(LABELS)))
        if what.endswith("version of"):
            return ("person", what, self._path_in_flux(dice))
        if what in BY_HAND:
            return ("person", what, dice.choice(PATHS))
        if what == "revokes":
            ours = [t for t in self.world.exchange.live if not t.startswith("t-boot")]
            return ("person", what, dice.choice(ours) if ours else "none")
        return ("person", what, dice.choice((*map(self._now_called, LABELS), *NEARLY)))

    def _path_in_flux(self, dice: random.Random) -> str:
        """Where an intent is open, if there is one."""
        ledger = self.world.vault.ledger()
        entries = ledger.tokens.values() if ledger is not None else ()
        return dice.choice([e.intent.path for e in entries if e.intent is not None] or PATHS)

    # --- happening ---

    def take(self, choice: Choice) -> None:
        """Let it happen, if it is possible here."""
        world = self.world
        match choice:
            case ("begin", name, command, subject, more, pause_ms):
                world.now_ms += int(pause_ms)
                self._begin(name, Command(command), subject, more)
            case ("law", *_):
                pass  # it held from the start
            case ("manifest", label, what, number):
                self._edit(label, what, int(number))
            case ("run", name, lane, outcome):
                run = world.runs.get(name)
                if run is None or run.ended or int(lane) not in run.ready():
                    return
                effect = run.effect(int(lane))
                if outcome == OK or (
                    effect is not None and outcome in IN_WALKS.get(type(effect), ())
                ):
                    world.take(choice)
            case ("land", number) if int(number) >= len(world.flights):
                pass
            case ("person", "writes anew", _):
                if not any(isinstance(f.effect, PutSecret) for f in world.flights):
                    world.runs = {}  # a write of before would fit again
                    world.take(choice)
            case _:
                world.take(choice)

    def _begin(self, name: str, command: Command, subject: str, more: str) -> None:
        world = self.world
        if command is Command.MOVE and not self._go_to(subject):
            return
        if command is Command.BOOTSTRAP and self.former and not is_valid(world.vault.ledger()):
            return  # a person knows that everything is still to come here
        world.skew_ms[name] = SKEWS_MS[int(name[1:]) % len(SKEWS_MS)]
        world.say(f"{name} starts: {command.value} {subject} {more}")
        self.running.append(world.start(self.wish(name, command, subject=subject, more=more)))

    def _go_to(self, place: str) -> bool:
        """Let the manifest name a place; False where nothing can be moved there."""
        vault = self.world.vault
        if place != vault.here:
            if not is_valid(vault.ledger()) or self._has_reserves():
                return False
            self.former = vault.here
            self.world.go_to(place)
        return bool(self.former)

    def _has_reserves(self) -> bool:
        """Whether documents lie below the folder of the reserves, or may come there."""
        vault, runs = self.world.vault, self.world.runs.values()
        sent = any(isinstance(f.effect, Derive | PutSecret | Undelete) for f in self.world.flights)
        wanted = any(s.reserve for r in runs if not r.ended for s in r.wish.manifest.tokens)
        known = any(True for _ in kept_rows(vault.ledger()))
        there = any(is_document(path) for path in vault.secrets if vault.content(path))
        return sent or wanted or known or there

    def _edit(self, label: str, what: str, number: int) -> None:
        """The manifest changes."""
        now = self._now_called(label)
        if what == "remove":
            self.specs.pop(now, None)
        elif what == "add" and now not in self.specs:
            if all(label != s.path for s in self.specs.values()):
                self.specs[label] = spec(label)
        elif what == "swap" and now in self.specs:
            self._swap(now, self._now_called(LABELS[number % len(LABELS)]))
        elif now in self.specs:
            self._change(self.specs[now], what, number)
        self.world.say(
            f"the manifest: {[(s.label, s.path, s.scopes, s.was) for s in self.specs.values()]}"
        )

    def _swap(self, label: str, other: str) -> None:
        """Two labels have each other's path from now on."""
        if other in self.specs:
            mine, theirs = self.specs[label].path, self.specs[other].path
            self.specs[label] = dataclasses.replace(self.specs[label], path=theirs)
            self.specs[other] = dataclasses.replace(self.specs[other], path=mine)

    def _change(self, old: TokenSpec, what: str, number: int) -> None:
        """One key of a line of the manifest is another."""
        label, new = old.label, old
        if what == "scopes":
            new = dataclasses.replace(old, scopes=SCOPES[number % 2])
        elif what == "overlap":
            new = dataclasses.replace(old, overlap_ms=OVERLAPS_MS[number])
        elif what == "fields":
            new = dataclasses.replace(old, fields=FURTHER[number])
        elif what == "reserve":
            new = dataclasses.replace(old, reserve=RESERVES[number])
        elif what == "rename":
            del self.specs[label]
            new = dataclasses.replace(old, label=OTHER_NAMES[label], was=label)
        elif what == "move" and all(PATHS[number] != s.path for s in self.specs.values()):
            new = dataclasses.replace(old, path=PATHS[number])
        self.specs[new.label] = new

    def rest(self) -> None:
        """All processes die, all that is on its way lands: a few undisturbed runs, and
        one that does nothing.
        """
        world = self.world
        world.runs, world.faults = {}, 0
        world.exchange.shown = None
        world.now_ms += LEASE_OVER_MS  # no lease may be longer, whatever a Date said
        land_all(world)
        world.say("-- all processes are dead, and all has landed --")
        if world.vault.ledger_deleted:
            nothing_without_a_ledger(world, self.wish("lost", Command.APPLY))
        if self.former and not is_valid(world.vault.ledger()):
            self._finish_move()
        lost = manager_is_lost(world, MANAGER)
        owed = owed_tokens(world, unseen=MANAGER if lost else None)
        run = self._settle()
        if run.exit is Exit.PARTIAL:
            raise Violation("rest", f"an undisturbed run ends with {run.exit!r}: {run.sentence}")
        ledger = world.vault.ledger()
        assert ledger is not None
        if run.seen is None:
            content = world.vault.content(MANAGER)
            if world.audit.rewound and content is not None:
                return  # of a time without a manager, whose path is occupied since
            raise Violation("rest", f"an undisturbed run can't even look: {run.sentence}")
        check_left(world, run)
        check_paid(world, owed)
        check_known(world, ledger, run)
        check_ready(world, run)
        check_documents(world)
        confirm_revocations(world, self.wish("later", Command.APPLY))

    def _settle(self) -> Run:
        """Undisturbed runs until one writes nothing: that one."""
        world = self.world
        for number in range(SETTLING_RUNS):
            if manager_is_lost(world, MANAGER):
                undisturbed(world, self.wish(f"rescue{number}", Command.BOOTSTRAP))
            before = world.mutations
            run = undisturbed(world, self.wish(f"fresh{number}", Command.APPLY))
            if run.exit not in {Exit.DONE, Exit.PERSON_NEEDED, Exit.PARTIAL}:
                raise Violation(
                    "rest", f"an undisturbed run ends with {run.exit!r}: {run.sentence}"
                )
            if world.mutations == before:
                return run
            world.now_ms += SECOND_MS
        raise Violation("2", "undisturbed runs write again and again")

    def _finish_move(self) -> None:
        """Finish what was begun at the place of before, and move; or stay there, where
        a person has to decide first.
        """
        world, here = self.world, self.world.vault.here
        world.go_to(self.former)
        begun = not is_valid(world.vault.ledger())
        if not begun:
            self._settle()
        world.go_to(here)
        for path in (*PATHS, MANAGER) if begun else ():
            content = world.vault.content(path)
            if content is not None and content.by == PERSON:
                world.take(("person", "deletes the latest", path))
        run = undisturbed(world, self.wish("mover", Command.MOVE))
        world.now_ms += SECOND_MS
        if run.exit is not Exit.DONE and begun:
            raise Violation("rest", f"a move ends with {run.exit!r}: {run.sentence}")
        if run.exit is not Exit.DONE:
            world.go_to(self.former)


@functools.cache
def _start(law: Law) -> Walk:
    return Walk(law=law)


def _begun(law: Law) -> Walk:
    """A walk that has not gone anywhere."""
    return _start(law).clone()


def _law_of(choices: Iterable[Choice]) -> Law:
    """The law that the choices begin with, or else the exact one."""
    for what, *more in choices:
        if what == "law":
            return Law(more[0], int(more[1]))
    return Law()


def walk(
    seed: int, steps: int, tally: Tally | None = None
) -> tuple[list[Choice], Violation | None]:
    """Take one random walk: its choices, and the violation that ended it."""
    tally = tally or Tally()
    tally.walks += 1
    tally.rests += 1
    dice = random.Random(seed)  # noqa: S311  # the same seed, the same walk
    law = Law() if dice.random() < LAWFUL else dice.choice(LAWS)
    course = _begun(law)
    taken: list[Choice] = [("law", law.kind, str(law.ms))]
    if ahead_ms := dice.choice(FOR_GOOD_MS):
        taken.append(("clock", str(ahead_ms)))
    try:
        for first in taken:
            course.take(first)
        for number in range(steps):
            choice = course.choose(dice, number)
            if choice is not None:
                taken.append(choice)
                tally.count(choice)
                course.take(choice)
        course.rest()
    except Violation as violation:
        return taken, violation
    return taken, None


def replay(
    choices: Iterable[Choice],
    tell: Callable[[str], None] | None = None,
    *,
    start: Walk | None = None,
) -> Violation | None:
    """Walk the same way again, or a part of it.

    ``start`` is a walk of the choices' law that has not gone anywhere.
    """
    choices = tuple(choices)
    course = Walk(tell, _law_of(choices)) if start is None else start
    try:
        for choice in choices:
            course.take(choice)
        course.rest()
    except Violation as violation:
        return violation
    return None


def shrink(choices: list[Choice], law: str) -> list[Choice]:
    """The choices without what is not needed for a violation of the same law."""
    size = max(1, len(choices) // 2)
    while True:
        at, shorter = 0, False
        while at < len(choices):
            part = choices[:at] + choices[at + size :]
            violation = replay(part, start=_begun(_law_of(part)))
            if violation is not None and violation.law == law:
                choices, shorter = part, True
            else:
                at += size
        if size > 1:
            size = max(1, size // 2)
        elif not shorter:
            return choices


def walks(
    seeds: Iterable[int], steps: int, tally: Tally
) -> dict[int, tuple[list[Choice], Violation]]:
    """The walks that ended in a violation, by seed."""
    found: dict[int, tuple[list[Choice], Violation]] = {}
    with sizes_unchecked():
        for seed in seeds:
            taken, violation = walk(seed, steps, tally)
            if violation is not None:
                found[seed] = taken, violation
    return found
