"""How every label stands: its age, its use, what is held and why, what needs a person.

What is to be done is not decided here: the planner is asked, and its rows are read
(``STATES`` is the table of contents).

Rules this module keeps:

1. Pure: desired, observed and policy in, a value out; the time is that of the snapshot.
2. The whole fleet is told, whatever a selection says.
3. Sorted by label: the same state gives the same value.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import NamedTuple

from reconciler.model import LiveToken, Manifest, TokenSpec
from reconciler.plan.change import Change, NotTouched, Selection
from reconciler.plan.guards import Policy
from reconciler.plan.lasts import RESTOCK_MS, Unattended, first_of
from reconciler.plan.lateness import is_overdue, times_of
from reconciler.plan.needs import Need, ledger_need, needs_of
from reconciler.plan.planner import plan
from reconciler.plan.recent import Past, recent_of
from reconciler.plan.rotations import rotation_need
from reconciler.plan.states import State, state_by
from reconciler.plan.status_reserve import (
    OF_THE_RESERVE,
    Capped,
    ReserveStatus,
    capped_of,
    reserve_status,
)
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import (
    Abandoned,
    Current,
    Entry,
    IntentKind,
    Kind,
    Observed,
    Retiring,
    lease_held_by,
    still_remembered,
)
from reconciler.values import value

_OF_PROTECTION = frozenset({Reason.PROTECT_ON, Reason.PROTECT_OFF})
_OF_REVOKED = frozenset({Reason.STILL_LISTED, Reason.REVOKED_LIVES})


@value
class Predecessor:
    """A retiring token.

    ``created_at_ms`` and ``scopes`` are None and () where the exchange no longer lists
    it. ``action``, ``reason`` and ``note`` say whether it will be revoked or why it is
    held. While the label itself is being recovered, or renamed, they are those of the
    label's row.
    """

    token_id: str
    live: bool
    scopes: tuple[str, ...] = ()
    created_at_ms: int | None = None
    superseded_at_ms: int
    not_before_ms: int
    last_used_at_ms: int | None
    action: Action
    reason: Reason
    note: str


@value
class OpenIntent:
    """A write of a secret that was begun and not closed."""

    kind: IntentKind
    since_ms: int
    run: str
    token_id: str | None


@value
class TokenStatus:
    """One label.

    ``scopes`` are the live token's, ``wanted_scopes`` the manifest's (None where it
    does not name the label). ``age_ms`` and ``rotate_after_ms`` are lengths: the former
    counts from the derive, the promotion or the adoption, the latter is None for never.
    ``used_since_verify`` is whether somebody but our own verify has used the current
    token. ``version`` is the recorded one, ``latest_version`` Vault's;
    ``in_place`` that they agree and that it is readable. ``reserve_wanted`` is how many
    successors the manifest wants in ``reserve``. No rotation by age needs a person
    until ``unattended_until_ms``, None for ever, or where the label has no token.
    ``window`` is when a rotation may start, and ``opens_at_ms`` the first such instant
    once it is due, and held no more; both are empty where a rotation may start at any
    time. ``hold_until_ms`` and ``hold_reason`` are those of a hold that is not over.
    ``owner`` is whom to ask.
    """

    label: str
    state: State
    reason: Reason
    note: str = ""
    desired: bool
    manager: bool
    protect: bool
    path: str
    token_id: str | None = None
    live: bool = False
    scopes: tuple[str, ...] = ()
    wanted_scopes: tuple[str, ...] | None = None
    created_at_ms: int | None = None
    age_ms: int | None = None
    rotate_after_ms: int | None = None
    due_at_ms: int | None = None
    window: tuple[str, ...] = ()
    opens_at_ms: int | None = None
    hold_until_ms: int | None = None
    hold_reason: str = ""
    owner: str = ""
    last_used_at_ms: int | None = None
    verified_at_ms: int | None = None
    used_since_verify: bool = False
    version: int | None = None
    latest_version: int = 0
    in_place: bool = False
    predecessors: tuple[Predecessor, ...] = ()
    reserve: tuple[ReserveStatus, ...] = ()
    reserve_wanted: int = 0
    unattended_until_ms: int | None = None
    revoking: tuple[str, ...] = ()
    intent: OpenIntent | None = None

    @property
    def starts_at_ms(self) -> int | None:
        """When a rotation by age may start: due, held no more, in a window."""
        if self.due_at_ms is None:
            return None
        return self.opens_at_ms or max(self.due_at_ms, self.hold_until_ms or 0)

    @property
    def scopes_differ(self) -> bool:
        """Whether the live token may do other things than the manifest says."""
        return self.live and self.wanted_scopes is not None and self.wanted_scopes != self.scopes


@value
class Lease:
    """The run that is at work."""

    run: str
    who: str
    expires_at_ms: int


@value
class Status:
    """The whole fleet at one instant.

    ``place`` is ``mount/prefix`` in Vault: what is managed is told apart by it and the
    exchange. ``foreign`` counts the tokens whose label is not ours. A use that is shown
    may be late by ``doubt_ms``; None while nothing proves a bound. ``unattended`` is
    until when no rotation by age needs a person, where a label is to have a reserve.
    ``recent`` is what was done last, the newest first. ``capped`` is what is not
    stocked, because a derive was seen to end another token.
    """

    as_of_ms: int
    api_url: str
    place: str
    ledger_id: str
    ledger_version: int
    profile_id: int | None
    tokens: tuple[TokenStatus, ...]
    needs: tuple[Need, ...]
    twins: tuple[NotTouched, ...]
    foreign: int
    doubt_ms: int | None = None
    lease: Lease | None
    abandoned: tuple[Abandoned, ...]
    unattended: Unattended | None = None
    recent: tuple[Past, ...] = ()
    capped: Capped | None = None

    def counts(self) -> dict[State, int]:
        """Count the labels by state, in the order of the states; zeros are left out."""
        found = collections.Counter(token.state for token in self.tokens)
        return {state: found[state] for state in State if found[state]}


def status_of(desired: Manifest, observed: Observed, *, policy: Policy | None = None) -> Status:
    """Return how everything stands at the time of the snapshot.

    Times are in milliseconds of the exchange's clock. Raises nothing.
    """
    whole = dataclasses.replace(policy or Policy(), selection=Selection())
    chosen = plan(desired, observed, now_ms=observed.now_ms, policy=whole)
    rows: dict[str, list[Change]] = collections.defaultdict(list)
    for change in chosen.changes:
        rows[change.label].append(change)
    specs = {spec.label: spec for spec in desired.tokens}
    labels = sorted(specs.keys() | observed.ledger.tokens.keys())
    context = StatusContext(
        manager=desired.manager,
        observed=observed,
        live=observed.live_by_id(),
        renamed={s.was: rows[s.label] for s in desired.tokens if s.was is not None},
    )
    holder = lease_held_by(observed.ledger, observed.now_ms)
    known = observed.ledger
    remembered = still_remembered(known.abandoned, known, observed.live, now_ms=observed.now_ms)
    tokens = tuple(_token(label, specs.get(label), rows[label], context) for label in labels)
    soon_ms = observed.now_ms + RESTOCK_MS
    soon = [t.label for t in tokens if (t.unattended_until_ms or soon_ms + 1) <= soon_ms]
    return Status(
        as_of_ms=observed.now_ms,
        api_url=observed.api_url,
        place=observed.place,
        ledger_id=observed.ledger.ledger_id,
        ledger_version=observed.ledger_version,
        profile_id=observed.ledger.profile_id,
        tokens=tokens,
        unattended=_unattended(tokens),
        needs=(*ledger_need(observed), *rotation_need(desired, observed), *needs_of(chosen, soon)),
        twins=tuple(row for row in chosen.not_touched if row.kind is Kind.TWIN),
        foreign=chosen.foreign_unnamed
        + sum(row.kind is Kind.FOREIGN for row in chosen.not_touched),
        doubt_ms=observed.doubt_ms,
        lease=None
        if holder is None
        else Lease(run=holder.run, who=holder.who, expires_at_ms=holder.expires_at_ms),
        abandoned=tuple(
            sorted(
                remembered,
                key=lambda a: (a.label, a.since_ms, a.closed_at_ms),
            )
        ),
        recent=recent_of(known),
        capped=capped_of(chosen, observed),
    )


def _unattended(tokens: tuple[TokenStatus, ...]) -> Unattended | None:
    """Return until when no rotation needs a person, where a reserve is wanted."""
    if not any(token.reserve_wanted for token in tokens):
        return None
    return first_of(
        Unattended(
            at_ms=token.unattended_until_ms,
            label=token.label,
            left=sum(kept.ready for kept in token.reserve),
        )
        for token in tokens
        if token.unattended_until_ms is not None
    )


class StatusContext(NamedTuple):
    """What is the same for all labels."""

    manager: str
    observed: Observed
    live: dict[str, LiveToken]
    renamed: dict[str, list[Change]]
    """The rows of a former label's new one: the former may have none of its own."""


