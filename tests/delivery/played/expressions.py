"""Expressions of GitHub Actions, as far as our files use them:

``${{ … }}``, ``if:``, contexts, operators, functions.

Rules this module keeps:

1. What it does not know is an ExpressionError, never an empty text: an unknown
   function, operator, context, or a context that is not there at this place of the file
   (GitHub's table of context availability).
2. Values compare as GitHub compares them: text without regard to case, different kinds
   as numbers.
3. A condition without a status function means ``success() && (…)``.

Source: the reference "Evaluate expressions in workflows and actions" of GitHub's
documentation.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Functions = Mapping[str, Callable[..., Any]]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?))
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<sign>\|\||&&|==|!=|<=|>=|[!<>()\[\].,*])
    )""",
    re.VERBOSE,
)
_PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_LITERALS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
STATUS_FUNCTIONS = frozenset({"success", "failure", "always", "cancelled"})


class ExpressionError(Exception):
    """An expression that GitHub would refuse, or that this module does not know."""


class Context(NamedTuple):
    """What an expression may look at: contexts by name, and functions besides those
    that need nothing.
    """

    values: Mapping[str, Any]
    functions: Functions = {}  # noqa: RUF012  # never changed


class _Each(list[Any]):
    """What ``.*`` reached: a name after it is looked up in each."""


class Strict(dict[str, Any]):
    """A context in which a name that is not there is a mistake, not nothing:

    ``steps``, ``needs``, declared inputs.
    """


def truthy(value: Any) -> bool:
    """GitHub's falsy values: false, 0, the empty text, null, not a number."""
    if isinstance(value, (Mapping, list)):
        return True
    return bool(value) and not (isinstance(value, float) and math.isnan(value))


