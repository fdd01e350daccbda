"""Model and real one, side by side: whatever is done to both, in whatever order, both
answer alike.

The laws that somebody thought of are in ``test_laws``; this is for those that nobody
did. Of a failure, hypothesis shows the shortest course that tells the two apart, in the
words of ``peers``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import hypothesis
from hypothesis import strategies as st

from tests.proofs.contract.conftest import NewTeller
from tests.proofs.contract.peers import Models, Teller

NAMES = ("A", "B", "C", "D", "E", "F")
LABELS = ("bot", "desk")

searching = hypothesis.settings(
    max_examples=40,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
)

Draw = Callable[[st.DataObject, Teller], str]


def version_of(meta: str) -> int:
    """The latest version that ``meta`` tells, 0 where there is none."""
    found = re.match(r"v(\d+)", meta)
    return int(found[1]) if found else 0


def vault_step(data: st.DataObject, model: Teller) -> str:
    """Anything that can be done to a path, mostly near its latest version; the model is
    asked for that one.
    """
    latest = version_of(model.tell("meta"))
    near = st.integers(max(latest - 3, 0), latest + 1)
    kind = data.draw(
        st.sampled_from(
            ("put", "put", "put", "read", "read N", "delete", "meta", "keep", "destroy", "undelete")
        )
    )
    match kind:
        case "put":
            cas = data.draw(st.just(latest) | near)
            return f"put {cas} {data.draw(st.sampled_from(('t1', 't2', 't3', '{}', 'note')))}"
        case "read N" | "delete" | "destroy":
            return f"{kind.removesuffix(' N')} {max(data.draw(near), 1)}"
        case "keep":
            return f"keep {data.draw(st.integers(1, 4))}"
        case _:
            return kind


def ledger_step(data: st.DataObject, model: Teller) -> str:
    """Anything that can be done to the ledger."""
    latest = version_of(model.tell("ledger"))
    choices = (
        ["ledger", "ledger", "delete the ledger", "undelete the ledger"] if latest else ["ledger"]
    )
    kind = data.draw(st.sampled_from(("write", "write", *choices)))
    if kind != "write":
        return kind
    cas = data.draw(st.just(latest) | st.integers(max(latest - 2, 0), latest + 1))
    return f"ledger {cas} {data.draw(st.sampled_from(('A', 'B', 'C')))}"


class ExchangeSteps:
    """Anything that can be done at the exchange, with names that are not taken yet for
    new tokens.
    """

    def __init__(self) -> None:
        self._made: list[str] = []
        self._lags = False

    def __call__(self, data: st.DataObject, _: Teller) -> str:
        """The next step."""
        kinds = (
            ["catch up" if self._lags else "lag", "derive", "derive", "person derives"]
            if len(self._made) < len(NAMES)
            else []
        )
        if self._made:
            kinds += [
                "sign",
                "verify",
                "verify",
                "verify with",
                "revoke",
                "revoke",
                "revoke nobody",
                "list",
                "list",
            ]
        kind = data.draw(st.sampled_from(kinds))
        self._lags = {"lag": True, "catch up": False}.get(kind, self._lags)
        match kind:
            case "derive" | "person derives":
                self._made.append(NAMES[len(self._made)])
                return f"{kind} {self._made[-1]} {data.draw(st.sampled_from(LABELS))}"
            case "sign" | "verify" | "revoke":
                return f"{kind} {data.draw(st.sampled_from(self._made))}"
            case "verify with":
                one, other = (data.draw(st.sampled_from(self._made)) for _ in range(2))
                return f"verify {one} with {other}"
            case _:
                return kind


def assert_alike(data: st.DataObject, new_real: NewTeller, draw: Draw, *, steps: int) -> None:
    """Both sides answer each step of a course alike."""
    model = Teller(Models())
    with new_real() as real:
        for _ in range(data.draw(st.integers(1, steps))):
            step = draw(data, model)
            expected, answer = model.tell(step), real.tell(step)
            hypothesis.note(f"{step} -> {answer}")
            assert answer == expected


@searching
@hypothesis.given(data=st.data())
def test_vault_and_its_model_answer_alike(new_real: NewTeller, data: st.DataObject) -> None:
    """Writes, reads, deletions, destructions, trimming, in any order."""
    assert_alike(data, new_real, vault_step, steps=30)


@searching
@hypothesis.given(data=st.data())
def test_the_ledger_and_its_model_answer_alike(new_real: NewTeller, data: st.DataObject) -> None:
    """Writes on any version, and a person's deletions."""
    assert_alike(data, new_real, ledger_step, steps=15)


@searching
@hypothesis.given(data=st.data())
def test_the_exchange_and_its_model_answer_alike(new_real: NewTeller, data: st.DataObject) -> None:
    """Derives, lists, revocations, forged signatures, a person's doings, and lists that
    lag, in any order.
    """
    assert_alike(data, new_real, ExchangeSteps(), steps=30)
