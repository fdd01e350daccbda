"""``doctor``: everything that an apply will need, checked without a write.

One check after the other, each a line. What can't be checked because an earlier one
failed is not told. An identity token that is missing or over is a warning: only a
derive needs one. `--identity-vault` is not offered, because taking a token destroys it.
Where the ledger belongs to another exchange, nothing is sent to this one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterator, Mapping

import click

from reconciler.cli.asked import Options, policy_of
from reconciler.cli.ci import mask
from reconciler.cli.console import print_result
from reconciler.cli.doctor_reserve import of_reserve
from reconciler.cli.schedules import schedule_checks
from reconciler.cli.session import StderrEvents, pinned_signer, read_line_of_secret
from reconciler.cli.validate import read_manifest
from reconciler.documents import Check, Health, doctor_document, dump
from reconciler.errors import Exit, PersonNeededError, ReconcilerError
from reconciler.escape import counted, safe
from reconciler.exchange import DEFAULT_API_URL, TokenClient
from reconciler.identity import IdentityCheck, IdentityToken, TokenSource
from reconciler.model import SECOND_MS, Manifest, length_text
from reconciler.run import Driver, Keys, Session, look_only, read_ledger, read_meta, unallowed
from reconciler.state import LEDGER_NAME, RESERVE_FOLDER, Observed, few_versions, ledger_end
from reconciler.values import value
from reconciler.vault import SecretStore, settings_from_environment

TOKEN_REST_MIN_S = 600
SKEW_WARN_MS = 5 * SECOND_MS

RIGHTS = (
    ("data", ("create", "read", "update")),
    ("metadata", ("read",)),
    ("delete", ("update",)),
)
"""What an apply does at each path, by the kind of Vault's address."""


@value
class DoctorOptions(Options):
    """What ``doctor`` is given."""

    form: str
    schedules: tuple[str, ...] = ()


def doctor(options: DoctorOptions) -> None:
    """Print each check; exit with 1 where one fails."""
    checks: list[Check] = []
    with contextlib.suppress(_Stopped):
        for check in _checks(options, os.environ):
            checks.append(check)
            if options.form == "text":
                print_result(_line(check))
    if options.form == "json":
        print_result(dump(doctor_document(checks)))
    failed = sum(check.health is Health.FAIL for check in checks)
    if options.form == "text":
        warned = sum(check.health is Health.WARN for check in checks)
        print_result(f"{counted(len(checks), 'check')}: {failed} failed, {warned} to look at")
    raise click.exceptions.Exit(Exit.ERROR if failed else Exit.DONE)


def _line(check: Check) -> str:
    said = f"{check.message}: {check.action}" if check.action else check.message
    return f"{check.health.value:<4}  {check.id:<16}  {safe(said)}"


class _Stopped(Exception):  # noqa: N818  # no error: nothing more can be checked
    """A check failed that all later ones build on."""


def _ok(name: str, message: str) -> Check:
    return Check(id=name, health=Health.OK, message=message)


def _warn(name: str, message: str, action: str = "") -> Check:
    return Check(id=name, health=Health.WARN, message=message, action=action)


def _fail(name: str, message: str, action: str = "") -> Check:
    return Check(id=name, health=Health.FAIL, message=message, action=action)


def _checks(options: DoctorOptions, environ: Mapping[str, str]) -> Iterator[Check]:
    yield _pipeline(environ)
    try:
        manifest = read_manifest(options.manifest, environ)
    except ReconcilerError as error:
        yield _fail("manifest", str(error), "`reconciler validate` names each mistake")
        return
    yield _ok("manifest", f"{counted(len(manifest.tokens), 'token')}, secrets at {manifest.place}")
    now_ms = round(time.time() * SECOND_MS)
    yield from schedule_checks(options.schedules, manifest, now_ms)
    try:
        settings = settings_from_environment(environ)
        exchange = TokenClient(environ.get("LIMITLESS_API_URL") or DEFAULT_API_URL)
    except ReconcilerError as error:
        yield _fail("environment", str(error))
        return
    told = list(settings.warnings)
    with exchange:
        try:
            store = SecretStore.connect(settings, mount=manifest.mount, mask=mask, tell=told.append)
        except ReconcilerError as error:
            yield _fail("vault.login", str(error))
            return
        with store:
            yield from (_warn("environment", sentence) for sentence in told)
            yield from _of_vault(store, manifest)
            yield from _of_both(options, manifest, exchange, store, environ)