def to_text(value: Any) -> str:
    """A value as it is put into a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "Object" if isinstance(value, dict) else "Array"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def fill(template: Any, context: Context) -> str:
    """A text of the file with every ``${{ … }}`` replaced."""
    if not isinstance(template, str):
        return to_text(template)
    filled = _PLACE.sub(lambda place: to_text(evaluate(place[1], context)), template)
    if "${{" in _PLACE.sub("", template):
        raise ExpressionError(f"an expression is not closed in {template!r}")
    return filled


def value_of(template: Any, context: Context) -> Any:
    """A value of the file: what is one expression and nothing else keeps its kind."""
    if isinstance(template, str):
        whole = _PLACE.fullmatch(template.strip())
        if whole:
            return evaluate(whole[1], context)
    return fill(template, context) if isinstance(template, str) else template


def condition(template: Any, context: Context) -> bool:
    """An ``if:``, with or without ``${{ }}`` around it."""
    if isinstance(template, bool):
        template = to_text(template)
    text = template.strip()
    whole = _PLACE.fullmatch(text)
    if whole:
        text = whole[1]
    elif "${{" in text:
        raise ExpressionError(
            f"a condition that mixes text and expressions is always true: {template!r}"
        )
    names = {token.text for token in _tokens(text) if token.kind == "name"}
    if not names & STATUS_FUNCTIONS:
        text = f"success() && ({text})"
    return truthy(evaluate(text, context))


def evaluate(text: str, context: Context) -> Any:
    """The value of one expression."""
    parser = _Parser(_tokens(text), context, text)
    found = parser.either()
    parser.end()
    return found


class _Token(NamedTuple):
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"what is {text[place:].strip()!r} in {text.strip()!r}?")
        found.append(_Token(match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


class _Parser:
    """Recursive descent; every value is worked out on the way, as none of ours costs
    anything.
    """

    def __init__(self, tokens: Sequence[_Token], context: Context, source: str) -> None:
        self._tokens = tokens
        self._next = 0
        self._context = context
        self._source = source.strip()

    def either(self) -> Any:
        """``a || b``: the first that is truthy, else the last."""
        left = self._both()
        while self._take("||"):
            right = self._both()
            left = left if truthy(left) else right
        return left

    def _both(self) -> Any:
        left = self._equal()
        while self._take("&&"):
            right = self._equal()
            left = right if truthy(left) else left
        return left

    def _equal(self) -> Any:
        left = self._ordered()
        while sign := self._take("==", "!="):
            left = _same(left, self._ordered()) is (sign == "==")
        return left

    def _ordered(self) -> Any:
        left = self._negated()
        while sign := self._take("<", "<=", ">", ">="):
            left = _compare(sign, left, self._negated())
        return left

    def _negated(self) -> Any:
        if self._take("!"):
            return not truthy(self._negated())
        return self._reached()

    def _reached(self) -> Any:
        """A value and what is reached from it by ``.name`` and ``[…]``."""
        found, path = self._single()
        while sign := self._take(".", "["):
            if sign == "[":
                key = self.either()
                self._want("]")
            else:
                key = self._take("*") or self._name()
            found, path = self._inside(found, key, path), f"{path}.{key}"
        return found

    def _single(self) -> tuple[Any, str]:
        if self._take("("):
            found = self.either()
            self._want(")")
            return found, "(…)"
        token = self._token()
        if token.kind == "number":
            return float(int(token.text, 16)) if "0x" in token.text else float(
                token.text
            ), token.text
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'"), token.text
        if token.kind != "name":
            raise ExpressionError(f"{token.text!r} is out of place in {self._source!r}")
        if token.text in _LITERALS:
            return _LITERALS[token.text], token.text
        if self._take("("):
            return self._called(token.text), token.text
        if token.text not in self._context.values:
            raise ExpressionError(f"there is no {token.text!r} at the place of {self._source!r}")
        return self._context.values[token.text], token.text

    def _called(self, name: str) -> Any:
        arguments: list[Any] = []
        while not self._take(")"):
            arguments.append(self.either())
            if not self._take(","):
                self._want(")")
                break
        functions = {**_FUNCTIONS, **self._context.functions}
        if name not in functions:
            raise ExpressionError(f"there is no function {name}() at the place of {self._source!r}")
        return functions[name](*arguments)

    def _inside(self, holder: Any, key: Any, path: str) -> Any:
        if key == "*":
            return _Each(holder.values() if isinstance(holder, Mapping) else holder)
        if isinstance(holder, _Each):
            return _Each(self._inside(item, key, path) for item in holder)
        if isinstance(holder, Strict) and key not in holder:
            raise ExpressionError(f"{path} has no {key!r}, in {self._source!r}")
        if isinstance(holder, Mapping):
            return holder.get(key)
        if isinstance(holder, list) and isinstance(key, float):
            return holder[int(key)] if 0 <= int(key) < len(holder) else None
        return None

    def _name(self) -> str:
        token = self._token()
        if token.kind != "name":
            raise ExpressionError(f"{token.text!r} is no name, in {self._source!r}")
        return token.text

    def _token(self) -> _Token:
        if self._next >= len(self._tokens):
            raise ExpressionError(f"{self._source!r} ends too early")
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, *signs: str) -> str | None:
        token = self._tokens[self._next] if self._next < len(self._tokens) else None
        if token is None or token.kind != "sign" or token.text not in signs:
            return None
        self._next += 1
        return token.text

    def _want(self, sign: str) -> None:
        if not self._take(sign):
            raise ExpressionError(f"{sign!r} is missing in {self._source!r}")

    def end(self) -> None:
        """Nothing may be left."""
        if self._next < len(self._tokens):
            raise ExpressionError(
                f"{self._tokens[self._next].text!r} is too much in {self._source!r}"
            )


def _number(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    if isinstance(value, (bool, int, float)):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if isinstance(left, bool) and isinstance(right, bool):
        return left is right
    return left is right or _number(left) == _number(right)


def _compare(sign: str, left: Any, right: Any) -> bool:
    one, other = _number(left), _number(right)
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[sign]


def _contains(where: Any, what: Any) -> bool:
    if isinstance(where, list):
        return any(_same(item, what) for item in where)
    return to_text(what).lower() in to_text(where).lower()


def _format(template: Any, *arguments: Any) -> str:
    return to_text(template).format(*(to_text(argument) for argument in arguments))


_FUNCTIONS: Functions = {
    "contains": _contains,
    "startsWith": lambda text, start: to_text(text).lower().startswith(to_text(start).lower()),
    "endsWith": lambda text, end: to_text(text).lower().endswith(to_text(end).lower()),
    "format": _format,
    "join": lambda items, sign=",": to_text(sign).join(
        map(to_text, items if isinstance(items, list) else [items])
    ),
    "toJSON": lambda value: json.dumps(value, indent=2),
    "fromJSON": json.loads,
}
