"""One run of a command, from the first look to the report."""

from reconciler.run.apply import (
    Apply,
    Events,
    Session,
    StalePlanError,
    guard_sentences,
    refuse_distrusted,
    refuse_unknown_labels,
    trusted,
)
from reconciler.run.bootstrap import bootstrap_manager
from reconciler.run.driver import Driver, Keys
from reconciler.run.maintain import adopt, credentials_from, roll_back, verify

__all__ = [
    "Apply",
    "Driver",
    "Events",
    "Keys",
    "Session",
    "StalePlanError",
    "adopt",
    "bootstrap_manager",
    "credentials_from",
    "guard_sentences",
    "refuse_distrusted",
    "refuse_unknown_labels",
    "roll_back",
    "trusted",
    "verify",
]
