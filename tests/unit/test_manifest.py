"""The manifest: what is accepted, and every problem at its place, word for word."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import Exit, Mark, Problem, UsageError
from reconciler.manifest import (
    Loaded,
    ManifestError,
    Pins,
    files,
    load_manifest,
    parse_duration_ms,
    strict_yaml,
)
from reconciler.manifest.load import NO_PINS
from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MAX_LABELS,
    MINUTE_MS,
    Manifest,
    TokenSpec,
)

NO_FILE = "there is no such file - check the path, or write one with `reconciler init`"

HEAD = "version: 1\nmanager: m\nvault: {mount: secret, prefix: limitless}\n"
FIRST = "tokens:\n- label: m\n"  # what follows begins in line 6
UNSAFE = (
    "only segments of A-Z a-z 0-9 _ . @ : + - joined by single slashes, none of them "
    "starting with . or _"
)
SAME_NAME = "is the token's label as well - leave it out, or write the former label"
HIDDEN = "it may not hold control characters, invisible characters or unusual spaces"
LOADERS = [pytest.param(yaml.CSafeLoader, id="libyaml"), pytest.param(yaml.SafeLoader, id="python")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the test runs in, so that paths are as a user gives them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str | bytes, pins: Pins = NO_PINS) -> Loaded:
    """Loads a manifest of this content."""
    Path("tokens.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_manifest([Path("tokens.yaml")], pins=pins)


def told(load_it: Callable[[], Loaded]) -> list[str]:
    """What is told of a manifest, line by line, without the name of the one file."""
    refused = False
    try:
        problems = load_it().warnings
    except ManifestError as error:
        refused = True
        problems = error.problems
    assert refused == any(problem.severity == "error" for problem in problems)
    return [str(problem).removeprefix("tokens.yaml:") for problem in problems]


def test_a_manifest_becomes_values(folder: Path) -> None:
    """Everything that a manifest can say arrives, with defaults filled in, silence kept
    and places remembered.
    """
    loaded = load("""\
# a comment
version: 1
profile_id: 42
manager: reconciler
vault:
  mount: secret
  prefix: limitless/tokens
defaults:
  rotate_after: 90m
  overlap: 0s
tokens:
  - label: reconciler
  - label: production-bot
    description: >
      market maker,
      eu-west
    scopes: [trading, delegated_signing, account_creation]
    rotate_after: 90d
    overlap: 2h
    path: prod/bot
    protect: true
  - {scopes: [withdrawal], label: 'été 1', path: x, protect: false, rotate_after: never}
""")
    assert loaded == Loaded(
        manifest=Manifest(
            profile_id=42,
            manager="reconciler",
            mount="secret",
            prefix="limitless/tokens",
            tokens=(
                TokenSpec(
                    label="reconciler",
                    scopes=("trading",),
                    path="reconciler",
                    rotate_after_ms=90 * MINUTE_MS,
                    overlap_ms=0,
                ),
                TokenSpec(
                    label="production-bot",
                    scopes=("account_creation", "delegated_signing", "trading"),
                    path="prod/bot",
                    rotate_after_ms=90 * DAY_MS,
                    overlap_ms=2 * HOUR_MS,
                    protect=True,
                    description="market maker, eu-west",
                ),
                TokenSpec(
                    label="été 1",
                    scopes=("withdrawal",),
                    path="x",
                    rotate_after_ms=None,
                    overlap_ms=0,
                    protect=False,
                ),
            ),
            files=("tokens.yaml",),
        ),
        warnings=(),
    )
    assert [token.mark for token in loaded.manifest.tokens] == [
        Mark(file="tokens.yaml", line=12, column=5),
        Mark(file="tokens.yaml", line=13, column=5),
        Mark(file="tokens.yaml", line=22, column=5),
    ]


def test_what_is_left_out(folder: Path) -> None:
    """No profile, no defaults: any profile, 30 days, 26 hours."""
    (token,) = load(HEAD + FIRST).manifest.tokens
    assert load(HEAD + FIRST).manifest.profile_id is None
    assert (token.rotate_after_ms, token.overlap_ms) == (30 * DAY_MS, 26 * HOUR_MS)
    assert token.protect is None


def test_short_overlaps(folder: Path) -> None:
    """Tokens that a websocket may outlive are told once, where the first one stands;
    only ``validate`` asks. The manager has no websocket.
    """
    rest = "- {label: b, overlap: 23h}\n- {label: c, overlap: 24h}\n"
    start = HEAD + "defaults: {overlap: 1h}\n" + FIRST + rest
    for text, about in (
        (start, "'b'"),
        (start + "- label: d\n", "'b' and 1 other token"),
        (start + "- label: d\n- label: e\n", "'b' and 2 other tokens"),
    ):
        loaded = load(text)
        assert loaded.warnings == ()
        (told_of,) = loaded.short_overlaps()
        began = f"tokens.yaml:7:3: warning: the overlap of {about} is less than 24h"
        assert str(told_of).startswith(began)
    assert load(HEAD + FIRST + "- label: b\n").short_overlaps() == ()


def test_further_names(folder: Path) -> None:
    """A token's own names are added to the manifest's, and go before them."""
    text = HEAD.replace("prefix: limitless", "prefix: limitless, fields: {A: token_id, B: secret}")
    assert text != HEAD
    loaded = load(text + FIRST + "- {label: b, fields: {B: label, C: scopes}}\n")
    first, second = loaded.manifest.tokens
    assert first.fields == ("A=token_id", "B=secret")
    assert second.fields == ("A=token_id", "B=label", "C=scopes")
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("written", "told_of"),
    [
        ("{secret: token_id}", "6:23: error: fields: name 'secret' - a further name is letters"),
        ("{a-b: token_id}", "6:23: error: fields: name 'a-b' - a further name is letters"),
        ("{1a: token_id}", "6:23: error: fields: name '1a' - a further name is letters"),
        ("{A: token}", "6:26: error: fields.A must be one of token_id, secret, label"),
        ("{A: [secret]}", "6:26: error: fields.A must be text such as token_id, not a list"),
        ("[A]", "6:22: error: fields must be a mapping"),
        (f"{{{'A' * 129}: secret}}", "it must have at most 128 characters"),
        (
            "{LIMITLESS_API_KEY: secret}",
            "6:23: warning: every SDK reads LIMITLESS_API_KEY as a key of the old kind",
        ),
    ],
)
def test_bad_further_names(folder: Path, written: str, told_of: str) -> None:
    """One clear sentence at the name or at its source."""
    lines = told(lambda: load(HEAD + FIRST + f"- {{label: b, fields: {written}}}\n"))
    assert len(lines) == 1
    assert told_of in lines[0]


def test_no_tokens_at_all_is_for_a_guard_to_judge(folder: Path) -> None:
    """An empty list loads, and then the manager can't be one of the tokens."""
    assert load(HEAD + "tokens: []\n").manifest.tokens == ()


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("0s", 0),
        ("90s", 90_000),
        ("5m", 300_000),
        ("24h", 86_400_000),
        ("30d", 30 * DAY_MS),
        ("2w", 14 * DAY_MS),
        ("never", None),
    ],
)
def test_durations(text: str, length_ms: int | None) -> None:
    """A whole number and a unit, or never."""
    assert parse_duration_ms(text) == length_ms


@pytest.mark.parametrize(
    "text",
    ["", "30", "d", "-1d", "1.5h", "1 h", "1h30m", "1H", "Never", "30d\n", "٣d", "1" * 11 + "s"],
)
def test_no_durations(text: str) -> None:
    """Anything else is refused, never guessed."""
    with pytest.raises(
        ValueError,
        match="is no duration: write a whole number followed by s, m, h, d or w, or never",
    ):
        parse_duration_ms(text)


