"""The world: the exchange, Vault, the runs that act on them, what is still on its way,
and a person.

    choice              what happens
    ------------------  ----------------------------------------------------------------
    run NAME LANE ok    the effect is performed and answered
      … lost            performed, but the reply is lost
      … fail            not performed, and no clear reply
      … refuse          certainly not performed
      … late            no clear reply; it may land at any later time, or never
      … dud             a derive whose token's secret is never accepted
      … other           a derive whose token has another scope than was asked for
      … ends            a derive that ends the label's older tokens
      … cap             a derive that ends the profile's oldest token (in walks)
      … 429             a derive that makes nothing, and may be sent again; time passes
      … replay          a derive answered with an older derive's reply; it makes nothing
      … sham            a revocation that is answered and does nothing
      … empty           a list without any token
      … partial         a list with no token but the one that signed
      … down            the peer answers this run no more
    land N              what was on its way arrives
    tick                time passes until the lease in the ledger has expired
    overtake NAME       the same, and at once a run begins (in a coarse world, where
                        time passes for no other end)
    person WHAT WHERE   a person acts
    pass MS             time passes
    clock MS            every Date is wrong by so much, for good (in walks)
    wrong NAME MS       a reply's Date is wrong: so is the run's clock, until confirmed
    lag, catch up       the list stays as it is now; it shows what is again
    trim N              Vault keeps N versions of a secret from now on
    read PATH           a consumer picks up what it finds there
    use PATH            a consumer signs with what it picked up
    start NAME          a run that waits for its turn begins

A crash is a run that is never chosen again, and a pause is one that is not chosen for a
while: neither is a choice.

Rules this module keeps:

1. All that happens is a choice; the same choices from the same start give the same
   world.
2. After every choice ``invariants`` judges what happened.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from reconciler.model import HOUR_MS, Credentials, Derived, LiveToken, SecretVersion
from reconciler.protocol.effects import (
    RECENT_MS,
    AwaitTurn,
    Busy,
    ConfirmedNow,
    DeleteVersion,
    Derive,
    Done,
    Effect,
    Listing,
    ListTokens,
    LocalNow,
    Mismatch,
    NewId,
    NoTurn,
    Now,
    PutLedger,
    PutSecret,
    ReadLedger,
    ReadSecret,
    Refused,
    Revoke,
    Sleep,
    Turn,
    Unclear,
    Undelete,
    VerifyToken,
    Written,
)
from reconciler.protocol.own_use import TOO_LATE
from reconciler.protocol.spare import OWN_PROOF_MS
from reconciler.run.effects import ListPaths, ReadMeta, ReadMetas, ReadMountLife
from reconciler.run.session import LISTS_APART_MS
from reconciler.state import LEDGER_FIELD, LEDGER_NAME, Ledger, from_text
from reconciler.state.secret import OPERATION_ID, TOKEN_ID
from tests.proofs.simulation.evidence import DELETED, USED, Violation, check_second_look
from tests.proofs.simulation.invariants import Audit
from tests.proofs.simulation.models import (
    PERSON,
    PLACE,
    Exchange,
    Vault,
    Version,
    is_valid,
    ledger_key,
    secret_of,
    version_of,
)
from tests.proofs.simulation.reserves import check_deleted, note_signed
from tests.proofs.simulation.runs import (
    PROFILE_ID,
    UNAUTHORIZED,
    WRITING,
    Run,
    Wish,
)
from tests.proofs.simulation.shown import Law

Choice = tuple[str, ...]

OK, LOST, FAIL, REFUSE, LATE, DOWN = "ok", "lost", "fail", "refuse", "late", "down"
BUSY, TORN, LAGS = "busy", "torn", "lags"
DUD, OTHER, ENDS, REPLAY, CAP = "dud", "other", "ends", "replay", "cap"
EMPTY, PARTIAL, SHAM, LIMITED = "empty", "partial", "sham", "429"

FAULTS: dict[type[Effect[Any]], tuple[str, ...]] = {
    Derive: (LOST, FAIL, REFUSE, LATE, DUD, OTHER, ENDS, REPLAY, LIMITED),
    Revoke: (LOST, FAIL, REFUSE, LATE, DOWN, SHAM),
    PutSecret: (LOST, FAIL, REFUSE, LATE, DOWN),
    PutLedger: (LOST, FAIL, REFUSE, LATE, DOWN),
    DeleteVersion: (LOST, FAIL, REFUSE, LATE),
    Undelete: (LOST, FAIL, REFUSE, LATE),
    ReadSecret: (FAIL, DOWN),
    ReadLedger: (FAIL,),
    ReadMeta: (FAIL,),
    ReadMountLife: (FAIL,),
    ListPaths: (FAIL,),
    ListTokens: (FAIL, EMPTY, PARTIAL),
    VerifyToken: (FAIL, REFUSE, EMPTY, PARTIAL, DOWN),
}
"""What can go wrong with each shared effect."""

IN_WALKS = {
    **FAULTS,
    Derive: (*FAULTS[Derive], CAP),
    PutSecret: (*FAULTS[PutSecret], BUSY, TORN, LAGS),
    PutLedger: (*FAULTS[PutLedger], BUSY, TORN, LAGS),
    DeleteVersion: (*FAULTS[DeleteVersion], BUSY, TORN, LAGS),
    Undelete: (*FAULTS[Undelete], BUSY, TORN, LAGS),
    ReadSecret: (*FAULTS[ReadSecret], BUSY),
    ReadLedger: (*FAULTS[ReadLedger], BUSY),
}
"""The same, in random walks, where Vault may also be busy: it asks to be asked again,
and has done nothing (BUSY), has done it all the same (TORN), or does it later (LAGS).
"""

EXCHANGE, VAULT = "exchange", "vault"
STRANGE_SCOPE = "withdrawal"

IN_SECRETS = frozenset(
    {
        "deletes the latest",
        "undeletes the latest",
        "deletes the intent's version of",
        "destroys the intent's version of",
        "overwrites",
        "writes the same again",
        "rolls back",
        "spoils",
        "writes anew",
        "forges the intent's version of",
        "lets end what is written at",
    }
)
"""What a person may do at a path."""

READS_AND_USES = "reads and uses"
"""What a consumer may do at a path, in small worlds that have it among the acts."""
IN_RESERVES = frozenset(
    {
        "deletes a reserve of",
        "destroys a reserve of",
        "overwrites a reserve of",
        "spoils a reserve of",
        "copies a reserve of",
    }
)
"""What a person may do to the oldest reserve of a label. A copy is written to the path
that the ledger has for the label."""

ENDS_AFTER_MS = 2 * HOUR_MS
"""The life of a version where a person lets versions end by themselves."""

STRANGERS = {
    "derives": ("trading",),
    "derives and uses": ("trading",),
    "derives with less": (),
    "derives with more": ("trading", STRANGE_SCOPE),
}
"""Tokens that a person makes at the exchange, with their scopes."""

PEERS: dict[type[Effect[Any]], str] = {
    **dict.fromkeys((Derive, Revoke, ListTokens, VerifyToken), EXCHANGE),
    **dict.fromkeys(
        (
            PutSecret,
            PutLedger,
            DeleteVersion,
            Undelete,
            ReadSecret,
            ReadLedger,
            ReadMeta,
            ReadMetas,
            ReadMountLife,
            ListPaths,
        ),
        VAULT,
    ),
}
IN_VAULT = (PutSecret, PutLedger, DeleteVersion, Undelete)
PASTS_KEPT = 24

MUTATING: tuple[type[Effect[Any]], ...] = (Derive, Revoke, *IN_VAULT)

LIMITED_MS = 1_000

NO_REPLY = Unclear(sentence="no reply")
REFUSED = Refused(sentence="refused", status=403)
ASK_AGAIN = Unclear(sentence="busy", again_after_ms=1000)
UNDONE = {FAIL: NO_REPLY, DOWN: NO_REPLY, BUSY: ASK_AGAIN, REFUSE: REFUSED, SHAM: Done()}
"""What is answered without anything being done."""

NOT_BELIEVED = Unclear(
    sentence="the exchange's list lacks the token that signed it: it is not believed"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Flight:
    """A call that was sent and may still arrive.

    Its path is a key of the vault; ``place`` is that of a ledger. ``decided_ms`` is
    when its run had the last reply before it.
    """

    effect: Effect[Any]
    by: str
    token_id: str = ""
    place: str = PLACE
    decided_ms: int = 0


class World:
    """Everything.

    ``faults`` and ``ticks`` are how many are left; ``acts`` is what a person may still
    do. Where nobody asks for its key, it is not ``keyed``.

    In a ``coarse`` world, a run's first look, which decides nothing that the second
    does not decide anew, is one step, and reads of the paths named are not choices:
    nobody writes there.
    """

    _happenings: ClassVar[dict[str, Callable[..., None]]]

    def __init__(
        self, *, now_ms: int, faults: int = 0, ticks: int = 0, law: Law | None = None
    ) -> None:
        self.exchange = Exchange(law=law or Law())
        self.vault = Vault()
        self.now_ms = now_ms
        self.faults = faults
        self.ticks = ticks
        self.runs: dict[str, Run] = {}
        self.waiting: dict[str, Wish] = {}
        self.flights: tuple[Flight, ...] = ()
        self.acts: tuple[tuple[str, str], ...] = ()
        self.audit = Audit()
        self.picked_up: dict[str, str] = {}
        self.coarse: frozenset[str] | None = None
        self.skew_ms: dict[str, int] = {}
        self.date_ahead_ms = self.leapt_ms = 0
        self.wrong_ms: dict[str, int] = {}
        self.keyed = True
        self.pasts: tuple[Vault, ...] = ()
        self.mutations = 0
        self.disturbed = False
        self.tell: Callable[[str], None] | None = None

    def clone(self) -> World:
        """An independent copy."""
        twin = object.__new__(World)
        twin.__dict__.update(self.__dict__)
        twin.exchange = self.exchange.clone()
        twin.vault = self.vault.clone()
        twin.runs = {name: run.clone() for name, run in self.runs.items()}
        twin.waiting = dict(self.waiting)
        twin.picked_up = dict(self.picked_up)
        twin.wrong_ms = dict(self.wrong_ms)
        twin.audit = self.audit.clone()
        return twin

    def key(self) -> int:
        """Equal for two worlds that have the same futures."""
        runs = frozenset(run.key() for run in self.runs.values())
        past = (
            tuple(ledger_key(ledger) for ledger in self.vault.ledgers)
            if any(what == "rolls the ledger back" for what, _ in self.acts)
            else ()
        )
        pasts = tuple(vault.key() for vault in self.pasts)
        left = self.faults, self.ticks, self.acts, past, pasts
        return hash((self.outside_key(), runs, frozenset(self.waiting), left, self.disturbed))

    def outside_key(self) -> int:
        """The world without its runs."""
        flights = frozenset((f.by, f.token_id, repr(f.effect)) for f in self.flights)
        return hash((self.exchange.key(), self.vault.key(), flights, self.now_ms, self.audit.key()))

    # --- choices ---

    def start(self, wish: Wish) -> Run:
        """A process begins."""
        run = self.runs[wish.name] = Run(wish, keyed=self.keyed)
        run.wrong_ms = self.wrong_ms.pop(wish.name, 0)
        run.date_ahead_ms = self.date_ahead_ms
        self._settle(run)
        return run

    def choices(self) -> list[Choice]:
        """All that can happen next, the smooth course first."""
        found: list[Choice] = []
        for name, run in self.runs.items():
            found.extend(("run", name, str(lane), OK) for lane in run.ready())
        found.extend(("start", name) for name in self.waiting)
        for name, run in self.runs.items():
            for lane in run.ready():
                found.extend(("run", name, str(lane), fault) for fault in self._faults(run, lane))
        found.extend(("land", str(number)) for number in range(len(self.flights)))
        if self.ticks and self.lease_end_ms() is not None:
            found.extend(
                [("overtake", name) for name in self.waiting]
                if self.coarse is not None
                else [("tick",)]
            )
        found.extend(("person", *act) for act in self.acts if self._is_possible(*act))
        return found

    def _is_possible(self, what: str, where: str) -> bool:
        """Whether an act of a person's would change anything now: only then is it a
        choice.
        """
        history = self.vault.history(where)
        latest = history.get(history.latest)
        if what in {"deletes the latest", READS_AND_USES}:
            return latest is not None and not latest.deleted
        if what == "undeletes the latest":
            return latest is not None and latest.deleted and not latest.destroyed
        if what in {"deletes the intent's version of", "destroys the intent's version of"}:
            found = history.get(self._version_of_intent(where))
            return found is not None and not found.deleted
        if what in IN_RESERVES:
            return self._oldest_reserve(where) is not None
        if what == "revokes":
            return where in self.exchange.live
        if what == "restores Vault":
            return len(self.pasts) >= int(where)
        if what == "forges the intent's version of":
            return bool(self._version_of_intent(where))
        if what == "deletes the ledger":
            return not self.vault.ledger_deleted
        if what == "undeletes the ledger":
            return self.vault.ledger_deleted
        return True

    def _version_of_intent(self, path: str) -> int:
        """The version that the commit of the open intent at a path makes; 0 where none
        is open there.
        """
        ledger = self.vault.ledger()
        intents = (entry.intent for entry in ledger.tokens.values()) if ledger is not None else ()
        return next(
            (intent.cas + 1 for intent in intents if intent is not None and intent.path == path), 0
        )

    def _oldest_reserve(self, label: str) -> tuple[str, str] | None:
        """Where the document of a label's oldest reserve lies, and the label's path."""
        ledger = self.vault.ledger()
        entry = ledger.tokens.get(label) if ledger is not None else None
        if entry is None or not entry.reserve:
            return None
        return entry.reserve[0].path, entry.path

    def _faults(self, run: Run, lane: int) -> Iterable[str]:
        effect = run.effect(lane)
        if (
            not self.faults
            or effect is None
            or isinstance(effect, WRITING)
            or PEERS[type(effect)] in run.down
        ):
            return ()
        return FAULTS[type(effect)]

    def lease_end_ms(self) -> int | None:
        """When the last lease that somebody holds expires; None where nobody does."""
        ledgers = (self.vault.ledger_at(place)[0] for place in self.vault.places())
        holders = [ledger.holder for ledger in ledgers if ledger is not None]
        ends_ms = [holder.expires_at_ms for holder in holders if holder is not None]
        return max((end_ms for end_ms in ends_ms if end_ms > self.now_ms), default=None)

    def take(self, choice: Choice) -> None:
        """Let it happen. Violation where that breaks an invariant."""
        self.vault.let_end(self.now_ms)
        what, *more = choice
        self._happenings[what](self, *more)

    def _go_on(self, name: str, lane: str, outcome: str) -> None:
        run = self.runs[name]
        effect = run.effect(int(lane))
        assert effect is not None
        if isinstance(effect, WRITING):
            run.enter_writer(int(lane))
        else:
            self._perform(run, int(lane), effect, outcome)
        self._settle(run)

    def _begin(self, name: str) -> None:
        self.disturbed = self.disturbed or any(not run.ended for run in self.runs.values())
        self.say(f"{name} starts")
        self.start(self.waiting.pop(name))

    def _overtake(self, name: str) -> None:
        self._let_lease_expire()
        self._begin(name)

    def _land(self, number: str) -> None:
        flight = self.flights[int(number)]
        self.flights = (*self.flights[: int(number)], *self.flights[int(number) + 1 :])
        self.say(f"lands: {short(flight.effect)} of {flight.by}")
        self._arrive(flight)

    def _let_time_pass(self, ms: str) -> None:
        self.now_ms += int(ms)
        self.audit.doubtful = True
        self.say(f"{ms} ms pass")

    def _mislead(self, name: str, ms: str) -> None:
        run = self.runs.get(name)
        if run is not None and not run.ended and not run.confirmed:
            run.wrong_ms = int(ms)
            self.say(f"the clock of {name} is wrong by {ms} ms")

    def _set_clock(self, ms: str) -> None:
        self.date_ahead_ms = int(ms)
        self.say(f"every Date is wrong by {ms} ms from here on")

    def _lag(self) -> None:
        self.exchange.shown = self.exchange.listing(self.now_ms)
        self.audit.lagged = self.audit.doubtful = True
        self.say("the list lags from here on")

    def _catch_up(self) -> None:
        self.exchange.shown = None
        self.say("the list catches up")

    def _trim(self, number: str) -> None:
        self.vault.max_versions = int(number)
        self.say(f"Vault keeps {number} versions")

    def _pick_up(self, path: str) -> None:
        content = self.vault.content(path)
        if content is not None and content.token_id is not None:
            self.picked_up[path] = content.token_id
        self.say(f"the consumer of {path} has {self.picked_up.get(path)}")

    def _use(self, path: str) -> None:
        token_id = self.picked_up.get(path, "")
        if token_id in self.exchange.live:
            self.use_of_a_consumer(token_id)
        self.say(f"the consumer of {path} uses {token_id}")

    def use_of_a_consumer(self, token_id: str) -> None:
        """Somebody other than us signs with a token that lives."""
        exchange = self.exchange
        before = exchange.live[token_id].last_used_at_ms
        exchange.use(token_id, self.now_ms)
        shown = exchange.live[token_id].last_used_at_ms != before
        self.audit.use(token_id, self.now_ms, told=shown or bool(exchange.law.hidden_ms))
        self._miss(USED, token_id)

    def _let_lease_expire(self) -> None:
        self.ticks -= 1
        self.disturbed = True
        self.now_ms = self.leapt_ms = self.lease_end_ms() or self.now_ms
        self.say("time passes until the lease has expired")

    def say(self, sentence: str) -> None:
        """A line of the transcript."""
        if self.tell is not None:
            self.tell(sentence)

    # --- runs ---

    def _perform(self, run: Run, lane: int, effect: Effect[Any], outcome: str) -> None:
        effect = self._placed(run, as_sent(self, effect))
        reply = self._reply(run, effect, outcome)
        if self.tell is not None:
            self.say(f"{run.name}.{lane} {outcome:6} {short(effect)} -> {short(reply)}")
        run.last = type(effect)
        run.reply(lane, reply, mark(reply) if self.keyed else 0)
        now = run.lanes[lane] if lane < len(run.lanes) else None
        if now is None or now.inner is None:  # else the same write is sent once more
            run.replied_ms = self.now_ms

    def _placed(self, run: Run, effect: Effect[Any]) -> Effect[Any]:
        """The effect with its path as a key of the vault."""
        if not isinstance(effect, PutSecret | ReadSecret | ReadMeta | DeleteVersion | Undelete):
            return effect
        key = self.vault.key_at(run.wish.place, effect.path)
        return effect if key == effect.path else dataclasses.replace(effect, path=key)

    def _is_private(self, run: Run, effect: Effect[Any]) -> bool:
        """Whether an effect is no choice: the peer is down for this run, or it is a
        read of a coarse world.
        """
        if PEERS[type(effect)] in run.down:
            return True
        if self.coarse is None or isinstance(effect, MUTATING):
            return False
        return run.looks_first or (
            isinstance(effect, (ReadSecret, ReadMeta)) and effect.path in self.coarse
        )

    def _settle(self, run: Run) -> None:
        """Answer what nobody else sees, up to the next shared effect of each lane."""
        moved = True
        while moved and not run.ended:
            moved = False
            for lane in run.ready():
                while lane < len(run.lanes) and self._settle_lane(run, lane):
                    moved = True
        if run.ended:
            self.say(f"{run.name} ends: {run.exit!r} {run.sentence}")
            for row in run.rows:
                self.say(
                    f"    {row.change.label} {row.change.action.value} "
                    f"({row.change.reason.value}): {row.outcome}"
                )
            self.audit.check_end(self, run)

    def _settle_lane(self, run: Run, lane: int) -> bool:
        effect = run.effect(lane)
        if effect is None:
            return False
        if type(effect) in PEERS:
            if not self._is_private(run, effect):
                return False
            self._perform(run, lane, effect, OK)
            return True
        if isinstance(effect, WRITING):
            alone = sum(1 for other in run.lanes if other is not None) == 1
            if alone:
                run.enter_writer(lane)
            return alone
        reply, seen = self._local(run, lane, effect)
        run.reply(lane, reply, seen)
        return True

    def _local(self, run: Run, lane: int, effect: Effect[Any]) -> tuple[object, object]:
        if isinstance(effect, ConfirmedNow | AwaitTurn):
            self._confirm(run)
        now_ms = self._run_now_ms(run)
        if isinstance(effect, Now | ConfirmedNow):
            return now_ms, now_ms
        if isinstance(effect, LocalNow):
            return self.now_ms, self.now_ms
        if isinstance(effect, NewId):
            return run.new_id(lane), 0
        if isinstance(effect, Sleep) and effect.ms == LISTS_APART_MS:
            self.now_ms += effect.ms  # two lists at one instant would tell nothing
        if isinstance(effect, AwaitTurn):
            turn = Turn() if run.closed is None else NoTurn(sentence=run.closed)
            return turn, turn
        return run.local(effect, now_ms)

    def _run_now_ms(self, run: Run) -> int:
        """What a run takes for the exchange's time."""
        ahead_ms = self.date_ahead_ms + self.skew_ms.get(run.name, 0)
        return self.now_ms + ahead_ms + run.wrong_ms

    def _is_late(self, run: Run, effect: VerifyToken) -> bool:
        return effect.until_ms is not None and self._run_now_ms(run) > effect.until_ms

    def _confirm(self, run: Run) -> None:
        """Another reply has to agree with the Date that a run goes by."""
        self.disturbed = self.disturbed or bool(run.wrong_ms)
        run.wrong_ms, run.confirmed = 0, True

    def _reply(self, run: Run, effect: Effect[Any], outcome: str) -> object:
        peer = PEERS[type(effect)]
        if isinstance(effect, MUTATING):
            self.mutations += 1
        if peer in run.down:
            return NO_REPLY
        if isinstance(effect, VerifyToken) and self._is_late(run, effect):
            return Unclear(sentence=TOO_LATE)
        if outcome != OK:
            self.faults -= 1
            self.disturbed = True
            self.audit.doubtful |= isinstance(effect, (ListTokens, VerifyToken))
        if outcome == DOWN:
            run.down |= {peer}
        if outcome in UNDONE:
            return UNDONE[outcome]
        if outcome in {EMPTY, PARTIAL}:
            return self._misled(run, effect, outcome)
        refusal = self._refused_by_driver(run, effect)
        if refusal is not None:
            return refusal
        return (
            self._send(run, effect, outcome)
            if isinstance(effect, MUTATING)
            else self._read(run, effect)
        )

    def _send(self, run: Run, effect: Effect[Any], outcome: str) -> object:
        """A mutating call leaves the run."""
        token_id = self._token_id(run) if isinstance(effect, Derive) else ""
        if isinstance(effect, (Derive, Revoke)):
            run.recent = None
        flight = Flight(effect, run.name, token_id, run.wish.place, run.replied_ms)
        self.audit.sent(self, run, effect, token_id)
        if outcome in {LATE, LAGS}:
            self.audit.revived_late |= isinstance(effect, Undelete)
            self.flights = (*self.flights, flight)
            return NO_REPLY if outcome == LATE else ASK_AGAIN
        if outcome == LIMITED:
            self.now_ms += LIMITED_MS
            return Busy(sentence="too many requests")
        if outcome == REPLAY:
            return self._replayed()
        lived = frozenset(self.exchange.live)
        if outcome == DUD:
            self.exchange.duds |= {token_id}
        if isinstance(effect, Derive) and outcome == OTHER:
            other = dataclasses.replace(effect, scopes=(*effect.scopes, STRANGE_SCOPE))
            flight = dataclasses.replace(flight, effect=other)
        if isinstance(effect, Derive) and outcome in {ENDS, CAP}:
            self._end_elders(effect.label if outcome == ENDS else None)
        reply = self._arrive(flight, signer=run.signer)
        if isinstance(effect, Derive):
            ended = lived - self.exchange.live.keys()
            self.audit.caps = self.audit.caps.derived(self, run, token_id, ended)
        return {LOST: NO_REPLY, TORN: ASK_AGAIN}.get(outcome, reply)

    def _replayed(self) -> object:
        """The newest reply to any run's derive, whoever asks."""
        ours = [
            token_id
            for token_id, by in self.exchange.made_by.items()
            if by != PERSON and token_id in self.exchange.live
        ]
        return derived(self.exchange.live[ours[-1]]) if ours else NO_REPLY

    def _end_elders(self, label: str | None) -> None:
        """Nothing that we do: the exchange's own doing counts as a person's.

        Without a label it is the oldest token of all, as where there is a most.
        """
        live = tuple(self.exchange.live.values())
        elders = [t for t in live if t.label == label] if label is not None else live[:1]
        for token in elders:
            self.exchange.revoke(token.token_id, by=PERSON)

    def _token_id(self, run: Run) -> str:
        made = sum(1 for by in self.exchange.made_by.values() if by == run.name)
        flying = sum(1 for f in self.flights if f.by == run.name and f.token_id)
        return f"t-{run.name}{made + 1 + flying}"

    def _refused_by_driver(self, run: Run, effect: Effect[Any]) -> Refused | None:
        """What driver.Driver refuses by itself."""
        if isinstance(effect, Derive) and (run.closed is not None or not run.wish.identity):
            return Refused(sentence=run.closed or "no identity token")
        if isinstance(effect, (Revoke, ListTokens)) and run.signer is None:
            return Refused(sentence="there is no token to sign with")
        if (
            isinstance(effect, Revoke)
            and run.signer is not None
            and run.signer.token_id == effect.token_id
        ):
            return Refused(sentence="it is the token that signs, which never revokes itself")
        return None

    def _note_ending(self, run: Run, looked: frozenset[str]) -> None:
        """Remember where versions end by themselves, by the run's last look."""
        run.ending = (run.ending - looked) | (self.audit.ending & looked)

    def _read(self, run: Run, effect: Effect[Any]) -> object:
        if isinstance(effect, ReadSecret):
            return self.vault.read(effect.path, effect.version)
        if isinstance(effect, ReadMeta):
            self._note_ending(run, frozenset({effect.path}))
            return self.vault.meta(effect.path)
        if isinstance(effect, ReadMetas):
            found = {path: self.vault.key_at(run.wish.place, path) for path in effect.paths[::2]}
            self._note_ending(run, frozenset(found))
            return {path: self.vault.meta(key) for path, key in found.items()}
        if isinstance(effect, ReadMountLife):
            return None
        if isinstance(effect, ListPaths):
            return self.vault.paths()
        if isinstance(effect, ReadLedger):
            return self.vault.ledger_at(run.wish.place)
        return self._listed(run, effect)

    def _listed(self, run: Run, effect: Effect[Any]) -> object:
        recent = self._recent(run) if isinstance(effect, ListTokens) and effect.recent else None
        if recent is not None:
            self.audit.caps = self.audit.caps.listed(run, recent.ids)
            return recent
        self._note_list(run)
        return self._read_list(run, effect)

    def _read_list(self, run: Run, effect: Effect[Any]) -> object:
        if isinstance(effect, VerifyToken):
            if self.exchange.accepts(effect.credentials):
                note_signed(self, run, effect.credentials.token_id)
            reply = self._kept(run, effect.credentials, self._list(effect.credentials))
            if isinstance(reply, Listing):
                signer_id = effect.credentials.token_id
                self.audit.caps = self.audit.caps.signed(run, signer_id, reply.ids)
            return reply
        assert isinstance(effect, ListTokens), effect
        assert run.signer is not None
        reply = self._kept(run, run.signer, self._list(run.signer))
        if isinstance(reply, Listing) and reply.find(run.signer.token_id) is None:
            return NOT_BELIEVED
        if isinstance(reply, Listing):
            self.audit.caps = self.audit.caps.listed(run, reply.ids)
        return reply

    def _kept(self, run: Run, signer: Credentials, reply: Listing | Refused) -> Listing | Refused:
        """A reply, which a run may take for one of a moment later (``_recent``)."""
        if isinstance(reply, Listing) and reply.find(signer.token_id) is not None:
            run.recent = signer.token_id, self.now_ms, reply
        return reply

    def _recent(self, run: Run) -> Listing | None:
        """The signer's last list, where it may stand for a new one.

        Here time stands still between most calls, so whatever may happen between two
        of them happens between that list and the POST.
        """
        if run.recent is None or run.signer is None:
            return None
        signer_id, at_ms, listing = run.recent
        soon = self.now_ms - at_ms <= RECENT_MS
        return listing if soon and signer_id == run.signer.token_id else None

    def _misled(self, run: Run, effect: Effect[Any], outcome: str) -> object:
        """A list that lacks tokens which live.

        The driver believes none that lacks the token that signed it.
        """
        signer = effect.credentials if isinstance(effect, VerifyToken) else run.signer
        if signer is None or not self.exchange.accepts(signer):
            return self._refused_by_driver(run, effect) or Refused(
                sentence="unauthorized", status=UNAUTHORIZED
            )
        if isinstance(effect, VerifyToken):
            note_signed(self, run, signer.token_id)
        self.exchange.use(signer.token_id, self.now_ms)
        if outcome == PARTIAL:
            self.audit.misled = True
            seen = self.exchange.listing(self.now_ms)
            part = tuple(t for t in seen if t.token_id == signer.token_id)
            return self._kept(run, signer, Listing(tokens=part))
        return Listing(tokens=()) if isinstance(effect, VerifyToken) else NOT_BELIEVED

    def _note_list(self, run: Run) -> None:
        """A run asks for a list; one that stood still since its last one, while a lease
        expired, sees uses as far apart as that, and takes the exchange to show no
        closer ones.
        """
        self.audit.doubtful |= 0 < run.listed_ms < self.leapt_ms
        run.listed_ms = self.now_ms
        run.missed = frozenset()

    def _miss(self, what: str, token_id: str) -> None:
        """Something happens to a token that no run has seen in a list yet."""
        for run in self.runs.values():
            run.missed |= {(what, token_id)}

    def _list(self, credentials: Credentials) -> Listing | Refused:
        if not self.exchange.accepts(credentials):
            return Refused(sentence="unauthorized", status=UNAUTHORIZED)
        self.exchange.use(credentials.token_id, self.now_ms)
        return Listing(tokens=self.exchange.listing(self.now_ms))

    def _arrive(self, flight: Flight, *, signer: Credentials | None = None) -> object:
        """A mutating call reaches its peer."""
        effect = flight.effect
        self.vault.now_ms = self.now_ms
        self._remember(effect)
        if isinstance(effect, Derive):
            token = self.exchange.derive(
                flight.token_id,
                label=effect.label,
                scopes=effect.scopes,
                now_ms=self.now_ms,
                by=flight.by,
            )
            return derived(token)
        if isinstance(effect, Revoke):
            if signer is not None and not self.exchange.accepts(signer):
                return Refused(sentence="unauthorized", status=UNAUTHORIZED)
            if signer is not None:
                self.exchange.use(signer.token_id, self.now_ms)
            self.audit.check_revoke(self, effect.token_id, flight.by)
            gone = self.exchange.revoke(effect.token_id, by=flight.by)
            self.audit.check_contents(self.vault, self.exchange)
            return Done() if gone else Refused(sentence="no such token", status=400)
        return self._arrive_in_vault(effect, flight)

    def _arrive_in_vault(self, effect: Effect[Any], flight: Flight) -> object:
        if isinstance(effect, PutSecret) and effect.path == LEDGER_NAME:
            ledger = from_text(str(dict(effect.fields)[LEDGER_FIELD]))
            return self._write_ledger(ledger, effect.cas, flight, self.vault.here)
        if isinstance(effect, PutSecret):
            return self._put(effect, flight)
        if isinstance(effect, PutLedger):
            return self._write_ledger(effect.ledger, effect.cas, flight, flight.place)
        if isinstance(effect, Undelete):
            self.audit.revived_late |= not self.holds_lease(flight.by)
            self.vault.bring_back(effect.path, effect.version)
            return Done()
        assert isinstance(effect, DeleteVersion), effect
        return self._delete(effect, flight)

    def _delete(self, effect: DeleteVersion, flight: Flight) -> Done:
        was = self.vault.content(effect.path)
        check_deleted(self, effect.path, flight.by)
        self.vault.delete(effect.path, effect.version)
        if was is not None and was.token_id and self.vault.content(effect.path) is None:
            self._miss(DELETED, was.token_id)
            self.audit.check_deleted(self.vault, effect.path, was.token_id)
        self.audit.check_contents(self.vault, self.exchange)
        return Done()

    def _put(self, effect: PutSecret, flight: Flight) -> object:
        version = version_of(effect.fields, effect.secret, by=flight.by)
        if self.vault.history(effect.path).latest == effect.cas:
            self.audit.arrives(self, effect.path, version)
        number = self.vault.write(effect.path, version, cas=effect.cas)
        if number is None:
            return Mismatch()
        self.audit.wrote(effect.path, version, self.now_ms)
        self.audit.check_contents(self.vault, self.exchange)
        made = self.vault.meta(effect.path)
        return Written(version=number, created_at_ms=made.created_at_ms, ends_at_ms=made.ends_at_ms)

    def holds_lease(self, name: str) -> bool:
        """Whether a run still has the lease: one that stood still may have lost it."""
        ledger = self.vault.ledger()
        return ledger is not None and ledger.holder is not None and ledger.holder.run == name

    def _write_ledger(self, ledger: Ledger, cas: int, flight: Flight, place: str) -> object:
        number = self.vault.write_ledger_at(place, ledger, cas=cas)
        if number is not None:
            self.audit.perhaps_used |= self._used_late() | frozenset(self.exchange.ended_by)
            key_of = functools.partial(self.vault.key_at, place)
            run = self.runs.get(flight.by)
            if is_valid(ledger):
                check_second_look(self, ledger, run)
                decided_ms = min(self.now_ms, flight.decided_ms)
                self.audit.recorded(ledger, self.now_ms, run, key_of=key_of, decided_ms=decided_ms)
                if place == self.vault.here:
                    self.audit.reserves = self.audit.reserves.recorded(ledger, self, flight.by)
                    self.audit.caps = self.audit.caps.recorded(ledger, flight.by, self.now_ms)
                self.audit.check_unsigned(ledger, self.exchange)
        return Mismatch() if number is None else Written(version=number)

    def go_to(self, place: str) -> None:
        """The manifest names another place in Vault from now on."""
        renamed = self.vault.go_to(place)
        self.audit.renamed(renamed)
        self.picked_up = {renamed(path): token for path, token in self.picked_up.items()}
        self.flights = tuple(_renamed(flight, renamed) for flight in self.flights)

    def _used_late(self) -> frozenset[str]:
        """The tokens that were used later than their derive's own proof."""
        return frozenset(
            token.token_id
            for token in self.exchange.live.values()
            if (token.last_used_at_ms or 0) > token.created_at_ms + OWN_PROOF_MS
        )

    # --- the person ---

    def _person(self, what: str, where: str) -> None:
        self.acts = tuple(act for act in self.acts if act != (what, where))
        if what == READS_AND_USES:
            self._pick_up(where)
            self._use(where)
            return
        self.audit.meddled = self.disturbed = True
        self.say(f"a person: {what} {where}")
        vault, exchange = self.vault, self.exchange
        if what == "revokes":
            exchange.revoke(where, by=PERSON)
        elif what in STRANGERS:
            token_id = f"p{sum(1 for by in exchange.made_by.values() if by == PERSON) + 1}"
            exchange.derive(
                token_id, label=where, scopes=STRANGERS[what], now_ms=self.now_ms, by=PERSON
            )
            if what == "derives and uses":
                self.use_of_a_consumer(token_id)
        elif what in IN_SECRETS:
            self._meddle(what, where)
        elif what in IN_RESERVES:
            self._meddle_in_reserve(what, where)
        elif what == "restores Vault":
            self._restore(int(where))
        elif what == "rolls the ledger back":
            self.audit.rewound = vault.roll_ledger_back(int(where)) or self.audit.rewound
        else:
            assert what in {"deletes the ledger", "undeletes the ledger"}, what
            vault.ledger_deleted = what == "deletes the ledger" and bool(vault.ledgers)
        self.audit.check_contents(vault, exchange)

    def _remember(self, effect: Effect[Any]) -> None:
        """Keep Vault as it is before a write, where it may be restored.

        A backup without a ledger is none.
        """
        if isinstance(effect, IN_VAULT) and self._may_restore() and self.vault.ledgers:
            self.pasts = (*self.pasts, self.vault.clone())[-PASTS_KEPT:]

    def _may_restore(self) -> bool:
        """Whether a person may restore Vault, as in every walk."""
        return not self.keyed or any(what == "restores Vault" for what, _ in self.acts)

    def _restore(self, writes: int) -> None:
        """Vault as a whole is what it was so many writes ago.

        Meanwhile it is down: no run and no write outlives that.
        """
        if len(self.pasts) < writes:
            return
        self.vault, self.pasts = self.pasts[-writes].clone(), ()
        self.runs = {}
        self.flights = tuple(f for f in self.flights if not isinstance(f.effect, IN_VAULT))
        self.audit.restored(self.vault)

    def _meddle(self, what: str, where: str) -> None:
        """A person's hand in a secret."""
        vault = self.vault
        if what == "deletes the latest":
            vault.delete(where, vault.history(where).latest)
        elif what == "undeletes the latest":
            vault.undelete(where)
            self.audit.revived(where, vault.content(where))
        elif what in {"deletes the intent's version of", "destroys the intent's version of"}:
            vault.delete(
                where, self._version_of_intent(where), destroyed=what.startswith("destroys")
            )
        elif what == "forges the intent's version of":
            self._forge(where)
        elif what == "lets end what is written at":
            vault.lives = {} if vault.lives else {where: ENDS_AFTER_MS}
            self.audit.ending = frozenset() if not vault.lives else frozenset({where})
        elif what in {"overwrites", "writes anew"}:
            if what == "writes anew":
                vault.forget(where)
                self.audit.written_anew = True
            self._write_by_hand(
                where, Version(None, (("note", "by hand"),), has_secret=False, by=PERSON)
            )
        else:
            wanted = self._to_write_again(where, other=what == "rolls back")
            if wanted is not None:
                wrong = wanted.wrong or what == "spoils"
                self._write_by_hand(where, dataclasses.replace(wanted, wrong=wrong))

    def _meddle_in_reserve(self, what: str, label: str) -> None:
        """A person's hand in a document that no consumer reads."""
        found = self._oldest_reserve(label)
        if found is None:
            return
        document, path = found
        version = self.vault.history(document).get(1)
        if what.startswith(("deletes", "destroys")):
            self.vault.delete(document, 1, destroyed=what.startswith("destroys"))
        elif what.startswith("overwrites"):
            by_hand = Version(None, (("note", "by hand"),), has_secret=False, by=PERSON)
            self._write_by_hand(document, by_hand)
        elif version is not None and not version.deleted:
            wrong = version.wrong or what.startswith("spoils")
            where = document if what.startswith("spoils") else path
            self._write_by_hand(where, dataclasses.replace(version, wrong=wrong))

    def _forge(self, path: str) -> None:
        """Write a token of their own with the operation id of the open intent."""
        ledger = self.vault.ledger()
        for label, entry in ledger.tokens.items() if ledger is not None else ():
            intent = entry.intent
            if intent is not None and intent.path == path:
                self._person("derives", label)
                (*_, token_id) = self.exchange.live
                fields = ((OPERATION_ID, intent.operation_id), (TOKEN_ID, token_id))
                self._write_by_hand(path, Version(token_id, fields, has_secret=True, by=PERSON))
                return

    def _to_write_again(self, path: str, *, other: bool) -> Version | None:
        """The content of now, or the newest one of another token."""
        content = self.vault.content(path)
        now_id = content.token_id if content is not None else None
        for version in reversed(self.vault.history(path).versions):
            if (
                not version.deleted
                and version.token_id is not None
                and (version.token_id == now_id) != other
            ):
                return version
        return None

    def _write_by_hand(self, path: str, version: Version) -> None:
        version = dataclasses.replace(version, by=PERSON)
        self.vault.now_ms = self.now_ms
        self.vault.write(path, version, cas=self.vault.history(path).latest)
        self.audit.wrote(path, version)


