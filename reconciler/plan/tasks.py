"""What applying a change needs to know: one kind of task for each way to make one.

    action            task
    ----------------  ------------------------------------------------------------------
    recover           RecoverIntent, FinishRevoking, RevokeAgain, RemovePlaceholder or
                      RemoveLeftover
    rename            RenameLabel
    record            RecordFiles, RecordProtection, RecordReturned, RecordInPlace or
                      RecordVersion
    restore           RestoreSecret
    rewrite           RewriteSecret
    derive, rotate,   NewToken
    stock
    promote           Promote
    retire            RetireCurrent
    revoke            RevokeCurrent, RevokeRetiring or RevokeReserve
    hold, keep        none

Rules this module keeps:

1. A task is complete: the planner fills in everything that was observed, so that
   applying it looks nothing up again.
2. A task is neither in the digest nor in a document: it follows from the same
   observation as the row that carries it.
"""

from __future__ import annotations

from reconciler.model import LiveToken, TokenSpec, VersionId
from reconciler.state import (
    Current,
    Entry,
    IntentKind,
    Ledger,
    Reserve,
    Retiring,
    Revoking,
    kept_beside,
)
from reconciler.values import value


@value
class Evidence:
    """What a revocation was decided on.

    ``live`` is the token as the exchange listed it, None where it was not in the list;
    ``at_ms`` is the exchange's clock right before that list. ``again_ms``: a secret
    that is still readable goes first, and a list so much later decides once more; None
    where uses decide nothing. ``copies`` are further places of the secret (``Left``),
    which count as readable by then: no snapshot looks there. ``readable``: its path
    held the secret by then.
    """

    live: LiveToken | None
    at_ms: int
    again_ms: int | None = None
    copies: tuple[str, ...] = ()
    readable: bool = False


@value
class RecoverIntent:
    """Finish or undo the write of a secret that an earlier run began.

    ``overlap_ms`` is the predecessor's, in case the write turns out to be there.
    ``uses_proven`` is as in ``NewToken``. A use may be shown late by ``doubt_ms``, None
    while that is not proven.
    """

    ledger: Ledger
    overlap_ms: int
    is_manager: bool
    uses_proven: bool = False
    doubt_ms: int | None = None


@value
class FinishRevoking:
    """Revoke a token that the ledger has as revoking; ``path`` is the label's.

    ``listed``: the exchange listed it.
    """

    path: str
    revoking: Revoking
    listed: bool = True


@value
class RevokeAgain:
    """Revoke a token that the ledger has as revoked, and that the exchange lists."""

    token_id: str
    live_label: str


@value
class RemovePlaceholder:
    """Delete the empty document that a fence left at the path."""

    path: str


@value
class RemoveLeftover:
    """Delete the document of a reserve that was promoted; ``path`` is where it lies."""

    entry: Entry
    path: str
    token_id: str


@value
class RenameLabel:
    """Move the ledger's entry of a former label to the label."""

    was: str


@value
class RecordFiles:
    """Remember the manifest's files."""

    files: tuple[str, ...]


@value
class RecordProtection:
    """Remember whether the label is protected."""

    protect: bool


@value
class RecordVersion:
    """Remember that the current token's secret lies at another version."""

    path: str
    entry: Entry
    version: VersionId


@value
class RecordInPlace:
    """Record a reserve as current: a person wrote its secret to the label's path."""

    path: str
    kept: Reserve
    entry: Entry
    seen: VersionId
    overlap_ms: int
    is_manager: bool = False


@value
class RestoreSecret:
    """Write the current token's secret again.

    ``source`` is the version that still holds it, ``seen`` the latest one. ``further``
    are the further names that the manifest wants, as in ``TokenSpec``.
    """

    path: str
    source: int
    seen: VersionId
    entry: Entry
    live: LiveToken
    further: tuple[str, ...] = ()


@value
class RewriteSecret:
    """Write the current secret again, with other further names.

    Its fields are as in ``RestoreSecret``.
    """

    path: str
    seen: VersionId
    entry: Entry
    live: LiveToken
    further: tuple[str, ...]


