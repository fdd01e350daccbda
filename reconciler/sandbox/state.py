"""The sandbox's memory: tokens, identities and the log of calls, and what the four operations do to them.

Rules this module keeps:

1. Time and randomness are given at the start (``clock``, ``entropy``); no HTTP and no
   files in here.
2. Every public method is atomic: threads of the server and a test that looks on share
   one lock.
3. Nothing is forgotten: a revoked token stays known, with its secret, so that a test
   can search for leaks.
4. No secret, identity token or signature stands in a repr or in the log of calls.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, assert_never

from reconciler.sandbox import laws
from reconciler.sandbox.laws import IdStyle, Operation, RefusedError, Request, Route, SandboxConfig

SECRET_BYTES = 32
CALLS_MAX = 50_000
_PATH_CHARACTERS_MAX = 512
_FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token, live or revoked. ``secret`` is base64 text of 32 bytes."""

    token_id: str
    secret: str = dataclasses.field(repr=False)
    label: str | None
    scopes: tuple[str, ...]
    profile_id: int
    created_at_ms: int
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None

    @property
    def live(self) -> bool:
        """Whether its signature counts."""
        return self.revoked_at_ms is None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an identity token stands for."""

    profile_id: int
    expires_at_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a request comes from; ``key`` names the bucket of its limit, ``token_id`` is None for an identity."""

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
    """One call as seen from here.

    ``credential`` is a known token id, ``identity`` or ``unknown``.

    ``status`` is None while the call is under way and where no reply was sent;
    ``ended`` tells the two apart. ``fault`` is the kind of the fault that was done to
    it. ``changed``: a token was derived or revoked by it.
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
class Reply:
    """A successful answer: the status and a JSON value."""

    status: int
    body: object = dataclasses.field(repr=False)
    changed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Twist:
    """Where a fault makes the work itself come out differently."""

    grant: tuple[str, ...] | None = None
    ends_older: bool = False


STRAIGHT = Twist()


def _nothing() -> None:
    """Nobody wants to know of changes."""


class SandboxState:
    """The exchange of one test or one demo; see the module's rules.

    ``clock`` gives milliseconds since the epoch, ``entropy(n)`` n random bytes.
    ``on_change`` is called, under the lock, after each change of tokens and identities.
    ``saved`` is what ``dump`` returned earlier.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        config: SandboxConfig,
        saved: Mapping[str, Any] | None = None,
        on_change: Callable[[], None] = _nothing,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._config = config
        self._on_change = on_change
        self._lock = threading.RLock()
        self._shift_ms = 0
        self._tokens: dict[str, Token] = {}
        self._identities: dict[str, Identity] = {}
        self._signatures: set[str] = set()
        self._calls: dict[int, Call] = {}
        self._counts = dict.fromkeys(Operation, 0)
        if saved is not None:
            self._load(saved)

    # --- the clock and the settings

    def now_ms(self) -> int:
        """The exchange's clock:

        Date, createdAt, the HMAC window and expiries follow it.
        """
        return self._clock() + self._shift_ms

    def shift_clock(self, shift_ms: int) -> None:
        """Put the exchange's clock ``shift_ms`` ahead of the real one (behind, if negative); not added to an earlier shift."""
        self._shift_ms = shift_ms

    @property
    def config(self) -> SandboxConfig:
        """How the exchange behaves now."""
        return self._config

    def configure(self, **changes: Any) -> None:
        """Change some of the settings.

        TypeError for an unknown one, ValueError for one that can't be.
        """
        with self._lock:
            self._config = dataclasses.replace(self._config, **changes)

    # --- a person's acts, outside of the API

    def issue_identity(
        self, *, lifetime_ms: int | None = None, profile_id: int | None = None
    ) -> str:
        """A new identity token, by default for the configured profile and lifetime; 0 or less: it has expired already."""
        with self._lock:
            now_ms = self.now_ms()
            lifetime_ms = self._config.identity_lifetime_ms if lifetime_ms is None else lifetime_ms
            expires_s = (now_ms + lifetime_ms) // 1000
            text = (
                self._opaque()
                if self._config.identity_opaque
                else self._jwt(now_ms // 1000, expires_s)
            )
            profile_id = self._config.profile_id if profile_id is None else profile_id
            self._identities[text] = Identity(profile_id=profile_id, expires_at_ms=expires_s * 1000)
            self._on_change()
            return text

    def derive_by_hand(
        self,
        label: str | None,
        scopes: Iterable[str] = laws.DEFAULT_SCOPES,
        *,
        token_id: str | None = None,
    ) -> Token:
        """A token that a person made on the website; ``token_id`` may be chosen.

        ValueError if that id is taken.
        """
        with self._lock:
            if token_id in self._tokens:
                raise ValueError("that token id is taken")
            return self._new_token(label, tuple(scopes), self._config.profile_id, token_id)

    def revoke_by_hand(self, token_id: str) -> None:
        """A person revokes a live token. KeyError if there is none of this id."""
        with self._lock:
            if not self._tokens[token_id].live:
                raise KeyError(token_id)
            self._revoke(token_id)

    def touch(self, token_id: str, at_ms: int | None = None) -> None:
        """A consumer uses the token now, or at ``at_ms``.

        KeyError if the id was never given out.
        """
        with self._lock:
            at_ms = self.now_ms() if at_ms is None else at_ms
            self._tokens[token_id] = dataclasses.replace(
                self._tokens[token_id], last_used_at_ms=at_ms
            )
            self._on_change()

    # --- what a test looks at

    def tokens(self) -> tuple[Token, ...]:
        """Every token ever made, oldest first, revoked ones included."""
        with self._lock:
            return tuple(self._tokens.values())

    def live(self) -> tuple[Token, ...]:
        """The tokens whose signature counts, oldest first."""
        return tuple(token for token in self.tokens() if token.live)

    def token(self, token_id: str) -> Token:
        """One token. KeyError if the id was never given out."""
        with self._lock:
            return self._tokens[token_id]

    def all_secrets(self) -> frozenset[str]:
        """For leak searches: every token's secret and every identity token, of the dead as well."""
        with self._lock:
            return (
                frozenset(token.secret for token in self._tokens.values()) | self._identities.keys()
            )

    def all_signatures(self) -> frozenset[str]:
        """For leak searches: every HMAC signature that was accepted."""
        with self._lock:
            return frozenset(self._signatures)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The last calls (at most 50,000) in order of arrival, refused and unanswered ones included."""
        with self._lock:
            return tuple(self._calls.values())

    def count(self, *operations: Operation) -> int:
        """How many calls asked for one of these operations, whatever became of them."""
        with self._lock:
            return sum(self._counts[operation] for operation in operations)

    @property
    def mutating_calls(self) -> int:
        """How many POSTs and DELETEs arrived, whatever became of them."""
        return self.count(*laws.MUTATING)

    # --- the API

    def authenticate(self, operation: Operation, request: Request) -> Caller:
        """Who asks. RefusedError (401) where identity or signature does not hold."""
        with self._lock:
            if operation in laws.BY_IDENTITY:
                return self._by_identity(request)
            return self._by_signature(request)

    def perform(
        self, route: Route, caller: Caller, request: Request, *, twist: Twist = STRAIGHT
    ) -> Reply:
        """Do the work. RefusedError as documented.

        A request's own use is not in its own reply.
        """
        with self._lock:
            try:
                return self._perform(route, caller, request, twist)
            finally:
                if caller.token_id is not None:
                    self.touch(caller.token_id)

    def subject(self, route: Route, request: Request) -> Subject:
        """What this request is about, for matching faults; nothing is believed here, only read."""
        match route.operation:
            case Operation.CAPABILITIES:
                return Subject(operation=route.operation)
            case Operation.DERIVE:
                return Subject(operation=route.operation, label=_label_asked(request.body))
            case Operation.LIST | Operation.REVOKE:
                token_id = route.token_id or request.header(laws.KEY_HEADER) or ""
                with self._lock:
                    token = self._tokens.get(token_id)
                return Subject(
                    operation=route.operation,
                    label=token.label if token else None,
                    token_id=token_id,
                )
            case _:
                assert_never(route.operation)

    def begin_call(self, route: Route, request: Request) -> int:
        """Note an arrival; the number is for ``end_call``."""
        with self._lock:
            number = sum(self._counts.values()) + 1
            self._counts[route.operation] += 1
            self._calls[number] = Call(
                number=number,
                at_ms=self.now_ms(),
                method=request.method,
                path=request.target.partition("?")[0][:_PATH_CHARACTERS_MAX],
                operation=route.operation,
                credential=self._credential(request),
            )
            if len(self._calls) > CALLS_MAX:
                del self._calls[next(iter(self._calls))]
            return number

    def end_call(
        self, number: int, *, status: int | None, fault: str | None, changed: bool
    ) -> None:
        """Note how a call ended; ``status`` None: without a reply."""
        with self._lock:
            call = self._calls.get(number)
            if call is not None:
                self._calls[number] = dataclasses.replace(
                    call, status=status, ended=True, fault=fault, changed=changed
                )

    def dump(self) -> dict[str, Any]:
        """Tokens and identities as a JSON object, with their secrets."""
        with self._lock:
            return {
                "format": _FORMAT,
                "tokens": [dataclasses.asdict(token) for token in self._tokens.values()],
                "identities": {
                    text: dataclasses.asdict(identity)
                    for text, identity in self._identities.items()
                },
            }

    # --- below: the lock is held

    def _load(self, saved: Mapping[str, Any]) -> None:
        if saved["format"] != _FORMAT:
            raise ValueError("the sandbox's state file is of another version: remove it")
        for fields in saved["tokens"]:
            token = Token(**{**fields, "scopes": tuple(fields["scopes"])})
            self._tokens[token.token_id] = token
        identities = {text: Identity(**fields) for text, fields in saved["identities"].items()}
        self._identities = {
            text: one for text, one in identities.items() if one.expires_at_ms > self.now_ms()
        }

    def _by_identity(self, request: Request) -> Caller:
        identity = self._identities.get(laws.bearer(request))
        if identity is None or self.now_ms() >= identity.expires_at_ms:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid or expired identity token")
        return Caller(key=f"identity:{identity.profile_id}", profile_id=identity.profile_id)

    def _by_signature(self, request: Request) -> Caller:
        now_ms = self.now_ms()
        headers = laws.signed(request, now_ms)
        token = self._tokens.get(headers.token_id)
        if (
            token is None
            or not token.live
            or _lags(token.created_at_ms, self._config.active_after_ms, now_ms)
        ):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid API token")
        laws.check_signature(token.secret, headers, request)
        self._signatures.add(headers.signature)
        return Caller(
            key=f"token:{token.token_id}", profile_id=token.profile_id, token_id=token.token_id
        )

    def _perform(self, route: Route, caller: Caller, request: Request, twist: Twist) -> Reply:
        match route.operation:
            case Operation.CAPABILITIES:
                return Reply(status=HTTPStatus.OK, body=self._capabilities(caller))
            case Operation.DERIVE:
                return self._derive(caller, request, twist)
            case Operation.LIST:
                laws.check_management(self._config)
                return Reply(status=HTTPStatus.OK, body=self._listed(caller.profile_id))
            case Operation.REVOKE:
                return self._revoke_asked(route.token_id, caller)
            case _:
                assert_never(route.operation)

    def _capabilities(self, caller: Caller) -> dict[str, object]:
        return {
            "partnerProfileId": caller.profile_id,
            "tokenManagementEnabled": self._config.management_enabled,
            "allowedScopes": list(self._config.allowed_scopes),
        }

    def _derive(self, caller: Caller, request: Request, twist: Twist) -> Reply:
        laws.check_management(self._config)
        label, scopes = laws.read_derive(request, self._config)
        older = [
            token.token_id
            for token in self.live()
            if token.label == label and token.profile_id == caller.profile_id
        ]
        token = self._new_token(label, twist.grant or scopes, caller.profile_id, None)
        if twist.ends_older:
            for token_id in older:
                self._revoke(token_id)
        body = {
            "apiKey": token.token_id,
            "tokenId": token.token_id,
            "secret": token.secret,
            "createdAt": laws.iso(token.created_at_ms),
            "scopes": list(token.scopes),
            "profile": {"id": token.profile_id, "account": self._config.account},
        }
        return Reply(status=HTTPStatus.CREATED, body=body, changed=True)

    def _listed(self, profile_id: int) -> list[dict[str, object]]:
        """The rows of the list; its order is documented nowhere, so it follows a hash and not the age."""
        now_ms = self.now_ms()
        rows = [
            token
            for token in self._tokens.values()
            if token.profile_id == profile_id and self._is_listed(token, now_ms)
        ]
        rows.sort(key=lambda token: hashlib.sha256(token.token_id.encode()).digest())
        return [
            {
                "tokenId": token.token_id,
                "label": token.label,
                "scopes": list(token.scopes),
                "createdAt": laws.iso(token.created_at_ms),
                "lastUsedAt": self._last_used(token),
            }
            for token in rows
        ]

    def _is_listed(self, token: Token, now_ms: int) -> bool:
        if _lags(token.created_at_ms, self._config.listed_after_ms, now_ms):
            return False
        return token.revoked_at_ms is None or _lags(
            token.revoked_at_ms, self._config.unlisted_after_ms, now_ms
        )

    def _last_used(self, token: Token) -> str | None:
        grain_ms = self._config.last_used_grain_ms
        if token.last_used_at_ms is None or grain_ms is None:
            return None
        return laws.iso(token.last_used_at_ms // grain_ms * grain_ms)

    def _revoke_asked(self, token_id: str, caller: Caller) -> Reply:
        laws.check_management(self._config)
        token = self._tokens.get(token_id)
        if token is None or not token.live or token.profile_id != caller.profile_id:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Token not found or already revoked")
        self._revoke(token_id)
        return Reply(
            status=HTTPStatus.OK, body={"message": "Token revoked successfully"}, changed=True
        )

    def _revoke(self, token_id: str) -> None:
        self._tokens[token_id] = dataclasses.replace(
            self._tokens[token_id], revoked_at_ms=self.now_ms()
        )
        self._on_change()

    def _new_token(
        self, label: str | None, scopes: tuple[str, ...], profile_id: int, token_id: str | None
    ) -> Token:
        token = Token(
            token_id=self._new_id() if token_id is None else token_id,
            secret=base64.b64encode(self._entropy(SECRET_BYTES)).decode("ascii"),
            label=label,
            scopes=scopes,
            profile_id=profile_id,
            created_at_ms=self.now_ms(),
        )
        self._tokens[token.token_id] = token
        self._on_change()
        return token

    def _new_id(self) -> str:
        raw = self._entropy(16)
        text = base64.b64encode(raw).decode("ascii")
        unpadded = text.rstrip("=")
        match self._config.id_style:
            case IdStyle.UNSAFE:
                return f"{text[:8]}/{text[8:14]}+{text[14:]}"
            case IdStyle.MIXED if raw[0] % 4 == 0:
                return f"{unpadded[:8]}/{unpadded[8:14]}+{unpadded[14:]}"
            case IdStyle.MIXED | IdStyle.PLAIN:
                return str(uuid.UUID(bytes=raw, version=4))
            case _:
                assert_never(self._config.id_style)

    def _opaque(self) -> str:
        return "idt_" + self._entropy(24).hex()

    def _jwt(self, issued_s: int, expires_s: int) -> str:
        """The shape of the identity provider's token; the signature is noise, the expiry is real."""
        claims = {
            "sub": "did:privy:sandbox",
            "iss": "privy.io",
            "aud": "sandbox",
            "iat": issued_s,
            "exp": expires_s,
        }
        parts = (_compact({"alg": "ES256", "typ": "JWT"}), _compact(claims), self._entropy(64))
        return ".".join(
            base64.urlsafe_b64encode(part).decode("ascii").rstrip("=") for part in parts
        )

    def _credential(self, request: Request) -> str:
        token_id = request.header(laws.KEY_HEADER)
        if token_id is not None and token_id in self._tokens:
            return token_id
        return "identity" if request.header(laws.IDENTITY_HEADER) is not None else "unknown"


def _lags(since_ms: int, lag_ms: int, now_ms: int) -> bool:
    """Whether an event has not taken effect yet; without a lag it has, even where the clock was put back since."""
    return lag_ms > 0 and now_ms < since_ms + lag_ms


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _label_asked(body: bytes) -> str | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    label = data.get("label") if isinstance(data, dict) else None
    return label if isinstance(label, str) else None
