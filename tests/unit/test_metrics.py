"""Claims about the metrics of a status and of a run: text, names, and what a file
remembers. Prometheus' own tools judge the same in ``tests/look``.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.documents import RunMeasured, metrics_of_run, metrics_of_status, metrics_text
from reconciler.documents.prometheus import labels_text, seconds
from reconciler.documents.run_metrics import METRICS
from reconciler.escape import safe
from reconciler.manifest.windows import parse_window
from reconciler.model import DAY_MS, HOUR_MS, instant_ms
from reconciler.plan import check_of
from reconciler.plan.status import Status, status_of
from reconciler.state import spread_ms
from reconciler.state.snapshot import Observed
from tests.support.hostile import text_without_surrogates
from tests.support.values import NOW_MS, entry, ledger, live, manifest, observed, retiring, spec
from tests.support.worlds import Scene, scenes
from tests.unit.test_documents import a_report

QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

VALUE = r"-?\d+(?:\.\d+)?"
PAIR = r'[a-z]+="(?:[^"\\\n]|\\[\\"n])*"'
LINE = re.compile(
    rf"# HELP reconciler_[a-z_]+ .+|# TYPE reconciler_[a-z_]+ gauge|"
    rf"(reconciler_[a-z_]+)\{{({PAIR}(?:,{PAIR})*)\}} ({VALUE})"
)


def samples_of(text: str) -> dict[str, str]:
    """Each sample's value by its name and labels. Every line is of the format."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        sample = LINE.fullmatch(line)
        assert sample is not None, line
        if sample[1]:
            key = f"{sample[1]}{{{sample[2]}}}"
            assert key not in found, "twice the same sample"
            assert sample[2].startswith('manifest="'), line
            found[key] = sample[3]
    return found


def shown(*statuses: Status) -> dict[str, str]:
    """The samples of statuses."""
    return samples_of(metrics_text(metrics_of_status(statuses, check_of)))


DUE = seconds(NOW_MS + 27 * DAY_MS - spread_ms("bot", 30 * DAY_MS))
"""When ``draining`` is."""


def draining() -> Observed:
    """A label with a predecessor that is still used, and a foreign token."""
    old = retiring("id-0", "bot", overlap_ms=DAY_MS)
    bot = dataclasses.replace(entry("id-1", "bot", age_ms=3 * DAY_MS), retiring=(old,))
    return observed(
        ledger({"bot": bot}),
        live("id-1", "bot", age_ms=3 * DAY_MS, unused_for_ms=HOUR_MS),
        live("id-0", "bot", age_ms=40 * DAY_MS, unused_for_ms=HOUR_MS),
        live("id-8", "of others"),
    )


def test_what_a_status_says() -> None:
    """All of one small fleet, but for what is counted as nothing."""
    found = shown(status_of(manifest(spec("bot")), draining()))
    told = {key.replace('manifest="secret/p"', "M"): text for key, text in found.items()}
    assert {key: text for key, text in told.items() if text != "0"} == {
        "reconciler_status_timestamp_seconds{M}": "1795336200",
        "reconciler_foreign_tokens{M}": "1",
        "reconciler_use_doubt_proven{M}": "1",
        'reconciler_labels{M,state="draining"}': "1",
        'reconciler_token_state{M,label="bot",state="draining"}': "1",
        'reconciler_token_age_seconds{M,label="bot"}': "259200",
        'reconciler_token_oldest_age_seconds{M,label="bot"}': "3456000",
        'reconciler_token_due_timestamp_seconds{M,label="bot"}': DUE,
        'reconciler_token_last_used_timestamp_seconds{M,label="bot"}': "1795332600",
        'reconciler_predecessors{M,label="bot"}': "1",
        'reconciler_predecessors_used{M,label="bot"}': "1",
        'reconciler_predecessor_last_used_timestamp_seconds{M,label="bot"}': "1795332600",
        'reconciler_overlap_end_timestamp_seconds{M,label="bot"}': "1795249800",
    }
    assert {
        "reconciler_use_doubt_seconds{M}",
        "reconciler_check_exit_code{M}",
        'reconciler_labels{M,state="waiting_for_a_person"}',
        'reconciler_drift{M,cause="secret_lost"}',
        'reconciler_needs_person{M,kind="decision"}',
    } <= told.keys(), "what is counted is there with 0 as well"


