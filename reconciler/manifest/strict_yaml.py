"""Strict YAML that remembers where everything stands: a file becomes nodes with line and column.

Rules this module keeps:

1. Data only: anchors, aliases, merge keys and tags are refused, so a file says what it
   says where it says it, and can't grow while it is read.
2. Nothing is converted on the quiet. Text that YAML 1.1 and YAML 1.2 read differently
   (``on``, ``042``, ``1:30``, a date) becomes an ``Odd``, which is no type of JSON:
   every schema refuses it, and its message can name what was written.
3. A key stands once in its mapping.
4. Everything has a bound: the size of a file, the depth, the number of values, the
   number of problems that are kept. Only regular files are read, so nothing waits for a
   pipe or a device.
5. Whatever can be understood in spite of a problem is read on; what can't ends this
   file with one problem. Bad input is never an exception.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import functools
import itertools
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from reconciler.manifest.problems import MAX_ERRORS, MAX_PROBLEMS, Problems, quoted, shown
from reconciler.model import Mark

MAX_FILE_BYTES = 32 * 1024 * 1024  # 100,000 tokens with all their keys are about half of it
_MAX_DEPTH = 16  # the shape needs four
_MAX_VALUES = 2_000_000  # 100,000 tokens with twenty values each

_LOADER: type[Any] = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml's is ten times as fast; wheels have it

_COLUMN_BITS = 32


class Odd(enum.Enum):
    """Plain text that YAML's versions read differently, or that we refuse; the value says how a message names it."""

    SWITCH = "a boolean"
    NUMBER = "a number"
    DATE = "a date"
    SPECIAL = "a special value"
    REFUSED = "refused"  # its problem has been told; whoever meets it keeps quiet


Value = str | int | bool | Odd | list["Node"] | dict[str, "Node"] | None


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A value and where it stands.

    ``text`` is a scalar as written; ``key_at`` is where the key before it stands, or
    -1.

    Positions are packed into one integer (``mark_at`` unpacks them), because a manifest
    has a hundred thousand of them.
    """

    value: Value
    at: int
    text: str = ""
    key_at: int = -1

    @property
    def pairs(self) -> dict[str, Node]:
        """The content of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The content of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file that was read: its name as the user gave it, and its one top node."""

    file: str
    root: Node

    def mark(self, at: int) -> Mark:
        """The packed position as a mark in this file."""
        return mark_at(self.file, at)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The bytes of a regular file, and which file it is however it is called (device and inode)."""

    data: bytes
    identity: tuple[int, int]


class UnreadableError(Exception):
    """This file can't be read on; ``at`` is the packed position.

    Always caught by who reads the files.
    """

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


def pack(line: int, column: int) -> int:
    """Line and column, counted from 0, as one integer that sorts like the pair."""
    return line << _COLUMN_BITS | column


def mark_at(file: str, at: int) -> Mark:
    """A packed position as people count it."""
    return Mark(
        file=file, line=(at >> _COLUMN_BITS) + 1, column=(at & ((1 << _COLUMN_BITS) - 1)) + 1
    )


