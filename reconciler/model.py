"""The values that cross module borders.

Frozen, hashable, no behaviour beyond reading themselves.

Rules this module keeps:

1. Only the standard library; nothing here knows HTTP, Vault, files or the clock.
2. Instants are ``int`` milliseconds since the Unix epoch, UTC, and end in ``_ms``; so
   are durations. The exchange and the ledger write ISO-8601 with milliseconds and
   ``Z``; ``instant_ms`` and ``iso`` are the only translation.
3. Scopes are a sorted tuple without repetition: two equal sets are equal values and
   print the same bytes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable
from typing import NoReturn

from reconciler.errors import Mark
from reconciler.values import value

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

DEFAULT_SCOPES = ("trading",)
SCOPES = ("trading", "account_creation", "delegated_signing", "withdrawal")
"""The scopes documented today; the exchange may have new ones."""

MAX_LABELS = 1_000
"""The largest fleet of one manifest: what one Vault entry of 1 MB surely remembers.

A larger fleet is several manifests, each with a prefix of its own.
"""

USE_MARGIN_MS = 2 * SECOND_MS
"""A use this shortly after our own verify is taken for ours.

The exchange's clock is known to a second: to the run that records the use, and to the
one that judges it.
"""

_UNITS = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s"))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
_FIRST_MS = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND
_LAST_MS = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND


class Secret:
    """A secret value from where it enters to where it is written.

    ``reveal`` is called once for each adapter. The value prints as ``***``, is compared
    by identity only, and refuses to be pickled or copied into something that is.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value itself; only adapters call this, when they send it."""
        return self.__value

    def same_as(self, other: Secret) -> bool:
        """Return whether both are the same value.

        ``==`` compares identity, so that nobody compares secrets by accident.
        """
        return self.__value == other.__value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can't be serialised")


def instant_ms(text: str) -> int:
    """Milliseconds since the epoch of an ISO-8601 instant; one without a zone is UTC.

    ValueError if it is not one, or if its zone moves it out of the calendar, so that
    ``iso`` could not write it again.
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    at_ms = (moment - _EPOCH) // _MILLISECOND
    if not _FIRST_MS <= at_ms <= _LAST_MS:
        raise ValueError("an instant outside of the calendar")
    return at_ms


def iso(at_ms: int) -> str:
    """``2026-11-22T08:30:00.000Z``.

    What was reckoned past either end of the calendar is shown as that end.
    """
    moment = _EPOCH + min(max(at_ms, _FIRST_MS), _LAST_MS) * _MILLISECOND
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def length_text(length_ms: int) -> str:
    """Return a length in the largest unit that tells it whole: ``30d``, ``90s``."""
    for unit_ms, unit in _UNITS:
        if length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{unit}"
    return f"{length_ms}ms"


def spread_most_ms(rotate_after_ms: int) -> int:
    """Return by how much due dates of a fleet differ at most, all of them earlier."""
    return rotate_after_ms // 10


def scope_set(scopes: Iterable[str]) -> tuple[str, ...]:
    """Scopes as they are compared and printed: sorted, each once."""
    return tuple(sorted(set(scopes)))


@value
class Window:
    """When rotations that are due may start: some hours of some days, in a time zone.

    ``days`` count from Monday, which is 0. The hours are minutes since midnight by the
    clock on the wall, from ``opens_min`` until before ``closes_min``, which is at most
    1440. ``zone`` is what ``text`` names: two windows of one text are equal.
    """

    text: str
    days: tuple[int, ...]
    opens_min: int
    closes_min: int
    zone: dt.tzinfo = dataclasses.field(compare=False, repr=False)


@value
class TokenSpec:
    """One wanted token.

    ``rotate_after_ms`` is None for ``never``. ``protect`` is None where the manifest is
    silent: silence neither protects nor unprotects. ``path`` is below the prefix.
    ``fields`` are further names for values of the secret, each ``NAME=source``, sorted.
    ``was`` is the label's former name. ``reserve`` is how many successors are kept
    ready, and one that is older than ``reserve_age_ms`` is never used.
    ``rotate_before_ms`` is how long before ``rotate_after_ms`` a rotation is due; it
    may start while one of ``windows`` is open, at any time without one, and not before
    ``hold_until_ms``. ``hold_reason`` and ``owner`` are for people.
    """

    label: str
    scopes: tuple[str, ...]
    path: str
    rotate_after_ms: int | None
    overlap_ms: int
    protect: bool | None = None
    fields: tuple[str, ...] = ()
    was: str | None = None
    reserve: int = 0
    reserve_age_ms: int = 120 * DAY_MS
    rotate_before_ms: int = 0
    windows: tuple[Window, ...] = ()
    hold_until_ms: int | None = None
    hold_reason: str = ""
    owner: str = ""
    description: str = ""
    mark: Mark | None = dataclasses.field(default=None, compare=False)


