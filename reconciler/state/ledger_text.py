"""The text of the ledger, as it lies in Vault.

Rules this module keeps:

1. The text is canonical: sorted keys, no floats, no spaces. The same ledger gives the
   same bytes.
2. Text that can't be read (edited by hand, cut off, of a newer version) is an error
   that names the way back. Nothing is guessed, and no part of the text is in the error.
3. A ledger of schema 1 is read, and carried over by the next write. Its tokens have no
   provenance: none of them counts as never used.
"""

from __future__ import annotations

import json
from typing import Any

from reconciler.state.codec import from_plain, to_plain
from reconciler.state.ledger import Ledger, LedgerError

SCHEMA = 2
OLDEST_SCHEMA = 1

MAX_ENTRY_BYTES = 1_000_000
"""What the ledger may take, in bytes.

A raft entry may have 1 MiB; the rest is for the envelope around our one string.
"""


def to_text(ledger: Ledger) -> str:
    """Return the ledger as canonical JSON."""
    return json.dumps(
        to_document(ledger), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def text_bytes(ledger: Ledger) -> int:
    """Return the size of the ledger's entry in Vault, in bytes.

    It is that of our text as a JSON string within the JSON of the request.
    """
    return len(json.dumps(to_text(ledger), ensure_ascii=False).encode())


def from_text(text: str) -> Ledger:
    """Return the ledger that ``to_text`` wrote. LedgerError if the text is none."""
    try:
        document = json.loads(text, object_pairs_hook=each_key_once)
    except (ValueError, RecursionError):
        raise _unreadable() from None
    return from_document(document)


def to_document(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as a dictionary that ``json`` writes."""
    return {"schema": SCHEMA, **to_plain(ledger)}


def from_document(document: Any) -> Ledger:
    """Return the ledger of a dictionary. LedgerError if it is none."""
    try:
        _refuse_other_schema(from_plain(int, document["schema"]))
        return from_plain(Ledger, _with_paths(document))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _unreadable() from None


def _refuse_other_schema(schema: int) -> None:
    if schema > SCHEMA:
        raise LedgerError(
            f"the ledger has schema {schema}, this program knows up to {SCHEMA}: update reconciler"
        )
    if schema < OLDEST_SCHEMA:
        raise ValueError("there was no such schema")


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dictionary, for ``json.loads``.

    ValueError if a key is there twice, as after a copied line: the first value would be
    dropped in silence.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _with_paths(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with a path in each intent; the default is its label's."""
    return {**document, "tokens": {k: _with_path(v) for k, v in document["tokens"].items()}}


def _with_path(entry: dict[str, Any]) -> dict[str, Any]:
    intent = entry["intent"]
    return entry if intent is None else {**entry, "intent": {"path": entry["path"], **intent}}


def _unreadable() -> LedgerError:
    return LedgerError(
        "the ledger in Vault can't be read (edited by hand or cut off?): "
        "write its last good version again with `vault kv rollback`"
    )
