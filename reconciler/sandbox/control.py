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
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from reconciler.sandbox import answers
from reconciler.sandbox.answers import Answer
from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.faults import Fault, FaultBook
from reconciler.sandbox.laws import Operation, Request
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
        self._table: dict[tuple[str, str], Callable[[Any], object]] = {
            ("GET", "faults"): self._pending,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "calls"): self._calls,
            ("GET", "tokens"): self._tokens,
            ("POST", "derive"): self._derive,
            ("POST", "revoke"): lambda data: self._tokens(called(state.revoke_by_hand, data)),
            ("POST", "use"): lambda data: self._tokens(called(state.touch, data)),
            ("POST", "identity"): lambda data: {
                "identity_token": called(state.issue_identity, data)
            },
            ("POST", "clock"): lambda data: self._clock(called(state.shift_clock, data)),
            ("GET", "config"): self._settings,
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
        name = request.target.removeprefix(PREFIX)
        act = self._table.get((request.method, name))
        if act is None:
            return answers.error_answer(HTTPStatus.NOT_FOUND, "the sandbox has no such control")
        try:
            value = act(json.loads(request.body) if request.body else {})
        except json.JSONDecodeError:
            return answers.error_answer(HTTPStatus.BAD_REQUEST, "the body is not JSON")
        except KeyError:
            return answers.error_answer(
                HTTPStatus.BAD_REQUEST, "there is no such token, or it is revoked"
            )
        except (ValueError, RecursionError) as error:
            return answers.error_answer(HTTPStatus.BAD_REQUEST, str(error))
        made = name in {"derive", "identity"}
        return answers.json_answer(HTTPStatus.CREATED if made else HTTPStatus.OK, value)

    def _add_faults(self, data: Any) -> object:
        items = data if isinstance(data, list) else [data]
        self._faults.add(*(called(Fault, item) for item in items))
        return self._pending(None)

    def _clear_faults(self, _: object) -> object:
        self._faults.clear()
        return self._pending(None)

    def _configure(self, data: Any) -> object:
        self._state.configure(**read_fields(SandboxConfig, data))
        return self._settings(None)

    def _pending(self, _: object) -> object:
        return [dataclasses.asdict(fault) for fault in self._faults.pending]

    def _calls(self, _: object) -> object:
        return {
            "calls": [dataclasses.asdict(call) for call in self._state.calls],
            "counts": {operation: self._state.count(operation) for operation in Operation},
            "mutating": self._state.mutating_calls,
        }

    def _tokens(self, _: object) -> object:
        tokens = [dataclasses.asdict(token) for token in self._state.tokens()]
        return [{key: value for key, value in token.items() if key != "secret"} for token in tokens]

    def _derive(self, data: Any) -> object:
        token = called(self._state.derive_by_hand, data)
        return {"token_id": token.token_id, "secret": token.secret}

    def _clock(self, _: object) -> object:
        return {"now_ms": self._state.now_ms()}

    def _settings(self, _: object) -> object:
        return dataclasses.asdict(self._state.config)


T = typing.TypeVar("T")


def called(act: Callable[..., T], data: Any) -> T:
    """Return what ``act`` returns for the arguments that a JSON object names.

    ValueError with a sentence that names the argument, not its content.
    """
    fields = read_fields(act, data)
    try:
        inspect.signature(act).bind(**fields)
    except TypeError:
        raise _InputError("a field is missing") from None
    return act(**fields)


def read_fields(act: Callable[..., Any], data: Any) -> dict[str, Any]:
    """Return the arguments of ``act`` that a JSON object names, each of its type.

    ValueError otherwise.
    """
    if not isinstance(data, Mapping):
        raise _InputError("the body must be an object")
    hints = {k: v for k, v in typing.get_type_hints(act).items() if k != "return"}
    if data.keys() - hints.keys():
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
