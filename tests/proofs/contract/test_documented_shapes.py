"""The sandbox, held to the exchange's documentation by somebody else's tool:
schemathesis.

``exchange.openapi.yaml`` tells the documented operations, and schemathesis asks
whatever their shapes let it think of. Allowed or not, all of it is answered with a
documented status and shape, never with a 5xx; what is allowed is accepted; what is not
is refused; without credentials nothing is done.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from reconciler.sandbox import Operation, Sandbox, SandboxConfig

HERE = Path(__file__).parent
CHECKS_BIN = Path(os.environ.get("RECONCILER_CHECKS_BIN", HERE.parents[2] / ".venv-checks" / "bin"))
DOCUMENT = HERE / "exchange.openapi.yaml"
SEED = 2026
CONFIG = SandboxConfig(
    limits=False, allowed_scopes=("trading", "account_creation", "delegated_signing")
)

Answers = frozenset[tuple[Operation, int]]

FORBIDDEN = frozenset({(Operation.DERIVE, 403), (Operation.LIST, 403), (Operation.REVOKE, 403)})


def documented() -> Answers:
    """Every operation with each of the statuses that it is documented to answer
    with.
    """
    paths = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    return frozenset(
        (Operation(one["operationId"]), int(status))
        for one in operations
        for status in one["responses"]
    )


def examined(config: SandboxConfig, folder: Path, *options: str) -> Answers:
    """What the sandbox answered to all that schemathesis asked.

    AssertionError where that is not as documented.
    """
    program = CHECKS_BIN / "schemathesis"
    if not program.exists():
        pytest.fail(f"schemathesis is missing at {program}: run `make test`, which installs it")
    with Sandbox(config=config) as sandbox:
        signer = sandbox.state.derive_by_hand(
            "signer", token_id="signer"
        )  # an id that nobody encodes, see sign_requests
        environ = {
            "HOME": str(folder),
            "PYTHONPATH": str(HERE),
            "SCHEMATHESIS_HOOKS": "sign_requests",
            "IDENTITY_TOKEN": sandbox.identity_token,
            "TOKEN_ID": signer.token_id,
            "TOKEN_SECRET": signer.secret,
        }
        argv: list[str | Path] = [
            program,
            "--config-file",
            HERE / "schemathesis.toml",
            "run",
            DOCUMENT,
            "--url",
            sandbox.url,
        ]
        argv += [
            "--seed",
            str(SEED),
            "--generation-database",
            "none",
            "--suppress-health-check",
            "all",
            "--no-color",
            *options,
        ]
        done = subprocess.run(
            argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        calls = sandbox.state.calls
        assert sandbox.state.token(signer.token_id).live, (
            "schemathesis ended its own credentials: it saw little but 401s"
        )
    return frozenset((call.operation, call.status) for call in calls if call.status is not None)


def test_all_that_can_be_asked_is_answered_as_documented(tmp_path: Path) -> None:
    """Each documented status is met, and no other; those for a profile without token
    management are the next test's.
    """
    assert examined(CONFIG, tmp_path, "--max-examples", "40") == documented() - FORBIDDEN | {
        (Operation.DERIVE, 403)
    }


def test_a_profile_without_token_management_is_answered_as_documented(tmp_path: Path) -> None:
    """The capabilities are left, and the two calls that have nothing to do with tokens;
    refusals keep their shape.
    """
    config = dataclasses.replace(CONFIG, management_enabled=False)
    answers = examined(
        config, tmp_path, "--phases", "coverage", "--exclude-checks", "positive_data_acceptance"
    )
    bodies = {
        (Operation.REVOKE, 400)
    }  # a DELETE with a body is refused before anybody looks at who asks
    public = {Operation.MAINTENANCE}
    left = {(one, 200) for one in (Operation.CAPABILITIES, Operation.PROFILE, *public)}
    unauthorized = {(operation, 401) for operation in set(Operation) - public}
    assert answers - bodies == {*left, *unauthorized, *FORBIDDEN}
