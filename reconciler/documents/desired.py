"""The desired state as JSON and back: a part of a snapshot.

With it a status can be made from a snapshot alone, without the manifest beside it.

Rules this module keeps:

1. What is written is what the manifest says, but for where in a file it says so. A
   window is its text: whoever reads the document says what becomes of one, because a
   time zone is read from a file.
2. What is read back is only shown, never applied: ``plan`` asks for the manifest.
3. What an older program did not write yet is as if the manifest were silent about it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from reconciler.model import Manifest, TokenSpec, Window
from reconciler.state import from_plain, to_plain

_PLACE_IN_FILE = "mark"

WindowReader = Callable[[str], Window]
"""Returns the window of a text, or raises ValueError."""


def desired_document(desired: Manifest) -> dict[str, Any]:
    """Return the desired state, its tokens in the order of the manifest."""
    head = to_plain(dataclasses.replace(desired, tokens=()))
    return {**head, "tokens": [_token(spec) for spec in desired.tokens]}


def _token(spec: TokenSpec) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(dataclasses.replace(spec, mark=None, windows=()))
    del plain[_PLACE_IN_FILE]
    return {**plain, "windows": [window.text for window in spec.windows]}


_SILENT = _token(TokenSpec(label="", scopes=(), path="", rotate_after_ms=None, overlap_ms=0))


def read_desired(document: dict[str, Any], read_window: WindowReader | None) -> Manifest:
    """Return the desired state that ``desired_document`` wrote.

    Without ``read_window`` it has no windows. ValueError if it can't be one.
    """
    head = from_plain(Manifest, {**document, "tokens": []})
    tokens = tuple(_read(row, read_window) for row in document["tokens"])
    if len({spec.label for spec in tokens}) < len(tokens):
        raise ValueError("a label is there twice")
    return dataclasses.replace(head, tokens=tokens)


def _read(row: dict[str, Any], read_window: WindowReader | None) -> TokenSpec:
    spec = from_plain(TokenSpec, {**_SILENT, **row, _PLACE_IN_FILE: None, "windows": []})
    texts = row.get("windows", ()) if read_window is not None else ()
    return dataclasses.replace(spec, windows=tuple(map(read_window, texts)) if read_window else ())
