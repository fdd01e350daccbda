"""What the sandbox remembers and hands around, as values.

Rule this module keeps: no secret, identity token or signature stands in a repr.
"""

from __future__ import annotations

import dataclasses

from reconciler.sandbox.laws import Operation


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token, live or revoked; ``secret`` is base64 text of 32 bytes.

    ``written_uses_ms`` are the last uses that were written down, in order: what the
    list may show of ``last_used_at_ms``, which is the true one.
    """

    token_id: str
    secret: str = dataclasses.field(repr=False)
    label: str | None
    scopes: tuple[str, ...]
    profile_id: int
    created_at_ms: int
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None
    written_uses_ms: tuple[int, ...] = ()

    @property
    def live(self) -> bool:
        """Whether its signature counts."""
        return self.revoked_at_ms is None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an identity token stands for."""

    profile_id: int
    expires_at_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The one who sent a request.

    ``key`` names the bucket of the limit; ``token_id`` is None for an identity.
    """

    key: str
    profile_id: int
    token_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a fault is matched against.

    ``label`` and ``token_id`` are those of the token that is asked for (derive: label
    only), revoked (revoke), or signs (list).
    """

    operation: Operation
    label: str | None = None
    token_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as the sandbox saw it.

    ``credential`` is a known token id, ``identity`` or ``unknown``. ``status`` is None
    while the call is under way and where no reply was sent; ``ended`` tells the two
    apart. ``fault`` is the kind of the fault that was done to it. ``changed`` says that
    it derived or revoked a token.
    """

    number: int
    at_ms: int
    method: str
    path: str
    operation: Operation
    credential: str
    status: int | None = None
    ended: bool = False
    fault: str | None = None
    changed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What became of the work of a call: the status and a JSON value to answer with."""

    status: int
    body: object = dataclasses.field(repr=False)
    changed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Twist:
    """How a fault makes the work itself come out differently."""

    grant: tuple[str, ...] | None = None
    ends_older: bool = False
    leaves_out: tuple[str, ...] = ()
    leaves_out_last: int = 0


STRAIGHT = Twist()
