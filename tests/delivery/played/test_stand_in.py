"""The stand-ins of GitHub's API and issuer keep the laws that they are there for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support.github import Fault, GitHub, rate_limited
from tests.support.github_oidc import Issuer, job_claims, public_jwk
from tests.support.github_state import ACTIONS_BOT
from tests.support.loopback import Reply

REPO = "acme/tokens"
SHA = "a" * 40


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Yield a private repository with pull request 1 and issue 2."""
    with GitHub() as one:
        one.state.add_repository(REPO)
        one.state.add_pull(
            REPO, login="octocat", head=(REPO, "change", SHA), base=("main", "b" * 40)
        )
        one.state.add_issue(REPO, login="octocat", title="first", labels=("reconciler",))
        yield one


def ask(
    github: GitHub, method: str, path: str, *, document: Any = None, **permissions: str
) -> httpx.Response:
    """Send one request with a token that has these permissions."""
    named = {scope.replace("_", "-"): level for scope, level in permissions.items()}
    token = github.issue_token(REPO, login=ACTIONS_BOT, permissions=named)
    url = f"{github.url}/repos/{REPO}{path}"
    return httpx.request(
        method, url, headers={"Authorization": f"Bearer {token}"}, json=document, trust_env=False
    )


@pytest.mark.parametrize(
    ("call", "document", "granted", "status"),
    [
        ("GET ", None, {}, 200),
        ("GET /issues/1/comments", None, {"pull_requests": "read"}, 200),
        ("GET /issues/1/comments", None, {"issues": "read"}, 200),
        ("GET /issues/1/comments", None, {"actions": "write"}, 403),
        ("GET /issues/2/comments", None, {"pull_requests": "write"}, 403),
        ("POST /issues/1/comments", {"body": "x"}, {"pull_requests": "write"}, 201),
        ("POST /issues/1/comments", {"body": "x"}, {"pull_requests": "read"}, 403),
        ("POST /issues/2/comments", {"body": "x"}, {"pull_requests": "write"}, 403),
        ("POST /issues/2/comments", {"body": "x"}, {"issues": "write"}, 201),
        ("POST /issues/1/comments", {"body": ""}, {"issues": "write"}, 422),
        ("POST /issues/1/comments", {"body": "x" * 65_537}, {"issues": "write"}, 422),
        ("POST /issues/3/comments", {"body": "x"}, {"issues": "write"}, 404),
        ("GET /issues", None, {"issues": "read"}, 200),
        ("GET /issues", None, {}, 403),
        ("GET /issues?state=shut", None, {"issues": "read"}, 422),
        ("POST /issues", {"title": "x", "labels": ["a"]}, {"issues": "write"}, 201),
        ("POST /issues", {"body": "x"}, {"issues": "write"}, 422),
        ("POST /issues", {"title": "x"}, {"issues": "read"}, 403),
        ("PATCH /issues/2", {"state": "closed"}, {"issues": "write"}, 200),
        ("PATCH /issues/2", {"state": "shut"}, {"issues": "write"}, 422),
        (f"GET /commits/{SHA}/pulls", None, {"pull_requests": "read"}, 200),
        (f"GET /commits/{SHA}/pulls", None, {"contents": "read"}, 403),
        ("GET /commits/nothing/pulls", None, {"pull_requests": "read"}, 422),
        ("GET /actions/artifacts", None, {"actions": "read"}, 200),
        ("GET /actions/artifacts", None, {"contents": "read"}, 403),
        ("GET /actions/artifacts/7/zip", None, {"actions": "read"}, 404),
        ("GET /actions/secrets", None, {"actions": "read"}, 404),
    ],
)
def test_permissions_and_refusals(
    github: GitHub, call: str, document: Any, granted: dict[str, str], status: int
) -> None:
    """Each call needs its own permission, and is refused in GitHub's own order and
    shape.
    """
    method, _, path = call.partition(" ")
    reply = ask(github, method, path, document=document, **granted)
    assert reply.status_code == status, reply.text
    if status == 403:
        assert reply.json()["message"] == "Resource not accessible by integration"
    assert github.unknown == (
        ["GET /repos/acme/tokens/actions/secrets"] if "secrets" in path else []
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"Authorization": "Bearer ghs_wrong"}, 401),
        ({"User-Agent": ""}, 403),
        ({"X-GitHub-Api-Version": "2020-01-01"}, 400),
    ],
)
def test_the_door(github: GitHub, headers: Mapping[str, str], status: int) -> None:
    """A stranger does not even learn that a private repository is there."""
    assert (
        httpx.get(f"{github.url}/repos/{REPO}", headers=dict(headers), trust_env=False).status_code
        == status
    )


