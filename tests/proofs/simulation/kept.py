"""Schedules that failed once, kept as files: each is replayed by a test, and must be
lawful now.

A file names its world (``null``: a random walk), what may go wrong there, and its
choices. Where it names a sabotage, the schedule breaks a law again as soon as the
program is broken so: that shows that the schedule still leads where it led.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.proofs.simulation.evidence import Violation
from tests.proofs.simulation.explore import retell, sizes_unchecked
from tests.proofs.simulation.random_walks import replay
from tests.proofs.simulation.sabotage import sabotage_named
from tests.proofs.simulation.scenarios import Act, Budget, small_world
from tests.proofs.simulation.world import Choice

FOLDER = Path(__file__).parent / "regressions"

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One schedule. ``about`` is what went wrong, in a sentence."""

    about: str
    choices: tuple[Choice, ...]
    world: str | None = None
    budget: Budget = dataclasses.field(default_factory=Budget)
    act: Act | None = None
    sabotage: str | None = None

    def text(self) -> str:
        """The file: a choice a line."""
        head = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "choices"
        }
        head["budget"] = dataclasses.asdict(self.budget)
        lines = ",\n".join(f"  {json.dumps(choice)}" for choice in self.choices)
        return json.dumps(head, indent=1)[:-2] + f',\n "choices": [\n{lines}\n ]\n}}\n'

    def violation(self, tell: Tell | None = None) -> Violation | None:
        """What it comes to now."""
        return self._play(contextlib.nullcontext, tell)

    def violation_when_broken(self) -> Violation | None:
        """What it comes to in the program that is broken as the file says."""
        assert self.sabotage is not None
        return self._play(sabotage_named(self.sabotage).patch, None)

    def _play(
        self, patch: Callable[[], contextlib.AbstractContextManager[object]], tell: Tell | None
    ) -> Violation | None:
        if self.world is None:
            with sizes_unchecked(), patch():
                return replay(self.choices, tell)
        scenario = small_world(self.world, self.budget, self.act)
        start = scenario.begin()  # made by a program that is whole
        with sizes_unchecked(), patch():
            return retell(dataclasses.replace(scenario, begin=start.clone), self.choices, tell)


def read_kept(file: Path) -> Kept:
    """What ``Kept.text`` wrote."""
    document = json.loads(file.read_text())
    document["budget"] = Budget(**document["budget"])
    document["act"] = None if document["act"] is None else tuple(document["act"])
    document["choices"] = tuple(tuple(choice) for choice in document["choices"])
    return Kept(**document)


def all_kept() -> Sequence[Path]:
    """The files, by name."""
    return sorted(FOLDER.glob("*.json"))
