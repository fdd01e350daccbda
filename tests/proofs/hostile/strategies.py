"""Input that nobody would write on purpose: texts, documents edited at one place,
manifests that are nearly right.

The laws that hold whatever comes in are here too. Everything comes from fixed lists or
is drawn by hypothesis, which the tests run derandomized: the same examples every time.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from reconciler.cli import entry
from reconciler.errors import Exit
from tests.support.fleet import Done, in_environment, unpaced
from tests.support.hostile import HOSTILE_PIECES, assert_harmless

Place = tuple[str | int, ...]

NASTY_TEXTS = (
    "",
    " ",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://e.example\x07link",
    "a\nb",
    "a\r\nerror: not ours",
    "\n::error file=x::taken over",
    "##[error]taken over",
    "##vso[task.setvariable]x",
    "\u202etxt.exe",
    "\u2066x\u2069",
    "a\u200bb",
    "`code` ``` fence",
    "| a | b |",
    "<!-- marker --> <script>x</script></details>",
    "@everyone #1 [x](https://e.example)",
    "\x00",
    "\x7f\x85\x9b",
    "../../up",
    "x" * 5_000,
)
"""One of each way to harm a terminal, a log, a CI runner, a Markdown document, a path
or a table."""

ALL_OF_THEM = "".join(text for text in NASTY_TEXTS if len(text) < 200)  # all but the long one

WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, math.nan, math.inf, 2**63, -(2**63), 10**30),
    *([], {}, [None], ["x"], [[]], {"x": 1}, [{}]),
    *("x", "\ud800", "1", "true", "null"),
    *(
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999-14:00",
        "0001-01-01",
        "9999-12-31T23:59:59.999Z",
        "2026-11-22",
    ),
    *("", "../../up", "::error::taken over", "x" * 5_000, ALL_OF_THEM),
)
"""What may stand at any place of a document: each type of JSON, edges of numbers and of
the calendar, texts that mean harm."""


FEW_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        1.5,
        10**30,
        [],
        {},
        "",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999Z",
        "\ud800",
        ALL_OF_THEM,
    ),
)
"""One of each sort, where each one costs a run of the program or a judgement by a
schema."""


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every place below the top of a document."""
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield (*here, key)
        yield from places(child, (*here, key))


def at(document: Any, place: Place) -> Any:
    """What stands there."""
    for step in place:
        document = document[step]
    return document


def edited(document: Any, place: Place, value: Any) -> Any:
    """A copy with another value at the place."""
    changed = copy.deepcopy(document)
    at(changed, place[:-1])[place[-1]] = value
    return changed


def edits(document: Any, place: Place, values: tuple[Any, ...] = WRONG_VALUES) -> Iterator[Any]:
    """The document with each of these values at the place, without what is there, and
    with it twice where it is in a list.
    """
    was = at(document, place)
    for wrong in values:
        if type(wrong) is not type(was) or wrong != was:
            yield edited(document, place, wrong)
    without = copy.deepcopy(document)
    del at(without, place[:-1])[place[-1]]
    yield without
    if isinstance(place[-1], int):
        twice = copy.deepcopy(document)
        at(twice, place[:-1]).append(was)
        yield twice


def hostile_texts() -> st.SearchStrategy[str]:
    """Text as JSON or YAML may bring it, halves of surrogate pairs left out."""
    pieces = [piece for piece in HOSTILE_PIECES if not re.search("[\ud800-\udfff]", piece)]
    drawn = st.lists(
        st.sampled_from(pieces) | st.characters(exclude_categories=["Cs"]), max_size=6
    ).map("".join)
    return st.sampled_from(NASTY_TEXTS) | drawn


# --- running the program ---


def ran(folder: Path, environ: Mapping[str, str], *arguments: str, text: str = "") -> Done:
    """A command within this process, as in a process of its own with this environment,
    folder and standard input.
    """
    out, err = io.StringIO(), io.StringIO()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            unpaced(text),
            in_environment(environ, folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = entry.run(list(arguments))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Done(code=code, out=out.getvalue(), err=err.getvalue())


def assert_lawful(done: Done) -> None:
    """An exit code of the contract, nothing unforeseen, nothing that harms who reads
    it, and one sentence about what failed.
    """
    assert done.code in set(Exit), done
    for unseemly in ("Traceback", "internal error"):
        assert unseemly not in done.out + done.err, done
    assert_harmless(done.out.rstrip("\n"))
    assert_harmless(done.err.rstrip("\n"))
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) <= 1, done
    if done.code in {Exit.ERROR, Exit.STALE, Exit.USAGE}:
        assert errors == done.err.splitlines()[-1:], done
        assert len(errors[0]) > len("error: ") + 10, done


