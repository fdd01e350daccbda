"""What a manifest says about when: windows, holds, and how early a rotation is due."""

from __future__ import annotations

import subprocess
import sys
import zoneinfo
from pathlib import Path

import pytest

from reconciler.errors import Problem
from reconciler.manifest import ManifestError, load_manifest
from reconciler.manifest.windows import parse_window
from reconciler.model import DAY_MS, HOUR_MS, TokenSpec, iso

HEAD = "version: 1\nmanager: m\nvault: {mount: secret, prefix: p}\n"
TOKENS = "tokens:\n- label: m\n"  # what follows begins in line 6
WORDS = (
    'write days, hours and a time zone in quotes, as in "Mon-Thu 09:00-15:00 Europe/Berlin" '
    'or "Mon,Wed 09:00-15:00 UTC"'
)
WORK = "Mon-Thu 09:00-15:00 Europe/Berlin"


def specs(text: str, folder: Path) -> dict[str, TokenSpec]:
    """The tokens of a manifest of this content, by label."""
    file = folder / "tokens.yaml"
    file.write_text(text, encoding="utf-8")
    return {spec.label: spec for spec in load_manifest([file]).manifest.tokens}


def told(text: str, folder: Path) -> list[str]:
    """What is wrong with a manifest, without the name of its file."""
    try:
        specs(text, folder)
    except ManifestError as refused:
        return [_placed(problem) for problem in refused.problems]
    return []


def _placed(problem: Problem) -> str:
    return f"{problem.mark.line}:{problem.mark.column}: {problem.severity}: {problem.message}"


def test_what_is_said_of_when(tmp_path: Path) -> None:
    """Each key arrives; a token's own goes before the default."""
    found = specs(
        HEAD + f"defaults: {{rotate_before: 2d, window: {WORK}}}\n" + TOKENS + "- label: own\n"
        "  rotate_before: 0s\n  window: ['Sat 00:00-24:00 UTC', 'Fri-Mon 07:30-08:00 UTC']\n"
        "  hold_until: '2028-02-29'\n  hold_reason: freeze\n  owner: trading desk\n",
        tmp_path,
    )
    boss, own = found["m"], found["own"]
    assert [w.text for w in boss.windows] == [WORK]
    assert (boss.rotate_before_ms, boss.hold_until_ms, boss.owner) == (2 * DAY_MS, None, "")
    assert [(w.days, w.opens_min, w.closes_min) for w in own.windows] == [
        ((5,), 0, 24 * 60),
        ((0, 4, 5, 6), 7 * 60 + 30, 8 * 60),
    ]
    assert own.rotate_before_ms == 0
    assert iso(own.hold_until_ms or 0) == "2028-02-29T00:00:00.000Z"
    assert (own.hold_reason, own.owner) == ("freeze", "trading desk")


