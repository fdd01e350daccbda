"""What goes wrong in a round: drawn from a seed, each at the n-th event of the traffic
between the program and its peers.
"""

from __future__ import annotations

import collections
import enum
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.proofs.soak.manifest import MANAGER
from tests.proofs.soak.network import Act, Direction, Fate, Line, Moment, cut, delay
from tests.proofs.soak.peers import Exchange
from tests.proofs.soak.processes import Run
from tests.support.openbao import DurableOpenBao

_AWAY_S = (0.02, 0.9)
_JITTER_S = (0.005, 0.06)
_NAP_S = (0.02, 0.5)
_SOON_S = 0.001
_WHILE_IT_ACTS = 0.8
_LATE_MS = (50, 900)
LONGEST_LATE_S = _LATE_MS[1] / 1_000


class Kind(enum.Enum):
    """What happens, to the program or to a peer. The value is its line of the tally."""

    KILL = "kill -9 of a run"
    TERM = "SIGTERM of a run"
    INT = "SIGINT of a run"
    INT_TWICE = "two SIGINT of a run"
    NAP = "run suspended for a moment"
    SLEEP = "run suspended until another one was done"
    VAULT_KILL = "kill -9 of OpenBao"
    VAULT_SEAL = "OpenBao sealed"
    VAULT_NAP = "OpenBao suspended"
    EXCHANGE_KILL = "kill -9 of the sandbox"
    EXCHANGE_NAP = "sandbox suspended"
    CUT = "connection reset"
    DELAY = "data delayed"
    FAULT = "fault of the sandbox"
    QUOTA = "quota of Vault used up"
    JITTER = "jitter on both paths"


WEIGHTS = {
    Kind.KILL: 8,
    Kind.TERM: 2,
    Kind.INT: 2,
    Kind.INT_TWICE: 2,
    Kind.NAP: 2,
    Kind.SLEEP: 3,
    Kind.VAULT_KILL: 3,
    Kind.VAULT_SEAL: 2,
    Kind.VAULT_NAP: 2,
    Kind.EXCHANGE_KILL: 2,
    Kind.EXCHANGE_NAP: 2,
    Kind.CUT: 5,
    Kind.DELAY: 2,
    Kind.FAULT: 5,
    Kind.QUOTA: 3,
    Kind.JITTER: 3,
}
KILLS = frozenset(
    {Kind.KILL, Kind.TERM, Kind.INT, Kind.INT_TWICE, Kind.VAULT_KILL, Kind.EXCHANGE_KILL}
)
"""What the tally counts as kills; all else are faults."""

_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_reply"},
    {"kind": "lost_reply", "operation": "derive"},
    {"kind": "lost_reply", "operation": "revoke"},
    {"kind": "error_after", "operation": "derive", "status": 502},
    {"kind": "error_after", "operation": "revoke", "status": 500},
    {"kind": "error_before", "status": 500},
    {"kind": "error_before", "operation": "derive", "status": 503},
    {"kind": "rate_limit"},
    {"kind": "rate_limit", "operation": "derive"},
    {"kind": "maintenance", "status": 503},
    {"kind": "maintenance", "status": 425},
    {"kind": "garbage", "operation": "derive"},
    {"kind": "garbage"},
    {"kind": "close_before"},
    {"kind": "late", "operation": "derive"},
    {"kind": "late", "operation": "revoke"},
    {"kind": "trim_scopes", "operation": "derive", "scopes": ["trading"]},
)
_OPERATIONS = ("derive", "derive", "revoke", "list", "capabilities")


