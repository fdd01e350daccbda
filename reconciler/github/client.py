"""What a plan needs of GitHub.

    what is asked                                          permission of the job
    -----------------------------------------------------  ---------------------
    list, make and edit the comments of a pull request     pull-requests: write
    list, make and edit issues                             issues: write
    the pull request of a commit, and its comments         pull-requests: read
    the latest commit of the default branch                contents: read
    the artifacts of runs                                  actions: read

Rules this module keeps:

1. A comment or an issue can be ours only by its author; which of them is looked for,
   its marker tells the caller. Anybody may write the marker.
2. A snapshot counts only where a run of the default branch of this very repository made
   it: whoever opens a pull request can upload an artifact of any name.
"""

from __future__ import annotations

import io
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Self
from urllib.parse import quote

from reconciler.github.api import ARCHIVE_BYTES, Api, text_at
from reconciler.github.job import GitHubError, Job, at, sha_of
from reconciler.net import caught
from reconciler.values import value

RUNS_LOOKED_AT = 20

LABEL = "reconciler"
SNAPSHOT_FILE = "snapshot.json"
TRUSTED_EVENTS = frozenset({"push", "schedule", "workflow_dispatch"})

_NO_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    UnicodeDecodeError,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
)


@value
class Post:
    """A comment or an issue of ours. ``number`` names it in its URL."""

    number: int
    body: str
    url: str
    is_open: bool = True