def test_what_is_left_out(tmp_path: Path) -> None:
    """No window, no hold: a rotation may start whenever it is due."""
    boss = specs(HEAD + TOKENS, tmp_path)["m"]
    assert (boss.windows, boss.rotate_before_ms, boss.hold_until_ms) == ((), 0, None)
    assert (boss.hold_reason, boss.owner) == ("", "")


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("Mon", (0,)),
        ("Mon-Sun", (0, 1, 2, 3, 4, 5, 6)),
        ("Sat-Mon", (0, 5, 6)),
        ("Tue-Tue", (1,)),
        ("Mon,Wed,Fri-Sat", (0, 2, 4, 5)),
        ("Sun,Mon-Fri,Tue", (0, 1, 2, 3, 4, 6)),
    ],
)
def test_days(written: str, days: tuple[int, ...]) -> None:
    """Names, ranges, both; a range may pass the end of the week, a day stand twice."""
    assert parse_window(f"{written} 09:00-15:00 UTC").days == days


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("window: Mon 09:00-15:00 UTC", []),
        ("window: [Mon 09:00-15:00 UTC, Tue 09:00-15:00 Asia/Kathmandu]", []),
        ("window: 'Sun 23:59-24:00 America/Argentina/Buenos_Aires'", []),
        *(
            (f"window: '{wrong}'", [f"7:11: error: window '{wrong}' - {WORDS}"])
            for wrong in (
                "always",
                "",
                "Monday 09:00-15:00 UTC",
                "mon 09:00-15:00 UTC",
                "Mon 9:00-15:00 UTC",
                "Mon 24:00-24:00 UTC",
                "Mon 09:00-24:01 UTC",
                "Mon 09:60-15:00 UTC",
                "Mon 09:00-15:00",
                "09:00-15:00 UTC",
                "Mon - Thu 09:00-15:00 UTC",
                "Mon 09:00-15:00 ../../etc/passwd",
                "Mon 09:00-15:00 UTC ",
            )
        ),
        (
            "window: [Mon, Wed 09:00-15:00 UTC]",
            [f"7:12: error: window 'Mon' - {WORDS}"],
        ),
        (
            "window: Mon 09:00-09:00 UTC",
            [
                (
                    "7:11: error: window 'Mon 09:00-09:00 UTC' never opens - write an end "
                    "after its "
                    ""
                    "start"
                )
            ],
        ),
        (
            "window: [Tue 09:00-15:00 UTC, Mon 22:00-02:00 UTC]",
            [
                (
                    "7:33: error: window 'Mon 22:00-02:00 UTC' ends before it begins - "
                    "write an end "
                    "on "
                    "the same day, and what is after midnight as a second window"
                )
            ],
        ),
        (
            "window: Mon 09:00-15:00 Europe/Berlim",
            [
                (
                    "7:11: error: window time zone 'Europe/Berlim' is unknown - did you mean "
                    "'Europe/Berlin'?"
                )
            ],
        ),
        (
            "window: Mon 09:00-15:00 berlin",
            ["7:11: error: window time zone 'berlin' is unknown - did you mean 'Europe/Berlin'?"],
        ),
        (
            "window: Mon 09:00-15:00 GMT+5",  # Etc/GMT+5 is behind UTC
            [
                (
                    "7:11: error: window time zone 'GMT+5' is unknown - write a place such as "
                    "Europe/Berlin, or UTC"
                )
            ],
        ),
        (
            "window: Mon 09:00-15:00 Mars/Olympus_Mons",
            [
                (
                    "7:11: error: window time zone 'Mars/Olympus_Mons' is unknown - write one such "
                    "as "
                    "Europe/Berlin"
                )
            ],
        ),
        (
            "window: []",
            [
                (
                    "7:11: error: window must have at least 1 item - write "
                    "Mon-Thu 09:00-15:00 Europe/Berlin, or remove it"
                )
            ],
        ),
        (
            "window: [Mon 09:00-15:00 UTC, Mon 09:00-15:00 UTC]",
            [
                (
                    "7:33: error: window 'Mon 09:00-15:00 UTC' is here twice - the first is at "
                    "tokens.yaml:7:12"
                )
            ],
        ),
        (
            "window: 5",
            [
                (
                    "7:11: error: window must be text or a list such as "
                    "Mon-Thu 09:00-15:00 Europe/Berlin, not 5"
                )
            ],
        ),
        (
            "window: {mon: 9}",
            [
                (
                    "7:11: error: window must be text or a list such as "
                    "Mon-Thu 09:00-15:00 Europe/Berlin, not a mapping"
                )
            ],
        ),
        (
            "window:",
            [
                (
                    "7:3: error: window has no value - write text or a list such as "
                    "Mon-Thu 09:00-15:00 Europe/Berlin, or remove it"
                )
            ],
        ),
    ],
)
def test_windows(line: str, expected: list[str], tmp_path: Path) -> None:
    """A window that can't be is one error, where it stands."""
    text = HEAD + TOKENS + f"- {line}\n  label: a\n".replace("- ", "- label: a\n  ", 1)
    text = text.removesuffix("  label: a\n")
    found = [sentence.replace(f"{tmp_path}/", "") for sentence in told(text, tmp_path)]
    assert found == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["hold_until: '2027-01-15'", "hold_reason: freeze"], []),
        (
            ["hold_until: 2027-01-15", "hold_reason: freeze"],
            [
                (
                    "7:15: error: hold_until must be text, and YAML reads 2027-01-15 as a "
                    "date - put "
                    ""
                    "it in quotes: '2027-01-15'"
                )
            ],
        ),
        (
            ["hold_until: '2027-02-29'", "hold_reason: freeze"],
            [
                "7:15: error: hold_until '2027-02-29' is in no calendar - write a day that exists",
            ],
        ),
        (
            ["hold_until: '15.1.2027'", "hold_reason: freeze"],
            ["7:15: error: hold_until '15.1.2027' - write a day in quotes, as in \"2027-01-15\""],
        ),
        (
            ["hold_until: '2027-01-15'"],
            ["7:3: error: hold_until stands without hold_reason - add it, or remove both"],
        ),
        (
            ["hold_reason: freeze"],
            ["7:3: error: hold_reason stands without hold_until - add it, or remove both"],
        ),
        (
            ["hold_until: '2027-01-15'", "hold_reason: ''"],
            ["8:16: error: hold_reason must have at least 1 character - write text"],
        ),
    ],
)
def test_holds(lines: list[str], expected: list[str], tmp_path: Path) -> None:
    """A hold has a day of the calendar and a reason: each mistake is one error."""
    text = HEAD + TOKENS + "- label: a\n" + "".join(f"  {line}\n" for line in lines)
    found = told(text, tmp_path)
    assert [sentence.removesuffix(" such as ") for sentence in found] == expected


