"""The laws of the reserve: what must hold of a successor that is kept ready.

    law                                      is judged
    ---------------------------------------  -------------------------------------------
    it is never lost: what leaves the        at each write of the ledger
    reserve is current, goes, or is
    released
    it becomes current once at most, and is  at each write of the ledger
    no reserve after that
    the run that records it as current has   at each write of the ledger
    seen it sign, or records that it did not
    an open promotion names a reserve, and   at each write of the ledger
    its use to come is recorded with it
    what is promoted lies at its path: the   at each write of the ledger
    path was never left empty
    no path of consumers is given one        as a run's write arrives
    before an intent names both, and no two
    paths hold it
    nothing is signed with one unless the    as a signature arrives
    use is recorded ahead
    its document goes after its row          as a deletion arrives
    it comes back only at the hand of a run  as that is sent
    that has proven its lease right before
    one that somebody may use stays          as its DELETE arrives
    as many are ready as the manifest        once all is quiet
    wants, and each can be read and signs
    below the folder lies nothing else       once all is quiet

A person who rolls the ledger back, or restores Vault, makes the program forget what it
did: then only what needs no memory is judged. What a person wrote by hand is theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.model import SECOND_MS, Credentials
from reconciler.plan.setting import DEFAULT_OVERLAP_MS
from reconciler.plan.vocabulary import Action
from reconciler.protocol.effects import PutLedger, ReadLedger, Undelete
from reconciler.state import RESERVE_FOLDER, Entry, IntentKind, Ledger, Reserve, lowest
from tests.proofs.simulation.evidence import OVERLAP_SLACK_MS, Violation
from tests.proofs.simulation.models import PERSON, Version, secret_of
from tests.proofs.simulation.runs import Run
from tests.proofs.simulation.shown import NEVER

if TYPE_CHECKING:
    from tests.proofs.simulation.world import World

OWN_USE_SLACK_MS = SECOND_MS
"""A run knows the exchange's clock to this."""

LAW = "reserve"


def is_document(path: str) -> bool:
    """Whether no consumer reads at a path, or key: it is a reserve's, at any place."""
    return f"/{RESERVE_FOLDER}/" in f"/{path}"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of reserves.

    ``documents`` are the paths of reserves at which a token was written, each with the
    token; ``kept`` are the tokens that the ledger has in the reserve, ``promoted``
    those that it recorded as current since. ``signed`` are the names of runs, each with
    a reserve that it has seen sign.
    """

    documents: frozenset[tuple[str, str]] = frozenset()
    kept: frozenset[str] = frozenset()
    promoted: frozenset[str] = frozenset()
    signed: frozenset[tuple[str, str]] = frozenset()

    def recorded(self, ledger: Ledger, world: World, by: str) -> Seen:
        """Judge a version of the ledger, and remember it."""
        vault, meddled = world.vault, world.audit.meddled
        now = {row.token_id for entry in ledger.tokens.values() for row in entry.reserve}
        current = {e.current.token_id: e for e in ledger.tokens.values() if e.current is not None}
        became = self.kept & current.keys()
        after = dataclasses.replace(self, kept=frozenset(now), promoted=self.promoted | became)
        if world.audit.rewound:
            return after
        for token_id in sorted(self.kept - now - current.keys() - _ends(ledger)):
            raise Violation(LAW, f"{token_id} was in the reserve, and the ledger has lost it")
        for token_id in sorted(became & self.promoted):
            raise Violation(LAW, f"{token_id} is promoted twice")
        for token_id in sorted(now & self.promoted):
            raise Violation(LAW, f"{token_id} was promoted, and is in the reserve again")
        for token_id in sorted(became):
            entry = current[token_id]
            proven = (by, token_id) in self.signed
            if not proven and entry.current is not None and not entry.current.unsigned:
                raise Violation(LAW, f"{by} promotes {token_id}, which it has not seen sign")
            content = vault.content(entry.path)
            if not meddled and (content is None or content.token_id != token_id):
                raise Violation(LAW, f"{token_id} is promoted, and is not at {entry.path}")
        for label, entry in ledger.tokens.items():
            _check_intent(label, entry)
        return after

    def wrote(self, path: str, token_id: str) -> Seen:
        """Remember a reserve's document."""
        return dataclasses.replace(self, documents=self.documents | {(path, token_id)})


