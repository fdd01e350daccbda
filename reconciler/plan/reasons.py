"""Why a label's row in the plan is what it is: one small function per reason, and the order in which they are asked.

Rules this module keeps:

1. Gather first: a function sees ``Facts`` and nothing else; time is one of them.
2. The first function that answers decides. ``LABEL_REASONS`` and ``RETIRING_REASONS``
   are the table of contents.
3. Reasons explain, actions steer: whoever applies a plan branches on the action only.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from reconciler.model import HOUR_MS, LiveToken, SecretMeta, TokenSpec, VersionState, iso
from reconciler.state import Content, Entry, Holder, Retiring, only_verified

IN_USE_MS = HOUR_MS
"""A token that was used within this time is not revoked because a line left the file."""


class Action(enum.Enum):
    """What is done about a row. ``RECORD`` writes the ledger only."""

    RECOVER = "recover"
    RECORD = "record"
    RESTORE = "restore"
    DERIVE = "derive"
    ROTATE = "rotate"
    REVOKE = "revoke"
    HOLD = "hold"
    KEEP = "keep"


class Category(enum.Enum):
    """What ``--only`` chooses between."""

    CONFIG = "config"
    ROTATION = "rotation"
    CLEANUP = "cleanup"


class Reason(enum.Enum):
    """Why. The value is what machines read; ``SENTENCES`` what people read."""

    INTENT_OPEN = "intent_open"
    REVOKING_LEFT = "revoking_left"
    PLACEHOLDER_LEFT = "placeholder_left"
    IN_PROGRESS = "in_progress"
    FILE_MISSING = "file_missing"
    PROTECTED = "protected"
    IN_USE = "in_use"
    SIGNS = "signs"
    NOT_DESIRED = "not_desired"
    OCCUPIED = "occupied"
    TWIN = "twin"
    ABSENT = "absent"
    REVOKED_ELSEWHERE = "revoked_elsewhere"
    ROLLED_BACK = "rolled_back"
    SCOPES_WIDENED = "scopes_widened"
    SCOPES_NARROWED = "scopes_narrowed"
    SCOPES_CHANGED = "scopes_changed"
    PATH_CHANGED = "path_changed"
    REQUESTED = "requested"
    COMPROMISED = "compromised"
    UNREAD = "unread"
    VERSION_MOVED = "version_moved"
    SECRET_MOVED = "secret_moved"  # noqa: S105  # a reason, not a password
    SECRET_LOST = "secret_lost"  # noqa: S105  # the same
    DUE = "due"
    BUDGET = "budget"
    IN_SYNC = "in_sync"
    OVERLAP = "overlap"
    STILL_USED = "still_used"
    SUCCESSOR_UNUSED = "successor_unused"
    SUPERSEDED = "superseded"
    PROTECT_ON = "protect_on"
    PROTECT_OFF = "protect_off"
    FILES = "files"


SENTENCES: dict[Reason, str] = {
    Reason.INTENT_OPEN: "an earlier run was interrupted: finish or undo it",
    Reason.REVOKING_LEFT: "an earlier run recorded this token as revoking: finish it",
    Reason.PLACEHOLDER_LEFT: "an empty placeholder is left at the path: delete it",
    Reason.IN_PROGRESS: "another run is working on it",
    Reason.FILE_MISSING: "a file of the manifest is missing, so nothing counts as removed (--allow-missing-files)",
    Reason.PROTECTED: "protected: put `protect: false` into the manifest before you remove it",
    Reason.IN_USE: "not in the manifest, but used within the last hour (--revoke-in-use)",
    Reason.SIGNS: "it is the token that signs, which never revokes itself: sign with another one first",
    Reason.NOT_DESIRED: "not in the manifest any more",
    Reason.OCCUPIED: "the path holds a secret that is not ours: move it, choose another path, or --replace the label",
    Reason.TWIN: "a token with this label lives that we did not derive: adopt it, or --replace the label",
    Reason.ABSENT: "no token yet",
    Reason.REVOKED_ELSEWHERE: "its token is gone from the exchange",
    Reason.ROLLED_BACK: "the secret holds a predecessor: `reconciler rollback` makes that official",
    Reason.SCOPES_WIDENED: "scopes widened",
    Reason.SCOPES_NARROWED: "scopes narrowed",
    Reason.SCOPES_CHANGED: "scopes changed",
    Reason.PATH_CHANGED: "path changed",
    Reason.REQUESTED: "requested",
    Reason.COMPROMISED: "compromised: no overlap",
    Reason.UNREAD: "the secret is not at the recorded version, and this role may not read it: apply does",
    Reason.VERSION_MOVED: "the secret is in place at another version: put the ledger right",
    Reason.SECRET_MOVED: "the secret was overwritten or deleted: write it again",
    Reason.SECRET_LOST: "the secret is lost",
    Reason.DUE: "older than rotate_after",
    Reason.BUDGET: "due, but --max-rotations are planned already",
    Reason.IN_SYNC: "as it should be",
    Reason.OVERLAP: "the predecessor lives on through its overlap",
    Reason.STILL_USED: "a consumer still uses the predecessor",
    Reason.SUCCESSOR_UNUSED: "no consumer has used the successor yet",
    Reason.SUPERSEDED: "superseded, and nobody uses it any more",
    Reason.PROTECT_ON: "protected from now on",
    Reason.PROTECT_OFF: "NO LONGER protected",
    Reason.FILES: "remember the manifest's files",
}

NEEDS_DECISION = frozenset({Reason.TWIN, Reason.OCCUPIED, Reason.ROLLED_BACK})
"""Holds of a desired label that only a person resolves: they make an apply exit 4."""

CATEGORIES: dict[Reason, Category] = {
    **dict.fromkeys(Reason, Category.CONFIG),
    **dict.fromkeys((Reason.DUE, Reason.BUDGET), Category.ROTATION),
    **dict.fromkeys(
        (
            Reason.INTENT_OPEN,
            Reason.REVOKING_LEFT,
            Reason.PLACEHOLDER_LEFT,
            Reason.UNREAD,
            Reason.VERSION_MOVED,
            Reason.SECRET_MOVED,
            Reason.OVERLAP,
            Reason.STILL_USED,
            Reason.SUCCESSOR_UNUSED,
            Reason.SUPERSEDED,
        ),
        Category.CLEANUP,
    ),
}


class Finding(NamedTuple):
    """What a function found; ``note`` adds what varies (never decides)."""

    action: Action
    reason: Reason
    note: str = ""


class Facts(NamedTuple):
    """All that is known of one label when its row is decided.

    ``meta`` and ``content`` are of the recorded path (of the wanted path while nothing
    is recorded); ``target`` is the metadata of the wanted path. ``owner`` is another
    label that the ledger names for the wanted path.
    """

    label: str
    spec: TokenSpec | None
    entry: Entry | None
    live: LiveToken | None
    twins: tuple[LiveToken, ...]
    meta: SecretMeta
    content: Content | None
    target: SecretMeta
    target_content: Content | None
    owner: str | None
    now_ms: int
    signs: bool
    other_run: Holder | None
    files_missing: bool
    revoke_in_use: bool
    replace: bool
    requested: bool
    compromised: bool


# --- one function per reason: the label itself ---


def in_progress(facts: Facts) -> Finding | None:
    """An intent is open, and the run that opened it may still live."""
    entry = facts.entry
    if entry is None or entry.intent is None or facts.other_run is None:
        return None
    return Finding(
        Action.HOLD, Reason.IN_PROGRESS, f"run {facts.other_run.run} on {facts.other_run.who}"
    )


def intent_open(facts: Facts) -> Finding | None:
    """An intent is open, and its run is over."""
    if facts.entry is None or facts.entry.intent is None:
        return None
    return Finding(
        Action.RECOVER,
        Reason.INTENT_OPEN,
        f"{facts.entry.intent.kind.value} of {iso(facts.entry.intent.since_ms)}",
    )


def revoking_left(facts: Facts) -> Finding | None:
    """Revocations that were recorded come before anything else that is done to the label."""
    if facts.entry is None or not facts.entry.revoking:
        return None
    return Finding(Action.RECOVER, Reason.REVOKING_LEFT)


def placeholder_left(facts: Facts) -> Finding | None:
    """Only a fence writes an empty document, and deletes it by number."""
    if facts.content is not None and facts.content.placeholder:
        return Finding(Action.RECOVER, Reason.PLACEHOLDER_LEFT)
    return None


def nothing_left(facts: Facts) -> Finding | None:
    """Not wanted, and no current token: only retiring ones are left, which have rows of their own."""
    if facts.spec is None and (facts.entry is None or facts.entry.current is None):
        return Finding(Action.KEEP, Reason.IN_SYNC)
    return None


def file_missing(facts: Facts) -> Finding | None:
    """The line may stand in the file that is missing."""
    if facts.spec is None and facts.files_missing:
        return Finding(Action.HOLD, Reason.FILE_MISSING)
    return None


def protected(facts: Facts) -> Finding | None:
    """Remembered in the ledger: removing the line removes no protection."""
    if facts.spec is None and facts.entry is not None and facts.entry.protect:
        return Finding(Action.HOLD, Reason.PROTECTED)
    return None


def in_use(facts: Facts) -> Finding | None:
    """Somebody works with it right now; our own verify is no use."""
    if facts.spec is not None or facts.revoke_in_use or facts.live is None or facts.entry is None:
        return None
    used_at_ms, current = facts.live.last_used_at_ms, facts.entry.current
    if used_at_ms is None or current is None or only_verified(used_at_ms, current.verified_at_ms):
        return None
    if facts.now_ms - used_at_ms < IN_USE_MS:
        return Finding(Action.HOLD, Reason.IN_USE, f"last used {iso(used_at_ms)}")
    return None


def signs(facts: Facts) -> Finding | None:
    """The manager has left the manifest, but its token signs: without it nothing could be revoked any more."""
    if facts.spec is None and facts.signs:
        return Finding(Action.HOLD, Reason.SIGNS)
    return None


def not_desired(facts: Facts) -> Finding | None:
    """The line has left the file."""
    return Finding(Action.REVOKE, Reason.NOT_DESIRED) if facts.spec is None else None


def occupied(facts: Facts) -> Finding | None:
    """The wanted path holds something, and the label's own secret does not belong there yet."""
    spec, entry = facts.spec, facts.entry
    if spec is None or (
        entry is not None and entry.current is not None and entry.path == spec.path
    ):
        return None
    if facts.owner is not None:
        return Finding(
            Action.HOLD,
            Reason.OCCUPIED,
            f"{spec.path} belongs to {facts.owner} until that token is gone",
        )
    if facts.target.state is not VersionState.LIVING or facts.replace:
        return None
    if facts.target_content is not None and facts.target_content.placeholder:
        return None
    if facts.target_content is not None and entry is not None:
        leaving = {r.token_id for r in entry.retiring}
        if facts.target_content.token_id in leaving:
            return None  # a predecessor of this label, as at the path of every rotation
    return Finding(Action.HOLD, Reason.OCCUPIED, spec.path)


