"""What ``docs/`` takes from the program: the options of each command, and the diagram
of a token's life.

``make docs`` writes these parts anew; ``tests/unit/test_docs.py`` fails while a page
has an older one. A part stands between two comments:

    <!-- from the program: options of plan -->
    …
    <!-- until here -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from reconciler.cli import commands
from reconciler.state.lifecycle import MOVES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_PART = re.compile(
    r"(?P<head><!-- from the program: (?P<name>[^>]+) -->\n).*?(?P<foot><!-- until here -->)",
    re.DOTALL,
)


def commands_of(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands by how they are called, one in a group by both words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", inner) for below, inner in commands_of(command))
        else:
            yield name, command


COMMANDS = dict(sorted(commands_of(commands.cli)))


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return a command's options by each of their names."""
    return {
        name: param
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
    }


def values_of(option: click.Option) -> str:
    """Return what the option takes: its choices, its metavar, or nothing for a flag."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + "|".join(option.type.choices)
    return f" {option.metavar or 'N'}"


def remarks_on(option: click.Option) -> Iterator[str]:
    """Yield what ``--help`` says in brackets: range, default, that it is required."""
    kind = option.type
    if isinstance(kind, click.IntRange) and kind.max is not None:
        yield f"{kind.min} to {kind.max}"
    if option.show_default:
        yield f"default {option.default}"
    if option.required:
        yield "required"


def table(command: click.Command) -> str:
    """Return the table of a command's options, but for those that every command has."""
    rows = ["| option | what it does |", "|---|---|"]
    options = (param for param in command.params if isinstance(param, click.Option))
    for option in (param for param in options if param.expose_value):
        names = ", ".join(option.opts)
        remarks = ", ".join(remarks_on(option))
        text = str(option.help)
        if remarks:
            text = f"{text.rstrip('.')} ({remarks})."
        signature = f"{names}{values_of(option)}".replace("|", "\\|")
        rows.append(f"| `{signature}` | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def diagram() -> str:
    """Return the diagram of a token's life, as Mermaid draws it."""
    arrows = [f"    {one.before.value} --> {one.after.value}: {one.transition}" for one in MOVES]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


PARTS = {f"options of {name}": table(command) for name, command in COMMANDS.items()}
PARTS["the life of a token"] = diagram()


def rewritten(text: str) -> str:
    """Return a page with each part as the program has it. KeyError: no such part."""
    return _PART.sub(
        lambda found: f"{found['head']}\n{PARTS[found['name']]}\n\n{found['foot']}", text
    )


def parts_in(text: str) -> list[str]:
    """Return the names of the parts in a page."""
    return [found["name"] for found in _PART.finditer(text)]


def main() -> None:
    """Write the parts of every page anew."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(rewritten(text), encoding="utf-8")


if __name__ == "__main__":
    main()