# What is added to HEAD and FIRST, and all that is then told.
TOKENS: list[tuple[str, list[str]]] = [
    ("- label: a\n- label: b\n", []),
    # keys
    ("- lable: a\n", ["6:3: error: unknown key 'lable' - did you mean 'label'?"]),
    (
        "- label: a\n  url: x\n",
        [
            (
                "7:3: error: unknown key 'url' - known here: label, description, owner, scopes, "
                "rotate_after, rotate_before, overlap, window, hold_until, hold_reason, reserve, "
                "path, fields, was, protect"
            ),
        ],
    ),
    ("- scopes: [trading]\n", ["6:3: error: this token has no label - add one"]),
    (
        "- label: a\n  label: b\n",
        ["7:3: error: the key 'label' is here twice - the first is at tokens.yaml:6:3"],
    ),
    (
        "- {label: a, 'label': a}\n",
        ["6:14: error: the key 'label' is here twice - the first is at tokens.yaml:6:4"],
    ),
    ("- {}\n", ["6:3: error: this token has no label - add one"]),
    ("- a\n", ["6:3: error: this token must be a mapping (key: value), not the text 'a'"]),
    ("- [a]\n", ["6:3: error: this token must be a mapping (key: value), not a list"]),
    ("- 5\n", ["6:3: error: this token must be a mapping (key: value), not 5"]),
    ("- ~\n", ["6:3: error: this token has no value - write a mapping (key: value), or remove it"]),
    # labels
    (
        "- label: ''\n",
        ["6:10: error: label must have at least 1 character - write text such as production-bot"],
    ),
    (f"- label: {'a' * 129}\n", ["6:10: error: label must have at most 128 characters, not 129"]),
    (
        "- label: cafe\u0301\n  path: cafe\n",
        [
            (
                "6:10: error: label 'cafe\u0301' holds decomposed characters (not NFC), which"
                " an exchange may compose - write 'caf\u00e9', typed anew"
            ),
        ],
    ),
    (
        '- label: "a\\tb"\n',
        [
            f"6:10: error: label 'a\\tb' - {HIDDEN}, nor begin or end with a space",
        ],
    ),
    (
        "- {label: ' a', path: a}\n",
        [
            f"6:11: error: label ' a' - {HIDDEN}, nor begin or end with a space",
        ],
    ),
    (
        '- {label: "a\\u202eb", path: a}\n',
        [
            f"6:11: error: label 'a\\u202eb' - {HIDDEN}, nor begin or end with a space",
        ],
    ),
    ("- label: m\n", ["6:10: error: label 'm' is here twice - the first is at tokens.yaml:5:10"]),
    (
        """\
- {label: a, was: a}
- {label: b, was: c}
- {label: d, was: c}
- {label: e, was: f}
- {label: f, was: e}
- {label: g, was: ' h'}
""",
        [
            f"6:19: error: was 'a' {SAME_NAME}",
            "8:19: error: was 'c' is here twice - the first is at tokens.yaml:7:19",
            "9:19: error: was 'f' is the label of a token, at tokens.yaml:10:11 - it can't be both",
            "10:19: error: was 'e' is the label of a token, at tokens.yaml:9:11 - it can't be both",
            f"11:19: error: was ' h' - {HIDDEN}, nor begin or end with a space",
        ],
    ),
    (
        "- label: m\n  path: m\n",
        ["6:10: error: label 'm' is here twice - the first is at tokens.yaml:5:10"],
    ),
    (
        "- label:\n",
        ["6:3: error: label has no value - write text such as production-bot, or remove it"],
    ),
    ("- label: [a]\n", ["6:10: error: label must be text such as production-bot, not a list"]),
    # what YAML makes of plain text
    *[
        (
            f"- {{label: {text}}}\n",
            [
                (
                    f"6:11: error: label must be text, and YAML reads {text} as {kind} - put "
                    f"it in quotes: '{text}'"
                )
            ],
        )
        for text, kind in {
            "on": "a boolean",
            "No": "a boolean",
            "true": "a boolean",
            "FALSE": "a boolean",
            "123": "a number",
            "-7": "a number",
            "0x1f": "a number",
            "017": "a number",
            "0o17": "a number",
            "1_000": "a number",
            "1.5": "a number",
            "1e3": "a number",
            ".inf": "a number",
            "1:30": "a number",
            "9" * 30: "a number",
            "2026-01-01": "a date",
            "=": "a special value",
        }.items()
    ],
    (
        (
            "- label: 'on'\n- label: \"123\"\n- label: 2026-01\n- label: y\n- label: "
            "1.2.3\n- label: -a\n"
        ),
        [],
    ),
    (
        "- label: a\n  path: 2026\n",
        [
            (
                "7:9: error: path must be text, and YAML reads 2026 as a number - put it in "
                "quotes: '2026'"
            )
        ],
    ),
    (
        "- label: a\n  scopes: [on]\n",
        [
            (
                "7:12: error: scope must be text, and YAML reads on as a boolean - put it in "
                "quotes: 'on'"
            )
        ],
    ),
    # descriptions
    ("- label: a\n  description: |\n    two\n    lines\n", []),
    (
        '- label: a\n  description: "\\e[31m"\n',
        [
            f"7:16: error: description '\\x1b[31m' - {HIDDEN}",
        ],
    ),
    # paths
    (
        "- label: a b\n",
        ["6:10: error: label 'a b' can't be the path in Vault too - add a path such as prod/bot"],
    ),
    (
        "- label: _a\n",
        ["6:10: error: label '_a' can't be the path in Vault too - add a path such as prod/bot"],
    ),
    ("- label: _a\n  path: a\n- label: b/c\n", []),
    ("- label: a\n- label: a/b\n- label: c\n  path: a/b/c\n", []),
    (
        "- label: a\n  path: m\n",
        ["7:9: error: path 'm' is here twice - the first is at tokens.yaml:5:10"],
    ),
    (
        "- label: a\n  path: b\n- label: b\n",
        ["8:10: error: path 'b' is here twice - the first is at tokens.yaml:7:9"],
    ),
    *[
        (
            f"- label: a\n  path: {path!r}\n",
            [
                f"7:9: error: path {path!r} - {UNSAFE}",
            ],
        )
        for path in ("", "/a", "a/", "a//b", "..", "a/../b", "_ledger", "a/_b", ".a", "a b", "ä")
    ],
    # scopes
    ("- label: a\n  scopes: [withdrawal]\n", []),
    ("- label: a\n  scopes: [tradng]\n", ["7:12: error: scope 'tradng' - did you mean 'trading'?"]),
    (
        "- label: a\n  scopes: [TRADING, account-creation]\n",
        [
            "7:12: error: scope 'TRADING' - did you mean 'trading'?",
            "7:21: error: scope 'account-creation' - did you mean 'account_creation'?",
        ],
    ),
    (
        "- label: a\n  scopes: [margin]\n",
        ["7:12: warning: scope 'margin' is not known here - the exchange may know it"],
    ),
    (
        (
            "- label: a\n  scopes: [margin]\n- label: b\n  scopes: [margin, trading]\n- "
            "label: c\n  scopes: [margin]\n"
        ),
        [
            "7:12: warning: scope 'margin' is not known here (3 times) - the exchange may know it",
        ],
    ),
    (
        "- label: a\n  scopes: [trading_v2]\n",
        ["7:12: warning: scope 'trading_v2' is not known here - did you mean 'trading'?"],
    ),
    (
        "- label: a\n  scopes: [account_creation, delegated_signing]\n",
        [
            "7:30: error: scope 'delegated_signing' needs 'trading' in the same token - add it",
        ],
    ),
    (
        "- label: a\n  scopes: [delegated_signing, tradng]\n",
        ["7:31: error: scope 'tradng' - did you mean 'trading'?"],
    ),
    (
        "- label: a\n  scopes:\n  - trading\n  - trading\n",
        ["9:5: error: scope 'trading' is here twice - the first is at tokens.yaml:8:5"],
    ),
    (
        "- label: a\n  scopes: []\n",
        ["7:11: error: scopes must have at least 1 item - write [trading], or remove it"],
    ),
    (
        "- label: a\n  scopes: trading\n",
        ["7:11: error: scopes must be a list such as [trading], not the text 'trading'"],
    ),
    (
        "- label: a\n  scopes:\n",
        ["7:3: error: scopes has no value - write a list such as [trading], or remove it"],
    ),
    ("- label: a\n  scopes: [trading, ]\n", []),
    (
        "- label: a\n  scopes: ['a b', tradng, 5]\n",
        [
            (
                "7:12: error: scope 'a b' - a scope is one word of printable ASCII without "
                "comma, quote or backslash"
            ),
            "7:19: error: scope 'tradng' - did you mean 'trading'?",
            "7:27: error: scope must be text, and YAML reads 5 as a number - put it in quotes: '5'",
        ],
    ),
    # durations
    (
        "- label: a\n  rotate_after: 30\n",
        ["7:17: error: rotate_after must be text such as 30d, not 30"],
    ),
    (
        "- label: a\n  rotate_after: '30'\n",
        [
            (
                "7:17: error: rotate_after '30' - write a whole number followed by s, m, h, "
                "d or w, as in 30d; or never"
            ),
        ],
    ),
    (
        "- label: a\n  overlap: never\n",
        [
            (
                "7:12: error: overlap 'never' - write a whole number followed by s, m, h, d "
                "or w, as in 26h"
            )
        ],
    ),
    (
        "- label: a\n  rotate_after: 59m\n  overlap: 0s\n",
        ["7:17: error: rotate_after 59m is shorter than an hour - write 1h or more"],
    ),
    ("- label: a\n  rotate_after: 3600s\n  overlap: 0s\n", []),
    (
        "- label: a\n  rotate_after: 3651d\n",
        ["7:17: error: rotate_after 3651d is longer than ten years - write less, or never"],
    ),
    (
        "- label: a\n  overlap: 9999999999w\n",
        ["7:12: error: overlap 9999999999w is longer than ten years - write less"],
    ),
    ("- label: a\n  rotate_after: 3650d\n  overlap: 3284d\n", []),
    (
        "- label: a\n  rotate_after: 2h\n  overlap: 120m\n",
        [
            "7:17: error: rotate_after 2h must be longer than overlap 120m - change one of them",
        ],
    ),
    (
        "- label: a\n  overlap: 5w\n",
        [
            (
                "7:12: error: rotate_after 30d (built in) must be longer than overlap 5w - "
                "change one of them"
            ),
        ],
    ),
    ("- label: a\n  rotate_after: never\n  overlap: 5w\n", []),
    # protect
    ("- label: a\n  protect: yes\n", ["7:12: error: protect must be true or false, not yes"]),
    (
        "- label: a\n  protect: 'true'\n",
        ["7:12: error: protect must be true or false, not the text 'true'"],
    ),
    ("- label: a\n  protect: 1\n", ["7:12: error: protect must be true or false, not 1"]),
    (
        "- label: a\n  protect:\n",
        ["7:3: error: protect has no value - write true or false, or remove it"],
    ),
    ("- label: a\n  protect: False\n", []),
    # YAML that is more than data
    (
        "- label: &a a\n- label: *a\n",
        [
            (
                "6:10: error: anchors ('&a') are not supported - write the value out where "
                "it is needed"
            ),
            "7:10: error: aliases ('*a') are not supported - write the value out",
        ],
    ),
    (
        "- &a\n  label: a\n- <<: *a\n  label: b\n",
        [
            "6:3: error: anchors ('&a') are not supported - write the value out where it is needed",
            "8:3: error: merge keys (<<) are not supported - write the keys out",
            "8:7: error: aliases ('*a') are not supported - write the value out",
        ],
    ),
    (
        "- label: !!str 5\n- !x\n  label: b\n- label: ! c\n",
        [
            "6:10: error: tags ('!!str') are not supported - remove it",
            "7:3: error: tags ('!x') are not supported - remove it",
            "9:10: error: tags ('!') are not supported - remove it",
        ],
    ),
    # all at once, in order
    (
        "- label: a\n  path: ../x\n  scops: []\n- label: a\n  scopes: [tradng]\n  overlap: x\n",
        [
            f"7:9: error: path '../x' - {UNSAFE}",
            "8:3: error: unknown key 'scops' - did you mean 'scopes'?",
            "9:10: error: label 'a' is here twice - the first is at tokens.yaml:6:10",
            "10:12: error: scope 'tradng' - did you mean 'trading'?",
            (
                "11:12: error: overlap 'x' - write a whole number followed by s, m, h, d or "
                "w, as in 26h"
            ),
        ],
    ),
]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("text", "expected"), TOKENS)
def test_tokens(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loader: type, text: str, expected: list[str]
) -> None:
    """Each rule for a token is told at the value or key that breaks it, the same with
    and without libyaml.
    """
    monkeypatch.setattr(strict_yaml, "_LOADER", loader)
    assert told(lambda: load(HEAD + FIRST + text)) == expected


