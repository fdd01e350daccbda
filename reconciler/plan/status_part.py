"""The part of a status that a person asked about: some labels, or one token's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from reconciler.errors import UsageError
from reconciler.plan.labels import LEAST_ID, begun_with, meant
from reconciler.plan.status import Status, TokenStatus
from reconciler.plan.status_reserve import Capped


def narrowed(
    statuses: Sequence[Status], words: Sequence[str], token_id: str | None
) -> tuple[Status, ...]:
    """Return what is told of the labels that the words mean, or that have this token.

    Everything, where neither is given; else only statuses that have one of them.
    UsageError where a word is no label's, where no token has the id, or where its
    beginning is that of more than one.
    """
    if not words and token_id is None:
        return tuple(statuses)
    known = [{token.label for token in status.tokens} for status in statuses]
    chosen: list[set[str]] = [set() for _ in statuses]
    for word in words:
        found = [meant(word, labels) for labels in known]
        if not any(found):
            raise UsageError(f"{word!r}: neither the manifest nor the ledger has this label")
        chosen = [have | more for have, more in zip(chosen, found, strict=True)]
    if token_id is not None:
        at, label = _having(statuses, token_id)
        chosen[at].add(label)
    parts = (_part(status, labels) for status, labels in zip(statuses, chosen, strict=True))
    return tuple(part for part in parts if part.tokens or part.twins)


def _part(status: Status, chosen: set[str]) -> Status:
    return dataclasses.replace(
        status,
        tokens=tuple(token for token in status.tokens if token.label in chosen),
        needs=tuple(
            dataclasses.replace(need, labels=tuple(x for x in need.labels if x in chosen))
            for need in status.needs
            if not need.labels or chosen.intersection(need.labels)
        ),
        twins=tuple(row for row in status.twins if row.label in chosen),
        abandoned=tuple(row for row in status.abandoned if row.label in chosen),
        capped=_capped(status.capped, chosen),
    )


def _capped(found: Capped | None, chosen: set[str]) -> Capped | None:
    labels = () if found is None else tuple(x for x in found.labels if x in chosen)
    return None if found is None or not labels else dataclasses.replace(found, labels=labels)


def _having(statuses: Sequence[Status], wanted: str) -> tuple[int, str]:
    """Return which status has the token whose id begins so, and the label."""
    if len(wanted) < LEAST_ID:
        raise UsageError(f"--token-id {wanted!r}: give at least {LEAST_ID} characters of the id")
    owners = {
        token_id: (at, label)
        for at, status in enumerate(statuses)
        for token_id, label in _owners(status).items()
    }
    found = begun_with(wanted, owners)
    if not found:
        raise UsageError(f"--token-id {wanted!r}: no token of ours begins so")
    if len(found) > 1:
        raise UsageError(f"--token-id {wanted!r} fits {', '.join(found)}: give more of the id")
    return owners[found[0]]


def _owners(status: Status) -> dict[str, str]:
    """Return the label of each token id."""
    owners = {token_id: token.label for token in status.tokens for token_id in _ids(token)}
    return owners | {row.token_id: row.label or "" for row in status.twins}


def _ids(token: TokenStatus) -> list[str]:
    ids = [old.token_id for old in token.predecessors]
    ids += [*token.revoking, *(kept.token_id for kept in token.reserve)]
    ids += [token.token_id] if token.token_id is not None else []
    intent = token.intent
    return [*ids, *([intent.token_id] if intent is not None and intent.token_id else [])]
