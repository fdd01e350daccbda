"""The hand-over of the identity token: what a person runs before a run in a pipeline may derive."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from reconciler.cli.ci import mask
from reconciler.cli.console import complain, complain_of, print_result
from reconciler.cli.session import read_line_of_secret
from reconciler.errors import PersonNeededError
from reconciler.identity import NOTHING_TO_HAND_OVER, Identity, Source, place_of
from reconciler.identity import push as hand_over
from reconciler.model import SECOND_MS
from reconciler.vault import SecretStore, settings_from_environment


def push(text: str, options: Mapping[str, Any]) -> None:
    """Put the token at ``mount/path``.

    Without another source a person at a terminal is asked for it.
    """
    mount, path = place_of(text)
    file, command = options["identity_file"], options["identity_command"]
    if (
        file is None
        and command is None
        and not os.environ.get("LIMITLESS_IDENTITY_TOKEN")
        and sys.stdin.isatty()
    ):
        complain("the identity token (it is not shown):")
        file = "-"
    identity = Identity(
        os.environ, Source(file=file, command=command, read_stdin=read_line_of_secret), mask=mask
    ).token()
    if identity is None:
        raise PersonNeededError(NOTHING_TO_HAND_OVER)
    settings = settings_from_environment(os.environ)
    for warning in settings.warnings:
        complain_of(f"warning: {warning}")
    with SecretStore.connect(settings, mount=mount, mask=mask) as store:
        store.check_mount()
        now_ms = int(time.time() * SECOND_MS)
        life_s = hand_over(store, path, identity, life_s=options["ttl"], now_ms=now_ms)
    print_result(
        f"handed over at {mount}/{path} for {life_s} s: start the apply that takes it (--identity-vault {mount}/{path})"
    )
