"""The commit point: was a write of a secret applied, and how that is made certain.

A write that finds Vault busy is sent again for a while (``again``). What it then became
is settled here.

A write with check-and-set ``cas`` can only ever become version ``cas + 1``. What is
found there decides:

    version cas + 1         verdict
    ----------------------  ----------------------------------------------------------
    holds the operation id  committed
    holds anything else     not committed: no write with this cas can land from now on
    is deleted              taken away: it may have been ours, and have been read
    is not there, and the   fence: write version cas + 1 ourselves. Written: not
    latest is cas           committed. Not written: look again
    is not there, and the   trimmed: committed if a later version carries the
    latest is past it       operation id on, otherwise taken away
    is not there, and the   the path's metadata were deleted, perhaps with our
    latest is before cas,   version: taken away
    or of another time
    is unreadable           unproven

A fence has to write something, which consumers read:

    at the path                     the fence writes
    ------------------------------  --------------------------------------------------
    lives, and is not on its way    the same content again
    out
    nothing lives, or what does is  the newest older version that still holds the
    on its way out                  path's current token (``kept``)
    none does, or there is no such  an empty document, the placeholder, which is
    token                           deleted by its number

So a placeholder stands only where no working secret could be read.

Rules this module keeps:

1. A mismatch or an unclear reply is never believed: the verdict comes from reading.
2. A delete names a version, never the latest: deletes take no check-and-set.
3. Only the placeholder of the intent's own fence is ours to delete. A later one belongs
   to another intent, which would take its deletion for a person's.
"""

from __future__ import annotations

from reconciler.model import Secret, SecretVersion, VersionId, VersionState
from reconciler.protocol.again import Patience, until_answered
from reconciler.protocol.effects import (
    DeleteVersion,
    Done,
    Mismatch,
    PutSecret,
    ReadSecret,
    Refused,
    Sleep,
    Step,
    Unclear,
    Written,
)
from reconciler.state import OPERATION_ID, TOKEN_ID, is_placeholder
from reconciler.values import value

TRIES = 5
PAUSE_MS = 500
OLDER_READ = 10
"""So many older versions are read at most; Vault keeps as many by default."""


@value
class Committed:
    """The write was applied. ``content`` is the version that holds it."""

    content: SecretVersion


@value
class NotCommitted:
    """The write was not applied and never will be.

    ``rewritten`` is the id whose content a fence wrote again, that of version
    ``source``, as version ``version`` of the time ``created_at_ms``. ``empty`` is the
    number of the fence's placeholder, while it is the latest version. ``changed``:
    somebody else wrote in its place.
    """

    version: int
    created_at_ms: int | None = None
    rewritten: str | None = None
    source: int | None = None
    empty: int | None = None
    changed: bool = False


@value
class TakenAway:
    """A version was written and is gone: it may have been ours, and have been read.

    No write of ours can become that version from now on.
    """


@value
class Unproven:
    """Nothing can be said now; ``sentence`` says why."""

    sentence: str


Verdict = Committed | NotCommitted | TakenAway | Unproven


def believed(verdict: Verdict, secret: Secret) -> Verdict:
    """Return the verdict on the write of a secret; what holds another one is forged.

    Whoever can write the path and read the operation id can write a version that looks
    like ours. Ours may have been there before, so that is as if it had been taken away.
    """
    if not isinstance(verdict, Committed):
        return verdict
    found = verdict.content.secret
    return verdict if found is not None and found.same_as(secret) else TakenAway()


def unwritten(
    reply: Written | Mismatch | Refused | Unclear, verdict: NotCommitted | TakenAway
) -> str:
    """Say why a secret is not written: it was changed, or Vault did not take it."""
    changed = isinstance(verdict, TakenAway) or verdict.changed
    if changed or not isinstance(reply, (Refused, Unclear)):
        return "the secret was changed meanwhile"
    return f"the secret could not be written ({reply.sentence})"


def changed_since(path: str, seen: VersionId, found: VersionId) -> str:
    """Say that a path is not at the version that was seen when it was decided."""
    moved = f"{seen} -> {found.number}" if seen.number != found.number else "written anew"
    return f"{path} changed since the plan ({moved}): run again"


