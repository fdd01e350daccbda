"""Doctor's comparison: does a schedule ever run in a window?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from reconciler.cli.schedules import Cron, schedule_checks
from reconciler.documents import Health
from reconciler.manifest.windows import parse_window
from reconciler.model import Manifest, instant_ms, iso
from tests.support.values import NOW_MS, manifest, spec

WORK = "Mon-Thu 09:00-15:00 Europe/Berlin"
HOURLY = "17 * * * *"
MISSED = "the schedule never meets "


def wanted(*windows: str) -> Manifest:
    """A manifest with one label for each window."""
    return manifest(
        *(
            dataclasses.replace(spec(f"bot-{number}"), windows=(parse_window(text),))
            for number, text in enumerate(windows)
        )
    )


def told(desired: Manifest, *crons: str) -> list[tuple[Health, str]]:
    """What is said of the schedules."""
    return [(c.health, c.message) for c in schedule_checks(crons, desired, NOW_MS)]


@pytest.mark.parametrize(
    ("cron", "window", "met"),
    [
        (HOURLY, WORK, True),
        (HOURLY, "Mon 09:20-10:10 UTC", False),
        ("43 */6 * * *", WORK, True),
        ("17 5 * * *", WORK, False),
        ("17 9-14 * * 1-4", WORK, True),
        ("17 9 * * 5", WORK, False),
        ("17 9 * * 0", "Sun 09:00-10:00 UTC", True),
        ("17 9 * * 7", "Sun 09:00-10:00 UTC", True),
        ("17 9 * * 1", "Sun 09:00-10:00 UTC", False),
        ("0,30 9 * * *", "Mon 09:30-09:31 UTC", True),
        # 08:30 in Berlin is 07:30 UTC in winter and 06:30 in summer
        ("30 7 * * *", "Mon-Sun 08:15-08:45 Europe/Berlin", False),
        ("30 6,7 * * *", "Mon-Sun 08:15-08:45 Europe/Berlin", True),
    ],
)
def test_a_schedule_and_a_window(cron: str, window: str, met: bool) -> None:  # noqa: FBT001  # the expected value
    """In winter and in summer: one that is met in half of the year is not met."""
    expected = (
        (Health.OK, "meets all windows (1 window)")
        if met
        else (Health.WARN, f"{MISSED}{window} (bot-0)")
    )
    assert told(wanted(window), cron) == [expected]


def test_several() -> None:
    """Any schedule may meet a window; those that none meets are named."""
    desired = wanted(WORK, "Sat 09:00-15:00 UTC", "Sun 09:00-15:00 UTC")
    assert told(desired, "17 5 * * *", HOURLY) == [(Health.OK, "meets all windows (3 windows)")]
    assert told(desired, "17 10 * * 1-5", "17 10 * * 6") == [
        (Health.WARN, MISSED + "Sun 09:00-15:00 UTC (bot-2)")
    ]
    everywhere = wanted(*(f"Sun 09:0{n}-15:00 UTC" for n in range(5)))
    ((_, sentence),) = told(everywhere, "17 5 * * *")
    assert sentence.endswith(" and 2 more")


def test_nothing_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No window, or no schedule: nothing is said."""
    monkeypatch.chdir(tmp_path)
    assert told(manifest(spec("bot")), HOURLY) == []
    assert told(wanted(WORK)) == []


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "@hourly",
        "17 * 1 * *",
        "17 * * 2 *",
        "17 * * * MON",
        "60 * * * *",
        "17 24 * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "1-999999999 * * * *",
        "-5 * * * *",
        "17 * * * * *",
    ],
)
def test_what_is_not_compared(odd: str) -> None:
    """It is said, and nothing is claimed of it."""
    sentence = f"the schedule {odd!r} is not compared with the windows"
    assert told(wanted(WORK), odd) == [(Health.WARN, sentence)]


def test_the_instants_of_a_schedule() -> None:
    """Those of two weeks, in order."""
    found = list(Cron("17 5 * * 1").instants(NOW_MS))
    assert [iso(at_ms)[:16] for at_ms in found] == ["2026-11-23T05:17", "2026-11-30T05:17"]
    assert len(list(Cron(HOURLY).instants(instant_ms("2028-02-20T00:00:00Z")))) == 14 * 24


def test_the_workflows_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are, or call, tokens-rotate; what can't be read is passed over."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    daily = 'on:\n  schedule:\n    - cron: "17 5 * * *"\n'
    (folder / "other.yml").write_text(daily, encoding="utf-8")
    (folder / "broken-tokens-rotate.yml").write_text("on: [", encoding="utf-8")
    (folder / "latin-tokens-rotate.yml").write_bytes(b"\xe9")
    (folder / "list-tokens-rotate.yml").write_text("- a\n", encoding="utf-8")
    assert told(wanted(WORK)) == []
    (folder / "tokens-rotate.yml").write_text(daily, encoding="utf-8")
    assert told(wanted(WORK)) == [(Health.WARN, f"{MISSED}{WORK} (bot-0)")]
    calls = daily.replace("17 5", "17 *") + "jobs: {rotate: {uses: x/tokens-rotate.yml@v1}}\n"
    (folder / "tokens.yml").write_text(calls, encoding="utf-8")
    assert told(wanted(WORK)) == [(Health.OK, "meets all windows (1 window)")]
