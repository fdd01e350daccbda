"""The demo: sandbox and a real OpenBao, and commands as a newcomer would type them.

Rules this module keeps:

1. Every command is a real process with a real environment; nothing is shown that was
   not run.
2. Whatever happens, the servers and the folder are gone at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from reconciler.demo.openbao import OpenBaoServer
from reconciler.errors import ReconcilerError
from reconciler.exchange import TokenClient
from reconciler.sandbox import Sandbox
from reconciler.state import LEDGER_NAME, credentials_of
from reconciler.vault import SecretStore, settings_from_environment

MOUNT = "secret"
PREFIX = "limitless/tokens"
OVERLAP_S = 4
PAUSE_S = 1.5
STEP_TIMEOUT_S = 60

MANIFEST = f"""\
version: 1
manager: reconciler
vault:
  mount: {MOUNT}
  prefix: {PREFIX}
defaults:
  rotate_after: 30d
  overlap: {OVERLAP_S}s
tokens:
  - label: reconciler
    scopes: [trading]
  - label: production-bot
    description: market maker, eu-west
    scopes: [trading]
    path: prod/bot
    protect: true
  - label: onboarding
    scopes: [trading, account_creation]
  - label: backtest
    scopes: [trading]
"""


class Stage:
    """Both servers, the manifest's folder, and the environment of the commands."""

    def __init__(self, folder: Path, sandbox: Sandbox, bao: OpenBaoServer, *, fast: bool) -> None:
        self.folder = folder
        self.manifest = folder / "tokens.yaml"
        self.sandbox = sandbox
        self.fast = fast
        self.environ = {
            **{
                name: os.environ[name]
                for name in ("PATH", "LANG", "TERM", "NO_COLOR", "FORCE_COLOR")
                if name in os.environ
            },
            "HOME": str(folder),
            "LIMITLESS_API_URL": sandbox.url,
            "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
            "VAULT_ADDR": bao.address,
            "VAULT_TOKEN": bao.root_token.reveal(),
        }
        if sys.stdout.isatty() and "NO_COLOR" not in self.environ:
            self.environ["FORCE_COLOR"] = "1"

    def say(self, sentence: str) -> None:
        """A line of the story, and a moment to read it."""
        click.secho(f"\n# {sentence}", fg="cyan")
        if not self.fast:
            time.sleep(PAUSE_S)

    def run(self, *arguments: str, expected: int = 0) -> None:
        """One command. ReconcilerError if it ends otherwise than the story says."""
        click.secho(f"$ reconciler {' '.join(arguments)}", bold=True)
        sys.stdout.flush()
        command = [sys.executable, "-m", "reconciler", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
        if done.returncode != expected:
            raise ReconcilerError(
                f"the demo's `reconciler {' '.join(arguments)}` ended with {done.returncode}, "
                f"not {expected}"
            )

    def edit(self, before: str, after: str) -> None:
        """A change of the manifest, as a pull request would bring it."""
        text = self.manifest.read_text(encoding="utf-8")
        self.manifest.write_text(text.replace(before, after), encoding="utf-8")

    def use(self, path: str) -> None:
        """A consumer: read the secret from Vault, sign a request with it."""
        with (
            SecretStore.connect(settings_from_environment(self.environ), mount=MOUNT) as store,
            TokenClient(self.sandbox.url) as exchange,
        ):
            credentials = credentials_of(store.read(f"{PREFIX}/{path}"))
            if credentials is None:
                raise ReconcilerError(f"the demo's consumer found no secret at {path}")
            listed = exchange.signed_by(credentials).list_tokens()
            click.echo(
                f"a consumer read {PREFIX}/{path} from Vault, signed with "
                f"{credentials.token_id}: {len(listed)} tokens listed"
            )


def tell(*, fast: bool) -> None:
    """Tell the story. ReconcilerError where it goes otherwise than told."""
    folder = Path(tempfile.mkdtemp(prefix="reconciler-demo-"))
    try:
        with Sandbox() as sandbox, OpenBaoServer() as bao:
            click.echo(
                f"the exchange's sandbox is at {sandbox.url}, a real OpenBao server at "
                f"{bao.address}"
            )
            stage = Stage(folder, sandbox, bao, fast=fast)
            stage.manifest.write_text(MANIFEST, encoding="utf-8")
            _story(stage)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    click.secho("\nBoth servers are stopped, and nothing is left behind.", fg="cyan")


def _story(stage: Stage) -> None:
    stage.say("tokens.yaml says which tokens there are to be.")
    click.echo(stage.manifest.read_text(encoding="utf-8"))
    stage.run("validate")
    stage.say("The manager's token comes first: it signs list and revoke from then on.")
    stage.run("bootstrap")
    stage.say("What would be done? A plan writes nothing.")
    stage.run("plan", "--detailed-exitcode", expected=2)
    stage.run("apply", "--yes")
    stage.say("Every secret in Vault works, and a second run changes nothing.")
    stage.run("verify")
    stage.use("prod/bot")
    stage.run("apply", "--yes")
    stage.say(
        "production-bot needs another scope. Tokens are immutable, so it is rotated; the old "
        "one lives on for its overlap."
    )
    stage.edit(
        "    scopes: [trading]\n    path: prod/bot",
        "    scopes: [trading, delegated_signing]\n    path: prod/bot",
    )
    stage.run("plan", "--out", "plan.json")
    stage.run("apply", "--plan", "plan.json")
    stage.run("status")
    stage.say(
        "The consumer picks the new secret up; when the overlap is over and nobody uses the "
        "old one, it is revoked."
    )
    stage.run("apply", "--yes")
    time.sleep(OVERLAP_S + 1)
    stage.use("prod/bot")
    stage.run("apply", "--yes")
    stage.say(
        "backtest leaves the manifest. Its token retires: it lives on through its overlap, and "
        "would stay if the line came back."
    )
    stage.edit("  - label: backtest\n    scopes: [trading]\n", "")
    stage.run("apply", "--yes")
    stage.say(
        "Whoever knows that nothing needs it any more can say so; it was used within the hour "
        "(by `verify` above), which has a flag of its own."
    )
    stage.run("apply", "--yes", "--revoke-now", "backtest", "--revoke-in-use")
    stage.run("plan")
    click.echo(f"\n(the ledger, which remembers all this, lies at {MOUNT}/{PREFIX}/{LEDGER_NAME})")