def _ends(ledger: Ledger) -> frozenset[str]:
    """The ids that go, are released, or have gone."""
    going = {row.token_id for entry in ledger.tokens.values() for row in entry.revoking}
    ended = {row.token_id for row in ledger.closed if row.token_id is not None}
    return ledger.released_ids() | going | ended


def _check_intent(label: str, entry: Entry) -> None:
    intent = entry.intent
    if intent is None or intent.kind is not IntentKind.PROMOTE:
        return
    row = next((kept for kept in entry.reserve if kept.token_id == intent.token_id), None)
    if row is None:
        raise Violation(LAW, f"{label} promotes {intent.token_id}, which is not in its reserve")
    if row.ours_until_ms < intent.since_ms:
        raise Violation(LAW, f"{label} promotes {row.token_id}, and no use is recorded ahead")


def kept_rows(ledger: Ledger | None) -> Iterator[tuple[str, Reserve]]:
    """The reserves that a ledger has, each with its label."""
    for label, entry in ledger.tokens.items() if ledger is not None else ():
        yield from ((label, kept) for kept in entry.reserve)


# --- as a call arrives ---


def check_placed(world: World, path: str, version: Version) -> None:
    """No path of consumers is given a reserve before an intent names both.

    It is never in two paths.
    """
    audit, ledger, token_id = world.audit, world.vault.ledger(), version.token_id
    if ledger is None or token_id is None or audit.rewound or (path, token_id) in audit.by_hand:
        return
    seen = audit.reserves
    if token_id in seen.kept:
        intents = (entry.intent for entry in ledger.tokens.values() if entry.intent is not None)
        named = any(i.token_id == token_id and i.path == path for i in intents)
        if not named:
            raise Violation(LAW, f"{version.by} writes {token_id} at {path}, unannounced")
    if token_id not in seen.kept | seen.promoted:
        return
    for other in world.vault.secrets:
        elsewhere = is_document(other) or other.startswith("/")  # which a move has left
        content = None if elsewhere else world.vault.content(other)
        by_hand = (other, token_id) in audit.by_hand
        if other != path and content is not None and content.token_id == token_id and not by_hand:
            raise Violation(LAW, f"{version.by} writes {token_id} at {path}, and it is at {other}")


def check_not_emptied(world: World, path: str, version: Version) -> None:
    """No placeholder is written over what lives, save over what goes."""
    content = world.vault.content(path)
    if world.vault.ledger() is None:
        return  # no run is at work
    if not version.placeholder or content is None or content.placeholder:
        return
    if content.token_id not in world.audit.revoking and not world.audit.rewound:
        raise Violation(LAW, f"{version.by} empties {path}, which holds {content.token_id}")


def check_deleted(world: World, path: str, by: str) -> None:
    """A reserve's document goes after its row, and after its path holds the token."""
    audit, ledger = world.audit, world.vault.ledger()
    if ledger is None or not is_document(path) or audit.rewound:
        return
    for label, kept in kept_rows(ledger):
        if kept.path == path:
            raise Violation(LAW, f"{by} deletes the document of {kept.token_id}, kept for {label}")
    tokens = {token_id for where, token_id in audit.reserves.documents if where == path}
    for entry in ledger.tokens.values():
        current = entry.current
        if current is None or current.token_id not in tokens or audit.meddled:
            continue
        versions = world.vault.history(entry.path).versions
        if all(one.deleted or one.token_id != current.token_id for one in versions):
            raise Violation(LAW, f"{by} deletes the only copy of {current.token_id}")


def check_brought_back(world: World, run: Run) -> None:
    """No run that stood still brings a document back which another one has deleted."""
    proven = run.last in {PutLedger, ReadLedger, Undelete}
    if not proven and not world.holds_lease(run.name):
        raise Violation(LAW, f"{run.name} brings a document back, and has lost its lease")


def note_signed(world: World, run: Run, token_id: str) -> None:
    """A use of a reserve by a run is recorded ahead: else it would seem somebody's."""
    audit = world.audit
    if token_id in audit.reserves.kept:
        signed = audit.reserves.signed | {(run.name, token_id)}
        audit.reserves = dataclasses.replace(audit.reserves, signed=signed)
    if audit.rewound:
        return
    for label, kept in kept_rows(world.vault.ledger()):
        late_ms = world.now_ms + world.date_ahead_ms - kept.ours_until_ms
        if kept.token_id == token_id and late_ms > OWN_USE_SLACK_MS:
            raise Violation(LAW, f"{token_id} of {label} signs, and no use is recorded ahead")


