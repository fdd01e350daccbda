"""reconciler: keeps a Limitless partner's API tokens as a manifest in Git says."""

__version__ = "0.1.0"
