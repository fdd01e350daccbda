"""An adapter's error becomes a reply: refused or unclear, with its sentence.

No sentence names the document of a reserve (``as_told``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.errors import (
    ExchangeError,
    ExchangeRefusedError,
    VaultError,
    VaultRefusedError,
)
from reconciler.protocol import Refused, Unclear
from reconciler.state import LedgerError, as_told


def translated(perform: Callable[[Any], object]) -> Callable[[Any], object]:
    """Return what performs an effect, and replies with what an adapter raises."""

    def reply(effect: Any) -> object:
        try:
            return perform(effect)
        except ExchangeRefusedError as error:
            return Refused(sentence=as_told(str(error)), status=error.status)
        except VaultRefusedError as error:
            return Refused(sentence=as_told(str(error)), again_after_ms=error.again_after_ms)
        except VaultError as error:
            return Unclear(sentence=as_told(str(error)), again_after_ms=error.again_after_ms)
        except (ExchangeError, LedgerError) as error:
            return Unclear(sentence=as_told(str(error)))

    return reply
