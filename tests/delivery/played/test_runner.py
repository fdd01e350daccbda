"""The runner that plays workflows does as GitHub's does, so that what the story finds
is worth something.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.played.commands import Annotation, CommandError, Log, Masks, read_pairs
from tests.delivery.played.expressions import (
    Context,
    ExpressionError,
    Strict,
    condition,
    fill,
    value_of,
)
from tests.delivery.played.hosting import Hosted
from tests.delivery.played.runner import Environment, Played, Stage
from tests.delivery.played.steps import WorkflowError
from tests.support.github import GitHub
from tests.support.github_oidc import Issuer

CONTEXT = Context(
    {
        "github": Strict(ref="refs/heads/main", event={"pull_request": {"number": 7}}),
        "needs": Strict(
            plan={"result": "success", "outputs": Strict(environment="tokens-apply")},
            apply={"result": "failure", "outputs": Strict()},
        ),
        "env": {"comment-url": "u"},
    },
    {"success": False, "failure": True, "always": True, "cancelled": False},
)


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.ref == 'refs/heads/MAIN'", True),
        ("github.event.pull_request.number", 7),
        ("github.event.nothing.number || github.ref", "refs/heads/main"),
        ("needs.plan.outputs['environment'] != 'tokens-apply' && 'a' || 'b'", "b"),
        ("contains(needs.*.result, 'failure')", True),
        ("contains(needs.*.result, 'cancelled')", False),
        ("env.comment-url", "u"),
        ("env.nothing", None),
        ("'it''s }}'", "it's }}"),
    ],
)
def test_expressions(text: str, value: object) -> None:
    """Contexts reach GitHub's evaluator, and values come back, as what they are."""
    assert value_of(f"${{{{ {text} }}}}", CONTEXT) == value


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    "text",
    [
        "needs.nobody.result",
        "needs.plan.outputs.typo",
        "true || needs.plan.outputs.typo",
        "github.reff",
        "secrets.X",
        "hashFiles('x')",
        "a b",
        "github.ref ==",
        "github.ref = 'x'",
        '"double"',
        "(github.ref",
        "true) || (true",
        "'a''b''c'",
        "",
    ],
)
def test_what_is_not_known_is_an_error(text: str) -> None:
    """A typing mistake never passes for nothing; what the evaluator gets wrong is
    refused.
    """
    for ask in (fill, value_of, condition):
        with pytest.raises(ExpressionError):
            ask(f"${{{{ {text} }}}}", CONTEXT)


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.ref == 'refs/heads/main'", False),
        ("always() && github.ref == 'refs/heads/main'", True),
        ("${{ !success() }}", True),
        ("failure()", True),
        (False, False),
    ],
)
def test_conditions_ask_for_success_by_themselves(text: Any, value: object) -> None:
    """Only a status function lets a step run after a failure."""
    assert condition(text, CONTEXT) is value


@pytest.mark.usefixtures("node")
def test_filling() -> None:
    """Several expressions in a text are filled; one that is not closed, or half a
    condition, is an error.
    """
    text = " a ${{ github.ref }} b ${{ env.nothing }}${{ true }}"
    assert fill(text, CONTEXT) == " a refs/heads/main b true"
    assert (fill(1.0, CONTEXT), value_of(True, CONTEXT)) == ("1", True)
    for bad in ("${{ github.ref", "${{ true }} && false"):
        with pytest.raises(ExpressionError):
            condition(bad, CONTEXT)


NO_NEWLINES = ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"]
"""Where ``str.splitlines`` would split a file of pairs and GitHub does not."""


def logged(*lines: str) -> Log:
    """Return a log of these lines."""
    log = Log(Masks())
    for line in lines:
        log.take(line)
    return log


def test_commands() -> None:
    """Commands count at the start of a line, those of the old form anywhere."""
    log = logged(
        "  ::error file=tokens.yaml,line=3,title=a%3Ab%2Cc::first%0Asecond %25",
        "said: ::error::no command",
        "a name like ##[error]this one",
        "::unknown::stays",
    )
    properties = {"file": "tokens.yaml", "line": "3", "title": "a:b,c"}
    assert log.annotations == [
        Annotation(level="error", message="first\nsecond %", properties=properties),
        Annotation(level="error", message="this one", properties={}, old_form=True),
    ]
    assert "said: ::error::no command" in log.lines
    assert "::unknown::stays" in log.lines


