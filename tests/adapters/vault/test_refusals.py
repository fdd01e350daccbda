"""What OpenBao refuses, in the words of the program: logins, tokens, settings of a
mount.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.adapters.vault.doors import Doors
from tests.adapters.vault.issuers import GITLAB, token_of
from tests.support.fleet import Fleet

CLAIMS: dict[str, object] = {
    "sub": "project_path:acme/app",
    "aud": "https://vault.example",
    "project_id": "22",
    "count": 5,
}


@pytest.mark.parametrize(
    ("role", "claims", "reason"),
    [
        ({}, {"project_id": "1"}, "its claim project_id is not what the role's bound_claims ask"),
        ({}, {"project_id": 22}, "its claim project_id is not what the role's bound_claims ask"),
        ({}, {"project_id": None}, "the identity token lacks the claim project_id, which the"),
        ({"user_claim": "email"}, {}, "the identity token lacks the claim email, which the role"),
        ({"user_claim": "canary"}, {}, "the identity token lacks a claim, which the role"),
        ({"groups_claim": "groups"}, {}, "the identity token lacks the claim groups, which the"),
        ({"claim_mappings": {"count": "n"}}, {}, "its claim count is not of the type that the"),
        ({}, {"nbf": time.time() + 3600}, "the identity token is not valid yet: check the clocks"),
    ],
)
def test_a_refused_identity_token(
    fleet: Fleet, doors: Doors, role: dict[str, object], claims: dict[str, object], reason: str
) -> None:
    """The sentence says what does not fit, names a claim only if it is the token's or a
    usual one, and repeats nothing of Vault's.
    """
    fleet.write()
    bound: dict[str, object] = {"project_id": "22"}
    environ = doors.with_jwt(GITLAB, "https://vault.example", bound, **role)
    says = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    environ["VAULT_ID_TOKEN"] = token_of(GITLAB, says)
    said = fleet.refused(1, "plan", environ=environ)
    assert said.startswith(f"Vault refuses the login at auth/{doors.jwt}: {reason}")
    assert "canary" not in said


def test_a_role_bound_to_other_addresses(fleet: Fleet, doors: Doors) -> None:
    """Vault answers as where nothing is mounted: both are named."""
    fleet.write()
    cidrs = {"token_bound_cidrs": ["192.0.2.0/24"]}
    environ = doors.with_jwt(GITLAB, "https://vault.example", {"project_id": "22"}, **cidrs)
    environ["VAULT_ID_TOKEN"] = token_of(GITLAB, CLAIMS)
    said = fleet.refused(1, "plan", environ=environ)
    assert (
        "check RECONCILER_VAULT_AUTH_MOUNT, VAULT_NAMESPACE, the role's token_bound_cidrs" in said
    )


def test_a_policy_with_a_template_that_does_not_fit(fleet: Fleet, doors: Doors) -> None:
    """OpenBao answers 400 with the one word Forbidden, whatever is asked."""
    fleet.write()
    mapped = {"claim_mappings": {"repository": "repository"}}
    policies = {"token_policies": [doors.policy, f"{doors.policy}-own"]}
    environ = doors.with_jwt(
        GITLAB, "https://vault.example", {"project_id": "22"}, **mapped, **policies
    )
    accessor = doors.client.sys.list_auth_methods()["data"][f"{doors.jwt}/"]["accessor"]
    value = f"{{{{identity.entity.aliases.{accessor}.metadata.repository}}}}"
    doors.client.sys.create_or_update_policy(
        f"{doors.policy}-own", f'path "{fleet.mount}/data/{value}" {{ capabilities = ["read"] }}'
    )
    environ["VAULT_ID_TOKEN"] = token_of(GITLAB, CLAIMS, repository="acme/app")
    said = fleet.refused(1, "plan", environ=environ)
    assert said.startswith(
        "Vault refuses whatever this token asks: one of its policies has an identity template "
        "whose value holds /, * or +"
    )


def test_metadata_that_need_check_and_set(fleet: Fleet) -> None:
    """A mount with ``metadata_cas_required`` and ``cas_required``: all goes on, the
    hand-over of an identity token, twice at one place, as well.
    """
    with fleet.operator() as client:
        required: dict[str, Any] = {"metadata_cas_required": True, "cas_required": True}
        client.adapter.post(f"/v1/{fleet.mount}/config", json=required)
    fleet.begin({"label": "bot"})
    place = f"{fleet.mount}/{fleet.prefix}-hand/over"
    for _ in range(2):
        fleet.must("identity", "push", place)
    fleet.assert_whole()


def test_metadata_without_a_version_are_no_secret(fleet: Fleet) -> None:
    """Owners and settings are set beforehand: bootstrap goes on, and so does the fleet.
    A secret beside them still stops it.
    """
    fleet.write({"label": "bot"})
    with fleet.operator() as client:
        owner = {"custom_metadata": {"owner": "desk"}, "max_versions": 20}
        for path in ("bot", "reconciler", "other/deep"):
            client.adapter.post(f"/v1/{fleet.mount}/metadata/{fleet.prefix}/{path}", json=owner)
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/left", {"by": "hand"}, cas=0)
    said = fleet.refused(1, "bootstrap")
    assert "there is no ledger, but 1 secrets lie below the prefix" in said
    assert "left" in said
    with fleet.operator() as client:
        client.adapter.delete(f"/v1/{fleet.mount}/metadata/{fleet.prefix}/left")
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.assert_whole()
