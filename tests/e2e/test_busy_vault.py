"""Vault is busy at a write: the same write goes out again, is settled by reading back,
and no token is thrown away for it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from tests.support.busy_vault import Busy, BusyVault
from tests.support.fleet import Fleet

BOT = {"label": "bot", "path": "prod/bot"}
PAGE = Busy(status=502, errors=None)
KINDS = [
    Busy(status=429, retry_after="0", errors=("request path: rate limit quota exceeded",)),
    Busy(status=412, retry_after="1"),
    PAGE,
    Busy(status=503, errors=("overloaded, try again later",)),
    Busy(status=504, errors=None, applied=True),
    Busy(status=None, applied=True),
    Busy(status=429, retry_after="3155760000"),
    Busy(status=429, retry_after="-7"),
    Busy(status=503, retry_after="Thu, 01 Jan 1970 00:00:00 GMT"),
]


@contextlib.contextmanager
def busy_at(fleet: Fleet, busy: Busy, path: str, *, times: int = 1) -> Iterator[BusyVault]:
    """Vault is busy at the first writes below a path, and is met through the proxy."""
    address = fleet.environ["VAULT_ADDR"]
    proxy = BusyVault(address=address, busy=busy, path=path, times=times, jitter_ms=10)
    with proxy.serving() as through:
        fleet.environ["VAULT_ADDR"] = through
        try:
            yield proxy
        finally:
            fleet.environ["VAULT_ADDR"] = address
    assert len(proxy.met) == times, "it was not busy for what was meant"


def made(fleet: Fleet) -> int:
    """How many tokens there ever were."""
    return len(fleet.sandbox.state.tokens())


def test_a_secrets_write(fleet: Fleet) -> None:
    """Whatever the busy reply is: one derive, one write that lands, no fence, nothing
    revoked.
    """
    fleet.write()
    fleet.must("bootstrap")
    for number, busy in enumerate(KINDS):
        label = f"b{number}"
        fleet.write(*({"label": f"b{n}"} for n in range(number + 1)))
        before = made(fleet)
        with busy_at(fleet, busy, f"/data/.*/{label}$"):
            fleet.must("apply", "--yes")
        assert made(fleet) == before + 1, (busy, "a token was thrown away")
        assert fleet.secret(label).version == 1, (busy, "a fence was written")
    fleet.assert_whole()
    fleet.assert_quiet()


def test_every_way_to_write(fleet: Fleet) -> None:
    """Rotation, restore, rollback, adoption and the ledger: each write is met three
    times by a busy Vault, and done in the same run.
    """
    busy, place = Busy(status=429, retry_after="0"), "/data/.*/prod/bot$"
    fleet.defaults["overlap"] = "1h"
    with busy_at(fleet, busy, "/data/.*/_ledger$", times=2):
        fleet.write(BOT)
        fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    with busy_at(fleet, busy, place, times=3):
        fleet.must("rotate", "--target", "bot", "--yes")
    assert fleet.secret("prod/bot").version == 2
    with busy_at(fleet, PAGE, place, times=3):
        fleet.must("rollback", "--target", "bot", "--yes")
    assert fleet.secret("prod/bot").version == 3
    fleet.must("apply", "--yes", "--revoke-in-use")
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", {"by": "hand"}, cas=3)
    tokens = made(fleet)
    with busy_at(fleet, Busy(status=None), place, times=3):
        fleet.must("apply", "--yes", "--only", "cleanup")
    assert made(fleet) == tokens, "it was restored, not rotated"
    assert fleet.secret("prod/bot").version == 5
    with busy_at(fleet, busy, "/data/.*/_ledger$", times=3):
        fleet.must("rotate", "--target", "bot", "--yes")
    adopted = fleet.sandbox.state.derive_by_hand(label="old", scopes=("trading",))
    fleet.write(BOT, {"label": "old"})
    with busy_at(fleet, busy, "/data/.*/old$", times=3):
        arguments = ("adopt", "--label", "old", "--token-id", adopted.token_id)
        fleet.must(*arguments, text=adopted.secret)
    fleet.must("apply", "--yes", "--revoke-in-use")
    fleet.assert_whole()


def test_busy_for_good_is_told_from_changed(fleet: Fleet) -> None:
    """A Vault that stays busy at one path: the token is undone, and the sentence says
    busy and when to come back. A path that was changed is told so.
    """
    fleet.write(BOT)
    fleet.must("bootstrap")
    quota = Busy(retry_after="600", errors=("request path: rate limit quota exceeded",))
    proxy = BusyVault(
        address=fleet.environ["VAULT_ADDR"], busy=quota, path="/data/.*/prod/bot$", times=7
    )
    with proxy.serving() as through:
        done = fleet.attempt("apply", "--yes", environ={"VAULT_ADDR": through})
    assert done.code == 5
    assert "the secret could not be written" in done.out
    assert "quota of Vault's is used up (429): try again in 10 minutes" in done.out
    assert "changed meanwhile" not in done.out
    assert "may have been changed" not in done.out, "the fence proved that it was not"
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_a_quota(fleet: Fleet) -> None:
    """A quota of OpenBao's of some requests a second costs time, and no token."""
    labels = [f"b{number}" for number in range(4)]
    fleet.write(*({"label": label} for label in labels))
    fleet.must("bootstrap")
    before = made(fleet)
    with fleet.operator() as client:
        quota = f"/v1/sys/quotas/rate-limit/q-{secrets.token_hex(4)}"
        rule = {"rate": 16, "interval": "1s", "path": f"{fleet.mount}/"}
        client.adapter.post(quota, json=rule)
        try:
            done = fleet.run("apply", "--yes")
        finally:
            client.adapter.delete(quota)
    assert done.code == 0, done
    assert made(fleet) == before + len(labels)
    fleet.assert_whole()


def test_jitter_on_the_path(fleet: Fleet) -> None:
    """With up to 60 ms of jitter before Vault an apply of real processes loses nothing:
    no write is sent twice, no token is thrown away, the lease lasts.
    """
    labels = [f"b{number}" for number in range(6)]
    proxy = BusyVault(address=fleet.environ["VAULT_ADDR"], times=0, jitter_ms=60)
    with proxy.serving() as through:
        jittery = {"VAULT_ADDR": through}
        fleet.write(*({"label": label} for label in labels))
        fleet.ok("bootstrap", environ=jittery)
        fleet.ok("apply", "--yes", environ=jittery)
        fleet.ok("rotate", "--all", "--yes", environ=jittery)
    assert made(fleet) == 2 * (len(labels) + 1)
    assert [fleet.secret(label).version for label in labels] == [2] * len(labels)
    fleet.assert_whole()
