"""Who reads the reserve: the program's roles, and no consumer."""

from __future__ import annotations

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.errors import VaultRefusedError
from reconciler.model import VersionState
from reconciler.state import Reserve
from reconciler.vault import SecretStore, settings_from_environment
from tests.e2e.test_policies import APPLY, PLAN, Rule, limited, policies
from tests.e2e.test_reserve import ALONE, BOT, current, reserve
from tests.support.fleet import Environ, Fleet

CLOSED, SCAN = policies()["reserve-closed"], policies()["reconciler-scan"]
BROAD = (
    Rule("secret/data/limitless/tokens/*", ("read",)),
    Rule("secret/metadata/limitless/tokens/*", ("read", "list")),
)


def seen(fleet: Fleet, environ: Environ, kept: Reserve) -> tuple[bool, bool]:
    """Whether a consumer with this Vault token reads a reserve's secret, and its name.

    It reads its own secret in any case.
    """
    merged = {**fleet.environ, **{k: v for k, v in environ.items() if v is not None}}
    settings, path = settings_from_environment(merged), f"{fleet.prefix}/{kept.path}"
    read, named = True, True
    with SecretStore.connect(settings, mount=fleet.mount) as store:
        assert store.read(f"{fleet.prefix}/prod/bot").field("token_id") == current(fleet)
        try:
            assert store.read(path).field("token_id") == kept.token_id
        except VaultRefusedError:
            read = False
        try:
            assert path in store.list_paths(path.rpartition("/")[0], limit=100)
        except VaultRefusedError:
            named = False
    return read, named


def test_a_broad_policy_reads_the_reserve_unless_it_is_closed(
    fleet: Fleet, openbao: OpenBaoServer
) -> None:
    """A consumer of everything below the prefix gets the successors too. With the
    page's policy beside its own it reads what it read, and neither their secrets nor
    their names.
    """
    fleet.begin({**BOT, "reserve": 1})
    (kept,) = reserve(fleet)
    assert seen(fleet, limited(fleet, openbao, BROAD), kept) == (True, True)
    assert seen(fleet, limited(fleet, openbao, (*BROAD, *CLOSED)), kept) == (False, False)


def test_the_program_with_its_own_policies_only(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """Stock, plan with and without the scan, promote, a reserve that goes: the page's
    policies are enough for all of it.
    """
    fleet.defaults = {"overlap": "0s"}
    apply = limited(fleet, openbao, (*APPLY, *SCAN), bare=True)
    plan = limited(fleet, openbao, PLAN, bare=True)
    fleet.write({**BOT, "reserve": 2})
    fleet.must("bootstrap", environ=apply)
    fleet.must("apply", "--yes", environ=apply)
    first, second = sorted(reserve(fleet), key=lambda kept: kept.created_at_ms)
    with fleet.untouched():
        assert "0 to" not in fleet.must("plan", environ=plan).out
        fleet.must("observe", "--out", "observed.json", environ=plan)
    fleet.must("rotate", "--target", "bot", "--yes", environ={**apply, **ALONE})
    assert current(fleet) == first.token_id
    assert fleet.secret(first.path, 1).state is VersionState.DELETED
    fleet.write({**BOT, "reserve": 0})
    fleet.must("apply", "--yes", environ={**apply, **ALONE})
    assert reserve(fleet) == ()
    assert not fleet.sandbox.state.token(second.token_id).live
    fleet.assert_whole(stocked=False)
    fleet.assert_quiet()


def test_without_the_right_to_undelete_nothing_is_lost(
    fleet: Fleet, openbao: OpenBaoServer
) -> None:
    """A document that somebody deleted can't be brought back: one sentence names the
    right, the reserve stays, and with the right the same command promotes it.
    """
    fleet.begin({**BOT, "reserve": 1})
    (kept,), old = reserve(fleet), current(fleet)
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/{kept.path}", 1)
    rules = [rule for rule in APPLY if "/undelete/" not in rule.path]
    rotate = ("rotate", "--target", "bot", "--yes")
    done = fleet.attempt(*rotate, environ={**limited(fleet, openbao, rules), **ALONE})
    assert done.code == 5, done
    path = f"{fleet.mount}/undelete/{fleet.prefix}/_reserve/*"
    assert f'its policy needs "update" on {path}' in done.out
    (still,) = reserve(fleet)
    assert (still.token_id, still.lost, still.fresh) == (kept.token_id, False, True)
    assert (current(fleet), fleet.ledger().tokens["bot"].intent) == (old, None)
    fleet.must(*rotate, environ={**limited(fleet, openbao, APPLY), **ALONE})
    assert current(fleet) == kept.token_id
    fleet.assert_whole(stocked=False)


@pytest.mark.parametrize("rule", CLOSED, ids=str)
def test_each_rule_of_the_closing_policy_is_needed(
    fleet: Fleet, openbao: OpenBaoServer, rule: Rule
) -> None:
    """Without the first the secrets are read, without the second their names."""
    fleet.begin({**BOT, "reserve": 1})
    (kept,) = reserve(fleet)
    environ = limited(fleet, openbao, (*BROAD, *(one for one in CLOSED if one != rule)))
    assert seen(fleet, environ, kept) == ("/data/" in rule.path, "/metadata/" in rule.path)