class GitHub:
    """The comments, issues and snapshots of a job's repository.

    A failure is a GitHubError with a sentence that names the missing permission. No
    type of httpx crosses this class.
    """

    def __init__(self, job: Job, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """GitHubError where the job has no token."""
        self._job = job
        self._api = Api(job, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    # --- comments ---

    def comments(self, pull_request: int) -> tuple[Post, ...]:
        """Return the comments by our author, oldest first."""
        found = self._api.pages(f"issues/{pull_request}/comments", {}, "pull-requests: read")
        return tuple(self._by_us(found, "id"))

    def put_comment(self, pull_request: int, known: Post | None, body: str) -> str:
        """Make the comment, or edit the known one; return its URL.

        A known comment that says the same already is left alone.
        """
        if known is not None and known.body == body:
            return known.url
        method, path = "POST", f"issues/{pull_request}/comments"
        if known is not None:
            method, path = "PATCH", f"issues/comments/{known.number}"
        return self._api.write(method, path, {"body": body}, "pull-requests: write")

    # --- issues ---

    def issues(self) -> tuple[Post, ...]:
        """Return the issues by our author and with our label, open or closed.

        The oldest comes first.
        """
        asked = {"labels": LABEL, "state": "all", "sort": "created", "direction": "asc"}
        return tuple(self._by_us(self._api.pages("issues", asked, "issues: read"), "number"))

    def put_issue(self, known: Post | None, *, title: str, body: str) -> str:
        """Open the issue, or edit and open the known one again; return its URL.

        A known issue that is open and says the same already is left alone.
        """
        if known is None:
            wanted = {"title": title, "body": body, "labels": [LABEL]}
            return self._api.write("POST", "issues", wanted, "issues: write")
        if known.is_open and known.body == body:
            return known.url
        wanted = {"title": title, "body": body, "state": "open"}
        return self._api.write("PATCH", f"issues/{known.number}", wanted, "issues: write")

    def close_issue(self, known: Post) -> None:
        """Close the issue as done."""
        wanted = {"state": "closed", "state_reason": "completed"}
        self._api.write("PATCH", f"issues/{known.number}", wanted, "issues: write")

    # --- the pull request that was merged ---

    def merged_pull(self, sha: str) -> tuple[int, str] | None:
        """Return number and head commit of the pull request that a commit merged.

        None where the commit merged none into the default branch.
        """
        if sha_of(sha) is None:
            return None
        branch = text_at(self._api.read("", "contents: read"), "default_branch")
        for pull in self._api.pages(f"commits/{sha}/pulls", {}, "pull-requests: read"):
            head, number = at(pull, "head", "sha"), pull.get("number")
            merged = (
                pull.get("merged_at")
                and pull.get("merge_commit_sha") == sha
                and at(pull, "base", "ref") == branch
            )
            if merged and type(number) is int and isinstance(head, str):
                return number, head
        return None

    def is_newest(self, sha: str) -> bool:
        """Return whether a commit is the latest one of the default branch.

        What an older one says may have been changed since, or taken back.
        """
        branch = text_at(self._api.read("", "contents: read"), "default_branch")
        return sha_of(sha) is not None and self._tip(branch) == sha

    # --- the snapshot ---

    def snapshot(self, name: str) -> str | None:
        """Return the newest snapshot that a run of the default branch published.

        ``name`` is the artifact's. None where there is none.
        """
        repository = self._api.read("", "contents: read")
        branch, number = text_at(repository, "default_branch"), repository.get("id")
        looked = 0
        # Asked for by name: whoever floods the repository with other artifacts would
        # hide ours on a later page.
        found = self._api.pages(
            "actions/artifacts", {"name": name}, "actions: read", key="artifacts"
        )
        for artifact in sorted(found, key=lambda a: str(a.get("created_at")), reverse=True):
            run = artifact.get("workflow_run")
            same = at(run, "repository_id") == number and at(run, "head_repository_id") == number
            if artifact.get("expired") or not same or at(run, "head_branch") != branch:
                continue
            looked += 1
            if looked > RUNS_LOOKED_AT:
                break
            if self._is_trusted(at(run, "id"), branch) and type(artifact.get("id")) is int:
                return _unpacked(self._api.download(artifact["id"]), name)
        return None

    def _is_trusted(self, run_id: object, branch: str) -> bool:
        """Return whether rule 2 lets a run's artifact count.

        A tag may have the branch's name, so the commit itself has to be on the branch.
        """
        if type(run_id) is not int:
            return False
        run = self._api.read(f"actions/runs/{run_id}", "actions: read")
        return (
            str(run.get("event")) in TRUSTED_EVENTS
            and run.get("head_branch") == branch
            and at(run, "head_repository", "full_name") == self._job.repository
            and self._is_on(branch, sha_of(run.get("head_sha")))
        )

    def _is_on(self, branch: str, sha: str | None) -> bool:
        """Return whether a commit is the branch's latest one or one of those before."""
        tip = self._tip(branch)
        if sha is None or tip is None:
            return False
        compared = self._api.read(f"compare/{tip}...{sha}", "contents: read")
        return compared.get("status") in {"identical", "behind"}

    def _tip(self, branch: str) -> str | None:
        found = self._api.read(f"branches/{quote(branch, safe='')}", "contents: read")
        return sha_of(at(found, "commit", "sha"))

    def _by_us(self, found: Iterator[dict[str, Any]], number: str) -> Iterator[Post]:
        for item in found:
            body, name = item.get("body"), item.get(number)
            is_by_us = at(item, "user", "login") == self._job.author
            if is_by_us and type(name) is int and isinstance(body, str):
                url, is_open = text_at(item, "html_url"), item.get("state") != "closed"
                yield Post(number=name, body=body, url=url, is_open=is_open)


def _unpacked(archive: bytes, name: str) -> str:
    """Return the text of the one file in the artifact."""

    def unpack() -> str:
        with zipfile.ZipFile(io.BytesIO(archive)) as whole:
            if whole.getinfo(SNAPSHOT_FILE).file_size > ARCHIVE_BYTES:
                raise GitHubError("the published snapshot is larger than 64 MiB: it is not read")
            return whole.read(SNAPSHOT_FILE).decode()

    text = caught(unpack, *_NO_ARCHIVE)
    if isinstance(text, BaseException):
        raise GitHubError(
            f"the artifact {name} is no archive with {SNAPSHOT_FILE} in it: "
            "run the drift workflow again"
        )
    return text
