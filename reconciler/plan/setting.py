"""What is the same for all labels of a plan: time, policy, and what uses are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from reconciler.model import HOUR_MS, MINUTE_MS
from reconciler.plan.guards import Policy
from reconciler.state import Granted, Holder
from reconciler.values import value

IN_USE_MS = HOUR_MS
"""A token that left the file lives on for so long after a use, even without overlap."""

DEFAULT_OVERLAP_MS = 26 * HOUR_MS
"""Where the ledger does not remember one: a consumer may sign once a day, and stay."""

PROMPT_MS = MINUTE_MS
"""Uses that are shown so promptly are good enough for any overlap, even for none."""


@value
class Setting:
    """What is the same for all labels of a plan.

    ``now_ms`` is the time that ages are judged by. ``other_run`` holds the lease, and
    is not the run that asks. ``doubt_ms`` is by how much a shown use may be late, None
    while that is not proven. ``files_missing`` are files that the ledger remembers and
    the manifest lacks, unless that is allowed. ``granted``: what the exchange granted
    instead of scopes that were asked for. ``place`` is ``mount/prefix`` in Vault.
    ``listed`` are the ids that the exchange lists.
    """

    now_ms: int
    policy: Policy
    signer_id: str | None
    other_run: Holder | None
    files_missing: tuple[str, ...]
    doubt_ms: int | None
    granted: Mapping[frozenset[str], Granted] = dataclasses.field(default_factory=dict)
    place: str = ""
    listed: frozenset[str] = frozenset()

    def doubt_within(self, overlap_ms: int) -> int | None:
        """Return the doubt that a decision about such an overlap reckons with.

        None where uses prove nothing: the doubt is unknown, or longer than the overlap.
        ``--revoke-unproven`` believes what is shown.
        """
        doubt_ms = self.doubt_ms
        if doubt_ms is not None and doubt_ms <= max(overlap_ms, PROMPT_MS):
            return doubt_ms
        return 0 if self.policy.revoke_unproven else None

    @property
    def doubt_text(self) -> str:
        """Tell the doubt in a note."""
        if self.doubt_ms is None:
            return "nothing shows it yet"
        return f"shown up to {-(-self.doubt_ms // MINUTE_MS)} min late"