def _pipeline(environ: Mapping[str, str]) -> Check:
    if environ.get("GITHUB_ACTIONS") == "true":
        offered = {
            "id-token: write": "ACTIONS_ID_TOKEN_REQUEST_URL" in environ,
            "GITHUB_TOKEN": bool(environ.get("GITHUB_TOKEN")),
        }
        parts = [f"{name} {'is' if there else 'is not'} there" for name, there in offered.items()]
        return _ok("pipeline", f"GitHub Actions; {', '.join(parts)}")
    return _ok(
        "pipeline", "a pipeline (CI is set)" if environ.get("CI") else "not in one (CI is not set)"
    )


def _of_vault(store: SecretStore, manifest: Manifest) -> Iterator[Check]:
    try:
        store.check_mount()
        life_ms = store.mount_life_ms()
    except ReconcilerError as error:
        yield _fail("vault.mount", str(error))
        raise _Stopped from None
    yield _ok("vault.mount", f"{manifest.mount} is a KV engine of version 2")
    if life_ms is not None:
        yield _fail(
            "vault.retention",
            f"what is written on {manifest.mount} ends by itself after {length_text(life_ms)}",
            "set delete_version_after of the mount to 0s",
        )
    yield _token(store)
    yield _rights(store, manifest)
    store.scan_metas(manifest.prefix, [LEDGER_NAME])
    yield _ok("vault.scan", store.reads_singly or "one call brings the metadata of all paths")


def _token(store: SecretStore) -> Check:
    token = store.login.looked_up()
    if token is None:
        return _warn("vault.token", "the token may not look itself up, so its rest is not known")
    ttl = token.get("ttl")
    ttl_s = ttl if isinstance(ttl, int) else 0
    if ttl_s <= 0:
        return _ok("vault.token", "does not end")
    rest = f"ends in {ttl_s} s"
    if ttl_s < TOKEN_REST_MIN_S and token.get("renewable") is not True:
        return _warn("vault.token", rest, "get one that lives longer")
    return _ok("vault.token", rest)


def _rights(store: SecretStore, manifest: Manifest) -> Check:
    names = [LEDGER_NAME, *sorted(spec.path for spec in manifest.tokens)]
    needs = {
        f"{store.mount}/{kind}/{manifest.prefix}/{name}": frozenset(verbs)
        for name in names
        for kind, verbs in RIGHTS
    }
    needs[f"{store.mount}/metadata/{manifest.prefix}/"] = frozenset({"list"})
    if any(spec.reserve for spec in manifest.tokens):
        folder = f"{manifest.prefix}/{RESERVE_FOLDER}/*"
        kinds = (*RIGHTS, ("undelete", ("update",)))
        needs |= {f"{store.mount}/{kind}/{folder}": frozenset(verbs) for kind, verbs in kinds}
    found = store.login.rights(tuple(needs))
    if found is None:
        return _warn("vault.rights", "Vault does not tell what the token may do")
    lacking = [
        f"{', '.join(sorted(wanted - found[path]))} on {path}"
        for path, wanted in needs.items()
        if "root" not in found[path] and not wanted <= found[path]
    ]
    if not lacking:
        return _ok("vault.rights", f"all that an apply needs, at {counted(len(needs), 'path')}")
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""  # noqa: PLR2004
    return _fail(
        "vault.rights",
        f"the token lacks {'; '.join(lacking[:3])}{more}",
        "give its role the policy of docs/install.md",
    )


