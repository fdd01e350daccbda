"""The options that more than one command takes, as click decorators.

Light: the list of commands imports this module, and nothing slower than click.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from reconciler import __version__
from reconciler.cli import log
from reconciler.cli.console import tell

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


def labels(context: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Return the labels of the manifest that begin so, for a shell that completes.

    None where the manifest can't be read: a shell is no place for its mistakes.
    """
    from reconciler.cli.validate import labels_in  # noqa: PLC0415  # only where a shell asks

    # click leaves what it did not place yet in args
    files = context.params.get("manifest") or [a for a in context.args if not a.startswith("-")]
    return [label for label in labels_in(tuple(files)) if label.startswith(begun)]


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
METRICS = file_option(
    "--metrics", text="Write the run's metrics to this file, in Prometheus' text format."
)
NOTIFY = option(
    "--notify-command",
    metavar="'ARGV'",
    callback=named,
    help="Run this program at the end, without a shell, with the report on its standard input.",
)
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
        metavar="GLOB",
        callback=named,
        shell_complete=labels,
        help="Only this label, or those that it matches (may be repeated).",
    ),
    option(
        "--exclude",
        "excluded",
        multiple=True,
        metavar="GLOB",
        callback=named,
        shell_complete=labels,
        help="All labels except this one, or those that it matches (may be repeated).",
    ),
    option(
        "--only",
        type=click.Choice(["config", "rotation", "cleanup"]),
        help="Only changes of this kind.",
    ),
)


class Guards(Option):
    """Stands for the options that are made from the plan's table of guards.

    The table is read when a command that has them is run or explained: it costs more
    than click does.
    """

    def __init__(self, names: list[str], *, only: str = "", **others: Any) -> None:
        super().__init__(names, **others)
        self.only = only

    def options(self) -> list[Option]:
        """Return the options, or the only one that is named."""
        from reconciler.plan import GUARDS  # noqa: PLC0415  # three times the cost of click

        return [
            _guard(guard.flag, guard.default, guard.help)
            for guard in GUARDS
            if self.only in {"", guard.name}
        ]


def _guard(flag: str, default: int | frozenset[str], text: str) -> Option:
    if isinstance(default, bool):
        return Option([flag], is_flag=True, help=text)
    if isinstance(default, int):
        limit = click.IntRange(0)
        return Option([flag], type=limit, metavar="N", help=f"{text} (default {default}).")
    said = f"{text} (may be repeated)."
    return Option([flag], multiple=True, metavar="LABEL", shell_complete=labels, help=said)


def log_options() -> list[click.Parameter]:
    """Return the options that stand before or after every command.

    What they are given is read off the command line before it is parsed (``log``), so
    that mistakes in it are events too. Here they are checked and explained.
    """
    said = "For people, or one line of JSON an event on standard error."
    debug = "Tell of each call to a server as well, with debug."
    return [
        Option([log.FORMAT_FLAG], type=click.Choice(log.FORMATS), expose_value=False, help=said),
        Option([log.LEVEL_FLAG], type=click.Choice(log.LEVELS), expose_value=False, help=debug),
    ]


class Command(click.Command):
    """A command that may have the options of guards, and has those of the log."""

    _made: list[click.Parameter]

    def __init__(self, name: str | None, **given: Any) -> None:
        super().__init__(name, **given)
        self._made = [*self._made, *log_options()]  # to ask for params reads the guards

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its log begins with its name."""
        log.of_command(ctx.command_path)
        tell("command_started", version=__version__)
        return super().invoke(ctx)

    @property
    def params(self) -> list[click.Parameter]:
        """The arguments and options, those of guards among them."""
        self._made = [
            made
            for param in self._made
            for made in (param.options() if isinstance(param, Guards) else [param])
        ]
        return self._made

    @params.setter
    def params(self, given: list[click.Parameter]) -> None:
        self._made = given

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's environment variables, and an example."""
        from reconciler.cli.commands.explained import EXPLAINED  # noqa: PLC0415  # help only

        explained = EXPLAINED.get(ctx.command_path.partition(" ")[2])
        if explained is None:
            return
        if explained.variables:
            with formatter.section("Environment"):
                formatter.write_dl(explained.variables)
        with formatter.section("Example"):
            formatter.write(f"  {explained.example}\n")


class Group(click.Group):
    """The commands."""

    command_class = Command
    group_class = type

    def __init__(self, name: str | None = None, **given: Any) -> None:
        super().__init__(name, **given)
        self.params += log_options()


GUARDS = click.option("--guards", cls=Guards)
MAX_MISSING = click.option("--guards", cls=Guards, only="max_missing")
