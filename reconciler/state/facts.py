"""Transitions of the ledger that record a single fact; see ``transitions``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model import VersionId
from reconciler.state.entries import (
    Transition,
    at_version,
    current_of,
    entry_of,
    readable_again,
    require,
    transition,
    with_entry,
)
from reconciler.state.ledger import Entry, Ledger, Uses
from reconciler.state.uses import together
from reconciler.values import value


@value
class Moved:
    """Where the current token's content lies now, and what stands there with it.

    ``fields`` are those of our further names that the version still carries, and
    ``others`` the names of what others wrote beside them; both are as in ``Entry``.
    """

    version: VersionId
    fields: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@transition
def set_version(ledger: Ledger, label: str, moved: Moved) -> Ledger:
    """Correct the version at which the current token's content lies, which signed."""
    entry = _moved(entry_of(ledger, label), label, moved)
    current = replace(current_of(entry, label), unsigned=False)
    return with_entry(ledger, label, replace(entry, current=current))


@transition
def set_unsigned(ledger: Ledger, label: str, token_id: str, moved: Moved | None = None) -> Ledger:
    """Record that what Vault holds of the current token did not sign.

    ``moved`` is where that lies, if it moved.
    """
    entry = entry_of(ledger, label)
    current = current_of(entry, label)
    require(current.token_id == token_id, f"{token_id} is not the current token of {label}")
    if moved is not None:
        entry = _moved(entry, label, moved)
    unsigned = replace(current_of(entry, label), unsigned=True)
    return with_entry(ledger, label, replace(entry, current=unsigned))


def _moved(entry: Entry, label: str, moved: Moved) -> Entry:
    current = at_version(current_of(entry, label), moved.version)
    entry = readable_again(entry, current.token_id)
    return replace(entry, current=current, fields=moved.fields, others=moved.others)


def date_versions(found: Mapping[str, VersionId]) -> Transition:
    """Add the times of versions, by path, where a ledger of schema 1 has none."""

    def dated(entry: Entry) -> Entry:
        current, version = entry.current, found.get(entry.path)
        if current is None or version is None or current.version_created_at_ms is not None:
            return entry
        if current.displaced:
            return entry
        if current.version != version.number:
            return entry
        return replace(entry, current=at_version(current, version))

    return lambda ledger: replace(
        ledger, tokens={label: dated(entry) for label, entry in ledger.tokens.items()}
    )


def awaited(ledger: Ledger) -> frozenset[str]:
    """Return the labels whose tokens' uses decide about a predecessor.

    Those of its own label do. So do those of the label that has the predecessor's path
    by now, because consumers of that path find its token there. A displaced token will
    be such a predecessor.
    """
    entries = ledger.tokens.items()
    paths = {row.path or entry.path for _, entry in entries for row in entry.retiring}
    paths |= {e.path for _, e in entries if e.current is not None and e.current.displaced}
    return frozenset(
        label for label, e in entries if e.retiring or (e.path in paths and e.is_at(e.path))
    )


@transition
def expect_own_use(ledger: Ledger, label: str, token_id: str, until_ms: int) -> Ledger:
    """Record, before we sign with a token's secret, that uses until then may be ours.

    A consumer's use before that is hidden by the bound, so the token can't count as
    never used any more. Nobody uses one in the reserve, so that one stays fresh: any
    other use of it would be shown. One that is revoking, or not known, is judged by no
    use, so nothing is recorded.
    """
    entry = entry_of(ledger, label)
    current = entry.current
    if current is not None and current.token_id == token_id:
        current = replace(current, own_use_until_ms=until_ms, fresh=False)
    retiring = tuple(
        replace(r, own_use_until_ms=until_ms, fresh=False) if r.token_id == token_id else r
        for r in entry.retiring
    )
    reserve = tuple(
        replace(kept, own_use_until_ms=until_ms) if kept.token_id == token_id else kept
        for kept in entry.reserve
    )
    entry = replace(entry, current=current, retiring=retiring, reserve=reserve)
    return with_entry(ledger, label, entry)


def settle_own_uses(until_ms: int, at_ms: int) -> Transition:
    """Record that the uses which were announced until an instant ended earlier."""

    def settled(ledger: Ledger) -> Ledger:
        tokens = {}
        for label, entry in ledger.tokens.items():
            current = entry.current
            if current is not None and current.own_use_until_ms == until_ms:
                current = replace(current, own_use_until_ms=None, verified_at_ms=at_ms)
                entry = replace(entry, current=current)  # noqa: PLW2901
            tokens[label] = replace(
                entry,
                reserve=tuple(
                    replace(kept, own_use_until_ms=None, verified_at_ms=at_ms)
                    if kept.own_use_until_ms == until_ms
                    else kept
                    for kept in entry.reserve
                ),
            )
        return replace(ledger, tokens=tokens)

    return settled


@transition
def note_signed(ledger: Ledger, token_id: str, *, at_ms: int) -> Ledger:
    """Record that uses of a reserve until then were ours: it signed a run's lists."""
    owner = ledger.known_ids().get(token_id)
    if owner is None:
        return ledger
    entry = ledger.tokens[owner]
    reserve = tuple(
        replace(kept, verified_at_ms=max(kept.verified_at_ms, at_ms))
        if kept.token_id == token_id
        else kept
        for kept in entry.reserve
    )
    return with_entry(ledger, owner, replace(entry, reserve=reserve))


def set_uses(uses: Uses) -> Transition:
    """Remember what is known of the worth of shown uses."""
    return lambda ledger: replace(ledger, uses=together(ledger.uses, uses))


@transition
def set_protect(ledger: Ledger, label: str, *, protect: bool) -> Ledger:
    """Remember the protection, so that a line that leaves the manifest lifts none."""
    return with_entry(ledger, label, replace(entry_of(ledger, label), protect=protect))


def set_files(files: Iterable[str]) -> Transition:
    """Remember the manifest's files.

    While one of them is missing, no label counts as removed.
    """
    names = tuple(sorted(files))
    return lambda ledger: replace(ledger, files=names)


@transition
def set_profile(ledger: Ledger, profile_id: int) -> Ledger:
    """Remember the profile, once an identity told it."""
    require(ledger.profile_id in {None, profile_id}, "it belongs to another profile")
    return replace(ledger, profile_id=profile_id)


def unchanged(ledger: Ledger) -> Ledger:
    """Return the ledger as it is, for a write that only concerns the lease."""
    return ledger
