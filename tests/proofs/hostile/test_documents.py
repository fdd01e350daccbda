"""Documents that come back to us: the ledger, a snapshot, a saved plan; each edited at
every place, one place at a time.

Either it is refused in one sentence, or it is a document like any other: everything
that is made of it can be made, read back, and shown to anybody.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.documents import (
    dump,
    load_plan,
    load_snapshot,
    plan_document,
    report_document,
    snapshot_document,
    status_document,
)
from reconciler.errors import Exit, ReconcilerError
from reconciler.escape import safe
from reconciler.plan.change import Plan
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.status import status_of
from reconciler.protocol.outcome import failed
from reconciler.protocol.report import Report, Row
from reconciler.render.markdown import plan_markdown
from reconciler.render.status import status_text
from reconciler.render.text import plan_text, report_last_line, row_line, stale_text
from reconciler.state.ledger import Closed, Entry, IntentKind, Ledger, LedgerError, Revoking
from reconciler.state.ledger_text import from_text, text_bytes, to_text
from reconciler.state.snapshot import Content, Observed, distrust
from tests.proofs.hostile.strategies import (
    FEW_VALUES,
    NASTY_TEXTS,
    Place,
    at,
    edits,
    hostile_texts,
    places,
)
from tests.support.hostile import assert_harmless
from tests.support.values import (
    NOW_MS,
    current,
    entry,
    holder,
    intent,
    ledger,
    live,
    lost,
    manifest,
    observed,
    retiring,
    spec,
)

MEMORY = dataclasses.replace(
    ledger(
        {
            "reconciler": entry("m1", "reconciler"),
            "bot": dataclasses.replace(
                entry("t1", "bot", path="prod/bot"),
                retiring=(retiring("t0", "bot"),),
                revoking=(
                    Revoking(token_id="tr", live_label="bot", reason="rotated", path="old/bot"),
                ),
            ),
            "other": Entry(
                path="other",
                protect=True,
                intent=dataclasses.replace(
                    intent("other", kind=IntentKind.ROTATE, token_id="n1"), before=("b1",)
                ),
                current=current("o1", "other"),
            ),
        },
        holder=holder(),
        abandoned=(lost("bot"),),
    ),
    closed=(Closed(label="bot", token_id="c1", outcome="revoked", at_ms=NOW_MS),),
)
DESIRED = manifest(spec("reconciler"), spec("bot", path="prod/bot"), spec("other"), spec("new"))
TOKENS = (
    *(
        live("m1", "reconciler"),
        live("t1", "bot"),
        live("t0", "bot"),
        live("tr", "bot"),
        live("o1", "other"),
    ),
    *(live("n1", "other"), live("twin", "bot"), live("foreign", "somebody's")),
)
SEEN = observed(
    MEMORY, *TOKENS, contents={"other": Content(token_id="t1", holder_version=1)}, signer_id="m1"
)
PLAN = plan(DESIRED, SEEN, now_ms=NOW_MS, policy=Policy())

LEDGER_DOCUMENT = json.loads(to_text(MEMORY))
SNAPSHOT_DOCUMENT = json.loads(dump(snapshot_document(SEEN, manifest(spec("bot")))))
PLAN_DOCUMENT = json.loads(dump(plan_document(PLAN, guards=("a guard",), warnings=("a warning",))))


def named(place: Place) -> str:
    """The place as a test's name."""
    return ".".join(map(str, place))


def assert_told(error: ReconcilerError) -> None:
    """One sentence that can be shown anywhere, and that quotes nothing long."""
    assert_harmless(str(error))
    assert "\n" not in str(error)
    assert 20 < len(str(error)) < 500
    assert error.__cause__ is None


