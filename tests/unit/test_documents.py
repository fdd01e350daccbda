"""Claims about the JSON documents: what is in them, what is taken back, and what is
refused with a sentence.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from jsonschema import Draft202012Validator

from reconciler import load_schema
from reconciler.documents import (
    dump,
    load_plan,
    load_snapshot,
    plan_document,
    report_document,
    snapshot_document,
    status_document,
    statuses_document,
)
from reconciler.documents.json import _written_out
from reconciler.documents.plan import SavedPlan
from reconciler.errors import Exit, PlanStaleError, ReconcilerError
from reconciler.manifest import parse_window
from reconciler.model import (
    DAY_MS,
    NEVER_WRITTEN,
    SECOND_MS,
    LiveToken,
    Secret,
    SecretMeta,
    VersionState,
    instant_ms,
    iso,
)
from reconciler.plan.change import Change, NotTouched, Plan, Selection, Side
from reconciler.plan.guards import Policy
from reconciler.plan.needs import NeedKind
from reconciler.plan.planner import plan
from reconciler.plan.states import State
from reconciler.plan.status import status_of
from reconciler.plan.vocabulary import CATEGORIES, Action, Category, Reason
from reconciler.protocol.outcome import Ending, applied, failed, held, not_tried
from reconciler.protocol.report import Report, Row
from reconciler.state.ledger import Holder
from reconciler.state.ledger_text import from_text
from reconciler.state.lost import lost_in
from reconciler.state.snapshot import Content, Kind, Observed, classify, distrust
from reconciler.state.times import spread_ms
from tests.support.hostile import text_without_surrogates
from tests.support.values import (
    API_URL,
    NOW_MS,
    PLACE,
    entry,
    holder,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    spec,
)
from tests.support.worlds import Scene, scenes

QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

UNDATED = {"created_at": None, "ends_at": None, "life_ms": None, "kept": None}
"""The metadata of a version whose time of writing nobody told."""

DOCUMENTS = ("plan", "report", "status", "statuses", "snapshot")

ROTATE = Change(
    label="bot",
    action=Action.ROTATE,
    reason=Reason.SCOPES_WIDENED,
    before=Side(path="bot", token_id="id-1", scopes=("trading",), version=3),
    after=Side(path="bot", scopes=("trading", "withdrawal"), version=3),
    note="+withdrawal",
)
UNPROTECT = Change(
    label="bot",
    action=Action.RECORD,
    reason=Reason.PROTECT_OFF,
    before=Side(path="bot", protect=True),
    after=Side(path="bot", protect=False),
)
HOLD = Change(label="new", action=Action.HOLD, reason=Reason.TWIN, note="id-9")
KEEP = Change(label="other", action=Action.KEEP, reason=Reason.IN_SYNC)
TWIN = NotTouched(token_id="id-9", label="new", kind=Kind.TWIN, probably_ours=True)
FOREIGN = NotTouched(token_id="id-8", label=None, kind=Kind.FOREIGN)

NO_MORE: dict[str, object] = {"overlap_ms": None, "files": []}


def a_plan(**other: Any) -> Plan:
    """A plan with one row of most kinds."""
    values: dict[str, Any] = {
        "as_of_ms": NOW_MS,
        "api_url": API_URL,
        "ledger_id": "ledger-1",
        "profile_id": 42,
        "selection": Selection(
            targets=frozenset({"bot", "other"}), excluded=frozenset({"x"}), only=Category.CONFIG
        ),
        "changes": (UNPROTECT, ROTATE, HOLD, KEEP),
        "not_touched": (TWIN, FOREIGN),
        "foreign_unnamed": 2,
        **other,
    }
    return Plan(**values)


def a_report() -> Report:
    """A report with each way to end."""
    return Report(
        run="run-1",
        started_at_ms=NOW_MS,
        ended_at_ms=NOW_MS + SECOND_MS,
        digest="sha256:" + "0" * 64,
        rows=(
            Row(change=ROTATE, outcome=applied("rotated", "id-2")),
            Row(change=UNPROTECT, outcome=failed("the ledger can't be written")),
            Row(change=ROTATE, outcome=held("it changed")),
            Row(change=ROTATE, outcome=not_tried("stopped")),
            Row(change=ROTATE, outcome=not_tried("stopped")),
        ),
        holds=(HOLD,),
        not_touched=(TWIN,),
        exit_code=Exit.PARTIAL,
        sentence="some changes are not done",
    )


def closed(schema: Any) -> Any:
    """The schema with every object closed: what a document may not have without being
    described.
    """
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        return (
            {**inner, "additionalProperties": False}
            if inner.get("additionalProperties") is True
            else inner
        )
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def check(name: str, document: dict[str, Any]) -> None:
    """The document is what its schema describes, and nothing more."""
    Draft202012Validator(closed(load_schema(name))).validate(json.loads(dump(document)))


# --- schemas ---


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schema_is_valid_and_describes_every_key(name: str) -> None:
    """Each schema is a JSON Schema 2020-12, names its format, and says of every key
    what it means.
    """
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["document"]["const"] == f"reconciler {name}"
    later = {"plan", "snapshot", "report", "status"}
    assert schema["properties"]["format_version"]["const"] == (2 if name in later else 1)

    def undescribed(node: Any, where: str) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.get("properties", {}).items():
                if "description" not in value and "$ref" not in value and "ledger" not in where:
                    yield f"{where}/{key}"
            for key, value in node.items():
                yield from undescribed(value, f"{where}/{key}")

    assert list(undescribed(schema, name)) == []


def words(kind: type[Any]) -> list[str]:
    """The members of an enumeration as a document writes them."""
    return [str(member.value).replace(" ", "_") for member in kind]


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("plan", ("action",), words(Action)),
        ("plan", ("reason",), words(Reason)),
        ("plan", ("change", "category"), words(Category)),
        ("plan", ("not_touched", "kind"), ["twin", "foreign"]),
        ("report", ("action",), words(Action)),
        ("report", ("reason",), words(Reason)),
        ("report", ("row", "status"), words(Ending)),
        ("status", ("token", "state"), words(State)),
        ("status", ("token", "reason"), words(Reason)),
        ("status", ("need", "kind"), words(NeedKind)),
        ("snapshot", ("meta", "state"), words(VersionState)),
    ],
)
def test_schema_lists_the_same_words_as_the_program(
    name: str, place: tuple[str, ...], expected: list[str]
) -> None:
    """A member that is added to an enumeration has to be added to the schema too."""
    node: Any = load_schema(name)["$defs"][place[0]]
    for key in place[1:]:
        node = node["properties"][key]
    assert expected == node.get("enum", node.get("examples"))


def test_no_value_behind_a_document_can_hold_a_secret() -> None:
    """No type that is reachable from what documents are made of is a Secret."""
    # the type, beside the function of the same name
    from reconciler.plan.status import Status  # noqa: PLC0415

    seen: set[Any] = set()

    def visit(kind: Any) -> None:
        if kind in seen:
            return
        seen.add(kind)
        for part in typing.get_args(kind):
            visit(part)
        if dataclasses.is_dataclass(kind):
            for hint in typing.get_type_hints(kind).values():
                visit(hint)

    for kind in (Plan, Report, Observed, Status):
        visit(kind)
    assert LiveToken in seen
    assert Secret not in seen


# --- text ---


@QUICK
@given(text_without_surrogates())
@example("##[error] ##vso[x] ###")
@example("\x1b[31m\u202e\u2028")
def test_dump_is_ascii_and_gives_ci_runners_no_command(text: str) -> None:
    """Whatever a label holds, the JSON is plain ASCII without ``##``, starts no line
    with ``::``, and reads back the same.
    """
    document = {"label": text, text: [text]}
    out = dump(document)
    assert out.isascii()
    assert "##" not in out
    assert not any(line.strip().startswith("::") for line in out.splitlines())
    assert all(char == "\n" or char.isprintable() for char in out)
    assert json.loads(out) == document


# --- plan ---


def test_plan_document_is_whole() -> None:
    """Every key of the document, for a plan with one row of most kinds."""
    policy = Policy(max_revocations=9, allow_empty=True, replace=frozenset({"b", "a"}))
    document = plan_document(a_plan(), policy=policy, guards=("too much",), warnings=("odd",))
    assert document == {
        "document": "reconciler plan",
        "format_version": 2,
        "digest": a_plan().digest(),
        "as_of": "2026-11-22T08:30:00.000Z",
        "as_of_unix": 1_795_336_200,
        "api_url": "https://api.example",
        "ledger_id": "ledger-1",
        "profile_id": 42,
        "selection": {"targets": ["bot", "other"], "excluded": ["x"], "only": "config"},
        "flags": {
            "max_revocations": 9,
            "max_rotations": 10,
            "max_missing": 1,
            "allow_empty": True,
            "allow_missing_manager": False,
            "allow_missing_files": False,
            "revoke_in_use": False,
            "revoke_unproven": False,
            "ledger_restored": False,
            "retry_scopes": False,
            "allow_older_manifest": False,
            "revoke_now": [],
            "replace": ["a", "b"],
        },
        "capabilities": "not checked",
        "summary": {
            "recover": 0,
            "rename": 0,
            "record": 1,
            "restore": 0,
            "rewrite": 0,
            "derive": 0,
            "rotate": 1,
            "promote": 0,
            "retire": 0,
            "revoke": 0,
            "stock": 0,
            "hold": 1,
            "keep": 1,
            "not_touched": 4,
        },
        "changes": [
            {
                "label": "bot",
                "action": "record",
                "reason": "protect_off",
                "needs_identity": False,
                "category": "config",
                "sentence": "NO LONGER protected",
                "note": "",
                "before": {
                    "path": "bot",
                    "token_id": None,
                    "scopes": [],
                    "version": None,
                    "protect": True,
                    **NO_MORE,
                },
                "after": {
                    "path": "bot",
                    "token_id": None,
                    "scopes": [],
                    "version": None,
                    "protect": False,
                    **NO_MORE,
                },
            },
            {
                "label": "bot",
                "action": "rotate",
                "reason": "scopes_widened",
                "needs_identity": True,
                "category": "config",
                "sentence": "scopes widened",
                "note": "+withdrawal",
                "before": {
                    "path": "bot",
                    "token_id": "id-1",
                    "scopes": ["trading"],
                    "version": 3,
                    "protect": None,
                    **NO_MORE,
                },
                "after": {
                    "path": "bot",
                    "token_id": None,
                    "scopes": ["trading", "withdrawal"],
                    "version": 3,
                    "protect": None,
                    **NO_MORE,
                },
            },
            {
                "label": "new",
                "action": "hold",
                "reason": "twin",
                "needs_identity": False,
                "category": "config",
                "sentence": "a token with this label lives that we did not derive: "
                "adopt it, or --replace the label",
                "note": "id-9",
                "before": None,
                "after": None,
            },
            {
                "label": "other",
                "action": "keep",
                "reason": "in_sync",
                "needs_identity": False,
                "category": "config",
                "sentence": "as it should be",
                "note": "",
                "before": None,
                "after": None,
            },
        ],
        "not_touched": [
            {"token_id": "id-9", "label": "new", "kind": "twin", "probably_ours": True},
            {"token_id": "id-8", "label": None, "kind": "foreign", "probably_ours": False},
        ],
        "foreign_unnamed": 2,
        "guards": ["too much"],
        "warnings": ["odd"],
    }
    check("plan", document)


@QUICK
@given(scenes(text_without_surrogates()))
def test_a_saved_plan_comes_back_whole(scene: Scene) -> None:
    """Whatever the state and the labels: the loaded plan is the saved one, by value and
    by digest.
    """
    policy = Policy(max_rotations=1, revoke_in_use=True, replace=frozenset({"bot"}))
    made = plan(scene.desired, scene.observed, now_ms=NOW_MS, policy=policy)
    document = plan_document(made, policy=policy, guards=("no",))
    check("plan", document)
    saved = SavedPlan(
        digest=made.digest(), as_of_ms=NOW_MS, plan=made, policy=policy, guards=("no",)
    )
    assert saved == load_plan(dump(document))


def test_the_same_plan_gives_the_same_bytes() -> None:
    """The order in which sets were filled does not show."""
    one = a_plan(selection=Selection(targets=frozenset(["a", "b", "c", "d"])))
    other = a_plan(selection=Selection(targets=frozenset(["d", "c", "b", "a"])))
    assert dump(plan_document(one)) == dump(plan_document(other))


def edited(change: Callable[[dict[str, Any]], None]) -> str:
    """The saved plan after somebody changed something in it."""
    document = copy.deepcopy(plan_document(a_plan()))
    change(document)
    return dump(document)


def put(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    """Set the value at a path."""

    def change(document: dict[str, Any]) -> None:
        node: Any = document
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = to

    return change


BY_DIGEST = "the plan was edited by hand (its digest is not that of its content): plan again"


@pytest.mark.parametrize(
    "change",
    [
        put("changes", 1, "label", to="tob"),
        put("changes", 1, "action", to="revoke"),
        put("changes", 1, "reason", to="due"),
        put("changes", 1, "before", "token_id", to="id-2"),
        put("changes", 1, "before", "path", to="elsewhere"),
        put("changes", 1, "before", "version", to=4),
        put("changes", 1, "after", "scopes", to=["trading"]),
        put("changes", 0, "after", "protect", to=True),
        put("changes", 1, "before", to=None),
        put("changes", 2, "action", to="revoke"),
        put("changes", to=[]),
        put("selection", "targets", to=["bot"]),
        put("selection", "excluded", to=[]),
        put("selection", "only", to=None),
        put("profile_id", to=43),
        put("api_url", to="https://elsewhere.example"),
        put("ledger_id", to="ledger-2"),
        put("digest", to="sha256:" + "0" * 64),
    ],
)
def test_an_edited_plan_is_stale(change: Callable[[dict[str, Any]], None]) -> None:
    """Anything that an approval is bound to can't be changed in the file."""
    with pytest.raises(PlanStaleError) as caught:
        load_plan(edited(change))
    assert str(caught.value) == BY_DIGEST
    assert caught.value.exit_code is Exit.STALE


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        pytest.param(
            edited(put("format_version", to=3)),
            PlanStaleError,
            (
                "the plan was saved in format 3, this program knows format 2: "
                "plan again with the version that applies"
            ),
            id="newer",
        ),
        pytest.param(
            edited(put("format_version", to=1)),
            PlanStaleError,
            (
                "the plan was saved in format 1, this program knows format 2: "
                "plan again with the version that applies"
            ),
            id="older",
        ),
        pytest.param(
            edited(put("format_version", to=True)),
            PlanStaleError,
            (
                "the plan was saved in format unknown, this program knows format 2: "
                "plan again with the version that applies"
            ),
            id="no number",
        ),
        pytest.param(
            edited(put("changes", 1, "action", to="explode")),
            PlanStaleError,
            "the plan was edited by hand or made by another version (see `changes`): plan again",
            id="unknown action",
        ),
        pytest.param(
            edited(put("changes", 1, "before", "version", to=3.5)),
            PlanStaleError,
            "the plan was edited by hand or made by another version (see `changes`): plan again",
            id="fraction",
        ),
        pytest.param(
            edited(put("changes", 1, "before", "version", to=3.0)),
            PlanStaleError,
            "the plan was edited by hand or made by another version (see `changes`): plan again",
            id="a whole number as a fraction",
        ),
        pytest.param(
            edited(put("extra", to=1)),
            PlanStaleError,
            (
                "the plan was edited by hand or made by another version (a key of it is missing or "
                "unknown): plan again"
            ),
            id="unknown key",
        ),
        pytest.param(
            edited(lambda document: document.pop("guards")),
            PlanStaleError,
            (
                "the plan was edited by hand or made by another version (a key of it is missing or "
                "unknown): plan again"
            ),
            id="missing key",
        ),
        pytest.param(
            edited(put("as_of", to="2026-13-22T08:30:00.000Z")),
            PlanStaleError,
            "the plan was edited by hand (a value in it can't be): plan again",
            id="no such day",
        ),
        *(
            pytest.param(
                text,
                ReconcilerError,
                "this is not a plan: it can't be read as JSON (another file, or cut off?); "
                "save it with `reconciler plan --out`",
                id=name,
            )
            for name, text in {
                "empty": "",
                "cut off": dump(plan_document(a_plan()))[:-20],
                "yaml": "version: 1\ntokens: []\n",
                "key twice": dump(plan_document(a_plan())).replace(
                    '"changes": [', '"changes": [], "changes": [', 1
                ),
                "not a number": edited(put("profile_id", to="NUMBER")).replace('"NUMBER"', "NaN"),
                "endless nesting": "[" * 100_000,
                "endless digits": "1" * 10_000,
                "half a surrogate pair": edited(put("changes", 2, "note", to="\ud83d")),
            }.items()
        ),
        *(
            pytest.param(
                text,
                ReconcilerError,
                f"this is not a plan but {what}: save it with `reconciler plan --out`",
                id=what,
            )
            for what, text in {
                "JSON of something else": '{"format_version": "1.2", "terraform_version": "1.9"}',
                "a report": dump(report_document(a_report())),
                "a snapshot": dump(snapshot_document(observed(ledger()), manifest())),
            }.items()
        ),
        pytest.param(
            "[1]",
            ReconcilerError,
            "this is not a plan but JSON of something else: save it with `reconciler plan --out`",
        ),
        pytest.param(
            '{"document": {}}',
            ReconcilerError,
            "this is not a plan but JSON of something else: save it with `reconciler plan --out`",
        ),
    ],
)
def test_what_is_no_plan_of_ours_is_refused_with_a_sentence(
    text: str, kind: type[ReconcilerError], expected: str
) -> None:
    """Each wrong file is named for what it is; only a plan of ours that can't be
    trusted is stale (exit 3).
    """
    with pytest.raises(ReconcilerError) as caught:
        load_plan(text)
    assert (expected, kind) == (str(caught.value), type(caught.value))


