"""States nobody would think of: hypothesis strategies of ledgers and of worlds to plan
in.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    LiveToken,
    Manifest,
    SecretMeta,
    TokenSpec,
    VersionState,
    instant_ms,
)
from reconciler.plan.change import Selection
from reconciler.plan.guards import Policy
from reconciler.plan.vocabulary import Category
from reconciler.state.kept import Reserve
from reconciler.state.ledger import (
    Abandoned,
    Closed,
    Current,
    Entry,
    Holder,
    Intent,
    IntentKind,
    Ledger,
    Retiring,
    Revoking,
)
from reconciler.state.parted import Left, Released
from reconciler.state.snapshot import Content, Observed
from tests.support.values import (
    FILES,
    MANAGER,
    NOW_MS,
    TRADING,
    current,
    holder,
    intent,
    ledger,
    live,
    lost,
    manifest,
    observed,
    retiring,
    revoking,
    spec,
)

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a plan is made from."""

    desired: Manifest
    seen: Observed
    policy: Policy
    run: str | None


LABELS = (MANAGER, "bot", "desk", "Zürich 7")
LEFT = ("gone", "left")
"""Labels that no manifest of a generated world has."""

PATHS = (MANAGER, "bot", "desk", "zurich", "gone", "left", "prod/0", "prod/1", "prod/2", "prod/3")
"""One of each label's own, and one where each desired label may move to."""

SCOPE_SETS = ((), TRADING, ("delegated_signing", "trading"), ("account_creation",))
IDS = tuple(f"t{n:02d}" for n in range(40))
RUNS = ("run-1", "run-2")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
"""Any text that UTF-8 can hold, which is what adapters and manifest let through."""

AGES_MS = (
    -MINUTE_MS,
    0,
    MINUTE_MS,
    10 * MINUTE_MS,
    HOUR_MS - 1,
    HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    30 * DAY_MS,
    90 * DAY_MS,
)


def _some(rows: st.SearchStrategy[T], most: int = 2) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(rows, max_size=most).map(tuple)


def instants() -> st.SearchStrategy[int]:
    """Any instant from the year 1000 to 9999, in milliseconds."""
    return st.integers(instant_ms("1000-01-01T00:00:00Z"), instant_ms("9999-12-31T23:59:59.999Z"))


def ledgers() -> st.SearchStrategy[Ledger]:
    """Any ledger that a text can be made of: sensible or not."""
    texts, paths = TEXTS, st.none() | TEXTS
    counts = st.integers(0, 2**40)
    whens = instants()
    currents = st.builds(
        Current,
        token_id=texts,
        live_label=texts,
        created_at_ms=whens,
        version=counts,
        verified_at_ms=whens,
    )
    intents = st.builds(
        Intent,
        kind=st.sampled_from(IntentKind),
        operation_id=texts,
        run=texts,
        since_ms=whens,
        before=_some(texts),
        cas=counts,
        path=texts,
        scopes=_some(texts),
        compromised=st.booleans(),
        token_id=st.none() | texts,
    )
    leaving = st.builds(
        Retiring,
        token_id=texts,
        live_label=texts,
        superseded_at_ms=whens,
        not_before_ms=whens,
        reason=texts,
        verified_at_ms=whens,
        path=paths,
    )
    gone = st.builds(Revoking, token_id=texts, live_label=texts, reason=texts, path=paths)
    entries = st.builds(
        Entry,
        path=texts,
        protect=st.booleans(),
        current=st.none() | currents,
        intent=st.none() | intents,
        retiring=_some(leaving),
        revoking=_some(gone),
    )
    return st.builds(
        Ledger,
        ledger_id=texts,
        api_url=texts,
        profile_id=st.none() | counts,
        files=_some(texts),
        holder=st.none()
        | st.builds(Holder, run=texts, write=texts, who=texts, expires_at_ms=whens),
        tokens=st.dictionaries(texts, entries, max_size=3),
        abandoned=_some(st.builds(Abandoned, label=texts, since_ms=whens, closed_at_ms=whens)),
        closed=_some(
            st.builds(Closed, label=texts, token_id=st.none() | texts, outcome=texts, at_ms=whens)
        ),
        released=_some(st.builds(Released, label=texts, token_id=texts, at_ms=whens)),
        left=_some(st.builds(Left, token_id=texts, path=texts)),
        moved_to=paths,
        arriving_from=paths,
    )


