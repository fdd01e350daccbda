"""Values to plan with, built in one line: each with sensible defaults.

Rules this module keeps:

1. A builder returns the program's own values, never a stand-in; what a test does not
   name is as it is when all is well.
2. Times are given as ages: so many milliseconds before ``NOW_MS``.
3. ``settled`` is in sync: a plan of it has nothing to do. Tests change one thing and
   say what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    LiveToken,
    Manifest,
    SecretMeta,
    TokenSpec,
    VersionState,
    instant_ms,
)
from reconciler.state.ledger import (
    Abandoned,
    Current,
    Entry,
    Holder,
    Intent,
    IntentKind,
    Ledger,
    Retiring,
    Revoking,
)
from reconciler.state.snapshot import Content, Observed

NOW_MS = instant_ms("2026-11-22T08:30:00.000Z")
API_URL = "https://api.example"
LEDGER_ID = "ledger-1"
PROFILE_ID = 42
MOUNT = "secret"
PREFIX = "p"
PLACE = f"{MOUNT}/{PREFIX}"
MANAGER = "reconciler"
FILES = ("tokens.yaml",)
TRADING = ("trading",)


def spec(
    label: str,
    *,
    scopes: tuple[str, ...] = TRADING,
    path: str | None = None,
    rotate_after_ms: int | None = 30 * DAY_MS,
    protect: bool | None = None,
) -> TokenSpec:
    """Return a wanted token, its overlap a day; the path is the label by default."""
    return TokenSpec(
        label=label,
        scopes=scopes,
        path=label if path is None else path,
        rotate_after_ms=rotate_after_ms,
        overlap_ms=DAY_MS,
        protect=protect,
    )


def manifest(
    *specs: TokenSpec,
    manager: str = MANAGER,
    files: tuple[str, ...] = FILES,
    profile_id: int | None = PROFILE_ID,
) -> Manifest:
    """Return a manifest of these tokens; the manager may be missing among them."""
    return Manifest(
        profile_id=profile_id,
        manager=manager,
        mount=MOUNT,
        prefix=PREFIX,
        tokens=specs,
        files=files,
    )


def live(
    token_id: str,
    label: str | None,
    *,
    scopes: tuple[str, ...] = TRADING,
    age_ms: int = DAY_MS,
    unused_for_ms: int | None = None,
) -> LiveToken:
    """Return a token that the exchange lists.

    ``unused_for_ms`` is how long ago it was used last, None for never.
    """
    return LiveToken(
        token_id=token_id,
        label=label,
        scopes=scopes,
        created_at_ms=NOW_MS - age_ms,
        last_used_at_ms=None if unused_for_ms is None else NOW_MS - unused_for_ms,
    )


def current(  # noqa: PLR0913  # keyword-only but for the names
    token_id: str,
    label: str,
    *,
    version: int = 1,
    age_ms: int = DAY_MS,
    verified_age_ms: int | None = None,
    fresh: bool = True,
) -> Current:
    """Return a recorded current token; by default it was verified when it was made, and
    nobody else was ever shown to use it before.
    """
    return Current(
        token_id=token_id,
        live_label=label,
        created_at_ms=NOW_MS - age_ms,
        version=version,
        verified_at_ms=NOW_MS - (age_ms if verified_age_ms is None else verified_age_ms),
        fresh=fresh,
    )


def entry(
    token_id: str,
    label: str,
    *,
    version: int = 1,
    age_ms: int = DAY_MS,
    path: str | None = None,
) -> Entry:
    """Return what the ledger remembers of a label that is well."""
    return Entry(
        path=label if path is None else path,
        current=current(token_id, label, version=version, age_ms=age_ms),
        overlap_ms=HOUR_MS,
    )


def retiring(  # noqa: PLR0913  # keyword-only but for the names
    token_id: str,
    label: str,
    *,
    superseded_age_ms: int = 2 * DAY_MS,
    overlap_ms: int = DAY_MS,
    path: str | None = None,
    fresh: bool = True,
) -> Retiring:
    """Return a predecessor that was verified 30 days ago.

    By default its overlap ended a day ago.
    """
    superseded_at_ms = NOW_MS - superseded_age_ms
    return Retiring(
        token_id=token_id,
        live_label=label,
        superseded_at_ms=superseded_at_ms,
        not_before_ms=superseded_at_ms + overlap_ms,
        reason="rotated",
        verified_at_ms=NOW_MS - 30 * DAY_MS,
        path=path,
        fresh=fresh,
    )


def revoking(token_id: str, label: str, *, path: str | None = None) -> Revoking:
    """Return an id past the point of no return."""
    return Revoking(token_id=token_id, live_label=label, reason="superseded", path=path)


def intent(
    path: str,
    *,
    kind: IntentKind = IntentKind.DERIVE,
    cas: int = 0,
    token_id: str | None = None,
    age_ms: int = 10 * MINUTE_MS,
) -> Intent:
    """Return an open intent to write to this path."""
    return Intent(
        kind=kind,
        operation_id="op-1",
        run="run-1",
        since_ms=NOW_MS - age_ms,
        before=(),
        cas=cas,
        path=path,
        scopes=TRADING,
        token_id=token_id,
    )


def holder(run: str = "run-9", *, expires_in_ms: int = MINUTE_MS) -> Holder:
    """Return a lease; a negative ``expires_in_ms`` makes one that is over."""
    return Holder(run=run, write="w", who="build-7:123", expires_at_ms=NOW_MS + expires_in_ms)


def lost(label: str) -> Abandoned:
    """Return the record of a derive whose answer was lost two days ago."""
    since_ms = NOW_MS - 2 * DAY_MS
    return Abandoned(label=label, since_ms=since_ms, closed_at_ms=since_ms + HOUR_MS)


def living(version: int = 1) -> SecretMeta:
    """Return the metadata of a secret that is there."""
    return SecretMeta(latest=version, state=VersionState.LIVING, oldest=1)


def deleted(version: int = 1) -> SecretMeta:
    """Return the metadata of a secret whose latest version is soft-deleted."""
    return SecretMeta(latest=version, state=VersionState.DELETED, oldest=1)


def ledger(
    entries: Mapping[str, Entry] | None = None,
    *,
    files: tuple[str, ...] = FILES,
    holder: Holder | None = None,
    abandoned: tuple[Abandoned, ...] = (),
) -> Ledger:
    """Return a ledger of these entries."""
    return Ledger(
        ledger_id=LEDGER_ID,
        api_url=API_URL,
        profile_id=PROFILE_ID,
        files=files,
        holder=holder,
        tokens=dict(entries or {}),
        abandoned=abandoned,
    )


def observed(  # noqa: PLR0913  # keyword-only but for the tokens
    known: Ledger,
    *tokens: LiveToken,
    secrets: Mapping[str, SecretMeta] | None = None,
    contents: Mapping[str, Content] | None = None,
    signer_id: str | None = None,
    foreign_unnamed: int = 0,
    doubt_ms: int | None = 0,
) -> Observed:
    """Return a snapshot at ``NOW_MS``, where uses are shown at once by default.

    Secrets that are not given are at their recorded version.
    """
    in_place = {
        e.path: living(e.current.version) for e in known.tokens.values() if e.current is not None
    }
    return Observed(
        now_ms=NOW_MS,
        api_url=known.api_url,
        place=PLACE,
        ledger=known,
        ledger_version=7,
        live=tokens,
        signer_id=signer_id,
        secrets={**in_place, **(secrets or {})},
        contents=contents or {},
        foreign_unnamed=foreign_unnamed,
        doubt_ms=doubt_ms,
    )


def current_id(label: str) -> str:
    """Return the id that ``settled`` gives to the current token of a label."""
    return f"{label}-now"


def settled(specs: Iterable[TokenSpec]) -> Observed:
    """Return a snapshot as these specs want it; the manager, if among them, signs."""
    specs = tuple(specs)
    entries = {
        s.label: Entry(
            path=s.path,
            protect=bool(s.protect),
            current=current(current_id(s.label), s.label),
            overlap_ms=HOUR_MS,
        )
        for s in specs
    }
    tokens = [
        live(current_id(s.label), s.label, scopes=s.scopes, unused_for_ms=HOUR_MS) for s in specs
    ]
    signer_id = current_id(MANAGER) if any(s.label == MANAGER for s in specs) else None
    return observed(ledger(entries), *tokens, signer_id=signer_id)
