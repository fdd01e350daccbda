"""The planner: a pure function from what is desired and observed to an ordered plan.

A label has at most one row of its own, by the first line that fits:

    desired  ledger    exchange and Vault                       row
    -------  --------  ---------------------------------------  ----------------------
    any      intent    another run holds the lease              hold in_progress
    any      intent    no other run holds it                    recover intent_open
    any      revoking  its DELETE was not answered yet          (see below)
    any      other     an empty document at the path            recover placeholder_left
    no       none      any                                      no row
    no       current   a file of the manifest is missing        hold file_missing
    no       current   any, and the label is protected          hold protected
    no       current   it is the token that signs               hold signs
    no       current   neither it nor its secret is found       hold missing
    no       current   it was not recorded that the label left  retire not_desired
    no       current   it was, and the overlap is not over      hold leaving
    no       current   uses prove nothing within its overlap    hold unproven
    no       current   perhaps used within its overlap          hold in_use
    no       current   its secret is deleted, and a use from    hold leaving
                       before that may not be shown yet
    no       current   none of that                             revoke left
    no       current   the same, without an overlap             revoke not_desired
    yes      any       a write for its former label is open     hold name_waits
    yes      some      its former label has an entry as well    hold name_taken
    yes      none      its former label has an entry            rename name_changed
    yes      current   it was recorded that the label left      record returned
    yes      none      the wanted path holds something foreign  hold occupied
    yes      none      it is another label's, which stays       hold path_taken
    yes      none      it is another label's, which is first    hold waits_for
    yes      none      a twin lives                             hold twin
    yes      none      what is written there ends by itself     hold ends_by_itself
    yes      none      none of that                             derive absent
    yes      current   another path is wanted, and occupied     (the same three)
    yes      current   not listed, and an unknown newer one is  hold ledger_restored
    yes      current   not listed, and the path ends by itself  hold ends_by_itself
    yes      current   the exchange does not list it            rotate revoked_elsewhere
    yes      current   asked for as compromised                 rotate compromised
    yes      current   the secret is a predecessor's            hold rolled_back
    yes      current   what is written there ends by itself     hold ends_by_itself
    yes      current   the token has other scopes               rotate scopes_*
    yes      current   another path is wanted                   rotate path_changed
    yes      current   another label has its path now           rotate secret_lost
    yes      current   asked for by its former label            rotate renamed
    yes      current   asked for                                rotate requested
    yes      current   a run may delete its version, which      restore returned
                       was announced before the label returned
    yes      current   its version ends, a new one would stay   restore will_end
    yes      current   the secret moved, and can't be read      hold unread
    yes      current   its secret, at another version           record version_moved
    yes      current   its secret is an older version           restore secret_moved
    yes      current   its secret is in no version              rotate secret_lost
    yes      current   due by its age                           rotate due
    yes      current   the same, three predecessors live        hold piled_up
    yes      current   the same, beyond --max-rotations         hold budget
    yes      current   it carries other further names           rewrite fields
    yes      current   none of that                             keep in_sync
    yes      current   it would rotate, not as compromised, and hold hold_until
                       the manifest holds it
    yes      current   the same, or it waits for another path,  restore, record
                       and its secret can be put right
                       meanwhile
    yes      current   the same, and it is not listed, or its   hold hold_broken
                       secret is not in place, or not working
    yes      current   it would rotate as due, and no window of hold window
                       it is open
    yes      any       it would derive or rotate, and the       hold scopes_granted
                       exchange granted other scopes before

A token that the exchange does not list has no overlap, nor has one that --revoke-now
names. Where one label has the path that another one is to have, ``places`` says which
of them waits. The flag of a guard lifts its hold: --allow-missing-files,
--revoke-in-use, --retry-scopes, and --replace for occupied (unless the path belongs to
another label) and twin.

Further rows:

    a revoking token, unless its label is in_progress:
        its DELETE was answered less than an hour ago, and the
        exchange lists it                                       hold still_listed
        otherwise                                               recover revoking_left
    a token that we revoked, and that is listed an hour later   recover revoked_lives
    another protection is wanted than remembered                record protect_on, _off
    a retiring token, by the first line that fits:
        asked for by its id, as compromised, and neither at its
        path, nor the one that signs, nor missing               revoke compromised
        its overlap is not over                                 hold overlap
        its secret lies there again, and there is a current one hold rolled_back
        it is the token that signs                              hold signs
        the exchange does not list it, its secret is lost       hold missing
        the exchange does not list it                           revoke superseded
        uses prove nothing within its overlap                   hold unproven
        perhaps used within its overlap, the doubt included     hold still_used
        its secret is deleted at a path that nobody owns, and
        a use from before that may not be shown yet             hold overlap
        never used, or the manager's, or its successor is used,
        or the label is gone, or goes in this very run          revoke superseded
        none of that                                            hold successor_unused
    the manifest's files differ from those remembered           record files

A label goes in this very run where its row to revoke is within the selection
and, if a plan was approved, in that plan. Otherwise its predecessors are judged as if
it stayed. What rests on another row is decided by that row as it stands in the end:
held back by the budget, or behind a label that takes its path over in a later run
(``places``).

The former label of a row of the first three kinds (``names``) has no row, but for one
about a write that is open. What else there is to do about a label that is renamed is
planned right after.

A label that is in progress or recovered has no rows about protection and retiring
tokens; one that is rotated as compromised has none about the latter, as they go with
its own row. A revoking token whose DELETE was answered holds nothing else up. Twins and
foreign tokens have no row: the plan lists them as not touched.

Rules this module keeps:

1. Pure: desired, observed, policy and time in; a value out. The decisions themselves
   are in ``reasons`` and ``predecessors``.
2. Sorted: the same state gives the same plan, whatever the order in the manifest or of
   the list.
3. Gather once: each label is decided in constant time, and its row carries all that
   applying it needs (``tasks``, which ``sides`` and ``further`` fill in).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from reconciler.model import Manifest
from reconciler.plan.beside import beside
from reconciler.plan.capped import within_room
from reconciler.plan.change import Change, Plan, Side, order
from reconciler.plan.context import PlanContext, resolved_policy
from reconciler.plan.due import fields_differ
from reconciler.plan.facts import Facts, Finding, Listed, Unwanted, Wanted
from reconciler.plan.further import protection_row, retiring_rows
from reconciler.plan.granted import deriving
from reconciler.plan.guards import Policy
from reconciler.plan.names import name_row
from reconciler.plan.places import Takers, behind, takers_of, written_over
from reconciler.plan.reasons import finding_of
from reconciler.plan.revocations import again_rows, revoking_rows
from reconciler.plan.sides import sides_of
from reconciler.plan.stocked import leftover_rows, reserve_rows
from reconciler.plan.tasks import NewToken, Promote, RecordFiles
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Observed


def plan(
    desired: Manifest,
    observed: Observed,
    *,
    now_ms: int,
    policy: Policy | None = None,
    run: str | None = None,
) -> Plan:
    """Return what to do so that exchange and Vault become what the manifest says.

    ``now_ms`` is the time that ages are judged by: a saved plan's, or the exchange's
    clock. ``run`` is the asking run's id, whose own lease holds nothing up. Raises
    nothing: what is odd becomes a hold.
    """
    policy = resolved_policy(policy or Policy(), desired, observed)
    context = PlanContext(desired, observed, policy, now_ms, run)
    labels = (context.specs.keys() | observed.ledger.tokens.keys()) - context.renamed()
    facts = {label: context.facts_of(label) for label in labels}
    own = _own_rows(context, facts)
    takers = takers_of(context, own)
    changes = [*_files_row(context), *again_rows(context), *leftover_rows(context)]
    for label, known in facts.items():
        changes.extend(_rows_of(context, known, behind(own[label], takers, context), takers))
    for label in context.renamed():
        changes.extend(_rows_of_renaming(context, label))
    admitted = [c for c in changes if policy.selection.admits(c)]
    changes = within_room(_ordered(admitted, desired), context)
    return Plan(
        as_of_ms=now_ms,
        api_url=observed.api_url,
        ledger_id=observed.ledger.ledger_id,
        profile_id=observed.ledger.profile_id,
        selection=policy.selection,
        changes=tuple(_ordered(changes, desired)),
        not_touched=context.not_touched(),
        foreign_unnamed=observed.foreign_unnamed,
        flags=policy.flags(),
    )


def _ordered(changes: Iterable[Change], desired: Manifest) -> list[Change]:
    return sorted(changes, key=lambda c: order(c, desired.manager))


def _own_rows(context: PlanContext, facts: Mapping[str, Facts]) -> dict[str, Change]:
    """Return each label's own row; due rotations are within the budget."""
    own = {
        label: _own_row(context, known, _not_copied(context, known, deriving(known)))
        for label, known in facts.items()
    }
    for change in _beyond_budget(context, own.values()):
        own[change.label] = _waits_for_budget(context, facts[change.label], change)
    return own


