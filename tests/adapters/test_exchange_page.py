"""The example of docs/exchange.md works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from reconciler.sandbox import Sandbox
from tests.support.pages import DOCS, ROOT

PAGE = (DOCS / "exchange.md").read_text(encoding="utf-8")
TIMEOUT_S = 60


def test_the_example() -> None:
    """It derives a token, lists it, and revokes it; none is left afterwards."""
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with Sandbox() as sandbox:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LIMITLESS_API_URL": sandbox.url,
            "LIMITLESS_IDENTITY_TOKEN": sandbox.identity_token,
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            env=environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        first, *listed = done.stdout.splitlines()
        assert first.split(": ")[1] == "account_creation delegated_signing trading withdrawal"
        assert listed == ["example trading"]
        assert (len(sandbox.state.tokens()), sandbox.state.live()) == (1, ())
