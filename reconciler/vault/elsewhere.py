"""Places in Vault outside of our prefix.

What is to be adopted lies where people have put it by hand. It is only read, never
written. A place is ``mount/path`` as people write it; a mount may have
slashes in its name, so the shortest one that is there is taken.

Rule this module keeps: a value is a ``Secret`` from here on, whatever the name of its
field. The names of fields may be a secret that somebody wrote in the wrong column, so
no sentence repeats them.
"""

from __future__ import annotations

import base64
import binascii
import threading

from reconciler.errors import VaultRefusedError
from reconciler.model import Secret, StoredPair, VersionState
from reconciler.vault.contents import SECRET_FIELD
from reconciler.vault.store import SecretStore

MOUNT_SEGMENTS_MAX = 4


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


class Elsewhere:
    """Places in Vault outside of our prefix, read with a store's login.

    All methods raise VaultError, and may be used from several threads at once.
    """

    def __init__(self, store: SecretStore) -> None:
        self._store = store
        self._mounts: dict[str, SecretStore] = {}
        self._lock = threading.Lock()

    def read(self, place: str, token_id_field: str, secret_field: str) -> StoredPair:
        """Return the id and the secret of a token.

        VaultRefusedError where there is nothing.
        """
        store, path = self.find(place)
        found = store.read(path)
        if found.state is not VersionState.LIVING:
            raise VaultRefusedError(f"nothing lies at {place}: correct the place")
        token_id = found.field(token_id_field)
        text = found.field(secret_field)
        if secret_field == SECRET_FIELD and found.secret is not None:
            text = found.secret.reveal()
        if text is not None and not _is_base64(text.strip()):
            raise VaultRefusedError(
                f"what lies at {place} is not base64, as the exchange's secrets are: "
                "correct the name of the secret's field"
            )
        secret = None if text is None else Secret(text.strip())
        return StoredPair(token_id=None if token_id is None else token_id.strip(), secret=secret)

    def places(self, folder: str, *, limit: int) -> tuple[str, ...]:
        """Return the places at and below a folder, sorted, at most ``limit``."""
        store, path = self.find(folder)
        mount = folder.strip("/").removesuffix(path).strip("/")
        below = store.list_paths(path, limit=limit)
        own = (path,) if store.read_meta(path).state is VersionState.LIVING else ()
        found = (p for p in (*own, *below) if not p.endswith("/"))
        return tuple(f"{mount}/{p}" for p in found)[:limit]

    def find(self, place: str) -> tuple[SecretStore, str]:
        """Return the store of a place's mount, and its path there."""
        parts = place.strip("/").split("/")
        failure: VaultRefusedError | None = None
        for length in range(1, min(MOUNT_SEGMENTS_MAX, len(parts) - 1) + 1):
            mount, path = "/".join(parts[:length]), "/".join(parts[length:])
            try:
                return self.mounted(mount), path
            except VaultRefusedError as error:
                failure = failure or error
        raise failure or VaultRefusedError(f"{place!r} is no place in Vault: write MOUNT/PATH")

    def mounted(self, mount: str) -> SecretStore:
        """Return the store of a mount, once it was seen to be of version 2 of KV.

        On version 1 check-and-set would be ignored.
        """
        with self._lock:
            if mount not in self._mounts:
                store = self._store.on(mount)
                store.check_mount()
                self._mounts[mount] = store
            return self._mounts[mount]
