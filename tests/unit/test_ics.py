"""Claims about the calendar file, as another program reads it."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import HealthCheck, given, settings
from icalendar import Calendar

from reconciler.documents import ics_calendar
from reconciler.model import DAY_MS, HOUR_MS, iso
from reconciler.plan import DateKind, Status, dates_of, status_of
from tests.support.hostile import assert_harmless, text_without_surrogates
from tests.support.showcase import a_fleet
from tests.support.values import entry, ledger, live, manifest, observed, retiring, spec
from tests.support.worlds import Scene, scenes

QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def events(*statuses: Status) -> list[dict[str, str]]:
    """Each event as it is read back: its properties as texts."""
    calendar: Any = Calendar.from_ical(ics_calendar(statuses))
    assert calendar.errors == []
    rows = []
    for event in calendar.walk("VEVENT"):
        assert event.errors == []
        rows.append(
            {
                "uid": str(event["uid"]),
                "start": event["dtstart"].dt.isoformat(),
                "stamp": event["dtstamp"].dt.isoformat(),
                "summary": str(event["summary"]),
                "description": str(event["description"]),
            }
        )
    return rows


def draining(*, age_days: int = 1) -> Status:
    """One label with a predecessor; its token is so old."""
    memory = ledger(
        {
            "bot": dataclasses.replace(
                entry("id-1", "bot", age_ms=age_days * DAY_MS),
                retiring=(retiring("id-0", "bot", superseded_age_ms=HOUR_MS),),
            )
        }
    )
    tokens = (live("id-1", "bot", age_ms=age_days * DAY_MS), live("id-0", "bot"))
    return status_of(manifest(spec("bot")), observed(memory, *tokens))


def due(status: Status) -> str:
    """When the one label is due."""
    (token,) = status.tokens
    assert token.due_at_ms is not None
    return iso(token.due_at_ms)


def test_a_calendar_has_the_dates_of_the_fleet() -> None:
    """In UTC, to the second, stamped with the time of the status."""
    told = [
        (row["start"], row["stamp"], row["summary"], row["description"])
        for row in events(draining())
    ]
    as_of = "As of 2026-11-22T08:30:00.000Z, secret/p at https://api.example."
    stamp = "2026-11-22T08:30:00+00:00"
    assert told == [
        (
            "2026-11-23T07:30:00+00:00",
            stamp,
            "bot: the overlap of id-0 ends",
            (
                "From then on the old token may be revoked, once it is quiet and its successor "
                f"is used. {as_of}"
            ),
        ),
        (
            f"{due(draining())[:19]}+00:00",
            stamp,
            "bot: rotation is due",
            f"From then on a run replaces the token. {as_of}",
        ),
    ]


def test_a_date_that_moves_keeps_its_uid() -> None:
    """A calendar that is subscribed moves the event; another place has others."""
    before, after = events(draining()), events(draining(age_days=3))
    assert [row["start"] for row in before] != [row["start"] for row in after]
    assert sorted(row["uid"] for row in before) == sorted(row["uid"] for row in after)
    elsewhere = events(dataclasses.replace(draining(), place="secret/other"))
    assert {row["uid"] for row in before} & {row["uid"] for row in elsewhere} == set()
    assert len({row["uid"] for row in before}) == len(before)


def test_a_large_fleet_is_whole() -> None:
    """Each date once, the same bytes twice, and several statuses in one file."""
    fleet = a_fleet(300)
    rows = events(fleet)
    assert len(rows) == len(dates_of(fleet)) == len({row["uid"] for row in rows})
    assert ics_calendar((fleet,)) == ics_calendar((fleet,))
    assert len(events(fleet, dataclasses.replace(fleet, place="b"))) == 2 * len(rows)


@QUICK
@given(scenes(text_without_surrogates()))
def test_no_label_harms_a_calendar(scene: Scene) -> None:
    """Whatever the labels: it is read back, with each date, and moves no terminal."""
    status = status_of(scene.desired, scene.observed)
    text = ics_calendar((status,))
    assert_harmless(text.replace("\r\n", "\n"))
    assert len(events(status)) == len(dates_of(status))


def test_a_command_can_not_hide_in_a_folded_line() -> None:
    """A runner takes commands from the beginning of a line, and lines are folded."""
    for length in range(80):
        label = "x" * length + "::add-mask::secret"
        memory = ledger({label: entry("id-1", label)})
        seen = observed(memory, live("id-1", label))
        text = ics_calendar((status_of(manifest(spec(label)), seen),))
        assert_harmless(text.replace("\r\n", "\n"))


def test_dates_are_the_plans_own() -> None:
    """Rotations of wanted labels and ends of overlaps of old tokens that live."""
    found = [(d.kind, d.label, iso(d.at_ms)) for d in dates_of(draining())]
    assert found == [
        (DateKind.OVERLAP, "bot", "2026-11-23T07:30:00.000Z"),
        (DateKind.ROTATION, "bot", due(draining())),
    ]
    memory = ledger({"left": entry("id-1", "left")})
    left = status_of(manifest(), observed(memory, live("id-1", "left")))
    assert dates_of(left) == ()
    gone = status_of(manifest(spec("bot")), observed(ledger()))
    assert dates_of(gone) == ()
