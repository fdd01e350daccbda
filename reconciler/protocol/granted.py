"""Whether a new token is what was asked for.

Scopes are compared as sets: their order means nothing. What differs is a fact about the
exchange, not about this token, so this run derives no more, and other scopes than asked
for are remembered (``reconciler.state.granted``).
"""

from __future__ import annotations

from reconciler.model import Derived, LiveToken, TokenSpec
from reconciler.protocol.effects import Now, Refused, Step, StopDeriving, WriteLedger
from reconciler.state import Granted, alike, remember_granted
from reconciler.values import value


@value
class NotAsAsked(Refused):
    """The token works, but is not what was asked for.

    ``granted`` are its scopes, where those differ.
    """

    granted: tuple[str, ...] | None = None


def not_as_asked(spec: TokenSpec, derived: Derived, live: LiveToken) -> NotAsAsked | None:
    """Return how a token differs from what was asked for, None where it does not."""
    for scopes in (derived.scopes, live.scopes):
        if frozenset(scopes) != frozenset(spec.scopes):
            granted = " ".join(scopes) or "no scope"
            asked = " ".join(spec.scopes)
            return NotAsAsked(
                sentence=f"the exchange granted {granted} instead of {asked}", granted=scopes
            )
    if not alike(spec.label, live.label):
        return NotAsAsked(
            sentence=f"the exchange labelled it {live.label!r} instead of {spec.label!r}"
        )
    return None


def stop_at_once(spec: TokenSpec, derived: Derived) -> Step[None]:
    """Derive no more where the reply itself has other scopes than asked for.

    Other derives may be about to be sent beside this one.
    """
    if frozenset(derived.scopes) != frozenset(spec.scopes):
        yield from StopDeriving(sentence="the exchange grants other scopes than asked for")


def take_note(spec: TokenSpec, found: NotAsAsked) -> Step[None]:
    """Derive no more in this run, and remember scopes that differ.

    Where that can't be recorded, nor can what comes next.
    """
    yield from StopDeriving(sentence=found.sentence)
    granted = found.granted
    if granted is None:
        return
    now_ms = yield from Now()
    row = Granted(asked=spec.scopes, granted=granted, at_ms=now_ms)
    yield from WriteLedger(transition=lambda ledger: remember_granted(ledger, row))