def test_too_many_scopes(folder: Path) -> None:
    """A list is bounded, and however long it is, it is told once."""
    scopes = ", ".join(f"s{number}" for number in range(90))
    lines = told(lambda: load(f"{HEAD}{FIRST}- label: a\n  scopes: [{scopes}]\n"))
    assert [line for line in lines if "error" in line] == [
        "7:11: error: scopes must have at most 32 items, not 90"
    ]


# Whole manifests, and all that is told of them.
HEADS: list[tuple[str, list[str]]] = [
    ("{version: 1, manager: m, vault: {mount: a/b, prefix: c}, tokens: [{label: m}]}", []),
    (
        "tokens: []\n",
        [
            "1:1: error: the manifest has no manager - add it",
            "1:1: error: the manifest has no vault - add it",
            "1:1: error: the manifest has no version - add it",
        ],
    ),
    (HEAD, ["1:1: error: the manifest has no tokens - add it"]),
    (
        HEAD.replace("manager", "manger") + FIRST,
        ["2:1: error: unknown key 'manger' - did you mean 'manager'?"],
    ),
    (
        HEAD + FIRST + "api_url: https://evil.example\n",
        [
            (
                "6:1: error: unknown key 'api_url' - known here: version, profile_id, "
                "manager, vault, defaults, tokens"
            ),
        ],
    ),
    (
        HEAD + "version: 1\n" + FIRST,
        ["4:1: error: the key 'version' is here twice - the first is at tokens.yaml:1:1"],
    ),
    (HEAD.replace("1", "2") + FIRST, ["1:10: error: version must be 1, not 2"]),
    (
        HEAD.replace("1", "'1'") + FIRST,
        ["1:10: error: version must be a whole number in plain digits, not the text '1'"],
    ),
    (
        HEAD.replace("1", "1.0") + FIRST,
        ["1:10: error: version must be a whole number in plain digits, not 1.0"],
    ),
    (
        HEAD.replace("m\n", "\n", 1) + FIRST,
        ["2:1: error: manager has no value - write text such as production-bot, or remove it"],
    ),
    (
        HEAD.replace("r: m", "r: x") + FIRST,
        ["2:10: error: manager 'x' is none of the tokens - add a token with this label"],
    ),
    (
        HEAD.replace("r: m", "r: x") + "tokens: [{lable: x}, {label: y}]\n",
        [
            "4:11: error: unknown key 'lable' - did you mean 'label'?",
        ],
    ),
    (
        HEAD.replace("r: m", "r: reconcilr") + FIRST + "- label: reconciler\n",
        [
            "2:10: error: manager 'reconcilr' is none of the tokens - did you mean 'reconciler'?",
        ],
    ),
    (
        HEAD.replace("r: m", "r: 12") + FIRST,
        [
            (
                "2:10: error: manager must be text, and YAML reads 12 as a number - put it "
                "in quotes: '12'"
            )
        ],
    ),
    (HEAD + "profile_id: 42\n" + FIRST, []),
    (HEAD + "profile_id: 0\n" + FIRST, ["4:13: error: profile_id must be at least 1, not 0"]),
    (
        HEAD + "profile_id: 9007199254740992\n" + FIRST,
        [
            "4:13: error: profile_id must be at most 9007199254740991, not 9007199254740992",
        ],
    ),
    *[
        (
            f"{HEAD}profile_id: {number}\n{FIRST}",
            [
                (
                    "4:13: error: profile_id must be a whole number in plain digits such as "
                    f"42, not {number}"
                ),
            ],
        )
        for number in ("042", "0x2a", "4_2", "1:42", "+42", "42.0", "true")
    ],
    (
        HEAD + "profile_id: '42'\n" + FIRST,
        [
            (
                "4:13: error: profile_id must be a whole number in plain digits such as 42, "
                "not the text '42'"
            ),
        ],
    ),
    (
        "version: 1\nmanager: m\nvault: secret\n" + FIRST,
        [
            (
                "3:8: error: vault must be a mapping (key: value) "
                "such as {mount: secret, prefix: limitless/tokens}, not the text 'secret'"
            ),
        ],
    ),
    (
        "version: 1\nmanager: m\nvault:\n  mount: secret\n" + FIRST,
        ["4:3: error: vault has no prefix - add one such as limitless/tokens"],
    ),
    (
        "version: 1\nmanager: m\nvault: {}\n" + FIRST,
        [
            "3:8: error: vault has no mount - add one such as secret",
            "3:8: error: vault has no prefix - add one such as limitless/tokens",
        ],
    ),
    (
        HEAD.replace("limitless", "_x/y").replace("secret", "a/../b") + FIRST,
        [
            f"3:16: error: vault.mount 'a/../b' - {UNSAFE}",
            f"3:32: error: vault.prefix '_x/y' - {UNSAFE}",
        ],
    ),
    (
        HEAD.replace("secret,", "secret, address: 'https://evil.example',") + FIRST,
        [
            "3:24: error: unknown key 'address' - known here: mount, prefix, fields",
        ],
    ),
    (
        HEAD + "defaults:\n" + FIRST,
        [
            (
                "4:1: error: defaults has no value - write a mapping (key: value) "
                "such as {rotate_after: 30d, overlap: 26h}, or remove it"
            ),
        ],
    ),
    (HEAD + "defaults: {}\n" + FIRST, []),
    (
        HEAD + "defaults: {rotate_after: soon, overlap: 10, path: x}\n" + FIRST,
        [
            (
                "4:26: error: defaults.rotate_after 'soon' - write a whole number followed "
                "by s, m, h, d or w, as in 30d; or never"
            ),
            "4:41: error: defaults.overlap must be text such as 26h, not 10",
            (
                "4:45: error: unknown key 'path' - known here: rotate_after, rotate_before, "
                "overlap, window, reserve, reserve_age"
            ),
        ],
    ),
    (
        HEAD + "defaults: {rotate_after: 12h}\n" + FIRST + "- label: a\n",
        [
            (
                "4:26: error: rotate_after 12h (from defaults) must be longer than overlap "
                "26h (built in) - change one of them"
            ),
        ],
    ),
    (
        HEAD + "defaults: {overlap: 30d}\n" + FIRST,
        [
            (
                "4:21: error: rotate_after 30d (built in) must be longer than overlap 30d "
                "(from defaults) - change one of them"
            ),
        ],
    ),
    (HEAD + "defaults: {rotate_after: 12h}\n" + FIRST + "  overlap: 1h\n", []),
    (
        HEAD + "defaults: {rotate_after: 12h, overlap: 1h}\n" + FIRST + "  overlap: 12h\n",
        [
            (
                "7:12: error: rotate_after 12h (from defaults) must be longer than overlap "
                "12h - change one of them"
            ),
        ],
    ),
    (HEAD + "tokens:\n", ["4:1: error: tokens has no value - write a list, or remove it"]),
    (HEAD + "tokens: {label: m}\n", ["4:9: error: tokens must be a list, not a mapping"]),
    ("- a\n", ["1:1: error: the manifest must be a mapping (key: value), not a list"]),
    ("hello\n", ["1:1: error: the manifest must be a mapping (key: value), not the text 'hello'"]),
    (
        "---\n",
        ["2:1: error: the manifest has no value - write a mapping (key: value), or remove it"],
    ),
    ("--- # one document with a mark before it\n" + HEAD + FIRST + "...\n", []),
    ("%YAML 1.2\n---\n" + HEAD + FIRST, []),
    ("\ufeff" + HEAD + FIRST, []),
    ((HEAD + FIRST).replace("\n", "\r\n"), []),
    (
        (HEAD + FIRST + "- label: a b").replace("\n", "\r\n"),
        [
            "6:10: error: label 'a b' can't be the path in Vault too - add a path such as prod/bot",
        ],
    ),
    ("\ufeffversion: 2\n" + HEAD[11:] + FIRST, ["1:10: error: version must be 1, not 2"]),
    (
        "{'été été': 1, x: 1}",
        [
            "1:1: error: the manifest has no manager - add it",
            "1:1: error: the manifest has no tokens - add it",
            "1:1: error: the manifest has no vault - add it",
            "1:1: error: the manifest has no version - add it",
            (
                "1:2: error: unknown key 'été été' - known here: version, profile_id, "
                "manager, vault, defaults, tokens"
            ),
            (
                "1:16: error: unknown key 'x' - known here: version, profile_id, manager, "
                "vault, defaults, tokens"
            ),
        ],
    ),
]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("text", "expected"), HEADS)
def test_heads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loader: type, text: str, expected: list[str]
) -> None:
    """Each rule for the head is told at its place; what is missing, at the beginning of
    the file.
    """
    monkeypatch.setattr(strict_yaml, "_LOADER", loader)
    assert told(lambda: load(text)) == expected


