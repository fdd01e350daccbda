"""Every label: how it stands, in words and as a line of time.

    45 days ago           now            90 days ahead
                         v used last
           |==== current =|------ until due --|
    |---- old ----|       |

Rules this module keeps:

1. The line shows nothing that does not stand in words in the same row.
2. Labels that are well or wait are folded away where they are many: what is wrong is
   what somebody came for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.escape import counted, short
from reconciler.plan import SENTENCES, NeedKind, Predecessor, Reason, State, Status, TokenStatus
from reconciler.render.groups import Group, grouped_tokens
from reconciler.render.page.line import KEY, line_of
from reconciler.render.page.needs import chip
from reconciler.render.page.parts import (
    Places,
    instant,
    minute,
    name,
    scopes_of,
    section,
    sentence,
    text,
)
from reconciler.render.status import age_words, secret_words, when
from reconciler.render.words import said, twin_sentence

OPEN_MOST = 24
"""So many labels that are well, or wait, stand open."""

_FOLDED = frozenset({"ok", "busy"})

_HEADS = ("Label", "State", "45 days back, 90 ahead", "Age", "Due", "Used last", "Secret")
_HEAD_ROW = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
_QUIET = frozenset({State.OK, State.DRAINING})
"""States that say all there is to say: what drains has its old tokens below."""


def labels_part(statuses: Sequence[Status], places: Places) -> str:
    """Return all labels, by status and by what they need."""
    body = [KEY]
    for status in statuses:
        if places.many:
            body.append(f'<h3 class="place">{places.named(status)}</h3>')
        groups = grouped_tokens(status.tokens)
        body += [_group(group, tokens, status, places) for group, tokens in groups]
        if not groups:
            body.append("<p>There is no label.</p>")
        body += _beside(status)
    return section("labels", "Every label", "\n".join(body))


def _group(group: Group, tokens: Sequence[TokenStatus], status: Status, places: Places) -> str:
    rows = "".join(_row(token, status, places) for token in tokens)
    title = f"{counted(len(tokens), 'label')} {group.title}"
    shut = group.tone in _FOLDED and len(tokens) > OPEN_MOST
    hidden = ' class="vh"' if shut else ""
    mark = f'<span class="dot {group.tone}" aria-hidden="true"></span>'
    table = (
        f'<table class="rows labels"><caption{hidden}>{mark}{title}</caption>\n'
        f"<thead><tr>{_HEAD_ROW}</tr></thead>\n<tbody>\n{rows}</tbody></table>"
    )
    return f"<details><summary>{mark}{title}</summary>{table}</details>" if shut else table


def _row(token: TokenStatus, status: Status, places: Places) -> str:
    now_ms = status.as_of_ms
    return (
        f'<tr id="{places.anchor(status, token)}"><th scope="row">{_head(token)}</th>'
        f'<td data-h="State"><div>{_state(token, now_ms)}</div></td>'
        f'<td data-h="Line" class="line">{line_of(token, now_ms)}</td>'
        f'<td data-h="Age">{age_words(token)}</td>'
        f'<td data-h="Due"><div>{_due(token, now_ms)}</div></td>'
        f'<td data-h="Used last"><div>{_used(token, now_ms)}</div></td>'
        f'<td data-h="Secret"><div>{_secret(token)}</div></td></tr>\n'
    )


def _head(token: TokenStatus) -> str:
    tags = [
        *(["manager"] if token.manager else []),
        *(["protected"] if token.protect else []),
        *([] if token.desired else ["not in the manifest"]),
    ]
    marks = "".join(f' <span class="tag">{tag}</span>' for tag in tags)
    scopes = token.scopes or token.wanted_scopes or ()
    differ = ""
    owner = f'<div class="old">owner: {text(token.owner)}</div>' if token.owner else ""
    if token.scopes_differ:
        differ = f'<div class="old">wanted: {scopes_of(token.wanted_scopes or ())}</div>'
    return (
        f'<span class="lab">{name(token.label)}</span>{marks}'
        f'<div class="path"><code>{text(token.path)}</code></div>{owner}'
        f"<div>{scopes_of(scopes)}</div>{differ}"
    )


def _state(token: TokenStatus, now_ms: int) -> str:
    parts = [chip(token.state)]
    if token.state not in _QUIET:
        parts.append(f'<div class="why">{sentence(said(token.reason, token.note))}</div>')
    if token.intent is not None:
        begun = when(token.intent.since_ms, now_ms)
        words = f"{token.intent.kind.value} begun {begun} by run {text(token.intent.run)}"
        parts.append(f'<div class="old">{words}</div>')
    parts += [
        f'<div class="old">revoking <code>{text(short(token_id))}</code></div>'
        for token_id in token.revoking
    ]
    parts += [_old(old, now_ms) for old in token.predecessors]
    return "".join([*parts, *_reserve(token), *_hold(token)])


def _old(old: Predecessor, now_ms: int) -> str:
    used = "never used"
    if old.last_used_at_ms is not None:
        used = f"used {when(old.last_used_at_ms, now_ms)}"
    verb = "ends" if old.not_before_ms > now_ms else "ended"
    parts = [
        f"superseded {when(old.superseded_at_ms, now_ms)}",
        used if old.live else "gone from the exchange",
        f"overlap {verb} {minute(old.not_before_ms)}",
    ]
    head = f"old <code>{text(short(old.token_id))}</code>"
    return (
        f'<div class="old">{head}: {", ".join(parts)}; '
        f"{old.action.value}: {sentence(SENTENCES[old.reason])}</div>"
    )


def _due(token: TokenStatus, now_ms: int) -> str:
    """Return when it is due; when it may start, if that is later; and its windows."""
    parts = [instant(token.due_at_ms, now_ms)]
    starts_ms = token.starts_at_ms
    if starts_ms is not None and starts_ms != token.due_at_ms:
        parts.append(f'<div class="old">may start {instant(starts_ms, now_ms)}</div>')
    parts += [f'<div class="old">window {text(window)}</div>' for window in token.window]
    return "".join(parts)


def _hold(token: TokenStatus) -> Iterator[str]:
    if token.hold_until_ms is not None and token.reason is not Reason.HOLD_UNTIL:
        until = f"not rotated until {minute(token.hold_until_ms)}"
        yield f'<div class="old">{until}: {text(token.hold_reason)}</div>'


def _reserve(token: TokenStatus) -> Iterator[str]:
    """Yield how much of the reserve is ready, how long it lasts, and what is wrong."""
    if not token.reserve and not token.reserve_wanted:
        return
    ready = sum(kept.ready for kept in token.reserve)
    lasts = ""
    if token.unattended_until_ms is not None:
        lasts = f", lasts until {minute(token.unattended_until_ms)}"
    yield f'<div class="old">reserve: {ready} of {token.reserve_wanted} ready{lasts}</div>'
    for kept in token.reserve:
        if kept.reason is not None:
            why = sentence(said(kept.reason, kept.note))
            head = f"reserve <code>{text(short(kept.token_id))}</code>"
            yield f'<div class="old">{head}: {why}</div>'


def _used(token: TokenStatus, now_ms: int) -> str:
    if token.last_used_at_ms is None:
        return "never"
    if not token.used_since_verify:
        return "only by us"
    return instant(token.last_used_at_ms, now_ms)


def _secret(token: TokenStatus) -> str:
    version = f'<span class="nb">{text(secret_words(token))}</span>'
    token_id = "" if token.token_id is None else f" <code>{text(short(token.token_id))}</code>"
    return f"{version}{token_id}"


def _beside(status: Status) -> Iterator[str]:
    """Yield the live tokens that are not ours, and the attempts that were given up.

    Twins that need a person are told where that is asked.
    """
    asked = {
        label
        for need in status.needs
        if need.kind is not NeedKind.IDENTITY
        for label in need.labels
    }
    rows = [
        f"<li>twin {name(row.label or '')} <code>{text(row.token_id)}</code>: "
        f"{sentence(twin_sentence(row))}</li>"
        for row in status.twins
        if row.label not in asked
    ]
    rows += [
        f"<li>{name(row.label)}: a derive begun {minute(row.since_ms)} was given up "
        f"{minute(row.closed_at_ms)}</li>"
        for row in status.abandoned
    ]
    if status.foreign:
        rows.append(f"<li>{counted(status.foreign, 'foreign token')}, not touched</li>")
    if rows:
        yield f"<h3>Beside them</h3><ul>{''.join(rows)}</ul>"
