"""The list of tokens to adopt: what it says, and every mistake in it with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.manifest import ManifestError, adopt_list_text, read_adopt_list
from reconciler.model import ToAdopt

LABELS = ("mm-eu", "mm-us", "Ops Laptop 😀")
GOOD = "- label: mm-eu\n  vault: apps/legacy/mm-eu\n"


def read(text: str) -> tuple[ToAdopt, ...]:
    """The rows of a list."""
    return read_adopt_list("adopt.yaml", text, LABELS)


def problems(text: str) -> list[str]:
    """What is wrong with a list, each with its place."""
    with pytest.raises(ManifestError, match=r"the list to adopt has .* run again") as caught:
        read(text)
    return [str(problem).removeprefix("adopt.yaml:") for problem in caught.value.problems]


def test_rows_and_their_defaults() -> None:
    """The id is given, or read from a field; slashes around a place mean nothing."""
    text = (
        GOOD + "- label: mm-us\n  vault: /apps/us/\n  token_id: '1e3'\n"
        "  secret_field: LMTS_TOKEN_SECRET\n"
    )
    assert read(text) == (
        ToAdopt(label="mm-eu", place="apps/legacy/mm-eu", token_id_field="token_id"),
        ToAdopt(label="mm-us", place="apps/us", token_id="1e3", secret_field="LMTS_TOKEN_SECRET"),
    )


def test_json_is_read_as_well() -> None:
    """Whatever its writer did with characters beyond the basic plane."""
    row = {"label": LABELS[2], "vault": "apps/a/ops", "token_id": "a\\ud83d/+="}
    for ascii_only in (True, False):
        text = json.dumps([row], ensure_ascii=ascii_only, indent=2)
        assert read(text) == (ToAdopt(label=LABELS[2], place="apps/a/ops", token_id="a\\ud83d/+="),)


WRONG: Mapping[str, tuple[str, list[str]]] = {
    "still empty, as init writes it": (
        "- label: mm-eu\n  token_id: a\n  vault:\n- label: mm-us\n  token_id: b\n  vault:\n",
        [
            "3:9: error: vault of 'mm-eu' is empty - write MOUNT/PATH of its secret",
            "6:9: error: vault of 'mm-us' is empty - write MOUNT/PATH of its secret",
        ],
    ),
    "a label and an id twice": (
        f"{GOOD}  token_id: a\n{GOOD}  token_id: a\n",
        [
            "4:10: error: label is here twice - the first is at adopt.yaml:1:10",
            "6:13: error: token_id is here twice - the first is at adopt.yaml:3:13",
        ],
    ),
    "a label that is alike": (
        "- label: mm-eux\n  vault: a/b\n",
        ["1:10: error: the manifest has no such label - did you mean 'mm-eu'?"],
    ),
    "a secret in the list": (
        f"{GOOD}  secret: c2VjcmV0\n",
        ["3:3: error: a row has no such key - did you mean secret_field?"],
    ),
    "a secret for its field": (
        f"{GOOD}  secret_field: c2Vj/mV0\n",
        ["3:17: error: secret_field is the name of a field - never the value itself"],
    ),
    "an id without quotes": (
        f"{GOOD}  token_id: 123\n",
        ["3:13: error: token_id is text - write it in quotes"],
    ),
    "no path": (
        "- label: mm-eu\n  vault: apps\n",
        ["2:10: error: vault names no path - write MOUNT/PATH"],
    ),
    "both ways to the id": (
        f"{GOOD}  token_id: a\n  token_id_field: b\n",
        ["4:3: error: token_id and token_id_field exclude each other - keep one"],
    ),
    "a mapping": (
        "label: a\n",
        ["1:1: error: this is no list - write rows that begin with `- label:`"],
    ),
    "nothing": ("[]\n", ["1:1: error: the list is empty - write a row for each token to adopt"]),
    "no rows": ("- a\n", ["1:3: error: a row is a mapping - write label: and vault:"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_is_told_with_its_place(name: str) -> None:
    """And none repeats what may be a secret."""
    text, told = WRONG[name]
    assert problems(text) == told
    assert "c2V" not in " ".join(told)


def test_a_thousand_rows_and_one_more() -> None:
    """All are read at once; with labels that nobody knows it is no slower."""
    text = "".join(f"- label: bot-{n}\n  vault: a/b{n}\n" for n in range(1000))
    known = [f"bot-{n}" for n in range(1001)]
    assert len(read_adopt_list("adopt.yaml", text, known)) == 1000
    more = text + "- label: bot-1000\n  vault: a/b\n"
    with pytest.raises(ManifestError) as caught:
        read_adopt_list("adopt.yaml", more, known)
    assert "more than 1,000 rows" in str(caught.value.problems[0])
    strangers = [f"nobody-{n}" for n in range(1000)]
    with pytest.raises(ManifestError, match="1000 errors"):
        read_adopt_list("adopt.yaml", text, strangers)


@given(
    st.lists(
        st.builds(
            ToAdopt,
            label=st.sampled_from(LABELS),
            place=st.from_regex(r"[a-z]{1,5}(/[^/\s]{1,5}){1,3}", fullmatch=True),
            token_id=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        ),
        min_size=1,
        max_size=1,
    )
)
def test_what_is_written_is_read_back(rows: list[ToAdopt]) -> None:
    """By the dry run that proposes a list, and the run that takes it."""
    assert read(adopt_list_text(rows)) == tuple(rows)


@given(st.text() | st.from_regex(r"(- label: ?[a-z\"\[{&*]{0,3}\n  vault: .?\n){1,3}"))
def test_any_text_is_rows_or_problems(text: str) -> None:
    """Never another exception."""
    try:
        read(text)
    except ManifestError:
        return
