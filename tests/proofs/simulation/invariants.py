"""What must hold at every instant, and what must hold once all is quiet (the invariants
of the design, by number).

1. A run that ends with 0: each desired label has a live current token with its scopes,
   whose secret lies at its path.
2. The run after a successful run writes nothing.
3. Once a run went through undisturbed, each live token of ours is known to the ledger
   or named "probably ours".
4. Never revoked: a person's token, the token that signs, a token that the ledger calls
   current, a secret's content, a token that was released.
5. No secret's content is a token that we have revoked.
6. No POST without a recorded intent of its own. No DELETE without a recorded
   ``revoking``, save of a run's own new token that nobody can have read and whose
   commit can't land later.
7. A token that a consumer may have read goes only because it was superseded,
   compromised or is not desired.

9. No older manifest comes true, unless that is allowed.
10. No derive for a path at which versions end by themselves, save in an emergency.
11. No path that the manifest wants is emptied while what lies there works, unless that
    is compromised.

Beyond the design's list: ``ledger`` (an id is in one place, nothing leads out of
revoking, a current or retiring token was committed before it was recorded, no working
secret is called a wrong one, no secret stands in it), ``reserve`` (``reserves`` has its
laws), ``cap`` (``caps`` has its law) and ``rest`` (no intent, no revoking id, no
placeholder is left over).
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reconciler.errors import Exit
from reconciler.model import MINUTE_MS, SECOND_MS, Credentials, LiveToken, TokenSpec
from reconciler.plan.setting import PROMPT_MS
from reconciler.plan.vocabulary import NEEDS_DECISION, Action, Reason
from reconciler.protocol.effects import (
    DeleteVersion,
    Derive,
    Effect,
    PutSecret,
    Revoke,
    Undelete,
)
from reconciler.protocol.spare import OWN_PROOF_MS
from reconciler.state.ledger import Current, Entry, Intent, IntentKind, Ledger, Retiring
from reconciler.state.lost import ABANDONED_KEPT_MS, CLOCK_MARGIN_MS, DERIVE_DEADLINE_MS
from reconciler.state.secret import TOKEN_ID
from tests.proofs.simulation.caps import Caps
from tests.proofs.simulation.evidence import (
    BY_EVIDENCE,
    Violation,
    check_evidence,
    first_told,
    successor_of,
)
from tests.proofs.simulation.models import (
    PERSON,
    Exchange,
    Vault,
    Version,
    check_text,
    is_valid,
    secret_of,
)
from tests.proofs.simulation.reserves import (
    Seen,
    check_brought_back,
    check_documents,
    check_not_emptied,
    check_placed,
    check_ready,
    check_unused,
    is_document,
)
from tests.proofs.simulation.runs import Command, Run
from tests.proofs.simulation.shown import Law

if TYPE_CHECKING:
    from tests.proofs.simulation.world import World

USES_KEPT = 50

TOLD_MS = MINUTE_MS
"""How long after a use a run has seen it, at the latest: it looks before it acts."""

FAREWELLS = frozenset({"rotated", "rolled back", "compromised", "superseded", "not desired"})
"""Reasons of a revocation that a consumer was warned of: everything else must be
invisible to it."""


class Audit:
    """What was seen so far, as far as the invariants need it.

    ``meddled``: a person has acted. ``currents`` are the tokens that the ledger ever
    had as current, or in the reserve.

    Each ``read`` pair is a path and a token that consumers could find there;
    ``by_hand`` are those that a person wrote, ``too_late`` those that it wrote when
    they were revoking already. ``rewound``: a person rolled the ledger back, so that
    what it had learnt since is forgotten. ``doubtful``: uses are not shown at once and
    exactly, lists failed, lagged or were partial, or time leapt between them, so that
    uses prove little. ``perhaps_used`` are
    tokens that were used later than their own derive's proof. ``reserves`` is what was
    seen of those: no consumer reads their documents. ``revived_late``: a document may
    have come back long after its run had asked for that. ``caps`` is what was seen of
    how many tokens may live.
    """

    def __init__(self) -> None:
        self.read: frozenset[tuple[str, str]] = frozenset()
        self.by_hand: frozenset[tuple[str, str]] = frozenset()
        self.too_late: frozenset[tuple[str, str]] = frozenset()
        self.revoking: dict[str, str] = {}
        self.currents: frozenset[str] = frozenset()
        self.released: frozenset[str] = frozenset()
        self.adopting: frozenset[str] = frozenset()
        self.intents: collections.Counter[tuple[str, str]] = collections.Counter()
        self.seen_intents: frozenset[tuple[str, int]] = frozenset()
        self.asked_for: frozenset[tuple[str, frozenset[str]]] = frozenset()
        self.posts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.used: dict[str, tuple[int, ...]] = {}
        self.told: dict[str, tuple[int, ...]] = {}
        self.spared_ms: dict[str, int] = {}
        self.recorded_ms = 0
        self.retired_ms: dict[str, int] = {}
        self.put_ms: dict[str, int] = {}
        self.sent_ms: dict[str, int] = {}
        self.opened_ms: dict[tuple[str, str], int] = {}
        self.intent_of: dict[str, tuple[str, int]] = {}
        self.abandoned_ms: dict[tuple[str, int], int] = {}
        self.ending: frozenset[str] = frozenset()
        self.lagged = self.misled = False
        self.doubtful = False
        self.perhaps_used: frozenset[str] = frozenset()
        self.meddled = False
        self.rewound = False
        self.vault_restored = False
        self.written_anew = False
        self.reserves = Seen()
        self.revived_late = False
        self.caps = Caps()

    def clone(self) -> Audit:
        """An independent copy."""
        twin = object.__new__(Audit)
        twin.__dict__.update(self.__dict__)
        twin.revoking = dict(self.revoking)
        twin.used = dict(self.used)
        twin.told = dict(self.told)
        twin.spared_ms = dict(self.spared_ms)
        twin.retired_ms = dict(self.retired_ms)
        twin.put_ms = dict(self.put_ms)
        twin.sent_ms = dict(self.sent_ms)
        twin.opened_ms = dict(self.opened_ms)
        twin.intent_of = dict(self.intent_of)
        twin.abandoned_ms = dict(self.abandoned_ms)
        twin.intents = self.intents.copy()
        twin.posts = self.posts.copy()
        return twin

    def key(self) -> object:
        """What a later verdict depends on."""
        pairs = self.read, self.by_hand, self.too_late
        unsure = self.doubtful, self.perhaps_used
        said = self.currents, frozenset(self.revoking.items()), self.meddled, self.rewound
        kept = self.reserves, self.revived_late, self.caps.key()
        return pairs, unsure, said, self.released, self.adopting, kept

    # --- told by the world ---

    def sent(self, world: World, run: Run, effect: Effect[Any], token_id: str) -> None:
        """A mutating call leaves a run; a derive will make ``token_id``."""
        back = run.wish.older and not run.wish.policy.allow_older_manifest
        if back and isinstance(effect, (Derive, Revoke)):
            raise Violation("9", f"{run.name} makes an older manifest come true")
        if isinstance(effect, DeleteVersion):
            self._check_emptied(world, run, effect)
        if isinstance(effect, PutSecret):
            self._check_signer(world, run, effect)
            self._check_placeholder(world, run, effect)
        if isinstance(effect, Undelete):
            check_brought_back(world, run)
        if isinstance(effect, Derive):
            self._check_lasting(world, run, effect.label)
            self.caps.check_sent(world, run, effect.label)
            self.sent_ms[token_id] = world.now_ms
            mine = run.name, effect.label
            self.intent_of[token_id] = effect.label, self.opened_ms.get(mine, world.now_ms)
            self.posts[mine] += 1
            if self.posts[mine] > self.intents[mine]:
                raise Violation(
                    "6",
                    (
                        f"{run.name} sends POST number {self.posts[mine]} with "
                        f"{self.intents[mine]} intents"
                    ),
                )

    def _check_signer(self, world: World, run: Run, effect: PutSecret) -> None:
        """No other label is given the path of the manager, whose secret signs."""
        ledger, manager = world.vault.ledger(), run.wish.manifest.manager
        entry = ledger.tokens.get(manager) if ledger is not None else None
        if ledger is None or entry is None or not entry.is_at(effect.path) or self.rewound:
            return
        tokens = ledger.tokens.items()
        for label, other in tokens:
            if other.intent is not None and other.intent.path == effect.path and label != manager:
                raise Violation("4", f"{run.name} writes {label}'s secret over the manager's")

    def _check_placeholder(self, world: World, run: Run, effect: PutSecret) -> None:
        """No empty document where an older version has the path's working secret.

        One that does not fit can never be written, and empties nothing.
        """
        ledger, history = world.vault.ledger(), world.vault.history(effect.path)
        if effect.fields or effect.secret is not None or ledger is None or self.rewound:
            return
        if effect.cas != history.latest:
            return
        versions = history.versions
        for entry in ledger.tokens.values():
            current, intent = entry.current, entry.intent
            if current is None or not entry.is_at(effect.path) or current.unsigned:
                continue
            if entry.emptied or (intent is not None and intent.compromised):
                continue
            if any(
                v.token_id == current.token_id and v.has_secret and not (v.deleted or v.wrong)
                for v in versions
            ):
                raise Violation("5", f"{run.name} empties {effect.path}, whose secret is there")

    def _check_emptied(self, world: World, run: Run, effect: DeleteVersion) -> None:
        """Nobody deletes the working secret of a path that its manifest wants."""
        content = world.vault.content(effect.path)
        wanted = any(spec.path == effect.path for spec in run.wish.manifest.tokens)
        if not wanted or content is None or self.meddled or run.seen is None:
            return
        going = (e.revoking for e in run.seen.ledger.tokens.values())
        if any(r.token_id == content.token_id for rows in going for r in rows):
            return  # there was no way back any more when the run began
        if self.revoking.get(content.token_id or "") == "compromised":
            return  # whoever finds it must not have it
        latest = world.vault.history(effect.path).latest
        if latest == effect.version and content.token_id in world.exchange.live:
            raise Violation("11", f"{run.name} empties {effect.path}, which is wanted")

    def _check_lasting(self, world: World, run: Run, label: str) -> None:
        """No derive where versions end by themselves, if a look showed that."""
        spec, ledger = run.wish.spec(label), world.vault.ledger()
        entry = ledger.tokens.get(label) if ledger is not None else None
        if entry is not None and entry.intent is not None and is_document(entry.intent.path):
            return  # a document of its own, where nothing ends
        if run.wish.policy.compromised:
            return  # no place is bad enough for an emergency to wait
        if spec is not None and spec.path in run.ending & self.ending:
            raise Violation("10", f"{run.name} derives {label}, whose secret will end by itself")

    def use(self, token_id: str, now_ms: int, *, told: bool) -> None:
        """Somebody other than us signed with a token; ``told``: a list shows that."""
        self.used[token_id] = (*self.used.get(token_id, ()), now_ms)[-USES_KEPT:]
        if told:
            self.told[token_id] = (*self.told.get(token_id, ()), now_ms)[-USES_KEPT:]

    def wrote(self, path: str, version: Version, now_ms: int = 0) -> None:
        """A version of a secret is there."""
        if version.token_id is None:
            return
        if is_document(path):
            self._wrote_document(path, version, version.token_id)
            return
        self.put_ms[version.token_id] = max(now_ms, self.put_ms.get(version.token_id, 0))
        pair = path, version.token_id
        if self.vault_restored and version.token_id in {token for _, token in self.by_hand}:
            self.by_hand |= {pair}  # a move may carry what a backup has brought back
        ours = (
            version.by != PERSON and pair not in self.by_hand
        )  # a fence may write again what a person wrote
        if ours and version.token_id in self.revoking and not self.rewound:
            raise Violation(
                "5", f"{version.by} writes {version.token_id} at {path}, which is revoking"
            )
        self.read |= {pair}
        if version.by == PERSON:
            self.by_hand |= {pair}
            if version.token_id in self.revoking:
                self.too_late |= {pair}

    def _wrote_document(self, path: str, version: Version, token_id: str) -> None:
        """A version of a reserve's document is there, which no consumer reads."""
        if version.by != PERSON and token_id in self.revoking and not self.rewound:
            raise Violation("5", f"{version.by} writes {token_id} at {path}, which is revoking")
        self.reserves = self.reserves.wrote(path, token_id)
        if version.by == PERSON:
            self.by_hand |= {(path, token_id)}
            if token_id in self.revoking:
                self.too_late |= {(path, token_id)}

    def arrives(self, world: World, path: str, version: Version) -> None:
        """A run's write of a secret reaches Vault, which would take it."""
        if not is_document(path):
            check_placed(world, path, version)
            check_not_emptied(world, path, version)

    def restored(self, vault: Vault) -> None:
        """Vault is what it was at an earlier instant: a person's doing, all of it."""
        self.rewound = self.vault_restored = True
        self.ending &= frozenset(vault.lives)
        for path in vault.secrets:
            content = vault.content(path)
            if content is not None and content.token_id is not None:
                pair = path, content.token_id
                self.read |= frozenset() if is_document(path) else {pair}
                self.by_hand |= {pair}
                if content.token_id in self.revoking:
                    self.too_late |= {pair}

    def revived(self, path: str, version: Version | None) -> None:
        """A person undeleted a version: that is as good as writing it."""
        if version is not None:
            self.wrote(path, dataclasses.replace(version, by=PERSON))

    def renamed(self, key_of: Callable[[str], str]) -> None:
        """Paths are called otherwise from now on."""
        for name in ("read", "by_hand", "too_late"):
            pairs = getattr(self, name)
            setattr(self, name, frozenset((key_of(path), token) for path, token in pairs))
        self.ending = frozenset(map(key_of, self.ending))

    def recorded(
        self,
        ledger: Ledger,
        now_ms: int,
        run: Run | None,
        *,
        key_of: Callable[[str], str],
        decided_ms: int | None = None,
    ) -> None:
        """A version of the ledger is there; its run may have stood still since it
        decided on it, at ``decided_ms``. ``key_of`` makes a key of a path.
        """
        decided_ms = now_ms if decided_ms is None else decided_ms
        looked_ms = now_ms if run is None or run.seen is None else min(now_ms, run.seen_ms)
        doubt_ms = run.seen.doubt_ms if run is not None and run.seen is not None else 0
        unproven = doubt_ms is None or doubt_ms > PROMPT_MS
        self.recorded_ms = now_ms
        places: collections.Counter[str] = collections.Counter()
        back = run is not None and run.wish.older and not run.wish.policy.allow_older_manifest
        for label, entry in ledger.tokens.items():
            if back and run is not None and self._leaves_now(entry):
                raise Violation("9", f"{run.name} lets {label} leave by an older manifest")
            for retiring in entry.retiring:
                begun_ms = self._overlap_began(entry, retiring, decided_ms)
                self.retired_ms.setdefault(retiring.token_id, begun_ms)
            places.update(_ids(entry))
            path = key_of(entry.path)
            self._record_entry(label, entry, path=path, looked_ms=looked_ms, unproven=unproven)
        for row in ledger.abandoned:
            self.abandoned_ms[(row.label, row.since_ms)] = row.closed_at_ms
        if not self.rewound:
            self._check_released(ledger)
        self.released = ledger.released_ids()
        twice = [token_id for token_id, count in places.items() if count > 1]
        if twice:
            raise Violation("ledger", f"{twice} stand in two places of the ledger")

    def _leaves_now(self, entry: Entry) -> bool:
        current = entry.current
        gone = current is not None and current.left_ms is not None
        return current is not None and gone and current.token_id not in self.retired_ms

    def _check_released(self, ledger: Ledger) -> None:
        """What was released stays so, until it is adopted."""
        known, intents = ledger.known_ids(), [e.intent for e in ledger.tokens.values()]
        begun = {i.token_id for i in intents if i is not None and i.token_id is not None}
        adopts = {i.token_id for i in intents if i is not None and i.kind is IntentKind.ADOPT}
        self.adopting |= {token_id for token_id in adopts if token_id is not None}
        for token_id in sorted(self.released - self.adopting):
            if token_id not in ledger.released_ids() or token_id in begun:
                raise Violation("ledger", f"{token_id} was released, and is ours again")
        for token_id in sorted(ledger.released_ids() & known.keys()):
            raise Violation("ledger", f"{token_id} is released, and {known[token_id]}'s")

    def _overlap_began(self, entry: Entry, retiring: Retiring, now_ms: int) -> int:
        """Since when the successor can be read: a run may pause before its record."""
        current = entry.current
        if current is None or retiring.reason not in {"rotated", "rolled back"}:
            return now_ms
        return min(now_ms, self.put_ms.get(current.token_id, now_ms))

    def _may_be_held(self, retiring: Retiring, *, unproven: bool) -> bool:
        """Whether an interrupted token may retire, because somebody may use it.

        To its run uses prove nothing, where ``unproven``.
        """
        doubted = unproven or self.doubtful or retiring.token_id in self.perhaps_used
        return retiring.reason == "perhaps in use" and doubted

    def _check_return(self, entry: Entry, alive: list[str]) -> None:
        for token_id in alive:
            if self._is_spared(entry, token_id):
                del self.revoking[token_id]
                self.spared_ms[token_id] = self.recorded_ms
            if token_id in self.revoking and not self.rewound:
                raise Violation("ledger", f"{token_id} was revoking and is not any more")

    def _is_spared(self, entry: Entry, token_id: str) -> bool:
        """Whether an interrupted token retires after all: a list shows a late use."""
        retires = any(
            r.token_id == token_id and r.reason == "perhaps in use" for r in entry.retiring
        )
        interrupted = self.revoking.get(token_id) == "interrupted"
        return retires and interrupted and token_id in self.perhaps_used

    def _record_entry(
        self, label: str, entry: Entry, *, path: str, looked_ms: int, unproven: bool
    ) -> None:
        for revoking in entry.revoking:
            self.revoking.setdefault(revoking.token_id, revoking.reason)
        alive = [r.token_id for r in entry.retiring]
        # what a person forged as the document of a stocking is ours from then on
        self.currents |= {kept.token_id for kept in entry.reserve}
        if entry.current is not None:
            alive.append(entry.current.token_id)
            self.currents |= {entry.current.token_id}
            if entry.current.left_ms is None:
                self.retired_ms.pop(entry.current.token_id, None)
            else:
                self.retired_ms.setdefault(entry.current.token_id, looked_ms)
            carried = entry.current.version > 0  # else it was lost before a move
            if carried and (path, entry.current.token_id) not in self.read:
                raise Violation(
                    "ledger",
                    f"{entry.current.token_id} is current, and was never written at {entry.path}",
                )
        written = {token_id for _, token_id in (*self.read, *self.reserves.documents)}
        for retiring in entry.retiring:
            lawful = retiring.token_id in written or self._may_be_held(retiring, unproven=unproven)
            if not lawful and not self.meddled:
                raise Violation("ledger", f"{retiring.token_id} retires, and was never written")
        self._check_return(entry, alive)
        intent = entry.intent
        if intent is not None and (intent.operation_id, intent.since_ms) not in self.seen_intents:
            # one that was renewed after a 429 allows one more POST
            self.seen_intents |= {(intent.operation_id, intent.since_ms)}
            if intent.kind.derives:
                self.intents[(intent.run, label)] += 1
                self.opened_ms[(intent.run, label)] = intent.since_ms
                self.asked_for |= {(label, frozenset(intent.scopes))}

    def forgotten(self, token: LiveToken, now_ms: int) -> bool:
        """Return whether the ledger may have dropped the abandoned intent of a token.

        Its row stays while a list shows the token. One that lands long after its intent
        was given up, or was sent, may find its row gone; and one that lists lacked for
        longer than a day.
        """
        token_id = token.token_id
        given_up_ms = self.abandoned_ms.get(self.intent_of.get(token_id, ("", 0)), now_ms)
        begun_ms = min(self.sent_ms.get(token_id, now_ms), given_up_ms)
        unshown = self.lagged or self.misled
        until_ms = now_ms if unshown else token.created_at_ms
        return until_ms - begun_ms > ABANDONED_KEPT_MS

    # --- at every instant ---

    def check_unsigned(self, ledger: Ledger, exchange: Exchange) -> None:
        """No secret counts as wrong that works, while nobody but runs has acted."""
        for label, entry in ledger.tokens.items():
            current = entry.current
            if current is None or not current.unsigned or self.meddled:
                continue
            pair = Credentials(token_id=current.token_id, secret=secret_of(current.token_id))
            if exchange.accepts(pair):
                raise Violation("ledger", f"the secret of {label} works, and is recorded as wrong")

    def check_deleted(self, vault: Vault, path: str, token_id: str) -> None:
        """No deletion of a run's, however late, empties a path of which all is well.

        A ledger that has moved away, or has not arrived, says nothing of that.
        """
        ledgers = [(place, vault.ledger_at(place)[0]) for place in vault.places()]
        entries = (
            (label, entry, vault.key_at(place, entry.path))
            for place, ledger in ledgers
            if ledger is not None and is_valid(ledger)
            for label, entry in ledger.tokens.items()
        )
        for label, entry, key in entries:
            current, meddled = entry.current, self.meddled or self.rewound
            if meddled or current is None or current.token_id != token_id:
                continue
            if key != path or not entry.is_at(entry.path):
                continue
            if entry.intent is None and not entry.emptied and current.left_ms is None:
                raise Violation("11", f"{path} is emptied, and {label} is as it is to be")

    def check_contents(self, vault: Vault, exchange: Exchange) -> None:
        """Invariant 5."""
        for path in vault.secrets:
            content = vault.content(path)
            if (
                content is None
                or content.token_id is None
                or (path, content.token_id) in self.by_hand
                or (self.revived_late and is_document(path))
            ):
                continue
            if exchange.ended_by.get(content.token_id, PERSON) != PERSON:
                raise Violation("5", f"{path} holds {content.token_id}, which we have revoked")

    def check_revoke(self, world: World, token_id: str, by: str) -> None:
        """Invariants 4, 6 and 7, at the moment at which a DELETE arrives."""
        if token_id not in world.exchange.live:
            return
        self._check_ours(world, token_id, by)
        reason = self.revoking.get(token_id)
        readable = any(seen == token_id for _, seen in self.read)
        if reason is None:
            self._check_unrecorded(world, token_id, by, readable=readable)
        elif (
            readable and reason not in FAREWELLS and not self._forgotten_commit(world, token_id, by)
        ):
            raise Violation(
                "7", f"{by} revokes {token_id} ({reason}), which a consumer may have read"
            )
        elif reason in BY_EVIDENCE and not self._goes_unused(world, token_id, by):
            check_evidence(world, token_id, by, not_desired=reason == "not desired")
            if reason == "superseded":
                self._check_removal(world, token_id, by)

    def _goes_unused(self, world: World, token_id: str, by: str) -> bool:
        """Whether it goes as one that was kept ready, and is judged as such."""
        run = world.runs.get(by)
        if run is None or run.seen is None or self.lagged:
            return False
        return check_unused(world, run, token_id)

    def _forgotten_commit(self, world: World, token_id: str, by: str) -> bool:
        """Whether the only trace of a commit is gone, with a backup or the path's
        metadata; and the run's last list can't show that anybody has it.
        """
        run = world.runs.get(by)
        looked_ms = world.now_ms if run is None else run.listed_ms
        known_ms = looked_ms - world.exchange.law.hidden_ms - TOLD_MS
        told_ms = first_told(world, token_id, OWN_PROOF_MS)
        lost = self.vault_restored or self.written_anew
        return lost and (self.lagged or told_ms is None or told_ms > known_ms)

    def _check_ours(self, world: World, token_id: str, by: str) -> None:
        """Invariant 4."""
        vault = world.vault
        ledgers = [vault.ledger_at(place)[0] for place in vault.places()]
        persons = world.exchange.made_by[token_id] == PERSON and token_id not in self.currents
        if persons and not self._mistakable(world, token_id):
            raise Violation("4", f"{by} revokes {token_id}, which is a person's")
        if token_id in self.released and not self.rewound:
            raise Violation("4", f"{by} revokes {token_id}, which was released")
        for path in vault.secrets:
            content = vault.content(path)
            if (
                content is not None
                and content.token_id == token_id
                and (path, token_id) not in self.too_late
                and not (self.revived_late and is_document(path))
            ):
                raise Violation("4", f"{by} revokes {token_id}, the content of {path}")
        valid = [known for known in ledgers if known is not None and is_valid(known)]
        entries = [entry for known in valid for entry in known.tokens.values()]
        if not self.rewound and any(
            entry.current is not None and entry.current.token_id == token_id for entry in entries
        ):
            raise Violation("4", f"{by} revokes {token_id}, which the ledger calls current")

    def _check_unrecorded(self, world: World, token_id: str, by: str, *, readable: bool) -> None:
        """Invariant 6: only a run's own new token, and only if nobody has it or can
        come to have it.

        A run that stands still between its last list and the DELETE of an interrupted
        token can't know that another one has spared it since.
        """
        maker, run = world.exchange.made_by[token_id], world.runs.get(by)
        if run is not None and run.listed_ms <= self.spared_ms.get(token_id, -1):
            return  # it was revoking when this run looked, which has stood still since
        if maker != by:
            raise Violation("6", f"{by} revokes {token_id} of {maker} without a recorded revoking")
        if readable or _may_land(world, token_id):
            raise Violation(
                "6",
                f"{by} revokes its own {token_id} unrecorded, and it was committed or may still be",
            )

    def _mistakable(self, world: World, token_id: str) -> bool:
        """Whether a person made it just when an intent of its label was interrupted:
        unused and with the same scopes, it can't be told apart.
        """
        token = world.exchange.live[token_id]
        return (
            self.revoking.get(token_id) == "interrupted"
            and token.last_used_at_ms is None
            and (token.label, frozenset(token.scopes)) in self.asked_for
        )

    def _check_removal(self, world: World, token_id: str, by: str) -> None:
        """A line that left the manifest ends no predecessor in use while its label's
        current token stays, and no consumer has picked that up.

        The run's own ledger counts: a person may have put the one in Vault back since.
        """
        run = world.runs.get(by)
        if run is None or run.seen is None or run.desk is None or token_id not in self.used:
            return
        told_ms = first_told(world, token_id, MINUTE_MS)
        if told_ms is None or told_ms > run.seen_ms - world.exchange.law.hidden_ms - SECOND_MS:
            return  # used within the minute of its derive only, or since the run looked
        ledger = run.desk.ledger
        wanted = {spec.label for spec in run.wish.manifest.tokens}
        for label, entry in run.seen.ledger.tokens.items():
            now = ledger.tokens.get(label)
            stays = now.current if now is not None else None
            if (
                label not in wanted
                and any(retiring.token_id == token_id for retiring in entry.retiring)
                and stays is not None
                and not self.used.keys()
                & {stays.token_id, _follows(run.seen.ledger, label, token_id)}
            ):
                raise Violation(
                    "7", f"{by} revokes {token_id}, while {label} stays and its successor is unread"
                )

    # --- when a run ends ---

    def check_end(self, world: World, run: Run) -> None:
        """Invariant 1, where nobody but runs has acted; and that a run which nothing
        disturbed does not end with an error.
        """
        applies = run.wish.command is Command.APPLY
        if run.wish.place != world.vault.here:
            return  # what it leaves behind is moved, or it has said that all has moved
        if applies and run.wish.older and run.exit is Exit.ERROR:
            return  # and rightly so
        if applies and not world.disturbed and run.exit not in {Exit.DONE, Exit.PERSON_NEEDED}:
            raise Violation("rest", f"an undisturbed run ends with {run.exit!r}: {run.sentence}")
        if applies and run.exit is Exit.DONE and not self.meddled and _has_last_word(world, run):
            check_desired(world, run)


