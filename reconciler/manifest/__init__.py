"""``tokens.yaml`` in; the desired state out, or every problem with its place."""

from reconciler.manifest.durations import parse_duration_ms
from reconciler.manifest.load import Loaded, load_manifest
from reconciler.manifest.problems import ManifestError
from reconciler.manifest.rules import Pins

__all__ = ["Loaded", "ManifestError", "Pins", "load_manifest", "parse_duration_ms"]
