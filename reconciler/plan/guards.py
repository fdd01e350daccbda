"""Guards: what a plan may not do unless a flag of its own allows it.

``Policy`` is the table of them. The command line's options and their help, the flags in
a saved plan, and those that the digest covers are all made from it, so that a new guard
is one field here and one key in ``schemas/plan.schema.json``.

Rules this module keeps:

1. Each guard has its own flag, and no flag lifts them all.
2. Limits are absolute numbers, not percentages: fleets are small, and a percentage
   switches itself off just there.
3. A check looks at the whole fleet, whatever ``--target`` says, and at what the
   manifest means, not at what would be done now: a row that waits counts as well. It
   stops the apply before its first write; a plan shows what it says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from reconciler.model import Manifest, iso
from reconciler.plan.change import EVERYTHING, Selection
from reconciler.plan.vocabulary import Category
from reconciler.state import Observed, Rotation, ledger_ends, superseded_at_ms
from reconciler.values import value

T = TypeVar("T", int, bool, frozenset[str])

Check = Callable[[Manifest, Observed, "Policy"], str | None]
"""What a guard says of the whole fleet; None where it agrees."""


# --- checks of the whole fleet ---


def files_missing(desired: Manifest, observed: Observed, policy: Policy) -> tuple[str, ...]:
    """Return the files that the ledger remembers and the manifest lacks, by name.

    While there is one, nothing counts as removed. None, where that is allowed.
    """
    missing = frozenset(observed.ledger.files) - frozenset(desired.files)
    return () if policy.allow_missing_files else tuple(sorted(missing))


def too_many_revocations(desired: Manifest, observed: Observed, policy: Policy) -> str | None:
    """Count the labels that leave the manifest with this apply, and have a token.

    One that is held now, because it signs, goes later all the same. A protected one
    stays, and one that was recorded as leaving was counted then.
    """
    if files_missing(desired, observed, policy):
        return None
    labels = {name for spec in desired.tokens for name in (spec.label, spec.was)}
    leaving = [
        label
        for label, entry in observed.ledger.tokens.items()
        if label not in labels
        and entry.current is not None
        and entry.current.left_ms is None
        and not entry.protect
    ]
    if len(leaving) <= policy.max_revocations:
        return None
    return (
        f"{len(leaving)} tokens would be revoked because they left the manifest, "
        f"more than --max-revocations {policy.max_revocations}: raise it if that is meant"
    )


def revokes_the_wrong(desired: Manifest, observed: Observed, policy: Policy) -> str | None:
    """Refuse to end a label at once that the manifest has, or that nobody knows."""
    wanted = sorted(policy.revoke_now & {spec.label for spec in desired.tokens})
    if wanted:
        return f"--revoke-now {', '.join(wanted)}: the manifest has it: remove its line first"
    unknown = sorted(policy.revoke_now - observed.ledger.tokens.keys())
    if unknown:
        return f"--revoke-now {', '.join(unknown)}: the ledger knows no such label"
    return None


def nothing_desired(desired: Manifest, _: Observed, policy: Policy) -> str | None:
    """Refuse an empty list: it is a mistake more often than a wish."""
    if desired.tokens or policy.allow_empty:
        return None
    return "the manifest's list of tokens is empty: --allow-empty if that is meant"


def manager_missing(desired: Manifest, _: Observed, policy: Policy) -> str | None:
    """Refuse a manifest without the manager, whose token signs lists and revokes."""
    labels = {spec.label for spec in desired.tokens}
    if policy.allow_missing_manager or desired.manager in labels:
        return None
    return (
        f"the manager {desired.manager} is not among the tokens: "
        "--allow-missing-manager if that is meant"
    )


def older_manifest(desired: Manifest, observed: Observed, policy: Policy) -> str | None:
    """Refuse a desired state that was applied, and another one after it.

    A run that is limited to rotations or to cleaning up makes nothing of it so.
    """
    if policy.allow_older_manifest or not policy.applies_manifest:
        return None
    since_ms = superseded_at_ms(observed.ledger, desired)
    if since_ms is None:
        return None
    return (
        f"this manifest is an older one: what it says was applied, and superseded on "
        f"{iso(since_ms)}: take the newest, or go back by --allow-older-manifest or a saved plan"
    )


# --- the table ---


def _guard(default: T, text: str, check: Check | None = None) -> T:
    """Make a field of ``Policy`` that is a guard, with its help and perhaps a check."""
    return dataclasses.field(
        default=default, metadata={"help": text, "default": default, "check": check}
    )


@value
class Policy:
    """What the person at the command line allows or asks for.

    A number is a limit, a boolean lifts its guard, and labels lift it for these labels.
    ``requested`` are the labels of ``rotate``, ``named`` the labels and globs that
    named them; ``compromised`` leaves them no overlap, and with ``distrust_reserve``
    their reserves go as well.
    ``rotation`` is the one that they go on with: those that are done are not rotated
    again. ``asked`` are ids whose revocation this run has sent.
    ``agreed`` are the rows of an approved plan, by ``row_key``; None without one.
    """

    selection: Selection = EVERYTHING
    max_revocations: int = _guard(
        3, "Revoke at most N tokens that left the manifest", too_many_revocations
    )
    max_rotations: int = _guard(10, "Rotate at most N due tokens in a run")
    max_missing: int = _guard(
        1, "Tolerate up to N recorded tokens missing from the exchange's list"
    )
    allow_empty: bool = _guard(
        default=False,
        text="Allow an empty list of tokens (otherwise refused as a likely mistake).",
        check=nothing_desired,
    )
    allow_missing_manager: bool = _guard(
        default=False,
        text="Allow a manifest without the manager's own token.",
        check=manager_missing,
    )
    allow_missing_files: bool = _guard(
        default=False, text="Accept that files of the manifest are gone for good."
    )
    revoke_in_use: bool = _guard(
        default=False,
        text="Revoke tokens that left the manifest even if used within their overlap.",
    )
    revoke_unproven: bool = _guard(
        default=False,
        text="Revoke although it is not proven how promptly the exchange shows uses.",
    )
    ledger_restored: bool = _guard(
        default=False,
        text="Replace tokens that are gone though newer ones of theirs live (a restored ledger).",
    )
    retry_scopes: bool = _guard(
        default=False,
        text="Derive scopes again although the exchange granted others the last time.",
    )
    allow_older_manifest: bool = _guard(
        default=False,
        text="Go back to a desired state that another one has superseded.",
        check=older_manifest,
    )
    revoke_now: frozenset[str] = _guard(
        frozenset(),
        "Revoke this label's token, which left the manifest, without waiting for its overlap",
        revokes_the_wrong,
    )
    replace: frozenset[str] = _guard(
        frozenset(),
        "Derive this label's token although a twin lives or its path is occupied",
    )
    requested: frozenset[str] = frozenset()
    named: tuple[str, ...] = ()
    rotation: Rotation | None = None
    asked: frozenset[str] = frozenset()
    compromised: bool = False
    distrust_reserve: bool = False
    agreed: frozenset[str] | None = None

    @property
    def asked_for(self) -> tuple[tuple[str, ...], bool]:
        """What tells the rotation of the requested labels from others."""
        return self.named or tuple(sorted(self.requested)), self.compromised

    @property
    def applies_manifest(self) -> bool:
        """Whether changes of the manifest are within the selection."""
        return self.selection.only not in {Category.ROTATION, Category.CLEANUP}

    def flags(self) -> tuple[str, ...]:
        """Return the guards that are not at their defaults, as command-line flags."""
        return tuple(flag for guard in GUARDS for flag in guard.given(self))

    def flags_plain(self) -> dict[str, Any]:
        """Return all guards as JSON, by name."""
        plain = {guard.name: getattr(self, guard.name) for guard in GUARDS}
        return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in plain.items()}

    def with_given(self, given: Mapping[str, Any]) -> Policy:
        """Return the policy with what else is given by name, as options or as JSON.

        A number takes the place of the one before; booleans and labels are added.
        """
        kept = {guard.name: guard.added(self, given.get(guard.name)) for guard in GUARDS}
        return dataclasses.replace(self, **kept)


@value
class Guard:
    """One flag; ``name`` is its field in ``Policy`` and its key in a saved plan."""

    name: str
    default: int | bool | frozenset[str]
    help: str
    check: Check | None

    @property
    def flag(self) -> str:
        """The flag at the command line."""
        return "--" + self.name.replace("_", "-")

    def given(self, policy: Policy) -> tuple[str, ...]:
        """Return the flag as it is given for this policy; nothing for the default."""
        value = getattr(policy, self.name)
        if value == self.default:
            return ()
        if isinstance(value, frozenset):
            return tuple(f"{self.flag} {label}" for label in sorted(value))
        return (self.flag if value is True else f"{self.flag} {value}",)

    def added(self, policy: Policy, given: Any) -> Any:
        """Return the value in ``policy`` with what is given on top; None is nothing."""
        kept = getattr(policy, self.name)
        if isinstance(kept, frozenset):
            return kept | frozenset(given or ())
        return (kept or bool(given)) if isinstance(kept, bool) else kept if given is None else given


GUARDS = tuple(Guard(name=f.name, **f.metadata) for f in dataclasses.fields(Policy) if f.metadata)
"""All guards, in the order in which help lists them."""


def violations(desired: Manifest, observed: Observed, policy: Policy) -> tuple[str, ...]:
    """Return what the guards say of the whole fleet, in order; no selection counts.

    A ledger that does not last comes first; no flag lifts that.
    """
    ends = ledger_ends(observed)
    checks = (guard.check for guard in GUARDS if guard.check is not None)
    said = (check(desired, observed, policy) for check in checks)
    return tuple(sentence for sentence in (ends, *said) if sentence is not None)
