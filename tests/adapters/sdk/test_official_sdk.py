"""The sandbox is faithful to the exchange and not to our client: the exchange's own
Python SDK works against it.

The SDK lives in an environment of its own (``requirements.txt``, locked by hash),
because it brings forty packages.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.sdk.expected import (
    ENCODED_IDS,
    RAW_IDS,
    assert_revocations,
    assert_the_four_operations_work,
)

HERE = Path(__file__).parent
SDK_PYTHON = Path(
    os.environ.get("RECONCILER_SDK_PYTHON", HERE.parents[2] / ".venv-sdk" / "bin" / "python")
)


def told(script: str, given: object) -> Any:
    """What a script that uses the SDK tells on stdout, given this on stdin."""
    if not SDK_PYTHON.exists():
        pytest.fail(
            f"the environment of the official SDK is missing at {SDK_PYTHON}: run `make test`, "
            "which makes it"
        )
    argv: list[str | Path] = [SDK_PYTHON, "-I", HERE / script]
    done = subprocess.run(
        argv,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_official_python_sdk_works_against_the_sandbox() -> None:
    """Capabilities, derive, list and revoke succeed, refusals raise the SDK's own
    errors, under the exchange's real limits.
    """
    assert_the_four_operations_work(functools.partial(told, "drive.py"))


def test_which_ids_the_python_sdk_can_revoke() -> None:
    """It signs the encoded id, while its transport (yarl) sends ``=`` and the like
    decoded: a 401 that is the SDK's fault.
    """
    assert_revocations(
        functools.partial(told, "revoke_with.py"), works=ENCODED_IDS, unauthorized=RAW_IDS
    )
