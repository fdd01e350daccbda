"""The one way to show text that others chose: labels, notes, ids, paths, addresses.

Light: every error line needs it.

Rules this module keeps:

1. Pure: the same text gives the same line, and a second time changes nothing.
2. The result is one line that shows all of itself. It moves no cursor of a terminal and
   commands no CI runner.
"""

from __future__ import annotations

import re

# Printable by Unicode's categories, yet drawn as nothing or as a space: fillers,
# joiners, variation selectors.
_INVISIBLE = frozenset(
    chr(point)
    for points in (
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
    for point in points
)

_COMMAND_START = re.compile(r"(?<![^ ])::")


def safe(text: str) -> str:
    r"""Return text of others, fit for one line of a terminal, a log or a document.

    Control characters, line ends, bidirectional and invisible characters, unusual
    spaces and lone surrogates become visible escapes (``\x1b``, ``\u202e``). ``##`` and
    a word that begins with ``::`` are broken up, because CI runners take commands from
    logs: ``::name::`` at the start of a line, ``##[name]`` and ``##vso[name]``
    anywhere.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if c.isprintable() and c not in _INVISIBLE else _escaped(c) for c in text)
    return _COMMAND_START.sub(r":\\x3a", text.replace("##", "#\\x23"))


def _escaped(char: str) -> str:
    point = ord(char)
    if point <= 0xFF:  # noqa: PLR2004  # the reach of two hexadecimal digits
        return f"\\x{point:02x}"
    # the reach of four
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004


_SHORT_ID = 12
_ID_END = 4


def short(token_id: str) -> str:
    """Return an id for a glance: both its ends, because ids may share a beginning."""
    text = safe(token_id)
    return text if len(text) <= _SHORT_ID else f"{text[:_ID_END]}…{text[-_ID_END:]}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 token``, ``2 tokens``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
