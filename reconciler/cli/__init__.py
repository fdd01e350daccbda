"""The command line."""

from reconciler.cli.entry import main

__all__ = ["main"]
