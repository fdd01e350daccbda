"""Secrets in HashiCorp Vault or OpenBao (KV version 2), and logging in there.

A store of secrets (``store``, ``contents``) asks over HTTP (``http``, ``failures``)
with a token that was given, or that a login brought (``settings``, ``login``,
``logins``).
"""

from reconciler.vault.elsewhere import Elsewhere
from reconciler.vault.environment import is_safe_path
from reconciler.vault.logins.identity_token import claims_of
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore

__all__ = ["Elsewhere", "SecretStore", "claims_of", "is_safe_path", "settings_from_environment"]
