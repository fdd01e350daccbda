"""A plugin of pytest: the figures of all searches of a session, at its end.

Workers of pytest-xdist hand theirs over as properties of the tests' reports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tests.proofs.simulation.tally import Tally

PROPERTY = "simulation"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The figures of one test."""
    found = Tally()
    yield found
    request.node.user_properties.append((PROPERTY, dataclasses.asdict(found)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nothing where nothing was simulated."""
    total = Tally()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "teardown":
                for name, figures in report.user_properties:
                    if name == PROPERTY and isinstance(figures, dict):
                        total.add(Tally(**figures))
    if total != Tally():
        terminalreporter.write_sep("=", PROPERTY)
        for line in total.lines():
            terminalreporter.write_line(line)
