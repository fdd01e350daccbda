"""A manifest written from a live list is valid, whatever is listed, and forgets no
token.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ReconcilerError
from reconciler.manifest import (
    Listed,
    list_to_adopt,
    load_manifest,
    manifest_of_live,
    starter_manifest,
)
from reconciler.manifest.starter import Written, quoted
from reconciler.model import (
    DAY_MS,
    LiveToken,
    Manifest,
    TokenList,
    Unreadable,
    instant_ms,
    scope_set,
)

NOW_MS = instant_ms("2026-11-29T08:00:00Z")


def live(token_id: str, label: str | None, *scopes: str, days: int = 400) -> LiveToken:
    """A live token, used yesterday."""
    return LiveToken(
        token_id=token_id,
        label=label,
        scopes=scopes or ("trading",),
        created_at_ms=NOW_MS - days * DAY_MS,
        last_used_at_ms=NOW_MS - DAY_MS,
    )


def written(*tokens: LiveToken, unreadable: tuple[Unreadable, ...] = ()) -> Written:
    """What is written of these tokens."""
    return manifest_of_live(
        Listed(
            tokens=TokenList(tokens=tokens, unreadable=unreadable),
            at_ms=NOW_MS,
            api_url="https://api.limitless.exchange",
            profile_id=42,
        )
    )


def read(folder: Path, text: str) -> Manifest:
    """The manifest that the text is. ManifestError."""
    file = folder / "tokens.yaml"
    file.write_text(text, encoding="utf-8")
    return load_manifest([file]).manifest


def desired(manifest: Manifest) -> dict[str, tuple[tuple[str, ...], str]]:
    """Each label with its scopes and its path."""
    return {spec.label: (spec.scopes, spec.path) for spec in manifest.tokens}


def test_a_starter_is_valid(tmp_path: Path) -> None:
    """The manager and nothing else; what is commented out is valid as well."""
    text = starter_manifest().text
    assert desired(read(tmp_path, text)) == {"reconciler": (("trading",), "reconciler")}
    assert starter_manifest(("kv", "a/b")).text != text
    shown = re.sub(r"^  # (- |  )", r"  \1", text.partition("tokens:\n")[2], flags=re.MULTILINE)
    both = read(tmp_path, text.partition("tokens:\n")[0] + "tokens:\n" + shown)
    assert [spec.label for spec in both.tokens] == ["reconciler", "production-bot"]


def test_every_label_has_its_scopes_and_a_legal_path(tmp_path: Path) -> None:
    """Scopes are never the default where others were granted."""
    made = written(
        live("t1", "treasury", "trading", "withdrawal"),
        live("t2", "Ops Laptop (desk 3)"),
        live("t3", "ops laptop: desk 3"),
        live("t4", "Zürich 7", "account_creation"),
        live("t5", "yes"),
        live("t6", "Reconciler!"),
        live("t7", "???"),
        live("t8", 'quo"te\\'),
    )
    found = read(tmp_path, made.text)
    assert (found.manager, found.profile_id, made.left_out) == ("reconciler", 42, 0)
    assert desired(found) == {
        "reconciler": (("trading",), "reconciler"),
        "treasury": (("trading", "withdrawal"), "treasury"),
        "Ops Laptop (desk 3)": (("trading",), "ops-laptop-desk-3"),
        "ops laptop: desk 3": (("trading",), "ops-laptop-desk-3-2"),
        "Zürich 7": (("account_creation",), "zurich-7"),
        "yes": (("trading",), "yes"),
        "Reconciler!": (("trading",), "reconciler-2"),
        "???": (("trading",), "token"),
        'quo"te\\': (("trading",), "quo-te"),
    }
    assert "  # made 2025-10-25 (400 days ago), last used 2026-11-28 (1 day ago)" in made.text


LEFT_OUT = {
    "two of one label": ([live("id-1", "dup"), live("id-2", "dup")], "2 live tokens have this"),
    "no label": ([live("id-1", None)], "it has no label"),
    "an empty label": ([live("id-1", "")], "it has no label"),
    "control characters": (
        [live("id-1", "a\x00b\x1b[2J\nroot:\u2028x\u202e")],
        "control characters",
    ),
    "a space at its end": ([live("id-1", "bot ")], "nor begin or end with a space"),
    "decomposed": ([live("id-1", "caf\u0065\u0301")], "decomposed characters"),
    "too long": ([live("id-1", "x" * 200)], "128"),
    "delegates without trading": ([live("id-1", "a", "delegated_signing")], "needs 'trading'"),
    "a scope that is no word": ([live("id-1", "a", "tra ding\n")], "one word"),
    "a scope almost known": ([live("id-1", "a", "tradng")], "did you mean 'trading'"),
    "fifty scopes": ([live("id-1", "a", *(f"s{n}" for n in range(50)))], "50 scopes"),
    "an id of controls": ([live("id-1\x1b[31m", None)], "it has no label"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_manifest_can_not_say_is_commented_out(tmp_path: Path, name: str) -> None:
    """With its id and the reason, beside a good one that is untouched."""
    tokens, why = LEFT_OUT[name]
    made = written(live("good", "good"), *tokens)
    assert desired(read(tmp_path, made.text)).keys() == {"reconciler", "good"}
    assert (made.entries, made.left_out) == ((("good", "good"),), len(tokens))
    assert why in made.text
    assert all(f"id id-{number}" in made.text for number in range(1, len(tokens) + 1))
    assert made.text.replace("\n", "").isprintable()


def test_an_entry_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """It counts for its label: the other token of that label is left out, too."""
    odd = Unreadable(position=3, token_id="id-9", label="good", why="its scopes are no list")
    made = written(live("id-1", "good"), unreadable=(odd,))
    assert desired(read(tmp_path, made.text)).keys() == {"reconciler"}
    assert "id id-9" in made.text
    assert "its scopes are no list" in made.text


def test_the_manager_has_a_label_of_its_own(tmp_path: Path) -> None:
    """A live token that is called as it would be stays somebody's."""
    made = written(live("t1", "reconciler"), live("t2", "reconciler-manager"))
    found = read(tmp_path, made.text)
    assert found.manager == "reconciler-manager-2"
    assert desired(found).keys() == {"reconciler", "reconciler-manager", "reconciler-manager-2"}