def read_source(path: Path) -> Source:
    """The bytes of a regular file of at most ``MAX_FILE_BYTES``; UnreadableError for anything else."""
    try:
        handle = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK
        )  # opening a pipe without a writer must not wait
    except FileNotFoundError:
        raise UnreadableError(0, "there is no such file - check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableError(0, _why_unreadable(error)) from None
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise UnreadableError(
                0, "not a regular file - a manifest is a file, or a folder with *.yaml files in it"
            )
        if info.st_size > MAX_FILE_BYTES:
            raise UnreadableError(0, _too_large())
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableError(0, _why_unreadable(error)) from None
    finally:
        os.close(handle)
    if len(data) > MAX_FILE_BYTES:  # it grew, or its size is not told beforehand
        raise UnreadableError(0, _too_large())
    return Source(data=data, identity=(info.st_dev, info.st_ino))


def _too_large() -> str:
    return f"larger than {MAX_FILE_BYTES // 1024**2} MiB, the most that is read - split the manifest, or check the path"


def _why_unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return "it may not be read - check its permissions"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"it can't be read ({reason}) - check the path"


_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what YAML 1.1 counts as the end of a line
_NOT_YAML = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# A reviewer would see another file than the program reads: https://trojansource.codes
_DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
_BYTE_ORDER = re.compile(rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"


def _place(before: str) -> int:
    """The packed position right after this text."""
    breaks = list(_BREAK.finditer(before))
    return pack(len(breaks), len(before) - (breaks[-1].end() if breaks else 0))


def _checked(file: str, data: bytes, problems: Problems) -> bytes:
    """The bytes without a UTF-8 mark in front, known to be characters that YAML allows."""
    data = data.removeprefix(_UTF8_BOM)
    if _BYTE_ORDER.match(data):
        raise UnreadableError(0, "this is UTF-16 or UTF-32 - save the file as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = _place(data[: error.start].decode("utf-8"))
        raise UnreadableError(
            at, f"the byte 0x{data[error.start]:02x} here is not UTF-8 - save the file as UTF-8"
        ) from None
    if bad := _NOT_YAML.search(text):
        at = _place(text[: bad.start()])
        raise UnreadableError(
            at, f"the character U+{ord(bad[0]):04X} may not stand in YAML - is this a text file?"
        )
    if _DIRECTION.search(text):
        lines = enumerate(_BREAK.split(text))
        hits = ((number, hit) for number, line in lines for hit in _DIRECTION.finditer(line))
        for number, hit in itertools.islice(hits, MAX_PROBLEMS):
            message = f"the character U+{ord(hit[0]):04X} makes the file look different from what it says - remove it"
            problems.error(mark_at(file, pack(number, hit.start())), message)
    return data


def compose(file: str, data: bytes, problems: Problems) -> Document:
    """The document in these bytes.

    Problems that leave it readable are added; UnreadableError for the others.
    """
    data = _checked(file, data, problems)
    composer = _Composer(file, problems)
    try:
        loader = _LOADER(data)
        try:
            composer.run(loader.get_event)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, data) from None
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # the slow loader trips over \UFFFFFFFF and the like
        raise UnreadableError(0, f"not valid YAML ({_one_line(str(error))})") from None
    if composer.root is None:
        raise UnreadableError(0, "the file is empty - a manifest begins with 'version: 1'")
    return Document(file=file, root=composer.root)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _syntax(error: yaml.MarkedYAMLError, data: bytes) -> UnreadableError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = _BREAK.split(data.decode("utf-8"))
    if line < len(lines) and "\t" in lines[line][: column + 1]:
        return UnreadableError(pack(line, column), "not valid YAML (a tab) - indent with spaces")
    said = _one_line(", ".join(part for part in (error.context, error.problem) if part))
    return UnreadableError(pack(line, column), f"not valid YAML ({said}) - correct the line")


# YAML 1.2's core schema; what is plain here is the same in YAML 1.1.
_PLAIN = re.compile(
    r"(?P<null>~|null|Null|NULL|)|(?P<bool>true|True|TRUE|false|False|FALSE)|(?P<int>-?(?:0|[1-9][0-9]{0,17}))"
)
# Only YAML 1.2 takes these for numbers: 0o17, 1e3.
_NUMBER_1_2 = re.compile(r"0o[0-7]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAYBE_ODD = frozenset(
    "~nNtTfFyYoO+-.0123456789=<"
)  # every text that is not simply text begins like this
_tag_1_1: Callable[[type, str, tuple[bool, bool]], str] = yaml.resolver.Resolver().resolve
_ODD_BY_TAG = {"bool": Odd.SWITCH, "int": Odd.NUMBER, "float": Odd.NUMBER, "timestamp": Odd.DATE}


@functools.lru_cache(maxsize=4096)
def _plain(text: str) -> str | int | bool | Odd | None:
    """What an unquoted scalar means, if YAML 1.1 and 1.2 agree on it."""
    if found := _PLAIN.fullmatch(text):
        if found["null"] is not None:
            return None
        return int(text) if found["int"] else text.lower() == "true"
    tag = _tag_1_1(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    if tag != "str":
        return _ODD_BY_TAG.get(tag, Odd.SPECIAL)
    return Odd.NUMBER if _NUMBER_1_2.fullmatch(text) else text


_Event = Any  # the stubs allow an event without a mark, which no parser makes


class _Composer:
    """Turns the events of one document into nodes, without recursion.

    ``_parents`` are the open collections, outermost first; ``_pairs`` or ``_items`` is
    the content of the innermost. In a mapping, ``_key`` is the key whose value comes
    next; ``_detached`` says that this value is read but not kept, because its key was
    refused.
    """

    def __init__(self, file: str, problems: Problems) -> None:
        self.root: Node | None = None
        self._file = file
        self._problems = problems
        self._parents: list[Node] = []
        self._pairs: dict[str, Node] | None = None
        self._items: list[Node] | None = None
        self._key: str | None = None
        self._key_at = -1
        self._detached = False
        self._values = 0
        self._documents = 0

    def run(self, get_event: Callable[[], _Event]) -> None:
        """Reads to the end of the stream."""
        steps: dict[type, Callable[[_Event], None]] = {
            yaml.MappingStartEvent: self._open_mapping,
            yaml.SequenceStartEvent: self._open_list,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        scalar, scalar_event = self._scalar, yaml.ScalarEvent
        while True:
            event = get_event()
            kind = type(event)
            if kind is scalar_event:  # three of four
                scalar(event)
            elif kind in steps:
                steps[kind](event)
            elif kind is yaml.StreamEndEvent:
                return

    def _document(self, event: _Event) -> None:
        self._documents += 1
        if self._documents > 1:
            raise UnreadableError(
                _at(event),
                "a second document begins here - put it in a file of its own, or remove '---'",
            )

    def _scalar(self, event: _Event) -> None:
        mark = event.start_mark
        at = (
            mark.line << _COLUMN_BITS | mark.column
        )  # pack(), written out: this runs for each key and each value
        text: str = event.value
        plain: bool = event.implicit[0]
        if event.anchor or event.tag:
            self._refuse_extras(event)
        if self._pairs is not None and self._key is None:
            self._key, self._key_at = text, at
            self._detached = (text in self._pairs or text == "<<") and self._refused_key(
                self._pairs, text, at, plain=plain
            )
            return
        value: Value = text
        if event.tag:
            value = Odd.REFUSED
        elif plain and (not text or text[0] in _MAYBE_ODD):
            value = _plain(text)
        self._attach(Node(value, at, text))

    def _refused_key(self, pairs: dict[str, Node], key: str, at: int, *, plain: bool) -> bool:
        if key in pairs:
            first = shown(mark_at(self._file, pairs[key].key_at))
            self._error(at, f"the key {quoted(key)} is here twice - the first is at {first}")
        elif plain:
            self._error(at, "merge keys (<<) are not supported - write the keys out")
        else:
            return False
        return True

    def _attach(self, node: Node) -> None:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise UnreadableError(
                node.at, f"more than {_MAX_VALUES:,} values - split the manifest, or check the path"
            )
        if self._key is not None and self._pairs is not None:
            node.key_at = self._key_at
            if not self._detached:
                self._pairs[self._key] = node
            self._key = None
        elif self._items is not None:
            self._items.append(node)
        else:
            self.root = node

    def _open_mapping(self, event: _Event) -> None:
        self._open(event, {})

    def _open_list(self, event: _Event) -> None:
        self._open(event, [])

    def _open(self, event: _Event, value: list[Node] | dict[str, Node]) -> None:
        at = _at(event)
        self._refuse_as_key(at)
        if event.anchor or event.tag:
            self._refuse_extras(event)
        if len(self._parents) >= _MAX_DEPTH:
            raise UnreadableError(
                at, f"nested deeper than {_MAX_DEPTH} levels - this is no manifest"
            )
        node = Node(value, at)
        self._attach(node)
        self._parents.append(node)
        self._enter(value)

    def _close(self, _event: _Event) -> None:
        self._parents.pop()
        self._enter(self._parents[-1].value if self._parents else None)

    def _enter(self, value: Value) -> None:
        self._pairs = value if isinstance(value, dict) else None
        self._items = value if isinstance(value, list) else None
        self._key = None

    def _alias(self, event: _Event) -> None:
        at = _at(event)
        self._refuse_as_key(at)
        self._error(
            at, f"aliases ({quoted('*' + event.anchor)}) are not supported - write the value out"
        )
        self._attach(Node(Odd.REFUSED, at))

    def _refuse_as_key(self, at: int) -> None:
        if self._pairs is not None and self._key is None:
            raise UnreadableError(
                at,
                "a key must be plain text, not a mapping, list or alias - put text with braces in quotes",
            )

    def _refuse_extras(self, event: _Event) -> None:
        if event.anchor:
            self._error(
                _at(event),
                f"anchors ({quoted('&' + event.anchor)}) are not supported - write the value out where it is needed",
            )
        if event.tag:
            tag = quoted(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self._error(_at(event), f"tags ({tag}) are not supported - remove it")

    def _error(self, at: int, message: str) -> None:
        if self._problems.errors >= MAX_ERRORS:
            raise UnreadableError(at, "too many problems - reading stops here")
        self._problems.error(mark_at(self._file, at), message)


def _at(event: _Event) -> int:
    return pack(event.start_mark.line, event.start_mark.column)
