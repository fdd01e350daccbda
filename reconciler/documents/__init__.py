"""What machines read, and what is read back: JSON documents, and metrics.

Pure: values to dictionaries, and text to values. No document holds a secret, because no
value that one is made from does.
"""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.documents.doctor import Check, Health, doctor_document
    from reconciler.documents.history import history_document
    from reconciler.documents.ics import ics_calendar
    from reconciler.documents.json import dump
    from reconciler.documents.plan import load_plan, plan_document, plan_widget
    from reconciler.documents.prometheus import metrics_text
    from reconciler.documents.report import report_document
    from reconciler.documents.run_metrics import RunMeasured, metrics_of_run
    from reconciler.documents.snapshot import Snapshot, load_snapshot, snapshot_document
    from reconciler.documents.status import status_document, statuses_document
    from reconciler.documents.status_metrics import metrics_of_status

__all__ = [
    "Check",
    "Health",
    "RunMeasured",
    "Snapshot",
    "doctor_document",
    "dump",
    "history_document",
    "ics_calendar",
    "load_plan",
    "load_snapshot",
    "metrics_of_run",
    "metrics_of_status",
    "metrics_text",
    "plan_document",
    "plan_widget",
    "report_document",
    "snapshot_document",
    "status_document",
    "statuses_document",
]

__getattr__ = on_demand(
    __name__,
    {
        "doctor": ("Check", "Health", "doctor_document"),
        "history": ("history_document",),
        "ics": ("ics_calendar",),
        "json": ("dump",),
        "plan": ("load_plan", "plan_document", "plan_widget"),
        "prometheus": ("metrics_text",),
        "report": ("report_document",),
        "run_metrics": ("RunMeasured", "metrics_of_run"),
        "snapshot": ("Snapshot", "load_snapshot", "snapshot_document"),
        "status": ("status_document", "statuses_document"),
        "status_metrics": ("metrics_of_status",),
    },
)
