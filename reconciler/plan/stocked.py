"""The reserve of a label: which successors are ready, how many are short, which go.

A rotation takes the oldest reserve that is ready (``with_reserve``), whatever asked for
it: then it needs no identity token. Scopes that change, and a new name, need a new
token. A reserve is

    unless                                              ready; else
    --------------------------------------------------  ------------------------------
    --distrust-reserve names its label                  revoke compromised
    asked for by its id, as compromised                 revoke compromised
    its label left the manifest                         revoke reserve_unfit
    it was asked for with other scopes, or by a former  revoke reserve_unfit
    label, or the exchange lists it with others
    it is older than ``reserve_age``                    revoke reserve_aged, after its
                                                        replacement was stocked; hold
                                                        where this run stocks none
    its document is not as we wrote it                  revoke reserve_lost
    the exchange does not list it                       revoke reserve_lost
    it is one more than the manifest wants              revoke reserve_surplus
    somebody used it: later than ours, by the doubt     hold reserve_used

What goes, goes by evidence. It is held instead, by the first line that fits:

    it signs the lists, in place of the manager's       hold signs
    its secret lies at the label's path, or at the      hold reserve_used
    path of another label of ours
    somebody used it                                    hold reserve_used
    it is not listed, and can't be asked                hold missing
    uses prove nothing within the overlap               hold unproven
    it is not fresh, so somebody may have read it, or   hold overlap
    a use is shown that is later than ours, if only
    within the doubt; and its overlap since that use,
    or since our last one, is not over

Where the exchange granted other scopes than were asked for, what is short is held; so
it is where a derive was seen to end another token (``capped``).

A promoted reserve's document is deleted (``recover reserve_left``). A reserve whose
secret a person wrote to the label's path is recorded there (``record reserve_used``);
where what lies there does not sign, it is as good as anything else that is not ours.

The rules are those of ``reasons``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.model import LiveToken, iso
from reconciler.plan.change import Change, Side
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Facts, Finding, Listed, Recorded, Wanted
from reconciler.plan.lasts import RESTOCK_MS, lasts_until_ms
from reconciler.plan.ready import is_compromised, is_used, unfit, used_note
from reconciler.plan.setting import DEFAULT_OVERLAP_MS
from reconciler.plan.tasks import (
    Evidence,
    NewToken,
    Promote,
    RecordInPlace,
    RemoveLeftover,
    RevokeReserve,
)
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import RESERVE_FOLDER, Entry, Reserve, leftovers, never_used

FROM_THE_RESERVE = "from the reserve"

_NEEDS_NEW = frozenset(
    {
        Reason.SCOPES_WIDENED,
        Reason.SCOPES_NARROWED,
        Reason.SCOPES_CHANGED,
        Reason.RENAMED,
    }
)
"""Reasons for which a reserve is no answer: what it is called, or may do, is old."""

_STOCKS_BESIDE = frozenset(
    {
        Action.DERIVE,
        Action.ROTATE,
        Action.PROMOTE,
        Action.RECORD,
        Action.RESTORE,
        Action.REWRITE,
        Action.KEEP,
    }
)
"""What may go on at a label while its reserve is stocked."""

_STOCKS_WHILE_HELD = frozenset(
    {
        Reason.BUDGET,
        Reason.PILED_UP,
        Reason.WINDOW,
        Reason.HOLD_UNTIL,
        Reason.HOLD_BROKEN,
    }
)
"""Holds that wait for their time only."""


def with_reserve(facts: Facts, finding: Finding) -> Finding:
    """Return the finding, which takes a reserve where one is ready."""
    replaces = finding.action in {Action.DERIVE, Action.ROTATE}
    if not replaces or not isinstance(facts, Wanted) or not facts.ready:
        return finding
    if finding.reason in _NEEDS_NEW:
        return finding
    note = f"{finding.note}, {FROM_THE_RESERVE}" if finding.note else FROM_THE_RESERVE
    return Finding(Action.PROMOTE, finding.reason, note)


def reserve_rows(context: PlanContext, facts: Facts, own: Change) -> Iterable[Change]:
    """Make the rows about a label's reserve, beside the label's own row."""
    spec = facts.spec if isinstance(facts, Wanted) else None
    ready = facts.ready if isinstance(facts, Wanted) else ()
    taken = (own.task.kept,) if isinstance(own.task, (Promote, RecordInPlace)) else ()
    left = tuple(kept for kept in ready if kept not in taken)
    wanted = spec.reserve if spec is not None else 0
    surplus = left[: max(0, len(left) - wanted)]
    stocked: list[Change] = []
    if isinstance(facts, Wanted) and _may_stock(own):
        numbers = range(len(left) + 1, facts.spec.reserve + 1)
        stocked = [_stock_row(context, facts, nth) for nth in numbers]
    yield from stocked
    stocks = bool(stocked) and all(c.acts and context.is_to_be_done(c) for c in stocked)
    for kept in facts.entry.reserve:
        if kept in taken or (kept in left and kept not in surplus):
            continue
        row = _end_row(context, facts, kept, own, surplus=kept in surplus)
        if row is not None and row.reason is Reason.RESERVE_AGED and len(left) < wanted:
            row = _behind(row) if stocks else replace(row, action=Action.HOLD, task=None)
        if row is not None:
            yield row


def leftover_rows(context: PlanContext) -> Iterable[Change]:
    """Make a row for each document that a promoted reserve has left behind.

    None unless the token is current and lies at its path. Otherwise the document is
    perhaps the only copy, and the label's own row comes first; that of a token which
    retires goes with it (``Revoking.copies``).
    """
    for label, left in leftovers(context.observed.ledger):
        entry = context.observed.ledger.tokens[label]
        if entry.intent is not None and context.setting.other_run is not None:
            continue
        current = entry.current is not None and entry.current.token_id == left.token_id
        if not current or not context.lies_at(entry.path, left.token_id):
            continue
        yield Change(
            label=label,
            action=Action.RECOVER,
            reason=Reason.RESERVE_LEFT,
            before=Side(path=RESERVE_FOLDER, token_id=left.token_id),
            task=RemoveLeftover(entry=entry, path=left.path, token_id=left.token_id),
        )


def _behind(row: Change) -> Change:
    """Return the row of a reserve that goes once its replacement was stocked."""
    if not isinstance(row.task, RevokeReserve):
        return row
    return replace(row, task=replace(row.task, after_stock=True))


def _may_stock(own: Change) -> bool:
    held = own.action is Action.HOLD and own.reason in _STOCKS_WHILE_HELD
    return held or own.action in _STOCKS_BESIDE


def _stock_row(context: PlanContext, facts: Wanted, nth: int) -> Change:
    setting, spec = facts.setting, facts.spec
    refused = setting.granted.get(frozenset(spec.scopes))
    if refused is not None and not setting.policy.retry_scopes:
        return Change(
            label=facts.label,
            action=Action.HOLD,
            reason=Reason.RESERVE_SHORT,
            note=(
                f"number {nth} of {spec.reserve}; "
                "the exchange granted other scopes (--retry-scopes)"
            ),
        )
    return Change(
        label=facts.label,
        action=Action.STOCK,
        reason=Reason.RESERVE_ENDS if _ends_soon(facts) else Reason.RESERVE_SHORT,
        after=Side(path=RESERVE_FOLDER, scopes=spec.scopes, nth=nth),
        note=f"number {nth} of {spec.reserve}",
        task=NewToken(
            spec=spec,
            seen=context.observed.meta("").version_id,
            entry=Entry(path=spec.path),
            listed=context.listed,
            stocks=True,
        ),
    )


def _ends_soon(facts: Facts) -> bool:
    """Whether a rotation of the label needs a person within three weeks."""
    if not isinstance(facts, Recorded):
        return False
    created_ms = facts.live.created_at_ms if isinstance(facts, Listed) else 0
    created_ms = created_ms or facts.current.created_at_ms
    now_ms = facts.setting.now_ms
    ends_ms = lasts_until_ms(facts.spec, facts.current, created_ms, facts.ready, now_ms=now_ms)
    return ends_ms is not None and ends_ms - now_ms <= RESTOCK_MS


def _end_row(
    context: PlanContext, facts: Facts, kept: Reserve, own: Change, *, surplus: bool
) -> Change | None:
    """Make the row of a reserve that is not, or no more, for use."""
    live = context.live.get(kept.token_id)
    finding = _why_it_goes(context, facts, kept, own, surplus=surplus)
    if finding is None:
        return None
    if finding.action is Action.REVOKE and kept.token_id == facts.setting.signer_id:
        finding = Finding(Action.HOLD, Reason.SIGNS)
    if finding.action is Action.REVOKE and finding.reason is not Reason.COMPROMISED:
        finding = _held(context, facts, kept, live) or finding
    task = RevokeReserve(
        kept=kept,
        path=facts.entry.path,
        evidence=Evidence(live=live, at_ms=context.observed.now_ms),
        outcome="compromised" if finding.reason is Reason.COMPROMISED else "not desired",
    )
    scopes = live.scopes if live is not None else ()
    return Change(
        label=facts.label,
        action=finding.action,
        reason=finding.reason,
        before=Side(path=RESERVE_FOLDER, token_id=kept.token_id, scopes=scopes),
        note=finding.note,
        task=task if finding.action is Action.REVOKE else None,
    )


def _why_it_goes(
    context: PlanContext, facts: Facts, kept: Reserve, own: Change, *, surplus: bool
) -> Finding | None:
    if isinstance(facts, Wanted):
        if surplus:
            return Finding(Action.REVOKE, Reason.RESERVE_SURPLUS)
        live, meta = context.live.get(kept.token_id), context.observed.meta(kept.path)
        return unfit(facts.setting, facts.spec, kept, live, meta)
    if is_compromised(facts.setting, facts.label, kept):
        return Finding(Action.REVOKE, Reason.COMPROMISED)
    current = facts.entry.current
    gone = current is None or current.left_ms is not None
    goes = own.action in {Action.RETIRE, Action.REVOKE} and context.is_to_be_done(own)
    if facts.entry.protect or facts.setting.files_missing or not (gone or goes):
        return None
    return Finding(Action.REVOKE, Reason.RESERVE_UNFIT, "its label is not in the manifest")


def _held(
    context: PlanContext, facts: Facts, kept: Reserve, live: LiveToken | None
) -> Finding | None:
    """Return why a reserve that is to go stays for now."""
    setting, now_ms = facts.setting, facts.setting.now_ms
    if any(context.lies_at(path, kept.token_id) for path in {facts.path, facts.entry.path}):
        note = "its secret lies at the label's path"
        if not isinstance(facts, Wanted):  # nobody can adopt it
            note += ": delete it there, or `reconciler release` the label"
        return Finding(Action.HOLD, Reason.RESERVE_USED, note)
    copied = context.copy_note(kept.token_id)
    if copied is not None:
        return Finding(Action.HOLD, Reason.RESERVE_USED, copied)
    if live is None:
        since_ms = kept.missing_since_ms
        return None if since_ms is None else _missing(since_ms)
    if is_used(setting, kept, live):
        return Finding(Action.HOLD, Reason.RESERVE_USED, used_note(live))
    overlap_ms = facts.spec.overlap_ms if isinstance(facts, Wanted) else facts.entry.overlap_ms
    overlap_ms = DEFAULT_OVERLAP_MS if overlap_ms is None else overlap_ms
    doubt_ms = setting.doubt_within(overlap_ms)
    if doubt_ms is None:
        return Finding(Action.HOLD, Reason.UNPROVEN, setting.doubt_text)
    last_ms = max(kept.ours_until_ms, live.last_used_at_ms or 0)
    ends_ms = last_ms + overlap_ms + doubt_ms
    if not never_used(kept, live) and now_ms < ends_ms:
        return Finding(Action.HOLD, Reason.OVERLAP, f"until {iso(ends_ms)}")
    return None


def _missing(since_ms: int) -> Finding:
    return Finding(Action.HOLD, Reason.MISSING, f"since {iso(since_ms)}")
