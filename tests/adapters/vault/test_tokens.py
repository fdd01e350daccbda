"""The life of Vault's token, against a real OpenBao: uses and leases that run out,
addresses it is bound to, renewal, and whose token is revoked at the end.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.demo.openbao import OpenBaoServer, _binary, free_port
from reconciler.model import Secret
from reconciler.vault.settings import VaultSettings
from reconciler.vault.store import SecretStore
from tests.adapters.vault.doors import Doors
from tests.adapters.vault.servers import wait_until
from tests.support.fleet import Fleet
from tests.support.openbao import health

BOTS = tuple({"label": f"b{number}"} for number in range(6))


@pytest.mark.parametrize("uses", [1, 7, 45])
def test_a_login_that_is_used_up_is_made_again(fleet: Fleet, doors: Doors, uses: int) -> None:
    """A role's token_num_uses costs logins; no derive is lost, no token left."""
    environ = doors.with_approle(token_num_uses=uses)
    fleet.write(*BOTS[:3])
    fleet.must("bootstrap", environ=environ)
    fleet.must("apply", "--yes", environ=environ)
    assert len(fleet.sandbox.state.tokens()) == 4
    fleet.assert_whole()
    wait_until(lambda: doors.left_behind() == set(), "Vault ends those that are used up")


def test_a_login_that_can_not_suffice_is_refused_before_the_first_write(
    fleet: Fleet, doors: Doors
) -> None:
    """Uses or a lease that would not last, and a secret id that is good once: refused,
    and the role's setting is named.
    """
    fleet.begin()
    fleet.write(*BOTS)
    for setting, role in (
        ("token_num_uses", {"token_num_uses": 45}),
        ("token_ttl", {"token_num_uses": 0, "token_ttl": "8s"}),
    ):
        environ = doors.with_approle(wrapped=False, secret_id_num_uses=1, **role)
        with fleet.untouched():
            said = fleet.refused(1, "apply", "--yes", environ=environ)
        assert said.startswith(
            f"the role's {setting} is too small for this run, and another login fails: raise it"
        )
    fleet.must("apply", "--yes", environ=doors.with_approle(secret_id_num_uses=1))
    assert doors.left_behind() == set()


def test_a_login_bound_to_another_address(fleet: Fleet, doors: Doors) -> None:
    """Vault gives a token and refuses it: the settings that do so are named."""
    fleet.begin()
    environ = doors.with_approle(token_bound_cidrs=["192.0.2.0/24"])
    said = fleet.refused(1, "plan", environ=environ)
    assert said.startswith(
        f"Vault refuses the token of our own login at auth/{doors.approle}, before its end: check "
        "the role's token_bound_cidrs and token_num_uses"
    )


def given(doors: Doors, **settings: object) -> dict[str, str]:
    """The environment of a token that was made by hand."""
    made = doors.client.auth.token.create(policies=[doors.policy], **settings)
    return {"VAULT_TOKEN": made["auth"]["client_token"]}


def test_a_given_token_is_looked_at_before_the_first_write(fleet: Fleet, doors: Doors) -> None:
    """One that ends too soon, or has too few uses, is refused with its rest; one that
    can be renewed is; one without an end, or that may not look itself up, goes on.
    """
    fleet.begin()
    fleet.write(*BOTS)
    short = given(doors, ttl="12s", renewable=False)
    capped = given(doors, ttl="12s", renewable=True, explicit_max_ttl="14s")
    few = given(doors, ttl="10m", num_uses=40)
    for environ, rest in ((short, "ends in 1"), (capped, "ends in 1"), (few, "uses left")):
        with fleet.untouched():
            said = fleet.refused(1, "apply", "--yes", environ=environ)
        assert said.startswith("the Vault token ")
        assert rest in said
        assert "this run may need " in said
    soon = given(doors, ttl="12s", renewable=True)
    fleet.must("apply", "--yes", environ=soon)
    left = doors.client.auth.token.lookup(soon["VAULT_TOKEN"])["data"]["ttl"]
    assert left > 12, "it was renewed for as long as the run may need"
    fleet.write(*BOTS[:4])
    fleet.must("apply", "--yes", environ=given(doors, ttl="12s", no_default_policy=True))


