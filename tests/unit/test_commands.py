"""Commands that talk to nobody, run as from a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli.entry import run
from reconciler.documents import dump, plan_document
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
