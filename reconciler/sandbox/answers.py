"""Replies as bytes: well-formed ones, the shapes of errors, and broken ones.

Rules this module keeps:

1. Pure: values in, an ``Answer`` out; the server adds Date and framing.
2. A reply in JSON says so; an HTML page (what an edge in front of the exchange sends)
   says that.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import assert_never

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"


class ErrorShape(enum.StrEnum):
    """How an error is said; only ``message`` is documented, the rest is seen."""

    MESSAGE = "message"
    LIST = "list"
    ERROR = "error"
    MSG = "msg"
    TEXT = "text"
    HTML = "html"
    EMPTY = "empty"


class Garbage(enum.StrEnum):
    """How a successful reply is spoiled.

    JSON cut in half, a page, other types, nothing, or fewer bytes than announced.
    """

    TRUNCATED = "truncated"
    HTML = "html"
    TYPES = "types"
    EMPTY = "empty"
    SHORT = "short"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One reply; ``missing`` bytes are announced in Content-Length but not sent."""

    status: int
    body: bytes = dataclasses.field(repr=False)
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0


def json_answer(status: int, value: object) -> Answer:
    """Return a reply in JSON."""
    return Answer(status=status, body=_json(value))


def error_answer(status: int, message: str, *, shape: ErrorShape = ErrorShape.MESSAGE) -> Answer:
    """Return an error in one of its shapes."""
    match shape:
        case ErrorShape.MESSAGE:
            return json_answer(status, {"message": message})
        case ErrorShape.LIST:
            return json_answer(
                status, {"statusCode": status, "message": [message, "a second sentence"]}
            )
        case ErrorShape.ERROR:
            return json_answer(status, {"error": message})
        case ErrorShape.MSG:
            return json_answer(status, {"msg": message})
        case ErrorShape.TEXT:
            return Answer(status=status, body=message.encode(), content_type=TEXT_TYPE)
        case ErrorShape.HTML:
            return Answer(status=status, body=_page(message), content_type=HTML_TYPE)
        case ErrorShape.EMPTY:
            return Answer(status=status, body=b"", content_type=TEXT_TYPE)
        case _:
            assert_never(shape)


def spoiled(status: int, value: object, garbage: Garbage) -> Answer:
    """Return a successful reply that can't be read as documented."""
    body = _json(value)
    match garbage:
        case Garbage.TRUNCATED:
            return Answer(status=status, body=body[: len(body) // 2])
        case Garbage.HTML:
            return Answer(status=status, body=_page("Welcome"), content_type=HTML_TYPE)
        case Garbage.TYPES:
            return json_answer(status, _wrong_types(value))
        case Garbage.EMPTY:
            return Answer(status=status, body=b"")
        case Garbage.SHORT:
            half = len(body) // 2
            return Answer(status=status, body=body[:half], missing=len(body) - half)
        case _:
            assert_never(garbage)


def _wrong_types(value: object) -> object:
    """Return an object with each value in a list; anything else inside an object."""
    if isinstance(value, dict):
        return {key: [inner] for key, inner in value.items()}
    return {"data": value}


def _page(text: str) -> bytes:
    head, body = f"<head><title>{text}</title></head>", f"<body><h1>{text}</h1></body>"
    return f"<!DOCTYPE html><html>{head}{body}</html>".encode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
