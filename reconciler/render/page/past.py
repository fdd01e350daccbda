"""What was done last, and who is at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.escape import short
from reconciler.plan import Past, Status
from reconciler.render.page.parts import Places, instant, section, text

_SHOWN_MOST = 40
_WORDS: Mapping[str, str] = {
    "applied": "the manifest was applied",
    "in use": "came into use",
    "superseded": "got a successor",
}


def past_part(statuses: Sequence[Status], places: Places) -> str:
    """Return what all statuses remember, the newest first."""
    rows = [(status, past) for status in statuses for past in status.recent]
    rows.sort(key=lambda row: row[1].at_ms, reverse=True)
    told = "".join(_row(status, past, places) for status, past in rows[:_SHOWN_MOST])
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("When", "Label", "What", "Token"))
    body = [
        *(_lease(status) for status in statuses),
        '<table class="rows"><caption>As far as the ledger remembers it; '
        "<code>reconciler history</code> tells more</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{told}</tbody></table>"
        if told
        else "<p>The ledger remembers nothing.</p>",
    ]
    return section("past", "What was done last", "\n".join(part for part in body if part))


def _lease(status: Status) -> str:
    if status.lease is None:
        return ""
    return (
        f"<p>Run <code>{text(status.lease.run)}</code> on {text(status.lease.who)} is at work "
        f"in {text(status.place)}; its lease ends "
        f"{instant(status.lease.expires_at_ms, status.as_of_ms)}.</p>"
    )


def _row(status: Status, past: Past, places: Places) -> str:
    why = f": {text(past.why)}" if past.why else ""
    token = "-" if past.token_id is None else f"<code>{text(short(past.token_id))}</code>"
    return (
        f'<tr><th scope="row">{instant(past.at_ms, status.as_of_ms)}</th>'
        f'<td data-h="Label"><div>{places.link(status, past.label)}</div></td>'
        f'<td data-h="What">{_WORDS.get(past.what, past.what)}{why}</td>'
        f'<td data-h="Token">{token}</td></tr>\n'
    )
