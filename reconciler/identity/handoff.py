"""The hand-over of the identity token in Vault, from a person to one apply.

    hand_over   metadata: one version, which Vault ends after a short life; then the
                token, by check-and-set
    take        read the token, and which plan it serves; claim it (``{}`` by
                check-and-set on the version that was read), which trims it away; use it

Rules this module keeps:

1. Whoever claims the token has it: of two runs that read it, one gets it, and the other
   is told.
2. The token is destroyed before it is used. A run that fails later needs another one,
   which is better than a token that lies about.
3. A token that was handed over for one plan serves no other: a run of another plan
   leaves it where it is. An older run that is started again can't use it up.
4. The path belongs to no manifest: it is not below the prefix of the one that is
   applied. What does not end by itself is not written over.
"""

from __future__ import annotations

import re

from reconciler.errors import PersonNeededError, ReconcilerError, UsageError, VaultCasMismatchError
from reconciler.identity.source import HandedOver, expires_at_ms, refuse_other_plan
from reconciler.model import SECOND_MS, Secret, VersionState
from reconciler.vault import SecretStore, is_safe_path

LEAST_LEFT_S = 60
PLAN = "plan"
"""The field with the digest of the one plan that a token serves."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def place_of(text: str) -> tuple[str, str]:
    """Return mount and path of ``mount/path``. UsageError for anything else."""
    mount, _, path = text.strip("/").partition("/")
    if not is_safe_path(mount) or not path or not is_safe_path(path):
        raise UsageError(f"{text!r} is no place in Vault: write MOUNT/PATH, such as ci/identity")
    return mount, path


def refuse_within(place: str, text: str) -> None:
    """Raise UsageError for a place among a manifest's secrets.

    A claim would empty one of them, and its consumers could read the token.
    """
    if f"{text.strip('/')}/".startswith(f"{place}/"):
        raise UsageError(
            f"{text} lies among the secrets of {place}: "
            "hand the identity token over at a place of its own"
        )


def plan_served(text: str) -> str:
    """Return the digest of a plan. UsageError for a text that is none."""
    if not _DIGEST.fullmatch(text):
        raise UsageError(
            f"--for {text!r}: write the whole digest of the plan, sha256: and 64 digits, as "
            "`plan --format json`, a pull request's comment and a job's summary have it"
        )
    return text


def hand_over(  # noqa: PLR0913  # the last four by name
    store: SecretStore,
    path: str,
    identity: Secret,
    *,
    life_s: int,
    now_ms: int,
    plan: str | None = None,
) -> int:
    """Hand the token over for at most ``life_s`` seconds; return how many they are.

    ``plan`` is the digest of the one plan that it is for. The mount may let it live
    shorter, which the reply to the write tells. PersonNeededError for a token that is
    about to end; ReconcilerError where the place does not keep it for a minute.
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
            f"there is something else at {store.mount}/{path}, which does not end by itself: "
            "hand the token over at a place of its own"
        )
    store.expire(path, after_s=life_s)
    fields = {} if plan is None else {PLAN: plan}
    written = store.write(path, fields, secret=identity, cas=meta.latest)
    if written.ends_at_ms is None or written.created_at_ms is None:
        return life_s
    kept_s = (written.ends_at_ms - written.created_at_ms) // SECOND_MS
    if kept_s < LEAST_LEFT_S <= life_s:
        store.destroy_version(path, written.latest)
        raise ReconcilerError(
            f"what is handed over at {store.mount}/{path} ends after {kept_s} s already "
            "(delete_version_after of the mount): hand it over on a mount that keeps it longer"
        )
    return min(life_s, kept_s)


def take(store: SecretStore, path: str, digest: str | None = None) -> HandedOver:
    """Return the token, which from now on nobody else has.

    ``digest`` is that of the plan that is applied. PersonNeededError where there is no
    token, or one that serves another plan: that one stays.
    """
    found = store.read(path)
    if found.state is not VersionState.LIVING or found.secret is None:
        raise PersonNeededError(
            f"no identity token is waiting at {store.mount}/{path}: "
            "a person puts one there with `reconciler identity push`, shortly before"
        )
    serves = found.field(PLAN)
    refuse_other_plan(serves, digest)
    try:
        store.write(path, {}, cas=found.version)
    except VaultCasMismatchError:
        raise PersonNeededError(
            f"another run took the identity token at {store.mount}/{path}: hand over another one"
        ) from None
    # where somebody lets the path keep more versions
    if store.read(path, version=found.version).state is VersionState.LIVING:
        store.destroy_version(path, found.version)
    return HandedOver(token=found.secret, plan=serves)