class Disturber:
    """Makes a round's disturbances happen, and notes each with its time.

    ``tell`` is told what was done. Whatever takes a while is done beside the traffic;
    ``calm`` waits for it and puts all right.
    """

    def __init__(
        self,
        *,
        vault: DurableOpenBao,
        exchange: Exchange,
        to_vault: Line,
        chance: random.Random,
        tell: Callable[[str], None],
    ) -> None:
        self.kills: collections.Counter[str] = collections.Counter()
        self.faults: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.may_land_late = False
        self._vault = vault
        self._exchange = exchange
        self._to_vault = to_vault
        self._chance = chance
        self._tell = tell
        self._beside: list[threading.Thread] = []
        self._one_harm_at_a_time = threading.Lock()
        self._lock = threading.Lock()

    def script(self, runs: Sequence[Run], many: int, events: Sequence[int]) -> dict[Moment, Act]:
        """One to four disturbances of both peers and of ``many`` runs.

        ``events``: so many are usual in all, and since the first change. ``runs`` is
        filled as they are started, which is after the script is set: no event is
        missed.
        """
        chance = self._chance
        script: dict[Moment, Act] = {}
        self.may_land_late = False
        for kind in chance.choices(
            list(WEIGHTS), weights=list(WEIGHTS.values()), k=chance.choice((1, 1, 1, 2, 2, 3, 4))
        ):
            if kind is Kind.FAULT:
                self._add_fault()
            elif kind is Kind.JITTER:
                self._shake()
            else:
                since_change = chance.random() < _WHILE_IT_ACTS
                moment = Moment(chance.randint(1, events[since_change]), since_change)
                script[moment] = self._act(kind, runs, chance.randrange(many))
        return script

    def _add_fault(self) -> None:
        """One for the program only: a list call is that of the manager's token, with
        which no consumer works here.
        """
        chance = self._chance
        fault = {
            "operation": chance.choice(_OPERATIONS),
            **chance.choice(_FAULTS),
            "skip": chance.choice((0, 0, 1, 2)),
            "count": chance.choice((1, 1, 2, 3)),
        }
        if fault["operation"] == "list":
            fault["label"] = MANAGER
        if fault["kind"] == "late":
            fault["delay_ms"] = chance.randint(*_LATE_MS)
        if fault["kind"] == "garbage" and "garbage" not in fault:
            fault["garbage"] = chance.choice(("truncated", "html", "types", "empty", "short"))
        self.may_land_late = self.may_land_late or fault["kind"] == "late"
        self._exchange.ask("POST", "faults", fault)
        self._note(Kind.FAULT, str(fault), name=f"sandbox: {fault['kind']}")

    def _shake(self) -> None:
        """Both paths are uneven until all is calm."""
        jitter_s = self._chance.uniform(*_JITTER_S)
        for line in (self._to_vault, self._exchange.line):
            line.jitter_s = jitter_s
        self._note(Kind.JITTER, f"of {jitter_s * 1000:.0f} ms")

    def _note(self, kind: Kind, text: str, *, name: str = "") -> None:
        with self._lock:
            (self.kills if kind in KILLS else self.faults)[name or kind.value] += 1
        self._tell(f"{kind.value} {text}")

    def _act(self, kind: Kind, runs: Sequence[Run], index: int) -> Act:
        """What is done at the event.

        Times are drawn now, so that a seed means the same whatever the threads do.
        """
        away_s, nap_s = self._chance.uniform(*_AWAY_S), self._chance.uniform(*_NAP_S)
        late: Act = delay(nap_s)
        to_run: dict[Kind, Callable[[Run], None]] = {
            Kind.KILL: lambda run: run.signal(signal.SIGKILL),
            Kind.TERM: lambda run: run.signal(signal.SIGTERM),
            Kind.INT: lambda run: run.signal(signal.SIGINT),
            Kind.INT_TWICE: lambda run: self._aside(lambda: _twice(run, nap_s / 10)),
            Kind.NAP: lambda run: self._aside(lambda: run.nap(nap_s)),
            Kind.SLEEP: lambda run: run.sleep(),
        }
        to_peer: dict[Kind, Callable[[], None]] = {
            Kind.VAULT_KILL: lambda: self._later(self._vault.kill, away_s, self._vault.restart),
            Kind.VAULT_SEAL: lambda: self._later(self._vault.seal, away_s, self._vault.unseal),
            Kind.VAULT_NAP: lambda: self._later(self._vault.suspend, away_s, self._vault.resume),
            Kind.QUOTA: lambda: self._to_vault.turn_away(away_s),
            Kind.EXCHANGE_KILL: lambda: self._later(self._exchange.restart, 0.0, _nothing),
            Kind.EXCHANGE_NAP: lambda: self._later(
                self._exchange.suspend, away_s, self._exchange.resume
            ),
        }

        def act(line: str, direction: Direction) -> Fate:
            where = f"at a {direction.value} of {line}"
            if kind in {Kind.CUT, Kind.DELAY}:
                self._note(kind, where, name=f"{kind.value}: {direction.value}")
                return (cut if kind is Kind.CUT else late)(line, direction)
            if kind in to_peer:
                self._note(kind, where)
                to_peer[kind]()
                return Fate.PASSED
            run = self._run(runs, index)
            self._note(kind, f"({run.name}) {where}")
            to_run[kind](run)
            return Fate.PASSED

        return act

    def _run(self, runs: Sequence[Run], index: int) -> Run:
        """The run of this number, or the last one that was started."""
        while not runs:
            time.sleep(_SOON_S)
        return runs[min(index, len(runs) - 1)]

    def _aside(self, work: Callable[[], None]) -> None:
        """Do it beside the traffic."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self.failures.append(f"a disturbance failed: {type(error).__name__}: {error}")
                raise

        thread = threading.Thread(target=guarded, name="disturbance", daemon=True)
        with self._lock:
            self._beside.append(thread)
        thread.start()

    def _later(self, harm: Callable[[], None], away_s: float, heal: Callable[[], None]) -> None:
        """Harm a peer at once (before the data goes on), and heal it a while later."""
        begun = threading.Event()

        def work() -> None:
            with self._one_harm_at_a_time:
                try:
                    harm()
                finally:
                    begun.set()
                time.sleep(away_s)
                heal()

        self._aside(work)
        begun.wait(timeout=30)

    def calm(self) -> None:
        """Wait until all that was begun is over, and forget the sandbox's faults that
        have not happened.
        """
        with self._lock:
            threads, self._beside = self._beside, []
        for thread in threads:
            thread.join()
        for line in (self._to_vault, self._exchange.line):
            line.calm()
        self._exchange.ask("DELETE", "faults")


def _nothing() -> None:
    """It heals itself."""


def _twice(run: Run, pause_s: float) -> None:
    run.signal(signal.SIGINT)
    time.sleep(pause_s)
    run.signal(signal.SIGINT)
