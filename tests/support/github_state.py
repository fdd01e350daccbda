"""What a GitHub host remembers, and the shapes in which its REST API shows it.

Rules this module keeps:

1. Shapes, names and defaults are those of GitHub's REST reference (version 2022-11-28),
   cut down to what a client could read.
2. What was once written is remembered: a comment or an issue keeps its former texts, as
   GitHub's edit history does.
3. Ids come from one counter, so an id of one kind is never an id of another.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import itertools
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

ACTIONS_BOT = "github-actions[bot]"
DEPENDABOT = "dependabot[bot]"
_KNOWN_IDS = {ACTIONS_BOT: 41898282, DEPENDABOT: 49699333}


def now() -> str:
    """Return the time as the API writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user_shape(login: str) -> dict[str, object]:
    """Return a user or a bot as the API shows it."""
    bot = login.endswith("[bot]")
    number = _KNOWN_IDS.get(login, 1_000 + sum(login.encode()))
    return {"login": login, "id": number, "type": "Bot" if bot else "User", "site_admin": False}


@dataclasses.dataclass(kw_only=True)
class Comment:
    """A comment of an issue or of a pull request; ``former`` are its texts before each
    edit.
    """

    id: int
    number: int
    login: str
    body: str
    created_at: str
    updated_at: str
    former: list[str] = dataclasses.field(default_factory=list)

    def edit(self, body: str) -> None:
        """Replace the text."""
        self.former.append(self.body)
        self.body, self.updated_at = body, now()


@dataclasses.dataclass(kw_only=True)
class Issue:
    """An issue; a pull request is one as well, with a ``Pull`` of the same number."""

    id: int
    number: int
    login: str
    title: str
    body: str
    labels: tuple[str, ...]
    created_at: str
    updated_at: str
    state: str = "open"
    state_reason: str | None = None
    former: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(kw_only=True)
class Pull:
    """A pull request; ``head_repository`` is another repository where it comes from a
    fork.
    """

    number: int
    head_repository: str
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    merge_commit_sha: str | None = None
    merged_at: str | None = None


@dataclasses.dataclass(kw_only=True)
class Run:
    """A run of a workflow; ``path`` is the workflow's file."""

    id: int
    number: int
    name: str
    path: str
    event: str
    head_branch: str
    head_sha: str
    head_repository: str
    created_at: str
    status: str = "in_progress"
    conclusion: str | None = None


@dataclasses.dataclass(kw_only=True)
class Artifact:
    """A zip that a run left behind."""

    id: int
    name: str
    run: Run
    content: bytes
    created_at: str
    expired: bool = False


