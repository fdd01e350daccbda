"""New ids, secrets and identity tokens from given random bytes.

Rule this module keeps: pure; ``entropy(n)`` gives n random bytes.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from typing import assert_never

from reconciler.sandbox.config import IdStyle

SECRET_BYTES = 32

Entropy = Callable[[int], bytes]


def new_secret(entropy: Entropy) -> str:
    """Return base64 text of 32 bytes."""
    return base64.b64encode(entropy(SECRET_BYTES)).decode("ascii")


def new_token_id(entropy: Entropy, style: IdStyle) -> str:
    """Return an id of this style."""
    raw = entropy(16)
    text = base64.b64encode(raw).decode("ascii")
    awkward = f"{text[:8]}/{text[8:14]}+{text[14:]}"
    match style:
        case IdStyle.UNSAFE:
            return awkward
        case IdStyle.MIXED if raw[0] % 4 == 0:
            return awkward.rstrip("=")
        case IdStyle.MIXED | IdStyle.PLAIN:
            return str(uuid.UUID(bytes=raw, version=4))
        case _:
            assert_never(style)


def opaque_identity(entropy: Entropy) -> str:
    """Return an identity token that says nothing about itself."""
    return "idt_" + entropy(24).hex()


def jwt_identity(entropy: Entropy, *, issued_s: int, expires_s: int) -> str:
    """Return a token in the form of the identity provider's.

    Its signature is noise, its expiry is real. Both instants are seconds since the Unix
    epoch.
    """
    claims = {
        "sub": "did:privy:sandbox",
        "iss": "privy.io",
        "aud": "sandbox",
        "iat": issued_s,
        "exp": expires_s,
    }
    parts = (_compact({"alg": "ES256", "typ": "JWT"}), _compact(claims), entropy(64))
    return ".".join(base64.urlsafe_b64encode(part).decode("ascii").rstrip("=") for part in parts)


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
