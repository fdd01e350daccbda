r"""What the JSON documents share: their text, and the first look at one that is read.

Rules this module keeps:

1. The same document gives the same bytes: keys are sorted, lists have an order of their
   own.
2. ``schemas/<name>.schema.json`` describes each document, and what is read back is
   judged by it before anything else.
3. Two readers must not read one text differently, so a key that is there twice, a
   number with a fraction, an unknown key and a lone surrogate are refused.
"""

from __future__ import annotations

import decimal
import json
from typing import Any

from reconciler import load_schema
from reconciler.errors import ReconcilerError
from reconciler.state import each_key_once

NAMES = ("plan", "report", "status", "statuses", "snapshot", "history", "doctor")
_MOST_FORMATS = 10_000


def head(name: str, version: int) -> dict[str, Any]:
    """Return the keys by which a document is recognised."""
    return {"document": f"reconciler {name}", "format_version": version}


def dump(document: dict[str, Any]) -> str:
    r"""Return a document as text: sorted, indented, pure ASCII, with a line end.

    In ASCII no label can carry a control character of a terminal or an editor. ``##``
    is written ``#\u0023``, because CI runners take commands that begin with it out of
    any line of a log.
    """
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.replace("##", "#\\u0023") + "\n"


def parsed(text: str, name: str, again: str) -> dict[str, Any]:
    """Return the JSON object, if it says that it is the document of this name.

    ReconcilerError otherwise; ``again`` says how to get a good one.
    """
    try:
        document = json.loads(
            text,
            object_pairs_hook=each_key_once,
            parse_float=decimal.Decimal,
            parse_constant=_no_constant,
        )
        # a lone surrogate could not be printed
        json.dumps(document, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError):
        raise ReconcilerError(
            f"this is not a {name}: it can't be read as JSON (another file, or cut off?); {again}"
        ) from None
    found = document.get("document") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != f"reconciler {name}":
        other = next((n for n in NAMES if found == f"reconciler {n}"), None)
        what = "JSON of something else" if other is None else f"a {other}"
        raise ReconcilerError(f"this is not a {name} but {what}: {again}")
    return document


def _no_constant(_: str) -> None:
    raise ValueError("JSON has no such number")


def other_format(document: dict[str, Any], known: int) -> str | None:
    """Return a document's format in words if it is not the known one, else None."""
    found = document.get("format_version")
    if type(found) is not int or abs(found) > _MOST_FORMATS:
        return "unknown"
    return None if found == known else str(found)


def fault(document: dict[str, Any], name: str) -> str | None:
    """Return what is wrong with a document by its schema, or None.

    It is told by the first key of its path: a message of the validator would show the
    value.
    """
    # 60 ms and 10 MiB, only where a document is read
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    schema = load_schema(name)
    whole = _written_out(schema, schema["$defs"])
    try:
        error = next(Draft202012Validator(whole).iter_errors(document), None)
    except RecursionError:
        return "it is nested without end"
    if error is None:
        return None
    where = [str(step) for step in error.absolute_path]
    return f"see `{where[0]}`" if where else "a key of it is missing or unknown"


def _written_out(part: Any, named: dict[str, Any]) -> Any:
    """Return a schema with what its references stand for in their place.

    The validator takes longer to follow one than to judge what it stands for: a quarter
    of the time for a snapshot of 1,000 labels. None of our schemas refers to itself.
    """
    if isinstance(part, list):
        return [_written_out(one, named) for one in part]
    if not isinstance(part, dict):
        return part
    found = dict(part)
    reference = found.pop("$ref", None)
    if reference is not None:
        found = {**named[reference.rpartition("/")[2]], **found}
    return {key: _written_out(value, named) for key, value in found.items()}
