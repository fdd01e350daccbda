"""Documents among the reserves that no row of a reserve and no open intent names.

    it holds a token that is                   then
    -----------------------------------------  ---------------------------------------
    current, retiring or revoking, in its      ``verify --reserve`` notes it as left,
    first version                              and the next apply deletes it
    released                                   nothing: it stays, as said at that time
    anything else, or it holds none            it is named: a person put it there, or
                                               the ledger was restored
    deleted already                            nothing

To find them takes a list of the folder and a call for each document, those included
that were deleted long ago. So a plan does not look: ``doctor`` and ``verify --reserve``
do.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model import VersionState
from reconciler.protocol import Step
from reconciler.run.reads import list_paths, read_metas, read_secret
from reconciler.state import RESERVE_FOLDER, TOKEN_ID, Ledger
from reconciler.values import value

STRAYS_MOST = 5_000
"""So many documents are looked at; there is one for each reserve that ever was."""

READ_MOST = 50
"""So many living ones are read."""


@value
class Stray:
    """A document of no reserve; ``token_id`` is None where it holds no token.

    ``owner`` is the label whose token it is, as we wrote it: in its first version.
    """

    path: str
    token_id: str | None
    owner: str | None = None

    def sentence(self, place: str) -> str:
        """Say what it is, and what to do; ``place`` is ``MOUNT/PREFIX``."""
        where = f"{place}/{self.path}"
        if self.owner is not None:
            return (
                f"{where} is a copy of {self.token_id} of {self.owner}, and no reserve: "
                "`reconciler verify --reserve` notes it, and the next apply deletes it"
            )
        holds = "no token" if self.token_id is None else self.token_id
        return f"{where} holds {holds}, and is no reserve: find out who wrote it, and delete it"


def find_strays(ledger: Ledger) -> Step[tuple[Stray, ...]]:
    """Return the documents that nobody names, by path. VaultError."""
    listed = yield from list_paths(limit=STRAYS_MOST, folder=RESERVE_FOLDER)
    named = frozenset(_named(ledger))
    metas = yield from read_metas([path for path in listed if path not in named])
    living = [path for path, meta in metas.items() if meta.state is VersionState.LIVING]
    owners, released = ledger.known_ids(), ledger.released_ids()
    found = []
    for path in living[:READ_MOST]:
        content = yield from read_secret(path)
        token_id = content.field(TOKEN_ID)
        if token_id in released:
            continue
        owner = owners.get(token_id or "") if content.version == 1 else None
        found.append(Stray(path=path, token_id=token_id, owner=owner))
    return tuple(found)


def _named(ledger: Ledger) -> Iterable[str]:
    yield from (row.path for row in ledger.left)
    for entry in ledger.tokens.values():
        yield from (kept.path for kept in entry.reserve)
        if entry.intent is not None:
            yield entry.intent.path
        yield from (row.path for row in entry.retiring if row.path is not None)
        for row in entry.revoking:
            yield from (row.path or entry.path, *row.copies)
