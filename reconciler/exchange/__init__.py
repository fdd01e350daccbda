"""The exchange's token API: a client that can be used by itself.

``TokenClient``, ``sign`` and ``SCOPES`` are the contract with importers.
"""

from reconciler.exchange.address import canonical_url
from reconciler.exchange.client import DEFAULT_API_URL, TokenClient
from reconciler.exchange.pacing import PAUSE_MAX_S, Turn
from reconciler.exchange.replies import SKEW_WARN_MS
from reconciler.exchange.shared import Shared
from reconciler.exchange.wire import sign
from reconciler.model import SCOPES

__all__ = [
    "DEFAULT_API_URL",
    "PAUSE_MAX_S",
    "SCOPES",
    "SKEW_WARN_MS",
    "Shared",
    "TokenClient",
    "Turn",
    "canonical_url",
    "sign",
]
