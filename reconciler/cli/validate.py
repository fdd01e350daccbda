"""Reading the manifest for a command, and ``validate``, which does nothing else.

Imports nothing that talks to anybody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.cli.console import complain_of, print_result
from reconciler.errors import UsageError
from reconciler.escape import safe
from reconciler.manifest import ManifestError, Pins, Problem, load_manifest
from reconciler.model import Manifest

DEFAULT_MANIFEST = "tokens.yaml"


def read_manifest(
    names: tuple[str, ...],
    environ: Mapping[str, str] = os.environ,
    *,
    missing_manager: bool = False,
    found: list[Problem] | None = None,
) -> Manifest:
    """The manifest; its warnings and, where it is invalid, all its problems go to standard error, and into ``found``.

    ManifestError.
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
    """What whoever runs the pipeline has pinned."""
    scopes = environ.get("RECONCILER_ALLOWED_SCOPES")
    return Pins(
        vault_prefix=environ.get("RECONCILER_VAULT_PREFIX") or None,
        allowed_scopes=tuple(s.strip() for s in scopes.split(",") if s.strip()) if scopes else None,
        missing_manager=missing_manager,
    )


def validate(names: tuple[str, ...], form: str) -> None:
    """All problems, one a line, and in the form asked for; then the verdict."""
    found: list[Problem] = []
    try:
        manifest = read_manifest(names, found=found)
    finally:
        if form != "text":
            _report(found, form)
    if form == "gitlab":
        return
    count = len(manifest.tokens)
    print_result(
        safe(f"{', '.join(manifest.files)}: {count} token{'' if count == 1 else 's'}, valid")
    )


def _report(found: Sequence[Problem], form: str) -> None:
    """The problems as GitHub's workflow commands, or as GitLab's report."""
    # few ask for it
    from reconciler.render import Remark, code_quality, workflow_commands  # noqa: PLC0415

    remarks = [Remark(mark=p.mark, severity=p.severity, message=p.message) for p in found]
    if form == "gitlab":
        print_result(code_quality(remarks))
    for line in workflow_commands(remarks) if form == "github" else ():
        print_result(line)
