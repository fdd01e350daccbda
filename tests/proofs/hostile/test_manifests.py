"""Manifests that are not what they should be: told in lines that harm nobody, or read
as what they say, never a third way.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler import load_schema
from reconciler.manifest import ManifestError, load_manifest
from reconciler.model import Manifest
from reconciler.plan.planner import plan
from tests.proofs.hostile.strategies import (
    ALL_OF_THEM,
    NASTY_TEXTS,
    WRONG_VALUES,
    as_yaml,
    assert_lawful,
    edits,
    manifests,
    places,
    ran,
)
from tests.support.fleet import Done
from tests.support.hostile import HOSTILE_PIECES
from tests.support.values import ledger, live, observed

HEAD = "version: 1\nmanager: a\nvault: {mount: secret, prefix: x}\n"
GOOD = {
    "version": 1,
    "profile_id": 42,
    "manager": "reconciler",
    "vault": {"mount": "secret", "prefix": "limitless/tokens"},
    "defaults": {"rotate_after": "30d", "overlap": "24h"},
    "tokens": [
        {"label": "reconciler"},
        {
            "label": "production-bot",
            "description": "market maker, eu-west",
            "scopes": ["trading", "delegated_signing"],
            "rotate_after": "90d",
            "rotate_before": "3h",
            "overlap": "2h",
            "window": ["Mon-Thu 09:00-15:00 Europe/Berlin"],
            "hold_until": "2027-01-15",
            "hold_reason": "freeze",
            "owner": "trading desk",
            "path": "prod/bot",
            "protect": True,
        },
    ],
}
SCHEMA = jsonschema.Draft202012Validator(load_schema("tokens"))

CROSS_CHECKS = re.compile(
    r"is here twice|none of the tokens|must be longer than overlap"
    r"|longer than ten years|shorter than an hour|must leave more than"
    r"|never opens|ends before it begins|time zone|in no calendar|stands without"
    r"|needs 'trading'|did you mean|can't be the path"
)
"""What only code can check; whatever else is refused, the schema must refuse too."""


def validated(folder: Path, data: bytes) -> Done:
    """``reconciler validate`` of these bytes; its law is judged."""
    (folder / "tokens.yaml").write_bytes(data)
    done = ran(folder, {}, "validate")
    assert_lawful(done)
    assert done.code in {0, 1}
    assert ("valid" in done.out) == (done.code == 0)
    return done


RAW = {
    "nothing": b"",
    "only a comment": b"# tokens\n",
    "a list": b"- a\n",
    "a text": b"tokens\n",
    "null": b"null\n",
    "random bytes": bytes(range(256)),
    "a byte order mark alone": b"\xef\xbb\xbf",
    "a byte order mark twice": b"\xef\xbb\xbf" * 2 + HEAD.encode() + b"tokens: [{label: a}]\n",
    "UTF-16": (HEAD + "tokens: [{label: a}]\n").encode("utf-16"),
    "half a surrogate pair": HEAD.encode() + b'tokens: [{label: "\\ud800"}]\n',
    "half a surrogate pair, raw": HEAD.encode() + b"tokens: [{label: \xed\xa0\x80}]\n",
    "a NUL": HEAD.encode() + b"tokens: [{label: a\x00}]\n",
    "an escaped NUL": HEAD.encode() + b'tokens: [{label: "a\\0"}]\n',
    "a tab": HEAD.encode() + b"tokens:\n\t- label: a\n",
    "an anchor and its alias": HEAD.encode() + b"tokens: [&t {label: a}, *t]\n",
    "an alias to nothing": HEAD.encode() + b"tokens: [*t]\n",
    "a merge key": HEAD.encode() + b"tokens: [{<<: {label: b}, label: a}]\n",
    "laughs": b"a: &a [x, x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(30)),
    "a tag of Python": HEAD.encode() + b"tokens: !!python/object/apply:os.system ['true']\n",
    "a binary tag": HEAD.encode() + b"tokens: [{label: !!binary aGFsbG8=}]\n",
    "a duplicate key": HEAD.encode() + b"version: 1\ntokens: [{label: a, label: b}]\n",
    "a key that is a list": HEAD.encode() + b"? [a]\n: b\n",
    "a key that is a number": HEAD.encode() + b"1: b\ntokens: [{label: a}]\n",
    "a huge number": HEAD.encode() + b"profile_id: " + b"9" * 10_000 + b"\n",
    "a number with an exponent": HEAD.encode() + b"profile_id: 1e400\n",
    "a number that is none": HEAD.encode() + b"profile_id: .nan\n",
    "a date": HEAD.encode() + b"tokens: [{label: 2026-11-22}]\n",
    "a boolean as a label": HEAD.encode() + b"tokens: [{label: on}]\n",
    "sexagesimal": HEAD.encode() + b"tokens: [{label: 1:30}]\n",
    "a block that looks like a command": HEAD.encode()
    + b"tokens:\n- label: |\n    ::error::x\n    ##[error]y\n",
    "a deep list": HEAD.encode() + b"tokens: " + b"[" * 20_000 + b"]" * 20_000 + b"\n",
    "a deep mapping": HEAD.encode() + b"tokens: " + b"{a: " * 20_000 + b"}" * 20_000 + b"\n",
    "two documents": HEAD.encode() + b"tokens: []\n---\nversion: 1\n",
    "a directive": b"%YAML 9.9\n---\n" + HEAD.encode(),
    "a very long line": HEAD.encode() + b"tokens: [{label: " + b"a" * 1_000_000 + b"}]\n",
    "thousands of problems": HEAD.encode() + b"tokens:\n" + b"- {label: '', path: //}\n" * 10_000,
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in RAW.items()])
def test_garbage_is_told(tmp_path: Path, data: bytes) -> None:
    """Every one of these is refused, each line of it fit to print, in place and in one
    go.
    """
    done = validated(tmp_path, data)
    assert done.code == 1
    assert all(
        re.match(r"tokens\.yaml:\d+:\d+: (error|warning): ", line)
        for line in done.err.splitlines()[:-1]
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["no mark", "byte order mark"])
def test_a_file_of_any_editor_is_read(tmp_path: Path, end: str, mark: str) -> None:
    """Line ends and a byte order mark change nothing."""
    text = as_yaml(GOOD).decode().replace("\n", end)
    assert validated(tmp_path, (mark + text).encode()).out == "tokens.yaml: 2 tokens, valid\n"


@pytest.mark.parametrize("place", list(places(GOOD)), ids=lambda place: ".".join(map(str, place)))
def test_a_wrong_value_anywhere(tmp_path: Path, place: tuple[str | int, ...]) -> None:
    """Each wrong value at each place: refused with its place, or good by the schema and
    the cross-checks alike.
    """
    for number, document in enumerate(edits(GOOD, place)):
        file = tmp_path / f"{number}.yaml"
        data = as_yaml(document)
        file.write_bytes(data)
        judge(file, data)


def judge(file: Path, data: bytes) -> Manifest | None:
    """The manifest if it is one; the schema and the loader must agree on that, but for
    what a schema can't say.
    """
    try:
        plain = yaml.load(data, yaml.SafeLoader)  # the safe loader: it is the second opinion
        is_fine = SCHEMA.is_valid(plain)
    except (yaml.YAMLError, ValueError, OverflowError):
        is_fine = False
    try:
        loaded = load_manifest([file])
    except ManifestError as error:
        errors = [str(problem) for problem in error.problems if problem.severity == "error"]
        assert errors
        assert all(line.isprintable() for line in errors)
        assert not is_fine or all(CROSS_CHECKS.search(line) for line in errors), (errors, data)
        return None
    assert is_fine, data
    return loaded.manifest


@settings(
    max_examples=120,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(document=manifests())
@example(document=GOOD)
def test_schema_and_loader_agree(tmp_path: Path, document: Any) -> None:
    """What the schema and the cross-checks accept loads, and what loads is what was
    written; all else is refused.
    """
    file = tmp_path / "tokens.yaml"
    data = as_yaml(document)
    file.write_bytes(data)
    found = judge(file, data)
    if found is None:
        return
    assert [token.label for token in found.tokens] == [
        token["label"] for token in document["tokens"]
    ]
    assert [set(token.scopes) for token in found.tokens] == [
        set(t.get("scopes", ["trading"])) for t in document["tokens"]
    ]
    assert [token.protect for token in found.tokens] == [
        token.get("protect") for token in document["tokens"]
    ]
    assert (found.manager, found.profile_id) == (document["manager"], document.get("profile_id"))
    (file.with_suffix(".json")).write_text(json.dumps(document))
    file.write_text(json.dumps(document))  # YAML 1.2 has JSON in it
    again = load_manifest([file]).manifest
    assert (again.tokens, again.manager, again.mount) == (found.tokens, found.manager, found.mount)


def digest(file: Path) -> str:
    """Of what would be done about a manifest in a small world."""
    found = load_manifest([file]).manifest
    seen = observed(ledger(), live("m1", "reconciler"), live("x", "other"))
    return plan(found, seen, now_ms=seen.now_ms).digest()


@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(order=st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order(tmp_path: Path, order: Any) -> None:
    """Keys, tokens and scopes in any order, in any style of YAML: the same digest."""
    file = tmp_path / "tokens.yaml"
    file.write_bytes(as_yaml(GOOD))
    expected = digest(file)

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            pairs = list(value.items())
            order.shuffle(pairs)
            return {key: shuffled(child) for key, child in pairs}
        if isinstance(value, list):
            items = [shuffled(child) for child in value]
            order.shuffle(items)
            return items
        return value

    style = {
        "default_flow_style": order.choice([True, False]),
        "indent": order.choice([2, 4, 7]),
        "width": 40,
    }
    file.write_text(yaml.safe_dump(shuffled(GOOD), sort_keys=False, **style))
    assert digest(file) == expected


ANNOTATION = re.compile(
    r"::(error|warning) (file=[^:,]*,line=[0-9]+,col=[0-9]+,)?title=reconciler::(?!.*##).+"
)


@pytest.mark.parametrize(
    "name",
    ["a block that looks like a command", "a key that is a list", "thousands of problems", "file"],
)
def test_problems_as_pipelines_show_them(tmp_path: Path, name: str) -> None:
    """GitHub's runner gets one command a line that nobody can leave, GitLab gets JSON;
    what was quoted is in both, harmless.
    """
    file = "a,b::c%0A##[error]x.yaml" if name == "file" else "tokens.yaml"
    (tmp_path / file).write_bytes(RAW.get(name, as_yaml({**GOOD, "manager": ALL_OF_THEM})))
    github = ran(tmp_path, {}, "validate", "--format", "github", file)
    assert github.code == 1
    assert 0 < len(github.out.splitlines()) <= 20
    assert all(
        line.isprintable() and ANNOTATION.fullmatch(line) for line in github.out.splitlines()
    ), github.out
    gitlab = ran(tmp_path, {}, "validate", "--format", "gitlab", file)
    assert_lawful(gitlab)
    assert all(row["description"].isprintable() for row in json.loads(gitlab.out))


YAML_PIECES = (
    ": ",
    "- ",
    "\n  ",
    "tokens:",
    "label:",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    '"',
    "'",
    "{",
    "}",
)
PIECES = st.sampled_from((*HOSTILE_PIECES, *YAML_PIECES))


@settings(
    max_examples=120,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(pieces=st.lists(PIECES, max_size=6), start=st.integers(0, 400), length=st.integers(0, 40))
def test_a_damaged_file_harms_nobody(
    tmp_path: Path, pieces: list[str], start: int, length: int
) -> None:
    """A piece of a good file replaced by anything: what ``validate`` prints can be
    shown anywhere.
    """
    text = as_yaml(GOOD).decode()
    damaged = text[:start] + "".join(pieces) + text[start + length :]
    validated(tmp_path, damaged.encode("utf-8", "surrogatepass"))


FILE_NAMES = [
    text
    for text in NASTY_TEXTS
    if text.strip() and not {"\x00", "/"} & set(text) and len(text) < 200
]


@pytest.mark.parametrize("text", FILE_NAMES)
def test_a_file_name_that_means_harm(tmp_path: Path, text: str) -> None:
    """A folder's files are named by whoever opens the pull request."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    (folder / f"{text}.yaml").write_bytes(as_yaml(GOOD))
    (folder / "two.yaml").write_bytes(as_yaml({"tokens": [{"label": text}]}))
    assert_lawful(ran(tmp_path, {}, "validate", "tokens"))
    (folder / "two.yaml").unlink()
    assert_lawful(ran(tmp_path, {}, "validate", "tokens"))
    assert_lawful(ran(tmp_path, {}, "validate", f"tokens/{text}.yaml", text))


def test_wrong_values_are_of_every_kind() -> None:
    """The list that all of this rests on has each type of JSON in it, and each text
    that means harm.
    """
    assert {type(value) for value in WRONG_VALUES} == {
        type(None),
        bool,
        int,
        float,
        str,
        list,
        dict,
    }
    assert all(text in ALL_OF_THEM for text in NASTY_TEXTS if len(text) < 200)
    assert ALL_OF_THEM in WRONG_VALUES
    assert len(list(edits(GOOD, ("version",)))) > 30
