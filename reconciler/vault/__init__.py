"""Secrets in HashiCorp Vault or OpenBao (KV version 2), and logging in there."""

from reconciler.vault.settings import is_safe_path, settings_from_environment
from reconciler.vault.store import SecretStore

__all__ = ["SecretStore", "is_safe_path", "settings_from_environment"]
