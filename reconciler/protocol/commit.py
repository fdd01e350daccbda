"""The commit point: was a write of a secret applied, and how that is made certain.

A write with check-and-set ``cas`` can only ever become version ``cas + 1``. So, at
``cas + 1``:

    version cas + 1                       verdict
    ------------------------------------  ---------------------------------------------------------------------------------
    holds the operation id                committed
    holds anything else                   not committed: no write with this cas can land any more
    is deleted                            taken away: it may have been ours, and a consumer may have read it
    is not there, latest is cas           fence: write the same content again, or, where the path has no living version or its
                                          content is on its way out, an empty document. The fence written: not committed. Not
                                          written: look again
    is not there, latest is past it       trimmed: committed if a later version carries the operation id on, else taken away
    unreadable                            unproven

An empty document is deleted by its number (``tidy``), but only once the verdict is
recorded: so while an intent is open, nobody but a person ever deletes its version ``cas
+ 1``, and a fence is never taken for what a person did.

Rules this module keeps:

1. A mismatch or an unclear reply is never believed: the verdict comes from reading.
2. A delete names a version, never the latest: deletes take no check-and-set.
"""

from __future__ import annotations

from reconciler.model import SecretVersion, VersionState
from reconciler.protocol.effects import (
    DeleteVersion,
    Done,
    PutSecret,
    ReadSecret,
    Refused,
    Sleep,
    Step,
    Unclear,
    Written,
    value,
)
from reconciler.state import OPERATION_ID, TOKEN_ID, is_placeholder

TRIES = 5
PAUSE_MS = 500


@value
class Committed:
    """The write is there. ``content`` is the version that holds it."""

    content: SecretVersion


@value
class NotCommitted:
    """The write is not there and never will be.

    ``rewritten`` is the id whose content a fence wrote again, as version ``version``.
    ``empty`` is the number of the empty document that is the latest version now, if
    there is one.
    """

    version: int
    rewritten: str | None = None
    empty: int | None = None


@value
class TakenAway:
    """A version was written there and is gone: it may have been ours, and read.

    It can't become so any more.
    """

    empty: int | None = None


@value
class Unproven:
    """It can't be known now."""

    sentence: str


Verdict = Committed | NotCommitted | TakenAway | Unproven


def resolve_commit(
    path: str, cas: int, operation_id: str, *, leaving: frozenset[str]
) -> Step[Verdict]:
    """Find out, and fence where nothing was written yet.

    ``leaving`` are ids that a fence must not write again.
    """
    sentence = "Vault kept changing under the fence"
    for attempt in range(TRIES):
        if attempt:
            yield from Sleep(ms=PAUSE_MS)
        ours = yield from ReadSecret(path=path, version=cas + 1)
        if isinstance(ours, (Refused, Unclear)):
            sentence = ours.sentence
            continue
        if ours.field(OPERATION_ID) == operation_id:
            return Committed(content=ours)
        latest = yield from ReadSecret(path=path)
        if isinstance(latest, (Refused, Unclear)):
            sentence = latest.sentence
            continue
        empty = latest.version if is_placeholder(latest) else None
        if ours.state is VersionState.LIVING:
            return NotCommitted(version=latest.version, empty=empty)
        if ours.state is VersionState.DELETED:
            return TakenAway(empty=empty)
        if latest.version > cas:
            return (yield from _search(path, cas, latest, operation_id))
        verdict = yield from _fence(path, latest, leaving)
        if not isinstance(verdict, Unproven):
            return verdict
        sentence = verdict.sentence
    return Unproven(sentence=sentence)


def _search(path: str, cas: int, latest: SecretVersion, operation_id: str) -> Step[Verdict]:
    """Version ``cas + 1`` was trimmed away, or is just being written: a fence that ran later carries its operation id on."""
    empty = latest.version if is_placeholder(latest) else None
    for version in range(latest.version, cas, -1):
        found = yield from ReadSecret(path=path, version=version)
        if isinstance(found, (Refused, Unclear)):
            return Unproven(sentence=found.sentence)
        if found.field(OPERATION_ID) == operation_id:
            return Committed(content=found)
        if found.state is VersionState.ABSENT:
            break
        if version == cas + 1 and found.state is VersionState.LIVING:
            return NotCommitted(version=latest.version, empty=empty)
    return TakenAway(empty=empty)


def _fence(path: str, latest: SecretVersion, leaving: frozenset[str]) -> Step[Verdict]:
    token_id = latest.field(TOKEN_ID)
    if (
        latest.state is VersionState.LIVING
        and not is_placeholder(latest)
        and token_id not in leaving
    ):
        fields = latest.fields or ()
        reply = yield from PutSecret(
            path=path, fields=fields, secret=latest.secret, cas=latest.version
        )
        if isinstance(reply, Written):
            return NotCommitted(version=reply.version, rewritten=token_id)
    else:
        reply = yield from PutSecret(path=path, fields=(), secret=None, cas=latest.version)
        if isinstance(reply, Written):
            return NotCommitted(version=reply.version, empty=reply.version)
    sentence = (
        reply.sentence
        if isinstance(reply, (Refused, Unclear))
        else "the secret changed under the fence"
    )
    return Unproven(sentence=sentence)


def delete_placeholder(
    path: str, verdict: NotCommitted | TakenAway
) -> Step[Refused | Unclear | None]:
    """Once the verdict is recorded, delete the empty document by its number.

    None where none is left.
    """
    if verdict.empty is None:
        return None
    reply = yield from DeleteVersion(path=path, version=verdict.empty)
    return None if isinstance(reply, Done) else reply
