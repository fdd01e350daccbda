"""Lists tokens with the exchange's official Python SDK, given nothing but what lies in
Vault.

Run by the interpreter of the SDK's own environment: ``list_with.py < input``. The input
is a JSON list of secrets as they lie in Vault (fields and texts). The output is a JSON
list: for each, the ids that its own signature listed, or the SDK's error.
"""

from __future__ import annotations

import asyncio
import json
import sys

from limitless_sdk.api.errors import APIError
from limitless_sdk.api.http_client import HttpClient
from limitless_sdk.api_tokens import ApiTokenService
from limitless_sdk.types.api_tokens import HMACCredentials


async def listed(fields: dict[str, str]) -> list[str] | str:
    """The ids that a request signed with this secret lists."""
    credentials = HMACCredentials(token_id=fields["token_id"], secret=fields["secret"])
    async with HttpClient(base_url=fields["api_url"], hmac_credentials=credentials) as http:
        try:
            rows = await ApiTokenService(http).list_tokens()
        except APIError as error:
            return type(error).__name__
    return sorted(row.token_id for row in rows)


async def main() -> None:
    """One secret after the other."""
    print(json.dumps([await listed(fields) for fields in json.load(sys.stdin)]))


if __name__ == "__main__":
    asyncio.run(main())
