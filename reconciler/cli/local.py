"""Commands for one machine: the sandbox and the demo."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.demo import tell
from reconciler.sandbox import DOCUMENTED_SCOPES, SandboxConfig, run_sandbox


def sandbox(options: Mapping[str, Any]) -> None:
    """Serve until a signal."""
    scopes = options["allowed_scopes"]
    config = SandboxConfig(
        limits=not options["no_limits"],
        allowed_scopes=tuple(s.strip() for s in scopes.split(",")) if scopes else DOCUMENTED_SCOPES,
        identity_lifetime_ms=options["identity_lifetime"] * 1000,
    )
    state_file = Path(options["state_file"]) if options["state_file"] else None
    run_sandbox(config, stdout=sys.stdout, port=options["port"], state_file=state_file)


def demo(*, fast: bool) -> None:
    """The whole story."""
    tell(fast=fast)