def test_no_depth_of_nesting_is_more_than_an_error() -> None:
    """Wherever the interpreter gives up, a sentence comes out of it."""
    text = edited(put("changes", 1, "note", to="DEEP"))
    for depth in range(900, 1000):
        with pytest.raises(ReconcilerError):
            load_plan(text.replace('"DEEP"', "[" * depth + "]" * depth))


def test_the_times_and_words_of_a_plan_are_not_part_of_its_digest() -> None:
    """as_of, notes, holds and keeps may differ between two plans that do the same."""
    saved = load_plan(edited(put("as_of", to="2026-11-22T09:00:00.000Z")))
    assert saved.digest == a_plan().digest()
    assert saved.as_of_ms == instant_ms("2026-11-22T09:00:00.000Z")


# --- report ---


def test_report_document_is_whole() -> None:
    """Every key of the document; what the plan held counts as held."""
    document = report_document(a_report())
    rows = document.pop("rows")
    holds = document.pop("holds")
    assert document == {
        "document": "reconciler report",
        "format_version": 2,
        "run": "run-1",
        "started_at": "2026-11-22T08:30:00.000Z",
        "started_at_unix": 1_795_336_200,
        "ended_at": "2026-11-22T08:30:01.000Z",
        "ended_at_unix": 1_795_336_201,
        "digest": "sha256:" + "0" * 64,
        "exit_code": 5,
        "sentence": "some changes are not done",
        "summary": {"applied": 1, "failed": 1, "held": 2, "not_tried": 2},
        "not_touched": [
            {"token_id": "id-9", "label": "new", "kind": "twin", "probably_ours": True}
        ],
    }
    changes = plan_document(a_plan())["changes"]
    assert rows == [
        {
            **changes[1],
            "status": "applied",
            "outcome": "rotated",
            "token_id": "id-2",
            "revoked": [],
        },
        {
            **changes[0],
            "status": "failed",
            "outcome": "the ledger can't be written",
            "token_id": None,
            "revoked": [],
        },
        {**changes[1], "status": "held", "outcome": "it changed", "token_id": None, "revoked": []},
        {
            **changes[1],
            "status": "not_tried",
            "outcome": "stopped",
            "token_id": None,
            "revoked": [],
        },
        {
            **changes[1],
            "status": "not_tried",
            "outcome": "stopped",
            "token_id": None,
            "revoked": [],
        },
    ]
    assert holds == [changes[2]]
    check("report", report_document(a_report()))


