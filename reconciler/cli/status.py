"""``status``: the state of every token, of one manifest or of several snapshots.

    what is given                       what is shown
    ----------------------------------  ----------------------------------------------
    a manifest, or nothing              it, as exchange and Vault are now
    a manifest and one --observed       it, as they were when the snapshot was taken
    --observed alone, once or more      what the manifest of each snapshot said then

With ``--observed`` no credential is needed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import NoReturn

import click

from reconciler.cli import formats
from reconciler.cli.asked import Options, policy_of
from reconciler.cli.console import complain_of, print_result
from reconciler.cli.files import refuse_unwritable, write_whole
from reconciler.cli.snapshots import read_snapshot
from reconciler.cli.validate import read_manifest
from reconciler.documents import Snapshot
from reconciler.errors import ReconcilerError, UsageError
from reconciler.escape import safe
from reconciler.model import SECOND_MS, Manifest
from reconciler.plan import Status, narrowed, status_of
from reconciler.run import refuse_distrusted
from reconciler.values import value


@value
class StatusOptions(Options):
    """What ``status`` is given; ``form`` is a key of ``formats.STATUS``.

    ``token_id`` may be the beginning of an id, ``observed`` and ``out`` are files.
    """

    form: str
    wide: bool = False
    token_id: str | None = None
    observed: tuple[str, ...] = ()
    check: bool = False
    out: str | None = None


def status(options: StatusOptions) -> None:
    """Print or write the state of every token, or print a verdict in one line.

    Where both are wanted, the line goes to standard error. UsageError where options
    don't go together.
    """
    if options.wide and options.form != "text":
        raise UsageError(f"--wide is for the table: --format {options.form} has everything")
    if options.out is not None:
        refuse_unwritable(options.out)
    found = statuses_of(options)
    if options.form == "prometheus":
        _refuse_shared(found)
    shown = options.form != "text" or options.wide or options.out is not None
    if shown or not options.check:
        _show(found, options)
    if options.check:
        _end_with_verdict(found, options, alone=not shown)


def _show(found: Sequence[Status], options: StatusOptions) -> None:
    text = (formats.status_wide if options.wide else formats.STATUS[options.form])(found)
    if options.out is None:
        print_result(text)
    else:
        write_whole(options.out, click.unstyle(text), public=options.form == "prometheus")


def _end_with_verdict(found: Sequence[Status], options: StatusOptions, *, alone: bool) -> NoReturn:
    now_ms = int(time.time() * SECOND_MS) if options.observed else None
    checked = formats.check_now(found, now_ms)
    if alone:
        print_result(safe(checked.sentence))
    else:
        complain_of(checked.sentence, "error" if checked.exit_code else None)
    raise click.exceptions.Exit(checked.exit_code)


def statuses_of(options: StatusOptions) -> tuple[Status, ...]:
    """Return how everything stands, one value for each manifest, sorted by place.

    UsageError where options don't go together, ReconcilerError for a snapshot that
    can't be believed.
    """
    if not options.observed:
        from reconciler.cli.session import open_for_reading  # noqa: PLC0415  # asks the peers
        from reconciler.run import look_only  # noqa: PLC0415  # the same

        with open_for_reading(options) as runner:
            session = runner.session
            observed = runner.run(look_only(session))
        found = [status_of(session.manifest, observed, policy=session.policy)]
    elif options.manifest:
        if len(options.observed) > 1:
            raise UsageError(
                "several --observed are shown by what each snapshot says was wanted: "
                "name no manifest beside them"
            )
        found = [_of_snapshot(options.observed[0], options, read_manifest(options.manifest))]
    else:
        found = [_of_snapshot(name, options, None) for name in options.observed]
    return narrowed(_each_once(found), options.targets, options.token_id)


def _refuse_shared(found: Sequence[Status]) -> None:
    """UsageError where metrics tell two statuses alike: they name the place only."""
    places = [status.place for status in found]
    shared = next((place for place in places if places.count(place) > 1), None)
    if shared is not None:
        raise UsageError(
            f"two snapshots are of {shared}, at two exchanges, and metrics are told apart by "
            "mount and prefix only: write them on two hosts, or give one another prefix"
        )


def _of_snapshot(name: str, options: StatusOptions, desired: Manifest | None) -> Status:
    """Return how everything stood when a snapshot was taken."""
    try:
        snapshot = read_snapshot(name)
        desired = desired or _desired(snapshot)
        policy = policy_of(desired, dataclasses.replace(options, targets=()))
        refuse_distrusted(snapshot.observed, desired, policy)
    except ReconcilerError as error:
        # which one, where there are several
        raise ReconcilerError(f"{name}: {error}") from None
    return status_of(desired, snapshot.observed, policy=policy)


def _desired(snapshot: Snapshot) -> Manifest:
    """Return what was wanted when it was taken. ReconcilerError if it does not say."""
    if snapshot.desired is None:
        raise ReconcilerError(
            "it does not say what was wanted, because an older version took it: "
            "name the manifest, or take it again with `reconciler observe --out`"
        )
    return snapshot.desired


def _each_once(found: list[Status]) -> list[Status]:
    """Return them sorted. UsageError where two are of one manifest."""
    places = [(status.place, status.api_url) for status in found]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(f"two snapshots are of {twice[0]}: give the newer one alone")
    return sorted(found, key=lambda status: (status.place, status.api_url))
