"""What a plan is made from, gathered once: everything observed, sorted by label."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model import LiveToken, Manifest
from reconciler.plan.change import Change, NotTouched, row_key
from reconciler.plan.facts import Facts, Listed, Owner, Recorded, Unwanted, Wanted
from reconciler.plan.guards import Policy, files_missing
from reconciler.plan.labels import resolved
from reconciler.plan.ready import ready_reserves
from reconciler.plan.setting import Setting
from reconciler.state import (
    Current,
    Entry,
    Kind,
    Lost,
    Observed,
    classify,
    granted_otherwise,
    lease_held_by,
    left_of,
    lost_in,
)


class PlanContext:
    """Everything that was observed, sorted by label once."""

    def __init__(
        self,
        desired: Manifest,
        observed: Observed,
        policy: Policy,
        now_ms: int,
        run: str | None,
    ) -> None:
        ledger = observed.ledger
        self.desired = desired
        self.observed = observed
        self.specs = {spec.label: spec for spec in desired.tokens}
        self.wanted_at = {spec.path: spec.label for spec in desired.tokens}
        self.renames = {
            spec.label: spec.was
            for spec in desired.tokens
            if spec.was is not None and spec.was in ledger.tokens and spec.was not in self.specs
        }
        self.live = observed.live_by_id()
        self.listed = frozenset(self.live)
        self.found_at: dict[str | None, list[str]] = collections.defaultdict(list)
        for path, content in observed.contents.items():
            self.found_at[content.token_id].append(path)
        self.kinds = classify(observed, frozenset(self.specs))
        self.labelled = _by_label(observed.live)
        self.owners = dict(owned_paths(ledger.tokens))
        self.outgoing = dict(_outgoing(ledger.tokens))
        entries = ledger.tokens.items()
        self.writers = {e.intent.path: name for name, e in entries if e.intent is not None}
        self.setting = Setting(
            now_ms=now_ms,
            policy=policy,
            signer_id=observed.signer_id,
            other_run=lease_held_by(ledger, observed.now_ms, not_run=run),
            files_missing=files_missing(desired, observed, policy),
            doubt_ms=observed.doubt_ms,
            granted=granted_otherwise(ledger, observed.live),
            place=observed.place,
            listed=self.listed,
        )

    def renamed(self) -> frozenset[str]:
        """Return the labels that are renamed, and their former names."""
        return frozenset(self.renames) | frozenset(self.renames.values())

    def is_to_be_done(self, change: Change) -> bool:
        """Return whether the run that asks may make a change: chosen, and agreed to."""
        policy = self.setting.policy
        if not policy.selection.admits(change):
            return False
        return policy.agreed is None or row_key(change) in policy.agreed

    def born_ms(self, label: str) -> int:
        """Return when the label's current token was derived, 0 where there is none."""
        current = self.observed.ledger.tokens[label].current
        return current.created_at_ms if current is not None else 0

    def _owner(self, label: str, path: str) -> Owner | None:
        """Return the other label that has a path, if one does."""
        name = self.owners.get(path, label)
        if name == label:
            return None
        return Owner(
            label=name,
            entry=self.observed.ledger.tokens[name],
            spec=self.specs.get(name),
            signs=name == self.desired.manager,
        )

    def _holder(self, label: str, owner: Owner | None, path: str) -> str | None:
        """Return the other label whose token at a path may be written over."""
        content = self.observed.contents.get(path)
        had = owner.entry.current if owner is not None and owner.entry.is_at(path) else None
        if owner is not None and had is not None:
            in_place = content is None or content.token_id == had.token_id
            return owner.label if in_place else None
        holder = self.outgoing.get(content.token_id or "") if content is not None else None
        return holder if holder != label else None

    def successor_at(self, path: str, label: str) -> Current | None:
        """Return the token that a path's consumers get by now, or the label's own."""
        tokens = self.observed.ledger.tokens
        owner = tokens[self.owners.get(path, label)]
        return owner.current if owner.is_at(path) else tokens[label].current

    def copies_of(self, token_id: str) -> tuple[str, ...]:
        """Return the places that were left and hold a copy of a token's secret."""
        rows = self.observed.ledger.left
        return tuple(sorted(row.path for row in rows if row.token_id == token_id))

    def lies_at(self, path: str, token_id: str | None) -> bool:
        """Return whether consumers of a path find this token's secret, as observed."""
        content = self.observed.contents.get(path)
        if content is not None:
            return content.token_id == token_id
        there = (e.current for e in self.observed.ledger.tokens.values() if e.is_at(path))
        return any(current is not None and current.token_id == token_id for current in there)

    def copy_note(self, token_id: str, *own: str | None) -> str | None:
        """Tell at which path of ours a person put a token's secret, as observed.

        ``own`` are the paths where its label has it. The copies that we left ourselves
        are deleted before their token goes, and hold nothing up. None where nobody did.
        """
        ours = {*own, *self.copies_of(token_id)}
        path = min((p for p in self.found_at.get(token_id, ()) if p not in ours), default=None)
        return None if path is None else f"its secret lies at {self.observed.place}/{path}"

    def not_touched(self) -> tuple[NotTouched, ...]:
        """Return the twins, then the foreign tokens, each by label and id."""
        rows, lost_of = [], lost_in(self.observed.ledger)
        for token in self.observed.live:
            kind = self.kinds[token.token_id]
            if kind in {Kind.TWIN, Kind.FOREIGN}:
                lost = lost_of(token)
                row = NotTouched(
                    token_id=token.token_id,
                    label=token.label,
                    kind=kind,
                    probably_ours=lost is Lost.PROBABLY,
                    perhaps_ours=lost is Lost.PERHAPS,
                )
                rows.append(row)
        return tuple(
            sorted(rows, key=lambda r: (r.kind is Kind.FOREIGN, r.label or "", r.token_id))
        )

    def facts_of(self, label: str) -> Facts:
        """Gather what is known of a label; the type says which situation it is in."""
        spec = self.specs.get(label)
        observed = self.observed
        wanted = spec.path if spec is not None else ""
        entry = observed.ledger.tokens.get(label) or Entry(path=wanted)
        current, path = entry.current, entry.path
        if entry.intent is not None:
            path = entry.intent.path
        elif current is None and spec is not None:
            path = spec.path
        common: dict[str, Any] = {
            "setting": self.setting,
            "label": label,
            "entry": entry,
            "path": path,
            "meta": observed.meta(path),
            "content": observed.contents.get(path),
            "claimed": self.writers.get(path, label) != label,
        }
        live = self.live.get(current.token_id) if current is not None else None
        if spec is None:
            return (
                Facts(**common)
                if current is None
                else Unwanted(**common, current=current, live=live)
            )
        owner = self._owner(label, spec.path)
        common |= {
            "spec": spec,
            "passes_on": self.wanted_at.get(entry.path, label) != label,
            "target": observed.meta(spec.path),
            "target_content": observed.contents.get(spec.path),
            "owner": owner,
            "holder": self._holder(label, owner, spec.path),
            "twins": tuple(
                t for t in self.labelled.get(label, ()) if self.kinds[t.token_id] is Kind.TWIN
            ),
            "ready": ready_reserves(self.setting, spec, entry.reserve, self.live, observed.meta),
        }
        if current is None:
            return Wanted(**common)
        if live is None:
            return Recorded(**common, current=current)
        return Listed(**common, current=current, live=live)


