"""The invariants of the design, judged by what both peers hold and remember, not by
what the program says.

    1     each desired label that is not held for a person has a live current
          token with its scopes; its secret at its path signs
    3     no live token of ours is unknown to the ledger, save one that every
          report names "probably ours"
    4     a person's token is never revoked; a token that was committed goes only
          for a reason that its consumers were told of
    5     no version of a secret was the content while its token was revoked: by
          the times of both peers, to the millisecond
    6     each derived token has an intent of its own, recorded before; no POST
          without one; no DELETE without a recorded revoking, save of a new token
          that was never committed
    12    an id that was in the reserve is current, goes, or has gone; none is
          promoted twice, and none is in the reserve and current as well
    16    as many reserves are ready as are wanted, unless their label or one of
          them is held: each lives, and its document holds its secret
    8     no secret stands in what was printed or written
    rest  no intent, no revoking id and no placeholder is left over; nothing leads
          out of revoking

The ledger's versions are its history: each is read once.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from reconciler.state.ledger import Intent, Ledger
from reconciler.state.lost import CLOCK_MARGIN_MS, DERIVE_DEADLINE_MS
from tests.proofs.soak.manifest import Wanted
from tests.proofs.soak.peers import HTTP_OK, Exchange, Vault
from tests.proofs.soak.watcher import Watcher

FAREWELLS = frozenset({"rotated", "rolled back", "compromised", "superseded", "not desired"})
"""Reasons for which a token may go that consumers may have read."""

TOKEN_MARGIN_MS = 2
"""Both peers cut their instants to the millisecond."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """A derive that was recorded before it was sent, and when that was recorded."""

    label: str
    since_ms: int


class Judge:
    """Judges one fleet; it learns of every version of the ledger.

    ``by_hand`` are tokens that a person made.
    """

    def __init__(self, exchange: Exchange, vault: Vault, watcher: Watcher, *, exact: bool) -> None:
        self.exchange = exchange
        self.vault = vault
        self.watcher = watcher
        self.exact = exact
        self.by_hand: set[str] = set()
        self.ledger: Ledger | None = None
        self._version = 0
        self._intents: dict[tuple[str, int], Intended] = {}
        self._revoking: dict[str, tuple[int, str]] = {}
        self._currents: set[str] = set()
        self._paths: set[str] = set()
        self._kept: set[str] = set()
        self._promoted: set[str] = set()

    def judge(
        self,
        wanted: Iterable[Wanted],
        *,
        held: frozenset[str],
        named: frozenset[str],
        waiting: frozenset[str] = frozenset(),
    ) -> None:
        """Everything.

        ``held``: labels that wait for a person; ``named``: ids that the report calls
        probably ours; ``waiting``: labels of which anything is held.
        """
        self.learn()
        ledger = self.ledger
        if ledger is None:
            raise ViolationError("1: there is no ledger")
        tokens = self.exchange.tokens()
        self._judge_rest(ledger)
        for one in wanted:
            if one.label not in held:
                self._judge_wanted(ledger, tokens, one)
            if one.label not in held | waiting:
                self._judge_reserve(ledger, tokens, one)
        self._judge_unknown(ledger, tokens, named)
        self.judge_history()

    def judge_done(self, wanted: Iterable[Wanted]) -> None:
        """What a run that ended with 0 has seen to, whatever it met with."""
        self.learn()
        if self.ledger is None:
            raise ViolationError("1: there is no ledger")
        tokens = self.exchange.tokens()
        self._judge_rest(self.ledger)
        for one in wanted:
            self._judge_wanted(self.ledger, tokens, one)

    def judge_history(self) -> None:
        """What must hold at every instant, whatever was interrupted."""
        self.learn()
        tokens = self.exchange.tokens()
        self._judge_hands_off(tokens)
        self._judge_contents(tokens)
        self._judge_derives(tokens)
        self._judge_revocations(tokens)
        for sentence in self.watcher.violations:
            raise ViolationError(f"5: {sentence}")
        for sentence in self.watcher.failures:
            raise ViolationError(sentence)

    def owed(self) -> frozenset[str]:
        """Tokens that the next run has to revoke: an open intent's that was never
        committed, and that can be no other's.

        None where the exchange's clock or what it shows of uses is not ``exact``: then
        such a token is named, or retires.
        """
        self.learn()
        if not self.exact:
            return frozenset()
        ledger, tokens = self.ledger, self.exchange.tokens()
        found: set[str] = set()
        for label, entry in ledger.tokens.items() if ledger is not None else ():
            intent = entry.intent
            if ledger is None or intent is None or not intent.kind.derives:
                continue
            if intent.token_id is None and not intent.listed:
                continue  # nothing is inferred: a list was not asked before the derive
            known = {*intent.before, *ledger.known_ids()}
            mine = [
                token
                for token in tokens.values()
                if token["label"] == label and _may_be(token, intent, known)
            ]
            committed = self.vault.read(intent.path, intent.cas + 1)
            if (
                len(mine) == 1
                and (committed.fields or {}).get("operation_id") != intent.operation_id
            ):
                found.add(mine[0]["token_id"])
        return frozenset(found)

    def judge_paid(self, owed: frozenset[str]) -> None:
        """Invariant 3: it is not enough to report those."""
        tokens = self.exchange.tokens()
        for token_id in sorted(owed):
            if tokens[token_id]["revoked_at_ms"] is None:
                raise ViolationError(f"3: {token_id} was interrupted, and lives on")

    # --- the ledger's history ---

    def learn(self) -> None:
        """Read the versions of the ledger that are new."""
        lives = {life.version: life.since_ms for life in self.vault.lives("_ledger")}
        for version in sorted(number for number in lives if number > self._version):
            ledger = self.vault.ledger(version)
            if ledger is None:
                raise ViolationError(f"rest: version {version} of the ledger is gone")
            self._learn(ledger, lives[version])
            self._version, self.ledger = version, ledger

    def _learn(self, ledger: Ledger, at_ms: int) -> None:
        for label, entry in ledger.tokens.items():
            self._paths.add(entry.path)
            if entry.intent is not None:
                self._paths.add(entry.intent.path)
                if entry.intent.kind.derives:
                    # after a 429 it is renewed, for one POST more
                    recorded = entry.intent.operation_id, entry.intent.since_ms
                    self._intents.setdefault(recorded, Intended(label=label, since_ms=at_ms))
            alive = [retiring.token_id for retiring in entry.retiring]
            if entry.current is not None:
                alive.append(entry.current.token_id)
                self._currents.add(entry.current.token_id)
                self.watcher.held.setdefault(
                    (entry.path, entry.current.version), entry.current.token_id
                )
            for revoking in entry.revoking:
                self._revoking.setdefault(revoking.token_id, (at_ms, revoking.reason))
            self._paths.update(kept.path for kept in entry.reserve)
            back = [token_id for token_id in alive if token_id in self._revoking]
            if back:
                raise ViolationError(f"rest: {back} were revoking and are not any more")
        self._learn_reserves(ledger)

    def _learn_reserves(self, ledger: Ledger) -> None:
        entries = ledger.tokens.values()
        kept = {row.token_id for entry in entries for row in entry.reserve}
        current = {entry.current.token_id for entry in entries if entry.current is not None}
        going = {row.token_id for entry in entries for row in entry.revoking}
        ended = {row.token_id for row in ledger.closed}
        lost = self._kept - kept - current - going - ended
        if lost:
            raise ViolationError(f"12: {sorted(lost)} were in the reserve, and are nowhere")
        twice = kept & (current | self._promoted)
        twice |= self._kept & current & self._promoted
        if twice:
            raise ViolationError(f"12: {sorted(twice)} were promoted, and are in the reserve")
        self._promoted |= self._kept & current
        self._kept = kept

    # --- what must hold once all is quiet ---

    def _judge_rest(self, ledger: Ledger) -> None:
        for label, entry in ledger.tokens.items():
            # a run's last write gives the lease back and closes what is proven gone;
            # where it is lost, both stay for the next run
            open_ = [r for r in entry.revoking if r.asked_at_ms is None or ledger.holder is None]
            if entry.intent is not None or open_:
                raise ViolationError(f"rest: {label} is left with an intent or revoking ids")
        for path in self._paths:
            if self.vault.read(path).fields == {}:
                raise ViolationError(f"rest: a placeholder is left at {path}")

    def _judge_wanted(self, ledger: Ledger, tokens: Mapping[str, Any], one: Wanted) -> None:
        entry = ledger.tokens.get(one.label)
        current = entry.current if entry is not None else None
        if entry is None or current is None:
            raise ViolationError(f"1: {one.label} has no current token")
        token = tokens[current.token_id]
        if token["revoked_at_ms"] is not None:
            raise ViolationError(
                f"1: the current token of {one.label} ({current.token_id}) is revoked"
            )
        if set(token["scopes"]) != set(one.scopes):
            raise ViolationError(
                f"1: {one.label} has the scopes {token['scopes']} instead of {list(one.scopes)}"
            )
        content = self.vault.read(one.path)
        if (
            content.fields is None
            or content.token_id != current.token_id
            or content.version != current.version
        ):
            raise ViolationError(
                f"1: {one.path} holds {content.token_id} instead of {current.token_id}"
            )
        status = self.exchange.list_patiently(current.token_id, content.fields["secret"])
        if status != HTTP_OK:
            raise ViolationError(f"1: the secret of {one.label} does not sign: {status}")

    def _judge_reserve(self, ledger: Ledger, tokens: Mapping[str, Any], one: Wanted) -> None:
        rows = ledger.tokens[one.label].reserve
        if len(rows) != one.reserve:
            raise ViolationError(
                f"16: {one.label} has {len(rows)} in the reserve, and {one.reserve} are wanted"
            )
        secrets = self.exchange.secrets()
        for kept in rows:
            if tokens[kept.token_id]["revoked_at_ms"] is not None:
                raise ViolationError(f"16: {kept.token_id} is in the reserve, and is revoked")
            content = self.vault.read(kept.path, 1)
            gone = content.fields is None  # a promotion brings it back
            if not gone and content.token_id != kept.token_id:
                raise ViolationError(f"16: {kept.path} holds {content.token_id}")
            if content.fields is not None and content.fields["secret"] not in secrets:
                raise ViolationError(f"16: {kept.path} holds no secret of the exchange's")

    def _judge_unknown(
        self, ledger: Ledger, tokens: Mapping[str, Any], named: frozenset[str]
    ) -> None:
        known = ledger.known_ids().keys() | self.by_hand | named
        for token_id, token in tokens.items():
            if token["revoked_at_ms"] is None and token_id not in known:
                raise ViolationError(f"3: {token_id} ({token['label']}) lives, and nobody knows it")

    # --- what must hold at every instant ---

    def _judge_hands_off(self, tokens: Mapping[str, Any]) -> None:
        for token_id in self.by_hand - self.watcher.by_person:
            if tokens[token_id]["revoked_at_ms"] is not None:
                raise ViolationError(f"4: {token_id}, which a person made, was revoked")

    def _judge_contents(self, tokens: Mapping[str, Any]) -> None:
        for path in sorted(self._paths):
            for life in self.vault.lives(path):
                token_id = self.watcher.held.get((path, life.version))
                if (
                    token_id is None
                    or token_id in self.watcher.by_person
                    or tokens[token_id]["revoked_at_ms"] is None
                ):
                    continue
                revoked_ms = self.exchange.real_ms(tokens[token_id]["revoked_at_ms"])
                if life.until_ms is None or revoked_ms + TOKEN_MARGIN_MS < life.until_ms:
                    late = (
                        "still is the content"
                        if life.until_ms is None
                        else f"{life.until_ms - revoked_ms} ms before it went"
                    )
                    raise ViolationError(
                        f"5: {token_id} was revoked and is version {life.version} of {path}: {late}"
                    )

    def _judge_derives(self, tokens: Mapping[str, Any]) -> None:
        intended = collections.defaultdict(list)
        for one in self._intents.values():
            intended[one.label].append(one.since_ms)
        for label, derived in itertools.groupby(
            sorted(
                (token["label"] or "", self.exchange.real_ms(token["created_at_ms"]))
                for token_id, token in tokens.items()
                if token_id not in self.by_hand
            ),
            key=lambda pair: pair[0],
        ):
            _pair(
                sorted(intended[label]),
                [at_ms for _, at_ms in derived],
                f"a token of {label} was derived",
            )
        everything = sorted(one.since_ms for one in self._intents.values())
        _pair(everything, self.exchange.derives_ms(), "a derive was sent")

    def _judge_revocations(self, tokens: Mapping[str, Any]) -> None:
        committed = self._currents | set(self.watcher.held.values())
        for token_id, token in tokens.items():
            if token["revoked_at_ms"] is None or token_id in self.watcher.by_person:
                continue
            recorded = self._revoking.get(token_id)
            if recorded is None:
                if token_id in committed:
                    raise ViolationError(
                        f"6: {token_id} was committed, and revoked without a record"
                    )
                continue
            at_ms, reason = recorded
            if self.exchange.real_ms(token["revoked_at_ms"]) + TOKEN_MARGIN_MS < at_ms:
                raise ViolationError(f"6: {token_id} was revoked before that was recorded")
            if token_id in committed and reason not in FAREWELLS:
                raise ViolationError(f"4: {token_id} was committed, and revoked as {reason!r}")

    def check_leaks(self, texts: Iterable[str]) -> None:
        """Invariant 8."""
        everything = "\n".join(texts)
        leaked = sum(
            1
            for secret in {*self.exchange.secrets(), self.vault.server.root_token}
            if secret in everything
        )
        if leaked:
            raise ViolationError(f"8: {leaked} secrets in what was printed or written")


def _may_be(token: Mapping[str, Any], intent: Intent, known: Collection[str]) -> bool:
    """Whether a live token can be an open intent's.

    Where several can, none is proven to be.
    """
    if token["revoked_at_ms"] is not None or token["token_id"] in known:
        return False
    latest_ms = intent.since_ms + DERIVE_DEADLINE_MS
    return (
        token["last_used_at_ms"] is None
        and set(token["scopes"]) == set(intent.scopes)
        and intent.since_ms - CLOCK_MARGIN_MS <= token["created_at_ms"] <= latest_ms
    )


def _pair(intents_ms: list[int], acts_ms: list[int], what: str) -> None:
    """The k-th act comes after the k-th intent, or it had none of its own."""
    for number, act_ms in enumerate(acts_ms):
        if number >= len(intents_ms) or intents_ms[number] > act_ms + TOKEN_MARGIN_MS:
            raise ViolationError(
                f"6: {what} {number + 1} times by then, with fewer intents recorded before"
            )
