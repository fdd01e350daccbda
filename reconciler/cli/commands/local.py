"""Commands that need no server of anybody: the sandbox and the demo."""

from __future__ import annotations

from typing import Any

from reconciler.cli.commands.group import CONTEXT, cli
from reconciler.cli.options import (
    option,
)
from reconciler.cli.sandbox_options import SANDBOX


@cli.command(context_settings=CONTEXT)
@SANDBOX
def sandbox(**given: Any) -> None:
    """Run a stand-in of the exchange on this machine.

    It is faithful to the exchange's token API. Options make it as unkind as the
    documentation allows, and so do requests to /_sandbox/config and /_sandbox/faults
    while it runs. When it is ready, its first line is {"url": …, "identity_token": …,
    "control": …}.
    """
    from reconciler.cli import local as module

    module.sandbox(module.SandboxOptions(**given))


@cli.command(context_settings=CONTEXT)
@option("--fast", is_flag=True, help="Don't pause for the reader.")
def demo(*, fast: bool) -> None:
    """Play the whole story on this machine.

    Uses the sandbox and a real OpenBao server, and cleans up after a minute.
    """
    from reconciler.cli import local as module

    module.demo(fast=fast)
