"""What a person's word for labels or tokens means: a label, a glob, the start of an id.

the word                                  it means
----------------------------------------  ------------------------------------------
is a label                                that label, whatever characters it has
has ``*``, ``?`` or ``[``                 each label that it matches, case included
anything else                             nothing
"""

from __future__ import annotations

import dataclasses
import fnmatch
import unicodedata
from collections.abc import Collection, Iterable

from reconciler.plan.change import EVERYTHING, Selection

ALL = "*"
"""The glob that means every label."""

LEAST_ID = 4
"""So many characters of an id are needed at least."""


def meant(word: str, labels: Collection[str]) -> frozenset[str]:
    """Return the labels that a word means; none where it means nothing."""
    word = unicodedata.normalize("NFC", word)
    if word in labels:
        return frozenset({word})
    if not set(word) & set("*?["):
        return frozenset()
    return frozenset(label for label in labels if fnmatch.fnmatchcase(label, word))


def all_meant(words: Iterable[str], labels: Collection[str]) -> frozenset[str]:
    """Return what several words mean; one that means nothing stays as it is.

    So a selection never becomes empty, which would select everything.
    """
    return frozenset(label for word in words for label in meant(word, labels) or frozenset({word}))


def resolved(selection: Selection, labels: Collection[str]) -> Selection:
    """Return a selection whose globs are the labels that they mean now."""
    if selection == EVERYTHING:
        return selection
    return dataclasses.replace(
        selection,
        targets=all_meant(selection.targets, labels),
        excluded=all_meant(selection.excluded, labels),
    )


def begun_with(wanted: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids that begin so, sorted; the whole id only, where there is one."""
    found = sorted({token_id for token_id in ids if token_id.startswith(wanted)})
    return (wanted,) if wanted in found else tuple(found)