@value
class Manifest:
    """The desired state: one or more files read as one.

    ``files`` are the names that the ledger remembers, sorted.
    """

    profile_id: int | None
    manager: str
    mount: str
    prefix: str
    tokens: tuple[TokenSpec, ...]
    files: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where in Vault everything lies: ``mount/prefix``."""
        return f"{self.mount}/{self.prefix}"


@value
class LiveToken:
    """A token that the exchange lists now."""

    token_id: str
    label: str | None
    scopes: tuple[str, ...]
    created_at_ms: int
    last_used_at_ms: int | None = None


@value
class Unreadable:
    """An entry of the exchange's list that can't be read.

    ``position`` counts from 1; id and label are None where they can't be read either.
    """

    position: int
    token_id: str | None
    label: str | None
    why: str

    def __str__(self) -> str:
        """Return ``entry 3 of the exchange's list (abc) can't be read: …``."""
        named = f" ({self.token_id[:64]})" if self.token_id is not None else ""
        return f"entry {self.position} of the exchange's list{named} can't be read: {self.why}"


@value
class TokenList:
    """The exchange's list in its order, and the entries that can't be read."""

    tokens: tuple[LiveToken, ...]
    unreadable: tuple[Unreadable, ...] = ()


@value
class Derived:
    """The reply to a derive: the only moment at which the secret is to be had."""

    token_id: str
    secret: Secret
    scopes: tuple[str, ...]
    created_at_ms: int
    profile_id: int
    account: str


@value
class Capabilities:
    """What the exchange lets this profile do."""

    profile_id: int
    management_enabled: bool
    allowed_scopes: tuple[str, ...]


@value
class Credentials:
    """A token id with its HMAC secret (base64 text): what signs list and revoke."""

    token_id: str
    secret: Secret


@value
class StoredPair:
    """What a place in Vault holds of a token; None for a field that is not there."""

    token_id: str | None
    secret: Secret | None


@value
class ToAdopt:
    """A live token that is to become a label's, and where its secret lies today.

    ``place`` is ``mount/path`` in Vault, outside of our prefix. Where ``token_id`` is
    None, the id is what the field ``token_id_field`` there says.
    """

    label: str
    place: str
    token_id: str | None = None
    token_id_field: str = "token_id"  # noqa: S105  # the name of a field
    secret_field: str = "secret"  # noqa: S105  # the name of a field


class VersionState(enum.Enum):
    """What a version of a secret is: never written, readable, or written and gone.

    A version is gone when it is soft-deleted, destroyed or expired.
    """

    ABSENT = "absent"
    LIVING = "living"
    DELETED = "deleted"


@dataclasses.dataclass(frozen=True, slots=True)
class VersionId:
    """Which version of a secret: its number, and when Vault wrote it.

    The number alone comes round again once the path's metadata were deleted. Where one
    of two times is not known, the number alone counts.
    """

    number: int
    created_at_ms: int | None = None

    def is_same(self, other: VersionId) -> bool:
        """Whether both name one version, as far as that is known."""
        times = {self.created_at_ms, other.created_at_ms}
        return self.number == other.number and (len(times) == 1 or None in times)

    def __str__(self) -> str:
        """Return ``version 3``."""
        return f"version {self.number}"


@value
class SecretMeta:
    """What Vault's metadata says of a path.

    ``latest`` is the number of the latest version, 0 where none was ever written. Its
    ``created_at_ms`` tells it from another one with the same number, after the metadata
    were deleted or a backup was restored; None where Vault does not tell. A version
    that ends by itself (``delete_version_after``) does so, or did so, at
    ``ends_at_ms``. ``life_ms`` is how long the path's own setting lets a new version
    live, None where it has no end; the mount may have a setting beside it. ``kept`` is
    how many versions Vault keeps, None where nothing shows it. ``destroyed``: the
    latest version is deleted for good.
    """

    latest: int
    state: VersionState
    oldest: int = 0
    created_at_ms: int | None = None
    ends_at_ms: int | None = None
    life_ms: int | None = None
    kept: int | None = None
    destroyed: bool = dataclasses.field(
        default=False, metadata={"optional": True, "left_out": True}
    )

    @property
    def version_id(self) -> VersionId:
        """Which version the latest one is."""
        return VersionId(self.latest, self.created_at_ms)

    def end_text(self) -> str:
        """Return when the latest version ends by itself, or ended so, if it does."""
        if self.ends_at_ms is None:
            return ""
        verb = "ended" if self.state is VersionState.DELETED else "ends"
        return f"{self.version_id} {verb} by itself on {iso(self.ends_at_ms)}"

    def life_text(self) -> str:
        """Return what ends where the path's own setting lets new versions end."""
        if self.ends_at_ms is not None or self.life_ms is None:
            return self.end_text()
        return f"after {length_text(self.life_ms)}"


NEVER_WRITTEN = SecretMeta(latest=0, state=VersionState.ABSENT)


@value
class SecretVersion:
    """One version of a secret as read.

    ``version`` is the number that was read; asked for the latest, it is the latest
    number even where that version is deleted (the number the next check-and-set needs).
    ``fields`` is None unless the state is LIVING; the value of the field ``secret``
    never stands in it but in ``secret``, and under another name it stands as a Secret.
    ``created_at_ms`` and ``ends_at_ms`` are as in ``SecretMeta``.
    """

    version: int
    state: VersionState
    fields: tuple[tuple[str, str | Secret], ...] | None = None
    secret: Secret | None = None
    created_at_ms: int | None = None
    ends_at_ms: int | None = None

    @property
    def version_id(self) -> VersionId:
        """Which version this is."""
        return VersionId(self.version, self.created_at_ms)

    def field(self, name: str) -> str | None:
        """The text of a field, or None."""
        for key, text in self.fields or ():
            if key == name and isinstance(text, str):
                return text
        return None
