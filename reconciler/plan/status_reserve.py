"""What a status tells of a label's reserve: its tokens, and how long they last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.model import LiveToken, TokenSpec
from reconciler.plan.change import Change
from reconciler.plan.lasts import lasts_until_ms
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Entry, Reserve
from reconciler.values import value

OF_THE_RESERVE = frozenset(
    {
        Reason.RESERVE_SHORT,
        Reason.RESERVE_ENDS,
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