# Content that can't be read to its end, and the one line that is told of it.
UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "1:1: error: the file is empty - a manifest begins with 'version: 1'"),
    (
        b"# only\n# comments\n",
        "1:1: error: the file is empty - a manifest begins with 'version: 1'",
    ),
    (
        b"a: 1\n---\nb: 2\n",
        "2:1: error: a second document begins here - put it in a file of its own, or remove '---'",
    ),
    (
        b"a: {b: {c: [{d: " + b"[" * 100,
        "1:28: error: nested deeper than 16 levels - this is no manifest",
    ),
    (b"a: b\n\tc: d\n", "2:1: error: not valid YAML (a tab) - indent with spaces"),
    (
        b"a: [1, 2\nb: 3\n",
        (
            "2:2: error: not valid YAML (while parsing a flow sequence, did not find "
            "expected ',' or ']') - correct the line"
        ),
    ),
    (
        b"a: b: c\n",
        (
            "1:5: error: not valid YAML (mapping values are not allowed in this context) - "
            "correct the line"
        ),
    ),
    (
        b"a: 'b\n",
        (
            "2:1: error: not valid YAML (while scanning a quoted scalar, found unexpected "
            "end of stream) - correct the line"
        ),
    ),
    (
        b"a: {{ value }}\n",
        (
            "1:5: error: a key must be plain text, not a mapping, list or alias - put text "
            "with braces in quotes"
        ),
    ),
    (
        b"? [a]\n: b\n",
        (
            "1:3: error: a key must be plain text, not a mapping, list or alias - put text "
            "with braces in quotes"
        ),
    ),
    (
        b"{*a : b}\n",
        (
            "1:2: error: a key must be plain text, not a mapping, list or alias - put text "
            "with braces in quotes"
        ),
    ),
    (
        b"a: b\nc: d\x00e\n",
        "2:5: error: the character U+0000 may not stand in YAML - is this a text file?",
    ),
    (
        b"a: \xc3\xa9\x1b[31m",
        "1:5: error: the character U+001B may not stand in YAML - is this a text file?",
    ),
    (
        b"\x7fELF\x02\x01\x01",
        "1:1: error: the character U+007F may not stand in YAML - is this a text file?",
    ),
    (
        b"a: b\n# \xc3\xa9 \xe9t\xe9\n",
        "2:5: error: the byte 0xe9 here is not UTF-8 - save the file as UTF-8",
    ),
    (b"a: \xed\xa0\x80\n", "1:4: error: the byte 0xed here is not UTF-8 - save the file as UTF-8"),
    ("a: b\n".encode("utf-16"), "1:1: error: this is UTF-16 or UTF-32 - save the file as UTF-8"),
    ("a: b\n".encode("utf-32"), "1:1: error: this is UTF-16 or UTF-32 - save the file as UTF-8"),
    (b"\xfe\xff\x00a", "1:1: error: this is UTF-16 or UTF-32 - save the file as UTF-8"),
]


