"""Tokens whose secret may be lost: what can be inferred of them, and what only named.

A derive that got no clear answer may have made a token that nobody knows the id of.

    the token                              of an open intent     of an abandoned one
    -------------------------------------  --------------------  -------------------
    label                                  the intent's          alike (naming only)
    scopes                                 the intent's, or what the exchange is known
                                           to grant instead
    recorded, or known of before the POST  no                    no
    released                               no                    no
    used, as far as uses are shown         never                 never after it was made
    created                                between ``since`` and the deadline, which is
                                           what the clock is not exact to wider
    then it is                             interrupted, if no    named "probably ours"
                                           other one fits, the
                                           list before the POST
                                           is known, and it is
                                           older than a use may
                                           be shown late

One that differs from an abandoned one in a single way is named "perhaps ours":

    it differs in   how
    --------------  --------------------------------------------------------------------
    time            created later, or half a minute before, as a clock may be wrong; it
                    may have more scopes then
    scopes          any others: an exchange may grant what it wants
    label           none, or a short beginning of ours: an exchange may cut it anywhere

Any later token may be the other one that fits, used or not: a POST may land late, and
a ledger that was put back has forgotten what it had named. An interrupted token is
revoked. What is named is never touched: a person looks at it, and says so (``forget``).
Labels are compared loosely for naming only, because an exchange may trim, lower or cut
them; ids decide everything else.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace

from reconciler.model import DAY_MS, SECOND_MS, LiveToken
from reconciler.state.ledger import Abandoned, Intent, Ledger

CLOCK_MARGIN_MS = 2 * SECOND_MS
"""The exchange's clock is known from a header of whole seconds, at both ends."""

CLOCK_WRONG_MS = 32 * SECOND_MS
"""A ``Date`` that is wrong for good is wrong by no more: the exchange refuses a
signature whose time is off by half a minute, and the header has whole seconds."""

DERIVE_DEADLINE_MS = 42 * SECOND_MS
"""A derive lands by then: 10 s to be sent, 30 s for the request, and the clock's 2."""

ABANDONED_KEPT_MS = 7 * DAY_MS
"""An abandoned intent is remembered for so long, and then while a token may be its."""

UNSEEN_MS = DAY_MS
"""An old abandoned intent is remembered for so long after a list first shows nothing
that may come from it: lists lag, or are partial."""

CUT_LEAST = 16
"""A label that was cut is recognised by at least so many characters."""


class Lost(enum.Enum):
    """How sure it is that a token comes from a derive whose answer was lost."""

    PROBABLY = "probably"
    PERHAPS = "perhaps"


def alike(sent: str, shown: str | None) -> bool:
    """Return whether a label may be what an exchange made of the one that was sent."""
    if shown is None:
        return False
    ours, theirs = _normal(sent), _normal(shown)
    return ours == theirs or (len(theirs) >= CUT_LEAST and ours.startswith(theirs))


def _normal(label: str) -> str:
    folded = unicodedata.normalize("NFC", label).casefold()
    return unicodedata.normalize("NFC", folded).strip()


def interrupted(  # noqa: PLR0913  # what is known of uses comes by name
    label: str,
    intent: Intent,
    ledger: Ledger,
    live: Iterable[LiveToken],
    *,
    now_ms: int,
    doubt_ms: int | None,
) -> str | None:
    """Return the id that can only be the open intent's, or None.

    An intent that names its token is sure of it. Otherwise exactly one live token must
    fit, by the table above. A use may be shown late by ``doubt_ms``; None while that is
    not proven, and then nothing is inferred.
    """
    if not intent.kind.derives:
        return None
    if intent.token_id is not None:
        return intent.token_id
    if doubt_ms is None or not intent.listed:
        return None
    found = [token for token in live if may_be_of(label, intent, ledger, token)]
    if len(found) != 1 or found[0].last_used_at_ms is not None:
        return None
    if now_ms - found[0].created_at_ms < doubt_ms:
        return None
    age_ms = found[0].created_at_ms - intent.since_ms
    in_time = -CLOCK_MARGIN_MS <= age_ms <= DERIVE_DEADLINE_MS
    return found[0].token_id if in_time and found[0].label == label else None


def may_be_of(label: str, intent: Intent, ledger: Ledger, token: LiveToken) -> bool:
    """Whether an unnamed intent may have made a token, whoever has used it since.

    However wrong the clock is, and however late the POST has landed: what is taken for
    the intent's must be the only one.
    """
    return (
        alike(label, token.label)
        and token.token_id not in _told_apart(ledger)
        and token.token_id not in intent.before
        and _fits(intent.scopes, token, ledger)
        and token.created_at_ms >= intent.since_ms - CLOCK_WRONG_MS
    )


