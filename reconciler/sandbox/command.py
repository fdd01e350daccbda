"""``reconciler sandbox``: print where the sandbox is, answer until a signal, stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TextIO

from reconciler.errors import ReconcilerError, UsageError
from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.control import called
from reconciler.sandbox.faults import Fault
from reconciler.sandbox.server import Sandbox

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def faults_of(texts: Iterable[str]) -> tuple[Fault, ...]:
    """Return the faults that JSON texts tell. UsageError for one that can't be."""
    try:
        return tuple(called(Fault, json.loads(text)) for text in texts)
    except json.JSONDecodeError:
        sentence = "it is not JSON"
    except (ValueError, RecursionError) as error:
        sentence = str(error)
    raise UsageError(f"the sandbox can't make a fault: {sentence}")


def run_sandbox(
    config: SandboxConfig,
    *,
    stdout: TextIO,
    port: int = 0,
    state_file: Path | None = None,
    faults: Iterable[Fault] = (),
) -> None:
    """Serve on loopback until SIGINT or SIGTERM; port 0 is any free one.

    Only the main thread may call it. When the sandbox is ready, the first line on
    ``stdout`` is ``{"url": …, "identity_token": …, "control": …}``. ReconcilerError if
    the port is taken or the state file can't be used.
    """
    sandbox = _open(port, config, state_file)
    sandbox.faults.add(*faults)

    def stop(_number: int, _frame: FrameType | None) -> None:
        sandbox.request_stop()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        sandbox.start()
        first = {
            "url": sandbox.url,
            "identity_token": sandbox.identity_token,
            "control": sandbox.control_token,
        }
        print(json.dumps(first), file=stdout, flush=True)
        sandbox.wait_for_stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sandbox.stop()


def _open(port: int, config: SandboxConfig, state_file: Path | None) -> Sandbox:
    try:
        return Sandbox(port=port, config=config, state_file=state_file)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise ReconcilerError(
            f"the sandbox can't open port {port} or its state file ({reason}): choose others"
        ) from None
    except (ValueError, TypeError, KeyError):
        raise ReconcilerError(
            "the sandbox's state file can't be read: remove it, or name another"
        ) from None
