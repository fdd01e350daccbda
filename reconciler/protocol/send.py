"""Steps 1 and 2 of a derive: its turn, the list before it, the intent, the POST.

    the POST's reply         then
    -----------------------  ---------------------------------------------------------
    a token                  go on (``derive``)
    refused                  close the intent; failed
    unclear                  leave the intent open, derive no more in this run
    busy                     it was not done: its turn anew, a new list, the intent
                             refreshed in the ledger, the POST again
    busy, and the list has   the answer may have been wrong: the intent is abandoned, so
    a token that may be its  that the token is named; derive no more in this run
    busy for too long, or    close the intent, derive no more in this run; failed
    asked to come later

What goes into the reserve is not derived where as many tokens would live as when a
derive had ended another one (``state.capped``): then it is held.

The list is asked after the turn to derive was granted, so that it is of the moment
before the POST: what it has can't be what the POST makes, should its answer be lost.
A list that left within a fifth of a second before will do, if the run has sent no
derive and no revocation since: a run's first derive takes that of its look. After a 429
the list is a new one, and for the reserve, where it tells how many live. Without a
token to sign it with (bootstrap) nothing will be inferred.

A token that is believed gone is asked once more, with its own secret, before anything
is derived in its place: lists may lag.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import SECOND_MS, Derived, SecretVersion, TokenSpec
from reconciler.plan import NewToken
from reconciler.protocol.commit import changed_since
from reconciler.protocol.effects import (
    AwaitTurn,
    Busy,
    Derive,
    Listing,
    ListTokens,
    NewId,
    NoRoom,
    NoTurn,
    Now,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    StopDeriving,
    Unclear,
    WriteLedger,
)
from reconciler.protocol.outcome import Outcome, Run, failed, held, not_tried, unrecorded
from reconciler.protocol.revoke import confirm_gone
from reconciler.state import (
    TOKEN_ID,
    Entry,
    Fields,
    Intent,
    Ledger,
    Transition,
    abandon_intent,
    alike,
    close_intent,
    may_be_of,
    named_others,
    open_intent,
    others_of,
    own_ids,
    renew_intent,
    reserve_path,
    with_room,
)
from reconciler.values import value

SEND_WITHIN_MS = 6 * SECOND_MS
"""A POST that would go out later than this after its intent is not sent.

