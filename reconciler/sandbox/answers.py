"""Replies as bytes: the well-formed ones, the shapes that errors come in, and the broken ones of the garbage fault.

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


class ErrorShape(enum.Enum):
    """How an error is said: ``message`` is documented, the others are seen in the wild."""

    MESSAGE = "message"
    LIST = "list"
    ERROR = "error"
    MSG = "msg"
    TEXT = "text"
    HTML = "html"
    EMPTY = "empty"


class Garbage(enum.Enum):
    """How a successful reply is spoiled:

    JSON cut in half, a page, other types, nothing, or fewer bytes than announced.
    """

    TRUNCATED = "truncated"
    HTML = "html"
    TYPES = "types"
    EMPTY = "empty"
    SHORT = "short"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One reply. ``missing`` bytes are announced in Content-Length but not sent."""

    status: int
    body: bytes = dataclasses.field(repr=False)
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0


def json_answer(status: int, value: object) -> Answer:
    """A reply in JSON."""
    return Answer(status=status, body=_json(value))


def error_answer(status: int, message: str, *, shape: ErrorShape = ErrorShape.MESSAGE) -> Answer:
    """An error in one of its shapes."""
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
    """A successful reply that can't be read as documented."""
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
    """An object with each value wrapped in a list; anything else inside an object."""
    if isinstance(value, dict):
        return {key: [inner] for key, inner in value.items()}
    return {"data": value}


def _page(text: str) -> bytes:
    return f"<!DOCTYPE html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>".encode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