def assert_usable(seen: Observed) -> None:
    """All that is ever made of a snapshot can be made, shown and read back."""
    assert_harmless(safe(distrust(seen, DESIRED, max_missing=0) or ""))
    chosen = plan(DESIRED, seen, now_ms=seen.now_ms, policy=Policy())
    assert_showable(chosen)
    found = status_of(DESIRED, seen, policy=Policy())
    for text in (
        status_text(found, width=60),
        dump(status_document(found)),
        dump(snapshot_document(seen, manifest())),
    ):
        assert_harmless(text)


def assert_showable(chosen: Plan) -> None:
    """In a terminal, in a comment, in a log, as the rows of a run, and beside another
    plan.
    """
    outcome = failed("it failed", chosen.changes[0].label if chosen.changes else None)
    rows = tuple(Row(change=change, outcome=outcome) for change in chosen.changes)
    report = Report(
        run="r",
        started_at_ms=chosen.as_of_ms,
        ended_at_ms=chosen.as_of_ms,
        digest=chosen.digest(),
        rows=rows,
        holds=chosen.changes,
        not_touched=chosen.not_touched,
        exit_code=Exit.PARTIAL,
        sentence="some",
    )
    for text in (
        plan_text(chosen, width=60),
        plan_markdown(chosen),
        dump(plan_document(chosen)),
        dump(report_document(report)),
        stale_text(PLAN, chosen),
        report_last_line(report),
    ):
        assert_harmless(text)
    for row in rows:
        assert_harmless(row_line(row))
        assert "\n" not in row_line(row)


# --- the ledger ---


@pytest.mark.parametrize("place", list(places(LEDGER_DOCUMENT)), ids=named)
def test_a_ledger_edited_anywhere(place: Place) -> None:
    """Refused with the way back, or a ledger that is written again as it was read and
    that everything can be made of.
    """
    was = at(LEDGER_DOCUMENT, place)
    for document in edits(LEDGER_DOCUMENT, place):
        try:
            known = from_text(json.dumps(document))
        except LedgerError as error:
            assert_told(error)
            continue
        assert from_text(to_text(known)) == known
        assert text_bytes(known) > 0
        assert json.loads(to_text(known)).keys() == LEDGER_DOCUMENT.keys()
        now = _there(document, place)
        assert now is None or was is None or type(now) is type(was), (place, now)
        assert_usable(dataclasses.replace(SEEN, ledger=known, api_url=known.api_url))


def _there(document: Any, place: Place) -> Any:
    try:
        return at(document, place)
    except LookupError:
        return None


def test_a_ledger_cut_off_anywhere() -> None:
    """No part of a ledger is one, in front or behind, and nothing may follow it."""
    text = to_text(MEMORY)
    for cut in range(len(text)):
        for part in (text[:cut], text[cut + 1 :]):
            with pytest.raises(LedgerError) as caught:
                from_text(part)
            assert_told(caught.value)
    with pytest.raises(LedgerError):
        from_text(text + text)


@pytest.mark.parametrize("key", [*LEDGER_DOCUMENT, "bot", "path", "token_id"])
def test_a_ledger_with_a_key_twice(key: str) -> None:
    """A line that was copied would silently drop what we know of a token."""
    text = to_text(MEMORY)
    assert f'"{key}":' in text
    with pytest.raises(LedgerError) as caught:
        from_text(text.replace(f'"{key}":', f'"{key}":null,"{key}":', 1))
    assert_told(caught.value)