def test_a_list_beyond_one_manifest_is_refused_in_a_sentence() -> None:
    """5,000 tokens; so many of one label are one that is left out, and written fast."""
    with pytest.raises(ReconcilerError, match="lists 5000 labels, and a manifest holds 1,000"):
        written(*(live(f"t{n}", f"bot {n}") for n in range(5000)))
    made = written(*(live(f"t{n}", "bot") for n in range(5000)), live("x", "good"))
    assert (made.entries, made.left_out) == ((("good", "x"),), 5000)


def test_the_same_list_in_another_order_gives_the_same_text() -> None:
    """So it can be compared."""
    tokens = [live(f"t{n}", f"bot {n % 4}") for n in range(7)]
    assert written(*tokens) == written(*reversed(tokens))


def test_the_list_to_adopt_belongs_to_it() -> None:
    """A row for each entry; where its secret lies is for a person to say."""
    made = written(live("+/=", "Ops (3)"), live("1e3", "yes"), live("n", None))
    assert yaml.safe_load(list_to_adopt(made)) == [
        {"label": "Ops (3)", "token_id": "+/=", "vault": None, "secret_field": "secret"},
        {"label": "yes", "token_id": "1e3", "vault": None, "secret_field": "secret"},
    ]
    assert yaml.safe_load(list_to_adopt(written(live("n", None)))) == []


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_whatever_is_quoted_is_read_back(text: str) -> None:
    """By any reader of YAML."""
    assert yaml.safe_load(f"- {quoted(text)}") == [text]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=50)
@given(
    st.lists(
        st.builds(
            LiveToken,
            token_id=TEXTS,
            label=st.none() | st.sampled_from(["bot", "reconciler", "y"]) | TEXTS,
            scopes=st.lists(
                st.sampled_from(["trading", "delegated_signing", "new_one"]) | TEXTS, max_size=3
            ).map(tuple),
            created_at_ms=st.integers(0, 2 * NOW_MS),
            last_used_at_ms=st.none() | st.integers(0, 2 * NOW_MS),
        ),
        max_size=6,
    )
)
def test_any_list_gives_a_valid_manifest(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[LiveToken]
) -> None:
    """Whose entries have exactly the scopes; the others are counted."""
    made = written(*tokens)
    found = desired(read(tmp_path_factory.mktemp("any"), made.text))
    by_id = {(token.label, token.token_id): token for token in tokens}
    assert len(made.entries) + made.left_out == len(tokens)
    assert found.keys() == {label for label, _ in made.entries} | {
        next(label for label in found if label.startswith("reconciler"))
    } | {label for label in found if label.startswith("reconciler-manager")}
    for label, token_id in made.entries:
        assert found[label][0] == scope_set(by_id[label, token_id].scopes)