@pytest.mark.parametrize(("data", "expected"), UNREADABLE)
def test_what_can_not_be_read_is_told_in_one_line(folder: Path, data: bytes, expected: str) -> None:
    """Broken, binary, foreign or hostile content is one clear line, with nothing that
    follows from it.
    """
    assert told(lambda: load(data)) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        'a: "\\UFFFFFFFF"',
        'a: "\\ud800"',
        "%YAML 1." + "9" * 5000 + "\n--- a",
        "%TAG ! tag:x,2000:\n--- !y a",
        "a: !<",
        "? ? ? a",
        "!!map {a: b}: c",
    ],
)
@pytest.mark.parametrize("loader", LOADERS)
def test_corners_of_yaml_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loader: type, text: str
) -> None:
    """What trips the parsers themselves is a problem of the manifest, not a
    traceback.
    """
    monkeypatch.setattr(strict_yaml, "_LOADER", loader)
    assert all(": error: " in line and "\n" not in line for line in told(lambda: load(text)))


def test_text_that_looks_different_from_what_it_says(folder: Path) -> None:
    """Direction controls are refused wherever they stand, comments too: a reviewer
    would read another file than we do.
    """
    text = HEAD + "# all fine \u202e so it seems \u2066\n" + FIRST
    assert told(lambda: load(text)) == [
        (
            "4:12: error: the character U+202E makes the file look different from what it "
            "says - remove it"
        ),
        (
            "4:26: error: the character U+2066 makes the file look different from what it "
            "says - remove it"
        ),
    ]


MARGIN = "7:33: warning: scope 'margin' is not known here - the exchange may know it"


@pytest.mark.parametrize(
    ("pins", "expected"),
    [
        (NO_PINS, [MARGIN]),
        (Pins(vault_prefix="secret/limitless"), [MARGIN]),
        (Pins(vault_prefix="/secret/limitless/"), [MARGIN]),
        (
            Pins(vault_prefix="secret/other"),
            [
                (
                    "3:32: error: vault is 'secret/limitless', and "
                    "RECONCILER_VAULT_PREFIX allows only 'secret/other' "
                    "- write that, or have the pin changed"
                ),
                MARGIN,
            ],
        ),
        (
            Pins(vault_prefix="kv/limitless"),
            [
                (
                    "3:16: error: vault is 'secret/limitless', and "
                    "RECONCILER_VAULT_PREFIX allows only 'kv/limitless' "
                    "- write that, or have the pin changed"
                ),
                MARGIN,
            ],
        ),
        (
            Pins(vault_prefix="secret/limitless/tokens"),
            [
                (
                    "3:32: error: vault is 'secret/limitless', and "
                    "RECONCILER_VAULT_PREFIX allows only "
                    "'secret/limitless/tokens' "
                    "- write that, or have the pin changed"
                ),
                MARGIN,
            ],
        ),
        (Pins(allowed_scopes=("trading", "withdrawal", "margin")), []),
        (
            Pins(allowed_scopes=("trading", "margin")),
            [
                (
                    "7:21: error: scope 'withdrawal' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only trading, margin"
                ),
            ],
        ),
        (
            Pins(allowed_scopes=("withdrawal",)),
            [
                (
                    "5:3: error: scope 'trading' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only withdrawal"
                ),
                (
                    "7:12: error: scope 'trading' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only withdrawal"
                ),
                (
                    "7:33: error: scope 'margin' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only withdrawal"
                ),
            ],
        ),
        (
            Pins(allowed_scopes=()),
            [
                (
                    "5:3: error: scope 'trading' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only none"
                ),
                (
                    "7:12: error: scope 'trading' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only none"
                ),
                (
                    "7:21: error: scope 'withdrawal' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only none"
                ),
                (
                    "7:33: error: scope 'margin' is not allowed here - "
                    "RECONCILER_ALLOWED_SCOPES allows only none"
                ),
            ],
        ),
    ],
)
def test_pins(folder: Path, pins: Pins, expected: list[str]) -> None:
    """What whoever runs the pipeline does not allow is refused where it stands; a scope
    that a pin names is known.
    """
    text = HEAD + FIRST + "- label: a\n  scopes: [trading, withdrawal, margin]\n"
    assert told(lambda: load(text, pins)) == expected


