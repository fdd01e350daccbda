"""Gathering: one list call, one ledger read, one metadata read for each path, and a closer look where these disagree.

Rules this module keeps:

1. It only reads. Everything is gathered before anything is decided.
2. Reads that wait on the same peer run side by side, within a bound.
3. A secret is read only where the metadata is not what the ledger says; of its content
   only the token id is kept.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from reconciler.errors import (
    ExchangeUnauthorizedError,
    PersonNeededError,
    ReconcilerError,
    UsageError,
    VaultError,
    VaultRefusedError,
)
from reconciler.exchange import TokenClient
from reconciler.model import (
    Credentials,
    LiveToken,
    Manifest,
    SecretMeta,
    SecretVersion,
    VersionState,
)
from reconciler.run.driver import Driver
from reconciler.state import (
    LEDGER_NAME,
    TOKEN_ID,
    Content,
    Current,
    Entry,
    Ledger,
    Observed,
    credentials_of,
    is_placeholder,
)

READERS = 16
LOOKS = 5
LIST_LIMIT = 1000
BOOTSTRAP = "run `reconciler bootstrap` with an identity token"


STANDBY_LAG_S = 0.25
"""A run's first read may be of a standby that has not heard of the last run's writes: for a tenth of a second, measured."""


class NoSignerError(PersonNeededError):
    """No ledger or no signer yet. Believed when it is so a moment later as well."""


class LedgerMissingError(ReconcilerError):
    """There is no ledger, but there are secrets below the prefix: something is lost, and nothing is done about it."""


def observe(driver: Driver, manifest: Manifest) -> Observed:
    """One snapshot. The driver's signer is found on the way, if it has none yet.

    Where the ledger was written meanwhile, what was read before and after does not
    belong together: it looks again. Raises PersonNeededError (no ledger or no signer
    yet: bootstrap), LedgerMissingError, VaultError, ExchangeError.
    """
    for looked in range(LOOKS):
        try:
            observed = _observe(driver, manifest)
        except NoSignerError:
            if looked:
                raise
            time.sleep(STANDBY_LAG_S)
            continue
        if driver.store.read_meta(driver.path(LEDGER_NAME)).latest == observed.ledger_version:
            return observed
    raise VaultError("the ledger is being written all the time by another run: try again later")


def _observe(driver: Driver, manifest: Manifest) -> Observed:
    ledger, version = driver.read_ledger()
    if ledger is None:
        refuse_lost_ledger(driver, manifest, version)
        raise NoSignerError(
            f"there is no ledger at {manifest.mount}/{driver.path(LEDGER_NAME)} yet: {BOOTSTRAP}"
        )
    signer = find_signer(driver, manifest, ledger)
    clock = driver.exchange.clock()
    asked_at_ms, offset_ms = clock.now_ms(), clock.offset_ms
    with ThreadPoolExecutor(max_workers=READERS + 1, thread_name_prefix="observe") as pool:
        listing = pool.submit(_listed, driver, signer)
        metas = dict(
            pool.map(
                lambda name: (name, driver.store.read_meta(driver.path(name))),
                _paths(manifest, ledger),
            )
        )
        live = listing.result()
        contents = dict(
            pool.map(lambda look: (look[0], _look(driver, *look)), _suspects(ledger, metas))
        )
    return Observed(
        now_ms=asked_at_ms
        + clock.offset_ms
        - offset_ms,  # the list is as old as its question, whatever came after it
        api_url=driver.exchange.base_url,
        place=manifest.place,
        ledger=ledger,
        ledger_version=version,
        live=live,
        signer_id=signer.token_id,
        secrets=metas,
        contents=contents,
    )


def refuse_lost_ledger(driver: Driver, manifest: Manifest, version: int) -> None:
    """LedgerMissingError if secrets lie below the prefix, or the ledger's latest version was deleted."""
    where = f"{manifest.mount} {driver.path(LEDGER_NAME)}"
    if version > 0:
        raise LedgerMissingError(
            f"the latest version of the ledger was deleted; bring it back with "
            f"`vault kv undelete -versions={version} -mount={where}` and run again"
        )
    names = [
        p
        for p in driver.store.list_paths(driver.prefix, limit=LIST_LIMIT)
        if p != driver.path(LEDGER_NAME)
    ]
    if names:
        raise LedgerMissingError(
            f"there is no ledger, but {len(names)} secrets lie below the prefix (such as {names[0]}): if it was destroyed, "
            f"restore it from Vault's backup (deleted versions: `vault kv undelete -versions=N -mount={where}`); "
            "if the secrets are not ours, choose another prefix"
        )


