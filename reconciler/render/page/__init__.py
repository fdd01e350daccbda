"""The state of every label as one page to look at: ``status --format html``.

    verdict            one sentence: the most urgent thing that can be said
    what needs a person, and what is not as it should be
    the next 90 days   rotations, ends of overlaps and of reserves
    every label        in words, and as a line of time
    who may do what    each scope, the powerful ones first
    what was done last

Rules this package keeps:

1. One file: no script, nothing that is loaded from elsewhere, no form. It may be opened
   from a disk, published as an artifact, printed.
2. It holds no secret, because no value that it is made from does. Whatever others chose
   is escaped in one place, ``parts``.
3. It says as of when it is. It can't refresh itself, so every time is a date in UTC.
4. The same statuses give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.escape import counted
from reconciler.plan import State, Status
from reconciler.render.page.days import calendar_part
from reconciler.render.page.holders import holders_part
from reconciler.render.page.labels import labels_part
from reconciler.render.page.needs import chip, needs_part, verdict_of
from reconciler.render.page.parts import Places, minute, text
from reconciler.render.page.past import past_part
from reconciler.render.page.style import STYLE
from reconciler.render.words import capped_words

_SECTIONS = (
    ("needs", "What needs a person"),
    ("calendar", "The next 90 days"),
    ("labels", "Every label"),
    ("scopes", "Who may do what"),
    ("past", "What was done last"),
)


def html_page(statuses: Sequence[Status]) -> str:
    """Return one page of all statuses, which have a place each."""
    places = Places(statuses)
    found = verdict_of(statuses)
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in _SECTIONS)
    parts = (
        needs_part(statuses, places),
        calendar_part(statuses, places),
        labels_part(statuses, places),
        holders_part(statuses, places),
        past_part(statuses, places),
    )
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{_title(statuses)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            "<header>\n<h1>API tokens</h1>",
            *(_place(status) for status in statuses),
            f'<p class="verdict {found.tone}">{found.words}</p>',
            _counts(statuses),
            *(_lasts(status, places) for status in statuses if status.unattended is not None),
            *(f"<p>{text(capped_words(s.capped))}.</p>" for s in statuses if s.capped is not None),
            "</header>",
            f'<nav aria-label="Parts of this page"><ul>{links}</ul></nav>',
            "<main>",
            *parts,
            "</main>",
            (
                "<footer><p>Times are in UTC. How far off they are is counted from the time of the "
                "status, at the top: this page does not change by itself. It holds no secret."
                "</p></footer>\n</body>\n</html>\n"
            ),
        ]
    )


def _title(statuses: Sequence[Status]) -> str:
    if len(statuses) == 1:
        return f"API tokens: {text(statuses[0].place)}"
    return f"API tokens of {counted(len(statuses), 'manifest')}"


def _place(status: Status) -> str:
    profile = "" if status.profile_id is None else f", profile {status.profile_id}"
    return (
        f'<p class="place"><strong>{text(status.place)}</strong> at {text(status.api_url)}'
        f'{profile} <span class="dim nb">ledger version {status.ledger_version}</span>, '
        f"as of <strong>{minute(status.as_of_ms)} UTC</strong></p>"
    )


def _lasts(status: Status, places: Places) -> str:
    """Return until when no rotation needs a person."""
    found = status.unattended
    if found is None:
        return ""
    left = counted(found.left, "successor") if found.left else "no successor"
    ready = f"{places.link(status, found.label)} has {left} ready"
    if found.at_ms <= status.as_of_ms:
        return f"<p>A rotation needs a person now: {ready}.</p>"
    until = f"<strong>{minute(found.at_ms)}</strong>"
    return f"<p>No rotation by age needs a person until {until}: {ready}.</p>"


def _counts(statuses: Sequence[Status]) -> str:
    counts = [status.counts() for status in statuses]
    rows = [
        f"<li>{chip(state)} {number}</li>"
        for state in State
        if (number := sum(count.get(state, 0) for count in counts))
    ]
    return f'<ul class="counts">{"".join(rows)}</ul>' if rows else ""