def _follows(ledger: Ledger, label: str, token_id: str) -> str:
    """The token that consumers of a predecessor's path find."""
    found = successor_of(ledger, label, token_id)
    return found.token_id if found is not None else ""


def _has_last_word(world: World, run: Run) -> bool:
    """Whether nobody has begun anything since the run last wrote or read the ledger."""
    known = (
        run.desk.version
        if run.desk is not None
        else run.seen.ledger_version
        if run.seen is not None
        else 0
    )
    return world.vault.ledger_version == known


def _ids(entry: Entry) -> list[str]:
    current = [entry.current.token_id] if entry.current is not None else []
    older = (*(r.token_id for r in entry.retiring), *(r.token_id for r in entry.revoking))
    return [*current, *older, *(kept.token_id for kept in entry.reserve)]


def _may_land(world: World, token_id: str) -> bool:
    """Whether a commit of the token is on its way and would still be taken."""
    return any(
        isinstance(f.effect, PutSecret)
        and dict(f.effect.fields).get(TOKEN_ID) == token_id
        and world.vault.history(f.effect.path).latest == f.effect.cas
        for f in world.flights
    )


def _listed(world: World) -> frozenset[str]:
    return frozenset(token.token_id for token in world.exchange.listing(world.now_ms))


def check_desired(world: World, run: Run) -> None:
    """Each label that the run was to see to works, unless it is held for a person, or
    until another one has left its path.
    """
    ledger = world.vault.ledger()
    assert ledger is not None
    holds = (
        {
            c.label
            for c in run.plan.changes
            if c.reason in NEEDS_DECISION | {Reason.WAITS_FOR} and c.action is not Action.RECORD
        }
        if run.plan is not None
        else set()
    )
    selection = run.wish.policy.selection
    for spec in run.wish.manifest.tokens:
        if (
            spec.label in holds
            or (selection.targets and spec.label not in selection.targets)
            or selection.only is not None
        ):
            continue
        entry = ledger.tokens.get(spec.label)
        current = entry.current if entry is not None else None
        if current is None or current.token_id not in world.exchange.live:
            if current is not None and current.token_id in _listed(world):
                continue  # the list still shows it
            raise Violation(
                "1", f"{run.name} ends with 0, and {spec.label} has no live current token"
            )
        _check_stays(current, world.exchange.live[current.token_id], run, spec)
        if world.exchange.live[current.token_id].scopes != spec.scopes:
            raise Violation("1", f"{run.name} ends with 0, and {spec.label} has other scopes")
        if not world.exchange.accepts(
            Credentials(token_id=current.token_id, secret=secret_of(current.token_id))
        ):
            raise Violation(
                "1", f"{run.name} ends with 0, and the secret of {spec.label} does not sign"
            )
        content = world.vault.content(spec.path)
        if content is not None and content.wrong:
            raise Violation("1", f"{run.name} ends with 0, and the secret at {spec.path} is wrong")
        if content is None or content.token_id != current.token_id:
            found = content.token_id if content is not None else None
            raise Violation(
                "1",
                (
                    f"{run.name} ends with 0, and {spec.path} holds {found} instead of "
                    f"{current.token_id}"
                ),
            )
        texts = dict(content.fields)
        carried = {name: text for name, text in texts.items() if name in {"ID", "KEY"}}
        if carried != further_of(spec, current.token_id):
            raise Violation(
                "1", f"{run.name} ends with 0, and the secret at {spec.path} carries other names"
            )