@settings(max_examples=30, derandomize=True, database=None)
@given(st.lists(hostile_texts(), min_size=12, max_size=12))
def test_a_ledger_full_of_hostile_texts(texts: list[str]) -> None:
    """A ledger whose labels, ids, paths and outcomes all mean harm is shown without
    doing any, and comes back the same.
    """
    (
        label,
        path,
        token_id,
        live_label,
        reason,
        run,
        who,
        outcome,
        api_url,
        file,
        scope,
        ledger_id,
    ) = texts
    known = Ledger(
        ledger_id=ledger_id,
        api_url=api_url,
        files=(file,),
        holder=dataclasses.replace(holder(run), who=who),
        tokens={
            label: Entry(
                path=path,
                current=current(token_id, live_label),
                intent=dataclasses.replace(
                    intent(path, kind=IntentKind.ROTATE),
                    before=(token_id,),
                    run=run,
                    scopes=(scope,),
                    operation_id=run,
                ),
                retiring=(
                    dataclasses.replace(retiring(token_id + "2", live_label), reason=reason),
                ),
                revoking=(
                    Revoking(
                        token_id=token_id + "3", live_label=live_label, reason=reason, path=path
                    ),
                ),
            )
        },
        closed=(Closed(label=label, token_id=token_id, outcome=outcome, at_ms=NOW_MS),),
    )
    assert from_text(to_text(known)) == known
    tokens = (
        live(token_id, live_label, scopes=(scope,)),
        live(token_id + "4", label),
        live(token_id + "5", outcome),
    )
    seen = observed(known, *tokens, signer_id=token_id)
    assert_usable(seen)
    chosen = plan(DESIRED, seen, now_ms=NOW_MS, policy=Policy())
    assert load_plan(dump(plan_document(chosen))).plan == chosen
    load_snapshot(dump(snapshot_document(seen, manifest(spec(label)))))


# --- snapshots and saved plans ---

SNAPSHOT_PLACES = [
    place
    for place in places(SNAPSHOT_DOCUMENT)
    if 1 not in place
    and 2 not in place
    and (place[0] != "ledger" or len(place) == 2)
    and "reconciler" not in place
]
"""Its ledger has tests of its own above, and one item of a list is like another."""


@pytest.mark.parametrize("place", SNAPSHOT_PLACES, ids=named)
def test_a_snapshot_edited_anywhere(place: Place) -> None:
    """Refused in a sentence, or as good as any other."""
    for document in edits(SNAPSHOT_DOCUMENT, place, FEW_VALUES):
        try:
            seen = load_snapshot(json.dumps(document)).observed
        except ReconcilerError as error:
            assert_told(error)
            continue
        assert_usable(seen)


ROWS = {
    next(n for n, row in enumerate(PLAN_DOCUMENT["changes"]) if row[side])
    for side in ("before", "after")
}
PLAN_PLACES = [
    p for p in places(PLAN_DOCUMENT) if p[:1] != ("changes",) or len(p) == 1 or p[1] in ROWS
]


@pytest.mark.parametrize("place", PLAN_PLACES, ids=named)
def test_a_saved_plan_edited_anywhere(place: Place) -> None:
    """Refused, or only words differ: what would be done, and to what, is what its
    digest says.
    """
    for document in edits(PLAN_DOCUMENT, place, FEW_VALUES):
        try:
            saved = load_plan(json.dumps(document))
        except ReconcilerError as error:
            assert_told(error)
            continue
        assert saved.digest == PLAN.digest()
        assert stale_text(saved.plan, PLAN) == ""
        assert_showable(saved.plan)


@pytest.mark.parametrize("document", [PLAN_DOCUMENT, SNAPSHOT_DOCUMENT], ids=["plan", "snapshot"])
def test_a_document_with_a_key_twice_or_cut_off(document: dict[str, Any]) -> None:
    """Two readers may read it differently, so nobody reads it."""
    text = dump(document)
    load = load_plan if document is PLAN_DOCUMENT else load_snapshot
    cuts = [text[:cut] for cut in range(0, len(text) - 2, 97)]
    for broken in [
        *cuts,
        *(text.replace(f'"{key}":', f'"{key}": null, "{key}":', 1) for key in document),
        "\ufeff" + text,
    ]:
        with pytest.raises(ReconcilerError) as caught:
            load(broken)
        assert_told(caught.value)


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_guards_and_warnings_may_quote_anything(text: str) -> None:
    """They are sentences about labels and files, so what they quote means harm too."""
    for rendered in (
        plan_text(PLAN, guards=(text,), warnings=(text,), width=60),
        plan_markdown(PLAN, guards=(text,)),
    ):
        assert_harmless(rendered)
