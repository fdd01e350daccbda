"""The workflows name what they share by exchange, mount and prefix, so that several
manifests of one repository have each their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.delivery.files import (
    INDEXED_JOB,
    OUR_WORKFLOWS,
    SEVERAL_GITLAB,
    gitlab_jobs,
    jobs,
    load,
    steps,
)

FLEET_WORKFLOWS = tuple(path for path in OUR_WORKFLOWS if path.name.startswith("tokens-"))
FLEET_NAME = re.compile(r"tokens-[a-z]+-\$\{\{ (?:steps|needs)\.[a-z]+\.outputs\.fleet \}\}")


def groups() -> Iterator[str]:
    """Yield every concurrency group."""
    for path in FLEET_WORKFLOWS:
        for spec in (load(path), *jobs(path).values()):
            if "concurrency" in spec:
                yield spec["concurrency"]["group"]


def artifacts() -> Iterator[str]:
    """Yield the name of every artifact that is kept or taken."""
    for path in FLEET_WORKFLOWS:
        for step in steps(path):
            if re.match(r"actions/(?:up|down)load-artifact@", step.uses):
                yield str(step.inputs["name"])


def test_names_are_of_the_fleet() -> None:
    """Groups by the inputs, whose prefix is the pin that the program holds the manifest
    to; artifacts by what the program says. The file's name is in none.
    """
    assert len(list(groups())) == 6
    for group in groups():
        assert re.search(r"\binputs\.exchange\b.*\binputs\.prefix\b", group), group
        assert "manifest" not in group
    assert len(list(artifacts())) == 9
    for name in artifacts():
        assert FLEET_NAME.fullmatch(name), name


def test_the_place_is_the_callers_to_say() -> None:
    """Whoever calls a workflow has to give the prefix, and it is what the program is
    pinned to.
    """
    for path in FLEET_WORKFLOWS:
        inputs = load(path)["on"]["workflow_call"]["inputs"]
        assert inputs["prefix"]["required"] is True, path.name
        env: dict[str, Any] = load(path).get("env", {})
        if env:
            assert "inputs.prefix" in env["RECONCILER_VAULT_PREFIX"], path.name
            assert "inputs.exchange" in env["LIMITLESS_API_URL"], path.name
        else:
            (job,) = jobs(path).values()
            assert "inputs.prefix" in json.dumps(job["with"]["prefix"]), path.name


def test_an_index_is_a_fleet() -> None:
    """Each pod of the indexed Job takes the manifest and the prefix of its own index;
    what fails for one stops no other.
    """
    *_, cron = yaml.safe_load_all(INDEXED_JOB.read_text(encoding="utf-8"))
    job = cron["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert (job["completionMode"], job["backoffLimitPerIndex"]) == ("Indexed", 0)
    assert "maxFailedIndexes" not in job
    first, *others = container["env"]
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert (first["name"], first["valueFrom"]["fieldRef"]["fieldPath"]) == ("FLEET", index)
    prefixes = [one["value"] for one in others if one["name"] == "RECONCILER_VAULT_PREFIX"]
    assert prefixes == ["secret/limitless/$(FLEET)"], "known by what stands before it"
    assert container["args"][-1] == "/manifests/$(FLEET).yaml"


def test_rows_of_gitlab_are_of_every_job() -> None:
    """No job of the pipeline for one manifest is left without its rows."""
    rows = load(SEVERAL_GITLAB)
    matrices = {name for name, spec in rows.items() if "parallel" in spec}
    assert matrices - {".fleets"} == gitlab_jobs().keys() - {"plan-merge-request"}
    for name in matrices:
        for row in rows[name]["parallel"]["matrix"]:
            assert row.keys() >= {"FLEET", "MANIFEST", "RECONCILER_VAULT_PREFIX"}, name
    for name, job in gitlab_jobs().items():
        for path in (*job.get("artifacts", {}).get("paths", ()),):
            assert "$FLEET" in path, name
