"""The status as JSON: how every label stands, by ``status --format json``.

The values are written as they are; reasons get their sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reconciler.documents.json import head
from reconciler.plan import SENTENCES, Predecessor, Status, TokenStatus
from reconciler.state import to_plain, word_of

STATUS_FORMAT = 2
STATUSES_FORMAT = 1


def status_document(status: Status) -> dict[str, Any]:
    """Return the state of every label, for machines."""
    document = to_plain(status, unix=True)
    needs = document.pop("needs")
    return {
        **document,
        **head("status", STATUS_FORMAT),
        "summary": {word_of(state): number for state, number in status.counts().items()},
        "tokens": [_token(token) for token in status.tokens],
        "needs_person": needs,
    }


def statuses_document(statuses: Sequence[Status]) -> dict[str, Any]:
    """Return several statuses, one for each manifest."""
    return {
        **head("statuses", STATUSES_FORMAT),
        "statuses": [status_document(status) for status in statuses],
    }


def _token(token: TokenStatus) -> dict[str, Any]:
    return {
        **to_plain(token, unix=True),
        "sentence": SENTENCES[token.reason],
        "scopes_differ": token.scopes_differ,
        "predecessors": [_predecessor(old) for old in token.predecessors],
    }


def _predecessor(old: Predecessor) -> dict[str, Any]:
    return {**to_plain(old, unix=True), "sentence": SENTENCES[old.reason]}
