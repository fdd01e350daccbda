"""reconciler: keeps a Limitless partner's API tokens as a manifest in Git says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

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
