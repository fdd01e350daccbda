"""``identity push``: hand an identity token over to a run in a pipeline."""

from __future__ import annotations

import os
import sys
import time

from reconciler.cli.ci import mask
from reconciler.cli.console import complain, complain_of, heard_of, print_result
from reconciler.cli.session import read_line_of_secret
from reconciler.errors import PersonNeededError
from reconciler.identity import (
    NOTHING_TO_HAND_OVER,
    IdentityToken,
    TokenSource,
    hand_over,
    place_of,
    plan_served,
)
from reconciler.model import SECOND_MS
from reconciler.values import value
from reconciler.vault import SecretStore, settings_from_environment


@value
class PushOptions:
    """What ``identity push`` is given; ``ttl`` is in seconds, ``plan`` a digest."""

    place: str
    identity_file: str | None
    identity_command: str | None
    ttl: int
    plan: str | None = None


def push(options: PushOptions) -> None:
    """Put the token at a place in Vault.

    Without another source, a person at a terminal is asked for it.
    """
    mount, path = place_of(options.place)
    plan = plan_served(options.plan) if options.plan is not None else None
    file, command = options.identity_file, options.identity_command
    given = file or command or os.environ.get("LIMITLESS_IDENTITY_TOKEN")
    if not given and sys.stdin.isatty():
        complain("the identity token (it is not shown):")
        file = "-"
    source = TokenSource(
        file=file,
        command=command,
        read_stdin=read_line_of_secret,
        heard=heard_of("the identity command"),
    )
    identity = IdentityToken(os.environ, source, mask=mask).token()
    if identity is None:
        raise PersonNeededError(NOTHING_TO_HAND_OVER)
    settings = settings_from_environment(os.environ)
    for warning in settings.warnings:
        complain_of(f"warning: {warning}")
    with SecretStore.connect(settings, mount=mount, mask=mask) as store:
        store.check_mount()
        now_ms = int(time.time() * SECOND_MS)
        life_s = hand_over(store, path, identity, life_s=options.ttl, now_ms=now_ms, plan=plan)
    print_result(
        f"handed over at {mount}/{path} for {life_s} s{f', for {plan}' if plan else ''}: "
        f"start the apply that takes it (--identity-vault {mount}/{path})"
    )
