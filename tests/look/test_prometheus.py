"""What Prometheus' own tools make of the metrics, of the alerts and of the dashboard.

The parser of the Python client comes from ``.venv-look``, Grafana's types of a
dashboard from npm, the servers from ``prometheus``.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.documents import metrics_of_run, metrics_of_status, metrics_text
from reconciler.documents.run_metrics import METRICS as OF_RUN
from reconciler.documents.status_metrics import (
    CHECK,
    DRIFT,
    LABELS,
    NEEDS,
    OF_PREDECESSORS,
    OF_RESERVE,
    OF_STATUS,
    OF_TOKEN,
    STATE,
)
from reconciler.plan import check_of
from reconciler.plan.status import status_of
from tests.e2e.conftest import NewFleet, new_fleet
from tests.look.prometheus import asked, prometheus, promtool, query, wait_for
from tests.support.fleet import ROOT, Fleet
from tests.support.node import node_with
from tests.support.values import entry, ledger, live, manifest, observed, spec
from tests.unit.test_metrics import a_run, draining, samples_of

pytestmark = pytest.mark.look
__all__ = ["new_fleet"]

HERE = Path(__file__).with_name("monitoring")
CLIENT = ROOT / ".venv-look" / "bin" / "python"
EXAMPLES = ROOT / ".github" / "examples" / "prometheus"
RULES, RULES_TEST = EXAMPLES / "alerts.yml", EXAMPLES / "alerts_test.yml"
DASHBOARD = EXAMPLES / "dashboard.json"

HOSTILE = ['a"b', "a\\b", "a\\nb", "{x}", "\u202egnp.exe", "ü" * 128, "label=1", "#", " "]
NAMES = {m.name for table in (OF_STATUS, OF_TOKEN, OF_PREDECESSORS, OF_RESERVE) for m, _ in table}
NAMES |= {metric.name for metric in (*OF_RUN, CHECK, LABELS, DRIFT, NEEDS, STATE)}

PARSER = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parsed
print(json.dumps([
    [f.type, s.name, s.labels, s.value, s.timestamp]
    for f in parsed(sys.stdin.read()) for s in f.samples
]))
"""


def texts() -> dict[str, str]:
    """Files as they may be: a small one, hostile labels, a thousand, and runs."""
    many = [f"bots/{number:04}" for number in range(1000)]
    memory = ledger({x: entry(f"id-{x}", x) for x in many})
    large = observed(memory, *(live(f"id-{x}", x) for x in many))
    ours = status_of(manifest(spec("bot")), draining())
    odd = status_of(manifest(*(spec(x, path=f"p{i}") for i, x in enumerate(HOSTILE))), draining())
    whole = status_of(manifest(*(spec(x) for x in many)), large)
    rotated = metrics_text(metrics_of_run(a_run(command="rotate"), ""))
    return {
        "small": metrics_text(metrics_of_status([ours], check_of)),
        "hostile": metrics_text(metrics_of_status([odd], check_of)),
        "large": metrics_text(metrics_of_status([whole], check_of)),
        "runs": metrics_text(metrics_of_run(a_run(code=5), rotated)),
    }


@pytest.mark.parametrize("name", ["small", "hostile", "large", "runs"])
def test_promtool_has_nothing_to_say_of_the_metrics(name: str) -> None:
    """Neither of the format nor of names and units."""
    assert promtool("check", "metrics", text=texts()[name]) == ""


def test_promtool_would_find() -> None:
    """What is against Prometheus' rules."""
    with pytest.raises(AssertionError, match="total"):
        promtool("check", "metrics", text="# HELP a_total x\n# TYPE a_total gauge\na_total 1\n")


@pytest.mark.parametrize("name", ["small", "hostile", "large", "runs"])
def test_the_python_client_reads_the_same(name: str) -> None:
    """Each sample, its labels as they are shown everywhere, and no time."""
    if not CLIENT.exists():
        pytest.fail(f"the environment is missing at {CLIENT}: run `make look`")
    text = texts()[name]
    done = subprocess.run(
        [CLIENT, "-c", PARSER], input=text, capture_output=True, text=True, timeout=60, check=True
    )
    read = json.loads(done.stdout)
    assert {(kind, at) for kind, _, _, _, at in read} == {("gauge", None)}
    ours = samples_of(text)
    assert len(read) == len(ours)
    pairs = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
    for (_, name_read, labels, number, _), (key, value) in zip(read, ours.items(), strict=True):
        assert name_read == key.partition("{")[0]
        told = {k: v.replace(r"\"", '"').replace(r"\\", "\\") for k, v in pairs.findall(key)}
        assert labels == told
        assert number == float(value)


