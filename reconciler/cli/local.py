"""``sandbox`` and ``demo``: what runs on one machine, without the exchange."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from reconciler.demo import tell
from reconciler.model import SECOND_MS
from reconciler.sandbox import DOCUMENTED_SCOPES, SandboxConfig, run_sandbox


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """What ``sandbox`` is given; ``identity_lifetime`` is in seconds.

    ``allowed_scopes`` are separated by commas, None for all that are documented.
    """

    port: int
    no_limits: bool
    state_file: str | None
    allowed_scopes: str | None
    identity_lifetime: int


def sandbox(options: SandboxOptions) -> None:
    """Serve until a signal comes."""
    scopes = options.allowed_scopes
    config = SandboxConfig(
        limits=not options.no_limits,
        allowed_scopes=tuple(s.strip() for s in scopes.split(",")) if scopes else DOCUMENTED_SCOPES,
        identity_lifetime_ms=options.identity_lifetime * SECOND_MS,
    )
    state_file = Path(options.state_file) if options.state_file else None
    run_sandbox(config, stdout=sys.stdout, port=options.port, state_file=state_file)


def demo(*, fast: bool) -> None:
    """Play the whole story."""
    tell(fast=fast)
