"""The ledger: one document in Vault that remembers which token is ours, and why.

It holds no secret. Its KV version is the serial number, the optimistic lock and the
fence of a run, so every change is one check-and-set write of the whole document. Here
are its values; ``transitions`` has the steps between them, ``ledger_text`` the text.

Beyond the fields of the contract, an intent and a retiring or revoking id name their
``path``, because there are two paths while one changes. A retiring id keeps the
``verified_at`` of its time as current. Both are needed to judge the id later.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from reconciler.errors import ReconcilerError
from reconciler.model import SecretMeta, VersionId, VersionState
from reconciler.state.cap import Cap
from reconciler.state.codec import LEFT_OUT, OPTIONAL
from reconciler.state.kept import Reserve
from reconciler.state.parted import Emptied, Left, Released
from reconciler.values import value

LEDGER_NAME = "_ledger"
LEDGER_FIELD = "ledger"


class LedgerError(ReconcilerError):
    """The text is no ledger of ours, or the ledger contradicts a step."""


class IntentKind(enum.Enum):
    """What a write of a secret is for; each kind is recovered in its own way."""

    DERIVE = "derive"
    ROTATE = "rotate"
    RESTORE = "restore"
    ROLLBACK = "rollback"
    ADOPT = "adopt"
    REWRITE = "rewrite"
    STOCK = "stock"
    PROMOTE = "promote"

    @property
    def derives(self) -> bool:
        """Whether it includes a POST, which may leave a token that nobody knows."""
        return self in {IntentKind.DERIVE, IntentKind.ROTATE, IntentKind.STOCK}


@value
class Holder:
    """Who holds the lease.

    ``write`` names the last write, so that reading can settle an unclear reply.
    """

    run: str
    write: str
    who: str
    expires_at_ms: int


@value
class Current:
    """The token that the consumers of a label are meant to hold.

    ``version`` is the KV version of the secret that holds it, written at
    ``version_created_at_ms``: the number alone may come round again. Uses up to
    ``verified_at_ms`` may be our own, and so may uses up to ``own_use_until_ms``, which
    is recorded before we sign with the token's secret. ``fresh``: this program derived
    it, and the only use that was ever shown is our proof, so nobody else has used it.
    ``missing_since_ms`` is when a list first lacked it while its secret was lost, so
    that nobody could ask whether it lives. ``unsigned``: what Vault holds of it was
    tried and did not sign, so it is as good as lost. ``in_use_since_ms`` is when it was
    adopted: its age counts from there, because it was somebody's before; None for a
    token that is in use since it was derived. Until ``grace_until_ms`` age is no reason
    to rotate it. ``asked_label`` is what we asked the exchange to call it, None for the
    label of its entry: they differ after the label was renamed. ``left_ms`` is when a
    run recorded that the label had left the manifest: its overlap counts from there.
    ``displaced``: another label's secret was written over its own, so it lies nowhere;
    the path of the entry is where it lay.
    """

    token_id: str
    live_label: str
    created_at_ms: int
    version: int
    verified_at_ms: int
    version_created_at_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    own_use_until_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    fresh: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    missing_since_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    unsigned: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    in_use_since_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    grace_until_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    asked_label: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    left_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    displaced: bool = dataclasses.field(default=False, metadata=LEFT_OUT)

    @property
    def ours_until_ms(self) -> int:
        """A use up to this instant may be our own."""
        return max(self.verified_at_ms, self.own_use_until_ms or 0)

    @property
    def version_id(self) -> VersionId:
        """Which version of the secret holds it."""
        return VersionId(self.version, self.version_created_at_ms)

    def is_in_place(self, meta: SecretMeta) -> bool:
        """Whether the latest version at its path is the recorded one, and readable."""
        return meta.state is VersionState.LIVING and self.version_id.is_same(meta.version_id)


@value
class Intent:
    """A write of a secret that was begun: all that a later run needs to end it.

    ``before`` are the ids that had the label, or one like it, before the derive, and
    ``listed`` says that they were listed directly before it. ``cas`` is the version
    that the write was made for, and ``cas_created_at_ms`` when Vault wrote that.
    ``grace_ms`` is an adoption's: for how long age is no reason to rotate the token.
    ``fields`` are the further names that the write carries, as in ``TokenSpec``, and
    ``others`` the names of what others wrote that it carries on, as in ``Entry``.
    """

    kind: IntentKind
    operation_id: str
    run: str
    since_ms: int
    before: tuple[str, ...]
    cas: int
    path: str
    scopes: tuple[str, ...]
    compromised: bool = dataclasses.field(default=False, metadata=OPTIONAL)
    token_id: str | None = dataclasses.field(default=None, metadata=OPTIONAL)
    cas_created_at_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    listed: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    grace_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    fields: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    others: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)


@value
class Retiring:
    """A predecessor within its overlap.

    ``path`` is where its secret lies, None if that is the path of the label. The other
    fields are as in ``Current``.
    """

    token_id: str
    live_label: str
    superseded_at_ms: int
    not_before_ms: int
    reason: str
    verified_at_ms: int = dataclasses.field(default=0, metadata=OPTIONAL)
    path: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    own_use_until_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    fresh: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    missing_since_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    unsigned: bool = dataclasses.field(default=False, metadata=LEFT_OUT)
    in_use_since_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    grace_until_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    asked_label: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)

    @property
    def ours_until_ms(self) -> int:
        """A use up to this instant may be our own."""
        return max(self.verified_at_ms, self.own_use_until_ms or 0)


@value
class Revoking:
    """An id that is to be revoked; ``path`` is as in ``Retiring``.

    Nothing stops that, save for an interrupted one that somebody uses
    (``spare_revoking``).

    ``asked_at_ms`` is when the exchange last answered a DELETE as if the id were gone.
    Only a later list without the id proves that it is. ``copies`` are further places of
    its secret (``Left``).
    """

    token_id: str
    live_label: str
    reason: str
    path: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    asked_at_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    copies: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)


@value
class Entry:
    """What the ledger knows of a label.

    An id is in at most one of ``current``, ``retiring``, ``revoking`` and ``reserve``.
    ``overlap_ms`` is the label's overlap as of its last token, for the time after the
    label has left the manifest. ``fields`` are the further names that the secret
    carries, as we wrote it last. ``others`` are the names of what others wrote beside
    our fields in the recorded version of the current secret (``named_others``).
    ``emptied`` are current and retiring tokens whose secret goes before them.
    """

    path: str
    protect: bool = False
    current: Current | None = None
    intent: Intent | None = None
    retiring: tuple[Retiring, ...] = ()
    revoking: tuple[Revoking, ...] = ()
    overlap_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    fields: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    others: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    reserve: tuple[Reserve, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    emptied: tuple[Emptied, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)

    def lives(self, token_id: str) -> bool:
        """Whether a token is current or retiring."""
        rows = (*self.retiring, *((self.current,) if self.current is not None else ()))
        return any(row.token_id == token_id for row in rows)

    def is_at(self, path: str) -> bool:
        """Whether the current token's secret lies at a path, as far as we know."""
        return self.current is not None and self.path == path and not self.current.displaced

    @property
    def idle(self) -> bool:
        """Whether nothing is left to remember, except perhaps the protection."""
        rows = (*self.retiring, *self.revoking, *self.reserve)
        return self.current is None and self.intent is None and not rows


