"""Gathering: list, ledger, each path's metadata; a closer look where they differ.

Rules this module keeps:

1. It only reads. Everything is gathered before anything is decided.
2. Reads that wait on the same peer run side by side, within a bound.
3. A secret is read only where the metadata is not what the ledger says; of its content
   only the token id is kept, and the names of the fields that others wrote there.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from reconciler.errors import (
    LeaseHeldError,
    PersonNeededError,
    ReconcilerError,
    UsageError,
    VaultError,
)
from reconciler.model import (
    SECOND_MS,
    Credentials,
    Manifest,
    SecretMeta,
    SecretVersion,
    VersionState,
)
from reconciler.protocol import (
    ReadSecret,
    Refused,
    Sleep,
    Step,
    Unclear,
    UseSigner,
)
from reconciler.run.effects import (
    FollowManager,
    ReadClock,
    ReadSigner,
    Together,
)
from reconciler.run.listing import (
    BOOTSTRAP,
    check_signers_profile,
    judge_unreadable,
    refuse_wrong_exchange,
)
from reconciler.run.reads import (
    READERS,
    list_paths,
    read_ledger,
    read_meta,
    read_metas,
    read_secret,
    with_former,
)
from reconciler.run.stand_in import list_or_stand_in
from reconciler.state import (
    LEDGER_NAME,
    SETTING,
    TOKEN_ID,
    Content,
    Entry,
    Ledger,
    Look,
    Observed,
    credentials_of,
    doubt_of,
    is_placeholder,
    is_reserve_path,
    learnt,
    ledger_end,
    look_of,
    named_others,
    others_of,
    own_fields,
    own_ids,
    together,
)

LOOKS = 8
LOOKS_APART_MS = 300
"""The exchange's pace: waited for before the ledger is read, it keeps the look short. A
run that derives writes the ledger ten times a second.
"""
LIST_LIMIT = 1000


class NoSignerError(PersonNeededError):
    """No ledger or no signer yet. Believed when it is so a moment later as well."""


class LedgerMissingError(ReconcilerError):
    """There is no ledger, but there are secrets below the prefix: something is lost."""


def take_snapshot(
    manifest: Manifest, api_url: str, before: Observed | None = None, *, wait_s: int = 0
) -> Step[Observed]:
    """Return one snapshot. The run's signer is found on the way, if it has none yet.

    ``before`` is the run's last one: two lists tell more about uses than one. Where the
    ledger was written meanwhile, what was read before and after does not belong
    together: it looks again, and once a second for ``wait_s``. Raises PersonNeededError
    (no ledger or no signer yet: bootstrap), LeaseHeldError (it is written all the
    time), LedgerMissingError, VaultError, ExchangeError.
    """
    for looked in range(LOOKS + wait_s):
        if looked:
            yield from Sleep(ms=LOOKS_APART_MS if looked < LOOKS else SECOND_MS)
        try:
            observed = yield from _snapshot(manifest, api_url, before)
        except NoSignerError:
            if looked:
                raise
            continue
        ledger_now = yield from read_meta(LEDGER_NAME)
        if ledger_now.latest == observed.ledger_version:
            secrets = {**observed.secrets, LEDGER_NAME: ledger_now}
            return dataclasses.replace(observed, secrets=secrets)
    raise LeaseHeldError(
        "another run writes the ledger all the time: run again later; an apply waits for it "
        "with --wait SECONDS"
    )


def _snapshot(manifest: Manifest, api_url: str, earlier: Observed | None) -> Step[Observed]:
    ledger, version = yield from read_ledger()
    if ledger is None:
        yield from refuse_lost_ledger(manifest, version)
        where = f"{manifest.place}/{LEDGER_NAME}"
        raise NoSignerError(
            f"there is no ledger at {where} yet: {BOOTSTRAP}; where the mount or the prefix "
            "has changed, `reconciler move --from MOUNT/PREFIX` brings ledger and secrets here"
        )
    refuse_wrong_exchange(ledger, api_url)
    signer = yield from find_signer(manifest, ledger)
    before = yield from ReadClock()
    paths = _paths(manifest, ledger)
    asking = partial(list_or_stand_in, signer, manager_entry(manifest, ledger))
    found, metas = yield from Together(steps=(asking, partial(read_metas, paths)), width=2)
    assert isinstance(found, tuple)  # noqa: S101  # the first of the two
    assert isinstance(metas, dict)  # noqa: S101  # the second
    signs, listed = found
    if signs != signer:
        yield from UseSigner(credentials=signs)
    metas = yield from with_former(ledger, metas)
    unreadable = yield from judge_unreadable(manifest, ledger, listed)
    if earlier is None:
        yield from check_signers_profile(manifest, ledger, signs)
    suspects = tuple(_suspects(ledger, metas))
    looks = yield from Together(
        steps=tuple(partial(_look, *suspect) for suspect in suspects), width=READERS
    )
    after = yield from ReadClock()
    # The list is as old as its question, on the clock as it is known by now.
    now_ms = after.now_ms - (after.steady_ms - before.steady_ms)
    observed = Observed(
        now_ms=now_ms,
        api_url=api_url,
        place=manifest.place,
        ledger=ledger,
        ledger_version=version,
        live=listed.tokens,
        signer_id=signs.token_id,
        secrets=metas,
        contents={path: content for (path, _, _), content in zip(suspects, looks, strict=True)},
        foreign_unnamed=unreadable,
        uses=ledger.uses if earlier is None else together(ledger.uses, earlier.uses),
    )
    return with_look(observed, earlier.look if earlier is not None else None)


def with_look(observed: Observed, before: Look | None) -> Observed:
    """Return the snapshot with what its list tells about the worth of shown uses."""
    look = look_of(observed.signer_id, observed.live, at_ms=observed.now_ms)
    uses = observed.uses if look is None else learnt(observed.uses, look, before)
    return dataclasses.replace(observed, look=look, uses=uses, doubt_ms=doubt_of(uses))


# --- the ledger and the signer ---


def refuse_lost_ledger(manifest: Manifest, version: int) -> Step[None]:
    """Raise LedgerMissingError if there are secrets, or the ledger was deleted."""
    where = f"{manifest.mount} {manifest.prefix}/{LEDGER_NAME}"
    if version > 0:
        ended = ledger_end(manifest.place, (yield from read_meta(LEDGER_NAME)))
        if ended is not None:
            raise LedgerMissingError(f"{ended} and run again")
        raise LedgerMissingError(
            f"the latest version of the ledger was deleted; bring it back with "
            f"`vault kv undelete -versions={version} -mount={where}` and run again"
        )
    listed = yield from list_paths(limit=LIST_LIMIT)
    names = yield from _written([path for path in listed if path != LEDGER_NAME])
    if names:
        raise LedgerMissingError(
            f"there is no ledger, but {len(names)} secrets lie below the prefix "
            f"(such as {manifest.prefix}/{names[0]}): if it was destroyed, "
            f"restore it from Vault's backup (deleted versions: `vault kv undelete -versions=N "
            f"-mount={where}`); if it lies elsewhere, `reconciler move --from MOUNT/PREFIX`; "
            "if the secrets are not ours, choose another prefix"
        )


def _written(paths: Sequence[str]) -> Step[list[str]]:
    """Return the paths that hold, or held, a secret: metadata alone are none.

    A folder that can't be entered counts as one.
    """
    folders = [path for path in paths if path.endswith("/")]
    metas = yield from read_metas([path for path in paths if path not in folders])
    return sorted([*folders, *(path for path, meta in metas.items() if meta.latest)])


def find_signer(manifest: Manifest, ledger: Ledger) -> Step[Credentials]:
    """Return the pair that signs list and revoke: the pinned one, or the manager's.

    PersonNeededError if there is none.
    """
    known = yield from ReadSigner()
    if known.pinned and known.credentials is not None:
        owner = ledger.known_ids().get(known.credentials.token_id)
        if owner not in {None, manifest.manager, _managers_former(manifest)}:
            raise UsageError(
                f"LIMITLESS_TOKEN_ID is the managed token of {owner}: signing with it would "
                "look like its consumer's use; unset it, or use another token"
            )
        if owner is not None:
            yield from FollowManager()
        return known.credentials
    signer = yield from manager_signer(manifest, ledger)
    if signer is None:
        why = yield from _why_no_signer(manifest, ledger)
        raise NoSignerError(f"there is no token to sign with ({why}): {BOOTSTRAP}")
    yield from UseSigner(credentials=signer)
    return signer


def _managers_former(manifest: Manifest) -> str | None:
    return next((s.was for s in manifest.tokens if s.label == manifest.manager), None)


def manager_entry(manifest: Manifest, ledger: Ledger) -> Entry | None:
    """Return what is known of the manager, which may still have its former label."""
    entry = ledger.tokens.get(manifest.manager)
    return entry or ledger.tokens.get(_managers_former(manifest) or "")


def _why_no_signer(manifest: Manifest, ledger: Ledger) -> Step[str]:
    entry = manager_entry(manifest, ledger)
    if any(row.label == manifest.manager for row in ledger.released) and entry is None:
        return f"the manager {manifest.manager} was released"
    if entry is None or entry.current is None:
        return f"the manager {manifest.manager} has no secret yet"
    meta = yield from read_meta(entry.path)
    ended = meta.end_text() if meta.state is VersionState.DELETED else ""
    because = f": {ended}, by {SETTING}" if ended else ""
    return f"the manager {manifest.manager} has no secret any more{because}"


def manager_signer(manifest: Manifest, ledger: Ledger) -> Step[Credentials | None]:
    """Return what the manager's secret holds, or held while its token is still current.

    So a deleted secret locks nobody out.
    """
    entry = manager_entry(manifest, ledger)
    if entry is None or entry.current is None:
        return None
    current = entry.current
    latest = yield from read_secret(entry.path)
    if current.unsigned:
        return (yield from _predecessors_pair(entry, latest.version))
    found = credentials_of(latest)
    is_current = found is not None and found.token_id == current.token_id
    if is_current and latest.version_id.is_same(current.version_id):
        return found
    version = yield from holder_version(
        entry.path, latest.version, current.token_id, recorded=current.version
    )
    unrecorded = unrecorded_token(entry)
    if version is None and unrecorded is not None:
        version = yield from holder_version(entry.path, latest.version, unrecorded)
    if version is None:
        return None
    return credentials_of((yield from read_secret(entry.path, version)))


def _predecessors_pair(entry: Entry, latest: int) -> Step[Credentials | None]:
    """Return the newest predecessor's pair: the current secret is known not to sign."""
    for old in sorted(entry.retiring, key=lambda r: r.superseded_at_ms, reverse=True):
        version = yield from holder_version(old.path or entry.path, latest, old.token_id)
        if version is not None:
            return credentials_of((yield from read_secret(old.path or entry.path, version)))
    return None


