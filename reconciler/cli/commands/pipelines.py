"""Commands for pipelines: the hand-over of an identity, and GitHub's workflows."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.commands.group import CONTEXT, cli
from reconciler.cli.options import (
    IDENTITY,
    MANIFEST,
    SNAPSHOT_OUT,
    named,
    option,
)


@cli.group(context_settings=CONTEXT)
def identity() -> None:
    """Hand an identity token to a pipeline."""


@identity.command(context_settings=CONTEXT)
@click.argument("place", metavar="MOUNT/PATH")
@IDENTITY
@option(
    "--ttl",
    type=click.IntRange(60, 3600),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="Vault deletes the token after this time.",
)
@option(
    "--for",
    "plan",
    metavar="DIGEST",
    callback=named,
    help="The one plan that the token serves, by its digest; no other run takes it.",
)
def push(**given: Any) -> None:
    """Put the identity token in Vault, for one apply.

    `apply --identity-vault` takes it from there. The token comes from a file, a
    program, the environment, or is asked for; never from an argument.
    """
    from reconciler.cli import identity as module

    module.push(module.PushOptions(**given))


@cli.group(context_settings=CONTEXT)
def github() -> None:
    """Help workflows of GitHub Actions."""


@github.command(context_settings=CONTEXT)
@MANIFEST
@SNAPSHOT_OUT
def snapshot(manifest: tuple[str, ...], out: str) -> None:
    """Download the manifest's newest snapshot.

    A run of the default branch published it, for `plan --observed`.
    """
    from reconciler.cli import observe as module

    module.fetch_snapshot(manifest, out)


@github.command(context_settings=CONTEXT)
@MANIFEST
@option("--solved", is_flag=True, help="Close the issue if one is open: the workflow succeeded.")
@option(
    "--name",
    metavar="NAME",
    callback=named,
    help="The name of what fails (default: the workflow's).",
)
def failure(*, manifest: tuple[str, ...], solved: bool, name: str | None) -> None:
    """Keep one issue open while a workflow fails.

    Each manifest has its own. The command itself never fails.
    """
    from reconciler.cli import posts as module
    from reconciler.cli.validate import DEFAULT_MANIFEST

    module.report_failure(solved=solved, name=name, names=manifest or (DEFAULT_MANIFEST,))
