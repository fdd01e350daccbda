"""The GitHub client against a stand-in of its API: whose text is ours, which snapshot
counts, and what each refusal says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciler.cli import ci as pipeline
from reconciler.cli import posts
from reconciler.cli.whose import Whose, find
from reconciler.github import GitHub, GitHubError, Post, api, job_from
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.review import NoBase, review_of
from reconciler.render.marker import marker, read_marker
from reconciler.state.fleet import Fleet
from tests.support import github as stand_in
from tests.support.github import Fault, problem, rate_limited
from tests.support.http_stub import HttpStub, drip, http, say
from tests.support.loopback import Reply
from tests.support.values import (
    API_URL,
    NOW_MS,
    PLACE,
    entry,
    ledger,
    live,
    manifest,
    observed,
    spec,
)

REPOSITORY = "partner/tokens"
BOT = "github-actions[bot]"
HEAD, BASE, MERGED = "a" * 40, "b" * 40, "c" * 40
ALL = {"contents": "read", "pull-requests": "write", "issues": "write", "actions": "read"}
NEEDED = (
    "the job needs `pull-requests: write`, which pull requests from forks and Dependabot never have"
)
BUSY = (
    Fault(reply=problem(502, "x"), times=2),
    Fault(times=2),
    Fault(reply=rate_limited(), times=2),
)

FLEET = Fleet(api_url=API_URL, place=PLACE)
ARTIFACT = f"tokens-snapshot-{FLEET.name}"


@pytest.fixture
def host() -> Iterator[stand_in.GitHub]:
    """Yield a host with one repository and one open pull request, number 1."""
    with stand_in.GitHub() as made:
        made.state.add_repository(REPOSITORY).history += [BASE, MERGED]
        made.state.add_pull(
            REPOSITORY, login="ann", head=(REPOSITORY, "topic", HEAD), base=("main", BASE)
        )
        yield made


def environ(
    host: stand_in.GitHub, permissions: Mapping[str, str] = ALL, **more: str
) -> dict[str, str]:
    """Return the variables of a job."""
    token = host.issue_token(REPOSITORY, login=BOT, permissions=permissions)
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": host.url,
        "GITHUB_SERVER_URL": "https://git.example",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": token,
        "GITHUB_RUN_ID": "7",
        "GITHUB_SHA": MERGED,
        "GITHUB_WORKFLOW": "tokens-apply",
        **more,
    }


def opened(host: stand_in.GitHub) -> GitHub:
    """Return the client of such a job, which waits for nobody."""
    return GitHub(job_from(environ(host)), sleep=lambda _: None)


def text(place: str = PLACE, words: str = "plan") -> str:
    """Return a comment of ours."""
    facts = {"exchange": API_URL, "place": place, "manifest": "tokens.yaml"}
    return f"{marker('plan', facts)}\n{words}"


def ours(posts: tuple[Post, ...]) -> Post | None:
    """Return the one about our fleet."""
    return find(posts, "plan", Whose(exchange=API_URL, place=PLACE, manifest="tokens.yaml"))


def test_the_comment_is_found_by_author_and_marker(host: stand_in.GitHub) -> None:
    """Our comment stands on page 2, after those of others.

    A forged marker of another author is nothing, nor is our comment about another
    fleet; of two of ours the newest counts.
    """
    for number in range(120):
        host.state.add_comment(REPOSITORY, 1, login="ann", body=f"word {number}")
    host.state.add_comment(REPOSITORY, 1, login=BOT, body=text(words="older"))
    host.state.add_comment(REPOSITORY, 1, login=BOT, body=text("other/place"))
    expected = host.state.add_comment(REPOSITORY, 1, login=BOT, body=text(words="newer"))
    host.state.add_comment(REPOSITORY, 1, login="mallory", body=text(words="forged"))
    host.state.add_comment(REPOSITORY, 1, login=BOT, body="quoted: " + text())
    with opened(host) as client:
        found = ours(client.comments(1))
    assert found is not None
    assert (found.number, found.body) == (expected.id, text(words="newer"))
    assert len(host.seen) == 2


def test_a_comment_is_made_once_edited_in_place_and_left_alone(host: stand_in.GitHub) -> None:
    """There is one comment whatever happens; the same text again is no request."""
    with opened(host) as client:
        for words in ("one", "two", "two"):
            client.put_comment(1, ours(client.comments(1)), text(words=words))
    (comment,) = host.state.repositories[REPOSITORY].comments.values()
    assert (comment.body, comment.former) == (text(words="two"), [text(words="one")])
    assert [seen.method for seen in host.writes()] == ["POST", "PATCH"]


def test_an_issue_is_opened_edited_closed_and_opened_again(host: stand_in.GitHub) -> None:
    """One issue serves for ever."""
    with opened(host) as client:
        for words in ("one", "two"):
            client.put_issue(ours(client.issues()), title="drift", body=text(words=words))
        known = ours(client.issues())
        assert known is not None
        client.close_issue(known)
        closed = ours(client.issues())
        assert closed is not None
        assert not closed.is_open
        client.put_issue(closed, title="drift", body=text(words="two"))
    (issue,) = (i for i in host.state.repositories[REPOSITORY].issues.values() if i.login == BOT)
    assert (issue.state, issue.body, issue.labels) == ("open", text(words="two"), ("reconciler",))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            Fault(reply=problem(401, "Bad credentials")),
            "GitHub refuses GITHUB_TOKEN: give the step `${{ github.token }}` of this run",
        ),
        (
            Fault(reply=problem(403, "Resource not accessible by integration")),
            f"GitHub answered with HTTP 403: {NEEDED}",
        ),
        (Fault(reply=problem(404, "Not Found")), f"GitHub answered with HTTP 404: {NEEDED}"),
        (Fault(reply=problem(422, "Validation Failed")), "GitHub answered with HTTP 422"),
        (Fault(reply=rate_limited(status=429)), "GitHub's rate limit is used up: try again later"),
        (
            Fault(reply=rate_limited(retry_after_s=None)),
            "GitHub's rate limit is used up: try again later",
        ),
        (Fault(reply=problem(502, "Server Error")), "GitHub answered with HTTP 502: try again"),
        (Fault(), "GitHub does not answer (RemoteProtocolError): try again"),
    ],
)
def test_each_refusal_of_a_write_is_one_sentence_and_no_second_try(
    host: stand_in.GitHub, fault: Fault, expected: str
) -> None:
    """A write is sent once, whatever comes back."""
    host.fail(fault)
    with opened(host) as client, pytest.raises(GitHubError) as raised:
        client.put_comment(1, None, text())
    assert str(raised.value) == expected
    assert len(host.seen) == 1


@pytest.mark.parametrize(
    "fault",
    [Fault(reply=problem(502, "x"), times=2), Fault(times=2), Fault(reply=rate_limited(), times=2)],
)
def test_a_read_is_sent_again(host: stand_in.GitHub, fault: Fault) -> None:
    """A busy GitHub gets two more tries."""
    host.state.add_comment(REPOSITORY, 1, login=BOT, body=text())
    host.fail(fault)
    with opened(host) as client:
        assert ours(client.comments(1)) is not None
    assert len(host.seen) == 3


def test_a_page_elsewhere_is_not_asked_for(host: stand_in.GitHub) -> None:
    """A Link to another host is not followed: that host would get the token."""
    away = Reply(status=200, document=[], headers={"Link": f'<{host.web}/evil>; rel="next"'})
    host.fail(Fault(reply=away))
    with opened(host) as client:
        assert ours(client.comments(1)) is None
    assert len(host.seen) == 1


def published(
    host: stand_in.GitHub,
    *,
    event: str = "schedule",
    branch: str = "main",
    fork: str | None = None,
    sha: str = BASE,
) -> None:
    """Add a run that published a snapshot."""
    run = host.state.add_run(
        REPOSITORY, event=event, head_branch=branch, head_sha=sha, head_repository=fork
    )
    host.state.add_artifact(
        REPOSITORY, run, ARTIFACT, {"snapshot.json": json.dumps(event).encode()}
    )


def test_only_a_snapshot_of_the_default_branch_counts(host: stand_in.GitHub) -> None:
    """Newer ones of a pull request, a fork's branch called main, another branch, and an
    expired one are passed over.

    So is one of a tag called main whose commit is not on the branch; and a hundred of
    others hide ours on no other page.
    """
    host.state.add_repository("mallory/tokens", parent=REPOSITORY)
    published(host, event="push")
    for _ in range(110):
        published(host, event="push", branch="flood")
    published(host, event="pull_request")
    published(host, event="pull_request", fork="mallory/tokens")
    published(host, event="push", branch="topic")
    published(host, event="push", sha="e" * 40)
    published(host, event="schedule")
    list(host.state.repositories[REPOSITORY].artifacts.values())[-1].expired = True
    with opened(host) as client:
        assert client.snapshot(ARTIFACT) == '"push"'
    assert [seen.headers.get("authorization") for seen in host.downloads] == [None]


def test_without_a_snapshot_there_is_none(host: stand_in.GitHub) -> None:
    """That of a pull request is none."""
    published(host, event="pull_request")
    with opened(host) as client:
        assert client.snapshot(ARTIFACT) is None


@pytest.mark.parametrize("content", [{}, {"other.json": b"{}"}, {"snapshot.json": b"\xff\xfe"}])
def test_an_artifact_of_something_else(host: stand_in.GitHub, content: dict[str, bytes]) -> None:
    """An archive with another file, or with no text in it, is one sentence."""
    run = host.state.add_run(REPOSITORY, event="push", head_branch="main", head_sha=BASE)
    host.state.add_artifact(REPOSITORY, run, ARTIFACT, content)
    with opened(host) as client, pytest.raises(GitHubError) as raised:
        client.snapshot(ARTIFACT)
    assert "is no archive with snapshot.json in it" in str(raised.value)


def test_the_merged_pull_request_of_a_commit(host: stand_in.GitHub) -> None:
    """Only a pull request that this commit merged into the default branch counts, with
    its last commit.
    """
    with opened(host) as client:
        assert client.merged_pull(HEAD) is None
        host.state.merge_pull(REPOSITORY, 1, MERGED)
        assert client.merged_pull(MERGED) == (1, HEAD)
        assert client.merged_pull(HEAD) is None
        assert client.merged_pull("../../user") is None
        host.state.repositories[REPOSITORY].pulls[1].base_ref = "unprotected"
        assert client.merged_pull(MERGED) is None


@pytest.mark.parametrize(
    "odd", [{"id": None}, {"id": "7"}, {"id": [7]}, {"user": None}, {"body": None}, {}]
)
def test_comments_of_an_odd_shape_are_nobodys(
    host: stand_in.GitHub, odd: dict[str, object]
) -> None:
    """Whatever GitHub sends, a plan does not fail for it."""
    whole = {"id": 7, "user": {"login": BOT}, "body": text(), "html_url": 5}
    shape = {key: value for key, value in {**whole, **odd}.items() if odd or key != "id"}
    host.fail(Fault(reply=Reply(status=200, document=[shape, 5, None])))
    with opened(host) as client:
        assert ours(client.comments(1)) is None


def test_a_redirect_is_no_success(host: stand_in.GitHub) -> None:
    """A renamed repository redirects: nothing was posted, and that is said."""
    host.fail(
        Fault(
            reply=Reply(status=307, document={}, headers={"Location": f"{host.url}/repositories/1"})
        )
    )
    with opened(host) as client, pytest.raises(GitHubError) as raised:
        client.put_comment(1, None, text())
    assert (
        str(raised.value)
        == "GitHub answered with HTTP 307 and named another place: is GITHUB_REPOSITORY right?"
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"GITHUB_REPOSITORY": ""},
            "this is no job of GitHub Actions: GITHUB_REPOSITORY is not set",
        ),
        (
            {"GITHUB_REPOSITORY": "../.."},
            "this is no job of GitHub Actions: GITHUB_REPOSITORY is not set",
        ),
        (
            {"GITHUB_API_URL": "https://a:b"},
            "GITHUB_API_URL, or a place that GitHub named, is no address",
        ),
        (
            {"GITHUB_API_URL": "http://api.example"},
            "GITHUB_API_URL is not https: the token is not sent there",
        ),
        ({"GITHUB_EVENT_PATH": "/nowhere.json"}, "GITHUB_EVENT_PATH can't be read as JSON"),
    ],
)
def test_a_job_that_can_not_be(
    host: stand_in.GitHub, changed: dict[str, str], expected: str
) -> None:
    """Nothing is sent on variables that make no sense."""
    with pytest.raises(GitHubError) as raised:
        job_from({**environ(host), **changed})
    assert str(raised.value) == expected


def test_the_token_is_not_shown(host: stand_in.GitHub) -> None:
    """The token is in neither the job's text nor an error."""
    variables = environ(host)
    assert variables["GITHUB_TOKEN"] not in repr(job_from(variables))
    host.fail(Fault(times=5))
    with (
        GitHub(job_from(variables), sleep=lambda _: None) as client,
        pytest.raises(GitHubError) as raised,
    ):
        ours(client.comments(1))
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


