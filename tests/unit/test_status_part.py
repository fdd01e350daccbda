"""Claims about the part of one or several statuses that a person asked about."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.errors import UsageError
from reconciler.plan import Capped, Status, narrowed, status_of
from tests.support.values import entry, ledger, live, manifest, observed, spec


def a_status(place: str, *labels: str) -> Status:
    """How some labels stand; each token's id begins with the place and the label."""
    memory = ledger({label: entry(f"{place}-{label}-id", label) for label in labels})
    tokens = [live(f"{place}-{label}-id", label) for label in labels]
    found = status_of(manifest(*map(spec, labels)), observed(memory, *tokens))
    return dataclasses.replace(found, place=place)


ALPHA, BETA = a_status("alpha", "bot", "desk"), a_status("beta", "bot", "maker")


@pytest.mark.parametrize(
    ("words", "token_id", "expected"),
    [
        ((), None, {"alpha": ["bot", "desk"], "beta": ["bot", "maker"]}),
        (("bot",), None, {"alpha": ["bot"], "beta": ["bot"]}),
        (("maker",), None, {"beta": ["maker"]}),
        (("maker", "d*"), None, {"alpha": ["desk"], "beta": ["maker"]}),
        ((), "beta-bot", {"beta": ["bot"]}),
        (("desk",), "beta-maker", {"alpha": ["desk"], "beta": ["maker"]}),
    ],
)
def test_what_is_asked_for_is_told_of_each_that_has_it(
    words: tuple[str, ...], token_id: str | None, expected: dict[str, list[str]]
) -> None:
    """A word need not mean something in each; one without a part is left out."""
    parts = narrowed((ALPHA, BETA), words, token_id)
    assert expected == {part.place: [t.label for t in part.tokens] for part in parts}


@pytest.mark.parametrize(
    ("word", "labels"), [("bot", ("bot",)), ("*", ("bot", "desk")), ("maker", None)]
)
def test_what_is_not_stocked_is_told_of_these_labels(
    word: str, labels: tuple[str, ...] | None
) -> None:
    """Of no other one, and not at all where all that is asked about is stocked."""
    capped = Capped(lived=9, at_ms=0, until_ms=1, live=8, labels=("bot", "desk"))
    status = dataclasses.replace(a_status("alpha", "bot", "desk", "maker"), capped=capped)
    (part,) = narrowed((status,), [word], None)
    assert labels == (None if part.capped is None else part.capped.labels)


@pytest.mark.parametrize(
    ("words", "token_id", "expected"),
    [
        (("desk", "nobody"), None, "'nobody': neither the manifest nor the ledger has this label"),
        ((), "alp", "--token-id 'alp': give at least 4 characters of the id"),
        ((), "gamma", "--token-id 'gamma': no token of ours begins so"),
        (
            (),
            "alpha",
            "--token-id 'alpha' fits alpha-bot-id, alpha-desk-id: give more of the id",
        ),
    ],
)
def test_what_nobody_has_is_refused(
    words: tuple[str, ...], token_id: str | None, expected: str
) -> None:
    """Even where another word means something."""
    with pytest.raises(UsageError) as caught:
        narrowed((ALPHA, BETA), words, token_id)
    assert expected == str(caught.value)