@value
class NewToken:
    """Derive a token, and retire its predecessor if it has one.

    ``entry`` is what the ledger knows of the label, ``seen`` the secret's latest
    version, ``listed`` all live ids, whoever they belong to. ``can_list``: there is a
    token to sign a list with. ``believed_gone``: the exchange did not list the
    predecessor.
    ``compromised``: all predecessors are revoked at once, without an overlap.
    ``passes_on``: another label is to have the path that this one leaves, so that what
    lies there stays until then.
    ``uses_proven``: uses are shown so promptly that a predecessor without an overlap,
    which nobody was shown to use, may go at once. ``standing`` are recorded tokens that
    live and are to live on: the run fills them in, because they depend on its other
    changes. ``others`` are the names of what others wrote beside our fields, known
    right before the POST. ``stocks``: the token goes into the reserve, and nothing else
    changes.
    """

    spec: TokenSpec
    entry: Entry
    seen: VersionId
    others: tuple[str, ...] = ()
    compromised: bool = False
    believed_gone: bool = False
    is_manager: bool = False
    uses_proven: bool = False
    passes_on: bool = False
    listed: frozenset[str] = frozenset()
    can_list: bool = True
    standing: frozenset[str] = frozenset()
    stocks: bool = False

    @property
    def predecessor(self) -> Current | None:
        """The label's current token."""
        return self.entry.current

    @property
    def done(self) -> str:
        """What was done, once it is."""
        if self.stocks:
            return "stocked"
        verb = "derived" if self.predecessor is None else "rotated"
        return verb + kept_beside(self.others)

    @property
    def kind(self) -> IntentKind:
        """What the intent says."""
        if self.stocks:
            return IntentKind.STOCK
        return IntentKind.DERIVE if self.predecessor is None else IntentKind.ROTATE

    @property
    def listed_predecessor(self) -> frozenset[str]:
        """The predecessor's id, if there is one and the exchange listed it."""
        if self.predecessor is None or self.believed_gone:
            return frozenset()
        return frozenset({self.predecessor.token_id})


@value
class Promote:
    """Make a reserve the label's current token, and retire its predecessor.

    ``kept`` is the reserve. The other fields are as in ``NewToken``.
    """

    spec: TokenSpec
    entry: Entry
    seen: VersionId
    kept: Reserve
    compromised: bool = False
    believed_gone: bool = False
    is_manager: bool = False
    uses_proven: bool = False
    passes_on: bool = False

    @property
    def predecessor(self) -> Current | None:
        """The label's current token."""
        return self.entry.current


@value
class RetireCurrent:
    """Remember that the label has left the manifest: its token's overlap begins."""


@value
class RecordReturned:
    """Remember that a label that had left the manifest is in it again."""


@value
class RevokeCurrent:
    """Revoke the current token of a label that has left the manifest.

    ``after_taker``: this label takes its path over in the same run, and comes first, so
    that the path is never empty. Where that does not come about, the token stays.
    """

    entry: Entry
    evidence: Evidence
    after_taker: str | None = None


@value
class RevokeRetiring:
    """Revoke a predecessor.

    ``after_current``: this was decided because the label's current token goes in the
    same run. Where that does not come about, the predecessor stays. ``after_taker`` is
    as in ``RevokeCurrent``. ``outcome`` is what the audit trail says of its end.
    """

    entry: Entry
    retiring: Retiring
    evidence: Evidence
    after_current: bool = False
    after_taker: str | None = None
    outcome: str = "superseded"


@value
class RevokeReserve:
    """Revoke a token of the reserve.

    ``path`` is the label's, whose content is never revoked. ``after_stock``: it is
    replaced first, by a stocking of the same run. ``outcome`` is as in
    ``RevokeRetiring``.
    """

    kept: Reserve
    path: str
    evidence: Evidence
    after_stock: bool = False
    outcome: str = "not desired"


Task = (
    RecoverIntent
    | FinishRevoking
    | RevokeAgain
    | RemovePlaceholder
    | RemoveLeftover
    | RenameLabel
    | RecordFiles
    | RecordProtection
    | RecordVersion
    | RecordInPlace
    | RestoreSecret
    | RewriteSecret
    | RecordReturned
    | NewToken
    | Promote
    | RetireCurrent
    | RevokeCurrent
    | RevokeRetiring
    | RevokeReserve
)