def test_report_counts_are_in_the_order_of_the_contract() -> None:
    """Applied, failed, held, not tried."""
    assert list(a_report().counts().items()) == [
        (Ending.APPLIED, 1),
        (Ending.FAILED, 1),
        (Ending.HELD, 2),
        (Ending.NOT_TRIED, 2),
    ]


# --- status ---


@QUICK
@given(scenes(text_without_surrogates()))
def test_status_document_is_what_its_schema_says(scene: Scene) -> None:
    """Whatever the state."""
    check("status", status_document(status_of(scene.desired, scene.observed)))


def instants_without_seconds(shape: Any) -> list[str]:
    """The properties of a schema that are instants and have no twin in seconds."""
    if isinstance(shape, list):
        return [name for part in shape for name in instants_without_seconds(part)]
    if not isinstance(shape, dict):
        return []
    properties = shape.get("properties", {})
    found = [
        name
        for name, prop in properties.items()
        if "#/$defs/instant" in json.dumps(prop) and f"{name}_unix" not in properties
    ]
    return found + [name for part in shape.values() for name in instants_without_seconds(part)]


@pytest.mark.parametrize("name", ["plan", "report", "status", "history"])
def test_every_instant_is_there_in_seconds_too(name: str) -> None:
    """So that jq and shells need no surgery on text."""
    assert instants_without_seconds(load_schema(name)) == []
    assert "taken_at" in instants_without_seconds(load_schema("snapshot")), "the finder finds"


