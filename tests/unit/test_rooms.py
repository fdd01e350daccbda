"""The house rules, read off the syntax trees of the program: rooms, purity, and what
nobody does.

Rules that are held:

1. A room (a folder of ``reconciler/``) imports leaves, itself, and the rooms that
   ``MAY_IMPORT`` names; of another room only what its ``__init__`` lists in
   ``__all__``. The graph of rooms has no circle and at most 7 floors.
2. A pure room imports the standard library's value tools, the leaves, and pure rooms;
   never an adapter, a thread, a clock.
3. A pure room asks nobody for the time and reads nothing: not even by a builtin.
4. No file is longer than 400 lines, no function longer than 60; the package has at most
   22 entries.
5. ``except Exception`` stands in one place, at the very edge; nothing prints but to a
   stream that it was given.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reconciler"

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
MAX_ENTRIES = 22
MAX_FLOORS = 7

PURE = frozenset({"state", "plan", "protocol", "render", "documents"})
BELOW_RUN = frozenset({"manifest", "state", "plan", "protocol"})
ADAPTERS = frozenset({"exchange", "vault"})

MAY_IMPORT = {
    "manifest": frozenset[str](),
    "net": frozenset[str](),
    "state": frozenset[str](),
    "exchange": frozenset({"net"}),
    "github": frozenset({"net"}),
    "vault": frozenset({"net"}),
    "sandbox": frozenset[str](),
    "plan": frozenset({"state"}),
    "protocol": frozenset({"state", "plan"}),
    "identity": ADAPTERS,
    "demo": ADAPTERS | {"sandbox", "state"},
    "run": BELOW_RUN | ADAPTERS,
    "render": BELOW_RUN - {"manifest"},
    "documents": BELOW_RUN - {"manifest"},
}
"""What each room may import besides leaves.

``cli`` may import everything, so it is not listed.
"""

ADAPTERS_ONLY_IN = {"run": frozenset({"driver", "peers"})}
"""A room whose adapters are for some of its modules alone: all others are pure."""

VALUE_TOOLS = frozenset(
    {
        "__future__",
        "base64",
        "binascii",
        "collections",
        "collections.abc",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fnmatch",
        "functools",
        "hashlib",
        "html",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
    }
)

EXTRAS = {
    "reconciler.documents": frozenset({"jsonschema"}),
    "reconciler.documents.ics": frozenset({"icalendar"}),  # values to text, as html is
    "reconciler.render.words": frozenset({"wcwidth"}),  # tables of widths, no terminal
    "reconciler.render.text": frozenset(
        {"click"}
    ),  # its styles; the shell decides whether they are shown
}
"""What a pure module needs beyond the value tools, and why."""

LAZY = frozenset({"icalendar", "jsonschema", "wcwidth"})
"""Imported where they are needed only: they cost tens of milliseconds."""

CLOCKS = frozenset(
    {
        "now",
        "utcnow",
        "today",
        "fromtimestamp",
        "utcfromtimestamp",
        "time",
        "monotonic",
        "perf_counter",
    }
)
OUTSIDE = frozenset(
    {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"}
)


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def room_of(module: str) -> str | None:
    """The room of a module, or None for a leaf and for what is not ours."""
    parts = module.split(".")
    return (
        parts[1]
        if len(parts) > 1 and parts[0] == "reconciler" and (PACKAGE / parts[1]).is_dir()
        else None
    )


PURE_MODULES = sorted(name for name in MODULES if room_of(name) in PURE)
PURE_IN_PART = sorted(
    name
    for name in MODULES
    if (room := room_of(name)) in ADAPTERS_ONLY_IN
    and name.count(".") > 1
    and name.rpartition(".")[2] not in ADAPTERS_ONLY_IN[room or ""]
)
"""The modules of a room that are pure although its face is not."""
PURE_IN_PART = sorted(
    name
    for name in MODULES
    if (room := room_of(name)) in ADAPTERS_ONLY_IN
    and name.count(".") > 1
    and name.rpartition(".")[2] not in ADAPTERS_ONLY_IN[room]
)
"""The modules of a room that are pure although its face is not."""
ROOMS = sorted({room for name in MODULES if (room := room_of(name)) is not None})
LEAVES = sorted(name for name in MODULES if room_of(name) is None and name != "reconciler.__main__")


def type_checking(node: ast.AST) -> bool:
    """Whether it is a block that never runs."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def running(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but for what is there for the type checker only."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not type_checking(child):
            yield from running(child)


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a tree imports when it runs."""
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            yield from submodules or {node.module}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions, those within others included."""
    return (
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def faces(name: str) -> Iterator[tuple[str, str | None]]:
    """What a module imports from other rooms: the room, and the imported name if it
    comes through the room's face.
    """
    own = room_of(name)
    for node in running(TREES[name]):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module is not None
            and (room := room_of(node.module)) not in {None, own}
        ):
            for alias in node.names:
                assert room is not None
                yield room, alias.name if node.module == f"reconciler.{room}" else None
        elif isinstance(node, ast.Import):
            yield from (
                (room, None)
                for alias in node.names
                if (room := room_of(alias.name)) not in {None, own} and room is not None
            )