def write(folder: Path, **files: str) -> None:
    """Files of these names, with ``__`` for a slash, and the ending .yaml."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.yaml"], ("a.yaml",)),
        (["./x/../a.yaml"], ("a.yaml",)),
        (["y/../x/b.yaml", "./a.yaml"], ("a.yaml", "x/b.yaml")),
        (["x/b.yaml", "a.yaml"], ("a.yaml", "x/b.yaml")),
        (["x"], ("b.yaml", "c.yaml", "head.yml")),
        (["x/", "y"], ("x/b.yaml", "x/c.yaml", "x/head.yml", "y/d.yaml")),
        (["x/head.yml", "x/c.yaml"], ("c.yaml", "head.yml")),
    ],
)
def test_the_names_that_the_ledger_remembers(
    folder: Path, paths: list[str], names: tuple[str, ...]
) -> None:
    """They are relative to the folder that holds all the files, whatever order or
    spelling the paths are given in.
    """
    write(
        folder,
        a=HEAD + FIRST,
        x__b="tokens: [{label: b}]",
        x__c="tokens: [{label: c}]",
        y__d="version: 1\ntokens: [{label: d}]",
    )
    (folder / "x" / "head.yml").write_text(HEAD + FIRST)
    (folder / "x" / ".hidden.yaml").write_text("not: read")
    (folder / "x" / "notes.txt").write_text("not read")
    (folder / "x" / "deeper").mkdir()
    (folder / "x" / "deeper" / "e.yaml").write_text("not: read")
    given = [Path(path) for path in paths]
    expected = load_manifest(given)
    assert expected.manifest.files == names
    assert (
        load_manifest([Path.cwd() / path for path in reversed(paths)]).manifest == expected.manifest
    )


def test_files_are_one_manifest(folder: Path) -> None:
    """Tokens of all files count as one list, in the order of the files, and each knows
    its own.
    """
    write(folder, b=HEAD + FIRST, a="tokens:\n- label: a\n", c="version: 1\ntokens: [{label: c}]\n")
    loaded = load_manifest([Path("c.yaml"), Path("b.yaml"), Path("a.yaml")])
    assert [(token.label, token.mark) for token in loaded.manifest.tokens] == [
        ("a", Mark(file="a.yaml", line=2, column=3)),
        ("m", Mark(file="b.yaml", line=5, column=3)),
        ("c", Mark(file="c.yaml", line=2, column=10)),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"a": HEAD + FIRST, "b": "manager: m\ntokens: []\n"},
            [
                "b.yaml:1:1: error: the key 'manager' is here twice - the first is at a.yaml:2:1",
            ],
        ),
        (
            {"a": HEAD + FIRST, "b": "defaults: {}\nprofile_id: 1\n"},
            [
                (
                    "b.yaml:1:1: error: the key 'defaults' belongs to the head, which is in "
                    "a.yaml:1:1 - move it there"
                ),
                (
                    "b.yaml:2:1: error: the key 'profile_id' belongs to the head, which is "
                    "in a.yaml:1:1 - move it there"
                ),
            ],
        ),
        (
            {"a": "tokens: [{label: x}]", "b": "version: 1\nmanager: x\n"},
            ["b.yaml:1:1: error: the manifest has no vault - add it"],
        ),
        (
            {
                "a": "tokens: [{label: m}]",
                "b": HEAD + FIRST,
                "c": "tokens: [{label: d, path: m}, {labl: e}]",
            },
            [
                "b.yaml:5:10: error: label 'm' is here twice - the first is at a.yaml:1:18",
                "c.yaml:1:27: error: path 'm' is here twice - the first is at a.yaml:1:18",
                "c.yaml:1:32: error: unknown key 'labl' - did you mean 'label'?",
            ],
        ),
        (
            {"a": HEAD, "b": "tokens: [", "c": "tokens: [{label: a b}]", "d": "version: 2"},
            [
                (
                    "b.yaml:2:1: error: not valid YAML "
                    "(while parsing a flow node, did not find expected node content) - "
                    "correct the line"
                ),
                (
                    "c.yaml:1:18: error: label 'a b' can't be the path in Vault too - add a "
                    "path such as prod/bot"
                ),
                "d.yaml:1:10: error: version must be 1, not 2",
            ],
        ),
        (
            {"a": "tokens: {", "b": "tokens: [{label: b}]"},
            [
                (
                    "a.yaml:2:1: error: not valid YAML "
                    "(while parsing a flow node, did not find expected node content) - "
                    "correct the line"
                ),
            ],
        ),
        (
            {"a": HEAD + FIRST, "b": ""},
            ["b.yaml:1:1: error: the file is empty - a manifest begins with 'version: 1'"],
        ),
    ],
)
def test_problems_between_files(folder: Path, files: dict[str, str], expected: list[str]) -> None:
    """What is wrong between files names both; a file that can't be read hides nothing
    of the others.
    """
    write(folder, **files)
    assert told(lambda: load_manifest([Path(f"{name}.yaml") for name in files])) == expected


def make_pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def make_large(path: Path) -> None:
    """A file a byte larger than what is read, which takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)


TOO_LARGE = (
    "{}:1:1: error: larger than 10 MiB, the most that is read of all files "
    "- write several manifests, each with a prefix of its own, or check the path"
)


@pytest.mark.parametrize(
    ("make", "given", "expected"),
    [
        (
            None,
            "none.yaml",
            f"none.yaml:1:1: error: {NO_FILE}",
        ),
        (
            None,
            "no/ne.yaml",
            f"no/ne.yaml:1:1: error: {NO_FILE}",
        ),
        (
            Path.touch,
            "a/b.yaml",
            "a/b.yaml:1:1: error: it can't be read (Not a directory) - check the path",
        ),
        (
            None,
            "a" * 300,
            "a" * 300 + ":1:1: error: it can't be read (File name too long) - check the path",
        ),
        (
            None,
            "a\0b",
            "a\\x00b:1:1: error: it can't be read (embedded null byte) - check the path",
        ),
        (Path.mkdir, "a", "a:1:1: error: no *.yaml file in this folder - check the path"),
        (
            make_pipe,
            "a",
            (
                "a:1:1: error: not a regular file - a manifest is a file, or a folder with "
                "*.yaml files in it"
            ),
        ),
        (
            None,
            "/dev/zero",
            (
                "/dev/zero:1:1: error: not a regular file - a manifest is a file, or a "
                "folder with *.yaml files in it"
            ),
        ),
        (
            make_large,
            "a",
            TOO_LARGE.format("a"),
        ),
        (
            lambda path: path.symlink_to("gone"),
            "a",
            f"a:1:1: error: {NO_FILE}",
        ),
        (
            lambda path: path.symlink_to("a"),
            "a",
            "a:1:1: error: it can't be read (Too many levels of symbolic links) - check the path",
        ),
    ],
)
def test_paths_that_are_no_manifest(
    folder: Path, make: Callable[[Path], Any] | None, given: str, expected: str
) -> None:
    """Whatever the path leads to, the answer is one line, at once."""
    if make is not None:
        make(folder / "a")
    assert told(lambda: load_manifest([Path(given)])) == [expected]


def test_strange_entries_of_a_folder_are_not_passed_over(folder: Path) -> None:
    """An entry named like a manifest that is none is told: tokens that silently went
    missing would be revoked.
    """
    write(folder, f__a=HEAD + FIRST)
    (folder / "f" / "b.yaml").mkdir()
    (folder / "f" / "c.yml").symlink_to("gone")
    make_pipe(folder / "f" / "d.yaml")
    assert told(lambda: load_manifest([Path("f")])) == [
        (
            "f/b.yaml:1:1: error: not a regular file - a manifest is a file, or a folder "
            "with *.yaml files in it"
        ),
        f"f/c.yml:1:1: error: {NO_FILE}",
        (
            "f/d.yaml:1:1: error: not a regular file - a manifest is a file, or a folder "
            "with *.yaml files in it"
        ),
    ]


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_a_link_that_leads_out(folder: Path, *, absolute: bool) -> None:
    """A manifest that is a link out of its folder, or lies in a folder that is one, is
    not read: its errors would show the text of a file of the machine.
    """
    write(folder, repository__a=HEAD + FIRST, elsewhere__secret="password: hunter2")
    (folder / "repository" / "b.yaml").symlink_to("../elsewhere/secret.yaml")
    (folder / "repository" / "linked").symlink_to("../elsewhere")
    os.chdir(folder / "repository")
    root = folder / "repository" if absolute else Path()
    told_of = "error: a link that leads out of its folder - put the file itself there"
    given = root / "b.yaml"
    assert told(lambda: load_manifest([given])) == [f"{given}:1:1: {told_of}"]
    assert told(lambda: load_manifest([root])) == [f"{given}:1:1: {told_of}"]
    if not absolute:
        within = Path("linked/secret.yaml")
        assert told(lambda: load_manifest([within])) == [f"{within}:1:1: {told_of}"]


