"""Whether a successor in the reserve is ready to be taken; ``stocked`` has the table.

The rules are those of ``reasons``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from reconciler.model import LiveToken, SecretMeta, TokenSpec, VersionState, iso
from reconciler.plan.facts import Finding
from reconciler.plan.setting import Setting
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Reserve, only_ours


def ready_reserves(
    setting: Setting,
    spec: TokenSpec,
    reserve: Iterable[Reserve],
    live: Mapping[str, LiveToken],
    meta: Callable[[str], SecretMeta],
) -> tuple[Reserve, ...]:
    """Return the reserves of a label that a rotation may take, the oldest first."""
    fit = (
        kept
        for kept in reserve
        if unfit(setting, spec, kept, live.get(kept.token_id), meta(kept.path)) is None
    )
    return tuple(sorted(fit, key=lambda kept: (kept.created_at_ms, kept.token_id)))


def unfit(
    setting: Setting, spec: TokenSpec, kept: Reserve, live: LiveToken | None, meta: SecretMeta
) -> Finding | None:
    """Return why a reserve can't be taken; None where it can.

    ``meta`` is its document's.
    """
    if is_compromised(setting, spec.label, kept):
        return Finding(Action.REVOKE, Reason.COMPROMISED)
    if kept.asked_label not in {None, spec.label}:
        return Finding(Action.REVOKE, Reason.RESERVE_UNFIT, f"was {kept.asked_label}")
    if kept.scopes != spec.scopes or (live is not None and live.scopes != spec.scopes):
        return Finding(Action.REVOKE, Reason.RESERVE_UNFIT, "other scopes")
    if live is None:
        return Finding(Action.REVOKE, Reason.RESERVE_LOST, "the exchange does not list it")
    if is_used(setting, kept, live):
        return Finding(Action.HOLD, Reason.RESERVE_USED, used_note(live))
    if not _is_as_written(kept, meta):
        return Finding(Action.REVOKE, Reason.RESERVE_LOST)
    if setting.now_ms - kept.created_at_ms >= spec.reserve_age_ms:
        return Finding(Action.REVOKE, Reason.RESERVE_AGED, f"made {iso(kept.created_at_ms)}")
    return None


def is_compromised(setting: Setting, label: str, kept: Reserve) -> bool:
    """Return whether a person said so of a reserve, by its id or by its label."""
    policy = setting.policy
    named = kept.token_id in policy.selection.token_ids
    distrusted = policy.distrust_reserve and label in policy.requested
    return policy.compromised and (named or distrusted)


def _is_as_written(kept: Reserve, meta: SecretMeta) -> bool:
    """Whether the document is as it was written.

    A deleted version comes back, unless it was destroyed.
    """
    there = meta.state in {VersionState.LIVING, VersionState.DELETED} and not meta.destroyed
    return not kept.lost and there and meta.version_id.is_same(kept.version_id)


def is_used(setting: Setting, kept: Reserve, live: LiveToken | None) -> bool:
    """Return whether a use is shown that can't be our own.

    One that signs this run's lists, in place of a manager that is gone, is in use by us
    at this moment.
    """
    if kept.token_id == setting.signer_id:
        return False
    used_at_ms = live.last_used_at_ms if live is not None else None
    return not only_ours(used_at_ms, kept.ours_until_ms + (setting.doubt_ms or 0))


def used_note(live: LiveToken | None) -> str:
    """Tell when a token was used last, for a note."""
    return f"last used {iso(live.last_used_at_ms or 0)}" if live is not None else ""
