"""A faithful stand-in of the exchange's token API on loopback, with faults on demand.

It needs the standard library only.
"""

from reconciler.sandbox.answers import ErrorShape, Garbage
from reconciler.sandbox.command import run_sandbox
from reconciler.sandbox.faults import Fault, FaultBook, FaultKind
from reconciler.sandbox.laws import DOCUMENTED_SCOPES, IdStyle, Operation, RetryAfter, SandboxConfig
from reconciler.sandbox.records import Call, Token
from reconciler.sandbox.server import Sandbox
from reconciler.sandbox.state import SandboxState

__all__ = [
    "DOCUMENTED_SCOPES",
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
    "run_sandbox",
]
