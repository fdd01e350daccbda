"""Fleets to look at: of any size, with something of everything that can be seen.

The first seven labels have a part to play, all others are market makers. The same size
gives the same fleet.
"""

from __future__ import annotations

import dataclasses
import hashlib
from random import Random

from reconciler.manifest import parse_window
from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    SECOND_MS,
    LiveToken,
    Manifest,
    SecretMeta,
    TokenSpec,
    instant_ms,
)
from reconciler.plan import Status, status_of
from reconciler.state.kept import Reserve
from reconciler.state.ledger import Applied, Closed, Entry
from reconciler.state.snapshot import Observed
from tests.support.values import (
    MANAGER,
    NOW_MS,
    TRADING,
    deleted,
    entry,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    spec,
)

PARTS = (
    "production-bot",
    "onboarding",
    "backtest",
    "withdrawer",
    "hedger-eu",
    "old-desk",
    "arb-bot",
)
SCOPES = {
    "production-bot": ("account_creation", "delegated_signing", "trading"),
    "withdrawer": ("trading", "withdrawal"),
}
RESERVES = {"withdrawer": 2, "hedger-eu": 1}
OWNERS = {"production-bot": "trading desk", "onboarding": "partners"}
HELD = {"withdrawer": "audit of the year"}
WINDOWS = {"hedger-eu": (parse_window("Mon-Thu 09:00-15:00 Europe/Berlin"),)}
HOLD_UNTIL_MS = instant_ms("2027-01-04T00:00:00Z")
EVERY_NTH_DRAINS = 12


def token_id(seed: str) -> str:
    """An id as the exchange makes them."""
    return hashlib.sha256(seed.encode()).hexdigest()[:22]


def labels_of(size: int) -> list[str]:
    """The manager, those with a part, and as many market makers as are left."""
    random = Random(size)  # noqa: S311  # the same fleet each time
    makers = (f"mm-{n:03}-{random.choice(['btc', 'eth', 'sol'])}" for n in range(size))
    return [MANAGER, *PARTS, *makers][:size]


def a_fleet(size: int) -> Status:
    """How so many labels stand: a twin, a lost secret, one overdue, one that left, two
    and more that drain, and the rest well.
    """
    return status_of(*a_scene(size))


def a_scene(size: int) -> tuple[Manifest, Observed]:
    """The same, as a manifest and what is observed."""
    random = Random(size)  # noqa: S311  # the same fleet each time
    specs: list[TokenSpec] = []
    entries: dict[str, Entry] = {}
    tokens: list[LiveToken] = []
    secrets: dict[str, SecretMeta] = {}
    for number, label in enumerate(labels_of(size)):
        path = label if label == MANAGER else f"prod/{label}"
        scopes = SCOPES.get(label, TRADING)
        age_ms = 32 * DAY_MS if label == "backtest" else random.randrange(DAY_MS, 26 * DAY_MS)
        rotate_after_ms = (90 if number % 5 == 1 else 30) * DAY_MS
        if label != "old-desk":
            wanted = spec(label, path=path, scopes=scopes, rotate_after_ms=rotate_after_ms)
            specs.append(
                dataclasses.replace(
                    wanted,
                    reserve=RESERVES.get(label, 0),
                    owner=OWNERS.get(label, ""),
                    windows=WINDOWS.get(label, ()),
                    hold_until_ms=HOLD_UNTIL_MS if label in HELD else None,
                    hold_reason=HELD.get(label, ""),
                )
            )
        if label == "onboarding":
            tokens.append(live(token_id("twin"), label))
            continue
        entries[label], found = _of_label(label, number, age_ms, path, scopes)
        unused_for_ms = random.randrange(SECOND_MS, HOUR_MS)
        tokens.append(
            live(token_id(label), label, scopes=scopes, age_ms=age_ms, unused_for_ms=unused_for_ms)
        )
        tokens += found
        for kept in entries[label].reserve:
            age_ms = NOW_MS - kept.created_at_ms
            tokens.append(live(kept.token_id, label, scopes=scopes, age_ms=age_ms))
            secrets[kept.path] = living()
        if label == "arb-bot":
            secrets[path] = deleted()
    known = dataclasses.replace(
        ledger(entries),
        closed=(
            Closed(
                label="hedger-eu",
                token_id=token_id("older"),
                outcome="superseded",
                at_ms=NOW_MS - 20 * DAY_MS,
            ),
        ),
        manifests=(Applied(digest="d", at_ms=NOW_MS - 30 * HOUR_MS),),
    )
    seen = observed(known, *tokens, signer_id=token_id(MANAGER), foreign_unnamed=2, secrets=secrets)
    return manifest(*specs), seen


def _of_label(
    label: str, number: int, age_ms: int, path: str, scopes: tuple[str, ...]
) -> tuple[Entry, list[LiveToken]]:
    """What the ledger knows of a label, and its old token if it drains."""
    known = dataclasses.replace(
        entry(token_id(label), label, age_ms=age_ms, path=path),
        reserve=tuple(_kept(label, n, scopes) for n in range(RESERVES.get(label, 0))),
    )
    if label not in {"production-bot", "hedger-eu"} and number % EVERY_NTH_DRAINS:
        return known, []
    if label == MANAGER:
        return known, []
    over = label == "hedger-eu"
    old = retiring(
        token_id(f"old {label}"),
        label,
        superseded_age_ms=age_ms,
        overlap_ms=age_ms - 2 * DAY_MS if over else age_ms + 4 * DAY_MS,
    )
    listed = live(
        old.token_id, label, scopes=scopes, age_ms=age_ms + 30 * DAY_MS, unused_for_ms=2 * HOUR_MS
    )
    return dataclasses.replace(known, retiring=(old,)), [listed]


def _kept(label: str, number: int, scopes: tuple[str, ...]) -> Reserve:
    """A successor that is ready, made so many weeks ago."""
    made_ms = NOW_MS - (number + 1) * 7 * DAY_MS
    return Reserve(
        token_id=token_id(f"reserve {number} {label}"),
        live_label=label,
        operation_id=f"op-{number}-{label}",
        created_at_ms=made_ms,
        scopes=scopes,
        verified_at_ms=made_ms,
        fresh=True,
    )
