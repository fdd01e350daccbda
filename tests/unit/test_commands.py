"""Commands that talk to nobody, run as from a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from reconciler.cli.commands import cli
from reconciler.cli.entry import run
from reconciler.documents import dump, plan_document
from reconciler.plan.change import Selection
from reconciler.plan.labels import meant, resolved
from reconciler.render import plan_markdown, plan_text
from tests.support.pages import COMMANDS, options_of
from tests.unit.test_documents import a_plan

PLAN = a_plan()


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A saved plan's name."""
    file = tmp_path / "plan.json"
    file.write_text(dump(plan_document(PLAN)))
    return str(file)


@pytest.mark.parametrize("command", ["apply", "plan", "validate", "status"])
def test_a_saved_plan_given_as_the_manifest(
    command: str, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is the command that was meant."""
    assert run([command, saved]) == 64
    said = capsys.readouterr().err.splitlines()
    assert "\n".join(said) == (
        f"error: {saved} is a saved plan and no manifest: apply it with "
        f"`reconciler apply --plan {saved}`, look at it with `reconciler show {saved}`"
    )


@pytest.mark.parametrize("text", ["{}", "[1]", '{"document": 7}', '{"document": "of others"}'])
def test_other_json_given_as_the_manifest(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a manifest with faults."""
    file = tmp_path / "other.json"
    file.write_text(text)
    assert run(["validate", str(file)]) == 1
    assert "other.json:1:1" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_a_saved_plan_is_shown_as_it_was(
    form: str,
    saved: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With neither credentials nor a network; as JSON it is the same file."""
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["show", saved, "--format", form]) == 0
    out, err = capsys.readouterr()
    expected = {
        "text": plan_text(PLAN, width=120),
        "markdown": plan_markdown(PLAN),
        "json": Path(saved).read_text(),
    }
    assert (out, err) == (expected[form], "")


@pytest.mark.parametrize(
    ("code", "old", "new"), [(3, '"id-1"', '"id-2"'), (1, "{", "["), (1, "r plan", "r status")]
)
def test_no_other_plan_is_shown(
    code: int, old: str, new: str, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edited one is refused as by an apply, another file is told as one."""
    file = Path(saved)
    file.write_text(file.read_text().replace(old, new))
    assert run(["show", saved]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("expected", "word"),
    [
        ({"bots/a", "bots/b"}, "bots/*"),
        ({"bots/a"}, "bots/a"),
        ({"w[a]"}, "w[a]"),
        ({"wa"}, "w[ab]"),
        ({"caf\u00e9"}, "cafe\u0301"),
        (set(), "BOTS/*"),
        (set(), "bot"),
        (set(), ""),
    ],
)
def test_what_a_word_for_labels_means(expected: set[str], word: str) -> None:
    """The label that is spelt so comes first, then a glob; what means nothing selects
    nothing.
    """
    labels = {"bots/a", "bots/b", "w[a]", "wa", "caf\u00e9"}
    assert expected == meant(word, labels)
    chosen = resolved(Selection(targets=frozenset({word})), labels)
    assert chosen.targets == (expected or {word})


OF_LABELS = [
    (name, flag)
    for name, command in COMMANDS.items()
    for flag, param in options_of(command).items()
    if param.metavar in {"LABEL", "L", "GLOB"}
]
MANIFEST = """\
version: 1
manager: reconciler
vault: {mount: secret, prefix: limitless}
tokens: [{label: reconciler}, {label: bots/a}, {label: bots/b}, {label: web}]
"""


@pytest.mark.parametrize(
    ("expected", "begun"), [("bots/a bots/b", "b"), ("", "x"), ("bots/a bots/b reconciler web", "")]
)
@pytest.mark.parametrize(("command", "option"), OF_LABELS)
def test_labels_complete(
    command: str, option: str, expected: str, begun: str, tmp_path: Path
) -> None:
    """Those of the manifest that is named so far, after every option that takes one."""
    file = tmp_path / "fleet.yaml"
    file.write_text(MANIFEST)
    completion = ShellComplete(cli, {}, "reconciler", "_RECONCILER_COMPLETE")
    found = completion.get_completions([command, str(file), option], begun)
    assert expected.split() == [item.value for item in found]


def test_every_command_about_labels_is_among_them() -> None:
    """So that no option is missed because it calls a label something else."""
    assert {
        ("plan", "--target"),
        ("apply", "--exclude"),
        ("apply", "--replace"),
        ("rotate", "--target"),
        ("rollback", "--target"),
        ("status", "--target"),
        ("history", "--label"),
        ("adopt", "--label"),
    } <= set(OF_LABELS)


def test_no_manifest_no_labels(tmp_path: Path) -> None:
    """A shell that completes shows no mistakes of a file."""
    completion = ShellComplete(cli, {}, "reconciler", "_RECONCILER_COMPLETE")
    assert completion.get_completions(["plan", str(tmp_path / "no"), "--target"], "") == []


@pytest.mark.parametrize(
    "arguments", [[], ["--all", "--target", "a"], ["--all", "--token-id", "abcd"], ["--target", ""]]
)
def test_rotate_is_told_what_in_one_way(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither none nor two."""
    assert run(["rotate", *arguments]) == 64
    assert "error: " in capsys.readouterr().err