def resolve_commit(  # noqa: PLR0913  # the last three by name
    path: str,
    cas: int,
    operation_id: str,
    *,
    leaving: frozenset[str],
    kept: str | None = None,
    seen_at_ms: int | None = None,
) -> Step[Verdict]:
    """Find out whether the write was applied, and fence where nothing was written yet.

    ``leaving`` are ids that a fence must not write again, ``kept`` is one that it may
    write again from an older version. ``seen_at_ms`` is the time of
    version ``cas`` as it was seen.
    """
    sentence, patience = "Vault kept changing under the fence", Patience()
    pause_ms, sent = 0, False
    for _ in range(TRIES):
        if pause_ms:
            yield from Sleep(ms=pause_ms)
        seen = yield from _look(path, cas, operation_id)
        if isinstance(seen, Committed):
            return seen
        reply: NotCommitted | Mismatch | Refused | Unclear
        if isinstance(seen, tuple):
            ours, latest = seen
            if ours.state is VersionState.LIVING:
                return _overtaken(ours, latest, perhaps_fence=sent)
            if ours.state is VersionState.DELETED:
                return TakenAway()
            if not latest.version_id.is_same(VersionId(cas, seen_at_ms)):
                return (yield from _search(path, cas, latest, operation_id))
            reply, sent = (yield from _fence(path, latest, leaving, kept)), True
        else:
            reply = seen
        if isinstance(reply, NotCommitted):
            return reply
        if isinstance(reply, (Refused, Unclear)):
            sentence = reply.sentence
        pause_ms = patience.pause_ms(reply) or PAUSE_MS
    return Unproven(sentence=sentence)


def _look(
    path: str, cas: int, operation_id: str
) -> Step[Committed | tuple[SecretVersion, SecretVersion] | Refused | Unclear]:
    """Return version ``cas + 1`` and the latest, unless the former is ours already."""
    ours = yield from ReadSecret(path=path, version=cas + 1)
    if isinstance(ours, (Refused, Unclear)):
        return ours
    if ours.field(OPERATION_ID) == operation_id:
        return Committed(content=ours)
    latest = yield from ReadSecret(path=path)
    return latest if isinstance(latest, (Refused, Unclear)) else (ours, latest)


def _overtaken(
    ours: SecretVersion, latest: SecretVersion, *, perhaps_fence: bool = False
) -> NotCommitted:
    """Return the verdict where version ``cas + 1`` lives and is not ours.

    ``perhaps_fence``: a fence without a clear reply may have written it.
    """
    fenced = ours.version == latest.version and is_placeholder(ours)
    empty = latest.version if fenced else None
    return NotCommitted(version=latest.version, empty=empty, changed=not perhaps_fence)


def _search(path: str, cas: int, latest: SecretVersion, operation_id: str) -> Step[Verdict]:
    """Look for the operation id in the versions after ``cas + 1``.

    Version ``cas + 1`` was trimmed away: a fence that ran later wrote its content
    again, operation id included. Or it is being written now, and is found last. Where
    the latest is before ``cas``, the path's metadata were deleted: there are none.
    """
    for version in range(latest.version, cas, -1):
        found = yield from ReadSecret(path=path, version=version)
        if isinstance(found, (Refused, Unclear)):
            return Unproven(sentence=found.sentence)
        if found.field(OPERATION_ID) == operation_id:
            return Committed(content=found)
        if found.state is VersionState.ABSENT:
            break
        if version == cas + 1 and found.state is VersionState.LIVING:
            return _overtaken(found, latest)
    return TakenAway()


def _fence(
    path: str, latest: SecretVersion, leaving: frozenset[str], kept: str | None
) -> Step[NotCommitted | Mismatch | Refused | Unclear]:
    """Write the next version, so that no write with this check-and-set can land."""
    source = yield from _source(path, latest, leaving, kept)
    if isinstance(source, (Refused, Unclear)):
        return source
    fields, secret = (source.fields or (), source.secret) if source is not None else ((), None)
    reply = yield from PutSecret(path=path, fields=fields, secret=secret, cas=latest.version)
    if isinstance(reply, Written) and source is not None:
        return NotCommitted(
            version=reply.version,
            created_at_ms=reply.created_at_ms,
            rewritten=source.field(TOKEN_ID),
            source=source.version,
        )
    if isinstance(reply, Written):
        return NotCommitted(version=reply.version, empty=reply.version)
    return reply


def _source(
    path: str, latest: SecretVersion, leaving: frozenset[str], kept: str | None
) -> Step[SecretVersion | Refused | Unclear | None]:
    """Return the version whose content a fence writes again, if there is one."""
    lives = latest.state is VersionState.LIVING and not is_placeholder(latest)
    if lives and latest.field(TOKEN_ID) not in leaving:
        return latest
    if kept is None or kept in leaving:
        return None
    oldest = max(0, latest.version - 1 - OLDER_READ)
    for version in range(latest.version - 1, oldest, -1):
        found = yield from ReadSecret(path=path, version=version)
        if isinstance(found, (Refused, Unclear)):
            return found
        if found.field(TOKEN_ID) == kept and found.secret is not None:
            return found
        if found.state is VersionState.ABSENT:
            break
    return None


def delete_placeholder(path: str, version: int) -> Step[Refused | Unclear | None]:
    """Delete a fence's placeholder by its number. None once it is deleted."""
    reply = yield from until_answered(DeleteVersion(path=path, version=version))
    return None if isinstance(reply, Done) else reply
