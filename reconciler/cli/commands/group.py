"""The group of all commands: its help, its version and its exit codes."""

from __future__ import annotations

import click

from reconciler import __version__
from reconciler.cli.options import Group

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EXIT_CODES = """\b
Exit codes: 0 done or nothing to do; 1 error, nothing changed;
2 changes or a decision pending (plan --detailed-exitcode); 3 the approved plan is stale;
4 a person is needed; 5 partly applied; 6 another run holds the lease; 64 usage."""


@click.group(cls=Group, context_settings=CONTEXT, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="reconciler", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep API tokens as tokens.yaml describes them, and every secret in Vault."""
