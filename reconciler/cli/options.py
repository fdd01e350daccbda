"""The options that more than one command takes, as click decorators.

Light: ``--help`` imports this module, and nothing slower than click.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose help shows a range if it has two ends, as ``60 to 3600``."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in brackets after the help."""
        extra: dict[str, Any] = dict(super().get_help_extra(ctx))
        kind = self.type
        if isinstance(kind, click.IntRange):
            extra.pop("range", None)
            if kind.max is not None:
                extra["range"] = f"{kind.min} to {kind.max}"
        return extra


option = functools.partial(click.option, cls=Option)


def chain(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator for several options, which are listed in this order."""

    def decorate(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def named(_context: click.Context, param: click.Parameter, name: Any) -> Any:
    """Refuse an empty name: it is an unset variable in somebody's script.

    It must not pass for an option that was left out.
    """
    if name == "" or (isinstance(name, tuple) and "" in name):
        raise click.BadParameter("it is empty", param=param)
    return name


def file_option(flag: str, *, text: str, name: str | None = None, **more: Any) -> Callable[[F], F]:
    """Return an option that names a file."""
    names = [flag, *([name] if name else [])]
    return option(*names, metavar="FILE", callback=named, help=text, **more)


MANIFEST = click.argument("manifest", nargs=-1, type=click.Path())
YES = option("--yes", is_flag=True, help="Apply without asking.")
WAIT = option(
    "--wait",
    type=click.IntRange(0, 86_400),
    default=0,
    metavar="SECONDS",
    help="If another run holds the lease, wait this long for it.",
)
REPORT = file_option("--report", text="Write what was done to this file, as JSON.")
SNAPSHOT_OUT = file_option("--out", text="Write the snapshot to this file.", required=True)
IDENTITY = chain(
    option(
        "--identity-file",
        metavar="PATH",
        callback=named,
        help="Read the identity token from this file (- for standard input).",
    ),
    option(
        "--identity-command",
        metavar="'ARGV'",
        callback=named,
        help="Run this program, without a shell, and read the identity token from its output.",
    ),
)
IDENTITY_VAULT = option(
    "--identity-vault",
    metavar="MOUNT/PATH",
    callback=named,
    help="Take the identity token that `identity push` put there, and destroy it.",
)
SELECTION = chain(
    option(
        "--target",
        "targets",
        multiple=True,
        metavar="LABEL",
        help="Only this label (may be repeated).",
    ),
    option(
        "--exclude",
        "excluded",
        multiple=True,
        metavar="LABEL",
        help="All labels except this one (may be repeated).",
    ),
    option(
        "--only",
        type=click.Choice(["config", "rotation", "cleanup"]),
        help="Only changes of this kind.",
    ),
)
MAX_MISSING = option(
    "--max-missing",
    type=click.IntRange(0),
    metavar="N",
    help="Tolerate up to N recorded tokens missing from the exchange's list (default 1).",
)
GUARDS = chain(
    option(
        "--max-revocations",
        type=click.IntRange(0),
        metavar="N",
        help="Revoke at most N tokens that left the manifest (default 3).",
    ),
    option(
        "--max-rotations",
        type=click.IntRange(0),
        metavar="N",
        help="Rotate at most N due tokens in a run (default 10).",
    ),
    MAX_MISSING,
    option(
        "--allow-empty",
        is_flag=True,
        help="Allow an empty list of tokens (otherwise refused as a likely mistake).",
    ),
    option(
        "--allow-missing-manager",
        is_flag=True,
        help="Allow a manifest without the manager's own token.",
    ),
    option(
        "--allow-missing-files",
        is_flag=True,
        help="Accept that files of the manifest are gone for good.",
    ),
    option(
        "--revoke-in-use",
        is_flag=True,
        help="Revoke tokens that left the manifest even if used within the last hour.",
    ),
    option(
        "--replace",
        multiple=True,
        metavar="LABEL",
        help="Derive this label's token although a twin lives or its path is occupied "
        "(may be repeated).",
    ),
)