def test_status_document_says_instants_as_text_and_lengths_as_milliseconds() -> None:
    """One token, whole."""
    seen = observed(ledger({"bot": entry("id-1", "bot")}), live("id-1", "bot"))
    (token,) = status_document(status_of(manifest(spec("bot")), seen))["tokens"]
    assert token == {
        "label": "bot",
        "state": "ok",
        "reason": "in_sync",
        "sentence": "as it should be",
        "note": "",
        "desired": True,
        "manager": False,
        "protect": False,
        "path": "bot",
        "token_id": "id-1",
        "live": True,
        "scopes": ["trading"],
        "wanted_scopes": ["trading"],
        "scopes_differ": False,
        "created_at": "2026-11-21T08:30:00.000Z",
        "created_at_unix": 1_795_249_800,
        "age_ms": 86_400_000,
        "rotate_after_ms": 2_592_000_000,
        "due_at": iso(NOW_MS + 29 * DAY_MS - spread_ms("bot", 30 * DAY_MS)),
        "due_at_unix": (NOW_MS + 29 * DAY_MS - spread_ms("bot", 30 * DAY_MS)) // SECOND_MS,
        "window": [],
        "opens_at": None,
        "opens_at_unix": None,
        "hold_until": None,
        "hold_until_unix": None,
        "hold_reason": "",
        "owner": "",
        "last_used_at": None,
        "last_used_at_unix": None,
        "verified_at": "2026-11-21T08:30:00.000Z",
        "verified_at_unix": 1_795_249_800,
        "used_since_verify": False,
        "version": 1,
        "latest_version": 1,
        "in_place": True,
        "predecessors": [],
        "reserve": [],
        "reserve_wanted": 0,
        "unattended_until": iso(NOW_MS + 29 * DAY_MS - spread_ms("bot", 30 * DAY_MS)),
        "unattended_until_unix": (NOW_MS + 29 * DAY_MS - spread_ms("bot", 30 * DAY_MS))
        // SECOND_MS,
        "revoking": [],
        "intent": None,
    }


