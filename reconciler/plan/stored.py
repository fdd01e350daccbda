"""What is found of a stored secret that can be put right without another token.

A label that is to be rotated is not put right before, as its new secret will do. One
whose rotation is held is (``pauses``): its consumers go on with the secret that it has.

The rules are those of ``reasons``.
"""

from __future__ import annotations

from reconciler.model import VersionState
from reconciler.plan.emptied import may_be_emptied
from reconciler.plan.facts import Finding, Listed
from reconciler.plan.vocabulary import Action, Reason


def will_end(facts: Listed) -> Finding | None:
    """The current secret ends by itself, though what is written now would stay."""
    if facts.meta.ends_at_ms is None or not facts.current.is_in_place(facts.meta):
        return None
    return Finding(Action.RESTORE, Reason.WILL_END, facts.meta.end_text())


def unread(facts: Listed) -> Finding | None:
    """The metadata says that something happened; only the content tells what."""
    if facts.content is not None and not facts.content.readable:
        return Finding(Action.HOLD, Reason.UNREAD)
    return None


def version_moved(facts: Listed) -> Finding | None:
    """The right content lies at another version.

    Somebody wrote it again, or a fence did and its run could not record that.
    """
    if facts.content is None or facts.content.token_id != facts.current.token_id:
        return None
    was, is_now = facts.current.version_id, facts.meta.version_id
    moved = is_now.number != was.number
    note = f"{was} -> {is_now.number}" if moved else f"{is_now}, written anew"
    return Finding(Action.RECORD, Reason.VERSION_MOVED, note)


def secret_moved(facts: Listed) -> Finding | None:
    """The content is gone or foreign, but an older version holds the current token."""
    source = facts.content.holder_version if facts.content is not None else None
    if source is None or facts.current.unsigned:
        return None
    note = f"from version {source}"
    if facts.meta.state is VersionState.LIVING and facts.content and not facts.content.placeholder:
        note += f"; {facts.meta.version_id} holds something else, which is written over"
    return Finding(Action.RESTORE, Reason.SECRET_MOVED, note)


STORED = (may_be_emptied, will_end, unread, version_moved, secret_moved)


def put_right(facts: Listed) -> Finding | None:
    """Return what the stored secret needs; None where it needs nothing, or a new token.

    One that another label's was written over is not written back.
    """
    if facts.current.displaced:
        return None
    found = (reason(facts) for reason in STORED)
    return next((finding for finding in found if finding is not None), None)
