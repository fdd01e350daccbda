"""What a person sees while a run writes: whole lines, and a bar below them."""

from __future__ import annotations

import io
import re
import sys
import threading

import pytest

from reconciler.cli import progress
from reconciler.cli.console import complain_of, footed, print_result, remove_footers
from reconciler.cli.progress import BarProgress, LineProgress, TimedProgress
from reconciler.protocol import Row, not_tried
from reconciler.render import row_line
from tests.unit.test_render import EVERYTHING

CHANGES = EVERYTHING.acting[:3]
ROWS = [Row(change=change, outcome=not_tried("stopped")) for change in CHANGES]
LINES = [row_line(row) for row in ROWS]


class Screen(io.StringIO):
    """A terminal: what is written to it, and what it shows."""

    def isatty(self) -> bool:
        """Say so."""
        return True

    def shown(self) -> list[str]:
        """The lines. Nothing but text, starts of lines and clearing is understood."""
        lines, column = [""], 0
        for part in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+|\x1b.*", self.getvalue()):
            if part == "\r":
                column = 0
            elif part == "\n":
                lines.append("")
                column = 0
            elif part == "\x1b[K":
                lines[-1] = lines[-1][:column]
            else:
                assert not part.startswith("\x1b"), repr(part)
                lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
                column += len(part)
        return lines


class Gone(Screen):
    """A terminal that nobody has any more."""

    def write(self, _text: str) -> int:
        """Fail as the system does."""
        raise OSError(5, "Input/output error")


def look_at(screen: Screen, monkeypatch: pytest.MonkeyPatch, width: int = 100) -> None:
    """Both streams, as on a terminal."""
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", str(width))


def assert_bar(line: str, count: int, width: int = 100) -> None:
    """A bar that has come so far, in one line of the terminal."""
    assert re.fullmatch(rf"applying  \[#*-*\]  {count}/{len(ROWS)}(  [0-9:]+)?", line), line
    assert len(line) < width


@pytest.mark.parametrize("width", [40, 100])
def test_lines_stay_whole_above_the_bar(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Rows, sentences and errors stand above the bar, which is the last line until the
    end, and then gone. Nothing of it is coloured.
    """
    screen, bar = Screen(), BarProgress()
    look_at(screen, monkeypatch, width)
    with footed(bar):
        bar.said("before")
        bar.started(CHANGES)
        assert_bar(screen.shown()[-1], 0, width)
        for number, row in enumerate(ROWS):
            bar.ended(row)
            bar.said(f"said {number}")
            assert_bar(screen.shown()[-1], number + 1, width)
        bar.started(CHANGES)
        print_result("two\nlines\n")
        assert_bar(screen.shown()[-1], 0, width)
    print_result("after")
    said = [part for number, line in enumerate(LINES) for part in (line, f"said {number}")]
    assert screen.shown() == ["before", *said, "two", "lines", "after", ""]


def test_lines_of_several_threads_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come one after the other, each whole."""
    screen, bar = Screen(), BarProgress()
    look_at(screen, monkeypatch)
    words = [f"{number}" * 20 for number in range(8)]

    def say(word: str) -> None:
        for _ in range(50):
            complain_of(word)

    with footed(bar):
        bar.started(CHANGES)
        threads = [threading.Thread(target=say, args=(word,)) for word in words]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(screen.shown()) == sorted([word for word in words for _ in range(50)] + [""])


def test_a_bar_that_is_removed_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the second signal: the process ends at once, and the shell begins a line."""
    screen, bar = Screen(), BarProgress()
    look_at(screen, monkeypatch)
    with footed(bar):
        bar.started(CHANGES)
        remove_footers()
        complain_of("stopped at once")
        assert screen.shown() == ["stopped at once", ""]


def test_a_terminal_that_is_gone_stops_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither lines nor bar can be written: the run goes on."""
    look_at(Gone(), monkeypatch)
    bar = BarProgress()
    with footed(bar):
        bar.started(CHANGES)
        bar.ended(ROWS[0])
        bar.said("this")


@pytest.mark.parametrize(
    ("screen", "environ", "kind"),
    [
        pytest.param(Screen(), {"TERM": "xterm"}, BarProgress, id="a terminal"),
        pytest.param(Screen(), {"TERM": "dumb"}, LineProgress, id="one that clears no line"),
        pytest.param(Screen(), {"CI": "true"}, TimedProgress, id="a job's"),
        pytest.param(io.StringIO(), {"CI": "true"}, TimedProgress, id="a job's file"),
        pytest.param(io.StringIO(), {"TERM": "xterm"}, LineProgress, id="a file"),
    ],
)
def test_who_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch,
    screen: io.StringIO,
    environ: dict[str, str],
    kind: type[LineProgress],
) -> None:
    """Only a person who looks at a terminal that can draw one."""
    monkeypatch.setattr(sys, "stdout", screen)
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with progress._progress() as events:
        assert type(events) is kind


def test_a_job_is_told_what_took_how_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Behind each line stands the time since the changes began; the sum comes last, on
    standard error.
    """
    ticks = iter((0.0, 1.25, 2.25, 14.75, 15.0))
    timed = TimedProgress(lambda: next(ticks))
    timed.started(CHANGES)
    for row in ROWS[:2]:
        timed.ended(row)
    timed.sum_up()
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"{LINES[0]}  [1.0 s]", f"{LINES[1]}  [13.5 s]"]
    assert err == "took 15.0 s: 1.2 s before the changes, 13.8 s for them\n"


def test_a_job_without_changes_is_told_how_long_it_looked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is nothing to tell apart."""
    ticks = iter((0.0, 2.0))
    TimedProgress(lambda: next(ticks)).sum_up()
    assert capsys.readouterr() == ("", "took 2.0 s\n")
    ticks = iter((0.0, 0.05))
    TimedProgress(lambda: next(ticks)).sum_up()
    assert capsys.readouterr() == ("", ""), "it was refused at once"