def _token(
    label: str, spec: TokenSpec | None, rows: list[Change], context: StatusContext
) -> TokenStatus:
    observed = context.observed
    entry = observed.ledger.tokens.get(label)
    path = entry.path if entry is not None else spec.path if spec is not None else label
    latest = observed.meta(path)
    current = entry.current if entry is not None else None
    live = context.live.get(current.token_id) if current is not None else None
    plain = TokenStatus(
        label=label,
        state=State.NOT_DESIRED,
        reason=Reason.NOT_DESIRED,
        desired=spec is not None,
        manager=label == context.manager,
        protect=entry.protect if entry is not None else bool(spec is not None and spec.protect),
        path=path,
        wanted_scopes=spec.scopes if spec is not None else None,
        reserve_wanted=spec.reserve if spec is not None else 0,
        rotate_after_ms=spec.rotate_after_ms if spec is not None else None,
        latest_version=latest.latest,
        **(times_of(spec, current, live, observed.now_ms) if spec is not None else {}),
    )
    if entry is not None:
        about = rows or context.renamed.get(label, [])
        plain = _remembered(plain, entry, about, context.live)
        kept = reserve_status(spec, entry, rows, context.live, observed.now_ms)
        plain = dataclasses.replace(plain, **kept)
    if current is not None:
        plain = dataclasses.replace(
            _with_current(plain, current, live, observed), in_place=current.is_in_place(latest)
        )
    return _judged(plain, spec, rows, observed.now_ms)


