"""``show``: a saved plan, once more and offline."""

from __future__ import annotations

import sys

from reconciler.cli.console import colour_wanted, columns, print_result
from reconciler.cli.files import read_text
from reconciler.documents import dump, load_plan, plan_document
from reconciler.render import plan_markdown, plan_text


def show(name: str, form: str) -> None:
    """Print the plan of a file. ReconcilerError for anything else, or an edited one."""
    saved = load_plan(read_text(name))
    if form == "json":
        guards, warnings = saved.guards, saved.warnings
        document = plan_document(saved.plan, policy=saved.policy, guards=guards, warnings=warnings)
        print_result(dump(document))
    elif form == "markdown":
        print_result(plan_markdown(saved.plan, guards=saved.guards, warnings=saved.warnings))
    else:
        colour = colour_wanted(terminal=sys.stdout.isatty())
        print_result(
            plan_text(
                saved.plan,
                guards=saved.guards,
                warnings=saved.warnings,
                width=columns(),
                colour=colour,
            )
        )