def further_of(spec: TokenSpec, token_id: str) -> dict[str, str]:
    """The further names that a secret of the token is to carry, each with its value."""
    values = {"token_id": token_id, "secret": secret_of(token_id).reveal()}
    named = (text.split("=") for text in spec.fields)
    return {name: values[source] for name, source in named}


def _check_stays(current: Current, live: LiveToken, run: Run, spec: TokenSpec) -> None:
    """It is not about to retire, and the exchange calls the token of a renamed label by
    the label that it has now.
    """
    if current.left_ms is not None:
        raise Violation("1", f"{run.name} ends with 0, and {spec.label} is left to retire")
    if spec.was is not None and live.label != spec.label:
        raise Violation(
            "1", f"{run.name} ends with 0, and the token of {spec.label} is called {live.label}"
        )


# --- once all is quiet ---


def check_rest(world: World, run: Run) -> None:
    """After an undisturbed run: invariants 1 and 3, and nothing is left over."""
    ledger = world.vault.ledger()
    assert ledger is not None
    if run.exit not in {Exit.DONE, Exit.PERSON_NEEDED}:
        raise Violation("rest", f"an undisturbed run ends with {run.exit!r}: {run.sentence}")
    if world.audit.rewound and run.seen is None and run.exit is Exit.PERSON_NEEDED:
        return  # the ledger is of a time without a manager, whose path is occupied since
    if run.exit is Exit.PERSON_NEEDED and run.plan is not None and not run.plan.decisions:
        raise Violation("rest", f"an undisturbed run wants a person: {run.sentence}")
    check_desired(world, run)
    check_left(world, run)
    check_known(world, ledger, run)
    check_ready(world, run)
    check_documents(world)


