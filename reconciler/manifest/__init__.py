"""``tokens.yaml`` in; the desired state out, or every problem with its place."""

from reconciler.manifest.load import ManifestError, Pins, Problem, load_manifest

__all__ = ["ManifestError", "Pins", "Problem", "load_manifest"]