def test_stopped_commands() -> None:
    """Between the two lines nothing is obeyed, in either form."""
    log = logged(
        "::stop-commands::t0k", "::error::x", "##[error]y", "::other::", "::t0k::", "::notice::z"
    )
    assert [one.message for one in log.annotations] == ["z"]


def test_masks() -> None:
    """From the command on, each line of the value is hidden, in base64 too, wherever it
    stands in a longer text.
    """
    log = logged(
        "s3cr3t/+value",
        "::add-mask::s3cr3t/+value%0Aline-two",
        "x s3cr3t/+value y",
        "czNjcjN0Lyt2YWx1ZQ==",
        "line-two",
    )
    assert log.lines == ["s3cr3t/+value", "::add-mask::***", "x *** y", "***Q==", "***"], (
        "its last bits hang on what follows"
    )
    assert "s3cr3t" in log.raw[2]
    for shifted in ("xs3cr3t/+value", "xys3cr3t/+valuez"):
        assert log.masks.cover(base64.b64encode(shifted.encode()).decode())


@pytest.mark.parametrize(
    "command",
    [
        "::set-env name=A::b",
        "::add-path::/x",
        "::save-state name=a::b",
        "::set-output::b",
        "::add-mask::",
    ],
)
def test_given_up_commands(command: str) -> None:
    """A command that GitHub switched off, or that lacks its value, is an error."""
    with pytest.raises(CommandError):
        logged(command)


def test_pairs() -> None:
    """Lines and heredocs are read; what is neither, or has no end, is an error."""
    pairs = {"a": "1", "b": "x=y\n", "c": "d<<e", "f<g": "h"}
    assert read_pairs("a=1\nb<<EOF\nx=y\n\nEOF\nc=d<<e\nf<g<<E\nh\nE") == pairs
    for bad in ("nothing\n", "a<<E\nx\n", "a<<\nx\n", "<<E\nx\nE\n"):
        with pytest.raises(CommandError):
            read_pairs(bad)


@pytest.mark.parametrize("odd", NO_NEWLINES)
def test_a_value_ends_at_a_newline_only(odd: str) -> None:
    """Other characters that Python's ``splitlines`` splits at are part of a value."""
    assert read_pairs(f"a=1{odd}b=2\nc<<E\n3{odd}E\nE\n") == {"a": f"1{odd}b=2", "c": f"3{odd}E"}


# --- whole workflows ---

ACTION = """
inputs:
  word: {default: nothing}
outputs:
  said: {value: "${{ steps.say.outputs.said }}"}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      env: {WORD: "${{ inputs.word }}"}
      run: |
        echo "said=$WORD" >>"$GITHUB_OUTPUT"
        [ "$WORD" != bad ]
"""


@pytest.fixture
def stage(tmp_path: Path, node: str) -> Iterator[Stage]:
    """Yield a repository with an action of its own and two environments."""
    with GitHub() as github, Issuer() as issuer:
        hosted = Hosted(github, "acme/tokens", tmp_path / "acme")
        hosted.commit({".github/actions/say/action.yml": ACTION, "README.md": "first\n"})
        yield Stage(
            github=github,
            issuer=issuer,
            hosted=hosted,
            folder=tmp_path,
            variables={"PLACE": "somewhere"},
            environments={"open": Environment(), "guarded": Environment(reviewers=True)},
            approve=lambda environment, _job: environment != "guarded",
            prepare=lambda _temp, _root: None,
        )


HOST = "runs-on: x, timeout-minutes: 1"
HEAD = "on: {push: {branches: [main]}, pull_request: {}}\npermissions: {}\n"


def play(stage: Stage, jobs: str, event: str = "push", **how: Any) -> Played:
    """Play a workflow of these jobs, by a push to main or by a pull request that brings
    it in.
    """
    files = {".github/workflows/w.yml": HEAD + "jobs:\n" + jobs.replace("HOST", HOST)}
    happened = stage.hosted.push(files) if event == "push" else stage.hosted.open_pull(files, **how)
    return stage.play("w.yml", happened)


ENDS = """
  a:
    runs-on: x
    timeout-minutes: 1
    outputs: {word: "${{ steps.s.outputs.said }}", got: "${{ steps.s.outcome }}"}
    steps:
      - {id: s, uses: $/.github/actions/say, with: {word: WORD}, continue-on-error: true}
      - {run: "echo ::warning::later"}
  b: {needs: a, HOST, if: "needs.a.outputs.word == 'good'", steps: [{run: "true"}]}
  c: {needs: [a, b], HOST, steps: [{run: "false"}, {if: always(), run: "echo end"}]}
  d: {needs: c, if: always(), HOST, steps: [{run: "[ ${{ needs.c.result }} = WANTED ]"}]}
"""


