"""A manifest that changes at random from round to round."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import yaml

from reconciler.state import spread_ms

MANAGER = "reconciler"
LABELS = ("bot-0", "bot-1", "bot-2", "bot-3", "bot-4")
SCOPES = (
    ("trading",),
    ("trading", "delegated_signing"),
    ("trading", "account_creation"),
    ("account_creation",),
    ("trading", "withdrawal"),
)
OVERLAPS_S = (0, 0, 0, 300, 1_800)
RESERVES = (0, 0, 1, 2)
AGES_S = (3_600, 7_200, 14_400, 90 * 24 * 3_600)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One desired token as the manifest has it."""

    label: str
    path: str
    scopes: tuple[str, ...]
    reserve: int = 0


@dataclasses.dataclass(slots=True)
class Row:
    """One token of the manifest."""

    label: str
    scopes: tuple[str, ...] = ("trading",)
    away: bool = False
    overlap_s: int = 0
    rotate_after_s: int = AGES_S[-1]
    protect: bool = False
    reserve: int = 0

    @property
    def path(self) -> str:
        """Below the prefix; no two labels share one."""
        return f"away/{self.label}" if self.away else self.label


class Wishes:
    """What is wanted of one fleet, at the moment."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._lines = {MANAGER: Row(label=MANAGER)}

    def change(self) -> Iterator[str]:
        """Change a little; what was changed."""
        chance = self._chance
        for label in LABELS:
            if label not in self._lines and chance.random() < 0.4:
                self._lines[label] = Row(
                    label=label,
                    scopes=chance.choice(SCOPES),
                    overlap_s=chance.choice(OVERLAPS_S),
                    reserve=chance.choice(RESERVES),
                )
                yield f"add {label}"
            elif label in self._lines and chance.random() < 0.12:
                del self._lines[label]
                yield f"remove {label}"
        for line in self._lines.values():
            if chance.random() < 0.35:
                yield self._change(line)

    def _change(self, line: Row) -> str:
        chance = self._chance
        what = chance.choice(
            ("scopes", "scopes", "path", "path", "overlap", "rotate_after", "protect", "reserve")
        )
        match what:
            case "scopes":
                line.scopes = chance.choice(SCOPES)
            case "path":
                line.away = not line.away
            case "overlap":
                line.overlap_s = chance.choice(OVERLAPS_S)
            case "rotate_after":
                line.rotate_after_s = chance.choice(AGES_S)
            case "reserve":
                line.reserve = chance.choice(RESERVES)
            case _:
                line.protect = not line.protect
        return f"{what} of {line.label}"

    @property
    def labels(self) -> tuple[str, ...]:
        """All that are wanted, the manager first."""
        return tuple(self._lines)

    def due_after_ms(self, label: str) -> int:
        """The age at which a label's token is due."""
        rotate_after_ms = self._lines[label].rotate_after_s * 1_000
        return rotate_after_ms - spread_ms(label, rotate_after_ms)

    def wanted(self) -> tuple[Wanted, ...]:
        """What has to be there."""
        return tuple(
            Wanted(label=one.label, path=one.path, scopes=one.scopes, reserve=one.reserve)
            for one in self._lines.values()
        )

    def write(self, file: Path, *, mount: str, prefix: str) -> None:
        """The manifest as a file."""
        tokens = [
            {
                "label": one.label,
                "scopes": list(one.scopes),
                "path": one.path,
                "overlap": f"{one.overlap_s}s",
                "rotate_after": f"{one.rotate_after_s}s",
                "reserve": one.reserve,
                **({"protect": one.protect} if one.label != MANAGER else {}),
            }
            for one in self._lines.values()
        ]
        document = {
            "version": 1,
            "manager": MANAGER,
            "vault": {"mount": mount, "prefix": prefix},
            "tokens": tokens,
        }
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
