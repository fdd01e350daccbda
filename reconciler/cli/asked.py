"""What a command about a manifest is asked: its options, and the policy that they mean.

Nothing that talks to a peer is loaded for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from reconciler.errors import UsageError
from reconciler.model import Manifest
from reconciler.plan import ALL, Category, Policy, Selection, meant
from reconciler.values import value


@value
class Options:
    """What a command that opens a session may be given.

    ``manifest`` are files or folders. ``targets``, ``excluded`` and ``requested`` are
    labels or globs, ``rotates_all`` requests every label of the manifest, ``wait`` is
    in seconds. ``guards`` has what the guards' options are given, by their names in
    ``Policy``.
    """

    manifest: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    only: str | None = None
    requested: tuple[str, ...] = ()
    rotates_all: bool = False
    compromised: bool = False
    distrust_reserve: bool = False
    identity_file: str | None = None
    identity_command: str | None = None
    identity_vault: str | None = None
    wait: int = 0
    guards: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options that click parsed; what is no field belongs to a guard."""
        names = {field.name for field in dataclasses.fields(cls)}
        own = {name: value for name, value in given.items() if name in names}
        return cls(**own, guards={k: v for k, v in given.items() if k not in names})


def policy_of(manifest: Manifest, options: Options) -> Policy:
    """Return the selection and the guards that the options ask for.

    UsageError for a label that both --target and --exclude name, and for one to replace
    or rotate that is not in the manifest. Whether a selected label is known at all is
    looked at later, because the ledger may know it.
    """
    both = sorted(set(options.targets) & set(options.excluded))
    if both:
        raise UsageError(f"{both[0]!r} is both --target and --exclude")
    known = frozenset(spec.label for spec in manifest.tokens)
    for label in sorted(options.guards.get("replace", ())):
        if label not in known:
            raise UsageError(f"--replace {label!r}: the manifest has no such label")
    if options.distrust_reserve and not options.compromised:
        raise UsageError("--distrust-reserve goes with --compromised")
    requested: frozenset[str] = known if options.rotates_all else frozenset()
    for word in options.requested:
        if not meant(word, known):
            raise UsageError(f"--target {word!r}: the manifest has no such label")
        requested |= meant(word, known)
    policy = Policy(
        selection=Selection(
            targets=requested or frozenset(options.targets),
            excluded=frozenset(options.excluded),
            only=Category(options.only) if options.only else None,
        ),
        requested=requested,
        named=(ALL,) if options.rotates_all else tuple(sorted(set(options.requested))),
        compromised=options.compromised,
        distrust_reserve=options.distrust_reserve,
    )
    return policy.with_given(options.guards)
