"""One document is written at the place that everything moves to.

    the new path has                    then
    ----------------------------------  ------------------------------------------------
    the same secret and fields          it is carried already
    nothing, or a deleted version       it is written over that number
    what a move before left there, or   it is written over that number
    an older copy of this one
    anything else                       it is not ours: nothing is written
    whatever, but the source is gone    a fence: no write that is on its way can land
                                        there any more
    whatever, and the label has been    nothing: its path is another label's
    displaced from its path

The document of a reserve has one version, at both places. So nothing is written over,
and a reserve that can't be carried is lost: the next plan lets it go by evidence.

    the new path has                    then, for a reserve
    ----------------------------------  ------------------------------------------------
    nothing                             it is written, as the first version; one that
                                        was deleted at the old place is brought back
                                        there before
    the same, as the first version      it is carried already
    what is not ours                    nothing is written
    anything else                       it is lost

A write that got no clear answer is settled by reading: what lies there is ours, or the
same is written again, or somebody else has written.

Rule this module keeps: a path is looked at before the run proves that it still has the
lease, and is written over just the version that was seen then. So a run that was
paused, and whose move another one has finished, writes nothing.
"""

from __future__ import annotations

from reconciler.errors import PartialError, ReconcilerError, VaultRefusedError
from reconciler.model import Secret, SecretVersion, VersionId, VersionState
from reconciler.protocol import (
    Patience,
    PutSecret,
    ReadSecret,
    Refused,
    Sleep,
    Step,
    Unclear,
    Undelete,
    delete_placeholder,
    until_answered,
)
from reconciler.run.reads import read_secret
from reconciler.state import (
    NOT_CARRIED,
    OPERATION_ID,
    TOKEN_ID,
    Entry,
    Fields,
    Ledger,
    Reserve,
    as_written,
    below,
    is_placeholder,
)
from reconciler.values import value

TRIES = 6
PAUSE_MS = 500


@value
class Source:
    """A secret that is to be carried: the token's, at a version of a path.

    ``displaced``: the path is another label's by now. ``once``: its document has one
    version, at each place.
    """

    path: str
    token_id: str
    version: VersionId
    displaced: bool = False
    once: bool = False


@value
class Target:
    """What a look at the new path of a secret came to.

    ``there`` is the version that holds the secret already. Else it is written over
    version ``cas``; or, where it is ``lost`` at the old path, a fence is, unless
    something lives there.
    """

    cas: int
    there: VersionId | None = None
    lost: bool = False
    lives: bool = False


def source_of(entry: Entry) -> Source | None:
    """Return what is to be carried of an entry's current secret; None without one."""
    current = entry.current
    if current is None:
        return None
    return Source(
        path=entry.path,
        token_id=current.token_id,
        version=current.version_id,
        displaced=current.displaced,
    )


def source_of_reserve(kept: Reserve) -> Source:
    """Return what is to be carried of a reserve."""
    return Source(path=kept.path, token_id=kept.token_id, version=kept.version_id, once=True)


def look_at(ledger: Ledger, source: Source, root: str) -> Step[Target]:
    """Look where a secret is to go.

    ReconcilerError where the new path holds what is not ours.
    """
    if source.displaced:
        return Target(cas=0, lost=True, lives=True)  # the path is another label's by now
    path = below(root, source.path)
    found = yield from read_secret(source.path, source.version.number)
    target = yield from read_secret(path)
    lives = target.state is VersionState.LIVING and not is_placeholder(target)
    if _comes_back(source, found) and not target.version:
        return Target(cas=0)
    if not _is_it(source, found):
        return Target(cas=target.version, lost=True, lives=lives)
    if _is_same(found, target) and target.version == (1 if source.once else target.version):
        return Target(cas=target.version, there=target.version_id)
    operation_id = target.field(OPERATION_ID)
    is_copy = operation_id is not None and operation_id == found.field(OPERATION_ID)
    if lives and not is_copy and path not in {row.path for row in ledger.left}:
        raise ReconcilerError(
            f"{as_written(path)} holds a secret that is not ours: move it, or choose another "
            "prefix, and run again"
        )
    lost = source.once and target.version > 0
    return Target(cas=target.version, lost=lost, lives=lives)


