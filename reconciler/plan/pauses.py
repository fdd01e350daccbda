"""Whether a rotation may start now: windows, and holds of the manifest.

    the row of a label would                 outside its windows  before its hold_until
    ---------------------------------------  -------------------  ----------------------
    rotate, as it is due by age              hold window          hold hold_until
    rotate for another reason: scopes, path  rotate               hold hold_until
    or name differ, its token is gone, its
    secret is lost, a person asked for it
    rotate, asked for as compromised         rotate               rotate
    derive the label's first token           derive               derive
    recover, rename, record, restore,        the same             the same
    rewrite, retire, revoke
    hold, as the path that it is to have     the same             the same
    is not free (``places``)

Rotations from the reserve are rotations. A reserve is stocked all the same: what is
stocked changes nothing for consumers.

A label whose token is gone is not mended while it is held: somebody may have revoked it
for the very reason of the hold. The row is ``hold_broken`` then, and where the secret
is lost, or does not sign: nobody has a working token, and time does not mend that. A
path that the label still has is not taken over meanwhile (``places``). A rotation that
is held hides no row about the secret that consumers have meanwhile: one that can be put
right is (``stored``), and where the rotation is by age, so are its further names. The
same for what waits for its path, unless another label is to have the present one.

Rules this module keeps:

1. A window is asked at the time of the plan. One that was saved is asked once more when
   it is applied, by the clock (``still_open``); its digest stays what was approved.
2. A hold begins with the manifest that says it, and is over at 00:00 UTC of its day.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import Manifest, TokenSpec, iso
from reconciler.plan.change import Change, Plan
from reconciler.plan.due import fields_differ
from reconciler.plan.facts import Facts, Finding, Listed, Recorded, Wanted
from reconciler.plan.setting import Setting
from reconciler.plan.stored import put_right
from reconciler.plan.vocabulary import SENTENCES, Action, Reason
from reconciler.plan.windows import is_open, opens_at_ms

_ROTATES = frozenset({Action.ROTATE, Action.PROMOTE})
_PATH_NOT_FREE = frozenset({Reason.OCCUPIED, Reason.PATH_TAKEN, Reason.WAITS_FOR})


def paused(facts: Facts, finding: Finding) -> Finding:
    """Return what was found of a label, or a hold where it may not be rotated now."""
    if finding.reason in _PATH_NOT_FREE and isinstance(facts, Listed) and not facts.passes_on:
        right = put_right(facts)
        return finding if right is None or right.action is Action.HOLD else right
    if finding.action is not Action.ROTATE or not isinstance(facts, Wanted):
        return finding
    spec, now_ms = facts.spec, facts.setting.now_ms
    held = None
    if is_held(spec, facts.setting):
        note = f"{hold_text(spec)}; what waits: {SENTENCES[finding.reason].partition(':')[0]}"
        held = Finding(Action.HOLD, _why_held(facts), note)
    elif finding.reason is Reason.DUE and not is_open(spec.windows, now_ms):
        held = Finding(Action.HOLD, Reason.WINDOW, _opens(spec, now_ms))
    if held is None or not isinstance(facts, Listed):
        return held or finding
    if finding.reason is Reason.DUE:
        return fields_differ(facts) or held
    return put_right(facts) or held


def _why_held(facts: Wanted) -> Reason:
    """Return the reason of a hold: whether consumers have a working token meanwhile."""
    if not isinstance(facts, Recorded):
        return Reason.HOLD_UNTIL
    current = facts.current
    signs = isinstance(facts, Listed) and not current.displaced and not current.unsigned
    works = signs and current.is_in_place(facts.meta)
    return Reason.HOLD_UNTIL if works else Reason.HOLD_BROKEN


def is_held(spec: TokenSpec, setting: Setting) -> bool:
    """Return whether a label is not rotated now because of its ``hold_until``."""
    if spec.hold_until_ms is None or setting.now_ms >= spec.hold_until_ms:
        return False
    policy = setting.policy
    return not (policy.compromised and spec.label in policy.requested)


def hold_text(spec: TokenSpec) -> str:
    """Return until when a label is held, why, and whom to ask."""
    day = iso(spec.hold_until_ms or 0)[: len("2027-01-15")]
    asked = f", ask {spec.owner}" if spec.owner else ""
    return f"until {day}, {spec.hold_reason}{asked}"


def _opens(spec: TokenSpec, now_ms: int) -> str:
    at_ms = opens_at_ms(spec.windows, now_ms)
    return f"opens {iso(at_ms)}" if at_ms is not None else "does not open within two weeks"


def still_open(approved: Plan, desired: Manifest, now_ms: int) -> Plan:
    """Return the plan with holds in place of rotations whose window is shut by now.

    A reserve is not stocked in place of one that such a rotation would have taken.
    """
    shut = {s.label: s for s in desired.tokens if not is_open(s.windows, now_ms)}
    held = {
        c.label
        for c in approved.changes
        if c.label in shut and c.action in _ROTATES and c.reason is Reason.DUE
    }
    if not held:
        return approved
    changes = (
        _held_back(c, shut[c.label], now_ms) if c.label in held else c for c in approved.changes
    )
    return dataclasses.replace(approved, changes=tuple(changes))


def _held_back(change: Change, spec: TokenSpec, now_ms: int) -> Change:
    rotates = change.action in _ROTATES and change.reason is Reason.DUE
    if not rotates and not change.stocks:
        return change
    return dataclasses.replace(
        change,
        action=Action.HOLD,
        reason=Reason.WINDOW if rotates else change.reason,
        note=_opens(spec, now_ms) if rotates else change.note,
        kept_fields=(),
        lost_fields=(),
        task=None,
    )
