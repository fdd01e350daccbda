"""``validate``, which only reads the manifest, and the same reading for other commands.

Nothing that talks to anybody is imported here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.cli.console import complain_of, print_result
from reconciler.cli.files import MAX_FILE_CHARS
from reconciler.errors import Problem, ReconcilerError, UsageError
from reconciler.escape import counted, safe
from reconciler.manifest import ManifestError, Pins, load_manifest
from reconciler.model import Manifest

DEFAULT_MANIFEST = "tokens.yaml"

USES = {
    "plan": ": apply it with `reconciler apply --plan {name}`, "
    "look at it with `reconciler show {name}`",
    "snapshot": ": plan from it with `reconciler plan --observed {name}`",
}
"""What a document that was given as the manifest is for."""


def read_manifest(
    names: tuple[str, ...],
    environ: Mapping[str, str] = os.environ,
    *,
    missing_manager: bool = False,
    found: list[Problem] | None = None,
) -> Manifest:
    """Return the manifest; write its problems to standard error and into ``found``.

    With ``found`` those are told that only ``validate`` tells, too.

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
        _refuse_document(names)
        _tell(error.problems, found)
        raise
    _tell(loaded.warnings if found is None else (*loaded.warnings, *loaded.short_overlaps()), found)
    return loaded.manifest


def _refuse_document(names: tuple[str, ...]) -> None:
    """Raise UsageError where a file is a document of ours, given as the manifest."""
    for name in names:
        kind = _document_in(Path(name))
        if kind is not None:
            use = USES.get(kind, "")
            raise UsageError(f"{name} is a saved {kind} and no manifest" + use.format(name=name))


def _document_in(path: Path) -> str | None:
    """Return what a document of ours in a file is called, None for anything else."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_CHARS:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    name = found.get("document") if isinstance(found, dict) else None
    words = name.split() if isinstance(name, str) else []
    return words[1] if words[:1] == ["reconciler"] and len(words) == 2 else None  # noqa: PLR2004


def _tell(problems: tuple[Problem, ...], found: list[Problem] | None) -> None:
    for problem in problems:
        complain_of(str(problem), problem.severity)
    if found is not None:
        found.extend(problems)


def labels_in(names: tuple[str, ...] | None) -> list[str]:
    """Return the labels of a manifest, sorted; none where it is not a good one."""
    try:
        loaded = load_manifest([Path(name) for name in names or (DEFAULT_MANIFEST,)])
    except ReconcilerError:
        return []
    return sorted(spec.label for spec in loaded.manifest.tokens)


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
