"""What a value promises, wherever it is made: it is held against a frozen dataclass of
the same fields.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import pytest

from reconciler.plan import Change, NotTouched, Plan, Policy, Selection, Side
from reconciler.state import (
    Abandoned,
    Closed,
    Content,
    Current,
    Discarded,
    Entry,
    Holder,
    Intent,
    Ledger,
    Observed,
    Retirement,
    Retiring,
    Revoking,
)
from reconciler.values import value

T = TypeVar("T")


@value
class Point:
    """Two of its fields have something special."""

    x: int
    y: int = 0
    hidden: str = dataclasses.field(default="h", repr=False)
    beside: str = dataclasses.field(default="b", compare=False)
    more: Mapping[str, int] = dataclasses.field(default_factory=dict)


@value
class Named(Point):
    """A value that has all of another's fields, and one of its own."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


@value
class Empty:
    """Nothing is in it."""


@value
class Box(Generic[T]):
    """It holds what its type says."""

    content: T


def test_a_value_is_made_by_names() -> None:
    """What is not given has its default, and a fresh one where a factory makes it."""
    point = Point(x=1)
    assert (point.x, point.y, point.hidden, point.beside, point.more) == (1, 0, "h", "b", {})
    assert Point(x=1).more is not point.more
    assert Point(x=1, more={"a": 1}).more == {"a": 1}
    assert Box[int](content=3).content == 3
    assert dataclasses.replace(point, y=4) == Point(x=1, y=4)
    assert dataclasses.asdict(Box(content=Box(content=1))) == {"content": {"content": 1}}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"y": 1},
        {"x": 1, "z": 1},
        {"y": 1, "z": 1},
        {"y": 0, "hidden": "", "beside": "", "more": {}, "z": 1},
        {"x": 1, "y": 0, "hidden": "", "beside": "", "more": {}, "z": 1},
    ],
)
def test_what_is_missing_or_unknown_is_an_error(given: dict[str, Any]) -> None:
    """Also where the count is right."""
    with pytest.raises(TypeError, match=r"^Point (lacks 'x'|has no z)$"):
        Point(**given)
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]  # by name only


def test_a_value_is_never_changed() -> None:
    """Neither set nor deleted nor given another attribute."""
    point = Point(x=1)
    for name in ("x", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(point, name, 2)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(point, name)
    assert point == Point(x=1)
    assert not hasattr(point, "__dict__")


def test_equal_values_are_one_key() -> None:
    """By class and by all that is compared."""
    assert Point(x=1, beside="this") == Point(x=1, beside="that")
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1, name="a")
    assert Named(x=1, name="a") != Named(x=1, name="b")
    assert Empty() == Empty()
    assert len({Box(content=1), Box(content=1), Box(content=2), Empty(), Empty()}) == 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(x=1))


def test_a_value_tells_what_it_is_made_of() -> None:
    """Unless a field is not to be shown, or the class says it in its own way."""
    assert repr(Point(x=1)) == "Point(x=1, y=0, beside='b', more={})"
    assert repr(Named(x=1, name="a")) == "<a>"
    assert repr(Empty()) == "Empty()"


def test_a_value_is_copied_whole() -> None:
    """Also into another process."""
    point = Point(x=1, more={"a": 1})
    again = pickle.loads(pickle.dumps(point))  # noqa: S301  # our own
    for copied in (copy.copy(point), copy.deepcopy(point), again):
        assert copied == point


LEDGERS = (Holder, Current, Intent, Retiring, Revoking, Entry, Abandoned, Closed, Ledger)
PLANS = (Selection, Policy, Side, Change, NotTouched, Plan)


@pytest.mark.parametrize("kind", [*LEDGERS, Retirement, Discarded, Content, Observed, *PLANS])
def test_what_is_known_and_planned_is_a_value(kind: type) -> None:
    """Nobody changes a ledger under another's hands, what was gathered stays as it was
    seen, the plan that was shown is the one that is approved, and no two texts are
    swapped unnoticed.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    made = kind(**dict.fromkeys(names))
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, 1)
    with pytest.raises(TypeError):
        kind(1)
