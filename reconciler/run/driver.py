"""The production driver: threads, the lease and the shell around a run's effects.

Rules this module keeps:

1. Steps may run in several threads; the ledger has one writer, and its steps run one at
   a time.
2. The lease that a run took is given back at its end, whatever ended it.
"""

from __future__ import annotations

import contextlib
import secrets as randomness
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from reconciler.exchange import TokenClient
from reconciler.model import (
    SECOND_MS,
)
from reconciler.plan import Change, Plan
from reconciler.protocol import (
    Desk,
    Effect,
    LeaseLost,
    LedgerWriter,
    NewId,
    NoteLedger,
    NotRecorded,
    Now,
    PutLedger,
    ReadDesk,
    Recorded,
    Row,
    Sleep,
    Step,
    WriteLedger,
    Written,
    drive,
)
from reconciler.run.effects import (
    Ask,
    Ended,
    Halt,
    HaltRun,
    Lane,
    Lanes,
    Pause,
    ReadHalt,
    ReleaseLease,
    Say,
    Stage,
    Started,
    TakeLease,
    Then,
    Together,
)
from reconciler.run.keys import Keys
from reconciler.run.peers import Peers
from reconciler.state import lease_held_by, unchanged
from reconciler.vault import SecretStore

T = TypeVar("T")

DERIVE_LANES = 4
REVOKE_LANES = 2
RENEW_AFTER_MS = 20 * SECOND_MS


class Events:
    """What the shell is told and asked during a run, by one thread at a time."""

    def started(self, changes: Sequence[Change]) -> None:
        """Take note of the changes that are about to be made."""

    def ended(self, row: Row) -> None:
        """Take note of a change that came to its end."""

    def said(self, sentence: str) -> None:
        """Take note of something worth a line."""

    def asked(self, about: Plan | str) -> bool:
        """Ask a person about a plan or a sentence. Without a person nobody agrees."""
        del about
        return False


