"""The first part of the page: what a person is needed for, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reconciler.escape import counted
from reconciler.plan import Need, NeedKind, State, Status, TokenStatus
from reconciler.render.groups import GROUPS, TONES
from reconciler.render.page.parts import Places, folded, section, sentence, text
from reconciler.render.words import said

_WRONG = frozenset(
    state for group in GROUPS if group.tone in {"bad", "warn"} for state in group.states
)


class Verdict(NamedTuple):
    """The one sentence of a page: its tone and its words."""

    tone: str
    words: str


def verdict_of(statuses: Sequence[Status]) -> Verdict:
    """Return the most urgent thing that can be said of all statuses together."""
    states = [token.state for status in statuses for token in status.tokens]
    asked = [need for status in statuses for need in status.needs]
    decisions = [need for need in asked if need.kind is not NeedKind.IDENTITY]
    derives = sum(len(need.labels) for need in asked if need.kind is NeedKind.IDENTITY)
    broken = sum(TONES[state] == "bad" for state in states)
    pending = sum(TONES[state] == "warn" for state in states)
    parts = [
        *([f"{counted(len(decisions), 'decision')} for a person"] if decisions else []),
        *([f"{broken} broken or overdue"] if broken else []),
        *([f"{derives} waiting for an identity token"] if derives else []),
        *([f"{pending} to be changed by the next apply"] if pending else []),
    ]
    words = "; ".join(parts)
    if decisions:
        return Verdict("person", words)
    if broken:
        return Verdict("bad", words)
    if parts:
        return Verdict("warn", words)
    return Verdict("ok", f"all is well: {counted(len(states), 'label')}")


def needs_part(statuses: Sequence[Status], places: Places) -> str:
    """Return what needs a person, then what is wrong without needing one."""
    asked = [row for status in statuses for row in _asked(status, places)]
    wrong = [row for status in statuses for row in _wrong(status, places)]
    parts = ['<ul class="needs">', *asked, "</ul>"] if asked else ["<p>Nothing does.</p>"]
    if wrong:
        parts += ["<h3>Not as it should be</h3>", '<ul class="needs">', *wrong, "</ul>"]
    return section("needs", "What needs a person", "\n".join(parts))


def _asked(status: Status, places: Places) -> Iterator[str]:
    for need in status.needs:
        mark = "w" if need.kind is NeedKind.IDENTITY else "d"
        ids = " ".join(f"<code>{text(token_id)}</code>" for token_id in need.token_ids)
        yield (
            f'<li class="{mark}"><div class="who">{_who(need, status, places)} {ids}</div>'
            f"<div>{sentence(need.sentence)}{_ask(need, status)}</div></li>"
        )


def _ask(need: Need, status: Status) -> str:
    """Return whom to ask, as the manifest says it."""
    wanted = set(need.labels)
    owners = sorted({t.owner for t in status.tokens if t.owner and t.label in wanted})
    if not owners:
        return ""
    return f' <span class="dim">(ask {", ".join(text(owner) for owner in owners)})</span>'


def _who(need: Need, status: Status, places: Places) -> str:
    if not need.labels:
        return f"the ledger of {text(status.place)}"
    links = [places.link(status, label) for label in need.labels]
    return folded(links, counted(len(links), "label"))


def _wrong(status: Status, places: Places) -> Iterator[str]:
    """Yield the labels that are wrong; many that are so alike take one line."""
    alike: dict[tuple[State, str], list[TokenStatus]] = {}
    for token in status.tokens:
        if token.state in _WRONG:
            words = said(token.reason, token.note)
            # the same sentence of many labels, or each with a detail of its own
            alike.setdefault((token.state, words), []).append(token)
    for (state, words), tokens in sorted(alike.items(), key=lambda row: _urgency(row[0][0])):
        mark = "b" if TONES[state] == "bad" else "w"
        links = [places.link(status, token.label) for token in tokens]
        who = folded(links, counted(len(links), "label"))
        yield (
            f'<li class="{mark}"><div class="who">{who} {chip(state)}</div>'
            f"<div>{sentence(words)}</div></li>"
        )


def _urgency(state: State) -> int:
    return [one for group in GROUPS for one in group.states].index(state)


def chip(state: State) -> str:
    """Return a state as a word on its colour."""
    return f'<span class="chip {TONES[state]}">{state.value}</span>'
