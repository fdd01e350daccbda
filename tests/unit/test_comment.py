"""The comment of a pull request, the job's summary, the issues: found again, within
their size, unbroken.
"""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import example, given, settings

from reconciler.errors import Exit
from reconciler.model import DAY_MS, TokenSpec
from reconciler.plan.change import Plan
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.review import NoBase, Review, review_of
from reconciler.plan.vocabulary import Action, Reason
from reconciler.protocol.outcome import applied
from reconciler.protocol.report import Report, Row
from reconciler.render.comment import (
    COMMENT_BYTES,
    SUMMARY_BYTES,
    PlanSource,
    drift_issue,
    failure_issue,
    plan_comment,
    plan_summary,
    refusal_summary,
    report_summary,
)
from reconciler.render.markdown import Block, Rank, fitted
from reconciler.render.marker import marker, read_marker
from reconciler.state.cap import Cap
from reconciler.state.fleet import Fleet
from reconciler.state.snapshot import Observed
from tests.support.hostile import assert_harmless, hostile
from tests.support.values import (
    API_URL,
    NOW_MS,
    PLACE,
    entry,
    ledger,
    live,
    manifest,
    observed,
    spec,
)

SOURCE = PlanSource(
    manifest="tokens.yaml",
    fleet=Fleet(api_url=API_URL, place=PLACE),
    head="0123456789abcdef0123456789abcdef01234567",
    run_url="https://git.example/o/r/actions/runs/7",
    version="1.2.3",
    taken_at_ms=NOW_MS - 3 * 3_600_000,
    now_ms=NOW_MS,
)
MANY = 10_000


def planned(
    state: Observed, *labels: str, scopes: tuple[str, ...] = ("trading",)
) -> tuple[Plan, Review]:
    """The plan of a manifest with these labels, and its review: the base is empty."""
    head = manifest(
        spec("manager"), *(spec(label, scopes=tuple(scopes)) for label in labels), manager="manager"
    )
    made = plan(head, state, now_ms=NOW_MS)
    return made, review_of(made, head=head, base=NoBase.ABSENT, observed=state, policy=Policy())


def fleet(*labels: str) -> Observed:
    """A snapshot where each of these has its token."""
    entries = {label: entry(f"id-{label}", label) for label in ("manager", *labels)}
    return observed(
        ledger(entries), *(live(f"id-{label}", label) for label in ("manager", *labels))
    )


def commented(made: Plan, seen: Review) -> str:
    """The comment."""
    return plan_comment(made, SOURCE, guards=(), review=seen)


def test_a_comment_is_whole() -> None:
    """Marker, title, where the plan comes from, the rows with their causes, the digest,
    and whose it is.
    """
    made, seen = planned(fleet(), "new")
    assert commented(made, seen) == (
        f'<!-- reconciler:plan {{"digest": "{made.digest()}", "exchange": "{API_URL}", "head": "{SOURCE.head}", '
        f'"manifest": "tokens.yaml", "place": "{PLACE}", "schema": 1, '
        '"truncated": false} -->\n'
        "### reconciler plan: 1 to derive, 1 kept\n\n"
        "for `https://api.example, profile 42`\n\n"
        f"Kept in Vault at `{PLACE}`. Planned without any credential, from the snapshot of 2026-11-22T05:30:00.000Z, 3h old.\n\n"
        "| change | label | token | why | caused by |\n|---|---|---|---|---|\n"
        "| derive | `new` |  | no token yet<br>`scopes +trading`<br>`path new` | this pull request |\n\n"
        "<details><summary>1 kept</summary>\n\n- `manager`\n\n</details>\n\n"
        "not checked: whether the exchange allows these scopes; apply checks it before it writes anything\n\n"
        f"digest `{made.digest()}`\n\n"
        "<sub>commit `0123456789ab`, [run](https://git.example/o/r/actions/runs/7), reconciler `1.2.3`</sub>\n"
    ).replace("reconciler `1.2.3`", "reconciler 1.2.3")


@pytest.mark.parametrize("what", ["derives", "retires", "widens", "keeps"])
def test_a_comment_keeps_within_its_size(what: str) -> None:
    """10,000 changes stay within 60,000 bytes: the counts and the frame are whole, and
    the reader is told where the rest is.
    """
    labels = tuple(f"bot-{n:05}-{'x' * 100}" for n in range(MANY))
    state = fleet(*labels) if what != "derives" else fleet()
    scopes = ("trading", "withdrawal") if what == "widens" else ("trading",)
    made, seen = planned(state, *(() if what == "retires" else labels), scopes=scopes)
    text = commented(made, seen)
    assert len(text.encode()) <= COMMENT_BYTES
    assert text.count("<details>") == text.count("</details>")
    facts = read_marker("plan", text)
    assert facts is not None
    assert facts["truncated"] is True
    word = {
        "derives": "10000 to derive",
        "retires": "10000 to retire",
        "widens": "10000 to rotate",
        "keeps": "10001 kept",
    }[what]
    assert word in text.splitlines()[1]
    assert (
        f"The whole plan is in the artifact `tokens-plan-{SOURCE.fleet.name}` of "
        "[this run](https://git.example/o/r/actions/runs/7)." in text
    )
    assert text.splitlines()[-1].endswith("</sub>")
    assert f"digest `{made.digest()}`" in text
    assert len(plan_summary(made, SOURCE, guards=(), review=seen).encode()) <= SUMMARY_BYTES


