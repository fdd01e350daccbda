"""The commands: their options, their help and the exit codes.

What a command does is in the module of its name.

Rules this module keeps:

1. It imports click and nothing slow: a command imports its own module when it is run,
   so ``--help`` stays instant.
2. Results go to standard output, everything else to standard error.
3. Exit codes are those of ``reconciler.errors.Exit``. A usage error is 64, never 2.
4. The first sentence of a command's help fits the list of commands at 80 columns.
"""

from __future__ import annotations

from typing import Any

import click

from reconciler import __version__
from reconciler.cli import formats
from reconciler.cli.options import (
    GUARDS,
    IDENTITY,
    IDENTITY_VAULT,
    MANIFEST,
    MAX_MISSING,
    REPORT,
    SELECTION,
    SNAPSHOT_OUT,
    WAIT,
    YES,
    Group,
    file_option,
    named,
    option,
)
from reconciler.cli.sandbox_options import SANDBOX

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EXIT_CODES = """\b
Exit codes: 0 done or nothing to do; 1 error, nothing changed;
2 changes or a decision pending (plan --detailed-exitcode); 3 the approved plan is stale;
4 a person is needed; 5 partly applied; 6 another run holds the lease; 64 usage."""


@click.group(cls=Group, context_settings=CONTEXT, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="reconciler", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep API tokens as tokens.yaml describes them, and every secret in Vault."""


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--format",
    "form",
    type=click.Choice(formats.VALIDATE),
    default="text",
    show_default=True,
    help="Output for people, as GitHub's annotations, or as GitLab's code-quality report.",
)
def validate(manifest: tuple[str, ...], form: str) -> None:
    """Check the manifest, offline.

    All errors are shown at once, each with file:line:column.
    """
    from reconciler.cli import validate as module

    module.validate(manifest, form)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@SELECTION
@GUARDS
@file_option("--out", text="Save the plan for `apply --plan`; it holds no secret.")
@option(
    "--format",
    "form",
    type=click.Choice([*formats.PLAN]),
    default="text",
    show_default=True,
    help="Output format; gitlab is the counts for GitLab's plan widget.",
)
@option(
    "--detailed-exitcode",
    is_flag=True,
    help="Exit with 2 if changes are pending, or a decision is.",
)
@file_option("--observed", text="Plan from a snapshot of `observe --out`, without credentials.")
@option(
    "--base",
    multiple=True,
    metavar="MANIFEST",
    callback=named,
    help="The base branch's manifest: each row then says whether this change, drift or a "
    "due rotation caused it.",
)
@option(
    "--comment",
    type=click.Choice(["github"]),
    help="Post the plan as a comment of this pull request, or update that comment.",
)
@option(
    "--issue",
    type=click.Choice(["github"]),
    help="Keep one issue that lists drift and due rotations.",
)
@option(
    "--reviewed",
    type=click.Choice(["github"]),
    help="Set step outputs that say whether the merged pull request showed this plan.",
)
def plan(**given: Any) -> None:
    """Show what apply would do.

    Writes nothing, and needs no identity token.
    """
    from reconciler.cli import plan as module

    module.plan(module.PlanOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@SELECTION
@GUARDS
@IDENTITY
@IDENTITY_VAULT
@YES
@WAIT
@file_option(
    "--plan",
    name="plan_file",
    text="Apply exactly this saved plan; exit with 3 if it is stale.",
)
@REPORT
def apply(**given: Any) -> None:
    """Make exchange and Vault match the manifest.

    Asks first, unless --yes or --plan is given.

    Ctrl-C finishes the step in flight, then stops. Pressed twice, it stops at once, and
    the next run recovers.
    """
    from reconciler.cli import apply as module

    module.apply(module.ApplyOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="LABEL",
    help="Rotate this label (may be repeated).",
)
@option(
    "--compromised",
    is_flag=True,
    help="Revoke all predecessors as soon as the successor is in Vault, without overlap.",
)
@GUARDS
@IDENTITY
@IDENTITY_VAULT
@YES
@WAIT
@REPORT
def rotate(**given: Any) -> None:
    """Rotate labels now, whatever their age."""
    from reconciler.cli import apply as module

    module.rotate(module.ApplyOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--target",
    required=True,
    metavar="LABEL",
    help="The label whose predecessor becomes current again.",
)
@YES
@WAIT
@MAX_MISSING
def rollback(**given: Any) -> None:
    """Make a label's predecessor current again.

    The predecessor must still live at the exchange.
    """
    from reconciler.cli import maintain as module

    module.rollback(module.RollbackOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@IDENTITY
@IDENTITY_VAULT
@WAIT
def bootstrap(**given: Any) -> None:
    """Derive the manager's token and store it.

    Needs the identity token only. It is safe to run again.
    """
    from reconciler.cli import maintain as module
    from reconciler.cli.session import Options

    module.bootstrap(Options.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--format",
    "form",
    type=click.Choice([*formats.STATUS]),
    default="text",
    show_default=True,
    help="Output format.",
)
@MAX_MISSING
def status(**given: Any) -> None:
    """Show how every token stands.

    Its age, when it is due, its last use, and what is held and why.
    """
    from reconciler.cli import status as module

    module.status(module.StatusOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@WAIT
@MAX_MISSING
def verify(**given: Any) -> None:
    """Sign one request with every stored secret.

    Exits with 1 if one of them does not work.
    """
    from reconciler.cli import maintain as module
    from reconciler.cli.session import Options

    module.verify(Options.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--label",
    required=True,
    metavar="L",
    help="The label of the manifest that the token becomes.",
)
@option("--token-id", required=True, metavar="ID", help="The live token's id.")
@option(
    "--other-label",
    is_flag=True,
    help="Allow a token whose label at the exchange differs.",
)
@WAIT
@MAX_MISSING
def adopt(**given: Any) -> None:
    """Start managing a live token.

    You need the token's secret: it is read from standard input.
    """
    from reconciler.cli import maintain as module

    module.adopt(module.AdoptOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option("--token-id", required=True, metavar="ID", help="Its id, or four characters or more of it.")
@YES
@WAIT
@MAX_MISSING
def forget(**given: Any) -> None:
    """Take your word for a token that nobody can judge. You have dealt with it."""
    from reconciler.cli import maintain as module

    module.forget(module.ForgetOptions.of(given))


@cli.command(context_settings=CONTEXT)
@MANIFEST
@SNAPSHOT_OUT
@MAX_MISSING
def observe(**given: Any) -> None:
    """Write a snapshot without secrets.

    `plan --observed` plans from it, without credentials.
    """
    from reconciler.cli import observe as module

    module.observe(module.ObserveOptions.of(given))


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
@SNAPSHOT_OUT
def snapshot(out: str) -> None:
    """Download the newest published snapshot.

    A run of the default branch published it, for `plan --observed`.
    """
    from reconciler.cli import observe as module

    module.fetch_snapshot(out)


@github.command(context_settings=CONTEXT)
@option("--solved", is_flag=True, help="Close the issue if one is open: the workflow succeeded.")
@option(
    "--name",
    metavar="NAME",
    callback=named,
    help="The name of what fails (default: the workflow's).",
)
def failure(*, solved: bool, name: str | None) -> None:
    """Keep one issue open while a workflow fails.

    The command itself never fails.
    """
    from reconciler.cli import posts as module

    module.report_failure(solved=solved, name=name)


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
