"""The whole story on one machine: the sandbox and a real OpenBao server."""

from reconciler.demo.story import tell

__all__ = ["tell"]
