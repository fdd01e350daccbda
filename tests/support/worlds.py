"""Small worlds to plan in: builders with sensible defaults, and generators of worlds
nobody would think of.

Rules this module keeps:

1. A builder returns the shared values themselves, never a stand-in; what a test does
   not name is as it is when all is well.
2. Times are given as ages: so many milliseconds before ``NOW_MS``.
3. ``settled`` is in sync: a plan of it has nothing to do. Tests change one thing and
   say what follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
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
from reconciler.plan.planner import Policy, Selection
from reconciler.plan.reasons import Category
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
from reconciler.state.snapshot import Content, Observed

T = TypeVar("T")

NOW_MS = instant_ms("2026-11-22T08:30:00.000Z")
API_URL = "https://api.limitless.exchange"
LEDGER_ID = "5f0d"
PROFILE_ID = 42
MOUNT = "secret"
PREFIX = "limitless/tokens"
PLACE = f"{MOUNT}/{PREFIX}"
MANAGER = "reconciler"
FILES = ("tokens.yaml",)
TRADING = ("trading",)


def spec(
    label: str,
    *,
    scopes: tuple[str, ...] = TRADING,
    path: str | None = None,
    rotate_after_ms: int | None = 30 * DAY_MS,
    protect: bool | None = None,
) -> TokenSpec:
    """One wanted token; the path is the label unless it is given, the overlap a day."""
    return TokenSpec(
        label=label,
        scopes=scopes,
        path=label if path is None else path,
        rotate_after_ms=rotate_after_ms,
        overlap_ms=DAY_MS,
        protect=protect,
    )


def manifest(
    *specs: TokenSpec, files: tuple[str, ...] = FILES, profile_id: int | None = PROFILE_ID
) -> Manifest:
    """A manifest of these tokens, of which ``MANAGER`` is the manager whether or not it
    is among them.
    """
    return Manifest(
        profile_id=profile_id,
        manager=MANAGER,
        mount=MOUNT,
        prefix=PREFIX,
        tokens=specs,
        files=files,
    )


def live(
    token_id: str,
    label: str | None,
    *,
    scopes: tuple[str, ...] = TRADING,
    age_ms: int = DAY_MS,
    unused_for_ms: int | None = None,
) -> LiveToken:
    """A token that the exchange lists; ``unused_for_ms`` is how long ago it was used
    last, None for never.
    """
    used_at_ms = None if unused_for_ms is None else NOW_MS - unused_for_ms
    return LiveToken(
        token_id=token_id,
        label=label,
        scopes=scopes,
        created_at_ms=NOW_MS - age_ms,
        last_used_at_ms=used_at_ms,
    )


def current(
    token_id: str,
    label: str,
    *,
    version: int = 1,
    age_ms: int = DAY_MS,
    verified_age_ms: int | None = None,
) -> Current:
    """A recorded current token; verified when it was made, unless said otherwise."""
    return Current(
        token_id=token_id,
        live_label=label,
        created_at_ms=NOW_MS - age_ms,
        version=version,
        verified_at_ms=NOW_MS - (age_ms if verified_age_ms is None else verified_age_ms),
    )


def retiring(
    token_id: str,
    label: str,
    *,
    superseded_age_ms: int = 2 * DAY_MS,
    overlap_ms: int = DAY_MS,
    path: str | None = None,
) -> Retiring:
    """A predecessor that was verified 30 days ago; as it stands its overlap ended a day
    ago.
    """
    superseded_at_ms = NOW_MS - superseded_age_ms
    return Retiring(
        token_id=token_id,
        live_label=label,
        superseded_at_ms=superseded_at_ms,
        not_before_ms=superseded_at_ms + overlap_ms,
        reason="rotated",
        verified_at_ms=NOW_MS - 30 * DAY_MS,
        path=path,
    )


def revoking(token_id: str, label: str, *, path: str | None = None) -> Revoking:
    """An id past the point of no return."""
    return Revoking(token_id=token_id, live_label=label, reason="superseded", path=path)


def intent(
    label: str,
    *,
    kind: IntentKind = IntentKind.DERIVE,
    cas: int = 0,
    path: str | None = None,
    token_id: str | None = None,
) -> Intent:
    """An open intent that run-1 began ten minutes ago; the path is the label unless it
    is given.
    """
    return Intent(
        kind=kind,
        operation_id="op-1",
        run="run-1",
        since_ms=NOW_MS - 10 * MINUTE_MS,
        before=(),
        cas=cas,
        path=label if path is None else path,
        scopes=TRADING,
        token_id=token_id,
    )


def holder(run: str, *, expires_in_ms: int = MINUTE_MS) -> Holder:
    """A lease; negative ``expires_in_ms`` for one that is over."""
    return Holder(run=run, write="w-1", who="host:7", expires_at_ms=NOW_MS + expires_in_ms)


def living(version: int = 1) -> SecretMeta:
    """A secret that is there."""
    return SecretMeta(latest=version, state=VersionState.LIVING, oldest=1)


def deleted(version: int = 1) -> SecretMeta:
    """A secret whose latest version is soft-deleted."""
    return SecretMeta(latest=version, state=VersionState.DELETED, oldest=1)


def ledger(
    entries: Mapping[str, Entry],
    *,
    files: tuple[str, ...] = FILES,
    holder: Holder | None = None,
    abandoned: tuple[Abandoned, ...] = (),
) -> Ledger:
    """A ledger of these entries."""
    return Ledger(
        ledger_id=LEDGER_ID,
        api_url=API_URL,
        profile_id=PROFILE_ID,
        files=files,
        holder=holder,
        tokens=dict(entries),
        abandoned=abandoned,
    )


def observed(
    known: Ledger,
    tokens: Sequence[LiveToken] = (),
    *,
    secrets: Mapping[str, SecretMeta] | None = None,
    contents: Mapping[str, Content] | None = None,
    signer_id: str | None = None,
) -> Observed:
    """A snapshot at ``NOW_MS``.

    Secrets that are not given are at their recorded version.
    """
    in_place = {
        e.path: living(e.current.version) for e in known.tokens.values() if e.current is not None
    }
    return Observed(
        now_ms=NOW_MS,
        api_url=known.api_url,
        place=PLACE,
        ledger=known,
        ledger_version=3,
        live=tuple(tokens),
        signer_id=signer_id,
        secrets={**in_place, **(secrets or {})},
        contents=contents or {},
    )


def current_id(label: str) -> str:
    """The id that ``settled`` gives to the current token of a label."""
    return f"{label}-now"


def settled(specs: Iterable[TokenSpec]) -> Observed:
    """Everything is as these specs say; the manager, if it is among them, signs."""
    specs = tuple(specs)
    entries = {
        s.label: Entry(
            path=s.path, protect=bool(s.protect), current=current(current_id(s.label), s.label)
        )
        for s in specs
    }
    tokens = [
        live(current_id(s.label), s.label, scopes=s.scopes, unused_for_ms=HOUR_MS) for s in specs
    ]
    signer_id = current_id(MANAGER) if any(s.label == MANAGER for s in specs) else None
    return observed(ledger(entries), tokens, signer_id=signer_id)


# --- worlds nobody would think of ---


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
            tokens,
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
            intent=self._intent(label, path) if self._amiss() and self._amiss() else None,
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

    def _intent(self, label: str, path: str) -> Intent:
        kind = self._random.choice(tuple(IntentKind))
        named = not kind.derives or self._amiss()
        place = self._place() if self._amiss() else path
        return intent(
            label,
            kind=kind,
            cas=self._random.randrange(3),
            path=place or path,
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
            latest=self._random.randrange(4), state=self._random.choice(tuple(VersionState))
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
            replace=some(),
            requested=some(),
            compromised=self._amiss(),
        )