def twin(facts: Facts) -> Finding | None:
    """A label of ours without a token of ours, and somebody's token under it."""
    if (
        (facts.entry is not None and facts.entry.current is not None)
        or not facts.twins
        or facts.replace
    ):
        return None
    return Finding(Action.HOLD, Reason.TWIN, ", ".join(t.token_id for t in facts.twins))


def absent(facts: Facts) -> Finding | None:
    """Wanted, and nothing is there."""
    if facts.entry is None or facts.entry.current is None:
        return Finding(Action.DERIVE, Reason.ABSENT)
    return None


def revoked_elsewhere(facts: Facts) -> Finding | None:
    """Recorded, but not listed.

    Apply believes it only when the stored secret signs no more.
    """
    return Finding(Action.ROTATE, Reason.REVOKED_ELSEWHERE) if facts.live is None else None


def rolled_back(facts: Facts) -> Finding | None:
    """A person wrote a predecessor's secret again."""
    if facts.entry is None or facts.content is None or facts.content.token_id is None:
        return None
    if any(r.token_id == facts.content.token_id for r in facts.entry.retiring):
        return Finding(Action.HOLD, Reason.ROLLED_BACK, facts.content.token_id)
    return None


def compromised(facts: Facts) -> Finding | None:
    """A person asked for it, without overlap."""
    return Finding(Action.ROTATE, Reason.COMPROMISED) if facts.compromised else None


