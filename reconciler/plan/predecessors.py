"""Why a predecessor is held or revoked: one small function for each reason, in order.

A predecessor is a retiring token: its successor is current, and consumers may not have
read that yet. It is revoked on evidence only, never because enough time has passed.

The rules are those of ``reasons``.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import LiveToken, iso
from reconciler.plan.emptied import hidden_until
from reconciler.plan.facts import Finding
from reconciler.plan.setting import Setting
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Content, Current, Entry, Retiring, never_used, only_ours
from reconciler.values import value


@value
class RetiringFacts:
    """What is known of a predecessor when its row is decided.

    ``successor`` is the current token that consumers of its path get by now, and
    ``successor_live`` that token as listed. ``live`` and ``successor_live`` are None
    where the exchange lists no such token; ``content`` is what lies at the label's
    path. ``manager``: the only consumer is this program, which reads the secret anew.
    ``leaving``: the label is not in the manifest and has no current token any more, or
    this very run is to revoke that. A removal that stands in the manifest only is not
    believed: it may never be applied.
    """

    setting: Setting
    entry: Entry
    retiring: Retiring
    live: LiveToken | None
    content: Content | None
    successor: Current | None
    successor_live: LiveToken | None
    manager: bool
    leaving: bool

    @property
    def quiet_ms(self) -> int:
        """For how long nobody may have used it: its overlap."""
        return self.retiring.not_before_ms - self.retiring.superseded_at_ms

    @property
    def doubt_ms(self) -> int | None:
        """By how much a shown use may be late; None where uses prove nothing."""
        return 0 if self.manager else self.setting.doubt_within(self.quiet_ms)

    @property
    def again_ms(self) -> int | None:
        """How long after its secret is deleted a list decides once more."""
        return None if self.manager or self.live is None else self.doubt_ms or 0

    @property
    def never_used(self) -> bool:
        """Whether nobody but us was ever shown to use it.

        ``--revoke-unproven`` believes that of a token whose origin proves nothing.
        """
        token = self.retiring
        if self.setting.policy.revoke_unproven:
            token = dataclasses.replace(token, fresh=True)
        return never_used(token, self.live)


def overlap(facts: RetiringFacts) -> Finding | None:
    """Its time is not over, or a use at its end may not be shown yet.

    Without an overlap nobody is waited for.
    """
    late_ms = (facts.doubt_ms or 0) if facts.quiet_ms else 0
    ends_ms = facts.retiring.not_before_ms + late_ms
    if facts.setting.now_ms >= ends_ms:
        return None
    return Finding(Action.HOLD, Reason.OVERLAP, f"until {iso(ends_ms)}")


def content_again(facts: RetiringFacts) -> Finding | None:
    """A person wrote its secret again, so consumers are given it.

    In a label that is gone, holding it back would save nothing. In a wanted one without
    a current token, a new token will take its place.
    """
    if facts.content is None or facts.content.token_id != facts.retiring.token_id:
        return None
    if facts.entry.current is None:
        return None if facts.leaving else Finding(Action.HOLD, Reason.SUCCESSOR_UNUSED)
    return Finding(Action.HOLD, Reason.ROLLED_BACK)


def retiring_signs(facts: RetiringFacts) -> Finding | None:
    """It is the token that signs, and a token never revokes itself."""
    if facts.retiring.token_id == facts.setting.signer_id:
        return Finding(Action.HOLD, Reason.SIGNS)
    return None


def vanished(facts: RetiringFacts) -> Finding | None:
    """The exchange does not list it.

    It is revoked all the same: that confirms its end, so that a list which lags can't
    make the ledger forget a token that lives. One that can't be asked, because its
    secret is lost, is left to a person.
    """
    if facts.live is not None:
        return None
    since_ms = facts.retiring.missing_since_ms
    if since_ms is not None:
        return Finding(Action.HOLD, Reason.MISSING, f"since {iso(since_ms)}")
    return Finding(Action.REVOKE, Reason.SUPERSEDED, "already gone")


def compromised(facts: RetiringFacts) -> Finding | None:
    """A person says that just this token has leaked: no evidence is waited for.

    What lies at the path, what signs, and what can't be asked is held all the same.
    """
    policy, token_id = facts.setting.policy, facts.retiring.token_id
    if not policy.compromised or token_id not in policy.selection.token_ids:
        return None
    for reason in (content_again, retiring_signs, vanished):
        finding = reason(facts)
        if finding is not None:
            return finding
    return Finding(Action.REVOKE, Reason.COMPROMISED)


def unproven(facts: RetiringFacts) -> Finding | None:
    """What the exchange shows of uses does not prove that nobody uses it.

    The manager is excepted: its only consumer is this program.
    """
    if facts.manager or facts.doubt_ms is not None:
        return None
    return Finding(Action.HOLD, Reason.UNPROVEN, facts.setting.doubt_text)


def still_used(facts: RetiringFacts) -> Finding | None:
    """Somebody may have used it within a time as long as its overlap and the doubt.

    A token that nobody but us was ever shown to use is excepted: a use soon after ours
    that is never shown was waited for with the overlap (``overlap``).

    The manager without an overlap is excepted. Its last use is this run's own list, and
    that may lie ahead of a clock that is known to a second only.
    """
    used_at_ms = facts.live.last_used_at_ms if facts.live is not None else None
    doubt_ms = facts.doubt_ms or 0
    if used_at_ms is None or facts.never_used:
        return None
    quiet_ms = facts.quiet_ms + doubt_ms
    if facts.setting.now_ms - used_at_ms >= quiet_ms or (facts.manager and facts.quiet_ms == 0):
        return None
    return Finding(Action.HOLD, Reason.STILL_USED, f"last used {iso(used_at_ms)}")


def emptied(facts: RetiringFacts) -> Finding | None:
    """Its secret is deleted, and a use from before that may not be shown yet."""
    return hidden_until(
        facts.entry,
        facts.retiring.token_id,
        facts.again_ms,
        now_ms=facts.setting.now_ms,
        reason=Reason.OVERLAP,
    )


def superseded(facts: RetiringFacts) -> Finding | None:
    """It is no longer needed.

    Nobody ever used it, only this program does (the manager), the label is going or
    gone, or somebody uses the successor: later than any use of our own, by more than
    the doubt.
    """
    successor, live = facts.successor, facts.successor_live
    if facts.never_used or facts.manager or facts.leaving:
        return Finding(Action.REVOKE, Reason.SUPERSEDED)
    if successor is None:
        return None
    next_at_ms = live.last_used_at_ms if live is not None else None
    if only_ours(next_at_ms, successor.ours_until_ms + (facts.doubt_ms or 0)):
        return None
    return Finding(Action.REVOKE, Reason.SUPERSEDED)


def successor_unused(_: RetiringFacts) -> Finding | None:
    """Nobody uses it by now, but nothing proves that consumers have the new secret."""
    return Finding(Action.HOLD, Reason.SUCCESSOR_UNUSED)


RETIRING = (
    compromised,
    overlap,
    content_again,
    retiring_signs,
    vanished,
    unproven,
    still_used,
    emptied,
    superseded,
    successor_unused,
)
