"""Strict YAML that remembers where everything stands: bytes become nodes with places.

Rules this module keeps:

1. Data only: anchors, aliases, merge keys and tags are refused. A file therefore says
   what it says where it says it, and can't grow while it is read.
2. Nothing is converted silently. Text that YAML 1.1 and YAML 1.2 read differently
   (``on``, ``042``, ``1:30``, a date) becomes an ``Odd``. That is no type of JSON, so
   every schema refuses it, and its message can name what was written.
3. A key stands once in its mapping.
4. Depth and number of values are judged before a value is kept.
5. Whatever can be understood in spite of a problem is read on. What can't be understood
   ends this file with one problem. Bad input is never an exception.

``yaml.compose`` can't keep rules 1 and 4. It drops anchors that nobody uses and the
places of aliases, and it recurses in C: 100,000 opening brackets end the process with a
segmentation fault. So the nodes are made here, from the events of libyaml's parser.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconciler.errors import Mark
from reconciler.manifest.problems import (
    MAX_PROBLEMS,
    SEVERAL,
    Problems,
    beginning,
    error,
    quoted,
)
from reconciler.model import MAX_LABELS

MAX_VALUES = 50 * MAX_LABELS
"""A token with each of its keys and the most scopes has 40 values."""

_MAX_DEPTH = 16  # the shape needs four

# libyaml's loader is ten times as fast as PyYAML's own; the wheels have it
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Odd(enum.Enum):
    """Plain text that is no value; the member's value is how a message names it."""

    SWITCH = "a boolean"
    NUMBER = "a number"
    DATE = "a date"
    SPECIAL = "a special value"
    REFUSED = "refused"  # its problem has been told, so nothing more is said about it


Position = Any  # a mark of either parser; its line and column count from 0

Value = str | int | bool | Odd | list["Node"] | dict[str, "Node"] | None


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A value and where it stands in a file.

    Positions are the parser's own marks, whose line and column count from 0. ``text``
    is a scalar as written. ``key_at`` is the position of the key before the value, None
    where there is no key.
    """

    value: Value
    file: str
    at: Position
    text: str = ""
    key_at: Position | None = None

    @property
    def mark(self) -> Mark:
        """The place of the value."""
        return _mark(self.file, self.at)

    @property
    def key_mark(self) -> Mark:
        """The place of the key before the value, or else of the value."""
        return _mark(self.file, self.key_at or self.at)

    @property
    def pairs(self) -> dict[str, Node]:
        """The content of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The content of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []


def _mark(file: str, at: Position) -> Mark:
    return Mark(file=file, line=at.line + 1, column=at.column + 1)