@value
class Abandoned:
    """An intent that was closed without knowing whether its derive ever landed.

    ``before`` and ``scopes``, the intent's, are empty in a row of schema 1. It is old,
    and no list shows its token, since ``unseen_since_ms``.
    """

    label: str
    since_ms: int
    closed_at_ms: int
    before: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    scopes: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    unseen_since_ms: int | None = dataclasses.field(default=None, metadata=LEFT_OUT)


@value
class Closed:
    """The end of a token id, or of an attempt (then without an id): the audit trail.

    ``outcome`` is the reason of a revocation (``REVOKED``), or how else it ended.
    """

    label: str
    token_id: str | None
    outcome: str
    at_ms: int


REVOKED = frozenset(
    {
        "superseded",
        "not desired",
        "compromised",
        "rotated",
        "rolled back",
        "interrupted",
        "not committed",
        "did not sign",
    }
)
"""The outcomes of ids that we revoked ourselves.

One that lives again is revoked again. An id that somebody else revoked, or that a
person took out of our hands, is never.
"""


@value
class UseSample:
    """What the lists of one day showed of uses that were certainly ours.

    ``day_ms`` is the start of the day (UTC). ``lag_ms`` is the largest distance between
    a list and the signer's use that it showed, ``gap_ms`` the smallest one between two
    different uses of one signer; None where there was nothing to measure.
    """

    day_ms: int
    lag_ms: int | None = None
    gap_ms: int | None = None


