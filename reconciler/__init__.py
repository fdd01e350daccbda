"""reconciler: keeps the API tokens of a Limitless partner as a manifest in Git describes them."""

__version__ = "0.1.0"
