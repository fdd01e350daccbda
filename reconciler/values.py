"""Values: frozen, keyword-only dataclasses with slots, made in a tenth of the time.

``dataclasses`` writes six methods for each class as text and compiles them. For the 170
classes that ``plan`` loads, that was a third of a small plan. Here the same methods are
written once, over the fields that ``dataclasses`` found; ``fields``, ``replace`` and
``asdict`` work as ever.

Rules this module keeps:

1. Only documented parts of ``dataclasses`` are used.
2. Two values are equal if they are of the same class and all compared fields are.
3. What a value is made of is never set again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,)
)
def value(kind: type[T]) -> type[T]:
    """Make a class a value. What of its methods the class has itself, stays."""
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=True)(
        kind
    )
    fields = dataclasses.fields(made)
    content = _content([field.name for field in fields if field.compare])
    methods = {
        "__init__": _init(made, fields),
        "__repr__": _repr,
        "__eq__": _eq(content),
        "__hash__": lambda self: hash(content(self)),
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__reduce__": _reduce,
    }
    for name in methods.keys() - vars(kind).keys():
        setattr(made, name, methods[name])
    return made  # type: ignore[no-any-return]


def _content(names: list[str]) -> Callable[[object], object]:
    return attrgetter(*names) if names else lambda _: ()


def _init(made: type, fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
    """Return the ``__init__``, which sets each slot once."""
    slots = tuple((field.name, getattr(made, field.name).__set__) for field in fields)
    count = len(slots)
    defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    factories = {
        f.name: f.default_factory for f in fields if f.default_factory is not dataclasses.MISSING
    }

    def __init__(self: object, **given: Any) -> None:  # noqa: N807
        if len(given) != count:
            if factories:
                given = {name: make() for name, make in factories.items()} | given
            given = defaults | given
        try:
            for name, fill in slots:
                fill(self, given[name])
        except KeyError as error:
            raise TypeError(f"{made.__name__} lacks {error}") from None
        if len(given) != count:
            odd = sorted(given.keys() - dict(slots).keys())
            raise TypeError(f"{made.__name__} has no {', '.join(odd)}")

    return __init__


def _eq(content: Callable[[object], object]) -> Callable[[object, object], bool]:
    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or content(self) == content(other)

    return __eq__


def _repr(self: Any) -> str:
    shown = (
        f"{field.name}={getattr(self, field.name)!r}"
        for field in dataclasses.fields(self)
        if field.repr
    )
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse(self: object, name: str, *_: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} is never set again")


def _reduce(self: Any) -> tuple[object, ...]:
    """Copy a value by making it again, as setting its fields is refused."""
    content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    return _made, (type(self), content)


def _made(kind: Callable[..., object], content: dict[str, object]) -> object:
    return kind(**content)
