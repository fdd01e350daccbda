"""A path that nobody owns any more is emptied before its token is revoked.

A consumer may read a secret right after the list that showed no use. So that look
decides on the secret only, and a list of later than its deletion on the token:

    step                        a run that dies then leaves
    --------------------------  ------------------------------------------------------
    evidence of a list          nothing
    may a place of the token    no: it goes at once, by that evidence
    have held its secret at
    that list, or does one by
    now? Which version?
    ledger: to be emptied       the next run goes on from here. A label that returns has
                                its secret written anew, as a version that no deletion
                                still on its way names
    delete that version by      the same
    number, if it is still
    there, and read again
    ledger: emptied, when       the next run has the second look, once a use from before
                                that is shown
    another list, later by as   the same. The list shows a use: it is held, as any token
    much as uses may be late    in use; its secret stays deleted
    ``revoke``: ledger:         see there
    revoking, and so on

The token stays current or retiring all the while, so that there is a way back until the
second look. A path at which another token's secret lies was emptied by whoever wrote
that: before the first look, or after it, as where a label takes the path over in the
same run. Nothing is looked at twice where uses decide nothing (``Evidence.again_ms``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from reconciler.model import SecretVersion
from reconciler.plan import Evidence
from reconciler.protocol.again import until_answered
from reconciler.protocol.effects import (
    DeleteVersion,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    Unclear,
    WriteLedger,
    time_of_record,
)
from reconciler.protocol.outcome import Outcome, failed, held, unrecorded
from reconciler.state import TOKEN_ID, Entry, emptied_of, note_emptied, note_emptying

LOOKS_AGAIN = "its secret is deleted; it goes once a later list shows no use of it"


def empty_first(  # noqa: PLR0913  # the last by name
    label: str,
    entry: Entry,
    token_id: str,
    path: str,
    evidence: Evidence,
    *,
    seen: SecretVersion | None = None,
) -> Step[Outcome | None]:
    """Delete the secret of a token that is to go by evidence, wherever it lies.

    None where the token may go now: the evidence is of after that, or nobody could
    read the secret since. Otherwise the outcome, which waits for another list
    where all went well (``Outcome.looks_again``). ``seen`` is what lies at the path, if
    that was just read.
    """
    if evidence.again_ms is None:
        return None
    readable: dict[str, int] = {}
    for place in sorted({path, *evidence.copies}):
        known = seen if place == path else None
        content = known or (yield from ReadSecret(path=place))
        if isinstance(content, (Refused, Unclear)):
            return failed(content.sentence, token_id)
        if content.field(TOKEN_ID) == token_id:
            readable[place] = content.version
    row = emptied_of(entry, token_id)
    if not readable and row is None and not (evidence.readable or evidence.copies):
        return None
    if readable or row is None or row.at_ms is None:
        return (yield from _empty_all(label, token_id, readable))
    if evidence.at_ms >= row.at_ms + evidence.again_ms:
        return None
    return _waits(token_id)


def _empty_all(label: str, token_id: str, readable: Mapping[str, int]) -> Step[Outcome]:
    """Announce it, delete those versions, and remember when they were gone.

    They were read before the announcement, which is refused to a run that was overtaken
    since. What is written later is another version, and nothing here deletes that.
    """
    reply = yield from WriteLedger(transition=note_emptying(label, token_id))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    for place, version in readable.items():
        deleted = yield from until_answered(DeleteVersion(path=place, version=version))
        if isinstance(deleted, Refused):
            return failed(f"not revoked yet: {deleted.sentence}", token_id)
        content = yield from ReadSecret(path=place)
        if isinstance(content, (Refused, Unclear)):
            return failed(f"not revoked yet: {content.sentence}", token_id)
        if content.field(TOKEN_ID) == token_id:
            return failed(f"not revoked yet: {place} still holds it: run again", token_id)
    at_ms = yield from time_of_record()
    reply = yield from WriteLedger(transition=note_emptied(label, token_id, at_ms=at_ms))
    return _waits(token_id) if isinstance(reply, Recorded) else unrecorded(reply, token_id)


def _waits(token_id: str) -> Outcome:
    return dataclasses.replace(held(LOOKS_AGAIN, token_id), looks_again=True)
