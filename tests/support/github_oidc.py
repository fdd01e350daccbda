"""A stand-in of the issuer of GitHub Actions' identity tokens, which a job asks and
Vault checks.

Rules this module keeps:

1. A job asks with the bearer token that it was given, at an address that already has a
   query (``?api-version=…``); without that query, without the token, or once the job is
   over, nothing is issued.
2. The claims are those of GitHub's reference, all of them text; whoever asks chooses
   the audience and nothing else.
3. ``sub`` has the form with ids that repositories have since 2026-07-15.
"""

from __future__ import annotations

import base64
import dataclasses
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from tests.support.loopback import LoopbackServer, Reply, Request
from tests.support.openbao import jwt_public_key, signed_jwt

LIFETIME_S = 900
_MODULUS_BYTES = slice(33, 33 + 256)  # of the DER of an RSA key of 2048 bits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a job asks for its identity token, and with which bearer token."""

    url: str
    token: str

    def environ(self) -> dict[str, str]:
        """Return both as the runner gives them to the steps."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": self.url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.token,
        }


class Issuer(LoopbackServer):
    """The issuer; a context manager.

    ``url`` is its address and the claim ``iss``; its keys are served there as well.
    ``issued`` are all tokens that it gave out, ``asked`` the audiences asked for,
    ``refused`` the number of refusals.
    """

    def __init__(self) -> None:
        self.issued: list[str] = []
        self.asked: list[str] = []
        self.refused = 0
        self._doors: dict[str, Mapping[str, str]] = {}
        super().__init__(self._answer)

    def open(self, claims: Mapping[str, str]) -> Door:
        """Let a job with these claims ask; return where."""
        token = secrets.token_urlsafe(32)
        self._doors[token] = claims
        return Door(url=f"{self.url}/idtoken/{secrets.token_hex(8)}?api-version=2.0", token=token)

    def close(self, door: Door) -> None:
        """End a job: from now on it gets nothing."""
        self._doors.pop(door.token, None)

    def issue(self, claims: Mapping[str, str], audience: str) -> str:
        """Return a token with these claims, as a job would get it."""
        now_s = int(time.time())
        token = signed_jwt(
            {
                **claims,
                "iss": self.url,
                "aud": audience,
                "jti": secrets.token_hex(16),
                "iat": now_s,
                "nbf": now_s - 60,
                "exp": now_s + LIFETIME_S,
            }
        )
        self.issued.append(token)
        return token

    def _answer(self, request: Request) -> Reply:
        if request.path == "/.well-known/openid-configuration":
            return Reply(status=200, document=self._configuration())
        if request.path == "/.well-known/jwks":
            return Reply(status=200, document={"keys": [public_jwk()]})
        claims = self._doors.get(request.bearer() or "")
        if not request.path.startswith("/idtoken/") or "api-version" not in request.query:
            self.refused += 1
            problem = {"message": "The requested version is missing"}
            return Reply(status=HTTPStatus.BAD_REQUEST, document=problem)
        if claims is None:
            self.refused += 1
            return Reply(status=HTTPStatus.UNAUTHORIZED, document={"message": "Unauthorized"})
        audience = (
            request.query.get("audience") or f"https://github.com/{claims['repository_owner']}"
        )
        self.asked.append(audience)
        return Reply(status=200, document={"count": 1, "value": self.issue(claims, audience)})

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


def public_jwk() -> dict[str, str]:
    """Return the public key as a JWK (RFC 7517)."""
    lines = jwt_public_key().splitlines()
    modulus = base64.b64decode("".join(lines[1:-1]))[_MODULUS_BYTES]
    return {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "n": base64.urlsafe_b64encode(modulus).decode().rstrip("="),
        "e": "AQAB",
    }


def job_claims(  # noqa: PLR0913  # the facts of a job, by name
    *,
    repository: str,
    repository_id: int,
    owner_id: int,
    event_name: str,
    ref: str,
    sha: str,
    workflow: str,
    workflow_file: str,
    run_id: int,
    environment: str | None = None,
    actor: str = "octocat",
    job_workflow_ref: str | None = None,
    head_ref: str = "",
    base_ref: str = "",
    private: bool = True,
) -> dict[str, str]:
    """Return the claims of a job as GitHub's reference lists them; a job without an
    environment has no such claim.
    """
    owner, _, name = repository.partition("/")
    workflow_ref = f"{repository}/{workflow_file}@{ref}"
    subject = f"repo:{owner}@{owner_id}/{name}@{repository_id}"
    kind = "pull_request" if event_name == "pull_request" else f"ref:{ref}"
    subject += f":environment:{environment}" if environment else f":{kind}"
    claims = {
        "sub": subject,
        "repository": repository,
        "repository_id": str(repository_id),
        "repository_owner": owner,
        "repository_owner_id": str(owner_id),
        "repository_visibility": "private" if private else "public",
        "ref": ref,
        "ref_type": "branch",
        "ref_protected": "true" if ref == "refs/heads/main" else "false",
        "sha": sha,
        "event_name": event_name,
        "workflow": workflow,
        "workflow_ref": workflow_ref,
        "workflow_sha": sha,
        "job_workflow_ref": job_workflow_ref or workflow_ref,
        "job_workflow_sha": sha,
        "run_id": str(run_id),
        "run_number": "1",
        "run_attempt": "1",
        "runner_environment": "github-hosted",
        "actor": actor,
        "actor_id": "1",
        "head_ref": head_ref,
        "base_ref": base_ref,
    }
    return claims | ({"environment": environment} if environment else {})