def check_unused(world: World, run: Run, token_id: str) -> bool:
    """A reserve goes by evidence; False where it was none as the run looked."""
    assert run.seen is not None
    found = (one for one in kept_rows(run.seen.ledger) if one[1].token_id == token_id)
    label = next((label for label, _ in found), None)
    if label is None:
        return False
    law, put_ms = world.exchange.law, world.audit.put_ms.get(token_id)
    if put_ms is not None and world.now_ms - put_ms < _overlap_ms(run, label) - OVERLAP_SLACK_MS:
        raise Violation("7", f"{run.name} revokes the reserve {token_id}, which lay at a path")
    if run.wish.policy.revoke_unproven:
        return True
    if law.kind == NEVER:
        raise Violation("7", f"{run.name} revokes the reserve {token_id}, and no use is shown")
    known_ms = run.seen_ms - law.hidden_ms - SECOND_MS
    told = [at for at in world.audit.told.get(token_id, ()) if at < known_ms]
    if told:
        raise Violation("7", f"{run.name} revokes the reserve {token_id}, which somebody used")
    return True


def _overlap_ms(run: Run, label: str) -> int:
    assert run.seen is not None
    spec, entry = run.wish.spec(label), run.seen.ledger.tokens[label]
    overlap_ms = spec.overlap_ms if spec is not None else entry.overlap_ms
    return DEFAULT_OVERLAP_MS if overlap_ms is None else overlap_ms


# --- once all is quiet ---


def check_ready(world: World, run: Run) -> None:
    """As many reserves are ready as are wanted, unless a label or a reserve is held."""
    ledger, plan = world.vault.ledger(), run.plan
    if ledger is None or plan is None or run.seen is None:
        return
    held = {c.before.token_id for c in plan.changes if c.action is Action.HOLD and c.before}
    waits = {c.label for c in plan.changes if c.action is Action.HOLD}
    granted = {frozenset(row.asked) for row in ledger.granted}
    for spec in run.wish.manifest.tokens:
        entry = ledger.tokens.get(spec.label)
        rows = entry.reserve if entry is not None else ()
        fit = [kept for kept in rows if kept.token_id not in held and kept.missing_since_ms is None]
        if spec.label in waits or run.closed is not None or frozenset(spec.scopes) in granted:
            continue
        if len(fit) < spec.reserve and _is_crowded(world, ledger):
            continue
        if len(fit) != spec.reserve:
            raise Violation(
                LAW, f"{spec.label} has {len(fit)} ready, and {spec.reserve} are wanted"
            )
        for kept in fit:
            _check_works(world, spec.label, kept)


def _is_crowded(world: World, ledger: Ledger) -> bool:
    """Whether there is no room for one more; ``caps`` has the law of that."""
    cap = lowest(ledger.cap, world.now_ms)
    return cap is not None and len(world.exchange.live) + 1 >= cap.lived


def _check_works(world: World, label: str, kept: Reserve) -> None:
    pair = Credentials(token_id=kept.token_id, secret=secret_of(kept.token_id))
    version = world.vault.history(kept.path).get(1)
    gone = version is None or version.destroyed or version.wrong
    if gone or (version is not None and version.token_id != kept.token_id):
        raise Violation(LAW, f"the document of {kept.token_id} of {label} does not hold it")
    listed = any(token.token_id == kept.token_id for token in world.exchange.listing(world.now_ms))
    if not world.exchange.accepts(pair) and not listed:
        raise Violation(LAW, f"{kept.token_id} of {label} is in the reserve, and does not sign")


def check_documents(world: World) -> None:
    """Below the folder of the reserves lies nothing that the ledger does not name.

    What is released stays where it is.
    """
    ledger, audit = world.vault.ledger(), world.audit
    if ledger is None or audit.rewound or audit.revived_late:
        return
    named, parted = {*_named(ledger)}, ledger.released_ids() | audit.adopting
    for path in world.vault.secrets:
        content = world.vault.content(path) if is_document(path) else None
        if content is None or content.by == PERSON or content.token_id in parted:
            continue
        if path not in named:
            raise Violation(LAW, f"{path} is left over, with {content.token_id}")


def _named(ledger: Ledger) -> Iterable[str]:
    for entry in ledger.tokens.values():
        yield from (kept.path for kept in entry.reserve)
        yield from (row.path for row in entry.retiring if row.path is not None)
        yield from (row.path for row in entry.revoking if row.path is not None)
        if entry.intent is not None:
            yield entry.intent.path
    yield from (row.path for row in ledger.left)
