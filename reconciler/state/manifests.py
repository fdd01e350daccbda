"""Which desired state is the newest one that was applied, and which are older.

An apply from an old checkout would revoke what was added since, and widen scopes that
were narrowed. The ledger remembers the desired states of the last applies:

    the manifest's desired state                     it is
    -----------------------------------------------  -----------------------------------
    is the last one that was applied                 the newest
    was never applied here                           taken for newer
    was applied, and another one after it            superseded
    was never applied, but its tokens are as in one  superseded
    that was, and those of the last one are not

The last line is about a manifest that needed no change (a longer overlap, say): a run
that has nothing to do writes nothing, so it is not remembered by itself.

Rules this module keeps:

1. Two digests of a desired state. ``digest`` covers all that the manifest says, but for
   what is for people, former labels and the names of its files; ``tokens`` only what
   an apply makes so: labels, scopes, paths, protection, manager.
2. What a manifest leaves out is left out of the digest, so a new key of the manifest
   changes no digest of those that don't have it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from typing import Any

from reconciler.model import Manifest, TokenSpec
from reconciler.state.ledger import Applied, Ledger

MANIFESTS_KEPT = 50
DIGEST_DIGITS = 32

_SAID_TO_PEOPLE = frozenset({"description", "mark", "was", "owner", "hold_reason"})
_SAID = tuple(
    field.name for field in dataclasses.fields(TokenSpec) if field.name not in _SAID_TO_PEOPLE
)
_NEWER = frozenset({"rotate_before_ms", "windows", "reserve", "reserve_age_ms"})
_LEFT_OUT = {f.name: f.default for f in dataclasses.fields(TokenSpec) if f.name in _NEWER}
"""What stands for the absence of newer keys; that of all others is None."""

_MADE_SO = frozenset({"label", "scopes", "path", "protect"})


def state_of(desired: Manifest, at_ms: int) -> Applied:
    """Return what the ledger remembers of a desired state that was applied then."""
    tokens = sorted((_plain(spec) for spec in desired.tokens), key=lambda t: str(t["label"]))
    made_so = [{k: v for k, v in token.items() if k in _MADE_SO} for token in tokens]
    head = {
        "profile_id": desired.profile_id,
        "manager": desired.manager,
        "mount": desired.mount,
        "prefix": desired.prefix,
    }
    return Applied(
        digest=_digest({**head, "tokens": tokens}),
        tokens=_digest({"manager": desired.manager, "tokens": made_so}),
        at_ms=at_ms,
    )


def _plain(spec: TokenSpec) -> dict[str, Any]:
    said = {name: v for name in _SAID if (v := getattr(spec, name)) != _LEFT_OUT.get(name)}
    windows = [window.text for window in spec.windows]
    return {**said, "scopes": sorted(spec.scopes), **({"windows": windows} if windows else {})}


def _digest(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def superseded_at_ms(ledger: Ledger, desired: Manifest) -> int | None:
    """Return when another desired state took this one's place; None for the newest."""
    rows = ledger.manifests
    if not rows:
        return None
    mine = state_of(desired, 0)
    if rows[-1].digest == mine.digest:
        return None
    for older, newer in reversed(tuple(itertools.pairwise(rows))):
        if older.digest == mine.digest:
            return newer.at_ms
    if rows[-1].tokens == mine.tokens:
        return None
    for older, newer in reversed(tuple(itertools.pairwise(rows))):
        if older.tokens == mine.tokens != newer.tokens:
            return newer.at_ms
    return None


def remember_state(ledger: Ledger, applied: Applied) -> Ledger:
    """Return the ledger with this desired state as the newest."""
    if ledger.manifests and ledger.manifests[-1].digest == applied.digest:
        return ledger
    kept = tuple(row for row in ledger.manifests if row.digest != applied.digest)
    return dataclasses.replace(ledger, manifests=(*kept, applied)[-MANIFESTS_KEPT:])
