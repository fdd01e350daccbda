"""A peer that passes everything on to the real one and then puts words in its mouth.

Headers of a request may be echoed back in the reply, as proxies that explain themselves
do; a body may be replaced or edited.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.support.loopback import LoopbackServer, Reply, Request, passed_on


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One request and the real peer's answer to it.

    ``path`` is with its query; ``document`` is the answer's body as JSON, or None.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    document: Any

    def echo(self) -> str:
        """Return all that was asked and answered in one text, credentials included."""
        asked = f"{self.method} {self.path} {dict(self.headers)} "
        return asked + f"{self.body.decode(errors='replace')} {json.dumps(self.document)}"


Lie = Callable[[Exchanged], tuple[int, bytes] | None]
"""What is answered instead: a status and a body; None for the truth."""


@contextlib.contextmanager
def lying(address: str, lie: Lie) -> Iterator[str]:
    """Yield the address to use instead of ``address``, which is HTTP on loopback."""

    def answer(request: Request) -> Reply:
        truth = passed_on(request, address)
        told = lie(
            Exchanged(
                method=request.method,
                path=request.target,
                headers=request.headers,
                body=request.body,
                status=truth.status,
                document=_parsed(truth.body or b""),
            )
        )
        if told is None:
            return truth
        return dataclasses.replace(truth, status=told[0], body=told[1])

    with LoopbackServer(answer) as server:
        yield server.url


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
