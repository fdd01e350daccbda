"""How schemathesis authenticates: loaded by it (SCHEMATHESIS_HOOKS) in the environment
of the checkers, where we are not.

The credentials come from the environment of the process: ``IDENTITY_TOKEN``,
``TOKEN_ID``, ``TOKEN_SECRET``. Each request is signed as it is sent, after ``requests``
has prepared it, so that the signature covers the path and the body on the wire. It is
written from the exchange's documentation, like the sandbox and our client, and shares
no line with either.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import os
from typing import Any

import requests
import schemathesis


class Identity(requests.auth.AuthBase):
    """The identity token, alone."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header."""
        request.headers["identity"] = f"Bearer {os.environ['IDENTITY_TOKEN']}"
        return request


class Signature(requests.auth.AuthBase):
    """The three HMAC headers."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign what goes out."""
        timestamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        message = "\n".join((timestamp, request.method or "", request.path_url, "")).encode() + body
        mac = hmac.new(base64.b64decode(os.environ["TOKEN_SECRET"]), message, hashlib.sha256)
        request.headers["lmts-api-key"] = os.environ["TOKEN_ID"]
        request.headers["lmts-timestamp"] = timestamp
        request.headers["lmts-signature"] = base64.b64encode(mac.digest()).decode()
        return request


def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case, _kwargs: dict[str, Any]
) -> None:
    """Spare the token that signs: schemathesis reuses ids that it has seen, and all
    that followed would be a 401.
    """
    if case.path_parameters.get("tokenId") == os.environ["TOKEN_ID"]:
        case.path_parameters["tokenId"] = "unknown"


schemathesis.hook(before_call)
schemathesis.auth.set_from_requests(Identity()).apply_to(path_regex="/(capabilities|derive)$")
schemathesis.auth.set_from_requests(Signature()).skip_for(path_regex="/(capabilities|derive)$")
