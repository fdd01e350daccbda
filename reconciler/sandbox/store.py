"""The state file: a sandbox that was killed comes back with its tokens and identities.

Rules this module keeps:

1. The file is replaced whole or not at all, and only its owner can read it: it holds
   secrets (made-up ones).
2. It outlives the process, not the machine: no fsync.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.sandbox.records import Grant, Token

_FORMAT = 1


def load(path: Path) -> dict[str, Any] | None:
    """Return what ``save`` wrote, or None where there is no file.

    ValueError if it is not one of ours.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    data = json.loads(text)
    if not isinstance(data, dict):
        # the content is wrong
        raise ValueError("the sandbox's state file is not an object: remove it")  # noqa: TRY004
    return data


def dumped(tokens: Mapping[str, Token], identities: Mapping[str, Grant]) -> dict[str, Any]:
    """Return tokens and identities as a JSON object, with their secrets."""
    return {
        "format": _FORMAT,
        "tokens": [dataclasses.asdict(token) for token in tokens.values()],
        "identities": {text: dataclasses.asdict(grant) for text, grant in identities.items()},
    }


def loaded(saved: Mapping[str, Any]) -> tuple[dict[str, Token], dict[str, Grant]]:
    """Return what ``dumped`` was given.

    ValueError, TypeError or KeyError if it is something else.
    """
    if saved["format"] != _FORMAT:
        raise ValueError("the sandbox's state file is of another version: remove it")
    tokens = [
        Token(
            **{
                **fields,
                "scopes": tuple(fields["scopes"]),
                "written_uses_ms": tuple(fields.get("written_uses_ms", ())),
            }
        )
        for fields in saved["tokens"]
    ]
    grants = {text: Grant(**fields) for text, fields in saved["identities"].items()}
    return {token.token_id: token for token in tokens}, grants


def save(path: Path, data: Mapping[str, Any]) -> None:
    """Replace the file. OSError if the folder can't be written."""
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.", dir=path.parent
    )  # created with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
