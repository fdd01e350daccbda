"""What only a person can do: decide, log in, look at a token that is probably lost."""

from __future__ import annotations

import enum
from collections.abc import Collection

from reconciler.plan.change import Plan
from reconciler.plan.vocabulary import SENTENCES, Reason
from reconciler.state import Observed, ledger_ends
from reconciler.values import value

PROBABLY_OURS = (
    "probably ours, of an interrupted derive, and its secret is lost: "
    "revoke it at the exchange if nobody knows it, or `reconciler forget --token-id ID`"
)
PERHAPS_OURS = (
    "perhaps ours: it is much like what an interrupted derive would have made: "
    "ask who made it, then revoke it or `reconciler forget --token-id ID`"
)


class NeedKind(enum.Enum):
    """What a person is needed for."""

    DECISION = "decision"
    IDENTITY = "identity"
    TWIN = "twin"


@value
class Need:
    """Something that only a person can do.

    ``labels`` are empty where it is about the ledger; ``token_ids`` are those that it
    is about, in full.
    """

    kind: NeedKind
    labels: tuple[str, ...]
    sentence: str
    token_ids: tuple[str, ...] = ()


def ledger_need(observed: Observed) -> tuple[Need, ...]:
    """Return what a person has to do about a ledger that does not last."""
    ends = ledger_ends(observed)
    return () if ends is None else (Need(kind=NeedKind.DECISION, labels=(), sentence=ends),)


def needs_of(chosen: Plan, ends_soon: Collection[str] = ()) -> tuple[Need, ...]:
    """Return decisions, then what needs an identity, then tokens probably lost.

    ``ends_soon`` are labels whose reserve is asked for by now (``lasts``). Where it is
    not stocked, as the exchange may end another token for it, no identity helps.
    """
    # A label and its predecessor may ask the same; the row that has a note says more.
    asked = {(c.label, c.reason): c for c in sorted(chosen.decisions, key=lambda c: c.note)}
    decisions = [
        Need(
            kind=NeedKind.DECISION,
            labels=(c.label,),
            sentence=SENTENCES[c.reason] + (f" ({c.note})" if c.note else ""),
        )
        for c in sorted(asked.values(), key=lambda c: (c.label, c.reason.value))
    ]
    capped = {c.label for c in chosen.changes if c.reason is Reason.RESERVE_CAPPED}
    decisions += [
        Need(kind=NeedKind.DECISION, labels=(label,), sentence=SENTENCES[Reason.RESERVE_CAPPED])
        for label in sorted(capped.intersection(ends_soon))
    ]
    derives = tuple(sorted(c.label for c in chosen.changes if c.derives and not c.stocks))
    ends = tuple(sorted({c.label for c in chosen.changes if c.reason is Reason.RESERVE_ENDS}))
    identity = [
        Need(
            kind=NeedKind.IDENTITY,
            labels=derives,
            sentence="to derive, an apply needs an identity token",
        )
    ]
    lost = [row for row in chosen.not_touched if row.probably_ours or row.perhaps_ours]
    twins = [
        Need(
            kind=NeedKind.TWIN,
            labels=(row.label or "",),
            sentence=PROBABLY_OURS if row.probably_ours else PERHAPS_OURS,
            token_ids=(row.token_id,),
        )
        for row in lost
    ]
    restock = Need(kind=NeedKind.IDENTITY, labels=ends, sentence=SENTENCES[Reason.RESERVE_ENDS])
    asked_for = [*(identity if derives else []), *([restock] if ends else [])]
    return (*decisions, *asked_for, *twins)
