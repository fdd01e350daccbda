"""What a list after a run's last DELETE proves, by the table of ``run/closing.py``."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.protocol import Listing, ListTokens, Refused, Sleep
from reconciler.run import closing
from reconciler.run.effects import Halt, ReadHalt
from tests.support.values import live

WHOLE = ("ours", "theirs", "theirs too")
NO_ANSWER = None


def lacking(*lists: tuple[str, ...] | None) -> tuple[bool, int]:
    """Whether the revoked token is proven gone by these lists, of which the last one
    comes again and again; and how many were asked for.
    """
    step = closing._lacking(
        frozenset({"gone"}),
        frozenset({"gone"}),
        must=frozenset({"ours"}),
        others=frozenset({"theirs", "theirs too"}),
    )
    asked = 0
    reply: Any = None
    while True:
        try:
            effect = step.send(reply)
        except StopIteration as end:
            return end.value == {"gone"}, asked
        reply = None
        if isinstance(effect, ListTokens):
            shown = lists[min(asked, len(lists) - 1)]
            asked += 1
            reply = (
                Refused(sentence="")
                if shown is None
                else Listing(tokens=tuple(live(one, one, age_ms=0) for one in shown))
            )
        elif isinstance(effect, ReadHalt):
            reply = Halt(signalled=False, sentence=None)
        else:
            assert isinstance(effect, Sleep)


MOST = len(closing.PAUSES_MS)


@pytest.mark.parametrize(
    ("expected", "lists"),
    [
        pytest.param((True, 1), [WHOLE], id="a whole list lacks it"),
        pytest.param((False, MOST), [(*WHOLE, "gone")], id="it is listed to the end"),
        pytest.param((True, 2), [(*WHOLE, "gone"), WHOLE], id="the list lags"),
        pytest.param((False, MOST), [("theirs", "theirs too")], id="another of ours is lacking"),
        pytest.param((False, MOST), [()], id="nothing is listed"),
        pytest.param((False, MOST), [NO_ANSWER], id="there is no list"),
        pytest.param(
            (True, 2), [("ours", "theirs")], id="a neighbour revoked one: the second list decides"
        ),
        pytest.param(
            (True, 2),
            [("ours", "theirs"), ("ours",)],
            id="a neighbour goes on revoking: the second list decides",
        ),
        pytest.param(
            (True, 3),
            [("ours", "theirs", "gone"), ("ours", "theirs"), ("ours",)],
            id="a neighbour revokes, and the list lags",
        ),
        pytest.param(
            (False, MOST),
            [("ours", "theirs"), *((*WHOLE, "gone") for _ in range(MOST))],
            id="a partial list lacked it, and then it is listed",
        ),
    ],
)
def test_what_a_list_proves(
    expected: tuple[bool, int], lists: list[tuple[str, ...] | None]
) -> None:
    """Whether it is gone, and how many lists that took."""
    assert lacking(*lists) == expected
