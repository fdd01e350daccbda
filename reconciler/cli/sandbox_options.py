"""The options of ``sandbox``, as a click decorator.

Light: the list of commands imports this module, and nothing slower than click.
"""

from __future__ import annotations

import click

from reconciler.cli.options import chain, file_option, named, option

GRAINS_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}

_SERVER = chain(
    option(
        "--port",
        type=click.IntRange(0, 65_535),
        default=0,
        show_default=True,
        help="The port; 0 takes any free one.",
    ),
    option("--no-limits", is_flag=True, help="Don't enforce the exchange's limits per token."),
    file_option("--state-file", text="Keep the tokens in this file across restarts."),
    option(
        "--allowed-scopes",
        metavar="S,S",
        help="What this profile may derive (default: all known scopes).",
    ),
    option(
        "--identity-lifetime",
        type=click.IntRange(1),
        default=3600,
        show_default=True,
        metavar="SECONDS",
        help="How long the identity token lasts.",
    ),
)
_USES = chain(
    option(
        "--used-after",
        type=click.IntRange(0),
        default=0,
        metavar="SECONDS",
        help="The list shows a use of a token so late.",
    ),
    option(
        "--used-grain",
        type=click.Choice(list(GRAINS_MS)),
        help="The list rounds the last use down to this.",
    ),
    option(
        "--used-every",
        type=click.IntRange(0),
        default=0,
        metavar="SECONDS",
        help="A use is written at most once in this time.",
    ),
    option("--used-never", is_flag=True, help="The list shows no uses."),
)
_TOKENS = chain(
    option(
        "--tokens-max",
        type=click.IntRange(1),
        metavar="N",
        help="A derive beyond so many tokens ends the oldest.",
    ),
    option(
        "--label-forms",
        metavar="FORM,FORM",
        help="Change labels before they are kept: some of trim, lower, nfc.",
    ),
    option(
        "--label-cut",
        type=click.IntRange(1),
        metavar="N",
        help="Cut labels to so many characters.",
    ),
    option(
        "--extra-scope",
        metavar="SCOPE",
        callback=named,
        help="Every derive grants this scope besides.",
    ),
    option(
        "--list-without",
        multiple=True,
        metavar="ID",
        callback=named,
        help="The list leaves out this token (may be repeated).",
    ),
    option(
        "--list-without-last",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help="The list leaves out its last N rows.",
    ),
)
_EDGE = chain(
    option(
        "--date-off",
        type=int,
        default=0,
        metavar="SECONDS",
        help="The header Date is wrong by this, in every reply.",
    ),
    option("--maintenance", is_flag=True, help="Be in maintenance: its status says so, else 503."),
    option(
        "--fault",
        "faults",
        multiple=True,
        metavar="JSON",
        help="Begin with this fault, as POST /_sandbox/faults takes it (may be repeated).",
    ),
)

SANDBOX = chain(_SERVER, _USES, _TOKENS, _EDGE)
