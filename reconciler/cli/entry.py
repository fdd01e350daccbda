"""TODO."""

from __future__ import annotations

import os
import sys
from typing import NoReturn, TextIO, cast

import click

from reconciler.cli.commands import cli
from reconciler.cli.console import complain, complain_of
from reconciler.errors import Exit, ReconcilerError, internal_error


def main() -> NoReturn:
    """The console script."""
    open_streams()
    code = run(sys.argv[1:])
    settle_output()
    os._exit(
        code
        # everything is closed and written; Python's own taking apart of its modules is a
        # seventh of --help
    )


def open_streams() -> None:
    """Nobody has to ask whether the caller closed a stream: reading ends at once, a result that nobody gets fails."""
    sys.stdin = sys.stdin or _stream(os.open(os.devnull, os.O_RDONLY), "r")
    sys.stderr = sys.stderr or _stream(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = _stream(writer, "w")


def _stream(descriptor: int, mode: str) -> TextIO:
    return cast("TextIO", os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def settle_output() -> None:
    """What can't be written any more has been complained of: keep Python from failing over it again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        code: object = cli.main(args=arguments, prog_name="reconciler", standalone_mode=False)
    except click.UsageError as error:
        if error.ctx is not None:
            complain(error.ctx.get_usage())
        complain_of(f"error: {error.format_message()}")
        return Exit.USAGE
    except ReconcilerError as error:
        complain_of(f"error: {error}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted: nothing was changed")
        return Exit.ERROR
    except BrokenPipeError:
        complain("error: standard output was closed before everything was written")
        return Exit.ERROR
    except OSError as error:
        complain_of(
            f"error: {error.strerror or type(error).__name__}"
            + (f": {error.filename}" if error.filename else "")
        )
        return Exit.ERROR
    except Exception as error:  # noqa: BLE001  # rule 4: the values of a traceback may be secrets
        complain_of(internal_error(error))
        return Exit.ERROR
    return (
        code if isinstance(code, int) else Exit.DONE
    )  # click returns the code of an Exit that a command raised
