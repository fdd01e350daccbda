"""The snapshot as JSON: ``observe --out`` writes it, ``--observed`` reads it back.

Rules this module keeps:

1. A snapshot is published to pull requests. It holds no secret; of other people's
   tokens only the number is told, and of the lease only whose run it is and until when.
   Operation ids are left out: who may write a path could forge a commit with one. A
   reserve has the id of its token in the place of its operation's.
2. What is read back is believed as far as it can be checked: by its schema, and its
   ledger by the ledger's own reader.
3. The desired state is in it for those who have no manifest beside it. A plan is made
   of a manifest and never of that.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from reconciler.documents.desired import WindowReader, desired_document, read_desired
from reconciler.documents.json import fault, head, other_format, parsed
from reconciler.errors import ReconcilerError
from reconciler.model import LiveToken, Manifest, SecretMeta, instant_ms, iso
from reconciler.state import (
    Content,
    Kind,
    Ledger,
    LedgerError,
    Observed,
    classify,
    from_document,
    from_plain,
    lost_in,
    published,
    to_document,
    to_plain,
)
from reconciler.values import value

SNAPSHOT_FORMAT = 2
_UNNAMED = "(not published)"
_AGAIN = "take it again with `reconciler observe --out`"


@value
class Snapshot:
    """A snapshot as it was read back.

    ``desired`` is what the manifest said when it was taken; None in the snapshot of an
    older program.
    """

    observed: Observed
    desired: Manifest | None


def snapshot_document(observed: Observed, desired: Manifest) -> dict[str, Any]:
    """Return what was observed and desired, for whoever has no credential.

    The caller has checked the snapshot with ``distrust``: a signer that is not ours is
    not named here, so nobody can check it again.
    """
    observed = published(observed)
    kinds = classify(observed, frozenset(spec.label for spec in desired.tokens))
    lost_of = lost_in(observed.ledger)
    ours = [
        t for t in observed.live if kinds[t.token_id] is not Kind.FOREIGN or lost_of(t) is not None
    ]
    named = {token.token_id for token in ours} | observed.ledger.known_ids().keys()
    return {
        **head("snapshot", SNAPSHOT_FORMAT),
        "taken_at": iso(observed.now_ms),
        "api_url": observed.api_url,
        "place": observed.place,
        "desired": desired_document(desired),
        "signer_id": observed.signer_id if observed.signer_id in named else None,
        "ledger": _published(observed.ledger),
        "ledger_version": observed.ledger_version,
        "live": [to_plain(token) for token in sorted(ours, key=lambda t: t.token_id)],
        "foreign_unnamed": observed.foreign_unnamed + len(observed.live) - len(ours),
        "secrets": to_plain(observed.secrets),
        "doubt": observed.doubt_ms,
        "contents": {path: _content(content, named) for path, content in observed.contents.items()},
    }


def _published(ledger: Ledger) -> dict[str, Any]:
    document = to_document(ledger)
    if document["holder"] is not None:
        document["holder"] = {key: document["holder"][key] for key in ("run", "expires_at")}
    for entry in document["tokens"].values():
        if entry["intent"] is not None:
            del entry["intent"]["operation_id"]
    return document


def _content(content: Content, named: set[str]) -> dict[str, Any]:
    """Return what lies at a path.

    The id of a token that is not ours stays unnamed, and so do the fields beside it: to
    a plan they are as good as none.
    """
    token_id = content.token_id if content.token_id in named else None
    if token_id is None and content.holder_version is None:
        content = dataclasses.replace(content, others=())
    return {**to_plain(content), "token_id": token_id}


def load_snapshot(text: str, read_window: WindowReader | None = None) -> Snapshot:
    """Return the snapshot, from the text of a ``snapshot_document``.

    ``read_window`` reads the windows of what was desired, which has none without it.
    ReconcilerError if the text is none.
    """
    document = parsed(text, "snapshot", _AGAIN)
    other = other_format(document, SNAPSHOT_FORMAT)
    if other is not None:
        raise ReconcilerError(
            f"the snapshot has format {other}, this program knows format {SNAPSHOT_FORMAT}: "
            f"{_AGAIN} of this version"
        )
    found = fault(document, "snapshot")
    if found is not None:
        raise ReconcilerError(
            f"the snapshot was edited by hand or made by another version ({found}): {_AGAIN}"
        )
    try:
        return Snapshot(observed=_read(document), desired=_desired(document, read_window))
    except LedgerError:  # its sentence speaks of Vault
        raise ReconcilerError(
            f"the ledger in the snapshot can't be read by this version: {_AGAIN}"
        ) from None
    except ValueError:  # an instant that the calendar does not know
        raise ReconcilerError(
            f"the snapshot was edited by hand (a value in it can't be): {_AGAIN}"
        ) from None


def _with_operation(entry: Any) -> Any:
    """Return an entry whose intent has the operation id that was left out."""
    intent = entry.get("intent") if isinstance(entry, dict) else None
    if not isinstance(intent, dict):
        return entry
    return {**entry, "intent": {"operation_id": _UNNAMED, **intent}}


def _desired(document: dict[str, Any], read_window: WindowReader | None) -> Manifest | None:
    if "desired" not in document:
        return None
    desired = read_desired(document["desired"], read_window)
    if desired.place != document["place"]:
        raise ValueError("the snapshot and what it was taken for have two places")
    return desired


def _read(document: dict[str, Any]) -> Observed:
    ledger = document["ledger"]
    if ledger["holder"] is not None:
        ledger = {**ledger, "holder": {"write": "", "who": _UNNAMED, **ledger["holder"]}}
    ledger = {**ledger, "tokens": {k: _with_operation(v) for k, v in ledger["tokens"].items()}}
    return Observed(
        now_ms=instant_ms(document["taken_at"]),
        api_url=document["api_url"],
        place=document["place"],
        ledger=from_document(ledger),
        ledger_version=document["ledger_version"],
        live=tuple(from_plain(LiveToken, token) for token in document["live"]),
        signer_id=document["signer_id"],
        secrets={path: from_plain(SecretMeta, meta) for path, meta in document["secrets"].items()},
        contents={path: from_plain(Content, found) for path, found in document["contents"].items()},
        foreign_unnamed=document["foreign_unnamed"],
        doubt_ms=document["doubt"],
    )
