"""Which text is whose: two manifests of one repository, and one manifest for two
exchanges, have each their own, whatever their files are called.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli import posts
from reconciler.cli.ci import Posts
from reconciler.cli.whose import Whose, find, whose
from reconciler.documents import dump, snapshot_document
from reconciler.github import GitHubError, Post
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.review import NoBase, review_of
from reconciler.render.marker import marker, read_marker
from reconciler.state.fleet import Fleet
from tests.delivery.test_github import ALL, BASE, BOT, HEAD, REPOSITORY, environ
from tests.support import github as stand_in
from tests.support.github_state import Issue
from tests.support.values import NOW_MS, entry, ledger, live, manifest, observed, spec

PUBLIC, STAGING = "https://api.limitless.exchange", "https://staging.example"
ALPHA = Fleet(api_url=PUBLIC, place="secret/alpha")
BETA = Fleet(api_url=PUBLIC, place="secret/beta")
ALPHA_STAGED = Fleet(api_url=STAGING, place="secret/alpha")
FILES = ("tokens.yaml",)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[stand_in.GitHub]:
    """Yield a host with one repository and one open pull request, whose job this is."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 1, "head": {"sha": HEAD}}}), "utf-8")
    for name in ("LIMITLESS_API_URL", "RECONCILER_VAULT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    with stand_in.GitHub() as made:
        made.state.add_repository(REPOSITORY).history.append(BASE)
        made.state.add_pull(
            REPOSITORY, login="ann", head=(REPOSITORY, "topic", HEAD), base=("main", BASE)
        )
        files = {"GITHUB_EVENT_PATH": str(event), "GITHUB_OUTPUT": str(tmp_path / "outputs")}
        for name, value in {**environ(made, ALL), **files}.items():
            monkeypatch.setenv(name, value)
        yield made


def publish(fleet: Fleet, *labels: str) -> None:
    """Publish the plan of these labels for a fleet, as comment and issue."""
    known = ledger({"manager": entry("id-m", "manager")})
    state = observed(known, live("id-m", "manager"))
    state = dataclasses.replace(state, api_url=fleet.api_url, place=fleet.place)
    head = manifest(spec("manager"), *(spec(label) for label in labels), manager="manager")
    made = plan(head, state, now_ms=NOW_MS)
    seen = review_of(made, head=head, base=NoBase.ABSENT, observed=state, policy=Policy())
    source = posts.source_of(FILES, fleet, NOW_MS)
    wanted = Posts(comment=True, issue=True)
    posts.publish_plan(made, source, guards=(), review=seen, posts=wanted)


def issues(host: stand_in.GitHub) -> list[Issue]:
    """Return the issues of ours."""
    return [one for one in host.state.repositories[REPOSITORY].issues.values() if one.login == BOT]


def comments(host: stand_in.GitHub) -> list[str]:
    """Return the texts of our comments."""
    return [one.body for one in host.state.repositories[REPOSITORY].comments.values()]


@pytest.mark.parametrize("other", [BETA, ALPHA_STAGED], ids=["another prefix", "another exchange"])
def test_neither_hides_the_other(host: stand_in.GitHub, other: Fleet) -> None:
    """Both are called tokens.yaml. Each has a comment and an issue of its own, and one
    without drift closes nothing of the other.
    """
    publish(ALPHA, "new")
    publish(other, "another")
    assert len(comments(host)) == 2
    assert ("`new`" in comments(host)[0], "`another`" in comments(host)[1]) == (True, True)
    publish(other)
    publish(other)
    assert [issue.state for issue in issues(host)] == ["open", "closed"]
    assert len(comments(host)) == 2
    assert len({issue.title for issue in issues(host)}) == 2
    publish(ALPHA)
    assert [issue.state for issue in issues(host)] == ["closed", "closed"]


def test_a_text_of_the_former_form_is_carried_over_once(host: stand_in.GitHub) -> None:
    """A marker that knows the file only is taken over by the first that has this file;
    the next one, for another fleet, makes its own.
    """
    old_facts = {"manifest": "tokens.yaml"}
    host.state.add_comment(REPOSITORY, 1, login=BOT, body=marker("plan", old_facts) + "\nold")
    host.state.add_issue(
        REPOSITORY, login=BOT, body=marker("drift", old_facts), labels=("reconciler",)
    )
    other = marker("drift", {"manifest": "other.yaml"})
    host.state.add_issue(REPOSITORY, login=BOT, body=other, labels=("reconciler",))
    for _ in range(2):
        publish(ALPHA, "new")
    publish(BETA, "another")
    places = [(read_marker("plan", body) or {}).get("place") for body in comments(host)]
    assert places == [ALPHA.place, BETA.place]
    found = [(read_marker("drift", issue.body) or {}).get("place") for issue in issues(host)]
    assert found == [ALPHA.place, None, BETA.place]


def test_what_could_be_anybodys_is_left_alone() -> None:
    """Another fleet has files of this name, or there are two texts of the former form:
    nobody can tell whose it is.
    """
    about = Whose(exchange=PUBLIC, place=ALPHA.place, manifest="tokens.yaml")
    beta = {"exchange": PUBLIC, "place": BETA.place, "manifest": "tokens.yaml"}
    former = {"manifest": "tokens.yaml"}

    def found(*facts: dict[str, str]) -> int | None:
        made = [
            Post(number=number, body=marker("drift", one), url="")
            for number, one in enumerate(facts)
        ]
        post = find(made, "drift", about)
        return None if post is None else post.number

    assert found(former) == 0
    assert found(former, beta) is None
    assert found(former, former) is None
    assert found({"manifest": "b/tokens.yaml"}) is None
    assert found({"exchange": STAGING, "manifest": "tokens.yaml"}) is None
    assert found(former, about.facts, beta) == 1
    assert found(about.facts, about.facts) == 1
    assert found({**about.facts, "manifest": "moved/tokens.yaml"}) == 0


def fails(*, solved: bool, manifest_file: Path | None = None, name: str = "tokens-apply") -> None:
    """Keep the issue of a workflow, as its last job does."""
    names = FILES if manifest_file is None else (str(manifest_file),)
    posts.report_failure(solved=solved, name=name, names=names)


def written(folder: Path, place: str) -> Path:
    """Write a manifest of which only the place can be read."""
    mount, prefix = place.split("/")
    file = folder / "tokens.yaml"
    file.write_text(f"vault: {{mount: {mount}, prefix: {prefix}}}\nnonsense: 1\n", encoding="utf-8")
    return file


def test_a_failure_is_of_a_workflow_and_a_fleet(
    host: stand_in.GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another workflow, another place, another exchange: none closes it. The same
    manifest does, wherever it was moved, and whatever else is wrong with it.
    """
    alpha = written(tmp_path, ALPHA.place)
    fails(solved=False, manifest_file=alpha)
    (issue,) = issues(host)
    assert issue.title == "Workflow failed: tokens-apply (secret/alpha at api.limitless.exchange)"
    assert "https://git.example/partner/tokens/actions/runs/7" in issue.body
    fails(solved=True, manifest_file=alpha, name="tokens-drift")
    monkeypatch.setenv("RECONCILER_VAULT_PREFIX", BETA.place)
    fails(solved=True, manifest_file=alpha)
    monkeypatch.delenv("RECONCILER_VAULT_PREFIX")
    monkeypatch.setenv("LIMITLESS_API_URL", STAGING)
    fails(solved=True, manifest_file=alpha)
    assert issue.state == "open"
    monkeypatch.setenv("LIMITLESS_API_URL", PUBLIC + "/")
    (tmp_path / "moved").mkdir()
    fails(solved=True, manifest_file=written(tmp_path / "moved", ALPHA.place))
    assert [one.state for one in issues(host)] == ["closed"]


def test_a_failure_of_a_manifest_that_nobody_can_read(
    host: stand_in.GitHub, tmp_path: Path
) -> None:
    """The issue goes by the file's name until the place is known again: it is opened
    once, and closed by the run that succeeds.
    """
    file = tmp_path / "tokens.yaml"
    file.write_text("[", encoding="utf-8")
    for _ in range(2):
        fails(solved=False, manifest_file=file)
    (issue,) = issues(host)
    assert "the manifest that could not be read" in issue.title
    fails(solved=True, manifest_file=written(tmp_path, ALPHA.place))
    assert issue.state == "closed"
    fails(solved=False, manifest_file=file)
    fails(solved=False, manifest_file=written(tmp_path, ALPHA.place))
    file.write_text("[", encoding="utf-8")
    fails(solved=False, manifest_file=file)
    assert [(one.state, one.number) for one in issues(host)] == [("open", issue.number)]
    facts = read_marker("failure", issue.body)
    assert facts is not None
    assert facts["place"] == ALPHA.place, "what was known is not forgotten"


@pytest.mark.parametrize("former", ["tokens-apply", "tokens-apply tokens.yaml"])
def test_a_failure_of_the_former_form(
    host: stand_in.GitHub, monkeypatch: pytest.MonkeyPatch, former: str
) -> None:
    """The workflow's name held the manifest's: the issue is closed by its success."""
    host.state.add_issue(
        REPOSITORY,
        login=BOT,
        title="Workflow failed",
        body=marker("failure", {"workflow": former}),
        labels=("reconciler",),
    )
    monkeypatch.setenv("RECONCILER_VAULT_PREFIX", ALPHA.place)
    fails(solved=True)
    assert [issue.state for issue in issues(host)] == ["closed"]


def snapshot_of(fleet: Fleet) -> bytes:
    """Return a snapshot of a fleet, as it is published."""
    state = observed(ledger({"manager": entry("id-m", "manager")}), live("id-m", "manager"))
    state = dataclasses.replace(state, api_url=fleet.api_url, place=fleet.place)
    mount, _, prefix = fleet.place.partition("/")
    wanted = manifest(spec("manager"), manager="manager")
    wanted = dataclasses.replace(wanted, mount=mount, prefix=prefix)
    return dump(snapshot_document(state, wanted)).encode()


def test_a_snapshot_is_of_a_fleet(host: stand_in.GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has an artifact of its own. One by the former name counts where it is of
    this very fleet.
    """
    run = host.state.add_run(REPOSITORY, event="schedule", head_branch="main", head_sha=BASE)

    def publish_as(name: str, fleet: Fleet) -> None:
        host.state.add_artifact(REPOSITORY, run, name, {"snapshot.json": snapshot_of(fleet)})

    publish_as("tokens-snapshot", BETA)
    publish_as(f"tokens-snapshot-{ALPHA.name}", ALPHA)
    for place, fleet in ((ALPHA.place, ALPHA), (BETA.place, BETA)):
        monkeypatch.setenv("RECONCILER_VAULT_PREFIX", place)
        assert json.loads(posts.published_snapshot(FILES))["place"] == fleet.place
    monkeypatch.setenv("LIMITLESS_API_URL", STAGING)
    with pytest.raises(GitHubError) as raised:
        posts.published_snapshot(FILES)
    assert str(raised.value) == (
        "the default branch has published no snapshot of secret/beta at staging.example yet (an "
        f"artifact named tokens-snapshot-{Fleet(api_url=STAGING, place=BETA.place).name}): run the "
        "drift workflow once"
    )


def test_names() -> None:
    """A name is fit for a file and an artifact, and as different as the fleets are."""
    alike = Fleet(api_url=PUBLIC, place="secret-alpha")
    names = {fleet.name for fleet in (ALPHA, BETA, ALPHA_STAGED, alike)}
    assert len(names) == 4
    assert ALPHA.name == "secret-alpha-2de166be"
    assert len(Fleet(api_url=PUBLIC, place="a/" * 200).name) <= 49


def test_what_a_job_looks_after(tmp_path: Path) -> None:
    """The pin, else what the files say; the exchange in its one spelling."""
    file = written(tmp_path, ALPHA.place)
    asked = {"LIMITLESS_API_URL": "https://API.limitless.exchange:443/"}
    assert whose((str(file),), asked).fleet == ALPHA
    assert whose((str(tmp_path),), asked).fleet == ALPHA
    assert whose((str(file),), {"RECONCILER_VAULT_PREFIX": BETA.place}).fleet == BETA
    assert whose(("missing.yaml",), {}).fleet is None
