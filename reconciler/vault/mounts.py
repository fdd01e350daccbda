"""What a mount must be to hold secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.errors import VaultRefusedError


def refuse_engine(name: str, mount: Mapping[str, Any]) -> None:
    """Raise VaultRefusedError unless what Vault says of a mount is KV version 2.

    ``name`` is the mount that was asked for.
    """
    if str(mount.get("path")).strip("/") != name:
        raise VaultRefusedError(
            f"{name} is not a mount but a path inside one: name the mount itself in the manifest"
        )
    options = mount.get("options")
    # mounted without a version means 1
    version = options.get("version") if isinstance(options, dict) else None
    if mount.get("type") != "kv" or version != "2":
        raise VaultRefusedError(
            f"the mount {name} is not a KV engine of version 2: "
            "use another, or run vault kv enable-versioning"
        )
