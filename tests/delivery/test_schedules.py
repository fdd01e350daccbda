"""The schedules that rotate run every hour: an apply that comes more seldom may miss a
window (``docs/manifest.md``, when rotations happen).
"""

from __future__ import annotations

import re

import pytest

from tests.delivery.files import CRONJOB, GITHUB, ROOT, load

HOURLY = re.compile(r"([1-9]|[1-5][0-9]) \* \* \* \*")
"""Not on the hour, when everybody's schedules are due."""


def test_github_rotates_every_hour() -> None:
    """The workflow, and the one that calls it, whose condition names its schedule."""
    (row,) = load(GITHUB / "workflows" / "tokens-rotate.yml")["on"]["schedule"]
    assert HOURLY.fullmatch(row["cron"])
    caller = load(GITHUB / "examples" / "github" / "by-reusable-workflow.yml")
    hourly = [row["cron"] for row in caller["on"]["schedule"] if HOURLY.fullmatch(row["cron"])]
    (rotates,) = (job for job in caller["jobs"].values() if "tokens-rotate" in job.get("uses", ""))
    assert f"github.event.schedule == '{hourly[0]}'" in rotates["if"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("docs/gitlab.md", "schedule on the default branch: every hour, at an odd minute"),
        (".github/examples/gitlab/.gitlab-ci.yml", "every hour on the default branch"),
        (str(CRONJOB.relative_to(ROOT)), "every hour"),
    ],
)
def test_others_are_told_so(place: str, told: str) -> None:
    """GitLab keeps schedules elsewhere, and the CronJob that is shipped compares."""
    assert told in (ROOT / place).read_text(encoding="utf-8")