def scopes_differ(facts: Facts) -> Finding | None:
    """Tokens are immutable: other scopes mean another token."""
    if facts.spec is None or facts.live is None or facts.spec.scopes == facts.live.scopes:
        return None
    wanted, granted = frozenset(facts.spec.scopes), frozenset(facts.live.scopes)
    gained, lost = sorted(wanted - granted), sorted(granted - wanted)
    note = " ".join([*(f"+{s}" for s in gained), *(f"-{s}" for s in lost)])
    if not lost:
        return Finding(Action.ROTATE, Reason.SCOPES_WIDENED, note)
    return Finding(Action.ROTATE, Reason.SCOPES_CHANGED if gained else Reason.SCOPES_NARROWED, note)


def path_changed(facts: Facts) -> Finding | None:
    """The old path's secret goes when its token goes."""
    if facts.spec is None or facts.entry is None or facts.entry.path == facts.spec.path:
        return None
    return Finding(Action.ROTATE, Reason.PATH_CHANGED, f"{facts.entry.path} -> {facts.spec.path}")


def requested(facts: Facts) -> Finding | None:
    """A person asked for it."""
    return Finding(Action.ROTATE, Reason.REQUESTED) if facts.requested else None


def unread(facts: Facts) -> Finding | None:
    """The metadata says that something happened; only the content tells what."""
    if facts.content is not None and not facts.content.readable:
        return Finding(Action.HOLD, Reason.UNREAD)
    return None


