"""What was walked through: counted while it goes on, added up over tests and processes,
printed at the end.
"""

from __future__ import annotations

import dataclasses

from tests.proofs.simulation.world import OK, Choice


@dataclasses.dataclass(slots=True)
class Tally:
    """Figures of one search or of many.

    ``worlds`` were exhausted, ``walks`` taken at random; both have ``steps``, and only
    worlds have ``states``. ``rests`` are the worlds from which undisturbed runs had to
    put all right. ``caught`` has, for each sabotage, the states that were looked at and
    the choices of the schedule that gave it away.
    """

    worlds: int = 0
    states: int = 0
    walks: int = 0
    steps: int = 0
    rests: int = 0
    faults: int = 0
    acts: int = 0
    landings: int = 0
    overtakings: int = 0
    regressions: int = 0
    caught: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    let_through: int = 0

    def count(self, choice: Choice) -> None:
        """One step."""
        self.steps += 1
        what = choice[0]
        self.faults += what == "run" and choice[3] != OK
        self.acts += what == "person"
        self.landings += what == "land"
        self.overtakings += what in {"overtake", "tick"}

    def add(self, other: Tally) -> None:
        """The sum of both."""
        for field in dataclasses.fields(self):
            mine, more = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, {**mine, **more} if isinstance(mine, dict) else mine + more)

    def lines(self) -> list[str]:
        """For people."""
        walked = (
            f"{self.worlds:,} worlds exhausted ({self.states:,} states), {self.walks:,} random "
            "schedules"
        )
        met = (
            f"{self.faults:,} faults, {self.acts:,} acts of a person, {self.landings:,} late "
            "landings"
        )
        found = [
            f"{walked}; {self.steps:,} steps in all",
            f"{met}, {self.overtakings:,} takeovers of a lease",
            f"{self.rests:,} times every process died, and the next run put all right",
        ]
        if self.regressions:
            found.append(f"{self.regressions:,} schedules of earlier failures replayed")
        if self.caught or self.let_through:
            found.append(
                f"{len(self.caught)} of {len(self.caught) + self.let_through} sabotages caught:"
            )
            for name, (states, choices) in sorted(self.caught.items()):
                found.append(
                    f"  {name}: after {states:,} states, by a schedule of {choices} choices"
                )
        return found
