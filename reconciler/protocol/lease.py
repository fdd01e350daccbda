"""The lease, and the single writer of a run's ledger.

    holder in the ledger  a run that wants to write
    --------------------  ------------------------------------------------------------
    none, or expired      writes itself in with check-and-set: it holds the lease
    itself                renews the lease with every write
    another, not expired  waits or gives up (exit 6)

One write of the ledger, at version v:

    reply                   then
    ----------------------  ----------------------------------------------------------
    written                 recorded
    busy                    wait as long as Vault asks for (``again``), then as unclear
    refused                 not recorded; nothing was written
    mismatch or unclear     read: our write id is there  recorded
                            still v                      write the same again
                            anything else                the lease is lost for good
    unclear, then           not recorded, and unknown: this writer writes no more
    unreadable

Rules this module keeps:

1. Expiry only decides who waits. What makes writing safe is the check-and-set version,
   whatever the clocks say.
2. A writer that lost once never writes again: its picture of the ledger is old.
3. The end of a lease is told by a confirmed clock, where it can be: after a run that
   died with a clock a day ahead, everybody would wait for a day.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import SECOND_MS
from reconciler.protocol.again import Patience
from reconciler.protocol.effects import (
    LeaseLost,
    Mismatch,
    NewId,
    NoRoom,
    NotRecorded,
    PutLedger,
    ReadLedger,
    Recorded,
    Refused,
    Sleep,
    Step,
    Unclear,
    Written,
    time_of_record,
)
from reconciler.state import (
    MAX_ENTRY_BYTES,
    Holder,
    Ledger,
    LedgerError,
    NoRoomError,
    Transition,
    lease_held_by,
    text_bytes,
    unchanged,
)

LEASE_MS = 60 * SECOND_MS
SETTLE_TRIES = 6
SETTLE_PAUSE_MS = 500
RESERVE_BYTES = 16_384
"""What must be free before an intent is opened.

An intent comes before its derive, so "split the manifest" is said before a token exists
that could no longer be recorded.
"""


class LedgerWriter:
    """A run's picture of the ledger, and the only one who writes it.

    The driver runs its steps one at a time.
    """

    def __init__(self, *, run: str, who: str, ledger: Ledger, version: int) -> None:
        self.run = run
        self.who = who
        self.ledger = ledger
        self.version = version
        self.noted: tuple[Transition, ...] = ()
        self._dead: LeaseLost | NotRecorded | None = None

    @property
    def lost(self) -> bool:
        """Whether another run wrote the ledger."""
        return isinstance(self._dead, LeaseLost)

    def take(self) -> Step[Recorded | LeaseLost | NotRecorded]:
        """Take the lease, where it is free or expired."""
        now_ms = yield from time_of_record()
        holder = lease_held_by(self.ledger, now_ms, not_run=self.run)
        if holder is not None:
            return LeaseLost(sentence=f"run {holder.run} ({holder.who}) holds the lease")
        return (yield from self.write(unchanged))

    def release(
        self, transition: Transition = unchanged
    ) -> Step[Recorded | LeaseLost | NotRecorded]:
        """Give the lease back, so that nobody waits for its end; with a last step."""
        return (yield from self._write(transition, release=True))

    def note(self, transition: Transition) -> None:
        """Keep a transition for the next write. It must hold whatever is written."""
        self.noted = (*self.noted, transition)

    def write(self, transition: Transition) -> Step[Recorded | LeaseLost | NotRecorded]:
        """Apply one transition and renew the lease."""
        return (yield from self._write(transition, release=False))

    def _write(
        self, transition: Transition, *, release: bool
    ) -> Step[Recorded | LeaseLost | NotRecorded]:
        if self._dead is not None:
            return self._dead
        write_id = yield from NewId()
        now_ms = yield from time_of_record()
        holder = Holder(run=self.run, write=write_id, who=self.who, expires_at_ms=now_ms + LEASE_MS)
        try:
            ledger = dataclasses.replace(
                self._with_notes(transition(self.ledger)), holder=None if release else holder
            )
        except NoRoomError as error:
            return NoRoom(sentence=str(error))
        except LedgerError as error:
            return NotRecorded(sentence=str(error), contradicted=True)
        reserve = RESERVE_BYTES if _open_intents(ledger) > _open_intents(self.ledger) else 0
        if text_bytes(ledger) + reserve > MAX_ENTRY_BYTES:
            return NotRecorded(
                sentence="the ledger would outgrow what one Vault entry holds: "
                "split the manifest into several, each with a prefix of its own"
            )
        reply = yield from self._put(ledger)
        if isinstance(reply, Recorded):
            self.ledger, self.version, self.noted = ledger, self.version + 1, ()
        return reply

    def _with_notes(self, ledger: Ledger) -> Ledger:
        for transition in self.noted:
            ledger = transition(ledger)
        return ledger

    def _put(self, ledger: Ledger) -> Step[Recorded | LeaseLost | NotRecorded]:
        sentence, patience = "Vault did not answer", Patience(LEASE_MS // 2)
        for _ in range(SETTLE_TRIES):
            reply = yield from PutLedger(ledger=ledger, cas=self.version)
            if isinstance(reply, Written):
                return Recorded(ledger=ledger, ends_at_ms=reply.ends_at_ms)
            if isinstance(reply, Refused) and reply.again_after_ms is None:
                return NotRecorded(sentence=reply.sentence, final=True)
            if isinstance(reply, (Refused, Unclear)):
                sentence = reply.sentence
            pause_ms = patience.pause_ms(reply)
            if pause_ms is not None:
                yield from Sleep(ms=pause_ms)
            found = yield from self._look(ledger, patience)
            if isinstance(found, Unclear):
                sentence = found.sentence
                break
            if not isinstance(found, Mismatch):
                return found
            if pause_ms is None:
                yield from Sleep(ms=SETTLE_PAUSE_MS)
        self._dead = NotRecorded(sentence=sentence, final=True)
        return self._dead

    def _look(
        self, ledger: Ledger, patience: Patience
    ) -> Step[Recorded | LeaseLost | Mismatch | Unclear]:
        """Find out what became of our write.

        ``Mismatch``: it is not applied yet; ``Unclear``: nothing can be read.
        """
        sentence = ""
        for _ in range(SETTLE_TRIES):
            found = yield from ReadLedger()
            if isinstance(found, (Refused, Unclear)):
                sentence = found.sentence
                yield from Sleep(ms=patience.pause_ms(found) or SETTLE_PAUSE_MS)
                continue
            latest, version = found
            if version == self.version:
                return Mismatch()
            if version == self.version + 1 and latest == ledger:
                return Recorded(ledger=ledger)
            self._dead = LeaseLost()
            return self._dead
        return Unclear(sentence=sentence)


def _open_intents(ledger: Ledger) -> int:
    return sum(1 for entry in ledger.tokens.values() if entry.intent is not None)