@pytest.mark.parametrize(
    ("word", "results", "outcome"),
    [
        ("good", {"a": "success", "b": "success", "c": "failure", "d": "success"}, "success"),
        ("bad", {"a": "success", "b": "skipped", "c": "skipped", "d": "success"}, "failure"),
    ],
)
def test_how_jobs_end(stage: Stage, word: str, results: dict[str, str], outcome: str) -> None:
    """Jobs end by their conditions, needs, outputs of a composite action, and failures
    that are continued from.
    """
    wanted = results["c"]
    played = play(stage, ENDS.replace("WORD", word).replace("WANTED", wanted))
    assert played.results() == results, played.log
    assert played.jobs["a"].outputs == {"word": word, "got": outcome}
    assert [one.message for one in played.jobs["a"].log.annotations if one.level == "warning"] == [
        "later"
    ]
    assert ("end" in played.jobs["c"].log.lines) is (wanted == "failure")


def test_the_environment_decides(stage: Stage) -> None:
    """A reviewer who says no and a ref that is not allowed stop a job; an environment
    that is not there is an error.
    """
    permissions = "permissions: {id-token: write}"
    job = f"  a: {{HOST, environment: NAME, {permissions}, steps: [{{run: env}}]}}\n"
    played = play(stage, job.replace("NAME", "open"))
    assert played.results() == {"a": "success"}
    assert "ACTIONS_ID_TOKEN_REQUEST_TOKEN=***" in played.log
    refused = play(stage, job.replace("NAME", "guarded"))
    assert (refused.results(), refused.jobs["a"].why) == (
        {"a": "failure"},
        "the deployment to guarded was rejected",
    )
    assert (
        "not allowed to deploy"
        in play(stage, job.replace("NAME", "open"), "pull_request").jobs["a"].why
    )
    with pytest.raises(WorkflowError, match="on the spot"):
        play(stage, job.replace("NAME", "tpyo"))


@pytest.mark.parametrize(
    ("how", "level", "oidc"),
    [
        ({}, "write", "***"),
        ({"fork": "mallory/tokens", "login": "mallory"}, "read", None),
        ({"login": "dependabot[bot]"}, "read", None),
    ],
    ids=["own", "fork", "dependabot"],
)
def test_restricted_events(stage: Stage, how: dict[str, str], level: str, oidc: str | None) -> None:
    """A fork's and Dependabot's pull requests have a token that only reads, and no
    OIDC.
    """
    permissions = "{issues: write, id-token: write}"
    job = f"  a: {{HOST, permissions: {permissions}, steps: [{{run: env}}]}}\n"
    played = play(stage, job, "pull_request", **how)
    assert played.jobs["a"].permissions["issues"] == level
    assert ("ACTIONS_ID_TOKEN_REQUEST_TOKEN=***" in played.log) is (oidc is not None)
    assert ("ACTIONS_ID_TOKEN" in played.log) is (oidc is not None)


LEAVES = r"""
  a:
    runs-on: x
    timeout-minutes: 1
    outputs: {old: "${{ steps.s.outputs.old }}", new: "${{ steps.s.outputs.new }}"}
    steps:
      - run: |
          mkdir 'a b'
          printf '#!/bin/sh\necho found' >'a b/said'
          chmod +x 'a b/said'
          echo "$PWD/a b" >>$GITHUB_PATH
      - id: s
        run: |
          said
          echo ::set-output name=old::1%0A2
          echo ::set-output name=new::1
          printf 'new=2\r3\n' >>$GITHUB_OUTPUT
      - run: |
          head -c 1048577 /dev/zero | tr '\0' x >>$GITHUB_STEP_SUMMARY
          printf 'W=3\fV=4\n' >>$GITHUB_ENV
      - run: |
          head -c 1048576 /dev/zero | tr '\0' y >>$GITHUB_STEP_SUMMARY
          echo "W is $W."
          printf 'x\342\200\250::error::no\n'
"""


def test_what_a_step_leaves(stage: Stage) -> None:
    """A folder of PATH may have a blank in its name; ``::set-output`` is obeyed with a
    warning; values end at newlines; and a summary above 1 MiB is dropped whole, with an
    error in a step that stays green.
    """
    job = play(stage, LEAVES).jobs["a"]
    assert job.result == "success", job.log.text
    assert {"found", "W is 3\fV=4."} <= set(job.log.lines)
    assert job.outputs == {"old": "1\n2", "new": "2\r3"}
    assert job.summary == "y" * 1024 * 1024
    assert [
        (one.level, one.message.partition(" command ")[0][:60]) for one in job.log.annotations
    ] == [
        ("warning", "The `set-output`"),
        ("warning", "The `set-output`"),
        ("error", "$GITHUB_STEP_SUMMARY upload aborted, supports content up to "),
    ]