World._happenings = {
    "run": World._go_on,
    "start": World._begin,
    "overtake": World._overtake,
    "land": World._land,
    "tick": World._let_lease_expire,
    "pass": World._let_time_pass,
    "wrong": World._mislead,
    "clock": World._set_clock,
    "lag": World._lag,
    "catch up": World._catch_up,
    "trim": World._trim,
    "read": World._pick_up,
    "use": World._use,
    "person": World._person,
}


def _renamed(flight: Flight, key_of: Callable[[str], str]) -> Flight:
    effect = flight.effect
    if not isinstance(effect, PutSecret | DeleteVersion | Undelete):
        return flight
    effect = dataclasses.replace(effect, path=key_of(effect.path))
    return dataclasses.replace(flight, effect=effect)


def derived(token: LiveToken) -> Derived:
    """The reply to the derive that made a token."""
    return Derived(
        token_id=token.token_id,
        secret=secret_of(token.token_id),
        scopes=token.scopes,
        created_at_ms=token.created_at_ms,
        profile_id=PROFILE_ID,
        account="",
    )


def as_sent(_: World, effect: Effect[Any]) -> Effect[Any]:
    """The effect as it leaves the run: where ``sabotage`` breaks what no function of
    the protocol stands for.
    """
    return effect


def mark(reply: object) -> object:
    """What stands for a reply in a run's key."""
    if isinstance(reply, SecretVersion):
        return reply.version_id, reply.state, reply.fields, reply.secret is None
    if isinstance(reply, Listing):
        return frozenset(reply.tokens)
    if isinstance(reply, Derived):
        return reply.token_id, reply.created_at_ms
    if isinstance(reply, tuple) and len(reply) == 2 and isinstance(reply[1], int):
        ledger, version = reply
        return None if ledger is None else ledger_key(ledger), version
    return reply


