"""Variables and files as they may become a header, a path or a URL.

Rules this module keeps:

1. A token is stripped and must be printable ASCII without whitespace before it may
   become a header: the HTTP libraries put a header value that they refuse into the text
   of their exception.
2. No message repeats a value that could be a credential. It may repeat addresses, names
   of variables and names of files.
3. A variable that is set to nothing counts as not set, as in Vault's own CLI.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.model import Secret

Environ = Mapping[str, str]
ReadFile = Callable[[Path], str]

# Clients and servers resolve dot segments, and Vault decodes %2F: `..` in a path
# leaves its mount.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]*"
_SAFE_PATH = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_PATH_CHARS_MAX = 1024
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
# A JWT of GitHub's has 2 KiB, the largest of a Kubernetes cluster a few.
_FILE_BYTES_MAX = 64 * 1024
# As Go's strconv.ParseBool, with which Vault's own CLI reads its switches.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})


def is_safe_path(path: str) -> bool:
    """Return whether a mount or a path may go into a URL.

    It has plain segments, none starting with a dot, joined by single slashes.
    """
    return len(path) <= _PATH_CHARS_MAX and _SAFE_PATH.fullmatch(path) is not None


def is_header_safe(text: str) -> bool:
    """Return whether a token may become a header: printable ASCII, no whitespace."""
    return _HEADER_SAFE.fullmatch(text) is not None


def read_text_file(path: Path) -> str:
    """Return the text of a file of at most 64 KiB.

    OSError where the file can't be read, ValueError where it is too large or not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES_MAX + 1)
    if len(content) > _FILE_BYTES_MAX:
        raise ValueError("too large")
    return content.decode("utf-8")


def url_of(text: str) -> urllib.parse.SplitResult | None:
    """Return the parts of a URL, or None for a text that is none."""
    try:
        parts = urllib.parse.urlsplit(text)
        _ = parts.hostname, parts.port  # asking for the port is what checks it
    except ValueError:
        return None
    return parts


def value_of(environ: Environ, name: str) -> str | None:
    """Return a variable, stripped, or None where it is not set."""
    return environ.get(name, "").strip() or None


def switch_of(environ: Environ, name: str) -> bool:
    """Return whether a switch is on. UsageError for what is neither true nor false."""
    text = environ.get(name, "").strip()
    if text not in _TRUE | _FALSE:
        raise UsageError(f"{name} is neither true nor false: set it to 1 or 0")
    return text in _TRUE


def path_of(environ: Environ, name: str) -> str | None:
    """Return a path without slashes at its ends. UsageError unless it is safe."""
    text = environ.get(name, "").strip().strip("/")
    if text and not is_safe_path(text):
        raise UsageError(
            f"{name} is not a path of plain segments (letters, digits and _.@:+- joined by /): "
            "correct it"
        )
    return text or None


def credential_of(environ: Environ, name: str) -> Secret | None:
    """Return a credential. UsageError for what can't be one."""
    return checked_token(environ.get(name, ""), name)


def checked_token(text: str, source: str) -> Secret | None:
    """Return a token as it may become a header, or None where there is none.

    UsageError, which names the source, for what can't be a token.
    """
    text = text.strip()
    if not text:
        return None
    if not is_header_safe(text):
        raise UsageError(
            f"{source} holds whitespace, control or non-ASCII characters, which no token does: "
            "copy it again"
        )
    return Secret(text)
