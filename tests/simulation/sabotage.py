"""Broken variants of the protocol, each with a fault that a careless change would bring. The search must find every one.

Each replaces a function of ``reconciler.protocol``, or changes what leaves a run on its way to the world.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest import mock

from reconciler.effects import (
    DeleteVersion,
    Derive,
    Effect,
    PutLedger,
    PutSecret,
    ReadSecret,
    Refused,
    Revoke,
    Step,
    Unclear,
    ask,
)
from reconciler.ledger import Current, Farewell, Intent, Transition, set_version
from reconciler.model import Derived, SecretVersion
from reconciler.protocol import commit, derive, revoke, rewrite
from reconciler.protocol.commit import NotCommitted, Verdict
from reconciler.protocol.outcome import Outcome, failed
from tests.simulation import world as world_module
from tests.simulation.scenarios import Budget
from tests.simulation.world import World

QUIET = Budget()
FAULT = Budget(faults=1)
OVERTAKEN = Budget(ticks=1, two=True, coarse=True)

Patch = Callable[[], contextlib.AbstractContextManager[object]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A broken variant, and the least world in which it shows: its name in ``scenarios``, and what may go wrong there."""

    name: str
    patch: Patch
    world: str
    budget: Budget = QUIET


def _replaced(module: ModuleType, name: str, replacement: object) -> Patch:
    return lambda: mock.patch.object(module, name, replacement)


# --- the commit point ---


def _fence_in_name_only(path: str, latest: SecretVersion, leaving: frozenset[str]) -> Step[Verdict]:
    yield from ()
    return NotCommitted(version=latest.version)


def _believe_the_reply(path: str, cas: int, operation_id: str, *, leaving: frozenset[str]) -> Step[Verdict]:
    yield from ()
    return NotCommitted(version=cas)


def _commit_on_what_is_there(world: World, effect: Effect[Any]) -> Effect[Any]:
    if isinstance(effect, PutSecret):
        return dataclasses.replace(effect, cas=world.vault.history(effect.path).latest)
    return effect


# --- the ledger ---


def _ledger_unchecked(world: World, effect: Effect[Any]) -> Effect[Any]:
    if isinstance(effect, PutLedger):
        return dataclasses.replace(effect, cas=world.vault.ledger_version)
    return effect


def _unnamed(label: str, operation_id: str, token_id: str) -> Transition:
    return lambda ledger: ledger


def _no_intent(label: str, intent: Intent, *, protect: bool | None) -> Transition:
    return lambda ledger: ledger


def _only_the_version(label: str, operation_id: str, current: Current, farewell: Farewell) -> Transition:
    return set_version(label, current.version)


@contextlib.contextmanager
def _rewrite_without_intent() -> Iterator[None]:
    with (
        mock.patch.object(rewrite, "open_intent", _no_intent),
        mock.patch.object(rewrite, "record_current", _only_the_version),
    ):
        yield


# --- order ---


_start, _verify = revoke._start, derive._verify


def _revoke_before_the_ledger(label: str, token_id: str, reason: str) -> Step[Outcome]:
    gone = yield from ask(Revoke(token_id=token_id))
    if isinstance(gone, (Refused, Unclear)):
        return failed(gone.sentence)
    return (yield from _start(label, token_id, reason))


def _end_the_predecessor_early(task: derive.Task, derived: Derived) -> Step[Any]:
    checked = yield from _verify(task, derived)
    if task.predecessor is not None:
        yield from ask(Revoke(token_id=task.predecessor.token_id))
    return checked


def _leave_the_secret(path: str, token_id: str) -> Step[Outcome | None]:
    yield from ()
    return None


def _delete_whatever_is_latest(path: str, token_id: str) -> Step[Outcome | None]:
    content = yield from ask(ReadSecret(path=path))
    if isinstance(content, SecretVersion):
        yield from ask(DeleteVersion(path=path, version=content.version))
    return None


# --- repetition ---


def _ask_twice(effect: Effect[Any]) -> Step[Any]:
    reply = yield effect
    if isinstance(effect, Derive) and isinstance(reply, Unclear):
        reply = yield effect
    return reply


SABOTAGES: tuple[Sabotage, ...] = (
    Sabotage(name="no fence", patch=_replaced(commit, "_fence", _fence_in_name_only), world="rotate", budget=FAULT),
    Sabotage(
        name="an unclear commit answered by DELETE",
        patch=_replaced(derive, "settle", _believe_the_reply),
        world="rotate",
        budget=FAULT,
    ),
    Sabotage(
        name="a commit with the check-and-set number of its own moment",
        patch=_replaced(world_module, "as_sent", _commit_on_what_is_there),
        world="rotate",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a ledger written without check-and-set",
        patch=_replaced(world_module, "as_sent", _ledger_unchecked),
        world="rotate",
        budget=OVERTAKEN,
    ),
    Sabotage(name="a token used before it is named", patch=_replaced(derive, "name_intent", _unnamed), world="derive"),
    Sabotage(
        name="a restore without an intent",
        patch=_rewrite_without_intent,
        world="restore, remove",
        budget=OVERTAKEN,
    ),
    Sabotage(
        name="a DELETE before the ledger says revoking",
        patch=_replaced(revoke, "_start", _revoke_before_the_ledger),
        world="remove",
    ),
    Sabotage(
        name="the predecessor revoked before the commit",
        patch=_replaced(derive, "_verify", _end_the_predecessor_early),
        world="rotate",
    ),
    Sabotage(
        name="a token revoked that the secret holds", patch=_replaced(revoke, "_empty", _leave_the_secret), world="remove"
    ),
    Sabotage(
        name="the latest version deleted, whatever it holds",
        patch=_replaced(revoke, "_empty", _delete_whatever_is_latest),
        world="retire",
    ),
    Sabotage(name="a derive sent again", patch=_replaced(derive, "ask", _ask_twice), world="derive", budget=FAULT),
)
