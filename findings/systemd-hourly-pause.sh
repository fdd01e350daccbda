#!/bin/sh
# systemd: a timer for each hour (OnCalendar=hourly) waits two hours when clocks are put back, and a weekly one at 02:30 a week in spring.
#
# A time that comes twice is met once, and one that does not come is left out, whatever the expression; systemd.time(7) says neither.
# cron on Debian runs a job for each hour in both, and makes up for a time that was left out at 03:00; cronsim reckons as it does. With
# a zone of the expression's own, or with that of the machine, it is the same; in UTC each hour comes. systemd 252 of Debian 12 (as
# the machine has it), cronsim 2.8.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show --showformat '${Package} ${Version}\n' systemd | tee version
grep --quiet '^systemd 252' version
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cronsim==2.8 tzdata==2026.6
cat > ask.py <<'END'
import os
import re
import subprocess
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

BERLIN = ZoneInfo("Europe/Berlin")


def by_systemd(calendar, start):
    command = ("systemd-analyze", "calendar", "--iterations=4", f"--base-time={start:%Y-%m-%d %H:%M} UTC", calendar)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"TZ": "UTC"})
    return re.findall(r"(?:elapse|#\d+): \w+ \d+-(\d+-\d+ \d+:\d+):00 UTC", done.stdout)


def by_cron(expression, start):
    times = islice(CronSim(expression, start.astimezone(BERLIN)), 4)
    return [f"{time.astimezone(UTC):%m-%d %H:%M}" for time in times]


autumn, spring = datetime(2026, 10, 24, 23, 15, tzinfo=UTC), datetime(2026, 3, 21, 12, tzinfo=UTC)
found = {
    "each hour, systemd": by_systemd("*-*-* *:00:00 Europe/Berlin", autumn),
    "each hour, cron": by_cron("0 * * * *", autumn),
    "Sun 02:30, systemd": by_systemd("Sun *-*-* 02:30:00 Europe/Berlin", spring),
    "Sun 02:30, cron": by_cron("30 2 * * 0", spring),
}
for what, times in found.items():
    print(f"{what:20} in UTC:", "  ".join(times))
assert list(found.values()) == [
    ["10-25 00:00", "10-25 02:00", "10-25 03:00", "10-25 04:00"],
    ["10-25 00:00", "10-25 01:00", "10-25 02:00", "10-25 03:00"],
    ["03-22 01:30", "04-05 00:30", "04-12 00:30", "04-19 00:30"],
    ["03-22 01:30", "03-29 01:00", "04-05 00:30", "04-12 00:30"],
], found
END
venv/bin/python ask.py