@dataclasses.dataclass(kw_only=True)
class Repository:
    """A repository with all that hangs on it.

    ``commits`` are those that the host knows, each with its pull requests; ``history``
    are those of the default branch, oldest first.
    """

    id: int
    owner_id: int
    full_name: str
    private: bool = True
    default_branch: str = "main"
    parent: str | None = None
    issues: dict[int, Issue] = dataclasses.field(default_factory=dict)
    pulls: dict[int, Pull] = dataclasses.field(default_factory=dict)
    comments: dict[int, Comment] = dataclasses.field(default_factory=dict)
    runs: dict[int, Run] = dataclasses.field(default_factory=dict)
    artifacts: dict[int, Artifact] = dataclasses.field(default_factory=dict)
    commits: dict[str, set[int]] = dataclasses.field(default_factory=dict)
    history: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whom a token speaks for, where, and what it may do there: ``read`` or ``write``
    for each scope that is named.
    """

    login: str
    repository: str
    permissions: Mapping[str, str]

    def may(self, scopes: Iterable[str], level: str) -> bool:
        """Tell whether one of the scopes is granted at least to this level."""
        enough = {"write"} if level == "write" else {"read", "write"}
        return any(self.permissions.get(scope) in enough for scope in scopes)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of these files, as upload-artifact makes one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class State:
    """All repositories of the host, and the ways in which people and runners change
    them without the API.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self._ids = itertools.count(2_150_000_001)  # beyond 32 bits, as the real ones are
        self._numbers: dict[str, itertools.count[int]] = {}

    def new_id(self) -> int:
        """Return an id that nothing else has."""
        return next(self._ids)

    def add_repository(
        self, full_name: str, *, private: bool = True, parent: str | None = None
    ) -> Repository:
        """Add a repository; with ``parent`` a fork of that one."""
        found = Repository(
            id=self.new_id(),
            owner_id=self.new_id(),
            full_name=full_name,
            private=private,
            parent=parent,
        )
        self.repositories[full_name] = found
        self._numbers[full_name] = itertools.count(1)
        return found

    def add_issue(
        self,
        repository: str,
        *,
        login: str,
        title: str = "",
        body: str = "",
        labels: Iterable[str] = (),
    ) -> Issue:
        """Add an issue of this author."""
        issue = Issue(
            id=self.new_id(),
            number=next(self._numbers[repository]),
            login=login,
            title=title,
            body=body,
            labels=tuple(labels),
            created_at=now(),
            updated_at=now(),
        )
        self.repositories[repository].issues[issue.number] = issue
        return issue

    def add_pull(
        self,
        repository: str,
        *,
        login: str,
        head: tuple[str, str, str],
        base: tuple[str, str],
        title: str = "",
    ) -> Pull:
        """Add a pull request; ``head`` is repository, branch and commit, ``base``
        branch and commit.
        """
        issue = self.add_issue(repository, login=login, title=title)
        pull = Pull(
            number=issue.number,
            head_repository=head[0],
            head_ref=head[1],
            head_sha=head[2],
            base_ref=base[0],
            base_sha=base[1],
        )
        found = self.repositories[repository]
        found.pulls[pull.number] = pull
        found.commits.setdefault(head[2], set()).add(pull.number)
        return pull

    def push_to_pull(self, repository: str, number: int, sha: str) -> None:
        """Move a pull request's branch to another commit."""
        found = self.repositories[repository]
        found.pulls[number].head_sha = sha
        found.commits.setdefault(sha, set()).add(number)

    def merge_pull(self, repository: str, number: int, sha: str) -> None:
        """Merge a pull request, by this commit of the base branch."""
        found = self.repositories[repository]
        pull = found.pulls[number]
        pull.merge_commit_sha, pull.merged_at = sha, now()
        found.issues[number].state = "closed"
        found.commits.setdefault(sha, set()).add(number)

    def add_comment(self, repository: str, number: int, *, login: str, body: str) -> Comment:
        """Add a comment of this author."""
        comment = Comment(
            id=self.new_id(),
            number=number,
            login=login,
            body=body,
            created_at=now(),
            updated_at=now(),
        )
        self.repositories[repository].comments[comment.id] = comment
        return comment

    def add_run(  # noqa: PLR0913  # the fields of a run, by name
        self,
        repository: str,
        *,
        event: str,
        head_branch: str,
        head_sha: str,
        path: str = ".github/workflows/tokens-drift.yml",
        name: str = "drift",
        head_repository: str | None = None,
        conclusion: str | None = "success",
    ) -> Run:
        """Add a run; with ``conclusion`` None it is still under way."""
        found = self.repositories[repository]
        run = Run(
            id=self.new_id(),
            number=len(found.runs) + 1,
            name=name,
            path=path,
            event=event,
            head_branch=head_branch,
            head_sha=head_sha,
            head_repository=head_repository or repository,
            created_at=now(),
            status="in_progress" if conclusion is None else "completed",
            conclusion=conclusion,
        )
        found.runs[run.id] = run
        return run

    def add_artifact(
        self, repository: str, run: Run, name: str, files: Mapping[str, bytes]
    ) -> Artifact:
        """Add an artifact as upload-artifact does."""
        artifact = Artifact(
            id=self.new_id(), name=name, run=run, content=zipped(files), created_at=now()
        )
        self.repositories[repository].artifacts[artifact.id] = artifact
        return artifact

    def texts(self) -> list[str]:
        """Return all texts that people can read on the host, former ones too."""
        found: list[str] = []
        for repository in self.repositories.values():
            for comment in repository.comments.values():
                found += [comment.body, *comment.former]
            for issue in repository.issues.values():
                found += [issue.title, issue.body, *issue.former]
            for artifact in repository.artifacts.values():
                with zipfile.ZipFile(io.BytesIO(artifact.content)) as archive:
                    contents = map(archive.read, archive.namelist())
                    found += [content.decode(errors="replace") for content in contents]
        return found


