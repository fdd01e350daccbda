"""The commands: their options, their help and the exit codes.

What a command does is in the module of its name.

    manifest     validate, doctor, plan, show, apply, status, history, observe
    tokens       init, bootstrap, rotate, rollback, adopt, forget, release, move, verify
    pipelines    identity, github
    local        sandbox, demo

Rules these modules keep:

1. They import click and nothing slow: a command imports its own module when it is run,
   so ``--help`` stays instant.
2. Results go to standard output, everything else to standard error.
3. Exit codes are those of ``reconciler.errors.Exit``. A usage error is 64, never 2.
4. The first sentence of a command's help fits the list of commands at 80 columns.
"""

from reconciler.cli.commands import local, manifest, pipelines, tokens
from reconciler.cli.commands.group import EXIT_CODES, cli
from reconciler.cli.commands.pipelines import github, identity

__all__ = [
    "EXIT_CODES",
    "cli",
    "github",
    "identity",
    "local",
    "manifest",
    "pipelines",
    "tokens",
]