def unrecorded_token(entry: Entry) -> str | None:
    """Return the token that the open intent names, if it is for the label's path."""
    intent = entry.intent
    return intent.token_id if intent is not None and intent.path == entry.path else None


# --- paths ---


def _paths(manifest: Manifest, ledger: Ledger) -> list[str]:
    names = {spec.path for spec in manifest.tokens}
    for entry in ledger.tokens.values():
        names.add(entry.path)
        if entry.intent is not None:
            names.add(entry.intent.path)
        names.update(kept.path for kept in entry.reserve)
    return sorted(names)


def _suspects(
    ledger: Ledger, metas: Mapping[str, SecretMeta]
) -> Iterator[tuple[str, SecretMeta, Entry | None]]:
    """Paths whose metadata is not the ledger's, with the label that should be there."""
    owned = {e.path: e for e in ledger.tokens.values() if e.is_at(e.path)}
    for name, meta in metas.items():
        entry = owned.get(name)
        if is_reserve_path(name):
            continue  # its only version is proven before it is used
        if entry is None:
            if meta.state is VersionState.LIVING:
                yield name, meta, None
        elif entry.current is not None and not entry.current.is_in_place(meta):
            yield name, meta, entry


def _look(path: str, meta: SecretMeta, entry: Entry | None) -> Step[Content]:
    latest = yield from ReadSecret(path=path)
    if isinstance(latest, Refused):
        return Content(readable=False)  # a role that only plans may not read secrets
    if isinstance(latest, Unclear):
        raise VaultError(latest.sentence)
    if not latest.version_id.is_same(meta.version_id):
        raise VaultError(f"{path} is being written by somebody else right now: run again")
    found = latest.field(TOKEN_ID)
    if entry is None or entry.current is None:
        empty = is_placeholder(latest)
        others = named_others(own_fields(latest, Entry(path=path)))
        return Content(token_id=found, placeholder=empty, others=others)
    current, beside = entry.current, others_of(latest, entry)
    if found == current.token_id:
        recorded = latest
        if current.version < latest.version:
            recorded = yield from read_secret(path, current.version)
        known = recorded.version_id.is_same(current.version_id)
        if not known or not differs(recorded, latest):
            return Content(token_id=found, others=named_others(beside))
        found = None
    holder = yield from _holder(path, latest.version, current.token_id, recorded=current.version)
    if holder is not None and found not in own_ids(entry):  # it is what is written again
        beside = (*own_fields(holder, entry), *beside)
    return Content(
        token_id=found,
        holder_version=holder.version if holder is not None else None,
        placeholder=is_placeholder(latest),
        others=named_others(beside),
    )


def differs(recorded: SecretVersion, latest: SecretVersion) -> bool:
    """Tell whether another secret stands beside the right id.

    The recorded one was proven by a request, the latest was not.
    """
    if recorded.secret is None or recorded.field(TOKEN_ID) != latest.field(TOKEN_ID):
        return False
    return latest.secret is None or not recorded.secret.same_as(latest.secret)


def holder_version(
    path: str, latest: int, token_id: str, *, recorded: int | None = None
) -> Step[int | None]:
    """Return the recorded version if it holds the id, else the newest that does."""
    holder = yield from _holder(path, latest, token_id, recorded=recorded)
    return holder.version if holder is not None else None


def _holder(
    path: str, latest: int, token_id: str, *, recorded: int | None
) -> Step[SecretVersion | None]:
    first = [recorded] if recorded is not None and 0 < recorded <= latest else []
    for version in itertools.chain(first, range(latest, 0, -1)):
        content = yield from read_secret(path, version)
        if content.state is VersionState.ABSENT and version != recorded:
            return None
        if content.field(TOKEN_ID) == token_id:
            return content
    return None