# --- manifests ---

LABELS = ("bot", "desk-7", "b@c", "v1:2", "Zürich 7", "日本", "a" * 128)
SEGMENTS = ("prod", "a.b", "x@y", "A_1", "1", "v1:2", "-", "+x")
AGES = ("30d", "49h", "2w", "3650d", "never")
OVERLAPS = ("0s", "1h", "61m", "24h", "1d")
WINDOWS = (
    "Mon-Thu 09:00-15:00 Europe/Berlin",
    "Fri,Sun-Mon 00:00-24:00 UTC",
    "Sat 15:00-09:00 UTC",
    "Sat 09:00-15:00 Europe/Berlim",
    "Someday 09:00-15:00 UTC",
)
NO_DURATIONS = ("30", "1y", "-1d", "1.5h", "", "\uff13d", "1h\n", "99999999999d", "9999999h", "1s")
SCOPES = ("account_creation", "delegated_signing", "withdrawal", "new_scope")
NO_SCOPES = ("tradng", "a b", "", "é", "x" * 129, "trading")

ODD = st.sampled_from(WRONG_VALUES)


def _mostly(
    good: st.SearchStrategy[Any], *, odd: st.SearchStrategy[Any] = ODD
) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda dice: odd if dice == 0 else good)


def _tokens() -> st.SearchStrategy[Any]:
    wrong_length, wrong_scope = st.sampled_from(NO_DURATIONS), st.sampled_from(NO_SCOPES)
    scopes = st.lists(
        _mostly(st.sampled_from(SCOPES), odd=wrong_scope | ODD), max_size=2, unique_by=repr
    )
    windows = st.sampled_from(WINDOWS)
    keys = {
        "description": _mostly(
            st.sampled_from(("market maker, eu-west", "zwei\nZeilen\n", "日本"))
        ),
        "scopes": _mostly(scopes.map(lambda more: ["trading", *more])),
        "rotate_after": _mostly(st.sampled_from(AGES), odd=wrong_length | ODD),
        "rotate_before": _mostly(st.sampled_from(OVERLAPS), odd=wrong_length | ODD),
        "overlap": _mostly(st.sampled_from(OVERLAPS), odd=wrong_length | ODD),
        "reserve": _mostly(st.integers(0, 3), odd=st.sampled_from((4, -1, "1")) | ODD),
        "window": _mostly(windows | st.lists(windows, max_size=2), odd=st.text() | ODD),
        "hold_until": _mostly(st.sampled_from(("2027-01-15", "2027-02-29")), odd=st.text() | ODD),
        "hold_reason": _mostly(st.just("freeze")),
        "owner": _mostly(st.just("trading desk")),
        "protect": _mostly(st.booleans()),
        "path": _mostly(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map("/".join)),
    }
    label = _mostly(st.sampled_from(LABELS), odd=hostile_texts())
    return st.fixed_dictionaries({"label": label}, optional=keys)


def manifests() -> st.SearchStrategy[Any]:
    """Documents that are manifests, or nearly: most keys right, here and there one that
    is not.
    """
    vault = st.fixed_dictionaries(
        {"mount": _mostly(st.just("secret")), "prefix": _mostly(st.just("limitless/tokens"))}
    )
    ages, overlaps = _mostly(st.sampled_from(AGES)), _mostly(st.sampled_from(OVERLAPS))
    defaults = st.fixed_dictionaries({}, optional={"rotate_after": ages, "overlap": overlaps})
    tokens = st.lists(_mostly(_tokens()), max_size=4, unique_by=_label)
    return st.fixed_dictionaries(
        {
            "version": _mostly(st.just(1)),
            "manager": _mostly(st.just("reconciler")),
            "vault": _mostly(vault),
            "tokens": _mostly(tokens.map(lambda more: [{"label": "reconciler"}, *more])),
        },
        optional={"profile_id": _mostly(st.just(42)), "defaults": _mostly(defaults)},
    )


def _label(token: Any) -> str:
    return repr(token["label"] if isinstance(token, dict) and "label" in token else token)


class _Dumper(yaml.SafeDumper):
    """Writes every text in quotes, so that what comes back is what was meant, and no
    anchors, which are refused.
    """

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML names it
        """Everything is written out."""
        return True


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def as_yaml(document: Any) -> bytes:
    """The document in YAML, texts quoted, without anchors."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000
    )
    return text.encode("utf-8", "surrogatepass")