def _beyond_budget(context: PlanContext, own: Iterable[Change]) -> list[Change]:
    """Return the due rotations beyond ``--max-rotations``: those of younger tokens."""
    policy = context.setting.policy
    due = [c for c in own if c.reason is Reason.DUE and policy.selection.admits(c)]
    due.sort(key=lambda c: (context.born_ms(c.label), c.label))
    return due[policy.max_rotations :]


def _waits_for_budget(context: PlanContext, facts: Facts, change: Change) -> Change:
    """Return the row of a label whose rotation has to wait; its fields need not."""
    finding = fields_differ(facts) if isinstance(facts, Listed) else None
    if finding is not None:
        return _own_row(context, facts, finding)
    return dataclasses.replace(
        change,
        action=Action.HOLD,
        reason=Reason.BUDGET,
        kept_fields=(),
        lost_fields=(),
        task=None,
    )


def _files_row(context: PlanContext) -> Iterable[Change]:
    """Make the row about the manifest's files, if the ledger remembers other ones."""
    files, known = frozenset(context.desired.files), frozenset(context.observed.ledger.files)
    missing = context.setting.files_missing
    if missing:
        note = ", ".join(missing)
        yield Change(label="", action=Action.HOLD, reason=Reason.FILE_MISSING, note=note)
    if files == known or missing:
        return
    gained, lost = sorted(files - known), sorted(known - files)
    yield Change(
        label="",
        action=Action.RECORD,
        reason=Reason.FILES,
        before=Side(path="", files=tuple(sorted(known))),
        after=Side(path="", files=tuple(sorted(files))),
        note=" ".join([*(f"+{f}" for f in gained), *(f"-{f}" for f in lost)]),
        task=RecordFiles(files=context.desired.files),
    )


