"""What may be published of a snapshot: everything in it but operation ids of reserves.

The operation id of a stocking names its document. It is left out of all that is shown
or published, as those of intents are. The token's id takes its place, which is as good
a name: a plan made of this is the plan made of the real thing.

    where it stands                             what stands there instead
    ------------------------------------------  --------------------------------------
    a row of a reserve, the path of one that    the token's id
    is revoking, or left behind
    a stocking that was begun: its path         the token's id; where none is named
                                                yet, the label in brackets
    Vault's metadata, by path                   the same; a document that none of these
                                                names is left out
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from reconciler.state.kept import RESERVE_FOLDER, is_reserve_path
from reconciler.state.ledger import Entry, Ledger
from reconciler.state.snapshot import Observed

T = TypeVar("T")

_FOLDER = f"{RESERVE_FOLDER}/"


def published(observed: Observed) -> Observed:
    """Return a snapshot that names each reserve by its token's id.

    One that was published already stays as it is.
    """
    names = dict(_names(observed.ledger))
    return replace(
        observed,
        ledger=_ledger(observed.ledger, names),
        secrets=_by_path(observed.secrets, names),
        contents=_by_path(observed.contents, names),
    )


def _names(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Yield the operation ids of all reserves that are known, with what names them."""
    for row in ledger.left:
        yield _operation(row.path), row.token_id
    for label, entry in ledger.tokens.items():
        if entry.intent is not None:
            yield _operation(entry.intent.path), entry.intent.token_id or f"({label})"
        for end in entry.revoking:
            for path in (end.path, *end.copies):
                yield _operation(path), end.token_id
        for kept in entry.reserve:
            yield kept.operation_id, kept.token_id


def _operation(path: str | None) -> str:
    """Return which operation a path of a reserve's document names; else nothing."""
    _, found, operation_id = f"/{path or ''}".rpartition(f"/{_FOLDER}")
    return operation_id if found else ""


def _path(path: str, names: Mapping[str, str]) -> str:
    operation_id = _operation(path)
    if not operation_id:
        return path
    return path.removesuffix(operation_id) + names.get(operation_id, operation_id)


def _by_path(found: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    return {
        _path(path, names): value
        for path, value in found.items()
        if not is_reserve_path(path) or _operation(path) in names
    }


def _ledger(ledger: Ledger, names: Mapping[str, str]) -> Ledger:
    return replace(
        ledger,
        tokens={label: _entry(entry, names) for label, entry in ledger.tokens.items()},
        left=tuple(replace(row, path=_path(row.path, names)) for row in ledger.left),
    )


def _entry(entry: Entry, names: Mapping[str, str]) -> Entry:
    intent = entry.intent
    if intent is not None:
        intent = replace(intent, path=_path(intent.path, names))
    return replace(
        entry,
        intent=intent,
        revoking=tuple(
            replace(
                row,
                path=None if row.path is None else _path(row.path, names),
                copies=tuple(_path(path, names) for path in row.copies),
            )
            for row in entry.revoking
        ),
        reserve=tuple(replace(kept, operation_id=kept.token_id) for kept in entry.reserve),
    )
