"""The commit point: was a write of a secret applied, and how that is made certain.

A write with check-and-set ``cas`` can only ever become version ``cas + 1``. So, at ``cas + 1``:

    version cas + 1                       verdict
    ------------------------------------  ---------------------------------------------------------------------------------
    holds the operation id                committed
    holds anything else, or is deleted    not committed: no write with this cas can land any more
    is not there, latest is cas           fence: write the same content again, or, where the path has no living version or its
                                          content is on its way out, an empty document that is deleted by number. The fence
                                          written: not committed. Not written: look again
    is not there, latest is past it       trimmed: committed if a later version carries the operation id on, else unproven
    unreadable                            unproven

Rules this module keeps:

1. A mismatch or an unclear reply is never believed: the verdict comes from reading.
2. A delete names a version, never the latest: deletes take no check-and-set.
"""

from __future__ import annotations

from reconciler.effects import DeleteVersion, Done, PutSecret, ReadSecret, Refused, Sleep, Step, Unclear, Written, ask, value
from reconciler.model import SecretVersion, VersionState

TRIES = 5
PAUSE_MS = 500
OPERATION_ID = "operation_id"
TOKEN_ID = "token_id"  # noqa: S105  # the name of a field


@value
class Committed:
    """The write is there. ``content`` is the version that holds it."""

    content: SecretVersion


@value
class NotCommitted:
    """The write is not there and never will be.

    ``version`` is the latest one now; ``rewritten`` the id whose content a fence wrote again as that version.
    """

    version: int
    rewritten: str | None = None


@value
class Unproven:
    """It can't be known now."""

    sentence: str


Verdict = Committed | NotCommitted | Unproven


def settle(path: str, cas: int, operation_id: str, *, leaving: frozenset[str]) -> Step[Verdict]:
    """Find out, and fence where nothing was written yet. ``leaving`` are ids that a fence must not write again."""
    sentence = "Vault kept changing under the fence"
    for attempt in range(TRIES):
        if attempt:
            yield from ask(Sleep(ms=PAUSE_MS))
        ours = yield from ask(ReadSecret(path=path, version=cas + 1))
        if isinstance(ours, (Refused, Unclear)):
            sentence = ours.sentence
            continue
        if ours.field(OPERATION_ID) == operation_id:
            return Committed(content=ours)
        latest = yield from ask(ReadSecret(path=path))
        if isinstance(latest, (Refused, Unclear)):
            sentence = latest.sentence
            continue
        if ours.state is not VersionState.ABSENT:
            swept = yield from sweep(path, latest)
            return NotCommitted(version=latest.version) if isinstance(swept, Done) else Unproven(sentence=swept.sentence)
        if latest.version > cas:
            return (yield from _search(path, cas, latest, operation_id))
        verdict = yield from _fence(path, latest, leaving)
        if not isinstance(verdict, Unproven):
            return verdict
        sentence = verdict.sentence
    return Unproven(sentence=sentence)


def _search(path: str, cas: int, latest: SecretVersion, operation_id: str) -> Step[Verdict]:
    """Version ``cas + 1`` was trimmed away, or is just being written: a fence that ran later carries its operation id on."""
    for version in range(latest.version, cas, -1):
        found = yield from ask(ReadSecret(path=path, version=version))
        if isinstance(found, (Refused, Unclear)):
            return Unproven(sentence=found.sentence)
        if found.field(OPERATION_ID) == operation_id:
            return Committed(content=found)
        if found.state is VersionState.ABSENT:
            break
        if version == cas + 1:
            return NotCommitted(version=latest.version)
    return Unproven(sentence=f"the versions of {path} that would tell were trimmed away: raise max_versions on it")


def _fence(path: str, latest: SecretVersion, leaving: frozenset[str]) -> Step[Verdict]:
    token_id = latest.field(TOKEN_ID)
    if latest.state is VersionState.LIVING and not is_placeholder(latest) and token_id not in leaving:
        fields = latest.fields or ()
        reply = yield from ask(PutSecret(path=path, fields=fields, secret=latest.secret, cas=latest.version))
        if isinstance(reply, Written):
            return NotCommitted(version=reply.version, rewritten=token_id)
    else:
        reply = yield from ask(PutSecret(path=path, fields=(), secret=None, cas=latest.version))
        if isinstance(reply, Written):
            gone = yield from ask(DeleteVersion(path=path, version=reply.version))
            return NotCommitted(version=reply.version) if isinstance(gone, Done) else Unproven(sentence=gone.sentence)
    sentence = reply.sentence if isinstance(reply, (Refused, Unclear)) else "the secret changed under the fence"
    return Unproven(sentence=sentence)


def is_placeholder(content: SecretVersion) -> bool:
    """A living version without fields: the trace of a fence."""
    return content.state is VersionState.LIVING and not content.fields and content.secret is None


def sweep(path: str, latest: SecretVersion) -> Step[Done | Refused | Unclear]:
    """A placeholder that a crashed fence left is deleted by its number."""
    if not is_placeholder(latest):
        return Done()
    return (yield from ask(DeleteVersion(path=path, version=latest.version)))
