"""What was done last, as far as one version of the ledger remembers it.

    the ledger has                                  what was done
    ----------------------------------------------  ------------------------------------
    a desired state that was applied                applied
    a current token                                 in use, since then
    a predecessor                                   superseded
    a row of its audit trail about a token          revoked, or closed with its outcome
    one about an attempt                            closed
    an attempt that was given up                    abandoned
    a token that lives on as somebody else's        released

``history`` tells more: it reads the versions that Vault still has.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.state import Entry, Ledger
from reconciler.values import value

RECENT_MOST = 40


@value
class Past:
    """Something that was done; ``label`` is empty where it is about the manifest.

    ``why`` is a word of the ledger, empty where it has none.
    """

    at_ms: int
    label: str
    what: str
    token_id: str | None = None
    why: str = ""


def recent_of(ledger: Ledger) -> tuple[Past, ...]:
    """Return what was done last, the newest first."""
    return tuple(sorted(_remembered(ledger), key=_order, reverse=True)[:RECENT_MOST])


def _order(past: Past) -> tuple[int, str, str, str]:
    return past.at_ms, past.label, past.what, past.token_id or ""


def _remembered(ledger: Ledger) -> Iterator[Past]:
    for applied in ledger.manifests:
        yield Past(at_ms=applied.at_ms, label="", what="applied")
    for label, entry in ledger.tokens.items():
        yield from _of_entry(label, entry)
    revoked = ledger.revoked_ids()
    for row in ledger.closed:
        yield Past(
            at_ms=row.at_ms,
            label=row.label,
            what="revoked" if row.token_id in revoked else "closed",
            token_id=row.token_id,
            why=row.outcome,
        )
    for lost in ledger.abandoned:
        yield Past(at_ms=lost.closed_at_ms, label=lost.label, what="abandoned")
    for gone in ledger.released:
        yield Past(at_ms=gone.at_ms, label=gone.label, what="released", token_id=gone.token_id)


def _of_entry(label: str, entry: Entry) -> Iterator[Past]:
    current = entry.current
    if current is not None:
        since_ms = current.in_use_since_ms or current.created_at_ms
        yield Past(at_ms=since_ms, label=label, what="in use", token_id=current.token_id)
    for old in entry.retiring:
        yield Past(
            at_ms=old.superseded_at_ms,
            label=label,
            what="superseded",
            token_id=old.token_id,
            why=old.reason,
        )
