"""The pages agree with the program and with each other: links, commands, options, exit
codes, variables, keys, fields, rooms.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from reconciler import load_schema
from reconciler.cli import commands as cli
from reconciler.errors import Exit
from reconciler.exchange.bodies import MAX_TOKENS
from reconciler.exchange.pacing import ALL_IN_FLIGHT, MIN_GAP_MS, SECOND_S, STARTS
from reconciler.manifest import load_manifest
from reconciler.manifest.rules import LEGACY_KEY
from reconciler.model import SECOND_MS, Derived, Secret
from reconciler.plan import SENTENCES, Policy, Reason
from reconciler.protocol.send import BUSY_FOR_MS
from reconciler.render.words import NOT_CHECKED
from reconciler.run.peers import CHANGE_USES
from reconciler.state import secret_fields
from tests.support.pages import COMMANDS, DOCS, PARTS, ROOT, options_of, parts_in, rewritten
from tests.unit.test_rooms import MAY_IMPORT

README = ROOT / "README.md"
README_LINES_MAX = 130
OURS = (README, *sorted(DOCS.rglob("*.md")))
PAGES = (
    *OURS,
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted(p for p in (ROOT / "tests").rglob("README.md") if "node_modules" not in p.parts),
    ROOT / "findings" / "README.md",
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_of_ours = pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(ROOT)))

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
VARIABLE = re.compile(r"\b(?:LIMITLESS|VAULT|RECONCILER)_[A-Z_]+\b|\bNO_COLOR\b|\bFORCE_COLOR\b")
PATH = re.compile(r"`((?:reconciler|tests|docs|schemas|findings|\.github)/[\w./-]+)(?:::\w+)?`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHER_PROGRAMS = ("pip install", "vault kv", "kubectl", "gh attestation", "git tag", "python -m")
EVERY_OPTION = {name for command in COMMANDS.values() for name in options_of(command)} | {
    "--help",
    "--version",
}


def read(page: Path) -> str:
    """Return a page's text."""
    return page.read_text(encoding="utf-8")


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the rows of a page's table with this first column's heading."""
    text = read(page)
    table = text[text.index(f"\n| {heading} |") :].lstrip("\n").split("\n\n")[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table.splitlines()[2:]
    ]


def quoted(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def section(page: Path, heading: str) -> str:
    """Return what stands below a heading of the second level."""
    found = read(page).partition(f"\n## {heading}\n")[2]
    assert found, heading
    return found.partition("\n## ")[0]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", read(page)), re.MULTILINE):
        plain = LINK.sub(lambda link: link[0].rpartition("](")[0][1:], heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        names.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return names


# --- links ---


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file or folder that is there, and an anchor in it."""
    broken = []
    for target in LINK.findall(FENCE.sub("", read(page))):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@each_page
def test_named_files_exist(page: Path) -> None:
    """A file or folder of the repository that a page names in backticks is there."""
    assert [path for path in PATH.findall(read(page)) if not (ROOT / path).exists()] == []


def test_readme_is_a_door() -> None:
    """README is short, and every page is reached from it by links."""
    assert len(read(README).splitlines()) <= README_LINES_MAX
    reached, todo = {README}, [README]
    while todo:
        page = todo.pop()
        for target in LINK.findall(read(page)):
            there = (page.parent / target.partition("#")[0]).resolve()
            if there.suffix == ".md" and there.exists() and there not in reached:
                reached.add(there)
                todo.append(there)
    assert [page for page in OURS if page not in reached] == []


def test_the_transcript_has_the_words_of_the_program() -> None:
    """What README shows is what the program would print today."""
    text = read(README)
    for reason in (Reason.SCOPES_WIDENED, Reason.SUCCESSOR_UNUSED, Reason.SUPERSEDED):
        assert SENTENCES[reason] in text
    assert NOT_CHECKED in text.splitlines()


# --- what is taken from the program ---


