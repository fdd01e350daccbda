"""The one way in which text chosen by others (labels, notes, ids, paths, addresses) is shown. Light: every error line needs it.

Rules this module keeps:

1. Pure, and the same text gives the same line; doing it twice changes nothing more.
2. What comes out is one line that shows all of itself, moves no terminal and commands no CI runner.
"""

from __future__ import annotations

import re

# Printable by Unicode's categories, yet drawn as nothing or as a space: fillers, joiners, variation selectors.
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
    r"""Text of others, fit for one line of a terminal, a log or a document. Doing it twice changes nothing more.

    Control characters, line ends, bidirectional and invisible characters, unusual spaces and lone surrogates become visible
    escapes (``\x1b``, ``\u202e``). ``##`` and a word that begins with ``::`` are broken up, because CI runners take commands
    from logs: ``::name::`` at the start of a line, ``##[name]`` and ``##vso[name]`` anywhere.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if c.isprintable() and c not in _INVISIBLE else _escaped(c) for c in text)
    return _COMMAND_START.sub(r":\\x3a", text.replace("##", "#\\x23"))


def _escaped(char: str) -> str:
    point = ord(char)
    if point <= 0xFF:  # noqa: PLR2004  # the reach of two hexadecimal digits
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004  # the reach of four