def check_left(world: World, run: Run) -> None:
    """No intent, no placeholder, no revoking id that the exchange has not answered.

    Nothing leads to a placeholder of a time that a person has since rolled the ledger
    back over, or to one that a person undeleted, unless the manifest or the ledger
    names its path, and a run may write there: see ``_paths_seen_to``.
    """
    ledger = world.vault.ledger()
    assert ledger is not None
    check_text(ledger)
    for label, entry in ledger.tokens.items():
        if entry.intent is not None or any(r.asked_at_ms is None for r in entry.revoking):
            raise Violation("rest", f"{label} is left with an intent or revoking ids")
    seen_to = _paths_seen_to(ledger, run)
    for path in world.vault.secrets:
        content = world.vault.content(path)
        if content is None or not content.placeholder:
            continue
        if path in seen_to or not (world.audit.rewound or content.by == PERSON):
            raise Violation("rest", f"a placeholder is left at {path}")


def _paths_seen_to(ledger: Ledger, run: Run) -> frozenset[str]:
    """The paths at which an undisturbed run leaves no placeholder of anybody's.

    A label that waits for another one to leave its path writes at neither: the path it
    waits for is the other's, and without a current token nothing belongs at its own.
    """
    changes = run.plan.changes if run.plan is not None else ()
    waits = {change.label for change in changes if change.reason is Reason.WAITS_FOR}
    wanted = {spec.path for spec in run.wish.manifest.tokens if spec.label not in waits}
    recorded = {
        entry.path
        for label, entry in ledger.tokens.items()
        if label not in waits or entry.current is not None
    }
    return frozenset(wanted | recorded)


