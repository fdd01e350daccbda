"""A wrong ``LIMITLESS_API_URL``: the ledger knows the right one, so it is noticed
before anything is signed or sent.

The exchange at the wrong address is one that would answer: what comes there is counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.exchange import DEFAULT_API_URL
from reconciler.sandbox import Sandbox
from tests.support.exchange_path import ExchangePath
from tests.support.fleet import Fleet, judged

BOT = {"label": "bot", "path": "prod/bot"}
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("plan",),
    ("plan", "--out", "p.json"),
    ("apply", "--yes"),
    ("apply", "--yes", "--only", "cleanup"),
    ("apply", "--plan", "approved.json"),
    ("rotate", "--target", "bot", "--yes"),
    ("rotate", "--target", "bot", "--compromised", "--yes"),
    ("rotate", "--all", "--yes"),
    ("rollback", "--target", "bot", "--yes"),
    ("adopt", "--label", "new", "--token-id", "some-id"),
    ("adopt", "--from", "adopt.yaml", "--yes"),
    ("adopt", "--from", "adopt.yaml", "--dry-run"),
    ("adopt", "--from-vault", "{place}/prod", "--yes"),
    ("forget", "--token-id", "some-id", "--yes"),
    ("bootstrap",),
    ("status",),
    ("status", "--format", "json"),
    ("verify",),
    ("observe", "--out", "o.json"),
)
"""Every command that asks the exchange and knows the ledger."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[Sandbox, ExchangePath, str]]:
    """Another exchange, the path to it, and its address."""
    with Sandbox() as sandbox:
        path = ExchangePath(sandbox.url)
        with path.serving() as url:
            yield sandbox, path, url


@pytest.fixture
def begun(fleet: Fleet) -> Fleet:
    """A fleet with work to do and an approved plan, its environment right so far."""
    fleet.defaults["overlap"] = "1h"
    fleet.begin(BOT)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.write(BOT, {"label": "new"})
    fleet.must("plan", "--out", "approved.json")
    row = f"- label: new\n  vault: {fleet.mount}/{fleet.prefix}/prod/bot\n"
    (fleet.folder / "adopt.yaml").write_text(row)
    return fleet


def test_a_wrong_address_is_noticed_before_anything_is_sent(
    begun: Fleet, elsewhere: tuple[Sandbox, ExchangePath, str]
) -> None:
    """Both addresses stand in the sentence, and what to do; nothing came to the wrong
    exchange, nothing to the right one, and nothing was written to Vault.
    """
    _, path, wrong = elsewhere
    right, place = begun.sandbox.url, f"{begun.mount}/{begun.prefix}"
    wrongly = {"LIMITLESS_API_URL": wrong}
    calls = begun.sandbox.state.mutating_calls
    versions = begun.versions()
    for command in COMMANDS:
        arguments = [part.format(place=place) for part in command]
        said = begun.refused(1, *arguments, text="c2VjcmV0\n", environ=wrongly)
        assert f"the ledger belongs to {right}, and this run would ask {wrong}" in said, command
        assert "set LIMITLESS_API_URL to the first" in said, command
        assert "bootstrap" not in said, command
        assert path.arrivals == [], command
    assert (begun.versions(), begun.sandbox.state.mutating_calls) == (versions, calls)
    assert not (begun.folder / "o.json").exists()
    assert not (begun.folder / "p.json").exists()
    begun.must("apply", "--plan", "approved.json")


def test_doctor_names_both_and_asks_neither(
    begun: Fleet, elsewhere: tuple[Sandbox, ExchangePath, str]
) -> None:
    """Its check of the ledger fails, and none that would ask the exchange follows."""
    _, path, wrong = elsewhere
    done = begun.run("doctor", "--format", "json", environ={"LIMITLESS_API_URL": wrong})
    assert done.code == 1
    last = judged("doctor", done.out)["checks"][-1]
    assert (last["id"], last["status"]) == ("ledger", "fail")
    assert begun.sandbox.url in last["message"]
    assert wrong in last["message"]
    assert "LIMITLESS_API_URL" in last["action"]
    assert path.arrivals == []


def test_an_address_that_is_not_set_is_the_default_one(begun: Fleet) -> None:
    """Where the variable is missing, the default would be asked: it is named, too."""
    bare = {"LIMITLESS_API_URL": None}
    for command in (("plan",), ("apply", "--yes"), ("bootstrap",)):
        said = begun.run(*command, environ=bare).refusal(1)
        assert f"belongs to {begun.sandbox.url}, and this run would ask {DEFAULT_API_URL}" in said


def test_the_same_address_written_otherwise_is_right(begun: Fleet) -> None:
    """A slash at its end, and capitals, make it no other exchange."""
    for written in (f"{begun.sandbox.url}/", begun.sandbox.url.replace("http:", "HTTP:")):
        begun.must("plan", environ={"LIMITLESS_API_URL": written})
