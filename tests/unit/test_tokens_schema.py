"""The schema of the manifest: valid, complete enough to speak for itself, and the one
that decides.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import reconciler
from reconciler import load_schema
from reconciler.manifest import durations, load_manifest, sentences, windows
from reconciler.manifest import shape as manifest_shape
from reconciler.manifest.strict_yaml import Node
from reconciler.model import DEFAULT_SCOPES, MAX_LABELS, SCOPES

ROOT = Path(__file__).parents[2]
SCHEMA = load_schema("tokens")
TOKEN = {**SCHEMA["$defs"]["token"], "$defs": SCHEMA["$defs"]}


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and every schema inside it."""
    yield schema
    for key in ("properties", "$defs"):
        for child in schema.get(key, {}).values():
            yield from subschemas(child)
    if "items" in schema:
        yield from subschemas(schema["items"])


def test_the_schema_is_valid_json_schema() -> None:
    """It says that it is 2020-12, and it is."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_the_shipped_manifest_is_good() -> None:
    """The example at the top of the repository loads without a warning and shows what
    there is to show.
    """
    loaded = load_manifest([ROOT / "tokens.yaml"])
    tokens = loaded.manifest.tokens
    assert loaded.warnings == ()
    assert loaded.manifest.manager in {token.label for token in tokens}
    assert {scope for token in tokens for scope in token.scopes} == set(SCOPES)
    assert any(token.protect for token in tokens)
    assert any(token.path != token.label for token in tokens)
    assert any(token.rotate_after_ms is None for token in tokens)


def test_each_rule_has_its_sentence() -> None:
    """Whatever the schema can find wrong, the program has words for; and each pattern
    explains itself.
    """
    silent = {
        "$schema",
        "$defs",
        "$ref",
        "title",
        "description",
        "examples",
        "default",
        "patternErrorMessage",
    }
    structure = {"properties", "items", "propertyNames"}
    for schema in subschemas(SCHEMA):
        assert (
            schema.keys() <= sentences._HERE.keys() | sentences._THERE.keys() | silent | structure
        )
        assert ("pattern" in schema) == ("patternErrorMessage" in schema)
        kinds = schema.get("type", "string")
        assert {kinds} if isinstance(kinds, str) else set(kinds) <= sentences._TYPES.keys()
        assert "minItems" not in schema or "examples" in schema


def test_each_place_is_described() -> None:
    """Editors show a description at every key."""
    for schema in subschemas(SCHEMA):
        for name, child in schema.get("properties", {}).items():
            target = SCHEMA["$defs"].get(child.get("$ref", "").removeprefix("#/$defs/"), {})
            assert "description" in {**target, **child}, name


def test_the_examples_are_good() -> None:
    """Each example and each default is valid where it stands."""
    for schema in subschemas(SCHEMA):
        shown = [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]
        for example in shown:
            Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]}).validate(example)


def test_the_schema_and_the_code_know_the_same() -> None:
    """Known scopes, default scopes, default durations and the largest fleet are written
    in both, and agree.
    """
    assert SCHEMA["properties"]["tokens"]["maxItems"] == MAX_LABELS
    defaults = SCHEMA["properties"]["defaults"]["properties"]
    scopes = SCHEMA["$defs"]["token"]["properties"]["scopes"]
    assert tuple(SCHEMA["$defs"]["scope"]["examples"]) == SCOPES
    assert tuple(scopes["default"]) == DEFAULT_SCOPES
    assert defaults["rotate_after"]["default"] == durations.DEFAULT_ROTATE_AFTER
    assert defaults["rotate_before"]["default"] == durations.DEFAULT_ROTATE_BEFORE
    assert defaults["overlap"]["default"] == durations.DEFAULT_OVERLAP
    days = "|".join(windows.DAYS)
    window = SCHEMA["$defs"]["window"]
    assert window["pattern"] == window["items"]["pattern"]
    assert window["pattern"].count(f"({days})") == 4


def test_every_list_is_bounded() -> None:
    """A list longer than what is passed on to jsonschema is wrong by the schema itself;
    tokens are judged one by one.
    """
    for schema in subschemas(SCHEMA):
        if "array" in schema.get("type", "") and schema is not SCHEMA["properties"]["tokens"]:
            assert schema["maxItems"] < sentences.LONGEST_LIST


PATTERNS = ("label", "scope", "rotate_after", "rotate_before", "overlap", "window", "note", "path")


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_ends_before_a_line_end(name: str) -> None:
    """Python's $ also matches before a last line end; the patterns do not let it
    through.
    """
    rule = SCHEMA["$defs"][name]
    good = rule.get("examples", ["prod/bot"])[0]
    validator = Draft202012Validator(rule)
    assert validator.is_valid(good)
    assert not validator.is_valid(good + "\n")


def test_labels_hold_nothing_that_can_not_be_seen() -> None:
    """No control, format or surrogate character, no line separator, and no space but
    the plain one, is part of a label.
    """
    rule = Draft202012Validator(SCHEMA["$defs"]["label"])
    hidden = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    ]
    assert [ascii(char) for char in hidden if rule.is_valid(f"a{char}b")] == ["' '"]


@pytest.mark.parametrize(
    "label",
    [
        "a b",
        "\u0431\u043e\u0442",
        "\u30dc\u30c3\u30c8",
        "b\u00f6t",
        "\U0001f916",
        "a" * 128,
        "'",
        "a: b # c",
    ],
)
def test_labels_hold_any_other_character(label: str) -> None:
    """Labels of all languages are fine."""
    Draft202012Validator(SCHEMA["$defs"]["label"]).validate(label)


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("a", True),
        ("prod/bot", True),
        ("A-Z_.@:+-/0", True),
        ("a" * 256, True),
        ("a" * 257, False),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        (".", False),
        ("..", False),
        ("a/../b", False),
        ("a/.b", False),
        ("_ledger", False),
        ("a/_b", False),
        ("a b", False),
        ("a%2fb", False),
        ("a\\b", False),
        ("a?b", False),
        ("a#b", False),
        ("b\u00f6t", False),
        ("a\x00", False),
    ],
)
# the second column of the table
def test_paths_are_safe(path: str, good: bool) -> None:  # noqa: FBT001
    """A path can neither leave the prefix nor meet the ledger, whatever a client or a
    server makes of it.
    """
    assert Draft202012Validator(SCHEMA["$defs"]["path"]).is_valid(path) is good


AT = yaml.Mark("x", 0, 0, 0, None, 0)


def as_node(value: Any) -> Node:
    """JSON data as if it had been read."""
    if isinstance(value, dict):
        return Node({key: as_node(child) for key, child in value.items()}, "x", AT)
    if isinstance(value, list):
        return Node([as_node(child) for child in value], "x", AT)
    return Node(value, "x", AT, str(value))


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            "a",
            "",
            "prod/bot",
            "a//b",
            "a\n",
            "30d",
            "never",
            "Mon 09:00-15:00 UTC",
            "Mon 9:00-15:00 UTC",
            "2027-01-15",
            "trading",
            " a",
            "a" * 129,
            "a" * 1001,
            True,
            False,
            1,
            0,
            None,
        ]
    ),
    st.lists(st.sampled_from(["trading", "withdrawal", "x y", "", 1, True, None, {}]), max_size=3),
    st.lists(st.just("trading"), min_size=30, max_size=70),
    st.lists(st.sampled_from(["Mon 09:00-15:00 UTC", "Tue,Fri-Sun 00:00-24:00 CET"]), max_size=3),
    st.dictionaries(st.sampled_from(["label", "a"]), st.just("a"), max_size=1),
)
KEYS = st.sampled_from([*SCHEMA["$defs"]["token"]["properties"], "lable"])


@settings(max_examples=200, database=None)
@given(
    st.lists(st.one_of(st.dictionaries(KEYS, VALUES, max_size=5), VALUES), min_size=1, max_size=4)
)
def test_what_is_surely_right_is_what_jsonschema_allows(tokens: list[Any]) -> None:
    """The short way says of each token what jsonschema says."""
    shape = manifest_shape.Shape()
    validator = Draft202012Validator(TOKEN)
    for token in [{"label": "a", "protect": True}, {"label": "a", "protect": 1}, *tokens]:
        assert shape._is_surely_token(token) == validator.is_valid(token)


HEADS = st.dictionaries(
    st.sampled_from([*SCHEMA["properties"], "lable"]),
    st.one_of(
        VALUES,
        st.sampled_from([1.0, 42, 2**53, -1, {"mount": "m", "prefix": "p"}, {"overlap": "1h"}, []]),
    ),
    max_size=7,
)


@settings(max_examples=200, database=None)
@given(HEADS)
def test_a_head_that_is_surely_right_is_right(head: dict[str, Any]) -> None:
    """A yes of the short way is one of jsonschema, but for keys that another file may
    have.
    """
    shape = manifest_shape.Shape()
    if shape._is_surely_document(head):
        faults = Draft202012Validator(SCHEMA).iter_errors(head)
        assert [f for f in faults if f.validator != "required" or f.absolute_path] == []


def test_a_right_manifest_waits_for_no_jsonschema(tmp_path: Path) -> None:
    """It takes longer to import than all else that reads a manifest."""
    (tmp_path / "tokens.yaml").write_text(
        "version: 1\nprofile_id: 42\nmanager: a\nvault: {mount: m, prefix: p}\n"
        "defaults: {rotate_after: 30d, overlap: 2h, window: Mon 09:00-15:00 UTC}\ntokens:\n"
        "  - {label: a, scopes: [trading], path: x/a, description: d, protect: false,\n"
        "     window: ['Tue,Thu 00:00-24:00 Europe/Berlin', Mon 09:00-15:00 UTC], owner: o}\n",
        encoding="utf-8",
    )
    code = (
        "import pathlib, sys; from reconciler.manifest import load_manifest; "
        "load_manifest([pathlib.Path('tokens.yaml')]); print('jsonschema' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_a_rule_that_is_not_known_ends_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the schema ever says more than the short way understands, jsonschema is asked
    for every token.
    """
    schema = load_schema("tokens")
    schema["$defs"]["token"]["not"] = {"properties": {"label": {"const": "evil"}}}
    monkeypatch.setattr(manifest_shape, "load_schema", lambda _name: schema)
    shape = manifest_shape.Shape()
    assert not shape._is_surely_token({"label": "good"})
    assert shape.judge_token(as_node({"label": "good"})).problems == ()
    assert [*shape._errors(shape._token, {"label": "evil"})] != []


def test_a_long_list_is_cut_for_jsonschema() -> None:
    """It compares all pairs of a list that it can't sort, so a list of a pull request
    must not be as long as it likes.
    """
    assert len(manifest_shape.plain(as_node([{}] * 1000))) == sentences.LONGEST_LIST


def test_an_installed_program_finds_its_schemas(tmp_path: Path) -> None:
    """In a wheel the schemas lie inside the package, and are found there first."""
    package = tmp_path / "reconciler"
    (package / "schemas").mkdir(parents=True)
    shutil.copy(reconciler.__file__, package)
    (package / "schemas" / "x.schema.json").write_text('{"type": "null"}')
    spec = importlib.util.spec_from_file_location("installed", package / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    installed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installed)
    assert installed.load_schema("x") == {"type": "null"}
    with pytest.raises(FileNotFoundError, match="'tokens' is not part of this installation"):
        installed.load_schema("tokens")
