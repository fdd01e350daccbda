"""Commands about the manifest as a whole: check it, plan, apply, look."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli import formats
from reconciler.cli.commands.group import CONTEXT, cli
from reconciler.cli.options import (
    GUARDS,
    IDENTITY,
    IDENTITY_VAULT,
    MANIFEST,
    MAX_MISSING,
    METRICS,
    NOTIFY,
    REPORT,
    SELECTION,
    SNAPSHOT_OUT,
    WAIT,
    YES,
    file_option,
    labels,
    named,
    option,
)


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
@IDENTITY
@option(
    "--format",
    "form",
    type=click.Choice(formats.DOCTOR),
    default="text",
    show_default=True,
    help="Output format.",
)
@option(
    "--schedule",
    "schedules",
    multiple=True,
    metavar="CRON",
    help="When applies run, in UTC, as in '17 * * * *': a window that it never meets is told.",
)
@MAX_MISSING
def doctor(**given: Any) -> None:
    """Check what an apply will need, without a write.

    Exits with 1 if something would fail.
    """
    from reconciler.cli import doctor as module

    module.doctor(module.DoctorOptions.of(given))


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
@METRICS
@NOTIFY
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
    "--format",
    "form",
    type=click.Choice([*formats.STATUS]),
    default="text",
    show_default=True,
    help="Output format.",
)
@option(
    "--wide",
    is_flag=True,
    help="Every label and column of the table, with scopes, owner and path, whatever the width.",
)
@option(
    "--target",
    "targets",
    multiple=True,
    metavar="GLOB",
    callback=named,
    shell_complete=labels,
    help="Only this label, or those that it matches (may be repeated).",
)
@option(
    "--token-id",
    metavar="PREFIX",
    callback=named,
    help="Only the label that has this token; four characters or more of its id.",
)
@file_option(
    "--observed",
    text="Show this snapshot of `observe` instead of asking anybody; without a manifest, "
    "what was wanted then (may be repeated).",
    multiple=True,
)
@option(
    "--check",
    is_flag=True,
    help="Say in one line whether all is well (exit 0), something is broken or overdue (1), "
    "or a person is needed (4).",
)
@file_option("--out", text="Write it to this file, as a whole or not at all.")
@MAX_MISSING
def status(**given: Any) -> None:
    """Show how every token stands.

    Its age, when it is due, its last use, and what is held and why.
    """
    from reconciler.cli import status as module

    module.status(module.StatusOptions.of(given))


@cli.command(context_settings=CONTEXT)
@click.argument("plan_file", metavar="PLAN", callback=named)
@option(
    "--format",
    "form",
    type=click.Choice(formats.SHOW),
    default="text",
    show_default=True,
    help="Output format.",
)
def show(plan_file: str, form: str) -> None:
    """Show a saved plan again, offline."""
    from reconciler.cli import show as module

    module.show(plan_file, form)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@option(
    "--label",
    metavar="GLOB",
    callback=named,
    shell_complete=labels,
    help="Only this label, or those that it matches.",
)
@option(
    "--since",
    metavar="TIME",
    callback=named,
    help="Only what was done since: a duration such as 30d, or a date such as 2026-11-22.",
)
@option(
    "--format",
    "form",
    type=click.Choice(formats.HISTORY),
    default="text",
    show_default=True,
    help="Output format.",
)
def history(**given: Any) -> None:
    """Show what was done, when, by which run and why.

    It is read off the versions of the ledger that Vault still has.
    """
    from reconciler.cli import history as module

    module.history(module.HistoryOptions.of(given))


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