def _rows_of(context: PlanContext, facts: Facts, own: Change, takers: Takers) -> Iterable[Change]:
    """Make the rows of a label: its own, its protection's, and its predecessors'."""
    spec = context.specs.get(facts.label)
    if own.reason is not Reason.REVOKING_LEFT and (
        spec is not None or own.action is not Action.KEEP
    ):
        yield own
    if own.reason is Reason.IN_PROGRESS:
        return
    yield from revoking_rows(context, facts)
    if own.action is Action.RECOVER:
        return
    yield from protection_row(context, facts, spec)
    if not _ends_all(context, own):
        goes = own.action is Action.REVOKE and context.is_to_be_done(own)
        gone = spec is None and facts.entry.current is None
        for row in retiring_rows(context, facts, leaving=goes or gone):
            yield behind(row, takers, context)
    yield from reserve_rows(context, facts, own)


def _not_copied(context: PlanContext, facts: Facts, finding: Finding) -> Finding:
    """Hold a token that left, while a person's copy of it lies at a path of ours."""
    if finding.action is not Action.REVOKE or not isinstance(facts, Unwanted):
        return finding
    copied = context.copy_note(facts.current.token_id, facts.entry.path)
    if copied is None or facts.live is None or facts.setting.policy.revoke_in_use:
        return finding
    return Finding(Action.HOLD, Reason.IN_USE, copied)


def _rows_of_renaming(context: PlanContext, label: str) -> Iterable[Change]:
    """Make the rows of a label of a renaming: the renaming itself, under its new name.

    Where that is held, what was begun is finished, however long a person takes to
    decide about two entries that can't be one. Nothing else is done. An entry that is
    renamed in this run has no other row.
    """
    known, renames = context.observed.ledger.tokens, context.renames
    if label in renames:
        yield name_row(context, label)
    if label not in known:
        return
    is_free = label not in renames and all(
        new not in known for new, was in renames.items() if was == label
    )
    if is_free and known[label].intent is None:
        return
    facts = context.facts_of(label)
    finding = finding_of(facts)
    begun = finding.action is Action.RECOVER and finding.reason is not Reason.REVOKING_LEFT
    if begun or finding.reason is Reason.IN_PROGRESS:
        yield _own_row(context, facts, finding)
    if finding.reason is not Reason.IN_PROGRESS:
        yield from revoking_rows(context, facts)


def _ends_all(context: PlanContext, own: Change) -> bool:
    """Return whether the label's own row revokes its predecessors as well."""
    policy = context.setting.policy
    return own.replaces and policy.compromised and own.label in policy.requested


def _own_row(context: PlanContext, facts: Facts, finding: Finding) -> Change:
    before, after, task = sides_of(context, facts, finding)
    notes = [finding.note]
    if isinstance(task, (NewToken, Promote)) and isinstance(facts, Wanted):
        notes.append(written_over(facts))
    kept, lost = beside(facts, finding.action)
    return Change(
        label=facts.label,
        action=finding.action,
        reason=finding.reason,
        before=before,
        after=after,
        note="; ".join(filter(None, notes)),
        kept_fields=kept,
        lost_fields=lost,
        task=task,
    )
