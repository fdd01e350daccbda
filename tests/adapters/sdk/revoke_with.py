"""Revokes ids one after the other with the exchange's official Python SDK: how it
encodes and signs each of them.

Run by the interpreter of the SDK's own environment: ``revoke_with.py < input``. The
input is one JSON object with ``url``, ``token_id``, ``secret`` and ``ids``. The output
is a JSON object: for each id how its revocation failed, in the SDK's own terms (class
of error and status), ``["no error", null]`` where it did not.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from limitless_sdk.api.errors import APIError
from limitless_sdk.api.http_client import HttpClient
from limitless_sdk.api_tokens import ApiTokenService
from limitless_sdk.types.api_tokens import HMACCredentials


async def revoke_all(given: dict[str, Any]) -> dict[str, list[object]]:
    """One id after the other."""
    outcomes: dict[str, list[object]] = {}
    credentials = HMACCredentials(token_id=given["token_id"], secret=given["secret"])
    async with HttpClient(base_url=given["url"], hmac_credentials=credentials) as http:
        for token_id in given["ids"]:
            outcomes[token_id] = ["no error", None]
            try:
                await ApiTokenService(http).revoke_token(token_id)
            except APIError as error:
                outcomes[token_id] = [type(error).__name__, error.status_code]
    return outcomes


if __name__ == "__main__":
    print(json.dumps(asyncio.run(revoke_all(json.load(sys.stdin)))))
