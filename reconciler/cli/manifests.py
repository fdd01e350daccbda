"""Reading the manifest for a command, and ``validate``, which does nothing else. Imports nothing that talks to anybody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.cli import complain
from reconciler.cli.console import print_result
from reconciler.errors import UsageError
from reconciler.manifest import ManifestError, Pins, load_manifest
from reconciler.model import Manifest

DEFAULT_MANIFEST = "tokens.yaml"


def read_manifest(
    names: tuple[str, ...], environ: Mapping[str, str] = os.environ, *, missing_manager: bool = False
) -> Manifest:
    """The manifest; its warnings and, where it is invalid, all its problems go to standard error. ManifestError."""
    if "" in names:
        raise UsageError("a manifest's name is empty: is a variable of your script not set?")
    try:
        loaded = load_manifest(
            [Path(name) for name in names or (DEFAULT_MANIFEST,)], pins=pins(environ, missing_manager=missing_manager)
        )
    except ManifestError as error:
        for problem in error.problems:
            complain(str(problem))
        raise
    for warning in loaded.warnings:
        complain(str(warning))
    return loaded.manifest


def pins(environ: Mapping[str, str], *, missing_manager: bool) -> Pins:
    """What whoever runs the pipeline has pinned."""
    scopes = environ.get("RECONCILER_ALLOWED_SCOPES")
    return Pins(
        vault_prefix=environ.get("RECONCILER_VAULT_PREFIX") or None,
        allowed_scopes=tuple(s.strip() for s in scopes.split(",") if s.strip()) if scopes else None,
        missing_manager=missing_manager,
    )


def validate(names: tuple[str, ...]) -> None:
    """All problems, one a line; then the verdict."""
    manifest = read_manifest(names)
    count = len(manifest.tokens)
    print_result(f"{', '.join(manifest.files)}: {count} token{'' if count == 1 else 's'}, valid")