def _remembered(
    token: TokenStatus, entry: Entry, rows: list[Change], live: dict[str, LiveToken]
) -> TokenStatus:
    """What the ledger remembers besides the current token."""
    intent = entry.intent
    return dataclasses.replace(
        token,
        predecessors=tuple(
            _predecessor(old, rows, live.get(old.token_id)) for old in entry.retiring
        ),
        revoking=tuple(sorted(row.token_id for row in entry.revoking)),
        intent=None
        if intent is None
        else OpenIntent(
            kind=intent.kind, since_ms=intent.since_ms, run=intent.run, token_id=intent.token_id
        ),
    )


def _predecessor(old: Retiring, rows: list[Change], live: LiveToken | None) -> Predecessor:
    """Describe a predecessor by its row, or by its label's where it has none."""
    row = next((c for c in rows if _is_about(c, old.token_id)), rows[0])
    return Predecessor(
        token_id=old.token_id,
        live=live is not None,
        scopes=live.scopes if live is not None else (),
        created_at_ms=live.created_at_ms if live is not None else None,
        superseded_at_ms=old.superseded_at_ms,
        not_before_ms=old.not_before_ms,
        last_used_at_ms=live.last_used_at_ms if live is not None else None,
        action=row.action,
        reason=row.reason,
        note=row.note,
    )


def _is_about(change: Change, token_id: str) -> bool:
    return change.before is not None and change.before.token_id == token_id


def _with_current(
    token: TokenStatus, current: Current, live: LiveToken | None, observed: Observed
) -> TokenStatus:
    created_at_ms = live.created_at_ms if live is not None else current.created_at_ms
    used_at_ms = live.last_used_at_ms if live is not None else None
    signs = token.manager and current.token_id == observed.signer_id
    return dataclasses.replace(
        token,
        token_id=current.token_id,
        live=live is not None,
        scopes=live.scopes if live is not None else (),
        created_at_ms=created_at_ms,
        age_ms=observed.now_ms - (current.in_use_since_ms or created_at_ms),
        last_used_at_ms=used_at_ms,
        verified_at_ms=current.verified_at_ms,
        used_since_verify=signs or (used_at_ms is not None and used_at_ms > current.ours_until_ms),
        version=current.version,
    )


def _judged(
    token: TokenStatus, spec: TokenSpec | None, rows: list[Change], now_ms: int
) -> TokenStatus:
    """Return the token with its state, which is that of the label's own row.

    If that row is in sync, the state is that of its protection's row, else that of a
    predecessor's.
    """
    of_predecessors = [
        c for c in rows if any(_is_about(c, old.token_id) for old in token.predecessors)
    ]
    of_protection = [c for c in rows if c.reason in _OF_PROTECTION]
    of_revoked = [c for c in rows if c.reason in _OF_REVOKED]
    of_reserve = [c for c in rows if _is_of_reserve(c, token)]
    others = [*of_predecessors, *of_protection, *of_revoked, *of_reserve]
    own = next((c for c in rows if c not in others), None)
    if own is None:  # not in the manifest, and only predecessors are left
        return token
    told = own
    if own.reason is Reason.IN_SYNC:
        asked = [c for c in of_reserve if c.needs_decision]
        told = next(iter([*asked, *of_protection, *of_revoked, *of_predecessors]), own)
    works = token.token_id is None or (token.live and token.in_place)
    state = state_by(told.reason, works=works)
    if state is State.DUE and spec is not None and is_overdue(token.due_at_ms, spec, now_ms):
        state = State.OVERDUE
    return dataclasses.replace(token, state=state, reason=told.reason, note=told.note)


def _is_of_reserve(row: Change, token: TokenStatus) -> bool:
    ids = {kept.token_id for kept in token.reserve}
    about = row.before.token_id if row.before is not None else None
    return row.reason in OF_THE_RESERVE or about in ids
