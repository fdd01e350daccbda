"""The command line: options, help and exit codes.

What a command does is in the other modules of this package.

Rules this module keeps:

1. It imports click and nothing slow; a command imports its own module when it is run.
   ``--help`` stays instant.
2. Results go to standard output, everything else to standard error.
3. Exit codes are those of ``reconciler.errors.Exit``; a usage error is 64, never 2.
4. Nothing ends in a traceback: what was not foreseen names its place, and never the
   values there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from reconciler import __version__

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EXIT_CODES = """\b
Exit codes: 0 done or nothing to do; 1 error, nothing changed; 2 changes pending (plan --detailed-exitcode);
3 the approved plan is stale; 4 a person is needed; 5 partly applied; 6 another run holds the lease; 64 usage."""


@click.group(context_settings=CONTEXT, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="reconciler", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep the exchange's API tokens as tokens.yaml describes them, and every secret in Vault."""


def _chain(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def _named(_context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """An empty name is an unset variable in somebody's script: it must not pass for an option that was left out."""
    if name == "":
        raise click.BadParameter("it is empty", param=option)
    return name


def _all_named(
    context: click.Context, option: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    for name in names:
        _named(context, option, name)
    return names


def _file(option: str, *, text: str, name: str | None = None) -> Callable[[F], F]:
    """An option that names a file."""
    return click.option(
        option, *([name] if name else []), metavar="FILE", callback=_named, help=text
    )


MANIFEST = click.argument("manifest", nargs=-1, type=click.Path())
TARGETS = click.option(
    "--target", "targets", multiple=True, metavar="LABEL", help="Only this label (may be repeated)."
)
YES = click.option("--yes", is_flag=True, help="Don't ask.")
WAIT = click.option(
    "--wait",
    type=click.IntRange(0, 86_400),
    default=0,
    metavar="SECONDS",
    help="Wait this long for another run's lease.",
)
IDENTITY = _chain(
    click.option(
        "--identity-file",
        metavar="PATH",
        callback=_named,
        help="Read the identity token from this file (- for standard input).",
    ),
    click.option(
        "--identity-command",
        metavar="'ARGV'",
        callback=_named,
        help="Run this program, without a shell; its output is the token.",
    ),
)
IDENTITY_VAULT = click.option(
    "--identity-vault",
    metavar="MOUNT/PATH",
    callback=_named,
    help="Take the identity token that `identity push` put there, and destroy it.",
)
MAX_MISSING = click.option(
    "--max-missing",
    type=click.IntRange(0),
    metavar="N",
    help="Believe that this many current tokens are gone from the exchange's list (default 1).",
)
SELECTION = _chain(
    TARGETS,
    click.option(
        "--exclude",
        "excluded",
        multiple=True,
        metavar="LABEL",
        help="All but this label (may be repeated).",
    ),
    click.option(
        "--only",
        type=click.Choice(["config", "rotation", "cleanup"]),
        help="Only changes of this kind.",
    ),
)
GUARDS = _chain(
    click.option(
        "--max-revocations",
        type=click.IntRange(0),
        metavar="N",
        help="Revoke at most this many tokens that left the manifest (default 3).",
    ),
    click.option(
        "--max-rotations",
        type=click.IntRange(0),
        metavar="N",
        help="Rotate at most this many due tokens a run (default 10).",
    ),
    MAX_MISSING,
    click.option("--allow-empty", is_flag=True, help="An empty list of tokens is meant."),
    click.option(
        "--allow-missing-manager",
        is_flag=True,
        help="A manifest without the manager's token is meant.",
    ),
    click.option(
        "--allow-missing-files",
        is_flag=True,
        help="Files that were part of the manifest are gone for good.",
    ),
    click.option(
        "--revoke-in-use",
        is_flag=True,
        help="Revoke tokens that left the manifest even if used within the hour.",
    ),
    click.option(
        "--replace",
        multiple=True,
        metavar="LABEL",
        help="Derive this label's token although a twin lives or its path is occupied (may be repeated).",
    ),
)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github", "gitlab"]),
    default="text",
    show_default=True,
    help="For people, as GitHub's annotations, or as GitLab's code-quality report.",
)
def validate(manifest: tuple[str, ...], form: str) -> None:
    """Check the manifest, offline: all errors at once, each with file:line:column."""
    from reconciler.cli import validate as manifests

    manifests.validate(manifest, form)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@SELECTION
@GUARDS
@_file("--out", text="Save the plan for `apply --plan`; it holds no secret.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown", "gitlab"]),
    default="text",
    show_default=True,
    help="For whom; gitlab is the counts for its plan widget.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when changes are pending.")
