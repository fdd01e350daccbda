"""``validate``, which only reads the manifest, and the same reading for other commands.

Nothing that talks to anybody is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.cli.console import complain_of, print_result
from reconciler.errors import UsageError
from reconciler.escape import counted, safe
from reconciler.manifest import ManifestError, Pins, load_manifest
from reconciler.model import Manifest, Problem

DEFAULT_MANIFEST = "tokens.yaml"


def read_manifest(
    names: tuple[str, ...],
    environ: Mapping[str, str] = os.environ,
    *,
    missing_manager: bool = False,
    found: list[Problem] | None = None,
) -> Manifest:
    """Return the manifest; write its problems to standard error and into ``found``.

    A good manifest has warnings at most. ManifestError where it is not good, UsageError
    where a name is empty.
    """
    if "" in names:
        raise UsageError("a manifest's name is empty: is a variable of your script not set?")
    try:
        loaded = load_manifest(
            [Path(name) for name in names or (DEFAULT_MANIFEST,)],
            pins=pins(environ, missing_manager=missing_manager),
        )
    except ManifestError as error:
        _tell(error.problems, found)
        raise
    _tell(loaded.warnings, found)
    return loaded.manifest


def _tell(problems: tuple[Problem, ...], found: list[Problem] | None) -> None:
    for problem in problems:
        complain_of(str(problem))
    if found is not None:
        found.extend(problems)


def pins(environ: Mapping[str, str], *, missing_manager: bool) -> Pins:
    """Return what whoever runs the pipeline has pinned."""
    scopes = environ.get("RECONCILER_ALLOWED_SCOPES")
    return Pins(
        vault_prefix=environ.get("RECONCILER_VAULT_PREFIX") or None,
        allowed_scopes=tuple(s.strip() for s in scopes.split(",") if s.strip()) if scopes else None,
        missing_manager=missing_manager,
    )


def validate(names: tuple[str, ...], form: str) -> None:
    """Write all problems, one a line and in the form asked for; then the verdict."""
    found: list[Problem] = []
    try:
        manifest = read_manifest(names, found=found)
    finally:
        if form != "text":
            _report(found, form)
    if form != "gitlab":
        files, tokens = ", ".join(manifest.files), counted(len(manifest.tokens), "token")
        print_result(safe(f"{files}: {tokens}, valid"))


def _report(found: list[Problem], form: str) -> None:
    """Write the problems as GitHub's workflow commands, or as GitLab's report."""
    # few ask for it
    from reconciler.render import code_quality, workflow_commands  # noqa: PLC0415

    for line in (code_quality(found),) if form == "gitlab" else workflow_commands(found):
        print_result(line)
