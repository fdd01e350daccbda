#!/bin/sh
# httpx asks a proxy for "CONNECT fd00::1:8443": the brackets of an IPv6 address are lost, so nobody can tell where the port begins.
#
# The authority form of RFC 9112 (3.2.3) needs them, and urllib3, beside it, sends them. httpcore 1.0.9 builds the target of the
# request from host and port of the parsed URL, where the host stands without its brackets; the Host header is taken from there too.
# A proxy that is strict answers 400, and one that splits at the first colon connects elsewhere.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 urllib3==2.5.0
cat > ask.py <<'END'
import socket
import threading

import httpx
import urllib3

URL = "https://[fd00::1]:8443/"


def head_sent_by(client):
    """Return the head that a proxy on loopback gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        seen = []

        def answer():
            connection, _ = server.accept()
            with connection:
                seen.extend(connection.recv(4096).decode().split("\r\n"))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            client(proxy)
        except (httpx.HTTPError, urllib3.exceptions.HTTPError):
            pass
        thread.join()
    return seen[0], next((line for line in seen if line.lower().startswith("host:")), "no Host header")


found = {
    "httpx": head_sent_by(lambda proxy: httpx.Client(proxy=proxy, trust_env=False).get(URL)),
    "urllib3": head_sent_by(
        lambda proxy: urllib3.ProxyManager(proxy).request("GET", URL, retries=False)
    ),
}
for name, head in found.items():
    print(f"{name:8} {head[0]:40} {head[1]}")
assert found["httpx"][0] == "CONNECT fd00::1:8443 HTTP/1.1", found
assert found["urllib3"][0].startswith("CONNECT [fd00::1]:8443 "), found
END
venv/bin/python ask.py
