"""What the syntax trees of the program prove: which modules are pure, how long a function is, and what nobody does.

Rules that are held:

1. A pure module imports the standard library's value tools, the errors, and pure modules; never an adapter, a thread, a clock.
2. A pure module asks nobody for the time and reads nothing: not even by a builtin.
3. No function is longer than 70 lines.
4. ``except Exception`` stands in one place, at the very edge; nothing prints but to a stream that it was given.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reconciler"

MAX_FUNCTION_LINES = 70

PURE = frozenset(
    {
        "reconciler",
        "reconciler.documents",
        "reconciler.effects",
        "reconciler.errors",
        "reconciler.escape",
        "reconciler.guards",
        "reconciler.ledger",
        "reconciler.model",
        "reconciler.observed",
        "reconciler.plan",
        "reconciler.reasons",
        "reconciler.report",
        "reconciler.review",
        "reconciler.status",
    }
)
PURE_PACKAGES = ("reconciler.protocol", "reconciler.render")

VALUE_TOOLS = frozenset(
    {
        "__future__",
        "collections",
        "collections.abc",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
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
    "reconciler.documents": frozenset({"jsonschema", "reconciler.schema_files"}),  # the schemas ship with the program
    "reconciler.render.text": frozenset({"click"}),  # its styles; the shell decides whether they are shown
}
"""What one pure module needs beyond the value tools, and why."""

LAZY = frozenset({"jsonschema"})
"""Imported where they are needed only: they cost tens of milliseconds."""

CLOCKS = frozenset({"now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "time", "monotonic", "perf_counter"})
OUTSIDE = frozenset({"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"})


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
PURE_MODULES = sorted(name for name in MODULES if name in PURE or name.startswith(PURE_PACKAGES))


def type_checking(node: ast.AST) -> bool:
    """Whether it is a block that never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


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
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_the_pure_modules_are_there() -> None:
    """A renamed module would otherwise leave the test without being missed."""
    assert PURE - MODULES.keys() == frozenset()
    assert EXTRAS.keys() - MODULES.keys() == frozenset()
    assert all(any(name.startswith(package) for name in MODULES) for package in PURE_PACKAGES)


@pytest.mark.parametrize("name", PURE_MODULES)
def test_a_pure_module_imports_values_only(name: str) -> None:
    """The standard library's value tools, other pure modules, and what is excused by name."""
    allowed = VALUE_TOOLS | set(PURE_MODULES) | EXTRAS.get(name, frozenset())
    assert sorted(set(imports(TREES[name])) - allowed) == []


@pytest.mark.parametrize("name", PURE_MODULES)
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
        module for node in body if isinstance(node, (ast.Import, ast.ImportFrom)) for module in imports(node) if module in LAZY
    ] == []


def test_planning_loads_no_adapter() -> None:
    """What the trees say is so when it runs: all pure modules together load nothing that could reach the outside."""
    program = (
        f"import sys, {', '.join(PURE_MODULES)}\n"
        "heavy = {'httpx', 'hvac', 'requests', 'yaml', 'jsonschema'}\n"
        "ours = {'apply', 'bootstrap', 'cli', 'driver', 'exchange', 'identity', 'maintain', 'observe', 'vault', 'vault_http'}\n"
        "print(sorted(heavy & sys.modules.keys()), sorted({f'reconciler.{m}' for m in ours} & sys.modules.keys()))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stdout, ended.stderr) == ("[] []\n", "")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_function_fits_on_a_page(name: str) -> None:
    """At most 70 lines, decorators and docstring included."""
    lengths = {
        f"{function.name}, line {function.lineno}": (function.end_lineno or function.lineno) - function.lineno + 1
        for function in functions(TREES[name])
    }
    assert {where: lines for where, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """A bare ``except``, or one of Exception or its base, that does not end in raising the same again."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    every = any(kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in kinds)
    last = handler.body[-1]
    return every and not (isinstance(last, ast.Raise) and last.exc is None)


def test_one_place_swallows_everything() -> None:
    """The edge of the command line, where a traceback could show a secret; everywhere else an error has a name."""
    found = [
        name
        for name, tree in TREES.items()
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and swallows_everything(handler)
    ]
    assert found == ["reconciler.cli"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_prints_but_to_a_stream_that_it_was_given(name: str) -> None:
    """A bare print would land in the middle of a document on stdout."""
    found = [
        call.lineno
        for call in calls(TREES[name])
        if isinstance(call.func, ast.Name) and call.func.id == "print" and "file" not in {k.arg for k in call.keywords}
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
        "import os.path\nfrom time import sleep\nfrom reconciler import exchange\nif TYPE_CHECKING:\n    import socket\n"
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
        (False, "except (ValueError, OSError): pass"),
    ],
)
def test_handlers_are_judged(*, expected: bool, clause: str) -> None:
    """By what they catch and whether they let it go on."""
    (handler,) = (node for node in ast.walk(ast.parse(f"try: pass\n{clause}")) if isinstance(node, ast.ExceptHandler))
    assert swallows_everything(handler) == expected
