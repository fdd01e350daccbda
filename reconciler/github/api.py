"""Requests to GitHub's REST API with the job's token, and what a refusal means.

Rules this module keeps:

1. No redirect is followed with the token. The one redirect there is (an artifact's
   storage) is followed without it.
2. Only reads are sent again. Every page and wait has a bound, and so have the size and
   the time of a reply and of a download.
3. An error is raised outside every ``except``: an exception of httpx holds the request
   with its token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from reconciler.errors import UsageError
from reconciler.github.job import GitHubError, Job, address_of, at
from reconciler.net import bounded, caught, is_private, open_client, repeated

TIMEOUT_S = 10.0
TRIES = 3
PAUSE_S = 1.0
WAIT_MOST_S = 10.0
PAGE = 100
PAGES_MOST = 50
REPLY_S = 30.0
REPLY_BYTES = 16 * 1024 * 1024
ARCHIVE_S = 300.0
ARCHIVE_BYTES = 64 * 1024 * 1024

_NEXT = re.compile(r'<(?P<url>[^>]+)>;\s*rel="next"')
_SECONDS = re.compile(r"[0-9]{1,4}")
_ELSEWHERE = frozenset(
    {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.TEMPORARY_REDIRECT}
)


class _BusyError(GitHubError):
    """A call that may succeed after ``wait_s``."""

    def __init__(self, sentence: str, wait_s: float) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s


class Api:
    """The API of the job's repository, with the job's token.

    GitHubError where the job has no token, and for every call that fails.
    """

    def __init__(self, job: Job, *, sleep: Callable[[float], None]) -> None:
        if job.token is None:
            raise GitHubError(
                "GITHUB_TOKEN is not set: give it to the step as "
                "`env: GITHUB_TOKEN: ${{ github.token }}`"
            )
        self._job = job
        self._token = job.token
        self._sleep = sleep
        self._http = _client(job.api_url)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _url(self, path: str) -> str:
        base = f"{self._job.api_url}/repos/{self._job.repository}"
        return f"{base}/{path}" if path else base

    def pages(
        self, path: str, asked: Mapping[str, str], permission: str, *, key: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give the objects of a list, which lies under ``key`` of each page."""
        url: str | None = str(httpx.URL(self._url(path), params={**asked, "per_page": str(PAGE)}))
        for _ in range(PAGES_MOST):
            if url is None:
                return
            reply = self._get(url, permission)
            found = _json(reply) if key is None else at(_json(reply), key)
            items = found if isinstance(found, list) else []
            yield from (item for item in items if isinstance(item, dict))
            url = self._next(reply)

    def _next(self, reply: httpx.Response) -> str | None:
        """Return the next page if it is of this API: the token goes nowhere else."""
        found = _NEXT.search(reply.headers.get("link", ""))
        is_same = found is not None and found["url"].startswith(f"{self._job.api_url}/")
        return found["url"] if found is not None and is_same else None

    def read(self, path: str, permission: str) -> dict[str, Any]:
        """Return the object at a path below the repository."""
        found = _json(self._get(self._url(path), permission))
        return found if isinstance(found, dict) else {}

    def _get(self, url: str, permission: str) -> httpx.Response:
        """Send a read, again where GitHub is busy."""

        def attempt() -> httpx.Response | GitHubError:
            reply = caught(lambda: self._sent("GET", url), GitHubError)
            refusal = None if isinstance(reply, GitHubError) else _refusal(reply, permission)
            return refusal or reply

        def pause_s(outcome: httpx.Response | GitHubError, _: float) -> float | None:
            if isinstance(outcome, _BusyError) and outcome.wait_s <= WAIT_MOST_S:
                return outcome.wait_s
            return None

        outcome = repeated(attempt, pause_s, backoff_s=(PAUSE_S,) * (TRIES - 1), sleep=self._sleep)
        if isinstance(outcome, GitHubError):
            raise outcome
        return outcome

    def write(self, method: str, path: str, document: dict[str, Any], permission: str) -> str:
        """Send a write once, as a comment made twice stays; return the thing's URL."""
        reply = self._sent(method, self._url(path), document)
        if (refusal := _refusal(reply, permission)) is not None:
            raise refusal
        found = _json(reply)
        return text_at(found, "html_url") if isinstance(found, dict) else ""

    def _sent(
        self, method: str, url: str, document: dict[str, Any] | None = None
    ) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self._token.reveal()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        reply: httpx.Response | Exception | None = caught(
            lambda: _whole(self._http, method, url, headers=headers, json=document),
            *(httpx.InvalidURL, httpx.HTTPError, ValueError),
        )
        if isinstance(reply, httpx.InvalidURL):
            raise GitHubError("GitHub named an address that is none: is GITHUB_API_URL right?")
        if isinstance(reply, ValueError):
            raise GitHubError("what is to be told to GitHub holds characters that are no text")
        if isinstance(reply, Exception):
            name = type(reply).__name__
            raise _BusyError(f"GitHub does not answer ({name}): try again", PAUSE_S)
        if reply is None:
            raise GitHubError(
                "GitHub's reply has no end, or is too large: is GITHUB_API_URL right, or is a "
                "proxy in between?"
            )
        return reply

    def download(self, artifact_id: int) -> bytes:
        """Return an artifact's archive, of at most 64 MiB."""
        reply = self._sent("GET", self._url(f"actions/artifacts/{artifact_id}/zip"))
        if reply.status_code not in _ELSEWHERE:
            if (refusal := _refusal(reply, "actions: read")) is not None:
                raise refusal
            raise GitHubError("GitHub gave no place to download the snapshot from: try again")
        place = address_of(reply.headers.get("location", ""))
        if not is_private(place.scheme, place.host):
            raise GitHubError(
                "GitHub named a place for the snapshot that is not https: it is not read"
            )
        archive = caught(lambda: self._stored(place), httpx.HTTPError)
        if isinstance(archive, httpx.HTTPError):
            raise GitHubError("the snapshot could not be downloaded: try again")
        if archive is None:
            raise GitHubError(
                "the published snapshot is larger than 64 MiB, or takes longer than minutes: it is "
                "not read"
            )
        return archive

    def _stored(self, place: httpx.URL) -> bytes | None:
        """Return what lies there, asked for without the token; None if it is large."""
        with _client(str(place)) as client, client.stream("GET", place) as reply:
            if reply.status_code != HTTPStatus.OK:
                raise GitHubError(
                    f"the snapshot's storage answered with HTTP {reply.status_code}: try again"
                )
            end_s = time.monotonic() + ARCHIVE_S
            return bounded(reply.iter_bytes(), ARCHIVE_BYTES, end_s=end_s)