def public(room: str) -> frozenset[str]:
    """The names in ``__all__`` of a room's ``__init__``."""
    for node in TREES[f"reconciler.{room}"].body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ):
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


GRAPH = {
    room: {found for name in MODULES if room_of(name) == room for found, _ in faces(name)}
    for room in ROOMS
}


def test_the_rules_name_rooms_that_are_there() -> None:
    """A renamed room would otherwise leave the rules without being missed."""
    assert sorted(MAY_IMPORT.keys() | {"cli"}) == ROOMS
    assert set(ROOMS) >= PURE
    assert {name for name in EXTRAS if name not in MODULES} == set()


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_the_rooms_that_it_may(room: str) -> None:
    """Never what stands above it."""
    assert sorted(GRAPH[room] - MAY_IMPORT[room]) == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_another_room_is_entered_by_its_face(name: str) -> None:
    """Whatever ``__init__`` does not name is the room's own business."""
    assert [
        (room, what) for room, what in faces(name) if what is None or what not in public(room)
    ] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_on_demand_says_the_same_three_times(room: str) -> None:
    """To the type checker, to ``__all__`` and to ``on_demand``."""
    tree = TREES[f"reconciler.{room}"]
    tables = [
        ast.literal_eval(call.args[1])
        for call in calls(tree)
        if isinstance(call.func, ast.Name) and call.func.id == "on_demand"
    ]
    typed = {
        node.module.rpartition(".")[2]: tuple(alias.name for alias in node.names)
        for block in tree.body
        if isinstance(block, ast.If) and type_checking(block)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }
    assert tables == ([typed] if typed else [])
    if typed:
        assert {name for names in typed.values() for name in names} == public(room)
        face = importlib.import_module(f"reconciler.{room}")
        assert [name for name in public(room) if not hasattr(face, name)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_face_hides_no_module_behind_a_function(room: str) -> None:
    """A public name that is also a module's would make the module unreachable by
    import.
    """
    assert public(room) & {path.stem for path in (PACKAGE / room).glob("*.py")} == frozenset()


@pytest.mark.parametrize(("room", "modules"), sorted(ADAPTERS_ONLY_IN.items()))
def test_few_modules_of_a_room_touch_the_adapters(room: str, modules: frozenset[str]) -> None:
    """So all that the room does can be walked through without them."""
    found = {
        name.rpartition(".")[2]
        for name in MODULES
        if room_of(name) == room
        for used, _ in faces(name)
        if used in ADAPTERS
    }
    assert sorted(found - modules) == []


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_imports_no_room(name: str) -> None:
    """Leaves stand below everything."""
    assert [module for module in imports(TREES[name]) if room_of(module) is not None] == []


def test_the_house_has_few_floors_and_no_circle() -> None:
    """A floor is what rests on the floor below; CycleError for a circle."""
    floors: dict[str, int] = {}
    for room in graphlib.TopologicalSorter(GRAPH).static_order():
        floors[room] = 1 + max(
            (floors[below] for below in GRAPH[room]), default=1
        )  # the leaves are floor 1
    assert max(floors.values()) < MAX_FLOORS  # and ``__main__`` is one more


def test_the_package_fits_on_a_screen() -> None:
    """What ``ls reconciler`` shows."""
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= MAX_ENTRIES


@pytest.mark.parametrize("name", [*PURE_MODULES, *PURE_IN_PART])
def test_a_pure_module_imports_values_only(name: str) -> None:
    """The standard library's value tools, leaves, pure rooms, and what is excused by
    name.
    """
    excused = EXTRAS.get(name, frozenset()) | EXTRAS.get(f"reconciler.{room_of(name)}", frozenset())
    ours = {f"reconciler.{room}" for room in PURE}
    beside = {m for m in PURE_IN_PART if name in PURE_IN_PART}
    found = {
        m
        for m in imports(TREES[name])
        if m not in LEAVES and m not in beside and ".".join(m.split(".")[:2]) not in ours
    }
    assert sorted(found - VALUE_TOOLS - excused) == []


@pytest.mark.parametrize("name", [*PURE_MODULES, *PURE_IN_PART])
def test_a_pure_module_reads_no_clock_and_nothing_outside(name: str) -> None:
    """Neither by a method of a value tool nor by a builtin."""
    found = [
        f"line {call.lineno}: {ast.unparse(call.func)}"
        for call in calls(TREES[name])
        if (isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS)
        or (isinstance(call.func, ast.Name) and call.func.id in OUTSIDE | CLOCKS)
    ]
    assert found == []


@pytest.mark.parametrize("name", PURE_MODULES)
def test_what_is_slow_to_load_is_loaded_where_it_is_needed(name: str) -> None:
    """Not at the top of a module."""
    body = TREES[name].body
    assert [
        module
        for node in body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for module in imports(node)
        if module in LAZY
    ] == []


def test_planning_loads_no_adapter() -> None:
    """What the trees say is so when it runs: all pure modules together load nothing
    that could reach the outside.
    """
    impure = sorted(f"reconciler.{room}" for room in {*ROOMS} - PURE)
    program = (
        f"import sys, {', '.join(PURE_MODULES)}\n"
        "heavy = {'httpx', 'hvac', 'requests', 'yaml', 'jsonschema'}\n"
        f"print(sorted(heavy & sys.modules.keys()), sorted({impure} & sys.modules.keys()))\n"
    ).replace(f"{impure}", f"set({impure})")
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("[] []\n", "")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_file_can_be_read_in_one_go(name: str) -> None:
    """At most 400 lines."""
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_function_fits_on_a_page(name: str) -> None:
    """At most 60 lines, decorators and docstring included."""
    lengths = {
        f"{function.name}, line {function.lineno}": (function.end_lineno or function.lineno)
        - function.lineno
        + 1
        for function in functions(TREES[name])
    }
    assert {where: lines for where, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """A bare ``except``, or one of Exception or its base, that does not end in raising
    the same again.
    """
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    every = any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )
    last = handler.body[-1]
    raises = isinstance(last, ast.Raise) and last.exc is None
    return every and not raises and not ast.unparse(last).endswith(".throw(error)")


def test_one_place_swallows_everything() -> None:
    """The edge of the command line, where a traceback could show a secret; everywhere
    else an error has a name.
    """
    found = [
        name
        for name, tree in TREES.items()
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and swallows_everything(handler)
    ]
    assert found == ["reconciler.cli.entry"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_prints_but_to_a_stream_that_it_was_given(name: str) -> None:
    """A bare print would land in the middle of a document on stdout."""
    found = [
        call.lineno
        for call in calls(TREES[name])
        if isinstance(call.func, ast.Name)
        and call.func.id == "print"
        and "file" not in {k.arg for k in call.keywords}
    ]
    assert found == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_says_what_it_is_for(name: str) -> None:
    """In its first lines."""
    assert ast.get_docstring(TREES[name])


# --- the finders find ---


def test_imports_are_found() -> None:
    """Of each form, within functions too, but not those for the type checker."""
    tree = ast.parse(
        "import os.path\nfrom time import sleep\nfrom reconciler import exchange\nif "
        "TYPE_CHECKING:\n    import socket\n"
        "def f():\n    import threading\n"
    )
    assert set(imports(tree)) == {"os.path", "time", "reconciler.exchange", "threading"}
    assert [function.name for function in functions(tree)] == ["f"]


@pytest.mark.parametrize(
    ("expected", "clause"),
    [
        (True, "except: pass"),
        (True, "except Exception: pass"),
        (True, "except BaseException as error: raise ValueError"),
        (True, "except (ValueError, Exception): pass"),
        (False, "except BaseException: raise"),
        (False, "except Exception as error: step.throw(error)"),
        (False, "except (ValueError, OSError): pass"),
    ],
)
def test_handlers_are_judged(*, expected: bool, clause: str) -> None:
    """By what they catch and whether they let it go on."""
    (handler,) = (
        node
        for node in ast.walk(ast.parse(f"try: pass\n{clause}"))
        if isinstance(node, ast.ExceptHandler)
    )
    assert swallows_everything(handler) == expected
