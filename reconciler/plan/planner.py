"""The planner: a pure function from what is desired and what was observed to an ordered tuple of changes.

    desired  ledger    live, Vault                                              change
    -------  --------  -------------------------------------------------------  ------------------------------------------
    yes      -         no token of the label, path empty                        derive (absent)
    yes      -         a twin lives, or the path is occupied                    hold (twin, occupied): a person decides
    yes      current   live, same scopes, young, secret in place                keep
    yes      current   live, other scopes or another path                       rotate (scopes_*, path_changed)
    yes      current   live, older than rotate_after                            rotate (due) or hold (budget)
    yes      current   live, secret not at the recorded version: its content is
                         the current token                                      record (version_moved)
                         a retiring one of this label                           hold (rolled_back): a person decides
                         anything else, an older version has the current token  restore (secret_moved)
                         anything else                                          rotate (secret_lost)
    yes      current   not live                                                 rotate (revoked_elsewhere)
    no       current   any                                                      revoke (not_desired), or hold (protected,
                                                                                in_use, file_missing)
    any      retiring  overlap not over, or still used, or successor unused     hold (overlap, still_used, successor_unused)
    any      retiring  none of that                                             revoke (superseded)
    any      revoking  any                                                      recover (revoking_left), a row for each id
    any      intent    any                                                      recover (intent_open), or hold (in_progress)
    -        -         twin, foreign                                            nothing; listed as not touched

Rules this module keeps:

1. Pure: desired, observed, policy and time in; a value out. The decisions themselves
   are in ``reasons``.
2. Sorted: the same state gives the same plan, whatever the order in the manifest or of
   the list.
3. The digest covers what would be done, what it would be done to, and the guards lifted
   for it; never the clock, holds, keeps or run ids.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.model import LiveToken, Manifest, TokenSpec, VersionState
from reconciler.plan.reasons import (
    CATEGORIES,
    LABEL_REASONS,
    NEEDS_DECISION,
    RETIRING_REASONS,
    Action,
    Category,
    Facts,
    Finding,
    Reason,
    RetiringFacts,
)
from reconciler.state import (
    Entry,
    Kind,
    Observed,
    classify,
    interrupted,
    lease_held_by,
    probably_ours,
)

FORMAT_VERSION = 1

MAX_REVOCATIONS = 3
MAX_ROTATIONS = 10
MAX_MISSING = 1

_RANK = {action: rank for rank, action in enumerate(Action)}
_IDLE = frozenset({Action.HOLD, Action.KEEP})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a run is limited to. Guards and recovery look at everything all the same."""

    targets: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    only: Category | None = None

    def admits(self, change: Change) -> bool:
        """Whether a row is within the selection."""
        if (
            change.action is Action.RECOVER
            or change.reason is Reason.IN_PROGRESS
            or self == EVERYTHING
        ):
            return True
        if self.targets and change.label not in self.targets:
            return False
        if change.label in self.excluded:
            return False
        return self.only is None or CATEGORIES[change.reason] is self.only