def find_signer(driver: Driver, manifest: Manifest, ledger: Ledger) -> Credentials:
    """The pair that signs list and revoke: the pinned one, or the manager's in Vault.

    PersonNeededError if there is none.
    """
    if driver.signer is not None and driver.signer_pinned:
        owner = ledger.known_ids().get(driver.signer.token_id)
        driver.signer_follows = driver.signer_follows or owner == manifest.manager
        if owner not in {None, manifest.manager}:
            raise UsageError(
                f"LIMITLESS_TOKEN_ID is the managed token of {owner}: signing with it would look like its consumer's use; "
                "unset it, or use another token"
            )
        return driver.signer
    signer = manager_signer(driver, manifest, ledger)
    if signer is None:
        raise NoSignerError(
            f"there is no token to sign with (the manager {manifest.manager} has no secret yet): {BOOTSTRAP}"
        )
    driver.signer = signer
    return signer


def manager_signer(driver: Driver, manifest: Manifest, ledger: Ledger) -> Credentials | None:
    """What the manager's secret holds, or held while its token is still current: a deleted secret locks nobody out."""
    entry = ledger.tokens.get(manifest.manager)
    if entry is None or entry.current is None:
        return None
    path = driver.path(entry.path)
    latest = driver.store.read(path)
    found = credentials_of(latest)
    if (
        found is not None
        and found.token_id == entry.current.token_id
        and latest.version == entry.current.version
    ):
        return found
    version = holder_version(
        driver, path, latest.version, entry.current.token_id, recorded=entry.current.version
    )
    if version is not None:
        return credentials_of(driver.store.read(path, version=version))
    return found if found is not None and is_unrecorded(entry, found.token_id) else None


def is_unrecorded(entry: Entry, token_id: str) -> bool:
    """Whether a token that the label's secret holds was committed by the open intent, and the record is all that is missing."""
    return (
        entry.intent is not None
        and entry.intent.path == entry.path
        and entry.intent.token_id == token_id
    )


def _listed(driver: Driver, signer: Credentials) -> tuple[LiveToken, ...]:
    client: TokenClient = driver.exchange.signed_by(signer)
    try:
        return client.list_tokens()
    except ExchangeUnauthorizedError as error:
        if driver.signer_pinned:
            raise PersonNeededError(
                f"{error}; LIMITLESS_TOKEN_ID and _SECRET sign: unset them, or set a pair that works"
            ) from None
        raise PersonNeededError(
            f"{error}; if the clock is right, the manager's token is gone: {BOOTSTRAP}"
        ) from None


def _paths(manifest: Manifest, ledger: Ledger) -> list[str]:
    names = {spec.path for spec in manifest.tokens}
    for entry in ledger.tokens.values():
        names.add(entry.path)
        if entry.intent is not None:
            names.add(entry.intent.path)
    return sorted(names)


def _suspects(
    ledger: Ledger, metas: dict[str, SecretMeta]
) -> Iterable[tuple[str, SecretMeta, Current | None]]:
    """Paths whose metadata is not what the ledger says, with the token that should be there."""
    owned = {entry.path: entry for entry in ledger.tokens.values() if entry.current is not None}
    for name, meta in metas.items():
        entry: Entry | None = owned.get(name)
        if entry is not None and entry.current is not None:
            if meta.latest != entry.current.version or meta.state is not VersionState.LIVING:
                yield name, meta, entry.current
        elif meta.state is VersionState.LIVING:
            yield name, meta, None


def _look(driver: Driver, name: str, meta: SecretMeta, current: Current | None) -> Content:
    path = driver.path(name)
    try:
        latest = driver.store.read(path)
    except VaultRefusedError:
        return Content(readable=False)  # a role that only plans may not read secrets
    if latest.version != meta.latest:
        raise VaultError(f"{path} is being written by somebody else right now: run again")
    found = latest.field(TOKEN_ID)
    if current is None:
        return Content(token_id=found, placeholder=is_placeholder(latest))
    if found == current.token_id:
        recorded = (
            driver.store.read(path, version=current.version)
            if current.version < latest.version
            else latest
        )
        if not differs(recorded, latest):
            return Content(token_id=found)
        found = None
    holder = holder_version(
        driver, path, latest.version, current.token_id, recorded=current.version
    )
    return Content(token_id=found, holder_version=holder, placeholder=is_placeholder(latest))


def differs(recorded: SecretVersion, latest: SecretVersion) -> bool:
    """Whether another secret stands beside the right id: the recorded one was proven by a request, this one was not."""
    if recorded.secret is None or recorded.field(TOKEN_ID) != latest.field(TOKEN_ID):
        return False
    return latest.secret is None or not recorded.secret.same_as(latest.secret)


def holder_version(
    driver: Driver, path: str, latest: int, token_id: str, *, recorded: int | None = None
) -> int | None:
    """The recorded version if it is readable and holds the id, else the newest one that does."""
    versions: list[int] = [recorded] if recorded is not None and 0 < recorded <= latest else []
    for version in itertools.chain(versions, range(latest, 0, -1)):
        content = driver.store.read(path, version=version)
        if content.state is VersionState.ABSENT and version != recorded:
            return None
        if content.field(TOKEN_ID) == token_id:
            return version
    return None