@QUICK
@given(scenes(text_without_surrogates()))
def test_whatever_the_state_every_line_is_of_the_format(scene: Scene) -> None:
    """Hostile labels too; no id of a token is a label of a metric."""
    text = metrics_text(metrics_of_status([status_of(scene.desired, scene.observed)], check_of))
    found = samples_of(text)
    assert found
    assert "token_id" not in text


def test_two_labels_are_never_told_alike() -> None:
    """One that looks like the escaped form of another is told otherwise."""
    names = ("a##b", r"a#\x23b", r"a#\\x23b", "::x", r":\x3ax", "a\u00adb", r"a\xadb")
    assert len({labels_text(label=name) for name in names}) == len(names)
    known = ledger({name: entry(f"id-{at}", name) for at, name in enumerate(names)})
    seen = observed(known, *(live(f"id-{at}", name) for at, name in enumerate(names)))
    found = shown(status_of(manifest(*(spec(name) for name in names)), seen))
    ages = [key for key in found if key.startswith("reconciler_token_age_seconds")]
    assert len(ages) == len(names)


@given(text_without_surrogates())
def test_a_label_is_told_as_everywhere(text: str) -> None:
    """Escaped as Prometheus reads it back; what would be invisible is visible."""
    name, _, quoted = labels_text(label=text).partition("=")
    assert name == "label"
    assert json.loads(quoted) == safe(text.replace("\\", "\\\\"))
    assert quoted.isprintable()


@pytest.mark.parametrize(
    ("expected", "length_ms"), [("0", 0), ("1", 1000), ("1.5", 1500), ("-0.25", -250)]
)
def test_milliseconds_are_seconds(expected: str, length_ms: int) -> None:
    """The base unit, without a rounding."""
    assert seconds(length_ms) == expected
    assert float(seconds(1795336200123)) == pytest.approx(1795336200.123, abs=1e-6)


def test_several_manifests_are_one_file() -> None:
    """Each metric is explained once, each sample names its manifest."""
    one = status_of(manifest(spec("bot")), draining())
    other = dataclasses.replace(one, place="kv/other")
    text = metrics_text(metrics_of_status([one, other], check_of))
    assert text.count("# TYPE reconciler_labels gauge") == 1
    assert len(shown(one, other)) == 2 * len(shown(one))


def test_status_and_run_share_no_name() -> None:
    """The collector refuses two files that explain one metric differently."""
    ours = {
        m.name
        for m, _ in metrics_of_status([status_of(manifest(spec("bot")), draining())], check_of)
    }
    runs = {metric.name for metric in METRICS}
    assert ours & runs == set()
    assert not [name for name in ours | runs if name.endswith(("_total", "_count", "_sum"))]


def test_a_reserve_is_told_where_there_is_to_be_one() -> None:
    """How many are ready, how many are wanted, and until when that lasts."""
    wanted = dataclasses.replace(spec("bot"), reserve=2)
    found = shown(status_of(manifest(wanted), draining()))
    one = 'manifest="secret/p",label="bot"'
    assert found[f"reconciler_token_reserve{{{one}}}"] == "0"
    assert found[f"reconciler_token_reserve_wanted{{{one}}}"] == "2"
    due = found[f"reconciler_token_due_timestamp_seconds{{{one}}}"]
    assert found[f"reconciler_token_unattended_timestamp_seconds{{{one}}}"] == due
    assert found['reconciler_unattended_timestamp_seconds{manifest="secret/p"}'] == due


