"""GitHub's REST API, as far as a plan needs it: one comment, two rolling issues, the merged pull request, the snapshot.

    what is asked                                            permission of the job
    -------------------------------------------------------  ---------------------
    list, make and edit the comments of a pull request       pull-requests: write
    list, make and edit issues                               issues: write
    the pull request of a commit, and its comments           pull-requests: read
    the artifacts of runs                                    actions: read

Rules this module keeps:

1. No type of httpx crosses it; a failure is a GitHubError with a sentence that names
   the permission. No reply's body is shown.
2. A comment or an issue is ours by its author *and* its marker: anybody may write the
   marker.
3. No redirect is followed with the token; the one redirect there is (an artifact's
   storage) is followed without.
4. Only reads are sent again. Every page, wait and size has a bound.
5. A snapshot counts only where a run of the default branch of this very repository made
   it: whoever opens a pull request can upload an artifact of any name.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import httpx

from reconciler import __version__
from reconciler.errors import ReconcilerError
from reconciler.model import Secret

TIMEOUT_S = 10.0
TRIES = 3
WAIT_MOST_S = 10.0
PAGE = 100
PAGES_MOST = 50
SNAPSHOT_BYTES = 64 * 1024 * 1024
EVENT_CHARS = 32 * 1024 * 1024
RUNS_LOOKED_AT = 20

AUTHOR = "github-actions[bot]"
LABEL = "reconciler"
ARTIFACT = "tokens-snapshot"
SNAPSHOT_FILE = "snapshot.json"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TRUSTED_EVENTS = frozenset({"push", "schedule", "workflow_dispatch"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NEXT = re.compile(r'<(?P<url>[^>]+)>;\s*rel="next"')


class GitHubError(ReconcilerError):
    """A call to GitHub did not succeed. Nothing of the tokens depends on it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Where the program runs: GitHub's own variables.

    ``event`` is what triggered the workflow.
    """

    api_url: str
    server_url: str
    repository: str
    token: Secret | None
    event: Mapping[str, Any]
    sha: str
    run_id: str
    workflow: str
    author: str

    @property
    def run_url(self) -> str:
        """Where people read this run's log."""
        return (
            f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}"
            if self.run_id
            else self.server_url
        )

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request that this run is for."""
        number = _at(self.event, "pull_request", "number")
        return number if type(number) is int else None

    @property
    def head_sha(self) -> str:
        """The commit that people review: of a pull request its head, not the merge that is tried."""
        head = _at(self.event, "pull_request", "head", "sha")
        return head if isinstance(head, str) and _SHA.fullmatch(head) else self.sha


def job_from(environ: Mapping[str, str]) -> Job:
    """The job by its environment.

    GitHubError where this is none, or its variables can't be.
    """
    repository, api_url = (
        environ.get("GITHUB_REPOSITORY", ""),
        environ.get("GITHUB_API_URL") or "https://api.github.com",
    )
    if not _NAME.fullmatch(repository):
        raise GitHubError("this is no job of GitHub Actions: GITHUB_REPOSITORY is not set")
    url = _address(api_url)
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise GitHubError("GITHUB_API_URL is not https: the token is not sent there")
    token = environ.get("GITHUB_TOKEN", "").strip()
    return Job(
        api_url=api_url.rstrip("/"),
        server_url=(environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/"),
        repository=repository,
        token=Secret(token) if token else None,
        event=_event(environ.get("GITHUB_EVENT_PATH", "")),
        sha=environ.get("GITHUB_SHA", ""),
        run_id=environ.get("GITHUB_RUN_ID", ""),
        workflow=environ.get("GITHUB_WORKFLOW", ""),
        author=environ.get("RECONCILER_COMMENT_AUTHOR") or AUTHOR,
    )


def _event(name: str) -> Mapping[str, Any]:
    if not name:
        return {}
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123  # a path as the runner gave it
            found = json.loads(file.read(EVENT_CHARS))
    except (OSError, ValueError, RecursionError):
        raise GitHubError("GITHUB_EVENT_PATH can't be read as JSON") from None
    return found if isinstance(found, dict) else {}


def _at(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A comment or an issue of ours. ``number`` names it in its URL."""

    number: int
    body: str
    url: str
    is_open: bool = True


Ours = Callable[[str], bool]


