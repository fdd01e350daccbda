"""What ``doctor`` found, as JSON."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from reconciler.documents.json import head
from reconciler.values import value

DOCTOR_FORMAT = 1


class Health(enum.Enum):
    """What became of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@value
class Check:
    """One thing that an apply will need; ``action`` says what to do, if anything is."""

    id: str
    health: Health
    message: str
    action: str = ""


def doctor_document(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks for machines, in the order in which they were made."""
    return {
        **head("doctor", DOCTOR_FORMAT),
        "checks": [
            {
                "id": check.id,
                "status": check.health.value,
                "message": check.message,
                "action": check.action,
            }
            for check in checks
        ],
    }
