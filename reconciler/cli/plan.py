"""Commands that look and change nothing: plan, status, observe."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from reconciler.cli.ci import fetch_snapshot as published_snapshot
from reconciler.cli.ci import in_actions, notice, publish_plan, refusal_told, source_of
from reconciler.cli.console import colour_wanted, complain, print_result, read_text, write_whole
from reconciler.cli.session import Runner, Voice, opened, policy_of
from reconciler.cli.validate import DEFAULT_MANIFEST, read_manifest
from reconciler.documents import (
    dump,
    load_snapshot,
    plan_document,
    plan_widget,
    snapshot_document,
    status_document,
)
from reconciler.errors import Exit, ReconcilerError
from reconciler.manifest import load_manifest
from reconciler.model import DAY_MS, MINUTE_MS, SECOND_MS, Manifest
from reconciler.plan import NoBase, Plan, Policy, Review, review_of, status_of
from reconciler.plan import plan as make_plan
from reconciler.render import plan_markdown, plan_text, status_text
from reconciler.run import (
    guard_sentences,
    look_only,
    refuse_distrusted,
)
from reconciler.state import Observed

LOG_COLUMNS = 120
FUTURE_MS = 5 * MINUTE_MS
OLD_MS = 3 * DAY_MS


def plan(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """The plan in the form asked for, and saved where asked for."""
    with refusal_told("plan"):
        _refuse_link_to_base(names, options["base"])
        manifest, observed, policy = _observed(names, options)
    chosen = make_plan(manifest, observed, now_ms=observed.now_ms, policy=policy)
    guards = guard_sentences(manifest, observed, policy)
    document = dump(plan_document(chosen, policy=policy, guards=guards))
    if options["out"]:
        write_whole(options["out"], document)
    published = in_actions() or any(options[name] for name in ("comment", "issue", "reviewed"))
    seen = None
    if published or options["form"] == "markdown":
        seen = review_of(
            chosen, head=manifest, base=_base(options["base"]), observed=observed, policy=policy
        )
    print_result(
        document if options["form"] == "json" else _rendered(chosen, guards, seen, options["form"])
    )
    if published and seen is not None:
        source = source_of(
            names or (DEFAULT_MANIFEST,), observed.now_ms if options["observed"] else None
        )
        publish_plan(chosen, source, guards=guards, review=seen, wanted=options)
    if options["detailed_exitcode"] and chosen.acting:
        raise click.exceptions.Exit(Exit.CHANGES_PENDING)


def _observed(
    names: tuple[str, ...], options: Mapping[str, Any]
) -> tuple[Manifest, Observed, Policy]:
    if options["observed"]:
        manifest, observed = read_manifest(names), load_snapshot(read_text(options["observed"]))
        _judge_age(observed)
        policy = policy_of(manifest, options)
        refuse_distrusted(observed, manifest, policy)
        return manifest, observed, policy
    with session_for_reading(names, options) as runner:
        session = runner.session
        return session.manifest, runner.run(look_only(session)), session.policy


def _judge_age(observed: Observed) -> None:
    """A word about a snapshot that is old, or dated in the future: nothing is applied by it, but it may mislead a reader."""
    age_ms = int(time.time() * SECOND_MS) - observed.now_ms
    if age_ms < -FUTURE_MS:
        notice("the snapshot is dated in the future: is this machine's clock right?")
    if age_ms > OLD_MS:
        notice(
            f"the snapshot is {age_ms // DAY_MS} days old: does the job that takes it still run?"
        )


def _refuse_link_to_base(names: tuple[str, ...], base: tuple[str, ...]) -> None:
    """ReconcilerError where the manifest is a link to what it is compared with: then nothing would ever differ."""
    ours = {file for name in names or (DEFAULT_MANIFEST,) for file in _files(Path(name))}
    theirs = {file for name in base for file in _files(Path(name))}
    if ours & theirs:
        raise ReconcilerError(
            "the manifest is, or links to, the base branch's: the two have to be different files"
        )


def _files(path: Path) -> Iterator[Path]:
    yield from (file.resolve() for file in (path.iterdir() if path.is_dir() else (path,)))


def _base(names: tuple[str, ...]) -> Manifest | NoBase:
    """The base branch's manifest.

    One that can't be read stops nobody who is about to put it right.
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


def _rendered(chosen: Plan, guards: tuple[str, ...], seen: Review | None, form: str) -> str:
    if form == "markdown":
        return plan_markdown(chosen, guards=guards, review=seen)
    if form == "gitlab":
        return plan_widget(chosen)
    return plan_text(
        chosen, guards=guards, width=columns(), colour=colour_wanted(terminal=sys.stdout.isatty())
    )


def columns() -> int:
    """Columns to fill: the terminal's, or enough for a log."""
    return shutil.get_terminal_size((LOG_COLUMNS, 24)).columns


def status(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """The state of every token."""
    with session_for_reading(names, options) as runner:
        session = runner.session
        observed = runner.run(look_only(session))
        found = status_of(session.manifest, observed, policy=session.policy)
    if options["form"] == "json":
        print_result(dump(status_document(found)))
    else:
        print_result(
            status_text(found, width=columns(), colour=colour_wanted(terminal=sys.stdout.isatty()))
        )


def observe(names: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """A snapshot without secrets."""
    with session_for_reading(names, options) as runner:
        observed = runner.run(look_only(runner.session))
        labels = frozenset(spec.label for spec in runner.session.manifest.tokens)
    write_whole(options["out"], dump(snapshot_document(observed, labels)))


def fetch_snapshot(options: Mapping[str, Any]) -> None:
    """The snapshot that the default branch published."""
    write_whole(options["out"], published_snapshot())


def session_for_reading(
    names: tuple[str, ...], options: Mapping[str, Any]
) -> contextlib.AbstractContextManager[Runner]:
    """A session that holds no lease and so holds back no signal."""
    return opened(names, options, events=Voice(), signals=lambda _: contextlib.nullcontext())
