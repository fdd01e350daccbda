"""The console script: one run of the command line, and its exit code.

Nothing ends in a traceback: what was not foreseen names its place, and never the values
there, because they may be secrets.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

import click

from reconciler.cli import log
from reconciler.cli.calls import calls_told
from reconciler.cli.commands import cli
from reconciler.cli.console import complain, complain_of, tell
from reconciler.errors import Exit, ReconcilerError, internal_error

COMPLETION = "_RECONCILER_COMPLETE"
"""The variable by which a shell asks click for completions, instead of a command."""


def main() -> NoReturn:
    """Run the command line and end the process.

    By now everything is written and closed, so Python need not take its modules apart:
    that would be a seventh of ``--help``. It would also fail at a closed pipe again,
    and make 120 of the exit code.
    """
    replace_closed_streams()
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def replace_closed_streams() -> None:
    """Replace standard streams that the caller closed; Python has None for them.

    Reading ends at once. Standard output becomes a pipe without a reader: a result that
    nobody gets is an error, where click would print it to None without a word.
    """
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = os.fdopen(writer, "w", encoding="utf-8")


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. Its log begins and ends here."""
    log.begin(arguments)
    with calls_told():
        code = _run(arguments)
    level = "info" if code in {Exit.DONE, Exit.CHANGES_PENDING} else "error"
    tell("command_ended", level, exit_code=code, duration_ms=log.current.age_ms)
    return code


def _run(arguments: list[str]) -> int:
    try:
        code: object = cli.main(args=arguments, prog_name="reconciler", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        complain(error.format_message())
        return Exit.USAGE
    except click.UsageError as error:
        if error.ctx is not None:
            log.of_command(error.ctx.command_path)
            complain(error.ctx.get_usage())
        complain_of(f"error: {error.format_message()}")
        return Exit.USAGE
    except ReconcilerError as error:
        complain_of(f"error: {error}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted: nothing was changed")
        return Exit.ERROR
    except (BrokenPipeError, SystemExit) as error:  # click makes the second of the first
        if isinstance(error, SystemExit) and os.environ.get(COMPLETION):
            return Exit.ERROR if error.code else Exit.DONE  # it has answered a shell
        complain("error: standard output was closed before everything was written")
        return Exit.ERROR
    except OSError as error:
        complain_of(
            f"error: {error.strerror or type(error).__name__}"
            + (f": {error.filename}" if error.filename else "")
        )
        return Exit.ERROR
    except Exception as error:  # noqa: BLE001  # the one place: a traceback may show a secret
        complain_of(internal_error(error))
        return Exit.ERROR
    # click returns the code of an Exit that a command raised
    return code if isinstance(code, int) else Exit.DONE
