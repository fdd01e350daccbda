"""Stand-ins on loopback for those who say who we are:

GitHub's service for identity tokens, and a cluster's TokenReview.

The tokens are signed with the key of ``tests.support.openbao``, so a real server judges
them as it would the real ones.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.loopback import LoopbackServer, Reply, Request
from tests.support.openbao import signed_jwt

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"
CLUSTER = "https://kubernetes.default.svc.cluster.local"
LIFE_S = 300


def token_of(issuer: str, claims: Mapping[str, object], **more: object) -> str:
    """A signed identity token that is valid now, unless ``more`` says otherwise; a
    claim given as None is left out.
    """
    now_s = int(time.time())
    every = {"iss": issuer, "iat": now_s, "nbf": now_s - 5, "exp": now_s + LIFE_S, **claims, **more}
    return signed_jwt({name: value for name, value in every.items() if value is not None})


def pod_claims(account: str, namespace: str, audience: str) -> dict[str, object]:
    """What a projected token of a service account says."""
    return {
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "aud": [audience],
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": account, "uid": f"uid-{account}"},
        },
    }


def claims_in(token: str) -> dict[str, Any]:
    """What a token says."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@contextlib.contextmanager
def github(claims: Mapping[str, object], issued: list[str]) -> Iterator[dict[str, str]]:
    """The variables of a job whose identity tokens say these claims, and for whom it
    asked; each token is kept in ``issued``.

    As GitHub does, it refuses a request without its ``api-version`` (400) or with
    another bearer (401).
    """
    bearer = "the-runners-own-token"

    def answer(request: Request) -> Reply:
        if request.query.get("api-version") != "2.0":
            return Reply(status=400, document={"message": "no api-version"})
        if request.headers.get("authorization") != f"Bearer {bearer}":
            return Reply(status=401, document={"message": "unauthorized"})
        audience = request.query.get("audience", "https://github.com/acme")
        issued.append(token_of(GITHUB, {**claims, "aud": audience}))
        return Reply(status=200, document={"count": len(issued[-1]), "value": issued[-1]})

    with LoopbackServer(answer) as server:
        yield {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/idtoken?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": bearer,
        }


def review(request: Request) -> Reply:
    """A cluster's TokenReview: it believes every token, for the audiences that it was
    asked about.
    """
    spec = json.loads(request.body)["spec"]
    claims = claims_in(spec["token"])
    common = [
        audience for audience in claims["aud"] if audience in spec.get("audiences", claims["aud"])
    ]
    account = claims["kubernetes.io"]["serviceaccount"]
    user = {"username": claims["sub"], "uid": account["uid"], "groups": ["system:serviceaccounts"]}
    status = {"authenticated": bool(common), "user": user, "audiences": common}
    answer = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}
    return Reply(status=201, document=answer)
