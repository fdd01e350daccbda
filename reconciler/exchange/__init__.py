"""The exchange's token API: a client that can be used by itself.

``TokenClient``, ``sign`` and ``SCOPES`` are the contract with importers.
"""

from reconciler.exchange.client import DEFAULT_API_URL, SCOPES, SKEW_WARN_MS, TokenClient, sign
from reconciler.exchange.pacing import Turn

__all__ = ["DEFAULT_API_URL", "SCOPES", "SKEW_WARN_MS", "TokenClient", "Turn", "sign"]