# --- alerts ---


def rules() -> dict[str, dict[str, Any]]:
    """The alerts of the example, by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def metrics_in(text: str) -> set[str]:
    """Our metrics that an expression names, without the prefix."""
    return {name.removeprefix("reconciler_") for name in re.findall(r"reconciler_[a-z_]+", text)}


def test_the_alerts_are_rules() -> None:
    """By promtool, and of metrics that there are."""
    promtool("check", "rules", RULES)
    named = {name for rule in rules().values() for name in metrics_in(rule["expr"])}
    assert named
    assert named <= NAMES


def test_the_alerts_fire_and_are_silent() -> None:
    """By promtool's own tests, in which each alert fires once and is silent once."""
    promtool("test", "rules", RULES_TEST)
    checks = [
        check
        for case in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for check in case["alert_rule_test"]
    ]
    fired = {check["alertname"] for check in checks if check["exp_alerts"]}
    assert fired == rules().keys()
    silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert silent >= rules().keys() - {"ReconcilerSecretLost", "ReconcilerThrottled"}


# --- a real Prometheus ---


def expressions() -> list[str]:
    """The expressions of the dashboard, for all manifests."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    return [expression.replace("$manifest", ".*") for expression in found]


def write_both(fleet: Fleet, folder: Path, *arguments: str) -> None:
    """A run and a look, each with its file."""
    fleet.must("apply", "--yes", "--metrics", str(folder / "run.prom"), *arguments)
    look = ("status", "--format", "prometheus", "--out", str(folder / "status.prom"))
    fleet.must(*look)


def test_a_prometheus_scrapes_a_run(new_fleet: NewFleet, tmp_path: Path) -> None:
    """Through node_exporter: the values are those of the files, the alerts are pending
    that should be, every expression of the dashboard is understood, and a second run is
    seen.
    """
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    with new_fleet() as fleet, prometheus(tmp_path, textfiles, RULES) as address:
        fleet.begin({"label": "bot"})
        write_both(fleet, textfiles)
        place = f"{fleet.mount}/{fleet.prefix}"
        ok = f'reconciler_labels{{manifest="{place}",state="ok"}}'
        assert wait_for(lambda: query(address, ok))[0]["value"][1] == "2"
        for file in textfiles.glob("*.prom"):
            for sample, value in samples_of(file.read_text()).items():
                (found,) = query(address, sample)
                assert float(found["value"][1]) == pytest.approx(float(value)), sample
        assert query(address, "node_textfile_scrape_error")[0]["value"][1] == "0"
        for expression in expressions():
            query(address, expression)
        with pytest.raises(AssertionError, match="parse error"):
            query(address, "no(such")
        fleet.write({"label": "bot"}, {"label": "new"})
        write_both(fleet, textfiles, "--only", "cleanup")
        pending = wait_for(
            lambda: [
                alert["labels"]["alertname"]
                for alert in asked(f"{address}/api/v1/alerts")["data"]["alerts"]
                if alert["labels"].get("cause") == "absent"
            ]
        )
        assert pending == ["ReconcilerDrift"]
        write_both(fleet, textfiles)
        assert wait_for(lambda: query(address, f"{ok} == 3"))


# --- the dashboard ---


def findings(file: Path) -> list[str]:
    """What Grafana's types say of a dashboard."""
    done = subprocess.run(
        [node_with(HERE), "dashboard.mjs", str(file)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_dashboard_is_one_of_grafanas() -> None:
    """By the types that Grafana publishes, and of metrics that there are."""
    assert findings(DASHBOARD) == []
    named = {name for expression in expressions() for name in metrics_in(expression)}
    assert named
    assert named <= NAMES


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"colorMode"', '"colourMode"'),
        ('"absolute"', '"absolut"'),
        ('"graphTooltip": 1', '"graphTooltip": 7'),
        ('"gridPos"', '"position"'),
    ],
)
def test_grafanas_types_would_find(good: str, bad: str, tmp_path: Path) -> None:
    """A key that there is not, and a word that is none."""
    text = DASHBOARD.read_text()
    assert good in text
    file = tmp_path / "dashboard.json"
    file.write_text(text.replace(good, bad))
    assert findings(file)