@each_of_ours
def test_parts_of_the_program_are_current(page: Path) -> None:
    """Tables of options and the diagram are as the program has them: `make docs`."""
    assert read(page) == rewritten(read(page)), "run `make docs`"


def test_every_part_has_its_place() -> None:
    """Each command's options stand in its own section, and each part in one page."""
    assert Counter(part for page in OURS for part in parts_in(read(page))) == Counter(PARTS.keys())
    for name in COMMANDS:
        assert parts_in(section(DOCS / "commands.md", name)) == [f"options of {name}"]


def test_every_command_is_in_the_list() -> None:
    """The table of commands is the program's list, each linked to its section."""
    told = [quoted(first)[0] for first, _ in rows(DOCS / "commands.md", "command")]
    assert sorted(told) == list(COMMANDS)


def test_every_exit_code() -> None:
    """The table, and the line below --help, have exactly the program's codes."""
    assert [int(first) for first, _ in rows(DOCS / "commands.md", "exit")] == list(Exit)
    assert [int(code) for code in re.findall(r"(?:: |; |;\n)(\d+) ", cli.EXIT_CODES)] == list(Exit)


@each_of_ours
def test_flags_exist(page: Path) -> None:
    """No flag in a page is ours that is not; those of other programs are told apart by
    their command.
    """
    own = [line for line in read(page).splitlines() if not any(p in line for p in OTHER_PROGRAMS)]
    assert set(FLAG.findall("\n".join(own))) - EVERY_OPTION == set()


