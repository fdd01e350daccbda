"""What a status tells of a label's reserve: its tokens, and how long they last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.model import LiveToken, TokenSpec
from reconciler.plan.change import Change, Plan
from reconciler.plan.lasts import lasts_until_ms
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Entry, Observed, Reserve, lowest
from reconciler.values import value

OF_THE_RESERVE = frozenset(
    {
        Reason.RESERVE_SHORT,
        Reason.RESERVE_ENDS,
        Reason.RESERVE_CAPPED,
        Reason.RESERVE_AGED,
        Reason.RESERVE_UNFIT,
        Reason.RESERVE_SURPLUS,
        Reason.RESERVE_LOST,
        Reason.RESERVE_LEFT,
    }
)
"""Reasons of rows that are about the reserve, and not about the label's own token."""


@value
class ReserveStatus:
    """A successor in the reserve; ``ready``: a rotation may take it.

    ``scopes`` are () where the exchange does not list it. It is used until
    ``expires_at_ms`` at the latest, None where the manifest does not have the label.
    ``action``, ``reason`` and ``note`` are those of a row about it.
    """

    token_id: str
    live: bool
    scopes: tuple[str, ...] = ()
    created_at_ms: int
    expires_at_ms: int | None
    last_used_at_ms: int | None
    ready: bool
    action: Action | None = None
    reason: Reason | None = None
    note: str = ""


@value
class Capped:
    """Successors that aren't derived, as the exchange may end other tokens for them.

    ``lived`` tokens lived at ``at_ms``, when a derive had ended another one, and
    ``live`` do now. It is tried again from ``until_ms``. ``labels`` are short so far.
    """

    lived: int
    at_ms: int
    until_ms: int
    live: int
    labels: tuple[str, ...]


def capped_of(chosen: Plan, observed: Observed) -> Capped | None:
    """Return what a plan derives no successor for; None where it holds none back."""
    cap = lowest(observed.ledger.cap, chosen.as_of_ms)
    labels = sorted({c.label for c in chosen.changes if c.reason is Reason.RESERVE_CAPPED})
    if cap is None or not labels:
        return None
    return Capped(
        lived=cap.lived,
        at_ms=cap.at_ms,
        until_ms=cap.until_ms,
        live=len(observed.live) + observed.foreign_unnamed,
        labels=tuple(labels),
    )


def reserve_status(
    spec: TokenSpec | None,
    entry: Entry,
    rows: Sequence[Change],
    live: Mapping[str, LiveToken],
    now_ms: int,
) -> dict[str, Any]:
    """Return the fields of a label's status that are about its reserve."""
    found = tuple(_status(spec, kept, rows, live) for kept in _by_age(entry.reserve))
    ready_ids = {one.token_id for one in found if one.ready}
    fields: dict[str, Any] = {"reserve": found}
    if spec is None:
        return fields
    current = entry.current
    listed = live.get(current.token_id) if current is not None else None
    created_ms = current.created_at_ms if current is not None else 0
    ready = [kept for kept in _by_age(entry.reserve) if kept.token_id in ready_ids]
    until_ms = lasts_until_ms(
        spec,
        current,
        listed.created_at_ms if listed is not None else created_ms,
        ready,
        now_ms=now_ms,
    )
    return {**fields, "unattended_until_ms": until_ms}


def _by_age(reserve: Iterable[Reserve]) -> list[Reserve]:
    return sorted(reserve, key=lambda kept: (kept.created_at_ms, kept.token_id))


def _status(
    spec: TokenSpec | None, kept: Reserve, rows: Sequence[Change], live: Mapping[str, LiveToken]
) -> ReserveStatus:
    row = next((c for c in rows if c.before and c.before.token_id == kept.token_id), None)
    listed = live.get(kept.token_id)
    return ReserveStatus(
        token_id=kept.token_id,
        live=listed is not None,
        scopes=listed.scopes if listed is not None else (),
        created_at_ms=kept.created_at_ms,
        expires_at_ms=None if spec is None else kept.created_at_ms + spec.reserve_age_ms,
        last_used_at_ms=listed.last_used_at_ms if listed is not None else None,
        ready=row is None and spec is not None,
        action=row.action if row is not None else None,
        reason=row.reason if row is not None else None,
        note=row.note if row is not None else "",
    )
