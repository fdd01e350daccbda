"""reconciler: keeps a Limitless partner's API tokens as a manifest in Git says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

__version__ = "0.1.0"


def on_demand(room: str, names: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a room's ``__init__``, from its modules' names.

    A module is imported when a name of its is used: a command uses a few, and importing
    all took most of the time of a small plan. It is asked once for each name.
    """
    home = {name: module for module, found in names.items() for name in found}

    def find(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        import importlib  # noqa: PLC0415  # ``--help`` needs none of it

        found: object = getattr(importlib.import_module(f"{room}.{home[name]}"), name)
        setattr(sys.modules[room], name, found)
        return found

    return find


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema ``<name>.schema.json`` as a new dictionary.

    The JSON Schemas that ship with the program are the only description of what each
    document looks like. FileNotFoundError if the program ships none of that name.
    """
    import json  # noqa: PLC0415  # as above
    from pathlib import Path  # noqa: PLC0415

    here = Path(__file__).parent
    for folder in (here / "schemas", here.parent / "schemas"):  # in a wheel, in a checkout
        file = folder / f"{name}.schema.json"
        if file.is_file():
            schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return schema
    raise FileNotFoundError(f"the schema {name!r} is not part of this installation")
