"""What a plan consists of: rows with their two sides, and the digest of an approval.

Rules this module keeps:

1. Values only, frozen and hashable; the planner makes them.
2. The digest covers what would be done, what it would be done to, and the guards that
   were lifted for it. It covers neither the clock nor holds, keeps, notes, names of
   others' fields, tasks and run ids.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
from typing import Any

from reconciler.plan.tasks import RevokeReserve, Task
from reconciler.plan.vocabulary import CATEGORIES, NEEDS_DECISION, Action, Category, Reason
from reconciler.state import LEFT_OUT, UNWRITTEN, Kind, to_plain
from reconciler.values import value

FORMAT_VERSION = 2
"""Of the plan document, and of what the digest is taken of."""

_RANK = {action: rank for rank, action in enumerate(Action)}


@value
class Side:
    """One side of a change: the token as it is, or as it is to be.

    ``version`` is the version of the secret that was seen; its time is told where a
    secret is to be written over it, so that an approval is of that one. ``overlap_ms``
    is how long the predecessor of the new token lives on. ``fields`` are the further
    names that a secret is to carry. ``files`` are the manifest's, in the one row about
    these. ``nth`` tells the successors apart that are to be stocked for one label,
    counted from 1.
    """

    path: str
    token_id: str | None = None
    scopes: tuple[str, ...] = ()
    version: int | None = None
    protect: bool | None = None
    overlap_ms: int | None = None
    version_created_at_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    files: tuple[str, ...] = ()
    fields: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    nth: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)


@value
class Change:
    """One row: what is done about a label, and why.

    ``label`` is empty in the one row about the manifest's files. ``note`` is for people
    and decides nothing, and so are ``kept_fields`` and ``lost_fields``: the names of
    what others wrote beside our fields, which the change keeps, or takes away.
    ``may_end``: the exchange may end another token for the new one (``capped``).
    ``task`` is what applying the row needs: None in a row that
    holds or keeps, and in one that was read from a document.
    """

    label: str
    action: Action
    reason: Reason
    before: Side | None = None
    after: Side | None = None
    note: str = ""
    kept_fields: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    lost_fields: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    may_end: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    task: Task | None = dataclasses.field(
        default=None, compare=False, repr=False, metadata=UNWRITTEN
    )

    @property
    def acts(self) -> bool:
        """Whether apply would do anything about it."""
        return self.action not in {Action.HOLD, Action.KEEP}

    @property
    def needs_decision(self) -> bool:
        """Whether only a person can go on with it."""
        return self.action is Action.HOLD and self.reason in NEEDS_DECISION

    @property
    def derives(self) -> bool:
        """Whether an identity token is needed for it."""
        return self.action in {Action.DERIVE, Action.ROTATE, Action.STOCK}

    @property
    def replaces(self) -> bool:
        """Whether it gives the label another token, derived or from the reserve."""
        return self.action in {Action.DERIVE, Action.ROTATE, Action.PROMOTE}

    @property
    def stocks(self) -> bool:
        """Whether it is about the reserve alone, and waits for an identity token."""
        task = self.task
        return self.action is Action.STOCK or (isinstance(task, RevokeReserve) and task.after_stock)


@value
class Selection:
    """What a run is limited to. Guards and recovery look at everything all the same.

    ``token_ids`` limit it to the rows of these predecessors and reserves.
    """

    targets: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    only: Category | None = None
    token_ids: frozenset[str] = dataclasses.field(default=frozenset(), metadata=LEFT_OUT)

    def admits(self, change: Change) -> bool:
        """Return whether a row is within the selection."""
        if (
            change.action is Action.RECOVER
            or change.reason is Reason.IN_PROGRESS
            or self == EVERYTHING
        ):
            return True
        if self.targets and change.label not in self.targets:
            return False
        if change.label in self.excluded:
            return False
        if self.token_ids and not (change.before and change.before.token_id in self.token_ids):
            return False
        return self.only is None or CATEGORIES[change.reason] is self.only


EVERYTHING = Selection()


@value
class NotTouched:
    """A live token that is not ours to change.

    ``probably_ours``: it fits a derive whose answer was lost. ``perhaps_ours``: it
    fits but for one thing, its time, its scopes or its label (``state.lost``).
    """

    token_id: str
    label: str | None
    kind: Kind
    probably_ours: bool = False
    perhaps_ours: bool = dataclasses.field(default=False, metadata=LEFT_OUT)


@value
class Plan:
    """What would be done, in order, and what would not.

    ``as_of_ms`` is the time that ages were judged by. ``flags`` are the guards that
    were lifted, as they were given. ``foreign_unnamed`` counts foreign tokens that a
    published snapshot does not name.
    """

    as_of_ms: int
    api_url: str
    ledger_id: str
    profile_id: int | None
    selection: Selection
    changes: tuple[Change, ...]
    not_touched: tuple[NotTouched, ...]
    foreign_unnamed: int = 0
    flags: tuple[str, ...] = ()

    @property
    def acting(self) -> tuple[Change, ...]:
        """The changes that apply would make."""
        return tuple(c for c in self.changes if c.acts)

    @property
    def decisions(self) -> tuple[Change, ...]:
        """The holds that wait for a person."""
        return tuple(c for c in self.changes if c.needs_decision)

    @property
    def broken(self) -> tuple[Change, ...]:
        """The holds of labels that have no working token, which time does not mend."""
        return tuple(c for c in self.changes if c.reason is Reason.HOLD_BROKEN)

    @property
    def reached(self) -> bool:
        """Whether the desired state is reached, but for what waits for its time.

        A reserve that is short waits for a person's next visit. One predicate for all
        who tell: exit code, step output, issue, last line.
        """
        waits = self.decisions or self.broken
        return all(c.stocks for c in self.acting) and not waits

    @property
    def asks_to_restock(self) -> bool:
        """Whether a reserve ends within weeks, or can't be stocked.

        A person is asked; nothing is late.
        """
        asks = {Reason.RESERVE_ENDS, Reason.RESERVE_CAPPED}
        return any(c.reason in asks for c in self.changes)

    def counts(self) -> dict[Action, int]:
        """Count the rows by action, in the order of the actions; zeros are left out."""
        found = collections.Counter(change.action for change in self.changes)
        return {action: found[action] for action in Action if found[action]}

    def digest(self) -> str:
        """Return what an approval is bound to: ``sha256:<hex>`` of canonical JSON."""
        document = {
            "format_version": FORMAT_VERSION,
            "api_url": self.api_url,
            "ledger_id": self.ledger_id,
            "profile_id": self.profile_id,
            "selection": to_plain(self.selection),
            "flags": list(self.flags),
            "changes": [_digested(c) for c in self.acting],
        }
        return "sha256:" + hashlib.sha256(_canonical(document).encode()).hexdigest()


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digested(change: Change) -> dict[str, Any]:
    return {
        "label": change.label,
        "action": change.action.value,
        "reason": change.reason.value,
        "before": to_plain(change.before),
        "after": to_plain(change.after),
    }


def row_key(change: Change) -> str:
    """Return what identifies an acting row: all that the digest covers of it."""
    return _canonical(_digested(change))


def order(change: Change, manager: str) -> tuple[int, bool, str, str]:
    """Return the key by which rows are sorted in a plan and in a report.

    Repairs come first, and the manager comes last among rows of the same action.
    """
    token_id = change.before.token_id if change.before is not None else None
    return _RANK[change.action], change.label == manager, change.label, token_id or ""
