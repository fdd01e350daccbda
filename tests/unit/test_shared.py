"""One list for several: who joins one, and who is given one of a moment ago."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from reconciler.exchange import Shared

LATE_MS = 200


class Lists:
    """Lists that are numbered as they leave, on a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ms = 100_000
        self.made = 0
        self.shared = Shared("lost", keeps=lambda _, reply: reply != "partial", steady_ms=self._now)

    def _now(self) -> int:
        return self.now_ms

    def list(self, leave: Callable[[], None]) -> str:
        """A list that takes no time."""
        leave()
        self.made += 1
        return f"list {self.made}"

    def asked(self, key: str = "boss", *, within_ms: int = LATE_MS) -> str:
        """What somebody gets who takes a list of so long ago."""
        return self.shared.ask(key, self.list, within_ms=within_ms)


@pytest.mark.parametrize(
    ("after_ms", "expected"), [(0, "list 1"), (LATE_MS - 1, "list 1"), (LATE_MS + 1, "list 2")]
)
def test_a_list_of_a_moment_ago_will_do(after_ms: int, expected: str) -> None:
    """As long as it left lately; its age counts from then, and not from its reply."""
    lists = Lists()

    def slow(leave: Callable[[], None]) -> str:
        found = lists.list(leave)
        lists.now_ms += after_ms
        return found

    assert lists.shared.made("boss", slow) == "list 1"
    assert lists.asked() == expected


def test_who_wants_a_new_one_gets_a_new_one() -> None:
    """Only who says how old it may be is given an old one."""
    lists = Lists()
    assert [lists.asked(within_ms=0) for _ in range(2)] == ["list 1", "list 2"]
    assert lists.asked() == "list 2"


def test_another_signers_list_is_another() -> None:
    """A list is known by who signed it."""
    lists = Lists()
    assert [lists.asked("boss"), lists.asked("bot"), lists.asked("boss")] == [
        "list 1",
        "list 2",
        "list 3",
    ]


def test_a_change_makes_every_list_old() -> None:
    """One that left before it, and one that left while it was on its way."""
    lists = Lists()
    lists.asked()
    with lists.shared.change():
        assert lists.asked() == "list 2"
        assert lists.asked() == "list 3", "the change may come after the list"
    assert lists.asked() == "list 4"
    assert lists.asked() == "list 4"


def test_a_list_that_a_change_overtakes_is_old() -> None:
    """It left before the change, and its reply comes after it."""
    lists = Lists()

    def overtaken(leave: Callable[[], None]) -> str:
        found = lists.list(leave)
        with lists.shared.change():
            pass
        return found

    assert lists.shared.made("boss", overtaken) == "list 1"
    assert lists.asked() == "list 2"


def test_the_first_of_several_attempts_counts() -> None:
    """An earlier attempt's reply may have stood."""
    lists = Lists()

    def twice(leave: Callable[[], None]) -> str:
        found = lists.list(leave)
        lists.now_ms += 1000
        leave()
        return found

    lists.shared.made("boss", twice)
    assert lists.asked() == "list 2"


def test_what_never_left_or_is_not_whole_is_not_kept() -> None:
    """The next one asks anew."""
    lists = Lists()
    lists.shared.made("boss", lambda _: "refused unsent")

    def partial(leave: Callable[[], None]) -> str:
        leave()
        return "partial"

    lists.shared.made("boss", partial)
    assert lists.asked() == "list 1"


def test_who_asks_while_it_waits_joins_it() -> None:
    """And who asks once it has left makes another."""
    lists = Lists()
    asked, go = threading.Event(), threading.Event()
    found: list[str] = []

    def waits(leave: Callable[[], None]) -> str:
        asked.set()
        assert go.wait(10)
        return lists.list(leave)

    first = threading.Thread(target=lambda: found.append(lists.shared.ask("boss", waits)))
    first.start()
    assert asked.wait(10)
    second = threading.Thread(target=lambda: found.append(lists.asked(within_ms=0)))
    second.start()
    second.join(0.2)
    assert second.is_alive(), "it waits for the list that has not left"
    go.set()
    first.join(10)
    second.join(10)
    assert found == ["list 1", "list 1"]
    assert lists.asked(within_ms=0) == "list 2"