class Driver:
    """Performs effects. ``prefix`` is below the store's mount.

    ``signals`` holds signals back while the lease is held; the first one sets
    ``stopping``. While there is no signer, only ``VerifyToken`` can list.
    """

    def __init__(  # noqa: PLR0913  # keyword-only surroundings
        self,
        *,
        exchange: TokenClient,
        store: SecretStore,
        prefix: str,
        keys: Keys,
        events: Events | None = None,
        signals: Callable[[Driver], contextlib.AbstractContextManager[None]] | None = None,
    ) -> None:
        self.events = events or Events()
        self.signals = signals or (lambda _: contextlib.nullcontext())
        self.stopping = threading.Event()
        self._peers = Peers(
            exchange=exchange, store=store, prefix=prefix, keys=keys, stopping=self.stopping
        )
        self._writer: LedgerWriter | None = None
        self._desk: LedgerWriter | None = None
        self._lease = contextlib.ExitStack()
        self._ledger_lock = threading.RLock()
        self._shell_lock = threading.Lock()
        self._last_write = time.monotonic()
        self._halted: str | None = None
        self._said: set[str] = set()
        self._table: dict[type[Effect[Any]], Callable[[Any], object]] = {
            **self._peers.table,
            PutLedger: self._put_ledger,
            NewId: lambda _: randomness.token_hex(16),
            Sleep: self._sleep,
            WriteLedger: self._write_ledger,
            NoteLedger: self._note_ledger,
            Together: self._together,
            Lanes: self._lanes,
            TakeLease: self._take_lease,
            ReleaseLease: self._release_lease,
            ReadDesk: self._read_desk,
            ReadHalt: lambda _: Halt(sentence=self._halted, signalled=self.stopping.is_set()),
            HaltRun: self._halt_run,
            Pause: lambda effect: self.stopping.wait(effect.ms / SECOND_MS),
            Say: self._say,
            Started: self._tell_started,
            Ended: self._tell_ended,
            Ask: self._ask,
        }

    def run(self, stage: Stage[T]) -> T:
        """Perform a run to its end. A lease that it still holds then is given back."""
        try:
            result = self._step(stage)
            while isinstance(result, Then):
                result = self._step(result.step())
            return result
        finally:
            self._release_lease(ReleaseLease())

    def _step(self, step: Step[T]) -> T:
        try:
            return drive(step, self.perform)
        finally:
            self._peers.release_turn()

    def perform(self, effect: Effect[Any]) -> object:
        """Perform one effect; the reply is of the effect's type."""
        return self._table[type(effect)](effect)

    def _sleep(self, effect: Sleep) -> None:
        time.sleep(effect.ms / SECOND_MS)

    # --- side by side ---

    def _together(self, effect: Together[Any]) -> tuple[Any, ...]:
        if len(effect.steps) <= 1:
            return tuple(self._step(make()) for make in effect.steps)
        width = min(effect.width, len(effect.steps))
        with ThreadPoolExecutor(width, thread_name_prefix="read") as pool:
            return tuple(pool.map(lambda make: self._step(make()), effect.steps))

    def _lanes(self, effect: Lanes) -> tuple[tuple[Row, ...], ...]:
        def perform(lane: Lane) -> tuple[Row, ...]:
            return self._step(lane.make())

        with (
            ThreadPoolExecutor(DERIVE_LANES, thread_name_prefix="derive") as derives,
            ThreadPoolExecutor(REVOKE_LANES, thread_name_prefix="revoke") as revokes,
        ):
            futures = [
                (derives if lane.derives else revokes).submit(perform, lane)
                for lane in effect.lanes
            ]
            return tuple(future.result() for future in futures)

    # --- the lease ---

    def _take_lease(self, effect: TakeLease) -> Recorded | LeaseLost | NotRecorded:
        now_ms: int = self.perform(Now())  # type: ignore[assignment]
        if lease_held_by(effect.ledger, now_ms, not_run=effect.run) is None:
            self._peers.prepare(changes=effect.changes, labels=len(effect.ledger.tokens))
        self._lease.enter_context(self.signals(self))
        writer = LedgerWriter(
            run=effect.run, who=effect.who, ledger=effect.ledger, version=effect.version
        )
        reply = drive(writer.take(), self.perform)
        if isinstance(reply, Recorded):
            self._writer = self._desk = writer
            self._lease.enter_context(self._lease_renewed())
        return reply

    def _put_ledger(self, effect: PutLedger) -> object:
        reply = self._peers.table[PutLedger](effect)
        if isinstance(reply, Written):
            self._last_write = time.monotonic()
        return reply

    def _write_ledger(self, effect: WriteLedger) -> Recorded | LeaseLost | NotRecorded:
        with self._ledger_lock:
            if self._writer is None:
                return NotRecorded(sentence="this run does not hold the lease", final=True)
            return drive(self._writer.write(effect.transition), self.perform)

    def _note_ledger(self, effect: NoteLedger) -> None:
        with self._ledger_lock:
            if self._writer is not None:
                self._writer.note(effect.transition)

    @contextlib.contextmanager
    def _lease_renewed(self) -> Iterator[None]:
        """Renew the lease beside the work while nothing else writes the ledger.

        A lost lease shows at the next write.
        """
        done = threading.Event()

        def renew() -> None:
            while not done.wait(RENEW_AFTER_MS / SECOND_MS / 4):
                if time.monotonic() - self._last_write > RENEW_AFTER_MS / SECOND_MS:
                    self.perform(WriteLedger(transition=unchanged))

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _release_lease(self, effect: ReleaseLease) -> None:
        self._lease.close()
        with self._ledger_lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                drive(writer.release(effect.transition), self.perform)

    def _read_desk(self, _: ReadDesk) -> Desk:
        assert self._desk is not None, "the lease was taken"  # noqa: S101
        return Desk(ledger=self._desk.ledger, lost=self._desk.lost)

    # --- the shell ---

    def _halt_run(self, effect: HaltRun) -> None:
        self._halted = effect.sentence

    def _say(self, effect: Say) -> None:
        with self._shell_lock:
            if effect.once not in self._said:
                self._said |= {effect.once} - {""}
                self.events.said(effect.sentence)

    def _tell_started(self, effect: Started) -> None:
        with self._shell_lock:
            self.events.started(effect.changes)

    def _tell_ended(self, effect: Ended) -> None:
        with self._shell_lock:
            self.events.ended(effect.row)

    def _ask(self, effect: Ask) -> bool:
        return self.events.asked(effect.about)