# --- snapshot ---


def a_snapshot() -> Observed:
    """A snapshot with tokens of ours and of others, a lease, and a closer look."""
    return observed(
        ledger({"bot": entry("id-1", "bot")}, holder=holder()),
        live("id-7", "somebody"),
        live("id-2", "new", scopes=("withdrawal",)),
        live("id-1", "bot", unused_for_ms=SECOND_MS),
        secrets={
            "bot": SecretMeta(latest=2, state=VersionState.DELETED, oldest=1),
            "new": NEVER_WRITTEN,
            "x": living(),
        },
        contents={"bot": Content(holder_version=1), "x": Content(token_id="id-7")},
        signer_id="id-1",
        foreign_unnamed=3,
    )


def a_wish(label: str) -> dict[str, Any]:
    """A wanted token as a snapshot says it."""
    return {
        "label": label,
        "scopes": ["trading"],
        "path": label,
        "rotate_after_ms": 30 * DAY_MS,
        "overlap_ms": DAY_MS,
        "protect": None,
        "fields": [],
        "was": None,
        "description": "",
        "reserve": 0,
        "reserve_age_ms": 120 * DAY_MS,
        "rotate_before_ms": 0,
        "windows": [],
        "hold_until": None,
        "hold_reason": "",
        "owner": "",
    }


