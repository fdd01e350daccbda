"""One snapshot of exchange, ledger and Vault, and what each live token is.

Rules this module keeps:

1. Values and pure questions only: a run's ``observe`` fills the snapshot in.
2. Each live token has exactly one of seven kinds, by recorded ids and proven
   interruptions (``lost``), never by age.
3. A snapshot that may be partial is not believed: ``distrust`` says why, and nothing is
   planned from it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from reconciler.model import (
    NEVER_WRITTEN,
    LiveToken,
    Manifest,
    SecretMeta,
    VersionId,
    VersionState,
)
from reconciler.state.codec import LEFT_OUT
from reconciler.state.kept import Reserve
from reconciler.state.ledger import Current, Ledger, Retiring, Uses
from reconciler.state.lost import interrupted
from reconciler.state.uses import Look
from reconciler.values import value

NOTHING_KNOWN = Uses()
"""Of the worth of shown uses."""


class Kind(enum.Enum):
    """What a live token is to us."""

    CURRENT = "current"
    RETIRING = "retiring"
    REVOKING = "revoking"
    INTERRUPTED = "interrupted"
    RESERVE = "reserve"
    TWIN = "twin"
    FOREIGN = "foreign"


@value
class Content:
    """What was read at a path whose metadata differ from the ledger; never the secret.

    ``token_id`` is None where the latest version is gone, holds no token, or has
    the current token's id with another secret than the recorded version has.
    ``holder_version`` is the version to restore from: the recorded one, or else the
    newest readable one that holds the label's current token. ``placeholder`` is an
    empty document, the trace of a fence. ``readable`` is False where the role may read
    metadata only. ``others`` are the names of what others wrote beside our fields: in
    the latest version where that is the label's own, else in the one to restore from.
    """

    token_id: str | None = None
    holder_version: int | None = None
    placeholder: bool = False
    readable: bool = True
    others: tuple[str, ...] = dataclasses.field(default=(), metadata=LEFT_OUT)


@value
class Observed:
    """Everything that a plan is made from.

    ``now_ms`` is the exchange's clock right before the list call, ``place`` is
    ``mount/prefix`` in Vault. ``foreign_unnamed`` counts the foreign tokens that are
    not named: those that a published snapshot leaves out, and those whose entry in the
    list can't be read. A use that the list shows may be late by
    ``doubt_ms``; None while nothing proves a bound. ``uses`` is what that is known
    from: the ledger's samples and this run's. ``look`` is what the list showed of its
    signer.
    """

    now_ms: int
    api_url: str
    place: str
    ledger: Ledger
    ledger_version: int
    live: tuple[LiveToken, ...]
    signer_id: str | None
    secrets: Mapping[str, SecretMeta]
    contents: Mapping[str, Content] = dataclasses.field(default_factory=dict)
    foreign_unnamed: int = 0
    doubt_ms: int | None = None
    uses: Uses = NOTHING_KNOWN
    look: Look | None = None

    def meta(self, path: str) -> SecretMeta:
        """Return Vault's metadata of a path."""
        return self.secrets.get(path, NEVER_WRITTEN)

    def living(self) -> dict[str, VersionId]:
        """Return which version lives at each path."""
        metas = self.secrets.items()
        return {path: m.version_id for path, m in metas if m.state is VersionState.LIVING}

    def live_by_id(self) -> dict[str, LiveToken]:
        """Return the live tokens by id."""
        return {token.token_id: token for token in self.live}


def classify(observed: Observed, labels: frozenset[str]) -> dict[str, Kind]:
    """Return the kind of each live token by id.

    ``labels`` are the desired ones; labels that the ledger remembers are ours as well.
    An id that we have revoked is revoking again where the list shows it, never a twin.
    One that was released is foreign, whatever its label.
    """
    ledger, live = observed.ledger, observed.live
    ours = labels | ledger.tokens.keys() | {row.label for row in ledger.abandoned}
    kinds: dict[str, Kind] = {}
    for label, entry in ledger.tokens.items():
        if entry.intent is not None:
            found = interrupted(
                label,
                entry.intent,
                ledger,
                live,
                now_ms=observed.now_ms,
                doubt_ms=observed.doubt_ms,
            )
            if found is not None:
                kinds[found] = Kind.INTERRUPTED
        for retiring in entry.retiring:
            kinds[retiring.token_id] = Kind.RETIRING
        kinds.update((kept.token_id, Kind.RESERVE) for kept in entry.reserve)
        for revoking in entry.revoking:
            kinds[revoking.token_id] = Kind.REVOKING
        if entry.current is not None:
            kinds[entry.current.token_id] = Kind.CURRENT
    apart = {
        **dict.fromkeys(ledger.revoked_ids(), Kind.REVOKING),
        **dict.fromkeys(ledger.released_ids(), Kind.FOREIGN),
    }
    kinds = {**apart, **kinds}
    return {
        token.token_id: kinds.get(token.token_id)
        or (Kind.TWIN if token.label in ours else Kind.FOREIGN)
        for token in live
    }


def wrong_exchange(ledger: Ledger, api_url: str) -> str | None:
    """Return in one sentence that the ledger is another exchange's, or None."""
    if ledger.api_url == api_url:
        return None
    return (
        f"the ledger belongs to {ledger.api_url}, and this run would ask {api_url}: "
        "set LIMITLESS_API_URL to the first, or use another vault prefix for this exchange"
    )


def distrust(observed: Observed, desired: Manifest, *, max_missing: int) -> str | None:
    """Return in one sentence why the snapshot can't be believed, or None if it can."""
    ledger, profile_id = observed.ledger, desired.profile_id
    labels = frozenset(spec.label for spec in desired.tokens)
    if observed.place != desired.place:
        return (
            f"the snapshot is of {observed.place}, "
            f"and the manifest's secrets lie at {desired.place}: "
            "take it again with this manifest, or put mount and prefix back"
        )
    wrong = wrong_exchange(ledger, observed.api_url)
    if wrong is not None:
        return wrong
    if profile_id is not None and ledger.profile_id not in {None, profile_id}:
        return (
            f"the ledger belongs to profile {ledger.profile_id}, "
            f"the manifest to profile {profile_id}: one of them is wrong"
        )
    if not observed.live and not observed.foreign_unnamed:
        return (
            "the exchange lists no token at all, not even the one that signed: "
            "the list is not believed, try again later"
        )
    ids = {token.token_id for token in observed.live}
    if observed.signer_id is not None and observed.signer_id not in ids:
        return (
            f"the token that signed the list ({observed.signer_id}) is not in it: "
            "the list is partial or of another profile, nothing is done on it; try again later"
        )
    missing = sorted(
        label
        for label, entry in ledger.tokens.items()
        if entry.current is not None and entry.current.token_id not in ids and label in labels
    )
    if len(missing) > max_missing:
        # five fit on a line
        shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")  # noqa: PLR2004
        return (
            f"{len(missing)} current tokens are missing from the exchange's list ({shown}), "
            f"more than --max-missing {max_missing}: if they really were revoked elsewhere, "
            "raise it; otherwise the list is partial"
        )
    return None


def only_ours(used_at_ms: int | None, ours_until_ms: int) -> bool:
    """Return whether the last use that is shown may be our own.

    It proves nothing about the uses before it.
    """
    return used_at_ms is None or used_at_ms <= ours_until_ms


def never_used(token: Current | Retiring | Reserve, live: LiveToken | None) -> bool:
    """Return whether nobody but us was ever shown to use a token."""
    used_at_ms = live.last_used_at_ms if live is not None else None
    return token.fresh and only_ours(used_at_ms, token.ours_until_ms)
