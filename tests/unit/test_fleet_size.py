"""The largest fleet of a manifest fits into one entry of Vault, with room to spare."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest

from reconciler.model import MAX_LABELS, iso
from reconciler.protocol.effects import (
    ConfirmedNow,
    NewId,
    NotRecorded,
    Now,
    PutLedger,
    Recorded,
    Step,
    Written,
)
from reconciler.protocol.lease import RESERVE_BYTES, LedgerWriter
from reconciler.state import MAX_ENTRY_BYTES, from_text, named_others, text_bytes, to_text
from reconciler.state.ledger import (
    Closed,
    Current,
    Entry,
    Holder,
    Intent,
    IntentKind,
    Ledger,
    Retiring,
)
from reconciler.state.secret import OTHERS_LENGTH, OTHERS_NAMED
from reconciler.state.transitions import CLOSED_KEPT, open_intent

MAX_TEXT_BYTES = 900 * 1024
NOW_MS = 1_774_267_200_000
WHEN = iso(NOW_MS)

CURRENT_TO_COME: dict[str, Any] = {
    "version_created_at": WHEN,
    "fresh": True,
    "own_use_until": WHEN,
    "in_use_since": WHEN,
}
PREDECESSOR_TO_COME: dict[str, Any] = {"asked_at": WHEN, "overlap": "24h"}
"""What the ledger's next schema adds to a row."""


def identifier(number: int) -> str:
    """Return an id as long as the exchange's."""
    return str(uuid.UUID(int=number))


def label_of(number: int) -> str:
    """Return a label of 24 characters."""
    return f"a-consumer-of-ours-{number:05}"


def entry(number: int, label: str) -> Entry:
    """Return a label that was just rotated: a current token and its predecessor."""
    current = Current(
        token_id=identifier(number),
        live_label=label,
        created_at_ms=NOW_MS,
        version=4711,
        verified_at_ms=NOW_MS,
    )
    predecessor = Retiring(
        token_id=identifier(10_000 + number),
        live_label=label,
        superseded_at_ms=NOW_MS,
        not_before_ms=NOW_MS,
        reason="due by its age",
        verified_at_ms=NOW_MS,
    )
    return Entry(path=f"prod/{label}", protect=True, current=current, retiring=(predecessor,))


def fleet(count: int) -> Ledger:
    """Return labels that are all being rotated, and a full audit trail."""
    labels = [label_of(number) for number in range(count)]
    return Ledger(
        ledger_id=identifier(1),
        api_url="https://api.limitless.exchange",
        profile_id=42,
        files=tuple(f"team-{number:02}.yaml" for number in range(50)),
        holder=Holder(run=identifier(2), write=identifier(3), who="host:7", expires_at_ms=NOW_MS),
        tokens={label: entry(number, label) for number, label in enumerate(labels)},
        closed=tuple(
            Closed(
                label=labels[number],
                token_id=identifier(20_000 + number),
                outcome="revoked: due by its age",
                at_ms=NOW_MS,
            )
            for number in range(CLOSED_KEPT)
        ),
    )


def with_next_schema(ledger: Ledger, *, reserves: int) -> str:
    """Return the ledger's text with all that its next schema adds, on every label.

    Every label has been renamed; the first ``reserves`` labels have a successor ready.
    """
    document = json.loads(to_text(ledger))
    document["manifests"] = [f"{number:064x}" for number in range(50)]
    document["uses"] = {"longest_ms": 86_400_000, "least_ms": 1_000, "at": WHEN}
    for number, (label, row) in enumerate(document["tokens"].items()):
        row["current"].update(CURRENT_TO_COME)
        row["retiring"][0].update(PREDECESSOR_TO_COME)
        row["formerly"] = label
        if number < reserves:
            successor = {
                "token_id": identifier(30_000 + number),
                "operation_id": identifier(40_000 + number),
                "created_at": WHEN,
                "fresh": True,
                "scopes": ["trading"],
            }
            row["reserve"] = [successor]
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def assert_fits(text: str) -> None:
    """The text is below 900 KiB, and fits into an entry as a string of a request."""
    assert len(text.encode()) < MAX_TEXT_BYTES
    assert len(json.dumps(text, ensure_ascii=False).encode()) < MAX_ENTRY_BYTES


def test_the_largest_fleet_fits_into_one_entry() -> None:
    """1,000 labels of 24 characters, each with a predecessor that retires, take two
    thirds of what one entry holds.
    """
    largest = fleet(MAX_LABELS)
    assert {len(label) for label in largest.tokens} == {24}
    assert from_text(to_text(largest)) == largest
    assert_fits(to_text(largest))
    assert text_bytes(largest) < MAX_ENTRY_BYTES * 7 // 10


@pytest.mark.parametrize(("count", "reserves"), [(MAX_LABELS, 300), (850, 850)])
def test_the_largest_fleet_fits_with_what_the_next_schema_adds(count: int, reserves: int) -> None:
    """The fields to come fit on every row of 1,000 labels, with a reserve for 300 of
    them; a reserve for every label fits up to 850 labels.
    """
    assert_fits(with_next_schema(fleet(count), reserves=reserves))


def test_the_largest_fleet_fits_with_what_others_wrote() -> None:
    """Beside each of 1,000 secrets somebody wrote as many fields as are remembered."""
    fields = tuple((f"{number}" * (OTHERS_LENGTH // OTHERS_NAMED), "") for number in range(10))
    others = named_others(fields)
    assert len(others) == OTHERS_NAMED + 1
    largest = fleet(MAX_LABELS)
    entries = {k: dataclasses.replace(v, others=others) for k, v in largest.tokens.items()}
    with_others = dataclasses.replace(largest, tokens=entries)
    assert from_text(to_text(with_others)) == with_others
    assert_fits(to_text(with_others))


def writes(step: Step[Any]) -> tuple[list[object], Any]:
    """Run a writer's step where each write succeeds; return the effects and its end."""
    asked: list[object] = []
    replies: dict[type, Any] = {
        NewId: "w",
        Now: NOW_MS,
        ConfirmedNow: NOW_MS,
        PutLedger: Written(version=2),
    }
    try:
        asked.append(next(step))
        while True:
            asked.append(step.send(replies[type(asked[-1])]))
    except StopIteration as end:
        return asked, end.value


@pytest.mark.parametrize(("free", "opens"), [(RESERVE_BYTES - 1_000, False), (20_000, True)])
def test_a_ledger_that_is_nearly_full_opens_no_intent(free: int, *, opens: bool) -> None:
    """Before a derive there is an intent, and before an intent there is room for all
    that it leads to: else nothing is written, and what to do is said in a sentence. A
    write that needs no room, such as the end of a lease, is still done.
    """
    filler = "x" * (MAX_ENTRY_BYTES - free - text_bytes(fleet(CLOSED_KEPT)))
    full = dataclasses.replace(fleet(CLOSED_KEPT), ledger_id=identifier(1) + filler)
    writer = LedgerWriter(run=identifier(2), who="host:7", ledger=full, version=1)
    intent = Intent(
        kind=IntentKind.DERIVE,
        operation_id=identifier(5),
        run=identifier(2),
        since_ms=NOW_MS,
        before=(),
        cas=0,
        path="prod/new",
        scopes=("trading",),
    )
    asked, end = writes(writer.write(open_intent("new", intent, protect=None)))
    assert any(isinstance(effect, PutLedger) for effect in asked) == opens
    if not opens:
        assert end == NotRecorded(
            sentence="the ledger would outgrow what one Vault entry holds: "
            "split the manifest into several, each with a prefix of its own"
        )
    asked, end = writes(writer.release())
    assert isinstance(end, Recorded)