def resolved_policy(policy: Policy, desired: Manifest, observed: Observed) -> Policy:
    """Return the policy with the labels that its selection's globs mean.

    Of a rotation that goes on only the labels that are left are requested.
    """
    labels = {spec.label for spec in desired.tokens} | observed.ledger.tokens.keys()
    requested, rotation = policy.requested, policy.rotation
    if rotation is not None:
        requested = left_of(observed.ledger, rotation, requested)
    selection = resolved(policy.selection, labels)
    return dataclasses.replace(policy, selection=selection, requested=requested)


def _by_label(live: Iterable[LiveToken]) -> dict[str | None, list[LiveToken]]:
    """Return the live tokens by label, each label's in the order of their ids."""
    found: dict[str | None, list[LiveToken]] = {}
    for token in sorted(live, key=lambda t: t.token_id):
        found.setdefault(token.label, []).append(token)
    return found


def _outgoing(tokens: Mapping[str, Entry]) -> Iterable[tuple[str, str]]:
    """Yield the ids that no path is kept for any more, each with its label."""
    for label, entry in tokens.items():
        yield from ((old.token_id, label) for old in entry.retiring)
        yield from ((old.token_id, label) for old in entry.revoking)
        if entry.current is not None and entry.current.displaced:
            yield entry.current.token_id, label


def owned_paths(tokens: Mapping[str, Entry]) -> Iterable[tuple[str, str]]:
    """Yield the paths that the ledger names, each with its label.

    Those of tokens on their way out come first, then those of current tokens, then open
    intents. In a dictionary the last one wins: whose a path is, not who is leaving it.
    """
    for label, entry in tokens.items():
        yield from ((old.path or entry.path, label) for old in entry.retiring)
        yield from ((old.path or entry.path, label) for old in entry.revoking)
    for label, entry in tokens.items():
        if entry.is_at(entry.path):
            yield entry.path, label
    for label, entry in tokens.items():
        if entry.intent is not None:
            yield entry.intent.path, label
