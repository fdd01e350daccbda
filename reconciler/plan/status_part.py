"""The part of a status that a person asked about: some labels, or one token's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from reconciler.errors import UsageError
from reconciler.plan.labels import LEAST_ID, begun_with, meant
from reconciler.plan.status import Status, TokenStatus


def narrowed(status: Status, words: Sequence[str], token_id: str | None) -> Status:
    """Return what is told of the labels that the words mean, or that have this token.

    The whole status, where neither is given. UsageError where nothing is found, or an
    id's beginning is that of more than one.
    """
    if not words and token_id is None:
        return status
    known = {token.label for token in status.tokens}
    chosen: set[str] = set()
    for word in words:
        found = meant(word, known)
        if not found:
            raise UsageError(f"{word!r}: neither the manifest nor the ledger has this label")
        chosen |= found
    if token_id is not None:
        chosen |= _having(status, token_id)
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
    )


def _having(status: Status, wanted: str) -> set[str]:
    if len(wanted) < LEAST_ID:
        raise UsageError(f"--token-id {wanted!r}: give at least {LEAST_ID} characters of the id")
    owners = {token_id: token.label for token in status.tokens for token_id in _ids(token)}
    owners |= {row.token_id: row.label or "" for row in status.twins}
    found = begun_with(wanted, owners)
    if not found:
        raise UsageError(f"--token-id {wanted!r}: no token of ours begins so")
    if len(found) > 1:
        raise UsageError(f"--token-id {wanted!r} fits {', '.join(found)}: give more of the id")
    return {owners[found[0]]}


def _ids(token: TokenStatus) -> list[str]:
    ids = [old.token_id for old in token.predecessors]
    ids += token.revoking
    ids += [token.token_id] if token.token_id is not None else []
    intent = token.intent
    return [*ids, *([intent.token_id] if intent is not None and intent.token_id else [])]
