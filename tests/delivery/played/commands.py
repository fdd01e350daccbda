"""What the runner makes of what a step prints and of the files that it gives it:
commands, masks, outputs.

Rules this module keeps:

1. A command in today's form counts at the start of a line only; one in the old form
   (``##[name]…``) counts anywhere in a line. Both are done, and both are noted with
   their form, so that a test sees what got in by somebody's text.
2. A mask hides every line of its value, also in base64, as JSON and in URLs; what was
   printed before it stays printed.
3. Commands that GitHub has switched off or given up are errors.

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
_HEREDOC = re.compile(r"([^=<\n]+)<<(.+)")
ANNOTATIONS_MAX = 10
SUMMARY_BYTES_MAX = 1024 * 1024


class CommandError(Exception):
    """A step did what the runner refuses."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What is shown at a place of a file or at the top of the run; ``old_form`` is rule
    1.
    """

    level: str
    message: str
    properties: Mapping[str, str]
    old_form: bool = False


class Masks:
    """All that a job hides in its log."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def add(self, value: str) -> None:
        """Hide this from now on."""
        for line in {value, *value.splitlines()}:
            if line.strip():
                self._values += [line, *_encoded(line)]
        self._values.sort(key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text as it is shown."""
        for value in self._values:
            text = text.replace(value, "***")
        return text

    def cover(self, text: str) -> bool:
        """Whether something in it would be hidden."""
        return any(value in text for value in self._values)


def _encoded(value: str) -> Iterator[str]:
    """The other forms; base64 at each of the three places that a value can have in a
    longer text.
    """
    quoted = json.dumps(value)[1:-1]
    yield from {quoted, urllib.parse.quote(value, safe="")} - {value}
    data = value.encode()
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + data).decode().rstrip("=")
        yield text[(0, 2, 3)[lead] : len(text) - (1 if (lead + len(data)) % 3 else 0)]


class Log:
    """The log of a job:

    ``raw`` as it was printed, ``text`` as people see it; annotations and masks on the
    way.
    """

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        self.raw: list[str] = []
        self.lines: list[str] = []
        self.annotations: list[Annotation] = []
        self._stopped: str | None = None

    @property
    def text(self) -> str:
        """All lines as people see them."""
        return "\n".join(self.lines)

    def take(self, line: str) -> None:
        """One line that a step printed."""
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
        """Whether it is a command; if so it is done."""
        name, message = found[1].lower(), _unescaped(found[3])
        if name in LEVELS:
            given = dict(part.split("=", 1) for part in (found[2] or "").split(",") if "=" in part)
            properties = {
                key.strip(): _unescaped(text, "%3A:", "%2C,") for key, text in given.items()
            }
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
        elif name in {"set-env", "add-path", "set-output", "save-state"}:
            raise CommandError(f"the command {name} is switched off or given up")
        else:
            return False
        return True


def _unescaped(text: str, *more: str) -> str:
    for pair in ("%0D\r", "%0A\n", *more, "%25%"):
        text = text.replace(pair[:3], pair[3:])
    return text


def read_pairs(text: str) -> dict[str, str]:
    """What a step wrote to GITHUB_OUTPUT or GITHUB_ENV:

    ``name=value`` lines and heredocs.
    """
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if not line:
            continue
        heredoc = _HEREDOC.fullmatch(line)
        if heredoc and ("=" not in line or line.index("<<") < line.index("=")):
            name, end = heredoc[1], heredoc[2]
            value = []
            for inner in lines:
                if inner == end:
                    break
                value.append(inner)
            else:
                raise CommandError(f"the value of {name} never ends: {end!r} is missing")
            found[name] = "\n".join(value)
        elif "=" in line:
            name, _, rest = line.partition("=")
            found[name] = rest
        else:
            raise CommandError(f"neither a name and a value nor a heredoc: {line!r}")
    return found
