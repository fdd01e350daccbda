"""The output formats: the choices of ``--format``, and who renders each.

A new format is a renderer elsewhere and one line in a table here. A renderer is
imported when its format is asked for, so that ``--help`` stays instant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.cli.console import colour_wanted, columns

if TYPE_CHECKING:
    from reconciler.cli.plan import ShownPlan
    from reconciler.plan import Check, Status


IDENTITY = "LIMITLESS_IDENTITY_TOKEN"


def _plan_text(shown: ShownPlan) -> str:
    from reconciler.render import plan_text

    colour = colour_wanted(terminal=sys.stdout.isatty())
    return plan_text(shown.plan, guards=shown.guards, width=columns(), colour=colour)


def _plan_json(shown: ShownPlan) -> str:
    return shown.document()


def _plan_markdown(shown: ShownPlan) -> str:
    from reconciler.render import plan_markdown

    return plan_markdown(shown.plan, guards=shown.guards, review=shown.review)


def _plan_widget(shown: ShownPlan) -> str:
    from reconciler.documents import plan_widget

    return plan_widget(shown.plan)


def _status_text(statuses: Sequence[Status], *, wide: bool = False) -> str:
    from reconciler.render import status_text

    colour = colour_wanted(terminal=sys.stdout.isatty())
    texts = (status_text(s, width=columns(), colour=colour, wide=wide) for s in statuses)
    return "\n".join(texts)


def status_wide(statuses: Sequence[Status]) -> str:
    """Return the table with every label and column."""
    return _status_text(statuses, wide=True)


def _status_json(statuses: Sequence[Status]) -> str:
    from reconciler.documents import dump, status_document, statuses_document

    if len(statuses) == 1:
        return dump(status_document(statuses[0]))
    return dump(statuses_document(statuses))


def _status_html(statuses: Sequence[Status]) -> str:
    from reconciler.render import html_page

    return html_page(statuses)


def _status_ics(statuses: Sequence[Status]) -> str:
    from reconciler.documents import ics_calendar

    return ics_calendar(statuses)


def _status_prometheus(statuses: Sequence[Status]) -> str:
    from reconciler.documents import metrics_of_status, metrics_text

    return metrics_text(metrics_of_status(statuses, check_now))


def check_now(statuses: Sequence[Status], now_ms: int | None = None) -> Check:
    """Judge how everything stands, as ``check_of`` does.

    An apply has an identity token where the environment has one.
    """
    from reconciler.plan import check_of

    identity = bool(os.environ.get(IDENTITY, "").strip())
    return check_of(statuses, identity=identity, now_ms=now_ms)


PLAN: Mapping[str, Callable[[ShownPlan], str]] = {
    "text": _plan_text,
    "json": _plan_json,
    "markdown": _plan_markdown,
    "gitlab": _plan_widget,
}
STATUS: Mapping[str, Callable[[Sequence[Status]], str]] = {
    "text": _status_text,
    "json": _status_json,
    "html": _status_html,
    "ics": _status_ics,
    "prometheus": _status_prometheus,
}
"""Each is given one status, or one for each snapshot."""

DOCTOR = ("text", "json")
HISTORY = ("text", "json")
SHOW = ("text", "markdown", "json")
VALIDATE = ("text", "github", "gitlab")