def version_moved(facts: Facts) -> Finding | None:
    """The right content at another version: somebody wrote it again, or a fence was not recorded."""
    current = facts.entry.current if facts.entry is not None else None
    if current is None or facts.content is None or facts.content.token_id != current.token_id:
        return None
    return Finding(
        Action.RECORD, Reason.VERSION_MOVED, f"version {current.version} -> {facts.meta.latest}"
    )


def secret_moved(facts: Facts) -> Finding | None:
    """The content is gone or foreign, but an older version still holds the current token."""
    if facts.content is None or facts.content.holder_version is None:
        return None
    return Finding(
        Action.RESTORE, Reason.SECRET_MOVED, f"from version {facts.content.holder_version}"
    )


def secret_lost(facts: Facts) -> Finding | None:
    """No version holds the current token."""
    current = facts.entry.current if facts.entry is not None else None
    if current is None or in_place(current.version, facts.meta):
        return None
    return Finding(Action.ROTATE, Reason.SECRET_LOST)


def in_place(version: int, meta: SecretMeta) -> bool:
    """Whether the latest version is the recorded one and readable."""
    return meta.latest == version and meta.state is VersionState.LIVING


def due(facts: Facts) -> Finding | None:
    """Judged on the exchange's clock and its ``createdAt``."""
    if facts.spec is None or facts.live is None or facts.spec.rotate_after_ms is None:
        return None
    if facts.now_ms - facts.live.created_at_ms < facts.spec.rotate_after_ms:
        return None
    return Finding(
        Action.ROTATE,
        Reason.DUE,
        f"since {iso(facts.live.created_at_ms + facts.spec.rotate_after_ms)}",
    )


_KEEP = Finding(Action.KEEP, Reason.IN_SYNC)


def in_sync(_: Facts) -> Finding | None:
    """Nothing was found."""
    return _KEEP