def _client(url: str) -> httpx.Client:
    """Return a client for the host of a URL. GitHubError for a bad environment."""
    client = caught(lambda: open_client(url, timeout_s=TIMEOUT_S), UsageError)
    if isinstance(client, UsageError):
        raise GitHubError(f"GitHub can't be asked: {client}")
    return client


def _whole(client: httpx.Client, method: str, url: str, **sent: Any) -> httpx.Response | None:
    """Return a reply with its body; None for one that is too large, or too slow."""
    end_s = time.monotonic() + REPLY_S
    with client.stream(method, url, **sent) as reply:
        body = bounded(reply.iter_bytes(), REPLY_BYTES, end_s=end_s)
    if body is None:
        return None
    kept = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, text) for name, text in reply.headers.multi_items() if name not in kept]
    return httpx.Response(reply.status_code, headers=headers, content=body)


def _refusal(reply: httpx.Response, permission: str) -> GitHubError | None:
    """Return the error for anything but success."""
    status = reply.status_code
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    answered = f"GitHub answered with HTTP {status}"
    if status < HTTPStatus.BAD_REQUEST:
        return GitHubError(f"{answered} and named another place: is GITHUB_REPOSITORY right?")
    retry_after = reply.headers.get("retry-after")
    is_limited = retry_after is not None or reply.headers.get("x-ratelimit-remaining") == "0"
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.FORBIDDEN and is_limited):
        known = _SECONDS.fullmatch(retry_after or "") is not None
        wait_s = float(retry_after or 0) if known else WAIT_MOST_S + 1
        return _BusyError("GitHub's rate limit is used up: try again later", wait_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BusyError(f"{answered}: try again", PAUSE_S)
    if status == HTTPStatus.UNAUTHORIZED:
        return GitHubError(
            "GitHub refuses GITHUB_TOKEN: give the step `${{ github.token }}` of this run"
        )
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        return GitHubError(
            f"{answered}: the job needs `{permission}`, "
            "which pull requests from forks and Dependabot never have"
        )
    return GitHubError(answered)


def text_at(found: Mapping[str, Any], key: str) -> str:
    """Return the text under a key, or an empty one."""
    text = found.get(key)
    return text if isinstance(text, str) else ""


def _json(reply: httpx.Response) -> object:
    found: object = caught(reply.json, ValueError, RecursionError)
    if isinstance(found, (ValueError, RecursionError)):
        raise GitHubError("GitHub's reply is no JSON: is GITHUB_API_URL right?")
    return found