def calls(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each call of the program in a page."""
    for language, block in FENCE.findall(read(page)):
        if language in {"sh", "console"}:
            for line in block.splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["reconciler"] and (language == "sh" or line.startswith("$ ")):
                    yield words[1:]
    for line in quoted(FENCE.sub("", read(page))):
        words = line.split()
        if words[0] == "reconciler" and len(words) > 1 and words[1].islower():
            yield shlex.split(line)[1:]


@each_of_ours
def test_the_program_takes_every_call(page: Path) -> None:
    """Each call in a page names a command, and options and choices that it has."""
    for arguments in calls(page):
        command: click.Command = cli.cli
        left = list(arguments)
        while isinstance(command, click.Group) and left[:1] != ["--version"]:
            assert left, arguments
            assert left[0] in command.commands, arguments
            command = command.commands[left.pop(0)]
        unknown = {word.partition("=")[0] for word in left if word.startswith("--")}
        assert unknown <= options_of(command).keys() | {"--help", "--version"}, arguments


def test_guards() -> None:
    """Each guard's flag is named, with the default that the program has, and plan and
    apply both know it.
    """
    text = section(DOCS / "commands.md", "Guards").split("\n\n")[0]
    defaults = {name: int(number) for name, number in re.findall(r"`(--[a-z-]+)` \((\d+)\)", text)}
    assert defaults == {
        "--max-revocations": Policy().max_revocations,
        "--max-rotations": Policy().max_rotations,
        "--max-missing": Policy().max_missing,
    }
    flags = {word.split()[0] for word in quoted(text)}
    for name in ("plan", "apply"):
        options = options_of(COMMANDS[name])
        assert flags <= options.keys()
        assert all(f"(default {n})" in str(options[flag].help) for flag, n in defaults.items())
    others = {"--target", "--exclude", "--only", "--out", "--format", "--detailed-exitcode"}
    others |= {"--observed", "--base", "--comment", "--issue", "--reviewed"}
    others |= {"--log-format", "--log-level"}
    assert options_of(COMMANDS["plan"]).keys() - others == flags, "a guard that no page names"


def test_variables() -> None:
    """Every variable that the program reads is in the table, and the table names none
    that it does not read.
    """
    read_by_us: set[str] = set()
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        if {"sandbox", "demo"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(read(path))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and VARIABLE.fullmatch(node.value)
            ):
                read_by_us.add(node.value)
    told = {name for row in rows(DOCS / "install.md", "variable") for name in _variables(row)}
    assert told == read_by_us - {LEGACY_KEY}  # it is warned of, and never read


def _variables(row: list[str]) -> list[str]:
    return VARIABLE.findall(" ".join(row))


def test_keys_of_the_manifest() -> None:
    """The table of keys is the schema's, and the example is a manifest."""
    schema = load_schema("tokens")
    token = schema["$defs"]["token"]["properties"]
    keys = {key for key in schema["properties"] if key not in {"vault", "defaults", "tokens"}}
    for group in ("vault", "defaults"):
        keys |= {f"{group}.{key}" for key in schema["properties"][group]["properties"]}
    keys |= {f"tokens[].{key}" for key in token}
    page = DOCS / "manifest.md"
    assert {key for first, _ in rows(page, "key") for key in quoted(first)} == keys


def test_the_example_of_a_manifest(tmp_path: Path) -> None:
    """It is valid, and so is each part that the page shows, within it."""
    blocks = [block for kind, block in FENCE.findall(read(DOCS / "manifest.md")) if kind]
    example, *parts = (yaml.safe_load(block) for block in blocks)
    boss = example["tokens"][:1]
    for part in ({}, *parts):
        whole = {**example, **({"tokens": part} if isinstance(part, list) else part)}
        whole["tokens"] = boss + [t for t in whole["tokens"] if t not in boss]
        (tmp_path / "tokens.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
        loaded = load_manifest([tmp_path / "tokens.yaml"])
        labels = [spec.label for spec in loaded.manifest.tokens]
        assert labels == [token["label"] for token in whole["tokens"]]


def test_the_fields_of_a_secret() -> None:
    """The table for consumers has exactly what is written for them."""
    derived = Derived(
        token_id="t",
        secret=Secret("s"),
        scopes=("trading",),
        created_at_ms=0,
        profile_id=42,
        account="a",
    )
    written = {name for name, _ in secret_fields("bot", derived, api_url="u", operation_id="o")}
    told = [name for first, _ in rows(DOCS / "consumers.md", "field") for name in quoted(first)]
    assert Counter(told) == Counter(written | {"secret"})


def test_the_limit_of_labels() -> None:
    """What the pages say of the largest manifest is the schema's number."""
    most = load_schema("tokens")["properties"]["tokens"]["maxItems"]
    told = {number for page in OURS for number in re.findall(r"(\d[\d,]*) labels", read(page))}
    assert told == {f"{most:,}"}


def test_what_manifests_share() -> None:
    """The paces and bounds in the page about several manifests are the program's."""
    said = " ".join(" ".join(row) for row in rows(DOCS / "scale.md", "what"))
    assert f"Up to {MAX_TOKENS:,} are read" in said
    assert f"start {MIN_GAP_MS} ms apart: {60 * SECOND_MS // MIN_GAP_MS} a minute" in said
    assert (STARTS, SECOND_S, ALL_IN_FLIGHT) == (10, 1, 4)
    assert "ten requests a second, four at once" in said
    assert CHANGE_USES == 12
    assert "a change takes up to twelve" in said
    assert (BUSY_FOR_MS, Exit.PARTIAL) == (120 * SECOND_MS, 5)
    assert "waits for two minutes ends with exit code 5" in read(DOCS / "scale.md")


def test_the_rooms() -> None:
    """The table has each folder and each leaf of the package once, and says of a room
    what the rule of the house says.
    """
    told = [name for first, *_ in rows(DOCS / "architecture.md", "room") for name in quoted(first)]
    package = ROOT / "reconciler"
    there = {path.parent.name for path in package.glob("*/__init__.py")}
    there |= {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    assert Counter(told) == Counter(there)
    said = {
        name: set(quoted(imports))
        for first, _, imports in rows(DOCS / "architecture.md", "room")
        for name in quoted(first)
    }
    assert {room: said[room] for room in MAY_IMPORT} == MAY_IMPORT