CHECKOUT = r"""
  a:
    runs-on: x
    timeout-minutes: 1
    permissions: {contents: read}
    steps:
      - run: touch left
      - &checkout {uses: actions/checkout@v7, with: {persist-credentials: false}}
      - run: |
          [ ! -e left ]
          [ -x tool ]
          [ ! -x README.md ]
          [ $(readlink link) = tool ]
          [ $(git rev-parse HEAD) = $GITHUB_SHA ]
          touch new
      - *checkout
      - run: |
          [ ! -e new ]
          [ -z "$(git status --porcelain)" ]
          [ $(git rev-list --count HEAD) = 1 ]
      - uses: $/.github/actions/say
      - run: |
          cd ../actions/*/*
          [ -x tool ]
          [ -L link ]
          [ ! -e .git ]
"""


def test_a_checkout_is_a_repository(stage: Stage) -> None:
    """Modes, links and ``.git`` are kept, and what lay there before is gone; a fetched
    action keeps modes and links.
    """
    stage.hosted.push({"tool": "#!/bin/sh\n", "link": Path("tool")})
    played = play(stage, CHECKOUT)
    assert played.result == "success", played.log


FILES = """
  a:
    {HOST, permissions: {contents: read}, steps: [
      {uses: actions/checkout@v7, with: {persist-credentials: false}},
      {uses: actions/checkout@v7, with: {persist-credentials: false, ref: main, path: base}},
      {run: "cat README.md base/README.md >$RUNNER_TEMP/both"},
      {uses: actions/upload-artifact@v7, with: {name: n, path: "${{ runner.temp }}/both"}}]}
  b:
    {needs: a, HOST, steps: [
      {uses: actions/download-artifact@v8, with: {name: n, path: "${{ runner.temp }}"}},
      {run: "cat $RUNNER_TEMP/both | tee -a $GITHUB_STEP_SUMMARY"}]}
  c: {HOST, steps: [{uses: actions/checkout@v7, with: {persist-credentials: false}}]}
"""


def test_files_go_from_job_to_job(stage: Stage) -> None:
    """Two checkouts stand side by side, an artifact goes to the next job, and no
    checkout works without the permission to read.
    """
    event = stage.hosted.open_pull(
        {
            ".github/workflows/w.yml": HEAD + "jobs:" + FILES.replace("HOST", HOST),
            "README.md": "second\n",
        }
    )
    played = stage.play("w.yml", event)
    assert played.results() == {"a": "success", "b": "success", "c": "failure"}, played.log
    assert played.jobs["b"].summary == "second\nfirst\n"


CALLED = """
on: {workflow_call: {inputs: {word: {type: string, default: none}}}}
permissions: {}
jobs:
  inner: {HOST, permissions: {issues: write}, steps: [{run: "echo got ${{ inputs.word }}"}]}
"""


def test_a_called_workflow(stage: Stage) -> None:
    """A called workflow gets its inputs, and no permission that its caller lacks."""
    stage.hosted.push({".github/workflows/called.yml": CALLED.replace("HOST", HOST)})
    uses = "uses: $/.github/workflows/called.yml, with: {word: hello}"
    call = f"  a: {{{uses}, permissions: {{issues: LEVEL}}}}\n"
    played = play(stage, call.replace("LEVEL", "write"))
    assert played.results() == {"a/inner": "success", "a": "success"}
    assert "got hello" in played.log
    with pytest.raises(WorkflowError, match="more than its caller"):
        play(stage, call.replace("LEVEL", "read"))


@pytest.mark.parametrize(
    "job",
    [
        "  a: {HOST, steps: [{uses: someone/action@v1}]}",
        "  a: {HOST, container: x, steps: []}",
        "  a: {runs-on: x, steps: []}",
        "  a: {HOST, steps: [{uses: $/.github/actions/say, with: {wrod: x}}]}",
        "  a: {HOST, needs: b, steps: []}",
        "  a: {HOST, permissions: write-all, steps: []}",
    ],
)
def test_what_is_not_played_is_said(stage: Stage, job: str) -> None:
    """An unknown action, key, input or need is an error."""
    with pytest.raises(WorkflowError):
        play(stage, job + "\n")
