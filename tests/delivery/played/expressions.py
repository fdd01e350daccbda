"""Expressions of GitHub Actions, worked out by GitHub's own evaluator in a process of
Node that lives as long as the tests do.

Rules this module keeps:

1. What an expression is worth, and what GitHub would refuse, is decided by the package
   ``@actions/expressions``; ``expressions/evaluate.mjs`` says what is stricter here.
2. A context holds what GitHub's table of context availability has for that place of the
   file, so that anything else is an ExpressionError and never an empty text.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.node import node_with

PACKAGE = Path(__file__).parent.parent / "expressions"
_TIMEOUT_S = 60


class ExpressionError(Exception):
    """An expression that GitHub would refuse, or that names what is not there."""


class Context(NamedTuple):
    """What an expression may look at: contexts by name, and what the status functions
    answer.
    """

    values: Mapping[str, Any]
    functions: Mapping[str, bool] = {}


class Strict(UserDict[str, Any]):
    """A context in which a name that is missing is a mistake and not null: ``steps``,
    ``needs``, declared inputs.
    """

    def marked(self) -> dict[str, Any]:
        """Return the content with the mark that ``evaluate.mjs`` knows."""
        return {"\0strict": self.data}


def fill(template: Any, context: Context) -> str:
    """Return the text of a value of the file, every ``${{ … }}`` in it replaced."""
    return str(_asked("text", template, context))


def filled(texts: Mapping[str, Any], context: Context) -> dict[str, str]:
    """Return the texts of a mapping's values, each filled."""
    return {name: fill(text, context) for name, text in texts.items()}


def value_of(template: Any, context: Context) -> Any:
    """Return a value of the file; what is one expression and nothing else keeps its
    kind.
    """
    return _asked("value", template, context)


def condition(template: Any, context: Context) -> bool:
    """Tell whether an ``if:`` holds, with or without ``${{ }}`` around it."""
    return bool(_asked("condition", template, context))


def _asked(want: str, template: Any, context: Context) -> Any:
    order = [want, template, context.values, context.functions]
    process = _evaluator()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order, default=Strict.marked) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    if "error" in answer:
        raise ExpressionError(answer["error"])
    return answer["value"]


@functools.cache
def _evaluator() -> subprocess.Popen[str]:
    argv = [node_with(PACKAGE), str(PACKAGE / "evaluate.mjs")]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env={}
    )
    atexit.register(process.communicate, timeout=_TIMEOUT_S)
    return process