def test_snapshot_document_is_whole() -> None:
    """Every key; of others only the number, of the lease only whose and until when."""
    document = snapshot_document(a_snapshot(), manifest(spec("bot"), spec("new")))
    remembered = document["ledger"]
    assert remembered["holder"] == {"run": "run-9", "expires_at": "2026-11-22T08:31:00.000Z"}
    assert from_text(json.dumps({**remembered, "holder": None})) == dataclasses.replace(
        a_snapshot().ledger, holder=None
    )
    assert {**document, "ledger": None} == {
        "document": "reconciler snapshot",
        "format_version": 2,
        "taken_at": "2026-11-22T08:30:00.000Z",
        "api_url": "https://api.example",
        "place": "secret/p",
        "desired": {
            "profile_id": 42,
            "manager": "reconciler",
            "mount": "secret",
            "prefix": "p",
            "files": ["tokens.yaml"],
            "tokens": [a_wish("bot"), a_wish("new")],
        },
        "signer_id": "id-1",
        "ledger": None,
        "ledger_version": 7,
        "live": [
            {
                "token_id": "id-1",
                "label": "bot",
                "scopes": ["trading"],
                "created_at": "2026-11-21T08:30:00.000Z",
                "last_used_at": "2026-11-22T08:29:59.000Z",
            },
            {
                "token_id": "id-2",
                "label": "new",
                "scopes": ["withdrawal"],
                "created_at": "2026-11-21T08:30:00.000Z",
                "last_used_at": None,
            },
        ],
        "foreign_unnamed": 4,
        "doubt": 0,
        "secrets": {
            "bot": {**UNDATED, "latest": 2, "state": "deleted", "oldest": 1},
            "new": {**UNDATED, "latest": 0, "state": "absent", "oldest": 0},
            "x": {**UNDATED, "latest": 1, "state": "living", "oldest": 1},
        },
        "contents": {
            "bot": {"token_id": None, "holder_version": 1, "placeholder": False, "readable": True},
            "x": {"token_id": None, "holder_version": None, "placeholder": False, "readable": True},
        },
    }
    check("snapshot", document)


def as_published(made: Plan) -> Plan:
    """A plan as it looks from a snapshot: foreign tokens counted, and no word of where
    another run is at work.
    """
    named = tuple(row for row in made.not_touched if row.kind is not Kind.FOREIGN)
    return dataclasses.replace(
        made,
        not_touched=named,
        foreign_unnamed=made.foreign_unnamed + len(made.not_touched) - len(named),
        changes=tuple(
            dataclasses.replace(c, note="") if c.reason is Reason.IN_PROGRESS else c
            for c in made.changes
        ),
    )