def open_revocations(world: World) -> frozenset[str]:
    """The ids that the exchange agreed to revoke, and that no list has confirmed."""
    ledger = world.vault.ledger()
    entries = ledger.tokens.values() if ledger is not None else ()
    return frozenset(r.token_id for entry in entries for r in entry.revoking)


def check_known(world: World, ledger: Ledger, run: Run) -> None:
    """Invariant 3: no live token of ours is nobody's.

    Where a list was partial or lagged, one may count as revoked that lives: it is
    revoked once more after an hour, which ``confirm_revocations`` holds the run to.
    """
    known = {**ledger.known_ids(), **dict.fromkeys(ledger.released_ids(), "")}
    if world.audit.misled or world.audit.lagged:
        known = {**known, **dict.fromkeys(ledger.revoked_ids(), "")}
    assert run.plan is not None
    rows = run.plan.not_touched
    reported = {row.token_id for row in rows if row.probably_ours or row.perhaps_ours}
    for token_id, token in world.exchange.live.items():
        forgotten = world.audit.forgotten(token, world.now_ms)
        ours = world.exchange.made_by[token_id] != PERSON and not world.audit.rewound
        if ours and not forgotten and token_id not in known and token_id not in reported:
            raise Violation("3", f"{token_id} lives on, and nobody knows it")


