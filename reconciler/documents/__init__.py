"""What machines read, and what is read back: plan, report, status and snapshot as JSON.

Pure.
"""

from reconciler.documents.formats import (
    dump,
    load_plan,
    load_snapshot,
    plan_document,
    plan_widget,
    report_document,
    snapshot_document,
    status_document,
)

__all__ = [
    "dump",
    "load_plan",
    "load_snapshot",
    "plan_document",
    "plan_widget",
    "report_document",
    "snapshot_document",
    "status_document",
]