def test_windows_and_holds_are_told_where_there_are_some() -> None:
    """When a rotation may start; an alert on overdue labels goes by the state."""
    monday = "2026-11-23T08:00:00.000Z"  # nine o'clock in Berlin, and now is Sunday
    wanted = dataclasses.replace(
        spec("bot", rotate_after_ms=2 * DAY_MS),
        windows=(parse_window("Mon-Thu 09:00-15:00 Europe/Berlin"),),
        hold_until_ms=NOW_MS + HOUR_MS,
        hold_reason="a launch",
    )
    found = shown(status_of(manifest(wanted), draining()))
    one = 'manifest="secret/p",label="bot"'
    opens = found[f"reconciler_token_opens_timestamp_seconds{{{one}}}"]
    assert int(opens) * 1000 == instant_ms(monday)
    held = found[f"reconciler_token_hold_until_timestamp_seconds{{{one}}}"]
    assert int(held) * 1000 == NOW_MS + HOUR_MS
    plain = shown(status_of(manifest(spec("bot")), draining()))
    assert not [key for key in plain if "token_opens" in key or "token_hold" in key]


# --- what a file remembers ---

CALLS = {("exchange", 200): 5, ("exchange", 429): 2, ("vault", 503): 1, ("vault", None): 1}


def a_run(
    *,
    code: int = 0,
    at_ms: int = 1_000_000,
    command: str = "apply",
    place: str = "secret/p",
    report: bool = True,
) -> RunMeasured:
    """A run that took a second and a half."""
    return RunMeasured(
        place=place,
        command=command,
        exit_code=code,
        ended_at_ms=at_ms,
        duration_ms=1500,
        report=a_report() if report else None,
        calls=CALLS,
    )


def written(run: RunMeasured, former: str = "") -> str:
    """The file after the run."""
    text = metrics_text(metrics_of_run(run, former))
    samples_of(text)
    return text


def test_what_a_run_says() -> None:
    """All of it."""
    found = samples_of(written(a_run()))
    own = 'manifest="secret/p",command="apply"'
    assert {
        key.replace(own, "R").removeprefix("reconciler_run_"): v for key, v in found.items()
    } == {
        "timestamp_seconds{R}": "1000",
        "success_timestamp_seconds{R}": "1000",
        "exit_code{R}": "0",
        "duration_seconds{R}": "1.5",
        'changes{R,outcome="applied"}': "1",
        'changes{R,outcome="failed"}': "1",
        'changes{R,outcome="held"}': "2",
        'changes{R,outcome="not_tried"}': "2",
        'api_calls{R,peer="exchange"}': "7",
        'api_calls{R,peer="vault"}': "2",
        'api_throttled{R,peer="exchange"}': "2",
        'api_throttled{R,peer="vault"}': "0",
        'api_errors{R,peer="exchange"}': "0",
        'api_errors{R,peer="vault"}': "2",
    }


def test_a_failed_run_leaves_the_last_success() -> None:
    """So that an alert on its age fires; before the first success there is none."""
    first = written(a_run(code=1, at_ms=1_000_000, report=False))
    assert "run_success" not in first
    second = written(a_run(at_ms=2_000_000), first)
    third = samples_of(written(a_run(code=5, at_ms=3_000_000), second))
    own = '{manifest="secret/p",command="apply"}'
    assert third[f"reconciler_run_success_timestamp_seconds{own}"] == "2000"
    assert third[f"reconciler_run_timestamp_seconds{own}"] == "3000"
    assert third[f"reconciler_run_exit_code{own}"] == "5"


def test_other_commands_and_manifests_stay() -> None:
    """A label that begins like another's is another."""
    text = written(a_run(command="rotate", at_ms=1_000))
    text = written(a_run(place='secret/p",command="x', at_ms=2_000), text)
    text = written(a_run(place="secret/p2", at_ms=3_000), text)
    both = samples_of(written(a_run(at_ms=4_000), text))
    ends = {k: v for k, v in both.items() if k.startswith("reconciler_run_timestamp_seconds")}
    assert sorted(ends.values()) == ["1", "2", "3", "4"]


@given(st.text() | st.sampled_from(["reconciler_run_exit_code{} 0", "evil 1", "# HELP x"]))
def test_of_the_former_file_only_our_own_lines_stay(former: str) -> None:
    """Whatever somebody put there."""
    assert written(a_run(), former) == written(a_run())
    assert written(a_run(), former + "\n" + written(a_run(command="rotate"))) == written(
        a_run(), written(a_run(command="rotate"))
    )
