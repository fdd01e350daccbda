"""The calls of a plan by httpx and hvac alone:

``yardstick_plan.py TOKENS THREADS``, in the same environment as the program. With 0
threads one SCAN brings all metadata.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import hvac
import requests

MOUNT, PREFIX, MANAGER = "secret", "limitless/tokens", "bot-0"
PATH = "/auth/api-tokens"


def main() -> None:
    """Ledger, manager's secret, one list, the metadata of each token."""
    tokens, threads = int(sys.argv[1]), int(sys.argv[2])
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=threads + 1))
    client = hvac.Client(
        url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"], session=session
    )
    kv = client.secrets.kv.v2
    kv.read_secret_version(f"{PREFIX}/_ledger", mount_point=MOUNT, raise_on_deleted_version=False)
    manager = kv.read_secret_version(
        f"{PREFIX}/{MANAGER}", mount_point=MOUNT, raise_on_deleted_version=False
    )["data"]["data"]
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    key = base64.b64decode(manager["secret"])
    signature = base64.b64encode(
        hmac.digest(key, f"{now}\nGET\n{PATH}\n".encode(), hashlib.sha256)
    ).decode()
    headers = {
        "lmts-api-key": manager["token_id"],
        "lmts-timestamp": now,
        "lmts-signature": signature,
    }
    with (
        httpx.Client(base_url=os.environ["LIMITLESS_API_URL"]) as exchange,
        ThreadPoolExecutor(threads + 1) as pool,
    ):
        listing = pool.submit(exchange.get, PATH, headers=headers)
        if threads == 0:
            scanned = client.adapter.request("scan", f"/v1/{MOUNT}/detailed-metadata/{PREFIX}/")
            assert len(scanned["data"]["key_info"]) > tokens
        for _ in pool.map(
            lambda n: kv.read_secret_metadata(f"{PREFIX}/bot-{n}", mount_point=MOUNT),
            range(tokens if threads else 0),
        ):
            pass
        assert len(listing.result().json()) == tokens


main()
