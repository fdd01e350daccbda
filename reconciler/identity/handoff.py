"""The identity token, handed over in Vault: a person puts it there, the one apply that it is meant for takes it away.

    push   metadata: one version, ended by Vault itself after a short life; then the token, by check-and-set
    take   read it, claim it (``{}`` by check-and-set on the version that was read), which trims it away; use it

Rules this module keeps:

1. Whoever claims it has it: of two that read it, one gets it, and the other is told.
2. It is destroyed before it is used. A run that fails later needs another one: better
   than one that lies about.
3. Its path is nobody's secret: not below the prefix of the manifest that is applied,
   and what does not end by itself is not written over.
"""

from __future__ import annotations

from reconciler.errors import PersonNeededError, UsageError, VaultCasMismatchError
from reconciler.identity.source import expires_at_ms
from reconciler.model import SECOND_MS, Secret, VersionState
from reconciler.vault import SecretStore, is_safe_path

LIFE_S = 15 * 60
LIFE_MOST_S = 60 * 60
LEAST_LEFT_S = 60


def place_of(text: str) -> tuple[str, str]:
    """Mount and path of ``mount/path``. UsageError for anything else."""
    mount, _, path = text.strip("/").partition("/")
    if not is_safe_path(mount) or not path or not is_safe_path(path):
        raise UsageError(f"{text!r} is no place in Vault: write MOUNT/PATH, such as ci/identity")
    return mount, path


def refuse_within(place: str, text: str) -> None:
    """UsageError for a place among a manifest's secrets: a claim would empty one, and its consumers could read the token."""
    if f"{text.strip('/')}/".startswith(f"{place}/"):
        raise UsageError(
            f"{text} lies among the secrets of {place}: hand the identity token over at a place of its own"
        )


def push(store: SecretStore, path: str, identity: Secret, *, life_s: int, now_ms: int) -> int:
    """Hand it over for so many seconds at most; how many they are.

    PersonNeededError for one that is about to end.
    """
    end_ms = expires_at_ms(identity)
    left_s = (end_ms - now_ms) // SECOND_MS if end_ms is not None else life_s
    if left_s < LEAST_LEFT_S:
        raise PersonNeededError(
            "the identity token has expired, or will within a minute: get a new one"
        )
    life_s = min(life_s, left_s)
    meta = store.read_meta(path)
    if meta.latest and not store.is_short_lived(path):
        raise UsageError(
            f"there is something else at {path}, which does not end by itself: hand it over at a place of its own"
        )
    store.expire(path, after_s=life_s)
    store.write(path, {}, secret=identity, cas=meta.latest)
    return life_s


def take(store: SecretStore, path: str) -> Secret:
    """The token, which from now on nobody else has.

    PersonNeededError where there is none.
    """
    found = store.read(path)
    if found.state is not VersionState.LIVING or found.secret is None:
        raise PersonNeededError(
            f"no identity token is waiting at {path}: a person puts one there with `reconciler identity push`, shortly before"
        )
    try:
        store.write(path, {}, cas=found.version)
    except VaultCasMismatchError:
        raise PersonNeededError(
            f"another run took the identity token at {path}: hand over another one"
        ) from None
    if (
        store.read(path, version=found.version).state is VersionState.LIVING
    ):  # where somebody lets the path keep more versions
        store.destroy_version(path, found.version)
    return found.secret
