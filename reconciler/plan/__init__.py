"""What to do, why, and who must look at it.

``plan(desired, observed)`` is a pure function of its arguments.
"""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.plan.alarms import (
        POWERFUL,
        Alarm,
        alarms_of,
        gained_scopes,
        is_loud,
        path_note,
        plus_minus,
        scope_note,
    )
    from reconciler.plan.calendar import Date, DateKind, dates_of
    from reconciler.plan.change import (
        FORMAT_VERSION,
        Change,
        NotTouched,
        Plan,
        Selection,
        Side,
        order,
        row_key,
    )
    from reconciler.plan.check import Check, check_of
    from reconciler.plan.context import owned_paths
    from reconciler.plan.emptied import LOOK_AGAIN_MOST_MS
    from reconciler.plan.guards import GUARDS, Guard, Policy, violations
    from reconciler.plan.labels import ALL, LEAST_ID, begun_with, meant
    from reconciler.plan.lasts import RESTOCK_MS, Unattended
    from reconciler.plan.needs import PERHAPS_OURS, PROBABLY_OURS, Need, NeedKind
    from reconciler.plan.pauses import still_open
    from reconciler.plan.planner import plan
    from reconciler.plan.recent import Past
    from reconciler.plan.review import NoBase, Review, review_of
    from reconciler.plan.rotations import unfinished_rotations
    from reconciler.plan.setting import DEFAULT_OVERLAP_MS
    from reconciler.plan.states import FOR_AN_APPLY, STATES, State
    from reconciler.plan.status import (
        Lease,
        OpenIntent,
        Predecessor,
        Status,
        TokenStatus,
        status_of,
    )
    from reconciler.plan.status_part import narrowed
    from reconciler.plan.status_reserve import Capped, ReserveStatus
    from reconciler.plan.tasks import (
        Evidence,
        FinishRevoking,
        NewToken,
        Promote,
        RecordFiles,
        RecordInPlace,
        RecordProtection,
        RecordReturned,
        RecordVersion,
        RecoverIntent,
        RemoveLeftover,
        RemovePlaceholder,
        RenameLabel,
        RestoreSecret,
        RetireCurrent,
        RevokeAgain,
        RevokeCurrent,
        RevokeReserve,
        RevokeRetiring,
        RewriteSecret,
        Task,
    )
    from reconciler.plan.uses_decide import rests_on_uses
    from reconciler.plan.vocabulary import ACTIONS, CATEGORIES, SENTENCES, Action, Category, Reason
    from reconciler.plan.windows import is_open

__all__ = [
    "ACTIONS",
    "ALL",
    "CATEGORIES",
    "DEFAULT_OVERLAP_MS",
    "FORMAT_VERSION",
    "FOR_AN_APPLY",
    "GUARDS",
    "LEAST_ID",
    "LOOK_AGAIN_MOST_MS",
    "PERHAPS_OURS",
    "POWERFUL",
    "PROBABLY_OURS",
    "RESTOCK_MS",
    "SENTENCES",
    "STATES",
    "Action",
    "Alarm",
    "Capped",
    "Category",
    "Change",
    "Check",
    "Date",
    "DateKind",
    "Evidence",
    "FinishRevoking",
    "Guard",
    "Lease",
    "Need",
    "NeedKind",
    "NewToken",
    "NoBase",
    "NotTouched",
    "OpenIntent",
    "Past",
    "Plan",
    "Policy",
    "Predecessor",
    "Promote",
    "Reason",
    "RecordFiles",
    "RecordInPlace",
    "RecordProtection",
    "RecordReturned",
    "RecordVersion",
    "RecoverIntent",
    "RemoveLeftover",
    "RemovePlaceholder",
    "RenameLabel",
    "ReserveStatus",
    "RestoreSecret",
    "RetireCurrent",
    "Review",
    "RevokeAgain",
    "RevokeCurrent",
    "RevokeReserve",
    "RevokeRetiring",
    "RewriteSecret",
    "Selection",
    "Side",
    "State",
    "Status",
    "Task",
    "TokenStatus",
    "Unattended",
    "alarms_of",
    "begun_with",
    "check_of",
    "dates_of",
    "gained_scopes",
    "is_loud",
    "is_open",
    "meant",
    "narrowed",
    "order",
    "owned_paths",
    "path_note",
    "plan",
    "plus_minus",
    "rests_on_uses",
    "review_of",
    "row_key",
    "scope_note",
    "status_of",
    "still_open",
    "unfinished_rotations",
    "violations",
]

__getattr__ = on_demand(
    __name__,
    {
        "alarms": (
            "POWERFUL",
            "Alarm",
            "alarms_of",
            "gained_scopes",
            "is_loud",
            "path_note",
            "plus_minus",
            "scope_note",
        ),
        "calendar": ("Date", "DateKind", "dates_of"),
        "change": (
            "FORMAT_VERSION",
            "Change",
            "NotTouched",
            "Plan",
            "Selection",
            "Side",
            "order",
            "row_key",
        ),
        "check": ("Check", "check_of"),
        "context": ("owned_paths",),
        "emptied": ("LOOK_AGAIN_MOST_MS",),
        "guards": ("GUARDS", "Guard", "Policy", "violations"),
        "labels": ("ALL", "LEAST_ID", "begun_with", "meant"),
        "lasts": ("RESTOCK_MS", "Unattended"),
        "needs": ("PERHAPS_OURS", "PROBABLY_OURS", "Need", "NeedKind"),
        "pauses": ("still_open",),
        "planner": ("plan",),
        "recent": ("Past",),
        "review": ("NoBase", "Review", "review_of"),
        "rotations": ("unfinished_rotations",),
        "setting": ("DEFAULT_OVERLAP_MS",),
        "states": ("FOR_AN_APPLY", "STATES", "State"),
        "status": (
            "Lease",
            "OpenIntent",
            "Predecessor",
            "Status",
            "TokenStatus",
            "status_of",
        ),
        "status_part": ("narrowed",),
        "status_reserve": ("Capped", "ReserveStatus"),
        "tasks": (
            "Evidence",
            "FinishRevoking",
            "NewToken",
            "Promote",
            "RecordFiles",
            "RecordInPlace",
            "RecordProtection",
            "RecordReturned",
            "RecordVersion",
            "RecoverIntent",
            "RemoveLeftover",
            "RemovePlaceholder",
            "RenameLabel",
            "RestoreSecret",
            "RetireCurrent",
            "RevokeAgain",
            "RevokeCurrent",
            "RevokeReserve",
            "RevokeRetiring",
            "RewriteSecret",
            "Task",
        ),
        "uses_decide": ("rests_on_uses",),
        "vocabulary": ("ACTIONS", "CATEGORIES", "SENTENCES", "Action", "Category", "Reason"),
        "windows": ("is_open",),
    },
)