EVERYTHING = Selection()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the person at the command line allows or asks for; each guard has its own."""

    selection: Selection = EVERYTHING
    max_revocations: int = MAX_REVOCATIONS
    max_rotations: int = MAX_ROTATIONS
    max_missing: int = MAX_MISSING
    allow_empty: bool = False
    allow_missing_manager: bool = False
    allow_missing_files: bool = False
    revoke_in_use: bool = False
    replace: frozenset[str] = frozenset()
    requested: frozenset[str] = frozenset()
    compromised: bool = False

    def flags(self) -> tuple[str, ...]:
        """What differs from the defaults, as it is given at the command line; what is asked for by name is in the rows."""
        limits = (
            ("--max-revocations", self.max_revocations, MAX_REVOCATIONS),
            ("--max-rotations", self.max_rotations, MAX_ROTATIONS),
            ("--max-missing", self.max_missing, MAX_MISSING),
        )
        lifted = (
            ("--allow-empty", self.allow_empty),
            ("--allow-missing-manager", self.allow_missing_manager),
            ("--allow-missing-files", self.allow_missing_files),
            ("--revoke-in-use", self.revoke_in_use),
        )
        return (
            *(f"{name} {given}" for name, given, default in limits if given != default),
            *(name for name, given in lifted if given),
            *(f"--replace {label}" for label in sorted(self.replace)),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a change: the token as it is, or as it is to be.

    ``version`` is the version of the secret that was seen, ``overlap_ms`` how long the
    predecessor of the new token lives on. ``files`` are the manifest's, in the one row
    about these.
    """

    path: str
    token_id: str | None = None
    scopes: tuple[str, ...] = ()
    version: int | None = None
    protect: bool | None = None
    overlap_ms: int | None = None
    files: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row: what is done about a label, and why.

    ``note`` is for people and decides nothing.
    """

    label: str
    action: Action
    reason: Reason
    before: Side | None = None
    after: Side | None = None
    note: str = ""

    @property
    def acts(self) -> bool:
        """Whether apply would do anything about it."""
        return self.action not in _IDLE

    @property
    def needs_decision(self) -> bool:
        """Whether only a person can go on with it."""
        return self.action is Action.HOLD and self.reason in NEEDS_DECISION

    @property
    def derives(self) -> bool:
        """Whether an identity token is needed for it."""
        return self.action in {Action.DERIVE, Action.ROTATE}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotTouched:
    """A live token that is not ours to change."""

    token_id: str
    label: str | None
    kind: Kind
    probably_ours: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done, in order, and what would not.

    ``flags`` are the guards lifted for it, as they were given.
    """

    as_of_ms: int
    api_url: str
    ledger_id: str
    profile_id: int | None
    selection: Selection
    changes: tuple[Change, ...]
    not_touched: tuple[NotTouched, ...]
    foreign_unnamed: int = 0
    flags: tuple[str, ...] = ()

    @property
    def acting(self) -> tuple[Change, ...]:
        """The changes that apply would make."""
        return tuple(c for c in self.changes if c.acts)

    @property
    def decisions(self) -> tuple[Change, ...]:
        """The holds that wait for a person."""
        return tuple(c for c in self.changes if c.needs_decision)

    def counts(self) -> dict[Action, int]:
        """Rows by action, in the order of the actions; zeros are left out."""
        found = collections.Counter(change.action for change in self.changes)
        return {action: found[action] for action in Action if found[action]}

    def digest(self) -> str:
        """What an approval is bound to: sha256 over the canonical JSON, as ``sha256:<hex>``."""
        document = {
            "format_version": FORMAT_VERSION,
            "api_url": self.api_url,
            "ledger_id": self.ledger_id,
            "profile_id": self.profile_id,
            "selection": selection_plain(self.selection),
            "flags": list(self.flags),
            "changes": [digested(c) for c in self.acting],
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def selection_plain(selection: Selection) -> dict[str, Any]:
    """The selection as JSON."""
    return {
        "targets": sorted(selection.targets),
        "excluded": sorted(selection.excluded),
        "only": selection.only.value if selection.only is not None else None,
    }


def side_plain(side: Side | None) -> dict[str, Any] | None:
    """One side of a change as JSON."""
    if side is None:
        return None
    return {
        "path": side.path,
        "token_id": side.token_id,
        "scopes": list(side.scopes),
        "version": side.version,
        "protect": side.protect,
        "overlap_ms": side.overlap_ms,
        "files": list(side.files),
    }


def digested(change: Change) -> dict[str, Any]:
    """What the digest covers of a change."""
    return {
        "label": change.label,
        "action": change.action.value,
        "reason": change.reason.value,
        "before": side_plain(change.before),
        "after": side_plain(change.after),
    }


def row_key(change: Change) -> str:
    """What identifies an acting row in an approval: the canonical JSON of what the digest covers."""
    return json.dumps(digested(change), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plan(
    desired: Manifest,
    observed: Observed,
    *,
    now_ms: int,
    policy: Policy | None = None,
    run: str | None = None,
) -> Plan:
    """What to do so that the exchange and Vault become what the manifest says.

    ``now_ms`` is the time that ages are judged by (a saved plan's, or the exchange's
    clock); ``run`` is the asking run's id, whose own lease holds nobody up. Raises
    nothing: what is odd becomes a hold.
    """
    policy = policy or Policy()
    survey = _Survey(desired, observed, policy, now_ms, run)
    changes: list[Change] = [*survey.ledger_changes()]
    kept = survey.plainly_in_sync()
    for label in (survey.specs.keys() | observed.ledger.tokens.keys()) - kept:
        changes.extend(survey.changes_of(label))
    changes = _within_budget(changes, survey, policy.max_rotations)
    changes += [
        Change(label=label, action=Action.KEEP, reason=Reason.IN_SYNC) for label in sorted(kept)
    ]
    admitted = [c for c in changes if policy.selection.admits(c)]
    admitted.sort(key=lambda c: order(c, desired.manager))
    return Plan(
        as_of_ms=now_ms,
        api_url=observed.api_url,
        ledger_id=observed.ledger.ledger_id,
        profile_id=observed.ledger.profile_id,
        selection=policy.selection,
        changes=tuple(admitted),
        not_touched=survey.not_touched(),
        foreign_unnamed=observed.foreign_unnamed,
        flags=policy.flags(),
    )


def order(change: Change, manager: str) -> tuple[int, bool, str, str]:
    """The key by which rows stand in a plan, and in a report: repairs first, the manager last among its like."""
    before = change.before
    return (
        _RANK[change.action],
        change.label == manager,
        change.label,
        (before.token_id or "") if before is not None else "",
    )


def _within_budget(changes: list[Change], survey: _Survey, most: int) -> list[Change]:
    """At most ``most`` due rotations, oldest token first; the rest waits for another run."""
    due = [c for c in changes if c.reason is Reason.DUE and survey.policy.selection.admits(c)]
    if len(due) <= most:
        return changes
    due.sort(key=lambda c: (survey.born_ms(c.label), c.label))
    late = {c.label for c in due[most:]}
    return [
        dataclasses.replace(c, action=Action.HOLD, reason=Reason.BUDGET)
        if c.reason is Reason.DUE and c.label in late
        else c
        for c in changes
    ]


class _Survey:
    """The observed facts, sorted by label once, so that each label is decided in constant time."""

    def __init__(
        self, desired: Manifest, observed: Observed, policy: Policy, now_ms: int, run: str | None
    ) -> None:
        ledger = observed.ledger
        self.desired = desired
        self.observed = observed
        self.policy = policy
        self.now_ms = now_ms
        self.specs = {spec.label: spec for spec in desired.tokens}
        self.live = observed.live_by_id()
        self.kinds = classify(ledger, observed.live, frozenset(self.specs))
        self.twins: Mapping[str | None, tuple[LiveToken, ...]] = self._twins()
        self.owners = dict(owned_paths(ledger.tokens))
        self.other_run = lease_held_by(ledger, observed.now_ms, not_run=run)
        missing = frozenset(ledger.files) - frozenset(desired.files)
        self.files_missing = bool(missing) and not policy.allow_missing_files

    def _twins(self) -> dict[str | None, tuple[LiveToken, ...]]:
        twins: dict[str | None, list[LiveToken]] = collections.defaultdict(list)
        for token in self.observed.live:
            if self.kinds[token.token_id] is Kind.TWIN:
                twins[token.label].append(token)
        return {
            label: tuple(sorted(tokens, key=lambda t: t.token_id))
            for label, tokens in twins.items()
        }

    def born_ms(self, label: str) -> int:
        """When the label's current token was derived."""
        current = self.observed.ledger.tokens[label].current
        return current.created_at_ms if current is not None else 0

    def plainly_in_sync(self) -> frozenset[str]:
        """Labels about which no reason but ``in_sync`` has anything to say: a short way past the table, for large fleets.

        It may leave a label out, never take a wrong one in; a property test holds it to
        the table.
        """
        tokens, secrets, contents = (
            self.observed.ledger.tokens,
            self.observed.secrets,
            self.observed.contents,
        )
        live, requested, now_ms, living = (
            self.live,
            self.policy.requested,
            self.now_ms,
            VersionState.LIVING,
        )
        kept: list[str] = []
        for label, spec in self.specs.items():
            entry = tokens.get(label)
            if (
                entry is None
                or entry.intent is not None
                or entry.retiring
                or entry.revoking
                or entry.path != spec.path
            ):
                continue
            current = entry.current
            token = live.get(current.token_id) if current is not None else None
            meta = secrets.get(spec.path)
            if current is None or token is None or meta is None or token.scopes != spec.scopes:
                continue
            if (
                meta.latest != current.version
                or meta.state is not living
                or spec.path in contents
                or label in requested
            ):
                continue
            if (
                spec.rotate_after_ms is not None
                and now_ms - token.created_at_ms >= spec.rotate_after_ms
            ):
                continue
            if spec.protect is None or spec.protect == entry.protect:
                kept.append(label)
        return frozenset(kept)

    def not_touched(self) -> tuple[NotTouched, ...]:
        """Twins and foreign tokens: twins first, then by label and id."""
        rows = [
            NotTouched(
                token_id=token.token_id,
                label=token.label,
                kind=kind,
                probably_ours=kind is Kind.TWIN and probably_ours(token, self.observed.ledger),
            )
            for token in self.observed.live
            if (kind := self.kinds[token.token_id]) in {Kind.TWIN, Kind.FOREIGN}
        ]
        return tuple(
            sorted(rows, key=lambda r: (r.kind is Kind.FOREIGN, r.label or "", r.token_id))
        )

    def ledger_changes(self) -> Iterable[Change]:
        """Changes of the ledger that belong to no label."""
        files, known = frozenset(self.desired.files), frozenset(self.observed.ledger.files)
        if files != known and not self.files_missing:
            note = " ".join(
                [
                    *(f"+{f}" for f in sorted(files - known)),
                    *(f"-{f}" for f in sorted(known - files)),
                ]
            )
            before, after = (Side(path="", files=tuple(sorted(names))) for names in (known, files))
            yield Change(
                label="",
                action=Action.RECORD,
                reason=Reason.FILES,
                before=before,
                after=after,
                note=note,
            )

    def changes_of(self, label: str) -> Iterable[Change]:
        """The rows of a label: its own, its protection's, and one for each retiring predecessor."""
        spec = self.specs.get(label)
        entry = self.observed.ledger.tokens.get(label)
        finding = self._decide(self._facts(label, spec, entry))
        if finding.reason is not Reason.REVOKING_LEFT and (
            spec is not None or finding.action is not Action.KEEP
        ):
            yield self._change(label, spec, entry, finding)
        if entry is None:
            return
        if finding.action is Action.RECOVER:
            yield from self._revoking(label, entry)
        elif finding.reason is not Reason.IN_PROGRESS:
            yield from self._protection(label, spec, entry)
            yield from self._retiring(label, entry, leaving=finding.action is Action.REVOKE)

    def _decide(self, facts: Facts) -> Finding:
        for reason in LABEL_REASONS:
            finding = reason(facts)
            if finding is not None:
                return finding
        raise AssertionError("the last reason always answers")

    def _facts(self, label: str, spec: TokenSpec | None, entry: Entry | None) -> Facts:
        observed, policy = self.observed, self.policy
        current = entry.current if entry is not None else None
        wanted = spec.path if spec is not None else None
        if entry is not None and entry.intent is not None:
            path = entry.intent.path
        elif entry is not None and (current is not None or wanted is None):
            path = entry.path
        else:
            path = wanted or ""
        owner = self.owners.get(wanted) if wanted is not None else None
        asked = label in policy.requested
        return Facts(
            label=label,
            spec=spec,
            entry=entry,
            live=self.live.get(current.token_id) if current is not None else None,
            twins=self.twins.get(label, ()),
            meta=observed.meta(path),
            content=observed.contents.get(path),
            target=observed.meta(wanted) if wanted is not None else observed.meta(path),
            target_content=observed.contents.get(wanted) if wanted is not None else None,
            owner=owner if owner != label else None,
            now_ms=self.now_ms,
            signs=current is not None and current.token_id == observed.signer_id,
            other_run=self.other_run,
            files_missing=self.files_missing,
            revoke_in_use=policy.revoke_in_use,
            replace=label in policy.replace,
            requested=asked,
            compromised=asked and policy.compromised,
        )

    def _change(
        self, label: str, spec: TokenSpec | None, entry: Entry | None, finding: Finding
    ) -> Change:
        if finding.action is Action.KEEP:
            return Change(label=label, action=finding.action, reason=finding.reason)
        before, after = self._before(label, entry, finding), None
        if finding.reason is Reason.PLACEHOLDER_LEFT:
            held = entry is not None and (entry.current is not None or spec is None)
            before = Side(
                path=entry.path
                if entry is not None and held
                else spec.path
                if spec is not None
                else ""
            )
        if spec is not None and finding.action in {Action.DERIVE, Action.ROTATE}:
            after = Side(
                path=spec.path,
                scopes=spec.scopes,
                version=self.observed.meta(spec.path).latest,
                protect=spec.protect if entry is None else None,
                overlap_ms=spec.overlap_ms,
            )
        elif entry is not None and finding.action in {Action.RECORD, Action.RESTORE}:
            after = Side(path=entry.path, version=self.observed.meta(entry.path).latest)
        return Change(
            label=label,
            action=finding.action,
            reason=finding.reason,
            before=before,
            after=after,
            note=finding.note,
        )

    def _before(self, label: str, entry: Entry | None, finding: Finding) -> Side | None:
        if entry is None:
            return None
        if finding.reason is Reason.INTENT_OPEN and entry.intent is not None:
            found = interrupted(label, entry.intent, self.observed.ledger, self.observed.live)
            return Side(
                path=entry.intent.path,
                token_id=found,
                scopes=entry.intent.scopes,
                version=entry.intent.cas,
            )
        if entry.current is None:
            return None
        live = self.live.get(entry.current.token_id)
        return Side(
            path=entry.path,
            token_id=entry.current.token_id,
            scopes=live.scopes if live is not None else (),
            version=entry.current.version,
        )

    def _protection(self, label: str, spec: TokenSpec | None, entry: Entry) -> Iterable[Change]:
        if spec is None or spec.protect is None or spec.protect == entry.protect:
            return
        yield Change(
            label=label,
            action=Action.RECORD,
            reason=Reason.PROTECT_ON if spec.protect else Reason.PROTECT_OFF,
            before=Side(path=entry.path, protect=entry.protect),
            after=Side(path=entry.path, protect=spec.protect),
        )

    def _revoking(self, label: str, entry: Entry) -> Iterable[Change]:
        """A row for each id that is to go whatever happens: an approval names them all."""
        for revoking in entry.revoking:
            before = Side(path=revoking.path or entry.path, token_id=revoking.token_id)
            yield Change(
                label=label, action=Action.RECOVER, reason=Reason.REVOKING_LEFT, before=before
            )

    def _retiring(self, label: str, entry: Entry, *, leaving: bool) -> Iterable[Change]:
        current = entry.current
        for retiring in entry.retiring:
            facts = RetiringFacts(
                entry=entry,
                retiring=retiring,
                live=self.live.get(retiring.token_id),
                content=self.observed.contents.get(entry.path),
                successor=self.live.get(current.token_id) if current is not None else None,
                signs=retiring.token_id == self.observed.signer_id,
                manager=label == self.desired.manager,
                leaving=leaving,
                now_ms=self.now_ms,
            )
            finding = next(
                found for reason in RETIRING_REASONS if (found := reason(facts)) is not None
            )
            live = facts.live
            yield Change(
                label=label,
                action=finding.action,
                reason=finding.reason,
                before=Side(
                    path=retiring.path or entry.path,
                    token_id=retiring.token_id,
                    scopes=live.scopes if live is not None else (),
                ),
                note=finding.note,
            )


def owned_paths(tokens: Mapping[str, Entry]) -> Iterable[tuple[str, str]]:
    """Paths that the ledger names, with their label: of what is on its way out, then of current tokens and open intents.

    In a dictionary the last one wins: whose a path is, not who is leaving it.
    """
    for label, entry in tokens.items():
        for path in (*(r.path for r in entry.retiring), *(r.path for r in entry.revoking)):
            if path is not None:
                yield path, label
    for label, entry in tokens.items():
        if not entry.idle:
            yield entry.path, label
        if entry.intent is not None:
            yield entry.intent.path, label