@value
class ShownUse:
    """The last use of the signing token that was recorded as shown by a list."""

    token_id: str
    at_ms: int


@value
class Uses:
    """What is known of the worth of ``lastUsedAt`` at this exchange; see ``uses``."""

    samples: tuple[UseSample, ...] = ()
    shown: ShownUse | None = None


@value
class Applied:
    """A desired state that was applied; ``manifests`` explains both digests."""

    digest: str
    at_ms: int
    tokens: str = dataclasses.field(default="", metadata=LEFT_OUT)


@value
class Granted:
    """The exchange granted other scopes than were asked for; see ``granted``."""

    asked: tuple[str, ...]
    granted: tuple[str, ...]
    at_ms: int


@value
class Rotation:
    """A rotation that a person asked for and that is not over; see ``rotation``.

    ``targets`` are the labels and globs, ``run`` worked on it last. The newest token
    that lived when it began was made at ``newest_created_at_ms``, and ``reserves`` were
    in the reserves of its labels then.
    """

    targets: tuple[str, ...]
    compromised: bool
    run: str
    since_ms: int
    newest_created_at_ms: int
    reserves: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)


@value
class Ledger:
    """The whole document.

    ``manifests`` are the desired states of the last applies that changed something,
    oldest first. ``moved_to`` and ``arriving_from`` (``MOUNT/PREFIX``) make it invalid.
    ``cap``: how many tokens lived when a derive had ended another; see ``Cap``.
    """

    ledger_id: str
    api_url: str
    profile_id: int | None = None
    files: tuple[str, ...] = ()
    holder: Holder | None = None
    tokens: Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    abandoned: tuple[Abandoned, ...] = ()
    closed: tuple[Closed, ...] = ()
    uses: Uses = dataclasses.field(default=Uses(), metadata=LEFT_OUT)
    manifests: tuple[Applied, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    granted: tuple[Granted, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    released: tuple[Released, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    left: tuple[Left, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    moved_to: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    arriving_from: str | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    rotations: tuple[Rotation, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)
    cap: tuple[Cap, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)

    def known_ids(self) -> dict[str, str]:
        """Return each current, retiring, revoking or reserve id with its label."""
        ids: dict[str, str] = {}
        for label, entry in self.tokens.items():
            if entry.current is not None:
                ids[entry.current.token_id] = label
            ids.update((retiring.token_id, label) for retiring in entry.retiring)
            ids.update((revoking.token_id, label) for revoking in entry.revoking)
            ids.update((kept.token_id, label) for kept in entry.reserve)
        return ids

    def revoked_ids(self) -> dict[str, Closed]:
        """Return each id that we revoked, by its last row in the audit trail."""
        last = {row.token_id: row for row in self.closed if row.token_id is not None}
        ours = last.keys() - self.released_ids()
        return {i: row for i, row in last.items() if i in ours and row.outcome in REVOKED}

    def released_ids(self) -> frozenset[str]:
        """Return each id that was ours and was released; none of them is known."""
        return frozenset(row.token_id for row in self.released)
