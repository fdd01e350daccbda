"""What GitHub gets of a plan, of an apply, and of a workflow that fails.

    what             where it goes                  when
    ---------------  -----------------------------  ------------------------------------
    comment, issues  GitHub's API                   by ``--comment`` and ``--issue``
    summary          the file GITHUB_STEP_SUMMARY   where it is set
    outputs          the file GITHUB_OUTPUT         where it is set

Rules this module keeps:

1. Nothing here fails a plan or an apply: what can't be posted becomes a notice.
2. It is imported where there is something to post: a plan at somebody's desk waits for
   none of it.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from reconciler import __version__
from reconciler.cli.ci import Posts, notice, write_outputs, write_summary
from reconciler.cli.validate import DEFAULT_MANIFEST
from reconciler.cli.whose import Whose, find, placed, whose
from reconciler.documents import load_snapshot
from reconciler.errors import ReconcilerError
from reconciler.github import GitHub, GitHubError, Job, job_from
from reconciler.model import SECOND_MS
from reconciler.plan import Action, Plan, Review, is_loud
from reconciler.protocol import Ending, Report
from reconciler.render import (
    OLDER_COMMIT,
    PlanSource,
    drift_issue,
    failure_issue,
    plan_comment,
    plan_summary,
    read_marker,
    report_summary,
)
from reconciler.state import Fleet

UNATTENDED, ATTENDED = "tokens-apply", "tokens-apply-review"
"""The environments of an apply: without reviewers, and with."""

DRIFT_TITLE = "Tokens: drift, or rotations due"

SNAPSHOT = "tokens-snapshot"
"""What the artifact's name begins with; of old it was all of it."""

T = TypeVar("T")

_TROUBLE = (ReconcilerError, OSError, ValueError)


def source_of(names: tuple[str, ...], fleet: Fleet, taken_at_ms: int | None) -> PlanSource:
    """Return where the plan of a fleet comes from.

    Outside of GitHub's jobs there is no run to point at.
    """
    try:
        job: Job | None = job_from(os.environ)
    except GitHubError:
        job = None
    return PlanSource(
        manifest=" ".join(names),
        fleet=fleet,
        head=job.head_sha if job is not None else "",
        run_url=job.run_url if job is not None else "",
        version=__version__,
        taken_at_ms=taken_at_ms,
        now_ms=int(time.time() * SECOND_MS),
    )


def publish_plan(
    plan: Plan,
    source: PlanSource,
    *,
    guards: tuple[str, ...],
    review: Review,
    posts: Posts,
) -> None:
    """Leave in a pipeline what a plan is to leave there.

    A plan counts as reviewed only on the newest commit: an older one may have been
    taken back since, and a run of it that is started again must not bring it back.
    """
    newest = None
    if posts.reviewed:
        newest = commit_is_newest()
        source = dataclasses.replace(source, newest=newest is True)
    write_summary(plan_summary(plan, source, guards=guards, review=review))
    outputs: dict[str, str | int | bool] = dict(_plan_outputs(plan))
    outputs["fleet"] = source.fleet.name
    if posts.comment:
        outputs["comment-url"] = _tried(
            "the comment", lambda: _comment(plan, source, guards, review), ""
        )
    if posts.issue:
        _tried("the issue", lambda: _drift_issue(plan, source), "")
    if posts.reviewed:
        seen = _tried("the reviewed plan", lambda: _reviewed(source), "") if newest else ""
        reviewed = seen == plan.digest()
        if newest is False:
            notice(f"{OLDER_COMMIT}: a reviewer has to approve the apply")
        elif not reviewed:
            notice(
                "this plan is not the one that was reviewed in a pull request: "
                "a reviewer has to approve the apply"
            )
        quiet = not any(is_loud(c) for c in plan.acting)
        outputs |= {
            "reviewed": reviewed,
            "environment": UNATTENDED if reviewed and quiet else ATTENDED,
        }
    write_outputs(outputs)


def commit_is_newest() -> bool | None:
    """Return whether this job's commit is the latest one of the default branch.

    None where nobody can know: outside of GitHub's jobs, or where GitHub refused.
    """

    def ask() -> bool:
        job = job_from(os.environ)
        with GitHub(job) as github:
            return github.is_newest(job.sha)

    return _tried("the branch's latest commit", ask, None)


def _plan_outputs(plan: Plan) -> Iterator[tuple[str, str | int | bool]]:
    counts = plan.counts()
    yield "changes", not plan.reached
    yield "digest", plan.digest()
    for name, action in (
        ("derives", Action.DERIVE),
        ("rotations", Action.ROTATE),
        ("promotions", Action.PROMOTE),
        ("stocks", Action.STOCK),
        ("revocations", Action.REVOKE),
        ("holds", Action.HOLD),
    ):
        yield name, counts.get(action, 0)


