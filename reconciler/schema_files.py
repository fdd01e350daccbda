"""The JSON Schemas that ship with the program.

They are the only description of what each document looks like.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_FOLDERS = (_HERE / "schemas", _HERE.parent / "schemas")  # in an installed wheel, in a checkout


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema ``<name>.schema.json`` as a new dictionary.

    FileNotFoundError if the program ships none of that name.
    """
    for folder in _FOLDERS:
        file = folder / f"{name}.schema.json"
        if file.is_file():
            schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return schema
    raise FileNotFoundError(f"the schema {name!r} is not part of this installation")
