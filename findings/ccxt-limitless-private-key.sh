#!/bin/sh
# ccxt's class of the Limitless exchange asks for a wallet's private key before it signs any request, such as the list of tokens.
#
# The signature of a token needs its id and secret only: with any text as the key the same request is signed. A bot that reads or
# cancels, and holds no wallet, has to give a text that is no key. ccxt 4.5.90.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ccxt==4.5.90
cat > ask.py <<'END'
import asyncio

import ccxt
from ccxt.prediction import limitless

PAIR = {"apiKey": "an-id", "secret": "c2VjcmV0"}


async def signed(**more):
    exchange = limitless({**PAIR, **more})
    try:
        request = exchange.sign("auth/api-tokens", ["limitless", "private"])
        return sorted(name for name in request["headers"] if name.startswith("lmts-"))
    except ccxt.AuthenticationError as error:
        return str(error)
    finally:
        await exchange.close()


without, with_any = asyncio.run(signed()), asyncio.run(signed(privateKey="not a key"))
print("without:  ", without)
print("with one: ", with_any)
assert without == 'limitless requires "privateKey" credential', without
assert with_any == ["lmts-api-key", "lmts-signature", "lmts-timestamp"], with_any
END
venv/bin/python ask.py
