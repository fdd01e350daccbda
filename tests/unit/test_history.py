"""What the ledger's versions tell of what was done."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import jsonschema
import pytest

from reconciler import load_schema
from reconciler.cli.history import since_of
from reconciler.documents import history_document
from reconciler.errors import UsageError
from reconciler.model import DAY_MS, iso
from reconciler.render import history_text
from reconciler.state.history import DONE, Event, LedgerVersion, What, events_of
from reconciler.state.ledger import Closed, Entry, IntentKind, Ledger
from reconciler.state.names import rename_entry
from tests.support.values import (
    NOW_MS,
    current,
    entry,
    holder,
    intent,
    ledger,
    lost,
    retiring,
)

BEGUN = dataclasses.replace(entry("t1", "bot"), intent=intent("bot", kind=IntentKind.ROTATE))
ROTATED = dataclasses.replace(
    entry("t2", "bot", version=2), retiring=(retiring("t1", "bot"),), overlap_ms=1
)
MOVED = rename_entry("robot", "bot")(ledger({"bot": entry("t1", "bot")})).tokens["robot"]
GONE = Closed(label="bot", token_id="t0", outcome="superseded", at_ms=NOW_MS - DAY_MS)


def told(*ledgers: Ledger) -> tuple[Event, ...]:
    """The events of these ledgers, as versions 1, 2, …"""
    return events_of(
        [LedgerVersion(number=n, at_ms=NOW_MS + n, ledger=one) for n, one in enumerate(ledgers, 1)]
    )


def event(what: What, **other: Any) -> Event:
    """An event of version 2 about bot, by the run that held the lease."""
    values: dict[str, Any] = {"at_ms": NOW_MS + 2, "version": 2, "run": "run-9", "label": "bot"}
    return Event(what=what, **{**values, **other})


def held(entries: dict[str, Entry], **other: Any) -> Ledger:
    """A ledger while a run holds the lease."""
    return dataclasses.replace(ledger(entries, holder=holder()), **other)


@pytest.mark.parametrize(
    ("expected", "before", "after"),
    [
        pytest.param((), held({"bot": BEGUN}), held({"bot": BEGUN}), id="nothing"),
        pytest.param(
            (event("rotated", token_id="t2", why=f"in place of t1, {ROTATED.retiring[0].reason}"),),
            held({"bot": BEGUN}),
            held({"bot": ROTATED}),
            id="a rotation",
        ),
        pytest.param(
            (event("recorded", token_id="t1"),),
            held({"bot": entry("t1", "bot")}),
            ledger({"bot": entry("t1", "bot", version=2)}),
            id="a version without an intent, told by the run before",
        ),
        pytest.param(
            (event("protected"), event("protected", label="new", run=None)),
            ledger({"bot": Entry(path="bot")}),
            ledger({"bot": Entry(path="bot", protect=True), "new": Entry(path="n", protect=True)}),
            id="protections",
        ),
        pytest.param(
            (event("revoked", token_id="t0", why="superseded", at_ms=GONE.at_ms),),
            held({}),
            held({}, closed=(GONE,)),
            id="a revocation, at its own time",
        ),
        pytest.param(
            (event("closed", token_id="t0", why="forgotten", at_ms=GONE.at_ms),),
            held({}),
            held({}, closed=(dataclasses.replace(GONE, outcome="forgotten"),)),
            id="forgotten",
        ),
        pytest.param(
            (event("abandoned"),), held({}), held({}, abandoned=(lost("bot"),)), id="abandoned"
        ),
        pytest.param(
            (event("renamed", label="robot", why="was bot"),),
            held({"bot": entry("t1", "bot"), "cat": entry("t2", "cat")}),
            held({"robot": MOVED, "cat": entry("t2", "cat")}),
            id="a rename",
        ),
        pytest.param(
            (
                event("recorded", label="robot", token_id="t2", why="in place of t1, rotated"),
                event("renamed", label="robot", why="was bot"),
            ),
            held({"bot": entry("t1", "bot")}),
            held({"robot": dataclasses.replace(ROTATED, path="bot")}),
            id="a rename and a rotation, where the version between them is gone",
        ),
        pytest.param(
            (event("renamed", label="robot", why="was bot"),),
            held({"bot": Entry(path="bot", protect=True)}),
            held({"robot": Entry(path="bot", protect=True)}),
            id="a rename of a protection",
        ),
        pytest.param(
            (event("recorded", label="robot", token_id="t2"),),
            held({"bot": entry("t1", "bot")}),
            held({"robot": entry("t2", "robot")}),
            id="a label that went, and another one that came",
        ),
        pytest.param(
            (event("files", label="", why="a.yaml"),),
            held({}),
            held({}, files=("a.yaml",)),
            id="files",
        ),
    ],
)
def test_what_happened_between_two_versions(
    expected: tuple[Event, ...], before: Ledger, after: Ledger
) -> None:
    """Each difference is one event, told once, with the run that made it."""
    if before.holder is None and after.holder is None:
        expected = tuple(dataclasses.replace(one, run=None) for one in expected)
    assert expected == told(before, after)
    assert expected == tuple(e for e in told(before, after, after) if e.version == 2)


@pytest.mark.parametrize("kind", IntentKind)
def test_each_kind_of_write_has_its_word(kind: IntentKind) -> None:
    """That of the intent which the newer version has closed."""
    begun = Entry(path="bot", intent=intent("bot", kind=kind))
    done = Entry(path="bot", current=current("t1", "bot"))
    (found,) = told(held({"bot": begun}), held({"bot": done}))
    assert found == event(DONE[kind], token_id="t1")


def test_the_oldest_version_tells_its_audit_trail() -> None:
    """Without a run, since no version has it; no version, no event."""
    assert told() == ()
    assert told(ledger({"bot": ROTATED})) == ()
    (found,) = told(held({}, closed=(GONE,)))
    assert (found.run, found.at_ms) == (None, GONE.at_ms)


def test_the_document_is_as_its_schema_says() -> None:
    """It has every word, and no other; the text has one line for each event."""
    words = get_args(What)
    schema = load_schema("history")["$defs"]["event"]["properties"]["what"]
    assert list(words) == schema["enum"]
    events = [event(word, token_id="t\x1b", why="so\n") for word in words]
    document = history_document(events, place="secret/p", oldest=1, newest=9, passed_over=2)
    jsonschema.Draft202012Validator(load_schema("history")).validate(document)
    text = history_text(events, oldest=1, passed_over=2)
    assert len(text.splitlines()) == len(words) + 1
    assert "\x1b" not in text
    assert text.splitlines()[-1].endswith("from version 1 on; 2 later versions could not be read")


@pytest.mark.parametrize(
    ("expected", "text"),
    [(0, None), (NOW_MS - 30 * DAY_MS, "30d"), (NOW_MS, iso(NOW_MS)), (0, "1970-01-01")],
)
def test_since(expected: int, text: str | None) -> None:
    """A duration before now, or an instant."""
    assert expected == since_of(text, NOW_MS)


@pytest.mark.parametrize("text", ["soon", "never", "30", "2026-13-01"])
def test_since_what(text: str) -> None:
    """Anything else is a usage error that says how to write it."""
    with pytest.raises(UsageError, match="such as 30d"):
        since_of(text, NOW_MS)