# --- what a pipeline gets ---


class Published:
    """The files and variables of a job."""

    def __init__(
        self, host: stand_in.GitHub, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.summary, self.outputs = folder / "summary.md", folder / "outputs"
        self.event = folder / "event.json"
        self.event.write_text(
            json.dumps({"pull_request": {"number": 1, "head": {"sha": HEAD}}}), encoding="utf-8"
        )
        files = {
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_EVENT_PATH": str(self.event),
        }
        for name, value in {**environ(host), **files}.items():
            monkeypatch.setenv(name, value)

    def of(self, *labels: str, **wanted: bool) -> dict[str, str]:
        """Publish the plan of these labels, where only the manager is there; the step's
        outputs.
        """
        state = observed(ledger({"manager": entry("id-m", "manager")}), live("id-m", "manager"))
        head = manifest(spec("manager"), *(spec(label) for label in labels), manager="manager")
        made = plan(head, state, now_ms=NOW_MS)
        seen = review_of(made, head=head, base=NoBase.ABSENT, observed=state, policy=Policy())
        self.outputs.unlink(missing_ok=True)
        source = posts.source_of(("tokens.yaml",), FLEET, NOW_MS)
        posts.publish_plan(made, source, guards=(), review=seen, posts=pipeline.Posts(**wanted))
        return dict(
            line.split("=", 1) for line in self.outputs.read_text(encoding="utf-8").splitlines()
        )


@pytest.fixture
def job(host: stand_in.GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Return a job of the pull request."""
    return Published(host, tmp_path, monkeypatch)


def test_a_plan_leaves_comment_summary_and_outputs(host: stand_in.GitHub, job: Published) -> None:
    """Outputs are scalars, and the comment's first line says what was planned."""
    outputs = job.of("new", comment=True)
    (comment,) = host.state.repositories[REPOSITORY].comments.values()
    facts = read_marker("plan", comment.body)
    assert facts is not None
    assert outputs == {
        "changes": "true",
        "digest": facts["digest"],
        "derives": "1",
        "rotations": "0",
        "promotions": "0",
        "stocks": "0",
        "revocations": "0",
        "holds": "0",
        "fleet": FLEET.name,
        "comment-url": outputs["comment-url"],
    }
    assert outputs["comment-url"].startswith(host.web)
    assert facts["head"] == HEAD
    assert "### reconciler plan: 1 to derive, 1 kept" in job.summary.read_text(encoding="utf-8")


def test_a_comment_that_github_refuses_fails_nothing(
    host: stand_in.GitHub,
    job: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A fork's token is read-only: a notice says so, the summary has the plan, and
    nothing was written.
    """
    read_only = {"contents": "read", "pull-requests": "read", "actions": "read"}
    monkeypatch.setenv(
        "GITHUB_TOKEN", host.issue_token(REPOSITORY, login=BOT, permissions=read_only)
    )
    outputs = job.of("new", comment=True)
    assert outputs["comment-url"] == ""
    assert outputs["changes"] == "true"
    err = capsys.readouterr().err
    assert err.startswith(
        "::notice title=reconciler::the comment was not posted or read: GitHub answered with HTTP "
        "403"
    )
    assert job.summary.exists()
    assert host.writes(granted=True) == []


def test_the_drift_issue_opens_and_closes_itself(host: stand_in.GitHub, job: Published) -> None:
    """Something to do opens the issue, the same again leaves it, nothing to do closes
    it, and something new opens it again.
    """
    seen = []
    for labels in (("new",), ("new",), (), (), ("new",)):
        job.of(*labels, issue=True)
        issues = [i for i in host.state.repositories[REPOSITORY].issues.values() if i.login == BOT]
        seen.append([i.state for i in issues])
    assert seen == [["open"], ["open"], ["closed"], ["closed"], ["open"]]
    assert [write.method for write in host.writes()] == ["POST", "PATCH", "PATCH"]


@pytest.mark.parametrize(
    ("labels", "edited", "expected"),
    [
        pytest.param(
            ("new",), False, ("true", "tokens-apply"), id="the reviewed plan, and harmless"
        ),
        pytest.param(("new", "other"), False, ("false", "tokens-apply-review"), id="another plan"),
        pytest.param(
            ("new",), True, ("false", "tokens-apply-review"), id="pushed to after the comment"
        ),
    ],
)
def test_the_reviewed_plan_is_recognised(
    host: stand_in.GitHub,
    job: Published,
    labels: tuple[str, ...],
    *,
    edited: bool,
    expected: tuple[str, str],
) -> None:
    """On main, the digest of our own comment about the last commit of the merged pull
    request counts, and no other.
    """
    digest = job.of("new", comment=True)["digest"]
    host.state.add_comment(
        REPOSITORY,
        1,
        login="mallory",
        body=text().replace('"place"', f'"digest": "{digest}", "place"'),
    )
    if edited:
        host.state.push_to_pull(REPOSITORY, 1, "d" * 40)
    host.state.merge_pull(REPOSITORY, 1, MERGED)
    job.event.write_text("{}", encoding="utf-8")
    outputs = job.of(*labels, reviewed=True)
    assert (outputs["reviewed"], outputs["environment"]) == expected


def test_a_reviewed_plan_of_an_older_commit(
    host: stand_in.GitHub, job: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was reviewed and merged, but the branch has gone on: it may have been taken
    back. A reviewer is asked, with a line at the top.
    """
    job.of("new", comment=True)
    host.state.merge_pull(REPOSITORY, 1, MERGED)
    job.event.write_text("{}", encoding="utf-8")
    host.state.repositories[REPOSITORY].history.append("e" * 40)
    outputs = job.of("new", reviewed=True)
    assert (outputs["reviewed"], outputs["environment"]) == ("false", "tokens-apply-review")
    assert "not known to be the newest of its branch" in capsys.readouterr().err
    top = job.summary.read_text(encoding="utf-8").rpartition("### reconciler plan")[2]
    said = (
        "> **This commit is not known to be the newest of its branch.** What it says may have been "
        "changed since, or taken back: approve it only if that state is wanted again."
    )
    assert top.splitlines()[4:6] == ["> [!CAUTION]", said]
    del host.state.repositories[REPOSITORY].history[-1]
    assert job.of("new", reviewed=True)["environment"] == "tokens-apply"


def test_a_commit_that_github_tells_nothing_of(
    host: stand_in.GitHub,
    job: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without an answer nobody knows whether the commit is the newest: a reviewer is
    asked as well.
    """
    job.of("new", comment=True)
    host.state.merge_pull(REPOSITORY, 1, MERGED)
    job.event.write_text("{}", encoding="utf-8")
    token = host.issue_token(REPOSITORY, login=BOT, permissions={"pull-requests": "read"})
    monkeypatch.setenv("GITHUB_TOKEN", token)
    assert job.of("new", reviewed=True)["environment"] == "tokens-apply-review"
    assert "the branch's latest commit was not posted or read" in capsys.readouterr().err
    assert "> [!CAUTION]" in job.summary.read_text(encoding="utf-8")


def test_a_plan_that_was_cut_was_reviewed_by_nobody(host: stand_in.GitHub, job: Published) -> None:
    """What did not fit into the comment may be what matters."""
    labels = tuple(f"bot-{n}-{'x' * 100}" for n in range(600))
    job.of(*labels, comment=True)
    host.state.merge_pull(REPOSITORY, 1, MERGED)
    job.event.write_text("{}", encoding="utf-8")
    outputs = job.of(*labels, reviewed=True)
    assert (outputs["reviewed"], outputs["environment"]) == ("false", "tokens-apply-review")


@pytest.mark.parametrize("what", ["summary", "outputs"])
def test_files_that_can_not_be_written_fail_nothing(
    job: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """A runner's disk may be full."""
    variable = {"summary": "GITHUB_STEP_SUMMARY", "outputs": "GITHUB_OUTPUT"}[what]
    monkeypatch.setenv(variable, str(job.summary.parent))
    (pipeline.write_summary if what == "summary" else lambda _: pipeline.write_outputs({"a": 1}))(
        "text"
    )
    assert capsys.readouterr().err.startswith("::notice title=reconciler::the ")


NO_HOST = {"GITHUB_API_URL": "https://github.invalid"}


@pytest.mark.parametrize(
    ("variables", "is_told"),
    [
        *(
            ({"NO_PROXY": entry, "no_proxy": entry, **proxy}, True)
            for entry in ("fd00::/8", "[::1]", "::1/128,[", "\udcff")
            for proxy in ({}, {"ALL_PROXY": "socks5://canary"})
        ),
        *(
            ({name: text, **NO_HOST}, False)
            for name, text in (
                ("HTTPS_PROXY", "gopher://canary"),
                ("HTTPS_PROXY", "http://canary:port"),
                ("https_proxy", "\udcff"),
                ("ALL_PROXY", "socks5://canary"),
                ("SSL_CERT_FILE", "/none/canary"),
                ("SSL_CERT_FILE", "/"),
            )
        ),
        *(
            ({"GITHUB_API_URL": text}, False)
            for text in ("https://[::1", "https://xn--a/", "https://\udcff", "ftp://x", "x", "/")
        ),
        ({"GITHUB_SERVER_URL": "https://\udcff"}, False),
        ({"GITHUB_SERVER_URL": "https://[::1"}, False),
        *(({"GITHUB_TOKEN": text}, False) for text in ("canary 1", "\udcff", "é", "a\nb", "")),
        *(({"GITHUB_REPOSITORY": text}, False) for text in ("\udcff", "..", "")),
        *(({"GITHUB_EVENT_PATH": text}, False) for text in ("/", "/dev/null", "/none", "\udcff")),
        *(({"GITHUB_SHA": text}, True) for text in ("\udcff", "x\ny", "")),
        *(({"GITHUB_RUN_ID": text}, True) for text in ("\udcff", "../..", "٣")),
        ({"GITHUB_WORKFLOW": "\udcff"}, True),
        ({"RECONCILER_COMMENT_AUTHOR": "\udcff"}, True),
        ({"GITHUB_STEP_SUMMARY": "\udcff/x", "PYTHONUTF8": "0"}, True),
    ],
    ids=ascii,
)
def test_no_environment_fails_a_plan(  # noqa: PLR0913  # pytest's fixtures
    job: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: stand_in.GitHub,
    variables: dict[str, str],
    *,
    is_told: bool,
) -> None:
    """Whatever it holds, the step's outputs are there; what GitHub is not told becomes
    a notice, without a value of a variable.
    """
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outputs = job.of("new", comment=True, issue=True, reviewed=True)
    assert (outputs["changes"], outputs["derives"]) == ("true", "1")
    assert bool(host.writes(granted=True)) == is_told
    posts.report_failure(solved=False)
    err = capsys.readouterr().err
    assert {line.partition("::n")[0] for line in err.splitlines()} <= {""}
    assert is_told or "was not posted or read: " in err
    assert "canary" not in err


def test_a_reply_of_github_without_an_end(
    job: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It costs a bounded time and memory, and a notice."""
    monkeypatch.setattr(api, "REPLY_BYTES", 1000)
    monkeypatch.setattr(api, "REPLY_S", 0.3)
    large, slow = (
        say(http(200, [], body=b" " * 5000)),
        drip(http(200, []) + b" " * 999, every_s=0.02),
    )
    for answer in (large, slow):
        with HttpStub(otherwise=answer) as endless:
            monkeypatch.setenv("GITHUB_API_URL", endless.url)
            assert job.of("new", comment=True)["changes"] == "true"
            assert len(endless.seen) == 1
        assert "GitHub's reply has no end, or is too large" in capsys.readouterr().err


def test_masks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line of a value is masked, on standard error and in a job alone; short lines
    are not, as they would blot out words.
    """
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    pipeline.mask("a-long-value")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    pipeline.mask("a-long-value\nabc\nanother%0Avalue")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "::add-mask::a-long-value\n::add-mask::another%250Avalue\n")