def short(what: object) -> str:
    """An effect or a reply for a transcript."""
    if isinstance(what, PutLedger):
        ledger = what.ledger
        rows = []
        for label, entry in ledger.tokens.items():
            intent = entry.intent
            current = entry.current and (entry.current.token_id, entry.current.version)
            begun = "nothing"
            if intent is not None:
                cas, named = intent.cas, intent.token_id
                begun = f"{intent.kind.value} {intent.operation_id} {cas} {named} {intent.path}"
            rows.append(
                f"{label}: {entry.path} cur={current} "
                f"intent={begun} "
                f"ret={[r.token_id for r in entry.retiring]} "
                f"rev={[r.token_id for r in entry.revoking]}"
            )
        return (
            f"PutLedger(cas={what.cas}, {'; '.join(rows)}, abandoned={len(ledger.abandoned)}, "
            f"held={ledger.holder is not None})"
        )
    if isinstance(what, PutSecret):
        fields = dict(what.fields)
        return (
            f"PutSecret({what.path}, {fields.get('token_id')}, op={fields.get(OPERATION_ID)}, "
            f"cas={what.cas})"
        )
    if isinstance(what, SecretVersion):
        return (
            f"v{what.version} {what.state.value} {what.field('token_id')} "
            f"op={what.field(OPERATION_ID)}"
        )
    if isinstance(what, Listing):
        return f"[{', '.join(sorted(t.token_id for t in what.tokens))}]"
    if isinstance(what, tuple) and len(what) == 2 and isinstance(what[1], int):
        return f"ledger v{what[1]}"
    if isinstance(what, VerifyToken):
        return f"VerifyToken({what.credentials.token_id})"
    if isinstance(what, Derived):
        return f"Derived({what.token_id})"
    return repr(what)


__all__ = ["Choice", "Flight", "Violation", "World"]
