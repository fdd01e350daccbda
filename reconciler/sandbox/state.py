"""The sandbox's memory, and what the four operations do to it.

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

import dataclasses
import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, assert_never

from reconciler.sandbox import bodies, laws, store
from reconciler.sandbox.calls import CallLog
from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.laws import Operation, RefusedError, Request, Route
from reconciler.sandbox.listing import lags, rows, used
from reconciler.sandbox.minting import (
    jwt_identity,
    new_secret,
    new_token_id,
    opaque_identity,
)
from reconciler.sandbox.records import (
    STRAIGHT,
    Call,
    Caller,
    Grant,
    Subject,
    Token,
    Twist,
    Worked,
)


def _nothing() -> None:
    """Tell nobody of a change."""


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
        self._identities: dict[str, Grant] = {}
        self._signatures: set[str] = set()
        self._log = CallLog()
        if saved is not None:
            self._load(saved)

    # --- the clock and the settings

    def now_ms(self) -> int:
        """Return the exchange's time.

        ``Date``, ``createdAt``, the HMAC window and expiries follow it.
        """
        return self._clock() + self._shift_ms

    def shift_clock(self, shift_ms: int) -> None:
        """Put the exchange's clock ``shift_ms`` ahead of the real one, or behind it.

        The shift replaces an earlier one.
        """
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
        """Return a new identity token, by default as the settings have it.

        With a lifetime of 0 or less it has expired already.
        """
        with self._lock:
            now_ms = self.now_ms()
            lifetime_ms = self._config.identity_lifetime_ms if lifetime_ms is None else lifetime_ms
            expires_s = (now_ms + lifetime_ms) // 1000
            text = (
                opaque_identity(self._entropy)
                if self._config.identity_opaque
                else jwt_identity(self._entropy, issued_s=now_ms // 1000, expires_s=expires_s)
            )
            profile_id = self._config.profile_id if profile_id is None else profile_id
            self._identities[text] = Grant(profile_id=profile_id, expires_at_ms=expires_s * 1000)
            self._on_change()
            return text

    def derive_by_hand(
        self,
        label: str | None,
        scopes: tuple[str, ...] = laws.DEFAULT_SCOPES,
        *,
        token_id: str | None = None,
    ) -> Token:
        """Make a token as a person does on the website; ``token_id`` may be chosen.

        ValueError if that id is taken.
        """
        with self._lock:
            if token_id in self._tokens:
                raise ValueError("that token id is taken")
            return self._new_token(label, scopes, self._config.profile_id, token_id)

    def revoke_by_hand(self, token_id: str) -> None:
        """Revoke a live token as a person does. KeyError if none has this id."""
        with self._lock:
            if not self._tokens[token_id].live:
                raise KeyError(token_id)
            self._revoke(token_id)

    def touch(self, token_id: str, at_ms: int | None = None) -> None:
        """Note that a consumer used the token now, or at ``at_ms``.

        KeyError if the id was never given out.
        """
        with self._lock:
            at_ms = self.now_ms() if at_ms is None else at_ms
            self._tokens[token_id] = used(self._tokens[token_id], at_ms, self._config)
            self._on_change()

    # --- what a test looks at

    def tokens(self) -> tuple[Token, ...]:
        """Return every token ever made, oldest first, revoked ones included."""
        with self._lock:
            return tuple(self._tokens.values())

    def live(self) -> tuple[Token, ...]:
        """Return the tokens whose signature counts, oldest first."""
        return tuple(token for token in self.tokens() if token.live)

    def token(self, token_id: str) -> Token:
        """Return one token. KeyError if the id was never given out."""
        with self._lock:
            return self._tokens[token_id]

    def all_secrets(self) -> frozenset[str]:
        """Return every secret and every identity token ever made, for leak searches."""
        with self._lock:
            return (
                frozenset(token.secret for token in self._tokens.values()) | self._identities.keys()
            )

    def all_signatures(self) -> frozenset[str]:
        """Return every HMAC signature that was accepted, for leak searches."""
        with self._lock:
            return frozenset(self._signatures)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The last 50,000 calls in order of arrival, refused ones too."""
        return self._log.calls

    def count(self, *operations: Operation) -> int:
        """Return how many calls asked for one of these operations."""
        return self._log.count(*operations)

    @property
    def mutating_calls(self) -> int:
        """How many POSTs and DELETEs arrived."""
        return self.count(*laws.MUTATING)

    # --- the API

    def authenticate(self, operation: Operation, request: Request) -> Caller:
        """Return the caller. RefusedError (401) if identity or signature is wrong."""
        with self._lock:
            if operation in laws.BY_IDENTITY:
                return self._by_identity(request)
            return self._by_signature(request)

    def perform(
        self, route: Route, caller: Caller, request: Request, *, twist: Twist = STRAIGHT
    ) -> Worked:
        """Do the work of a call. RefusedError as documented.

        The use of a token by a request does not show in that request's own reply.
        """
        with self._lock:
            try:
                return self._perform(route, caller, request, twist)
            finally:
                if caller.token_id is not None:
                    self.touch(caller.token_id)

    def maintenance(self) -> Worked:
        """Return the public answer about maintenance."""
        return Worked(status=HTTPStatus.OK, body=bodies.maintenance(self._config))

    def subject(self, route: Route, request: Request) -> Subject:
        """Return what a request is about, for matching faults; nothing is checked."""
        match route.operation:
            case Operation.CAPABILITIES | Operation.MAINTENANCE:
                return Subject(operation=route.operation)
            case Operation.DERIVE:
                return Subject(operation=route.operation, label=_label_asked(request.body))
            case Operation.LIST | Operation.REVOKE | Operation.PROFILE:
                token_id = route.token_id or request.header(laws.KEY_HEADER) or ""
                with self._lock:
                    token = self._tokens.get(token_id)
                label = token.label if token else None
                return Subject(operation=route.operation, label=label, token_id=token_id)
            case _:
                assert_never(route.operation)

    def begin_call(self, route: Route, request: Request) -> int:
        """Note an arrival; return the number for ``end_call``."""
        with self._lock:
            credential = self._credential(request)
        return self._log.begin(route, request, at_ms=self.now_ms(), credential=credential)

    def end_call(
        self, number: int, *, status: int | None, fault: str | None, changed: bool
    ) -> None:
        """Note how a call ended; ``status`` None is an end without a reply."""
        self._log.end(number, status=status, fault=fault, changed=changed)

    def dump(self) -> dict[str, Any]:
        """Return tokens and identities as a JSON object, with their secrets."""
        with self._lock:
            return store.dumped(self._tokens, self._identities)

    # --- below: the lock is held

    def _load(self, saved: Mapping[str, Any]) -> None:
        self._tokens, identities = store.loaded(saved)
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
            or lags(token.created_at_ms, self._config.active_after_ms, now_ms)
        ):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid API token")
        laws.check_signature(token.secret, headers, request)
        self._signatures.add(headers.signature)
        return Caller(
            key=f"token:{token.token_id}", profile_id=token.profile_id, token_id=token.token_id
        )

    def _perform(self, route: Route, caller: Caller, request: Request, twist: Twist) -> Worked:
        match route.operation:
            case Operation.CAPABILITIES:
                body = bodies.capabilities(caller.profile_id, self._config)
                return Worked(status=HTTPStatus.OK, body=body)
            case Operation.DERIVE:
                return self._derive(caller, request, twist)
            case Operation.LIST:
                laws.check_management(self._config)
                own = (t for t in self._tokens.values() if t.profile_id == caller.profile_id)
                listed = rows(own, self._config, self.now_ms(), twist)
                return Worked(status=HTTPStatus.OK, body=listed)
            case Operation.REVOKE:
                return self._revoke_asked(route.token_id, caller)
            case Operation.PROFILE:
                body = bodies.profile(caller.profile_id, self._config)
                return Worked(status=HTTPStatus.OK, body=body)
            case Operation.MAINTENANCE:
                return self.maintenance()
            case _:
                assert_never(route.operation)

    def _derive(self, caller: Caller, request: Request, twist: Twist) -> Worked:
        laws.check_management(self._config)
        label, asked = laws.read_derive(request, self._config)
        extra = (self._config.extra_scope,) if self._config.extra_scope else ()
        scopes = twist.grant or tuple(dict.fromkeys((*asked, *extra)))
        older = self._live_of(caller.profile_id)
        token = self._new_token(label, scopes, caller.profile_id, None)
        if twist.ends_older:
            for one in older:
                if one.label == token.label:
                    self._revoke(one.token_id)
        body = bodies.derived(token, self._config)
        return Worked(status=HTTPStatus.CREATED, body=body, changed=True)

    def _live_of(self, profile_id: int) -> list[Token]:
        return [token for token in self.live() if token.profile_id == profile_id]

    def _revoke_asked(self, token_id: str, caller: Caller) -> Worked:
        laws.check_management(self._config)
        token = self._tokens.get(token_id)
        if token is None or not token.live or token.profile_id != caller.profile_id:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Token not found or already revoked")
        self._revoke(token_id)
        return Worked(
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
        if self._config.tokens_max is not None:
            older = self._live_of(profile_id)
            for one in older[: max(0, len(older) + 1 - self._config.tokens_max)]:
                self._revoke(one.token_id)
        token = Token(
            token_id=new_token_id(self._entropy, self._config.id_style)
            if token_id is None
            else token_id,
            secret=new_secret(self._entropy),
            label=self._config.label_kept(label),
            scopes=scopes,
            profile_id=profile_id,
            created_at_ms=self.now_ms(),
        )
        self._tokens[token.token_id] = token
        self._on_change()
        return token

    def _credential(self, request: Request) -> str:
        token_id = request.header(laws.KEY_HEADER)
        if token_id is not None and token_id in self._tokens:
            return token_id
        return "identity" if request.header(laws.IDENTITY_HEADER) is not None else "unknown"


def _label_asked(body: bytes) -> str | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    label = data.get("label") if isinstance(data, dict) else None
    return label if isinstance(label, str) else None
