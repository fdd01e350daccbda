"""A quarter, played in minutes: a person comes twice, and nobody else is needed.

Every night a job without an identity runs, as the shipped schedules do. The exchange's
clock is moved; exchange and Vault judge the end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.exchange import TokenClient
from reconciler.model import DAY_MS, HOUR_MS, Credentials
from reconciler.state import credentials_of
from tests.support.fleet import Environ, Fleet, unpaced
from tests.support.github import GitHub

ALONE: Environ = {"LIMITLESS_IDENTITY_TOKEN": None}
REPOSITORY = "acme/tokens"
NIGHTS = 97
BOTS = ("bot-1", "bot-2", "bot-3", "bot-4")
WINDOW = "Mon-Fri 01:00-05:00 UTC"


class Desk:
    """A consumer: it signs twice a day, and reads its path anew every so many days."""

    def __init__(self, fleet: Fleet, path: str, *, every_days: int) -> None:
        self._fleet, self._path, self._every = fleet, path, every_days
        self._pair: Credentials | None = None
        self.failures: list[str] = []
        self.used: list[str] = []

    def spend(self, day: int) -> None:
        """Sign once; now and then with what is read anew."""
        if self._pair is None or day % self._every == 0:
            self._pair = credentials_of(self._fleet.secret(self._path))
        if self._pair is None:
            self.failures.append(f"day {day}: nothing at {self._path}")
            return
        with unpaced(), TokenClient(self._fleet.sandbox.url) as exchange:
            try:
                exchange.signed_by(self._pair).list_tokens()
            except Exception as error:  # noqa: BLE001  # told by the test
                self.failures.append(f"day {day}: {error}")
        if self._pair.token_id not in self.used:
            self.used.append(self._pair.token_id)


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A repository for the rolling issue."""
    with GitHub() as host:
        host.state.add_repository(REPOSITORY)
        yield host


def to_hour(fleet: Fleet, hour: int) -> dt.datetime:
    """Move the clock to that hour, today or tomorrow."""
    now = dt.datetime.fromtimestamp(fleet.sandbox.state.now_ms() / 1000, tz=dt.UTC)
    then = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    then += dt.timedelta(days=1) if then <= now else dt.timedelta()
    fleet.later(milliseconds=(then - now) / dt.timedelta(milliseconds=1))
    return then


def asked(fleet: Fleet, github: GitHub) -> list[str]:
    """The rolling issue's text after this night's plan; none where it is closed."""
    token = github.issue_token(
        REPOSITORY, login="github-actions[bot]", permissions={"issues": "write"}
    )
    environ: Environ = {
        **ALONE,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": token,
        "GITHUB_API_URL": github.url,
    }
    fleet.must("plan", "--issue", "github", environ=environ)
    issues = github.state.repositories[REPOSITORY].issues.values()
    return [issue.body for issue in issues if issue.state == "open"]


def test_three_months_and_two_visits(fleet: Fleet, github: GitHub) -> None:
    """Everything rotates within its window, no consumer ever fails, and the stock is
    asked for before it runs out.
    """
    fleet.defaults = {"overlap": "3d", "rotate_after": "30d", "reserve": 2, "window": WINDOW}
    to_hour(fleet, 0)
    fleet.begin(*({"label": label} for label in BOTS))
    desks = [Desk(fleet, label, every_days=1 + n % 2) for n, label in enumerate(BOTS)]
    rotated: list[tuple[str, dt.datetime]] = []
    visits = 0
    for day in range(NIGHTS):
        before = {label: fleet.ledger().tokens[label].current for label in BOTS}
        night = to_hour(fleet, 2)
        done = fleet.attempt("apply", "--yes", environ=ALONE)
        assert done.code == 0, (day, done)
        after = {label: fleet.ledger().tokens[label].current for label in BOTS}
        rotated += [(label, night) for label in BOTS if before[label] != after[label]]
        told = asked(fleet, github)
        if told and "short in the reserve" in told[0]:
            visits += 1
            fleet.must("apply", "--yes")  # a person, with an identity
            assert asked(fleet, github) == [], day
        for hour in (9, 21):
            to_hour(fleet, hour)
            for desk in desks:
                desk.spend(day)
    assert [desk.failures for desk in desks] == [[], [], [], []]
    judge(fleet, desks, rotated, visits)


def judge(
    fleet: Fleet, desks: list[Desk], rotated: list[tuple[str, dt.datetime]], visits: int
) -> None:
    """What the exchange and Vault say at the end."""
    assert visits == 1, "the second visit, because the first one stocked"
    counts = {label: sum(1 for name, _ in rotated if name == label) for label in BOTS}
    assert all(count == 3 for count in counts.values()), counts
    assert all(night.weekday() < 5 for _, night in rotated)
    assert all(len(desk.used) >= 3 for desk in desks)
    now_ms = fleet.sandbox.state.now_ms()
    for label in (*BOTS, "reconciler"):
        entry: Any = fleet.ledger().tokens[label]
        since_ms = entry.current.in_use_since_ms or entry.current.created_at_ms
        assert now_ms - since_ms < 31 * DAY_MS, label
        assert len(entry.reserve) >= 1, label
        known = {entry.current.token_id, *(r.token_id for r in entry.reserve)}
        known |= {r.token_id for r in entry.retiring}
        assert {t.token_id for t in fleet.live(label)} == known
    fleet.later(milliseconds=HOUR_MS)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
