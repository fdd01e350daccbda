"""Each single request of each kind of change goes wrong once, at Vault and at the
exchange: one more run makes it whole.

The kill test ends the program after every effect; here the program lives on and has to
make sense of what it is told.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from reconciler.sandbox import Fault, FaultKind
from tests.e2e.conftest import NewFleet
from tests.support.fleet import Fleet
from tests.support.vault_proxy import Mishap, VaultProxy

BOT = {"label": "bot", "path": "prod/bot"}
MOST = 25


def derived(fleet: Fleet) -> None:
    """A token is to be derived."""
    fleet.begin()
    fleet.write(BOT)


def moved(fleet: Fleet) -> None:
    """A token is to be rotated into another path, and one to be restored."""
    fleet.begin(BOT, {"label": "other"})
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/other", {"by": "hand"}, cas=1)
    fleet.write({**BOT, "path": "elsewhere"}, {"label": "other"})


def removed(fleet: Fleet) -> None:
    """A token is to be revoked."""
    fleet.begin(BOT)
    fleet.write()


def superseded(fleet: Fleet) -> None:
    """The manager is to be rotated and its predecessor to be revoked."""
    fleet.begin(BOT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """How to come to the point where ``command`` makes the change."""

    prepare: Callable[[Fleet], None]
    command: tuple[str, ...] = ("apply", "--yes")


DERIVED, MOVED, REMOVED = Change(prepare=derived), Change(prepare=moved), Change(prepare=removed)
SUPERSEDED = Change(
    prepare=superseded, command=("rotate", "--target", "reconciler", "--compromised", "--yes")
)
LOST_REPLY = Fault(kind=FaultKind.LOST_REPLY)
ERRORS = Fault(kind=FaultKind.ERROR_BEFORE, status=500, count=None)


def name(value: object) -> str:
    """For the test's name."""
    if isinstance(value, Change):
        return value.prepare.__name__
    return str(
        value.value if isinstance(value, Mishap) else "errors" if value == ERRORS else "lost reply"
    )


@pytest.mark.parametrize(
    ("change", "mishap"),
    [
        (DERIVED, Mishap.LOST_REPLY),
        (DERIVED, Mishap.REFUSED),
        (MOVED, Mishap.ERROR_AFTER),
        (REMOVED, Mishap.LOST_REPLY),
        (REMOVED, Mishap.ERROR_BEFORE),
        (SUPERSEDED, Mishap.LOST_REQUEST),
    ],
    ids=name,
)
def test_vault_fails_once(new_fleet: NewFleet, change: Change, mishap: Mishap) -> None:
    """Whichever write of Vault goes wrong, in whichever way: a right exit code, and the
    next run makes it whole.
    """
    for at in range(1, MOST):
        with new_fleet() as fleet:
            change.prepare(fleet)
            proxy = VaultProxy(fleet.environ["VAULT_ADDR"], mishap, at)
            with proxy.serving() as address, honest(fleet):
                done = fleet.attempt(*change.command, environ={"VAULT_ADDR": address})
            if mishap in {Mishap.LOST_REPLY, Mishap.ERROR_AFTER}:
                assert done.code == 0, (
                    at,
                    done,
                )  # it was done, and looking shows it: nothing is done twice
            if done.code:
                settle(fleet, at)
            if proxy.changes < at:
                assert done.code == 0
                assert at > 4, "there is hardly anything written"
                return
    pytest.fail("it never came to its end")


@contextlib.contextmanager
def honest(fleet: Fleet) -> Iterator[None]:
    """The exit code of the command within is true: 0, it is done; 1, nothing was
    changed; 5, something may be missing.
    """
    before, calls = secrets_of(fleet), fleet.sandbox.state.mutating_calls
    seen = len(fleet.ends)
    yield
    (done,) = fleet.ends[seen:]
    assert done.code in {0, 1, 5}, done
    if done.code == 0:
        fleet.assert_whole()
        fleet.assert_quiet()
    if done.code == 1:
        assert (secrets_of(fleet), fleet.sandbox.state.mutating_calls) == (before, calls), done
    if done.code:
        assert done.err.splitlines()[-1].startswith("error: "), done


def secrets_of(fleet: Fleet) -> dict[str, int]:
    """The versions of all secrets; the ledger's, where the lease is taken and given
    back, is left out.
    """
    return {
        path: version for path, version in fleet.versions().items() if not path.endswith("/_ledger")
    }


def settle(fleet: Fleet, at: int) -> None:
    """A good day: the lease of the run before may have been left, and what is used here
    is not meant to be held.
    """
    fleet.later(minutes=2)
    done = fleet.attempt("apply", "--yes", "--revoke-in-use")
    assert done.code == 0, (at, done)
    fleet.assert_whole()
    fleet.assert_quiet()


def test_vault_goes_away(new_fleet: NewFleet) -> None:
    """From whichever write on, nothing can be written any more: it stops with one
    sentence, and the next run makes it whole.
    """
    change = DERIVED
    for at in range(1, MOST):
        with new_fleet() as fleet:
            change.prepare(fleet)
            proxy = VaultProxy(fleet.environ["VAULT_ADDR"], Mishap.ERROR_BEFORE, at, lasting=True)
            with proxy.serving() as address, honest(fleet):
                fleet.attempt(*change.command, environ={"VAULT_ADDR": address})
            settle(fleet, at)
            if proxy.changes < at:
                return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (DERIVED, LOST_REPLY),
        (DERIVED, ERRORS),
        (MOVED, LOST_REPLY),
        (REMOVED, ERRORS),
        (SUPERSEDED, ERRORS),
    ],
    ids=name,
)
def test_the_exchange_fails(new_fleet: NewFleet, change: Change, fault: Fault) -> None:
    """Whichever call of the exchange goes wrong, and whether the later ones do as well:
    the next run makes it whole.
    """
    for skip in range(MOST):
        with new_fleet() as fleet:
            change.prepare(fleet)
            fleet.sandbox.faults.add(dataclasses.replace(fault, skip=skip))
            calls = len(fleet.sandbox.state.calls)
            with honest(fleet):
                done = fleet.attempt(*change.command)
                made = len(fleet.sandbox.state.calls) - calls
                fleet.sandbox.faults.clear()
            if done.code:
                settle(fleet, skip)
            if made <= skip:
                assert done.code == 0
                return
    pytest.fail("it never came to its end")
