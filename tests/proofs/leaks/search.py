"""Looking for secrets in texts, in every form in which one could get there."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

LEAST_HALF = 12
"""So many characters of one end are as good as the secret to whoever guesses the rest,
or finds it in the next line."""

_LAID_OUT = re.compile(r"[\s\\│|>]+")


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """The secret as it is, as an encoder would write it, and in halves; each with the
    name of the form.
    """
    data = secret.encode()
    yield "as it is", secret
    yield "URL-encoded", urllib.parse.quote(secret, safe="")
    yield "URL-encoded as a form", urllib.parse.quote_plus(secret)
    yield (
        "in lower-case URL encoding",
        re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(secret, safe="")),
    )
    yield "in JSON", json.dumps(secret)[1:-1]
    yield "in JSON with slashes escaped", json.dumps(secret)[1:-1].replace("/", "\\/")
    yield (
        "in JSON as Go writes it",
        json.dumps(secret)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c"),
    )
    yield "in hex", data.hex()
    yield "in upper-case hex", data.hex().upper()
    yield "backwards", secret[::-1]
    yield from _base64(data)
    half = len(secret) // 2
    if half >= LEAST_HALF:
        yield "its first half", secret[:half]
        yield "its last half", secret[-half:]


def _base64(data: bytes) -> Iterator[tuple[str, str]]:
    """Within a longer text a secret may begin at any of three places of a group: only
    whole groups are sure to be seen.
    """
    for before in range(3):
        whole = (before + len(data)) // 3 * 4
        start = (0, 2, 3)[before]
        for name, encode in (
            ("base64", base64.b64encode),
            ("URL-safe base64", base64.urlsafe_b64encode),
        ):
            yield (
                f"in {name}, {before} bytes after another text",
                encode(b"\0" * before + data).decode()[start:whole],
            )
    try:
        decoded = base64.b64decode(data, validate=True)
    except ValueError:
        return
    if len(decoded) >= LEAST_HALF:
        yield "as the bytes that it stands for, in hex", decoded.hex()
        yield (
            "as the bytes that it stands for, in URL-safe base64",
            base64.urlsafe_b64encode(decoded).decode().rstrip("="),
        )


def found(secrets: Mapping[str, str], texts: Iterable[str]) -> list[str]:
    """Which of the secrets (by name) are in the texts, and how; also where a line was
    broken in the middle of one.
    """
    everything = "\n".join(texts)
    together = _LAID_OUT.sub("", everything)
    return [
        f"{name} {form}"
        for name, secret in secrets.items()
        for form, text in forms(secret)
        if text in everything or _LAID_OUT.sub("", text) in together
    ]
