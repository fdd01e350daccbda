"""The steps of the ledger about how many tokens may live; see ``cap``.

    what happens                                     the step
    -----------------------------------------------  ---------------------------------
    a derive has ended another token                 ``note_ended``, with the record of
                                                     the derived one
    a successor is about to be derived for the       ``with_room``, around the intent:
    reserve                                          refused where there is no room
    30 days are over                                 ``tidy_cap``, with any last write

The rules are those of ``transitions``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.model import iso
from reconciler.state.cap import Cap, lowest, still_counting, with_cap
from reconciler.state.entries import Transition, transition
from reconciler.state.ledger import Ledger, LedgerError


class NoRoomError(LedgerError):
    """One more token would make as many as lived when a derive ended another."""


def unexplained(ledger: Ledger, token_ids: Iterable[str]) -> tuple[str, ...]:
    """Return those of the ids whose end the ledger does not explain, sorted.

    It explains the end of what we revoke, and of what we have revoked.
    """
    going = {row.token_id for entry in ledger.tokens.values() for row in entry.revoking}
    revoked = ledger.revoked_ids().keys() - ledger.known_ids().keys()
    return tuple(sorted(frozenset(token_ids) - going - revoked))


@transition
def note_ended(ledger: Ledger, token_ids: Iterable[str], found: Cap) -> Ledger:
    """Remember how many tokens lived when a derive had ended these."""
    if not unexplained(ledger, token_ids):
        return ledger
    return replace(ledger, cap=with_cap(ledger.cap, found))


def with_room(
    step: Transition, label: str, listed: Iterable[str], lived: int, now_ms: int
) -> Transition:
    """Return the step of a stocking of the label, refused where there is no room.

    ``lived`` tokens were listed right before it, ``listed`` are their ids. What other
    open intents derive may not be listed yet, and counts. NoRoomError.
    """
    known = frozenset(listed)

    def stepped(ledger: Ledger) -> Ledger:
        intents = (e.intent for name, e in ledger.tokens.items() if name != label)
        coming = sum(
            1 for i in intents if i is not None and i.kind.derives and i.token_id not in known
        )
        cap = lowest(ledger.cap, now_ms)
        if cap is not None and lived + coming + 1 >= cap.lived:
            raise NoRoomError(f"{lived + coming} tokens live, and {seen_text(cap)}")
        return step(ledger)

    return stepped


def seen_text(cap: Cap) -> str:
    """Tell what was seen, when, and until when it counts."""
    return (
        f"{cap.lived} tokens lived when a derive had ended another, at {iso(cap.at_ms)}; "
        f"it is tried again from {iso(cap.until_ms)}"
    )


@transition
def tidy_cap(ledger: Ledger, *, now_ms: int) -> Ledger:
    """Forget what does not count any more."""
    return replace(ledger, cap=still_counting(ledger.cap, now_ms))