A run that was paused derives nothing. The pace may add four seconds, no more.
"""

BUSY_TRIES = 8
BUSY_FOR_MS = 120 * SECOND_MS
"""So often, and so long after its first intent, a derive is sent again after a 429."""


@value
class Sent:
    """A token that the exchange made, the intent it was made for, the task by then.

    ``others`` is what others wrote beside our fields, to be kept. ``before`` is the
    list right before the POST; it is empty where none could be asked.
    """

    task: NewToken
    intent: Intent
    derived: Derived
    others: Fields
    before: Listing


def send_derive(run: Run, task: NewToken) -> Step[Sent | Outcome]:
    """Do steps 1 and 2; an outcome where no token came of it."""
    ready = yield from _ready(task)
    if isinstance(ready, Outcome):
        return ready
    task, before, others = ready
    label, operation_id = task.spec.label, (yield from NewId())
    since_ms = began_ms = yield from Now()
    intent = Intent(
        kind=task.kind,
        operation_id=operation_id,
        run=run.run,
        since_ms=since_ms,
        before=_of_label(label, before),
        cas=task.seen.number,
        cas_created_at_ms=task.seen.created_at_ms,
        path=reserve_path(operation_id) if task.stocks else task.spec.path,
        scopes=task.spec.scopes,
        compromised=task.compromised,
        listed=task.can_list,
        fields=() if task.stocks else task.spec.fields,
        others=task.others,
    )
    opened = yield from WriteLedger(
        transition=_in_room(
            task, before, since_ms, open_intent(label, intent, protect=task.spec.protect)
        )
    )
    if isinstance(opened, NoRoom):
        return held(opened.sentence)
    if not isinstance(opened, Recorded):
        return unrecorded(opened)
    tries = 1
    while True:
        reply = yield from _post(task, intent)
        if isinstance(reply, Derived):
            return Sent(task=task, intent=intent, derived=reply, others=others, before=before)
        if isinstance(reply, Outcome):
            return reply
        now_ms = yield from Now()
        if reply.later or tries == BUSY_TRIES or now_ms > began_ms + BUSY_FOR_MS:
            return (yield from _give_up(label, operation_id, reply.sentence))
        again = yield from _again(task, intent, opened.ledger)
        if isinstance(again, Outcome):
            return again
        task, intent, before = again
        tries += 1


def _ready(task: NewToken) -> Step[tuple[NewToken, Listing, Fields] | Outcome]:
    """Return the task as it is known right before its POST, and the tokens that live.

    Beside them stands what others wrote. An outcome where nothing is to be derived now.
    What goes into the reserve has a document of its own, where nothing was before.
    """
    if task.stocks:
        ready = yield from _turn_and_list(task)
        return ready if isinstance(ready, Outcome) else (*ready, ())
    label, path = task.spec.label, task.spec.path
    content = yield from ReadSecret(path=path)
    if isinstance(content, (Refused, Unclear)):
        return not_tried(content.sentence)
    if not content.version_id.is_same(task.seen):
        return not_tried(changed_since(path, task.seen, content.version_id))
    others = yield from beside_new(task.spec, task.entry, content)
    if isinstance(others, Outcome):
        return others
    task = dataclasses.replace(task, others=named_others(others, task.spec.fields))
    if task.believed_gone and task.predecessor is not None:
        asked = yield from confirm_gone(label, task.entry, task.predecessor.token_id)
        if isinstance(asked, Outcome):
            return asked
        task = dataclasses.replace(task, believed_gone=asked)
    ready = yield from _turn_and_list(task, recent=True)
    return ready if isinstance(ready, Outcome) else (*ready, others)


def beside_new(spec: TokenSpec, entry: Entry, content: SecretVersion) -> Step[Fields | Outcome]:
    """Return what others wrote beside our fields, which goes on with the new secret.

    ``content`` is the latest version at the wanted path. What lies at the path that the
    label has now is taken along to another one. Where another label has taken that
    over, the version is read that was the label's own.
    """
    beside, current = others_of(content, entry), entry.current
    if current is None or entry.path == spec.path:
        return beside
    old = yield from ReadSecret(path=entry.path)
    if isinstance(old, SecretVersion) and old.field(TOKEN_ID) not in own_ids(entry):
        old = yield from ReadSecret(path=entry.path, version=current.version)
    if isinstance(old, (Refused, Unclear)):
        return not_tried(old.sentence)
    return tuple({**dict(others_of(old, entry)), **dict(beside)}.items())


def _turn_and_list(
    task: NewToken, *, recent: bool = False
) -> Step[tuple[NewToken, Listing] | Outcome]:
    """Wait for the turn to derive, then list what lives; all that was listed is known.

    An outcome where there is no turn, or no list.
    """
    turn = yield from AwaitTurn()
    if isinstance(turn, NoTurn):
        return not_tried(turn.sentence)
    if not task.can_list:
        return task, Listing(tokens=())
    listing = yield from ListTokens(recent=recent)
    if not isinstance(listing, Listing):
        return not_tried(listing.sentence)
    return dataclasses.replace(task, listed=task.listed | listing.ids), listing


def _of_label(label: str, before: Listing) -> tuple[str, ...]:
    return tuple(sorted(token.token_id for token in before.tokens if alike(label, token.label)))


def _in_room(task: NewToken, before: Listing, now_ms: int, step: Transition) -> Transition:
    """Return the step before a POST; that of a stocking is refused without room."""
    if not task.stocks:
        return step
    return with_room(step, task.spec.label, before.ids, before.lived, now_ms)


def _post(task: NewToken, intent: Intent) -> Step[Derived | Busy | Outcome]:
    """Send one POST for an intent that was recorded just now."""
    label, operation_id = task.spec.label, intent.operation_id
    sent_ms = yield from Now()
    if sent_ms > intent.since_ms + SEND_WITHIN_MS:
        late = not_tried("too much time passed before it could be sent: run again")
        return (yield from close_underived(label, operation_id, late))
    reply = yield from Derive(label=label, scopes=task.spec.scopes)
    if isinstance(reply, Refused):
        return (yield from close_underived(label, operation_id, failed(reply.sentence)))
    if isinstance(reply, Unclear):
        return (yield from leave_unclear(reply.sentence))
    return reply


def _again(
    task: NewToken, intent: Intent, ledger: Ledger
) -> Step[tuple[NewToken, Intent, Listing] | Outcome]:
    """Prepare another POST after a 429: turn, list and intent are of now."""
    label, operation_id = task.spec.label, intent.operation_id
    known = task.listed
    ready = yield from _turn_and_list(task)
    if isinstance(ready, Outcome):
        return (yield from close_underived(label, operation_id, ready))
    task, before = ready
    landed = [
        token.token_id
        for token in before.tokens
        if token.token_id not in known and may_be_of(label, intent, ledger, token)
    ]
    if landed:
        return (yield from _abandon(label, operation_id, landed))
    now_ms = yield from Now()
    # a reply may have set the clock back a little: each POST has an instant of its own
    since_ms = max(now_ms, intent.since_ms + 1)
    intent = dataclasses.replace(intent, since_ms=since_ms, before=_of_label(label, before))
    renewal = renew_intent(label, operation_id, since_ms=intent.since_ms, before=intent.before)
    renewed = yield from WriteLedger(transition=_in_room(task, before, since_ms, renewal))
    if isinstance(renewed, NoRoom):
        return (yield from close_underived(label, operation_id, held(renewed.sentence)))
    return (task, intent, before) if isinstance(renewed, Recorded) else unrecorded(renewed)


def _abandon(label: str, operation_id: str, landed: list[str]) -> Step[Outcome]:
    """Give an intent up whose 429 may have been wrong; nothing is revoked by guess."""
    yield from StopDeriving(sentence="a derive that was answered with 429 may have been done")
    now_ms = yield from Now()
    reply = yield from WriteLedger(transition=abandon_intent(label, operation_id, at_ms=now_ms))
    if not isinstance(reply, Recorded):
        return unrecorded(reply)
    return failed(
        f"the exchange answered with 429, and lists {', '.join(landed)} since then: "
        "look at it, and forget it or revoke it"
    )


def _give_up(label: str, operation_id: str, sentence: str) -> Step[Outcome]:
    """Close the intent of a derive that was answered with 429 to the end."""
    yield from StopDeriving(sentence=sentence)
    return (yield from close_underived(label, operation_id, failed(sentence)))


def leave_unclear(sentence: str) -> Step[Outcome]:
    """Leave the intent open, because what became of the derive can't be known now.

    This run derives no more.
    """
    yield from StopDeriving(sentence="an earlier derive of this run got no clear answer")
    return failed(
        f"the derive may have been done: {sentence}; "
        "the next run finds out and revokes what it left"
    )


def close_underived(label: str, operation_id: str, outcome: Outcome) -> Step[Outcome]:
    """Close the intent, because nothing was derived."""
    now_ms = yield from Now()
    step = close_intent(
        label,
        operation_id,
        outcome="not derived" if outcome.token_id is None else outcome.sentence,
        at_ms=now_ms,
    )
    reply = yield from WriteLedger(transition=step)
    return outcome if isinstance(reply, Recorded) else unrecorded(reply)
