"""How a sandbox behaves where profiles differ, or where the documentation is silent.

The defaults are the kindest exchange that the documentation allows. Everything else
here is allowed as well, so a program must stand it.

Rule this module keeps: pure values.
"""

from __future__ import annotations

import dataclasses
import enum
import unicodedata

DOCUMENTED_SCOPES = ("trading", "account_creation", "delegated_signing", "withdrawal")
LABEL_FORMS = ("trim", "lower", "nfc")
SHIFT_MAX_MS = 366 * 24 * 3_600_000


class IdStyle(enum.StrEnum):
    """What token ids look like; documented as opaque, they may hold ``/ + =``.

    ``MIXED`` is the default: one in four needs percent-encoding (``/`` and ``+``).
    ``=`` is only in ``UNSAFE``, because the official Python SDK signs ``%3D`` while its
    transport (yarl) sends ``=``, so it can't revoke such an id here.
    """

    PLAIN = "plain"
    MIXED = "mixed"
    UNSAFE = "unsafe"


class RetryAfter(enum.StrEnum):
    """The form of ``Retry-After`` beside a 429; it is documented as optional."""

    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """How this exchange behaves where profiles or undocumented things differ.

    All durations are in milliseconds.

    ``listed_after_ms`` / ``unlisted_after_ms``: how late the list shows a derive / a
    revocation. ``active_after_ms``: how late a new token's signature is accepted.
    ``last_used_grain_ms``: ``lastUsedAt`` is rounded down to this; None: always null.
    ``last_used_after_ms``: a use is shown so late. ``last_used_every_ms``: a use is
    written only when the last written one is at least so old.
    ``list_without`` / ``list_without_last``: the list leaves out these ids / its last
    rows. ``date_shift_ms``: the header ``Date`` is wrong by this, and nothing else is.
    ``tokens_max``: a derive beyond it ends the oldest token of the profile.
    ``label_forms`` (some of ``LABEL_FORMS``) and ``label_cut`` (characters): how labels
    are changed before they are kept. ``extra_scope``: every derive grants it besides.
    ``maintenance``: its status says so, and all other calls are answered with 503.
    ``max_in_flight`` and ``min_gap_ms`` hold per credential while ``limits`` is on.
    """

    profile_id: int = 42
    account: str = "0x5Aa0b0C0d0E0f00000000000000000000000c0dE"
    allowed_scopes: tuple[str, ...] = DOCUMENTED_SCOPES
    management_enabled: bool = True
    identity_lifetime_ms: int = 3_600_000
    identity_opaque: bool = False
    id_style: IdStyle = IdStyle.MIXED
    limits: bool = True
    max_in_flight: int = 2
    min_gap_ms: int = 300
    retry_after: RetryAfter = RetryAfter.SECONDS
    listed_after_ms: int = 0
    unlisted_after_ms: int = 0
    active_after_ms: int = 0
    last_used_grain_ms: int | None = 1
    last_used_after_ms: int = 0
    last_used_every_ms: int = 0
    list_without: tuple[str, ...] = ()
    list_without_last: int = 0
    date_shift_ms: int = 0
    tokens_max: int | None = None
    label_forms: tuple[str, ...] = ()
    label_cut: int | None = None
    extra_scope: str | None = None
    maintenance: bool = False

    def __post_init__(self) -> None:
        """Check the numbers; ValueError where one is out of its bounds."""
        durations = (
            self.min_gap_ms,
            self.listed_after_ms,
            self.unlisted_after_ms,
            self.active_after_ms,
            self.last_used_after_ms,
            self.last_used_every_ms,
        )
        if min(durations) < 0:
            raise ValueError("a duration is 0 ms or more")
        for name in ("max_in_flight", "last_used_grain_ms", "tokens_max", "label_cut"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1")
        if self.list_without_last < 0:
            raise ValueError("list_without_last is 0 or more")
        if abs(self.date_shift_ms) > SHIFT_MAX_MS:
            raise ValueError("date_shift_ms is at most a year either way")
        if not set(self.label_forms) <= set(LABEL_FORMS):
            raise ValueError(f"label_forms are some of {', '.join(LABEL_FORMS)}")
        if self.extra_scope == "":
            raise ValueError("extra_scope is a name, or null")

    def label_kept(self, label: str | None) -> str | None:
        """Return a label as the list will show it."""
        if label is None:
            return None
        if "trim" in self.label_forms:
            label = label.strip()
        if "lower" in self.label_forms:
            label = label.lower()
        if "nfc" in self.label_forms:
            label = unicodedata.normalize("NFC", label)
        return label[: self.label_cut]