@QUICK
@given(scenes(text_without_surrogates()))
def test_a_plan_from_a_snapshot_is_the_plan(scene: Scene) -> None:
    """Whatever the state, the plan from the published snapshot is the plan from the
    real thing, foreign tokens counted.
    """
    labels = frozenset(wanted.label for wanted in scene.desired.tokens)
    text = dump(snapshot_document(scene.observed, scene.desired))
    check("snapshot", json.loads(text))
    assert load_snapshot(text, parse_window).desired == scene.desired
    loaded = load_snapshot(text).observed
    for policy in (Policy(), Policy(replace=labels, requested=labels, max_rotations=0)):
        made = plan(scene.desired, scene.observed, now_ms=NOW_MS, policy=policy)
        again = plan(scene.desired, loaded, now_ms=loaded.now_ms, policy=policy)
        assert as_published(made) == as_published(again)
        assert made.digest() == again.digest()
    assert dump(snapshot_document(loaded, scene.desired)) == text


@QUICK
@given(scenes())
def test_a_snapshot_names_nobody_elses_token(scene: Scene) -> None:
    """Neither the ids nor the labels of foreign tokens stand anywhere in it, save of
    one that a derive without an answer may have made.
    """
    observed = scene.observed
    labels = frozenset(wanted.label for wanted in scene.desired.tokens)
    kinds = classify(observed, labels)
    text = dump(snapshot_document(observed, scene.desired))
    foreign = [token for token in observed.live if kinds[token.token_id] is Kind.FOREIGN]
    unnamed = [token for token in foreign if lost_in(observed.ledger)(token) is None]
    assert "foreign-label-" not in text
    assert all(f'"{token.token_id}"' not in text for token in unnamed)
    assert json.loads(text)["foreign_unnamed"] == len(unnamed)
    assert "build-7" not in text


def test_a_foreign_signer_is_not_named_and_not_missed() -> None:
    """A list that was signed with a pinned token of nobody's is believed as it was: the
    trust was checked when it was made.
    """
    seen = observed(
        ledger({"bot": entry("id-1", "bot")}),
        live("id-1", "bot"),
        live("id-5", "pinned"),
        signer_id="id-5",
    )
    loaded = load_snapshot(dump(snapshot_document(seen, manifest(spec("bot"))))).observed
    assert loaded.signer_id is None
    assert distrust(seen, manifest(spec("bot")), max_missing=0) is None
    assert distrust(loaded, manifest(spec("bot")), max_missing=0) is None


def test_a_secret_that_holds_a_vanished_predecessor_is_seen() -> None:
    """An id of ours in a closer look stays named though the exchange lists it no more:
    the plan holds for a person.
    """
    old = dataclasses.replace(entry("id-1", "bot"), retiring=(retiring("id-0", "bot"),))
    moved = SecretMeta(latest=2, state=VersionState.LIVING)
    contents = {"bot": Content(token_id="id-0", holder_version=1)}
    seen = observed(
        ledger({"bot": old}), live("id-1", "bot"), secrets={"bot": moved}, contents=contents
    )
    loaded = load_snapshot(dump(snapshot_document(seen, manifest(spec("bot"))))).observed
    assert loaded.contents == contents
    assert Reason.ROLLED_BACK in {
        c.reason for c in plan(manifest(spec("bot")), loaded, now_ms=NOW_MS).changes
    }


def test_a_run_in_progress_is_seen_in_a_snapshot() -> None:
    """Whose lease it is and until when, but not the machine it runs on."""
    loaded = load_snapshot(dump(snapshot_document(a_snapshot(), manifest()))).observed
    assert loaded.ledger.holder == Holder(
        run="run-9", write="", who="(not published)", expires_at_ms=NOW_MS + 60 * SECOND_MS
    )


def changed_snapshot(*path: str | int, to: Any) -> str:
    """The snapshot after somebody changed something in it."""
    document = json.loads(dump(snapshot_document(a_snapshot(), manifest(spec("bot"), spec("new")))))
    put(*path, to=to)(document)
    return dump(document)


