"""The workflows name what they share by exchange, mount and prefix, so that several
manifests of one repository have each their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.delivery.files import OUR_WORKFLOWS, jobs, load, steps

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
    assert len(list(artifacts())) == 8
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
