"""The ways to log in to Vault: one module each, and this table of them.

``RECONCILER_VAULT_AUTH`` names the way. ``token`` is the one that needs no login.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.vault.environment import Environ
from reconciler.vault.login import Login
from reconciler.vault.logins import approle, jwt, kubernetes

LOGINS: Mapping[str, Callable[[Environ, str, str], Login]] = {
    "approle": approle.from_environment,
    "jwt": jwt.from_environment,
    "kubernetes": kubernetes.from_environment,
}
"""How each way is read from the environment, its mount and Vault's address.

UsageError where credentials are missing or can't be meant.
"""
