"""What ``doctor`` checks where there is a reserve, or is to be one."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.documents import Check, Health
from reconciler.errors import ReconcilerError
from reconciler.model import Manifest
from reconciler.plan import status_of
from reconciler.render import capped_words
from reconciler.run import Driver, find_strays
from reconciler.state import LEDGER_NAME, RESERVE_FOLDER, Observed
from reconciler.vault import SecretStore

READERS, STRAYS, CAPPED = "vault.reserve", "reserve.strays", "reserve.capped"
CLOSE = "narrow it, or give its tokens the policy reserve-closed of docs/install.md as well"


def has_reserve(manifest: Manifest, observed: Observed) -> bool:
    """Return whether successors are kept, or are to be."""
    wanted = any(spec.reserve for spec in manifest.tokens)
    return wanted or any(entry.reserve for entry in observed.ledger.tokens.values())


def of_reserve(
    driver: Driver, store: SecretStore, manifest: Manifest, observed: Observed
) -> Iterator[Check]:
    """Say who else reads the reserve, what isn't stocked, and what else lies there."""
    if not has_reserve(manifest, observed):
        return
    yield _readers(store, manifest)
    capped = status_of(manifest, observed).capped
    if capped is not None:
        yield Check(id=CAPPED, health=Health.WARN, message=capped_words(capped))
    try:
        found = driver.run(find_strays(observed.ledger))
    except ReconcilerError as error:  # a role that only plans may not read there
        yield Check(id=STRAYS, health=Health.WARN, message=str(error))
        return
    for stray in found:
        yield Check(id=STRAYS, health=Health.WARN, message=stray.sentence(manifest.place))


def _readers(store: SecretStore, manifest: Manifest) -> Check:
    at = f"{manifest.mount}/data/{manifest.prefix}"
    folder = f"{at}/{RESERVE_FOLDER}/"
    found = store.login.policies_reading(f"{folder}x", owned_by=f"{at}/{LEDGER_NAME}")
    if found is None:
        return Check(
            id=READERS,
            health=Health.WARN,
            message="the token may not read policies, so who else reads the reserve isn't known",
            action=f"look for consumers' policies that cover {folder}*, such as one on {at}/*",
        )
    if found:
        verb = "reads" if len(found) == 1 else "read"
        shown = ", ".join(found[:5]) + (" …" if found[5:] else "")
        return Check(
            id=READERS,
            health=Health.WARN,
            message=f"by its text, {shown} {verb} the successors at {folder}*",
            action=CLOSE,
        )
    return Check(id=READERS, health=Health.OK, message="no consumer's policy reads there")
