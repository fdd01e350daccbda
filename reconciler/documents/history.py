"""The history as JSON, by ``history --format json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reconciler.documents.json import head
from reconciler.state import Event, instant_plain

HISTORY_FORMAT = 1


def history_document(
    events: Sequence[Event], *, place: str, oldest: int, newest: int, passed_over: int
) -> dict[str, Any]:
    """Return the events for machines, and which versions of the ledger tell them."""
    return {
        **head("history", HISTORY_FORMAT),
        "place": place,
        "oldest_version": oldest,
        "newest_version": newest,
        "versions_passed_over": passed_over,
        "events": [
            {
                **instant_plain("at", event.at_ms),
                "version": event.version,
                "run": event.run,
                "label": event.label,
                "what": event.what,
                "token_id": event.token_id,
                "why": event.why,
            }
            for event in events
        ],
    }