def known_of(ledger: Ledger) -> frozenset[str]:
    """Return each id of the ledger, those that open intents name among them."""
    named = {e.intent.token_id for e in ledger.tokens.values() if e.intent is not None}
    return frozenset(ledger.known_ids()) | {one for one in named if one is not None}


def _told_apart(ledger: Ledger) -> frozenset[str]:
    """Return the ids that come from no lost derive: the ledger's, and the released."""
    return known_of(ledger) | ledger.released_ids()


def _fits(scopes: Iterable[str], token: LiveToken, ledger: Ledger) -> bool:
    asked, found = frozenset(scopes), frozenset(token.scopes)
    instead = {frozenset(g.granted) for g in ledger.granted if frozenset(g.asked) == asked}
    return found == asked or found in instead


def lost_in(ledger: Ledger) -> Callable[[LiveToken], Lost | None]:
    """Return what tells of a live token whether it may be one whose secret is lost.

    A token that is recorded is none. The ledger is read once for all tokens: a list may
    have thousands that are other manifests'.
    """
    begun = [
        Abandoned(
            label=label,
            since_ms=entry.intent.since_ms,
            closed_at_ms=entry.intent.since_ms,
            before=entry.intent.before,
            scopes=entry.intent.scopes,
        )
        for label, entry in ledger.tokens.items()
        if entry.intent is not None and entry.intent.kind.derives and entry.intent.token_id is None
    ]
    rows, apart = (*ledger.abandoned, *begun), _told_apart(ledger)

    def lost_of(token: LiveToken) -> Lost | None:
        if token.token_id in apart:
            return None
        found = {lost_from(row, token, ledger) for row in rows}
        return next((lost for lost in Lost if lost in found), None)

    return lost_of


def lost_from(row: Abandoned, token: LiveToken, ledger: Ledger) -> Lost | None:
    """Return whether a token may come from this abandoned intent.

    A row of schema 1 knows no scopes: then any fit.
    """
    age_ms = token.created_at_ms - row.since_ms
    if _was_used(token) or token.token_id in row.before or age_ms < -CLOCK_WRONG_MS:
        return None
    exact = not row.scopes or _fits(row.scopes, token, ledger)
    prompt = -CLOCK_MARGIN_MS <= age_ms <= DERIVE_DEADLINE_MS
    if not alike(row.label, token.label):
        cut = exact and prompt and _may_be_cut(row.label, token.label)
        return Lost.PERHAPS if cut else None
    if exact and prompt:
        return Lost.PROBABLY
    wider = frozenset(row.scopes) <= frozenset(token.scopes)
    return Lost.PERHAPS if wider or prompt else None


def _was_used(token: LiveToken) -> bool:
    """Whether a use is shown; an exchange may count the making of a token as one."""
    return token.last_used_at_ms is not None and token.last_used_at_ms > token.created_at_ms


def _may_be_cut(sent: str, shown: str | None) -> bool:
    """Whether nothing or a beginning is left of a label, too short to tell it by."""
    return shown is None or _normal(sent).startswith(_normal(shown))


def still_remembered(
    rows: Iterable[Abandoned], ledger: Ledger, live: Iterable[LiveToken], *, now_ms: int
) -> tuple[Abandoned, ...]:
    """Return the abandoned intents as they are to be remembered from now on.

    One list may lack a token that lives. So an old row goes once a first list and a
    later one, a day after it at least, show none that may be its.

        the row is          a token that may be its     then
        ------------------  --------------------------  --------------------------------
        of the last 7 days  (any)                       it stays
        older               is listed                   it stays
        older               is listed no more           it stays, unseen since now
        older               is unseen for a day         it goes
    """
    known, tokens = _told_apart(ledger), tuple(live)
    kept: list[Abandoned] = []
    for row in rows:
        young = now_ms - row.closed_at_ms <= ABANDONED_KEPT_MS
        seen = young or any(
            token.token_id not in known and lost_from(row, token, ledger) is not None
            for token in tokens
        )
        since_ms = row.unseen_since_ms
        if seen:
            kept.append(replace(row, unseen_since_ms=None))
        elif since_ms is None or now_ms - since_ms <= UNSEEN_MS:
            kept.append(replace(row, unseen_since_ms=now_ms if since_ms is None else since_ms))
    return tuple(kept)
