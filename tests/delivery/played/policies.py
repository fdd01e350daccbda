"""The example policies for Vault, with the places that a partner puts in."""

from __future__ import annotations

from tests.support.fleet import ROOT

VAULT_FILES = ROOT / ".github" / "examples" / "vault"
_IDENTITY = "limitless/identity"
_PREFIX = "limitless/tokens"


def policy_here(text: str, mount: str, prefix: str, name: str) -> str:
    """Return a policy with these places, as the README asks.

    ``name/identity`` is where an identity token is handed over.
    """
    for kind in ("data", "metadata", "delete", "destroy", "detailed-metadata"):
        text = text.replace(f"secret/{kind}/{_PREFIX}", f"{mount}/{kind}/{prefix}")
        text = text.replace(f"secret/{kind}/{_IDENTITY}", f"{mount}/{kind}/{name}/identity")
    return text
