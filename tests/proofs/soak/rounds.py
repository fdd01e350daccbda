"""One fleet, round after round: a changed manifest, disturbed runs, then one that is
not disturbed, and one that finds nothing.

    change       the manifest at random; now and then a person acts at either peer
    disturb      one or two runs at once; consumers work all the while
    repair, calm both peers are well again; time passes, so that no lease is left
    settle       one undisturbed run: exit 0, or 4 where a person has to decide
    quiet        one more: not one mutating call, not one write
    judge        see ``judge.py``
    wake         a run that slept through all that goes on; then settle to judge again

Rules this module keeps:

1. Everything that is drawn comes from the fleet's seed, in the order of the rounds.
2. Whatever happens is noted with its time, so that a violation comes with its story.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.model import MINUTE_MS, SECOND_MS, instant_ms
from reconciler.plan.setting import IN_USE_MS
from reconciler.state.emptying import emptied_of
from reconciler.state.ledger import Entry, Ledger
from reconciler.state.ledger_text import to_text
from reconciler.state.uses import doubt_of
from tests.proofs.soak.disturbances import LONGEST_LATE_S, Disturber
from tests.proofs.soak.judge import Judge, ViolationError
from tests.proofs.soak.manifest import LABELS, MANAGER, Wishes
from tests.proofs.soak.network import Line, Traffic
from tests.proofs.soak.peers import Exchange, UnavailableError, Vault
from tests.proofs.soak.processes import Order, Run, Way
from tests.proofs.soak.watcher import Watcher
from tests.support.openbao import DurableOpenBao

LEASE_S = 60
LEASE_MS = (LEASE_S + 1) * 1_000
SPANS_MS = (LEASE_MS, LEASE_MS, 11 * MINUTE_MS, 61 * MINUTE_MS, 247 * MINUTE_MS)
CLOCK_GRAIN_MS = SECOND_MS
WAITS = frozenset({"overlap", "still_used"})
RIPE_RUNS = 3
DECISIONS = frozenset({"twin", "occupied", "path_taken", "ledger_restored", "reserve_used"})
ALONE = 0.25
"""How often a run that is disturbed has no identity."""

RUN_S = 240
CODES = frozenset({0, 1, 4, 5, 6})
UNSEEMLY = ("Traceback", "internal error", "Exception ignored")
TYPICAL_EVENTS = (100, 60)
STORY_EVENTS = 400


def _ripe_ms(entry: Entry, used_ms: int, doubt_ms: int) -> int:
    """From when on the token of a label that left may go, by its last use.

    What the program does not know of a use for so long is its doubt. Its secret is
    deleted before, and a list of after that decides.
    """
    current, quiet_ms = entry.current, entry.overlap_ms or 0
    assert current is not None
    over_ms = (current.left_ms or 0) + quiet_ms
    row = emptied_of(entry, current.token_id)
    emptied_ms = row.at_ms if row is not None else None
    return doubt_ms + max(over_ms, used_ms + max(IN_USE_MS, quiet_ms), emptied_ms or 0)


def _was_unproven(clean: dict[str, Any], token_id: str | None) -> bool:
    """Whether a run held this very token because uses proved nothing."""
    return any(
        hold["reason"] == "unproven" and hold["before"] and hold["before"]["token_id"] == token_id
        for hold in clean["holds"]
    )


def _proves(ledger: Ledger, overlap_ms: int) -> bool:
    """Whether what a ledger knows of uses decides about a token with such an overlap.

    A run's own lists may show uses closer together than was known before it.
    """
    doubt_ms = doubt_of(ledger.uses)
    return doubt_ms is not None and doubt_ms <= max(overlap_ms, MINUTE_MS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a fleet is run. ``limits``: the sandbox enforces the exchange's.

    ``waits``: leases are waited for in real time.
    """

    way: Way
    limits: bool
    waits: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was done and met with.

    ``rounds`` were judged, ``runs`` are processes of the program, ``applied`` and
    ``recovered`` changes of undisturbed runs; ``looks``: so often the watcher read
    every secret.
    """

    rounds: int = 0
    runs: int = 0
    applied: int = 0
    recovered: int = 0
    looks: int = 0
    kills: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            rounds=self.rounds + other.rounds,
            runs=self.runs + other.runs,
            applied=self.applied + other.applied,
            recovered=self.recovered + other.recovered,
            looks=self.looks + other.looks,
            kills=self.kills + other.kills,
            faults=self.faults + other.faults,
        )


UNKIND: tuple[tuple[str, ...], ...] = (
    (),
    ("--used-after", "2"),
    ("--used-grain", "second"),
    ("--used-grain", "minute"),
    ("--used-every", "60"),
    ("--used-never",),
    ("--date-off", "20"),
    ("--date-off", "-20"),
    ("--label-forms", "trim,lower"),
)
"""What an exchange is allowed to be like. Each life draws one."""


class Fleet:
    """A fleet of its own: sandbox, OpenBao, prefix, manifest. A context manager."""

    def __init__(self, folder: Path, pace: Pace, seed: str) -> None:
        self.seed = seed
        self.rounds = 0
        self.runs = 0
        self.applied = 0
        self.recovered = 0
        self.story: collections.deque[str] = collections.deque(maxlen=STORY_EVENTS)
        self._folder = folder
        self._pace = pace
        self._chance = random.Random(seed)  # noqa: S311  # a schedule, no secret
        self._wishes = Wishes(self._chance)
        self.unkind = self._chance.choice(UNKIND)
        self._events: tuple[int, ...] = TYPICAL_EVENTS
        self._texts: list[str] = []
        self._stack = contextlib.ExitStack()
        self._begun: list[Run] = []
        self._held: frozenset[str] = frozenset()
        self._named: frozenset[str] = frozenset()
        self._waiting: frozenset[str] = frozenset()
        self._used: frozenset[str] = frozenset()
        self._disturbed_s = 0.0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._traffic = Traffic()
            home = self._folder / "openbao"
            home.mkdir()
            self._server = stack.enter_context(DurableOpenBao(home))
            self._line = stack.enter_context(Line("Vault", self._traffic, self._server.port))
            self._exchange = stack.enter_context(
                Exchange(self._folder, self._traffic, limits=self._pace.limits, unkind=self.unkind)
            )
            self._vault = Vault(self._server, "limitless/tokens")
            self._watcher = stack.enter_context(Watcher(self._exchange, self._vault, self.seed))
            self._judge = Judge(self._exchange, self._vault, self._watcher, exact=not self.unkind)
            self._disturber = Disturber(
                vault=self._server,
                exchange=self._exchange,
                to_vault=self._line,
                chance=self._chance,
                tell=self.tell,
            )
            stack.callback(self._end_runs)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def tally(self) -> Tally:
        """What was done and met with so far."""
        return Tally(
            rounds=self.rounds,
            runs=self.runs,
            applied=self.applied,
            recovered=self.recovered,
            looks=self._watcher.looks,
            kills=self._disturber.kills.copy(),
            faults=self._disturber.faults.copy(),
        )

    def _end_runs(self) -> None:
        for run in self._begun:
            run.end()

    def tell(self, text: str) -> None:
        """One line of the story."""
        self.story.append(
            f"{time.strftime('%H:%M:%S')}.{time.time_ns() // 1_000_000 % 1_000:03d}  {text}"
        )

    # --- runs ---

    def _start(self, *arguments: str, impatient: bool = False, alone: bool = False) -> Run:
        self.runs += 1
        name = f"run {self.runs}"
        output = self._folder / f"{name.replace(' ', '-')}.log"
        environ = {
            "HOME": str(self._folder),
            "PYTHONWARNINGS": "error",
            "COLUMNS": "120",
            "LIMITLESS_API_URL": self._exchange.line.url,
            "LIMITLESS_IDENTITY_TOKEN": self._exchange.identity_token,
            "VAULT_ADDR": self._line.url,
            "VAULT_TOKEN": self._server.root_token,
        }
        if alone:
            del environ["LIMITLESS_IDENTITY_TOKEN"]
        self.tell(f"{name}: {' '.join(arguments)}{' (without an identity)' if alone else ''}")
        order = Order(
            arguments=arguments,
            environ=environ,
            folder=self._folder,
            output=output,
            impatient=impatient,
        )
        handle = self._pace.way.start(order)
        run = Run(name=name, arguments=arguments, handle=handle, output=output)
        self._begun.append(run)
        return run

    def _end(self, run: Run) -> int | None:
        """Its exit code, None where it sleeps.

        What it printed is kept for the search of leaks.
        """
        code = run.wait(RUN_S)
        if code is None and run.asleep:
            return None
        text = run.text()
        self._texts.append(text)
        self.tell(f"{run.name}: exit {code}: {text.strip().splitlines()[-2:]}")
        if code is None:
            raise ViolationError(f"rest: {run.name} did not end within {RUN_S} s")
        expected = CODES | {-number for number in run.signals}
        if code not in expected or any(unseemly in text for unseemly in UNSEEMLY):
            raise ViolationError(
                f"10: {run.name} ({' '.join(run.arguments)}) ends with {code}:\n{text}"
            )
        self._begun.remove(run)
        run.output.unlink()
        return code

    def _flags(self) -> tuple[str, ...]:
        flags = ["--yes", "--max-missing", "9", "--max-revocations", "9"]
        # a wish that comes round again is the newest one, and a wrong scope was a fault
        flags += ["--allow-older-manifest", "--retry-scopes"]
        if self._chance.random() < 0.5:
            flags.append("--revoke-in-use")
        if self._held and self._chance.random() < 0.3:
            flags.append("--ledger-restored")
        for label in sorted(self._held & set(self._wishes.labels)):
            if self._chance.random() < 0.3:
                flags += ["--replace", label]
        return tuple(flags)

    def _at_once(self) -> tuple[str, ...]:
        """A label that left, which is to go without its overlap."""
        known = self._judge.ledger.tokens if self._judge.ledger is not None else {}
        gone = sorted(known.keys() - set(self._wishes.labels) - {MANAGER})
        if not gone or self._chance.random() > 0.3:
            return ()
        return ("--revoke-now", self._chance.choice(gone))

    def _command(self) -> tuple[str, ...]:
        """What a run that will be disturbed is asked."""
        draw, label = self._chance.random(), self._chance.choice(self._wishes.labels)
        if draw < 0.66:
            return ("apply", *self._flags(), *self._at_once())
        if draw < 0.82:
            return ("rotate", "--target", label, *self._flags())
        if draw < 0.87:
            return ("rotate", "--target", label, "--compromised", *self._flags())
        if draw < 0.89:
            distrust = "--compromised", "--distrust-reserve"
            return ("rotate", "--target", label, *distrust, *self._flags())
        if draw < 0.95:
            return ("rollback", "--target", label, "--yes")
        return ("bootstrap",) if draw < 0.98 else ("verify",)

    # --- a round ---

    def round(self) -> None:
        """One round. ViolationError if something was lost."""
        unkind = f" ({' '.join(self.unkind)})" if self.unkind else ""
        self.tell(f"--- round {self.rounds + 1} of seed {self.seed}{unkind}")
        self._texts = []
        for changed in self._wishes.change():
            self.tell(f"manifest: {changed}")
        self._wishes.write(
            self._folder / "tokens.yaml", mount=self._vault.mount, prefix=self._vault.prefix
        )
        self._persons_act()
        sleepers = self._disturb()
        self._calm()
        self._settle()
        for sleeper in sleepers:
            self.tell(f"{sleeper.name}: woken")
            sleeper.wake()
            self._end(sleeper)
            self._calm()
            self._settle()
        self._judge.check_leaks([*self._texts, *self._files()])
        self.rounds += 1

    def _files(self) -> Iterator[str]:
        for file in (self._folder / "tokens.yaml", self._folder / "report.json"):
            if file.exists():
                yield file.read_text(encoding="utf-8")

    def _persons_act(self) -> None:
        """Now and then somebody does something at the exchange, or in Vault, without
        asking the program.
        """
        chance, ledger = self._chance, self._judge.ledger
        for held in sorted(self._held):
            if chance.random() < 0.6:
                self._decide(held)
        for token_id in sorted(self._used):
            if chance.random() < 0.6:
                self._revoke_by_hand(token_id, "a reserve that somebody used")
        for token_id in sorted(self._named):
            if chance.random() < 0.3:
                self._revoke_by_hand(token_id, "what was probably ours")
        self._named = frozenset()
        for label in ("somebody's", chance.choice(LABELS)):
            if chance.random() < 0.1:
                self._make_by_hand(label)
        self._harm_one(ledger)

    def _harm_one(self, ledger: Ledger | None) -> None:
        """Somebody revokes a token, or spoils or deletes a secret."""
        chance = self._chance
        entries = sorted(ledger.tokens.items()) if ledger is not None else []
        currents = [
            (label, entry, entry.current) for label, entry in entries if entry.current is not None
        ]
        if not currents:
            return
        label, entry, current = chance.choice(currents)
        draw = chance.random()
        if draw < 0.06 and (label != MANAGER or chance.random() < 0.3):
            self._revoke_by_hand(current.token_id, f"the current one of {label}")
        elif draw < 0.12:
            self.tell(f"a person writes over {entry.path}")
            self._vault.overwrite(entry.path, self._vault.read(entry.path).version)
        elif draw < 0.18:
            self.tell(f"a person deletes the secret at {entry.path}")
            self._vault.delete(entry.path, self._vault.read(entry.path).version)
        elif draw < 0.3 and entry.reserve:
            self._harm_reserve(chance.choice(entry.reserve).path)

    def _harm_reserve(self, path: str) -> None:
        """Somebody deletes or overwrites the document of a reserve."""
        if self._chance.random() < 0.5:
            self.tell(f"a person writes over {path}")
            self._vault.overwrite(path, self._vault.read(path).version)
        else:
            self.tell(f"a person deletes the document {path}")
            self._vault.delete(path, 1)

    def _make_by_hand(self, label: str) -> None:
        """A person makes a token, and works with it: one that nobody ever used can't be
        told from an interrupted derive's.
        """
        token_id = self._exchange.ask("POST", "derive", {"label": label})["token_id"]
        self._judge.by_hand.add(token_id)
        self._exchange.ask("POST", "use", {"token_id": token_id})
        self.tell(f"a person makes {token_id} ({label})")

    def _revoke_by_hand(self, token_id: str, what: str) -> None:
        if self._exchange.tokens()[token_id]["revoked_at_ms"] is None:
            self.tell(f"a person revokes {token_id}, {what}")
            self._watcher.by_person.add(token_id)
            self._exchange.ask("POST", "revoke", {"token_id": token_id})

    def _decide(self, label: str) -> None:
        """A person takes away what a label waits for."""
        ledger = self._judge.ledger
        known = ledger.known_ids() if ledger is not None else {}
        for token_id, token in self._exchange.tokens().items():
            if token["label"] == label and token_id not in known:
                self._revoke_by_hand(token_id, f"a twin of {label}")
        for path in (one.path for one in self._wishes.wanted() if one.label == label):
            content = self._vault.read(path)
            if content.fields is not None:
                self._vault.delete(path, content.version)

    def _disturb(self) -> list[Run]:
        """One or two runs, and what happens to them and around them; those that are
        suspended still.
        """
        before = self._state()
        if self._judge.ledger is None:
            commands: list[tuple[str, ...]] = [("bootstrap",)]
        else:
            commands = [self._command() for _ in range(2 if self._chance.random() < 0.3 else 1)]
            if len(commands) > 1 and self._chance.random() < 0.5:
                commands[1] = (*commands[1], "--wait", "3")
        runs: list[Run] = []
        self._traffic.play(self._disturber.script(runs, len(commands), self._events))
        while len(runs) < len(commands):
            command = commands[len(runs)]
            alone = command[0] in {"apply", "rotate"} and self._chance.random() < ALONE
            runs.append(self._start(*command, impatient=True, alone=alone))
        self._disturbed_s = time.monotonic()
        ends = [(run, self._end(run)) for run in runs]
        sleepers = [run for run, code in ends if code is None]
        self._repair()
        if len(runs) == 1 and not sleepers:
            self._check_honest(runs[0], ends[0][1], before)
        return sleepers

    def _state(self) -> object:
        """What a run that ends with 1 has not changed. Its lease may come and go."""
        secrets = {
            path: latest for path, latest in self._vault.latest().items() if path != "_ledger"
        }
        tokens = self._exchange.tokens()
        return secrets, {token_id: token["revoked_at_ms"] for token_id, token in tokens.items()}

    def _check_honest(self, run: Run, code: int | None, before: object) -> None:
        """The exit code of a disturbed run is true: 0, it is done; 1, nothing was
        changed.
        """
        if code == 1 and self._state() != before:
            raise ViolationError(f"10: {run.name} ends with 1, and something was changed")
        if code == 0 and run.arguments[0] == "apply":
            self._judge.judge_done(self._wishes.wanted())

    def _repair(self) -> None:
        """Both peers are well again."""
        self._disturber.calm()
        self._traffic.play({})
        for failure in self._disturber.failures:
            raise ViolationError(failure)

    def _calm(self) -> None:
        """Time passes, so that no lease is left; what may land late has landed by now,
        or lands before the second run.
        """
        if self._chance.random() < 0.5:
            self._let_land()
        if not self._pace.waits:
            self._exchange.pass_time(self._chance.choice(SPANS_MS))

    def _let_land(self) -> None:
        if self._disturber.may_land_late:
            time.sleep(max(0.0, self._disturbed_s + LONGEST_LATE_S - time.monotonic()))

    def _settle(self) -> None:
        """One undisturbed run, one that finds nothing left to do, and the verdict."""
        with self._watcher.idle():
            if self._needs_bootstrap():
                self._must("bootstrap", "--wait", str(self._wait_s))
            flags = (*self._flags(), "--wait", str(self._wait_s))
            owed = self._judge.owed()
            self._traffic.play({})
            clean = self._applied(flags)
            self._judge.judge_paid(owed)
            self._learn_usual(clean)
            self._let_land()
            self._find_nothing(flags, clean)
        self._judge.judge(
            self._wishes.wanted(), held=self._held, named=self._named, waiting=self._waiting
        )
        if self._pace.waits:
            self._exchange.pass_time(self._chance.choice((0, *SPANS_MS)))

    def _learn_usual(self, clean: dict[str, Any]) -> None:
        """How many events there are while something is done, so that disturbances fall
        into it.
        """
        if clean["summary"]["applied"]:
            counts = zip(self._events, self._traffic.counts, strict=True)
            self._events = tuple(round(0.7 * usual + 0.3 * seen) for usual, seen in counts)

    @property
    def _wait_s(self) -> int:
        return 2 * LEASE_S if self._pace.waits else 5

    def _needs_bootstrap(self) -> bool:
        """Whether there is no token to sign with: the first time, or a person revoked
        it or deleted its secret.
        """
        self._judge.learn()
        entry = self._judge.ledger.tokens.get(MANAGER) if self._judge.ledger is not None else None
        if entry is None or entry.current is None:
            return True
        if self._exchange.tokens()[entry.current.token_id]["revoked_at_ms"] is not None:
            return True
        lives = self._vault.lives(entry.path)
        return all(
            self._vault.read(entry.path, life.version).token_id != entry.current.token_id
            for life in lives
        )

    def _must(self, *arguments: str) -> None:
        code = self._end(self._start(*arguments))
        if code != 0:
            raise ViolationError(
                f"rest: an undisturbed {arguments[0]} ends with {code}:\n{self._texts[-1]}"
            )

    def _applied(self, flags: tuple[str, ...]) -> dict[str, Any]:
        """An undisturbed apply; its report.

        It ends with 0, or with 4 where there is something to decide.
        """
        file = self._folder / "report.json"
        file.unlink(missing_ok=True)
        code = self._end(self._start("apply", *flags, "--report", file.name))
        if code not in {0, 4} or not file.exists():
            raise ViolationError(f"rest: an undisturbed apply ends with {code}:\n{self._texts[-1]}")
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        self._held = frozenset(
            hold["label"] for hold in report["holds"] if hold["reason"] in DECISIONS
        )
        self._waiting = frozenset(hold["label"] for hold in report["holds"])
        self._used = frozenset(
            hold["before"]["token_id"]
            for hold in report["holds"]
            if hold["reason"] == "reserve_used" and hold["before"]
        )
        self._named = frozenset(
            row["token_id"]
            for row in report["not_touched"]
            if row["probably_ours"] or row.get("perhaps_ours")
        )
        if (code == 4) != bool(self._held):
            raise ViolationError(
                f"rest: an undisturbed apply ends with {code} and holds {sorted(self._held)}"
            )
        self._check_decisions()
        self.recovered += sum(1 for row in report["rows"] if row["action"] == "recover")
        self.applied += report["summary"]["applied"]
        return report

    def _check_decisions(self) -> None:
        """Whoever has to decide really has to."""
        self._judge.learn()
        ledger = self._judge.ledger
        assert ledger is not None
        known = ledger.known_ids()
        twins = {
            token["label"]
            for token_id, token in self._exchange.tokens().items()
            if token_id not in known
        }
        owners = {i: label for i, label in ledger.known_ids().items() if i in self._used}
        for one in self._wishes.wanted():
            if (
                one.label in self._held
                and one.label not in owners.values()
                and one.label not in twins
                and self._vault.read(one.path).fields is None
            ):
                raise ViolationError(
                    f"rest: {one.label} waits for a decision, and there is nothing to decide"
                )

    def _find_nothing(self, flags: tuple[str, ...], clean: dict[str, Any]) -> None:
        """Invariant 2.

        What became due between the two runs is done by the second one, and then there
        is nothing.
        """
        for _ in range(RIPE_RUNS):
            self._judge.learn()
            ledger = self._judge.ledger
            assert ledger is not None
            before = self._exchange.mutating_calls(), self._vault.latest()
            report = self._applied(flags)
            after = self._exchange.mutating_calls(), self._vault.latest()
            if after == before:
                return
            promoted = {row["label"] for row in report["rows"] if row["action"] == "promote"}
            for row in report["rows"]:
                if row["action"] == "stock" and row["label"] in promoted:
                    continue  # in place of what a rotation took that ripened itself
                if not self._ripened(row, clean, ledger):
                    raise ViolationError(f"2: the second run is not quiet: {row}")
            if not report["rows"]:
                raise ViolationError("2: the second run wrote, and reports nothing")
            clean = report
        raise ViolationError("2: run after run finds something to do")

    def _ripened(self, row: dict[str, Any], clean: dict[str, Any], ledger: Ledger) -> bool:
        """Whether the time for this row came only after the run before had looked.

        Where it waited for predecessors to go, that run made room for it.
        """
        # an unkind exchange shows uses to a minute, and its time is half a minute wrong
        looked_ms = instant_ms(clean["started_at"]) - (MINUTE_MS if self.unkind else 0)
        token_id, entry = (
            row["before"]["token_id"] if row["before"] else None,
            ledger.tokens.get(row["label"]),
        )
        token = self._exchange.tokens().get(token_id or "")
        if entry is None or token is None:
            return False
        used_ms = (
            token["last_used_at_ms"] or 0
        ) + CLOCK_GRAIN_MS  # a run knows the exchange's clock to a second
        held_ids = {hold["before"]["token_id"] for hold in clean["holds"] if hold["before"]}
        if row["reason"].startswith("reserve_") and token_id in held_ids:
            return True
        if row["reason"] == "due":
            current = entry.current
            since_ms = current.in_use_since_ms if current is not None else None
            due_ms: int = (since_ms or token["created_at_ms"]) + self._wishes.due_after_ms(
                row["label"]
            )
            held = {(hold["label"], hold["reason"]) for hold in clean["holds"]}
            return due_ms > looked_ms or (row["label"], "piled_up") in held
        if row["reason"] in {"not_desired", "left"} and entry.current is not None:
            held = {(hold["label"], hold["reason"]) for hold in clean["holds"]}
            ripe_ms = _ripe_ms(entry, used_ms, doubt_of(ledger.uses) or 0)
            return ripe_ms > looked_ms or (row["label"], "unproven") in held
        for retiring in entry.retiring:
            if row["reason"] == "superseded" and retiring.token_id == token_id:
                overlap_ms = retiring.not_before_ms - retiring.superseded_at_ms
                doubt_ms = doubt_of(ledger.uses) or 0  # the last use may be shown so late
                ripe_ms = max(retiring.not_before_ms, used_ms + overlap_ms + doubt_ms)
                waited = any(
                    h["label"] == row["label"] and h["reason"] in WAITS for h in clean["holds"]
                )
                if ripe_ms > looked_ms and (overlap_ms > 0 or waited):
                    return True
                if self._emptied_late(entry, token_id, ledger, looked_ms):
                    return True
                if overlap_ms == 0 and retiring.superseded_at_ms >= looked_ms:
                    # that run would have ended it at once, had uses been known to it
                    return "unproven" in {hold["reason"] for hold in clean["holds"]}
                unproven = _was_unproven(clean, token_id) and not _proves(ledger, overlap_ms)
                return unproven or self._learnt(entry, clean, row["label"])
        return False

    def _emptied_late(
        self, entry: Entry, token_id: str | None, ledger: Ledger, looked_ms: int
    ) -> bool:
        """Whether a use from before its secret was deleted could not be shown by then.

        The run before deleted it, and a list of later than that by the doubt decides.
        """
        row = emptied_of(entry, token_id or "")
        if row is None or row.at_ms is None:
            return False
        return row.at_ms + (doubt_of(ledger.uses) or 0) > looked_ms

    def _learnt(self, entry: Entry, clean: dict[str, Any], label: str) -> bool:
        """Whether a use of the successor so near to our own counts by now.

        The run's own lists showed that uses are shown more promptly than was known.
        """
        current = entry.current
        if (label, "successor_unused") not in {(h["label"], h["reason"]) for h in clean["holds"]}:
            return False
        token = self._exchange.tokens().get(current.token_id) if current is not None else None
        used_ms = (token or {}).get("last_used_at_ms") or 0
        return current is not None and 0 < used_ms - current.ours_until_ms < MINUTE_MS

    # --- what is told when something was lost ---

    def account(self) -> str:
        """The story of the last rounds, the ledger, and all tokens, without a
        secret.
        """
        lines = [*self.story, "", "ledger:"]
        with contextlib.suppress(AssertionError, UnavailableError):
            self._judge.learn()
        if self._judge.ledger is not None:
            lines.append(json.dumps(json.loads(to_text(self._judge.ledger)), indent=1))
        lines.append("tokens:")
        with contextlib.suppress(UnavailableError):
            lines += [json.dumps(token) for token in self._exchange.tokens().values()]
        return "\n".join(lines)