def _of_both(
    options: DoctorOptions,
    manifest: Manifest,
    exchange: TokenClient,
    store: SecretStore,
    environ: Mapping[str, str],
) -> Iterator[Check]:
    source = TokenSource(
        file=options.identity_file,
        command=options.identity_command,
        handed_over=None,
        read_stdin=read_line_of_secret,
    )
    try:
        identity = IdentityToken(environ, source, mask=mask)
        check = IdentityCheck(exchange, identity, profile_id=manifest.profile_id)
        keys = Keys(identity=identity.token, check_identity=check, signer=pinned_signer(environ))
        session = Session(
            manifest=manifest,
            policy=policy_of(manifest, options),
            api_url=exchange.base_url,
            run="doctor",
            who="doctor",
        )
    except ReconcilerError as error:
        yield _fail("environment", str(error))
        return
    driver = Driver(
        exchange=exchange, store=store, prefix=manifest.prefix, keys=keys, events=StderrEvents()
    )
    observed: Observed | None = None
    try:
        if (yield from _of_ledger(driver, session)):
            observed = driver.run(look_only(session))
            profile = observed.ledger.profile_id
            yield _ok(
                "exchange",
                f"{exchange.base_url} lists {counted(len(observed.live), 'token')}, signed by "
                f"{observed.signer_id}" + ("" if profile is None else f", profile {profile}"),
            )
            yield from (_warn("vault.versions", sentence) for sentence in few_versions(observed))
            yield from of_reserve(driver, store, manifest, observed)
    except ReconcilerError as error:
        yield _fail("exchange", str(error))
    yield from _identity(manifest, check, identity, observed)
    if exchange.clock().is_measured:
        yield _clock(exchange)


def _of_ledger(driver: Driver, session: Session) -> Generator[Check, None, bool]:
    """Yield the check of the ledger; return whether there is one to look with."""
    place = session.manifest.place
    try:
        ledger, version = driver.run(read_ledger())
        meta = driver.run(read_meta(LEDGER_NAME))
    except ReconcilerError as error:
        yield _fail("ledger", str(error))
        return False
    ends = ledger_end(place, meta)
    if ends is not None:
        yield _fail("ledger", ends)
    elif ledger is None:
        yield _missing(driver, session)
    elif ledger.api_url != session.api_url:
        yield _fail(
            "ledger",
            f"it belongs to {ledger.api_url}, and this run would ask {session.api_url}",
            "set LIMITLESS_API_URL to the first, or correct the manifest's prefix",
        )
        raise _Stopped
    else:
        yield _ok("ledger", f"at {place}, version {version}")
    return ledger is not None


def _missing(driver: Driver, session: Session) -> Check:
    """Return what is said of a ledger that is not there yet, or not any more."""
    try:
        driver.run(look_only(session))
    except ReconcilerError as error:
        message, _, action = str(error).partition(": ")
        return _fail("ledger", message, action)
    return _warn("ledger", "it was written just now", "run `reconciler doctor` again")


def _identity(
    manifest: Manifest,
    check: IdentityCheck,
    identity: IdentityToken,
    observed: Observed | None,
) -> Iterator[Check]:
    profile = observed.ledger.profile_id if observed is not None else None
    try:
        if identity.token() is None:
            yield _warn(
                "identity", "there is no identity token", "a derive or a rotation needs one"
            )
            return
        found = check(1, profile or manifest.profile_id, None)
    except PersonNeededError as error:
        yield _warn("identity", str(error))
        return
    except ReconcilerError as error:
        yield _fail("identity", str(error))
        return
    yield _ok("identity", f"may derive, for profile {found.profile_id}")
    wanted = sorted({scope for spec in manifest.tokens for scope in spec.scopes})
    refused = unallowed(found, wanted)
    yield (
        _fail("scopes", refused)
        if refused
        else _ok("scopes", f"the exchange allows {', '.join(wanted) or 'what is asked'}")
    )


def _clock(exchange: TokenClient) -> Check:
    ahead_ms = round(exchange.clock().now_ms() - time.time() * SECOND_MS)
    if abs(ahead_ms) < SKEW_WARN_MS:
        return _ok("clock", "agrees with the exchange's within 5 s")
    side = "behind" if ahead_ms > 0 else "ahead of"
    return _warn(
        "clock",
        f"this machine is {abs(ahead_ms) // SECOND_MS} s {side} the exchange",
        "set it right",
    )
