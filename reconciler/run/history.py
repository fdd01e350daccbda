"""History: what was done when, by which run and why, from the ledger's versions.

It reads the versions that Vault still has, and writes nothing. The exchange is not
asked. A version that is gone, or that can't be read, is passed over: the one after it
then tells of both.
"""

from __future__ import annotations

from functools import partial

from reconciler.errors import PersonNeededError, VaultError
from reconciler.model import VersionState
from reconciler.protocol import Step
from reconciler.run.effects import Stage, Together
from reconciler.run.reads import READERS, read_meta, read_secret, refuse_moved
from reconciler.run.session import Session
from reconciler.state import (
    LEDGER_FIELD,
    LEDGER_NAME,
    Event,
    LedgerError,
    LedgerVersion,
    events_of,
    from_text,
)
from reconciler.values import value


@value
class History:
    """The events, oldest first, of the ledger's versions from ``oldest`` on.

    ``passed_over`` is how many versions from there on could not be read.
    """

    place: str
    oldest: int
    newest: int
    passed_over: int
    events: tuple[Event, ...]


def read_history(session: Session) -> Stage[History]:
    """Return what the ledger's versions tell. VaultError, PersonNeededError."""
    meta = yield from read_meta(LEDGER_NAME)
    place = session.manifest.place
    if not meta.latest:
        raise PersonNeededError(f"there is no ledger at {place}: run `reconciler bootstrap`")
    first = max(meta.oldest, 1)
    numbers = range(first, meta.latest + 1)
    steps = tuple(partial(_read, number) for number in numbers)
    found = yield from Together(steps=steps, width=READERS)
    versions = [version for version in found if version is not None]
    if not versions:
        raise VaultError(
            f"no version of the ledger at {place} can be read: undelete the latest one with "
            "`vault kv undelete`"
        )
    refuse_moved(versions[-1].ledger)
    return History(
        place=place,
        oldest=versions[0].number,
        newest=meta.latest,
        passed_over=sum(one is None for one in found[versions[0].number - first :]),
        events=events_of(versions),
    )


def _read(number: int) -> Step[LedgerVersion | None]:
    content = yield from read_secret(LEDGER_NAME, number)
    if content.state is not VersionState.LIVING:
        return None
    try:
        ledger = from_text(content.field(LEDGER_FIELD) or "")
    except LedgerError:
        return None
    return LedgerVersion(number=number, at_ms=content.created_at_ms or 0, ledger=ledger)