def test_what_hurts_is_cut_last() -> None:
    """Among ten thousand derives, each token that is to go and each widened scope still
    has its row.
    """
    loud = [f"old-{n}" for n in range(50)]
    state = fleet(*loud, "widened")
    head = manifest(
        spec("manager"),
        spec("widened", scopes=("trading", "withdrawal")),
        *(spec(f"new-{n}") for n in range(MANY)),
        manager="manager",
    )
    made = plan(head, state, now_ms=NOW_MS)
    text = commented(
        made, review_of(made, head=head, base=NoBase.ABSENT, observed=state, policy=Policy())
    )
    assert len(text.encode()) <= COMMENT_BYTES
    assert all(f"| **retire** | `{label}` |" in text for label in loud)
    assert "| **rotate** | `widened` |" in text
    assert "more | | | | |" in text


def test_rows_are_cut_whole() -> None:
    """The dearest rank is kept, the cheapest goes first, and what is left out is
    counted in its place.
    """
    blocks = [
        Block(head="head"),
        Block(head="loud", rows=tuple("é" * 10 for _ in range(10)), rank=Rank.LOUD),
        Block(
            head="kept",
            rows=tuple("x" * 10 for _ in range(100)),
            tail="end",
            rank=Rank.KEPT,
            more="{n} more",
        ),
    ]
    whole = sum(len(b.text().encode()) for b in blocks) + 4
    assert fitted(blocks, whole + 100) == ("\n\n".join(b.text() for b in blocks), 0)
    text, left_out = fitted(blocks, 400)
    assert len(text.encode()) <= 400
    assert text.count("é" * 10) == 10
    shown = text.count("x" * 10)
    assert left_out == 100 - shown
    assert f"\n{left_out} more\nend" in text
    assert 5 < shown < 100


@settings(max_examples=100, derandomize=True)
@given(hostile())
def test_nothing_ends_the_marker(text: str) -> None:
    """Whatever a manifest is called: one line, one HTML comment, and it reads back as
    it was.
    """
    text = text.encode(errors="replace").decode()
    line = marker("plan", {"manifest": text})
    assert "\n" not in line
    assert line.count("-->") == line.count("<!--") == 1
    assert line.endswith(" -->")
    facts = read_marker("plan", f"{line}\nbody")
    assert facts is not None
    assert facts["manifest"] == text


@pytest.mark.parametrize(
    "body",
    [
        "",
        "words",
        "words\n" + marker("plan", {}),
        marker("drift", {}),
        "<!-- reconciler:plan {not json} -->",
        "<!-- reconciler:plan [] -->",
        '<!-- reconciler:plan {"schema": 2} -->',
        "<!-- reconciler:plan " + json.dumps({"schema": 1}),
        '<!-- reconciler:plan {"a":' + "[" * 100_000 + "} -->",
    ],
)
def test_a_marker_of_others_is_none(body: str) -> None:
    """Another kind, another schema, in another place, or no JSON: not ours, and no
    crash.
    """
    assert read_marker("plan", body) is None


def test_an_issue_says_what_to_do() -> None:
    """Drift and due rotations are counted apart, each with its next step; no time but
    the snapshot's age is in it.
    """
    state = observed(
        ledger(
            {"manager": entry("id-m", "manager"), "aged": entry("id-a", "aged", age_ms=40 * DAY_MS)}
        ),
        live("id-m", "manager"),
    )
    state = dataclasses.replace(state, live=(*state.live, live("id-a", "aged", age_ms=40 * DAY_MS)))
    made, _ = planned(state, "aged", "absent")
    text = drift_issue(made, SOURCE)
    assert read_marker("drift", text) == {"schema": 1, **SOURCE.facts}
    assert "- 1 to put right: run the apply workflow, or change the manifest." in text
    assert "- 1 rotations due: hand over an identity token, then run the rotate workflow." in text
    assert {c.reason for c in made.acting} == {Reason.ABSENT, Reason.DUE}


