"""The report as JSON: what a run did, by ``apply --report``."""

from __future__ import annotations

from typing import Any

from reconciler.documents.json import head
from reconciler.documents.plan import change_plain
from reconciler.protocol import Report, Row
from reconciler.state import instant_plain, to_plain, word_of

REPORT_FORMAT = 2


def report_document(report: Report) -> dict[str, Any]:
    """Return what a run did, for machines."""
    return {
        **head("report", REPORT_FORMAT),
        "run": report.run,
        **instant_plain("started_at", report.started_at_ms),
        **instant_plain("ended_at", report.ended_at_ms),
        "digest": report.digest,
        "exit_code": int(report.exit_code),
        "sentence": report.sentence,
        "summary": {word_of(status): number for status, number in report.counts().items()},
        "rows": [_row(row) for row in report.rows],
        "holds": [change_plain(c) for c in report.holds],
        "not_touched": to_plain(report.not_touched),
    }


def _row(row: Row) -> dict[str, Any]:
    outcome = row.outcome
    return {
        **change_plain(row.change),
        "status": word_of(outcome.status),
        "outcome": outcome.sentence,
        "token_id": outcome.token_id,
        "revoked": list(outcome.revoked),
    }
