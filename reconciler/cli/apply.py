"""``apply`` and ``rotate``: make exchange and Vault what the manifest says."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reconciler.cli.asked import Options
from reconciler.cli.ci import in_actions, summarise_refusal, write_outputs, write_summary
from reconciler.cli.console import complain, complain_of, print_result, tell
from reconciler.cli.files import clear, read_text, refuse_unwritable, write_whole
from reconciler.cli.measured import Measure, run_measured
from reconciler.cli.notify import argv_of, notify
from reconciler.cli.progress import open_for_writing
from reconciler.cli.validate import DEFAULT_MANIFEST
from reconciler.documents import dump, load_plan, report_document
from reconciler.errors import Exit, UsageError
from reconciler.escape import safe
from reconciler.manifest import load_manifest
from reconciler.plan import Policy
from reconciler.protocol import Approved, Report, approve
from reconciler.render import held_lines, report_last_line, stale_text, twin_sentence, why
from reconciler.run import (
    OlderManifestError,
    Session,
    Stage,
    StalePlanError,
    apply_manifest,
    rotate_labels,
)
from reconciler.state import Fleet, word_of
from reconciler.values import value


@value
class ApplyOptions(Options):
    """What ``apply`` and ``rotate`` are given; ``plan_file``, ``report`` are files.

    ``token_id`` may be the beginning of the id of a token to rotate. ``anew``: an
    unfinished rotation is not gone on with. ``metrics`` is a file, ``notify_command`` a
    program with its arguments.
    """

    yes: bool
    report: str | None
    metrics: str | None = None
    notify_command: str | None = None
    plan_file: str | None = None
    token_id: str | None = None
    anew: bool = False


def apply(options: ApplyOptions) -> None:
    """Apply the manifest, or exactly a saved plan.

    On the newest commit of a branch, in GitHub Actions, a manifest is no older one,
    whatever was applied: it may be a revert.
    """
    if not options.plan_file:
        _apply(options, None)
        return
    saved = load_plan(read_text(options.plan_file))
    if options.targets or options.excluded or options.only:
        raise UsageError(
            "a saved plan has its selection in it: leave --target, --exclude and --only out"
        )
    try:
        _apply(_with_policy(options, saved.policy), approve(saved.plan, as_of_ms=saved.as_of_ms))
    except StalePlanError as error:
        difference = stale_text(saved.plan, error.now)
        complain(difference)
        if in_actions():
            write_summary(f"```text\n{difference.replace('```', chr(39) * 3)}\n```\n")
        raise


def _with_policy(options: ApplyOptions, policy: Policy) -> ApplyOptions:
    """Return the options with those that a saved plan was made with.

    What is given now as well comes on top.
    """
    selection = policy.selection
    return dataclasses.replace(
        options,
        targets=tuple(selection.targets),
        excluded=tuple(selection.excluded),
        only=selection.only.value if selection.only is not None else None,
        guards=policy.with_given(options.guards).flags_plain(),
    )


def rotate(options: ApplyOptions) -> None:
    """Rotate labels by name, by the id of their token, or all. UsageError."""
    ways = (bool(options.targets), options.token_id is not None, options.rotates_all)
    if sum(ways) != 1:
        raise UsageError("name what to rotate, in one way: --target, --token-id or --all")
    chosen = dataclasses.replace(options, requested=options.targets, targets=())
    ask = not options.yes

    def stage(session: Session) -> Stage[Report]:
        return rotate_labels(session, token_id=options.token_id, ask=ask, anew=options.anew)

    _report("rotate", chosen, stage)


def _apply(options: ApplyOptions, approved: Approved | None) -> None:
    ask = approved is None and not options.yes

    def stage(session: Session) -> Stage[Report]:
        return apply_manifest(session, approved=approved, ask=ask)

    _report("apply", options, stage)


def _report(command: str, options: ApplyOptions, stage: Callable[[Session], Stage[Report]]) -> None:
    """Perform a run and tell what became of it."""
    told = argv_of(options.notify_command) if options.notify_command is not None else None
    if options.report:
        refuse_unwritable(options.report)
        clear(options.report)
    with run_measured(options.metrics, command, lambda: _place(options)) as measure:
        with summarise_refusal("apply"):
            try:
                measure.report = _run(options, stage, measure)
            except OlderManifestError:
                if not (in_actions() and _is_newest()):
                    raise
                newest = {**options.guards, "allow_older_manifest": True}
                anew = dataclasses.replace(options, guards=newest)
                measure.report = _run(anew, stage, measure)
        _finish(measure.report, options.report, told)


def _run(
    options: ApplyOptions, stage: Callable[[Session], Stage[Report]], measure: Measure
) -> Report:
    with open_for_writing(options) as runner:
        session = runner.session
        measure.place = session.manifest.place
        if in_actions():
            fleet = Fleet(api_url=session.api_url, place=session.manifest.place)
            write_outputs({"fleet": fleet.name})
        return runner.run(stage(session))


def _place(options: ApplyOptions) -> str:
    """Return the manifest's mount and prefix. ReconcilerError if it can't be read."""
    files = [Path(name) for name in options.manifest or (DEFAULT_MANIFEST,)]
    return load_manifest(files).manifest.place


def _finish(report: Report, report_file: str | None, told: list[str] | None) -> None:
    """Tell what became of the run, and end with its exit code."""
    _log(report)
    for line in held_lines(report):
        with contextlib.suppress(OSError, ValueError):
            print_result(line)
    for token in report.not_touched:
        if token.probably_ours or token.perhaps_ours:
            complain_of(f"{token.token_id} ({token.label or ''}): {twin_sentence(token)}")
    exit_code = report.exit_code
    document = dump(report_document(report)) if report_file or told else ""
    if report_file:
        try:
            write_whole(report_file, document)
        except OSError as error:
            complain_of(f"error: the report could not be written: {error.strerror}: {report_file}")
            exit_code = exit_code or Exit.PARTIAL
    if report.sentence:
        complain_of(f"{'error' if exit_code else 'note'}: {report.sentence}")
    if in_actions():
        from reconciler.cli.posts import publish_report

        publish_report(report, exit_code)
    if told:
        notify(told, document)
    with contextlib.suppress(OSError, ValueError):
        print_result(report_last_line(report))
    raise click.exceptions.Exit(exit_code)


def _log(report: Report) -> None:
    """Log what waits, and how the run ended."""
    for change in report.holds:
        tell(
            "change_held",
            label=safe(change.label),
            action=change.action.value,
            reason=change.reason.value,
            message=safe(why(change)),
        )
    counts: dict[str, Any] = {word_of(s): number for s, number in report.counts().items()}
    tell("run_ended", **counts, digest=report.digest)


def _is_newest() -> bool:
    from reconciler.cli.posts import commit_is_newest

    return commit_is_newest() is True
