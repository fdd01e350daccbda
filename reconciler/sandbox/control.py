"""The control plane, ``/_sandbox/…``: other processes set faults and act as a person.

Every request carries ``Authorization: Bearer <control>``, the token of the command's
first line. Bodies are JSON.

    request                     body                          answer
    --------------------------  ----------------------------  ----------------------
    GET, DELETE faults                                        the faults that wait
    POST faults                 a ``faults.Fault``, or many   the faults that wait
    GET calls                                                 calls, counts, mutating
    GET tokens                                                all, without secrets
    POST derive                 label, scopes?, token_id?     201 token_id, secret
    POST revoke                 token_id                      the tokens
    POST use                    token_id, at_ms?              the tokens
    POST identity               lifetime_ms?, profile_id?     201 identity_token
    POST clock                  shift_ms                      now_ms
    GET config                                                the settings
    POST config                 some of ``SandboxConfig``     the settings
"""

from __future__ import annotations

import dataclasses
import enum
import hmac
import json
import types
import typing
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from reconciler.sandbox import answers
from reconciler.sandbox.answers import Answer
from reconciler.sandbox.faults import Fault, FaultBook
from reconciler.sandbox.laws import Operation, Request, SandboxConfig
from reconciler.sandbox.state import SandboxState

PREFIX = "/_sandbox/"


class _InputError(ValueError):
    """The body of a control request is of no use; the sentence names no value."""


class Control:
    """Answers the control plane's requests."""

    def __init__(self, *, token: str, state: SandboxState, faults: FaultBook) -> None:
        self._token = token
        self._state = state
        self._faults = faults
        self._table: dict[tuple[str, str], Callable[[Any], Answer]] = {
            ("GET", "faults"): lambda _: self._pending(),
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "calls"): self._calls,
            ("GET", "tokens"): lambda _: self._tokens(),
            ("POST", "derive"): self._derive,
            ("POST", "revoke"): self._revoke,
            ("POST", "use"): self._use,
            ("POST", "identity"): self._identity,
            ("POST", "clock"): self._clock,
            ("GET", "config"): lambda _: self._settings(),
            ("POST", "config"): self._configure,
        }

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request.

        401 without the control token, 404 for an unknown path, 400 with a sentence for
        a body that can't be used.
        """
        sent = request.header("authorization") or ""
        if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
            return answers.error_answer(
                HTTPStatus.UNAUTHORIZED, "the control token is missing or wrong"
            )
        act = self._table.get((request.method, request.target.removeprefix(PREFIX)))
        if act is None:
            return answers.error_answer(HTTPStatus.NOT_FOUND, "the sandbox has no such control")
        try:
            return act(json.loads(request.body) if request.body else {})
        except json.JSONDecodeError:
            return answers.error_answer(HTTPStatus.BAD_REQUEST, "the body is not JSON")
        except KeyError:
            return answers.error_answer(
                HTTPStatus.BAD_REQUEST, "there is no such token, or it is revoked"
            )
        except (ValueError, RecursionError) as error:
            return answers.error_answer(HTTPStatus.BAD_REQUEST, str(error))

    def _pending(self) -> Answer:
        return answers.json_answer(
            HTTPStatus.OK, [dataclasses.asdict(fault) for fault in self._faults.pending]
        )

    def _add_faults(self, data: Any) -> Answer:
        self._faults.add(
            *(read(Fault, item) for item in (data if isinstance(data, list) else [data]))
        )
        return self._pending()

    def _clear_faults(self, _data: Any) -> Answer:
        self._faults.clear()
        return self._pending()

    def _calls(self, _data: Any) -> Answer:
        value = {
            "calls": [dataclasses.asdict(call) for call in self._state.calls],
            "counts": {operation.value: self._state.count(operation) for operation in Operation},
            "mutating": self._state.mutating_calls,
        }
        return answers.json_answer(HTTPStatus.OK, value)

    def _tokens(self) -> Answer:
        tokens = [dataclasses.asdict(token) for token in self._state.tokens()]
        for token in tokens:
            del token["secret"]
        return answers.json_answer(HTTPStatus.OK, tokens)

    def _derive(self, data: Any) -> Answer:
        wish = read(_Derive, data)
        token = self._state.derive_by_hand(wish.label, wish.scopes, token_id=wish.token_id)
        return answers.json_answer(
            HTTPStatus.CREATED, {"token_id": token.token_id, "secret": token.secret}
        )

    def _revoke(self, data: Any) -> Answer:
        self._state.revoke_by_hand(read(_Revoke, data).token_id)
        return self._tokens()

    def _use(self, data: Any) -> Answer:
        wish = read(_Use, data)
        self._state.touch(wish.token_id, wish.at_ms)
        return self._tokens()

    def _identity(self, data: Any) -> Answer:
        wish = read(_Identity, data)
        text = self._state.issue_identity(lifetime_ms=wish.lifetime_ms, profile_id=wish.profile_id)
        return answers.json_answer(HTTPStatus.CREATED, {"identity_token": text})

    def _clock(self, data: Any) -> Answer:
        self._state.shift_clock(read(_Clock, data).shift_ms)
        return answers.json_answer(HTTPStatus.OK, {"now_ms": self._state.now_ms()})

    def _settings(self) -> Answer:
        return answers.json_answer(HTTPStatus.OK, dataclasses.asdict(self._state.config))

    def _configure(self, data: Any) -> Answer:
        self._state.configure(**read_fields(SandboxConfig, data))
        return self._settings()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Derive:
    label: str | None
    scopes: tuple[str, ...] = ("trading",)
    token_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Revoke:
    token_id: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    token_id: str
    at_ms: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    lifetime_ms: int | None = None
    profile_id: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Clock:
    shift_ms: int


T = typing.TypeVar("T")


def read(cls: type[T], data: Any) -> T:
    """Return a value of the dataclass ``cls`` from JSON.

    ValueError with a sentence that names the field, not its content.
    """
    fields = read_fields(cls, data)
    try:
        return cls(**fields)
    except TypeError:
        raise _InputError(f"a field of {cls.__name__.strip('_')} is missing") from None


def read_fields(cls: type[Any], data: Any) -> dict[str, Any]:
    """Return the fields of ``cls`` that a JSON object names, each of its type.

    ValueError otherwise.
    """
    if not isinstance(data, Mapping):
        raise _InputError("the body must be an object")
    hints = typing.get_type_hints(cls)
    unknown = sorted(data.keys() - hints.keys())
    if unknown:
        raise _InputError(f"known fields are {', '.join(sorted(hints))}")
    return {name: _read_value(name, hints[name], value) for name, value in data.items()}


def _read_value(name: str, hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if hint == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise _InputError(f"{name} must be a list of strings")
    if issubclass(hint, enum.Enum):
        choices = [choice.value for choice in hint]
        if value in choices:
            return hint(value)
        raise _InputError(f"{name} must be one of {', '.join(choices)}")
    if type(value) is not hint:
        raise _InputError(f"{name} must be of type {hint.__name__}")
    return value
