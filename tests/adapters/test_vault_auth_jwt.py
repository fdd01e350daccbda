"""Claims about the identity token of a login: where it is read, how GitHub is asked for
it, and what of it is shown.
"""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError, UsageError
from reconciler.model import Secret
from reconciler.vault.logins.identity_token import (
    PAUSES_S,
    REPLY_BYTES_MAX,
    GitHubOidc,
    JwtFile,
    JwtSource,
    identity_token,
    shown_claims,
)
from tests.support import http_stub
from tests.support.http_stub import HttpStub, drop, http, say

TOKEN = "header.canary-4711.signature"
REQUEST_TOKEN = "canary-of-the-runner"
GOOD = say(http(200, {"value": TOKEN, "count": 1}))


def github(stub: HttpStub, audience: str = "https://vault.example.com:8200") -> GitHubOidc:
    """What a runner gives a job, with the stub in GitHub's place."""
    return GitHubOidc(
        url=f"{stub.url}/abc//idtoken/1/2?api-version=2.0",
        request_token=Secret(REQUEST_TOKEN),
        audience=audience,
    )


def failure_of(
    source: JwtSource, sleep: Callable[[float], None] = lambda _: None
) -> ReconcilerError:
    """The error that asking for a token ends in; it carries nothing along."""
    with pytest.raises(ReconcilerError) as caught:
        identity_token(source, sleep=sleep)
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    text = "".join(traceback.format_exception(error))
    assert REQUEST_TOKEN not in text
    assert "canary-4711" not in text
    return error


@pytest.mark.parametrize(
    ("audience", "encoded"),
    [
        ("https://vault.example.com:8200", "https%3A%2F%2Fvault.example.com%3A8200"),
        ("a b&c=d#é", "a%20b%26c%3Dd%23%C3%A9"),
    ],
)
def test_github_is_asked_for_this_audience(audience: str, encoded: str) -> None:
    """One GET whose address keeps its ``api-version``, with the audience encoded and
    the runner's token as a bearer.
    """
    with HttpStub(GOOD) as stub:
        masked: list[str] = []
        token = identity_token(github(stub, audience), mask=masked.append)
        (seen,) = stub.seen
    assert (seen.method, seen.target) == (
        "GET",
        f"/abc//idtoken/1/2?api-version=2.0&audience={encoded}".replace("%20", "+"),
    )
    assert (seen.headers["authorization"], seen.headers["accept"]) == (
        f"Bearer {REQUEST_TOKEN}",
        "application/json",
    )
    assert (token.reveal(), masked) == (TOKEN, [TOKEN])


@pytest.mark.parametrize(
    "first", [drop(), say(http(503)), say(http(429)), say(http(500, {"value": TOKEN}))]
)
def test_github_is_asked_again(first: http_stub.Answer) -> None:
    """What passes in a moment costs a pause, not the run."""
    pauses: list[float] = []
    with HttpStub(first, GOOD) as stub:
        assert identity_token(github(stub), sleep=pauses.append).reveal() == TOKEN
    assert pauses == [PAUSES_S[0]]


@pytest.mark.parametrize(
    ("answer", "attempts", "sentence"),
    [
        (drop(), 4, "GitHub's service for identity tokens does not answer: check the network"),
        (
            say(http(503)),
            4,
            "GitHub gives no identity token at the moment (503): run the job again",
        ),
        (
            say(http(429)),
            4,
            "GitHub gives no identity token at the moment (429): run the job again",
        ),
        (
            say(http(200, body=b"x" * (REPLY_BYTES_MAX + 1))),
            4,
            "GitHub's service for identity tokens does not answer",
        ),
        (
            say(http(401, {"value": TOKEN})),
            1,
            "GitHub refuses this job an identity token (401): give it the permission",
        ),
        (
            say(http(404)),
            1,
            "GitHub refuses this job an identity token (404): give it the permission",
        ),
        (
            say(http(200, {"count": 1})),
            1,
            "what answers for GitHub's identity tokens (HTTP 200) gives none: check",
        ),
        (
            say(http(200, {"value": ""})),
            1,
            "what answers for GitHub's identity tokens (HTTP 200) gives none: check",
        ),
        (
            say(http(200, {"value": 1})),
            1,
            "what answers for GitHub's identity tokens (HTTP 200) gives none: check",
        ),
        (
            say(http(200, [TOKEN])),
            1,
            "what answers for GitHub's identity tokens (HTTP 200) gives none: check",
        ),
        (
            say(http(200, body=TOKEN.encode())),
            1,
            "what answers for GitHub's identity tokens (HTTP 200) gives none: check",
        ),
        (
            say(http(200, {"value": f"{TOKEN}\r\nX: y"})),
            1,
            "GitHub's identity token holds whitespace",
        ),
    ],
)
def test_github_gives_none(answer: http_stub.Answer, attempts: int, sentence: str) -> None:
    """Each way has its sentence; asking ends after four times, and at once where
    nothing would change.
    """
    pauses: list[float] = []
    with HttpStub(otherwise=answer) as stub:
        error = failure_of(github(stub), pauses.append)
        assert len(stub.seen) == attempts
    assert str(error).startswith(sentence)
    assert pauses == list(PAUSES_S)[: attempts - 1]


