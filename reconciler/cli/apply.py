"""Commands that write: apply, rotate, rollback, bootstrap, adopt, verify."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from reconciler.cli.ci import in_actions, publish_report, refusal_told, write_summary
from reconciler.cli.console import (
    clear,
    complain,
    complain_of,
    print_result,
    read_text,
    refuse_unwritable,
    write_whole,
)
from reconciler.cli.progress import events, held_back
from reconciler.cli.session import Runner, opened, read_line_of_secret
from reconciler.documents import dump, load_plan, report_document
from reconciler.errors import Exit, ReconcilerError, UsageError
from reconciler.escape import safe
from reconciler.plan import Policy
from reconciler.protocol import Approved, Outcome, Report, approve
from reconciler.render import report_last_line, stale_text, subject, why
from reconciler.run import (
    StalePlanError,
    adopt_token,
    apply_manifest,
    bootstrap_manager,
    credentials_from,
    roll_back,
    verify_secrets,
)

_LIFTED = ("allow_empty", "allow_missing_manager", "allow_missing_files", "revoke_in_use")
_LIMITS = ("max_revocations", "max_rotations", "max_missing")


@contextlib.contextmanager
def _session(names: tuple[str, ...], options: Mapping[str, Any]) -> Iterator[Runner]:
    with events() as shown, opened(names, options, events=shown, signals=held_back) as runner:
        yield runner


def apply(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Apply the manifest, or exactly a saved plan."""
    saved = load_plan(read_text(options["plan_file"])) if options["plan_file"] else None
    if saved is not None:
        if any(options[name] for name in ("targets", "excluded", "only")):
            raise UsageError(
                "a saved plan has its selection in it: leave --target, --exclude and --only out"
            )
        options = {**options, **_options_of(saved.policy, options)}
    approved = approve(saved.plan, as_of_ms=saved.as_of_ms) if saved is not None else None
    try:
        _apply(names, options, approved)
    except StalePlanError as error:
        if saved is not None:
            difference = stale_text(saved.plan, error.now)
            complain(difference)
            if in_actions():
                write_summary(f"```text\n{difference.replace('```', chr(39) * 3)}\n```\n")
        raise


def _options_of(policy: Policy, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a saved plan was made with.

    Those that are given now as well come on top.
    """
    selection = policy.selection
    return {
        "targets": tuple(selection.targets),
        "excluded": tuple(selection.excluded),
        "only": selection.only.value if selection.only is not None else None,
        "replace": tuple(policy.replace | frozenset(given["replace"])),
        **{name: getattr(policy, name) or given[name] for name in _LIFTED},
        **{name: getattr(policy, name) if given[name] is None else given[name] for name in _LIMITS},
    }


def rotate(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Rotate labels by name."""
    _apply(names, {**options, "requested": options["targets"]}, None)


def _apply(names: tuple[str, ...], options: Mapping[str, Any], approved: Approved | None) -> None:
    if options["report"]:
        refuse_unwritable(options["report"])
        clear(options["report"])
    with refusal_told("apply"), _session(names, options) as runner:
        ask = approved is None and not options["yes"]
        report = runner.run(apply_manifest(runner.session, approved=approved, ask=ask))
    _finish(report, options["report"])


def _finish(report: Report, report_file: str | None) -> None:
    for change in report.holds:
        with contextlib.suppress(OSError, ValueError):
            print_result(f"held {subject(change.label)} ({why(change)})")
    for token in report.not_touched:
        if token.probably_ours:
            complain_of(
                f"probably ours, its secret is lost: {token.token_id} ({token.label or ''}): revoke it, or adopt it"
            )
    exit_code = report.exit_code
    if report_file:
        try:
            write_whole(report_file, dump(report_document(report)))
        except OSError as error:
            complain_of(f"error: the report could not be written: {error.strerror}: {report_file}")
            exit_code = exit_code or Exit.PARTIAL
    if report.sentence:
        complain_of(f"{'error' if exit_code else 'note'}: {report.sentence}")
    if in_actions():
        publish_report(report, exit_code)
    with contextlib.suppress(OSError, ValueError):
        print_result(report_last_line(report))
    raise click.exceptions.Exit(exit_code)


def rollback(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Make a predecessor current again."""
    with _session(names, options) as runner:
        stage = roll_back(runner.session, options["target"], ask=not options["yes"])
        _say(options["target"], runner.run(stage))


def bootstrap(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Make the manager's token."""
    with _session(names, options) as runner:
        outcome = runner.run(bootstrap_manager(runner.session))
        _say(runner.session.manifest.manager, outcome)


def adopt(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Start managing a live token."""
    if sys.stdin.isatty():
        complain("the token's secret (it is not shown):")
    credentials = credentials_from(options["token_id"], read_line_of_secret())
    label, other_label = options["label"], options["other_label"]
    with _session(names, options) as runner:
        stage = adopt_token(runner.session, label, credentials, other_label=other_label)
        _say(label, runner.run(stage))


def _say(label: str, outcome: Outcome) -> None:
    token = f" ({safe(outcome.token_id)})" if outcome.token_id else ""
    print_result(f"{safe(label)}: {safe(outcome.sentence)}{token}")


def verify(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Sign one request with every stored secret."""
    with _session(names, options) as runner:
        found = runner.run(verify_secrets(runner.session))
    for one in found:
        print_result(
            f"{'ok    ' if one.works else 'FAILED'} {safe(one.label)}"
            + (f": {safe(one.sentence)}" if one.sentence else "")
        )
    broken = [one for one in found if not one.works]
    if broken:
        raise ReconcilerError(f"{len(broken)} of {len(found)} stored secrets do not work")