def owed_tokens(world: World, *, unseen: str | None = None) -> frozenset[str]:
    """Tokens that the next run must find and revoke or finish: their intent is open,
    and they can be no other's.

    The label ``unseen`` is recovered by a run that can list nothing. Where the list has
    lagged, or uses are shown late or not at all, nothing is inferred for a long time.
    """
    ledger = world.vault.ledger() if not world.audit.rewound else None
    owed: set[str] = set()
    for label, entry in ledger.tokens.items() if ledger is not None else ():
        intent = entry.intent
        if intent is None or not intent.kind.derives:
            continue
        prompt = world.exchange.law == Law() and not world.audit.doubtful
        blind = label == unseen or not intent.listed or not prompt
        if intent.token_id is None and (blind or _others_wrote(world, intent)):
            continue
        known = {*intent.before, *ledger.known_ids()} if ledger is not None else set(intent.before)
        unknown = [
            t for t in world.exchange.live.values() if t.label == label and t.token_id not in known
        ]
        owed.update(
            token.token_id
            for token in unknown
            if len(unknown) == 1
            and world.exchange.made_by[token.token_id] == intent.run
            and frozenset(token.scopes) == frozenset(intent.scopes)
            and token.created_at_ms <= intent.since_ms + DERIVE_DEADLINE_MS - CLOCK_MARGIN_MS
        )
    return frozenset(owed)


def _others_wrote(world: World, intent: Intent) -> bool:
    """Whether a person wrote where an intent's secret belongs.

    What else that person did is not known, so no token is taken for the intent's.
    """
    history = world.vault.history(intent.path)
    version = history.get(intent.cas + 1)
    return history.latest > intent.cas and (version is None or version.by == PERSON)


def check_paid(world: World, owed: frozenset[str]) -> None:
    """Invariant 3: it is not enough to report those."""
    ledger = world.vault.ledger()
    assert ledger is not None
    for token_id in sorted(owed - ledger.known_ids().keys()):
        if token_id in world.exchange.live:
            raise Violation("3", f"{token_id} was interrupted, and lives on unknown")
