"""What the parts of the page share: text made harmless, times, links, long lists.

Rules this module keeps:

1. Whatever others chose goes through ``text``: first ``safe``, then HTML's own escapes.
2. An instant is told as a date in UTC. How far off it is stands beside it, and is
   counted from the time of the status: a page that lies around for a week does not lie.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Sequence

from reconciler.escape import safe
from reconciler.model import iso
from reconciler.plan import POWERFUL, Status, TokenStatus
from reconciler.render.status import when

_CODE = re.compile(r"`([^`]+)`")
_DATE = len("2026-11-22")
_MINUTE = len("2026-11-22T08:30")

FEW = 8
"""So many names stand in one line; more are folded away below their number."""


def text(of_others: str) -> str:
    """Return text of others, fit for HTML and for its attributes."""
    return html.escape(safe(of_others))


def name(label: str) -> str:
    """Return a label, or what a row without one is about."""
    return text(label) if label else "(manifest)"


def sentence(said: str) -> str:
    """Return a sentence; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", text(said))


def day_of(at_ms: int) -> str:
    """Return the day of an instant in UTC: ``2026-11-22``."""
    return iso(at_ms)[:_DATE]


def minute(at_ms: int) -> str:
    """Return an instant as an element, to the minute."""
    whole = iso(at_ms)
    shown = whole[:_MINUTE].replace("T", " ")
    return f'<time class="nb" datetime="{whole}">{shown}</time>'


def instant(at_ms: int | None, now_ms: int) -> str:
    """Return an instant, and how far off it was at the time of the status."""
    if at_ms is None:
        return "-"
    return f'{minute(at_ms)} <span class="dim nb">{when(at_ms, now_ms)}</span>'


def day_words(day: str) -> str:
    """Return a day in words: ``Sun 22 Nov``."""
    date = dt.date.fromisoformat(day)
    return f"{date:%a} {date.day} {date:%b}"


def scopes_of(scopes: Sequence[str]) -> str:
    """Return scopes side by side; a powerful one says so."""
    return " ".join(scope(one) for one in scopes) or "-"


def scope(one: str) -> str:
    """Return a scope as a tag."""
    if one in POWERFUL:
        return f'<span class="tag strong">{text(one)} (powerful)</span>'
    return f'<span class="tag">{text(one)}</span>'


class Places:
    """Where each label stands on the page: its anchor, by status and label."""

    def __init__(self, statuses: Sequence[Status]) -> None:
        self.many = len(statuses) > 1
        self._shared = len({status.place for status in statuses}) < len(statuses)
        self._anchors = {
            (status.place, status.api_url, token.label): f"l{at}-{row}"
            for at, status in enumerate(statuses)
            for row, token in enumerate(status.tokens)
        }

    def anchor(self, status: Status, token: TokenStatus) -> str:
        """Return the id of a label's row."""
        return self._anchors[status.place, status.api_url, token.label]

    def named(self, status: Status) -> str:
        """Return a status by its place, with its exchange where two share the place."""
        place = text(status.place)
        return f"{place} at {text(status.api_url)}" if self._shared else place

    def link(self, status: Status, label: str) -> str:
        """Return a label as a link to its row, or plain where it has none.

        With several statuses the place stands before it.
        """
        anchor = self._anchors.get((status.place, status.api_url, label))
        shown = name(label)
        if self.many:
            shown = f'<span class="dim">{self.named(status)}</span> {shown}'
        return shown if anchor is None else f'<a href="#{anchor}">{shown}</a>'


def folded(names: Sequence[str], number: str) -> str:
    """Return names in a line, or their number in words with the names folded away."""
    line = ", ".join(names)
    if len(names) <= FEW:
        return line
    return f'<details><summary>{number}</summary><p class="names">{line}</p></details>'


def section(anchor: str, title: str, body: str) -> str:
    """Return a section of the page under its heading."""
    return (
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{title}</h2>\n{body}\n</section>'
    )