def test_pages_are_followed_by_link(github: GitHub) -> None:
    """A page has thirty entries, or a hundred at most; the next page's address names
    the repository by its id, and works.
    """
    for number in range(250):
        github.state.add_comment(REPO, 1, login="octocat", body=str(number))
    assert len(ask(github, "GET", "/issues/1/comments", issues="read").json()) == 30
    reply = ask(github, "GET", "/issues/1/comments?per_page=1000", issues="read")
    found, token = list(reply.json()), github.tokens()[-1]
    while "next" in reply.links:
        assert f"/repositories/{github.state.repositories[REPO].id}/" in reply.links["next"]["url"]
        reply = httpx.get(
            reply.links["next"]["url"],
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        found += reply.json()
    assert [comment["body"] for comment in found] == [str(number) for number in range(250)]


def test_issues_are_filtered_and_hold_pull_requests(github: GitHub) -> None:
    """A pull request is an issue as well; label, state and author narrow the list."""

    def numbers(query: str) -> list[int]:
        return [
            issue["number"] for issue in ask(github, "GET", f"/issues{query}", issues="read").json()
        ]

    assert numbers("") == [2, 1]
    assert numbers("?direction=asc") == [1, 2]
    assert numbers("?labels=reconciler") == [2]
    assert numbers("?creator=github-actions[bot]") == []
    assert (
        ask(github, "PATCH", "/issues/2", document={"state": "closed"}, issues="write").json()[
            "state"
        ]
        == "closed"
    )
    assert numbers("?labels=reconciler") == []
    assert numbers("?labels=reconciler&state=all") == [2]


def test_the_author_is_the_token(github: GitHub) -> None:
    """Nobody writes in another's name, and nobody edits another's comment; former texts
    stay readable.
    """
    mine = ask(
        github,
        "POST",
        "/issues/1/comments",
        document={"body": "a", "user": {"login": "x"}},
        issues="write",
    ).json()
    assert mine["user"] == {
        "login": ACTIONS_BOT,
        "id": 41898282,
        "type": "Bot",
        "site_admin": False,
    }
    theirs = github.state.add_comment(REPO, 1, login="mallory", body="m")
    assert (
        ask(
            github, "PATCH", f"/issues/comments/{theirs.id}", document={"body": "b"}, issues="write"
        ).status_code
        == 403
    )
    assert (
        ask(
            github,
            "PATCH",
            f"/issues/comments/{mine['id']}",
            document={"body": "b"},
            issues="write",
        ).json()["body"]
        == "b"
    )
    assert {"a", "b", "m"} <= set(github.state.texts())


def test_an_artifact_lies_elsewhere(github: GitHub) -> None:
    """The zip comes by a redirect to another host, which refuses the token, and serves
    each address once.
    """
    run = github.state.add_run(REPO, event="schedule", head_branch="main", head_sha=SHA)
    artifact = github.state.add_artifact(REPO, run, "tokens-snapshot", {"snapshot.json": b"{}"})
    listed = ask(github, "GET", "/actions/artifacts?name=tokens-snapshot", actions="read").json()[
        "artifacts"
    ]
    assert [(one["id"], one["workflow_run"]["id"]) for one in listed] == [(artifact.id, run.id)]
    reply = ask(github, "GET", f"/actions/artifacts/{artifact.id}/zip", actions="read")
    assert reply.status_code == 302
    place = reply.headers["location"]
    assert not place.startswith(github.url)
    token = {"Authorization": f"Bearer {github.tokens()[-1]}"}
    assert httpx.get(place, headers=token, trust_env=False).status_code == 401
    assert httpx.get(place, trust_env=False).content == artifact.content
    assert httpx.get(place, trust_env=False).status_code == 403
    artifact.expired = True
    assert (
        ask(github, "GET", f"/actions/artifacts/{artifact.id}/zip", actions="read").status_code
        == 410
    )


def test_faults(github: GitHub) -> None:
    """A limit, an outage and a lost reply come as often as asked for; the work of a
    lost reply is done.
    """
    github.fail(
        Fault(reply=rate_limited(status=429, retry_after_s=7), path=".*/comments"),
        Fault(reply=Reply(status=502, body=b"<html>"), times=2),
    )
    assert ask(github, "GET", "/issues/1/comments", issues="read").headers["retry-after"] == "7"
    statuses = [
        ask(github, "GET", "/issues/1/comments", issues="read").status_code for _ in range(3)
    ]
    assert statuses == [502, 502, 200]
    github.fail(Fault(method="POST", done=True))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(github, "POST", "/issues/1/comments", document={"body": "done"}, issues="write")
    assert [
        comment["body"]
        for comment in ask(github, "GET", "/issues/1/comments", issues="read").json()
    ] == ["done"]
    github.fail(Fault(hang=True))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{github.url}/repos/{REPO}", timeout=0.2, trust_env=False)


CLAIMS = job_claims(
    repository=REPO,
    repository_id=7,
    owner_id=8,
    event_name="push",
    ref="refs/heads/main",
    sha=SHA,
    workflow="w",
    workflow_file=".github/workflows/w.yml",
    run_id=9,
    environment="production",
)


def test_the_issuer() -> None:
    """A job gets a token of its claims for the audience it asks for: with its bearer,
    at the whole address, while it runs.
    """
    with Issuer() as issuer:
        door = issuer.open(CLAIMS)
        headers = {"Authorization": f"Bearer {door.token}"}
        url = httpx.URL(door.url)
        reply = httpx.get(
            url.copy_merge_params({"audience": "https://v:8200"}), headers=headers, trust_env=False
        )
        payload = reply.json()["value"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["sub"] == "repo:acme@8/tokens@7:environment:production"
        assert (claims["aud"], claims["iss"], claims["environment"]) == (
            "https://v:8200",
            issuer.url,
            "production",
        )
        assert claims["exp"] - claims["iat"] == 900
        assert (
            httpx.get(url, params={"audience": "x"}, headers=headers, trust_env=False).status_code
            == 400
        ), "lost its version"
        assert httpx.get(url, trust_env=False).status_code == 401
        issuer.close(door)
        assert httpx.get(url, headers=headers, trust_env=False).status_code == 401
        assert (issuer.asked, issuer.refused) == (["https://v:8200"], 3)
        found = httpx.get(f"{issuer.url}/.well-known/openid-configuration", trust_env=False).json()
        assert httpx.get(found["jwks_uri"], trust_env=False).json() == {"keys": [public_jwk()]}
