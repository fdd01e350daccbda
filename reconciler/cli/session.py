"""From options and environment to a session of a run.

A session has the manifest, the exchange, Vault, and the keys of the run.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets as randomness
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TypeVar

from reconciler.cli import log
from reconciler.cli.asked import Options, policy_of
from reconciler.cli.ci import mask
from reconciler.cli.console import complain_of, heard_of
from reconciler.cli.validate import read_manifest
from reconciler.errors import UsageError
from reconciler.exchange import DEFAULT_API_URL, TokenClient
from reconciler.identity import (
    IdentityCheck,
    IdentityToken,
    TokenSource,
    place_of,
    refuse_within,
    take,
)
from reconciler.model import Credentials, Manifest, Secret
from reconciler.plan import Policy
from reconciler.run import Driver, Events, Keys, Session, Stage
from reconciler.values import value
from reconciler.vault import Elsewhere, SecretStore, settings_from_environment


class StderrEvents(Events):
    """Events that are worth a line, on standard error."""

    def said(self, sentence: str) -> None:
        """Print one line."""
        complain_of(sentence)


T = TypeVar("T")


@value
class Runner:
    """A session, and the driver that performs its runs at this mount and prefix."""

    session: Session
    driver: Driver
    mount: str
    prefix: str

    def run(self, stage: Stage[T]) -> T:
        """Perform a run to its end."""
        return self.driver.run(stage)


Signals = Callable[[Driver], contextlib.AbstractContextManager[None]]


def read_line_of_secret() -> str:
    """Return what a person types, without showing it, or what a pipe brings."""
    return getpass.getpass("") if sys.stdin.isatty() else sys.stdin.read()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM like Ctrl-C, so that what was opened is closed.

    It is replaced before the first write (see ``progress``).
    """
    raise KeyboardInterrupt


@contextlib.contextmanager
def open_session(
    options: Options, *, events: Events, signals: Signals, at: str | None = None
) -> Iterator[Runner]:
    """Yield a session and its driver, with everything that the environment gives.

    ``at`` is the place in Vault (``MOUNT/PREFIX``) that the driver works at, where that
    is not the manifest's. What was opened is closed at the end; a Vault login of its
    own is revoked.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    environ = os.environ
    missing_manager = bool(options.guards.get("allow_missing_manager"))
    manifest = read_manifest(options.manifest, environ, missing_manager=missing_manager)
    policy = policy_of(manifest, options)
    place = None
    if options.identity_vault is not None:
        place = place_of(options.identity_vault)
        refuse_within(manifest.place, options.identity_vault)
    source = TokenSource(
        file=options.identity_file,
        command=options.identity_command,
        handed_over=(
            (lambda digest: take(store.on(place[0]), place[1], digest))
            if place is not None
            else None
        ),
        read_stdin=read_line_of_secret,
        heard=heard_of("the identity command"),
    )
    identity = IdentityToken(environ, source, mask=mask)
    settings = settings_from_environment(environ)
    for warning in settings.warnings:
        _warn(warning)
    with (
        TokenClient(environ.get("LIMITLESS_API_URL") or DEFAULT_API_URL) as exchange,
        SecretStore.connect(settings, mount=manifest.mount, mask=mask, tell=_warn) as store,
    ):
        store.check_mount()
        check = IdentityCheck(exchange, identity, profile_id=manifest.profile_id)
        keys = Keys(identity=identity.token, check_identity=check, signer=pinned_signer(environ))
        session = _session(manifest, policy, api_url=exchange.base_url, wait_s=options.wait)
        there, prefix = _found(store, at or manifest.place)
        driver = Driver(
            exchange=exchange,
            store=there,
            prefix=prefix,
            keys=keys,
            events=events,
            signals=signals,
        )
        yield Runner(session=session, driver=driver, mount=there.mount, prefix=prefix)


def _session(manifest: Manifest, policy: Policy, *, api_url: str, wait_s: int) -> Session:
    session = Session(
        manifest=manifest,
        policy=policy,
        api_url=api_url,
        run=randomness.token_hex(8),
        who=f"{socket.gethostname()}:{os.getpid()}",
        wait_s=wait_s,
    )
    log.of_run(session.run)
    return session


def _found(store: SecretStore, place: str) -> tuple[SecretStore, str]:
    """Return the store of a place's mount, and the prefix there. VaultError."""
    own = f"{store.mount}/"
    if place.startswith(own):
        return store, place.removeprefix(own)
    return Elsewhere(store).find(place)


def _warn(sentence: str) -> None:
    complain_of(f"warning: {sentence}")


def open_for_reading(options: Options) -> contextlib.AbstractContextManager[Runner]:
    """Return a session that takes no lease, and so defers no signal."""
    return open_session(options, events=StderrEvents(), signals=lambda _: contextlib.nullcontext())


def pinned_signer(environ: Mapping[str, str]) -> Credentials | None:
    """Return ``LIMITLESS_TOKEN_ID`` and ``LIMITLESS_TOKEN_SECRET`` as a pair, or None.

    UsageError for half a pair, and for a character that no credential has.
    """
    token_id, secret = (
        environ.get("LIMITLESS_TOKEN_ID", "").strip(),
        environ.get("LIMITLESS_TOKEN_SECRET", "").strip(),
    )
    if not token_id and not secret:
        return None
    if not token_id or not secret:
        raise UsageError(
            "LIMITLESS_TOKEN_ID and LIMITLESS_TOKEN_SECRET belong together: set both or neither"
        )
    both = token_id + secret
    if not both.isascii() or not both.isprintable() or " " in both:
        raise UsageError(
            "LIMITLESS_TOKEN_ID or LIMITLESS_TOKEN_SECRET holds a character that no credential has"
        )
    return Credentials(token_id=token_id, secret=Secret(secret))
