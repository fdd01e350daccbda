"""Drives the exchange's official Python SDK through every operation on tokens, and
tells on stdout what it saw.

Run by the interpreter of the SDK's own environment: ``drive.py < input``. The input is
one JSON object with ``url``, ``identity_token``, ``expired_identity_token`` and
``awkward_id`` (a live token whose id has to be percent-encoded). The output is one JSON
object; secrets appear in it as their SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable
from typing import Any

from limitless_sdk.api.errors import APIError
from limitless_sdk.api.http_client import HttpClient
from limitless_sdk.api_tokens import ApiTokenService
from limitless_sdk.types.api_tokens import DeriveApiTokenInput, HMACCredentials

PACE_S = 0.35  # the exchange asks for 300 ms between two calls of one credential


async def paced(call: Awaitable[Any]) -> Any:
    """The result of a call, then the pause before the next."""
    result = await call
    await asyncio.sleep(PACE_S)
    return result


async def failure(call: Awaitable[Any]) -> list[object]:
    """How a call failed, in the SDK's own terms: its class of error and the status."""
    try:
        await paced(call)
    except APIError as error:
        await asyncio.sleep(PACE_S)
        return [type(error).__name__, error.status_code]
    return ["no error", None]


def shown(model: Any) -> Any:
    """A value of the SDK as JSON by the exchange's names, the secret hashed."""
    fields = model.model_dump(by_alias=True)
    if "secret" in fields:
        fields["secret"] = hashlib.sha256(fields["secret"].encode()).hexdigest()
    return fields


async def drive(given: dict[str, str]) -> dict[str, Any]:
    """All four operations, then what the exchange refuses."""
    seen: dict[str, Any] = {}
    url, identity = given["url"], given["identity_token"]
    async with HttpClient(base_url=url) as http:
        service = ApiTokenService(http)
        seen["capabilities"] = shown(await paced(service.get_capabilities(identity)))
        manager = await paced(
            service.derive_token(identity, DeriveApiTokenInput(label="sdk-manager"))
        )
        wish = DeriveApiTokenInput(label="sdk-bot", scopes=["trading", "delegated_signing"])
        bot = await paced(service.derive_token(identity, wish))
        seen["derived"] = [shown(manager), shown(bot)]
        seen["unsigned list"] = await failure(http.get("/auth/api-tokens"))
        seen["expired identity"] = await failure(
            service.get_capabilities(given["expired_identity_token"])
        )
        seen["scope not allowed"] = await failure(
            service.derive_token(identity, DeriveApiTokenInput(scopes=["trading", "withdrawal"]))
        )
        seen["invalid scope"] = await failure(
            service.derive_token(identity, DeriveApiTokenInput(scopes=["tradng"]))
        )

    credentials = HMACCredentials(token_id=manager.token_id, secret=manager.secret)
    async with HttpClient(base_url=url, hmac_credentials=credentials) as http:
        service = ApiTokenService(http)
        seen["listed"] = [shown(row) for row in await paced(service.list_tokens())]
        seen["revoked"] = [
            await paced(service.revoke_token(one)) for one in (bot.token_id, given["awkward_id"])
        ]
        seen["listed after"] = [shown(row) for row in await paced(service.list_tokens())]
        crowd = await paced(
            asyncio.gather(*(service.list_tokens() for _ in range(8)), return_exceptions=True)
        )
        seen["a crowd"] = sorted(
            {type(one).__name__ for one in crowd if isinstance(one, BaseException)}
        )
        seen["revoked again"] = await failure(service.revoke_token(bot.token_id))

    stranger = HMACCredentials(token_id=manager.token_id, secret=bot.secret)
    async with HttpClient(base_url=url, hmac_credentials=stranger) as http:
        seen["wrong secret"] = await failure(ApiTokenService(http).list_tokens())
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(json.load(sys.stdin)))))
