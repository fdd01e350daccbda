"""An identity token as people paste it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.errors import PersonNeededError
from reconciler.identity.source import TokenSource, read_identity, refuse_workflow_input
from reconciler.model import Secret

SOURCE = TokenSource(read_stdin=lambda: "")
NAME = "LIMITLESS_IDENTITY_TOKEN"


@pytest.mark.parametrize(
    "text",
    ["eyJ.a.b", "Bearer eyJ.a.b", " bearer  eyJ.a.b\n", "BEARER\teyJ.a.b"],
)
def test_what_a_browser_shows_is_taken(tmp_path: Path, text: str) -> None:
    """From each source, and it is known again as a workflow's input."""
    (tmp_path / "token").write_text(text)
    (tmp_path / "event").write_text(json.dumps({"inputs": {"identity": text}}))
    file = TokenSource(file=str(tmp_path / "token"), read_stdin=lambda: "")
    stdin = TokenSource(file="-", read_stdin=lambda: text)
    command = TokenSource(command=f"cat {tmp_path / 'token'}", read_stdin=lambda: "")
    for source in (SOURCE, file, stdin, command):
        found = read_identity({NAME: text, "PATH": "/usr/bin:/bin"}, source)
        assert found is not None
        assert found.reveal() == "eyJ.a.b"
    with pytest.raises(PersonNeededError, match="an input of the workflow"):
        refuse_workflow_input({"GITHUB_EVENT_PATH": str(tmp_path / "event")}, Secret("eyJ.a.b"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Bearer", "is empty"),
        ("Bearer ", "is empty"),
        ("Bearer eyJ a", "without a space"),
        ("identity: Bearer eyJ", "without a space"),
        ("eyJ\nx", "one line of ASCII"),
        ("eyJé", "one line of ASCII"),
    ],
)
def test_what_is_no_token_is_refused(text: str, sentence: str) -> None:
    """The sentence names the space, and never the text."""
    with pytest.raises(PersonNeededError, match=sentence) as caught:
        read_identity({NAME: text}, SOURCE)
    assert "eyJ\n" not in str(caught.value)


def test_a_token_that_begins_alike_is_whole() -> None:
    """Only a word of its own is taken off."""
    found = read_identity({NAME: "bearerToken.1"}, SOURCE)
    assert found is not None
    assert found.reveal() == "bearerToken.1"