class Shapes:
    """How the API shows what the state remembers; ``api`` and ``web`` are the addresses
    of the API and of the pages.
    """

    def __init__(self, state: State, *, api: str, web: str) -> None:
        self._state = state
        self._api = api
        self._web = web

    def repository(self, found: Repository) -> dict[str, Any]:
        """Return a repository."""
        owner, _, name = found.full_name.partition("/")
        return {
            "id": found.id,
            "name": name,
            "full_name": found.full_name,
            "owner": {**user_shape(owner), "id": found.owner_id},
            "private": found.private,
            "visibility": "private" if found.private else "public",
            "fork": found.parent is not None,
            "default_branch": found.default_branch,
            "url": f"{self._api}/repos/{found.full_name}",
            "html_url": f"{self._web}/{found.full_name}",
        }

    def comment(self, repository: Repository, comment: Comment) -> dict[str, Any]:
        """Return a comment."""
        kind = "pull" if comment.number in repository.pulls else "issues"
        place = f"{self._web}/{repository.full_name}/{kind}/{comment.number}"
        return {
            "id": comment.id,
            "url": f"{self._api}/repos/{repository.full_name}/issues/comments/{comment.id}",
            "html_url": f"{place}#issuecomment-{comment.id}",
            "issue_url": f"{self._api}/repos/{repository.full_name}/issues/{comment.number}",
            "user": user_shape(comment.login),
            "author_association": "NONE" if comment.login.endswith("[bot]") else "CONTRIBUTOR",
            "body": comment.body,
            "created_at": comment.created_at,
            "updated_at": comment.updated_at,
        }

    def issue(self, repository: Repository, issue: Issue) -> dict[str, Any]:
        """Return an issue; that of a pull request has the key ``pull_request``."""
        pull = repository.pulls.get(issue.number)
        kind = "pull" if pull else "issues"
        shape: dict[str, Any] = {
            "id": issue.id,
            "number": issue.number,
            "title": issue.title,
            "body": issue.body,
            "state": issue.state,
            "state_reason": issue.state_reason,
            "user": user_shape(issue.login),
            "labels": [
                {"id": 1, "name": label, "color": "ededed", "default": False}
                for label in issue.labels
            ],
            "comments": sum(
                1 for comment in repository.comments.values() if comment.number == issue.number
            ),
            "url": f"{self._api}/repos/{repository.full_name}/issues/{issue.number}",
            "html_url": f"{self._web}/{repository.full_name}/{kind}/{issue.number}",
            "created_at": issue.created_at,
            "updated_at": issue.updated_at,
            "closed_at": issue.updated_at if issue.state == "closed" else None,
        }
        if pull:
            shape["pull_request"] = {
                "url": f"{self._api}/repos/{repository.full_name}/pulls/{issue.number}",
                "html_url": shape["html_url"],
                "merged_at": pull.merged_at,
            }
        return shape

    def whole_pull(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        """Return a pull request with what is shown of a single one only."""
        merged = pull.merged_at is not None
        more = {"merged": merged, "mergeable": not merged, "commits": 1}
        return self.pull(repository, pull) | more

    def pull(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        """Return a pull request as a list shows it."""
        issue = repository.issues[pull.number]
        head = self._state.repositories.get(pull.head_repository)
        return {
            "id": issue.id + 1_000_000,
            "number": pull.number,
            "title": issue.title,
            "body": issue.body,
            "state": issue.state,
            "draft": False,
            "user": user_shape(issue.login),
            "html_url": f"{self._web}/{repository.full_name}/pull/{pull.number}",
            "merge_commit_sha": pull.merge_commit_sha,
            "merged_at": pull.merged_at,
            "created_at": issue.created_at,
            "updated_at": issue.updated_at,
            "head": {
                "label": f"{pull.head_repository.partition('/')[0]}:{pull.head_ref}",
                "ref": pull.head_ref,
                "sha": pull.head_sha,
                "repo": self.repository(head) if head else None,  # null once the fork is deleted
            },
            "base": {
                "label": f"{repository.full_name.partition('/')[0]}:{pull.base_ref}",
                "ref": pull.base_ref,
                "sha": pull.base_sha,
                "repo": self.repository(repository),
            },
        }

    def run(self, repository: Repository, run: Run) -> dict[str, Any]:
        """Return a run of a workflow."""
        head = self._state.repositories[run.head_repository]
        return {
            "id": run.id,
            "name": run.name,
            "path": run.path,
            "run_number": run.number,
            "run_attempt": 1,
            "event": run.event,
            "status": run.status,
            "conclusion": run.conclusion,
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "html_url": f"{self._web}/{repository.full_name}/actions/runs/{run.id}",
            "created_at": run.created_at,
            "updated_at": run.created_at,
            "run_started_at": run.created_at,
            "repository": self.repository(repository),
            "head_repository": self.repository(head),
        }

    def artifact(self, repository: Repository, artifact: Artifact) -> dict[str, Any]:
        """Return an artifact, with what the API shows of its run beside it."""
        address = f"{self._api}/repos/{repository.full_name}/actions/artifacts/{artifact.id}"
        return {
            "id": artifact.id,
            "name": artifact.name,
            "size_in_bytes": len(artifact.content),
            "url": address,
            "archive_download_url": f"{address}/zip",
            "expired": artifact.expired,
            "created_at": artifact.created_at,
            "updated_at": artifact.created_at,
            "expires_at": artifact.created_at,
            "workflow_run": {
                "id": artifact.run.id,
                "repository_id": repository.id,
                "head_repository_id": self._state.repositories[artifact.run.head_repository].id,
                "head_branch": artifact.run.head_branch,
                "head_sha": artifact.run.head_sha,
            },
        }
