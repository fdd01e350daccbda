"""``plan``: what apply would do.

Rules this module keeps:

1. Nothing is written, except to the file and the places that options name.
2. With ``--observed`` no credential is needed: the snapshot stands for exchange and
   Vault.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import click

from reconciler.cli import formats
from reconciler.cli.asked import Options, policy_of
from reconciler.cli.ci import Posts, in_actions, summarise_refusal
from reconciler.cli.console import complain, print_result
from reconciler.cli.files import write_whole
from reconciler.cli.session import open_for_reading
from reconciler.cli.snapshots import read_snapshot
from reconciler.cli.validate import DEFAULT_MANIFEST, read_manifest
from reconciler.documents import dump, plan_document
from reconciler.errors import Exit, ReconcilerError
from reconciler.manifest import load_manifest
from reconciler.model import Manifest
from reconciler.plan import NoBase, Plan, Policy, Review, review_of, violations
from reconciler.plan import plan as make_plan
from reconciler.run import look_only, refuse_distrusted
from reconciler.state import Fleet, Observed
from reconciler.values import value


@value
class PlanOptions(Options):
    """What ``plan`` is given; ``form`` is a key of ``formats.PLAN``.

    ``out`` and ``observed`` are files, ``base`` are files or folders. ``comment``,
    ``issue`` and ``reviewed`` name the service to post to or to ask.
    """

    out: str | None
    form: str
    detailed_exitcode: bool
    observed: str | None
    base: tuple[str, ...]
    comment: str | None
    issue: str | None
    reviewed: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShownPlan:
    """A plan and what it was made from, for the formats to choose from."""

    manifest: Manifest
    observed: Observed
    policy: Policy
    plan: Plan
    guards: tuple[str, ...]
    base: tuple[str, ...]

    @functools.cached_property
    def review(self) -> Review:
        """What a reviewer has to know; the base branch's manifest is read for it."""
        return review_of(
            self.plan,
            head=self.manifest,
            base=_base(self.base),
            observed=self.observed,
            policy=self.policy,
        )

    def document(self) -> str:
        """Return the plan as JSON."""
        return dump(plan_document(self.plan, policy=self.policy, guards=self.guards))


def plan(options: PlanOptions) -> None:
    """Print the plan in the format asked for; save and publish it where asked for."""
    names = options.manifest or (DEFAULT_MANIFEST,)
    with summarise_refusal("plan"):
        _refuse_link_to_base(names, options.base)
        manifest, observed, policy = _observed(options)
    shown = ShownPlan(
        manifest=manifest,
        observed=observed,
        policy=policy,
        plan=make_plan(manifest, observed, now_ms=observed.now_ms, policy=policy),
        guards=_guards(options, manifest, observed, policy),
        base=options.base,
    )
    if options.out:
        write_whole(options.out, shown.document())
    print_result(formats.PLAN[options.form](shown))
    posts = Posts(
        comment=bool(options.comment),
        issue=bool(options.issue),
        reviewed=bool(options.reviewed),
    )
    if in_actions() or posts != Posts():
        from reconciler.cli.posts import publish_plan, source_of

        fleet = Fleet(api_url=observed.api_url, place=observed.place)
        source = source_of(names, fleet, observed.now_ms if options.observed else None)
        publish_plan(shown.plan, source, guards=shown.guards, review=shown.review, posts=posts)
    if options.detailed_exitcode and not shown.plan.reached:
        raise click.exceptions.Exit(Exit.CHANGES_PENDING)


def _guards(
    options: PlanOptions, manifest: Manifest, observed: Observed, policy: Policy
) -> tuple[str, ...]:
    """Return what the guards say.

    On the newest commit of a branch a manifest is no older one, whatever was applied:
    it may be a revert.
    """
    said = violations(manifest, observed, policy)
    if not said or not options.reviewed:
        return said
    from reconciler.cli.posts import commit_is_newest

    back = dataclasses.replace(policy, allow_older_manifest=True)
    without = violations(manifest, observed, back)
    return without if said != without and commit_is_newest() else said


def _observed(options: PlanOptions) -> tuple[Manifest, Observed, Policy]:
    if options.observed:
        manifest = read_manifest(options.manifest)
        observed = read_snapshot(options.observed).observed
        policy = policy_of(manifest, options)
        refuse_distrusted(observed, manifest, policy)
        return manifest, observed, policy
    with open_for_reading(options) as runner:
        session = runner.session
        return session.manifest, runner.run(look_only(session)), session.policy


def _refuse_link_to_base(names: tuple[str, ...], base: tuple[str, ...]) -> None:
    """Raise ReconcilerError if the manifest is, or links to, the base branch's.

    The comparison would never find a difference.
    """
    ours = {file for name in names for file in _files(Path(name))}
    theirs = {file for name in base for file in _files(Path(name))}
    if ours & theirs:
        raise ReconcilerError(
            "the manifest is, or links to, the base branch's: the two have to be different files"
        )


def _files(path: Path) -> Iterator[Path]:
    yield from (file.resolve() for file in (path.iterdir() if path.is_dir() else (path,)))


def _base(names: tuple[str, ...]) -> Manifest | NoBase:
    """Return the base branch's manifest.

    An unreadable one is no error: this change may be the one that mends it.
    """
    if not names:
        return NoBase.NOT_GIVEN
    if not any(Path(name).exists() for name in names):
        return NoBase.ABSENT
    try:
        return load_manifest([Path(name) for name in names]).manifest
    except ReconcilerError:
        complain(
            "note: the base branch's manifest is not valid, so what caused each change is not known"
        )
        return NoBase.UNREADABLE