def test_github_sends_us_nowhere_else() -> None:
    """A redirect is not followed: its host never sees the runner's token."""
    with HttpStub() as elsewhere:
        redirect = say(http(307, headers={"Location": f"{elsewhere.url}/"}))
        with HttpStub(otherwise=redirect) as stub:
            assert "(HTTP 307) gives none" in str(failure_of(github(stub)))
        assert elsewhere.seen == []


def test_github_on_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not handed the runner's token in the clear."""
    with HttpStub() as proxy, HttpStub(GOOD) as stub:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert identity_token(github(stub)).reveal() == TOKEN
        assert proxy.seen == []


def test_github_at_no_address() -> None:
    """An address that passes for one until it is used is the environment's fault."""
    source = GitHubOidc(url="https://xn--a/", request_token=Secret(REQUEST_TOKEN), audience="a")
    assert isinstance(failure_of(source), UsageError)


@pytest.mark.parametrize(
    ("name", "text"), [("SSL_CERT_FILE", "/no/file"), ("HTTPS_PROXY", "socks9://canary-4711@p")]
)
def test_github_behind_a_broken_setup(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """A file of authorities that is not there, or a proxy that is none, is a sentence
    naming the variable.
    """
    monkeypatch.setenv(name, text)
    source = GitHubOidc(
        url="https://github.invalid/", request_token=Secret(REQUEST_TOKEN), audience="a"
    )
    said = str(failure_of(source))
    assert said.startswith(f"GitHub can't be asked for an identity token: {name} ")
    assert "canary" not in said


def test_file_is_read_each_time(tmp_path: Path) -> None:
    """A cluster renews the file: what counts is what it holds at the login; it is
    stripped, and masked.
    """
    file, masked = tmp_path / "jwt", list[str]()
    source = JwtFile(path=file, source="the file")
    for text in ("first", "second"):
        file.write_text(f" {text}\n", encoding="utf-8")
        assert identity_token(source, mask=masked.append).reveal() == text
    assert masked == ["first", "second"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is empty or can't be read: check the path and its permissions"),
        (b" \n", "is empty or can't be read"),
        (b"canary-4711\xff", "is empty or can't be read"),
        (b"canary-4711" * 10_000, "is empty or can't be read"),
        (b"canary-4711 x", "the file holds whitespace"),
    ],
    ids=["missing", "blank", "not UTF-8", "far too large", "two words"],
)
def test_file_without_a_token(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """One sentence, exit 64, and no word of what is in it."""
    file = tmp_path / "jwt"
    if content is not None:
        file.write_bytes(content)
    error = failure_of(JwtFile(path=file, source="the file"))
    assert isinstance(error, UsageError)
    assert sentence in str(error)


def jwt(claims: object) -> Secret:
    """Three parts, the middle one holding the claims."""
    return Secret(
        f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"
    )


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (
            jwt(
                {
                    "sub": "repo:acme@1/app@2:environment:tokens-apply",
                    "aud": ["a", "b"],
                    "repository_id": "4711",
                    "environment": "tokens-apply",
                    "actor": "not shown",
                    "ref": "refs/heads/main",
                    "event_name": "push",
                    "job_workflow_ref": "acme/app/.github/workflows/apply.yml@refs/heads/main",
                }
            ),
            (
                'it says sub="repo:acme@1/app@2:environment:tokens-apply", aud=["a", "b"], '
                'repository_id="4711", '
                'ref="refs/heads/main", environment="tokens-apply", event_name="push", '
                'job_workflow_ref="acme/app/.github/workflows/apply.yml@refs/heads/main"'
            ),
        ),
        (jwt({"sub": "a\nb\x1b\u202e"}), r'it says sub="a\nb\u001b\u202e"'),
        (jwt({"sub": "x" * 500}), f'it says sub="{"x" * 199}…'),
        (jwt({}), "it says none of what a role may be bound to"),
        (jwt([1]), "it is no JWT"),
        (Secret("s.opaque"), "it is no JWT"),
        (Secret("a.!!!.c"), "it is no JWT"),
        (Secret("one"), "it is no JWT"),
    ],
)
def test_shown_claims(token: Secret, expected: str) -> None:
    """Only what roles are bound to, each claim bounded and on one line; anything else
    is no JWT.
    """
    assert shown_claims(token) == expected
