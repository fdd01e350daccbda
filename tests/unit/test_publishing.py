"""What is published of a reserve: its token's id, and nowhere an operation's."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reconciler.documents import dump, load_snapshot, plan_document, snapshot_document
from reconciler.model import SecretMeta, VersionState
from reconciler.plan import plan
from reconciler.state import (
    IntentKind,
    Ledger,
    Left,
    Observed,
    Reserve,
    Revoking,
    as_told,
    published,
    reserve_path,
)
from tests.support.values import (
    NOW_MS,
    entry,
    intent,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    spec,
)

OPERATION = "5ecce7e4a11ab1e5ecce7e4a11ab1e00"
PATH = reserve_path(OPERATION)
LABELS = frozenset({"bot"})


def kept() -> Reserve:
    """A successor that is ready."""
    return Reserve(
        token_id="id-2",
        live_label="bot",
        operation_id=OPERATION,
        created_at_ms=NOW_MS,
        scopes=("trading",),
        verified_at_ms=NOW_MS,
        fresh=True,
    )


BOT = entry("id-1", "bot")
STOCK = dataclasses.replace(intent("bot", kind=IntentKind.STOCK), operation_id=OPERATION, path=PATH)
NAMED = dataclasses.replace(STOCK, token_id="id-2")
PROMOTE = dataclasses.replace(
    intent("bot", kind=IntentKind.PROMOTE), operation_id="promotes", token_id="id-2"
)


@pytest.mark.parametrize(
    "memory",
    [
        ledger({"bot": dataclasses.replace(BOT, reserve=(kept(),))}),
        ledger({"bot": dataclasses.replace(BOT, reserve=(kept(),), intent=PROMOTE)}),
        ledger({"bot": dataclasses.replace(BOT, intent=STOCK)}),
        ledger({"bot": dataclasses.replace(BOT, intent=NAMED)}),
        ledger(
            {
                "bot": dataclasses.replace(
                    BOT,
                    revoking=(
                        Revoking(token_id="id-2", live_label="bot", reason="rotated", path=PATH),
                    ),
                )
            }
        ),
        ledger(
            {
                "bot": dataclasses.replace(
                    BOT,
                    revoking=(
                        Revoking(
                            token_id="id-2",
                            live_label="bot",
                            reason="rotated",
                            path=f"/secret//p/{PATH}",
                            copies=(PATH, "bot"),
                        ),
                    ),
                )
            }
        ),
        dataclasses.replace(ledger({"bot": BOT}), left=(Left(token_id="id-1", path=PATH),)),
        dataclasses.replace(
            ledger({"bot": dataclasses.replace(BOT, retiring=(retiring("id-2", "bot"),))}),
            left=(Left(token_id="id-2", path=f"/secret//p/{PATH}"),),
        ),
        ledger({"bot": BOT}),
    ],
    ids=[
        "a reserve",
        "one that is being promoted",
        "a stocking that was begun",
        "a stocking whose token is named",
        "one that is revoking",
        "one that is revoking, with copies",
        "a document that is left",
        "a document that is left elsewhere",
        "a document that nobody knows",
    ],
)
def test_no_operation_id_is_published(memory: Ledger) -> None:
    """Not in the snapshot, and not in a plan; and the plan of the snapshot is the plan
    of the real thing.
    """
    seen = scene(memory)
    wanted = manifest(dataclasses.replace(spec("bot"), reserve=1))
    text = dump(snapshot_document(seen, wanted))
    made = plan(wanted, seen, now_ms=NOW_MS)
    loaded = load_snapshot(text).observed
    again = plan(wanted, loaded, now_ms=NOW_MS)
    assert (made.changes, made.digest()) == (again.changes, again.digest())
    assert OPERATION not in text + json.dumps(plan_document(made))
    assert dump(snapshot_document(loaded, wanted)) == text
    assert published(loaded) == loaded


def scene(memory: Ledger) -> Observed:
    """A snapshot with a document of a reserve."""
    return observed(
        memory,
        live("id-1", "bot"),
        live("id-2", "bot"),
        secrets={"bot": living(), PATH: SecretMeta(latest=1, state=VersionState.LIVING)},
    )


def test_a_label_that_looks_like_such_a_path_keeps_its_name() -> None:
    """Only paths are renamed: what a label is called is the manifest's."""
    label = f"_reserve/{OPERATION}"
    memory = ledger({label: dataclasses.replace(entry("id-1", label), path="x", reserve=(kept(),))})
    assert list(published(scene(memory)).ledger.tokens) == [label]


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        (
            f'needs "update" on kv/undelete/p/{PATH}: run again',
            'needs "update" on kv/undelete/p/_reserve/*: run again',
        ),
        (f"{PATH} changed since the plan (0 -> 1)", "_reserve/* changed since the plan (0 -> 1)"),
        (f"look at {PATH}.", "look at _reserve/*."),
        (f"'{PATH}'", "'_reserve/*'"),
        ("_reserve/* is closed", "_reserve/* is closed"),
        ("prod/bot changed", "prod/bot changed"),
        ("my_reserve/x changed", "my_reserve/x changed"),
    ],
)
def test_no_sentence_names_a_document(sentence: str, told: str) -> None:
    """The folder stays, as a policy would name it."""
    assert as_told(sentence) == told