def test_an_issue_says_what_is_held_and_why() -> None:
    """Of a label that nobody can use, and of a reserve that isn't stocked."""
    memory = ledger({name: entry(f"id-{name}", name) for name in ("manager", "bot", "cat")})
    memory = dataclasses.replace(memory, cap=(Cap(lived=2, at_ms=NOW_MS - DAY_MS),))
    state = observed(memory, live("id-manager", "manager"), live("id-cat", "cat"))
    held = dataclasses.replace(spec("bot"), hold_until_ms=NOW_MS + DAY_MS, hold_reason="freeze")
    kept = dataclasses.replace(spec("cat"), reserve=1)
    wanted = manifest(spec("manager"), held, kept, manager="manager")
    made = plan(wanted, state, now_ms=NOW_MS)
    text = drift_issue(made, SOURCE)
    assert "- 1 without a working token, held by the manifest: take `hold_until` out, or" in text
    assert "- 1 not stocked, as the exchange may end another token for it: revoke tokens" in text
    assert "2 tokens lived when a derive had ended another, at 2026-11-21T08:30:00.000Z" in text
    assert (made.reached, made.asks_to_restock) == (False, True)


@settings(max_examples=60, derandomize=True)
@given(hostile(), hostile())
@example("a", "##[error]")
def test_hostile_words_stay_words(one: str, two: str) -> None:
    """Labels, sentences and names of workflows can't end a table, a span, the marker,
    or command the runner.
    """
    one, two = (text.encode(errors="replace").decode() for text in (one, two))
    made, seen = planned(fleet(), one) if one != "manager" else planned(fleet())
    row = Row(
        change=dataclasses.replace(made.changes[0], label=one), outcome=applied(two, token_id=two)
    )
    report = Report(
        run="r",
        started_at_ms=0,
        ended_at_ms=0,
        digest="",
        rows=(row,),
        holds=(),
        not_touched=(),
        exit_code=Exit.DONE,
        sentence=two,
    )
    assert made.changes[0].action in set(Action)
    texts = (
        commented(made, seen),
        drift_issue(made, SOURCE),
        report_summary(report),
        refusal_summary("apply", two),
        failure_issue(two, SOURCE.run_url, facts={"place": one, "workflow": two}, about=one),
    )
    for text in texts:
        assert_harmless(text)
        assert text.count("<!--") <= 1
        assert text.find("<!--") <= 0


def protected(token: TokenSpec, *, protect: bool) -> TokenSpec:
    """The same with a word on protection."""
    return dataclasses.replace(token, protect=protect)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param(
            (spec("a", path="b"), spec("b", path="other")),
            "> - **points at the path of another label's secret**: `a` (`b belongs to b`)",
            id="another label's path",
        ),
        pytest.param(
            (spec("a", path="b"), spec("b", path="a")),
            "> - **points at the path of another label's secret**: `a` (`b belongs to b`), `b` (`a belongs to a`)",
            id="labels swapped",
        ),
        pytest.param(
            (dataclasses.replace(spec("a"), overlap_ms=0), spec("b")),
            "> - **shortens the overlap: consumers get less time to change over**: `a` (`1d -> 0s`)",
            id="no overlap",
        ),
        pytest.param(
            (spec("a", scopes=("trading", "withdrawal")), spec("b")),
            "> - **widens scopes**: `a` (`+withdrawal`)",
            id="widened",
        ),
        pytest.param(
            (protected(spec("a"), protect=False), spec("b")),
            "> - **takes the protection away**: `a`",
            id="unprotected",
        ),
        pytest.param(
            (spec("a"), spec("b"), spec("new", scopes=("trading", "withdrawal"))),
            "> - **grants a new token more than trading**: `new` (`+trading +withdrawal`)",
            id="a new token that moves funds",
        ),
        pytest.param(
            (spec("b"),),
            "> - **retires 1 token: revoked after the overlap, once nobody uses it**: `a` (`id-a`)",
            id="removed",
        ),
        pytest.param(
            (spec("a", path="c"), spec("b")),
            "> - **moves the secret: consumers must read another path**: `a` (`path a -> c`)",
            id="moved",
        ),
    ],
)
def test_what_a_pull_request_could_hide_stands_at_the_top(
    tokens: tuple[TokenSpec, ...], expected: str
) -> None:
    """Above the first table and above everything that is folded."""
    guard = protected(spec("a"), protect=True)
    is_unprotected = tokens[0].protect is False
    entries = {label: entry(f"id-{label}", label) for label in ("manager", "a", "b")}
    entries["a"] = dataclasses.replace(entries["a"], protect=is_unprotected)
    state = observed(ledger(entries), *(live(f"id-{label}", label) for label in entries))
    base = manifest(
        spec("manager"), guard if is_unprotected else spec("a"), spec("b"), manager="manager"
    )
    head = dataclasses.replace(base, tokens=(spec("manager"), *tokens))
    made = plan(head, state, now_ms=NOW_MS)
    text = commented(made, review_of(made, head=head, base=base, observed=state, policy=Policy()))
    lines = text.splitlines()
    assert expected in lines
    tables = [n for n, line in enumerate(lines) if line.startswith(("|", "<details"))]
    assert lines.index(expected) < min(tables)
