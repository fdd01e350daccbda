"""The law of an exchange that lets no more than so many tokens live.

Once a run has seen that a derive ended another token, and has recorded what it derived,
nothing is derived for a reserve that would make as many tokens live as it saw then, for
30 days. A run sees what its lists show: a token that is gone was in its list right
before the derive, is in none of the new token's own, and is not one that goes anyway.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from reconciler.model import DAY_MS
from reconciler.state import IntentKind, Ledger
from tests.proofs.simulation.evidence import Violation
from tests.proofs.simulation.runs import Run

if TYPE_CHECKING:
    from tests.proofs.simulation.world import World

LAW = "cap"
COUNTS_MS = 30 * DAY_MS


@dataclasses.dataclass(frozen=True, slots=True)
class Caps:
    """What runs have seen of it.

    ``lists`` are the ids that the last list of each run by its signer had, by the run's
    name. Each of ``ended`` is a run, its new token, and one that the derive has ended.
    Each of ``verified`` is a run, its new token, and how many lived when that signed.
    ``seen`` are such numbers that a record of that run stands for, with its time.
    """

    lists: frozenset[tuple[str, frozenset[str]]] = frozenset()
    ended: frozenset[tuple[str, str, str]] = frozenset()
    verified: frozenset[tuple[str, str, int]] = frozenset()
    seen: frozenset[tuple[int, int]] = frozenset()

    def listed(self, run: Run, ids: frozenset[str]) -> Caps:
        """A list, signed by the run's signer."""
        others = {one for one in self.lists if one[0] != run.name}
        return dataclasses.replace(self, lists=frozenset({*others, (run.name, ids)}))

    def derived(self, world: World, run: Run, token_id: str, ended: frozenset[str]) -> Caps:
        """A derive has ended these; what goes anyway explains itself."""
        known = dict(self.lists).get(run.name, frozenset())
        found = {
            (run.name, token_id, one) for one in ended & known if one not in world.audit.revoking
        }
        return dataclasses.replace(self, ended=self.ended | found)

    def signed(self, run: Run, token_id: str, ids: frozenset[str]) -> Caps:
        """A list, signed by any token."""
        gone = {old for maker, new, old in self.ended if (maker, new) == (run.name, token_id)}
        if not gone or not gone.isdisjoint(ids):
            return self
        others = {one for one in self.verified if one[:2] != (run.name, token_id)}
        found = run.name, token_id, len(ids)
        return dataclasses.replace(self, verified=frozenset({*others, found}))

    def recorded(self, ledger: Ledger, by: str, now_ms: int) -> Caps:
        """A version of the ledger, of a run's."""
        entries = ledger.tokens.values()
        kept = {row.token_id for entry in entries for row in entry.reserve}
        kept |= {e.current.token_id for e in entries if e.current is not None}
        new = {one for one in self.verified if one[0] == by and one[1] in kept}
        if not new:
            return self
        seen = self.seen | {(lived, now_ms) for _, _, lived in new}
        return dataclasses.replace(self, verified=self.verified - new, seen=seen)

    def check_sent(self, world: World, run: Run, label: str) -> None:
        """No POST for a reserve where there is no room."""
        ledger, audit = world.vault.ledger(), world.audit
        if ledger is None or audit.rewound or audit.misled or audit.lagged:
            return
        entry = ledger.tokens.get(label)
        intent = entry.intent if entry is not None else None
        if intent is None or intent.kind is not IntentKind.STOCK or intent.run != run.name:
            return
        lives = len(dict(self.lists).get(run.name, frozenset()))
        for lived, at_ms in self.seen:
            if world.now_ms < at_ms + COUNTS_MS and lives + 1 >= lived:
                raise Violation(
                    LAW,
                    f"{run.name} stocks {label} beside {lives} tokens, and a derive was seen to "
                    f"end another where {lived} lived",
                )

    def key(self) -> object:
        """What a later verdict depends on."""
        return (self.lists, self.ended, self.verified, self.seen) if self.ended else ()