def carry(source: Source, root: str, target: Target) -> Step[VersionId]:
    """Return at which version of the new path the secret lies.

    NOT_CARRIED where it is lost. PartialError.
    """
    path = below(root, source.path)
    if target.there is not None:
        return target.there
    found = None if target.lost else (yield from _read(source))
    if found is None:
        if not target.lives:
            yield from _fence(path, target.cas)
        return NOT_CARRIED
    fields = found.fields or ()
    made = yield from put_until_there(path, fields, found.secret, cas=target.cas)
    return made.version_id


def _read(source: Source) -> Step[SecretVersion | None]:
    """Return the recorded version of a secret, brought back if it may be; else None."""
    number = source.version.number
    found = yield from read_secret(source.path, number)
    if _comes_back(source, found):
        reply = yield from until_answered(Undelete(path=source.path, version=number))
        if isinstance(reply, (Refused, Unclear)):
            raise PartialError(f"{reply.sentence}: `reconciler move` again goes on")
        found = yield from read_secret(source.path, number)
    return found if _is_it(source, found) else None


def _comes_back(source: Source, found: SecretVersion) -> bool:
    same = found.version_id.is_same(source.version)
    return source.once and same and found.state is VersionState.DELETED


def _is_it(source: Source, found: SecretVersion) -> bool:
    """Return whether a version is the recorded one, with the token's secret."""
    holds = found.secret is not None and found.field(TOKEN_ID) == source.token_id
    return holds and found.version_id.is_same(source.version)


def _fence(path: str, cas: int) -> Step[None]:
    """Let no write land that is on its way to a path where nothing lives."""
    made = yield from put_until_there(path, (), None, cas=cas)
    left = yield from delete_placeholder(path, made.version)
    if left is not None:
        raise PartialError(f"{left.sentence}: `reconciler move` again goes on")


def _is_same(one: SecretVersion, other: SecretVersion) -> bool:
    """Return whether two versions hold the same secret, under the same names."""
    if one.secret is None or other.secret is None or not one.secret.same_as(other.secret):
        return False
    ours, theirs = dict(one.fields or ()), dict(other.fields or ())
    return ours.keys() == theirs.keys() and all(
        _is_equal(value, theirs[name]) for name, value in ours.items()
    )


def _is_equal(one: str | Secret, other: str | Secret) -> bool:
    if isinstance(one, Secret):
        return isinstance(other, Secret) and one.same_as(other)
    return one == other


def put_until_there(
    path: str, fields: Fields, secret: Secret | None, *, cas: int
) -> Step[SecretVersion]:
    """Write a version over version ``cas``, and return it.

    VaultRefusedError where it is certainly not written, else PartialError.
    """
    sentence, patience = "", Patience()
    for _ in range(TRIES):
        reply = yield from PutSecret(path=path, fields=fields, secret=secret, cas=cas)
        found = yield from ReadSecret(path=path)
        if isinstance(found, SecretVersion) and found.version > cas:
            if _holds(found, fields, secret):
                return found
            raise PartialError(
                f"{as_written(path)} was written by somebody else meanwhile: look at it, and run "
                "`reconciler move` again, it goes on"
            )
        failure = reply if isinstance(reply, (Refused, Unclear)) else found
        if isinstance(failure, (Refused, Unclear)):
            sentence = failure.sentence
        if isinstance(reply, Refused) and reply.again_after_ms is None:
            raise VaultRefusedError(f"{as_written(path)} could not be written: {reply.sentence}")
        yield from Sleep(ms=patience.pause_ms(failure) or PAUSE_MS)
    raise PartialError(
        f"{as_written(path)} could not be written ({sentence}): `reconciler move` again goes on"
    )


def _holds(found: SecretVersion, fields: Fields, secret: Secret | None) -> bool:
    """Return whether a version holds what was to be written."""
    if not fields and secret is None:
        return is_placeholder(found)
    if secret is not None and (found.secret is None or not found.secret.same_as(secret)):
        return False
    return all(found.field(name) == text for name, text in fields if isinstance(text, str))