LABEL_REASONS: tuple[Callable[[Facts], Finding | None], ...] = (
    in_progress,
    intent_open,
    revoking_left,
    placeholder_left,
    nothing_left,
    file_missing,
    protected,
    in_use,
    signs,
    not_desired,
    occupied,
    twin,
    absent,
    revoked_elsewhere,
    compromised,
    rolled_back,
    scopes_differ,
    path_changed,
    requested,
    unread,
    version_moved,
    secret_moved,
    secret_lost,
    due,
    in_sync,
)


# --- one function per reason: a retiring predecessor ---


class RetiringFacts(NamedTuple):
    """All that is known of a predecessor.

    ``leaving``: the label's own row revokes its current token. ``signs``: it is the
    token that signs. ``manager``: its only consumer is the tool itself, which reads the
    secret anew.
    """

    entry: Entry
    retiring: Retiring
    live: LiveToken | None
    content: Content | None
    successor: LiveToken | None
    signs: bool
    manager: bool
    leaving: bool
    now_ms: int


def overlap(facts: RetiringFacts) -> Finding | None:
    """Its time is not over."""
    if facts.now_ms >= facts.retiring.not_before_ms:
        return None
    return Finding(Action.HOLD, Reason.OVERLAP, f"until {iso(facts.retiring.not_before_ms)}")


def vanished(facts: RetiringFacts) -> Finding | None:
    """Not listed any more: the revocation is confirmed by revoking it, so that a lagging list can't make us forget it."""
    return Finding(Action.REVOKE, Reason.SUPERSEDED, "already gone") if facts.live is None else None


def content_again(facts: RetiringFacts) -> Finding | None:
    """A person wrote its secret again, so consumers are given it; in a label without a current token that saves nothing."""
    if (
        facts.entry.current is None
        or facts.content is None
        or facts.content.token_id != facts.retiring.token_id
    ):
        return None
    return Finding(Action.HOLD, Reason.ROLLED_BACK)


def retiring_signs(facts: RetiringFacts) -> Finding | None:
    """A token never revokes itself."""
    return Finding(Action.HOLD, Reason.SIGNS) if facts.signs else None


def still_used(facts: RetiringFacts) -> Finding | None:
    """Used within a time as long as its overlap: somebody has not picked up the new secret.

    Without an overlap the manager's last use is this run's own list: on a clock that is
    known to a second, it may lie ahead.
    """
    used_at_ms = facts.live.last_used_at_ms if facts.live is not None else None
    if used_at_ms is None or only_verified(used_at_ms, facts.retiring.verified_at_ms):
        return None
    quiet_ms = facts.retiring.not_before_ms - facts.retiring.superseded_at_ms
    if facts.now_ms - used_at_ms >= quiet_ms or (facts.manager and quiet_ms == 0):
        return None
    return Finding(Action.HOLD, Reason.STILL_USED, f"last used {iso(used_at_ms)}")


def superseded(facts: RetiringFacts) -> Finding | None:
    """Nobody ever used it, the label has left the file, or somebody uses the successor (in doubt, nobody does)."""
    current = facts.entry.current
    own_at_ms = facts.live.last_used_at_ms if facts.live is not None else None
    if only_verified(own_at_ms, facts.retiring.verified_at_ms) or facts.manager:
        return Finding(Action.REVOKE, Reason.SUPERSEDED)
    if current is None or facts.leaving:
        return Finding(Action.REVOKE, Reason.SUPERSEDED)
    used_at_ms = facts.successor.last_used_at_ms if facts.successor is not None else None
    if used_at_ms is not None and used_at_ms > current.verified_at_ms:
        return Finding(Action.REVOKE, Reason.SUPERSEDED)
    return None


def successor_unused(_: RetiringFacts) -> Finding | None:
    """The overlap is over and it is quiet, but there is no proof that the consumer has the new secret."""
    return Finding(Action.HOLD, Reason.SUCCESSOR_UNUSED)


RETIRING_REASONS: tuple[Callable[[RetiringFacts], Finding | None], ...] = (
    overlap,
    content_again,
    retiring_signs,
    vanished,
    still_used,
    superseded,
    successor_unused,
)
