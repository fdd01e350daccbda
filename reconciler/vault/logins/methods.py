"""The auth methods of Vault as hvac knows them, over our own connections.

hvac is loaded when a login happens: it brings another HTTP stack along, which a run
with a given token goes without.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from reconciler.vault.http import Answer, VaultClient


def by_approle(client: VaultClient, mount: str, *, role_id: str, secret_id: str) -> Answer:
    """Log in by a role id and a secret id, once."""
    from hvac.api.auth_methods import AppRole  # noqa: PLC0415  # as the module says

    method = AppRole(_adapter()(client))
    answer: Answer = method.login(role_id, secret_id, use_token=False, mount_point=mount)
    return answer


def by_jwt(client: VaultClient, mount: str, *, role: str, jwt: str) -> Answer:
    """Log in by an identity token, once."""
    from hvac.api.auth_methods import JWT  # noqa: PLC0415  # as above

    answer: Answer = JWT(_adapter()(client)).jwt_login(role, jwt, use_token=False, path=mount)
    return answer


def by_kubernetes(client: VaultClient, mount: str, *, role: str, jwt: str) -> Answer:
    """Log in by the token of a service account, once."""
    from hvac.api.auth_methods import Kubernetes  # noqa: PLC0415  # as above

    method = Kubernetes(_adapter()(client))
    answer: Answer = method.login(role, jwt, use_token=False, mount_point=mount)
    return answer


@cache
def _adapter() -> Any:
    """Return hvac's adapter of a client of ours."""
    from hvac.adapters import Adapter  # noqa: PLC0415  # as above

    class Ours(Adapter):  # type: ignore[misc]  # hvac has no types
        """Hands a call to our client; what comes back is an ``Answer``.

        The parent's state is a session of requests, which is never made.
        """

        def __init__(self, client: VaultClient) -> None:
            self._client = client

        def get_login_token(self, _response: Any) -> str:
            raise NotImplementedError

        def request(self, method: str, url: str, *, json: Any, **_: Any) -> Answer:
            if method != "post":
                raise NotImplementedError
            return self._client.post(url.removeprefix("/v1/"), json)

    return Ours
