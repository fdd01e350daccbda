"""``adopt``: one live token with its secret from standard input, or many from a list.

given                        then
---------------------------  ------------------------------------------------------
--label and --token-id       that token; its secret comes from standard input
--from FILE                  the rows of the list
--from-vault MOUNT/FOLDER    the rows that the folder's secrets make; a dry run
                             prints them as such a list
"""

from __future__ import annotations

import contextlib
import sys

import click

from reconciler.cli.asked import Options
from reconciler.cli.console import complain, complain_of, print_result
from reconciler.cli.files import MAX_FILE_CHARS, read_text
from reconciler.cli.maintain import print_outcome
from reconciler.cli.progress import open_for_writing
from reconciler.cli.session import Runner, read_line_of_secret
from reconciler.errors import UsageError
from reconciler.escape import safe
from reconciler.manifest import (
    ManifestError,
    adopt_list_text,
    parse_duration_ms,
    read_adopt_list,
)
from reconciler.model import DAY_MS, ToAdopt
from reconciler.run import (
    GRACE_MS,
    Adoption,
    AdoptReport,
    Verdict,
    adopt_folder,
    adopt_list,
    adopt_token,
    secret_from,
)
from reconciler.values import value

LONGEST_GRACE_MS = 3650 * DAY_MS


@value
class AdoptOptions(Options):
    """What ``adopt`` is given; ``from_file`` is a file, ``from_vault`` a folder.

    With ``other_label`` a token may have another label at the exchange. ``grace`` is a
    duration: for so long age is no reason to rotate.
    """

    label: str | None = None
    token_id: str | None = None
    other_label: bool = False
    from_file: str | None = None
    from_vault: str | None = None
    token_id_field: str | None = None
    secret_field: str | None = None
    dry_run: bool = False
    yes: bool = False
    grace: str | None = None


def adopt(options: AdoptOptions) -> None:
    """Start managing one live token, or many."""
    _refuse_mixed(options)
    grace_ms = _grace_ms(options.grace)
    if options.from_file is None and options.from_vault is None:
        _adopt_one(options, grace_ms)
    else:
        _adopt_many(options, grace_ms)


def _refuse_mixed(options: AdoptOptions) -> None:
    """Raise UsageError for options that don't go together."""
    single = options.label is not None or options.token_id is not None
    lists = [name for name in (options.from_file, options.from_vault) if name is not None]
    if len(lists) + single > 1:
        raise UsageError("--label with --token-id, --from and --from-vault exclude each other")
    if not lists and (options.label is None or options.token_id is None):
        raise UsageError(
            "name what to adopt: --label and --token-id, --from FILE, or --from-vault MOUNT/FOLDER"
        )
    fields = options.token_id_field is not None or options.secret_field is not None
    if fields and options.from_vault is None:
        raise UsageError("--token-id-field and --secret-field go with --from-vault")
    if not lists and (options.dry_run or options.yes):
        raise UsageError("--dry-run and --yes go with --from or --from-vault")
    if options.from_file == "-" and not (options.yes or options.dry_run):
        raise UsageError("nobody can be asked while the list comes on standard input: give --yes")


def _grace_ms(text: str | None) -> int:
    if text is None:
        return GRACE_MS
    try:
        length_ms = parse_duration_ms(text)
    except ValueError as error:
        raise UsageError(f"--grace: {error}") from None
    if length_ms is None or length_ms > LONGEST_GRACE_MS:
        raise UsageError("--grace is at most ten years, such as 14d; 0s is none")
    return length_ms


def _adopt_one(options: AdoptOptions, grace_ms: int) -> None:
    label, token_id = options.label or "", options.token_id or ""
    if sys.stdin.isatty():
        complain("the token's secret (it is not shown):")
    secret = secret_from(read_line_of_secret())
    with open_for_writing(options) as runner:
        stage = adopt_token(
            runner.session,
            label,
            token_id,
            secret,
            other_label=options.other_label,
            grace_ms=grace_ms,
        )
        print_outcome(label, runner.run(stage))


def _adopt_many(options: AdoptOptions, grace_ms: int) -> None:
    name = options.from_file
    text = None if name is None else _text_of(name)
    with open_for_writing(options) as runner:
        rows = None if name is None or text is None else _rows(runner, name, text)
        adoption = Adoption(
            session=runner.session,
            other_label=options.other_label,
            dry_run=options.dry_run,
            ask=not options.yes,
            grace_ms=grace_ms,
        )
        if rows is not None:
            report = runner.run(adopt_list(adoption, rows))
        else:
            fields = options.token_id_field or "token_id", options.secret_field or "secret"
            report = runner.run(adopt_folder(adoption, options.from_vault or "", *fields))
    _finish(report, prints_list=options.dry_run and rows is None)


def _text_of(name: str) -> str:
    return sys.stdin.read(MAX_FILE_CHARS) if name == "-" else read_text(name)


def _rows(runner: Runner, name: str, text: str) -> tuple[ToAdopt, ...]:
    labels = [spec.label for spec in runner.session.manifest.tokens]
    shown = "standard input" if name == "-" else name
    try:
        return read_adopt_list(shown, text, labels)
    except ManifestError as error:
        for problem in error.problems:
            complain_of(str(problem), problem.severity)
        raise


def _finish(report: AdoptReport, *, prints_list: bool) -> None:
    """Tell what became of each row, and end with the exit code.

    Where standard output is a list, the rows are told on standard error.
    """
    if prints_list:
        print_result(adopt_list_text(row.asked for row in report.rows))
    tell = complain_of if prints_list else print_result
    lines = []
    for row in report.rows:
        token = f" ({row.token_id})" if row.token_id else ""
        said = f": {row.sentence}" if row.sentence else ""
        lines.append(safe(f"{row.verdict.value} {row.asked.label}{token}{said}"))
    untried = report.count(Verdict.NOT_TRIED, Verdict.PROVEN)
    adopted, refused = report.count(Verdict.ADOPTED), report.count(Verdict.REFUSED)
    with contextlib.suppress(OSError, ValueError):
        for line in lines:
            tell(line)
        if report.sentence:
            complain_of(f"error: {report.sentence}")
        tell(f"adopted {adopted}, refused {refused}, not tried {untried}")
    raise click.exceptions.Exit(report.exit_code)
