"""Ways to log in to a fleet's mount, as an operator sets them up."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.openbao import OpenBaoServer
from tests.adapters.vault.issuers import CLUSTER, token_of
from tests.support.fleet import Fleet
from tests.support.openbao import jwt_public_key, operator

_SECRETS_IN_TEXT = re.compile(r"eyJ[\w-]+\.|\bs\.[A-Za-z0-9]{20,}")  # a JWT, a token of OpenBao's


class Doors:
    """Mounts for logins of one fleet, each role with what ``apply`` needs."""

    def __init__(self, client: Any, fleet: Fleet) -> None:
        self.client = client
        self.name = secrets.token_hex(4)
        self.approle = f"approle-{self.name}"
        self.jwt = f"ci/jwt-{self.name}"
        self.cluster = f"cluster-{self.name}"
        self.policy = f"policy-{self.name}"
        self.before = self.accessors()
        text = f'path "{fleet.mount}/*" {{ capabilities = ["create", "read", "update", "list"] }}'
        client.sys.create_or_update_policy(self.policy, text)

    def accessors(self) -> set[str]:
        """Every token that Vault knows."""
        found: list[str] = self.client.list("auth/token/accessors")["data"]["keys"]
        return set(found)

    def left_behind(self) -> set[str]:
        """Tokens that are there since."""
        return self.accessors() - self.before

    def role(self, **settings: object) -> dict[str, object]:
        """Settings of a role."""
        return {"token_policies": [self.policy], "token_ttl": "5m", **settings}

    def with_approle(self, *, wrapped: bool = False, **settings: object) -> dict[str, str]:
        """The environment of a login by AppRole, with a fresh secret id."""
        if f"{self.approle}/" not in self.client.sys.list_auth_methods()["data"]:
            self.client.sys.enable_auth_method("approle", path=self.approle)
        role = f"auth/{self.approle}/role/deploy"
        self.client.write_data(role, data=self.role(**settings))
        return {
            "RECONCILER_VAULT_AUTH": "approle",
            "RECONCILER_VAULT_AUTH_MOUNT": self.approle,
            "VAULT_ROLE_ID": self.client.read(f"{role}/role-id")["data"]["role_id"],
            **(
                {
                    "VAULT_SECRET_ID_WRAPPED": self.client.write_data(
                        f"{role}/secret-id", wrap_ttl="60s"
                    )["wrap_info"]["token"]
                }
                if wrapped
                else {
                    "VAULT_SECRET_ID": self.client.write(f"{role}/secret-id")["data"]["secret_id"]
                }
            ),
        }

    def with_jwt(
        self, issuer: str, audience: str, bound: dict[str, object], **settings: object
    ) -> dict[str, str]:
        """The environment of a login by an identity token, which has to be added."""
        if f"{self.jwt}/" not in self.client.sys.list_auth_methods()["data"]:
            self.client.sys.enable_auth_method("jwt", path=self.jwt)
        config = {"jwt_validation_pubkeys": [jwt_public_key()], "bound_issuer": issuer}
        self.client.write_data(f"auth/{self.jwt}/config", data=config)
        role = self.role(
            role_type="jwt",
            bound_audiences=[audience],
            bound_claims=bound,
            **{"user_claim": "sub", **settings},
        )
        self.client.write_data(f"auth/{self.jwt}/role/deploy", data=role)
        return {
            "RECONCILER_VAULT_AUTH": "jwt",
            "RECONCILER_VAULT_AUTH_MOUNT": self.jwt,
            "RECONCILER_VAULT_ROLE": "deploy",
        }

    def with_cluster(self, address: str, folder: Path, claims: dict[str, object]) -> dict[str, str]:
        """The environment of a pod whose projected token says these claims, in a
        cluster with that TokenReview.
        """
        self.client.sys.enable_auth_method("kubernetes", path=self.cluster)
        config = {
            "kubernetes_host": address,
            "kubernetes_ca_cert": authority(self.client),
            "disable_local_ca_jwt": True,
        }
        self.client.write_data(f"auth/{self.cluster}/config", data=config)
        bound = {
            "bound_service_account_names": ["deployer"],
            "bound_service_account_namespaces": ["ops"],
        }
        self.client.write_data(
            f"auth/{self.cluster}/role/deploy", data=self.role(audience="vault", **bound)
        )
        file = folder / "projected-token"
        file.write_text(token_of(CLUSTER, claims) + "\n", encoding="ascii")
        return {
            "RECONCILER_VAULT_AUTH": "kubernetes",
            "RECONCILER_VAULT_AUTH_MOUNT": self.cluster,
            "RECONCILER_VAULT_ROLE": "deploy",
            "VAULT_JWT_FILE": str(file),
        }


def authority(client: Any) -> str:
    """The certificate of some authority, as the method asks for one even where the
    cluster is asked over plain http.
    """
    mount = f"pki-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("pki", path=mount)
    made = client.write_data(
        f"{mount}/root/generate/internal", data={"common_name": "cluster", "key_type": "ec"}
    )
    certificate: str = made["data"]["certificate"]
    return certificate


@pytest.fixture
def doors(fleet: Fleet, openbao: OpenBaoServer) -> Iterator[Doors]:
    """The doors to a fleet's mount, whose environment holds the root token twice;
    nothing may show what a login brought.
    """
    (fleet.folder / ".vault-token").write_text("not a token of this Vault", encoding="ascii")
    with operator(openbao) as client:
        yield Doors(client, fleet)
    lines = "\n".join(fleet.outputs).splitlines()
    fleet.outputs[:] = [
        line for line in lines if not line.startswith("::add-mask::")
    ]  # which is how a secret is hidden
    assert [line for line in fleet.outputs if _SECRETS_IN_TEXT.search(line)] == []