def _tried(what: str, post: Callable[[], T], otherwise: T) -> T:
    """Return its URL, digest or answer; ``otherwise`` if GitHub refused (rule 1)."""
    try:
        return post()
    except _TROUBLE as error:
        notice(f"{what} was not posted or read: {error}")
        return otherwise


def _comment(plan: Plan, source: PlanSource, guards: tuple[str, ...], review: Review) -> str:
    job = job_from(os.environ)
    if job.pull_request is None:
        raise GitHubError("this run is for no pull request")
    with GitHub(job) as github:
        known = find(github.comments(job.pull_request), "plan", _about(source))
        if known is None and not plan.changes:
            return ""
        return github.put_comment(
            job.pull_request, known, plan_comment(plan, source, guards=guards, review=review)
        )


def _about(source: PlanSource) -> Whose:
    fleet = source.fleet
    return Whose(exchange=fleet.api_url, place=fleet.place, manifest=source.manifest)


def _drift_issue(plan: Plan, source: PlanSource) -> str:
    with GitHub(job_from(os.environ)) as github:
        known = find(github.issues(), "drift", _about(source))
        if not plan.reached or plan.asks_to_restock:
            title = f"{DRIFT_TITLE} ({source.fleet.title})"
            return github.put_issue(known, title=title, body=drift_issue(plan, source))
        if known is not None and known.is_open:
            github.close_issue(known)
        return ""


def _reviewed(source: PlanSource) -> str:
    """Return the digest that was reviewed in the merged pull request, or nothing.

    It stands in our comment there. It counts only if the comment is about the last
    commit and showed the whole plan: rows that did not fit were reviewed by nobody.
    """
    job = job_from(os.environ)
    with GitHub(job) as github:
        merged = github.merged_pull(job.sha)
        if merged is None:
            return ""
        number, head = merged
        comment = find(github.comments(number), "plan", _about(source))
    facts = read_marker("plan", comment.body) if comment is not None else None
    if facts is None or facts.get("head") != head or facts.get("truncated") is not False:
        return ""
    return str(facts.get("digest"))


def publish_report(report: Report, exit_code: int) -> None:
    """Write an apply's rows into the job's summary and its counts as outputs."""
    write_summary(report_summary(report))
    counts = report.counts()
    names = {
        "applied": Ending.APPLIED,
        "failed": Ending.FAILED,
        "held": Ending.HELD,
        "not-tried": Ending.NOT_TRIED,
    }
    write_outputs(
        {**{name: counts[status] for name, status in names.items()}, "exit-code": int(exit_code)}
    )


def report_failure(
    *, solved: bool, name: str | None = None, names: tuple[str, ...] = (DEFAULT_MANIFEST,)
) -> None:
    """Keep the rolling issue of a workflow and a fleet.

    A failure opens it, the next success closes it. ``name`` tells workflows apart that
    one workflow calls: in a called one, GitHub's own name is the caller's. ``names``
    are the files of the manifest.
    """

    def post() -> str:
        job = job_from(os.environ)
        workflow = name or job.workflow
        about = whose(names, workflow=workflow)
        with GitHub(job) as github:
            known = find(github.issues(), "failure", about)
            if not solved:
                about = placed(about, known, "failure")
                body = failure_issue(workflow, job.run_url, facts=about.facts, about=about.title)
                title = f"Workflow failed: {workflow} ({about.title})"
                return github.put_issue(known, title=title, body=body)
            if known is not None and known.is_open:
                github.close_issue(known)
            return ""

    _tried("the issue", post, "")


def published_snapshot(names: tuple[str, ...]) -> str:
    """Return the newest snapshot of a manifest's fleet.

    The default branch published it. A snapshot by the former name counts if it is of
    this fleet. GitHubError where there is none, UsageError for a bad environment.
    """
    about = whose(names)
    if about.fleet is None:
        raise GitHubError(
            f"{about.manifest} does not say its place in Vault, by which a snapshot is known"
        )
    artifact = f"{SNAPSHOT}-{about.fleet.name}"
    with GitHub(job_from(os.environ)) as github:
        found = github.snapshot(artifact) or _former(github.snapshot(SNAPSHOT), about.fleet)
    if found is None:
        raise GitHubError(
            f"the default branch has published no snapshot of {about.title} yet (an artifact named "
            f"{artifact}): run the drift workflow once"
        )
    return found


def _former(text: str | None, fleet: Fleet) -> str | None:
    """Return a snapshot of the former name if it is of this fleet."""
    if text is None:
        return None
    try:
        observed = load_snapshot(text).observed
    except ReconcilerError:
        return None
    return text if Fleet(api_url=observed.api_url, place=observed.place) == fleet else None
