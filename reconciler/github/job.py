"""The job of GitHub Actions that the program runs in, by GitHub's own variables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from reconciler.errors import ReconcilerError
from reconciler.model import Secret
from reconciler.net import caught, is_private
from reconciler.values import value

EVENT_CHARS = 32 * 1024 * 1024
AUTHOR = "github-actions[bot]"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class GitHubError(ReconcilerError):
    """A call to GitHub did not succeed; no token depends on it."""


@value
class Job:
    """Where the program runs, by GitHub's own variables.

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
        run = f"/{self.repository}/actions/runs/{self.run_id}" if self.run_id else ""
        return f"{self.server_url}{run}"

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request that this run is for."""
        number = at(self.event, "pull_request", "number")
        return number if type(number) is int else None

    @property
    def head_sha(self) -> str:
        """The commit that people review.

        Of a pull request it is the head, not the merge that GitHub tries.
        """
        return sha_of(at(self.event, "pull_request", "head", "sha")) or self.sha


def job_from(environ: Mapping[str, str]) -> Job:
    """Return the job that the environment describes.

    GitHubError where this is no job, or its variables make no sense.
    """
    repository = environ.get("GITHUB_REPOSITORY", "")
    api_url = environ.get("GITHUB_API_URL") or "https://api.github.com"
    if not _NAME.fullmatch(repository):
        raise GitHubError("this is no job of GitHub Actions: GITHUB_REPOSITORY is not set")
    url = address_of(api_url)
    if not is_private(url.scheme, url.host):
        raise GitHubError("GITHUB_API_URL is not https: the token is not sent there")
    token = environ.get("GITHUB_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise GitHubError(
            "GITHUB_TOKEN holds characters that no token has: give the step `${{ github.token }}`"
        )
    server_url = environ.get("GITHUB_SERVER_URL") or "https://github.com"
    if isinstance(caught(lambda: address_of(server_url), GitHubError), GitHubError):
        raise GitHubError("GITHUB_SERVER_URL is no address: leave it as the runner sets it")
    return Job(
        api_url=api_url.rstrip("/"),
        server_url=server_url.rstrip("/"),
        repository=repository,
        token=Secret(token) if token else None,
        event=_event(environ.get("GITHUB_EVENT_PATH", "")),
        sha=sha_of(environ.get("GITHUB_SHA")) or "",
        run_id=_number_of(environ.get("GITHUB_RUN_ID", "")),
        workflow=environ.get("GITHUB_WORKFLOW", ""),
        author=environ.get("RECONCILER_COMMENT_AUTHOR") or AUTHOR,
    )


def _event(name: str) -> Mapping[str, Any]:
    if not name:
        return {}
    path = Path(name)

    def read() -> object:
        with path.open(encoding="utf-8") as file:
            return json.loads(file.read(EVENT_CHARS))

    # what is no file may never end
    found = caught(read, OSError, ValueError, RecursionError) if path.is_file() else None
    if found is None or isinstance(found, Exception):
        raise GitHubError("GITHUB_EVENT_PATH can't be read as JSON")
    return found if isinstance(found, dict) else {}


def _number_of(text: str) -> str:
    return text if text.isascii() and text.isdigit() else ""


def at(value: object, *keys: str) -> object:
    """Return what lies under the keys of nested objects, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def sha_of(value: object) -> str | None:
    """Return the value if it is the hash of a commit, else None."""
    return value if isinstance(value, str) and _SHA.fullmatch(value) else None


def address_of(text: str) -> httpx.URL:
    """Return the address that a text is. GitHubError for a text that is none."""

    def url_of() -> httpx.URL:
        url = httpx.URL(text)
        _ = url.host  # asking for it is what decodes an international name
        return url

    url = caught(url_of, *(httpx.InvalidURL, ValueError))
    if not isinstance(url, httpx.URL) or not text.isprintable():
        raise GitHubError("GITHUB_API_URL, or a place that GitHub named, is no address")
    return url
