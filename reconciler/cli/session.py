"""From options and environment to a session: the manifest, the exchange, Vault, and the keys of the run."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import secrets as randomness
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, TypeVar

from reconciler.cli.ci import mask
from reconciler.cli.console import complain_of
from reconciler.cli.validate import read_manifest
from reconciler.errors import UsageError
from reconciler.exchange import DEFAULT_API_URL, TokenClient
from reconciler.identity import Identity, IdentityCheck, Source, place_of, refuse_within, take
from reconciler.model import Credentials, Manifest, Secret
from reconciler.plan import MAX_MISSING, MAX_REVOCATIONS, MAX_ROTATIONS, Category, Policy, Selection
from reconciler.run import Driver, Events, Keys, Session, Stage
from reconciler.vault import SecretStore, settings_from_environment


class Voice(Events):
    """Events that are worth a line go to standard error."""

    def said(self, sentence: str) -> None:
        """One line."""
        complain_of(sentence)


T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A session, and the driver that performs its runs."""

    session: Session
    driver: Driver

    def run(self, stage: Stage[T]) -> T:
        """Perform a run to its end."""
        return self.driver.run(stage)


Signals = Callable[[Driver], contextlib.AbstractContextManager[None]]


def policy_of(manifest: Manifest, options: Mapping[str, Any]) -> Policy:
    """The guards and the selection that the options ask for.

    UsageError for a label that nobody knows is left to the plan.
    """
    only = options.get("only")
    both = sorted(set(options.get("targets", ())) & set(options.get("excluded", ())))
    if both:
        raise UsageError(f"{both[0]!r} is both --target and --exclude")
    return Policy(
        selection=Selection(
            targets=frozenset(options.get("targets", ())),
            excluded=frozenset(options.get("excluded", ())),
            only=Category(only) if only else None,
        ),
        max_revocations=_or(options.get("max_revocations"), MAX_REVOCATIONS),
        max_rotations=_or(options.get("max_rotations"), MAX_ROTATIONS),
        max_missing=_or(options.get("max_missing"), MAX_MISSING),
        allow_empty=options.get("allow_empty", False),
        allow_missing_manager=options.get("allow_missing_manager", False),
        allow_missing_files=options.get("allow_missing_files", False),
        revoke_in_use=options.get("revoke_in_use", False),
        replace=_labels(manifest, "--replace", options.get("replace", ())),
        requested=_labels(manifest, "--target", options.get("requested", ())),
        compromised=options.get("compromised", False),
    )


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


def _labels(manifest: Manifest, option: str, labels: tuple[str, ...]) -> frozenset[str]:
    known = {spec.label for spec in manifest.tokens}
    for label in labels:
        if label not in known:
            raise UsageError(f"{option} {label!r}: the manifest has no such label")
    return frozenset(labels)


def read_line_of_secret() -> str:
    """What a person types without its being shown, or what a pipe brings."""
    return getpass.getpass("") if sys.stdin.isatty() else sys.stdin.read()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM before anything was written is an interruption like any other: what was opened is closed."""
    raise KeyboardInterrupt


@contextlib.contextmanager
def opened(
    names: tuple[str, ...], options: Mapping[str, Any], *, events: Events, signals: Signals
) -> Iterator[Runner]:
    """A session with everything that the environment gives.

    Closes what it opened; a Vault login of its own is revoked.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    environ = os.environ
    manifest = read_manifest(
        names, environ, missing_manager=options.get("allow_missing_manager", False)
    )
    policy = policy_of(manifest, options)
    place = (
        place_of(options["identity_vault"]) if options.get("identity_vault") is not None else None
    )
    if place is not None:
        refuse_within(manifest.place, options["identity_vault"])
    source = Source(
        file=options.get("identity_file"),
        command=options.get("identity_command"),
        handed_over=(lambda: take(store.on(place[0]), place[1])) if place is not None else None,
        read_stdin=read_line_of_secret,
    )
    identity = Identity(environ, source, mask=mask)
    settings = settings_from_environment(environ)
    for warning in settings.warnings:
        complain_of(f"warning: {warning}")
    with (
        TokenClient(environ.get("LIMITLESS_API_URL") or DEFAULT_API_URL) as exchange,
        SecretStore.connect(settings, mount=manifest.mount, mask=mask) as store,
    ):
        store.check_mount()
        keys = Keys(
            identity=identity.token,
            check_identity=IdentityCheck(exchange, identity, profile_id=manifest.profile_id),
            signer=pinned_signer(environ),
        )
        session = Session(
            manifest=manifest,
            policy=policy,
            api_url=exchange.base_url,
            run=randomness.token_hex(8),
            who=f"{socket.gethostname()}:{os.getpid()}",
            wait_s=options.get("wait", 0),
        )
        driver = Driver(
            exchange=exchange,
            store=store,
            prefix=manifest.prefix,
            keys=keys,
            events=events,
            signals=signals,
        )
        yield Runner(session=session, driver=driver)


def pinned_signer(environ: Mapping[str, str]) -> Credentials | None:
    """The pair of ``LIMITLESS_TOKEN_ID`` and ``LIMITLESS_TOKEN_SECRET``.

    UsageError for half of it.
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
    if (
        not (token_id + secret).isascii()
        or not (token_id + secret).isprintable()
        or " " in token_id + secret
    ):
        raise UsageError(
            "LIMITLESS_TOKEN_ID or LIMITLESS_TOKEN_SECRET holds a character that no credential has"
        )
    return Credentials(token_id=token_id, secret=Secret(secret))
