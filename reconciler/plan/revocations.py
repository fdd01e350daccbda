"""Rows about tokens whose revocation is not proven by a list yet.

the ledger has it as  DELETE answered  the exchange lists it  row
--------------------  ---------------  ---------------------  ------------------
revoking              no               any                    recover: DELETE
revoking              yes              no                     recover: a list
                                                              confirms it
revoking              within the hour  yes                    hold still_listed
revoking              before that      yes                    recover: DELETE
revoked               yes              within the hour        none: the list lags
revoked               yes              after that             recover: revoking
                                                              once more, DELETE
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model import HOUR_MS, iso
from reconciler.plan.change import Change, Side
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Facts
from reconciler.plan.tasks import FinishRevoking, RevokeAgain
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import told_path

ASK_AGAIN_MS = HOUR_MS
"""A revocation that no list confirms is asked for again at most so often."""


def revoking_rows(context: PlanContext, facts: Facts) -> Iterable[Change]:
    """Make a row for each id that goes whatever happens: an approval names them all.

    One whose DELETE was answered waits, while the exchange lists it, for an hour.
    """
    entry, now_ms = facts.entry, context.observed.now_ms
    for revoking in entry.revoking:
        asked_ms, listed = revoking.asked_at_ms, revoking.token_id in context.listed
        waits = listed and asked_ms is not None and now_ms - asked_ms < ASK_AGAIN_MS
        yield Change(
            label=facts.label,
            action=Action.HOLD if waits else Action.RECOVER,
            reason=Reason.STILL_LISTED if waits else Reason.REVOKING_LEFT,
            before=Side(path=told_path(revoking.path or entry.path), token_id=revoking.token_id),
            note=f"asked {iso(asked_ms)}" if asked_ms is not None else "",
            task=None
            if waits
            else FinishRevoking(path=entry.path, revoking=revoking, listed=listed),
        )


def again_rows(context: PlanContext) -> Iterable[Change]:
    """Make a row for each id that we revoked, and that the exchange lists again.

    A list that lags shows it for a while: it is left alone for an hour.
    """
    ledger, now_ms = context.observed.ledger, context.observed.now_ms
    known, revoked = ledger.known_ids(), ledger.revoked_ids()
    for token_id in sorted(context.listed & revoked.keys() - known.keys()):
        row, live = revoked[token_id], context.live[token_id]
        if now_ms - row.at_ms <= ASK_AGAIN_MS or token_id == context.setting.signer_id:
            continue
        yield Change(
            label=row.label,
            action=Action.RECOVER,
            reason=Reason.REVOKED_LIVES,
            before=Side(path="", token_id=token_id, scopes=live.scopes),
            note=f"{row.outcome}, {iso(row.at_ms)}",
            task=RevokeAgain(token_id=token_id, live_label=live.label or ""),
        )