class GitHub:
    """The API with the job's token."""

    def __init__(self, job: Job, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """GitHubError where the job has no token."""
        if job.token is None:
            raise GitHubError(
                "GITHUB_TOKEN is not set: give it to the step as `env: GITHUB_TOKEN: ${{ github.token }}`"
            )
        self._job = job
        self._sleep = sleep
        self._http = httpx.Client(
            timeout=TIMEOUT_S,
            follow_redirects=False,
            headers={"User-Agent": f"reconciler/{__version__}"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # --- comments ---

    def find_comment(self, pull_request: int, ours: Ours) -> Post | None:
        """Our newest comment that ``ours`` knows by its body."""
        found = self._pages(f"issues/{pull_request}/comments", {}, "pull-requests: read")
        return self._newest(found, "id", ours)

    def put_comment(self, pull_request: int, known: Post | None, body: str) -> str:
        """Make it, or edit the known one unless it says the same already; its URL."""
        if known is not None and known.body == body:
            return known.url
        if known is None:
            reply = self._write(
                "POST", f"issues/{pull_request}/comments", {"body": body}, "pull-requests: write"
            )
        else:
            reply = self._write(
                "PATCH", f"issues/comments/{known.number}", {"body": body}, "pull-requests: write"
            )
        return _text(reply, "html_url")

    # --- issues ---

    def find_issue(self, ours: Ours) -> Post | None:
        """Our newest issue that ``ours`` knows by its body, open or closed."""
        asked = {"labels": LABEL, "state": "all", "sort": "created", "direction": "asc"}
        return self._newest(self._pages("issues", asked, "issues: read"), "number", ours)

    def put_issue(self, known: Post | None, *, title: str, body: str) -> str:
        """Open it, or edit the known one (and open it again) unless it is open and says the same already; its URL."""
        if known is not None and known.is_open and known.body == body:
            return known.url
        if known is None:
            wanted = {"title": title, "body": body, "labels": [LABEL]}
            return _text(self._write("POST", "issues", wanted, "issues: write"), "html_url")
        wanted = {"title": title, "body": body, "state": "open"}
        return _text(
            self._write("PATCH", f"issues/{known.number}", wanted, "issues: write"), "html_url"
        )

    def close_issue(self, known: Post) -> None:
        """Close it, as done."""
        self._write(
            "PATCH",
            f"issues/{known.number}",
            {"state": "closed", "state_reason": "completed"},
            "issues: write",
        )

    # --- the pull request that was merged ---

    def merged_pull(self, sha: str) -> tuple[int, str] | None:
        """Number and head commit of the pull request whose merge into the default branch this commit is, or None."""
        if not _SHA.fullmatch(sha):
            return None
        branch = _text(self._read("", {}, "contents: read"), "default_branch")
        for pull in self._pages(f"commits/{sha}/pulls", {}, "pull-requests: read"):
            head, number = _at(pull, "head", "sha"), pull.get("number")
            merged = (
                pull.get("merged_at")
                and pull.get("merge_commit_sha") == sha
                and _at(pull, "base", "ref") == branch
            )
            if merged and type(number) is int and isinstance(head, str):
                return number, head
        return None

    # --- the snapshot ---

    def snapshot(self) -> str:
        """The newest snapshot that a run of the default branch published.

        GitHubError where there is none.
        """
        repository = self._read("", {}, "contents: read")
        branch, number = _text(repository, "default_branch"), repository.get("id")
        looked = 0
        for artifact in sorted(
            self._artifacts(), key=lambda a: str(a.get("created_at")), reverse=True
        ):
            run = artifact.get("workflow_run")
            same = _at(run, "repository_id") == number and _at(run, "head_repository_id") == number
            if artifact.get("expired") or not same or _at(run, "head_branch") != branch:
                continue
            looked += 1
            if looked > RUNS_LOOKED_AT:
                break
            if self._is_trusted(_at(run, "id"), branch) and type(artifact.get("id")) is int:
                return self._download(artifact["id"])
        raise GitHubError(
            f"no run of {branch} has published a snapshot yet (an artifact named {ARTIFACT}): run the drift workflow once"
        )

    def _artifacts(self) -> list[dict[str, Any]]:
        """All of that name: whoever floods the repository with others hides ours on a later page."""
        return list(
            self._pages("actions/artifacts", {"name": ARTIFACT}, "actions: read", key="artifacts")
        )

    def _is_trusted(self, run_id: object, branch: str) -> bool:
        """Rule 5.

        A tag may have the branch's name, so the commit itself has to be on the branch.
        """
        if type(run_id) is not int:
            return False
        run = self._read(f"actions/runs/{run_id}", {}, "actions: read")
        return (
            str(run.get("event")) in TRUSTED_EVENTS
            and run.get("head_branch") == branch
            and _at(run, "head_repository", "full_name") == self._job.repository
            and self._is_on(branch, run.get("head_sha"))
        )

    def _is_on(self, branch: str, sha: object) -> bool:
        """Whether a commit is the branch's latest one or one of those before it."""
        tip = _at(
            self._read(f"branches/{quote(branch, safe='')}", {}, "contents: read"), "commit", "sha"
        )
        if (
            not isinstance(sha, str)
            or not isinstance(tip, str)
            or not _SHA.fullmatch(sha)
            or not _SHA.fullmatch(tip)
        ):
            return False
        return self._read(f"compare/{tip}...{sha}", {}, "contents: read").get("status") in {
            "identical",
            "behind",
        }

    def _download(self, artifact_id: int) -> str:
        reply = self._send("GET", f"{self._url(f'actions/artifacts/{artifact_id}/zip')}", None)
        if reply.status_code not in {
            HTTPStatus.FOUND,
            HTTPStatus.MOVED_PERMANENTLY,
            HTTPStatus.TEMPORARY_REDIRECT,
        }:
            self._refuse(reply, "actions: read")
            raise GitHubError("GitHub gave no place to download the snapshot from: try again")
        place = _address(reply.headers.get("location", ""))
        if place.scheme != "https" and not (place.scheme == "http" and place.host in LOOPBACK):
            raise GitHubError(
                "GitHub named a place for the snapshot that is not https: it is not read"
            )
        return _unpacked(self._bytes(place))

    def _bytes(self, place: httpx.URL) -> bytes:
        """What lies there, asked for without the token."""
        found = bytearray()
        try:
            with self._http.stream("GET", place) as reply:
                if reply.status_code != HTTPStatus.OK:
                    raise GitHubError(
                        f"the snapshot's storage answered with HTTP {reply.status_code}: try again"
                    )
                for chunk in reply.iter_bytes():
                    found += chunk
                    if len(found) > SNAPSHOT_BYTES:
                        raise GitHubError(
                            "the published snapshot is larger than 64 MiB: it is not read"
                        )
        except httpx.HTTPError:
            raise GitHubError("the snapshot could not be downloaded: try again") from None
        return bytes(found)

    # --- HTTP ---

    def _url(self, path: str) -> str:
        base = f"{self._job.api_url}/repos/{self._job.repository}"
        return f"{base}/{path}" if path else base

    def _newest(self, found: Iterator[dict[str, Any]], number: str, ours: Ours) -> Post | None:
        newest: Post | None = None
        for item in found:
            body, name = item.get("body"), item.get(number)
            mine = _at(item, "user", "login") == self._job.author and type(name) is int
            if mine and type(name) is int and isinstance(body, str) and ours(body):
                url, is_open = _text(item, "html_url"), item.get("state") != "closed"
                newest = Post(number=name, body=body, url=url, is_open=is_open)
        return newest

    def _pages(
        self, path: str, asked: Mapping[str, str], permission: str, *, key: str | None = None
    ) -> Iterator[dict[str, Any]]:
        url: str | None = str(httpx.URL(self._url(path), params={**asked, "per_page": str(PAGE)}))
        for _ in range(PAGES_MOST):
            if url is None:
                return
            reply = self._get(url, permission)
            found = _json(reply)
            if key is not None:
                found = _at(found, key)
            yield from (
                (item for item in found if isinstance(item, dict))
                if isinstance(found, list)
                else ()
            )
            url = self._next(reply)

    def _next(self, reply: httpx.Response) -> str | None:
        """The next page, if it is of the same API: the token goes nowhere else."""
        found = _NEXT.search(reply.headers.get("link", ""))
        return (
            found["url"]
            if found is not None and found["url"].startswith(f"{self._job.api_url}/")
            else None
        )

    def _read(self, path: str, asked: Mapping[str, str], permission: str) -> dict[str, Any]:
        url = httpx.URL(self._url(path), params=asked) if asked else httpx.URL(self._url(path))
        found = _json(self._get(str(url), permission))
        return found if isinstance(found, dict) else {}

    def _get(self, url: str, permission: str) -> httpx.Response:
        """A read, sent again where GitHub is busy."""
        for left in range(TRIES - 1, -1, -1):
            try:
                reply = self._send("GET", url, None)
                self._refuse(reply, permission)
            except _BusyError as busy:
                if not left or busy.wait_s > WAIT_MOST_S:
                    raise
                self._sleep(busy.wait_s)
            else:
                return reply
        raise AssertionError("the last try returns or raises")

    def _write(
        self, method: str, path: str, document: dict[str, Any], permission: str
    ) -> dict[str, Any]:
        """A write is sent once: a comment made twice would be noise for ever."""
        reply = self._send(method, self._url(path), document)
        self._refuse(reply, permission)
        found = _json(reply)
        return found if isinstance(found, dict) else {}

    def _send(self, method: str, url: str, document: dict[str, Any] | None) -> httpx.Response:
        # the constructor's own promise
        assert self._job.token is not None, "checked at the start"  # noqa: S101
        headers = {
            "Authorization": f"Bearer {self._job.token.reveal()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        trouble: GitHubError
        try:
            return self._http.request(method, url, headers=headers, json=document)
        except httpx.InvalidURL:
            trouble = GitHubError("GitHub named an address that is none: is GITHUB_API_URL right?")
        except httpx.HTTPError as error:
            trouble = _BusyError(f"GitHub does not answer ({type(error).__name__}): try again", 1.0)
        raise trouble  # out here: what httpx raises holds the request with its headers

    def _refuse(self, reply: httpx.Response, permission: str) -> None:
        """GitHubError for anything but success and a redirect."""
        status = reply.status_code
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status < HTTPStatus.BAD_REQUEST:
            raise GitHubError(
                f"GitHub answered with HTTP {status} and named another place: is GITHUB_REPOSITORY right?"
            )
        limited = (
            "retry-after" in reply.headers or reply.headers.get("x-ratelimit-remaining") == "0"
        )
        if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.FORBIDDEN and limited):
            raise _BusyError("GitHub's rate limit is used up: try again later", _wait_s(reply))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _BusyError(f"GitHub answered with HTTP {status}: try again", 1.0)
        if status == HTTPStatus.UNAUTHORIZED:
            raise GitHubError(
                "GitHub refuses GITHUB_TOKEN: give the step `${{ github.token }}` of this run"
            )
        if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            raise GitHubError(
                f"GitHub answered with HTTP {status}: the job needs `{permission}`, which pull requests from forks and "
                "Dependabot never have"
            )
        raise GitHubError(f"GitHub answered with HTTP {status}")


class _BusyError(GitHubError):
    """It may work a little later."""

    def __init__(self, sentence: str, wait_s: float) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s


def _address(text: str) -> httpx.URL:
    try:
        return httpx.URL(text)
    except httpx.InvalidURL:
        raise GitHubError("GITHUB_API_URL, or a place that GitHub named, is no address") from None


def _wait_s(reply: httpx.Response) -> float:
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isdecimal() and len(text) < len("10000") else WAIT_MOST_S + 1


def _json(reply: httpx.Response) -> object:
    try:
        return reply.json()
    except (ValueError, RecursionError):
        raise GitHubError("GitHub's reply is no JSON: is GITHUB_API_URL right?") from None


def _text(found: Mapping[str, Any], key: str) -> str:
    text = found.get(key)
    return text if isinstance(text, str) else ""


def _unpacked(archive: bytes) -> str:
    """The one file of the artifact."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as whole:
            if whole.getinfo(SNAPSHOT_FILE).file_size > SNAPSHOT_BYTES:
                raise GitHubError("the published snapshot is larger than 64 MiB: it is not read")
            return whole.read(SNAPSHOT_FILE).decode()
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        UnicodeDecodeError,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
    ):
        raise GitHubError(
            f"the artifact {ARTIFACT} is no archive with {SNAPSHOT_FILE} in it: run the drift workflow again"
        ) from None