def test_a_periodic_token_is_renewed_on_the_way(
    openbao: OpenBaoServer, doors: Doors, fleet: Fleet
) -> None:
    """A period that is shorter than the run is no reason to refuse it."""
    token = given(doors, period="2s")["VAULT_TOKEN"]
    settings = VaultSettings(address=openbao.address, token=Secret(token))
    with SecretStore.connect(settings, mount=fleet.mount) as store:
        store.prepare(seconds=60, uses=100)
        for number in range(6):
            time.sleep(0.5)
            store.write("p", {}, cas=number)


# --- behind `bao proxy` ---


@contextmanager
def bao_proxy(folder: Path, openbao: OpenBaoServer, doors: Doors, forced: str) -> Iterator[str]:
    """A real `bao proxy` that logs in by itself; ``forced`` is ``use_auto_auth_token``.

    Yields its address.
    """
    way = doors.with_approle()
    (folder / "role-id").write_text(way["VAULT_ROLE_ID"], encoding="ascii")
    (folder / "secret-id").write_text(way["VAULT_SECRET_ID"], encoding="ascii")
    port = free_port()
    (folder / "proxy.hcl").write_text(
        f'vault {{ address = "{openbao.address}" }}\n'
        f'listener "tcp" {{ address = "127.0.0.1:{port}"  tls_disable = true }}\n'
        f"api_proxy {{ use_auto_auth_token = {forced} }}\n"
        f'auto_auth {{ method "approle" {{ mount_path = "auth/{doors.approle}"\n'
        f'config = {{ role_id_file_path = "{folder}/role-id"\n'
        f'secret_id_file_path = "{folder}/secret-id" }} }} }}\n',
        encoding="utf-8",
    )
    before = doors.left_behind()
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [str(_binary()), "proxy", f"-config={folder / 'proxy.hcl'}"],
            env={"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: doors.left_behind() != before, "the proxy has logged in")
        wait_until(lambda: health(port) is not None, "the proxy answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_only_our_own_token_is_revoked(
    fleet: Fleet, openbao: OpenBaoServer, doors: Doors, tmp_path: Path
) -> None:
    """Behind a proxy that forces its token the proxy's is left, for all its clients,
    and ours is told of. Without a login of our own there is nothing to tell.
    """
    fleet.begin(BOTS[0])
    with bao_proxy(tmp_path, openbao, doors, '"force"') as address:
        (its_own,) = doors.left_behind()
        environ = {"VAULT_ADDR": address, **doors.with_approle()}
        done = fleet.must("plan", environ=environ)
        assert "so ours was not revoked and ends by itself in 2" in done.err
        assert "RECONCILER_VAULT_AUTH=none" in done.err
        assert its_own in doors.left_behind(), "the proxy's own token lives"
        without = {"VAULT_ADDR": address, "RECONCILER_VAULT_AUTH": "none", "VAULT_TOKEN": None}
        fleet.write(*BOTS[:2])
        assert fleet.must("apply", "--yes", environ=without).err == ""
        assert its_own in doors.left_behind()
    fleet.assert_whole()


def test_no_token_where_a_proxy_adds_one(
    fleet: Fleet, openbao: OpenBaoServer, doors: Doors, tmp_path: Path
) -> None:
    """`use_auto_auth_token = true` adds a token where there is none; a server without
    such a proxy before it refuses, and the sentence says so.
    """
    fleet.begin(BOTS[0])
    without = {"RECONCILER_VAULT_AUTH": "none", "VAULT_TOKEN": None}
    with bao_proxy(tmp_path, openbao, doors, "true") as address:
        fleet.must("plan", environ={"VAULT_ADDR": address, **without})
    said = fleet.refused(1, "plan", environ=without)
    assert said.startswith("Vault refuses the token that the agent or proxy at VAULT_ADDR adds")
