"""``make play``: a place to try the program in, with its environment for a shell."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.fleet import ROOT

TIMEOUT_S = 90
VARIABLES = [
    "LIMITLESS_API_URL",
    "LIMITLESS_IDENTITY_TOKEN",
    "VAULT_ADDR",
    "VAULT_TOKEN",
    "SANDBOX_CONTROL",
]


def test_the_printed_environment_is_all_that_is_needed(tmp_path: Path) -> None:
    """A shell that evaluates the lines can bootstrap this repository's manifest; a
    signal ends both servers.
    """
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler.demo.play"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as playing:
        try:
            assert playing.stdout is not None
            lines = [playing.stdout.readline() for _ in VARIABLES]
            argv = [sys.executable, "-m", "reconciler", "bootstrap", str(ROOT / "tokens.yaml")]
            done = subprocess.run(
                ["/bin/sh", "-e", "-c", f'eval "$LINES"\n{shlex.join(argv)}'],
                env={**environ, "LINES": "".join(lines)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        finally:
            playing.send_signal(signal.SIGINT)
            rest, hint = playing.communicate(timeout=TIMEOUT_S)
    assert [shlex.split(line)[1].partition("=")[0] for line in lines] == VARIABLES
    assert done.stdout.startswith("reconciler: derived"), done
    assert (done.returncode, playing.returncode, rest) == (0, 0, "")
    assert all(line.startswith("#") for line in hint.splitlines())
    for line in (lines[0], lines[2]):
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(  # noqa: S310  # the address that was printed
                shlex.split(line)[1].partition("=")[2], timeout=5
            )
