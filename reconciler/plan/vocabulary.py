"""The words of a plan: its actions, categories and reasons, and how people read them.

Rules this module keeps:

1. Each word is defined once: machines read the value, people the sentence.
2. Actions steer, reasons explain: whoever applies a plan never branches on a reason.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Action(enum.Enum):
    """What is done about a row, in the order in which an apply does it.

    ``RENAME``, ``RECORD`` and ``RETIRE`` write the ledger only.
    """

    RECOVER = "recover"
    RENAME = "rename"
    RECORD = "record"
    RESTORE = "restore"
    REWRITE = "rewrite"
    DERIVE = "derive"
    ROTATE = "rotate"
    PROMOTE = "promote"
    RETIRE = "retire"
    REVOKE = "revoke"
    STOCK = "stock"
    HOLD = "hold"
    KEEP = "keep"


class ActionWords(NamedTuple):
    """How people see an action.

    ``mark`` and ``colour`` (a name of click's) are those of a row in a terminal.
    ``counted`` is how a summary counts such rows, ``done`` how a finished one is told.
    """

    mark: str
    colour: str
    counted: str
    done: str


ACTIONS: dict[Action, ActionWords] = {
    Action.RECOVER: ActionWords("*", "yellow", "to recover", "recovered"),
    Action.RENAME: ActionWords("=", "cyan", "to rename", "renamed"),
    Action.RECORD: ActionWords("=", "cyan", "to record", "recorded"),
    Action.RESTORE: ActionWords("<", "yellow", "to restore", "restored"),
    Action.REWRITE: ActionWords("<", "yellow", "to rewrite", "rewritten"),
    Action.DERIVE: ActionWords("+", "green", "to derive", "derived"),
    Action.ROTATE: ActionWords("~", "yellow", "to rotate", "rotated"),
    Action.PROMOTE: ActionWords("~", "yellow", "to rotate from the reserve", "rotated"),
    Action.RETIRE: ActionWords("-", "yellow", "to retire", "retired"),
    Action.REVOKE: ActionWords("-", "red", "to revoke", "revoked"),
    Action.STOCK: ActionWords("+", "green", "to stock", "stocked"),
    Action.HOLD: ActionWords(".", "cyan", "held", "held"),
    Action.KEEP: ActionWords(" ", "white", "kept", "kept"),
}


class Category(enum.Enum):
    """What ``--only`` chooses between."""

    CONFIG = "config"
    ROTATION = "rotation"
    CLEANUP = "cleanup"


class Reason(enum.Enum):
    """Why. The value is what machines read; ``SENTENCES`` what people read."""

    INTENT_OPEN = "intent_open"
    REVOKING_LEFT = "revoking_left"
    REVOKED_LIVES = "revoked_lives"
    STILL_LISTED = "still_listed"
    MISSING = "missing"
    PLACEHOLDER_LEFT = "placeholder_left"
    IN_PROGRESS = "in_progress"
    NAME_CHANGED = "name_changed"
    NAME_WAITS = "name_waits"
    NAME_TAKEN = "name_taken"
    FILE_MISSING = "file_missing"
    PROTECTED = "protected"
    IN_USE = "in_use"
    UNPROVEN = "unproven"
    SIGNS = "signs"
    NOT_DESIRED = "not_desired"
    LEAVING = "leaving"
    LEFT = "left"
    RETURNED = "returned"
    OCCUPIED = "occupied"
    PATH_TAKEN = "path_taken"
    WAITS_FOR = "waits_for"
    TWIN = "twin"
    ABSENT = "absent"
    LEDGER_RESTORED = "ledger_restored"
    REVOKED_ELSEWHERE = "revoked_elsewhere"
    ROLLED_BACK = "rolled_back"
    SCOPES_WIDENED = "scopes_widened"
    SCOPES_NARROWED = "scopes_narrowed"
    SCOPES_CHANGED = "scopes_changed"
    SCOPES_GRANTED = "scopes_granted"
    PATH_CHANGED = "path_changed"
    RENAMED = "renamed"
    REQUESTED = "requested"
    COMPROMISED = "compromised"
    ENDS_BY_ITSELF = "ends_by_itself"
    WILL_END = "will_end"
    UNREAD = "unread"
    VERSION_MOVED = "version_moved"
    SECRET_MOVED = "secret_moved"  # noqa: S105  # a reason, not a password
    SECRET_LOST = "secret_lost"  # noqa: S105  # the same
    FIELDS = "fields"
    DUE = "due"
    WINDOW = "window"
    HOLD_UNTIL = "hold_until"
    HOLD_BROKEN = "hold_broken"
    BUDGET = "budget"
    PILED_UP = "piled_up"
    IN_SYNC = "in_sync"
    OVERLAP = "overlap"
    STILL_USED = "still_used"
    SUCCESSOR_UNUSED = "successor_unused"
    SUPERSEDED = "superseded"
    PROTECT_ON = "protect_on"
    PROTECT_OFF = "protect_off"
    FILES = "files"
    RESERVE_SHORT = "reserve_short"
    RESERVE_ENDS = "reserve_ends"
    RESERVE_CAPPED = "reserve_capped"
    RESERVE_AGED = "reserve_aged"
    RESERVE_UNFIT = "reserve_unfit"
    RESERVE_SURPLUS = "reserve_surplus"
    RESERVE_LOST = "reserve_lost"
    RESERVE_USED = "reserve_used"
    RESERVE_LEFT = "reserve_left"


SENTENCES: dict[Reason, str] = {
    Reason.INTENT_OPEN: "an earlier run was interrupted: finish or undo it",
    Reason.REVOKING_LEFT: "an earlier run recorded this token as revoking: finish it",
    Reason.REVOKED_LIVES: (
        "we revoked this token, and the exchange lists it again: revoke it once more"
    ),
    Reason.STILL_LISTED: (
        "the exchange agreed to revoke this token and still lists it: it is asked again "
        "after an hour"
    ),
    Reason.MISSING: (
        "the exchange does not list it, and its secret is lost, so nobody can ask whether "
        "it is gone: if you know, `reconciler forget --token-id ID`"
    ),
    Reason.PLACEHOLDER_LEFT: "an empty placeholder is left at the path: delete it",
    Reason.IN_PROGRESS: "another run is working on it",
    Reason.NAME_CHANGED: "renamed: its tokens, path and protection move to the new label",
    Reason.NAME_WAITS: "the write that was begun for its former label is finished first",
    Reason.NAME_TAKEN: (
        "the ledger knows both this label and its former one, which can't become one: remove `was`"
    ),
    Reason.FILE_MISSING: (
        "a file of the manifest is missing, so nothing counts as removed: name it on the "
        "command line as well, or give --allow-missing-files once if it is gone for good"
    ),
    Reason.PROTECTED: "protected: put `protect: false` into the manifest before you remove it",
    Reason.IN_USE: "not in the manifest, but used within its overlap (--revoke-in-use)",
    Reason.UNPROVEN: (
        "how promptly the exchange shows uses is not proven for its overlap: wait, give it a "
        "longer overlap, or --revoke-unproven"
    ),
    Reason.SIGNS: (
        "it is the token that signs, which never revokes itself: sign with another one first"
    ),
    Reason.NOT_DESIRED: "not in the manifest any more",
    Reason.LEAVING: "not in the manifest any more: it lives on through its overlap",
    Reason.LEFT: "not in the manifest any more, and nobody uses it",
    Reason.RETURNED: "in the manifest again: it stays",
    Reason.OCCUPIED: (
        "the path holds a secret that is not ours: move it, choose another "
        "path, or --replace the label"
    ),
    Reason.PATH_TAKEN: (
        "the path is another label's, which stays there: choose another path for this one, or "
        "see to what keeps that one"
    ),
    Reason.WAITS_FOR: (
        "the path passes from one label to another, and this has to come after the other "
        "one's part: a later apply goes on"
    ),
    Reason.TWIN: (
        "a token with this label lives that we did not derive: adopt it, or --replace the label"
    ),
    Reason.ABSENT: "no token yet",
    Reason.LEDGER_RESTORED: (
        "its token is gone, and a newer one lives that the ledger does not know, as after "
        "a backup was restored: bring the newer ledger back, or --ledger-restored"
    ),
    Reason.REVOKED_ELSEWHERE: "its token is gone from the exchange",
    Reason.ROLLED_BACK: "the secret holds a predecessor: `reconciler rollback` makes that official",
    Reason.SCOPES_WIDENED: "scopes widened",
    Reason.SCOPES_NARROWED: "scopes narrowed",
    Reason.SCOPES_CHANGED: "scopes changed",
    Reason.SCOPES_GRANTED: (
        "the exchange granted other scopes than asked for: put those into the manifest, or "
        "ask the exchange and try again (--retry-scopes)"
    ),
    Reason.PATH_CHANGED: "path changed",
    Reason.RENAMED: "renamed: the exchange still has its token under the former label",
    Reason.REQUESTED: "requested",
    Reason.COMPROMISED: "compromised: no overlap",
    Reason.ENDS_BY_ITSELF: (
        "what is written at the path ends by itself: set its delete_version_after to 0s, "
        "or choose another path"
    ),
    Reason.WILL_END: (
        "the secret was written while the path let versions end by themselves: write it again"
    ),
    Reason.UNREAD: (
        "the secret is not at the recorded version, and this role may not read it: apply does"
    ),
    Reason.VERSION_MOVED: "the secret is in place at another version: put the ledger right",
    Reason.SECRET_MOVED: "the secret was overwritten or deleted: write it again",
    Reason.SECRET_LOST: "the secret is lost",
    Reason.FIELDS: "the secret's further names changed: write it again, with the same token",
    Reason.DUE: "due by its age",
    Reason.WINDOW: "due, but outside of the windows in which a rotation may start",
    Reason.HOLD_UNTIL: "the manifest holds its rotations",
    Reason.HOLD_BROKEN: (
        "its token is gone or its secret lost, and the manifest holds its rotations: take its "
        "hold_until out, or `reconciler rotate --compromised`"
    ),
    Reason.BUDGET: "due, but as many rotations are planned already as --max-rotations allows",
    Reason.PILED_UP: (
        "due, but three predecessors still live: see to their consumers, or --revoke-unproven"
    ),
    Reason.IN_SYNC: "as it should be",
    Reason.OVERLAP: "the predecessor lives on through its overlap",
    Reason.STILL_USED: "a consumer still uses the predecessor",
    Reason.SUCCESSOR_UNUSED: "no consumer has used the successor yet",
    Reason.SUPERSEDED: "superseded, and nobody uses it any more",
    Reason.PROTECT_ON: "protected from now on",
    Reason.PROTECT_OFF: "NO LONGER protected",
    Reason.FILES: "remember the manifest's files",
    Reason.RESERVE_SHORT: "a successor is missing in the reserve",
    Reason.RESERVE_ENDS: (
        "the reserve does not last for three more weeks: one apply with an identity token stocks it"
    ),
    Reason.RESERVE_CAPPED: (
        "a successor is missing in the reserve, and the exchange may end another token for it: "
        "revoke tokens that nobody needs, or lower `reserve`"
    ),
    Reason.RESERVE_AGED: "in the reserve for longer than reserve_age: it is replaced, not used",
    Reason.RESERVE_UNFIT: "in the reserve, and not what the manifest wants any more",
    Reason.RESERVE_SURPLUS: "in the reserve, and one more than the manifest wants",
    Reason.RESERVE_LOST: "in the reserve, and can't be used: its secret is lost, or it is gone",
    Reason.RESERVE_USED: (
        "somebody uses a token of the reserve: see who reads _reserve/, then adopt the token, "
        "or `reconciler rotate --token-id ID --compromised`"
    ),
    Reason.RESERVE_LEFT: "the document of a promoted reserve is left: delete it",
}

NEEDS_DECISION = frozenset(
    {
        Reason.TWIN,
        Reason.OCCUPIED,
        Reason.NAME_TAKEN,
        Reason.PATH_TAKEN,
        Reason.ROLLED_BACK,
        Reason.ENDS_BY_ITSELF,
        Reason.LEDGER_RESTORED,
        Reason.SCOPES_GRANTED,
        Reason.RESERVE_USED,
    }
)
"""Holds of a desired label that only a person resolves: they make an apply exit 4."""

CATEGORIES: dict[Reason, Category] = {
    **dict.fromkeys(Reason, Category.CONFIG),
    **dict.fromkeys(
        (
            Reason.DUE,
            Reason.WINDOW,
            Reason.HOLD_UNTIL,
            Reason.HOLD_BROKEN,
            Reason.BUDGET,
            Reason.PILED_UP,
            Reason.RESERVE_SHORT,
            Reason.RESERVE_ENDS,
            Reason.RESERVE_CAPPED,
        ),
        Category.ROTATION,
    ),
    **dict.fromkeys(
        (
            Reason.INTENT_OPEN,
            Reason.REVOKING_LEFT,
            Reason.REVOKED_LIVES,
            Reason.STILL_LISTED,
            Reason.MISSING,
            Reason.PLACEHOLDER_LEFT,
            Reason.UNREAD,
            Reason.WILL_END,
            Reason.VERSION_MOVED,
            Reason.SECRET_MOVED,
            Reason.LEAVING,
            Reason.LEFT,
            Reason.OVERLAP,
            Reason.STILL_USED,
            Reason.UNPROVEN,
            Reason.SUCCESSOR_UNUSED,
            Reason.SUPERSEDED,
            Reason.RESERVE_AGED,
            Reason.RESERVE_UNFIT,
            Reason.RESERVE_SURPLUS,
            Reason.RESERVE_LOST,
            Reason.RESERVE_USED,
            Reason.RESERVE_LEFT,
        ),
        Category.CLEANUP,
    ),
}
