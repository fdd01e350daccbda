"""Who may do what: each scope, and the tokens that hold it now.

An old token holds its scopes as long as it lives, and so does one of the reserve: both
are named too.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from reconciler.escape import counted, short
from reconciler.plan import POWERFUL, Status
from reconciler.render.page.parts import Places, folded, scope, section, text


def holders_part(statuses: Sequence[Status], places: Places) -> str:
    """Return a table of scopes, the powerful ones first."""
    holders: dict[str, list[str]] = collections.defaultdict(list)
    for status in statuses:
        for one, who in _held(status, places):
            holders[one].append(who)
    order = sorted(holders, key=lambda one: (one not in POWERFUL, one))
    rows = "".join(_row(one, holders[one]) for one in order)
    body = (
        '<table class="rows"><caption>A powerful scope moves funds, or signs for others'
        '</caption>\n<thead><tr><th scope="col">Scope</th><th scope="col">Tokens</th>'
        f'<th scope="col">Held by</th></tr></thead>\n<tbody>\n{rows}</tbody></table>'
    )
    return section("scopes", "Who may do what", body if rows else "<p>No token lives.</p>")


def _held(status: Status, places: Places) -> Iterator[tuple[str, str]]:
    """Yield each scope of each live token of ours, and whose it is."""
    for token in status.tokens:
        link = places.link(status, token.label)
        for one in token.scopes if token.live else ():
            yield one, link
        for old in token.predecessors:
            for one in old.scopes:
                yield one, f"{link} (old <code>{text(short(old.token_id))}</code>)"
        for kept in token.reserve:
            for one in kept.scopes:
                yield one, f"{link} (reserve <code>{text(short(kept.token_id))}</code>)"


def _row(one: str, who: Sequence[str]) -> str:
    return (
        f'<tr><th scope="row">{scope(one)}</th><td data-h="Tokens">{len(who)}</td>'
        f'<td data-h="Held by"><div>{folded(who, counted(len(who), "token"))}</div></td></tr>\n'
    )
