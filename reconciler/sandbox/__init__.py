"""A faithful stand-in of the exchange's token API on loopback, with faults on demand; standard library only."""

from reconciler.sandbox.answers import ErrorShape, Garbage
from reconciler.sandbox.faults import Fault, FaultBook, FaultKind
from reconciler.sandbox.laws import IdStyle, Operation, RetryAfter, SandboxConfig
from reconciler.sandbox.server import Sandbox
from reconciler.sandbox.state import Call, SandboxState, Token

__all__ = [
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
]