AGAIN = "take it again with `reconciler observe --out`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            (
                "this is not a snapshot: it can't be read as JSON (another file, or cut off?); "
                f"{AGAIN}"
            ),
        ),
        (dump(plan_document(a_plan())), f"this is not a snapshot but a plan: {AGAIN}"),
        (
            changed_snapshot("format_version", to=9),
            f"the snapshot has format 9, this program knows format 2: {AGAIN} of this version",
        ),
        (
            changed_snapshot("format_version", to=10**4000),
            (
                f"the snapshot has format unknown, this program knows format 2: {AGAIN} of this "
                "version"
            ),
        ),
        (
            changed_snapshot("live", 0, "created_at", to="yesterday"),
            f"the snapshot was edited by hand or made by another version (see `live`): {AGAIN}",
        ),
        (
            changed_snapshot("live", 0, "created_at", to="2026-02-31T00:00:00.000Z"),
            f"the snapshot was edited by hand (a value in it can't be): {AGAIN}",
        ),
        (
            changed_snapshot("secrets", "bot", "latest", to=-1),
            f"the snapshot was edited by hand or made by another version (see `secrets`): {AGAIN}",
        ),
        (
            changed_snapshot("secrets", "bot", "secret", to="c2VjcmV0"),
            f"the snapshot was edited by hand or made by another version (see `secrets`): {AGAIN}",
        ),
        (
            changed_snapshot("desired", "mount", to="other"),
            f"the snapshot was edited by hand (a value in it can't be): {AGAIN}",
        ),
        (
            changed_snapshot("desired", "tokens", 1, "label", to="bot"),
            f"the snapshot was edited by hand (a value in it can't be): {AGAIN}",
        ),
        (
            changed_snapshot("desired", "tokens", 0, "scopes", to="trading"),
            f"the snapshot was edited by hand or made by another version (see `desired`): {AGAIN}",
        ),
        (
            changed_snapshot("ledger", "schema", to=3),
            f"the ledger in the snapshot can't be read by this version: {AGAIN}",
        ),
        (
            changed_snapshot("ledger", "tokens", "bot", to=[]),
            f"the ledger in the snapshot can't be read by this version: {AGAIN}",
        ),
        (
            changed_snapshot("ledger", "tokens", "bot", "current", "version", to=1.5),
            f"the ledger in the snapshot can't be read by this version: {AGAIN}",
        ),
        (
            changed_snapshot("ledger", "odd", to="DEEP").replace('"DEEP"', "[" * 400 + "]" * 400),
            "",
        ),
    ],
)
def test_what_is_no_snapshot_of_ours_is_refused_with_a_sentence(text: str, expected: str) -> None:
    """Each wrong file is named for what it is; a key of the ledger that is unknown is
    left alone, as in Vault.
    """
    if not expected:
        assert load_snapshot(text).observed.ledger_version == 7
        return
    with pytest.raises(ReconcilerError) as caught:
        load_snapshot(text)
    assert (expected, ReconcilerError) == (str(caught.value), type(caught.value))


def test_a_snapshot_of_an_older_program_says_nothing_of_what_was_wanted() -> None:
    """It can be planned from all the same, with a manifest."""
    document = snapshot_document(a_snapshot(), manifest(spec("bot")))
    del document["desired"]
    loaded = load_snapshot(dump(document))
    assert loaded.desired is None
    assert loaded.observed.place == PLACE


def test_a_window_is_read_by_whom_the_reader_says() -> None:
    """As text in the document; without a reader there is none; a bad one is refused."""
    window = parse_window("Mon-Thu 09:00-15:00 Europe/Berlin")
    wanted = manifest(dataclasses.replace(spec("bot"), windows=(window,)))
    document = snapshot_document(a_snapshot(), wanted)
    assert document["desired"]["tokens"][0]["windows"] == [window.text]
    assert load_snapshot(dump(document), parse_window).desired == wanted
    without = load_snapshot(dump(document)).desired
    assert without is not None
    assert without.tokens[0].windows == ()
    document["desired"]["tokens"][0]["windows"] = ["always"]
    with pytest.raises(ReconcilerError, match="a value in it can't be"):
        load_snapshot(dump(document), parse_window)


def test_a_key_that_an_older_program_did_not_write_is_silence() -> None:
    """A snapshot from before an upgrade stays good for a plan and for a status."""
    wanted = manifest(spec("bot"))
    document = snapshot_document(a_snapshot(), wanted)
    written = dict(document["desired"]["tokens"][0])
    required = load_schema("snapshot")["$defs"]["spec"]["required"]
    for key in written.keys() - set(required):
        document["desired"]["tokens"][0] = {k: v for k, v in written.items() if k != key}
        assert load_snapshot(dump(document)).desired == wanted, key


@pytest.mark.parametrize("name", ["plan", "snapshot"])
def test_a_schema_is_written_out_whole(name: str) -> None:
    """No reference is left in it, and none leads back to itself."""
    schema = load_schema(name)
    assert '"$ref"' in json.dumps(schema)
    whole = _written_out(schema, schema["$defs"])
    assert '"$ref"' not in json.dumps(whole)
    Draft202012Validator.check_schema(whole)


def test_several_statuses_are_one_document() -> None:
    """Each is as if it were alone."""
    found = status_of(manifest(spec("bot")), a_snapshot())
    document = statuses_document((found, found))
    check("statuses", document)
    for one in document["statuses"]:
        check("status", one)


def test_documents_have_a_category_for_every_reason() -> None:
    """No reason makes a document fail."""
    for reason in Reason:
        change = Change(label="x", action=Action.KEEP, reason=reason)
        (row,) = plan_document(a_plan(changes=(change,)))["changes"]
        assert row["category"] == CATEGORIES[reason].value
