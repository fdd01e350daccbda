"""Standard error: sentences for people, or one line of JSON for each event.

    event            told of                                keys beside the common ones
    ---------------  -------------------------------------  ---------------------------
    command_started  a command that begins                  version
    message          a sentence for people                  message
    question         what a person is asked on a terminal   message
    changes_started  the changes that are about to be made  changes
    change_ended     a change that came to its end          label, action, reason,
                                                            status, token_id, revoked,
                                                            message
    change_held      a change that waits                    label, action, reason,
                                                            message
    run_ended        a run that has a report                applied, failed, held,
                                                            not_tried, digest
    api_call         a call to a server (at level debug)    peer, method, path, status,
                                                            duration_ms
    command_ended    the end of the process                 exit_code, duration_ms

    common key       what it holds
    ---------------  ----------------------------------------------------------------
    time             this machine's clock, in UTC with milliseconds
    level            debug, info, warning or error
    event            one of the above
    run              the run's id as in report and ledger; null before there is one
    command          the command as it is called, such as ``identity push``; null while
                     it is not known

Rules this module keeps:

1. ``schemas/log.schema.json`` describes each line. It is ASCII, and commands no CI
   runner that reads logs.
2. What is told is what people are told, so it holds no secret.
3. The format is known before anything is parsed, so that mistakes in the command line
   are events too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

FORMATS = ("text", "json")
LEVELS = ("info", "debug")
FORMAT_FLAG = "--log-format"
LEVEL_FLAG = "--log-level"

_PREFIXES = {"error: ": "error", "warning: ": "warning", "note: ": "info", "debug: ": "debug"}
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


class Log:
    """What the lines of this process have in common."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.json = _given(arguments, FORMAT_FLAG) == "json"
        self.debug = _given(arguments, LEVEL_FLAG) == "debug"
        self.run: str | None = None
        self.command: str | None = None
        self._started_s = time.monotonic()

    def line(self, event: str, level: str = "info", **fields: Any) -> str:
        """Return an event as one line of JSON."""
        import json  # noqa: PLC0415  # ``--help`` needs none of it

        from reconciler.model import SECOND_MS, iso  # noqa: PLC0415  # the same

        common = {
            "time": iso(int(time.time() * SECOND_MS)),
            "level": level,
            "event": event,
            "run": self.run,
            "command": self.command,
        }
        text = json.dumps({**common, **fields}, ensure_ascii=True, allow_nan=False)
        return text.replace("##", "#\\u0023")

    def message(self, text: str, level: str | None = None) -> str:
        """Return a sentence for people as an event.

        Where no level is given, the sentence's first word tells it.
        """
        plain = _STYLES.sub("", text).strip("\n")
        first = next((prefix for prefix in _PREFIXES if plain.startswith(prefix)), "")
        level = level or _PREFIXES.get(first, "info")
        return self.line("message", level, message=plain.removeprefix(first))

    @property
    def age_ms(self) -> int:
        """How long the process is at work, in milliseconds."""
        return int((time.monotonic() - self._started_s) * 1_000)


def _given(arguments: Sequence[str], flag: str) -> str | None:
    """Return what a flag is given on the command line; the last one counts."""
    found = None
    for at, word in enumerate(arguments):
        if word == "--":
            break
        if word == flag and at + 1 < len(arguments):
            found = arguments[at + 1]
        elif word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found


current = Log()
"""The log of this process. ``begin`` puts another in its place."""


def begin(arguments: Sequence[str]) -> None:
    """Begin the log of a command with these arguments."""
    global current  # noqa: PLW0603  # there is one standard error
    current = Log(arguments)


def of_run(run: str) -> None:
    """Let the lines from now on name the run."""
    current.run = run


def of_command(path: str) -> None:
    """Let the lines from now on name the command; ``path`` begins with the program."""
    current.command = path.partition(" ")[2] or None