class UnreadableError(Exception):
    """A file can't be read on from ``mark``; the reader of files catches it."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


def compose(file: str, data: bytes, problems: Problems, counter: Iterator[int]) -> Node:
    """Return the one document in ``data``; its readable problems go to ``problems``.

    ``counter`` counts the values of all files of a manifest. UnreadableError where the
    bytes are not UTF-8, not YAML, empty, or beyond a limit.
    """
    data = _checked(file, data, problems)
    try:
        loader = _LOADER(data)
        try:
            root = _Reader(file, problems, counter, loader.get_event).document()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as failure:
        raise _syntax_error(file, failure, data) from None
    except (yaml.YAMLError, ValueError, OverflowError) as failure:
        # PyYAML's own loader stumbles over \UFFFFFFFF and the like
        said = _one_line(str(failure))
        raise UnreadableError(beginning(file), f"not valid YAML ({said})") from None
    if root is None:
        raise UnreadableError(
            beginning(file), "the file is empty - a manifest begins with 'version: 1'"
        )
    return root


# --- bytes: what is no text, or looks different from what it says ---

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what YAML 1.1 counts as the end of a line
_NOT_YAML = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# A reviewer would see another file than the program reads: https://trojansource.codes
_DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
_BYTE_ORDER = re.compile(rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"


def _checked(file: str, data: bytes, problems: Problems) -> bytes:
    """Return the bytes without a UTF-8 mark, all of them characters of YAML."""
    data = data.removeprefix(_UTF8_BOM)
    if _BYTE_ORDER.match(data):
        raise UnreadableError(beginning(file), "this is UTF-16 or UTF-32 - save the file as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as failure:
        mark = _after(file, data[: failure.start].decode("utf-8"))
        sentence = (
            f"the byte 0x{data[failure.start]:02x} here is not UTF-8 - save the file as UTF-8"
        )
        raise UnreadableError(mark, sentence) from None
    if bad := _NOT_YAML.search(text):
        raise UnreadableError(
            _after(file, text[: bad.start()]),
            f"the character U+{ord(bad[0]):04X} may not stand in YAML - is this a text file?",
        )
    if _DIRECTION.search(text):
        lines = enumerate(_BREAK.split(text), 1)
        hits = ((number, hit) for number, line in lines for hit in _DIRECTION.finditer(line))
        for number, hit in itertools.islice(hits, MAX_PROBLEMS):
            mark = Mark(file=file, line=number, column=hit.start() + 1)
            problems.add(
                error(
                    mark,
                    f"the character U+{ord(hit[0]):04X} makes the file look different"
                    " from what it says - remove it",
                )
            )
    return data


def _after(file: str, before: str) -> Mark:
    """Return the place right after this text."""
    lines = _BREAK.split(before)
    return Mark(file=file, line=len(lines), column=len(lines[-1]) + 1)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _syntax_error(file: str, failure: yaml.MarkedYAMLError, data: bytes) -> UnreadableError:
    at = failure.problem_mark or failure.context_mark
    mark = _mark(file, at) if at else beginning(file)
    lines = _BREAK.split(data.decode("utf-8"))
    if mark.line <= len(lines) and "\t" in lines[mark.line - 1][: mark.column]:
        return UnreadableError(mark, "not valid YAML (a tab) - indent with spaces")
    said = _one_line(", ".join(part for part in (failure.context, failure.problem) if part))
    return UnreadableError(mark, f"not valid YAML ({said}) - correct the line")


# --- scalars: what is plain here is the same in YAML 1.1 and the core schema of 1.2 ---

_PLAIN = re.compile(
    r"(?P<null>~|null|Null|NULL|)|(?P<bool>true|True|TRUE|false|False|FALSE)|(?P<int>-?(?:0|[1-9][0-9]{0,17}))"
)
# Only YAML 1.2 takes these for numbers: 0o17, 1e3.
_NUMBER_1_2 = re.compile(r"0o[0-7]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# Every text that is not simply text begins with one of these.
_MAYBE_ODD = frozenset("~nNtTfFyYoO+-.0123456789=<")
_tag_1_1: Callable[[type, str, tuple[bool, bool]], str] = yaml.resolver.Resolver().resolve
_ODD_BY_TAG = {"bool": Odd.SWITCH, "int": Odd.NUMBER, "float": Odd.NUMBER, "timestamp": Odd.DATE}


@functools.lru_cache(maxsize=4096)
def plain_value(text: str) -> str | int | bool | Odd | None:
    """Return what an unquoted scalar means, if YAML 1.1 and 1.2 agree on it."""
    if found := _PLAIN.fullmatch(text):
        if found["null"] is not None:
            return None
        return int(text) if found["int"] else text.lower() == "true"
    tag = _tag_1_1(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    if tag != "str":
        return _ODD_BY_TAG.get(tag, Odd.SPECIAL)
    return Odd.NUMBER if _NUMBER_1_2.fullmatch(text) else text


# --- events: what the parser reads, bounded before it is kept ---

_Event = Any  # the stubs allow an event without a mark, which no parser makes


class _Reader:
    """Turns the events of a file into nodes, by recursion down to ``_MAX_DEPTH``."""

    def __init__(
        self, file: str, problems: Problems, counter: Iterator[int], get_event: Callable[[], _Event]
    ) -> None:
        self._file = file
        self._problems = problems
        self._counter = counter
        self._get_event = get_event

    def document(self) -> Node | None:
        """Return the root of the one document, or None where there is none."""
        root: Node | None = None
        while type(event := self._get_event()) is not StreamEndEvent:
            if type(event) is DocumentStartEvent:
                if root is not None:
                    what = "a second document begins here"
                    raise self._unreadable(
                        event, f"{what} - put it in a file of its own, or remove '---'"
                    )
                root = self._node(self._get_event(), 0)
        return root

    def _node(self, event: _Event, depth: int) -> Node:
        if next(self._counter) > MAX_VALUES:
            raise self._unreadable(
                event, f"more than {MAX_VALUES:,} values - {SEVERAL}, or check the path"
            )
        kind, at = type(event), event.start_mark
        if kind is ScalarEvent:  # as most are
            if event.anchor or event.tag:
                self._refuse_extras(event)
            return Node(_scalar(event), self._file, at, event.value)
        if kind is AliasEvent:
            self._tell(
                event,
                f"aliases ({quoted(f'*{event.anchor}')}) are not supported - write the value out",
            )
            return Node(Odd.REFUSED, self._file, at)
        if event.anchor or event.tag:
            self._refuse_extras(event)
        if depth == _MAX_DEPTH:
            raise self._unreadable(
                event, f"nested deeper than {_MAX_DEPTH} levels - this is no manifest"
            )
        content = self._items if kind is SequenceStartEvent else self._pairs
        return Node(content(depth + 1), self._file, at)

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while type(event := self._get_event()) is not SequenceEndEvent:
            items.append(self._node(event, depth))
        return items

    def _pairs(self, depth: int) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        while type(event := self._get_event()) is not MappingEndEvent:
            if type(event) is not ScalarEvent:
                raise self._unreadable(
                    event,
                    "a key must be plain text, not a mapping, list or alias"
                    " - put text with braces in quotes",
                )
            if event.anchor or event.tag:
                self._refuse_extras(event)
            key = event.value
            refusal = self._refusal(event, pairs) if key in pairs or key == "<<" else ""
            if refusal:
                self._tell(event, refusal)
            node = self._node(self._get_event(), depth)
            node.key_at = event.start_mark
            if not refusal:
                pairs[key] = node
        return pairs

    def _refusal(self, event: _Event, pairs: dict[str, Node]) -> str:
        """Return why the key's value is read but not kept; empty where it is kept."""
        if event.value in pairs:
            first = pairs[event.value].key_mark
            return f"the key {quoted(event.value)} is here twice - the first is at {first}"
        is_merge = event.implicit[0]
        return "merge keys (<<) are not supported - write the keys out" if is_merge else ""

    def _refuse_extras(self, event: _Event) -> None:
        if event.anchor:
            self._tell(
                event,
                f"anchors ({quoted(f'&{event.anchor}')}) are not supported"
                " - write the value out where it is needed",
            )
        if event.tag:
            tag = quoted(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self._tell(event, f"tags ({tag}) are not supported - remove it")

    def _unreadable(self, event: _Event, message: str) -> UnreadableError:
        return UnreadableError(_mark(self._file, event.start_mark), message)

    def _tell(self, event: _Event, message: str) -> None:
        if self._problems.full:
            raise self._unreadable(event, "too many problems - reading stops here")
        self._problems.add(error(_mark(self._file, event.start_mark), message))


def _scalar(event: _Event) -> Value:
    text: str = event.value
    if event.tag:
        return Odd.REFUSED
    if event.implicit[0] and (not text or text[0] in _MAYBE_ODD):
        return plain_value(text)
    return text