def test_links_that_stay_in_the_folder(folder: Path) -> None:
    """A ConfigMap is mounted so: the file is a link into a folder beside it, whose name
    changes. A name above the working folder is a person's own.
    """
    write(folder, mounted__2026__a=HEAD + FIRST)
    (folder / "mounted" / "..data").symlink_to("2026")
    (folder / "mounted" / "tokens.yaml").symlink_to("..data/a.yaml")
    assert load_manifest([folder / "mounted" / "tokens.yaml"]).manifest.tokens
    (folder / "below").mkdir()
    os.chdir(folder / "below")
    assert load_manifest([Path("../mounted/tokens.yaml")]).manifest.tokens


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(folder: Path) -> None:
    """A file or folder without permission is told."""
    write(folder, a=HEAD + FIRST, f__b=HEAD)
    (folder / "a.yaml").chmod(0)
    (folder / "f").chmod(0)
    assert told(lambda: load_manifest([Path("a.yaml"), Path("f")])) == [
        "a.yaml:1:1: error: it may not be read - check its permissions",
        "f:1:1: error: the folder can't be read (Permission denied) - check its permissions",
    ]


def test_the_same_file_by_two_names(folder: Path) -> None:
    """One file given twice is told as such, not as hundreds of labels that are there
    twice.
    """
    write(folder, a=HEAD + FIRST)
    (folder / "b.yaml").symlink_to("a.yaml")
    path = Path("a.yaml")
    same = "a.yaml:1:1: error: the same file as a.yaml:1:1 - name it once"
    assert told(lambda: load_manifest([path, path])) == [same]
    assert told(lambda: load_manifest([path, Path(), Path("b.yaml")])) == [
        same,
        "b.yaml:1:1: error: the same file as a.yaml:1:1 - name it once",
        "b.yaml:1:1: error: the same file as a.yaml:1:1 - name it once",
    ]


def test_names_that_do_not_print(folder: Path) -> None:
    """The ledger remembers names as text that people read, so a name must be such."""
    (folder / "a\n\udc80.yaml").write_text(HEAD + FIRST)
    assert told(lambda: load_manifest([Path("a\n\udc80.yaml")])) == [
        (
            "a\\n\\udc80.yaml:1:1: error: the file's name holds characters that do not print "
            "- rename it"
        )
    ]


def test_too_many_files(folder: Path) -> None:
    """A folder that is not a manifest's is told by its number of files."""
    for number in range(1001):
        (folder / f"{number:04}.yaml").touch()
    assert told(lambda: load_manifest([folder]))[0] == (
        f"{folder}:1:1: error: 1001 files, and at most 1000 make a manifest - check the path"
    )


def test_no_path_is_a_usage_error() -> None:
    """The library has no default path; the command line has."""
    with pytest.raises(UsageError, match="no manifest given"):
        load_manifest([])


def test_the_error_sums_up(folder: Path) -> None:
    """The exception is one line, counts errors only, ends the process with 1, and holds
    warnings too.
    """
    with pytest.raises(ManifestError) as caught:
        load(HEAD + FIRST + "- label: a b\n  scopes: [margin]\n- lable: c\n")
    assert str(caught.value) == "the manifest has 2 errors - correct them and run again"
    assert caught.value.exit_code is Exit.ERROR
    assert [problem.severity for problem in caught.value.problems] == ["error", "warning", "error"]
    assert caught.value.problems[1] == Problem(
        mark=Mark(file="tokens.yaml", line=7, column=12),
        message="scope 'margin' is not known here - the exchange may know it",
        severity="warning",
    )


def test_a_thousand_problems_are_enough(folder: Path) -> None:
    """The first thousand errors are kept, before any warning; a last line says how many
    are not shown.
    """
    tokens = [f"- label: t{number}\n  scopes: [w{number}]\n" for number in range(300)]
    tokens += [f"- {{label: a b{number}, x: 1}}\n" for number in range(600)]
    lines = told(lambda: load(HEAD + FIRST + "".join(tokens)))
    assert len(lines) == 1001
    known = (
        "label, description, owner, scopes, rotate_after, rotate_before, overlap, window, "
        "hold_until, hold_reason, reserve, path, fields, was, protect"
    )
    what = "label 'a b0' can't be the path in Vault too - add a path such as prod/bot"
    assert lines[0] == f"606:11: error: {what}"
    assert lines[999] == f"1105:19: error: unknown key 'x' - known here: {known}"
    assert lines[1000] == "1105:19: error: and 500 more problems - correct these first"


@pytest.mark.parametrize(
    "text",
    ["".join(f", k{key}: 1" for key in range(12)), ", label: b" * 12],
    ids=["tokens", "yaml"],
)
def test_a_hopeless_file_is_given_up(folder: Path, text: str) -> None:
    """After ten thousand errors nothing is examined further, so that a hostile file
    costs seconds, not minutes.
    """
    with pytest.raises(ManifestError, match=r"the manifest has 1000\d errors"):
        load(HEAD + FIRST + f"- {{label: a{text}}}\n" * 999)


def test_one_token_too_many(folder: Path) -> None:
    """1,000 tokens are one manifest; at the next one stands what to do, in one
    sentence.
    """
    tokens = "".join(f"- label: t{number}\n" for number in range(MAX_LABELS - 1))
    assert len(load(HEAD + FIRST + tokens).manifest.tokens) == MAX_LABELS == 1_000
    assert told(lambda: load(HEAD + FIRST + tokens + "- label: x\n- label: ' y'\n")) == [
        (
            "1005:3: error: more than 1,000 tokens "
            "- write several manifests, each with a prefix of its own"
        )
    ]


def test_the_files_of_a_manifest_share_its_bounds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand tokens in each of two files are too many, and so are the bytes and
    values of all files together.
    """
    write(folder, a=HEAD + FIRST + "- label: n\n- label: o\n", b="tokens: [{label: b}]\n" * 3)
    read = ["a.yaml", "b.yaml"]
    monkeypatch.setattr(strict_yaml, "MAX_VALUES", 13)
    assert told(lambda: load_manifest([Path(name) for name in read])) == [
        (
            "b.yaml:1:1: error: more than 13 values "
            "- write several manifests, each with a prefix of its own, or check the path"
        )
    ]
    monkeypatch.setattr(files, "MAX_BYTES", len(HEAD + FIRST) + 30)
    assert told(lambda: load_manifest([Path(name) for name in read])) == [
        TOO_LARGE.format("b.yaml").replace("10 MiB", "0 MiB")
    ]


def test_the_largest_manifest_is_within_the_bounds(folder: Path) -> None:
    """A thousand tokens, each with every key as long as the schema lets it be, are read
    without a word about size.
    """
    wide = "\U0001f916"
    scopes = [f"{number:0>128}" for number in range(32)]
    tokens = [
        f"- label: {json.dumps(f'{number:0>4}' + wide * 124, ensure_ascii=False)}\n"
        f"  description: '{wide * 1000}'\n  rotate_after: 0000000030d\n  overlap: 0000000001h\n"
        f"  protect: false\n  path: '{number:0>256}'\n  scopes: {json.dumps(scopes)}\n"
        for number in range(MAX_LABELS - 1)
    ]
    lines = told(lambda: load(HEAD + FIRST + "".join(tokens)))
    assert len(lines) == len(scopes)
    assert all(f"is not known here ({MAX_LABELS - 1} times)" in line for line in lines)


def test_a_bomb_is_refused_before_it_costs_memory(folder: Path) -> None:
    """Aliases are never followed, depth and number of values are judged as they come:
    files that would become gigabytes, or overflow the stack, cost as little as any.
    """
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    assert len(told(lambda: load(laughs))) > 40
    limit = strict_yaml.MAX_VALUES
    for text in ("[" * 1_000_000, "{a: " * 500_000, "- " * 500_000, "&a [*a, " * 200_000):
        assert any("nested deeper" in line for line in told(functools.partial(load, text)))
    for text in ("[" + "1," * 1_000_000 + "]", "- a\n" * 500_000):
        (line,) = told(functools.partial(load, text))
        assert f"more than {limit:,} values" in line


def test_too_many_values(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small its values are, a file can't fill the memory."""
    monkeypatch.setattr(strict_yaml, "MAX_VALUES", 20)
    assert told(lambda: load("a: [" + "1," * 30 + "]")) == [
        (
            "1:41: error: more than 20 values "
            "- write several manifests, each with a prefix of its own, or check the path"
        )
    ]


