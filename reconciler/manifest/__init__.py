"""``tokens.yaml`` in; the desired state out, or every problem with its place."""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.manifest.adopt_list import adopt_list_text, read_adopt_list
    from reconciler.manifest.durations import parse_duration_ms
    from reconciler.manifest.load import Loaded, load_manifest, place_in
    from reconciler.manifest.problems import ManifestError
    from reconciler.manifest.rules import Pins
    from reconciler.manifest.starter import (
        Listed,
        list_to_adopt,
        manifest_of_live,
        starter_manifest,
    )
    from reconciler.manifest.windows import parse_window

__all__ = [
    "Listed",
    "Loaded",
    "ManifestError",
    "Pins",
    "adopt_list_text",
    "list_to_adopt",
    "load_manifest",
    "manifest_of_live",
    "parse_duration_ms",
    "parse_window",
    "place_in",
    "read_adopt_list",
    "starter_manifest",
]

__getattr__ = on_demand(
    __name__,
    {
        "adopt_list": ("adopt_list_text", "read_adopt_list"),
        "durations": ("parse_duration_ms",),
        "load": ("Loaded", "load_manifest", "place_in"),
        "problems": ("ManifestError",),
        "rules": ("Pins",),
        "starter": ("Listed", "list_to_adopt", "manifest_of_live", "starter_manifest"),
        "windows": ("parse_window",),
    },
)