SPREAD = "less the tenth by which due dates are spread"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("rotate_after: 30d, rotate_before: 25d, overlap: 26h", []),
        (
            "rotate_after: 30d, rotate_before: 26d, overlap: 26h",
            (
                f"rotate_after 30d, less rotate_before 26d, {SPREAD}, leaves 1d, and it must leave "
                "more than overlap 26h"
            ),
        ),
        (
            "rotate_after: 30d, rotate_before: 30d, overlap: 0s",
            (
                f"rotate_after 30d, less rotate_before 30d, {SPREAD}, leaves nothing, and it must "
                "leave more than an hour"
            ),
        ),
        ("rotate_after: 10h, rotate_before: 7h, overlap: 59m", []),
        (
            "rotate_after: 10h, rotate_before: 8h, overlap: 59m",
            (
                f"rotate_after 10h, less rotate_before 8h, {SPREAD}, leaves 1h, and it must leave "
                "more than an hour"
            ),
        ),
        (
            "rotate_after: 10d, overlap: 9d",
            f"rotate_after 10d, {SPREAD}, leaves 9d, and it must leave more than overlap 9d",
        ),
        ("rotate_after: 10d, overlap: 215h", []),
        ("rotate_after: 1h, overlap: 0s", []),
        ("rotate_after: never, rotate_before: 30d, overlap: 300d", []),
    ],
)
def test_what_is_left_of_rotate_after(keys: str, expected: str | list[str], tmp_path: Path) -> None:
    """The sentence does the sum: it names each length and what is left of them."""
    found = told(HEAD + TOKENS + f"- {{label: a, {keys}}}\n", tmp_path)
    if isinstance(expected, str):
        expected = [f"6:{len('- {label: a, rotate_after: ') + 1}: error: {expected}"]
    assert [sentence.removesuffix(" - change one of them") for sentence in found] == expected


def test_a_default_that_leaves_too_little_is_told_once(tmp_path: Path) -> None:
    """It stands at the default, however many tokens it is about."""
    head = HEAD + "defaults: {rotate_after: 2w, rotate_before: 12d}\n"
    assert told(head + TOKENS + "- label: a\n- label: b\n", tmp_path) == [
        (
            f"4:26: error: rotate_after 2w (from defaults), less rotate_before 12d (from "
            "defaults), "
            f"{SPREAD}, leaves 864m, and it must leave more than overlap 26h (built in) - change "
            "one of them"
        )
    ]


def test_without_a_window_no_zone_is_read(tmp_path: Path) -> None:
    """Start-up is quick: what reads zones is loaded once a manifest has a window."""
    for keys, loaded in (("", "False"), (f"- {{label: a, window: {WORK}}}\n", "True")):
        (tmp_path / "tokens.yaml").write_text(HEAD + TOKENS + keys, encoding="utf-8")
        code = (
            "import pathlib, sys; from reconciler.manifest import load_manifest; "
            "load_manifest([pathlib.Path('tokens.yaml')]); print('zoneinfo' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == loaded


def test_a_machine_without_zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program brings its own."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        zoneinfo.ZoneInfo.clear_cache()
        assert parse_window.__wrapped__("Mon 09:00-15:00 Europe/Vaduz").zone is not None
    finally:
        zoneinfo.reset_tzpath(before)


def test_hours_are_minutes_since_midnight() -> None:
    """The last minute of the day is 24:00."""
    window = parse_window("Mon 23:05-24:00 UTC")
    assert (window.opens_min, window.closes_min) == (23 * 60 + 5, 24 * HOUR_MS // 60_000)
