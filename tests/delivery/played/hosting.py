"""A repository as a host keeps it: a bare Git repository, its pull requests, and the
events that come of what people do there.

Rules this module keeps:

1. Git is the real one; what a workflow checks out is what was committed. It reads no
   configuration of this machine.
2. A pull request has a merge commit of its own, made anew at every push, as
   ``refs/pull/N/merge``: that is what its workflows run on.
3. An event's payload has the fields of GitHub's webhooks that a workflow or a program
   could read, and no more.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.github import GitHub
from tests.support.github_state import DEPENDABOT, user_shape

Files = Mapping[str, "str | Path | None"]
"""Files of a commit by name: a text (of a program, if it begins with ``#!``), the
target of a symbolic link, or None for a file that is taken away.
"""
GIT_TIMEOUT_S = 60
MAIN = "main"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What starts workflows.

    ``restricted`` is one of a fork or of Dependabot: its token may only read, and it
    has no OIDC. ``changed`` are the files that a filter by path looks at.
    """

    name: str
    ref: str
    sha: str
    actor: str
    payload: Mapping[str, Any]
    changed: tuple[str, ...] = ()
    head_ref: str = ""
    base_ref: str = ""
    restricted: bool = False

    @property
    def head_branch(self) -> str:
        """The branch that a run of it is listed under."""
        return self.head_ref or self.ref.removeprefix("refs/heads/")

    @property
    def head_sha(self) -> str:
        """The commit that a run of it is listed under; of a pull request this is the
        head and not the merge.
        """
        pull = self.payload.get("pull_request")
        sha: str = pull["head"]["sha"] if pull else self.sha
        return sha

    @property
    def head_repository(self) -> str | None:
        """The repository that a pull request comes from; None for another event."""
        pull = self.payload.get("pull_request")
        return pull["head"]["repo"]["full_name"] if pull else None


def git(folder: Path, *arguments: str) -> str:
    """Run one Git command in this folder; return what it printed, without the end of
    line.

    Raises an AssertionError where the command fails.
    """
    who = {"NAME": "Octo Cat", "EMAIL": "octocat@example.com"}
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        **{
            f"GIT_{role}_{key}": text
            for role in ("AUTHOR", "COMMITTER")
            for key, text in who.items()
        },
    }
    command = ["git", "-c", "advice.detachedHead=false", "-c", "core.hooksPath=/dev/null"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.rstrip("\n")


class Hosted:
    """A repository on the stand-in of GitHub, with its commits in ``bare``."""

    def __init__(
        self, github: GitHub, full_name: str, folder: Path, *, private: bool = True
    ) -> None:
        self.github = github
        self.full_name = full_name
        self.entry = github.state.add_repository(full_name, private=private)
        self.bare = folder / "bare.git"
        self._work = folder / "work"
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "--bare", "-b", MAIN, str(self.bare))
        git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(folder, "init", "-q", "-b", MAIN, str(self._work))

    # --- commits ---

    def head(self, ref: str = MAIN) -> str:
        """Return the commit of a branch or another ref."""
        return git(self.bare, "rev-parse", ref)

    def show(self, sha: str, path: str) -> str:
        """Return a file of a commit."""
        return git(self.bare, "show", f"{sha}:{path}")

    def commit(self, files: Files, *, branch: str = MAIN, start: str | None = None) -> str:
        """Commit on a branch, which begins anew at ``start``; return the commit."""
        if start is not None:
            git(self._work, "checkout", "-q", "-B", branch, start)
        elif git(self._work, "branch", "--show-current") != branch:
            git(self._work, "checkout", "-q", branch)
        for name, content in files.items():
            file = self._work / name
            file.unlink(missing_ok=content is not None)
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                file.symlink_to(content)
            elif content is not None:
                file.write_text(content, encoding="utf-8")
                file.chmod(0o755 if content.startswith("#!") else 0o644)
        git(self._work, "add", "-A")
        git(self._work, "commit", "-q", "--allow-empty", "-m", f"change {', '.join(files)}")
        return self._publish(f"refs/heads/{branch}")

    def _publish(self, ref: str) -> str:
        sha = git(self._work, "rev-parse", "HEAD")
        git(self._work, "push", "-q", "--force", str(self.bare), f"HEAD:{ref}")
        self.entry.commits.setdefault(sha, set())
        if ref == f"refs/heads/{MAIN}":
            self.entry.history.append(sha)
        return sha

    # --- what people do ---

    def open_pull(
        self,
        files: Files,
        *,
        branch: str = "change",
        login: str = "octocat",
        fork: str | None = None,
    ) -> Event:
        """Open a pull request with these changes; ``fork`` is the full name of the
        repository that it comes from, if that is another.
        """
        if fork is not None and fork not in self.github.state.repositories:
            self.github.state.add_repository(
                fork, private=self.entry.private, parent=self.full_name
            )
        sha = self.commit(files, branch=branch, start=self.head())
        source = (fork or self.full_name, branch, sha)
        pull = self.github.state.add_pull(
            self.full_name, login=login, head=source, base=(MAIN, self.head())
        )
        return self.pull_event(pull.number, "opened")

    def push_to_pull(self, number: int, files: Files) -> Event:
        """Push another commit to a pull request."""
        branch = self.entry.pulls[number].head_ref
        self.github.state.push_to_pull(self.full_name, number, self.commit(files, branch=branch))
        return self.pull_event(number, "synchronize")

    def pull_event(self, number: int, action: str) -> Event:
        """Return the event of a pull request, on a merge commit made now."""
        pull = self.entry.pulls[number]
        base = self.head()
        git(self._work, "checkout", "-q", "--detach", base)
        message = f"Merge {pull.head_sha} into {base}"
        git(self._work, "merge", "-q", "--no-ff", "-m", message, pull.head_sha)
        sha = self._publish(f"refs/pull/{number}/merge")
        pull.base_sha, pull.merge_commit_sha = base, sha
        shape = self.github.shape(self.full_name, number)
        login = self.entry.issues[number].login
        return self._event(
            "pull_request",
            sha,
            login,
            {"action": action, "number": number, "pull_request": shape},
            ref=f"refs/pull/{number}/merge",
            changed=self._changed(base, sha),
            head_ref=pull.head_ref,
            base_ref=MAIN,
            restricted=pull.head_repository != self.full_name or login == DEPENDABOT,
        )

    def queued(self, number: int) -> Event:
        """Put a pull request into the merge queue."""
        event = self.pull_event(number, "enqueued")
        ref = f"refs/heads/gh-readonly-queue/{MAIN}/pr-{number}-{event.sha}"
        group = {
            "head_sha": event.sha,
            "head_ref": ref,
            "base_ref": f"refs/heads/{MAIN}",
            "base_sha": self.head(),
        }
        payload = {"action": "checks_requested", "merge_group": group}
        return self._event("merge_group", event.sha, "octocat", payload, ref=ref)

    def merge_pull(self, number: int, *, login: str = "octocat") -> Event:
        """Squash and merge a pull request: its commit on main is the event."""
        pull, before = self.entry.pulls[number], self.head()
        git(self._work, "checkout", "-q", "-B", MAIN, before)
        git(self._work, "merge", "-q", "--squash", pull.head_sha)
        git(self._work, "commit", "-q", "--allow-empty", "-m", f"change (#{number})")
        sha = self._publish(f"refs/heads/{MAIN}")
        self.github.state.merge_pull(self.full_name, number, sha)
        return self._push_event(before, sha, login)

    def push(self, files: Files, *, login: str = "octocat") -> Event:
        """Commit straight to main."""
        before = self.head()
        return self._push_event(before, self.commit(files, start=before), login)

    def _push_event(self, before: str, after: str, login: str) -> Event:
        payload = {"ref": f"refs/heads/{MAIN}", "before": before, "after": after, "forced": False}
        return self._event("push", after, login, payload, changed=self._changed(before, after))

    def scheduled(self, cron: str) -> Event:
        """Return the event of the clock, which runs on the default branch in the name
        of the person who changed the schedule last.
        """
        payload = {"schedule": cron, "workflow": ""}
        return self._event("schedule", self.head(), "octocat", payload)

    def dispatched(
        self, inputs: Mapping[str, str] | None = None, *, login: str = "octocat"
    ) -> Event:
        """Return the event of somebody who pressed the button."""
        payload = {"inputs": dict(inputs or {}), "ref": f"refs/heads/{MAIN}"}
        return self._event("workflow_dispatch", self.head(), login, payload)

    def _event(
        self, name: str, sha: str, login: str, payload: Mapping[str, Any], **more: Any
    ) -> Event:
        """Return an event of main, unless ``more`` names another ref."""
        common = {
            "repository": self.github.repository_shape(self.full_name),
            "sender": user_shape(login),
        }
        facts = {"ref": f"refs/heads/{MAIN}", "payload": {**payload, **common}, **more}
        return Event(name=name, sha=sha, actor=login, **facts)

    def _changed(self, before: str, after: str) -> tuple[str, ...]:
        return tuple(git(self.bare, "diff", "--name-only", before, after).splitlines())
