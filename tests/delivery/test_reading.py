"""GitHub's own language service reads every workflow, example and the action, and finds
nothing; a file with a mistake is found, so that silence means something.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.delivery.files import ACTION, GITHUB, ROOT, WORKFLOWS, performed
from tests.support.node import node_with

PACKAGE = Path(__file__).parent / "pipelines"
CHANGE = GITHUB / "workflows" / "tokens-change.yml"
APPLY = GITHUB / "workflows" / "tokens-apply.yml"
CALLER = GITHUB / "examples" / "github" / "by-reusable-workflow.yml"


def read(*files: Path) -> list[tuple[str, str]]:
    """Return what the service finds: the name of the file, and the message."""
    argv = [node_with(PACKAGE), *map(str, (PACKAGE / "read.mjs", ROOT, *files))]
    done = performed(argv)
    assert done.returncode == 0, done.stderr
    return [(Path(one["file"]).name, one["message"]) for one in json.loads(done.stdout)]


def test_the_language_service_finds_nothing() -> None:
    """It knows the events, the keys, the contexts, what needs what, and the inputs of
    called workflows.
    """
    assert read(*WORKFLOWS, ACTION) == []


MISTAKES = [
    (APPLY, "  push:", "  psuh:", "Unexpected value 'psuh'"),
    (APPLY, "      only: config", "      olny: config", "Input only is required"),
    (APPLY, "cancel-in-progress: false", "cancel-in-progress: true", "cannot be combined"),
    (CALLER, "prefix: ${{", "prefx: ${{", "prefx is not defined in the referenced workflow"),
    (CHANGE, "needs: [plan, approve]", "needs: [plan, aprove]", "unknown job 'aprove'"),
    (CHANGE, "steps.plan.outputs", "steps.paln.outputs", "might be invalid: paln"),
    (CHANGE, "inputs.prefix", "inputs.prefx", "might be invalid: prefx"),
    (CHANGE, "contains(needs", "contain(needs", "Unrecognized function: 'contain'"),
    (ACTION, "      shell: bash", "      shel: bash", "Required property is missing: shell"),
]


def test_the_language_service_would_find(tmp_path: Path) -> None:
    """Each of these mistakes, made in a copy of a file of ours, is told."""
    copies = []
    for number, (original, right, mistake, _) in enumerate(MISTAKES):
        text = original.read_text(encoding="utf-8")
        assert right in text
        copy = tmp_path / str(number) / original.name
        copy.parent.mkdir()
        copy.write_text(text.replace(right, mistake, 1), encoding="utf-8")
        copies.append(copy)
    argv = [node_with(PACKAGE), *map(str, (PACKAGE / "read.mjs", ROOT, *copies))]
    found = json.loads(performed(argv).stdout)
    for copy, (_, _, mistake, sentence) in zip(copies, MISTAKES, strict=True):
        told = [one["message"] for one in found if one["file"] == str(copy)]
        assert any(sentence in one for one in told), (mistake, told)
