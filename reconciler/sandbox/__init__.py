"""A faithful stand-in of the exchange's token API on loopback, with faults on demand.

It needs the standard library only.
"""

from reconciler.sandbox.answers import ErrorShape, Garbage
from reconciler.sandbox.command import faults_of, run_sandbox
from reconciler.sandbox.config import (
    DOCUMENTED_SCOPES,
    LABEL_FORMS,
    IdStyle,
    RetryAfter,
    SandboxConfig,
)
from reconciler.sandbox.faults import Fault, FaultBook, FaultKind
from reconciler.sandbox.laws import Operation
from reconciler.sandbox.records import Call, Token
from reconciler.sandbox.server import Sandbox
from reconciler.sandbox.state import SandboxState

__all__ = [
    "DOCUMENTED_SCOPES",
    "LABEL_FORMS",
    "Call",
    "ErrorShape",
    "Fault",
    "FaultBook",
    "FaultKind",
    "Garbage",
    "IdStyle",
    "Operation",
    "RetryAfter",
    "Sandbox",
    "SandboxConfig",
    "SandboxState",
    "Token",
    "faults_of",
    "run_sandbox",
]