# PyYAML writes 08 and 1e3 without quotes, because it knows YAML 1.1 only; we refuse
# them.
LABELS = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Cn", "Co"]),
    min_size=1,
    max_size=12,
).filter(
    lambda text: (
        not strict_yaml._NUMBER_1_2.fullmatch(text) and unicodedata.is_normalized("NFC", text)
    )
)
SEGMENTS = st.from_regex(r"[A-Za-z0-9@:+-][A-Za-z0-9_.@:+-]{0,6}", fullmatch=True).filter(
    lambda text: not strict_yaml._NUMBER_1_2.fullmatch(text)
)
SCOPES = st.lists(st.sampled_from(["account_creation", "withdrawal"]), max_size=2, unique=True).map(
    lambda more: ["trading", *more]
)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "scopes": SCOPES,
        "rotate_after": st.sampled_from(["30d", "9w", "never"]),
        "overlap": st.sampled_from(["0s", "2h", "7d"]),
        "protect": st.booleans(),
        "description": st.text(st.characters(categories=["L", "P", "S"]), max_size=30),
    },
)
STYLES = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([True, False, None]),
        "indent": st.integers(2, 6),
        "width": st.sampled_from([20, 80, 10_000]),
        "allow_unicode": st.booleans(),
        "sort_keys": st.booleans(),
    }
)


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """The data of a good manifest."""
    labels = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    paths = draw(st.lists(SEGMENTS, min_size=len(labels), max_size=len(labels), unique=True))
    tokens = [
        {"label": label, "path": path, **draw(EXTRAS)}
        for label, path in zip(labels, paths, strict=True)
    ]
    return {
        "version": 1,
        "manager": labels[-1],
        "vault": {"mount": "kv", "prefix": "a/b"},
        "tokens": tokens,
    }


def place_of(text: str, found: str) -> tuple[int, int]:
    """Line and column of the only occurrence."""
    assert text.count(found) == 1
    before = text[: text.index(found)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@settings(max_examples=80, database=None)
@given(data=manifests(), style=STYLES, loader=st.sampled_from([yaml.CSafeLoader, yaml.SafeLoader]))
def test_any_good_manifest_arrives(
    tmp_path_factory: pytest.TempPathFactory,
    data: dict[str, Any],
    style: dict[str, Any],
    loader: type,
) -> None:
    """In any style of YAML, a manifest says the same without a word; a wrong value is
    told where it stands.
    """
    file = tmp_path_factory.mktemp("any") / "tokens.yaml"
    text = yaml.safe_dump(data, **style)
    file.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_yaml, "_LOADER", loader)
        loaded = load_manifest([file])
        assert loaded.warnings == ()
        assert [
            (token.label, token.path, token.protect, set(token.scopes))
            for token in loaded.manifest.tokens
        ] == [
            (
                token["label"],
                token["path"],
                token.get("protect"),
                set(token.get("scopes", ["trading"])),
            )
            for token in data["tokens"]
        ]
        data["tokens"][-1]["path"] = "//wrong//"
        text = yaml.safe_dump(data, **style)
        file.write_bytes(text.encode())
        with pytest.raises(ManifestError) as caught:
            load_manifest([file])
    (problem,) = caught.value.problems
    assert (problem.mark.line, problem.mark.column) == place_of(text, "//wrong//")


SIGNS = (
    """{ } [ ] , ' " # \\ ! ? &a *a ~ | > --- ... << !!str on 1:30 30d trading """
    "tokens: label: scopes: path: rotate_after:"
)
PIECES = st.sampled_from(
    [
        " ",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n- ",
        "\t",
        "\r",
        "\x00",
        "\x85",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\U0001f916",
        HEAD,
        *SIGNS.split(),
    ]
)
GOOD = f"{HEAD}{FIRST}- label: a\n  scopes: [trading]\n  path: x/y\n  overlap: 2h\n"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good manifest with a piece of it replaced."""
    start, length = draw(st.integers(0, len(GOOD))), draw(st.integers(0, 30))
    return (
        GOOD[:start] + "".join(draw(st.lists(PIECES, max_size=4))) + GOOD[start + length :]
    ).encode()


GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode()),
    damaged(),
)


@settings(max_examples=400, database=None)
@given(data=GARBAGE, loader=st.sampled_from([yaml.CSafeLoader, yaml.SafeLoader]))
def test_garbage_is_told_never_raised(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, loader: type
) -> None:
    """Whatever a file holds, the answer is a manifest or problems, each one line with a
    place in the file.
    """
    file = tmp_path_factory.mktemp("garbage") / "tokens.yaml"
    file.write_bytes(data)
    lines = len(data.splitlines()) + data.count(b"\xc2\x85") + data.count(b"\xe2\x80") + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_yaml, "_LOADER", loader)
        try:
            problems = load_manifest([file]).warnings
        except ManifestError as error:
            problems = error.problems
    for problem in problems:
        assert str(problem).isprintable()
        assert 1 <= problem.mark.line <= lines
        assert problem.mark.column >= 1


CHILD = """
import json, statistics, sys, time, yaml
from pathlib import Path
from reconciler.manifest import load_manifest
file = Path(sys.argv[1])
loaded, ratios = load_manifest([file]), []
# not ru_maxrss, which knows the parent's memory from before the exec
status = open("/proc/self/status").read().splitlines()
peak_mib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
for _ in range(15):  # in turn: how fast a machine is changes from one moment to the next
    before = time.process_time()
    load_manifest([file])
    between = time.process_time()
    yaml.load(file.read_bytes(), yaml.CSafeLoader)
    ratios.append((between - before) / (time.process_time() - between))
print(json.dumps([len(loaded.manifest.tokens), statistics.median(ratios), peak_mib]))
"""


def test_a_thousand_tokens(folder: Path) -> None:
    """1,000 tokens are read and judged in less time than PyYAML takes to read them
    only, and in little memory.
    """
    token = (
        "- label: bot-{0}\n  description: bot {0}\n  scopes: [trading, withdrawal]\n  "
        "rotate_after: {1}d\n  path: prod/{0}\n"
    )
    tokens = "".join(token.format(number, 2 + number % 90) for number in range(MAX_LABELS - 1))
    Path("large.yaml").write_text(HEAD + FIRST + tokens)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "large.yaml"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        check=True,
    )
    count, ratio, peak_mib = json.loads(done.stdout)
    assert count == MAX_LABELS
    assert ratio < 1
    assert peak_mib < 80
