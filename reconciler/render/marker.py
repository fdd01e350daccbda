"""The marker: the first line of a text of ours, by which we find it again.

It is an HTML comment with a JSON object in it. Nothing that others chose can end that
comment early.
"""

from __future__ import annotations

import json
import re
from typing import Any

_MARKER = re.compile(r"<!-- reconciler:(?P<kind>[a-z]+) (?P<json>\{[^\n]*\}) -->")


def marker(kind: str, facts: dict[str, Any]) -> str:
    """Return the first line of a text of ours.

    The facts may hold any text, so what would end the HTML comment or command a CI
    runner is written as JSON escapes.
    """
    text = json.dumps({"schema": 1, **facts}, sort_keys=True, ensure_ascii=True)
    text = text.replace("--", "-\\u002d").replace(">", "\\u003e").replace("##", "#\\u0023")
    return f"<!-- reconciler:{kind} {text} -->"


def read_marker(kind: str, body: str) -> dict[str, Any] | None:
    """Return what the marker of a text says, or None if it has none of this kind."""
    found = _MARKER.match(body)
    if found is None or found["kind"] != kind:
        return None
    try:
        facts = json.loads(found["json"])
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("schema") == 1 else None
