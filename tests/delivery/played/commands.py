"""What a runner makes of the lines that a step prints and of the files that the step
writes: commands, masks, outputs.

Rules this module keeps:

1. A command in today's form counts at the start of a line, one in the old form
   (``##[name]…``) anywhere in it. Both are done, and noted with their form, so that a
   test sees what came in with somebody's text.
2. A mask hides every line of its value, in base64, as JSON and in URLs as well; what
   was printed before the mask stays printed.
3. Commands that GitHub has switched off are errors, and so is ``save-state``, which is
   not played.

Source: ``ActionCommand.cs``, ``ActionCommandManager.cs``, ``ValueEncoders.cs`` and
``FileCommandManager.cs`` of actions/runner.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping

LEVELS = frozenset({"error", "warning", "notice"})
_QUIET = frozenset({"debug", "group", "endgroup", "echo", "add-matcher", "remove-matcher"})
_COMMAND = re.compile(r"::([A-Za-z0-9_-]+)(?: ([^\n]*?))?::(.*)")
_OLD_COMMAND = re.compile(r"##\[([A-Za-z0-9_-]+)(?: ([^\]]*))?\](.*)")
_LINE_END = re.compile(r"\r\n|\r|\n")
ANNOTATIONS_MAX = 10
SUMMARY_BYTES_MAX = 1024 * 1024
_SET_OUTPUT = (
    "The `set-output` command is deprecated and will be disabled soon. "
    "Please upgrade to using Environment Files."
)


class CommandError(Exception):
    """A step did what the runner refuses."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What is shown at a place of a file, or at the top of the run; rule 1 explains
    ``old_form``.
    """

    level: str
    message: str
    properties: Mapping[str, str]
    old_form: bool = False


def lines_of(text: str) -> list[str]:
    """Split as .NET reads lines: at a line feed, a carriage return, or both, and at
    none of the other characters that ``str.splitlines`` knows.
    """
    return _LINE_END.split(text.removesuffix("\n"))


class Masks:
    """All that a job hides in its log."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def add(self, value: str) -> None:
        """Hide this from now on."""
        for line in {value, *map(str.strip, lines_of(value))} - {""}:
            self._values += [line, *_encoded(line)]
        self._values.sort(key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text as it is shown."""
        for value in self._values:
            text = text.replace(value, "***")
        return text

    def cover(self, text: str) -> bool:
        """Tell whether something in the text would be hidden."""
        return any(value in text for value in self._values)


def _encoded(value: str) -> Iterator[str]:
    """Yield the other forms of a value; base64 for each of the three places that it can
    have in a longer text.
    """
    quoted = json.dumps(value)[1:-1]
    yield from {quoted, urllib.parse.quote(value, safe="")} - {value}
    data = value.encode()
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + data).decode().rstrip("=")
        yield text[(0, 2, 3)[lead] : len(text) - (1 if (lead + len(data)) % 3 else 0)]


class Log:
    """The log of a job: ``raw`` as it was printed, ``text`` as people see it.

    ``annotations`` are those of the job, ``outputs`` those that the last step set.
    """

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        self.raw: list[str] = []
        self.lines: list[str] = []
        self.annotations: list[Annotation] = []
        self.outputs: dict[str, str] = {}
        self._stopped: str | None = None

    @property
    def text(self) -> str:
        """All lines as people see them."""
        return "\n".join(self.lines)

    def take(self, line: str) -> None:
        """Take one line that a step printed."""
        self.raw.append(line)
        if self._stopped is not None:
            if line.strip() == f"::{self._stopped}::":
                self._stopped = None
            self.lines.append(self.masks.hide(line))
            return
        found = _COMMAND.fullmatch(line.lstrip()) or _OLD_COMMAND.search(line)
        if found is None or not self._done(found, old_form=found.re is _OLD_COMMAND):
            self.lines.append(self.masks.hide(line))

    def _done(self, found: re.Match[str], *, old_form: bool) -> bool:
        """Do a command; tell whether it was one."""
        name, message = found[1].lower(), _unescaped(found[3])
        given = dict(part.split("=", 1) for part in (found[2] or "").split(",") if "=" in part)
        properties = {key.strip(): _unescaped(text, "%3A:", "%2C,") for key, text in given.items()}
        if name in LEVELS:
            shown = Annotation(
                level=name,
                message=self.masks.hide(message),
                properties=properties,
                old_form=old_form,
            )
            self.annotations.append(shown)
            self.lines.append(f"##[{name}]{shown.message}")
        elif name == "add-mask":
            if not message.strip():
                raise CommandError("an empty mask")
            self.masks.add(message)
            self.lines.append("::add-mask::***")
        elif name == "stop-commands":
            self._stopped = message
        elif name in _QUIET:
            self.lines.append(self.masks.hide(f"##[{name}]{message}"))
        elif name == "set-output":
            if not properties.get("name"):
                raise CommandError("Required field 'name' is missing in ##[set-output] command.")
            self.take("::warning::" + _SET_OUTPUT)
            self.outputs[properties["name"]] = message
        elif name in {"set-env", "add-path", "save-state"}:
            raise CommandError(f"the command {name} is switched off or not played")
        else:
            return False
        return True


def _unescaped(text: str, *more: str) -> str:
    for pair in ("%0D\r", "%0A\n", *more, "%25%"):
        text = text.replace(pair[:3], pair[3:])
    return text


def read_pairs(text: str) -> dict[str, str]:
    """Return what a step wrote to GITHUB_OUTPUT or GITHUB_ENV: ``name=value`` lines and
    heredocs, both of which end at line feeds only.
    """
    found: dict[str, str] = {}
    left = text
    while left:
        line, _, left = left.partition("\n")
        name, equals, value = line.partition("=")
        heredoc, _, end = line.partition("<<")
        if equals and len(name) < len(heredoc):
            found[name] = value
        elif heredoc and end:
            value, closed, left = f"\n{left}\n".partition(f"\n{end}\n")
            if not closed:
                raise CommandError(f"the value of {heredoc} never ends: {end!r} is missing")
            found[heredoc] = value[1:]
        elif line:
            raise CommandError(f"neither a name and a value nor a heredoc: {line!r}")
    return found