def worlds(*, sound: bool = True) -> st.SearchStrategy[World]:
    """A manifest, a snapshot and a policy that share labels, paths and ids: mostly in
    sync, something amiss here and there.

    In a ``sound`` one an id is in one place of the ledger, a path is one label's, and
    the manager is desired. In any other everything may be anywhere, as after an edit by
    hand.
    """
    amiss = st.sampled_from((0.05, 0.2, 0.5))
    return st.builds(
        lambda random, size, chance: _WorldMaker(random, chance=chance, sound=sound).world(size),
        st.randoms(use_true_random=True),
        st.integers(0, len(LABELS)),
        amiss,
    )


class _WorldMaker:
    """Makes worlds by throwing dice: hypothesis' own draws, one for each die, are a
    hundred times slower.
    """

    def __init__(self, random: Random, *, chance: float, sound: bool) -> None:
        self._random = random
        self._chance = chance
        self._sound = sound
        self._ids = iter(IDS)
        self._places = iter(random.sample(PATHS[-len(LABELS) :], len(LABELS)))

    def world(self, size: int) -> World:
        """A world of at most so many desired labels (and the manager), and some that
        have left.
        """
        names = self._random.sample(LABELS, size)
        if self._sound and MANAGER not in names:
            names.append(MANAGER)
        specs = tuple(self._spec(name) for name in names)
        known = self._ledger(specs)
        tokens = self._tokens(known, specs)
        signers = [token.token_id for token in tokens]
        seen = observed(
            known,
            *tokens,
            secrets={path: self._meta() for path in PATHS if self._amiss()},
            contents={path: self._content(known) for path in PATHS if self._amiss()},
            signer_id=self._random.choice(signers) if signers else None,
        )
        desired = manifest(*specs, files=FILES if not self._amiss() else ("a.yaml",))
        run = self._random.choice((None, *RUNS))
        return World(desired=desired, seen=seen, policy=self._policy(), run=run)

    def _amiss(self) -> bool:
        return self._random.random() < self._chance

    def _id(self) -> str:
        return next(self._ids) if self._sound or not self._amiss() else self._random.choice(IDS)

    def _place(self) -> str | None:
        return next(self._places, None) if self._sound else self._random.choice(PATHS)

    def _ago(self) -> int:
        return NOW_MS - self._random.choice(AGES_MS)

    def _spec(self, label: str) -> TokenSpec:
        index = LABELS.index(label)
        path = PATHS[index] if not self._amiss() else PATHS[index - len(LABELS)]
        return spec(
            label,
            scopes=self._random.choice(SCOPE_SETS) if self._amiss() else TRADING,
            path=path if self._sound or not self._amiss() else self._random.choice(PATHS),
            rotate_after_ms=self._random.choice((None, HOUR_MS, 30 * DAY_MS)),
            protect=self._random.choice((None, True, False)) if self._amiss() else None,
        )

    def _ledger(self, specs: tuple[TokenSpec, ...]) -> Ledger:
        names = [s.label for s in specs if not self._amiss()] + [
            name for name in LEFT if self._amiss()
        ]
        entries = {name: self._entry(name) for name in names}
        rows = (*LABELS, *LEFT)
        return ledger(
            entries,
            files=FILES
            if not self._amiss()
            else self._random.choice((("a.yaml",), ("b.yaml", "tokens.yaml"), ())),
            holder=holder(self._random.choice(RUNS), expires_in_ms=self._random.choice((-1, 1)))
            if self._amiss()
            else None,
            abandoned=tuple(
                Abandoned(label=name, since_ms=self._ago(), closed_at_ms=self._ago())
                for name in rows
                if self._amiss()
            ),
        )

    def _entry(self, label: str) -> Entry:
        path = PATHS[(*LABELS, *LEFT).index(label)]
        if not self._sound and self._amiss():
            path = self._random.choice(PATHS)
        now = dataclasses.replace(
            current(self._id(), label, version=self._random.choice((1, 2))),
            created_at_ms=self._ago(),
            verified_at_ms=self._ago(),
        )
        old = tuple(self._retiring(label) for _ in range(2) if self._amiss())
        return Entry(
            path=path,
            protect=self._amiss(),
            current=None if self._amiss() else now,
            intent=self._intent(path) if self._amiss() and self._amiss() else None,
            retiring=old,
            revoking=(revoking(self._id(), label),) if self._amiss() and self._amiss() else (),
        )

    def _retiring(self, label: str) -> Retiring:
        return retiring(
            self._id(),
            label,
            superseded_age_ms=self._random.choice(AGES_MS),
            overlap_ms=self._random.choice((0, HOUR_MS, DAY_MS)),
            path=self._place() if self._amiss() else None,
        )

    def _intent(self, path: str) -> Intent:
        kind = self._random.choice(tuple(IntentKind))
        named = not kind.derives or self._amiss()
        place = self._place() if self._amiss() else path
        return intent(
            place or path,
            kind=kind,
            cas=self._random.randrange(3),
            token_id=self._id() if named else None,
        )

    def _tokens(self, known: Ledger, specs: tuple[TokenSpec, ...]) -> tuple[LiveToken, ...]:
        owners = known.known_ids()
        open_intents = [
            (label, e.intent) for label, e in known.tokens.items() if e.intent is not None
        ]
        owners.update((i.token_id, label) for label, i in open_intents if i.token_id is not None)
        for label in (*LABELS, *LEFT, "theirs", ""):
            if self._amiss():
                owners.setdefault(self._id(), label)
        scopes = {s.label: s.scopes for s in specs}
        return tuple(
            LiveToken(
                token_id=token_id,
                label=label or None,
                scopes=self._random.choice(SCOPE_SETS)
                if self._amiss()
                else scopes.get(label, TRADING),
                created_at_ms=self._ago(),
                last_used_at_ms=None if self._amiss() else self._ago(),
            )
            for token_id, label in owners.items()
            if not self._amiss()
        )

    def _meta(self) -> SecretMeta:
        return SecretMeta(
            latest=self._random.randrange(4),
            state=self._random.choice(tuple(VersionState)),
            created_at_ms=self._random.choice((None, NOW_MS - HOUR_MS)),
            ends_at_ms=NOW_MS + DAY_MS if self._amiss() else None,
            life_ms=DAY_MS if self._amiss() else None,
            kept=self._random.choice((None, 1, 10)),
        )

    def _content(self, known: Ledger) -> Content:
        return Content(
            token_id=self._random.choice((*known.known_ids(), "alien", None)),
            holder_version=self._random.choice((None, 1, 2)),
            placeholder=self._amiss(),
            readable=not self._amiss(),
        )

    def _policy(self) -> Policy:
        def some() -> frozenset[str]:
            return frozenset(name for name in (*LABELS, *LEFT) if self._amiss())

        if not self._amiss():
            return Policy()
        only = self._random.choice((None, *Category))
        return Policy(
            selection=Selection(targets=some(), excluded=some(), only=only)
            if self._amiss()
            else Selection(),
            max_rotations=self._random.randrange(4),
            allow_missing_files=self._amiss(),
            revoke_in_use=self._amiss(),
            revoke_now=some(),
            replace=some(),
            requested=some(),
            compromised=self._amiss(),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A manifest and a snapshot that belong together, however oddly."""

    desired: Manifest
    observed: Observed


@st.composite
def scenes(draw: st.DrawFn, labels: st.SearchStrategy[str] | None = None) -> Scene:
    """Any state that a ledger, a list and Vault's metadata may be in; foreign ids and
    labels begin with ``foreign-``.
    """
    names = draw(
        st.lists(
            st.sampled_from("abcdef") if labels is None else labels,
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    ids = (f"id-{number}" for number in itertools.count(1))
    entries: dict[str, Entry] = {}
    tokens: list[LiveToken] = []
    secrets: dict[str, SecretMeta] = {}
    contents: dict[str, Content] = {}
    for name in names:
        if draw(st.booleans()):
            entries[name] = draw(_entries(name, ids))
        recorded = (
            [e.current.token_id for e in [entries[name]] if e.current is not None]
            if name in entries
            else []
        )
        recorded += [r.token_id for r in entries[name].retiring] if name in entries else []
        recorded += [r.token_id for r in entries[name].revoking] if name in entries else []
        kept_ready = entries[name].reserve if name in entries else ()
        recorded += [kept.token_id for kept in kept_ready]
        secrets |= {kept.path: draw(_metas()) for kept in kept_ready if draw(st.booleans())}
        tokens += [
            draw(_tokens(token_id, name)) for token_id in recorded if draw(st.integers(0, 4))
        ]
        tokens += [draw(_tokens(next(ids), name)) for _ in range(draw(st.integers(0, 1)))]
        if draw(st.booleans()):
            secrets[name] = draw(_metas())
        if draw(st.booleans()):
            found = st.sampled_from([*recorded, f"foreign-{name}", None])
            flags = st.booleans()
            contents[name] = Content(
                token_id=draw(found),
                holder_version=draw(st.sampled_from([None, 1])),
                placeholder=draw(flags),
                readable=draw(flags),
            )
    foreign = draw(st.integers(0, 3))
    tokens += [
        draw(_tokens(f"foreign-{n}", draw(st.sampled_from([f"foreign-label-{n}", None]))))
        for n in range(foreign)
    ]
    wanted = draw(st.lists(st.sampled_from(names), unique=True))
    protections = st.sampled_from([None, True, False])
    specs = [
        dataclasses.replace(
            spec(n, scopes=(draw(st.sampled_from(["trading", "withdrawal"])),)),
            protect=draw(protections),
            reserve=draw(st.integers(0, 2)),
        )
        for n in wanted
    ]
    memory = ledger(
        entries,
        holder=draw(st.sampled_from([None, holder(), holder(expires_in_ms=-1)])),
        abandoned=tuple(lost(n) for n in draw(st.lists(st.sampled_from(names), max_size=1))),
    )
    memory = dataclasses.replace(
        memory, closed=(Closed(label=names[0], token_id=None, outcome="refused", at_ms=NOW_MS),)
    )
    ordered = draw(st.permutations(tokens))
    signer = draw(st.sampled_from([None, *(t.token_id for t in tokens)]))
    return Scene(
        desired=manifest(*specs, manager=names[0]),
        observed=observed(memory, *ordered, secrets=secrets, contents=contents, signer_id=signer),
    )


@st.composite
def _entries(draw: st.DrawFn, label: str, ids: Iterator[str]) -> Entry:
    return Entry(
        path=label,
        protect=draw(st.booleans()),
        current=current(next(ids), label, age_ms=draw(st.sampled_from([DAY_MS, 40 * DAY_MS])))
        if draw(st.integers(0, 3))
        else None,
        intent=intent(
            label, kind=IntentKind.ROTATE, cas=1, age_ms=draw(st.sampled_from([0, HOUR_MS]))
        )
        if not draw(st.integers(0, 3))
        else None,
        retiring=tuple(
            retiring(
                next(ids), label, superseded_age_ms=draw(st.sampled_from([HOUR_MS, 3 * DAY_MS]))
            )
            for _ in range(draw(st.integers(0, 2)))
        ),
        revoking=tuple(
            Revoking(token_id=next(ids), live_label=label, reason="rotated")
            for _ in range(draw(st.integers(0, 3)) // 3)
        ),
        reserve=tuple(draw(_reserves(next(ids), label)) for _ in range(draw(st.integers(0, 2)))),
    )


@st.composite
def _reserves(draw: st.DrawFn, token_id: str, label: str) -> Reserve:
    made_ms = NOW_MS - draw(st.sampled_from([HOUR_MS, 40 * DAY_MS]))
    return Reserve(
        token_id=token_id,
        live_label=label,
        operation_id=f"op-of-{token_id}",
        created_at_ms=made_ms,
        scopes=("trading",),
        verified_at_ms=made_ms,
        version_created_at_ms=made_ms,
        fresh=draw(st.booleans()),
    )


@st.composite
def _tokens(draw: st.DrawFn, token_id: str, label: str | None) -> LiveToken:
    return live(
        token_id,
        label,
        scopes=draw(st.sampled_from([("trading",), ("withdrawal",), ("trading", "withdrawal")])),
        age_ms=draw(st.sampled_from([0, DAY_MS, 40 * DAY_MS])),
        unused_for_ms=draw(st.sampled_from([None, MINUTE_MS, 2 * HOUR_MS, 10 * DAY_MS])),
    )


def _metas() -> st.SearchStrategy[SecretMeta]:
    states = st.sampled_from([VersionState.LIVING, VersionState.DELETED])
    return st.builds(SecretMeta, latest=st.integers(1, 3), state=states, oldest=st.integers(0, 1))