@_file("--observed", text="Plan from a snapshot of `observe --out`, without any credential.")
@click.option(
    "--base",
    multiple=True,
    metavar="MANIFEST",
    callback=_all_named,
    help="The manifest as the base branch has it: then each row says whether this change, drift or a due rotation caused it.",
)
@click.option(
    "--comment",
    type=click.Choice(["github"]),
    help="Post the plan as the one comment of this pull request.",
)
@click.option(
    "--issue",
    type=click.Choice(["github"]),
    help="Keep one rolling issue of drift and rotations due.",
)
@click.option(
    "--reviewed",
    type=click.Choice(["github"]),
    help="Tell by step outputs whether this is the plan that was reviewed in the merged pull request.",
)
def plan(manifest: tuple[str, ...], **options: Any) -> None:
    """Show what apply would do. Writes nothing, and needs no identity token."""
    from reconciler.cli import plan as reading

    reading.plan(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@SELECTION
@GUARDS
@IDENTITY
@IDENTITY_VAULT
@YES
@WAIT
@_file(
    "--plan",
    name="plan_file",
    text="Apply this saved plan and nothing else; exit 3 if it is stale.",
)
@_file("--report", text="Write what was done to this file, as JSON.")
def apply(manifest: tuple[str, ...], **options: Any) -> None:
    """Make exchange and Vault what the manifest says.

    Asks first, unless --yes or --plan is given.

    Ctrl-C finishes the step in flight, then stops; twice stops at once, and the next
    run recovers.
    """
    from reconciler.cli import apply as writing

    writing.apply(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="LABEL",
    help="Rotate this label (may be repeated).",
)
@click.option(
    "--compromised",
    is_flag=True,
    help="No overlap: revoke all predecessors as soon as the successor is in Vault.",
)
@GUARDS
@IDENTITY
@IDENTITY_VAULT
@YES
@WAIT
@_file("--report", text="Write what was done to this file, as JSON.")
def rotate(manifest: tuple[str, ...], **options: Any) -> None:
    """Rotate labels now, whatever their age."""
    from reconciler.cli import apply as writing

    writing.rotate(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@click.option(
    "--target",
    required=True,
    metavar="LABEL",
    help="The label whose predecessor becomes current again.",
)
@YES
@WAIT
@MAX_MISSING
def rollback(manifest: tuple[str, ...], **options: Any) -> None:
    """Make a label's predecessor current again, while it still lives."""
    from reconciler.cli import apply as writing

    writing.rollback(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@IDENTITY
@IDENTITY_VAULT
@WAIT
def bootstrap(manifest: tuple[str, ...], **options: Any) -> None:
    """Derive the manager's token and store it.

    Needs the identity token only, and may be repeated.
    """
    from reconciler.cli import apply as writing

    writing.bootstrap(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For whom.",
)
@MAX_MISSING
def status(manifest: tuple[str, ...], **options: Any) -> None:
    """Show each token's age, when it is due, its last use, and what is held and why."""
    from reconciler.cli import plan as reading

    reading.status(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@WAIT
@MAX_MISSING
def verify(manifest: tuple[str, ...], **options: Any) -> None:
    """Sign one request with every stored secret; exit 1 if one of them does not work."""
    from reconciler.cli import apply as writing

    writing.verify(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@click.option(
    "--label", required=True, metavar="L", help="The label of the manifest that the token becomes."
)
@click.option("--token-id", required=True, metavar="ID", help="The live token's id.")
@click.option(
    "--other-label",
    is_flag=True,
    help="The exchange's label of the token differs, and that is meant.",
)
@WAIT
@MAX_MISSING
def adopt(manifest: tuple[str, ...], **options: Any) -> None:
    """Start managing a live token whose secret you still have: give the secret on standard input."""
    from reconciler.cli import apply as writing

    writing.adopt(manifest, options)


@cli.command(context_settings=CONTEXT)
@MANIFEST
@click.option(
    "--out", required=True, metavar="FILE", callback=_named, help="Where the snapshot goes."
)
@MAX_MISSING
def observe(manifest: tuple[str, ...], **options: Any) -> None:
    """Write a snapshot without secrets, for plans without credentials (plan --observed)."""
    from reconciler.cli import plan as reading

    reading.observe(manifest, options)


@cli.group(context_settings=CONTEXT)
def identity() -> None:
    """Hand the identity token over to a run in a pipeline."""


@identity.command(context_settings=CONTEXT)
@click.argument("place", metavar="MOUNT/PATH")
@IDENTITY
@click.option(
    "--ttl",
    type=click.IntRange(60, 3600),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="Vault ends it by itself after this time.",
)
def push(place: str, **options: Any) -> None:
    """Put the identity token at a place in Vault, for the one `apply --identity-vault` that it is meant for.

    The token comes from a file, a program, the environment, or is asked for; never from
    an argument.
    """
    from reconciler.cli import identity as handing

    handing.push(place, options)


@cli.group(context_settings=CONTEXT)
def github() -> None:
    """What the workflows of GitHub Actions need beside plan and apply."""


@github.command(context_settings=CONTEXT)
@click.option(
    "--out", required=True, metavar="FILE", callback=_named, help="Where the snapshot goes."
)
def snapshot(**options: Any) -> None:
    """Download the newest snapshot that a run of the default branch published, for `plan --observed`."""
    from reconciler.cli import plan as reading

    reading.fetch_snapshot(options)


@github.command(context_settings=CONTEXT)
@click.option(
    "--solved", is_flag=True, help="Close the issue, if one is open: the workflow succeeded."
)
@click.option(
    "--name",
    metavar="NAME",
    callback=_named,
    help="What it is that fails (default: the workflow's name).",
)
def failure(*, solved: bool, name: str | None) -> None:
    """Keep one rolling issue for this workflow while it fails. Never fails itself."""
    from reconciler.cli import ci as pipeline

    pipeline.report_failure(solved=solved, name=name)


@cli.command(context_settings=CONTEXT)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default=True,
    help="0 takes any free port.",
)
@click.option("--no-limits", is_flag=True, help="Don't enforce the exchange's limits per token.")
@_file("--state-file", text="Keep the tokens in this file across restarts.")
@click.option(
    "--allowed-scopes",
    metavar="S,S",
    help="What this profile may derive (default: all known scopes).",
)
@click.option(
    "--identity-lifetime",
    type=click.IntRange(1),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="How long the identity token lasts.",
)
def sandbox(**options: Any) -> None:
    """Run a faithful stand-in of the exchange's token API on loopback, with faults on demand.

    When it is ready, its first line is {"url": …, "identity_token": …}.
    """
    from reconciler.cli import local

    local.sandbox(options)


@cli.command(context_settings=CONTEXT)
@click.option("--fast", is_flag=True, help="Don't pause for the reader.")
def demo(fast: bool) -> None:  # noqa: FBT001  # click passes options by name
    """Sandbox and a real OpenBao server, the whole story in a minute; cleans up after itself."""
    from reconciler.cli import local

    local.demo(fast=fast)
